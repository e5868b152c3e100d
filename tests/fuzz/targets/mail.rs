//! Targets: the structure of messages, header fields, what is changed in a message, and all of it.

use bytes::Bytes;
use sekisho::finding;
use sekisho::marks::{self, Changes};
use sekisho::message::{Edits, Piece};
use sekisho::mime;
use sekisho::mime::decode::{self, Transfer};
use sekisho::mime::params;
use sekisho::part::PartPath;
use sekisho::policy::decision::Marks;
use sekisho::scan::Input;
use sekisho::strip::{self as strips, Languages, Notice};
use sekisho::verdict;

use super::{examine, first_line};

/// The walks over a message, and every reading of every body.
pub fn mime(data: &[u8]) {
    let mail = mime::read(data);
    for entity in &mail.entities {
        assert!(entity.span.start <= entity.body.start && entity.body.start <= entity.body.end, "{entity:?}");
        assert!(entity.body.end <= entity.span.end && entity.span.end <= data.len(), "{entity:?}");
        let body = Bytes::copy_from_slice(&data[entity.body.clone()]);
        for attached in [false, true] {
            let contents = decode::contents(&body, &entity.transfers, attached);
            assert!(!contents.readings.is_empty());
            // No transfer encoding makes more of a body than it is.
            assert!(contents.readings.iter().all(|reading| reading.len() <= body.len() * 2 + 2), "a body that grew");
        }
    }
    for block in decode::uuencoded(data) {
        assert!(block.range.start <= block.range.end && block.range.end <= data.len(), "{:?}", block.range);
        assert!(block.bytes.len() <= block.range.len(), "a file that grew");
    }
    // What we encode is decoded to itself.
    let encoded = data_encoding::BASE64.encode(data);
    let contents = decode::contents(&Bytes::from(encoded), &[Transfer::Base64], true);
    assert_eq!(contents.readings[0], data);
    mime::received_count(data);
    mime::message_id(data);
    mime::header_from(data);
    mime::looks_like_message(data);
}

/// Header fields: their spans, their values, and the changes of a delivered copy.
pub fn header(data: &[u8]) {
    for fields in [mime::fields(data), mime::server_fields(data)] {
        let mut end = 0;
        for field in fields {
            assert!(field.span.start >= end && field.span.start <= field.name.start, "{field:?}");
            assert!(field.name.end <= field.value.start && field.value.end <= field.span.end, "{field:?}");
            assert!(field.span.end <= data.len(), "{field:?}");
            end = field.span.end;
            value(&data[field.value]);
        }
    }
    let report = sekisho::scan::fault(Input::message(data.to_vec()), "not scanned", None);
    let verdict = verdict::judge(&report);
    let subject = mime::subject(data).unwrap_or_default();
    let marks = Marks {
        headers: vec![("X-Rule".to_owned(), format!("{{id}} {subject}"))],
        subject_prefix: Some("[{verdict}] ".to_owned()),
    };
    let changes = marks::changes(data, &verdict, "2026-id", "rule", &marks);
    let copy = copied(data, &changes);
    // Ours stand on top, once, whatever was there.
    let ours = b"X-Sekisho-Verdict:";
    assert!(copy.starts_with(ours), "our verdict is not on top");
    let end: usize = changes.prepend.iter().map(|field| field.name.len() + field.value.len() + ":\r\n".len()).sum();
    let forged = mime::own_fields(&copy, "x-sekisho-").into_iter().find(|span| span.end > end);
    assert_eq!(forged, None, "a field that looks like ours came through");
    let top = mime::server_fields(&copy).take(changes.prepend.len());
    let names: Vec<&[u8]> = top.map(|field| &copy[field.name]).collect();
    let prepended: Vec<&[u8]> = changes.prepend.iter().map(|field| field.name.as_bytes()).collect();
    assert_eq!(names, prepended, "our fields do not stand alone");
    assert!(
        changes
            .prepend
            .iter()
            .all(|field| field.value.bytes().all(|b| b.is_ascii_graphic() || b" \r\n\t".contains(&b)))
    );
    // The same again changes nothing but ours.
    let once_more = marks::changes(&copy, &verdict, "2026-id", "rule", &Marks::default());
    let bare = marks::changes(data, &verdict, "2026-id", "rule", &Marks::default());
    assert_eq!(once_more.prepend, bare.prepend);
}

/// A header value with parameters, `Content-Disposition` and the like, and encoded words.
fn value(data: &[u8]) {
    let value = params::parse(data);
    for name in ["filename", "name", "boundary", "charset"] {
        value.octets(name);
        value.contradictions(name);
        for name in value.names(name) {
            assert!(name.text.len() <= 4 * data.len() + 16, "a name that grew");
        }
    }
    params::words(data);
    let (label, text) = first_line(data);
    mime::charset::decode(Some(&String::from_utf8_lossy(label)), text);
    decode::transfer(&String::from_utf8_lossy(label));
}

/// A whole message: scanned, and then what offends is cut out, or parts chosen by its length.
pub fn message(raw: &[u8]) {
    let report = examine(Input::message(raw.to_vec()));
    let offending = match raw.len() % 4 {
        0 => strips::offending(&report),
        n => report.parts.iter().skip(n).step_by(n).map(|part| part.path.clone()).collect(),
    };
    let notice = Notice { id: "2026-id", languages: Languages::Both };
    let Ok(stripped) = strips::strip(raw, &report, &offending, &notice) else { return };
    let mut changes = Changes::default();
    stripped.join(&mut changes);
    let copy = copied(raw, &changes);
    assert_eq!(copy, stripped.apply(raw));
    // Nothing of what went is left, and what is there can be scanned.
    let left = examine(Input::message(copy));
    let gone: Vec<&PartPath> = offending.iter().collect();
    for part in report.parts.iter().filter(|part| gone.contains(&&part.path) && part.size > 64) {
        let others = report.parts.iter().filter(|other| other.sha256 == part.sha256);
        let only = others.filter(|other| !gone.iter().any(|path| other.path.is_within(path))).count() == 0;
        let there = left.parts.iter().any(|other| other.sha256 == part.sha256 && !part.sha256.is_empty());
        assert!(!only || !there, "a part that was cut out is still there");
    }
    let ambiguous = left.findings.iter().any(|finding| finding.id == finding::MIME_AMBIGUOUS);
    let before = report.findings.iter().any(|finding| finding.id == finding::MIME_AMBIGUOUS);
    assert!(before || !ambiguous, "a stripped message that readers see differently");
}

/// The copy, after a look at whether all octets outside of the edits are those of the original, in order.
fn copied(raw: &[u8], changes: &Changes) -> Vec<u8> {
    let edits: Edits = changes.edits();
    let copy = edits.apply(raw);
    let (mut at, mut kept_to) = (0, 0);
    for piece in edits.pieces(raw.len() as u64) {
        match piece {
            Piece::New(octets) => {
                assert!(copy[at..].starts_with(&octets));
                at += octets.len();
            }
            Piece::Original(range) => {
                let range = range.start as usize..range.end as usize;
                assert!(kept_to <= range.start && range.end <= raw.len(), "pieces out of order");
                assert!(copy[at..].starts_with(&raw[range.clone()]), "an octet outside of the edits changed");
                (at, kept_to) = (at + range.len(), range.end);
            }
        }
    }
    assert_eq!(at, copy.len());
    assert_eq!(kept_to, raw.len(), "the end is missing");
    assert_eq!(copy.len() as i64 - raw.len() as i64, edits.growth());
    copy
}
