//! Web queries of Excel (`.iqy`): a text that names the address from which Excel fills a sheet once it is opened, with
//! formulas as well. Those of a company's own servers are honest; queries of databases (`.dqy`, `.oqy`) are told by name.

use crate::field;
use crate::filetype::FileType;
use crate::formats::Format;
use crate::part::{Origin, Part};
use crate::scan::Scan;

/// Web queries.
pub const FORMAT: Format = Format { name: "query", walled: false, accepts, examine };

/// Octets and lines that are read: a query has four lines.
const MAX_TEXT: usize = 64 << 10;
const MAX_LINES: usize = 200;

fn accepts(part: &Part) -> bool {
    let text = part.types.has(FileType::Text) || part.types.has(FileType::Data);
    part.origin != Origin::Body && text && part.extensions().any(|extension| extension == "iqy")
}

fn examine(part: &Part, scan: &mut Scan) {
    // UTF-16 is read by its low octets.
    let plain: Vec<u8> = part.bytes.iter().take(MAX_TEXT).copied().filter(|byte| *byte != 0).collect();
    let text = String::from_utf8_lossy(&plain);
    for (number, line) in text.lines().take(MAX_LINES).enumerate() {
        field::query(line, part, &format!("line {}", number.saturating_add(1)), scan);
    }
}
