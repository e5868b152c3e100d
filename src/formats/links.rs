//! What the XML of a document loads or starts by itself: relationships that lead outside (ECMA-376 part 2, 8.3),
//! fields of Word (part 1, 17.16), DDE links of Excel (18.14.4).
//!
//! Hyperlinks, sources of mail merges and links to other workbooks wait for the reader, so they are nothing.

use memchr::memmem;

use crate::field::{self, Fields};
use crate::formats::markup::{self, Token};
use crate::part::Part;
use crate::scan::Scan;

/// Judges the relationships in `xml` that lead outside the package.
pub fn relationships(xml: &str, part: &Part, location: &str, scan: &mut Scan) {
    for token in markup::tokens(xml) {
        let Token::Open("Relationship", attributes) = token else { continue };
        let mode = markup::attribute(attributes, "TargetMode").unwrap_or_default();
        if !mode.trim().eq_ignore_ascii_case("external") {
            continue;
        }
        let target = markup::attribute(attributes, "Target").unwrap_or_default();
        let kind = markup::attribute(attributes, "Type").unwrap_or_default().to_ascii_lowercase();
        match kind.rsplit('/').next().unwrap_or_default() {
            "attachedtemplate" => field::template(&target, part, location, scan),
            // Whatever is opened with the document.
            known @ ("oleobject" | "frame" | "subdocument" | "afchunk" | "package" | "control" | "vbaproject"
            | "framesets") => {
                field::object(&target, known, part, location, scan);
            }
            _ => {}
        }
    }
}

/// Whether XML may have fields or links by DDE: most has none.
pub fn may_have_fields(xml: &[u8]) -> bool {
    const MARKS: [&[u8]; 4] = [b"instrText", b"fldSimple", b"ddeLink", b"i\0n\0s\0t\0r\0T\0e\0x\0t\0"];
    MARKS.iter().any(|mark| memmem::find(xml, mark).is_some())
}

/// Judges the fields and DDE links in `xml`.
pub fn fields(xml: &str, part: &Part, location: &str, scan: &mut Scan) {
    let mut fields = Fields::default();
    let mut text = Text::Other;
    for token in markup::tokens(xml) {
        match token {
            Token::Open("fldChar", attributes) => match markup::attribute(attributes, "fldCharType").as_deref() {
                Some("begin") => fields.begin(),
                Some("separate") => fields.separate(),
                Some("end") => fields.end(),
                _ => {}
            },
            Token::Open("fldSimple", attributes) => {
                fields.whole(&markup::attribute(attributes, "instr").unwrap_or_default());
            }
            Token::Open("ddeLink", attributes) => {
                let value = |name| markup::attribute(attributes, name).unwrap_or_default();
                field::dde(&value("ddeService"), &value("ddeTopic"), part, location, scan);
            }
            Token::Open("instrText", _) => text = Text::Code,
            Token::Open("t", _) => text = Text::Shown,
            Token::Open(..) | Token::Close(_) => text = Text::Other,
            Token::Text(found) => match text {
                Text::Code => fields.code(&markup::decoded(found)),
                Text::Shown => fields.text(&markup::decoded(found)),
                Text::Other => {}
            },
        }
    }
    fields.report(part, location, scan);
}

/// Which text is being read.
#[derive(Clone, Copy)]
enum Text {
    Code,
    Shown,
    Other,
}
