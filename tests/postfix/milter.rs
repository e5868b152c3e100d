//! The recipes with the milter: what Postfix makes of the answers, seen at the sink and in the quarantine.

use std::time::Duration;

use sekisho::milter::{Answer, Response};

use super::{DOCS, FROM, Stage, TO, running, stage};
use crate::common::client::{Client, Reply, eicar, letter, send};
use crate::common::milter::Filter;
use crate::common::postfix::Postfix;
use crate::common::samples::{macro_document, with_files};
use crate::common::sink::{Mail, Sink};
use crate::common::smtp::config;
use crate::common::wait_for;

const PATIENCE: Duration = Duration::from_secs(20);

/// One rule for each action; the recipient chooses it.
fn rules() -> String {
    let rules = [
        ("tag", "tag", "subject_prefix = \"[T]\""),
        ("strip", "strip", ""),
        ("hold", "quarantine", ""),
        ("copied", "quarantine", "copy_to = \"copy@soc.test\""),
        ("redirect", "redirect", "redirect_to = \"soc@soc.test\""),
        ("reject", "reject", "reply = \"554 5.7.1 not 100% wanted here ({id})\""),
        ("defer", "defer", ""),
        ("discard", "discard", ""),
    ];
    let rule = |(who, action, more): (&str, &str, &str)| {
        format!("[[rule]]\nname = \"{who}\"\nwhen.recipient = \"{who}@inside.test\"\naction = \"{action}\"\n{more}\n\n")
    };
    let pass = "[[rule]]\nname = \"pass\"\naction = \"pass\"\n";
    rules.into_iter().map(rule).collect::<String>() + pass
}

/// A letter with a macro document.
fn document() -> Vec<u8> {
    let message = with_files("a document", &[("invoice.docm", &macro_document())]);
    [b"X-Folded: one,\r\n\t two\r\n".to_vec(), message].concat()
}

impl Stage {
    /// What the client is told about a message to these recipients.
    fn tell(&self, to: &[&str], content: &[u8]) -> Reply {
        let to: Vec<String> = to.iter().map(|to| format!("{to}@inside.test")).collect();
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        send(self.postfix.port(), FROM, &to, content).expect("a session")
    }

    /// What the sink has for a recipient.
    fn copies(&self, to: &str) -> Vec<Mail> {
        let path = format!("<{to}>");
        self.sink.mails().into_iter().filter(|mail| mail.to.iter().any(|to| to.contains(&path))).collect()
    }

    /// The only one.
    fn copy(&self, to: &str) -> Mail {
        let mut copies = self.copies(to);
        assert_eq!(copies.len(), 1, "{to}: {copies:?}");
        copies.remove(0)
    }

    /// The states of all entries.
    fn states(&self) -> Vec<String> {
        let entries = self.daemon.entries();
        entries.iter().map(|entry| entry["state"].as_str().expect("a state").to_owned()).collect()
    }

    fn assert_no_warnings(&self) {
        let warnings = self.postfix.warnings();
        assert!(warnings.is_empty(), "{warnings:?}");
    }
}

/// The body, behind the empty line.
fn body(content: &[u8]) -> &[u8] {
    let end = content.windows(4).position(|window| window == b"\r\n\r\n").expect("an empty line");
    &content[end + 4..]
}

#[test]
fn each_action_is_what_postfix_does() {
    let Some(stage) = running("milter", "", &rules()) else { return };
    let sent = document();
    for (to, code, text) in [
        (&["pass"][..], 250, "2.0.0 Ok: queued as"),
        (&["tag"], 250, "2.0.0"),
        (&["strip"], 250, "2.0.0"),
        (&["hold"], 250, "2.0.0"),
        (&["copied"], 250, "2.0.0"),
        (&["redirect"], 250, "2.0.0"),
        (&["reject"], 554, "554 5.7.1 not 100% wanted here ("),
        (&["defer"], 451, "451 4.7.1 "),
        (&["discard"], 250, "2.0.0"),
        (&["mixed", "hold"], 250, "2.0.0"),
        (&["mixed2", "redirect", "discard"], 250, "2.0.0"),
    ] {
        let reply = stage.tell(to, &sent);
        assert!(reply.code == code && reply.text.contains(text), "{to:?}: {}", reply.text);
    }
    let nul = stage.tell(&["nul"], &[&sent[..], b"a\0b\r\n"].concat());
    assert!(nul.code == 550 && nul.text.contains("5.7.1"), "{}", nul.text);
    stage.postfix.drain(PATIENCE);

    for to in ["pass", "mixed", "mixed2"] {
        assert!(stage.copy(&format!("{to}@inside.test")).data.ends_with(&sent), "{to}");
    }
    let tagged = stage.copy("tag@inside.test");
    assert!(tagged.text().contains("\r\nSubject: [T] a document\r\n"), "{}", tagged.text());
    assert_eq!(body(&tagged.data), body(&sent));
    let stripped = stage.copy("strip@inside.test").text();
    assert!(stripped.contains("Please find the documents attached.") && stripped.contains("invoice.docm.txt"));
    assert!(!stripped.contains("\"invoice.docm\"") && stripped.contains("; stripped\r\n"), "{stripped}");
    assert!(stripped.contains("\r\nX-Folded: one,\r\n\t two\r\n") && stripped.ends_with("--\r\n"), "{stripped}");
    assert_eq!(stage.copies("soc@soc.test").len(), 2);
    assert!(stage.copy("copy@soc.test").data.ends_with(&sent));
    for to in ["hold", "copied", "redirect", "reject", "defer", "discard", "nul"] {
        assert!(stage.copies(&format!("{to}@inside.test")).is_empty(), "{to}");
    }
    assert_eq!(stage.sink.mails().len(), 7, "and no more: {:?}", stage.sink.mails());
    // The originals of what is held: hold, copied, the hold of the mixed ones, and of what was stripped.
    wait_for("the confirmations", PATIENCE, || stage.states() == ["held"; 4]);
    assert!(stage.daemon.held().iter().all(|held| held.as_bytes().ends_with(&sent)));
    stage.assert_no_warnings();
}

#[test]
fn what_is_released_comes_once_and_is_not_scanned_again() {
    for mode in ["milter", "milter+after-queue"] {
        let Some(stage) = running(mode, "", "") else { return };
        assert_eq!(stage.tell(&["u"], &eicar("held-1")).code, 250, "{mode}");
        let line = stage.daemon.message_with("held-1@outside.test");
        assert_eq!(line["transport"], "milter", "{line}");
        wait_for("the confirmation", PATIENCE, || stage.states() == ["held"]);
        let id = line["id"].as_str().expect("an id");
        let before = stage.daemon.messages().len();
        for _ in 0..2 {
            let release = stage.daemon.command(&["quarantine", "release", id]);
            assert!(release.status.success(), "{}", String::from_utf8_lossy(&release.stderr));
        }
        let mail = stage.sink.wait_for("held-1");
        stage.postfix.drain(PATIENCE);
        assert_eq!(stage.sink.mails().len(), 1, "{mode}");
        assert!(mail.data.ends_with(&eicar("held-1")) && mail.from.contains(FROM) && mail.to[0].contains(TO));
        assert_eq!(stage.daemon.messages().len(), before, "{mode}: it was scanned again");
        assert_eq!(stage.states(), ["released"], "{mode}");
        stage.assert_no_warnings();
    }
}

/// Messages that a careless filter would change.
fn awkward() -> Vec<Vec<u8>> {
    let head = "From: s@outside.test\r\nTo: u@inside.test\r\nMessage-ID: <a@outside.test>\r\n\
        Date: Sun, 22 Nov 2026 10:00:00 +0900\r\n";
    let long = "x".repeat(3000);
    vec![
        letter("awkward"),
        format!("{head}subject:  spaces before and after  \r\nX-Empty:\r\nX-Tabs:\tone\r\n\t\r\n two\r\n\r\n").into(),
        format!("{head}X-Long: {long}\r\n{}\r\n\r\n{long}\r\n.{long}\r\n", " folded\r\n".repeat(30).trim_end()).into(),
        [head.as_bytes(), b"Subject: caf\xe9 \x93\xfa\x96{\r\n\r\n\xff\xfe\x80 8-bit \x1b$B\r\n.\r\n..\r\n...\r\n"]
            .concat(),
        format!("{head}\r\n\r\n\r\n.\r\n\r\n\r\n").into(),
        format!("{head}Subject: twice\r\nSubject: again\r\nx-Sekisho:near\r\nnot a field\r\n\r\nbody\r\n").into(),
        format!("{head}Subject: large\r\n\r\n{}", "line of a large body\r\n".repeat(60_000)).into(),
        b"no header field at all\r\n\r\nbody\r\n".to_vec(),
        b"\r\nbody without a header\r\n".to_vec(),
        b"Received: from a by b; Sun, 22 Nov 2026 10:00:00 +0900\r\nReturn-Path: <x@y.test>\r\nSubject: trace\r\n\r\nx"
            .to_vec(),
    ]
}

/// What came of each message; without what differs from one delivery to the next: the fields that Postfix and
/// Sekisho put on top.
fn deliver_all(postfix: &Postfix, sink: &Sink, round: &str) -> Vec<String> {
    let mut client = Client::connect(postfix.port()).expect("a session");
    let messages = awkward();
    for (number, message) in messages.iter().enumerate() {
        let message = [&message[..], if message.ends_with(b"\r\n") { b"" } else { b"\r\n" }].concat();
        let reply = client.send(FROM, &[&format!("{round}{number}@inside.test")], &message).expect("a session");
        assert_eq!(reply.code, 250, "{round}{number}: {}", reply.text);
    }
    postfix.drain(PATIENCE);
    wait_for("all of them", PATIENCE, || {
        sink.mails().iter().filter(|mail| mail.to[0].contains(round)).count() == messages.len()
    });
    (0..messages.len())
        .map(|number| {
            let path = format!("<{round}{number}@inside.test>");
            let mail = sink.mails().into_iter().find(|mail| mail.to[0].contains(&path)).expect("it came");
            without_top(&mail.data.iter().map(|octet| char::from(*octet)).collect::<String>())
        })
        .collect()
}

/// A message without the fields on top that Postfix's ports and Sekisho have added.
fn without_top(text: &str) -> String {
    let mut rest = text;
    loop {
        let ours = rest.starts_with("X-Sekisho-")
            || rest.starts_with("Received: from client.test ")
            || rest.starts_with("Received: from mx.inside.test ")
            || rest.starts_with("Received: from localhost ");
        if !ours {
            return rest.to_owned();
        }
        rest = rest.split_once("\r\n").expect("a line").1;
        while rest.starts_with([' ', '\t']) {
            rest = rest.split_once("\r\n").expect("a line").1;
        }
    }
}

#[test]
fn mail_arrives_as_it_does_without_the_milter() {
    for mode in ["milter", "milter+after-queue"] {
        let sink = Sink::start();
        let Some(postfix) = Postfix::start(&sink) else { return };
        let without = deliver_all(&postfix, &sink, "without");
        postfix.prepare(DOCS, mode);
        let mut daemon = postfix.daemon(mode, "");
        daemon.start();
        postfix.apply(DOCS, mode);
        let with = deliver_all(&postfix, &sink, "with-it");
        for (number, (without, with)) in without.iter().zip(&with).enumerate() {
            assert!(with == without, "{mode}, message {number}: {with:.5000}\n--- and not\n{without:.5000}");
        }
        for mail in sink.mails().iter().filter(|mail| mail.to[0].contains("with-it")) {
            assert_eq!(mail.text().matches("X-Sekisho-Verdict: clean\r\n").count(), 1, "{}", mail.text());
        }
        assert!(postfix.warnings().is_empty(), "{:?}", postfix.warnings());
    }
}

#[test]
fn while_the_daemon_is_away_the_sender_waits_and_nobody_is_told() {
    let Some(mut stage) = stage("milter") else { return };
    for _ in 0..5 {
        let reply = stage.tell(&["u"], &letter("away-1"));
        assert_eq!(reply.code, 451, "{}", reply.text);
    }
    stage.daemon.start();
    // Without a word to Postfix.
    assert_eq!(stage.tell(&["u"], &letter("there-1")).code, 250);
    let mut client = Client::connect(stage.postfix.port()).expect("a session");
    assert_eq!(client.send(FROM, &[TO], &letter("there-2")).expect("a session").code, 250);
    stage.daemon.kill();
    let reply = client.send(FROM, &[TO], &letter("away-2")).expect("a session");
    assert_eq!(reply.code, 451, "{}", reply.text);
    for _ in 0..5 {
        let reply = stage.tell(&["u"], &letter("away-3"));
        assert_eq!(reply.code, 451, "{}", reply.text);
    }
    // Its socket is still there, and nobody listens.
    stage.daemon.start();
    assert_eq!(stage.tell(&["u"], &letter("there-3")).code, 250);
    stage.postfix.drain(PATIENCE);
    let mails = stage.sink.mails();
    assert!(mails.iter().all(|mail| mail.text().contains("there-")) && mails.len() == 3, "{mails:?}");
    // What Postfix says about the daemon that is away.
    let other = stage.postfix.warnings().into_iter().filter(|line| !line.contains("milter")).collect::<Vec<_>>();
    assert!(other.is_empty(), "{other:?}");
}

#[test]
fn a_message_can_be_held_by_postfix() {
    let Some(stage) = running("milter", "hold_in = \"mta\"\n", "") else { return };
    assert_eq!(stage.tell(&["u"], &eicar("mta-1")).code, 250);
    assert_eq!(stage.tell(&["v"], &letter("mta-2")).code, 250);
    stage.sink.wait_for("mta-2");
    // Postfix takes a delivered message off its queue a moment after the sink has it.
    wait_for("the delivered message to leave the queue", PATIENCE, || stage.postfix.queued() == 1);
    assert!(stage.daemon.held().is_empty() && stage.sink.mails().len() == 1);
    let log = stage.postfix.log();
    assert!(log.contains("milter-hold"), "{log}");
    assert!(stage.postfix.sh("postsuper -H ALL").status.success());
    stage.postfix.drain(PATIENCE);
    assert!(stage.copy(TO).data.ends_with(&eicar("mta-1")));
    stage.assert_no_warnings();
}

#[test]
fn another_milter_goes_on_working() {
    let Some(stage) = running("milter", "", "") else { return };
    let other = Filter::tcp(config());
    let mut answer = Answer::only(Response::Accept);
    answer.prepend([("X-Other".to_owned(), b"was here".to_vec())].into_iter());
    other.judge.say(answer);
    let sekisho = "{ unix:sekisho/milter.sock, default_action=tempfail }";
    for (order, list) in [
        ("first", format!("smtpd_milters=inet:{}, {sekisho}", other.endpoint)),
        ("last", format!("smtpd_milters={sekisho}, inet:{}", other.endpoint)),
    ] {
        stage.postfix.set(&[&list]);
        let id = format!("other-{order}");
        assert_eq!(stage.tell(&["u"], &letter(&id)).code, 250, "{order}");
        let text = stage.sink.wait_for(&id).text();
        assert!(text.contains("X-Other: was here\r\n") && text.contains("X-Sekisho-Verdict: clean\r\n"), "{text}");
        let id = format!("held-{order}");
        assert_eq!(stage.tell(&["u"], &eicar(&id)).code, 250, "{order}");
        let held = stage.daemon.held();
        let held = held.iter().find(|held| held.contains(&id)).expect("it is held");
        assert_eq!(held.contains("X-Other: was here\r\n"), order == "first", "{held}");
    }
    stage.postfix.drain(PATIENCE);
    assert_eq!(stage.sink.mails().len(), 2);
    stage.assert_no_warnings();
}

#[test]
fn mail_of_local_programs_is_shown_too_where_that_is_wanted() {
    let Some(stage) = running("milter", "", "") else { return };
    stage.postfix.set(&["non_smtpd_milters=$smtpd_milters"]);
    let submit = |content: &[u8], name: &str| {
        let file = stage.daemon.folder().join(name);
        std::fs::write(&file, content).expect("a file");
        let sent = stage.postfix.sh(&format!("sendmail -f {FROM} {TO} < {}", file.display()));
        assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    };
    submit(&eicar("local-1"), "eicar");
    submit(&letter("local-2"), "letter");
    let mail = stage.sink.wait_for("local-2");
    assert!(mail.text().contains("X-Sekisho-Verdict: clean\r\n"), "{}", mail.text());
    assert_eq!(stage.daemon.message_with("local-1")["disposition"], "quarantine");
    wait_for("the confirmation", PATIENCE, || stage.states() == ["held"]);
    stage.postfix.drain(PATIENCE);
    assert_eq!(stage.sink.mails().len(), 1);
    // A milter's connection is for one session or message: none is open now.
    let open = || stage.daemon.metric("sekisho_sessions_active{transport=\"milter\"}");
    assert_eq!(stage.tell(&["u"], &letter("local-3")).code, 250);
    wait_for("the end of all connections", PATIENCE, || open() == Some(0.0));
    stage.assert_no_warnings();
}
