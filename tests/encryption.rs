//! Encrypted documents of all generations: opened with what Office knows and with what the mail tells, and told
//! where they stay closed.

use std::time::{Duration, Instant};

use sekisho::knowledge::Knowledge;
use sekisho::limits::Limits;
use sekisho::part::PartPath;
use sekisho::scan::{Input, Report, Stop, scan};
use sekisho::verdict::{Level, judge};

use crate::common::carriers;
use crate::common::encrypt::{self, Binary, EXCEL, POWERPOINT};
use crate::common::office::{self, ModuleKind};
use crate::common::ovba::utf16;
use crate::common::samples::{base64_lines, macro_document, with_files};

const LURE: &str = "Please click Enable Content to see this document";
const CODE: &str = "Sub AutoOpen()\r\nShell \"cmd /c dir\"\r\nEnd Sub\r\n";
/// What nobody told.
const SECRET: &str = "nobody told";

fn look(bytes: Vec<u8>) -> Report {
    look_with(bytes, &[])
}

fn look_with(bytes: Vec<u8>, passwords: &[&str]) -> Report {
    let passwords = passwords.iter().map(|password| (*password).to_owned()).collect();
    let knowledge = Knowledge { passwords, ..Knowledge::default() };
    scan(Input::file(bytes, "file"), &Limits::default(), &knowledge, &Stop::default())
}

fn ids(report: &Report) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.id.as_str()).collect()
}

fn evidence<'a>(report: &'a Report, id: &str) -> Vec<&'a str> {
    report.findings.iter().filter(|finding| finding.id.as_str() == id).map(|f| f.evidence.as_str()).collect()
}

/// Whether all of it was looked into.
fn is_complete(report: &Report) -> bool {
    judge(report).complete
}

/// A letter in Japanese with this file.
fn letter(text: &str, file: &[u8]) -> Report {
    let text = encoding_rs::ISO_2022_JP.encode(text).0;
    let head = b"From: a@example.jp\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n";
    let file = format!(
        "--b\r\nContent-Type: application/octet-stream; name=\"a.xlsx\"\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n",
        base64_lines(file)
    );
    let text = [&b"--b\r\nContent-Type: text/plain; charset=iso-2022-jp\r\n\r\n"[..], &text, b"\r\n--b--\r\n"].concat();
    let message = [head, file.as_bytes(), &text].concat();
    scan(Input::message(message), &Limits::default(), &Knowledge::default(), &Stop::default())
}

// What is opened -----------------------------------------------------------------------------

#[test]
fn a_package_that_office_opens_by_itself_is_judged_by_its_macro() {
    for file in [encrypt::agile(&macro_document(), EXCEL), encrypt::standard(&macro_document(), POWERPOINT)] {
        let report = look(file);
        let verdict = judge(&report);
        assert_eq!((verdict.level, verdict.complete), (Level::Malicious, true), "{:?}", ids(&report));
        assert!(ids(&report).contains(&"vba-autoexec") && ids(&report).contains(&"document-default-password"));
        let inner: PartPath = "1/1".parse().unwrap();
        let inner = report.parts.iter().find(|part| part.path == inner).unwrap();
        assert_eq!((inner.opened_by_password, inner.document.to_string().as_str()), (Some(true), "1"));
        let types: Vec<&str> = inner.types.iter().map(|t| t.name()).collect();
        assert!(types.contains(&"ooxml-docm"), "{types:?}");
    }
}

#[test]
fn packages_open_whatever_hash_and_key_was_chosen() {
    for how in [encrypt::OFFICE_2010, encrypt::OFFICE_2013].into_iter().chain(encrypt::CHOSEN) {
        let report = look(how.file(&macro_document(), EXCEL));
        assert!(ids(&report).contains(&"vba-autoexec") && is_complete(&report), "{:?}", ids(&report));
        assert_eq!(ids(&look(how.file(&macro_document(), SECRET))), ["document-encrypted"]);
    }
    for (algorithm, bits) in [(0x660E, 128), (0x660F, 192), (0x6610, 256)] {
        let report = look(encrypt::standard_with(&macro_document(), EXCEL, algorithm, bits));
        assert!(ids(&report).contains(&"vba-autoexec") && is_complete(&report), "{bits}: {:?}", ids(&report));
    }
}

#[test]
fn a_workbook_that_excel_encrypts_to_protect_its_structure_is_no_danger() {
    let report = look(encrypt::xls(&office::protected_xls(&["Profit", "Loss"], &[]), Binary::CryptoApi(128), EXCEL));
    let verdict = judge(&report);
    assert_eq!((verdict.level, verdict.complete), (Level::Clean, true));
    assert_eq!(ids(&report), ["document-default-password"]);
    assert_eq!(evidence(&report, "document-default-password"), [EXCEL]);
    assert_eq!(report.parts.iter().find(|part| part.names == ["file"]).unwrap().opened_by_password, Some(true));
}

#[test]
fn macros_that_start_and_are_encrypted_though_nothing_is_protected_are_malicious() {
    let hello = [("ThisWorkbook", "Sub Workbook_Open()\nMsgBox \"Hello\"\nEnd Sub\n", ModuleKind::Document)];
    let level = |file: Vec<u8>| {
        let report = look(file);
        (judge(&report).level, ids(&report).contains(&"document-needless-encryption"))
    };
    let protected = office::protected_xls(&["Profit"], &hello);
    let open = office::xls_with_macros(&["Profit"], &hello);
    for how in Binary::ALL {
        assert_eq!(level(encrypt::xls(&protected, how, EXCEL)), (Level::Active, false), "{how:?}");
        assert_eq!(level(encrypt::xls(&open, how, EXCEL)), (Level::Malicious, true), "{how:?}");
    }
    assert_eq!(level(encrypt::xls(&office::xls(&["Profit"]), Binary::CryptoApi(128), EXCEL)), (Level::Clean, true));
    let button = [("Module1", "Sub Button_Click()\nMsgBox \"Hello\"\nEnd Sub\n", ModuleKind::Standard)];
    let waiting = office::xls_with_macros(&["Profit"], &button);
    assert_eq!(level(encrypt::xls(&waiting, Binary::CryptoApi(128), EXCEL)), (Level::Suspicious, true));

    let project = office::vba_project(&hello);
    let package = |workbook: &str| {
        const MAIN: &str = "application/vnd.ms-excel.sheet.macroEnabled.main+xml";
        carriers::package(MAIN, &[("xl/workbook.xml", workbook.as_bytes()), ("xl/vbaProject.bin", &project)])
    };
    let protected = package("<workbook><workbookProtection lockStructure=\"1\"/></workbook>");
    assert_eq!(level(encrypt::agile(&protected, EXCEL)), (Level::Active, false));
    assert_eq!(level(encrypt::agile(&package("<workbook/>"), EXCEL)), (Level::Malicious, true));
}

#[test]
fn binary_documents_are_read_in_every_way_they_are_encrypted() {
    let module = [("ThisDocument", CODE, ModuleKind::Document)];
    // Longer than what one key is for.
    let text = format!("{}{LURE}", "\n".repeat(4000));
    for how in Binary::ALL {
        for (name, file) in [
            ("doc", encrypt::doc(&office::doc_with_macros(&text, &module), how, EXCEL)),
            ("xls", encrypt::xls(&office::xls_with_macros(&[&text], &module), how, EXCEL)),
        ] {
            let report = look(file);
            let ids = ids(&report);
            assert!(ids.contains(&"lure-enable-content"), "{name} {how:?}: {ids:?}");
            assert_eq!(evidence(&report, "document-default-password"), [EXCEL], "{name} {how:?}");
            assert!(is_complete(&report), "{name} {how:?}");
            // The macro, which stands in the open, is said once.
            assert_eq!(ids.iter().filter(|id| **id == "vba-autoexec").count(), 1, "{name} {how:?}");
            assert_eq!(judge(&report).level, Level::Malicious);
        }
    }
}

#[test]
fn documents_of_1995_are_read() {
    for file in [encrypt::xls_5(&office::xls(&[LURE])), encrypt::doc_95(&office::doc(LURE))] {
        let report = look(file);
        assert_eq!(evidence(&report, "document-default-password"), [EXCEL]);
        assert!(ids(&report).contains(&"lure-enable-content") && is_complete(&report), "{:?}", ids(&report));
    }
}

#[test]
fn a_presentation_gives_its_text_and_its_project() {
    let record = |kind: u16, content: &[u8]| {
        let header = [&[0, 0][..], &kind.to_le_bytes(), &(content.len() as u32).to_le_bytes()].concat();
        [&header, content].concat()
    };
    let project = office::vba_project(&[("Module1", CODE, ModuleKind::Standard)]);
    let records = [record(0x0FA0, &utf16(LURE)), record(0x1011, &project)];
    let report = look(encrypt::ppt(&records, POWERPOINT));
    for expected in ["document-default-password", "lure-enable-content", "vba-autoexec"] {
        assert!(ids(&report).contains(&expected), "{expected}: {:?}", ids(&report));
    }
    assert!(is_complete(&report));
    let closed = look(encrypt::ppt(&records, SECRET));
    assert_eq!(evidence(&closed, "document-encrypted"), ["CurrentUserAtom"]);
    assert!(!ids(&closed).contains(&"vba-autoexec"));
}

#[test]
fn passwords_told_in_a_japanese_letter_open_documents() {
    let plain = office::doc(LURE);
    let files = [
        encrypt::agile(&macro_document(), "sakura22"),
        encrypt::standard(&macro_document(), "sakura22"),
        encrypt::doc(&plain, Binary::CryptoApi(128), "sakura22"),
        encrypt::doc(&plain, Binary::Office97, "sakura22"),
    ];
    for file in files {
        let report = letter("添付ファイルのパスワードは「sakura22」です。", &file);
        assert!(ids(&report).contains(&"document-password-opened"), "{:?}", ids(&report));
        assert!(ids(&report).contains(&"lure-enable-content") && is_complete(&report), "{:?}", ids(&report));
        let said = serde_json::to_string(&report.findings).unwrap();
        assert!(!said.contains("sakura22"), "a password that was told is never shown: {said}");
    }
}

#[test]
fn passwords_of_the_administrator_open_documents() {
    let file = encrypt::agile(&macro_document(), "見積書2026");
    assert!(ids(&look_with(file.clone(), &["x", "見積書2026"])).contains(&"vba-autoexec"));
    assert_eq!(ids(&look_with(file, &["x"])), ["document-encrypted"]);
}

// What stays closed --------------------------------------------------------------------------

#[test]
fn what_no_password_opens_says_whether_one_was_told() {
    let plain = office::doc(LURE);
    let mut files = vec![
        (encrypt::agile(&macro_document(), SECRET), "EncryptedPackage"),
        (encrypt::standard(&macro_document(), SECRET), "EncryptedPackage"),
    ];
    for how in [Binary::CryptoApi(128), Binary::CryptoApi(40), Binary::Office97] {
        files.push((encrypt::doc(&plain, how, SECRET), "fEncrypted"));
        files.push((encrypt::xls(&office::xls(&[LURE]), how, SECRET), "FILEPASS"));
    }
    for (file, mark) in files {
        let silent = look(file.clone());
        assert_eq!(evidence(&silent, "document-encrypted"), [mark]);
        assert!(!ids(&silent).contains(&"lure-enable-content"));
        let told = letter("パスワード：wrong123", &file);
        assert_eq!(evidence(&told, "document-encrypted-told"), [mark]);
        for report in [silent, told] {
            assert!(!ids(&report).iter().any(|id| id.contains("opened") || id.contains("default")), "{mark}");
        }
    }
}

/// The mail's sender chooses what a password costs.
#[test]
fn a_key_that_costs_too_much_is_told_and_not_made() {
    let start = Instant::now();
    for spin_count in ["10000001", "4294967295", "4294967296", "99999999999999999999999"] {
        let info = String::from_utf8(encrypt::agile_info(EXCEL, 1)).unwrap();
        let info = info.replace("spinCount=\"1\"", &format!("spinCount=\"{spin_count}\""));
        let report = look(encrypt::container(info.as_bytes(), &encrypt::agile_package(b"PK")));
        assert_eq!(evidence(&report, "document-encrypted"), ["EncryptedPackage"], "{spin_count}");
        let told = evidence(&report, "limit-exceeded");
        assert_eq!(told, ["EncryptedPackage: rounds of hashing for passwords"], "{spin_count}");
    }
    // The first would take minutes, the last for ever.
    assert!(start.elapsed() < Duration::from_secs(120));
}

#[test]
fn a_scan_that_shall_end_ends_between_rounds() {
    let info = String::from_utf8(encrypt::agile_info(EXCEL, 1)).unwrap().replace("t=\"1\"", "t=\"9000000\"");
    let file = encrypt::container(info.as_bytes(), &encrypt::agile_package(b"PK"));
    let stop = Stop::default();
    let ending = stop.clone();
    let waiter = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        ending.stop();
    });
    let report = scan(Input::file(file, "file"), &Limits::default(), &Knowledge::default(), &stop);
    waiter.join().unwrap();
    assert_eq!(evidence(&report, "scan-fault"), ["max_scan_time"]);
    assert!(!ids(&report).contains(&"document-encrypted"), "nobody knows whether a password would have opened it");
}

#[test]
fn ciphers_that_are_not_known_are_told_as_such() {
    let info = String::from_utf8(encrypt::agile_info(EXCEL, 1)).unwrap();
    for (from, to) in [
        ("\"AES\"", "\"3DES\""),
        ("ChainingModeCBC", "ChainingModeCFB"),
        ("\"SHA512\"", "\"WHIRLPOOL\""),
        ("keyBits=\"256\"", "keyBits=\"64\""),
    ] {
        let info = info.replace(from, to);
        let report = look(encrypt::container(info.as_bytes(), &encrypt::agile_package(b"PK")));
        assert_eq!(ids(&report), ["container-unsupported"], "{to}");
        assert!(evidence(&report, "container-unsupported")[0].starts_with("EncryptedPackage: "), "{to}");
    }
    for file in [
        encrypt::standard_with(&macro_document(), EXCEL, 0x6801, 128),
        encrypt::doc(&office::doc(LURE), Binary::CryptoApi(136), EXCEL),
    ] {
        assert_eq!(ids(&look(file)), ["container-unsupported"]);
    }
    // Extensible encryption needs a program that the reader has not.
    let report = look(encrypt::container(&[4, 0, 3, 0, 0x10, 0, 0, 0], &[7; 64]));
    assert_eq!(ids(&report), ["document-encrypted"]);
}

#[test]
fn what_a_server_has_the_key_of_is_told_as_encrypted() {
    for name in ["/EncryptedPackage", "/\u{9}DRMContent"] {
        let file = office::Compound::new().stream(name, &[7; 5000]).finish();
        assert_eq!(ids(&look(file)), ["document-encrypted"], "{name}");
    }
    let file = office::Compound::new().stream("/EncryptionInfo", &encrypt::agile_info(EXCEL, 1)).finish();
    assert_eq!(ids(&look(file)), [""; 0], "there is nothing that it would describe");
}

/// Each document is cheap, all of them are not.
#[test]
fn the_keys_of_a_mail_are_bounded_together() {
    let info = String::from_utf8(encrypt::agile_info(SECRET, 1)).unwrap();
    let info = info.replace("spinCount=\"1\"", "spinCount=\"800000\"");
    let file = encrypt::container(info.as_bytes(), &encrypt::agile_package(b"PK"));
    let names: Vec<String> = (0..8).map(|n| format!("{n}.xlsx")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), file.as_slice())).collect();
    let message = with_files("Figures", &files);
    let report = scan(Input::message(message), &Limits::default(), &Knowledge::default(), &Stop::default());
    assert_eq!(evidence(&report, "document-encrypted").len(), 8);
    // Two tries of each: six documents, and nothing is left for the last two.
    assert_eq!(evidence(&report, "limit-exceeded").len(), 2);
}

// What lies ----------------------------------------------------------------------------------

#[test]
fn a_size_that_lies_hides_nothing() {
    for size in [0, 1, 10, 5000, u64::MAX, i64::MAX as u64] {
        let mut package = encrypt::agile_package(&macro_document());
        package[..8].copy_from_slice(&size.to_le_bytes());
        let report = look(encrypt::container(&encrypt::agile_info(EXCEL, 1), &package));
        assert!(ids(&report).contains(&"vba-autoexec"), "{size}: {:?}", ids(&report));
    }
}

#[test]
fn what_is_decrypted_is_bounded_by_the_limits() {
    let padding = office::doc(&"x".repeat(200_000));
    let limits = Limits { max_file_size: 450_000, max_scan_size: 500_000, ..Limits::default() };
    for file in [encrypt::agile(&padding, EXCEL), encrypt::doc(&padding, Binary::Office97, EXCEL)] {
        let report = scan(Input::file(file, "file"), &limits, &Knowledge::default(), &Stop::default());
        assert!(ids(&report).contains(&"limit-exceeded"), "{:?}", ids(&report));
    }
}

#[test]
fn a_truncated_or_damaged_description_stays_closed() {
    let package = encrypt::agile_package(&macro_document());
    let whole = encrypt::agile_info(EXCEL, 1);
    for size in (0..whole.len()).step_by(7) {
        let report = look(encrypt::container(&whole[..size], &package));
        // What is missing may be a closing tag only.
        assert!(!is_complete(&report) || ids(&report).contains(&"vba-autoexec"), "{size}");
    }
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..300 {
        let mut info = whole.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(0..info.len());
            info[at] = random.u8(..);
        }
        // The number of rounds may have become a large one.
        if String::from_utf8_lossy(&info).contains("spinCount=\"1\"") {
            look(encrypt::container(&info, &package));
        }
    }
}

#[test]
fn garbage_behind_the_right_password_is_told() {
    let garbage: Vec<u8> = (0..20_000_u32).map(|n| ((n * n) >> 3) as u8).collect();
    let report = look(encrypt::agile(&garbage, EXCEL));
    assert!(ids(&report).contains(&"damaged") && !is_complete(&report), "{:?}", ids(&report));
    let report = look(encrypt::container(&encrypt::agile_info(EXCEL, 1), b"short"));
    assert!(!is_complete(&report), "{:?}", ids(&report));
}

/// Directories within directories, each read for an edit of its own: without a bound, the square of the size.
#[test]
fn directories_that_overlap_cost_no_more_than_the_stream() {
    const COUNT: u32 = 40_000;
    let mut stream = [0, 0, 0x72, 0x17, 0xFF, 0xFF, 0xFF, 0].repeat(COUNT as usize);
    let first = stream.len() as u32;
    for n in 0..COUNT {
        let before = first + 40 * (n + 1);
        stream.extend([0x0FF5_0000, 0x20, 0, 0, before, n * 8, 0, 0, 0, 1].map(u32::to_le_bytes).concat());
    }
    assert_eq!(evidence(&look(encrypt::presentation(&stream, first)), "document-encrypted"), ["CurrentUserAtom"]);
}

#[test]
fn objects_are_limited_in_number() {
    let record = |kind: u32, content: &[u8]| {
        [&(kind << 16).to_le_bytes()[..], &(content.len() as u32).to_le_bytes(), content].concat()
    };
    for (count, is_cut) in [(99_000, false), (101_000, true)] {
        let records: Vec<Vec<u8>> = std::iter::repeat_n(record(0x0FA8, b""), count).collect();
        let report = look(encrypt::ppt(&records, POWERPOINT));
        assert_eq!(!is_complete(&report), is_cut, "{count}: {:?}", ids(&report));
    }
}

#[test]
fn a_salt_is_hashed_often_and_therefore_short() {
    let info = String::from_utf8(encrypt::agile_info(EXCEL, 1)).unwrap();
    let long = format!("saltValue=\"{}", "AAAA".repeat(400));
    let report = look(encrypt::container(info.replace("saltValue=\"", &long).as_bytes(), &[7; 64]));
    assert_eq!(ids(&report), ["container-unsupported"]);
}

#[test]
fn an_older_edit_of_a_presentation_that_names_itself_ends() {
    let mut file = encrypt::ppt(&[vec![0; 100]], POWERPOINT);
    // Every edit was preceded by itself, and every object stands everywhere.
    let at = file.windows(4).position(|four| four == [0, 0, 0xF5, 0x0F]).unwrap();
    let offset = file[at + 20..at + 24].to_vec();
    file[at + 16..at + 20].copy_from_slice(&offset);
    look(file);
}
