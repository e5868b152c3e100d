//! Encrypted documents ([MS-OFFCRYPTO]), opened with the passwords that Office tries by itself and those that
//! were told.
//!
//! Packages: Agile and Standard encryption. Binary documents: RC4 of CryptoAPI and of Office 97, and XOR
//! obfuscation. Leaves out Extensible encryption and rights management, which need a program or a server
//! of their own, and ciphers that Office can be told to use and never does. What such a cipher hides is
//! told as a container that is not opened: Office would open it.
//!
//! A package becomes a part of its own. The streams of a binary document take the place of the encrypted
//! ones: what never was encrypted (macros, embedded objects) is then seen once.

pub(in crate::formats) mod aes;
mod agile;
mod crypto_api;
mod excel;
pub(in crate::formats) mod hash;
mod package;
mod powerpoint;
mod protection;
pub(in crate::formats) mod rc4;
mod word;
mod xor;

use bytes::Bytes;

use super::CompoundFile;
use crate::filetype::{self, FileType};
use crate::finding;
use crate::limits::Limit;
use crate::part::{Name, Origin, Part};
use crate::scan::{Child, Scan, Stop};

/// Passwords that Office tries before it asks for one: Excel's, for workbooks whose structure is protected, and
/// PowerPoint's, for presentations that are protected against changes.
const BUILT_IN: [&str; 2] = ["VelvetSweatshop", "/01Hannes Ruescher/01"];

/// Opens what is encrypted in `file`, and says of it how that went.
pub fn examine(file: &mut CompoundFile<'_>, part: &Part, scan: &mut Scan) {
    for place in Place::ALL {
        let Some(lock) = place.lock(file, scan.room()) else { continue };
        match lock {
            Lock::Known(scheme) => match attempt(&scheme, scan) {
                Attempt::Opened(key, password) => {
                    tell(place, password, part, scan);
                    if !place.open(file, &key, &scheme, part, scan) && password.is_some() {
                        scan.finding(finding::DOCUMENT_NEEDLESS_ENCRYPTION, part, place.mark(), "");
                    }
                }
                Attempt::Refused => remains(place, part, scan),
                Attempt::Limited => {
                    let evidence = format!("{}: rounds of hashing for passwords", place.mark());
                    scan.finding(finding::LIMIT_EXCEEDED, part, place.mark(), &evidence);
                    remains(place, part, scan);
                }
                // The scan tells that itself.
                Attempt::Stopped => return,
            },
            Lock::Unreadable => remains(place, part, scan),
            Lock::Unknown(how) => {
                let evidence = format!("{}: {how}", place.mark());
                scan.finding(finding::CONTAINER_UNSUPPORTED, part, place.mark(), &evidence);
            }
        }
    }
}

/// Where a compound file keeps what may be encrypted.
#[derive(Clone, Copy)]
enum Place {
    Package,
    Word,
    Excel(&'static str),
    PowerPoint,
}

impl Place {
    const ALL: [Place; 5] = [
        Place::Package,
        Place::Word,
        Place::Excel(excel::STREAMS[0]),
        Place::Excel(excel::STREAMS[1]),
        Place::PowerPoint,
    ];

    /// What tells that it is encrypted, by its name in the specifications.
    fn mark(self) -> &'static str {
        match self {
            Place::Package => package::STREAM,
            Place::Word => "fEncrypted",
            Place::Excel(_) => "FILEPASS",
            Place::PowerPoint => "CurrentUserAtom",
        }
    }

    /// What is encrypted of it.
    fn streams(&self) -> &[&'static str] {
        match self {
            Place::Package => &[package::STREAM],
            Place::Word => &word::STREAMS,
            Place::Excel(name) => std::slice::from_ref(name),
            Place::PowerPoint => &[powerpoint::STREAM],
        }
    }

    fn lock(self, file: &CompoundFile<'_>, room: u64) -> Option<Lock> {
        match self {
            Place::Package => package::lock(file),
            Place::Word => word::lock(file),
            Place::Excel(name) => excel::lock(file, name),
            Place::PowerPoint => powerpoint::lock(file, room),
        }
    }

    /// Decrypts, as far as there is room. Says whether something may be protected, which is why Office encrypts.
    fn open(self, file: &mut CompoundFile<'_>, key: &Key, scheme: &Scheme, part: &Part, scan: &mut Scan) -> bool {
        let room = scan.room();
        if self.streams().iter().any(|name| file.stream(None, name).is_some_and(|stream| stream.size > room)) {
            let used_up = room < scan.limits().max_file_size;
            scan.limit(part, if used_up { Limit::ScanSize } else { Limit::FileSize });
        }
        let read = |name: &str| file.stream(None, name).map(|stream| file.read(stream, room));
        let streams = match self {
            Place::Package => {
                let package = read(package::STREAM).and_then(|stream| package::decrypted(&stream, key));
                return give(package.unwrap_or_default(), part, scan);
            }
            Place::Word => word::decrypted(file, key, room),
            Place::Excel(name) => {
                let open = read(name).and_then(|stream| excel::decrypted(&stream, key));
                open.map(|open| (name, open)).into_iter().collect()
            }
            Place::PowerPoint => match (read(powerpoint::STREAM), key, scheme) {
                (Some(stream), Key::Rc4(key), Scheme::Presentation(_, last_edit)) => {
                    let (open, is_cut) = powerpoint::decrypted(&stream, key, *last_edit);
                    if is_cut {
                        scan.limit(part, Limit::FileSize);
                    }
                    vec![(powerpoint::STREAM, open)]
                }
                _ => Vec::new(),
            },
        };
        let is_workbook = matches!(self, Place::Excel(_));
        let mut is_protected = !is_workbook;
        for (name, content) in streams {
            is_protected |= is_workbook && protection::of_workbook(&content);
            scan.spend(content.len() as u64);
            file.replace(name, Bytes::from(content));
        }
        scan.learn_opened(part);
        is_protected
    }
}

/// How something is encrypted, as far as it can be told.
enum Lock {
    Known(Scheme),
    /// Office would open it, and no password opens it here.
    Unknown(String),
    Unreadable,
}

impl From<Read<Scheme>> for Lock {
    fn from(read: Read<Scheme>) -> Self {
        match read {
            Ok(scheme) => Lock::Known(scheme),
            Err(Trouble::Unknown(how)) => Lock::Unknown(how),
            Err(Trouble::Unreadable) => Lock::Unreadable,
        }
    }
}

/// What was read of how something is encrypted.
pub(in crate::formats) type Read<T> = Result<T, Trouble>;

/// Why no password can be tried.
pub(in crate::formats) enum Trouble {
    /// A cipher or a hash that is not known here.
    Unknown(String),
    /// Fields are missing, or contradict each other.
    Unreadable,
}

/// A way of encrypting.
enum Scheme {
    Agile(agile::Info),
    Standard(crypto_api::Info),
    Rc4(rc4::Info),
    /// RC4 by objects, and where the last edit stands.
    Presentation(rc4::Info, u32),
    Xor(xor::Info),
}

impl Scheme {
    /// Rounds of hashing that one password costs.
    fn rounds(&self) -> u64 {
        match self {
            Scheme::Agile(info) => info.rounds(),
            Scheme::Standard(_) => crypto_api::ROUNDS.into(),
            Scheme::Rc4(_) | Scheme::Presentation(..) | Scheme::Xor(_) => 1,
        }
    }

    fn key(&self, password: &str, stop: &Stop) -> Option<Key> {
        match self {
            Scheme::Agile(info) => info.key(password, stop).map(Key::Agile),
            Scheme::Standard(info) => info.aes(password, stop).map(Key::Standard),
            Scheme::Rc4(info) | Scheme::Presentation(info, _) => info.key(password).map(Key::Rc4),
            Scheme::Xor(info) => info.key(password).map(Key::Xor),
        }
    }
}

/// What decrypts.
enum Key {
    Agile(agile::Key),
    Standard(aes::Aes),
    Rc4(rc4::Key),
    Xor(xor::Key),
}

/// What came of trying the passwords.
enum Attempt {
    /// With one that Office knows by itself, or with one that was told.
    Opened(Box<Key>, Option<&'static str>),
    Refused,
    /// Not all of them could be tried.
    Limited,
    Stopped,
}

/// Tries what Office tries, and then what was told.
fn attempt(scheme: &Scheme, scan: &mut Scan) -> Attempt {
    let told: Vec<String> = scan.passwords().to_vec();
    let built_in = BUILT_IN.into_iter().map(|password| (password, Some(password)));
    for (password, is_built_in) in built_in.chain(told.iter().map(|password| (password.as_str(), None))) {
        if !scan.derive(scheme.rounds()) {
            return Attempt::Limited;
        }
        if let Some(key) = scheme.key(password, scan.stop()) {
            return Attempt::Opened(Box::new(key), is_built_in);
        }
        if scan.stopped() {
            return Attempt::Stopped;
        }
    }
    Attempt::Refused
}

/// Says which password opened it; never what was told.
fn tell(place: Place, password: Option<&str>, part: &Part, scan: &mut Scan) {
    match password {
        Some(built_in) => scan.finding(finding::DOCUMENT_DEFAULT_PASSWORD, part, place.mark(), built_in),
        None => scan.finding(finding::DOCUMENT_PASSWORD_OPENED, part, place.mark(), place.mark()),
    }
}

/// Says that it stays encrypted.
fn remains(place: Place, part: &Part, scan: &mut Scan) {
    let told = scan.password_told();
    let id = if told { finding::DOCUMENT_ENCRYPTED_TOLD } else { finding::DOCUMENT_ENCRYPTED };
    scan.finding(id, part, "", place.mark());
}

/// Puts a decrypted package on the work list. Says whether something in it may be protected.
fn give(package: Vec<u8>, part: &Part, scan: &mut Scan) -> bool {
    let bytes = Bytes::from(package);
    let types = filetype::detect(&bytes);
    if !types.has(FileType::Zip) && !types.has(FileType::Ole) {
        scan.finding(finding::DAMAGED, part, package::STREAM, "what the password opens is no package");
    }
    let is_protected = !types.has(FileType::Zip) || protection::of_package(&bytes);
    let names = vec![Name::plain(package::STREAM)];
    scan.child(part, Origin::Embedded, Child { names, bytes, opened_by_password: true, ..Child::default() });
    is_protected
}
