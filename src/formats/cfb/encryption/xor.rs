//! XOR obfuscation ([MS-OFFCRYPTO] 2.3.7): sixteen octets made of a password of at most 15 characters.

/// The padding of short passwords (2.3.7.2).
const PADDING: [u8; 15] = [0xBB, 0xFF, 0xFF, 0xBA, 0xFF, 0xFF, 0xB9, 0x80, 0x00, 0xBE, 0x0F, 0x00, 0xBF, 0x0F, 0x00];
/// What the key begins with, by the password's length.
const INITIAL: [u16; 15] = [
    0xE1F0, 0x1D0F, 0xCC9C, 0x84C0, 0x110C, 0x0E10, 0xF1CE, 0x313E, 0x1872, 0xE139, 0xD40F, 0x84F9, 0x280C, 0xA96A,
    0x4EC3,
];
/// Seven numbers for each character, for the last character the last seven.
const MATRIX: [[u16; 7]; 15] = [
    [0xAEFC, 0x4DD9, 0x9BB2, 0x2745, 0x4E8A, 0x9D14, 0x2A09],
    [0x7B61, 0xF6C2, 0xFDA5, 0xEB6B, 0xC6F7, 0x9DCF, 0x2BBF],
    [0x4563, 0x8AC6, 0x05AD, 0x0B5A, 0x16B4, 0x2D68, 0x5AD0],
    [0x0375, 0x06EA, 0x0DD4, 0x1BA8, 0x3750, 0x6EA0, 0xDD40],
    [0xD849, 0xA0B3, 0x5147, 0xA28E, 0x553D, 0xAA7A, 0x44D5],
    [0x6F45, 0xDE8A, 0xAD35, 0x4A4B, 0x9496, 0x390D, 0x721A],
    [0xEB23, 0xC667, 0x9CEF, 0x29FF, 0x53FE, 0xA7FC, 0x5FD9],
    [0x47D3, 0x8FA6, 0x0F6D, 0x1EDA, 0x3DB4, 0x7B68, 0xF6D0],
    [0xB861, 0x60E3, 0xC1C6, 0x93AD, 0x377B, 0x6EF6, 0xDDEC],
    [0x45A0, 0x8B40, 0x06A1, 0x0D42, 0x1A84, 0x3508, 0x6A10],
    [0xAA51, 0x4483, 0x8906, 0x022D, 0x045A, 0x08B4, 0x1168],
    [0x76B4, 0xED68, 0xCAF1, 0x85C3, 0x1BA7, 0x374E, 0x6E9C],
    [0x3730, 0x6E60, 0xDCC0, 0xA9A1, 0x4363, 0x86C6, 0x1DAD],
    [0x3331, 0x6662, 0xCCC4, 0x89A9, 0x0373, 0x06E6, 0x0DCC],
    [0x1021, 0x2042, 0x4084, 0x8108, 0x1231, 0x2462, 0x48C4],
];

/// What a document keeps of its password.
#[derive(Clone, Copy)]
pub struct Info {
    pub key: u16,
    pub verifier: u16,
}

/// What octets are combined with, by their place.
#[derive(Clone, Copy)]
pub struct Key([u8; 16]);

impl Info {
    /// What `password` leads to, if it is the right one.
    pub fn key(self, password: &str) -> Option<Key> {
        // One octet for a character, in the code page of the system that wrote it.
        let password = encoding_rs::SHIFT_JIS.encode(password).0;
        let key = key(&password)?;
        (key == self.key && verifier(&password) == self.verifier).then(|| Key::new(&password, key))
    }
}

impl Key {
    fn new(password: &[u8], key: u16) -> Self {
        let mut array = [0; 16];
        let octets = password.iter().chain(&PADDING);
        for ((place, octet), key) in array.iter_mut().zip(octets).zip(key.to_le_bytes().iter().cycle()) {
            *place = (octet ^ key).rotate_right(1);
        }
        Self(array)
    }

    /// The octet for a place.
    pub fn at(&self, place: usize) -> u8 {
        self.0.get(place % 16).copied().unwrap_or_default()
    }
}

/// 2.3.7.1: sixteen bits by which a wrong password is told.
fn verifier(password: &[u8]) -> u16 {
    let size = u8::try_from(password.len()).unwrap_or(u8::MAX);
    let octets = password.iter().rev().chain([&size]);
    let turned = |verifier: u16| (verifier >> 14 & 1) | (verifier << 1 & 0x7FFF);
    octets.fold(0_u16, |verifier, octet| turned(verifier) ^ u16::from(*octet)) ^ 0xCE4B
}

/// 2.3.7.2: `None` if a password cannot be as long.
fn key(password: &[u8]) -> Option<u16> {
    let initial = *INITIAL.get(password.len().checked_sub(1)?)?;
    let rows = password.iter().rev().zip(MATRIX.iter().rev());
    // The lowest bit belongs to the first number.
    let bits = rows.flat_map(|(octet, row)| row.iter().zip(0..7).filter(move |(_, bit)| octet >> bit & 1 != 0));
    Some(bits.fold(initial, |key, (number, _)| key ^ number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_and_what_excel_keeps_of_it() {
        assert_eq!(verifier(b"VelvetSweatshop"), 0x9A0A);
        assert_eq!(key(b""), None);
        assert_eq!(key(b"1234567890123456"), None);
    }
}
