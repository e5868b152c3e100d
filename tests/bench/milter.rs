//! An MTA that asks a milter, as Postfix does: what needs no answer is sent in one piece.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use sekisho::config::Endpoint;

use crate::common::milter::{ALL, Mta, frame, strings};
use crate::load::Run;
use crate::messages::Template;

/// Has `count` messages judged over `sessions` connections.
pub fn run(to: &Endpoint, template: &Template, count: usize, sessions: usize) -> Run {
    let (next, latencies) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(count)));
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..sessions {
            scope.spawn(|| {
                let mut mta = connect(to);
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let [envelope, content] = frames(&template.message(number));
                    let begun = Instant::now();
                    mta.raw(&envelope).unwrap();
                    mta.raw(&content).unwrap();
                    let word = mta.answer().pop().unwrap().0;
                    latencies.lock().unwrap().push(begun.elapsed());
                    assert!(matches!(word, b'a' | b'd'), "{}", char::from(word));
                }
            });
        }
    });
    Run::new(start.elapsed().as_secs_f64(), latencies.into_inner().unwrap())
}

fn connect(to: &Endpoint) -> Mta {
    let mut mta = Mta::connect_to(to).unwrap();
    mta.negotiate(6, ALL);
    mta.client("client.example.test", "192.0.2.9", "client.example.test");
    mta
}

/// A message as frames: up to DATA, and from the header to its end. ABORT first, as behind the last message.
fn frames(message: &[u8]) -> [Vec<u8>; 2] {
    let at = message.windows(4).position(|octets| octets == b"\r\n\r\n").unwrap();
    let (header, body) = (String::from_utf8_lossy(&message[..at]).into_owned(), &message[at + 4..]);
    let mut envelope = frame(b'A', b"");
    envelope.extend(frame(b'M', &strings(&["<sender@example.test>"])));
    envelope.extend(frame(b'R', &strings(&["<rcpt@example.test>"])));
    envelope.extend(frame(b'D', &[&b"T"[..], &strings(&["i", "4ABCDEF"])].concat()));
    envelope.extend(frame(b'T', b""));
    let mut content = Vec::with_capacity(message.len() + 1024);
    for field in header.replace("\r\n ", "\n ").replace("\r\n\t", "\n\t").split("\r\n") {
        let (name, value) = field.split_once(':').unwrap();
        content.extend(frame(b'L', &strings(&[name, value])));
    }
    content.extend(frame(b'N', b""));
    for piece in body.chunks(65_535) {
        content.extend(frame(b'B', piece));
    }
    content.extend(frame(b'E', b""));
    [envelope, content]
}
