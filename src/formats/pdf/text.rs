//! Text strings (ISO 32000-2 7.9.2.2): UTF-16 or UTF-8 behind a mark, else PDFDocEncoding (annex D.2).

use crate::formats::zip::names;
use crate::part::Name;

/// Octets of a name that are read: no file system takes longer ones.
const MAX_NAME: usize = 4096;

/// The characters of 0x18 to 0x1F and of 0x80 to 0xA0; the others are those of Latin-1.
const LOW: &str = "˘ˇˆ˙˝˛˚˜";
const HIGH: &str = "•†‡…—–ƒ⁄‹›−‰„“”‘’‚™ﬁﬂŁŒŠŸŽıłœšž\u{fffd}€";

/// A name that is a text string.
pub fn name(octets: &[u8]) -> Name {
    let octets = octets.get(..MAX_NAME).unwrap_or(octets);
    let (text, is_lossy) = match octets {
        [0xfe, 0xff, text @ ..] => wide(text, u16::from_be_bytes),
        [0xff, 0xfe, text @ ..] => wide(text, u16::from_le_bytes),
        [0xef, 0xbb, 0xbf, text @ ..] => {
            (String::from_utf8_lossy(text).into_owned(), std::str::from_utf8(text).is_err())
        }
        // Without a mark it is UTF-8 all the same, if it can be.
        text => match std::str::from_utf8(text) {
            Ok(text) => (text.to_owned(), false),
            Err(_) => (text.iter().map(|octet| character(*octet)).collect(), false),
        },
    };
    Name { text: without_language(&text), raw: is_lossy.then(|| octets.to_vec()) }
}

/// A name whose charset is that of the computer it was written on, unless a mark tells another one (7.11.2.1).
pub fn file_name(octets: &[u8]) -> Name {
    let octets = octets.get(..MAX_NAME).unwrap_or(octets);
    let is_marked = [&[0xfe, 0xff][..], &[0xff, 0xfe], &[0xef, 0xbb, 0xbf]].iter().any(|mark| octets.starts_with(mark));
    if is_marked { name(octets) } else { names::decode(octets, false) }
}

/// The octets of a text in PDFDocEncoding, if it has such.
pub fn encode(text: &str) -> Option<Vec<u8>> {
    text.chars().map(octet).collect()
}

fn wide(octets: &[u8], unit: fn([u8; 2]) -> u16) -> (String, bool) {
    let units = octets.chunks_exact(2).filter_map(|pair| pair.try_into().ok()).map(unit);
    let text: String = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    let is_lossy = text.contains(char::REPLACEMENT_CHARACTER) || !octets.len().is_multiple_of(2);
    (text, is_lossy)
}

/// Without the codes of languages that stand between two escapes (7.9.2.2.2).
fn without_language(text: &str) -> String {
    let is_tagged = text.matches('\u{1b}').count() >= 2;
    if is_tagged { text.split('\u{1b}').step_by(2).collect() } else { text.to_owned() }
}

fn character(octet: u8) -> char {
    let nth = |table: &str, first: u8| table.chars().nth(usize::from(octet.saturating_sub(first)));
    let found = match octet {
        0x18..=0x1f => nth(LOW, 0x18),
        0x80..=0xa0 => nth(HIGH, 0x80),
        _ => None,
    };
    found.unwrap_or(char::from(octet))
}

fn octet(character: char) -> Option<u8> {
    (0..=255).find(|octet| self::character(*octet) == character && character != char::REPLACEMENT_CHARACTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_every_encoding() {
        assert_eq!(name(b"\xfe\xff\x8a\xcb\x6c\x42\x66\xf8\0.\0d\0o\0c\0m"), Name::plain("請求書.docm"));
        assert_eq!(name(b"\xff\xfea\0.\0b\0"), Name::plain("a.b"));
        assert_eq!(name(b"\xef\xbb\xbf\xe8\xab\x8b.doc"), Name::plain("請.doc"));
        assert_eq!(name(b"\xe8\xab\x8b.doc"), Name::plain("請.doc"));
        assert_eq!(name(b"\x8dr\xe9sum\xe9\x8e \xa0"), Name::plain("“résumé” €"));
        assert_eq!(name(b"\xfe\xff\0\x1b\0e\0n\0\x1b\0a"), Name::plain("a"));
        assert_eq!(name(b"\xfe\xff\xd8\0").text, "\u{fffd}");
        assert_eq!(file_name(b"\x90\xbf\x8b\x81\x8f\x91.doc").text, "請求書.doc");
    }

    #[test]
    fn passwords_are_encoded() {
        assert_eq!(encode("Aé€—"), Some(vec![b'A', 0xe9, 0xa0, 0x84]));
        assert_eq!(encode("秘"), None);
    }
}
