//! Links, actions and controls in documents, made from nothing.

use super::carriers::package;
use super::office::Compound;
use super::ovba::utf16;

/// The class of Flash, as XML has it.
pub const FLASH: &str = "{D27CDB6E-AE6D-11CF-96B8-444553540000}";
/// The class of a button of forms.
pub const BUTTON: &str = "{D7053240-CE69-11CD-A777-00DD01143C57}";
/// The class of a list of MSCOMCTL.
pub const LIST: &str = "{BDD1F04B-858B-11D1-B16A-00C0F0283628}";

/// A class id as it is stored.
pub fn stored(class: &str) -> [u8; 16] {
    let digits: String = class.chars().filter(char::is_ascii_hexdigit).collect();
    let mut octets: [u8; 16] =
        data_encoding::HEXUPPER_PERMISSIVE.decode(digits.as_bytes()).unwrap().try_into().unwrap();
    octets[..4].reverse();
    octets[4..6].reverse();
    octets[6..8].reverse();
    octets
}

/// A relationship that leads outside of the package.
pub fn external(kind: &str, target: &str) -> String {
    const OFFICE: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    format!(r#"<Relationship Id="rId7" Type="{OFFICE}/{kind}" Target="{target}" TargetMode="External"/>"#)
}

fn relationships(inner: &str) -> String {
    format!(r#"<?xml version="1.0"?><Relationships xmlns="x">{inner}</Relationships>"#)
}

/// A Word document with one relationship that leads outside.
pub fn linked(kind: &str, target: &str) -> Vec<u8> {
    let rels = relationships(&external(kind, target));
    let main = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml";
    package(main, &[("word/document.xml", b"<w:document/>"), ("word/_rels/document.xml.rels", rels.as_bytes())])
}

/// A presentation of one slide with one action.
pub fn slide(element: &str, action: &str, target: &str) -> Vec<u8> {
    let slide = format!(r#"<p:sld><p:cNvPr id="2"><a:{element} r:id="rId7" action="{action}"/></p:cNvPr></p:sld>"#);
    let rels = relationships(&external("hyperlink", target));
    let main = "application/vnd.openxmlformats-officedocument.presentationml.slideshow.main+xml";
    package(main, &[("ppt/slides/slide1.xml", slide.as_bytes()), ("ppt/slides/_rels/slide1.xml.rels", rels.as_bytes())])
}

fn record(version: u16, kind: u16, content: &[u8]) -> Vec<u8> {
    [&version.to_le_bytes()[..], &kind.to_le_bytes(), &(content.len() as u32).to_le_bytes(), content].concat()
}

/// A presentation of PowerPoint 97-2003 with one link and one action: what it does (2 starts a program), its name,
/// and whether the mouse is enough.
pub fn old_slide(verb: u8, name: &str, target: &str, is_hover: bool) -> Vec<u8> {
    let link = [record(0, 0x0FD3, &1_u32.to_le_bytes()), record(0x10, 0x0FBA, &utf16(target))].concat();
    let atom = [&0_u32.to_le_bytes()[..], &1_u32.to_le_bytes(), &[verb, 0, 0, 0, 0xFF, 0, 0, 0]].concat();
    let mut action = record(0, 0x0FF3, &atom);
    if !name.is_empty() {
        action.extend(record(0x20, 0x0FBA, &utf16(name)));
    }
    let action = record(if is_hover { 0x1F } else { 0x0F }, 0x0FF2, &action);
    let links = record(0x0F, 0x0409, &record(0x0F, 0x0FD7, &link));
    let stream = record(0x0F, 0x03E8, &[links, action].concat());
    Compound::new().stream("/PowerPoint Document", &stream).finish()
}

/// A Word document with controls: the class and the state of each (`activeXN.bin`).
pub fn controls(controls: &[(&str, &[u8])]) -> Vec<u8> {
    let mut members: Vec<(String, Vec<u8>)> = vec![("word/document.xml".to_owned(), b"<w:document/>".to_vec())];
    for (n, (class, state)) in controls.iter().enumerate() {
        let xml = format!(r#"<?xml version="1.0"?><ax:ocx ax:classid="{class}" ax:persistence="persistStreamInit"/>"#);
        members.push((format!("word/activeX/activeX{n}.xml"), xml.into_bytes()));
        members.push((format!("word/activeX/activeX{n}.bin"), state.to_vec()));
    }
    let members: Vec<(&str, &[u8])> = members.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    package("application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml", &members)
}

/// A Word document whose many controls share one state.
pub fn sprayed(count: usize, state: &[u8]) -> Vec<u8> {
    let rel = "<Relationship Id='rId1' Type='http://x.example/activeXControlBinary' Target='activeX1.bin'/>";
    let rels = relationships(rel);
    let names: Vec<String> = (1..=count).map(|n| format!("word/activeX/_rels/activeX{n}.xml.rels")).collect();
    let mut members: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), rels.as_bytes())).collect();
    members.push(("word/activeX/activeX1.bin", state));
    package("application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml", &members)
}

/// A film of nothing.
pub fn film() -> Vec<u8> {
    [&b"FWS\x0a\x18\0\0\0\x78"[..], &[0; 15]].concat()
}

/// What a list of MSCOMCTL keeps, with a block of this size in it.
pub fn list_state(block: u32) -> Vec<u8> {
    [&stored(LIST)[..], b"Cobj", &0x64_u32.to_le_bytes(), &block.to_le_bytes(), &[0; 64]].concat()
}
