//! The straight line: message → report → verdict → decisions → plan → done, with one log line.
//!
//! Whoever has read [`Pipeline::handle`] knows the program. Everything between the bytes and the
//! plan is a plain function; this file adds the clock, the threads and the outside world, and it
//! alone answers a final dot.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::{Config, Listener, OnError};
use crate::envelope::Path;
use crate::faults::Faults;
use crate::knowledge::Knowledge;
use crate::message::SpoolPolicy;
use crate::metrics::{Metrics, ScanError, Stage};
use crate::mime;
use crate::part::PartPath;
use crate::plan::plan;
use crate::policy;
use crate::policy::decision::Decision;
use crate::policy::facts::{FACTS_VERSION, Facts};
use crate::scan::{Input, Report, Stop, fault, scan};
use crate::smtp::session::{ContentRefusal, SessionEnd};
use crate::store::{Quarantine, QuarantineId};
use crate::strip::Stripped;
use crate::transaction::{Answer, Ending, Handler, Mail, Onward};
use crate::transport::Transport;
use crate::verdict::{Verdict, judge};

mod deliver;
mod record;
mod strip;

use deliver::{Outcome, refusal};

/// Received fields above which a message runs in a loop (RFC 5321 6.3 suggests 100).
const MAX_RECEIVED: usize = 100;
/// How long a scan that was asked to stop may take to say so.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// What the disk gets at least for the last thing to do, also when something else took all the time.
const LAST_GRACE: Duration = Duration::from_secs(1);

/// Everything that messages share on their way.
pub struct Pipeline {
    /// The configuration in force: taken anew for each message.
    pub config: Arc<ArcSwap<Config>>,
    /// Where copies are held.
    pub quarantine: Arc<Quarantine>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where large messages wait while they arrive.
    spool_folder: PathBuf,
    scans: Arc<Semaphore>,
    faults: Faults,
}

/// What looking at a message produced.
struct Scanned {
    raw: Bytes,
    report: Report,
    waited: Duration,
    took: Duration,
}

/// What the judging half of the line produced.
struct Judged {
    raw: Bytes,
    report: Report,
    verdict: Verdict,
    facts: Facts,
    decisions: Vec<Decision>,
    /// What the message is without the parts that rules want stripped, by these parts.
    stripped: Vec<(Vec<PartPath>, Stripped)>,
    waited: Duration,
    stages: Vec<(Stage, Duration)>,
}

/// Why a message could not be judged at all.
enum Trouble {
    /// No scanner was free in time.
    Busy,
    /// Its octets could not be read back.
    Unreadable(std::io::Error),
    /// Too many Received fields.
    Loop(usize),
    /// The client went away while it waited.
    ClientGone,
}

impl Handler for Pipeline {
    async fn handle(&self, mail: Mail, onward: &mut impl Onward) -> Answer {
        let id = QuarantineId::new(Timestamp::now());
        match self.judge(&mail).await {
            Ok(mut judged) => {
                self.strip(&mail, id, &mut judged).await;
                let plan = plan(&judged.decisions, mail.transport);
                let outcome = self.carry_out(&plan, &mail, id, &judged, onward).await;
                self.record(&mail, id, &judged, &outcome);
                outcome.answer
            }
            Err(trouble) => {
                let outcome = trouble.outcome(&mail, id);
                self.record_trouble(&mail, id, &trouble, &outcome);
                outcome.answer
            }
        }
    }

    fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    fn spool(&self) -> SpoolPolicy {
        let threshold = usize::try_from(self.config.load().service.spool_threshold).unwrap_or(usize::MAX);
        SpoolPolicy { threshold, folder: self.spool_folder.clone() }
    }

    async fn settled(&self, held: QuarantineId, ending: Ending) {
        self.settle_unconfirmed(held, ending).await;
    }

    fn session_opened(&self, listener: &Listener) {
        self.metrics.session_began(listener.transport);
    }

    fn session_ended(&self, listener: &Listener, end: SessionEnd) {
        self.metrics.session_ended(listener.transport, end);
    }

    fn session_refused(&self, listener: &Listener) {
        self.metrics.session_refused(listener.transport);
    }

    fn message_refused(&self, mail: &Mail, refusal: ContentRefusal) {
        self.record_refusal(mail, refusal);
    }

    fn message_panicked(&self, _listener: &Listener) {
        self.metrics.scan_error(ScanError::Panic);
    }
}

impl Pipeline {
    /// The line of one daemon.
    pub fn new(
        config: Arc<ArcSwap<Config>>,
        quarantine: Arc<Quarantine>,
        metrics: Arc<Metrics>,
        spool_folder: PathBuf,
    ) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let wanted = config.load().service.max_scans;
        let scans = if wanted == 0 { cores } else { wanted };
        let (scans, faults) = (Arc::new(Semaphore::new(scans)), Faults::default());
        Self { config, quarantine, metrics, spool_folder, scans, faults }
    }

    /// Octets to decisions.
    async fn judge(&self, mail: &Mail) -> Result<Judged, Trouble> {
        let message = Arc::clone(&mail.message);
        let scanned = self.scan(mail, move || message.bytes()).await?;
        // The one on top of what a milter is told is ours.
        let ours = usize::from(mail.transport == Transport::Milter);
        let received = mime::received_count(&scanned.raw).saturating_sub(ours);
        if received > MAX_RECEIVED {
            return Err(Trouble::Loop(received));
        }
        let begun = Instant::now();
        let verdict = judge(&scanned.report);
        let facts = facts(mail, mail.message.size(), &scanned.report, &verdict);
        // An MTA that names no recipient to a milter has some all the same.
        let nobody = [Path::default()];
        let recipients = if mail.envelope.recipients.is_empty() { &nobody } else { &mail.envelope.recipients[..] };
        let decisions = if self.faults.repeated(&scanned.raw, &scanned.report) {
            let policy = mail.config.policy.with_on_error(OnError::Quarantine);
            policy::decide_each(&facts, recipients, &policy, Timestamp::now())
        } else {
            policy::decide_each(&facts, recipients, &mail.config.policy, Timestamp::now())
        };
        let stages = vec![(Stage::Scan, scanned.took), (Stage::Policy, begun.elapsed())];
        if mail.client_gone.is_cancelled() {
            // Nobody would hear the reply, and the client keeps the message: do not make a second one.
            return Err(Trouble::ClientGone);
        }
        let Scanned { raw, report, waited, .. } = scanned;
        Ok(Judged { raw, report, verdict, facts, decisions, stripped: Vec::new(), waited, stages })
    }

    /// Waits for a free scanner and looks at the message on a thread of its own, both within the
    /// reply deadline; a scan that takes too long is told to stop, and is a fault.
    async fn scan(
        &self,
        mail: &Mail,
        read: impl FnOnce() -> std::io::Result<Bytes> + Send + 'static,
    ) -> Result<Scanned, Trouble> {
        let deadline = mail.deadline();
        let waiting = Instant::now();
        let permit = tokio::select! {
            permit = timeout_at(deadline, Arc::clone(&self.scans).acquire_owned()) => permit,
            () = mail.client_gone.cancelled() => return Err(Trouble::ClientGone),
        };
        let Ok(Ok(permit)) = permit else { return Err(Trouble::Busy) };
        let waited = waiting.elapsed();
        let (limits, stop) = (mail.config.limits.clone(), Stop::default());
        let stopper = stop.clone();
        let mut job = tokio::task::spawn_blocking(move || {
            let raw = read()?;
            let report = scan(Input::message(raw.clone()), &limits, &Knowledge::default(), &stop);
            drop(permit);
            Ok((raw, report))
        });
        let begun = Instant::now();
        let limit =
            Duration::from_secs(mail.config.limits.max_scan_time).min(deadline.saturating_duration_since(begun));
        let done = match timeout(limit, &mut job).await {
            Ok(done) => Some(done),
            Err(_) => {
                stopper.stop();
                timeout(STOP_GRACE, &mut job).await.ok()
            }
        };
        let took = begun.elapsed();
        match done {
            Some(Ok(Ok((raw, report)))) => Ok(Scanned { raw, report, waited, took }),
            Some(Ok(Err(error))) => Err(Trouble::Unreadable(error)),
            Some(Err(panic)) => self.failed(mail, &panic.to_string(), waited, took).await,
            None => self.failed(mail, "max_scan_time", waited, took).await,
        }
    }

    /// What is known of a message whose scan gave nothing back: that it failed.
    async fn failed(&self, mail: &Mail, why: &str, waited: Duration, took: Duration) -> Result<Scanned, Trouble> {
        let message = Arc::clone(&mail.message);
        let read = tokio::task::spawn_blocking(move || message.bytes());
        let read = timeout(left(mail.deadline()), read).await;
        let read = read.map_err(std::io::Error::other).and_then(|read| read.map_err(std::io::Error::other));
        let raw = read.and_then(|read| read).map_err(Trouble::Unreadable)?;
        let report = fault(Input::message(raw.clone()), why);
        Ok(Scanned { raw, report, waited, took })
    }
}

/// The addresses of the From field, for logs and lists.
fn header_from(judged: &Judged) -> Option<String> {
    let from = mime::header_from(&judged.raw);
    (!from.is_empty()).then(|| from.join(", "))
}

/// The time until the deadline, and at least [`LAST_GRACE`].
fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(LAST_GRACE)
}

/// The policy's input.
fn facts(mail: &Mail, size: u64, report: &Report, verdict: &Verdict) -> Facts {
    let envelope = &mail.envelope;
    Facts {
        version: FACTS_VERSION,
        client: envelope.client.addr,
        sender: envelope.sender.clone(),
        direction: policy::direction(envelope.client.addr, &envelope.sender, &envelope.recipients, &mail.config.mail),
        size,
        verdict: verdict.level,
        complete: verdict.complete,
        reasons: verdict.reasons.clone(),
        findings: report.findings.clone(),
        parts: report.parts.clone(),
    }
}

impl Trouble {
    fn outcome(&self, mail: &Mail, id: QuarantineId) -> Outcome {
        match self {
            Trouble::Busy | Trouble::ClientGone => Outcome::deferred(mail, id, "4.3.2"),
            Trouble::Unreadable(_) => Outcome::deferred(mail, id, "4.3.0"),
            Trouble::Loop(_) => {
                let template = "554 5.4.6 too many hops, this message runs in a loop ({id})";
                Outcome::refused(mail, refusal(template, id))
            }
        }
    }
}
