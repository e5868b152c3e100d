//! What lies beside a bomb is examined all the same, and what was left out is told.

use std::time::{Duration, Instant};

use sekisho::knowledge::Knowledge;
use sekisho::limits::Limits;
use sekisho::scan::{Input, Report, Stop, scan, sha256};
use sekisho::verdict::{Level, judge};

use crate::common::bombs::{BOMBS, archive};
use crate::common::layouts;
use crate::common::samples::{macro_document, with_files};

fn look(message: Vec<u8>) -> Report {
    scan(Input::message(message), &Limits::default(), &Knowledge::default(), &Stop::default())
}

#[test]
fn a_document_beside_a_bomb_is_found_whichever_comes_first() {
    let document = macro_document();
    let packed = layouts::packed(8, &document);
    let mut wrong = Vec::new();
    for bomb in BOMBS {
        let bytes = (bomb.make)();
        let within = archive(&[
            (bomb.name.to_owned(), 0, &bytes, bytes.len()),
            ("invoice.docm".to_owned(), 8, &packed, document.len()),
        ]);
        for (how, message) in [
            ("attached behind it", with_files("x", &[(bomb.name, &bytes), ("invoice.docm", &document)])),
            ("in an archive behind it", with_files("x", &[("a.zip", &within)])),
        ] {
            let begun = Instant::now();
            let report = look(message);
            let took = begun.elapsed();
            let found = report.parts.iter().any(|part| part.sha256 == sha256(&document));
            if judge(&report).complete != bomb.is_whole {
                wrong.push(format!("{}, {how}: {:?}", bomb.what, report.findings));
            }
            if !found || judge(&report).level != Level::Malicious || took > Duration::from_secs(60) {
                wrong.push(format!("{}, {how}: found {found}, {:?}, {took:?}", bomb.what, judge(&report).level));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
