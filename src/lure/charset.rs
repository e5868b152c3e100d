//! Text of unknown charset to a string: for reading by machine, where a wrong guess costs little.

use std::borrow::Cow;

use encoding_rs::{EUC_JP, ISO_2022_JP, SHIFT_JIS, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// Decodes by what the octets look like: a byte order mark, ISO-2022-JP's escapes, UTF-8, Shift_JIS
/// or EUC-JP if that gives Japanese, else windows-1252.
pub fn decode_text(bytes: &[u8]) -> String {
    let encoding = match bytes {
        [0xff, 0xfe, ..] => UTF_16LE,
        [0xfe, 0xff, ..] => UTF_16BE,
        _ if has_japanese_escape(bytes) => ISO_2022_JP,
        _ if is_mostly_utf8(bytes) => UTF_8,
        _ => japanese(bytes).unwrap_or(WINDOWS_1252),
    };
    encoding.decode(bytes).0.into_owned()
}

/// Decodes XML, which is UTF-8 or UTF-16 in packages of Office, without a copy where it can.
pub fn decode_xml(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        // UTF-16 without a mark is valid UTF-8, too, with a NUL at every other place.
        Ok(text) if !text.starts_with("<\0") && !text.starts_with("\0<") => Cow::Borrowed(text),
        _ if bytes.starts_with(b"<\0") => UTF_16LE.decode(bytes).0,
        _ if bytes.starts_with(b"\0<") => UTF_16BE.decode(bytes).0,
        _ => Cow::Owned(decode_text(bytes)),
    }
}

/// RFC 1468: ESC $ @, ESC $ B to kanji; CP50221's ESC ( I to half-width kana.
fn has_japanese_escape(bytes: &[u8]) -> bool {
    let escapes: [&[u8]; 3] = [b"\x1b$@", b"\x1b$B", b"\x1b(I"];
    escapes.iter().any(|escape| memchr::memmem::find(bytes, escape).is_some())
}

/// A stray octet, or a character cut at the end, does not make UTF-8 something else.
fn is_mostly_utf8(bytes: &[u8]) -> bool {
    let (mut good, mut bad) = (0_usize, 0_usize);
    for chunk in bytes.utf8_chunks() {
        good = good.saturating_add(chunk.valid().bytes().filter(|b| !b.is_ascii()).count());
        bad = bad.saturating_add(chunk.invalid().len());
    }
    bad == 0 || good > bad.saturating_mul(8)
}

/// The Japanese charset in which the octets give more kana, if either decodes.
fn japanese(bytes: &[u8]) -> Option<&'static encoding_rs::Encoding> {
    let kana = |encoding: &'static encoding_rs::Encoding| {
        let (text, _, _) = encoding.decode(bytes);
        let bad = text.chars().filter(|c| *c == '\u{fffd}').count();
        let kana = text.chars().filter(|c| matches!(c, '\u{3041}'..='\u{30fe}')).count();
        kana.saturating_sub(bad.saturating_mul(2))
    };
    let (shift_jis, euc_jp) = (kana(SHIFT_JIS), kana(EUC_JP));
    match shift_jis.max(euc_jp) {
        0 => None,
        most if most == shift_jis => Some(SHIFT_JIS),
        _ => Some(EUC_JP),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charsets_of_japanese_and_european_mail() {
        let text = "お世話になっております。解凍パスワードは「abc123」です。";
        for encoding in [UTF_8, SHIFT_JIS, EUC_JP, ISO_2022_JP] {
            assert_eq!(decode_text(&encoding.encode(text).0), text, "{}", encoding.name());
        }
        assert_eq!(decode_text(b"Gr\xfc\xdfe aus K\xf6ln"), "Grüße aus Köln");
        assert_eq!(decode_text(b"\xff\xfea\0b\0"), "ab");
        assert_eq!(decode_text(b""), "");
    }

    #[test]
    fn xml_in_every_charset_of_xml() {
        let utf16: Vec<u8> = "<a>é</a>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = "<a>é</a>".encode_utf16().flat_map(u16::to_be_bytes).collect();
        let marked = [b"\xff\xfe".to_vec(), utf16.clone()].concat();
        for bytes in [utf16, big, marked, "<a>é</a>".into(), b"<a>\xe9</a>".to_vec()] {
            assert_eq!(decode_xml(&bytes), "<a>é</a>");
        }
    }

    #[test]
    fn utf8_that_was_cut_stays_utf8() {
        let text = "日本語の文章がここにあります".as_bytes();
        assert_eq!(decode_text(&text[..text.len() - 1]), "日本語の文章がここにありま\u{fffd}");
    }
}
