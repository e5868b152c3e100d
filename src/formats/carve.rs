//! Compound files that do not stand at the start of a file: behind a picture, a PDF, a few octets
//! of rubbish. Other programs than Office look for them there, and so does whoever unpacks by hand.

use memchr::memmem;

use crate::filetype::{self, Class, FileType};
use crate::formats::Format;
use crate::formats::cfb::{CompoundFile, MAGIC};
use crate::part::{Origin, Part};
use crate::reader::Reader;
use crate::scan::{Child, Scan};

/// Compound files inside of other files.
pub const FORMAT: Format = Format { name: "carve", walled: true, accepts, examine };

/// Compound files that are taken out of one file at most: one that was hidden, and a few that it embeds.
const MAX_FOUND: usize = 8;
/// Signatures that are looked at: a list of them is no list of files.
const MAX_HITS: usize = 1000;

fn accepts(part: &Part) -> bool {
    // What these carry is taken out of them one by one.
    let types = part.types;
    let unpacked = [FileType::Ole, FileType::Message, FileType::Mht, FileType::XmlOffice, FileType::Pkcs7];
    let opened = unpacked.iter().any(|known| types.has(*known))
        || types.without(FileType::Zip).has_class(Class::Archive)
        || types.has_class(Class::DiskImage);
    !opened && hits(&part.bytes, start(part)).next().is_some()
}

/// Where to begin: of a ZIP archive only what stands behind its end is none of its members.
fn start(part: &Part) -> usize {
    if !part.types.has(FileType::Zip) || part.types.has_class(Class::DiskImage) {
        return 0;
    }
    filetype::end_records(&part.bytes).next().unwrap_or(part.bytes.len())
}

/// Takes compound files out of a part, wherever they stand.
pub(crate) fn examine(part: &Part, scan: &mut Scan) {
    let mut found = 0_usize;
    for start in hits(&part.bytes, start(part)) {
        if scan.stopped() || scan.is_full() || found >= MAX_FOUND {
            return;
        }
        let bytes = part.bytes.slice(start..);
        // What lists nothing is no file that anybody could open.
        if CompoundFile::open(&bytes).streams().next().is_some() {
            found = found.saturating_add(1);
            scan.child(part, Origin::Embedded, Child { bytes, ..Child::default() });
        }
    }
}

/// Where a header of a compound file stands: signature, byte order and sector size ([MS-CFB] 2.2).
fn hits(bytes: &[u8], from: usize) -> impl Iterator<Item = usize> {
    let behind = bytes.get(from..).unwrap_or_default();
    memmem::find_iter(behind, MAGIC).take(MAX_HITS).map(move |at| at.saturating_add(from)).filter(|at| {
        let Some(mut reader) = Reader::at(bytes, at.saturating_add(28)) else { return false };
        reader.u16() == Some(0xFFFE) && matches!(reader.u16(), Some(9 | 12))
    })
}
