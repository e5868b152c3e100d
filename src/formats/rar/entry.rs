//! What the headers of an archive say, whichever version wrote them.

use std::ops::Range;

use bytes::Bytes;

use super::crypt::Lock;
use crate::formats::container;
use crate::part::Name;

/// What the headers of an archive say.
#[derive(Default)]
pub struct Headers {
    /// Files, folders and streams.
    pub entries: Vec<Entry>,
    /// Comments of the archive and of files.
    pub comments: Vec<Entry>,
    /// Headers looked at, and those whose checksum is right.
    pub seen: usize,
    pub right: usize,
    pub is_broken: bool,
    pub is_ended: bool,
    pub is_cut: bool,
    /// Whether there are streams that are kept as the first betas of RAR 2.9 kept them.
    pub has_old_streams: bool,
    /// Where the end record ends, or, where there is none, the next volume begins.
    pub end: usize,
}

impl Headers {
    /// Adds an entry. A stream belongs to the file before it and is named like it (`a.txt:hidden.docm`).
    pub fn push(&mut self, mut entry: Entry) {
        match entry.role {
            Role::Comment => return self.comments.push(entry),
            Role::Stream => {
                let file = self.entries.iter().rev().find(|entry| entry.role != Role::Stream);
                let of = file.map_or("", Entry::name).to_owned();
                entry.names.iter_mut().for_each(|name| *name = Name::plain(format!("{of}{}", name.text)));
            }
            Role::File | Role::Folder => {}
        }
        self.entries.push(entry);
    }

    /// Takes over what the next volume says. A member that was cut at its end goes on with what is first there.
    pub fn append(&mut self, next: Headers) {
        let Headers { entries, comments, seen, right, is_broken, is_ended, is_cut, has_old_streams, end } = next;
        let mut entries = entries.into_iter().peekable();
        if let Some(cut) = self.entries.last_mut().filter(|entry| entry.is_continued)
            && let Some(entry) = entries.next_if(|entry| cut.goes_on_with(entry))
        {
            cut.go_on(entry);
        }
        self.entries.extend(entries);
        self.comments.extend(comments);
        self.seen = self.seen.saturating_add(seen);
        self.right = self.right.saturating_add(right);
        self.is_broken |= is_broken;
        self.is_ended = is_ended;
        self.is_cut |= is_cut;
        self.has_old_streams |= has_old_streams;
        self.end = end;
    }
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    File,
    Folder,
    /// A stream of NTFS beside the content of a file.
    Stream,
    /// Text for people.
    Comment,
}

/// A member, or what else has packed data.
pub struct Entry {
    pub role: Role,
    pub names: Vec<Name>,
    pub data: Range<usize>,
    /// Whether the archive ends before its data does.
    pub is_short: bool,
    pub size: Option<u64>,
    pub crc: Option<u32>,
    /// BLAKE2sp, where it is told.
    pub blake: Option<[u8; 32]>,
    pub method: Method,
    pub is_solid: bool,
    /// Its data begins in a volume before, or ends in one behind.
    pub continues: bool,
    pub is_continued: bool,
    /// Its data in the volumes behind.
    pub rest: Vec<Range<usize>>,
    pub is_link: bool,
    /// A comment in UTF-16.
    pub is_wide: bool,
    pub lock: Option<Lock>,
}

impl Entry {
    pub fn name(&self) -> &str {
        self.names.first().map_or("", |name| name.text.as_str())
    }

    /// How soon it is looked at: see [`container::rank`].
    pub fn rank(&self) -> u8 {
        container::rank(&self.names)
    }

    pub fn is_packed(&self) -> bool {
        !matches!(self.method, Method::Stored)
    }

    /// A stream does not say anew whose it is.
    fn goes_on_with(&self, next: &Entry) -> bool {
        next.continues && next.role == self.role && (next.role == Role::Stream || next.name() == self.name())
    }

    /// Goes on with its part in the next volume, which alone tells the checksum of all.
    fn go_on(&mut self, next: Entry) {
        self.rest.push(next.data);
        self.rest.extend(next.rest);
        self.is_continued = next.is_continued;
        self.is_short |= next.is_short;
        self.size = next.size.or(self.size);
        self.crc = next.crc;
        self.blake = next.blake;
    }

    pub fn packed(&self, bytes: &Bytes) -> Bytes {
        if self.rest.is_empty() {
            return bytes.slice(self.data.clone());
        }
        let pieces = std::iter::once(&self.data).chain(&self.rest);
        pieces.filter_map(|piece| bytes.get(piece.clone())).collect::<Vec<_>>().concat().into()
    }
}

/// How a member is packed.
pub enum Method {
    Stored,
    /// RAR 1.5.
    One,
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

impl Method {
    /// By the version and the method that a header of RAR 1.5 to 4 names.
    pub fn of_old(version: u8, method: u8) -> Self {
        match (version, method) {
            (_, 0x30) => Method::Stored,
            (15, 0x31..=0x35) => Method::One,
            (20 | 26, 0x31..=0x35) => Method::Two,
            (29 | 36, 0x31..=0x35) => Method::Three,
            (version, method) => Method::Unknown(format!("rar version {version} method {method}")),
        }
    }
}
