//! Headers and keys of RAR 5.

use sha2::{Digest, Sha256};

use super::{Piece, Proof, Written, crc32};
use crate::common::encrypt::cbc;

/// How archives begin.
pub const SIGNATURE: &[u8] = b"Rar!\x1a\x07\x01\0";
/// Rounds of hashing as a power of two: RAR takes 15.
const POWER: u8 = 5;
const SALT: [u8; 16] = *b"salt of sixteen.";
const START: [u8; 16] = *b"start of a chain";

/// One volume of so many.
pub fn volume(pieces: &[Piece<'_>], number: usize, count: usize, how: &Written<'_>) -> Vec<u8> {
    let (is_volume, is_last) = (count > 1, number + 1 == count);
    let keys = how.password.map(keys);
    let seal = |header: Vec<u8>| match &keys {
        Some(keys) if how.hidden => [&START[..], &cbc(&keys.key, &START, &header)].concat(),
        _ => header,
    };
    let mut out = SIGNATURE.to_vec();
    if let (Some(keys), true) = (&keys, how.hidden) {
        out.extend(header(&[&[4, 0, 0, 1, POWER][..], &SALT, &check(keys)].concat()));
    }
    // Volumes are told by a flag, and by their number behind the first.
    let main = match (is_volume, number) {
        (false, _) => vec![1, 0, 4 * u8::from(how.solid)],
        (true, 0) => vec![1, 0, 1],
        (true, _) => [vec![1, 0, 3], vint(number)].concat(),
    };
    out.extend(seal(header(&main)));
    for piece in pieces {
        out.extend(seal(header(&file(piece, how, keys.as_ref()))));
        out.extend(piece.octets);
    }
    out.extend(seal(header(&[5, 0, u8::from(!is_last)])));
    out
}

fn file(piece: &Piece<'_>, how: &Written<'_>, keys: Option<&Keys>) -> Vec<u8> {
    let mut extra = Vec::new();
    let mut record = |octets: &[u8]| extra.extend([vint(octets.len()), octets.to_vec()].concat());
    if let Some(keys) = keys {
        let flags = u8::from(how.check) | 2;
        let check = if how.check { check(keys) } else { Vec::new() };
        record(&[&[1, 0, flags, POWER][..], &SALT, &START, &check].concat());
    }
    if let Proof::Blake(hash) = how.proof {
        let hash = keys.map_or(hash, |keys| hmac(&keys.hash, &hash));
        record(&[&[2, 0][..], &hash].concat());
    }
    if let Some(data) = piece.member.service.filter(|data| !data.is_empty()) {
        record(&[&[7][..], data.as_bytes()].concat());
    }
    let kind = if piece.member.service.is_some() { 3 } else { 2 };
    let flags = u8::from(!extra.is_empty()) | 2 | u8::from(piece.continues) << 3 | u8::from(piece.is_continued) << 4;
    let is_packed = how.packed || piece.member.packed.is_some();
    // Version 0, solid, method 3, dictionary.
    let is_solid = usize::from(how.solid && piece.number > 0) << 6;
    let how_packed = if is_packed { is_solid | 3 << 7 | how.dictionary << 10 } else { 0 };
    let mut out = vec![kind, flags];
    if !extra.is_empty() {
        out.extend(vint(extra.len()));
    }
    out.extend(vint(piece.octets.len()));
    let has_crc = how.proof == Proof::Crc;
    out.extend(vint(4 * usize::from(has_crc)));
    out.extend(vint(piece.size));
    out.push(0x20);
    if has_crc {
        let crc = keys.filter(|_| !piece.is_continued).map_or(piece.crc, |keys| keys.tweaked(piece.crc));
        out.extend(crc.to_le_bytes());
    }
    out.extend(vint(how_packed));
    // Made on Windows.
    out.push(0);
    out.extend(vint(piece.member.name.len()));
    out.extend(piece.member.name.as_bytes());
    out.extend(extra);
    out
}

/// Octets, encrypted.
pub fn lock(password: &str, octets: &[u8]) -> Vec<u8> {
    cbc(&keys(password).key, &START, octets)
}

struct Keys {
    key: [u8; 32],
    hash: [u8; 32],
    check: [u8; 32],
}

impl Keys {
    /// The checksum, so that it says nothing without the key.
    fn tweaked(&self, crc: u32) -> u32 {
        let digest = hmac(&self.hash, &crc.to_le_bytes());
        digest.chunks(4).fold(0, |sum, word| sum ^ u32::from_le_bytes(word.try_into().unwrap()))
    }
}

/// Eight octets that depend on the password, and four that prove them.
fn check(keys: &Keys) -> Vec<u8> {
    let mut check = [0; 8];
    keys.check.iter().enumerate().for_each(|(at, octet)| check[at % 8] ^= octet);
    [&check[..], &Sha256::digest(check)[..4]].concat()
}

/// PBKDF2, which goes on for 16 rounds twice.
fn keys(password: &str) -> Keys {
    let mut last = hmac(password.as_bytes(), &[&SALT[..], &[0, 0, 0, 1]].concat());
    let mut sum = last;
    let mut go_on = |rounds: usize| {
        for _ in 0..rounds {
            last = hmac(password.as_bytes(), &last);
            sum.iter_mut().zip(last).for_each(|(octet, other)| *octet ^= other);
        }
        sum
    };
    Keys { key: go_on((1 << POWER) - 1), hash: go_on(16), check: go_on(16) }
}

fn hmac(key: &[u8], octets: &[u8]) -> [u8; 32] {
    let pad = |pad: u8| {
        let mut block = [pad; 64];
        block.iter_mut().zip(key).for_each(|(octet, key)| *octet ^= key);
        block
    };
    let inner = Sha256::digest([&pad(0x36)[..], octets].concat());
    Sha256::digest([&pad(0x5c)[..], &inner].concat()).into()
}

/// A number: seven bits an octet, the low ones first.
fn vint(mut number: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while number > 0x7f {
        out.push(0x80 | (number & 0x7f) as u8);
        number >>= 7;
    }
    out.push(number as u8);
    out
}

fn header(fields: &[u8]) -> Vec<u8> {
    let sized = [vint(fields.len()), fields.to_vec()].concat();
    [&crc32(&sized).to_le_bytes()[..], &sized].concat()
}
