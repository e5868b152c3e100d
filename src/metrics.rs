//! What Prometheus may know (text exposition format 0.0.4). `docs/metrics.md` lists every family and a
//! test compares it with this file.
//!
//! Callers pass types, never label strings, so a label's value always comes from a table of ours (or a
//! rule's name from the configuration, at most [`MAX_RULES`] of them): nothing that a sender writes can
//! make a series. Every known combination starts at 0, so that `rate()` sees the first event.

mod labels;
mod process;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use crate::filetype::FileType;
use crate::finding::{self, FindingId};
use crate::limits::Limit;
use crate::message::Memory;
use crate::queue::{Full, Slots};
use crate::smtp::session::SessionEnd;
use crate::transport::Transport;
use crate::verdict::Level;

pub use labels::{
    AskResult, DeliveryKind, DeliveryResult, Disposition, PictureSource, QuarantineOperation, ScanError, SecondMail,
    Stage, WorkerEnd,
};

/// Rules with a series of their own. 200: with all other families the total stays below 2,000 series,
/// what Prometheus takes from one target without a thought.
pub const MAX_RULES: usize = 200;

/// The series of rules beyond [`MAX_RULES`], and of rules that a reload removed meanwhile.
pub const OTHER_RULES: &str = "(other)";

/// Why a message was deferred, if it was not the queue.
const NO_SPOOL: &str = "spool";

/// Upper bounds of durations in seconds: 5 ms (a plain letter) to 60 s (beyond `max_scan_time`).
const SECONDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0];

/// Upper bounds of message sizes in octets: 1 KiB to 64 MiB in steps of four.
const OCTETS: &[f64] =
    &[1024.0, 4096.0, 16384.0, 65536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0, 67_108_864.0];

/// All counters of the daemon. Share it with `Arc`; every method takes `&self` and does not block.
pub struct Metrics {
    registry: Registry,
    process: process::Process,
    ready: IntGauge,
    config_ok: IntGauge,
    config_time: IntGauge,
    sessions_active: IntGaugeVec,
    sessions: IntCounterVec,
    messages: IntCounterVec,
    recipients: IntCounterVec,
    verdicts: IntCounterVec,
    rules: IntCounterVec,
    rule_names: RwLock<BTreeSet<String>>,
    findings: IntCounterVec,
    attachments: IntCounterVec,
    message_size: Histogram,
    scan_duration: HistogramVec,
    stage_duration: HistogramVec,
    queue_wait: Histogram,
    scan_errors: IntCounterVec,
    limits_exceeded: IntCounterVec,
    asks: IntCounterVec,
    ask_time: Histogram,
    pictures: IntCounterVec,
    pictures_learnt: IntCounter,
    second_mails: IntCounterVec,
    late_verdicts: IntCounterVec,
    copies_bytes: IntGauge,
    workers: IntGaugeVec,
    workers_started: IntCounter,
    workers_ended: IntCounterVec,
    quarantine_messages: IntGauge,
    quarantine_bytes: IntGauge,
    quarantine_limit: IntGauge,
    quarantine_oldest: IntGauge,
    quarantine_operations: IntCounterVec,
    deliveries: IntCounterVec,
    scans_running: IntGauge,
    scans_waiting: IntGauge,
    no_room: IntCounterVec,
    memory_used: IntGauge,
    memory_limit: IntGauge,
    watched: Mutex<Watched>,
    log_lines_lost: IntCounter,
}

/// How full the quarantine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuarantineUse {
    /// Messages held.
    pub messages: u64,
    /// Octets used.
    pub bytes: u64,
    /// `[quarantine] max_size` in octets.
    pub limit: u64,
    /// When the oldest held message came; `None` if none is held.
    pub oldest: Option<SystemTime>,
}

/// What counts itself, and is asked when the page is made.
#[derive(Default)]
struct Watched {
    slots: Option<Arc<Slots>>,
    memory: Option<Arc<Memory>>,
}

impl Metrics {
    /// Fresh counters in a registry of their own.
    pub fn new() -> Self {
        let registry = Registry::new();
        let new = Maker(&registry);
        let metrics = Self {
            process: process::Process::new(&new),
            ready: new
                .gauge("sekisho_ready", "Whether the daemon takes mail (1), or is starting, stopping or broken (0)."),
            config_ok: new.gauge(
                "sekisho_config_last_reload_successful",
                "Whether the last load of the configuration succeeded.",
            ),
            config_time: new.gauge(
                "sekisho_config_last_reload_success_timestamp_seconds",
                "Unix time of the last successful load of the configuration.",
            ),
            sessions_active: new.gauges("sekisho_sessions_active", "Sessions open now.", &["transport"]),
            sessions: new.counters("sekisho_sessions_total", "Sessions ended.", &["transport", "result"]),
            messages: new.counters("sekisho_messages_total", "Messages decided.", &["transport", "disposition"]),
            recipients: new.counters("sekisho_recipients_total", "Recipients decided.", &["disposition"]),
            verdicts: new.counters("sekisho_verdicts_total", "Messages scanned.", &["verdict", "complete"]),
            rules: new.counters("sekisho_rule_matches_total", "Messages decided by each rule.", &["rule"]),
            rule_names: RwLock::default(),
            findings: new.counters("sekisho_findings_total", "Findings raised.", &["finding", "severity"]),
            attachments: new.counters(
                "sekisho_attachments_total",
                "Parts inspected, by type and whether they came out of another attachment.",
                &["type", "nested"],
            ),
            message_size: new.histogram("sekisho_message_size_bytes", "Size of scanned messages.", OCTETS),
            scan_duration: new.histograms(
                "sekisho_scan_duration_seconds",
                "Time from the end of the message to the decision.",
                "transport",
            ),
            stage_duration: new.histograms("sekisho_stage_duration_seconds", "Time spent in each stage.", "stage"),
            queue_wait: new.histogram(
                "sekisho_queue_wait_seconds",
                "Time a message waited for a free scanner.",
                SECONDS,
            ),
            scan_errors: new.counters("sekisho_scan_errors_total", "Scans that failed by our fault.", &["reason"]),
            limits_exceeded: new.counters("sekisho_limits_exceeded_total", "Limits of scanning reached.", &["limit"]),
            asks: new.counters("sekisho_asks_total", "What scans asked of helpers.", &["result"]),
            pictures: new.counters(
                "sekisho_pictures_total",
                "Pictures of which it is known what they show.",
                &["source"],
            ),
            pictures_learnt: new.counter("sekisho_pictures_learnt_total", "Pictures learnt from malicious documents."),
            ask_time: new.histogram("sekisho_ask_seconds", "Time until a helper answered or was given up.", SECONDS),
            second_mails: new.counters(
                "sekisho_second_mail_total",
                "Messages looked at once more, with the password of another mail.",
                &["result"],
            ),
            late_verdicts: new.counters(
                "sekisho_late_verdicts_total",
                "Delivered messages that the password of a later mail opened.",
                &["verdict"],
            ),
            copies_bytes: new.gauge(
                "sekisho_second_mail_copies_size_bytes",
                "Octets of copies of delivered mail that wait for their password.",
            ),
            workers: new.gauges("sekisho_workers", "Worker processes, by what they do now.", &["state"]),
            workers_started: new.counter("sekisho_workers_started_total", "Worker processes started."),
            workers_ended: new.counters("sekisho_worker_restarts_total", "Worker processes ended.", &["reason"]),
            quarantine_messages: new.gauge("sekisho_quarantine_messages", "Messages held in quarantine."),
            quarantine_bytes: new.gauge("sekisho_quarantine_size_bytes", "Octets used by the quarantine."),
            quarantine_limit: new.gauge("sekisho_quarantine_limit_bytes", "Octets that the quarantine may use."),
            quarantine_oldest: new.gauge(
                "sekisho_quarantine_oldest_timestamp_seconds",
                "Unix time at which the oldest held message came; 0 if none is held.",
            ),
            quarantine_operations: new.counters(
                "sekisho_quarantine_operations_total",
                "Quarantine operations of the daemon.",
                &["operation", "result"],
            ),
            deliveries: new.counters(
                "sekisho_deliveries_total",
                "Messages handed to the next hop.",
                &["kind", "result"],
            ),
            scans_running: new.gauge("sekisho_scans_running", "Messages that have a scanner now."),
            scans_waiting: new.gauge("sekisho_scans_waiting", "Messages that wait for a scanner now."),
            no_room: new.counters(
                "sekisho_no_room_total",
                "Messages deferred since there was no room for them.",
                &["reason"],
            ),
            memory_used: new
                .gauge("sekisho_content_memory_bytes", "Content of messages in flight that is kept in memory."),
            memory_limit: new.gauge(
                "sekisho_content_memory_limit_bytes",
                "Content of messages in flight that may be kept in memory.",
            ),
            watched: Mutex::default(),
            log_lines_lost: new.counter("sekisho_log_lines_lost_total", "Log lines that could not be written."),
            registry: registry.clone(),
        };
        new.build_info();
        metrics.start_at_zero();
        metrics
    }

    /// Creates every known series.
    fn start_at_zero(&self) {
        for transport in Transport::ALL {
            self.sessions_active.with_label_values(&[transport.name()]);
            self.scan_duration.with_label_values(&[transport.name()]);
            for end in SessionEnd::ALL {
                self.sessions.with_label_values(&[transport.name(), end.name()]);
            }
            for disposition in Disposition::ALL {
                self.messages.with_label_values(&[transport.name(), disposition.name()]);
            }
        }
        for disposition in Disposition::ALL.into_iter().filter(|d| *d != Disposition::Mixed) {
            self.recipients.with_label_values(&[disposition.name()]);
        }
        for complete in [true, false] {
            for level in Level::ALL {
                self.verdicts.with_label_values(&[level.name(), yes_no(complete)]);
            }
        }
        for finding in finding::ALL {
            self.findings.with_label_values(&[finding.as_str(), finding.severity.name()]);
        }
        for nested in [true, false] {
            for file_type in FileType::ALL {
                self.attachments.with_label_values(&[file_type.name(), yes_no(nested)]);
            }
        }
        for stage in Stage::ALL {
            self.stage_duration.with_label_values(&[stage.name()]);
        }
        for error in ScanError::ALL {
            self.scan_errors.with_label_values(&[error.name()]);
        }
        for limit in Limit::ALL {
            self.limits_exceeded.with_label_values(&[limit.name()]);
        }
        for result in AskResult::ALL {
            self.asks.with_label_values(&[result.name()]);
        }
        for source in PictureSource::ALL {
            self.pictures.with_label_values(&[source.name()]);
        }
        for result in SecondMail::ALL {
            self.second_mails.with_label_values(&[result.name()]);
        }
        for level in Level::ALL {
            self.late_verdicts.with_label_values(&[level.name()]);
        }
        for state in ["busy", "idle"] {
            self.workers.with_label_values(&[state]);
        }
        for end in WorkerEnd::ALL {
            self.workers_ended.with_label_values(&[end.name()]);
        }
        for result in ["ok", "failed"] {
            for o in QuarantineOperation::ALL {
                self.quarantine_operations.with_label_values(&[o.name(), result]);
            }
        }
        for kind in DeliveryKind::ALL {
            for result in DeliveryResult::ALL {
                self.deliveries.with_label_values(&[kind.name(), result.name()]);
            }
        }
        for reason in Full::ALL.into_iter().map(Full::name).chain([NO_SPOOL]) {
            self.no_room.with_label_values(&[reason]);
        }
        self.rules.with_label_values(&[OTHER_RULES]);
    }

    /// The page for Prometheus, and its content type.
    ///
    /// # Errors
    /// An error of the encoder, which would be a fault of ours.
    pub fn render(&self) -> prometheus::Result<String> {
        self.process.refresh();
        self.refresh_watched();
        let lost = crate::telemetry::lines_lost();
        self.log_lines_lost.inc_by(lost.saturating_sub(self.log_lines_lost.get()));
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// Shows who scans and who waits.
    pub fn watch_slots(&self, slots: &Arc<Slots>) {
        self.watched().slots = Some(Arc::clone(slots));
    }

    /// Shows what messages have of memory.
    pub fn watch_memory(&self, memory: &Arc<Memory>) {
        self.watched().memory = Some(Arc::clone(memory));
    }

    /// Counts a message that the spool had no room for.
    pub fn no_spool_room(&self) {
        self.no_room.with_label_values(&[NO_SPOOL]).inc();
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks those that count themselves; under the lock, so that nothing is added twice.
    fn refresh_watched(&self) {
        let watched = self.watched();
        if let Some(slots) = &watched.slots {
            self.scans_running.set(signed(slots.running() as u64));
            self.scans_waiting.set(signed(slots.waiting() as u64));
            for why in Full::ALL {
                let counter = self.no_room.with_label_values(&[why.name()]);
                counter.inc_by(slots.refused(why).saturating_sub(counter.get()));
            }
        }
        if let Some(memory) = &watched.memory {
            self.memory_used.set(signed(memory.used() as u64));
            self.memory_limit.set(signed(memory.limit() as u64));
        }
    }

    /// Says whether the daemon takes mail.
    pub fn ready(&self, ready: bool) {
        self.ready.set(ready.into());
    }

    /// Notes the outcome of loading the configuration.
    pub fn config_loaded(&self, ok: bool) {
        self.config_ok.set(ok.into());
        if ok {
            self.config_time.set(unix(SystemTime::now()));
        }
    }

    /// Gives each rule of the loaded configuration, built-in defaults included, its series. Those of
    /// rules that are gone go; what remains keeps counting. Beyond [`MAX_RULES`] they share one.
    pub fn set_rules<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        let new: BTreeSet<String> = names.into_iter().take(MAX_RULES).map(str::to_owned).collect();
        let mut known = self.rule_names.write().unwrap_or_else(PoisonError::into_inner);
        for gone in known.difference(&new) {
            // The only error is that there is no such series.
            let _ = self.rules.remove_label_values(&[gone]);
        }
        for name in &new {
            self.rules.with_label_values(&[name]);
        }
        *known = new;
    }

    /// Counts a message that `rule` decided.
    pub fn rule(&self, rule: &str) {
        let known = self.rule_names.read().unwrap_or_else(PoisonError::into_inner);
        let label = if known.contains(rule) { rule } else { OTHER_RULES };
        self.rules.with_label_values(&[label]).inc();
    }

    /// How many workers there are.
    pub fn workers(&self, busy: usize, idle: usize) {
        for (state, count) in [("busy", busy), ("idle", idle)] {
            self.workers.with_label_values(&[state]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Something was asked of the outside.
    pub fn ask(&self, result: AskResult) {
        self.asks.with_label_values(&[result.name()]).inc();
    }

    /// It is known what a picture shows.
    pub fn picture(&self, source: PictureSource) {
        self.pictures.with_label_values(&[source.name()]).inc();
    }

    /// A picture was learnt.
    pub fn picture_learnt(&self) {
        self.pictures_learnt.inc();
    }

    /// Counts a message that was looked at once more.
    pub fn second_mail(&self, result: SecondMail) {
        self.second_mails.with_label_values(&[result.name()]).inc();
    }

    /// Counts a delivered message that was opened afterwards.
    pub fn late_verdict(&self, level: Level) {
        self.late_verdicts.with_label_values(&[level.name()]).inc();
    }

    /// Shows how much the copies of delivered mail are.
    pub fn copies(&self, bytes: u64) {
        self.copies_bytes.set(signed(bytes));
    }

    /// How long it took until an ask was answered, or given up.
    pub fn ask_took(&self, time: Duration) {
        self.ask_time.observe(time.as_secs_f64());
    }

    /// A worker stands ready.
    pub fn worker_started(&self) {
        self.workers_started.inc();
    }

    /// A worker has ended.
    pub fn worker_ended(&self, end: WorkerEnd) {
        self.workers_ended.with_label_values(&[end.name()]).inc();
    }

    /// A session begins. Each needs its [`Metrics::session_ended`].
    pub fn session_began(&self, transport: Transport) {
        self.sessions_active.with_label_values(&[transport.name()]).inc();
    }

    /// A session that began has ended.
    pub fn session_ended(&self, transport: Transport, end: SessionEnd) {
        self.sessions_active.with_label_values(&[transport.name()]).dec();
        self.sessions.with_label_values(&[transport.name(), end.name()]).inc();
    }

    /// Counts a session that was turned away before it began.
    pub fn session_refused(&self, transport: Transport) {
        self.sessions.with_label_values(&[transport.name(), SessionEnd::Refused.name()]).inc();
    }

    /// Counts a message by what became of it.
    pub fn message(&self, transport: Transport, disposition: Disposition) {
        self.messages.with_label_values(&[transport.name(), disposition.name()]).inc();
    }

    /// Counts recipients by what became of their copies.
    pub fn recipients(&self, disposition: Disposition, count: usize) {
        self.recipients.with_label_values(&[disposition.name()]).inc_by(count as u64);
    }

    /// Counts a scanned message.
    pub fn verdict(&self, level: Level, complete: bool) {
        self.verdicts.with_label_values(&[level.name(), yes_no(complete)]).inc();
    }

    /// Counts one finding.
    pub fn finding(&self, finding: FindingId) {
        self.findings.with_label_values(&[finding.as_str(), finding.severity.name()]).inc();
    }

    /// Counts one inspected part; `nested` if it came out of another attachment.
    pub fn attachment(&self, file_type: FileType, nested: bool) {
        self.attachments.with_label_values(&[file_type.name(), yes_no(nested)]).inc();
    }

    /// Notes the size of a message in octets.
    pub fn message_size(&self, octets: u64) {
        self.message_size.observe(octets as f64);
    }

    /// Notes the time from the end of the message to the decision.
    pub fn scan_duration(&self, transport: Transport, time: Duration) {
        self.scan_duration.with_label_values(&[transport.name()]).observe(time.as_secs_f64());
    }

    /// Notes the time spent in a stage.
    pub fn stage(&self, stage: Stage, time: Duration) {
        self.stage_duration.with_label_values(&[stage.name()]).observe(time.as_secs_f64());
    }

    /// Notes how long a message waited for a free scanner.
    pub fn queue_wait(&self, time: Duration) {
        self.queue_wait.observe(time.as_secs_f64());
    }

    /// Counts a scan that failed by our fault.
    pub fn scan_error(&self, error: ScanError) {
        self.scan_errors.with_label_values(&[error.name()]).inc();
    }

    /// Counts a limit that a scan reached.
    pub fn limit_exceeded(&self, limit: Limit) {
        self.limits_exceeded.with_label_values(&[limit.name()]).inc();
    }

    /// Says how full the quarantine is.
    pub fn quarantine(&self, usage: &QuarantineUse) {
        let QuarantineUse { messages, bytes, limit, oldest } = *usage;
        self.quarantine_messages.set(signed(messages));
        self.quarantine_bytes.set(signed(bytes));
        self.quarantine_limit.set(signed(limit));
        self.quarantine_oldest.set(oldest.map_or(0, unix));
    }

    /// Counts a quarantine operation.
    pub fn quarantine_operation(&self, operation: QuarantineOperation, ok: bool) {
        let result = if ok { "ok" } else { "failed" };
        self.quarantine_operations.with_label_values(&[operation.name(), result]).inc();
    }

    /// Counts a message handed to the next hop.
    pub fn delivery(&self, kind: DeliveryKind, result: DeliveryResult) {
        self.deliveries.with_label_values(&[kind.name(), result.name()]).inc();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn yes_no(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unix(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| signed(since.as_secs()))
}

/// Makes metrics and registers them.
struct Maker<'a>(&'a Registry);

impl Maker<'_> {
    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(IntCounter::new(name, help))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::new(name, help))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.register(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
    }

    fn histograms(&self, name: &str, help: &str, label: &str) -> HistogramVec {
        self.register(HistogramVec::new(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()), &[label]))
    }

    fn build_info(&self) {
        let labels = ["version", "target"];
        let target = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
        self.gauges("sekisho_build_info", "What runs here; the value is always 1.", &labels)
            .with_label_values(&[env!("CARGO_PKG_VERSION"), &target])
            .set(1);
    }

    #[expect(
        clippy::expect_used,
        reason = "names and labels are literals; every test that makes a Metrics checks them"
    )]
    fn register<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> C {
        let metric = made.expect("a valid metric");
        self.0.register(Box::new(metric.clone())).expect("a metric that was not registered before");
        metric
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::queue::Client;

    /// A strict reader of the exposition format: family -> (type, samples).
    fn parse(page: &str) -> BTreeMap<String, (String, Vec<String>)> {
        let mut families: BTreeMap<String, (String, Vec<String>)> = BTreeMap::new();
        let (mut helped, mut current) = (String::new(), String::new());
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect(line);
                assert!(!help.is_empty() && help.ends_with('.'), "{line}");
                helped = name.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect(line);
                assert_eq!(name, helped, "HELP stands before TYPE");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(families.insert(name.to_owned(), (kind.to_owned(), Vec::new())).is_none(), "twice: {line}");
                current = name.to_owned();
            } else {
                let (series, value) = line.rsplit_once(' ').expect(line);
                value.parse::<f64>().expect(line);
                let name = series.split('{').next().unwrap();
                let base = ["_bucket", "_sum", "_count"].iter().find_map(|s| name.strip_suffix(s)).unwrap_or(name);
                assert!(name == current || base == current, "{line} stands under {current}");
                families.get_mut(&current).unwrap().1.push(series.to_owned());
            }
        }
        families
    }

    #[test]
    fn the_page_is_well_formed_and_named_by_the_conventions() {
        let families = parse(&Metrics::new().render().unwrap());
        for (name, (kind, samples)) in &families {
            assert!(name.starts_with("sekisho_") || name.starts_with("process_"), "{name}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
            assert!(!samples.is_empty(), "{name} starts without a series");
            let mut unique = samples.clone();
            unique.sort();
            unique.dedup();
            assert_eq!(unique.len(), samples.len(), "{name} repeats a series");
        }
    }

    #[test]
    fn the_series_stay_below_2000_with_as_many_rules_as_can_be() {
        let metrics = Metrics::new();
        let names: Vec<String> = (0..500).map(|n| format!("rule {n}")).collect();
        metrics.set_rules(names.iter().map(String::as_str));
        names.iter().for_each(|name| metrics.rule(name));
        let series: usize = parse(&metrics.render().unwrap()).values().map(|(_, samples)| samples.len()).sum();
        assert!(series < 2000, "{series}");
    }

    #[test]
    fn an_unknown_rule_makes_no_series() {
        let metrics = Metrics::new();
        metrics.set_rules(["macros", "(malicious)"]);
        metrics.rule("macros");
        metrics.rule("evil\n\"} 1");
        metrics.set_rules(["(malicious)"]);
        metrics.rule("macros");
        let page = metrics.render().unwrap();
        assert!(page.contains("sekisho_rule_matches_total{rule=\"(other)\"} 2\n"), "{page}");
        assert!(!page.contains("evil") && !page.contains("rule=\"macros\""));
    }

    /// One slot that is taken, no places, and one that was refused.
    fn full_slots() -> Arc<Slots> {
        let slots = Slots::new(1, 0);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let now = tokio::time::Instant::now();
            std::mem::forget(slots.admit(Client::Own(None), now).await.unwrap());
            assert_eq!(slots.admit(Client::Unknown, now).await.unwrap_err(), Full::Queue);
        });
        slots
    }

    #[test]
    fn what_is_counted_is_shown() {
        let metrics = Metrics::new();
        metrics.message(Transport::BeforeQueue, Disposition::Quarantine);
        metrics.recipients(Disposition::Pass, 3);
        metrics.verdict(Level::Malicious, false);
        metrics.finding(finding::VBA_AUTOEXEC);
        metrics.attachment(FileType::OoxmlDocm, true);
        metrics.session_began(Transport::AfterQueue);
        metrics.session_began(Transport::AfterQueue);
        metrics.session_ended(Transport::AfterQueue, SessionEnd::Timeout);
        metrics.limit_exceeded(Limit::Recursion);
        metrics.scan_error(ScanError::Panic);
        metrics.delivery(DeliveryKind::Forward, DeliveryResult::of_code(451));
        metrics.quarantine_operation(QuarantineOperation::Hold, true);
        metrics.scan_duration(Transport::BeforeQueue, Duration::from_millis(30));
        metrics.message_size(2048);
        metrics.quarantine(&QuarantineUse { messages: 2, bytes: 9, limit: 10, oldest: Some(UNIX_EPOCH) });
        metrics.config_loaded(true);
        metrics.ready(true);
        metrics.no_spool_room();
        metrics.watch_slots(&full_slots());
        metrics.watch_memory(&Memory::new(4096));
        metrics.render().unwrap();
        let page = metrics.render().unwrap();
        for line in [
            "sekisho_messages_total{disposition=\"quarantine\",transport=\"before-queue\"} 1",
            "sekisho_messages_total{disposition=\"quarantine\",transport=\"after-queue\"} 0",
            "sekisho_recipients_total{disposition=\"pass\"} 3",
            "sekisho_verdicts_total{complete=\"false\",verdict=\"malicious\"} 1",
            "sekisho_findings_total{finding=\"vba-autoexec\",severity=\"high\"} 1",
            "sekisho_attachments_total{nested=\"true\",type=\"ooxml-docm\"} 1",
            "sekisho_sessions_active{transport=\"after-queue\"} 1",
            "sekisho_sessions_total{result=\"timeout\",transport=\"after-queue\"} 1",
            "sekisho_limits_exceeded_total{limit=\"max_recursion\"} 1",
            "sekisho_scan_errors_total{reason=\"panic\"} 1",
            "sekisho_deliveries_total{kind=\"forward\",result=\"4xx\"} 1",
            "sekisho_quarantine_operations_total{operation=\"hold\",result=\"ok\"} 1",
            "sekisho_scan_duration_seconds_bucket{transport=\"before-queue\",le=\"0.05\"} 1",
            "sekisho_message_size_bytes_sum 2048",
            "sekisho_quarantine_size_bytes 9",
            "sekisho_config_last_reload_successful 1",
            "sekisho_ready 1",
            "sekisho_scans_running 1",
            "sekisho_scans_waiting 0",
            "sekisho_no_room_total{reason=\"queue\"} 1",
            "sekisho_no_room_total{reason=\"late\"} 0",
            "sekisho_no_room_total{reason=\"spool\"} 1",
            "sekisho_content_memory_bytes 0",
            "sekisho_content_memory_limit_bytes 4096",
        ] {
            assert!(page.contains(&format!("{line}\n")), "{line} is not in\n{page}");
        }
    }

    #[test]
    fn the_manual_lists_every_family() {
        let manual = include_str!("../docs/metrics.md");
        let described: BTreeMap<&str, &str> = manual
            .lines()
            .filter_map(|line| line.strip_prefix("| `"))
            .filter_map(|row| {
                let mut cells = row.split('|').map(|cell| cell.trim().trim_matches('`'));
                Some((cells.next()?, cells.next()?))
            })
            .collect();
        let families = parse(&Metrics::new().render().unwrap());
        let real: BTreeMap<&str, &str> = families.iter().map(|(name, (kind, _))| (&**name, &**kind)).collect();
        assert_eq!(described, real);
    }
}
