//! LZH archives (LHA, LHarc), header levels 0 to 3, also behind other octets of a program. Files that are stored or
//! packed by lh1, lh4 to lh7, lzs and lz5 are unpacked. Names are CP932 by custom, as everywhere in Japan.

use std::ops::Range;

use bytes::Bytes;
use delharc::decode::{Decoder, DecoderAny};
use delharc::header::CompressionMethod;

use crate::filetype::FileType;
use crate::finding;
use crate::formats::Format;
use crate::formats::container::{self, Content, Member, Outcome};
use crate::formats::zip::names;
use crate::limits::Limit;
use crate::part::{Name, Part};
use crate::reader::Reader;
use crate::scan::Scan;

/// LZH archives.
pub const FORMAT: Format = Format { name: "lzh", walled: true, accepts: |part| part.types.has(FileType::Lzh), examine };

/// Places at which a header is looked for behind a broken one, or in a program.
const MAX_PLACES: usize = 10_000;
/// Extended headers of a member: a handful is usual.
const MAX_EXTENDED: usize = 64;
/// Octets of a name that are kept.
const MAX_NAME: usize = 4096;

fn examine(part: &Part, scan: &mut Scan) {
    let bytes = &part.bytes;
    let (mut at, mut found, mut places, mut looked) = (0_usize, 0_usize, 0_usize, 0_usize);
    // Folders make no parts; even so they are counted.
    let most = scan.limits().max_files.saturating_mul(10);
    while at < bytes.len() && !scan.stopped() {
        let Some(header) = header(bytes, at) else {
            // An octet of zero ends the archive; behind it a reader may be made to go on.
            let broken = bytes.get(at).is_some_and(|octet| *octet != 0);
            if broken && found > 0 {
                scan.finding(finding::DAMAGED, part, "", "a header is broken");
            }
            match next(bytes, at.saturating_add(1), &mut places) {
                Some(next) => at = next,
                None => break,
            }
            continue;
        };
        found = found.saturating_add(1);
        looked = looked.saturating_add(1);
        if looked as u64 > most {
            return scan.limit(part, Limit::Files);
        }
        if let Outcome::Full = member(part, &header, scan) {
            return;
        }
        // Where the size lies, more headers may stand within.
        at = if header.data.end > bytes.len() { header.data.start } else { header.data.end };
    }
    if places >= MAX_PLACES {
        scan.finding(finding::DAMAGED, part, "", "too many broken headers");
    }
    if found == 0 {
        scan.finding(finding::DAMAGED, part, "", "no member can be found");
    }
}

/// Where a header stands behind other octets of the file.
pub(crate) fn find(bytes: &[u8]) -> Option<usize> {
    next(bytes, 0, &mut 0)
}

/// The next place from `from` on at which a header stands.
fn next(bytes: &[u8], from: usize, places: &mut usize) -> Option<usize> {
    // The method stands two octets behind the start.
    let mut at = from.saturating_add(2);
    loop {
        at = at.saturating_add(memchr::memmem::find(bytes.get(at..)?, b"-l")?);
        *places = places.saturating_add(1);
        if *places > MAX_PLACES {
            return None;
        }
        let start = at.saturating_sub(2);
        if header(bytes, start).is_some() {
            return Some(start);
        }
        at = at.saturating_add(2);
    }
}

/// What a header says.
struct Header {
    method: [u8; 5],
    size: u64,
    data: Range<usize>,
    names: Vec<Name>,
}

/// Reads the header at `at`, whatever its level.
fn header(bytes: &[u8], at: usize) -> Option<Header> {
    let mut reader = Reader::at(bytes, at)?;
    let (first, second) = (reader.u8()?, reader.u8()?);
    let method: [u8; 5] = reader.take(5)?.try_into().ok()?;
    if !matches!(method, [b'-', b'l', b'h' | b'z', _, b'-']) {
        return None;
    }
    let (packed, size) = (u64::from(reader.u32()?), u64::from(reader.u32()?));
    reader.skip(5)?;
    let level = reader.u8()?;
    let mut told = Told { packed, size, ..Told::default() };
    let start = match level {
        0 | 1 => {
            let end = at.checked_add(2)?.checked_add(first.into())?;
            let name_size = reader.u8()?;
            let name = reader.take(name_size.into())?;
            let sum = bytes.get(at.checked_add(2)?..end)?.iter().fold(0_u8, |sum, octet| sum.wrapping_add(*octet));
            // Its checksum, or at least a header that holds its own name.
            if sum != second && (reader.position() > end || name.is_empty() || name.contains(&0)) {
                return None;
            }
            told.name = name.to_vec();
            if level == 0 {
                end
            } else {
                let mut next = Reader::at(bytes, end.checked_sub(2)?)?;
                let size = next.u16()?;
                let start = told.extended(bytes, end, size.into(), 2)?;
                // The packed size counts extended headers.
                told.packed = told.packed.checked_sub(u64::try_from(start.checked_sub(end)?).ok()?)?;
                start
            }
        }
        2 => {
            reader.skip(3)?;
            let next = reader.u16()?;
            told.extended(bytes, reader.position(), next.into(), 2)?;
            at.checked_add(usize::from(u16::from_le_bytes([first, second])))?
        }
        3 if [first, second] == [4, 0] => {
            reader.skip(3)?;
            let (whole, next) = (reader.u32()?, reader.u32()?);
            told.extended(bytes, reader.position(), usize::try_from(next).ok()?, 4)?;
            at.checked_add(usize::try_from(whole).ok()?)?
        }
        _ => return None,
    };
    if start <= at || start > bytes.len() {
        return None;
    }
    let end = usize::try_from(told.packed).ok().and_then(|size| start.checked_add(size)).unwrap_or(usize::MAX);
    Some(Header { method, size: told.size, data: start..end, names: told.names() })
}

/// What header and extended headers tell.
#[derive(Default)]
struct Told {
    packed: u64,
    size: u64,
    name: Vec<u8>,
    folder: Vec<u8>,
    /// In UTF-16, as UNLHA32 adds them.
    wide_name: Option<String>,
    wide_folder: Option<String>,
}

impl Told {
    /// Reads extended headers from `at` on, the first of `size` octets; each ends with the size of the next one, in
    /// `width` octets. Where they end.
    fn extended(&mut self, bytes: &[u8], at: usize, mut size: usize, width: usize) -> Option<usize> {
        let mut reader = Reader::at(bytes, at)?;
        for _ in 0..MAX_EXTENDED {
            if size == 0 {
                return Some(reader.position());
            }
            let kind = reader.u8()?;
            let content = reader.take(size.checked_sub(width.checked_add(1)?)?)?;
            size = if width == 2 { reader.u16()?.into() } else { usize::try_from(reader.u32()?).ok()? };
            self.hear(kind, content.get(..MAX_NAME).unwrap_or(content));
        }
        None
    }

    fn hear(&mut self, kind: u8, content: &[u8]) {
        match kind {
            0x01 => self.name = content.to_vec(),
            0x02 => self.folder = content.to_vec(),
            0x42 => {
                let mut reader = Reader::new(content);
                if let (Some(packed), Some(size)) = (reader.u64(), reader.u64()) {
                    (self.packed, self.size) = (packed, size);
                }
            }
            0x44 => self.wide_name = Some(wide(content)),
            0x45 => self.wide_folder = Some(wide(content)),
            _ => {}
        }
    }

    fn names(self) -> Vec<Name> {
        let slashes =
            |raw: &[u8]| raw.iter().map(|octet| if *octet == 0xff { b'/' } else { *octet }).collect::<Vec<u8>>();
        // Some add a comment or what else behind a NUL.
        let name = self.name.split(|octet| *octet == 0).next().unwrap_or_default();
        let mut names = vec![names::decode(&[slashes(&self.folder), name.to_vec()].concat(), false)];
        if let Some(name) = self.wide_name {
            let text = format!("{}{name}", self.wide_folder.unwrap_or_default());
            if names.iter().all(|known| known.text != text) {
                names.push(Name::plain(text));
            }
        }
        names
    }
}

fn wide(content: &[u8]) -> String {
    let units = content.chunks_exact(2).filter_map(|pair| Some(u16::from_le_bytes(pair.try_into().ok()?)));
    let slashes = units.map(|unit| if unit == 0xffff { u16::from(b'/') } else { unit });
    char::decode_utf16(slashes).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

fn member(part: &Part, header: &Header, scan: &mut Scan) -> Outcome {
    let end = header.data.end.min(part.bytes.len());
    let packed = part.bytes.slice(header.data.start.min(end)..end);
    let is_folder = header.method == *b"-lhd-";
    if is_folder && packed.is_empty() {
        return Outcome::Given;
    }
    let content = if is_folder { Content::stored(packed.clone(), scan.room()) } else { unpack(header, &packed, scan) };
    let is_empty = header.size == 0 && packed.is_empty();
    container::give(part, Member { names: &header.names, packed: Some(&packed), is_empty }, content, false, scan)
}

fn unpack(header: &Header, packed: &Bytes, scan: &Scan) -> Content {
    let method = match &header.method {
        b"-lh0-" | b"-lz4-" => {
            let cut = (packed.len() as u64) < header.size || header.data.end == usize::MAX;
            return match Content::stored(packed.clone(), scan.room()) {
                Content::Whole(bytes) if cut => Content::Damaged(bytes),
                other => other,
            };
        }
        b"-lh1-" => CompressionMethod::Lh1,
        b"-lh4-" => CompressionMethod::Lh4,
        b"-lh5-" => CompressionMethod::Lh5,
        b"-lh6-" => CompressionMethod::Lh6,
        b"-lh7-" => CompressionMethod::Lh7,
        b"-lzs-" => CompressionMethod::Lzs,
        b"-lz5-" => CompressionMethod::Lz5,
        other => return Content::Unsupported(String::from_utf8_lossy(other).into_owned()),
    };
    decode(method, packed, header.size, scan.room())
}

/// Unpacks `size` octets: these streams do not say themselves where they end. ARJ packs in the same way.
pub(crate) fn decode(method: CompressionMethod, packed: &[u8], size: u64, room: u64) -> Content {
    /// What is lost at most where a stream breaks.
    const STEP: u64 = 1024;
    let mut decoder = DecoderAny::new_from_compression(method, packed);
    let mut out: Vec<u8> = Vec::new();
    loop {
        let left = size.min(room).saturating_sub(out.len() as u64);
        if left == 0 {
            return if size > room { Content::Head(out.into()) } else { Content::Whole(out.into()) };
        }
        let before = out.len();
        out.resize(before.saturating_add(usize::try_from(left.min(STEP)).unwrap_or_default()), 0);
        let outcome = out.get_mut(before..).map(|buffer| decoder.fill_buffer(buffer));
        if !matches!(outcome, Some(Ok(()))) {
            // What was written before it broke stands there; the zeros behind were never written.
            let written = out.iter().rposition(|octet| *octet != 0).map_or(0, |at| at.saturating_add(1));
            out.truncate(written.max(before));
            return Content::Damaged(out.into());
        }
    }
}
