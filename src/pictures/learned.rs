//! Pictures that malicious documents showed: an SQLite file in the state folder, read and changed by the daemon and by
//! `sekisho pictures` at the same time.
//!
//! It forgets by itself: what was not seen for a while, and of too many what was seen longest ago. A file that is no
//! good is put aside and begun anew; without one, nothing is learnt, and mail goes on.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, params};
use serde::Serialize;

use super::print::{ID_LENGTH, Print};

/// The file, in the state folder.
pub const FILE: &str = "pictures.sqlite";
/// Grows with the table, and with how prints are made.
const VERSION: i64 = 1;
/// How long one process waits for the other.
const BUSY: Duration = Duration::from_millis(500);
/// Pictures that are kept: a comparison with all of them takes less than a millisecond, and of a large corpus of
/// malicious documents the pictures are some hundred.
const MAX_PICTURES: u32 = 5000;
/// That a picture was seen is written at most so often.
const SEEN_EVERY: Duration = Duration::from_secs(3600);

const TABLE: &str = "
    CREATE TABLE picture (
        id TEXT PRIMARY KEY,
        print TEXT NOT NULL,
        never INTEGER NOT NULL,
        learnt_at INTEGER NOT NULL,
        seen_at INTEGER NOT NULL,
        document TEXT NOT NULL
    ) WITHOUT ROWID;
";

/// The name of a stored picture: twelve hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct PictureId(String);

impl PictureId {
    /// Reads one.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |octet: u8| octet.is_ascii_digit() || (b'a'..=b'f').contains(&octet);
        (text.len() == ID_LENGTH && text.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for PictureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A picture that was learnt, or is never to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Picture {
    /// Its name.
    pub id: PictureId,
    /// What it looks like.
    pub print: Print,
    /// An admin said that it is never to be learnt: it means nothing, and does not expire.
    pub never: bool,
    /// When it was learnt.
    pub learnt_at: Timestamp,
    /// When it was seen last, to the hour.
    pub seen_at: Timestamp,
    /// SHA-256 of the malicious document that first showed it, in hexadecimal digits.
    pub document: String,
}

/// The store.
#[derive(Debug)]
pub struct Learned {
    inner: Mutex<Inner>,
    keep: Duration,
}

#[derive(Debug)]
struct Inner {
    connection: Connection,
    known: Vec<Picture>,
    /// The file's version when `known` was read; `None` if it was changed here since.
    version: Option<i64>,
}

/// Why the store cannot be used.
#[derive(Debug)]
pub enum Unusable {
    /// The file is not what it should be.
    Damaged(String),
    /// Anything else.
    Failed(String),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unusable::Damaged(why) => write!(f, "{FILE} is damaged: {why}"),
            Unusable::Failed(why) => write!(f, "{FILE} cannot be used: {why}"),
        }
    }
}

impl From<rusqlite::Error> for Unusable {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<io::Error> for Unusable {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Learned {
    /// Opens the store in a state folder, or begins one; what is not seen for so long is forgotten. A damaged one is put
    /// aside.
    ///
    /// # Errors
    /// It can neither be read nor begun anew.
    pub fn open(state_dir: &Path, keep: Duration) -> Result<Self, Unusable> {
        let path = place(state_dir)?;
        let opened = begin(&path).and_then(|()| connect(&path));
        let connection = match opened {
            Err(Unusable::Damaged(why)) => {
                let aside = path.with_extension("sqlite.damaged");
                tracing::warn!(why, aside = %aside.display(), "the store of pictures is no good and is begun anew");
                fs::rename(&path, &aside)?;
                begin(&path)?;
                connect(&path)?
            }
            other => other?,
        };
        Self::on(connection, keep)
    }

    /// Opens the store in a state folder, if there is one: for a command, which changes nothing of its own accord.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open_existing(state_dir: &Path, keep: Duration) -> Result<Option<Self>, Unusable> {
        // A folder that is not there is told, a store that is not there is an empty one.
        let path = place(state_dir)?;
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        Self::on(connect(&path)?, keep).map(Some)
    }

    fn on(connection: Connection, keep: Duration) -> Result<Self, Unusable> {
        let mut inner = Inner { connection, known: Vec::new(), version: None };
        inner.refresh()?;
        Ok(Self { inner: Mutex::new(inner), keep })
    }

    /// The stored picture that this one shows, if it was learnt. Notes that it was seen.
    pub fn find(&self, print: &Print, now: Timestamp) -> Option<PictureId> {
        let mut inner = self.lock();
        inner.refresh_or_warn();
        let found = inner.nearest(print, self.oldest(now))?;
        if found.never {
            return None;
        }
        let id = found.id.clone();
        if now.duration_since(found.seen_at).unsigned_abs() >= SEEN_EVERY {
            inner.change("UPDATE picture SET seen_at = ?2 WHERE id = ?1", &id, now);
        }
        Some(id)
    }

    /// Learns what a malicious document showed, whose hash is given; `false` if it was known.
    pub fn learn(&self, print: &Print, document: &str, now: Timestamp) -> bool {
        let (mut inner, oldest) = (self.lock(), self.oldest(now));
        inner.refresh_or_warn();
        if inner.nearest(print, oldest).is_some() {
            return false;
        }
        inner.version = None;
        let learnt = insert(&mut inner.connection, print, document, now, oldest);
        learnt.inspect_err(|error| tracing::warn!(%error, "a picture could not be learnt")).is_ok()
    }

    /// What is stored, the picture that was seen last first.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn list(&self, now: Timestamp) -> Result<Vec<Picture>, Unusable> {
        let (mut inner, oldest) = (self.lock(), self.oldest(now));
        inner.refresh()?;
        let mut pictures: Vec<_> = inner.known.iter().filter(|picture| picture.holds(oldest)).cloned().collect();
        pictures.sort_by(|a, b| b.seen_at.cmp(&a.seen_at).then_with(|| a.id.cmp(&b.id)));
        Ok(pictures)
    }

    /// Forgets a picture; with `never` it is not learnt again. `false` if there is none of this name.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn forget(&self, id: &PictureId, never: bool) -> Result<bool, Unusable> {
        let mut inner = self.lock();
        inner.version = None;
        let statement =
            if never { "UPDATE picture SET never = 1 WHERE id = ?" } else { "DELETE FROM picture WHERE id = ?" };
        Ok(inner.connection.execute(statement, [&id.0])? > 0)
    }

    /// Forgets all that was learnt, also what is never to be; gives how many there were.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn forget_all(&self) -> Result<usize, Unusable> {
        let mut inner = self.lock();
        inner.version = None;
        Ok(inner.connection.execute("DELETE FROM picture", [])?)
    }

    /// What was seen last before this has expired.
    fn oldest(&self, now: Timestamp) -> Timestamp {
        now.checked_sub(self.keep).unwrap_or(Timestamp::MIN)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Picture {
    fn holds(&self, oldest: Timestamp) -> bool {
        self.never || self.seen_at >= oldest
    }
}

impl Inner {
    /// Reads again what somebody changed.
    fn refresh(&mut self) -> Result<(), Unusable> {
        let version = self.connection.query_row("PRAGMA data_version", [], |row| row.get(0))?;
        if self.version == Some(version) {
            return Ok(());
        }
        let mut statement =
            self.connection.prepare_cached("SELECT id, print, never, learnt_at, seen_at, document FROM picture")?;
        let rows = statement.query_map([], |row| {
            let (id, print): (String, String) = (row.get(0)?, row.get(1)?);
            let time = |at: i64| Timestamp::from_second(at).unwrap_or_default();
            let (never, learnt_at, seen_at) = (row.get(2)?, time(row.get(3)?), time(row.get(4)?));
            let document: String = row.get(5)?;
            let (id, print) = (PictureId::parse(&id), print.parse().ok());
            // A row that is none is as good as none.
            Ok(id.zip(print).map(|(id, print)| Picture { id, print, never, learnt_at, seen_at, document }))
        })?;
        self.known = rows.filter_map(Result::transpose).collect::<Result<_, _>>()?;
        self.version = Some(version);
        Ok(())
    }

    fn refresh_or_warn(&mut self) {
        if let Err(error) = self.refresh() {
            tracing::warn!(%error, "the store of pictures cannot be read; what was read before counts");
        }
    }

    fn nearest(&self, print: &Print, oldest: Timestamp) -> Option<&Picture> {
        let holds = self.known.iter().filter(|picture| picture.holds(oldest));
        let near = holds.filter_map(|picture| Some((print.distance(&picture.print)?, picture)));
        // What is never to be learnt is so with all that looks like it.
        near.min_by_key(|(distance, picture)| (!picture.never, *distance)).map(|(_, picture)| picture)
    }

    fn change(&mut self, statement: &str, id: &PictureId, now: Timestamp) {
        self.version = None;
        if let Err(error) = self.connection.execute(statement, params![id.0, now.as_second()]) {
            tracing::warn!(%error, "the store of pictures cannot be written");
        }
    }
}

/// Adds a picture, and makes room for it.
fn insert(
    connection: &mut Connection,
    print: &Print,
    document: &str,
    now: Timestamp,
    oldest: Timestamp,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute("DELETE FROM picture WHERE never = 0 AND seen_at < ?", [oldest.as_second()])?;
    transaction.execute(
        "INSERT OR REPLACE INTO picture VALUES (?, ?, 0, ?, ?, ?)",
        params![print.id(), print.to_string(), now.as_second(), now.as_second(), document],
    )?;
    transaction.execute(
        "DELETE FROM picture WHERE id IN (SELECT id FROM picture WHERE never = 0 ORDER BY seen_at DESC, id LIMIT -1 OFFSET ?)",
        [MAX_PICTURES],
    )?;
    transaction.commit()
}

/// The way to the folder may lead over links, the file itself must not be one.
fn place(state_dir: &Path) -> io::Result<PathBuf> {
    let describe = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", state_dir.display()));
    Ok(state_dir.canonicalize().map_err(describe)?.join(FILE))
}

/// Makes an empty file that nobody else reads, if there is none. SQLite gives its other files the mode of this one.
fn begin(path: &Path) -> Result<(), Unusable> {
    match fs::File::options().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error.into()),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Opens the file, with its table. SQLite's own journal and `synchronous=FULL` make each change durable at once.
fn connect(path: &Path) -> Result<Connection, Unusable> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NOFOLLOW | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let sound: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if sound != "ok" {
        return Err(Unusable::Damaged(sound));
    }
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version == VERSION {
        return Ok(connection);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (version, tables) {
        (VERSION, _) => {}
        (0, 0) => {
            transaction.execute_batch(TABLE)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        _ => return Err(Unusable::Damaged(format!("it has version {version}, not {VERSION}"))),
    }
    transaction.commit()?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pictures::print::tests::print;

    const KEEP: Duration = Duration::from_secs(90 * 86_400);

    fn at(days: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + days * 86_400).unwrap()
    }

    #[test]
    fn what_was_learnt_is_known_after_a_restart_and_expires_if_it_is_not_seen() {
        let folder = tempfile::tempdir().unwrap();
        let store = Learned::open(folder.path(), KEEP).unwrap();
        assert!(store.learn(&print(1), "d1", at(0)) && !store.learn(&print(1), "d2", at(0)));
        assert_eq!(store.find(&print(2), at(0)), None);
        drop(store);
        let store = Learned::open(folder.path(), KEEP).unwrap();
        let id = store.find(&print(1), at(80)).unwrap();
        assert_eq!(id.to_string(), print(1).id());
        assert_eq!(store.find(&print(1), at(169)), Some(id), "it was seen on the 80th day");
        assert_eq!(store.find(&print(1), at(260)), None);
        assert_eq!(store.list(at(260)).unwrap(), []);
        assert!(store.learn(&print(1), "d3", at(261)), "learnt anew");
        assert_eq!(store.list(at(261)).unwrap()[0].document, "d3");
    }

    #[test]
    fn another_process_sees_what_was_learnt_and_what_it_forgets_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Learned::open_existing(folder.path(), KEEP).unwrap().is_none());
        let daemon = Learned::open(folder.path(), KEEP).unwrap();
        let command = Learned::open_existing(folder.path(), KEEP).unwrap().unwrap();
        assert!(daemon.learn(&print(1), "", at(0)) && daemon.learn(&print(2), "", at(1)));
        let listed: Vec<String> = command.list(at(1)).unwrap().iter().map(|picture| picture.id.to_string()).collect();
        assert_eq!(listed, [print(2).id(), print(1).id()]);
        let [one, two] = [1, 2].map(|n| PictureId::parse(&print(n).id()).unwrap());
        assert!(command.forget(&one, false).unwrap() && !command.forget(&one, false).unwrap());
        assert_eq!(daemon.find(&print(1), at(1)), None);
        assert!(command.forget(&two, true).unwrap());
        assert_eq!(daemon.find(&print(2), at(1)), None);
        assert!(!daemon.learn(&print(2), "", at(1000)), "never again");
        assert!(daemon.learn(&print(1), "", at(1000)));
        assert_eq!(command.forget_all().unwrap(), 2);
        assert_eq!(daemon.list(at(1000)).unwrap(), []);
    }

    #[test]
    fn a_damaged_store_is_put_aside_and_begun_anew() {
        for damage in [&b"not a database, and long enough to be seen as none"[..], &[0xFF; 4096]] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(FILE), damage).unwrap();
            assert!(matches!(Learned::open_existing(folder.path(), KEEP), Err(Unusable::Damaged(_))));
            let store = Learned::open(folder.path(), KEEP).unwrap();
            assert!(store.learn(&print(1), "", at(0)));
            assert_eq!(fs::read(folder.path().join("pictures.sqlite.damaged")).unwrap(), damage);
        }
        // Of another version: as good as damaged.
        let folder = tempfile::tempdir().unwrap();
        let store = Learned::open(folder.path(), KEEP).unwrap();
        store.lock().connection.pragma_update(None, "user_version", 9).unwrap();
        drop(store);
        assert_eq!(Learned::open(folder.path(), KEEP).unwrap().list(at(0)).unwrap(), []);
        // Cut off in the middle.
        let store = Learned::open(folder.path(), KEEP).unwrap();
        assert!((0..60).all(|n| store.learn(&print(n), "", at(0))));
        drop(store);
        let file = fs::File::options().write(true).open(folder.path().join(FILE)).unwrap();
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        assert!(Learned::open(folder.path(), KEEP).unwrap().learn(&print(1), "", at(0)));
    }

    #[test]
    fn a_link_in_the_place_of_the_store_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join(FILE)).unwrap();
        assert!(matches!(Learned::open(folder.path(), KEEP), Err(Unusable::Failed(_))));
    }

    #[test]
    fn of_too_many_pictures_those_seen_longest_ago_go() {
        let folder = tempfile::tempdir().unwrap();
        let store = Learned::open(folder.path(), KEEP).unwrap();
        let mut inner = store.lock();
        inner.connection.execute_batch("BEGIN").unwrap();
        for n in 0..MAX_PICTURES {
            let values = format!("('{n:012x}', '{}', 0, 1, {n}, '')", print(0));
            inner.connection.execute(&format!("INSERT INTO picture VALUES {values}"), []).unwrap();
        }
        inner.connection.execute_batch("COMMIT").unwrap();
        insert(&mut inner.connection, &print(1), "", at(0), Timestamp::UNIX_EPOCH).unwrap();
        inner.version = None;
        inner.refresh().unwrap();
        assert_eq!(inner.known.len(), MAX_PICTURES as usize);
        assert!(inner.known.iter().any(|picture| picture.print == print(1)));
        assert!(!inner.known.iter().any(|picture| picture.id.0 == "000000000000"));
    }

    #[test]
    fn only_names_pass_for_names() {
        assert!(PictureId::parse("0123456789ab").is_some());
        for text in ["", "0123456789a", "0123456789abc", "0123456789AB", "0123456789a/"] {
            assert_eq!(PictureId::parse(text), None, "{text}");
        }
    }
}
