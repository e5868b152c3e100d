//! The configuration: what the daemon runs with.
//!
//! This file is the shape and the defaults (of the empty file, which is valid and protects);
//! [`load`] reads a file, [`diagnostics`] says what is wrong with it, `keys`, `rules` and `allows` are the
//! tables of what may stand in it.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::envelope::Path;
use crate::limits::Limits;
use crate::policy::Policy;
use crate::tls::{Connector, Identity};
use crate::transport::Transport;

pub mod allows;
pub mod diagnostics;
pub mod keys;
pub mod load;
pub mod rules;
pub mod values;
pub mod walk;

/// The default milter socket, in the state folder.
pub const MILTER_SOCKET: &str = "milter.sock";

/// Everything in `sekisho.toml`, checked. `Config::default()` is the empty file.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What to do when the scanner itself fails.
    pub on_error: OnError,
    /// Where mail comes in, and where each listener sends it on.
    pub listeners: Vec<Listener>,
    /// `[http]`: metrics and health; `None` if switched off (`listen = "off"`).
    pub http: Option<Endpoint>,
    /// `[limits]` of scanning.
    pub limits: Limits,
    /// `[limits]` of sessions and the daemon.
    pub service: ServiceLimits,
    /// `[timeouts]`.
    pub timeouts: Timeouts,
    /// `[mail]`.
    pub mail: Mail,
    /// `[ocr]`.
    pub ocr: Ocr,
    /// `[pictures]`.
    pub pictures: Pictures,
    /// `[quarantine]`.
    pub quarantine: Quarantine,
    /// `[second_mail]`.
    pub second_mail: SecondMail,
    /// `[log]`.
    pub log: Log,
    /// The `[[rule]]`s, the `[[allow]]`s and `on_error`, with the built-in rules.
    pub policy: Policy,
}

/// `on_error`: what to do when the scanner fails (invariant 4: the third failure on the same
/// content is held whatever this says).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// 451: the sender's server tries again.
    #[default]
    Defer,
    /// Held.
    Quarantine,
    /// Delivered, marked incomplete.
    Pass,
}

/// `[ocr]`: who reads the text in pictures of documents with active content. Read at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ocr {
    /// `program`
    pub program: OcrProgram,
    /// `languages`, as tesseract names them; those that are not installed are left out.
    pub languages: Vec<String>,
}

/// `program` of `[ocr]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OcrProgram {
    /// Tesseract, if it is installed.
    #[default]
    Auto,
    /// Nobody reads.
    Off,
    /// The program at this path, which takes tesseract's arguments.
    At(PathBuf),
}

/// `[pictures]`: the store of pictures that malicious documents showed. Read at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pictures {
    /// `learn`: whether there is one.
    pub learn: bool,
    /// `keep`: what was not seen for so long is forgotten.
    pub keep: Duration,
}

impl Default for Pictures {
    fn default() -> Self {
        Self { learn: true, keep: Duration::from_secs(90 * 24 * 3600) }
    }
}

impl Default for Ocr {
    fn default() -> Self {
        Self { program: OcrProgram::default(), languages: vec!["eng".to_owned(), "jpn".to_owned()] }
    }
}

/// A place to listen on or connect to: `127.0.0.1:10025`, `[::1]:10025`, `unix:/path`; to listen on
/// also `systemd:NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// TCP, IPv4 or IPv6.
    Tcp(SocketAddr),
    /// A Unix stream socket.
    Unix(PathBuf),
    /// The sockets that systemd passes under this name (`FileDescriptorName=`). Nothing to connect to:
    /// `next_hop` does not take it.
    Systemd(String),
}

/// `socket_owner`, `socket_group`, `socket_mode`: the file of a Unix socket that we make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketFile {
    /// A user's name or number; `None`: who runs the daemon.
    pub owner: Option<String>,
    /// A group's name or number; `None`: the daemon's.
    pub group: Option<String>,
    /// Permissions. 0660: owner and group may connect.
    pub mode: u32,
}

/// One `[[listener]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// `kind` and `mode`
    pub transport: Transport,
    /// `listen`. A relative Unix path lies in the state folder.
    pub listen: Endpoint,
    /// `socket_owner`, `socket_group`, `socket_mode`
    pub socket: SocketFile,
    /// `next_hop`; of a milter `release_to`, where released mail goes.
    pub next_hop: Endpoint,
    /// `next_hop_protocol`, never more than the listener can answer for.
    pub next_hop_protocol: NextHopProtocol,
    /// `refusals`
    pub refusals: Refusals,
    /// `bare_newlines`
    pub bare_newlines: BareNewlines,
    /// `xforward_networks`: peers that may send XFORWARD. A Unix socket's peers always may.
    pub xforward_networks: Vec<IpNet>,
    /// `hold_in`, of a milter.
    pub hold_in: HoldIn,
    /// `xclient_networks`: peers that may take another client's place (XCLIENT).
    pub xclient_networks: Vec<IpNet>,
    /// `tls`, `tls_cert`, `tls_key`; `None` if off.
    pub tls: Option<ServerTls>,
    /// `next_hop_tls` and its keys; `None` if off.
    pub next_hop_tls: Option<ClientTls>,
}

/// TLS with clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// Without it, no mail is taken.
    pub required: bool,
    /// Our certificate. A reload brings a new one into force for handshakes from then on.
    pub identity: Identity,
}

/// TLS with the next hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTls {
    /// Without it, nothing is sent.
    pub required: bool,
    /// Whom to believe.
    pub connector: Connector,
}

/// `hold_in`: where a milter's messages are held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HoldIn {
    /// In our quarantine.
    #[default]
    Store,
    /// In the MTA's queue (Postfix: on hold), if all recipients' copies are to be held and it offers that.
    Mta,
}

/// What the next hop is spoken to in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextHopProtocol {
    /// SMTP (RFC 5321).
    Smtp,
    /// LMTP (RFC 2033).
    Lmtp,
    /// LMTP, and SMTP if it does not know LHLO.
    LmtpOrSmtp,
}

/// What a recipient that the next hop refuses means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Refusals {
    /// Each reply is relayed for its recipient.
    #[default]
    Relay,
    /// One refusal refuses the message: for a Postfix in front with `speed_adjust`, which ignores
    /// replies to single recipients.
    AllOrNone,
}

/// What to do with bare CR and bare LF in content (RFC 5321 2.3.8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BareNewlines {
    /// 550 5.5.2.
    #[default]
    Reject,
    /// Each becomes CRLF.
    Normalize,
}

/// `[limits]`, the part that is about sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceLimits {
    /// Open sessions in all. 200: twice Postfix's default_process_limit.
    pub max_connections: usize,
    /// Open sessions of one client address; peers that may send XFORWARD are exempt (they are our
    /// own Postfix). 50 as Postfix's smtpd_client_connection_count_limit.
    pub max_connections_per_client: usize,
    /// Recipients of one message. 1000 as Postfix's smtpd_recipient_limit.
    pub max_recipients: usize,
    /// Commands in a session that led nowhere (unknown, out of order, NOOP, VRFY). 20 as Postfix's smtpd_hard_error_limit.
    pub max_errors: u32,
    /// Scans at the same time; 0 means twice as many as cores (see [`ServiceLimits::slots`]).
    pub max_scans: usize,
    /// Messages that wait for a scan; one more is deferred. 256: half of it, what one client may have, is more than a
    /// Postfix sends at once (its default_process_limit is 100).
    pub max_waiting: usize,
    /// Octets of address space of one worker. 1 GiB: max_scan_size twice over, and the message.
    pub max_worker_memory: u64,
    /// Octets of a message kept in memory before it goes to a file. 512 KiB: most mail never touches the disk.
    pub spool_threshold: u64,
    /// Octets that stay free on the disk of the spool. 64 MiB: the quarantine is mostly on the same disk.
    pub spool_min_free: u64,
    /// Octets of content in memory, of all messages in flight. 64 MiB: 128 messages of `spool_threshold`.
    pub max_memory: u64,
}

/// `[timeouts]`. Behind Postfix everything stays below its `smtpd_proxy_timeout` (100 s).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the client's final dot to our reply: waiting, scan, reconnect and next hop. 90 s.
    pub reply_deadline: Duration,
    /// Connecting to the next hop. 30 s.
    pub connect: Duration,
    /// The next hop's banner and its replies to EHLO, MAIL, RCPT, RSET. 30 s.
    pub next_hop_command: Duration,
    /// The next hop's 354. 120 s (RFC 5321 4.5.3.2.4).
    pub next_hop_data: Duration,
    /// No progress while content is written. 180 s (RFC 5321 4.5.3.2.5).
    pub next_hop_content: Duration,
    /// The next hop's reply to the final dot. 600 s (RFC 5321 4.5.3.2.6), cut by the deadline.
    pub next_hop_end: Duration,
    /// The client's next command or content. 300 s (RFC 5321 4.5.3.2.7).
    pub client: Duration,
    /// From SIGTERM until whatever remains is cut. 30 s, below systemd's TimeoutStopSec.
    pub shutdown: Duration,
}

/// `[mail]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Domains whose mail ends here, lower case; `*.example.jp` means any subdomain.
    pub local_domains: Vec<String>,
    /// Networks of our own users and servers. Default: loopback and none else.
    pub local_networks: Vec<IpNet>,
    /// Whose Authentication-Results fields to trust.
    pub authserv_ids: Vec<String>,
    /// Tried on everything encrypted.
    pub passwords: Vec<String>,
    /// The language of notices to recipients.
    pub language: NoticeLanguage,
}

/// `[mail] language`: what the notice in the place of a stripped attachment is written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NoticeLanguage {
    /// Japanese for recipients in `.jp`, English for all others.
    #[default]
    Auto,
    /// English.
    English,
    /// Japanese.
    Japanese,
}

/// `[quarantine]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// Its folder; `None`: `quarantine` in the state folder. A relative one is below the state folder.
    pub path: Option<PathBuf>,
    /// Held messages are deleted after this. 30 days.
    pub keep: Duration,
    /// Octets of all held messages; when full, mail that needs it is deferred. 10 GiB.
    pub max_size: u64,
}

impl Quarantine {
    /// Its folder, given the state folder; a relative `path` lies below that.
    pub fn folder(&self, state_dir: &std::path::Path) -> PathBuf {
        state_dir.join(self.path.as_deref().unwrap_or(std::path::Path::new("quarantine")))
    }
}

/// `[second_mail]`: an encrypted attachment comes in one mail, its password in another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecondMail {
    /// How long the one waits for the other; zero: not at all. 30 minutes.
    pub window: Duration,
    /// Octets of all copies of delivered mail that wait for their password. 1 GiB.
    pub quota: u64,
    /// What becomes of a held message that a password opened.
    pub held: Opened,
    /// Who is told that a delivered attachment turned out malicious, or that one was opened that the MTA holds.
    pub notify: Vec<Path>,
}

/// `[second_mail] held`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Opened {
    /// It is released if the policy would deliver it as it is.
    #[default]
    Judge,
    /// It stays held, and its entry says what is in it.
    Keep,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// `text` or `json`
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, or tracing's directives.
    pub level: String,
}

/// The shape of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people and logcheck.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            on_error: OnError::default(),
            listeners: vec![Listener::of(Transport::BeforeQueue), Listener::of(Transport::Milter)],
            http: Some(loopback(9125)),
            limits: Limits::default(),
            service: ServiceLimits::default(),
            timeouts: Timeouts::default(),
            mail: Mail::default(),
            ocr: Ocr::default(),
            pictures: Pictures::default(),
            quarantine: Quarantine::default(),
            second_mail: SecondMail::default(),
            log: Log::default(),
            policy: Policy::default(),
        }
    }
}

impl Listener {
    /// A listener with the defaults of its kind.
    pub fn of(transport: Transport) -> Self {
        let listen = match transport {
            Transport::BeforeQueue | Transport::AfterQueue => loopback(10025),
            Transport::LmtpBeforeQueue | Transport::LmtpAfterQueue => loopback(10024),
            Transport::Milter => Endpoint::Unix(PathBuf::from(MILTER_SOCKET)),
        };
        Self {
            transport,
            listen,
            socket: SocketFile::default(),
            next_hop: loopback(10026),
            next_hop_protocol: if transport.answers_each() {
                NextHopProtocol::LmtpOrSmtp
            } else {
                NextHopProtocol::Smtp
            },
            refusals: Refusals::default(),
            bare_newlines: BareNewlines::default(),
            xforward_networks: loopback_networks(),
            hold_in: HoldIn::default(),
            xclient_networks: Vec::new(),
            tls: None,
            next_hop_tls: None,
        }
    }
}

impl Default for SocketFile {
    fn default() -> Self {
        Self { owner: None, group: None, mode: 0o660 }
    }
}

impl Default for ServiceLimits {
    fn default() -> Self {
        Self {
            max_connections: 200,
            max_connections_per_client: 50,
            max_recipients: 1000,
            max_errors: 20,
            max_scans: 0,
            max_waiting: 256,
            max_worker_memory: 1 << 30,
            spool_threshold: 512 * 1024,
            spool_min_free: 64 << 20,
            max_memory: 64 << 20,
        }
    }
}

impl ServiceLimits {
    /// Scans at the same time. Twice the cores unless `max_scans` says otherwise: one client may have half of them
    /// ([`crate::queue`]), and a single one is still to use all cores.
    pub fn slots(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        if self.max_scans == 0 { cores.saturating_mul(2) } else { self.max_scans }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            reply_deadline: Duration::from_secs(90),
            connect: Duration::from_secs(30),
            next_hop_command: Duration::from_secs(30),
            next_hop_data: Duration::from_secs(120),
            next_hop_content: Duration::from_secs(180),
            next_hop_end: Duration::from_secs(600),
            client: Duration::from_secs(300),
            shutdown: Duration::from_secs(30),
        }
    }
}

impl Default for Mail {
    fn default() -> Self {
        Self {
            local_domains: Vec::new(),
            local_networks: loopback_networks(),
            authserv_ids: Vec::new(),
            passwords: Vec::new(),
            language: NoticeLanguage::default(),
        }
    }
}

impl Default for Quarantine {
    fn default() -> Self {
        Self { path: None, keep: Duration::from_secs(30 * 24 * 3600), max_size: 10 << 30 }
    }
}

impl Default for SecondMail {
    fn default() -> Self {
        Self { window: Duration::from_secs(30 * 60), quota: 1 << 30, held: Opened::default(), notify: Vec::new() }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::default(), level: "info".to_owned() }
    }
}

fn loopback(port: u16) -> Endpoint {
    Endpoint::Tcp(SocketAddr::from(([127, 0, 0, 1], port)))
}

/// 127.0.0.0/8 and ::1.
fn loopback_networks() -> Vec<IpNet> {
    let v4 = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
    let v6 = Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128);
    vec![IpNet::V4(v4), IpNet::V6(v6)]
}
