//! FAT12, FAT16 and FAT32 (Microsoft's FAT specification 1.03) with long names. Deleted entries are not read, and
//! only the first copy of the table.

use std::collections::HashSet;

use bytes::Bytes;

use super::disk::{Disk, Extent};
use super::listing::{Listing, path};
use crate::formats::zip::names;
use crate::part::Name;
use crate::reader::Reader;

/// Where things stand in a volume, in octets.
struct Volume {
    table: u64,
    root: Extent,
    root_cluster: u32,
    data: u64,
    cluster: u64,
    clusters: u64,
    width: Width,
}

/// Bits of an entry of the table.
#[derive(Clone, Copy, PartialEq)]
enum Width {
    Twelve,
    Sixteen,
    ThirtyTwo,
}

/// Whether a boot sector can be one of FAT: a jump, and a plausible parameter block (3.1).
pub fn is_boot_sector(sector: &[u8]) -> bool {
    volume(sector).is_some()
}

/// Lists a volume; `false` if there is none.
pub fn list(disk: &Disk, listing: &mut Listing) -> bool {
    let Some(volume) = volume(&disk.read(0, 512)) else { return false };
    let mut seen = HashSet::new();
    let root = match volume.width {
        Width::ThirtyTwo => chain(disk, &volume, volume.root_cluster, u64::MAX, listing),
        Width::Twelve | Width::Sixteen => vec![volume.root],
    };
    let mut waiting = vec![(String::new(), root)];
    while let Some((folder, extents)) = waiting.pop() {
        let size = extents.iter().fold(0_u64, |size, extent| size.saturating_add(extent.len));
        let bytes = listing.directory(disk, &extents, size);
        let mut long = Long::default();
        for entry in bytes.chunks_exact(32) {
            if entry.first() == Some(&0) {
                break;
            }
            if !listing.step(1) {
                listing.cut = true;
                return true;
            }
            let attributes = entry.get(11).copied().unwrap_or_default();
            if entry.first() == Some(&0xe5) || attributes & 0x3f == 0x0f {
                long.add(entry);
                continue;
            }
            let long_name = std::mem::take(&mut long).name(entry);
            if attributes & 8 != 0 || entry.first() == Some(&b'.') {
                continue;
            }
            let Some((cluster, size)) = place(entry) else { continue };
            let name = path(&folder, long_name.unwrap_or_else(|| short(entry)));
            if attributes & 0x10 != 0 {
                if seen.insert(cluster) {
                    let extents = chain(disk, &volume, cluster, u64::MAX, listing);
                    waiting.push((name.text, extents));
                }
            } else {
                let extents = if size == 0 { Vec::new() } else { chain(disk, &volume, cluster, size, listing) };
                listing.add(1, name, extents, size);
            }
        }
    }
    true
}

fn volume(sector: &[u8]) -> Option<Volume> {
    if !matches!(sector.first(), Some(0xeb | 0xe9)) {
        return None;
    }
    let mut reader = Reader::at(sector, 11)?;
    let octets = u64::from(reader.u16()?);
    let per_cluster = u64::from(reader.u8()?);
    let reserved = u64::from(reader.u16()?);
    let tables = u64::from(reader.u8()?);
    let roots = u64::from(reader.u16()?);
    let small = u64::from(reader.u16()?);
    let media = reader.u8()?;
    let table16 = u64::from(reader.u16()?);
    reader.skip(8)?;
    let large = u64::from(reader.u32()?);
    let table32 = u64::from(reader.u32()?);
    reader.skip(4)?;
    let root_cluster = reader.u32()?;
    let plausible = matches!(octets, 512 | 1024 | 2048 | 4096)
        && per_cluster.is_power_of_two()
        && reserved > 0
        && matches!(tables, 1..=4)
        && media >= 0xf0;
    let table_sectors = if table16 > 0 { table16 } else { table32 };
    let sectors = if small > 0 { small } else { large };
    if !plausible || table_sectors == 0 || sectors == 0 || (table16 == 0) != (roots == 0) {
        return None;
    }
    let root_sectors = roots.saturating_mul(32).div_ceil(octets);
    let first = reserved.saturating_add(tables.saturating_mul(table_sectors));
    let data = first.saturating_add(root_sectors);
    let clusters = sectors.checked_sub(data)?.checked_div(per_cluster)?;
    // 3.5: the count of clusters alone tells the width; FAT32 has no root of a fixed size.
    let width = match clusters {
        _ if table16 == 0 => Width::ThirtyTwo,
        0..4085 => Width::Twelve,
        _ => Width::Sixteen,
    };
    let root = Extent { at: Some(first.saturating_mul(octets)), len: roots.saturating_mul(32) };
    Some(Volume {
        table: reserved.saturating_mul(octets),
        root,
        root_cluster,
        data: data.saturating_mul(octets),
        cluster: per_cluster.saturating_mul(octets),
        clusters,
        width,
    })
}

/// The clusters from `first` on, until they hold `size` octets, in extents.
fn chain(disk: &Disk, volume: &Volume, first: u32, size: u64, listing: &mut Listing) -> Vec<Extent> {
    let (mut extents, mut next, mut have): (Vec<Extent>, _, u64) = (Vec::new(), first, 0);
    // No chain is longer than the disk has clusters: one that is goes round in a circle.
    let mut left = volume.clusters.min(disk.size().checked_div(volume.cluster).unwrap_or_default()).saturating_add(1);
    let mut page = (u64::MAX, Bytes::new());
    while have < size && left > 0 {
        let Some(number) = u64::from(next).checked_sub(2).filter(|number| *number < volume.clusters) else { break };
        if !listing.step(1) {
            listing.cut = true;
            break;
        }
        left = left.saturating_sub(1);
        let at = volume.data.saturating_add(number.saturating_mul(volume.cluster));
        have = have.saturating_add(volume.cluster);
        match extents.last_mut() {
            Some(last) if last.at.map(|start| start.saturating_add(last.len)) == Some(at) => {
                last.len = last.len.saturating_add(volume.cluster);
            }
            _ => extents.push(Extent { at: Some(at), len: volume.cluster }),
        }
        let Some(follower) = follower(disk, volume, next, &mut page) else { break };
        next = follower;
    }
    extents
}

/// What the table says behind a cluster; a page of it is kept.
fn follower(disk: &Disk, volume: &Volume, cluster: u32, page: &mut (u64, Bytes)) -> Option<u32> {
    const PAGE: u64 = 1536;
    let cluster = u64::from(cluster);
    let offset = match volume.width {
        Width::Twelve => cluster.saturating_add(cluster >> 1),
        Width::Sixteen => cluster.saturating_mul(2),
        Width::ThirtyTwo => cluster.saturating_mul(4),
    };
    let number = offset.checked_div(PAGE)?;
    if page.0 != number {
        let at = volume.table.saturating_add(number.saturating_mul(PAGE));
        // An entry of twelve bits may begin in the last octet.
        *page = (number, disk.read(at, PAGE.saturating_add(4)));
    }
    let within = usize::try_from(offset.checked_rem(PAGE)?).ok()?;
    let mut reader = Reader::at(&page.1, within)?;
    Some(match volume.width {
        Width::Twelve if cluster & 1 == 1 => u32::from(reader.u16()? >> 4),
        Width::Twelve => u32::from(reader.u16()? & 0xfff),
        Width::Sixteen => reader.u16()?.into(),
        Width::ThirtyTwo => reader.u32()? & 0x0fff_ffff,
    })
}

/// First cluster and size (6).
fn place(entry: &[u8]) -> Option<(u32, u64)> {
    let high = u32::from(Reader::at(entry, 20)?.u16()?);
    let mut reader = Reader::at(entry, 26)?;
    let low = u32::from(reader.u16()?);
    Some((high << 16 | low, reader.u32()?.into()))
}

/// The name of eight and three letters.
fn short(entry: &[u8]) -> Name {
    let trimmed = |range: std::ops::Range<usize>| entry.get(range).unwrap_or_default().trim_ascii_end();
    let mut raw = trimmed(0..8).to_vec();
    // 6.1: an 0xE5 at the start is written as 5.
    if let Some(first) = raw.first_mut().filter(|first| **first == 5) {
        *first = 0xe5;
    }
    if !trimmed(8..11).is_empty() {
        raw.push(b'.');
        raw.extend_from_slice(trimmed(8..11));
    }
    names::decode(&raw, false)
}

/// The pieces of a long name, the last one first (7).
#[derive(Default)]
struct Long {
    pieces: Vec<(u8, u8, Vec<u16>)>,
}

impl Long {
    fn add(&mut self, entry: &[u8]) {
        let number = entry.first().copied().unwrap_or_default();
        if number == 0xe5 || number & 0x40 != 0 || self.pieces.len() >= 20 {
            self.pieces.clear();
        }
        if number == 0xe5 {
            return;
        }
        let sum = entry.get(13).copied().unwrap_or_default();
        let units = [1..11, 14..26, 28..32].into_iter().flat_map(|range| entry.get(range).unwrap_or_default());
        let octets: Vec<u8> = units.copied().collect();
        let units = octets.chunks_exact(2).filter_map(|pair| Some(u16::from_le_bytes(pair.try_into().ok()?)));
        self.pieces.push((number & 0x3f, sum, units.take_while(|unit| *unit != 0).collect()));
    }

    /// The name, if it belongs to the entry.
    fn name(self, entry: &[u8]) -> Option<Name> {
        let raw = entry.get(..11)?;
        let sum = raw.iter().fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
        let fits = self.pieces.iter().rev().zip(1_u8..).all(|((number, told, _), n)| *number == n && *told == sum);
        let units = self.pieces.iter().rev().flat_map(|(_, _, units)| units).copied();
        let text: String = char::decode_utf16(units).map(|c| c.unwrap_or('\u{fffd}')).collect();
        (fits && !text.is_empty()).then(|| Name::plain(text))
    }
}
