//! A connection to the next hop: one command at a time, each with a bound on its whole reply.
//!
//! A connection that failed in any way is not to be used again: whoever holds a [`Client`] drops it
//! then, and dropping one inside content leaves the next hop with an incomplete message, which it
//! forgets (RFC 5321 4.1.1.10).

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::config::{ClientTls, Endpoint, NextHopProtocol, Timeouts};
use crate::envelope::{Octets, Path};
use crate::message::{Edits, Message, Piece};
use crate::net::Stream;
use crate::smtp::Protocol;
use crate::smtp::command::MAX_XFORWARD_LINE;
use crate::smtp::data::DataWriter;
use crate::smtp::reply::{Malformed, Reply, ReplyParser};

/// Octets written at once: enough to fill a socket buffer, little enough that "no progress within
/// the timeout" means what it says.
const CHUNK: u64 = 65_536;
/// How long a next hop may take to say goodbye. Nothing depends on it.
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);

/// Where in the conversation the next hop was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Connecting.
    Connect,
    /// Its 220.
    Banner,
    /// EHLO, LHLO or HELO.
    Hello,
    /// STARTTLS and the handshake.
    StartTls,
    /// XFORWARD
    Xforward,
    /// MAIL
    Mail,
    /// RCPT
    Recipient,
    /// RSET
    Reset,
    /// DATA
    Data,
    /// Content, before the final dot.
    Content,
    /// The final dot and its reply.
    EndOfData,
    /// QUIT
    Quit,
}

/// Why the next hop was lost.
#[derive(Debug)]
pub enum Cause {
    /// The system says so.
    Io(io::Error),
    /// It closed the connection.
    Closed,
    /// The reply was not complete in time.
    Timeout,
    /// What it sent is no reply, or not one to this command.
    Malformed(&'static str),
    /// A well-formed reply that cannot be here, such as 354 to MAIL.
    Unexpected(Reply),
    /// TLS is required and cannot be had, or its handshake failed.
    Tls(String),
}

/// The next hop is lost.
#[derive(Debug)]
pub struct Lost {
    /// Where.
    pub stage: Stage,
    /// Why.
    pub cause: Cause,
}

impl Lost {
    /// Whether a fresh connection may do better: it went away, as an idle one does, rather than
    /// being slow or talking nonsense.
    pub fn is_gone(&self) -> bool {
        match &self.cause {
            Cause::Io(_) | Cause::Closed => true,
            Cause::Unexpected(reply) => reply.code() == 421,
            Cause::Timeout | Cause::Malformed(_) | Cause::Tls(_) => false,
        }
    }
}

impl std::error::Error for Lost {}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Connect => "connecting",
            Stage::Banner => "its banner",
            Stage::Hello => "EHLO",
            Stage::StartTls => "STARTTLS",
            Stage::Xforward => "XFORWARD",
            Stage::Mail => "MAIL",
            Stage::Recipient => "RCPT",
            Stage::Reset => "RSET",
            Stage::Data => "DATA",
            Stage::Content => "content",
            Stage::EndOfData => "the final dot",
            Stage::Quit => "QUIT",
        };
        match &self.cause {
            Cause::Io(error) => write!(f, "next hop lost at {stage}: {error}"),
            Cause::Closed => write!(f, "next hop lost at {stage}: it closed the connection"),
            Cause::Timeout => write!(f, "next hop lost at {stage}: no answer in time"),
            Cause::Malformed(what) => write!(f, "next hop lost at {stage}: malformed reply ({what})"),
            Cause::Unexpected(reply) => write!(f, "next hop lost at {stage}: it said {:?}", reply.text()),
            Cause::Tls(what) => write!(f, "next hop lost at {stage}: {what}"),
        }
    }
}

/// What the next hop offers, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// What it speaks.
    pub protocol: Protocol,
    /// SIZE: offered at all, and the largest message if it says one (0 means no limit, RFC 1870 4).
    pub size: Option<u64>,
    /// STARTTLS
    pub starttls: bool,
    /// 8BITMIME
    pub eight_bit: bool,
    /// SMTPUTF8
    pub utf8: bool,
    /// DSN
    pub dsn: bool,
    /// AUTH, so that MAIL may carry AUTH=.
    pub auth: bool,
    /// The attributes of XFORWARD it takes, upper case.
    pub xforward: Vec<String>,
}

impl Capabilities {
    /// From the reply to EHLO or LHLO; its first line is a greeting.
    pub fn from_hello(protocol: Protocol, reply: &Reply) -> Self {
        let mut capabilities = Self { protocol, ..Self::default() };
        for text in reply.texts().skip(1) {
            let line = String::from_utf8_lossy(text).to_ascii_uppercase();
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("SIZE") => capabilities.size = Some(words.next().and_then(|size| size.parse().ok()).unwrap_or(0)),
                Some("STARTTLS") => capabilities.starttls = true,
                Some("8BITMIME") => capabilities.eight_bit = true,
                Some("SMTPUTF8") => capabilities.utf8 = true,
                Some("DSN") => capabilities.dsn = true,
                Some("AUTH") => capabilities.auth = true,
                Some("XFORWARD") => capabilities.xforward = words.map(str::to_owned).collect(),
                _ => {}
            }
        }
        capabilities
    }
}

/// One connection, past its banner.
#[derive(Debug)]
pub struct Client {
    stream: Stream,
    input: BytesMut,
    parser: ReplyParser,
    timeouts: Timeouts,
}

impl Client {
    /// Connects and waits for the 220.
    ///
    /// # Errors
    /// No connection, or another greeting than 220.
    pub async fn connect(next_hop: &Endpoint, timeouts: &Timeouts) -> Result<Self, Lost> {
        let lost = |cause| Lost { stage: Stage::Connect, cause };
        let stream = match timeout(timeouts.connect, Stream::connect(next_hop)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(lost(Cause::Io(error))),
            Err(_) => return Err(lost(Cause::Timeout)),
        };
        let (input, parser) = (BytesMut::new(), ReplyParser::default());
        let mut client = Self { stream, input, parser, timeouts: timeouts.clone() };
        let banner = client.reply(Stage::Banner, timeouts.next_hop_command).await?;
        if banner.code() != 220 {
            return Err(Lost { stage: Stage::Banner, cause: Cause::Unexpected(banner) });
        }
        Ok(client)
    }

    /// Greets it in the first of the protocols that it knows, and begins TLS if that is wanted and can
    /// be had. `Ok(Err(reply))` is its refusal.
    ///
    /// # Errors
    /// The next hop is lost, or TLS is required and cannot be had.
    pub async fn hello(
        &mut self,
        name: &Octets,
        protocols: &[Protocol],
        tls: Option<&ClientTls>,
    ) -> Result<Result<Capabilities, Reply>, Lost> {
        let greeted = self.greet(name, protocols).await?;
        match (&greeted, tls) {
            (Ok(offered), Some(tls)) if self.start_tls(offered.starttls, tls).await? => {
                // What was said in clear is forgotten (RFC 3207 4.2).
                let protocol = offered.protocol;
                self.greet(name, &[protocol]).await
            }
            _ => Ok(greeted),
        }
    }

    /// STARTTLS and the handshake; false if it goes on in clear, which is allowed then.
    async fn start_tls(&mut self, offered: bool, tls: &ClientTls) -> Result<bool, Lost> {
        let lost = |cause| Lost { stage: Stage::StartTls, cause };
        match (offered, tls.required) {
            (false, true) => return Err(lost(Cause::Tls("it does not offer TLS, which next_hop_tls requires".into()))),
            (false, false) => return Ok(false),
            (true, _) => {}
        }
        let reply = self.command(Stage::StartTls, &[b"STARTTLS"]).await?;
        if reply.code() != 220 {
            let goes_on = !tls.required && reply.is_refusal() && reply.code() != 421;
            return if goes_on { Ok(false) } else { Err(lost(Cause::Unexpected(reply))) };
        }
        // A reply in clear behind the 220 would be taken for one inside TLS (CVE-2011-0411).
        self.idle(Stage::StartTls)?;
        let (config, name) = tls.connector.config();
        match timeout(self.timeouts.next_hop_command, self.stream.connect_tls(config, name)).await {
            Ok(Ok(())) => Ok(true),
            Ok(Err(error)) => Err(lost(Cause::Tls(format!("the TLS handshake failed: {error}")))),
            Err(_) => Err(lost(Cause::Timeout)),
        }
    }

    /// EHLO or LHLO, and HELO if it knows SMTP only by that (RFC 5321 4.1.4).
    async fn greet(&mut self, name: &Octets, protocols: &[Protocol]) -> Result<Result<Capabilities, Reply>, Lost> {
        let mut refusals = Vec::new();
        for protocol in protocols {
            let reply = self.command(Stage::Hello, &[protocol.hello().as_bytes(), b" ", &name.0]).await?;
            if reply.is_positive() {
                return Ok(Ok(Capabilities::from_hello(*protocol, &reply)));
            }
            if reply.class() != 5 {
                return Ok(Err(reply));
            }
            refusals.push(reply);
        }
        // HELO is for SMTP servers that know no EHLO. One that knows it and refuses us does not refuse
        // us less for another greeting.
        let smtp = protocols.contains(&Protocol::Smtp);
        if let Some(reply) = refusals.into_iter().find(|reply| !smtp || !is_unknown_command(reply)) {
            return Ok(Err(reply));
        }
        let helo = self.command(Stage::Hello, &[b"HELO ", &name.0]).await?;
        Ok(if helo.is_positive() { Ok(Capabilities::default()) } else { Err(helo) })
    }

    /// Sends on the attributes the next hop takes, in as many commands as needed. Losing some would
    /// silently change what it decides by, so a refusal ends the connection.
    ///
    /// # Errors
    /// The next hop is lost or refuses attributes that it offered to take.
    pub async fn xforward(&mut self, taken: &[String], attributes: &[(String, Octets)]) -> Result<(), Lost> {
        for line in xforward_lines(taken, attributes) {
            let reply = self.command(Stage::Xforward, &[&line]).await?;
            if !reply.is_positive() {
                return Err(Lost { stage: Stage::Xforward, cause: Cause::Unexpected(reply) });
            }
        }
        Ok(())
    }

    /// MAIL FROM, octets as received.
    ///
    /// # Errors
    /// The next hop is lost.
    pub async fn mail(&mut self, sender: &Path) -> Result<Reply, Lost> {
        self.command(Stage::Mail, &path_command(b"MAIL FROM:", sender)).await
    }

    /// RCPT TO, octets as received.
    ///
    /// # Errors
    /// The next hop is lost.
    pub async fn recipient(&mut self, recipient: &Path) -> Result<Reply, Lost> {
        self.command(Stage::Recipient, &path_command(b"RCPT TO:", recipient)).await
    }

    /// RSET. Anything but a 2yz is a loss: the transaction might go on.
    ///
    /// # Errors
    /// The next hop is lost.
    pub async fn reset(&mut self) -> Result<(), Lost> {
        let reply = self.command(Stage::Reset, &[b"RSET"]).await?;
        if reply.is_positive() { Ok(()) } else { Err(Lost { stage: Stage::Reset, cause: Cause::Unexpected(reply) }) }
    }

    /// DATA; `Ok(Err(reply))` is its refusal.
    ///
    /// # Errors
    /// The next hop is lost.
    pub async fn data(&mut self) -> Result<Result<(), Reply>, Lost> {
        self.idle(Stage::Data)?;
        self.send(Stage::Data, b"DATA\r\n").await?;
        let reply = self.reply(Stage::Data, self.timeouts.next_hop_data).await?;
        match reply.code() {
            354 => Ok(Ok(())),
            421 => Err(Lost { stage: Stage::Data, cause: Cause::Unexpected(reply) }),
            _ if reply.is_refusal() => Ok(Err(reply)),
            _ => Err(Lost { stage: Stage::Data, cause: Cause::Unexpected(reply) }),
        }
    }

    /// Sends a message as edited, all but the final dot.
    ///
    /// # Errors
    /// The next hop is lost, or the spooled message cannot be read.
    pub async fn content(&mut self, message: &Message, edits: &Edits) -> Result<DataWriter, Lost> {
        let mut writer = DataWriter::default();
        let mut wire = Vec::new();
        for piece in edits.pieces(message.size()) {
            let mut at = 0;
            while let Some(octets) = next_chunk(message, &piece, at)? {
                at = at.saturating_add(octets.len() as u64);
                wire.clear();
                writer.write(&octets, &mut wire);
                self.send(Stage::Content, &wire).await?;
            }
        }
        Ok(writer)
    }

    /// Whether the next hop still waits for the final dot. A reply that comes before it would be
    /// taken for the answer to it, and a 250 for a message that nobody has.
    ///
    /// # Errors
    /// The next hop is lost; the final dot was not sent.
    pub fn awaits_dot(&mut self) -> Result<(), Lost> {
        self.idle(Stage::Content)
    }

    /// Sends the final dot to an SMTP server: from here on the message may be the next hop's.
    ///
    /// # Errors
    /// The next hop is lost, and nobody knows whether it took the message.
    pub async fn end_of_data(&mut self, writer: DataWriter) -> Result<Reply, Lost> {
        let mut replies = Vec::new();
        self.end_of_data_each(writer, Protocol::Smtp, 1, &mut replies).await?;
        replies.pop().ok_or(Lost { stage: Stage::EndOfData, cause: Cause::Closed })
    }

    /// As [`Client::end_of_data`], in either protocol. Puts its replies into
    /// `replies` as they come: one, or in LMTP one for each of the `recipients` that it accepted, in
    /// their order.
    ///
    /// # Errors
    /// The next hop is lost, and nobody knows whether it took the message for those without a reply.
    pub async fn end_of_data_each(
        &mut self,
        mut writer: DataWriter,
        protocol: Protocol,
        recipients: usize,
        replies: &mut Vec<Reply>,
    ) -> Result<(), Lost> {
        let mut wire = Vec::new();
        writer.end(&mut wire);
        self.send(Stage::EndOfData, &wire).await?;
        let expected = match protocol {
            Protocol::Smtp => 1,
            Protocol::Lmtp => recipients,
        };
        for _ in 0..expected {
            let reply = self.reply(Stage::EndOfData, self.timeouts.next_hop_end).await?;
            match (protocol, reply.code()) {
                // It goes, and the replies that are missing do not come.
                (Protocol::Lmtp, 421) => {}
                _ if reply.is_positive() || reply.is_refusal() => {
                    replies.push(reply);
                    continue;
                }
                _ => {}
            }
            return Err(Lost { stage: Stage::EndOfData, cause: Cause::Unexpected(reply) });
        }
        Ok(())
    }

    /// Says goodbye. Nothing depends on the answer.
    pub async fn quit(mut self) {
        let _ = timeout(QUIT_TIMEOUT, self.command(Stage::Quit, &[b"QUIT"])).await;
    }

    /// Whether the connection is quiet and open, as it must be between commands.
    ///
    /// # Errors
    /// It closed, or it said something nobody asked for: a 421, or a reply too many, after which no
    /// reply could be matched to its command any more.
    fn idle(&mut self, stage: Stage) -> Result<(), Lost> {
        let lost = |cause| Err(Lost { stage, cause });
        let mut spoke = !self.input.is_empty();
        loop {
            match self.parser.parse(&mut self.input) {
                Ok(None) => {}
                Ok(Some(reply)) if reply.code() == 421 => return lost(Cause::Unexpected(reply)),
                Ok(Some(_)) | Err(_) => break,
            }
            match self.stream.try_read_buf(&mut self.input) {
                Ok(0) => return lost(Cause::Closed),
                Ok(_) => spoke = true,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return lost(Cause::Io(error)),
                Err(_) if spoke => break,
                Err(_) => return Ok(()),
            }
        }
        lost(Cause::Malformed("a reply without a command"))
    }

    /// One command and its reply, which is not a 3yz.
    async fn command(&mut self, stage: Stage, parts: &[&[u8]]) -> Result<Reply, Lost> {
        self.idle(stage)?;
        let mut line = parts.concat();
        line.extend_from_slice(b"\r\n");
        self.send(stage, &line).await?;
        let reply = self.reply(stage, self.timeouts.next_hop_command).await?;
        if reply.class() == 3 {
            return Err(Lost { stage, cause: Cause::Unexpected(reply) });
        }
        Ok(reply)
    }

    async fn send(&mut self, stage: Stage, octets: &[u8]) -> Result<(), Lost> {
        let writing = async {
            self.stream.write_all(octets).await?;
            self.stream.flush().await
        };
        match timeout(self.timeouts.next_hop_content, writing).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Lost { stage, cause: Cause::Io(error) }),
            Err(_) => Err(Lost { stage, cause: Cause::Timeout }),
        }
    }

    /// The next reply, whole, within `limit`.
    async fn reply(&mut self, stage: Stage, limit: Duration) -> Result<Reply, Lost> {
        match timeout(limit, self.read_reply()).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(cause)) => Err(Lost { stage, cause }),
            Err(_) => Err(Lost { stage, cause: Cause::Timeout }),
        }
    }

    async fn read_reply(&mut self) -> Result<Reply, Cause> {
        loop {
            match self.parser.parse(&mut self.input) {
                Ok(Some(reply)) => return Ok(reply),
                Ok(None) => {}
                Err(Malformed(what)) => return Err(Cause::Malformed(what)),
            }
            match self.stream.read_buf(&mut self.input).await {
                Ok(0) => return Err(Cause::Closed),
                Ok(_) => {}
                Err(error) => return Err(Cause::Io(error)),
            }
        }
    }
}

impl NextHopProtocol {
    /// The protocols to try, in order.
    pub fn to_try(self) -> &'static [Protocol] {
        match self {
            NextHopProtocol::Smtp => &[Protocol::Smtp],
            NextHopProtocol::Lmtp => &[Protocol::Lmtp],
            NextHopProtocol::LmtpOrSmtp => &[Protocol::Lmtp, Protocol::Smtp],
        }
    }
}

/// Whether a server does not know a command (RFC 5321 4.2.4).
fn is_unknown_command(reply: &Reply) -> bool {
    matches!(reply.code(), 500 | 502)
}

/// `MAIL FROM:<path> parameters`
fn path_command<'a>(verb: &'a [u8], path: &'a Path) -> [&'a [u8]; 4] {
    let space: &[u8] = if path.parameters.0.is_empty() { b"" } else { b" " };
    [verb, &path.path.0, space, &path.parameters.0]
}

/// The attributes in `taken` as commands of at most [`MAX_XFORWARD_LINE`] octets.
fn xforward_lines(taken: &[String], attributes: &[(String, Octets)]) -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for (name, value) in attributes.iter().filter(|(name, _)| taken.contains(name)) {
        let word = [b" ", name.as_bytes(), b"=", &value.0].concat();
        let room = MAX_XFORWARD_LINE.saturating_sub(2).saturating_sub(word.len());
        match lines.last_mut().filter(|line| line.len() <= room) {
            Some(line) => line.extend_from_slice(&word),
            None => lines.push([b"XFORWARD", word.as_slice()].concat()),
        }
    }
    lines
}

/// The octets of a piece from `at` on, at most [`CHUNK`]; `None` at its end. A spooled message was
/// written moments ago, so reading it comes from the page cache and does not block.
fn next_chunk(message: &Message, piece: &Piece, at: u64) -> Result<Option<Bytes>, Lost> {
    let octets = match piece {
        Piece::Original(range) => {
            let start = range.start.saturating_add(at).min(range.end);
            let read = message.read(start..start.saturating_add(CHUNK).min(range.end));
            read.map_err(|error| Lost { stage: Stage::Content, cause: Cause::Io(error) })?
        }
        Piece::New(octets) => {
            let start = usize::try_from(at).unwrap_or(usize::MAX).min(octets.len());
            octets.slice(start..)
        }
    };
    Ok((!octets.is_empty()).then_some(octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(values: &[(&str, &str)]) -> Vec<(String, Octets)> {
        values.iter().map(|(name, value)| ((*name).to_owned(), Octets::from(*value))).collect()
    }

    #[test]
    fn xforward_is_filtered_and_split() {
        let taken = ["NAME".to_owned(), "ADDR".to_owned(), "HELO".to_owned()];
        let long = "x".repeat(255);
        let lines = |values: &[(&str, &str)]| -> Vec<String> {
            let lines = xforward_lines(&taken, &attributes(values));
            lines.into_iter().map(|line| String::from_utf8(line).unwrap()).collect()
        };
        assert_eq!(lines(&[("NAME", "a"), ("IDENT", "1"), ("ADDR", "b")]), ["XFORWARD NAME=a ADDR=b"]);
        assert_eq!(lines(&[("IDENT", "1")]), [""; 0]);
        let split = lines(&[("NAME", &long), ("HELO", &long), ("ADDR", "192.0.2.1")]);
        assert_eq!(split.len(), 2);
        assert!(split.iter().all(|line| line.len() <= MAX_XFORWARD_LINE - 2));
    }

    #[test]
    fn capabilities_are_read_from_ehlo() {
        let reply = Reply::new(250, "mx\nsize 100\n8bitmime\nDSN\nAUTH PLAIN\nXFORWARD NAME addr\nCHUNKING\nSTARTTLS");
        let capabilities = Capabilities::from_hello(Protocol::Lmtp, &reply);
        let xforward = vec!["NAME".to_owned(), "ADDR".to_owned()];
        let protocol = Protocol::Lmtp;
        let (size, eight_bit) = (Some(100), true);
        let (starttls, utf8, dsn, auth) = (true, false, true, true);
        let expected = Capabilities { protocol, size, starttls, eight_bit, utf8, dsn, auth, xforward };
        assert_eq!(capabilities, expected);
        let from_ehlo = |text| Capabilities::from_hello(Protocol::Smtp, &Reply::new(250, text));
        assert_eq!(from_ehlo("SIZE\nSIZE").size, Some(0));
        assert_eq!(from_ehlo("DSN"), Capabilities::default());
    }
}
