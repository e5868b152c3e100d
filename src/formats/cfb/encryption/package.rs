//! Encrypted packages ([MS-OFFCRYPTO] 2.3.4): a ZIP in the stream EncryptedPackage.

use super::aes::BLOCK;
use super::agile;
use super::crypto_api;
use super::{CompoundFile, Key, Lock, Scheme, Trouble};
use crate::reader::Reader;

/// The stream of the package.
pub const STREAM: &str = "EncryptedPackage";
/// The stream of a binary document under rights management (2.2).
const RIGHTS_MANAGED: &str = "\u{9}DRMContent";
/// Octets of EncryptionInfo that are read: Office writes two thousand, certificates add some.
const MAX_INFO: u64 = 64 << 10;
/// The size of the package, before it.
const SIZE_FIELD: usize = 8;

/// How the package in `file` is encrypted, if there is one.
pub fn lock(file: &CompoundFile<'_>) -> Option<Lock> {
    [STREAM, RIGHTS_MANAGED].iter().find_map(|name| file.stream(None, name))?;
    // A server has the key of what has no description.
    let Some(info) = file.stream(None, "EncryptionInfo") else { return Some(Lock::Unreadable) };
    let info = file.read(info, MAX_INFO);
    let mut reader = Reader::new(&info);
    let version = (reader.u16(), reader.u16());
    let scheme = match version {
        (Some(4), Some(4)) => reader.skip(4).ok_or(Trouble::Unreadable).and_then(|()| {
            let info = agile::Info::read(reader.rest())?;
            Ok(Scheme::Agile(info))
        }),
        (Some(2..=4), Some(2)) => crypto_api::Info::read_standard(reader.rest()).map(Scheme::Standard),
        // 2.3.4.6: by a program of another maker, which the reader must have as well.
        _ => Err(Trouble::Unreadable),
    };
    Some(scheme.into())
}

/// The package.
pub fn decrypted(stream: &[u8], key: &Key) -> Option<Vec<u8>> {
    let size = Reader::new(stream).u64()?;
    let mut package = stream.get(SIZE_FIELD..)?.to_vec();
    match key {
        Key::Agile(key) => key.decrypt(&mut package),
        Key::Standard(key) => key.ecb(&mut package),
        Key::Rc4(_) | Key::Xor(_) => return None,
    }
    // The size leaves out what fills up the last block. One that leaves out more would hide something.
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if package.len().checked_sub(size).is_some_and(|rest| rest < BLOCK) {
        package.truncate(size);
    }
    Some(package)
}
