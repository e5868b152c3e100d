//! One milter session with an MTA, without I/O: octets in, [`Step`]s and octets out.
//!
//! Whoever drives it reads into [`Session::input`], does each step before asking for the next, and sends
//! [`Session::output`] before it reads again. The MTA may say things in any segmentation.
//!
//! The message is put together again: a Received field of ours, `name:value` of each header, an empty
//! line, the body. Line breaks in header values, which MTAs send as LF, become CRLF; nothing else is changed.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;

use crate::envelope::{Client, Envelope, Octets, Path};
use crate::milter::codec::{
    self, ABORT, Agreed, CONTINUE, Command, Connect, Frame, Malformed, Modification, NEGOTIATE, PROGRESS, Response,
    SKIP, Strings, TEMPFAIL, Unsendable, protocol, write_frame,
};
use crate::smtp::session::{ContentRefusal, RefusalCause, SessionEnd};

/// Content is given out in pieces of about this size.
const PIECE: usize = 32_768;
/// Octets of a new body that are put into the output at once.
const BODY_AT_ONCE: usize = 1 << 20;
/// Octets of a path with its parameters. Longer than any that an MTA takes (RFC 5321 4.5.3.1.3: 256).
const MAX_PATH: usize = 4096;
/// Octets of what is kept of a macro, a host name or a HELO. RFC 5321 4.5.3.1.2: 255.
const MAX_TEXT: usize = 512;
/// Header fields of one message. The longest honest mails have some 200; each costs memory beside its octets.
const MAX_FIELDS: usize = 10_000;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send the output, read more octets into [`Session::input`].
    Read,
    /// Send the output: it is large.
    Flush,
    /// Keep this piece of content; if that fails: [`Session::spool_failed`].
    Content(Vec<u8>),
    /// Forget the content kept so far.
    Forget,
    /// The end of a message; answer: [`Session::answered`]. Until then the MTA may go away
    /// ([`Session::is_abandoned`]), and [`Session::progress`] keeps it waiting.
    Complete(Box<Complete>),
    /// The end of a message that cannot be taken: for the log. The reply is in the output.
    Refused(Box<Envelope>, ContentRefusal),
    /// The MTA went on behind our answer, so it has seen it.
    Confirmed,
    /// Send the output and close.
    Close(SessionEnd),
}

/// A message that has arrived, without its octets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Complete {
    /// From whom, to whom.
    pub envelope: Envelope,
    /// The header fields, in order.
    pub fields: Vec<Field>,
    /// Octets of our own Received field, in front of the first of `fields`.
    pub prefix: u64,
    /// Octets of header and body, without that field.
    pub size: u64,
    /// The name that the client logged in with ({auth_authen}), if it did.
    pub login: Option<String>,
}

/// A header field as the MTA knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name, as it is written.
    pub name: Octets,
    /// The how many-th of that name (in any case), from 1: what [`Modification::ChangeHeader`] takes.
    pub index: u32,
    /// Where its value stands in the message, without the CRLF at its end. It begins with the space behind
    /// the colon if the MTA sends that (and then it may as well not).
    pub value: Range<u64>,
}

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Changes, in order; header changes are made before anything else and from the last field up, so that
    /// their indices stay right. Not sent unless the message is delivered.
    pub changes: Vec<Modification>,
    /// The last word.
    pub verdict: Response,
}

impl Answer {
    /// An answer without changes.
    pub fn only(verdict: Response) -> Self {
        Self { changes: Vec::new(), verdict }
    }

    /// Puts fields on top of all others; they stand there in this order.
    pub fn prepend(&mut self, fields: impl DoubleEndedIterator<Item = (String, Vec<u8>)>) {
        let insert = |(name, value)| Modification::InsertHeader { index: 0, name, value };
        self.changes.extend(fields.rev().map(insert));
    }

    /// Deletes the fields whose names are `unwanted`.
    pub fn delete(&mut self, fields: &[Field], unwanted: impl Fn(&[u8]) -> bool) {
        for field in fields.iter().filter(|field| unwanted(&field.name.0)) {
            let name = field.name.text();
            self.changes.push(Modification::ChangeHeader { index: field.index, name, value: Vec::new() });
        }
    }
}

/// The limits of the next message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// Octets of header and body.
    pub max_message_size: u64,
    /// Recipients.
    pub max_recipients: usize,
}

/// The state of one session.
#[derive(Debug)]
pub struct Session {
    /// Our name in the Received field, if the MTA does not tell its own.
    name: String,
    limits: SessionLimits,
    now: Timestamp,
    input: BytesMut,
    output: BytesMut,
    steps: VecDeque<Step>,
    state: State,
    agreed: Agreed,
    connection: Connection,
    macros: Macros,
    /// Our answer was given, and nothing has come from the MTA since.
    unconfirmed: bool,
}

#[derive(Debug)]
enum State {
    /// Nothing was negotiated yet.
    New,
    /// Outside of a message.
    Ready,
    /// A message is arriving.
    Message(Box<Message>),
    /// A whole message waits for its answer.
    Waiting,
    /// A new body is on its way, then comes the last word.
    Sending(Bytes, Response),
    /// Nothing more will happen.
    Closed(SessionEnd),
}

/// The MTA's client.
#[derive(Debug, Default)]
struct Connection {
    addr: Option<IpAddr>,
    name: Option<String>,
    helo: Option<String>,
}

#[derive(Debug, Default)]
struct Message {
    sender: Path,
    recipients: Vec<Path>,
    stage: Stage,
    fields: Vec<Field>,
    /// Fields so far, by name in lower case.
    counts: HashMap<Vec<u8>, u32>,
    /// Content that was not given out yet.
    content: Vec<u8>,
    /// Octets of all content.
    size: u64,
    prefix: u64,
    refusal: Option<RefusalCause>,
}

/// How far a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    #[default]
    Envelope,
    Data,
    Header,
    Body,
}

impl Session {
    /// A new session. `name` stands in the Received field if the MTA does not tell its own.
    pub fn new(name: String, limits: SessionLimits) -> Self {
        Self {
            name,
            limits,
            now: Timestamp::UNIX_EPOCH,
            input: BytesMut::new(),
            output: BytesMut::new(),
            steps: VecDeque::new(),
            state: State::New,
            agreed: Agreed::default(),
            connection: Connection::default(),
            macros: Macros::default(),
            unconfirmed: false,
        }
    }

    /// Where octets from the MTA go.
    pub fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// Octets for the MTA.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// What the clock says, for the Received field of the next message.
    pub fn set_now(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// New limits, between two messages.
    pub fn set_limits(&mut self, limits: SessionLimits) {
        self.limits = limits;
    }

    /// Between two messages: the time for a new configuration.
    pub fn is_between_messages(&self) -> bool {
        matches!(self.state, State::New | State::Ready)
    }

    /// No content is arriving or waits for an answer: the session can end and nothing is cut short.
    pub fn is_idle(&self) -> bool {
        match &self.state {
            State::New | State::Ready | State::Closed(_) => true,
            State::Message(message) => message.stage == Stage::Envelope,
            State::Waiting | State::Sending(..) => false,
        }
    }

    /// Our last answer was not confirmed yet.
    pub fn is_unconfirmed(&self) -> bool {
        self.unconfirmed
    }

    /// A whole frame (or something that cannot become one) waits in the input.
    pub fn has_frame(&self) -> bool {
        self.is_out_of_turn(&self.input) || !matches!(codec::frame(&self.input), Ok(None))
    }

    /// A command that begins before the negotiation.
    fn is_out_of_turn(&self, input: &[u8]) -> bool {
        matches!(self.state, State::New) && input.get(4).is_some_and(|command| *command != NEGOTIATE)
    }

    /// The MTA has withdrawn the message that waits for its answer.
    pub fn is_abandoned(&self) -> bool {
        matches!(codec::frame(&self.input), Ok(Some(Frame { command: ABORT, .. })))
    }

    /// What was agreed upon with the MTA.
    pub fn agreed(&self) -> Agreed {
        self.agreed
    }

    /// What to do next. Never blocks, and ends with [`Step::Read`] or [`Step::Close`].
    pub fn step(&mut self) -> Step {
        loop {
            if let Some(step) = self.steps.pop_front() {
                return step;
            }
            match &self.state {
                State::Closed(end) => return Step::Close(*end),
                State::Waiting => return Step::Read,
                State::Sending(..) => {
                    if self.send_body() {
                        return Step::Flush;
                    }
                }
                State::New | State::Ready | State::Message(_) => match self.take_command() {
                    Ok(true) => {}
                    Ok(false) => return Step::Read,
                    Err(Malformed(what)) => {
                        tracing::warn!(what, "closing a milter connection: this is not the protocol");
                        self.close(SessionEnd::ProtocolError);
                    }
                },
            }
        }
    }

    /// Keeps the MTA waiting for an answer.
    pub fn progress(&mut self) {
        if matches!(self.state, State::Waiting) {
            write_frame(&mut self.output, PROGRESS, &[]);
        }
    }

    /// The answer to [`Step::Complete`]. If the MTA cannot take it, nothing of it is sent and the message is
    /// deferred.
    ///
    /// # Errors
    /// Why the message was deferred instead.
    pub fn answered(&mut self, answer: Answer) -> Result<(), Unsendable> {
        if !matches!(self.state, State::Waiting) {
            return Err(Unsendable("nobody waits for an answer"));
        }
        // What has come before our answer does not tell that the MTA has seen it.
        self.unconfirmed = self.input.is_empty();
        self.state = State::Ready;
        let end = self.output.len();
        let written = self.write_answer(answer);
        if written.is_err() {
            self.output.truncate(end);
            self.state = State::Ready;
            self.unconfirmed = false;
            write_frame(&mut self.output, TEMPFAIL, &[]);
        }
        written
    }

    /// The message that waits for its answer cannot be taken after all.
    pub fn refused(&mut self, cause: RefusalCause) {
        if matches!(self.state, State::Waiting) {
            self.state = State::Ready;
            self.refuse(cause);
        }
    }

    /// Content could not be kept: the message is read on to its end, and then refused for now.
    pub fn spool_failed(&mut self) {
        if let State::Message(message) = &mut self.state {
            message.refuse(RefusalCause::NoRoom, &mut self.steps);
            return;
        }
        // The last piece: its end waits behind it.
        for step in &mut self.steps {
            if let Step::Complete(complete) = step {
                let envelope = Box::new(std::mem::take(&mut complete.envelope));
                let size = complete.size;
                *step = Step::Refused(envelope, ContentRefusal { size, cause: RefusalCause::NoRoom });
                return self.refused(RefusalCause::NoRoom);
            }
        }
    }

    /// Ends the session now. A message that waits for its answer is deferred.
    pub fn cut(&mut self, end: SessionEnd) {
        if matches!(self.state, State::Waiting) {
            write_frame(&mut self.output, TEMPFAIL, &[]);
        }
        self.close(end);
    }

    fn close(&mut self, end: SessionEnd) {
        self.steps.retain(|step| *step == Step::Confirmed);
        self.state = State::Closed(end);
    }

    /// Takes one command from the input; false if there is no whole one.
    fn take_command(&mut self) -> Result<bool, Malformed> {
        let input = std::mem::take(&mut self.input);
        let taken = self.take_frame(&input);
        self.input = input;
        self.input.advance(taken?);
        Ok(taken? > 0)
    }

    /// Obeys the frame at the front of `input`; how many octets it had, 0 if it is not whole.
    fn take_frame(&mut self, input: &[u8]) -> Result<usize, Malformed> {
        if self.is_out_of_turn(input) {
            return Err(Malformed("a command before the negotiation"));
        }
        let Some(Frame { command, data, length }) = codec::frame(input)? else { return Ok(0) };
        let command = codec::parse(command, data)?;
        if std::mem::take(&mut self.unconfirmed) {
            self.steps.push_back(Step::Confirmed);
        }
        self.obey(command)?;
        Ok(length)
    }

    fn obey(&mut self, command: Command<'_>) -> Result<(), Malformed> {
        match command {
            Command::Negotiate(offer) => {
                self.forget_message(Macros::CONNECT);
                self.agreed = Agreed::from_offer(offer).ok_or(Malformed("a version that is too old"))?;
                self.agreed.write(&mut self.output);
                self.connection = Connection::default();
                self.state = State::Ready;
            }
            Command::Macros(stage, values) => self.macros.set(stage, values),
            Command::Connect(client) => {
                self.forget_message(Macros::HELO);
                self.connection = Connection::new(client);
                self.reply(protocol::NO_REPLY_CONNECT);
            }
            Command::Helo(name) => {
                if self.drop_message() {
                    self.macros.forget(Macros::MAIL);
                }
                self.connection.helo = Some(text(name));
                self.reply(protocol::NO_REPLY_HELO);
            }
            Command::Mail(path, parameters) => self.mail(path, parameters),
            Command::Recipient(path, parameters) => self.recipient(path, parameters)?,
            Command::Data => {
                self.message(Stage::Data)?;
                self.reply(protocol::NO_REPLY_DATA);
            }
            Command::Unknown => self.reply(protocol::NO_REPLY_UNKNOWN),
            Command::Header(name, value) => {
                self.header(name, value)?;
                self.reply(protocol::NO_REPLY_HEADER);
            }
            Command::EndOfHeader => {
                self.end_of_header()?;
                self.reply(protocol::NO_REPLY_EOH);
            }
            Command::Body(piece) => {
                self.body(piece)?;
                self.reply_to_body();
            }
            Command::EndOfMessage(piece) => {
                self.body(piece)?;
                self.end_of_message();
            }
            Command::Abort => self.forget_message(Macros::MAIL),
            Command::QuitNewConnection => {
                self.forget_message(Macros::CONNECT);
                self.connection = Connection::default();
            }
            Command::Quit => {
                self.forget_message(Macros::CONNECT);
                self.close(SessionEnd::Completed);
            }
        }
        Ok(())
    }

    /// CONTINUE, unless it was agreed that this event gets no answer.
    fn reply(&mut self, unless: u32) {
        if !self.agreed.has(unless) {
            write_frame(&mut self.output, CONTINUE, &[]);
        }
    }

    /// More of the body is not needed if the message is refused in any case.
    fn reply_to_body(&mut self) {
        let refused = matches!(&self.state, State::Message(message) if message.refusal.is_some());
        if refused && self.agreed.has(protocol::SKIP) && !self.agreed.has(protocol::NO_REPLY_BODY) {
            write_frame(&mut self.output, SKIP, &[]);
        } else {
            self.reply(protocol::NO_REPLY_BODY);
        }
    }

    /// Back between messages. The macros of this command and later ones are forgotten too.
    fn forget_message(&mut self, macros_from: usize) {
        self.drop_message();
        self.macros.forget(macros_from);
    }

    /// Back between messages; true if one was arriving.
    fn drop_message(&mut self) -> bool {
        let arriving = matches!(self.state, State::Message(_));
        if arriving {
            self.steps.push_back(Step::Forget);
            self.state = State::Ready;
        }
        arriving
    }

    fn mail(&mut self, path: &[u8], parameters: Strings<'_>) {
        // Those of this MAIL have come already.
        if self.drop_message() {
            self.macros.forget(Macros::RECIPIENT);
        }
        let mut message = Box::<Message>::default();
        match joined(path, parameters) {
            Some(sender) => message.sender = sender,
            None => message.refuse(RefusalCause::PathTooLong, &mut self.steps),
        }
        self.state = State::Message(message);
        self.reply(protocol::NO_REPLY_MAIL);
    }

    fn recipient(&mut self, path: &[u8], parameters: Strings<'_>) -> Result<(), Malformed> {
        let limit = self.limits.max_recipients;
        let (message, steps) = self.message(Stage::Envelope)?;
        match joined(path, parameters) {
            Some(_) if message.recipients.len() >= limit => message.refuse(RefusalCause::TooManyRecipients, steps),
            Some(recipient) => message.recipients.push(recipient),
            None => message.refuse(RefusalCause::PathTooLong, steps),
        }
        self.reply(protocol::NO_REPLY_RCPT);
        Ok(())
    }

    /// The message that is arriving, if this stage can follow. Its content begins with our own field.
    fn message(&mut self, stage: Stage) -> Result<(&mut Message, &mut VecDeque<Step>), Malformed> {
        let State::Message(message) = &mut self.state else {
            return Err(Malformed("a part of a message outside of one"));
        };
        if stage < message.stage {
            return Err(Malformed("a part of a message that came too late"));
        }
        if message.stage < Stage::Header && stage >= Stage::Header && message.refusal.is_none() {
            let field = received(&self.connection, &self.macros, &self.name, self.now);
            message.prefix = field.len() as u64;
            message.content = field.into_bytes();
        }
        message.stage = stage;
        Ok((message, &mut self.steps))
    }

    fn header(&mut self, name: &[u8], value: &[u8]) -> Result<(), Malformed> {
        let limit = self.limits.max_message_size;
        let leading_space = self.agreed.has(protocol::LEADING_SPACE);
        let (message, steps) = self.message(Stage::Header)?;
        if message.fields.len() >= MAX_FIELDS {
            message.refuse(RefusalCause::TooManyFields, steps);
        }
        message.grow(name.len().saturating_add(value.len()), limit, steps);
        if message.refusal.is_some() {
            return Ok(());
        }
        let given = message.given();
        let start = message.content.len();
        message.content.extend_from_slice(name);
        message.content.extend_from_slice(if leading_space { b":" } else { b": " });
        let value_at = message.content.len();
        extend_lines(&mut message.content, value);
        let end = message.content.len();
        message.content.extend_from_slice(b"\r\n");
        let count = message.counts.entry(name.to_ascii_lowercase()).or_insert(0);
        *count = count.saturating_add(1);
        let index = *count;
        let at = |offset: usize| given.saturating_add(offset as u64);
        let value = at(value_at)..at(end);
        message.fields.push(Field { name: Octets::from(name), index, value });
        message.size = message.size.saturating_add(message.content.len().saturating_sub(start) as u64);
        message.give(PIECE, steps);
        Ok(())
    }

    /// Between header and body: an empty line, once.
    fn end_of_header(&mut self) -> Result<(), Malformed> {
        let limit = self.limits.max_message_size;
        let (message, steps) = self.message(Stage::Header)?;
        message.stage = Stage::Body;
        message.append(b"\r\n", limit, steps);
        Ok(())
    }

    fn body(&mut self, piece: &[u8]) -> Result<(), Malformed> {
        let before_body = matches!(&self.state, State::Message(message) if message.stage < Stage::Body);
        if before_body {
            self.end_of_header()?;
        }
        let limit = self.limits.max_message_size;
        let (message, steps) = self.message(Stage::Body)?;
        message.append(piece, limit, steps);
        Ok(())
    }

    fn end_of_message(&mut self) {
        let State::Message(mut message) = std::mem::replace(&mut self.state, State::Ready) else { return };
        message.give(0, &mut self.steps);
        let login = self.macros.text(Macro::Login);
        let envelope = Envelope {
            client: self.client(),
            queue_id: self.macros.text(Macro::QueueId),
            sender: std::mem::take(&mut message.sender),
            recipients: std::mem::take(&mut message.recipients),
            xforward: Vec::new(),
        };
        self.macros.forget(Macros::MAIL);
        match message.refusal {
            Some(cause) => {
                self.steps.push_back(Step::Refused(Box::new(envelope), ContentRefusal { size: message.size, cause }));
                self.refuse(cause);
            }
            None => {
                let Message { fields, prefix, size, .. } = *message;
                let complete = Complete { envelope, fields, prefix, size, login };
                self.steps.push_back(Step::Complete(Box::new(complete)));
                self.state = State::Waiting;
            }
        }
    }

    fn refuse(&mut self, cause: RefusalCause) {
        // Can be sent: it is of class 4 or 5.
        let _ = Response::Reply(cause.reply()).write(&mut self.output);
    }

    /// The client as CONNECT and HELO told, else as macros do (MAIL may follow the negotiation at once).
    fn client(&self) -> Client {
        let Connection { addr, name, helo } = &self.connection;
        Client {
            addr: addr.or_else(|| parse_address(self.macros.get(Macro::ClientAddress)?)),
            name: name.clone().or_else(|| known_name(self.macros.get(Macro::ClientName)?)),
            helo: helo.clone(),
        }
    }

    /// Changes, then the last word; a new body comes between them, piece by piece.
    fn write_answer(&mut self, answer: Answer) -> Result<(), Unsendable> {
        let Answer { mut changes, verdict } = answer;
        if !verdict.delivers() {
            return verdict.write(&mut self.output);
        }
        // Stable: what is not a header change keeps its order behind them.
        changes.sort_by_key(|change| match change {
            Modification::ChangeHeader { index, .. } => u32::MAX.saturating_sub(*index),
            _ => u32::MAX,
        });
        let mut body = None;
        for change in changes {
            change.write(self.agreed, &mut self.output)?;
            if let Modification::ReplaceBody(octets) = change {
                body = Some(octets);
            }
        }
        match body {
            Some(body) => self.state = State::Sending(body, verdict),
            None => verdict.write(&mut self.output)?,
        }
        Ok(())
    }

    /// Sends some of a new body; true if more is to come.
    fn send_body(&mut self) -> bool {
        let State::Sending(body, verdict) = &mut self.state else { return false };
        while codec::write_body(body, &mut self.output) {
            if self.output.len() >= BODY_AT_ONCE {
                return true;
            }
        }
        // Delivers, and that can be sent.
        let _ = verdict.write(&mut self.output);
        self.state = State::Ready;
        false
    }
}

impl Message {
    /// Content and fields are not needed any more; the first cause counts.
    fn refuse(&mut self, cause: RefusalCause, steps: &mut VecDeque<Step>) {
        if self.refusal.is_none() {
            self.refusal = Some(cause);
            (self.content, self.fields, self.counts) = (Vec::new(), Vec::new(), HashMap::new());
            steps.retain(|step| !matches!(step, Step::Content(_)));
            steps.push_back(Step::Forget);
        }
    }

    /// Refuses the message if so many octets more are too many; counts those of a refused one.
    fn grow(&mut self, octets: usize, limit: u64, steps: &mut VecDeque<Step>) {
        let size = self.size.saturating_add(octets as u64);
        if size > limit {
            self.refuse(RefusalCause::TooLarge, steps);
        }
        if self.refusal.is_some() {
            self.size = size;
        }
    }

    fn append(&mut self, octets: &[u8], limit: u64, steps: &mut VecDeque<Step>) {
        self.grow(octets.len(), limit, steps);
        if self.refusal.is_none() {
            self.content.extend_from_slice(octets);
            self.size = self.size.saturating_add(octets.len() as u64);
            self.give(PIECE, steps);
        }
    }

    /// Octets that were given out, our own field among them.
    fn given(&self) -> u64 {
        self.size.saturating_add(self.prefix).saturating_sub(self.content.len() as u64)
    }

    /// Gives content out if there is more than `least` of it.
    fn give(&mut self, least: usize, steps: &mut VecDeque<Step>) {
        if self.content.len() > least && self.refusal.is_none() {
            steps.push_back(Step::Content(std::mem::take(&mut self.content)));
        }
    }
}

impl Connection {
    fn new(client: Connect<'_>) -> Self {
        let addr = match client.family {
            b'4' | b'6' => parse_address(client.address),
            _ => None,
        };
        Self { addr, name: known_name(client.name), helo: None }
    }
}

/// Macros that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Macro {
    QueueId,
    Host,
    Login,
    ClientAddress,
    ClientName,
}

impl Macro {
    /// With or without its braces.
    fn parse(name: &[u8]) -> Option<Self> {
        let bare = name.strip_prefix(b"{").and_then(|name| name.strip_suffix(b"}")).unwrap_or(name);
        match bare {
            b"i" => Some(Macro::QueueId),
            b"j" => Some(Macro::Host),
            b"auth_authen" => Some(Macro::Login),
            b"client_addr" => Some(Macro::ClientAddress),
            b"client_name" => Some(Macro::ClientName),
            _ => None,
        }
    }
}

/// The macros of each command; those of later commands win.
#[derive(Debug, Default)]
struct Macros([Vec<(Macro, Vec<u8>)>; Macros::STAGES.len()]);

impl Macros {
    /// CONNECT, HELO, MAIL, RCPT, DATA, HEADER, EOH, BODY, EOM.
    const STAGES: [u8; 9] = *b"CHMRTLNBE";
    const CONNECT: usize = 0;
    const HELO: usize = 1;
    const MAIL: usize = 2;
    const RECIPIENT: usize = 3;

    /// Takes the set of a command in place of an earlier one.
    fn set(&mut self, stage: u8, mut values: Strings<'_>) {
        let place = Self::STAGES.iter().position(|known| *known == stage);
        let Some(set) = place.and_then(|place| self.0.get_mut(place)) else { return };
        set.clear();
        while let (Some(name), Some(value)) = (values.next(), values.next()) {
            if let Some(name) = Macro::parse(name) {
                set.retain(|(known, _)| *known != name);
                set.push((name, value.get(..MAX_TEXT).unwrap_or(value).to_vec()));
            }
        }
    }

    fn forget(&mut self, from: usize) {
        for set in self.0.iter_mut().skip(from) {
            set.clear();
        }
    }

    fn get(&self, name: Macro) -> Option<&[u8]> {
        let found = self.0.iter().rev().flatten().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.as_slice()).filter(|value| !value.is_empty())
    }

    fn text(&self, name: Macro) -> Option<String> {
        self.get(name).map(text)
    }
}

/// A path as received with its parameters, unless that is too long.
fn joined(path: &[u8], parameters: Strings<'_>) -> Option<Path> {
    let mut all = Vec::new();
    for parameter in parameters.filter(|parameter| !parameter.is_empty()) {
        if !all.is_empty() {
            all.push(b' ');
        }
        all.extend_from_slice(parameter);
        if all.len() > MAX_PATH {
            return None;
        }
    }
    let fits = path.len().saturating_add(all.len()) <= MAX_PATH;
    fits.then(|| Path { path: Octets::from(path), parameters: Octets(all) })
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets.get(..MAX_TEXT).unwrap_or(octets)).into_owned()
}

/// What stands for no name: Postfix says `unknown`, Sendmail `[192.0.2.1]`.
fn known_name(name: &[u8]) -> Option<String> {
    let known = !name.is_empty() && !name.starts_with(b"[") && !name.eq_ignore_ascii_case(b"unknown");
    known.then(|| text(name))
}

/// `192.0.2.1`, `2001:db8::1` or `IPv6:2001:db8::1`
fn parse_address(octets: &[u8]) -> Option<IpAddr> {
    let address = std::str::from_utf8(octets).ok()?;
    let prefixed = address.get(..5).is_some_and(|prefix| prefix.eq_ignore_ascii_case("IPv6:"));
    let address = if prefixed { address.get(5..)? } else { address };
    address.parse().ok().map(|address: IpAddr| address.to_canonical())
}

/// Appends a header value; LF and CRLF become CRLF, and those at its end go: an empty line would end the header.
fn extend_lines(out: &mut Vec<u8>, value: &[u8]) {
    let mut rest = value;
    while let Some(shorter) = rest.strip_suffix(b"\n") {
        rest = shorter.strip_suffix(b"\r").unwrap_or(shorter);
    }
    for (number, line) in rest.split(|octet| *octet == b'\n').enumerate() {
        if number > 0 {
            if !out.ends_with(b"\r") {
                out.push(b'\r');
            }
            out.push(b'\n');
        }
        out.extend_from_slice(line);
    }
}

/// The Received field that the MTA will add, as far as we know it (RFC 5321 4.4).
fn received(connection: &Connection, macros: &Macros, own_name: &str, now: Timestamp) -> String {
    let Connection { addr, name, helo } = connection;
    let client = [name.as_deref().map(word), addr.map(literal)];
    let client: Vec<String> = client.into_iter().flatten().collect();
    let client = if client.is_empty() { String::new() } else { format!(" ({})", client.join(" ")) };
    let helo = word(helo.as_deref().unwrap_or("unknown"));
    let host = word(macros.text(Macro::Host).as_deref().unwrap_or(own_name));
    let id = macros.text(Macro::QueueId).map(|id| format!(" id {}", word(&id))).unwrap_or_default();
    let date = rfc2822::to_string(&now.to_zoned(TimeZone::UTC)).unwrap_or_default();
    format!("Received: from {helo}{client}\r\n\tby {host}{id};\r\n\t{date}\r\n")
}

/// RFC 5321 4.1.3
fn literal(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("[{address}]"),
        IpAddr::V6(address) => format!("[IPv6:{address}]"),
    }
}

/// Text of others in a Received field: nothing that could end or begin anything there.
fn word(text: &str) -> String {
    let harmless = |c: char| if c.is_ascii_alphanumeric() || ".-_:[]".contains(c) { c } else { '?' };
    let word: String = text.chars().take(255).map(harmless).collect();
    if word.is_empty() { "unknown".to_owned() } else { word }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::milter::codec::action;
    use crate::smtp::reply::Reply;

    const LIMITS: SessionLimits = SessionLimits { max_message_size: 1000, max_recipients: 3 };
    /// All that a Postfix 3.7 offers.
    const ALL: (u32, u32) = (0x1ff, 0x1f_ffff);

    fn frame(command: u8, data: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        write_frame(&mut out, command, &[data]);
        out.to_vec()
    }

    fn negotiate(version: u32, (actions, protocol): (u32, u32)) -> Vec<u8> {
        frame(b'O', &[version.to_be_bytes(), actions.to_be_bytes(), protocol.to_be_bytes()].concat())
    }

    const CONNECT: &[u8] = b"mail.example\x004\x30\x39192.0.2.9\0";

    /// A script: frames as `(command, data)`.
    fn frames(list: &[(u8, &[u8])]) -> Vec<u8> {
        list.iter().flat_map(|(command, data)| frame(*command, data)).collect()
    }

    const MESSAGE: &[(u8, &[u8])] = &[
        (b'C', CONNECT),
        (b'H', b"helo.example\0"),
        (b'D', b"Mi\x004711\0{auth_authen}\0user\0"),
        (b'M', b"<a@b>\0SIZE=10\0BODY=8BITMIME\0"),
        (b'R', b"<c@d>\0NOTIFY=NEVER\0"),
        (b'T', b""),
        (b'L', b"Subject\0 a\n\tb\0"),
        (b'L', b"To\0c\0"),
        (b'L', b"SUBJECT\0\0"),
        (b'N', b""),
        (b'B', b"one\r\n"),
        (b'B', b""),
        (b'E', b"two\r\n"),
    ];

    /// A session whose messages get an answer.
    struct Dialog {
        session: Session,
        answer: Answer,
        /// The letters of all answers, and their data.
        answers: Vec<(u8, Vec<u8>)>,
        arriving: Vec<u8>,
        messages: Vec<(Complete, Vec<u8>)>,
        refusals: Vec<RefusalCause>,
        confirmed: usize,
        unsent: Vec<Unsendable>,
        end: Option<SessionEnd>,
        disk_full: bool,
    }

    impl Dialog {
        fn new() -> Self {
            let mut session = Session::new("localhost".to_owned(), LIMITS);
            session.set_now(Timestamp::from_second(1_800_000_000).unwrap());
            Self {
                session,
                answer: Answer::only(Response::Accept),
                answers: Vec::new(),
                arriving: Vec::new(),
                messages: Vec::new(),
                refusals: Vec::new(),
                confirmed: 0,
                unsent: Vec::new(),
                end: None,
                disk_full: false,
            }
        }

        fn negotiated(version: u32, offer: (u32, u32)) -> Self {
            let mut dialog = Self::new();
            dialog.send(&negotiate(version, offer));
            dialog
        }

        fn send(&mut self, octets: &[u8]) {
            self.session.input().extend_from_slice(octets);
            loop {
                let step = self.session.step();
                match step {
                    Step::Read => break,
                    Step::Flush => {}
                    Step::Content(_) if self.disk_full => self.session.spool_failed(),
                    Step::Content(octets) => self.arriving.extend(octets),
                    Step::Forget => self.arriving.clear(),
                    Step::Complete(complete) => {
                        self.messages.push((*complete, std::mem::take(&mut self.arriving)));
                        self.unsent.extend(self.session.answered(self.answer.clone()).err());
                    }
                    Step::Refused(_, refusal) => self.refusals.push(refusal.cause),
                    Step::Confirmed => self.confirmed += 1,
                    Step::Close(end) => {
                        self.end = Some(end);
                        break;
                    }
                }
            }
            let mut output = std::mem::take(self.session.output());
            while let Ok(Some(Frame { command, data, length })) = codec::frame(&output) {
                self.answers.push((command, data.to_vec()));
                output.advance(length);
            }
            assert!(output.is_empty(), "only whole frames");
        }

        fn letters(&self) -> String {
            self.answers.iter().map(|(letter, _)| char::from(*letter)).collect()
        }

        /// The answers of the last message: changes and verdict.
        fn answer(mut self, answer: Answer) -> Vec<(u8, Vec<u8>)> {
            self.answer = answer;
            self.answers.clear();
            self.send(&frames(MESSAGE));
            self.answers
        }
    }

    /// The letters that a version 6 MTA without NR flags gets for these commands behind OPTNEG.
    fn check(commands: &[(u8, &[u8])], expected: &str, end: Option<SessionEnd>) {
        let mut dialog = Dialog::negotiated(6, (0x1ff, 0x7f));
        dialog.send(&frames(commands));
        assert_eq!(dialog.letters(), format!("O{expected}"), "{commands:?}");
        assert_eq!(dialog.end, end, "{commands:?}");
    }

    #[test]
    fn a_message_is_put_together_in_any_segmentation() {
        let octets = [negotiate(6, ALL), frames(MESSAGE), frames(&[(b'A', b""), (b'Q', b"")])].concat();
        let expected = "Received: from helo.example (mail.example [192.0.2.9])\r\n\tby localhost id 4711;\r\n\t\
            Fri, 15 Jan 2027 08:00:00 +0000\r\nSubject: a\r\n\tb\r\nTo:c\r\nSUBJECT:\r\n\r\none\r\ntwo\r\n";
        for size in [1, 2, 3, 5, 7, 64, octets.len()] {
            let mut dialog = Dialog::new();
            for segment in octets.chunks(size) {
                dialog.send(segment);
            }
            assert_eq!(dialog.letters(), "Oa");
            assert_eq!(dialog.end, Some(SessionEnd::Completed));
            let (complete, content) = &dialog.messages[0];
            assert_eq!(String::from_utf8_lossy(content), expected);
            let Complete { envelope, fields, prefix, size: octets, login } = complete;
            assert_eq!(*octets + prefix, content.len() as u64);
            assert_eq!(envelope.client.addr, Some(IpAddr::from([192, 0, 2, 9])));
            assert_eq!(envelope.client.name.as_deref(), Some("mail.example"));
            assert_eq!(envelope.client.helo.as_deref(), Some("helo.example"));
            assert_eq!(envelope.queue_id.as_deref(), Some("4711"));
            assert_eq!(login.as_deref(), Some("user"));
            assert_eq!(envelope.sender.path, Octets::from("<a@b>"));
            assert_eq!(envelope.sender.parameters, Octets::from("SIZE=10 BODY=8BITMIME"));
            assert_eq!(envelope.recipients[0].parameters, Octets::from("NOTIFY=NEVER"));
            let known: Vec<(String, u32, &[u8])> = fields
                .iter()
                .map(|field| {
                    let value = field.value.start as usize..field.value.end as usize;
                    (field.name.text(), field.index, &content[value])
                })
                .collect();
            let expected = [("Subject", 1, &b" a\r\n\tb"[..]), ("To", 1, b"c"), ("SUBJECT", 2, b"")]
                .map(|(n, i, v)| (n.to_owned(), i, v));
            assert_eq!(known, expected);
        }
    }

    #[test]
    fn without_leading_space_one_is_put_in() {
        let mut dialog = Dialog::negotiated(6, (0x1ff, 0x7f));
        dialog.send(&frames(MESSAGE));
        let (complete, content) = &dialog.messages[0];
        assert!(content.ends_with(b"\r\nSubject:  a\r\n\tb\r\nTo: c\r\nSUBJECT: \r\n\r\none\r\ntwo\r\n"));
        let value = &complete.fields[1].value;
        assert_eq!(&content[value.start as usize..value.end as usize], b"c");
    }

    #[test]
    fn line_breaks_in_values_become_crlf() {
        for (value, expected) in [
            (&b"a\n b"[..], &b"a\r\n b"[..]),
            (b"a\r\n b", b"a\r\n b"),
            (b"a\n\r\n\n", b"a"),
            (b"\n b", b"\r\n b"),
            (b"\xe9\xff", b"\xe9\xff"),
            (b"", b""),
        ] {
            let mut out = Vec::new();
            extend_lines(&mut out, value);
            assert_eq!(out, expected, "{value:?}");
        }
    }

    #[test]
    fn negotiation_takes_a_subset() {
        for (version, offer, expected) in [
            (6, ALL, Some((6, 0xbf, 0x1f_f480))),
            (6, (0xffff_ffff, 0xffff_ffff), Some((6, 0xbf, 0x1f_f480))),
            (0xffff_ffff, ALL, Some((6, 0xbf, 0x1f_f480))),
            (2, (0x3f, 0x7f), Some((2, 0x3f, 0))),
            (2, (0, 0), Some((2, 0x0f, 0))),
            (4, (0x10, 0x80), Some((4, 0x10, 0x80))),
            (6, (0x4000_0000, 0x4000_0000), Some((6, 0, 0))),
            (1, ALL, None),
            (0, ALL, None),
        ] {
            let dialog = Dialog::negotiated(version, offer);
            let agreed = dialog.answers.first().map(|(letter, data)| {
                assert_eq!((*letter, data.len()), (b'O', 12));
                let number = |at: usize| u32::from_be_bytes(data[at..at + 4].try_into().unwrap());
                (number(0), number(4), number(8))
            });
            assert_eq!(agreed, expected, "{version} {offer:x?}");
            assert_eq!(dialog.end, expected.is_none().then_some(SessionEnd::ProtocolError));
        }
    }

    #[test]
    fn each_event_gets_one_answer_unless_none_was_agreed() {
        check(MESSAGE, "ccccccccccca", None);
        let mut dialog = Dialog::negotiated(6, ALL);
        dialog.send(&frames(MESSAGE));
        dialog.send(&frames(&[(b'U', b"FOO\0")]));
        assert_eq!(dialog.letters(), "Oa");
        check(&[(b'U', b"FOO\0"), (b'D', b"C"), (b'A', b""), (b'A', b""), (b'K', b"")], "c", None);
        for (flag, command) in [(0x1000, b'C'), (0x2000, b'H'), (0x4000, b'M'), (0x8000, b'R'), (0x1_0000, b'T')] {
            let mut dialog = Dialog::negotiated(6, (0x1ff, flag));
            dialog.send(&frames(&MESSAGE[..6]));
            assert_eq!(dialog.letters().len(), 5, "all but the one for {}", char::from(command));
        }
    }

    #[test]
    fn what_is_not_the_protocol_closes() {
        let protocol = Some(SessionEnd::ProtocolError);
        for octets in [
            frame(b'C', CONNECT),
            frame(b'Q', b""),
            frame(b'D', b"C"),
            b"EHLO a\r\n".to_vec(),
            b"\0\0\0\0".to_vec(),
            b"\0\0\0\x0dQ".to_vec(),
            b"\x00\x10\x00\x01".to_vec(),
            b"\xff\xff\xff\xff".to_vec(),
            frame(b'O', b""),
            frame(b'O', &[0; 11]),
        ] {
            let mut dialog = Dialog::new();
            dialog.send(&octets);
            assert_eq!(dialog.end, protocol, "{octets:?}");
            assert!(dialog.answers.is_empty(), "{octets:?}");
        }
        for command in [
            (b'Z', &b""[..]),
            (0, b""),
            (b'C', b""),
            (b'C', b"name\0"),
            (b'C', b"name\x004"),
            (b'C', b"name\x004\0\x19192.0.2.1"),
            (b'H', b"name"),
            (b'M', b"<a@b>"),
            (b'M', b"<a@b>\0SIZE=1"),
            (b'D', b""),
            (b'D', b"Mi"),
            (b'L', b"Subject\0"),
            (b'R', b"<a@b>\0"),
            (b'L', b"Subject\0x\0"),
            (b'T', b""),
            (b'N', b""),
            (b'B', b"x"),
            (b'E', b""),
        ] {
            check(&[command], "", protocol);
        }
        let [mail, rcpt]: [(u8, &[u8]); 2] = [(b'M', b"<>\0"), (b'R', b"<a@b>\0")];
        check(&[mail, rcpt, (b'L', b"a\nb\0c\0")], "cc", protocol);
        check(&[mail, rcpt, (b'N', b""), (b'L', b"a\0b\0")], "ccc", protocol);
        check(&[mail, rcpt, (b'B', b""), (b'N', b"")], "ccc", protocol);
        check(&[mail, rcpt, (b'T', b""), rcpt], "ccc", protocol);
    }

    #[test]
    fn frames_may_be_as_large_as_the_limit() {
        let mut dialog = Dialog::negotiated(6, ALL);
        dialog.send(&frames(&[(b'M', b"<>\0"), (b'R', b"<a@b>\0"), (b'B', &vec![b'x'; codec::MAX_FRAME - 1])]));
        assert_eq!(dialog.end, None);
        dialog.send(&frame(b'B', &vec![b'x'; codec::MAX_FRAME]));
        assert_eq!(dialog.end, Some(SessionEnd::ProtocolError));
    }

    #[test]
    fn messages_follow_each_other_in_every_way() {
        let mail: &[(u8, &[u8])] = &[(b'M', b"<>\0"), (b'R', b"<a@b>\0")];
        // Directly behind OPTNEG, and without header or body.
        check(&[mail[0], mail[1], (b'E', b"")], "cca", None);
        check(&[mail[0], mail[1], (b'N', b""), (b'E', b"")], "ccca", None);
        check(&[mail[0], mail[1], (b'B', b"x"), (b'E', b"")], "ccca", None);
        check(&[mail[0], mail[1], mail[0], mail[1], (b'E', b"")], "cccca", None);
        check(&[(b'A', b""), (b'A', b""), mail[0], (b'A', b""), mail[0], mail[1], (b'E', b"")], "ccca", None);
        check(&[mail[0], (b'H', b"x\0"), mail[0], mail[1], (b'E', b""), mail[0]], "ccccac", None);
        check(&[(b'C', CONNECT), (b'K', b""), (b'C', CONNECT), mail[0]], "ccc", None);
        check(&[mail[0], (b'Q', b""), mail[0]], "c", Some(SessionEnd::Completed));
        let again = negotiate(2, (0x3f, 0));
        let mut dialog = Dialog::negotiated(6, ALL);
        dialog.send(&frames(MESSAGE));
        dialog.send(&frames(&[(b'K', b"")]));
        dialog.send(&again);
        dialog.send(&frames(&[mail[0], mail[1], (b'E', b"x")]));
        assert_eq!(dialog.letters(), "OaOcca");
        let (complete, content) = &dialog.messages[1];
        assert_eq!(complete.envelope.client, Client::default(), "the connection is another one");
        assert_eq!(complete.envelope.queue_id, None, "macros were forgotten");
        assert!(content.starts_with(b"Received: from unknown\r\n\tby localhost;\r\n\t"));
        assert!(content.ends_with(b"\r\n\r\nx"));
    }

    #[test]
    fn an_abort_keeps_the_connection_and_nothing_else() {
        let mut dialog = Dialog::negotiated(6, ALL);
        dialog.send(&frames(&MESSAGE[..11]));
        dialog.send(&frames(&[(b'A', b""), (b'M', b"<x@y>\0"), (b'R', b"<z@y>\0"), (b'E', b"")]));
        let (complete, content) = &dialog.messages[0];
        assert_eq!(dialog.messages.len(), 1);
        assert_eq!(complete.envelope.client.helo.as_deref(), Some("helo.example"));
        assert_eq!(complete.envelope.queue_id, None);
        assert_eq!(complete.login, None);
        assert_eq!(complete.envelope.recipients, [Path::new("<z@y>")]);
        assert!(complete.fields.is_empty());
        assert_eq!(content.len() as u64, complete.prefix + 2);
    }

    #[test]
    fn macros_may_come_late_and_replace_each_other() {
        let queue_id = |macros: &[(u8, &[u8])]| {
            let mut dialog = Dialog::negotiated(6, ALL);
            dialog.send(&frames(&[(b'M', b"<>\0"), (b'R', b"<a@b>\0")]));
            dialog.send(&frames(macros));
            dialog.send(&frames(&[(b'E', b"")]));
            dialog.messages[0].0.envelope.queue_id.clone()
        };
        assert_eq!(queue_id(&[(b'D', b"T{i}\0late\0")]).as_deref(), Some("late"));
        assert_eq!(queue_id(&[(b'D', b"Ei\0one\0"), (b'D', b"Ei\0two\0")]).as_deref(), Some("two"));
        assert_eq!(queue_id(&[(b'D', b"Ei\0one\0"), (b'D', b"Ej\0two\0")]), None);
        assert_eq!(queue_id(&[(b'D', b"Ei\0last\0"), (b'D', b"Mi\0early\0")]).as_deref(), Some("last"));
        assert_eq!(queue_id(&[(b'D', b"Zi\0one\0"), (b'D', b"Ei\0")]), None);
    }

    #[test]
    fn clients_of_every_family() {
        for (connect, addr, name) in [
            (CONNECT, Some("192.0.2.9"), Some("mail.example")),
            (b"[192.0.2.9]\x004\0\x19192.0.2.9\0", Some("192.0.2.9"), None),
            (b"unknown\x006\0\x19IPv6:2001:db8::1\0", Some("2001:db8::1"), None),
            (b"a\x006\0\x192001:db8::1\0", Some("2001:db8::1"), Some("a")),
            (b"a\x006\0\x19IPv6:::ffff:192.0.2.1\0", Some("192.0.2.1"), Some("a")),
            (b"localhost\0L\0\0/run/socket\0", None, Some("localhost")),
            (b"unknown\0U", None, None),
            (b"a\0X", None, Some("a")),
            (b"a\x004\0\0nonsense\0", None, Some("a")),
        ] {
            let mut dialog = Dialog::negotiated(6, ALL);
            dialog.send(&frames(&[(b'C', connect), (b'M', b"<>\0"), (b'R', b"<a@b>\0"), (b'E', b"")]));
            let client = &dialog.messages[0].0.envelope.client;
            assert_eq!(client.addr, addr.map(|addr| addr.parse().unwrap()), "{connect:?}");
            assert_eq!(client.name.as_deref(), name, "{connect:?}");
        }
    }

    #[test]
    fn hostile_names_stay_inside_the_received_field() {
        let connection = Connection {
            addr: Some("2001:db8::1".parse().unwrap()),
            name: Some("a\r\nX: y".to_owned()),
            helo: Some("(\\;é関\0<>\n\n".to_owned()),
        };
        let mut macros = Macros::default();
        let (command, data) = (b'D', b"Ci\0x;\r\n\0j\0mx(\0");
        let Ok(Command::Macros(stage, values)) = codec::parse(command, data) else { panic!("macros") };
        macros.set(stage, values);
        let field = received(&connection, &macros, "localhost", Timestamp::UNIX_EPOCH);
        let expected = "Received: from ?????????? (a??X:?y [IPv6:2001:db8::1])\r\n\tby mx? id x???;\r\n\t\
            Thu, 1 Jan 1970 00:00:00 +0000\r\n";
        assert_eq!(field, expected);
    }

    #[test]
    fn what_is_over_a_limit_is_refused_at_its_end_in_bounded_memory() {
        let mail: &[(u8, &[u8])] = &[(b'M', b"<>\0"), (b'R', b"<a@b>\0")];
        let long = vec![b'x'; 998];
        let header = [b"A\0", &long[..], b"\0"].concat();
        let path = [b"<", &vec![b'x'; MAX_PATH][..], b">\0"].concat();
        for (commands, cause, code) in [
            (vec![(b'B', &long[..]), (b'E', b"")], None, ""),
            (vec![(b'B', &long[..]), (b'E', b"y")], Some(RefusalCause::TooLarge), "552 5.3.4"),
            (
                vec![(b'B', &long[..]), (b'B', &long[..]), (b'B', &long[..]), (b'E', b"")],
                Some(RefusalCause::TooLarge),
                "552 5.3.4",
            ),
            (vec![(b'L', &header[..]), (b'L', b"B\0x\0"), (b'E', b"")], Some(RefusalCause::TooLarge), "552 5.3.4"),
            (
                vec![(b'R', b"<b>\0"), (b'R', b"<c>\0"), (b'R', b"<d>\0"), (b'E', b"")],
                Some(RefusalCause::TooManyRecipients),
                "452 4.5.3",
            ),
            (vec![(b'R', &path[..]), (b'E', b"")], Some(RefusalCause::PathTooLong), "552 5.1.0"),
        ] {
            let mut dialog = Dialog::negotiated(6, ALL);
            dialog.send(&frames(mail));
            dialog.send(&frames(&commands));
            let (letter, text) = dialog.answers.last().unwrap();
            match cause {
                None => assert_eq!(*letter, b'a'),
                Some(cause) => {
                    assert_eq!(dialog.refusals, [cause]);
                    assert_eq!((*letter, text.last()), (b'y', Some(&0)));
                    assert!(text.starts_with(code.as_bytes()), "{}", String::from_utf8_lossy(text));
                    assert!(dialog.messages.is_empty() && dialog.arriving.is_empty());
                }
            }
            dialog.send(&frames(MESSAGE));
            assert_eq!(dialog.letters().pop(), Some('a'), "the session goes on");
        }
        for fields in [MAX_FIELDS - 1, MAX_FIELDS, MAX_FIELDS + 1] {
            let mut dialog = Dialog::negotiated(6, ALL);
            dialog.session.set_limits(SessionLimits { max_message_size: 1 << 30, max_recipients: 1 });
            dialog.send(&frames(mail));
            dialog.send(&frame(b'L', b"a\0\0").repeat(fields));
            dialog.send(&frames(&[(b'E', b"")]));
            let refusals: &[_] = if fields > MAX_FIELDS { &[RefusalCause::TooManyFields] } else { &[] };
            assert_eq!(dialog.refusals, refusals, "{fields}");
        }
        for octets in [MAX_PATH - 1, MAX_PATH, MAX_PATH + 1] {
            // The parameters count.
            let path = [b"<b@c>\0", &vec![b'x'; octets - 5][..], b"\0"].concat();
            let mut dialog = Dialog::negotiated(6, ALL);
            dialog.send(&frames(&[mail[0], mail[1], (b'R', &path), (b'E', b"")]));
            let refusals: &[_] = if octets > MAX_PATH { &[RefusalCause::PathTooLong] } else { &[] };
            assert_eq!(dialog.refusals, refusals, "{octets}");
        }
        let mut dialog = Dialog::negotiated(6, ALL);
        dialog.send(&frames(&[mail[0], (b'E', b"")]));
        assert_eq!(dialog.messages.len(), 1, "a message without recipients is one");
    }

    #[test]
    fn no_more_of_the_body_is_asked_for_than_is_needed() {
        let large = vec![b'x'; 2000];
        let commands: &[(u8, &[u8])] =
            &[(b'M', b"<>\0"), (b'R', b"<a@b>\0"), (b'B', b"x"), (b'B', &large), (b'E', b"")];
        for (offer, expected) in [(0x400, "Occcsy"), (0x7f, "Occccy"), (0x8_0400, "Occy")] {
            let mut dialog = Dialog::negotiated(6, (0x1ff, offer));
            dialog.send(&frames(commands));
            assert_eq!(dialog.letters(), expected, "{offer:x}");
        }
    }

    #[test]
    fn a_full_disk_refuses_for_now() {
        let mut dialog = Dialog::negotiated(6, ALL);
        dialog.disk_full = true;
        dialog.send(&frames(MESSAGE));
        assert_eq!(dialog.refusals, [RefusalCause::NoRoom]);
        let (letter, text) = dialog.answers.last().unwrap();
        assert!(*letter == b'y' && text.starts_with(b"452 4.3.1 "));
        dialog.disk_full = false;
        dialog.send(&frames(MESSAGE));
        assert_eq!(dialog.letters(), "Oya");
    }

    fn change(index: u32, value: &str) -> Modification {
        Modification::ChangeHeader { index, name: "X-Sekisho-Id".to_owned(), value: value.into() }
    }

    #[test]
    fn changes_come_in_an_order_that_keeps_their_indices_right() {
        let mut answer = Answer::only(Response::Accept);
        answer.prepend([("X-A", "a"), ("X-B", "b\r\n c")].map(|(n, v)| (n.to_owned(), v.into())).into_iter());
        answer.changes.extend([change(1, ""), change(3, ""), change(2, "new")]);
        answer.changes.push(Modification::DeleteRecipient(Path::new("<c@d>")));
        answer.changes.push(Modification::AddRecipient(Path::new("<e@f>")));
        answer.changes.push(Modification::Quarantine("held".to_owned()));
        answer.changes.push(Modification::AddHeader { name: "X-C".to_owned(), value: b"c".to_vec() });
        for (protocol, space) in [(ALL.1, " "), (0, "")] {
            let answers = Dialog::negotiated(6, (ALL.0, protocol)).answer(answer.clone());
            let answers: Vec<String> = answers
                .iter()
                .filter(|(letter, _)| *letter != b'c')
                .map(|(letter, data)| format!("{}{}", char::from(*letter), String::from_utf8_lossy(data)))
                .collect();
            let expected = [
                "m\0\0\0\x03X-Sekisho-Id\0\0".to_owned(),
                format!("m\0\0\0\x02X-Sekisho-Id\0{space}new\0"),
                "m\0\0\0\x01X-Sekisho-Id\0\0".to_owned(),
                format!("i\0\0\0\0X-B\0{space}b\n c\0"),
                format!("i\0\0\0\0X-A\0{space}a\0"),
                "-<c@d>\0".to_owned(),
                "+<e@f>\0".to_owned(),
                "qheld\0".to_owned(),
                format!("hX-C\0{space}c\0"),
                "a".to_owned(),
            ];
            assert_eq!(answers, expected);
        }
    }

    #[test]
    fn forged_fields_are_deleted_from_the_last_up() {
        let field = |name: &str, index| Field { name: name.into(), index, value: 0..0 };
        let fields = [field("X-Sekisho-Id", 1), field("To", 1), field("x-sekisho-id", 2)];
        let mut answer = Answer::only(Response::Accept);
        answer.delete(&fields, |name| name.to_ascii_lowercase().starts_with(b"x-sekisho-"));
        let answers = Dialog::negotiated(6, ALL).answer(answer);
        assert_eq!(answers[0], (b'm', b"\0\0\0\x02x-sekisho-id\0\0".to_vec()));
        assert_eq!(answers[1], (b'm', b"\0\0\0\x01X-Sekisho-Id\0\0".to_vec()));
        assert_eq!(answers[2], (b'a', Vec::new()));
    }

    #[test]
    fn a_change_that_the_mta_does_not_offer_defers_the_message() {
        let changes = [
            (change(1, "x"), action::CHANGE_HEADERS),
            (Modification::AddHeader { name: "A".to_owned(), value: Vec::new() }, action::ADD_HEADERS),
            (Modification::ReplaceBody(Bytes::from_static(b"x")), action::CHANGE_BODY),
            (Modification::DeleteRecipient(Path::new("<c@d>")), action::DELETE_RECIPIENT),
            (Modification::AddRecipient(Path::new("<c@d>")), action::ADD_RECIPIENT),
            (Modification::Quarantine("x".to_owned()), action::QUARANTINE),
        ];
        for (change, needed) in changes {
            let insert = Modification::InsertHeader { index: 0, name: "A".to_owned(), value: b"b".to_vec() };
            let answer = Answer { changes: vec![insert, change.clone()], verdict: Response::Accept };
            let mut dialog = Dialog::negotiated(6, (0x1ff & !needed | 0x100, ALL.1));
            dialog.answer = answer.clone();
            dialog.send(&frames(MESSAGE));
            assert_eq!(dialog.letters(), "Ot", "{change:?}");
            assert_eq!(dialog.unsent.len(), 1);
            let refuse = Answer { verdict: Response::Reject, ..answer };
            let answers = Dialog::negotiated(6, (0x100, ALL.1)).answer(refuse);
            assert_eq!(answers, [(b'r', Vec::new())], "changes to a message that is not delivered are not needed");
        }
        for change in [
            Modification::AddHeader { name: "A:".to_owned(), value: Vec::new() },
            Modification::AddHeader { name: "A".to_owned(), value: vec![b'x'; codec::MAX_DATA] },
            Modification::DeleteRecipient(Path::new("<a\0b>")),
        ] {
            let answer = Answer { changes: vec![change], verdict: Response::Accept };
            assert_eq!(Dialog::negotiated(6, ALL).answer(answer), [(b't', Vec::new())]);
        }
        let answer = Answer::only(Response::Reply(Reply::new(250, "2.0.0 Ok")));
        assert_eq!(Dialog::negotiated(6, ALL).answer(answer), [(b't', Vec::new())]);
    }

    #[test]
    fn a_new_body_goes_out_whole_in_pieces() {
        for size in [0, 1, 65_535, 65_536, 3_000_000] {
            let body: Vec<u8> = (0..size).map(|n: u32| (n % 251) as u8).collect();
            let changes = vec![Modification::ReplaceBody(Bytes::from(body.clone()))];
            let answers = Dialog::negotiated(6, ALL).answer(Answer { changes, verdict: Response::Continue });
            let (last, pieces) = answers.split_last().unwrap();
            assert_eq!(last.0, b'c');
            assert!(pieces.iter().all(|(letter, data)| *letter == b'b' && data.len() <= 65_535));
            assert!(pieces.concat_data() == body, "{size}");
            assert_eq!(pieces.len(), (size as usize).div_ceil(65_535).max(1));
        }
    }

    trait ConcatData {
        fn concat_data(&self) -> Vec<u8>;
    }

    impl ConcatData for [(u8, Vec<u8>)] {
        fn concat_data(&self) -> Vec<u8> {
            self.iter().flat_map(|(_, data)| data.clone()).collect()
        }
    }

    #[test]
    fn replies_are_as_libmilter_writes_them() {
        let text = |code, text| {
            let answers = Dialog::negotiated(6, ALL).answer(Answer::only(Response::Reply(Reply::new(code, text))));
            assert_eq!(answers.len(), 1);
            assert_eq!(answers[0].0, b'y');
            String::from_utf8(answers[0].1.clone()).unwrap()
        };
        assert_eq!(text(550, "5.7.1 not 100% here"), "550 5.7.1 not 100%% here\0");
        assert_eq!(text(550, "5.7.1 one\n5.7.1 two\nthree"), "550-5.7.1 one\r\n550-5.7.1 two\r\n550 5.7.1 three\0");
        assert_eq!(text(451, "later"), "451 4.0.0 later\0");
        assert_eq!(text(451, "5.7.1 x"), "451 4.0.0 5.7.1 x\0");
        assert_eq!(text(550, "5.7.1 関所\x1b"), "550 5.7.1 ???\0");
        assert_eq!(text(550, ""), "550 5.0.0 \0");
    }

    #[test]
    fn an_answer_is_confirmed_by_what_comes_behind_it() {
        for next in [(b'A', &b""[..]), (b'M', b"<>\0"), (b'Q', b""), (b'K', b""), (b'D', b"M")] {
            let mut dialog = Dialog::negotiated(6, ALL);
            dialog.send(&frames(MESSAGE));
            assert_eq!(dialog.confirmed, 0);
            dialog.send(&frames(&[next]));
            assert_eq!(dialog.confirmed, 1, "{next:?}");
            let mut pipelined = Dialog::negotiated(6, ALL);
            pipelined.send(&[frames(MESSAGE), frames(&[next])].concat());
            assert_eq!(pipelined.confirmed, 0, "{next:?} came before our answer");
        }
        let mut dialog = Dialog::negotiated(6, ALL);
        dialog.send(&frames(MESSAGE));
        dialog.send(b"\0\0\0\0");
        assert_eq!(dialog.confirmed, 0);
    }

    #[test]
    fn garbage_never_panics_and_is_never_kept() {
        let mut random = fastrand::Rng::with_seed(7);
        for round in 0..3000 {
            let mut dialog = Dialog::negotiated(6, (random.u32(..), random.u32(..)));
            let mut octets: Vec<u8> = Vec::new();
            for _ in 0..random.usize(1..20) {
                let command = if round % 2 == 0 { *random.choice(b"ABCDEHKLMNOQRTU").unwrap() } else { random.u8(..) };
                let data: Vec<u8> =
                    (0..random.usize(..40)).map(|_| *random.choice(b"\0\0\n\r a4:<\xff").unwrap()).collect();
                octets.extend(frame(command, &data));
            }
            for _ in 0..random.usize(..3) {
                let at = random.usize(..octets.len());
                octets[at] = random.u8(..);
            }
            for segment in octets.chunks(random.usize(1..50)) {
                if dialog.end.is_none() {
                    dialog.send(segment);
                }
            }
            assert!(dialog.session.input.len() <= octets.len());
        }
    }
}
