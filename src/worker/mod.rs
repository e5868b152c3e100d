//! Scanning behind a wall: children of this same program read what senders sent, and nothing else.
//!
//! ```text
//! daemon: pool ── Job + sealed memfd ──▶ worker: child ─▶ scan
//!              ◀── Report, at most 256 KiB ──
//! ```
//!
//! A worker can compute, and can say what it found; it can open no file, reach no network, start
//! nothing ([`wall`]). Whatever a parser does with a message (crashes, never ends, eats memory), it does
//! to a process that is killed and replaced ([`pool`]), and the message is told as not inspected.
//! What goes between the two is in [`protocol`]; [`nursery`] starts and buries.

pub mod child;
pub mod helper;
pub mod nursery;
pub mod pace;
pub mod pool;
pub mod protocol;
pub mod wall;

pub use pace::Pace;
pub use pool::{Death, Ended, Task, Workers};
