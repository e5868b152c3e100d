//! The text of the mail itself: what it asks the reader to do, and the passwords it tells.

use crate::formats::{Format, markup};
use crate::lure;
use crate::part::{Origin, Part};
use crate::scan::Scan;

/// Text that a mail reader shows in line.
pub const FORMAT: Format = Format { name: "text", accepts, examine };

/// 256 KiB: letters are shorter; what follows in longer ones is quotes and pictures.
const MAX_TEXT: usize = 256 * 1024;

fn accepts(part: &Part) -> bool {
    part.origin == Origin::Body && part.declared.as_deref().is_none_or(|declared| declared.starts_with("text/"))
}

fn examine(part: &Part, scan: &mut Scan) {
    let text = lure::decode_text(part.bytes.get(..MAX_TEXT).unwrap_or(&part.bytes));
    let is_page = part.declared.as_deref() == Some("text/html") || part.types.has(crate::filetype::FileType::Html);
    let text = if is_page { markup::page_text(&text) } else { text };
    lure::mail_text(scan, part, &text);
}
