//! Agile encryption of packages ([MS-OFFCRYPTO] 2.3.4.10 on): Office 2010 and later. Which hash, how many
//! rounds and which key stands in XML, all of it the sender's choice. AES with CBC only; the keys for
//! certificates are passed over, and the checksum of the whole is not compared.

use data_encoding::BASE64;

use super::aes::{Aes, BLOCK, fitted};
use super::hash::Hash;
use super::{Read, Trouble};
use crate::formats::markup::{self, Token};
use crate::lure;
use crate::scan::Stop;

/// Octets that are encrypted at a time ([MS-OFFCRYPTO] 2.3.4.15).
const SEGMENT: usize = 4096;
/// Ways to the key that are tried. There must be one for a password (2.3.4.10).
const MAX_ENCRYPTORS: usize = 3;
/// Octets of a salt that are taken, which is hashed for each segment. Office takes 16, and allows many.
const MAX_SALT: usize = 1024;
/// What is hashed last, for what the key decrypts (2.3.4.11 to .13).
const VERIFIER_INPUT: [u8; 8] = [0xFE, 0xA7, 0xD2, 0x76, 0x3B, 0x4B, 0x9E, 0x79];
const VERIFIER_VALUE: [u8; 8] = [0xD7, 0xAA, 0x0F, 0x6D, 0x30, 0x61, 0x34, 0x4E];
const KEY_VALUE: [u8; 8] = [0x14, 0x6E, 0x0B, 0xE7, 0xAB, 0xAC, 0xD0, 0xD6];

/// What the XML says.
pub struct Info {
    data: Cipher,
    encryptors: Vec<Encryptor>,
}

/// How something is encrypted.
struct Cipher {
    hash: Hash,
    /// Octets of the key.
    key: usize,
    salt: Vec<u8>,
}

/// How a password leads to the key.
struct Encryptor {
    cipher: Cipher,
    spin_count: u64,
    verifier_input: Vec<u8>,
    verifier_value: Vec<u8>,
    key_value: Vec<u8>,
}

/// What decrypts the package.
pub struct Key {
    cipher: Aes,
    hash: Hash,
    salt: Vec<u8>,
}

impl Info {
    /// Reads what follows the version and the reserved field of EncryptionInfo.
    pub fn read(xml: &[u8]) -> Read<Self> {
        let xml = lure::decode_xml(xml);
        let mut data = None;
        let mut encryptors = Vec::new();
        for token in markup::tokens(&xml) {
            match token {
                Token::Open("keyData", attributes) if data.is_none() => data = Some(Cipher::read(attributes)?),
                Token::Open("encryptedKey", attributes)
                    if encryptors.len() < MAX_ENCRYPTORS && markup::attribute(attributes, "spinCount").is_some() =>
                {
                    encryptors.push(Encryptor::read(attributes)?);
                }
                Token::Open(..) | Token::Close(_) | Token::Text(_) => {}
            }
        }
        match data {
            Some(data) if !encryptors.is_empty() => Ok(Self { data, encryptors }),
            _ => Err(Trouble::Unreadable),
        }
    }

    /// Rounds of hashing for one password.
    pub fn rounds(&self) -> u64 {
        self.encryptors.iter().fold(0, |sum, encryptor| sum.saturating_add(encryptor.spin_count))
    }

    /// What `password` leads to, if it is the right one.
    pub fn key(&self, password: &str, stop: &Stop) -> Option<Key> {
        let mut key = self.encryptors.iter().find_map(|encryptor| encryptor.key(password, stop))?;
        key.truncate(self.data.key);
        Some(Key { cipher: Aes::new(&key)?, hash: self.data.hash, salt: self.data.salt.clone() })
    }
}

impl Cipher {
    fn read(attributes: &str) -> Read<Self> {
        let text = |name: &str| markup::attribute(attributes, name).ok_or(Trouble::Unreadable);
        let (cipher, chaining, hash) = (text("cipherAlgorithm")?, text("cipherChaining")?, text("hashAlgorithm")?);
        let bits: usize = text("keyBits")?.trim().parse().map_err(|_| Trouble::Unreadable)?;
        let known = cipher == "AES" && chaining == "ChainingModeCBC" && matches!(bits, 128 | 192 | 256);
        let salt = octets(attributes, "saltValue")?;
        match Hash::named(&hash).filter(|_| known) {
            Some(_) if salt.len() > MAX_SALT => Err(Trouble::Unknown(format!("a salt of {} octets", salt.len()))),
            Some(hash) => Ok(Self { hash, key: bits / 8, salt }),
            None => Err(Trouble::Unknown(format!("{cipher}, {bits} bits, {chaining}, {hash}"))),
        }
    }

    /// The key that a hash of the password and a purpose make.
    fn derived(&self, spun: &[u8], purpose: &[u8]) -> Option<Aes> {
        Aes::new(&fitted(self.hash.of(&[spun, purpose]), self.key))
    }
}

impl Encryptor {
    fn read(attributes: &str) -> Read<Self> {
        let spin_count = markup::attribute(attributes, "spinCount").ok_or(Trouble::Unreadable)?;
        let digits = spin_count.trim();
        let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
        Ok(Self {
            cipher: Cipher::read(attributes)?,
            // What is too large for a number is so for everybody.
            spin_count: if is_number { digits.parse().unwrap_or(u64::MAX) } else { return Err(Trouble::Unreadable) },
            verifier_input: octets(attributes, "encryptedVerifierHashInput")?,
            verifier_value: octets(attributes, "encryptedVerifierHashValue")?,
            key_value: octets(attributes, "encryptedKeyValue")?,
        })
    }

    fn key(&self, password: &str, stop: &Stop) -> Option<Vec<u8>> {
        let rounds = u32::try_from(self.spin_count).ok()?;
        let spun = self.cipher.hash.spun(&self.cipher.salt, password, rounds, stop)?;
        let start = fitted(self.cipher.salt.clone(), BLOCK);
        let decrypted = |purpose: &[u8], octets: &[u8]| {
            let mut octets = octets.to_vec();
            self.cipher.derived(&spun, purpose)?.cbc(&start, &mut octets);
            Some(octets)
        };
        let mut input = decrypted(&VERIFIER_INPUT, &self.verifier_input)?;
        // The input has as many octets as the salt, and is filled up to whole blocks.
        input.truncate(self.cipher.salt.len());
        let value = decrypted(&VERIFIER_VALUE, &self.verifier_value)?;
        let fits = value.starts_with(&self.cipher.hash.of(&[&input]));
        if fits { decrypted(&KEY_VALUE, &self.key_value) } else { None }
    }
}

impl Key {
    /// Decrypts what follows the size in EncryptedPackage (2.3.4.15).
    pub fn decrypt(&self, octets: &mut [u8]) {
        for (number, segment) in (0_u32..).zip(octets.chunks_mut(SEGMENT)) {
            let start = fitted(self.hash.of(&[&self.salt, &number.to_le_bytes()]), BLOCK);
            self.cipher.cbc(&start, segment);
        }
    }
}

/// An attribute in Base64.
fn octets(attributes: &str, name: &str) -> Read<Vec<u8>> {
    let text = markup::attribute(attributes, name).ok_or(Trouble::Unreadable)?;
    let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    BASE64.decode(text.as_bytes()).map_err(|_| Trouble::Unreadable)
}
