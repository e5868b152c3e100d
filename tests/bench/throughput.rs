//! What scanning costs: `cargo bench --bench throughput [-- scan|proxy|milter|postfix|idle [MESSAGE]]`.
//! `MESSAGE` is a part of a message's name (`docm`): only these are measured. Only when asked for:
//! `isolation` (what scanning in workers adds), `hostile` (what honest mail feels of an attack),
//! `growth` (documents from 10 KB to 100 MB, by their code and by what lies beside it),
//! `soak [COUNT]` (nothing is lost, nothing grows; ends with 1 otherwise).
//!
//! Every message carries unique attachment bytes, so that no cache can answer. The proxy is measured
//! as a process of its own (`sekisho serve`), beside the same proxy with a handler that forwards
//! without looking ("off"), in one run on the same machine: compare by ratio.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use sekisho::config::Config;
use sekisho::knowledge::Knowledge;
use sekisho::limits::Limits;
use sekisho::scan::{Input, Stop, scan};
use sekisho::verdict::judge;

#[path = "../common/mod.rs"]
mod common;
#[path = "../ordeal/formats.rs"]
mod formats;
mod growth;
mod hostile;
mod isolation;
mod load;
mod messages;
mod milter;
mod postfix;
mod process;
mod soak;
mod wave;

use messages::Kind;
use process::Daemon;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let wanted = arguments.get(1).map_or("", String::as_str);
    match arguments.first().map(String::as_str) {
        // The daemon that is attacked, and its workers: the real one, with formats that do what a parser's fault would.
        Some("serve" | "worker") => return sekisho::cli::program::main(formats::all()),
        Some("isolation") => isolation::compare(),
        Some("hostile") => hostile::run(),
        Some("growth") => growth::run(),
        Some("soak") => return soak::run(wanted),
        Some("wave") => wave::run(),
        Some("relay") => process::relay(wanted),
        Some("scan") => scanning(wanted),
        Some("proxy") => proxy(wanted),
        Some("milter") => milters(wanted),
        Some("postfix") => postfix::compare(),
        Some("idle") => idle(),
        Some(other) => {
            panic!(
                "unknown benchmark `{other}`: scan, proxy, milter, postfix, idle, isolation, hostile, growth, soak or wave"
            )
        }
        None => {
            scanning("");
            proxy("");
            milters("");
            postfix::compare();
            idle();
        }
    }
    ExitCode::SUCCESS
}

/// Plain scanning on one thread.
fn scanning(wanted: &str) {
    println!("scanning, one thread, judged: messages as they arrive");
    println!(
        "{:<24} {:>8} {:>12} {:>10} {:>9} {:>9} {:>9}",
        "message", "bytes", "documents/s", "MB/s", "p50 ms", "p99 ms", "verdict"
    );
    for kind in Kind::small(wanted) {
        let count = if kind == Kind::Text { 4000 } else { 600 };
        let template = messages::Template::new(kind);
        let mut times = Vec::new();
        let (mut bytes, mut level) = (0, "");
        for number in 0..count {
            let message = template.message(number);
            bytes += message.len();
            let start = Instant::now();
            let report = scan(Input::message(message), &Limits::default(), &Knowledge::default(), &Stop::default());
            level = judge(&report).level.name();
            times.push(start.elapsed());
        }
        let total: Duration = times.iter().sum();
        times.sort();
        println!(
            "{:<24} {:>8} {:>12.0} {:>10.1} {:>9.3} {:>9.3} {:>9}",
            kind.name(),
            bytes / count,
            count as f64 / total.as_secs_f64(),
            bytes as f64 / 1e6 / total.as_secs_f64(),
            milliseconds(times[count / 2]),
            milliseconds(times[count * 99 / 100]),
            level
        );
    }
}

/// Through the proxy, scanning on and off, ten sessions and one.
fn proxy(wanted: &str) {
    println!("\nproxy, 10 sessions (CPU and memory are those of daemon and workers)");
    println!(
        "{:<24} {:>5} {:>10} {:>14} {:>9} {:>9} {:>9}",
        "message", "scan", "messages/s", "CPU s per 1000", "RSS MB", "p50 ms", "p99 ms"
    );
    let mut added = Vec::new();
    for kind in Kind::small(wanted) {
        let template = messages::Template::new(kind);
        let count = if kind == Kind::Text { 4000 } else { 1500 };
        let sink = load::Sink::start();
        let direct = load::run(sink.address(), &template, 200, 1);
        for scanning in [false, true] {
            let daemon = Daemon::start(scanning, sink.address());
            load::run(daemon.address(), &template, 50, 2);
            let before = daemon.cpu();
            let result = load::run(daemon.address(), &template, count, 10);
            let cpu = daemon.cpu() - before;
            println!(
                "{:<24} {:>5} {:>10.0} {:>14.2} {:>9.1} {:>9.2} {:>9.2}",
                kind.name(),
                if scanning { "on" } else { "off" },
                count as f64 / result.seconds,
                cpu * 1000.0 / count as f64,
                daemon.peak_rss_mb(),
                result.percentile(50),
                result.percentile(99)
            );
            let single = load::run(daemon.address(), &template, 200, 1);
            added.push((kind, scanning, direct.percentile(50), single.percentile(50)));
        }
    }
    println!("\nlatency at one session, median of connect to reply after the final dot");
    println!("{:<24} {:>5} {:>10} {:>12} {:>9}", "message", "scan", "direct ms", "through ms", "added ms");
    for (kind, scanning, direct, through) in added {
        println!(
            "{:<24} {:>5} {direct:>10.2} {through:>12.2} {:>9.2}",
            kind.name(),
            if scanning { "on" } else { "off" },
            through - direct
        );
    }
}

/// As a milter, over a Unix socket and TCP; "off" is the same server with a judge that accepts.
fn milters(wanted: &str) {
    println!("\nmilter (CPU and memory are those of daemon and workers)");
    println!(
        "{:<24} {:>5} {:>5} {:>10} {:>14} {:>9} {:>9} {:>9} {:>12}",
        "message", "over", "scan", "messages/s", "CPU s per 1000", "RSS MB", "p50 ms", "p99 ms", "1 session ms"
    );
    for kind in Kind::small(wanted).chain(Kind::large(wanted)) {
        let template = messages::Template::new(kind);
        let count = match kind {
            Kind::Text => 6000,
            Kind::Large => 100,
            _ => 1500,
        };
        for scanning in [false, true] {
            let daemon = Daemon::milter(scanning);
            for (over, endpoint) in ["unix", "tcp"].into_iter().zip(daemon.listening()) {
                milter::run(endpoint, &template, 50.min(count), 2);
                let before = daemon.cpu();
                let result = milter::run(endpoint, &template, count, 10);
                let cpu = daemon.cpu() - before;
                let single = milter::run(endpoint, &template, 200.min(count), 1);
                println!(
                    "{:<24} {over:>5} {:>5} {:>10.0} {:>14.2} {:>9.1} {:>9.2} {:>9.2} {:>12.2}",
                    kind.name(),
                    if scanning { "on" } else { "off" },
                    count as f64 / result.seconds,
                    cpu * 1000.0 / count as f64,
                    daemon.peak_rss_mb(),
                    result.percentile(50),
                    result.percentile(99),
                    single.percentile(50)
                );
            }
        }
    }
}

/// Memory of a daemon that has nothing to do.
fn idle() {
    let sink = load::Sink::start();
    let daemon = Daemon::start(true, sink.address());
    std::thread::sleep(Duration::from_secs(1));
    println!("\nidle: {:.1} MB resident", daemon.rss_mb());
    let _ = Config::default();
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
