//! Which content the scanner failed on, and how often: the third failure holds a message, so that
//! none is deferred for ever.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::finding;
use crate::scan::{Report, sha256};

/// Failures on the same content after which it is held.
const MAX_FAILURES: u32 = 3;
/// Contents remembered. 10,000 hashes are under 1 MiB; the oldest go first.
const MAX_REMEMBERED: usize = 10_000;

/// A bounded memory of failures, by the hash of the whole message.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    failures: HashMap<String, u32>,
    order: VecDeque<String>,
}

impl Faults {
    /// Counts the failure if there was one. True from the third on the same content on.
    pub fn repeated(&self, message: &[u8], report: &Report) -> bool {
        if !report.findings.iter().any(|finding| finding.id == finding::SCAN_FAULT) {
            return false;
        }
        let hash = sha256(message);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).count(&hash) >= MAX_FAILURES
    }
}

impl Memory {
    fn count(&mut self, sha256: &str) -> u32 {
        if !self.failures.contains_key(sha256) {
            if self.order.len() >= MAX_REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.failures.remove(&oldest);
            }
            self.order.push_back(sha256.to_owned());
        }
        let failures = self.failures.entry(sha256.to_owned()).or_insert(0);
        *failures = failures.saturating_add(1);
        *failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::{Input, fault};

    #[test]
    fn the_third_failure_on_the_same_content_is_said() {
        let faults = Faults::default();
        let failed = fault(Input::message("x"), "zip");
        for (hash, expected) in [("a", false), ("b", false), ("a", false), ("a", true), ("b", false), ("a", true)] {
            assert_eq!(faults.repeated(hash.as_bytes(), &failed), expected, "{hash}");
        }
        assert!(!faults.repeated(b"a", &Report::default()));
    }

    #[test]
    fn the_memory_is_bounded() {
        let faults = Faults::default();
        let failed = fault(Input::message("x"), "zip");
        for n in 0..MAX_REMEMBERED * 2 {
            faults.repeated(n.to_string().as_bytes(), &failed);
        }
        let memory = faults.0.into_inner().unwrap();
        assert_eq!((memory.failures.len(), memory.order.len()), (MAX_REMEMBERED, MAX_REMEMBERED));
    }
}
