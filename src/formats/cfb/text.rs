//! The text of Word, Excel and PowerPoint documents, as far as a reader would see it.
//!
//! Word's pieces ([MS-DOC] 2.8.35) with text boxes, headers and notes; Excel's shared strings,
//! labels and text boxes ([MS-XLS] 2.4.265, 2.4.148, 2.4.329); PowerPoint's text atoms
//! ([MS-PPT] 2.9.41, .42). Where these are broken, the readable runs of the stream. Leaves out
//! WordArt and what stands in pictures.

use super::CompoundFile;
use super::biff::{self, Piece, records};
use crate::field::Fields;
use crate::reader::Reader;

/// Octets of text that are given: a large book, or the strings of a large workbook. More is told.
const MAX_TEXT: usize = 16 << 20;
/// Shortest run of readable characters that counts as text where structure is missing.
const SHORTEST_RUN: usize = 6;

/// The text of the document in `file`, or the empty string, and whether there is more than is given.
pub fn text(file: &CompoundFile<'_>, room: u64) -> (String, bool) {
    let read = |name: &str| file.stream(None, name).map(|stream| file.read(stream, room));
    let raw = if let Some(document) = read("WordDocument") {
        let table = if flags(&document) & 0x0200 != 0 { "1Table" } else { "0Table" };
        let table = read(table).unwrap_or_default();
        pieces(&document, &table).map_or_else(|| runs(&document), |pieces| word_text(&document, &pieces))
    } else if let Some(workbook) = read("Workbook").or_else(|| read("Book")) {
        excel_text(&workbook)
    } else {
        read("PowerPoint Document").map(|stream| presentation_text(&stream)).unwrap_or_default()
    };
    (without_marks(&raw), raw.len() >= MAX_TEXT)
}

/// The fields of a Word document, with the marks around them ([MS-DOC] 2.8.25).
pub fn fields(file: &CompoundFile<'_>, room: u64) -> Fields {
    let read = |name: &str| file.stream(None, name).map(|stream| file.read(stream, room));
    let mut fields = Fields::default();
    let Some(document) = read("WordDocument").filter(|document| !is_word_encrypted(document)) else { return fields };
    let table = if flags(&document) & 0x0200 != 0 { "1Table" } else { "0Table" };
    let table = read(table).unwrap_or_default();
    let Some(pieces) = pieces(&document, &table) else { return fields };
    for run in word_text(&document, &pieces).split_inclusive(['\u{13}', '\u{14}', '\u{15}']) {
        fields.text(run.trim_end_matches(['\u{13}', '\u{14}', '\u{15}']));
        match run.chars().next_back() {
            Some('\u{13}') => fields.begin(),
            Some('\u{14}') => fields.separate(),
            Some('\u{15}') => fields.end(),
            _ => {}
        }
    }
    fields
}

/// The links of a workbook by DDE: server and topic ([MS-XLS] 2.4.271, where 0x03 stands between them).
pub fn dde_links(file: &CompoundFile<'_>, room: u64) -> Vec<(String, String)> {
    let stream = file.stream(None, "Workbook").or_else(|| file.stream(None, "Book"));
    let Some(workbook) = stream.map(|stream| file.read(stream, room)) else { return Vec::new() };
    dde_links_of(&workbook)
}

/// The same of a workbook stream.
pub fn dde_links_of(workbook: &[u8]) -> Vec<(String, String)> {
    // What is encrypted reads as anything.
    if has_file_pass(workbook) {
        return Vec::new();
    }
    let link = |(id, data): (u16, &[u8])| {
        let (mut reader, mut text) = (Reader::at(data, 4).filter(|_| id == SUPPORTING_BOOK)?, Text::default());
        let is_wide = reader.u8()? & 1 != 0;
        text.push(reader.rest(), is_wide);
        let (server, topic) = text.0.split_once('\u{3}')?;
        // A path begins with 0x01, and has 0x03 between its folders.
        let is_server = !server.is_empty() && !server.contains(char::is_control);
        is_server.then(|| (server.to_owned(), topic.to_owned()))
    };
    records(workbook).filter_map(link).take(256).collect()
}

/// [MS-DOC] 2.5.2: the bit field of the FIB that tells of encryption and the table stream.
fn flags(fib: &[u8]) -> u16 {
    Reader::at(fib, 10).and_then(|mut reader| reader.u16()).unwrap_or(0)
}

/// [MS-DOC] 2.5.2: fEncrypted of the FIB.
pub fn is_word_encrypted(fib: &[u8]) -> bool {
    Reader::new(fib).u16().is_some_and(|magic| magic == 0xA5EC || magic == 0xA5DC) && flags(fib) & 0x0100 != 0
}

/// [MS-XLS] 2.4.117: a FILEPASS record among the first of the workbook.
pub fn has_file_pass(workbook: &[u8]) -> bool {
    records(workbook).take_while(|(id, _)| *id != END_OF_SUBSTREAM).any(|(id, _)| id == 0x002F)
}

// Word --------------------------------------------------------------------------------------

/// Every piece, in the order of the document. All stories stand in one row of characters, so
/// text boxes, headers and notes come along.
fn word_text(document: &[u8], pieces: &[(usize, usize, bool)]) -> String {
    let mut text = Text::default();
    for (offset, count, is_wide) in pieces.iter().copied() {
        let octets = if is_wide { count.saturating_mul(2) } else { count };
        let end = offset.saturating_add(octets).min(document.len());
        let piece = document.get(offset..end).unwrap_or_default();
        if !text.push(piece, is_wide) {
            break;
        }
    }
    text.0
}

/// The piece table: where each piece stands in the document stream, its characters, their width.
fn pieces(document: &[u8], table: &[u8]) -> Option<Vec<(usize, usize, bool)>> {
    let mut fib = Reader::at(document, 0x01A2)?; // fcClx, lcbClx
    let mut clx = Reader::at(table, fib.u32()? as usize)?;
    loop {
        match clx.u8()? {
            1 => {
                let size = clx.u16()?;
                clx.skip(size.into())?;
            }
            2 => break,
            _ => return None,
        }
    }
    let size = (clx.u32()? as usize).min(clx.left());
    let plc = clx.take(size)?;
    let count = size.saturating_sub(4) / 12;
    let mut positions = Reader::new(plc);
    let mut descriptors = Reader::at(plc, count.checked_add(1)?.checked_mul(4)?)?;
    let mut start = positions.u32()?;
    let mut pieces = Vec::new();
    for _ in 0..count {
        let end = positions.u32()?;
        descriptors.skip(2)?;
        let place = descriptors.u32()?;
        descriptors.skip(2)?;
        let is_wide = place & 0x4000_0000 == 0;
        let offset = (place & 0x3FFF_FFFF) as usize;
        let characters = end.saturating_sub(start) as usize;
        pieces.push((if is_wide { offset } else { offset / 2 }, characters, is_wide));
        start = end;
    }
    Some(pieces)
}

// Excel -------------------------------------------------------------------------------------

const END_OF_SUBSTREAM: u16 = 0x000A;
const CONTINUE: u16 = 0x003C;
const SUPPORTING_BOOK: u16 = 0x01AE;
const SHARED_STRINGS: u16 = 0x00FC;
const LABEL: u16 = 0x0204;
const LABEL_2: u16 = 0x0004;
const TEXT_BOX: u16 = 0x01B6;
const HEADER: u16 = 0x0014;
const FOOTER: u16 = 0x0015;

/// The text of a workbook stream that stands by itself.
pub fn workbook_text(workbook: &[u8]) -> String {
    without_marks(&excel_text(workbook))
}

fn excel_text(workbook: &[u8]) -> String {
    if has_file_pass(workbook) {
        return String::new();
    }
    let mut text = Text::default();
    let mut records = records(workbook).peekable();
    while let Some((id, data)) = records.next() {
        let continued = |records: &mut std::iter::Peekable<_>| {
            std::iter::from_fn(|| records.next_if(|(id, _): &(u16, &[u8])| *id == CONTINUE))
                .map(|(_, data)| data)
                .collect()
        };
        match id {
            SHARED_STRINGS => {
                let mut parts: Vec<&[u8]> = continued(&mut records);
                parts.insert(0, data.get(8..).unwrap_or_default());
                biff::shared_strings(&parts, |piece| match piece {
                    Piece::Characters(octets, is_wide) => text.push(octets, is_wide),
                    Piece::End => text.line(&[], false),
                });
            }
            TEXT_BOX => {
                let parts: Vec<&[u8]> = continued(&mut records);
                text_box(data, &parts, &mut text);
            }
            HEADER | FOOTER => {
                // [MS-XLS] 2.4.136: length, flags, text.
                if let Some((flags, characters)) = data.get(2..).and_then(<[u8]>::split_first) {
                    text.line(characters, flags & 1 != 0);
                }
            }
            LABEL_2 if data.len() > 8 => {
                // Excel 2: row, column, format, length of one octet.
                text.line(data.get(8..).unwrap_or_default(), false);
            }
            LABEL => {
                // Row, column, format, length; then flags in BIFF8, the text at once before it.
                let characters = data.get(8..).unwrap_or_default();
                match characters.split_first() {
                    Some((flags @ (0 | 1), characters)) => text.line(characters, *flags == 1),
                    _ => text.line(characters, false),
                };
            }
            _ => {}
        }
        if text.is_full() {
            break;
        }
    }
    text.0
}

/// [MS-XLS] 2.4.329: the text stands in CONTINUE records, each with the width of its characters, until there
/// are as many as the record says; then formats follow.
fn text_box(record: &[u8], parts: &[&[u8]], text: &mut Text) {
    let count = Reader::at(record, 10).and_then(|mut reader| reader.u16()).unwrap_or(u16::MAX);
    let mut left = usize::from(count);
    for (flags, characters) in parts.iter().filter_map(|part| part.split_first()) {
        if left == 0 {
            break;
        }
        let is_wide = flags & 1 != 0;
        let width = if is_wide { 2 } else { 1 };
        let octets = characters.get(..left.saturating_mul(width)).unwrap_or(characters);
        text.push(octets, is_wide);
        left = left.saturating_sub(octets.len().div_ceil(width));
    }
    text.0.push('\n');
}

// PowerPoint --------------------------------------------------------------------------------

/// Text atoms wherever they stand: a container is entered by passing over its header only.
fn presentation_text(stream: &[u8]) -> String {
    let mut text = Text::default();
    let mut reader = Reader::new(stream);
    while let (Some(version), Some(id), Some(size)) = (reader.u16(), reader.u16(), reader.u32()) {
        if version & 0x0F == 0x0F {
            continue;
        }
        let size = (size as usize).min(reader.left());
        let data = reader.take(size).unwrap_or_default();
        let is_sound = match id {
            0x0FA0 => text.line(data, true),
            0x0FA8 => text.line(data, false),
            _ => true,
        };
        if !is_sound {
            break;
        }
    }
    text.0
}

// Characters --------------------------------------------------------------------------------

/// Text that is being collected, up to its limit.
#[derive(Default)]
struct Text(String);

impl Text {
    fn is_full(&self) -> bool {
        self.0.len() >= MAX_TEXT
    }

    /// Appends characters of two octets, or of one in Windows-1252; `false` once full.
    fn push(&mut self, octets: &[u8], is_wide: bool) -> bool {
        let room = MAX_TEXT.saturating_sub(self.0.len());
        let octets = octets.get(..octets.len().min(room)).unwrap_or_default();
        let encoding = if is_wide { encoding_rs::UTF_16LE } else { encoding_rs::WINDOWS_1252 };
        self.0.push_str(&encoding.decode_without_bom_handling(octets).0);
        !self.is_full()
    }

    fn line(&mut self, octets: &[u8], is_wide: bool) -> bool {
        self.push(octets, is_wide);
        self.0.push('\n');
        !self.is_full()
    }
}

/// Leaves out marks, and what stands between the marks of a Word field's code ([MS-DOC] 2.8.25);
/// the field's result is kept. All ends of lines and cells become line feeds.
fn without_marks(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    // For each open field, whether its code is still being passed over.
    let mut fields: Vec<bool> = Vec::new();
    for c in text.chars() {
        match c {
            '\u{13}' if fields.len() < 100 => fields.push(true),
            '\u{14}' => {
                if let Some(in_code) = fields.last_mut() {
                    *in_code = false;
                }
            }
            '\u{15}' => {
                fields.pop();
            }
            _ if fields.contains(&true) => {}
            '\r' | '\u{7}' | '\u{b}' | '\u{c}' => kept.push('\n'),
            c if c.is_control() && c != '\n' && c != '\t' => {}
            c => kept.push(c),
        }
    }
    kept
}

/// The readable runs of a stream, once as characters of one octet and once of two.
fn runs(stream: &[u8]) -> String {
    let mut found = String::new();
    let narrow = stream.iter().map(|byte| char::from(*byte)).map(|c| if c.is_ascii() { c } else { '\0' });
    collect_runs(narrow, &mut found);
    let units = stream.chunks_exact(2).filter_map(|two| two.try_into().ok().map(u16::from_le_bytes));
    collect_runs(units.map(|unit| char::from_u32(unit.into()).unwrap_or('\0')), &mut found);
    found
}

fn collect_runs(characters: impl Iterator<Item = char>, found: &mut String) {
    let mut run = String::new();
    for c in characters.chain(['\0']) {
        let is_text =
            c.is_alphanumeric() || c == ' ' || c.is_ascii_punctuation() || matches!(c, '\u{3000}'..='\u{30ff}');
        if is_text {
            run.push(c);
            continue;
        }
        if run.chars().nth(SHORTEST_RUN.saturating_sub(1)).is_some() && found.len() < MAX_TEXT {
            found.push_str(&run);
            found.push('\n');
        }
        run.clear();
    }
}
