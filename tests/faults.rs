//! Faults under load: whatever breaks, no message that was answered 250 is lost (invariant 1), in each mode, with a
//! real Postfix around the daemon. The numbers stand in `docs/reliability.md`.

#![expect(clippy::print_stderr, reason = "the numbers are what one wants to see, and what was skipped")]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use crate::common::bridge::{Break, Bridge};
use crate::common::daemon::{Daemon, program};
use crate::common::load::{Account, Kind, MIX, Sums};
use crate::common::postfix::Postfix;
use crate::common::sink::Sink;
use crate::common::{PATIENCE, require_tool, skip, wait_for};
use crate::wall::ordeal;

const RECIPES: &str = include_str!("../docs/postfix.md");
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reliability.md");
const MODES: [&str; 3] = ["milter", "before-queue", "after-queue"];
/// The rows of the page, in its order.
const FAULTS: [&str; 21] = [
    "daemon killed",
    "daemon stopped",
    "workers killed",
    "workers stopped",
    "panic",
    "endless loop",
    "stack overflow",
    "memory hunger",
    "abort",
    "forbidden system call",
    "other mail meanwhile",
    "disk of the spool full",
    "disk of the quarantine full",
    "errors of the spool's disk",
    "errors of the quarantine's disk",
    "no descriptors left",
    "next hop stalls",
    "next hop resets",
    "next hop closes",
    "clock a day ahead",
    "clock a day behind",
];
/// What makes a worker fail, and its row.
const ORDEALS: [(&str, &str); 6] = [
    ("panic", "panic"),
    ("hang", "endless loop"),
    ("stack", "stack overflow"),
    ("memory", "memory hunger"),
    ("abort", "abort"),
    ("open", "forbidden system call"),
];
/// Times that fit a test.
const SETTINGS: &str = "[limits]\nmax_scan_time = \"2s\"\nmax_worker_memory = \"512 MiB\"\nspool_min_free = \"0 B\"\n";
const TIMEOUTS: &str = "[timeouts]\nreply_deadline = \"15s\"\nconnect = \"2s\"\nnext_hop_command = \"2s\"\n\
                        next_hop_data = \"2s\"\nnext_hop_content = \"2s\"\nnext_hop_end = \"2s\"\n";

macro_rules! in_each_mode {
    ($($module:ident: $cells:expr;)*) => {$(
        mod $module {
            use super::*;
            #[test]
            fn with_the_milter() {
                run("milter", $cells);
            }
            #[test]
            fn before_the_queue() {
                run("before-queue", $cells);
            }
            #[test]
            fn behind_the_queue() {
                run("after-queue", $cells);
            }
        }
    )*};
}

in_each_mode! {
    nothing_is_lost_when_processes_die: processes;
    nothing_is_lost_when_a_format_fails: formats;
    nothing_is_lost_when_the_disk_fails: disks;
    nothing_is_lost_when_the_next_hop_or_the_clock_fails: outside;
}

/// How long each fault lasts at least.
fn lasting() -> Duration {
    let seconds = std::env::var("SEKISHO_FAULT_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs_f64(seconds.unwrap_or(1.0))
}

/// A Postfix with the filter in it, one fault after the other.
struct Yard {
    mode: &'static str,
    sink: Sink,
    postfix: Postfix,
    rows: Vec<(&'static str, Sums)>,
}

fn run(mode: &'static str, cells: fn(&mut Yard)) {
    let sink = Sink::start();
    let Some(postfix) = Postfix::start(&sink) else { return };
    postfix.prepare(RECIPES, mode);
    let mut daemon = postfix.daemon(mode, "");
    daemon.start();
    postfix.apply(RECIPES, mode);
    drop(daemon);
    let mut yard = Yard { mode, sink, postfix, rows: Vec::new() };
    cells(&mut yard);
    for (fault, sums) in &yard.rows {
        eprintln!("{}", row(fault, mode, sums));
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        update_page(mode, &yard.rows);
    }
}

/// One fault: a daemon, mail all the time, what goes wrong meanwhile, and the account.
struct Cell<'a> {
    yard: &'a mut Yard,
    /// File systems of its own, which go before the daemon's folder does.
    mounts: Vec<Mount>,
    daemon: Daemon,
    fault: &'static str,
    account: Account,
    /// How often something may come twice: the fault fell into the window of RFC 1047.
    window: usize,
    /// The way to the next hop, which knows how often it withheld a reply.
    bridge: Option<Bridge>,
}

impl Yard {
    fn cell(&mut self, fault: &'static str, more: &str) -> Cell<'_> {
        let tables = format!("{SETTINGS}{more}\n{TIMEOUTS}");
        let daemon = self.postfix.daemon(self.mode, &tables);
        Cell { yard: self, daemon, fault, account: Account::default(), window: 0, bridge: None, mounts: Vec::new() }
    }
}

impl Cell<'_> {
    /// Runs the daemon under load while `inject` does its work, then looks for every message.
    fn under_load(self, inject: impl FnOnce(&mut Daemon, &Account) -> usize) {
        self.started(Command::new(program()), inject);
    }

    fn started(mut self, program: Command, inject: impl FnOnce(&mut Daemon, &Account) -> usize) {
        self.daemon.start_under(program);
        let (port, prefix) = (self.yard.postfix.port(), prefix(self.fault));
        std::thread::scope(|threads| {
            for client in 0..3_u64 {
                let (account, prefix) = (&self.account, prefix.as_str());
                let mut kinds = MIX;
                kinds.rotate_left(client as usize);
                threads.spawn(move || account.send(port, prefix, &kinds, false, Duration::from_millis(60)));
            }
            let _end = self.account.end();
            // The fault meets mail on its way.
            let account = &self.account;
            wait_for("the first messages", PATIENCE, || account.taken() > 3);
            self.window = inject(&mut self.daemon, account);
        });
        let fault = self.fault;
        self.settle(&[(fault, prefix)]);
    }

    /// Waits for what Postfix has yet, and makes the account.
    fn settle(self, parts: &[(&'static str, String)]) {
        let Self { yard, daemon, fault, account, window, bridge, mounts } = self;
        let mode = yard.mode;
        yard.postfix.drain(Duration::from_secs(120));
        // Now, since a conversation that began under the fault may have met it after its end.
        let window = window + bridge.map_or(0, |bridge| bridge.withheld() as usize);
        let (arrived, held, put_off) = (yard.sink.mails(), daemon.held(), yard.postfix.deferred());
        for (name, prefix) in parts {
            let mut sums = account.sums(prefix, &arrived, &held);
            // Behind the queue it is not the client who tries again.
            let ours = put_off.iter().filter(|(id, _)| id.starts_with(&format!("<{prefix}")));
            sums.deferred += ours.map(|(_, count)| count).sum::<usize>();
            let told = format!("{mode}, {name}: {sums:?}");
            assert!(sums.lost.is_empty(), "{told}");
            assert!(sums.duplicates <= window, "at most {window} twice: {told}");
            assert!(sums.sent > 0 && sums.delivered + sums.held > 0, "{told}");
            yard.rows.push((name, sums));
        }
        assert_eq!(account.for_good(), Vec::<String>::new(), "{mode}, {fault}: a failure is never a refusal for good");
        let bad = |mail: &&crate::common::sink::Mail| {
            let id = crate::common::load::id_of(&mail.text());
            id.is_none_or(|id| {
                id.contains(".malicious.") || ORDEALS.iter().any(|(word, _)| id.contains(&format!(".{word}.")))
            })
        };
        let bad: Vec<String> = arrived.iter().filter(bad).map(|mail| mail.text()).collect();
        assert!(bad.is_empty(), "{mode}, {fault}: a bounce, or mail that should be held: {}", bad[0]);
        drop(mounts);
    }

    /// Puts a small file system below the daemon's state, before it starts. `None`: it cannot be done here.
    fn mount(&mut self, folder: &str) -> Option<PathBuf> {
        let path = self.daemon.state().join(folder);
        fs::create_dir_all(&path).expect("the folder");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=16m,mode=0700", "tmpfs"]).arg(&path).output();
        match mount {
            Ok(output) if output.status.success() => self.mounts.push(Mount(path.clone())),
            other => {
                eprintln!("SKIPPED: {}, {}: no file system can be mounted: {other:?}", self.yard.mode, self.fault);
                return None;
            }
        }
        Some(path)
    }
}

/// The beginning of all ids of a row.
fn prefix(fault: &str) -> String {
    format!("{}.", fault.replace([' ', '\''], "-"))
}

/// A tmpfs, gone with this value.
struct Mount(PathBuf);

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: the daemon may have files open.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn processes(yard: &mut Yard) {
    let mode = yard.mode;
    yard.cell("daemon killed", "").under_load(|daemon, _| {
        let (begun, mut random, mut kills) = (Instant::now(), fastrand::Rng::with_seed(1047), 0);
        while kills < 3 || begun.elapsed() < lasting() {
            std::thread::sleep(Duration::from_millis(random.u64(50..400)));
            daemon.kill();
            daemon.start();
            kills += 1;
        }
        // Whatever was on its way, in each session: three clients, or ten deliveries from the queue.
        kills * if mode == "after-queue" { 10 } else { 3 }
    });
    yard.cell("daemon stopped", "").under_load(|daemon, account| {
        let pid = pid(daemon.pid());
        for _ in 0..2 {
            let before = account.taken();
            kill_process(pid, Signal::STOP).expect("to stop it");
            std::thread::sleep(lasting());
            kill_process(pid, Signal::CONT).expect("to let it go on");
            wait_for("mail after the pause", PATIENCE, || account.taken() > before);
        }
        0
    });
    yard.cell("workers killed", "").under_load(|daemon, _| {
        let begun = Instant::now();
        let died = "sekisho_worker_restarts_total{reason=\"crash\"}";
        while begun.elapsed() < lasting() || daemon.metric(died).unwrap_or_default() < 3.0 {
            assert!(begun.elapsed() < PATIENCE, "no worker died over a message");
            signal_workers(daemon, Signal::KILL);
            std::thread::sleep(Duration::from_millis(100));
        }
        0
    });
    yard.cell("workers stopped", "").under_load(|daemon, _| {
        signal_workers(daemon, Signal::STOP);
        std::thread::sleep(lasting());
        let late = "sekisho_worker_restarts_total{reason=\"timeout\"}";
        wait_for("a stopped worker to be noticed", PATIENCE, || daemon.metric(late).unwrap_or_default() > 0.0);
        0
    });
}

fn pid(pid: u32) -> Pid {
    Pid::from_raw(pid as i32).expect("a process")
}

/// The daemon's children are its workers.
fn signal_workers(daemon: &Daemon, signal: Signal) {
    for thread in fs::read_dir(format!("/proc/{}/task", daemon.pid())).into_iter().flatten().flatten() {
        let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
            // It may have ended by itself.
            let _ = kill_process(pid(child), signal);
        }
    }
}

fn formats(yard: &mut Yard) {
    let meanwhile = "other mail meanwhile";
    let (mode, mut cell) = (yard.mode, yard.cell(meanwhile, ""));
    cell.daemon.start_under(Command::new(ordeal()));
    let port = cell.yard.postfix.port();
    let row_of = |name: &str| prefix(&format!("format {name}"));
    std::thread::scope(|threads| {
        let account = &cell.account;
        for client in 0..2_usize {
            let mut kinds = MIX;
            kinds.rotate_left(client);
            let prefix = prefix(meanwhile);
            threads.spawn(move || account.send(port, &prefix, &kinds, false, Duration::from_millis(100)));
        }
        let _end = account.end();
        wait_for("the first messages", PATIENCE, || account.taken() > 2);
        let tries: Vec<_> = ORDEALS
            .iter()
            .map(|(word, name)| {
                let prefix = row_of(name);
                // Tried again until it is taken, as a sending server would.
                threads.spawn(move || account.send_one(port, &prefix, Kind::Ordeal(word), true))
            })
            .collect();
        for sent in tries {
            assert!(sent.join().expect("a client"), "{mode}: never taken: {:?}", account.for_good());
        }
        let daemon = &cell.daemon;
        let held = || ORDEALS.iter().all(|(_, name)| account.sums(&row_of(name), &[], &daemon.held()).held == 1);
        // Behind the queue, Postfix is the one who tries again.
        wait_for("what fails three times to be held", PATIENCE * 2, || {
            cell.yard.postfix.flush();
            std::thread::sleep(Duration::from_millis(500));
            held()
        });
    });
    // Whatever the workers are up to, letters pass.
    let letters = cell.account.sums(&format!("{}letter.", prefix(meanwhile)), &[], &[]);
    assert!(letters.deferred == 0 && letters.sent == letters.acknowledged, "{mode}: {letters:?}");
    let mut parts: Vec<_> = ORDEALS.iter().map(|(_, name)| (*name, row_of(name))).collect();
    parts.push((meanwhile, prefix(meanwhile)));
    cell.settle(&parts);
    for (fault, sums) in yard.rows.iter().filter(|(fault, _)| *fault != meanwhile) {
        assert!(sums.held == 1 && sums.deferred >= 2, "{mode}, {fault}: {sums:?}");
    }
}

fn disks(yard: &mut Yard) {
    // Nothing is too small for a file.
    let files = "spool_threshold = \"4 KiB\"\n";
    for (fault, folder, sign) in [
        ("disk of the spool full", "spool", "sekisho_no_room_total{reason=\"spool\"}"),
        ("disk of the quarantine full", "quarantine", FAILED_HOLD),
    ] {
        let mut cell = yard.cell(fault, files);
        let Some(path) = cell.mount(folder) else { continue };
        cell.under_load(|daemon, account| {
            let filler = path.join("filler");
            fill(&filler);
            std::thread::sleep(lasting());
            wait_for("a full disk to be noticed", PATIENCE, || {
                // What was on its way when the disk filled has left room behind it, perhaps enough for all that comes.
                fill(&filler);
                daemon.metric(sign).unwrap_or_default() > 0.0
            });
            fs::remove_file(filler).expect("to make room");
            goes_on(account);
            0
        });
    }
    // Files of the spool are opened in its folder, written, and read again; those of the quarantine must be on the disk.
    let failed_scan = "sekisho_scan_errors_total{reason=\"io\"}";
    for (fault, sign, injections) in [
        (
            "errors of the spool's disk",
            failed_scan,
            &[("openat:error=EIO", Some("spool")), ("pread64:error=EIO:when=2+3", None)][..],
        ),
        ("errors of the quarantine's disk", FAILED_HOLD, &[("fsync,fdatasync:error=EIO:when=1+2", None)]),
    ] {
        let Some(strace) = require_tool("strace") else { continue };
        yard.cell(fault, files).under_load(|daemon, account| {
            for (calls, folder) in injections {
                let before = daemon.metric(sign).unwrap_or_default();
                let path = folder.map(|folder| daemon.state().join(folder));
                let trace = Trace::attach(&strace, daemon.pid(), calls, path.as_deref());
                std::thread::sleep(lasting());
                wait_for("an error to be noticed", PATIENCE, || daemon.metric(sign).unwrap_or_default() > before);
                drop(trace);
                goes_on(account);
            }
            0
        });
    }
    yard.cell("no descriptors left", files).under_load(|daemon, account| {
        let pid = pid(daemon.pid());
        let open = fs::read_dir(format!("/proc/{}/fd", daemon.pid())).expect("its descriptors").count() as u64;
        let before = rustix::process::getrlimit(Resource::Nofile);
        let low = Rlimit { current: Some(open.saturating_sub(4)), maximum: before.maximum };
        let before = prlimit(Some(pid), Resource::Nofile, low).expect("a limit");
        std::thread::sleep(lasting());
        let said = || daemon.log().contains("os error 24");
        wait_for("the lack of descriptors to be noticed", PATIENCE, said);
        prlimit(Some(pid), Resource::Nofile, before).expect("the old limit");
        goes_on(account);
        0
    });
}

const FAILED_HOLD: &str = "sekisho_quarantine_operations_total{operation=\"hold\",result=\"failed\"}";

/// What went wrong is over: mail is taken again without a restart.
fn goes_on(account: &Account) {
    let before = account.taken();
    wait_for("mail to be taken again", PATIENCE, || account.taken() > before + 5);
}

/// Takes all room there is, or there is again.
fn fill(file: &Path) {
    let mut file = File::options().append(true).create(true).open(file).expect("a file");
    for piece in [1 << 20, 4096, 64, 1] {
        let octets = vec![0; piece];
        while file.write_all(&octets).is_ok() {}
    }
}

/// strace on a running daemon, making system calls fail.
struct Trace(Child);

impl Trace {
    fn attach(strace: &Path, pid: u32, inject: &str, only: Option<&Path>) -> Self {
        let (calls, _) = inject.split_once(':').expect("calls");
        let mut command = Command::new(strace);
        command.args(["-f", "-qq", "-e", &format!("trace={calls}"), "-e", &format!("inject={inject}")]);
        if let Some(path) = only {
            command.arg("-P").arg(path);
        }
        command.args(["-o", "/dev/null", "-p", &pid.to_string()]);
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("strace");
        Self(child)
    }
}

/// Lets the daemon go on.
impl Drop for Trace {
    fn drop(&mut self) {
        // SIGKILL, after which the kernel detaches: asked to end in the middle of a fork, strace may wait for ever.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn outside(yard: &mut Yard) {
    // A milter has no next hop: Postfix itself sends mail on.
    if yard.mode != "milter" {
        for (fault, how) in
            [("next hop stalls", Break::Stall), ("next hop resets", Break::Reset), ("next hop closes", Break::Drop)]
        {
            let bridge = Bridge::start(yard.postfix.next_hop_port());
            let (mode, port) = (yard.mode, yard.postfix.filter_port());
            let mut cell = yard.cell(fault, "");
            cell.daemon = Daemon::with(mode, port, bridge.port(), &format!("{SETTINGS}\n{TIMEOUTS}"));
            cell.bridge = Some(bridge.clone());
            cell.under_load(|_, account| {
                let begun = Instant::now();
                bridge.set(Some(how));
                wait_for("each step to be hit", PATIENCE, || bridge.was_everywhere() && begun.elapsed() > lasting());
                bridge.set(None);
                goes_on(account);
                0
            });
        }
    }
    let Some(library) = faketime() else { return };
    for (fault, shift) in [("clock a day ahead", "+1d"), ("clock a day behind", "-1d")] {
        let cell = yard.cell(fault, "");
        let clock = cell.daemon.folder().join("clock");
        fs::write(&clock, "+0d").expect("the clock");
        let mut command = Command::new(program());
        command.env("LD_PRELOAD", &library).env("FAKETIME_TIMESTAMP_FILE", &clock).env("FAKETIME_NO_CACHE", "1");
        command.env("DONT_FAKE_MONOTONIC", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        cell.started(command, |daemon, account| {
            set_clock(&clock, shift);
            let shown = day_of(shift);
            wait_for("the other day in the log", PATIENCE, || daemon.log().contains(&shown));
            std::thread::sleep(lasting());
            goes_on(account);
            set_clock(&clock, "+0d");
            goes_on(account);
            0
        });
    }
}

/// Never seen half written.
fn set_clock(clock: &Path, shift: &str) {
    let new = clock.with_extension("new");
    fs::write(&new, shift).expect("the clock");
    fs::rename(new, clock).expect("the clock");
}

/// The date that the log has then.
fn day_of(shift: &str) -> String {
    let days = if shift.starts_with('+') { 24 } else { -24 };
    let then = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(days);
    then.to_string().split('T').next().unwrap_or_default().to_owned()
}

/// The library of the package faketime.
fn faketime() -> Option<PathBuf> {
    let machines = fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|machine| machine.path());
    let found = machines.map(|machine| machine.join("faketime/libfaketimeMT.so.1")).find(|file| file.is_file());
    if found.is_none() {
        skip("libfaketime is missing; tests/run.sh installs it (package faketime)");
    }
    found
}

const BEGIN: &str = "<!-- rows -->\n";
const END: &str = "<!-- end of rows -->";

fn row(fault: &str, mode: &str, sums: &Sums) -> String {
    let Sums { sent, acknowledged, delivered, held, deferred, duplicates, lost } = sums;
    let lost = lost.len();
    format!(
        "| {fault} | {mode} | {sent} | {acknowledged} | {delivered} | {held} | {deferred} | {duplicates} | {lost} |"
    )
}

/// The rows that the page must have: fault and mode.
fn expected() -> Vec<(&'static str, &'static str)> {
    let all = FAULTS.iter().flat_map(|fault| MODES.iter().map(move |mode| (*fault, *mode)));
    all.filter(|(fault, mode)| !(fault.starts_with("next hop") && *mode == "milter")).collect()
}

fn rows_of(page: &str) -> Vec<&str> {
    let (_, behind) = page.split_once(BEGIN).expect("the mark of the rows");
    let (rows, _) = behind.split_once(END).expect("the end of the rows");
    rows.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| Fault")).collect()
}

/// Puts new rows in the place of the old ones. Several tests write the page at the same time.
fn update_page(mode: &str, rows: &[(&'static str, Sums)]) {
    let lock = File::open(PAGE).expect("docs/reliability.md");
    lock.lock().expect("to have it alone");
    let page = fs::read_to_string(PAGE).expect("docs/reliability.md");
    let old = rows_of(&page);
    let lines = expected().into_iter().filter_map(|(fault, of)| {
        let ours = rows.iter().find(|(name, _)| *name == fault && of == mode);
        let begin = format!("| {fault} | {of} |");
        let known = || old.iter().find(|line| line.starts_with(&begin)).map(|line| (*line).to_owned());
        ours.map(|(_, sums)| row(fault, of, sums)).or_else(known)
    });
    let table: String = lines.map(|line| line + "\n").collect();
    let (before, behind) = page.split_once(BEGIN).expect("the mark");
    let (_, after) = behind.split_once(END).expect("the mark");
    let head = "| Fault | Mode | Sent | Acknowledged | Delivered | Held | Deferred | Twice | Lost |\n\
                |---|---|---|---|---|---|---|---|---|\n";
    // In place, so that the lock stays that of the page.
    fs::write(PAGE, format!("{before}{BEGIN}{head}{table}{END}{after}")).expect("docs/reliability.md");
}

#[test]
fn the_page_lists_each_fault_in_each_mode_and_nothing_lost() {
    let page = fs::read_to_string(PAGE).expect("docs/reliability.md");
    let cells = |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rows: Vec<Vec<String>> = rows_of(&page).into_iter().map(cells).collect();
    let listed: Vec<(&str, &str)> = rows.iter().map(|row| (row[0].as_str(), row[1].as_str())).collect();
    assert_eq!(listed, expected(), "write it anew: UPDATE_DOCS=1 cargo nextest run faults");
    for row in &rows {
        assert_eq!(row.last().map(String::as_str), Some("0"), "{row:?}");
    }
    let explained = page.split_once(BEGIN).expect("the mark of the rows").0;
    for fault in FAULTS {
        assert!(explained.contains(&format!("| {fault} |")), "the page does not say what {fault:?} means");
    }
}
