//! Encrypted presentations ([MS-PPT] 2.3.7): each object of the document stream, with its number as the block of
//! the key. Pictures and properties stay as they are.

use std::collections::{BTreeMap, HashSet};

use super::rc4;
use super::{CompoundFile, Lock, Scheme, Trouble};
use crate::reader::Reader;

/// [MS-PPT] 2.3.2: headerToken of an encrypted presentation.
const ENCRYPTED: u32 = 0xF3D1_C4DF;
/// [MS-PPT] 2.13.24: record types.
const USER_EDIT: u16 = 0x0FF5;
const PERSIST_DIRECTORY: u16 = 0x1772;
const CRYPT_SESSION: u16 = 0x2F14;
const RECORD_HEADER: usize = 8;
/// Octets that are decrypted, and those of directories that are read, in sizes of the stream: neither objects nor
/// directories overlap.
const MOST: usize = 2;
/// Objects that are decrypted: each takes two keys, and a presentation of a thousand slides has some thousands.
const MAX_OBJECTS: usize = 100_000;

/// The stream of the presentation.
pub const STREAM: &str = "PowerPoint Document";

/// How the presentation in `file` is encrypted, if it is.
pub fn lock(file: &CompoundFile<'_>, room: u64) -> Option<Lock> {
    let user = file.read(file.stream(None, "Current User")?, 64);
    let mut reader = Reader::at(&user, 12)?;
    if reader.u32()? != ENCRYPTED {
        return None;
    }
    let last_edit = reader.u32()?;
    let stream = file.stream(None, STREAM).map(|stream| file.read(stream, room)).unwrap_or_default();
    let info = session(&stream, last_edit).ok_or(Trouble::Unreadable);
    Some(info.and_then(|session| rc4::Info::read(session).map(|info| Scheme::Presentation(info, last_edit))).into())
}

/// How it is encrypted ([MS-PPT] 2.3.7, CryptSession10Container).
fn session(stream: &[u8], last_edit: u32) -> Option<&[u8]> {
    let (objects, session) = objects(stream, last_edit);
    let offset = *objects.get(&session?)?;
    let mut reader = Reader::at(stream, offset)?;
    let size = record(&mut reader, CRYPT_SESSION)?;
    reader.take(size.min(reader.left()))
}

/// The stream with its objects decrypted, and whether there are more than are looked at.
pub fn decrypted(stream: &[u8], key: &rc4::Key, last_edit: u32) -> (Vec<u8>, bool) {
    let mut open = stream.to_vec();
    let (objects, session) = objects(stream, last_edit);
    let is_cut = objects.len() > MAX_OBJECTS;
    let mut left = stream.len().saturating_mul(MOST);
    let objects = objects.into_iter().filter(|(number, _)| Some(*number) != session);
    for (number, offset) in objects.take(MAX_OBJECTS) {
        let mut header: Vec<u8> = stream.iter().skip(offset).take(RECORD_HEADER).copied().collect();
        // What may not be encrypted is not, although it has a number.
        let kind = Reader::at(&header, 2).and_then(|mut reader| reader.u16());
        if kind.is_none_or(|kind| matches!(kind, USER_EDIT | PERSIST_DIRECTORY)) {
            continue;
        }
        key.cipher(number).apply(&mut header);
        let size = Reader::at(&header, 4).and_then(|mut reader| reader.u32()).unwrap_or_default();
        let size = RECORD_HEADER.saturating_add(size as usize).min(left);
        let end = offset.saturating_add(size).min(stream.len());
        if let Some(content) = open.get_mut(offset..end) {
            left = left.saturating_sub(content.len());
            key.cipher(number).apply(content);
        }
    }
    (open, is_cut || left == 0)
}

/// The offset of each object by its number ([MS-PPT] 2.3.4), and the number of the one that tells how the others
/// are encrypted. The last edit comes first, and what it says holds.
fn objects(stream: &[u8], last_edit: u32) -> (BTreeMap<u32, usize>, Option<u32>) {
    let (mut objects, mut session) = (BTreeMap::new(), None);
    let mut seen = HashSet::new();
    let mut next = last_edit;
    let mut left = stream.len().saturating_mul(MOST);
    while seen.insert(next) {
        let Some((before, directory, number)) = edit(stream, next) else { break };
        session = session.or(number);
        if seen.insert(directory) {
            list(stream, directory, &mut left, &mut objects);
        }
        next = before;
    }
    (objects, session)
}

/// An edit ([MS-PPT] 2.3.3): where the one before it and its directory stand, and the number of the session.
fn edit(stream: &[u8], offset: u32) -> Option<(u32, u32, Option<u32>)> {
    let mut reader = Reader::at(stream, offset as usize)?;
    record(&mut reader, USER_EDIT)?;
    reader.skip(8)?; // last slide, version
    let (before, directory) = (reader.u32()?, reader.u32()?);
    reader.skip(12)?; // document, seed, view
    Some((before, directory, reader.u32()))
}

/// A directory of objects ([MS-PPT] 2.3.4, 2.3.5): runs of numbers with their offsets.
fn list(stream: &[u8], offset: u32, left: &mut usize, objects: &mut BTreeMap<u32, usize>) -> Option<()> {
    let mut reader = Reader::at(stream, offset as usize)?;
    let size = record(&mut reader, PERSIST_DIRECTORY)?.min(reader.left()).min(*left);
    *left = left.saturating_sub(size);
    let mut reader = Reader::new(reader.take(size)?);
    loop {
        let run = reader.u32()?;
        let (first, count) = (run & 0xF_FFFF, run >> 20);
        for number in (first..).take(count as usize) {
            objects.entry(number).or_insert(reader.u32()? as usize);
        }
    }
}

/// The size of the record that begins here, if it is of this type.
fn record(reader: &mut Reader<'_>, kind: u16) -> Option<usize> {
    reader.skip(2)?;
    (reader.u16()? == kind).then_some(())?;
    Some(reader.u32()? as usize)
}
