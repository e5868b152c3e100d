//! What the XML of a document loads or starts by itself: relationships that lead outside (ECMA-376 part 2, 8.3),
//! fields of Word (part 1, 17.16), DDE links of Excel (18.14.4), its queries (18.13), and links that formulas make.
//!
//! Hyperlinks wait for the reader: only those count that start something. Sources of mail merges, links to other
//! workbooks and pictures on the web are nothing.

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
            "hyperlink" => field::hyperlink(&target, part, location, scan),
            known @ ("image" | "video" | "audio" | "media") => field::shown(&target, known, part, location, scan),
            "externallinkpath" | "xlexternallinkpath" | "xlpathmissing" | "xlstartup" | "xlalternatestartup" => {
                field::elsewhere(&target, "workbook", part, location, scan);
            }
            _ => {}
        }
    }
}

/// Whether XML may have fields or links by DDE: most has none.
pub fn may_have_fields(xml: &[u8]) -> bool {
    const MARKS: [&[u8]; 7] =
        [b"instrText", b"fldSimple", b"ddeLink", b"i\0n\0s\0t\0r\0T\0e\0x\0t\0", b"webPr", b"textPr", b"odcFile"];
    MARKS.iter().any(|mark| memmem::find(xml, mark).is_some())
}

/// Judges the fields and DDE links in `xml`.
pub fn fields(xml: &str, part: &Part, location: &str, scan: &mut Scan) {
    let mut fields = Fields::default();
    let (mut text, mut refreshes) = (Text::Other, false);
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
            // What a workbook is filled from, often as soon as it is opened (18.13.16, 18.13.13, 18.13.1).
            Token::Open("webPr", attributes) => {
                let address = markup::attribute(attributes, "url").unwrap_or_default();
                // Where XML was imported from is told alike, and stands on shares of firms.
                if refreshes && address.trim_start().get(..4).is_some_and(|start| start.eq_ignore_ascii_case("http")) {
                    field::query(&address, part, location, scan);
                } else {
                    field::elsewhere(&address, "query", part, location, scan);
                }
            }
            Token::Open("connection", attributes) => {
                let refresh = markup::attribute(attributes, "refreshOnLoad").unwrap_or_default();
                refreshes = matches!(refresh.trim(), "1" | "true");
                let address = markup::attribute(attributes, "odcFile").unwrap_or_default();
                field::elsewhere(&address, "connection", part, location, scan);
            }
            Token::Open("textPr", attributes) => {
                let file = markup::attribute(attributes, "sourceFile").unwrap_or_default();
                field::elsewhere(&file, "table", part, location, scan);
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

/// Formulas of one sheet that make links and are judged.
const MAX_FORMULAS: usize = 10_000;

/// Judges the addresses that formulas of a sheet hand to HYPERLINK, where they stand in the formula as they are.
pub fn formulas(xml: &[u8], part: &Part, location: &str, scan: &mut Scan) {
    const FUNCTION: &[u8] = b"HYPERLINK(";
    for at in memmem::find_iter(xml, FUNCTION).take(MAX_FORMULAS) {
        let behind = xml.get(at.saturating_add(FUNCTION.len())..).unwrap_or_default();
        let behind = behind.get(..MAX_ADDRESS).unwrap_or(behind);
        let behind = String::from_utf8_lossy(behind.split(|octet| *octet == b'<').next().unwrap_or_default());
        let behind = markup::decoded(&behind);
        if let Some(address) = behind.trim_start().strip_prefix('"').and_then(|text| text.split('"').next()) {
            field::hyperlink(address, part, location, scan);
        }
    }
}

/// Octets of an address in a formula: a formula of Excel has 8192 characters, a text in it 255.
const MAX_ADDRESS: usize = 2048;

/// Which text is being read.
#[derive(Clone, Copy)]
enum Text {
    Code,
    Shown,
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filetype::TypeSet;
    use crate::part::{Origin, PartPath};

    /// The ids that an XML part comes to.
    fn ids(xml: &str) -> Vec<&'static str> {
        let part = Part {
            path: PartPath::root(),
            document: PartPath::root(),
            origin: Origin::Attachment,
            names: Vec::new(),
            declared: None,
            bytes: bytes::Bytes::new(),
            types: TypeSet::EMPTY,
            depth: 0,
            span: None,
        };
        let mut scan = Scan::for_test();
        relationships(xml, &part, "", &mut scan);
        fields(xml, &part, "", &mut scan);
        formulas(xml.as_bytes(), &part, "", &mut scan);
        scan.report().findings.iter().map(|found| found.id.as_str()).collect()
    }

    fn relationship(kind: &str, target: &str) -> Vec<&'static str> {
        ids(&format!("<Relationship Id='a' Type='http://x.example/{kind}' Target='{target}' TargetMode='External'/>"))
    }

    #[test]
    fn relationships_are_judged_by_kind_and_address() {
        assert_eq!(relationship("attachedTemplate", "http://203.0.113.7/a.dotm"), ["remote-template", "odd-address"]);
        assert_eq!(relationship("attachedTemplate", "https://firm.example/a.dotx"), ["remote-template"]);
        assert_eq!(relationship("attachedTemplate", "http://intranet/a.dotx"), ["linked-content"]);
        assert_eq!(relationship("oleObject", "https://firm.example/a.doc"), ["remote-object"]);
        for (kind, target) in [
            ("attachedTemplate", "file:///C:\\a.dotx"),
            ("oleObject", "file:///C:\\a.xlsx"),
            ("hyperlink", "http://203.0.113.7/"),
            ("externalLinkPath", "http://firm.example/a.xlsx"),
            ("mailMergeSource", "http://firm.example/a.csv"),
            ("image", "http://firm.example/a.png"),
        ] {
            assert_eq!(relationship(kind, target), Vec::<&str>::new(), "{kind}");
        }
        assert_eq!(ids("<Relationship Type='x/oleObject' Target='http://203.0.113.7/a'/>"), Vec::<&str>::new());
    }

    #[test]
    fn queries_and_formulas_are_judged_by_their_address() {
        let query = |address: &str| {
            ids(&format!("<connection refreshOnLoad='1'><webPr sourceData='1' url='{address}'/></connection>"))
        };
        assert_eq!(query("http://203.0.113.7/a"), ["remote-object", "odd-address"]);
        assert_eq!(query("https://rates.example/a"), ["linked-content"]);
        assert_eq!(query("http://intranet/a"), Vec::<&str>::new());
        let share = ["linked-content", "odd-address"];
        for share in ["\\\\files.firm.example\\users\\a\\schema.xml", "\\\\firm.ch\\users\\a\\schema.xml"] {
            assert!(!query(share).contains(&"remote-object"), "{share}");
        }
        assert_eq!(ids("<connection id='1'><webPr url='http://203.0.113.7/a'/></connection>"), share);
        assert_eq!(
            ids("<textPr sourceFile='\\\\203.0.113.7\\s\\a.csv'/><connection odcFile='C:\\a.odc'/>"),
            ["linked-content", "odd-address"]
        );
        let formula = |address: &str| ids(&format!("<f>IF(A1,HYPERLINK({address},&quot;x&quot;))</f>"));
        assert_eq!(formula("\"ms-msdt:/id a\""), ["link-program"]);
        assert_eq!(formula(" &quot;file:\\\\203.0.113.7\\x\\a.vbs&quot;"), ["link-program"]);
        for honest in ["\"#Sheet2!A1\"", "A1&amp;\"x\"", "\"https://firm.example/a.exe\"", ""] {
            assert_eq!(formula(honest), Vec::<&str>::new(), "{honest}");
        }
    }

    #[test]
    fn field_codes_are_joined_over_runs() {
        let run = "<w:r><w:fldChar w:fldCharType=\"begin\"/></w:r><w:r><w:instrText>DDE</w:instrText></w:r>\
                   <w:r><w:instrText>AUTO cm</w:instrText></w:r><w:r><w:instrText>d \"/c x\"</w:instrText></w:r>\
                   <w:r><w:fldChar w:fldCharType=\"end\"/></w:r>";
        assert_eq!(ids(run), ["dde-command"]);
        assert_eq!(ids("<w:fldSimple w:instr=\"DDE powershell x\"/>"), ["dde-command"]);
        assert_eq!(ids("<ddeLink ddeService=\"cmd\" ddeTopic=\"/c x\"/>"), ["dde-command"]);
        assert_eq!(ids("<ddeLink ddeService=\"Excel\" ddeTopic=\"a.xlsx\"/>"), ["dde-link"]);
        assert_eq!(ids("<w:t>DDEAUTO cmd</w:t>"), Vec::<&str>::new());
    }
}
