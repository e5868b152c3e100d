//! What nobody asks for and must happen all the same: retention, the end of what a crash left half
//! done, room for new messages.

use std::time::Duration;

use jiff::Timestamp;

use crate::store::folder::Locked;
use crate::store::{Entry, Listed, Quarantine, QuarantineId, State, StoreError, Summary, lock};

/// A pending message that is older was given up by the task that stored it: longer than any reply
/// deadline.
const PENDING_AGE: Duration = Duration::from_secs(3600);

/// What [`Quarantine::maintain`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Maintenance {
    /// Messages (and traces of released and deleted ones) that were older than `keep`.
    pub expired: usize,
    /// Files that a crash had left.
    pub swept: usize,
    /// Messages that were pending or being released, that nobody worked on, and that are held now.
    pub recovered: usize,
}

/// What [`Quarantine::recover`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Pending messages of processes that ended: they are held now.
    pub pending: Vec<QuarantineId>,
    /// Releases that were cut off before the final dot: nothing was sent, and they are held again.
    pub unsent: Vec<QuarantineId>,
    /// Releases that ended between the final dot and the reply: a person has to look.
    pub unknown: Vec<QuarantineId>,
}

/// Where a release was cut off.
enum CutOff {
    BeforeDot,
    /// It may have been taken.
    AtDot,
}

impl Quarantine {
    /// Makes messages held that were pending, or being released and not sent yet, when their process ended. For the
    /// daemon, at start and now and then.
    ///
    /// # Errors
    /// The folder cannot be read or written.
    pub fn recover(&self) -> Result<Recovery, StoreError> {
        let mut recovery = Recovery::default();
        for summary in self.summaries()? {
            match summary.state {
                State::Pending if self.recover_pending(summary.id)? => recovery.pending.push(summary.id),
                State::Releasing => match self.recover_release(summary.id)? {
                    Some(CutOff::BeforeDot) => recovery.unsent.push(summary.id),
                    Some(CutOff::AtDot) => recovery.unknown.push(summary.id),
                    None => {}
                },
                State::Pending | State::Unconfirmed | State::Held | State::Released | State::Deleted => {}
            }
        }
        Ok(recovery)
    }

    /// Deletes what is older than `keep` (never a message that is pending or being released), sweeps
    /// what a crash left, and brings the index up to date. To be called now and then by the daemon.
    ///
    /// # Errors
    /// The folder cannot be read or written.
    pub fn maintain(&self, now: Timestamp) -> Result<Maintenance, StoreError> {
        let mut done = Maintenance { swept: self.folder.sweep()?, ..Maintenance::default() };
        self.give_up_pending(now);
        let recovery = self.recover()?;
        done.recovered = recovery.pending.len().saturating_add(recovery.unsent.len());
        for summary in self.summaries()? {
            if is_older(ends_from(&summary), self.keep, now) && self.expire(summary.id, now)? {
                done.expired = done.expired.saturating_add(1);
            }
        }
        self.finish_deletions()?;
        self.index.checkpoint(&self.folder);
        Ok(done)
    }

    /// Gives up the content of released messages, oldest first, until this much is free.
    pub(super) fn drop_released(&self, mut needed: u64) -> Result<(), StoreError> {
        for summary in self.summaries()?.into_iter().filter(|summary| summary.state == State::Released) {
            if needed == 0 {
                break;
            }
            let size = self.folder.content_size(summary.id).unwrap_or(0);
            if let Some((locked, entry)) =
                self.lock_entry(summary.id)?.filter(|(_, entry)| entry.state == State::Released)
            {
                self.folder.remove_content(&locked)?;
                self.index.record(&self.folder, &entry);
                needed = needed.saturating_sub(size);
            }
        }
        Ok(())
    }

    /// Lets go of pending messages whose task has long ended without a word.
    fn give_up_pending(&self, now: Timestamp) {
        lock(&self.pending).retain(|id, _| !is_older(id.time(), PENDING_AGE, now));
    }

    /// Makes a pending message held, unless a living process works on it.
    fn recover_pending(&self, id: QuarantineId) -> Result<bool, StoreError> {
        let Some((mut locked, mut entry)) = self.lock_entry(id)?.filter(|(_, entry)| entry.state == State::Pending)
        else {
            return Ok(false);
        };
        entry.state = State::Held;
        entry.note(Timestamp::now(), "was pending when its process ended: counts as held");
        self.folder.replace(&mut locked, &entry)?;
        self.index.record(&self.folder, &entry);
        tracing::warn!(%id, "a message was pending when its process ended: it is held");
        Ok(true)
    }

    /// Makes a message held whose release was cut off before its final dot, unless a living process works on it.
    fn recover_release(&self, id: QuarantineId) -> Result<Option<CutOff>, StoreError> {
        let is_cut_off = |(_, entry): &(Locked, Entry)| entry.state == State::Releasing;
        let Some((mut locked, mut entry)) = self.lock_entry(id)?.filter(is_cut_off) else { return Ok(None) };
        if entry.outcome_unknown().is_some() {
            return Ok(Some(CutOff::AtDot));
        }
        entry.state = State::Held;
        entry.note(Timestamp::now(), "its release was cut off before the final dot: nothing was sent, it is held");
        self.folder.replace(&mut locked, &entry)?;
        self.index.record(&self.folder, &entry);
        tracing::warn!(%id, "a release was cut off before the final dot: nothing was sent, it is held");
        Ok(Some(CutOff::BeforeDot))
    }

    /// Removes a message that is too old, looking at it again under its lock.
    fn expire(&self, id: QuarantineId, now: Timestamp) -> Result<bool, StoreError> {
        let Some((locked, entry)) = self.lock_entry(id)? else { return Ok(false) };
        let summary = Summary::from(&entry);
        let may_go = match entry.state {
            State::Unconfirmed | State::Held | State::Released | State::Deleted => {
                is_older(ends_from(&summary), self.keep, now)
            }
            State::Pending | State::Releasing => false,
        };
        if may_go {
            self.remove(&locked, id)?;
            tracing::info!(%id, state = entry.state.name(), "expired: kept long enough");
        }
        Ok(may_go)
    }

    /// Removes the content of deleted messages where a crash came between.
    fn finish_deletions(&self) -> Result<(), StoreError> {
        for summary in self.summaries()?.into_iter().filter(|summary| summary.state == State::Deleted) {
            if self.folder.content_size(summary.id).is_some()
                && let Some((locked, entry)) = self.lock_entry(summary.id)?
            {
                self.folder.remove_content(&locked)?;
                self.index.record(&self.folder, &entry);
            }
        }
        Ok(())
    }

    /// Locks and reads an entry, unless it is gone, damaged or in use: then it is none of upkeep's business.
    fn lock_entry(&self, id: QuarantineId) -> Result<Option<(Locked, Entry)>, StoreError> {
        let locked = match self.folder.try_lock(id) {
            Err(StoreError::NotFound(_)) => return Ok(None),
            other => other?,
        };
        let Some(locked) = locked else { return Ok(None) };
        match self.folder.read_entry(id) {
            Ok(entry) => Ok(Some((locked, entry))),
            Err(StoreError::Damaged { .. } | StoreError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn summaries(&self) -> Result<Vec<Summary>, StoreError> {
        let listed = self.list(None)?.into_iter();
        Ok(listed
            .filter_map(|listed| match listed {
                Listed::Entry(summary) => Some(*summary),
                Listed::Damaged { .. } => None,
            })
            .collect())
    }
}

/// From when on a message's time runs: a released one is kept `keep` from its release, so that
/// releasing it again is noticed.
fn ends_from(summary: &Summary) -> Timestamp {
    summary.ended_at.unwrap_or(summary.held_at)
}

/// Whether something that happened at `then` is longer ago than `age`. Clocks that go back do no harm.
fn is_older(then: Timestamp, age: Duration, now: Timestamp) -> bool {
    let elapsed = now.as_millisecond().saturating_sub(then.as_millisecond());
    u128::try_from(elapsed).is_ok_and(|elapsed| elapsed > age.as_millis())
}
