//! Archives without passwords through the whole scan: whatever they claim, what is in them comes out, under its
//! name; what could not be read is said.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use sekisho::knowledge::Knowledge;
use sekisho::limits::Limits;
use sekisho::scan::{Input, PartReport, Report, Stop, scan};

use crate::common::archives::{all, arj, cab, gzip, lzh, tar, tar_header, tar_member};
use crate::common::require_tool;
use crate::common::samples::{macro_document, with_files};
use crate::common::{ooxml, rar, sevenz};
use crate::fuzz::targets::check;

fn report(name: &str, bytes: Vec<u8>) -> Report {
    let limits = Limits::default();
    let size = bytes.len();
    let report = scan(Input::file(bytes, name), &limits, &Knowledge::default(), &Stop::default());
    check(&report, &limits, size);
    report
}

fn has(report: &Report, id: &str) -> bool {
    report.findings.iter().any(|finding| finding.id.as_str() == id)
}

fn uninspected(report: &Report) -> bool {
    report.findings.iter().any(|finding| finding.id.kind().reason.is_some())
}

fn part<'a>(report: &'a Report, name: &str) -> Option<&'a PartReport> {
    report
        .parts
        .iter()
        .find(|part| part.names.iter().any(|known| known == name || known.ends_with(&format!("/{name}"))))
}

#[test]
fn a_macro_document_is_found_in_every_layout() {
    for (name, bytes) in all("invoice.docm", &macro_document()) {
        let report = report(name, bytes);
        let part = part(&report, "invoice.docm").unwrap_or_else(|| panic!("{name}: {:?}", report.parts));
        let path = match name {
            "a.tgz" => "1/1/1",
            // A ZIP archive behind a header: readers of that look at its end, and see its macros.
            "a.cab" => "1/2",
            _ => "1/1",
        };
        assert_eq!(part.path.to_string(), path, "{name}: {:?}", report.parts);
        assert!(has(&report, "vba-autoexec") && !uninspected(&report), "{name}: {:?}", report.findings);
    }
}

#[test]
fn honest_archives_say_nothing() {
    for (name, bytes) in all("notes.txt", b"Nothing but a text.\n") {
        let report = report(name, bytes);
        assert!(report.findings.is_empty(), "{name}: {:?}", report.findings);
    }
}

#[test]
fn names_of_lzh_are_japanese() {
    for level in 0..4 {
        let report = report("a.lzh", lzh(level, b"\x90\xbf\x8b\x81\x8f\x91.txt", b"text"));
        assert!(part(&report, "請求書.txt").is_some(), "level {level}: {:?}", report.parts);
    }
}

#[test]
fn what_is_cut_or_lies_is_told_and_read_as_far_as_it_goes() {
    let content = macro_document();
    for (name, bytes) in all("a.docm", &content) {
        let cut = bytes[..bytes.len() - content.len() / 3 - 1100].to_vec();
        let report = report(name, cut);
        assert!(uninspected(&report), "{name}: {:?}", report.findings);
        assert!(report.parts.len() > 1, "{name}: {:?}", report.parts);
    }
}

#[test]
fn a_broken_header_hides_nobody_behind_it() {
    let mut bytes = [tar_member(b"a.txt", b'0', b"text", true), tar("b.docm", &macro_document())].concat();
    bytes[150] = b'7';
    let damaged = report("a.tar", bytes);
    assert!(part(&damaged, "b.docm").is_some() && has(&damaged, "damaged"), "{:?}", damaged.findings);
    // A size that reaches over the others, and links with a size.
    for (kind, size) in [(b'0', &b"77777777777\0"[..]), (b'2', b"00000100000\0"), (b'0', &[0xff; 12])] {
        let bytes = [tar_header(b"a.txt", kind, size, true), tar("b.docm", &macro_document())].concat();
        let report = report("a.tar", bytes);
        assert!(part(&report, "b.docm").is_some() && uninspected(&report) | (kind == b'2'), "{:?}", report.findings);
    }
    let bytes = [lzh(1, b"a.txt", b"text"), b"junk".to_vec(), lzh(2, b"b.docm", &macro_document())].concat();
    assert!(part(&report("a.lzh", bytes), "b.docm").is_some());
}

#[test]
fn programs_that_unpack_themselves_are_opened() {
    let program = [&b"MZ"[..], &[0; 62], b"This program cannot be run in DOS mode", &[1; 3000]].concat();
    for (name, archive) in
        [("a.exe", cab("a.docm", &macro_document(), true)), ("b.exe", lzh(1, b"a.docm", &macro_document()))]
    {
        let report = report(name, [&program[..], &archive].concat());
        assert!(part(&report, "a.docm").is_some() && has(&report, "vba-autoexec"), "{name}: {:?}", report.findings);
    }
}

#[test]
fn what_follows_a_gzip_is_looked_at() {
    let bytes = [gzip(None, b"text"), gzip(None, b" more"), vec![0; 512], tar("b.docm", &macro_document())].concat();
    let report = report("a.txt.gz", bytes);
    assert_eq!(report.parts[1].size, 9);
    assert!(part(&report, "b.docm").is_some(), "{:?}", report.parts);
}

#[test]
fn bombs_cost_little_and_are_told() {
    let zeros = vec![0; 200 << 20];
    let many = tar_member(b"a", b'0', b"", true).repeat(100_000);
    let folders = tar_member(b"a/", b'5', b"", true).repeat(100_000);
    let mut counts = cab("a.txt", b"text", false);
    counts[26..30].fill(0xff);
    let mut nested = b"text".to_vec();
    for _ in 0..40 {
        nested = gzip(None, &nested);
    }
    let cases = [
        ("a.gz", gzip(None, &zeros), true),
        ("many.tar", many, true),
        ("folders.tar", folders, false),
        ("a.cab", counts, true),
        ("nested.gz", nested, true),
        ("empty.gz", gzip(None, b"").repeat(100_000), true),
        ("a.lzh", b"\x30\0-lh5-".repeat(100_000), false),
        ("a.arj", [arj("a.txt", b"text"), b"\x60\xea\xff\x01".repeat(1_000_000)].concat(), true),
    ];
    for (name, bytes, told) in cases {
        let start = Instant::now();
        let report = report(name, bytes);
        assert!(start.elapsed() < Duration::from_secs(20), "{name} takes {:?}", start.elapsed());
        assert_eq!(uninspected(&report), told, "{name}: {:?}", report.findings);
    }
}

#[test]
fn mutants_bring_nothing_down() {
    let mut random = fastrand::Rng::with_seed(7);
    for (name, bytes) in all("a.docm", &macro_document()) {
        for _ in 0..150 {
            let mut mutant = bytes.clone();
            for _ in 0..random.usize(1..6) {
                // Mostly where the headers are.
                let most = if random.bool() { mutant.len() } else { mutant.len().min(700) };
                mutant[random.usize(..most)] = random.u8(..);
            }
            report(name, mutant);
        }
    }
}

/// Packs `a.docm` in a folder by a program, and looks for it.
fn packed_by(program: &str, arguments: &[&str], archive: &str) {
    let Some(tool) = require_tool(program) else { return };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.docm"), macro_document()).unwrap();
    let run = Command::new(tool).args(arguments).current_dir(folder.path()).output().unwrap();
    let file: &Path = &folder.path().join(archive);
    let bytes = std::fs::read(file).unwrap_or_else(|error| panic!("{program}: {error}, {run:?}"));
    let report = report(archive, bytes);
    assert!(part(&report, "a.docm").is_some(), "{program}: {:?}", report.parts);
    assert!(has(&report, "vba-autoexec") && !uninspected(&report), "{program}: {:?}", report.findings);
}

#[test]
fn what_the_usual_programs_pack_is_opened() {
    packed_by("gzip", &["a.docm"], "a.docm.gz");
    packed_by("bzip2", &["a.docm"], "a.docm.bz2");
    packed_by("xz", &["-9", "a.docm"], "a.docm.xz");
    packed_by("xz", &["--format=lzma", "a.docm"], "a.docm.lzma");
    packed_by("zstd", &["--ultra", "-22", "--long=27", "a.docm"], "a.docm.zst");
    packed_by("tar", &["-czf", "a.tgz", "a.docm"], "a.tgz");
    packed_by("tar", &["--format=v7", "-cf", "a.tar", "a.docm"], "a.tar");
    packed_by("tar", &["--format=pax", "-cJf", "a.txz", "a.docm"], "a.txz");
}

#[test]
fn what_the_programs_of_old_pack_is_opened() {
    packed_by("jlha", &["ao5", "a.lzh", "a.docm"], "a.lzh");
    packed_by("jlha", &["ao6", "a.lzh", "a.docm"], "a.lzh");
    packed_by("jlha", &["ao7", "a.lzh", "a.docm"], "a.lzh");
    packed_by("jlha", &["a0", "a.lzh", "a.docm"], "a.lzh");
    packed_by("jlha", &["a1", "a.lzh", "a.docm"], "a.lzh");
    packed_by("arj", &["a", "a.arj", "a.docm"], "a.arj");
    packed_by("gcab", &["-c", "a.cab", "a.docm"], "a.cab");
    packed_by("gcab", &["-cz", "a.cab", "a.docm"], "a.cab");
}

/// A mail with these files.
fn mail(files: &[(String, Vec<u8>)]) -> Report {
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let message = with_files("Files", &files);
    let (limits, size) = (Limits::default(), message.len());
    let report = scan(Input::message(message), &limits, &Knowledge::default(), &Stop::default());
    check(&report, &limits, size);
    report
}

/// A file in so many pieces, each with a name that has its number, the last one first.
fn in_pieces(bytes: &[u8], count: usize, name: impl Fn(usize) -> String) -> Vec<(String, Vec<u8>)> {
    let pieces = bytes.chunks(bytes.len().div_ceil(count)).zip(1..).map(|(piece, n)| (name(n), piece.to_vec()));
    let mut pieces: Vec<_> = pieces.collect();
    pieces.reverse();
    pieces
}

#[test]
fn files_in_pieces_are_joined_wherever_they_lie_together() {
    let archive = sevenz::write(&[("invoice.docm", &macro_document())], &sevenz::PLAIN);
    let pieces = in_pieces(&archive, 3, |n| format!("a.7z.{n:03}"));
    let report = mail(&pieces);
    assert_eq!(part(&report, "invoice.docm").map(|part| part.path.to_string()).as_deref(), Some("5/1"));
    assert_eq!(part(&report, "a.7z").map(|part| part.sha256.clone()), Some(sekisho::scan::sha256(&archive)));
    assert!(has(&report, "vba-autoexec") && !uninspected(&report), "{:?}", report.findings);

    let zipped: Vec<ooxml::Member<'_>> =
        pieces.iter().map(|(name, bytes)| ooxml::Member { name, bytes: bytes.clone() }).collect();
    let report = mail(&[("b.zip".to_owned(), ooxml::zip(&zipped))]);
    assert_eq!(part(&report, "invoice.docm").map(|part| part.path.to_string()).as_deref(), Some("2/4/1"));
    assert!(!uninspected(&report), "{:?}", report.findings);

    // Without a piece there is no whole, and that is said.
    let report = mail(&pieces[..2]);
    assert!(part(&report, "invoice.docm").is_none());
    assert!(report.findings.iter().any(|found| found.evidence == "a.7z.001 is missing"), "{:?}", report.findings);
    let report = mail(&pieces[1..]);
    assert!(part(&report, "invoice.docm").is_none() && has(&report, "damaged"), "{:?}", report.findings);
}

#[test]
fn split_zip_archives_are_joined() {
    let archive = ooxml::zip(&[ooxml::Member { name: "invoice.docm", bytes: macro_document() }]);
    // A mark in front says that it is one of several (APPNOTE 8.5.4).
    let split = [b"PK\x07\x08", archive.as_slice()].concat();
    let pieces = in_pieces(&split, 4, |n| if n == 4 { "a.zip".to_owned() } else { format!("a.z{n:02}") });
    let report = mail(&pieces);
    // The first piece alone holds a part of it.
    let whole = report.parts.iter().find(|part| part.path.to_string() == "6/1").unwrap();
    assert_eq!((whole.names[0].as_str(), &whole.sha256), ("invoice.docm", &sekisho::scan::sha256(&macro_document())));
    assert!(has(&report, "vba-autoexec") && !uninspected(&report), "{:?}", report.findings);
    assert!(uninspected(&mail(&pieces[1..])));
    assert!(uninspected(&mail(&pieces[..3])));
}

#[test]
fn nothing_hides_behind_a_name_of_a_piece() {
    let locked =
        sevenz::write(&[("a.txt", b"a")], &sevenz::Written { password: Some("nobody tells it"), ..sevenz::PLAIN });
    for other in [b"junk".to_vec(), ooxml::zip(&[ooxml::Member { name: "b.txt", bytes: b"b".to_vec() }])] {
        let report = mail(&[("a.zip".to_owned(), locked.clone()), ("a.z01".to_owned(), other)]);
        assert!(has(&report, "archive-encrypted"), "{:?}", report.findings);
    }
}

#[test]
fn volumes_of_rar_are_joined() {
    let document = macro_document();
    let how = rar::Written { packed: false, volumes: 3, ..rar::FIVE };
    for name in [
        |n: usize| format!("a.part{n}.rar"),
        |n: usize| if n == 1 { "a.rar".to_owned() } else { format!("a.r{:02}", n - 2) },
    ] {
        let mut files: Vec<(String, Vec<u8>)> =
            (1..).map(name).zip(rar::write(&[rar::file("invoice.docm", &document)], &how)).collect();
        files.reverse();
        let report = mail(&files);
        let whole = report.parts.iter().find(|part| part.sha256 == sekisho::scan::sha256(&document)).unwrap();
        assert_eq!((whole.path.to_string().as_str(), whole.names[0].as_str()), ("5/1", "invoice.docm"));
        assert!(has(&report, "vba-autoexec") && !uninspected(&report), "{:?}", report.findings);
        for missing in 0..3 {
            let mut some = files.clone();
            some.remove(missing);
            assert!(uninspected(&mail(&some)), "{missing}");
        }
    }
}

#[test]
fn pieces_larger_than_a_file_may_be_are_told() {
    let files = [("a.7z.001", vec![1; 60_000]), ("a.7z.002", vec![2; 60_000])];
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
    let message = with_files("Files", &files);
    let limits = Limits { max_file_size: message.len() as u64 - 60_000, ..Limits::default() };
    let report = scan(Input::message(message), &limits, &Knowledge::default(), &Stop::default());
    assert!(has(&report, "limit-exceeded"), "{:?}", report.findings);
}
