//! Lists of MAPI properties as they stand in TNEF ([MS-OXTNEF] 2.1.3.4, 2.1.3.5).

use bytes::Bytes;

use crate::reader::Reader;

/// What a value is, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Octets in the item's code page.
    Narrow,
    /// UTF-16.
    Wide,
    /// Octets.
    Binary,
    /// An object: an identifier of what it is, and its octets.
    Object,
    /// A number and the like.
    Other,
}

/// A value of a property. A property of several values gives several.
#[derive(Clone, Debug)]
pub struct Property {
    /// The property ([MS-OXPROPS]).
    pub id: u16,
    /// What it is.
    pub kind: Kind,
    /// Its octets: as many as there are, if fewer than it claims.
    pub value: Bytes,
}

/// Marks a type as one of several values ([MS-OXCDATA] 2.11.1).
const MULTIPLE: u16 = 0x1000;
/// From here on, properties have names of their own.
const NAMED: u16 = 0x8000;

/// The properties in a list, one after the other.
#[derive(Debug)]
pub struct Properties<'a> {
    bytes: &'a Bytes,
    at: usize,
    /// Properties that are still to come, by the list's word.
    left: u32,
    /// Values that the current property still has, and what they are.
    values: u32,
    current: (u16, u16),
    broken: bool,
}

impl<'a> Properties<'a> {
    /// Reads the list in `bytes`.
    pub fn new(bytes: &'a Bytes) -> Self {
        let mut reader = Reader::new(bytes);
        let left = reader.u32();
        Self { bytes, at: 4, left: left.unwrap_or_default(), values: 0, current: (0, 0), broken: left.is_none() }
    }

    /// Whether something could not be read, and what follows it neither.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Reads up to the next value. `None` if the list breaks off.
    fn value(&mut self) -> Option<Property> {
        let mut reader = Reader::at(self.bytes, self.at)?;
        while self.values == 0 {
            self.left = self.left.checked_sub(1)?;
            let (kind, id) = (reader.u16()?, reader.u16()?);
            if id >= NAMED {
                reader.skip(16)?;
                // A number, or the length of a string.
                let (has_string, number) = (reader.u32()? != 0, reader.u32()?);
                if has_string {
                    reader.skip(usize::try_from(number).ok()?.checked_next_multiple_of(4)?)?;
                }
            }
            let has_count = kind & MULTIPLE != 0 || matches!(kind, 0x0D | 0x1E | 0x1F | 0x102);
            self.values = if has_count { reader.u32()? } else { 1 };
            self.current = (id, kind & !MULTIPLE);
            self.at = reader.position();
        }
        self.values = self.values.saturating_sub(1);
        let (id, type_) = self.current;
        let (kind, fixed) = match type_ {
            0x1E => (Kind::Narrow, None),
            0x1F => (Kind::Wide, None),
            0x102 => (Kind::Binary, None),
            0x0D => (Kind::Object, None),
            // Many of nothing would be work without a bound.
            0 | 1 if self.values == 0 => (Kind::Other, Some(0)),
            2 | 3 | 4 | 0x0A | 0x0B => (Kind::Other, Some(4)),
            5 | 6 | 7 | 0x14 | 0x40 => (Kind::Other, Some(8)),
            0x48 => (Kind::Other, Some(16)),
            _ => return None,
        };
        let size = match fixed {
            Some(size) => size,
            None => usize::try_from(reader.u32()?).ok()?,
        };
        let start = reader.position();
        let taken = size.min(reader.left());
        self.broken |= taken < size;
        // Nothing may end with fewer octets than its padding.
        self.at = start.saturating_add(taken.next_multiple_of(4)).min(self.bytes.len());
        Some(Property { id, kind, value: self.bytes.slice(start..start.saturating_add(taken)) })
    }
}

impl Iterator for Properties<'_> {
    type Item = Property;

    fn next(&mut self) -> Option<Property> {
        if self.broken || (self.left == 0 && self.values == 0) {
            return None;
        }
        let property = self.value();
        self.broken |= property.is_none() && (self.left > 0 || self.values > 0);
        property
    }
}
