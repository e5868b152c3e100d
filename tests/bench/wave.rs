//! A thousand messages with the same picture, which is read once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use image::ImageFormat;

use crate::common::client::Client;
use crate::common::daemon::Daemon;
use crate::common::free_port;
use crate::common::pictures::{HONEST, document_with, drawn, encoded, page};
use crate::common::samples::with_file;
use crate::common::sink::Sink;

const MESSAGES: usize = 1000;
const SESSIONS: usize = 10;

/// Sends documents that all show the same picture, beside another one each, and tells how often it was read.
pub fn run() {
    let sink = Sink::start();
    let all = "[[rule]]\nname = \"all\"\naction = \"pass\"\n";
    let mut daemon = Daemon::with("before-queue", free_port(), sink.port(), all);
    daemon.start();
    let lure = drawn("ENABLE CONTENT");
    let small = image::imageops::thumbnail(&page(1), 60, 30);
    let (next, start) = (AtomicUsize::new(0), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..SESSIONS {
            scope.spawn(|| {
                let mut client = Client::connect(daemon.port()).unwrap();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= MESSAGES {
                        return;
                    }
                    // No two documents are the same; what differs is too small to be read.
                    let mut other = small.clone();
                    other.put_pixel(0, 0, image::Luma([number as u8]));
                    other.put_pixel(1, 0, image::Luma([(number / 256) as u8]));
                    let document = document_with(&HONEST, &[lure.clone(), encoded(&other, ImageFormat::Png)]);
                    let message = with_file("A picture", "x.docm", "application/octet-stream", &document);
                    let reply = client.send("s@outside.test", &["u@inside.test"], &message).unwrap();
                    assert_eq!(reply.code, 250, "{}", reply.text);
                }
            });
        }
    });
    let time = start.elapsed();
    let count =
        |source: &str| daemon.metric(&format!("sekisho_pictures_total{{source=\"{source}\"}}")).unwrap_or_default();
    let lures = daemon.messages().iter().filter(|line| line.to_string().contains("lure-enable-content")).count();
    println!(
        "{MESSAGES} messages with one picture, {SESSIONS} sessions: read {} times, known {} times, recognised {lures} times; \
         {:.1} ms a message",
        count("read"),
        count("cached"),
        time.as_secs_f64() * 1000.0 / MESSAGES as f64
    );
}
