//! The quarantine: messages that are held, durably, until somebody releases or deletes them.
//!
//! ```text
//! put ─▶ pending ─commit─▶ held ─release─▶ releasing ─▶ released ─(keep)─▶ gone
//!           │ remove_pending   ├─delete─▶ deleted ─(keep)─▶ gone
//!           ▼                  └─(keep)─▶ gone
//!         gone
//! ```
//!
//! The folder is the truth; the index makes lists fast and may be deleted at any time.
//! The daemon and commands work in one folder at the same time. Everything here blocks: the daemon
//! calls it through `spawn_blocking`.

mod entry;
mod error;
mod folder;
mod id;
mod index;
mod release;
mod upkeep;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::message::Message;

pub use crate::verdict::Explanation;
pub use entry::{Entry, JudgedAgain, Listed, NewEntry, Note, Refusal, Release, SCHEMA, State, Summary};
pub use error::StoreError;
pub use id::{MalformedId, QuarantineId};
pub use release::{Delivery, Failure, Outcome, ReleaseError, ReleaseRequest, Released, Repeat};
pub use upkeep::{Maintenance, Recovery};

use folder::{Folder, Locked};
use index::Index;

/// Room on the disk for an entry and the smallest message: with less, nothing can be held.
const ENTRY_ROOM: u64 = 64 << 10;

/// The quarantine of one folder. Share it by `Arc`.
#[derive(Debug)]
pub struct Quarantine {
    folder: Folder,
    index: Index,
    /// How long messages are kept.
    keep: Duration,
    /// Octets of content that may lie in the folder.
    max_size: u64,
    /// The locks of pending messages that this process works on: whoever else finds one of them
    /// unlocked knows that its process has died.
    pending: Mutex<HashMap<QuarantineId, Locked>>,
    /// Octets of messages that are being stored and not yet in the index.
    reserved: Mutex<u64>,
    /// The size of the last message, if there was no room for it; else 0.
    lacking: AtomicU64,
}

/// How much is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Messages that wait for their recipients (pending, held, releasing).
    pub messages: u64,
    /// Their octets.
    pub bytes: u64,
    /// When the oldest of them was stored.
    pub oldest: Option<Timestamp>,
    /// Octets that may be held: `[quarantine] max_size`.
    pub limit: u64,
}

impl Quarantine {
    /// The quarantine in this folder, for the daemon: the folder is made (0700) if it is missing, and
    /// what a crash left half written is swept.
    ///
    /// # Errors
    /// The folder cannot be made or read; the error says what to do.
    pub fn open(folder: &Path, keep: Duration, max_size: u64) -> Result<Self, StoreError> {
        Self::with_folder(Folder::create(folder)?, keep, max_size)
    }

    /// The quarantine in this folder, for commands: a missing folder is an error.
    ///
    /// # Errors
    /// The folder is missing or cannot be read; the error says what to do.
    pub fn open_existing(folder: &Path, keep: Duration, max_size: u64) -> Result<Self, StoreError> {
        Self::with_folder(Folder::open(folder)?, keep, max_size)
    }

    fn with_folder(folder: Folder, keep: Duration, max_size: u64) -> Result<Self, StoreError> {
        folder.sweep()?;
        let index = Index::open(&folder);
        Ok(Self {
            folder,
            index,
            keep,
            max_size,
            pending: Mutex::default(),
            reserved: Mutex::default(),
            lacking: AtomicU64::new(0),
        })
    }

    /// Stores a message, durably: after `Ok` it survives a crash of the process and of the machine.
    /// `state` is [`State::Pending`] where something else must happen before it counts (then
    /// [`commit`](Self::commit) or [`remove_pending`](Self::remove_pending) follow), [`State::Unconfirmed`]
    /// for a milter, else [`State::Held`].
    ///
    /// # Errors
    /// Nothing is stored: the quarantine is full, or its folder cannot be written. The caller answers 451.
    pub fn put(&self, new: NewEntry, message: &Message, state: State) -> Result<QuarantineId, StoreError> {
        let id = new.id;
        if self.folder.stamp(id).is_some() {
            // Whoever gives two messages one id must not lose the first by it.
            return Err(StoreError::State { id, state: self.folder.read_entry(id)?.state });
        }
        let noted = |lacks: bool| self.lacking.store(if lacks { message.size() } else { 0 }, Ordering::Relaxed);
        let _reserved = self.reserve(message.size()).inspect_err(|error| noted(error.is_no_space()))?;
        let stored = self.folder.write_content(id, message).and_then(|(content, sha256)| {
            let entry = Entry::new(new, state, Timestamp::now(), message.size(), sha256);
            self.folder.publish(&entry, &content).map(|locked| (entry, locked))
        });
        noted(stored.as_ref().is_err_and(StoreError::is_no_space));
        let (entry, locked) = stored.inspect_err(|_| self.folder.abandon(id))?;
        self.index.record_new(&self.folder, &entry);
        if state == State::Pending {
            lock(&self.pending).insert(id, locked);
        }
        Ok(id)
    }

    /// The next hop has accepted the message for the other recipients, or the MTA of a milter has seen our
    /// answer: a pending or unconfirmed message is held now.
    ///
    /// # Errors
    /// There is no such message, or the folder cannot be written: it stays pending, but nobody works on
    /// it any more, which counts as held: it can be released, and [`maintain`](Self::maintain) notes it.
    pub fn commit(&self, id: QuarantineId) -> Result<(), StoreError> {
        if !lock(&self.pending).contains_key(&id) && self.folder.confirm(id)? {
            self.index.confirmed(&self.folder, id);
            return Ok(());
        }
        let committed = self.change(id, |entry| match entry.state {
            State::Pending | State::Unconfirmed | State::Held => {
                entry.state = State::Held;
                Ok(())
            }
            state @ (State::Releasing | State::Released | State::Deleted) => Err(StoreError::State { id, state }),
        });
        lock(&self.pending).remove(&id);
        committed
    }

    /// The next hop has not accepted the message: the sender's server keeps it, so we do not.
    ///
    /// # Errors
    /// There is no such message, it is neither pending nor unconfirmed, or the folder cannot be written.
    pub fn remove_pending(&self, id: QuarantineId) -> Result<(), StoreError> {
        self.take_back(id, &[State::Pending, State::Unconfirmed])
    }

    /// Takes back a message that was stored too late: its sender has been told to keep it.
    ///
    /// # Errors
    /// There is no such message, somebody works on it already, or the folder cannot be written.
    pub fn withdraw(&self, id: QuarantineId) -> Result<(), StoreError> {
        self.take_back(id, &[State::Pending, State::Unconfirmed, State::Held])
    }

    /// Adds a note to a message: "the next hop refused the other recipients: 550 …".
    ///
    /// # Errors
    /// There is no such message, or the folder cannot be written.
    pub fn note(&self, id: QuarantineId, text: &str) -> Result<(), StoreError> {
        self.change(id, |entry| {
            entry.note(Timestamp::now(), text);
            Ok(())
        })
    }

    /// A held message was looked at once more: its entry tells what was seen now. Only if it is held: nothing that
    /// somebody released, is releasing or deleted is touched. Returns its state; `Held` means that it was written.
    ///
    /// # Errors
    /// There is no such message, or the folder cannot be written: the entry is as it was.
    pub fn judged_again(&self, id: QuarantineId, again: &JudgedAgain) -> Result<State, StoreError> {
        let mut state = State::Held;
        let changed = self.change(id, |entry| {
            state = entry.state;
            if state != State::Held {
                return Err(StoreError::State { id, state });
            }
            entry.judged_again(Timestamp::now(), again);
            Ok(())
        });
        match changed {
            Err(StoreError::State { .. }) => Ok(state),
            other => other.map(|()| state),
        }
    }

    /// What the daemon was to release stays held, for a reason.
    ///
    /// # Errors
    /// There is no such message, another process works on it, or the folder cannot be written.
    pub fn stays_held(&self, id: QuarantineId, why: &str) -> Result<(), StoreError> {
        self.change(id, |entry| match entry.state {
            State::Released | State::Deleted => Err(StoreError::State { id, state: entry.state }),
            State::Pending | State::Unconfirmed | State::Held | State::Releasing => {
                let maybe = entry.outcome_unknown().map(|at| format!("; it may have been taken at {at}"));
                entry.state = State::Held;
                entry.to_release = false;
                entry.note(Timestamp::now(), &format!("{why}: it stays held{}", maybe.unwrap_or_default()));
                Ok(())
            }
        })
    }

    /// Deletes a message that nobody wants: its content goes, its entry stays for a while.
    /// One whose release was cut off can be deleted too. Deleting twice is the same as once.
    ///
    /// # Errors
    /// There is no such message, another process works on it, or the folder cannot be written.
    pub fn delete(&self, id: QuarantineId, by: &str) -> Result<(), StoreError> {
        let mut locked = self.folder.lock(id)?;
        let mut entry = match self.folder.read_entry(id) {
            // Nothing can be noted in an entry that cannot be read.
            Err(StoreError::Damaged { problem, .. }) => {
                tracing::info!(%id, by, ?problem, "deleted a damaged entry");
                return self.remove(&locked, id);
            }
            other => other?,
        };
        if entry.state != State::Deleted {
            let now = Timestamp::now();
            entry.note(now, &format!("deleted by {by} ({} before)", entry.state));
            entry.state = State::Deleted;
            entry.ended_at = Some(now);
            self.folder.replace(&mut locked, &entry)?;
            tracing::info!(%id, by, "deleted");
        }
        self.folder.remove_content(&locked)?;
        self.index.record(&self.folder, &entry);
        Ok(())
    }

    /// Everything about a message.
    ///
    /// # Errors
    /// There is no such message, or its entry is damaged.
    pub fn entry(&self, id: QuarantineId) -> Result<Entry, StoreError> {
        self.folder.read_entry(id)
    }

    /// The message's octets, as received.
    ///
    /// # Errors
    /// There is no such message, or its content is gone.
    pub fn content(&self, id: QuarantineId) -> Result<Message, StoreError> {
        self.folder.read_entry(id)?;
        self.folder.read_content(id)
    }

    /// Every message, oldest first; only those of a state if one is given (a damaged entry has none
    /// and is always listed).
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn list(&self, state: Option<State>) -> Result<Vec<Listed>, StoreError> {
        let mut listed = self.index.list(&self.folder)?;
        listed.retain(|listed| match (listed, state) {
            (Listed::Entry(summary), Some(state)) => summary.state == state,
            (Listed::Entry(_), None) | (Listed::Damaged { .. }, _) => true,
        });
        Ok(listed)
    }

    /// Whether a message could be held now.
    ///
    /// # Errors
    /// What stands in the way, and what to do.
    pub fn check(&self) -> Result<(), StoreError> {
        let usage = self.usage()?;
        let size = self.lacking.load(Ordering::Relaxed);
        // One that is larger than the whole quarantine says nothing about the others.
        let lacks = size <= usage.limit && usage.bytes.saturating_add(size) > usage.limit;
        if lacks || usage.bytes >= usage.limit {
            return Err(StoreError::Full { used: usage.bytes, limit: usage.limit, size });
        }
        self.folder.check_writable()?;
        self.folder.check_room(size.saturating_add(ENTRY_ROOM))
    }

    /// How much is held.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn usage(&self) -> Result<Usage, StoreError> {
        let usage = self.index.usage(&self.folder)?;
        Ok(Usage { limit: self.max_size, ..usage })
    }

    /// Makes the index anew. Returns the number of messages.
    ///
    /// # Errors
    /// The folder cannot be read, or the index not be written.
    pub fn rebuild(&self) -> Result<usize, StoreError> {
        self.index.rebuild(&self.folder)
    }

    /// Removes a message that is in one of these states.
    fn take_back(&self, id: QuarantineId, from: &[State]) -> Result<(), StoreError> {
        let ours = lock(&self.pending).remove(&id);
        let locked = ours.map_or_else(|| self.folder.lock(id), Ok)?;
        let state = self.folder.read_entry(id)?.state;
        if !from.contains(&state) {
            return Err(StoreError::State { id, state });
        }
        self.remove(&locked, id)
    }

    /// Changes an entry under its lock. A pending message of this process stays locked.
    fn change(
        &self,
        id: QuarantineId,
        change: impl FnOnce(&mut Entry) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let ours = lock(&self.pending).remove(&id);
        let is_ours = ours.is_some();
        let mut locked = ours.map_or_else(|| self.folder.lock(id), Ok)?;
        let changed = self.folder.read_entry(id).and_then(|mut entry| {
            change(&mut entry)?;
            self.folder.replace(&mut locked, &entry)?;
            self.index.record(&self.folder, &entry);
            Ok(entry.state)
        });
        if is_ours && !matches!(changed, Ok(state) if state != State::Pending) {
            lock(&self.pending).insert(id, locked);
        }
        changed.map(|_| ())
    }

    /// Removes a message that is locked.
    fn remove(&self, locked: &Locked, id: QuarantineId) -> Result<(), StoreError> {
        self.folder.remove(locked)?;
        self.index.remove(id);
        Ok(())
    }

    /// Charges a message that is going to be stored. For it, the content of messages that were
    /// released is given up, the oldest first.
    fn reserve(&self, size: u64) -> Result<Reserved<'_>, StoreError> {
        let mut reserved = lock(&self.reserved);
        // What may lie there already for this message to fit.
        let room = self.max_size.checked_sub(size).and_then(|room| room.checked_sub(*reserved));
        let full = |used: u64| StoreError::Full { used, limit: self.max_size, size };
        let Some(room) = room else { return Err(full(self.index.stored_bytes(&self.folder)?)) };
        if self.index.stored_at_most(&self.folder)? <= room {
            *reserved = reserved.saturating_add(size);
            return Ok(Reserved { all: &self.reserved, size });
        }
        let stored = self.index.stored_bytes(&self.folder)?;
        if stored > room {
            let undelivered = self.index.usage(&self.folder)?.bytes;
            if undelivered > room {
                return Err(full(undelivered.saturating_add(*reserved)));
            }
            self.drop_released(stored.saturating_sub(room))?;
            let stored = self.index.stored_bytes(&self.folder)?;
            if stored > room {
                return Err(full(stored.saturating_add(*reserved)));
            }
        }
        *reserved = reserved.saturating_add(size);
        Ok(Reserved { all: &self.reserved, size })
    }
}

/// Room for a message that is being stored; given back when it is in the index (or failed).
struct Reserved<'a> {
    all: &'a Mutex<u64>,
    size: u64,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let mut all = lock(self.all);
        *all = all.saturating_sub(self.size);
    }
}

/// Locks a mutex. What these guard is whole at any time, so a panic elsewhere does not matter.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::envelope::{Envelope, Path};
    use crate::policy::facts::{Direction, FACTS_VERSION, Facts};
    use crate::verdict::Level;

    /// A suspicious message for two recipients.
    pub(crate) fn new_entry() -> NewEntry {
        let path = |address: &str| Path::new(address);
        NewEntry {
            id: QuarantineId::new(Timestamp::now()),
            received_at: Timestamp::now(),
            envelope: Envelope {
                sender: path("<a@example.com>"),
                recipients: vec![path("<b@example.jp>"), path("<c@example.jp>"), path("<d@example.jp>")],
                ..Envelope::default()
            },
            held: vec![path("<b@example.jp>"), path("<c@example.jp>")],
            facts: Facts {
                version: FACTS_VERSION,
                client: None,
                sender: path("<a@example.com>"),
                direction: Direction::Inbound,
                size: 3,
                verdict: Level::Suspicious,
                complete: false,
                reasons: Vec::new(),
                findings: Vec::new(),
                parts: Vec::new(),
            },
            rule: "(suspicious)".to_owned(),
            line: None,
            explanation: Explanation { en: "Suspicious.".to_owned(), ja: "疑わしい。".to_owned() },
            message_id: Some("<1@example.com>".to_owned()),
            subject: Some("An invoice".to_owned()),
            from: Some("A <a@example.com>".to_owned()),
            listener: "127.0.0.1:10025".to_owned(),
            mode: "before-queue".to_owned(),
            next_hop: "127.0.0.1:10026".to_owned(),
            in_mta: false,
        }
    }

    /// The same, stored.
    pub(crate) fn entry() -> Entry {
        Entry::new(new_entry(), State::Held, Timestamp::now(), 3, "00".repeat(32))
    }
}
