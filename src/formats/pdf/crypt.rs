//! Encryption with a password: the standard security handler (ISO 32000-2 7.6), its versions 1, 2, 4 and 5.
//!
//! A password counts once the check values of the dictionary are right, as that of the user or that of the owner. The
//! empty one is that of documents that are only protected against changes: everybody opens those. Other handlers
//! need a key or a server; what they hide is told.

mod aes256;
mod rc4;

use super::document::{Document, Place};
use super::object::{Dictionary, Object};
use crate::formats::cfb::encryption::aes::{Aes, BLOCK};
use crate::formats::cfb::encryption::hash::Hash;
use crate::formats::cfb::encryption::rc4::Rc4;
use crate::scan::Scan;

/// Octets of a check value or a key that are taken: there are 127 at most (in files of one program, filled with zeros).
const MAX_VALUE: usize = 128;

/// How a document is encrypted, as far as it can be told.
#[derive(Clone, Debug, PartialEq)]
pub enum Lock {
    /// A password opens it.
    Known(Box<Scheme>),
    /// A handler that knows no passwords: certificates, or a server.
    Handler(String),
    /// A version or cipher that is not known here.
    Unknown(String),
    /// Fields are missing.
    Unreadable,
}

/// What the encryption dictionary says (tables 20 and 21).
#[derive(Clone, Debug, PartialEq)]
pub struct Scheme {
    revision: i64,
    owner: Vec<u8>,
    user: Vec<u8>,
    owner_key: Vec<u8>,
    user_key: Vec<u8>,
    permissions: u32,
    id: Vec<u8>,
    encrypts_metadata: bool,
    /// Octets that the key may have, the likeliest first.
    sizes: Vec<usize>,
    streams: Method,
    strings: Method,
    files: Method,
    /// Crypt filters by their names.
    filters: Vec<(Vec<u8>, Method)>,
}

/// A way of encrypting (table 25).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Not at all.
    Identity,
    /// RC4 with a key for each object.
    Rc4,
    /// AES-128 with a key for each object.
    Aes128,
    /// AES-256 with the key of the file.
    Aes256,
}

/// What decrypts a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    secret: Vec<u8>,
    scheme: Box<Scheme>,
}

/// What came of trying the passwords.
pub enum Attempt {
    /// With the empty password, or with one that is known.
    Opened(Key, bool),
    /// None of them fits.
    Refused,
    /// Not all of them could be tried.
    Limited,
    /// The scan shall end.
    Stopped,
}

/// The ways in which a document says that it is encrypted: one, as a rule.
pub fn locks(document: &Document) -> Vec<Lock> {
    let mut locks = Vec::new();
    for trailer in document.trailers() {
        let id = match trailer.get("ID").map(|id| document.value(id)) {
            Some(Object::Array(items)) => items.first().map(|first| document.value(first)),
            _ => None,
        };
        let id = match id {
            Some(Object::String(id)) => id,
            _ => Vec::new(),
        };
        for encrypt in trailer.all("Encrypt") {
            let lock = match document.value(encrypt) {
                Object::Dictionary(dictionary) => lock(&dictionary, &id, document),
                // `null` is none; what is missing leaves the document closed.
                Object::Null if *encrypt == Object::Null => continue,
                _ => Lock::Unreadable,
            };
            if !locks.contains(&lock) {
                locks.push(lock);
            }
        }
    }
    locks
}

fn lock(dictionary: &Dictionary, id: &[u8], document: &Document) -> Lock {
    let get = |key: &str| dictionary.get(key).map(|value| document.value(value));
    let integer = |key: &str| match get(key) {
        Some(Object::Integer(number)) => Some(number),
        _ => None,
    };
    let string = |key: &str| match get(key) {
        Some(Object::String(mut octets)) => {
            octets.truncate(MAX_VALUE);
            octets
        }
        _ => Vec::new(),
    };
    match get("Filter") {
        Some(Object::Name(name)) if name == b"Standard" => {}
        Some(Object::Name(name)) => return Lock::Handler(text(&name)),
        _ => return Lock::Unreadable,
    }
    let (version, Some(revision)) = (integer("V").unwrap_or_default(), integer("R")) else { return Lock::Unreadable };
    let filters = filters(get("CF"), document);
    let method = |name: &str, usual: Option<Method>| match get(name) {
        _ if version < 4 => Some(Method::Rc4),
        Some(Object::Name(name)) => method_named(&name, &filters),
        _ => usual,
    };
    let streams = method("StmF", Some(Method::Identity));
    let methods = (streams, method("StrF", Some(Method::Identity)), method("EFF", streams));
    let (Some(streams), Some(strings), Some(files)) = methods else {
        return Lock::Unknown("a crypt filter that is not known".to_owned());
    };
    let is_known = matches!((version, revision), (1 | 2, 2 | 3) | (4, 4) | (5, 5 | 6));
    if !is_known {
        return Lock::Unknown(format!("version {version}, revision {revision}"));
    }
    // Bits; some programs write octets.
    let told = integer("Length").and_then(|bits| usize::try_from(bits).ok());
    let told = told.map(|bits| if bits > 16 { bits / 8 } else { bits }).filter(|size| (5..=16).contains(size));
    let sizes = match version {
        1 => vec![5],
        2 => [told.unwrap_or(5), 16, 5].to_vec(),
        4 => [16, told.unwrap_or(16)].to_vec(),
        _ => vec![32],
    };
    let mut scheme = Scheme {
        revision,
        owner: string("O"),
        user: string("U"),
        owner_key: string("OE"),
        user_key: string("UE"),
        permissions: integer("P").map_or(0, |bits| bits as u32),
        id: id.get(..MAX_VALUE).unwrap_or(id).to_vec(),
        encrypts_metadata: get("EncryptMetadata") != Some(Object::Boolean(false)),
        sizes,
        streams,
        strings,
        files,
        filters,
    };
    scheme.sizes.dedup();
    let least = if revision >= 5 { 48 } else { 32 };
    if scheme.owner.len() < least || scheme.user.len() < least { Lock::Unreadable } else { Lock::Known(scheme.into()) }
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name.get(..100).unwrap_or(name)).into_owned()
}

/// 7.6.6: of a filter that is not known nothing is listed.
fn filters(listed: Option<Object>, document: &Document) -> Vec<(Vec<u8>, Method)> {
    let Some(Object::Dictionary(listed)) = listed else { return Vec::new() };
    let method = |filter: &Object| match document.value(filter).dictionary()?.get("CFM").map(|m| document.value(m)) {
        None => Some(Method::Identity),
        Some(Object::Name(name)) => match name.as_slice() {
            b"V2" => Some(Method::Rc4),
            b"AESV2" => Some(Method::Aes128),
            b"AESV3" => Some(Method::Aes256),
            _ => None,
        },
        Some(_) => None,
    };
    listed.entries().filter_map(|(name, filter)| Some((name.to_vec(), method(filter)?))).collect()
}

fn method_named(name: &[u8], filters: &[(Vec<u8>, Method)]) -> Option<Method> {
    if name == b"Identity" {
        return Some(Method::Identity);
    }
    filters.iter().find(|(known, _)| known == name).map(|(_, method)| *method)
}

impl Scheme {
    /// Whether attached files are open although nobody knows the password.
    pub fn names_are_plain(&self) -> bool {
        self.strings == Method::Identity
    }

    /// Rounds of hashing that a try costs, as user and as owner.
    fn rounds(&self) -> u64 {
        match self.revision {
            2 => 10,
            3 | 4 => 400,
            5 => 4,
            _ => aes256::ROUNDS,
        }
    }

    /// What a password leads to, if it is the right one.
    fn key(&self, password: &str) -> Option<Key> {
        let secret = if self.revision >= 5 { aes256::secret(self, password) } else { rc4::secret(self, password) };
        secret.map(|secret| Key { secret, scheme: Box::new(self.clone()) })
    }
}

/// Tries the empty password, what was told, and what may be one.
pub fn attempt(scheme: &Scheme, scan: &mut Scan) -> Attempt {
    // Whatever else was tried before: opening what is open to everybody is no try.
    if let Some(key) = scheme.key("") {
        return Attempt::Opened(key, false);
    }
    let told = scan.passwords().iter().map(|password| (password.clone(), true));
    let guesses = scan.guesses().iter().map(|guess| (guess.clone(), false));
    let candidates: Vec<(String, bool)> = told.chain(guesses).collect();
    for (password, is_told) in candidates {
        if scan.stopped() {
            return Attempt::Stopped;
        }
        if !scan.derive(scheme.rounds()) {
            scan.cut_passwords();
            return if is_told { Attempt::Limited } else { Attempt::Refused };
        }
        if let Some(key) = scheme.key(&password) {
            return Attempt::Opened(key, true);
        }
    }
    Attempt::Refused
}

/// What is encrypted, as far as the method depends on it.
#[derive(Clone, Copy, Debug)]
pub enum What<'a> {
    /// A string (StrF).
    String,
    /// A stream (StmF).
    Stream,
    /// The content of an attached file (EFF).
    File,
    /// A stream with a crypt filter of its own (7.4.10).
    Named(&'a [u8]),
}

impl Key {
    /// What decrypts it.
    fn method(&self, what: What<'_>) -> Method {
        match what {
            What::String => self.scheme.strings,
            What::Stream => self.scheme.streams,
            What::File => self.scheme.files,
            What::Named(name) => method_named(name, &self.scheme.filters).unwrap_or(Method::Identity),
        }
    }

    /// Decrypts what belongs to the object at `place`; `None` if it is not encrypted.
    pub fn decrypt(&self, what: What<'_>, place: &Place, octets: &[u8]) -> Option<Vec<u8>> {
        match self.method(what) {
            Method::Identity => None,
            Method::Rc4 => {
                let mut octets = octets.to_vec();
                Rc4::new(&self.of_object(place, b"")).apply(&mut octets);
                Some(octets)
            }
            Method::Aes128 => Some(cbc(&self.of_object(place, b"sAlT"), octets)),
            Method::Aes256 => Some(cbc(&self.secret, octets)),
        }
    }

    /// The key of an object (7.6.3.2, algorithm 1).
    fn of_object(&self, place: &Place, salt: &[u8]) -> Vec<u8> {
        let number = place.number.to_le_bytes();
        let generation = place.generation.to_le_bytes();
        let number = number.get(..3).unwrap_or_default();
        let mut key = Hash::Md5.of(&[&self.secret, number, &generation, salt]);
        key.truncate(self.secret.len().saturating_add(5));
        key
    }
}

/// AES with CBC behind its start, filled up to whole blocks (7.6.3.1). What is no block at the end is left out.
fn cbc(key: &[u8], octets: &[u8]) -> Vec<u8> {
    let (Some((start, rest)), Some(aes)) = (octets.split_at_checked(BLOCK), Aes::new(key)) else { return Vec::new() };
    let mut plain = rest.get(..rest.len().saturating_sub(rest.len() % BLOCK)).unwrap_or_default().to_vec();
    aes.cbc(start, &mut plain);
    // RFC 8018 6.1.1. Where it is wrong, all of it is content.
    if let Some(filled) = plain.last().copied().map(usize::from).filter(|filled| (1..=BLOCK).contains(filled)) {
        plain.truncate(plain.len().saturating_sub(filled));
    }
    plain
}
