//! Conditions about parts, and the principle behind them: **what holds a message back needs one
//! part, what lets it through must answer for every part.** Otherwise a sender would add an
//! innocent attachment that fits an exception, and the bad one would travel along.
//!
//! - `attachment_type`, `attachment_name` and `code_fingerprint` of one rule mean the same part (the code of a
//!   document is that of the macro project inside it); `finding` means a finding in that part or in anything
//!   inside it.
//! - A rule that holds back (`strip`, `quarantine`, `redirect`, `reject`, `defer`, `discard`) applies if one such part exists that
//!   no exception covers. If it asks for no part, a part exception counts only if it covers every
//!   part that has something against it: a finding of severity low or more.
//! - A rule that lets through (`pass`) applies if one such part exists, every part that has
//!   something against it is such a part (or inside one; and a finding that is asked for is in the
//!   same document), and no part at all fits an exception.
//! - `tag` lets through as well, but below `suspicious` and with everything inspected nothing is
//!   let through that would be held otherwise: there it is only a mark, and one part is enough.
//!
//! Names of members that stay closed ([`PartReport::closed`]) are names of their container where that keeps a message
//! from being let through as it is, in `when` of a rule that holds back and in `not` of the others, and never where it would help.
//!
//! The message itself and its text (plain or HTML, without a file name) are no attachments.

use std::collections::HashMap;

use crate::filetype::FileType;
use crate::finding::{Finding, Severity};
use crate::part::{Origin, PartPath};
use crate::policy::decision::Action;
use crate::policy::facts::Facts;
use crate::policy::glob::{self, Glob};
use crate::policy::rule::{Fingerprint, Rule, When, list};
use crate::scan::PartReport;
use crate::verdict::Level;

/// What rules about parts look at, prepared once per message.
pub struct Parts<'a> {
    facts: &'a Facts,
    attachments: Vec<Attachment<'a>>,
    /// Parts with something against them.
    charged: Vec<&'a PartPath>,
    /// The document of each part ([`PartReport::document`]).
    documents: HashMap<&'a PartPath, &'a PartPath>,
}

struct Attachment<'a> {
    path: &'a PartPath,
    types: &'a [FileType],
    /// [`folded`].
    names: Vec<String>,
    /// The same, of its members that stay closed.
    closed: Vec<String>,
    /// Its macro code; of a document, also that of what is embedded in it.
    codes: Vec<&'a str>,
}

impl<'a> Parts<'a> {
    /// The parts of a message.
    pub fn new(facts: &'a Facts) -> Self {
        let mut codes: HashMap<&PartPath, Vec<&str>> = HashMap::new();
        for part in &facts.parts {
            if let Some(code) = part.code_fingerprint.as_deref() {
                codes.entry(&part.path).or_default().push(code);
                codes.entry(&part.document).or_default().push(code);
            }
        }
        let attachment = |part| Attachment::new(part, &codes);
        let attachments = facts.parts.iter().filter(|part| is_attachment(part)).map(attachment).collect();
        let mut charged: Vec<_> =
            facts.findings.iter().filter(|f| f.id.severity >= Severity::Low).map(|f| &f.part).collect();
        charged.sort();
        charged.dedup();
        let documents = facts.parts.iter().map(|part| (&part.path, &part.document)).collect();
        Self { facts, attachments, charged, documents }
    }

    fn document<'p>(&self, part: &'p PartPath) -> &'p PartPath
    where
        'a: 'p,
    {
        self.documents.get(part).copied().unwrap_or(part)
    }

    /// Whether the rule's conditions about parts allow it.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn allow(&self, rule: &Rule) -> Result<(), String> {
        if !rule.when.asks_for_parts() && !rule.not.asks_for_parts() {
            return Ok(());
        }
        let (when, not) = self.looked(rule);
        match rule.action {
            Action::Pass => self.release(&when, &not, true),
            Action::Tag => self.release(&when, &not, self.would_be_held()),
            _ => self.hold(&when, &not),
        }
    }

    /// The conditions of a rule.
    fn looked<'r>(&'r self, rule: &'r Rule) -> (Looked<'r>, Looked<'r>) {
        let (when, not) = match rule.action {
            Action::Pass | Action::Tag => (Closed::DoNot, Closed::Count),
            Action::Strip { .. }
            | Action::Quarantine
            | Action::Redirect { .. }
            | Action::Reject { .. }
            | Action::Defer
            | Action::Discard => (Closed::Count, Closed::DoNot),
        };
        (Looked::new(self, &rule.when, when), Looked::new(self, &rule.not, not))
    }

    /// The parts that a rule which holds back means; none if it asks for no part.
    pub fn meant(&self, rule: &Rule) -> Vec<PartPath> {
        if !rule.when.asks_for_parts() {
            return Vec::new();
        }
        let (when, not) = self.looked(rule);
        match &when.findings {
            Some(findings) => findings
                .iter()
                .filter(|finding| when.covers(&finding.part) && !not.excepts_finding(finding))
                .map(|finding| finding.part.clone())
                .collect(),
            None => when.attachments().map(|a| a.path).filter(|path| !not.any_at(path)).cloned().collect(),
        }
    }

    /// For a rule that holds back.
    fn hold(&self, when: &Looked<'_>, not: &Looked<'_>) -> Result<(), String> {
        if when.is_empty() {
            let (excepted, which) = match self.charged.as_slice() {
                [] => (not.holds_anywhere(), "a part"),
                charged => (charged.iter().all(|part| not.any_at(part)), "every part with findings"),
            };
            return if excepted { Err(format!("excepted, since {which} has {}", not.any_words())) } else { Ok(()) };
        }
        if !when.has_witness() {
            return Err(format!("no attachment with {}", when.words()));
        }
        // Every part that the conditions mean is looked at: one without an exception is enough.
        let stands = match &when.findings {
            Some(findings) => findings
                .iter()
                .filter(|finding| when.covers(&finding.part))
                .any(|finding| !not.excepts_finding(finding)),
            None => when.attachments().any(|attachment| !not.any_at(attachment.path)),
        };
        if stands { Ok(()) } else { Err(format!("excepted, since every such part has {}", not.any_words())) }
    }

    /// For a rule that lets through.
    fn release(&self, when: &Looked<'_>, not: &Looked<'_>, every: bool) -> Result<(), String> {
        if not.holds_anywhere() {
            return Err(format!("excepted, since a part has {}", not.any_words()));
        }
        if when.is_empty() {
            return Ok(());
        }
        if !when.has_witness() {
            return Err(format!("no attachment with {}", when.words()));
        }
        match self.charged.iter().find(|part| every && !when.all_at(part)) {
            Some(part) if **part == PartPath::root() => {
                Err(format!("the message itself has findings that the rule does not cover ({})", when.words()))
            }
            Some(part) => Err(format!("part {part} has findings too, but not {}", when.words())),
            None => Ok(()),
        }
    }

    /// Whether the built-in rules would not deliver it as it is.
    fn would_be_held(&self) -> bool {
        self.facts.verdict >= Level::Suspicious || !self.facts.complete
    }
}

impl<'a> Attachment<'a> {
    fn new(part: &'a PartReport, codes: &HashMap<&PartPath, Vec<&'a str>>) -> Self {
        let codes = codes.get(&part.path).cloned().unwrap_or_default();
        let (names, closed) = (folded(&part.names), folded(&part.closed));
        Self { path: &part.path, types: &part.types, names, closed, codes }
    }

    fn has_code(&self, wanted: &[Fingerprint]) -> bool {
        wanted.iter().any(|wanted| self.codes.contains(&wanted.as_str()))
    }

    fn has_name(&self, globs: &[Glob], closed: Closed) -> bool {
        let closed = self.closed.iter().filter(|_| closed == Closed::Count);
        self.names.iter().chain(closed).any(|name| globs.iter().any(|glob| glob.matches(name)))
    }
}

/// Whether the names of members that stay closed count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closed {
    Count,
    DoNot,
}

/// Names as patterns see them: each also as Windows does, without dots and spaces at the end.
fn folded(names: &[String]) -> Vec<String> {
    let mut all = Vec::new();
    for text in names {
        let folded = glob::name(text);
        let as_windows = folded.trim_end_matches(|c: char| c == '.' || c.is_whitespace());
        if as_windows != folded {
            all.push(as_windows.to_owned());
        }
        all.push(folded);
    }
    all
}

fn is_attachment(part: &PartReport) -> bool {
    let is_text = |t: &FileType| matches!(t, FileType::Text | FileType::Html | FileType::Data);
    match part.origin {
        Origin::Root => false,
        Origin::Body => !part.names.is_empty() || !part.types.iter().all(is_text),
        Origin::Attachment | Origin::Member | Origin::Embedded => true,
    }
}

/// The part conditions of a `when` or `not`, held against all parts at once. `None`: not asked.
struct Looked<'a> {
    when: &'a When,
    closed: Closed,
    parts: &'a Parts<'a>,
    /// Findings that match.
    findings: Option<Vec<&'a Finding>>,
    /// The documents they are in.
    found_in: Places<'a>,
    /// Attachments whose type matches, whose name matches, whose code matches, and all of it (as far as asked).
    typed: Option<Places<'a>>,
    named: Option<Places<'a>>,
    coded: Option<Places<'a>>,
    meant: Option<Places<'a>>,
}

impl<'a> Looked<'a> {
    fn new(parts: &'a Parts<'a>, when: &'a When, closed: Closed) -> Self {
        let findings = (!when.finding.is_empty()).then(|| {
            let wanted = |finding: &&Finding| when.finding.iter().any(|glob| glob.matches(finding.id));
            parts.facts.findings.iter().filter(wanted).collect::<Vec<_>>()
        });
        let places = |asked: bool, wanted: &dyn Fn(&Attachment<'a>) -> bool| {
            asked.then(|| Places::new(parts.attachments.iter().filter(|a| wanted(a)).map(|a| a.path)))
        };
        let (types, names) = (!when.attachment_type.is_empty(), !when.attachment_name.is_empty());
        let codes = !when.code_fingerprint.is_empty();
        Self {
            when,
            closed,
            parts,
            found_in: Places::new(findings.iter().flatten().map(|finding| parts.document(&finding.part))),
            findings,
            typed: places(types, &|attachment| has_type(when, attachment)),
            named: places(names, &|attachment| attachment.has_name(&when.attachment_name, closed)),
            coded: places(codes, &|attachment| attachment.has_code(&when.code_fingerprint)),
            meant: places(types || names || codes, &|attachment| is_meant(when, closed, attachment)),
        }
    }

    fn is_empty(&self) -> bool {
        !self.when.asks_for_parts()
    }

    /// The attachments whose type, name and code match.
    fn attachments(&self) -> impl Iterator<Item = &'a Attachment<'a>> {
        self.parts.attachments.iter().filter(|attachment| is_meant(self.when, self.closed, attachment))
    }

    /// Whether `part` is, or is inside, an attachment of the type, name and code asked for.
    fn covers(&self, part: &PartPath) -> bool {
        self.meant.as_ref().is_none_or(|places| places.around(part))
    }

    /// Whether some part fulfils all that is asked.
    fn has_witness(&self) -> bool {
        match &self.findings {
            Some(findings) => findings.iter().any(|finding| self.covers(&finding.part)),
            None => self.meant.as_ref().is_some_and(|places| !places.0.is_empty()),
        }
    }

    /// Whether all that is asked holds for `part`.
    fn all_at(&self, part: &PartPath) -> bool {
        self.covers(part) && (self.findings.is_none() || self.is_in_its_document(part))
    }

    /// Whether anything that is asked holds for `part`.
    fn any_at(&self, part: &PartPath) -> bool {
        self.is_in_its_document(part) || self.is_described(part)
    }

    /// Whether anything that is asked holds for this finding.
    fn excepts_finding(&self, finding: &Finding) -> bool {
        self.when.finding.iter().any(|glob| glob.matches(finding.id)) || self.is_described(&finding.part)
    }

    /// Whether a finding that is asked for is in the same document. Not anywhere inside: a finding in
    /// one member must not answer for what was found in the archive, or in the whole message.
    fn is_in_its_document(&self, part: &PartPath) -> bool {
        self.found_in.contains(self.parts.document(part))
    }

    fn is_described(&self, part: &PartPath) -> bool {
        [&self.typed, &self.named, &self.coded].into_iter().flatten().any(|places| places.around(part))
    }

    /// Whether anything that is asked holds for any part.
    fn holds_anywhere(&self) -> bool {
        let places = [Some(&self.found_in), self.typed.as_ref(), self.named.as_ref(), self.coded.as_ref()];
        places.into_iter().flatten().any(|places| !places.0.is_empty())
    }

    /// What must hold together, in words.
    fn words(&self) -> String {
        self.joined(" and ")
    }

    /// Of what any is enough, in words.
    fn any_words(&self) -> String {
        self.joined(" or ")
    }

    fn joined(&self, and: &str) -> String {
        let When { finding, attachment_type, attachment_name, code_fingerprint, .. } = self.when;
        let mut words = Vec::new();
        if !attachment_name.is_empty() {
            words.push(format!("name {}", list(attachment_name)));
        }
        if !attachment_type.is_empty() {
            words.push(format!("type {}", list(attachment_type)));
        }
        if !code_fingerprint.is_empty() {
            words.push(format!("macro code {}", list(code_fingerprint)));
        }
        if !finding.is_empty() {
            words.push(format!("finding {}", list(finding)));
        }
        words.join(and)
    }
}

fn has_type(when: &When, attachment: &Attachment<'_>) -> bool {
    when.attachment_type.iter().any(|glob| glob.matches(attachment.types))
}

fn is_meant(when: &When, closed: Closed, attachment: &Attachment<'_>) -> bool {
    (when.attachment_type.is_empty() || has_type(when, attachment))
        && (when.attachment_name.is_empty() || attachment.has_name(&when.attachment_name, closed))
        && (when.code_fingerprint.is_empty() || attachment.has_code(&when.code_fingerprint))
}

/// Sorted places of a message: asking is a binary search, however many parts a sender makes.
struct Places<'a>(Vec<&'a PartPath>);

impl<'a> Places<'a> {
    fn new(paths: impl Iterator<Item = &'a PartPath>) -> Self {
        let mut paths: Vec<_> = paths.collect();
        paths.sort();
        paths.dedup();
        Self(paths)
    }

    /// Whether `part` is one of the places.
    fn contains(&self, part: &PartPath) -> bool {
        self.0.binary_search(&part).is_ok()
    }

    /// Whether one of the places is `part` or around it.
    fn around(&self, part: &PartPath) -> bool {
        part.with_ancestors().any(|path| self.contains(&path))
    }
}
