//! What is kept beside a held message: everything needed to explain it, to release it as it came,
//! and to know what became of it.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::envelope::{Envelope, Path};
use crate::policy::facts::Facts;
use crate::store::QuarantineId;
use crate::verdict::{Explanation, Level};

/// The shape of an entry's file and of `show --json`. Within a version, fields are only added.
pub const SCHEMA: &str = "sekisho.quarantine/1";

/// Most notes of an entry: a release that fails every minute must not fill the disk. The oldest go.
const MAX_NOTES: usize = 50;
/// Longest note, in characters: several lines of an SMTP reply.
const MAX_NOTE: usize = 1000;

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Stored, while the next hop's reply for the other recipients is awaited. Found without a
    /// process that works on it (after a crash), it counts as held.
    Pending,
    /// Held for a milter, whose MTA has not shown yet that it has seen our answer: it may have told the
    /// sender's server to try again, and then the message is here twice, or here and delivered.
    Unconfirmed,
    /// Kept until somebody decides.
    Held,
    /// Being sent on, or a release was cut off: see [`Release::dot_sent_at`].
    Releasing,
    /// Sent on. The content stays for a while.
    Released,
    /// Deleted by somebody. The content is gone.
    Deleted,
}

impl State {
    /// Every state.
    pub const ALL: [State; 6] =
        [State::Pending, State::Unconfirmed, State::Held, State::Releasing, State::Released, State::Deleted];

    /// The name in JSON, commands and metrics.
    pub fn name(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Unconfirmed => "unconfirmed",
            State::Held => "held",
            State::Releasing => "releasing",
            State::Released => "released",
            State::Deleted => "deleted",
        }
    }

    /// Finds a state by its name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether the message still waits for its recipients.
    pub fn is_undelivered(self) -> bool {
        match self {
            State::Pending | State::Unconfirmed | State::Held | State::Releasing => true,
            State::Released | State::Deleted => false,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A message that is to be held, as the pipeline knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEntry {
    /// The message's id, the same as in its reply and log line ([`QuarantineId::new`]).
    pub id: QuarantineId,
    /// When the message came.
    pub received_at: Timestamp,
    /// The whole envelope, as received.
    pub envelope: Envelope,
    /// The recipients whose copies are held.
    pub held: Vec<Path>,
    /// What the policy knew.
    pub facts: Facts,
    /// The rule that decided (for the first held recipient).
    pub rule: String,
    /// Its line in the configuration file.
    pub line: Option<usize>,
    /// The verdict in sentences.
    pub explanation: Explanation,
    /// The message's Message-ID, to find it in other logs. Text from mail: hostile.
    pub message_id: Option<String>,
    /// The message's decoded Subject. Text from mail: hostile.
    pub subject: Option<String>,
    /// The message's From field. Text from mail: hostile.
    pub from: Option<String>,
    /// Where it came in: `127.0.0.1:10025`, `unix:/path`.
    pub listener: String,
    /// How: [`crate::transport::Transport::name`].
    pub mode: String,
    /// Where released mail goes: `127.0.0.1:10026`, `unix:/path`.
    pub next_hop: String,
    /// The MTA of a milter holds the message in its own queue, and this is a copy of it.
    pub in_mta: bool,
}

/// What a second look at a held message told.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgedAgain {
    /// What the policy knows now.
    pub facts: Facts,
    /// The rule that decides now.
    pub rule: String,
    /// Its line in the configuration file.
    pub line: Option<usize>,
    /// The verdict in sentences.
    pub explanation: Explanation,
    /// Why it was looked at, and what follows: for the notes.
    pub note: String,
    /// Whether it goes to its recipients now: see [`Entry::to_release`].
    pub goes: bool,
}

/// A held message's entry: `ID.json` in the folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// [`SCHEMA`].
    pub schema: String,
    /// The id.
    pub id: QuarantineId,
    /// Where it stands.
    pub state: State,
    /// When the message came.
    pub received_at: Timestamp,
    /// When it was stored.
    pub held_at: Timestamp,
    /// When it came into a state that ends its life (released, deleted).
    pub ended_at: Option<Timestamp>,
    /// The verdict's level.
    pub verdict: Level,
    /// Whether everything was looked into.
    pub complete: bool,
    /// The rule that decided.
    pub rule: String,
    /// Its line in the configuration file.
    pub line: Option<usize>,
    /// The verdict in sentences.
    pub explanation: Explanation,
    /// Octets of the message.
    pub size: u64,
    /// Of the message, lower-case hex.
    pub sha256: String,
    /// Message-ID.
    pub message_id: Option<String>,
    /// Subject, decoded.
    pub subject: Option<String>,
    /// The From field.
    pub from: Option<String>,
    /// The whole envelope, as received.
    pub envelope: Envelope,
    /// The recipients who have not got the message; at a release to some of them, the others stay.
    pub held: Vec<Path>,
    /// Where it came in.
    pub listener: String,
    /// `before-queue`, `after-queue`, `milter`.
    pub mode: String,
    /// Where released mail goes.
    pub next_hop: String,
    /// The last attempt to send it on.
    #[serde(default)]
    pub release: Option<Release>,
    /// When a second look took the place of the first one ([`JudgedAgain`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged_again_at: Option<Timestamp>,
    /// A second look found that it may go, and it has not gone yet: the daemon releases it, also after a restart.
    #[serde(default, skip_serializing_if = "is_false")]
    pub to_release: bool,
    /// The MTA of a milter holds the message in its own queue, and this is a copy of it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub in_mta: bool,
    /// What happened, oldest first.
    #[serde(default)]
    pub notes: Vec<Note>,
    /// [`Facts`], unparsed: an entry must stay readable where its facts are of another version.
    pub facts: Value,
    /// Fields of a later version, kept when the entry is rewritten.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// An attempt to send a held message on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// When it began.
    pub started_at: Timestamp,
    /// Who asked for it: `uid 0 (root)`.
    pub by: String,
    /// To where.
    pub next_hop: String,
    /// Written directly before the final dot. Set on a message that is still `releasing`: nobody
    /// knows whether the next hop took it.
    pub dot_sent_at: Option<Timestamp>,
    /// Recipients whom the next hop refused in this attempt.
    #[serde(default)]
    pub refused: Vec<Refusal>,
    /// The next hop's last reply.
    pub reply: Option<String>,
}

/// A recipient whom the next hop refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Who, as in the envelope.
    pub recipient: Path,
    /// The reply to RCPT.
    pub reply: String,
}

/// Something that happened to a held message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// When.
    pub at: Timestamp,
    /// What. May contain text from the next hop: hostile.
    pub text: String,
}

impl Entry {
    /// The entry of a message of this size and hash that is stored now.
    pub(super) fn new(new: NewEntry, state: State, held_at: Timestamp, size: u64, sha256: String) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            id: new.id,
            state,
            received_at: new.received_at,
            held_at,
            ended_at: None,
            verdict: new.facts.verdict,
            complete: new.facts.complete,
            rule: new.rule,
            line: new.line,
            explanation: new.explanation,
            size,
            sha256,
            message_id: new.message_id,
            subject: new.subject,
            from: new.from,
            envelope: new.envelope,
            held: new.held,
            listener: new.listener,
            mode: new.mode,
            next_hop: new.next_hop,
            release: None,
            judged_again_at: None,
            to_release: false,
            in_mta: new.in_mta,
            notes: Vec::new(),
            // Facts are plain data: strings, numbers, lists. Should that ever fail, hold the message all the same.
            facts: serde_json::to_value(&new.facts).unwrap_or(Value::Null),
            other: BTreeMap::new(),
        }
    }

    /// What the policy knew, if this version can read it.
    pub fn facts(&self) -> Option<Facts> {
        serde_json::from_value(self.facts.clone()).ok()
    }

    /// The envelope of a release: the sender as received, the held recipients only.
    pub fn release_envelope(&self) -> Envelope {
        Envelope { recipients: self.held.clone(), ..self.envelope.clone() }
    }

    /// Whether a release was cut off after its final dot may have been sent.
    pub fn outcome_unknown(&self) -> Option<Timestamp> {
        let release = self.release.as_ref().filter(|_| self.state == State::Releasing)?;
        release.dot_sent_at
    }

    /// What is known of it now takes the place of what was known before.
    pub(super) fn judged_again(&mut self, at: Timestamp, again: &JudgedAgain) {
        self.verdict = again.facts.verdict;
        self.complete = again.facts.complete;
        self.rule.clone_from(&again.rule);
        self.line = again.line;
        self.explanation = again.explanation.clone();
        // Should that ever fail, what was known before stays.
        if let Ok(facts) = serde_json::to_value(&again.facts) {
            self.facts = facts;
        }
        self.judged_again_at = Some(at);
        self.to_release = again.goes;
        self.note(at, &again.note);
    }

    /// Adds a note, cut to a sensible length; of too many, the oldest go.
    pub(super) fn note(&mut self, at: Timestamp, text: &str) {
        let surplus = self.notes.len().saturating_add(1).saturating_sub(MAX_NOTES);
        self.notes.drain(..surplus);
        self.notes.push(Note { at, text: text.chars().take(MAX_NOTE).collect() });
    }
}

/// What a list shows of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// [`SCHEMA`].
    pub schema: String,
    /// The id.
    pub id: QuarantineId,
    /// Where it stands.
    pub state: State,
    /// When the message came.
    pub received_at: Timestamp,
    /// When it was stored.
    pub held_at: Timestamp,
    /// When it came into a state that ends its life.
    pub ended_at: Option<Timestamp>,
    /// The verdict's level.
    pub verdict: Level,
    /// Whether everything was looked into.
    pub complete: bool,
    /// The rule that decided.
    pub rule: String,
    /// MAIL FROM.
    pub sender: Path,
    /// The recipients who have not got it.
    pub recipients: Vec<Path>,
    /// Subject. Text from mail: hostile.
    pub subject: Option<String>,
    /// Octets of the message.
    pub size: u64,
    /// Of the message, lower-case hex.
    pub sha256: String,
    /// The daemon is to release it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub to_release: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

impl From<&Entry> for Summary {
    fn from(entry: &Entry) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            id: entry.id,
            state: entry.state,
            received_at: entry.received_at,
            held_at: entry.held_at,
            ended_at: entry.ended_at,
            verdict: entry.verdict,
            complete: entry.complete,
            rule: entry.rule.clone(),
            sender: entry.envelope.sender.clone(),
            recipients: entry.held.clone(),
            subject: entry.subject.clone(),
            size: entry.size,
            sha256: entry.sha256.clone(),
            to_release: entry.to_release,
        }
    }
}

/// A line of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// An entry that can be read.
    Entry(Box<Summary>),
    /// One that cannot.
    Damaged {
        /// Its id, from the file's name.
        id: QuarantineId,
        /// What is wrong.
        problem: String,
    },
}

impl Listed {
    /// The id.
    pub fn id(&self) -> QuarantineId {
        match self {
            Listed::Entry(summary) => summary.id,
            Listed::Damaged { id, .. } => *id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_do_not_grow_for_ever() {
        let mut entry = crate::store::tests::entry();
        for n in 0..200 {
            entry.note(Timestamp::UNIX_EPOCH, &format!("{n} {}", "x".repeat(5000)));
        }
        assert_eq!(entry.notes.len(), MAX_NOTES);
        assert!(entry.notes.iter().all(|note| note.text.chars().count() == MAX_NOTE));
        assert!(entry.notes.last().unwrap().text.starts_with("199 "));
    }

    #[test]
    fn fields_of_a_later_version_and_unknown_facts_survive() {
        let mut value = serde_json::to_value(crate::store::tests::entry()).unwrap();
        value["tenant"] = "a".into();
        value["facts"] = serde_json::json!({"version": 99, "findings": [{"id": "not-invented-yet"}]});
        let entry: Entry = serde_json::from_value(value.clone()).unwrap();
        assert!(entry.facts().is_none());
        assert_eq!(serde_json::to_value(&entry).unwrap(), value);
    }
}
