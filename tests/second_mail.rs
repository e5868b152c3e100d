//! The encrypted attachment comes in one mail and its password in another one, as offices in Japan send them: in both
//! orders, held or delivered, over restarts and kills.

mod limits;
mod release;

use std::fs;
use std::io::Write;
use std::time::Duration;

use super::common::client;
use super::common::daemon::Daemon;
use super::common::samples::{macro_document, with_file};
use super::common::sink::Sink;
use super::common::{free_port, wait_for};

const FROM: &str = "taro@partner.test";
const TO: &str = "hanako@inside.test";
const HOLD: &str = "[[rule]]\nname = \"hold-encrypted\"\nwhen.reason = \"encrypted\"\naction = \"quarantine\"\n\n";
const NOTIFY: &str = "[second_mail]\nnotify = [\"soc@inside.test\"]\n\n";
const SOON: Duration = super::common::PATIENCE;

struct Office {
    daemon: Daemon,
    sink: Sink,
}

fn office(tables: &str) -> Office {
    let sink = Sink::start();
    let mut daemon = Daemon::with("before-queue", free_port(), sink.port(), tables);
    daemon.start();
    Office { daemon, sink }
}

/// A ZIP archive with one encrypted file.
pub(crate) fn archive(name: &str, content: &[u8], password: &str) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().with_aes_encryption(zip::AesMode::Aes256, password);
    writer.start_file(name, options).unwrap();
    writer.write_all(content).unwrap();
    writer.finish().unwrap().into_inner()
}

fn harmless(marker: &str) -> Vec<u8> {
    with_file(marker, "report.zip", "application/zip", &archive("report.txt", b"as spoken", "Kx-77aQ"))
}

fn malicious(marker: &str) -> Vec<u8> {
    with_file(marker, "invoice.zip", "application/zip", &archive("invoice.docm", &macro_document(), "Kx-77aQ"))
}

fn password(marker: &str, password: &str) -> Vec<u8> {
    format!("From: {FROM}\r\nSubject: {marker}\r\n\r\nThank you.\r\nPassword: {password}\r\n").into_bytes()
}

impl Office {
    fn send(&self, content: &[u8]) {
        self.send_as(FROM, &[TO], content);
    }

    fn send_as(&self, from: &str, to: &[&str], content: &[u8]) {
        let reply = client::send(self.daemon.port(), from, to, content).unwrap();
        assert_eq!(reply.code, 250, "{reply:?}");
    }

    fn delivered(&self, marker: &str) -> usize {
        self.sink.mails().iter().filter(|mail| mail.text().contains(marker)).count()
    }

    fn counted(&self, result: &str) -> f64 {
        self.daemon.metric(&format!("sekisho_second_mail_total{{result=\"{result}\"}}")).unwrap_or_default()
    }

    fn late(&self, verdict: &str) -> f64 {
        self.daemon.metric(&format!("sekisho_late_verdicts_total{{verdict=\"{verdict}\"}}")).unwrap_or_default()
    }

    /// The state and verdict of the one message in quarantine.
    fn entry(&self) -> (String, String) {
        let entries = self.daemon.entries();
        assert_eq!(entries.len(), 1, "{entries:?}");
        (entries[0]["state"].as_str().unwrap().to_owned(), entries[0]["verdict"].as_str().unwrap().to_owned())
    }

    /// Contents of delivered mail that are kept.
    fn copies(&self) -> usize {
        let files = fs::read_dir(self.daemon.state().join("copies")).unwrap().flatten();
        files.filter(|file| file.path().extension().is_some_and(|extension| extension == "eml")).count()
    }

    fn waits_for_a_copy(&self) {
        wait_for("the copy", SOON, || self.copies() == 1);
    }

    fn never_says(&self, secret: &str) {
        assert!(!self.daemon.log().contains(secret), "in the log");
        assert!(!self.daemon.get("/metrics").contains(secret), "in the metrics");
        for folder in ["copies", "quarantine"] {
            for file in fs::read_dir(self.daemon.state().join(folder)).unwrap().flatten() {
                if file.path().extension().is_some_and(|extension| extension == "json") {
                    assert!(!fs::read_to_string(file.path()).unwrap().contains(secret), "in an entry");
                }
            }
        }
    }
}

#[test]
fn a_password_that_came_first_opens_what_comes_later() {
    let office = office(HOLD);
    office.send(&password("first", "Kx-77aQ"));
    office.send(&harmless("good-one"));
    office.sink.wait_for("good-one");
    office.send(&malicious("bad-one"));
    assert_eq!(office.entry(), ("held".to_owned(), "malicious".to_owned()));
    assert_eq!(office.delivered("bad-one"), 0);
    // What one of the recipients was told counts for the mail to all of them.
    office.send_as(FROM, &["other@inside.test", TO], &harmless("to-both"));
    office.sink.wait_for("to-both");
    office.send_as(FROM, &["other@inside.test"], &harmless("to-the-other"));
    assert_eq!((office.delivered("to-the-other"), office.daemon.entries().len()), (0, 2));
    office.never_says("Kx-77aQ");
}

#[test]
fn a_held_archive_is_released_once_when_its_password_comes() {
    let office = office(HOLD);
    let sent = harmless("archive");
    office.send(&sent);
    assert_eq!(office.entry().0, "held");
    office.send(&password("wrong", "notThis9"));
    wait_for("a look in vain", SOON, || office.counted("closed") == 1.0);
    assert_eq!(office.entry().0, "held");
    office.send(&password("right", "Kx-77aQ"));
    let mail = office.sink.wait_for("Subject: archive");
    assert!(mail.data == sent, "octet for octet as it came");
    wait_for("the release", SOON, || office.counted("released") == 1.0);
    assert_eq!(office.entry().0, "released");
    office.send(&password("again", "Kx-77aQ"));
    office.send(&password("another", "Zz-99zz"));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(office.delivered("Subject: archive"), 1);
    let shown = office.daemon.command(&["quarantine", "show", office.daemon.entries()[0]["id"].as_str().unwrap()]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("with a password of a later mail"), "{shown}");
    office.never_says("Kx-77aQ");
}

#[test]
fn a_held_archive_that_turns_out_malicious_stays_held_and_says_so() {
    let office = office(HOLD);
    office.send(&malicious("archive"));
    office.send(&password("right", "Kx-77aQ"));
    wait_for("the verdict", SOON, || office.counted("kept") == 1.0);
    assert_eq!(office.entry(), ("held".to_owned(), "malicious".to_owned()));
    assert_eq!(office.daemon.entries()[0]["rule"], "(malicious)");
    assert_eq!(office.delivered("Subject: archive"), 0);
    // A person may decide otherwise all the same.
    let id = office.daemon.entries()[0]["id"].as_str().unwrap().to_owned();
    assert!(office.daemon.command(&["quarantine", "release", &id]).status.success());
    assert_eq!(office.delivered("Subject: archive"), 1);
}

#[test]
fn what_somebody_deleted_and_what_is_to_be_kept_is_not_released() {
    let office = office(&format!("[second_mail]\nheld = \"keep\"\n\n{HOLD}"));
    office.send(&harmless("archive"));
    office.send(&password("right", "Kx-77aQ"));
    wait_for("the verdict", SOON, || office.counted("kept") == 1.0);
    assert_eq!(office.entry(), ("held".to_owned(), "clean".to_owned()));
    let id = office.daemon.entries()[0]["id"].as_str().unwrap().to_owned();
    assert!(office.daemon.command(&["quarantine", "delete", &id]).status.success());
    office.send(&password("again", "Zz-99zz"));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(office.entry().0, "deleted");
    assert_eq!(office.delivered("Subject: archive"), 0);
}

#[test]
fn a_delivered_archive_that_turns_out_malicious_is_told_of() {
    let office = office(NOTIFY);
    office.send(&malicious("archive"));
    office.sink.wait_for("Subject: archive");
    office.waits_for_a_copy();
    office.send(&password("right", "Kx-77aQ"));
    wait_for("the verdict", SOON, || office.late("malicious") == 1.0);
    let notice = office.sink.wait_for("Auto-Submitted: auto-generated");
    assert!(notice.from.contains("<>") && notice.to.concat().contains("<soc@inside.test>"), "{notice:?}");
    let text = notice.text();
    let body = text.split("\r\n\r\n").nth(1).unwrap().replace("\r\n", "");
    let body = String::from_utf8(data_encoding::BASE64.decode(body.as_bytes()).unwrap()).unwrap();
    for part in [FROM, TO, "Subject: archive", "悪意のある", "1 message(s)"] {
        assert!(body.contains(part), "{part}: {body}");
    }
    assert!(office.daemon.log().contains("late: a delivered message was opened"));
    wait_for("the end of the copy", SOON, || office.copies() == 0);
    office.never_says("Kx-77aQ");
}

#[test]
fn a_delivered_archive_that_is_clean_is_only_counted() {
    let office = office(NOTIFY);
    office.send(&harmless("archive"));
    office.waits_for_a_copy();
    office.send(&password("right", "Kx-77aQ"));
    wait_for("the verdict", SOON, || office.late("clean") == 1.0);
    wait_for("the end of the copy", SOON, || office.copies() == 0);
    assert_eq!(office.delivered("Auto-Submitted"), 0);
}

#[test]
fn the_mail_of_other_people_opens_nothing() {
    let office = office(HOLD);
    office.send(&harmless("archive"));
    let told = |from: &str| String::from_utf8(password("right", "Kx-77aQ")).unwrap().replace(FROM, from).into_bytes();
    office.send_as("other@partner.test", &[TO], &told("other@partner.test"));
    office.send_as(FROM, &["other@inside.test"], &told(FROM));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(office.entry().0, "held");
    // The system that sends the second mail has an address of its own; the From field is the same.
    office.send_as("bounces@sender.test", &["other@inside.test", TO], &told(FROM));
    office.sink.wait_for("Subject: archive");
}

#[test]
fn after_the_window_nothing_is_known_and_no_copy_is_left() {
    let office = office("[second_mail]\nwindow = \"2s\"\n\n");
    office.send(&malicious("archive"));
    office.waits_for_a_copy();
    wait_for("the end of the window", SOON, || office.copies() == 0);
    office.send(&password("right", "Kx-77aQ"));
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(office.late("malicious"), 0.0);
    office.send(&malicious("second"));
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(office.delivered("Subject: second"), 1, "the password is forgotten, too");
}

#[test]
fn without_a_window_nothing_is_kept() {
    let office = office(&format!("[second_mail]\nwindow = \"0s\"\n\n{HOLD}"));
    office.send(&harmless("held"));
    office.send(&password("right", "Kx-77aQ"));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!((office.entry().0.as_str(), office.copies()), ("held", 0));
    office.send(&harmless("later"));
    assert_eq!(office.daemon.entries().len(), 2, "the password that came first is not known");
}

#[test]
fn copies_stay_within_their_quota() {
    let office = office("[second_mail]\nquota = \"1 MiB\"\n\n");
    let noise: Vec<u8> =
        (0..200_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).take(300_000).collect();
    let large = |marker: &str| with_file(marker, "a.zip", "application/zip", &archive("noise.bin", &noise, "Kx-77aQ"));
    office.send(&large("one"));
    office.waits_for_a_copy();
    office.send(&large("two"));
    wait_for("no room for the second", SOON, || office.counted("full") == 1.0);
    assert_eq!((office.copies(), office.delivered("Subject: two")), (1, 1), "mail does not wait for that");
}

#[test]
fn copies_and_held_mail_are_known_after_a_restart_and_a_kill() {
    let mut office = office(HOLD);
    office.send(&harmless("held"));
    office.daemon.kill();
    office.daemon.start();
    office.send(&password("right", "Kx-77aQ"));
    office.sink.wait_for("Subject: held");
    wait_for("the release", SOON, || office.entry().0 == "released");

    let mut office = self::office(NOTIFY);
    office.send(&malicious("delivered"));
    office.waits_for_a_copy();
    office.daemon.kill();
    office.daemon.start();
    office.send(&password("right", "Kx-77aQ"));
    wait_for("the verdict", SOON, || office.late("malicious") == 1.0);
    office.sink.wait_for("Auto-Submitted: auto-generated");

    // What is older than the window goes at the start.
    let mut office = self::office("[second_mail]\nwindow = \"4s\"\n\n");
    office.send(&harmless("delivered"));
    office.waits_for_a_copy();
    office.daemon.kill();
    std::thread::sleep(Duration::from_secs(4));
    office.daemon.start();
    wait_for("the end of the copy", SOON, || office.copies() == 0);
}

#[test]
fn a_kill_at_any_moment_of_a_release_loses_nothing() {
    for wait in [0, 20, 50, 90, 150, 300] {
        let mut office = office(HOLD);
        office.send(&harmless("archive"));
        office.send(&password("right", "Kx-77aQ"));
        std::thread::sleep(Duration::from_millis(wait));
        office.daemon.kill();
        office.daemon.start();
        office.send(&password("again", "Kx-77aQ"));
        wait_for("its end", SOON, || office.entry().0 == "released");
        let delivered = office.delivered("Subject: archive");
        // Cut off around the final dot, it is sent once more, and the log says so.
        let repeated = office.daemon.log().contains("it may arrive twice");
        assert!((1..=1 + usize::from(repeated)).contains(&delivered), "killed after {wait} ms: {delivered} times");
        assert_eq!(office.daemon.held().len(), 1, "it is there in any case");
    }
}
