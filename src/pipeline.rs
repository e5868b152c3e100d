//! The straight line: message → report → verdict → decisions → plan → done, with one log line.
//!
//! Whoever has read [`Pipeline::handle`] knows the program. Everything between the bytes and the
//! plan is a plain function; this file adds the clock, the threads and the outside world, and it
//! alone answers a final dot.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::{Config, Listener, OnError};
use crate::faults::Faults;
use crate::knowledge::Knowledge;
use crate::marks;
use crate::message::SpoolPolicy;
use crate::metrics::{DeliveryKind, DeliveryResult, Disposition, Metrics, QuarantineOperation, ScanError, Stage};
use crate::mime;
use crate::plan::{Forward, Plan, plan};
use crate::policy;
use crate::policy::decision::Decision;
use crate::policy::facts::{FACTS_VERSION, Facts};
use crate::scan::{Input, Report, Stop, fault, scan};
use crate::smtp::reply::Reply;
use crate::smtp::session::{ContentRefusal, SessionEnd};
use crate::store::{self, NewEntry, Quarantine, QuarantineId, State, StoreError};
use crate::transaction::{Addressees, Answer, Forwarded, Handler, Mail, Onward};
use crate::verdict::{Verdict, judge};

mod record;

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

/// How a message ended.
struct Outcome {
    reply: Reply,
    /// One per recipient, in the envelope's order.
    dispositions: Vec<Disposition>,
    stages: Vec<(Stage, Duration)>,
}

impl Handler for Pipeline {
    async fn handle(&self, mail: Mail, onward: &mut impl Onward) -> Answer {
        let id = QuarantineId::new(Timestamp::now());
        match self.judge(&mail).await {
            Ok(judged) => {
                let plan = plan(&judged.decisions, mail.transport);
                let outcome = self.carry_out(plan, &mail, id, &judged, onward).await;
                self.record(&mail, id, &judged, &outcome);
                Answer::All(outcome.reply)
            }
            Err(trouble) => {
                let outcome = trouble.outcome(&mail, id);
                self.record_trouble(&mail, id, &trouble, &outcome);
                Answer::All(outcome.reply)
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
        let scanned = self.scan(mail).await?;
        let received = mime::received_count(&scanned.raw);
        if received > MAX_RECEIVED {
            return Err(Trouble::Loop(received));
        }
        let begun = Instant::now();
        let verdict = judge(&scanned.report);
        let facts = facts(mail, &scanned.report, &verdict);
        let decisions = if self.faults.repeated(&scanned.raw, &scanned.report) {
            let policy = mail.config.policy.with_on_error(OnError::Quarantine);
            policy::decide_each(&facts, &mail.envelope.recipients, &policy, Timestamp::now())
        } else {
            policy::decide_each(&facts, &mail.envelope.recipients, &mail.config.policy, Timestamp::now())
        };
        let stages = vec![(Stage::Scan, scanned.took), (Stage::Policy, begun.elapsed())];
        if mail.client_gone.is_cancelled() {
            // Nobody would hear the reply, and the client keeps the message: do not make a second one.
            return Err(Trouble::ClientGone);
        }
        let Scanned { raw, report, waited, .. } = scanned;
        Ok(Judged { raw, report, verdict, facts, decisions, waited, stages })
    }

    /// Waits for a free scanner and looks at the message on a thread of its own, both within the
    /// reply deadline; a scan that takes too long is told to stop, and is a fault.
    async fn scan(&self, mail: &Mail) -> Result<Scanned, Trouble> {
        let deadline = mail.deadline();
        let waiting = Instant::now();
        let permit = tokio::select! {
            permit = timeout_at(deadline, Arc::clone(&self.scans).acquire_owned()) => permit,
            () = mail.client_gone.cancelled() => return Err(Trouble::ClientGone),
        };
        let Ok(Ok(permit)) = permit else { return Err(Trouble::Busy) };
        let waited = waiting.elapsed();
        let (message, limits, stop) = (Arc::clone(&mail.message), mail.config.limits.clone(), Stop::default());
        let stopper = stop.clone();
        let mut job = tokio::task::spawn_blocking(move || {
            let raw = message.bytes()?;
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

    /// Does what was planned, and answers by what came of it. The next hop is told that nothing more
    /// comes of the transaction once the client has its reply, so that a slow one cannot delay that.
    async fn carry_out(
        &self,
        plan: Plan,
        mail: &Mail,
        id: QuarantineId,
        judged: &Judged,
        onward: &mut impl Onward,
    ) -> Outcome {
        match plan {
            Plan::Defer => Outcome::deferred(mail, id, "4.7.1"),
            Plan::Reject { reply } => Outcome::rejected(mail, id, &reply),
            Plan::Deliver { hold, forward } => {
                let mut outcome = Outcome::held(mail, id);
                let begun = Instant::now();
                if !hold.is_empty() {
                    // What the next hop says to the others decides about a pending copy.
                    let state = if forward.is_some() { State::Pending } else { State::Held };
                    if let Err(error) = self.hold(mail, id, judged, &hold, state).await {
                        tracing::error!(%id, %error, "deferring: the message cannot be quarantined");
                        return Outcome::deferred(mail, id, "4.3.1");
                    }
                    outcome.stages.push((Stage::Store, begun.elapsed()));
                }
                if let Some(forward) = forward {
                    let begun = Instant::now();
                    let forwarded = self.forward(&forward, mail, id, judged, onward).await;
                    outcome.stages.push((Stage::Forward, begun.elapsed()));
                    self.settle(forwarded, &forward, (!hold.is_empty()).then_some(id), mail, id, &mut outcome).await;
                }
                outcome
            }
        }
    }

    /// Holds the copies of some recipients, durably, within the reply deadline: a disk that hangs (an
    /// NFS server that is gone) costs a 451, and what is stored after all is withdrawn.
    async fn hold(
        &self,
        mail: &Mail,
        id: QuarantineId,
        judged: &Judged,
        hold: &[usize],
        state: State,
    ) -> Result<(), StoreError> {
        let entry = entry(mail, id, judged, hold);
        let (quarantine, message) = (Arc::clone(&self.quarantine), Arc::clone(&mail.message));
        // Who sets it first decides: the thread that it was in time, the clock that it was not.
        let ended = Arc::new(AtomicBool::new(false));
        let in_time = Arc::clone(&ended);
        let mut put = tokio::task::spawn_blocking(move || {
            quarantine.put(entry, &message, state)?;
            if in_time.swap(true, Ordering::AcqRel) { quarantine.withdraw(id) } else { Ok(()) }
        });
        let result = match timeout_at(mail.deadline(), &mut put).await {
            Err(_) if !ended.swap(true, Ordering::AcqRel) => Err(hangs()),
            Ok(put) => put.unwrap_or_else(|panic| Err(died(panic))),
            Err(_) => put.await.unwrap_or_else(|panic| Err(died(panic))),
        };
        self.metrics.quarantine_operation(QuarantineOperation::Hold, result.is_ok());
        result
    }

    /// Sends the one version that goes out.
    async fn forward(
        &self,
        forward: &Forward,
        mail: &Mail,
        id: QuarantineId,
        judged: &Judged,
        onward: &mut impl Onward,
    ) -> Forwarded {
        let rule = forward.recipients.first().and_then(|index| judged.decisions.get(*index));
        let rule = rule.map_or("", |decision| decision.rule.as_str());
        let changes = marks::changes(&judged.raw, &judged.verdict, &id.to_string(), rule, &forward.tag);
        let to = Addressees { given: forward.recipients.clone(), added: Vec::new() };
        onward.forward(&mail.message, &changes, &to, mail.deadline()).await
    }

    /// The next hop has spoken: its word goes to the client, and decides about the held copies.
    async fn settle(
        &self,
        forwarded: Forwarded,
        forward: &Forward,
        held: Option<QuarantineId>,
        mail: &Mail,
        id: QuarantineId,
        outcome: &mut Outcome,
    ) {
        let delivered = if forward.tag == Default::default() { Disposition::Pass } else { Disposition::Tag };
        let (reply, fate, result) = match forwarded {
            Forwarded::Answered(replies) => match replies.into_iter().next() {
                Some(reply) if reply.is_positive() => (reply, delivered, DeliveryResult::Accepted),
                Some(reply) if reply.class() == 5 => (reply, Disposition::Reject, DeliveryResult::Refused),
                Some(reply) => (reply, Disposition::Defer, DeliveryResult::Deferred),
                None => (Outcome::deferred(mail, id, "4.3.0").reply, Disposition::Defer, DeliveryResult::Lost),
            },
            Forwarded::Lost { after_dot, what } => {
                tracing::warn!(%id, after_dot, %what, "deferring: the next hop was lost");
                (Outcome::deferred(mail, id, "4.4.2").reply, Disposition::Defer, DeliveryResult::Lost)
            }
        };
        self.metrics.delivery(DeliveryKind::Forward, result);
        if let Some(held) = held {
            self.settle_held(held, result, &reply, mail.deadline()).await;
        }
        if fate == Disposition::Defer {
            // The client keeps the whole message, so nobody's copy is held any more.
            outcome.dispositions.fill(Disposition::Defer);
        }
        for index in &forward.recipients {
            if let Some(disposition) = outcome.dispositions.get_mut(*index) {
                *disposition = fate;
            }
        }
        outcome.reply = reply;
    }

    /// A pending copy becomes held, or goes, by the next hop's answer for the others. The client does
    /// not wait longer for it than the deadline: what the next hop said stands.
    async fn settle_held(&self, id: QuarantineId, result: DeliveryResult, reply: &Reply, deadline: Instant) {
        let quarantine = Arc::clone(&self.quarantine);
        let text = format!("the next hop refused the message for the other recipients: {}", reply.text());
        let settled = tokio::task::spawn_blocking(move || match result {
            DeliveryResult::Accepted => quarantine.commit(id),
            DeliveryResult::Refused => {
                let noted = quarantine.note(id, &text);
                quarantine.commit(id).and(noted)
            }
            DeliveryResult::Deferred | DeliveryResult::Lost => quarantine.remove_pending(id),
        });
        let operation = match result {
            DeliveryResult::Accepted | DeliveryResult::Refused => None,
            DeliveryResult::Deferred | DeliveryResult::Lost => Some(QuarantineOperation::Withdraw),
        };
        let settled = match timeout(left(deadline), settled).await {
            Ok(settled) => settled.unwrap_or_else(|panic| Err(died(panic))),
            Err(_) => Err(hangs()),
        };
        if let Some(operation) = operation {
            self.metrics.quarantine_operation(operation, settled.is_ok());
        }
        if let Err(error) = settled {
            // Safe: a pending copy counts as held.
            tracing::warn!(%id, %error, "a held message could not be marked so; it is listed as pending and counts as held");
        }
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

/// The disk did not answer before the reply deadline.
fn hangs() -> StoreError {
    let source = std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer before the reply deadline");
    StoreError::Io { path: PathBuf::from("the quarantine"), doing: "write", source }
}

/// A thread that worked on the quarantine has died.
fn died(panic: tokio::task::JoinError) -> StoreError {
    StoreError::Io { path: PathBuf::new(), doing: "work", source: std::io::Error::other(panic) }
}

/// The policy's input.
fn facts(mail: &Mail, report: &Report, verdict: &Verdict) -> Facts {
    let envelope = &mail.envelope;
    Facts {
        version: FACTS_VERSION,
        client: envelope.client.addr,
        sender: envelope.sender.clone(),
        direction: policy::direction(envelope.client.addr, &envelope.sender, &envelope.recipients, &mail.config.mail),
        size: mail.message.size(),
        verdict: verdict.level,
        complete: verdict.complete,
        reasons: verdict.reasons.clone(),
        findings: report.findings.clone(),
        parts: report.parts.clone(),
    }
}

/// What is kept beside a held message.
fn entry(mail: &Mail, id: QuarantineId, judged: &Judged, hold: &[usize]) -> NewEntry {
    let first = hold.first().and_then(|index| judged.decisions.get(*index));
    let recipients = &mail.envelope.recipients;
    NewEntry {
        id,
        received_at: Timestamp::now(),
        envelope: mail.envelope.clone(),
        held: hold.iter().filter_map(|index| recipients.get(*index).cloned()).collect(),
        facts: judged.facts.clone(),
        rule: first.map(|decision| decision.rule.clone()).unwrap_or_default(),
        line: first.and_then(|decision| decision.line),
        explanation: store::Explanation {
            en: judged.verdict.explanation.en.clone(),
            ja: judged.verdict.explanation.ja.clone(),
        },
        message_id: mime::message_id(&judged.raw),
        subject: mime::subject(&judged.raw),
        from: header_from(judged),
        listener: mail.listener.listen.to_string(),
        mode: mail.transport.name().to_owned(),
        next_hop: mail.listener.next_hop.to_string(),
    }
}

impl Outcome {
    /// A 4yz reply defers, a 5yz rejects.
    fn refused(mail: &Mail, reply: Reply) -> Self {
        let disposition = if reply.class() == 5 { Disposition::Reject } else { Disposition::Defer };
        Self::all(mail, reply, disposition)
    }

    fn all(mail: &Mail, reply: Reply, disposition: Disposition) -> Self {
        Self { reply, dispositions: vec![disposition; mail.envelope.recipients.len()], stages: Vec::new() }
    }

    fn deferred(mail: &Mail, id: QuarantineId, enhanced: &str) -> Self {
        let reply = Reply::new(451, &format!("{enhanced} the message cannot be accepted now, try again later ({id})"));
        Self::all(mail, reply, Disposition::Defer)
    }

    fn rejected(mail: &Mail, id: QuarantineId, template: &str) -> Self {
        let filled = template.replace("{id}", &id.to_string());
        // Checked when the configuration was read; should it fail all the same, refuse plainly.
        let reply = Reply::from_template(&filled);
        let reply = reply.unwrap_or_else(|| Reply::new(554, &format!("5.7.1 message refused ({id})")));
        Self::all(mail, reply, Disposition::Reject)
    }

    fn held(mail: &Mail, id: QuarantineId) -> Self {
        Self::all(mail, Reply::new(250, &format!("2.0.0 Ok: {id}")), Disposition::Quarantine)
    }
}

impl Trouble {
    fn outcome(&self, mail: &Mail, id: QuarantineId) -> Outcome {
        match self {
            Trouble::Busy | Trouble::ClientGone => Outcome::deferred(mail, id, "4.3.2"),
            Trouble::Unreadable(_) => Outcome::deferred(mail, id, "4.3.0"),
            Trouble::Loop(_) => {
                Outcome::rejected(mail, id, "554 5.4.6 too many hops, this message runs in a loop ({id})")
            }
        }
    }
}
