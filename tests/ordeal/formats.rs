//! Formats that do to a worker what a parser's fault would: a part that begins with `SEKISHO-ORDEAL: ` and a word.

use std::hint::black_box;
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use sekisho::formats::{Format, TABLE};
use sekisho::part::Part;
use sekisho::scan::Scan;

const MARK: &[u8] = b"SEKISHO-ORDEAL: ";

const ORDEAL: Format = Format { name: "ordeal", walled: true, accepts: |part| order(part).is_some(), examine };

/// Those of the program, and the ordeals.
pub fn all() -> &'static [Format] {
    let formats: Vec<Format> = TABLE.iter().copied().chain([ORDEAL]).collect();
    formats.leak()
}

/// What a part orders, by its first line.
fn order(part: &Part) -> Option<&str> {
    // A message's own octets begin with its header.
    let rest = part.bytes.strip_prefix(MARK)?;
    let line = rest.split(|octet| matches!(octet, b'\r' | b'\n')).next()?;
    std::str::from_utf8(line).ok()
}

fn examine(part: &Part, scan: &mut Scan) {
    let order = order(part).unwrap_or_default();
    let (word, value) = order.split_once(' ').unwrap_or((order, ""));
    match word {
        "panic" => panic!("as ordered"),
        "hang" => loop {
            black_box(word);
        },
        "sleep" => loop {
            std::thread::sleep(Duration::from_secs(3600));
        },
        "stack" => drop(black_box(deeper(0))),
        "memory" => eat(),
        "abort" => std::process::abort(),
        "exit" => std::process::exit(3),
        "open" => drop(std::fs::read("/etc/passwd")),
        "connect" => drop(TcpStream::connect("127.0.0.1:25")),
        "exec" | "fork" => drop(Command::new("/bin/true").status()),
        "slow" => {
            let end = Instant::now() + Duration::from_millis(value.parse().unwrap_or_default());
            while Instant::now() < end && !scan.stopped() {
                black_box(word);
            }
        }
        _ => {}
    }
}

#[expect(unconditional_recursion, reason = "that is the ordeal")]
fn deeper(depth: u64) -> u64 {
    let here = black_box([depth; 64]);
    black_box(deeper(depth + 1)) + here[7]
}

fn eat() {
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    loop {
        eaten.push(black_box(vec![1; 16 << 20]));
    }
}
