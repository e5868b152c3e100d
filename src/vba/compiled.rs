//! Compiled code without the source that belongs to it: source removed, or replaced by something
//! harmless ("stomping"), while Office runs the compiled code. Compiled code is not disassembled;
//! its strings and names stand in it as in the source ([MS-OVBA] 2.3.4.1, 2.3.4.3).

use std::collections::HashSet;

use memchr::memmem;

use super::project::Project;
use super::reach;
use super::token::Source;
use crate::finding;
use crate::part::Part;
use crate::scan::Scan;

/// Octets of compiled code that a module has only if there was source: an empty module has about
/// 800, with some references more.
const COMPILED_CODE: usize = 4000;

/// Strings that a dropper has, whatever else it is.
const STRINGS: &[&str] = &[
    "powershell",
    "cmd.exe",
    "cmd /c",
    "mshta",
    "rundll32",
    "regsvr32",
    "wscript.shell",
    "shell.application",
    "winmgmts",
    "win32_process",
    "msxml2.",
    "winhttp.",
    "adodb.stream",
    "http://",
    "https://",
];

/// Names of functions that start programs or make objects that do.
const RUNNING: &[&str] = &["shell", "createobject", "getobject", "shellexecute", "wscript", "win32_process"];

/// Names of compiled code that are looked for in the source: each costs a pass over it.
const MAX_NAMES: usize = 200;

/// Reports modules without source, or whose compiled code says what no source says; and what the
/// names in compiled code tell of what it does, since nothing else can.
pub fn examine(project: &Project, sources: &[Source<'_>], part: &Part, scan: &mut Scan) {
    let in_source = |string: &str| sources.iter().any(|source| source.lower().contains(string));
    let mut is_hidden = false;
    for module in &project.modules {
        let compiled = module.compiled.to_ascii_lowercase();
        let is_compiled = |string: &str| memmem::find(&compiled, string.as_bytes()).is_some();
        let only_compiled = STRINGS.iter().find(|string| is_compiled(string) && !in_source(string));
        if module.is_cut {
            scan.finding(finding::DAMAGED, part, &module.name, "VBA module cut off");
        }
        let evidence = match only_compiled {
            Some(string) => format!("only the compiled code says {string}"),
            None if !module.source.is_empty() => continue,
            None if module.compiled.len() >= COMPILED_CODE => {
                format!("{} octets of compiled code", module.compiled.len())
            }
            None => {
                scan.finding(finding::DAMAGED, part, &module.name, "VBA module");
                continue;
            }
        };
        is_hidden = true;
        scan.finding(finding::VBA_NO_SOURCE, part, &module.name, &evidence);
    }
    if is_hidden {
        names(project, &in_source, part, scan);
    }
}

/// What the names of the compiled code tell.
fn names(project: &Project, in_source: &dyn Fn(&str) -> bool, part: &Part, scan: &mut Scan) {
    let compiled = project.modules.iter().map(|module| module.compiled.as_slice()).chain([project.names.as_slice()]);
    let mut seen = HashSet::new();
    for word in compiled.flat_map(words) {
        let id = if reach::start(&word, false).is_some() {
            finding::VBA_AUTOEXEC
        } else if RUNNING.contains(&word.as_str()) {
            finding::VBA_RUN_PROGRAM
        } else {
            continue;
        };
        if seen.len() >= MAX_NAMES {
            return;
        }
        if seen.insert(word.clone()) && !in_source(&word) {
            scan.finding(id, part, "compiled code", &word);
        }
    }
}

/// The names that stand in octets, in lower case.
fn words(octets: &[u8]) -> impl Iterator<Item = String> + '_ {
    octets
        .split(|octet| !(octet.is_ascii_alphanumeric() || *octet == b'_'))
        .filter(|word| (5..=40).contains(&word.len()))
        .map(|word| word.iter().map(|octet| char::from(octet.to_ascii_lowercase())).collect())
}
