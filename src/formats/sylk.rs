//! Workbooks in SYLK, which may have macros of Excel 4.0. Links by DDE are [`super::cells`]' business.

use crate::excel4;
use crate::formats::Format;
use crate::formats::cells::is_sylk;
use crate::limits::Limit;
use crate::part::{Origin, Part};
use crate::scan::Scan;

/// Text that a spreadsheet opens, with macros in it.
pub const FORMAT: Format = Format { name: "sylk", walled: true, accepts, examine };

/// Octets of text that are read.
const MAX_TEXT: usize = 16 << 20;

fn accepts(part: &Part) -> bool {
    part.origin != Origin::Body && is_sylk(&part.bytes)
}

fn examine(part: &Part, scan: &mut Scan) {
    if part.bytes.len() > MAX_TEXT {
        scan.limit(part, Limit::FileSize);
    }
    let text = String::from_utf8_lossy(part.bytes.get(..MAX_TEXT).unwrap_or(&part.bytes));
    excel4::examine(&excel4::sylk::read(&text), part, scan);
}
