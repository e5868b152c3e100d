//! Much mixed mail from ten sessions, through the proxy and the milter at once, with an account of every
//! message: whatever was acknowledged is at the next hop, with the MTA that asks the milter, or held.
//!
//! The quarantine is emptied by its own command as the account goes along. The daemon is a program with the formats of
//! `tests/ordeal`.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::client::{Client, letter};
use super::daemon::Daemon;
use super::milter::{ALL, Mta};
use super::office;
use super::ooxml::{self, Member};
use super::ovba::ModuleKind;
use super::process::{children, descriptors, resident_mb};
use super::samples::base64_lines;
use super::{free_port, wait_for};

const FROM: &str = "sender@outside.test";
const TO: &str = "user@example.test";
const REFUSED: &str = "refused@example.test";
/// Sessions that speak SMTP to the proxy, and those of an MTA with a milter.
const SMTP_SESSIONS: usize = 7;
const MILTER_SESSIONS: usize = 3;
/// Messages of one connection, before the client makes another.
const PER_CONNECTION: usize = 20;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Letter,
    Docx,
    HonestDocm,
    Docm,
    ZipWithDocm,
    Panic,
    Abort,
    Disconnect,
    OneRefused,
    AllRefused,
}

impl Kind {
    fn of(number: usize) -> Self {
        // 37 has no factor in common with 100, so that a hundred messages hold each share, mixed.
        match number * 37 % 100 {
            0..54 => Kind::Letter,
            54..69 => Kind::Docx,
            69..74 => Kind::HonestDocm,
            74..80 => Kind::Docm,
            80..85 => Kind::ZipWithDocm,
            85 => Kind::Panic,
            86 => Kind::Abort,
            87..92 => Kind::Disconnect,
            92..98 => Kind::OneRefused,
            _ => Kind::AllRefused,
        }
    }
}

/// The fate of a message, in bits: what was answered, and where it was seen.
mod fate {
    pub const ACKNOWLEDGED: u8 = 1;
    pub const AT_SINK: u8 = 2;
    pub const HELD: u8 = 4;
    pub const WITH_MTA: u8 = 8;
    pub const DEFERRED: u8 = 16;
    pub const REFUSED: u8 = 32;
    pub const GIVEN_UP: u8 = 64;
    pub const FAILED: u8 = 128;
}

/// What became of each message.
struct Account {
    fates: Vec<AtomicU8>,
    next: AtomicUsize,
    done: AtomicUsize,
    twice: AtomicUsize,
    errors: Mutex<Vec<String>>,
}

impl Account {
    fn note(&self, number: usize, bit: u8) -> u8 {
        self.fates.get(number).map_or(0, |fate| fate.fetch_or(bit, Ordering::SeqCst))
    }

    fn note_answer(&self, number: usize, code: u16) {
        match code {
            200..300 => self.note(number, fate::ACKNOWLEDGED),
            400..500 => self.note(number, fate::DEFERRED),
            _ => self.note(number, fate::REFUSED),
        };
    }

    fn failed(&self, number: usize, why: &str) {
        self.note(number, fate::FAILED);
        self.errors.lock().expect("the errors").push(format!("{number} ({:?}): {why}", Kind::of(number)));
    }

    fn take(&self) -> Option<usize> {
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        (number < self.fates.len()).then_some(number)
    }
}

/// Memory and descriptors, as means over a tenth of the messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Step {
    /// Which tenth, from 1.
    pub tenth: usize,
    /// Messages so far.
    pub done: usize,
    /// The daemon's resident memory.
    pub daemon_mb: f64,
    /// The daemon's open descriptors.
    pub descriptors: f64,
    /// Its workers' resident memory together.
    pub workers_mb: f64,
    /// How many workers.
    pub workers: f64,
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    pub messages: usize,
    pub acknowledged: usize,
    pub delivered: usize,
    pub held: usize,
    pub deferred: usize,
    pub refused: usize,
    pub given_up: usize,
    /// Acknowledged and nowhere.
    pub lost: Vec<usize>,
    /// At the sink more than once, or delivered and held.
    pub twice: usize,
    /// Deferred or refused for no reason of theirs.
    pub held_up: Vec<String>,
    /// Sessions that broke.
    pub errors: Vec<String>,
    pub steps: Vec<Step>,
    pub seconds: f64,
}

impl Outcome {
    /// What grew from the second tenth to the last by more than a fifth, and by 10 MB or 10 descriptors.
    pub fn growth(&self) -> Option<String> {
        let (early, late) = (self.steps.get(1)?, self.steps.last()?);
        let grew = |from: f64, to: f64| to > from * 1.2 && to > from + 10.0;
        [
            ("MB of the daemon", early.daemon_mb, late.daemon_mb),
            ("descriptors of the daemon", early.descriptors, late.descriptors),
        ]
        .into_iter()
        .find(|(_, from, to)| grew(*from, *to))
        .map(|(what, from, to)| format!("{what}: {from:.1}, then {to:.1}"))
    }
}

/// Sends `count` messages to a daemon that `program` is; tells of every tenth.
pub fn run(program: Command, count: usize, told: impl Fn(&Step)) -> Outcome {
    let account = Arc::new(Account {
        fates: (0..count).map(|_| AtomicU8::new(0)).collect(),
        next: AtomicUsize::new(0),
        done: AtomicUsize::new(0),
        twice: AtomicUsize::new(0),
        errors: Mutex::default(),
    });
    let next_hop = sink(Arc::clone(&account));
    let (port, milter) = (free_port(), free_port());
    let listeners = format!(
        "[[listener]]\nlisten = \"127.0.0.1:{port}\"\nnext_hop = \"127.0.0.1:{next_hop}\"\n\n\
         [[listener]]\nkind = \"milter\"\nlisten = \"127.0.0.1:{milter}\"\nrelease_to = \"127.0.0.1:{next_hop}\"\n\n"
    );
    let mut daemon = Daemon::of(port, &listeners, "");
    daemon.start_under(program);
    let milter = SocketAddr::from(([127, 0, 0, 1], milter));
    let begun = Instant::now();
    let attachments = Attachments::new();
    let over = AtomicBool::new(false);
    let mut steps = Vec::new();
    thread::scope(|scope| {
        let (account, attachments, daemon, over) = (&*account, &attachments, &daemon, &over);
        let sessions: Vec<_> = (0..SMTP_SESSIONS + MILTER_SESSIONS)
            .map(|session| {
                scope.spawn(move || match session {
                    0..SMTP_SESSIONS => speak_smtp(port, session, account, attachments),
                    _ => speak_milter(milter, session, account, attachments),
                })
            })
            .collect();
        scope.spawn(move || {
            while !over.load(Ordering::SeqCst) {
                empty(daemon, account);
                thread::sleep(Duration::from_secs(1));
            }
        });
        steps = watch(daemon.pid(), account, told, || sessions.iter().any(|session| !session.is_finished()));
        over.store(true, Ordering::SeqCst);
    });
    wait_for("messages whose session has ended", Duration::from_secs(60), || {
        empty(&daemon, &account);
        missing(&account).is_empty()
            || (daemon.metric("sekisho_scans_running") == Some(0.0) && begun.elapsed() > Duration::from_secs(5))
    });
    rest(&daemon, &account);
    outcome(&account, steps, begun.elapsed().as_secs_f64())
}

/// Acknowledged, and seen nowhere so far.
fn missing(account: &Account) -> Vec<usize> {
    let is_lost =
        |fate: u8| fate & fate::ACKNOWLEDGED != 0 && fate & (fate::AT_SINK | fate::HELD | fate::WITH_MTA) == 0;
    let fates = account.fates.iter().enumerate();
    fates.filter(|(_, fate)| is_lost(fate.load(Ordering::SeqCst))).map(|(number, _)| number).collect()
}

fn outcome(account: &Account, steps: Vec<Step>, seconds: f64) -> Outcome {
    let fates: Vec<u8> = account.fates.iter().map(|fate| fate.load(Ordering::SeqCst)).collect();
    let with = |bits: u8| fates.iter().filter(|fate| **fate & bits != 0).count();
    let both = |fate: u8| fate & fate::HELD != 0 && fate & (fate::AT_SINK | fate::WITH_MTA) != 0;
    let expected = |number: usize| match Kind::of(number) {
        Kind::Panic | Kind::Abort => fate::DEFERRED,
        Kind::AllRefused => fate::REFUSED | fate::ACKNOWLEDGED,
        Kind::Disconnect => fate::GIVEN_UP,
        _ => fate::ACKNOWLEDGED,
    };
    let odd = fates.iter().enumerate().filter(|(number, fate)| **fate & (expected(*number) | fate::FAILED) == 0);
    Outcome {
        messages: fates.len(),
        acknowledged: with(fate::ACKNOWLEDGED),
        delivered: with(fate::AT_SINK | fate::WITH_MTA),
        held: with(fate::HELD),
        deferred: with(fate::DEFERRED),
        refused: with(fate::REFUSED),
        given_up: with(fate::GIVEN_UP),
        lost: missing(account),
        twice: account.twice.load(Ordering::SeqCst) + fates.iter().filter(|fate| both(**fate)).count(),
        held_up: odd.map(|(number, fate)| format!("{number} ({:?}): {fate:#b}", Kind::of(number))).collect(),
        errors: account.errors.lock().expect("the errors").clone(),
        steps,
        seconds,
    }
}

/// Looks at the daemon until the sessions have ended.
fn watch(pid: u32, account: &Account, told: impl Fn(&Step), goes_on: impl Fn() -> bool) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut samples = Vec::new();
    loop {
        let is_last = !goes_on();
        let done = account.done.load(Ordering::SeqCst);
        let workers = children(pid);
        samples.push([
            resident_mb(pid),
            descriptors(pid) as f64,
            workers.iter().map(|worker| resident_mb(*worker)).sum(),
            workers.len() as f64,
        ]);
        let tenth = (done * 10).checked_div(account.fates.len()).unwrap_or(10);
        if tenth > steps.len() || is_last {
            let mean =
                |at: usize| samples.iter().map(|sample: &[f64; 4]| sample[at]).sum::<f64>() / samples.len() as f64;
            let step =
                Step { tenth, done, daemon_mb: mean(0), descriptors: mean(1), workers_mb: mean(2), workers: mean(3) };
            told(&step);
            // One for each tenth, also if two of them passed between two looks.
            steps.resize(tenth.max(1), step);
            samples.clear();
        }
        if is_last {
            return steps;
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Notes what is held, and deletes it.
fn empty(daemon: &Daemon, account: &Account) {
    let list = daemon.command(&["quarantine", "list", "--state", "held", "--json"]);
    let mut ids = Vec::new();
    for line in String::from_utf8_lossy(&list.stdout).lines() {
        let Ok(entry) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        if note_held(&entry, account) {
            ids.extend(entry["id"].as_str().map(str::to_owned));
        }
    }
    for ids in ids.chunks(200) {
        let arguments: Vec<&str> = ["quarantine", "delete"].into_iter().chain(ids.iter().map(String::as_str)).collect();
        let deleted = daemon.command(&arguments);
        assert!(deleted.status.success(), "{}", String::from_utf8_lossy(&deleted.stderr));
    }
}

/// Notes what is held in any other state: pending, or unconfirmed since the milter's session was cut off.
fn rest(daemon: &Daemon, account: &Account) {
    for entry in daemon.entries().iter().filter(|entry| entry["state"] != "deleted") {
        note_held(entry, account);
    }
}

fn note_held(entry: &serde_json::Value, account: &Account) -> bool {
    let number = entry["subject"].as_str().and_then(number_in);
    if let Some(number) = number {
        account.note(number, fate::HELD);
    }
    number.is_some()
}

/// The number of the message with this Message-ID or subject.
fn number_in(text: &str) -> Option<usize> {
    let (_, rest) = text.split_once("soak-")?;
    rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

/// A next hop that refuses one recipient and remembers whose message came, not the message.
fn sink(account: Arc<Account>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let account = Arc::clone(&account);
            thread::spawn(move || drop(take_mail(&stream, &account)));
        }
    });
    port
}

fn take_mail(stream: &TcpStream, account: &Account) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut input, mut output) = (BufReader::with_capacity(1 << 16, stream), stream);
    output.write_all(b"220 sink.test ESMTP\r\n")?;
    let (mut line, mut recipients) = (Vec::new(), 0);
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let command = String::from_utf8_lossy(&line).to_ascii_uppercase();
        let reply = match command.get(..4).unwrap_or_default() {
            "EHLO" => "250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 0\r\n",
            "MAIL" => {
                recipients = 0;
                "250 2.1.0 Ok\r\n"
            }
            "RCPT" if command.contains("REFUSED@") => "550 5.1.1 nobody\r\n",
            "RCPT" => {
                recipients += 1;
                "250 2.1.5 Ok\r\n"
            }
            "DATA" if recipients == 0 => "554 5.5.1 nobody to take it\r\n",
            "DATA" => {
                output.write_all(b"354 go on\r\n")?;
                let mut number = None;
                loop {
                    line.clear();
                    if input.read_until(b'\n', &mut line)? == 0 {
                        return Ok(());
                    }
                    if line == b".\r\n" {
                        break;
                    }
                    if number.is_none() && line.starts_with(b"Message-ID: <soak-") {
                        number = number_in(&String::from_utf8_lossy(&line));
                    }
                }
                if number.is_some_and(|number| account.note(number, fate::AT_SINK) & fate::AT_SINK != 0) {
                    account.twice.fetch_add(1, Ordering::SeqCst);
                }
                "250 2.0.0 Ok: taken\r\n"
            }
            "QUIT" => return output.write_all(b"221 2.0.0 Bye\r\n"),
            _ => "250 2.0.0 Ok\r\n",
        };
        output.write_all(reply.as_bytes())?;
    }
}

fn speak_smtp(port: u16, session: usize, account: &Account, attachments: &Attachments) {
    let address = format!("192.0.{session}.7");
    let (mut client, mut sent) = (None, 0);
    while let Some(number) = account.take() {
        let content = attachments.message(number);
        let speaks = client.take().map_or_else(|| Client::connect(port), Ok);
        let result = speaks.and_then(|mut speaks| match Kind::of(number) {
            Kind::Disconnect => {
                account.note(number, fate::GIVEN_UP);
                for line in ["EHLO c.test", &format!("MAIL FROM:<{FROM}>"), &format!("RCPT TO:<{TO}>"), "DATA"] {
                    speaks.command(line)?;
                }
                // Half of it; some go on to the final dot, and do not wait for what is said to it.
                if number % 2 == 0 {
                    return speaks.write(content.get(..content.len() / 2).unwrap_or_default());
                }
                speaks.write(&content)?;
                speaks.write(b"\r\n.\r\n")
            }
            kind => {
                let to: &[&str] = match kind {
                    Kind::OneRefused => &[TO],
                    Kind::AllRefused => &[REFUSED],
                    _ => &[TO, "other@example.test"],
                };
                let reply = if kind == Kind::OneRefused {
                    one_refused(&mut speaks, &address, &content)?
                } else {
                    speaks.send_for(Some(&address), FROM, to, &content)?.code
                };
                account.note_answer(number, reply);
                sent += 1;
                if sent % PER_CONNECTION != 0 {
                    client = Some(speaks);
                }
                Ok(())
            }
        });
        if let Err(error) = result
            && Kind::of(number) != Kind::Disconnect
        {
            account.failed(number, &error.to_string());
        }
        account.done.fetch_add(1, Ordering::SeqCst);
    }
}

/// A message to two, of whom one is refused: the client goes on with the other.
fn one_refused(client: &mut Client, address: &str, content: &[u8]) -> std::io::Result<u16> {
    let from = format!("MAIL FROM:<{FROM}>");
    for line in ["EHLO client.test", &format!("XFORWARD ADDR={address}"), &from] {
        let reply = client.command(line)?;
        if reply.code >= 400 {
            return Ok(reply.code);
        }
    }
    client.command(&format!("RCPT TO:<{REFUSED}>"))?;
    for line in [&format!("RCPT TO:<{TO}>"), "DATA"] {
        let reply = client.command(line)?;
        if reply.code >= 400 {
            return Ok(reply.code);
        }
    }
    Ok(client.content(content)?.code)
}

fn speak_milter(to: SocketAddr, session: usize, account: &Account, attachments: &Attachments) {
    let (mut mta, mut sent) = (None, 0);
    while let Some(number) = account.take() {
        let mut asks = mta.take().unwrap_or_else(|| {
            let mut mta = Mta::tcp(to).expect("a connection");
            mta.negotiate(6, ALL);
            mta.client("client.test", &format!("192.0.{session}.7"), "client.test");
            mta
        });
        sent += 1;
        asks.envelope(&format!("Q{number}"), &format!("<{FROM}>"), &[&format!("<{TO}>")]);
        if Kind::of(number) == Kind::Disconnect {
            // Either the MTA goes away, or its client does.
            account.note(number, fate::GIVEN_UP);
            asks.event(b'L', b"Subject\0half a message\0");
            if number % 2 == 0 {
                asks.send(b'A', b"");
                mta = Some(asks);
            }
        } else {
            let frames = asks.content(&attachments.message(number));
            match frames.last().map(|(word, data)| (*word, data.as_slice())) {
                Some((b'a' | b'c', _)) => drop(account.note(number, fate::ACKNOWLEDGED | fate::WITH_MTA)),
                Some((b'd', _)) => drop(account.note(number, fate::ACKNOWLEDGED)),
                Some((b't', _) | (b'y', [b'4', ..])) => drop(account.note(number, fate::DEFERRED)),
                _ => drop(account.note(number, fate::REFUSED)),
            }
            // What Postfix sends between two messages.
            asks.send(b'A', b"");
            if sent % PER_CONNECTION == 0 {
                asks.send(b'Q', b"");
            } else {
                mta = Some(asks);
            }
        }
        account.done.fetch_add(1, Ordering::SeqCst);
    }
    if let Some(mut asks) = mta {
        asks.send(b'Q', b"");
    }
}

/// What is attached, made once.
struct Attachments {
    docx: Vec<u8>,
    honest: Vec<u8>,
    docm: Vec<u8>,
    zip: Vec<u8>,
}

/// Digits at the end of an archive that differ per message: its comment.
const UNIQUE: usize = 16;

impl Attachments {
    fn new() -> Self {
        let docm = docm("Sub Document_Open()\r\n  Shell \"cmd /c echo soak only\", 0\r\nEnd Sub\r\n");
        let mut noise = vec![0; 20_000];
        fastrand::Rng::with_seed(5).fill(&mut noise);
        let picture = Member { name: "picture.bin", bytes: noise };
        let zip = ooxml::zip(&[Member { name: "invoice.docm", bytes: docm.clone() }, picture]);
        let paragraph = "the invoice report payment due quarter plan team figures review order ".repeat(4);
        let docx = ooxml::word(&vec![paragraph.as_str(); 100], None);
        Self { docx, honest: honest_docm(), docm, zip }
    }

    fn message(&self, number: usize) -> Vec<u8> {
        let id = format!("soak-{number}");
        let (name, octets) = match Kind::of(number) {
            Kind::Letter | Kind::OneRefused | Kind::AllRefused => return letter(&id),
            Kind::Panic => ("invoice.bin", format!("SEKISHO-ORDEAL: panic\r\n{number}\r\n").into_bytes()),
            Kind::Abort => ("invoice.bin", format!("SEKISHO-ORDEAL: abort\r\n{number}\r\n").into_bytes()),
            Kind::Docx | Kind::Disconnect => ("report.docx", unique(&self.docx, number)),
            Kind::HonestDocm => ("tool.docm", unique(&self.honest, number)),
            Kind::Docm => ("invoice.docm", unique(&self.docm, number)),
            Kind::ZipWithDocm => ("invoice.zip", unique(&self.zip, number)),
        };
        with_file(&id, name, &octets)
    }
}

/// A letter with a file.
pub fn with_file(id: &str, name: &str, octets: &[u8]) -> Vec<u8> {
    format!(
        "From: {FROM}\r\nTo: {TO}\r\nSubject: {id}\r\nMessage-ID: <{id}@outside.test>\r\n\
         Date: Sun, 22 Nov 2026 10:00:00 +0900\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nPlease see the attachment.\r\n--b\r\n\
         Content-Type: application/octet-stream; name=\"{name}\"\r\n\
         Content-Disposition: attachment; filename=\"{name}\"\r\nContent-Transfer-Encoding: base64\r\n\r\n{}--b--\r\n",
        base64_lines(octets)
    )
    .into_bytes()
}

fn docm(code: &str) -> Vec<u8> {
    let paragraph = "the invoice report payment due quarter plan team ".repeat(6);
    let project = office::vba_project(&[("ThisDocument", code, ModuleKind::Document)]);
    ooxml::word(&vec![paragraph.as_str(); 50], Some(project))
}

/// A document with a macro that starts with a button and does nothing to anybody.
pub fn honest_docm() -> Vec<u8> {
    docm("Sub Total()\r\n  Selection.TypeText CStr(1 + 2)\r\nEnd Sub\r\n")
}

/// The archive with a comment that no other message has.
pub fn unique(archive: &[u8], number: usize) -> Vec<u8> {
    let mut octets = archive.to_vec();
    if let Some((_, length)) = octets.split_last_chunk_mut::<2>() {
        *length = (UNIQUE as u16).to_le_bytes();
    }
    octets.extend_from_slice(format!("{number:0UNIQUE$}").as_bytes());
    octets
}
