//! A milter client that speaks as it is told, also wrongly, and a filter with a judge that does as it is
//! told. Everything on loopback, every wait bounded.

use std::io::{self, Read, Write};
use std::net::{Shutdown as Half, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use sekisho::config::{Config, Endpoint};
use sekisho::envelope::Envelope;
use sekisho::message::SpoolPolicy;
use sekisho::milter::{Answer, Field, Judge, Received, Response, server};
use sekisho::net::{self, Permits, Shutdown};
use sekisho::smtp::session::SessionEnd;
use sekisho::smtp::session::{ContentRefusal, RefusalCause};
use sekisho::transaction::Ending;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use super::wait_for;

pub use super::PATIENCE;
/// All actions and protocol steps that Postfix 3.7 offers.
pub const ALL: (u32, u32) = (0x1ff, 0x1f_ffff);
/// Without SMFIP_NR_*, SKIP and HDR_LEADSPC: every event is answered.
pub const PLAIN: (u32, u32) = (0x1ff, 0x7f);

/// One answer of a filter: its letter and its data.
pub type Frame = (u8, Vec<u8>);

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A server that asks a filter.
pub struct Mta {
    socket: Socket,
    input: Vec<u8>,
    /// The protocol steps that were agreed upon.
    pub steps: u32,
}

/// A frame as it goes over the wire.
pub fn frame(command: u8, data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len() + 1).expect("a small frame");
    [&length.to_be_bytes(), &[command][..], data].concat()
}

/// Strings, each with its NUL.
pub fn strings(list: &[&str]) -> Vec<u8> {
    list.iter().flat_map(|string| [string.as_bytes(), b"\0"].concat()).collect()
}

impl Mta {
    pub fn tcp(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { socket: Socket::Tcp(stream), input: Vec::new(), steps: 0 })
    }

    pub fn unix(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { socket: Socket::Unix(stream), input: Vec::new(), steps: 0 })
    }

    pub fn connect_to(endpoint: &Endpoint) -> io::Result<Self> {
        match endpoint {
            Endpoint::Tcp(address) => Self::tcp(*address),
            Endpoint::Unix(path) => Self::unix(path),
            Endpoint::Systemd(name) => panic!("nothing to connect to: {name}"),
        }
    }

    /// Sends octets, whatever they are.
    pub fn raw(&mut self, octets: &[u8]) -> io::Result<()> {
        match &mut self.socket {
            Socket::Tcp(stream) => stream.write_all(octets),
            Socket::Unix(stream) => stream.write_all(octets),
        }
    }

    pub fn send(&mut self, command: u8, data: &[u8]) {
        self.raw(&frame(command, data)).expect("to write");
    }

    /// Sends small packets one behind the acknowledgement of the other (Nagle), as Postfix does.
    pub fn nagle(&self) {
        if let Socket::Tcp(stream) = &self.socket {
            stream.set_nodelay(false).expect("an option");
        }
    }

    /// Ends the own half of the connection.
    pub fn end_sending(&self) {
        match &self.socket {
            Socket::Tcp(stream) => stream.shutdown(Half::Write).expect("to shut down"),
            Socket::Unix(stream) => stream.shutdown(Half::Write).expect("to shut down"),
        }
    }

    /// The next frame; `None` if the filter has closed.
    pub fn receive(&mut self) -> Option<Frame> {
        loop {
            if let Some((length, rest)) = self.input.split_first_chunk::<4>() {
                let length = u32::from_be_bytes(*length) as usize;
                assert!((1..=1 << 20).contains(&length), "a frame of {length} octets");
                if rest.len() >= length {
                    let frame = (rest[0], rest[1..length].to_vec());
                    self.input.drain(..length + 4);
                    return Some(frame);
                }
            }
            let mut octets = [0; 65_536];
            let read = match &mut self.socket {
                Socket::Tcp(stream) => stream.read(&mut octets),
                Socket::Unix(stream) => stream.read(&mut octets),
            };
            match read {
                Ok(0) => {
                    assert!(self.input.is_empty(), "closed inside a frame");
                    return None;
                }
                Ok(read) => self.input.extend_from_slice(&octets[..read]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no answer: {error}"),
            }
        }
    }

    /// Offers this; version, actions and protocol steps that the filter takes.
    pub fn negotiate(&mut self, version: u32, offer: (u32, u32)) -> (u32, u32, u32) {
        self.send(b'O', &[version.to_be_bytes(), offer.0.to_be_bytes(), offer.1.to_be_bytes()].concat());
        let (letter, data) = self.receive().expect("an answer to the offer");
        assert_eq!((letter, data.len()), (b'O', 12));
        let number = |at: usize| u32::from_be_bytes(data[at..at + 4].try_into().expect("four octets"));
        self.steps = number(8);
        (number(0), number(4), number(8))
    }

    /// A command other than the end of a message: it gets CONTINUE, unless it was agreed that it gets nothing.
    pub fn event(&mut self, command: u8, data: &[u8]) {
        self.send(command, data);
        let unless = match command {
            b'C' => 0x1000,
            b'H' => 0x2000,
            b'M' => 0x4000,
            b'R' => 0x8000,
            b'T' => 0x1_0000,
            b'U' => 0x2_0000,
            b'N' => 0x4_0000,
            b'B' => 0x8_0000,
            b'L' => 0x80,
            _ => return,
        };
        if self.steps & unless == 0 {
            assert_eq!(self.receive(), Some((b'c', Vec::new())), "for {}", char::from(command));
        }
    }

    /// Values for a command.
    pub fn macros(&mut self, command: u8, values: &[(&str, &str)]) {
        let values: Vec<&str> = values.iter().flat_map(|(name, value)| [*name, *value]).collect();
        self.send(b'D', &[&[command][..], &strings(&values)].concat());
    }

    /// CONNECT and HELO of an IPv4 client.
    pub fn client(&mut self, name: &str, address: &str, helo: &str) {
        self.event(b'C', &[&strings(&[name])[..], b"4\x04\xd2", &strings(&[address])].concat());
        self.event(b'H', &strings(&[helo]));
    }

    /// MAIL, RCPT and DATA, with a queue id as Postfix gives it.
    pub fn envelope(&mut self, id: &str, from: &str, to: &[&str]) {
        self.event(b'M', &strings(&[from]));
        for recipient in to {
            self.macros(b'R', &[("i", id)]);
            self.event(b'R', &strings(&[recipient]));
        }
        self.macros(b'T', &[("i", id)]);
        self.event(b'T', b"");
    }

    /// Header and body of a whole message, as Postfix cuts it up, and its end.
    pub fn content(&mut self, letter: &[u8]) -> Vec<Frame> {
        let text = String::from_utf8_lossy(letter).into_owned();
        let (header, body) = text.split_once("\r\n\r\n").unwrap_or((text.trim_end(), ""));
        let unfolded = header.replace("\r\n ", "\n ").replace("\r\n\t", "\n\t");
        for field in unfolded.split("\r\n").filter(|field| !field.is_empty()) {
            let (name, value) = field.split_once(':').expect("a field");
            let kept = self.steps & 0x10_0000 != 0;
            let value = if kept { value } else { value.strip_prefix(' ').unwrap_or(value) };
            self.event(b'L', &strings(&[name, value]));
        }
        self.event(b'N', b"");
        for piece in body.as_bytes().chunks(65_535) {
            self.event(b'B', piece);
        }
        self.end()
    }

    /// The end of a message: all frames of the answer, without PROGRESS.
    pub fn end(&mut self) -> Vec<Frame> {
        self.send(b'E', b"");
        self.answer()
    }

    /// All frames up to the last word, without PROGRESS.
    pub fn answer(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        loop {
            let frame = self.receive().expect("an answer");
            let last = b"acrtdy".contains(&frame.0);
            if frame.0 != b'p' {
                frames.push(frame);
            }
            if last {
                return frames;
            }
        }
    }

    /// Whether the filter has closed, or does before it says anything else.
    pub fn is_closed(&mut self) -> bool {
        self.receive().is_none()
    }
}

/// A message as a judge got it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub envelope: Envelope,
    pub content: Vec<u8>,
    pub fields: Vec<Field>,
    pub prefix: usize,
    pub session: u64,
}

impl Seen {
    /// The content without the Received field on top.
    pub fn told(&self) -> String {
        String::from_utf8_lossy(&self.content[self.prefix..]).into_owned()
    }
}

/// A judge that says what it is told to say.
pub struct Fake {
    config: Mutex<Arc<Config>>,
    spool: Mutex<SpoolPolicy>,
    answer: Mutex<Answer>,
    panics: AtomicBool,
    pub seen: Mutex<Vec<Seen>>,
    pub outcomes: Mutex<Vec<Ending>>,
    pub refused: Mutex<Vec<RefusalCause>>,
    pub ends: Mutex<Vec<SessionEnd>>,
    /// Judgements given up because the MTA had gone.
    pub gone: AtomicUsize,
    waiting: AtomicUsize,
    go: Semaphore,
}

impl Fake {
    fn new(config: Config) -> Arc<Self> {
        Arc::new(Self {
            config: Mutex::new(Arc::new(config)),
            spool: Mutex::new(SpoolPolicy::new(64 * 1024, std::env::temp_dir())),
            answer: Mutex::new(Answer::only(Response::Accept)),
            panics: AtomicBool::new(false),
            seen: Mutex::default(),
            outcomes: Mutex::default(),
            refused: Mutex::default(),
            ends: Mutex::default(),
            gone: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            go: Semaphore::new(Semaphore::MAX_PERMITS),
        })
    }

    pub fn say(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    pub fn panic(&self, panics: bool) {
        self.panics.store(panics, Ordering::SeqCst);
    }

    pub fn spool_in(&self, folder: PathBuf, threshold: usize) {
        *self.spool.lock().unwrap() = SpoolPolicy::new(threshold, folder);
    }

    /// Judgements wait from now on until [`Fake::release`], or until the MTA has gone.
    pub fn hold(&self) {
        self.go.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub fn wait_for_message(&self) {
        wait_for("a message to judge", PATIENCE, || self.waiting.load(Ordering::SeqCst) > 0);
    }

    pub fn release(&self) {
        self.go.add_permits(1000);
    }

    pub fn last(&self) -> Seen {
        self.seen.lock().unwrap().last().cloned().expect("a message")
    }

    pub fn wait_for_outcomes(&self, expected: &[Ending]) {
        wait_for("outcomes", PATIENCE, || self.outcomes.lock().unwrap().len() >= expected.len());
        assert_eq!(*self.outcomes.lock().unwrap(), expected);
    }
}

impl Judge for Fake {
    type Receipt = ();

    async fn judge(&self, message: Received) -> (Answer, ()) {
        self.seen.lock().unwrap().push(Seen {
            envelope: message.envelope.clone(),
            content: message.message.bytes().expect("content").to_vec(),
            fields: message.fields.clone(),
            prefix: usize::try_from(message.prefix).expect("a small field"),
            session: message.session,
        });
        self.waiting.fetch_add(1, Ordering::SeqCst);
        tokio::select! {
            permit = self.go.acquire() => permit.unwrap().forget(),
            () = message.client_gone.cancelled() => {
                self.gone.fetch_add(1, Ordering::SeqCst);
                self.waiting.fetch_sub(1, Ordering::SeqCst);
                return (Answer::only(Response::Tempfail), ());
            }
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        assert!(!self.panics.load(Ordering::SeqCst), "as told");
        (self.answer.lock().unwrap().clone(), ())
    }

    async fn settle(&self, (): (), outcome: Ending) {
        self.outcomes.lock().unwrap().push(outcome);
    }

    fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.lock().unwrap())
    }

    fn spool(&self) -> SpoolPolicy {
        self.spool.lock().unwrap().clone()
    }

    fn session_ended(&self, end: SessionEnd) {
        self.ends.lock().unwrap().push(end);
    }

    fn message_refused(&self, _session: u64, _envelope: &Envelope, refusal: ContentRefusal) {
        self.refused.lock().unwrap().push(refusal.cause);
    }
}

/// A filter that runs, with threads of its own.
pub struct Filter {
    pub endpoint: Endpoint,
    pub judge: Arc<Fake>,
    pub permits: Arc<Permits>,
    pub shutdown: Shutdown,
    pub runtime: Runtime,
    folder: tempfile::TempDir,
}

impl Filter {
    /// On a free TCP port.
    pub fn tcp(config: Config) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self::start(&Endpoint::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))), config, folder)
    }

    /// On a Unix socket.
    pub fn unix(config: Config) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self::start(&Endpoint::Unix(folder.path().join("milter.sock")), config, folder)
    }

    fn start(listen: &Endpoint, config: Config, folder: tempfile::TempDir) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
        let _entered = runtime.enter();
        let socket = net::Listener::bind(listen).expect("to listen");
        let endpoint = socket.endpoint().expect("an address");
        let judge = Fake::new(config);
        let (permits, shutdown) = (Permits::new(), Shutdown::new());
        runtime.spawn(server::serve(socket, Arc::clone(&judge), Arc::clone(&permits), shutdown.clone()));
        drop(_entered);
        Self { endpoint, judge, permits, shutdown, runtime, folder }
    }

    /// A connection without negotiation.
    pub fn connect(&self) -> Mta {
        Mta::connect_to(&self.endpoint).expect("a connection")
    }

    /// A negotiated connection of version 6.
    pub fn mta(&self, offer: (u32, u32)) -> Mta {
        let mut mta = self.connect();
        mta.negotiate(6, offer);
        mta
    }

    /// Waits until no session is open: nothing may leak.
    pub fn drained(&self) {
        wait_for("all sessions to end", PATIENCE, || self.permits.open() == 0 && self.shutdown.sessions() == 0);
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
