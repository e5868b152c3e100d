//! Workbooks of Excel that stand by themselves, without a compound file around them: sheets of Excel 2 to 4, and
//! workbook streams of Excel 5 to 2003 ([MS-XLS] 2.1.4), which Excel opens as well.

use crate::excel4;
use crate::field;
use crate::filetype::FileType;
use crate::finding;
use crate::formats::{Format, activex, cfb};
use crate::lure;
use crate::part::Part;
use crate::scan::Scan;

/// Workbooks without a compound file.
pub const FORMAT: Format = Format { name: "biff", walled: true, accepts, examine };

fn accepts(part: &Part) -> bool {
    part.types.has(FileType::Biff)
}

fn examine(part: &Part, scan: &mut Scan) {
    let stream = part.bytes.as_ref();
    if cfb::has_file_pass(stream) {
        let told = scan.password_told();
        let id = if told { finding::DOCUMENT_ENCRYPTED_TOLD } else { finding::DOCUMENT_ENCRYPTED };
        return scan.finding(id, part, "", "FILEPASS");
    }
    let book = excel4::biff::read(stream);
    if book.has_code() {
        excel4::examine(&book, part, scan);
    }
    activex::of_sheets(stream, part, scan);
    for (server, topic) in cfb::dde_links_of(stream) {
        field::dde(&server, &topic, part, "SUPBOOK", scan);
    }
    let text = cfb::workbook_text(stream);
    if !text.is_empty() {
        lure::document_text(scan, part, &text);
    }
}
