//! The samples in `samples/` are what the generator makes, and the scan says of them what it must.
//!
//! `UPDATE_SAMPLES=1 cargo test --test samples` writes them anew; read the difference before committing it.

use std::fs;
use std::path::{Path, PathBuf};

use sekisho::knowledge::Knowledge;
use sekisho::limits::Limits;
use sekisho::scan::{Input, Report, Stop, scan};
use sekisho::verdict::judge;

use crate::common::samples::{Sample, all};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples")
}

/// Compares with what is committed, or writes it when asked to.
fn golden(name: &str, made: &[u8]) {
    let path = folder().join(name);
    if std::env::var_os("UPDATE_SAMPLES").is_some() {
        fs::write(&path, made).unwrap();
        return;
    }
    let committed =
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run with UPDATE_SAMPLES=1", path.display()));
    assert!(
        committed == made,
        "{} differs from what is made now; run with UPDATE_SAMPLES=1 and read the difference",
        path.display()
    );
}

fn scanned(sample: &Sample) -> Report {
    scan(Input::message(sample.message.clone()), &Limits::default(), &Knowledge::default(), &Stop::default())
}

/// What a person would want to see of a report, stable from run to run.
fn report_text(report: &Report) -> String {
    let verdict = judge(report);
    let complete = if verdict.complete { "" } else { ", incomplete" };
    let mut text = format!(
        "verdict: {}{complete}\n{}\n{}\n",
        verdict.level.name(),
        verdict.explanation.en,
        verdict.explanation.ja
    );
    for part in &report.parts {
        let types: Vec<&str> = part.types.iter().map(|t| t.name()).collect();
        text.push_str(&format!("part {}: {:?} {} {} bytes\n", part.path, part.names, types.join("+"), part.size));
    }
    for finding in &report.findings {
        text.push_str(&format!(
            "finding {} in {} at {:?}: {:?}\n",
            finding.id, finding.part, finding.location, finding.evidence
        ));
    }
    for indicator in &report.indicators {
        text.push_str(&format!("indicator {:?} {:?}\n", indicator.kind, indicator.value));
    }
    text
}

fn manifest(samples: &[Sample]) -> String {
    let mut text =
        "# Made by tests/samples.rs from tests/common/samples.rs: what must come of each sample.\n".to_owned();
    for sample in samples {
        let findings: Vec<String> = sample.findings.iter().map(|id| format!("{id:?}")).collect();
        text.push_str(&format!(
            "\n[[sample]]\nname = {:?}\nabout = {:?}\nverdict = {:?}\ncomplete = {}\nfindings = [{}]\naction = {:?}\n",
            sample.name,
            sample.about,
            sample.verdict,
            sample.complete,
            findings.join(", "),
            sample.action
        ));
    }
    text
}

#[test]
fn the_committed_samples_are_the_generated_ones() {
    let samples = all();
    golden("manifest.toml", manifest(&samples).as_bytes());
    for sample in &samples {
        golden(&format!("{}.eml", sample.name), &sample.message);
        golden(&format!("{}.report", sample.name), report_text(&scanned(sample)).as_bytes());
    }
}

#[test]
fn every_sample_meets_its_expectation() {
    for sample in all() {
        let report = scanned(&sample);
        let verdict = judge(&report);
        let text = report_text(&report);
        assert_eq!(
            (verdict.level.name(), verdict.complete),
            (sample.verdict, sample.complete),
            "{}:\n{text}",
            sample.name
        );
        for id in sample.findings {
            assert!(
                report.findings.iter().any(|finding| finding.id.as_str() == *id),
                "{} lacks {id}:\n{text}",
                sample.name
            );
        }
    }
}

#[test]
fn a_report_survives_serialisation() {
    for sample in all() {
        let mut report = scanned(&sample);
        let json = serde_json::to_string(&report).unwrap();
        // What is never written.
        report.told.clear();
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report, "{}", sample.name);
    }
}

#[test]
fn truncation_anywhere_neither_panics_nor_is_silent() {
    for sample in all() {
        for cut in (0..sample.message.len()).step_by(97) {
            let input = Input::message(sample.message[..cut].to_vec());
            let report = scan(input, &Limits::default(), &Knowledge::default(), &Stop::default());
            assert!(
                report.findings.iter().all(|finding| finding.id.as_str() != "scan-fault"),
                "{} at {cut}",
                sample.name
            );
        }
    }
}
