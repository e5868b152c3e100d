//! Character sets: the declared one if it fits, else the one the octets look like. Japanese mail
//! needs this most: names stand there as raw ISO-2022-JP, Shift_JIS or EUC-JP, often mislabelled.

use encoding_rs::{EUC_JP, Encoding, ISO_2022_JP, REPLACEMENT, SHIFT_JIS, UTF_8, WINDOWS_1252};

/// Text, and whether octets were lost on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The text; what could not be decoded is U+FFFD.
    pub text: String,
    /// Whether something could not be decoded.
    pub lossy: bool,
}

/// Decodes `bytes` by the declared character set, or by what they look like if none is declared,
/// it is unknown, or it does not fit.
pub fn decode(label: Option<&str>, bytes: &[u8]) -> Decoded {
    let declared = label.and_then(encoding);
    if let Some(declared) = declared {
        let first = with(declared, bytes);
        // ISO-2022-JP is seven bits wide; octets above are another character set's.
        if !first.lossy && (declared != ISO_2022_JP || bytes.is_ascii()) {
            return first;
        }
        let second = guess(bytes);
        return if second.lossy { first } else { second };
    }
    guess(bytes)
}

/// The encoding of a label (RFC 2978, and what mail calls them besides).
pub fn encoding(label: &str) -> Option<&'static Encoding> {
    let label = label.trim().trim_matches(['"', '\'']).to_ascii_lowercase();
    let label = match label.as_str() {
        "cp932" | "windows-932" | "ms_kanji_1" => "shift_jis",
        "cp50220" | "cp50221" | "cp50222" | "iso-2022-jp-ms" | "iso-2022-jp-1" | "iso-2022-jp-2" | "iso-2022-jp-3"
        | "iso-2022-jp-2004" => "iso-2022-jp",
        "cp51932" | "eucjp-ms" | "eucjp" => "euc-jp",
        "utf8" | "utf-8n" => "utf-8",
        other => other,
    };
    Encoding::for_label(label.as_bytes()).filter(|encoding| *encoding != REPLACEMENT)
}

fn with(encoding: &'static Encoding, bytes: &[u8]) -> Decoded {
    let (text, lossy) = encoding.decode_without_bom_handling(bytes);
    Decoded { text: text.into_owned(), lossy }
}

fn guess(bytes: &[u8]) -> Decoded {
    if has_escape(bytes) && bytes.is_ascii() {
        let japanese = with(ISO_2022_JP, bytes);
        if !japanese.lossy {
            return japanese;
        }
    }
    let utf8 = with(UTF_8, bytes);
    if !utf8.lossy {
        return utf8;
    }
    let (shift_jis, euc) = (with(SHIFT_JIS, bytes), with(EUC_JP, bytes));
    match (shift_jis.lossy, euc.lossy) {
        (false, true) => shift_jis,
        (true, false) => euc,
        // EUC-JP read as Shift_JIS is a row of half-width katakana.
        (false, false) if half_width(&shift_jis.text) > half_width(&euc.text) => euc,
        (false, false) => shift_jis,
        (true, true) if bytes.iter().filter(|byte| **byte >= 0x80).count() <= 2 => with(WINDOWS_1252, bytes),
        (true, true) => utf8,
    }
}

/// Whether an ISO-2022 escape to a double-byte set stands in `bytes`.
fn has_escape(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, b"\x1b$").is_some() || memchr::memmem::find(bytes, b"\x1b(").is_some()
}

fn half_width(text: &str) -> usize {
    text.chars().filter(|c| ('\u{ff61}'..='\u{ff9f}').contains(c)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "請求書のご案内.xlsx";

    #[test]
    fn undeclared_japanese_is_recognised() {
        for encoding in [UTF_8, SHIFT_JIS, EUC_JP, ISO_2022_JP] {
            let (bytes, _, _) = encoding.encode(NAME);
            assert_eq!(decode(None, &bytes), Decoded { text: NAME.into(), lossy: false }, "{}", encoding.name());
        }
    }

    #[test]
    fn a_wrong_label_is_overruled_by_what_fits() {
        let (bytes, _, _) = SHIFT_JIS.encode(NAME);
        assert_eq!(decode(Some("iso-2022-jp"), &bytes).text, NAME);
        assert_eq!(decode(Some("utf-8"), &bytes).text, NAME);
        assert_eq!(decode(Some("no-such-set"), &bytes).text, NAME);
    }

    #[test]
    fn nonsense_is_lossy_and_does_not_fail() {
        assert!(decode(Some("utf-8"), b"\xff\xfe\xfd\x80\x81").lossy);
        assert_eq!(decode(None, b"").text, "");
        assert_eq!(decode(Some("hz-gb-2312"), b"abc").text, "abc");
        assert_eq!(decode(None, b"caf\xe9.doc").text, "café.doc");
    }
}
