//! Scanning in worker processes: what becomes of a message over which its worker dies, and of the others
//! meanwhile. The daemon is the program `ordeal`: the real one, with formats that do what a parser's fault would.

use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::client::{Client, letter, send};
use crate::common::daemon::Daemon;
use crate::common::process::children;
use crate::common::sink::Sink;
use crate::common::{PATIENCE, free_port, wait_for};
use crate::wall::ordeal;

const FROM: &str = "sender@outside.test";
const TO: &[&str] = &["user@example.test"];

/// A running daemon whose scans may take a second, and the sink behind it.
fn started(tables: &str) -> (Daemon, Sink) {
    let sink = Sink::start();
    let mut daemon = Daemon::with("before-queue", free_port(), sink.port(), tables);
    daemon.start_under(Command::new(ordeal()));
    (daemon, sink)
}

const QUICK: &str = "[limits]\nmax_scan_time = \"1s\"\nmax_worker_memory = \"256 MiB\"\n";

/// A message with an attachment that orders something; the number makes the content another one.
fn ordering(order: &str, number: usize) -> Vec<u8> {
    format!(
        "From: {FROM}\r\nTo: {}\r\nSubject: {order}-{number}\r\nMessage-ID: <{number}@outside.test>\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n--b\r\n\
         Content-Type: application/octet-stream; name=\"invoice.bin\"\r\n\
         Content-Disposition: attachment; filename=\"invoice.bin\"\r\n\r\nSEKISHO-ORDEAL: {order}\r\n{number}\r\n--b--\r\n",
        TO[0]
    )
    .into_bytes()
}

/// The processes of its workers now.
fn workers(daemon: &Daemon) -> Vec<Pid> {
    let pids = children(daemon.pid()).into_iter();
    pids.filter_map(|pid| Pid::from_raw(pid.try_into().ok()?)).collect()
}

/// Sends what kills a worker, three times, and says what was told of it: deferred twice, and then held.
fn dies_of(order: &str, evidence: &str, reason: &str) {
    let (daemon, sink) = started(QUICK);
    for attempt in 1..=3 {
        let reply = send(daemon.port(), FROM, TO, &ordering(order, 0)).expect("a reply");
        let expected = if attempt < 3 { 451 } else { 250 };
        assert_eq!(reply.code, expected, "attempt {attempt}: {reply:?}\n{}", daemon.log());
    }
    assert_eq!((sink.mails().len(), daemon.held().len()), (0, 1), "held, and not delivered");
    let line = daemon.messages().pop().expect("a line");
    let explanation = line["explanation"].as_str().expect("text").to_owned();
    assert!(explanation.contains("invoice.bin") && explanation.contains(evidence), "{explanation}");
    assert_eq!(line["complete"], false);
    // The fourth is held without a try.
    let ended = format!("sekisho_worker_restarts_total{{reason=\"{reason}\"}}");
    let before = daemon.metric(&ended);
    assert!(before.is_some_and(|count| count >= 3.0), "{ended} {before:?}");
    assert_eq!(send(daemon.port(), FROM, TO, &ordering(order, 0)).expect("a reply").code, 250);
    assert_eq!((daemon.held().len(), daemon.metric(&ended)), (2, before));
    // Others are not concerned.
    assert_eq!(send(daemon.port(), FROM, TO, &ordering("nothing", 1)).expect("a reply").code, 250);
    sink.wait_for("nothing-1");
}

#[test]
fn what_makes_a_worker_panic_is_a_fault_of_one_format() {
    let (daemon, _sink) = started(QUICK);
    let reply = send(daemon.port(), FROM, TO, &ordering("panic", 0)).expect("a reply");
    assert_eq!(reply.code, 451, "{reply:?}");
    let line = daemon.message_with("<0@outside.test>");
    assert!(line["explanation"].as_str().is_some_and(|text| text.contains("ordeal")), "{line}");
    assert_eq!(daemon.metric("sekisho_scan_errors_total{reason=\"panic\"}"), Some(1.0));
    assert_eq!(daemon.metric("sekisho_worker_restarts_total{reason=\"crash\"}"), Some(0.0), "no worker died");
}

#[test]
fn an_endless_loop_is_ended_and_the_third_time_held() {
    dies_of("hang", "max_scan_time", "timeout");
}

#[test]
fn a_stack_overflow_costs_a_worker_and_not_the_daemon() {
    dies_of("stack", "stack", "stack");
}

#[test]
fn hunger_for_memory_ends_at_the_limit() {
    dies_of("memory", "memory", "memory");
}

#[test]
fn an_abort_costs_a_worker() {
    dies_of("abort", "crash", "crash");
}

#[test]
fn a_worker_that_ends_by_itself_is_dead_all_the_same() {
    dies_of("exit", "crash", "crash");
}

#[test]
fn a_worker_that_tries_to_open_a_file_is_killed() {
    dies_of("open", "sandbox", "sandbox");
}

#[test]
fn a_worker_that_tries_to_connect_is_killed() {
    dies_of("connect", "sandbox", "sandbox");
}

#[test]
fn a_worker_that_tries_to_start_a_program_is_killed() {
    dies_of("exec", "sandbox", "sandbox");
}

#[test]
fn a_scan_that_is_slow_and_stops_when_told_keeps_its_worker() {
    let (daemon, _sink) = started(QUICK);
    let reply = send(daemon.port(), FROM, TO, &ordering("slow 600000", 0)).expect("a reply");
    assert_eq!(reply.code, 451, "{reply:?}");
    assert_eq!(daemon.metric("sekisho_scan_errors_total{reason=\"timeout\"}"), Some(1.0));
    assert_eq!(daemon.metric("sekisho_worker_restarts_total{reason=\"timeout\"}"), Some(0.0));
}

#[test]
fn a_worker_that_was_stopped_costs_a_delay_and_no_message() {
    let (daemon, sink) = started(QUICK);
    let stopped = workers(&daemon);
    assert!(!stopped.is_empty());
    for worker in &stopped {
        kill_process(*worker, Signal::STOP).expect("to stop it");
    }
    let reply = send(daemon.port(), FROM, TO, &ordering("nothing", 0)).expect("a reply");
    assert_eq!(reply.code, 250, "{reply:?}\n{}", daemon.log());
    sink.wait_for("nothing-0");
    assert_eq!(daemon.metric("sekisho_worker_restarts_total{reason=\"timeout\"}"), Some(1.0));
}

#[test]
fn workers_that_were_killed_while_idle_are_replaced_without_anybody_noticing() {
    let (daemon, sink) = started(QUICK);
    for round in 0..3 {
        for worker in workers(&daemon) {
            // It may be one that is dead already.
            let _ = kill_process(worker, Signal::KILL);
        }
        let reply = send(daemon.port(), FROM, TO, &ordering("nothing", round)).expect("a reply");
        assert_eq!(reply.code, 250, "{reply:?}\n{}", daemon.log());
        sink.wait_for(&format!("nothing-{round}"));
    }
}

#[test]
fn no_worker_outlives_a_daemon_that_was_killed() {
    let (mut daemon, _sink) = started("[limits]\nmax_scan_time = \"25s\"\n");
    let mut client = Client::connect(daemon.port()).expect("a session");
    let hangs = thread::spawn(move || client.send(FROM, TO, &ordering("hang", 0)));
    let busy = || daemon.metric("sekisho_scans_running") == Some(1.0);
    wait_for("the scan", PATIENCE, busy);
    let left = workers(&daemon);
    assert!(!left.is_empty());
    daemon.kill();
    let _ = hangs.join();
    let gone = |pid: &Pid| !PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero())).exists();
    wait_for("the end of the workers", PATIENCE, || left.iter().all(gone));
}

#[test]
fn letters_pass_while_every_worker_hangs() {
    let (daemon, sink) = started("[limits]\nmax_scan_time = \"10s\"\nmax_scans = 1\n");
    let port = daemon.port();
    let hangs = thread::spawn(move || send(port, FROM, TO, &ordering("hang", 0)));
    wait_for("the scan", PATIENCE, || daemon.metric("sekisho_scans_running") == Some(1.0));
    for number in 0..20 {
        let id = format!("letter-{number}");
        assert_eq!(send(port, FROM, TO, &letter(&id)).expect("a reply").code, 250);
        sink.wait_for(&id);
    }
    assert!(!hangs.is_finished(), "the letters came while it hung");
    assert_eq!(hangs.join().expect("the thread").expect("a reply").code, 451);
}

/// Sends content in the name of a client at `address`.
fn send_for(port: u16, address: &str, content: &[u8]) -> u16 {
    let mut client = Client::connect(port).expect("a session");
    client.send_for(Some(address), FROM, TO, content).expect("a reply").code
}

#[test]
fn one_network_that_sends_only_what_hangs_does_not_keep_others_waiting() {
    let (daemon, sink) = started("[limits]\nmax_scan_time = \"15s\"\nmax_scans = 2\n");
    let port = daemon.port();
    let attack = |number: usize| {
        thread::spawn(move || send_for(port, &format!("198.51.100.{number}"), &ordering("hang", number)))
    };
    let attackers: Vec<_> = (1..=4).map(attack).collect();
    let full =
        || daemon.metric("sekisho_scans_running") == Some(1.0) && daemon.metric("sekisho_scans_waiting") == Some(3.0);
    wait_for("half of the slots to be taken", PATIENCE, full);
    let begun = Instant::now();
    for number in 100..105 {
        assert_eq!(send_for(port, "203.0.113.7", &ordering("nothing", number)), 250);
        sink.wait_for(&format!("nothing-{number}"));
    }
    assert!(begun.elapsed() < Duration::from_secs(15), "nobody waited for a scan that hangs: {:?}", begun.elapsed());
    drop(daemon);
    for attacker in attackers {
        // Their sessions ended with the daemon.
        let _ = attacker.join();
    }
}

/// How many workers have the lowest priority.
fn patient(daemon: &Daemon) -> usize {
    let priority = |pid: &Pid| rustix::process::getpriority_process(Some(*pid)).ok();
    workers(daemon).iter().filter(|pid| priority(pid) == Some(19)).count()
}

#[test]
fn a_network_that_costs_much_makes_way_for_others_from_the_start() {
    let (daemon, sink) = started("[limits]\nmax_scan_time = \"3s\"\nmax_scans = 4\n");
    let port = daemon.port();
    let attack = |number: usize| send_for(port, "198.51.100.1", &ordering("hang", number));
    assert_eq!(send_for(port, "203.0.113.7", &ordering("nothing", 0)), 250);
    sink.wait_for("nothing-0");
    assert_eq!(patient(&daemon), 0);
    assert_eq!(attack(1), 451);
    assert_eq!(patient(&daemon), 0, "what hung is dead");
    // It would not be demoted for its own length: this ends at once.
    assert_eq!(send_for(port, "198.51.100.2", &ordering("nothing", 2)), 250);
    assert_eq!(patient(&daemon), 1, "its network owes three seconds");
    assert_eq!(send_for(port, "198.51.100.3", &ordering("nothing", 3)), 250);
    assert_eq!(patient(&daemon), 1, "the patient one is kept for such mail");
    assert_eq!(send_for(port, "203.0.113.7", &ordering("nothing", 4)), 250);
    assert_eq!(patient(&daemon), 1, "nobody else's mail is");
}

#[test]
fn more_than_may_wait_are_deferred_at_once() {
    let (daemon, _sink) = started("[limits]\nmax_scan_time = \"20s\"\nmax_scans = 1\nmax_waiting = 2\n");
    let port = daemon.port();
    let mut waiting = Vec::new();
    for (number, state) in [(1, (1.0, 0.0)), (2, (1.0, 1.0))] {
        waiting.push(thread::spawn(move || {
            Client::connect(port)
                .and_then(|mut client| client.send_for(Some("198.51.100.1"), FROM, TO, &ordering("hang", number)))
        }));
        let seen = || {
            daemon.metric("sekisho_scans_running") == Some(state.0)
                && daemon.metric("sekisho_scans_waiting") == Some(state.1)
        };
        wait_for("it to run or wait", PATIENCE, seen);
    }
    assert_eq!(send_for(port, "198.51.100.9", &ordering("nothing", 3)), 451, "its network has half of the places");
    assert_eq!(daemon.metric("sekisho_no_room_total{reason=\"share\"}"), Some(1.0));
    assert_eq!(send_for(port, "198.51.100.9", &letter("letter-4")), 250, "letters need no place");
    drop(daemon);
    for client in waiting {
        let _ = client.join();
    }
}

#[test]
fn a_client_that_goes_away_frees_its_scanner() {
    let (daemon, _sink) = started("[limits]\nmax_scan_time = \"25s\"\nmax_scans = 1\n");
    let port = daemon.port();
    let mut client = Client::connect(port).expect("a session");
    client.command("EHLO client.test").expect("a reply");
    for line in ["MAIL FROM:<a@outside.test>", "RCPT TO:<user@example.test>", "DATA"] {
        client.command(line).expect("a reply");
    }
    client.write(&ordering("slow 600000", 0)).expect("to write");
    client.write(b".\r\n").expect("to write");
    wait_for("the scan", PATIENCE, || daemon.metric("sekisho_scans_running") == Some(1.0));
    drop(client);
    wait_for("the end of the scan", PATIENCE, || daemon.metric("sekisho_scans_running") == Some(0.0));
    assert_eq!(send(port, FROM, TO, &ordering("nothing", 1)).expect("a reply").code, 250);
}

#[test]
fn the_daemon_says_what_walls_its_workers_in() {
    let (daemon, _sink) = started("");
    assert!(!workers(&daemon).is_empty());
    for worker in workers(&daemon) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", worker.as_raw_nonzero())).expect("its status");
        assert!(status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2"), "{status}");
    }
}
