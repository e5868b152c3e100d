//! Files that a document carries to be opened from within: whether a double click on one runs it.

use memchr::memmem;

use crate::filetype::{Class, FileType, TypeSet};
use crate::formats::naming;
use crate::part::{Name, extension};

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
