//! Classes of objects in compound files and rich text, by their ids ([MS-OLEDS], [MS-CFB] 2.6.1): those that
//! are made to attack, those that load from an address, and formulas.

use memchr::memmem;

use super::equation;
use crate::field;
use crate::finding;
use crate::formats::cfb::{CompoundFile, EntryKind};
use crate::part::Part;
use crate::scan::Scan;

/// Equation Editor 2 and 3: {0002CE02-0000-0000-C000-000000000046}, {0002CE03-…}.
const EQUATIONS: [[u8; 16]; 2] = [office(0x0002_CE02), office(0x0002_CE03)];
/// The URL moniker, {79EAC9E0-BAF9-11CE-8C82-00AA004BA90B}.
const URL_MONIKER: [u8; 16] =
    [0xE0, 0xC9, 0xEA, 0x79, 0xF9, 0xBA, 0xCE, 0x11, 0x8C, 0x82, 0x00, 0xAA, 0x00, 0x4B, 0xA9, 0x0B];

/// Classes that no honest document uses by mail, as stored, and why.
const ATTACKS: &[([u8; 16], &str)] = &[
    // {06290BD3-48AA-11D2-8432-006008C3FBFC}: runs a scriptlet from an address.
    (
        [0xD3, 0x0B, 0x29, 0x06, 0xAA, 0x48, 0xD2, 0x11, 0x84, 0x32, 0x00, 0x60, 0x08, 0xC3, 0xFB, 0xFC],
        "a script moniker",
    ),
    // {ECABB0C7-7F19-11D2-978E-0000F8757E2A}: compiles what it fetches.
    (
        [0xC7, 0xB0, 0xAB, 0xEC, 0x19, 0x7F, 0xD2, 0x11, 0x97, 0x8E, 0x00, 0x00, 0xF8, 0x75, 0x7E, 0x2A],
        "a SOAP moniker",
    ),
    // {3050F4D8-98B5-11CF-BB82-00AA00BDCE0B}: an HTML application.
    (
        [0xD8, 0xF4, 0x50, 0x30, 0xB5, 0x98, 0xCF, 0x11, 0xBB, 0x82, 0x00, 0xAA, 0x00, 0xBD, 0xCE, 0x0B],
        "an HTML application",
    ),
    // {A08A033D-1A75-4AB6-A166-EAD02F547959}: loads a library without address randomisation.
    (
        [0x3D, 0x03, 0x8A, 0xA0, 0x75, 0x1A, 0xB6, 0x4A, 0xA1, 0x66, 0xEA, 0xD0, 0x2F, 0x54, 0x79, 0x59],
        "a loader that helps exploits",
    ),
];

/// Names of such classes, lower case.
const ATTACK_NAMES: &[(&str, &str)] = &[
    ("otkloadr.wrassembly", "a loader that helps exploits"),
    ("htafile", "an HTML application"),
    ("scriptletfile", "a scriptlet"),
    ("script:", "a script moniker"),
];

/// Controls whose data is copied without a check of its length: ListView and TreeView of MSCOMCTL 6.
const CONTROLS: [[u8; 16]; 2] = [
    [0x4B, 0xF0, 0xD1, 0xBD, 0x8B, 0x85, 0xD1, 0x11, 0xB1, 0x6A, 0x00, 0xC0, 0xF0, 0x28, 0x36, 0x28],
    [0xB6, 0x90, 0x41, 0xC7, 0x89, 0x85, 0xD1, 0x11, 0xB1, 0x6A, 0x00, 0xC0, 0xF0, 0x28, 0x36, 0x28],
];
/// Longest "Cobj" block that an honest control stores.
const MAX_COBJ: u32 = 8;

/// {XXXXXXXX-0000-0000-C000-000000000046} as stored.
const fn office(first: u32) -> [u8; 16] {
    let [a, b, c, d] = first.to_le_bytes();
    [a, b, c, d, 0, 0, 0, 0, 0xC0, 0, 0, 0, 0, 0, 0, 0x46]
}

/// Judges the classes of the storages of a file, and its formulas.
pub fn examine(file: &CompoundFile<'_>, part: &Part, scan: &mut Scan) {
    for (index, entry) in file.entries().iter().enumerate() {
        let location = file.path(entry);
        if EQUATIONS.contains(&entry.clsid) {
            let holder = if entry.kind == EntryKind::Root { None } else { Some(index) };
            formula(file, holder, part, &location, scan);
        }
        if let Some((_, why)) = ATTACKS.iter().find(|(class, _)| *class == entry.clsid) {
            scan.finding(finding::OBJECT_EXPLOIT, part, &location, why);
        }
    }
    for (_, stream) in file.streams() {
        // Links ([MS-OLEDS] 2.3.3), their monikers, and the data of controls.
        let name = stream.name.to_ascii_lowercase();
        if name == "\u{1}ole" || name == "\u{3}linkinfo" {
            monikers(&file.read(stream, 64 << 10), part, &file.path(stream), scan);
        } else if name == "contents" || name == "\u{3}ocxdata" {
            control(&file.read(stream, 1 << 20), part, &file.path(stream), scan);
        }
    }
    let has_class = file.entries().iter().any(|entry| EQUATIONS.contains(&entry.clsid));
    for (_, stream) in file.streams().filter(|(_, stream)| !has_class && stream.is_named("Equation Native")) {
        report(&file.read(stream, 1 << 20), part, &file.path(stream), scan);
    }
}

fn formula(file: &CompoundFile<'_>, holder: Option<usize>, part: &Part, location: &str, scan: &mut Scan) {
    if let Some(stream) = file.stream(holder, "Equation Native") {
        report(&file.read(stream, 1 << 20), part, location, scan);
    }
    let native = file
        .streams()
        .map(|(_, stream)| stream)
        .find(|stream| stream.parent == holder && stream.is_named("\u{1}Ole10Native"));
    if let Some(stream) = native {
        let content = file.read(stream, 1 << 20);
        report(content.get(4..).unwrap_or_default(), part, location, scan);
    }
}

fn report(native: &[u8], part: &Part, location: &str, scan: &mut Scan) {
    // What an object of another kind leaves empty is no attack.
    if native.iter().all(|byte| *byte == 0) {
        return;
    }
    if let Some(why) = equation::exploit(native) {
        scan.finding(finding::OBJECT_EXPLOIT, part, location, why);
    }
}

/// Judges an object by the name of its class and its native data.
pub fn native(class: &str, data: &[u8], part: &Part, location: &str, scan: &mut Scan) {
    let class = class.to_ascii_lowercase();
    if class.starts_with("equation") && !data.starts_with(super::cfb::MAGIC) {
        report(data, part, location, scan);
    }
    if let Some((_, why)) = ATTACK_NAMES.iter().find(|(name, _)| class.contains(name)) {
        scan.finding(finding::OBJECT_EXPLOIT, part, location, why);
    }
}

/// Looks for monikers in the data of an object: attacks, and addresses that are loaded.
pub fn monikers(data: &[u8], part: &Part, location: &str, scan: &mut Scan) {
    for (class, why) in ATTACKS {
        if memmem::find(data, class).is_some() {
            scan.finding(finding::OBJECT_EXPLOIT, part, location, why);
        }
    }
    for at in memmem::find_iter(data, &URL_MONIKER).take(16) {
        // The length of the address, and the address in UTF-16 ([MS-OSHARED] 2.3.7.6).
        let units = data.get(at.saturating_add(20)..).unwrap_or_default().chunks_exact(2).take(2048);
        let units =
            units.map(|two| u16::from_le_bytes([two.first().copied().unwrap_or(0), two.get(1).copied().unwrap_or(0)]));
        let address: String = char::decode_utf16(units.take_while(|unit| *unit != 0)).filter_map(Result::ok).collect();
        field::object(&address, "object", part, location, scan);
    }
}

/// Judges the stored data of a control.
pub fn control(data: &[u8], part: &Part, location: &str, scan: &mut Scan) {
    for at in memmem::find_iter(data, b"Cobj").take(16) {
        let size = |offset: usize| {
            let four = data.get(at.saturating_add(offset)..)?.first_chunk::<4>()?;
            Some(u32::from_le_bytes(*four))
        };
        if size(4) == Some(0x64) && size(8).is_some_and(|size| size > MAX_COBJ) {
            scan.finding(finding::OBJECT_EXPLOIT, part, location, "data of a control that overflows");
        }
    }
}

/// Judges octets that are no compound file, because their header is missing or broken.
pub fn loose(data: &[u8], part: &Part, location: &str, scan: &mut Scan) {
    monikers(data, part, location, scan);
    if CONTROLS.iter().any(|class| memmem::find(data, class).is_some()) {
        control(data, part, location, scan);
    }
}
