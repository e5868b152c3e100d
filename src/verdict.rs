//! From findings to a level and a sentence.
//!
//! Findings are judged by document: a macro project, its form and the text around it are one
//! thing to the reader. Of each document four questions are asked (does it start by itself, what
//! can it do, does it hide, does it persuade), and `RULES` is the whole answer. What the mail's
//! own text says counts for every document with active content. The message is as bad as its
//! worst document.

mod explanation;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::explanation::{Explanation, escaped, says};
use crate::finding::{self, Category, Finding, FindingId, Reason, Severity};
use crate::part::PartPath;
use crate::scan::Report;

/// How bad it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing active.
    #[default]
    Clean,
    /// Active content without anything to hold against it.
    Active,
    /// Rarely honest.
    Suspicious,
    /// Not honest.
    Malicious,
}

impl Level {
    /// Every level, from best to worst.
    pub const ALL: [Level; 4] = [Level::Clean, Level::Active, Level::Suspicious, Level::Malicious];

    /// The name in rules, headers, metrics and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Level::Clean => "clean",
            Level::Active => "active",
            Level::Suspicious => "suspicious",
            Level::Malicious => "malicious",
        }
    }

    /// Finds a level by its name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The judgement of a message or file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Of the worst document.
    pub level: Level,
    /// Everything was looked into.
    pub complete: bool,
    /// Why not, if not; sorted, each once.
    pub reasons: Vec<Reason>,
    /// In sentences.
    pub explanation: Explanation,
    /// The documents at this level, in the order of their paths; none if it is clean.
    pub parts: Vec<PartPath>,
}

/// Judges what a scan has seen.
pub fn judge(report: &Report) -> Verdict {
    let documents = documents(report);
    let level = documents.iter().map(|document| document.level).max().unwrap_or_default();
    let mut reasons: Vec<Reason> = report.findings.iter().filter_map(|finding| finding.id.reason).collect();
    reasons.sort_unstable();
    reasons.dedup();
    let worst = documents.iter().filter(|document| document.level == level && level > Level::Clean);
    Verdict {
        level,
        complete: reasons.is_empty(),
        explanation: explanation::explain(report, &documents, level),
        parts: worst.map(|document| document.path.clone()).collect(),
        reasons,
    }
}

/// The level of every document that something was found in, in the order of their paths.
pub fn levels(report: &Report) -> Vec<(PartPath, Level)> {
    documents(report).into_iter().map(|document| (document.path, document.level)).collect()
}

/// What is to be said of the parts at `paths` and of everything inside them, without evidence: for
/// readers who should not be shown text that the sender chose. Empty if nothing was found there.
pub fn reason(report: &Report, paths: &[&PartPath]) -> Explanation {
    let inside = |path: &PartPath| paths.iter().any(|around| path.is_within(around));
    let documents: Vec<Document<'_>> = documents(report).into_iter().filter(|d| inside(&d.path)).collect();
    explanation::reason(report, &documents)
}

/// A level, and what makes it.
type Rule = (Level, fn(&Document<'_>) -> bool);

/// The model. The first rule that holds decides.
const RULES: &[Rule] = &[
    (Level::Malicious, |d| d.is_known_or_decisive()),
    (Level::Malicious, |d| d.starts_by_itself() && d.can_do_harm() && (d.hides() || d.persuades())),
    (Level::Malicious, |d| d.starts_by_itself() && d.executes() && d.downloads()),
    (Level::Malicious, |d| d.starts_by_itself() && d.feeds_an_interpreter()),
    (Level::Malicious, |d| d.has(finding::DOCUMENT_NEEDLESS_ENCRYPTION) && d.starts_at_all()),
    (Level::Suspicious, |d| d.starts_by_itself() && d.can_do_harm()),
    (Level::Suspicious, |d| d.executes() && d.downloads()),
    (Level::Suspicious, |d| d.is_active() && d.persuades()),
    (Level::Suspicious, |d| d.has_unreadable_code()),
    (Level::Suspicious, |d| d.is_active() && d.has(finding::DOCUMENT_NEEDLESS_ENCRYPTION)),
    (Level::Suspicious, |d| d.is_a_dangerous_carrier()),
    (Level::Active, |d| d.is_active()),
    (Level::Clean, |_| true),
];

/// A document and everything that was seen of it.
pub(crate) struct Document<'a> {
    path: PartPath,
    findings: Vec<&'a Finding>,
    /// The text of the mail asks to enable content.
    mail_persuades: bool,
    /// The text of the mail tells a password.
    mail_tells_password: bool,
    level: Level,
}

impl Document<'_> {
    fn is_known_or_decisive(&self) -> bool {
        self.findings.iter().any(|finding| finding.id.severity == Severity::Critical)
    }

    fn starts_by_itself(&self) -> bool {
        self.any(Category::Trigger, Severity::Medium)
    }

    /// Also by a procedure in which nothing harmful was seen: in a document that was kept from filters, that is not
    /// for want of a reason.
    fn starts_at_all(&self) -> bool {
        self.any(Category::Trigger, Severity::Info)
    }

    /// Writing files of no dangerous kind (low) is what workbooks do. What is loaded from the internet or asked
    /// of another program can do what it likes.
    fn can_do_harm(&self) -> bool {
        self.any(Category::Capability, Severity::Medium)
            || self.has(finding::REMOTE_TEMPLATE)
            || self.has(finding::DDE_SERVER)
            || self.has(finding::RTF_OBJECT_BROKEN)
    }

    fn executes(&self) -> bool {
        self.has(finding::VBA_RUN_PROGRAM) || self.has(finding::XLM_RUN_PROGRAM) || self.feeds_an_interpreter()
    }

    fn downloads(&self) -> bool {
        self.has(finding::VBA_DOWNLOAD) || self.has(finding::XLM_DOWNLOAD)
    }

    fn feeds_an_interpreter(&self) -> bool {
        self.has(finding::VBA_RUN_INTERPRETER) || self.has(finding::XLM_RUN_INTERPRETER)
    }

    /// Low ones (a wrong extension, an odd archive) are too common in honest mail to count.
    fn hides(&self) -> bool {
        self.any(Category::Concealment, Severity::Medium) || self.mail_tells_password
    }

    fn persuades(&self) -> bool {
        self.any(Category::Lure, Severity::Medium) || self.mail_persuades
    }

    /// Code without source shows neither what starts it nor what it does.
    fn has_unreadable_code(&self) -> bool {
        self.has(finding::VBA_NO_SOURCE)
    }

    /// Script, shortcut, program, disk image: mail rarely has a good reason for them.
    fn is_a_dangerous_carrier(&self) -> bool {
        self.any(Category::Carrier, Severity::High)
    }

    fn is_active(&self) -> bool {
        self.has(finding::VBA_MACROS)
            || self.has(finding::XLM_MACROS)
            || self.starts_by_itself()
            || self.can_do_harm()
            || self.any(Category::Carrier, Severity::Medium)
    }

    fn has(&self, id: FindingId) -> bool {
        self.findings.iter().any(|finding| finding.id == id)
    }

    fn any(&self, category: Category, least: Severity) -> bool {
        self.findings.iter().any(|finding| finding.id.category == category && finding.id.severity >= least)
    }
}

/// Findings of the mail's own text, which count for every document.
fn is_of_the_mail(finding: &Finding) -> bool {
    [finding::LURE_MAIL_TEXT, finding::PASSWORD_TOLD].contains(&finding.id)
}

/// The findings by document, each judged, in the order of their paths.
fn documents(report: &Report) -> Vec<Document<'_>> {
    let document_of: BTreeMap<&PartPath, &PartPath> =
        report.parts.iter().map(|part| (&part.path, &part.document)).collect();
    let mut by_document: BTreeMap<&PartPath, Vec<&Finding>> = BTreeMap::new();
    for finding in report.findings.iter().filter(|finding| !is_of_the_mail(finding)) {
        let path = document_of.get(&finding.part).copied().unwrap_or(&finding.part);
        by_document.entry(path).or_default().push(finding);
    }
    let seen = |id| report.findings.iter().any(|finding| finding.id == id);
    let (mail_persuades, mail_tells_password) = (seen(finding::LURE_MAIL_TEXT), seen(finding::PASSWORD_TOLD));
    let judged = by_document.into_iter().map(|(path, findings)| {
        let level = Level::Clean;
        let mut document = Document { path: path.clone(), findings, mail_persuades, mail_tells_password, level };
        document.level = RULES.iter().find(|(_, holds)| holds(&document)).map_or(Level::Clean, |(level, _)| *level);
        document
    });
    judged.collect()
}
