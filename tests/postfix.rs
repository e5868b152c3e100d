//! With a real Postfix: the commands of docs/postfix.md, and the daemon between them.

mod milter;
mod second_mail;

use crate::common::client::{Client, eicar, letter, send};
use crate::common::daemon::Daemon;
use crate::common::postfix::{CLIENT, Postfix};
use crate::common::sink::{Mail, Sink};
use crate::common::{PATIENCE, relay, require_tool, wait_for};

const DOCS: &str = include_str!("../docs/postfix.md");
const FROM: &str = "sender@outside.test";
const TO: &str = "u@inside.test";

/// All recipes.
const MODES: [&str; 4] = ["before-queue", "after-queue", "milter", "milter+after-queue"];

/// A Postfix with a recipe applied, a sink behind it, and a daemon that is not running yet.
struct Stage {
    daemon: Daemon,
    postfix: Postfix,
    sink: Sink,
}

fn stage(mode: &str) -> Option<Stage> {
    let sink = Sink::start();
    let postfix = Postfix::start(&sink)?;
    postfix.prepare(DOCS, mode);
    postfix.apply(DOCS, mode);
    let daemon = postfix.daemon(mode, "");
    Some(Stage { daemon, postfix, sink })
}

/// The same, with a daemon that runs already when the recipe is applied. `keys`: more of its listener;
/// `tables`: more of its configuration.
fn running(mode: &str, keys: &str, tables: &str) -> Option<Stage> {
    let sink = Sink::start();
    let postfix = Postfix::start(&sink)?;
    postfix.prepare(DOCS, mode);
    let mut daemon = postfix.daemon(mode, tables);
    daemon.set_listener(keys);
    daemon.start();
    postfix.apply(DOCS, mode);
    Some(Stage { daemon, postfix, sink })
}

#[test]
fn postfix_alone_delivers_to_the_sink() {
    let sink = Sink::start();
    let Some(postfix) = Postfix::start(&sink) else { return };
    let reply = send(postfix.port(), FROM, &[TO, "v@inside.test"], &letter("alone-1")).expect("a session");
    assert_eq!(reply.code, 250, "{}", reply.text);
    let mail = sink.wait_for("alone-1");
    assert_eq!(mail.to.len(), 2);
    assert_untouched(&mail, &letter("alone-1"));
}

#[test]
fn the_recipes_carry_mail_through_a_filter_and_back() {
    for recipe in ["before-queue", "after-queue"] {
        let sink = Sink::start();
        let Some(postfix) = Postfix::start(&sink) else { return };
        postfix.run_recipe(DOCS, recipe);
        relay::start(postfix.filter_port(), postfix.next_hop_port());
        let reply = send(postfix.port(), FROM, &[TO], &letter("relay-1")).expect("a session");
        assert_eq!(reply.code, 250, "{recipe}: {}", reply.text);
        let mail = sink.wait_for("relay-1");
        assert_untouched(&mail, &letter("relay-1"));
        let hops = mail.text().matches("Received: ").count();
        assert_eq!(hops, 2, "{recipe}: once through each Postfix port:\n{}", mail.text());
        let warnings = postfix.warnings();
        assert!(warnings.is_empty(), "{recipe}: {warnings:?}");
    }
}

#[test]
fn the_recipes_can_be_undone() {
    for recipe in MODES {
        let sink = Sink::start();
        let Some(postfix) = Postfix::start(&sink) else { return };
        let before = postfix.configuration().map(|file| words(&file));
        postfix.apply(DOCS, recipe);
        assert_ne!(postfix.configuration().map(|file| words(&file)), before, "{recipe} does something");
        postfix.apply(DOCS, recipe);
        postfix.undo(DOCS, recipe);
        assert_eq!(postfix.configuration().map(|file| words(&file)), before, "{recipe}");
        assert_eq!(send(postfix.port(), FROM, &[TO], &letter("undone-1")).expect("a session").code, 250);
        sink.wait_for("undone-1");
    }
}

#[test]
fn without_a_filter_nothing_is_lost_and_nobody_is_told_a_thousand_times() {
    let sink = Sink::start();
    let Some(postfix) = Postfix::start(&sink) else { return };
    postfix.run_recipe(DOCS, "before-queue");
    for _ in 0..3 {
        let reply = send(postfix.port(), FROM, &[TO], &letter("away-1")).expect("a session");
        assert_eq!(reply.code / 100, 4, "{}", reply.text);
    }
    assert_eq!(send(postfix.next_hop_port(), FROM, &[TO], &letter("marker-1")).expect("a session").code, 250);
    sink.wait_for("marker-1");
    postfix.drain(PATIENCE);
    assert_eq!(sink.mails().len(), 1, "no notices to the postmaster: {:?}", sink.mails());
}

#[test]
fn clean_mail_arrives_as_it_was_sent() {
    for recipe in MODES {
        let Some(stage) = running(recipe, "", "") else { return };
        // A forged field of ours among them: it must not arrive.
        let forged = [b"x-sekisho-verdict : clean; forged\r\n".to_vec(), letter("clean-1")].concat();
        let reply = send(stage.postfix.port(), FROM, &[TO], &forged).expect("a session");
        assert_eq!(reply.code, 250, "{recipe}: {}", reply.text);
        let mail = stage.sink.wait_for("clean-1");
        assert_untouched(&mail, &letter("clean-1"));
        let text = mail.text();
        assert!(text.contains("X-Sekisho-Verdict: clean\r\n"), "{recipe}: {text}");
        assert!(text.contains("X-Sekisho-Id: "), "{recipe}: {text}");
        assert!(!text.contains("forged"), "{recipe}: {text}");
        let warnings = stage.postfix.warnings();
        assert!(warnings.is_empty(), "{recipe}: {warnings:?}");
    }
}

#[test]
fn the_eicar_test_file_is_held() {
    for recipe in MODES {
        let Some(stage) = running(recipe, "", "") else { return };
        let reply = send(stage.postfix.port(), FROM, &[TO], &eicar("eicar-1")).expect("a session");
        assert_eq!(reply.code, 250, "{recipe}: {}", reply.text);
        let line = stage.daemon.message_with("eicar-1@outside.test");
        assert_eq!(line["disposition"], "quarantine", "{recipe}: {line}");
        assert_eq!(line["verdict"], "malicious", "{recipe}: {line}");
        assert_eq!(stage.daemon.held().len(), 1, "{recipe}");
        stage.postfix.drain(PATIENCE);
        assert!(stage.sink.mails().is_empty(), "{recipe}: {:?}", stage.sink.mails());
        let list = stage.daemon.command(&["quarantine", "list", "--json"]);
        let list = String::from_utf8(list.stdout).expect("JSON");
        assert!(list.contains(line["id"].as_str().expect("an id")), "{recipe}: {list}");
    }
}

#[test]
fn the_log_names_the_client_that_postfix_saw() {
    for recipe in MODES {
        let Some(stage) = running(recipe, "", "") else { return };
        let mut client = Client::connect(stage.postfix.port()).expect("a session");
        client.command("EHLO first.test").expect("a reply");
        let reply = client.command(&format!("XCLIENT ADDR={CLIENT} NAME=mail.outside.test HELO=helo.outside.test"));
        assert_eq!(reply.expect("a reply").code, 220);
        let reply = client.send(FROM, &[TO], &letter("client-1")).expect("a session");
        assert_eq!(reply.code, 250, "{recipe}: {}", reply.text);
        let line = stage.daemon.message_with("client-1@outside.test");
        assert_eq!(line["client_ip"], CLIENT, "{recipe}: {line}");
        assert_eq!(line["client_name"], "mail.outside.test", "{recipe}: {line}");
        assert_eq!(line["from"], FROM, "{recipe}: {line}");
        let transport = if recipe.starts_with("milter") { "milter" } else { recipe };
        assert_eq!(line["transport"], transport, "{line}");
        if recipe != "before-queue" {
            let queue_id = line["queue_id"].as_str().expect("a queue id");
            // Postfix's log is written by a process of its own, a moment later.
            wait_for(queue_id, PATIENCE, || stage.postfix.log().contains(&format!("{queue_id}: ")));
        }
    }
}

#[test]
fn while_the_daemon_is_away_the_sender_waits_before_the_queue() {
    let Some(mut stage) = stage("before-queue") else { return };
    let reply = send(stage.postfix.port(), FROM, &[TO], &letter("later-1")).expect("a session");
    assert_eq!(reply.code / 100, 4, "{}", reply.text);
    stage.daemon.start();
    assert_eq!(send(stage.postfix.port(), FROM, &[TO], &letter("later-1")).expect("a session").code, 250);
    stage.sink.wait_for("later-1");
    assert!(stage.daemon.terminate().success());
    let reply = send(stage.postfix.port(), FROM, &[TO], &letter("later-2")).expect("a session");
    assert_eq!(reply.code / 100, 4, "{}", reply.text);
    assert_eq!(stage.sink.mails().len(), 1);
}

#[test]
fn while_the_daemon_is_away_mail_waits_behind_the_queue() {
    let Some(mut stage) = stage("after-queue") else { return };
    let reply = send(stage.postfix.port(), FROM, &[TO], &letter("later-1")).expect("a session");
    assert_eq!(reply.code, 250, "{}", reply.text);
    wait_for("a deferred delivery", PATIENCE, || stage.postfix.log().contains("status=deferred"));
    assert!(stage.sink.mails().is_empty());
    stage.daemon.start();
    stage.postfix.flush();
    assert_untouched(&stage.sink.wait_for("later-1"), &letter("later-1"));
    stage.postfix.drain(PATIENCE);
}

#[test]
fn swaks_is_happy_too() {
    let Some(mut stage) = stage("before-queue") else { return };
    let Some(swaks) = require_tool("swaks") else { return };
    stage.daemon.start();
    let output = std::process::Command::new(swaks)
        .args(["--server", &format!("127.0.0.1:{}", stage.postfix.port()), "--from", FROM, "--to", TO])
        .args(["--header", "Subject: swaks-1", "--attach-type", "application/zip", "--attach", "-"])
        .stdin(std::process::Stdio::null())
        .output()
        .expect("to start swaks");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    stage.sink.wait_for("swaks-1");
}

/// The content must end with what was sent, octet for octet; in front of it there may only be header fields that
/// Postfix and Sekisho add.
fn assert_untouched(mail: &Mail, sent: &[u8]) {
    let text = mail.text();
    assert!(mail.data.ends_with(sent), "changed on the way:\n{text}\nsent:\n{}", String::from_utf8_lossy(sent));
    let added = String::from_utf8_lossy(&mail.data[..mail.data.len() - sent.len()]).into_owned();
    for line in added.lines() {
        let ours = ["Received: ", "X-Sekisho-", " ", "\t"].iter().any(|start| line.starts_with(start));
        assert!(ours, "{line:?} was added:\n{text}");
    }
}

/// A file without what `postconf` may change in its layout: comments and white space.
fn words(file: &str) -> Vec<String> {
    let lines = file.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.flat_map(str::split_whitespace).map(str::to_owned).collect()
}
