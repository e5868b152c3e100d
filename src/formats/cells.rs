//! Tables in text (CSV, tab-separated, SYLK, Excel 2003 XML, pages under the name of a workbook): cells that Excel reads as formulas with a DDE link,
//! `=server|'topic'!item`. Macros in SYLK are [`super::sylk`]'s.

use crate::field;
use crate::filetype::FileType;
use crate::formats::Format;
use crate::formats::markup::{self, Token};
use crate::lure;
use crate::part::{Origin, Part};
use crate::scan::Scan;

/// Text that a spreadsheet opens.
pub const FORMAT: Format = Format { name: "cells", walled: false, accepts, examine };

/// Names under which Excel opens text without asking.
const EXTENSIONS: &[&str] = &["csv", "tsv", "tab", "slk", "dif", "prn", "xls", "iqy"];
/// Octets of text that are read.
const MAX_TEXT: usize = 64 << 20;
/// A bar, or what may stand for one in markup.
const BARS: [char; 2] = ['|', '&'];
/// Links that are judged.
const MAX_LINKS: usize = 1000;
/// Longest name of a server.
const MAX_SERVER: usize = 64;
/// Octets behind a bar in which its topic must end; Excel takes 255 characters.
const MAX_TOPIC: usize = 1024;

fn accepts(part: &Part) -> bool {
    let named = || part.extensions().any(|extension| EXTENSIONS.contains(&extension.as_str()));
    let plain = part.types.has(FileType::Text) && (named() || is_sylk(&part.bytes));
    part.origin != Origin::Body && (plain || is_marked_up(part))
}

/// Whether it is SYLK: how Excel knows it.
pub(super) fn is_sylk(bytes: &[u8]) -> bool {
    bytes.starts_with(b"ID;P")
}

fn examine(part: &Part, scan: &mut Scan) {
    let mut count = 0_usize;
    if is_marked_up(part) {
        let xml = lure::decode_xml(part.bytes.get(..MAX_TEXT).unwrap_or(&part.bytes));
        let is_page = part.types.has(FileType::Html);
        // Word has XML of its own, in which a bar is a bar.
        if !is_page && !xml.contains("office:spreadsheet") {
            return;
        }
        for token in markup::tokens(&xml) {
            match token {
                Token::Open(name, attributes) if attributes.contains(BARS) => {
                    // `ss:Formula` of Excel 2003 XML, `x:fmla` of pages that Excel saves.
                    for attribute in ["Formula", "fmla"] {
                        let formula = markup::attribute(attributes, attribute).unwrap_or_default();
                        links_in(formula.as_bytes(), false, name, &mut count, part, scan);
                    }
                }
                // In XML a text is none the less for its first sign.
                Token::Text(text) if is_page && text.contains(BARS) => {
                    links_in(markup::decoded(text).as_bytes(), false, "text", &mut count, part, scan);
                }
                _ => {}
            }
            if count > MAX_LINKS {
                return;
            }
        }
        return;
    }
    let sylk = is_sylk(&part.bytes);
    // UTF-16 is read by its low octets: servers and topics are ASCII.
    let plain: Vec<u8> = part.bytes.iter().take(MAX_TEXT).copied().filter(|byte| *byte != 0).collect();
    if part.bytes.len() > MAX_TEXT {
        scan.limit(part, crate::limits::Limit::FileSize);
    }
    for (number, line) in plain.split(|byte| *byte == b'\n' || *byte == b'\r').enumerate() {
        links_in(line, sylk, &format!("line {}", number.saturating_add(1)), &mut count, part, scan);
        if count > MAX_LINKS {
            return;
        }
    }
}

/// Judges every link in a line or cell.
fn links_in(line: &[u8], sylk: bool, location: &str, count: &mut usize, part: &Part, scan: &mut Scan) {
    let mut from = 0_usize;
    for at in memchr::memchr_iter(b'|', line) {
        let found = link(line.get(from..at).unwrap_or_default(), line.get(at..).unwrap_or_default(), sylk);
        from = at.saturating_add(1);
        let Some((server, topic)) = found else { continue };
        *count = count.saturating_add(1);
        if *count > MAX_LINKS {
            return scan.finding(crate::finding::LIMIT_EXCEEDED, part, "", "more links than are read");
        }
        field::dde(&server, &topic, part, location, scan);
    }
}

/// Markup that Excel opens as a table: its own XML, and pages that are named like workbooks.
fn is_marked_up(part: &Part) -> bool {
    const NAMES: [&str; 5] = ["xls", "xlt", "xlm", "xla", "xlw"];
    part.types.has(FileType::XmlOffice)
        || part.types.has(FileType::Html) && part.extensions().any(|extension| NAMES.contains(&extension.as_str()))
}

/// The server and topic of a link, if what stands before and behind the bar is one.
fn link(before: &[u8], behind: &[u8], sylk: bool) -> Option<(String, String)> {
    let behind = behind.get(1..)?;
    // `'topic'!item`, also with doubled quotes; without quotes only up to the mark.
    let quoted = matches!(behind.first(), Some(b'\'' | b'"'));
    let end = memchr::memchr(b'!', behind.get(..MAX_TOPIC).unwrap_or(behind))?;
    let topic = behind.get(..end)?;
    if !quoted && topic.iter().any(|byte| byte.is_ascii_whitespace() || matches!(byte, b',' | b';')) {
        return None;
    }
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'\\' | b':' | b'/' | b'\'');
    let length = before.iter().rev().take(MAX_SERVER).take_while(|byte| is_name(byte)).count();
    let start = before.len().checked_sub(length).filter(|_| length > 0)?;
    let cell = before.get(..start)?;
    let mut server = before.get(start..)?;
    let formula = if sylk {
        // `;E` begins an expression.
        match (cell.last(), server.first()) {
            (Some(b';'), Some(b'E')) => {
                server = server.get(1..)?;
                true
            }
            _ => memchr::memmem::find(cell, b";E").is_some(),
        }
    } else {
        starts_formula(cell)
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_matches(['\'', '"', ' ']).to_owned();
    (formula && !server.is_empty()).then(|| (text(server), text(topic)))
}

/// Whether the cell that ends here began with one of the signs that make a formula.
fn starts_formula(cell: &[u8]) -> bool {
    let is_end = |byte: &u8| matches!(byte, b',' | b';' | b'\t');
    // Arguments of functions have separators of their own, so every part of the line is tried.
    cell.split(is_end).any(|part| {
        let part = part.iter().find(|byte| !byte.is_ascii_whitespace() && **byte != b'"');
        part.is_some_and(|byte| matches!(byte, b'=' | b'+' | b'-' | b'@'))
    })
}

#[cfg(test)]
mod tests {
    use crate::knowledge::Knowledge;
    use crate::limits::Limits;
    use crate::scan::{Input, Stop, scan};

    fn ids(text: &str, name: &str) -> Vec<&'static str> {
        let input = Input::file(text.as_bytes().to_vec(), name);
        let report = scan(input, &Limits::default(), &Knowledge::default(), &Stop::default());
        report.findings.iter().map(|found| found.id.as_str()).collect()
    }

    #[test]
    fn cells_that_start_programs_are_told() {
        for cell in [
            "=cmd|'/c calc'!A0",
            "+cmd|' /C notepad'!A0",
            "-2+3+cmd|'/c x'!A0",
            "@SUM(1+1)*cmd|'/c x'!A0",
            "\"=cmd|'/c x'!A0\"",
            "a,b,=rundll32|'x.dll,a'!_xlbgnm.A1",
            "=MSEXCEL|'\\..\\..\\..\\Windows\\System32\\cmd.exe /c x'!''",
        ] {
            assert!(ids(&format!("Name,Value\r\n{cell}\r\n"), "a.csv").contains(&"dde-command"), "{cell}");
        }
        assert!(ids("ID;PWXL;N;E\nC;Y1;X1;K0;Ecmd|'/c x'!A0\nE\n", "a.slk").contains(&"dde-command"));
    }

    #[test]
    fn formulas_in_markup_are_read_where_excel_opens_it() {
        let xml = |formula: &str| {
            format!(
                "<?xml version=\"1.0\"?><?mso-application progid=\"Excel.Sheet\"?><Workbook xmlns=\"urn:schemas-microsoft-com:office:spreadsheet\"><Cell ss:Formula=\"{formula}\"><Data>1|2</Data></Cell></Workbook>"
            )
        };
        assert_eq!(ids(&xml("=cmd|'/c calc'!R1C1"), "a.xml"), ["dde-command"]);
        assert_eq!(ids(&xml("=cmd|&apos;/c calc&apos;!R1C1"), "a.xls"), ["dde-command"]);
        assert_eq!(ids(&xml("=cmd&#124;'/c calc'!R1C1"), "a.xml"), ["dde-command"]);
        assert_eq!(ids(&xml("=SUM(R1C1:R2C2)"), "a.xml"), Vec::<&str>::new());
        assert_eq!(ids(&xml("=SUM(R1C1:R2C2)").replace("1|2", "=cmd|'/c x'!A0"), "a.xml"), Vec::<&str>::new());
        let word = "<?xml version=\"1.0\"?><?mso-application progid=\"Word.Document\"?><w:wordDocument><w:t>=cmd|'/c x'!A0</w:t></w:wordDocument>";
        assert_eq!(ids(word, "a.xml"), Vec::<&str>::new());
        let page = |cell: &str| format!("<html><table><tr><td>{cell}</td></tr></table></html>");
        assert_eq!(ids(&page("=cmd|'/c calc'!A0"), "a.xls"), ["dde-command"]);
        assert_eq!(ids("<html><td x:fmla=\"=cmd|'/c x'!A0\">0</td></html>", "a.xls"), ["dde-command"]);
        assert_eq!(ids(&page("=cmd|'/c calc'!A0"), "a.html"), Vec::<&str>::new(), "a browser shows it");
        assert_eq!(ids(&page("a | b! c"), "a.xls"), Vec::<&str>::new());
    }

    #[test]
    fn a_line_of_nothing_but_bars_costs_linear_time() {
        for piece in ["|", "=a|", "=|'", ";E|"] {
            assert_eq!(ids(&piece.repeat((4 << 20) / piece.len()), "a.csv"), Vec::<&str>::new(), "{piece}");
        }
    }

    #[test]
    fn honest_tables_are_nothing() {
        for text in [
            "a|b|c!\n=A1+B1\n",
            "-,+,@x,cmd|y\n",
            "=SUM(A1:A9),5\n",
            "name,cmd|'a'!\n",
            "|!|!|!\n=|!\n",
            "a;b\n1;2 | 3!\n",
        ] {
            assert_eq!(ids(text, "a.csv"), Vec::<&str>::new(), "{text}");
        }
        assert_eq!(ids("=cmd|'/c x'!A0", "a.txt"), Vec::<&str>::new(), "Notepad opens it");
    }
}
