//! The compound file itself ([MS-CFB]): sectors, chains, directory entries, streams.
//!
//! Made for files that somebody damaged on purpose: nothing here fails, whatever can be read is
//! read. The directory is read linearly, entry by entry; the sibling tree only tells in which
//! storage an entry stands, and its order is not believed (a file whose siblings are swapped
//! blinds readers that search the tree). Sizes and counts of the header are claims. Every chain
//! ends after as many sectors as the file has, and all reads of one file share a budget, so the
//! time is linear in the file's length whatever the directory says.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use bytes::Bytes;

use crate::reader::Reader;

/// The eight octets a compound file starts with ([MS-CFB] 2.2).
pub const MAGIC: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";

/// [MS-CFB] 2.1: numbers above this are marks (free, end of chain, FAT, DIFAT), not sectors.
const MAXREGSECT: u32 = 0xFFFF_FFFA;
const FREESECT: u32 = 0xFFFF_FFFF;
/// [MS-CFB] 2.6.1: no left sibling, no right sibling, no child.
const NOSTREAM: u32 = 0xFFFF_FFFF;
/// [MS-CFB] 2.2: streams shorter than this live in the mini stream. Windows accepts no other value.
const MINI_STREAM_CUTOFF: u64 = 4096;
const MINI_SECTOR: usize = 64;
const DIRECTORY_ENTRY: usize = 128;
/// Octets that all reads of a file may deliver, in lengths of the file. An honest file has each
/// octet in one stream, and we read no stream more than a few times.
const READS_PER_FILE: u64 = 16;
/// Storages that a path names at most; Office nests five deep.
const MAX_PATH_DEPTH: usize = 64;

/// What a directory entry is ([MS-CFB] 2.6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A folder.
    Storage,
    /// A file.
    Stream,
    /// The root storage.
    Root,
}

/// An entry of the directory.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The name, without its terminator.
    pub name: String,
    /// Storage, stream or root.
    pub kind: EntryKind,
    /// The class of the object that a storage holds ([MS-CFB] 2.6.1), as stored.
    pub clsid: [u8; 16],
    /// Declared length in octets: a claim.
    pub size: u64,
    /// The position in [`CompoundFile::entries`] of the storage around it. `None` for what
    /// stands at the root, and for entries that no tree reaches.
    pub parent: Option<usize>,
    start: u32,
    left: u32,
    right: u32,
    child: u32,
    /// Where the content stands in the file, if no chain leads there.
    verbatim: Option<Range<usize>>,
    /// What is read in the place of the content in the file.
    replacement: Option<Bytes>,
}

impl Entry {
    /// Whether the name is `name`; names compare without case ([MS-CFB] 2.6.4).
    pub fn is_named(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// A stream at a place of the file, named after it.
    fn verbatim(range: Range<usize>) -> Self {
        Self {
            name: format!("offset {}", range.start),
            kind: EntryKind::Stream,
            clsid: [0; 16],
            size: range.len() as u64,
            parent: None,
            start: FREESECT,
            left: NOSTREAM,
            right: NOSTREAM,
            child: NOSTREAM,
            verbatim: Some(range),
            replacement: None,
        }
    }
}

/// A compound file that was opened, as far as it can be read.
pub struct CompoundFile<'a> {
    bytes: &'a [u8],
    sector_size: usize,
    fat: Vec<u32>,
    mini_fat: Vec<u32>,
    mini_stream: Cow<'a, [u8]>,
    entries: Vec<Entry>,
    /// The first stream of each name (in lower case) in each storage.
    streams: HashMap<(Option<usize>, String), usize>,
    reads_left: Cell<u64>,
}

impl<'a> CompoundFile<'a> {
    /// Reads the header, the FAT and the directory of `bytes`. What is damaged is left out: a
    /// file without any readable directory has no [`entries`](Self::entries).
    pub fn open(bytes: &'a [u8]) -> Self {
        let header = Header::read(bytes);
        let reads = (bytes.len() as u64).saturating_mul(READS_PER_FILE).saturating_add(1 << 20);
        let mut file = Self {
            bytes,
            sector_size: header.sector_size,
            fat: Vec::new(),
            mini_fat: Vec::new(),
            mini_stream: Cow::default(),
            entries: Vec::new(),
            streams: HashMap::new(),
            reads_left: Cell::new(reads),
        };
        file.fat = file.read_fat(&header);
        file.read_directory(header.first_directory_sector, header.long_sizes);
        let length = bytes.len() as u64;
        file.mini_fat = numbers(&file.read_sectors(header.first_mini_fat_sector, length));
        let root = file.entries.iter().find(|entry| entry.kind == EntryKind::Root);
        if let Some((start, size)) = root.map(|root| (root.start, root.size)) {
            file.mini_stream = file.read_sectors(start, size);
        }
        file
    }

    /// What stands at these places of `bytes`, each as a stream at the root: for files whose directory
    /// does not lead there.
    pub(super) fn of_pieces(bytes: &'a [u8], pieces: impl Iterator<Item = Range<usize>>) -> Self {
        let mut file = Self::open(&[]);
        file.bytes = bytes;
        file.reads_left = Cell::new((bytes.len() as u64).saturating_mul(READS_PER_FILE));
        file.entries = pieces.map(Entry::verbatim).collect();
        file
    }

    /// Every storage and stream of the directory, in its order, whether the tree reaches it or not.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Octets of the whole file.
    pub(super) fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Every stream, with its position in [`entries`](Self::entries).
    pub fn streams(&self) -> impl Iterator<Item = (usize, &Entry)> {
        self.entries.iter().enumerate().filter(|(_, entry)| entry.kind == EntryKind::Stream)
    }

    /// The stream `name` in the storage `parent`.
    pub fn stream(&self, parent: Option<usize>, name: &str) -> Option<&Entry> {
        self.entries.get(*self.streams.get(&(parent, name.to_ascii_lowercase()))?)
    }

    /// The names of the storages around `entry` and its own, joined by `/`.
    pub fn path(&self, entry: &Entry) -> String {
        let mut names = vec![entry.name.as_str()];
        let mut parent = entry.parent;
        while let Some(storage) = parent.and_then(|index| self.entries.get(index)) {
            if names.len() >= MAX_PATH_DEPTH {
                break;
            }
            names.push(&storage.name);
            parent = storage.parent;
        }
        names.reverse();
        names.join("/")
    }

    /// Reads a stream: as much as its chain has, at most its declared size and `max` octets.
    pub fn read(&self, entry: &Entry, max: u64) -> Cow<'a, [u8]> {
        let size = entry.size.min(max);
        if let Some(content) = &entry.replacement {
            return Cow::Owned(self.charged(content, usize::try_from(size).unwrap_or(usize::MAX)).to_vec());
        }
        if let Some(range) = &entry.verbatim {
            let octets = self.bytes.get(range.clone()).unwrap_or_default();
            return Cow::Borrowed(self.charged(octets, usize::try_from(size).unwrap_or(usize::MAX)));
        }
        if entry.size < MINI_STREAM_CUTOFF {
            let content = self.read_mini_sectors(entry.start, size);
            if !content.is_empty() || size == 0 {
                return content;
            }
        }
        self.read_sectors(entry.start, size)
    }

    /// Has `content` read in the place of the stream `name` at the root: it was decrypted.
    pub(super) fn replace(&mut self, name: &str, content: Bytes) {
        let index = self.streams.get(&(None, name.to_ascii_lowercase()));
        if let Some(entry) = index.and_then(|index| self.entries.get_mut(*index)) {
            entry.size = content.len() as u64;
            entry.replacement = Some(content);
        }
    }

    /// Whether reads were refused because the directory claims the same octets again and again.
    pub fn is_exhausted(&self) -> bool {
        self.reads_left.get() == 0
    }

    fn sector(&self, number: u32) -> Option<&'a [u8]> {
        self.sectors(number, 1)
    }

    /// `count` sectors from `first` on, as far as the file has them.
    fn sectors(&self, first: u32, count: usize) -> Option<&'a [u8]> {
        // The header takes the place of the sector before number 0.
        let start = (first as usize).checked_add(1)?.checked_mul(self.sector_size)?;
        let end = start.checked_add(count.checked_mul(self.sector_size)?)?.min(self.bytes.len());
        self.bytes.get(start..end).filter(|sectors| !sectors.is_empty())
    }

    fn sector_count(&self) -> usize {
        self.bytes.len().div_ceil(self.sector_size).saturating_sub(1)
    }

    /// The sector after `number`. Where the FAT has no entry at all (cut off, or unreadable),
    /// sectors are taken to follow one another, as most writers lay them out.
    fn next_sector(&self, number: u32) -> Option<u32> {
        match self.fat.get(number as usize) {
            Some(next) => Some(*next),
            None => number.checked_add(1),
        }
        .filter(|next| *next < MAXREGSECT)
    }

    /// The content of the chain that starts at `start`, at most `size` octets. Sectors that follow
    /// one another in the file, as most writers lay them out, are not copied.
    fn read_sectors(&self, start: u32, size: u64) -> Cow<'a, [u8]> {
        let mut content: Cow<'a, [u8]> = Cow::default();
        let mut left = self.sector_count();
        let mut next = Some(start).filter(|start| *start < MAXREGSECT);
        while let Some(first) = next.filter(|_| left > 0) {
            let wanted = usize::try_from(size).unwrap_or(usize::MAX).saturating_sub(content.len());
            let (count, last) = self.run(first, left.min(wanted.div_ceil(self.sector_size)));
            let octets = self.charged(self.sectors(first, count).unwrap_or_default(), wanted);
            if octets.is_empty() {
                break;
            }
            append(&mut content, octets);
            left = left.saturating_sub(count);
            next = self.next_sector(last);
        }
        content
    }

    /// How many sectors of the chain, at most `max`, stand one behind the other from `first` on, and
    /// which is the last of them.
    fn run(&self, first: u32, max: usize) -> (usize, u32) {
        let (mut count, mut last) = (1_usize, first);
        while count < max
            && let Some(next) = self.next_sector(last)
            && last.checked_add(1) == Some(next)
            && self.sectors(next, 1).is_some()
        {
            count = count.saturating_add(1);
            last = next;
        }
        (count, last)
    }

    /// The same for a chain of the mini FAT ([MS-CFB] 2.4).
    fn read_mini_sectors(&self, start: u32, size: u64) -> Cow<'a, [u8]> {
        let mut content: Cow<'a, [u8]> = Cow::default();
        let mut next = Some(start).filter(|start| *start < MAXREGSECT);
        for _ in 0..self.mini_stream.len().div_ceil(MINI_SECTOR) {
            let wanted = usize::try_from(size).unwrap_or(usize::MAX).saturating_sub(content.len());
            let sector = next.and_then(|number| {
                let start = (number as usize).checked_mul(MINI_SECTOR)?;
                let end = start.checked_add(MINI_SECTOR)?.min(self.mini_stream.len());
                self.mini_stream.get(start..end)
            });
            let octets = self.charged(sector.unwrap_or_default(), wanted);
            if octets.is_empty() {
                break;
            }
            content.to_mut().extend_from_slice(octets);
            next = next.and_then(|number| self.mini_fat.get(number as usize).copied().filter(|n| *n < MAXREGSECT));
        }
        content
    }

    /// What is wanted of `octets`, as far as the budget for reads allows.
    fn charged<'b>(&self, octets: &'b [u8], wanted: usize) -> &'b [u8] {
        let allowed = usize::try_from(self.reads_left.get()).unwrap_or(usize::MAX);
        let octets = octets.get(..wanted.min(allowed)).unwrap_or(octets);
        self.reads_left.set(self.reads_left.get().saturating_sub(octets.len() as u64));
        octets
    }

    /// [MS-CFB] 2.3, 2.5: the FAT, whose sectors the header and the DIFAT chain list.
    fn read_fat(&self, header: &Header) -> Vec<u32> {
        let sectors = self.sector_count();
        let mut fat = Vec::new();
        self.append_fat(&mut fat, &header.difat);
        let mut seen = HashSet::new();
        let mut next = header.first_difat_sector;
        while fat.len() < sectors && next < MAXREGSECT && seen.insert(next) {
            let Some(sector) = self.sector(next) else { break };
            let mut list = numbers(sector);
            // The last number of a DIFAT sector is the next DIFAT sector.
            next = if sector.len() == self.sector_size { list.pop().unwrap_or(FREESECT) } else { FREESECT };
            self.append_fat(&mut fat, &list);
        }
        fat.truncate(sectors);
        fat
    }

    fn append_fat(&self, fat: &mut Vec<u32>, list: &[u32]) {
        for number in list.iter().copied().take_while(|number| *number < MAXREGSECT) {
            if fat.len() >= self.sector_count() {
                return;
            }
            let mut part = self.sector(number).map(numbers).unwrap_or_default();
            // A FAT sector that is missing still stands for its share of the numbers.
            part.resize(self.sector_size / 4, FREESECT);
            fat.append(&mut part);
        }
    }

    /// [MS-CFB] 2.6: every entry of every directory sector; and if the chain of these sectors is
    /// broken, of every sector of the file that looks like one.
    fn read_directory(&mut self, first: u32, long_sizes: bool) {
        let mut seen = HashSet::new();
        let mut next = Some(first);
        let mut slots = Vec::new();
        while let Some(number) = next.filter(|number| *number < MAXREGSECT && seen.insert(*number)) {
            let Some(sector) = self.sector(number) else { break };
            slots.extend(sector.chunks(DIRECTORY_ENTRY).map(|slot| read_entry(slot, long_sizes)));
            next = self.next_sector(number);
        }
        if !is_whole(&slots) {
            let lost = (0..self.sector_count()).filter_map(|number| u32::try_from(number).ok());
            for sector in lost.filter(|number| !seen.contains(number)).filter_map(|number| self.sector(number)) {
                if looks_like_directory(sector) {
                    slots.extend(sector.chunks(DIRECTORY_ENTRY).map(|slot| read_entry(slot, long_sizes)));
                }
            }
        }
        self.entries = resolve_parents(slots);
        for (index, entry) in self.entries.iter().enumerate().filter(|(_, entry)| entry.kind == EntryKind::Stream) {
            self.streams.entry((entry.parent, entry.name.to_ascii_lowercase())).or_insert(index);
        }
    }
}

/// What is used of the header ([MS-CFB] 2.2).
struct Header {
    sector_size: usize,
    long_sizes: bool,
    first_directory_sector: u32,
    first_mini_fat_sector: u32,
    first_difat_sector: u32,
    difat: Vec<u32>,
}

impl Header {
    fn read(bytes: &[u8]) -> Self {
        let u16_at = |offset| Reader::at(bytes, offset).and_then(|mut reader| reader.u16());
        let u32_at = |offset| Reader::at(bytes, offset).and_then(|mut reader| reader.u32()).unwrap_or(FREESECT);
        let version_4 = u16_at(26) == Some(4);
        let sector_size = match u16_at(30) {
            Some(9) => 512,
            Some(12) => 4096,
            _ if version_4 => 4096,
            _ => 512,
        };
        Self {
            sector_size,
            // In version 3 the upper half of a size may hold anything ([MS-CFB] 2.6.1).
            long_sizes: sector_size == 4096,
            first_directory_sector: u32_at(48),
            first_mini_fat_sector: u32_at(60),
            first_difat_sector: u32_at(68),
            difat: numbers(bytes.get(76..bytes.len().min(512)).unwrap_or_default()),
        }
    }
}

/// Appends octets to a content, which is copied only if it comes from several places.
fn append<'a>(content: &mut Cow<'a, [u8]>, octets: &'a [u8]) {
    if content.is_empty() {
        *content = Cow::Borrowed(octets);
    } else {
        content.to_mut().extend_from_slice(octets);
    }
}

/// Little-endian numbers, as FAT, mini FAT and DIFAT hold them.
fn numbers(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).filter_map(|four| four.try_into().ok().map(u32::from_le_bytes)).collect()
}

/// One slot of the directory; `None` if it is not in use.
fn read_entry(slot: &[u8], long_sizes: bool) -> Option<Entry> {
    let mut reader = Reader::new(slot);
    let name = reader.take(64)?;
    let name_length = usize::from(reader.u16()?);
    let kind = match reader.u8()? {
        1 => EntryKind::Storage,
        2 => EntryKind::Stream,
        5 => EntryKind::Root,
        _ => return None,
    };
    reader.skip(1)?; // colour
    let (left, right, child) = (reader.u32()?, reader.u32()?, reader.u32()?);
    let clsid = reader.take(16)?.try_into().ok()?;
    reader.skip(20)?; // state bits, times
    let start = reader.u32()?;
    let size = reader.u64()?;
    let size = if long_sizes { size } else { size & 0xFFFF_FFFF };
    Some(Entry {
        name: entry_name(name, name_length),
        kind,
        clsid,
        size,
        parent: None,
        start,
        left,
        right,
        child,
        verbatim: None,
        replacement: None,
    })
}

/// The name ends at its terminator; the declared length is believed only if it ends it earlier.
fn entry_name(name: &[u8], length: usize) -> String {
    let length = if (4..=64).contains(&length) { length.saturating_sub(2) } else { 64 };
    let units = name.get(..length).unwrap_or(name).chunks_exact(2);
    let units = units.filter_map(|two| two.try_into().ok().map(u16::from_le_bytes)).take_while(|unit| *unit != 0);
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// Whether there is a root and no entry points behind the end of the directory.
fn is_whole(slots: &[Option<Entry>]) -> bool {
    let exists = |id: u32| id == NOSTREAM || (id as usize) < slots.len();
    let mut entries = slots.iter().flatten();
    slots.iter().flatten().any(|entry| entry.kind == EntryKind::Root)
        && entries.all(|entry| exists(entry.left) && exists(entry.right) && exists(entry.child))
}

/// Whether each slot of a sector could be a directory entry, and one is in use.
fn looks_like_directory(sector: &[u8]) -> bool {
    let plausible = |slot: &[u8]| {
        let (Some(name), Some([low, high, kind, colour])) = (slot.get(..64), slot.get(64..68)) else { return false };
        let length = u16::from_le_bytes([*low, *high]);
        let empty = *kind == 0 && length <= 64;
        let used = matches!(*kind, 1 | 2 | 5)
            && *colour <= 1
            && (4..=64).contains(&length)
            && length.is_multiple_of(2)
            && !entry_name(name, length.into()).is_empty();
        empty || used
    };
    sector.chunks(DIRECTORY_ENTRY).all(plausible)
        && sector.chunks(DIRECTORY_ENTRY).any(|slot| slot.get(66).is_some_and(|kind| *kind != 0))
}

/// Walks the sibling trees from every root and storage and notes in which storage each entry
/// stands. The position of an entry in the directory is its id; slots not in use are dropped.
fn resolve_parents(slots: Vec<Option<Entry>>) -> Vec<Entry> {
    let mut index_of_id = HashMap::new();
    let mut entries = Vec::new();
    for (id, entry) in slots.into_iter().enumerate() {
        if let Some(entry) = entry {
            index_of_id.insert(id as u64, entries.len());
            entries.push(entry);
        }
    }
    let mut reached = HashSet::new();
    let mut waiting: Vec<(u32, Option<usize>)> = Vec::new();
    let roots = entries.iter().filter(|entry| entry.kind == EntryKind::Root);
    waiting.extend(roots.map(|root| (root.child, None)));
    // Storages that no tree reaches come last: their own children still belong to them.
    let storages = entries.iter().enumerate().rev().filter(|(_, entry)| entry.kind == EntryKind::Storage);
    let mut unreached: Vec<usize> = storages.map(|(index, _)| index).collect();
    loop {
        while let Some((id, parent)) = waiting.pop() {
            let Some(index) = index_of_id.get(&u64::from(id)).copied() else { continue };
            let Some(entry) = entries.get_mut(index) else { continue };
            if entry.kind == EntryKind::Root || !reached.insert(index) {
                continue;
            }
            entry.parent = parent;
            waiting.extend([(entry.left, parent), (entry.right, parent)]);
            if entry.kind == EntryKind::Storage {
                waiting.push((entry.child, Some(index)));
            }
        }
        let Some(index) = unreached.pop() else { break };
        if let Some(entry) = entries.get(index).filter(|_| reached.insert(index)) {
            waiting.push((entry.child, Some(index)));
        }
    }
    entries
}
