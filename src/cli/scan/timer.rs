//! The time limit of scans in this process: the daemon's, kept by a thread that lives as long as the timer.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::knowledge::Knowledge;
use crate::limits::Limits;
use crate::scan::{Input, Report, Stop, scan};

/// Stops scans that take longer than `max_scan_time`, one at a time.
pub struct Timer {
    /// `None` once it is dropped: that ends the thread.
    scans: Option<Sender<Started>>,
    thread: Option<JoinHandle<()>>,
}

/// A scan that has begun; it ends when the sender of `ended` is dropped.
struct Started {
    stop: Stop,
    limit: Duration,
    ended: Receiver<()>,
}

impl Default for Timer {
    fn default() -> Self {
        let (scans, started) = channel::<Started>();
        let thread = std::thread::spawn(move || {
            for Started { stop, limit, ended } in started {
                if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                    stop.stop();
                }
            }
        });
        Self { scans: Some(scans), thread: Some(thread) }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.scans = None;
        if let Some(thread) = self.thread.take() {
            // It has nothing to say, whichever way it ended.
            let _ = thread.join();
        }
    }
}

impl Timer {
    /// Scans with the time limit of the daemon.
    pub fn scan(&self, input: Input, limits: &Limits, knowledge: &Knowledge) -> Report {
        let stop = Stop::default();
        let (running, ended) = channel();
        let limit = Duration::from_secs(limits.max_scan_time);
        if let Some(scans) = &self.scans {
            // The thread ends only with the timer.
            let _ = scans.send(Started { stop: stop.clone(), limit, ended });
        }
        let report = scan(input, limits, knowledge, &stop);
        drop(running);
        report
    }
}
