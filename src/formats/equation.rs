//! Formulas of Equation Editor 3.0: whether their data is a formula at all.
//!
//! The editor copies names of fonts and rows of tables into buffers of fixed size, and is attacked by records
//! that are longer. An honest formula has a header ("EQNOLEFILEHDR") that gives its own size, and MTEF of
//! version 2 or 3 behind it; whatever else stands in an object of this class is no formula.

use crate::reader::Reader;

/// EQNOLEFILEHDR.
const HEADER_SIZE: u16 = 28;
/// Longest name of a font that Windows has (LF_FACESIZE, 32), and a little.
const MAX_FONT: usize = 40;
/// Rows or columns of a table that the editor's buffer holds: eight octets of two bits each.
const MAX_LINES: u8 = 31;
/// Records that are read; a page of formulas has some hundred.
const MAX_RECORDS: usize = 20_000;

/// Why the native data of an Equation object is no formula; `None` if it is one.
pub fn exploit(native: &[u8]) -> Option<&'static str> {
    let Some(mtef) = formula(native) else { return Some("an Equation object without a formula") };
    records(mtef)
}

/// The MTEF behind the header, if the header is one.
fn formula(native: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(native);
    if reader.u16()? != HEADER_SIZE || reader.u32()? != 0x0002_0000 {
        return None;
    }
    reader.skip(2)?; // clipboard format
    let size = reader.u32()? as usize;
    let mut reader = Reader::at(native, HEADER_SIZE.into())?;
    let left = reader.left();
    // A copy may be padded; it is never shorter than it says.
    if size == 0 || size > left {
        return None;
    }
    let mtef = reader.take(size)?;
    let mut head = Reader::new(mtef);
    let (version, platform, product) = (head.u8()?, head.u8()?, head.u8()?);
    (matches!(version, 1..=5) && platform <= 1 && product <= 1).then_some(mtef)
}

/// Goes through the records of MTEF 2 and 3 up to the first that is not known.
fn records(mtef: &[u8]) -> Option<&'static str> {
    // MathType's later versions are read by a program that checks lengths.
    if mtef.first().is_none_or(|version| *version > 3) {
        return None;
    }
    let mut reader = Reader::at(mtef, 5)?;
    for _ in 0..MAX_RECORDS {
        let tag = reader.u8()?;
        let (kind, options) = (tag & 0x0F, tag >> 4);
        // xfLMOVE: an offset of two octets, or of six.
        if options & 8 != 0 && matches!(kind, 1..=6) {
            let (dx, dy) = (reader.u8()?, reader.u8()?);
            if dx == 128 && dy == 128 {
                reader.skip(4)?;
            }
        }
        match kind {
            1 => {
                if options & 4 != 0 {
                    reader.skip(1)?; // line spacing
                }
                if options & 2 != 0 {
                    ruler(&mut reader)?;
                }
            }
            2 => reader.skip(3)?,
            3 => reader.skip(3)?,
            4 => {
                reader.skip(2)?;
                if options & 2 != 0 {
                    ruler(&mut reader)?;
                }
            }
            5 => {
                reader.skip(3)?;
                let (rows, columns) = (reader.u8()?, reader.u8()?);
                if rows > MAX_LINES || columns > MAX_LINES {
                    return Some("a table of the Equation Editor that overflows");
                }
                let octets = |lines: u8| usize::from(lines).saturating_add(1).saturating_mul(2).div_ceil(8);
                reader.skip(octets(rows).saturating_add(octets(columns)))?;
            }
            6 => reader.skip(1)?,
            7 => ruler_body(&mut reader)?,
            8 => {
                reader.skip(2)?; // typeface, style
                let mut ahead = reader;
                let rest = ahead.rest();
                match memchr::memchr(0, rest) {
                    Some(length) if length <= MAX_FONT => reader.skip(length.saturating_add(1))?,
                    _ => return Some("a font name of the Equation Editor that overflows"),
                }
            }
            9 => {
                let size = reader.u8()?;
                match size {
                    100 => reader.skip(3)?,
                    101 => reader.skip(2)?,
                    _ => reader.skip(1)?,
                }
            }
            _ => {}
        }
    }
    None
}

fn ruler(reader: &mut Reader<'_>) -> Option<()> {
    reader.skip(1)?;
    ruler_body(reader)
}

fn ruler_body(reader: &mut Reader<'_>) -> Option<()> {
    let stops = usize::from(reader.u8()?);
    reader.skip(stops.saturating_mul(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Native data with this MTEF behind an honest header.
    fn native(mtef: &[u8]) -> Vec<u8> {
        let size = u32::try_from(mtef.len()).unwrap().to_le_bytes();
        [&[28, 0, 0, 0, 2, 0, 0x9c, 0xc1][..], &size, &[0; 16], mtef].concat()
    }

    #[test]
    fn a_formula_is_nothing() {
        // FULL, LINE, three characters, a template, the end; a table of two rows; a font.
        let plain = [3, 1, 1, 3, 10, 10, 1, 2, 0x83, b'x', 0, 2, 0x86, 0x3d, 0, 3, 14, 0, 0, 0, 0];
        assert_eq!(exploit(&native(&plain)), None);
        assert_eq!(
            exploit(&native(
                &[&[3, 1, 1, 3, 10, 5, 1, 1, 1, 2, 2, 0, 0, 8, 1, 0][..], b"Times New Roman\0\0"].concat()
            )),
            None
        );
        assert_eq!(exploit(&[native(&plain), vec![0; 99]].concat()), None, "padding");
    }

    #[test]
    fn whatever_overflows_or_is_no_formula_is_told() {
        let font = [&[3, 1, 1, 3, 10, 10, 8, 0x5a, 1][..], &[b'a'; 48], b"\0"].concat();
        assert!(exploit(&native(&font)).is_some());
        assert!(exploit(&native(&[3, 1, 1, 3, 10, 5, 0, 0, 0, 200, 1])).is_some());
        assert!(exploit(&native(&[9, 9, 9, 9, 9])).is_some());
        let mut short = native(&[3, 1, 1, 3, 10]);
        short[8] = 200;
        assert!(exploit(&short).is_some());
        for text in [&b""[..], b"\x1c", &[0x41; 400]] {
            assert!(exploit(text).is_some());
        }
    }
}
