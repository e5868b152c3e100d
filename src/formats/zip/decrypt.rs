//! Encrypted members: ZipCrypto (APPNOTE 6.1) and WinZip's AES (appendix E), by the `zip` crate.
//!
//! The crate reads archives by their directory only. A member is therefore handed to it as an
//! archive of its own, made from the records that were found: so an odd archive hides nothing.

use std::io::Cursor;

use bytes::Bytes;
use zip::ZipArchive;
use zip::read::ZipReadOptions;

use super::members::Member;
use super::records::{AES, ENCRYPTED};
use super::unpack::{self, Packed};
use crate::formats::container::{Content, bounded};
use crate::scan::Scan;

/// APPNOTE 4.4.5: not compressed.
const STORED: u16 = 0;
/// General purpose bit 3: checksum and sizes follow the data; ZipCrypto then checks by time.
const DESCRIPTOR: u16 = 1 << 3;
/// Tries for one archive. AES derives a key for each (1000 rounds, about a millisecond), and an
/// archive has one password: what does not open its first member will not open more.
const MAX_TRIES: usize = 320;

/// The passwords of one archive.
#[derive(Debug, Default)]
pub struct Passwords {
    /// The one that opened a member before.
    fits: Option<Vec<u8>>,
    tries: usize,
}

impl Passwords {
    /// The content of `member`, if one of the scan's passwords opens it.
    pub fn open(&mut self, archive: &Bytes, member: &Member, scan: &mut Scan) -> Option<Content> {
        let packed = archive.get(member.data.clone())?;
        let checks = if member.flags & DESCRIPTOR == 0 { &[false][..] } else { &[false, true] };
        let alone: Vec<_> = checks.iter().filter_map(|by_time| archive_of_one(member, packed, *by_time)).collect();
        let known = self.fits.iter().cloned();
        let texts = scan.passwords().iter().chain(scan.guesses());
        let passwords: Vec<_> = known.chain(texts.flat_map(|text| encodings(text))).collect();
        for password in passwords {
            for bytes in &alone {
                if self.tries >= MAX_TRIES && self.fits.as_ref() != Some(&password) {
                    scan.cut_passwords();
                    return None;
                }
                self.tries = self.tries.saturating_add(1);
                match decrypt(bytes, &password, member, scan.room()) {
                    None => {}
                    // One password in 256 passes ZipCrypto's check; what follows is noise, and work.
                    Some(Content::Damaged(noise)) => scan.spend(noise.len() as u64),
                    Some(content) => {
                        self.fits = Some(password);
                        return Some(content);
                    }
                }
            }
        }
        None
    }
}

/// The octets a packer would have made of a password: UTF-8, and CP932 in Japan.
fn encodings(password: &str) -> Vec<Vec<u8>> {
    let utf8 = password.as_bytes().to_vec();
    let (japanese, _, unmappable) = encoding_rs::SHIFT_JIS.encode(password);
    if unmappable || japanese.as_ref() == utf8 { vec![utf8] } else { vec![utf8, japanese.into_owned()] }
}

fn decrypt(alone: &[u8], password: &[u8], member: &Member, room: u64) -> Option<Content> {
    let mut archive = ZipArchive::new(Cursor::new(alone)).ok()?;
    let options = ZipReadOptions::new().password(Some(password)).ignore_crc32(true);
    let file = archive.by_index_with_options(0, options).ok()?;
    // The code of AES is behind the data, and checked by the crate at its end.
    let octets = match bounded(file, member.data.len() as u64, member.data.len() as u64) {
        Content::Whole(octets) => octets,
        other => return Some(other),
    };
    let method = if member.aes.is_some() { aes_method(member) } else { member.methods.first().copied() }?;
    let content =
        unpack::unpack_octets(Packed { octets: &octets, size: member.size, flags: member.flags }, method, room);
    // AES proves itself, and its newer kind leaves the checksum out.
    Some(unpack::proven(content, member.crc.filter(|_| member.aes.is_none())))
}

/// The method below AES, which stands at the end of its extra field.
fn aes_method(member: &Member) -> Option<u16> {
    let end = member.aes.as_ref()?.last_chunk::<2>()?;
    Some(u16::from_le_bytes(*end))
}

/// An archive with this member only.
fn archive_of_one(member: &Member, packed: &[u8], by_time: bool) -> Option<Vec<u8>> {
    // Only decrypted by the crate: unpacked here, by all methods.
    let method = if member.aes.is_some() { AES } else { STORED };
    let flags = ENCRYPTED | if by_time { DESCRIPTOR } else { 0 };
    let extra: Vec<u8> = member.aes.iter().filter_map(|aes| extra_field(aes)).flatten().collect();
    let mut fields = Vec::new();
    fields.extend(51u16.to_le_bytes());
    fields.extend(flags.to_le_bytes());
    fields.extend(method.to_le_bytes());
    fields.extend(member.time.to_le_bytes());
    fields.extend(member.crc.unwrap_or_default().to_le_bytes());
    fields.extend(u32::try_from(packed.len()).ok()?.to_le_bytes());
    // The largest, since the crate refuses more than is claimed.
    fields.extend((u32::MAX - 1).to_le_bytes());
    fields.extend(1u16.to_le_bytes());
    fields.extend(u16::try_from(extra.len()).ok()?.to_le_bytes());

    let mut out = Vec::with_capacity(packed.len().saturating_add(256));
    out.extend(b"PK\x03\x04");
    out.extend(&fields);
    out.push(b'x');
    out.extend(&extra);
    out.extend(packed);
    let directory = u32::try_from(out.len()).ok()?;
    out.extend(b"PK\x01\x02\x33\0");
    out.extend(&fields);
    // Comment, disk, attributes, and the local header's offset: all zero.
    out.extend([0; 14]);
    out.push(b'x');
    out.extend(&extra);
    let size = u32::try_from(out.len()).ok()?.saturating_sub(directory);
    out.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    out.extend(size.to_le_bytes());
    out.extend(directory.to_le_bytes());
    out.extend([0; 2]);
    Some(out)
}

/// The extra field of AES, with the data below stored as it is.
fn extra_field(aes: &[u8]) -> Option<Vec<u8>> {
    let size = u16::try_from(aes.len()).ok()?;
    let about = aes.get(..aes.len().checked_sub(2)?)?;
    Some([&0x9901_u16.to_le_bytes()[..], &size.to_le_bytes(), about, &STORED.to_le_bytes()].concat())
}
