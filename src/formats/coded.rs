//! Files that stand encoded in a text: uuencode, yEnc, BinHex 4.0 ([`crate::mime::decode`], [`binhex`]).
//!
//! In every text that is a file, and what is left of them in the text of a mail:
//! [`crate::formats::message`] decodes the first two there, so that such a file can be cut out of it.

pub mod binhex;

use bytes::Bytes;
use memchr::memmem;

use crate::filetype::Class;
use crate::finding;
use crate::formats::Format;
use crate::formats::container::{self, Content};
use crate::limits::Limit;
use crate::mime::decode;
use crate::mime::params;
use crate::part::{Name, Origin, Part};
use crate::scan::{Child, Scan};

/// Text with files in it.
pub const FORMAT: Format = Format { name: "coded", walled: true, accepts, examine };

fn accepts(part: &Part) -> bool {
    // What has a structure of its own is taken apart by it.
    let plain = part.types.iter().all(|known| matches!(known.class(), Class::Other | Class::Script));
    let text = &part.bytes;
    let is_file = !matches!(part.origin, Origin::Body | Origin::Root);
    plain && (binhex::starts(text).next().is_some() || is_file && has_blocks(text))
}

/// Whether a line begins as uuencoded and yEnc files do. Cheap: most text has no such word at all.
fn has_blocks(text: &[u8]) -> bool {
    const STARTS: [&[u8]; 3] = [b"begin ", b"begin-base64 ", b"=ybegin "];
    let begins_line =
        |at: usize| at.checked_sub(1).is_none_or(|before| matches!(text.get(before), Some(b'\n' | b'\r')));
    STARTS.iter().any(|start| memmem::find_iter(text, start).any(begins_line))
}

fn examine(part: &Part, scan: &mut Scan) {
    if part.origin != Origin::Body {
        blocks(&part.bytes, part, scan);
    }
    let mut last = None;
    for start in binhex::starts(&part.bytes) {
        if scan.stopped() || scan.is_full() {
            return;
        }
        // Each ends at the colon before the next, so that no octet is decoded twice.
        if last.replace(start) != Some(start) {
            hex_file(start, part, scan);
        }
    }
}

/// Puts the uuencoded and yEnc files in `text` on the work list, as children of `part`.
pub fn blocks(text: &[u8], part: &Part, scan: &mut Scan) {
    if !has_blocks(text) {
        return;
    }
    let found = decode::uuencoded(text);
    if found.len() > decode::MAX_BLOCKS {
        scan.limit(part, Limit::Files);
    }
    for block in found.into_iter().take(decode::MAX_BLOCKS) {
        if scan.stopped() || scan.is_full() {
            return;
        }
        let decoded = params::words(&block.name);
        let name = Name { text: decoded.text, raw: decoded.lossy.then_some(block.name) };
        let child = Child { names: vec![name], bytes: block.bytes.into(), ..Child::default() };
        scan.child(part, Origin::Attachment, child);
    }
}

fn hex_file(start: usize, part: &Part, scan: &mut Scan) {
    let Some(text) = part.bytes.get(start..) else { return };
    let content = container::bounded(binhex::Decoder::new(text), 0, scan.room());
    let is_whole = matches!(content, Content::Whole(_));
    let (Content::Whole(bytes) | Content::Head(bytes) | Content::Damaged(bytes)) = content else { return };
    let Some(file) = binhex::File::read(&bytes) else {
        if !bytes.is_empty() {
            scan.finding(finding::DAMAGED, part, "", "BinHex");
        }
        return scan.spend(bytes.len() as u64);
    };
    // What belongs to neither fork was unpacked, too.
    let forks = file.data.len().saturating_add(file.resources.len());
    scan.spend(bytes.len().saturating_sub(forks) as u64);
    let name = Name {
        text: String::from_utf8_lossy(file.name).into_owned(),
        raw: std::str::from_utf8(file.name).is_err().then(|| file.name.to_vec()),
    };
    if !is_whole {
        scan.limit(part, Limit::FileSize);
    } else if file.damaged {
        scan.finding(finding::DAMAGED, part, &name.text, "BinHex");
    }
    for fork in [file.data, file.resources] {
        let fork: Bytes = bytes.slice_ref(fork);
        if !fork.is_empty() {
            let child = Child { names: vec![name.clone()], bytes: fork, ..Child::default() };
            scan.child(part, Origin::Attachment, child);
        }
    }
}
