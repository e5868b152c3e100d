//! Rich text (RTF 1.9.1): its objects, its template, its fields, and its text.
//!
//! Word forgives nearly everything, and senders use it: `{\rt` with any rest, digits of objects between other
//! groups and control words, odd digits, `\bin`. So this is a row of control words, groups and text in one pass
//! with a bounded stack. Where objects can be read in two ways, both are examined. Of pictures, PNG, JPEG and bitmaps are
//! looked at.

use std::collections::HashSet;

use bytes::Bytes;
use memchr::memmem;

use super::blip::{self, Blip};
use super::{Format, cfb, classes, payload};
use crate::field::{self, Fields};
use crate::filetype::FileType;
use crate::finding;
use crate::lure;
use crate::part::{Name, Origin, Part};
use crate::reader::Reader;
use crate::scan::{Child, Scan};

/// Rich text.
pub const FORMAT: Format = Format { name: "rtf", walled: true, accepts, examine };

/// Groups that are kept apart; Word refuses some thousand. Deeper ones are read as the last.
const MAX_GROUPS: usize = 4096;
/// Objects of one document.
const MAX_OBJECTS: usize = 256;
/// Octets of one object; more is told.
const MAX_OBJECT: usize = 64 << 20;
/// Half octets of one picture, and pictures that are kept: of more, the largest.
const MAX_PICTURE: usize = 16 << 20;
const MAX_PICTURES: usize = 4;
/// Text that is kept for comparison with lures.
const MAX_TEXT: usize = 4 << 20;
/// Longest control word (RTF 1.9.1, "Control Word": 32 letters).
const MAX_WORD: usize = 32;
/// Things between the digits of an object from which on it was written to hide: honest ones have line breaks only.
const MANY_PIECES: usize = 8;

/// Destinations that may be passed over and hold text or objects.
const HOLDERS: &[&[u8]] = &[b"shppict", b"shpinst", b"shptxt", b"background", b"object", b"nonesttables"];

fn accepts(part: &Part) -> bool {
    part.types.has(FileType::Rtf)
}

fn examine(part: &Part, scan: &mut Scan) {
    let mut document = Document::default();
    let mut at = 0_usize;
    let mut steps = 0_usize;
    while at < part.bytes.len() {
        steps = steps.wrapping_add(1);
        if steps.is_multiple_of(1 << 16) && scan.stopped() {
            break;
        }
        at = document.step(&part.bytes, at);
    }
    document.finish();
    document.report(part, scan);
}

/// What the text of a group is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Use {
    #[default]
    Shown,
    Code,
    Result,
    Class,
    Digits,
    Template,
    Picture,
    Skipped,
}

#[derive(Clone, Copy, Debug, Default)]
struct Group {
    text: Use,
    /// `\*` was seen, and no word yet.
    is_starred: bool,
    /// Within the digits of an object: whether other readers pass over it.
    is_aside: bool,
    /// `\field` was seen in it.
    is_field: bool,
    /// It is the group of a `\pict`.
    is_picture: bool,
    starts_object: bool,
}

/// The digits of an object.
#[derive(Debug, Default)]
struct Digits {
    /// All of them, as half octets.
    all: Vec<u8>,
    /// Without those in groups that a reader may pass over.
    main: Vec<u8>,
    /// Control words, groups and other signs between them.
    pieces: usize,
}

/// A picture.
#[derive(Debug, Default)]
struct Picture {
    /// Half octets.
    halves: Vec<u8>,
    /// A bitmap without a file header.
    is_dib: bool,
    /// A metafile, or something else that is not read.
    is_other: bool,
}

impl Picture {
    fn push(&mut self, halves: &[u8]) {
        if self.halves.len() < MAX_PICTURE {
            self.halves.extend_from_slice(halves);
        }
    }
}

#[derive(Debug, Default)]
struct Document {
    picture: Picture,
    pictures: Vec<Picture>,
    groups: Vec<Group>,
    beyond: usize,
    now: Group,
    digits: Digits,
    objects: Vec<Digits>,
    class: String,
    classes: Vec<String>,
    template: String,
    text: String,
    code: String,
    fields: Fields,
    has_update: bool,
    is_cut: bool,
    /// Characters that stand for a `\u` and are passed over.
    skip: usize,
    /// How many characters stand for a `\u`; one, unless `\uc` says otherwise.
    uc: Option<usize>,
}

impl Document {
    /// Reads what stands at `at`; returns where the next thing stands.
    fn step(&mut self, bytes: &[u8], at: usize) -> usize {
        let next = at.saturating_add(1);
        match bytes.get(at).copied().unwrap_or(0) {
            b'{' => {
                self.begin();
                next
            }
            b'}' => {
                self.end();
                next
            }
            b'\\' => self.control(bytes, next),
            byte => {
                self.character(byte);
                next
            }
        }
    }

    fn begin(&mut self) {
        if self.now.text == Use::Digits {
            self.digits.pieces = self.digits.pieces.saturating_add(1);
        }
        if self.groups.len() < MAX_GROUPS {
            self.groups.push(self.now);
            self.now.is_starred = false;
            self.now.is_field = false;
            self.now.is_picture = false;
            self.now.starts_object = false;
        } else {
            self.beyond = self.beyond.saturating_add(1);
        }
    }

    fn end(&mut self) {
        if self.beyond > 0 {
            self.beyond = self.beyond.saturating_sub(1);
            return;
        }
        let ended = self.now;
        self.now = self.groups.pop().unwrap_or_default();
        if ended.starts_object {
            self.object();
        }
        if ended.text == Use::Class && self.now.text != Use::Class {
            let class = std::mem::take(&mut self.class);
            if self.classes.len() < MAX_OBJECTS {
                self.classes.push(class);
            }
        }
        if ended.text == Use::Code && self.now.text != Use::Code {
            let code = std::mem::take(&mut self.code);
            self.fields.text(&code);
            self.fields.separate();
        }
        if ended.is_picture {
            self.picture();
        }
        if ended.is_field {
            self.fields.end();
        }
    }

    /// The digits so far are a picture.
    fn picture(&mut self) {
        let picture = std::mem::take(&mut self.picture);
        if picture.halves.is_empty() || picture.is_other {
            return;
        }
        self.pictures.push(picture);
        if self.pictures.len() > MAX_PICTURES {
            self.pictures.sort_by_key(|picture| std::cmp::Reverse(picture.halves.len()));
            self.pictures.truncate(MAX_PICTURES);
        }
    }

    /// The digits so far are an object.
    fn object(&mut self) {
        let digits = std::mem::take(&mut self.digits);
        if digits.all.is_empty() {
            return;
        }
        if self.objects.len() < MAX_OBJECTS { self.objects.push(digits) } else { self.is_cut = true }
    }

    /// What never ends is there all the same.
    fn finish(&mut self) {
        self.object();
        self.picture();
        if !self.code.is_empty() {
            let code = std::mem::take(&mut self.code);
            self.fields.code(&code);
        }
    }

    fn control(&mut self, bytes: &[u8], at: usize) -> usize {
        let rest = bytes.get(at..).unwrap_or_default();
        let next = at.saturating_add(1);
        match rest.first().copied() {
            Some(byte) if byte.is_ascii_alphabetic() => {
                let length =
                    rest.iter().take(MAX_WORD.saturating_mul(8)).take_while(|b| b.is_ascii_alphabetic()).count();
                let word = rest.get(..length).unwrap_or_default();
                let mut end = length;
                if rest.get(end) == Some(&b'-') && rest.get(end.saturating_add(1)).is_some_and(u8::is_ascii_digit) {
                    end = end.saturating_add(1);
                }
                let digits =
                    rest.get(end..).unwrap_or_default().iter().take(255).take_while(|b| b.is_ascii_digit()).count();
                end = end.saturating_add(digits);
                let number = std::str::from_utf8(rest.get(length..end).unwrap_or_default())
                    .ok()
                    .and_then(|n| n.parse::<i64>().ok());
                if rest.get(end) == Some(&b' ') {
                    end = end.saturating_add(1);
                }
                let end = at.saturating_add(end);
                self.word(&word.to_ascii_lowercase(), number, bytes, end)
            }
            Some(b'\'') => {
                let pair = rest.get(1..3).unwrap_or_default();
                if self.now.text == Use::Digits {
                    self.digits.pieces = self.digits.pieces.saturating_add(1);
                } else if let [high, low] = pair
                    && let (Some(high), Some(low)) = (nibble(*high), nibble(*low))
                {
                    self.character((high << 4) | low);
                }
                at.saturating_add(3)
            }
            Some(b'*') => {
                self.now.is_starred = true;
                next
            }
            Some(byte @ (b'\\' | b'{' | b'}')) => {
                self.character(byte);
                next
            }
            Some(_) => next,
            None => at,
        }
    }

    fn word(&mut self, word: &[u8], number: Option<i64>, bytes: &[u8], end: usize) -> usize {
        let starred = std::mem::take(&mut self.now.is_starred);
        if word == b"bin" {
            let count = number.and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
            let data = bytes.get(end..end.saturating_add(count));
            if let Some(data) = data.filter(|_| self.now.text == Use::Picture) {
                data.iter().for_each(|byte| self.picture.push(&[byte >> 4, byte & 15]));
            }
            if let Some(data) = data.filter(|_| self.now.text == Use::Digits) {
                for byte in data {
                    self.digit(byte >> 4);
                    self.digit(byte & 15);
                }
            }
            return if data.is_some() { end.saturating_add(count) } else { end };
        }
        if word == b"objdata" {
            if self.now.text != Use::Digits {
                self.now.text = Use::Digits;
                self.now.is_aside = false;
                self.now.starts_object = true;
            }
            return end;
        }
        if self.now.text == Use::Digits {
            self.digits.pieces = self.digits.pieces.saturating_add(1);
            self.now.is_aside |= starred && !self.now.starts_object;
            return end;
        }
        match word {
            b"objclass" => self.now.text = Use::Class,
            b"template" => self.now.text = Use::Template,
            b"objupdate" | b"objautlink" => self.has_update = true,
            b"field" => {
                self.now.is_field = true;
                self.fields.begin();
            }
            b"fldinst" => self.now.text = Use::Code,
            b"fldrslt" => self.now.text = Use::Result,
            b"fonttbl"
            | b"colortbl"
            | b"stylesheet"
            | b"info"
            | b"themedata"
            | b"colorschememapping"
            | b"latentstyles"
            | b"datastore"
            | b"listtable"
            | b"generator"
            | b"blipuid" => self.now.text = Use::Skipped,
            b"pict" if self.now.text == Use::Picture => {}
            b"pict" => {
                self.now.text = Use::Picture;
                self.now.is_picture = true;
                self.picture = Picture::default();
            }
            b"dibitmap" if self.now.text == Use::Picture => self.picture.is_dib = true,
            b"wmetafile" | b"emfblip" | b"macpict" | b"pmmetafile" | b"wbitmap" if self.now.text == Use::Picture => {
                self.picture.is_other = true;
            }
            b"par" | b"line" | b"row" | b"cell" | b"page" => self.character(b'\n'),
            b"tab" => self.character(b' '),
            b"uc" => self.uc = number.and_then(|n| usize::try_from(n).ok()).unwrap_or(1).min(8).into(),
            b"u" => {
                // Negative numbers stand for the upper half.
                let unit = number.map_or(0, |n| n.rem_euclid(65_536));
                if let Some(c) = u32::try_from(unit).ok().and_then(char::from_u32) {
                    self.put(c);
                }
                self.skip = self.uc.unwrap_or(1);
            }
            // An unknown destination is passed over, unless it is one of those that hold others.
            _ if starred && self.now.text == Use::Shown && !HOLDERS.contains(&word) => self.now.text = Use::Skipped,
            // Properties of a picture, with words and numbers among them.
            _ if starred && self.now.text == Use::Picture && !self.now.is_picture => self.now.text = Use::Skipped,
            b"shptxt" | b"result" => self.now.text = Use::Shown,
            _ => {}
        }
        end
    }

    fn digit(&mut self, half: u8) {
        if self.digits.all.len() >= MAX_OBJECT.saturating_mul(2) {
            self.is_cut = true;
            return;
        }
        self.digits.all.push(half);
        if !self.now.is_aside {
            self.digits.main.push(half);
        }
    }

    fn character(&mut self, byte: u8) {
        if self.now.text == Use::Digits {
            match nibble(byte) {
                Some(half) => self.digit(half),
                None if byte.is_ascii_whitespace() => {}
                None => self.digits.pieces = self.digits.pieces.saturating_add(1),
            }
            return;
        }
        if matches!(byte, b'\r' | 0) {
            return;
        }
        if self.skip > 0 {
            self.skip = self.skip.saturating_sub(1);
            return;
        }
        if self.now.text == Use::Picture {
            if let Some(half) = nibble(byte) {
                self.picture.push(&[half]);
            }
            return;
        }
        self.put(char::from(byte));
    }

    fn put(&mut self, c: char) {
        match self.now.text {
            Use::Shown | Use::Result => {
                if self.text.len() < MAX_TEXT {
                    self.text.push(c);
                }
                if self.now.text == Use::Result {
                    self.fields.text(c.encode_utf8(&mut [0; 4]));
                }
            }
            Use::Code => {
                if self.code.len() < MAX_TEXT {
                    self.code.push(c);
                }
            }
            Use::Class => {
                if self.class.len() < 256 {
                    self.class.push(c);
                }
            }
            Use::Template => {
                if self.template.len() < 4096 {
                    self.template.push(c);
                }
            }
            Use::Digits | Use::Picture | Use::Skipped => {}
        }
    }

    fn report(mut self, part: &Part, scan: &mut Scan) {
        if !self.template.trim().is_empty() {
            field::template(self.template.trim(), part, "\\*\\template", scan);
        }
        std::mem::take(&mut self.fields).report(part, "\\field", scan);
        lure::document_text(scan, part, &self.text);
        if scan.is_asking() {
            let files: Vec<_> = self.pictures.iter().map(|picture| (octets(&picture.halves), picture.is_dib)).collect();
            let blips = files.iter().map(|(octets, is_dib)| Blip { octets, is_dib: *is_dib });
            blip::note_all(blips.collect(), part, "\\pict", scan);
        }
        let mut seen: HashSet<Vec<u8>> = HashSet::new();
        for (n, digits) in self.objects.iter().enumerate() {
            if scan.stopped() || scan.is_full() {
                return;
            }
            let location = format!("objdata {}", n.saturating_add(1));
            if digits.pieces >= MANY_PIECES {
                scan.finding(
                    finding::RTF_OBFUSCATED,
                    part,
                    &location,
                    &format!("{} other things among the digits of an object", digits.pieces),
                );
            }
            let both = digits.main.len() != digits.all.len();
            let readings = [Some(&digits.main), Some(&digits.all).filter(|_| both)];
            for halves in readings.into_iter().flatten() {
                let object = octets(halves);
                if seen.insert(object.clone()) {
                    self.object_found(&object, halves, part, &location, scan);
                }
            }
        }
        if self.is_cut {
            scan.finding(finding::LIMIT_EXCEEDED, part, "", "more or larger objects than are read");
        }
    }

    /// Judges one reading of an object.
    fn object_found(&self, object: &[u8], halves: &[u8], part: &Part, location: &str, scan: &mut Scan) {
        let stored = ole1(object);
        // A digit too much in front shifts all that follows; the signature is found all the same.
        let shifted = || find_halves(halves, cfb::MAGIC).map(|at| octets(halves.get(at..).unwrap_or_default()));
        let native = stored.as_ref().map_or(object, |stored| stored.data);
        let class = stored.as_ref().map_or("", |stored| stored.class.as_str());
        let file =
            memmem::find(object, cfb::MAGIC).map(|at| object.get(at..).unwrap_or_default().to_vec()).or_else(shifted);
        if stored.is_none() && file.is_none() {
            scan.finding(finding::RTF_OBJECT_BROKEN, part, location, "an object without a header");
        }
        let named: Vec<&str> = self.classes.iter().map(String::as_str).chain([class]).collect();
        match file {
            Some(bytes) => {
                // A compound file whose directory is broken tells by its octets.
                classes::loose(&bytes, part, location, scan);
                child(Vec::new(), Bytes::from(bytes), part, location, scan);
            }
            None => {
                classes::loose(object, part, location, scan);
                for class in named.iter().copied().filter(|name| name.to_ascii_lowercase().contains("equation")).take(1)
                {
                    classes::native(class, native, part, location, scan);
                }
                // The class in the octets, where the header does not lead to it.
                let lower: Vec<u8> = object.iter().take(512).map(u8::to_ascii_lowercase).collect();
                if class.is_empty() && memmem::find(&lower, b"equation.").is_some() {
                    scan.finding(finding::OBJECT_EXPLOIT, part, location, "an Equation object without a formula");
                }
                if let Some((names, data)) = cfb::package(native) {
                    child(names, Bytes::copy_from_slice(data), part, location, scan);
                } else if native.len() > 64 {
                    child(Vec::new(), Bytes::copy_from_slice(native), part, location, scan);
                }
            }
        }
        for class in named {
            classes::native(class, cfb::MAGIC, part, location, scan);
        }
    }
}

/// Puts what an object holds on the work list.
fn child(names: Vec<Name>, bytes: Bytes, part: &Part, location: &str, scan: &mut Scan) {
    payload::embedded(&names, &bytes, part, location, scan);
    if bytes.len() as u64 > scan.room() {
        return scan.limit(part, crate::limits::Limit::FileSize);
    }
    scan.child(part, Origin::Embedded, Child { names, bytes, ..Child::default() });
}

/// An object of OLE 1.0 ([MS-OLEDS] 2.2.5).
struct Stored<'a> {
    class: String,
    data: &'a [u8],
}

fn ole1(object: &[u8]) -> Option<Stored<'_>> {
    let mut reader = Reader::new(object);
    reader.skip(4)?; // any version is taken
    let format = reader.u32()?;
    if !matches!(format, 1 | 2 | 5) {
        return None;
    }
    let class = ansi(&mut reader)?;
    if format == 5 {
        return Some(Stored { class, data: reader.rest() });
    }
    let _topic = ansi(&mut reader)?;
    let _item = ansi(&mut reader)?;
    let size = (reader.u32()? as usize).min(reader.left());
    // A size of nothing hides the data from who believes it.
    let data = if size == 0 { reader.rest() } else { reader.take(size)? };
    Some(Stored { class, data })
}

/// LengthPrefixedAnsiString ([MS-OLEDS] 2.1.4).
fn ansi(reader: &mut Reader<'_>) -> Option<String> {
    let size = reader.u32()? as usize;
    let text = reader.take(size.min(4096)).filter(|_| size <= 4096)?;
    Some(text.iter().take_while(|byte| **byte != 0).map(|byte| char::from(*byte)).collect())
}

fn nibble(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn octets(halves: &[u8]) -> Vec<u8> {
    halves.chunks_exact(2).map(|two| two.iter().fold(0, |octet, half| (octet << 4) | half)).collect()
}

/// Where `wanted` stands among half octets, even or odd.
fn find_halves(halves: &[u8], wanted: &[u8]) -> Option<usize> {
    let wanted: Vec<u8> = wanted.iter().flat_map(|octet| [octet >> 4, octet & 15]).collect();
    memmem::find(halves, &wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knowledge::Knowledge;
    use crate::limits::Limits;
    use crate::scan::{Input, Report, Stop, scan};

    fn look(rtf: &str) -> Report {
        scan(Input::file(rtf.as_bytes().to_vec(), "a.rtf"), &Limits::default(), &Knowledge::default(), &Stop::default())
    }

    fn ids(rtf: &str) -> Vec<&'static str> {
        look(rtf).findings.iter().map(|found| found.id.as_str()).collect()
    }

    /// The digits of an OLE 1.0 object.
    fn digits(class: &str, data: &[u8]) -> String {
        let mut object = [1_u32.to_le_bytes(), 2_u32.to_le_bytes()].concat();
        object.extend((class.len() as u32 + 1).to_le_bytes());
        object.extend([class.as_bytes(), &[0], &[0; 8], &(data.len() as u32).to_le_bytes(), data].concat());
        data_encoding::HEXLOWER.encode(&object)
    }

    #[test]
    fn an_equation_that_is_none_is_an_exploit_however_it_is_written() {
        let plain = digits("Equation.3", &[0x41; 200]);
        let (head, tail) = plain.split_at(31);
        for rtf in [
            format!("{{\\rtf1{{\\object\\objemb{{\\*\\objclass Equation.3}}{{\\*\\objdata {plain}}}}}}}"),
            format!("{{\\rt0junk{{\\object\\objupdate{{\\*\\objdata {head}\\par {tail}}}}}"),
            format!("{{\\rtx{{\\*\\objdata {head}{{\\*\\xyz }}\n\r {tail}"),
            format!("{{\\rtf{{\\object{{\\objdata {head}{{\\*\\a 12ab}}{tail}}}}}}}"),
            format!("{{\\rtf{{\\*\\objdata \\bin0 {head}\\'20{tail}}}"),
            format!("{{\\rtf{{\\*\\objdata {}}}", digits("eQuAtIoN.3", &[9; 99])),
        ] {
            assert!(ids(&rtf).contains(&"object-exploit"), "{rtf}: {:?}", ids(&rtf));
        }
    }

    #[test]
    fn honest_text_is_nothing() {
        for rtf in [
            "{\\rtf1\\ansi{\\fonttbl{\\f0 Arial;}}Hello \\b world\\b0\\par}",
            "{\\rtf1{\\*\\template C:\\\\Templates\\\\letter.dot}x}",
            "{\\rtf1{\\field{\\*\\fldinst HYPERLINK \"http://a.example/\"}{\\fldrslt here}}}",
            "{\\rtf1 object objdata d0cf11e0 Equation.3}",
            "{\\rtf",
        ] {
            assert_eq!(ids(rtf), Vec::<&str>::new(), "{rtf}");
        }
    }

    #[test]
    fn templates_and_fields_are_judged() {
        assert!(ids(&format!("{{\\rtf{{\\*\\objdata {}}}}}", "0a\\x1 ".repeat(40))).contains(&"rtf-obfuscated"));
        assert!(ids("{\\rtf1{\\*\\template http://203.0.113.9/x.dotm}}").contains(&"remote-template"));
        assert!(
            ids("{\\rtf1{\\field{\\*\\fldinst DDEAUTO cmd {\\b \"/c x\"}}{\\fldrslt a}}}").contains(&"dde-command")
        );
        assert!(
            ids("{\\rtf1{\\*\\template \\u104?\\u116?\\u116?\\u112?\\u58?\\u47?\\u47?203.0.113.9/x}}")
                .contains(&"remote-template")
        );
    }

    #[test]
    fn packages_become_parts_with_their_names() {
        let mut package = vec![2, 0];
        package.extend(b"run.js\0C:\\run.js\0\0\0\x03\0");
        package.extend([&4_u32.to_le_bytes()[..], b"abc\0", &5_u32.to_le_bytes(), b"x = 1"].concat());
        let report = look(&format!("{{\\rtf1{{\\object{{\\*\\objdata {}}}}}}}", digits("Package", &package)));
        assert!(report.parts.iter().any(|part| part.names == ["run.js"]), "{report:?}");
        assert!(report.findings.iter().any(|found| found.id == finding::EMBEDDED_SCRIPT), "{report:?}");
    }

    #[test]
    fn hostile_text_costs_linear_time_and_never_fails() {
        for piece in [
            "{",
            "}",
            "\\",
            "{\\*",
            "\\bin99999999999999999999 ",
            "\\'",
            "\\u-9 ",
            "{\\*\\objdata 0",
            "{\\field{\\fldinst ",
            "\\bin4 ",
        ] {
            look(&format!("{{\\rtf{}", piece.repeat(200_000 / piece.len())));
        }
    }
}
