//! One SMTP or LMTP session with a client, without I/O: octets in, [`Step`]s out (RFC 5321 4.1.4,
//! RFC 2033).
//!
//! Whoever drives it does each step before asking for the next, so pipelined input (RFC 2920) is
//! consumed in order whatever the segmentation. Steps that need an answer say which method takes it.

use std::collections::VecDeque;
use std::net::IpAddr;

use bytes::{Buf, BytesMut};
use memchr::memchr;

use crate::config::{BareNewlines, Refusals};
use crate::envelope::{Client, Envelope, Octets, Path};
use crate::smtp::Protocol;
use crate::smtp::client::Capabilities;
use crate::smtp::command::{
    self, Command, XCLIENT_ATTRIBUTES, XFORWARD_ATTRIBUTES, decode_xtext, is_unknown, parse_address,
};
use crate::smtp::data::DataReceiver;
use crate::smtp::reply::Reply;
use crate::transaction::Answer;

/// Octets of a command line. RFC 5321 4.5.3.1.4 says 512; DSN, SMTPUTF8 and AUTH add up to
/// some 1,500.
pub const MAX_LINE: usize = 4096;
/// A client that goes on for so many times the size limit is cut: it reads no replies.
const CUT_AT_TIMES: u64 = 4;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Flush, read more octets into [`Session::input`].
    Read,
    /// Send this.
    Reply(Reply),
    /// Connect to the next hop and greet it with this name; answer: [`Session::greeted`].
    Hello(Octets),
    /// Begin a transaction with the next hop; answer: [`Session::mail_answered`].
    Mail {
        /// The sender.
        sender: Path,
        /// What to send before MAIL.
        xforward: Vec<(String, Octets)>,
    },
    /// Ask the next hop about a recipient; answer: [`Session::recipient_answered`].
    Recipient(Path),
    /// End the transaction with the next hop, if there is one, and forget any content.
    Reset,
    /// Keep this piece of content; if that fails: [`Session::spool_failed`].
    Content(Vec<u8>),
    /// The final dot of a message that may be handled; answer: [`Session::handled`].
    Complete(Box<Envelope>),
    /// The final dot of a message whose content cannot be taken: for the log. The reply follows.
    Refused(Box<Envelope>, ContentRefusal),
    /// Flush, and do the server's side of a TLS handshake; if it succeeds: [`Session::secured`].
    StartTls,
    /// Flush and close.
    Close(SessionEnd),
}

/// Why content was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRefusal {
    /// Octets that arrived.
    pub size: u64,
    /// What is wrong.
    pub cause: RefusalCause,
}

/// What is wrong with content that was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalCause {
    /// Larger than our limit or the next hop's.
    TooLarge,
    /// The spool could not keep it.
    NoRoom,
    /// A CR or LF alone.
    BareNewlines,
    /// More header fields than any honest message (milter).
    TooManyFields,
    /// More recipients than our limit (milter; in SMTP each one too many is refused).
    TooManyRecipients,
    /// An address longer than any MTA takes (milter).
    PathTooLong,
}

impl RefusalCause {
    /// What the client is told.
    pub fn reply(self) -> Reply {
        match self {
            RefusalCause::TooLarge => too_large(),
            RefusalCause::NoRoom => Reply::new(452, "4.3.1 no room to store the message"),
            RefusalCause::BareNewlines => Reply::new(550, "5.5.2 bare CR or LF in the message (RFC 5321 2.3.8)"),
            RefusalCause::TooManyFields => Reply::new(552, "5.3.4 too many header fields"),
            RefusalCause::TooManyRecipients => Reply::new(452, "4.5.3 too many recipients"),
            RefusalCause::PathTooLong => Reply::new(552, "5.1.0 address too long"),
        }
    }
}

/// How a session ended, for logs and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionEnd {
    /// QUIT.
    Completed,
    /// The client went away.
    Aborted,
    /// The client said nothing for too long.
    Timeout,
    /// Too many errors, or input that is no SMTP.
    ProtocolError,
    /// Over the limit of connections.
    Refused,
    /// The daemon is stopping.
    Shutdown,
    /// A fault of ours (a panic, an I/O error).
    Fault,
}

impl SessionEnd {
    /// Every end.
    pub const ALL: [SessionEnd; 7] = [
        SessionEnd::Completed,
        SessionEnd::Aborted,
        SessionEnd::Timeout,
        SessionEnd::ProtocolError,
        SessionEnd::Refused,
        SessionEnd::Shutdown,
        SessionEnd::Fault,
    ];

    /// The name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            SessionEnd::Completed => "completed",
            SessionEnd::Aborted => "aborted",
            SessionEnd::Timeout => "timeout",
            SessionEnd::ProtocolError => "protocol-error",
            SessionEnd::Refused => "refused",
            SessionEnd::Shutdown => "shutdown",
            SessionEnd::Fault => "fault",
        }
    }
}

/// What a session is told about itself.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is spoken.
    pub protocol: Protocol,
    /// What we call ourselves in the banner.
    pub name: String,
    /// The peer, `None` on a Unix socket.
    pub peer: Option<IpAddr>,
    /// Whether the peer may send XFORWARD.
    pub trusted: bool,
    /// Whether the peer may send XCLIENT.
    pub xclient: bool,
    /// Whether there is TLS to be had.
    pub tls: TlsOffer,
    /// `refusals`
    pub refusals: Refusals,
    /// `bare_newlines`
    pub bare_newlines: BareNewlines,
}

/// STARTTLS in a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsOffer {
    /// Not known.
    #[default]
    Off,
    /// Offered.
    May,
    /// Mail is taken only inside TLS.
    Required,
}

impl Settings {
    fn banner(&self) -> Reply {
        let protocol = match self.protocol {
            Protocol::Smtp => "ESMTP",
            Protocol::Lmtp => "LMTP",
        };
        Reply::new(220, &format!("{} {protocol} Sekisho", self.name))
    }
}

/// The limits of the next message. Taken anew for each, so that a reload acts at the next MAIL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// Octets of content.
    pub max_message_size: u64,
    /// Accepted recipients.
    pub max_recipients: usize,
    /// Commands that led nowhere, since the last accepted message.
    pub max_errors: u32,
}

/// The state of one session.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    limits: SessionLimits,
    input: BytesMut,
    /// Inside a line that is too long: everything up to its end is thrown away.
    overlong: bool,
    state: State,
    steps: VecDeque<Step>,
    helo: Option<Octets>,
    /// EHLO, not HELO.
    extended: bool,
    capabilities: Capabilities,
    xforward: Vec<(String, Octets)>,
    /// What XCLIENT said, until the end of the session.
    xclient: Vec<(String, Octets)>,
    /// Inside TLS.
    secure: bool,
    errors: u32,
}

#[derive(Debug)]
enum State {
    /// No hello yet.
    Greeted,
    /// Outside of a transaction.
    Ready,
    /// MAIL was accepted.
    Mail(Mail),
    /// Content is arriving.
    Content(Mail, Content),
    /// The next hop has to answer MAIL.
    Waiting(Mail),
    /// The handler has a message; so many replies are owed for it.
    Handling(usize),
    /// Nothing more will happen.
    Closed(SessionEnd),
}

#[derive(Debug, Default)]
struct Mail {
    sender: Path,
    recipients: Vec<Path>,
    /// The first recipient that was refused.
    refusal: Option<Reply>,
    /// How many were.
    refused: usize,
}

#[derive(Debug)]
struct Content {
    receiver: DataReceiver,
    /// Octets on the wire.
    received: u64,
    ended: bool,
    spool_failed: bool,
}

impl Session {
    /// A new session; its first step is the banner.
    pub fn new(settings: Settings, limits: SessionLimits) -> Self {
        let banner = settings.banner();
        Self {
            settings,
            limits,
            input: BytesMut::new(),
            overlong: false,
            state: State::Greeted,
            steps: VecDeque::from([Step::Reply(banner)]),
            helo: None,
            extended: false,
            capabilities: Capabilities::default(),
            xforward: Vec::new(),
            xclient: Vec::new(),
            secure: false,
            errors: 0,
        }
    }

    /// Where octets from the client go.
    pub fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// Replies that the client awaits for a message whose final dot has come.
    pub fn replies_owed(&self) -> usize {
        match self.state {
            State::Handling(owed) => owed,
            _ => 1,
        }
    }

    /// Between two messages: the time for a new configuration.
    pub fn is_between_messages(&self) -> bool {
        matches!(self.state, State::Greeted | State::Ready)
    }

    /// Between two commands: a 421 cuts nothing short.
    pub fn is_at_command_boundary(&self) -> bool {
        matches!(self.state, State::Greeted | State::Ready | State::Mail(_)) && self.steps.is_empty()
    }

    /// New limits, between two messages.
    pub fn set_limits(&mut self, limits: SessionLimits) {
        self.limits = limits;
    }

    /// What to do next. Never blocks, and ends with [`Step::Read`] or [`Step::Close`].
    pub fn step(&mut self) -> Step {
        loop {
            if let Some(step) = self.steps.pop_front() {
                return step;
            }
            let moved = match &self.state {
                State::Closed(end) => return Step::Close(*end),
                State::Waiting(_) | State::Handling(_) => false,
                State::Content(..) => self.take_content(),
                State::Greeted | State::Ready | State::Mail(_) => self.take_command(),
            };
            if !moved {
                return Step::Read;
            }
        }
    }

    /// Ends the session with a last reply.
    pub fn close(&mut self, last: Reply, end: SessionEnd) {
        self.steps.clear();
        self.reply(last);
        self.state = State::Closed(end);
    }

    /// TLS has begun ([`Step::StartTls`]): nothing that came before it counts (RFC 3207 4.2).
    pub fn secured(&mut self) {
        self.secure = true;
        self.forget_hello();
    }

    fn forget_hello(&mut self) {
        self.state = State::Greeted;
        self.helo = None;
        self.capabilities = Capabilities::default();
        self.xforward.clear();
    }

    /// The next hop was greeted ([`Step::Hello`]), or this is what the client is told.
    pub fn greeted(&mut self, extended: Result<Capabilities, Reply>) {
        match extended {
            Ok(capabilities) => {
                self.capabilities = capabilities;
                self.state = State::Ready;
                let text = self.hello_text();
                self.reply(Reply::new(250, &text));
            }
            Err(reply) => {
                self.helo = None;
                self.errors = self.errors.saturating_add(1);
                self.relayed(reply);
            }
        }
    }

    /// The next hop's reply to MAIL ([`Step::Mail`]).
    pub fn mail_answered(&mut self, reply: Reply) {
        let State::Waiting(mail) = std::mem::replace(&mut self.state, State::Ready) else { return };
        if reply.is_positive() {
            self.state = State::Mail(mail);
            return self.relayed(reply);
        }
        self.refused(reply);
    }

    /// The next hop's reply to RCPT ([`Step::Recipient`]).
    pub fn recipient_answered(&mut self, recipient: Path, reply: Reply) {
        let State::Mail(mail) = &mut self.state else { return };
        if reply.is_positive() {
            mail.recipients.push(recipient);
            return self.relayed(reply);
        }
        self.recipient_refused(reply);
    }

    /// Lists have dead addresses, and large ones more than a message may have: beside an accepted
    /// recipient, as many refused ones as a message may have are no errors.
    fn recipient_refused(&mut self, reply: Reply) {
        let State::Mail(mail) = &mut self.state else { return };
        mail.refusal.get_or_insert(reply.clone());
        mail.refused = mail.refused.saturating_add(1);
        if mail.recipients.is_empty() || mail.refused > self.limits.max_recipients {
            self.refused(reply);
        } else {
            self.relayed(reply);
        }
    }

    /// Content could not be kept: it is read on to its end, and then refused for now.
    pub fn spool_failed(&mut self) {
        if let State::Content(_, content) = &mut self.state {
            content.spool_failed = true;
        }
    }

    /// What became of the message ([`Step::Complete`]).
    pub fn handled(&mut self, answer: Answer) {
        let State::Handling(owed) = self.state else { return };
        let replies = replies(answer, owed);
        if replies.iter().any(Reply::is_positive) {
            self.errors = 0;
        }
        self.state = State::Ready;
        self.xforward.clear();
        for reply in replies {
            self.relayed(reply);
        }
        self.steps.push_back(Step::Reset);
    }

    /// A reply of the next hop; behind a 421 the session is over (RFC 5321 3.8).
    fn relayed(&mut self, reply: Reply) {
        let over = reply.code() == 421;
        self.reply(reply);
        if over {
            self.state = State::Closed(SessionEnd::Aborted);
        }
    }

    /// A refusal that counts as an error.
    fn refused(&mut self, reply: Reply) {
        self.errors = self.errors.saturating_add(1);
        if self.errors > self.limits.max_errors { self.too_many_errors() } else { self.relayed(reply) }
    }

    fn reply(&mut self, reply: Reply) {
        self.steps.push_back(Step::Reply(reply));
    }

    /// A command that led nowhere. A client that sends only such is sent away.
    fn idle_reply(&mut self, reply: Reply) {
        self.errors = self.errors.saturating_add(1);
        if self.errors > self.limits.max_errors { self.too_many_errors() } else { self.reply(reply) }
    }

    fn too_many_errors(&mut self) {
        self.close(Reply::new(421, "4.7.0 too many errors"), SessionEnd::ProtocolError);
    }

    /// Takes one command line from the input; false if there is no whole one.
    fn take_command(&mut self) -> bool {
        let Some(at) = memchr(b'\n', &self.input) else {
            if self.input.len() > MAX_LINE {
                self.input.clear();
                self.overlong = true;
            }
            return false;
        };
        let line = self.input.split_to(at.saturating_add(1));
        if std::mem::take(&mut self.overlong) || line.len() > MAX_LINE {
            self.idle_reply(Reply::new(500, "5.5.2 line too long"));
            return true;
        }
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        match command::parse(line.strip_suffix(b"\r").unwrap_or(line)) {
            Ok(command) => self.obey(command),
            Err(reply) => self.refuse_command(line, reply),
        }
        true
    }

    /// A malformed RCPT is a refused recipient too.
    fn refuse_command(&mut self, line: &[u8], reply: Reply) {
        if let State::Mail(mail) = &mut self.state
            && line.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"RCPT"))
        {
            mail.refusal.get_or_insert(reply.clone());
        }
        self.idle_reply(reply);
    }

    fn obey(&mut self, command: Command) {
        if self.settings.tls == TlsOffer::Required && !self.secure && needs_tls(&command) {
            return self.idle_reply(Reply::new(530, "5.7.0 must issue a STARTTLS command first"));
        }
        match command {
            Command::Ehlo(name) => self.hello(Protocol::Smtp, name, true),
            Command::Helo(name) => self.hello(Protocol::Smtp, name, false),
            Command::Lhlo(name) => self.hello(Protocol::Lmtp, name, true),
            Command::Mail(sender) => self.mail(sender),
            Command::Rcpt(recipient) => self.recipient(recipient),
            Command::Data => self.data(),
            Command::Rset => self.reset(),
            Command::Xforward(attributes) => self.take_xforward(attributes),
            Command::Xclient(attributes) => self.take_xclient(attributes),
            Command::StartTls => self.start_tls(),
            Command::Noop => self.idle_reply(Reply::new(250, "2.0.0 Ok")),
            Command::Help => self.idle_reply(Reply::new(214, "2.0.0 RFC 5321")),
            Command::Vrfy => self.idle_reply(Reply::new(252, "2.0.0 send some mail, the next server will know")),
            Command::NotOffered => self.idle_reply(Reply::new(502, "5.5.1 command not implemented")),
            Command::Quit => self.close(Reply::new(221, "2.0.0 Bye"), SessionEnd::Completed),
        }
    }

    fn hello(&mut self, protocol: Protocol, name: Octets, extended: bool) {
        if protocol != self.settings.protocol {
            return self.idle_reply(match self.settings.protocol {
                Protocol::Smtp => Reply::new(502, "5.5.1 this is SMTP, send EHLO"),
                Protocol::Lmtp => Reply::new(500, "5.5.1 this is LMTP, send LHLO"),
            });
        }
        self.errors = self.errors.saturating_add(self.helo.is_some().into());
        if self.errors > self.limits.max_errors {
            return self.too_many_errors();
        }
        self.xforward.clear();
        self.state = State::Greeted;
        self.helo = Some(name.clone());
        self.extended = extended;
        self.steps.push_back(Step::Hello(name));
    }

    /// The reply to EHLO: what is handled here, and of the rest what the next hop offers.
    fn hello_text(&self) -> String {
        let Capabilities { size, eight_bit, utf8, dsn, .. } = &self.capabilities;
        if !self.extended {
            return self.settings.name.clone();
        }
        let mut lines = vec![self.settings.name.clone(), "PIPELINING".to_owned(), "ENHANCEDSTATUSCODES".to_owned()];
        lines.push(format!("SIZE {}", self.largest_message(*size)));
        for (offered, keyword) in [(*eight_bit, "8BITMIME"), (*utf8, "SMTPUTF8"), (*dsn, "DSN")] {
            if offered {
                lines.push(keyword.to_owned());
            }
        }
        if self.settings.tls != TlsOffer::Off && !self.secure {
            lines.push("STARTTLS".to_owned());
        }
        if self.settings.xclient {
            lines.push(format!("XCLIENT {}", XCLIENT_ATTRIBUTES.join(" ")));
        }
        if self.settings.trusted {
            lines.push(format!("XFORWARD {}", XFORWARD_ATTRIBUTES.join(" ")));
        }
        lines.join("\n")
    }

    /// Our limit, or the next hop's if that is smaller (0: it has none).
    fn largest_message(&self, next_hop: Option<u64>) -> u64 {
        let own = self.limits.max_message_size;
        next_hop.filter(|size| *size > 0).map_or(own, |size| size.min(own))
    }

    fn mail(&mut self, sender: Path) {
        match self.state {
            State::Ready => {}
            State::Mail(_) => return self.idle_reply(Reply::new(503, "5.5.1 nested MAIL command")),
            _ => {
                let verb = self.settings.protocol.hello();
                return self.idle_reply(Reply::new(503, &format!("5.5.1 send {verb} first")));
            }
        }
        match self.sender_for_next_hop(sender) {
            Ok(sender) => {
                self.state = State::Waiting(Mail { sender: sender.clone(), ..Mail::default() });
                self.steps.push_back(Step::Mail { sender, xforward: self.client_attributes() });
            }
            Err(reply) => self.idle_reply(reply),
        }
    }

    /// Checks the parameters of MAIL. Those of extensions that the next hop lacks are refused; AUTH=
    /// (RFC 4954 5) and SIZE=, which lose nothing, are left out then.
    fn sender_for_next_hop(&self, mut sender: Path) -> Result<Path, Reply> {
        let mut kept: Vec<&[u8]> = Vec::new();
        let mut changed = false;
        for parameter in command::parameters(&sender) {
            let keep = match (parameter.keyword.as_str(), parameter.value) {
                ("SIZE", Some(value)) => self.check_size(value)?,
                ("BODY", Some(value)) => self.check_body(value)?,
                ("SMTPUTF8", None) if self.capabilities.utf8 => true,
                ("SMTPUTF8", None) => return Err(Reply::new(550, "5.6.7 the next server does not take SMTPUTF8")),
                ("RET" | "ENVID", Some(_)) if self.capabilities.dsn => true,
                ("AUTH", Some(_)) => self.capabilities.auth,
                _ => return Err(unsupported_parameter()),
            };
            if keep {
                kept.push(parameter.octets);
            } else {
                changed = true;
            }
        }
        if changed {
            sender.parameters = Octets(kept.join(&b' '));
        }
        Ok(sender)
    }

    fn check_size(&self, value: &[u8]) -> Result<bool, Reply> {
        let digits = Some(value).filter(|value| value.len() <= 20 && value.iter().all(u8::is_ascii_digit));
        let digits = digits.ok_or_else(|| Reply::new(501, "5.5.4 SIZE takes a number"))?;
        let size = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(u64::MAX);
        if size > self.largest_message(self.capabilities.size) {
            return Err(too_large());
        }
        Ok(self.capabilities.size.is_some())
    }

    fn check_body(&self, value: &[u8]) -> Result<bool, Reply> {
        match value.to_ascii_uppercase().as_slice() {
            b"7BIT" | b"8BITMIME" if self.capabilities.eight_bit => Ok(true),
            b"8BITMIME" => Err(Reply::new(554, "5.6.3 the next server does not take 8BITMIME")),
            _ => Err(unsupported_parameter()),
        }
    }

    fn recipient(&mut self, recipient: Path) {
        let State::Mail(mail) = &self.state else {
            return self.idle_reply(Reply::new(503, "5.5.1 need MAIL command"));
        };
        let dsn = self.capabilities.dsn;
        let is_offered = |keyword: &str| dsn && matches!(keyword, "NOTIFY" | "ORCPT");
        let refusal = if mail.recipients.len() >= self.limits.max_recipients {
            Some(Reply::new(452, "4.5.3 too many recipients"))
        } else if command::parameters(&recipient).all(|parameter| is_offered(&parameter.keyword)) {
            None
        } else {
            Some(unsupported_parameter())
        };
        match refusal {
            Some(reply) => self.recipient_refused(reply),
            None => self.steps.push_back(Step::Recipient(recipient)),
        }
    }

    fn data(&mut self) {
        let mail = match &mut self.state {
            State::Mail(mail) => mail,
            _ => return self.idle_reply(Reply::new(503, "5.5.1 need MAIL command")),
        };
        if let (Refusals::AllOrNone, Some(refusal)) = (self.settings.refusals, &mail.refusal) {
            let refusal = refusal.clone();
            return self.idle_reply(refusal);
        }
        if mail.recipients.is_empty() {
            return self.idle_reply(Reply::new(503, "5.5.1 need RCPT command"));
        }
        let receiver = DataReceiver::new(self.settings.bare_newlines);
        self.state =
            State::Content(std::mem::take(mail), Content { receiver, received: 0, ended: false, spool_failed: false });
        self.reply(Reply::new(354, "end data with <CR><LF>.<CR><LF>"));
    }

    fn reset(&mut self) {
        if !self.is_between_messages() {
            self.state = State::Ready;
        }
        self.xforward.clear();
        self.steps.push_back(Step::Reset);
        self.idle_reply(Reply::new(250, "2.0.0 Ok"));
    }

    fn take_xforward(&mut self, attributes: Vec<(String, Octets)>) {
        if !self.settings.trusted {
            return self.idle_reply(Reply::new(550, "5.7.0 not authorized to send XFORWARD"));
        }
        if !self.is_between_messages() {
            return self.idle_reply(Reply::new(503, "5.5.1 XFORWARD inside a transaction"));
        }
        for (name, value) in attributes {
            self.xforward.retain(|(known, _)| *known != name);
            self.xforward.push((name, value));
        }
        self.reply(Reply::new(250, "2.0.0 Ok"));
    }

    /// Whose place the peer takes from now on; the session begins anew.
    fn take_xclient(&mut self, attributes: Vec<(String, Octets)>) {
        if !self.settings.xclient {
            return self.idle_reply(Reply::new(550, "5.7.0 not authorized to send XCLIENT"));
        }
        if !self.is_between_messages() {
            return self.idle_reply(Reply::new(503, "5.5.1 XCLIENT inside a transaction"));
        }
        for (name, value) in attributes {
            self.xclient.retain(|(known, _)| *known != name);
            self.xclient.push((name, value));
        }
        self.forget_hello();
        self.reply(self.settings.banner());
    }

    fn start_tls(&mut self) {
        if self.settings.tls == TlsOffer::Off {
            return self.idle_reply(Reply::new(502, "5.5.1 command not implemented"));
        }
        if self.secure {
            return self.idle_reply(Reply::new(503, "5.5.1 TLS is active already"));
        }
        if !self.is_between_messages() {
            return self.idle_reply(Reply::new(503, "5.5.1 STARTTLS inside a transaction"));
        }
        // What came behind it in clear could be anybody's (CVE-2011-0411).
        self.input.clear();
        self.reply(Reply::new(220, "2.0.0 ready to start TLS"));
        self.steps.push_back(Step::StartTls);
    }

    /// What the next hop is told of the client: what the peer forwarded, or whose place it took.
    fn client_attributes(&self) -> Vec<(String, Octets)> {
        if !self.xforward.is_empty() {
            return self.xforward.clone();
        }
        let known = self.xclient.iter().filter(|(name, _)| XFORWARD_ATTRIBUTES.contains(&name.as_str()));
        known
            .map(|(name, value)| {
                let value = if is_unknown(&value.text()) { Octets::from("[UNAVAILABLE]") } else { value.clone() };
                (name.clone(), value)
            })
            .collect()
    }

    /// Takes content from the input; false if there is none.
    fn take_content(&mut self) -> bool {
        let State::Content(_, content) = &mut self.state else { return false };
        if content.ended {
            self.end_of_content();
            return true;
        }
        if self.input.is_empty() {
            return false;
        }
        let mut octets = Vec::with_capacity(self.input.len());
        let (taken, ended) = content.receiver.receive(&self.input, &mut octets);
        self.input.advance(taken);
        content.ended = ended;
        content.received = content.received.saturating_add(taken as u64);
        if content.received > self.limits.max_message_size.saturating_mul(CUT_AT_TIMES) {
            self.close(Reply::new(421, "4.3.4 far too much content"), SessionEnd::ProtocolError);
        } else if !octets.is_empty() && self.refusal_of_content().is_none() {
            self.steps.push_back(Step::Content(octets));
        }
        true
    }

    /// Behind the final dot, and after all content was kept or could not be.
    fn end_of_content(&mut self) {
        let refusal = self.refusal_of_content();
        let State::Content(mail, content) = std::mem::replace(&mut self.state, State::Ready) else { return };
        let owed = match self.settings.protocol {
            Protocol::Smtp => 1,
            Protocol::Lmtp => mail.recipients.len(),
        };
        let envelope = Box::new(self.envelope(mail));
        match refusal {
            Some(cause) => {
                self.xforward.clear();
                let size = content.receiver.size();
                self.steps.push_back(Step::Refused(envelope, ContentRefusal { size, cause }));
                (0..owed).for_each(|_| self.reply(cause.reply()));
                self.steps.push_back(Step::Reset);
            }
            None => {
                self.steps.push_back(Step::Complete(envelope));
                self.state = State::Handling(owed);
            }
        }
    }

    /// Why the content that has arrived so far cannot be taken.
    fn refusal_of_content(&self) -> Option<RefusalCause> {
        let State::Content(_, content) = &self.state else { return None };
        if content.receiver.size() > self.largest_message(self.capabilities.size) {
            return Some(RefusalCause::TooLarge);
        }
        if content.spool_failed {
            return Some(RefusalCause::NoRoom);
        }
        let bare = content.receiver.saw_bare_newlines() && self.settings.bare_newlines == BareNewlines::Reject;
        bare.then_some(RefusalCause::BareNewlines)
    }

    fn envelope(&self, mail: Mail) -> Envelope {
        let helo = self.forwarded("HELO").unwrap_or_else(|| self.helo.as_ref().map(Octets::text));
        Envelope {
            client: Client {
                addr: match self.forwarded("ADDR") {
                    Some(address) => address.as_deref().and_then(parse_address),
                    None => self.settings.peer,
                },
                name: self.forwarded("NAME").flatten(),
                helo,
            },
            queue_id: self.forwarded("IDENT").flatten(),
            sender: mail.sender,
            recipients: mail.recipients,
            xforward: self.client_attributes(),
        }
    }

    /// An attribute of the client by XFORWARD, else by XCLIENT: `Some(None)` if the server in front
    /// says that it does not know.
    fn forwarded(&self, attribute: &str) -> Option<Option<String>> {
        let (_, value) = self.xforward.iter().chain(&self.xclient).find(|(name, _)| name == attribute)?;
        let text = String::from_utf8_lossy(&decode_xtext(&value.0)?).into_owned();
        Some((!is_unknown(&text)).then_some(text))
    }
}

/// RFC 3207 4: what a server that insists on TLS may refuse without it. NOOP, EHLO, STARTTLS and QUIT
/// it may not.
fn needs_tls(command: &Command) -> bool {
    match command {
        Command::Mail(_) | Command::Rcpt(_) | Command::Data | Command::Vrfy => true,
        Command::Xforward(_) | Command::Xclient(_) => true,
        Command::Ehlo(_) | Command::Helo(_) | Command::Lhlo(_) | Command::StartTls | Command::NotOffered => false,
        Command::Rset | Command::Noop | Command::Help | Command::Quit => false,
    }
}

/// As many replies as are owed. If the answer has another number, nobody is told of a success that
/// others do not share.
fn replies(answer: Answer, owed: usize) -> Vec<Reply> {
    let reply = match answer {
        Answer::All(reply) => reply,
        Answer::Each(replies) if replies.len() == owed => return replies,
        Answer::Each(replies) => {
            let refusal = replies.iter().find(|reply| !reply.is_positive());
            let shared = refusal.or(replies.first().filter(|_| replies.len() > owed)).cloned();
            shared.unwrap_or_else(|| Reply::new(451, "4.3.0 internal error"))
        }
    };
    vec![reply; owed]
}

fn too_large() -> Reply {
    Reply::new(552, "5.3.4 message too large")
}

fn unsupported_parameter() -> Reply {
    Reply::new(555, "5.5.4 unsupported parameter")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: SessionLimits = SessionLimits { max_message_size: 1000, max_recipients: 3, max_errors: 20 };

    fn settings() -> Settings {
        Settings {
            protocol: Protocol::Smtp,
            name: "[127.0.0.1]".to_owned(),
            peer: Some(IpAddr::from([127, 0, 0, 1])),
            trusted: true,
            xclient: false,
            tls: TlsOffer::Off,
            refusals: Refusals::Relay,
            bare_newlines: BareNewlines::Reject,
        }
    }

    fn everything() -> Capabilities {
        let xforward = vec!["NAME".to_owned()];
        let size = Some(0);
        let protocol = Protocol::Smtp;
        Capabilities { protocol, size, starttls: false, eight_bit: true, utf8: true, dsn: true, auth: true, xforward }
    }

    /// A session with a next hop that answers a path such as `<550@x>` with that code, and a handler
    /// that says 250.
    struct Dialog {
        session: Session,
        hop: Capabilities,
        /// The codes of all replies.
        codes: Vec<u16>,
        /// What the next hop and the handler were asked.
        asked: Vec<String>,
        /// Content of the message that is arriving, and of those that were complete.
        arriving: Vec<u8>,
        content: Vec<u8>,
        last: Option<Reply>,
        end: Option<SessionEnd>,
        envelope: Option<Envelope>,
        disk_full: bool,
    }

    impl Dialog {
        fn new(settings: Settings, hop: Capabilities) -> Self {
            let session = Session::new(settings, LIMITS);
            let (codes, asked, arriving, content) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            let (last, end, envelope) = (None, None, None);
            Self { session, hop, codes, asked, arriving, content, last, end, envelope, disk_full: false }
        }

        fn send(&mut self, octets: &[u8]) {
            self.session.input().extend_from_slice(octets);
            loop {
                match self.session.step() {
                    Step::Read => return,
                    Step::Reply(reply) => {
                        self.codes.push(reply.code());
                        self.last = Some(reply);
                    }
                    Step::Hello(name) => {
                        self.asked.push(format!("EHLO {}", name.text()));
                        self.session.greeted(Ok(self.hop.clone()));
                    }
                    Step::Mail { sender, xforward } => {
                        let attributes: String = xforward.iter().map(|(name, _)| format!("{name} ")).collect();
                        let line = format!("{attributes}MAIL {} {}", sender.path.text(), sender.parameters.text());
                        self.asked.push(line.trim_end().to_owned());
                        self.session.mail_answered(answer(&sender));
                    }
                    Step::Recipient(recipient) => {
                        let line = format!("RCPT {} {}", recipient.path.text(), recipient.parameters.text());
                        self.asked.push(line.trim_end().to_owned());
                        let reply = answer(&recipient);
                        self.session.recipient_answered(recipient, reply);
                    }
                    Step::Refused(_, refusal) => self.asked.push(format!("{:?}", refusal.cause)),
                    Step::Reset => {
                        self.arriving.clear();
                        self.asked.push("RSET".to_owned());
                    }
                    Step::Content(octets) if self.disk_full => {
                        drop(octets);
                        self.session.spool_failed();
                    }
                    Step::Content(octets) => self.arriving.extend(octets),
                    Step::Complete(envelope) => {
                        self.content.append(&mut self.arriving);
                        self.asked.push(format!("message for {}", envelope.recipients.len()));
                        self.envelope = Some(*envelope);
                        self.session.handled(Answer::All(Reply::new(250, "2.0.0 Ok")));
                    }
                    Step::StartTls => self.session.secured(),
                    Step::Close(end) => {
                        self.end = Some(end);
                        return;
                    }
                }
            }
        }
    }

    fn answer(path: &Path) -> Reply {
        let text = path.path.text();
        Reply::new(text.get(1..4).and_then(|code| code.parse().ok()).unwrap_or(250), "x")
    }

    /// The reply codes to some lines, without the banner's.
    fn codes(settings: Settings, hop: Capabilities, lines: &str) -> Vec<u16> {
        let mut dialog = Dialog::new(settings, hop);
        dialog.send(lines.replace('\n', "\r\n").as_bytes());
        assert_eq!(dialog.codes.remove(0), 220);
        dialog.codes
    }

    fn check(lines: &str, expected: &[u16]) {
        assert_eq!(codes(settings(), everything(), lines), expected, "{lines}");
    }

    #[test]
    fn as_many_replies_as_are_owed_and_no_success_that_others_do_not_share() {
        let (ok, no) = (Reply::new(250, "2.0.0 Ok"), Reply::new(550, "5.1.1 no"));
        let each = |list: &[&Reply]| Answer::Each(list.iter().copied().cloned().collect());
        let codes = |answer, owed| replies(answer, owed).iter().map(Reply::code).collect::<Vec<_>>();
        assert_eq!(codes(Answer::All(ok.clone()), 3), [250, 250, 250]);
        assert_eq!(codes(each(&[&ok, &no]), 2), [250, 550]);
        assert_eq!(codes(each(&[&ok, &no, &ok]), 1), [550]);
        assert_eq!(codes(each(&[&ok, &ok]), 1), [250]);
        assert_eq!(codes(each(&[&ok]), 2), [451, 451]);
        assert_eq!(codes(each(&[]), 1), [451]);
    }

    #[test]
    fn commands_have_their_order() {
        check("MAIL FROM:<>\nRCPT TO:<a@b>\nDATA\n", &[503, 503, 503]);
        check("EHLO a\nRCPT TO:<a@b>\nDATA\n", &[250, 503, 503]);
        check("EHLO a\nMAIL FROM:<>\nMAIL FROM:<>\nDATA\n", &[250, 250, 503, 503]);
        check("EHLO a\nMAIL FROM:<>\nRCPT TO:<550@x>\nDATA\n", &[250, 250, 550, 503]);
        check("EHLO a\nMAIL FROM:<450@x>\nRCPT TO:<a@b>\nMAIL FROM:<>\n", &[250, 450, 503, 250]);
        check("EHLO a\nMAIL FROM:<>\nRCPT TO:<a@b>\nRSET\nDATA\nRCPT TO:<a@b>\n", &[250, 250, 250, 250, 503, 503]);
        check("EHLO a\nMAIL FROM:<>\nRCPT TO:<a@b>\nEHLO a\nDATA\n", &[250, 250, 250, 250, 503]);
        check(
            "HELO a\nMAIL FROM:<>\nRCPT TO:<a@b>\nDATA\n.\nDATA\nMAIL FROM:<>\n",
            &[250, 250, 250, 354, 250, 503, 250],
        );
        check(
            "NOOP\nHELP\nVRFY a\nRSET\nSTARTTLS\nBDAT 1\nFOO\nQUIT\nNOOP\n",
            &[250, 214, 252, 250, 502, 502, 500, 221],
        );
        check("EHLO a\nMAIL FROM:<>\nNOOP\nVRFY a\nHELP\nRCPT TO:<a@b>\nQUIT\n", &[250, 250, 250, 252, 214, 250, 221]);
    }

    #[test]
    fn a_transaction_leaves_nothing_behind() {
        let mut dialog = Dialog::new(settings(), everything());
        dialog.send(b"EHLO a\r\nXFORWARD NAME=x IDENT=1\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<550@d>\r\n");
        dialog.send(b"DATA\r\n..hi\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<e@f>\r\nRSET\r\nMAIL FROM:<>\r\n");
        let asked = [
            "EHLO a",
            "NAME IDENT MAIL <a@b>",
            "RCPT <c@d>",
            "RCPT <550@d>",
            "message for 1",
            "RSET",
            "MAIL <>",
            "RCPT <e@f>",
            "RSET",
            "MAIL <>",
        ];
        assert_eq!(dialog.asked, asked);
        assert_eq!(dialog.content, b".hi\r\n");
        let envelope = dialog.envelope.unwrap();
        assert_eq!((envelope.queue_id.as_deref(), envelope.client.name.as_deref()), (Some("1"), Some("x")));
        assert_eq!(envelope.recipients, [Path::new("<c@d>")]);
    }

    const PIPELINED: &[u8] = b"EHLO a\r\nMAIL FROM:<a@b> SIZE=5\r\nRCPT TO:<c@d>\r\nRCPT TO:<550@d>\r\nbogus\nDATA\r\n\
        A: b\r\n\r\n..\r\n.\r\nXFORWARD NAME=x\r\nMAIL FROM:<>\r\nNOOP a\rb\r\nRSET\r\nQUIT\r\nNOOP\r\n";

    #[test]
    fn pipelined_input_means_the_same_in_any_segmentation() {
        let run = |segments: &[&[u8]]| {
            let mut dialog = Dialog::new(settings(), everything());
            segments.iter().filter(|segment| !segment.is_empty()).for_each(|segment| dialog.send(segment));
            (dialog.codes, dialog.asked, dialog.content, dialog.end)
        };
        let whole = run(&[PIPELINED]);
        assert_eq!(whole.0, [220, 250, 250, 250, 550, 500, 354, 250, 250, 250, 500, 250, 221]);
        assert_eq!(whole.2, b"A: b\r\n\r\n.\r\n");
        assert_eq!(whole.3, Some(SessionEnd::Completed));
        assert_eq!(run(&PIPELINED.chunks(1).collect::<Vec<_>>()), whole);
        for a in 0..PIPELINED.len() {
            for b in a..PIPELINED.len() {
                assert_eq!(run(&[&PIPELINED[..a], &PIPELINED[a..b], &PIPELINED[b..]]), whole, "cut at {a}, {b}");
            }
        }
    }

    #[test]
    fn garbage_means_the_same_in_any_segmentation() {
        let words: [&[u8]; 22] = [
            b"EHLO a",
            b"MAIL FROM:<a@b>",
            b"RCPT TO:<a@b>",
            b"DATA",
            b"RSET",
            b"XFORWARD NAME=a",
            b"QUIT ",
            b".",
            b"\r\n",
            b"\r\n",
            b"\r\n",
            b"\r\n.\r\n",
            b"\n",
            b"\r",
            b"\0",
            b"\xff",
            b" ",
            b"<",
            b"\"",
            b"=",
            b"\t",
            &[b'x'; 900],
        ];
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..3000 {
            let mut input = b"EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\n"[..random.usize(..44)].to_vec();
            (0..random.usize(1..40)).for_each(|_| input.extend_from_slice(random.choice(words).unwrap()));
            let run = |random: &mut fastrand::Rng, longest: usize| {
                let mut dialog = Dialog::new(settings(), everything());
                let mut rest = &input[..];
                while !rest.is_empty() && dialog.end.is_none() {
                    let (segment, after) = rest.split_at(random.usize(1..=longest).min(rest.len()));
                    dialog.send(segment);
                    rest = after;
                }
                (dialog.codes, dialog.asked, dialog.content, dialog.end)
            };
            assert_eq!(run(&mut random, 20), run(&mut random, 1_000_000), "{:?}", String::from_utf8_lossy(&input));
        }
    }

    #[test]
    fn a_smuggled_message_stays_content() {
        for newline in ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\0\n.\r\n", "\r\n.\0\r\n"] {
            for bare_newlines in [BareNewlines::Reject, BareNewlines::Normalize] {
                let mut dialog = Dialog::new(Settings { bare_newlines, ..settings() }, everything());
                dialog.send(b"EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\n");
                dialog.send(format!("one{newline}MAIL FROM:<x@y>\r\nRCPT TO:<z@y>\r\nDATA\r\ntwo\r\n.\r\n").as_bytes());
                assert_eq!(dialog.codes.len(), 6, "{newline:?}");
                let bare = newline != "\r\n.\0\r\n";
                let expected = if bare && bare_newlines == BareNewlines::Reject { 550 } else { 250 };
                assert_eq!(dialog.codes.last(), Some(&expected), "{newline:?}");
            }
        }
    }

    #[test]
    fn only_what_the_next_hop_offers_is_offered() {
        let ehlo = |hop: Capabilities, trusted| {
            let mut dialog = Dialog::new(Settings { trusted, ..settings() }, hop);
            dialog.send(b"EHLO a\r\n");
            let texts: Vec<String> =
                dialog.last.unwrap().texts().skip(1).map(|text| String::from_utf8(text.to_vec()).unwrap()).collect();
            texts.join(", ")
        };
        let all = "PIPELINING, ENHANCEDSTATUSCODES, SIZE 1000, 8BITMIME, SMTPUTF8, DSN, \
            XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE";
        assert_eq!(ehlo(everything(), true), all);
        let few = |size| Capabilities { size, ..Capabilities::default() };
        assert_eq!(ehlo(few(None), false), "PIPELINING, ENHANCEDSTATUSCODES, SIZE 1000");
        assert_eq!(ehlo(few(Some(999)), false), "PIPELINING, ENHANCEDSTATUSCODES, SIZE 999");
        assert_eq!(ehlo(few(Some(1001)), false), "PIPELINING, ENHANCEDSTATUSCODES, SIZE 1000");
    }

    #[test]
    fn parameters_go_through_or_are_refused_but_never_vanish() {
        let rows: &[(&str, bool, &str)] = &[
            ("MAIL FROM:<a@b> SIZE=1000", true, "MAIL <a@b> SIZE=1000"),
            ("MAIL FROM:<a@b> size=1001", true, "552"),
            ("MAIL FROM:<a@b> SIZE=99999999999999999999", true, "552"),
            ("MAIL FROM:<a@b> SIZE=1x", true, "501"),
            ("MAIL FROM:<a@b> SIZE", true, "555"),
            ("MAIL FROM:<a@b>  body=8bitmime SMTPUTF8", true, "MAIL <a@b> body=8bitmime SMTPUTF8"),
            ("MAIL FROM:<a@b> BODY=7BIT RET=HDRS ENVID=x+2By", true, "MAIL <a@b> BODY=7BIT RET=HDRS ENVID=x+2By"),
            ("MAIL FROM:<a@b> BODY=BINARYMIME", true, "555"),
            ("MAIL FROM:<a@b> AUTH=<>", true, "MAIL <a@b> AUTH=<>"),
            ("MAIL FROM:<a@b> FOO=bar", true, "555"),
            ("MAIL FROM:<a@b> NOTIFY=NEVER", true, "555"),
            ("RCPT TO:<a@b> NOTIFY=NEVER ORCPT=rfc822;a@b", true, "RCPT <a@b> NOTIFY=NEVER ORCPT=rfc822;a@b"),
            ("RCPT TO:<a@b> SIZE=5", true, "555"),
            ("MAIL FROM:<a@b> SIZE=1000", false, "MAIL <a@b>"),
            ("MAIL FROM:<a@b> SIZE=1001", false, "552"),
            ("MAIL FROM:<a@b> AUTH=<> SIZE=5", false, "MAIL <a@b>"),
            ("MAIL FROM:<a@b> BODY=8BITMIME", false, "554"),
            ("MAIL FROM:<a@b> BODY=7BIT", false, "555"),
            ("MAIL FROM:<a@b> SMTPUTF8", false, "550"),
            ("MAIL FROM:<a@b> RET=FULL", false, "555"),
            ("RCPT TO:<a@b> NOTIFY=NEVER", false, "555"),
        ];
        for (line, capable, expected) in rows {
            let hop = if *capable { everything() } else { Capabilities::default() };
            let mut dialog = Dialog::new(settings(), hop);
            dialog.send(b"EHLO a\r\n");
            if line.starts_with("RCPT") {
                dialog.send(b"MAIL FROM:<>\r\n");
            }
            let before = dialog.asked.len();
            dialog.send(format!("{line}\r\n").as_bytes());
            let code = dialog.codes.last().unwrap().to_string();
            assert_eq!(dialog.asked.get(before).unwrap_or(&code), expected, "{line}");
        }
    }

    #[test]
    fn xforward_is_for_trusted_peers_outside_of_transactions() {
        check(
            "XFORWARD NAME=a\nEHLO a\nXFORWARD NAME=a ADDR=192.0.2.1\nXFORWARD PORT=1 FOO=2\n",
            &[250, 250, 250, 501],
        );
        check("EHLO a\nMAIL FROM:<>\nXFORWARD NAME=a\n", &[250, 250, 503]);
        let stranger = Settings { trusted: false, ..settings() };
        assert_eq!(codes(stranger, everything(), "EHLO a\nXFORWARD NAME=a\n"), [250, 550]);
        let mut dialog = Dialog::new(settings(), everything());
        dialog.send(b"EHLO a\r\nXFORWARD NAME=a\r\nXFORWARD name=b HELO=c\r\nRSET\r\nMAIL FROM:<>\r\nRSET\r\n");
        dialog.send(b"XFORWARD NAME=a\r\nXFORWARD HELO=c NAME=b\r\nMAIL FROM:<>\r\n");
        assert_eq!(dialog.asked, ["EHLO a", "RSET", "MAIL <>", "RSET", "HELO NAME MAIL <>"]);
    }

    #[test]
    fn the_client_is_who_xforward_says() {
        let client = |xforward: &str| {
            let mut dialog = Dialog::new(settings(), everything());
            let lines = format!("EHLO me\r\n{xforward}\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\n.\r\n");
            dialog.send(lines.as_bytes());
            let Client { addr, name, helo } = dialog.envelope.unwrap().client;
            format!("{addr:?} {name:?} {helo:?}")
        };
        assert_eq!(client("NOOP"), r#"Some(127.0.0.1) None Some("me")"#);
        assert_eq!(client("XFORWARD NAME=a+2Bb ADDR=192.0.2.1 HELO=h"), r#"Some(192.0.2.1) Some("a+b") Some("h")"#);
        assert_eq!(client("XFORWARD NAME=[UNAVAILABLE] ADDR=IPv6:2001:db8::1"), r#"Some(2001:db8::1) None Some("me")"#);
        assert_eq!(client("XFORWARD ADDR=[UNAVAILABLE] HELO=[unavailable]"), "None None None");
    }

    #[test]
    fn one_refused_recipient_refuses_all_where_so_configured() {
        let all_or_none = || Settings { refusals: Refusals::AllOrNone, ..settings() };
        for (recipient, code) in [("<451@x>", 451), ("<550@x>", 550), ("bad> <", 501), ("<a@b> X=y", 555)] {
            let lines =
                format!("EHLO a\nMAIL FROM:<>\nRCPT TO:<a@b>\nRCPT TO:{recipient}\nRCPT TO:<c@d>\nDATA\nRSET\n");
            assert_eq!(
                codes(all_or_none(), everything(), &lines),
                [250, 250, 250, code, 250, code, 250],
                "{recipient}"
            );
        }
        let lines = "EHLO a\nMAIL FROM:<>\nRCPT TO:<550@b>\nRSET\nMAIL FROM:<>\nRCPT TO:<a@b>\nDATA\n";
        assert_eq!(codes(all_or_none(), everything(), lines), [250, 250, 550, 250, 250, 250, 354]);
    }

    #[test]
    fn limits_hold_at_and_above() {
        let recipient = "RCPT TO:<a@b>\n";
        check(&format!("EHLO a\nMAIL FROM:<>\n{}DATA\n", recipient.repeat(4)), &[250, 250, 250, 250, 250, 452, 354]);

        let content = |size: usize| {
            let line = format!("{}\n", "x".repeat(size - 2));
            codes(settings(), everything(), &format!("EHLO a\nMAIL FROM:<>\n{recipient}DATA\n{line}.\nNOOP\n"))
        };
        assert_eq!(content(1000), [250, 250, 250, 354, 250, 250]);
        assert_eq!(content(1001), [250, 250, 250, 354, 552, 250]);
        assert_eq!(content(4001), [250, 250, 250, 354, 421]);

        let errors = |count: usize| codes(settings(), everything(), &"FOO\n".repeat(count));
        assert_eq!(errors(20), [500; 20]);
        assert_eq!(errors(25).len(), 21);
        assert_eq!(errors(25).last(), Some(&421));

        // Refused recipients, and transactions that come to nothing.
        let refused = |first: &str, count: usize| {
            let dead = "RCPT TO:<550@b>\n".repeat(count);
            codes(settings(), everything(), &format!("EHLO a\nMAIL FROM:<a@b>\n{first}{dead}"))
        };
        assert_eq!(refused("", 19)[2..], [550; 19]);
        assert_eq!(refused("", 20)[2..], [550; 20]);
        assert_eq!((refused("", 25).len(), refused("", 25).last()), (2 + 21, Some(&421)));
        assert_eq!(refused(recipient, 23)[3..], [550; 23], "three beside an accepted one are none");
        assert_eq!((refused(recipient, 30).len(), refused(recipient, 30).last()), (3 + 24, Some(&421)));
        let loops = |count: usize| {
            codes(settings(), everything(), &format!("EHLO a\n{}", "MAIL FROM:<>\nRSET\n".repeat(count)))
        };
        assert_eq!(loops(19), [250; 39]);
        assert_eq!(loops(20), [250; 41]);
        assert_eq!((loops(25).len(), loops(25).last()), (43, Some(&421)));
        let senders =
            |count: usize| codes(settings(), everything(), &format!("EHLO a\n{}", "MAIL FROM:<550@b>\n".repeat(count)));
        assert_eq!(senders(20)[1..], [550; 20]);
        assert_eq!((senders(25).len(), senders(25).last()), (22, Some(&421)));

        let hellos = |count: usize| codes(settings(), everything(), &"EHLO a\n".repeat(count));
        assert_eq!(hellos(21), [250; 21], "the first is none too many");
        assert_eq!((hellos(25).len(), hellos(25).last()), (22, Some(&421)));

        let line = |length: usize| codes(settings(), everything(), &format!("NOOP {}\nNOOP\n", "x".repeat(length - 7)));
        assert_eq!(line(2048), [250, 250]);
        assert_eq!(line(MAX_LINE), [250, 250]);
        assert_eq!(line(MAX_LINE + 1), [500, 250]);
        assert_eq!(line(1_000_000), [500, 250]);
    }

    #[test]
    fn an_overlong_line_in_pieces_costs_one_reply_and_little_memory() {
        let mut dialog = Dialog::new(settings(), everything());
        for _ in 0..100 {
            dialog.send(&[b'x'; 1000]);
            assert!(dialog.session.input().len() <= MAX_LINE);
        }
        dialog.send(b"\r\nNOOP\r\n");
        assert_eq!(dialog.codes, [220, 500, 250]);
    }

    #[test]
    fn a_full_disk_defers_at_the_end_of_data() {
        let mut dialog = Dialog::new(settings(), everything());
        dialog.disk_full = true;
        dialog.send(b"EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\nsome\r\nmore\r\n.\r\nNOOP\r\n");
        assert_eq!(dialog.codes, [220, 250, 250, 250, 354, 452, 250]);
        assert_eq!(dialog.asked.last().unwrap(), "RSET");
    }

    #[test]
    fn a_421_of_the_next_hop_ends_the_session() {
        check("EHLO a\nMAIL FROM:<421@x>\nNOOP\n", &[250, 421]);
        check("EHLO a\nMAIL FROM:<>\nRCPT TO:<421@x>\nNOOP\n", &[250, 250, 421]);
    }
}
