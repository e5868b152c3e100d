//! The milter over real sockets, between a raw client and a judge that does as it is told.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::client::{Client, send};
use crate::common::milter::{ALL, Filter, Mta, PATIENCE, PLAIN, frame, strings};
use crate::common::postfix::Postfix;
use crate::common::sink::Sink;
use crate::common::smtp::config;
use crate::common::{require_tool, wait_for};
use sekisho::config::{Config, Endpoint};
use sekisho::envelope::Path;
use sekisho::milter::{Answer, Modification, Response};
use sekisho::smtp::Reply;
use sekisho::smtp::session::RefusalCause;
use sekisho::smtp::session::SessionEnd;
use sekisho::transaction::Ending;

const LETTER: &[u8] = b"Subject: x\r\nTo: a,\r\n\tb\r\n\r\nbody\r\n";

/// One message from CONNECT to its answer.
fn one_message(mta: &mut Mta) -> Vec<(u8, Vec<u8>)> {
    mta.client("mail.example", "192.0.2.9", "helo.example");
    mta.envelope("4711", "<a@b>", &["<c@d>"]);
    mta.content(LETTER)
}

fn accepted() -> Vec<(u8, Vec<u8>)> {
    vec![(b'a', Vec::new())]
}

/// With a timeout for clients that a test can wait for.
fn impatient() -> Config {
    let mut config = config();
    config.timeouts.client = Duration::from_millis(300);
    config
}

#[test]
fn messages_arrive_over_tcp_and_unix_sockets_whatever_was_agreed() {
    for filter in [Filter::tcp(config()), Filter::unix(config())] {
        for (version, offer) in [(6, ALL), (6, PLAIN), (2, (0x3f, 0x7f)), (6, (0, 0)), (4, (0x1ff, 0x10_0080))] {
            let mut mta = filter.connect();
            assert_eq!(mta.negotiate(version, offer).0, version);
            assert_eq!(one_message(&mut mta), accepted());
            let seen = filter.judge.last();
            assert_eq!(seen.told().as_bytes(), LETTER, "{version} {offer:x?}");
            assert!(
                seen.content
                    .starts_with(b"Received: from helo.example (mail.example [192.0.2.9])\r\n\tby localhost id 4711;")
            );
            assert_eq!(seen.envelope.queue_id.as_deref(), Some("4711"));
            assert_eq!(seen.envelope.sender, Path::new("<a@b>"));
            assert_eq!(seen.envelope.recipients, [Path::new("<c@d>")]);
            mta.send(b'Q', b"");
            assert!(mta.is_closed());
        }
        filter.drained();
    }
}

#[test]
fn one_octet_at_a_time_is_enough() {
    let filter = Filter::unix(config());
    let mut mta = filter.connect();
    let mail: Vec<u8> = [
        frame(b'O', &[0, 0, 0, 6, 0, 0, 1, 0xff, 0, 0x1f, 0xff, 0xff]),
        frame(b'M', b"<>\0"),
        frame(b'R', b"<a@b>\0"),
        frame(b'L', b"Subject\0 x\0"),
        frame(b'B', b"one\r\n"),
        frame(b'E', b"two\r\n"),
    ]
    .concat();
    for octet in &mail {
        mta.raw(&[*octet]).unwrap();
    }
    assert_eq!(mta.receive().unwrap().0, b'O');
    assert_eq!(mta.answer(), accepted());
    assert_eq!(filter.judge.last().told(), "Subject: x\r\n\r\none\r\ntwo\r\n");
    // Everything at once, the end of the connection too: the answer comes all the same.
    let mut mta = filter.connect();
    mta.raw(&[mail, frame(b'Q', b"")].concat()).unwrap();
    mta.end_sending();
    assert_eq!(mta.receive().unwrap().0, b'O');
    assert_eq!(mta.answer(), accepted());
    assert!(mta.is_closed());
}

#[test]
fn a_connection_carries_many_messages_and_clients() {
    let filter = Filter::unix(config());
    let mut mta = filter.mta(ALL);
    for number in 0..5 {
        mta.client("mail.example", "192.0.2.9", &format!("helo{number}.example"));
        for _ in 0..3 {
            mta.envelope("1", "<a@b>", &["<c@d>", "<e@f>"]);
            assert_eq!(mta.content(LETTER), accepted());
            mta.send(b'A', b"");
        }
        let helo = filter.judge.last().envelope.client.helo;
        assert_eq!(helo, Some(format!("helo{number}.example")));
        mta.send(b'K', b"");
    }
    assert_eq!(filter.judge.seen.lock().unwrap().len(), 15);
    filter.judge.wait_for_outcomes(&[Ending::Confirmed; 15]);
    let first = filter.judge.seen.lock().unwrap()[0].session;
    assert_eq!(filter.judge.last().session, first);
}

#[test]
fn a_lost_connection_confirms_nothing() {
    let filter = Filter::unix(config());
    let mut mta = filter.mta(ALL);
    one_message(&mut mta);
    drop(mta);
    filter.judge.wait_for_outcomes(&[Ending::Unknown]);
    let mut mta = filter.mta(ALL);
    one_message(&mut mta);
    mta.send(b'Q', b"");
    filter.judge.wait_for_outcomes(&[Ending::Unknown, Ending::Confirmed]);
}

#[test]
fn every_answer_is_said_in_the_protocols_words() {
    let filter = Filter::tcp(config());
    for (verdict, letter, data) in [
        (Response::Accept, b'a', &b""[..]),
        (Response::Continue, b'c', b""),
        (Response::Reject, b'r', b""),
        (Response::Tempfail, b't', b""),
        (Response::Discard, b'd', b""),
        (Response::Reply(Reply::new(554, "5.7.1 100% no\nand no")), b'y', b"554-5.7.1 100%% no\r\n554 5.7.1 and no\0"),
    ] {
        filter.judge.say(Answer::only(verdict));
        let mut mta = filter.mta(ALL);
        assert_eq!(one_message(&mut mta), [(letter, data.to_vec())]);
    }
    let mut answer = Answer::only(Response::Accept);
    answer.prepend([("X-A".to_owned(), b"a".to_vec()), ("X-B".to_owned(), b"b".to_vec())].into_iter());
    answer.changes.push(Modification::DeleteRecipient(Path::new("<c@d>")));
    filter.judge.say(answer);
    let answers = one_message(&mut filter.mta(ALL));
    let expected: [(u8, &[u8]); 4] =
        [(b'i', b"\0\0\0\0X-B\0 b\0"), (b'i', b"\0\0\0\0X-A\0 a\0"), (b'-', b"<c@d>\0"), (b'a', b"")];
    assert_eq!(answers, expected.map(|(letter, data)| (letter, data.to_vec())));
    // An MTA that does not let us delete recipients: nothing of it is said.
    let answers = one_message(&mut filter.mta((0x1f7, ALL.1)));
    assert_eq!(answers, [(b't', Vec::new())]);
    wait_for("the outcome", PATIENCE, || filter.judge.outcomes.lock().unwrap().contains(&Ending::Deferred));
}

#[test]
fn an_mta_that_waits_is_told_to_wait_on() {
    let filter = Filter::unix(config());
    filter.judge.hold();
    let mut mta = filter.mta(ALL);
    mta.envelope("1", "<a@b>", &["<c@d>"]);
    mta.send(b'E', b"");
    let asked = Instant::now();
    assert_eq!(mta.receive(), Some((b'p', Vec::new())));
    assert!(asked.elapsed() >= Duration::from_millis(4900), "{:?}", asked.elapsed());
    filter.judge.release();
    assert_eq!(mta.answer(), accepted());
}

#[test]
fn nobody_is_judged_for_an_mta_that_has_gone() {
    let filter = Filter::tcp(config());
    filter.judge.hold();
    let mut mta = filter.mta(ALL);
    mta.envelope("1", "<a@b>", &["<c@d>"]);
    mta.send(b'E', b"");
    filter.judge.wait_for_message();
    drop(mta);
    filter.drained();
    assert_eq!(filter.judge.gone.load(std::sync::atomic::Ordering::SeqCst), 1);
    assert_eq!(*filter.judge.outcomes.lock().unwrap(), [Ending::Unknown]);
    // Withdrawn: the message gets the answer that it still awaits, and the connection goes on.
    let mut mta = filter.mta(ALL);
    mta.envelope("1", "<a@b>", &["<c@d>"]);
    mta.send(b'E', b"");
    filter.judge.wait_for_message();
    mta.send(b'A', b"");
    assert_eq!(mta.answer(), [(b't', Vec::new())]);
    filter.judge.wait_for_outcomes(&[Ending::Unknown, Ending::Unknown]);
    filter.judge.release();
    mta.envelope("2", "<a@b>", &["<c@d>"]);
    assert_eq!(mta.end(), accepted());
    assert_eq!(*filter.judge.outcomes.lock().unwrap(), [Ending::Unknown, Ending::Unknown]);
}

#[test]
fn a_panic_defers_one_message_and_ends_one_session() {
    let filter = Filter::unix(config());
    let mut other = filter.mta(ALL);
    filter.judge.panic(true);
    let mut mta = filter.mta(ALL);
    assert_eq!(one_message(&mut mta), [(b't', Vec::new())]);
    assert!(mta.is_closed());
    drop(mta);
    filter.judge.panic(false);
    assert_eq!(one_message(&mut other), accepted());
    wait_for("the end of the session", PATIENCE, || filter.permits.open() == 1);
    drop(other);
    filter.drained();
    assert_eq!(*filter.judge.ends.lock().unwrap(), [SessionEnd::Fault, SessionEnd::Aborted]);
}

#[test]
fn over_the_limit_of_connections_one_is_closed() {
    let mut config = config();
    config.service.max_connections = 1;
    let filter = Filter::tcp(config);
    let first = filter.mta(ALL);
    assert!(filter.connect().is_closed());
    drop(first);
    filter.drained();
    filter.mta(ALL);
}

#[test]
fn a_shutdown_ends_idle_sessions_and_finishes_messages() {
    let filter = Filter::unix(config());
    filter.judge.hold();
    let mut idle = filter.mta(ALL);
    let mut silent = filter.connect();
    let mut addressed = filter.mta(ALL);
    addressed.event(b'M', b"<>\0");
    let mut waiting = filter.mta(ALL);
    waiting.envelope("1", "<a@b>", &["<c@d>"]);
    waiting.send(b'E', b"");
    filter.judge.wait_for_message();
    let mut arriving = filter.mta(ALL);
    arriving.envelope("2", "<a@b>", &["<c@d>"]);
    arriving.event(b'L', b"Subject\0 x\0");
    wait_for("all sessions", PATIENCE, || filter.permits.open() == 5);
    std::thread::sleep(Duration::from_millis(100));
    let shutdown = filter.shutdown.clone();
    let finished = filter.runtime.spawn(async move { shutdown.finish(PATIENCE).await });
    assert!(idle.is_closed() && silent.is_closed() && addressed.is_closed());
    filter.judge.release();
    assert_eq!(waiting.answer(), accepted());
    assert!(waiting.is_closed());
    assert_eq!(arriving.end(), accepted());
    arriving.send(b'A', b"");
    assert!(arriving.is_closed());
    assert!(filter.runtime.block_on(finished).unwrap(), "all sessions ended by themselves");
}

#[test]
fn at_the_end_of_a_shutdown_the_rest_is_deferred() {
    let filter = Filter::unix(config());
    filter.judge.hold();
    let mut mta = filter.mta(ALL);
    mta.envelope("1", "<a@b>", &["<c@d>"]);
    mta.send(b'E', b"");
    filter.judge.wait_for_message();
    let shutdown = filter.shutdown.clone();
    filter.runtime.spawn(async move { shutdown.finish(Duration::from_millis(50)).await });
    assert_eq!(mta.answer(), [(b't', Vec::new())]);
    assert!(mta.is_closed());
}

#[test]
fn an_mta_may_be_silent_between_commands_and_not_inside_of_one() {
    let filter = Filter::tcp(impatient());
    let mut mta = filter.mta(ALL);
    mta.envelope("1", "<a@b>", &["<c@d>"]);
    std::thread::sleep(Duration::from_millis(900));
    assert_eq!(mta.end(), accepted());
    mta.raw(&frame(b'M', b"<>\0")[..6]).unwrap();
    assert!(mta.is_closed());
    filter.drained();
    assert_eq!(*filter.judge.ends.lock().unwrap(), [SessionEnd::Timeout]);
}

#[test]
fn an_mta_that_does_not_read_is_closed() {
    let filter = Filter::unix(impatient());
    let body = Modification::ReplaceBody(vec![b'x'; 16 << 20].into());
    filter.judge.say(Answer { changes: vec![body], verdict: Response::Accept });
    let mut mta = filter.mta(ALL);
    mta.envelope("1", "<a@b>", &["<c@d>"]);
    mta.send(b'E', b"");
    filter.drained();
    assert_eq!(*filter.judge.ends.lock().unwrap(), [SessionEnd::Timeout]);
    assert_eq!(*filter.judge.outcomes.lock().unwrap(), [Ending::Unknown]);
}

#[test]
fn a_new_body_arrives_whole() {
    let filter = Filter::tcp(config());
    let body: Vec<u8> = (0..3_000_000u32).map(|n| (n % 253) as u8).collect();
    let change = Modification::ReplaceBody(body.clone().into());
    filter.judge.say(Answer { changes: vec![change], verdict: Response::Accept });
    let answers = one_message(&mut filter.mta(ALL));
    let (last, pieces) = answers.split_last().unwrap();
    assert_eq!(last.0, b'a');
    assert!(pieces.iter().flat_map(|(_, data)| data).eq(&body));
}

#[test]
fn large_messages_go_to_the_disk_and_a_full_one_refuses_for_now() {
    let filter = Filter::tcp(config());
    filter.judge.spool_in(filter.folder().to_owned(), 1000);
    let letter = [LETTER, &b"line of text\r\n".repeat(50_000)].concat();
    let mut mta = filter.mta(PLAIN);
    mta.envelope("1", "<a@b>", &["<c@d>"]);
    assert_eq!(mta.content(&letter), accepted());
    assert!(filter.judge.last().told().as_bytes() == letter, "octet for octet");
    filter.judge.spool_in(filter.folder().join("missing"), 1000);
    mta.envelope("2", "<a@b>", &["<c@d>"]);
    assert_eq!(mta.content(&letter), [(b'y', b"452 4.3.1 no room to store the message\0".to_vec())]);
    mta.envelope("3", "<a@b>", &["<c@d>"]);
    assert_eq!(mta.content(LETTER), accepted());
    assert_eq!(*filter.judge.refused.lock().unwrap(), [RefusalCause::NoRoom]);
}

#[test]
fn a_message_over_the_limit_is_refused_at_its_end() {
    let mut config = config();
    config.limits.max_message_size = 100_000;
    let filter = Filter::unix(config);
    let mut mta = filter.mta(ALL);
    mta.envelope("1", "<a@b>", &["<c@d>"]);
    for _ in 0..100 {
        mta.event(b'B', &[b'x'; 65_535]);
    }
    assert_eq!(mta.end(), [(b'y', b"552 5.3.4 message too large\0".to_vec())]);
    mta.envelope("2", "<a@b>", &["<c@d>"]);
    assert_eq!(mta.content(LETTER), accepted());
    assert_eq!(*filter.judge.refused.lock().unwrap(), [RefusalCause::TooLarge]);
}

#[test]
fn small_packets_over_tcp_do_not_wait_for_delayed_acknowledgements() {
    let filter = Filter::tcp(config());
    let mut mta = filter.mta(ALL);
    mta.nagle();
    let mut times = Vec::new();
    for _ in 0..40 {
        let start = Instant::now();
        mta.envelope("1", "<a@b>", &["<c@d>"]);
        assert_eq!(mta.content(LETTER), accepted());
        mta.send(b'A', b"");
        times.push(start.elapsed());
    }
    // The first ones are quick in any case. On a busy machine some are slow for other reasons.
    let quickest = times.iter().skip(20).min().unwrap();
    assert!(*quickest < Duration::from_millis(30), "{times:?}");
}

#[test]
fn garbage_ends_its_own_session_only() {
    let filter = Filter::tcp(impatient());
    let mut random = fastrand::Rng::with_seed(11);
    for round in 0..100 {
        let mut mta = if round % 2 == 0 { filter.connect() } else { filter.mta(ALL) };
        let octets: Vec<u8> = (0..random.usize(1..300)).map(|_| random.u8(..)).collect();
        // The filter may have closed already.
        let _ = mta.raw(&octets);
    }
    for octets in [&b"EHLO a\r\n"[..], b"\0\0\0\0", b"\0\x20\0\0M", b"GET / HTTP/1.0\r\n\r\n"] {
        let mut mta = filter.connect();
        mta.raw(octets).unwrap();
        assert!(mta.is_closed(), "{octets:?}");
    }
    let mut mta = filter.mta(ALL);
    mta.send(b'Z', b"");
    assert!(mta.is_closed());
    assert_eq!(one_message(&mut filter.mta(ALL)), accepted());
    filter.drained();
}

#[test]
fn recipients_beyond_the_limit_refuse_the_message_for_now() {
    let mut config = config();
    config.service.max_recipients = 2;
    let filter = Filter::unix(config);
    let mut mta = filter.mta(PLAIN);
    mta.envelope("1", "<a@b>", &["<c@d>", "<e@d>", "<f@d>"]);
    assert_eq!(mta.content(LETTER), [(b'y', b"452 4.5.3 too many recipients\0".to_vec())]);
    mta.event(b'U', &strings(&["FOO"]));
    mta.envelope("1", "<a@b>", &["<c@d>", "<e@d>"]);
    assert_eq!(mta.content(LETTER), accepted());
}

/// OpenDKIM's tester, which is a second opinion about the protocol.
const SCRIPT: &str = r#"
conn = mt.connect(SOCKET, 40, 0.05)
if conn == nil then error "no connection" end
if VERSION == "2" then mt.negotiate(conn, 2, 0x3f, 0x7f) end

function no_error(result) if result ~= nil then error(result) end end

for number = 1, 2 do
    no_error(mt.macro(conn, SMFIC_CONNECT, "j", "mx.example.org"))
    no_error(mt.conninfo(conn, "mail.example.org", "192.0.2.7"))
    no_error(mt.helo(conn, "helo.example.org"))
    no_error(mt.macro(conn, SMFIC_MAIL, "i", "queue-id"))
    no_error(mt.mailfrom(conn, "<sender@example.org>", "SIZE=100"))
    no_error(mt.rcptto(conn, "<user@example.org>"))
    no_error(mt.data(conn))
    no_error(mt.header(conn, "Subject", " miltertest"))
    no_error(mt.header(conn, "X-Forged", " yes"))
    no_error(mt.eoh(conn))
    no_error(mt.bodystring(conn, "Hello\r\n"))
    no_error(mt.bodyrandom(conn, 100000))
    no_error(mt.eom(conn))
    if mt.getreply(conn) ~= SMFIR_ACCEPT then error("not accepted") end
    if not mt.eom_check(conn, MT_HDRINSERT, "X-New", VALUE, 0) then error "no field was inserted" end
    if not mt.eom_check(conn, MT_HDRDELETE, "X-Forged") then error "the forged field was not deleted" end
    if not mt.eom_check(conn, MT_RCPTDELETE, "<user@example.org>") then error "the recipient was not deleted" end
    no_error(mt.abort(conn))
end
mt.disconnect(conn)
"#;

#[test]
fn miltertest_agrees() {
    let Some(miltertest) = require_tool("miltertest") else { return };
    for filter in [Filter::tcp(config()), Filter::unix(config())] {
        let mut answer = Answer::only(Response::Accept);
        answer.prepend([("X-New".to_owned(), b"value".to_vec())].into_iter());
        let forged = Modification::ChangeHeader { index: 1, name: "X-Forged".to_owned(), value: Vec::new() };
        answer.changes.push(forged);
        answer.changes.push(Modification::DeleteRecipient(Path::new("<user@example.org>")));
        filter.judge.say(answer);
        let script = filter.folder().join("script.lua");
        std::fs::write(&script, SCRIPT).unwrap();
        let socket = match &filter.endpoint {
            Endpoint::Tcp(address) => format!("inet:{}@127.0.0.1", address.port()),
            Endpoint::Unix(path) => format!("unix:{}", path.display()),
            Endpoint::Systemd(name) => panic!("nothing to connect to: {name}"),
        };
        for (version, value) in [("6", " value"), ("2", "value")] {
            let output = Command::new(&miltertest)
                .args(["-D", &format!("SOCKET={socket}"), "-D", &format!("VERSION={version}")])
                .args(["-D", &format!("VALUE={value}"), "-s"])
                .arg(&script)
                .output()
                .expect("to start miltertest");
            let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
            assert!(output.status.success(), "{socket} {version}: {text}");
            let seen = filter.judge.last();
            assert_eq!(seen.envelope.queue_id.as_deref(), Some("queue-id"));
            assert_eq!(seen.envelope.client.addr, Some("192.0.2.7".parse().unwrap()));
            assert!(seen.content.starts_with(
                b"Received: from helo.example.org (mail.example.org [192.0.2.7])\r\n\tby mx.example.org id queue-id;"
            ));
            assert!(seen.content.len() > 100_000);
        }
        filter.judge.wait_for_outcomes(&[Ending::Confirmed; 4]);
    }
}

// ---- a real Postfix asks

const FROM: &str = "sender@outside.test";

/// A Postfix that asks the filter, and a sink behind it.
fn postfix(filter: &Filter) -> Option<(Postfix, Sink)> {
    let sink = Sink::start();
    let postfix = Postfix::start(&sink)?;
    let Endpoint::Tcp(address) = &filter.endpoint else { panic!("Postfix runs as another user") };
    let milters = format!("smtpd_milters=inet:{address}");
    let macros = "milter_connect_macros=j {client_name} {daemon_addr}";
    postfix.set(&[&milters, "milter_default_action=tempfail", macros]);
    let reply = send(postfix.port(), FROM, &["probe@inside.test"], b"Subject: probe\r\n\r\n").unwrap();
    assert_eq!((reply.code, filter.judge.seen.lock().unwrap().len()), (250, 1), "{}", reply.text);
    Some((postfix, sink))
}

#[test]
fn a_real_postfix_makes_the_changes_that_it_is_told() {
    let filter = Filter::tcp(config());
    let Some((postfix, sink)) = postfix(&filter) else { return };
    let letter = b"X-Sekisho-Id: forged 1\r\nSubject:   letter-1\r\nx-sekisho-id : forged 2\r\n\
        X-Folded: a,\r\n b\r\nX-Sekisho-Verdict: forged\r\n\t3\r\n\r\nbody \xe9\r\n..\r\n\r\n";
    let mut answer = Answer::only(Response::Accept);
    answer.prepend(
        ["X-Sekisho-Verdict", "X-Sekisho-Id"].map(|name| (name.to_owned(), b"ours\r\n folded".to_vec())).into_iter(),
    );
    let forged = [("X-Sekisho-Id", 1), ("x-sekisho-id", 2), ("X-Sekisho-Verdict", 1)];
    answer.changes.extend(forged.map(|(name, index)| Modification::ChangeHeader {
        index,
        name: name.to_owned(),
        value: Vec::new(),
    }));
    let subject =
        Modification::ChangeHeader { index: 1, name: "Subject".to_owned(), value: b"[tag] letter-1".to_vec() };
    answer.changes.push(subject);
    answer.changes.push(Modification::DeleteRecipient(Path::new("<b@inside.test>")));
    filter.judge.say(answer);
    let reply = send(postfix.port(), FROM, &["a@inside.test", "b@inside.test"], letter).unwrap();
    assert_eq!(reply.code, 250, "{}", reply.text);
    let mail = sink.wait_for("letter-1");
    assert_eq!(mail.to.len(), 1, "{:?}", mail.to);
    let text = mail.text();
    let top = "X-Sekisho-Verdict: ours\r\n folded\r\nX-Sekisho-Id: ours\r\n folded\r\n";
    assert!(text.contains(top), "{text}");
    assert!(text.find(top) < text.find("Subject:"), "{text}");
    assert!(!text.contains("forged"), "{text}");
    assert!(text.contains("\r\nSubject: [tag] letter-1\r\n") && text.contains("\r\nX-Folded: a,\r\n b\r\n"), "{text}");
    assert!(mail.data.ends_with(b"\r\n\r\nbody \xe9\r\n..\r\n\r\n"), "{text}");
    let seen = filter.judge.last();
    let told = seen.told();
    assert!(told.contains("\r\nSubject:   letter-1\r\n") && told.contains("\r\nX-Folded: a,\r\n b\r\n"), "{told}");
    assert!(seen.content.ends_with(b"\r\n\r\nbody \xe9\r\n..\r\n\r\n"), "{told}");
    let values: Vec<(String, u32, String)> = seen
        .fields
        .iter()
        .map(|field| {
            let value = &seen.content[field.value.start as usize..field.value.end as usize];
            (field.name.text(), field.index, String::from_utf8_lossy(value).into_owned())
        })
        .filter(|(name, ..)| name.to_lowercase().starts_with("x-sekisho-"))
        .collect();
    let expected = [
        ("X-Sekisho-Id", 1, " forged 1"),
        ("x-sekisho-id", 2, " forged 2"),
        ("X-Sekisho-Verdict", 1, " forged\r\n\t3"),
    ];
    assert_eq!(values, expected.map(|(name, index, value)| (name.to_owned(), index, value.to_owned())));
    let queue_id = format!("{}: ", seen.envelope.queue_id.expect("a queue id"));
    wait_for("the queue id in Postfix's log", PATIENCE, || postfix.log().contains(&queue_id));
    assert!(postfix.warnings().is_empty(), "{:?}", postfix.warnings());
}

#[test]
fn a_real_postfix_says_to_its_client_what_it_is_told() {
    let filter = Filter::tcp(config());
    let Some((postfix, sink)) = postfix(&filter) else { return };
    sink.wait_for("probe");
    let mut client = Client::connect(postfix.port()).unwrap();
    let reply = Reply::new(554, "5.7.1 not 100% wanted\n5.7.1 ask the postmaster");
    for (verdict, code, text) in [
        (Response::Reject, 550, "5.7.1"),
        (Response::Tempfail, 451, "4.7.1"),
        (Response::Reply(reply), 554, "5.7.1 not 100% wanted"),
        (Response::Reply(RefusalCause::NoRoom.reply()), 452, "4.3.1 no room"),
        (Response::Discard, 250, "2.0.0"),
        (Response::Continue, 250, "2.0.0"),
    ] {
        filter.judge.say(Answer::only(verdict.clone()));
        let letter = format!("Subject: {code}-{}\r\n\r\nbody\r\n", matches!(verdict, Response::Continue));
        let reply = client.send(FROM, &["a@inside.test"], letter.as_bytes()).unwrap();
        assert_eq!(reply.code, code, "{}", reply.text);
        assert!(reply.text.contains(text), "{verdict:?}: {}", reply.text);
    }
    let sessions: Vec<u64> = filter.judge.seen.lock().unwrap().iter().map(|seen| seen.session).collect();
    assert!(sessions.len() == 7 && sessions[1..].iter().all(|session| *session == *sessions.last().unwrap()));
    let quarantine =
        Answer { changes: vec![Modification::Quarantine("for a look".to_owned())], verdict: Response::Accept };
    filter.judge.say(quarantine);
    assert_eq!(client.send(FROM, &["a@inside.test"], b"Subject: held\r\n\r\nx\r\n").unwrap().code, 250);
    sink.wait_for("250-true");
    wait_for("one message on hold", PATIENCE, || postfix.queued() == 1);
    let large: Vec<u8> = b"new line of the body\r\n".repeat(20_000);
    let change = Modification::ReplaceBody(large.clone().into());
    filter.judge.say(Answer { changes: vec![change], verdict: Response::Accept });
    assert_eq!(client.send(FROM, &["a@inside.test"], b"Subject: replaced\r\n\r\nx\r\n").unwrap().code, 250);
    assert!(sink.wait_for("replaced").data.ends_with(&large));
    drop(client);
    let confirmed = || filter.judge.outcomes.lock().unwrap().iter().filter(|o| **o == Ending::Confirmed).count();
    wait_for("the confirmations", PATIENCE, || confirmed() == filter.judge.seen.lock().unwrap().len());
    assert_eq!((filter.judge.seen.lock().unwrap().len(), sink.mails().len()), (9, 3));
}

#[test]
fn a_real_postfix_defers_when_the_filter_goes_away() {
    let filter = Filter::tcp(config());
    let Some((postfix, _sink)) = postfix(&filter) else { return };
    filter.judge.panic(true);
    let reply = send(postfix.port(), FROM, &["a@inside.test"], LETTER).unwrap();
    assert_eq!(reply.code, 451, "{}", reply.text);
    let shutdown = filter.shutdown.clone();
    assert!(filter.runtime.block_on(async move { shutdown.finish(PATIENCE).await }));
    let reply = send(postfix.port(), FROM, &["a@inside.test"], LETTER).unwrap();
    assert_eq!(reply.code, 451, "{}", reply.text);
}

#[test]
fn a_real_postfix_of_every_version_is_understood() {
    let filter = Filter::tcp(config());
    let Some((postfix, sink)) = postfix(&filter) else { return };
    let mut answer = Answer::only(Response::Accept);
    answer.prepend([("X-A".to_owned(), b"ours".to_vec())].into_iter());
    answer.changes.push(Modification::ChangeHeader { index: 1, name: "X-B".to_owned(), value: Vec::new() });
    filter.judge.say(answer);
    for version in [2, 3, 4, 6] {
        postfix.set(&[&format!("milter_protocol={version}")]);
        let letter = format!("X-B: forged\r\nSubject: version-{version}\r\n\r\nbody\r\n");
        let reply = send(postfix.port(), FROM, &["a@inside.test"], letter.as_bytes()).unwrap();
        assert_eq!(reply.code, 250, "{version}: {}", reply.text);
        let mail = sink.wait_for(&format!("version-{version}"));
        let text = mail.text();
        assert!(text.contains("X-A: ours\r\n") && !text.contains("forged"), "{version}: {text}");
        let told = filter.judge.last().told();
        assert!(told.contains("X-B: forged\r\n") && told.ends_with("\r\n\r\nbody\r\n"), "{version}: {told}");
    }
    assert!(postfix.warnings().is_empty(), "{:?}", postfix.warnings());
}

#[test]
fn what_begins_wrong_is_closed_before_it_is_whole() {
    let filter = Filter::tcp(config());
    for octets in [&b"\0\0\x10\0Q"[..], b"\0\0\0\x0dC", b"\x16\x03\x01\x02\0\x01"] {
        let mut mta = filter.connect();
        mta.raw(octets).unwrap();
        assert!(mta.is_closed(), "{octets:?}");
    }
    filter.drained();
}
