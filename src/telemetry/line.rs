//! One event as one line.
//!
//! Under systemd (`JOURNAL_STREAM`, systemd.exec(5)) a line begins with its priority (`<4>`, sd-daemon(3)),
//! which the journal takes away again and shows as such; elsewhere text begins with time and level.

use std::fmt;
use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt as _;

use jiff::Timestamp;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use super::message::{FIELD_JSON, FIELD_TEXT, TARGET};
use crate::config::LogFormat;
use crate::hostile::{escape, escape_json, replace};

/// Longest line in octets; the rest is cut. The journal's own limit is 48 KiB (`LineMax=`), above which it
/// would make two records of one line.
const MAX_LINE: usize = 40 * 1024;

/// The line for `event`, with its newline.
pub(super) fn format(event: &Event<'_>, format: LogFormat, journal: bool, now: Timestamp) -> String {
    let level = event.metadata().level();
    let mut line = if journal { format!("<{}>", priority(level)) } else { String::new() };
    match format {
        LogFormat::Json => json(&mut line, event, now),
        LogFormat::Text if journal => text(&mut line, event),
        LogFormat::Text => {
            let _ = write!(line, "{} {level:<5} ", timestamp(now));
            text(&mut line, event);
        }
    }
    line.push('\n');
    line
}

/// Whether standard output goes to the journal, and not only our parent's did.
pub(super) fn stdout_is_the_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    std::fs::metadata("/proc/self/fd/1").is_ok_and(|stdout| stream == format!("{}:{}", stdout.dev(), stdout.ino()))
}

fn timestamp(now: Timestamp) -> impl fmt::Display {
    now.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
}

/// The level as a priority of syslog(3).
fn priority(level: &Level) -> u8 {
    match *level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

fn text(line: &mut String, event: &Event<'_>) {
    let mut fields = Fields::of(event, LogFormat::Text);
    if let Some(text) = fields.take(FIELD_TEXT) {
        // Escaped already, field by field.
        line.push_str(&plain(&text));
        return;
    }
    if let Some(message) = fields.take("message") {
        line.push_str(&escape(&plain(&message)));
    }
    for (name, value) in fields.list {
        let _ = write!(line, " {name}={}", quoted(&plain(&value)));
    }
    cut(line, MAX_LINE);
}

fn json(line: &mut String, event: &Event<'_>, now: Timestamp) {
    let mut fields = Fields::of(event, LogFormat::Json);
    let level = event.metadata().level().as_str().to_ascii_lowercase();
    let _ = write!(line, r#"{{"ts":"{}","level":"{level}","#, timestamp(now));
    if let Some(json) = fields.take(FIELD_JSON) {
        let _ = write!(line, r#""event":"message",{}"#, plain(&json).trim_start_matches('{'));
        return;
    }
    let name = fields.take("event").unwrap_or_else(|| Value::from("log"));
    let message = fields.take("message").unwrap_or_else(|| Value::from(""));
    let target = Value::from(event.metadata().target());
    let _ = write!(line, r#""event":{},"message":{},"target":{target}"#, short(&name), short(&message));
    for (name, value) in fields.list {
        let _ = write!(line, ",{}:{}", Value::from(name), short(&value));
    }
    line.push('}');
}

/// A value as JSON, its text cut so that a handful of fields stays below [`MAX_LINE`].
fn short(value: &Value) -> String {
    let json = match value {
        Value::String(text) if text.len() > MAX_LINE / 16 => {
            let mut text = text.clone();
            cut(&mut text, MAX_LINE / 16);
            Value::from(text).to_string()
        }
        other => other.to_string(),
    };
    escape_json(&json).into_owned()
}

/// Cuts `text` to at most `max` octets, at a character's border, and marks the cut.
fn cut(text: &mut String, max: usize) {
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max.saturating_sub('…'.len_utf8())));
        text.push('…');
    }
}

/// The text of a string, the JSON of everything else.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A value behind `name=`: in quotes unless it is one plain word, so that no value can look like the next field.
pub(super) fn quoted(text: &str) -> String {
    let odd = |c: char| c == '"' || c == '\\';
    if !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || odd(c) || matches!(c, '=' | ',')) {
        return escape(text).into_owned();
    }
    let escaped = escape(text);
    format!("\"{}\"", replace(&escaped, odd, |out, c| write!(out, "\\{c}")))
}

/// The fields of an event, in the order in which they were given.
struct Fields {
    list: Vec<(&'static str, Value)>,
    /// The form of a message line that is not wanted: it is not even rendered.
    unwanted: Option<&'static str>,
}

impl Fields {
    fn of(event: &Event<'_>, format: LogFormat) -> Self {
        let unwanted = (event.metadata().target() == TARGET).then_some(match format {
            LogFormat::Text => FIELD_JSON,
            LogFormat::Json => FIELD_TEXT,
        });
        let mut fields = Self { list: Vec::new(), unwanted };
        event.record(&mut fields);
        fields
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        let place = self.list.iter().position(|(other, _)| *other == name)?;
        Some(self.list.remove(place).1)
    }

    fn push(&mut self, field: &Field, value: impl Into<Value>) {
        self.list.push((field.name(), value.into()));
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if self.unwanted != Some(field.name()) {
            self.push(field, format!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, value);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

    use super::*;

    struct Capture(LogFormat, bool, Arc<Mutex<Vec<String>>>);

    impl<S: tracing::Subscriber> Layer<S> for Capture {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.2.lock().unwrap().push(format(event, self.0, self.1, Timestamp::UNIX_EPOCH));
        }
    }

    /// The lines that `act` logs.
    pub fn lines(format: LogFormat, journal: bool, act: impl FnOnce()) -> Vec<String> {
        let captured = Arc::new(Mutex::new(Vec::new()));
        let layer = Capture(format, journal, Arc::clone(&captured));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), act);
        captured.lock().unwrap().clone()
    }

    fn reload() {
        let file = "evil\u{1b}[2J\r\nforged\u{202e}\" line";
        tracing::warn!(event = "reload", file, lines = 3, ok = false, "the file\nis broken");
    }

    #[test]
    fn text_is_one_line_without_hostile_characters() {
        let expected = "the file⟦U+000A⟧is broken file=\"evil⟦U+001B⟧[2J⟦U+000D⟧⟦U+000A⟧forged⟦U+202E⟧\\\" line\" lines=3 ok=false\n";
        let expected = expected.replace("is broken ", "is broken event=reload ");
        assert_eq!(lines(LogFormat::Text, true, reload), [format!("<4>{expected}")]);
        assert_eq!(lines(LogFormat::Text, false, reload), [format!("1970-01-01T00:00:00.000Z WARN  {expected}")]);
    }

    #[test]
    fn json_is_one_flat_object() {
        let line = lines(LogFormat::Json, false, reload).remove(0);
        assert_eq!(line.matches('\n').count(), 1);
        assert!(!line.trim_end().contains(crate::hostile::is_hostile), "{line}");
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["ts"], "1970-01-01T00:00:00.000Z");
        assert_eq!(value["level"], "warn");
        assert_eq!(value["event"], "reload");
        assert_eq!(value["message"], "the file\nis broken");
        assert_eq!(value["file"], "evil\u{1b}[2J\r\nforged\u{202e}\" line");
        assert_eq!(value["lines"], 3);
        assert_eq!(value["ok"], false);
    }

    #[test]
    fn an_endless_value_is_cut() {
        let log = || tracing::info!(value = "あ".repeat(1 << 20), "x");
        for format in [LogFormat::Text, LogFormat::Json] {
            let line = lines(format, false, log).remove(0);
            assert!(line.len() <= MAX_LINE + 64 && line.contains('…'), "{}", line.len());
        }
    }

    #[test]
    fn values_cannot_pretend_to_be_fields() {
        assert_eq!(quoted("plain"), "plain");
        assert_eq!(quoted(""), r#""""#);
        assert_eq!(quoted("a verdict=clean"), r#""a verdict=clean""#);
        assert_eq!(quoted(r#"a" x=""#), r#""a\" x=\"""#);
    }
}
