//! AES as packages are encrypted with it: each block alone (ECB), or chained (CBC).

use aes::cipher::{BlockCipherDecrypt, KeyInit};
use aes::{Aes128, Aes192, Aes256, Block};

/// Octets of a block.
pub const BLOCK: usize = 16;

/// AES with a key of 128, 192 or 256 bits.
pub enum Aes {
    Small(Aes128),
    Middle(Aes192),
    Large(Aes256),
}

impl Aes {
    /// `None` if a key has not as many octets.
    pub fn new(key: &[u8]) -> Option<Self> {
        match key.len() {
            16 => Aes128::new_from_slice(key).ok().map(Self::Small),
            24 => Aes192::new_from_slice(key).ok().map(Self::Middle),
            32 => Aes256::new_from_slice(key).ok().map(Self::Large),
            _ => None,
        }
    }

    /// Decrypts each block alone. What is no whole block at the end stays as it is.
    pub fn ecb(&self, octets: &mut [u8]) {
        let (blocks, _) = Block::slice_as_chunks_mut(octets);
        match self {
            Self::Small(cipher) => cipher.decrypt_blocks(blocks),
            Self::Middle(cipher) => cipher.decrypt_blocks(blocks),
            Self::Large(cipher) => cipher.decrypt_blocks(blocks),
        }
    }

    /// Decrypts blocks of which each was combined with the one before it, the first with `start`.
    pub fn cbc(&self, start: &[u8], octets: &mut [u8]) {
        let before: Vec<u8> = start.iter().chain(octets.iter()).copied().collect();
        self.ecb(octets);
        let whole = octets.chunks_exact_mut(BLOCK).flatten();
        whole.zip(before).for_each(|(octet, before)| *octet ^= before);
    }
}

/// `octets` with as many as `size`: cut, or filled up with 0x36 ([MS-OFFCRYPTO] 2.3.4.11).
pub fn fitted(mut octets: Vec<u8>, size: usize) -> Vec<u8> {
    octets.resize(size, 0x36);
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NIST SP 800-38A, F.1.1 and F.2.1, F.2.5: the first two blocks.
    #[test]
    fn vectors_of_the_standard() {
        let octets = |hex: &str| data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
        let plain = octets("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51");
        let small = Aes::new(&octets("2b7e151628aed2a6abf7158809cf4f3c")).unwrap();
        let mut ecb = octets("3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fdbaaf");
        small.ecb(&mut ecb);
        assert_eq!(ecb, plain);
        let start: Vec<u8> = (0..16).collect();
        let mut cbc = octets("7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2");
        small.cbc(&start, &mut cbc);
        assert_eq!(cbc, plain);
        let large = Aes::new(&octets("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")).unwrap();
        let mut cbc = octets("f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d");
        large.cbc(&start, &mut cbc);
        assert_eq!(cbc, plain);
        assert!(Aes::new(&[0; 17]).is_none());
    }
}
