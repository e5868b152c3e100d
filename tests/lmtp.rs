//! LMTP (RFC 2033) on both sides: a reply for each recipient, whatever becomes of the message.

use std::time::Duration;

use crate::common::client::{eicar, send};
use crate::common::daemon::Daemon;
use crate::common::free_port;
use crate::common::smtp::{Act, Client, Hop, Proxy, Verdict, config, lmtp_listener};
use sekisho::config::{Config, NextHopProtocol};

const MAIL: &[u8] = b"Subject: x\r\n\r\nbody\r\n";
const THREE: [&str; 3] = ["<a@b>", "<c@d>", "<e@f>"];

async fn proxy(hop: &Hop) -> Proxy {
    Proxy::start(lmtp_listener(hop.address), config()).await
}

fn say(text: &str) -> Act {
    Act::Say(text.to_owned())
}

/// One message to three recipients; the beginnings of the replies, up to `length`.
async fn replies(proxy: &Proxy, length: usize) -> Vec<String> {
    let mut client = Client::lhlo(proxy.address).await;
    client.envelope(&THREE).await;
    let replies = client.lmtp_message(MAIL, 3).await;
    // Nothing more came, and nothing less.
    client.expect("NOOP", "250 2.0.0 Ok").await;
    replies.into_iter().map(|reply| reply.chars().take(length).collect()).collect()
}

#[tokio::test]
async fn lhlo_is_the_only_greeting() {
    let hop = Hop::start_lmtp().await;
    let lmtp = proxy(&hop).await;
    let mut client = Client::connect(lmtp.address).await;
    assert!(client.reply().await.starts_with("220 [127.0.0.1] LMTP "));
    client.expect("EHLO a", "500 5.5.1").await;
    client.expect("HELO a", "500 5.5.1").await;
    client.expect("MAIL FROM:<>", "503").await;
    client.expect("LHLO", "501").await;
    let offered = client.ask("LHLO a").await;
    assert!(offered.contains("PIPELINING") && offered.contains("ENHANCEDSTATUSCODES"), "{offered}");
    assert_eq!(hop.lines(), ["0 LHLO a"]);

    let smtp = Proxy::before(&Hop::start().await).await;
    let mut client = Client::connect(smtp.address).await;
    client.reply().await;
    client.expect("LHLO a", "502").await;
    client.expect("EHLO a", "250-").await;
}

#[tokio::test]
async fn each_accepted_recipient_gets_the_next_hops_word_in_order() {
    let hop = Hop::start_lmtp().await;
    hop.recipient("<no@b>", "550 5.1.1 no");
    hop.always("END", say("250 2.0.0 first\r\n550-5.2.2 full\r\n550 5.2.2 really\r\n451 4.2.0 duplicate"));
    let proxy = proxy(&hop).await;
    let mut client = Client::lhlo(proxy.address).await;
    client.envelope(&["<a@b>"]).await;
    client.expect("RCPT TO:<no@b>", "550 5.1.1 no").await;
    client.expect("RCPT TO:<c@d>", "250").await;
    client.expect("RCPT TO:<a@b>", "250").await;
    let replies = client.lmtp_message(MAIL, 3).await;
    assert_eq!(replies, ["250 2.0.0 first", "550-5.2.2 full\n550 5.2.2 really", "451 4.2.0 duplicate"]);
    client.expect("NOOP", "250").await;
    client.envelope(&["<a@b>", "<c@d>", "<e@f>"]).await;
    assert_eq!(client.lmtp_message(MAIL, 3).await.len(), 3);
    assert_eq!(hop.connections(), 1);
}

#[tokio::test]
async fn pipelined_transactions_keep_their_replies_apart() {
    let hop = Hop::start_lmtp().await;
    let proxy = proxy(&hop).await;
    let mut client = Client::lhlo(proxy.address).await;
    let one = "MAIL FROM:<>\r\nRCPT TO:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n";
    client.send(format!("{one}x\r\n.\r\n{one}y\r\n.\r\nQUIT\r\n").as_bytes()).await;
    for code in ["250", "250", "250", "354", "250", "250", "250", "250", "250", "354", "250", "250", "221"] {
        let reply = client.reply().await;
        assert!(reply.starts_with(code), "{reply}");
    }
    assert_eq!(client.reply().await, "<closed>");
    assert_eq!(hop.messages().len(), 2);
}

#[tokio::test]
async fn an_smtp_next_hop_says_the_same_for_all() {
    for protocol in [NextHopProtocol::LmtpOrSmtp, NextHopProtocol::Smtp] {
        for reply in ["250 2.0.0 queued", "552 5.2.2 quota", "451 4.3.0 wait"] {
            let hop = Hop::start().await;
            hop.always("END", say(reply));
            let mut listener = lmtp_listener(hop.address);
            listener.next_hop_protocol = protocol;
            let proxy = Proxy::start(listener, config()).await;
            assert_eq!(replies(&proxy, 99).await, [reply; 3]);
            let asked = hop.lines().iter().any(|line| line.starts_with("0 LHLO"));
            assert_eq!(asked, protocol == NextHopProtocol::LmtpOrSmtp);
        }
    }
}

#[tokio::test]
async fn a_421_of_an_smtp_next_hop_is_said_for_all_before_the_end() {
    let hop = Hop::start().await;
    hop.always("END", say("421 4.3.2 stopping"));
    let proxy = proxy(&hop).await;
    let mut client = Client::lhlo(proxy.address).await;
    client.envelope(&THREE).await;
    assert_eq!(client.lmtp_message(MAIL, 3).await, ["421 4.3.2 stopping"; 3]);
    assert_eq!(client.reply().await, "<closed>");
}

#[tokio::test]
async fn what_the_next_hop_says_to_lhlo_decides() {
    for (refusal, greeting) in [("500 what", "250-"), ("502 what", "250-"), ("550 5.7.1 not LMTP", "250-")] {
        let hop = Hop::start().await;
        hop.always("LHLO", say(refusal));
        let proxy = proxy(&hop).await;
        let mut client = Client::connect(proxy.address).await;
        client.reply().await;
        client.expect("LHLO a", greeting).await;
        assert_eq!(hop.lines(), ["0 LHLO a", "0 EHLO a"]);
    }
    let hop = Hop::start_lmtp().await;
    hop.always("LHLO", say("450 4.7.1 not now"));
    let proxy = proxy(&hop).await;
    let mut client = Client::connect(proxy.address).await;
    client.reply().await;
    client.expect("LHLO a", "450 4.7.1 not now").await;

    // Asked for LMTP and nothing else.
    let hop = Hop::start().await;
    let mut listener = lmtp_listener(hop.address);
    listener.next_hop_protocol = NextHopProtocol::Lmtp;
    let proxy = Proxy::start(listener, config()).await;
    let mut client = Client::connect(proxy.address).await;
    client.reply().await;
    client.expect("LHLO a", "500").await;
    assert_eq!(hop.lines(), ["0 LHLO a"]);
}

#[tokio::test]
async fn own_words_are_said_for_each_recipient() {
    let hop = Hop::start_lmtp().await;
    let mut small = config();
    small.limits.max_message_size = 100_000;
    let proxy = Proxy::start(lmtp_listener(hop.address), small).await;
    for (verdict, begin) in [
        (Verdict::Say(250, "2.0.0 held"), "250 2.0.0 held"),
        (Verdict::Say(554, "5.7.1 no"), "554 5.7.1 no"),
        (Verdict::Panic, "451 4.3.0"),
    ] {
        proxy.handler.verdict(verdict);
        assert_eq!(replies(&proxy, begin.len()).await, [begin; 3]);
    }
    proxy.handler.verdict(Verdict::Pass);
    let mut client = Client::lhlo(proxy.address).await;
    let too_large = b"0123456\r\n".repeat(20_000);
    for (content, begin) in [(&too_large[..], "552 5.3.4"), (b"a\nb\r\n", "550 5.5.2")] {
        client.envelope(&["<a@b>", "<a@b>", "<c@d>"]).await;
        let replies = client.lmtp_message(content, 3).await;
        assert!(replies.iter().all(|reply| reply.starts_with(begin)), "{replies:?}");
    }
    proxy.handler.spool_in("/nonexistent".into());
    client.envelope(&THREE).await;
    let replies = client.lmtp_message(&b"0123456\r\n".repeat(2_000), 3).await;
    assert!(replies.iter().all(|reply| reply.starts_with("452 4.3.1")), "{replies:?}");
    client.expect("NOOP", "250").await;
    assert!(hop.messages().is_empty());
}

#[tokio::test]
async fn data_needs_an_accepted_recipient() {
    let hop = Hop::start_lmtp().await;
    hop.recipient("<no@b>", "550 5.1.1 no");
    let proxy = proxy(&hop).await;
    let mut client = Client::lhlo(proxy.address).await;
    client.expect("DATA", "503").await;
    client.expect("MAIL FROM:<>", "250").await;
    client.expect("DATA", "503").await;
    client.expect("RCPT TO:<no@b>", "550").await;
    client.expect("DATA", "503").await;
    client.expect("RCPT TO:<a@b>", "250").await;
    assert_eq!(client.lmtp_message(MAIL, 1).await.len(), 1);
}

#[tokio::test]
async fn a_next_hop_lost_between_its_replies_defers_the_rest() {
    let acts = [
        Act::SayAndClose("250 2.0.0 first".to_owned()),
        Act::SayAndClose("250 2.0.0 first\r\n25".to_owned()),
        say("250 2.0.0 first\r\nnonsense\r\n250 2.0.0 third"),
        say("250 2.0.0 first\r\n354 what\r\n250 2.0.0 third"),
        say("250 2.0.0 first\r\n150 what\r\n250 2.0.0 third"),
        say("250 2.0.0 first\r\n250-a\r\n451 b\r\n250 2.0.0 third"),
        say("250 2.0.0 first\r\n421 4.3.2 stopping\r\n250 2.0.0 third"),
        say("250 2.0.0 first"),
    ];
    for act in acts {
        let hop = Hop::start_lmtp().await;
        hop.on(0, "END", act.clone());
        let mut config = config();
        config.timeouts.next_hop_end = Duration::from_millis(300);
        let proxy = Proxy::start(lmtp_listener(hop.address), config).await;
        assert_eq!(replies(&proxy, 9).await, ["250 2.0.0", "451 4.4.2", "451 4.4.2"], "{act:?}");
        assert_eq!((hop.connections(), hop.messages().len()), (1, 1), "nothing is repeated behind the dot");
    }
}

#[tokio::test]
async fn the_reply_deadline_keeps_the_replies_that_came() {
    let hop = Hop::start_lmtp().await;
    hop.on(0, "END", say("250 2.0.0 first"));
    let mut config = config();
    config.timeouts.reply_deadline = Duration::from_millis(500);
    let proxy = Proxy::start(lmtp_listener(hop.address), config).await;
    assert_eq!(replies(&proxy, 9).await, ["250 2.0.0", "451 4.4.2", "451 4.4.2"]);
}

#[tokio::test]
async fn a_next_hop_lost_before_its_first_reply_defers_all_and_the_session_goes_on() {
    let hop = Hop::start_lmtp().await;
    hop.on(0, "END", Act::Close);
    let proxy = proxy(&hop).await;
    let mut client = Client::lhlo(proxy.address).await;
    client.envelope(&THREE).await;
    let replies = client.lmtp_message(MAIL, 3).await;
    assert!(replies.iter().all(|reply| reply.starts_with("451 4.4.2")), "{replies:?}");
    assert!(proxy.handler.lost.lock().unwrap()[0].0, "behind the dot");
    client.envelope(&THREE).await;
    let replies = client.lmtp_message(MAIL, 3).await;
    assert!(replies.iter().all(|reply| reply.starts_with("250")), "{replies:?}");
    assert_eq!(hop.connections(), 2);
}

#[tokio::test]
async fn a_reply_too_many_is_not_taken_for_that_to_the_next_command() {
    let hop = Hop::start_lmtp().await;
    hop.on(0, "END", say("250 a\r\n250 b\r\n250 c\r\n250 d"));
    let proxy = proxy(&hop).await;
    let mut client = Client::lhlo(proxy.address).await;
    client.envelope(&THREE).await;
    assert_eq!(client.lmtp_message(MAIL, 3).await, ["250 a", "250 b", "250 c"]);
    hop.always("MAIL", say("450 4.7.1 no"));
    client.expect("MAIL FROM:<>", "45").await;
}

#[tokio::test]
async fn replies_are_matched_where_only_some_get_the_message() {
    let hop = Hop::start_lmtp().await;
    hop.always("END", say("250 2.0.0 to a\r\n550 5.2.2 to e"));
    let proxy = proxy(&hop).await;
    for (chosen, expected) in [
        (vec![0, 2], ["250 2.0.0 to a", "250 2.0.0 held", "550 5.2.2 to e"]),
        (vec![2, 0], ["550 5.2.2 to e", "250 2.0.0 held", "250 2.0.0 to a"]),
    ] {
        proxy.handler.verdict(Verdict::Only(chosen.clone()));
        assert_eq!(replies(&proxy, 99).await, expected);
        let recipients: Vec<&str> = chosen.iter().map(|index| THREE[*index]).collect();
        assert_eq!(hop.messages().last().unwrap().recipients, recipients);
    }
}

#[tokio::test]
async fn a_shutdown_that_cuts_is_said_for_each_recipient() {
    let hop = Hop::start_lmtp().await;
    let proxy = proxy(&hop).await;
    proxy.handler.hold_scans();
    let mut client = Client::lhlo(proxy.address).await;
    client.envelope(&THREE).await;
    client.expect("DATA", "354").await;
    client.send(b"a\r\n.\r\n").await;
    proxy.handler.scan_waits().await;
    assert!(!proxy.shutdown.finish(Duration::from_millis(200)).await);
    for _ in 0..3 {
        assert!(client.reply().await.starts_with("421 4.3.2"));
    }
    assert_eq!(client.reply().await, "<closed>");
}

#[test]
fn a_listener_of_kind_lmtp_has_its_defaults() {
    let check = |text: &str| {
        let listener = Config::parse(text, "f").unwrap().listeners.remove(0);
        (listener.transport.name(), listener.listen.to_string(), listener.next_hop_protocol)
    };
    let address = "127.0.0.1:10024".to_owned();
    let auto = NextHopProtocol::LmtpOrSmtp;
    assert_eq!(check("[[listener]]\nkind = \"lmtp\""), ("lmtp-after-queue", address.clone(), auto));
    let before = "[[listener]]\nkind = \"lmtp\"\nmode = \"before-queue\"\nnext_hop_protocol = \"lmtp\"";
    assert_eq!(check(before), ("lmtp-before-queue", address, NextHopProtocol::Lmtp));
    assert_eq!(check("[[listener]]\nnext_hop_protocol = \"auto\"").2, NextHopProtocol::Smtp);
}

// ---- releases to an LMTP server

const FROM: &str = "sender@outside.test";
const TO: [&str; 3] = ["a@inside.test", "c@inside.test", "e@inside.test"];

/// A daemon that holds one message for three recipients, and what `sekisho quarantine` says.
struct Held {
    daemon: Daemon,
    id: String,
}

impl Held {
    async fn new() -> Self {
        let hop = Hop::start().await;
        let port = hop.address.port();
        tokio::task::spawn_blocking(move || {
            let mut daemon = Daemon::new("before-queue", free_port(), port);
            daemon.start();
            assert_eq!(send(daemon.port(), FROM, &TO, &eicar("held")).unwrap().code, 250);
            let id = daemon.message_with("quarantine")["id"].as_str().unwrap().to_owned();
            Self { daemon, id }
        })
        .await
        .unwrap()
    }

    /// Runs a release to this hop; its exit code and everything it says.
    fn release(&self, hop: &Hop, more: &[&str]) -> (i32, String) {
        let to = hop.address.to_string();
        let output = self.daemon.command(&[&["quarantine", "release", &self.id, "--to", &to], more].concat());
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    }

    fn entry(&self) -> serde_json::Value {
        let shown = self.daemon.command(&["quarantine", "show", &self.id, "--json"]);
        serde_json::from_slice(&shown.stdout).unwrap()
    }

    fn held(&self) -> Vec<String> {
        let entry = self.entry();
        entry["held"].as_array().unwrap().iter().map(|path| path["path"].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_over_lmtp_keeps_only_those_who_were_refused() {
    let held = Held::new().await;
    let hop = Hop::start_lmtp().await;
    hop.on(0, "END", say("250 2.0.0 a\r\n451 4.2.2 full\r\n250 2.0.0 e"));
    let (code, said) = held.release(&hop, &[]);
    assert!(said.contains("4.2.2 full"), "{code} {said}");
    assert_eq!((held.entry()["state"].as_str(), held.held()), (Some("held"), vec!["<c@inside.test>".to_owned()]));
    let (code, said) = held.release(&hop, &[]);
    assert_eq!((code, held.entry()["state"].as_str()), (0, Some("released")), "{said}");
    let sent: Vec<Vec<String>> = hop.messages().into_iter().map(|message| message.recipients).collect();
    assert_eq!(sent[1], ["<c@inside.test>"]);
    assert_eq!((sent.len(), sent[0].len()), (2, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_every_recipient_refuses_is_none() {
    let held = Held::new().await;
    let hop = Hop::start_lmtp().await;
    hop.always("END", say("550 5.2.1 a\r\n451 4.2.2 full\r\n550 5.2.1 e"));
    let (code, said) = held.release(&hop, &[]);
    assert_eq!((code, held.held().len()), (75, 3), "{said}");
    assert_eq!(held.entry()["state"], "held");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_lost_between_replies_asks_a_person_about_the_rest_only() {
    let held = Held::new().await;
    let hop = Hop::start_lmtp().await;
    hop.on(0, "END", Act::SayAndClose("250 2.0.0 a\r\n550 5.2.1 c".to_owned()));
    let (code, said) = held.release(&hop, &[]);
    assert!(code == 69 && said.contains("--again"), "{code} {said}");
    assert_eq!(held.held(), ["<c@inside.test>", "<e@inside.test>"], "never again to the first");
    assert_eq!(held.release(&hop, &[]).0, 69, "not without a person");
    assert_eq!(hop.messages().len(), 1);
    let (code, said) = held.release(&hop, &["--again"]);
    assert_eq!((code, hop.messages()[1].recipients.len()), (0, 2), "{said}");

    let held = Held::new().await;
    let hop = Hop::start_lmtp().await;
    hop.on(0, "END", Act::SayAndClose("250 2.0.0 a\r\n550 5.2.1 c".to_owned()));
    held.release(&hop, &[]);
    assert_eq!(held.release(&hop, &["--done"]).0, 0);
    assert_eq!((held.entry()["state"].as_str(), held.held()), (Some("held"), vec!["<c@inside.test>".to_owned()]));
}
