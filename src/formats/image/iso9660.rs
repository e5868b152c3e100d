//! ISO 9660 (ECMA-119) with Joliet and the names of Rock Ridge (IEEE P1282): every volume descriptor is a view, and
//! all are read. Interleaved files are not put together.

use std::collections::HashSet;

use super::disk::{Disk, Extent};
use super::listing::{Listing, path};
use crate::formats::zip::names;
use crate::part::Name;
use crate::reader::Reader;

/// Octets of a sector.
pub const SECTOR: u64 = 2048;
/// Sectors in which descriptors are looked for, from 16 on.
const DESCRIPTORS: u64 = 64;
/// The views: Joliet's names are what Windows shows.
const PRIMARY: u8 = 1;
const JOLIET: u8 = 2;

/// A directory to be read.
struct Folder {
    name: String,
    at: u64,
    size: u64,
}

/// An entry of a directory (9.1).
struct Record<'a> {
    at: u64,
    size: u64,
    flags: u8,
    name: &'a [u8],
    system_use: &'a [u8],
}

/// Whether there is a volume.
pub fn is_here(disk: &Disk) -> bool {
    roots(disk).next().is_some()
}

/// Lists all views.
pub fn list(disk: &Disk, listing: &mut Listing) {
    let mut roots: Vec<_> = roots(disk).collect();
    roots.sort_by_key(|(view, ..)| std::cmp::Reverse(*view));
    roots.dedup_by_key(|(view, _, folder)| (*view, folder.at));
    for (view, block, root) in roots {
        walk(disk, view, block, root, listing);
    }
}

/// Of each volume descriptor (8.4, 8.5) the view, the block size and the root.
fn roots(disk: &Disk) -> impl Iterator<Item = (u8, u64, Folder)> {
    (16_u64..).take(usize::try_from(DESCRIPTORS).unwrap_or_default()).filter_map(|sector| {
        let bytes = disk.exactly(sector.saturating_mul(SECTOR), SECTOR)?;
        let kind = *bytes.first()?;
        if !bytes.get(1..)?.starts_with(b"CD001") || !matches!(kind, 1 | 2) {
            return None;
        }
        let escape = bytes.get(88..91)?;
        let joliet = kind == 2 && matches!(escape, [b'%', b'/', b'@' | b'C' | b'E']);
        let block = Reader::at(&bytes, 128)?.u16()?;
        let block = if matches!(block, 512 | 1024 | 2048) { u64::from(block) } else { SECTOR };
        let root = record(bytes.get(156..)?, block)?;
        let view = if joliet { JOLIET } else { PRIMARY };
        Some((view, block, Folder { name: String::new(), at: root.at, size: root.size }))
    })
}

fn walk(disk: &Disk, view: u8, block: u64, root: Folder, listing: &mut Listing) {
    let mut seen = HashSet::new();
    let mut waiting = vec![root];
    while let Some(folder) = waiting.pop() {
        if !seen.insert((folder.at, folder.size)) {
            continue;
        }
        let bytes = listing.directory(disk, &[Extent { at: Some(folder.at), len: folder.size }], folder.size);
        let mut pending: Vec<Extent> = Vec::new();
        let mut at = 0_usize;
        while let Some(length) = bytes.get(at) {
            if *length == 0 {
                // Records do not cross sectors (6.8.1.1).
                at = (at | 2047).saturating_add(1);
                continue;
            }
            let rest = bytes.get(at..).unwrap_or_default();
            at = at.saturating_add(usize::from(*length));
            if !listing.step(1) {
                listing.cut = true;
                return;
            }
            let Some(record) = record(rest, block) else {
                listing.damaged = true;
                continue;
            };
            if matches!(record.name, [0] | [1]) {
                continue;
            }
            let name = path(&folder.name, name(disk, view, block, &record));
            if record.flags & 2 != 0 {
                waiting.push(Folder { name: name.text, at: record.at, size: record.size });
                continue;
            }
            // 9.1.6: more of the file follows in the next record.
            if record.size > 0 {
                pending.push(Extent { at: Some(record.at), len: record.size });
            }
            if record.flags & 0x80 == 0 {
                let extents = std::mem::take(&mut pending);
                let size = extents.iter().fold(0_u64, |size, extent| size.saturating_add(extent.len));
                listing.add(view, name, extents, size);
            }
        }
    }
}

fn record(bytes: &[u8], block: u64) -> Option<Record<'_>> {
    let length = usize::from(*bytes.first()?);
    let bytes = bytes.get(..length)?;
    let mut reader = Reader::new(bytes);
    let [_, attributes] = [reader.u8()?, reader.u8()?];
    let at = reader.u32()?;
    reader.skip(4)?;
    let size = reader.u32()?;
    reader.skip(11)?;
    let flags = reader.u8()?;
    reader.skip(6)?;
    let name_length = usize::from(reader.u8()?);
    let name = reader.take(name_length)?;
    if name_length.is_multiple_of(2) {
        let _ = reader.skip(1);
    }
    let at = u64::from(at).saturating_add(attributes.into()).saturating_mul(block);
    Some(Record { at, size: size.into(), flags, name, system_use: reader.rest() })
}

fn name(disk: &Disk, view: u8, block: u64, record: &Record<'_>) -> Name {
    if view == JOLIET {
        let units = record.name.chunks_exact(2).filter_map(|pair| Some(u16::from_be_bytes(pair.try_into().ok()?)));
        let text: String = char::decode_utf16(units).map(|c| c.unwrap_or('\u{fffd}')).collect();
        return Name::plain(without_version(&text));
    }
    if let Some(long) = rock_ridge(disk, block, record.system_use) {
        return names::decode(&long, false);
    }
    let mut name = names::decode(record.name, false);
    name.text = without_version(&name.text).to_owned();
    name
}

/// `NAME.EXT;1` (7.5.1), and the dot of a name without extension.
fn without_version(name: &str) -> &str {
    let name = match name.rsplit_once(';') {
        Some((name, version)) if version.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => name,
    };
    name.strip_suffix('.').unwrap_or(name)
}

/// The name in NM entries (P1282 4.1.4), also where they go on elsewhere (P1281 5.1).
fn rock_ridge(disk: &Disk, block: u64, system_use: &[u8]) -> Option<Vec<u8>> {
    let mut name = Vec::new();
    let mut area = bytes::Bytes::copy_from_slice(system_use);
    for _ in 0..8 {
        let mut next = None;
        let mut rest: &[u8] = &area;
        while let [a, b, length, _, ..] = rest {
            let Some(entry) = rest.get(..usize::from(*length)).filter(|entry| entry.len() >= 4) else { break };
            match (*a, *b) {
                (b'N', b'M') if entry.get(4).is_some_and(|flags| flags & 6 == 0) => {
                    name.extend_from_slice(entry.get(5..).unwrap_or_default());
                }
                (b'C', b'E') => next = continued(entry, block),
                _ => {}
            }
            rest = rest.get(entry.len()..).unwrap_or_default();
        }
        match next {
            Some((at, length)) => area = disk.read(at, length),
            None => break,
        }
    }
    (!name.is_empty()).then_some(name)
}

fn continued(entry: &[u8], block: u64) -> Option<(u64, u64)> {
    let at = |offset| Reader::at(entry, offset)?.u32().map(u64::from);
    let (start, offset, length) = (at(4)?, at(12)?, at(20)?);
    Some((start.saturating_mul(block).saturating_add(offset), length.min(SECTOR)))
}
