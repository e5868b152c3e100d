//! The log: one line an event to standard output, as text or as JSON, and exactly one line a message.
//!
//! `docs/logging.md` describes every field. Text from mail is hostile: control, bidirectional and
//! invisible characters never reach a terminal raw. In text they are shown by number (`⟦U+001B⟧`), in JSON
//! they are `\u` escapes, so that nothing is lost. Spans are not shown: an event names its message's id.

mod line;
mod message;

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::config::{Log, LogFormat};

pub use message::{Attachment, MessageLine, PerRecipient, message};

/// The running log. Keep it: a reload of the configuration goes through it.
#[derive(Clone, Debug)]
pub struct Telemetry {
    filter: reload::Handle<EnvFilter, Registry>,
    json: Arc<AtomicBool>,
}

impl Telemetry {
    /// Starts a provisional log (text, `info`), so that errors of the configuration have a place to go.
    /// If this process has a log already (tests), that one stays.
    pub fn start() -> Self {
        let (filter, handle) = reload::Layer::new(directives("info").unwrap_or_default());
        let json = Arc::new(AtomicBool::new(false));
        let lines = Lines { json: Arc::clone(&json), journal: line::stdout_is_the_journal() };
        // The only error: a log was set before.
        let _ = Registry::default().with(filter).with(lines).try_init();
        Self { filter: handle, json }
    }

    /// Applies `[log]`, at start and at every reload.
    ///
    /// # Errors
    /// Why `level` is no level, in words for the admin; the log stays as it was.
    pub fn configure(&self, log: &Log) -> Result<(), String> {
        let filter = directives(&log.level)?;
        self.filter.reload(filter).map_err(|error| error.to_string())?;
        self.json.store(log.format == LogFormat::Json, Ordering::Relaxed);
        Ok(())
    }
}

/// The filter for `[log] level`: a level (ours; libraries then speak from `warn` on), or tracing's
/// directives (`warn,sekisho::message=info`).
///
/// # Errors
/// What is wrong with it, in words for the admin.
pub fn directives(level: &str) -> Result<EnvFilter, String> {
    let words = ["off", "error", "warn", "info", "debug", "trace"];
    let text = match words.contains(&level) {
        true if level == "off" => level.to_owned(),
        true => format!("warn,sekisho={level}"),
        false if level.contains(['=', ',']) => level.to_owned(),
        false => {
            return Err(format!(
                "`{level}` is no log level: it is one of {}, or tracing's directives",
                words.join(", ")
            ));
        }
    };
    EnvFilter::builder().parse(text).map_err(|error| format!("`{level}` is no log level: {error}"))
}

/// Log lines that could not be written since the start.
pub fn lines_lost() -> u64 {
    LINES_LOST.load(Ordering::Relaxed)
}

static LINES_LOST: AtomicU64 = AtomicU64::new(0);

/// Writes each event as one line, in one write, so that lines never mix.
struct Lines {
    json: Arc<AtomicBool>,
    journal: bool,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let format = if self.json.load(Ordering::Relaxed) { LogFormat::Json } else { LogFormat::Text };
        let line = line::format(event, format, self.journal, jiff::Timestamp::now());
        if std::io::stdout().lock().write_all(line.as_bytes()).is_err() {
            LINES_LOST.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives() {
        for good in ["off", "error", "info", "trace", "warn,sekisho::message=info", "sekisho=debug"] {
            assert!(directives(good).is_ok(), "{good}");
        }
        for bad in ["", "inf", "loud", "sekisho=loud"] {
            assert!(directives(bad).unwrap_err().contains("is no log level"), "{bad}");
        }
    }

    #[test]
    fn a_bad_level_leaves_the_log_as_it_was() {
        let telemetry = Telemetry::start();
        let log = |level: &str| Log { format: LogFormat::Json, level: level.to_owned() };
        assert!(telemetry.configure(&log("loud")).is_err());
        assert!(!telemetry.json.load(Ordering::Relaxed));
    }
}
