//! RAR archives, versions 2 to 7, also behind a program that unpacks itself. Headers and keys are read here, packed
//! data is decoded by the `rars` crate. A password counts once the checksum of a member is right, or, where names are
//! encrypted, too, that of a header. Volumes are read one behind the other, as `scan` joins them; those of an archive whose
//! names are encrypted are told.

mod crypt;
mod headers4;
mod headers5;
mod unpack;

use std::ops::Range;

use bytes::Bytes;
use flate2::Crc;
use memchr::memmem;

use self::crypt::{Cipher, Lock};
use self::unpack::Unpacker;
use crate::filetype::FileType;
use crate::finding;
use crate::formats::Format;
use crate::formats::container::{self, Content, Member, Outcome};
use crate::limits::Limit;
use crate::lure;
use crate::part::{Name, Part};
use crate::scan::Scan;

/// RAR archives.
pub const FORMAT: Format = Format { name: "rar", walled: true, accepts, examine };

/// How both begin.
const SIGNATURE: &[u8] = b"Rar!\x1a\x07";
const FOUR: &[u8] = b"Rar!\x1a\x07\0";
const FIVE: &[u8] = b"Rar!\x1a\x07\x01\0";
const PROGRAM: &[u8] = b"MZ";
/// Octets of a program that are searched for an archive.
const MAX_STUB: usize = 4 << 20;
/// Signatures in a program that are tried.
const MAX_SIGNATURES: usize = 16;
/// Words that only may be a password and are tried: each try takes a tenth of a second.
const MAX_GUESSES: usize = 4;

fn accepts(part: &Part) -> bool {
    part.types.has(FileType::Rar) || part.types.has(FileType::Pe)
}

fn examine(part: &Part, scan: &mut Scan) {
    if !part.bytes.starts_with(PROGRAM) {
        archive(part, 0, scan);
        return;
    }
    // A program that unpacks archives has the signature among its texts.
    let stub = part.bytes.slice(..part.bytes.len().min(MAX_STUB));
    let _ = memmem::find_iter(&stub, SIGNATURE).take(MAX_SIGNATURES).any(|start| archive(part, start, scan));
}

/// Reads the archive that begins at `start`; `false` if there is none within a program.
fn archive(part: &Part, start: usize, scan: &mut Scan) -> bool {
    let most = usize::try_from(scan.limits().max_files.saturating_mul(10)).unwrap_or(usize::MAX);
    let mut rar = Rar { part, fits: None, unpacker: Unpacker::default(), is_torn: false, locked: Vec::new() };
    let Some(mut headers) = rar.headers(start, most, scan) else {
        container::locked(part, &["names are encrypted, too"], scan);
        return true;
    };
    // Volumes that were joined.
    while headers.is_ended
        && !headers.is_cut
        && part.bytes.get(headers.end..).is_some_and(|rest| rest.starts_with(SIGNATURE))
    {
        let left = most.saturating_sub(headers.seen).max(1);
        let Some(next) = rar.headers(headers.end, left, scan) else {
            container::locked(part, &["names are encrypted, too"], scan);
            break;
        };
        headers.append(next);
    }
    if start > 0 && headers.right == 0 {
        return false;
    }
    if headers.is_cut {
        scan.limit(part, Limit::Files);
    }
    // Archives of old have no record of their end.
    let is_torn = !headers.is_ended && !headers.is_cut && (rar.is_five(start) || headers.entries.is_empty());
    if headers.is_broken || is_torn {
        let evidence = if headers.is_broken { "a header is broken" } else { "its end is missing" };
        scan.finding(finding::DAMAGED, part, "", evidence);
    }
    for entry in &headers.entries {
        lure::file(scan, part, &entry.names, &Bytes::new());
    }
    for entry in headers.entries.iter().filter(|entry| !entry.is_folder) {
        if scan.stopped() || rar.member(entry, scan) == Outcome::Full {
            break;
        }
    }
    let names: Vec<&str> = rar.locked.iter().map(String::as_str).collect();
    container::locked(part, &names, scan);
    true
}

/// What the headers of an archive say.
#[derive(Default)]
struct Headers {
    entries: Vec<Entry>,
    /// Headers looked at, and those whose checksum is right.
    seen: usize,
    right: usize,
    is_broken: bool,
    is_ended: bool,
    is_cut: bool,
    /// Where the end record ends.
    end: usize,
}

impl Headers {
    /// Takes over what the next volume says. A member that was cut at its end goes on with what is first there.
    fn append(&mut self, next: Headers) {
        let Headers { entries, seen, right, is_broken, is_ended, is_cut, end } = next;
        let mut entries = entries.into_iter();
        let mut waiting = None;
        if let Some(cut) = self.entries.last_mut().filter(|entry| entry.is_continued) {
            match entries.next() {
                Some(entry) if entry.continues && entry.name() == cut.name() => cut.go_on(entry),
                other => waiting = other,
            }
        }
        self.entries.extend(waiting.into_iter().chain(entries));
        self.seen = self.seen.saturating_add(seen);
        self.right = self.right.saturating_add(right);
        self.is_broken |= is_broken;
        self.is_ended = is_ended;
        self.is_cut |= is_cut;
        self.end = end;
    }
}

/// A member.
struct Entry {
    names: Vec<Name>,
    data: Range<usize>,
    /// Whether the archive ends before its data does.
    is_short: bool,
    size: Option<u64>,
    crc: Option<u32>,
    method: Method,
    is_solid: bool,
    is_folder: bool,
    /// Its data begins in a volume before, or ends in one behind.
    continues: bool,
    is_continued: bool,
    /// Its data in the volumes behind.
    rest: Vec<Range<usize>>,
    is_link: bool,
    lock: Option<Lock>,
}

impl Entry {
    fn name(&self) -> &str {
        self.names.first().map_or("", |name| name.text.as_str())
    }

    /// Goes on with its part in the next volume, which alone tells the checksum of all.
    fn go_on(&mut self, next: Entry) {
        self.rest.push(next.data);
        self.rest.extend(next.rest);
        self.is_continued = next.is_continued;
        self.is_short |= next.is_short;
        self.size = next.size.or(self.size);
        self.crc = next.crc;
    }

    fn packed(&self, bytes: &Bytes) -> Bytes {
        if self.rest.is_empty() {
            return bytes.slice(self.data.clone());
        }
        let pieces = std::iter::once(&self.data).chain(&self.rest);
        pieces.filter_map(|piece| bytes.get(piece.clone())).collect::<Vec<_>>().concat().into()
    }
}

/// How a member is packed.
enum Method {
    Stored,
    /// RAR 2.
    Two,
    /// RAR 2.9 to 4.
    Three,
    /// RAR 5 (tables 0) and 7 (1), with octets of the window.
    Five {
        tables: u8,
        dictionary: u64,
    },
    Unknown(String),
}

struct Rar<'a> {
    part: &'a Part,
    /// The password that opened something before.
    fits: Option<String>,
    unpacker: Unpacker,
    /// Whether a member is missing that later ones of a solid archive stand on.
    is_torn: bool,
    locked: Vec<String>,
}

impl Rar<'_> {
    fn is_five(&self, start: usize) -> bool {
        self.part.bytes.get(start..).is_some_and(|rest| rest.starts_with(FIVE))
    }

    /// `None` if they are encrypted and no password fits.
    fn headers(&mut self, start: usize, most: usize, scan: &mut Scan) -> Option<Headers> {
        let bytes = &self.part.bytes;
        let is_five = self.is_five(start);
        let at = start.saturating_add(if is_five { FIVE.len() } else { FOUR.len() });
        let lock = if is_five { headers5::lock(bytes, at) } else { headers4::lock(bytes, at) };
        let Some(lock) = lock else {
            let headers = if is_five {
                headers5::read(bytes, at, None, most)
            } else {
                headers4::read(bytes, at, &mut |_| None, most)
            };
            return Some(headers);
        };
        for password in candidates(None, scan) {
            if scan.stopped() || !scan.derive(lock.rounds()) {
                return None;
            }
            let Some(cipher) = lock.open(&password) else { continue };
            let headers = if is_five {
                headers5::read(bytes, at, Some(&cipher), most)
            } else {
                let mut first = Some(cipher);
                let mut key = |salt| match first.take() {
                    Some(cipher) => Some(cipher),
                    None if scan.derive(lock.rounds()) => Lock::Four { salt: Some(salt) }.open(&password),
                    None => None,
                };
                headers4::read(bytes, at, &mut key, most)
            };
            // The archive's own header of RAR 4 is not encrypted.
            if headers.right > usize::from(!is_five) {
                self.fits = Some(password);
                return Some(headers);
            }
        }
        None
    }

    fn member(&mut self, entry: &Entry, scan: &mut Scan) -> Outcome {
        let packed = entry.packed(&self.part.bytes);
        if entry.is_link && packed.is_empty() {
            return Outcome::Given;
        }
        let name = entry.name();
        if entry.continues || entry.is_continued {
            let evidence = format!("{name}: continues in another volume");
            scan.finding(finding::CONTAINER_UNSUPPORTED, self.part, name, &evidence);
        }
        let content = match &entry.lock {
            None => Some(self.content(entry, &packed, None, scan)),
            Some(lock) => self.unlock(entry, lock, &packed, scan),
        };
        let Some(content) = content else {
            self.is_torn = true;
            self.locked.push(name.to_owned());
            return Outcome::Given;
        };
        self.is_torn |= !matches!(content, Content::Whole(_));
        let opened = entry.lock.is_some() || self.fits.is_some();
        let member = Member { names: &entry.names, packed: Some(&packed), is_empty: entry.size == Some(0) };
        container::give(self.part, member, content, opened, scan)
    }

    /// Tries the passwords; `None` if none fits.
    fn unlock(&mut self, entry: &Entry, lock: &Lock, packed: &Bytes, scan: &mut Scan) -> Option<Content> {
        if *lock == Lock::Unknown {
            return None;
        }
        let before = entry.is_solid.then(|| self.unpacker.clone());
        for password in candidates(self.fits.as_ref(), scan) {
            if scan.stopped() || !scan.derive(lock.rounds()) {
                return None;
            }
            let Some(cipher) = lock.open(&password) else { continue };
            let mut clear = packed.to_vec();
            cipher.decrypt(&mut clear);
            if let (Method::Stored, Some(size)) = (&entry.method, entry.size) {
                clear.truncate(usize::try_from(size).unwrap_or(usize::MAX));
            }
            let content = self.content(entry, &clear.into(), Some(&cipher), scan);
            let has_check = matches!(lock, Lock::Five { check: Some(_), .. });
            let is_proven = match content {
                Content::Whole(_) => entry.crc.is_some() || has_check,
                // What a limit cuts, or what no one can unpack, no checksum proves.
                Content::Head(_) | Content::Unsupported(_) | Content::Damaged(_) => has_check,
            };
            if is_proven {
                self.fits = Some(password);
                return Some(content);
            }
            scan.spend(content.size());
            if let Some(before) = &before {
                self.unpacker = before.clone();
            }
        }
        None
    }

    fn content(&mut self, entry: &Entry, packed: &Bytes, cipher: Option<&Cipher>, scan: &Scan) -> Content {
        let is_packed = !matches!(entry.method, Method::Stored);
        if !entry.is_solid && is_packed {
            self.is_torn = false;
        }
        if entry.is_solid && is_packed && self.is_torn {
            return Content::Unsupported("stands on a member that is not readable".into());
        }
        let content = match entry.method {
            Method::Stored => Content::stored(packed.clone(), scan.room()),
            _ => self.unpacker.unpack(entry, packed, scan.room(), scan.stop()),
        };
        let Content::Whole(bytes) = content else { return content };
        let sum = crc32(&bytes);
        let sum = cipher.map_or(sum, |cipher| cipher.checksum(sum));
        let is_whole = entry.crc.is_none_or(|crc| crc == sum) && !entry.is_short;
        if is_whole { Content::Whole(bytes) } else { Content::Damaged(bytes) }
    }
}

/// The password that opened something, what is told, and a few words that may be one.
fn candidates(fits: Option<&String>, scan: &Scan) -> Vec<String> {
    let others = scan.passwords().iter().chain(scan.guesses().iter().take(MAX_GUESSES));
    let others = others.filter(|text| Some(*text) != fits);
    fits.into_iter().chain(others).cloned().collect()
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}
