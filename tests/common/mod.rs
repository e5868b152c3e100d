//! What several tests share: builders of documents and messages that are made from nothing, servers,
//! clients, and a real Postfix.

#![allow(dead_code, reason = "each test program uses its share")]
#![allow(clippy::print_stderr, reason = "what was skipped, and the logs behind a failure")]

pub mod archives;
pub mod awkward;
pub mod bombs;
pub mod bridge;
pub mod carriers;
pub mod client;
pub mod daemon;
pub mod encrypt;
pub mod excel4;
pub mod images;
pub mod layouts;
pub mod load;
pub mod milter;
pub mod objects;
pub mod office;
pub mod ooxml;
pub mod ovba;
/// PDF documents with files in them, encrypted or not.
pub mod pdf;
/// Pictures, and documents that show them.
pub mod pictures;
pub mod postfix;
pub mod process;
pub mod quine;
pub mod rar;
pub mod relay;
pub mod samples;
pub mod sevenz;
pub mod sink;
pub mod smtp;
pub mod soak;
pub mod station;
pub mod wrappings;

use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Where a program is. If it is missing, the test says so and skips (returns), unless `CI=true`, where
/// nothing may be skipped.
pub fn require_tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"]);
    let found = folders.map(|folder| PathBuf::from(folder).join(name)).find(|file| file.is_file());
    if found.is_none() {
        skip(&format!("`{name}` is missing; tests/run.sh installs it"));
    }
    found
}

/// Says why a test does nothing; with `CI=true` that is a failure.
pub fn skip(why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "not skipped, since CI=true: {why}");
    eprintln!("SKIPPED: {why}");
}

/// What takes longer on loopback never comes, even on a machine that does much else.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `done`, or fails with what was waited for.
pub fn wait_for(what: &str, time: Duration, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < time, "waited {time:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A port on 127.0.0.1 that nobody listens on, from below the range that outgoing connections use.
pub fn free_port() -> u16 {
    let mut random = fastrand::Rng::new();
    (0..1000)
        .map(|_| random.u16(12_000..32_000))
        .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}
