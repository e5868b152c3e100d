//! The raw octets of a message, in memory or in an unlinked file, and the few edits that a
//! delivered copy gets.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use bytes::Bytes;

/// Where message content is kept while it arrives.
#[derive(Clone, Debug)]
pub struct SpoolPolicy {
    /// Octets kept in memory per message; more goes to a file.
    pub threshold: usize,
    /// Folder of the unlinked files.
    pub folder: PathBuf,
}

/// A message that is arriving.
#[derive(Debug)]
pub struct Spool {
    policy: SpoolPolicy,
    memory: Vec<u8>,
    file: Option<File>,
    size: u64,
}

impl Spool {
    /// An empty one.
    pub fn new(policy: SpoolPolicy) -> Self {
        Self { policy, memory: Vec::new(), file: None, size: 0 }
    }

    /// Octets so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether writing so many octets more would write to the disk.
    pub fn would_block(&self, octets: usize) -> bool {
        self.memory.len().saturating_add(octets) > self.policy.threshold
    }

    /// Whether some of it is in a file already.
    pub fn is_on_disk(&self) -> bool {
        self.file.is_some()
    }

    /// Appends octets.
    ///
    /// # Errors
    /// The spool folder is missing, full or not writable: the caller answers 452.
    pub fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.size = self.size.saturating_add(octets.len() as u64);
        self.memory.extend_from_slice(octets);
        if self.memory.len() > self.policy.threshold {
            self.flush()?;
        }
        Ok(())
    }

    /// Ends the message.
    ///
    /// # Errors
    /// As [`Spool::write`].
    pub fn finish(mut self) -> io::Result<Message> {
        if self.file.is_some() {
            self.flush()?;
        }
        let content = match self.file {
            Some(file) => Content::File(file),
            None => Content::Memory(Bytes::from(self.memory)),
        };
        Ok(Message { content, size: self.size })
    }

    fn flush(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(tempfile::tempfile_in(&self.policy.folder)?),
        };
        file.write_all(&self.memory)?;
        self.memory.clear();
        Ok(())
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

    /// All octets at once, for scanning. Cheap if it is in memory; else bounded by the size
    /// limit that was enforced while it arrived.
    ///
    /// # Errors
    /// The spooled file cannot be read.
    pub fn bytes(&self) -> io::Result<Bytes> {
        match &self.content {
            Content::Memory(bytes) => Ok(bytes.clone()),
            Content::File(_) => self.read(0..self.size),
        }
    }

    /// The header, with the empty line behind it: everything, if there is none.
    ///
    /// # Errors
    /// As [`Message::bytes`].
    pub fn head(&self) -> io::Result<Bytes> {
        if let Content::Memory(bytes) = &self.content {
            return Ok(bytes.slice(..header_end(bytes, 0).unwrap_or(bytes.len())));
        }
        let mut head = Vec::new();
        while (head.len() as u64) < self.size {
            let at = head.len();
            head.extend_from_slice(&self.read(at as u64..(at as u64).saturating_add(HEAD_PIECE))?);
            // An empty line may begin in the piece before.
            if let Some(end) = header_end(&head, at.saturating_sub(2)) {
                head.truncate(end);
                break;
            }
        }
        Ok(head.into())
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
            Content::File(file) => {
                let length = usize::try_from(end.saturating_sub(start)).map_err(io::Error::other)?;
                let mut buffer = vec![0; length];
                file.read_exact_at(&mut buffer, start)?;
                Ok(Bytes::from(buffer))
            }
        }
    }
}

/// Octets read at once while the end of a header is looked for.
const HEAD_PIECE: u64 = 65_536;

/// Where the first empty line ends that does not begin before `from`.
fn header_end(octets: &[u8], from: usize) -> Option<usize> {
    let rest = octets.get(from..)?;
    if from == 0 && (rest.starts_with(b"\r\n") || rest.starts_with(b"\n")) {
        return Some(if rest.starts_with(b"\n") { 1 } else { 2 });
    }
    memchr::memchr_iter(b'\n', rest).find_map(|at| {
        let behind = rest.get(at.saturating_add(1)..)?;
        let length =
            if behind.starts_with(b"\n") { 1 } else { usize::from(behind.starts_with(b"\r\n")).saturating_mul(2) };
        (length > 0).then(|| from.saturating_add(at).saturating_add(1).saturating_add(length))
    })
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
        let mut spool = Spool::new(SpoolPolicy { threshold, folder: std::env::temp_dir() });
        for chunk in chunks {
            spool.write(chunk).unwrap();
        }
        spool.finish().unwrap()
    }

    #[test]
    fn memory_and_file_hold_the_same_octets() {
        for threshold in [0, 5, 6, 100] {
            let message = spooled(threshold, &[b"abc", b"", b"def"]);
            assert_eq!(message.size(), 6);
            assert_eq!(&message.bytes().unwrap()[..], b"abcdef");
            assert_eq!(&message.read(2..4).unwrap()[..], b"cd");
            assert_eq!(&message.read(5..99).unwrap()[..], b"f");
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
