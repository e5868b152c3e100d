//! PDF documents with embedded files, made here as ISO 32000-2 says; encrypted ones with the same salts each time.

use std::io::Write;

use aes::cipher::{BlockCipherEncrypt, KeyInit};
use data_encoding::HEXLOWER;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use md5::Md5;
use sha2::{Digest, Sha256, Sha384, Sha512};

/// The first half of the identifier of every document here.
const ID: &[u8] = b"identifier of 16";
const FILL: &[u8; 32] = b"\x28\xBF\x4E\x5E\x4E\x75\x8A\x41\x64\x00\x4E\x56\xFF\xFA\x01\x08\x2E\x2E\x00\xB6\xD0\x68\x3E\x80\x2F\x0C\xA9\xFE\x64\x53\x69\x7A";
const FILE_KEY: [u8; 32] = *b"the key of the file has 32 bytes";
const PERMISSIONS: i32 = -1084;

/// A way in which documents are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    /// RC4 with 40 bits.
    R2,
    /// RC4 with 128 bits.
    R3,
    /// RC4 by a crypt filter.
    R4Rc4,
    /// AES-128.
    R4Aes,
    /// AES-256 of Adobe's extension level 3.
    R5,
    /// AES-256.
    R6,
}

impl Cipher {
    /// All of them.
    pub const ALL: [Cipher; 6] = [Cipher::R2, Cipher::R3, Cipher::R4Rc4, Cipher::R4Aes, Cipher::R5, Cipher::R6];

    fn revision(self) -> u8 {
        match self {
            Cipher::R2 => 2,
            Cipher::R3 => 3,
            Cipher::R4Rc4 | Cipher::R4Aes => 4,
            Cipher::R5 => 5,
            Cipher::R6 => 6,
        }
    }

    fn size(self) -> usize {
        if self == Cipher::R2 { 5 } else { 16 }
    }
}

/// A cipher with its passwords: of the user, of the owner.
#[derive(Clone, Copy, Debug)]
pub struct Lock<'a> {
    pub cipher: Cipher,
    pub user: &'a str,
    pub owner: &'a str,
}

/// A document that is being made.
pub struct Pdf<'a> {
    bytes: Vec<u8>,
    lock: Option<Lock<'a>>,
    key: Vec<u8>,
    dictionary: String,
}

/// A document with one attached file, as most programs write it.
pub fn with_file(name: &str, content: &[u8], lock: Option<Lock<'_>>) -> Vec<u8> {
    let mut pdf = Pdf::new(lock);
    pdf.page();
    pdf.specification(10, &utf16(name), 11);
    pdf.stream(11, "/Type/EmbeddedFile/Filter/FlateDecode", &zlib(content));
    pdf.finish()
}

/// The same whose specification stands in an object stream.
pub fn in_object_stream(name: &str, content: &[u8], lock: Option<Lock<'_>>) -> Vec<u8> {
    let mut pdf = Pdf::new(lock);
    pdf.page();
    pdf.object_stream(12, &[(9, "<</Names[]>>".into()), (10, specification(&hex(&utf16(name)), 11))]);
    pdf.stream(11, "/Filter/FlateDecode", &zlib(content));
    pdf.finish()
}

/// A document with a page and nothing else.
pub fn honest(lock: Option<Lock<'_>>) -> Vec<u8> {
    let mut pdf = Pdf::new(lock);
    pdf.page();
    pdf.object_stream(12, &[(9, "<</Title(Hello)/CreationDate(D:20260101000000Z)>>".into())]);
    pdf.finish()
}

/// A file specification whose name is written so.
pub fn specification(name: &str, stream: u32) -> String {
    format!("<</Type/Filespec/F(a)/UF{name}/EF<</F {stream} 0 R>>>>").replace("/F(a)/UF()", "")
}

/// Octets as a string in hexadecimal.
pub fn hex(octets: &[u8]) -> String {
    format!("<{}>", HEXLOWER.encode(octets))
}

/// A text string.
pub fn utf16(text: &str) -> Vec<u8> {
    [0xFEFF].into_iter().chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect()
}

/// What FlateDecode unpacks.
pub fn zlib(content: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// What ASCIIHexDecode unpacks.
pub fn ascii_hex(content: &[u8]) -> Vec<u8> {
    format!("{}>", HEXLOWER.encode(content)).into_bytes()
}

/// What ASCII85Decode unpacks.
pub fn ascii_85(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for group in content.chunks(4) {
        let mut four = group.to_vec();
        four.resize(4, 0);
        let mut value = u32::from_be_bytes(four.try_into().unwrap());
        let mut digits = [0; 5];
        for digit in digits.iter_mut().rev() {
            *digit = (value % 85) as u8 + b'!';
            value /= 85;
        }
        out.extend(&digits[..group.len() + 1]);
    }
    [&out[..], b"~>"].concat()
}

/// What RunLengthDecode unpacks.
pub fn runs(content: &[u8]) -> Vec<u8> {
    let pieces = content.chunks(128).flat_map(|piece| [&[piece.len() as u8 - 1], piece].concat());
    pieces.chain([128]).collect()
}

/// What LZWDecode unpacks: codes of 9 bits, and the table cleared before they would grow.
pub fn lzw(content: &[u8]) -> Vec<u8> {
    let mut bits = String::new();
    for piece in content.chunks(200) {
        bits.push_str(&format!("{:09b}", 256));
        piece.iter().for_each(|octet| bits.push_str(&format!("{octet:09b}")));
    }
    bits.push_str(&format!("{:09b}", 257));
    bits.as_bytes()
        .chunks(8)
        .map(|octet| octet.iter().enumerate().fold(0, |sum, (at, bit)| sum | ((bit & 1) << (7 - at))))
        .collect()
}

impl<'a> Pdf<'a> {
    /// Begins one.
    pub fn new(lock: Option<Lock<'a>>) -> Self {
        let mut pdf =
            Self { bytes: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n".to_vec(), lock, key: Vec::new(), dictionary: String::new() };
        if let Some(lock) = lock {
            (pdf.key, pdf.dictionary) = locked(lock);
        }
        pdf
    }

    /// Catalog, pages, one page and its content.
    pub fn page(&mut self) {
        self.object(1, "<</Type/Catalog/Pages 2 0 R/Names<</EmbeddedFiles<</Names[(a)10 0 R]>>>>>>");
        self.object(2, "<</Type/Pages/Kids[3 0 R]/Count 1>>");
        self.object(3, "<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 300]/Contents 4 0 R>>");
        self.stream(4, "/Filter/FlateDecode", &zlib(b"BT /F1 12 Tf 72 100 Td (Hello) Tj ET"));
    }

    /// An object as it stands here.
    pub fn object(&mut self, number: u32, text: &str) {
        self.bytes.extend(format!("{number} 0 obj\n{text}\nendobj\n").bytes());
    }

    /// Anything.
    pub fn raw(&mut self, octets: &[u8]) {
        self.bytes.extend(octets);
    }

    /// A file specification with this name.
    pub fn specification(&mut self, number: u32, name: &[u8], stream: u32) {
        let name = hex(&self.encrypted(number, name));
        self.object(number, &format!("<</Type/Filespec/UF{name}/EF<</F {stream} 0 R>>>>"));
    }

    /// A stream whose content is packed already.
    pub fn stream(&mut self, number: u32, entries: &str, content: &[u8]) {
        let content = self.encrypted(number, content);
        self.bytes.extend(format!("{number} 0 obj\n<<{entries}/Length {}>>\nstream\n", content.len()).bytes());
        self.bytes.extend(content);
        self.bytes.extend(b"\nendstream\nendobj\n");
    }

    /// An object stream.
    pub fn object_stream(&mut self, number: u32, objects: &[(u32, String)]) {
        let (mut head, mut body) = (String::new(), String::new());
        for (number, object) in objects {
            head.push_str(&format!("{number} {} ", body.len()));
            body.push_str(&format!("{object} "));
        }
        let entries = format!("/Type/ObjStm/N {}/First {}/Filter/FlateDecode", objects.len(), head.len());
        self.stream(number, &entries, &zlib(format!("{head}{body}").as_bytes()));
    }

    /// Ends it, with a cross-reference table that knows nothing.
    pub fn finish(mut self) -> Vec<u8> {
        let encrypt = if self.dictionary.is_empty() {
            String::new()
        } else {
            let dictionary = self.dictionary.clone();
            self.object(99, &dictionary);
            "/Encrypt 99 0 R".to_owned()
        };
        let id = hex(ID);
        self.bytes.extend(
            format!("xref\n0 0\ntrailer\n<</Size 100/Root 1 0 R{encrypt}/ID[{id}{id}]>>\nstartxref\n9\n%%EOF\n")
                .bytes(),
        );
        self.bytes
    }

    fn encrypted(&self, number: u32, octets: &[u8]) -> Vec<u8> {
        let Some(lock) = self.lock else { return octets.to_vec() };
        let of_object = |salt: &[u8]| {
            let key = [&self.key, &number.to_le_bytes()[..3], &[0, 0], salt].concat();
            md5(&key)[..(self.key.len() + 5).min(16)].to_vec()
        };
        match lock.cipher {
            Cipher::R2 | Cipher::R3 | Cipher::R4Rc4 => rc4(&of_object(b""), octets),
            Cipher::R4Aes => filled(&of_object(b"sAlT"), octets),
            Cipher::R5 | Cipher::R6 => filled(&self.key, octets),
        }
    }
}

/// The key of the file, and the encryption dictionary (7.6.4).
fn locked(lock: Lock<'_>) -> (Vec<u8>, String) {
    let (cipher, revision) = (lock.cipher, lock.cipher.revision());
    if revision >= 5 {
        let (user, owner) = (lock.user.as_bytes(), lock.owner.as_bytes());
        let value = |password: &[u8], more: &[u8]| {
            let check = hash(revision, password, b"check123", more);
            [&check, &b"check123key12345"[..]].concat()
        };
        let key = |password: &[u8], more: &[u8]| {
            let key = hash(revision, password, b"key12345", more);
            HEXLOWER.encode(&cbc(&key, &[0; 16], &FILE_KEY))
        };
        let u = value(user, b"");
        let (o, ue, oe) = (value(owner, &u), key(user, b""), key(owner, &u));
        let dictionary = format!(
            "<</Filter/Standard/V 5/R {revision}/Length 256/P {PERMISSIONS}/U{}/O{}/UE<{ue}>/OE<{oe}>/Perms<00>\
             /CF<</StdCF<</CFM/AESV3/AuthEvent/DocOpen/Length 32>>>>/StmF/StdCF/StrF/StdCF>>",
            hex(&u),
            hex(&o)
        );
        return (FILE_KEY.to_vec(), dictionary);
    }
    let size = cipher.size();
    let padded = |password: &str| {
        let mut password = [password.as_bytes(), FILL].concat();
        password.truncate(32);
        password
    };
    let spun = |octets: &[u8]| {
        let times = if revision >= 3 { 50 } else { 0 };
        (0..times).fold(md5(octets), |hash, _| md5(&hash[..size]))[..size].to_vec()
    };
    let twenty = |key: &[u8], octets: &[u8]| {
        let times = if revision >= 3 { 20 } else { 1 };
        (0..times).fold(octets.to_vec(), |octets, round: u8| {
            rc4(&key.iter().map(|octet| octet ^ round).collect::<Vec<_>>(), &octets)
        })
    };
    let o = twenty(&spun(&padded(lock.owner)), &padded(lock.user));
    let key = spun(&[&padded(lock.user)[..], &o, &PERMISSIONS.to_le_bytes(), ID].concat());
    let mut u = if revision >= 3 { twenty(&key, &md5(&[&FILL[..], ID].concat())) } else { twenty(&key, FILL) };
    u.resize(32, 0);
    let filter = |method: &str| {
        format!("/V 4/Length 128/CF<</StdCF<</CFM/{method}/AuthEvent/DocOpen/Length 16>>>>/StmF/StdCF/StrF/StdCF")
    };
    let version = match cipher {
        Cipher::R2 => "/V 1".to_owned(),
        Cipher::R3 => "/V 2/Length 128".to_owned(),
        Cipher::R4Rc4 => filter("V2"),
        _ => filter("AESV2"),
    };
    let dictionary = format!("<</Filter/Standard{version}/R {revision}/P {PERMISSIONS}/U{}/O{}>>", hex(&u), hex(&o));
    (key, dictionary)
}

/// Algorithm 2.B.
fn hash(revision: u8, password: &[u8], salt: &[u8], more: &[u8]) -> Vec<u8> {
    let mut hash = Sha256::digest([password, salt, more].concat()).to_vec();
    for round in 1.. {
        if revision < 6 {
            break;
        }
        let octets = cbc(&hash[..16], &hash[16..32], &[password, &hash, more].concat().repeat(64));
        let number = octets[..16].iter().fold(0, |rest, octet| (rest * 256 + u32::from(*octet)) % 3);
        hash = match number {
            0 => Sha256::digest(&octets).to_vec(),
            1 => Sha384::digest(&octets).to_vec(),
            _ => Sha512::digest(&octets).to_vec(),
        };
        if round >= 64 && i32::from(*octets.last().unwrap()) <= round - 32 {
            break;
        }
    }
    hash.truncate(32);
    hash
}

fn md5(octets: &[u8]) -> Vec<u8> {
    Md5::digest(octets).to_vec()
}

/// AES with CBC behind its start, filled up.
fn filled(key: &[u8], octets: &[u8]) -> Vec<u8> {
    const START: [u8; 16] = *b"where it starts.";
    let fill = 16 - octets.len() % 16;
    let octets = [octets, &vec![fill as u8; fill]].concat();
    [&START[..], &cbc(key, &START, &octets)].concat()
}

fn cbc(key: &[u8], start: &[u8], octets: &[u8]) -> Vec<u8> {
    let mut before = start.to_vec();
    let mut out = Vec::new();
    for block in octets.chunks(16) {
        let block: Vec<u8> = block.iter().zip(&before).map(|(octet, before)| octet ^ before).collect();
        let mut block = aes::Block::try_from(&block[..]).unwrap();
        match key.len() {
            16 => aes::Aes128::new_from_slice(key).unwrap().encrypt_block(&mut block),
            _ => aes::Aes256::new_from_slice(key).unwrap().encrypt_block(&mut block),
        }
        before = block.to_vec();
        out.extend(&before);
    }
    out
}

fn rc4(key: &[u8], octets: &[u8]) -> Vec<u8> {
    let mut octets = octets.to_vec();
    super::encrypt::rc4(key, &mut octets);
    octets
}

/// What undoes a filter.
type Pack = fn(&[u8]) -> Vec<u8>;

/// Small ones of every kind, for damage.
pub fn kinds() -> Vec<Vec<u8>> {
    let lock = |cipher| Some(Lock { cipher, user: "infected", owner: "owner" });
    let mut kinds = vec![with_file("a.txt", b"text", None), in_object_stream("a.txt", b"text", None), honest(None)];
    kinds.extend(Cipher::ALL.map(|cipher| in_object_stream("a.txt", b"text", lock(cipher))));
    let mut pdf = Pdf::new(None);
    let filters: [(&str, Pack); 4] = [("AHx", ascii_hex), ("A85", ascii_85), ("LZW", lzw), ("RL", runs)];
    for (number, (name, pack)) in (20..).zip(filters) {
        pdf.stream(number, &format!("/Type/EmbeddedFile/Filter[/{name}/Fl]"), &pack(&zlib(b"text")));
    }
    kinds.push(pdf.finish());
    kinds
}
