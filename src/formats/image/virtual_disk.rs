//! Virtual disks: VHD (Virtual Hard Disk Image Format Specification 1.0), fixed and dynamic, and VHDX ([MS-VHDX]).
//! The log of a VHDX is not replayed. Differencing disks have their other half elsewhere.

use bytes::Bytes;

use super::disk::{Disk, Map};
use crate::reader::Reader;

/// A disk, or why it is none.
pub type Opened = Result<Disk, &'static str>;

const VHD: &[u8] = b"conectix";
const VHDX: &[u8] = b"vhdxfile";
/// Octets of a VHD's footer.
const FOOTER: usize = 512;

/// [MS-VHDX] 2.2.3.2 and 2.6.2: GUIDs as they stand in the file.
const BAT: &[u8] = b"\x66\x77\xc2\x2d\x23\xf6\x00\x42\x9d\x64\x11\x5e\x9b\xfd\x4a\x08";
const METADATA: &[u8] = b"\x06\xa2\x7c\x8b\x90\x47\x9a\x4b\xb8\xfe\x57\x5f\x05\x0f\x88\x6e";
const PARAMETERS: &[u8] = b"\x37\x67\xa1\xca\x36\xfa\x43\x4d\xb3\xb6\x33\xf0\xaa\x44\xe7\x6b";
const DISK_SIZE: &[u8] = b"\x24\x42\xa5\x2f\x1b\xcd\x76\x48\xb2\x11\x5d\xbe\xd8\x3b\xf4\xb8";
const SECTOR_SIZE: &[u8] = b"\x1d\xbf\x41\x81\x6f\xa9\x09\x47\xba\x47\xf2\x33\xa8\xfa\xab\x5f";

/// Opens the virtual disk that `bytes` are, if they are one.
pub fn open(bytes: &Bytes) -> Option<Opened> {
    if bytes.starts_with(VHDX) {
        return Some(vhdx(bytes).unwrap_or(Err("VHDX without its tables")));
    }
    let end = bytes.len().checked_sub(FOOTER);
    // Some programs wrote a footer of 511 octets.
    let short = bytes.len().checked_sub(FOOTER.saturating_sub(1));
    let footer = [Some(0), end, short].into_iter().flatten().find(|at| has_at(bytes, *at, VHD))?;
    let kind = be32(bytes, footer.saturating_add(60));
    let size = be64(bytes, footer.saturating_add(48)).unwrap_or(u64::MAX);
    match kind {
        Some(3) => Some(dynamic(bytes, footer, size).ok_or("VHD without its table")),
        Some(4) => Some(Err("differencing VHD")),
        // The size is a claim: all there is belongs to the disk.
        _ if footer > 0 => Some(Ok(Disk::flat(bytes.slice(..footer)))),
        _ => dynamic(bytes, footer, size).map(Ok).or(Some(Err("VHD of an unknown kind"))),
    }
}

/// The header behind the footer's copy: where the table stands, and the size of blocks.
fn dynamic(bytes: &Bytes, footer: usize, size: u64) -> Option<Disk> {
    let header = usize::try_from(be64(bytes, footer.saturating_add(16))?).ok();
    let header = header.into_iter().chain([FOOTER]).find(|at| has_at(bytes, *at, b"cxsparse"))?;
    let table = usize::try_from(be64(bytes, header.saturating_add(16))?).ok()?;
    let entries = be32(bytes, header.saturating_add(28))?.into();
    let block = u64::from(be32(bytes, header.saturating_add(32))?);
    let sectors = block.checked_div(512).filter(|sectors| *sectors > 0)?;
    let bitmap = sectors.div_ceil(8).div_ceil(512).saturating_mul(512);
    let size = size.max(512).min(block.saturating_mul(entries));
    Some(Disk::new(bytes.clone(), Map::Vhd { table, entries, block, bitmap }, size))
}

fn vhdx(bytes: &Bytes) -> Option<Opened> {
    // 2.2.3: two copies of the region table, at 192 and 256 KiB.
    let regions = [192_usize << 10, 256 << 10];
    let region = |id: &[u8]| {
        regions.iter().filter(|at| has_at(bytes, **at, b"regi")).find_map(|at| {
            let count = Reader::at(bytes, at.checked_add(8)?)?.u32()?.min(2047);
            let at = item(bytes, at.checked_add(16)?, count, id)?;
            let mut reader = Reader::at(bytes, at)?;
            Some((usize::try_from(reader.u64()?).ok()?, reader.u32()?))
        })
    };
    let (metadata, _) = region(METADATA)?;
    let (table, length) = region(BAT)?;
    let count = Reader::at(bytes, metadata.checked_add(10)?)?.u16()?.min(2047);
    let value = |id: &[u8]| {
        let at = item(bytes, metadata.checked_add(32)?, count.into(), id)?;
        let offset = usize::try_from(Reader::at(bytes, at)?.u32()?).ok()?;
        Reader::at(bytes, metadata.checked_add(offset)?)
    };
    let mut parameters = value(PARAMETERS)?;
    let (block, flags) = (u64::from(parameters.u32()?), parameters.u32()?);
    // 2.6.2.1: bit 1 says that there is a parent.
    if flags & 2 != 0 {
        return Some(Err("differencing VHDX"));
    }
    let size = value(DISK_SIZE)?.u64()?;
    let sector = value(SECTOR_SIZE).and_then(|mut reader| reader.u32()).filter(|size| *size > 0).unwrap_or(512);
    // 2.5: a bitmap after each so many blocks.
    let ratio = (1_u64 << 23).saturating_mul(sector.into()).checked_div(block).filter(|ratio| *ratio > 0)?;
    let entries = u64::from(length).checked_div(8)?;
    Some(Ok(Disk::new(bytes.clone(), Map::Vhdx { table, entries, block, ratio }, size)))
}

/// Where what follows a GUID stands, in a table of entries of 32 octets.
fn item(bytes: &[u8], table: usize, count: u32, id: &[u8]) -> Option<usize> {
    let mut entries = bytes.get(table..)?.chunks_exact(32).take(usize::try_from(count).ok()?);
    let index = entries.position(|entry| entry.starts_with(id))?;
    table.checked_add(index.checked_mul(32)?)?.checked_add(id.len())
}

fn has_at(bytes: &[u8], at: usize, magic: &[u8]) -> bool {
    bytes.get(at..).is_some_and(|rest| rest.starts_with(magic))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(Reader::at(bytes, at)?.take(4)?.try_into().ok()?))
}

fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(Reader::at(bytes, at)?.take(8)?.try_into().ok()?))
}
