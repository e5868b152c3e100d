//! Many messages in one file (RFC 4155): a folder that somebody attached. Each becomes a part.
//!
//! The file is read as one message as well ([`crate::formats::message`]): a line that begins with `From ` may
//! be no more than text.

use bytes::Bytes;
use memchr::memmem;

use crate::formats::Format;
use crate::part::{Origin, Part};
use crate::scan::{Child, Scan};

/// Folders of mail in one file.
pub const FORMAT: Format = Format { name: "mbox", walled: true, accepts, examine };

/// The longest line that can stand between two messages: an address and a date.
const MAX_LINE: usize = 1000;

fn accepts(part: &Part) -> bool {
    // What was handed in is cut up by who hands it in, or it is a message whatever it looks like.
    part.origin != Origin::Root && is_start(&part.bytes) && starts(&part.bytes).nth(1).is_some()
}

fn examine(part: &Part, scan: &mut Scan) {
    let bytes = &part.bytes;
    let mut starts = starts(bytes).peekable();
    while let Some(start) = starts.next() {
        if scan.stopped() || scan.is_full() {
            return;
        }
        let end = starts.peek().copied().unwrap_or(bytes.len());
        let message: Bytes = bytes.slice(start.min(end)..end);
        let child = Child { declared: Some("message/rfc822".to_owned()), bytes: message, ..Child::default() };
        scan.child(part, Origin::Member, child);
    }
}

/// Where the messages begin, with the lines that tell them apart.
fn starts(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let others = memmem::find_iter(bytes, b"\nFrom ").map(|at| at.saturating_add(1));
    std::iter::once(0).chain(others).filter(|start| bytes.get(*start..).is_some_and(is_start))
}

/// Whether `bytes` begin with a line that begins a message, and a header field.
fn is_start(bytes: &[u8]) -> bool {
    let head = bytes.get(..MAX_LINE).unwrap_or(bytes);
    let Some(rest) = head.strip_prefix(b"From ") else { return false };
    let Some(feed) = memchr::memchr(b'\n', rest) else { return false };
    let next = rest.get(feed.saturating_add(1)..).unwrap_or_default();
    let name = next.iter().take_while(|octet| octet.is_ascii_alphanumeric() || **octet == b'-').count();
    // Mozilla and others write their own lines of this form.
    name > 0 && matches!(next.get(name), Some(b':')) || next.starts_with(b">From ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_begin_at_lines_that_a_header_follows() {
        let text = b"From a@b Mon Jan\nSubject: a\n\nFrom here on\nit is text\n\nFrom - x\nX-Mozilla: 1\n\n";
        assert_eq!(starts(text).collect::<Vec<_>>(), [0, 54]);
        assert_eq!(starts(b"Subject: a\n\nFrom here\n").count(), 0);
        assert!(!is_start(b"From ") && !is_start(b"From a\n") && !is_start(&b"From ".repeat(500)));
    }
}
