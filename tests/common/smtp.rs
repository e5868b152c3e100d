//! A scriptable next hop, a raw SMTP client, and a proxy between them with a handler that does as
//! it is told. Everything on loopback, every wait bounded.

#![allow(dead_code, reason = "each test program uses a part")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sekisho::config::{Config, Endpoint, Listener, ServiceLimits, Timeouts};
use sekisho::limits::Limits;
use sekisho::marks::Changes;
use sekisho::message::SpoolPolicy;
use sekisho::net::{self, Permits, Shutdown, Stream};
use sekisho::plan::Addressees;
use sekisho::smtp::session::{ContentRefusal, SessionEnd};
use sekisho::smtp::{Reply, server};
use sekisho::tls::Identity;
use sekisho::transaction::{Answer, Forwarded, Handler, Mail, Onward};
use sekisho::transport::Transport;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

pub use super::PATIENCE;

/// What the next hop does at one point of a conversation.
#[derive(Clone, Debug)]
pub enum Act {
    /// Sends these octets (without CRLF at the end, which is added).
    Say(String),
    /// Sends exactly these octets.
    Raw(Vec<u8>),
    /// Sends these octets and closes.
    SayAndClose(String),
    /// Closes without a word.
    Close,
    /// Never answers, but keeps the connection open.
    Silence,
    /// Answers one octet each so many milliseconds.
    Drip(String, u64),
}

/// Where in a conversation: the verb in upper case, `CONNECT` for the banner, `CONTENT` when the
/// first octets of content arrive, `END` at the final dot, `IDLE` after the reply to RCPT.
type Key = (usize, &'static str);

#[derive(Debug, Default)]
struct HopState {
    /// Knows LHLO and not EHLO, and answers for each recipient.
    lmtp: bool,
    /// Offers STARTTLS.
    tls: Option<Identity>,
    /// For the n-th connection (from 0), at this point.
    acts: HashMap<Key, Act>,
    /// On every connection.
    always: HashMap<&'static str, Act>,
    /// For these recipients.
    recipients: HashMap<String, String>,
    lines: Vec<(usize, String)>,
    messages: Vec<Received>,
    incomplete: Vec<Vec<u8>>,
}

/// A message whose final dot the next hop has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// MAIL FROM: and all behind it.
    pub sender: String,
    /// RCPT TO: and all behind it.
    pub recipients: Vec<String>,
    /// Unstuffed.
    pub content: Vec<u8>,
    /// As it came, with the final dot.
    pub wire: Vec<u8>,
}

/// A next hop that accepts everything unless told otherwise.
#[derive(Clone)]
pub struct Hop {
    pub address: SocketAddr,
    state: Arc<Mutex<HopState>>,
    connections: Arc<AtomicUsize>,
    changed: Arc<Notify>,
}

const EHLO: &str = "250-hop\r\n250-SIZE 0\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-CHUNKING\r\n250-PIPELINING\r\n\
    250 XFORWARD NAME ADDR PROTO HELO IDENT";

impl Hop {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hop = Self {
            address: listener.local_addr().unwrap(),
            state: Arc::default(),
            connections: Arc::default(),
            changed: Arc::default(),
        };
        let serving = hop.clone();
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let number = serving.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serving.clone().converse(stream, number));
            }
        });
        hop
    }

    /// A next hop that speaks LMTP.
    pub async fn start_lmtp() -> Self {
        let hop = Self::start().await;
        hop.state.lock().unwrap().lmtp = true;
        hop
    }

    /// Offers STARTTLS from now on.
    pub fn offer_tls(&self, identity: Identity) {
        self.state.lock().unwrap().tls = Some(identity);
    }

    fn is_lmtp(&self) -> bool {
        self.state.lock().unwrap().lmtp
    }

    /// What to do on the n-th connection (from 0) at this point.
    pub fn on(&self, connection: usize, at: &'static str, act: Act) -> &Self {
        self.state.lock().unwrap().acts.insert((connection, at), act);
        self
    }

    /// What to do on every connection at this point.
    pub fn always(&self, at: &'static str, act: Act) -> &Self {
        self.state.lock().unwrap().always.insert(at, act);
        self
    }

    /// The reply to this recipient (`<a@b>`), all lines.
    pub fn recipient(&self, path: &str, reply: &str) -> &Self {
        self.state.lock().unwrap().recipients.insert(path.to_owned(), reply.to_owned());
        self
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Messages that were completed.
    pub fn messages(&self) -> Vec<Received> {
        self.state.lock().unwrap().messages.clone()
    }

    /// Content of messages whose connection closed before the final dot.
    pub fn incomplete(&self) -> Vec<Vec<u8>> {
        self.state.lock().unwrap().incomplete.clone()
    }

    /// All command lines, each behind the number of its connection: `0 EHLO a`.
    pub fn lines(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        state.lines.iter().map(|(connection, line)| format!("{connection} {line}")).collect()
    }

    /// Waits until a command line was seen.
    pub async fn wait_for(&self, line: &str) {
        let seen = async {
            while !self.lines().iter().any(|seen| seen == line) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if timeout(PATIENCE, seen).await.is_err() {
            panic!("no {line:?} in {:#?}", self.lines());
        }
    }

    fn act(&self, connection: usize, at: &str) -> Option<Act> {
        let state = self.state.lock().unwrap();
        let own = state.acts.iter().find(|((number, point), _)| *number == connection && *point == at);
        own.map(|(_, act)| act).or_else(|| state.always.get(at)).cloned()
    }

    fn offer(&self, secure: bool) -> String {
        let tls = self.state.lock().unwrap().tls.is_some() && !secure;
        if tls { format!("250-hop\r\n250-STARTTLS\r\n{EHLO}") } else { EHLO.to_owned() }
    }

    async fn converse(self, stream: TcpStream, number: usize) {
        let mut stream = Stream::Tcp(stream);
        let _ = self.talk(&mut stream, number).await;
    }

    /// Does the scripted act or says `default`; `None` ends the connection.
    async fn answer(&self, stream: &mut Stream, number: usize, at: &str, default: &str) -> Option<()> {
        let act = self.act(number, at).unwrap_or_else(|| Act::Say(default.to_owned()));
        match act {
            Act::Say(text) => write(stream, format!("{text}\r\n").as_bytes()).await,
            Act::Raw(octets) => write(stream, &octets).await,
            Act::SayAndClose(text) => {
                write(stream, format!("{text}\r\n").as_bytes()).await?;
                None
            }
            Act::Close => None,
            Act::Silence => Some(()),
            Act::Drip(text, milliseconds) => {
                for octet in format!("{text}\r\n").bytes() {
                    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
                    stream.write_all(&[octet]).await.ok()?;
                }
                Some(())
            }
        }
    }

    async fn talk(&self, stream: &mut Stream, number: usize) -> Option<()> {
        self.answer(stream, number, "CONNECT", "220 hop").await?;
        let mut input = Vec::new();
        let mut secure = false;
        let (mut sender, mut recipients) = (String::new(), Vec::new());
        loop {
            let line = read_line(stream, &mut input).await?;
            self.state.lock().unwrap().lines.push((number, line.clone()));
            let verb = line.get(..4).unwrap_or(&line).to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" if self.is_lmtp() => self.answer(stream, number, "EHLO", "500 5.5.1 LMTP here").await?,
                "EHLO" => self.answer(stream, number, "EHLO", &self.offer(secure)).await?,
                "STAR" => {
                    self.answer(stream, number, "STARTTLS", "220 2.0.0 go").await?;
                    let identity = self.state.lock().unwrap().tls.clone();
                    if let Some(identity) = identity {
                        stream.accept_tls(identity.config()).await.ok()?;
                        self.state.lock().unwrap().lines.push((number, "<TLS>".to_owned()));
                        (secure, input) = (true, Vec::new());
                    }
                }
                "LHLO" if self.is_lmtp() => self.answer(stream, number, "LHLO", &self.offer(secure)).await?,
                "LHLO" => self.answer(stream, number, "LHLO", "500 5.5.2 unknown command").await?,
                "HELO" if self.is_lmtp() => self.answer(stream, number, "HELO", "500 5.5.1 LMTP here").await?,
                "MAIL" => {
                    sender = line[10..].to_owned();
                    recipients.clear();
                    self.answer(stream, number, "MAIL", "250 2.1.0 Ok").await?;
                }
                "RCPT" => {
                    let recipient = line[8..].to_owned();
                    let scripted = self.state.lock().unwrap().recipients.get(&recipient).cloned();
                    let reply = scripted.unwrap_or_else(|| "250 2.1.5 Ok".to_owned());
                    if reply.starts_with('2') {
                        recipients.push(recipient);
                    }
                    self.answer(stream, number, "RCPT", &reply).await?;
                    if self.act(number, "IDLE").is_some() {
                        self.answer(stream, number, "IDLE", "").await?;
                    }
                }
                "RSET" => {
                    recipients.clear();
                    self.answer(stream, number, "RSET", "250 2.0.0 Ok").await?;
                }
                "QUIT" => {
                    self.answer(stream, number, "QUIT", "221 2.0.0 Bye").await?;
                    return None;
                }
                "DATA" => {
                    self.answer(stream, number, "DATA", "354 go").await?;
                    if !matches!(self.act(number, "DATA"), Some(Act::Say(text)) if !text.starts_with("354")) {
                        let (sender, recipients) = (sender.clone(), recipients.clone());
                        self.content(stream, number, &mut input, sender, recipients).await?;
                    }
                }
                _ => self.answer(stream, number, "OTHER", "250 2.0.0 Ok").await?,
            }
        }
    }

    async fn content(
        &self,
        stream: &mut Stream,
        number: usize,
        input: &mut Vec<u8>,
        sender: String,
        recipients: Vec<String>,
    ) -> Option<()> {
        let mut wire = std::mem::take(input);
        while !(wire.ends_with(b"\r\n.\r\n") || wire == b".\r\n") {
            if !wire.is_empty() && self.act(number, "CONTENT").is_some() {
                self.answer(stream, number, "CONTENT", "").await?;
            }
            let mut chunk = vec![0; 65536];
            let read = stream.read(&mut chunk).await.unwrap_or(0);
            if read == 0 {
                self.state.lock().unwrap().incomplete.push(wire);
                return None;
            }
            wire.extend_from_slice(&chunk[..read]);
        }
        let content = unstuff(&wire);
        if !matches!(self.act(number, "END"), Some(Act::Say(text)) if !text.starts_with('2')) {
            let recipients = recipients.clone();
            self.state.lock().unwrap().messages.push(Received { sender, recipients, content, wire });
        }
        let each = recipients.iter().map(|recipient| format!("250 2.1.5 {recipient} has it"));
        let lmtp = each.collect::<Vec<_>>().join("\r\n");
        self.answer(stream, number, "END", if self.is_lmtp() { &lmtp } else { "250 2.0.0 queued as 4711" }).await
    }
}

async fn write(stream: &mut Stream, octets: &[u8]) -> Option<()> {
    stream.write_all(octets).await.ok()?;
    stream.flush().await.ok()
}

/// Written apart from the code under test: line by line.
fn unstuff(wire: &[u8]) -> Vec<u8> {
    let body = wire.strip_suffix(b".\r\n").unwrap();
    let mut content = Vec::new();
    let mut at_start = true;
    for (index, octet) in body.iter().enumerate() {
        if !(at_start && *octet == b'.') {
            content.push(*octet);
        }
        at_start = *octet == b'\n' && index > 0 && body[index - 1] == b'\r';
    }
    content
}

async fn read_line(stream: &mut Stream, input: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(at) = input.windows(2).position(|pair| pair == b"\r\n") {
            let line: Vec<u8> = input.drain(..at + 2).collect();
            return Some(String::from_utf8_lossy(&line[..at]).into_owned());
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(read) if read > 0 => input.extend_from_slice(&chunk[..read]),
            _ => return None,
        }
    }
}

/// A client that sends what it is told and reads whole replies.
pub struct Client {
    pub stream: Stream,
    input: Vec<u8>,
}

impl Client {
    /// Connects and leaves the banner unread.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let stream = Stream::Tcp(stream);
        Self { stream, input: Vec::new() }
    }

    /// Connects and says EHLO.
    pub async fn hello(address: SocketAddr) -> Self {
        let mut client = Self::connect(address).await;
        assert!(client.reply().await.starts_with("220 "));
        assert!(client.ask("EHLO client.example").await.starts_with("250-"));
        client
    }

    /// Connects and says LHLO.
    pub async fn lhlo(address: SocketAddr) -> Self {
        let mut client = Self::connect(address).await;
        assert!(client.reply().await.contains(" LMTP "));
        assert!(client.ask("LHLO client.example").await.starts_with("250-"));
        client
    }

    pub async fn send(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// STARTTLS and the handshake; nothing may have come behind the 220.
    pub async fn start_tls(&mut self, config: Arc<ClientConfig>) {
        self.expect("STARTTLS", "220 ").await;
        assert!(self.input.is_empty());
        self.handshake(config).await.unwrap();
    }

    pub async fn handshake(&mut self, config: Arc<ClientConfig>) -> std::io::Result<()> {
        timeout(PATIENCE, self.stream.connect_tls(config, ServerName::try_from("mx.test").unwrap())).await.unwrap()
    }

    /// One command, one reply (lines joined by `\n`).
    pub async fn ask(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n").as_bytes()).await;
        self.reply().await
    }

    /// Asks and expects a reply that begins like this.
    pub async fn expect(&mut self, line: &str, reply: &str) {
        let got = self.ask(line).await;
        assert!(got.starts_with(reply), "{line:?}: {got:?}, not {reply:?}");
    }

    /// The next reply, or what came of it and `<closed>`.
    pub async fn reply(&mut self) -> String {
        let mut lines: Vec<String> = Vec::new();
        loop {
            let line = timeout(PATIENCE, read_line(&mut self.stream, &mut self.input)).await.expect("a reply in time");
            let Some(line) = line else {
                lines.push("<closed>".to_owned());
                return lines.join("\n");
            };
            let last = line.as_bytes().get(3) != Some(&b'-');
            lines.push(line);
            if last {
                return lines.join("\n");
            }
        }
    }

    /// MAIL and RCPT, all accepted.
    pub async fn envelope(&mut self, recipients: &[&str]) {
        self.expect("MAIL FROM:<sender@example.com>", "250").await;
        for recipient in recipients {
            self.expect(&format!("RCPT TO:{recipient}"), "250").await;
        }
    }

    /// As [`Client::message`]; so many replies, and none more.
    pub async fn lmtp_message(&mut self, content: &[u8], count: usize) -> Vec<String> {
        let mut replies = vec![self.message(content).await];
        for _ in 1..count {
            replies.push(self.reply().await);
        }
        replies
    }

    /// DATA, content (which is stuffed), the final dot; the reply.
    pub async fn message(&mut self, content: &[u8]) -> String {
        self.expect("DATA", "354").await;
        let mut wire = Vec::new();
        for (index, octet) in content.iter().enumerate() {
            let at_start = index == 0 || (index > 1 && &content[index - 2..index] == b"\r\n");
            if *octet == b'.' && at_start {
                wire.push(b'.');
            }
            wire.push(*octet);
        }
        wire.extend_from_slice(b".\r\n");
        self.send(&wire).await;
        self.reply().await
    }
}

/// What the handler does with a message.
#[derive(Clone, Debug, Default)]
pub enum Verdict {
    /// Forwards to everybody.
    #[default]
    Pass,
    /// Forwards to these.
    Only(Vec<usize>),
    /// Says this and forwards nothing.
    Say(u16, &'static str),
    /// Panics.
    Panic,
}

/// A handler for tests.
pub struct Fake {
    config: Mutex<Arc<Config>>,
    verdict: Mutex<Verdict>,
    changes: Mutex<Changes>,
    spool: Mutex<SpoolPolicy>,
    /// Messages that came.
    pub seen: AtomicUsize,
    /// Messages whose client had gone at the end of the scan.
    pub gone: AtomicUsize,
    /// Losses that were reported: after the dot?
    pub lost: Mutex<Vec<(bool, String)>>,
    /// Messages whose content was not taken.
    pub refused: Mutex<Vec<ContentRefusal>>,
    /// How sessions ended.
    pub ends: Mutex<Vec<SessionEnd>>,
    /// The last envelope.
    pub envelope: Mutex<Option<sekisho::envelope::Envelope>>,
    scanning: Notify,
    go: Semaphore,
}

impl Fake {
    pub fn new(config: Config) -> Arc<Self> {
        Arc::new(Self {
            config: Mutex::new(Arc::new(config)),
            verdict: Mutex::default(),
            changes: Mutex::default(),
            spool: Mutex::new(SpoolPolicy::new(64 * 1024, std::env::temp_dir())),
            seen: AtomicUsize::new(0),
            gone: AtomicUsize::new(0),
            lost: Mutex::default(),
            refused: Mutex::default(),
            ends: Mutex::default(),
            envelope: Mutex::default(),
            scanning: Notify::new(),
            go: Semaphore::new(Semaphore::MAX_PERMITS),
        })
    }

    pub fn verdict(&self, verdict: Verdict) {
        *self.verdict.lock().unwrap() = verdict;
    }

    pub fn changes(&self, changes: Changes) {
        *self.changes.lock().unwrap() = changes;
    }

    pub fn spool_in(&self, folder: PathBuf) {
        *self.spool.lock().unwrap() = SpoolPolicy::new(10, folder);
    }

    pub fn set_config(&self, config: Config) {
        *self.config.lock().unwrap() = Arc::new(config);
    }

    /// Scans wait from now on until [`Fake::release`].
    pub fn hold_scans(&self) {
        self.go.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Waits until a scan waits.
    pub async fn scan_waits(&self) {
        timeout(PATIENCE, self.scanning.notified()).await.expect("a message to scan");
    }

    pub fn release(&self) {
        self.go.add_permits(1000);
    }
}

impl Handler for Fake {
    async fn handle(&self, mail: Mail, onward: &mut impl Onward) -> Answer {
        self.seen.fetch_add(1, Ordering::SeqCst);
        *self.envelope.lock().unwrap() = Some(mail.envelope.clone());
        self.scanning.notify_one();
        self.go.acquire().await.unwrap().forget();
        let verdict = self.verdict.lock().unwrap().clone();
        if mail.client_gone.is_cancelled() {
            self.gone.fetch_add(1, Ordering::SeqCst);
            return Answer::All(Reply::new(451, "4.4.2 client gone"));
        }
        let recipients: Vec<usize> = match verdict {
            Verdict::Pass => (0..mail.envelope.recipients.len()).collect(),
            Verdict::Only(recipients) => recipients,
            Verdict::Say(code, text) => return Answer::All(Reply::new(code, text)),
            Verdict::Panic => panic!("as told"),
        };
        let changes = self.changes.lock().unwrap().clone();
        let to = Addressees { given: recipients, added: Vec::new() };
        match onward.forward(&mail.message, &changes, &to, mail.deadline()).await {
            Forwarded::Answered(replies) if mail.transport.answers_each() => {
                let mut each = vec![Reply::new(250, "2.0.0 held"); mail.envelope.recipients.len()];
                to.given.iter().zip(replies).for_each(|(index, reply)| each[*index] = reply);
                Answer::Each(each)
            }
            Forwarded::Answered(replies) => Answer::All(replies[0].clone()),
            Forwarded::Lost { after_dot, what } => {
                self.lost.lock().unwrap().push((after_dot, what));
                Answer::All(Reply::new(451, "4.4.2 next hop lost"))
            }
        }
    }

    fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.lock().unwrap())
    }

    fn spool(&self) -> SpoolPolicy {
        self.spool.lock().unwrap().clone()
    }

    fn message_refused(&self, _mail: &Mail, refusal: ContentRefusal) {
        self.refused.lock().unwrap().push(refusal);
    }

    fn session_ended(&self, _listener: &Listener, end: SessionEnd) {
        self.ends.lock().unwrap().push(end);
    }
}

/// A configuration with timeouts for tests.
pub fn config() -> Config {
    Config {
        on_error: sekisho::config::OnError::Defer,
        listeners: Vec::new(),
        http: None,
        limits: Limits::default(),
        service: ServiceLimits {
            max_connections: 200,
            max_connections_per_client: 50,
            max_recipients: 1000,
            max_errors: 20,
            max_scans: 0,
            max_waiting: 256,
            max_worker_memory: 1 << 30,
            spool_threshold: 65536,
            spool_min_free: 0,
            max_memory: 64 << 20,
        },
        timeouts: Timeouts {
            reply_deadline: PATIENCE,
            connect: PATIENCE,
            next_hop_command: PATIENCE,
            next_hop_data: PATIENCE,
            next_hop_content: PATIENCE,
            next_hop_end: PATIENCE,
            client: PATIENCE,
            shutdown: PATIENCE,
        },
        mail: sekisho::config::Mail::default(),
        second_mail: sekisho::config::SecondMail::default(),
        quarantine: sekisho::config::Quarantine { path: None, keep: PATIENCE, max_size: 1 << 30 },
        log: sekisho::config::Log { format: sekisho::config::LogFormat::Text, level: "info".to_owned() },
        policy: sekisho::policy::Policy::default(),
        ocr: sekisho::config::Ocr::default(),
        pictures: sekisho::config::Pictures::default(),
    }
}

/// A listener on a free port in front of `next_hop`.
pub fn listener(next_hop: SocketAddr) -> Listener {
    Listener {
        listen: Endpoint::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))),
        socket: sekisho::config::SocketFile::default(),
        next_hop: Endpoint::Tcp(next_hop),
        xforward_networks: vec!["127.0.0.0/8".parse().unwrap()],
        ..Listener::of(Transport::BeforeQueue)
    }
}

/// An LMTP listener on a free port in front of `next_hop`.
pub fn lmtp_listener(next_hop: SocketAddr) -> Listener {
    let transport = Transport::LmtpAfterQueue;
    Listener { next_hop_protocol: Listener::of(transport).next_hop_protocol, transport, ..listener(next_hop) }
}

/// A proxy that runs.
pub struct Proxy {
    pub address: SocketAddr,
    pub handler: Arc<Fake>,
    pub permits: Arc<Permits>,
    pub shutdown: Shutdown,
}

impl Proxy {
    pub async fn start(listener: Listener, config: Config) -> Self {
        let handler = Fake::new(config);
        let (permits, shutdown) = (Permits::new(), Shutdown::new());
        let socket = net::Listener::bind(&listener.listen).unwrap();
        let Endpoint::Tcp(address) = socket.endpoint().unwrap() else {
            unreachable!("tests that need a Unix socket start their own")
        };
        let (handling, permitting) = (Arc::clone(&handler), Arc::clone(&permits));
        tokio::spawn(server::serve(socket, Arc::new(listener), handling, permitting, shutdown.clone()));
        Self { address, handler, permits, shutdown }
    }

    /// The usual one in front of this hop.
    pub async fn before(hop: &Hop) -> Self {
        Self::start(listener(hop.address), config()).await
    }

    /// Waits until no session is open: nothing may leak.
    pub async fn drained(&self) {
        let empty = async {
            while self.permits.open() > 0 || self.shutdown.sessions() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, empty).await.expect("all sessions to end");
    }
}
