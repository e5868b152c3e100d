//! Encrypted Word documents ([MS-DOC] 2.2.6): the streams of document, table and data, whole but for the
//! beginning of the FIB. Macros and embedded objects are never encrypted.

use super::rc4;
use super::xor;
use super::{CompoundFile, Key, Lock, Scheme, Trouble};
use crate::reader::Reader;

/// What is encrypted: the document, its table in one of two streams, and data.
pub const STREAMS: [&str; 4] = ["WordDocument", "0Table", "1Table", "Data"];
/// Octets of the document stream that stay as they are; of Word 6 and 95 fewer.
const PLAIN: usize = 68;
const PLAIN_WORD_95: usize = 52;
/// Octets for which RC4 has one key.
const BLOCK: usize = 512;
/// Octets of the table stream in which the header of the encryption may be: Office writes 200.
const MAX_HEADER: u64 = 4096;

/// [MS-DOC] 2.5.2: fEncrypted, fWhichTblStm, fObfuscated.
const ENCRYPTED: u16 = 0x0100;
const TABLE_1: u16 = 0x0200;
const OBFUSCATED: u16 = 0x8000;

/// The start of the FIB ([MS-DOC] 2.5.2).
struct Fib {
    is_word_95: bool,
    flags: u16,
    key: u32,
}

impl Fib {
    fn read(document: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(document);
        let is_word_95 = match reader.u16()? {
            0xA5EC => false,
            0xA5DC => true,
            _ => return None,
        };
        reader.skip(8)?;
        let flags = reader.u16()?;
        reader.skip(2)?;
        Some(Self { is_word_95, flags, key: reader.u32()? })
    }

    fn table(&self) -> &'static str {
        if self.flags & TABLE_1 != 0 { "1Table" } else { "0Table" }
    }
}

/// How the document in `file` is encrypted, if it is.
pub fn lock(file: &CompoundFile<'_>) -> Option<Lock> {
    let document = file.read(file.stream(None, "WordDocument")?, 64);
    let fib = Fib::read(&document).filter(|fib| fib.flags & ENCRYPTED != 0)?;
    let scheme = if fib.is_word_95 || fib.flags & OBFUSCATED != 0 {
        // [MS-OFFCRYPTO] 2.3.7.4: the key above, the verifier below.
        let [a, b, c, d] = fib.key.to_le_bytes();
        Ok(Scheme::Xor(xor::Info { key: u16::from_le_bytes([c, d]), verifier: u16::from_le_bytes([a, b]) }))
    } else {
        let table = file.stream(None, fib.table()).map(|table| file.read(table, u64::from(fib.key).min(MAX_HEADER)));
        table.ok_or(Trouble::Unreadable).and_then(|table| rc4::Info::read(&table)).map(Scheme::Rc4)
    };
    Some(scheme.into())
}

/// The streams decrypted, each with its name.
pub fn decrypted(file: &CompoundFile<'_>, key: &Key, room: u64) -> Vec<(&'static str, Vec<u8>)> {
    let read = |name| file.stream(None, name).map(|stream| file.read(stream, room).into_owned());
    let Some(mut document) = read("WordDocument") else { return Vec::new() };
    let Some(fib) = Fib::read(&document) else { return Vec::new() };
    let plain = if fib.is_word_95 { PLAIN_WORD_95 } else { PLAIN };
    let head: Vec<u8> = document.iter().copied().take(plain).collect();
    decrypt(&mut document, key);
    document.iter_mut().zip(head).for_each(|(octet, plain)| *octet = plain);
    if let Some(flags) = document.get_mut(10..12) {
        flags.copy_from_slice(&(fib.flags & !ENCRYPTED & !OBFUSCATED).to_le_bytes());
    }
    let mut streams = vec![("WordDocument", document)];
    for name in [fib.table(), "Data"] {
        if let Some(mut stream) = read(name) {
            decrypt(&mut stream, key);
            streams.push((name, stream));
        }
    }
    streams
}

fn decrypt(octets: &mut [u8], key: &Key) {
    match key {
        Key::Rc4(key) => key.apply(octets, BLOCK),
        Key::Xor(key) => {
            for (octet, place) in octets.iter_mut().zip(0..) {
                // [MS-OFFCRYPTO] 2.3.7.6: what would become zero stays as it is, and so does zero.
                if *octet != 0 && *octet != key.at(place) {
                    *octet ^= key.at(place);
                }
            }
        }
        Key::Agile(_) | Key::Standard(_) => {}
    }
}
