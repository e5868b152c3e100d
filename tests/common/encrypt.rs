//! Encrypted Office documents, made here from plain ones as [MS-OFFCRYPTO], [MS-DOC], [MS-XLS] and [MS-PPT] say.
//! Salts and keys are the same each time: nobody has to be kept out.

use std::io::{Cursor, Read};

use aes::cipher::{BlockCipherEncrypt, KeyInit};
use data_encoding::BASE64;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::office::Compound;
use super::ovba::utf16;

/// What Excel tries before it asks, and what PowerPoint does.
pub const EXCEL: &str = "VelvetSweatshop";
pub const POWERPOINT: &str = "/01Hannes Ruescher/01";

/// Rounds of hashing in samples: Office takes 100,000.
pub const SPIN_COUNT: u32 = 1000;

const SALT: [u8; 16] = *b"salt of sixteen.";
const OTHER_SALT: [u8; 16] = *b"another salt, 16";
const VERIFIER: [u8; 16] = *b"what is verified";
const PACKAGE_KEY: [u8; 32] = *b"the key of the package: 32 bytes";

// Packages -----------------------------------------------------------------------------------

/// What a version of Office takes for Agile encryption.
#[derive(Clone, Copy)]
pub struct Agile {
    name: &'static str,
    hash: fn(&[&[u8]]) -> Vec<u8>,
    /// Octets of the key.
    key: usize,
}

/// Office 2013 and later.
pub const OFFICE_2013: Agile = Agile { name: "SHA512", hash: hash::<Sha512>, key: 32 };
/// Office 2010.
pub const OFFICE_2010: Agile = Agile { name: "SHA1", hash: hash::<Sha1>, key: 16 };
/// What an administrator may choose: the hash is shorter than the key, or has a hyphen.
pub const CHOSEN: [Agile; 3] = [
    Agile { name: "SHA1", hash: hash::<Sha1>, key: 32 },
    Agile { name: "SHA384", hash: hash::<Sha384>, key: 32 },
    Agile { name: "SHA-256", hash: hash::<Sha256>, key: 16 },
];

/// A package in Agile encryption, as Office writes it today.
pub fn agile(package: &[u8], password: &str) -> Vec<u8> {
    OFFICE_2013.file(package, password)
}

/// A compound file with what stands in an encrypted one.
pub fn container(info: &[u8], package: &[u8]) -> Vec<u8> {
    Compound::new().stream("/EncryptionInfo", info).stream("/EncryptedPackage", package).finish()
}

/// The stream EncryptionInfo of [`OFFICE_2013`], for as many rounds.
pub fn agile_info(password: &str, spin_count: u32) -> Vec<u8> {
    OFFICE_2013.info(password, spin_count)
}

/// The stream EncryptedPackage of [`OFFICE_2013`].
pub fn agile_package(package: &[u8]) -> Vec<u8> {
    OFFICE_2013.package(package)
}

impl Agile {
    /// An encrypted package.
    pub fn file(self, package: &[u8], password: &str) -> Vec<u8> {
        container(&self.info(password, SPIN_COUNT), &self.package(package))
    }

    /// [MS-OFFCRYPTO] 2.3.4.10 on.
    fn info(self, password: &str, spin_count: u32) -> Vec<u8> {
        let mut spun = (self.hash)(&[&SALT, &utf16(password)]);
        for round in 0..spin_count {
            spun = (self.hash)(&[&round.to_le_bytes(), &spun]);
        }
        let encrypted = |purpose: u64, octets: &[u8]| {
            let mut key = (self.hash)(&[&spun, &purpose.to_be_bytes()]);
            key.resize(self.key, 0x36);
            BASE64.encode(&cbc(&key, &SALT, octets))
        };
        let (salt, data_salt) = (BASE64.encode(&SALT), BASE64.encode(&OTHER_SALT));
        let input = encrypted(0xFEA7_D276_3B4B_9E79, &VERIFIER);
        let verifier = (self.hash)(&[&VERIFIER]);
        let value = encrypted(0xD7AA_0F6D_3061_344E, &verifier);
        let key = encrypted(0x146E_0BE7_ABAC_D0D6, &PACKAGE_KEY[..self.key]);
        let cipher = format!(
            "saltSize=\"16\" blockSize=\"16\" keyBits=\"{}\" hashSize=\"{}\" cipherAlgorithm=\"AES\" \
             cipherChaining=\"ChainingModeCBC\" hashAlgorithm=\"{}\"",
            self.key * 8,
            verifier.len(),
            self.name
        );
        let xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\r\n<encryption \
             xmlns=\"http://schemas.microsoft.com/office/2006/encryption\" \
             xmlns:p=\"http://schemas.microsoft.com/office/2006/keyEncryptor/password\"><keyData {cipher} \
             saltValue=\"{data_salt}\"/><dataIntegrity encryptedHmacKey=\"{value}\" encryptedHmacValue=\"{value}\"/>\
             <keyEncryptors><keyEncryptor uri=\"http://schemas.microsoft.com/office/2006/keyEncryptor/password\">\
             <p:encryptedKey spinCount=\"{spin_count}\" {cipher} saltValue=\"{salt}\" \
             encryptedVerifierHashInput=\"{input}\" encryptedVerifierHashValue=\"{value}\" \
             encryptedKeyValue=\"{key}\"/></keyEncryptor></keyEncryptors></encryption>"
        );
        [&[4, 0, 4, 0, 0x40, 0, 0, 0], xml.as_bytes()].concat()
    }

    /// [MS-OFFCRYPTO] 2.3.4.15.
    fn package(self, package: &[u8]) -> Vec<u8> {
        let mut stream = (package.len() as u64).to_le_bytes().to_vec();
        for (number, segment) in (0_u32..).zip(package.chunks(4096)) {
            let start = (self.hash)(&[&OTHER_SALT, &number.to_le_bytes()]);
            stream.extend(cbc(&PACKAGE_KEY[..self.key], &start[..16], segment));
        }
        stream
    }
}

/// A package in Standard encryption, with AES-128 as Office 2007 writes it.
pub fn standard(package: &[u8], password: &str) -> Vec<u8> {
    standard_with(package, password, 0x660E, 128)
}

/// The same with this algorithm and as many bits.
pub fn standard_with(package: &[u8], password: &str, algorithm: u32, bits: u32) -> Vec<u8> {
    let mut spun = hash::<Sha1>(&[&SALT, &utf16(password)]);
    for round in 0..50_000_u32 {
        spun = hash::<Sha1>(&[&round.to_le_bytes(), &spun]);
    }
    let last = hash::<Sha1>(&[&spun, &[0; 4]]);
    let half = |fill: u8| {
        let mut octets = [fill; 64];
        octets.iter_mut().zip(&last).for_each(|(octet, hash)| *octet ^= hash);
        hash::<Sha1>(&[&octets])
    };
    let key = &[half(0x36), half(0x5C)].concat()[..bits as usize / 8];
    let mut info = vec![3, 0, 2, 0];
    info.extend(crypto_api(0x24, algorithm, bits, &ecb(key, &VERIFIER), &ecb(key, &hash::<Sha1>(&[&VERIFIER]))));
    let stream = [&(package.len() as u64).to_le_bytes()[..], &ecb(key, package)].concat();
    container(&info, &stream)
}

/// EncryptionHeader and EncryptionVerifier ([MS-OFFCRYPTO] 2.3.2, 2.3.3), with their size.
fn crypto_api(flags: u32, algorithm: u32, bits: u32, verifier: &[u8], verifier_hash: &[u8]) -> Vec<u8> {
    let provider = utf16("Microsoft Enhanced Cryptographic Provider\0");
    let numbers = [flags, 0, algorithm, 0x8004, bits, 1, 0, 0];
    let header = [&numbers.map(u32::to_le_bytes).concat()[..], &provider].concat();
    let number = u32::to_le_bytes;
    [
        &number(flags)[..],
        &number(header.len() as u32),
        &header,
        &number(16),
        &SALT,
        verifier,
        &number(20),
        verifier_hash,
    ]
    .concat()
}

/// Encrypts blocks of AES, each combined with the one before it; the last is filled up with zeros.
pub fn cbc(key: &[u8], start: &[u8], octets: &[u8]) -> Vec<u8> {
    let mut before = start.to_vec();
    let mut encrypted = Vec::new();
    for block in octets.chunks(16) {
        let mut block = block.to_vec();
        block.resize(16, 0);
        block.iter_mut().zip(&before).for_each(|(octet, before)| *octet ^= before);
        before = ecb(key, &block);
        encrypted.extend(&before);
    }
    encrypted
}

fn ecb(key: &[u8], octets: &[u8]) -> Vec<u8> {
    let mut encrypted = Vec::new();
    for block in octets.chunks(16) {
        let mut block = block.to_vec();
        block.resize(16, 0);
        let mut block = aes::Block::try_from(&block[..]).unwrap();
        match key.len() {
            16 => aes::Aes128::new_from_slice(key).unwrap().encrypt_block(&mut block),
            24 => aes::Aes192::new_from_slice(key).unwrap().encrypt_block(&mut block),
            _ => aes::Aes256::new_from_slice(key).unwrap().encrypt_block(&mut block),
        }
        encrypted.extend(block);
    }
    encrypted
}

fn hash<D: Digest>(pieces: &[&[u8]]) -> Vec<u8> {
    let mut digest = D::new();
    pieces.iter().for_each(|piece| digest.update(piece));
    digest.finalize().to_vec()
}

// Binary documents ---------------------------------------------------------------------------

/// A way in which binary documents are encrypted.
#[derive(Clone, Copy, Debug)]
pub enum Binary {
    /// RC4 of CryptoAPI, with a key of as many bits.
    CryptoApi(u32),
    /// RC4 of Office 97.
    Office97,
    /// XOR obfuscation.
    Xor,
}

impl Binary {
    /// All that Office writes.
    pub const ALL: [Binary; 4] = [Binary::CryptoApi(128), Binary::CryptoApi(40), Binary::Office97, Binary::Xor];

    /// The structure that tells of it, from its version on.
    fn info(self, password: &str) -> Vec<u8> {
        let encrypted = |hash: Vec<u8>| {
            let mut octets = [&VERIFIER[..], &hash].concat();
            rc4(&self.key(password, 0), &mut octets);
            octets
        };
        match self {
            Binary::CryptoApi(bits) => {
                let octets = encrypted(hash::<Sha1>(&[&VERIFIER]));
                [&[2, 0, 2, 0], &crypto_api(4, 0x6801, bits, &octets[..16], &octets[16..])[..]].concat()
            }
            Binary::Office97 => {
                let octets = encrypted(hash::<Md5>(&[&VERIFIER]));
                [&[1, 0, 1, 0], &SALT[..], &octets].concat()
            }
            Binary::Xor => panic!("XOR obfuscation has none"),
        }
    }

    fn key(self, password: &str, block: u32) -> Vec<u8> {
        let password = utf16(password);
        match self {
            Binary::CryptoApi(bits) => {
                let secret = hash::<Sha1>(&[&SALT, &password]);
                let mut key = hash::<Sha1>(&[&secret, &block.to_le_bytes()]);
                key.truncate(bits as usize / 8);
                key.resize(if bits == 40 { 16 } else { key.len() }, 0);
                key
            }
            Binary::Office97 => {
                let short = &hash::<Md5>(&[&password])[..5];
                let secret = hash::<Md5>(&[&[short, &SALT].concat().repeat(16)]);
                hash::<Md5>(&[&secret[..5], &block.to_le_bytes()])
            }
            Binary::Xor => panic!("XOR obfuscation has none"),
        }
    }

    /// Encrypts a stream with a new key each `size` octets.
    fn stream(self, password: &str, octets: &mut [u8], size: usize) {
        for (block, octets) in (0..).zip(octets.chunks_mut(size)) {
            rc4(&self.key(password, block), octets);
        }
    }
}

/// The cipher.
pub fn rc4(key: &[u8], octets: &mut [u8]) {
    let mut state: Vec<u8> = (0..=255).collect();
    let mut j = 0_usize;
    for i in 0..256 {
        j = (j + usize::from(state[i]) + usize::from(key[i % key.len()])) % 256;
        state.swap(i, j);
    }
    let (mut i, mut j) = (0_usize, 0_usize);
    for octet in octets {
        i = (i + 1) % 256;
        j = (j + usize::from(state[i])) % 256;
        state.swap(i, j);
        *octet ^= state[(usize::from(state[i]) + usize::from(state[j])) % 256];
    }
}

/// What Excel and Word keep of the password [`EXCEL`], and what they combine with, after the tables of
/// [MS-OFFCRYPTO] 2.3.7: XOR obfuscation knows no other password here.
const XOR_KEY: u16 = 0xB359;
const XOR_VERIFIER: u16 = 0x9A0A;
const XOR_ARRAY: [u8; 16] =
    [0x87, 0x6B, 0x9A, 0xE2, 0x1E, 0xE3, 0x05, 0x62, 0x1E, 0x69, 0x96, 0x60, 0x98, 0x6E, 0x94, 0x04];

/// An encrypted workbook.
pub fn xls(plain: &[u8], how: Binary, password: &str) -> Vec<u8> {
    let pass = match how {
        Binary::Xor => [0, XOR_KEY, XOR_VERIFIER].map(u16::to_le_bytes).concat(),
        _ => [&[1, 0], &how.info(password)[..]].concat(),
    };
    rebuilt(plain, |path, content| if path == "/Workbook" { workbook(&content, how, password, &pass) } else { content })
}

/// A workbook as Excel 5 obfuscates it: another stream, and a shorter record.
pub fn xls_5(plain: &[u8]) -> Vec<u8> {
    let pass = [XOR_KEY, XOR_VERIFIER].map(u16::to_le_bytes).concat();
    let mut file = cfb::CompoundFile::open(Cursor::new(plain)).unwrap();
    let mut content = Vec::new();
    file.open_stream("/Workbook").unwrap().read_to_end(&mut content).unwrap();
    Compound::new().stream("/Book", &workbook(&content, Binary::Xor, EXCEL, &pass)).finish()
}

/// The workbook with FILEPASS behind its first record, and with encrypted records.
fn workbook(plain: &[u8], how: Binary, password: &str, pass: &[u8]) -> Vec<u8> {
    const PLAIN: [u16; 3] = [0x0809, 0x002F, 0x00E1];
    let record =
        |id: u16, content: &[u8]| [&id.to_le_bytes()[..], &(content.len() as u16).to_le_bytes(), content].concat();
    let mut stream = Vec::new();
    let mut covered = Vec::new();
    let mut rest = plain;
    while let [a, b, c, d, after @ ..] = rest {
        let (id, size) = (u16::from_le_bytes([*a, *b]), usize::from(u16::from_le_bytes([*c, *d])));
        let mut content = after[..size].to_vec();
        if id == 0x0085 {
            // Sheets stand behind the record that comes in.
            let at = u32::from_le_bytes(content[..4].try_into().unwrap()) + pass.len() as u32 + 4;
            content[..4].copy_from_slice(&at.to_le_bytes());
        }
        let open = if PLAIN.contains(&id) { size } else { usize::from(id == 0x0085) * 4 };
        covered.push((stream.len() + 4, open, size));
        stream.extend(record(id, &content));
        if covered.len() == 1 {
            stream.extend(record(0x002F, pass));
        }
        rest = &after[size..];
    }
    let mut encrypted = stream.clone();
    if !matches!(how, Binary::Xor) {
        how.stream(password, &mut encrypted, 1024);
    }
    for (start, open, size) in covered {
        for at in start + open..start + size {
            stream[at] = match how {
                Binary::Xor => stream[at].rotate_left(5) ^ XOR_ARRAY[(at + size) % 16],
                _ => encrypted[at],
            };
        }
    }
    stream
}

/// An encrypted Word document.
pub fn doc(plain: &[u8], how: Binary, password: &str) -> Vec<u8> {
    word(plain, how, password, 68)
}

/// A document as Word 95 obfuscates it: of its beginning less is plain.
pub fn doc_95(plain: &[u8]) -> Vec<u8> {
    word(plain, Binary::Xor, EXCEL, 52)
}

/// The document, of which the first `open` octets stay as they are.
fn word(plain: &[u8], how: Binary, password: &str, open: usize) -> Vec<u8> {
    let is_xor = matches!(how, Binary::Xor);
    let info = if is_xor { Vec::new() } else { how.info(password) };
    let cover = |octets: &mut [u8]| match how {
        Binary::Xor => octets.iter_mut().enumerate().for_each(|(at, octet)| {
            let key = XOR_ARRAY[at % 16];
            *octet ^= if *octet == 0 || *octet == key { 0 } else { key };
        }),
        _ => how.stream(password, octets, 512),
    };
    rebuilt(plain, |path, mut content| match path {
        "/WordDocument" => {
            content[11] |= match (is_xor, open) {
                (false, _) | (true, 52) => 0x01,
                (true, _) => 0x81,
            };
            // wIdent of Word 95.
            content[0] = if open == 52 { 0xDC } else { content[0] };
            let verifier = u32::from(XOR_KEY) << 16 | u32::from(XOR_VERIFIER);
            let key = if is_xor { verifier } else { info.len() as u32 };
            content[14..18].copy_from_slice(&key.to_le_bytes());
            // fcClx: what stands in the table stream stands behind the header.
            content[0x1A2..0x1A6].copy_from_slice(&(info.len() as u32).to_le_bytes());
            let head = content[..open].to_vec();
            cover(&mut content);
            content[..open].copy_from_slice(&head);
            content
        }
        "/1Table" => {
            let mut content = [&info[..], &content].concat();
            cover(&mut content);
            content[..info.len()].copy_from_slice(&info);
            content
        }
        _ => content,
    })
}

/// An encrypted presentation ([MS-PPT] 2.3.7) of these records.
pub fn ppt(records: &[Vec<u8>], password: &str) -> Vec<u8> {
    let how = Binary::CryptoApi(128);
    let record = |version: u16, kind: u16, content: &[u8]| {
        let header = [&version.to_le_bytes()[..], &kind.to_le_bytes(), &(content.len() as u32).to_le_bytes()].concat();
        [&header, content].concat()
    };
    let mut stream = Vec::new();
    let mut offsets = Vec::new();
    for (number, plain) in (1..).zip(records) {
        offsets.push(stream.len() as u32);
        let mut content = plain.clone();
        rc4(&how.key(password, number), &mut content);
        stream.extend(content);
    }
    offsets.push(stream.len() as u32);
    stream.extend(record(0xF, 0x2F14, &how.info(password)));
    let directory = stream.len() as u32;
    let count = offsets.len() as u32;
    let runs = (1_u32..).step_by(4000).zip(offsets.chunks(4000)).flat_map(|(first, offsets)| {
        let run = (offsets.len() as u32) << 20 | first;
        [run].into_iter().chain(offsets.iter().copied()).flat_map(u32::to_le_bytes)
    });
    stream.extend(record(0, 0x1772, &runs.collect::<Vec<u8>>()));
    let edit = stream.len() as u32;
    let fields = [0, 0x0300_0000, 0, directory, 1, count, 1, count].map(u32::to_le_bytes).concat();
    stream.extend(record(0, 0x0FF5, &fields));
    stream.resize(stream.len().max(4096), 0);
    presentation(&stream, edit)
}

/// A presentation of any stream, whose last edit stands at this offset.
pub fn presentation(stream: &[u8], edit: u32) -> Vec<u8> {
    let user = [0x0FF6_0000, 24, 0x14, 0xF3D1_C4DF, edit, 0x03F4_0000, 3, 8].map(u32::to_le_bytes).concat();
    Compound::new().stream("/PowerPoint Document", stream).stream("/Current User", &user).finish()
}

/// The same compound file with other streams.
fn rebuilt(plain: &[u8], change: impl Fn(&str, Vec<u8>) -> Vec<u8>) -> Vec<u8> {
    let mut file = cfb::CompoundFile::open(Cursor::new(plain)).unwrap();
    let paths: Vec<_> = file.walk().filter(|entry| entry.is_stream()).map(|entry| entry.path().to_owned()).collect();
    paths
        .into_iter()
        .fold(Compound::new(), |made, path| {
            let mut content = Vec::new();
            file.open_stream(&path).unwrap().read_to_end(&mut content).unwrap();
            let path = path.to_str().unwrap();
            made.stream(path, &change(path, content))
        })
        .finish()
}
