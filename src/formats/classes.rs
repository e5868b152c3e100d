//! Classes of objects in compound files and rich text, by their ids ([MS-OLEDS], [MS-CFB] 2.6.1): those that
//! are made to attack, those that load from an address, and formulas.

use memchr::memmem;

use super::{activex, equation};
use crate::field;
use crate::finding;
use crate::formats::cfb::{CompoundFile, EntryKind};
use crate::part::Part;
use crate::scan::Scan;

/// Equation Editor 2 and 3: {0002CE02-0000-0000-C000-000000000046}, {0002CE03-…}.
const EQUATIONS: [[u8; 16]; 2] = [office(0x0002_CE02), office(0x0002_CE03)];
/// The URL moniker.
const URL_MONIKER: [u8; 16] = class(0x79EA_C9E0, 0xBAF9, 0x11CE, 0x8C82_00AA_004B_A90B);

/// Classes that no honest document uses by mail, and why.
const ATTACKS: &[([u8; 16], &str)] = &[
    // Runs a scriptlet from an address.
    (class(0x0629_0BD3, 0x48AA, 0x11D2, 0x8432_0060_08C3_FBFC), "a script moniker"),
    (class(0xAE24_FDAE, 0x03C6, 0x11D1, 0x8B76_0080_C744_F389), "a scriptlet"),
    // Compiles what it fetches.
    (class(0xECAB_B0C7, 0x7F19, 0x11D2, 0x978E_0000_F875_7E2A), "a SOAP moniker"),
    (class(0x3050_F4D8, 0x98B5, 0x11CF, 0xBB82_00AA_00BD_CE0B), "an HTML application"),
    // Loads a library without address randomisation.
    (class(0xA08A_033D, 0x1A75, 0x4AB6, 0xA166_EAD0_2F54_7959), "a loader that helps exploits"),
    (class(0x44F9_A03B, 0xA3EC, 0x4F3B, 0x9364_08E0_007F_21DF), "a control of consoles that overflows"),
    // Engines and tools of scripts, which are no objects of documents.
    (class(0xF414_C260, 0x6AC0, 0x11CF, 0xB6D1_00AA_00BB_BB58), "the engine of JScript"),
    (class(0xB54F_3741, 0x5B07, 0x11CF, 0xA4B0_00AA_004A_55E8), "the engine of VBScript"),
    (class(0x72C2_4DD5, 0xD70A, 0x438B, 0x8A42_9842_4B88_AFB8), "WScript.Shell"),
    (class(0xF935_DC22, 0x1CF0, 0x11D0, 0xADB9_00C0_4FD5_8A0B), "WScript.Shell"),
    (class(0x1370_9620, 0xC279, 0x11CE, 0xA49E_4445_5354_0000), "Shell.Application"),
    (class(0x9BA0_5972, 0xF6A8, 0x11CF, 0xA442_00A0_C90A_8F39), "the windows of the shell"),
    (class(0xC08A_FD90, 0xF2A1, 0x11D1, 0x8455_00A0_C91F_3880), "the windows of the shell"),
    (class(0x0D43_FE01, 0xF093, 0x11CF, 0x8940_00A0_C905_4228), "Scripting.FileSystemObject"),
];

/// Names of such classes, lower case.
const ATTACK_NAMES: &[(&str, &str)] = &[
    ("otkloadr.wrassembly", "a loader that helps exploits"),
    ("htafile", "an HTML application"),
    ("scriptletfile", "a scriptlet"),
    ("script:", "a script moniker"),
    ("wscript.shell", "WScript.Shell"),
    ("shell.application", "Shell.Application"),
    ("scripting.filesystemobject", "Scripting.FileSystemObject"),
];

/// Controls that load what somebody else made.
const FOREIGN: &[([u8; 16], &str)] = &[
    (class(0xD27C_DB6E, 0xAE6D, 0x11CF, 0x96B8_4445_5354_0000), "Flash"),
    (class(0x8856_F961, 0x340A, 0x11D0, 0xA96B_00C0_4FD7_05A2), "a web browser"),
    (class(0xEAB2_2AC3, 0x30C1, 0x11CF, 0xA7EB_0000_C05B_AE0B), "a web browser"),
];

/// Names of such classes, lower case.
const FOREIGN_NAMES: &[(&str, &str)] = &[("shockwaveflash.", "Flash"), ("shell.explorer", "a web browser")];

/// Controls whose data is copied without a check of its length: ListView and TreeView of MSCOMCTL 6.
const CONTROLS: [[u8; 16]; 2] = [
    class(0xBDD1_F04B, 0x858B, 0x11D1, 0xB16A_00C0_F028_3628),
    class(0xC741_90B6, 0x8589, 0x11D1, 0xB16A_00C0_F028_3628),
];
/// Longest "Cobj" block that an honest control stores.
const MAX_COBJ: u32 = 8;

/// {XXXXXXXX-0000-0000-C000-000000000046} as stored.
const fn office(first: u32) -> [u8; 16] {
    class(first, 0, 0, 0xC000_0000_0000_0046)
}

/// A class id as it is stored ([MS-DTYP] 2.3.4.2): three numbers with the low octet first, then eight octets.
const fn class(first: u32, second: u16, third: u16, rest: u64) -> [u8; 16] {
    let ([a, b, c, d], [e, f], [g, h]) = (first.to_le_bytes(), second.to_le_bytes(), third.to_le_bytes());
    let [i, j, k, l, m, n, o, p] = rest.to_be_bytes();
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}

/// A class id as XML has it, `{8-4-4-4-12}`, as it is stored.
pub fn parse(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let others = text.chars().filter(|c| !c.is_ascii_hexdigit()).all(|c| matches!(c, '{' | '}' | '-' | ' '));
    let number = |range: std::ops::Range<usize>| u64::from_str_radix(digits.get(range)?, 16).ok();
    if digits.len() != 32 || !others {
        return None;
    }
    let (second, third) = (u16::try_from(number(8..12)?).ok()?, u16::try_from(number(12..16)?).ok()?);
    Some(class(u32::try_from(number(0..8)?).ok()?, second, third, number(16..32)?))
}

/// Judges an object or control by its class. Whether it plays Flash.
pub fn known(id: &[u8; 16], part: &Part, location: &str, scan: &mut Scan) -> bool {
    if let Some((_, why)) = ATTACKS.iter().find(|(class, _)| class == id) {
        scan.finding(finding::OBJECT_EXPLOIT, part, location, why);
    }
    let foreign = FOREIGN.iter().find(|(class, _)| class == id);
    if let Some((_, what)) = foreign {
        scan.finding(finding::ACTIVE_CONTROL, part, location, what);
    }
    foreign.is_some_and(|(_, what)| *what == "Flash")
}

/// Judges an object or control by the name of its class, or by octets among which that stands.
pub fn named(octets: &[u8], part: &Part, location: &str, scan: &mut Scan) {
    let lower = octets.to_ascii_lowercase();
    let find = |list: &'static [(&str, &str)]| {
        list.iter().find(|(name, _)| memmem::find(&lower, name.as_bytes()).is_some()).map(|(_, what)| *what)
    };
    if let Some(why) = find(ATTACK_NAMES) {
        scan.finding(finding::OBJECT_EXPLOIT, part, location, why);
    }
    if let Some(what) = find(FOREIGN_NAMES) {
        scan.finding(finding::ACTIVE_CONTROL, part, location, what);
    }
}

/// Judges the classes of the storages of a file, and its formulas.
pub fn examine(file: &CompoundFile<'_>, part: &Part, scan: &mut Scan) {
    for (index, entry) in file.entries().iter().enumerate() {
        let location = file.path(entry);
        if EQUATIONS.contains(&entry.clsid) {
            let holder = if entry.kind == EntryKind::Root { None } else { Some(index) };
            formula(file, holder, part, &location, scan);
        }
        known(&entry.clsid, part, &location, scan);
    }
    for (_, stream) in file.streams() {
        // Links ([MS-OLEDS] 2.3.3), their monikers, and the data of controls.
        let name = stream.name.to_ascii_lowercase();
        if name == "\u{1}ole" || name == "\u{3}linkinfo" {
            monikers(&file.read(stream, 64 << 10), part, &file.path(stream), scan);
        } else if ["contents", "\u{3}ocxdata", "ctls"].contains(&name.as_str()) {
            let data = file.read(stream, scan.room());
            control(&data, part, &file.path(stream), scan);
            activex::films(&data, part, scan);
        } else if ["workbook", "book"].contains(&name.as_str()) {
            activex::of_sheets(&file.read(stream, scan.room()), part, scan);
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
    let is_formula = class.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("equation"));
    if is_formula && !data.starts_with(super::cfb::MAGIC) {
        report(data, part, location, scan);
    }
    named(class.as_bytes(), part, location, scan);
}

/// Looks for monikers in the data of an object: attacks, and addresses that are loaded.
pub fn monikers(data: &[u8], part: &Part, location: &str, scan: &mut Scan) {
    for (class, why) in ATTACKS {
        if memmem::find(data, class).is_some() {
            scan.finding(finding::OBJECT_EXPLOIT, part, location, why);
        }
    }
    for address in addresses(data) {
        field::object(&address, "object", part, location, scan);
    }
}

/// The addresses of the URL monikers in some octets: the class, the length of the address, the address in UTF-16
/// ([MS-OSHARED] 2.3.7.6).
pub fn addresses(data: &[u8]) -> impl Iterator<Item = String> {
    memmem::find_iter(data, &URL_MONIKER).take(16).map(|at| {
        let units = data.get(at.saturating_add(20)..).unwrap_or_default().chunks_exact(2).take(2048);
        let units = units.filter_map(|two| two.try_into().ok().map(u16::from_le_bytes));
        char::decode_utf16(units.take_while(|unit| *unit != 0)).filter_map(Result::ok).collect()
    })
}

/// Whether controls of this class copy their data without a check of its length.
pub fn overflows(id: &[u8; 16]) -> bool {
    CONTROLS.contains(id)
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
    for (class, what) in FOREIGN {
        if memmem::find(data, class).is_some() {
            scan.finding(finding::ACTIVE_CONTROL, part, location, what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_ids_are_read_as_they_are_stored() {
        let moniker = [0xE0, 0xC9, 0xEA, 0x79, 0xF9, 0xBA, 0xCE, 0x11, 0x8C, 0x82, 0, 0xAA, 0, 0x4B, 0xA9, 0x0B];
        assert_eq!(parse("{79EAC9E0-BAF9-11CE-8C82-00AA004BA90B}"), Some(moniker));
        assert_eq!(parse(" 79eac9e0-baf9-11ce-8c82-00aa004ba90b"), Some(URL_MONIKER));
        for text in
            ["", "{79EAC9E0}", "{79EAC9E0-BAF9-11CE-8C82-00AA004BA90B0}", "clsid:79EAC9E0-BAF9-11CE-8C82-00AA004BA90"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
