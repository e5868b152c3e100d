//! Mail of many kinds through a Postfix, each message with an id of its own, and an account of what became of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::client::{letter, send};
use super::ooxml;
use super::samples::{all, macro_document, with_files};
use super::sink::Mail;

/// What a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text, in which there is nothing to open.
    Letter,
    /// A clean document, of some 20 KiB.
    Document,
    /// A workbook with harmless macros.
    Workbook,
    /// A document with macros that start a program: held.
    Malicious,
    /// A part over which a worker fails, by the word that the program `ordeal` knows.
    Ordeal(&'static str),
}

/// What is sent in turn.
pub const MIX: [Kind; 5] = [Kind::Letter, Kind::Document, Kind::Malicious, Kind::Letter, Kind::Workbook];

/// The address that all of it comes from.
pub const FROM: &str = "sender@outside.test";

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Letter => "letter",
            Self::Document => "document",
            Self::Workbook => "workbook",
            Self::Malicious => "malicious",
            Self::Ordeal(word) => word,
        }
    }

    /// The message. Its body tells the id as well, so that no two have the same content.
    fn message(self, id: &str) -> Vec<u8> {
        let name = |suffix: &str| format!("{id}.{suffix}");
        let text = match self {
            Self::Letter => return letter(id),
            Self::Document => {
                let lines: Vec<String> =
                    (0..600_u32).map(|n| format!("{id} {n} {}", n.wrapping_mul(2_654_435_761))).collect();
                let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
                with_files(id, &[(&name("docx"), &ooxml::word(&lines, None))])
            }
            Self::Workbook => {
                let sample = all().into_iter().find(|sample| sample.name == "honest-workbook");
                sample.expect("the sample").message
            }
            Self::Malicious => with_files(id, &[(&name("docm"), &macro_document())]),
            Self::Ordeal(word) => with_files(id, &[(&name("bin"), format!("SEKISHO-ORDEAL: {word}\r\n").as_bytes())]),
        };
        let text = String::from_utf8(text).expect("ASCII");
        let (head, body) = text.split_once("\r\n\r\n").expect("a header");
        let ours = |line: &&str| !line.starts_with("Subject:") && !line.starts_with("Message-ID:");
        let head = head.split("\r\n").filter(ours).collect::<Vec<_>>().join("\r\n");
        let body = body.replacen("Please find the document", &format!("{id}: please find the document"), 1);
        format!("{head}\r\nSubject: {id}\r\nMessage-ID: <{id}@outside.test>\r\n\r\n{body}").into_bytes()
    }
}

/// What the clients have seen, by the id of each message.
#[derive(Default)]
pub struct Account {
    sent: Mutex<BTreeSet<String>>,
    acknowledged: Mutex<BTreeSet<String>>,
    /// Replies of 4xx, or none, by the message's id.
    refused: Mutex<BTreeMap<String, u32>>,
    /// Replies of 5xx: a failure of ours must never become one.
    for_good: Mutex<Vec<String>>,
    serial: AtomicUsize,
    stop: AtomicBool,
}

/// What became of some messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Messages that a client tried to send.
    pub sent: usize,
    /// Of those, the ones that were answered 250.
    pub acknowledged: usize,
    /// Messages that arrived.
    pub delivered: usize,
    /// Messages in quarantine.
    pub held: usize,
    /// How often one was put off: 4xx, or a lost connection.
    pub deferred: usize,
    /// Copies beyond the first; and messages that arrived or are held although the client was told to try again.
    pub duplicates: usize,
    /// Messages answered 250 that are nowhere.
    pub lost: Vec<String>,
}

impl Account {
    /// Sends messages of `kinds` in turn until [`Account::end`]. `again`: each until it is taken.
    pub fn send(&self, port: u16, prefix: &str, kinds: &[Kind], again: bool, pause: Duration) {
        for kind in kinds.iter().cycle() {
            if self.is_over() {
                return;
            }
            self.send_one(port, prefix, *kind, again);
            std::thread::sleep(pause);
        }
    }

    /// Sends one message; says whether it was taken.
    pub fn send_one(&self, port: u16, prefix: &str, kind: Kind, again: bool) -> bool {
        let id = format!("{prefix}.{}.{}.end", kind.name(), self.serial.fetch_add(1, Ordering::SeqCst));
        let message = kind.message(&id);
        self.sent.lock().expect("the ids").insert(id.clone());
        loop {
            match send(port, FROM, &["u@inside.test"], &message) {
                Ok(reply) if reply.code == 250 => {
                    self.acknowledged.lock().expect("the ids").insert(id);
                    return true;
                }
                Ok(reply) if reply.code >= 500 => {
                    self.for_good.lock().expect("the replies").push(format!("{id}: {}", reply.text));
                    return false;
                }
                // What is no reply may have been taken all the same: then it comes again.
                Ok(_) | Err(_) => *self.refused.lock().expect("the ids").entry(id.clone()).or_default() += 1,
            }
            if !again || self.is_over() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Ends the clients, also when whoever holds this panics.
    pub fn end(&self) -> impl Drop + '_ {
        struct End<'a>(&'a AtomicBool);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        End(&self.stop)
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// How many were taken so far.
    pub fn taken(&self) -> usize {
        self.acknowledged.lock().expect("the ids").len()
    }

    /// Refusals for good so far.
    pub fn for_good(&self) -> Vec<String> {
        self.for_good.lock().expect("the replies").clone()
    }

    /// What became of the messages whose id begins with `prefix`, by what arrived and what is held.
    pub fn sums(&self, prefix: &str, arrived: &[Mail], held: &[String]) -> Sums {
        let ours = |id: &String| id.starts_with(prefix);
        let texts = arrived.iter().map(Mail::text);
        let copies: Vec<String> = texts.filter_map(|text| id_of(&text)).filter(ours).collect();
        let delivered: BTreeSet<String> = copies.iter().cloned().collect();
        let held: BTreeSet<String> = held.iter().filter_map(|text| id_of(text)).filter(ours).collect();
        let acknowledged: BTreeSet<String> =
            self.acknowledged.lock().expect("the ids").iter().filter(|id| ours(id)).cloned().collect();
        let refused = self.refused.lock().expect("the ids");
        let lost = acknowledged.iter().filter(|id| !delivered.contains(*id) && !held.contains(*id));
        let both = delivered.intersection(&held).count();
        let again = delivered.union(&held).filter(|id| !acknowledged.contains(*id)).count();
        Sums {
            sent: self.sent.lock().expect("the ids").iter().filter(|id| ours(id)).count(),
            acknowledged: acknowledged.len(),
            delivered: delivered.len(),
            held: held.len(),
            deferred: refused.iter().filter(|(id, _)| ours(id)).map(|(_, count)| *count as usize).sum(),
            duplicates: copies.len() - delivered.len() + both + again,
            lost: lost.cloned().collect(),
        }
    }
}

/// The id in the header of a message of ours. A bounce has its own.
pub fn id_of(text: &str) -> Option<String> {
    let head = text.split_once("\r\n\r\n").map_or(text, |(head, _)| head);
    let (_, behind) = head.split_once("Message-ID: <")?;
    let (id, _) = behind.split_once("@outside.test>")?;
    id.ends_with(".end").then(|| id.to_owned())
}
