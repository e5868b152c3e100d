//! What a presentation does when something on a slide is clicked, or the mouse passes over it (ECMA-376 part 1,
//! 21.1.2.3.5 and 20.1.2.2.23): programs, macros, objects, files. Jumps between slides and links to pages are nothing.
//!
//! An action stands in a slide and names a relationship, which stands in another part: both are collected, in
//! whatever order they come, and judged at the end.

use std::collections::HashMap;

use memchr::memmem;

use crate::command::program;
use crate::field;
use crate::finding;
use crate::formats::markup::{self, Token};
use crate::formats::zip::members::normal;
use crate::part::Part;
use crate::scan::Scan;

/// Actions of one presentation that are judged: large ones have some hundred links.
const MAX_ACTIONS: usize = 20_000;

/// Actions and relationships, as they are read.
#[derive(Debug, Default)]
pub struct Actions {
    found: Vec<Action>,
    /// Where relationships lead, by part and id.
    targets: HashMap<(String, String), String>,
    is_cut: bool,
}

#[derive(Debug)]
struct Action {
    part: String,
    relationship: String,
    /// `ppaction://program`, or nothing for a plain link.
    verb: String,
    is_hover: bool,
}

/// Whether XML may have actions, or the relationships that they name: most has neither.
pub fn may_have(xml: &[u8]) -> bool {
    // Relationships are read only where they lead to what an action may start.
    const MARKS: [&[u8]; 6] =
        [b"ppaction", b"hlinkMouseOver", b"hlinkHover", b"/hyperlink", b"h\0y\0p\0e\0r\0l\0", b"p\0p\0a\0c\0t\0i\0"];
    MARKS.iter().any(|mark| memmem::find(xml, mark).is_some())
}

impl Actions {
    /// Reads one thing of the XML of the part `name`.
    pub fn read(&mut self, name: &str, token: Token<'_>) {
        let Token::Open(element, attributes) = token else { return };
        let value = |name| markup::attribute(attributes, name).unwrap_or_default().into_owned();
        match element {
            "Relationship" if value("Type").to_ascii_lowercase().ends_with("/hyperlink") => {
                if self.targets.len() < MAX_ACTIONS {
                    self.targets.insert((owner(name), value("Id")), value("Target"));
                } else {
                    self.is_cut = true;
                }
            }
            "hlinkClick" | "hlinkMouseOver" | "hlinkHover" => {
                let action = Action {
                    part: normal(name),
                    relationship: value("id"),
                    verb: value("action").trim().to_ascii_lowercase(),
                    is_hover: element != "hlinkClick",
                };
                // A plain link that waits for a click is judged where its relationship stands.
                if !action.is_hover && action.verb.is_empty() {
                    return;
                }
                if self.found.len() < MAX_ACTIONS { self.found.push(action) } else { self.is_cut = true }
            }
            _ => {}
        }
    }

    /// Judges what was read.
    pub fn report(&self, part: &Part, scan: &mut Scan) {
        for action in &self.found {
            let key = (action.part.clone(), action.relationship.clone());
            let target = self.targets.get(&key).map_or("", String::as_str);
            judge(&action.verb, target, action.is_hover, part, &action.part, scan);
        }
        if self.is_cut {
            scan.finding(finding::LIMIT_EXCEEDED, part, "", "more actions of slides than are read");
        }
    }
}

/// The part whose relationships stand in `name`: `ppt/slides/_rels/a.xml.rels` has those of `ppt/slides/a.xml`.
fn owner(name: &str) -> String {
    let name = normal(name);
    let (folder, base) = name.rsplit_once("_rels/").unwrap_or(("", &name));
    format!("{folder}{}", base.trim_end_matches(".rels"))
}

/// Judges one action ([MS-OI29500] 2.1.1152: what verbs there are).
fn judge(verb: &str, target: &str, is_hover: bool, part: &Part, location: &str, scan: &mut Scan) {
    let verb = verb.strip_prefix("ppaction://").unwrap_or(verb);
    let (name, query) = verb.split_once('?').unwrap_or((verb, ""));
    match name {
        "program" => field::action(target, is_hover, part, location, scan),
        "macro" | "ole" if is_hover => {
            let query = query.trim_start_matches("name=");
            scan.finding(finding::ACTION_HOVER, part, location, &format!("{name} {query}"));
        }
        _ if program::is_url(target) => {}
        // A file: what runs at a double click runs here, too.
        _ if program::is_runnable(target) => field::action(target, is_hover, part, location, scan),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filetype::TypeSet;
    use crate::part::{Origin, PartPath};

    /// The ids that an action and its target come to, whichever is read first.
    fn ids(element: &str, action: &str, target: &str) -> Vec<&'static str> {
        let slide = format!("<p:sld><a:{element} r:id='rId3' action='{action}'/></p:sld>");
        let rels = format!("<Relationship Id='rId3' Type='http://x.example/hyperlink' Target='{target}'/>");
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
        let parts = [("ppt/slides/slide1.xml", slide), ("ppt\\slides\\_rels\\slide1.xml.rels", rels)];
        let of = |order: [usize; 2]| {
            let (mut actions, mut scan) = (Actions::default(), Scan::for_test());
            for (name, xml) in order.map(|n| &parts[n]) {
                assert!(may_have(xml.as_bytes()) || action.is_empty());
                markup::tokens(xml).for_each(|token| actions.read(name, token));
            }
            actions.report(&part, &mut scan);
            scan.report().findings.iter().map(|found| found.id.as_str()).collect::<Vec<_>>()
        };
        let found = of([0, 1]);
        assert_eq!(found, of([1, 0]));
        found
    }

    #[test]
    fn actions_are_judged_by_what_they_start_and_when() {
        for (element, action, target, expected) in [
            ("hlinkClick", "ppaction://program", "powershell%20-NoP%20-c%20x", "action-command"),
            ("hlinkMouseOver", "ppaction://program", "file:///C:\\tools\\a.exe", "action-command"),
            ("hlinkHover", "PPACTION://PROGRAM", "calc.exe", "action-command"),
            ("hlinkClick", "ppaction://program", "\\\\203.0.113.7\\a\\x.exe", "action-command"),
            ("hlinkClick", "ppaction://program", "file:///C:\\tools\\a.exe", "link-program"),
            ("hlinkClick", "ppaction://hlinkfile", "setup.exe", "link-program"),
            ("hlinkHover", "ppaction://hlinkfile", "a.vbs", "action-command"),
            ("hlinkMouseOver", "", "x.lnk", "action-command"),
            ("hlinkHover", "ppaction://macro?name=Start", "", "action-hover"),
            ("hlinkMouseOver", "ppaction://ole?verb=0", "", "action-hover"),
        ] {
            assert_eq!(ids(element, action, target), [expected], "{element} {action} {target}");
        }
    }

    #[test]
    fn honest_actions_are_nothing() {
        for (element, action, target) in [
            ("hlinkClick", "ppaction://hlinksldjump", "slide2.xml"),
            ("hlinkClick", "ppaction://hlinkshowjump?jump=nextslide", ""),
            ("hlinkHover", "ppaction://hlinkshowjump?jump=nextslide", ""),
            ("hlinkClick", "ppaction://macro?name=Next", ""),
            ("hlinkClick", "ppaction://ole?verb=0", ""),
            ("hlinkClick", "ppaction://media", ""),
            ("hlinkClick", "ppaction://hlinkfile", "file:///C:\\a\\report.xlsx"),
            ("hlinkClick", "ppaction://hlinkpres?slideindex=1", "b.pptx"),
            ("hlinkClick", "ppaction://program", ""),
            ("hlinkClick", "ppaction://noaction", ""),
            ("hlinkMouseOver", "", "https://a.example/tool.exe"),
            ("hlinkClick", "", "a.exe"),
        ] {
            assert_eq!(ids(element, action, target), Vec::<&str>::new(), "{element} {action} {target}");
        }
    }
}
