//! RC4 as Office 97 to 2003 encrypt with it: the key of Office 97 ([MS-OFFCRYPTO] 2.3.6) and that of
//! CryptoAPI (2.3.5). Either makes another key for each block of a stream.

use super::crypto_api;
use super::hash::{Hash, utf16};
use super::{Read, Trouble};
use crate::reader::Reader;

/// The cipher (RFC 6229 has vectors). It keeps no secret here: whoever reads the mail has the password, too.
pub struct Rc4 {
    state: [u8; 256],
    i: u8,
    j: u8,
}

impl Rc4 {
    /// With this key.
    pub fn new(key: &[u8]) -> Self {
        let mut cipher = Self { state: [0; 256], i: 0, j: 0 };
        cipher.state.iter_mut().zip(0..=255).for_each(|(octet, n)| *octet = n);
        for (i, key) in (0..=255).zip(key.iter().cycle()) {
            cipher.j = cipher.j.wrapping_add(cipher.at(i)).wrapping_add(*key);
            cipher.state.swap(usize::from(i), usize::from(cipher.j));
        }
        cipher.j = 0;
        cipher
    }

    fn at(&self, index: u8) -> u8 {
        self.state.get(usize::from(index)).copied().unwrap_or_default()
    }

    /// Encrypts or decrypts what comes next.
    pub fn apply(&mut self, octets: &mut [u8]) {
        for octet in octets {
            self.i = self.i.wrapping_add(1);
            self.j = self.j.wrapping_add(self.at(self.i));
            self.state.swap(usize::from(self.i), usize::from(self.j));
            *octet ^= self.at(self.at(self.i).wrapping_add(self.at(self.j)));
        }
    }
}

/// How a document is encrypted.
pub struct Info {
    kind: Kind,
    salt: Vec<u8>,
    verifier: Vec<u8>,
    verifier_hash: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Kind {
    /// MD5, 40 bits.
    Office97,
    /// SHA-1 and as many octets of the key.
    CryptoApi(usize),
}

/// What decrypts the streams of a document.
pub struct Key {
    kind: Kind,
    secret: Vec<u8>,
}

impl Info {
    /// Reads the structure from its version on.
    pub fn read(octets: &[u8]) -> Read<Self> {
        let mut reader = Reader::new(octets);
        let version = (reader.u16(), reader.u16());
        match version {
            (Some(1), Some(1)) => {
                let mut field = || reader.take(16).map(<[u8]>::to_vec).ok_or(Trouble::Unreadable);
                let (salt, verifier, verifier_hash) = (field()?, field()?, field()?);
                Ok(Self { kind: Kind::Office97, salt, verifier, verifier_hash })
            }
            (Some(2..=4), Some(2)) => {
                let info = crypto_api::Info::read(reader.rest()).ok_or(Trouble::Unreadable)?;
                // 2.3.5.1: none means 40.
                let bits = if info.bits == 0 { 40 } else { info.bits };
                let is_known = info.algorithm == crypto_api::RC4 && (40..=128).contains(&bits);
                if !is_known {
                    return Err(Trouble::Unknown(format!("algorithm 0x{:04X}, {bits} bits", info.algorithm)));
                }
                let mut verifier_hash = info.verifier_hash;
                verifier_hash.truncate(20);
                let kind = Kind::CryptoApi(bits as usize / 8);
                Ok(Self { kind, salt: info.salt, verifier: info.verifier, verifier_hash })
            }
            _ => Err(Trouble::Unreadable),
        }
    }

    /// What `password` leads to, if it is the right one (2.3.5.6, 2.3.6.4).
    pub fn key(&self, password: &str) -> Option<Key> {
        let password = utf16(password);
        let (hash, secret) = match self.kind {
            Kind::Office97 => {
                let mut short = Hash::Md5.of(&[&password]);
                short.truncate(5);
                let mut secret = Hash::Md5.of(&[[short.as_slice(), &self.salt]; 16].concat());
                secret.truncate(5);
                (Hash::Md5, secret)
            }
            Kind::CryptoApi(_) => (Hash::Sha1, Hash::Sha1.of(&[&self.salt, &password])),
        };
        let key = Key { kind: self.kind, secret };
        let mut cipher = key.cipher(0);
        let (mut verifier, mut expected) = (self.verifier.clone(), self.verifier_hash.clone());
        cipher.apply(&mut verifier);
        cipher.apply(&mut expected);
        (hash.of(&[&verifier]) == expected).then_some(key)
    }
}

impl Key {
    /// The cipher of a block (2.3.5.2, 2.3.6.2).
    pub fn cipher(&self, block: u32) -> Rc4 {
        let pieces: [&[u8]; 2] = [&self.secret, &block.to_le_bytes()];
        let key = match self.kind {
            Kind::Office97 => Hash::Md5.of(&pieces),
            Kind::CryptoApi(size) => {
                let mut key = Hash::Sha1.of(&pieces);
                key.truncate(size);
                // 40 bits are filled up with zeros.
                key.resize(if size == 5 { 16 } else { size }, 0);
                key
            }
        };
        Rc4::new(&key)
    }

    /// Decrypts a stream of blocks of `size` octets, from its start.
    pub fn apply(&self, octets: &mut [u8], size: usize) {
        for (block, octets) in (0..).zip(octets.chunks_mut(size)) {
            self.cipher(block).apply(octets);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6229, section 2: keys of 40 and 128 bits.
    #[test]
    fn vectors_of_the_rfc() {
        let key: Vec<u8> = (1..=16).collect();
        for (size, expected) in [(5, "b2396305f03dc027ccc3524a0a1118a8"), (16, "9ac7cc9a609d1ef7b2932899cde41b97")] {
            let mut octets = [0; 16];
            Rc4::new(&key[..size]).apply(&mut octets);
            assert_eq!(data_encoding::HEXLOWER.encode(&octets), expected);
        }
        let mut octets = [7; 4];
        Rc4::new(&[]).apply(&mut octets);
    }
}
