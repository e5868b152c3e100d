//! Headers of RAR 5 and later.

use std::ops::Range;

use bytes::Bytes;

use super::crc32;
use super::crypt::{Cipher, Lock};
use super::entry::{Entry, Headers, Method, Role};
use crate::formats::zip::names;
use crate::reader::Reader;

/// Octets of a header at most; the format's own limit.
const MAX_HEADER: u64 = 2 << 20;
const ENCRYPTION: u64 = 4;
const FILE: u64 = 2;
const SERVICE: u64 = 3;
const END: u64 = 5;
/// Rounds of hashing, as a power of two, that are written at most.
const MAX_POWER: u8 = 24;

/// The lock of an archive whose headers are encrypted.
pub fn lock(bytes: &[u8], at: usize) -> Option<Lock> {
    let block = block(bytes, at)?;
    let mut fields = Reader::new(block.fields);
    (block.kind == ENCRYPTION).then(|| lock_of(&mut fields, false))?
}

/// Reads headers from `at`, at most `most`; with `cipher` those behind the first are encrypted.
pub fn read(bytes: &Bytes, mut at: usize, cipher: Option<&Cipher>, most: usize) -> Headers {
    let mut headers = Headers::default();
    if cipher.is_some() {
        at = block(bytes, at).map_or(bytes.len(), |block| block.next);
    }
    while at < bytes.len() {
        if headers.seen >= most {
            headers.is_cut = true;
            return headers;
        }
        headers.seen = headers.seen.saturating_add(1);
        let clear;
        let block = match cipher {
            None => block(bytes, at),
            Some(cipher) => {
                clear = decrypt(bytes, at, cipher);
                clear.as_ref().and_then(|(octets, next)| block(octets, 0).map(|block| Block { next: *next, ..block }))
            }
        };
        let Some(block) = block else {
            headers.is_broken = true;
            return headers;
        };
        headers.is_broken |= !block.is_right;
        if cipher.is_some() && !block.is_right {
            return headers;
        }
        headers.right = headers.right.saturating_add(usize::from(block.is_right));
        let end = usize::try_from(block.size).ok().and_then(|size| block.next.checked_add(size));
        let data = block.next.min(bytes.len())..end.unwrap_or(usize::MAX).min(bytes.len());
        let is_short = end.is_none_or(|end| end > bytes.len());
        match block.kind {
            FILE | SERVICE => match entry(&block, data, is_short) {
                Some(entry) => headers.push(entry),
                None => headers.is_broken |= block.kind == FILE,
            },
            // An archive with encrypted headers where a plain one began.
            ENCRYPTION => headers.is_broken = true,
            END => {
                headers.is_ended = true;
                headers.end = end.unwrap_or(usize::MAX);
                return headers;
            }
            _ => {}
        }
        at = end.unwrap_or(usize::MAX);
    }
    headers
}

/// A header.
struct Block<'a> {
    kind: u64,
    flags: u64,
    is_right: bool,
    fields: &'a [u8],
    extra: &'a [u8],
    /// Octets of data behind it.
    size: u64,
    /// Where it ends.
    next: usize,
}

fn block(bytes: &[u8], at: usize) -> Option<Block<'_>> {
    let mut reader = Reader::at(bytes, at)?;
    let crc = reader.u32()?;
    let start = reader.position();
    let size = vint(&mut reader).filter(|size| (1..=MAX_HEADER).contains(size))?;
    let body = reader.take(usize::try_from(size).ok()?)?;
    let next = reader.position();
    let is_right = crc32(bytes.get(start..next)?) == crc;
    let mut inner = Reader::new(body);
    let (kind, flags) = (vint(&mut inner)?, vint(&mut inner)?);
    let extra = if flags & 1 == 0 { 0 } else { usize::try_from(vint(&mut inner)?).ok()? };
    let size = if flags & 2 == 0 { 0 } else { vint(&mut inner)? };
    let rest = inner.rest();
    let (fields, extra) = rest.split_at_checked(rest.len().checked_sub(extra)?)?;
    Some(Block { kind, flags, is_right, fields, extra, size, next })
}

/// An encrypted header: a start of 16 octets, then whole blocks of the cipher.
fn decrypt(bytes: &[u8], at: usize, cipher: &Cipher) -> Option<(Vec<u8>, usize)> {
    let mut reader = Reader::at(bytes, at)?;
    let start = reader.take(16)?;
    let mut first = reader.take(16)?.to_vec();
    cipher.cbc(start, &mut first);
    let mut inner = Reader::at(&first, 4)?;
    let size = vint(&mut inner).filter(|size| *size <= MAX_HEADER)?;
    let size = inner.position().checked_add(usize::try_from(size).ok()?)?.checked_next_multiple_of(16)?;
    let from = at.checked_add(16)?;
    let next = from.checked_add(size)?;
    let mut octets = bytes.get(from..next)?.to_vec();
    cipher.cbc(start, &mut octets);
    Some((octets, next))
}

/// A file, a comment or a stream; `None` if it is neither, or broken.
fn entry(block: &Block<'_>, data: Range<usize>, is_short: bool) -> Option<Entry> {
    let mut fields = Reader::new(block.fields);
    let flags = vint(&mut fields)?;
    let size = vint(&mut fields)?;
    vint(&mut fields)?;
    if flags & 2 != 0 {
        fields.skip(4)?;
    }
    let crc = if flags & 4 == 0 { None } else { Some(fields.u32()?) };
    let how = vint(&mut fields)?;
    vint(&mut fields)?;
    let length = usize::try_from(vint(&mut fields)?).ok()?;
    let name = fields.take(length)?;
    let version = how & 0x3f;
    let method = match (version, how >> 7 & 7) {
        (_, 0) => Method::Stored,
        (0 | 1, 1..=5) => {
            // 128 KiB doubled; version 1 adds parts of 32.
            let base =
                (128_u64 << 10).checked_shl(u32::try_from(how >> 10 & if version == 0 { 15 } else { 31 }).ok()?)?;
            let parts = if version == 0 { 0 } else { how >> 15 & 31 };
            let dictionary = base.saturating_add((base >> 5).saturating_mul(parts));
            // Bit 20: a solid archive that began with version 0 goes on with its tables.
            let tables = u8::from(version == 1 && how >> 20 & 1 == 0);
            Method::Five { tables, dictionary }
        }
        (version, method) => Method::Unknown(format!("rar version {version} method {method}")),
    };
    let role = match (block.kind, name) {
        (SERVICE, b"CMT") => Role::Comment,
        (SERVICE, b"STM") => Role::Stream,
        // Recovery records, rights, a copy of the headers.
        (SERVICE, _) => return None,
        _ if flags & 1 != 0 => Role::Folder,
        _ => Role::File,
    };
    let mut entry = Entry {
        role,
        names: vec![names::decode(name, true)],
        data,
        is_short,
        size: (flags & 8 == 0).then_some(size),
        crc,
        blake: None,
        method,
        is_solid: how & 0x40 != 0,
        continues: block.flags & 0x08 != 0,
        is_continued: block.flags & 0x10 != 0,
        rest: Vec::new(),
        lock: None,
        is_link: false,
        is_wide: false,
    };
    records(&mut entry, block.extra);
    Some(entry)
}

/// The extra records of a file: its lock, its hash, whether it only names another file, and the name of a stream.
fn records(entry: &mut Entry, extra: &[u8]) {
    let mut reader = Reader::new(extra);
    while reader.left() > 0 {
        let record = vint(&mut reader).and_then(|size| reader.take(usize::try_from(size).ok()?));
        let Some(mut record) = record.map(Reader::new) else { return };
        match vint(&mut record) {
            Some(1) => entry.lock = Some(lock_of(&mut record, true).unwrap_or(Lock::Unknown)),
            // Type 0 is BLAKE2sp.
            Some(2) if vint(&mut record) == Some(0) => {
                entry.blake = record.take(32).and_then(|hash| hash.try_into().ok());
            }
            Some(5) => entry.is_link = true,
            Some(7) if entry.role == Role::Stream => entry.names = vec![names::decode(record.rest(), true)],
            _ => {}
        }
    }
}

/// What stands in a record or header of encryption; a record has a start of the chain, too.
fn lock_of(reader: &mut Reader<'_>, has_start: bool) -> Option<Lock> {
    let (version, flags, power) = (vint(reader)?, vint(reader)?, reader.u8()?);
    if version != 0 || power > MAX_POWER {
        return Some(Lock::Unknown);
    }
    let salt = reader.take(16)?.try_into().ok()?;
    let start = if has_start { reader.take(16)?.try_into().ok()? } else { [0; 16] };
    let check = if flags & 1 == 0 { None } else { reader.take(12).and_then(check) };
    Some(Lock::Five { power, salt, start, check, is_tweaked: flags & 2 != 0 })
}

/// Eight octets that depend on the password, if the four behind them say that they are whole.
fn check(octets: &[u8]) -> Option<[u8; 8]> {
    use sha2::{Digest, Sha256};
    let (check, sum) = octets.split_at_checked(8)?;
    Sha256::digest(check).starts_with(sum).then(|| check.try_into().ok())?
}

/// Seven bits an octet, the lowest first, ten octets at most.
fn vint(reader: &mut Reader<'_>) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..70_u32).step_by(7) {
        let octet = reader.u8()?;
        value |= u64::from(octet & 0x7f).checked_shl(shift).unwrap_or_default();
        if octet & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
