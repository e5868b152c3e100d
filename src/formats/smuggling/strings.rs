//! Strings in a text that can be files: Base64, forwards and backwards, hexadecimal digits, and lists of numbers, each in
//! one piece or in the pieces that a script joins.
//!
//! Every octet is decoded at most twice, whatever the text.

use std::iter;
use std::ops::Range;

use crate::filetype::{self, TypeSet};
use crate::mime::decode;

/// Octets of the smallest file that is looked for: a shortcut, a script of a few lines.
pub const MIN_OCTETS: usize = 160;
/// Digits that such a file takes in Base64.
const MIN_DIGITS: usize = MIN_OCTETS / 3 * 4;
/// Digits in a row that no word of a language or a program has.
const PIECE: usize = 40;
/// Octets between two pieces of one string: the end of a statement and the start of the next.
const GAP: usize = 64;

/// How files begin in Base64 that matter here, and those that pages show.
const STARTS: [&[u8]; 20] = [
    b"UEsDB",   // ZIP
    b"0M8R4KG", // compound file
    b"TVqQ",    // Windows program
    b"TVpQ",
    b"TVoA",
    b"N3q8ry",     // 7z
    b"UmFyIRoH",   // RAR
    b"JVBERi",     // PDF
    b"e1xyd",      // RTF
    b"H4sI",       // gzip
    b"QlpoO",      // bzip2
    b"TVNDRg",     // cabinet
    b"TAAAAAEUAg", // shortcut
    b"iVBORw0K",   // PNG
    b"/9j/",       // JPEG
    b"R0lGOD",     // GIF
    b"UklGR",      // RIFF
    b"d09G",       // fonts
    b"PHN2Zy",     // SVG
    b"PD94bWw",    // XML
];

/// A string that was decoded.
#[derive(Debug)]
pub struct Found {
    /// What it says.
    pub bytes: Vec<u8>,
    /// What that is.
    pub types: TypeSet,
}

impl Found {
    fn new(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() >= MIN_OCTETS).then(|| Self { types: filetype::detect(&bytes), bytes })
    }
}

/// Everything in the text that decodes to something that can be a file.
pub fn files(text: &[u8]) -> impl Iterator<Item = Found> {
    let strings = Strings { text, runs: Runs { text, at: 0 }, waiting: None };
    strings.filter_map(decoded).chain(Lists { text, at: 0 }.filter_map(Found::new))
}

/// What a string of digits says: hexadecimal, Base64, or Base64 backwards.
fn decoded(mut digits: Vec<u8>) -> Option<Found> {
    if digits.iter().all(u8::is_ascii_hexdigit) {
        let (pairs, _) = digits.as_chunks::<2>();
        return Found::new(pairs.iter().filter_map(|[high, low]| Some((hex(*high)? << 4) | hex(*low)?)).collect());
    }
    let last: Vec<u8> = digits.iter().rev().take(16).copied().collect();
    if starts_file(&last) {
        digits.reverse();
    }
    Found::new(decode::base64_runs(&digits))
}

/// Whether these digits of Base64 are how a file begins.
fn starts_file(digits: &[u8]) -> bool {
    STARTS.iter().any(|start| digits.starts_with(start))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

fn is_quote(byte: Option<&u8>) -> bool {
    matches!(byte, Some(b'"' | b'\'' | b'`'))
}

/// Runs of the digits of Base64 (RFC 4648 4), with the padding around them.
struct Runs<'a> {
    text: &'a [u8],
    at: usize,
}

impl Iterator for Runs<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        loop {
            let rest = self.text.get(self.at..)?;
            let mut start = self.at.saturating_add(rest.iter().position(|byte| is_digit(*byte))?);
            // In a string of a script, the letter behind a backslash is a line's end.
            let before = start.checked_sub(1).and_then(|before| self.text.get(before));
            if before == Some(&b'\\') && matches!(self.text.get(start), Some(b'n' | b'r' | b't')) {
                start = start.saturating_add(1);
            }
            let run = self.text.get(start..)?;
            let length = run.iter().position(|byte| !is_digit(*byte)).unwrap_or(run.len());
            let mut end = start.saturating_add(length);
            self.at = end.max(self.at.saturating_add(1));
            // What adds strings up is none of their digits.
            if run.get(..length)?.iter().all(|byte| *byte == b'+') {
                continue;
            }
            let padding = self.text.get(end..)?.iter().take(2).take_while(|byte| **byte == b'=').count();
            end = end.saturating_add(padding);
            self.at = end;
            return Some(start..end);
        }
    }
}

/// What becomes of a run behind a piece of a string.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// It belongs to the string.
    Joined,
    /// It ends the string, as the last line of a block does.
    Last,
    /// A name or a word between two pieces.
    Word,
    /// The string ended before it.
    Other,
}

/// Strings of digits, each joined from its pieces.
struct Strings<'a> {
    text: &'a [u8],
    runs: Runs<'a>,
    waiting: Option<Range<usize>>,
}

impl Iterator for Strings<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let first = self.waiting.take().or_else(|| self.runs.next())?;
            if !self.begins(&first) {
                continue;
            }
            let mut joined = self.text.get(first.clone())?.to_vec();
            let (mut end, mut pieces) = (first.end, 1_usize);
            while let Some(run) = self.runs.next() {
                let next = self.next_is(end, &run, pieces);
                match next {
                    Next::Word => continue,
                    Next::Other => {
                        self.waiting = Some(run);
                        break;
                    }
                    Next::Joined | Next::Last => {}
                }
                joined.extend_from_slice(self.text.get(run.clone()).unwrap_or_default());
                (end, pieces) = (run.end, pieces.saturating_add(1));
                if next == Next::Last {
                    break;
                }
            }
            if joined.len() >= MIN_DIGITS {
                return Some(joined);
            }
        }
    }
}

impl Strings<'_> {
    /// Whether a string of digits may begin with this run: a long one, or the start of a file that was cut up small.
    fn begins(&self, run: &Range<usize>) -> bool {
        run.len() >= PIECE || self.is_quoted(run) && self.starts_file(run)
    }

    fn is_quoted(&self, run: &Range<usize>) -> bool {
        let before = run.start.checked_sub(1).and_then(|before| self.text.get(before));
        is_quote(before) && is_quote(self.text.get(run.end))
    }

    fn starts_file(&self, run: &Range<usize>) -> bool {
        self.text.get(run.clone()).is_some_and(starts_file)
    }

    fn next_is(&self, end: usize, run: &Range<usize>, pieces: usize) -> Next {
        let gap = self.text.get(end..run.start).unwrap_or_default();
        if gap.len() > GAP || gap.ends_with(b"base64,") {
            return Next::Other;
        }
        if run.len() >= PIECE {
            return if self.starts_file(run) { Next::Other } else { Next::Joined };
        }
        let added = gap.windows(2).any(|two| two == b"+=");
        if added && self.is_quoted(run) {
            return Next::Joined;
        }
        let joins = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'`' | b'+' | b',' | b'\\');
        if !gap.iter().all(joins) {
            return Next::Word;
        }
        let digits = self.text.get(run.clone()).unwrap_or_default();
        let is_word = digits.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'/');
        if self.is_quoted(run) && (gap.contains(&b'+') || pieces > 1 || !is_word) {
            return Next::Joined;
        }
        let wrapped = pieces > 1 && gap.iter().all(|byte| byte.is_ascii_whitespace() || *byte == b'\\');
        if wrapped { Next::Last } else { Next::Word }
    }
}

/// Octets that stand as numbers: `80,75,3,4`, `0x50, 0x4b`, `\x50\x4b`, `%50%4b`.
struct Lists<'a> {
    text: &'a [u8],
    at: usize,
}

impl Iterator for Lists<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let rest = self.text.get(self.at..)?;
            let start = rest.iter().position(|byte| byte.is_ascii_digit() || matches!(byte, b'\\' | b'%'))?;
            let mut rest = rest.get(start..)?;
            let before = rest.len();
            let octets: Vec<u8> = iter::from_fn(|| {
                let (octet, behind) = number(rest)?;
                rest = behind;
                Some(octet)
            })
            .collect();
            let used = before.saturating_sub(rest.len()).max(1);
            self.at = self.at.saturating_add(start).saturating_add(used);
            if octets.len() >= MIN_OCTETS {
                return Some(octets);
            }
        }
    }
}

/// The octet that a number says, and what follows it and the separator behind it.
fn number(text: &[u8]) -> Option<(u8, &[u8])> {
    let prefixed = [&b"0x"[..], b"0X", b"\\x", b"%"].iter().find_map(|prefix| text.strip_prefix(*prefix));
    let (octet, rest) = match prefixed {
        Some([high, low, rest @ ..]) => ((hex(*high)? << 4) | hex(*low)?, rest),
        Some(_) => return None,
        None => {
            let digits = text.iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
            let value = text.get(..digits)?.iter().fold(0_u16, |value, digit| {
                value.saturating_mul(10).saturating_add(u16::from(digit.wrapping_sub(b'0')))
            });
            if digits == 0 {
                return None;
            }
            (u8::try_from(value).ok()?, text.get(digits..)?)
        }
    };
    let behind =
        rest.iter().take(8).position(|byte| !byte.is_ascii_whitespace() && *byte != b',').unwrap_or(rest.len().min(8));
    let rest = rest.get(behind..)?;
    // Decimal numbers are told apart by what stands between.
    let apart = prefixed.is_some() || behind > 0 || rest.first().is_none_or(|byte| !byte.is_ascii_alphanumeric());
    apart.then_some((octet, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filetype::Class;
    use data_encoding::{BASE64, HEXLOWER};

    fn file() -> Vec<u8> {
        let noise = (0..900_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8);
        b"7z\xbc\xaf\x27\x1c\0\x04".iter().copied().chain(noise).collect()
    }

    fn finds(text: &str) -> bool {
        files(text.as_bytes()).any(|found| found.bytes == file())
    }

    fn pieces(size: usize) -> Vec<String> {
        BASE64.encode(&file()).as_bytes().chunks(size).map(|piece| String::from_utf8(piece.to_vec()).unwrap()).collect()
    }

    #[test]
    fn files_are_found_however_they_stand() {
        let coded = BASE64.encode(&file());
        let backwards: String = coded.chars().rev().collect();
        let numbers =
            |form: &dyn Fn(&u8) -> String, between: &str| file().iter().map(form).collect::<Vec<_>>().join(between);
        for text in [
            format!("var a = atob(\"{coded}\");"),
            format!("<a href=\"data:application/x;base64,{coded}\">"),
            format!("x={coded}&y"),
            format!("var a = \"{backwards}\".split('').reverse().join('');"),
            format!("var a = '{}';", HEXLOWER.encode(&file())),
            format!("var a = \"{}\";", pieces(60).join("\" +\n  \"")),
            format!("var a = [\"{}\"].join('');", pieces(7).join("\",\"")),
            format!("var a = \"{}\";", pieces(76).join("\\n")),
            format!("var a = \"{}\";", pieces(76).join("\\\r\n")),
            format!("var a = \"{}\"; go(a);", pieces(100).join("\";\r\nvalue_of_it += \"")),
            format!("var b = new Blob([f(\"{coded}\",\"application/zip\")]);"),
            format!("-----BEGIN CERTIFICATE-----\r\n{}\r\n-----END CERTIFICATE-----\r\n", pieces(64).join("\r\n")),
            format!("new Uint8Array([{}])", numbers(&u8::to_string, ",")),
            format!("new Uint8Array([{}])", numbers(&|byte| format!("0x{byte:02X}"), ", ")),
            format!("var a = \"{}\";", numbers(&|byte| format!("\\x{byte:02x}"), "")),
            format!("unescape('{}')", numbers(&|byte| format!("%{byte:02x}"), "")),
        ] {
            let found: Vec<_> = files(text.as_bytes()).map(|found| (found.bytes.len(), found.types)).collect();
            assert!(finds(&text), "{text}: {found:?}");
        }
    }

    #[test]
    fn two_files_in_one_page_are_two() {
        let picture = BASE64.encode(&[b"\x89PNG\r\n\x1a\n".as_slice(), &[7; 500]].concat());
        let coded = BASE64.encode(&file());
        let text = format!("<img src='data:image/png;base64,{picture}'><a href='data:x;base64,{coded}'>");
        assert!(finds(&text) && files(text.as_bytes()).count() == 2);
    }

    #[test]
    fn words_are_no_strings() {
        let text = "The quick brown fox, \"jumps\" + 'over' the lazy dog 1234567890\r\n".repeat(200);
        assert_eq!(files(text.as_bytes()).count(), 0);
        for text in ["", "=", "\\n", "\\", "%", "%4", "\\x", "0x", "1", "999,", "++++", "\"\"", "A=", "AAAA"] {
            assert_eq!(
                files(text.repeat(300).as_bytes())
                    .filter(|found| found.types.iter().any(|known| known.class() != Class::Other))
                    .count(),
                0,
                "{text}"
            );
        }
    }
}
