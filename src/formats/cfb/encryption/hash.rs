//! The hashes that make a key of a password ([MS-OFFCRYPTO] 2.3.4.7, 2.3.4.11).

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::scan::Stop;

/// Rounds between two looks at whether the scan shall end: some milliseconds.
const ROUNDS_BETWEEN_LOOKS: u32 = 1 << 14;

/// A hash that Office names in documents ([MS-OFFCRYPTO] 2.3.4.10, HashAlgorithm) and that is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    Md5,
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    /// By its name in XML; with or without a hyphen.
    pub fn named(name: &str) -> Option<Self> {
        let name = name.to_ascii_uppercase().replace('-', "");
        Some(match name.as_str() {
            "MD5" => Self::Md5,
            "SHA1" => Self::Sha1,
            "SHA256" => Self::Sha256,
            "SHA384" => Self::Sha384,
            "SHA512" => Self::Sha512,
            _ => return None,
        })
    }

    /// The hash of these pieces, one behind the other.
    pub fn of(self, pieces: &[&[u8]]) -> Vec<u8> {
        match self {
            Self::Md5 => of::<Md5>(pieces),
            Self::Sha1 => of::<Sha1>(pieces),
            Self::Sha256 => of::<Sha256>(pieces),
            Self::Sha384 => of::<Sha384>(pieces),
            Self::Sha512 => of::<Sha512>(pieces),
        }
    }

    /// Salt and password, hashed `rounds` times with the round's number; `None` if the scan shall end.
    pub fn spun(self, salt: &[u8], password: &str, rounds: u32, stop: &Stop) -> Option<Vec<u8>> {
        match self {
            Self::Md5 => spun::<Md5>(salt, password, rounds, stop),
            Self::Sha1 => spun::<Sha1>(salt, password, rounds, stop),
            Self::Sha256 => spun::<Sha256>(salt, password, rounds, stop),
            Self::Sha384 => spun::<Sha384>(salt, password, rounds, stop),
            Self::Sha512 => spun::<Sha512>(salt, password, rounds, stop),
        }
    }
}

fn of<D: Digest>(pieces: &[&[u8]]) -> Vec<u8> {
    let mut digest = D::new();
    pieces.iter().for_each(|piece| digest.update(piece));
    digest.finalize().to_vec()
}

fn spun<D: Digest>(salt: &[u8], password: &str, rounds: u32, stop: &Stop) -> Option<Vec<u8>> {
    let mut hash = D::new().chain_update(salt).chain_update(utf16(password)).finalize();
    for round in 0..rounds {
        if round.is_multiple_of(ROUNDS_BETWEEN_LOOKS) && stop.stopped() {
            return None;
        }
        hash = D::new().chain_update(round.to_le_bytes()).chain_update(&hash).finalize();
    }
    Some(hash.to_vec())
}

/// A password as Office hashes it.
pub fn utf16(password: &str) -> Vec<u8> {
    password.encode_utf16().flat_map(u16::to_le_bytes).collect()
}
