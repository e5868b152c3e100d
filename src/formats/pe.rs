//! Programs of Windows (PE/COFF 8): only the names that a library exports, which tell add-ins of Office apart.

use crate::reader::Reader;

/// Names that are read; Excel looks for one.
const MAX_NAMES: u32 = 10_000;
/// Sections that are read: the format allows 96.
const MAX_SECTIONS: u16 = 96;

/// Names under which programs of Office call a library as soon as it is opened, and the program.
const ADD_INS: &[(&[u8], &str)] = &[(b"xlAutoOpen", "an add-in of Excel"), (b"wdAutoOpen", "an add-in of Word")];

/// Which program of Office the library adds to, if it does.
pub fn add_in(bytes: &[u8]) -> Option<&'static str> {
    let at = usize::try_from(Reader::at(bytes, 0x3C)?.u32()?).ok()?;
    let mut header = Reader::at(bytes, at)?;
    if header.u32()? != 0x0000_4550 {
        return None;
    }
    header.skip(2)?;
    let sections = header.u16()?.min(MAX_SECTIONS);
    header.skip(12)?;
    let optional_size = usize::from(header.u16()?);
    header.skip(2)?;
    let optional = header.position();
    // PE32, PE32+: the directories stand behind fields of another size.
    let directories: usize = if header.u16()? == 0x020B { 112 } else { 96 };
    let exports = Reader::at(bytes, optional.checked_add(directories)?)?.u32()?;
    let table = Reader::at(bytes, optional.checked_add(optional_size)?)?;
    let offset = |address: u32| -> Option<usize> {
        let mut table = table;
        for _ in 0..sections {
            table.skip(8)?;
            let (size, start) = (table.u32()?, table.u32()?);
            let (stored, place) = (table.u32()?, table.u32()?);
            table.skip(16)?;
            let within = address.checked_sub(start);
            if let Some(within) = within.filter(|within| *within < size.max(stored)) {
                return usize::try_from(place.checked_add(within)?).ok();
            }
        }
        None
    };
    let mut directory = Reader::at(bytes, offset(exports)?)?;
    directory.skip(24)?;
    let count = directory.u32()?.min(MAX_NAMES);
    directory.skip(4)?;
    let mut names = Reader::at(bytes, offset(directory.u32()?)?)?;
    for _ in 0..count {
        let name = bytes.get(offset(names.u32()?)?..)?;
        let is = |wanted: &[u8]| name.strip_prefix(wanted).is_some_and(|rest| rest.first() == Some(&0));
        if let Some((_, what)) = ADD_INS.iter().find(|(wanted, _)| is(wanted)) {
            return Some(what);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A library of one section that exports this name, and nothing else of a program.
    fn library(name: &[u8], is_64: bool) -> Vec<u8> {
        let optional_size: u16 = if is_64 { 240 } else { 224 };
        let mut out = b"MZ".to_vec();
        out.resize(0x3C, 0);
        out.extend(0x40_u32.to_le_bytes());
        out.extend(b"PE\0\0\x4c\x01\x01\0");
        out.extend([0; 12]);
        out.extend([optional_size.to_le_bytes(), [0, 0x21]].concat());
        let optional = out.len();
        out.extend(if is_64 { [0x0B, 2] } else { [0x0B, 1] });
        out.resize(optional + if is_64 { 112 } else { 96 }, 0);
        out.extend(0x1000_u32.to_le_bytes());
        out.resize(optional + usize::from(optional_size), 0);
        out.extend(b".edata\0\0");
        for field in [0x100_u32, 0x1000, 0x100, 0x200] {
            out.extend(field.to_le_bytes());
        }
        out.resize(0x200 + 24, 0);
        for field in [1_u32, 0, 0x1030, 0] {
            out.extend(field.to_le_bytes());
        }
        out.resize(0x230, 0);
        out.extend(0x1040_u32.to_le_bytes());
        out.resize(0x240, 0);
        out.extend([name, b"\0"].concat());
        out
    }

    #[test]
    fn add_ins_are_told_by_what_they_export() {
        for is_64 in [false, true] {
            assert_eq!(add_in(&library(b"xlAutoOpen", is_64)), Some("an add-in of Excel"));
            assert_eq!(add_in(&library(b"wdAutoOpen", is_64)), Some("an add-in of Word"));
            assert_eq!(add_in(&library(b"xlAutoOpenX", is_64)), None);
            assert_eq!(add_in(&library(b"DllMain", is_64)), None);
        }
        let whole = library(b"xlAutoOpen", false);
        for cut in 0..whole.len() {
            add_in(&whole[..cut]);
        }
        assert_eq!(add_in(b"MZ"), None);
    }
}
