//! Which content the scanner failed on, and how often: the third failure holds a message, so that
//! none is deferred for ever.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::finding::{self, Finding};
use crate::part::PartPath;
use crate::scan::Report;

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
    /// Counts the failure if there was one, and adds `scan-fault-repeated` from the third on.
    pub fn note(&self, sha256: &str, report: &mut Report) {
        if !report.findings.iter().any(|finding| finding.id == finding::SCAN_FAULT) {
            return;
        }
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner).count(sha256);
        if failures >= MAX_FAILURES {
            report.findings.push(Finding {
                id: finding::SCAN_FAULT_REPEATED,
                part: report.parts.first().map_or_else(PartPath::root, |part| part.path.clone()),
                location: String::new(),
                evidence: failures.to_string(),
            });
        }
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

    fn failed() -> Report {
        let fault = Finding {
            id: finding::SCAN_FAULT,
            part: PartPath::root(),
            location: String::new(),
            evidence: "zip".to_owned(),
        };
        Report { findings: vec![fault], ..Report::default() }
    }

    fn repeated(report: &Report) -> bool {
        report.findings.iter().any(|finding| finding.id == finding::SCAN_FAULT_REPEATED)
    }

    #[test]
    fn the_third_failure_on_the_same_content_is_said() {
        let faults = Faults::default();
        for (hash, expected) in [("a", false), ("b", false), ("a", false), ("a", true), ("b", false), ("a", true)] {
            let mut report = failed();
            faults.note(hash, &mut report);
            assert_eq!(repeated(&report), expected, "{hash}");
        }
        let mut good = Report::default();
        faults.note("a", &mut good);
        assert_eq!(good, Report::default());
    }

    #[test]
    fn the_memory_is_bounded() {
        let faults = Faults::default();
        for n in 0..MAX_REMEMBERED * 2 {
            faults.note(&n.to_string(), &mut failed());
        }
        let memory = faults.0.into_inner().unwrap();
        assert_eq!((memory.failures.len(), memory.order.len()), (MAX_REMEMBERED, MAX_REMEMBERED));
    }
}
