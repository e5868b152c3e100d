//! ASCIIHexDecode and ASCII85Decode (ISO 32000-2 7.4.2, 7.4.3). What is no digit is passed over.

use super::Output;
use crate::formats::container::Content;

/// Pairs of digits up to `>`; a last one alone is followed by 0.
pub fn hexadecimal(bytes: &[u8], room: u64) -> Content {
    let mut out = Output::new(room);
    let mut high: Option<u8> = None;
    let mut is_full = false;
    let inside = bytes.iter().take_while(|byte| **byte != b'>');
    for digit in inside.filter_map(|byte| char::from(*byte).to_digit(16)) {
        let digit = u8::try_from(digit).unwrap_or_default();
        high = match high {
            None => Some(digit),
            Some(high) => {
                is_full = !out.push(&[high.wrapping_shl(4) | digit]);
                None
            }
        };
        if is_full {
            break;
        }
    }
    if let (Some(high), false) = (high, is_full) {
        is_full = !out.push(&[high.wrapping_shl(4)]);
    }
    out.content(is_full, true)
}

/// Groups of five digits to the base 85 up to `~`; `z` is a group of zeros.
pub fn base85(bytes: &[u8], room: u64) -> Content {
    let mut out = Output::new(room);
    let mut group: Vec<u8> = Vec::with_capacity(5);
    let (mut is_full, mut is_whole) = (false, true);
    // `<~` begins what other programs write.
    let inside = bytes.iter().skip(if bytes.starts_with(b"<~") { 2 } else { 0 });
    for byte in inside.take_while(|byte| **byte != b'~') {
        match byte {
            b'z' if group.is_empty() => is_full = !out.push(&[0; 4]),
            b'!'..=b'u' => group.push(byte.saturating_sub(b'!')),
            _ => {}
        }
        if group.len() == 5 {
            let (octets, fits) = four(&group);
            is_whole &= fits;
            is_full = !out.push(&octets);
            group.clear();
        }
        if is_full {
            break;
        }
    }
    let rest = group.len().saturating_sub(1);
    if rest > 0 && !is_full {
        group.resize(5, 84);
        let (octets, _) = four(&group);
        is_full = !out.push(octets.get(..rest).unwrap_or_default());
    }
    out.content(is_full, is_whole)
}

/// The octets of a group, and whether it is one.
fn four(group: &[u8]) -> ([u8; 4], bool) {
    let value = group.iter().fold(0_u64, |sum, digit| sum.saturating_mul(85).saturating_add(u64::from(*digit)));
    (u32::try_from(value).unwrap_or(u32::MAX).to_be_bytes(), u32::try_from(value).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_decoded() {
        assert_eq!(hexadecimal(b"61 62\n6 3>64", 99), Content::Whole(b"abc"[..].into()));
        assert_eq!(hexadecimal(b"617", 99), Content::Whole(b"ap"[..].into()));
        assert_eq!(hexadecimal(b"616263", 2), Content::Head(b"ab"[..].into()));
        // As Python's base64.a85encode writes them.
        assert_eq!(base85(b"87cURD]i,\"Ebo80~>x", 99), Content::Whole(b"Hello World!"[..].into()));
        assert_eq!(base85(b"<~87cUR\nD]~>", 99), Content::Whole(b"Hello"[..].into()));
        assert_eq!(base85(b"zz!~>", 99), Content::Whole([0; 8][..].to_vec().into()));
        assert_eq!(base85(b"uuuuu", 99), Content::Damaged([0xff; 4][..].to_vec().into()));
        assert_eq!(base85(b"zz", 6), Content::Head([0; 6][..].to_vec().into()));
    }
}
