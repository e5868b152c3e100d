//! What other programs take out of an archive, our readers do, too: the same names with the same content.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use sekisho::knowledge::Knowledge;
use sekisho::limits::Limits;
use sekisho::scan::{Input, Stop, scan, sha256};

use crate::common::layouts;
use crate::common::sevenz::{PLAIN, Written, write};
use crate::common::{archives, images, require_tool};

type Members = BTreeSet<(String, String)>;

fn ours(bytes: &[u8]) -> Members {
    let report = scan(Input::file(bytes.to_vec(), "a"), &Limits::default(), &Knowledge::default(), &Stop::default());
    let members = report.parts.iter().filter(|part| part.depth == 1);
    members.map(|part| (part.names.first().cloned().unwrap_or_default(), format!("{:?}", part.sha256))).collect()
}

fn files_below(folder: &Path, prefix: &str, found: &mut Members) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            files_below(&entry.path(), &format!("{name}/"), found);
        } else {
            let content = std::fs::read(entry.path()).unwrap();
            found.insert((name, format!("{:?}", sha256(&content))));
        }
    }
}

/// What a program takes out; `None` if it cannot.
fn theirs(program: &Path, bytes: &[u8]) -> Option<Members> {
    let folder = tempfile::tempdir().unwrap();
    let (archive, out) = (folder.path().join("archive"), folder.path().join("out"));
    std::fs::write(&archive, bytes).unwrap();
    std::fs::create_dir(&out).unwrap();
    let mut command = Command::new(program);
    command.current_dir(&out).env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    match program.file_name().unwrap().to_str().unwrap() {
        "7z" => command.args(["x", "-y", "-bso0", "-bsp0"]).arg(&archive),
        "bsdtar" => command.arg("-xf").arg(&archive),
        _ => command.arg("-qq").arg(&archive),
    };
    let output = command.output().unwrap();
    let mut found = Members::new();
    files_below(&out, "", &mut found);
    output.status.success().then_some(found).filter(|found| !found.is_empty())
}

fn material() -> Vec<(String, Vec<u8>)> {
    const NAMES: [&str; 3] = ["one.txt", "folder/two.txt", "three.bin"];
    let text: Vec<u8> = (0..20_000_u32).flat_map(|n| format!("line {}\n", n * n % 7919).into_bytes()).collect();
    let contents: [&[u8]; 3] = [b"the first", &text, &[0; 70_000]];
    let mut all: Vec<(String, Vec<u8>)> = [0, 8, 9, 12, 14, 93, 95, 98]
        .map(|method| (format!("zip, method {method}"), layouts::zip(method, NAMES[0], &text)))
        .into();
    let files: Vec<(&str, &[u8])> = NAMES.into_iter().zip(contents).collect();
    all.push(("7z".to_owned(), write(&files, &PLAIN)));
    all.push(("7z, solid".to_owned(), write(&files, &Written { solid: true, ..PLAIN })));
    let tars: Vec<Vec<u8>> =
        files.iter().map(|(name, content)| archives::tar_member(name.as_bytes(), b'0', content, true)).collect();
    all.push(("tar".to_owned(), [tars.concat(), vec![0; 1024]].concat()));
    all.push(("cabinet".to_owned(), archives::cab("one.txt", &text, true)));
    all.push(("ISO".to_owned(), images::iso(&[("one.txt", &text), ("two.txt", b"x")], true)));
    all
}

fn agrees(program: &str, at_least: usize) {
    let Some(program) = require_tool(program) else { return };
    let (mut opened, mut wrong) = (0, Vec::new());
    for (what, bytes) in material() {
        let Some(theirs) = theirs(&program, &bytes) else { continue };
        opened += 1;
        let ours = ours(&bytes);
        if ours != theirs {
            wrong.push(format!("{what}: ours {ours:?}, theirs {theirs:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(opened >= at_least, "{} opened {opened}", program.display());
}

#[test]
fn seven_zip_takes_out_the_same() {
    agrees("7z", 10);
}

#[test]
fn libarchive_takes_out_the_same() {
    agrees("bsdtar", 8);
}

#[test]
fn info_zip_takes_out_the_same() {
    agrees("unzip", 2);
}
