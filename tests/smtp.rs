//! The SMTP proxy over real sockets, between a raw client and a scripted next hop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::common::smtp::{Act, Client, Hop, Proxy, Verdict, config, listener};
use sekisho::config::{BareNewlines, Endpoint, Refusals, Timeouts};
use sekisho::marks::{Changes, Field};
use sekisho::message::Splice;
use sekisho::net::{self, Permits, Shutdown};
use sekisho::smtp::server;
use sekisho::smtp::session::{RefusalCause, SessionEnd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};

const MAIL: &[u8] = b"Subject: x\r\n\r\nbody\r\n";

fn say(text: &str) -> Act {
    Act::Say(text.to_owned())
}

fn say_and_close(text: &str) -> Act {
    Act::SayAndClose(text.to_owned())
}

/// One message through a proxy with this configuration; the reply to the final dot.
async fn one_message(proxy: &Proxy) -> String {
    let mut client = Client::hello(proxy.address).await;
    client.envelope(&["<a@b>"]).await;
    let reply = client.message(MAIL).await;
    client.expect("QUIT", "221").await;
    reply
}

// ---- transparency

#[tokio::test]
async fn messages_pass_byte_for_byte() {
    let hop = Hop::start().await;
    let proxy = Proxy::before(&hop).await;
    let long_line =
        [b"Subject: ".as_slice(), &vec![b'x'; 100_000], b"\r\n\r\n", &vec![0xe9; 100_000], b"\r\n"].concat();
    let mut client = Client::hello(proxy.address).await;
    let dots = [b".\r\n".as_slice(), b"..\r\n", b".a\r\n", b"\r\n.\r\n"].concat().repeat(20_000);
    let messages: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"\r\n".to_vec(),
        b".\r\n".to_vec(),
        b"no header at all\r\n".to_vec(),
        b" led by white space\r\n\r\n\t\r\n".to_vec(),
        b"A: \0\r\n\r\n\0\xff\x80\r\n \t \r\n".to_vec(),
        MAIL.to_vec(),
        long_line,
        dots,
        (0..1_000_000u32)
            .flat_map(|n| if n % 61 == 60 { *b"\r\n" } else { [b'a', (n % 251) as u8 | 0x80] })
            .chain(*b"\r\n")
            .collect(),
    ];
    for (number, message) in messages.iter().enumerate() {
        client.envelope(&["<a@b>"]).await;
        assert_eq!(client.message(message).await, "250 2.0.0 queued as 4711");
        let received = hop.messages();
        assert_eq!(received.len(), number + 1);
        assert!(received[number].content == *message, "message {number} was changed");
    }
    assert_eq!(hop.connections(), 1);
}

#[tokio::test]
async fn edits_are_the_only_difference() {
    let hop = Hop::start().await;
    let proxy = Proxy::before(&hop).await;
    let splice = |range, with: &'static [u8]| Splice { range, with: with.into() };
    proxy.handler.changes(Changes {
        prepend: vec![Field { name: "X-A".to_owned(), value: " b".to_owned() }],
        body: vec![splice(10..12, b"\r\n.dot\r\n")],
        ..Changes::default()
    });
    one_message(&proxy).await;
    assert_eq!(hop.messages()[0].content, b"X-A: b\r\nSubject: x\r\n.dot\r\n\r\nbody\r\n");
    assert_eq!(hop.messages()[0].wire, b"X-A: b\r\nSubject: x\r\n..dot\r\n\r\nbody\r\n.\r\n");
}

#[tokio::test]
async fn the_envelope_and_its_replies_are_relayed_verbatim() {
    let hop = Hop::start().await;
    hop.always("MAIL", say("250-2.1.0 Sender\r\n250 2.1.0 really ok"));
    hop.recipient("<@r:\"q q\"@b> NOTIFY=NEVER ORCPT=rfc822;x", "251 2.1.5 will  forward");
    hop.recipient("<no@b>", "550-5.1.1 <no@b>: unknown\r\n550-5.1.1\r\n550 5.1.1 see https://example.invalid");
    hop.recipient("<later@b>", "450 4.2.0 greylisted");
    let proxy = Proxy::before(&hop).await;
    let mut client = Client::hello(proxy.address).await;
    let reply = client.ask("mail From:<\"x>\"@y>  BODY=8BITMIME RET=HDRS SIZE=20").await;
    assert_eq!(reply, "250-2.1.0 Sender\n250 2.1.0 really ok");
    let reply = client.ask("RCPT TO:<@r:\"q q\"@b> NOTIFY=NEVER ORCPT=rfc822;x").await;
    assert_eq!(reply, "251 2.1.5 will  forward");
    let reply = client.ask("RCPT TO:<no@b>").await;
    assert_eq!(reply, "550-5.1.1 <no@b>: unknown\n550-5.1.1\n550 5.1.1 see https://example.invalid");
    assert_eq!(client.ask("RCPT TO:<later@b>").await, "450 4.2.0 greylisted");
    client.message(MAIL).await;
    let received = &hop.messages()[0];
    assert_eq!(received.sender, "<\"x>\"@y> BODY=8BITMIME RET=HDRS SIZE=20");
    assert_eq!(received.recipients, ["<@r:\"q q\"@b> NOTIFY=NEVER ORCPT=rfc822;x"]);
    assert_eq!(proxy.handler.envelope.lock().unwrap().as_ref().unwrap().recipients.len(), 1);
}

#[tokio::test]
async fn refusals_of_the_message_are_relayed() {
    for (at, reply) in [
        ("DATA", "554 5.7.1 not you"),
        ("DATA", "452 4.3.1 full"),
        ("END", "552 5.2.2 quota"),
        ("END", "451 4.7.1 wait"),
    ] {
        let hop = Hop::start().await;
        hop.on(0, at, say(reply));
        let proxy = Proxy::before(&hop).await;
        let mut client = Client::hello(proxy.address).await;
        client.envelope(&["<a@b>"]).await;
        assert_eq!(client.message(MAIL).await, reply);
        hop.on(0, at, say(if at == "DATA" { "354 go" } else { "250 ok" }));
        client.envelope(&["<a@b>"]).await;
        assert!(client.message(MAIL).await.starts_with("250"), "the session goes on behind {reply}");
        assert_eq!(hop.connections(), 1);
    }
}

#[tokio::test]
async fn xforward_goes_before_mail_and_is_dropped_behind_it() {
    let hop = Hop::start().await;
    let proxy = Proxy::before(&hop).await;
    let mut client = Client::hello(proxy.address).await;
    let long = "x".repeat(255);
    client.expect("XFORWARD NAME=a+2Bb ADDR=192.0.2.9 PORT=25", "250").await;
    client.expect(&format!("XFORWARD HELO={long} IDENT=4711"), "250").await;
    client.envelope(&["<a@b>"]).await;
    client.message(MAIL).await;
    client.envelope(&["<a@b>"]).await;
    let lines = hop.lines();
    let expected = [
        "0 EHLO client.example".to_owned(),
        format!("0 XFORWARD NAME=a+2Bb ADDR=192.0.2.9 HELO={long} IDENT=4711"),
        "0 MAIL FROM:<sender@example.com>".to_owned(),
        "0 RCPT TO:<a@b>".to_owned(),
        "0 DATA".to_owned(),
        "0 MAIL FROM:<sender@example.com>".to_owned(),
        "0 RCPT TO:<a@b>".to_owned(),
    ];
    assert_eq!(lines, expected);
    let envelope = proxy.handler.envelope.lock().unwrap().clone().unwrap();
    assert_eq!(envelope.queue_id.as_deref(), Some("4711"));
    assert_eq!(envelope.client.addr, Some("192.0.2.9".parse().unwrap()));
}

// ---- the next hop is lost

#[tokio::test]
async fn a_next_hop_that_is_not_there_defers_at_ehlo() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let proxy = Proxy::start(listener(closed), config()).await;
    let mut client = Client::connect(proxy.address).await;
    client.reply().await;
    client.expect("EHLO a", "421 4.4.1").await;
    assert_eq!(client.reply().await, "<closed>");
    proxy.drained().await;
}

#[tokio::test]
async fn a_next_hop_that_fails_its_greeting_defers_at_ehlo() {
    let acts = [
        ("CONNECT", Act::Close),
        ("CONNECT", say("421 4.3.2 not now")),
        ("CONNECT", say("554 go away")),
        ("CONNECT", say("nonsense")),
        ("EHLO", Act::Close),
        ("EHLO", say("250-a\r\n251 b")),
        ("EHLO", say("354 what")),
        ("EHLO", say(&"250-x\r\n".repeat(20_000))),
    ];
    for (at, act) in acts {
        let hop = Hop::start().await;
        hop.always(at, act.clone());
        let proxy = Proxy::before(&hop).await;
        let mut client = Client::connect(proxy.address).await;
        client.reply().await;
        let reply = client.ask("EHLO a").await;
        assert!(reply.starts_with("421 "), "{at} {act:?}: {reply}");
        assert_eq!(client.reply().await, "<closed>");
    }
}

#[tokio::test]
async fn a_refused_hello_is_relayed() {
    let hop = Hop::start().await;
    hop.on(0, "EHLO", say("550 5.7.1 not you")).on(1, "EHLO", say("450 4.7.1 not yet"));
    let proxy = Proxy::before(&hop).await;
    let mut client = Client::connect(proxy.address).await;
    client.reply().await;
    client.expect("EHLO a", "550 5.7.1 not you").await;
    client.expect("MAIL FROM:<>", "503").await;
    client.expect("EHLO a", "450 4.7.1 not yet").await;
    client.expect("EHLO a", "250-").await;
    client.envelope(&["<a@b>"]).await;
}

#[tokio::test]
async fn recipients_accepted_before_a_loss_are_still_served() {
    let hop = Hop::start().await;
    hop.recipient("<c@d>", "150 what");
    let proxy = Proxy::before(&hop).await;
    let mut client = Client::hello(proxy.address).await;
    client.envelope(&["<a@b>"]).await;
    client.expect("RCPT TO:<c@d>", "451 4.4.2").await;
    client.expect("RCPT TO:<e@f>", "451 4.4.2").await;
    assert!(client.message(MAIL).await.starts_with("250"));
    assert_eq!(hop.messages()[0].recipients, ["<a@b>"]);
}

#[tokio::test]
async fn a_next_hop_that_knows_only_helo_is_enough() {
    let hop = Hop::start().await;
    hop.always("EHLO", say("502 5.5.1 what?"));
    let proxy = Proxy::before(&hop).await;
    let mut client = Client::connect(proxy.address).await;
    client.reply().await;
    let reply = client.ask("EHLO a").await;
    assert!(reply.contains("PIPELINING") && !reply.contains("8BITMIME"), "{reply}");
    client.expect("MAIL FROM:<> BODY=8BITMIME", "554 5.6.3").await;
    client.envelope(&["<a@b>"]).await;
    assert!(client.message(MAIL).await.starts_with("250"));
}

#[tokio::test]
async fn a_next_hop_lost_at_mail_or_rcpt_defers() {
    for (at, line) in [("MAIL", "MAIL FROM:<>"), ("RCPT", "RCPT TO:<a@b>")] {
        for act in [Act::Close, Act::Raw(b"250 x\n".to_vec()), say("354 x"), say("150 x"), say("250-x\r\n450 y")] {
            let hop = Hop::start().await;
            hop.always(at, act.clone());
            let proxy = Proxy::before(&hop).await;
            let mut client = Client::hello(proxy.address).await;
            if at == "RCPT" {
                client.expect("MAIL FROM:<>", "250").await;
            }
            client.expect(line, "451 4.4.2").await;
            client.expect("DATA", "503").await;
            client.expect("NOOP", "250").await;
        }
    }
}

#[tokio::test]
async fn a_connection_that_died_before_mail_is_replaced() {
    for act in [say_and_close("250 2.1.0 Ok"), say_and_close("250 Ok\r\n421 4.4.2 idle too long")] {
        let hop = Hop::start().await;
        hop.on(0, "END", act);
        let proxy = Proxy::before(&hop).await;
        let mut client = Client::hello(proxy.address).await;
        client.envelope(&["<a@b>"]).await;
        assert!(client.message(MAIL).await.starts_with("250"));
        client.envelope(&["<a@b>"]).await;
        assert!(client.message(MAIL).await.starts_with("250"));
        assert_eq!((hop.connections(), hop.messages().len()), (2, 2));
    }
}

#[tokio::test]
async fn a_reply_too_many_is_never_taken_for_the_next_one() {
    let hop = Hop::start().await;
    hop.on(0, "MAIL", say("250 Ok\r\n250 Ok"));
    hop.recipient("<a@b>", "550 5.1.1 no");
    let proxy = Proxy::before(&hop).await;
    let mut client = Client::hello(proxy.address).await;
    client.expect("MAIL FROM:<>", "250").await;
    client.expect("RCPT TO:<a@b>", "451").await;
}

#[tokio::test]
async fn a_connection_that_died_during_the_scan_is_replaced_once() {
    for act in [Act::Close, say_and_close("421 4.4.2 idle too long")] {
        let hop = Hop::start().await;
        hop.on(0, "IDLE", act);
        let proxy = Proxy::before(&hop).await;
        let mut client = Client::hello(proxy.address).await;
        client.expect("XFORWARD NAME=n", "250").await;
        client.envelope(&["<a@b>"]).await;
        assert!(client.message(MAIL).await.starts_with("250"));
        let replayed = [
            "1 EHLO client.example",
            "1 XFORWARD NAME=n",
            "1 MAIL FROM:<sender@example.com>",
            "1 RCPT TO:<a@b>",
            "1 DATA",
        ];
        assert_eq!(hop.lines()[4..], replayed);
        assert_eq!(hop.messages().len(), 1);
    }
}

#[tokio::test]
async fn a_replay_that_is_answered_otherwise_defers() {
    for (at, act) in [
        ("MAIL", say("550 5.7.1 not now")),
        ("MAIL", say("450 4.7.1 not now")),
        ("RCPT", say("550 5.1.1 gone")),
        ("EHLO", say("250 less than before")),
        ("CONNECT", Act::Close),
        ("DATA", Act::Close),
        ("IDLE", Act::Close),
    ] {
        let hop = Hop::start().await;
        hop.on(0, "IDLE", Act::Close).on(1, at, act);
        let proxy = Proxy::before(&hop).await;
        let reply = one_message(&proxy).await;
        assert!(reply.starts_with("451"), "{at}: {reply}");
        assert_eq!((hop.connections(), hop.messages().len()), (2, 0), "{at}");
        assert!(!proxy.handler.lost.lock().unwrap()[0].0);
    }
}

#[tokio::test]
async fn a_next_hop_lost_at_data_is_tried_once_more_and_in_content_not() {
    let hop = Hop::start().await;
    hop.on(0, "DATA", say_and_close("421 4.3.2 restarting"));
    let proxy = Proxy::before(&hop).await;
    assert!(one_message(&proxy).await.starts_with("250"));
    assert_eq!(hop.messages().len(), 1);

    let hop = Hop::start().await;
    hop.on(0, "CONTENT", Act::Close);
    let proxy = Proxy::before(&hop).await;
    let mut client = Client::hello(proxy.address).await;
    client.envelope(&["<a@b>"]).await;
    let large = b"0123456789abcde\r\n".repeat(1_000_000);
    assert!(client.message(&large).await.starts_with("451"));
    assert_eq!((hop.connections(), hop.messages().len()), (1, 0));
    assert!(!proxy.handler.lost.lock().unwrap()[0].0);
}

#[tokio::test]
async fn nothing_is_repeated_behind_the_final_dot() {
    for act in [Act::Close, say("354 x"), say("nonsense"), Act::Raw(b"250".to_vec())] {
        let hop = Hop::start().await;
        hop.on(0, "END", act.clone());
        let mut config = config();
        config.timeouts.next_hop_end = Duration::from_millis(200);
        let proxy = Proxy::start(listener(hop.address), config).await;
        let reply = one_message(&proxy).await;
        assert!(reply.starts_with("451"), "{act:?}: {reply}");
        assert_eq!(hop.connections(), 1);
        assert!(proxy.handler.lost.lock().unwrap()[0].0, "the loss was behind the dot");
    }
}

#[tokio::test]
async fn an_answer_before_the_final_dot_is_not_the_answer_to_it() {
    for (at, act) in [("DATA", say("354 go\r\n250 2.0.0 early")), ("CONTENT", say("250 2.0.0 early"))] {
        let hop = Hop::start().await;
        hop.on(0, at, act.clone()).on(0, "END", Act::Close);
        let proxy = Proxy::before(&hop).await;
        let mut client = Client::hello(proxy.address).await;
        client.envelope(&["<a@b>"]).await;
        let reply = client.message(&b"0123456789abcde\r\n".repeat(1_000_000)).await;
        assert!(reply.starts_with("451"), "{act:?}: {reply}");
        assert!(!proxy.handler.lost.lock().unwrap()[0].0, "the dot was not sent");
        assert_eq!((hop.connections(), hop.messages().len()), (1, 0));
    }
}

#[tokio::test]
async fn a_slow_next_hop_is_bounded_by_its_whole_reply() {
    type Set = fn(&mut Timeouts, Duration);
    let rows: [(&'static str, Set, &str); 5] = [
        ("CONNECT", |timeouts, limit| timeouts.next_hop_command = limit, "421"),
        ("EHLO", |timeouts, limit| timeouts.next_hop_command = limit, "421"),
        ("DATA", |timeouts, limit| timeouts.next_hop_data = limit, "451"),
        ("END", |timeouts, limit| timeouts.next_hop_end = limit, "451"),
        ("END", |timeouts, limit| timeouts.reply_deadline = limit, "451"),
    ];
    for (at, set, expected) in rows {
        // Dripping octets are progress, but not a reply.
        for act in [Act::Silence, Act::Drip("250 an endless reply that never comes to its end".to_owned(), 50)] {
            let hop = Hop::start().await;
            hop.always(at, act);
            let mut config = config();
            set(&mut config.timeouts, Duration::from_millis(300));
            let proxy = Proxy::start(listener(hop.address), config).await;
            let started = Instant::now();
            let mut client = Client::connect(proxy.address).await;
            client.reply().await;
            let mut reply = client.ask("EHLO a").await;
            if reply.starts_with("250") {
                client.envelope(&["<a@b>"]).await;
                reply = client.message(MAIL).await;
            }
            assert!(reply.starts_with(expected), "{at}: {reply}");
            assert_eq!(hop.connections(), 1, "a slow next hop is not asked twice");
            assert!(started.elapsed() < Duration::from_secs(5), "{at}: {:?}", started.elapsed());
        }
    }
}

// ---- subsets, refusals, and what is not forwarded

#[tokio::test]
async fn only_the_chosen_recipients_get_the_message() {
    let hop = Hop::start().await;
    let proxy = Proxy::before(&hop).await;
    proxy.handler.verdict(Verdict::Only(vec![0, 2]));
    let mut client = Client::hello(proxy.address).await;
    client.expect("XFORWARD IDENT=1", "250").await;
    client.envelope(&["<a@b>", "<c@d>", "<e@f>"]).await;
    assert!(client.message(MAIL).await.starts_with("250"));
    assert_eq!(hop.messages()[0].recipients, ["<a@b>", "<e@f>"]);
    let expected = [
        "0 RSET",
        "0 XFORWARD IDENT=1",
        "0 MAIL FROM:<sender@example.com>",
        "0 RCPT TO:<a@b>",
        "0 RCPT TO:<e@f>",
        "0 DATA",
    ];
    assert_eq!(hop.lines()[6..], expected);
}

#[tokio::test]
async fn a_subset_goes_over_a_fresh_connection_where_rset_fails() {
    for act in [Act::Close, say("500 what"), say("421 bye")] {
        let hop = Hop::start().await;
        hop.on(0, "RSET", act);
        let proxy = Proxy::before(&hop).await;
        proxy.handler.verdict(Verdict::Only(vec![1]));
        let mut client = Client::hello(proxy.address).await;
        client.envelope(&["<a@b>", "<c@d>"]).await;
        assert!(client.message(MAIL).await.starts_with("250"));
        assert_eq!(hop.messages()[0].recipients, ["<c@d>"]);
        assert_eq!(hop.connections(), 2);
    }
}

#[tokio::test]
async fn what_is_not_forwarded_never_opens_data() {
    let hop = Hop::start().await;
    let proxy = Proxy::before(&hop).await;
    let mut client = Client::hello(proxy.address).await;
    for verdict in
        [Verdict::Say(250, "2.0.0 held"), Verdict::Say(554, "5.7.1 no"), Verdict::Only(vec![7]), Verdict::Panic]
    {
        proxy.handler.verdict(verdict);
        client.envelope(&["<a@b>"]).await;
        client.message(MAIL).await;
    }
    client.expect("NOOP", "250").await;
    assert!(!hop.lines().iter().any(|line| line.ends_with("DATA")), "{:?}", hop.lines());
    assert_eq!(hop.lines().iter().filter(|line| line.ends_with("RSET")).count(), 4);
}

#[tokio::test]
async fn a_handler_that_panics_defers_its_message_only() {
    let hop = Hop::start().await;
    let proxy = Proxy::before(&hop).await;
    proxy.handler.verdict(Verdict::Panic);
    let mut client = Client::hello(proxy.address).await;
    client.envelope(&["<a@b>"]).await;
    assert!(client.message(MAIL).await.starts_with("451 4.3.0"));
    proxy.handler.verdict(Verdict::Pass);
    client.envelope(&["<a@b>"]).await;
    assert!(client.message(MAIL).await.starts_with("250"));
    assert_eq!(hop.messages().len(), 1);
}

#[tokio::test]
async fn all_or_none_refuses_the_message_for_one_recipient() {
    let hop = Hop::start().await;
    hop.recipient("<no@b>", "550 5.1.1 no");
    let mut listener = listener(hop.address);
    listener.refusals = Refusals::AllOrNone;
    let proxy = Proxy::start(listener, config()).await;
    let mut client = Client::hello(proxy.address).await;
    client.envelope(&["<a@b>"]).await;
    client.expect("RCPT TO:<no@b>", "550").await;
    client.expect("DATA", "550 5.1.1 no").await;
    client.expect("RSET", "250").await;
    assert_eq!(proxy.handler.seen.load(Ordering::SeqCst), 0);
    client.envelope(&["<a@b>"]).await;
    assert!(client.message(MAIL).await.starts_with("250"));
}

// ---- content that is refused, limits

#[tokio::test]
async fn oversize_bare_newlines_and_a_full_disk_cost_the_message_not_the_session() {
    let hop = Hop::start().await;
    let mut small = config();
    small.limits.max_message_size = 100_000;
    let proxy = Proxy::start(listener(hop.address), small).await;
    let mut client = Client::hello(proxy.address).await;
    client.envelope(&["<a@b>"]).await;
    assert!(client.message(&b"0123456\r\n".repeat(20_000)).await.starts_with("552 5.3.4"));
    client.envelope(&["<a@b>"]).await;
    assert!(client.message(b"a\nb\r\n").await.starts_with("550 5.5.2"));
    proxy.handler.spool_in("/nonexistent".into());
    client.envelope(&["<a@b>"]).await;
    assert!(client.message(&b"0123456\r\n".repeat(2_000)).await.starts_with("452 4.3.1"));
    proxy.handler.spool_in(std::env::temp_dir());
    client.envelope(&["<a@b>"]).await;
    assert!(client.message(MAIL).await.starts_with("250"));
    assert_eq!(hop.messages().len(), 1);
    client.envelope(&["<a@b>"]).await;
    client.expect("DATA", "354").await;
    let causes: Vec<RefusalCause> = proxy.handler.refused.lock().unwrap().iter().map(|refusal| refusal.cause).collect();
    assert_eq!(causes, [RefusalCause::TooLarge, RefusalCause::BareNewlines, RefusalCause::NoRoom]);
    let flood = b"0123456\r\n".repeat(60_000);
    let _ = client.stream.write_all(&flood).await;
    proxy.drained().await;
    assert_eq!(hop.messages().len(), 1);
}

#[tokio::test]
async fn bare_newlines_are_normalised_where_so_configured() {
    let hop = Hop::start().await;
    let mut listener = listener(hop.address);
    listener.bare_newlines = BareNewlines::Normalize;
    let proxy = Proxy::start(listener, config()).await;
    let mut client = Client::hello(proxy.address).await;
    client.envelope(&["<a@b>"]).await;
    client.expect("DATA", "354").await;
    client.send(b"a\nb\rc\r\n\n.\nMAIL FROM:<x@y>\r\n.\r\n").await;
    assert!(client.reply().await.starts_with("250"));
    assert_eq!(hop.messages()[0].wire, b"a\r\nb\r\nc\r\n\r\n..\r\nMAIL FROM:<x@y>\r\n.\r\n");
}

#[tokio::test]
async fn connections_are_limited_per_client_and_in_all() {
    let hop = Hop::start().await;
    let mut config = config();
    (config.service.max_connections, config.service.max_connections_per_client) = (3, 2);
    let mut strangers = listener(hop.address);
    strangers.xforward_networks.clear();
    for (listener, open) in [(strangers, 2), (listener(hop.address), 3)] {
        let proxy = Proxy::start(listener, config.clone()).await;
        let mut clients = Vec::new();
        for _ in 0..open {
            clients.push(Client::hello(proxy.address).await);
        }
        let mut refused = Client::connect(proxy.address).await;
        assert!(refused.reply().await.starts_with("421 4.7.0"));
        assert_eq!(refused.reply().await, "<closed>");
        drop(clients);
        proxy.drained().await;
        Client::hello(proxy.address).await;
    }
}

#[tokio::test]
async fn a_silent_client_is_sent_away() {
    let hop = Hop::start().await;
    let mut config = config();
    config.timeouts.client = Duration::from_millis(200);
    let proxy = Proxy::start(listener(hop.address), config).await;
    let mut idle = Client::hello(proxy.address).await;
    assert!(idle.reply().await.starts_with("421 4.4.2"));
    let mut in_content = Client::hello(proxy.address).await;
    in_content.envelope(&["<a@b>"]).await;
    in_content.expect("DATA", "354").await;
    in_content.send(b"half a message\r\n").await;
    assert!(in_content.reply().await.starts_with("421 4.4.2"));
    let mut dripping = Client::connect(proxy.address).await;
    dripping.reply().await;
    for octet in b"NOOP and so on, an octet at a time" {
        let _ = dripping.stream.write_all(&[*octet]).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(dripping.reply().await.starts_with("421 4.4.2"));
    proxy.drained().await;
    assert_eq!(*proxy.handler.ends.lock().unwrap(), [SessionEnd::Timeout; 3]);
    assert!(hop.messages().is_empty() && hop.incomplete().is_empty());
}

// ---- clients that go away

#[tokio::test]
async fn a_client_that_goes_away_before_the_final_dot_delivers_nothing() {
    let hop = Hop::start().await;
    let proxy = Proxy::before(&hop).await;
    for sent in [&b""[..], b"half", b"a\r\n", b"a\r\n.", b"a\r\n.\r"] {
        let mut client = Client::hello(proxy.address).await;
        client.envelope(&["<a@b>"]).await;
        client.expect("DATA", "354").await;
        client.send(sent).await;
        drop(client);
        proxy.drained().await;
    }
    assert_eq!(proxy.handler.seen.load(Ordering::SeqCst), 0);
    assert!(hop.messages().is_empty() && hop.incomplete().is_empty());
    assert!(!hop.lines().iter().any(|line| line.ends_with("DATA")));
}

#[tokio::test]
async fn the_handler_is_told_that_the_client_has_gone() {
    let hop = Hop::start().await;
    let proxy = Proxy::before(&hop).await;
    proxy.handler.hold_scans();
    let mut client = Client::hello(proxy.address).await;
    client.envelope(&["<a@b>"]).await;
    client.expect("DATA", "354").await;
    client.send(b"a\r\n.\r\n").await;
    proxy.handler.scan_waits().await;
    drop(client);
    tokio::time::sleep(Duration::from_millis(100)).await;
    proxy.handler.release();
    proxy.drained().await;
    assert_eq!(proxy.handler.gone.load(Ordering::SeqCst), 1);
    assert!(hop.messages().is_empty());
}

#[tokio::test]
async fn a_client_that_said_everything_at_once_and_closed_its_half_is_served() {
    let hop = Hop::start().await;
    let proxy = Proxy::before(&hop).await;
    let mut client = Client::connect(proxy.address).await;
    proxy.handler.hold_scans();
    let one = "MAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\nx\r\n.\r\n";
    client.send(format!("EHLO a\r\n{one}{one}QUIT\r\n").as_bytes()).await;
    client.stream.shutdown().await.unwrap();
    proxy.handler.scan_waits().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    proxy.handler.release();
    let mut replies = String::new();
    client.stream.read_to_string(&mut replies).await.unwrap();
    let finals: Vec<&str> = replies.lines().filter(|line| line.as_bytes()[3] == b' ').map(|line| &line[..3]).collect();
    assert_eq!(finals, ["220", "250", "250", "250", "354", "250", "250", "250", "354", "250", "221"]);
    assert_eq!(hop.messages().len(), 2);
}

#[tokio::test]
async fn replies_are_flushed_before_anything_waits() {
    let hop = Hop::start().await;
    hop.always("END", Act::Silence);
    let proxy = Proxy::before(&hop).await;
    proxy.handler.hold_scans();
    let mut client = Client::connect(proxy.address).await;
    client.send(b"EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\nx\r\n.\r\nNOOP\r\n").await;
    for expected in ["220", "250", "250", "250", "354"] {
        assert!(client.reply().await.starts_with(expected));
    }
}

// ---- sessions beside each other, shutdown, sockets

#[tokio::test]
async fn a_scan_does_not_block_another_session() {
    let hop = Hop::start().await;
    let proxy = Proxy::before(&hop).await;
    proxy.handler.hold_scans();
    let mut waiting = Client::hello(proxy.address).await;
    waiting.envelope(&["<a@b>"]).await;
    waiting.expect("DATA", "354").await;
    waiting.send(b"a\r\n.\r\n").await;
    proxy.handler.scan_waits().await;
    let mut other = Client::hello(proxy.address).await;
    other.envelope(&["<c@d>"]).await;
    other.expect("QUIT", "221").await;
    proxy.handler.release();
    assert!(waiting.reply().await.starts_with("250"));
}

#[tokio::test]
async fn a_new_configuration_acts_at_the_next_mail() {
    let hop = Hop::start().await;
    let proxy = Proxy::before(&hop).await;
    let mut client = Client::hello(proxy.address).await;
    let mut smaller = config();
    smaller.limits.max_message_size = 10;
    client.envelope(&["<a@b>"]).await;
    proxy.handler.set_config(smaller);
    assert!(client.message(MAIL).await.starts_with("250"), "a message keeps what was there at its MAIL");
    client.envelope(&["<a@b>"]).await;
    assert!(client.message(MAIL).await.starts_with("552"));
}

#[tokio::test]
async fn a_shutdown_ends_idle_sessions_and_finishes_messages() {
    let hop = Hop::start().await;
    let proxy = Proxy::before(&hop).await;
    proxy.handler.hold_scans();
    let mut idle = Client::hello(proxy.address).await;
    let mut between = Client::hello(proxy.address).await;
    between.envelope(&["<a@b>"]).await;
    let mut scanned = Client::hello(proxy.address).await;
    scanned.envelope(&["<a@b>"]).await;
    scanned.expect("DATA", "354").await;
    scanned.send(b"a\r\n.\r\nNOOP\r\n").await;
    proxy.handler.scan_waits().await;
    let mut sending = Client::hello(proxy.address).await;
    sending.envelope(&["<a@b>"]).await;
    sending.expect("DATA", "354").await;

    let shutdown = proxy.shutdown.clone();
    let finished = tokio::spawn(async move { shutdown.finish(Duration::from_secs(10)).await });
    for client in [&mut idle, &mut between] {
        assert!(client.reply().await.starts_with("421 4.3.2"));
        assert_eq!(client.reply().await, "<closed>");
    }
    tokio::net::TcpStream::connect(proxy.address).await.expect_err("nothing is accepted any more");
    sending.send(b"b\r\n.\r\n").await;
    proxy.handler.release();
    for client in [&mut scanned, &mut sending] {
        assert!(client.reply().await.starts_with("250 2.0.0 queued"));
    }
    assert!(finished.await.unwrap(), "everything ended by itself");
    assert_eq!(hop.messages().len(), 2);
}

#[tokio::test]
async fn what_outlives_the_shutdown_is_cut_and_not_delivered() {
    let hop = Hop::start().await;
    let proxy = Proxy::before(&hop).await;
    proxy.handler.hold_scans();
    let mut scanned = Client::hello(proxy.address).await;
    scanned.envelope(&["<a@b>"]).await;
    scanned.expect("DATA", "354").await;
    scanned.send(b"a\r\n.\r\n").await;
    proxy.handler.scan_waits().await;
    let mut sending = Client::hello(proxy.address).await;
    sending.envelope(&["<a@b>"]).await;
    sending.expect("DATA", "354").await;
    let started = Instant::now();
    assert!(!proxy.shutdown.finish(Duration::from_millis(300)).await);
    assert!(started.elapsed() < Duration::from_secs(5));
    for client in [&mut scanned, &mut sending] {
        assert!(client.reply().await.starts_with("421 4.3.2"));
        assert_eq!(client.reply().await, "<closed>");
    }
    proxy.drained().await;
    assert!(hop.messages().is_empty() && hop.incomplete().is_empty());
}

#[tokio::test]
async fn unix_sockets_serve_and_disappear() {
    let hop = Hop::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("smtp.sock");
    let mut listener = listener(hop.address);
    listener.listen = Endpoint::Unix(path.clone());
    let socket = net::Listener::bind(&listener.listen).unwrap();
    let (handler, shutdown) = (crate::common::smtp::Fake::new(config()), Shutdown::new());
    let serving = tokio::spawn(server::serve(socket, Arc::new(listener), handler, Permits::new(), shutdown.clone()));
    let mut in_front = crate::common::smtp::listener(hop.address);
    in_front.next_hop = Endpoint::Unix(path.clone());
    let proxy = Proxy::start(in_front, config()).await;
    assert!(one_message(&proxy).await.starts_with("250 2.0.0 queued"), "a proxy in front of a proxy");
    let mut client = UnixStream::connect(&path).await.unwrap();
    client.write_all(b"EHLO a\r\nXFORWARD NAME=x\r\nQUIT\r\n").await.unwrap();
    let mut replies = String::new();
    client.read_to_string(&mut replies).await.unwrap();
    assert!(
        replies.starts_with("220 localhost ") && replies.ends_with("250 2.0.0 Ok\r\n221 2.0.0 Bye\r\n"),
        "{replies}"
    );
    assert!(shutdown.finish(Duration::from_secs(5)).await);
    serving.await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn ipv6_loopback_serves() {
    let hop = Hop::start().await;
    let mut listener = listener(hop.address);
    listener.listen = Endpoint::Tcp(SocketAddr::from(([0u16, 0, 0, 0, 0, 0, 0, 1], 0)));
    if net::Listener::bind(&listener.listen).is_err() {
        return; // a machine without IPv6
    }
    let proxy = Proxy::start(listener, config()).await;
    let mut client = Client::connect(proxy.address).await;
    assert!(client.reply().await.starts_with("220 [IPv6:::1] "));
    client.expect("EHLO a", "250").await;
    client.expect("XFORWARD NAME=x", "550").await;
}

#[tokio::test]
async fn a_hundred_clients_at_once_get_their_own_answers() {
    let hop = Hop::start().await;
    let proxy = Arc::new(Proxy::before(&hop).await);
    let sessions: Vec<_> = (0..100)
        .map(|number| {
            let address = proxy.address;
            tokio::spawn(async move {
                let mut client = Client::hello(address).await;
                client.envelope(&[&format!("<{number}@b>")]).await;
                client.message(format!("{number}\r\n").as_bytes()).await
            })
        })
        .collect();
    for session in sessions {
        assert!(session.await.unwrap().starts_with("250"));
    }
    for received in hop.messages() {
        let number = String::from_utf8(received.content).unwrap();
        assert_eq!(received.recipients, [format!("<{}@b>", number.trim_end())]);
    }
    assert_eq!(hop.messages().len(), 100);
    proxy.drained().await;
}
