//! The whole line on the running daemon where recipients differ: who gets the message, whose copy is
//! held, and what the next hop's answer means for both.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::common::client::{eicar, letter, send};
use crate::common::daemon::Daemon;
use crate::common::free_port;

/// A next hop with a fixed answer to the final dot. Records the recipients of each message it took.
struct Hop {
    port: u16,
    taken: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Hop {
    fn start(to_the_dot: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&taken);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let record = Arc::clone(&record);
                std::thread::spawn(move || serve(stream, to_the_dot, &record));
            }
        });
        Self { port, taken }
    }

    fn taken(&self) -> Vec<Vec<String>> {
        self.taken.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, to_the_dot: &str, taken: &Mutex<Vec<Vec<String>>>) -> std::io::Result<()> {
    let mut output = stream.try_clone()?;
    let mut lines = BufReader::new(stream).lines();
    output.write_all(b"220 hop\r\n")?;
    let mut recipients = Vec::new();
    while let Some(line) = lines.next() {
        let line = line.unwrap_or_default();
        let reply = match line.get(..4).unwrap_or_default().to_ascii_uppercase().as_str() {
            "RCPT" if line.contains("refused@") => "550 5.1.1 no such user".to_owned(),
            "RCPT" => {
                recipients.push(line[9..line.len() - 1].to_owned());
                "250 2.1.5 ok".to_owned()
            }
            "MAIL" | "RSET" => {
                recipients.clear();
                "250 2.0.0 ok".to_owned()
            }
            "DATA" => {
                output.write_all(b"354 go on\r\n")?;
                if to_the_dot == "hang up" {
                    return Ok(());
                }
                let whole = lines.by_ref().map_while(Result::ok).any(|line| line == ".");
                if whole && to_the_dot.starts_with('2') {
                    taken.lock().unwrap().push(recipients.clone());
                }
                to_the_dot.to_owned()
            }
            "QUIT" => return output.write_all(b"221 bye\r\n"),
            _ => "250 ok".to_owned(),
        };
        output.write_all(format!("{reply}\r\n").as_bytes())?;
    }
    Ok(())
}

/// Rules that give each local part its own fate.
const RULES: &str = r#"
[[rule]]
name = "held"
when.recipient = "held@*"
action = "quarantine"

[[rule]]
name = "rejected"
when.recipient = "rejected@*"
action = "reject"
reply = "550 5.7.1 not here ({id})"

[[rule]]
name = "deferred"
when.recipient = "deferred@*"
action = "defer"

[[rule]]
name = "tagged"
when.recipient = "tagged@*"
action = "tag"
subject_prefix = "[T] "
"#;

fn daemon(mode: &str, next_hop: u16, rules: &str) -> Daemon {
    let mut daemon = Daemon::with(mode, free_port(), next_hop, rules);
    daemon.start();
    daemon
}

/// What became of one letter.
struct Outcome {
    code: u16,
    /// The recipients of each copy that the next hop took.
    taken: Vec<Vec<String>>,
    /// State and recipients of each held copy.
    held: Vec<(String, Vec<String>)>,
}

/// Sends one letter; what was replied, whom the next hop has it for, whose copies are held.
fn outcome(mode: &str, to_the_dot: &'static str, to: &[&str]) -> Outcome {
    let hop = Hop::start(to_the_dot);
    let rules = if mode == "after-queue" {
        RULES.replace("action = \"reject\"\nreply = \"550 5.7.1 not here ({id})\"", "action = \"quarantine\"")
    } else {
        RULES.to_owned()
    };
    let daemon = daemon(mode, hop.port, &rules);
    let reply = send(daemon.port(), "a@outside.test", to, &letter("one")).unwrap();
    let listed = daemon.command(&["quarantine", "list", "--json"]);
    let held = String::from_utf8(listed.stdout).unwrap();
    let held = held.lines().map(|line| {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        let recipients = entry["recipients"].as_array().unwrap().iter();
        let recipients = recipients.map(|path| path["path"].as_str().unwrap().trim_matches(['<', '>']).to_owned());
        (entry["state"].as_str().unwrap().to_owned(), recipients.collect())
    });
    let lines = daemon.messages();
    assert_eq!(lines.len(), 1, "exactly one line a message: {lines:?}");
    Outcome { code: reply.code, taken: hop.taken(), held: held.collect() }
}

fn check(mode: &str, to_the_dot: &'static str, to: &[&str], code: u16, delivered: &[&str], held: &[&str]) {
    let Outcome { code: got, taken, held: stored } = outcome(mode, to_the_dot, to);
    let context = format!("{mode}, {to_the_dot:?}, {to:?}");
    assert_eq!(got, code, "{context}");
    let wanted: Vec<Vec<String>> =
        if delivered.is_empty() { Vec::new() } else { vec![delivered.iter().map(|to| (*to).to_owned()).collect()] };
    assert_eq!(taken, wanted, "{context}");
    let wanted: Vec<(String, Vec<String>)> = if held.is_empty() {
        Vec::new()
    } else {
        vec![("held".to_owned(), held.iter().map(|to| (*to).to_owned()).collect())]
    };
    assert_eq!(stored, wanted, "{context}");
}

const OK: &str = "250 2.0.0 ok";

#[test]
fn each_recipient_has_one_fate() {
    check("before-queue", OK, &["b@x"], 250, &["b@x"], &[]);
    check("before-queue", OK, &["held@x"], 250, &[], &["held@x"]);
    check("before-queue", OK, &["b@x", "held@x", "c@x"], 250, &["b@x", "c@x"], &["held@x"]);
    check("before-queue", OK, &["rejected@x", "rejected@y"], 550, &[], &[]);
    check("before-queue", OK, &["rejected@x", "b@x"], 250, &["b@x"], &["rejected@x"]);
    check("before-queue", OK, &["b@x", "held@x", "deferred@x"], 451, &[], &[]);
    check("before-queue", OK, &["b@x", "c@x", "tagged@x"], 250, &["b@x", "c@x"], &["tagged@x"]);
    check("after-queue", OK, &["rejected@x", "b@x"], 250, &["b@x"], &["rejected@x"]);
}

#[test]
fn the_next_hops_answer_decides_about_a_pending_copy() {
    let to = ["b@x", "held@x"];
    check("before-queue", "451 4.3.0 later", &to, 451, &[], &[]);
    check("before-queue", "hang up", &to, 451, &[], &[]);
    // Refused for good: the sender is told, and the held copy stays, marked.
    check("before-queue", "554 5.6.0 never", &to, 554, &[], &["held@x"]);
}

#[test]
fn a_recipient_that_the_next_hop_refuses_costs_the_others_nothing() {
    let hop = Hop::start(OK);
    let daemon = daemon("before-queue", hop.port, RULES);
    let mut client = crate::common::client::Client::connect(daemon.port()).unwrap();
    for (line, code) in
        [("EHLO x", 250), ("MAIL FROM:<a@outside.test>", 250), ("RCPT TO:<refused@x>", 550), ("RCPT TO:<b@x>", 250)]
    {
        assert_eq!(client.command(line).unwrap().code, code, "{line}");
    }
    assert_eq!(client.command("DATA").unwrap().code, 354);
    assert_eq!(client.command("Subject: x\r\n\r\nbody\r\n.").unwrap().code, 250);
    assert_eq!(hop.taken(), [["b@x"]]);
}

#[test]
fn a_quarantine_that_cannot_be_written_defers_only_what_needs_it() {
    let hop = Hop::start(OK);
    let daemon = daemon("before-queue", hop.port, "");
    let folder = daemon.state().join("quarantine");
    std::fs::rename(&folder, daemon.state().join("gone")).unwrap();
    let reply = send(daemon.port(), "a@outside.test", &["b@x"], &eicar("held")).unwrap();
    assert_eq!(reply.code, 451, "{}", reply.text);
    assert!(reply.text.contains("4.3.1") && !reply.text.contains("EICAR"), "{}", reply.text);
    let log = daemon.log();
    assert!(
        log.contains("cannot be quarantined") && log.contains(folder.to_str().unwrap()),
        "the log says where: {log}"
    );
    assert!(daemon.get("/readyz").starts_with("HTTP/1.1 503"), "not ready");
    assert_eq!(send(daemon.port(), "a@outside.test", &["b@x"], &letter("clean")).unwrap().code, 250);
    assert_eq!(hop.taken(), [["b@x"]]);
}
