//! What packs the content of streams (ISO 32000-2 7.4). Filters of pictures are not unpacked: they hold pixels.

mod ascii;
mod lzw;
mod predictor;

use bytes::Bytes;
use flate2::bufread::DeflateDecoder;

use self::predictor::Predictor;
use super::document::Document;
use super::object::{Dictionary, Object};
use crate::formats::container::{Content, bounded};

/// Filters of one stream. Honest ones have one or two.
const MAX_FILTERS: usize = 16;

/// A filter with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// FlateDecode (7.4.4)
    Flate(Predictor),
    /// LZWDecode (7.4.4); whether codes grow one early
    Lzw(bool, Predictor),
    /// ASCIIHexDecode (7.4.2)
    Hexadecimal,
    /// ASCII85Decode (7.4.3)
    Base85,
    /// RunLengthDecode (7.4.5)
    Runs,
    /// Crypt (7.4.10): the name of a crypt filter
    Crypt(Vec<u8>),
    /// Another one, or something that is none
    Other(String),
}

/// The filters of a stream, the outermost first (7.3.8.2, table 5).
pub fn of(stream: &Dictionary, document: &Document) -> Vec<Filter> {
    let list = |keys: &[&str]| match keys.iter().find_map(|key| stream.get(key)).map(|value| document.value(value)) {
        None | Some(Object::Null) => Vec::new(),
        Some(Object::Array(items)) => {
            items.iter().take(MAX_FILTERS.saturating_add(1)).map(|item| document.value(item)).collect()
        }
        Some(one) => vec![one],
    };
    // Abbreviations are for images in pages (8.9.7), and readers take them anywhere.
    let names = list(&["Filter"]);
    let parameters = list(&["DecodeParms", "DP"]);
    if names.len() > MAX_FILTERS {
        return vec![Filter::Other("more filters than are followed".to_owned())];
    }
    let parameters = parameters.iter().map(Object::dictionary).chain(std::iter::repeat(None));
    names.iter().zip(parameters).map(|(name, parameters)| filter(name, parameters, document)).collect()
}

fn filter(name: &Object, parameters: Option<&Dictionary>, document: &Document) -> Filter {
    let Object::Name(name) = name else { return Filter::Other("a filter without a name".to_owned()) };
    let number = |key: &str, usual: usize| match parameters.and_then(|p| p.get(key)).map(|value| document.value(value))
    {
        Some(Object::Integer(number)) => usize::try_from(number).unwrap_or(usual),
        _ => usual,
    };
    let predictor = || Predictor {
        kind: number("Predictor", 1),
        colors: number("Colors", 1),
        bits: number("BitsPerComponent", 8),
        columns: number("Columns", 1),
    };
    match name.as_slice() {
        b"FlateDecode" | b"Fl" => Filter::Flate(predictor()),
        b"LZWDecode" | b"LZW" => Filter::Lzw(number("EarlyChange", 1) != 0, predictor()),
        b"ASCIIHexDecode" | b"AHx" => Filter::Hexadecimal,
        b"ASCII85Decode" | b"A85" => Filter::Base85,
        b"RunLengthDecode" | b"RL" => Filter::Runs,
        b"Crypt" => Filter::Crypt(parameters.and_then(|p| p.name("Name")).unwrap_or(b"Identity").to_vec()),
        other => Filter::Other(String::from_utf8_lossy(other.get(..100).unwrap_or(other)).into_owned()),
    }
}

/// What came of unpacking.
pub struct Unpacked {
    /// The content.
    pub content: Content,
    /// Octets that came out between two filters.
    pub between: u64,
}

/// Unpacks, at most `room` octets at a time.
pub fn unpack(packed: &Bytes, filters: &[Filter], room: u64) -> Unpacked {
    let mut content = Content::stored(packed.clone(), u64::MAX);
    let (mut between, mut is_torn) = (0_u64, false);
    let steps = filters.iter().filter(|filter| !matches!(filter, Filter::Crypt(_)));
    for (number, filter) in steps.enumerate() {
        let (bytes, is_head) = match &content {
            Content::Whole(bytes) => (bytes.clone(), false),
            Content::Head(bytes) => (bytes.clone(), true),
            Content::Damaged(bytes) => {
                is_torn = true;
                (bytes.clone(), false)
            }
            Content::Unsupported(_) => break,
        };
        if number > 0 {
            between = between.saturating_add(bytes.len() as u64);
        }
        let next = step(&bytes, filter, room.saturating_sub(between));
        content = match next {
            // What is cut on its way in is cut, not damaged, when it comes out.
            Content::Whole(bytes) | Content::Damaged(bytes) if is_head => Content::Head(bytes),
            next => next,
        };
    }
    if let Content::Whole(bytes) = &content
        && bytes.len() as u64 > room
    {
        content = Content::stored(bytes.clone(), room);
    }
    if let (Content::Whole(bytes), true) = (&content, is_torn) {
        content = Content::Damaged(bytes.clone());
    }
    Unpacked { content, between }
}

fn step(bytes: &Bytes, filter: &Filter, room: u64) -> Content {
    match filter {
        Filter::Flate(predictor) => predictor.undo(flate(bytes, room)),
        Filter::Lzw(is_early, predictor) => predictor.undo(lzw::decode(bytes, *is_early, room)),
        Filter::Hexadecimal => ascii::hexadecimal(bytes, room),
        Filter::Base85 => ascii::base85(bytes, room),
        Filter::Runs => runs(bytes, room),
        Filter::Crypt(_) => Content::Whole(bytes.clone()),
        Filter::Other(name) => Content::Unsupported(name.clone()),
    }
}

/// 7.4.4: a zlib stream (RFC 1950). Its checksum is not compared: readers show what does not fit it.
fn flate(bytes: &[u8], room: u64) -> Content {
    let is_header = |bytes: &[u8]| match bytes {
        [method, flags, ..] => {
            method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]).is_multiple_of(31) && flags & 0x20 == 0
        }
        _ => false,
    };
    // Ends of lines before it are a mistake that programs make.
    let blanks = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let starts = [Some(0), Some(blanks)].into_iter().flatten().filter_map(|start| bytes.get(start..));
    let stream = starts.filter(|start| is_header(start)).find_map(|start| start.get(2..));
    match stream {
        Some(stream) => bounded(DeflateDecoder::new(stream), bytes.len() as u64, room),
        None => Content::Damaged(Bytes::new()),
    }
}

/// Octets that come out, as far as there is room.
struct Output {
    bytes: Vec<u8>,
    room: usize,
}

impl Output {
    fn new(room: u64) -> Self {
        Self { bytes: Vec::new(), room: usize::try_from(room).unwrap_or(usize::MAX) }
    }

    /// `false` once there is no room.
    fn push(&mut self, octets: &[u8]) -> bool {
        let left = self.room.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(octets.get(..left).unwrap_or(octets));
        octets.len() <= left
    }

    fn content(self, is_full: bool, is_whole: bool) -> Content {
        match (is_full, is_whole) {
            (true, _) => Content::Head(self.bytes.into()),
            (false, true) => Content::Whole(self.bytes.into()),
            (false, false) => Content::Damaged(self.bytes.into()),
        }
    }
}

/// 7.4.5.
fn runs(bytes: &[u8], room: u64) -> Content {
    let mut out = Output::new(room);
    let mut rest = bytes;
    let (mut is_full, mut is_whole) = (false, true);
    while let ([length, behind @ ..], false) = (rest, is_full) {
        let count = usize::from(*length);
        rest = match (count, behind) {
            (128, _) => break,
            (0..128, _) => {
                let size = count.saturating_add(1);
                let piece = behind.get(..size).unwrap_or(behind);
                is_whole = piece.len() == size;
                is_full = !out.push(piece);
                behind.get(size..).unwrap_or_default()
            }
            (_, [octet, behind @ ..]) => {
                is_full = !out.push([*octet; 257].get(count..).unwrap_or_default());
                behind
            }
            (_, []) => {
                is_whole = false;
                break;
            }
        };
    }
    out.content(is_full, is_whole)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    const PLAIN: Predictor = Predictor { kind: 1, colors: 1, bits: 8, columns: 1 };

    #[test]
    fn runs_are_unpacked() {
        assert_eq!(runs(b"\x02abc\xfed\x80zz", 99), Content::Whole(b"abcddd"[..].into()));
        assert_eq!(runs(b"\x81a", 999), Content::Whole(vec![b'a'; 128].into()));
        assert_eq!(runs(b"\x02abc\xfed", 4), Content::Head(b"abcd"[..].into()));
        assert_eq!(runs(b"\x05ab", 99), Content::Damaged(b"ab"[..].into()));
        assert_eq!(runs(b"", 99), Content::Whole(Bytes::new()));
    }

    #[test]
    fn flate_is_unpacked_whatever_its_checksum() {
        let mut packed = zlib(&[b'x'; 5000]);
        let all = Content::Whole(vec![b'x'; 5000].into());
        assert_eq!(flate(&packed, 5000), all);
        assert_eq!(flate(&[b"\r\n", &packed[..]].concat(), 5000), all);
        assert_eq!(flate(&packed[2..], 5000), Content::Damaged(Bytes::new()));
        packed.truncate(packed.len() - 4);
        assert_eq!(flate(&packed, 5000), all);
        assert_eq!(flate(&packed, 4999), Content::Head(vec![b'x'; 4999].into()));
        packed.truncate(packed.len() - 4);
        assert!(matches!(flate(&packed, 5000), Content::Damaged(_)));
    }

    #[test]
    fn chains_are_bounded() {
        let chain = vec![Filter::Flate(PLAIN); 3];
        let packed: Bytes = zlib(&zlib(&zlib(&vec![0; 1 << 20]))).into();
        let whole = unpack(&packed, &chain, 2 << 20);
        assert_eq!(whole.content.size(), 1 << 20);
        assert!(whole.between > 0 && whole.between < 5000);
        assert!(matches!(unpack(&packed, &chain, 1 << 19).content, Content::Head(_)));
        assert_eq!(unpack(&packed, &[], 10).content, Content::Head(packed.slice(..10)));
        let unknown = [Filter::Flate(PLAIN), Filter::Other("DCTDecode".to_owned()), Filter::Runs];
        assert_eq!(unpack(&packed, &unknown, 1 << 20).content, Content::Unsupported("DCTDecode".to_owned()));
    }
}
