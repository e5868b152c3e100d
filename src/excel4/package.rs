//! Workbooks in packages (ECMA-376 part 1, 12.3; [MS-XLSB] 2.1.7): which parts are their sheets, and which of these
//! run. What a part is, its relationship says: its name says nothing.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use super::style::Styles;
use super::workbook::{MAX_SHEETS, Workbook};
use super::{binary, sheet_xml};
use crate::formats::markup::{self, Token};
use crate::lure::decode_xml;

/// Relationships of sheets that run ([MS-OE376] 2.1.1609 and after), in part and in lower case.
const MACRO_SHEETS: &str = "macrosheet";

/// The parts of a package that a workbook is made of: their names in lower case, and content.
#[derive(Debug, Default)]
pub struct Parts(BTreeMap<String, Bytes>);

/// Relationships of one part that are followed.
const MAX_TARGETS: usize = 4 * MAX_SHEETS;

/// A part that the workbook refers to.
#[derive(Clone, Debug)]
pub struct Target {
    /// The part, if it is there.
    pub content: Bytes,
    /// It is a sheet that runs.
    pub is_macro: bool,
}

/// How XML in UTF-16 begins.
const WIDE: [&[u8]; 4] = [b"<\0", b"\0<", b"\xff\xfe", b"\xfe\xff"];

/// Whether a part of a package says that there are macros of Excel 4.0: a relationship, the sheet itself, or a
/// name that stands for something that runs.
pub fn tells_of_macros(content: &[u8]) -> bool {
    if WIDE.iter().any(|mark| content.starts_with(mark)) {
        return tells(decode_xml(content).as_bytes());
    }
    tells(content)
}

fn tells(content: &[u8]) -> bool {
    let has = |mark: &[u8]| memchr::memmem::find(content, mark).is_some();
    // A sheet says it by its root, relationships by their type, `xlMacrosheet` or `xlIntlMacrosheet`. Where that stands
    // is the sender's choice: comments may come first.
    // The strings of cells may speak of it.
    has(b"acrosheet") && sheet_xml::root(content).is_none_or(|root| root != "sst")
        || has(b"<definedName") && [&b"EXEC("[..], b"CALL(", b"REGISTER("].iter().any(|mark| has(mark))
}

/// Whether a part may belong to a workbook: XML, or records of a binary one.
pub fn may_belong(name: &str, content: &[u8]) -> bool {
    name.ends_with(".rels")
        || content.starts_with(b"<")
        || content.starts_with(b"\xEF\xBB\xBF<")
        || WIDE.iter().any(|mark| content.starts_with(mark))
        || name.ends_with(".bin")
}

impl Parts {
    /// Adds a part; its name in lower case, without a slash in front.
    pub fn add(&mut self, name: String, content: Bytes) {
        self.0.entry(name).or_insert(content);
    }

    /// Where the relationships of a part lead, by their ids.
    fn targets(&self, name: &str) -> HashMap<String, Target> {
        let (folder, base) = name.rsplit_once('/').unwrap_or(("", name));
        let rels = if folder.is_empty() { format!("_rels/{base}.rels") } else { format!("{folder}/_rels/{base}.rels") };
        let mut targets = HashMap::new();
        let Some(xml) = self.0.get(&rels) else { return targets };
        for token in markup::tokens(&decode_xml(xml)) {
            let Token::Open("Relationship", attributes) = token else { continue };
            let value = |name| markup::attribute(attributes, name).unwrap_or_default();
            let target = resolved(folder, &value("Target").replace('\\', "/").to_lowercase());
            let is_macro = value("Type").to_lowercase().contains(MACRO_SHEETS);
            if let Some(content) = self.0.get(&target).filter(|_| targets.len() < MAX_TARGETS) {
                let target = Target { content: content.clone(), is_macro };
                targets.entry(value("Id").into_owned()).or_insert(target);
            }
        }
        targets
    }

    /// The strings that all sheets share: the part of this kind, wherever it is.
    fn strings(&self) -> Vec<String> {
        let read = |content: &Bytes| {
            let strings = sheet_xml::strings(content);
            if strings.is_empty() { binary::strings(content) } else { strings }
        };
        self.0.values().map(read).find(|strings| !strings.is_empty()).unwrap_or_default()
    }

    /// The formats of cells: the part of this kind, wherever it is.
    fn styles(&self) -> Styles {
        let read = |content: &Bytes| {
            let styles = Styles::xml(content);
            if styles.is_empty() { Styles::binary(content) } else { styles }
        };
        self.0.values().map(read).find(|styles| !styles.is_empty()).unwrap_or_default()
    }

    /// Reads the workbook; nothing if there is none.
    pub fn read(&self) -> Workbook {
        let strings = self.strings();
        let styles = self.styles();
        for (name, content) in &self.0 {
            if sheet_xml::is_workbook(content) {
                return sheet_xml::read(content, &self.targets(name), &strings, &styles);
            }
            if binary::is_workbook(content) {
                return binary::read(content, &self.targets(name), &strings, &styles);
            }
        }
        Workbook::default()
    }
}

/// A target as the name of a part: from the root, or from the folder of who refers to it.
fn resolved(folder: &str, target: &str) -> String {
    if let Some(absolute) = target.strip_prefix('/') {
        return absolute.to_owned();
    }
    let mut steps: Vec<&str> = folder.split('/').filter(|step| !step.is_empty()).collect();
    for step in target.split('/') {
        match step {
            "" | "." => {}
            ".." => {
                steps.pop();
            }
            _ => steps.push(step),
        }
    }
    steps.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_found_from_where_they_are_named() {
        for (folder, target, name) in [
            ("xl", "macrosheets/sheet1.xml", "xl/macrosheets/sheet1.xml"),
            ("xl", "/xl/a.xml", "xl/a.xml"),
            ("xl/b", "../a.xml", "xl/a.xml"),
            ("", "../../a.xml", "a.xml"),
        ] {
            assert_eq!(resolved(folder, target), name);
        }
    }

    #[test]
    fn the_texts_of_cells_are_no_macros() {
        assert!(tells_of_macros(b"<Relationships><Relationship Type=\"http://x/xlMacrosheet\"/>"));
        assert!(tells_of_macros(b"<xm:macrosheet xmlns=\"x\">"));
        let wide: Vec<u8> = "<xm:macrosheet>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(tells_of_macros(&wide));
        let padded = format!("<!--{}--><xm:macrosheet>", "x".repeat(5000));
        assert!(tells_of_macros(padded.as_bytes()));
        let names = format!("<workbook>{}<definedName>EXEC(1)</definedName>", " ".repeat(5000));
        assert!(tells_of_macros(names.as_bytes()));
        assert!(!tells_of_macros(b"<?xml?><sst><si><t>xlMacrosheet</t></si></sst>"));
        assert!(!tells_of_macros(b"<?xml?><sst><si><t>EXEC(</t></si></sst>"));
        assert!(!tells_of_macros(b"<worksheet><f>SUM(A1)</f></worksheet>"));
    }
}
