//! The parts as a tree, with what was seen in each.

use std::io::{self, Write};

use crate::cli::explain::Language;
use crate::finding::Finding;
use crate::part::PartPath;
use crate::scan::{PartReport, Report};
use crate::terminal::{defanged, escaped};
use crate::verdict::says;

/// Longest name and piece of evidence, in columns.
const NAME: usize = 100;
const CLAUSE: usize = 300;

/// Writes every part below the one it was found in, and its findings with their places.
pub(super) fn write(report: &Report, language: Language, out: &mut dyn Write) -> io::Result<()> {
    // The parts are in the order of their paths: whatever is inside of one follows it.
    for (nth, part) in report.parts.iter().enumerate() {
        let rest = report.parts.get(nth.saturating_add(1)..).unwrap_or_default();
        let indent = indent(&part.path, rest);
        let branch = match depth(&part.path) {
            0 => "",
            _ if has_sibling(&part.path, rest) => "├─ ",
            _ => "└─ ",
        };
        writeln!(out, "{indent}{branch}{}", described(part))?;
        let below = below(&part.path, rest, &indent);
        if let Some(code) = &part.code_fingerprint {
            writeln!(out, "{below}macro code {code}")?;
        }
        for finding in report.findings.iter().filter(|finding| finding.part == part.path) {
            writeln!(out, "{below}{}", said(finding, language))?;
        }
    }
    Ok(())
}

fn described(part: &PartReport) -> String {
    let name = part.names.first().filter(|name| !name.is_empty());
    let name = name.map_or_else(|| format!("part {}", part.path), |name| escaped(name, NAME));
    let name = if depth(&part.path) == 0 { "message".to_owned() } else { name };
    let kinds: Vec<&str> = part.types.iter().map(|kind| kind.name()).collect();
    let hash = if part.sha256.is_empty() { String::new() } else { format!("  sha256 {}", part.sha256) };
    format!("{name}  {}  {} bytes{hash}", kinds.join("+"), part.size)
}

/// `high  vba-autoexec  runs by itself when opened (AutoOpen)  at ThisDocument:4`
fn said(finding: &Finding, language: Language) -> String {
    let clause = says(finding);
    let clause = match language {
        Language::En => clause.en,
        Language::Ja => clause.ja,
    };
    let place = if finding.location.is_empty() { String::new() } else { format!("  [{}]", finding.location) };
    let (id, severity) = (finding.id.as_str(), finding.id.severity.name());
    let clause = escaped(&defanged(&clause), CLAUSE);
    format!("{severity:<8} {id}: {clause}{}", escaped(&place, NAME))
}

fn depth(path: &PartPath) -> usize {
    path.with_ancestors().count().saturating_sub(1)
}

fn parent(path: &PartPath) -> Option<PartPath> {
    path.with_ancestors().nth(1)
}

/// Whether another part of the same parent follows.
fn has_sibling(path: &PartPath, rest: &[PartReport]) -> bool {
    let own = parent(path);
    rest.iter().any(|other| own.is_some() && parent(&other.path) == own)
}

/// What stands before the branch of a part: a line for each part around it that has more to come.
fn indent(path: &PartPath, rest: &[PartReport]) -> String {
    let mut around: Vec<PartPath> = path.with_ancestors().skip(1).collect();
    // The outermost has no branch of its own.
    around.pop();
    around.iter().rev().map(|around| if has_sibling(around, rest) { "│  " } else { "   " }).collect()
}

/// What stands before the lines that belong to a part.
fn below(path: &PartPath, rest: &[PartReport], indent: &str) -> String {
    let own = match depth(path) {
        0 => "",
        _ if has_sibling(path, rest) => "│  ",
        _ => "   ",
    };
    let children = rest.iter().any(|other| parent(&other.path).as_ref() == Some(path));
    format!("{indent}{own}{}", if children { "│    " } else { "     " })
}
