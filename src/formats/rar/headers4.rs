//! Headers of RAR 1.5 to 4.

use std::ops::Range;

use bytes::Bytes;

use super::crypt::{Cipher, Lock};
use super::entry::{Entry, Headers, Method, Role};
use super::{FOUR, crc32};
use crate::formats::zip::names;
use crate::part::Name;
use crate::reader::Reader;

const ARCHIVE: u8 = 0x73;
const FILE: u8 = 0x74;
const COMMENT: u8 = 0x75;
const OLD_SERVICE: u8 = 0x77;
const SERVICE: u8 = 0x7a;
const END: u8 = 0x7b;
/// Of the archive's header: the others are encrypted.
const LOCKED: u16 = 0x80;
/// Of headers that have a comment in them, which their checksum leaves out: of the archive's, and of a file's.
const COMMENTED: u16 = 2;
const FILE_COMMENTED: u16 = 8;
/// What an old record of a service says of a stream.
const OLD_STREAM: u16 = 0x105;

/// The lock of an archive whose headers are encrypted.
pub fn lock(bytes: &[u8], at: usize) -> Option<Lock> {
    let block = block(bytes, at)?;
    let salt = bytes.get(block.next..block.next.checked_add(8)?)?.try_into().ok()?;
    (block.kind == ARCHIVE && block.flags & LOCKED != 0).then_some(Lock::Four { salt: Some(salt) })
}

/// Reads headers from `at`, at most `most`. `key` is asked for the cipher of each salt before an encrypted header.
pub fn read(bytes: &Bytes, mut at: usize, key: &mut dyn FnMut([u8; 8]) -> Option<Cipher>, most: usize) -> Headers {
    let mut headers = Headers::default();
    let mut cipher: Option<([u8; 8], Cipher)> = None;
    let mut is_locked = false;
    while at < bytes.len() {
        // Archives of old have no record of their end.
        if !is_locked && bytes.get(at..).is_some_and(|rest| rest.starts_with(FOUR)) {
            (headers.is_ended, headers.end) = (true, at);
            headers.seen = headers.seen.saturating_add(1);
            return headers;
        }
        if headers.seen >= most {
            headers.is_cut = true;
            return headers;
        }
        headers.seen = headers.seen.saturating_add(1);
        let clear;
        let block = if is_locked {
            let salt = at.checked_add(8).and_then(|end| bytes.get(at..end)?.try_into().ok());
            let Some(salt) = salt else { return headers };
            if cipher.as_ref().is_none_or(|(of, _)| *of != salt) {
                cipher = key(salt).map(|cipher| (salt, cipher));
            }
            let Some((_, cipher)) = &cipher else { return headers };
            clear = decrypt(bytes, at.saturating_add(8), cipher);
            clear.as_ref().and_then(|(octets, next)| block(octets, 0).map(|block| Block { next: *next, ..block }))
        } else {
            block(bytes, at)
        };
        let Some(block) = block else {
            headers.is_broken = true;
            return headers;
        };
        headers.is_broken |= !block.is_right;
        if is_locked && !block.is_right {
            return headers;
        }
        headers.right = headers.right.saturating_add(usize::from(block.is_right));
        let end = usize::try_from(block.size).ok().and_then(|size| block.next.checked_add(size));
        let data = block.next.min(bytes.len())..end.unwrap_or(usize::MAX).min(bytes.len());
        let is_short = end.is_none_or(|end| end > bytes.len());
        match block.kind {
            ARCHIVE => {
                is_locked |= block.flags & LOCKED != 0;
                headers.comments.extend(block.comment(bytes, at));
            }
            FILE | SERVICE => {
                match entry(&block, data, is_short) {
                    Some(entry) => headers.push(entry),
                    None => headers.is_broken |= block.kind == FILE,
                }
                if !is_locked {
                    headers.comments.extend(block.comment(bytes, at));
                }
            }
            COMMENT if !is_locked => headers.comments.extend(comment(&block)),
            OLD_SERVICE => {
                let kind = Reader::at(block.fields, 4).and_then(|mut fields| fields.u16());
                headers.has_old_streams |= kind == Some(OLD_STREAM);
            }
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

struct Block<'a> {
    kind: u8,
    flags: u16,
    is_right: bool,
    fields: &'a [u8],
    size: u64,
    next: usize,
}

fn block(bytes: &[u8], at: usize) -> Option<Block<'_>> {
    let mut reader = Reader::at(bytes, at)?;
    let (crc, kind, flags, length) = (reader.u16()?, reader.u8()?, reader.u16()?, reader.u16()?);
    // Blocks from the archive's header to its end.
    if !(0x72..=0x7b).contains(&kind) {
        return None;
    }
    let fields = reader.take(usize::from(length).checked_sub(7)?)?;
    let next = reader.position();
    let [low, high, ..] = crc32(bytes.get(at.checked_add(2)?..next)?).to_le_bytes();
    let is_right = u16::from_le_bytes([low, high]) == crc || without_comment(bytes, at, kind, flags) == Some(crc);
    let mut inner = Reader::new(fields);
    let mut size = if flags & 0x8000 == 0 && !matches!(kind, FILE | SERVICE) { 0 } else { u64::from(inner.u32()?) };
    // High halves of the sizes.
    if matches!(kind, FILE | SERVICE) && flags & 0x100 != 0 {
        inner.skip(21)?;
        size |= u64::from(inner.u32()?) << 32;
    }
    Some(Block { kind, flags, is_right, fields, size, next })
}

impl Block<'_> {
    /// The comment in the header at `at`, as RAR 1.5 and 2 wrote it.
    fn comment(&self, bytes: &[u8], at: usize) -> Option<Entry> {
        let inner = block(bytes, at.checked_add(own_size(bytes, at, self.kind, self.flags)?)?)?;
        (inner.kind == COMMENT && inner.next <= self.next).then(|| comment(&inner))?
    }
}

/// Octets of a header before the comment in it, if there is one.
fn own_size(bytes: &[u8], at: usize, kind: u8, flags: u16) -> Option<usize> {
    match kind {
        ARCHIVE if flags & COMMENTED != 0 => Some(13),
        FILE if flags & FILE_COMMENTED != 0 => {
            let name = Reader::at(bytes, at.checked_add(26)?)?.u16()?;
            // High halves of the sizes, a salt.
            let more = [0x100, 0x400].iter().filter(|flag| flags & **flag != 0).count().saturating_mul(8);
            Some(usize::from(name).saturating_add(32).saturating_add(more))
        }
        _ => None,
    }
}

/// The checksum of a header that has a comment in it.
fn without_comment(bytes: &[u8], at: usize, kind: u8, flags: u16) -> Option<u16> {
    let end = at.checked_add(own_size(bytes, at, kind, flags)?)?;
    let [low, high, ..] = crc32(bytes.get(at.checked_add(2)?..end)?).to_le_bytes();
    Some(u16::from_le_bytes([low, high]))
}

/// A comment as RAR 1.5 and 2 wrote it.
fn comment(block: &Block<'_>) -> Option<Entry> {
    let mut fields = Reader::new(block.fields);
    let (size, version, method) = (fields.u16()?, fields.u8()?, fields.u8()?);
    fields.skip(2)?;
    Some(Entry {
        role: Role::Comment,
        names: Vec::new(),
        data: block.next.checked_sub(fields.left())?..block.next,
        is_short: false,
        size: Some(size.into()),
        crc: None,
        blake: None,
        method: Method::of_old(version, method),
        is_solid: false,
        continues: false,
        is_continued: false,
        rest: Vec::new(),
        is_link: false,
        is_wide: false,
        lock: None,
    })
}

/// An encrypted header: whole blocks of the cipher, chained from the key's own start.
fn decrypt(bytes: &[u8], at: usize, cipher: &Cipher) -> Option<(Vec<u8>, usize)> {
    let mut first = bytes.get(at..at.checked_add(16)?)?.to_vec();
    cipher.decrypt(&mut first);
    let size = usize::from(Reader::at(&first, 5)?.u16()?).checked_next_multiple_of(16)?;
    let next = at.checked_add(size.max(16))?;
    let mut octets = bytes.get(at..next)?.to_vec();
    cipher.decrypt(&mut octets);
    Some((octets, next))
}

/// A file, a comment or a stream; `None` if it is neither, or broken.
fn entry(block: &Block<'_>, data: Range<usize>, is_short: bool) -> Option<Entry> {
    let mut fields = Reader::new(block.fields);
    fields.skip(4)?;
    let mut size = u64::from(fields.u32()?);
    fields.skip(1)?;
    let crc = fields.u32()?;
    fields.skip(4)?;
    let (version, method) = (fields.u8()?, fields.u8()?);
    let length = fields.u16()?;
    let attributes = fields.u32()?;
    if block.flags & 0x100 != 0 {
        fields.skip(4)?;
        size |= u64::from(fields.u32()?) << 32;
    }
    let name = fields.take(length.into())?;
    let role = match (block.kind, name) {
        (SERVICE, b"CMT") => Role::Comment,
        (SERVICE, b"STM") => Role::Stream,
        // Recovery records, rights.
        (SERVICE, _) => return None,
        _ if block.flags & 0xe0 == 0xe0 || version < 20 && attributes & 0x10 != 0 => Role::Folder,
        _ => Role::File,
    };
    let has_salt = block.flags & 0x400 != 0;
    // The name of a stream stands before the salt, in UTF-16.
    let names = if role == Role::Stream {
        let units = fields.take(fields.left().checked_sub(if has_salt { 8 } else { 0 })?)?.chunks_exact(2);
        let units: Vec<u16> = units.filter_map(|two| Some(u16::from_le_bytes(two.try_into().ok()?))).collect();
        vec![Name::plain(String::from_utf16_lossy(&units))]
    } else {
        name_of(name, block.flags & 0x200 != 0)
    };
    let salt = if has_salt { Some(fields.take(8)?.try_into().ok()?) } else { None };
    let lock = if version >= 29 { Lock::Four { salt } } else { Lock::Unknown };
    Some(Entry {
        role,
        names,
        data,
        is_short,
        // All ones: not known.
        size: (size != u64::MAX && size != u64::from(u32::MAX)).then_some(size),
        crc: Some(crc),
        blake: None,
        method: Method::of_old(version, method),
        is_solid: block.flags & 0x10 != 0,
        continues: block.flags & 1 != 0,
        is_continued: block.flags & 2 != 0,
        rest: Vec::new(),
        is_link: false,
        is_wide: attributes & 1 != 0,
        lock: (block.flags & 4 != 0).then_some(lock),
    })
}

/// The name: octets, or octets, a zero, and what makes UTF-16 of them; both are given where they differ.
fn name_of(raw: &[u8], is_unicode: bool) -> Vec<Name> {
    let mut halves = raw.splitn(2, |octet| *octet == 0);
    let octets = halves.next().unwrap_or_default();
    let plain = names::decode(octets, is_unicode);
    match halves.next().filter(|_| is_unicode) {
        Some(packed) => {
            let units = unpack(octets, packed);
            let name = Name::plain(String::from_utf16_lossy(&units).as_str());
            if name == plain { vec![plain] } else { vec![name, plain] }
        }
        None => vec![plain],
    }
}

/// Two bits for each step: an octet, an octet with the common high octet, two octets, or a run of the plain name.
fn unpack(plain: &[u8], packed: &[u8]) -> Vec<u16> {
    let mut units = Vec::new();
    let mut reader = Reader::new(packed);
    let Some(high) = reader.u8().map(|high| u16::from(high) << 8) else { return units };
    'all: while let Some(flags) = reader.u8() {
        for shift in [6_u32, 4, 2, 0] {
            let step = match flags >> shift & 3 {
                0 => reader.u8().map(u16::from),
                1 => reader.u8().map(|low| u16::from(low) | high),
                2 => reader.u16(),
                _ => {
                    let Some(length) = reader.u8() else { break 'all };
                    let more = if length & 0x80 == 0 { Some(None) } else { reader.u8().map(Some) };
                    let Some(more) = more else { break 'all };
                    let count = usize::from(length & 0x7f).saturating_add(2);
                    let run = plain.iter().skip(units.len()).take(count);
                    let run: Vec<u16> = match more {
                        Some(add) => run.map(|octet| u16::from(octet.wrapping_add(add)) | high).collect(),
                        None => run.map(|octet| u16::from(*octet)).collect(),
                    };
                    units.extend(run);
                    continue;
                }
            };
            let Some(unit) = step else { break 'all };
            units.push(unit);
        }
    }
    units
}
