//! A next hop that counts what it took and can kill its client at a chosen step; and a client for it.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use sekisho::envelope::Envelope;
use sekisho::message::Message;
use sekisho::store::{Delivery, Failure, Outcome, Refusal};

/// When the server kills its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillAt {
    Greeting,
    Hello,
    Mail,
    Recipient,
    Data,
    Content,
    /// The dot has come, the message is not taken: the machine of the next hop fails, too.
    DotRefused,
    /// The dot has come and the message is taken.
    DotTaken,
    /// The reply was sent.
    Replied,
}

impl KillAt {
    /// Every step, and whether a person has to look afterwards.
    pub const STEPS: [(KillAt, bool); 8] = [
        (KillAt::Greeting, false),
        (KillAt::Hello, false),
        (KillAt::Mail, false),
        (KillAt::Recipient, false),
        (KillAt::Data, false),
        (KillAt::Content, false),
        (KillAt::DotRefused, true),
        (KillAt::DotTaken, true),
    ];
}

/// A message that was taken.
#[derive(Clone, Debug)]
pub struct Mail {
    pub sender: String,
    pub recipients: Vec<String>,
    pub content: Vec<u8>,
}

#[derive(Default)]
struct Shared {
    arrived: Vec<Mail>,
    refused: String,
    dot_reply: Option<String>,
    kill_at: Option<KillAt>,
    client: Option<u32>,
    slow: bool,
    sessions: usize,
}

/// The server. Its threads end with the test.
pub struct NextHop {
    port: u16,
    shared: Arc<(Mutex<Shared>, Condvar)>,
}

impl NextHop {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new((Mutex::new(Shared::default()), Condvar::new()));
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&serving);
                shared.0.lock().unwrap().sessions += 1;
                std::thread::spawn(move || {
                    // A client that is gone ends its session, nothing else.
                    let _ = session(stream.unwrap(), &shared);
                    shared.0.lock().unwrap().sessions -= 1;
                    shared.1.notify_all();
                });
            }
        });
        Self { port, shared }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn client(&self) -> Client {
        Client::to(self.port)
    }

    pub fn arrived(&self) -> Vec<Mail> {
        self.shared.0.lock().unwrap().arrived.clone()
    }

    pub fn refuse(&self, recipient: &str) {
        self.shared.0.lock().unwrap().refused = recipient.to_owned();
    }

    pub fn answer_dot(&self, reply: &str) {
        self.shared.0.lock().unwrap().dot_reply = Some(reply.to_owned());
    }

    pub fn kill_client_at(&self, step: KillAt) {
        self.shared.0.lock().unwrap().kill_at = Some(step);
    }

    /// Tells the process to kill.
    pub fn client_is(&self, pid: u32) {
        self.shared.0.lock().unwrap().client = Some(pid);
        self.shared.1.notify_all();
    }

    /// Waits a little at every step, so that a random moment hits each of them.
    pub fn be_slow(&self) {
        self.shared.0.lock().unwrap().slow = true;
    }

    pub fn wait_until_idle(&self) {
        // Long enough for a connection that was just made to become a session.
        std::thread::sleep(Duration::from_millis(5));
        let shared = self.shared.0.lock().unwrap();
        drop(self.shared.1.wait_while(shared, |shared| shared.sessions > 0).unwrap());
    }
}

fn session(stream: TcpStream, shared: &(Mutex<Shared>, Condvar)) -> io::Result<()> {
    let mut out = stream.try_clone()?;
    let mut input = BufReader::new(stream);
    let mut mail = Mail { sender: String::new(), recipients: Vec::new(), content: Vec::new() };
    step(shared, KillAt::Greeting)?;
    out.write_all(b"220 next.hop ESMTP\r\n")?;
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        let reply = match line.split([' ', ':']).next().unwrap() {
            "EHLO" => {
                step(shared, KillAt::Hello)?;
                "250-next.hop\r\n250 8BITMIME"
            }
            "MAIL" => {
                step(shared, KillAt::Mail)?;
                mail.sender = line.to_owned();
                "250 2.1.0 Ok"
            }
            "RCPT" => {
                step(shared, KillAt::Recipient)?;
                let recipient = line.strip_prefix("RCPT TO:").unwrap().to_owned();
                if shared.0.lock().unwrap().refused == recipient {
                    "550 5.1.1 no such user"
                } else {
                    mail.recipients.push(recipient);
                    "250 2.1.5 Ok"
                }
            }
            "DATA" => {
                step(shared, KillAt::Data)?;
                out.write_all(b"354 go on\r\n")?;
                mail.content = content(&mut input, shared)?;
                take(shared, &mail, &mut out)?;
                continue;
            }
            _ => "221 2.0.0 Bye",
        };
        out.write_all(format!("{reply}\r\n").as_bytes())?;
    }
}

/// Content up to the final dot; without it, nothing.
fn content(input: &mut impl BufRead, shared: &(Mutex<Shared>, Condvar)) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let mut line = Vec::new();
        input.read_until(b'\n', &mut line)?;
        match line.as_slice() {
            b".\r\n" => return Ok(content),
            line if !line.ends_with(b"\n") => return Err(io::ErrorKind::UnexpectedEof.into()),
            line => content.extend_from_slice(line.strip_prefix(b".").unwrap_or(line)),
        }
        if content.len() > 20 {
            step(shared, KillAt::Content)?;
        }
    }
}

/// The final dot has come.
fn take(shared: &(Mutex<Shared>, Condvar), mail: &Mail, out: &mut TcpStream) -> io::Result<()> {
    if let Some(reply) = shared.0.lock().unwrap().dot_reply.clone() {
        return out.write_all(format!("{reply}\r\n").as_bytes());
    }
    step(shared, KillAt::DotRefused)?;
    shared.0.lock().unwrap().arrived.push(mail.clone());
    step(shared, KillAt::DotTaken)?;
    out.write_all(b"250 2.0.0 Ok: queued as 4gXk2p0Z\r\n")?;
    step(shared, KillAt::Replied)
}

/// Waits, or kills the client, as the test wants it.
fn step(shared: &(Mutex<Shared>, Condvar), step: KillAt) -> io::Result<()> {
    let mut state = shared.0.lock().unwrap();
    if state.kill_at == Some(step) {
        state = shared.1.wait_while(state, |state| state.client.is_none()).unwrap();
        let pid = rustix::process::Pid::from_raw(state.client.unwrap().cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        state.kill_at = None;
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    let slow = state.slow;
    drop(state);
    if slow {
        std::thread::sleep(Duration::from_micros(1500));
    }
    Ok(())
}

/// A plain, blocking SMTP client.
pub struct Client {
    port: u16,
}

impl Client {
    pub fn to(port: u16) -> Self {
        Self { port }
    }

    /// To a port where nobody listens.
    pub fn nowhere() -> Self {
        Self::to(1)
    }

    fn command(stream: &mut BufReader<TcpStream>, line: &str) -> Result<String, Failure> {
        let lost = |error: io::Error| Failure::Unreachable(error.to_string());
        if !line.is_empty() {
            stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).map_err(lost)?;
        }
        loop {
            let mut reply = String::new();
            if stream.read_line(&mut reply).map_err(lost)? == 0 {
                return Err(Failure::Unreachable("connection lost".to_owned()));
            }
            if reply.as_bytes().get(3) != Some(&b'-') {
                return Ok(reply.trim_end().to_owned());
            }
        }
    }

    /// Dot-stuffed content, without the final dot.
    fn stuffed(message: &Message) -> Vec<u8> {
        let mut stuffed = Vec::new();
        for line in message.bytes().unwrap().split_inclusive(|octet| *octet == b'\n') {
            if line.starts_with(b".") {
                stuffed.push(b'.');
            }
            stuffed.extend_from_slice(line);
        }
        if !stuffed.ends_with(b"\r\n") {
            stuffed.extend_from_slice(b"\r\n");
        }
        stuffed
    }
}

impl Delivery for Client {
    fn deliver(
        &mut self,
        envelope: &Envelope,
        message: &Message,
        before_dot: &mut dyn FnMut(&[Refusal]) -> io::Result<()>,
    ) -> Result<Outcome, Failure> {
        let lost = |error: io::Error| Failure::Unreachable(error.to_string());
        let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", self.port)).map_err(lost)?);
        Self::command(&mut stream, "")?;
        Self::command(&mut stream, "EHLO test")?;
        let sender = &envelope.sender;
        Self::command(&mut stream, &format!("MAIL FROM:{} {}", sender.path.text(), sender.parameters.text()))?;
        let mut refused = Vec::new();
        for recipient in &envelope.recipients {
            let reply = Self::command(&mut stream, &format!("RCPT TO:{}", recipient.path.text()))?;
            if !reply.starts_with('2') {
                refused.push(Refusal { recipient: recipient.clone(), reply });
            }
        }
        if refused.len() == envelope.recipients.len() {
            return Err(Failure::Refused(refused[0].reply.clone()));
        }
        Self::command(&mut stream, "DATA")?;
        stream.get_mut().write_all(&Self::stuffed(message)).map_err(lost)?;
        before_dot(&refused).map_err(lost)?;
        match Self::command(&mut stream, ".") {
            Ok(reply) if reply.starts_with('2') => Ok(Outcome { reply, refused, unanswered: Vec::new() }),
            Ok(reply) if reply.starts_with('4') => Err(Failure::Deferred(reply)),
            Ok(reply) => Err(Failure::Refused(reply)),
            Err(failure) => Err(Failure::Unknown(failure.to_string())),
        }
    }
}
