//! Reading mail: every awkward message gives up its attachment, byte for byte.

mod common;

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::awkward::{self, Case};
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
