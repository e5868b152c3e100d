//! 7z archives through the whole scan, beside what 7-Zip itself makes.

use std::process::{Command, Stdio};

use sekisho::knowledge::Knowledge;
use sekisho::limits::Limits;
use sekisho::scan::{Input, Report, Stop, scan};
use sevenz_rust2::EncoderMethod;

use crate::common::sevenz::{PLAIN, Written, write};
use crate::common::soak::honest_docm;
use crate::zip::mail;

fn look_with(bytes: Vec<u8>, passwords: &[&str]) -> Report {
    let passwords = passwords.iter().map(|password| (*password).to_owned()).collect();
    let knowledge = Knowledge { passwords, ..Knowledge::default() };
    scan(Input::file(bytes, "a.7z"), &Limits::default(), &knowledge, &Stop::default())
}

fn look(bytes: Vec<u8>) -> Report {
    look_with(bytes, &[])
}

/// Members with their sizes.
fn members(report: &Report) -> Vec<(String, u64)> {
    let members = report.parts.iter().filter(|part| part.depth == 1);
    members.map(|part| (part.names.first().cloned().unwrap_or_default(), part.size)).collect()
}

/// Findings that say that something was not looked into: id and evidence.
fn missing(report: &Report) -> Vec<(&str, &str)> {
    let missing = report.findings.iter().filter(|finding| finding.id.reason.is_some());
    missing.map(|finding| (finding.id.id, finding.evidence.as_str())).collect()
}

const FILES: &[(&str, &[u8])] = &[("one.txt", b"the first"), ("資料/二.txt", b"the second one"), ("empty.txt", b"")];

fn all() -> Vec<(String, u64)> {
    FILES.iter().map(|(name, content)| ((*name).to_owned(), content.len() as u64)).collect()
}

#[test]
fn members_come_out_of_every_method_solid_or_not() {
    for method in
        [EncoderMethod::COPY, EncoderMethod::LZMA, EncoderMethod::LZMA2, EncoderMethod::BZIP2, EncoderMethod::PPMD]
    {
        for solid in [false, true] {
            let report = look(write(FILES, &Written { method, solid, ..PLAIN }));
            assert_eq!((members(&report), missing(&report)), (all(), vec![]), "{} solid {solid}", method.name());
        }
    }
}

#[test]
fn passwords_open_content_and_names() {
    for encrypt_names in [false, true] {
        for solid in [false, true] {
            let archive = write(FILES, &Written { password: Some("秘密X9"), encrypt_names, solid, ..PLAIN });
            let report = look_with(archive.clone(), &["wrong", "秘密X9"]);
            assert_eq!((members(&report), missing(&report)), (all(), vec![]), "names {encrypt_names} solid {solid}");
            let opened = report.parts.iter().filter(|part| part.opened_by_password == Some(true)).count();
            assert!(opened >= 2, "{opened}");
            let report = look_with(archive, &["wrong"]);
            let [(id, evidence)] = missing(&report)[..] else { panic!("{report:?}") };
            assert_eq!(id, "archive-encrypted");
            assert_eq!(evidence.contains("one.txt"), !encrypt_names, "{evidence}");
            assert_eq!(report.parts[0].closed.iter().any(|name| name == "one.txt"), !encrypt_names);
        }
    }
}

#[test]
fn a_password_told_in_a_japanese_mail_opens_it() {
    let archive =
        write(&[("a.docm", &honest_docm())], &Written { password: Some("Xy7-9kq"), encrypt_names: true, ..PLAIN });
    let message = mail("解凍パスワード：Xy7-9kq", encoding_rs::ISO_2022_JP, &archive, false);
    let report = scan(Input::message(message), &Limits::default(), &Knowledge::default(), &Stop::default());
    assert!(report.parts.iter().any(|part| part.names == ["a.docm"] && part.opened_by_password == Some(true)));
    assert!(report.findings.iter().any(|finding| finding.id.id.starts_with("vba-")), "{:?}", report.findings);
}

#[test]
fn an_archive_behind_a_program_is_opened() {
    let program =
        [b"MZ".to_vec(), vec![0; 58], 64_u32.to_le_bytes().to_vec(), b"PE\0\0".to_vec(), vec![0; 300]].concat();
    let report = look([program, write(FILES, &PLAIN)].concat());
    assert_eq!(members(&report), all());
}

#[test]
fn what_is_cut_or_changed_is_damaged_and_never_silent() {
    let archive = write(FILES, &Written { solid: true, ..PLAIN });
    for length in 0..archive.len() {
        let report = look(archive[..length].to_vec());
        assert!(length < 7 || !missing(&report).is_empty(), "cut at {length}: {report:?}");
    }
    for at in 6..archive.len() {
        let mut changed = archive.clone();
        changed[at] ^= 0x55;
        let report = look(changed);
        assert!(members(&report) == all() || !missing(&report).is_empty(), "changed at {at}: {report:?}");
    }
}

#[test]
fn a_bomb_is_cut_at_the_limit() {
    let zeros = vec![0; 3 << 20];
    let limits = Limits { max_file_size: 1 << 20, ..Limits::default() };
    let archive = write(&[("zeros.bin", &zeros), ("after.txt", b"after")], &PLAIN);
    let report = scan(Input::file(archive, "a.7z"), &limits, &Knowledge::default(), &Stop::default());
    assert!(missing(&report).iter().any(|(id, _)| *id == "limit-exceeded"), "{report:?}");
    assert!(members(&report).contains(&("zeros.bin".to_owned(), 1 << 20)), "its head is looked at");
}

#[test]
fn a_key_that_costs_too_much_is_not_made() {
    let mut archive = write(FILES, &Written { password: Some("x"), ..PLAIN });
    let cipher = [6, 0xf1, 7, 1];
    let Some(at) = archive.windows(4).rposition(|octets| octets == cipher) else { return };
    archive[at + 5] |= 0x3e;
    let report = look_with(archive, &["x"]);
    assert!(!missing(&report).is_empty());
}

/// 7-Zip, if it is installed: `tests/run.sh` does so.
fn by_7zip(arguments: &[&str]) -> Option<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in [("one.txt", b"the first".repeat(500)), ("two.txt", b"the second".repeat(500))] {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    let mut command = Command::new("7z");
    command.current_dir(folder.path()).args(["a", "-bso0", "x.7z"]).args(arguments).args(["one.txt", "two.txt"]);
    let status = command.stdout(Stdio::null()).status().ok()?;
    assert!(status.success());
    Some(std::fs::read(folder.path().join("x.7z")).unwrap())
}

#[test]
fn what_7zip_writes_is_read() {
    let both = [("one.txt".to_owned(), 4500), ("two.txt".to_owned(), 5000)];
    for arguments in [
        &[][..],
        &["-mx=9"],
        &["-m0=PPMd"],
        &["-m0=BZip2"],
        &["-m0=Copy"],
        &["-m0=BCJ2", "-m1=LZMA", "-m2=LZMA", "-m3=LZMA", "-mb0:1", "-mb0s1:2", "-mb0s2:3"],
        &["-pabc"],
        &["-pabc", "-mhe=on"],
        &["-ms=off"],
    ] {
        let Some(archive) = by_7zip(arguments) else { panic!("7z is not installed: apt-get install p7zip-full") };
        let report = look_with(archive, &["abc"]);
        assert_eq!((members(&report), missing(&report)), (both.to_vec(), vec![]), "{arguments:?}");
    }
    let Some(archive) = by_7zip(&["-m0=Deflate"]) else { return };
    let report = look(archive);
    assert!(missing(&report).iter().any(|(id, _)| *id == "container-unsupported"), "{report:?}");
}
