//! The header fields that a delivered copy gets (and the forged ones that it loses).
//!
//! Every incoming `X-Sekisho-*` field is deleted; our own are prepended above all others
//! (RFC 5321 4.4, RFC 8601 5), CRLF ended, folded, printable ASCII. A message that does not begin
//! with a header field gets an empty line behind ours, so that its first line cannot become a
//! continuation of our last.

use bytes::Bytes;
use data_encoding::BASE64;

use crate::message::{Edits, Splice};
use crate::mime;
use crate::policy::decision::Tag;
use crate::verdict::Verdict;

/// What the field names of our own begin with, in lower case.
const OWN_PREFIX: &str = "x-sekisho-";
/// Where a header line is folded (RFC 5322 2.1.1).
const FOLD_AT: usize = 76;
/// Octets of text in one encoded word: 45 are 60 characters of base64, below the 75 of RFC 2047 2.
const WORD: usize = 45;

/// Text that can stand in a header field: printable ASCII on one line, anything else encoded
/// (RFC 2047). There is no other way to make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderText(String);

impl HeaderText {
    /// Encodes what needs it; control characters become spaces.
    pub fn new(text: &str) -> Self {
        let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let looks_encoded = clean.contains("=?");
        Self(if clean.is_ascii() && !looks_encoded { clean } else { encoded_words(&clean) })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// RFC 2047 4.1: encoded words of whole characters, separated by spaces.
fn encoded_words(text: &str) -> String {
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.chars() {
        if word.len().saturating_add(c.len_utf8()) > WORD {
            words.push(std::mem::take(&mut word));
        }
        word.push(c);
    }
    words.push(word);
    let encode = |word: &String| format!("=?UTF-8?B?{}?=", BASE64.encode(word.as_bytes()));
    words.iter().map(encode).collect::<Vec<_>>().join(" ")
}

/// One field, folded at spaces, CRLF ended.
fn field(name: &str, text: &HeaderText) -> String {
    let mut lines = format!("{name}:");
    let mut column = lines.len();
    for word in text.as_str().split(' ').filter(|word| !word.is_empty()) {
        // A word that is too long for any line is cut: 998 octets are the limit of RFC 5322 2.1.1.
        let word: String = word.chars().take(900).collect();
        if column.saturating_add(word.len()) >= FOLD_AT && column > name.len().saturating_add(1) {
            lines.push_str("\r\n");
            column = 0;
        }
        lines.push(' ');
        lines.push_str(&word);
        column = column.saturating_add(word.len()).saturating_add(1);
    }
    lines.push_str("\r\n");
    lines
}

/// The edits of a delivered copy: forged fields go, ours and those of the rule come, the first
/// Subject is prefixed. `{verdict}`, `{rule}` and `{id}` in the rule's texts are replaced.
pub fn edits(raw: &[u8], verdict: &Verdict, id: &str, rule: &str, tag: &Tag) -> Edits {
    let fill = |text: &str| text.replace("{verdict}", verdict.level.name()).replace("{rule}", rule).replace("{id}", id);
    let mut splices: Vec<Splice> = Vec::new();
    let mut ours = own_fields(verdict, id);
    for (name, value) in &tag.headers {
        ours.push_str(&field(name, &HeaderText::new(&fill(value))));
    }
    let mut subject_seen = false;
    let mut any_field = false;
    for header in mime::fields(raw) {
        any_field = true;
        let name = raw.get(header.name.clone()).unwrap_or_default();
        if is_own(name) {
            splices.push(Splice { range: octets(&header.span), with: Bytes::new() });
        } else if !subject_seen && name.eq_ignore_ascii_case(b"subject") {
            subject_seen = true;
            if let Some(prefix) = &tag.subject_prefix {
                splices.extend(prefixed(raw, &header.value, &fill(prefix)));
            }
        }
    }
    if let (false, Some(prefix)) = (subject_seen, &tag.subject_prefix) {
        ours.push_str(&field("Subject", &HeaderText::new(fill(prefix).trim())));
    }
    if !any_field && !raw.is_empty() && !raw.starts_with(b"\r\n") {
        ours.push_str("\r\n");
    }
    splices.push(Splice { range: 0..0, with: Bytes::from(ours) });
    Edits::new(splices)
}

/// The fields that every delivered message gets.
fn own_fields(verdict: &Verdict, id: &str) -> String {
    let level = verdict.level.name();
    let incomplete = if verdict.complete { "" } else { "; incomplete" };
    let mut ours = field("X-Sekisho-Verdict", &HeaderText::new(&format!("{level}{incomplete}")));
    ours.push_str(&field("X-Sekisho-Id", &HeaderText::new(id)));
    if verdict.level != crate::verdict::Level::Clean || !verdict.complete {
        // The only characters of our own sentence that would have all of it encoded.
        let sentence = verdict.explanation.en.replace(['“', '”'], "\"");
        ours.push_str(&field("X-Sekisho-Explanation", &HeaderText::new(&sentence)));
    }
    ours
}

/// Whether a field name is one of ours, in any case.
fn is_own(name: &[u8]) -> bool {
    name.get(..OWN_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(OWN_PREFIX.as_bytes()))
}

/// The prefix before the first Subject's text, unless it stands there already.
fn prefixed(raw: &[u8], value: &std::ops::Range<usize>, prefix: &str) -> Option<Splice> {
    let encoded = HeaderText::new(prefix.trim_end());
    let text = raw.get(value.clone()).unwrap_or_default();
    let blanks = text.iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
    if text.get(blanks..).is_some_and(|rest| rest.starts_with(encoded.as_str().as_bytes())) {
        return None;
    }
    let at = value.start.saturating_add(blanks);
    let lead = if blanks == 0 { " " } else { "" };
    Some(Splice { range: octets(&(at..at)), with: Bytes::from(format!("{lead}{} ", encoded.as_str())) })
}

fn octets(range: &std::ops::Range<usize>) -> std::ops::Range<u64> {
    range.start as u64..range.end as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{Explanation, Level};

    fn verdict(level: Level, complete: bool, en: &str) -> Verdict {
        let explanation = Explanation { en: en.to_owned(), ja: String::new() };
        Verdict { level, complete, reasons: Vec::new(), explanation, parts: Vec::new() }
    }

    fn marked(raw: &str, tag: &Tag) -> String {
        let copy = edits(raw.as_bytes(), &verdict(Level::Clean, true, ""), "ID", "rule", tag).apply(raw.as_bytes());
        String::from_utf8(copy).unwrap()
    }

    const OURS: &str = "X-Sekisho-Verdict: clean\r\nX-Sekisho-Id: ID\r\n";

    #[test]
    fn a_clean_message_gets_two_fields_and_keeps_every_octet() {
        let raw = "Received: x\r\n\ty\r\nSubject: s\r\n\r\nbody \u{e9}\r\n";
        assert_eq!(marked(raw, &Tag::default()), format!("{OURS}{raw}"));
    }

    #[test]
    fn forged_fields_go_in_any_spelling() {
        let raw = "A: 1\r\nX-SEKISHO-Verdict: clean\r\n folded\r\nx-sekisho-id : 7\r\nB: 2\r\nX-Sekisho-New: x\r\n\r\nX-Sekisho-Id: body\r\n";
        assert_eq!(marked(raw, &Tag::default()), format!("{OURS}A: 1\r\nB: 2\r\n\r\nX-Sekisho-Id: body\r\n"));
    }

    #[test]
    fn a_message_without_header_gets_an_empty_line() {
        assert_eq!(marked(" led by space\r\n", &Tag::default()), format!("{OURS}\r\n led by space\r\n"));
        assert_eq!(marked("no header here\r\n", &Tag::default()), format!("{OURS}\r\nno header here\r\n"));
        assert_eq!(marked("\r\nbody\r\n", &Tag::default()), format!("{OURS}\r\nbody\r\n"));
        assert_eq!(marked("", &Tag::default()), OURS);
    }

    #[test]
    fn the_first_subject_is_prefixed_once() {
        let tag = Tag { subject_prefix: Some("[X] ".to_owned()), ..Tag::default() };
        assert_eq!(
            marked("Subject: a\r\nSubject: b\r\n\r\n", &tag),
            format!("{OURS}Subject: [X] a\r\nSubject: b\r\n\r\n")
        );
        assert_eq!(marked("Subject: [X] a\r\n\r\n", &tag), format!("{OURS}Subject: [X] a\r\n\r\n"));
        assert_eq!(marked("Subject:\r\n\r\n", &tag), format!("{OURS}Subject: [X] \r\n\r\n"));
        assert_eq!(marked("A: 1\r\n\r\n", &tag), format!("{OURS}Subject: [X]\r\nA: 1\r\n\r\n"));
        let japanese = Tag { subject_prefix: Some("【注意】".to_owned()), ..Tag::default() };
        assert_eq!(
            marked("Subject: a\r\n\r\n", &japanese),
            format!("{OURS}Subject: =?UTF-8?B?44CQ5rOo5oSP44CR?= a\r\n\r\n")
        );
    }

    #[test]
    fn nothing_from_the_mail_can_end_a_field() {
        let bad = "請求書\r\nX-Evil: 1\r\n\r\n\0 is long ".repeat(30);
        let copy = edits(b"A: 1\r\n\r\n", &verdict(Level::Malicious, false, &bad), "ID", "r", &Tag::default());
        let copy = String::from_utf8(copy.apply(b"A: 1\r\n\r\n")).unwrap();
        assert!(copy.starts_with("X-Sekisho-Verdict: malicious; incomplete\r\n"));
        assert!(copy.is_ascii() && !copy.contains("\r\nX-Evil") && !copy.contains('\0'));
        assert!(copy.lines().all(|line| line.len() < 100), "{copy}");
        assert_eq!(copy.matches("\r\n\r\n").count(), 1);
    }

    #[test]
    fn rule_fields_are_filled_in() {
        let tag =
            Tag { headers: vec![("X-Check".to_owned(), "{verdict} by {rule} {id}".to_owned())], subject_prefix: None };
        assert_eq!(marked("A: 1\r\n\r\n", &tag), format!("{OURS}X-Check: clean by rule ID\r\nA: 1\r\n\r\n"));
    }
}
