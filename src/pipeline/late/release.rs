//! The release of what the password of a later mail opened: tried until the next hop takes or refuses it.
//!
//! That it is to go stands in its entry ([`Entry::to_release`]) before anything is sent, so a restart goes on with it.
//! Cut off around the final dot, it is sent once more: nobody looks after these releases, and twice is better than
//! never (RFC 1047).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant as Moment};

use jiff::Timestamp;
use tokio::task::spawn_blocking;

use super::{AT_ONCE, lock, next_hop_of, passes};
use crate::config::{Config, Opened};
use crate::metrics::SecondMail;
use crate::pipeline::Pipeline;
use crate::policy;
use crate::store::{
    Entry, Failure, Quarantine, QuarantineId, ReleaseError, ReleaseRequest, Released, Repeat, State, StoreError,
};

/// Who releases, in the entry and in the log.
const BY: &str = "sekisho (opened with the password of a later mail)";
/// Releases that are remembered; the others are found in the quarantine at the next start. Some 100 octets each.
const MAX_RELEASES: usize = 10_000;
/// After which time a release is tried again first; then four times as long, up to one of these.
const REPEAT_AFTER: Duration = Duration::from_secs(2);
/// When it was not taken: recipients wait.
const LONGEST: Duration = Duration::from_secs(300);
/// When nobody knows: each try may be another copy.
const LONGEST_UNKNOWN: Duration = Duration::from_secs(3600);
/// How long a release is tried. As Postfix's `maximal_queue_lifetime`.
const GIVE_UP: Duration = Duration::from_secs(5 * 24 * 3600);

/// Releases that are to be done.
#[derive(Debug, Default)]
pub(super) struct Releases {
    all: BTreeMap<QuarantineId, Due>,
    running: usize,
}

#[derive(Clone, Copy, Debug)]
struct Due {
    /// When it is tried; `None` while it is.
    at: Option<Moment>,
    tries: u32,
    /// The next hop took it, and that could not be written.
    taken: bool,
}

/// How a try ended.
enum Tried {
    Over(Option<SecondMail>),
    /// It was not taken, or somebody else works on it.
    Later,
    /// It may have been taken.
    Unknown,
    /// It was taken, and that could not be written.
    NotNoted,
}

impl Releases {
    /// Notes a release that is due now. `false` if there are too many.
    pub(super) fn add(&mut self, id: QuarantineId) -> bool {
        let fits = self.all.len() < MAX_RELEASES;
        if fits {
            self.all.entry(id).or_insert(Due { at: Some(Moment::now()), tries: 0, taken: false });
        }
        fits
    }

    /// Those that are to be tried now.
    fn start(&mut self, now: Moment) -> Vec<(QuarantineId, bool)> {
        let room = AT_ONCE.saturating_sub(self.running);
        let due = self.all.iter_mut().filter(|(_, due)| due.at.is_some_and(|at| at <= now)).take(room);
        let due: Vec<_> = due
            .map(|(id, due)| {
                due.at = None;
                (*id, due.taken)
            })
            .collect();
        self.running = self.running.saturating_add(due.len());
        due
    }

    fn ended(&mut self, id: QuarantineId, tried: &Tried, now: Moment) {
        self.running = self.running.saturating_sub(1);
        let longest = match tried {
            Tried::Over(_) => {
                self.all.remove(&id);
                return;
            }
            Tried::Later | Tried::NotNoted => LONGEST,
            Tried::Unknown => LONGEST_UNKNOWN,
        };
        let Some(due) = self.all.get_mut(&id) else { return };
        let wait = REPEAT_AFTER.saturating_mul(4_u32.saturating_pow(due.tries)).min(longest);
        due.at = Some(now.checked_add(wait).unwrap_or(now));
        due.tries = due.tries.saturating_add(1);
        due.taken |= matches!(tried, Tried::NotNoted);
    }
}

impl Pipeline {
    /// Releases it, from now on.
    pub(super) fn to_release(self: &Arc<Self>, id: QuarantineId) {
        if !lock(&self.late.releases).add(id) {
            tracing::error!(%id, "too many releases wait for their next hop; this one is tried after the next start");
            return self.metrics.second_mail(SecondMail::Full);
        }
        self.go_on_releasing();
    }

    /// Tries the releases that are due.
    pub(super) fn go_on_releasing(self: &Arc<Self>) {
        let due = lock(&self.late.releases).start(Moment::now());
        for (id, taken) in due {
            let (pipeline, quarantine) = (Arc::clone(self), Arc::clone(&self.quarantine));
            let config = self.config.load_full();
            tokio::spawn(async move {
                let tried = spawn_blocking(move || release(&quarantine, id, taken, &config)).await;
                let tried = tried.unwrap_or_else(|panic| {
                    tracing::error!(%panic, %id, "a release failed by a fault of this program; please report it");
                    Tried::Later
                });
                lock(&pipeline.late.releases).ended(id, &tried, Moment::now());
                if let Tried::Over(Some(result)) = tried {
                    pipeline.metrics.second_mail(result);
                }
            });
        }
    }
}

/// Tries a release. The store logs what comes of it.
fn release(quarantine: &Quarantine, id: QuarantineId, taken: bool, config: &Config) -> Tried {
    let entry = match quarantine.entry(id) {
        Ok(entry) => entry,
        Err(error) => return unreadable(id, &error),
    };
    let by_others = entry.outcome_unknown().is_some() && entry.release.as_ref().is_some_and(|release| release.by != BY);
    let is_over = matches!(entry.state, State::Released | State::Deleted);
    if !entry.to_release || is_over || by_others {
        // Somebody has decided, or is asked to.
        return Tried::Over(None);
    }
    if !taken && !may_go(&entry, config) {
        return give_up(quarantine, id, "the rules do not let it go any more", SecondMail::Kept);
    }
    let since = entry.judged_again_at.unwrap_or(entry.held_at);
    if !taken && Duration::try_from(Timestamp::now().duration_since(since)).unwrap_or_default() > GIVE_UP {
        return give_up(quarantine, id, "no next hop has taken it for days", SecondMail::Failed);
    }
    let mut delivery = match next_hop_of(&entry.next_hop, config) {
        Ok(delivery) => delivery,
        Err(error) => {
            tracing::warn!(%id, error, "a held message that was opened has no next hop; it is tried again");
            return Tried::Later;
        }
    };
    let was_unknown = entry.outcome_unknown().is_some();
    let repeat = if taken { Repeat::Done } else { Repeat::CutOff };
    let request = ReleaseRequest { next_hop: entry.next_hop, by: BY.to_owned(), repeat };
    match quarantine.release(id, &request, &mut delivery) {
        Ok(Released::Sent { .. }) if was_unknown => Tried::Over(Some(SecondMail::Repeated)),
        Ok(Released::Sent { .. } | Released::Already { .. } | Released::Marked) => {
            Tried::Over(Some(SecondMail::Released))
        }
        Err(ReleaseError::NotSent { failure: Failure::Refused(_), .. }) => {
            give_up(quarantine, id, "the next hop refuses it", SecondMail::Failed)
        }
        Err(ReleaseError::NotSent { .. } | ReleaseError::Store(StoreError::Busy(_))) => Tried::Later,
        Err(ReleaseError::OutcomeUnknown { .. }) => Tried::Unknown,
        Err(ReleaseError::NotNoted { source, .. }) => {
            tracing::error!(%id, error = %source, "a released message cannot be marked so; it is tried again");
            Tried::NotNoted
        }
        Err(ReleaseError::NothingSent(_)) => Tried::Over(Some(SecondMail::Failed)),
        Err(ReleaseError::Store(error)) => unreadable(id, &error),
    }
}

/// Something of it cannot be read or written.
fn unreadable(id: QuarantineId, error: &StoreError) -> Tried {
    match error {
        // Expired, or removed by hand; or somebody has decided.
        StoreError::NotFound(_) | StoreError::State { .. } => Tried::Over(None),
        StoreError::Damaged { .. } => {
            tracing::warn!(%id, %error, "a held message that was opened cannot be released");
            Tried::Over(Some(SecondMail::Failed))
        }
        error => {
            tracing::warn!(%id, %error, "a held message that was opened is not released now; it is tried again");
            Tried::Later
        }
    }
}

/// It stays held, and that is written.
fn give_up(quarantine: &Quarantine, id: QuarantineId, why: &str, result: SecondMail) -> Tried {
    tracing::warn!(%id, "a held message that was opened stays held: {why}");
    match quarantine.stays_held(id, why) {
        Ok(()) => Tried::Over(Some(result)),
        Err(error) => unreadable(id, &error),
    }
}

/// Whether the rules in force let it go to all whose copies are held; they may have changed since it was opened.
fn may_go(entry: &Entry, config: &Config) -> bool {
    let second = &config.second_mail;
    if second.window.is_zero() || second.held == Opened::Keep {
        return false;
    }
    let Some(facts) = entry.facts() else { return false };
    policy::decide_each(&facts, &entry.held, &config.policy, Timestamp::now()).iter().all(passes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_wait_longer_and_longer_and_are_not_tried_twice_at_once() {
        let (mut releases, begun) = (Releases::default(), Moment::now());
        let id = QuarantineId::new(Timestamp::now());
        assert!(releases.add(id) && releases.add(id));
        let mut now = Moment::now();
        let mut waits = Vec::new();
        for _ in 0..6 {
            assert_eq!(releases.start(now).len(), 1);
            assert!(releases.start(now).is_empty(), "it runs");
            releases.ended(id, &Tried::Later, now);
            let at = releases.all[&id].at.unwrap();
            waits.push(at.duration_since(now).as_secs());
            assert!(releases.start(at - Duration::from_millis(1)).is_empty());
            now = at;
        }
        assert_eq!(waits, [2, 8, 32, 128, 300, 300]);
        releases.start(now);
        releases.ended(id, &Tried::Over(None), begun);
        assert!(releases.all.is_empty() && releases.running == 0);
    }

    #[test]
    fn a_next_hop_that_is_away_does_not_fill_the_memory() {
        let mut releases = Releases::default();
        let added = (0..MAX_RELEASES + 10).filter(|_| releases.add(QuarantineId::new(Timestamp::now()))).count();
        assert_eq!((added, releases.all.len()), (MAX_RELEASES, MAX_RELEASES));
        assert_eq!(releases.start(Moment::now()).len(), AT_ONCE);
        assert!(releases.start(Moment::now()).is_empty());
    }
}
