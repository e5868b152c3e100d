//! How a delivered copy differs from what was received: the header fields that it gets, those that it
//! loses, and what is spliced into its body.
//!
//! Every incoming `X-Sekisho-*` field is deleted; our own are prepended above all others
//! (RFC 5321 4.4, RFC 8601 5), CRLF ended, folded, printable ASCII. A message that does not begin
//! with a header field gets an empty line behind ours, so that its first line cannot become a
//! continuation of our last.
//!
//! [`Changes`] names fields and not only octets, since a milter can ask its MTA for nothing else; a
//! proxy splices octets ([`Changes::edits`]).

use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;
use data_encoding::BASE64;

use crate::message::{Edits, Splice};
use crate::mime;
use crate::policy::decision::Marks;
use crate::verdict::Verdict;

/// What the field names of our own begin with, in lower case.
const OWN_PREFIX: &str = "x-sekisho-";
/// The field with the verdict.
const VERDICT: &str = "X-Sekisho-Verdict";
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

/// A header field that a copy gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Behind the colon: with the leading space, folded (CRLF and a space), without the last CRLF.
    pub value: String,
}

impl Field {
    /// A field, folded at spaces.
    pub fn new(name: &str, text: &HeaderText) -> Self {
        let mut value = String::new();
        let mut column = name.len().saturating_add(1);
        for word in text.as_str().split(' ').filter(|word| !word.is_empty()) {
            // A word that is too long for any line is cut: 998 octets are the limit of RFC 5322 2.1.1.
            let word: String = word.chars().take(900).collect();
            if column.saturating_add(word.len()) >= FOLD_AT && !value.is_empty() {
                value.push_str("\r\n");
                column = 0;
            }
            value.push(' ');
            value.push_str(&word);
            column = column.saturating_add(word.len()).saturating_add(1);
        }
        Self { name: name.to_owned(), value }
    }

    /// As it stands in a header.
    fn line(&self) -> String {
        format!("{}:{}\r\n", self.name, self.value)
    }
}

/// A header field of the message that goes or changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    /// Its name, as the message spells it.
    pub name: Bytes,
    /// The how manieth of this name it is, from 1, as a milter counts.
    pub index: usize,
    /// Where the whole field stands, with its CRLF.
    pub span: Range<usize>,
    /// Where its value stands: behind the colon, without the last CRLF.
    pub value: Range<usize>,
    /// The new value, in the form of [`Field::value`]; `None` deletes the field.
    pub new: Option<Bytes>,
}

/// The difference between a message as received and a copy as delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// New fields, above all others, in this order.
    pub prepend: Vec<Field>,
    /// The message has no header: an empty line ends the new one.
    pub ends_header: bool,
    /// Fields that go or change, in the message's order.
    pub fields: Vec<FieldChange>,
    /// Where whatever a reader might take for a field of ours stands: those of `fields`, and those behind a
    /// line that is no field, which a milter's MTA does not know as fields.
    pub forged: Vec<Range<usize>>,
    /// What is cut out of the body and put into it.
    pub body: Vec<Splice>,
}

impl Changes {
    /// As splices of octets.
    pub fn edits(&self) -> Edits {
        let mut top: String = self.prepend.iter().map(Field::line).collect();
        if self.ends_header {
            top.push_str("\r\n");
        }
        let mut splices = Vec::new();
        if !top.is_empty() {
            splices.push(Splice { range: 0..0, with: Bytes::from(top) });
        }
        splices.extend(self.forged.iter().map(|span| Splice { range: octets(span), with: Bytes::new() }));
        let others = self.fields.iter().filter(|field| !is_own(&field.name));
        splices.extend(others.map(|field| match &field.new {
            None => Splice { range: octets(&field.span), with: Bytes::new() },
            Some(value) => Splice { range: octets(&field.value), with: value.clone() },
        }));
        splices.extend(self.body.iter().cloned());
        Edits::new(splices)
    }
}

/// The changes of a delivered copy's header: forged fields go, ours and those of the rule come, the
/// first Subject is prefixed. `{verdict}`, `{rule}` and `{id}` in the rule's texts are replaced.
pub fn changes(raw: &[u8], verdict: &Verdict, id: &str, rule: &str, marks: &Marks) -> Changes {
    let fill = |text: &str| text.replace("{verdict}", verdict.level.name()).replace("{rule}", rule).replace("{id}", id);
    let mut changes = Changes { prepend: own_fields(verdict, id), ..Changes::default() };
    for (name, value) in &marks.headers {
        changes.prepend.push(Field::new(name, &HeaderText::new(&fill(value))));
    }
    let mut prefix = marks.subject_prefix.as_ref().map(|prefix| fill(prefix));
    let mut seen: HashMap<Vec<u8>, usize> = HashMap::new();
    for header in mime::server_fields(raw) {
        let name = raw.get(header.name.clone()).unwrap_or_default();
        let is_subject = name.eq_ignore_ascii_case(b"subject");
        if !is_subject && !is_own(name) {
            continue;
        }
        let index = seen.entry(name.to_ascii_lowercase()).or_default();
        *index = index.saturating_add(1);
        let new = match is_subject {
            false => None,
            true => match prefix.take().and_then(|prefix| prefixed(raw, &header.value, &prefix)) {
                Some(value) => Some(value),
                None => continue,
            },
        };
        let (name, index) = (Bytes::copy_from_slice(name), *index);
        changes.fields.push(FieldChange { name, index, span: header.span, value: header.value, new });
    }
    if let Some(prefix) = prefix {
        changes.prepend.push(Field::new("Subject", &HeaderText::new(prefix.trim())));
    }
    let any_field = mime::fields(raw).next().is_some();
    changes.ends_header = !any_field && !raw.is_empty() && !raw.starts_with(b"\r\n");
    if !changes.ends_header {
        changes.forged = mime::own_fields(raw, OWN_PREFIX);
    }
    changes
}

/// Has our own field say that the verdict is about what came, not about what is left.
pub fn note_stripped(changes: &mut Changes) {
    if let Some(field) = changes.prepend.iter_mut().find(|field| field.name == VERDICT) {
        field.value.push_str("; stripped");
    }
}

/// The fields that every delivered message gets.
fn own_fields(verdict: &Verdict, id: &str) -> Vec<Field> {
    let level = verdict.level.name();
    let incomplete = if verdict.complete { "" } else { "; incomplete" };
    let field = |name: &str, text: &str| Field::new(name, &HeaderText::new(text));
    let mut ours = vec![field(VERDICT, &format!("{level}{incomplete}")), field("X-Sekisho-Id", id)];
    if verdict.level != crate::verdict::Level::Clean || !verdict.complete {
        // The only characters of our own sentence that would have all of it encoded.
        let sentence = verdict.explanation.en.replace(['“', '”'], "\"");
        ours.push(field("X-Sekisho-Explanation", &sentence));
    }
    ours
}

/// Whether a field name is one of ours, in any case.
fn is_own(name: &[u8]) -> bool {
    name.get(..OWN_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(OWN_PREFIX.as_bytes()))
}

/// The value of a Subject with the prefix before its text, unless it stands there already.
fn prefixed(raw: &[u8], value: &Range<usize>, prefix: &str) -> Option<Bytes> {
    let encoded = HeaderText::new(prefix.trim_end());
    let value = raw.get(value.clone()).unwrap_or_default();
    let blanks = value.iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
    let (lead, text) = value.split_at_checked(blanks).unwrap_or_default();
    if text.starts_with(encoded.as_str().as_bytes()) {
        return None;
    }
    let lead = if lead.is_empty() { b" " } else { lead };
    Some(Bytes::from([lead, encoded.as_str().as_bytes(), b" ", text].concat()))
}

fn octets(range: &Range<usize>) -> Range<u64> {
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

    fn marked(raw: &str, marks: &Marks) -> String {
        let changes = changes(raw.as_bytes(), &verdict(Level::Clean, true, ""), "ID", "rule", marks);
        String::from_utf8(changes.edits().apply(raw.as_bytes())).unwrap()
    }

    const OURS: &str = "X-Sekisho-Verdict: clean\r\nX-Sekisho-Id: ID\r\n";

    #[test]
    fn a_clean_message_gets_two_fields_and_keeps_every_octet() {
        let raw = "Received: x\r\n\ty\r\nSubject: s\r\n\r\nbody \u{e9}\r\n";
        assert_eq!(marked(raw, &Marks::default()), format!("{OURS}{raw}"));
    }

    #[test]
    fn forged_fields_go_in_any_spelling() {
        let raw = "A: 1\r\nX-SEKISHO-Verdict: clean\r\n folded\r\nx-sekisho-id : 7\r\nB: 2\r\nX-Sekisho-New: x\r\n\r\nX-Sekisho-Id: body\r\n";
        assert_eq!(marked(raw, &Marks::default()), format!("{OURS}A: 1\r\nB: 2\r\n\r\nX-Sekisho-Id: body\r\n"));
    }

    #[test]
    fn forged_fields_go_wherever_some_reader_sees_a_header() {
        for hidden in ["A: 1\r\n \r\n", "A: 1\r\n\t \r\n B\r\n", "A: 1\r\nrubbish\r\n", "From x Mon\r\n"] {
            let raw = format!("{hidden}X-Sekisho-Verdict: clean\r\n \r\nC: 2\r\n\r\nX-Sekisho-Id: body\r\n");
            let rest = format!("{hidden}C: 2\r\n\r\nX-Sekisho-Id: body\r\n");
            assert_eq!(marked(&raw, &Marks::default()), format!("{OURS}{rest}"));
        }
        // All of it is body, which nobody may touch.
        let raw = "no header here\r\nX-Sekisho-Id: body\r\n\r\n";
        assert_eq!(marked(raw, &Marks::default()), format!("{OURS}\r\n{raw}"));
        // To a milter's MTA they are fields, to be deleted one by one.
        let raw = b"A: 1\r\n \r\nX-Sekisho-Id: 2\r\nX-Sekisho-Id: 3\r\n\r\n";
        let changes = changes(raw, &verdict(Level::Clean, true, ""), "ID", "r", &Marks::default());
        let known: Vec<usize> = changes.fields.iter().map(|field| field.index).collect();
        assert_eq!(known, [1, 2]);
    }

    #[test]
    fn a_message_without_header_gets_an_empty_line() {
        assert_eq!(marked(" led by space\r\n", &Marks::default()), format!("{OURS}\r\n led by space\r\n"));
        assert_eq!(marked("no header here\r\n", &Marks::default()), format!("{OURS}\r\nno header here\r\n"));
        assert_eq!(marked("\r\nbody\r\n", &Marks::default()), format!("{OURS}\r\nbody\r\n"));
        assert_eq!(marked("", &Marks::default()), OURS);
    }

    #[test]
    fn the_first_subject_is_prefixed_once() {
        let tag = Marks { subject_prefix: Some("[X] ".to_owned()), ..Marks::default() };
        assert_eq!(
            marked("Subject: a\r\nSubject: b\r\n\r\n", &tag),
            format!("{OURS}Subject: [X] a\r\nSubject: b\r\n\r\n")
        );
        assert_eq!(marked("Subject: [X] a\r\n\r\n", &tag), format!("{OURS}Subject: [X] a\r\n\r\n"));
        assert_eq!(marked("Subject:\r\n\r\n", &tag), format!("{OURS}Subject: [X] \r\n\r\n"));
        assert_eq!(marked("A: 1\r\n\r\n", &tag), format!("{OURS}Subject: [X]\r\nA: 1\r\n\r\n"));
        let japanese = Marks { subject_prefix: Some("【注意】".to_owned()), ..Marks::default() };
        assert_eq!(
            marked("Subject: a\r\n\r\n", &japanese),
            format!("{OURS}Subject: =?UTF-8?B?44CQ5rOo5oSP44CR?= a\r\n\r\n")
        );
    }

    #[test]
    fn nothing_from_the_mail_can_end_a_field() {
        let bad = "請求書\r\nX-Evil: 1\r\n\r\n\0 is long ".repeat(30);
        let changes = changes(b"A: 1\r\n\r\n", &verdict(Level::Malicious, false, &bad), "ID", "r", &Marks::default());
        let copy = String::from_utf8(changes.edits().apply(b"A: 1\r\n\r\n")).unwrap();
        assert!(copy.starts_with("X-Sekisho-Verdict: malicious; incomplete\r\n"));
        assert!(copy.is_ascii() && !copy.contains("\r\nX-Evil") && !copy.contains('\0'));
        assert!(copy.lines().all(|line| line.len() < 100), "{copy}");
        assert_eq!(copy.matches("\r\n\r\n").count(), 1);
    }

    #[test]
    fn rule_fields_are_filled_in() {
        let tag = Marks {
            headers: vec![("X-Check".to_owned(), "{verdict} by {rule} {id}".to_owned())],
            subject_prefix: None,
        };
        assert_eq!(marked("A: 1\r\n\r\n", &tag), format!("{OURS}X-Check: clean by rule ID\r\nA: 1\r\n\r\n"));
    }
}
