//! Keys of the revisions 2 to 4 (ISO 32000-2 7.6.4.3, 7.6.4.4): MD5 and RC4, whichever cipher the content has.

use super::Scheme;
use crate::formats::cfb::encryption::hash::Hash;
use crate::formats::cfb::encryption::rc4::Rc4;
use crate::formats::pdf::text;

/// What fills a password up to 32 octets (algorithm 2, step a).
const FILL: [u8; 32] = [
    0x28, 0xBF, 0x4E, 0x5E, 0x4E, 0x75, 0x8A, 0x41, 0x64, 0x00, 0x4E, 0x56, 0xFF, 0xFA, 0x01, 0x08, 0x2E, 0x2E, 0x00,
    0xB6, 0xD0, 0x68, 0x3E, 0x80, 0x2F, 0x0C, 0xA9, 0xFE, 0x64, 0x53, 0x69, 0x7A,
];

/// The key of the file, if the password is that of the user or of the owner.
pub fn secret(scheme: &Scheme, password: &str) -> Option<Vec<u8>> {
    // PDFDocEncoding is the rule; programs take UTF-8, too, and the code page of the computer.
    let mut spellings: Vec<Vec<u8>> = text::encode(password).into_iter().chain([password.into()]).collect();
    if !password.is_ascii() {
        spellings.push(encoding_rs::SHIFT_JIS.encode(password).0.into_owned());
    }
    spellings.dedup();
    let mut tries =
        spellings.iter().flat_map(|spelling| scheme.sizes.iter().map(move |size| (filled(spelling), *size)));
    tries.find_map(|(password, size)| {
        of_user(scheme, &password, size).or_else(|| of_user(scheme, &of_owner(scheme, &password, size), size))
    })
}

fn filled(password: &[u8]) -> [u8; 32] {
    let mut filled = [0; 32];
    filled.iter_mut().zip(password.iter().chain(&FILL)).for_each(|(to, from)| *to = *from);
    filled
}

fn rc4(key: &[u8], octets: &mut [u8]) {
    Rc4::new(key).apply(octets);
}

/// The hash, hashed fifty times more where the revision says so, cut to the size of a key.
fn spun(scheme: &Scheme, pieces: &[&[u8]], size: usize, is_cut: bool) -> Vec<u8> {
    let mut hash = Hash::Md5.of(pieces);
    if scheme.revision >= 3 {
        for _ in 0..50 {
            let input = if is_cut { hash.get(..size) } else { Some(&hash[..]) };
            hash = Hash::Md5.of(&[input.unwrap_or_default()]);
        }
    }
    hash.truncate(size);
    hash
}

/// Algorithms 2, 4, 5 and 6.
fn of_user(scheme: &Scheme, password: &[u8; 32], size: usize) -> Option<Vec<u8>> {
    let owner = scheme.owner.get(..32)?;
    let metadata: &[u8] = if scheme.revision >= 4 && !scheme.encrypts_metadata { &[0xff; 4] } else { &[] };
    let pieces: [&[u8]; 5] = [password, owner, &scheme.permissions.to_le_bytes(), &scheme.id, metadata];
    let key = spun(scheme, &pieces, size, true);
    let check = if scheme.revision == 2 {
        let mut check = FILL.to_vec();
        rc4(&key, &mut check);
        check
    } else {
        let mut check = Hash::Md5.of(&[&FILL, &scheme.id]);
        twenty(&key, &mut check, 0..20);
        check
    };
    scheme.user.starts_with(&check).then_some(key)
}

/// The password of the user that the owner's one hides (algorithm 7).
fn of_owner(scheme: &Scheme, password: &[u8; 32], size: usize) -> [u8; 32] {
    let key = spun(scheme, &[password], size, false);
    let mut user = scheme.owner.get(..32).and_then(|owner| <[u8; 32]>::try_from(owner).ok()).unwrap_or_default();
    if scheme.revision == 2 {
        rc4(&key, &mut user);
    } else {
        twenty(&key, &mut user, (0..20).rev());
    }
    user
}

/// RC4 with as many keys: each octet combined with the number of the round.
fn twenty(key: &[u8], octets: &mut [u8], rounds: impl Iterator<Item = u8>) {
    for round in rounds {
        let key: Vec<u8> = key.iter().map(|octet| octet ^ round).collect();
        rc4(&key, octets);
    }
}
