//! Stripping: what is cut is gone for every reader, and nothing else changed; or it is refused.

use std::time::{Duration, Instant};

use crate::common::{awkward, samples};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use mail_parser::{Message, MessageParser, MimeHeaders, PartType};
use sekisho::knowledge::Knowledge;
use sekisho::limits::Limits;
use sekisho::marks::{Changes, Field};
use sekisho::part::PartPath;
use sekisho::scan::{self, Input, Report, Stop};
use sekisho::strip::{Languages, Notice, Refused, Stripped, offending, strip};
use sekisho::verdict::{self, Level};
use sha2::{Digest, Sha256};

const NOTICE: Notice<'_> = Notice { id: "20261123-4711", languages: Languages::Both };

fn scan(raw: &[u8]) -> Report {
    let input = Input::message(Bytes::copy_from_slice(raw));
    scan::scan(input, &Limits::default(), &Knowledge::default(), &Stop::default())
}

fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

/// Every part with this content.
fn with_content(report: &Report, content: &[u8]) -> Vec<PartPath> {
    let sha256 = sha256(content);
    report.parts.iter().filter(|part| part.sha256 == sha256).map(|part| part.path.clone()).collect()
}

/// Strips what is offending.
fn stripped(raw: &[u8]) -> Result<(Stripped, Vec<u8>), Refused> {
    let report = scan(raw);
    let stripped = strip(raw, &report, &offending(&report), &NOTICE)?;
    check_outside(raw, &stripped);
    let copy = stripped.apply(raw);
    Ok((stripped, copy))
}

/// Nothing but the changes may differ.
fn check_outside(raw: &[u8], stripped: &Stripped) {
    let mut changes = Changes::default();
    stripped.join(&mut changes);
    let top: String = changes.prepend.iter().map(|field| format!("{}:{}\r\n", field.name, field.value)).collect();
    let fields = changes.fields.iter().map(|field| match &field.new {
        Some(value) => (field.value.clone(), value.to_vec()),
        None => (field.span.clone(), Vec::new()),
    });
    let body = changes
        .body
        .iter()
        .map(|splice| (splice.range.start as usize..splice.range.end as usize, splice.with.to_vec()));
    let mut splices: Vec<_> = fields.chain(body).collect();
    splices.sort_by_key(|(range, _)| (range.start, range.end));
    let (mut expected, mut at) = (top.into_bytes(), 0);
    for (range, with) in &splices {
        assert!(range.start >= at && range.end <= raw.len(), "splices overlap: {splices:?}");
        expected.extend_from_slice(&raw[at..range.start]);
        expected.extend_from_slice(with);
        at = range.end;
    }
    expected.extend_from_slice(&raw[at..]);
    assert!(expected == stripped.apply(raw));
}

/// The contents that mail-parser shows, at every depth.
fn contents(raw: &[u8]) -> Vec<Vec<u8>> {
    let message = MessageParser::default().parse(raw).unwrap_or_default();
    let mut found = Vec::new();
    let mut messages: Vec<&Message<'_>> = vec![&message];
    while let Some(message) = messages.pop() {
        for part in &message.parts {
            match &part.body {
                PartType::Message(inner) => messages.push(inner),
                PartType::Multipart(_) => {}
                _ => found.push(part.contents().to_vec()),
            }
        }
    }
    found
}

fn texts(raw: &[u8]) -> Vec<String> {
    contents(raw).into_iter().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
}

fn notices(raw: &[u8]) -> Vec<String> {
    texts(raw).into_iter().filter(|text| text.contains(NOTICE.id)).collect()
}

#[test]
fn an_awkward_attachment_is_gone_for_every_reader_or_refused() {
    let (mut cut, mut refused) = (Vec::new(), Vec::new());
    for case in awkward::table() {
        let report = scan(&case.raw);
        let paths = with_content(&report, &case.payload);
        match strip(&case.raw, &report, &paths, &NOTICE) {
            Ok(stripped) => {
                check_outside(&case.raw, &stripped);
                let copy = stripped.apply(&case.raw);
                assert!(with_content(&scan(&copy), &case.payload).is_empty(), "{}: still there", case.name);
                assert!(!contents(&copy).contains(&case.payload), "{}: another reader has it", case.name);
                assert_eq!(notices(&copy).len(), 1, "{}: {:?}", case.name, texts(&copy));
                cut.push(case.name);
            }
            Err(why) => refused.push(format!("{}: {why}", case.name)),
        }
    }
    let certain = [
        "an ordinary attachment",
        "a document labelled text/plain",
        "the whole message is the attachment",
        "an inline image that is none",
        "line ends are LF",
        "base64 in one line",
        "a boundary without quotes and with white space",
        "white space behind each delimiter",
        "quoted-printable",
        "RFC 2231 in pieces with a character set",
        "a name in raw ISO-2022-JP",
        "eight levels of multiparts",
        "eight levels of messages",
        "a message in base64",
        "a message attached as application/octet-stream",
    ];
    let missing: Vec<_> = certain.iter().filter(|name| !cut.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?} is refused:\n{}", refused.join("\n"));
    let never = [
        "line ends are CR",
        "no closing delimiter",
        "two boundary parameters, the first true",
        "two content types, the second true",
        "an empty boundary",
        "no boundary parameter",
        "delimiters that are not those declared",
        "a structure in a text/plain message",
        "no header at all",
        "an attachment in the preamble",
        "an attachment in the epilogue",
        "an attachment between delimiters behind the closing one",
        "an inner boundary that begins with the outer one",
        "an outer boundary that begins with the inner one",
        "the same boundary inside and outside",
        "an encoded multipart, base64",
        "uuencode in a text",
        "uuencode in the preamble",
        "yEnc in a text",
        "a bounce that quotes the message in its text",
    ];
    let wrongly: Vec<_> = never.iter().filter(|name| cut.contains(name)).collect();
    assert!(wrongly.is_empty(), "{wrongly:?} were cut");
}

#[test]
fn every_bad_sample_is_clean_once_it_is_stripped() {
    for sample in samples::all() {
        let report = scan(&sample.message);
        let bad = verdict::judge(&report).level >= Level::Suspicious;
        match stripped(&sample.message) {
            Ok((_, copy)) => {
                assert!(bad, "{}", sample.name);
                let after = verdict::judge(&scan(&copy));
                assert_eq!((after.level, after.complete), (Level::Clean, true), "{}: {after:?}", sample.name);
                let [notice] = &notices(&copy)[..] else { panic!("{}: {:?}", sample.name, texts(&copy)) };
                assert!(notice.contains("セキュリティ上の理由により"), "{notice}");
                assert!(notice.contains("For security reasons, an attachment was removed"), "{notice}");
                // What the letter says stays.
                let left = scan(&copy).findings;
                assert!(left.iter().all(|f| f.id.as_str() == "password-told"), "{}: {left:?}", sample.name);
            }
            Err(why) => assert_eq!((bad, why), (false, Refused::NothingToStrip), "{}", sample.name),
        }
    }
}

const DOCM: &str = "application/vnd.ms-word.document.macroEnabled.12";

fn part(name: &str, bytes: &[u8]) -> String {
    format!(
        "Content-Type: {DOCM}\r\nContent-Disposition: attachment; filename=\"{name}\"\r\nContent-Transfer-Encoding: base64\r\n\r\n{}",
        samples::base64_lines(bytes).trim_end()
    )
}

const TEXT: &str = "Content-Type: text/plain; charset=us-ascii\r\n\r\nHello.\r\n";

fn multi(kind: &str, parts: &[&str]) -> Vec<u8> {
    let top = "From: a@example.com\r\nSubject: s\r\nMIME-Version: 1.0\r\n";
    let parts: String = parts.iter().map(|part| format!("--b1\r\n{part}\r\n")).collect();
    format!(
        "{top}Content-Type: multipart/{kind}; boundary=\"b1\"\r\n\r\nA preamble\r\n{parts}--b1--\r\nAn epilogue\r\n"
    )
    .into_bytes()
}

#[test]
fn a_part_of_a_forwarded_mail_is_cut_inside_of_it() {
    let sample = samples::all().into_iter().find(|sample| sample.name == "forwarded-docm").expect("a sample");
    let (stripped, copy) = stripped(&sample.message).unwrap();
    assert!(stripped.fields.is_empty());
    let text = String::from_utf8(copy).unwrap();
    let original = String::from_utf8(sample.message).unwrap();
    assert!(!text.contains(DOCM) && original.contains(DOCM));
    assert_eq!(text.matches("Please find the document attached.").count(), 1);
    assert_eq!(text.matches("message/rfc822").count(), 1);
    assert!(text.contains("invoice.docm.txt"), "{text}");
}

#[test]
fn what_holds_the_finding_deep_inside_goes_as_a_whole() {
    let zip = crate::common::ooxml::zip(&[crate::common::ooxml::Member {
        name: "invoice.docm",
        bytes: samples::macro_document(),
    }]);
    let inner = samples::with_file("s", "a.zip", "application/zip", &zip);
    let header = "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    let encoded = format!("{header}{}", samples::base64_lines(&inner).trim_end());
    let raw = multi("mixed", &[TEXT, &encoded]);
    assert_eq!(offending(&scan(&raw)), ["3".parse().unwrap()]);
    let (_, copy) = stripped(&raw).unwrap();
    assert_eq!(verdict::judge(&scan(&copy)).level, Level::Clean);
    let [notice] = &notices(&copy)[..] else { panic!("{:?}", texts(&copy)) };
    assert!(notice.contains("invoice.docm in a.zip runs by itself"), "{notice}");
}

#[test]
fn a_forwarded_message_that_is_nothing_but_the_file_goes_as_a_whole() {
    let inner = format!(
        "Content-Type: message/rfc822\r\n\r\nFrom: a@b\r\nSubject: x\r\nMIME-Version: 1.0\r\n{}",
        part("a.docm", &samples::macro_document())
    );
    let raw = multi("mixed", &[TEXT, &inner]);
    let (_, copy) = stripped(&raw).unwrap();
    let [notice] = &notices(&copy)[..] else { panic!("{:?}", texts(&copy)) };
    assert!(notice.contains("an attached message was removed") && notice.contains("添付されたメール"), "{notice}");
    assert!(!String::from_utf8(copy).unwrap().contains("message/rfc822"));
}

#[test]
fn a_message_that_is_nothing_but_the_file_becomes_a_notice() {
    let raw = format!(
        "Subject: s\r\nContent-Description: x\r\nContent-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==\r\nContent-Description: y\r\n{}\r\n",
        part("a.docm", &samples::macro_document())
    );
    let (stripped, copy) = stripped(raw.as_bytes()).unwrap();
    let fields: Vec<String> = stripped
        .fields
        .iter()
        .map(|change| {
            let name = String::from_utf8_lossy(&change.name).into_owned();
            match &change.new {
                Some(value) => format!("{name} {} ={}", change.index, String::from_utf8_lossy(value)),
                None => format!("{name} {} goes", change.index),
            }
        })
        .collect();
    assert_eq!(
        fields,
        [
            "Content-Description 1 goes",
            "Content-MD5 1 goes",
            "Content-Description 2 goes",
            "Content-Type 1 = text/plain; charset=utf-8",
            "Content-Disposition 1 goes",
            "Content-Transfer-Encoding 1 = base64",
        ]
    );
    assert_eq!(stripped.add, [Field { name: "MIME-Version".to_owned(), value: " 1.0".to_owned() }]);
    let text = String::from_utf8(copy.clone()).unwrap();
    let header = "MIME-Version: 1.0\r\nSubject: s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    assert!(text.starts_with(header), "{text}");
    assert_eq!(notices(&copy).len(), 1);
    let body = stripped.body.iter().map(|splice| splice.with.to_vec()).collect::<Vec<_>>().concat();
    assert_eq!(body, copy[header.len()..]);
    assert!(scan(&copy).findings.is_empty());
}

#[test]
fn two_parts_get_a_notice_each_and_what_stands_between_stays() {
    let document = samples::macro_document();
    let long = format!(
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{}\r\n Å ",
        "請求書 x".repeat(3000)
    );
    let raw =
        multi("mixed", &[TEXT, &part("one.docm", &document), &long, &part("二.docm", &document), "\r\nlast\r\n "]);
    let (stripped, copy) = stripped(&raw).unwrap();
    assert_eq!(stripped.body.len(), 2);
    let names: Vec<String> = notices(&copy);
    assert!(names[0].contains("one.docm") && names[1].contains("二.docm"), "{names:?}");
    let text = String::from_utf8(copy.clone()).unwrap();
    assert!(text.contains(&long) && text.contains("A preamble") && text.ends_with("--b1--\r\nAn epilogue\r\n"));
    let message = MessageParser::default().parse(&copy).unwrap();
    let attachments: Vec<_> = message.parts.iter().filter_map(|part| part.attachment_name()).collect();
    assert_eq!(attachments, ["one.docm.txt", "二.docm.txt"]);
}

#[test]
fn an_alternative_keeps_its_other_part_and_a_signature_is_said_to_break() {
    let script = part("a.docm", &samples::macro_document());
    let (_, copy) = stripped(&multi("alternative", &[TEXT, &script])).unwrap();
    assert!(texts(&copy).iter().any(|text| text.contains("Hello.")));
    assert!(!notices(&copy)[0].contains("signature"));
    let signature = "Content-Type: application/pkcs7-signature; name=\"smime.p7s\"\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"smime.p7s\"\r\n\r\nMIAGCSqGSIb3DQEHAqCAMIACAQExDzANBglghkgBZQMEAgEFADCABgkqhkiG9w0BBwEAAAAAAAA=";
    let (_, copy) = stripped(&multi("signed", &[&script, signature])).unwrap();
    let notice = &notices(&copy)[0];
    assert!(notice.contains("the signature no longer matches") && notice.contains("電子署名"), "{notice}");
}

#[test]
fn a_file_within_a_text_and_the_message_itself_are_refused() {
    let payload = awkward::payload(3);
    let raw =
        format!("Subject: s\r\n\r\nHello\r\n{}Bye\r\n", awkward::uuencode("a.doc", &payload).replace('\n', "\r\n"));
    let report = scan(raw.as_bytes());
    let paths = with_content(&report, &payload);
    assert_eq!(strip(raw.as_bytes(), &report, &paths, &NOTICE), Err(Refused::NotAPart(paths[0].clone())));
    let root = PartPath::root();
    let refused = strip(raw.as_bytes(), &report, std::slice::from_ref(&root), &NOTICE);
    assert_eq!(refused, Err(Refused::NotAPart(root)));
    let unknown: PartPath = "7/7".parse().unwrap();
    assert_eq!(
        strip(raw.as_bytes(), &report, std::slice::from_ref(&unknown), &NOTICE),
        Err(Refused::NotAPart(unknown))
    );
    assert_eq!(strip(raw.as_bytes(), &report, &[], &NOTICE), Err(Refused::NothingToStrip));
    let partial = b"Subject: s\r\nContent-Type: message/partial; id=a; number=1\r\n\r\nx: y\r\n\r\nz\r\n";
    assert!(matches!(stripped(partial), Err(Refused::Ambiguous(_))));
}

#[test]
fn what_cannot_be_inspected_goes_and_the_text_that_lures_stays() {
    let lure = "Content-Type: text/plain\r\n\r\nPlease press Enable Content to view this document.\r\n";
    let honest = "Content-Type: text/plain; name=notes.txt\r\n\r\nnotes\r\n";
    let rar =
        "Content-Type: application/octet-stream; name=a.rar\r\nContent-Transfer-Encoding: base64\r\n\r\nUmFyIRoHAQA=";
    let raw = multi("mixed", &[lure, honest, rar, &part("a.docm", &samples::macro_document())]);
    let paths: Vec<String> = offending(&scan(&raw)).iter().map(ToString::to_string).collect();
    // The preamble is a part too.
    assert_eq!(paths, ["4", "5"]);
    let (_, copy) = stripped(&raw).unwrap();
    let text = String::from_utf8(copy.clone()).unwrap();
    assert!(text.contains(lure) && text.contains(honest));
    assert!(notices(&copy)[0].contains("破損しているため検査できませんでした。"), "{}", notices(&copy)[0]);
    let eicar = [b"Subject: s\r\n\r\n".to_vec(), samples::eicar(), b"\r\n".to_vec()].concat();
    let (_, copy) = stripped(&eicar).unwrap();
    assert!(notices(&copy)[0].contains("本文の一部"), "{}", notices(&copy)[0]);
}

#[test]
fn a_hostile_name_is_harmless_in_the_notice() {
    let document = samples::macro_document();
    let names = [
        "=?utf-8?Q?in=0D=0AX-Evil:_1=E2=80=AEcod.docm?=",
        "..\\\\..\\\\a\\\"b.docm",
        &"長い名前".repeat(40),
        "--b1--",
        "",
    ];
    for name in names {
        let raw = multi("mixed", &[TEXT, &part(name, &document)]);
        let (stripped, copy) = match stripped(&raw) {
            Ok(done) => done,
            Err(why) => panic!("{name}: {why}"),
        };
        let notice = String::from_utf8(stripped.body[0].with.to_vec()).unwrap();
        assert!(notice.is_ascii() && notice.lines().all(|line| line.len() <= 78), "{notice}");
        assert!(!notice.contains("X-Evil: 1") && !notice.lines().any(|line| line.starts_with("--")), "{notice}");
        let shown = &notices(&copy)[0];
        assert!(!shown.contains('\u{202e}') && !shown.contains("\r\nX-Evil"), "{shown}");
        assert!(shown.chars().count() < 900, "{shown}");
    }
}

#[test]
fn the_languages_are_those_asked_for() {
    let raw = multi("mixed", &[TEXT, &part("a.docm", &samples::macro_document())]);
    let report = scan(&raw);
    let said = |languages| {
        let notice = Notice { languages, ..NOTICE };
        let copy = strip(&raw, &report, &offending(&report), &notice).unwrap().apply(&raw);
        notices(&copy).concat()
    };
    assert!(said(Languages::English).is_ascii());
    assert!(!said(Languages::Japanese).contains("removed"));
    assert!(said(Languages::Both).contains("removed") && said(Languages::Both).contains("取り除きました"));
}

#[test]
fn a_part_that_a_rule_does_not_want_goes_without_findings() {
    let raw = multi("mixed", &[TEXT, "Content-Type: image/png; name=a.png\r\n\r\nx"]);
    let report = scan(&raw);
    let copy = strip(&raw, &report, &["3".parse().unwrap()], &NOTICE).unwrap().apply(&raw);
    assert!(notices(&copy)[0].contains("The rules of this mail system do not allow it."));
}

#[test]
fn honest_structures_can_be_cut() {
    let image = samples::base64_lines(b"\x89PNG\r\n\x1a\n0000000000000000000000000000");
    let related = format!(
        "Content-Type: multipart/related; type=\"multipart/alternative\"; boundary=\"----=_Part_1_(x)\"\r\n\r\n------=_Part_1_(x)\r\nContent-Type: multipart/alternative;\r\n boundary=00000000000\r\n\r\n--00000000000\r\nContent-Type: text/plain; charset=iso-2022-jp\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\x1b$B8+@Q\x1b(B\r\n--00000000000\r\nContent-Type: text/html\r\n\r\n<img src=\"cid:1\">\r\n--00000000000--\r\n\r\n------=_Part_1_(x)\r\nContent-Type: image/png\r\nContent-ID: <1>\r\nContent-Transfer-Encoding: base64\r\n\r\n{image}\r\n------=_Part_1_(x)--\r\n"
    );
    let report = "Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; a\r\n\r\nAction: failed\r\n";
    let headers = "Content-Type: text/rfc822-headers\r\n\r\nFrom: x@y\r\nSubject: s\r\n";
    let empty = "Content-Type: text/plain\r\n";
    let raw = multi("mixed", &[&related, report, headers, empty, &part("a.docm", &samples::macro_document()), TEXT]);
    let (_, copy) = stripped(&raw).unwrap();
    assert_eq!(notices(&copy).len(), 1);
}

#[test]
fn mutants_are_cut_for_every_reader_or_refused() {
    let mut random = fastrand::Rng::with_seed(20261123);
    let mut cut = 0;
    let started = Instant::now();
    let sources: Vec<Vec<u8>> = {
        let payload = awkward::payload(99);
        let inner = multi("mixed", &[TEXT, &part("in.doc", &payload)]);
        let inner = String::from_utf8(inner).unwrap().replace("b1", "c2");
        let sample = |name| samples::all().into_iter().find(|sample| sample.name == name).expect("a sample").message;
        vec![
            sample("forwarded-docm"),
            sample("zip-docm"),
            multi("mixed", &[TEXT, &part("a.doc", &payload), "\r\nlast"]),
            multi("mixed", &[TEXT, &format!("Content-Type: message/rfc822\r\n\r\n{inner}")]),
            format!("Subject: s\r\nMIME-Version: 1.0\r\n{}\r\n", part("a.doc", &payload)).into_bytes(),
        ]
    };
    for round in 0..2500 {
        let mut raw = sources[round % sources.len()].clone();
        for _ in 0..random.usize(1..4) {
            mutate(&mut raw, &mut random);
        }
        let report = scan(&raw);
        let files = report.parts.iter().filter(|part| part.names.iter().any(|name| name.contains("doc")));
        let (paths, hashes): (Vec<_>, Vec<_>) = files.map(|part| (part.path.clone(), part.sha256.clone())).unzip();
        if let Ok(stripped) = strip(&raw, &report, &paths, &NOTICE) {
            cut += 1;
            check_outside(&raw, &stripped);
            let copy = stripped.apply(&raw);
            let after = scan(&copy);
            assert!(after.parts.iter().all(|part| !hashes.contains(&part.sha256)), "{}", String::from_utf8_lossy(&raw));
            assert!(contents(&copy).iter().all(|content| !hashes.contains(&sha256(content))));
            assert!(!notices(&copy).is_empty());
        }
    }
    assert!(cut > 100, "{cut}");
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

fn mutate(raw: &mut Vec<u8>, random: &mut fastrand::Rng) {
    const TOKENS: [&[u8]; 13] = [
        b"\r\n--=_sekisho_inner\r\n",
        b"\r\n--=_sekisho_sample\r\n",
        b"\r\n--b1\r\n",
        b"\r\n--c2\r\n",
        b"\r\n--b1--\r\n",
        b"\r\n\r\n",
        b"=",
        b";",
        b"\"",
        b"(",
        b" ",
        b"\r\nContent-Type: message/rfc822\r\n\r\n",
        b"\r\nContent-Type: multipart/mixed; boundary=c2\r\n\r\n",
    ];
    let at = random.usize(..raw.len().max(1)).min(raw.len());
    match random.u8(..6) {
        0 if random.bool() => raw.truncate(at),
        1 if at < raw.len() => raw[at] = random.u8(b' '..b'~'),
        2 | 3 => drop(raw.splice(at..at, random.choice(TOKENS).expect("tokens").iter().copied())),
        4 => drop(raw.drain(at..(at + random.usize(..40)).min(raw.len()))),
        _ => {
            let copy = raw[at..(at + random.usize(..200)).min(raw.len())].to_vec();
            let to = random.usize(..=raw.len());
            raw.splice(to..to, copy);
        }
    }
}

#[test]
fn a_message_made_to_cost_time_does_not() {
    let started = Instant::now();
    let many = "--b1\r\nContent-Type: text/plain; name=x\r\n\r\ny\r\n".repeat(3000);
    let nested: String =
        (0..60).map(|n| format!("Content-Type: multipart/mixed; boundary=n{n}x\r\n\r\n--n{n}x\r\n")).collect();
    let messages = "Content-Type: message/rfc822\r\n\r\n".repeat(3000);
    for raw in [format!("Content-Type: multipart/mixed; boundary=b1\r\n\r\n{many}--b1--\r\n"), nested, messages] {
        let report = scan(raw.as_bytes());
        let paths: Vec<PartPath> = report.parts.iter().skip(1).take(5).map(|part| part.path.clone()).collect();
        assert!(strip(raw.as_bytes(), &report, &paths, &NOTICE).is_err());
    }
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
}
