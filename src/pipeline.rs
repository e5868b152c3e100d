//! The straight line: message → report → verdict → decisions → plan → done, with one log line.
//!
//! Whoever has read [`Pipeline::handle`] knows the program. Everything between the bytes and the
//! plan is a plain function; this file adds the clock, the threads and the outside world, and it
//! alone answers a final dot.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use jiff::Timestamp;
use tokio::time::{Instant, timeout};

use crate::asks::Oracles;
use crate::config::{Config, Listener, OnError};
use crate::envelope::Path;
use crate::faults::{Content, Faults};
use crate::formats::Format;
use crate::message::{Memory, Message, SpoolPolicy};
use crate::metrics::{Metrics, ScanError, Stage};
use crate::mime;
use crate::part::PartPath;
use crate::plan::plan;
use crate::policy;
use crate::policy::allow::{Forgiven, forgive};
use crate::policy::decision::Decision;
use crate::policy::facts::{FACTS_VERSION, Facts};
use crate::queue::{Full, Slots};
use crate::scan::{Input, Report, fault};
use crate::smtp::session::{ContentRefusal, SessionEnd};
use crate::store::{Quarantine, QuarantineId};
use crate::strip::Stripped;
use crate::transaction::{Answer, Ending, Handler, Mail, Onward};
use crate::transport::Transport;
use crate::verdict::{Level, Verdict, judge};
use crate::worker::Workers;

mod deliver;
mod late;
mod look;
mod record;
mod strip;

pub use late::Late;

use deliver::{Outcome, refusal};

/// Received fields above which a message runs in a loop (RFC 5321 6.3 suggests 100).
const MAX_RECEIVED: usize = 100;
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
    /// What looks into mail in which there is nothing to open; the workers have the same.
    formats: &'static [Format],
    /// What opens attachments.
    pub workers: Arc<Workers>,
    oracles: Oracles,
    slots: Arc<Slots>,
    /// What messages have of memory while they are here.
    memory: Arc<Memory>,
    faults: Faults,
    /// What mails tell for others, and what waits for that.
    late: Late,
}

/// What looking at a message produced.
struct Scanned {
    report: Report,
    /// Pictures that would be learnt from a malicious document.
    pictures: Vec<look::Shown>,
    waited: Duration,
    took: Duration,
}

/// What the judging half of the line produced.
struct Judged {
    /// The header of the message.
    head: Bytes,
    report: Report,
    /// The passwords of other mails that were tried.
    heard: Vec<String>,
    verdict: Verdict,
    facts: Facts,
    /// The names of the exceptions that forgave something.
    allowed_by: Vec<String>,
    decisions: Vec<Decision>,
    /// What the message is without the parts that rules want stripped, by these parts.
    stripped: Vec<(Vec<PartPath>, Stripped)>,
    waited: Duration,
    stages: Vec<(Stage, Duration)>,
}

/// Why a message could not be judged at all.
enum Trouble {
    /// No scanner was free in time, or too many wait for one.
    Busy(Full),
    /// No scanner could be started.
    NoWorker(std::io::Error),
    /// What judges its findings failed, twice.
    Unjudged,
    /// Its octets could not be read back.
    Unreadable(std::io::Error),
    /// Its header is larger than any honest one.
    HeaderTooLarge,
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
                self.remember(&mail, id, &judged, &outcome);
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
        let service = &self.config.load().service;
        let threshold = usize::try_from(service.spool_threshold).unwrap_or(usize::MAX);
        let (folder, memory) = (self.spool_folder.clone(), Arc::clone(&self.memory));
        SpoolPolicy { threshold, folder, memory, min_free: service.spool_min_free }
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
        formats: &'static [Format],
        workers: Arc<Workers>,
        oracles: Oracles,
        spool_folder: PathBuf,
        late: Late,
    ) -> Self {
        let service = &config.load().service;
        let (slots, faults) = (Slots::new(service.slots(), service.max_waiting), Faults::default());
        let memory = Memory::new(usize::try_from(service.max_memory).unwrap_or(usize::MAX));
        metrics.watch_slots(&slots);
        metrics.watch_memory(&memory);
        Self { config, quarantine, metrics, formats, workers, oracles, spool_folder, memory, slots, faults, late }
    }

    /// Octets to decisions.
    async fn judge(&self, mail: &Mail) -> Result<Judged, Trouble> {
        let head = self.head(mail).await?;
        // The one on top of what a milter is told is ours.
        let ours = usize::from(mail.transport == Transport::Milter);
        let received = mime::received_count(&head).saturating_sub(ours);
        if received > MAX_RECEIVED {
            return Err(Trouble::Loop(received));
        }
        let heard = self.heard(mail, &head);
        let known = self.failed_before(mail, head.len()).await?;
        let scanned = match known {
            true => Scanned::failed(&head, "failed three times before"),
            false => self.look(mail, &mail.message, &head, &heard).await?,
        };
        let Scanned { mut report, pictures, waited, took } = scanned;
        let begun = Instant::now();
        let mut repeated = known || self.failed_again(mail, head.len(), &report).await?;
        let judged = match conclude(mail, &report, repeated) {
            Some(judged) => judged,
            // Whatever it was in the report that the judging fails on: it counts as a scan that failed.
            None => {
                report = fault(Input::message(head.clone()), "judging", None);
                repeated = self.failed_again(mail, head.len(), &report).await?;
                conclude(mail, &report, repeated).ok_or(Trouble::Unjudged)?
            }
        };
        let Concluded { verdict, facts, allowed_by, decisions } = judged;
        if verdict.level == Level::Malicious {
            // What fails here is missing from the store, and nothing else.
            let _ = catch_unwind(AssertUnwindSafe(|| self.learn(mail, &report, &pictures)));
        }
        let stages = vec![(Stage::Scan, took), (Stage::Policy, begun.elapsed())];
        if mail.client_gone.is_cancelled() {
            // Nobody would hear the reply, and the client keeps the message: do not make a second one.
            return Err(Trouble::ClientGone);
        }
        Ok(Judged { head, report, heard, verdict, facts, allowed_by, decisions, stripped: Vec::new(), waited, stages })
    }

    /// The header of a message.
    async fn head(&self, mail: &Mail) -> Result<Bytes, Trouble> {
        let head = if mail.message.is_in_memory() {
            mail.message.head().map_err(Trouble::Unreadable)?
        } else {
            read(mail, |message| message.head()).await?
        };
        // What stands behind the cut might be a forged field of ours.
        if head.whole { Ok(head.octets) } else { Err(Trouble::HeaderTooLarge) }
    }

    /// Whether scanning this content has failed so often that it is not tried again.
    async fn failed_before(&self, mail: &Mail, head: usize) -> Result<bool, Trouble> {
        let body = mail.message.size().saturating_sub(head as u64);
        if !self.faults.knows_size(body) {
            return Ok(false);
        }
        let content = read(mail, move |message| Content::of(message, head as u64)).await?;
        Ok(self.faults.knows(content, std::time::Instant::now()))
    }

    /// Counts a scan that failed, and says whether it is to be the last one of this content.
    async fn failed_again(&self, mail: &Mail, head: usize, report: &Report) -> Result<bool, Trouble> {
        if !Faults::is_one(report) {
            return Ok(false);
        }
        let content = read(mail, move |message| Content::of(message, head as u64)).await?;
        Ok(self.faults.count(content, std::time::Instant::now()))
    }
}

/// Reads from a message that may be on the disk, within the reply deadline.
async fn read<T: Send + 'static>(
    mail: &Mail,
    read: impl FnOnce(&Message) -> std::io::Result<T> + Send + 'static,
) -> Result<T, Trouble> {
    let message = Arc::clone(&mail.message);
    let read = tokio::task::spawn_blocking(move || read(&message));
    let read = timeout(left(mail.deadline()), read).await;
    let read = read.map_err(std::io::Error::other).and_then(|read| read.map_err(std::io::Error::other));
    read.and_then(|read| read).map_err(Trouble::Unreadable)
}

/// What the findings of a message mean, and what is done about it.
struct Concluded {
    verdict: Verdict,
    facts: Facts,
    allowed_by: Vec<String>,
    decisions: Vec<Decision>,
}

/// Judges and decides; `None` if that panics.
fn conclude(mail: &Mail, report: &Report, repeated: bool) -> Option<Concluded> {
    let conclude = || {
        let (policy, now) = (&mail.config.policy, Timestamp::now());
        let Forgiven { report, by } = allowed(mail, report);
        let verdict = judge(&report);
        let facts = facts(mail, mail.message.size(), &report, &verdict);
        // An MTA that names no recipient to a milter has some all the same.
        let nobody = [Path::default()];
        let recipients = if mail.envelope.recipients.is_empty() { &nobody } else { &mail.envelope.recipients[..] };
        let decisions = if repeated {
            policy::decide_each(&facts, recipients, &policy.with_on_error(OnError::Quarantine), now)
        } else {
            policy::decide_each(&facts, recipients, policy, now)
        };
        Concluded { verdict, facts, allowed_by: by, decisions }
    };
    catch_unwind(AssertUnwindSafe(conclude)).ok()
}

/// A report without what exceptions forgive.
fn allowed<'a>(mail: &Mail, report: &'a Report) -> Forgiven<'a> {
    forgive(mail.config.policy.allows(), report, &mail.envelope.sender.address(), Timestamp::now())
}

/// The addresses of the From field, for logs and lists.
fn header_from(judged: &Judged) -> Option<String> {
    let from = mime::header_from(&judged.head);
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
            Trouble::Busy(_) | Trouble::NoWorker(_) | Trouble::ClientGone => Outcome::deferred(mail, id, "4.3.2"),
            Trouble::Unreadable(_) | Trouble::Unjudged => Outcome::deferred(mail, id, "4.3.0"),
            Trouble::HeaderTooLarge => {
                Outcome::refused(mail, refusal("554 5.6.0 the header of the message is too large ({id})", id))
            }
            Trouble::Loop(_) => {
                let template = "554 5.4.6 too many hops, this message runs in a loop ({id})";
                Outcome::refused(mail, refusal(template, id))
            }
        }
    }
}
