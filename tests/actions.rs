//! Every action in every mode, alone and mixed, seen from outside: what the client is told, who gets which
//! version of the message, and whose copy is held.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::common::client::Client;
use super::common::daemon::Daemon;
use super::common::free_port;
use super::common::milter::{ALL, Mta};
use super::common::samples::{macro_document, with_files};
use super::common::station::Station;

/// How mail reaches the daemon.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    /// The kind of the listener, its mode, and whether the next hop speaks LMTP.
    Proxy(&'static str, &'static str, bool),
    Milter,
}

const ONE_REPLY: [Mode; 3] =
    [Mode::Proxy("smtp", "before-queue", false), Mode::Proxy("smtp", "after-queue", false), Mode::Milter];
const REPLY_EACH: [Mode; 3] = [
    Mode::Proxy("lmtp", "before-queue", true),
    Mode::Proxy("lmtp", "before-queue", false),
    Mode::Proxy("lmtp", "after-queue", true),
];

/// One rule for each action; the recipient chooses it. Addresses of the next hop's moods pass.
fn rules(may_refuse: bool) -> String {
    let reject = if may_refuse { ("reject", "") } else { ("quarantine", "") };
    let rules = [
        ("tag", ("tag", "subject_prefix = \"[T]\"")),
        ("strip", ("strip", "")),
        ("stripped-later", ("strip", "")),
        ("hold", ("quarantine", "")),
        ("copied", ("quarantine", "copy_to = \"copy@soc.test\"")),
        ("redirect", ("redirect", "redirect_to = \"soc@soc.test\"")),
        ("astray", ("redirect", "redirect_to = \"gone@soc.test\"")),
        ("reject", reject),
        ("defer", ("defer", "")),
        ("discard", ("discard", "")),
    ];
    let rule = |(who, (action, more)): (&str, (&str, &str))| {
        format!(
            "[[rule]]\nname = \"{who}\"\nwhen.recipient = [\"{who}@a.test\", \"{who}@b.test\"]\naction = \"{action}\"\n{more}\n\n"
        )
    };
    let pass = "[[rule]]\nname = \"pass\"\naction = \"pass\"\n";
    rules.into_iter().map(rule).collect::<String>() + pass
}

/// A daemon in one of the modes, in front of a next hop.
struct Checkpoint {
    mode: Mode,
    daemon: Daemon,
    station: Station,
    entries: BTreeSet<PathBuf>,
}

impl Checkpoint {
    fn start(mode: Mode, more: &str) -> Self {
        let port = free_port();
        let (station, listener, refuses) = match mode {
            Mode::Proxy(kind, side, lmtp) => {
                let station = Station::start(lmtp);
                let listener = format!(
                    "kind = \"{kind}\"\nmode = \"{side}\"\nlisten = \"127.0.0.1:{port}\"\nnext_hop = \"127.0.0.1:{}\"\n{more}",
                    station.port()
                );
                (station, listener, side == "before-queue")
            }
            Mode::Milter => {
                let listener = format!("kind = \"milter\"\nlisten = \"127.0.0.1:{port}\"\n{more}");
                (Station::start(false), listener, true)
            }
        };
        let mut daemon = Daemon::of(port, &format!("[[listener]]\n{listener}\n\n"), &rules(refuses));
        daemon.start();
        Self { mode, daemon, station, entries: BTreeSet::new() }
    }

    /// Sends a message with a macro document; what became of it: the replies, then a letter for each
    /// recipient and for whoever else got something. `p`: as it came, `t`: tagged, `s`: stripped, `h`: held, `-`: nothing.
    fn send(&mut self, to: &[String]) -> String {
        let document = macro_document();
        let message = with_files("a document", &[("invoice.docm", &document)]);
        let (replies, copies) = match self.mode {
            Mode::Proxy(kind, _, _) => {
                let replies = by_smtp(self.daemon.port(), kind == "lmtp", to, &message);
                let copies = self.station.take();
                (replies, copies.into_iter().map(|copy| (copy.to, copy.text)).collect())
            }
            Mode::Milter => by_milter(self.daemon.port(), to, &message),
        };
        let held = self.newly_held();
        let mut words: Vec<String> = replies.iter().map(u16::to_string).collect();
        let mut copies: Vec<(String, String)> = copies;
        for recipient in to {
            let mut word = String::new();
            while let Some(at) = copies.iter().position(|(to, _)| to == recipient) {
                word.push(version(&copies.remove(at).1));
            }
            if held.contains(recipient) {
                word.push('h');
            }
            words.push(if word.is_empty() { "-".to_owned() } else { word });
        }
        words.extend(copies.iter().map(|(to, text)| format!("{}:{}", to.replace("@soc.test", ""), version(text))));
        words.join(" ")
    }

    /// The recipients of the entries that were not there before.
    fn newly_held(&mut self) -> Vec<String> {
        let files = fs::read_dir(self.daemon.state().join("quarantine")).expect("the quarantine").flatten();
        let entries = files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|e| e == "json"));
        let mut held = Vec::new();
        for path in entries.collect::<Vec<_>>() {
            if self.entries.insert(path.clone()) {
                let entry: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
                for recipient in entry["held"].as_array().unwrap() {
                    held.push(recipient["path"].as_str().unwrap().trim_matches(['<', '>']).to_owned());
                }
            }
        }
        held
    }
}

/// Which version of the message this is; every one is marked as ours, and none is more than one of them.
fn version(text: &str) -> char {
    assert!(text.starts_with("X-Sekisho-Verdict: malicious"), "{text}");
    let (tagged, whole) = (text.contains("Subject: [T] "), text.contains("\"invoice.docm\""));
    let notice = text.contains("invoice.docm.txt");
    assert_eq!(text.contains("X-Sekisho-Verdict: malicious; stripped\r\n"), notice, "{text}");
    match (tagged, whole, notice) {
        (false, true, false) => 'p',
        (true, true, false) => 't',
        (false, false, true) => 's',
        _ => panic!("a version that no rule makes:\n{text}"),
    }
}

fn by_smtp(port: u16, lmtp: bool, to: &[String], message: &[u8]) -> Vec<u16> {
    let mut client = Client::connect(port).expect("a session");
    let hello = if lmtp { "LHLO" } else { "EHLO" };
    assert_eq!(client.command(&format!("{hello} client.test")).unwrap().code, 250);
    assert_eq!(client.command("MAIL FROM:<sender@outside.test>").unwrap().code, 250);
    let mut accepted = 0;
    for to in to {
        accepted += usize::from(client.command(&format!("RCPT TO:<{to}>")).unwrap().code == 250);
    }
    let data = client.command("DATA").unwrap();
    if data.code != 354 {
        return vec![data.code];
    }
    let first = client.content(message).unwrap().code;
    let rest = if lmtp { accepted - 1 } else { 0 };
    let replies = std::iter::once(first).chain((0..rest).map(|_| client.reply().unwrap().code)).collect();
    assert_eq!(client.command("QUIT").unwrap().code, 221);
    replies
}

/// Asks the milter, and does with the message what it says, as an MTA would.
fn by_milter(port: u16, to: &[String], message: &[u8]) -> (Vec<u16>, Vec<(String, String)>) {
    let mut mta = Mta::tcp(([127, 0, 0, 1], port).into()).expect("the milter");
    mta.negotiate(6, ALL);
    mta.client("client.test", "192.0.2.9", "client.test");
    let paths: Vec<String> = to.iter().map(|to| format!("<{to}>")).collect();
    mta.envelope("4ABC", "<sender@outside.test>", &paths.iter().map(String::as_str).collect::<Vec<_>>());
    let answer = mta.content(message);
    let (word, changes) = answer.split_last().expect("a last word");
    let code = match word.0 {
        b'a' | b'd' => 250,
        b't' => 451,
        b'y' => String::from_utf8_lossy(&word.1)[..3].parse().unwrap(),
        other => panic!("{}", char::from(other)),
    };
    mta.send(b'A', b"");
    mta.send(b'Q', b"");
    assert!(mta.is_closed());
    if word.0 != b'a' {
        assert!(changes.is_empty(), "changes to a message that does not go on");
        return (vec![code], Vec::new());
    }
    let (mut to, mut text) = (to.to_vec(), String::from_utf8_lossy(message).into_owned());
    let mut body = String::new();
    for (letter, data) in changes {
        let strings: Vec<String> =
            data.split(|octet| *octet == 0).map(|s| String::from_utf8_lossy(s).into_owned()).collect();
        let path = strings[0].trim_matches(['<', '>']).to_owned();
        match letter {
            b'-' => to.retain(|recipient| *recipient != path),
            b'+' => to.push(path),
            b'b' => body.push_str(&String::from_utf8_lossy(data)),
            b'i' => {
                let fields: Vec<String> =
                    data[4..].split(|octet| *octet == 0).map(|s| String::from_utf8_lossy(s).into_owned()).collect();
                text.insert_str(0, &format!("{}:{}\r\n", fields[0], spaced(&fields[1])));
            }
            b'm' => {
                let fields: Vec<String> =
                    data[4..].split(|octet| *octet == 0).map(|s| String::from_utf8_lossy(s).into_owned()).collect();
                assert_eq!(fields[0], "Subject");
                text = text.replace("Subject: a document", &format!("Subject:{}", spaced(&fields[1])));
            }
            other => panic!("{}", char::from(*other)),
        }
    }
    if !body.is_empty() {
        let header = text.split("\r\n\r\n").next().unwrap().to_owned();
        text = format!("{header}\r\n\r\n{body}");
    }
    (vec![code], to.into_iter().map(|to| (to, text.clone())).collect())
}

/// A value behind its colon.
fn spaced(value: &str) -> String {
    if value.starts_with(' ') { value.to_owned() } else { format!(" {value}") }
}

/// The recipients of a pair of actions.
fn pair(letters: &str) -> Vec<String> {
    let address = |(letter, domain): (char, &str)| {
        let who = match letter {
            'p' => "pass",
            't' => "tag",
            's' => "strip",
            'q' => "hold",
            '>' => "redirect",
            'r' => "reject",
            'd' => "defer",
            'x' => "discard",
            'L' => "later",
            'N' => "never",
            'G' => "gone",
            'C' => "copied",
            'A' => "astray",
            _ => panic!("{letter}"),
        };
        format!("{who}@{domain}")
    };
    letters.chars().zip(["a.test", "b.test"]).map(address).collect()
}

#[test]
fn every_pair_of_actions_where_one_reply_stands_for_all() {
    for mode in ONE_REPLY {
        let mut checkpoint = Checkpoint::start(mode, "");
        for (actions, expected) in [
            ("p", "250 p"),
            ("pp", "250 p p"),
            ("pt", "250 p h"),
            ("ps", "250 p h"),
            ("pq", "250 p h"),
            ("p>", "250 p - soc:p"),
            ("pr", "250 p h"),
            ("pd", "451 - -"),
            ("px", "250 p -"),
            ("t", "250 t"),
            ("tt", "250 t t"),
            ("ts", "250 t h"),
            ("tq", "250 t h"),
            ("t>", "250 t h"),
            ("tr", "250 t h"),
            ("td", "451 - -"),
            ("tx", "250 t -"),
            ("s", "250 sh"),
            ("ss", "250 sh sh"),
            ("sq", "250 sh h"),
            ("s>", "250 sh h"),
            ("sr", "250 sh h"),
            ("sd", "451 - -"),
            ("sx", "250 sh -"),
            ("q", "250 h"),
            ("qq", "250 h h"),
            ("q>", "250 h - soc:p"),
            ("qr", "250 h h"),
            ("qd", "451 - -"),
            ("qx", "250 h -"),
            (">", "250 - soc:p"),
            (">>", "250 - - soc:p"),
            (">r", "250 - h soc:p"),
            (">d", "451 - -"),
            (">x", "250 - - soc:p"),
            ("r", "554 -"),
            ("rr", "554 - -"),
            ("rd", "451 - -"),
            ("rx", "250 h -"),
            ("d", "451 -"),
            ("dd", "451 - -"),
            ("dx", "451 - -"),
            ("x", "250 -"),
            ("xx", "250 - -"),
            ("C", "250 h copy:p"),
            ("Cp", "250 h p copy:p"),
        ] {
            // Behind the queue nothing is rejected: the configuration would not be taken.
            let expected = match (mode, actions) {
                (Mode::Proxy(_, "after-queue", _), "r") => "250 h",
                (Mode::Proxy(_, "after-queue", _), "rr") => "250 h h",
                _ => expected,
            };
            assert_eq!(checkpoint.send(&pair(actions)), expected, "{actions} {mode:?}");
        }
    }
}

#[test]
fn every_pair_of_actions_where_each_recipient_has_a_reply() {
    for mode in REPLY_EACH {
        let mut checkpoint = Checkpoint::start(mode, "");
        let refuses = mode != REPLY_EACH[2];
        for (actions, expected) in [
            ("pp", "250 250 p p"),
            ("pt", "250 250 p h"),
            ("ps", "250 250 p h"),
            ("pq", "250 250 p h"),
            ("p>", "250 250 p - soc:p"),
            ("pr", "250 554 p -"),
            ("pd", "250 451 p -"),
            ("px", "250 250 p -"),
            ("td", "250 451 t -"),
            ("tr", "250 554 t -"),
            ("ss", "250 250 sh sh"),
            ("sd", "250 451 sh -"),
            ("sr", "250 554 sh -"),
            ("sx", "250 250 sh -"),
            ("qd", "250 451 h -"),
            ("qr", "250 554 h -"),
            (">d", "250 451 - - soc:p"),
            (">r", "250 554 - - soc:p"),
            (">>", "250 250 - - soc:p"),
            ("rr", "554 554 - -"),
            ("rd", "554 451 - -"),
            ("rx", "554 250 - -"),
            ("dd", "451 451 - -"),
            ("dx", "451 250 - -"),
            ("xx", "250 250 - -"),
            ("Cd", "250 451 h - copy:p"),
        ] {
            let expected = if refuses { expected.to_owned() } else { held_not_refused(actions, expected) };
            assert_eq!(checkpoint.send(&pair(actions)), expected, "{actions} {mode:?}");
        }
    }
}

/// What is expected where a rejection becomes a hold.
fn held_not_refused(actions: &str, expected: &str) -> String {
    let mut words: Vec<&str> = expected.split(' ').collect();
    for (index, _) in actions.char_indices().filter(|(_, action)| *action == 'r') {
        words[index] = "250";
        words[index + 2] = "h";
    }
    words.join(" ")
}

#[test]
fn what_the_next_hop_refuses_decides_for_all_where_one_reply_does() {
    for mode in &ONE_REPLY[..2] {
        let mut checkpoint = Checkpoint::start(*mode, "");
        for (actions, expected) in [
            ("L", "451 -"),
            ("Lp", "451 - -"),
            ("Lq", "451 - -"),
            ("Lx", "451 - -"),
            ("N", "550 -"),
            ("Np", "550 - -"),
            ("Nq", "550 - h"),
            ("Gp", "250 - p"),
            ("Gq", "250 - h"),
            ("G", "503 -"),
            ("A", "451 -"),
            ("Ap", "451 - -"),
            ("Aq", "451 - -"),
        ] {
            assert_eq!(checkpoint.send(&pair(actions)), expected, "{actions} {mode:?}");
        }
    }
    let mut checkpoint = Checkpoint::start(ONE_REPLY[0], "refusals = \"all-or-none\"\n");
    assert_eq!(checkpoint.send(&pair("Gp")), "550 - -");
    assert_eq!(checkpoint.send(&pair("pq")), "250 p h");
}

#[test]
fn what_the_next_hop_refuses_is_each_recipients_own_where_each_has_a_reply() {
    let mut checkpoint = Checkpoint::start(REPLY_EACH[0], "");
    for (actions, expected) in [
        ("Lp", "451 250 - p"),
        ("Lq", "451 250 - h"),
        ("Np", "550 250 - p"),
        ("Nq", "550 250 - h"),
        ("NL", "550 451 - -"),
        ("Gp", "250 - p"),
    ] {
        assert_eq!(checkpoint.send(&pair(actions)), expected, "{actions}");
    }
}

#[test]
fn a_messages_entry_of_a_milter_is_unconfirmed_until_the_mta_went_on() {
    let mut checkpoint = Checkpoint::start(Mode::Milter, "");
    let message = with_files("a document", &[("invoice.docm", &macro_document())]);
    let states = |daemon: &Daemon| {
        let list = daemon.command(&["quarantine", "list", "--json"]);
        let text = String::from_utf8_lossy(&list.stdout).into_owned();
        ["unconfirmed", "held"].map(|state| text.matches(&format!("\"state\":\"{state}\"")).count())
    };
    let begin = || {
        let mut mta = Mta::tcp(([127, 0, 0, 1], checkpoint.daemon.port()).into()).expect("the milter");
        mta.negotiate(6, ALL);
        mta.envelope("4ABC", "<sender@outside.test>", &["<hold@a.test>"]);
        assert_eq!(mta.content(&message).last().map(|frame| frame.0), Some(b'd'));
        mta
    };
    let mut first = begin();
    assert_eq!(states(&checkpoint.daemon), [1, 0]);
    first.send(b'A', b"");
    super::common::wait_for("the confirmation", super::common::milter::PATIENCE, || {
        states(&checkpoint.daemon) == [0, 1]
    });
    drop(first);
    // This one goes away without a word.
    drop(begin());
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(states(&checkpoint.daemon), [1, 1]);
    checkpoint.daemon.kill();
    checkpoint.daemon.start();
    assert_eq!(states(&checkpoint.daemon), [1, 1], "a crash confirms nothing");
}

#[test]
fn a_milter_can_leave_holding_to_the_mta() {
    let mut checkpoint = Checkpoint::start(Mode::Milter, "hold_in = \"mta\"\n");
    let message = with_files("a document", &[("invoice.docm", &macro_document())]);
    let forged = [&b"X-Sekisho-Verdict: clean\r\n"[..], &message].concat();
    let mut mta = Mta::tcp(([127, 0, 0, 1], checkpoint.daemon.port()).into()).expect("the milter");
    mta.negotiate(6, ALL);
    mta.envelope("4ABC", "<sender@outside.test>", &["<hold@a.test>"]);
    let answer = mta.content(&forged);
    // Who lets it go in the MTA delivers it: the forged field goes, ours come.
    assert_eq!(answer.iter().map(|frame| frame.0).collect::<Vec<_>>(), b"miiiqa");
    assert!(checkpoint.newly_held().is_empty());
    // Only some copies: then ours is the only place.
    assert_eq!(checkpoint.send(&pair("pq")), "250 p h");
    // An MTA that cannot hold.
    let mut mta = Mta::tcp(([127, 0, 0, 1], checkpoint.daemon.port()).into()).expect("the milter");
    mta.negotiate(6, (0x1f, ALL.1));
    mta.envelope("4ABC", "<sender@outside.test>", &["<hold@b.test>"]);
    assert_eq!(mta.content(&message).last().map(|frame| frame.0), Some(b'd'));
    assert_eq!(checkpoint.newly_held(), ["hold@b.test"]);
}

#[test]
fn an_mta_that_does_not_let_us_is_told_to_try_again() {
    let mut checkpoint = Checkpoint::start(Mode::Milter, "");
    let message = with_files("a document", &[("invoice.docm", &macro_document())]);
    // Without adding fields, changing fields, changing the body, deleting recipients.
    for (offered, to) in [
        (0x1ff & !0x01, vec!["<pass@a.test>"]),
        (0x1ff & !0x10, vec!["<tag@a.test>"]),
        (0x1ff & !0x02, vec!["<strip@a.test>"]),
        (0x1ff & !0x08, vec!["<pass@a.test>", "<hold@b.test>"]),
        (0x1ff & !0x04, vec!["<redirect@a.test>"]),
    ] {
        let mut mta = Mta::tcp(([127, 0, 0, 1], checkpoint.daemon.port()).into()).expect("the milter");
        mta.negotiate(6, (offered, ALL.1));
        mta.envelope("4ABC", "<sender@outside.test>", &to);
        let answer = mta.content(&message);
        assert_eq!(answer.len(), 1, "{to:?}");
        assert!(answer[0].0 == b'y' && answer[0].1.starts_with(b"451 4."), "{to:?}: {answer:?}");
        assert!(checkpoint.newly_held().iter().all(|held| !to.contains(&held.as_str())), "withdrawn");
    }
}
