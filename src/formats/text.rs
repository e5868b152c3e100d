//! The text of the mail itself: what it asks the reader to do, and the passwords it tells.

use crate::formats::{Format, markup};
use crate::limits::Limit;
use crate::lure;
use crate::part::{Origin, Part};
use crate::scan::Scan;

/// Text that a mail reader shows in line.
pub const FORMAT: Format = Format { name: "text", walled: false, accepts, examine };

/// 8 MiB: the longest letters with all their quotes have less than one. More is told: a reader may
/// be shown what follows, and nothing of what stands before it.
const MAX_TEXT: usize = 8 << 20;

fn accepts(part: &Part) -> bool {
    part.origin == Origin::Body && part.declared.as_deref().is_none_or(|declared| declared.starts_with("text/"))
}

fn examine(part: &Part, scan: &mut Scan) {
    if part.bytes.len() > MAX_TEXT {
        scan.limit(part, Limit::FileSize);
    }
    let text = lure::decode_text(part.bytes.get(..MAX_TEXT).unwrap_or(&part.bytes));
    let is_page = part.declared.as_deref() == Some("text/html") || part.types.has(crate::filetype::FileType::Html);
    let text = if is_page { markup::page_text(&text) } else { text };
    lure::mail_text(scan, part, &text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filetype;
    use crate::finding;
    use crate::part::PartPath;

    fn part(origin: Origin, declared: Option<&str>, bytes: &[u8]) -> Part {
        Part {
            path: PartPath::root().child(1),
            document: PartPath::root().child(1),
            origin,
            names: Vec::new(),
            declared: declared.map(str::to_owned),
            types: filetype::detect(bytes),
            bytes: bytes.to_vec().into(),
            depth: 1,
            span: None,
        }
    }

    fn read(declared: Option<&str>, bytes: &[u8]) -> Scan {
        let (part, mut scan) = (part(Origin::Body, declared, bytes), Scan::for_test());
        assert!(accepts(&part));
        examine(&part, &mut scan);
        scan
    }

    #[test]
    fn passwords_of_every_charset_and_markup_are_told() {
        let text = "解凍パスワードは「sakura22」です。";
        let cases: Vec<(&str, Vec<u8>)> = vec![
            ("text/plain", text.into()),
            ("text/plain", encoding_rs::ISO_2022_JP.encode(text).0.into_owned()),
            ("text/plain", encoding_rs::SHIFT_JIS.encode(text).0.into_owned()),
            ("text/html", b"<table><td>Password:</td><td><b>sakura22</b></td></table>".to_vec()),
            ("text/plain", b"<html>pass&#119;ord: <i>sakura22</i></html>".to_vec()),
        ];
        for (declared, bytes) in cases {
            let scan = read(Some(declared), &bytes);
            assert_eq!(scan.passwords(), ["sakura22"], "{}", String::from_utf8_lossy(&bytes));
            assert!(scan.password_told());
            let [told] = scan.report().findings.as_slice() else { panic!("{:?}", scan.report().findings) };
            assert_eq!((told.id, told.evidence.as_str()), (finding::PASSWORD_TOLD, ""));
        }
    }

    #[test]
    fn lures_in_the_mail_are_found_and_honest_mail_is_not_bothered() {
        let lure = read(None, "コンテンツの有効化をクリックしてください".as_bytes());
        assert_eq!(lure.report().findings[0].id, finding::LURE_MAIL_TEXT);
        for honest in ["Please enable macros in the workbook.", "Forgot your password? Click here.", ""] {
            let scan = read(Some("text/plain"), honest.as_bytes());
            assert_eq!((scan.report().findings.len(), scan.password_told()), (0, false), "{honest}");
        }
    }

    #[test]
    fn only_text_of_the_mail_is_read() {
        assert!(!accepts(&part(Origin::Attachment, Some("text/plain"), b"x")));
        assert!(!accepts(&part(Origin::Body, Some("image/png"), b"x")));
    }

    #[test]
    fn text_that_is_too_long_to_be_read_is_told() {
        let told = b"password: abc123";
        for (size, is_read) in [(MAX_TEXT - 1, true), (MAX_TEXT, true), (MAX_TEXT + told.len(), false)] {
            let scan = read(None, &[vec![b' '; size - told.len()], told.to_vec()].concat());
            assert_eq!(scan.password_told(), is_read, "{size}");
            let cut = scan.report().findings.iter().any(|found| found.id == finding::LIMIT_EXCEEDED);
            assert_eq!(cut, !is_read, "{size}");
        }
    }
}
