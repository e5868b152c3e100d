//! Transfer encodings (RFC 2045 6, uuencode, yEnc), decoded as the most forgiving mail reader would:
//! dirt is passed over, missing ends are no reason to stop. Where the octets allow several
//! readings, [`contents`] gives them all.

use std::ops::Range;

use bytes::Bytes;

use crate::filetype::{self, FileType};
use crate::mime::header::{Ends, line};

/// A transfer encoding by its label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transfer {
    /// 7bit, 8bit, binary.
    Identity,
    /// base64, and what is meant by it.
    Base64,
    /// quoted-printable.
    QuotedPrintable,
    /// uuencode, x-uuencode, x-uue.
    Uuencode,
    /// A label that nobody knows.
    Unknown,
}

/// The encoding that a label means, and whether it is spelt as the standard spells it. Readers
/// disagree about the others: some decode, some show the octets.
pub fn transfer(label: &str) -> (Transfer, bool) {
    let exact = label.trim().to_ascii_lowercase();
    let letters: String = exact.chars().filter(char::is_ascii_alphanumeric).collect();
    let has = |word: &str| letters.contains(word);
    match letters.as_str() {
        "base64" => (Transfer::Base64, exact == "base64"),
        "quotedprintable" => (Transfer::QuotedPrintable, exact == "quoted-printable"),
        "7bit" | "8bit" | "binary" | "" | "7bits" | "8bits" | "none" => (Transfer::Identity, true),
        _ if has("base") || has("b64") => (Transfer::Base64, false),
        _ if has("quoted") || has("printable") || letters == "qp" => (Transfer::QuotedPrintable, false),
        _ if has("uue") || has("uuencode") => (Transfer::Uuencode, true),
        _ if has("7bit") || has("8bit") || has("binary") => (Transfer::Identity, true),
        _ => (Transfer::Unknown, false),
    }
}

/// What a part holds.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// Every distinct reading, the one that most readers show first. Never empty.
    pub readings: Vec<Bytes>,
    /// Why there are several, if two readers would disagree.
    pub doubt: Option<&'static str>,
}

impl Contents {
    fn add(&mut self, bytes: Bytes) -> bool {
        let new = !self.readings.contains(&bytes);
        if new {
            self.readings.push(bytes);
        }
        new
    }

    /// Adds a reading that not every reader takes.
    pub(crate) fn also(&mut self, bytes: Bytes, doubt: &'static str) {
        if self.add(bytes) {
            self.doubt = self.doubt.or(Some(doubt));
        }
    }
}

/// Decodes `body` by all `transfers` it was labelled with (none: it has no label). Text that is
/// shown in line (`attached` is false) is read as base64 against its label only if that shows a
/// file.
pub fn contents(body: &Bytes, transfers: &[Transfer], attached: bool) -> Contents {
    let mut contents = Contents::default();
    for transfer in transfers {
        match transfer {
            Transfer::Identity => {
                contents.add(body.clone());
            }
            Transfer::Base64 => add_base64(&mut contents, body),
            Transfer::QuotedPrintable => add_quoted_printable(&mut contents, body, attached),
            Transfer::Uuencode => match uuencoded(body).into_iter().next() {
                Some(block) => drop(contents.add(block.bytes.into())),
                None => drop(contents.add(body.clone())),
            },
            Transfer::Unknown => {
                contents.add(body.clone());
                if has_escapes(body) {
                    contents.also(quoted_printable(body, true).into(), "unknown transfer encoding");
                }
            }
        }
    }
    if contents.readings.is_empty() {
        contents.add(body.clone());
    }
    if !transfers.contains(&Transfer::Base64) && looks_like_base64(body) {
        let decoded: Bytes = base64(body, Padding::Stop).0.into();
        if is_file(&decoded) {
            contents.also(decoded, "base64 without a label that says so");
        } else if attached {
            // A key, a number in hexadecimal: most of what passes as base64 is none.
            contents.add(decoded);
        }
    }
    contents
}

fn is_file(bytes: &[u8]) -> bool {
    !matches!(filetype::detect(bytes).main(), FileType::Data | FileType::Text)
}

/// What `=` means in the middle of base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Padding {
    /// The end (RFC 2045 6.8 allows to take it so).
    Stop,
    /// The end of one run, another follows.
    Restart,
    /// Dirt.
    Ignore,
}

fn add_base64(contents: &mut Contents, body: &Bytes) {
    if let Some(decoded) = canonical_base64(body) {
        contents.add(decoded.into());
        return;
    }
    // A line that begins like a delimiter is no base64: a closing delimiter that was damaged.
    let cut = delimiter_like(body).and_then(|cut| body.get(..cut));
    add_runs(contents, cut.unwrap_or(body));
    if cut.is_some() {
        let (decoded, _) = base64(body, Padding::Restart);
        contents.also(decoded.into(), "base64 goes on behind a line like a delimiter");
    }
    if !body.trim_ascii().is_empty() && !mostly_base64(body) {
        contents.also(body.clone(), "labelled base64 and is not");
    }
}

/// The octets of base64 as the standard wants it: nothing but the alphabet in lines, padding at the
/// very end. Almost all mail is like that, and there is only one way to read it. `None` for all else.
fn canonical_base64(body: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(body.len());
    let mut at = 0;
    for feed in memchr::memchr_iter(b'\n', body).chain([body.len()]) {
        let line = body.get(at..feed)?;
        text.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        at = feed.saturating_add(1);
    }
    // Padding is at the very end.
    let padding = memchr::memchr(b'=', &text).unwrap_or(text.len());
    if text.len().saturating_sub(padding) > 2 {
        return None;
    }
    let length = base64_simd::STANDARD.decode_inplace(&mut text).ok()?.len();
    text.truncate(length);
    Some(text)
}

/// What `=` in the middle can mean.
fn add_runs(contents: &mut Contents, text: &[u8]) {
    let (decoded, more) = base64(text, Padding::Stop);
    contents.add(decoded.into());
    if more {
        for padding in [Padding::Restart, Padding::Ignore] {
            contents.also(base64(text, padding).0.into(), "base64 goes on behind its end");
        }
    }
}

/// Where the first line begins that starts with two hyphens.
fn delimiter_like(body: &[u8]) -> Option<usize> {
    if body.starts_with(b"--") {
        return Some(0);
    }
    memchr::memmem::find(body, b"\n--")
}

const NONE: u8 = 0xff;

/// The value of each octet in base64 (RFC 4648 4), or `NONE`.
const SEXTETS: [u8; 256] = {
    let mut table = [NONE; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut value = 0;
    #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
    while value < alphabet.len() {
        table[alphabet[value] as usize] = value as u8;
        value += 1;
    }
    table
};

/// Whether all octets are of the alphabet.
pub(super) fn is_base64(text: &[u8]) -> bool {
    // Of whole groups the library says so, many octets at once, and almost all of a mail is that.
    if text.len().is_multiple_of(4) && base64_simd::STANDARD_NO_PAD.check(text).is_ok() {
        return true;
    }
    text.iter().fold(true, |all, octet| all & (octet.is_ascii_alphanumeric() | (*octet == b'+') | (*octet == b'/')))
}

fn sextet(byte: u8) -> Option<u8> {
    SEXTETS.get(usize::from(byte)).copied().filter(|value| *value != NONE)
}

/// The octets, and whether base64 follows behind the first `=`.
fn base64(text: &[u8], padding: Padding) -> (Vec<u8>, bool) {
    let mut out = Vec::with_capacity(text.len().saturating_mul(3) / 4);
    let (mut bits, mut count) = (0_u32, 0_u8);
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        if let Some(value) = sextet(*byte) {
            bits = (bits << 6) | u32::from(value);
            count = count.saturating_add(1);
            if count == 4 {
                let [_, first, second, third] = bits.to_be_bytes();
                out.extend_from_slice(&[first, second, third]);
                (bits, count) = (0, 0);
            }
        } else if *byte == b'=' && padding != Padding::Ignore {
            flush(&mut out, bits, count);
            (bits, count) = (0, 0);
            if padding == Padding::Stop {
                return (out, rest.any(|byte| sextet(*byte).is_some()));
            }
        }
    }
    flush(&mut out, bits, count);
    (out, false)
}

/// Two or three sextets at an end make one or two octets; one makes none.
fn flush(out: &mut Vec<u8>, bits: u32, count: u8) {
    match count {
        2 => out.extend(bits.checked_shr(4).map(|octet| octet.to_be_bytes()[3])),
        3 => out.extend(bits.checked_shr(2).map(|octets| octets.to_be_bytes()).iter().flat_map(|b| [b[2], b[3]])),
        _ => {}
    }
}

/// Base64 in runs that may each be padded: for encoded words, whose length is known.
pub fn base64_runs(text: &[u8]) -> Vec<u8> {
    base64(text, Padding::Restart).0
}

/// Whether the octets would pass as base64: at least 32 of the alphabet, lines without words,
/// at most one in twenty of something else.
pub fn looks_like_base64(text: &[u8]) -> bool {
    let (alphabet, other) = census(text);
    // More padding than that is quoted-printable.
    let padding = memchr::memchr_iter(b'=', text).count();
    alphabet >= 32 && other.saturating_add(padding.saturating_sub(4)).saturating_mul(20) <= alphabet
}

/// Whether three quarters are base64: less is another encoding.
fn mostly_base64(text: &[u8]) -> bool {
    let (alphabet, other) = census(text);
    other.saturating_mul(3) <= alphabet
}

/// How many octets are of the alphabet, and how many are neither that nor a line end or padding.
fn census(text: &[u8]) -> (usize, usize) {
    let alphabet = text.iter().filter(|byte| sextet(**byte).is_some()).count();
    let harmless = text.iter().filter(|byte| matches!(**byte, b'\r' | b'\n' | b'=')).count();
    (alphabet, text.len().saturating_sub(alphabet).saturating_sub(harmless))
}

fn add_quoted_printable(contents: &mut Contents, body: &Bytes, attached: bool) {
    contents.add(quoted_printable(body, true).into());
    if attached {
        // White space at the end of a line is to be removed (RFC 2045 6.7), and often is not.
        contents.add(quoted_printable(body, false).into());
    }
}

/// Whether there is at least one good escape.
fn has_escapes(body: &[u8]) -> bool {
    memchr::memchr_iter(b'=', body).any(|at| {
        body.get(at.saturating_add(1)..)
            .is_some_and(|rest| matches!(rest, [high, low, ..] if hex(*high, *low).is_some()))
    })
}

/// Quoted-printable (RFC 2045 6.7): bad escapes and octets above 0x7F stay as they are. `strip`
/// removes white space at the ends of lines.
pub fn quoted_printable(text: &[u8], strip: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(line) = line(text, at, text.len(), Ends::Lf) {
        at = line.span.end;
        let content = text.get(line.text.clone()).unwrap_or_default();
        let end = text.get(line.text.end..line.span.end).unwrap_or_default();
        let (trimmed, padding) = content.split_at(content.trim_ascii_end().len());
        let soft = trimmed.strip_suffix(b"=");
        unescape(soft.unwrap_or(trimmed), &mut out);
        if soft.is_some() {
            continue;
        }
        if !strip || end.is_empty() {
            out.extend_from_slice(padding);
        }
        out.extend_from_slice(end);
    }
    out
}

fn unescape(line: &[u8], out: &mut Vec<u8>) {
    let mut rest = line;
    while let Some(at) = memchr::memchr(b'=', rest) {
        let (before, escape) = rest.split_at(at);
        out.extend_from_slice(before);
        let (octet, used) = match escape {
            [_, high, low, ..] => hex(*high, *low).map_or((b'=', 1), |octet| (octet, 3)),
            [_, b'\r', ..] => {
                // A soft break that ends with a CR alone.
                rest = escape.get(2..).unwrap_or_default();
                continue;
            }
            _ => (b'=', 1),
        };
        out.push(octet);
        rest = escape.get(used..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

/// The octet of two hexadecimal digits, in either case.
pub(crate) fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some((digit(high)? << 4) | digit(low)?)
}

/// A file that stands encoded inside a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Where, from its first to its last line.
    pub range: Range<usize>,
    /// Its name, raw.
    pub name: Vec<u8>,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// More files than this in one text do not become parts, which is told.
pub const MAX_BLOCKS: usize = 1000;

/// Every uuencoded file (`begin 644 name`, also `begin-base64`) and yEnc file in a text. An end that
/// is missing is the first line that cannot belong to the file. One more than [`MAX_BLOCKS`] if there are more.
pub fn uuencoded(text: &[u8]) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut at = 0;
    while let Some(first) = line(text, at, text.len(), Ends::Lf) {
        let start = text.get(first.text.clone()).unwrap_or_default();
        at = first.span.end;
        let block = if let Some(rest) = start.strip_prefix(b"begin ") {
            mode_and_name(rest).and_then(|name| uu_block(text, at, name))
        } else if let Some(rest) = start.strip_prefix(b"begin-base64 ") {
            mode_and_name(rest).and_then(|name| base64_block(text, at, name))
        } else if let Some(rest) = start.strip_prefix(b"=ybegin ") {
            y_block(text, at, rest)
        } else {
            None
        };
        if let Some(mut block) = block {
            at = block.range.end;
            block.range.start = first.span.start;
            blocks.push(block);
            if blocks.len() > MAX_BLOCKS {
                break;
            }
        }
    }
    blocks
}

fn mode_and_name(rest: &[u8]) -> Option<&[u8]> {
    let rest = rest.trim_ascii();
    let digits = rest.iter().take_while(|byte| matches!(byte, b'0'..=b'7')).count();
    let name = rest.get(digits..)?.trim_ascii_start();
    ((3..=6).contains(&digits) && !name.is_empty()).then_some(name)
}

/// Lines of a uuencoded file that may be damaged one behind the other.
const MAX_BAD_LINES: usize = 3;

fn uu_block(text: &[u8], mut at: usize, name: &[u8]) -> Option<Block> {
    let start = at;
    let mut end = at;
    let mut bytes = Vec::new();
    let mut bad = 0_usize;
    while let Some(next) = line(text, at, text.len(), Ends::Lf) {
        let content = text.get(next.text.clone()).unwrap_or_default();
        at = next.span.end;
        if content.trim_ascii() == b"end" {
            end = at;
            break;
        }
        if content.is_empty() || content.trim_ascii() == b"`" {
            continue;
        }
        if content.starts_with(b"begin ") {
            // The next file.
            break;
        }
        if let Some(decoded) = uu_line(content) {
            bytes.extend(decoded);
            (end, bad) = (at, 0);
            continue;
        }
        bad = bad.saturating_add(1);
        if bad > MAX_BAD_LINES {
            break;
        }
    }
    (!bytes.is_empty()).then(|| Block { range: start..end, name: name.to_vec(), bytes })
}

/// One line: a length, then four characters for three octets. Spaces cut off at the end count
/// as zero; up to two characters more (a checksum) are passed over.
fn uu_line(line: &[u8]) -> Option<Vec<u8>> {
    let six = |byte: u8| (0x20..=0x60).contains(&byte).then(|| byte.wrapping_sub(0x20) & 0x3f);
    let (first, rest) = line.split_first()?;
    let length = usize::from(six(*first)?);
    let wanted = length.div_ceil(3).saturating_mul(4);
    if rest.len() > wanted.saturating_add(2) || rest.len().saturating_mul(2) < wanted {
        return None;
    }
    let mut out = Vec::with_capacity(length);
    for group in rest.get(..wanted.min(rest.len()))?.chunks(4) {
        let mut bits = 0_u32;
        for i in 0..4 {
            bits = (bits << 6) | u32::from(six(group.get(i).copied().unwrap_or(b' '))?);
        }
        out.extend_from_slice(bits.to_be_bytes().get(1..)?);
    }
    out.truncate(length);
    out.resize(length, 0);
    Some(out)
}

fn base64_block(text: &[u8], start: usize, name: &[u8]) -> Option<Block> {
    let mut at = start;
    let mut end = start;
    while let Some(next) = line(text, at, text.len(), Ends::Lf) {
        let content = text.get(next.text.clone()).unwrap_or_default();
        at = next.span.end;
        if content.starts_with(b"====") || !looks_like_base64_line(content) {
            break;
        }
        end = next.span.end;
    }
    let bytes = base64(text.get(start..end)?, Padding::Restart).0;
    (!bytes.is_empty()).then(|| Block { range: start..at, name: name.to_vec(), bytes })
}

fn looks_like_base64_line(line: &[u8]) -> bool {
    !line.is_empty() && line.trim_ascii().iter().all(|byte| sextet(*byte).is_some() || *byte == b'=')
}

/// yEnc 1.3: each octet plus 42; `=` marks one that had 64 added besides.
fn y_block(text: &[u8], start: usize, attributes: &[u8]) -> Option<Block> {
    let name_at = memchr::memmem::find(attributes, b"name=")?.saturating_add(5);
    let name = attributes.get(name_at..)?.trim_ascii().to_vec();
    let mut at = start;
    let mut bytes = Vec::new();
    while let Some(next) = line(text, at, text.len(), Ends::Lf) {
        let content = text.get(next.text.clone()).unwrap_or_default();
        if content.starts_with(b"=ybegin ") {
            // The next file.
            break;
        }
        at = next.span.end;
        if content.starts_with(b"=yend") {
            break;
        }
        if content.starts_with(b"=ypart") {
            continue;
        }
        let mut escaped = false;
        for byte in content {
            if *byte == b'=' && !escaped {
                escaped = true;
                continue;
            }
            bytes.push(byte.wrapping_sub(if escaped { 106 } else { 42 }));
            escaped = false;
        }
    }
    (!bytes.is_empty()).then_some(Block { range: start..at, name, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(body: &str, transfer: Transfer) -> Vec<Vec<u8>> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        contents(&body, &[transfer], true).readings.iter().map(|bytes| bytes.to_vec()).collect()
    }

    #[test]
    fn base64_survives_dirt_and_missing_ends() {
        for body in ["TWFueQ==", "TWFueQ", "T W\tF!u\r\ne*Q=\0=\n", "TWFu\reQ==\r\n"] {
            assert_eq!(all(body, Transfer::Base64)[0], b"Many", "{body:?}");
        }
        assert_eq!(all("", Transfer::Base64), [b""]);
        assert_eq!(all("T", Transfer::Base64), [b""]);
    }

    /// Base64 in lines, damaged at some places.
    fn damaged(random: &mut fastrand::Rng) -> Vec<u8> {
        let octets: Vec<u8> = (0..random.usize(..400)).map(|_| random.u8(..)).collect();
        let mut text = data_encoding::BASE64.encode(&octets).into_bytes();
        if random.bool() {
            text = text.chunks(76).flat_map(|line| [line, b"\r\n"].concat()).collect();
        }
        for _ in 0..random.usize(..3) {
            let at = random.usize(..=text.len());
            match random.u8(..4) {
                0 => text.insert(at, *random.choice(b"=\r\n -_\0\xff.A").unwrap()),
                1 => text.truncate(at),
                2 => drop(text.get_mut(at).map(|octet| *octet = random.u8(..))),
                _ => drop((at < text.len()).then(|| text.remove(at))),
            }
        }
        text
    }

    #[test]
    fn what_is_canonical_and_what_it_means_does_not_depend_on_the_decoder() {
        let mut random = fastrand::Rng::with_seed(4648);
        let mut both = [0, 0];
        for _ in 0..20_000 {
            let body = damaged(&mut random);
            let lines: Vec<&[u8]> = body.split(|octet| *octet == b'\n').collect();
            let text = lines.iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect::<Vec<_>>().concat();
            let padding = text.iter().position(|octet| *octet == b'=').unwrap_or(text.len());
            let other = data_encoding::BASE64.decode(&text).ok().filter(|_| text.len() - padding <= 2);
            let ours = canonical_base64(&body);
            both[usize::from(ours.is_some())] += 1;
            assert_eq!(ours, other, "{:?}", String::from_utf8_lossy(&body));
            if let Some(ours) = ours {
                assert_eq!(ours, base64(&body, Padding::Stop).0);
            }
            assert_eq!(is_base64(&text), text.iter().all(|octet| sextet(*octet).is_some()));
        }
        assert!(both.iter().all(|count| *count > 2000), "{both:?}");
    }

    #[test]
    fn two_readings_of_base64_are_both_given() {
        assert_eq!(all("TWFueQ==TWFu", Transfer::Base64)[..2], [b"Many".to_vec(), b"ManyMan".to_vec()]);
        let ignoring = all("TW=FueQ", Transfer::Base64);
        assert!(ignoring.contains(&b"Many".to_vec()), "{ignoring:?}");
        assert_eq!(all("TWFueQ==\n--x--", Transfer::Base64)[0], b"Many");
        assert_eq!(all("\x01\x02\x03 not at all ~~~ \x7f", Transfer::Base64).len(), 2);
        assert!(contents(&Bytes::from_static(b"TWFueQ==\r\n"), &[Transfer::Base64], true).doubt.is_none());
    }

    #[test]
    fn quoted_printable_keeps_what_is_no_escape() {
        let qp = |text: &str| String::from_utf8(quoted_printable(text.as_bytes(), true)).unwrap();
        assert_eq!(qp("a=3Db=\r\nc= \t\r\nd=ZZ=4=\n"), "a=bcd=ZZ=4");
        assert_eq!(qp("a \r\nb\t\nc "), "a\r\nb\nc ");
        assert_eq!(qp("=e3=81=82"), "あ");
        assert_eq!(qp("="), "");
        assert_eq!(quoted_printable(b"a =\nb", false), b"a b");
    }

    #[test]
    fn uuencoded_files_are_found_in_text() {
        let text = b"Hi\nbegin 644 cat.txt\n#0V%T\n`\nend\nbye\nbegin 1 x\nbegin 644 no data\n~~~~\n";
        let blocks = uuencoded(text);
        assert_eq!(blocks.len(), 1);
        assert_eq!((&blocks[0].name[..], &blocks[0].bytes[..]), (&b"cat.txt"[..], &b"Cat"[..]));
        assert_eq!(&text[blocks[0].range.clone()], b"begin 644 cat.txt\n#0V%T\n`\nend\n");
        assert_eq!(uuencoded(b"begin-base64 644 m\nTWFu\neQ==\n====\n")[0].bytes, b"Many");
        assert_eq!(uuencoded(b"=ybegin line=128 size=3 name=a b\n=n\x8b\n=yend size=3\n")[0].name, b"a b");
    }

    #[test]
    fn labels_as_people_write_them() {
        assert_eq!(transfer(" BASE64 "), (Transfer::Base64, true));
        assert_eq!(transfer("base-64"), (Transfer::Base64, false));
        assert_eq!(transfer("\"base64\""), (Transfer::Base64, false));
        assert_eq!(transfer("quoted printable"), (Transfer::QuotedPrintable, false));
        assert_eq!(transfer("x-uuencode"), (Transfer::Uuencode, true));
        assert_eq!(transfer("8BIT"), (Transfer::Identity, true));
        assert_eq!(transfer("rot13"), (Transfer::Unknown, false));
    }

    #[test]
    fn unlabelled_base64_is_read_both_ways() {
        let body = Bytes::from(data_encoding::BASE64.encode(&[7; 60]));
        assert_eq!(contents(&body, &[], true).readings.len(), 2);
        assert_eq!(contents(&body, &[Transfer::QuotedPrintable], true).readings.last().unwrap()[..], [7; 60]);
        assert_eq!(contents(&body, &[], false).readings.len(), 1);
        let prose = Bytes::from_static(b"This is a letter of some length, which nobody would take for base64.");
        assert_eq!(contents(&prose, &[], true).readings.len(), 1);
    }
}
