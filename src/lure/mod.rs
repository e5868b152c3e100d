//! Text that persuades: phrases that ask the reader to enable content, to copy a document to a
//! trusted folder, or that tell a password.
//!
//! Manuals explain macros in the same words. So one phrase proves nothing: an action (a button's
//! caption) needs a reason ("this document is protected") or company, and the verdict counts a
//! lure only beside active content.

mod charset;
mod guess;
mod password;
pub mod phrases;
mod picture;

use std::borrow::Cow;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use bytes::Bytes;
use unicode_normalization::{UnicodeNormalization, is_nfkc};

pub use self::charset::{decode_text, decode_xml};
pub use self::picture::{PICTURE, asked_in_picture, picture_text};
use crate::filetype::{self, FileType};
use crate::finding;
use crate::formats::markup::page_text;
use crate::part::{Name, Part};
use crate::scan::Scan;

/// Looks for lures in the text of a document.
pub fn document_text(scan: &mut Scan, part: &Part, text: &str) {
    let mut reading = Reading::default();
    reading.read(text);
    reading.end().report(scan, part);
}

/// Looks for lures and passwords in the text of the mail itself.
pub fn mail_text(scan: &mut Scan, part: &Part, text: &str) {
    let mut reading = Reading::default();
    reading.read(text);
    let phrases = reading.end();
    // Mail about an honest workbook asks to enable macros, too; the captions of the buttons are another matter.
    let button = phrases.first(Sense::Content).or(phrases.first(Sense::Editing));
    let strong = phrases.first(Sense::Macros).filter(|_| phrases.first(Sense::StrongReason).is_some());
    if let Some(phrase) = button.or(strong) {
        scan.finding(finding::LURE_MAIL_TEXT, part, "", phrase);
    }
    passwords_told(scan, part, text);
}

/// Looks for passwords: those that the text tells, and words that may be one.
fn passwords_told(scan: &mut Scan, part: &Part, text: &str) {
    let (passwords, more) = password::candidates(text);
    if more {
        scan.more_passwords();
    }
    if !passwords.is_empty() {
        scan.finding(finding::PASSWORD_TOLD, part, "", "");
        scan.tell_passwords(passwords);
    }
    scan.guess_passwords(guess::of_text(text));
}

/// Looks for passwords in the header of a message: its subject, and the day it was sent.
pub fn header(scan: &mut Scan, part: &Part, subject: Option<&str>, date: Option<&str>) {
    scan.guess_passwords(date.map(guess::of_date).unwrap_or_default());
    if let Some(subject) = subject {
        passwords_told(scan, part, subject);
    }
}

/// Octets of a file that are read for passwords: a note beside an archive is short.
pub const MAX_NOTE: u64 = 64 << 10;

/// Looks for passwords in a file beside others, attached or in an archive: in its name, and in the text of a note.
pub fn file(scan: &mut Scan, part: &Part, names: &[Name], content: &Bytes) {
    for name in names {
        scan.guess_passwords(guess::of_name(&name.text));
        let spaced = name.text.replace(['_', '.'], " ");
        let (told, _) = password::candidates(&spaced);
        if !told.is_empty() {
            scan.tell_passwords(told);
        }
    }
    if content.is_empty() || content.len() as u64 > MAX_NOTE {
        return;
    }
    let types = filetype::detect(content);
    let is_page = types.has(FileType::Html);
    if is_page || types.has(FileType::Text) {
        let text = decode_text(content);
        passwords_told(scan, part, &if is_page { page_text(&text) } else { text });
    }
}

/// What a phrase means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sense {
    /// "Enable Content".
    Content,
    /// "Enable Editing".
    Editing,
    /// "Enable macros".
    Macros,
    /// A pretext that honest documents do not use.
    StrongReason,
    /// A pretext that manuals use as well.
    WeakReason,
    /// A folder that Office trusts.
    Folder,
    /// A request to copy the file.
    AskToCopy,
}

/// Senses in the order of their slots in [`Phrases`].
const SENSES: [Sense; 7] = [
    Sense::Content,
    Sense::Editing,
    Sense::Macros,
    Sense::StrongReason,
    Sense::WeakReason,
    Sense::Folder,
    Sense::AskToCopy,
];

/// A document that is being read, piece by piece: a package has its text in many parts.
///
/// Reasons count only beside a request, and most text makes none. So the text waits, squeezed, until
/// it is known whether any of it does, and only then is it compared with all phrases.
#[derive(Debug, Default)]
pub struct Reading {
    found: Phrases,
    waiting: Vec<u8>,
}

/// Squeezed text that waits at most: a book. Beyond that it is compared without a look for requests.
const MAX_WAITING: usize = 1 << 20;

impl Reading {
    /// Reads one piece.
    pub fn read(&mut self, text: &str) {
        let characters = squeeze(text, &mut self.waiting);
        self.found.length = self.found.length.saturating_add(characters);
        // No phrase spans two pieces.
        self.waiting.push(b'\n');
        if self.waiting.len() > MAX_WAITING {
            self.compare();
        }
    }

    /// What was found in all that was read. If it makes no request, reasons may be missing.
    pub fn end(mut self) -> Phrases {
        if self.found.any() || REQUESTS.is_match(&self.waiting) {
            self.compare();
        }
        self.found
    }

    fn compare(&mut self) {
        for found in TABLE.automaton.find_overlapping_iter(&self.waiting) {
            if let Some((sense, phrase)) = TABLE.phrases.get(found.pattern().as_usize()) {
                self.found.add(*sense, phrase);
            }
        }
        self.waiting.clear();
    }
}

/// The phrases of one document.
#[derive(Debug, Default)]
pub struct Phrases {
    /// The first phrase of each sense, as it stands in the table.
    first: [Option<&'static str>; SENSES.len()],
    /// Characters of the document, without white space.
    length: usize,
}

/// A page that holds little but the request; a lure page has 200 to 600 characters.
const SHORT: usize = 800;

impl Phrases {
    fn any(&self) -> bool {
        self.first.iter().any(Option::is_some)
    }

    fn add(&mut self, sense: Sense, phrase: &'static str) {
        if let Some(slot) = SENSES.iter().position(|s| *s == sense).and_then(|n| self.first.get_mut(n)) {
            // Of phrases that begin alike, the longest is shown.
            if slot.is_none_or(|known| phrase.starts_with(known)) {
                *slot = Some(phrase);
            }
        }
    }

    fn first(&self, sense: Sense) -> Option<&'static str> {
        let slot = SENSES.iter().position(|s| *s == sense)?;
        self.first.get(slot).copied().flatten()
    }

    /// The phrase that asks to enable content, if this is a lure.
    pub fn asks_to_enable(&self) -> Option<&'static str> {
        let (content, editing) = (self.first(Sense::Content), self.first(Sense::Editing));
        let strong = self.first(Sense::StrongReason).is_some();
        let short = self.length < SHORT;
        // Every reader of mail meets the button that enables editing, and manuals mention it;
        // the one for content is another matter.
        let by_content = strong || short || editing.is_some() || self.first(Sense::WeakReason).is_some();
        content
            .filter(|_| by_content)
            .or(editing.filter(|_| strong || short))
            .or(self.first(Sense::Macros).filter(|_| strong))
    }

    /// The phrase that asks to copy the document to a trusted folder.
    pub fn asks_to_copy(&self) -> Option<&'static str> {
        self.first(Sense::AskToCopy).filter(|_| self.first(Sense::Folder).is_some())
    }

    /// Reports what was found.
    pub fn report(&self, scan: &mut Scan, part: &Part) {
        if let Some(phrase) = self.asks_to_enable() {
            scan.finding(finding::LURE_ENABLE_CONTENT, part, "", phrase);
        }
        if let Some(phrase) = self.asks_to_copy() {
            scan.finding(finding::LURE_TRUSTED_FOLDER, part, "", phrase);
        }
    }
}

struct Table {
    automaton: AhoCorasick,
    phrases: Vec<(Sense, &'static str)>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let split = |(_, sense, list): &(&str, Sense, &'static str)| {
        let sense = *sense;
        list.split('|').map(move |phrase| (sense, phrase))
    };
    let phrases: Vec<_> = phrases::PHRASES.iter().flat_map(split).collect();
    let patterns = phrases.iter().map(|(_, phrase)| squeezed(phrase));
    // No DFA: it would take half the time to search and twenty times as long to build, and every worker that starts
    // builds it.
    let automaton = AhoCorasick::builder().kind(Some(AhoCorasickKind::ContiguousNFA)).build(patterns);
    #[expect(clippy::expect_used, reason = "a table of constants: the tests build it")]
    let automaton = automaton.expect("some hundred short patterns");
    Table { automaton, phrases }
});

/// Finds whether a text may make a request at all.
static REQUESTS: LazyLock<AhoCorasick> = LazyLock::new(|| {
    // Few enough for the library to look at many octets at once.
    let patterns = phrases::REQUESTS.iter().map(|piece| squeezed(piece));
    #[expect(clippy::expect_used, reason = "a table of constants: the tests build it")]
    AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(patterns).expect("few short patterns")
});

fn squeezed(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    squeeze(text, &mut out);
    out
}

/// Appends text for comparison: NFKC, lower case, no white space and nothing invisible. Blanks within
/// words are a habit of Japanese layout and a trick of senders; the phrases lose theirs, too. Returns
/// how many characters it appended.
fn squeeze(text: &str, out: &mut Vec<u8>) -> usize {
    if text.is_ascii() {
        return squeeze_ascii(text.as_bytes(), out);
    }
    let mut shown = String::with_capacity(text.len());
    for c in nfkc(text).chars() {
        if c.is_ascii_graphic() {
            shown.push(c.to_ascii_lowercase());
        } else if !c.is_ascii() && is_visible(c) {
            shown.extend(c.to_lowercase().map(backslash));
        }
    }
    out.extend_from_slice(shown.as_bytes());
    shown.chars().count()
}

/// What most text is. Every octet is written and only the visible ones are kept: nobody can predict
/// where the blanks stand, a processor neither.
fn squeeze_ascii(text: &[u8], out: &mut Vec<u8>) -> usize {
    let start = out.len();
    let mut end = start;
    out.resize(start.saturating_add(text.len()), 0);
    for octet in text {
        out.get_mut(end).into_iter().for_each(|place| *place = octet.to_ascii_lowercase());
        end = end.wrapping_add(usize::from(octet.is_ascii_graphic()));
    }
    out.truncate(end);
    end.saturating_sub(start)
}

/// Compatible characters as one (UAX #15): wide letters, half-width kana.
fn nfkc(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || is_nfkc(text) { Cow::Borrowed(text) } else { Cow::Owned(text.nfkc().collect()) }
}

fn is_visible(c: char) -> bool {
    let invisible = c.is_whitespace()
        || c.is_control()
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}')
        || matches!(c, '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}')
        || matches!(c, '\u{e0000}'..='\u{e0fff}');
    !invisible
}

/// Japanese fonts show a yen sign where paths have a backslash.
fn backslash(c: char) -> char {
    if c == '¥' { '\\' } else { c }
}

#[cfg(test)]
mod tests;
