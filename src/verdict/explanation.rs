//! A verdict in sentences, English and Japanese: the strongest finding of each question, of the
//! worst document; then what the mail says; then what could not be looked into.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Document, Level, is_of_the_mail};
use crate::filetype::FileType;
use crate::finding::{self, Category, Finding, Severity};
use crate::hostile::is_hostile;
use crate::part::{Origin, PartPath};
use crate::scan::{PartReport, Report};

/// The same in two languages. Escaped: it may go into logs and headers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// English.
    pub en: String,
    /// Japanese.
    pub ja: String,
}

/// Longest name and evidence within a sentence, in characters: a sentence is read, not studied.
const MAX_NAME: usize = 80;
const MAX_CLAUSE: usize = 120;
/// Uninspected parts that get a sentence of their own.
const MAX_UNINSPECTED: usize = 3;

/// Explains the verdict.
pub(super) fn explain(report: &Report, documents: &[Document<'_>], level: Level) -> Explanation {
    let mut text = Text::default();
    // Of equally bad documents, the one of which most is known; then the first.
    let worst = documents.iter().rev().filter(|d| d.level == level).max_by_key(|d| clauses(d).len());
    match worst.filter(|_| level > Level::Clean) {
        Some(worst) => {
            text.sentence(&subject(report, &worst.path), &clauses(worst));
            let mail: Vec<&Finding> = report.findings.iter().filter(|finding| is_of_the_mail(finding)).collect();
            let mut said = Vec::new();
            for finding in mail {
                if !said.iter().any(|known: &&Finding| known.id == finding.id) {
                    said.push(finding);
                }
            }
            text.sentence(&Subject::message(), &said);
        }
        None => text.push("Nothing active was found.", "動作する内容は見つかりませんでした。"),
    }
    uninspected(report, &mut text);
    text.0
}

/// What is known of the worst of these documents, without evidence and without its lures: a sentence
/// that may stand in a mail. If it was not looked into, that.
pub(super) fn reason(report: &Report, documents: &[Document<'_>]) -> Explanation {
    let mut text = Text::default();
    let worst = documents.iter().rev().max_by_key(|d| (d.level, clauses(d).len()));
    if let Some(worst) = worst {
        let said = clauses(worst).into_iter().filter(|finding| finding.id.category != Category::Lure);
        text.bare(report, &worst.path, said.collect());
    }
    let blind = documents.iter().flat_map(|d| d.findings.iter().copied()).find(|finding| finding.id.reason.is_some());
    if let Some(blind) = blind {
        text.bare(report, &blind.part, vec![blind]);
    }
    text.0
}

/// What one finding says of its part, without the part.
pub fn says(finding: &Finding) -> Explanation {
    Explanation { en: render(finding.id.en, &finding.evidence), ja: render(finding.id.ja.end, &finding.evidence) }
}

/// The strongest finding of each question, in the order in which one tells them.
fn clauses<'a>(document: &Document<'a>) -> Vec<&'a Finding> {
    let strongest = |category: Category| {
        let of_category = document.findings.iter().copied().filter(|finding| finding.id.category == category);
        // Of equal ones the first in the table, but a command for an interpreter says most.
        of_category.min_by_key(|finding| {
            let id = finding.id;
            (std::cmp::Reverse(id.severity), id != finding::VBA_RUN_INTERPRETER, place(finding))
        })
    };
    let capability = strongest(Category::Capability);
    // What is fetched belongs to what is started.
    let download = document.findings.iter().copied().find(|finding| finding.id == finding::VBA_DOWNLOAD);
    let known = strongest(Category::Reputation);
    let mut clauses: Vec<&Finding> = known.into_iter().chain(strongest(Category::Trigger)).chain(capability).collect();
    clauses.extend(download.filter(|download| capability.is_some_and(|capability| capability.id != download.id)));
    let carrier = strongest(Category::Carrier);
    // That there are macros goes without saying, once they are said to do something.
    if clauses.is_empty() || carrier.is_some_and(|carrier| carrier.id.severity >= Severity::High) {
        clauses.splice(..0, carrier);
    }
    clauses.extend(strongest(Category::Concealment));
    clauses.extend(strongest(Category::Lure));
    clauses
}

/// The row of a finding in the table.
fn place(finding: &Finding) -> usize {
    finding::ALL.iter().position(|id| *id == finding.id).unwrap_or_default()
}

/// What could not be looked into, and why.
fn uninspected(report: &Report, text: &mut Text) {
    let mut rest: usize = 0;
    for (n, finding) in report.findings.iter().filter(|finding| finding.id.reason.is_some()).enumerate() {
        if n < MAX_UNINSPECTED {
            text.sentence(&subject(report, &finding.part), &[finding]);
        } else {
            rest = rest.saturating_add(1);
        }
    }
    if rest > 0 {
        text.push(&format!("There are {rest} more such findings."), &format!("同様の項目がほかに{rest}件あります。"));
    }
}

/// Sentences so far.
#[derive(Default)]
struct Text(Explanation);

impl Text {
    fn push(&mut self, en: &str, ja: &str) {
        if !self.0.en.is_empty() {
            self.0.en.push(' ');
        }
        self.0.en.push_str(en);
        self.0.ja.push_str(ja);
    }

    /// A sentence about the part at `path` that quotes nothing.
    fn bare(&mut self, report: &Report, path: &PartPath, findings: Vec<&Finding>) {
        let bare = |finding: &Finding| Finding { evidence: String::new(), ..finding.clone() };
        let findings: Vec<Finding> = findings.into_iter().map(bare).collect();
        self.sentence(&subject(report, path), &findings.iter().collect::<Vec<_>>());
    }

    /// One sentence: a subject and what it does; nothing if it does nothing.
    fn sentence(&mut self, subject: &Subject, clauses: &[&Finding]) {
        let Some((last, before)) = clauses.split_last() else { return };
        let en: Vec<String> = clauses.iter().map(|finding| render(finding.id.en, &finding.evidence)).collect();
        let mut ja = format!("{}は、", subject.ja);
        for finding in before {
            ja.push_str(&render(finding.id.ja.mid, &finding.evidence));
            ja.push('、');
        }
        ja.push_str(&render(last.id.ja.end, &last.evidence));
        ja.push('。');
        self.push(&format!("{} {}.", subject.en, listed(&en)), &ja);
    }
}

/// "a", "a and b", "a, b, and c".
fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [one, two] => format!("{one} and {two}"),
        [before @ .., last] => format!("{}, and {last}", before.join(", ")),
    }
}

/// A clause with what was seen; without the brackets, if nothing was.
fn render(clause: &str, evidence: &str) -> String {
    if !evidence.is_empty() {
        return clause.replace("{evidence}", &escaped(evidence, MAX_CLAUSE));
    }
    const BRACKETS: [&str; 5] =
        [" (“{evidence}”)", " ({evidence})", "（「{evidence}」）", "（{evidence}）", "{evidence}"];
    BRACKETS.iter().fold(clause.to_owned(), |clause, bracket| clause.replace(bracket, ""))
}

/// What a sentence is about.
struct Subject {
    en: String,
    ja: String,
}

impl Subject {
    fn message() -> Self {
        Self { en: "The message".to_owned(), ja: "このメール".to_owned() }
    }
}

/// A part as one would name it: "invoice.docm in invoice.zip".
fn subject(report: &Report, path: &PartPath) -> Subject {
    let find = |path: &PartPath| report.parts.iter().find(|part| part.path == *path);
    let Some(part) = find(path).filter(|part| !matches!(part.origin, Origin::Root | Origin::Body)) else {
        return Subject::message();
    };
    let Some(name) = name(part) else {
        let kind = part.types.first().copied().unwrap_or(FileType::Data);
        return Subject {
            en: format!("An unnamed {kind} attachment"),
            ja: format!("名前のない添付ファイル（{kind}）"),
        };
    };
    // A member belongs to its archive, anything embedded to its document.
    let inside = matches!(part.origin, Origin::Member | Origin::Embedded);
    match container(report, part).filter(|_| inside) {
        Some(container) => Subject { en: format!("{name} in {container}"), ja: format!("{container}内の{name}") },
        None => Subject { en: name.clone(), ja: name },
    }
}

fn name(part: &PartReport) -> Option<String> {
    part.names.iter().find(|name| !name.is_empty()).map(|name| escaped(name, MAX_NAME).into_owned())
}

/// The name of the nearest part around this one that has a name.
fn container(report: &Report, part: &PartReport) -> Option<String> {
    let around = report.parts.iter().filter(|other| other.path != part.path && part.path.is_within(&other.path));
    around.filter(|other| name(other).is_some()).max_by_key(|other| other.depth).and_then(name)
}

/// Text from mail for people: control, bidirectional and invisible characters by number, and no
/// more than `most` characters.
pub fn escaped(text: &str, most: usize) -> Cow<'_, str> {
    let cut = text.char_indices().nth(most).map(|(at, _)| at);
    if cut.is_none() && !text.chars().any(is_deceptive) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars().take(most) {
        if is_deceptive(c) {
            out.push_str(&format!("⟦U+{:04X}⟧", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    if cut.is_some() {
        out.push('…');
    }
    Cow::Owned(out)
}

/// Our own brackets are among the characters that are escaped, so that nobody can write an escape.
fn is_deceptive(c: char) -> bool {
    is_hostile(c) || matches!(c, '⟦' | '⟧')
}
