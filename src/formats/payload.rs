//! Files that a document carries to be opened from within: whether a double click on one runs it.

use memchr::memmem;

use crate::filetype::{self, Class, FileType, TypeSet};
use crate::finding::{self, FindingId};
use crate::formats::naming;
use crate::part::{Name, Part, extension};
use crate::scan::Scan;

/// Octets at the start of a text that are looked at for what scripts say.
const HEAD: usize = 64 << 10;

/// What scripts say that no letter does, lower case. One is enough where the file is nothing else.
const WORDS: &[&[u8]] = &[
    b"wscript.",
    b"createobject(",
    b"activexobject",
    b"<hta:application",
    b"<job",
    b"@echo off",
    b"powershell",
    b"cmd /c",
    b"cmd.exe",
    b"invoke-",
    b"rundll32",
    b"curl ",
    b"<script",
    b"%comspec%",
];

/// Says so if a double click on a file within a document would run it.
pub fn embedded(names: &[Name], bytes: &[u8], part: &Part, location: &str, scan: &mut Scan) {
    let types = filetype::detect(bytes);
    if let Some(why) = runs(names, bytes, types) {
        let shown = names.first().map_or(why.clone(), |name| format!("{}, {why}", name.text));
        scan.finding(kind(names, types), part, location, &shown);
    }
}

/// Firms mail a manual with its program in it; a shortcut or script within a document is there to be clicked
/// by somebody who takes it for a document. Words of a text alone may be those of a letter about scripts.
fn kind(names: &[Name], types: TypeSet) -> FindingId {
    let is_script = types.iter().any(|known| known == FileType::Lnk || known.class() == Class::Script)
        || names.iter().filter_map(|name| extension(&name.text)).any(|extension| naming::is_script(&extension));
    if is_script { finding::EMBEDDED_SCRIPT } else { finding::EMBEDDED_PROGRAM }
}

/// Why a double click would run the file, if it would: its type, its name, or what its text says.
pub fn runs(names: &[Name], bytes: &[u8], types: TypeSet) -> Option<String> {
    let classes = [Class::Program, Class::Script, Class::Shortcut];
    if let Some(known) = types.iter().find(|known| classes.contains(&known.class())) {
        return Some(known.name().to_owned());
    }
    let named = names.iter().filter_map(|name| extension(&name.text)).find(|extension| naming::runs(extension));
    if let Some(extension) = named {
        return Some(format!(".{extension}"));
    }
    let plain = [FileType::Html, FileType::Text, FileType::Xml].iter().any(|plain| types.has(*plain));
    (plain && !types.has_class(Class::Document)).then(|| script(bytes)).flatten()
}

/// A word that makes a text a script.
fn script(bytes: &[u8]) -> Option<String> {
    let head = bytes.get(..HEAD).unwrap_or(bytes);
    // UTF-16 is read by its low octets.
    let text: Vec<u8> = head.iter().filter(|byte| **byte != 0).map(u8::to_ascii_lowercase).collect();
    let found = WORDS.iter().find(|word| memmem::find(&text, word).is_some())?;
    Some(String::from_utf8_lossy(found).trim().to_owned())
}
