//! What would change a verdict: which of its reasons carry it, and what the admin can do about it.

use std::io::{self, Write};

use jiff::Timestamp;

use crate::finding::{ALL, Category};
use crate::policy::allow::{Allow, forgive};
use crate::policy::rule::Fingerprint;
use crate::scan::{PartReport, Report};
use crate::verdict::{Level, Verdict, judge};

/// Writes what would change the verdict of a report.
pub(super) fn write(report: &Report, verdict: &Verdict, sender: &str, out: &mut dyn Write) -> io::Result<()> {
    if verdict.level < Level::Suspicious {
        return Ok(());
    }
    writeln!(out, "\nWhat would change the verdict")?;
    let mut carried = false;
    for category in categories() {
        let mut without = report.clone();
        without.findings.retain(|finding| finding.id.category != category);
        let level = judge(&without).level;
        if level < verdict.level {
            carried = true;
            writeln!(out, "  without any {:<12} it would be {}", category.name(), level.name())?;
        }
    }
    if !carried {
        writeln!(out, "  no single kind of finding: several things say so")?;
    }
    exceptions(report, verdict, sender, out)
}

fn categories() -> Vec<Category> {
    let mut categories: Vec<Category> = ALL.iter().map(|id| id.category).collect();
    categories.sort_unstable();
    categories.dedup();
    categories
}

/// The exception that would let the worst parts through, ready to be pasted; and what it would not change.
fn exceptions(report: &Report, verdict: &Verdict, sender: &str, out: &mut dyn Write) -> io::Result<()> {
    let worst = |part: &&PartReport| verdict.parts.contains(&part.document);
    let codes: Vec<&str> =
        report.parts.iter().filter(worst).filter_map(|part| part.code_fingerprint.as_deref()).collect();
    let hashes: Vec<&str> = report
        .parts
        .iter()
        .filter(|part| verdict.parts.contains(&part.path) && !part.sha256.is_empty())
        .map(|part| part.sha256.as_str())
        .collect();
    for (key, digits) in [("code_fingerprint", codes), ("sha256", hashes)] {
        let wanted: Vec<Fingerprint> = digits.iter().filter_map(|digits| Fingerprint::parse(digits)).collect();
        if wanted.is_empty() {
            continue;
        }
        let (code_fingerprint, sha256) = if key == "sha256" { (Vec::new(), wanted) } else { (wanted, Vec::new()) };
        let (name, line, until) = ("approved".to_owned(), None, None);
        let (own, finding) = (Vec::new(), Vec::new());
        let allow = Allow { name, line, code_fingerprint, sha256, sender: own, finding, until };
        let level = judge(&forgive(&[allow], report, sender, Timestamp::now()).report).level;
        if level == verdict.level {
            continue;
        }
        let list: Vec<String> = digits.iter().map(|digits| format!("\"{digits}\"")).collect();
        writeln!(out, "\nIf you know it and want it, this in the configuration makes it {}:", level.name())?;
        writeln!(out, "  [[allow]]\n  name = \"…\"\n  {key} = [{}]\n  until = …\n  reason = \"…\"", list.join(", "))?;
        return Ok(());
    }
    writeln!(out, "\nNo exception would change it: what hides, and what is known as bad, cannot be allowed.")
}
