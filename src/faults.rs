//! Which content the scanner failed on, and how often: the third failure holds a message, so that
//! none is deferred for ever.
//!
//! Content is what stands behind the header: an MTA that tries again sends the same body under new trace
//! fields.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::finding;
use crate::message::Message;
use crate::scan::{Hash, Report};

/// Failures on the same content after which it is held.
const MAX_FAILURES: u32 = 3;
/// Contents remembered. 10,000 hashes are under 1 MiB; the oldest go first.
const MAX_REMEMBERED: usize = 10_000;
/// How long a failure counts: by then, an MTA that tries again has done so some ten times.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);
/// Octets hashed at once.
const PIECE: u64 = 1 << 20;

/// A bounded memory of failures.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    failures: HashMap<Hash, Failures>,
    order: VecDeque<Hash>,
}

#[derive(Debug)]
struct Failures {
    count: u32,
    /// Octets of the content: most messages need not be hashed to know that they are not this one.
    size: u64,
    last: Instant,
}

/// The content of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    hash: Hash,
    size: u64,
}

impl Content {
    /// What stands behind `head` octets of header; if there is nothing, the header.
    ///
    /// # Errors
    /// A spooled message cannot be read back.
    pub fn of(message: &Message, head: u64) -> io::Result<Self> {
        let start = if head < message.size() { head } else { 0 };
        let (mut at, mut hash) = (start, Sha256::new());
        while at < message.size() {
            let piece = message.read(at..at.saturating_add(PIECE))?;
            hash.update(&piece);
            at = at.saturating_add(piece.len() as u64);
        }
        Ok(Self { hash: hash.finalize().into(), size: message.size().saturating_sub(start) })
    }
}

impl Faults {
    /// Whether a scan failed.
    pub fn is_one(report: &Report) -> bool {
        report.findings.iter().any(|finding| finding.id == finding::SCAN_FAULT)
    }

    /// Counts a failure. True from the third on the same content on.
    pub fn count(&self, content: Content, now: Instant) -> bool {
        self.memory().count(content, now) >= MAX_FAILURES
    }

    /// Whether some content of this size failed so often that it is held: only then is it worth a hash.
    pub fn knows_size(&self, size: u64) -> bool {
        self.memory().failures.values().any(|failures| failures.size == size && failures.count >= MAX_FAILURES)
    }

    /// Whether this content failed so often that it is held unseen.
    pub fn knows(&self, content: Content, now: Instant) -> bool {
        let memory = self.memory();
        let failures = memory.failures.get(&content.hash);
        failures.is_some_and(|failures| failures.count >= MAX_FAILURES && !failures.is_over(now))
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failures {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) > REMEMBERED
    }
}

impl Memory {
    fn count(&mut self, content: Content, now: Instant) -> u32 {
        if self.failures.get(&content.hash).is_some_and(|failures| failures.is_over(now)) {
            self.failures.remove(&content.hash);
            self.order.retain(|hash| *hash != content.hash);
        }
        if !self.failures.contains_key(&content.hash) {
            if self.order.len() >= MAX_REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.failures.remove(&oldest);
            }
            self.order.push_back(content.hash);
        }
        let new = Failures { count: 0, size: content.size, last: now };
        let failures = self.failures.entry(content.hash).or_insert(new);
        failures.count = failures.count.saturating_add(1);
        failures.last = now;
        failures.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::{Input, fault};

    fn content(text: &str) -> Content {
        Content::of(&Message::from_bytes(text.to_owned()), 0).unwrap()
    }

    #[test]
    fn the_third_failure_on_the_same_content_is_said() {
        let (faults, now) = (Faults::default(), Instant::now());
        for (text, expected) in [("a", false), ("b", false), ("a", false), ("a", true), ("b", false), ("a", true)] {
            assert_eq!(faults.count(content(text), now), expected, "{text}");
        }
        assert!(Faults::is_one(&fault(Input::message("x"), "zip", None)));
        assert!(!Faults::is_one(&Report::default()));
    }

    #[test]
    fn what_failed_three_times_is_known_for_a_day() {
        let (faults, now) = (Faults::default(), Instant::now());
        faults.count(content("a"), now);
        faults.count(content("a"), now);
        assert!(!faults.knows_size(1) && !faults.knows(content("a"), now));
        faults.count(content("a"), now);
        assert!(faults.knows_size(1) && !faults.knows_size(2));
        assert!(faults.knows(content("a"), now + REMEMBERED) && !faults.knows(content("b"), now));
        let later = now + REMEMBERED + Duration::from_secs(1);
        assert!(!faults.knows(content("a"), later));
        assert!(!faults.count(content("a"), later), "it begins anew");
    }

    #[test]
    fn trace_fields_do_not_make_other_content() {
        let of = |text: &str, head| Content::of(&Message::from_bytes(text.to_owned()), head).unwrap();
        assert_eq!(of("Received: 1\r\n\r\nbody", 15), of("Received: 22\r\n\r\nbody", 16));
        assert_ne!(of("a: 1\r\n\r\n", 8), of("a: 2\r\n\r\n", 8));
    }

    #[test]
    fn the_memory_is_bounded() {
        let (faults, now) = (Faults::default(), Instant::now());
        for n in 0..MAX_REMEMBERED * 2 {
            faults.count(content(&n.to_string()), now);
        }
        let memory = faults.0.into_inner().unwrap();
        assert_eq!((memory.failures.len(), memory.order.len()), (MAX_REMEMBERED, MAX_REMEMBERED));
    }
}
