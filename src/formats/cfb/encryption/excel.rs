//! Encrypted workbooks ([MS-XLS] 2.2.10): the content of most records of the Workbook stream.

use super::rc4;
use super::xor;
use super::{CompoundFile, Key, Lock, Scheme, Trouble};
use crate::reader::Reader;

/// Where FILEPASS is looked for: it is among the first records.
const HEAD: u64 = 64 << 10;
/// Octets for which RC4 has one key.
const BLOCK: usize = 1024;

/// [MS-XLS] 2.3.1.
const END_OF_SUBSTREAM: u16 = 0x000A;
const FILE_PASS: u16 = 0x002F;
const BOUND_SHEET: u16 = 0x0085;
/// Records that stay as they are: BOF, FilePass, InterfaceHdr, RRDHead, UsrExcl, FileLock, RRDInfo; and BOF of Excel 4 and before.
const PLAIN: [u16; 10] = [0x0009, 0x0209, 0x0409, 0x0809, FILE_PASS, 0x00E1, 0x0138, 0x0194, 0x0195, 0x0196];

/// The name of the stream of the workbook: Excel 97 and later, Excel 5.
pub const STREAMS: [&str; 2] = ["Workbook", "Book"];

/// How the workbook in the stream `name` is encrypted, if it is ([MS-XLS] 2.4.117).
pub fn lock(file: &CompoundFile<'_>, name: &str) -> Option<Lock> {
    let head = file.read(file.stream(None, name)?, HEAD);
    let records = records(&head).take_while(|(id, ..)| *id != END_OF_SUBSTREAM);
    let (_, start, size) = records.into_iter().find(|(id, ..)| *id == FILE_PASS)?;
    let content = head.get(start..start.saturating_add(size)).unwrap_or_default();
    let mut reader = Reader::new(content);
    // Excel 5 has no other way, and does not name it.
    let kind = if size == 4 { Some(0) } else { reader.u16() };
    let scheme = match kind {
        Some(0) => xor(&mut reader).ok_or(Trouble::Unreadable),
        Some(1) => rc4::Info::read(reader.rest()).map(Scheme::Rc4),
        _ => Err(Trouble::Unreadable),
    };
    Some(scheme.into())
}

fn xor(reader: &mut Reader<'_>) -> Option<Scheme> {
    Some(Scheme::Xor(xor::Info { key: reader.u16()?, verifier: reader.u16()? }))
}

/// The stream with its records decrypted. FILEPASS becomes a record that means nothing.
pub fn decrypted(stream: &[u8], key: &Key) -> Option<Vec<u8>> {
    let mut open = stream.to_vec();
    let mut decrypted = Vec::new();
    if let Key::Rc4(key) = key {
        // The key goes on through what is not encrypted.
        decrypted = stream.to_vec();
        key.apply(&mut decrypted, BLOCK);
    }
    for (id, start, size) in records(stream) {
        if id == FILE_PASS {
            open.get_mut(start.saturating_sub(4)..start.saturating_sub(2))?.fill(0);
        }
        if PLAIN.contains(&id) {
            continue;
        }
        // The place of its substream ([MS-XLS] 2.4.28) is told in the open.
        let plain = if id == BOUND_SHEET { size.min(4) } else { 0 };
        let (from, to) = (start.saturating_add(plain), start.saturating_add(size));
        let content = open.get_mut(from..to)?;
        match key {
            Key::Rc4(_) => content.copy_from_slice(decrypted.get(from..to)?),
            Key::Xor(key) => {
                for (octet, place) in content.iter_mut().zip(from.saturating_add(size)..) {
                    *octet = (*octet ^ key.at(place)).rotate_right(5);
                }
            }
            Key::Agile(_) | Key::Standard(_) => return None,
        }
    }
    Some(open)
}

/// Each record: what it is, where its content starts, and how long that is.
fn records(stream: &[u8]) -> impl Iterator<Item = (u16, usize, usize)> {
    let mut reader = Reader::new(stream);
    std::iter::from_fn(move || {
        let (id, size) = (reader.u16()?, usize::from(reader.u16()?).min(reader.left()));
        let start = reader.position();
        reader.skip(size)?;
        Some((id, start, size))
    })
}
