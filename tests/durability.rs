//! Nothing that was acknowledged is lost, whenever the daemon is killed (invariant 1), with a real Postfix around it.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::client::{eicar, letter, send};
use crate::common::daemon::Daemon;
use crate::common::postfix::Postfix;
use crate::common::sink::Sink;
use crate::common::{PATIENCE, require_tool, wait_for};

const DOCS: &str = include_str!("../docs/postfix.md");
const FROM: &str = "sender@outside.test";

/// How hard a daemon's life is.
struct Load {
    /// Clients that send at the same time, without a pause.
    clients: usize,
    kills: u32,
    /// Milliseconds from the start to the next kill.
    life: std::ops::Range<u64>,
}

/// Short lives.
const OFTEN: Load = Load { clients: 4, kills: 50, life: 10..120 };
/// A busy server.
const BUSY: Load = Load { clients: 50, kills: 4, life: 1000..2500 };

/// What the clients have seen.
#[derive(Default)]
struct Account {
    /// Ids of messages that Postfix has said 250 to.
    acknowledged: Mutex<BTreeSet<String>>,
    /// Transactions that ended in any other way.
    refused: AtomicUsize,
    /// Of those, the ones whose end no reply told.
    unanswered: AtomicUsize,
    /// Deliveries from the queue to the daemon that a kill has cut.
    cut: usize,
    stop: AtomicBool,
}

#[test]
fn no_acknowledged_message_is_lost_before_the_queue() {
    let Some(seen) = kill_under_load("before-queue", &OFTEN) else { return };
    assert!(seen.refused.load(Ordering::Relaxed) > 0, "no kill hit a transaction: the test shows nothing");
}

#[test]
fn no_acknowledged_message_is_lost_behind_the_queue() {
    let Some(seen) = kill_under_load("after-queue", &OFTEN) else { return };
    assert!(seen.cut > 0, "no kill hit a delivery: the test shows nothing");
}

#[test]
fn no_acknowledged_message_is_lost_with_the_milter() {
    let Some(seen) = kill_under_load("milter", &OFTEN) else { return };
    assert!(seen.refused.load(Ordering::Relaxed) > 0, "no kill hit a transaction: the test shows nothing");
}

#[test]
fn no_acknowledged_message_is_lost_with_the_milter_and_behind_the_queue() {
    let Some(seen) = kill_under_load("milter+after-queue", &OFTEN) else { return };
    assert!(seen.refused.load(Ordering::Relaxed) > 0, "no kill hit a transaction: the test shows nothing");
}

#[test]
fn no_acknowledged_message_of_fifty_sessions_is_lost() {
    let Some(seen) = kill_under_load("milter+after-queue", &BUSY) else { return };
    assert!(seen.refused.load(Ordering::Relaxed) > 0, "no kill hit a transaction: the test shows nothing");
}

/// Kills the daemon again and again while clients send letters and test files, then looks for every message
/// that was acknowledged: at the sink, or in quarantine.
#[expect(clippy::print_stderr, reason = "the numbers are what one wants to see of this test")]
fn kill_under_load(recipe: &str, load: &Load) -> Option<Account> {
    let sink = Sink::start();
    let postfix = Postfix::start(&sink)?;
    postfix.prepare(DOCS, recipe);
    let mut daemon = postfix.daemon(recipe, "");
    daemon.start();
    postfix.apply(DOCS, recipe);
    let mut account = Account::default();
    std::thread::scope(|threads| {
        for client in 0..load.clients {
            let (account, port) = (&account, postfix.port());
            threads.spawn(move || send_until_stopped(client, port, account));
        }
        let _stop = StopOnDrop(&account.stop);
        let mut random = fastrand::Rng::with_seed(1047);
        for _ in 0..load.kills {
            std::thread::sleep(Duration::from_millis(random.u64(load.life.clone())));
            daemon.kill();
            daemon.start();
        }
    });
    postfix.drain(Duration::from_secs(180));
    let texts: Vec<String> = sink.mails().iter().map(crate::common::sink::Mail::text).collect();
    let (held, delivered) = (ids(&daemon.held()), ids(&texts));
    let twice = texts.len() - delivered.len();
    let acknowledged = account.acknowledged.lock().expect("the ids").clone();
    let lost: Vec<_> = acknowledged.iter().filter(|id| !held.contains(*id) && !delivered.contains(*id)).collect();
    assert!(lost.is_empty(), "{recipe}: lost {lost:?} of {}", acknowledged.len());
    let leaked: Vec<_> = delivered.iter().filter(|id| id.starts_with("eicar-")).collect();
    assert!(leaked.is_empty(), "{recipe}: delivered {leaked:?}");
    assert!(
        acknowledged.iter().any(|id| id.starts_with("eicar-"))
            && acknowledged.iter().any(|id| id.starts_with("clean-"))
    );
    account.cut = postfix.log().matches("lost connection with 127.0.0.1").count();
    let entries = daemon.entries();
    let unconfirmed = entries.iter().filter(|entry| entry["state"] == "unconfirmed").count();
    eprintln!(
        "{recipe}: {} clients, {} kills, {} acknowledged, {} refused, {} deliveries cut, {} delivered, {twice} of them twice, \
         {} held ({} entries, {unconfirmed} unconfirmed)",
        load.clients,
        load.kills,
        acknowledged.len(),
        account.refused.load(Ordering::Relaxed),
        account.cut,
        delivered.len(),
        held.len(),
        entries.len()
    );
    check_duplicates(recipe, &account, twice, &delivered, &held, unconfirmed);
    Some(account)
}

/// Nothing comes twice but for a kill in the window that is documented.
fn check_duplicates(
    recipe: &str,
    account: &Account,
    twice: usize,
    delivered: &BTreeSet<String>,
    held: &BTreeSet<String>,
    unconfirmed: usize,
) {
    // The clients send each message once: only the queue tries again, what a kill has cut.
    let window = if recipe.ends_with("after-queue") { account.cut } else { 0 };
    assert!(twice <= window, "{recipe}: {twice} came twice, {window} deliveries were cut");
    if !recipe.starts_with("milter") {
        return;
    }
    let acknowledged = account.acknowledged.lock().expect("the ids");
    let unanswered = account.unanswered.load(Ordering::Relaxed);
    assert_eq!(unanswered, 0, "{recipe}: Postfix answers, whatever its milter does");
    let told: Vec<_> = delivered.difference(&acknowledged).collect();
    assert!(told.is_empty(), "{recipe}: refused and delivered: {told:?}");
    // Held, and the sender is told to try again: the entry says that this can be.
    let again = held.difference(&acknowledged).count();
    assert!(again <= unconfirmed, "{recipe}: {again} held but refused, {unconfirmed} unconfirmed");
}

/// Ends the clients also when the killing thread panics; otherwise the scope would wait for them for ever.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn send_until_stopped(client: usize, port: u16, account: &Account) {
    for number in 0_u32.. {
        if account.stop.load(Ordering::Relaxed) {
            return;
        }
        let kind = if number % 3 == 0 { "eicar" } else { "clean" };
        let id = format!("{kind}-{client}-{number}-end");
        let content = if kind == "eicar" { eicar(&id) } else { letter(&id) };
        match send(port, FROM, &["u@inside.test"], &content) {
            Ok(reply) if reply.code == 250 => {
                account.acknowledged.lock().expect("the ids").insert(id);
            }
            // A failure of ours must never become a refusal for good.
            Ok(reply) => {
                assert_eq!(reply.code / 100, 4, "{id}: {}", reply.text);
                account.refused.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => {
                account.refused.fetch_add(1, Ordering::Relaxed);
                account.unanswered.fetch_add(1, Ordering::Relaxed);
            }
        }
        // Behind the queue Postfix takes mail faster than it can ever be filtered: the backlog stays testable.
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The ids in the Message-ID fields of these messages.
fn ids(messages: &[String]) -> BTreeSet<String> {
    let id = |text: &String| {
        let (_, behind) = text.split_once("Message-ID: <")?;
        Some(behind.split_once('@')?.0.to_owned())
    };
    messages.iter().filter_map(id).collect()
}

#[test]
fn a_held_message_is_on_disk_before_the_reply() {
    let Some(strace) = require_tool("strace") else { return };
    // Nobody forwards anything in this test, but the daemon wants somebody to talk to.
    let sink = Sink::start();
    let mut daemon = Daemon::new("before-queue", crate::common::free_port(), sink.port());
    let trace = daemon.folder().join("trace");
    let calls = "trace=write,pwrite64,writev,sendto,sendmsg,fsync,fdatasync,rename,renameat,renameat2";
    let mut command = Command::new(strace);
    // -D keeps the daemon our child: a kill meets it and not strace.
    command.args(["-D", "-f", "-y", "-s", "32", "-e", calls, "-o"]).arg(&trace).arg(crate::common::daemon::program());
    daemon.start_under(command);
    let reply = send(daemon.port(), FROM, &["u@inside.test"], &eicar("trace-1")).expect("a session");
    assert_eq!(reply.code, 250, "{}", reply.text);
    daemon.terminate();
    let read = || fs::read_to_string(&trace).unwrap_or_default();
    wait_for("the end of the trace", PATIENCE, || read().contains("+++ exited"));
    let order = check_order(&calls_of(&read()));
    assert_eq!(order, Ok(()), "{}", read());
}

/// A system call: when it began and ended (line numbers of the trace), what it was.
#[derive(Debug)]
struct Call {
    began: usize,
    ended: usize,
    text: String,
}

/// Reads strace's output; calls that another thread interrupted are put together again.
fn calls_of(trace: &str) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut unfinished: Vec<(String, usize, String)> = Vec::new();
    for (number, line) in trace.lines().enumerate() {
        let Some((pid, text)) = line.split_once(char::is_whitespace) else { continue };
        let text = text.trim_start();
        if let Some(begin) = text.strip_suffix("<unfinished ...>") {
            unfinished.push((pid.to_owned(), number, begin.trim_end().to_owned()));
        } else if text.starts_with("<... ") {
            let Some(place) = unfinished.iter().position(|(other, ..)| other == pid) else { continue };
            let (_, began, begin) = unfinished.remove(place);
            let end = text.split_once("resumed>").map_or("", |(_, end)| end);
            calls.push(Call { began, ended: number, text: format!("{begin}{end}") });
        } else {
            calls.push(Call { began: number, ended: number, text: text.to_owned() });
        }
    }
    calls
}

/// write(content) < fsync(content) < rename < fsync(folder) < "250" for the message.
fn check_order(calls: &[Call]) -> Result<(), String> {
    let last = |what: &str, matches: &dyn Fn(&str) -> bool| {
        let call = calls.iter().rev().find(|call| matches(&call.text) && !call.text.contains("= -1 "));
        call.ok_or_else(|| format!("no {what}"))
    };
    let is_sync = |text: &str| text.starts_with("fsync(") || text.starts_with("fdatasync(");
    let is_write = |text: &str| text.starts_with("write") || text.starts_with("pwrite64(");
    let said = |text: &str| text.starts_with("sendto(") || text.starts_with("write") || text.starts_with("sendmsg(");
    for suffix in [".eml", ".json"] {
        let (new, old) = (format!("{suffix}.new\""), format!("{suffix}\""));
        let in_file = |text: &str| text.contains(&format!("{suffix}.new>"));
        let written = last("write of the file", &|text| is_write(text) && in_file(text))?;
        let synced = last("fsync of the file", &|text| is_sync(text) && in_file(text))?;
        let renamed = last("rename of the file", &|text| {
            text.starts_with("rename") && text.contains(&new) && text.contains(&old)
        })?;
        let folder_synced = last("fsync of the folder", &|text| is_sync(text) && text.contains("/quarantine>"))?;
        // After the 354 there is one reply that begins with 250: the one to the final dot.
        let asked = last("354", &|text| said(text) && text.contains("\"354"))?;
        let reply = |call: &&Call| call.began > asked.began && said(&call.text) && call.text.contains("\"250");
        let replied = calls.iter().find(reply).ok_or("no reply")?;
        for pair in [written, synced, renamed, folder_synced, replied].windows(2) {
            if pair[0].ended >= pair[1].began {
                return Err(format!("{:?} must end before {:?} begins", pair[0], pair[1]));
            }
        }
    }
    Ok(())
}

#[test]
fn the_order_is_really_checked() {
    let good = "1 sendto(9<socket:[1]>, \"354 go on\\r\\n\", 9, 0, NULL, 0) = 9\n\
                2 write(5</s/quarantine/a.eml.new>, \"From\", 4) = 4\n2 fsync(5</s/quarantine/a.eml.new> <unfinished ...>\n\
                1 write(1</log>, \"x\", 1) = 1\n2 <... fsync resumed>) = 0\n\
                2 write(6</s/quarantine/a.json.new>, \"{\", 1) = 1\n2 fsync(6</s/quarantine/a.json.new>) = 0\n\
                2 rename(\"/s/quarantine/a.eml.new\", \"/s/quarantine/a.eml\") = 0\n\
                2 rename(\"/s/quarantine/a.json.new\", \"/s/quarantine/a.json\") = 0\n\
                2 fsync(7</s/quarantine>) = 0\n1 sendto(9<socket:[1]>, \"250 2.0.0 Ok\\r\\n\", 9, 0, NULL, 0) = 9\n";
    assert_eq!(check_order(&calls_of(good)), Ok(()));
    let lines: Vec<&str> = good.lines().collect();
    for (one, other) in [(1, 4), (4, 7), (6, 8), (8, 9), (9, 10)] {
        let mut bad = lines.clone();
        bad.swap(one, other);
        let order = check_order(&calls_of(&bad.join("\n")));
        assert!(order.is_err(), "lines {one} and {other} exchanged");
    }
    let without_sync = good.replace("2 fsync(7</s/quarantine>) = 0\n", "");
    assert_eq!(check_order(&calls_of(&without_sync)), Err("no fsync of the folder".to_owned()));
}
