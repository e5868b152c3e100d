//! A storage as a compound file of its own ([MS-CFB]): what Outlook attaches as a message or an object
//! ([MS-OXMSG] 2.2.2.1) stands in a storage of the item, and is looked at like a file that was saved out of it.

use std::collections::HashMap;

use super::compound::{CompoundFile, Entry, EntryKind, MAGIC};

/// Storages around each other at most that are followed: Office nests five deep.
const MAX_DEPTH: usize = 64;
const DIRECTORY_ENTRY: usize = 128;
const FREE: u32 = 0xFFFF_FFFF;
const END_OF_CHAIN: u32 = 0xFFFF_FFFE;
const FAT_SECTOR: u32 = 0xFFFF_FFFD;
/// FAT sectors that the header itself lists ([MS-CFB] 2.2).
const LISTED: usize = 109;

/// What stands in storages called `name`, by the outermost of them: position of the storage, positions of
/// all entries below it, storages before what stands in them.
pub fn outermost(file: &CompoundFile<'_>, name: &str) -> HashMap<usize, Vec<usize>> {
    let entries = file.entries();
    let is_one = |entry: &Entry| entry.kind == EntryKind::Storage && entry.is_named(name);
    let mut found: HashMap<usize, Vec<(usize, usize)>> = HashMap::new();
    if !entries.iter().any(is_one) {
        return HashMap::new();
    }
    for index in 0..entries.len() {
        let mut outer = None;
        let mut at = Some(index);
        for depth in 0..MAX_DEPTH {
            let Some((place, entry)) = at.and_then(|place| Some((place, entries.get(place)?))) else { break };
            if is_one(entry) {
                outer = Some((place, depth));
            }
            at = entry.parent;
        }
        if let Some((outer, depth)) = outer {
            let inside = found.entry(outer).or_default();
            if outer != index {
                inside.push((depth, index));
            }
        }
    }
    let sorted = found.into_iter().map(|(outer, mut inside)| {
        inside.sort_unstable();
        (outer, inside.into_iter().map(|(_, index)| index).collect())
    });
    sorted.collect()
}

/// A compound file whose root is the storage at `root`, with the entries at `inside`. `None` if it would have
/// more than `room` octets.
pub fn as_file(file: &CompoundFile<'_>, root: usize, inside: &[usize], room: u64) -> Option<Vec<u8>> {
    // An honest storage has no more octets than the file around it, but for sectors that are not full.
    let entries = file.entries();
    let padding = (inside.len() as u64).saturating_mul(4096).saturating_add(1 << 16);
    let room = room.min(file.length().saturating_add(padding));
    let size = |index: &usize| entries.get(*index).map_or(0, |entry| entry.size.min(room));
    // Claims: what is read is no more than that.
    let total: u64 = inside.iter().map(|index| size(index).saturating_add(511)).fold(0, u64::saturating_add);
    // 512 as Office, while the header can list the FAT's sectors.
    let sector: usize = if total < 4 << 20 && inside.len() < 4000 { 512 } else { 4096 };
    let room = usize::try_from(room).ok()?;
    let mut directory = Directory::new(entries.get(root)?.clsid);
    let mut places = HashMap::from([(root, 0_usize)]);
    // The header takes the place of the sector before number 0.
    let mut data: Vec<u8> = vec![0; sector];
    let mut chains: Vec<usize> = Vec::new();
    for index in inside {
        let entry = entries.get(*index)?;
        let (mut start, mut length) = (END_OF_CHAIN, 0_usize);
        if entry.kind == EntryKind::Stream {
            let content = file.read(entry, room as u64);
            length = content.len();
            let sectors = length.div_ceil(sector);
            if sectors > 0 {
                start = next_sector(&data, sector)?;
                data.extend_from_slice(&content);
                data.resize(data.len().checked_next_multiple_of(sector)?, 0);
                chains.push(sectors);
            }
            if data.len() > room {
                return None;
            }
        }
        let parent = entry.parent.and_then(|parent| places.get(&parent).copied()).unwrap_or(0);
        places.insert(*index, directory.add(entry, parent, start, length)?);
    }
    let directory_start = next_sector(&data, sector)?;
    let listed = directory.finish(sector)?;
    chains.push(listed.len().checked_div(sector)?);
    data.extend_from_slice(&listed);
    assemble(&mut data, &chains, directory_start, sector)?;
    (data.len() <= room).then_some(data)
}

/// The number of the sector that comes next.
fn next_sector(data: &[u8], sector: usize) -> Option<u32> {
    u32::try_from(data.len().checked_div(sector)?.checked_sub(1)?).ok()
}

/// Appends the FAT to header and sectors, and writes the header.
fn assemble(data: &mut Vec<u8>, chains: &[usize], directory_start: u32, sector: usize) -> Option<()> {
    let first_fat = next_sector(data, sector)?;
    let sectors = usize::try_from(first_fat).ok()?;
    let in_one = sector.checked_div(4)?;
    // Each FAT sector has itself as an entry.
    let fat_sectors = sectors.checked_div(in_one.checked_sub(1)?)?.checked_add(1)?;
    if fat_sectors > LISTED {
        return None;
    }
    let mut fat: Vec<u32> = Vec::with_capacity(fat_sectors.checked_mul(in_one)?);
    for length in chains {
        for place in 1..=*length {
            let next = u32::try_from(fat.len()).ok()?.checked_add(1)?;
            fat.push(if place == *length { END_OF_CHAIN } else { next });
        }
    }
    fat.resize(sectors.checked_add(fat_sectors)?, FAT_SECTOR);
    fat.resize(fat_sectors.checked_mul(in_one)?, FREE);
    fat.iter().for_each(|number| data.extend_from_slice(&number.to_le_bytes()));

    let mut header = MAGIC.to_vec();
    header.resize(24, 0);
    let (version, shift) = if sector == 512 { (3_u16, 9_u16) } else { (4, 12) };
    for word in [0x3E, version, 0xFFFE, shift, 6, 0, 0, 0] {
        header.extend_from_slice(&word.to_le_bytes());
    }
    let directory_sectors = if sector == 512 { 0 } else { u32::try_from(*chains.last()?).ok()? };
    let fat_count = u32::try_from(fat_sectors).ok()?;
    for number in [directory_sectors, fat_count, directory_start, 0, 4096, END_OF_CHAIN, 0, END_OF_CHAIN, 0] {
        header.extend_from_slice(&number.to_le_bytes());
    }
    for place in 0..u32::try_from(LISTED).ok()? {
        let number = if place < fat_count { first_fat.checked_add(place)? } else { FREE };
        header.extend_from_slice(&number.to_le_bytes());
    }
    data.iter_mut().zip(header).for_each(|(place, octet)| *place = octet);
    Some(())
}

/// A directory whose siblings form a chain: who reads it entry by entry does not mind.
struct Directory {
    entries: Vec<[u8; DIRECTORY_ENTRY]>,
    /// The last child of each storage so far.
    last: HashMap<usize, usize>,
}

/// Offsets within an entry ([MS-CFB] 2.6.1).
const RIGHT: usize = 72;
const CHILD: usize = 76;

impl Directory {
    fn new(clsid: [u8; 16]) -> Self {
        let root = record("Root Entry", 5, clsid, END_OF_CHAIN, 0);
        Self { entries: vec![root], last: HashMap::new() }
    }

    /// Adds an entry to the storage at `parent`; its position.
    fn add(&mut self, entry: &Entry, parent: usize, start: u32, length: usize) -> Option<usize> {
        let kind = if entry.kind == EntryKind::Stream { 2 } else { 1 };
        let start = if kind == 1 { 0 } else { start };
        let index = self.entries.len();
        self.entries.push(record(&entry.name, kind, entry.clsid, start, length as u64));
        let (from, field) = match self.last.insert(parent, index) {
            Some(sibling) => (sibling, RIGHT),
            None => (parent, CHILD),
        };
        let number = u32::try_from(index).ok()?.to_le_bytes();
        self.entries.get_mut(from)?.get_mut(field..field.checked_add(4)?)?.copy_from_slice(&number);
        Some(index)
    }

    fn finish(self, sector: usize) -> Option<Vec<u8>> {
        let mut out = self.entries.concat();
        while !out.len().is_multiple_of(sector) {
            out.extend_from_slice(&record("", 0, [0; 16], 0, 0));
        }
        Some(out)
    }
}

fn record(name: &str, kind: u8, clsid: [u8; 16], start: u32, length: u64) -> [u8; DIRECTORY_ENTRY] {
    let none = FREE.to_le_bytes();
    // 31 characters and a NUL.
    let units: Vec<u8> = name.encode_utf16().take(31).flat_map(u16::to_le_bytes).collect();
    let name_size = if kind == 0 { 0 } else { u16::try_from(units.len()).unwrap_or(62).saturating_add(2) };
    let padded: Vec<u8> = units.iter().copied().chain(std::iter::repeat(0)).take(64).collect();
    let fields = [
        &padded[..],
        &name_size.to_le_bytes(),
        &[kind, 1],
        &none,
        &none,
        &none,
        &clsid,
        &[0; 20],
        &start.to_le_bytes(),
        &length.to_le_bytes(),
    ];
    let mut record = [0; DIRECTORY_ENTRY];
    record.iter_mut().zip(fields.concat()).for_each(|(place, octet)| *place = octet);
    record
}
