//! What presentations of PowerPoint 97-2003 do when something is clicked, or the mouse passes over it: actions
//! ([MS-PPT] 2.6.8 to 2.6.10) and the addresses that they name (2.10.16 to 2.10.18).
//!
//! Records stand in each other; a container is entered by passing over its header only, so that a wrong length
//! costs no more than what it covers.

use std::collections::HashMap;

use encoding_rs::UTF_16LE;

use super::CompoundFile;
use crate::command::program;
use crate::field;
use crate::finding;
use crate::part::Part;
use crate::reader::Reader;
use crate::scan::Scan;

// [MS-PPT] 2.13.24: types of records.
const CHARACTERS: u16 = 0x0FBA;
const HYPERLINK_ATOM: u16 = 0x0FD3;
const INTERACTIVE: u16 = 0x0FF2;
const INTERACTIVE_ATOM: u16 = 0x0FF3;

// [MS-PPT] 2.13.12: what an action does.
const RUN_MACRO: u8 = 1;
const RUN_PROGRAM: u8 = 2;
const FOLLOW_LINK: u8 = 4;
const OPEN_OBJECT: u8 = 5;

/// Actions and links that are judged.
const MAX_ACTIONS: usize = 20_000;
/// Octets of an address or a command.
const MAX_TEXT: usize = 16 << 10;

/// Judges the actions and links of a presentation.
pub fn examine(file: &CompoundFile<'_>, part: &Part, scan: &mut Scan) {
    const STREAM: &str = "PowerPoint Document";
    let Some(stream) = file.stream(None, STREAM) else { return };
    let found = read(&file.read(stream, scan.room()));
    for target in found.targets.values() {
        field::hyperlink(target, part, STREAM, scan);
    }
    for action in &found.actions {
        let target = found.targets.get(&action.link).map_or("", String::as_str);
        match action.verb {
            // The address stands in a name (2.6.11), in files of others in a link.
            RUN_PROGRAM => {
                let line = if action.name.is_empty() { target } else { &action.name };
                field::action(line, action.is_hover, part, STREAM, scan);
            }
            FOLLOW_LINK if !program::is_url(target) && program::is_runnable(target) => {
                field::action(target, action.is_hover, part, STREAM, scan);
            }
            RUN_MACRO | OPEN_OBJECT if action.is_hover => {
                let what = if action.verb == RUN_MACRO { "macro" } else { "ole" };
                scan.finding(finding::ACTION_HOVER, part, STREAM, format!("{what} {}", action.name).trim());
            }
            _ => {}
        }
    }
    if found.is_cut {
        scan.finding(finding::LIMIT_EXCEEDED, part, STREAM, "more actions of slides than are read");
    }
}

#[derive(Debug, Default)]
struct Found {
    actions: Vec<Action>,
    /// Addresses by the number of their link.
    targets: HashMap<u32, String>,
    is_cut: bool,
}

#[derive(Debug, Default)]
struct Action {
    verb: u8,
    link: u32,
    /// Of a macro, a program, a show.
    name: String,
    is_hover: bool,
}

/// Whose texts are being read.
#[derive(Clone, Copy)]
enum Within {
    Nothing,
    Link(u32),
    Action,
}

fn read(stream: &[u8]) -> Found {
    let mut found = Found::default();
    let mut is_hover = false;
    let mut within = Within::Nothing;
    let mut reader = Reader::new(stream);
    while let (Some(version), Some(kind), Some(size)) = (reader.u16(), reader.u16(), reader.u32()) {
        let instance = version >> 4;
        if version & 0x0F == 0x0F {
            within = Within::Nothing;
            is_hover = kind == INTERACTIVE && instance == 1;
            continue;
        }
        let data = reader.take((size as usize).min(reader.left())).unwrap_or_default();
        match (kind, within) {
            (HYPERLINK_ATOM, _) => within = Reader::new(data).u32().map_or(Within::Nothing, Within::Link),
            (INTERACTIVE_ATOM, _) => {
                let action = action(data, is_hover).filter(|action| action.verb != 0);
                found.is_cut |= action.is_some() && found.actions.len() >= MAX_ACTIONS;
                within = if action.is_some() { Within::Action } else { Within::Nothing };
                found.actions.extend(action.filter(|_| found.actions.len() < MAX_ACTIONS));
            }
            // 0 is the text that is shown, 1 the address, 3 a place in it.
            (CHARACTERS, Within::Link(number)) if instance == 1 => {
                found.is_cut |= found.targets.len() >= MAX_ACTIONS;
                if found.targets.len() < MAX_ACTIONS {
                    found.targets.insert(number, text(data));
                }
            }
            (CHARACTERS, Within::Action) => {
                if let Some(action) = found.actions.last_mut() {
                    action.name = text(data);
                }
            }
            (CHARACTERS, _) => {}
            _ => within = Within::Nothing,
        }
    }
    found
}

/// [MS-PPT] 2.6.10: a sound, the number of a link, what to do.
fn action(data: &[u8], is_hover: bool) -> Option<Action> {
    let mut reader = Reader::new(data);
    reader.skip(4)?;
    let link = reader.u32()?;
    Some(Action { verb: reader.u8()?, link, name: String::new(), is_hover })
}

fn text(data: &[u8]) -> String {
    let text = UTF_16LE.decode_without_bom_handling(data.get(..MAX_TEXT).unwrap_or(data)).0;
    text.trim_matches('\0').to_owned()
}
