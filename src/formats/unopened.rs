//! Containers that are recognised and not opened: that is said, never passed over.

use crate::filetype::Class;
use crate::finding;
use crate::formats::Format;
use crate::part::Part;
use crate::scan::Scan;

/// Containers of a kind that nothing here opens.
pub const FORMAT: Format = Format { name: "unopened", walled: false, accepts, examine };

fn accepts(part: &Part) -> bool {
    part.types.has_class(Class::Unopened)
}

fn examine(part: &Part, scan: &mut Scan) {
    for file_type in part.types.iter().filter(|t| t.class() == Class::Unopened) {
        scan.finding(finding::CONTAINER_UNSUPPORTED, part, "", file_type.name());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knowledge::Knowledge;
    use crate::limits::Limits;
    use crate::scan::{Input, Stop, scan};

    #[test]
    fn what_is_not_opened_is_said() {
        let cases: &[(&[u8], Option<&str>)] = &[
            (b"1234567**ACE**\x14\x14\x02", Some("ace")),
            (b"%PDF-1.7\n", None),
            (b"{\\rtf1}", None),
            (b"hello", None),
        ];
        for (bytes, expected) in cases {
            let report =
                scan(Input::file(bytes.to_vec(), "x"), &Limits::default(), &Knowledge::default(), &Stop::default());
            let said =
                report.findings.iter().find(|f| f.id == finding::CONTAINER_UNSUPPORTED).map(|f| f.evidence.as_str());
            assert_eq!(said, *expected);
        }
    }
}
