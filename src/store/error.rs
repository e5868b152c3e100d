//! What can go wrong with the quarantine, told to the person who has to repair it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::store::{QuarantineId, State};

/// Why the quarantine did not do what it was asked to. For the daemon each of them means 451:
/// the message is still the sender's.
#[derive(Debug)]
pub enum StoreError {
    /// The message would not fit under `[quarantine] max_size`.
    Full {
        /// Octets held.
        used: u64,
        /// Octets that may be held.
        limit: u64,
        /// Octets of the message.
        size: u64,
    },
    /// The folder, or a file in it, cannot be used.
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried: "write", "rename" …
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// There is no such message.
    NotFound(QuarantineId),
    /// Another process is working on this message.
    Busy(QuarantineId),
    /// The entry cannot be read, or the content is not what was stored.
    Damaged {
        /// Whose.
        id: QuarantineId,
        /// What is wrong.
        problem: String,
    },
    /// The message is in a state in which this cannot be done.
    State {
        /// Which message.
        id: QuarantineId,
        /// Its state.
        state: State,
    },
}

impl StoreError {
    /// Wraps what the system said about a path.
    pub(super) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, doing, source }
    }

    /// Whether there is no room, on the disk or under `max_size`.
    pub(super) fn is_no_space(&self) -> bool {
        let no_space = |kind| matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        match self {
            StoreError::Full { .. } => true,
            StoreError::Io { source, .. } => no_space(source.kind()),
            StoreError::NotFound(_) | StoreError::Busy(_) | StoreError::Damaged { .. } | StoreError::State { .. } => {
                false
            }
        }
    }

    /// The exit code of a command that failed with this (sysexits).
    pub fn exit_code(&self) -> u8 {
        match self {
            StoreError::Full { .. } | StoreError::Busy(_) | StoreError::State { .. } => 75,
            StoreError::NotFound(_) => 66,
            StoreError::Damaged { .. } => 65,
            StoreError::Io { doing, source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => 77,
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory if *doing == "open" => 66,
                io::ErrorKind::StorageFull | io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::QuotaExceeded => 73,
                _ if *doing == "create" => 73,
                _ => 74,
            },
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Full { used, limit, size } => write!(
                f,
                "the quarantine is full ({used} of {limit} bytes, this message has {size}): release or delete messages \
                 (`sekisho quarantine list`), or raise max_size or lower keep in [quarantine]"
            ),
            StoreError::Io { path, doing, source } => {
                write!(f, "cannot {doing} {}: {source}; {}", path.display(), remedy(source))
            }
            StoreError::NotFound(id) => write!(f, "{id}: there is no such message in the quarantine"),
            StoreError::Busy(id) => {
                write!(f, "{id}: another process is working on this message; try again in a moment")
            }
            StoreError::Damaged { id, problem } => write!(f, "{id}: the entry is damaged: {problem}"),
            StoreError::State { id, state } => write!(f, "{id}: this cannot be done with a message that is {state}"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StoreError::Io { source, .. } => Some(source),
            StoreError::Full { .. }
            | StoreError::NotFound(_)
            | StoreError::Busy(_)
            | StoreError::Damaged { .. }
            | StoreError::State { .. } => None,
        }
    }
}

/// What to do about an error of the system.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull => "free some space on this disk, or let [quarantine] path point to another one",
        io::ErrorKind::QuotaExceeded => "raise the disk quota of the user that runs sekisho",
        io::ErrorKind::ReadOnlyFilesystem => {
            "the file system is read-only: mount it writable (systemd: ReadWritePaths=), or let [quarantine] path point elsewhere"
        }
        io::ErrorKind::PermissionDenied => {
            "run this as the user that owns the folder, or give the folder to the user that runs sekisho"
        }
        io::ErrorKind::NotFound => "create the folder ([quarantine] path), or start `sekisho serve`, which does",
        io::ErrorKind::NotADirectory => "something on this path is a file, not a folder: correct [quarantine] path",
        _ => "look at the system's log for the disk",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_its_exit_code_and_tells_what_to_do() {
        let io = |doing, kind: io::ErrorKind| StoreError::Io { path: "/q".into(), doing, source: kind.into() };
        let rows = [
            (io("write", io::ErrorKind::StorageFull), 73, "free some space"),
            (io("write", io::ErrorKind::ReadOnlyFilesystem), 73, "mount it writable"),
            (io("write", io::ErrorKind::PermissionDenied), 77, "give the folder"),
            (io("open", io::ErrorKind::NotFound), 66, "create the folder"),
            (io("create", io::ErrorKind::NotADirectory), 73, "correct [quarantine] path"),
            (io("read", io::ErrorKind::Other), 74, "disk"),
            (StoreError::Full { used: 9, limit: 10, size: 2 }, 75, "max_size"),
        ];
        for (error, code, advice) in rows {
            assert_eq!(error.exit_code(), code, "{error}");
            assert!(error.to_string().contains(advice), "{error}");
        }
    }
}
