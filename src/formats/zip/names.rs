//! Names of members: octets in the charset of whoever packed the archive.
//!
//! APPNOTE appendix D knows CP437 and, by a flag, UTF-8. Windows in Japan writes CP932 and no
//! flag, macOS writes UTF-8 and no flag. So: UTF-8 if it is valid, else CP932 if that decodes to
//! Japanese, else CP437.

use super::records::{Header, UTF8, extra};
use crate::part::Name;

/// The names a header gives: its own, and that of the Unicode path field (4.6.9), if it differs.
pub fn names(header: &Header<'_>) -> Vec<Name> {
    let mut names = vec![decode(header.name, header.flags & UTF8 != 0)];
    // Version 1, CRC-32 of the other name, then UTF-8.
    if let Some([1, _, _, _, _, path @ ..]) = extra(header.extra, 0x7075) {
        let path = decode(path, true);
        if !names.contains(&path) {
            names.push(path);
        }
    }
    names
}

/// Decodes a raw name.
pub fn decode(raw: &[u8], utf8: bool) -> Name {
    if let Ok(text) = std::str::from_utf8(raw) {
        return Name::plain(text);
    }
    if utf8 {
        return Name { text: String::from_utf8_lossy(raw).into_owned(), raw: Some(raw.to_vec()) };
    }
    let japanese = encoding_rs::SHIFT_JIS.decode_without_bom_handling_and_without_replacement(raw);
    let text = match japanese {
        Some(text) if text.chars().any(is_japanese) => text.into_owned(),
        _ => raw.iter().map(|byte| cp437(*byte)).collect(),
    };
    Name { text, raw: Some(raw.to_vec()) }
}

/// Kana and kanji. Half-width kana and full-width letters prove nothing: any octet above 0xA0 is
/// one, and so is "é" of CP437 with the letter behind it.
fn is_japanese(c: char) -> bool {
    matches!(c, '\u{3041}'..='\u{30ff}' | '\u{4e00}'..='\u{9fff}')
}

fn cp437(byte: u8) -> char {
    const HIGH: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐\
                        └┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";
    match byte.checked_sub(0x80) {
        None => char::from(byte),
        Some(high) => HIGH.chars().nth(high.into()).unwrap_or('\u{fffd}'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_the_charsets_people_use() {
        let cases: &[(&[u8], bool, &str, bool)] = &[
            (b"a.txt", false, "a.txt", false),
            ("請求書.xlsm".as_bytes(), true, "請求書.xlsm", false),
            ("請求書.xlsm".as_bytes(), false, "請求書.xlsm", false),
            (b"\x90\xbf\x8b\x81\x8f\x91.xlsm", false, "請求書.xlsm", true),
            (b"\x90\xbf\x8b\x81\x8f\x91.xlsm", true, "\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}.xlsm", true),
            (b"M\x81ller.doc", false, "Müller.doc", true),
            (b"\xff.doc", false, "\u{a0}.doc", true),
        ];
        for (raw, utf8, text, lossy) in cases {
            let name = decode(raw, *utf8);
            assert_eq!((name.text.as_str(), name.raw.is_some()), (*text, *lossy), "{raw:x?}");
        }
    }

    #[test]
    fn the_table_of_cp437_is_whole() {
        assert_eq!([cp437(0x80), cp437(0xb0), cp437(0xc0), cp437(0xe1), cp437(0xff)], ['Ç', '░', '└', 'ß', '\u{a0}']);
    }
}
