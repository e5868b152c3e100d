//! What the wall costs: the same message scanned in this process and in a worker, by turns, one at a time;
//! and the memory of workers that have nothing to do (as root: they cannot be looked into otherwise).

use std::sync::Arc;
use std::time::{Duration, Instant};

use sekisho::config::Config;
use sekisho::formats;
use sekisho::knowledge::Knowledge;
use sekisho::limits::Limits;
use sekisho::message::Message;
use sekisho::metrics::Metrics;
use sekisho::scan::{Input, Stop, scan, scan_plain};
use sekisho::worker::nursery::Program;
use sekisho::worker::{Ended, Pace, Task, Workers};
use tokio_util::sync::CancellationToken;

use crate::common::daemon::Daemon;
use crate::common::ooxml::{self, Member};
use crate::common::process::{children, proportional_and_private_mb, resident_mb};
use crate::common::{free_port, soak};
use crate::load::{self, Run, Sink};
use crate::messages::{Kind, Template};

/// Budgets: of the median added per message, and of the pool that has nothing to do.
const ADDED_MS: f64 = 0.3;
const IDLE_MB: f64 = 15.0;

pub fn compare() {
    let small = ooxml::zip(&[Member { name: "list.txt", bytes: b"one\r\ntwo\r\n".to_vec() }]);
    let letter = Template::new(Kind::Text);
    println!(
        "\nisolation: in this process and in a worker by turns, one at a time (budget: {ADDED_MS} ms added, median)"
    );
    println!(
        "{:<24} {:>9} {:>9} {:>9} {:>9} {:>10} {:>10}",
        "message", "here p50", "here p99", "wall p50", "wall p99", "added p50", "added p99"
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    let _entered = runtime.enter();
    let config = Config::default();
    let metrics = Arc::new(Metrics::new());
    let memory = config.service.max_worker_memory;
    let workers = runtime.block_on(Workers::start(Program::own(), memory, 1, metrics)).expect("a worker");
    plain(&letter);
    pair("2 KB, small attachment", 1500, &runtime, &workers, &|number| {
        soak::with_file(&format!("n-{number}"), "list.zip", &soak::unique(&small, number))
    });
    for kind in Kind::small("").filter(|kind| *kind != Kind::Text) {
        let template = Template::new(kind);
        pair(kind.name(), 500, &runtime, &workers, &|number| template.message(number));
    }
    drop(workers);
    idle();
}

/// A letter does not go to a worker: what it costs to see that, against the scan of every format.
fn plain(template: &Template) {
    let (limits, knowledge) = (Limits::default(), Knowledge::default());
    let (mut all, mut without) = (Vec::new(), Vec::new());
    for number in 0..2000 {
        let message = template.message(number);
        let (octets, begun) = (message.clone(), Instant::now());
        drop(scan(Input::message(octets), &limits, &knowledge, &Stop::default()));
        all.push(begun.elapsed());
        let begun = Instant::now();
        assert!(scan_plain(formats::TABLE, Input::message(message), &limits, &knowledge).is_some());
        without.push(begun.elapsed());
    }
    print("2 KB text (no worker)", all, without);
}

fn pair(
    name: &str,
    count: usize,
    runtime: &tokio::runtime::Runtime,
    workers: &Arc<Workers>,
    message: &dyn Fn(usize) -> Vec<u8>,
) {
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for number in 0..count {
        let message = message(number);
        // Whoever comes second finds the caches warm.
        for turn in 0..2 {
            if (turn + number) % 2 == 0 {
                here.push(in_process(&message));
            } else {
                there.push(runtime.block_on(in_worker(workers, &message)));
            }
        }
    }
    print(name, here, there);
}

fn in_process(message: &[u8]) -> Duration {
    let (octets, begun) = (message.to_vec(), Instant::now());
    let report = scan(Input::message(octets), &Limits::default(), &Knowledge::default(), &Stop::default());
    let took = begun.elapsed();
    drop(report);
    took
}

async fn in_worker(workers: &Arc<Workers>, message: &[u8]) -> Duration {
    let message = Arc::new(Message::from_bytes(message.to_vec()));
    let (limits, knowledge, gone) = (Limits::default(), Knowledge::default(), CancellationToken::new());
    let begun = Instant::now();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    let task =
        Task { message: &message, limits: &limits, knowledge: &knowledge, deadline, pace: Pace::Prompt, gone: &gone };
    let ended = workers.scan(task).await.expect("a worker");
    let took = begun.elapsed();
    assert!(matches!(ended, Ended::Report(_)), "{ended:?}");
    took
}

fn print(name: &str, here: Vec<Duration>, there: Vec<Duration>) {
    let mut added: Vec<f64> =
        here.iter().zip(&there).map(|(here, there)| (there.as_secs_f64() - here.as_secs_f64()) * 1e3).collect();
    added.sort_by(f64::total_cmp);
    let (here, there) = (Run::new(0.0, here), Run::new(0.0, there));
    let median = added[added.len() / 2];
    println!(
        "{name:<24} {:>9.3} {:>9.3} {:>9.3} {:>9.3} {median:>10.3} {:>10.3}{}",
        here.percentile(50),
        here.percentile(99),
        there.percentile(50),
        there.percentile(99),
        there.percentile(99) - here.percentile(99),
        if median > ADDED_MS { "  ABOVE THE BUDGET" } else { "" }
    );
}

/// The pool of a daemon that was just started, and of one that has worked.
fn idle() {
    println!("\nidle pool (budget: {IDLE_MB} MB)");
    println!(
        "{:<24} {:>8} {:>10} {:>10} {:>10} {:>10}",
        "daemon", "workers", "PSS MB", "private MB", "RSS MB", "daemon MB"
    );
    let sink = Sink::start();
    let mut daemon = Daemon::with("before-queue", free_port(), sink.address().port(), "");
    daemon.start();
    let address = ([127, 0, 0, 1], daemon.port()).into();
    pool("just started", &daemon);
    load::run(address, &Template::new(Kind::Docx), 200, 4);
    load::run(address, &Template::new(Kind::Docm), 200, 4);
    pool("after 400 documents", &daemon);
}

fn pool(name: &str, daemon: &Daemon) {
    std::thread::sleep(Duration::from_secs(2));
    let workers = children(daemon.pid());
    let resident: f64 = workers.iter().map(|worker| resident_mb(*worker)).sum();
    let told: Option<Vec<(f64, f64)>> = workers.iter().map(|worker| proportional_and_private_mb(*worker)).collect();
    let sums = told.map(|told| told.iter().fold((0.0, 0.0), |sum, mb| (sum.0 + mb.0, sum.1 + mb.1)));
    let (pss, private) = sums.unwrap_or((f64::NAN, f64::NAN));
    println!(
        "{name:<24} {:>8} {pss:>10.1} {private:>10.1} {resident:>10.1} {:>10.1}{}",
        workers.len(),
        resident_mb(daemon.pid()),
        if pss > IDLE_MB { "  ABOVE THE BUDGET" } else { "" }
    );
}
