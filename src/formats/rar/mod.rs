//! RAR archives, versions 1.5 to 7 (technote of RAR 5.0; those of old as UnRAR reads them), also behind a program that unpacks
//! itself. Headers and keys are read here, packed data is decoded by the `rars` crate.
//!
//! Members are proven by CRC-32 or BLAKE2sp; one that has neither is taken as it comes. A password counts once a checksum of
//! a member or the check of the password (RAR 5) is right, or, where names are encrypted, too, the checksum of a header:
//! what is encrypted and has none of them stays locked. Streams of NTFS are members, comments tell passwords. Volumes are
//! read one behind the other, as `scan` joins them. The ciphers of RAR 1.5 and 2 are not known: what they lock stays locked.

mod blake2sp;
mod crypt;
mod entry;
mod headers4;
mod headers5;
mod unpack;

use std::collections::BTreeMap;

use bytes::Bytes;
use flate2::Crc;
use memchr::memmem;

use self::crypt::{Cipher, Keys, Lock};
use self::entry::{Entry, Headers, Method, Role};
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
/// Comments that are read: an archive has one, which each of its volumes may repeat.
const MAX_COMMENTS: usize = 16;

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
    let mut rar = Rar::new(part);
    let Some(mut headers) = rar.headers(start, most, scan) else {
        container::locked_with_names(part, scan);
        return true;
    };
    // Volumes that were joined.
    while headers.is_ended
        && !headers.is_cut
        && part.bytes.get(headers.end..).is_some_and(|rest| rest.starts_with(SIGNATURE))
    {
        let left = most.saturating_sub(headers.seen);
        if left == 0 {
            headers.is_cut = true;
            break;
        }
        let Some(next) = rar.headers(headers.end, left, scan) else {
            container::locked_with_names(part, scan);
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
    if headers.has_old_streams {
        scan.finding(finding::CONTAINER_UNSUPPORTED, part, "", "streams of NTFS as RAR 2.9 kept them");
    }
    for entry in &headers.entries {
        lure::file(scan, part, &entry.names, &Bytes::new());
    }
    for comment in headers.comments.iter().take(MAX_COMMENTS) {
        rar.listen(comment, scan);
    }
    if headers.entries.iter().any(|entry| entry.lock.is_some()) {
        for entry in headers.entries.iter().filter(|entry| is_note(entry)) {
            rar.listen(entry, scan);
        }
    }
    rar.extract(&headers.entries, scan);
    container::locked(part, &rar.locked, scan);
    true
}

struct Rar<'a> {
    part: &'a Part,
    /// The password that opened something before.
    fits: Option<String>,
    /// Whether names are encrypted, too.
    is_hidden: bool,
    keys: Keys,
    unpacker: Unpacker,
    /// Whether a member is missing that later ones of a solid archive stand on.
    is_torn: bool,
    locked: Vec<Vec<Name>>,
}

/// What came of a member.
struct Opened {
    packed: Bytes,
    content: Content,
    by_password: bool,
}

impl<'a> Rar<'a> {
    fn new(part: &'a Part) -> Self {
        let (keys, unpacker) = (Keys::default(), Unpacker::default());
        Self { part, fits: None, is_hidden: false, keys, unpacker, is_torn: false, locked: Vec::new() }
    }

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
        for password in candidates(self.fits.as_ref(), scan) {
            if scan.stopped() || !scan.derive(self.keys.rounds(&lock, &password)) {
                scan.cut_passwords();
                return None;
            }
            let Some(cipher) = self.keys.open(&lock, &password) else { continue };
            let headers = if is_five {
                headers5::read(bytes, at, Some(&cipher), most)
            } else {
                let keys = &mut self.keys;
                let mut key = |salt| {
                    let lock = Lock::Four { salt: Some(salt) };
                    if scan.derive(keys.rounds(&lock, &password)) { keys.open(&lock, &password) } else { None }
                };
                headers4::read(bytes, at, &mut key, most)
            };
            // The archive's own header of RAR 4 is not encrypted.
            if headers.right > usize::from(!is_five) {
                self.fits = Some(password);
                self.is_hidden = true;
                return Some(headers);
            }
        }
        None
    }

    /// A comment, or a note beside what is encrypted, may tell the password of the rest.
    fn listen(&self, entry: &Entry, scan: &mut Scan) {
        if entry.lock.is_some() || scan.stopped() {
            return;
        }
        let packed = entry.packed(&self.part.bytes);
        let room = lure::MAX_NOTE.min(scan.room());
        // What was unpacked before has no part in it.
        let content = Unpacker::default().unpack(entry, &packed, room, scan.stop());
        let Content::Whole(text) = content else { return };
        scan.spend(text.len() as u64);
        let text = if entry.is_wide { from_utf16(&text) } else { text };
        lure::file(scan, self.part, &[], &text);
    }

    /// Members become parts, those first that their names tell to be the most dangerous.
    fn extract(&mut self, entries: &[Entry], scan: &mut Scan) {
        let mut members: Vec<&Entry> = entries.iter().filter(|entry| entry.role != Role::Folder).collect();
        if members.iter().any(|entry| entry.is_solid && entry.is_packed()) {
            return self.extract_solid(&members, scan);
        }
        // Stable: those of one rank in their order.
        members.sort_by_key(|entry| entry.rank());
        for entry in members {
            if scan.stopped() {
                return;
            }
            if let Some(opened) = self.open(entry, scan)
                && self.give(entry, opened, scan) == Outcome::Full
            {
                return;
            }
        }
    }

    /// Members of a solid archive are unpacked in their order, and wait until all are, or until there are more than there
    /// is room for: then the least dangerous go.
    fn extract_solid(&mut self, members: &[&Entry], scan: &mut Scan) {
        let (files, left) = scan.left();
        // Beside what waits there is the one that is unpacked.
        let octets = left.saturating_sub(scan.limits().max_file_size).max(left / 2);
        let (mut waiting, mut held, mut unpacked) = (BTreeMap::new(), 0_u64, 0_u64);
        let mut limit = None;
        for (number, entry) in members.iter().enumerate() {
            if scan.stopped() {
                return;
            }
            if unpacked > scan.limits().max_scan_size.saturating_mul(2) {
                limit = Some(Limit::ScanSize);
                break;
            }
            let Some(opened) = self.open(entry, scan) else { continue };
            if let Content::Whole(text) = &opened.content {
                lure::file(scan, self.part, &[], text);
            }
            let size = opened.content.size();
            (held, unpacked) = (held.saturating_add(size), unpacked.saturating_add(size));
            waiting.insert((entry.rank(), number), (entry, opened));
            while held > octets || waiting.len() as u64 > files {
                limit = Some(if held > octets { Limit::ScanSize } else { Limit::Files });
                let Some((_, (_, opened))) = waiting.pop_last() else { break };
                held = held.saturating_sub(opened.content.size());
            }
        }
        for (entry, opened) in waiting.into_values() {
            if self.give(entry, opened, scan) == Outcome::Full {
                return;
            }
        }
        if let Some(limit) = limit {
            scan.limit(self.part, limit);
        }
    }

    /// Unpacks a member; `None` if there is nothing to give.
    fn open(&mut self, entry: &Entry, scan: &mut Scan) -> Option<Opened> {
        let packed = entry.packed(&self.part.bytes);
        if entry.is_link && packed.is_empty() {
            return None;
        }
        let name = entry.name();
        if entry.continues || entry.is_continued {
            let evidence = format!("{name}: continues in another volume");
            scan.finding(finding::CONTAINER_UNSUPPORTED, self.part, name, &evidence);
        }
        // Nothing proves the password of nothing.
        let lock = entry.lock.as_ref().filter(|_| !packed.is_empty());
        let content = match lock {
            None => Some(self.content(entry, &packed, None, scan)),
            Some(lock) => self.unlock(entry, lock, &packed, scan),
        };
        let Some(content) = content else {
            self.is_torn = true;
            self.locked.push(entry.names.clone());
            return None;
        };
        self.is_torn |= !matches!(content, Content::Whole(_));
        let by_password = lock.is_some() || self.is_hidden;
        Some(Opened { packed, content, by_password })
    }

    fn give(&self, entry: &Entry, opened: Opened, scan: &mut Scan) -> Outcome {
        let Opened { packed, content, by_password } = opened;
        let member = Member { names: &entry.names, packed: Some(&packed), is_empty: entry.size == Some(0) };
        container::give(self.part, member, content, by_password, scan)
    }

    /// Tries the passwords; `None` if none fits.
    fn unlock(&mut self, entry: &Entry, lock: &Lock, packed: &Bytes, scan: &mut Scan) -> Option<Content> {
        if *lock == Lock::Unknown {
            return None;
        }
        let has_check = matches!(lock, Lock::Five { check: Some(_), .. });
        // A wrong password may spoil the window of what follows.
        let before = (entry.is_solid && !has_check).then(|| self.unpacker.clone());
        for password in candidates(self.fits.as_ref(), scan) {
            if scan.stopped() || !scan.derive(self.keys.rounds(lock, &password)) {
                scan.cut_passwords();
                return None;
            }
            let Some(cipher) = self.keys.open(lock, &password) else { continue };
            let mut clear = packed.to_vec();
            cipher.decrypt(&mut clear);
            if let (Method::Stored, Some(size)) = (&entry.method, entry.size) {
                clear.truncate(usize::try_from(size).unwrap_or(usize::MAX));
            }
            let content = self.content(entry, &clear.into(), Some(&cipher), scan);
            let is_proven = match content {
                // Without a checksum, wrong octets are as good as right ones.
                Content::Whole(_) => entry.crc.is_some() || entry.blake.is_some() || has_check,
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
        if !entry.is_solid && entry.is_packed() {
            self.is_torn = false;
        }
        if entry.is_solid && entry.is_packed() && self.is_torn {
            return Content::Unsupported("stands on a member that is not readable".into());
        }
        let content = match entry.method {
            Method::Stored => Content::stored(packed.clone(), scan.room()),
            _ => self.unpacker.unpack(entry, packed, scan.room(), scan.stop()),
        };
        let Content::Whole(bytes) = content else { return content };
        if is_right(entry, &bytes, cipher) && !entry.is_short { Content::Whole(bytes) } else { Content::Damaged(bytes) }
    }
}

/// Whether a member may be a note that is readable by itself.
fn is_note(entry: &Entry) -> bool {
    let is_torn = entry.continues || entry.is_continued || entry.is_solid && entry.is_packed();
    entry.role == Role::File
        && entry.lock.is_none()
        && !is_torn
        && entry.size.is_some_and(|size| size <= lure::MAX_NOTE)
}

/// Whether content is what its checksums say, as far as there are any. What has none is taken as it comes.
fn is_right(entry: &Entry, bytes: &[u8], cipher: Option<&Cipher>) -> bool {
    let crc = || cipher.map_or(crc32(bytes), |cipher| cipher.checksum(crc32(bytes)));
    let hash = || cipher.map_or(blake2sp::hash(bytes), |cipher| cipher.hash(blake2sp::hash(bytes)));
    entry.crc.is_none_or(|expected| expected == crc()) && entry.blake.is_none_or(|expected| expected == hash())
}

/// The same text in UTF-8.
fn from_utf16(text: &[u8]) -> Bytes {
    let units = text.chunks_exact(2).filter_map(|two| Some(u16::from_le_bytes(two.try_into().ok()?)));
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect::<String>().into()
}

/// The password that opened something, what is told, and a few words that may be one.
fn candidates(fits: Option<&String>, scan: &mut Scan) -> Vec<String> {
    if scan.guesses().len() > MAX_GUESSES {
        scan.cut_passwords();
    }
    let others = scan.passwords().iter().chain(scan.guesses().iter().take(MAX_GUESSES));
    let others = others.filter(|text| Some(*text) != fits);
    fits.into_iter().chain(others).cloned().collect()
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}
