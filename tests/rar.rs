//! RAR archives through the whole scan.

use std::io::Write;
use std::process::{Command, Stdio};

use sekisho::knowledge::Knowledge;
use sekisho::limits::Limits;
use sekisho::scan::{Input, Report, Stop, scan};

use crate::common::rar::{archive, archives, letter};
use crate::common::require_tool;
use crate::fuzz::targets::check;

const PASSWORD: &str = "infected";

fn look(bytes: Vec<u8>, passwords: &[&str]) -> Report {
    let limits = Limits::default();
    let size = bytes.len();
    let passwords = passwords.iter().map(|text| (*text).to_owned()).collect();
    let knowledge = Knowledge { passwords, ..Knowledge::default() };
    let report = scan(Input::file(bytes, "a.rar"), &limits, &knowledge, &Stop::default());
    check(&report, &limits, size);
    report
}

fn sums(report: &Report) -> Vec<String> {
    report.parts.iter().map(|part| part.sha256.clone()).collect()
}

fn ids(report: &Report) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.id.as_str()).collect()
}

#[test]
fn every_kind_of_archive_is_opened() {
    let letter = sekisho::scan::sha256(letter().as_bytes());
    for (name, bytes) in archives() {
        let report = look(bytes, &["wrong", PASSWORD]);
        assert!(ids(&report).is_empty(), "{name}: {:?}", report.findings);
        let is_stored = name.starts_with("stored");
        assert_eq!(sums(&report).contains(&letter), !is_stored, "{name}: {:?}", report.parts);
    }
}

#[test]
fn names_are_as_they_were_given() {
    for name in ["unicode5", "unicode4"] {
        let report = look(archive(name), &[]);
        let is_there = report.parts.iter().any(|part| part.names.iter().any(|name| name == "請求書.txt"));
        assert!(is_there, "{name}: {:?}", report.parts);
    }
}

#[test]
fn what_no_password_opens_is_told() {
    for name in ["locked5", "locked4", "hidden5", "hidden4", "solidhidden5", "solidhidden4"] {
        let report = look(archive(name), &["wrong"]);
        assert!(ids(&report).contains(&"archive-encrypted"), "{name}: {:?}", report.findings);
        assert!(!ids(&report).contains(&"damaged"), "{name}: {:?}", report.findings);
    }
}

#[test]
fn what_is_cut_or_changed_is_never_clean() {
    for (name, bytes) in
        archives().into_iter().filter(|(name, _)| name.starts_with("plain") || name.starts_with("solid5"))
    {
        // Without the header that only ends the archive, nothing is missing.
        for end in 9..bytes.len() - 30 {
            let report = look(bytes[..end].to_vec(), &[]);
            // Where a header ends, nothing tells that another would follow.
            let parts = report.parts.len();
            assert!(parts > 1 || !ids(&report).is_empty(), "{name} {end}");
        }
        for at in (60..bytes.len() - 30).step_by(7) {
            let mut wrong = bytes.clone();
            wrong[at] ^= 0x55;
            assert!(!ids(&look(wrong, &[])).is_empty(), "{name} {at}");
        }
    }
}

#[test]
fn a_program_that_unpacks_itself_is_opened() {
    let bytes = [b"MZ".to_vec(), vec![0; 5000], archive("plain5")].concat();
    let letter = sekisho::scan::sha256(letter().as_bytes());
    let mut program = bytes;
    program[0x3c] = 0x80;
    program[0x80..0x84].copy_from_slice(b"PE\0\0");
    let report = look(program, &[]);
    assert!(sums(&report).contains(&letter), "{:?} {:?}", report.parts, report.findings);
}

/// What libarchive unpacks is what we unpack.
#[test]
fn bsdtar_unpacks_the_same() {
    require_tool("bsdtar");
    for (name, bytes) in archives() {
        // It does not go on with a solid archive of RAR 4; the checksums there tell.
        if name.contains("locked") || name.contains("hidden") || name == "solid4" {
            continue;
        }
        let mut child = Command::new("bsdtar")
            .args(["-xOf", "-"])
            // In other locales it reads no names that are not ASCII.
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&bytes).unwrap();
        let theirs = child.wait_with_output().unwrap().stdout;
        let report = look(bytes, &[]);
        let ours: u64 = report.parts.iter().skip(1).map(|part| part.size).sum();
        assert_eq!(ours, theirs.len() as u64, "{name}");
    }
}
