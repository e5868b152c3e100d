//! Single files packed by gzip, bzip2, xz, LZMA or Zstandard: one child, with the name that the header
//! tells and the packed file's own without its suffix. A `.tar.gz` is a tar in a gzip.

use bytes::Bytes;

use crate::filetype::{self, FileType};
use crate::formats::Format;
use crate::formats::compress::{self, Unpacked};
use crate::formats::container::{self, Member, Outcome};
use crate::formats::zip::names;
use crate::part::{Name, Part};
use crate::scan::Scan;

/// Packed single files.
pub const FORMAT: Format = Format { name: "compressed", walled: true, accepts, examine };

/// Suffixes, and what stands in their place once the file is unpacked.
const SUFFIXES: &[(&str, &str)] = &[
    (".gz", ""),
    (".gzip", ""),
    (".tgz", ".tar"),
    (".taz", ".tar"),
    (".svgz", ".svg"),
    (".emz", ".emf"),
    (".wmz", ".wmf"),
    (".bz2", ""),
    (".bz", ""),
    (".tbz2", ".tar"),
    (".tbz", ".tar"),
    (".xz", ""),
    (".txz", ".tar"),
    (".lzma", ""),
    (".tlz", ".tar"),
    (".zst", ""),
    (".zstd", ""),
    (".tzst", ".tar"),
    (".z", ""),
];

const TYPES: [FileType; 5] = [FileType::Gzip, FileType::Bzip2, FileType::Xz, FileType::Lzma, FileType::Zstd];

fn accepts(part: &Part) -> bool {
    TYPES.iter().any(|file_type| part.types.has(*file_type))
}

fn examine(part: &Part, scan: &mut Scan) {
    for file_type in TYPES.into_iter().filter(|file_type| part.types.has(*file_type)) {
        unpack(part, file_type, scan);
    }
}

fn unpack(part: &Part, file_type: FileType, scan: &mut Scan) {
    let (bytes, room) = (&part.bytes, scan.room());
    let Unpacked { content, used } = match file_type {
        FileType::Gzip => compress::gzip(bytes, room),
        FileType::Bzip2 => compress::bzip2(bytes, room),
        FileType::Xz => compress::xz(bytes, room),
        FileType::Zstd => compress::zstd(bytes, room),
        _ => Unpacked { content: compress::lzma_alone(bytes, room), used: bytes.len() },
    };
    let names = names_of(part);
    let is_empty = matches!(&content, container::Content::Whole(bytes) if bytes.is_empty());
    let member = Member { names: &names, packed: None, is_empty };
    if let Outcome::Full = container::give(part, member, content, false, scan) {
        return;
    }
    behind(part, bytes.slice(used.min(bytes.len())..), scan);
}

/// Readers ignore what follows the last stream; if it is something by itself, it is looked at.
fn behind(part: &Part, rest: Bytes, scan: &mut Scan) {
    let padding = rest.iter().take_while(|byte| **byte == 0).count();
    let rest = rest.slice(padding..);
    let types = filetype::detect(&rest);
    if types.iter().all(|file_type| matches!(file_type, FileType::Data | FileType::Text)) {
        return;
    }
    let content = container::Content::stored(rest, scan.room());
    let names = [Name::plain("")];
    let _ = container::give(part, Member { names: &names, packed: None, is_empty: false }, content, false, scan);
}

/// The name in gzip's header, then the packed file's without its suffix.
fn names_of(part: &Part) -> Vec<Name> {
    let header = compress::gzip_header(&part.bytes).and_then(|header| header.name);
    // Nobody's file system takes longer ones.
    let header = header.map(|name| names::decode(name.get(..4096).unwrap_or(name), false));
    let mut names: Vec<Name> = header.into_iter().collect();
    // A name that says nothing of packing is no second name for what is inside.
    let has_header = !names.is_empty();
    let own = part.names.iter().map(|name| (name, without_suffix(&name.text)));
    let own = own.filter(|(name, without)| !has_header || *without != name.text);
    for name in own.map(|(_, without)| Name::plain(without)) {
        if !names.iter().any(|known| known.text == name.text) {
            names.push(name);
        }
    }
    names
}

/// A packed file's name as unpackers write the content: `a.tgz` becomes `a.tar`, others lose their suffix.
fn without_suffix(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let replaced = SUFFIXES.iter().find_map(|(suffix, instead)| {
        let stem = name.get(..lower.strip_suffix(suffix)?.len())?;
        (!stem.is_empty()).then(|| format!("{stem}{instead}"))
    });
    replaced.unwrap_or_else(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_suffix() {
        let cases = [
            ("a.docm.gz", "a.docm"),
            ("A.TGZ", "A.tar"),
            ("a.doc", "a.doc"),
            (".gz", ".gz"),
            ("請求書.doc.xz", "請求書.doc"),
        ];
        for (name, expected) in cases {
            assert_eq!(without_suffix(name), expected);
        }
    }
}
