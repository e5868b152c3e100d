//! tar archives (POSIX.1-1988 ustar, POSIX.1-2001 pax, GNU tar, and the older one without a magic).
//!
//! A header that does not add up to its checksum is passed over, block by block, until one does. Sparse
//! files are not put together (what is stored of them is looked at); volumes of a set are not joined.

use bytes::Bytes;

use crate::filetype::FileType;
use crate::finding;
use crate::formats::Format;
use crate::formats::container::{self, Content, Member, Outcome};
use crate::formats::zip::names;
use crate::part::{Name, Part};
use crate::scan::Scan;

/// tar archives.
pub const FORMAT: Format = Format { name: "tar", walled: true, accepts: |part| part.types.has(FileType::Tar), examine };

const BLOCK: usize = 512;
/// Octets of a name that are kept; no file system takes more than 1000.
const MAX_NAME: usize = 4096;
/// Octets of an extended header that are read: names and sizes take some hundred.
const MAX_EXTENDED: usize = 1 << 20;

/// What a header says.
#[derive(Clone, Copy, Debug)]
struct Header<'a> {
    block: &'a [u8],
    kind: u8,
    size: u64,
}

/// What extended headers said of the next member.
#[derive(Default)]
struct Told {
    names: Vec<Vec<u8>>,
    size: Option<u64>,
    sparse: bool,
}

/// What is wrong with the archive.
#[derive(Default)]
struct Faults {
    /// Where blocks that are no header may stand: behind members whose data some readers do not expect.
    loose_until: usize,
    broken: bool,
    members: usize,
    ended: bool,
}

fn examine(part: &Part, scan: &mut Scan) {
    let bytes = &part.bytes;
    let (mut told, mut faults, mut at) = (Told::default(), Faults::default(), 0_usize);
    while let Some(block) = bytes.get(at..at.saturating_add(BLOCK)) {
        if scan.stopped() {
            return;
        }
        let data = at.saturating_add(BLOCK);
        let Some(header) = header(block) else {
            let empty = block.iter().all(|byte| *byte == 0);
            faults.ended |= empty;
            // Behind the end there may be anything; a reader that is told to goes on.
            faults.broken |= !empty && !faults.ended && at >= faults.loose_until;
            at = data;
            continue;
        };
        faults.ended = false;
        faults.members = faults.members.saturating_add(1);
        let size = told.size.filter(|_| !is_extended(header.kind)).unwrap_or(header.size);
        let (end, cut) = match usize::try_from(size).ok().and_then(|size| data.checked_add(size)) {
            Some(end) if end <= bytes.len() => (end, false),
            _ => (bytes.len(), true),
        };
        let content = bytes.slice(data..end);
        if is_extended(header.kind) {
            told.hear(header.kind, &content);
        } else {
            let outcome = member(part, &header, std::mem::take(&mut told), content, cut, scan);
            if let Outcome::Full = outcome {
                return;
            }
        }
        // Where the size lies, or where readers disagree whether there is data, headers may stand within it.
        if cut || (is_link(header.kind) && size > 0) {
            faults.loose_until = faults.loose_until.max(end);
            at = data;
        } else {
            at = end.checked_next_multiple_of(BLOCK).unwrap_or(end);
        }
    }
    if faults.members == 0 {
        scan.finding(finding::DAMAGED, part, "", "no member can be found");
    } else if faults.broken {
        scan.finding(finding::DAMAGED, part, "", "a header is broken");
    }
}

/// Gives a member, if it has content.
fn member(part: &Part, header: &Header<'_>, told: Told, content: Bytes, cut: bool, scan: &mut Scan) -> Outcome {
    let mut raw = told.names;
    raw.reverse();
    if raw.is_empty() {
        raw.push(own_name(header.block));
    }
    let names: Vec<Name> = raw.iter().map(|name| names::decode(name, false)).collect();
    let name = names.first().map_or("", |name| name.text.as_str());
    // Folders, pipes and devices have no content; what stands there nonetheless is looked at.
    let no_file = matches!(header.kind, b'1'..=b'6' | b'V' | b'D') || name.ends_with('/');
    if no_file && content.is_empty() {
        return Outcome::Given;
    }
    if told.sparse || header.kind == b'S' {
        scan.finding(finding::CONTAINER_UNSUPPORTED, part, name, &format!("{name}: sparse"));
    }
    if header.kind == b'M' {
        scan.finding(finding::CONTAINER_UNSUPPORTED, part, name, &format!("{name}: begins in another volume"));
    }
    let is_empty = content.is_empty();
    let content = match Content::stored(content, scan.room()) {
        Content::Whole(bytes) if cut && !is_link(header.kind) => Content::Damaged(bytes),
        other => other,
    };
    container::give(part, Member { names: &names, packed: None, is_empty }, content, false, scan)
}

/// Headers that tell of the next one.
fn is_extended(kind: u8) -> bool {
    matches!(kind, b'L' | b'K' | b'x' | b'g' | b'X' | b'N')
}

fn is_link(kind: u8) -> bool {
    matches!(kind, b'1'..=b'6')
}

impl Told {
    /// Takes what an extended header says; the last one counts most.
    fn hear(&mut self, kind: u8, content: &[u8]) {
        let content = content.get(..MAX_EXTENDED).unwrap_or(content);
        match kind {
            b'L' => self.name(until_nul(content)),
            b'x' | b'X' => self.pax(content),
            // A link's target, or what holds for all.
            _ => {}
        }
    }

    fn name(&mut self, name: &[u8]) {
        let name = name.get(..MAX_NAME).unwrap_or(name);
        // No archive has more than two for one member.
        if !name.is_empty() && self.names.len() < 4 && !self.names.iter().any(|known| known == name) {
            self.names.push(name.to_vec());
        }
    }

    /// Records of pax: "LENGTH KEY=VALUE\n", the length in octets of all of it.
    fn pax(&mut self, mut content: &[u8]) {
        while let Some(space) = memchr::memchr(b' ', content.get(..20).unwrap_or(content)) {
            let length = content.get(..space).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
            let Some((record, rest)) = length.and_then(|length: usize| content.split_at_checked(length)) else {
                return;
            };
            let Some(record) = record.get(space.saturating_add(1)..).and_then(|record| record.strip_suffix(b"\n"))
            else {
                return;
            };
            content = rest;
            let Some((key, value)) = memchr::memchr(b'=', record).and_then(|at| {
                let (key, value) = record.split_at_checked(at)?;
                Some((key, value.get(1..)?))
            }) else {
                continue;
            };
            match key {
                b"path" | b"GNU.sparse.name" => self.name(value),
                b"size" => self.size = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok()),
                _ => {}
            }
            self.sparse |= key.starts_with(b"GNU.sparse.");
        }
    }
}

/// Whether a header stands here whose checksum fits, of a tar that has a magic or of the old one.
pub(crate) fn is_header(block: &[u8]) -> bool {
    block.get(..BLOCK).and_then(header).is_some_and(|header| {
        let old = matches!(header.kind, 0 | b'0'..=b'7') && block.first().is_some_and(|first| *first >= b' ');
        block.get(257..262) == Some(b"ustar") || old
    })
}

/// A header, if its checksum fits.
fn header(block: &[u8]) -> Option<Header<'_>> {
    let told = number(block.get(148..156)?)?;
    // The checksum's own field counts as blanks. Old ones summed signed octets.
    let rest = || block.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { b' ' } else { *byte });
    let unsigned: u64 = rest().map(u64::from).sum();
    let signed: i64 = rest().map(|byte| i64::from(byte.cast_signed())).sum();
    let fits = told == unsigned || i64::try_from(told) == Ok(signed);
    // A block of zeros sums to that of the blanks, and tells nothing.
    let named = block.get(..BLOCK)?.iter().any(|byte| *byte != 0);
    (fits && named).then_some(Header { block, kind: *block.get(156)?, size: number(block.get(124..136)?)? })
}

/// A number: octal digits, or binary with the first bit set (GNU).
fn number(field: &[u8]) -> Option<u64> {
    if let [first, rest @ ..] = field
        && first & 0x80 != 0
    {
        // A negative one, or one of more than 64 bits: larger than anything.
        let fold = |sum: u64, byte: &u8| sum.checked_mul(256)?.checked_add(u64::from(*byte));
        return Some(rest.iter().try_fold(u64::from(first & 0x7f), fold).unwrap_or(u64::MAX));
    }
    let digits = field.trim_ascii_start();
    let digits = digits.get(..digits.iter().take_while(|byte| matches!(byte, b'0'..=b'7')).count())?;
    digits.iter().try_fold(0_u64, |sum, digit| sum.checked_mul(8)?.checked_add(u64::from(digit.checked_sub(b'0')?)))
}

/// The name in the header itself, with its prefix (ustar).
fn own_name(block: &[u8]) -> Vec<u8> {
    let name = until_nul(block.get(..100).unwrap_or_default());
    let ustar = block.get(257..263) == Some(b"ustar\0");
    let prefix = until_nul(block.get(345..500).unwrap_or_default());
    if ustar && !prefix.is_empty() { [prefix, b"/", name].concat() } else { name.to_vec() }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_every_notation() {
        let cases: &[(&[u8], Option<u64>)] = &[
            (b"0000644\0", Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\x80\0\0\0\0\0\x01\0", Some(256)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", Some(u64::MAX)),
            (b"\0\0\0\0", Some(0)),
        ];
        for (field, expected) in cases {
            assert_eq!(number(field), *expected, "{field:?}");
        }
    }
}
