//! A disk as an image presents it: octets by their place on the disk, wherever they stand in the file. What was
//! never written (a dynamic disk may claim terabytes) costs nothing; what stands together is not copied.

use bytes::Bytes;

use crate::formats::container::Content;
use crate::reader::Reader;

/// Where the octets of a disk stand in the file.
#[derive(Clone, Copy, Debug)]
pub enum Map {
    /// As they are.
    Flat,
    /// Sectors of a disc with their frames (ECMA-130 14): octets of a frame, those before its data, and its data.
    Frames {
        /// Octets of a frame.
        frame: u64,
        /// Octets before the data.
        header: u64,
    },
    /// Blocks with a table in the file (dynamic VHD).
    Vhd {
        /// Where the table stands.
        table: usize,
        /// Its entries.
        entries: u64,
        /// Octets of a block.
        block: u64,
        /// Octets of the bitmap before each block.
        bitmap: u64,
    },
    /// Blocks with a table in the file ([MS-VHDX] 2.5).
    Vhdx {
        /// Where the table stands.
        table: usize,
        /// Its entries.
        entries: u64,
        /// Octets of a block.
        block: u64,
        /// Blocks between two entries for bitmaps.
        ratio: u64,
    },
}

/// Data octets of a frame.
pub const FRAME_DATA: u64 = 2048;

/// A disk, or a part of one.
#[derive(Clone, Debug)]
pub struct Disk {
    bytes: Bytes,
    map: Map,
    start: u64,
    size: u64,
}

/// Octets of a file that stand together on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Extent {
    /// Where; `None` where nothing was ever written.
    pub at: Option<u64>,
    /// How many octets.
    pub len: u64,
}

impl Disk {
    /// A disk of `size` octets, which is a claim.
    pub fn new(bytes: Bytes, map: Map, size: u64) -> Self {
        Self { bytes, map, start: 0, size }
    }

    /// A file that is the disk.
    pub fn flat(bytes: Bytes) -> Self {
        let size = bytes.len() as u64;
        Self::new(bytes, Map::Flat, size)
    }

    /// The part from `start` on, at most `size` octets.
    pub fn part(&self, start: u64, size: u64) -> Self {
        let size = size.min(self.size.saturating_sub(start));
        Self { start: self.start.saturating_add(start), size, ..self.clone() }
    }

    /// Whether the file, or its start, is the disk.
    pub fn is_flat(&self) -> bool {
        matches!(self.map, Map::Flat)
    }

    /// Octets that the disk claims to have.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Octets of the image, which are more than all its files have together, if it is honest.
    pub fn stored(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The octets from `at` on, at most `most`: fewer at the end of the disk.
    pub fn read(&self, at: u64, most: u64) -> Bytes {
        let extent = Extent { at: Some(at), len: most.min(self.size.saturating_sub(at)) };
        self.gather(&[extent], most, &mut most.clone())
    }

    /// All `count` octets at `at`.
    pub fn exactly(&self, at: u64, count: u64) -> Option<Bytes> {
        Some(self.read(at, count)).filter(|bytes| bytes.len() as u64 == count)
    }

    /// A file of `size` octets in `extents`, at most `room` of it; `copies` are the octets that may be copied still.
    pub fn content(&self, extents: &[Extent], size: u64, room: u64, copies: &mut u64) -> Content {
        let bytes = self.gather(extents, size.min(room), copies);
        match bytes.len() as u64 {
            got if got < size.min(room) => Content::Damaged(bytes),
            got if got < size => Content::Head(bytes),
            _ => Content::Whole(bytes),
        }
    }

    /// At most `most` octets of `extents`; ends where the file does.
    pub fn gather(&self, extents: &[Extent], most: u64, copies: &mut u64) -> Bytes {
        let (mut whole, mut copied, mut left) = (Bytes::new(), Vec::new(), most);
        for extent in extents {
            let (mut done, end) = (0, extent.len.min(left));
            while done < end {
                let place = extent.at.map(|at| at.saturating_add(done));
                let (piece, len) = match place {
                    Some(at) => self.piece(at, end.saturating_sub(done)),
                    None => (None, end.saturating_sub(done)),
                };
                if len == 0 {
                    return if copied.is_empty() { whole } else { copied.into() };
                }
                if let (Some(piece), true, true) = (&piece, whole.is_empty(), copied.is_empty()) {
                    whole = piece.clone();
                } else {
                    if copied.is_empty() {
                        copied.extend_from_slice(&whole);
                        *copies = copies.saturating_sub(whole.len() as u64);
                    }
                    if *copies < len {
                        return copied.into();
                    }
                    *copies = copies.saturating_sub(len);
                    match piece {
                        Some(piece) => copied.extend_from_slice(&piece),
                        None => {
                            copied.resize(copied.len().saturating_add(usize::try_from(len).unwrap_or_default()), 0);
                        }
                    }
                }
                (done, left) = (done.saturating_add(len), left.saturating_sub(len));
            }
        }
        if copied.is_empty() { whole } else { copied.into() }
    }

    /// What stands together at `at`, at most `most` octets, and how many they are; `None` if they were never written.
    /// No octets at all behind the end.
    fn piece(&self, at: u64, most: u64) -> (Option<Bytes>, u64) {
        let most = most.min(self.size.saturating_sub(at));
        let at = at.saturating_add(self.start);
        let (place, together) = match self.map {
            Map::Flat => (Some(at), most),
            Map::Frames { frame, header } => {
                let within = at.checked_rem(FRAME_DATA).unwrap_or_default();
                let number = at.checked_div(FRAME_DATA).unwrap_or_default();
                let place = number.saturating_mul(frame).saturating_add(header).saturating_add(within);
                (Some(place), FRAME_DATA.saturating_sub(within))
            }
            Map::Vhd { block, .. } | Map::Vhdx { block, .. } => {
                let within = at.checked_rem(block).unwrap_or_default();
                let start = at.checked_div(block).and_then(|number| self.block(number));
                (start.map(|start| start.saturating_add(within)), block.saturating_sub(within))
            }
        };
        let most = most.min(together);
        let Some(place) = place else { return (None, most) };
        let start = usize::try_from(place).unwrap_or(usize::MAX).min(self.bytes.len());
        let end = start.saturating_add(usize::try_from(most).unwrap_or(usize::MAX)).min(self.bytes.len());
        let piece = self.bytes.slice(start..end);
        let len = piece.len() as u64;
        (Some(piece), len)
    }

    /// Where the data of a block starts in the file, if it was ever written.
    fn block(&self, number: u64) -> Option<u64> {
        let entry = |table: usize, entries: u64, index: u64, width: u64| {
            let at = usize::try_from(index.checked_mul(width)?).ok()?.checked_add(table)?;
            Reader::at(&self.bytes, at).filter(|_| index < entries)
        };
        match self.map {
            Map::Vhd { table, entries, bitmap, .. } => {
                let sector = u32::from_be_bytes(entry(table, entries, number, 4)?.take(4)?.try_into().ok()?);
                (sector != u32::MAX).then(|| u64::from(sector).saturating_mul(512).saturating_add(bitmap))
            }
            Map::Vhdx { table, entries, ratio, .. } => {
                let index = number.saturating_add(number.checked_div(ratio)?);
                let value = entry(table, entries, index, 8)?.u64()?;
                // 2.5.1.1: the state in three bits (6: present, 7: in parts), the place in MiB from bit 20 on.
                matches!(value & 7, 6 | 7).then_some(value & !0xf_ffff)
            }
            Map::Flat | Map::Frames { .. } => None,
        }
    }
}
