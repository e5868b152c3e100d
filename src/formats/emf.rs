//! Text that metafiles draw ([MS-EMF]): a picture that was drawn by a program holds its wording as
//! characters. Only the records of text are read.

use encoding_rs::{UTF_16LE, WINDOWS_1252};

use crate::reader::Reader;

/// [MS-EMF] 2.1.1: types of records.
const EOF: u32 = 14;
const EXT_TEXT_OUT_A: u32 = 83;
const EXT_TEXT_OUT_W: u32 = 84;
const SMALL_TEXT_OUT: u32 = 108;
/// Octets of text that are given: a drawing of a page has some 3 KB.
const MAX_TEXT: usize = 1 << 20;

/// The text of a metafile, in the order in which it is drawn.
pub fn text(metafile: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = metafile;
    while text.len() < MAX_TEXT {
        let mut reader = Reader::new(rest);
        let (Some(kind), Some(size)) = (reader.u32(), reader.u32()) else { break };
        // A record is at least its header; what claims to be longer than the file ends it.
        let Some(record) = rest.get(..size as usize).filter(|record| record.len() >= 8) else { break };
        let drawn = match kind {
            EOF => break,
            EXT_TEXT_OUT_A => ext_text_out(record, false),
            EXT_TEXT_OUT_W => ext_text_out(record, true),
            SMALL_TEXT_OUT => small_text_out(record),
            _ => None,
        };
        text.extend(drawn);
        rest = rest.get(record.len()..).unwrap_or_default();
    }
    text
}

/// [MS-EMF] 2.3.5.7, .8: behind bounds and scales an EmrText (2.2.5), whose string stands where it says.
fn ext_text_out(record: &[u8], is_wide: bool) -> Option<String> {
    let mut reader = Reader::at(record, 44)?;
    let (count, offset) = (reader.u32()? as usize, reader.u32()? as usize);
    characters(record, offset, count, is_wide)
}

/// [MS-EMF] 2.3.5.37: position, count, options, mode and scales; bounds unless an option says none.
fn small_text_out(record: &[u8]) -> Option<String> {
    const NO_RECTANGLE: u32 = 0x100;
    const SMALL_CHARACTERS: u32 = 0x200;
    let mut reader = Reader::at(record, 16)?;
    let (count, options) = (reader.u32()? as usize, reader.u32()?);
    let offset = if options & NO_RECTANGLE != 0 { 36 } else { 52 };
    characters(record, offset, count, options & SMALL_CHARACTERS == 0)
}

fn characters(record: &[u8], offset: usize, count: usize, is_wide: bool) -> Option<String> {
    let size = if is_wide { count.saturating_mul(2) } else { count };
    let octets = record.get(offset..)?;
    let octets = octets.get(..size).unwrap_or(octets);
    let encoding = if is_wide { UTF_16LE } else { WINDOWS_1252 };
    Some(encoding.decode_without_bom_handling(octets).0.into_owned())
}
