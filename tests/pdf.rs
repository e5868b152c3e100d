//! Files that are embedded in PDF documents, through the whole scan, beside what qpdf writes.

use std::process::Command;
use std::time::{Duration, Instant};

use fastrand::Rng;
use sekisho::filetype::FileType;
use sekisho::finding::Reason;
use sekisho::knowledge::Knowledge;
use sekisho::limits::Limits;
use sekisho::scan::{Input, Report, Stop, scan, sha256};
use sekisho::verdict::{Level, judge};

use crate::common::pdf::{self, Cipher, Lock, Pdf, specification, utf16, with_file, zlib};
use crate::common::require_tool;
use crate::common::samples::{macro_document, with_files};
use crate::fuzz::targets::check;

const NAME: &str = "請求書.docm";
const PASSWORD: &str = "Kq7-x9Aa";

fn look_with(bytes: Vec<u8>, passwords: &[&str]) -> Report {
    let size = bytes.len();
    let passwords = passwords.iter().map(|text| (*text).to_owned()).collect();
    let knowledge = Knowledge { passwords, ..Knowledge::default() };
    let report = scan(Input::file(bytes, "a.pdf"), &Limits::default(), &knowledge, &Stop::default());
    check(&report, &Limits::default(), size);
    report
}

fn look(bytes: Vec<u8>) -> Report {
    look_with(bytes, &[])
}

fn ids(report: &Report) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.id.as_str()).collect()
}

/// Findings that say that something was not looked into: id and evidence.
fn missing(report: &Report) -> Vec<(&str, &str)> {
    let missing = report.findings.iter().filter(|finding| finding.id.reason.is_some());
    missing.map(|finding| (finding.id.as_str(), finding.evidence.as_str())).collect()
}

/// Names and contents of what is embedded. A package that is stored as it is makes the document an archive, too.
fn embedded(report: &Report) -> Vec<(&str, &str)> {
    let parts = report.parts.iter().filter(|part| part.depth == 1 && part.names != ["word/vbaProject.bin"]);
    parts.map(|part| (part.names.first().map_or("", String::as_str), part.sha256.as_str())).collect()
}

#[track_caller]
fn found(report: &Report, name: &str, content: &[u8]) {
    assert_eq!(embedded(report), [(name, sha256(content).as_str())], "{:?}", report.findings);
    assert_eq!(missing(report), []);
}

#[test]
fn a_document_with_macros_is_found() {
    let document = macro_document();
    for file in [with_file(NAME, &document, None), pdf::in_object_stream(NAME, &document, None)] {
        let report = look(file);
        found(&report, NAME, &document);
        assert_eq!(judge(&report).level, Level::Malicious);
        assert_eq!(report.parts[1].path.to_string(), "1/1");
    }
}

#[test]
fn every_filter_is_undone() {
    let content = macro_document();
    let hexed = |octets: &[u8]| pdf::ascii_hex(octets);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("", content.clone()),
        ("/Filter/FlateDecode", zlib(&content)),
        ("/Filter[/Fl]/DecodeParms[null]", zlib(&content)),
        ("/Filter /#46lateDecode", zlib(&content)),
        ("/Filter/ASCIIHexDecode", hexed(&content)),
        ("/Filter/ASCII85Decode", pdf::ascii_85(&content)),
        ("/Filter[/RunLengthDecode/Fl]", pdf::runs(&zlib(&content))),
        ("/Filter/LZWDecode", pdf::lzw(&content)),
        ("/Filter/LZWDecode/DecodeParms<</EarlyChange 0>>", pdf::lzw(&content)),
        ("/Filter[/A85/RL/AHx/LZW/Fl]", pdf::ascii_85(&pdf::runs(&hexed(&pdf::lzw(&zlib(&content)))))),
        ("/Filter[/Crypt/FlateDecode]", zlib(&content)),
    ];
    for (entries, packed) in cases {
        let mut file = Pdf::new(None);
        file.specification(10, b"a.docm", 11);
        file.stream(11, entries, &packed);
        found(&look(file.finish()), "a.docm", &content);
    }
    // PNG's predictor: rows of 50 octets behind a zero.
    let content = vec![b'x'; 500];
    let rows: Vec<u8> = content.chunks(50).flat_map(|row| [&[0], row].concat()).collect();
    let mut file = Pdf::new(None);
    file.specification(10, b"a.txt", 11);
    file.stream(11, "/Filter/FlateDecode/DecodeParms<</Predictor 12/Columns 50>>", &zlib(&rows));
    found(&look(file.finish()), "a.txt", &content);
}

#[test]
fn filters_that_are_not_known_or_fail_are_told() {
    for (entries, packed, expected) in [
        ("/Filter/JBIG2Decode", &b"xyz"[..], ("container-unsupported", "a.bin: JBIG2Decode")),
        ("/Filter[/Fl/Other]", &zlib(b"x"), ("container-unsupported", "a.bin: Other")),
        ("/Filter/FlateDecode", b"no such thing", ("damaged", "a.bin")),
    ] {
        let mut file = Pdf::new(None);
        file.specification(10, b"a.bin", 11);
        file.stream(11, entries, packed);
        assert_eq!(missing(&look(file.finish())), [expected]);
        // What is no file is nobody's business.
        let mut file = Pdf::new(None);
        file.page();
        file.stream(11, entries, packed);
        file.raw(b"%/EF\n");
        assert_eq!(ids(&look(file.finish())), [""; 0]);
    }
}

#[test]
fn every_encryption_is_opened_by_either_password() {
    let document = macro_document();
    for cipher in Cipher::ALL {
        let lock = Some(Lock { cipher, user: PASSWORD, owner: "of the owner" });
        for file in [with_file(NAME, &document, lock), pdf::in_object_stream(NAME, &document, lock)] {
            for password in [PASSWORD, "of the owner"] {
                let report = look_with(file.clone(), &["wrong", password]);
                found(&report, NAME, &document);
                assert!(ids(&report).contains(&"document-password-opened"), "{cipher:?}");
                assert!(report.parts.iter().take(2).all(|part| part.opened_by_password == Some(true)), "{cipher:?}");
            }
            let report = look_with(file, &["wrong"]);
            assert_eq!(missing(&report), [("document-encrypted", "Encrypt")], "{cipher:?}");
            assert_eq!(embedded(&report), [], "{cipher:?}");
        }
    }
}

#[test]
fn what_is_only_protected_against_changes_is_open() {
    let document = macro_document();
    for cipher in Cipher::ALL {
        let lock = Some(Lock { cipher, user: "", owner: "of the owner" });
        found(&look(pdf::in_object_stream(NAME, &document, lock)), NAME, &document);
        assert_eq!(ids(&look(pdf::honest(lock))), [""; 0], "{cipher:?}");
        let report = look(with_file("a.txt", b"Hello", lock));
        assert_eq!(ids(&report), [""; 0], "{cipher:?}");
        assert!(report.parts.iter().all(|part| part.opened_by_password.is_none()));
    }
}

#[test]
fn passwords_in_other_letters_open_it() {
    for (cipher, password) in [(Cipher::R6, "秘密のＡ"), (Cipher::R3, "秘密のA"), (Cipher::R4Aes, "naïve")] {
        let user = if cipher == Cipher::R6 { "秘密のA" } else { password };
        let lock = Some(Lock { cipher, user, owner: "of the owner" });
        let report = look_with(with_file("a.txt", b"Hello", lock), &[password]);
        found(&report, "a.txt", b"Hello");
    }
}

fn told(text: &str, file: &[u8]) -> Report {
    let message = with_files(text, &[("a.pdf", file)]);
    scan(Input::message(message), &Limits::default(), &Knowledge::default(), &Stop::default())
}

#[test]
fn the_mail_tells_the_password() {
    for cipher in Cipher::ALL {
        let lock = Some(Lock { cipher, user: PASSWORD, owner: "of the owner" });
        let file = with_file(NAME, &macro_document(), lock);
        let report = told(&format!("password: {PASSWORD}"), &file);
        assert_eq!(judge(&report).level, Level::Malicious, "{cipher:?}: {:?}", report.findings);
        // A word that may be one.
        assert_eq!(judge(&told(&format!("Hello {PASSWORD}"), &file)).level, Level::Malicious, "{cipher:?}");
        let report = told("password: An0ther-One", &file);
        assert_eq!(judge(&report).reasons, [Reason::EncryptedDespitePassword], "{cipher:?}");
        assert!(ids(&report).contains(&"document-encrypted-told"));
        assert_eq!(judge(&told("Hello", &file)).reasons, [Reason::Encrypted], "{cipher:?}");
    }
}

#[test]
fn more_words_than_are_tried_are_told() {
    let lock = Some(Lock { cipher: Cipher::R3, user: PASSWORD, owner: "of the owner" });
    let words: String = (0..900).map(|n| format!("Word{n}x")).collect::<Vec<_>>().join(" ");
    let report = told(&words, &with_file(NAME, b"x", lock));
    assert!(ids(&report).contains(&"passwords-untried"), "{:?}", ids(&report));
}

/// A document whose encryption dictionary is this.
fn with_dictionary(dictionary: &str) -> Vec<u8> {
    let mut file = Pdf::new(None);
    file.page();
    file.object(50, dictionary);
    file.raw(b"trailer <</Root 1 0 R/Encrypt 50 0 R>>\n");
    file.finish()
}

#[test]
fn other_handlers_and_versions_are_told() {
    for (dictionary, expected) in [
        ("<</Filter/Adobe.PubSec/V 4/Recipients[<00>]>>", ("document-encrypted", "Encrypt: Adobe.PubSec")),
        ("<</Filter/MicrosoftIRMServices>>", ("document-encrypted", "Encrypt: MicrosoftIRMServices")),
        ("<</Filter/Standard/V 3/R 3>>", ("container-unsupported", "Encrypt: version 3, revision 3")),
        ("<</Filter/Standard/V 9/R 9>>", ("container-unsupported", "Encrypt: version 9, revision 9")),
        (
            "<</Filter/Standard/V 4/R 4/StmF/No>>",
            ("container-unsupported", "Encrypt: a crypt filter that is not known"),
        ),
        ("<</Filter/Standard/V 1/R 2/O(short)/U(short)>>", ("document-encrypted", "Encrypt")),
        ("<<>>", ("document-encrypted", "Encrypt")),
    ] {
        assert_eq!(missing(&look(with_dictionary(dictionary))), [expected], "{dictionary}");
    }
}

/// Octets that are one thing as they stand and another one decrypted are both.
#[test]
fn what_can_be_read_in_two_ways_is_read_in_both() {
    let lock = Some(Lock { cipher: Cipher::R6, user: "", owner: "of the owner" });
    let script = b"var a = 1; // nothing that tells its type";
    let file = with_file_stored("a.js", script, lock);
    // The vector that AES begins with is the sender's choice.
    let last = memchr::memmem::rfind(&file, b"where it starts.").unwrap();
    let mut picture = file.clone();
    picture[last..last + 10].copy_from_slice(b"GIF89a\x01\0\x01\0");
    let hashes = |file: Vec<u8>| look(file).parts.iter().skip(1).map(|part| part.size).collect::<Vec<_>>();
    assert_eq!(hashes(file), [script.len() as u64]);
    assert_eq!(hashes(picture).len(), 2);
}

fn with_file_stored(name: &str, content: &[u8], lock: Option<Lock<'_>>) -> Vec<u8> {
    let mut file = Pdf::new(lock);
    file.page();
    file.specification(10, &utf16(name), 11);
    file.stream(11, "/Type/EmbeddedFile", content);
    file.finish()
}

/// A trailer that nobody reads must not close what is open.
#[test]
fn what_only_claims_to_be_encrypted_is_read() {
    let document = macro_document();
    let lock = Some(Lock { cipher: Cipher::R6, user: PASSWORD, owner: "of the owner" });
    let decoy = String::from_utf8_lossy(&pdf::honest(lock)).into_owned();
    let decoy = decoy.split("99 0 obj\n").nth(1).unwrap().split("endobj").next().unwrap().to_owned();
    for packed in [true, false] {
        let mut file = Pdf::new(None);
        file.object(50, &decoy);
        file.raw(b"trailer <</Encrypt 50 0 R>>\n");
        file.specification(10, b"a.docm", 11);
        if packed {
            file.stream(11, "/Filter/FlateDecode", &zlib(&document));
        } else {
            file.stream(11, "", &document);
        }
        let report = look(file.finish());
        assert_eq!(embedded(&report), [("a.docm", sha256(&document).as_str())]);
        assert_eq!(missing(&report), [("document-encrypted", "Encrypt")]);
        assert_eq!(judge(&report).level, Level::Malicious);
    }
}

#[test]
fn where_the_file_lies_nothing_is_lost() {
    let document = macro_document();
    let file = with_file("a.docm", &document, None);
    // Behind other octets, without its end, without cross-references.
    found(&look([&[b'x'; 1000][..], &file].concat()), "a.docm", &document);
    let end = memchr::memmem::rfind(&file, b"xref\n0 0").unwrap();
    found(&look(file[..end].to_vec()), "a.docm", &document);
    for length in ["0", "7", "99999999", "-1", "5 0 R", "(x)", "null"] {
        let mut wrong = Pdf::new(None);
        wrong.specification(10, b"a.docm", 11);
        wrong.raw(format!("11 0 obj<</Filter/FlateDecode/Length {length}>>stream\r\n").as_bytes());
        wrong.raw(&[&zlib(&document)[..], b"\r\nendstream endobj"].concat());
        found(&look(wrong.finish()), "a.docm", &document);
    }
    // Objects hidden in what calls itself the content of a page.
    let inner = &file[9..end];
    let mut hidden = Pdf::new(None);
    hidden.page();
    hidden.stream(40, "", inner);
    found(&look(hidden.finish()), "a.docm", &document);
}

#[test]
fn older_revisions_are_opened_too() {
    let mut file = Pdf::new(None);
    file.specification(10, b"a.txt", 11);
    file.stream(11, "/Type/EmbeddedFile", &macro_document());
    file.stream(11, "/Type/EmbeddedFile", b"harmless");
    file.object(10, "null");
    let report = look(file.finish());
    let hashes: Vec<_> = embedded(&report).into_iter().map(|(_, hash)| hash.to_owned()).collect();
    assert_eq!(hashes, [sha256(&macro_document()), sha256(b"harmless")]);
}

#[test]
fn a_cut_document_gives_what_it_has_and_tells() {
    let document = macro_document();
    let file = with_file("a.docm", &document, None);
    let start = memchr::memmem::find(&file, b"11 0 obj").unwrap() + 100;
    let end = memchr::memmem::rfind(&file, b"endstream").unwrap() - 20;
    for cut in (start..end).step_by(97) {
        let report = look(file[..cut].to_vec());
        assert!(missing(&report).contains(&("damaged", "a.docm")), "{cut}: {:?}", report.findings);
    }
}

#[test]
fn names_are_told_as_they_are() {
    for (written, expected, finding) in [
        ("<</UF<2e2e2f2e2e2f6574632f706173737764>/EF<</F 11 0 R>>>>", "../../etc/passwd", None),
        ("<</F(C:\\\\a\\\\b.txt)/EF<</F 11 0 R>>>>", "C:\\a\\b.txt", None),
        ("<</UF(a\\000b.txt)/EF<</F 11 0 R>>>>", "a\0b.txt", None),
        (
            "<</UF<FEFF0061202E006600640070002E006500780065>/EF<</F 11 0 R>>>>",
            "a\u{202e}fdp.exe",
            Some("name-deceptive"),
        ),
        ("<</UF 12 0 R/EF 13 0 R>>", "indirect.txt", None),
        ("[[<</Subtype/FileAttachment/FS<</F(note.txt)/EF<</UF 11 0 R>>>>>>]]", "note.txt", None),
        ("<</EF<</F 11 0 R>>>>", "", None),
    ] {
        let mut file = Pdf::new(None);
        file.object(10, written);
        file.stream(11, "", b"Hello");
        file.object(12, "(indirect.txt)");
        file.object(13, "<</F 11 0 R>>");
        let report = look(file.finish());
        assert_eq!(embedded(&report), [(expected, sha256(b"Hello").as_str())], "{written}");
        assert_eq!(ids(&report).contains(&"name-deceptive"), finding.is_some(), "{written}: {:?}", ids(&report));
    }
}

#[test]
fn a_program_or_script_within_is_told() {
    for (name, content, expected) in
        [("a.js", &b"WScript.Echo(1)"[..], "embedded-script"), ("a.exe", b"MZ\x90\0", "embedded-program")]
    {
        let report = look(with_file(name, content, None));
        assert!(ids(&report).contains(&expected), "{:?}", ids(&report));
        assert!(judge(&report).level >= Level::Suspicious, "{:?}", judge(&report));
    }
    let invoice = b"<?xml version=\"1.0\"?><rsm:CrossIndustryInvoice xmlns:rsm=\"urn\"/>";
    assert_eq!(ids(&look(with_file("factur-x.xml", invoice, None))), [""; 0]);
}

#[test]
fn honest_documents_have_no_findings() {
    let mut portfolio = Pdf::new(None);
    portfolio.object(1, "<</Type/Catalog/Collection<</View/T>>/Names<</EmbeddedFiles<</Names[(a)10 0 R]>>>>>>");
    portfolio.specification(10, &utf16("報告.pdf"), 11);
    let inner = pdf::honest(None);
    portfolio.stream(
        11,
        &format!("/Type/EmbeddedFile/Subtype/application#2Fpdf/Params<</Size {}>>", inner.len()),
        &inner,
    );
    for file in [pdf::honest(None), portfolio.finish(), with_file("a.txt", b"Hello", None)] {
        let report = look(file);
        assert_eq!(ids(&report), [""; 0]);
        assert!(report.parts.len() <= 2 && report.parts[0].types == [FileType::Pdf], "{:?}", report.parts);
    }
}

#[test]
fn floods_take_no_time() {
    let size = 10 << 20;
    let specification = specification("<61>", 1);
    let objstm = "1 0 obj<</Type/ObjStm/First 0/N 9/Length 2 0 R/Filter/AHx>>stream\n";
    for word in ["1 0 obj", "1 0 obj ", "1 0 obj<</EF", "1 0 obj(", objstm, &format!("1 0 obj{specification}endobj ")] {
        let file = [b"%PDF-1.7 /EF ", word.repeat(size / word.len()).as_bytes()].concat();
        let begun = Instant::now();
        look(file);
        assert!(begun.elapsed() < Duration::from_secs(25), "{word} took {:?}", begun.elapsed());
    }
}

#[test]
fn mutants_get_a_report() {
    let limits = Limits { max_files: 60, max_file_size: 1 << 20, max_scan_size: 4 << 20, ..Limits::default() };
    let files = pdf::kinds();
    for seed in 0..1500 {
        let mut random = Rng::with_seed(seed);
        let mut mutant = files[random.usize(..files.len())].clone();
        for _ in 0..random.usize(1..6) {
            let at = random.usize(..mutant.len());
            match random.u8(..5) {
                0 => mutant[at] = random.u8(..),
                1 => mutant.truncate(at.max(9)),
                2 => mutant[at] = *random.choice(b"<>[]()/ 09").unwrap(),
                3 => drop(mutant.splice(at..at, *b"endstream")),
                _ => {
                    let end = (at + random.usize(..200)).min(mutant.len());
                    let piece = mutant[at..end].to_vec();
                    let to = random.usize(..mutant.len());
                    drop(mutant.splice(to..to, piece));
                }
            }
        }
        let size = mutant.len();
        let knowledge = Knowledge { passwords: vec!["infected".to_owned()], ..Knowledge::default() };
        let report = scan(Input::file(mutant, "a.pdf"), &limits, &knowledge, &Stop::default());
        check(&report, &limits, size);
    }
}

/// What qpdf makes of a document with an attached file.
fn by_qpdf(arguments: &[&str]) -> Option<Vec<u8>> {
    let qpdf = require_tool("qpdf")?;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("invoice.docm"), macro_document()).unwrap();
    let options = ["--empty", "--add-attachment", "invoice.docm", "--"];
    let status = Command::new(qpdf).current_dir(folder.path()).args(options).args(arguments).arg("out.pdf").status();
    assert!(status.unwrap().success(), "{arguments:?}");
    Some(std::fs::read(folder.path().join("out.pdf")).unwrap())
}

#[test]
fn what_qpdf_writes_is_read() {
    for streams in ["--object-streams=disable", "--object-streams=generate"] {
        let Some(file) = by_qpdf(&[streams]) else { return };
        found(&look(file), "invoice.docm", &macro_document());
        for (user, owner) in [("", "of-owner"), (PASSWORD, "of-owner")] {
            for how in [
                &["40"][..],
                &["128", "--use-aes=n"],
                &["128", "--use-aes=n", "--force-V4"],
                &["128", "--use-aes=y"],
                &["128", "--use-aes=y", "--cleartext-metadata"],
                &["256", "--force-R5"],
                &["256"],
            ] {
                let arguments =
                    [&[streams, "--allow-weak-crypto", "--encrypt", user, owner][..], how, &["--"]].concat();
                let Some(file) = by_qpdf(&arguments) else { return };
                for password in [PASSWORD, "of-owner"] {
                    let report = look_with(file.clone(), &["wrong", password]);
                    found(&report, "invoice.docm", &macro_document());
                    assert_eq!(ids(&report).contains(&"document-password-opened"), !user.is_empty(), "{arguments:?}");
                }
                let closed = missing(&look(file)) == [("document-encrypted", "Encrypt")];
                assert_eq!(closed, !user.is_empty(), "{arguments:?}");
            }
        }
    }
}
