//! One network sends nothing but what is made to hurt, without pause; what honest clients feel of it.
//!
//! Phases with and without the attack take turns, so that whatever else the machine does concerns both.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use zip::write::SimpleFileOptions;

use crate::common::client::{Client, letter};
use crate::common::daemon::Daemon;
use crate::common::ooxml::{self, Member};
use crate::common::process::{children, descriptors, resident_mb};
use crate::common::{free_port, soak, wait_for};
use crate::load::{Run, Sink};
use crate::messages::{Kind, Template};

const ROUNDS: usize = 3;
const PHASE: Duration = Duration::from_secs(20);
const ATTACKERS: usize = 8;
/// Honest clients, each of another network, and the time between two messages of one: twenty a second in all.
const HONEST: usize = 12;
const PAUSE: Duration = Duration::from_millis(600);
/// Less than by default, so that more than two rounds of what hangs find room in a phase.
const LIMITS: &str = "[limits]\nmax_scan_time = \"5s\"\n";

/// What an honest client sends, and how long each took: by kind, without and with the attack.
type Times = BTreeMap<(&'static str, bool), Vec<Duration>>;

pub fn run() {
    println!(
        "\nhostile: {HONEST} honest networks, {:.0} messages a second in all; one network with {ATTACKERS} sessions of bombs, \
         hangs, hunger and overflows; {ROUNDS} x {} s without and with it",
        HONEST as f64 / PAUSE.as_secs_f64(),
        PHASE.as_secs()
    );
    let sink = Sink::start();
    let mut daemon = Daemon::with("before-queue", free_port(), sink.address().port(), LIMITS);
    daemon.start_under(Command::new(std::env::current_exe().expect("this program")));
    let (port, bombs, letters) = (daemon.port(), Bombs::new(), Letters::new());
    let (times, lost) = (Mutex::new(Times::new()), Mutex::new(Vec::new()));
    let (mut samples, attack) = (Vec::new(), Attack::default());
    // Nobody measures the first messages.
    phase(port, &letters, &Mutex::new(Times::new()), &lost, false, Duration::from_secs(3), &mut || {});
    for _ in 0..ROUNDS {
        phase(port, &letters, &times, &lost, false, PHASE, &mut || {});
        attack.over.store(false, Ordering::SeqCst);
        thread::scope(|scope| {
            for session in 0..ATTACKERS {
                let (attack, bombs) = (&attack, &bombs);
                scope.spawn(move || attack.go_on(port, session, bombs));
            }
            phase(port, &letters, &times, &lost, true, PHASE, &mut || samples.push(sample(daemon.pid())));
            attack.end();
        });
        wait_for("the end of the attack", Duration::from_secs(60), || {
            daemon.metric("sekisho_scans_running") == Some(0.0) && daemon.metric("sekisho_scans_waiting") == Some(0.0)
        });
    }
    report(&times.into_inner().expect("the times"), &lost.into_inner().expect("the lost"));
    println!("the attack: {}", attack.told());
    let tenth = samples.len().div_ceil(10).max(1);
    let mean =
        |samples: &[[f64; 4]], at: usize| samples.iter().map(|sample| sample[at]).sum::<f64>() / samples.len() as f64;
    let (first, last) = (&samples[..tenth], &samples[samples.len() - tenth..]);
    for (at, what) in
        ["daemon, MB resident", "daemon, descriptors", "workers, MB resident together", "workers"].iter().enumerate()
    {
        let most = samples.iter().map(|sample| sample[at]).fold(0.0, f64::max);
        println!(
            "{what:<30} first tenth {:>7.1}, last tenth {:>7.1}, most {most:>7.1}",
            mean(first, at),
            mean(last, at)
        );
    }
    for reason in ["timeout", "crash", "memory", "stack", "sandbox", "recycled"] {
        let ended = daemon.metric(&format!("sekisho_worker_restarts_total{{reason=\"{reason}\"}}"));
        print!("{reason} {} ", ended.unwrap_or_default());
    }
    println!("(workers replaced, by reason)");
}

fn sample(pid: u32) -> [f64; 4] {
    let workers = children(pid);
    let together = workers.iter().map(|worker| resident_mb(*worker)).sum();
    [resident_mb(pid), descriptors(pid) as f64, together, workers.len() as f64]
}

fn report(times: &Times, lost: &[String]) {
    println!(
        "{:<14} {:>7} {:>9} {:>9} {:>9} {:>9}   {:<9}",
        "honest mail", "attack", "messages", "p50 ms", "p99 ms", "max ms", ""
    );
    let mut all: BTreeMap<bool, Vec<Duration>> = BTreeMap::new();
    let line = |name: &str, attacked: bool, times: &[Duration]| {
        let run = Run::new(0.0, times.to_vec());
        println!(
            "{name:<14} {:>7} {:>9} {:>9.1} {:>9.1} {:>9.1}",
            if attacked { "with" } else { "without" },
            times.len(),
            run.percentile(50),
            run.percentile(99),
            run.percentile(100)
        );
        run.percentile(99)
    };
    for ((name, attacked), times) in times {
        line(name, *attacked, times);
        all.entry(*attacked).or_default().extend(times);
    }
    let p99: Vec<f64> = all.iter().map(|(attacked, times)| line("all", *attacked, times)).collect();
    if let [without, with] = p99.as_slice() {
        let ratio = with / without;
        println!("p99 of all: {ratio:.2} times{}", if ratio > 2.0 { "  ABOVE THE BUDGET of 2" } else { "" });
    }
    println!("honest messages lost or deferred: {}", lost.len());
    lost.iter().take(10).for_each(|why| println!("  {why}"));
}

/// Honest mail for a while.
fn phase(
    port: u16,
    letters: &Letters,
    times: &Mutex<Times>,
    lost: &Mutex<Vec<String>>,
    attacked: bool,
    lasts: Duration,
    look: &mut dyn FnMut(),
) {
    let begun = Instant::now();
    thread::scope(|scope| {
        for client in 0..HONEST {
            scope.spawn(move || {
                let mut due = begun + PAUSE.mul_f64(client as f64 / HONEST as f64);
                while due < begun + lasts {
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    let (kind, content) = letters.next(client);
                    match deliver(port, client, &content) {
                        // From when it should have gone, whoever came late because of the last one included.
                        Ok(250) => {
                            times.lock().expect("the times").entry((kind, attacked)).or_default().push(due.elapsed())
                        }
                        other => lost.lock().expect("the lost").push(format!("{kind}, attacked {attacked}: {other:?}")),
                    }
                    due += PAUSE;
                }
            });
        }
        while begun.elapsed() < lasts {
            look();
            thread::sleep(Duration::from_millis(250));
        }
    });
}

fn deliver(port: u16, client: usize, content: &[u8]) -> io::Result<u16> {
    let address = format!("203.{client}.113.7");
    let mut client = Client::connect(port)?;
    let reply = client.send_for(Some(&address), "sender@example.test", &["rcpt@example.test"], content)?;
    Ok(reply.code)
}

/// What honest people send.
struct Letters {
    docx: Template,
    docm: Vec<u8>,
    number: AtomicUsize,
}

impl Letters {
    fn new() -> Self {
        Self { docx: Template::new(Kind::Docx), docm: soak::honest_docm(), number: AtomicUsize::new(0) }
    }

    fn next(&self, client: usize) -> (&'static str, Vec<u8>) {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        match client % 3 {
            0 => ("letter", letter(&format!("honest-{number}"))),
            1 => ("100 KB docx", self.docx.message(number)),
            _ => ("docm", soak::with_file(&format!("honest-{number}"), "tool.docm", &soak::unique(&self.docm, number))),
        }
    }
}

/// What hurts.
struct Bombs {
    nested: Vec<u8>,
    many: Vec<u8>,
}

impl Bombs {
    fn new() -> Self {
        let mut writer = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
        writer.start_file("zeros.bin", options).expect("a member");
        io::copy(&mut io::Read::take(io::repeat(0), 400 << 20), &mut writer).expect("zeros");
        let inner = writer.finish().expect("an archive").into_inner();
        let nested = ooxml::zip(&[Member { name: "inner.zip", bytes: inner }]);
        let names: Vec<String> = (0..20_000).map(|number| format!("{number}.txt")).collect();
        let members: Vec<Member<'_>> =
            names.iter().map(|name| Member { name, bytes: b"<html>nothing</html>".to_vec() }).collect();
        Self { nested, many: ooxml::zip(&members) }
    }

    /// No two have the same content, so that none is known from before.
    fn message(&self, number: usize) -> Vec<u8> {
        let order = match number % 5 {
            0 => return soak::with_file(&format!("bomb-{number}"), "a.zip", &soak::unique(&self.nested, number)),
            1 => return soak::with_file(&format!("bomb-{number}"), "b.zip", &soak::unique(&self.many, number)),
            2 => "hang",
            3 => "memory",
            _ => "stack",
        };
        let octets = format!("SEKISHO-ORDEAL: {order}\r\n{number}\r\n");
        soak::with_file(&format!("bomb-{number}"), "c.bin", octets.as_bytes())
    }
}

/// The attacker's sessions.
#[derive(Default)]
struct Attack {
    over: AtomicBool,
    number: AtomicUsize,
    /// One for each session, to be hung up at the end.
    open: Mutex<BTreeMap<usize, TcpStream>>,
    replies: Mutex<BTreeMap<String, usize>>,
}

impl Attack {
    fn go_on(&self, port: u16, session: usize, bombs: &Bombs) {
        while !self.over.load(Ordering::SeqCst) {
            let number = self.number.fetch_add(1, Ordering::SeqCst);
            let reply = self.send(port, session, number, &bombs.message(number));
            if !self.over.load(Ordering::SeqCst) {
                let told = reply.unwrap_or_else(|error| error.kind().to_string());
                *self.replies.lock().expect("the replies").entry(told).or_default() += 1;
            }
        }
    }

    fn send(&self, port: u16, session: usize, number: usize, content: &[u8]) -> io::Result<String> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        self.open.lock().expect("the sessions").insert(session, stream.try_clone()?);
        if self.over.load(Ordering::SeqCst) {
            return Ok(String::new());
        }
        let mut input = BufReader::new(stream.try_clone()?);
        let mut output = stream;
        let address = format!("XFORWARD ADDR=198.51.100.{}\r\n", number % 250 + 1);
        for line in
            ["", "EHLO bomber.test\r\n", &address, "MAIL FROM:<b@bomber.test>\r\n", "RCPT TO:<rcpt@example.test>\r\n"]
        {
            output.write_all(line.as_bytes())?;
            reply(&mut input)?;
        }
        output.write_all(b"DATA\r\n")?;
        reply(&mut input)?;
        output.write_all(content)?;
        output.write_all(b".\r\n")?;
        reply(&mut input)
    }

    fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
        // A session that connects just now sees that it is over before it sends anything.
        for stream in self.open.lock().expect("the sessions").values() {
            // It may have been closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn told(&self) -> String {
        let replies = self.replies.lock().expect("the replies");
        let told: Vec<String> = replies.iter().map(|(reply, count)| format!("{reply}: {count}")).collect();
        format!("{} messages begun; replies {}", self.number.load(Ordering::SeqCst), told.join(", "))
    }
}

fn reply(input: &mut impl BufRead) -> io::Result<String> {
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(line.get(..3).unwrap_or_default().to_owned());
        }
    }
}
