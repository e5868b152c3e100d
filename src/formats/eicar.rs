//! The EICAR test file, by its definition: 68 octets at the start, then nothing but white space
//! and Ctrl-Z up to 128 octets.

use crate::finding;
use crate::formats::Format;
use crate::part::Part;
use crate::scan::Scan;

/// The EICAR test file.
pub const FORMAT: Format = Format { name: "eicar", walled: false, accepts: is_eicar, examine };

/// Reversed, so that this program and its source are not test files themselves.
const REVERSED: &[u8; 68] = b"*H+H$!ELIF-TSET-SURIVITNA-DRADNATS-RACIE$}7)CC7)^P(45XZP\\4[PA@%P!O5X";

fn is_eicar(part: &Part) -> bool {
    let (start, rest) = part.bytes.split_at_checked(REVERSED.len()).unwrap_or((&[], b"x"));
    part.bytes.len() <= 128
        && start.iter().eq(REVERSED.iter().rev())
        && rest.iter().all(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n' | 0x1a))
}

fn examine(part: &Part, scan: &mut Scan) {
    scan.finding(finding::EICAR, part, "", "");
}

/// The test string, for tests.
#[cfg(test)]
pub(crate) fn test_file() -> Vec<u8> {
    REVERSED.iter().rev().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knowledge::Knowledge;
    use crate::limits::Limits;
    use crate::scan::{Input, Stop, scan};

    #[test]
    fn only_the_definition_counts() {
        let file = test_file();
        let with = |tail: &[u8]| [file.as_slice(), tail].concat();
        let cases = [
            (file.clone(), true),
            (with(b"\r\n"), true),
            (with(&[b' '; 60]), true),
            (with(&[b' '; 61]), false),
            (with(b"x"), false),
            (file[..67].to_vec(), false),
            ([b" ", file.as_slice()].concat(), false),
            (Vec::new(), false),
        ];
        for (bytes, expected) in cases {
            let report =
                scan(Input::file(bytes.clone(), "x.txt"), &Limits::default(), &Knowledge::default(), &Stop::default());
            assert_eq!(report.findings.iter().any(|f| f.id == finding::EICAR), expected, "{} octets", bytes.len());
        }
    }
}
