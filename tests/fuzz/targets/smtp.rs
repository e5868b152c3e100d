//! Targets: SMTP and LMTP, the server's side in any segmentation, the wire, and a next hop that says anything.

use std::cell::RefCell;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use sekisho::config::{BareNewlines, Endpoint, Refusals, Timeouts};
use sekisho::envelope::{Octets, Path};
use sekisho::message::{Edits, Message};
use sekisho::smtp::Protocol;
use sekisho::smtp::client::{Capabilities, Client, Lost};
use sekisho::smtp::command;
use sekisho::smtp::data::{DataReceiver, DataWriter};
use sekisho::smtp::reply::{Reply, ReplyParser};
use sekisho::smtp::session::{Session, SessionEnd, SessionLimits, Settings, Step, TlsOffer};
use sekisho::transaction::Answer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{records, segments, with_tail};

/// Commands, content, and replies on the wire.
pub fn smtp_wire(data: &[u8]) {
    let (input, tail) = with_tail(data);
    for line in data.split(|octet| *octet == b'\n') {
        if let Ok(command::Command::Mail(path) | command::Command::Rcpt(path)) = command::parse(line) {
            let clean = |octets: &Octets| !octets.0.iter().any(|octet| matches!(octet, 0 | b'\r' | b'\n'));
            assert!(clean(&path.path) && clean(&path.parameters), "{path:?}");
            path.address();
            path.domain();
            assert!(command::parameters(&path).all(|parameter| path.parameters.0.len() >= parameter.octets.len()));
        }
        command::parse_address(&String::from_utf8_lossy(line));
        command::decode_xtext(line);
    }
    content(input, tail);
    replies(input, tail);
}

/// What we write is what is read, however both are cut; and it ends where we ended it.
fn content(input: &[u8], tail: &[u8]) {
    let (mut writer, mut wire) = (DataWriter::default(), Vec::new());
    for segment in segments(input, tail) {
        writer.write(segment, &mut wire);
    }
    writer.end(&mut wire);
    wire.extend_from_slice(b"QUIT\r\n");
    let (mut receiver, mut out, mut at) = (DataReceiver::new(BareNewlines::Reject), Vec::new(), 0);
    for segment in segments(&wire, &tail.iter().rev().copied().collect::<Vec<u8>>()) {
        let (taken, ended) = receiver.receive(segment, &mut out);
        at += taken;
        if ended {
            break;
        }
    }
    assert_eq!(&wire[at..], b"QUIT\r\n", "the content ended elsewhere");
    let is_line = out.strip_suffix(b"\r\n").is_some_and(|out| out == input) || out == input;
    assert!(is_line, "another content");
    assert_eq!(receiver.size(), out.len() as u64);
    // Whatever comes, and from wherever it is cut.
    for newlines in [BareNewlines::Reject, BareNewlines::Normalize] {
        let taken = |segments: &[&[u8]]| {
            let (mut receiver, mut out, mut at) = (DataReceiver::new(newlines), Vec::new(), 0);
            for segment in segments {
                let (taken, ended) = receiver.receive(segment, &mut out);
                at += taken;
                assert!(ended || taken == segment.len());
                if ended {
                    return (out, at, true, receiver.saw_bare_newlines());
                }
            }
            (out, at, false, receiver.saw_bare_newlines())
        };
        let whole = taken(&[input]);
        assert_eq!(whole, taken(&segments(input, tail)), "the segmentation matters");
        if newlines == BareNewlines::Normalize && whole.2 {
            let text = String::from_utf8_lossy(&whole.0).replace("\r\n", "");
            assert!(!text.contains(['\r', '\n']), "a bare newline came through");
        }
    }
}

fn replies(input: &[u8], tail: &[u8]) {
    let parsed = |segments: &[&[u8]]| {
        let (mut parser, mut buffer, mut replies) = (ReplyParser::default(), BytesMut::new(), Vec::new());
        for segment in segments {
            buffer.extend_from_slice(segment);
            loop {
                match parser.parse(&mut buffer) {
                    Ok(Some(reply)) => replies.push(reply),
                    Ok(None) => break,
                    Err(malformed) => return (replies, Some(malformed)),
                }
            }
        }
        (replies, None)
    };
    let (whole, malformed) = parsed(&[input]);
    let (cut, _) = parsed(&segments(input, tail));
    assert_eq!(whole, cut, "the segmentation matters");
    let mut written = Vec::new();
    for reply in &whole {
        reply.write(&mut written);
        assert!((200..600).contains(&reply.code()), "{reply:?}");
        Capabilities::from_hello(Protocol::Lmtp, reply);
    }
    assert!(input.starts_with(&written), "a reply is not what came");
    assert!(malformed.is_some() || written.len() + 65_536 >= input.len());
    if let Some(reply) = Reply::from_template(&String::from_utf8_lossy(input)) {
        let mut written = BytesMut::new();
        reply.write(&mut written);
        assert!(ReplyParser::default().parse(&mut written).is_ok_and(|parsed| parsed.as_ref() == Some(&reply)));
    }
}

/// A session's octets at once and in segments give the same replies, questions and messages.
pub fn smtp_session(data: &[u8]) {
    let (input, tail) = with_tail(data);
    let kind = tail.first().copied().unwrap_or_default();
    let whole = drive(&[input], kind, tail);
    if kind & 48 == 0 {
        assert_eq!(whole, drive(&segments(input, tail), kind, tail), "the segmentation matters");
    } else {
        // What came behind STARTTLS is forgotten, so what came in which segment matters.
        drive(&segments(input, tail), kind, tail);
    }
}

fn settings(kind: u8) -> Settings {
    Settings {
        protocol: if kind & 1 == 0 { Protocol::Smtp } else { Protocol::Lmtp },
        name: "filter.example".to_owned(),
        peer: Some([127, 0, 0, 1].into()),
        trusted: kind & 2 == 0,
        xclient: kind & 4 == 0,
        tls: match kind & 48 {
            0 => TlsOffer::Off,
            16 => TlsOffer::Required,
            _ => TlsOffer::May,
        },
        refusals: if kind & 8 == 0 { Refusals::Relay } else { Refusals::AllOrNone },
        bare_newlines: if kind & 64 == 0 { BareNewlines::Reject } else { BareNewlines::Normalize },
    }
}

/// Everything that happens: replies, what the next hop and the handler are asked, and the messages.
fn drive(segments: &[&[u8]], kind: u8, answers: &[u8]) -> Vec<Step> {
    let limits = SessionLimits { max_message_size: 1500, max_recipients: 4, max_errors: 12 };
    let mut session = Session::new(settings(kind), limits);
    let mut answers = answers.iter().copied().cycle();
    let mut choose = move || answers.next().unwrap_or_default();
    let (mut events, mut content) = (Vec::new(), Vec::new());
    let mut owed = 0_usize;
    for segment in segments {
        session.input().extend_from_slice(segment);
        let mut steps = 0;
        loop {
            steps += 1;
            assert!(steps < 100_000, "a session that never reads");
            let step = session.step();
            match &step {
                Step::Read => break,
                Step::Reply(reply) => {
                    let mut wire = BytesMut::new();
                    reply.write(&mut wire);
                    assert!(
                        ReplyParser::default().parse(&mut wire).is_ok_and(|parsed| parsed.is_some() && wire.is_empty())
                    );
                    owed = owed.saturating_sub(1);
                }
                Step::Hello(_) => session.greeted(match choose() % 8 {
                    7 => Err(Reply::new(421, "4.4.1 not now")),
                    6 => Err(Reply::new(550, "5.7.1 not you")),
                    n => Ok(Capabilities {
                        size: (n & 1 == 0).then_some(if n == 0 { 0 } else { 700 }),
                        eight_bit: n & 2 == 0,
                        utf8: n & 2 == 0,
                        dsn: n & 4 == 0,
                        ..Capabilities::default()
                    }),
                }),
                Step::Mail { sender, xforward } => {
                    assert!(!sender.path.0.contains(&b'\n') && xforward.len() <= 8);
                    session.mail_answered(reply(choose()));
                }
                Step::Recipient(path) => session.recipient_answered(path.clone(), reply(choose())),
                Step::Reset => content.clear(),
                Step::Content(piece) => {
                    content.extend_from_slice(piece);
                    continue;
                }
                Step::Complete(envelope) => {
                    assert!(!envelope.recipients.is_empty() && envelope.recipients.len() <= 4);
                    assert!(content.len() <= 1500, "content over the limit");
                    owed = session.replies_owed();
                    assert_eq!(owed, if kind & 1 == 0 { 1 } else { envelope.recipients.len() });
                    events.push(Step::Content(std::mem::take(&mut content)));
                    let choice = choose();
                    let each = (0..choice % 6).map(|n| reply(choice.wrapping_mul(n))).collect();
                    session.handled(if choice & 128 == 0 { Answer::All(reply(choice)) } else { Answer::Each(each) });
                }
                Step::Refused(..) => content.clear(),
                Step::StartTls => {
                    assert!(session.input().is_empty(), "octets in clear behind STARTTLS");
                    session.secured();
                }
                Step::Close(_) => {
                    events.push(step);
                    return events;
                }
            }
            events.push(step);
        }
    }
    session.close(Reply::new(421, "4.3.2 closing"), SessionEnd::Shutdown);
    while !matches!(session.step(), Step::Close(SessionEnd::Shutdown)) {}
    events
}

fn reply(choice: u8) -> Reply {
    match choice % 8 {
        5 => Reply::new(450, "4.2.0 later"),
        6 => Reply::new(550, "5.1.1 nobody"),
        7 if choice > 200 => Reply::new(421, "4.4.2 going"),
        _ => Reply::new(250, "2.0.0 Ok"),
    }
}

/// A next hop that sends its banner and then, for each command and for the final dot, the next record, and closes
/// behind the last one. It does not wait behind half a reply, nor if the record's kind has bit 1. Our client asks it
/// to take a message.
pub fn smtp_next_hop(data: &[u8]) {
    thread_local! {
        static HOP: RefCell<Option<Hop>> = const { RefCell::new(None) };
    }
    HOP.with_borrow_mut(|hop| hop.get_or_insert_with(Hop::new).converse(data));
}

struct Hop {
    runtime: tokio::runtime::Runtime,
    folder: tempfile::TempDir,
    listener: tokio::net::UnixListener,
}

impl Hop {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder");
        let guard = runtime.enter();
        let listener = tokio::net::UnixListener::bind(folder.path().join("hop")).expect("a socket");
        drop(guard);
        Self { runtime, folder, listener }
    }

    fn converse(&self, data: &[u8]) {
        let script: Vec<(u8, &[u8])> = records(data).into_iter().take(20).collect();
        let lmtp = data.first().is_some_and(|octet| octet & 1 == 1);
        let endpoint = Endpoint::Unix(self.folder.path().join("hop"));
        self.runtime.block_on(async {
            let hop = serve(&self.listener, &script);
            let (written, ()) = tokio::join!(deliver(&endpoint, lmtp), hop);
            if let Ok(replies) = written {
                assert!(replies.iter().all(|reply| reply.is_positive() || reply.is_refusal()));
                assert!(replies.len() <= 2);
            }
        });
    }
}

async fn serve(listener: &tokio::net::UnixListener, script: &[(u8, &[u8])]) {
    let Ok((mut stream, _)) = listener.accept().await else { return };
    let (mut heard, mut in_content) = (Vec::new(), false);
    for (kind, text) in script {
        if stream.write_all(text).await.is_err() {
            return;
        }
        in_content = in_content || text.starts_with(b"354");
        let is_half = matches!(ReplyParser::default().parse(&mut BytesMut::from(*text)), Ok(None));
        if is_half || kind & 2 != 0 {
            continue;
        }
        let end: &[u8] = if in_content { b"\r\n.\r\n" } else { b"\r\n" };
        loop {
            if let Some(at) = memchr::memmem::find(&heard, end) {
                heard.drain(..at + end.len());
                break;
            }
            match stream.read_buf(&mut heard).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }
}

async fn deliver(endpoint: &Endpoint, lmtp: bool) -> Result<Vec<Reply>, Lost> {
    // Whoever says too little is waited for; not for long, since nothing depends on it.
    let short = Duration::from_millis(100);
    let timeouts = Timeouts {
        connect: short,
        next_hop_command: short,
        next_hop_data: short,
        next_hop_content: short,
        next_hop_end: short,
        ..Timeouts::default()
    };
    let mut client = Client::connect(endpoint, &timeouts).await?;
    let protocols: &[Protocol] = if lmtp { &[Protocol::Lmtp, Protocol::Smtp] } else { &[Protocol::Smtp] };
    let Ok(capabilities) = client.hello(&Octets::from("client.example"), protocols, None).await? else {
        return Ok(Vec::new());
    };
    let attributes = [("NAME".to_owned(), Octets::from("a.example")), ("ADDR".to_owned(), Octets::from("192.0.2.1"))];
    client.xforward(&capabilities.xforward, &attributes).await?;
    let mut replies = Vec::new();
    if client.mail(&Path::new("<a@example.org>")).await?.is_positive() {
        let mut accepted = 0;
        for recipient in ["<b@example.org>", "<c@example.org>"] {
            accepted += usize::from(client.recipient(&Path::new(recipient)).await?.is_positive());
        }
        if accepted > 0 && client.data().await?.is_ok() {
            let message = Message::from_bytes(Bytes::from_static(b"Subject: a\r\n\r\n.\r\nb"));
            let writer = client.content(&message, &Edits::default()).await?;
            client.awaits_dot()?;
            client.end_of_data_each(writer, capabilities.protocol, accepted, &mut replies).await?;
        }
    }
    client.reset().await?;
    client.quit().await;
    Ok(replies)
}
