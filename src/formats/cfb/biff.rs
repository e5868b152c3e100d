//! The records of workbook streams ([MS-XLS] 2.1.4), and the strings that all sheets share.

use crate::reader::Reader;

/// The records of a workbook stream: id and data.
pub fn records(stream: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut reader = Reader::new(stream);
    std::iter::from_fn(move || {
        let (id, size) = (reader.u16()?, reader.u16()?);
        let size = usize::from(size).min(reader.left());
        Some((id, reader.take(size)?))
    })
}

/// What shared strings are made of.
#[derive(Clone, Copy, Debug)]
pub enum Piece<'a> {
    /// Characters, and whether they have two octets each.
    Characters(&'a [u8], bool),
    /// The string ends.
    End,
}

/// [MS-XLS] 2.5.293: strings that may go on in CONTINUE records, where the octet that tells the
/// width of the characters comes again. `parts` are the record from its strings on and those that
/// continue it; ends early once `take` says `false`.
pub fn shared_strings(parts: &[&[u8]], mut take: impl FnMut(Piece<'_>) -> bool) {
    let mut parts = parts.iter();
    let mut reader = Reader::new(parts.next().copied().unwrap_or_default());
    loop {
        if reader.left() == 0 {
            let Some(part) = parts.next() else { return };
            reader = Reader::new(part);
        }
        let (Some(count), Some(mut flags)) = (reader.u16(), reader.u8()) else { return };
        let formats = if flags & 8 != 0 { reader.u16().unwrap_or(0) } else { 0 };
        let extension = if flags & 4 != 0 { reader.u32().unwrap_or(0) } else { 0 };
        let mut characters = usize::from(count);
        while characters > 0 {
            let is_wide = flags & 1 != 0;
            let (width, left) = if is_wide { (2, reader.left() / 2) } else { (1, reader.left()) };
            let here = characters.min(left);
            take(Piece::Characters(reader.take(here.saturating_mul(width)).unwrap_or_default(), is_wide));
            characters = characters.saturating_sub(here);
            if characters > 0 {
                let Some(part) = parts.next() else { return };
                reader = Reader::new(part);
                let Some(again) = reader.u8() else { return };
                flags = again;
            }
        }
        if !take(Piece::End) {
            return;
        }
        let mut skipped = usize::from(formats).saturating_mul(4).saturating_add(extension as usize);
        while skipped > 0 {
            let here = skipped.min(reader.left());
            let _ = reader.skip(here);
            skipped = skipped.saturating_sub(here);
            if skipped > 0 {
                let Some(part) = parts.next() else { return };
                reader = Reader::new(part);
            }
        }
    }
}
