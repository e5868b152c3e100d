//! The compression of VBA source and of the `dir` stream ([MS-OVBA] 2.4.1).
//!
//! Tolerant: where a container is cut off or a chunk is wrong, what came before it is kept.

use crate::reader::Reader;

/// The octet a container starts with ([MS-OVBA] 2.4.1.1.1).
const SIGNATURE: u8 = 0x01;
/// Decompressed octets of a chunk ([MS-OVBA] 2.4.1.1.3).
const CHUNK: usize = 4096;

/// What a container holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decompressed {
    /// The content, as far as it could be decompressed.
    pub bytes: Vec<u8>,
    /// How it ended.
    pub end: End,
}

/// How a container ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// With the bytes, or where more than was asked for would follow.
    #[default]
    Whole,
    /// With something behind the last chunk that is no chunk.
    Garbage,
    /// In the middle of a chunk.
    Cut,
}

/// Decompresses the container at the start of `bytes`, to at most `max` octets. What follows the
/// last chunk is not looked at. `None` if no container starts there.
pub fn decompress(bytes: &[u8], max: usize) -> Option<Decompressed> {
    let mut reader = Reader::new(bytes);
    if reader.u8()? != SIGNATURE {
        return None;
    }
    // Source is about half as long when it is compressed.
    let mut out = Vec::with_capacity(bytes.len().saturating_mul(2).min(max));
    let mut chunks = 0_usize;
    while out.len() < max {
        let Some(header) = reader.u16() else {
            return (chunks > 0).then_some(Decompressed {
                bytes: out,
                end: if reader.left() == 0 { End::Whole } else { End::Garbage },
            });
        };
        // [MS-OVBA] 2.4.1.1.5: size in bits 0-11, signature 0b011 in bits 12-14, flag in bit 15.
        if (header >> 12) & 0b111 != 0b011 {
            return (chunks > 0).then_some(Decompressed { bytes: out, end: End::Garbage });
        }
        let size = usize::from(header & 0x0FFF).saturating_add(1);
        let is_compressed = header & 0x8000 != 0;
        let available = size.min(reader.left());
        let chunk = reader.take(available).unwrap_or_default();
        let is_sound = if is_compressed { decompress_chunk(chunk, &mut out) } else { copy_chunk(chunk, &mut out) };
        if !is_sound || available < size {
            out.truncate(max);
            return Some(Decompressed { bytes: out, end: End::Cut });
        }
        chunks = chunks.saturating_add(1);
    }
    out.truncate(max);
    Some(Decompressed { bytes: out, end: End::Whole })
}

fn copy_chunk(chunk: &[u8], out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(chunk.get(..CHUNK).unwrap_or(chunk));
    true
}

/// [MS-OVBA] 2.4.1.3.2: sequences of a flag octet and eight tokens. `false` if a token points
/// outside of the chunk.
fn decompress_chunk(chunk: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let mut reader = Reader::new(chunk);
    while let Some(flags) = reader.u8() {
        for bit in 0..8 {
            if reader.left() == 0 {
                return true;
            }
            let written = out.len().saturating_sub(start);
            if written > CHUNK {
                return false;
            }
            if flags & (1 << bit) == 0 {
                if let Some(literal) = reader.u8() {
                    out.push(literal);
                }
                continue;
            }
            let Some(token) = reader.u16() else { return false };
            let (offset, length) = unpack(token, written);
            if offset > written {
                return false;
            }
            copy(out, offset, length.min(CHUNK.saturating_sub(written)));
        }
    }
    true
}

/// Appends `length` octets from what begins `offset` octets before the end. What is appended may
/// be a source itself: then each turn has twice as much to take from.
fn copy(out: &mut Vec<u8>, offset: usize, length: usize) {
    let from = out.len().saturating_sub(offset);
    let end = out.len().saturating_add(length);
    while from < out.len() && out.len() < end {
        let count = end.saturating_sub(out.len()).min(out.len().saturating_sub(from));
        out.extend_from_within(from..from.saturating_add(count));
    }
}

/// [MS-OVBA] 2.4.1.3.19.1, .2: the more is decompressed, the more bits a copy token gives to its offset.
fn unpack(token: u16, written: usize) -> (usize, usize) {
    let offset_bits = written.max(16).next_power_of_two().trailing_zeros().min(12);
    let length_bits = 16_u32.saturating_sub(offset_bits);
    let offset = u32::from(token) >> length_bits;
    let length = u32::from(token) & ((1_u32 << length_bits).wrapping_sub(1));
    ((offset as usize).saturating_add(1), (length as usize).saturating_add(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> String {
        String::from_utf8(decompress(bytes, usize::MAX).unwrap().bytes).unwrap()
    }

    /// [MS-OVBA] 3.2.1, 3.2.2, 3.2.3.
    #[test]
    fn the_examples_of_the_standard() {
        let none = b"\x01\x19\xB0\x00abcdefgh\x00ijklmnop\x00qrstuv.";
        assert_eq!(text(none), "abcdefghijklmnopqrstuv.");
        let normal = b"\x01\x2F\xB0\x00\x23aaabcde\x82f\x00\x70aghij\x01\x38\x08akl\x00\x30mnop\x06q\x02\x70\x04\x10rstuv\x10wxyz\x00\x3C";
        assert_eq!(text(&normal[..]), "#aaabcdefaaaaghijaaaaaklaaamnopqaaaaaaaaaaaarstuvwxyzaaa");
        let maximum = b"\x01\x03\xB0\x02a\x45\x00";
        assert_eq!(text(maximum), "a".repeat(73));
    }

    #[test]
    fn what_came_before_the_damage_is_kept() {
        let whole = b"\x01\x19\xB0\x00abcdefgh\x00ijklmnop\x00qrstuv.";
        for length in 4..whole.len() {
            let cut = decompress(&whole[..length], 100).unwrap();
            assert!(b"abcdefghijklmnopqrstuv.".starts_with(&cut.bytes[..]) && cut.end == End::Cut, "{length}");
        }
        let bad_offset = b"\x01\x05\xB0\x02a\xff\xffbc";
        assert_eq!(decompress(bad_offset, 100), Some(Decompressed { bytes: b"a".to_vec(), end: End::Cut }));
        let mut garbage_behind = whole.to_vec();
        garbage_behind.extend(b"\x00\x00garbage");
        assert_eq!(decompress(&garbage_behind, 100).unwrap().bytes, b"abcdefghijklmnopqrstuv.");
    }

    #[test]
    fn no_container_is_no_container() {
        for bytes in [&b""[..], b"\x00\x19\xB0", b"\x01", b"\x01\x19", b"\x01\x19\x00abc"] {
            assert_eq!(decompress(bytes, 100), None, "{bytes:?}");
        }
    }

    #[test]
    fn output_is_bounded_and_raw_chunks_are_copied() {
        let maximum = b"\x01\x03\xB0\x02a\x45\x00";
        assert_eq!(decompress(maximum, 10).unwrap().bytes.len(), 10);
        let mut raw = b"\x01\xFF\x3F".to_vec();
        raw.extend([b'x'; 4096]);
        assert_eq!(decompress(&raw, 10_000).unwrap().bytes, vec![b'x'; 4096]);
    }
}
