//! Keys and ciphers: PBKDF2 and AES-256 of RAR 5, the SHA-1 of RAR 3 and 4 and AES-128.

use std::collections::VecDeque;

use sha2::{Digest, Sha256};

use crate::formats::cfb::encryption::aes::Aes;

/// Rounds of hashing for a key of RAR 3 and 4.
const ROUNDS: u32 = 0x4_0000;
/// Characters of a password that count.
const MAX_PASSWORD: usize = 127;

/// How something is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lock {
    /// RAR 5: the power of two of the rounds, salt, start of the chain, check of the password, and whether checksums
    /// depend on the key.
    Five { power: u8, salt: [u8; 16], start: [u8; 16], check: Option<[u8; 8]>, is_tweaked: bool },
    /// RAR 3 and 4.
    Four { salt: Option<[u8; 8]> },
    /// Something else.
    Unknown,
}

/// What comes of a password: all that takes rounds of hashing.
#[derive(Clone)]
struct Key {
    octets: Vec<u8>,
    /// Where chains begin, if the lock does not say.
    start: Option<[u8; 16]>,
    tweak: Option<[u8; 32]>,
}

/// Keys that are remembered: an archive has one salt, or a few.
const MAX_KEYS: usize = 16;

/// Keys that were derived lately.
#[derive(Default)]
pub struct Keys(VecDeque<(Lock, String, Option<Key>)>);

impl Keys {
    /// Rounds of hashing that [`Keys::open`] costs: none, if the key is remembered.
    pub fn rounds(&self, lock: &Lock, password: &str) -> u64 {
        let lock = lock.seed();
        let is_known = self.0.iter().any(|(of, word, _)| *of == lock && word == password);
        if is_known { 0 } else { lock.rounds() }
    }

    /// The cipher; `None` if the password is certainly wrong.
    pub fn open(&mut self, lock: &Lock, password: &str) -> Option<Cipher> {
        let seed = lock.seed();
        let known = self.0.iter().find(|(of, word, _)| *of == seed && word == password).map(|(_, _, key)| key.clone());
        let key = known.unwrap_or_else(|| {
            let key = seed.key(password);
            self.0.truncate(MAX_KEYS.saturating_sub(1));
            self.0.push_front((seed, password.to_owned(), key.clone()));
            key
        });
        let Key { octets, start, tweak } = key?;
        let start = match lock {
            Lock::Five { start, .. } => *start,
            Lock::Four { .. } | Lock::Unknown => start?,
        };
        Some(Cipher { aes: Aes::new(&octets)?, start, tweak })
    }
}

/// A key that was derived.
pub struct Cipher {
    aes: Aes,
    start: [u8; 16],
    tweak: Option<[u8; 32]>,
}

impl Lock {
    /// Rounds of hashing that a try costs.
    fn rounds(&self) -> u64 {
        match self {
            Lock::Five { power, .. } => 1_u64.checked_shl((*power).into()).unwrap_or(u64::MAX).saturating_add(32),
            Lock::Four { .. } => ROUNDS.into(),
            Lock::Unknown => 0,
        }
    }

    /// What the key depends on.
    fn seed(&self) -> Lock {
        let mut seed = self.clone();
        if let Lock::Five { start, .. } = &mut seed {
            *start = [0; 16];
        }
        seed
    }

    fn key(&self, password: &str) -> Option<Key> {
        let password: String = password.chars().take(MAX_PASSWORD).collect();
        match self {
            Lock::Five { power, salt, check, is_tweaked, .. } => {
                let [key, tweak, proof] = pbkdf2(password.as_bytes(), salt, 1_u32.checked_shl((*power).into())?);
                let mut folded = [0_u8; 8];
                for chunk in proof.chunks(8) {
                    folded.iter_mut().zip(chunk).for_each(|(octet, other)| *octet ^= other);
                }
                let is_wrong = check.is_some_and(|check| check != folded);
                (!is_wrong).then(|| Key { octets: key.to_vec(), start: None, tweak: is_tweaked.then_some(tweak) })
            }
            Lock::Four { salt } => {
                let (key, start) = sha1_key(&password, salt.as_ref().map_or(&[][..], |salt| salt));
                Some(Key { octets: key.to_vec(), start: Some(start), tweak: None })
            }
            Lock::Unknown => None,
        }
    }
}

impl Cipher {
    /// Decrypts whole blocks behind `start`.
    pub fn cbc(&self, start: &[u8], octets: &mut [u8]) {
        self.aes.cbc(start, octets);
    }

    /// Decrypts what begins with the lock's own start.
    pub fn decrypt(&self, octets: &mut [u8]) {
        self.aes.cbc(&self.start, octets);
    }

    /// The hash as it is written: it may depend on the key.
    pub fn hash(&self, hash: [u8; 32]) -> [u8; 32] {
        self.tweak.as_ref().map_or(hash, |key| Hmac::new(key).of(&hash))
    }

    /// The checksum as it is written: it may depend on the key, too.
    pub fn checksum(&self, crc: u32) -> u32 {
        let Some(key) = &self.tweak else { return crc };
        let digest = Hmac::new(key).of(&crc.to_le_bytes());
        let words = digest.chunks_exact(4).filter_map(|word| word.try_into().ok());
        words.fold(0, |sum, word| sum ^ u32::from_le_bytes(word))
    }
}

/// HMAC-SHA256 (RFC 2104) with the key's two blocks hashed already.
struct Hmac {
    inner: Sha256,
    outer: Sha256,
}

impl Hmac {
    fn new(key: &[u8]) -> Self {
        let mut block = [0_u8; 64];
        let short: Vec<u8> = if key.len() > 64 { Sha256::digest(key).to_vec() } else { key.to_vec() };
        block.iter_mut().zip(short).for_each(|(octet, key)| *octet = key);
        let with = |pad: u8| Sha256::new_with_prefix(block.map(|octet| octet ^ pad));
        Self { inner: with(0x36), outer: with(0x5c) }
    }

    fn of(&self, octets: &[u8]) -> [u8; 32] {
        let inner = self.inner.clone().chain_update(octets).finalize();
        self.outer.clone().chain_update(inner).finalize().into()
    }
}

/// The key, and what comes of 16 and of 32 rounds more (RFC 8018 5.2, first block).
fn pbkdf2(password: &[u8], salt: &[u8], rounds: u32) -> [[u8; 32]; 3] {
    let hmac = Hmac::new(password);
    let mut last = hmac.of(&[salt, &[0, 0, 0, 1]].concat());
    let mut sum = last;
    let mut more = |count: u32| {
        for _ in 0..count {
            last = hmac.of(&last);
            sum.iter_mut().zip(last).for_each(|(octet, other)| *octet ^= other);
        }
        sum
    };
    [more(rounds.saturating_sub(1)), more(16), more(16)]
}

fn sha1_key(password: &str, salt: &[u8]) -> ([u8; 16], [u8; 16]) {
    use sha1::Sha1;
    let seed: Vec<u8> = password.encode_utf16().flat_map(u16::to_le_bytes).chain(salt.iter().copied()).collect();
    let (mut hash, mut start) = (Sha1::new(), Vec::with_capacity(16));
    for round in 0..ROUNDS {
        let [low, middle, high, _] = round.to_le_bytes();
        hash.update(&seed);
        hash.update([low, middle, high]);
        if round & 0x3fff == 0 {
            start.extend(hash.clone().finalize().last());
        }
    }
    let digest = hash.finalize();
    // Words are turned around.
    let mut key = [0_u8; 16];
    for (to, from) in key.chunks_exact_mut(4).zip(digest.chunks_exact(4)) {
        to.iter_mut().zip(from.iter().rev()).for_each(|(to, from)| *to = *from);
    }
    (key, start.try_into().unwrap_or_default())
}
