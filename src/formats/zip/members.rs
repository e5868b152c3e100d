//! The members of a ZIP by both its views: the directory, and the local headers.
//!
//! One walk from the first octet to the last collects every record that stands outside of a
//! member's data. Directory entries are then matched with local headers by the offset they name;
//! what one view has and the other has not is a difference, and a member all the same.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use memchr::memmem;

use super::names;
use super::records::{self, AES, ENCRYPTED, End, Header, Listed, Local};
use crate::filetype;
use crate::part::Name;

/// What an archive holds.
#[derive(Debug, Default)]
pub struct Archive {
    /// Every member that either view knows and whose data can be found.
    pub members: Vec<Member>,
    /// How the views differ, for people.
    pub differences: Vec<String>,
    /// There were more members than were asked for.
    pub cut: bool,
    /// It is an honest archive of nothing.
    pub empty: bool,
    /// Where its comment stands.
    pub comment: Range<usize>,
}

/// One member.
#[derive(Clone, Debug)]
pub struct Member {
    /// Every name it has in either view, the directory's first.
    pub names: Vec<Name>,
    /// The methods that the views claim: one, or two if they disagree.
    pub methods: Vec<u16>,
    /// Either view says that it is encrypted.
    pub encrypted: bool,
    /// CRC-32 as claimed, if any view claims one.
    pub crc: Option<u32>,
    /// Unpacked size, as claimed.
    pub size: u64,
    /// The packed data, as far as the claims and the next record tell.
    pub data: Range<usize>,
    /// General purpose bits of the local header.
    pub flags: u16,
    /// DOS time.
    pub time: u32,
    /// The extra field 0x9901 of an AES-encrypted member.
    pub aes: Option<Vec<u8>>,
}

impl Member {
    /// The name to show.
    pub fn name(&self) -> &str {
        self.names.first().map_or("", |name| name.text.as_str())
    }

    /// A name that ends in a slash and has no data.
    pub fn is_folder(&self) -> bool {
        self.is_empty() && self.name().ends_with(['/', '\\'])
    }

    /// Nothing is packed, and nothing is claimed to be.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty() && self.size == 0
    }
}

/// Reads both views; at most `most` members.
pub fn read(bytes: &[u8], most: usize) -> Archive {
    let mut walk = Walk::default();
    walk.by_directory(bytes, most);
    walk.linearly(bytes, most);
    let mut archive = Archive {
        cut: walk.cut,
        comment: walk.ends.iter().map(|end| end.comment.clone()).find(|at| !at.is_empty()).unwrap_or_default(),
        empty: walk.locals.is_empty() && walk.ends.iter().any(|end| end.count == 0 && end.size == 0),
        ..Archive::default()
    };
    archive.unite(bytes, &mut walk);
    archive
}

/// Every record that was found.
#[derive(Default)]
struct Walk<'a> {
    locals: Vec<Found<'a>>,
    /// Directory entries and the start of their archive within the file.
    listed: Vec<(Listed<'a>, usize)>,
    ends: Vec<End>,
    seen: HashSet<usize>,
    /// Packed sizes by offset of the local header, as the directory at the end tells them.
    sizes: HashMap<usize, u64>,
    differences: Vec<String>,
    cut: bool,
}

/// A local header and the end of its data.
struct Found<'a> {
    local: Local<'a>,
    end: usize,
}

impl<'a> Walk<'a> {
    /// What a reader sees that starts at the last end record.
    fn by_directory(&mut self, bytes: &'a [u8], most: usize) {
        let Some((end, base, start)) = last_end(bytes) else { return };
        let mut count: u16 = 0;
        let mut at = start;
        while let Some(entry) = records::listed(bytes, at) {
            if self.listed.len() >= most {
                self.cut = true;
                return;
            }
            at = entry.span.end;
            count = count.wrapping_add(1);
            self.list(entry, base);
        }
        // ZIP64 writes all ones here and the number elsewhere.
        if count != end.count && end.count != u16::MAX {
            self.differences.push(format!("the end record counts {} entries, the directory has {count}", end.count));
        }
    }

    fn list(&mut self, entry: Listed<'a>, base: usize) {
        if let Some(local) = offset(base, entry.local) {
            self.sizes.insert(local, entry.header.packed);
        }
        self.seen.insert(entry.header.at);
        self.listed.push((entry, base));
    }

    /// Every record from the first octet to the last, passing over the data of members.
    fn linearly(&mut self, bytes: &'a [u8], most: usize) {
        let mut at = 0;
        // Entries that wait for the end record behind them.
        let mut waiting = Vec::new();
        while let Some(found) = next_record(bytes, at) {
            if self.locals.len() >= most || self.listed.len().saturating_add(waiting.len()) > most {
                self.cut = true;
                break;
            }
            at = found.saturating_add(4);
            if let Some(local) = records::local(bytes, found, true) {
                let end = self.end_of_data(bytes, &local);
                at = end.max(local.data);
                self.locals.push(Found { local, end });
            } else if let Some(entry) = records::listed(bytes, found) {
                at = entry.span.end;
                if self.seen.insert(found) {
                    waiting.push(entry);
                }
            } else if let Some(end) = records::end(bytes, found) {
                let base = base(&end).unwrap_or_default();
                self.listed.extend(waiting.drain(..).map(|entry| (entry, base)));
                if self.ends.len() < MAX_ENDS {
                    self.ends.push(end);
                }
            }
        }
        self.listed.extend(waiting.into_iter().map(|entry| (entry, 0)));
    }

    /// Where the data of a member ends: where one of the views says, if a record or the end of
    /// the file is there; else at the next record.
    fn end_of_data(&self, bytes: &[u8], local: &Local<'_>) -> usize {
        let by_directory = self.sizes.get(&local.header.at).copied();
        [by_directory, Some(local.header.packed)]
            .into_iter()
            .flatten()
            .filter_map(|size| offset(local.data, size))
            // A streaming writer leaves zero and tells the size behind the data.
            .filter(|end| *end > local.data || local.header.flags & 8 == 0)
            .find(|end| is_boundary(bytes, *end))
            .unwrap_or_else(|| next_record(bytes, local.data).unwrap_or(bytes.len()))
    }
}

fn offset(base: usize, distance: u64) -> Option<usize> {
    base.checked_add(usize::try_from(distance).ok()?)
}

/// Octets in front of the archive: the directory ends where the end record begins.
fn base(end: &End) -> Option<usize> {
    end.at.checked_sub(usize::try_from(end.size).ok()?)?.checked_sub(usize::try_from(end.offset).ok()?)
}

/// The last end record that has a directory: it, the start of the archive, the start of the directory.
fn last_end(bytes: &[u8]) -> Option<(End, usize, usize)> {
    // 64 records: a file may be full of decoys, and each costs a look.
    filetype::end_records(bytes).take(64).find_map(|at| {
        let end = records::end(bytes, at)?;
        let claimed = usize::try_from(end.offset).ok()?;
        let before = at.checked_sub(usize::try_from(end.size).ok()?);
        // ZIP64: its own end record and locator (76 octets) stand between the two.
        let starts = [before, before.and_then(|start| start.checked_sub(76)), Some(claimed)];
        let start = starts.into_iter().flatten().find(|start| records::listed(bytes, *start).is_some())?;
        let base = start.checked_sub(claimed).filter(|_| end.offset != u32::MAX).unwrap_or_default();
        Some((end, base, start))
    })
}

/// The next of the signatures `PK` 01 02, 03 04, 05 06, 06 06, 06 07, 07 08.
fn next_record(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    memmem::find_iter(rest, b"PK")
        .filter_map(|at| from.checked_add(at))
        // What looks like a local header and cannot be one is data.
        .find(|at| {
            is_record(bytes, *at)
                && !(bytes.get(at.saturating_add(2)) == Some(&3) && records::local(bytes, *at, true).is_none())
        })
}

fn is_record(bytes: &[u8], at: usize) -> bool {
    const SIGNATURES: [[u8; 4]; 6] =
        [*b"PK\x01\x02", *b"PK\x03\x04", *b"PK\x05\x06", *b"PK\x06\x06", *b"PK\x06\x07", *b"PK\x07\x08"];
    bytes.get(at..).is_some_and(|rest| SIGNATURES.iter().any(|signature| rest.starts_with(signature)))
}

/// Whether a member's data may end at `at`: the file ends, or a record follows, perhaps behind a
/// data descriptor (4.3.9) without signature: 12 octets, 20 in ZIP64.
fn is_boundary(bytes: &[u8], at: usize) -> bool {
    at == bytes.len() || [0, 12, 20].iter().any(|gap| is_record(bytes, at.saturating_add(*gap)))
}

impl Archive {
    /// Every member of either view, and how the views differ.
    fn unite<'a>(&mut self, bytes: &'a [u8], walk: &mut Walk<'a>) {
        self.differences.append(&mut walk.differences);
        let Matched { entries, hidden } = self.match_views(bytes, walk);
        for (found, entries) in walk.locals.iter().zip(&entries) {
            if entries.is_empty() && !walk.listed.is_empty() {
                self.differences.push(format!("{}: not in the directory", shown(&found.local.header)));
            }
            self.add(bytes, found, entries);
        }
        for (local, listed) in hidden {
            self.differences.push(format!("{}: found through the directory only", shown(&listed.header)));
            let claimed = offset(local.data, listed.header.packed).filter(|end| *end <= bytes.len());
            let end = claimed.unwrap_or_else(|| next_record(bytes, local.data).unwrap_or(bytes.len()));
            self.add(bytes, &Found { local, end }, &[listed]);
        }
        if walk.listed.is_empty() && !walk.locals.is_empty() {
            self.differences.push("there is no directory".to_owned());
        }
        if walk.ends.len() > 1 {
            self.differences.push(format!("there are {} end records", walk.ends.len()));
        }
        self.name_twins();
    }

    /// Finds for each directory entry the local header it means: at the offset it names, counted
    /// from the start of its archive or of the file; else the first of the same name.
    fn match_views<'a, 'w>(&mut self, bytes: &'a [u8], walk: &'w Walk<'a>) -> Matched<'a, 'w> {
        let mut by_offset: HashMap<usize, usize> = HashMap::new();
        let mut by_name: HashMap<&[u8], Vec<usize>> = HashMap::new();
        for (index, found) in walk.locals.iter().enumerate() {
            by_offset.insert(found.local.header.at, index);
            by_name.entry(found.local.header.name).or_default().push(index);
        }
        let mut entries: Vec<Vec<&Listed<'a>>> = walk.locals.iter().map(|_| Vec::new()).collect();
        let mut hidden = Vec::new();
        for (listed, base) in &walk.listed {
            let places: Vec<usize> = [*base, 0].iter().filter_map(|base| offset(*base, listed.local)).collect();
            let by_place = places.iter().find_map(|place| by_offset.get(place).copied());
            let namesake = || {
                let named = by_name.get(listed.header.name)?;
                named.iter().copied().find(|index| entries.get(*index).is_some_and(Vec::is_empty))
            };
            if let Some(index) = by_place.or_else(namesake) {
                if by_place.is_none() {
                    self.differences.push(format!("{}: not where the directory says", shown(&listed.header)));
                }
                entries.get_mut(index).into_iter().for_each(|entries| entries.push(listed));
            } else if let Some(local) = places.iter().find_map(|place| at_place(bytes, *place, listed)) {
                hidden.push((local, listed));
            } else {
                self.differences.push(format!("{}: in the directory only", shown(&listed.header)));
            }
        }
        Matched { entries, hidden }
    }

    fn add(&mut self, bytes: &[u8], found: &Found<'_>, entries: &[&Listed<'_>]) {
        let local = &found.local.header;
        let headers = || entries.iter().map(|entry| &entry.header).chain([local]);
        let mut names: Vec<Name> = Vec::new();
        for name in headers().flat_map(names::names) {
            // The same octets may be shown in two ways, by the UTF-8 flag of one view only.
            if !names.iter().any(|known| known.text == name.text) && names.len() < MAX_NAMES {
                names.push(name);
            }
        }
        // A Unicode path beside a name in an old charset is honest; another name in the other view is not.
        if let Some(entry) = entries.iter().find(|entry| entry.header.name != local.name) {
            self.differences.push(format!("{}: also called {}", shown(&entry.header), shown(local)));
        }
        let mut methods: Vec<u16> = headers().map(|header| header.method).collect();
        methods.sort_unstable();
        methods.dedup();
        methods.truncate(MAX_NAMES);
        let data = found.local.data..found.end.max(found.local.data);
        let described = records::descriptor(bytes, data.end, data.len());
        let crc = headers().map(|header| header.crc).find(|crc| *crc != 0);
        let size = headers().map(|header| header.size).find(|size| *size != 0);
        self.members.push(Member {
            names,
            methods,
            encrypted: headers().any(|header| header.flags & ENCRYPTED != 0 || header.method == AES),
            crc: crc.or(described.map(|(crc, _)| crc)),
            size: size.or(described.map(|(_, size)| size)).unwrap_or_default(),
            data,
            flags: local.flags,
            time: local.time,
            aes: headers().find_map(|header| records::extra(header.extra, 0x9901)).map(<[u8]>::to_vec),
        });
    }

    /// Of two members with one name, most readers show only one.
    fn name_twins(&mut self) {
        let mut seen = HashSet::new();
        let twin =
            self.members.iter().filter(|member| !member.is_folder()).find(|member| !seen.insert(normal(member.name())));
        if let Some(name) = twin.map(|member| member.name().to_owned()) {
            self.differences.push(format!("{name}: more than once"));
        }
    }
}

/// The views, matched.
struct Matched<'a, 'w> {
    /// For each local header that the walk met: the entries that mean it.
    entries: Vec<Vec<&'w Listed<'a>>>,
    /// Local headers that only the directory led to.
    hidden: Vec<(Local<'a>, &'w Listed<'a>)>,
}

/// End records kept: honest files have one, a file of nothing else has millions.
const MAX_ENDS: usize = 64;

/// Names and methods kept of one member: both views, and a Unicode path in each.
const MAX_NAMES: usize = 4;

/// The local header an entry points to, when the walk did not meet it: it lies within the data of
/// another member, or its signature was changed (then its name must be the entry's).
fn at_place<'a>(bytes: &'a [u8], place: usize, listed: &Listed<'_>) -> Option<Local<'a>> {
    records::local(bytes, place, true)
        .or_else(|| records::local(bytes, place, false).filter(|local| local.header.name == listed.header.name))
}

fn shown(header: &Header<'_>) -> String {
    names::decode(header.name, header.flags & records::UTF8 != 0).text
}

/// A member's path as Windows would see it.
pub fn normal(name: &str) -> String {
    name.replace('\\', "/").trim_start_matches("./").trim_start_matches('/').to_lowercase()
}
