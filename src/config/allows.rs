//! `[[allow]]`: its keys.

use std::collections::HashMap;
use std::ops::Range;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use toml::Spanned;
use toml::de::DeValue;

use crate::config::diagnostics::{Problem, Source};
use crate::config::rules::{FINGERPRINTS, address_glob, finding_glob, fingerprint, rule_name};
use crate::config::values::Wrong;
use crate::config::walk::{Field, Key, Walk};
use crate::policy::allow::Allow;
use crate::policy::rule::{AddressGlob, FindingGlob, Fingerprint};

/// How long before its end an exception is worth a warning.
const SOON: jiff::SignedDuration = jiff::SignedDuration::from_hours(14 * 24);

/// An exception while it is read.
#[derive(Default)]
pub(super) struct AllowDraft {
    name: Option<(String, Range<usize>)>,
    code_fingerprint: Vec<Fingerprint>,
    sha256: Vec<Fingerprint>,
    names_a_part: bool,
    sender: Vec<AddressGlob>,
    finding: Vec<FindingGlob>,
    until: Option<(Timestamp, Range<usize>)>,
    has_reason: bool,
}

/// The keys of an exception.
pub(super) const ALLOW: &[Key<AllowDraft>] = &[
    Key {
        name: "name",
        wants: "a name of letters, digits, `.`, `_` and `-`",
        default: "",
        doc: "Required and unique: it stands in the log of what it allowed.",
        read: |walk, field, draft| {
            draft.name = Some((walk.parsed(field, rule_name).unwrap_or_default(), field.key.clone()));
        },
    },
    Key {
        name: "code_fingerprint",
        wants: FINGERPRINTS,
        default: "",
        doc: "Macro code, whatever file it comes in; `sekisho explain FILE` prints it. Code that is changed has another one; code that data of the document steers has none.",
        read: |walk, field, draft| {
            draft.names_a_part = true;
            draft.code_fingerprint = walk.some(field, fingerprint);
        },
    },
    Key {
        name: "sha256",
        wants: FINGERPRINTS,
        default: "",
        doc: "A file, octet for octet, with everything inside it. This or `code_fingerprint` is required.",
        read: |walk, field, draft| {
            draft.names_a_part = true;
            draft.sha256 = walk.some(field, fingerprint);
        },
    },
    Key {
        name: "sender",
        wants: "addresses like \"report@example.jp\" or \"@example.jp\"",
        default: "",
        doc: "Only if MAIL FROM is one of these. Anybody can forge it: it narrows, and protects from nothing.",
        read: |walk, field, draft| draft.sender = walk.some(field, address_glob),
    },
    Key {
        name: "finding",
        wants: "findings like \"vba-autoexec\" or \"vba-*\"",
        default: "",
        doc: "Only these findings are forgiven. Never forgiven are concealment, reputation, and what could not be inspected.",
        read: |walk, field, draft| draft.finding = walk.some(field, finding_glob),
    },
    Key {
        name: "until",
        wants: "a date like 2027-03-31",
        default: "",
        doc: "The last day, in the time zone of the machine; `sekisho check` warns two weeks before.",
        read: |walk, field, draft| draft.until = last_day(walk, field).map(|until| (until, field.span())),
    },
    Key {
        name: "reason",
        wants: "a text like \"monthly report, ticket OPS-123\"",
        default: "",
        doc: "Required: why, for whoever finds it here in a year.",
        read: |walk, field, draft| {
            // An empty one is told here, and is there all the same.
            draft.has_reason = true;
            walk.parsed(field, |text| match text.trim() {
                "" => Err(Wrong::new("nobody will know why", "a reason")),
                _ => Ok(()),
            });
        },
    },
];

/// Reads the `[[allow]]` tables; only those without errors come into force.
pub(super) fn read(walk: &mut Walk, source: &Source<'_>, value: &Spanned<DeValue<'_>>) -> Vec<Allow> {
    let mut allows = Vec::new();
    let mut names: HashMap<String, usize> = HashMap::new();
    for table in walk.tables(value, "allow") {
        let (mut draft, before) = (AllowDraft::default(), walk.problems.len());
        let line = source.line(table.span().start);
        if let DeValue::Table(keys) = table.get_ref() {
            walk.table(keys, ALLOW, &[], ("key", " in an [[allow]]"), &mut draft);
        }
        if let Some((name, span)) = draft.name.as_ref().filter(|(name, _)| !name.is_empty()) {
            if let Some(first) = names.get(name) {
                let message = format!("an exception named `{name}` stands in line {first} already");
                walk.push(Problem::error(span.clone(), message).expected("another name"));
            }
            names.entry(name.clone()).or_insert(line);
        }
        check(walk, &draft, &table.span());
        let AllowDraft { name, code_fingerprint, sha256, sender, finding, until, .. } = draft;
        let Some((name, _)) = name.filter(|_| walk.errors_since(before) == 0) else { continue };
        let until = until.map(|(until, _)| until);
        allows.push(Allow { name, line: Some(line), code_fingerprint, sha256, sender, finding, until });
    }
    allows
}

fn check(walk: &mut Walk, draft: &AllowDraft, header: &Range<usize>) {
    let mut missing =
        |message: &str, expected: &str| walk.push(Problem::missing(header.clone(), message).expected(expected));
    if draft.name.is_none() {
        missing("the exception has no `name`", "name = \"…\"");
    }
    if !draft.has_reason {
        missing("the exception has no `reason`", "reason = \"…\"");
    }
    if !draft.names_a_part {
        missing("the exception names no part", "`code_fingerprint` or `sha256`");
    }
    if let Some(glob) = draft.finding.iter().find(|glob| !glob.ids().any(crate::policy::allow::is_forgivable)) {
        let message = format!("nothing that fits `{glob}` can be forgiven");
        walk.push(Problem::error(header.clone(), message).expected("triggers, capabilities, lures or carriers"));
    }
    let Some((until, span)) = &draft.until else { return };
    let left = until.duration_since(Timestamp::now());
    if left.is_negative() {
        walk.push(Problem::warning(span.clone(), "this exception has ended").expected("a later day, or no exception"));
    } else if left < SOON {
        walk.push(Problem::warning(span.clone(), "this exception ends soon").expected("a later day, if still needed"));
    }
}

/// The end of the day that is written there.
fn last_day(walk: &mut Walk, field: &Field<'_, '_>) -> Option<Timestamp> {
    let text = match field.value.get_ref() {
        DeValue::Datetime(day) => day.to_string(),
        DeValue::String(text) => text.to_string(),
        _ => String::new(),
    };
    let end = text.parse::<Date>().ok().and_then(|day| day.tomorrow().ok()).filter(|_| text.len() == 10);
    let end = end.and_then(|day| day.to_zoned(TimeZone::system()).ok()).map(|zoned| zoned.timestamp());
    if end.is_none() {
        let message = format!("`{}` is not a day", field.name);
        walk.push(Problem::error(field.span(), message).expected(field.wants));
    }
    end
}
