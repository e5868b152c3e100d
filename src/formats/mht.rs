//! Web archives behind something else (RFC 2557): Word opens a single file web page although other
//! octets stand before its header, so that it may be a PDF or a picture at the same time.
//!
//! One that begins as a message is taken apart by [`super::message`]; this format only finds
//! where the message begins. What Word kept of the document is ActiveMime ([`super::activemime`]).

use memchr::memmem;

use crate::filetype::FileType;
use crate::formats::{Format, cms, message};
use crate::mime;
use crate::part::{Origin, Part};
use crate::scan::{Child, Scan};

/// Web archives that do not begin as such.
pub const FORMAT: Format = Format { name: "mht", walled: true, accepts, examine };

/// How far the header is looked for. A PDF that is wrapped around an archive is some kilobytes.
const SEARCHED: usize = 1 << 20;
/// The field that Word looks for, in the ways that programs write it.
const FIELDS: [&[u8]; 3] = [b"MIME-Version", b"Mime-Version", b"mime-version"];

fn accepts(part: &Part) -> bool {
    let may_hide = part.origin != Origin::Body && !part.types.has(FileType::Zip) && !part.types.has(FileType::Ole);
    let found = || start(&part.bytes);
    // What is signed is read as it was before it was signed.
    let signed = || if part.types.has(FileType::Pkcs7) { cms::content_range(&part.bytes) } else { None };
    may_hide
        && !(message::FORMAT.accepts)(part)
        && found().is_some_and(|start| signed().is_none_or(|content| !content.contains(&start)))
}

fn examine(part: &Part, scan: &mut Scan) {
    let Some(start) = start(&part.bytes) else { return };
    scan.learn_type(part, FileType::Mht);
    scan.child(part, Origin::Embedded, Child { bytes: part.bytes.slice(start..), ..Child::default() });
}

/// Where a header begins that is one of a multipart message.
fn start(bytes: &[u8]) -> Option<usize> {
    let near = bytes.get(..SEARCHED).unwrap_or(bytes);
    let hits = FIELDS.iter().flat_map(|field| memmem::find_iter(near, field).take(4));
    let mut starts: Vec<usize> = hits.collect();
    starts.sort_unstable();
    starts.into_iter().find(|start| {
        let message = bytes.get(*start..).unwrap_or_default();
        let head = message.get(..4096).unwrap_or(message).to_ascii_lowercase();
        memmem::find(&head, b"multipart/").is_some() && mime::looks_like_message(message)
    })
}
