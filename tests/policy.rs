//! Facts and rules in, actions out: the policy as an administrator knows it.

use sekisho::config::{Config, OnError};
use sekisho::envelope::Path;
use sekisho::filetype::FileType;
use sekisho::finding::{Finding, FindingId, Reason};
use sekisho::part::{Origin, PartPath};
use sekisho::policy::decision::{Action, Decision};
use sekisho::policy::facts::{Direction, FACTS_VERSION, Facts};
use sekisho::policy::{Policy, decide, decide_each};
use sekisho::scan::PartReport;
use sekisho::verdict::Level;

fn policy(rules: &str) -> Policy {
    Config::parse(rules, "test.toml").unwrap_or_else(|errors| panic!("{errors}")).policy
}

/// A part `PATH NAME TYPE`; `-` is no name. Type `text` without a name is the mail's own text.
fn part(text: &str) -> PartReport {
    let words: Vec<&str> = text.split(' ').collect();
    let path: PartPath = words[0].parse().unwrap();
    let origin = match (words[0], words[1]) {
        ("", _) => Origin::Root,
        (path, "-") if !path.contains('/') => Origin::Body,
        (path, "-") if path.contains('/') => Origin::Embedded,
        (path, _) if path.contains('/') => Origin::Member,
        _ => Origin::Attachment,
    };
    let document = match origin {
        Origin::Embedded => words[0].rsplit_once('/').unwrap().0.parse().unwrap(),
        Origin::Root | Origin::Body | Origin::Attachment | Origin::Member => path.clone(),
    };
    PartReport {
        document,
        path,
        origin,
        names: if words[1] == "-" { Vec::new() } else { vec![words[1].to_owned()] },
        name_raw: None,
        declared: None,
        types: words[2].split('+').map(|name| FileType::parse(name).unwrap()).collect(),
        size: 1,
        sha256: String::new(),
        depth: 1,
        span: None,
        code_fingerprint: None,
        opened_by_password: None,
        closed: Vec::new(),
    }
}

/// A finding `PATH ID`.
fn finding(text: &str) -> Finding {
    let (path, id) = text.split_once(' ').unwrap();
    let id = FindingId::parse(id).unwrap_or_else(|| panic!("{id}"));
    Finding { id, part: path.parse().unwrap(), location: String::new(), evidence: String::new() }
}

fn facts(level: Level, parts: &[&str], findings: &[&str]) -> Facts {
    let findings: Vec<Finding> = findings.iter().map(|text| finding(text)).collect();
    let mut reasons: Vec<Reason> = findings.iter().filter_map(|finding| finding.id.kind().reason).collect();
    reasons.dedup();
    Facts {
        version: FACTS_VERSION,
        client: Some("192.0.2.7".parse().unwrap()),
        sender: Path::new("<Sales@Partner.example>"),
        direction: Direction::Inbound,
        size: 20_000,
        verdict: level,
        complete: reasons.is_empty(),
        reasons,
        findings,
        parts: ["", "1 - text"]
            .iter()
            .map(|text| if text.is_empty() { part(" - message") } else { part(text) })
            .chain(parts.iter().map(|text| part(text)))
            .collect(),
    }
}

fn decided(facts: &Facts, rules: &str) -> Decision {
    decide(facts, &Path::new("<User@Example.jp>"), &policy(rules), jiff::Timestamp::UNIX_EPOCH)
}

/// Checks which rule decides.
fn check(facts: &Facts, rules: &str, expected: &str) {
    let decision = decided(facts, rules);
    let got = format!("{} {}", decision.action.name(), decision.rule);
    assert_eq!(got, expected, "{rules}\n{:#?}", decision.trace);
}

fn rule(action: &str, conditions: &str) -> String {
    format!("[[rule]]\nname = \"r\"\naction = \"{action}\"\n{conditions}\n")
        + if action == "tag" { "headers = { X-A = \"{rule} {verdict} {id}\" }\n" } else { "" }
}

#[test]
fn the_defaults_of_the_empty_file() {
    let parts = ["2 a.docm ooxml-docm"];
    for (level, findings, expected) in [
        (Level::Clean, vec![], "pass (default)"),
        (Level::Active, vec!["2 vba-macros"], "pass (default)"),
        (Level::Suspicious, vec!["2 vba-autoexec"], "quarantine (suspicious)"),
        (Level::Malicious, vec!["2 eicar-test-file"], "quarantine (malicious)"),
        (Level::Clean, vec!["2 limit-exceeded"], "quarantine (not-inspected)"),
        (Level::Clean, vec!["2 damaged"], "quarantine (not-inspected)"),
        (Level::Clean, vec!["2 container-unsupported"], "quarantine (not-inspected)"),
        (Level::Clean, vec!["2 archive-encrypted-told"], "quarantine (not-inspected)"),
        (Level::Clean, vec!["2 document-encrypted-told"], "quarantine (not-inspected)"),
        (Level::Clean, vec!["2 archive-encrypted"], "tag (encrypted)"),
        (Level::Clean, vec!["2 archive-encrypted", "2 damaged"], "quarantine (not-inspected)"),
        (Level::Malicious, vec!["2 archive-encrypted", "2 vba-autoexec"], "quarantine (malicious)"),
        (Level::Clean, vec!["2 scan-fault"], "defer (fault)"),
    ] {
        check(&facts(level, &parts, &findings), "", expected);
    }
}

#[test]
fn an_encrypted_attachment_is_delivered_with_a_mark_but_its_subject_stays() {
    let decision = decided(&facts(Level::Clean, &["2 a.zip zip"], &["2 archive-encrypted"]), "");
    assert_eq!(decision.action, Action::Tag);
    let tag = decision.marks;
    assert_eq!(tag.headers.len(), 1);
    assert_eq!(tag.headers[0].0, "X-Sekisho-Warning");
    assert_eq!(tag.subject_prefix, None);
}

#[test]
fn a_fault_is_decided_by_on_error_and_by_no_rule() {
    let fault = |level| facts(level, &["2 a.docm ooxml-docm"], &["2 scan-fault", "2 vba-autoexec"]);
    let pass_all = rule("pass", "when.size = { at_least = 1 }");
    for level in [Level::Clean, Level::Malicious] {
        check(&fault(level), &pass_all, "defer (fault)");
        check(&fault(level), &format!("on_error = \"defer\"\n{pass_all}"), "defer (fault)");
        check(&fault(level), &format!("on_error = \"quarantine\"\n{pass_all}"), "quarantine (fault)");
    }
    // `pass` lets pass what would have passed; what was seen counts all the same.
    check(&fault(Level::Clean), "on_error = \"pass\"", "pass (fault)");
    check(&fault(Level::Malicious), "on_error = \"pass\"", "quarantine (malicious)");
    check(&fault(Level::Malicious), &format!("on_error = \"pass\"\n{pass_all}"), "pass r");
    let held = format!("on_error = \"pass\"\n{}", rule("quarantine", "when.reason = \"fault\""));
    check(&fault(Level::Clean), &held, "quarantine r");
}

#[test]
fn names_of_what_stays_closed_hold_a_message_and_let_none_through() {
    let mut mail = facts(Level::Clean, &["2 a.zip zip", "3 b.zip zip"], &["2 archive-encrypted"]);
    mail.parts[2].closed = ["report.pdf", "folder/ORDER.DOCM. "].map(str::to_owned).to_vec();
    for (action, decides) in [("quarantine", true), ("strip", true), ("defer", true), ("pass", false), ("tag", false)] {
        let expected = if decides { format!("{action} r") } else { "tag (encrypted)".to_owned() };
        for conditions in [
            "when.attachment_name = \"*.docm\"",
            "when.attachment_name = \"*.docm\"\nwhen.attachment_type = \"zip\"",
            "when.attachment_name = \"*.docm\"\nwhen.finding = \"archive-encrypted\"",
            // One of two is no exception for the other.
            "when.attachment_name = \"*.docm\"\nnot.attachment_name = \"*.pdf\"",
        ] {
            check(&mail, &rule(action, conditions), &expected);
        }
        let others = "when.attachment_type = \"zip\"\nnot.attachment_name = \"*.docm\"";
        check(&mail, &rule(action, others), &expected);
        check(&mail, &rule(action, "when.attachment_name = \"*.xlsm\""), "tag (encrypted)");
    }
    let inline = "when = { reason = \"encrypted\", attachment_name = [\"*.docm\", \"*.xlsm\"] }";
    check(&mail, &rule("quarantine", inline), "quarantine r");
    // It is the archive that is meant, and not the other one.
    let decision = decided(&mail, &rule("strip", "when.attachment_name = \"*.docm\""));
    assert_eq!(decision.action, Action::Strip { parts: vec!["2".parse().unwrap()] });
}

#[test]
fn what_failed_too_often_can_be_held_by_the_same_rules() {
    let policy = policy(&rule("quarantine", "when.verdict = \"malicious\"")).with_on_error(OnError::Quarantine);
    let facts = facts(Level::Clean, &["2 a.docm ooxml-docm"], &["2 scan-fault"]);
    let decision = decide(&facts, &Path::new("<a@example.jp>"), &policy, jiff::Timestamp::UNIX_EPOCH);
    assert_eq!((decision.action, decision.rule.as_str()), (Action::Quarantine, "(fault)"));
    assert_eq!(policy.rules().count(), 1);
}

/// Conditions on the message as a whole: each with what holds it and what does not.
#[test]
fn every_condition_holds_and_does_not() {
    let mail =
        facts(Level::Suspicious, &["2 Invoice.DOCM ooxml-docm", "2/1 - ole-vba"], &["2/1 vba-autoexec", "2 damaged"]);
    let rows: &[(&str, &str)] = &[
        ("verdict = \"active\"", "verdict = \"malicious\""),
        ("verdict = \"suspicious\"", "verdict = \"malicious\""),
        ("complete = false", "complete = true"),
        ("reason = [\"limit\", \"damaged\"]", "reason = \"limit\""),
        ("sender = \"sales@partner.example\"", "sender = \"@example.jp\""),
        ("sender = \"@PARTNER.example\"", "sender = \"@artner.example\""),
        ("sender = \"*@*.example\"", "sender = \"*@*.jp\""),
        ("sender = \"<sales@partner.example>\"", "sender = \"<>\""),
        ("sender = [\"a@b.example\", \"@partner.example\"]", "sender = \"\""),
        ("recipient = \"@example.jp\"", "recipient = \"@sub.example.jp\""),
        ("recipient = \"u*r@example.jp\"", "recipient = \"user@example.com\""),
        ("client = \"192.0.2.0/24\"", "client = [\"192.0.3.0/24\", \"2001:db8::/32\"]"),
        ("client = \"192.0.2.7\"", "client = \"192.0.2.8\""),
        ("direction = \"inbound\"", "direction = [\"outbound\", \"internal\"]"),
        ("size = { at_least = 20000 }", "size = { at_least = 20001 }"),
        ("size = { at_most = \"20 kB\" }", "size = { at_most = 19999 }"),
        ("size = { at_least = 1, at_most = \"1 MB\" }", "size = { at_least = \"1 KiB\", at_most = \"2 KiB\" }"),
        ("finding = \"vba-autoexec\"", "finding = \"vba-download\""),
        ("finding = \"vba-*\"", "finding = \"carrier-*\""),
        ("attachment_type = \"ooxml-*\"", "attachment_type = \"pe\""),
        ("attachment_type = [\"pe\", \"ole-vba\"]", "attachment_type = [\"pe\", \"zip\"]"),
        ("attachment_name = \"*.docm\"", "attachment_name = \"*.doc\""),
        ("attachment_name = \"invoice.*\"", "attachment_name = \"voice.*\""),
    ];
    for (holds, fails) in rows {
        check(&mail, &rule("reject", &format!("when.{holds}")), "reject r");
        check(&mail, &rule("reject", &format!("when.{fails}")), "quarantine (suspicious)");
    }
    for (holds, fails) in rows.iter().filter(|(holds, _)| !holds.contains("finding") && !holds.contains("attachment")) {
        check(&mail, &rule("reject", &format!("not.{holds}")), "quarantine (suspicious)");
        check(&mail, &rule("reject", &format!("not.{fails}")), "reject r");
    }
}

#[test]
fn a_null_sender_and_an_unknown_client() {
    let mut bounce = facts(Level::Clean, &[], &[]);
    bounce.sender = Path::new("<>");
    bounce.client = None;
    check(&bounce, &rule("defer", "when.sender = \"<>\""), "defer r");
    check(&bounce, &rule("defer", "when.sender = \"\""), "defer r");
    check(&bounce, &rule("defer", "when.sender = \"@example.jp\""), "pass (default)");
    check(&bounce, &rule("defer", "when.client = \"0.0.0.0/0\""), "pass (default)");
    check(&bounce, &rule("defer", "not.client = \"0.0.0.0/0\""), "defer r");
}

#[test]
fn an_ipv4_client_is_the_same_in_ipv6_dress() {
    let mut mail = facts(Level::Clean, &[], &[]);
    mail.client = Some("::ffff:192.0.2.7".parse().unwrap());
    check(&mail, &rule("defer", "when.client = \"192.0.2.0/24\""), "defer r");
}

#[test]
fn conditions_about_parts_mean_the_same_part() {
    let both = "when.attachment_name = \"*.docm\"\nwhen.finding = \"vba-autoexec\"";
    // The finding is in the project inside the document.
    let inside = facts(Level::Clean, &["2 a.docm ooxml-docm", "2/1 - ole-vba"], &["2/1 vba-autoexec"]);
    check(&inside, &rule("reject", both), "reject r");
    // Another part has it.
    let beside = facts(Level::Clean, &["2 a.docm ooxml-docm", "3 b.doc ole-doc"], &["3 vba-autoexec"]);
    check(&beside, &rule("reject", both), "pass (default)");
    // One has the name, the other the type.
    let typed = "when.attachment_name = \"*.pdf\"\nwhen.attachment_type = \"pe\"";
    check(&facts(Level::Clean, &["2 a.pdf pdf", "3 b.bin pe"], &[]), &rule("reject", typed), "pass (default)");
    check(&facts(Level::Clean, &["2 a.pdf pdf", "3 b.pdf data+pe"], &[]), &rule("reject", typed), "reject r");
    // Paths are numbers, not text: part 12 is not inside part 1.
    let numbers = facts(Level::Clean, &["2 a.docm ooxml-docm", "21 b.doc ole-doc"], &["21 vba-autoexec"]);
    check(&numbers, &rule("reject", both), "pass (default)");
}

#[test]
fn the_mails_own_text_is_no_attachment() {
    let mail = |parts: &[&str]| facts(Level::Clean, parts, &[]);
    check(&mail(&[]), &rule("reject", "when.attachment_type = [\"text\", \"message\"]"), "pass (default)");
    check(&mail(&["2 - html"]), &rule("reject", "when.attachment_type = \"html\""), "pass (default)");
    check(&mail(&["2 a.html html"]), &rule("reject", "when.attachment_type = \"html\""), "reject r");
    // A body that is a program is one.
    check(&mail(&["2 - pe"]), &rule("reject", "when.attachment_type = \"pe\""), "reject r");
}

#[test]
fn names_as_windows_sees_them() {
    let mut mail = facts(Level::Clean, &["2 x pe"], &[]);
    for name in ["setup.exe", "SETUP.EXE. . ", "ｓｅｔｕｐ．ｅｘｅ"] {
        mail.parts[2].names = vec!["harmless.txt".to_owned(), name.to_owned()];
        check(&mail, &rule("reject", "when.attachment_name = \"*.exe\""), "reject r");
    }
}

#[test]
fn an_innocent_attachment_does_not_smuggle_a_bad_one_through() {
    let innocent = "2 order-1.xlsm ooxml-xlsm";
    let alone = facts(Level::Suspicious, &[innocent, "2/1 - ole-vba"], &["2/1 vba-autoexec"]);
    let with_bad = facts(
        Level::Malicious,
        &[innocent, "2/1 - ole-vba", "3 evil.docm ooxml-docm", "3/1 - ole-vba"],
        &["2/1 vba-autoexec", "3/1 vba-autoexec", "3/1 vba-download"],
    );
    for action in ["pass", "tag"] {
        let named = rule(action, "when.attachment_name = \"order-*.xlsm\"");
        check(&alone, &named, &format!("{action} r"));
        check(&with_bad, &named, "quarantine (malicious)");
        let typed = rule(action, "when.attachment_type = \"ooxml-xlsm\"\nwhen.finding = \"vba-autoexec\"");
        check(&alone, &typed, &format!("{action} r"));
        check(&with_bad, &typed, "quarantine (malicious)");
        let found = rule(action, "when.finding = \"vba-autoexec\"\nnot.finding = \"vba-download\"");
        check(&alone, &found, &format!("{action} r"));
        check(&with_bad, &found, "quarantine (malicious)");
    }
    // What was found in one place does not answer for what was found around it.
    for (around, parts) in
        [("", ["2 a.docm ooxml-docm", "2/1 - ole-vba"]), ("2", ["2 a.zip zip", "2/1 a.docm ooxml-docm"])]
    {
        let limit = format!("{around} limit-exceeded");
        let mail = facts(Level::Clean, &parts, &["2/1 vba-autoexec", &limit]);
        check(&mail, &rule("pass", "when.finding = \"vba-*\""), "quarantine (not-inspected)");
    }
    // The findings of one document belong together.
    let lure = facts(Level::Malicious, &[innocent, "2/1 - ole-vba"], &["2/1 vba-autoexec", "2 lure-enable-content"]);
    check(&lure, &rule("pass", "when.finding = \"vba-*\""), "pass r");
    check(&lure, &rule("pass", "when.finding = \"lure-*\""), "pass r");
    // Something that was not inspected counts against the message as well.
    let sealed = facts(Level::Clean, &["2 a.pdf pdf", "3 b.rar rar"], &["3 container-unsupported"]);
    check(&sealed, &rule("pass", "when.attachment_name = \"*.pdf\""), "quarantine (not-inspected)");
    check(&sealed, &rule("pass", "when.attachment_name = \"*.rar\""), "pass r");
}

#[test]
fn an_exception_does_not_smuggle_a_bad_one_through() {
    let mail = facts(
        Level::Suspicious,
        &["2 report.xlsm ooxml-xlsm", "3 evil.docm ooxml-docm"],
        &["2 vba-macros", "3 vba-autoexec"],
    );
    // Of a part that is asked for: each is looked at.
    let macros = "when.attachment_type = \"ooxml-*\"\nnot.attachment_name = \"report*.xlsm\"";
    check(&mail, &rule("reject", macros), "reject r");
    // Of the whole message: it must cover whatever has something against it.
    let level = "when.verdict = \"suspicious\"\nnot.attachment_name = \"report*.xlsm\"";
    check(&mail, &rule("reject", level), "reject r");
    let only = facts(Level::Suspicious, &["2 report.xlsm ooxml-xlsm"], &["2 vba-autoexec"]);
    check(&only, &rule("reject", macros), "quarantine (suspicious)");
    check(&only, &rule("reject", level), "quarantine (suspicious)");
    // Inside an excepted archive everything is excepted.
    let zip = facts(Level::Clean, &["2 backup.zip zip", "2/1 x.js script"], &["2/1 carrier-script"]);
    let scripts = "when.attachment_type = \"script\"\nnot.attachment_name = \"backup*.zip\"";
    check(&zip, &rule("reject", scripts), "pass (default)");
    // An excepted finding is taken off the list; another one in the same part still counts.
    let findings = "when.finding = \"vba-*\"\nnot.finding = \"vba-macros\"";
    check(&mail, &rule("reject", findings), "reject r");
    let macros = facts(Level::Active, &["2 a.docm ooxml-docm"], &["2 vba-macros"]);
    check(&macros, &rule("reject", findings), "pass (default)");
}

#[test]
fn a_tag_on_harmless_mail_is_only_a_mark() {
    let mail = facts(Level::Active, &["2 a.docm ooxml-docm", "3 b.pdf pdf"], &["2 vba-macros", "3 type-mismatch"]);
    check(&mail, &rule("tag", "when.finding = \"vba-macros\""), "tag r");
    check(
        &mail,
        &(rule("pass", "when.finding = \"vba-macros\"") + &rule("defer", "").replace("\"r\"", "\"s\"")),
        "defer s",
    );
}

#[test]
fn the_first_rule_that_applies_decides_and_names_its_line() {
    let rules = "[[rule]]\nname = \"a\"\nwhen.verdict = \"malicious\"\naction = \"reject\"\n\n\
                 [[rule]]\nname = \"b\"\nwhen.sender = \"@partner.example\"\nnot.direction = \"inbound\"\naction = \"defer\"\n\
                 [[rule]]\nname = \"c\"\nwhen.recipient = \"user@example.jp\"\naction = \"tag\"\n\
                 headers = { X-B = \"{rule} {verdict} {id}\" }\nsubject_prefix = \"[{verdict}] \"\n";
    let decision = decided(&facts(Level::Active, &[], &[]), rules);
    assert_eq!((decision.rule.as_str(), decision.line), ("c", Some(11)));
    assert_eq!(decision.action, Action::Tag);
    let tag = &decision.marks;
    assert_eq!(tag.headers, [("X-B".to_owned(), "c active {id}".to_owned())]);
    assert_eq!(tag.subject_prefix.as_deref(), Some("[active] "));
    let trace: Vec<String> =
        decision.trace.iter().map(|step| format!("{} {} {}", step.rule, step.matched, step.why)).collect();
    assert_eq!(
        trace,
        [
            "(fault) false nothing was left uninspected, wants reason fault",
            "a false verdict is active, wants at least malicious",
            "b false excepted, since direction is inbound",
            "c true ",
        ]
    );
}

#[test]
fn the_trace_says_what_failed_in_words() {
    let mail = facts(
        Level::Suspicious,
        &["2 a.docm ooxml-docm", "3 b.rar rar"],
        &["2 vba-autoexec", "3 container-unsupported"],
    );
    for (action, conditions, expected) in [
        ("defer", "when.complete = true", "not everything was inspected, wants everything inspected"),
        ("defer", "when.reason = \"limit\"", "not inspected is something because of unsupported, wants reason limit"),
        ("defer", "when.sender = [\"<>\", \"@a.example\"]", "sender is sales@partner.example, wants <> or @a.example"),
        ("defer", "when.client = \"10.0.0.0/8\"", "client is 192.0.2.7, wants 10.0.0.0/8"),
        ("defer", "when.size = { at_least = \"1 MB\" }", "size is 20000, wants at least 1000000"),
        ("defer", "when.finding = \"vba-download\"", "no attachment with finding vba-download"),
        (
            "defer",
            "when.attachment_name = \"*.x\"\nwhen.attachment_type = \"pe\"",
            "no attachment with name *.x and type pe",
        ),
        ("pass", "when.attachment_name = \"*.docm\"", "part 3 has findings too, but not name *.docm"),
        ("pass", "not.finding = \"container-*\"", "excepted, since a part has finding container-*"),
        (
            "defer",
            "not.finding = [\"vba-*\", \"container-*\"]",
            "excepted, since every part with findings has finding vba-* or container-*",
        ),
    ] {
        let decision = decided(&mail, &rule(action, conditions));
        let step = decision.trace.iter().find(|step| step.rule == "r").unwrap();
        assert_eq!((step.matched, step.why.as_str()), (false, expected), "{conditions}");
    }
}

#[test]
fn each_recipient_has_a_decision_of_its_own() {
    let mail = facts(Level::Suspicious, &["2 a.docm ooxml-docm"], &["2 vba-autoexec"]);
    let policy = policy(&rule("pass", "when.recipient = \"lab@example.jp\"\nwhen.attachment_name = \"*.docm\""));
    let recipients = ["<LAB@example.jp>", "<user@example.jp>"].map(Path::new);
    let decisions = decide_each(&mail, &recipients, &policy, jiff::Timestamp::UNIX_EPOCH);
    let names: Vec<&str> = decisions.iter().map(|decision| decision.action.name()).collect();
    assert_eq!(names, ["pass", "quarantine"]);
    for (recipient, decision) in recipients.iter().zip(&decisions) {
        assert_eq!(decide(&mail, recipient, &policy, jiff::Timestamp::UNIX_EPOCH), *decision);
    }
}

/// Some hundred messages and rule sets, always the same ones.
fn random(rng: &mut fastrand::Rng) -> (Facts, Policy) {
    const PARTS: [&str; 8] = [
        "2 a.docm ooxml-docm",
        "2/1 - ole-vba",
        "3 order.xlsm ooxml-xlsm",
        "3/1 - ole-vba",
        "4 b.zip zip",
        "4/1 x.js script",
        "4/2 order.zip zip",
        "5 c.pdf pdf",
    ];
    const IDS: [&str; 7] = [
        "vba-macros",
        "vba-autoexec",
        "vba-download",
        "carrier-script",
        "damaged",
        "type-mismatch",
        "archive-encrypted",
    ];
    const CONDITIONS: [&str; 9] = [
        "finding = \"vba-*\"",
        "finding = \"vba-autoexec\"",
        "finding = [\"damaged\", \"archive-encrypted\"]",
        "attachment_type = \"ooxml-*\"",
        "attachment_type = [\"zip\", \"script\"]",
        "attachment_name = \"order*\"",
        "attachment_name = \"*.pdf\"",
        "verdict = \"suspicious\"",
        "complete = false",
    ];
    let parts: Vec<&str> = PARTS.into_iter().filter(|_| rng.bool()).collect();
    let mut findings: Vec<String> = Vec::new();
    for part in &parts {
        if rng.bool() {
            findings.push(format!("{} {}", part.split(' ').next().unwrap(), IDS[rng.usize(..IDS.len())]));
        }
    }
    let findings: Vec<&str> = findings.iter().map(String::as_str).collect();
    let mail = facts(Level::ALL[rng.usize(..4)], &parts, &findings);
    let mut rules = String::new();
    for number in 0..rng.usize(0..5) {
        let action = ["pass", "tag", "quarantine", "defer"][rng.usize(..4)];
        let mut text = rule(action, "").replace("\"r\"", &format!("\"r{number}\""));
        let mut used: Vec<String> = Vec::new();
        for _ in 0..rng.usize(1..4) {
            let condition = CONDITIONS[rng.usize(..CONDITIONS.len())];
            let side = if rng.u8(..3) == 0 { "not" } else { "when" };
            let key = format!("{side}.{}", condition.split(' ').next().unwrap());
            if !used.contains(&key) {
                text += &format!("{side}.{condition}\n");
                used.push(key);
            }
        }
        rules += &text;
    }
    (mail, policy(&rules))
}

fn decide_plainly(mail: &Facts, policy: &Policy) -> Decision {
    decide(mail, &Path::new("<user@example.jp>"), policy, jiff::Timestamp::UNIX_EPOCH)
}

#[test]
fn the_order_of_findings_and_parts_decides_nothing() {
    let mut rng = fastrand::Rng::with_seed(1);
    for _ in 0..2000 {
        let (mut mail, policy) = random(&mut rng);
        let before = decide_plainly(&mail, &policy);
        rng.shuffle(&mut mail.findings);
        rng.shuffle(&mut mail.parts);
        assert_eq!(decide_plainly(&mail, &policy), before, "{mail:#?}");
    }
}

#[test]
fn no_harmless_attachment_frees_a_message_that_is_held() {
    let mut rng = fastrand::Rng::with_seed(2);
    let delivers = |decision: &Decision| decision.action.delivers();
    let mut held = 0;
    for _ in 0..4000 {
        let (mut mail, policy) = random(&mut rng);
        let is_charged = mail.findings.iter().any(|f| f.id.kind().severity >= sekisho::finding::Severity::Low);
        let before = decide_plainly(&mail, &policy);
        let is_bad = mail.verdict >= Level::Suspicious || before.rule == "(not-inspected)";
        if delivers(&before) || !is_charged || !is_bad {
            continue;
        }
        held += 1;
        for added in ["9 order-9.pdf pdf", "9 order-9.xlsm ooxml-xlsm", "9 z.zip zip"] {
            mail.parts.push(part(added));
            let after = decide_plainly(&mail, &policy);
            assert!(!delivers(&after), "{added} freed it\n{mail:#?}\n{:#?}\n{after:#?}", policy.chain());
        }
    }
    assert!(held > 500, "{held}");
}

#[test]
fn many_parts_and_rules_are_decided_in_time() {
    let mut mail = facts(Level::Suspicious, &[], &[]);
    let mut path = PartPath::root();
    for number in 0..2000_u32 {
        path = if number % 15 == 0 { PartPath::root().child(number) } else { path.child(1) };
        let mut part = part("2 x.docm ooxml-docm");
        part.path = path.clone();
        mail.parts.push(part);
        let mut finding = finding("2 vba-autoexec");
        finding.part = path.clone();
        mail.findings.push(finding);
    }
    let rules: String = (0..100)
        .map(|n| {
            rule("pass", "when.attachment_name = \"*a*b*c*\"\nwhen.finding = \"vba-*\"")
                .replace("\"r\"", &format!("\"r{n}\""))
        })
        .collect();
    let recipients: Vec<Path> = (0..1000).map(|n| Path::new(format!("<u{n}@example.jp>").as_str())).collect();
    let policy = policy(&rules);
    let start = std::time::Instant::now();
    assert_eq!(decide_each(&mail, &recipients, &policy, jiff::Timestamp::UNIX_EPOCH).len(), 1000);
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}
