//! ActiveX controls: in packages ([MS-OFFMACRO2] 2.2.1, ECMA-376 part 1, 18.3.1.17 and around), in workbooks of Excel 97-2003, and the films of
//! Flash that they carry. Which control it is, its class id or name tells ([`super::classes`]); those of forms
//! (Microsoft Forms 2.0) are nothing. Controls in storages of compound files are [`super::classes`]' business.

use std::collections::HashMap;

use memchr::memmem;

use super::{cfb, classes};
use crate::field;
use crate::filetype;
use crate::finding;
use crate::formats::markup::{self, Token};
use crate::part::{Origin, Part};
use crate::reader::Reader;
use crate::scan::{Child, Scan};

/// Controls that share one stored state, from which on they are there to fill memory.
const MANY_CONTROLS: usize = 20;
/// Octets of such a state: those of forms have some hundred.
const LARGE_STATE: usize = 64 << 10;
/// Places that are counted.
const MAX_TARGETS: usize = 2000;
/// Films that are taken out of one stream, and octets of one: where a packed film ends, nothing tells.
const MAX_FILMS: usize = 4;
const MAX_FILM: usize = 16 << 20;
/// [MS-XLS] 2.4.181: an object of a sheet.
const OBJECT: u16 = 0x005D;
/// [MS-XLS] 2.4.140: a link.
const LINK: u16 = 0x01B8;

/// The controls of a package, as its parts are read.
#[derive(Debug, Default)]
pub struct Controls {
    /// How many controls have their state in this part: its name without the folder, in lower case.
    shared: HashMap<String, usize>,
    /// Sizes of parts that may be states.
    sizes: HashMap<String, usize>,
}

/// Whether XML names a control or the class of an object: most does not.
pub fn may_have(xml: &[u8]) -> bool {
    const MARKS: [&[u8]; 6] =
        [b"classid", b"activeX", b"progId", b"ProgID", b"c\0l\0a\0s\0s\0i\0d\0", b"p\0r\0o\0g\0I\0"];
    MARKS.iter().any(|mark| memmem::find(xml, mark).is_some())
}

impl Controls {
    /// Reads one thing of the XML of a part.
    pub fn read(&mut self, token: Token<'_>, part: &Part, location: &str, scan: &mut Scan) {
        let Token::Open(element, attributes) = token else { return };
        let value = |name| markup::attribute(attributes, name).unwrap_or_default();
        match element {
            "ocx" => {
                if let Some(id) = classes::parse(&value("classid")) {
                    classes::known(&id, part, location, scan);
                }
            }
            // What a control keeps by name: the film that it plays, the page that it shows.
            "ocxPr" if ["movie", "src", "url", "location"].contains(&value("name").to_ascii_lowercase().as_str()) => {
                field::elsewhere(&value("value"), "control", part, location, scan);
            }
            "OLEObject" | "oleObj" | "oleObject" => classes::named(value("progId").as_bytes(), part, location, scan),
            "Relationship" if value("Type").to_ascii_lowercase().ends_with("/activexcontrolbinary") => {
                let target = base(&value("Target"));
                if self.shared.len() < MAX_TARGETS || self.shared.contains_key(&target) {
                    let count = self.shared.entry(target).or_default();
                    *count = count.saturating_add(1);
                }
            }
            _ => {}
        }
    }

    /// Reads a part that is no XML: the state of a control, behind its class id, if it is one.
    pub fn state(&mut self, bytes: &[u8], part: &Part, location: &str, scan: &mut Scan) {
        if self.sizes.len() < MAX_TARGETS {
            self.sizes.insert(base(location), bytes.len());
        }
        if bytes.starts_with(cfb::MAGIC) {
            return;
        }
        let Some(id) = bytes.first_chunk::<16>() else { return };
        if classes::known(id, part, location, scan) {
            films(bytes, part, scan);
        }
        if classes::overflows(id) {
            classes::control(bytes, part, location, scan);
        }
    }

    /// Judges the controls together.
    pub fn report(&self, part: &Part, scan: &mut Scan) {
        for (name, count) in self.shared.iter().filter(|(_, count)| **count >= MANY_CONTROLS) {
            if self.sizes.get(name).is_some_and(|size| *size >= LARGE_STATE) {
                scan.finding(finding::OBJECT_EXPLOIT, part, name, &format!("{count} controls that fill the memory"));
            }
        }
    }
}

fn base(name: &str) -> String {
    name.rsplit(['/', '\\']).next().unwrap_or_default().to_ascii_lowercase()
}

/// Judges the links of a workbook of Excel 97-2003, and the controls on its sheets by the names of their classes ([MS-XLS] 2.5.198.31
/// and 2.5.185, strClass).
pub fn of_sheets(workbook: &[u8], part: &Part, scan: &mut Scan) {
    for (id, data) in cfb::biff::records(workbook) {
        match id {
            OBJECT => classes::named(data, part, "Workbook", scan),
            LINK => classes::addresses(data).for_each(|address| field::hyperlink(&address, part, "Workbook", scan)),
            _ => {}
        }
    }
}

/// Takes the films of Flash out of the state of a control.
pub fn films(state: &[u8], part: &Part, scan: &mut Scan) {
    let mut given = 0_usize;
    let mut from = 0_usize;
    for at in memmem::find_iter(state, b"WS").filter_map(|at| at.checked_sub(1)) {
        let Some(film) = state.get(at..).filter(|film| at >= from && filetype::is_flash(film)) else { continue };
        // The size is that of the film unpacked: only a plain one ends there, a packed one is shorter.
        let size = Reader::at(film, 4).and_then(|mut reader| reader.u32()).map_or(film.len(), |size| size as usize);
        let plain = film.starts_with(b"FWS");
        let film = film.get(..size.min(MAX_FILM)).unwrap_or(film.get(..MAX_FILM).unwrap_or(film));
        if given >= MAX_FILMS || film.len() as u64 > scan.room() {
            return scan.limit(part, crate::limits::Limit::FileSize);
        }
        from = at.saturating_add(if plain { film.len() } else { 8 });
        given = given.saturating_add(1);
        scan.child(part, Origin::Embedded, Child { bytes: film.to_vec().into(), ..Child::default() });
    }
}
