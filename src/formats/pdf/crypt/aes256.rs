//! Keys of the revisions 5 and 6 (ISO 32000-2 7.6.4.3.3, 7.6.4.4.7 on): SHA-2 and AES. Revision 5 is that of Adobe's
//! extension level 3, whose hash is taken once.

use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Block};
use unicode_normalization::UnicodeNormalization;

use super::Scheme;
use crate::formats::cfb::encryption::aes::{Aes, BLOCK};
use crate::formats::cfb::encryption::hash::Hash;

/// What a try costs in rounds of hashing, measured: a millisecond or two.
pub const ROUNDS: u64 = 6000;
/// Octets of a password that count.
const MAX_PASSWORD: usize = 127;
/// Rounds after which the hash ends in any case: the last octet of a round is at most 255 (algorithm 2.B, step f).
const MAX_ROUNDS: u16 = 288;

/// The key of the file, if the password is that of the user or of the owner (algorithms 2.A, 11 and 12).
pub fn secret(scheme: &Scheme, password: &str) -> Option<Vec<u8>> {
    // SASLprep (RFC 4013): its normal form; what it forbids is left to those who write it all the same.
    let normal: String = password.nfkc().collect();
    let mut spellings = vec![normal.into_bytes(), password.as_bytes().to_vec()];
    spellings.iter_mut().for_each(|spelling| spelling.truncate(MAX_PASSWORD));
    spellings.dedup();
    spellings.iter().find_map(|password| {
        let user = scheme.user.get(..48)?;
        let of_owner = || opened(scheme, password, &scheme.owner, user, &scheme.owner_key);
        opened(scheme, password, &scheme.user, &[], &scheme.user_key).or_else(of_owner)
    })
}

/// `value`: a hash, the salt that checks the password, and the salt of its key.
fn opened(scheme: &Scheme, password: &[u8], value: &[u8], user: &[u8], key: &[u8]) -> Option<Vec<u8>> {
    let (check, check_salt, key_salt) = (value.get(..32)?, value.get(32..40)?, value.get(40..48)?);
    if hash(scheme, password, check_salt, user) != check {
        return None;
    }
    let mut secret = key.get(..32)?.to_vec();
    Aes::new(&hash(scheme, password, key_salt, user))?.cbc(&[0; BLOCK], &mut secret);
    Some(secret)
}

/// Algorithm 2.B.
fn hash(scheme: &Scheme, password: &[u8], salt: &[u8], user: &[u8]) -> Vec<u8> {
    let mut hash = Hash::Sha256.of(&[password, salt, user]);
    if scheme.revision < 6 {
        return hash;
    }
    for round in 1..=MAX_ROUNDS {
        let mut octets = [password, &hash, user].concat().repeat(64);
        let (Some(key), Some(start)) = (hash.get(..16), hash.get(16..32)) else { break };
        encrypt(key, start, &mut octets);
        // The first 16 octets as a number, modulo 3: 256 is 1 of it.
        let rest = octets.iter().take(16).map(|octet| u32::from(*octet)).sum::<u32>() % 3;
        hash = match rest {
            0 => Hash::Sha256,
            1 => Hash::Sha384,
            _ => Hash::Sha512,
        }
        .of(&[&octets]);
        let last = octets.last().copied().map_or(0, u16::from);
        if round >= 64 && last <= round.saturating_sub(32) {
            break;
        }
    }
    hash.truncate(32);
    hash
}

/// AES-128 with CBC; the octets are whole blocks.
fn encrypt(key: &[u8], start: &[u8], octets: &mut [u8]) {
    let Ok(cipher) = Aes128::new_from_slice(key) else { return };
    let mut before = [0; BLOCK];
    before.iter_mut().zip(start).for_each(|(to, from)| *to = *from);
    let (blocks, _) = Block::slice_as_chunks_mut(octets);
    for block in blocks {
        block.iter_mut().zip(before).for_each(|(octet, before)| *octet ^= before);
        cipher.encrypt_block(block);
        before = (*block).into();
    }
}
