//! An encrypted archive and its password in two mails, as offices in Japan send them, through a real Postfix in every mode.

use std::fs;

use super::{DOCS, PATIENCE, Stage, running};
use crate::common::bridge::{Break, Bridge};
use crate::common::client::send;
use crate::common::daemon::Daemon;
use crate::common::ooxml;
use crate::common::postfix::Postfix;
use crate::common::samples::{macro_document, with_file};
use crate::common::sink::Sink;
use crate::common::wait_for;
use crate::second_mail::archive;

/// Archives to `held.test` are held, those to `open.test` are delivered.
const TABLES: &str = "[second_mail]\nnotify = [\"soc@inside.test\"]\n\n[[rule]]\nname = \"hold-encrypted\"\n\
    when.reason = \"encrypted\"\nwhen.recipient = \"*@held.test\"\naction = \"quarantine\"\n\n";
const PASSWORD: &str = "Kx-77aQ";

fn malicious(marker: &str) -> Vec<u8> {
    with_file(marker, "invoice.zip", "application/zip", &archive("invoice.docm", &macro_document(), PASSWORD))
}

fn honest(marker: &str) -> Vec<u8> {
    let document = ooxml::word(&["As spoken on the phone."], None);
    with_file(marker, "report.zip", "application/zip", &archive("report.docx", &document, PASSWORD))
}

/// The second mail as it is written in Japan: ISO-2022-JP, the password on a line of its own.
fn second(from: &str, marker: &str) -> Vec<u8> {
    let text = "いつもお世話になっております。\r\n先ほどのファイルのパスワードをお送りします。\r\n\r\n\
        パスワード：\r\nKx-77aQ\r\n\r\n以上、よろしくお願いいたします。\r\n";
    let head = format!(
        "From: {from}\r\nSubject: {marker}\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=ISO-2022-JP\r\n\
         Content-Transfer-Encoding: 7bit\r\n\r\n"
    );
    [head.as_bytes(), &encoding_rs::ISO_2022_JP.encode(text).0].concat()
}

/// From this sender, whom the From field names, too.
fn of(from: &str, content: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8(content).expect("7-bit");
    let (before, rest) = text.split_once("From: ").expect("a From field");
    let rest = rest.split_once("\r\n").expect("its end").1;
    format!("{before}From: {from}\r\n{rest}").into_bytes()
}

impl Stage {
    fn mail(&self, from: &str, to: &[&str], content: Vec<u8>) {
        let reply = send(self.postfix.port(), from, to, &of(from, content)).expect("a session");
        assert_eq!(reply.code, 250, "{}", reply.text);
    }

    fn password(&self, from: &str, to: &[&str], marker: &str) {
        let reply = send(self.postfix.port(), from, to, &second(from, marker)).expect("a session");
        assert_eq!(reply.code, 250, "{}", reply.text);
    }

    /// The entry with this subject, once it is there.
    fn held_as(&self, marker: &str) -> serde_json::Value {
        let find = || self.daemon.entries().into_iter().find(|entry| entry["subject"] == marker);
        wait_for(&format!("{marker} in quarantine"), PATIENCE, || find().is_some());
        find().expect("it was there")
    }

    fn becomes(&self, marker: &str, state: &str, verdict: &str) {
        let is_so = || {
            let entry = self.held_as(marker);
            entry["state"] == state && entry["verdict"] == verdict
        };
        wait_for(&format!("{marker} to be {state} and {verdict}"), PATIENCE, is_so);
    }

    fn arrived(&self, marker: &str) -> usize {
        let subject = format!("Subject: {marker}\r\n");
        self.sink.mails().iter().filter(|mail| mail.text().contains(&subject)).count()
    }

    fn counted(&self, result: &str) -> f64 {
        self.daemon.metric(&format!("sekisho_second_mail_total{{result=\"{result}\"}}")).unwrap_or_default()
    }

    /// Contents in the folder of copies.
    fn copies_kept(&self) -> usize {
        let files = fs::read_dir(self.daemon.state().join("copies")).expect("the copies").flatten();
        files.filter(|file| file.path().extension().is_some_and(|extension| extension == "eml")).count()
    }

    fn show_of(&self, marker: &str) -> String {
        let id = self.held_as(marker)["id"].as_str().expect("an id").to_owned();
        let shown = self.daemon.command(&["quarantine", "show", &id]);
        String::from_utf8(shown.stdout).expect("text")
    }

    /// The text of the first notice with this subject.
    fn notice(&self, subject: &str) -> String {
        let text = self.sink.wait_for(subject).text();
        let body = text.split_once("\r\n\r\n").expect("a body").1.replace("\r\n", "");
        String::from_utf8(data_encoding::BASE64.decode(body.as_bytes()).expect("Base64")).expect("text")
    }
}

fn through(mode: &str) {
    let Some(stage) = running(mode, "", TABLES) else { return };

    // Held and malicious: it stays, and says what it is.
    stage.mail("a@partner.test", &["u@held.test"], malicious("bad-held"));
    stage.held_as("bad-held");
    stage.password("a@partner.test", &["u@held.test"], "bad-held-told");
    stage.becomes("bad-held", "held", "malicious");
    assert_eq!(stage.held_as("bad-held")["rule"], "(malicious)", "{mode}");
    let shown = stage.show_of("bad-held");
    assert!(shown.contains("looked at again with a password of a later mail: malicious"), "{mode}: {shown}");

    // Held and honest: it goes, once, to both, though one of them has the password only.
    let sent = honest("good-held");
    stage.mail("b@partner.test", &["u@held.test", "v@held.test"], sent.clone());
    stage.held_as("good-held");
    stage.password("b@partner.test", &["v@held.test"], "good-held-told");
    stage.becomes("good-held", "released", "clean");
    let mail = stage.sink.wait_for("Subject: good-held\r\n");
    assert!(mail.data.ends_with(&of("b@partner.test", sent)), "{mode}: as it came");
    assert_eq!(mail.to.len(), 2, "{mode}: {:?}", mail.to);

    // Somebody else's password opens nothing: what is looked at is looked at in order, so theirs would have been first.
    stage.mail("c@partner.test", &["u@held.test"], honest("other-held"));
    stage.held_as("other-held");
    let closed = stage.counted("closed");
    stage.password("stranger@partner.test", &["u@held.test"], "other-told");
    stage.password("c@partner.test", &["w@held.test"], "other-told");
    stage.mail("c@partner.test", &["u@held.test"], b"From: x\r\nSubject: wrong\r\n\r\nPassword: n0t-This\r\n".to_vec());
    wait_for("a look in vain", PATIENCE, || stage.counted("closed") > closed);
    assert_eq!(stage.held_as("other-held")["state"], "held", "{mode}");

    // Delivered and malicious: told of.
    stage.mail("d@partner.test", &["u@open.test"], malicious("bad-open"));
    stage.sink.wait_for("Subject: bad-open\r\n");
    wait_for("the copy", PATIENCE, || stage.copies_kept() > 0);
    stage.password("d@partner.test", &["u@open.test"], "bad-open-told");
    let late = || stage.daemon.metric("sekisho_late_verdicts_total{verdict=\"malicious\"}").unwrap_or_default();
    wait_for("the late verdict", PATIENCE, || late() > 0.0);
    let notice = stage.notice("Subject: Sekisho: a delivered attachment is malicious");
    for part in ["d@partner.test", "u@open.test", "bad-open", "悪意のある"] {
        assert!(notice.contains(part), "{mode}: {notice}");
    }
    assert!(stage.daemon.log().contains("late: a delivered message was opened"), "{mode}");
    wait_for("the end of the copy", PATIENCE, || stage.copies_kept() == 0);

    // The password first: opened at once.
    stage.password("e@partner.test", &["u@held.test"], "first-told");
    stage.sink.wait_for("Subject: first-told\r\n");
    stage.mail("e@partner.test", &["u@held.test"], honest("good-second"));
    stage.sink.wait_for("Subject: good-second\r\n");
    stage.mail("e@partner.test", &["u@held.test"], malicious("bad-second"));
    stage.becomes("bad-second", "held", "malicious");

    stage.postfix.drain(PATIENCE);
    for (marker, times) in [("bad-held", 0), ("good-held", 1), ("other-held", 0), ("bad-open", 1), ("bad-second", 0)] {
        assert_eq!(stage.arrived(marker), times, "{mode}: {marker}");
    }
    for secret in [stage.daemon.log(), stage.daemon.get("/metrics")] {
        assert!(!secret.contains(PASSWORD), "{mode}: the password is told");
    }
}

#[test]
fn the_second_mail_before_the_queue() {
    through("before-queue");
}

#[test]
fn the_second_mail_behind_the_queue() {
    through("after-queue");
}

#[test]
fn the_second_mail_with_the_milter() {
    through("milter");
}

#[test]
fn the_second_mail_with_the_milter_and_behind_the_queue() {
    through("milter+after-queue");
}

#[test]
fn killed_while_it_hands_a_release_to_postfix_the_daemon_ends_it_after_its_start() {
    let sink = Sink::start();
    let Some(postfix) = Postfix::start(&sink) else { return };
    postfix.prepare(DOCS, "milter");
    // Of a milter's mail only releases go this way.
    let bridge = Bridge::start(postfix.next_hop_port());
    let socket = postfix.config_dir().parent().expect("its folder").join("spool/sekisho/milter.sock");
    let listener = format!(
        "[[listener]]\nkind = \"milter\"\nlisten = \"unix:{}\"\nsocket_group = \"postfix\"\n\
         release_to = \"127.0.0.1:{}\"\n\n",
        socket.display(),
        bridge.port()
    );
    let mut daemon = Daemon::of(0, &listener, TABLES);
    daemon.start();
    postfix.apply(DOCS, "milter");
    let mut stage = Stage { daemon, postfix, sink };
    for (number, step) in ["CONNECT", "RCPT", "DATA", "DOT", "REPLY"].into_iter().enumerate() {
        let (from, marker) = (format!("{number}@partner.test"), format!("at-{step}"));
        stage.mail(&from, &["u@held.test"], honest(&marker));
        wait_for("the confirmation", PATIENCE, || stage.held_as(&marker)["state"] == "held");
        let before = bridge.broken();
        bridge.set_at(step, Break::Stall);
        stage.password(&from, &["u@held.test"], "told");
        wait_for("the release to hang", PATIENCE, || bridge.broken() > before);
        assert_eq!(stage.held_as(&marker)["state"], "releasing", "{step}");
        stage.daemon.kill();
        bridge.set(None);
        stage.daemon.start();
        stage.becomes(&marker, "released", "clean");
        stage.postfix.drain(PATIENCE);
        let taken_before = usize::from(step == "REPLY");
        wait_for("all copies", PATIENCE, || stage.arrived(&marker) == 1 + taken_before);
        let repeated = stage.show_of(&marker).contains("it may arrive twice");
        assert_eq!(repeated, ["DOT", "REPLY"].contains(&step), "{step}");
    }
}

#[test]
fn what_postfix_holds_is_opened_and_its_queue_id_told() {
    let Some(mut stage) = running("milter", "hold_in = \"mta\"\n", TABLES) else { return };
    stage.mail("a@partner.test", &["u@held.test"], honest("good-mta"));
    wait_for("the copy", PATIENCE, || stage.copies_kept() == 1);
    let queue_id = stage.daemon.message_with("a@partner.test")["queue_id"].as_str().expect("a queue id").to_owned();
    assert!(stage.daemon.entries().is_empty(), "it is in Postfix's queue");
    // That it is held there is known after a kill, too.
    stage.daemon.kill();
    stage.daemon.start();
    stage.password("a@partner.test", &["u@held.test"], "good-mta-told");
    wait_for("the second look", PATIENCE, || stage.counted("mta") == 1.0);
    let notice = stage.notice("Subject: Sekisho: mail in the hold queue was opened");
    let told = format!("Queue ID: {queue_id}\r\nVerdict: clean; the rules would deliver it now");
    assert!(notice.contains(&told) && notice.contains("postsuper -H"), "{notice}");
    let log = stage.daemon.log();
    let line = log.lines().find(|line| line.contains("in the MTA's hold queue was opened")).expect("a line");
    assert!(line.contains(&queue_id) && line.contains("the rules would deliver it now"), "{line}");
    wait_for("the end of the copy", PATIENCE, || stage.copies_kept() == 0);
    assert_eq!(stage.arrived("good-mta"), 0);
    let late = |verdict: &str| stage.daemon.metric(&format!("sekisho_late_verdicts_total{{verdict=\"{verdict}\"}}"));
    assert!([late("clean"), late("malicious")].iter().all(|count| count.unwrap_or_default() == 0.0), "nobody has it");
    // What the notice says is what is to be done.
    assert!(stage.postfix.sh(&format!("postsuper -H {queue_id}")).status.success());
    stage.postfix.drain(PATIENCE);
    assert_eq!(stage.arrived("good-mta"), 1);

    stage.mail("b@partner.test", &["u@held.test"], malicious("bad-mta"));
    wait_for("the copy", PATIENCE, || stage.copies_kept() == 1);
    stage.password("b@partner.test", &["u@held.test"], "bad-mta-told");
    wait_for("the second look", PATIENCE, || stage.counted("mta") == 2.0);
    assert!(stage.daemon.log().contains("the rules would not deliver it"));
    wait_for("the end of the copy", PATIENCE, || stage.copies_kept() == 0);
    wait_for("the rest of the queue", PATIENCE, || stage.postfix.queued() == 1);
    assert_eq!(stage.arrived("bad-mta"), 0);
}
