//! Decompressors without a container around them: octets in, bounded [`Content`] out. ZIP's methods and
//! the formats of single files share them.
//!
//! gzip (RFC 1952), bzip2, xz, LZMA alone (`.lzma`) and Zstandard (RFC 8878). Each reads as many members,
//! streams or frames as follow each other, stops at what is none, and says how far it came. Checksums are
//! claims: what does not fit them is still what a lenient reader shows. Deflate64 and PPMd occur in ZIP only.

use std::io::{self, ErrorKind, Read};

use bzip2::bufread::BzDecoder;
use deflate64::InflaterManaged;
use flate2::bufread::DeflateDecoder;
use lzma_rust2::{LzmaReader, XzReader};
use ppmd_rust::{Ppmd8Decoder, RestoreMethod};
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use crate::formats::container::Content;
use crate::reader::Reader;

/// Memory that a dictionary of LZMA or xz may take: `xz -9` needs 64 MiB.
pub const MAX_DICTIONARY: u32 = 64 << 20;
/// The window of Zstandard: what `zstd -d` opens without being asked for more (128 MiB).
pub const MAX_WINDOW: u64 = 128 << 20;
/// Members, streams or frames of one file. Parallel packers write one for each 64 KiB to 1 MiB.
pub const MAX_STREAMS: usize = 10_000;

/// What came out, and how much of the input it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// The content.
    pub content: Content,
    /// Octets of the input up to the end of the last stream: what follows is something else.
    pub used: usize,
}

/// How a stream ended.
#[derive(Debug)]
enum End {
    Whole,
    Full,
    Broken,
    Unsupported(String),
}

/// What was poured out so far.
struct Output {
    bytes: Vec<u8>,
    room: u64,
}

impl Output {
    fn new(room: u64) -> Self {
        Self { bytes: Vec::new(), room }
    }

    /// Reads to the end, but no more than there is room for.
    fn pour(&mut self, reader: &mut impl Read) -> End {
        let left = self.room.saturating_sub(self.bytes.len() as u64).saturating_add(1);
        let outcome = reader.take(left).read_to_end(&mut self.bytes);
        if self.bytes.len() as u64 > self.room {
            self.bytes.truncate(usize::try_from(self.room).unwrap_or(usize::MAX));
            return End::Full;
        }
        outcome.map_or_else(|error| end(&error), |_| End::Whole)
    }

    fn content(self, end: End) -> Content {
        match end {
            End::Whole => Content::Whole(self.bytes.into()),
            End::Full => Content::Head(self.bytes.into()),
            End::Unsupported(why) if self.bytes.is_empty() => Content::Unsupported(why),
            End::Broken | End::Unsupported(_) => Content::Damaged(self.bytes.into()),
        }
    }
}

fn end(error: &io::Error) -> End {
    match error.kind() {
        ErrorKind::OutOfMemory => End::Unsupported("a dictionary larger than 64 MiB".to_owned()),
        ErrorKind::Unsupported => End::Unsupported("a filter that is not known".to_owned()),
        _ => End::Broken,
    }
}

/// Runs `stream` over what is left as long as it says that another one begins: it gives the octets it took,
/// and how it ended, or `None` where nothing of its kind begins.
fn streams(bytes: &[u8], room: u64, mut stream: impl FnMut(&[u8], &mut Output) -> Option<(usize, End)>) -> Unpacked {
    let mut out = Output::new(room);
    let mut used = 0_usize;
    for _ in 0..MAX_STREAMS {
        let rest = bytes.get(used..).unwrap_or_default();
        let Some((took, end)) = stream(rest, &mut out) else {
            let end = if used == 0 { End::Broken } else { End::Whole };
            return Unpacked { content: out.content(end), used };
        };
        used = used.saturating_add(took).min(bytes.len());
        if !matches!(end, End::Whole) {
            // Where a broken stream ends is not known: all that follows is part of it.
            return Unpacked { content: out.content(end), used: bytes.len() };
        }
        if took == 0 {
            break;
        }
    }
    Unpacked { content: out.content(End::Full), used: bytes.len() }
}

/// gzip: all members, one after the other.
pub fn gzip(bytes: &[u8], room: u64) -> Unpacked {
    streams(bytes, room, |rest, out| {
        let start = gzip_header(rest)?.size;
        let mut decoder = DeflateDecoder::new(rest.get(start..).unwrap_or_default());
        let end = out.pour(&mut decoder);
        // CRC-32 and size stand behind.
        let took = usize::try_from(decoder.total_in()).ok()?.saturating_add(start).saturating_add(8);
        let end = if matches!(end, End::Whole) && took > rest.len() { End::Broken } else { end };
        Some((took, end))
    })
}

/// What stands before the data of a gzip member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GzipHeader<'a> {
    /// Its octets.
    pub size: usize,
    /// The original file name, without the NUL.
    pub name: Option<&'a [u8]>,
}

/// Reads a member's header (RFC 1952 2.3).
pub fn gzip_header(bytes: &[u8]) -> Option<GzipHeader<'_>> {
    let mut reader = Reader::new(bytes);
    if reader.take(3)? != b"\x1f\x8b\x08" {
        return None;
    }
    let flags = reader.u8()?;
    reader.skip(6)?;
    if flags & 4 != 0 {
        let size = reader.u16()?;
        reader.skip(size.into())?;
    }
    let name = if flags & 8 != 0 { Some(text(&mut reader)?) } else { None };
    if flags & 16 != 0 {
        text(&mut reader)?;
    }
    if flags & 2 != 0 {
        reader.skip(2)?;
    }
    Some(GzipHeader { size: reader.position(), name: name.filter(|name| !name.is_empty()) })
}

/// Up to a NUL, which is passed over.
fn text<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let mut ahead = *reader;
    let size = memchr::memchr(0, ahead.rest())?;
    let text = reader.take(size)?;
    reader.skip(1)?;
    Some(text)
}

/// bzip2: all streams, one after the other.
pub fn bzip2(bytes: &[u8], room: u64) -> Unpacked {
    streams(bytes, room, |rest, out| {
        if !rest.starts_with(b"BZh") {
            return None;
        }
        let mut decoder = BzDecoder::new(rest);
        let end = out.pour(&mut decoder);
        Some((usize::try_from(decoder.total_in()).ok()?, end))
    })
}

/// xz: all streams, with the padding between them.
pub fn xz(bytes: &[u8], room: u64) -> Unpacked {
    streams(bytes, room, |rest, out| {
        let padding = rest.iter().take_while(|byte| **byte == 0).count();
        let rest = rest.get(padding..).unwrap_or_default();
        if !rest.starts_with(b"\xfd7zXZ\0") {
            return None;
        }
        let mut decoder = XzReader::new_mem_limit(rest, false, MAX_DICTIONARY.checked_div(1024)?.saturating_add(4096));
        let end = out.pour(&mut decoder);
        let left = decoder.into_inner().len();
        Some((rest.len().saturating_sub(left).saturating_add(padding), end))
    })
}

/// What stands before LZMA data in a file of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LzmaHeader {
    props: u8,
    dictionary: u32,
    size: u64,
}

/// Octets of [`LzmaHeader`].
const LZMA_HEADER: usize = 13;

/// Reads the header of `.lzma`, if it is plausible: it has no magic. As xz does: a dictionary of 2^n or 2^n + 2^(n-1)
/// octets, less than 256 GiB of content or an unknown size, and the first octet of the range coder, which is 0.
pub fn lzma_header(bytes: &[u8]) -> Option<LzmaHeader> {
    let mut reader = Reader::new(bytes);
    let (props, dictionary, size, first) = (reader.u8()?, reader.u32()?, reader.u64()?, reader.u8()?);
    let literal_bits = (props % 9).saturating_add((props / 9) % 5);
    let ones = dictionary.count_ones();
    let round = ones == 1 || dictionary == u32::MAX || (ones == 2 && dictionary & (dictionary >> 1) != 0);
    let plausible = props < 225
        && literal_bits <= 4
        && dictionary >= 4096
        && round
        && (size == u64::MAX || (1..1 << 38).contains(&size))
        && first == 0;
    plausible.then_some(LzmaHeader { props, dictionary, size })
}

/// Whether the first octets unpack: for a header without a magic.
pub fn is_lzma(bytes: &[u8]) -> bool {
    let glance = |header: LzmaHeader| {
        let packed = bytes.get(LZMA_HEADER..)?;
        let reader = LzmaReader::new_with_props(packed, header.size, header.props, 4096, None).ok()?;
        // In 64 octets of anything else there is soon a reference to what was never there.
        let wanted = header.size.min(64);
        let mut out = Vec::new();
        let outcome = reader.take(wanted).read_to_end(&mut out);
        Some(outcome.is_ok() && !out.is_empty() && (header.size == u64::MAX || out.len() as u64 == wanted))
    };
    lzma_header(bytes).and_then(glance).unwrap_or(false)
}

/// LZMA with its header, as in `.lzma` files.
pub fn lzma_alone(bytes: &[u8], room: u64) -> Content {
    let Some(header) = lzma_header(bytes) else { return Content::Damaged(bytes::Bytes::new()) };
    lzma(bytes.get(LZMA_HEADER..).unwrap_or_default(), header.props, header.dictionary, header.size, room)
}

/// Raw LZMA data of `size` octets (`u64::MAX`: until its end mark). A dictionary larger than [`MAX_DICTIONARY`] is
/// a claim that most data never needs; if this one does, its head comes out.
pub fn lzma(packed: &[u8], props: u8, dictionary: u32, size: u64, room: u64) -> Content {
    let mut out = Output::new(room);
    // No more can be referred to than there is.
    let most = u32::try_from(size.min(room.saturating_add(1))).unwrap_or(u32::MAX).max(4096);
    let dictionary = dictionary.min(MAX_DICTIONARY).min(most);
    let end = match LzmaReader::new_with_props(packed, size, props, dictionary, None) {
        Ok(mut reader) => out.pour(&mut reader),
        Err(error) => end(&error),
    };
    let cut = size != u64::MAX && matches!(end, End::Whole) && (out.bytes.len() as u64) < size;
    out.content(if cut { End::Broken } else { end })
}

/// Octets that are unpacked at once by Deflate64.
const PIECE: usize = 32 << 10;

/// Deflate64 (APPNOTE 4.4.5), which ends where it says.
pub fn deflate64(packed: &[u8], room: u64) -> Content {
    let mut out = Output::new(room);
    // 70 kB of windows and tables: too much to be moved about.
    let mut stream = Box::new(InflaterManaged::new());
    let mut piece = vec![0; PIECE];
    let mut rest = packed;
    let end = loop {
        let step = stream.inflate(rest, &mut piece);
        out.bytes.extend_from_slice(piece.get(..step.bytes_written).unwrap_or_default());
        rest = rest.get(step.bytes_consumed..).unwrap_or_default();
        if out.bytes.len() as u64 > room {
            out.bytes.truncate(usize::try_from(room).unwrap_or(usize::MAX));
            break End::Full;
        }
        if step.data_error || stream.errored() {
            break End::Broken;
        }
        if stream.finished() {
            break End::Whole;
        }
        if step.bytes_written == 0 && step.bytes_consumed == 0 {
            // Cut off.
            break End::Broken;
        }
    };
    out.content(end)
}

/// Memory that PPMd may take. 7-Zip takes 16 MiB unless it is told otherwise, and no more than 64 MiB below level 9.
pub const MAX_MODEL: u32 = 64 << 20;

/// PPMd of version I, revision 1, of `size` octets (`u64::MAX`: until its end mark), behind its parameters.
pub fn ppmd(packed: &[u8], size: u64, room: u64) -> Content {
    let mut out = Output::new(room);
    let mut reader = Reader::new(packed);
    // Four bits of order, eight of megabytes, four of what is done once they are full (APPNOTE 5.10).
    let Some(parameters) = reader.u16() else { return out.content(End::Broken) };
    let order = u32::from(parameters & 15).saturating_add(1);
    let memory = u32::from((parameters >> 4) & 0xFF).saturating_add(1) << 20;
    if memory > MAX_MODEL {
        return out.content(End::Unsupported("a PPMd model larger than 64 MiB".to_owned()));
    }
    let restore = if parameters >> 12 == 0 { RestoreMethod::Restart } else { RestoreMethod::CutOff };
    let end = match Ppmd8Decoder::new(reader.rest(), order, memory, restore) {
        Ok(decoder) => out.pour(&mut decoder.take(size)),
        Err(_) => End::Broken,
    };
    let cut = size != u64::MAX && matches!(end, End::Whole) && (out.bytes.len() as u64) < size;
    out.content(if cut { End::Broken } else { end })
}

/// Zstandard: all frames, passing over those that are to be skipped.
pub fn zstd(bytes: &[u8], room: u64) -> Unpacked {
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(MAX_WINDOW);
    streams(bytes, room, |rest, out| {
        let mut reader = Reader::new(rest);
        match reader.u32()? {
            // RFC 8878 3.1.2
            0x184d_2a50..=0x184d_2a5f => {
                let size = usize::try_from(reader.u32()?).ok()?;
                let whole = reader.skip(size).is_some();
                Some((size.saturating_add(8), if whole { End::Whole } else { End::Broken }))
            }
            0xfd2f_b528 => Some(frame(rest, &mut decoder, out)),
            _ => None,
        }
    })
}

fn frame(bytes: &[u8], decoder: &mut FrameDecoder, out: &mut Output) -> (usize, End) {
    use ruzstd::decoding::errors::FrameDecoderError;
    let before = out.bytes.len();
    let mut rest = bytes;
    let outcome = match StreamingDecoder::new_with_decoder(&mut rest, &mut *decoder) {
        Ok(mut stream) => out.pour(&mut stream),
        Err(FrameDecoderError::WindowSizeTooBig { .. }) => {
            return (bytes.len(), End::Unsupported("a window larger than 128 MiB".to_owned()));
        }
        Err(FrameDecoderError::DictNotProvided { .. }) => {
            return (bytes.len(), End::Unsupported("a dictionary that is not in the file".to_owned()));
        }
        Err(_) => return (bytes.len(), End::Broken),
    };
    let took = bytes.len().saturating_sub(rest.len());
    if !matches!(outcome, End::Broken) {
        return (took, outcome);
    }
    // The decoder keeps a window back: an end behind the last whole block makes it give that, too.
    let good = decoder.blocks_decoded();
    let ended = blocks(bytes, good).and_then(|end| bytes.get(..end)).map(|whole| [whole, b"\x01\0\0\0\0\0\0"].concat());
    if let Some(ended) = ended {
        out.bytes.truncate(before);
        if let Ok(mut stream) = StreamingDecoder::new_with_decoder(&ended[..], decoder) {
            out.pour(&mut stream);
        }
    }
    (took, End::Broken)
}

/// Where the first `count` blocks of a frame end (RFC 8878 3.1.1).
fn blocks(bytes: &[u8], count: usize) -> Option<usize> {
    let mut reader = Reader::at(bytes, 4)?;
    let flags = reader.u8()?;
    let single = flags & 0x20 != 0;
    let content_size = match flags >> 6 {
        0 => usize::from(single),
        1 => 2,
        2 => 4,
        _ => 8,
    };
    let dictionary = [0, 1, 2, 4].get(usize::from(flags & 3)).copied()?;
    reader.skip(usize::from(!single))?;
    reader.skip(dictionary)?;
    reader.skip(content_size)?;
    for _ in 0..count {
        let (low, high) = (reader.u16()?, reader.u8()?);
        let header = u32::from(low) | u32::from(high) << 16;
        // A block of one repeated octet stores that one.
        let size = if header >> 1 & 3 == 1 { 1 } else { usize::try_from(header >> 3).ok()? };
        reader.skip(size)?;
    }
    Some(reader.position())
}

#[cfg(test)]
mod tests;
