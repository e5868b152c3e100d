//! What each bomb costs: `cargo bench --bench bombs`. Each is scanned by `sekisho scan` as a process of its own, so that
//! its memory is its own; the bar is `max_scan_time`, and 300 MB: half of `max_scan_size` may wait for its turn, and a decoder has
//! a window and what comes out of it.

use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use sekisho::limits::Limits;

#[path = "../common/mod.rs"]
mod common;

/// The bar for memory.
const MAX_MB: f64 = 300.0;

fn main() -> ExitCode {
    let folder = tempfile::tempdir().expect("a folder");
    println!("{:<46} {:>10} {:>8} {:>8}  told", "bomb", "octets", "seconds", "peak MB");
    let mut over = 0;
    for bomb in common::bombs::BOMBS {
        let file = folder.path().join(bomb.name);
        let bytes = (bomb.make)();
        std::fs::write(&file, &bytes).expect("room for it");
        let (size, begun) = (bytes.len(), Instant::now());
        drop(bytes);
        let mut child = Command::new(env!("CARGO_BIN_EXE_sekisho"))
            .args(["scan", "--json"])
            .arg(&file)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program");
        let output = child.stdout.take().expect("its output");
        let reader = std::thread::spawn(move || std::io::read_to_string(output).unwrap_or_default());
        let mut peak: f64 = 0.0;
        while child.try_wait().expect("a child").is_none() {
            peak = peak.max(common::process::peak_mb(child.id()));
            std::thread::sleep(Duration::from_millis(2));
        }
        let seconds = begun.elapsed().as_secs_f64();
        let json: serde_json::Value = serde_json::from_str(&reader.join().expect("a reader")).unwrap_or_default();
        let mut told: Vec<&str> =
            json["findings"].as_array().into_iter().flatten().filter_map(|finding| finding["id"].as_str()).collect();
        told.sort_unstable();
        told.dedup();
        let is_over = seconds > Limits::default().max_scan_time as f64 || peak > MAX_MB;
        over += usize::from(is_over);
        let mark = if is_over { "  OVER" } else { "" };
        println!("{:<46} {size:>10} {seconds:>8.2} {peak:>8.1}  {}{mark}", bomb.what, told.join(" "));
    }
    if over == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
