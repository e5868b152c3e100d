//! What Office has the operating system encrypt ([MS-OFFCRYPTO] 2.3.4.5, 2.3.5): header and verifier of both,
//! and Standard encryption of packages, AES with a key of 50,000 rounds of SHA-1 (Office 2007).

use super::aes::Aes;
use super::hash::Hash;
use super::{Read, Trouble};
use crate::reader::Reader;
use crate::scan::Stop;

/// Rounds of hashing for one password (2.3.4.7).
pub const ROUNDS: u32 = 50_000;

/// Octets of a salt that are taken, lest every password cost the hash of a large one.
const MAX_SALT: u32 = 64;

/// EncryptionHeader and EncryptionVerifier (2.3.2, 2.3.3).
pub struct Info {
    pub algorithm: u32,
    /// Bits of the key, as the header says.
    pub bits: u32,
    pub salt: Vec<u8>,
    pub verifier: Vec<u8>,
    pub verifier_hash: Vec<u8>,
}

impl Info {
    /// Reads what follows the version.
    pub fn read(octets: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(octets);
        reader.skip(4)?; // flags, as in the header
        let size = reader.u32()? as usize;
        let mut header = Reader::new(reader.take(size)?);
        let flags = header.u32()?;
        header.skip(4)?; // SizeExtra
        let algorithm = header.u32()?;
        header.skip(4)?; // AlgIDHash: SHA-1
        let bits = header.u32()?;
        // 2.3.3: it is 16.
        let salt_size = reader.u32().filter(|size| *size <= MAX_SALT)? as usize;
        let salt = reader.take(salt_size)?.to_vec();
        let verifier = reader.take(16)?.to_vec();
        reader.skip(4)?; // VerifierHashSize: 20
        // RC4 has 20 octets here, AES 32.
        let verifier_hash = reader.rest();
        let verifier_hash = verifier_hash.get(..32).unwrap_or(verifier_hash).to_vec();
        // 2.3.2: the flags say which it is where no algorithm is named.
        let algorithm = match algorithm {
            0 if flags & FLAG_AES != 0 => AES_128,
            0 => RC4,
            named => named,
        };
        Some(Self { algorithm, bits, salt, verifier, verifier_hash })
    }

    /// The same for a package: AES only.
    pub fn read_standard(octets: &[u8]) -> Read<Self> {
        let info = Self::read(octets).ok_or(Trouble::Unreadable)?;
        match info.key_size() {
            Some(_) => Ok(info),
            None => Err(Trouble::Unknown(format!("algorithm 0x{:04X}", info.algorithm))),
        }
    }

    fn key_size(&self) -> Option<usize> {
        Some(match self.algorithm {
            AES_128 => 16,
            AES_192 => 24,
            AES_256 => 32,
            _ => return None,
        })
    }

    /// What `password` leads to, if it is the right one (2.3.4.7, 2.3.4.9).
    pub fn aes(&self, password: &str, stop: &Stop) -> Option<Aes> {
        let spun = Hash::Sha1.spun(&self.salt, password, ROUNDS, stop)?;
        let last = Hash::Sha1.of(&[&spun, &[0; 4]]);
        let half = |fill: u8| {
            let mut octets = [fill; 64];
            octets.iter_mut().zip(&last).for_each(|(octet, hash)| *octet ^= hash);
            Hash::Sha1.of(&[&octets])
        };
        let mut key = [half(0x36), half(0x5C)].concat();
        key.truncate(self.key_size()?);
        let cipher = Aes::new(&key)?;
        let (mut verifier, mut hash) = (self.verifier.clone(), self.verifier_hash.clone());
        cipher.ecb(&mut verifier);
        cipher.ecb(&mut hash);
        hash.starts_with(&Hash::Sha1.of(&[&verifier])).then_some(cipher)
    }
}

/// 2.3.2, AlgID.
pub const RC4: u32 = 0x6801;
const AES_128: u32 = 0x660E;
const AES_192: u32 = 0x660F;
const AES_256: u32 = 0x6610;
/// 2.3.1, fAES.
const FLAG_AES: u32 = 0x20;
