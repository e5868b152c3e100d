//! `[[allow]]`: exceptions for what is known. Not a rule that lets something through, but findings that no
//! longer count, so that everything else about the same message still does.
//!
//! An exception names a part, by its macro code or by its hash, and forgives what that part is and does: its
//! triggers, capabilities, lures and its kind. Never what it hides, what could not be inspected, what is known
//! as bad, and nothing about any other part. Facts (severity info) stay: an approved workbook is still `active`.

use std::borrow::Cow;

use jiff::Timestamp;

use crate::finding::{Category, Finding, FindingId, Severity};
use crate::policy::rule::{AddressGlob, FindingGlob, Fingerprint};
use crate::scan::{PartReport, Report};

/// One exception.
#[derive(Clone, Debug, PartialEq)]
pub struct Allow {
    /// Unique; it stands in logs.
    pub name: String,
    /// Where it stands in the configuration file.
    pub line: Option<usize>,
    /// Macro code ([`crate::vba::fingerprint`]): findings of the part that has it are forgiven.
    pub code_fingerprint: Vec<Fingerprint>,
    /// SHA-256 of a file: findings of it and of everything inside it are forgiven.
    pub sha256: Vec<Fingerprint>,
    /// MAIL FROM must be one of these; empty: any.
    pub sender: Vec<AddressGlob>,
    /// Only these findings; empty: all that can be forgiven.
    pub finding: Vec<FindingGlob>,
    /// From then on it does not count.
    pub until: Option<Timestamp>,
}

/// A report without what is forgiven, and by whom.
#[derive(Debug)]
pub struct Forgiven<'a> {
    /// What is left.
    pub report: Cow<'a, Report>,
    /// The names of the exceptions that forgave something, each once.
    pub by: Vec<String>,
}

/// Takes out of a report what the exceptions in force forgive. `sender` is MAIL FROM as
/// [`crate::envelope::Path::address`] gives it.
pub fn forgive<'a>(allows: &[Allow], report: &'a Report, sender: &str, now: Timestamp) -> Forgiven<'a> {
    let in_force: Vec<&Allow> = allows.iter().filter(|allow| allow.is_in_force(sender, now)).collect();
    let mut by = Vec::new();
    let mut kept = Vec::new();
    for finding in &report.findings {
        match in_force.iter().find(|allow| allow.forgives(finding, report)) {
            Some(allow) if by.contains(&allow.name) => {}
            Some(allow) => by.push(allow.name.clone()),
            None => kept.push(finding),
        }
    }
    if by.is_empty() {
        return Forgiven { report: Cow::Borrowed(report), by };
    }
    let findings = kept.into_iter().cloned().collect();
    let Report { parts, asks, enclosures, indicators, told, findings: _ } = report;
    let report = Report {
        findings,
        parts: parts.clone(),
        asks: asks.clone(),
        enclosures: enclosures.clone(),
        indicators: indicators.clone(),
        told: told.clone(),
    };
    Forgiven { report: Cow::Owned(report), by }
}

/// Whether an exception may forgive this at all.
pub fn is_forgivable(id: FindingId) -> bool {
    match id.category {
        Category::Trigger | Category::Capability | Category::Lure | Category::Carrier => {
            (Severity::Low..Severity::Critical).contains(&id.severity)
        }
        Category::Concealment | Category::Uninspected | Category::Reputation => false,
    }
}

impl Allow {
    fn is_in_force(&self, sender: &str, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
            && (self.sender.is_empty() || self.sender.iter().any(|glob| glob.matches(sender)))
    }

    fn forgives(&self, finding: &Finding, report: &Report) -> bool {
        is_forgivable(finding.id)
            && (self.finding.is_empty() || self.finding.iter().any(|glob| glob.matches(finding.id)))
            && report.parts.iter().any(|part| self.names(part, finding))
    }

    /// Whether the finding is in this part, and the exception names it. Code is only the part that it stands in;
    /// a hash covers everything inside.
    fn names(&self, part: &PartReport, finding: &Finding) -> bool {
        let has = |list: &[Fingerprint], digits: &str| list.iter().any(|wanted| wanted.as_str() == digits);
        let is_code = part.code_fingerprint.as_deref().is_some_and(|code| has(&self.code_fingerprint, code));
        (is_code && finding.part == part.path)
            || (has(&self.sha256, &part.sha256) && finding.part.is_within(&part.path))
    }
}
