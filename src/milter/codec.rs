//! The milter protocol's frames (libmilter's `mfdef.h`, versions 2 to 6): octets to [`Command`]s, and
//! our answers to octets. No I/O, nothing is copied.
//!
//! Not here: CHGFROM, SETSYMLIST (Postfix and Sendmail send what is used here unasked, and a list of ours
//! would replace the one that the admin configured), larger chunks (`SMFIP_MDS_*`).

use bytes::{BufMut, Bytes, BytesMut};
use memchr::memchr;

use crate::envelope::Path;
use crate::smtp::reply::Reply;

/// Octets of a frame behind its length. Bodies come in chunks of 65,535; Postfix's `header_size_limit`
/// is 102,400, and the largest chunk that Sendmail knows is 1 MiB.
pub const MAX_FRAME: usize = 1 << 20;
/// Octets of data in one frame of ours (`MILTER_CHUNK_SIZE`).
pub const MAX_DATA: usize = 65_535;
/// The version spoken here; older MTAs get their own, down to [`MIN_VERSION`].
pub const VERSION: u32 = 6;
/// The oldest version (Sendmail 8.11). libmilter takes no older one either.
pub const MIN_VERSION: u32 = 2;

/// Octets of the length in front of a frame.
const LENGTH: usize = 4;
/// What an MTA means that offers no actions or no protocol steps at all (`SMFI_V1_ACTS`, `SMFI_V1_PROT`).
const V1_ACTIONS: u32 = 0x0f;
const V1_PROTOCOL: u32 = 0x3f;

/// `SMFIF_*`: changes that an MTA lets its milters make.
pub mod action {
    /// Add header fields, at the end or at a place.
    pub const ADD_HEADERS: u32 = 0x01;
    /// Replace the body.
    pub const CHANGE_BODY: u32 = 0x02;
    /// Add recipients.
    pub const ADD_RECIPIENT: u32 = 0x04;
    /// Delete recipients.
    pub const DELETE_RECIPIENT: u32 = 0x08;
    /// Change and delete header fields.
    pub const CHANGE_HEADERS: u32 = 0x10;
    /// Hold the message in the MTA's own queue.
    pub const QUARANTINE: u32 = 0x20;
    /// Add recipients with ESMTP parameters.
    pub const ADD_RECIPIENT_PARAMETERS: u32 = 0x80;
}

/// `SMFIP_*`: how the MTA is to behave.
pub mod protocol {
    /// No reply to HEADER.
    pub const NO_REPLY_HEADER: u32 = 0x80;
    /// The MTA understands [`super::SKIP`].
    pub const SKIP: u32 = 0x400;
    /// No reply to CONNECT.
    pub const NO_REPLY_CONNECT: u32 = 0x1000;
    /// No reply to HELO.
    pub const NO_REPLY_HELO: u32 = 0x2000;
    /// No reply to MAIL.
    pub const NO_REPLY_MAIL: u32 = 0x4000;
    /// No reply to RCPT.
    pub const NO_REPLY_RCPT: u32 = 0x8000;
    /// No reply to DATA.
    pub const NO_REPLY_DATA: u32 = 0x1_0000;
    /// No reply to UNKNOWN.
    pub const NO_REPLY_UNKNOWN: u32 = 0x2_0000;
    /// No reply to EOH.
    pub const NO_REPLY_EOH: u32 = 0x4_0000;
    /// No reply to BODY.
    pub const NO_REPLY_BODY: u32 = 0x8_0000;
    /// Header values keep the white space behind the colon, in both directions.
    pub const LEADING_SPACE: u32 = 0x10_0000;
}

/// What is taken of the actions offered.
const WANTED_ACTIONS: u32 = action::ADD_HEADERS
    | action::CHANGE_BODY
    | action::ADD_RECIPIENT
    | action::DELETE_RECIPIENT
    | action::CHANGE_HEADERS
    | action::QUARANTINE
    | action::ADD_RECIPIENT_PARAMETERS;

/// What is taken of the protocol steps offered: everything is decided at the end of the message, so no
/// other event needs an answer.
const WANTED_PROTOCOL: u32 = protocol::NO_REPLY_HEADER
    | protocol::SKIP
    | protocol::NO_REPLY_CONNECT
    | protocol::NO_REPLY_HELO
    | protocol::NO_REPLY_MAIL
    | protocol::NO_REPLY_RCPT
    | protocol::NO_REPLY_DATA
    | protocol::NO_REPLY_UNKNOWN
    | protocol::NO_REPLY_EOH
    | protocol::NO_REPLY_BODY
    | protocol::LEADING_SPACE;

/// `SMFIR_CONTINUE`
pub const CONTINUE: u8 = b'c';
/// `SMFIR_SKIP`: no more of the body, please.
pub const SKIP: u8 = b's';
/// `SMFIR_TEMPFAIL`
pub const TEMPFAIL: u8 = b't';
/// `SMFIR_PROGRESS`: still at work, wait on.
pub const PROGRESS: u8 = b'p';
/// `SMFIC_ABORT`
pub const ABORT: u8 = b'A';
/// `SMFIC_OPTNEG`, in both directions.
pub const NEGOTIATE: u8 = b'O';

/// Why octets are not the protocol. The connection cannot be trusted any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// What the MTA says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// OPTNEG
    Negotiate(Offer),
    /// MACRO: values for the command with this letter. It replaces all of an earlier one.
    Macros(u8, Strings<'a>),
    /// CONNECT
    Connect(Connect<'a>),
    /// HELO or EHLO.
    Helo(&'a [u8]),
    /// MAIL: the path, then its ESMTP parameters.
    Mail(&'a [u8], Strings<'a>),
    /// RCPT, likewise.
    Recipient(&'a [u8], Strings<'a>),
    /// DATA
    Data,
    /// A command that the MTA does not know.
    Unknown,
    /// A header field: name and value, which may have line breaks.
    Header(&'a [u8], &'a [u8]),
    /// EOH
    EndOfHeader,
    /// A piece of the body.
    Body(&'a [u8]),
    /// EOM, with a last piece of the body.
    EndOfMessage(&'a [u8]),
    /// ABORT: forget this message.
    Abort,
    /// QUIT
    Quit,
    /// QUIT_NC: the MTA goes on with another client on the same connection.
    QuitNewConnection,
}

/// OPTNEG: what the MTA can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its version.
    pub version: u32,
    /// Bits of [`action`].
    pub actions: u32,
    /// Bits of [`protocol`].
    pub protocol: u32,
}

/// CONNECT: the client of the MTA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect<'a> {
    /// Its host name, or what the MTA has instead.
    pub name: &'a [u8],
    /// `4`, `6`, `L` (Unix) or `U` (unknown).
    pub family: u8,
    /// Its address as text; for a Unix socket the path.
    pub address: &'a [u8],
}

/// Strings, each ended by a NUL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strings<'a>(&'a [u8]);

impl<'a> Iterator for Strings<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (string, rest) = split_string(self.0)?;
        self.0 = rest;
        Some(string)
    }
}

/// A whole frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The letter of its command.
    pub command: u8,
    /// What is behind it.
    pub data: &'a [u8],
    /// Octets of all of it, the length in front too.
    pub length: usize,
}

/// The frame at the front of `input`, if it is whole.
///
/// # Errors
/// A length of 0 or above [`MAX_FRAME`], as soon as it is known.
pub fn frame(input: &[u8]) -> Result<Option<Frame<'_>>, Malformed> {
    let Some((length, rest)) = input.split_first_chunk::<LENGTH>() else { return Ok(None) };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    match length {
        0 => return Err(Malformed("a frame without a command")),
        1..=MAX_FRAME => {}
        _ => return Err(Malformed("a frame that is too long")),
    }
    let Some((command, data)) = rest.get(..length).and_then(<[u8]>::split_first) else { return Ok(None) };
    Ok(Some(Frame { command: *command, data, length: length.saturating_add(LENGTH) }))
}

/// Understands a frame.
///
/// # Errors
/// An unknown command, or data that ends too early.
pub fn parse(command: u8, data: &[u8]) -> Result<Command<'_>, Malformed> {
    let parsed = match command {
        NEGOTIATE => offer(data).map(Command::Negotiate),
        b'D' => macros(data),
        b'C' => connect(data).map(Command::Connect),
        b'H' => split_string(data).map(|(name, _)| Command::Helo(name)),
        b'M' => arguments(data).map(|(path, parameters)| Command::Mail(path, parameters)),
        b'R' => arguments(data).map(|(path, parameters)| Command::Recipient(path, parameters)),
        b'L' => header(data),
        b'T' => Some(Command::Data),
        b'U' => Some(Command::Unknown),
        b'N' => Some(Command::EndOfHeader),
        b'B' => Some(Command::Body(data)),
        b'E' => Some(Command::EndOfMessage(data)),
        ABORT => Some(Command::Abort),
        b'Q' => Some(Command::Quit),
        b'K' => Some(Command::QuitNewConnection),
        _ => return Err(Malformed("an unknown command")),
    };
    parsed.ok_or(Malformed("a command whose data ends too early"))
}

fn split_string(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr(0, data)?;
    Some((data.get(..at)?, data.get(at.saturating_add(1)..)?))
}

fn offer(data: &[u8]) -> Option<Offer> {
    let (version, rest) = data.split_first_chunk::<4>()?;
    let (actions, rest) = rest.split_first_chunk::<4>()?;
    let (protocol, _) = rest.split_first_chunk::<4>()?;
    Some(Offer {
        version: u32::from_be_bytes(*version),
        actions: u32::from_be_bytes(*actions),
        protocol: u32::from_be_bytes(*protocol),
    })
}

/// Strings of which the last one is ended too.
fn strings(data: &[u8]) -> Option<Strings<'_>> {
    matches!(data.last(), None | Some(0)).then_some(Strings(data))
}

fn macros(data: &[u8]) -> Option<Command<'_>> {
    let (stage, rest) = data.split_first()?;
    Some(Command::Macros(*stage, strings(rest)?))
}

fn arguments(data: &[u8]) -> Option<(&[u8], Strings<'_>)> {
    let (path, rest) = split_string(data)?;
    Some((path, strings(rest)?))
}

/// A name with a line break in it is no name.
fn header(data: &[u8]) -> Option<Command<'_>> {
    let (name, rest) = split_string(data)?;
    let (value, _) = split_string(rest)?;
    (!name.iter().any(|octet| matches!(octet, b'\r' | b'\n'))).then_some(Command::Header(name, value))
}

/// Name, family, and unless that is unknown a port (2 octets) and an address.
fn connect(data: &[u8]) -> Option<Connect<'_>> {
    let (name, rest) = split_string(data)?;
    let (family, rest) = rest.split_first()?;
    let address = match family {
        b'4' | b'6' | b'L' => split_string(rest.get(2..)?)?.0,
        _ => b"",
    };
    Some(Connect { name, family: *family, address })
}

/// What was agreed upon with the MTA.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreed {
    /// The version spoken.
    pub version: u32,
    /// Bits of [`action`].
    pub actions: u32,
    /// Bits of [`protocol`].
    pub protocol: u32,
}

impl Agreed {
    /// What we take of an offer; `None` if it is too old.
    pub fn from_offer(offer: Offer) -> Option<Self> {
        let Offer { version, actions, protocol } = offer;
        let or_v1 = |offered: u32, v1: u32| if offered == 0 { v1 } else { offered };
        (version >= MIN_VERSION).then(|| Agreed {
            version: version.min(VERSION),
            actions: or_v1(actions, V1_ACTIONS) & WANTED_ACTIONS,
            protocol: or_v1(protocol, V1_PROTOCOL) & WANTED_PROTOCOL,
        })
    }

    /// Whether all these actions may be used.
    pub fn can(&self, actions: u32) -> bool {
        self.actions & actions == actions
    }

    /// Whether all these protocol steps were agreed upon.
    pub fn has(&self, steps: u32) -> bool {
        self.protocol & steps == steps
    }

    /// The answer to OPTNEG.
    pub fn write(&self, out: &mut BytesMut) {
        let numbers = [self.version.to_be_bytes(), self.actions.to_be_bytes(), self.protocol.to_be_bytes()];
        write_frame(out, NEGOTIATE, &[numbers.as_flattened()]);
    }
}

/// A change to a message, made at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Modification {
    /// A header field behind all others.
    AddHeader {
        /// Its name.
        name: String,
        /// Its value, without the space behind the colon; folded lines end with LF or CRLF.
        value: Vec<u8>,
    },
    /// A header field at a place; 0 is above all others.
    InsertHeader {
        /// The place.
        index: u32,
        /// Its name.
        name: String,
        /// As in [`Modification::AddHeader`].
        value: Vec<u8>,
    },
    /// Another value for a header field; an empty one deletes it.
    ChangeHeader {
        /// Which of those with that name, from 1.
        index: u32,
        /// Its name.
        name: String,
        /// As in [`Modification::AddHeader`].
        value: Vec<u8>,
    },
    /// Another body: all of it, its lines ended by CRLF.
    ReplaceBody(Bytes),
    /// One recipient more.
    AddRecipient(Path),
    /// One recipient less.
    DeleteRecipient(Path),
    /// The MTA holds the message in its own queue. The response must be [`Response::Accept`].
    Quarantine(String),
}

/// The last word about a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// Deliver it, unless another milter says otherwise.
    Accept,
    /// At the end of a message the same as [`Response::Accept`].
    Continue,
    /// 550 5.7.1
    Reject,
    /// 451 4.7.1
    Tempfail,
    /// Say 250 and deliver nothing. Only if we hold the message durably, or the policy says so.
    Discard,
    /// This reply, of class 4 or 5.
    Reply(Reply),
}

/// Why an answer cannot be sent to this MTA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsendable(pub &'static str);

impl Modification {
    /// The actions that must have been agreed upon.
    pub fn needs(&self) -> u32 {
        match self {
            Modification::AddHeader { .. } | Modification::InsertHeader { .. } => action::ADD_HEADERS,
            Modification::ChangeHeader { .. } => action::CHANGE_HEADERS,
            Modification::ReplaceBody(_) => action::CHANGE_BODY,
            Modification::AddRecipient(path) if path.parameters.0.is_empty() => action::ADD_RECIPIENT,
            Modification::AddRecipient(_) => action::ADD_RECIPIENT_PARAMETERS,
            Modification::DeleteRecipient(_) => action::DELETE_RECIPIENT,
            Modification::Quarantine(_) => action::QUARANTINE,
        }
    }

    /// Appends its frame. (A body is written by [`write_body`].)
    ///
    /// # Errors
    /// The MTA does not let us, or the text cannot be sent.
    pub fn write(&self, agreed: Agreed, out: &mut BytesMut) -> Result<(), Unsendable> {
        if !agreed.can(self.needs()) {
            return Err(Unsendable("the MTA does not offer an action that is needed"));
        }
        let text = |value: &[u8]| header_value(value, agreed.has(protocol::LEADING_SPACE));
        match self {
            Modification::AddHeader { name, value } => {
                write_checked(out, b'h', &[field_name(name)?, b"\0", &text(value), b"\0"])
            }
            Modification::InsertHeader { index, name, value } => {
                write_checked(out, b'i', &[&index.to_be_bytes(), field_name(name)?, b"\0", &text(value), b"\0"])
            }
            Modification::ChangeHeader { index, name, value } => {
                write_checked(out, b'm', &[&index.to_be_bytes(), field_name(name)?, b"\0", &text(value), b"\0"])
            }
            Modification::ReplaceBody(_) => Ok(()),
            Modification::AddRecipient(path) if path.parameters.0.is_empty() => {
                write_checked(out, b'+', &[address(&path.path.0)?, b"\0"])
            }
            Modification::AddRecipient(path) => {
                write_checked(out, b'2', &[address(&path.path.0)?, b"\0", address(&path.parameters.0)?, b"\0"])
            }
            Modification::DeleteRecipient(path) => write_checked(out, b'-', &[address(&path.path.0)?, b"\0"]),
            Modification::Quarantine(reason) => {
                let reason: String = reason.chars().map(printable).take(MAX_REASON).collect();
                write_checked(out, b'q', &[reason.as_bytes(), b"\0"])
            }
        }
    }
}

/// Characters of a reason for the MTA's quarantine; it stands in its log and queue file.
const MAX_REASON: usize = 400;
/// Lines of a reply, as in libmilter's `smfi_setmlreply`.
const MAX_REPLY_LINES: usize = 32;

impl Response {
    /// Whether the MTA goes on to deliver the message, so that changes to it make sense.
    pub fn delivers(&self) -> bool {
        matches!(self, Response::Accept | Response::Continue)
    }

    /// Appends its frame.
    ///
    /// # Errors
    /// A reply that is not of class 4 or 5.
    pub fn write(&self, out: &mut BytesMut) -> Result<(), Unsendable> {
        match self {
            Response::Accept => write_frame(out, b'a', &[]),
            Response::Continue => write_frame(out, CONTINUE, &[]),
            Response::Reject => write_frame(out, b'r', &[]),
            Response::Tempfail => write_frame(out, TEMPFAIL, &[]),
            Response::Discard => write_frame(out, b'd', &[]),
            Response::Reply(reply) if reply.is_refusal() => write_frame(out, b'y', &[&reply_text(reply), b"\0"]),
            Response::Reply(_) => return Err(Unsendable("a reply that is no refusal")),
        }
        Ok(())
    }
}

/// Appends one frame.
pub fn write_frame(out: &mut BytesMut, command: u8, parts: &[&[u8]]) {
    let length = parts.iter().fold(1usize, |sum, part| sum.saturating_add(part.len()));
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    out.put_u8(command);
    for part in parts {
        out.put_slice(part);
    }
}

/// Appends the next piece of a new body; false if that was the last. An empty body is one empty piece.
pub fn write_body(body: &mut Bytes, out: &mut BytesMut) -> bool {
    let piece = body.split_to(body.len().min(MAX_DATA));
    write_frame(out, b'b', &[&piece]);
    !body.is_empty()
}

fn write_checked(out: &mut BytesMut, command: u8, parts: &[&[u8]]) -> Result<(), Unsendable> {
    let length = parts.iter().fold(0usize, |sum, part| sum.saturating_add(part.len()));
    if length > MAX_DATA {
        return Err(Unsendable("a text that is too long for one frame"));
    }
    write_frame(out, command, parts);
    Ok(())
}

/// A name of ours or of the MTA, which may have white space in it (RFC 5322 4.5.8).
fn field_name(name: &str) -> Result<&[u8], Unsendable> {
    let is_name = |octet: u8| (octet.is_ascii_graphic() || matches!(octet, b' ' | b'\t')) && octet != b':';
    let name = name.as_bytes();
    if name.is_empty() || !name.iter().copied().all(is_name) {
        return Err(Unsendable("a header name that is none"));
    }
    Ok(name)
}

/// A path of ours or of the MTA; with a control character in it it would mean something else.
fn address(path: &[u8]) -> Result<&[u8], Unsendable> {
    if path.is_empty() || path.iter().any(u8::is_ascii_control) {
        return Err(Unsendable("an address that is none"));
    }
    Ok(path)
}

/// A value as the MTA wants it: folded lines end with LF, and nothing can begin a new field. An empty
/// value stays empty, since it deletes.
fn header_value(value: &[u8], leading_space: bool) -> Vec<u8> {
    let value = value.trim_ascii_end();
    let value = value.strip_prefix(b" ").unwrap_or(value);
    let mut out = Vec::with_capacity(value.len().saturating_add(1));
    if leading_space && !value.is_empty() {
        out.push(b' ');
    }
    let mut octets = value.iter().copied().peekable();
    while let Some(octet) = octets.next() {
        match octet {
            b'\r' if octets.peek() == Some(&b'\n') => {}
            b'\n' if matches!(octets.peek(), Some(b' ' | b'\t')) => out.push(b'\n'),
            b'\r' | b'\n' | 0 => out.push(b' '),
            _ => out.push(octet),
        }
    }
    out
}

fn printable(c: char) -> char {
    if c == ' ' || c.is_ascii_graphic() { c } else { '?' }
}

/// `NNN X.Y.Z text`, lines joined by CRLF, `%` doubled (MTAs put it through a format). The enhanced
/// code is on every line and of the reply's class.
fn reply_text(reply: &Reply) -> Vec<u8> {
    let texts: Vec<&[u8]> = reply.texts().take(MAX_REPLY_LINES).collect();
    let first = texts.first().copied().unwrap_or_default();
    let code = enhanced_code(first, reply.class()).map_or_else(
        || format!("{}.0.0", reply.class()),
        |length| String::from_utf8_lossy(first.get(..length).unwrap_or_default()).into_owned(),
    );
    let last = texts.len().saturating_sub(1);
    let mut out = String::new();
    for (index, text) in texts.iter().enumerate() {
        let own = enhanced_code(text, reply.class()).unwrap_or(0);
        let text = String::from_utf8_lossy(text.get(own..).unwrap_or_default());
        let mark = if index == last { ' ' } else { '-' };
        let text: String = text.trim_start().chars().map(printable).take(MAX_REASON).collect();
        out.push_str(&format!("{:03}{mark}{code} {}", reply.code(), text.replace('%', "%%")));
        if index != last {
            out.push_str("\r\n");
        }
    }
    out.into_bytes()
}

/// How long the enhanced code (RFC 3463) at the start of a text is, if it is of this class.
fn enhanced_code(text: &[u8], class: u16) -> Option<usize> {
    let end = memchr(b' ', text).unwrap_or(text.len());
    let code = std::str::from_utf8(text.get(..end)?).ok()?;
    let mut numbers = code.split('.').map(|number| number.parse::<u16>().ok().filter(|_| number.len() <= 3));
    let found = (numbers.next()??, numbers.next()??, numbers.next()??);
    (found.0 == class && numbers.next().is_none()).then_some(end)
}
