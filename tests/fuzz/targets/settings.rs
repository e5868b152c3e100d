//! Targets: what an admin or a store writes: the configuration with its policy, and a held message's entry.

use sekisho::config::Config;
use sekisho::envelope::Path;
use sekisho::knowledge::Knowledge;
use sekisho::limits::Limits;
use sekisho::policy::decide;
use sekisho::policy::facts::{Direction, FACTS_VERSION, Facts};
use sekisho::scan::{Input, Stop, scan};
use sekisho::store::{Entry, QuarantineId, State, Summary};
use sekisho::verdict;

/// A configuration, its diagnostics, and what its policy decides.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Certificates are read where it says: not from there.
    if ["/dev", "/proc", "/sys", "/run"].iter().any(|place| text.contains(place)) || text.contains('\\') {
        return;
    }
    let (config, diagnostics) = Config::check(text, "sekisho.toml");
    let lines = text.lines().count() + 1;
    for diagnostic in diagnostics.iter() {
        assert!((1..=lines).contains(&diagnostic.line) && diagnostic.column >= 1, "{diagnostic:?}");
        assert!(!diagnostic.message.is_empty());
        assert!(!diagnostic.line_for_log().contains('\n'), "{diagnostic:?}");
    }
    // To be read by people, and the same each time.
    let shown = diagnostics.to_string();
    assert_eq!(shown, Config::check(text, "sekisho.toml").1.to_string(), "other diagnostics");
    assert_eq!(Config::parse(text, "sekisho.toml").is_err(), diagnostics.has_errors());
    let message =
        b"From: a@example.org\r\nContent-Type: application/x-msdownload; name=\"a.docm.exe\"\r\n\r\nMZ".to_vec();
    let size = message.len() as u64;
    let report = scan(Input::message(message), &Limits::default(), &Knowledge::default(), &Stop::default());
    let verdict = verdict::judge(&report);
    let facts = Facts {
        version: FACTS_VERSION,
        client: Some([192, 0, 2, 1].into()),
        sender: Path::new("<a@example.org>"),
        direction: Direction::Inbound,
        size,
        verdict: verdict.level,
        complete: verdict.complete,
        reasons: verdict.reasons,
        findings: report.findings,
        parts: report.parts,
    };
    let decision = decide(&facts, &Path::new("<b@example.jp>"), &config.policy, jiff::Timestamp::UNIX_EPOCH);
    let again = decide(&facts, &Path::new("<b@example.jp>"), &config.policy, jiff::Timestamp::UNIX_EPOCH);
    assert_eq!(decision, again, "two decisions");
}

/// An entry of the quarantine, as it is read after a crash or an upgrade.
pub fn entry(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(id) = QuarantineId::parse(&text) {
        // What a person types may look otherwise.
        assert_eq!(QuarantineId::parse(id.as_str()), Ok(id), "another id");
        id.time();
    }
    if let Some(state) = State::parse(&text) {
        assert_eq!(state.name(), text);
    }
    let Ok(entry) = serde_json::from_slice::<Entry>(data) else { return };
    let written = serde_json::to_vec(&entry).expect("an entry can be written");
    let read: Entry = serde_json::from_slice(&written).expect("and read again");
    assert_eq!(written, serde_json::to_vec(&read).expect("an entry can be written"), "an entry that changes");
    let summary = Summary::from(&entry);
    let json = serde_json::to_vec(&summary).expect("a summary can be written");
    assert_eq!(serde_json::from_slice::<Summary>(&json).expect("and read again"), summary);
    if let Some(facts) = entry.facts() {
        assert!(serde_json::to_vec(&facts).is_ok());
    }
    entry.release_envelope();
    entry.outcome_unknown();
}
