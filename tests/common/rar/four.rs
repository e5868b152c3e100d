//! Headers and keys of RAR 3 and 4.

use sha1::{Digest, Sha1};

use super::{Piece, Written, crc32};
use crate::common::encrypt::cbc;
use crate::common::ovba::utf16;

const SIGNATURE: &[u8] = b"Rar!\x1a\x07\0";
const SALT: [u8; 8] = *b"of eight";

/// One volume of so many.
pub fn volume(pieces: &[Piece<'_>], number: usize, count: usize, how: &Written<'_>) -> Vec<u8> {
    let (is_volume, is_last) = (count > 1, number + 1 == count);
    let seal = |header: Vec<u8>| match how.password.filter(|_| how.hidden) {
        Some(password) => [&SALT[..], &lock(password, &header)].concat(),
        None => header,
    };
    let flags = [
        (is_volume, 1),
        (how.solid, 8),
        // `NAME.rar`, `NAME.r00`: not the new names.
        (how.hidden, 0x80),
        (is_volume && number == 0, 0x100),
    ];
    let flags = flags.iter().fold(0, |sum, (is_set, flag)| sum | if *is_set { *flag } else { 0 });
    let mut out = [SIGNATURE, &block(0x73, flags, &[0; 6])].concat();
    for piece in pieces {
        out.extend(seal(file(piece, how)));
        out.extend(piece.octets);
    }
    let flags = 0x4000 | u16::from(!is_last);
    out.extend(seal(block(0x7b, flags, &[])));
    out
}

fn file(piece: &Piece<'_>, how: &Written<'_>) -> Vec<u8> {
    let mut flags = 0x8000 | u16::from(piece.continues) | u16::from(piece.is_continued) << 1;
    let mut salt = &SALT[..];
    if how.password.is_some() {
        flags |= 0x404;
    } else {
        salt = &[];
    }
    if how.solid && piece.number > 0 {
        flags |= 0x10;
    }
    let is_packed = how.packed || piece.member.packed.is_some();
    let (version, method) = if is_packed { (how.unpack, 0x33) } else { (20, 0x30) };
    let version = if how.password.is_some() { how.unpack } else { version };
    let name = piece.member.name.as_bytes();
    let is_comment = name == b"CMT";
    let service = piece.member.service.unwrap_or_default();
    let data = if is_comment { Vec::new() } else { utf16(service) };
    let attributes = if is_comment { u8::from(!service.is_empty()) } else { 32 };
    let fields = [
        &(piece.octets.len() as u32).to_le_bytes()[..],
        &(piece.size as u32).to_le_bytes(),
        // Windows.
        &[2],
        &piece.crc.to_le_bytes(),
        &[0, 0, 0x21, 0x5b],
        &[version, method],
        &(name.len() as u16).to_le_bytes(),
        &[attributes, 0, 0, 0],
        name,
        &data,
        salt,
    ];
    block(if piece.member.service.is_some() { 0x7a } else { 0x74 }, flags, &fields.concat())
}

fn block(kind: u8, flags: u16, fields: &[u8]) -> Vec<u8> {
    let size = (7 + fields.len()) as u16;
    let body = [&[kind][..], &flags.to_le_bytes(), &size.to_le_bytes(), fields].concat();
    [&(crc32(&body) as u16).to_le_bytes()[..], &body].concat()
}

/// A comment in the archive's header, which the checksum of that leaves out.
pub fn with_old_comment(archive: &[u8], text: &[u8]) -> Vec<u8> {
    let size = (text.len() as u16).to_le_bytes();
    let comment = block(0x75, 0, &[&size[..], &[20, 0x30, 0, 0], text].concat());
    let length = (13 + comment.len() as u16).to_le_bytes();
    let main = [&[0x73, 2, 0][..], &length, &[0; 6]].concat();
    let crc = (crc32(&main) as u16).to_le_bytes();
    [SIGNATURE, &crc, &main, &comment, &archive[SIGNATURE.len() + 13..]].concat()
}

/// Octets, encrypted.
pub fn lock(password: &str, octets: &[u8]) -> Vec<u8> {
    let seed = [utf16(password), SALT.to_vec()].concat();
    let (mut hash, mut start) = (Sha1::new(), Vec::new());
    for round in 0..0x4_0000_u32 {
        hash.update(&seed);
        hash.update(&round.to_le_bytes()[..3]);
        if round % 0x4000 == 0 {
            start.push(hash.clone().finalize()[19]);
        }
    }
    let digest = hash.finalize();
    let key: Vec<u8> = digest[..16].chunks(4).flat_map(|word| word.iter().rev().copied()).collect();
    cbc(&key, &start, octets)
}
