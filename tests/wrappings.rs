//! What mail carries files in beside MIME and archives: a document is found in each, under its name and in
//! its place, honest ones are left in peace, and what is damaged or hostile costs little.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fastrand::Rng;
use sekisho::finding::Reason;
use sekisho::knowledge::Knowledge;
use sekisho::limits::Limits;
use sekisho::scan::{Input, Report, Stop, scan};
use sekisho::strip::{Languages, Notice, offending, strip};
use sekisho::verdict::{Level, judge};

use crate::common::samples::{macro_document, with_file};
use crate::common::wrappings::{self as wrap, Place};
use crate::common::{ooxml, require_tool};
use crate::fuzz::targets::check;

const NAME: &str = "請求書 4711.docm";
const PLAIN: &str = "invoice.docm";

fn report_of(input: Input) -> Report {
    let report = scan(input, &Limits::default(), &Knowledge::default(), &Stop::default());
    check(&report, &Limits::default(), usize::MAX);
    report
}

fn report(name: &str, bytes: Vec<u8>) -> Report {
    report_of(Input::file(bytes, name))
}

fn ids(report: &Report) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.id.as_str()).collect()
}

/// The document is at `path` under its name, its macro is found in it, and all was read.
#[track_caller]
fn found(path: &str, name: &str, report: &Report) {
    let part = report.parts.iter().find(|part| part.path.to_string() == path);
    assert_eq!(part.map(|part| part.names.first().map(String::as_str)), Some(Some(name)), "{report:#?}");
    let event = report.findings.iter().find(|finding| finding.id.as_str() == "vba-autoexec");
    assert!(event.is_some_and(|event| event.part.to_string() == format!("{path}/1")), "{report:#?}");
    let verdict = judge(report);
    assert!(verdict.level == Level::Malicious && verdict.complete, "{report:#?}");
}

/// Nothing is held against it, all of it was read, and there are so many parts.
#[track_caller]
fn honest(report: &Report, parts: usize) {
    let verdict = judge(report);
    assert!(verdict.level == Level::Clean && verdict.complete, "{report:#?}");
    assert_eq!(report.parts.len(), parts, "{report:#?}");
}

fn honest_document() -> Vec<u8> {
    ooxml::word(&["Minutes of Thursday"], None)
}

/// Every wrapping: its name, and the document in it.
fn all(content: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("winmail.dat", wrap::tnef(PLAIN, content, Place::Attribute, &[])),
        ("winmail.dat", wrap::tnef(PLAIN, content, Place::Property, &[])),
        ("a.msg", wrap::msg(PLAIN, content, 0)),
        ("a.msg", wrap::msg(PLAIN, content, 1)),
        ("a.txt", wrap::uuencoded(PLAIN, content)),
        ("a.txt", wrap::yenc(PLAIN, content)),
        ("a.hqx", wrap::binhex(PLAIN, content)),
        ("invoice.docm.p7m", wrap::signed(content, false)),
        ("invoice.docm.p7m", wrap::signed(content, true)),
        ("a.gpg", wrap::compressed(1, &wrap::literal(PLAIN, content))),
        ("a.asc", wrap::armoured(&wrap::literal(PLAIN, content))),
        ("a.mbox", wrap::mbox(&[with_file("a", PLAIN, "x/y", content), with_file("b", PLAIN, "x/y", content)])),
    ]
}

#[test]
fn a_document_is_found_in_tnef() {
    let document = macro_document();
    for place in [Place::Attribute, Place::Property] {
        let item = wrap::tnef(NAME, &document, place, &[]);
        found("1/1", NAME, &report("winmail.dat", item.clone()));
        found("1/1", NAME, &report("x", item.clone()));
        found("2/1", NAME, &report_of(Input::message(with_file("a", "winmail.dat", "application/ms-tnef", &item))));
    }
    let nested = wrap::tnef("Forwarded", &wrap::tnef(NAME, &document, Place::Property, &[]), Place::Object, &[]);
    found("1/1/1", NAME, &report("winmail.dat", nested));
}

#[test]
fn all_texts_of_a_tnef_item_are_read() {
    let text = wrap::property(0x1E, 0x1000, b"Please enable content\0");
    let page = wrap::property(0x102, 0x1013, b"<html>password: abc123</html>");
    let rich = wrap::property(
        0x102,
        0x1009,
        &wrap::rtf_compressed(b"{\\rtf1{\\field{\\*\\fldinst DDEAUTO cmd \"/c calc\"}}}"),
    );
    let report = report("winmail.dat", wrap::tnef("a.txt", b"a", Place::Attribute, &[text, page, rich]));
    for id in ["lure-mail-text", "password-told", "dde-command"] {
        assert!(ids(&report).contains(&id), "{id}: {report:#?}");
    }
}

#[test]
fn a_document_is_found_in_outlook_items() {
    let document = macro_document();
    found("1/3", PLAIN, &report("a.msg", wrap::msg(PLAIN, &document, 0)));
    found("1/1/3", PLAIN, &report("a.msg", wrap::msg(PLAIN, &document, 1)));
    found("1/1/1/1/3", PLAIN, &report("x.dat", wrap::msg(PLAIN, &document, 3)));
}

#[test]
fn a_document_is_found_in_encoded_text() {
    let document = macro_document();
    for encode in [wrap::uuencoded, wrap::yenc, wrap::binhex] {
        let text = encode(PLAIN, &document);
        for name in ["a.txt", "a.uue", "noext"] {
            found("1/1", PLAIN, &report(name, text.clone()));
        }
        let letter = [b"Hello\r\n\r\n".to_vec(), text.clone(), b"\r\nBye\r\n".to_vec()].concat();
        found("1/1", PLAIN, &report("a.txt", letter));
        // Beside another one, which is damaged.
        let two = [
            encode("a.txt", &(0..=255).cycle().take(500).collect::<Vec<u8>>())[..300].to_vec(),
            b"\r\n".to_vec(),
            text,
        ]
        .concat();
        let report = report("a.txt", two);
        assert!(ids(&report).contains(&"vba-autoexec"), "{report:#?}");
    }
}

#[test]
fn the_text_of_a_mail_is_decoded_too() {
    let head = b"From: a@b.example\r\nMIME-Version: 1.0\r\nSubject: x\r\n\r\nHello\r\n\r\n".to_vec();
    let document = macro_document();
    let coded = |encode: fn(&str, &[u8]) -> Vec<u8>| Input::message([head.clone(), encode(PLAIN, &document)].concat());
    // Beside the text, so that it can be cut out of it; BinHex comes out of the text.
    found("2", PLAIN, &report_of(coded(wrap::uuencoded)));
    found("2", PLAIN, &report_of(coded(wrap::yenc)));
    found("1/1", PLAIN, &report_of(coded(wrap::binhex)));
}

#[test]
fn damaged_lines_of_uuencoded_files_are_passed_over() {
    let text = String::from_utf8(wrap::uuencoded(PLAIN, &[b'x'; 450])).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines[4] = "damaged on the way";
    let decoded = report("a.txt", lines.join("\n").into_bytes());
    assert_eq!(decoded.parts.last().map(|part| part.size), Some(405), "{decoded:#?}");
}

#[test]
fn a_document_is_found_in_signed_content() {
    let document = macro_document();
    let message = with_file("Invoice", PLAIN, "application/msword", &document);
    for streamed in [false, true] {
        found("1/1", PLAIN, &report("invoice.docm.p7m", wrap::signed(&document, streamed)));
        found("1/1/2", PLAIN, &report("smime.p7m", wrap::signed(&message, streamed)));
        // A message that is signed as a whole, signed twice.
        let twice = wrap::signed(&wrap::signed(&document, streamed), !streamed);
        found("1/1/1", PLAIN, &report("invoice.docm.p7m.p7m", twice));
    }
    let coded = data_encoding::BASE64.encode(&wrap::signed(&document, true));
    let armour = format!("-----BEGIN PKCS7-----\n{coded}\n-----END PKCS7-----\n");
    found("1/1", PLAIN, &report("invoice.docm.p7m", armour.into_bytes()));
    honest(&report("smime.p7s", wrap::detached()), 1);
}

#[test]
fn a_document_is_found_in_open_pgp_messages() {
    let document = macro_document();
    let literal = wrap::literal(PLAIN, &document);
    let before = wrap::packet(4, &[3, 0, 8, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    let signed = [before, literal.clone(), wrap::packet(2, &[4, 0, 1, 8, 0, 0, 0, 0])].concat();
    for message in [wrap::compressed(1, &literal), wrap::compressed(2, &signed), signed.clone()] {
        found("1/1", PLAIN, &report("a.gpg", message.clone()));
        found("1/1", PLAIN, &report("a.txt", [b"Hello\r\n".to_vec(), wrap::armoured(&message)].concat()));
    }
    found("1/1", PLAIN, &report("x", signed));
}

#[test]
fn a_document_is_found_in_every_message_of_a_folder() {
    let (bad, good) =
        (with_file("a", PLAIN, "x/y", &macro_document()), with_file("b", "b.docx", "x/y", &honest_document()));
    let attached = |messages: &[Vec<u8>]| {
        report_of(Input::message(with_file("Folder", "Inbox", "application/octet-stream", &wrap::mbox(messages))))
    };
    for messages in [[bad.clone(), good.clone()], [good.clone(), bad]] {
        let report = attached(&messages);
        assert!(ids(&report).contains(&"vba-autoexec") && judge(&report).complete, "{report:#?}");
    }
    let report = attached(&[good.clone(), good.clone(), good]);
    let verdict = judge(&report);
    assert!(verdict.level == Level::Clean && verdict.complete, "{report:#?}");
    // The first one as well in the reading as one message.
    assert!(report.parts.iter().filter(|part| part.names == ["b.docx"]).count() >= 3, "{report:#?}");
}

#[test]
fn honest_files_are_left_in_peace() {
    for (name, file) in all(&honest_document()) {
        let report = report(name, file);
        let verdict = judge(&report);
        assert!(verdict.level == Level::Clean && verdict.complete, "{name}: {report:#?}");
    }
    for text in [
        "begin 5 items of the agenda\nbegin 644\n",
        "We begin 2026 with\nbegin 644 a day early\nas planned\n",
        "-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----\n",
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----\n",
        "From here on\nFrom there: on\n",
    ] {
        honest(&report("a.txt", text.into()), 1);
    }
}

#[test]
fn what_is_encrypted_is_told_and_is_no_fault() {
    let cases = [
        ("smime.p7m", wrap::enveloped(), "S/MIME, enveloped-data"),
        ("a.gpg", wrap::pgp_encrypted(), "OpenPGP"),
        ("x.dat", wrap::pgp_encrypted(), "OpenPGP"),
        ("encrypted.asc", wrap::armoured(&wrap::pgp_encrypted()), "OpenPGP"),
    ];
    for (name, bytes, evidence) in cases {
        let report = report(name, bytes);
        let told: Vec<_> = report.findings.iter().map(|found| (found.id.as_str(), found.evidence.as_str())).collect();
        assert_eq!(told, [("mail-encrypted", evidence)], "{name}");
        let verdict = judge(&report);
        assert_eq!((verdict.level, verdict.reasons), (Level::Clean, vec![Reason::Encrypted]), "{name}");
    }
    let body =
        [b"MIME-Version: 1.0\r\nFrom: a@b.example\r\n\r\nHi\r\n".to_vec(), wrap::armoured(&wrap::pgp_encrypted())];
    assert!(ids(&report_of(Input::message(body.concat()))).contains(&"mail-encrypted"));
}

/// A wrapping in itself, ten times.
#[track_caller]
fn ten_deep(around: impl Fn(&[u8]) -> Vec<u8>) {
    let mut file = macro_document();
    for _ in 0..10 {
        file = around(&file);
    }
    let report = report("a", file);
    assert!(ids(&report).contains(&"vba-autoexec") && judge(&report).complete, "{report:#?}");
}

#[test]
fn ten_of_them_in_each_other_are_opened() {
    ten_deep(|file| wrap::tnef("a", file, Place::Object, &[]));
    ten_deep(|file| wrap::signed(file, file.len() % 2 == 0));
    ten_deep(|file| wrap::uuencoded("a", file));
    ten_deep(|file| wrap::binhex("a", file));
    ten_deep(|file| wrap::armoured(&wrap::compressed(2, &wrap::literal("a", file))));
    let report = report("a.msg", wrap::msg(PLAIN, &macro_document(), 10));
    assert!(ids(&report).contains(&"vba-autoexec") && judge(&report).complete, "{report:#?}");
}

#[test]
fn what_is_cut_still_gives_what_it_has() {
    for (name, file) in all(&honest_document()) {
        let three_quarters = file.len() * 3 / 4;
        let report = report(name, file[..three_quarters].to_vec());
        // Its own content, or the head of the document, is a part all the same.
        assert!(report.parts.len() > 1, "{name}: {report:#?}");
    }
}

#[test]
fn a_sum_that_does_not_match_is_told_and_the_file_is_read() {
    let mut item = wrap::tnef(PLAIN, &macro_document(), Place::Attribute, &[]);
    let last = item.len() - 1;
    item[last] ^= 0xff;
    let report = report("winmail.dat", item.clone());
    assert!(ids(&report).contains(&"damaged") && ids(&report).contains(&"vba-autoexec"), "{report:#?}");
    // Rubbish between two attributes.
    let place = memchr::memmem::find(&item, b"\x02\x0f\x80\x06\0").unwrap();
    item.splice(place..place, [0x55; 40]);
    let report = self::report("winmail.dat", item);
    assert!(ids(&report).contains(&"damaged") && ids(&report).contains(&"vba-autoexec"), "{report:#?}");
}

#[test]
fn mutants_of_all_of_them_get_a_report() {
    let limits = Limits { max_files: 60, max_file_size: 1 << 20, max_scan_size: 4 << 20, ..Limits::default() };
    let files = all(&honest_document());
    for seed in 0..600 {
        let mut random = Rng::with_seed(seed);
        let (name, file) = &files[random.usize(..files.len())];
        let mut mutant = file.clone();
        for _ in 0..random.usize(1..6) {
            let near = if random.bool() { 400 } else { usize::MAX };
            let at = random.usize(..mutant.len().min(near));
            match random.u8(..4) {
                0 => mutant[at] = random.u8(..),
                1 => mutant.truncate(at.max(1)),
                2 => mutant[at] = *random.choice([0, 0x7f, 0x80, 0xff].iter()).unwrap(),
                _ => drop(mutant.splice(at..at, [0xff; 4])),
            }
        }
        let size = mutant.len();
        let report = scan(Input::file(mutant, *name), &limits, &Knowledge::default(), &Stop::default());
        check(&report, &limits, size);
    }
}

#[test]
fn hostile_repetitions_cost_little() {
    const SIZE: usize = 4 << 20;
    let header = [&b"\x78\x9f\x3e\x22\x01\0"[..], &[1, 3, 0x90, 6, 0]].concat();
    let rows: Vec<(Vec<u8>, Vec<u8>)> = vec![
        (b"\x78\x9f\x3e\x22\x01\0".to_vec(), b"\x02\x0f\x80\x06\0\0\0\0\0\0\0".to_vec()),
        (b"\x78\x9f\x3e\x22\x01\0".to_vec(), b"\x03\x80\x90".to_vec()),
        (header, vec![0xff]),
        (b"".to_vec(), b"begin 644 a\n".to_vec()),
        (b"".to_vec(), b"begin 644 a\n\n\n!!!!!\n".to_vec()),
        (b"".to_vec(), b"=ybegin name=a\n".to_vec()),
        (b"".to_vec(), b"(This file must be converted with BinHex\n".to_vec()),
        (b"".to_vec(), b"(This file must be converted with BinHex\n:!\n".to_vec()),
        (b"".to_vec(), b"-----BEGIN PGP MESSAGE-----\n".to_vec()),
        (b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\x80".to_vec(), b"\x30\x80".to_vec()),
        (b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01\xa0\x80\x24\x80".to_vec(), b"\x24\x80".to_vec()),
        (b"\x90\x0d\x03\0\x08\x01\0\0\0\0\0\0\0\0\x01".to_vec(), b"\xca\0".to_vec()),
        (b"From a\nb: c\n".to_vec(), b"\nFrom a\nb: c\n".to_vec()),
    ];
    for (start, row) in rows {
        let file = [&start[..], &row.repeat(SIZE / row.len())].concat();
        let begun = Instant::now();
        scan(Input::file(file, "a.gpg"), &Limits::default(), &Knowledge::default(), &Stop::default());
        let time = begun.elapsed();
        assert!(time < Duration::from_secs(20), "{:?} took {time:?}", String::from_utf8_lossy(&row));
    }
}

#[test]
fn a_strip_takes_out_the_attachment_that_holds_it() {
    for (name, file) in all(&macro_document()).into_iter().filter(|(name, _)| *name != "a.mbox") {
        let raw = with_file("Invoice", name, "application/octet-stream", &file);
        let report = report_of(Input::message(raw.clone()));
        let paths = offending(&report);
        assert_eq!(paths.iter().map(ToString::to_string).collect::<Vec<_>>(), ["2"], "{name}: {report:#?}");
        let stripped = strip(&raw, &report, &paths, &Notice { id: "x", languages: Languages::English }).unwrap();
        let left = stripped.apply(&raw);
        assert!(!ids(&report_of(Input::message(left))).contains(&"vba-autoexec"), "{name}");
    }
}

// Oracles -------------------------------------------------------------------------------------

/// What a program makes of its input.
fn run(program: &Path, arguments: &[&str], folder: &Path, input: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env("GNUPGHOME", folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{program:?} {arguments:?}");
    output.stdout
}

#[test]
fn what_openssl_signs_and_encrypts_is_read() {
    let Some(openssl) = require_tool("openssl") else { return };
    let folder = tempfile::tempdir().unwrap();
    let key = "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out certificate.pem -days 2 -subj /CN=a";
    run(&openssl, &key.split(' ').collect::<Vec<_>>(), folder.path(), b"");
    let message = with_file("Invoice", PLAIN, "application/msword", &macro_document());
    let make = |arguments: &str| run(&openssl, &arguments.split(' ').collect::<Vec<_>>(), folder.path(), &message);
    for signed in [
        "smime -sign -nodetach -binary -signer certificate.pem -inkey key.pem",
        "cms -sign -nodetach -binary -stream -signer certificate.pem -inkey key.pem",
    ] {
        let raw = [b"From: a@b.example\r\nSubject: x\r\n".to_vec(), make(signed)].concat();
        found("1/1/2", PLAIN, &report_of(Input::message(raw)));
        found("1/1/2", PLAIN, &report("smime.p7m", make(&format!("{signed} -outform DER"))));
        found("1/1/2", PLAIN, &report("smime.p7m", make(&format!("{signed} -outform PEM"))));
    }
    let raw = make("cms -encrypt -binary -aes256 certificate.pem");
    let report = report_of(Input::message([b"From: a@b.example\r\nSubject: x\r\n".to_vec(), raw].concat()));
    assert_eq!(ids(&report), ["mail-encrypted"], "{report:#?}");
}

#[test]
fn what_python_encodes_is_read() {
    let Some(python) = require_tool("python3") else { return };
    let program = "import sys,binascii\nd=sys.stdin.buffer.read()\nw=sys.stdout.buffer.write\nw(b'begin 644 invoice.docm\\n')\n\
        for i in range(0,len(d),45): w(binascii.b2a_uu(d[i:i+45]))\nw(b' \\nend\\n')";
    let text = run(&python, &["-c", program], Path::new("."), &macro_document());
    found("1/1", PLAIN, &report("a.txt", text));
}

#[test]
fn what_gnupg_stores_and_encrypts_is_read() {
    let Some(gpg) = require_tool("gpg") else { return };
    let folder = tempfile::tempdir().unwrap();
    let make = |arguments: &str| {
        let all = format!("--batch --no-tty --set-filename invoice.docm {arguments}");
        run(&gpg, &all.split(' ').collect::<Vec<_>>(), folder.path(), &macro_document())
    };
    found("1/1", PLAIN, &report("a.gpg", make("--store")));
    found("1/1", PLAIN, &report("a.asc", make("--armor --store")));
    for options in ["", "--armor "] {
        let message = make(&format!("{options}--pinentry-mode loopback --passphrase x --symmetric"));
        assert_eq!(ids(&report("x", message)), ["mail-encrypted"]);
    }
}
