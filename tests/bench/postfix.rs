//! A real Postfix with and without filters: its own instance in a temporary folder, `smtp-source` in
//! front of it, `smtp-sink` behind it. Each filter has a port of its own, so that the rounds can
//! alternate, and what else the machine does meets all of them alike.

use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sekisho::config::Endpoint;

use crate::common::postfix::Postfix;
use crate::common::sink::Sink;
use crate::common::{free_port, require_tool, wait_for};
use crate::process::{self, Daemon};

const ROUNDS: usize = 5;
const MESSAGES: usize = 1000;
/// Octets of a message, as `smtp-source -l` counts them.
const SIZE: usize = 2048;

/// One way through Postfix.
struct Way {
    name: &'static str,
    port: u16,
    /// `smtpd_milters`; empty without a filter.
    milter: String,
    cpu: Cpu,
    rounds: Vec<Round>,
}

/// Whose processor time counts.
enum Cpu {
    Nobody,
    Ours(Daemon),
    /// Programs of these names, whoever started them.
    Programs(&'static [&'static str]),
}

struct Round {
    /// Until `smtp-source` had its last reply.
    accepted: f64,
    /// Until the queue was empty.
    delivered: f64,
    cpu: f64,
}

/// Runs `smtp-sink` until it is dropped.
struct NextHop(Child);

impl Drop for NextHop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn compare() {
    println!("\nPostfix, {ROUNDS} rounds of {MESSAGES} messages of {SIZE} octets, 10 sessions, one message each");
    if require_tool("smtp-source").is_none() || require_tool("smtp-sink").is_none() {
        return println!("not measured: install Postfix (Debian: apt-get install postfix)");
    }
    let first = Sink::start();
    let Some(postfix) = Postfix::start(&first) else { return println!("not measured: see above") };
    let next_hop = free_port();
    let sink = ["-u", "postfix", "-c", &format!("127.0.0.1:{next_hop}"), "200"].map(str::to_owned);
    let _next_hop = NextHop(Command::new("/usr/sbin/smtp-sink").args(sink).stdout(Stdio::null()).spawn().unwrap());
    let mut ways = ways();
    let [main, mut master] = postfix.configuration();
    for Way { port, milter, .. } in &ways {
        master += &format!("127.0.0.1:{port} inet n - n - - smtpd -o smtpd_milters={milter}\n");
    }
    postfix.restore(&[main, master]);
    postfix.set(&[&format!("default_transport = smtp:[127.0.0.1]:{next_hop}"), "milter_default_action = tempfail"]);
    for way in &mut ways {
        way.round(&postfix, MESSAGES / 4);
    }
    for _ in 0..ROUNDS {
        for way in &mut ways {
            let round = way.round(&postfix, MESSAGES);
            way.rounds.push(round);
        }
    }
    report(&ways);
}

fn ways() -> Vec<Way> {
    let way = |name, milter, cpu| Way { name, port: free_port(), milter, cpu, rounds: Vec::new() };
    let mut ways = vec![way("Postfix alone", String::new(), Cpu::Nobody)];
    for (name, scanning) in [("bare milter", false), ("sekisho", true)] {
        let daemon = Daemon::milter(scanning);
        let Some(Endpoint::Unix(socket)) = daemon.listening().first() else { panic!("a Unix socket") };
        std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o666)).unwrap();
        ways.push(way(name, format!("unix:{}", socket.display()), Cpu::Ours(daemon)));
    }
    if std::net::TcpStream::connect("127.0.0.1:11332").is_ok() {
        ways.push(way("rspamd", "inet:127.0.0.1:11332".to_owned(), Cpu::Programs(&["rspamd"])));
    } else {
        println!("rspamd: not measured, nothing listens on 127.0.0.1:11332");
    }
    let clamav = "/run/clamav/clamav-milter.ctl";
    if std::os::unix::net::UnixStream::connect(clamav).is_ok() {
        ways.push(way("clamav-milter", format!("unix:{clamav}"), Cpu::Programs(&["clamd", "clamav-milter"])));
    } else {
        println!("clamav-milter: not measured, nothing listens on {clamav}");
    }
    ways
}

impl Way {
    fn round(&mut self, postfix: &Postfix, messages: usize) -> Round {
        let before = self.cpu.used();
        let start = Instant::now();
        let status = Command::new("/usr/sbin/smtp-source")
            .args(["-s", "10", "-l", &SIZE.to_string(), "-m", &messages.to_string()])
            .args(["-f", "sender@outside.test", "-t", "rcpt@inside.test"])
            .arg(format!("127.0.0.1:{}", self.port))
            .status()
            .unwrap();
        assert!(status.success(), "{}: {}", self.name, postfix.log());
        let accepted = start.elapsed().as_secs_f64();
        wait_for("an empty queue", Duration::from_secs(60), || postfix.queued() == 0);
        let delivered = start.elapsed().as_secs_f64();
        Round { accepted, delivered, cpu: self.cpu.used() - before }
    }

    /// The middle one of the rounds.
    fn median(&self, of: impl Fn(usize, &Round) -> f64) -> f64 {
        let mut values: Vec<f64> = self.rounds.iter().enumerate().map(|(number, round)| of(number, round)).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }
}

impl Cpu {
    fn used(&self) -> f64 {
        match self {
            Cpu::Nobody => 0.0,
            Cpu::Ours(daemon) => daemon.cpu(),
            Cpu::Programs(names) => process::cpu_of_programs(names),
        }
    }
}

fn report(ways: &[Way]) {
    println!("{:<16} {:>10} {:>11} {:>8} {:>14}", "filter", "messages/s", "delivered/s", "ratio", "CPU s per 1000");
    let alone = &ways[0].rounds;
    let messages = MESSAGES as f64;
    for way in ways {
        println!(
            "{:<16} {:>10.0} {:>11.0} {:>8.2} {:>14.2}",
            way.name,
            way.median(|_, round| messages / round.accepted),
            way.median(|_, round| messages / round.delivered),
            way.median(|number, round| alone[number].accepted / round.accepted),
            way.median(|_, round| round.cpu * 1000.0 / messages)
        );
    }
    println!("ratio: messages/s to those of Postfix alone in the same round, the middle one of {ROUNDS}");
}
