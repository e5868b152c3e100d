//! UDF (ECMA-167 with OSTA UDF 1.02 to 2.60) as far as Windows mounts it: one volume, physical, sparable and metadata
//! partitions. A virtual partition (packet writing on CD-R) is read as the physical one behind it.

use std::collections::HashSet;

use bytes::Bytes;

use super::disk::{Disk, Extent};
use super::listing::{Listing, path};
use crate::part::Name;
use crate::reader::Reader;

/// The view of UDF: Windows prefers it to all others.
const VIEW: u8 = 4;
/// Sectors of a volume descriptor sequence.
const MAX_SEQUENCE: u64 = 64;
/// Extents of one file, as far as they stand outside of its entry.
const MAX_CONTINUED: usize = 64;

/// Extents of the metadata file.
const MAX_METADATA: usize = 1000;

/// A volume: what its descriptors say.
struct Volume {
    block: u64,
    partitions: Vec<(u16, u64)>,
    maps: Vec<PartitionMap>,
    files: Address,
}

/// What a partition reference means.
enum PartitionMap {
    /// From so many octets on.
    Physical(u64),
    /// Within a file.
    Metadata(Vec<Extent>),
}

/// A block of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Address {
    block: u32,
    partition: u16,
}

/// A file entry (4/14.9, 4/14.17).
struct Entry {
    kind: u8,
    size: u64,
    extents: Vec<Extent>,
}

/// Lists the volume; `false` if there is none.
pub fn list(disk: &Disk, listing: &mut Listing) -> bool {
    let Some(volume) = [2048, 512, 4096].into_iter().find_map(|sector| open(disk, sector, listing)) else {
        return false;
    };
    let files = volume.read(disk, volume.files, 2048);
    let Some(root) = tag(&files, 256).then(|| address(files.get(400..)?)).flatten() else { return false };
    let mut seen = HashSet::new();
    let mut waiting = vec![(String::new(), root)];
    while let Some((folder, at)) = waiting.pop() {
        if !seen.insert(at) {
            continue;
        }
        let Some(entry) = volume.entry(disk, at, listing) else {
            listing.damaged = true;
            continue;
        };
        let bytes = listing.directory(disk, &entry.extents, entry.size);
        let mut rest: &[u8] = &bytes;
        while rest.len() >= 38 {
            if !listing.step(1) {
                listing.cut = true;
                return true;
            }
            let Some((length, id)) = identifier(rest) else {
                listing.damaged = true;
                // Identifiers stand at every fourth octet.
                rest = rest.get(4..).unwrap_or_default();
                continue;
            };
            rest = rest.get(length..).unwrap_or_default();
            // Parent or deleted (4/14.4.3).
            if id.flags & 0x0c != 0 {
                continue;
            }
            let name = path(&folder, id.name);
            if id.flags & 2 != 0 {
                waiting.push((name.text, id.at));
            } else if let Some(entry) = volume.entry(disk, id.at, listing) {
                if entry.kind == 4 {
                    waiting.push((name.text, id.at));
                } else {
                    listing.add(VIEW, name, entry.extents, entry.size);
                }
            } else {
                listing.damaged = true;
            }
        }
    }
    true
}

/// Reads the anchor (3/10.2) and the sequence that it points to, or its copy.
fn open(disk: &Disk, sector: u64, listing: &mut Listing) -> Option<Volume> {
    let end = disk.size().checked_div(sector)?;
    let anchors = [256, end.saturating_sub(257), end.saturating_sub(256), end.saturating_sub(1), 512];
    anchors.into_iter().find_map(|number| {
        let anchor = disk.exactly(number.checked_mul(sector)?, 512)?;
        if !tag(&anchor, 2) {
            return None;
        }
        [16, 24].into_iter().find_map(|at| {
            let mut reader = Reader::at(&anchor, at)?;
            let (length, start) = (u64::from(reader.u32()?), u64::from(reader.u32()?));
            sequence(disk, sector, start, length.div_ceil(sector).min(MAX_SEQUENCE), listing)
        })
    })
}

fn sequence(disk: &Disk, sector: u64, start: u64, count: u64, listing: &mut Listing) -> Option<Volume> {
    let mut partitions = Vec::new();
    let mut logical = None;
    for number in 0..count {
        let bytes = disk.read(start.saturating_add(number).saturating_mul(sector), sector);
        if tag(&bytes, 5) {
            let start = u64::from(Reader::at(&bytes, 188)?.u32()?).saturating_mul(sector);
            partitions.push((Reader::at(&bytes, 22)?.u16()?, start));
        } else if tag(&bytes, 6) {
            logical = Some(bytes);
        } else if tag(&bytes, 8) {
            break;
        }
    }
    let logical = logical?;
    let block = u64::from(Reader::at(&logical, 212)?.u32()?);
    let files = address(logical.get(248..)?)?;
    let block = if matches!(block, 512 | 1024 | 2048 | 4096) { block } else { sector };
    let mut volume = Volume { block, partitions, maps: Vec::new(), files };
    let count = Reader::at(&logical, 268)?.u32()?.min(16);
    let mut reader = Reader::at(&logical, 440)?;
    for _ in 0..count {
        let (kind, length) = (reader.u8()?, reader.u8()?);
        let body = reader.take(usize::from(length).checked_sub(2)?)?;
        let map = volume.map(disk, kind, body, listing)?;
        volume.maps.push(map);
    }
    Some(volume)
}

impl Volume {
    /// A partition map (3/10.7), behind its first two octets.
    fn map(&self, disk: &Disk, kind: u8, body: &[u8], listing: &mut Listing) -> Option<PartitionMap> {
        let number = Reader::at(body, if kind == 1 { 2 } else { 36 })?.u16()?;
        let known = self.partitions.iter().find(|(known, _)| *known == number).or(self.partitions.first());
        let start = known.map(|(_, start)| *start)?;
        if kind != 2 || !body.get(3..)?.starts_with(b"*UDF Metadata") {
            return Some(PartitionMap::Physical(start));
        }
        // UDF 2.2.10: the file, and its mirror.
        let mut reader = Reader::at(body, 38)?;
        let places = [reader.u32()?, reader.u32()?];
        let inner = Volume {
            block: self.block,
            partitions: Vec::new(),
            maps: vec![PartitionMap::Physical(start)],
            files: self.files,
        };
        let entry = places.into_iter().find_map(|block| inner.entry(disk, Address { block, partition: 0 }, listing))?;
        // Each address is looked up in them.
        Some(PartitionMap::Metadata(entry.extents.into_iter().take(MAX_METADATA).collect()))
    }

    /// The place of a block on the disk, and how many octets stand together there.
    fn place(&self, at: Address) -> Option<(u64, u64)> {
        let offset = u64::from(at.block).saturating_mul(self.block);
        match self.maps.get(usize::from(at.partition))? {
            PartitionMap::Physical(start) => Some((start.saturating_add(offset), u64::MAX)),
            PartitionMap::Metadata(extents) => {
                let mut before = 0_u64;
                for extent in extents {
                    let within = offset.saturating_sub(before);
                    if within < extent.len {
                        return Some((extent.at?.saturating_add(within), extent.len.saturating_sub(within)));
                    }
                    before = before.saturating_add(extent.len);
                }
                None
            }
        }
    }

    fn read(&self, disk: &Disk, at: Address, most: u64) -> Bytes {
        self.place(at).map(|(place, _)| disk.read(place, most)).unwrap_or_default()
    }

    fn entry(&self, disk: &Disk, at: Address, listing: &mut Listing) -> Option<Entry> {
        if !listing.step(1) {
            listing.cut = true;
            return None;
        }
        let (place, _) = self.place(at)?;
        let bytes = disk.read(place, self.block);
        let (areas, start) = match () {
            () if tag(&bytes, 261) => (168, 176_u64),
            () if tag(&bytes, 266) => (208, 216),
            () => return None,
        };
        let kind = *bytes.get(27)?;
        let flags = Reader::at(&bytes, 34)?.u16()?;
        let size = Reader::at(&bytes, 56)?.u64()?;
        let mut reader = Reader::at(&bytes, areas)?;
        let (attributes, length) = (u64::from(reader.u32()?), u64::from(reader.u32()?));
        let start = start.saturating_add(attributes);
        // 4/14.6.8: the descriptors are short, long or extended, or the content itself.
        if flags & 7 == 3 {
            let extents = vec![Extent { at: Some(place.saturating_add(start)), len: length }];
            return Some(Entry { kind, size: size.min(length), extents });
        }
        let mut extents = Vec::new();
        let begin = usize::try_from(start).ok()?;
        let end = begin.saturating_add(usize::try_from(length).ok()?).min(bytes.len());
        let mut area = bytes.slice(begin.min(end)..end);
        for _ in 0..MAX_CONTINUED {
            let Some(next) = self.extents(&area, flags & 7, at.partition, &mut extents, listing) else { break };
            let bytes = self.read(disk, next, self.block);
            // 4/14.5: more descriptors.
            let Some(length) = tag(&bytes, 258).then(|| Reader::at(&bytes, 20)?.u32()).flatten() else { break };
            let end = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(24).min(bytes.len());
            area = bytes.slice(24.min(end)..end);
        }
        Some(Entry { kind, size, extents })
    }

    /// Reads allocation descriptors (4/14.14); gives where more of them stand.
    fn extents(
        &self,
        area: &[u8],
        form: u16,
        partition: u16,
        extents: &mut Vec<Extent>,
        listing: &mut Listing,
    ) -> Option<Address> {
        let width = match form {
            0 => 8,
            1 => 16,
            _ => 20,
        };
        for descriptor in area.chunks_exact(width) {
            let length = Reader::new(descriptor).u32()?;
            let at = match form {
                0 => Address { block: Reader::at(descriptor, 4)?.u32()?, partition },
                1 => address(descriptor)?,
                _ => address(descriptor.get(8..)?.get(..10).map(|rest| [&[0; 4], rest].concat())?.as_slice())?,
            };
            let (kind, mut length) = (length >> 30, u64::from(length & 0x3fff_ffff));
            if kind == 3 {
                return Some(at);
            }
            if length == 0 {
                return None;
            }
            let mut at = at;
            while length > 0 {
                if !listing.step(1) {
                    listing.cut = true;
                    return None;
                }
                // Recorded, or a hole (1: allocated, 2: not even that).
                let (place, together) = if kind == 0 { self.place(at)? } else { (0, u64::MAX) };
                let len = length.min(together);
                extents.push(Extent { at: (kind == 0).then_some(place), len });
                length = length.saturating_sub(len);
                let blocks = len.checked_div(self.block)?;
                at.block = at.block.saturating_add(u32::try_from(blocks).unwrap_or(u32::MAX));
            }
        }
        None
    }
}

/// A file identifier (4/14.4).
struct Identifier {
    flags: u8,
    at: Address,
    name: Name,
}

fn identifier(bytes: &[u8]) -> Option<(usize, Identifier)> {
    if !tag(bytes, 257) {
        return None;
    }
    let mut reader = Reader::at(bytes, 18)?;
    let (flags, name_length) = (reader.u8()?, usize::from(reader.u8()?));
    let at = address(bytes.get(20..)?)?;
    let mut reader = Reader::at(bytes, 36)?;
    let used = usize::from(reader.u16()?);
    reader.skip(used)?;
    let name = characters(reader.take(name_length)?);
    Some((reader.position().next_multiple_of(4), Identifier { flags, at, name }))
}

/// OSTA compressed Unicode (UDF 2.1.1).
fn characters(bytes: &[u8]) -> Name {
    let text = match bytes.split_first() {
        Some((16, rest)) => {
            let units = rest.chunks_exact(2).filter_map(|pair| Some(u16::from_be_bytes(pair.try_into().ok()?)));
            char::decode_utf16(units).map(|c| c.unwrap_or('\u{fffd}')).collect()
        }
        Some((_, rest)) => rest.iter().map(|byte| char::from(*byte)).collect(),
        None => String::new(),
    };
    Name::plain(text)
}

/// The address in a long allocation descriptor (4/14.14.2), behind its length.
fn address(bytes: &[u8]) -> Option<Address> {
    let mut reader = Reader::at(bytes, 4)?;
    Some(Address { block: reader.u32()?, partition: reader.u16()? })
}

/// Whether a descriptor begins here (3/7.2): its number, and the sum over its tag.
fn tag(bytes: &[u8], number: u16) -> bool {
    let Some(tag) = bytes.get(..16) else { return false };
    let sum = tag.iter().enumerate().filter(|(at, _)| *at != 4).fold(0_u8, |sum, (_, byte)| sum.wrapping_add(*byte));
    tag.starts_with(&number.to_le_bytes()) && tag.get(4) == Some(&sum)
}
