//! ARJ archives. Stored files and those of the usual methods 1 to 3 are unpacked; method 4 and encrypted files are
//! told. Volumes of a set are not joined.

use bytes::Bytes;
use delharc::header::CompressionMethod;

use super::lzh;
use crate::filetype::FileType;
use crate::finding;
use crate::formats::Format;
use crate::formats::container::{self, Content, Member, Outcome};
use crate::formats::zip::names;
use crate::part::{Name, Part};
use crate::reader::Reader;
use crate::scan::Scan;

/// ARJ archives.
pub const FORMAT: Format = Format { name: "arj", walled: true, accepts: |part| part.types.has(FileType::Arj), examine };

const MAGIC: &[u8] = b"\x60\xea";
/// A header's octets at most.
const MAX_HEADER: u16 = 2600;
/// Places at which a header is looked for behind a broken one.
const MAX_PLACES: usize = 10_000;

fn examine(part: &Part, scan: &mut Scan) {
    let bytes = &part.bytes;
    let (mut at, mut places, mut found) = (0_usize, 0_usize, false);
    let mut locked = Vec::new();
    while !scan.stopped() {
        let Some(header) = header(bytes, at) else {
            // A header of no octets ends the archive.
            let ended = bytes.get(at..).is_none_or(|rest| rest.is_empty() || rest.starts_with(b"\x60\xea\0\0"));
            if !ended {
                scan.finding(finding::DAMAGED, part, "", "a header is broken");
            }
            let from = at.saturating_add(2);
            places = places.saturating_add(1);
            match bytes.get(from..).and_then(|rest| memchr::memmem::find(rest, MAGIC)) {
                Some(next) if places < MAX_PLACES => at = from.saturating_add(next),
                _ => break,
            }
            continue;
        };
        found = true;
        let cut = header.end > bytes.len();
        let packed = bytes.slice(header.start..header.end.min(bytes.len()));
        at = if cut { header.start } else { header.end };
        // 2: the archive's own header; 3: a folder; 4: a label.
        if matches!(header.kind, 2..=4) {
            at = header.start;
            continue;
        }
        if header.is_locked {
            locked.push(vec![header.name]);
            continue;
        }
        if header.is_continued {
            let evidence = format!("{}: continues in another volume", header.name.text);
            scan.finding(finding::CONTAINER_UNSUPPORTED, part, &header.name.text, &evidence);
        }
        let content = unpack(&header, &packed, cut, scan);
        let member = Member { names: &[header.name], packed: Some(&packed), is_empty: header.size == 0 };
        if let Outcome::Full = container::give(part, member, content, false, scan) {
            break;
        }
    }
    if !found {
        scan.finding(finding::DAMAGED, part, "", "no member can be found");
    }
    container::locked(part, &locked, scan);
}

/// What a header says, and where its data stands.
struct Header {
    name: Name,
    kind: u8,
    method: u8,
    is_locked: bool,
    is_continued: bool,
    size: u64,
    start: usize,
    end: usize,
}

fn header(bytes: &[u8], at: usize) -> Option<Header> {
    let mut reader = Reader::at(bytes, at)?;
    let size = (reader.take(2)? == MAGIC).then(|| reader.u16())??;
    if !(30..=MAX_HEADER).contains(&size) {
        return None;
    }
    let mut inner = Reader::new(reader.take(size.into())?);
    let first = inner.u8()?;
    inner.skip(3)?;
    let (flags, method, kind) = (inner.u8()?, inner.u8()?, inner.u8()?);
    inner.skip(5)?;
    let (packed, unpacked) = (inner.u32()?, inner.u32()?);
    inner.skip(usize::from(first).checked_sub(inner.position())?)?;
    let rest = inner.rest();
    let name = rest.split(|octet| *octet == 0).next().unwrap_or_default();
    // The header's CRC-32, and extended headers, each with one of its own.
    reader.skip(4)?;
    while let size @ 1.. = reader.u16()? {
        reader.skip(usize::from(size).checked_add(4)?)?;
    }
    let start = reader.position();
    let end = start.checked_add(usize::try_from(packed).ok()?)?;
    let (is_locked, is_continued) = (flags & 1 != 0, flags & 4 != 0);
    let name = names::decode(name, false);
    Some(Header { name, kind, method, is_locked, is_continued, size: unpacked.into(), start, end })
}

fn unpack(header: &Header, packed: &Bytes, cut: bool, scan: &Scan) -> Content {
    match header.method {
        0 => match Content::stored(packed.clone(), scan.room()) {
            Content::Whole(bytes) if cut => Content::Damaged(bytes),
            other => other,
        },
        // LZ77 and Huffman as in lh7, with a window of 26 KB.
        1..=3 => lzh::decode(CompressionMethod::Lh7, packed, header.size, scan.room()),
        other => Content::Unsupported(format!("method {other}")),
    }
}
