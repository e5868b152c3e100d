//! The folder of held messages: the truth, and how it is written so that it stays true.
//!
//! A message is `ID.eml` (its octets as received) and `ID.json` (its [`Entry`]). It exists if and only
//! if `ID.json` does. Files are written under another name (`….new`), fsynced and renamed, and then the
//! folder is fsynced: whatever is under its final name is whole.
//!
//! One thing changes in place: whether the MTA of a milter has shown that it saw our answer. That is one
//! octet of `ID.json`, which cannot be torn, and nobody waits for the disk: what a crash undoes of it says
//! again that it is not known, which is the safe side. (Written anew like everything else it would
//! cost as much as the hold itself.)
//!
//! Who changes an entry holds a `flock` on its `ID.json`. Replacing that file would lose the lock, so
//! the new file is locked before it gets the name; who waited for the old one looks again. A lock ends
//! with its process, however that ends. Nothing is left to be cleaned up.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use memchr::memmem;
use rustix::fs::{Advice, FlockOperation, OFlags, fadvise, flock};
use sha2::{Digest, Sha256};

use crate::message::{Message, read_bounded};
use crate::store::entry::{Entry, SCHEMA, State};
use crate::store::{QuarantineId, StoreError};

/// Octets copied at once.
const CHUNK: u64 = 1 << 20;
/// Octets of an entry's file. Facts of 10 000 parts are some 5 MB.
const MAX_ENTRY: u64 = 64 << 20;
/// Leftovers of a crash are younger than a put could ever last, and older than this they are swept.
const LEFTOVER_AGE: Duration = Duration::from_secs(3600);
/// How long to wait for another process that holds an entry. Longer than any rewrite, shorter than a release.
const LOCK_WAIT: Duration = Duration::from_secs(1);
/// How often to look meanwhile.
const LOCK_POLL: Duration = Duration::from_millis(20);

/// In the file of an unconfirmed message stands the state that it has once it is confirmed, and a mark, of
/// which the last octet but one becomes 0 then.
const UNCONFIRMED: &str = "unconfirmed";
const HELD_LINE: &[u8] = b"\n  \"state\": \"held\",";
const UNCONFIRMED_LINE: &[u8] = b"\n  \"state\": \"unconfirmed\",";
const MARK: &[u8] = b"\n  \"unconfirmed\": 1,";
/// Where the mark ends at the latest: schema and id, each of a fixed length, stand before it.
const MARK_WITHIN: usize = 512;

/// The folder. Holds no open files: it may be on a disk that is unmounted and mounted again.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Whom new files are given to: the folder's owner, if root works in somebody else's folder.
    owner: Option<(u32, u32)>,
}

/// An entry that this process may change. Ends with the value.
#[derive(Debug)]
pub(super) struct Locked {
    id: QuarantineId,
    file: File,
}

impl Drop for Locked {
    fn drop(&mut self) {
        // Closing would do, had not a process that is just being started a copy of our files until its
        // exec. An error cannot be: the file is open and locked.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// A file of the folder that belongs to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `ID.json`
    Entry,
    /// `ID.eml`
    Content,
    /// `ID.json.new`, `ID.eml.new`
    Unfinished,
}

/// What identifies one version of a message's files: it differs after every change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Of the entry's file.
    pub(super) inode: u64,
    /// When that was written.
    pub(super) seconds: i64,
    pub(super) nanoseconds: i64,
    /// Octets of the content that lies there, if any does.
    pub(super) content: Option<u64>,
}

impl Folder {
    /// The folder at this path; made (0700) if it is missing.
    pub(super) fn create(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(StoreError::io("create", path))?;
            if let Some(parent) = path.parent() {
                sync_folder(parent)?;
            }
        }
        Self::open(path)
    }

    /// Whether files can be made here, without making one.
    pub(super) fn check_writable(&self) -> Result<(), StoreError> {
        rustix::fs::access(&self.path, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)
            .map_err(|error| StoreError::io("write", &self.path)(error.into()))
    }

    /// Whether the disk has room for so many octets. For the folder's owner: what is kept for root
    /// does not count.
    pub(super) fn check_room(&self, needed: u64) -> Result<(), StoreError> {
        let failed = |error: io::Error| StoreError::io("write", &self.path)(error);
        let disk = rustix::fs::statvfs(&self.path).map_err(|error| failed(error.into()))?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        // A file system that tells no size (some network ones) says 0 of 0.
        if disk.f_blocks > 0 && free < needed { Err(failed(io::ErrorKind::StorageFull.into())) } else { Ok(()) }
    }

    /// The folder at this path, which must be there.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let metadata = fs::metadata(path).map_err(StoreError::io("open", path))?;
        if !metadata.is_dir() {
            return Err(StoreError::io("open", path)(io::ErrorKind::NotADirectory.into()));
        }
        let is_root = rustix::process::geteuid().is_root();
        let owner = (is_root && metadata.uid() != 0).then_some((metadata.uid(), metadata.gid()));
        Ok(Self { path: path.to_owned(), owner })
    }

    /// Where a file of a message is.
    pub(super) fn path(&self, id: QuarantineId, suffix: &str) -> PathBuf {
        self.path.join(format!("{id}.{suffix}"))
    }

    /// The folder's own path.
    pub(super) fn root(&self) -> &Path {
        &self.path
    }

    /// Writes the content under its temporary name. It is durable when it is published. Returns its
    /// hash, too.
    pub(super) fn write_content(&self, id: QuarantineId, message: &Message) -> Result<(File, String), StoreError> {
        let path = self.path(id, "eml.new");
        let mut file = self.new_file(&path)?;
        let mut hash = Sha256::new();
        let mut at = 0;
        while at < message.size() {
            let end = at.saturating_add(CHUNK).min(message.size());
            let piece = message.read(at..end).map_err(StoreError::io("read the message for", &path))?;
            file.write_all(&piece).map_err(StoreError::io("write", &path))?;
            begin_writing(&file);
            hash.update(&piece);
            at = end;
        }
        Ok((file, hex(&hash.finalize())))
    }

    /// Gives a new message its final names, durably, the entry last. Returns it locked: until then
    /// nobody else has seen it.
    pub(super) fn publish(&self, entry: &Entry, content: &File) -> Result<Locked, StoreError> {
        let file = self.write_entry(entry)?;
        begin_writing(&file);
        self.sync(entry.id, "eml.new", content)?;
        forget(content);
        self.sync(entry.id, "json.new", &file)?;
        self.rename(entry.id, "eml.new", "eml")?;
        self.rename(entry.id, "json.new", "json")?;
        sync_folder(&self.path)?;
        Ok(Locked { id: entry.id, file })
    }

    /// Removes whatever there is of a message that could not be stored.
    pub(super) fn abandon(&self, id: QuarantineId) {
        for suffix in ["json", "json.new", "eml", "eml.new"] {
            // It is swept later if this fails; the error that led here is the one to report.
            let _ = fs::remove_file(self.path(id, suffix));
        }
    }

    /// Replaces an entry, durably.
    pub(super) fn replace(&self, locked: &mut Locked, entry: &Entry) -> Result<(), StoreError> {
        let file = self.write_entry(entry)?;
        self.sync(entry.id, "json.new", &file)?;
        self.rename(entry.id, "json.new", "json")?;
        locked.file = file;
        sync_folder(&self.path)
    }

    /// Makes an unconfirmed message held, at once for every reader, and on the disk some time later. `false`
    /// if it is not unconfirmed, or somebody has it locked.
    pub(super) fn confirm(&self, id: QuarantineId) -> Result<bool, StoreError> {
        let path = self.path(id, "json");
        let file = open_with(OpenOptions::new().read(true).write(true), &path).map_err(|e| self.not_opened(id, e))?;
        let Some(Locked { file, .. }) = &self.locked(id, file)? else { return Ok(false) };
        let mut start = [0; MARK_WITHIN];
        let length = file.read_at(&mut start, 0).map_err(StoreError::io("read", &path))?;
        let start = start.get(..length).unwrap_or_default();
        let Some(at) = memmem::find(start, MARK) else { return Ok(false) };
        let octet = at.saturating_add(MARK.len()).saturating_sub(2);
        let written = file.write_all_at(b"0", octet as u64);
        // Two writes within a tick of the kernel's clock would leave the same stamp.
        written.and_then(|()| file.set_modified(SystemTime::now())).map_err(StoreError::io("write", path))?;
        Ok(true)
    }

    /// Removes a message, durably: first the entry, so that it is never one without content.
    pub(super) fn remove(&self, locked: &Locked) -> Result<(), StoreError> {
        let path = self.path(locked.id, "json");
        fs::remove_file(&path).map_err(StoreError::io("delete", path))?;
        self.remove_content(locked)?;
        sync_folder(&self.path)
    }

    /// Removes the content of a message; it may be gone already.
    pub(super) fn remove_content(&self, locked: &Locked) -> Result<(), StoreError> {
        let path = self.path(locked.id, "eml");
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io("delete", path)(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Reads an entry. No lock is needed to read: a file under its final name is whole.
    pub(super) fn read_entry(&self, id: QuarantineId) -> Result<Entry, StoreError> {
        let file = self.open_entry(id)?;
        let damaged = |problem: String| StoreError::Damaged { id, problem };
        let json = read_bounded(file, MAX_ENTRY).map_err(StoreError::io("read", self.path(id, "json")))?;
        let mut entry: Entry = serde_json::from_slice(&json).map_err(|error| damaged(format!("ID.json: {error}")))?;
        let mark = entry.other.remove(UNCONFIRMED);
        if entry.state == State::Held && mark.is_some_and(|mark| mark == 1) {
            entry.state = State::Unconfirmed;
        }
        if entry.schema != SCHEMA {
            return Err(damaged("it was written by another version of sekisho".to_owned()));
        }
        if entry.id != id {
            return Err(damaged(format!("ID.json is the entry of {}", entry.id)));
        }
        Ok(entry)
    }

    /// Opens the content, as it lies there.
    pub(super) fn read_content(&self, id: QuarantineId) -> Result<Message, StoreError> {
        let path = self.path(id, "eml");
        let file = open_to_read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StoreError::Damaged { id, problem: "its content is gone".to_owned() },
            _ => StoreError::io("read", &path)(error),
        })?;
        Message::from_file(file).map_err(StoreError::io("read", &path))
    }

    /// Locks an entry, waiting a moment for another process that is changing it.
    pub(super) fn lock(&self, id: QuarantineId) -> Result<Locked, StoreError> {
        let mut waited = Duration::ZERO;
        loop {
            match self.try_lock(id)? {
                Some(locked) => return Ok(locked),
                None if waited >= LOCK_WAIT => return Err(StoreError::Busy(id)),
                None => std::thread::sleep(LOCK_POLL),
            }
            waited = waited.saturating_add(LOCK_POLL);
        }
    }

    /// Locks an entry, or `None` if somebody else has it (or has just replaced it).
    pub(super) fn try_lock(&self, id: QuarantineId) -> Result<Option<Locked>, StoreError> {
        self.locked(id, self.open_entry(id)?)
    }

    /// Locks an entry that was just opened.
    fn locked(&self, id: QuarantineId, file: File) -> Result<Option<Locked>, StoreError> {
        let path = self.path(id, "json");
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => return Ok(None),
            Err(error) => return Err(StoreError::io("lock", path)(error.into())),
        }
        let ours = file.metadata().map_err(StoreError::io("read", &path))?;
        match fs::metadata(&path) {
            Ok(named) if (named.dev(), named.ino()) == (ours.dev(), ours.ino()) => Ok(Some(Locked { id, file })),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StoreError::NotFound(id)),
            Err(error) => Err(StoreError::io("read", &path)(error)),
        }
    }

    /// Every file that belongs to a message; others are none of our business.
    pub(super) fn files(&self) -> Result<Vec<(QuarantineId, Kind)>, StoreError> {
        let mut files = Vec::new();
        for file in fs::read_dir(&self.path).map_err(StoreError::io("read", &self.path))? {
            let file = file.map_err(StoreError::io("read", &self.path))?;
            files.extend(file.file_name().to_str().and_then(parse_name));
        }
        files.sort_unstable_by_key(|(id, _)| *id);
        Ok(files)
    }

    /// Every entry's id, oldest first.
    pub(super) fn ids(&self) -> Result<Vec<QuarantineId>, StoreError> {
        let files = self.files()?.into_iter();
        Ok(files.filter(|(_, kind)| *kind == Kind::Entry).map(|(id, _)| id).collect())
    }

    /// Which version of a message lies there; `None` if there is none.
    pub(super) fn stamp(&self, id: QuarantineId) -> Option<Stamp> {
        let metadata = fs::metadata(self.path(id, "json")).ok()?;
        Some(Stamp {
            inode: metadata.ino(),
            seconds: metadata.mtime(),
            nanoseconds: metadata.mtime_nsec(),
            content: self.content_size(id),
        })
    }

    /// Octets of the content that lies there, if any does.
    pub(super) fn content_size(&self, id: QuarantineId) -> Option<u64> {
        fs::metadata(self.path(id, "eml")).ok().map(|metadata| metadata.len())
    }

    /// Removes what a crash left half done more than an hour ago: unfinished files, and content
    /// without an entry. Returns how many files went.
    pub(super) fn sweep(&self) -> Result<usize, StoreError> {
        let files = self.files()?;
        let entries: HashSet<QuarantineId> =
            files.iter().filter(|(_, kind)| *kind == Kind::Entry).map(|(id, _)| *id).collect();
        let mut swept = 0usize;
        for (id, kind) in &files {
            let suffixes: &[&str] = match kind {
                Kind::Unfinished => &["json.new", "eml.new"],
                Kind::Content if !entries.contains(id) => &["eml"],
                Kind::Content | Kind::Entry => continue,
            };
            for path in suffixes.iter().map(|suffix| self.path(*id, suffix)) {
                if is_old(&path) && fs::remove_file(&path).is_ok() {
                    swept = swept.saturating_add(1);
                }
            }
        }
        Ok(swept)
    }

    /// A new file, in the place of what a crash left under this name.
    fn new_file(&self, path: &Path) -> Result<File, StoreError> {
        let file = self.create_file(path).or_else(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => fs::remove_file(path).and_then(|()| self.create_file(path)),
            _ => Err(error),
        });
        file.map_err(StoreError::io("create", path))
    }

    /// A file that is not there yet and that only its owner may read. (Opening one that is there could
    /// follow a link out of the folder.) What root's command makes is the daemon's.
    pub(super) fn create_file(&self, path: &Path) -> io::Result<File> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        if let Some((user, group)) = self.owner {
            fchown(&file, Some(user), Some(group))?;
        }
        Ok(file)
    }

    /// Writes an entry under its temporary name, and locks it.
    fn write_entry(&self, entry: &Entry) -> Result<File, StoreError> {
        let path = self.path(entry.id, "json.new");
        let mut file = self.new_file(&path)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| StoreError::io("lock", &path)(error.into()))?;
        let json = to_json(entry).map_err(|error| StoreError::io("write", &path)(error.into()))?;
        file.write_all(&json).map_err(StoreError::io("write", &path))?;
        Ok(file)
    }

    /// Waits until the disk has what was written to a file.
    fn sync(&self, id: QuarantineId, suffix: &str, file: &File) -> Result<(), StoreError> {
        file.sync_all().map_err(|error| StoreError::io("write", self.path(id, suffix))(error))
    }

    fn open_entry(&self, id: QuarantineId) -> Result<File, StoreError> {
        open_to_read(&self.path(id, "json")).map_err(|error| self.not_opened(id, error))
    }

    fn not_opened(&self, id: QuarantineId, error: io::Error) -> StoreError {
        match error.kind() {
            // A missing folder is another trouble than a missing message.
            io::ErrorKind::NotFound if self.path.is_dir() => StoreError::NotFound(id),
            _ => StoreError::io("open", self.path(id, "json"))(error),
        }
    }

    fn rename(&self, id: QuarantineId, from: &str, to: &str) -> Result<(), StoreError> {
        let path = self.path(id, to);
        fs::rename(self.path(id, from), &path).map_err(StoreError::io("rename", path))
    }
}

/// Which message a file belongs to, by its name.
fn parse_name(name: &str) -> Option<(QuarantineId, Kind)> {
    let (id, suffix) = name.split_once('.')?;
    let kind = match suffix {
        "json" => Kind::Entry,
        "eml" => Kind::Content,
        "json.new" | "eml.new" => Kind::Unfinished,
        _ => return None,
    };
    // Ids are understood in several spellings, files have one.
    QuarantineId::parse(id).ok().filter(|parsed| parsed.as_str() == id).map(|id| (id, kind))
}

/// Whether nobody has written to a file for so long that nobody will.
fn is_old(path: &Path) -> bool {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let age = modified.and_then(|modified| SystemTime::now().duration_since(modified).ok());
    age.is_some_and(|age| age > LEFTOVER_AGE)
}

/// Opens a file of the folder, and nothing that a link leads to: root reads here, too.
fn open_to_read(path: &Path) -> io::Result<File> {
    open_with(OpenOptions::new().read(true), path)
}

fn open_with(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(path)
}

/// An entry as it stands in its file.
fn to_json(entry: &Entry) -> serde_json::Result<Vec<u8>> {
    let mut json = serde_json::to_vec_pretty(entry)?;
    // No text has a line feed in JSON, and what else begins so is indented more.
    let state = memmem::find(&json, UNCONFIRMED_LINE).filter(|_| entry.state == State::Unconfirmed);
    if let Some(at) = state {
        json.splice(at..at.saturating_add(UNCONFIRMED_LINE.len()), [HELD_LINE, MARK].concat());
    }
    json.push(b'\n');
    Ok(json)
}

/// Lets the disk begin with what was written to a file, without waiting for it: so it works on both
/// files of a message, while we hash one, before the first fsync. (That is how Linux takes the advice
/// that nobody will read them soon. Where it is not taken, the fsync does all of the work.)
fn begin_writing(file: &File) {
    let _ = fadvise(file, 0, None, Advice::DontNeed);
}

/// Gives back the memory in which Linux keeps what was just written: nobody reads a held message within
/// minutes, and the next one is written to the same memory, which the processor still has at hand.
/// (Taking other memory each time costs more than everything else that a hold does.)
fn forget(file: &File) {
    let _ = fadvise(file, 0, None, Advice::DontNeed);
}

fn sync_folder(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(StoreError::io("write", path))
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// The hash of a whole message, lower-case hex.
pub(super) fn sha256(message: &Message) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut at = 0;
    while at < message.size() {
        let end = at.saturating_add(CHUNK).min(message.size());
        hash.update(message.read(at..end)?);
        at = end;
    }
    Ok(hex(&hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::entry;

    fn stored(state: State) -> (tempfile::TempDir, Folder, Entry) {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::create(place.path()).unwrap();
        let entry = Entry { state, ..entry() };
        let (content, _) = folder.write_content(entry.id, &Message::from_bytes("x")).unwrap();
        drop(folder.publish(&entry, &content).unwrap());
        (place, folder, entry)
    }

    #[test]
    fn confirming_changes_one_octet_in_place() {
        let (_place, folder, entry) = stored(State::Unconfirmed);
        let read = || fs::read(folder.path(entry.id, "json")).unwrap();
        let (before, stamp) = (read(), folder.stamp(entry.id).unwrap());
        assert_eq!(folder.read_entry(entry.id).unwrap(), entry);
        assert!(folder.confirm(entry.id).unwrap());
        let after = read();
        assert_eq!(before.len(), after.len());
        assert_eq!(before.iter().zip(&after).filter(|(before, after)| before != after).count(), 1);
        assert_eq!(folder.read_entry(entry.id).unwrap(), Entry { state: State::Held, ..entry.clone() });
        let confirmed = folder.stamp(entry.id).unwrap();
        assert_eq!(confirmed.inode, stamp.inode);
        assert_ne!(confirmed, stamp, "whoever knows the entry by its stamp reads it again");
        assert!(!folder.confirm(entry.id).unwrap(), "once is enough");
    }

    #[test]
    fn text_of_a_mail_is_not_taken_for_the_mark() {
        let (_place, folder, mut entry) = stored(State::Held);
        let text = "\n  \"state\": \"unconfirmed\",\n  \"unconfirmed\": 1,";
        entry.subject = Some(text.to_owned());
        entry.facts = serde_json::json!({ "state": "unconfirmed", "unconfirmed": 1, "a": text });
        for state in State::ALL {
            entry.state = state;
            folder.replace(&mut folder.lock(entry.id).unwrap(), &entry).unwrap();
            assert_eq!(folder.read_entry(entry.id).unwrap(), entry);
            assert_eq!(folder.confirm(entry.id).unwrap(), state == State::Unconfirmed);
        }
    }

    #[test]
    fn what_somebody_works_on_is_not_confirmed() {
        let (_place, folder, entry) = stored(State::Unconfirmed);
        let locked = folder.lock(entry.id).unwrap();
        assert!(!folder.confirm(entry.id).unwrap());
        assert_eq!(folder.read_entry(entry.id).unwrap().state, State::Unconfirmed);
        drop(locked);
        folder.remove(&folder.lock(entry.id).unwrap()).unwrap();
        assert!(matches!(folder.confirm(entry.id), Err(StoreError::NotFound(_))));
    }
}
