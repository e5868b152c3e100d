//! Strings of binary workbooks (`.xlsb`, [MS-XLSB]): the shared ones (2.4.800), and comments
//! (2.4.342). Formulas and cells are [`crate::excel4::binary`]'s.

use encoding_rs::UTF_16LE;

use crate::reader::Reader;

/// [MS-XLSB] 2.3.1: numbers of records.
const SST_ITEM: u32 = 19;
const COMMENT_TEXT: u32 = 637;
const BEGIN_SUPPORTING_BOOK: u32 = 360;
/// The kind of a supporting book that is a link by DDE.
const DDE: u16 = 1;
/// How the parts begin that hold them: BrtBeginSst (159) and BrtBeginComments (628).
const STARTS: [&[u8]; 2] = [b"\x9f\x01", b"\xf4\x04"];
/// Octets of text that are given, as for other workbooks.
const MAX_TEXT: usize = 1 << 20;

/// The strings of a part, one a line; nothing if it is a part of another kind.
pub fn text(bytes: &[u8]) -> String {
    let mut text = String::new();
    if !STARTS.iter().any(|start| bytes.starts_with(start)) {
        return text;
    }
    for (kind, data) in records(bytes) {
        if kind == SST_ITEM || kind == COMMENT_TEXT {
            text.extend(rich_string(data));
            text.push('\n');
        }
        if text.len() >= MAX_TEXT {
            break;
        }
    }
    text
}

/// The link by DDE that the part is: server and topic (BrtBeginSupBook, [MS-XLSB] 2.4.214).
pub fn dde_link(bytes: &[u8]) -> Option<(String, String)> {
    let (_, data) = records(bytes).next().filter(|(kind, _)| *kind == BEGIN_SUPPORTING_BOOK)?;
    let mut reader = Reader::new(data);
    (reader.u16()? == DDE).then_some(())?;
    Some((wide(&mut reader)?, wide(&mut reader)?))
}

/// [MS-XLSB] 2.5.168: the count of characters, then they.
pub fn wide(reader: &mut Reader<'_>) -> Option<String> {
    let octets = (reader.u32()? as usize).checked_mul(2)?.min(reader.left());
    Some(UTF_16LE.decode_without_bom_handling(reader.take(octets)?).0.into_owned())
}

/// The records of a part: number and data.
pub fn records(bytes: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let mut reader = Reader::new(bytes);
    std::iter::from_fn(move || {
        let (kind, size) = (number(&mut reader, 2)?, number(&mut reader, 4)?);
        let size = (size as usize).min(reader.left());
        Some((kind, reader.take(size)?))
    })
}

/// [MS-XLSB] 2.1.4: seven bits an octet, the low ones first, at most `octets` of them.
fn number(reader: &mut Reader<'_>, octets: u32) -> Option<u32> {
    let mut value = 0_u32;
    for n in 0..octets {
        let octet = u32::from(reader.u8()?);
        value |= (octet & 0x7F).checked_shl(n.saturating_mul(7))?;
        if octet & 0x80 == 0 {
            break;
        }
    }
    Some(value)
}

/// [MS-XLSB] 2.5.124: flags, count, characters; runs of formats behind them are left.
fn rich_string(data: &[u8]) -> Option<String> {
    let mut reader = Reader::at(data, 1)?;
    let octets = (reader.u32()? as usize).saturating_mul(2).min(reader.left());
    Some(UTF_16LE.decode_without_bom_handling(reader.take(octets)?).0.into_owned())
}
