//! BER (X.690 8) as far as CMS needs it, leniently: indefinite lengths, octet strings in pieces, and lengths that are
//! more than there is.

use std::io::{self, Read};

use crate::reader::Reader;

/// SEQUENCE, constructed.
pub const SEQUENCE: u8 = 0x30;
/// OBJECT IDENTIFIER.
pub const OBJECT_IDENTIFIER: u8 = 0x06;
/// `[0]`, constructed.
pub const CONTEXT_0: u8 = 0xA0;
/// OCTET STRING, whole and in pieces.
const OCTET_STRING: u8 = 0x04;
const OCTET_STRINGS: u8 = 0x24;

/// An element: tag, length, content.
#[derive(Clone, Copy, Debug)]
pub struct Element<'a> {
    /// The first octet of the tag.
    pub tag: u8,
    /// The content; without the two octets that end an indefinite length.
    pub content: &'a [u8],
    /// Octets of all of it.
    pub size: usize,
    /// It claims more than there is.
    pub cut: bool,
}

impl<'a> Element<'a> {
    /// The element at the beginning of `bytes`.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let (tag, length) = header(&mut reader)?;
        let start = reader.position();
        let left = reader.left();
        let Some(length) = length else {
            let end = end_of_indefinite(bytes, start);
            let content = bytes.get(start..end.unwrap_or(bytes.len()))?;
            let size = end.map_or(bytes.len(), |end| end.saturating_add(2));
            return Some(Self { tag, content, size, cut: end.is_none() });
        };
        let content = reader.take(length.min(left))?;
        Some(Self { tag, content, size: reader.position(), cut: length > left })
    }
}

/// Tag and length (X.690 8.1.2, 8.1.3); no length is an indefinite one.
fn header(reader: &mut Reader<'_>) -> Option<(u8, Option<usize>)> {
    let tag = reader.u8()?;
    if tag & 0x1f == 0x1f {
        // A tag of several octets: four are more than anybody has.
        let more = [(); 4].iter().position(|()| reader.u8().is_some_and(|octet| octet & 0x80 == 0));
        more?;
    }
    let first = reader.u8()?;
    let length = match first {
        0..=0x7f => usize::from(first),
        0x80 => return Some((tag, None)),
        _ => {
            let octets = reader.take(usize::from(first & 0x7f))?;
            octets.iter().fold(0_usize, |length, octet| {
                // More than memory can have: as much as there is.
                length.checked_mul(256).map_or(usize::MAX, |length| length.saturating_add((*octet).into()))
            })
        }
    };
    Some((tag, Some(length)))
}

/// Where the two octets stand that end what begins at `start` with an indefinite length.
fn end_of_indefinite(bytes: &[u8], start: usize) -> Option<usize> {
    let mut reader = Reader::at(bytes, start)?;
    let mut depth = 1_usize;
    loop {
        let at = reader.position();
        match header(&mut reader)? {
            (0, Some(0)) => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at);
                }
            }
            (_, None) => depth = depth.saturating_add(1),
            (_, Some(length)) => reader.skip(length)?,
        }
    }
}

/// The octets of an octet string, whole or in pieces, one after the other. An error at the end if it was cut.
pub struct Octets<'a> {
    rest: Reader<'a>,
    piece: &'a [u8],
    cut: bool,
}

impl<'a> Octets<'a> {
    /// The octets of `element`; what is no octet string gives its content (PKCS #7 1.5 allows anything).
    pub fn of(element: &Element<'a>) -> Self {
        let pieces: &[u8] = if element.tag & 0x20 != 0 && is_octet_string(element) { element.content } else { &[] };
        let piece = if pieces.is_empty() { element.content } else { &[] };
        Self { rest: Reader::new(pieces), piece, cut: element.cut }
    }

    /// The next piece that has octets. What is around pieces has no octets of its own.
    fn advance(&mut self) -> bool {
        while self.piece.is_empty() {
            let Some((tag, length)) = header(&mut self.rest) else {
                self.cut |= self.rest.left() > 0;
                return false;
            };
            match (tag, length) {
                (OCTET_STRINGS, _) | (_, None) => {}
                (OCTET_STRING, Some(length)) => {
                    self.cut |= length > self.rest.left();
                    self.piece = self.rest.take(length.min(self.rest.left())).unwrap_or_default();
                }
                (_, Some(length)) => {
                    let _ = self.rest.skip(length.min(self.rest.left()));
                }
            }
        }
        true
    }
}

fn is_octet_string(element: &Element<'_>) -> bool {
    element.tag == OCTET_STRINGS
        || element.content.first().is_some_and(|tag| matches!(*tag, OCTET_STRING | OCTET_STRINGS))
}

impl Read for Octets<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if !self.advance() {
            let cut = std::mem::take(&mut self.cut) && !out.is_empty();
            return if cut { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(0) };
        }
        let count = self.piece.len().min(out.len());
        let (now, later) = self.piece.split_at_checked(count).unwrap_or((self.piece, &[]));
        out.iter_mut().zip(now).for_each(|(place, octet)| *place = *octet);
        self.piece = later;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut out = Vec::new();
        let whole = Octets::of(&Element::read(bytes).unwrap()).read_to_end(&mut out).is_ok();
        (out, whole)
    }

    #[test]
    fn octet_strings_are_read_in_every_form() {
        assert_eq!(octets(b"\x04\x03abc"), (b"abc".to_vec(), true));
        assert_eq!(octets(b"\x24\x80\x04\x01a\x04\x82\0\x02bc\0\0"), (b"abc".to_vec(), true));
        assert_eq!(octets(b"\x24\x08\x24\x80\x04\x01a\0\0\x04\x00"), (b"a".to_vec(), true));
        assert_eq!(octets(b"\x24\x80\x04\x01a\x04\x7fbc"), (b"abc".to_vec(), false));
        assert_eq!(octets(b"\x04\x84\xff\xff\xff\xffabc"), (b"abc".to_vec(), false));
    }

    #[test]
    fn indefinite_lengths_end_where_they_should() {
        let element = Element::read(b"\x30\x80\x30\x80\x02\x01\x05\0\0\0\0rest").unwrap();
        assert_eq!((element.content.len(), element.size, element.cut), (7, 11, false));
        let open = Element::read(b"\x30\x80\x02\x01\x05").unwrap();
        assert_eq!((open.content.len(), open.cut), (3, true));
        assert!(Element::read(b"\x1f\xff\xff\xff\xff\xff").is_none() && Element::read(b"\x30").is_none());
    }
}
