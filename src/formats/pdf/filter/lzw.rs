//! LZWDecode (ISO 32000-2 7.4.4.2): codes of 9 to 12 bits, the highest bit first.

use super::Output;
use crate::formats::container::Content;

const CLEAR: usize = 256;
const END: usize = 257;
/// Codes that there are.
const MOST: usize = 4096;

/// Unpacks; `is_early`: codes become longer one code before they must.
pub fn decode(bytes: &[u8], is_early: bool, room: u64) -> Content {
    let mut out = Output::new(room);
    // Of each code from 258 on: where in the output its string stands, and how long it is.
    let mut table: Vec<(usize, usize)> = Vec::new();
    let mut last: Option<(usize, usize)> = None;
    let mut bits = Bits { bytes, held: 0, count: 0 };
    let early = usize::from(is_early);
    loop {
        let known = table.len().saturating_add(258).saturating_add(early);
        let width = match known {
            0..512 => 9,
            512..1024 => 10,
            1024..2048 => 11,
            _ => 12,
        };
        // What ends without a code for it ends, too.
        let Some(code) = bits.take(width) else { return out.content(false, true) };
        let start = out.bytes.len();
        let is_room = match code {
            CLEAR => {
                table.clear();
                last = None;
                continue;
            }
            END => return out.content(false, true),
            0..=255 => out.push(&[u8::try_from(code).unwrap_or_default()]),
            _ => {
                let known = table.get(code.saturating_sub(258)).copied();
                // A code that is only just made stands for the last string and its first octet again.
                let Some((at, size)) = known.or(last.map(|(at, size)| (at, size.saturating_add(1)))) else {
                    return out.content(false, false);
                };
                if known.is_none() && code != table.len().saturating_add(258) {
                    return out.content(false, false);
                }
                copy(&mut out, at, size)
            }
        };
        if !is_room {
            return out.content(true, false);
        }
        let size = out.bytes.len().saturating_sub(start);
        // The new string is the last one and the octet behind it, which now stands there.
        if let Some((at, size)) = last
            && table.len().saturating_add(258) < MOST
        {
            table.push((at, size.saturating_add(1)));
        }
        last = Some((start, size));
    }
}

/// Copies from what came out; the string may go on into what is copied.
fn copy(out: &mut Output, at: usize, size: usize) -> bool {
    let end = at.saturating_add(size);
    if let Some(string) = out.bytes.get(at..end).map(<[u8]>::to_vec) {
        return out.push(&string);
    }
    (at..end).all(|place| match out.bytes.get(place).copied() {
        Some(octet) => out.push(&[octet]),
        None => false,
    })
}

struct Bits<'a> {
    bytes: &'a [u8],
    held: u32,
    count: u32,
}

impl Bits<'_> {
    fn take(&mut self, width: u32) -> Option<usize> {
        while self.count < width {
            let (first, rest) = self.bytes.split_first()?;
            self.bytes = rest;
            self.held = self.held.wrapping_shl(8) | u32::from(*first);
            self.count = self.count.saturating_add(8);
        }
        self.count = self.count.saturating_sub(width);
        let mask = 1_u32.wrapping_shl(width).wrapping_sub(1);
        usize::try_from(self.held.wrapping_shr(self.count) & mask).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the standard (7.4.4.2).
    #[test]
    fn the_example_of_the_standard() {
        let packed = [0x80, 0x0B, 0x60, 0x50, 0x22, 0x0C, 0x0C, 0x85, 0x01];
        let plain = [45, 45, 45, 45, 45, 65, 45, 45, 45, 66];
        assert_eq!(decode(&packed, true, 99), Content::Whole(plain.to_vec().into()));
        assert_eq!(decode(&packed, true, 4), Content::Head(plain[..4].to_vec().into()));
        assert_eq!(decode(&packed[..4], true, 99), Content::Whole(plain[..3].to_vec().into()));
    }

    #[test]
    fn what_makes_no_sense_ends() {
        assert_eq!(decode(&[0x80, 0x7f, 0xff], true, 99), Content::Damaged(Default::default()));
        assert_eq!(decode(&[], false, 99), Content::Whole(Default::default()));
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(5000).collect();
            assert!(decode(&noise, seed % 2 == 0, 50_000).size() <= 50_000);
        }
    }
}
