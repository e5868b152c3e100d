//! What only the whole daemon can show of the protocol: refusals in the log, reload, a next hop that hangs,
//! a kill between holding and forwarding, a full disk.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::client::{Client, eicar, letter, send};
use crate::common::daemon::Daemon;
use crate::common::milter::{ALL, Frame, Mta};
use crate::common::sink::Sink;
use crate::common::smtp::{Act, Hop};
use crate::common::{PATIENCE, free_port, wait_for};

const FROM: &str = "sender@outside.test";
const TO: &str = "u@inside.test";
/// A recipient who gets everything.
const PASS: &str = "[[rule]]\nname = \"all\"\nwhen.recipient = \"all@inside.test\"\naction = \"pass\"\n";

fn daemon(next_hop: u16, configuration: &str) -> Daemon {
    let mut daemon = Daemon::new("before-queue", free_port(), next_hop);
    daemon.configure(configuration);
    daemon.start();
    daemon
}

#[test]
fn content_that_is_not_taken_gets_its_line_and_is_counted() {
    let sink = Sink::start();
    let daemon = daemon(sink.port(), "[limits]\nmax_message_size = \"100 KiB\"\nspool_threshold = \"64 KiB\"\n");
    let at_limit = sized(letter("fits"), 102_400);
    let above = sized(letter("large"), 102_401);
    assert_eq!(send(daemon.port(), FROM, &[TO], &at_limit).unwrap().code, 250);
    assert_eq!(send(daemon.port(), FROM, &[TO], &above).unwrap().code, 552);
    assert_eq!(send(daemon.port(), FROM, &[TO], b"Subject: x\r\n\r\nbare\nnewline\r\n").unwrap().code, 550);
    fs::remove_dir(daemon.state().join("spool")).unwrap();
    assert_eq!(send(daemon.port(), FROM, &[TO], &at_limit).unwrap().code, 452);
    assert!(daemon.get("/readyz").starts_with("HTTP/1.1 503"), "a missing spool folder is no readiness");

    for (needle, disposition, size) in
        [("552 5.3.4", "reject", 102_401), ("550 5.5.2", "reject", 28), ("452 4.3.1", "defer", 102_400)]
    {
        let line = daemon.message_with(needle);
        assert_eq!((&line["disposition"], &line["size"]), (&disposition.into(), &size.into()), "{line}");
        assert_eq!((&line["from"], &line["to"][0]), (&FROM.into(), &TO.into()));
    }
    assert_eq!(daemon.messages().len(), 4, "one line each");
    let counted = |disposition: &str| {
        daemon.metric(&format!(r#"sekisho_messages_total{{disposition="{disposition}",transport="before-queue"}}"#))
    };
    assert_eq!((counted("pass"), counted("reject"), counted("defer")), (Some(1.0), Some(2.0), Some(1.0)));
    assert_eq!(sink.mails().len(), 1);
}

#[test]
fn a_reload_acts_at_the_next_mail_and_a_bad_file_changes_nothing() {
    let sink = Sink::start();
    let daemon = daemon(sink.port(), "");
    let mut client = Client::connect(daemon.port()).unwrap();
    assert_eq!(client.send(FROM, &[TO], &eicar("first")).unwrap().code, 250);
    daemon.configure("[[rule]]\nname = \"refuse\"\nwhen.verdict = \"malicious\"\naction = \"reject\"\n");
    daemon.reload();
    wait_for("the reload", PATIENCE, || daemon.log().contains("in force"));
    assert_eq!(client.send(FROM, &[TO], &eicar("second")).unwrap().code, 554, "in the session that was open");

    daemon.configure("nonsense = 1\n");
    daemon.reload();
    let result = || daemon.metric("sekisho_config_last_reload_successful");
    wait_for("the refused reload", PATIENCE, || result() == Some(0.0));
    assert_eq!(client.send(FROM, &[TO], &eicar("third")).unwrap().code, 554, "the old one runs on");
    let log = daemon.log();
    let mistake = log.lines().find(|line| line.contains("nonsense")).expect("the mistake is in the log");
    assert!(mistake.contains("sekisho.toml:") && !mistake.contains("U+000A"), "on one line: {mistake}");
}

#[test]
fn mail_goes_on_without_memory_and_waits_without_disk() {
    let sink = Sink::start();
    let daemon = daemon(sink.port(), "[limits]\nmax_memory = \"0 KiB\"\n");
    let letter = sized(letter("in a file"), 300_000);
    let mut client = Client::connect(daemon.port()).unwrap();
    assert_eq!(client.send(FROM, &[TO], &letter).unwrap().code, 250);
    let body = |mail: &[u8]| mail.ends_with(&letter[letter.len() - 299_000..]);
    assert!(body(&sink.mails()[0].data), "octet for octet");
    assert!(daemon.get("/readyz").starts_with("HTTP/1.1 200"));

    daemon.configure("spool_min_free = \"1000000 GiB\"\n");
    daemon.reload();
    wait_for("the reload", PATIENCE, || daemon.log().contains("in force"));
    let reply = client.send(FROM, &[TO], &letter).unwrap();
    assert!(reply.code == 452 && reply.text.contains("4.3.1"), "{reply:?}");
    let ready = daemon.get("/readyz");
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("free some space"), "{ready}");
    assert!(daemon.log().contains("spool_min_free"));
    assert_eq!(daemon.metric("sekisho_no_room_total{reason=\"spool\"}"), Some(1.0));
    assert_eq!(daemon.metric("sekisho_content_memory_bytes"), Some(0.0));
    assert_eq!(sink.mails().len(), 1);
}

#[test]
fn a_second_daemon_in_the_same_state_folder_does_not_start() {
    let daemon = daemon(free_port(), "");
    let second = daemon.command(&["serve"]);
    assert_eq!(second.status.code(), Some(73));
    assert!(String::from_utf8_lossy(&second.stdout).contains("another sekisho works in"), "{second:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_answered_by_us_does_not_wait_for_the_next_hop() {
    let hop = Hop::start().await;
    hop.always("RSET", Act::Silence);
    let daemon = daemon(hop.address.port(), "");
    let mut client = Client::connect(daemon.port()).unwrap();
    let begun = Instant::now();
    assert_eq!(client.send(FROM, &[TO], &eicar("held")).unwrap().code, 250);
    assert!(begun.elapsed() < Duration::from_secs(20), "next_hop_command is 30 s: {:?}", begun.elapsed());
    assert_eq!(daemon.held().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_was_pending_at_a_kill_is_held_and_counted() {
    let hop = Hop::start().await;
    hop.always("END", Act::Silence);
    let mut daemon = daemon(hop.address.port(), PASS);
    let port = daemon.port();
    let sending = std::thread::spawn(move || {
        send(port, FROM, &["all@inside.test", TO], &eicar("pending")).map(|reply| reply.code)
    });
    wait_for("the final dot", PATIENCE, || hop.messages().len() == 1);
    daemon.kill();
    sending.join().unwrap().expect_err("no reply: the client keeps the message");
    daemon.start();
    let recovered = r#"sekisho_quarantine_operations_total{operation="recover",result="ok"}"#;
    assert_eq!(daemon.metric(recovered), Some(1.0));
    let listed = daemon.command(&["quarantine", "list", "--json"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains(r#""state":"held""#), "{listed:?}");
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn a_full_disk_defers_what_would_be_held_and_is_no_readiness() {
    let sink = Sink::start();
    let mut daemon = Daemon::new("before-queue", free_port(), sink.port());
    let folder = daemon.state().join("quarantine");
    fs::create_dir_all(&folder).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=600k", "tmpfs"]).arg(&folder).output();
    if !mounted.is_ok_and(|mounted| mounted.status.success()) {
        eprintln!("SKIPPED: no file system can be mounted here");
        return;
    }
    let unmount = || drop(Command::new("umount").args(["--lazy"]).arg(&folder).status());
    let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        daemon.start();
        let mut large = eicar("no-room");
        large.extend(b"0123456\r\n".repeat(100_000));
        let reply = send(daemon.port(), FROM, &[TO], &large).unwrap();
        assert_eq!(send(daemon.port(), FROM, &[TO], &letter("clean")).unwrap().code, 250, "other mail goes on");
        (reply.code, daemon.get("/readyz"), daemon.log(), daemon.held().len())
    }));
    unmount();
    let (code, ready, log, held) = seen.unwrap();
    assert_eq!((code, held), (451, 0));
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("free some space"), "{ready}");
    assert!(log.contains("free some space"), "the log says what to do");
}

/// The same letter with so many octets.
fn sized(mut letter: Vec<u8>, size: usize) -> Vec<u8> {
    while letter.len() + 80 < size {
        letter.extend_from_slice(b"0123456789012345678901234567890123456789012345678\r\n");
    }
    let rest = size - letter.len() - 2;
    letter.extend(std::iter::repeat_n(b'x', rest));
    letter.extend_from_slice(b"\r\n");
    letter
}

/// What a daemon says to an MTA about a message without a body.
fn told_by_milter(daemon: &Daemon, header: &[(&str, &str)]) -> Vec<Frame> {
    let mut mta = Mta::tcp(([127, 0, 0, 1], daemon.port()).into()).unwrap();
    mta.negotiate(6, ALL);
    mta.client("client.test", "192.0.2.9", "client.test");
    mta.envelope("4ABC", "<sender@outside.test>", &["<u@inside.test>"]);
    for (name, value) in header {
        mta.event(b'L', &[name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
    }
    mta.event(b'N', b"");
    mta.end()
}

#[test]
fn a_milter_counts_hops_and_finds_forged_fields_as_the_mta_sees_them() {
    let port = free_port();
    let listener = format!("[[listener]]\nkind = \"milter\"\nlisten = \"127.0.0.1:{port}\"\n\n");
    let mut daemon = Daemon::of(port, &listener, "");
    daemon.start();
    let word = |hops: usize| told_by_milter(&daemon, &vec![("Received", " from x"); hops]).pop().unwrap();
    assert_eq!(word(100).0, b'a');
    let (letter, reply) = word(101);
    assert_eq!((letter, &reply[..9]), (b'y', &b"554 5.4.6"[..]));

    // Postfix takes a line of white space for the end of a folded field, not of the header.
    let forged = told_by_milter(&daemon, &[("A", " 1\n "), ("X-Sekisho-Verdict", " clean"), ("B", " 2")]);
    let gone = &forged[0];
    assert_eq!((gone.0, &gone.1[..]), (b'm', &b"\0\0\0\x01X-Sekisho-Verdict\0\0"[..]), "{forged:?}");
    assert_eq!(forged.iter().map(|frame| frame.0).collect::<Vec<_>>(), b"miia");
}
