//! SMTP load and a sink: blocking threads, enough for the rates measured here.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::messages::Template;

/// A next hop that takes everything.
pub struct Sink {
    address: SocketAddr,
}

impl Sink {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                std::thread::spawn(move || serve(stream.unwrap()));
            }
        });
        Self { address }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn serve(stream: TcpStream) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::with_capacity(1 << 16, stream);
    writer.write_all(b"220 sink ESMTP\r\n").ok()?;
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line).ok()? == 0 {
            return None;
        }
        let reply: &[u8] = match line.get(..4)?.to_ascii_uppercase().as_slice() {
            b"EHLO" => b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 200000000\r\n",
            b"DATA" => {
                writer.write_all(b"354 go\r\n").ok()?;
                loop {
                    line.clear();
                    if reader.read_until(b'\n', &mut line).ok()? == 0 {
                        return None;
                    }
                    if line == b".\r\n" {
                        break;
                    }
                }
                b"250 2.0.0 Ok\r\n"
            }
            b"QUIT" => {
                writer.write_all(b"221 bye\r\n").ok()?;
                return None;
            }
            _ => b"250 2.0.0 Ok\r\n",
        };
        writer.write_all(reply).ok()?;
    }
}

/// What a run showed.
pub struct Run {
    pub seconds: f64,
    latencies: Vec<Duration>,
}

impl Run {
    /// A run of so many seconds.
    pub fn new(seconds: f64, mut latencies: Vec<Duration>) -> Self {
        latencies.sort();
        Self { seconds, latencies }
    }

    /// In milliseconds.
    pub fn percentile(&self, percent: usize) -> f64 {
        self.latencies[(self.latencies.len() - 1) * percent / 100].as_secs_f64() * 1e3
    }
}

/// Sends `count` messages over `sessions` sessions at a time, one message per connection as Postfix does.
pub fn run(to: SocketAddr, template: &Template, count: usize, sessions: usize) -> Run {
    let next = Arc::new(AtomicUsize::new(0));
    let latencies = Mutex::new(Vec::with_capacity(count));
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..sessions {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let message = template.message(number);
                    let begun = Instant::now();
                    send(to, &message);
                    latencies.lock().unwrap().push(begun.elapsed());
                }
            });
        }
    });
    let seconds = start.elapsed().as_secs_f64();
    Run::new(seconds, latencies.into_inner().unwrap())
}

/// One message, one connection; panics unless it is accepted.
fn send(to: SocketAddr, message: &[u8]) {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    expect(&mut reader, b'2');
    for (command, class) in [
        (&b"EHLO load.example.test\r\n"[..], b'2'),
        (b"MAIL FROM:<sender@example.test>\r\n", b'2'),
        (b"RCPT TO:<rcpt@example.test>\r\n", b'2'),
        (b"DATA\r\n", b'3'),
    ] {
        writer.write_all(command).unwrap();
        expect(&mut reader, class);
    }
    writer.write_all(message).unwrap();
    writer.write_all(b".\r\n").unwrap();
    expect(&mut reader, b'2');
    writer.write_all(b"QUIT\r\n").unwrap();
}

fn expect(reader: &mut impl BufRead, class: u8) {
    let mut line = String::new();
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        if line.as_bytes().get(3) != Some(&b'-') {
            break;
        }
    }
    assert_eq!(line.as_bytes().first(), Some(&class), "{line}");
}
