//! Disk images through the whole scan: their files come out as from an archive, whatever the image claims.

use std::fs;
use std::process::Command;

use sekisho::knowledge::Knowledge;
use sekisho::limits::Limits;
use sekisho::scan::{Input, Report, Stop, scan};

use crate::common::images::{dynamic_vhd, fixed_vhd, floppy, iso, partitioned, record};
use crate::common::office::{ModuleKind, vba_project};
use crate::common::{ooxml, require_tool};

const NAME: &str = "見積書 2026.docm";

fn document() -> Vec<u8> {
    let code = "Sub AutoOpen()\r\nShell \"calc.exe\"\r\nEnd Sub\r\n";
    ooxml::word(&["Hello"], Some(vba_project(&[("ThisDocument", code, ModuleKind::Document)])))
}

fn look(bytes: &[u8]) -> Report {
    scan(Input::file(bytes.to_vec(), "a.dat"), &Limits::default(), &Knowledge::default(), &Stop::default())
}

fn has(report: &Report, id: &str) -> bool {
    report.findings.iter().any(|finding| finding.id.as_str() == id)
}

/// The document is a child of the image, under this name, once.
fn check(what: &str, image: &[u8], name: &str) {
    let report = look(image);
    let found: Vec<_> = report.parts.iter().filter(|part| part.names.iter().any(|known| known == name)).collect();
    assert_eq!(found.len(), 1, "{what}: {:?} {:?}", report.parts, report.findings);
    assert_eq!((found[0].path.to_string().as_str(), found[0].size), ("1/1", document().len() as u64), "{what}");
    for id in ["carrier-disk-image", "vba-autoexec"] {
        assert!(has(&report, id), "{what}: {id}");
    }
    for id in ["container-unsupported", "damaged", "limit-exceeded", "scan-fault", "name-conflict"] {
        assert!(!has(&report, id), "{what}: {id} {:?}", report.findings);
    }
}

#[test]
fn documents_are_found_in_images_of_every_kind() {
    let document = document();
    let disc = iso(&[(NAME, &document)], true);
    let floppy = floppy(NAME, &document);
    let disk = partitioned(&floppy);
    check("ISO 9660", &iso(&[(NAME, &document)], false), "FILE0.DOC");
    check("Joliet", &disc, NAME);
    check("FAT12", &floppy, NAME);
    check("MBR", &disk, NAME);
    check("fixed VHD", &fixed_vhd(&disk), NAME);
    check("fixed VHD of a disc", &fixed_vhd(&disc), NAME);
    check("dynamic VHD", &dynamic_vhd(&disk, disk.len() as u64), NAME);
    check("dynamic VHD that claims 2 TB", &dynamic_vhd(&disk, 2 << 40), NAME);
    let frame =
        |data: &[u8]| [&b"\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\x02\0\x01"[..], data, &[0; 288]].concat();
    check("raw sectors", &disc.chunks(2048).flat_map(frame).collect::<Vec<_>>(), NAME);
}

#[test]
fn a_shortcut_and_its_library_are_told_as_in_an_archive() {
    let lnk = b"\x4c\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0\x46\0\0\0\0";
    let report = look(&iso(&[("Documents.lnk", lnk), ("x.js", b"WScript.Echo(1)"), ("empty.bat", b"")], true));
    for id in ["carrier-shortcut", "carrier-script"] {
        assert!(has(&report, id), "{id}");
    }
    // What is empty has no place by which its two names could be brought together.
    assert_eq!(report.parts.len(), 5);
    let plain = look(&iso(&[("readme.txt", b"Hello"), ("a.html", b"<html></html>")], true));
    let found: Vec<_> = plain.findings.iter().map(|finding| finding.id.as_str()).collect();
    assert_eq!(found, ["carrier-disk-image"], "an honest disc");
}

#[test]
fn circles_and_lies_end() {
    let mut circle = iso(&[("a.txt", b"hello")], false);
    // A folder that is its own parent, and one more.
    let place = 19 * 2048 + 1024;
    let end = (0..).map(|n| 19 * 2048 + n).find(|at| circle[*at] == 0 && *at > 19 * 2048 + 100).unwrap();
    let entry = record(19, 2048, 2, b"LOOP");
    circle[end.min(place)..][..entry.len()].copy_from_slice(&entry);
    assert!(!has(&look(&circle), "scan-fault"));

    // A thousand files of which each claims all of the disc.
    let mut many = iso(&[("a.txt", &vec![b'x'; 1 << 20])], false);
    let mut folder = Vec::new();
    for number in 0..1000 {
        let entry = record(0, 1 << 20, 0, format!("F{number}.TXT;1").as_bytes());
        if folder.len() % 2048 + entry.len() > 2048 {
            folder.resize(folder.len().next_multiple_of(2048), 0);
        }
        folder.extend(entry);
    }
    let at = many.len();
    many.extend(&folder);
    many[16 * 2048 + 156..][..34].copy_from_slice(&record(at / 2048, folder.len(), 2, &[0]));
    let report = look(&many);
    let total: u64 = report.parts.iter().map(|part| part.size).sum();
    assert!(has(&report, "limit-exceeded") && total <= Limits::default().max_scan_size);

    // A chain of clusters in a circle.
    let mut floppy = floppy(NAME, &document());
    floppy[512 + 3..512 + 5].copy_from_slice(&[2, 0]);
    assert!(!has(&look(&floppy), "scan-fault"));
}

#[test]
fn a_truncated_image_gives_what_is_there() {
    let disc = iso(&[(NAME, &document()), ("b.txt", &[b'x'; 9000])], true);
    let report = look(&disc[..disc.len() - 9000]);
    assert!(has(&report, "vba-autoexec") && has(&report, "damaged"));
    for end in (0..disc.len()).step_by(1999) {
        assert!(!has(&look(&disc[..end]), "scan-fault"), "{end}");
    }
}

#[test]
fn mutants_of_images_cost_no_fault() {
    let document = document();
    let disk = partitioned(&floppy(NAME, &document));
    let images = [iso(&[(NAME, &document)], true), disk.clone(), dynamic_vhd(&disk, 2 << 40)];
    let mut state = 0x5eed_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for number in 0..150 {
        let mut image = images[number % 3].clone();
        let used: Vec<usize> =
            (0..image.len()).step_by(512).filter(|at| image[*at..].iter().take(512).any(|b| *b != 0)).collect();
        for _ in 0..8 {
            let at = used[random(used.len().min(60))] + random(512);
            if let Some(octet) = image.get_mut(at) {
                *octet = [0, 1, 0xff, random(256) as u8][random(4)];
            }
        }
        assert!(!has(&look(&image), "scan-fault"), "mutant {number}");
    }
}

/// What others write is read.
#[test]
fn images_of_other_programs_are_read() {
    let Some(_) = require_tool("genisoimage") else { return };
    let Some(_) = require_tool("qemu-img") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let run = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    };
    fs::create_dir(path("in")).unwrap();
    fs::write(path("in/Quarterly report.docm"), document()).unwrap();
    let name = "Quarterly report.docm";
    for options in [&["-J", "-R"][..], &["-R"], &["-udf", "-J"]] {
        run("genisoimage", &[&["-quiet", "-o", &path("a.iso")], options, &[&path("in")]].concat());
        check(&format!("{options:?}"), &fs::read(path("a.iso")).unwrap(), name);
    }
    // UDF alone.
    let mut udf = fs::read(path("a.iso")).unwrap();
    for sector in 16..32 {
        if udf[sector * 2048 + 1..].starts_with(b"CD001") {
            udf[sector * 2048 + 1] = b'X';
        }
    }
    check("UDF", &udf, name);
    fs::write(path("a.img"), partitioned(&floppy(NAME, &document()))).unwrap();
    for (format, option) in [("vpc", "subformat=dynamic"), ("vpc", "subformat=fixed"), ("vhdx", "subformat=dynamic")] {
        let (from, to) = (path("a.img"), path("a.disk"));
        run("qemu-img", &["convert", "-f", "raw", "-O", format, "-o", option, &from, &to]);
        check(&format!("{format} {option}"), &fs::read(to).unwrap(), NAME);
    }
}
