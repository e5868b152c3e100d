//! ActiveMime (`editdata.mso`): what Word keeps of a document that it saves as a web archive or as
//! Word 2003 XML, the VBA project above all. A header that nobody documents, then a compound file
//! as a zlib stream (RFC 1950).

use std::io::Read;

use bytes::Bytes;
use flate2::read::ZlibDecoder;

use crate::filetype::FileType;
use crate::finding;
use crate::formats::Format;
use crate::limits::Limit;
use crate::part::{Origin, Part};
use crate::reader::Reader;
use crate::scan::{Child, Scan};

/// ActiveMime containers.
pub const FORMAT: Format = Format { name: "activemime", walled: true, accepts, examine };

/// Where Word puts the stream, by the sizes of headers that were seen.
const USUAL_STARTS: [usize; 2] = [0x32, 0x22A];
/// The length of what follows it in the header stands at 0x1E, counted from 0x2E.
const LENGTH_AT: usize = 0x1E;
const LENGTH_FROM: usize = 0x2E;
/// Octets in which the stream is looked for where the header says nothing useful.
const SEARCHED: usize = 4096;
/// Octets that tell whether a stream starts somewhere.
const GLANCE: u64 = 64;

fn accepts(part: &Part) -> bool {
    part.types.has(FileType::ActiveMime)
}

fn examine(part: &Part, scan: &mut Scan) {
    let Some(start) = starts(&part.bytes).find(|start| !inflate(&part.bytes, *start, GLANCE).is_empty()) else {
        return scan.finding(finding::DAMAGED, part, "", "ActiveMime without a zlib stream");
    };
    let room = scan.room();
    let mut content = inflate(&part.bytes, start, room.saturating_add(1));
    if content.len() as u64 > room {
        scan.limit(part, Limit::FileSize);
        content.truncate(usize::try_from(room).unwrap_or(usize::MAX));
    }
    scan.child(part, Origin::Embedded, Child { bytes: Bytes::from(content), ..Child::default() });
}

/// Where a zlib stream may start: where the header says, where it usually does, anywhere near.
fn starts(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let told = Reader::at(bytes, LENGTH_AT).and_then(|mut reader| reader.u16());
    let told = told.map(|length| LENGTH_FROM.saturating_add(length.into()));
    let near = bytes.get(..SEARCHED).unwrap_or(bytes);
    told.into_iter().chain(USUAL_STARTS).chain(memchr::memchr_iter(0x78, near))
}

/// What the stream at `start` gives before it ends or breaks, at most `max` octets.
fn inflate(bytes: &[u8], start: usize, max: u64) -> Vec<u8> {
    let mut content = Vec::new();
    if let Some(packed) = bytes.get(start..) {
        let _ = ZlibDecoder::new(packed).take(max).read_to_end(&mut content);
    }
    content
}
