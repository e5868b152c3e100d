//! Reading mail: every awkward message gives up its attachment, byte for byte.

use std::time::{Duration, Instant};

use crate::common::awkward::{self, Case};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use sekisho::knowledge::Knowledge;
use sekisho::limits::Limits;
use sekisho::part::Origin;
use sekisho::scan::{self, Input, PartReport, Report, Stop};
use sha2::{Digest, Sha256};

fn scan(raw: &[u8]) -> Report {
    let input = Input::message(Bytes::copy_from_slice(raw));
    scan::scan(input, &Limits::default(), &Knowledge::default(), &Stop::default())
}

fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

/// The part that holds the case's attachment.
fn recovered<'a>(report: &'a Report, case: &Case) -> Option<&'a PartReport> {
    let sha256 = sha256(&case.payload);
    report
        .parts
        .iter()
        .find(|part| part.sha256 == sha256 && case.names.iter().all(|name| part.names.iter().any(|n| n == name)))
}

#[test]
fn every_awkward_attachment_is_recovered() {
    let table = awkward::table();
    assert!(table.len() >= 40);
    let mut missed = Vec::new();
    for case in &table {
        let report = scan(&case.raw);
        if recovered(&report, case).is_none_or(|part| part.origin != Origin::Attachment) {
            let parts: Vec<_> =
                report.parts.iter().map(|p| format!("{} {:?} {:?} {}", p.path, p.origin, p.names, p.size)).collect();
            missed.push(format!("{} ({} octets): {parts:#?}", case.name, case.payload.len()));
        }
        assert!(report.findings.iter().all(|f| f.id.as_str() != "scan-fault"), "{}: {:?}", case.name, report.findings);
    }
    assert!(missed.is_empty(), "{} missed:\n{}", missed.len(), missed.join("\n"));
}

fn findings(report: &Report) -> Vec<String> {
    report.findings.iter().map(|f| format!("{} at {}: {}", f.id, f.part, f.evidence)).collect()
}

/// Where `needle` stands in `raw`, once and only once.
fn place(raw: &[u8], needle: &[u8]) -> usize {
    let mut found = memchr::memmem::find_iter(raw, needle);
    let at = found.next().expect("it stands there");
    assert!(found.next().is_none(), "only once");
    at
}

#[test]
fn cutting_out_a_span_removes_the_part_and_nothing_else() {
    let names =
        ["an ordinary attachment", "line ends are LF", "eight levels of multiparts", "eight levels of messages"];
    for case in awkward::table().into_iter().filter(|case| names.contains(&case.name)) {
        let report = scan(&case.raw);
        let span = recovered(&report, &case).expect(case.name).span.clone().expect(case.name);
        let part = &case.raw[span.clone()];
        assert!(part.starts_with(b"Content-Type: application/msword"), "{}", case.name);
        let line_end: &[u8] = if case.name.contains("LF") { b"\n" } else { b"\r\n" };
        assert!(case.raw[..span.start].ends_with(line_end), "{}", case.name);
        assert!(case.raw[span.end..].starts_with(&[line_end, b"--"].concat()), "{}", case.name);
        let stripped = [&case.raw[..span.start], &case.raw[span.end..]].concat();
        let after = scan(&stripped);
        assert!(recovered(&after, &case).is_none(), "{}", case.name);
        // What else stood in the mail still stands there.
        let others = |report: &Report| -> Vec<String> {
            let inner = report.parts.iter().filter(|p| p.origin == Origin::Body);
            inner.map(|p| p.sha256.clone()).collect()
        };
        assert_eq!(others(&report), others(&after), "{}", case.name);
    }
}

#[test]
fn a_uuencoded_block_is_cut_out_of_its_text() {
    let payload = awkward::payload(7);
    let block = awkward::uuencode("a.doc", &payload);
    let raw = format!("Subject: s\n\nHello\n{block}Bye\n");
    let report = scan(raw.as_bytes());
    let part = report.parts.iter().find(|p| p.sha256 == sha256(&payload)).expect("found");
    let start = place(raw.as_bytes(), b"begin 644");
    assert_eq!(part.span, Some(start..start + block.len()));
}

#[test]
fn parts_of_an_encoded_message_have_no_place_in_the_raw_message() {
    let case = awkward::table().into_iter().find(|case| case.name == "a message in base64").expect("a case");
    let report = scan(&case.raw);
    let part = recovered(&report, &case).expect("found");
    assert_eq!(part.span, None);
    // The message that holds it has one: that is what can be cut out.
    let parent = report.parts.iter().find(|p| p.path.to_string() == "1").expect("the message");
    let span = parent.span.clone().expect("a span");
    assert!(case.raw[span].starts_with(b"Content-Type: message/rfc822"));
}

#[test]
fn honest_mail_is_not_ambiguous() {
    for (name, raw) in honest() {
        let report = scan(&raw);
        let loud: Vec<String> = findings(&report)
            .into_iter()
            .filter(|f| ["mime-", "name-", "type-", "carrier-", "scan-"].iter().any(|id| f.starts_with(id)))
            .collect();
        assert!(loud.is_empty(), "{name}: {loud:?}");
    }
}

fn honest() -> Vec<(&'static str, Vec<u8>)> {
    let image = data_encoding::BASE64_MIME.encode(b"\x89PNG\r\n\x1a\n0000000000000000000000000000");
    let crlf = |text: String| text.replace("\r\n", "\n").replace('\n', "\r\n").into_bytes();
    let alternative = format!(
        "From: a@b\nSubject: s\nMIME-Version: 1.0\nContent-Type: multipart/related; boundary=\"=_r\"; type=\"multipart/alternative\"\n\nThis is a multi-part message in MIME format.\n--=_r\nContent-Type: multipart/alternative; boundary=\"=_ra\"\n\n--=_ra\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\nHello =E3=81=82 \n--=_ra\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: 7bit\n\n<img src=\"cid:1\">\n--=_ra--\n\n--=_r\nContent-Type: image/png; name=\"a.png\"\nContent-Transfer-Encoding: base64\nContent-ID: <1>\nContent-Disposition: inline; filename=\"a.png\"\n\n{image}\n--=_r--\n"
    );
    let name = data_encoding::BASE64.encode(&encoding_rs::ISO_2022_JP.encode("見積書.xlsx").0);
    let japanese = format!(
        "From: a@b\nSubject: =?ISO-2022-JP?B?GyRCO24bKEI=?=\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"----=_Part_1\"\n\n------=_Part_1\nContent-Type: text/plain; charset=iso-2022-jp\nContent-Transfer-Encoding: 7bit\n\n\x1b$B8+@Q=q$rAw$j$^$9\x1b(B\n\n------=_Part_1\nContent-Type: application/vnd.openxmlformats-officedocument.spreadsheetml.sheet;\n name=\"=?ISO-2022-JP?B?{name}?=\"\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment;\n filename*=utf-8''%E8%A6%8B%E7%A9%8D%E6%9B%B8.xlsx\n\nUEsDBBQAAAA=\n------=_Part_1--\n"
    );
    let signed = "From: a@b\nSubject: s\nMIME-Version: 1.0\nContent-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; micalg=sha-256;\n boundary=\"s1\"\n\nThis is an S/MIME signed message\n\n--s1\nContent-Type: text/plain; charset=us-ascii\n\nHello\n-- \nA signature\n--s1\nContent-Type: application/pkcs7-signature; name=\"smime.p7s\"\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=\"smime.p7s\"\n\nMIAGCSqGSIb3DQEHAqCAMIACAQExDzANBglghkgBZQMEAgEFADCABgkqhkiG9w0BBwEAAAAAAAA=\n\n--s1--\n".to_owned();
    let list = "From: a@b\nSubject: s\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\nSGVsbG8sIGhvdyBhcmUgeW91PyAgSSBhbSBmaW5lLg==\n_______________\nlist mailing list\nhttp://example.com/list\n".to_owned();
    let bounce = "From: a@b\nSubject: s\nMIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status; boundary=r1\n\n--r1\n\nYour mail could not be delivered.\n--r1\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; a\n\nAction: failed\n--r1\nContent-Type: text/rfc822-headers\n\nFrom: x@y\nContent-Type: multipart/mixed; boundary=gone\n--r1--\n".to_owned();
    let forwarded = "From: a@b\nSubject: s\n\nLook:\n\n> --b1\n> Content-Type: text/plain\n>\n> hi\n\nContent-Type: is a header field.\n--\nBob\n".to_owned();
    let calendar = "From: a@b\nSubject: s\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=c1\n\n--c1\nContent-Type: text/calendar; method=REQUEST; name=\"meeting.ics\"\nContent-Transfer-Encoding: 8bit\n\nBEGIN:VCALENDAR\nEND:VCALENDAR\n--c1\nContent-Type: application/pdf\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=Report (final).pdf\n\nJVBERi0xLjQK\n--c1--\n".to_owned();
    let partial_end = "From: a@b\nSubject: s\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=c1\n\n--c1\nContent-Type: text/plain\n\nThe end is cut off\n".to_owned();
    [
        ("alternative with an inline image", alternative),
        ("Japanese with a named attachment", japanese),
        ("signed", signed),
        ("a list's footer behind base64", list),
        ("a bounce", bounce),
        ("a quoted structure", forwarded),
        ("a calendar and a PDF", calendar),
        ("no end", partial_end),
    ]
    .into_iter()
    .map(|(name, text)| (name, crlf(text)))
    .collect()
}

#[test]
fn two_readings_make_a_message_ambiguous() {
    let odd = [
        "two boundary parameters, the second true",
        "two content types, the first true",
        "base64 in padded runs",
        "base64 labelled 7bit",
        "an attachment in the epilogue",
        "an encoded multipart, base64",
        "a structure in a text/plain message",
        "a word behind the delimiter",
        "no header at all",
        "line ends are CR",
    ];
    for case in awkward::table().into_iter().filter(|case| odd.contains(&case.name)) {
        let report = scan(&case.raw);
        let told = report.findings.iter().any(|f| f.id.as_str() == "mime-ambiguous");
        assert!(told, "{}: {:?}", case.name, findings(&report));
    }
}

#[test]
fn names_that_disagree_are_reported() {
    for case in awkward::table().into_iter().filter(|case| case.names == ["a.txt", "b.docm"]) {
        let report = scan(&case.raw);
        assert!(report.findings.iter().any(|f| f.id.as_str() == "name-conflict"), "{}", case.name);
    }
}

#[test]
fn content_elsewhere_is_told() {
    let scanned = |subtype: &str| {
        findings(&scan(
            format!("Subject: s\r\nContent-Type: message/{subtype}; id=a; number=1\r\n\r\nx: y\r\n\r\nz").as_bytes(),
        ))
    };
    assert!(scanned("partial").iter().any(|f| f.starts_with("container-unsupported")));
    assert!(scanned("external-body").iter().any(|f| f.starts_with("external-body")));
}

#[test]
fn nesting_beyond_the_limits_is_told_and_still_scanned() {
    let multiparts: String = (0..60)
        .map(|level| format!("Content-Type: multipart/mixed; boundary=n{level}x\r\n\r\n--n{level}x\r\n"))
        .collect();
    let messages = "Received: x\r\nMIME-Version: 1.0\r\nContent-Type: message/rfc822\r\n\r\n".repeat(40);
    for raw in [multiparts, messages] {
        let report = scan(raw.as_bytes());
        assert!(findings(&report).iter().any(|f| f.contains("max_recursion")), "{:?}", findings(&report));
    }
    let many = "--a\r\nx\r\n".repeat(11_000);
    let report = scan(format!("Content-Type: multipart/mixed; boundary=a\r\n\r\n{many}").as_bytes());
    assert!(findings(&report).iter().any(|f| f.contains("max_files")), "{:?}", findings(&report));
    let many = "--a\r\nContent-Type: text/plain; name=x\r\n\r\ny\r\n".repeat(3000);
    let report = scan(format!("Content-Type: multipart/mixed; boundary=a\r\n\r\n{many}").as_bytes());
    assert!(findings(&report).iter().any(|f| f.contains("max_files")), "{:?}", findings(&report));
}

#[test]
fn odd_inputs_are_just_messages() {
    for raw in
        [&b""[..], b"\r\n", b"\n\n\n", b":", b"--", b"\0\0\0", b"Content-Type: multipart/mixed; boundary=\"", b"a"]
    {
        let report = scan(raw);
        assert!(report.findings.is_empty(), "{raw:?}: {:?}", findings(&report));
    }
}

/// A million line ends of a kind, behind each of what decides how lines end: read once, not once for each of them.
#[test]
fn rows_of_line_ends_take_no_time() {
    let started = Instant::now();
    for top in ["", "\r", "A: b\r\r", "A: b\n\n", "Content-Type: multipart/mixed; boundary=b\r\r--b\r\r"] {
        for end in ["\r", "\n", "\r\n", "\r\r\n", "\r \r", "\n\r"] {
            let many = end.repeat(1 << 20);
            for raw in
                [format!("{top}{many}"), format!("{top}{many}\n"), format!("{top}{many}Content-Type: text/plain")]
            {
                scan(raw.as_bytes());
            }
        }
    }
    // Some seconds; the square of a million takes days.
    assert!(started.elapsed() < Duration::from_secs(300), "{:?}", started.elapsed());
}

#[test]
fn mutants_never_panic() {
    let mut random = fastrand::Rng::with_seed(20240101);
    let table = awkward::table();
    let started = Instant::now();
    for _ in 0..2000 {
        let mut raw = random.choice(&table).expect("cases").raw.clone();
        for _ in 0..random.usize(1..8) {
            mutate(&mut raw, &mut random);
        }
        let report = scan(&raw);
        assert!(report.findings.iter().all(|f| f.id.as_str() != "scan-fault"), "{}", String::from_utf8_lossy(&raw));
    }
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

fn mutate(raw: &mut Vec<u8>, random: &mut fastrand::Rng) {
    const TOKENS: [&[u8]; 12] = [
        b"\r\n--b1\r\n",
        b"--b1--",
        b"\r\n\r\n",
        b"\r",
        b"\n",
        b"=",
        b";",
        b"\"",
        b"(",
        b"\x1b$B",
        b"\0",
        b"\r\nContent-Type: message/rfc822\r\n\r\n",
    ];
    let at = random.usize(..raw.len().max(1)).min(raw.len());
    match random.u8(..5) {
        0 => raw.truncate(at),
        1 if at < raw.len() => raw[at] = random.u8(..),
        2 => drop(raw.splice(at..at, random.choice(TOKENS).expect("tokens").iter().copied())),
        3 => drop(raw.drain(at..(at + random.usize(..40)).min(raw.len()))),
        _ => {
            let copy = raw[at..(at + random.usize(..200)).min(raw.len())].to_vec();
            let to = random.usize(..=raw.len());
            raw.splice(to..to, copy);
        }
    }
}
