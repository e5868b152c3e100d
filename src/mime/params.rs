//! Parameters of Content-Type and Content-Disposition (RFC 2045 5.1, 2183), with continuations and
//! character sets (RFC 2231), encoded words (RFC 2047) where they must not be, raw octets, missing
//! quotes and comments. Where a value can be read in several ways, all are kept.

use std::borrow::Cow;

use crate::mime::charset;
use crate::mime::decode;
use crate::part::Name;

/// Fields with more parameters than this are nobody's mail; the rest is not read, which is told.
const MAX_PARAMETERS: usize = 200;

/// Longest encoded word. RFC 2047 2 allows 75 octets, some senders put a whole name into one.
const MAX_WORD: usize = 4096;
/// Octets of a name that are kept: half of them from its beginning, half from its end, where the
/// extension is. No file system takes more than a kilobyte. A longer one is told, since an encoded
/// word that lost its middle shows nothing any more.
const MAX_NAME: usize = 4096;

/// A field value with parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Value {
    /// The value before the first semicolon: lower case, without comments and white space.
    pub main: String,
    /// The parameters in their order, names in lower case, still encoded.
    pub parameters: Vec<Parameter>,
    /// There are more parameters than are read.
    pub cut: bool,
}

/// One parameter as it stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Lower case, with the asterisks of RFC 2231.
    pub name: String,
    /// The value, and the other ways to read it.
    pub values: Vec<Vec<u8>>,
}

/// Reads a field value. Never fails: what is no parameter is passed over. Not every reader knows
/// comments, so the parameters are those that stand there with and without them.
pub fn parse(raw: &[u8]) -> Value {
    let bytes = unfold(raw);
    let stripped = without_comments(&bytes);
    if stripped == bytes {
        return parse_octets(bytes);
    }
    let (mut value, without) = (parse_octets(bytes), parse_octets(stripped));
    value.main = without.main;
    value.cut |= without.cut;
    for parameter in without.parameters {
        if !value.parameters.contains(&parameter) {
            value.parameters.push(parameter);
        }
    }
    value
}

fn parse_octets(bytes: Vec<u8>) -> Value {
    let mut scanner = Scanner { bytes, at: 0, unclosed: false };
    let main: String = String::from_utf8_lossy(&scanner.until_semicolon())
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '"')
        .collect::<String>()
        .to_ascii_lowercase();
    // "Content-Type: name=x" has no value, and yet names the part.
    let mut value = if main.contains('=') {
        scanner.at = 0;
        Value::default()
    } else {
        Value { main, ..Value::default() }
    };
    while let Some(parameter) = scanner.parameter() {
        if value.parameters.len() >= MAX_PARAMETERS {
            value.cut |= parameter.is_some();
            break;
        }
        value.parameters.extend(parameter);
    }
    value
}

impl Value {
    /// All readings of the parameter `name`: plain ones, duplicates, continuations.
    pub fn octets(&self, name: &str) -> Vec<Vec<u8>> {
        let mut found: Vec<Vec<u8>> = Vec::new();
        let plain = self.parameters.iter().filter(|p| p.name == name).flat_map(|p| p.values.iter().cloned());
        let extended = self.extended(name).into_iter().map(|extended| extended.octets);
        for value in plain.chain(extended) {
            if !found.contains(&value) {
                found.push(value);
            }
        }
        found
    }

    /// How many parameters of this name contradict each other (by their first reading).
    pub fn contradictions(&self, name: &str) -> usize {
        let mut seen: Vec<&[u8]> = Vec::new();
        for parameter in self.parameters.iter().filter(|p| p.name == name) {
            if let Some(value) = parameter.values.first()
                && !seen.contains(&value.as_slice())
            {
                seen.push(value);
            }
        }
        seen.len().saturating_sub(1)
    }

    /// Whether a name is longer than is kept.
    pub fn has_cut_name(&self) -> bool {
        ["name", "filename"].iter().flat_map(|name| self.octets(name)).any(|octets| octets.len() > MAX_NAME)
    }

    /// All readings of the parameter `name` as text, RFC 2231 first, as most readers prefer it.
    pub fn names(&self, name: &str) -> Vec<Name> {
        let mut names: Vec<Name> = Vec::new();
        for extended in self.extended(name) {
            let octets = shortened(&extended.octets);
            add(&mut names, charset::decode(extended.charset.as_deref(), &octets), &octets);
        }
        for parameter in self.parameters.iter().filter(|p| p.name == name) {
            for value in &parameter.values {
                let octets = shortened(value);
                add(&mut names, words(&octets), &octets);
            }
        }
        names
    }

    /// RFC 2231: `name*`, `name*0`, `name*0*`, `name*1` … joined and percent-decoded. With a gap
    /// in the numbers, the pieces before it are a second reading.
    fn extended(&self, name: &str) -> Vec<Extended> {
        let mut pieces: Vec<(u32, bool, &[u8])> = Vec::new();
        let mut found = Vec::new();
        for parameter in &self.parameters {
            let Some(rest) = parameter.name.strip_prefix(name).and_then(|rest| rest.strip_prefix('*')) else {
                continue;
            };
            let Some(value) = parameter.values.first() else { continue };
            if rest.is_empty() {
                found.extend(Extended::join(&[(0, true, value)]));
                continue;
            }
            let (digits, encoded) = rest.strip_suffix('*').map_or((rest, false), |digits| (digits, true));
            if let Ok(number) = digits.trim().parse() {
                pieces.push((number, encoded, value));
            }
        }
        pieces.sort_by_key(|piece| piece.0);
        let unbroken = pieces.iter().zip(0_u32..).take_while(|(piece, expected)| piece.0 == *expected).count();
        found.extend(Extended::join(&pieces));
        if unbroken < pieces.len() {
            found.extend(Extended::join(pieces.get(..unbroken).unwrap_or_default()));
        }
        found
    }
}

fn shortened(octets: &[u8]) -> Cow<'_, [u8]> {
    match (octets.first_chunk::<{ MAX_NAME / 2 }>(), octets.last_chunk::<{ MAX_NAME / 2 }>()) {
        (Some(first), Some(last)) if octets.len() > MAX_NAME => Cow::Owned([first.as_slice(), last].concat()),
        _ => Cow::Borrowed(octets),
    }
}

fn add(names: &mut Vec<Name>, decoded: charset::Decoded, octets: &[u8]) {
    let text = decoded.text.trim().to_owned();
    if !text.is_empty() && !names.iter().any(|name| name.text == text) {
        names.push(Name { text, raw: decoded.lossy.then(|| octets.to_vec()) });
    }
}

/// A value after RFC 2231.
struct Extended {
    charset: Option<String>,
    octets: Vec<u8>,
}

impl Extended {
    fn join(pieces: &[(u32, bool, &[u8])]) -> Option<Self> {
        let (first, rest) = pieces.split_first()?;
        let (mut charset, mut head) = (None, first.2.to_vec());
        // charset'language'value, in the first piece only
        if first.1 {
            let mut quoted = first.2.splitn(3, |byte| *byte == b'\'');
            if let (Some(label), Some(_), Some(value)) = (quoted.next(), quoted.next(), quoted.next()) {
                charset = Some(String::from_utf8_lossy(label).into_owned());
                head = value.to_vec();
            }
            head = percent_decode(&head);
        }
        let mut octets = head;
        for piece in rest {
            octets.extend(if piece.1 { percent_decode(piece.2) } else { piece.2.to_vec() });
        }
        Some(Self { charset: charset.filter(|label| !label.is_empty()), octets })
    }
}

fn percent_decode(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, tail)) = rest.split_first() {
        let escaped = match tail {
            [high, low, ..] if *first == b'%' => decode::hex(*high, *low),
            _ => None,
        };
        out.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    out
}

/// Decodes encoded words (RFC 2047) wherever they stand, and guesses the character set of the
/// rest. Words of one character set that follow each other are joined before they are decoded,
/// because many senders cut in the middle of a character.
pub fn words(bytes: &[u8]) -> charset::Decoded {
    let mut text = String::new();
    let mut lossy = false;
    let mut pending: Option<(String, Vec<u8>)> = None;
    let mut plain_from = 0;
    let mut at = 0;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memmem::find(rest, b"=?")) {
        let start = at.saturating_add(found);
        let Some((word, end)) = encoded_word(bytes, start) else {
            at = start.saturating_add(2);
            continue;
        };
        let between = bytes.get(plain_from..start).unwrap_or_default();
        let joins = pending.is_some() && between.trim_ascii().is_empty();
        if !joins || pending.as_ref().is_some_and(|(label, _)| *label != word.0) {
            flush(&mut pending, &mut text, &mut lossy);
        }
        if !joins && !between.is_empty() {
            let decoded = charset::decode(None, between);
            lossy |= decoded.lossy;
            text.push_str(&decoded.text);
        }
        match &mut pending {
            Some((_, octets)) => octets.extend(word.1),
            None => pending = Some(word),
        }
        (at, plain_from) = (end, end);
    }
    flush(&mut pending, &mut text, &mut lossy);
    let rest = charset::decode(None, bytes.get(plain_from..).unwrap_or_default());
    text.push_str(&rest.text);
    charset::Decoded { text, lossy: lossy || rest.lossy }
}

fn flush(pending: &mut Option<(String, Vec<u8>)>, text: &mut String, lossy: &mut bool) {
    if let Some((label, octets)) = pending.take() {
        let decoded = charset::decode(Some(&label), &octets);
        *lossy |= decoded.lossy;
        text.push_str(&decoded.text);
    }
}

/// `=?charset*language?B?text?=` at `start`: character set and octets, and where it ends.
fn encoded_word(bytes: &[u8], start: usize) -> Option<((String, Vec<u8>), usize)> {
    let rest = bytes.get(start.saturating_add(2)..)?;
    let label_end = memchr::memchr(b'?', rest.get(..rest.len().min(60))?)?;
    let label = String::from_utf8_lossy(rest.get(..label_end)?).to_ascii_lowercase();
    let label = label.split('*').next().unwrap_or_default().to_owned();
    let [encoding, b'?', text @ ..] = rest.get(label_end.saturating_add(1)..)? else { return None };
    let length = memchr::memmem::find(text.get(..text.len().min(MAX_WORD))?, b"?=")?;
    let text_bytes = text.get(..length)?;
    let octets = match encoding {
        b'B' | b'b' => decode::base64_runs(text_bytes),
        b'Q' | b'q' => {
            let spaced: Vec<u8> = text_bytes.iter().map(|byte| if *byte == b'_' { b' ' } else { *byte }).collect();
            decode::quoted_printable(&spaced, false)
        }
        _ => return None,
    };
    // "=?" label "?" encoding "?" text "?="
    let end = start.saturating_add(label_end).saturating_add(length).saturating_add(7);
    Some(((label, octets), end))
}

/// Removes line ends (and the white space that folding added is kept).
fn unfold(raw: &[u8]) -> Vec<u8> {
    raw.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n' | 0)).collect()
}

/// Reads parameters one by one.
struct Scanner {
    bytes: Vec<u8>,
    at: usize,
    unclosed: bool,
}

impl Scanner {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn advance(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    /// Everything up to the next semicolon outside of quotes.
    fn until_semicolon(&mut self) -> Vec<u8> {
        let start = self.at;
        let mut state = Text::default();
        while let Some(byte) = self.peek() {
            if byte == b';' && ((!state.quoted && !state.wide) || self.unclosed) {
                break;
            }
            state.feed(byte);
            self.advance();
        }
        // A quote that never closes must not swallow the parameters behind it. There is one at
        // most: behind it, quotes do not count (nor is the rest read again for each of them).
        if state.quoted {
            self.unclosed = true;
            let rest = self.bytes.get(start..).unwrap_or_default();
            self.at = start.saturating_add(memchr::memchr(b';', rest).unwrap_or(rest.len()));
        }
        self.bytes.get(start..self.at).unwrap_or_default().to_vec()
    }

    /// The next parameter; `Some(None)` if there is something without a value.
    fn parameter(&mut self) -> Option<Option<Parameter>> {
        while matches!(self.peek(), Some(b';' | b' ' | b'\t' | b',')) {
            self.advance();
        }
        let start = self.at;
        while !matches!(self.peek()?, b'=' | b';') {
            self.advance();
        }
        let name = without_comments(self.bytes.get(start..self.at).unwrap_or_default());
        let name: String =
            String::from_utf8_lossy(&name).chars().filter(|c| !c.is_whitespace() && !"()\"".contains(*c)).collect();
        if self.peek() == Some(b';') {
            return Some(None);
        }
        self.advance();
        let raw = self.until_semicolon();
        Some((!name.is_empty()).then(|| Parameter { name: name.to_ascii_lowercase(), values: readings(&raw) }))
    }
}

/// Where a scanner is inside of text: in quotes, behind a backslash, inside double-byte
/// ISO-2022-JP (where quotes and semicolons are halves of characters).
#[derive(Default)]
struct Text {
    quoted: bool,
    escaped: bool,
    wide: bool,
    last: [u8; 2],
}

impl Text {
    fn feed(&mut self, byte: u8) {
        let before = self.last;
        self.last = [before[1], byte];
        if before == [0x1b, b'$'] || self.last == [0x1b, b'$'] {
            self.wide = true;
        } else if self.last == [0x1b, b'('] {
            self.wide = false;
        } else if self.escaped {
            self.escaped = false;
        } else if !self.wide && byte == b'"' {
            self.quoted = !self.quoted;
        // After an octet above 0x7F a backslash may be the second half of a Shift_JIS character.
        } else if !self.wide && self.quoted && byte == b'\\' && before[1] < 0x80 {
            self.escaped = true;
        }
    }
}

/// All ways to read a parameter's raw value, the usual one first.
fn readings(raw: &[u8]) -> Vec<Vec<u8>> {
    let raw = raw.trim_ascii();
    let mut values = Vec::new();
    let mut add = |value: Vec<u8>| {
        let value = value.trim_ascii_end().to_vec();
        if !values.contains(&value) && (!value.is_empty() || values.is_empty()) {
            values.push(value);
        }
    };
    let bare = after_comments(raw);
    if bare.first() == Some(&b'"') {
        let (inside, rest) = quoted(bare);
        add(inside.clone());
        let rest = without_comments(rest);
        let rest = rest.trim_ascii();
        if !rest.is_empty() {
            // `"a" "b"` and `"a"b`: some readers join, some stop.
            let joined: Vec<u8> = rest.iter().copied().filter(|byte| *byte != b'"').collect();
            add([inside, joined].concat());
        }
        return values;
    }
    let stripped = without_comments(raw);
    // `report (1).pdf` is a name, `report.pdf (old)` has a comment.
    let comment_first = raw.starts_with(b"(") || raw.ends_with(b")");
    for value in if comment_first { [stripped.as_slice(), raw] } else { [raw, stripped.as_slice()] } {
        add(value.trim_ascii().to_vec());
    }
    if let Some(inside) = raw.strip_prefix(b"'").and_then(|rest| rest.strip_suffix(b"'")) {
        add(inside.to_vec());
    }
    values
}

/// The content of the quoted string with which `raw` begins, and what follows it.
fn quoted(raw: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut inside = Vec::new();
    let mut state = Text::default();
    for (i, byte) in raw.iter().enumerate() {
        let was_escaped = state.escaped;
        state.feed(*byte);
        if i == 0 {
            continue;
        }
        if !state.quoted {
            return (inside, raw.get(i.saturating_add(1)..).unwrap_or_default());
        }
        if !state.escaped || was_escaped {
            inside.push(*byte);
        } else if !matches!(raw.get(i.saturating_add(1)), Some(b'"' | b'\\')) {
            // Old Outlook writes C:\folder\file: only a quote or backslash is really escaped.
            inside.push(*byte);
        }
    }
    (inside, &[])
}

/// What follows the comments at the beginning.
fn after_comments(raw: &[u8]) -> &[u8] {
    let mut rest = raw.trim_ascii_start();
    while rest.first() == Some(&b'(') {
        let Some(end) = memchr::memchr(b')', rest) else { break };
        rest = rest.get(end.saturating_add(1)..).unwrap_or_default().trim_ascii_start();
    }
    rest
}

/// RFC 5322 3.2.2: comments go, nested ones too, but not inside quotes or double-byte
/// characters. With one that never closes nothing goes.
fn without_comments(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut depth = 0_usize;
    let mut state = Text::default();
    for byte in raw {
        let escape = state.last[1] == 0x1b;
        if depth == 0 {
            state.feed(*byte);
        }
        match byte {
            b'(' if !state.quoted && !state.wide && !escape => depth = depth.saturating_add(1),
            b')' if depth > 0 => {
                depth = depth.saturating_sub(1);
                continue;
            }
            _ => {}
        }
        if depth == 0 {
            out.push(*byte);
        }
    }
    if depth > 0 { raw.to_vec() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(raw: &[u8], parameter: &str) -> Vec<String> {
        parse(raw).names(parameter).into_iter().map(|name| name.text).collect()
    }

    #[track_caller]
    fn check(raw: &str, expected: &[&str]) {
        assert_eq!(names(raw.as_bytes(), "name"), expected, "{raw}");
    }

    #[test]
    fn the_usual_shapes() {
        check("text/plain; name=a.doc", &["a.doc"]);
        check("text/plain; NAME = \"a b.doc\" ; x=y", &["a b.doc"]);
        check("text/plain; name=a b.doc; x=y", &["a b.doc"]);
        check("text/plain;\r\n\tname=\"a;b.doc\"", &["a;b.doc"]);
        check("text/plain; name=\"a\\\"b.doc\"", &["a\"b.doc"]);
        check("text/plain; name=\"C:\\dir\\a.doc\"", &["C:\\dir\\a.doc"]);
        check("name=a.doc", &["a.doc"]);
        check("text/plain; name=", &[]);
        check("text/plain; name", &[]);
        check("text/plain; name=\"a.doc", &["a.doc"]);
        check("text/plain; name=\"a.doc; x=y", &["a.doc"]);
    }

    #[test]
    fn several_readings_are_all_kept() {
        check("a/b; name=a.doc; name=b.exe", &["a.doc", "b.exe"]);
        check("a/b; name=a.doc (old)", &["a.doc", "a.doc (old)"]);
        check("a/b; name=report (1).pdf", &["report (1).pdf", "report .pdf"]);
        check("a/b; name=\"a\" \".doc\"", &["a", "a.doc"]);
        check("a/b; name=a.txt; name*=utf-8''b.exe", &["b.exe", "a.txt"]);
    }

    #[test]
    fn rfc_2231_continuations_with_character_sets() {
        check("a/b; name*=utf-8'ja'%E8%AB%8B.doc", &["請.doc"]);
        check("a/b; name*0*=utf-8''%E8%AB; name*1*=%8B; name*2=\".doc\"", &["請.doc"]);
        check("a/b; name*1=b.doc; name*0=a", &["ab.doc"]);
        check("a/b; name*0=a; name*2=c.doc", &["ac.doc", "a"]);
        check("a/b; name*=shift_jis''%90%BF.doc", &["請.doc"]);
        check("a/b; name*=plain.doc", &["plain.doc"]);
        check("a/b; name*=utf-8''100%.doc", &["100%.doc"]);
    }

    #[test]
    fn names_longer_than_are_kept_are_told() {
        for (size, cut) in [(MAX_NAME - 1, false), (MAX_NAME, false), (MAX_NAME + 1, true)] {
            let word = |size: usize| format!("=?utf-8?Q?{}.exe?=", "x".repeat(size - 16));
            let halves = |size: usize| format!("a/b; name*0={}; name*1={}", "x".repeat(9), "x".repeat(size - 9));
            for text in [format!("a/b; name=\"{}\"", word(size)), format!("filename={}", word(size)), halves(size)] {
                assert_eq!(parse(text.as_bytes()).has_cut_name(), cut, "{size}");
            }
        }
    }

    #[test]
    fn encoded_words_inside_parameters() {
        check("a/b; name=\"=?UTF-8?B?6KuLLmRvYw==?=\"", &["請.doc"]);
        check("a/b; name==?utf-8?Q?=E8=AB=8B=2Edoc?=", &["請.doc"]);
        check("a/b; name=\"=?utf-8?B?6Ks=?=\r\n =?utf-8?B?iy5kb2M=?=\"", &["請.doc"]);
        check("a/b; name=\"x =?utf-8?q?a_b?= y\"", &["x a b y"]);
        check("a/b; name=\"=?utf-8?B?broken\"", &["=?utf-8?B?broken"]);
    }

    #[test]
    fn raw_japanese_octets_do_not_break_the_quotes() {
        for encoding in [encoding_rs::ISO_2022_JP, encoding_rs::SHIFT_JIS, encoding_rs::EUC_JP, encoding_rs::UTF_8] {
            let text = "a/b; name=\"表示ソ能力.xlsm\"; x=y";
            let (bytes, _, _) = encoding.encode(text);
            assert_eq!(names(&bytes, "name"), ["表示ソ能力.xlsm"], "{}", encoding.name());
        }
    }

    #[test]
    fn contradicting_duplicates_are_counted() {
        assert_eq!(parse(b"a/b; boundary=abc (x)").contradictions("boundary"), 0);
        assert_eq!(parse(b"a/b; (boundary=x;) boundary=y").octets("boundary"), [b"x", b"y"]);
        assert_eq!(parse(b"a/b; boundary=x; boundary=\"x\"").contradictions("boundary"), 0);
        assert_eq!(parse(b"a/b; boundary=x; boundary=y").contradictions("boundary"), 1);
        assert_eq!(parse(b"a/b; boundary=x; boundary=y").octets("boundary"), [b"x", b"y"]);
    }

    #[test]
    fn the_main_value_loses_comments_and_case() {
        assert_eq!(parse(b" Multipart / Mixed (why; not) ; a=b").main, "multipart/mixed");
        assert_eq!(parse(b"").main, "");
    }
}
