//! The index: an SQLite file that makes lists and sums fast. A cache, nothing else.
//!
//! Each row carries the stamp (inode and time) of the entry's file that it was made from. A list
//! compares the stamps with the folder and reads again what differs, so that a missing, old or
//! forgotten row heals by itself, whoever changed the folder. A failure is logged and costs time, never
//! a message: without an index the folder is read instead.
//!
//! So there is no haste either: the rows of new messages are written many at a time, and before anything
//! is read.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, params};

use crate::store::entry::{Entry, Listed, State, Summary};
use crate::store::folder::{Folder, Kind, Stamp};
use crate::store::{QuarantineId, StoreError, Usage, lock};

/// Grows with the shape of the table or of [`Summary`]: an index of another version is made anew.
const VERSION: i64 = 1;
/// How long a write waits for another process. A put must not wait for long: its row heals later.
const BUSY: Duration = Duration::from_millis(500);
const FILE: &str = "index.sqlite";
/// Rows that wait to be written at most. One of a message to a thousand recipients has some 50 KB.
const MAX_WAITING: usize = 64;
/// How long a sum is carried on without adding up again. Only what other processes put is missing in it,
/// and commands put nothing.
const SUM_AGE: Duration = Duration::from_secs(60);

const TABLE: &str = "
    CREATE TABLE entry (
        id TEXT PRIMARY KEY,
        undelivered INTEGER NOT NULL,
        content INTEGER,
        held_at INTEGER NOT NULL,
        inode INTEGER NOT NULL,
        seconds INTEGER NOT NULL,
        nanoseconds INTEGER NOT NULL,
        summary TEXT,
        problem TEXT
    ) WITHOUT ROWID;
    CREATE INDEX sums ON entry (undelivered, content, held_at);
";

/// The index of one folder.
#[derive(Debug)]
pub(super) struct Index {
    /// `None`: it cannot be used; the folder is read instead.
    connection: Mutex<Option<Connection>>,
    /// Rows that are not written yet.
    waiting: Mutex<HashMap<QuarantineId, Row>>,
    /// At most so many octets of content are in the folder, and when they were added up.
    stored: Mutex<Option<(u64, Instant)>>,
    /// A write failed: sums are not to be trusted before the next comparison with the folder.
    behind: AtomicBool,
}

/// What the folder says of one entry.
#[derive(Debug)]
struct Row {
    listed: Listed,
    stamp: Stamp,
}

impl Index {
    /// Opens the folder's index and brings it up to date; makes it anew if it is no good.
    pub(super) fn open(folder: &Folder) -> Self {
        let connection = match connect(folder) {
            Err(Unusable { damaged: true, why }) => {
                tracing::warn!(why, "the quarantine's index is no good and is made anew");
                remove_files(folder);
                connect(folder)
            }
            other => other,
        };
        let connection = connection.inspect_err(|Unusable { why, .. }| {
            tracing::warn!(why, "the quarantine works without its index: lists are slow");
        });
        Self {
            connection: Mutex::new(connection.ok()),
            waiting: Mutex::default(),
            stored: Mutex::default(),
            behind: AtomicBool::new(true),
        }
    }

    /// Notes what became of an entry.
    pub(super) fn record(&self, folder: &Folder, entry: &Entry) {
        let Some(stamp) = folder.stamp(entry.id) else { return self.remove(entry.id) };
        let row = Row { listed: Listed::Entry(Box::new(Summary::from(entry))), stamp };
        lock(&self.waiting).remove(&entry.id);
        self.with(|connection| write(connection, &row));
    }

    /// Notes a new entry: in memory, until there are some, or somebody reads.
    pub(super) fn record_new(&self, folder: &Folder, entry: &Entry) {
        let Some(stamp) = folder.stamp(entry.id) else { return };
        let row = Row { listed: Listed::Entry(Box::new(Summary::from(entry))), stamp };
        let mut waiting = lock(&self.waiting);
        waiting.insert(entry.id, row);
        let is_full = waiting.len() >= MAX_WAITING;
        drop(waiting);
        if is_full {
            self.flush(folder);
        }
        if let Some((bytes, _)) = &mut *lock(&self.stored) {
            *bytes = bytes.saturating_add(entry.size);
        }
    }

    /// Notes that an unconfirmed entry is held.
    pub(super) fn confirmed(&self, folder: &Folder, id: QuarantineId) {
        let Some(stamp) = folder.stamp(id) else { return self.remove(id) };
        if let Some(Row { listed: Listed::Entry(summary), stamp: old }) = lock(&self.waiting).get_mut(&id)
            && old.inode == stamp.inode
        {
            summary.state = State::Held;
            *old = stamp;
            return;
        }
        // Its row was written already. What cannot be read now is noticed by the stamp later.
        if let Ok(entry) = folder.read_entry(id) {
            self.record(folder, &entry);
        }
    }

    /// Writes what waits, but for what somebody else has changed since.
    fn flush(&self, folder: &Folder) {
        let waiting = std::mem::take(&mut *lock(&self.waiting));
        let rows: Vec<Row> =
            waiting.into_iter().filter(|(id, row)| folder.stamp(*id) == Some(row.stamp)).map(|(_, row)| row).collect();
        if !rows.is_empty() {
            self.with(|connection| repair(connection, &rows, &[]));
        }
    }

    /// Forgets an entry.
    pub(super) fn remove(&self, id: QuarantineId) {
        lock(&self.waiting).remove(&id);
        self.with(|connection| forget(connection, id));
    }

    /// Every entry, oldest first.
    pub(super) fn list(&self, folder: &Folder) -> Result<Vec<Listed>, StoreError> {
        self.refresh(folder)?;
        match self.with(read_all) {
            Some(listed) => Ok(listed),
            None => {
                Ok(folder.ids()?.into_iter().filter_map(|id| Row::read(folder, id)).map(|row| row.listed).collect())
            }
        }
    }

    /// Messages that wait for their recipients, and their octets.
    pub(super) fn usage(&self, folder: &Folder) -> Result<Usage, StoreError> {
        self.refresh_if_behind(folder)?;
        if let Some(usage) = self.with(read_usage) {
            return Ok(usage);
        }
        let rows = folder.ids()?.into_iter().filter_map(|id| Row::read(folder, id));
        Ok(rows.fold(Usage::default(), |usage, row| row.counted_in(usage)))
    }

    /// At most so many octets of content are in the folder: what was added up a while ago, and what this
    /// process has put since. Only of what went since it knows nothing.
    pub(super) fn stored_at_most(&self, folder: &Folder) -> Result<u64, StoreError> {
        let known = *lock(&self.stored);
        match known {
            Some((bytes, at)) if at.elapsed() < SUM_AGE && !self.behind.load(Ordering::Relaxed) => Ok(bytes),
            _ => self.stored_bytes(folder),
        }
    }

    /// Octets of all content in the folder, added up.
    pub(super) fn stored_bytes(&self, folder: &Folder) -> Result<u64, StoreError> {
        // Locked meanwhile: what is recorded too late for the sum is noted behind it.
        let mut stored = lock(&self.stored);
        let bytes = self.sum(folder)?;
        *stored = Some((bytes, Instant::now()));
        Ok(bytes)
    }

    fn sum(&self, folder: &Folder) -> Result<u64, StoreError> {
        self.refresh_if_behind(folder)?;
        match self.with(|connection| connection.prepare_cached(STORED)?.query_row([], |row| row.get::<_, i64>(0))) {
            Some(bytes) => Ok(unsigned(bytes)),
            None => {
                let contents = folder.files()?.into_iter().filter(|(_, kind)| *kind == Kind::Content);
                Ok(contents.filter_map(|(id, _)| folder.content_size(id)).fold(0, u64::saturating_add))
            }
        }
    }

    /// Makes the index anew. Returns the number of entries.
    pub(super) fn rebuild(&self, folder: &Folder) -> Result<usize, StoreError> {
        self.reconnect(folder);
        self.with(|connection| connection.execute("DELETE FROM entry", []));
        self.refresh(folder)?;
        let count =
            self.with(|connection| connection.query_row("SELECT count(*) FROM entry", [], |row| row.get::<_, i64>(0)));
        let path = folder.root().join(FILE);
        let failed = StoreError::io("write", path);
        count
            .map(|count| usize::try_from(count).unwrap_or(usize::MAX))
            .ok_or_else(|| failed(io::Error::other("the index cannot be made, the log tells why")))
    }

    /// Moves the log of writes into the table, so that it does not grow. The only fsync there is.
    pub(super) fn checkpoint(&self, folder: &Folder) {
        self.flush(folder);
        self.with(|connection| connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())));
    }

    fn refresh_if_behind(&self, folder: &Folder) -> Result<(), StoreError> {
        self.flush(folder);
        if self.behind.load(Ordering::Relaxed) { self.refresh(folder) } else { Ok(()) }
    }

    /// Compares the rows with the folder and repairs what differs.
    fn refresh(&self, folder: &Folder) -> Result<(), StoreError> {
        if lock(&self.connection).is_none() {
            self.reconnect(folder);
        }
        self.flush(folder);
        let Some(known) = self.with(read_stamps) else { return Ok(()) };
        let ids = folder.ids()?;
        let changed: Vec<Row> = ids
            .iter()
            .filter(|id| folder.stamp(**id).as_ref() != known.get(*id))
            .filter_map(|id| Row::read(folder, *id))
            .collect();
        let there: HashSet<&QuarantineId> = ids.iter().collect();
        let gone: Vec<QuarantineId> = known.into_keys().filter(|id| !there.contains(id)).collect();
        self.behind.store(false, Ordering::Relaxed);
        if !changed.is_empty() || !gone.is_empty() {
            self.with(|connection| repair(connection, &changed, &gone));
        }
        Ok(())
    }

    /// Opens an index that could not be used before, or is to be made anew.
    fn reconnect(&self, folder: &Folder) {
        let fresh = Self::open(folder);
        *lock(&self.connection) = lock(&fresh.connection).take();
    }

    /// Does something with the index. A failure is logged; a damaged one is not used again.
    fn with<T>(&self, act: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Option<T> {
        let mut slot = lock(&self.connection);
        let result = act(slot.as_mut()?);
        if let Err(error) = &result {
            tracing::warn!(%error, "the quarantine's index is behind; it is repaired later");
            self.behind.store(true, Ordering::Relaxed);
            if !is_busy(error) {
                *slot = None;
            }
        }
        result.ok()
    }
}

impl Row {
    /// What the folder says; `None` if the entry has just gone.
    fn read(folder: &Folder, id: QuarantineId) -> Option<Self> {
        let stamp = folder.stamp(id)?;
        let listed = match folder.read_entry(id) {
            Ok(entry) if entry.state.is_undelivered() && stamp.content.is_none() => {
                Listed::Damaged { id, problem: "its content is gone".to_owned() }
            }
            Ok(entry) => Listed::Entry(Box::new(Summary::from(&entry))),
            Err(StoreError::NotFound(_)) => return None,
            Err(StoreError::Damaged { problem, .. }) => Listed::Damaged { id, problem },
            Err(error) => Listed::Damaged { id, problem: error.to_string() },
        };
        Some(Self { listed, stamp })
    }
}

impl Row {
    /// Whether the message waits for its recipients, and since when. A damaged one counts: a person
    /// has to look at it.
    fn waits(&self) -> (bool, Timestamp) {
        match &self.listed {
            Listed::Entry(summary) => (summary.state.is_undelivered(), summary.held_at),
            Listed::Damaged { id, .. } => (true, id.time()),
        }
    }

    /// A sum with this message.
    fn counted_in(&self, usage: Usage) -> Usage {
        let (true, held_at) = self.waits() else { return usage };
        Usage {
            messages: usage.messages.saturating_add(1),
            bytes: usage.bytes.saturating_add(self.stamp.content.unwrap_or(0)),
            oldest: Some(usage.oldest.map_or(held_at, |oldest| oldest.min(held_at))),
            limit: usage.limit,
        }
    }
}

/// Why there is no connection.
struct Unusable {
    /// Whether a new file would help.
    damaged: bool,
    why: String,
}

impl From<rusqlite::Error> for Unusable {
    fn from(error: rusqlite::Error) -> Self {
        let damaged = matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase));
        Self { damaged, why: error.to_string() }
    }
}

/// Opens the index file, with its table.
fn connect(folder: &Folder) -> Result<Connection, Unusable> {
    let failed = |error: io::Error| Unusable { damaged: false, why: error.to_string() };
    // The way to the folder may lead over links, the file itself must not be one; SQLite tells no difference.
    let path = folder.root().canonicalize().map_err(failed)?.join(FILE);
    match folder.create_file(&path) {
        // SQLite gives its other files the mode and owner of this one.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        Ok(_) | Err(_) => {}
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NOFOLLOW | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    // A checkpoint fsyncs: `maintain` does it, not some unlucky message.
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    let sound: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if sound != "ok" {
        return Err(Unusable { damaged: true, why: sound });
    }
    make_table(&mut connection)?;
    Ok(connection)
}

/// Makes the table in a new file.
fn make_table(connection: &mut Connection) -> Result<(), Unusable> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (version, tables) {
        (VERSION, _) => Ok(()),
        (0, 0) => {
            transaction.execute_batch(TABLE)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
            Ok(transaction.commit()?)
        }
        _ => Err(Unusable { damaged: true, why: format!("it has version {version}, not {VERSION}") }),
    }
}

/// Removes the index's files. Another process that has them open goes on with its own copy, and
/// compares it with the folder as ever.
fn remove_files(folder: &Folder) {
    for suffix in ["", "-wal", "-shm"] {
        // What cannot be removed is reported when it is opened again.
        let _ = fs::remove_file(folder.root().join(format!("{FILE}{suffix}")));
    }
}

const STORED: &str = "SELECT coalesce(sum(content), 0) FROM entry";

fn write(connection: &mut Connection, row: &Row) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")?;
    let (summary, problem) = match &row.listed {
        Listed::Entry(summary) => (serde_json::to_string(summary).ok(), None),
        Listed::Damaged { problem, .. } => (None, Some(problem)),
    };
    let (undelivered, held_at) = row.waits();
    let Stamp { inode, seconds, nanoseconds, content } = row.stamp;
    statement.execute(params![
        row.listed.id().as_str(),
        undelivered,
        content.map(|size| i64::try_from(size).unwrap_or(i64::MAX)),
        held_at.as_millisecond(),
        inode.cast_signed(),
        seconds,
        nanoseconds,
        summary,
        problem
    ])?;
    Ok(())
}

fn forget(connection: &mut Connection, id: QuarantineId) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM entry WHERE id = ?")?.execute([id.as_str()]).map(|_| ())
}

fn repair(connection: &mut Connection, changed: &[Row], gone: &[QuarantineId]) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let done = changed
        .iter()
        .try_for_each(|row| write(connection, row))
        .and_then(|()| gone.iter().try_for_each(|id| forget(connection, *id)));
    connection.execute_batch(if done.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    done
}

fn read_stamps(connection: &mut Connection) -> rusqlite::Result<HashMap<QuarantineId, Stamp>> {
    let mut statement = connection.prepare_cached("SELECT id, inode, seconds, nanoseconds, content FROM entry")?;
    let rows = statement.query_map([], |row| {
        let id: String = row.get(0)?;
        let inode: i64 = row.get(1)?;
        let content: Option<i64> = row.get(4)?;
        let stamp = Stamp {
            inode: inode.cast_unsigned(),
            seconds: row.get(2)?,
            nanoseconds: row.get(3)?,
            content: content.map(unsigned),
        };
        Ok((QuarantineId::parse(&id).ok(), stamp))
    })?;
    rows.filter_map(|row| row.map(|(id, stamp)| Some((id?, stamp))).transpose()).collect()
}

fn read_all(connection: &mut Connection) -> rusqlite::Result<Vec<Listed>> {
    let mut statement = connection.prepare_cached("SELECT id, summary, problem FROM entry ORDER BY id")?;
    let rows = statement.query_map([], |row| {
        let id: String = row.get(0)?;
        let summary: Option<String> = row.get(1)?;
        let problem: Option<String> = row.get(2)?;
        Ok(listed(&id, summary.as_deref(), problem))
    })?;
    rows.filter_map(Result::transpose).collect()
}

/// A row as it was written; `None` for an id that is none (nobody wrote that).
fn listed(id: &str, summary: Option<&str>, problem: Option<String>) -> Option<Listed> {
    let id = QuarantineId::parse(id).ok()?;
    let summary = summary.and_then(|summary| serde_json::from_str(summary).ok());
    Some(match summary {
        Some(summary) => Listed::Entry(Box::new(summary)),
        None => {
            Listed::Damaged { id, problem: problem.unwrap_or_else(|| "its row in the index is damaged".to_owned()) }
        }
    })
}

fn read_usage(connection: &mut Connection) -> rusqlite::Result<Usage> {
    let sql = "SELECT count(*), coalesce(sum(content), 0), min(held_at) FROM entry WHERE undelivered";
    connection.prepare_cached(sql)?.query_row([], |row| {
        let oldest: Option<i64> = row.get(2)?;
        Ok(Usage {
            messages: unsigned(row.get(0)?),
            bytes: unsigned(row.get(1)?),
            oldest: oldest.and_then(|milliseconds| Timestamp::from_millisecond(milliseconds).ok()),
            limit: 0,
        })
    })
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
