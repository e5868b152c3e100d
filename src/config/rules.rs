//! `[[rule]]`: its keys, conditions and actions.

use std::collections::HashMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use crate::config::OnError;
use crate::config::diagnostics::{Problem, Source, did_you_mean};
use crate::config::values::{self, Wrong};
use crate::config::walk::{Field, Key, Walk, one_of};
use crate::envelope::Path;
use crate::filetype::FileType;
use crate::finding::{self, Reason};
use crate::policy::decision::{Action, Marks};
use crate::policy::facts::Direction;
use crate::policy::glob::{self, Glob};
use crate::policy::rule::{AddressGlob, FindingGlob, Fingerprint, Rule, SizeRange, TypeGlob, When};
use crate::verdict::Level;

/// The reply of a rule that gives none. It names nothing but the id: a sender who could read what
/// was found would learn how to avoid it.
pub const DEFAULT_REPLY: &str = "554 5.7.1 Message refused (reference {id})";

/// A rule, and where the things stand that other checks point at.
pub(super) struct Placed {
    pub rule: Rule,
    pub action: Range<usize>,
    /// Without errors. Another one must not come into force: half of its conditions would be
    /// another rule.
    pub sound: bool,
}

/// Something that a rule has, and where.
type Noted<T> = Option<(T, Range<usize>)>;

/// A rule while it is read: what it has, each with its place. Something wrong, already noted, is there and empty.
#[derive(Default)]
pub(super) struct RuleDraft {
    name: Noted<String>,
    when: When,
    not: When,
    action: Noted<&'static str>,
    reply: Noted<String>,
    redirect_to: Noted<Option<Path>>,
    headers: Noted<Vec<(String, String)>>,
    subject_prefix: Noted<String>,
    copy_to: Noted<Vec<Path>>,
}

/// The actions that deliver a copy, which can be marked.
const DELIVERING: &[&str] = &["tag", "pass", "strip", "redirect"];
/// The actions after which the message is ours, so that a further copy can be sent.
const ACCEPTING: &[&str] = &["pass", "tag", "strip", "quarantine", "redirect", "discard"];

/// The keys of a rule.
pub(super) const RULE: &[Key<RuleDraft>] = &[
    Key {
        name: "name",
        wants: "a name of letters, digits, `.`, `_` and `-`",
        default: "",
        doc: "Required and unique: it stands in logs, metrics and header fields.",
        read: |walk, field, draft| {
            draft.name = Some((walk.parsed(field, rule_name).unwrap_or_default(), field.key.clone()));
        },
    },
    Key {
        name: "when",
        wants: "conditions like `when.verdict = \"suspicious\"`",
        default: "",
        doc: "What must hold, all of it; a rule without conditions is for every message.",
        read: |walk, field, draft| conditions(walk, field, &mut draft.when),
    },
    Key {
        name: "not",
        wants: "conditions like `not.sender = \"@example.jp\"`",
        default: "",
        doc: "Exceptions: any one that holds is enough.",
        read: |walk, field, draft| conditions(walk, field, &mut draft.not),
    },
    Key {
        name: "action",
        wants: ACTIONS,
        default: "",
        doc: "Required: what happens.",
        read: |walk, field, draft| {
            let choices = Action::NAMES.map(|name| (name, name));
            let action = walk.parsed(field, |text| one_of("action", text, &choices));
            draft.action = Some((action.unwrap_or_default(), field.span()));
        },
    },
    Key {
        name: "reply",
        wants: "a reply like \"554 5.7.1 Message refused (reference {id})\"",
        default: "\"554 5.7.1 Message refused (reference {id})\"",
        doc: "For reject: the line the sender's server gets.",
        read: |walk, field, draft| {
            draft.reply = Some((walk.parsed(field, reply).unwrap_or_default(), field.key.clone()));
        },
    },
    Key {
        name: "redirect_to",
        wants: "an address like \"soc@example.jp\"",
        default: "",
        doc: "For redirect: who gets the message instead of the recipient.",
        read: |walk, field, draft| {
            draft.redirect_to = Some((walk.parsed(field, mailbox), field.key.clone()));
        },
    },
    Key {
        name: "headers",
        wants: "a table like { \"X-Company-Warning\" = \"{verdict}\" }",
        default: "",
        doc: "For what is delivered (tag, pass, strip, redirect): header fields to add; {verdict}, {rule} and {id} are replaced.",
        read: |walk, field, draft| draft.headers = Some((headers(walk, field), field.key.clone())),
    },
    Key {
        name: "subject_prefix",
        wants: "a text like \"[CAUTION] \"",
        default: "",
        doc: "For what is delivered: put before the Subject. Breaks DKIM signatures that cover the Subject.",
        read: |walk, field, draft| {
            let text = walk.parsed(field, |text| header_text(text, "subject_prefix"));
            draft.subject_prefix = Some((text.unwrap_or_default(), field.key.clone()));
        },
    },
    Key {
        name: "copy_to",
        wants: "addresses like \"soc@example.jp\"",
        default: "",
        doc: "Who gets a copy as well, whatever is done with the recipient's (all actions but reject and defer, after which the message is not ours).",
        read: |walk, field, draft| {
            draft.copy_to = Some((walk.some(field, mailbox), field.key.clone()));
        },
    },
];

const ACTIONS: &str =
    "\"pass\", \"tag\", \"strip\", \"quarantine\", \"redirect\", \"reject\", \"defer\" or \"discard\"";

const ADDRESSES: &str = "addresses like \"user@example.jp\", \"@example.jp\", \"*@*.example.jp\" or \"<>\"";

pub(super) const FINGERPRINTS: &str = "fingerprints of 64 hex digits";

/// The conditions of `when` and `not`.
pub(super) const WHEN: &[Key<When>] = &[
    Key {
        name: "verdict",
        wants: "\"active\", \"suspicious\" or \"malicious\"",
        default: "",
        doc: "The verdict is at least this.",
        read: |walk, field, when| {
            let choices = Level::ALL.map(|level| (level.name(), level));
            let mut level = Level::Clean;
            walk.choice(field, &choices, &mut level);
            when.verdict = Some(level);
            if matches!(field.value.get_ref(), DeValue::String(text) if text == Level::Clean.name()) {
                let message = "every verdict is at least `clean`: this condition always holds";
                walk.push(Problem::warning(field.span(), message));
            }
        },
    },
    Key {
        name: "complete",
        wants: "true or false",
        default: "",
        doc: "Whether everything in the message was inspected.",
        read: |walk, field, when| when.complete = walk.boolean(field),
    },
    Key {
        name: "reason",
        wants: "reasons like \"encrypted\"",
        default: "",
        doc: "Something was not inspected, for one of these reasons.",
        read: |walk, field, when| {
            let choices = Reason::ALL.map(|reason| (reason.name(), reason));
            when.reason = walk.some(field, |text| one_of("reason", text, &choices));
        },
    },
    Key {
        name: "finding",
        wants: "findings like \"vba-autoexec\" or \"vba-*\"",
        default: "",
        doc: "One of these was found.",
        read: |walk, field, when| when.finding = walk.some(field, finding_glob),
    },
    Key {
        name: "attachment_type",
        wants: "types like \"ooxml-docm\" or \"ole-*\"",
        default: "",
        doc: "A part is one of these, by its content.",
        read: |walk, field, when| when.attachment_type = walk.some(field, type_glob),
    },
    Key {
        name: "attachment_name",
        wants: "file names like \"*.docm\"",
        default: "",
        doc: "A part has one of these names; upper and lower case are the same.",
        read: |walk, field, when| when.attachment_name = walk.some(field, name_glob),
    },
    Key {
        name: "code_fingerprint",
        wants: FINGERPRINTS,
        default: "",
        doc: "The macro code in a part is one of these (`sekisho explain FILE` prints it).",
        read: |walk, field, when| when.code_fingerprint = walk.some(field, fingerprint),
    },
    Key {
        name: "sender",
        wants: ADDRESSES,
        default: "",
        doc: "MAIL FROM, which anybody can forge.",
        read: |walk, field, when| when.sender = walk.some(field, address_glob),
    },
    Key {
        name: "recipient",
        wants: "addresses like \"user@example.jp\", \"@example.jp\" or \"*@*.example.jp\"",
        default: "",
        doc: "The recipient the decision is for.",
        read: |walk, field, when| when.recipient = walk.some(field, recipient_glob),
    },
    Key {
        name: "client",
        wants: "networks like \"192.0.2.0/24\"",
        default: "",
        doc: "Where the message came from, by XFORWARD.",
        read: |walk, field, when| when.client = walk.some(field, values::network),
    },
    Key {
        name: "direction",
        wants: "\"inbound\", \"outbound\" or \"internal\"",
        default: "",
        doc: "The way the message goes, by [mail].",
        read: |walk, field, when| {
            let choices = Direction::ALL.map(|direction| (direction.name(), direction));
            when.direction = walk.some(field, |text| one_of("direction", text, &choices));
        },
    },
    Key {
        name: "size",
        wants: "a table like { at_least = \"10 MB\" }",
        default: "",
        doc: "Of the message: at_least, at_most or both.",
        read: read_size,
    },
];

const SIZE_RANGE: &[Key<SizeRange>] = &[
    Key {
        name: "at_least",
        wants: "a size like \"10 MB\"",
        default: "",
        doc: "",
        read: |walk, field, range| walk.size(field, 1..=u64::MAX, &mut range.at_least),
    },
    Key {
        name: "at_most",
        wants: "a size like \"10 MB\"",
        default: "",
        doc: "",
        read: |walk, field, range| walk.size(field, 0..=u64::MAX, &mut range.at_most),
    },
];

/// Reads the `[[rule]]` tables.
pub(super) fn read(walk: &mut Walk, source: &Source<'_>, value: &Spanned<DeValue<'_>>) -> Vec<Placed> {
    let mut rules = Vec::new();
    let mut names: HashMap<String, usize> = HashMap::new();
    for table in walk.tables(value, "rule") {
        let (mut draft, before) = (RuleDraft::default(), walk.problems.len());
        let line = source.line(table.span().start);
        if let DeValue::Table(keys) = table.get_ref() {
            walk.table(keys, RULE, &[], ("key", " in a [[rule]]"), &mut draft);
        }
        if let Some((name, span)) = draft.name.as_ref().filter(|(name, _)| !name.is_empty()) {
            if let Some(first) = names.get(name) {
                let message = format!("a rule named `{name}` stands in line {first} already");
                walk.push(Problem::error(span.clone(), message).expected("another name"));
            }
            names.entry(name.clone()).or_insert(line);
        }
        let rule = finish(walk, draft, table.span(), line);
        rules.extend(rule.map(|placed| Placed { sound: walk.errors_since(before) == 0, ..placed }));
    }
    rules
}

/// The rule that a draft makes; what is required is checked here.
fn finish(walk: &mut Walk, draft: RuleDraft, header: Range<usize>, line: usize) -> Option<Placed> {
    let RuleDraft { name, when, not, action, reply, redirect_to, headers, subject_prefix, copy_to } = draft;
    if name.is_none() {
        walk.push(Problem::missing(header.clone(), "the rule has no `name`").expected("name = \"…\""));
    }
    if action.is_none() {
        walk.push(Problem::missing(header, "the rule has no `action`").expected(format!("action = {ACTIONS}")));
    }
    let (action, place) = action?;
    only_for(walk, action, &["reject"], "reply", reply.as_ref());
    only_for(walk, action, &["redirect"], "redirect_to", redirect_to.as_ref());
    only_for(walk, action, DELIVERING, "headers", headers.as_ref());
    only_for(walk, action, DELIVERING, "subject_prefix", subject_prefix.as_ref());
    only_for(walk, action, ACCEPTING, "copy_to", copy_to.as_ref());
    let action = match action {
        "pass" => Action::Pass,
        "tag" if headers.is_none() && subject_prefix.is_none() => {
            let problem = Problem::missing(place, "the rule tags with nothing");
            walk.push(problem.expected("`headers` or `subject_prefix`"));
            return None;
        }
        "tag" => Action::Tag,
        "strip" => Action::Strip { parts: Vec::new() },
        "quarantine" => Action::Quarantine,
        "redirect" => match redirect_to {
            // A wrong address is noted already.
            Some((to, _)) => Action::Redirect { to: to? },
            None => {
                let problem = Problem::missing(place, "the rule redirects to nobody");
                walk.push(problem.expected("redirect_to = \"soc@example.jp\""));
                return None;
            }
        },
        "reject" => Action::Reject { reply: reply.map_or_else(|| DEFAULT_REPLY.to_owned(), |(reply, _)| reply) },
        "defer" => Action::Defer,
        "discard" => Action::Discard,
        _ => return None,
    };
    let marks = Marks {
        headers: headers.map(|(headers, _)| headers).unwrap_or_default(),
        subject_prefix: subject_prefix.map(|(prefix, _)| prefix),
    };
    let copy_to = copy_to.map(|(copy_to, _)| copy_to).unwrap_or_default();
    let rule = Rule { name: name?.0, line: Some(line), when, not, action, marks, copy_to };
    Some(Placed { rule, action: place, sound: true })
}

/// Notes a key that has no meaning for the rule's action.
fn only_for<T>(walk: &mut Walk, action: &str, wanted: &[&str], key: &str, value: Option<&(T, Range<usize>)>) {
    if let Some((_, span)) = value.filter(|_| !wanted.contains(&action) && !action.is_empty()) {
        let message = format!("`{key}` has no meaning for the action `{action}`");
        let expected = crate::policy::rule::list(wanted.iter().map(|action| format!("action = \"{action}\"")));
        walk.push(Problem::error(span.clone(), message).expected(expected));
    }
}

/// Warns of rules that do not do what they seem to.
pub(super) fn warn(walk: &mut Walk, rules: &[Placed], on_error: OnError) {
    let mut catch_all: Option<&Rule> = None;
    for Placed { rule, action, sound: _ } in rules.iter().filter(|placed| placed.sound) {
        let mut warn = |message: String| walk.push(Problem::warning(action.clone(), message));
        if let Some(first) = catch_all {
            let line = first.line.unwrap_or_default();
            warn(format!(
                "rule `{}` is never reached: `{}` in line {line} is for every message",
                rule.name, first.name
            ));
        }
        if catch_all.is_none() && rule.when.is_empty() && rule.not.is_empty() {
            catch_all = Some(rule);
            if rule.action.delivers() {
                warn(format!("rule `{}` delivers every message that comes to it, malicious ones as well", rule.name));
            }
        }
        if rule.action == Action::Discard {
            warn(format!("rule `{}` drops mail that it was told to; what it drops is only logged", rule.name));
        }
        if rule.when.reason == [Reason::Fault] && on_error != OnError::Pass {
            warn(format!("rule `{}` never holds: `on_error` decides about faults before all rules", rule.name));
        }
        if rule.action == Action::Pass && !rule.when.sender.is_empty() && rule.when.client.is_empty() {
            warn(format!("rule `{}` trusts a sender's address, which anybody can forge: add `when.client`", rule.name));
        }
    }
}

fn conditions(walk: &mut Walk, field: &Field<'_, '_>, when: &mut When) {
    if let Some(table) = walk.inner(field) {
        walk.table(table, WHEN, &[], ("condition", ""), when);
    }
}

fn read_size(walk: &mut Walk, field: &Field<'_, '_>, when: &mut When) {
    let Some(table) = walk.inner(field) else { return };
    let mut range = SizeRange { at_least: 0, at_most: u64::MAX };
    walk.table(table, SIZE_RANGE, &[], ("key", " in `size`"), &mut range);
    if range.at_least > range.at_most {
        walk.push(Problem::error(field.span(), "no size is at least `at_least` and at most `at_most`"));
    } else if table.is_empty() {
        walk.push(Problem::missing(field.span(), "`size` is empty").expected(field.wants));
    }
    when.size = Some(range);
}

pub(super) fn rule_name(text: &str) -> Result<String, Wrong> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !text.is_empty() && text.len() <= 64 && text.chars().all(is_plain) {
        return Ok(text.to_owned());
    }
    let plain: String = text.trim().chars().map(|c| if is_plain(c) { c } else { '-' }).take(64).collect();
    let wrong = Wrong::new("not a name for a rule", "up to 64 letters, digits, `.`, `_` and `-`");
    let is_readable = plain.trim_matches('-').len() > 2;
    Err(if is_readable { wrong.suggest(plain.trim_matches('-')) } else { wrong })
}

/// The reply of a refusal (RFC 5321 4.2, RFC 3463).
fn reply(text: &str) -> Result<String, Wrong> {
    // RFC 5321 4.5.3.1.5: 512 octets with code and CRLF; the id takes some.
    const LONGEST: usize = 500;
    const EXPECTED: &str = "\"554 5.7.1 text\"";
    let (code, rest) = text.split_at_checked(3).unwrap_or((text, ""));
    if code.len() != 3 || !code.starts_with('5') || !code.chars().all(|c| c.is_ascii_digit()) || !rest.starts_with(' ')
    {
        return Err(Wrong::new("a refusal is one line with a 5xx code", EXPECTED));
    }
    if text.chars().any(|c| !(c.is_ascii_graphic() || c == ' ')) {
        return Err(Wrong::new("a reply is one line of printable ASCII (RFC 5321 4.2)", EXPECTED));
    }
    if text.len() > LONGEST {
        return Err(Wrong::new(format!("the reply is too long ({} characters)", text.len()), "at most 500 characters"));
    }
    let first = rest.trim_start().split(' ').next().unwrap_or_default();
    let looks_enhanced = first.split('.').count() == 3 && first.chars().all(|c| c.is_ascii_digit() || c == '.');
    if looks_enhanced && !first.starts_with("5.") {
        return Err(Wrong::new(format!("`{first}` does not fit the code {code} (RFC 3463)"), EXPECTED));
    }
    placeholders(text, &["id"])?;
    Ok(text.to_owned())
}

/// Checks that everything in braces is known.
fn placeholders(text: &str, known: &[&str]) -> Result<(), Wrong> {
    for piece in text.split('{').skip(1) {
        let Some((name, _)) = piece.split_once('}') else { continue };
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        if is_name && !known.contains(&name) {
            let expected = crate::policy::rule::list(known.iter().map(|name| format!("{{{name}}}")));
            let wrong = Wrong::new(format!("unknown placeholder `{{{name}}}`"), expected);
            return Err(match did_you_mean(name, known.iter().copied()) {
                Some(name) => wrong.suggest(format!("{{{name}}}")),
                None => wrong,
            });
        }
    }
    Ok(())
}

fn header_text(text: &str, key: &str) -> Result<String, Wrong> {
    // RFC 5322 2.1.1: a line has at most 998 octets; a prefix or mark is a small part of one.
    const LONGEST: usize = 500;
    if text.chars().any(char::is_control) {
        return Err(Wrong::new(format!("`{key}` cannot contain control characters or line ends"), "text on one line"));
    }
    if text.trim().is_empty() || text.len() > LONGEST {
        return Err(Wrong::new(format!("`{key}` is empty or too long"), "1 to 500 octets of text"));
    }
    placeholders(text, &["verdict", "rule", "id"])?;
    Ok(text.to_owned())
}

/// Fields that a message may have once (RFC 5322 3.6) or that say how it is built: a second one
/// would contradict the message.
const RESERVED: [&str; 13] = [
    "from",
    "sender",
    "reply-to",
    "to",
    "cc",
    "bcc",
    "message-id",
    "in-reply-to",
    "references",
    "subject",
    "date",
    "mime-version",
    "received",
];

fn header_name(name: &str) -> Result<(), Wrong> {
    let lower = name.to_ascii_lowercase();
    // RFC 5322 2.2: printable ASCII but the colon.
    if name.is_empty() || name.len() > 76 || !name.chars().all(|c| c.is_ascii_graphic() && c != ':') {
        return Err(Wrong::new(
            format!("`{name}` is not the name of a header field"),
            "a name like \"X-Company-Warning\"",
        ));
    }
    if lower.starts_with("x-sekisho-") {
        let expected = "another name; the X-Sekisho- fields are Sekisho's own, so that they can be trusted";
        return Err(Wrong::new(format!("`{name}` is reserved"), expected));
    }
    if RESERVED.contains(&lower.as_str()) || lower.starts_with("content-") {
        let expected = "a name like \"X-Company-Warning\"";
        return Err(Wrong::new(format!("a second `{name}` would contradict the message's own"), expected));
    }
    Ok(())
}

/// Header fields in the order of the file.
fn headers(walk: &mut Walk, field: &Field<'_, '_>) -> Vec<(String, String)> {
    let Some(table) = walk.inner(field) else { return Vec::new() };
    if table.is_empty() {
        walk.push(Problem::missing(field.span(), "`headers` is empty").expected(field.wants));
    }
    let mut fields: Vec<_> = table.iter().collect();
    fields.sort_by_key(|(name, _)| name.span().start);
    let mut headers = Vec::new();
    for (key, value) in fields {
        let name = key.get_ref().as_ref();
        if let Err(wrong) = header_name(name) {
            walk.push(Problem::error(key.span(), wrong.message).expected(wrong.expected));
        }
        let inner = Field { name, key: key.span(), wants: "a text", value };
        if let Some(text) = walk.parsed(&inner, |text| header_text(text, name)) {
            headers.push((name.to_owned(), text));
        }
    }
    headers
}

/// An address to send to.
pub(super) fn mailbox(text: &str) -> Result<Path, Wrong> {
    // RFC 5321 4.5.3.1.3: a path has at most 256 octets with its brackets.
    const LONGEST: usize = 254;
    let text = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text);
    let is_plain = text.chars().all(|c| c.is_ascii_graphic() && !"<>()[]\\,;:\"".contains(c));
    let is_address = text.rsplit_once('@').is_some_and(|(local, domain)| {
        !local.is_empty() && !local.contains('@') && values::domain(domain).is_ok() && !domain.starts_with('*')
    });
    if is_plain && is_address && text.len() <= LONGEST {
        return Ok(Path::new(format!("<{text}>").as_str()));
    }
    Err(Wrong::new(format!("`{text}` is not an address to send to"), "one like \"soc@example.jp\""))
}

pub(super) fn finding_glob(text: &str) -> Result<FindingGlob, Wrong> {
    FindingGlob::parse(text).ok_or_else(|| unknown("finding", text, finding::ALL.iter().map(|id| id.as_str())))
}

pub(super) fn fingerprint(text: &str) -> Result<Fingerprint, Wrong> {
    Fingerprint::parse(text).ok_or_else(|| Wrong::new(format!("`{text}` is not a fingerprint"), "64 hex digits"))
}

fn type_glob(text: &str) -> Result<TypeGlob, Wrong> {
    TypeGlob::parse(text).ok_or_else(|| unknown("attachment type", text, FileType::ALL.iter().map(|t| t.name())))
}

fn unknown<'c>(what: &str, text: &str, names: impl Iterator<Item = &'c str> + Clone) -> Wrong {
    if text.contains(['*', '?']) {
        return Wrong::new(format!("no {what} fits `{text}`"), format!("a pattern that fits at least one {what}"));
    }
    // `docm` means `ooxml-docm`, `autoexec` means `vba-autoexec`.
    let ends = |name: &&str| name.rsplit_once('-').is_some_and(|(_, end)| end.eq_ignore_ascii_case(text));
    let guess = did_you_mean(text, names.clone()).or_else(|| names.clone().find(ends));
    let wrong = Wrong::new(format!("unknown {what} `{text}`"), String::new());
    match guess {
        Some(guess) => wrong.suggest(guess),
        None => wrong,
    }
}

fn name_glob(text: &str) -> Result<Glob, Wrong> {
    if text.is_empty() || text.contains(['/', '\\']) && !text.contains('*') {
        return Err(Wrong::new(format!("`{text}` is not a file name"), "a file name like \"*.docm\""));
    }
    if let Some(end) = text.strip_prefix('.').filter(|end| !end.contains(['.', '*', '?'])) {
        return Err(Wrong::new(format!("`{text}` would be the whole name"), "a file name").suggest(format!("*.{end}")));
    }
    Ok(Glob::new(text, glob::name))
}

pub(super) fn address_glob(text: &str) -> Result<AddressGlob, Wrong> {
    let parsed = AddressGlob::parse(text.strip_prefix('<').and_then(|t| t.strip_suffix('>')).unwrap_or(text));
    parsed.ok_or_else(|| {
        let wrong = Wrong::new(format!("`{text}` is not an address"), ADDRESSES);
        if text.contains('.') && values::domain(text).is_ok() { wrong.suggest(format!("@{text}")) } else { wrong }
    })
}

fn recipient_glob(text: &str) -> Result<AddressGlob, Wrong> {
    let glob = address_glob(text)?;
    if glob.is_null() {
        return Err(Wrong::new("no recipient is empty", "an address like \"user@example.jp\""));
    }
    Ok(glob)
}
