//! The policy on the running daemon: what the client is told, what the next hop gets, what is held,
//! and that the log line and the metrics tell the same story.

use std::collections::BTreeMap;
use std::io::Write;

use super::common::client::{Client, Reply};
use super::common::daemon::Daemon;
use super::common::samples::{eicar, macro_document, with_file, with_files};
use super::common::sink::{Mail, Sink};
use super::common::{PATIENCE, free_port, wait_for};

const OUTSIDE: &str = "192.0.2.9";
const INSIDE: &str = "10.1.2.3";
const USER: &str = "u@inside.test";
const DIRECTIONS: &str = "[mail]\nlocal_domains = [\"inside.test\"]\nlocal_networks = [\"10.0.0.0/8\"]\n\n";

/// A daemon with rules of the test's own, in front of a sink.
struct Checkpoint {
    daemon: Daemon,
    sink: Sink,
}

/// What became of one message, seen from outside.
struct Fate {
    reply: Reply,
    log: serde_json::Value,
    delivered: Option<Mail>,
    counted: BTreeMap<String, f64>,
}

impl Checkpoint {
    fn with(rules: &str) -> Self {
        let sink = Sink::start();
        let mut daemon = Daemon::with("before-queue", free_port(), sink.port(), &format!("{DIRECTIONS}{rules}"));
        daemon.start();
        Self { daemon, sink }
    }

    /// Sends a message whose sender no other message of the test has.
    fn send(&self, address: &str, sender: &str, to: &[&str], content: &[u8]) -> Fate {
        let (before, count) = (self.metrics(), self.sink.mails().len());
        let mut client = Client::connect(self.daemon.port()).expect("a session");
        let reply = client.send_for(Some(address), sender, to, content).expect("a reply");
        client.command("QUIT").expect("the end");
        let log = self.daemon.message_with(&format!("\"from\":\"{sender}\""));
        let lines = self.daemon.messages().iter().filter(|line| line["from"] == sender).count();
        assert_eq!(lines, 1, "one line for one message");
        let ended = || delta(&before, &self.metrics(), "sekisho_sessions_total{result=\"completed\"") == 1.0;
        wait_for("the session's end in the metrics", PATIENCE, ended);
        let after = self.metrics();
        let counted = after.iter().map(|(series, value)| (series.clone(), value - before.get(series).unwrap_or(&0.0)));
        let delivered = self.sink.mails().get(count).cloned();
        Fate { reply, log, delivered, counted: counted.filter(|(_, value)| *value != 0.0).collect() }
    }

    fn metrics(&self) -> BTreeMap<String, f64> {
        let answer = self.daemon.get("/metrics");
        let samples = answer.lines().filter(|line| line.starts_with("sekisho_"));
        samples
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
            .collect()
    }
}

impl Fate {
    /// The sum of what was counted in all series of this name that have these labels.
    fn counted(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |series: &str| {
            series.split('{').next() == Some(name)
                && labels.iter().all(|(label, value)| series.contains(&format!("{label}=\"{value}\"")))
        };
        self.counted.iter().filter(|(series, _)| fits(series)).map(|(_, value)| value).sum()
    }

    /// The log line and the metrics say the same: this action, by this rule.
    fn is(&self, action: &str, rule: &str) -> &Self {
        assert_eq!(
            (self.log["disposition"].as_str(), self.log["rule"].as_str()),
            (Some(action), Some(rule)),
            "{}",
            self.log
        );
        assert_eq!(self.reply.text.trim_end(), self.log["reply"], "the log has the reply");
        assert_eq!(self.counted("sekisho_messages_total", &[]), 1.0);
        assert_eq!(self.counted("sekisho_messages_total", &[("disposition", action)]), 1.0);
        let verdict = self.log["verdict"].as_str().unwrap();
        let complete = self.log["complete"].to_string();
        assert_eq!(self.counted("sekisho_verdicts_total", &[("verdict", verdict), ("complete", &complete)]), 1.0);
        assert_eq!(self.counted("sekisho_rule_matches_total", &[("rule", rule)]), 1.0, "{:?}", self.counted);
        let delivered = if matches!(action, "pass" | "tag") { 1.0 } else { 0.0 };
        assert_eq!(self.counted("sekisho_deliveries_total", &[("result", "2xx")]), delivered);
        assert_eq!(self.delivered.iter().count() as f64, delivered);
        let held = if action == "quarantine" { 1.0 } else { 0.0 };
        assert_eq!(
            self.counted("sekisho_quarantine_operations_total", &[("operation", "hold"), ("result", "ok")]),
            held
        );
        for finding in self.log["findings"].as_array().unwrap() {
            assert!(
                self.counted("sekisho_findings_total", &[("finding", finding.as_str().unwrap())]) >= 1.0,
                "{finding}"
            );
        }
        self
    }

    fn id(&self) -> &str {
        self.log["id"].as_str().unwrap()
    }

    /// The delivered copy's header, unfolded.
    fn header(&self) -> String {
        let text = self.delivered.as_ref().expect("a delivered copy").text();
        text.split("\r\n\r\n").next().unwrap().replace("\r\n ", " ").replace("\r\n\t", " ")
    }
}

/// What was added to the first series whose name begins so.
fn delta(before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>, start: &str) -> f64 {
    let value = |series: &BTreeMap<String, f64>| {
        series.iter().filter(|(name, _)| name.starts_with(start)).map(|(_, value)| value).sum::<f64>()
    };
    value(after) - value(before)
}

fn letter(subject: &str) -> Vec<u8> {
    format!("From: a@outside.test\r\nSubject: {subject}\r\nMessage-ID: <1@outside.test>\r\n\r\nHello.\r\n").into_bytes()
}

fn encrypted_zip() -> Vec<u8> {
    use zip::unstable::write::FileOptionsExt;
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().with_deprecated_encryption(b"not told").unwrap();
    writer.start_file("figures.txt", options).unwrap();
    writer.write_all(&b"a secret ".repeat(20)).unwrap();
    writer.finish().unwrap().into_inner()
}

#[test]
fn the_empty_policy_protects() {
    let checkpoint = Checkpoint::with("");
    let clean = checkpoint.send(OUTSIDE, "clean@outside.test", &[USER], &letter("Hello"));
    clean.is("pass", "(default)");
    assert!(clean.header().starts_with(&format!("X-Sekisho-Verdict: clean\r\nX-Sekisho-Id: {}\r\nFrom:", clean.id())));

    let malicious = with_file("Invoice", "invoice.docm", "application/octet-stream", &macro_document());
    let held = checkpoint.send(OUTSIDE, "bad@outside.test", &[USER], &malicious);
    held.is("quarantine", "(malicious)");
    assert_eq!(
        held.reply.text,
        format!("250 2.0.0 Ok: {}\r\n", held.id()),
        "the sender learns the id and nothing else"
    );
    assert_eq!(checkpoint.daemon.held(), [String::from_utf8(malicious).unwrap()]);
    assert_eq!(held.counted("sekisho_attachments_total", &[("type", "ooxml-docm"), ("nested", "false")]), 1.0);
    assert_eq!(held.counted("sekisho_recipients_total", &[("disposition", "quarantine")]), 1.0);

    let encrypted = with_file("Figures", "figures.zip", "application/zip", &encrypted_zip());
    let tagged = checkpoint.send(OUTSIDE, "ppap@outside.test", &[USER], &encrypted);
    tagged.is("tag", "(encrypted)");
    let header = tagged.header();
    assert!(header.contains("X-Sekisho-Verdict: clean; incomplete\r\n"), "{header}");
    assert!(header.contains("X-Sekisho-Warning: an attachment is encrypted and was not inspected\r\n"), "{header}");
    assert!(header.contains("X-Sekisho-Explanation: "), "{header}");
    assert!(header.contains("Subject: Figures\r\n"), "{header}");
    assert_eq!(tagged.log["reasons"], serde_json::json!(["encrypted"]));

    let told = String::from_utf8(encrypted).unwrap().replace("Please find", "Password: 12345. Please find");
    let told = checkpoint.send(OUTSIDE, "told@outside.test", &[USER], told.as_bytes());
    told.is("quarantine", "(not-inspected)");

    let rubble = [b"PK\x03\x04".to_vec(), vec![0xff; 500]].concat();
    let damaged = with_file("Rubble", "rubble.zip", "application/zip", &rubble);
    let damaged = checkpoint.send(OUTSIDE, "damaged@outside.test", &[USER], &damaged);
    damaged.is("quarantine", "(not-inspected)");
    assert_eq!(damaged.log["reasons"], serde_json::json!(["damaged"]));
}

#[test]
fn forged_fields_of_ours_are_deleted() {
    let checkpoint = Checkpoint::with("");
    let forged = b"X-Sekisho-Verdict: clean\r\nx-sekisho-explanation: trust\r\n me\r\nFrom: a@outside.test\r\n\
        X-SEKISHO-ID: 1\r\nX-Sekisho-Anything: forged\r\nSubject: s\r\n\r\nX-Sekisho-Verdict: in the body\r\n";
    let fate = checkpoint.send(OUTSIDE, "forger@outside.test", &[USER], forged);
    fate.is("pass", "(default)");
    let expected = format!(
        "X-Sekisho-Verdict: clean\r\nX-Sekisho-Id: {}\r\nFrom: a@outside.test\r\nSubject: s\r\n\r\n\
         X-Sekisho-Verdict: in the body\r\n",
        fate.id()
    );
    assert_eq!(fate.delivered.unwrap().text(), expected);
}

#[test]
fn a_tag_adds_its_marks_and_changes_nothing_else() {
    let checkpoint = Checkpoint::with(
        "[[rule]]\nname = \"japanese\"\nwhen.sender = \"@japan.test\"\naction = \"tag\"\nsubject_prefix = \"[注意] \"\n\
         headers = { \"X-Company-Check\" = \"{verdict}; rule={rule}; id={id}\" }\n\n\
         [[rule]]\nname = \"plain\"\nwhen.sender = \"@plain.test\"\naction = \"tag\"\nsubject_prefix = \"[CAUTION] \"\n",
    );
    let original = letter("Hello");
    let fate = checkpoint.send(OUTSIDE, "a@japan.test", &[USER], &original);
    fate.is("tag", "japanese");
    assert!(fate.log["rule_line"].as_u64().unwrap() > 10, "{}", fate.log);
    let (prefix, id) = (data_encoding::BASE64.encode("[注意]".as_bytes()), fate.id());
    let expected = format!(
        "X-Sekisho-Verdict: clean\r\nX-Sekisho-Id: {id}\r\nX-Company-Check: clean; rule=japanese; id={id}\r\n{}",
        String::from_utf8(original).unwrap().replace("Subject: ", &format!("Subject: =?UTF-8?B?{prefix}?= "))
    );
    assert_eq!(fate.delivered.as_ref().unwrap().text(), expected);

    let fate = checkpoint.send(OUTSIDE, "a@plain.test", &[USER], &letter("=?UTF-8?B?6KuL5rGC5pu4?="));
    fate.is("tag", "plain");
    assert!(fate.header().contains("\r\nSubject: [CAUTION] =?UTF-8?B?6KuL5rGC5pu4?=\r\n"), "{}", fate.header());
    let none = b"From: a@plain.test\r\n\r\nno subject\r\n";
    let fate = checkpoint.send(OUTSIDE, "b@plain.test", &[USER], none);
    assert!(fate.header().contains("\r\nSubject: [CAUTION]\r\n"), "{}", fate.header());
}

#[test]
fn a_refusal_carries_its_reply_and_a_deferral_delivers_nothing() {
    let checkpoint = Checkpoint::with(
        "[[rule]]\nname = \"refuse\"\nwhen.verdict = \"malicious\"\naction = \"reject\"\nreply = \"550 5.7.1 Ask the help desk, reference {id}\"\n\n\
         [[rule]]\nname = \"later\"\nwhen.sender = \"@later.test\"\naction = \"defer\"\n",
    );
    let test_file = with_file("Test", "eicar.com", "application/octet-stream", &eicar());
    let fate = checkpoint.send(OUTSIDE, "bad@outside.test", &[USER], &test_file);
    fate.is("reject", "refuse");
    assert_eq!(fate.reply.text, format!("550 5.7.1 Ask the help desk, reference {}\r\n", fate.id()));
    assert_eq!(fate.log["findings"], serde_json::json!(["eicar-test-file"]));
    let fate = checkpoint.send(OUTSIDE, "a@later.test", &[USER], &letter("Hello"));
    fate.is("defer", "later");
    assert_eq!(fate.reply.code, 451);
    assert!(fate.reply.text.contains(fate.id()), "{}", fate.reply.text);
    assert_eq!(checkpoint.daemon.held(), [""; 0]);
}

#[test]
fn a_pass_by_name_answers_for_every_part_and_ends_at_its_exceptions() {
    let checkpoint = Checkpoint::with(
        "[[rule]]\nname = \"partner\"\nwhen.client = \"192.0.2.0/24\"\nwhen.attachment_name = \"order-*.docm\"\n\
         not.sender = \"@lost.test\"\nnot.finding = \"eicar-*\"\naction = \"pass\"\n",
    );
    let document = macro_document();
    let one = with_files("Order", &[("order-7.docm", &document)]);
    let passed = checkpoint.send(OUTSIDE, "a@partner.test", &[USER], &one);
    passed.is("pass", "partner");
    assert!(passed.header().contains("X-Sekisho-Verdict: malicious\r\n"), "{}", passed.header());
    assert!(passed.header().contains("X-Sekisho-Explanation: order-7.docm runs by itself when opened"));

    let two = with_files("Order", &[("order-7.docm", &document), ("other.docm", &document)]);
    checkpoint.send(OUTSIDE, "b@partner.test", &[USER], &two).is("quarantine", "(malicious)");
    let tested = with_files("Order", &[("order-7.docm", &document), ("order-8.docm", &eicar())]);
    checkpoint.send(OUTSIDE, "c@partner.test", &[USER], &tested).is("quarantine", "(malicious)");
    checkpoint.send(OUTSIDE, "a@lost.test", &[USER], &one).is("quarantine", "(malicious)");
    checkpoint.send("198.51.100.1", "d@partner.test", &[USER], &one).is("quarantine", "(malicious)");
}

#[test]
fn the_direction_follows_the_client_and_the_recipients() {
    let rule = |direction: &str| {
        format!(
            "[[rule]]\nname = \"{direction}\"\nwhen.direction = \"{direction}\"\naction = \"tag\"\nheaders = {{ \"X-Way\" = \"{{rule}}\" }}\n\n"
        )
    };
    let checkpoint = Checkpoint::with(&["inbound", "outbound", "internal"].map(rule).concat());
    let cases = [
        (OUTSIDE, "a@outside.test", USER, "inbound"),
        (OUTSIDE, "b@inside.test", "x@elsewhere.test", "inbound"),
        (INSIDE, "c@inside.test", "x@elsewhere.test", "outbound"),
        (INSIDE, "d@inside.test", USER, "internal"),
        ("IPv6:2001:db8::1", "e@outside.test", USER, "inbound"),
    ];
    for (address, sender, recipient, direction) in cases {
        let fate = checkpoint.send(address, sender, &[recipient], &letter("Hello"));
        fate.is("tag", direction);
        assert_eq!(fate.log["direction"], direction);
        assert_eq!(fate.log["client_ip"], address.trim_start_matches("IPv6:"));
        assert!(fate.header().contains(&format!("X-Way: {direction}")), "{}", fate.header());
    }
}

#[test]
fn recipients_that_differ_are_told_apart() {
    let checkpoint =
        Checkpoint::with("[[rule]]\nname = \"boss\"\nwhen.recipient = \"boss@inside.test\"\naction = \"quarantine\"\n");
    let fate = checkpoint.send(OUTSIDE, "a@outside.test", &[USER, "boss@inside.test"], &letter("Hello"));
    assert_eq!(fate.log["disposition"], "mixed");
    let expected = serde_json::json!([
        {"to": USER, "disposition": "pass", "rule": "(default)"},
        {"to": "boss@inside.test", "disposition": "quarantine", "rule": "boss"},
    ]);
    assert_eq!(fate.log["per_rcpt"], expected);
    assert_eq!(fate.delivered.as_ref().unwrap().to, [format!(" TO:<{USER}>")]);
    assert_eq!(checkpoint.daemon.held().len(), 1);
    for disposition in ["pass", "quarantine"] {
        assert_eq!(fate.counted("sekisho_recipients_total", &[("disposition", disposition)]), 1.0);
    }
    assert_eq!(fate.counted("sekisho_messages_total", &[("disposition", "mixed")]), 1.0);
}

#[test]
fn the_log_shows_why_a_rule_did_not_apply() {
    let sink = Sink::start();
    let tables = "level = \"info,sekisho::policy=debug\"\n\n[[rule]]\nname = \"partner\"\nwhen.client = \"198.51.100.0/24\"\naction = \"quarantine\"\n";
    let mut daemon = Daemon::with("before-queue", free_port(), sink.port(), tables);
    daemon.start();
    Client::connect(daemon.port()).unwrap().send_for(Some(OUTSIDE), "a@b.test", &[USER], &letter("Hello")).unwrap();
    let id = daemon.message_with("a@b.test")["id"].clone();
    let lines: Vec<serde_json::Value> = daemon.log().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of =
        |rule: &str| lines.iter().find(|line| line["rule"] == rule && line["target"] == "sekisho::policy").unwrap();
    let partner = of("partner");
    assert_eq!((&partner["id"], &partner["to"], &partner["applies"]), (&id, &USER.into(), &false.into()));
    assert_eq!(partner["why"], "client is 192.0.2.9, wants 198.51.100.0/24");
    assert_eq!(of("(default)")["applies"], true);
}

#[test]
fn every_series_is_there_from_the_start_and_there_are_few() {
    let checkpoint = Checkpoint::with("[[rule]]\nname = \"mine\"\naction = \"pass\"\n");
    let answer = checkpoint.daemon.get("/metrics");
    let series = answer.lines().filter(|line| line.starts_with("sekisho_") || line.starts_with("process_")).count();
    assert!((300..2000).contains(&series), "{series}");
    for start in [
        "sekisho_messages_total{transport=\"before-queue\",disposition=\"quarantine\"} 0",
        "sekisho_rule_matches_total{rule=\"mine\"} 0",
        "sekisho_findings_total{finding=\"vba-autoexec\",severity=\"high\"} 0",
        "sekisho_deliveries_total{kind=\"forward\",result=\"lost\"} 0",
    ] {
        let labels: Vec<&str> = start.split(['{', '}', ',']).collect();
        let there = answer.lines().any(|line| labels.iter().all(|label| line.contains(label)));
        assert!(there, "{start}");
    }
}
