//! What `scan` is given: files, folders (sorted, no symbolic links followed), mbox, Maildir, `-`.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use crate::cli::exit;
use crate::message::read_bounded;
use crate::scan::Input;

/// One thing to scan, or why it could not be read.
pub struct Item {
    /// How to call it: the path, `path#n` for the n-th message of an mbox.
    pub path: String,
    /// Its content.
    pub input: Result<Input, Unreadable>,
}

/// An input that could not be read.
pub struct Unreadable {
    /// In words.
    pub message: String,
    /// `EX_NOINPUT` or `EX_IOERR`.
    pub exit: u8,
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        let missing = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied);
        Self { message: error.to_string(), exit: if missing { exit::NO_INPUT } else { exit::IO_ERROR } }
    }
}

/// Everything below `paths`, read one at a time. Files are cut off at `limit` octets with an error.
pub fn walk(paths: &[PathBuf], limit: u64) -> Walk {
    Walk { waiting: paths.iter().cloned().map(Waiting::Named).collect(), mbox: None, limit }
}

/// A walk in progress.
pub struct Walk {
    waiting: VecDeque<Waiting>,
    mbox: Option<Mbox>,
    limit: u64,
}

enum Waiting {
    /// Named on the command line: symbolic links are followed, a missing one is an error.
    Named(PathBuf),
    /// Found in a folder.
    Found(PathBuf),
}

impl Iterator for Walk {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        loop {
            if let Some(mbox) = &mut self.mbox {
                if let Some(item) = mbox.next_message(self.limit) {
                    return Some(item);
                }
                self.mbox = None;
            }
            let item = match self.waiting.pop_front()? {
                Waiting::Named(path) if path.as_os_str() == "-" => Some(self.standard_input()),
                Waiting::Named(path) => self.visit(&path, true),
                Waiting::Found(path) => self.visit(&path, false),
            };
            if item.is_some() {
                return item;
            }
        }
    }
}

impl Walk {
    fn standard_input(&self) -> Item {
        let input = read_bounded(io::stdin().lock(), self.limit).map(|bytes| Input::file(bytes, "-"));
        Item { path: "-".to_owned(), input: input.map_err(Unreadable::from) }
    }

    /// A file becomes an item; a folder or an mbox puts more on the list.
    fn visit(&mut self, path: &Path, named: bool) -> Option<Item> {
        let label = path.to_string_lossy().into_owned();
        let fail = |error: io::Error| Some(Item { path: label.clone(), input: Err(error.into()) });
        let metadata = if named { fs::metadata(path) } else { fs::symlink_metadata(path) };
        let metadata = match metadata {
            Ok(metadata) => metadata,
            Err(error) => return fail(error),
        };
        if metadata.is_dir() {
            return match sorted(path) {
                Ok(found) => {
                    for path in found.into_iter().rev() {
                        self.waiting.push_front(Waiting::Found(path));
                    }
                    None
                }
                Err(error) => fail(error),
            };
        }
        let read = || {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let input = super::read_file(path, self.limit).map(|bytes| Input::file(bytes, name));
            Some(Item { path: label.clone(), input: input.map_err(Unreadable::from) })
        };
        if !metadata.is_file() {
            // A pipe can be read only once, so it is not asked whether it is a mailbox.
            return if named { read() } else { None };
        }
        match Mbox::open(path) {
            Ok(Some(mbox)) => {
                self.mbox = Some(mbox);
                None
            }
            Ok(None) => read(),
            Err(error) => fail(error),
        }
    }
}

fn sorted(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<io::Result<_>>()?;
    found.sort();
    Ok(found)
}

/// An mbox (RFC 4155): messages behind lines that begin with `From `.
struct Mbox {
    path: String,
    lines: BufReader<fs::File>,
    /// The `From ` line of the next message was read already.
    begun: bool,
    number: u64,
}

impl Mbox {
    /// Opens `path` if it begins like an mbox.
    fn open(path: &Path) -> io::Result<Option<Self>> {
        let mut lines = BufReader::new(fs::File::open(path)?);
        if !lines.fill_buf()?.starts_with(b"From ") {
            return Ok(None);
        }
        Ok(Some(Self { path: path.to_string_lossy().into_owned(), lines, begun: false, number: 0 }))
    }

    fn next_message(&mut self, limit: u64) -> Option<Item> {
        if !self.begun {
            // The separator of the first message.
            let mut separator = Vec::new();
            self.line(&mut separator, limit).ok()?;
            self.begun = true;
        }
        let input = self.read_message(limit)?;
        self.number = self.number.saturating_add(1);
        // A message that was saved with its separator is one file, not a mailbox.
        let alone = self.number == 1 && self.at_end();
        let path = if alone { self.path.clone() } else { format!("{}#{}", self.path, self.number) };
        Some(Item { path, input: input.map_err(Unreadable::from) })
    }

    fn at_end(&mut self) -> bool {
        self.lines.fill_buf().is_ok_and(<[u8]>::is_empty)
    }

    /// The octets up to the next separator; `None` at the end of the file.
    fn read_message(&mut self, limit: u64) -> Option<io::Result<Input>> {
        let (mut message, mut any, mut blank, mut too_large) = (Vec::new(), false, true, false);
        loop {
            let mut line = Vec::new();
            match self.line(&mut line, limit) {
                Ok(0) if !any => return None,
                Ok(0) => break,
                Ok(_) => any = true,
                Err(error) => return Some(Err(error)),
            }
            if blank && line.starts_with(b"From ") {
                break;
            }
            blank = line == b"\n" || line == b"\r\n";
            // mboxrd: one level of quoting is undone.
            let unquoted = line.strip_prefix(b">").filter(|rest| is_quoted(rest));
            message.extend_from_slice(unquoted.unwrap_or(&line));
            if message.len() as u64 > limit {
                too_large = true;
                message.clear();
            }
        }
        Some(if too_large {
            Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {limit} bytes")))
        } else {
            Ok(Input::message(message))
        })
    }

    /// One line, at most `limit` octets of it at a time.
    fn line(&mut self, line: &mut Vec<u8>, limit: u64) -> io::Result<usize> {
        io::Read::take(&mut self.lines, limit.saturating_add(1)).read_until(b'\n', line)
    }
}

/// Whether a line, its first `>` taken away, is a quoted `From ` line.
fn is_quoted(rest: &[u8]) -> bool {
    let end = rest.iter().position(|byte| *byte != b'>').unwrap_or(rest.len());
    rest.get(end..).is_some_and(|text| text.starts_with(b"From "))
}
