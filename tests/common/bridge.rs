//! A way to the next hop that fails on purpose: it passes SMTP on, line by line, and while a fault is set it
//! stalls, resets or closes connections, each at another step of the conversation.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// Nothing goes on until the fault is over; then it is closed.
    Stall,
    /// RST.
    Reset,
    /// FIN.
    Drop,
}

/// Where a conversation is broken: before the next hop sees this, or (the last) before its reply to the final
/// dot is seen, so that the message is there and nobody knows.
pub const STEPS: [&str; 8] = ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "CONTENT", "DOT", "REPLY"];

/// The bridge. Its threads end with the test program.
#[derive(Clone)]
pub struct Bridge {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    fault: Mutex<Option<Break>>,
    /// The step at which every connection is broken; otherwise each at the next one.
    only: Mutex<Option<usize>>,
    connections: AtomicUsize,
    /// How often a connection was broken at each step.
    broken: [AtomicU64; STEPS.len()],
}

/// A connection.
#[derive(Default)]
struct Talk {
    /// The final dot has gone on to the next hop.
    was_dot: AtomicBool,
    /// The fault has come: nobody says a regular end.
    is_broken: AtomicBool,
}

impl Bridge {
    /// Listens on a port of its own and passes on to `next_hop`, both on 127.0.0.1.
    pub fn start(next_hop: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let shared = Arc::<Shared>::default();
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                // A side that goes away ends its connection and nothing else.
                std::thread::spawn(move || drop(shared.pass(client, next_hop)));
            }
        });
        Self { port, shared }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Breaks connections from now on, or no more.
    pub fn set(&self, fault: Option<Break>) {
        *self.shared.fault.lock().expect("the fault") = fault;
    }

    /// Breaks every connection from now on at this step.
    pub fn set_at(&self, step: &str, fault: Break) {
        let step = STEPS.iter().position(|name| *name == step).expect("a step");
        *self.shared.only.lock().expect("the step") = Some(step);
        self.set(Some(fault));
    }

    /// How many connections were broken.
    pub fn broken(&self) -> u64 {
        self.shared.broken.iter().map(|count| count.load(Ordering::SeqCst)).sum()
    }

    /// Whether each step was hit.
    pub fn was_everywhere(&self) -> bool {
        self.shared.broken.iter().all(|count| count.load(Ordering::SeqCst) > 0)
    }

    /// How often the reply to the final dot was withheld: the window of RFC 1047.
    pub fn withheld(&self) -> u64 {
        self.shared.broken[STEPS.len() - 1].load(Ordering::SeqCst)
    }
}

impl Shared {
    fn fault(&self) -> Option<Break> {
        *self.fault.lock().expect("the fault")
    }

    fn pass(self: &Arc<Self>, client: TcpStream, next_hop: u16) -> std::io::Result<()> {
        let server = TcpStream::connect(("127.0.0.1", next_hop))?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        // A connection from before the fault is not broken.
        let only = *self.only.lock().expect("the step");
        let next = || self.connections.fetch_add(1, Ordering::SeqCst) % STEPS.len();
        let step = self.fault().map(|_| only.unwrap_or_else(next));
        if step == Some(0) {
            self.act(0, &client, &server, &Talk::default());
            return Ok(());
        }
        let talk = Arc::<Talk>::default();
        let (shared, from, to, theirs) =
            (Arc::clone(self), server.try_clone()?, client.try_clone()?, Arc::clone(&talk));
        std::thread::spawn(move || drop(shared.replies(from, to, &theirs, step)));
        let (mut input, mut output) = (BufReader::new(client.try_clone()?), server.try_clone()?);
        let mut is_content = false;
        loop {
            let mut line = Vec::new();
            if input.read_until(b'\n', &mut line)? == 0 {
                server.shutdown(Shutdown::Write)?;
                return Ok(());
            }
            let verb = String::from_utf8_lossy(line.get(..4).unwrap_or_default()).to_ascii_uppercase();
            let here = match (is_content, line.as_slice()) {
                (true, b".\r\n") => "DOT",
                (true, _) => "CONTENT",
                (false, _) => verb.as_str(),
            };
            if step.is_some_and(|step| STEPS[step] == here) {
                self.act(step.unwrap_or_default(), &client, &server, &talk);
                return Ok(());
            }
            match here {
                "DATA" => is_content = true,
                "DOT" => {
                    is_content = false;
                    talk.was_dot.store(true, Ordering::SeqCst);
                }
                _ => {}
            }
            output.write_all(&line)?;
        }
    }

    fn replies(&self, mut from: TcpStream, mut to: TcpStream, talk: &Talk, step: Option<usize>) -> std::io::Result<()> {
        let last = STEPS.len() - 1;
        let mut octets = [0; 4096];
        loop {
            let read = from.read(&mut octets)?;
            if read == 0 && talk.is_broken.load(Ordering::SeqCst) {
                return Ok(());
            }
            if read == 0 {
                return to.shutdown(Shutdown::Write);
            }
            if step == Some(last) && talk.was_dot.load(Ordering::SeqCst) {
                self.act(last, &to, &from, talk);
                return Ok(());
            }
            to.write_all(&octets[..read])?;
        }
    }

    fn act(&self, step: usize, client: &TcpStream, server: &TcpStream, talk: &Talk) {
        self.broken[step].fetch_add(1, Ordering::SeqCst);
        let fault = self.fault().unwrap_or(Break::Drop);
        if fault == Break::Stall {
            let begun = Instant::now();
            while self.fault().is_some() && begun.elapsed() < Duration::from_secs(60) {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        talk.is_broken.store(true, Ordering::SeqCst);
        if fault == Break::Reset {
            // Closed with nothing to linger for: RST instead of FIN. A shutdown below would send the FIN first.
            let _ = rustix::net::sockopt::set_socket_linger(client, Some(Duration::ZERO));
            let _ = client.shutdown(Shutdown::Read);
        } else {
            let _ = client.shutdown(Shutdown::Both);
        }
        let _ = server.shutdown(Shutdown::Both);
    }
}
