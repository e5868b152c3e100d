//! The bodies of the fuzz targets: plain functions over octets that panic where something that always holds
//! does not. libFuzzer drives them (`bin/`), and `tests/fuzz.rs` replays the corpora with them.

mod code;
mod containers;
mod documents;
mod mail;
mod milter;
mod pictures;
mod settings;
mod smtp;
mod text;
mod worker;
mod wrappings;

use std::collections::HashMap;

use sekisho::finding;
use sekisho::knowledge::Knowledge;
use sekisho::limits::Limits;
use sekisho::scan::{Input, MAX_TOLD, Report, Stop, scan};
use sekisho::verdict;

pub use code::{vba_code, vba_project};
pub use containers::{
    arj, cab, cfb, compress, encryption, excel4, image, lzh, onenote, ooxml, pdf, rar, rtf, sevenz, tar, zip,
};
pub use documents::{cells, commands, flat, links, metafile, signed_code, smuggling, strings};
pub use mail::{header, message, mime};
pub use milter::{milter_codec, milter_session};
pub use pictures::picture;
pub use settings::{config, entry};
pub use smtp::{smtp_next_hop, smtp_session, smtp_wire};
pub use text::{file, markup};
pub use worker::worker;
pub use wrappings::{cms, tnef, uu};

/// The body of a target: panics if something that must hold does not.
pub type Body = fn(&[u8]);

/// Every target by its name.
pub const ALL: &[(&str, Body)] = &[
    ("arj", arj),
    ("cab", cab),
    ("cells", cells),
    ("cfb", cfb),
    ("cms", cms),
    ("commands", commands),
    ("compress", compress),
    ("config", config),
    ("encryption", encryption),
    ("entry", entry),
    ("excel4", excel4),
    ("file", file),
    ("flat", flat),
    ("header", header),
    ("image", image),
    ("links", links),
    ("lzh", lzh),
    ("markup", markup),
    ("message", message),
    ("metafile", metafile),
    ("milter_codec", milter_codec),
    ("milter_session", milter_session),
    ("mime", mime),
    ("onenote", onenote),
    ("ooxml", ooxml),
    ("pdf", pdf),
    ("picture", picture),
    ("rar", rar),
    ("rtf", rtf),
    ("sevenz", sevenz),
    ("signed_code", signed_code),
    ("smtp_next_hop", smtp_next_hop),
    ("smtp_session", smtp_session),
    ("smtp_wire", smtp_wire),
    ("smuggling", smuggling),
    ("strings", strings),
    ("tar", tar),
    ("tnef", tnef),
    ("uu", uu),
    ("vba_code", vba_code),
    ("vba_project", vba_project),
    ("worker", worker),
    ("zip", zip),
];

/// Limits that a small input can reach.
fn limits() -> Limits {
    Limits { max_files: 60, max_recursion: 5, max_file_size: 1 << 20, max_scan_size: 3 << 20, ..Limits::default() }
}

/// Scans, judges, and checks what holds for every report.
fn examine(input: Input) -> Report {
    let (limits, knowledge) = (limits(), Knowledge { passwords: vec!["infected".to_owned()], ..Knowledge::default() });
    let size = input.bytes.len();
    let report = scan(input.clone(), &limits, &knowledge, &Stop::default());
    check(&report, &limits, size);
    // Not for each, since it takes as long again.
    if size.is_multiple_of(4) {
        let again = scan(input, &limits, &knowledge, &Stop::default());
        assert_eq!(report, again, "two scans of the same octets differ");
    }
    report
}

/// What holds for every report of a scan under `limits` of so many octets.
pub fn check(report: &Report, limits: &Limits, size: usize) {
    let fault = report.findings.iter().find(|finding| finding.id == finding::SCAN_FAULT);
    assert!(fault.is_none(), "a format panicked: {fault:?}");
    let json = serde_json::to_vec(report).expect("a report can be written");
    let read: Report = serde_json::from_slice(&json).expect("and read again");
    // Passwords that the mail tells are never written.
    let read = Report { told: report.told.clone(), ..read };
    assert!(*report == read, "a report is not what was written");
    assert!(report.told.len() <= MAX_TOLD, "more passwords are told than are kept");
    // What was handed in is a part even if it is over a limit; then it was not charged.
    let (handed_in, inner) = report.parts.split_first().expect("what was handed in is a part");
    let is_charged = handed_in.size <= limits.max_file_size.min(limits.max_scan_size);
    let charged = if is_charged { &report.parts[..] } else { inner };
    assert!(charged.len() as u64 <= limits.max_files, "more parts than max_files");
    assert!(inner.iter().all(|part| part.depth <= limits.max_recursion), "deeper than max_recursion");
    assert!(inner.iter().all(|part| part.size <= limits.max_file_size), "larger than max_file_size");
    assert!(charged.iter().map(|part| part.size).sum::<u64>() <= limits.max_scan_size, "more than max_scan_size");
    let parts: HashMap<_, _> = report.parts.iter().map(|part| (&part.path, part)).collect();
    assert_eq!(parts.len(), report.parts.len(), "a path twice");
    for part in &report.parts {
        assert!(parts.contains_key(&part.document), "a document that is no part");
        assert!(part.path.is_within(&part.document), "a part outside of its document");
        if let Some(span) = &part.span {
            assert!(span.start <= span.end && span.end <= size, "a span outside of the message");
        }
    }
    for finding in &report.findings {
        assert!(parts.contains_key(&finding.part), "a finding about nothing");
        assert!(finding.evidence.chars().count() <= finding::MAX_EVIDENCE + 1, "evidence that is too long");
    }
    let verdict = verdict::judge(report);
    let incomplete = report.findings.iter().any(|finding| finding.id.kind().reason.is_some());
    assert_eq!(verdict.complete, !incomplete, "complete, but for what could not be inspected");
}

/// The first line without its LF, and what follows.
fn first_line(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|octet| *octet == b'\n') {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, b""),
    }
}

/// Up to 64 octets at the end say how the others are cut into segments and, by their values, what is answered.
fn with_tail(data: &[u8]) -> (&[u8], &[u8]) {
    data.split_at(data.len() - (data.len() / 4).min(64))
}

/// `data` in segments of the lengths that `tail` gives, over and over; at least one.
fn segments<'a>(data: &'a [u8], tail: &[u8]) -> Vec<&'a [u8]> {
    let mut lengths = tail.iter().map(|octet| usize::from(*octet) % 61 + 1).cycle();
    let (mut rest, mut segments) = (data, Vec::new());
    loop {
        let (segment, behind) = rest.split_at(lengths.next().unwrap_or(7).min(rest.len()));
        segments.push(segment);
        if behind.is_empty() {
            return segments;
        }
        rest = behind;
    }
}

/// Records of a byte and the content up to the next NUL NUL: how inputs with several pieces are written, so that
/// mutations move and splice whole pieces.
fn records(data: &[u8]) -> Vec<(u8, &[u8])> {
    let mut records = Vec::new();
    let mut rest = data;
    while let Some((kind, behind)) = rest.split_first() {
        let end = memchr::memmem::find(behind, b"\0\0").unwrap_or(behind.len());
        records.push((*kind, &behind[..end]));
        rest = behind.get(end + 2..).unwrap_or_default();
    }
    records
}
