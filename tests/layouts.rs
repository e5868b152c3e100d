//! One file in each wrapping: what starts a program is found in all of them, in its place and under its name, and
//! honest files are flagged in none.

use sekisho::filetype::{Class, FileType};
use sekisho::knowledge::Knowledge;
use sekisho::limits::Limits;
use sekisho::scan::{Input, Report, Stop, scan, sha256};
use sekisho::verdict::{Level, judge};

use crate::common::layouts::{LAYOUTS, Layout, files};

fn look(message: Vec<u8>) -> Report {
    scan(Input::message(message), &Limits::default(), &Knowledge::default(), &Stop::default())
}

fn ids(report: &Report) -> Vec<String> {
    report.findings.iter().map(|finding| format!("{} {}: {}", finding.part, finding.id.id, finding.evidence)).collect()
}

/// Why the file is not where the table says, if it is not.
fn misplaced(layout: &Layout, report: &Report, name: &str, content: &[u8]) -> Option<String> {
    let hash = sha256(content);
    let places: Vec<_> = report.parts.iter().filter(|part| part.sha256 == hash).collect();
    let is_right = places.iter().any(|part| {
        layout.path.split('|').any(|path| path == part.path.to_string())
            && (layout.nameless || part.names.iter().any(|known| known == name))
    });
    let seen: Vec<_> = report.parts.iter().map(|part| format!("{} {:?}", part.path, part.names)).collect();
    (!is_right).then(|| format!("{}: {name} is not at {}: {seen:?} {:?}", layout.what, layout.path, ids(report)))
}

#[test]
fn what_starts_a_program_is_found_in_every_wrapping_and_honest_files_are_flagged_in_none() {
    assert!(LAYOUTS.len() >= 40);
    let [(bad, bad_content), honest @ ..] = files();
    let mut wrong = Vec::new();
    for layout in LAYOUTS {
        let report = look((layout.wrap)(bad, &bad_content));
        wrong.extend(misplaced(layout, &report, bad, &bad_content));
        if judge(&report).level != Level::Malicious {
            wrong.push(format!("{}: {:?} {:?}", layout.what, judge(&report).level, ids(&report)));
        }
        for (name, content) in &honest {
            let report = look((layout.wrap)(name, content));
            wrong.extend(misplaced(layout, &report, name, content));
            let verdict = judge(&report);
            if !layout.odd && (verdict.level >= Level::Suspicious || !verdict.complete) {
                wrong.push(format!("{}: honest {name} is {:?}: {:?}", layout.what, verdict.level, ids(&report)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `docs/wrappings.md`, from the tables.
fn page() -> String {
    let mut page = "# Wrappings\n\n\
        What mail brings files in, as far as Sekisho opens it, at every depth and whatever the file is called. In each of these\n\
        the tests look for a document with macros (found, in its place and under its name) and for honest documents (nothing is\n\
        held against them); *found all the same* means that the wrapping is broken, or odd enough to be told itself.\n\n\
        | Wrapping | |\n|---|---|\n"
        .to_owned();
    for layout in LAYOUTS {
        let remark = match (layout.odd, layout.nameless) {
            (true, _) => "found all the same",
            (false, true) => "keeps no name, or another one",
            (false, false) => "",
        };
        page.push_str(&format!("| {} | {remark} |\n", layout.what));
    }
    page.push_str(
        "\nOpened with a password that the mail tells anywhere (subject, text, quoted text, names, comments and notes in the\n\
         archive), that `passwords` in `config.toml` lists, or that a word of the mail happens to be: ZIP, 7z and RAR archives,\n\
         documents of Office (but not with words that merely happen to be there) and PDF. A PDF that only needs a password to be\n\
         changed is open.\n\n\
         Recognised and told as `container-unsupported`, but not opened: ",
    );
    let unopened = FileType::ALL.iter().filter(|t| t.class() == Class::Unopened);
    let names: Vec<String> = unopened.map(|t| format!("`{}`", t.name())).collect();
    page.push_str(&names.join(", "));
    page.push_str(
        "; in ZIP archives the methods shrink, reduce and implode, and those for media; in RAR archives\n\
         what RAR 1.5 and 2 encrypted.\n",
    );
    page
}

#[test]
fn the_wrappings_are_documented() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/wrappings.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page(), "docs/wrappings.md is not what the tables say; run with UPDATE_DOCS=1");
}
