//! What every container does with its members: unpacks them in bounds, puts them on the work list,
//! and says what could not be read.

use std::io::Read;

use bytes::Bytes;

use crate::filetype::{self, FileType, TypeSet};
use crate::finding;
use crate::formats::naming;
use crate::limits::Limit;
use crate::lure;
use crate::part::{Name, Origin, Part, extension};
use crate::scan::{Child, Scan};

/// What came out of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// All of it.
    Whole(Bytes),
    /// As much as there was room for.
    Head(Bytes),
    /// As much as could be read.
    Damaged(Bytes),
    /// Nothing: this method, named for the admin, is not known here.
    Unsupported(String),
}

impl Content {
    /// What came out, if the method is known.
    pub fn bytes(&self) -> Option<&Bytes> {
        match self {
            Content::Whole(bytes) | Content::Head(bytes) | Content::Damaged(bytes) => Some(bytes),
            Content::Unsupported(_) => None,
        }
    }

    /// Octets that came out.
    pub fn size(&self) -> u64 {
        self.bytes().map_or(0, |bytes| bytes.len() as u64)
    }

    /// Octets that stand in the container as they are, at most `room` of them.
    pub fn stored(bytes: Bytes, room: u64) -> Content {
        let most = usize::try_from(room).unwrap_or(usize::MAX);
        if bytes.len() > most { Content::Head(bytes.slice(..most)) } else { Content::Whole(bytes) }
    }
}

/// Reads to the end, but no more than `room`; `claim` is only a hint for memory.
pub fn bounded(reader: impl Read, claim: u64, room: u64) -> Content {
    // 1 MiB at once on a claim's word; the rest as it comes.
    let hint = usize::try_from(claim.min(room).min(1 << 20)).unwrap_or_default();
    let mut out = Vec::with_capacity(hint);
    let outcome = reader.take(room.saturating_add(1)).read_to_end(&mut out);
    let over = out.len() as u64 > room;
    out.truncate(usize::try_from(room).unwrap_or(usize::MAX));
    match (outcome, over) {
        (_, true) => Content::Head(out.into()),
        (Ok(_), false) => Content::Whole(out.into()),
        (Err(_), false) => Content::Damaged(out.into()),
    }
}

/// A member of a container, whatever the container.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Every name it is given; the one most readers show first.
    pub names: &'a [Name],
    /// Its octets as they stand in the container, where they have a place of their own: some readers
    /// ignore a method they do not know.
    pub packed: Option<&'a Bytes>,
    /// Whether the container says that there is nothing in it.
    pub is_empty: bool,
}

impl Member<'_> {
    /// The name for findings: the first.
    pub fn name(&self) -> &str {
        self.names.first().map_or("", |name| name.text.as_str())
    }
}

/// How soon a member is unpacked, by the most dangerous of its names, where limits may end it: the lower, the sooner. The
/// order is that of the work list of a scan, and what starts by itself comes first.
pub fn rank(names: &[Name]) -> u8 {
    names.iter().map(|name| rank_of(&name.text)).min().unwrap_or(RANK_OTHER)
}

/// Documents that may have macros, other documents, messages, what has members of its own, and what only shows or sounds.
const RANKS: [(u8, &[&str]); 5] = [
    (
        1,
        &[
            "docm", "dotm", "doc", "dot", "wbk", "xlsm", "xlsb", "xltm", "xlam", "xls", "xlt", "xla", "xlw", "xlm",
            "pptm", "potm", "ppsm", "ppam", "ppt", "pot", "pps", "ppa", "mht", "mhtml", "one", "pub", "rtf", "slk",
        ],
    ),
    (2, &["docx", "dotx", "xlsx", "xltx", "pptx", "ppsx", "potx", "xml", "pdf", "htm", "html", "csv"]),
    (3, &["eml", "msg", "mbox", "dat"]),
    (4, &["zip", "rar", "7z", "cab", "tar", "gz", "tgz", "bz2", "xz", "zst", "lzma", "lzh", "lha", "arj", "z", "001"]),
    (
        RANK_MEDIA,
        &[
            "jpg", "jpeg", "png", "gif", "bmp", "tif", "tiff", "webp", "ico", "mp3", "mp4", "wav", "avi", "mov", "txt",
            "log",
        ],
    ),
];
const RANK_OTHER: u8 = 5;
const RANK_MEDIA: u8 = 6;

fn rank_of(name: &str) -> u8 {
    if naming::carrier_by_name(name).is_some() {
        return 0;
    }
    let Some(extension) = extension(name) else { return RANK_OTHER };
    let known = RANKS.iter().find(|(_, extensions)| extensions.contains(&extension.as_str()));
    known.map_or(RANK_OTHER, |(rank, _)| *rank)
}

/// What became of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// It is on the work list, or a finding says why not.
    Given,
    /// A limit forbids this part and all that would follow: what becomes no part must not be unpacked
    /// either, that would be work without a bound.
    Full,
}

/// Puts what was unpacked on the work list, and says what is missing of it.
pub fn give(part: &Part, member: Member<'_>, content: Content, opened_by_password: bool, scan: &mut Scan) -> Outcome {
    missing(part, member.name(), &content, scan);
    if let Content::Unsupported(_) = content {
        scan.learn_closed(part, member.names);
    }
    let bytes = match content {
        Content::Whole(bytes) => bytes,
        Content::Damaged(bytes) if !bytes.is_empty() => bytes,
        Content::Head(bytes) if bytes.is_empty() => return Outcome::Full,
        Content::Head(bytes) => bytes,
        // Nothing came out, but what went in may be plain.
        Content::Damaged(_) | Content::Unsupported(_) => member.packed.map(plain_if_known).unwrap_or_default(),
    };
    if bytes.is_empty() && !member.is_empty {
        return Outcome::Given;
    }
    lure::file(scan, part, member.names, &bytes);
    let child = Child { names: member.names.to_vec(), bytes, opened_by_password, ..Child::default() };
    scan.child(part, Origin::Member, child).map_or(Outcome::Full, |_| Outcome::Given)
}

/// Says what of a member could not be read.
pub fn missing(part: &Part, name: &str, content: &Content, scan: &mut Scan) {
    match content {
        Content::Whole(_) => {}
        Content::Head(_) => {
            let used_up = scan.room() < scan.limits().max_file_size;
            let limit = if used_up { Limit::ScanSize } else { Limit::FileSize };
            scan.finding(finding::LIMIT_EXCEEDED, part, name, &format!("{name}: {}", limit.name()));
        }
        Content::Damaged(_) => scan.finding(finding::DAMAGED, part, name, name),
        Content::Unsupported(method) => {
            scan.finding(finding::CONTAINER_UNSUPPORTED, part, name, &format!("{name}: {method}"));
        }
    }
}

/// Says which members stay closed, and what their names say: those are readable although the content is not.
pub fn locked(part: &Part, members: &[Vec<Name>], scan: &mut Scan) {
    for name in members.iter().flatten() {
        if let Some(id) = naming::carrier_by_name(&name.text) {
            scan.finding(id, part, &name.text, &name.text);
        }
    }
    for names in members {
        scan.learn_closed(part, names);
    }
    let names: Vec<&str> = members.iter().filter_map(|names| names.first()).map(|name| name.text.as_str()).collect();
    closed(part, &names, scan);
}

/// Says that the names of the members are encrypted, too.
pub fn locked_with_names(part: &Part, scan: &mut Scan) {
    closed(part, &["names are encrypted, too"], scan);
}

fn closed(part: &Part, names: &[&str], scan: &mut Scan) {
    let untried = scan.take_untried_passwords();
    if !names.is_empty() {
        let id = if scan.password_told() { finding::ARCHIVE_ENCRYPTED_TOLD } else { finding::ARCHIVE_ENCRYPTED };
        scan.finding(id, part, "", &names.join(", "));
        if untried {
            scan.finding(finding::PASSWORDS_UNTRIED, part, "", "");
        }
    }
}

/// The packed octets, if they begin like something known as they stand.
fn plain_if_known(packed: &Bytes) -> Bytes {
    let types = filetype::detect(packed.get(..4096).unwrap_or(packed));
    let unknown = [FileType::Data, FileType::Text].map(|t| TypeSet::EMPTY.with(t)).contains(&types);
    if unknown { Bytes::new() } else { packed.clone() }
}
