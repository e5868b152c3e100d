//! Copies of mail that was delivered, or is in an MTA's hold queue, and waits for its password; and what waits when the
//! daemon starts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::task::spawn_blocking;

use super::{Place, Waiting, is_closed, lock};
use crate::envelope::Path;
use crate::ledger::{Pair, pairs};
use crate::message::Message;
use crate::metrics::SecondMail;
use crate::mime;
use crate::pipeline::Pipeline;
use crate::queue::Client;
use crate::store::{Entry, Listed, NewEntry, Quarantine, QuarantineId, State, StoreError, Summary};

/// A copy that nobody knows goes if it is older: one that is being noted is younger.
const STRAY: Duration = Duration::from_secs(120);
/// Held messages that are noted at a start.
const MAX_NOTED: usize = 1000;

impl Pipeline {
    /// Keeps a copy of a message that was delivered closed. One network's mail has at most half of the quota.
    pub(super) async fn keep(
        &self,
        new: NewEntry,
        message: Arc<Message>,
        pairs: Vec<Pair>,
        network: Client,
        tried: Vec<String>,
    ) {
        let (id, size) = (new.id, message.size());
        let place = if new.in_mta { Place::Mta } else { Place::Delivered };
        let half = self.config.load().second_mail.quota / 2;
        if self.late.copied(network).saturating_add(size) > half {
            return self.metrics.second_mail(SecondMail::Full);
        }
        let copies = Arc::clone(&self.late.copies);
        let put = spawn_blocking(move || copies.put(new, &message, State::Held)).await;
        match put {
            Ok(Ok(_)) => {
                let looks = Vec::new();
                let waiting = Waiting { id, place, size, network, tried, looks };
                self.wait(pairs, network, Instant::now(), waiting);
            }
            Ok(Err(StoreError::Full { .. })) => self.metrics.second_mail(SecondMail::Full),
            Ok(Err(error)) => {
                self.metrics.second_mail(SecondMail::Failed);
                tracing::warn!(%id, %error, "no copy is kept of a delivered message, so it cannot be judged later");
            }
            Err(_) => self.metrics.second_mail(SecondMail::Failed),
        }
    }

    /// Removes a copy.
    pub(super) async fn drop_copy(&self, id: QuarantineId) {
        let copies = Arc::clone(&self.late.copies);
        let gone = spawn_blocking(move || copies.withdraw(id)).await;
        if let Ok(Err(error)) = gone
            && !matches!(error, StoreError::NotFound(_))
        {
            tracing::warn!(%id, %error, "the copy of a delivered message cannot be removed; it is tried again");
        }
    }

    /// Lets go of what has waited too long.
    pub(super) async fn expire(&self) {
        let window = self.config.load().second_mail.window;
        lock(&self.late.told).expire(window, Instant::now());
        let expired = lock(&self.late.waiting).expire(window, Instant::now());
        for one in expired.into_iter().filter(|one| one.place != Place::Held) {
            self.drop_copy(one.id).await;
        }
    }

    /// Removes copies that nobody knows: what made room for others, and what could not be removed before.
    pub(super) async fn sweep(&self) {
        let known: Vec<QuarantineId> = lock(&self.late.waiting).iter().map(|one| one.id).collect();
        let (copies, metrics) = (Arc::clone(&self.late.copies), Arc::clone(&self.metrics));
        let swept = spawn_blocking(move || {
            for copy in copies.list(None)? {
                let id = copy.id();
                let is_old = age(id.time()) > STRAY;
                if is_old && !known.contains(&id) {
                    remove(&copies, id);
                }
            }
            metrics.copies(copies.usage()?.bytes);
            Ok::<_, StoreError>(())
        });
        if let Ok(Err(error)) = swept.await {
            tracing::warn!(%error, "the copies of delivered messages cannot be read");
        }
    }

    /// Notes what waits on the disk, and removes copies that are too old. What was tried before is not known any more.
    pub(super) fn note_from_disk(&self) -> Result<(), StoreError> {
        let config = self.config.load();
        let window = config.second_mail.window;
        for copy in self.late.copies.list(None)? {
            let id = copy.id();
            match self.late.copies.entry(id) {
                Ok(entry) if age(entry.held_at) < window => {
                    self.note_entry(&entry, if entry.in_mta { Place::Mta } else { Place::Delivered });
                }
                _ => remove(&self.late.copies, id),
            }
        }
        let undelivered = self.quarantine.list(None)?.into_iter().filter_map(|listed| match listed {
            Listed::Entry(summary) => summary.state.is_undelivered().then_some(*summary),
            Listed::Damaged { .. } => None,
        });
        // What was opened goes on its way; what stayed closed waits on.
        let (opened, held): (Vec<Summary>, Vec<Summary>) = undelivered.partition(|summary| summary.to_release);
        let all_noted = {
            let mut releases = lock(&self.late.releases);
            opened.iter().all(|summary| releases.add(summary.id))
        };
        if !all_noted {
            tracing::error!("too many releases wait for their next hop; some are tried after the next start");
        }
        for summary in held.iter().rev().filter(|summary| is_waiting(summary, window)).take(MAX_NOTED) {
            if let Ok(entry) = self.quarantine.entry(summary.id)
                && entry.facts().is_some_and(|facts| is_closed(&facts.findings))
            {
                self.note_entry(&entry, Place::Held);
            }
        }
        Ok(())
    }

    fn note_entry(&self, entry: &Entry, place: Place) {
        let config = self.config.load();
        let network = Client::of_envelope(&entry.envelope, &config.mail);
        let content = match place {
            Place::Held => self.quarantine.content(entry.id),
            Place::Delivered | Place::Mta => self.late.copies.content(entry.id),
        };
        let head = content.ok().and_then(|content| content.head().ok());
        let from = head.map(|head| mime::header_from(&head.octets)).unwrap_or_default();
        let pairs = pairs(&entry.envelope.sender.address(), &from, entry.held.iter().map(Path::address));
        let since = Instant::now().checked_sub(age(entry.held_at)).unwrap_or_else(Instant::now);
        let (tried, looks) = Default::default();
        let waiting = Waiting { id: entry.id, place, size: entry.size, network, tried, looks };
        self.wait(pairs, network, since, waiting);
    }
}

fn is_waiting(summary: &Summary, window: Duration) -> bool {
    let is_held = match summary.state {
        State::Pending | State::Unconfirmed | State::Held => true,
        State::Releasing | State::Released | State::Deleted => false,
    };
    is_held && age(summary.held_at) < window
}

/// How long ago something was, by a clock that may have been set: in the future is now.
fn age(then: Timestamp) -> Duration {
    Duration::try_from(Timestamp::now().duration_since(then)).unwrap_or_default()
}

/// Removes a copy, whatever state it is in.
fn remove(copies: &Quarantine, id: QuarantineId) {
    if copies.withdraw(id).is_err()
        && let Err(error) = copies.delete(id, "sekisho")
    {
        tracing::warn!(%id, %error, "the copy of a delivered message cannot be removed; it is tried again");
    }
}
