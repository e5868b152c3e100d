//! The raw octets of a message, in memory or in an unlinked file, and the few edits that a
//! delivered copy gets.

mod memory;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

pub use memory::Memory;

use memory::Buffer;

/// Octets collected in memory before they are added to a file: a slow client sends them a segment at a time.
const WRITE_BUFFER: usize = 64 << 10;
/// Octets of a piece in which a header section is read from a file.
const HEAD_PIECE: u64 = 64 << 10;
/// A header section that goes on behind this is not read alone. 1 MiB: Postfix takes 100 kB (header_size_limit).
const MAX_HEAD: u64 = 1 << 20;

/// Where message content is kept while it arrives.
#[derive(Clone, Debug)]
pub struct SpoolPolicy {
    /// Octets kept in memory per message; more goes to a file.
    pub threshold: usize,
    /// Folder of the unlinked files.
    pub folder: PathBuf,
    /// What all messages may have of memory; who gets none goes to a file.
    pub memory: Arc<Memory>,
    /// Octets that stay free on the disk of the folder.
    pub min_free: u64,
}

impl SpoolPolicy {
    /// A policy without a budget of memory and of disk.
    pub fn new(threshold: usize, folder: PathBuf) -> Self {
        Self { threshold, folder, memory: Memory::new(usize::MAX), min_free: 0 }
    }

    /// Whether a message could be spooled now.
    ///
    /// # Errors
    /// What stands in the way.
    pub fn check(&self) -> io::Result<()> {
        self.check_room(&self.make()?, 0)
    }

    fn make(&self) -> io::Result<File> {
        tempfile::tempfile_in(&self.folder)
    }

    /// Whether so many octets more leave `min_free`. (The disk may fill up all the same, by others; then writing fails.)
    fn check_room(&self, file: &File, more: usize) -> io::Result<()> {
        let disk = rustix::fs::fstatvfs(file)?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        // A file system that tells no size (some network ones) says 0 of 0.
        if disk.f_blocks > 0 && free < self.min_free.saturating_add(more as u64) {
            let why = format!("{free} bytes are free there, and spool_min_free is {} bytes", self.min_free);
            return Err(io::Error::new(io::ErrorKind::StorageFull, why));
        }
        Ok(())
    }
}

/// A message that is arriving.
#[derive(Debug)]
pub struct Spool {
    policy: SpoolPolicy,
    /// What is not in the file (yet).
    memory: Buffer,
    file: Option<File>,
    size: u64,
}

impl Spool {
    /// An empty one.
    pub fn new(policy: SpoolPolicy) -> Self {
        let memory = Buffer::new(Arc::clone(&policy.memory));
        Self { policy, memory, file: None, size: 0 }
    }

    /// Octets so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether some of it is in a file already.
    pub fn is_on_disk(&self) -> bool {
        self.file.is_some()
    }

    /// Appends octets if they may stay in memory, so that the disk is not touched. False if not: then nothing changed.
    pub fn try_write(&mut self, octets: &[u8]) -> bool {
        let most = if self.is_on_disk() { self.policy.threshold.min(WRITE_BUFFER) } else { self.policy.threshold };
        let kept = self.memory.try_extend(octets, most);
        if kept {
            self.size = self.size.saturating_add(octets.len() as u64);
        }
        kept
    }

    /// Appends octets.
    ///
    /// # Errors
    /// The spool folder is missing, full (`min_free`) or not writable: the caller answers 452.
    pub fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        if self.try_write(octets) {
            return Ok(());
        }
        self.spill()?;
        if !self.try_write(octets) {
            self.append(octets)?;
            self.size = self.size.saturating_add(octets.len() as u64);
        }
        Ok(())
    }

    /// Ends the message.
    ///
    /// # Errors
    /// As [`Spool::write`].
    pub fn finish(mut self) -> io::Result<Message> {
        if self.is_on_disk() && self.memory.len() > 0 {
            self.spill()?;
        }
        let content = match self.file {
            Some(file) => Content::File(file),
            None => Content::Memory(self.memory.share()),
        };
        Ok(Message { content, size: self.size })
    }

    /// Moves what is in memory to the file.
    fn spill(&mut self) -> io::Result<()> {
        let empty = Buffer::new(Arc::clone(&self.policy.memory));
        let kept = std::mem::replace(&mut self.memory, empty);
        self.append(kept.as_ref())
    }

    fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(self.policy.make()?),
        };
        self.policy.check_room(file, octets.len())?;
        file.write_all(octets)
    }
}

/// A whole message, exactly as it was sent (dot-stuffing undone). Never changed: a delivered copy
/// is this message read through [`Edits`].
#[derive(Debug)]
pub struct Message {
    content: Content,
    size: u64,
}

#[derive(Debug)]
enum Content {
    Memory(Bytes),
    File(File),
}

impl Message {
    /// A message in memory.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { size: bytes.len() as u64, content: Content::Memory(bytes) }
    }

    /// A message in a file that is already there (a held one).
    ///
    /// # Errors
    /// The file's size cannot be read.
    pub fn from_file(mut file: File) -> io::Result<Self> {
        let size = file.seek(SeekFrom::End(0))?;
        Ok(Self { content: Content::File(file), size })
    }

    /// Its size in octets.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether reading it needs no disk.
    pub fn is_in_memory(&self) -> bool {
        matches!(self.content, Content::Memory(_))
    }

    /// All octets at once, for scanning. Cheap if it is in memory; else a copy that no budget knows of, bounded by the size
    /// limit that was enforced while it arrived: only for whoever has a slot ([`crate::queue`]).
    ///
    /// # Errors
    /// The spooled file cannot be read.
    pub fn bytes(&self) -> io::Result<Bytes> {
        match &self.content {
            Content::Memory(bytes) => Ok(bytes.clone()),
            Content::File(_) => self.read(0..self.size),
        }
    }

    /// The header section with the empty line behind it: all that readers of fields need.
    ///
    /// # Errors
    /// The spooled file cannot be read.
    pub fn head(&self) -> io::Result<Head> {
        let file = match &self.content {
            Content::Memory(bytes) => {
                let end = HeadEnd::default().find(bytes).unwrap_or(bytes.len());
                return Ok(Head { octets: bytes.slice(..end), whole: true });
            }
            Content::File(file) => file,
        };
        let (mut octets, mut seeking) = (Vec::new(), HeadEnd::default());
        let last = self.size.min(MAX_HEAD);
        loop {
            let at = octets.len() as u64;
            let length = last.saturating_sub(at).min(HEAD_PIECE);
            if length == 0 {
                let whole = at == self.size;
                return Ok(Head { octets: Bytes::from(octets), whole });
            }
            let piece = read_at(file, at..at.saturating_add(length))?;
            octets.extend_from_slice(&piece);
            if let Some(end) = seeking.find(&octets) {
                octets.truncate(end);
                return Ok(Head { octets: Bytes::from(octets), whole: true });
            }
        }
    }

    /// The octets of a range (cut at the end of the message).
    ///
    /// # Errors
    /// The spooled file cannot be read or is shorter than it was.
    pub fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let end = range.end.min(self.size);
        let start = range.start.min(end);
        match &self.content {
            Content::Memory(bytes) => {
                let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
                Ok(bytes.slice(index(start)..index(end)))
            }
            Content::File(file) => read_at(file, start..end).map(Bytes::from),
        }
    }
}

fn read_at(file: &File, range: Range<u64>) -> io::Result<Vec<u8>> {
    let length = usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
    let mut buffer = vec![0; length];
    file.read_exact_at(&mut buffer, range.start)?;
    Ok(buffer)
}

/// The top of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Everything up to and with the first empty line, or up to the message's end.
    pub octets: Bytes,
    /// False for a header section that goes on behind 1 MiB: fields may be missing at the end.
    pub whole: bool,
}

/// Looks for the first empty line (nothing but carriage returns before its LF), piece by piece.
#[derive(Debug, Default)]
struct HeadEnd {
    /// Where the line begins whose end was not seen yet.
    line: usize,
    /// How far was looked.
    seen: usize,
}

impl HeadEnd {
    /// Where the empty line ends. `octets` begin as they did at the last call, and have become more.
    fn find(&mut self, octets: &[u8]) -> Option<usize> {
        let fresh = octets.get(self.seen..).unwrap_or_default();
        for offset in memchr::memchr_iter(b'\n', fresh) {
            let newline = self.seen.saturating_add(offset);
            let text = octets.get(self.line..newline).unwrap_or_default();
            self.line = newline.saturating_add(1);
            if text.iter().all(|octet| *octet == b'\r') {
                return Some(self.line);
            }
        }
        self.seen = octets.len();
        None
    }
}

/// Octets cut out of a message and others put in their place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splice {
    /// What goes.
    pub range: Range<u64>,
    /// What comes instead.
    pub with: Bytes,
}

/// The difference between a message as received and a copy as delivered: sorted splices that do
/// not overlap. Everything outside them is byte-identical.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits(Vec<Splice>);

impl Edits {
    /// Sorts splices; one that overlaps an earlier one is dropped (and must not be built).
    pub fn new(mut splices: Vec<Splice>) -> Self {
        splices.sort_by_key(|splice| (splice.range.start, splice.range.end));
        let mut end = 0;
        splices.retain(|splice| {
            let fits = splice.range.start >= end && splice.range.end >= splice.range.start;
            if fits {
                end = splice.range.end;
            }
            fits
        });
        Self(splices)
    }

    /// The copy as pieces, in order: each is a range of the original or new octets.
    pub fn pieces(&self, size: u64) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut at = 0;
        for splice in &self.0 {
            pieces.push(Piece::Original(at..splice.range.start.min(size)));
            pieces.push(Piece::New(splice.with.clone()));
            at = splice.range.end.min(size);
        }
        pieces.push(Piece::Original(at..size));
        pieces
    }

    /// The copy of a message that is in memory.
    pub fn apply(&self, original: &[u8]) -> Vec<u8> {
        let mut copy = Vec::with_capacity(original.len());
        for piece in self.pieces(original.len() as u64) {
            match piece {
                Piece::New(octets) => copy.extend_from_slice(&octets),
                Piece::Original(range) => {
                    let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
                    copy.extend_from_slice(original.get(index(range.start)..index(range.end)).unwrap_or_default());
                }
            }
        }
        copy
    }

    /// How many octets longer (or shorter) the copy is.
    pub fn growth(&self) -> i64 {
        self.0.iter().fold(0i64, |sum, splice| {
            let gone = splice.range.end.saturating_sub(splice.range.start);
            sum.saturating_add(splice.with.len() as i64).saturating_sub(i64::try_from(gone).unwrap_or(i64::MAX))
        })
    }
}

/// A piece of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A range of the original.
    Original(Range<u64>),
    /// New octets.
    New(Bytes),
}

/// Reads a whole file that may not be larger than `limit`.
///
/// # Errors
/// I/O, or `FileTooLarge` above the limit.
pub fn read_bounded(reader: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {limit} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spooled(threshold: usize, chunks: &[&[u8]]) -> Message {
        written(SpoolPolicy::new(threshold, std::env::temp_dir()), chunks)
    }

    fn written(policy: SpoolPolicy, chunks: &[&[u8]]) -> Message {
        let mut spool = Spool::new(policy);
        for chunk in chunks {
            spool.write(chunk).unwrap();
        }
        spool.finish().unwrap()
    }

    fn is_on_disk(message: &Message) -> bool {
        matches!(message.content, Content::File(_))
    }

    #[test]
    fn memory_and_file_hold_the_same_octets() {
        for threshold in [0, 5, 6, 100] {
            let message = spooled(threshold, &[b"abc", b"", b"def"]);
            assert_eq!(is_on_disk(&message), threshold < 6);
            assert_eq!(message.size(), 6);
            assert_eq!(&message.bytes().unwrap()[..], b"abcdef");
            assert_eq!(&message.read(2..4).unwrap()[..], b"cd");
            assert_eq!(&message.read(5..99).unwrap()[..], b"f");
        }
    }

    #[test]
    fn a_message_without_memory_goes_to_a_file_from_where_it_stands() {
        let memory = Memory::new(1000);
        let policy = SpoolPolicy { memory: Arc::clone(&memory), ..SpoolPolicy::new(10_000, std::env::temp_dir()) };
        let first = written(policy.clone(), &[&[b'a'; 700]]);
        assert_eq!((is_on_disk(&first), memory.used()), (false, 700));
        let mut second = Spool::new(policy.clone());
        assert!(second.try_write(&[b'b'; 200]) && !second.is_on_disk());
        assert!(!second.try_write(&[b'c'; 200]), "no memory is left");
        second.write(&[b'c'; 200]).unwrap();
        assert!(second.is_on_disk());
        assert_eq!(memory.used(), 900, "the next write is collected first");
        second.write(&[b'd'; 5000]).unwrap();
        assert_eq!(memory.used(), 700);
        second.write(b"e").unwrap();
        let second = second.finish().unwrap();
        assert_eq!((second.size(), memory.used()), (5401, 700));
        let whole = [&[b'b'; 200][..], &[b'c'; 200], &[b'd'; 5000], b"e"].concat();
        assert_eq!(second.bytes().unwrap(), whole);
        let scanned = first.bytes().unwrap();
        drop(first);
        assert_eq!(memory.used(), 700, "somebody reads it still");
        drop(scanned);
        assert_eq!(memory.used(), 0);
        assert!(!is_on_disk(&written(policy, &[&[b'a'; 1000]])));
    }

    #[test]
    fn any_pieces_under_any_budget_make_the_same_message() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let memory = Memory::new(random.usize(..200_000));
            let min_free = 0;
            let policy = SpoolPolicy {
                threshold: random.usize(..150_000),
                folder: std::env::temp_dir(),
                memory: Arc::clone(&memory),
                min_free,
            };
            let mut messages = Vec::new();
            for _ in 0..random.usize(1..5) {
                let (mut spool, mut whole) = (Spool::new(policy.clone()), Vec::new());
                for _ in 0..random.usize(..30) {
                    let octets = vec![random.u8(..); random.usize(..20_000)];
                    spool.write(&octets).unwrap();
                    whole.extend(octets);
                    assert_eq!(spool.size(), whole.len() as u64);
                    assert!(memory.used() <= memory.limit());
                }
                messages.push((spool.finish().unwrap(), whole));
            }
            for (message, whole) in messages {
                assert!(message.bytes().unwrap() == whole && message.size() == whole.len() as u64);
            }
            assert_eq!(memory.used(), 0);
        }
    }

    #[test]
    fn spooling_stops_before_the_disk_is_full() {
        let policy = SpoolPolicy { min_free: u64::MAX, ..SpoolPolicy::new(10, std::env::temp_dir()) };
        assert_eq!(policy.check().unwrap_err().kind(), io::ErrorKind::StorageFull);
        let mut spool = Spool::new(policy.clone());
        spool.write(&[0; 10]).unwrap();
        let error = spool.write(&[0; 10]).unwrap_err();
        assert!(error.to_string().contains("spool_min_free"), "{error}");
        SpoolPolicy { min_free: 0, ..policy }.check().unwrap();
    }

    #[test]
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    fn a_small_disk_keeps_what_is_to_stay_free() {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(folder.path());
        if !mount.output().is_ok_and(|mounted| mounted.status.success()) {
            eprintln!("SKIPPED: no file system can be mounted here");
            return;
        }
        let policy = SpoolPolicy { min_free: 512 << 10, ..SpoolPolicy::new(0, folder.path().to_owned()) };
        let written = std::panic::catch_unwind(|| {
            policy.check().unwrap();
            let mut spool = Spool::new(policy.clone());
            let error = (0..100).find_map(|_| spool.write(&[0; 32 << 10]).err()).unwrap();
            let size = spool.size();
            drop(spool);
            policy.check().unwrap();
            (error.kind(), size)
        });
        let _ = std::process::Command::new("umount").arg("--lazy").arg(folder.path()).status();
        let (kind, size) = written.unwrap();
        assert_eq!(kind, io::ErrorKind::StorageFull);
        assert!((256 << 10..=512 << 10).contains(&size), "{size}");
    }

    #[test]
    fn the_head_ends_behind_the_first_empty_line() {
        let long = format!("A: {}\r\n", "x".repeat(70_000));
        let longest = "B: 1\r\n".repeat(200_000);
        for (head, rest) in [
            ("A: 1\r\nB: 2\r\n\r\n", "body\r\n\r\nmore"),
            ("A: 1\n\n", "body"),
            ("A: 1\r\n\r\r\n", "body"),
            ("A: 1\r\n \r\nC: 2\r\n\r\n", "body"),
            ("\r\n", "body"),
            ("\n", ""),
            ("no header and no body", ""),
            ("A: 1\r\n", ""),
            ("", ""),
            (&format!("{long}\r\n"), "body\r\n\r\n"),
            (&format!("{}\r\n\r\n", "y".repeat((64 << 10) - 3)), "\r\nbody"),
            (&format!("{}\r\n\r\n", "y".repeat((64 << 10) - 2)), "\r\nbody"),
        ] {
            let raw = format!("{head}{rest}");
            for threshold in [0, usize::MAX] {
                let message = spooled(threshold, &[raw.as_bytes()]);
                let expected = Head { octets: Bytes::from(head.to_owned()), whole: true };
                assert!(message.head().unwrap() == expected, "{:?}", raw.get(..60));
            }
        }
        let message = spooled(0, &[longest.as_bytes(), b"\r\nbody"]);
        let Head { octets, whole } = message.head().unwrap();
        assert!(!whole && octets == longest.as_bytes()[..1 << 20]);
    }

    #[test]
    fn readers_of_fields_see_in_the_head_what_they_see_in_the_message() {
        use crate::mime;
        const PIECES: [&str; 16] = [
            "A: 1\r\n",
            "X-Sekisho-Id: 1\r\n",
            "x-sekisho-verdict : clean\n",
            "Received: x\r\n",
            "From: a@b\r\n",
            "Subject: =?utf-8?q?x?=\r\n",
            "Content-Type: text/plain\r\n",
            " folded\r\n",
            " \r\n",
            "\t",
            "\r\n",
            "\n",
            "\r",
            "From x Mon\r\n",
            "--b\r\n",
            "rubbish",
        ];
        let facts = |raw: &[u8]| {
            let fields: Vec<mime::Field> = mime::fields(raw).chain(mime::server_fields(raw)).collect();
            let texts = (mime::subject(raw), mime::message_id(raw), mime::header_from(raw));
            (fields, mime::own_fields(raw, "x-sekisho-"), mime::has_header(raw), mime::received_count(raw), texts)
        };
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let raw: String = (0..random.usize(..12)).map(|_| PIECES[random.usize(..PIECES.len())]).collect();
            let Head { octets, whole } = Message::from_bytes(raw.clone()).head().unwrap();
            assert!(whole);
            assert_eq!(facts(&octets), facts(raw.as_bytes()), "{raw:?}");
        }
    }

    #[test]
    fn edits_change_nothing_outside_their_ranges() {
        let splice = |range, with: &'static str| Splice { range, with: Bytes::from(with) };
        let edits = Edits::new(vec![splice(4..6, ""), splice(0..0, "new "), splice(2..3, "X")]);
        assert_eq!(edits.apply(b"abcdefgh"), b"new abXdgh");
        assert_eq!(edits.growth(), 2);
        assert_eq!(Edits::default().apply(b"abc"), b"abc");
        assert_eq!(Edits::new(vec![splice(0..4, "1"), splice(2..5, "2")]).apply(b"abcdef"), b"1ef");
    }
}
