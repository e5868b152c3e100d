//! Disk images, which Windows mounts at a double click: ISO 9660 with Joliet and Rock Ridge, UDF, FAT, each also
//! within VHD, VHDX, and behind a partition table (MBR or GPT). Every file becomes a part; the same file in several
//! views is one part with several names.
//! NTFS, exFAT, Apple's images and differencing disks are told as not supported.

mod disk;
pub(crate) mod fat;
mod iso9660;
mod listing;
mod udf;
mod virtual_disk;

use bytes::Bytes;

use self::disk::{Disk, FRAME_DATA, Map};
use self::listing::Listing;
use crate::filetype::{self, Class, FileType};
use crate::finding;
use crate::formats::container::{self, Member, Outcome};
use crate::formats::{Format, carve};
use crate::limits::Limit;
use crate::part::Part;
use crate::reader::Reader;
use crate::scan::Scan;

/// Disk images.
pub const FORMAT: Format =
    Format { name: "image", walled: true, accepts: |part| part.types.has_class(Class::DiskImage), examine };

/// Volumes of one disk.
const MAX_VOLUMES: usize = 128;
/// Octets that files in pieces may need together beyond those of the image: what was never written.
const HOLES: u64 = 16 << 20;

fn examine(part: &Part, scan: &mut Scan) {
    let mut found = false;
    let mut copies = (part.bytes.len() as u64).saturating_add(HOLES);
    for disk in disks(part, scan) {
        for volume in volumes(&disk) {
            match read(part, &volume, &mut copies, scan) {
                None => {}
                Some(Outcome::Given) => found = true,
                Some(Outcome::Full) => return,
            }
        }
    }
    if !found {
        if !scan.has_found(finding::CONTAINER_UNSUPPORTED, part) {
            scan.finding(finding::DAMAGED, part, "", "no file system can be found");
        }
        // Perhaps a document stands in one piece in what cannot be read.
        carve::examine(part, scan);
    }
}

/// What the file may be taken for.
fn disks(part: &Part, scan: &mut Scan) -> Vec<Disk> {
    let mut disks = Vec::new();
    let opened = part.types.has(FileType::Vhd).then(|| virtual_disk::open(&part.bytes)).flatten();
    match opened {
        Some(Ok(disk)) => disks.push(disk),
        Some(Err(why)) => scan.finding(finding::CONTAINER_UNSUPPORTED, part, "", why),
        None => {}
    }
    if part.types.has(FileType::Dmg) {
        scan.finding(finding::CONTAINER_UNSUPPORTED, part, "", FileType::Dmg.name());
    }
    // A fixed VHD is the disk as it is.
    let is_read = disks.iter().any(Disk::is_flat);
    if part.types.has(FileType::Iso) {
        let frames = filetype::disc_frames(&part.bytes).filter(|(frame, _)| *frame as u64 != FRAME_DATA);
        match frames {
            Some((frame, header)) => disks.push(framed(&part.bytes, frame as u64, header as u64)),
            None if is_read => {}
            None => disks.push(Disk::flat(part.bytes.clone())),
        }
    }
    if part.types.has(FileType::Img) && !disks.iter().any(Disk::is_flat) {
        disks.push(Disk::flat(part.bytes.clone()));
    }
    disks
}

fn framed(bytes: &Bytes, frame: u64, header: u64) -> Disk {
    let frames = (bytes.len() as u64).div_ceil(frame.max(1));
    Disk::new(bytes.clone(), Map::Frames { frame, header }, frames.saturating_mul(FRAME_DATA))
}

/// The disk itself, and what its partition tables name.
fn volumes(disk: &Disk) -> Vec<Disk> {
    let mut volumes = vec![disk.clone()];
    for (start, size) in partitions(disk) {
        if start > 0 && start < disk.size() && volumes.len() < MAX_VOLUMES {
            volumes.push(disk.part(start, size));
        }
    }
    volumes
}

/// Partitions in octets: MBR with its chain of extended ones, and GPT (UEFI 5.2, 5.3).
fn partitions(disk: &Disk) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    // Logical partitions count from the table that names them, tables from the extended partition.
    let (mut waiting, mut base) = (vec![0_u64], None);
    for _ in 0..MAX_VOLUMES {
        let Some(at) = waiting.pop() else { break };
        let sector = disk.read(at.saturating_mul(512), 512);
        if !sector.ends_with(b"\x55\xaa") {
            continue;
        }
        for entry in sector.get(446..510).unwrap_or_default().chunks_exact(16) {
            let number = |offset| Reader::at(entry, offset).and_then(|mut reader| reader.u32()).map(u64::from);
            let (Some(kind), Some(start), Some(count)) = (entry.get(4), number(8), number(12)) else { continue };
            match kind {
                0 => {}
                5 | 0x0f | 0x85 => {
                    let first = *base.get_or_insert(start);
                    waiting.push(if at == 0 { start } else { first.saturating_add(start) });
                }
                _ => found.push((at.saturating_add(start).saturating_mul(512), count.saturating_mul(512))),
            }
        }
    }
    for sector in [512_u64, 4096] {
        found.extend(gpt(disk, sector).unwrap_or_default());
    }
    // A size is a claim, and so are two partitions in one place.
    found.sort_unstable();
    found.dedup_by_key(|(start, _)| *start);
    found
}

fn gpt(disk: &Disk, sector: u64) -> Option<Vec<(u64, u64)>> {
    let header = disk.exactly(sector, 92)?;
    if !header.starts_with(b"EFI PART") {
        return None;
    }
    let mut reader = Reader::at(&header, 72)?;
    let (table, count, width) = (reader.u64()?, reader.u32()?.min(128), u64::from(reader.u32()?));
    let entries = (0..u64::from(count)).filter_map(|number| {
        let at = table.checked_mul(sector)?.checked_add(number.checked_mul(width)?)?;
        let entry = disk.exactly(at, 48)?;
        let mut reader = Reader::at(&entry, 32)?;
        let (first, last) = (reader.u64()?, reader.u64()?);
        let count = last.checked_sub(first)?.saturating_add(1);
        Some((first.saturating_mul(sector), count.saturating_mul(sector)))
    });
    Some(entries.collect())
}

/// Reads every file system in a volume. `None` if there is none.
fn read(part: &Part, volume: &Disk, copies: &mut u64, scan: &mut Scan) -> Option<Outcome> {
    let most = usize::try_from(scan.limits().max_files.saturating_add(1)).unwrap_or(usize::MAX);
    let mut listing = Listing::new(volume, most);
    let boot = volume.read(3, 8);
    for (magic, name) in [(&b"NTFS    "[..], "NTFS"), (b"EXFAT   ", "exFAT"), (b"ReFS\0\0\0\0", "ReFS")] {
        if boot == magic {
            scan.finding(finding::CONTAINER_UNSUPPORTED, part, "", name);
        }
    }
    let is_udf = udf::list(volume, &mut listing);
    let is_iso = iso9660::is_here(volume);
    if is_iso {
        iso9660::list(volume, &mut listing);
    }
    let is_fat = fat::list(volume, &mut listing);
    if !(is_udf || is_iso || is_fat) {
        return None;
    }
    if listing.cut {
        scan.limit(part, Limit::Files);
    }
    if listing.damaged {
        scan.finding(finding::DAMAGED, part, "", "a directory cannot be read");
    }
    for file in &listing.files {
        if scan.stopped() {
            break;
        }
        let content = volume.content(&file.extents, file.size, scan.room(), copies);
        let member = Member { names: &file.names, packed: None, is_empty: file.size == 0 };
        if container::give(part, member, content, false, scan) == Outcome::Full {
            return Some(Outcome::Full);
        }
    }
    Some(Outcome::Given)
}
