//! OneNote sections ([MS-ONESTORE]): the files attached to their pages, and the text.
//!
//! Attached files stand in FileDataStoreObject structures (2.6.13), which are searched by their header: the
//! lists that lead there end at the first wrong reference. Names stand apart from them, in the property
//! EmbeddedFileName ([MS-ONE] 2.3.73); they are found as runs of UTF-16 that are file names.

use memchr::memmem;

use crate::filetype::{self, Class, FileType};
use crate::finding;
use crate::formats::blip::{self, Blip};
use crate::formats::{Format, naming, payload};
use crate::limits::Limit;
use crate::lure;
use crate::part::{Name, Origin, Part, extension};
use crate::reader::Reader;
use crate::scan::{Child, Scan};

/// Sections of notebooks.
pub const FORMAT: Format = Format { name: "onenote", walled: true, accepts, examine };

/// {BDE316E7-2665-4511-A4C4-8D4D0B7A9EAC}, guidHeader of FileDataStoreObject.
const HEADER: [u8; 16] =
    [0xE7, 0x16, 0xE3, 0xBD, 0x65, 0x26, 0x11, 0x45, 0xA4, 0xC4, 0x8D, 0x4D, 0x0B, 0x7A, 0x9E, 0xAC];
/// guidHeader, cbLength, unused, reserved.
const HEADER_SIZE: usize = 36;
/// Text that is kept for comparison with lures.
const MAX_TEXT: usize = 4 << 20;
/// Names that are kept: a page has a handful of attachments.
const MAX_NAMES: usize = 256;
/// Shortest run of characters that is text.
const SHORTEST: usize = 4;

fn accepts(part: &Part) -> bool {
    part.types.has(FileType::OneNote) || memmem::find(&part.bytes, &HEADER).is_some()
}

fn examine(part: &Part, scan: &mut Scan) {
    let objects = objects(&part.bytes);
    let (text, names) = text(&part.bytes, &objects);
    let mut attached = Vec::new();
    let mut has_picture = false;
    let mut blips = Vec::new();
    for (start, end, is_whole) in objects {
        if !is_whole {
            scan.finding(finding::DAMAGED, part, &start.to_string(), "an attached file is cut off");
        }
        let bytes = part.bytes.slice(start..end);
        let types = filetype::detect(&bytes);
        if types.has_class(Class::Media) && !types.has_class(Class::Program) && !types.has_class(Class::Document) {
            has_picture = true;
            blips.push(Blip { octets: part.bytes.get(start..end).unwrap_or_default(), is_dib: false });
            scan.spend(bytes.len() as u64);
        } else if !bytes.is_empty() {
            attached.push((bytes, types));
        }
    }
    // Names and files stand in the same order, but only where each has one is it known which is whose.
    let known = names.len() == attached.len();
    let running = names.iter().find(|name| extension(name).is_some_and(|extension| naming::runs(&extension)));
    let mut said = false;
    for (n, (bytes, types)) in attached.iter().enumerate() {
        if scan.stopped() || scan.is_full() {
            break;
        }
        if bytes.len() as u64 > scan.room() {
            scan.limit(part, Limit::FileSize);
            continue;
        }
        let names: Vec<Name> = names.get(n).filter(|_| known).map(Name::plain).into_iter().collect();
        let why = payload::runs(&names, bytes, *types);
        // One of these files has the name, and this one is nothing else that is known.
        let nothing_else = types.has(FileType::Text) || types.has(FileType::Data) || types.has(FileType::Html);
        let why = why.or_else(|| running.filter(|_| !known && nothing_else).cloned());
        if let Some(why) = why {
            let shown = names.first().map_or(why.clone(), |name| format!("{}, {why}", name.text));
            scan.finding(finding::ONENOTE_PROGRAM, part, &n.to_string(), &shown);
            said = true;
        }
        scan.child(part, Origin::Embedded, Child { names, bytes: bytes.clone(), ..Child::default() });
    }
    if !attached.is_empty() && has_picture && !said {
        scan.finding(finding::ONENOTE_ATTACHMENT, part, "", &names.join(", "));
    }
    blip::note_all(blips, part, "", scan);
    lure::document_text(scan, part, &text);
}

/// Where the attached files stand, in the order of the file, and whether each is whole.
fn objects(bytes: &[u8]) -> Vec<(usize, usize, bool)> {
    let mut found: Vec<(usize, usize, bool)> = Vec::new();
    for at in memmem::find_iter(bytes, &HEADER) {
        match found.last_mut() {
            // What stands within an attached file is its own business.
            Some((_, end, true)) if at < *end => continue,
            // One that is cut off ends where the next begins, so that no octet belongs to two.
            Some((start, end, false)) => *end = at.max(*start),
            _ => {}
        }
        let Some(length) = at.checked_add(16).and_then(|at| Reader::at(bytes, at)?.u64()) else { continue };
        let start = at.saturating_add(HEADER_SIZE).min(bytes.len());
        let claimed = usize::try_from(length).ok().and_then(|length| start.checked_add(length));
        let end = claimed.unwrap_or(usize::MAX).min(bytes.len());
        found.push((start, end, claimed.is_some_and(|end| end <= bytes.len())));
    }
    found
}

/// The text outside of the attached files, and the names of files in it.
fn text(bytes: &[u8], objects: &[(usize, usize, bool)]) -> (String, Vec<String>) {
    let (mut text, mut names) = (String::new(), Vec::new());
    let mut from = 0_usize;
    let ends = objects.iter().map(|(start, end, _)| (*start, *end)).chain([(bytes.len(), bytes.len())]);
    for (start, end) in ends {
        let between = bytes.get(from..start).unwrap_or_default();
        for is_wide in [true, false] {
            runs(between, is_wide, &mut |run| {
                if text.len() < MAX_TEXT {
                    text.push_str(run);
                    text.push('\n');
                }
                if is_wide
                    && let Some(name) = file_name(run)
                    && names.len() < MAX_NAMES
                    && !names.contains(&name)
                {
                    names.push(name);
                }
            });
        }
        from = from.max(end);
    }
    (text, names)
}

/// Hands over every run of readable characters.
fn runs(bytes: &[u8], is_wide: bool, take: &mut dyn FnMut(&str)) {
    let mut run = String::new();
    let mut flush = |run: &mut String| {
        if run.chars().count() >= SHORTEST {
            take(run);
        }
        run.clear();
    };
    let mut rest = bytes;
    while let [first, left @ ..] = rest {
        let (c, size) = if is_wide {
            let unit = left.first().map_or(0, |second| u16::from_le_bytes([*first, *second]));
            // A low octet of nothing means that the string does not start here.
            (char::from_u32(u32::from(unit)).filter(|c| *first != 0 && is_text(*c)), 2)
        } else {
            (Some(char::from(*first)).filter(|c| c.is_ascii() && is_text(*c)), 1)
        };
        if let Some(c) = c {
            run.push(c);
            rest = rest.get(size..).unwrap_or_default();
        } else {
            flush(&mut run);
            // Strings need not stand at even places.
            rest = left;
        }
    }
    flush(&mut run);
}

/// Letters as mail has them: other planes of Unicode are chance among binary data.
fn is_text(c: char) -> bool {
    matches!(c, ' '..='~' | '\t' | '\u{a0}'..='\u{17f}' | '\u{370}'..='\u{52f}' | '\u{2010}'..='\u{203a}'
        | '\u{3000}'..='\u{30ff}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' | '\u{ff01}'..='\u{ff9f}')
}

/// The run, if it is the name of a file that could have been attached.
fn file_name(run: &str) -> Option<String> {
    const KINDS: &[&str] = &[
        "pdf", "doc", "docx", "docm", "xls", "xlsx", "xlsm", "xlsb", "ppt", "pptx", "rtf", "txt", "csv", "zip", "html",
        "htm", "svg", "iso", "img", "one", "msg", "eml", "rar", "7z", "cab", "xml", "dat", "mht",
    ];
    let run = run.trim();
    let name = run.rsplit(['\\', '/']).next()?;
    let kind = extension(name)?;
    let is_name = name.chars().count() <= 120
        && !name.contains(['<', '>', '"', '|', '*', '?'])
        && kind.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && (naming::runs(&kind) || KINDS.contains(&kind.as_str()));
    is_name.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knowledge::Knowledge;
    use crate::limits::Limits;
    use crate::scan::{Input, Report, Stop, scan};
    use crate::verdict::{Level, judge};

    const MAGIC: &[u8] = b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3";

    fn wide(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    /// A section with these names and attached files.
    fn section(names: &[&str], files: &[&[u8]]) -> Vec<u8> {
        let mut out = [MAGIC, &[0; 1008]].concat();
        for name in names {
            out.extend([wide(name).as_slice(), &[0; 5]].concat());
        }
        for file in files {
            out.extend(HEADER);
            out.extend((file.len() as u64).to_le_bytes());
            out.extend([&[0; 12], *file, &[0; 7]].concat());
        }
        out
    }

    fn look(bytes: Vec<u8>) -> Report {
        scan(Input::file(bytes, "a.one"), &Limits::default(), &Knowledge::default(), &Stop::default())
    }

    fn level(bytes: Vec<u8>) -> Level {
        judge(&look(bytes)).level
    }

    #[test]
    fn an_attached_program_or_script_decides() {
        let picture = b"\x89PNG\r\n\x1a\n0000";
        for (name, file) in [
            ("open.hta", &b"<html>hello</html>"[..]),
            ("open.cmd", b"dir"),
            ("a.wsf", b"<package/>"),
            ("a.txt", b"@echo off\r\npowershell x"),
            ("a.dat", b"var a = new ActiveXObject('x');"),
            ("a.dat", b"\x4c\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0\x46"),
        ] {
            assert_eq!(level(section(&[name], &[picture, file])), Level::Malicious, "{name}");
        }
        // It is not known which of two files has the name.
        assert_eq!(level(section(&["run.bat"], &[b"aaaa", b"bbbb"])), Level::Malicious);
    }

    #[test]
    fn honest_sections_are_nothing() {
        for (names, files) in [
            (&[][..], &[][..]),
            (&["notes about setup.exe and others"], &[&b"\x89PNG\r\n\x1a\n0000"[..]]),
            (&["minutes.txt"], &[b"We met on Monday."]),
            (&["a.pdf"], &[b"%PDF-1.7\n"]),
        ] {
            assert!(level(section(names, files)) < Level::Suspicious, "{names:?}");
        }
    }

    #[test]
    fn a_length_that_lies_cuts_and_is_told() {
        let mut bytes = section(&["a.vbs"], &[b"x = 1"]);
        let at = memmem::find(&bytes, &HEADER).unwrap() + 16;
        bytes[at..at + 8].fill(0xFF);
        let report = look(bytes.clone());
        assert!(report.findings.iter().any(|found| found.id == finding::DAMAGED), "{report:?}");
        assert_eq!(level(bytes), Level::Malicious);
    }

    #[test]
    fn attached_files_are_parts_with_their_names() {
        let report = look(section(&["a.vbs"], &[b"x = 1"]));
        assert!(report.parts.iter().any(|part| part.names == ["a.vbs"] && part.size == 5), "{report:?}");
    }
}
