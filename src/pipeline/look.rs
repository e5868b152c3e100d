//! Looking at a message: where it stands if there is nothing to open, else in a worker, with a second try
//! and with the answers to what the scan asks.

use std::panic::catch_unwind;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use memchr::memmem;
use tokio::time::Instant;

use crate::asks::Lesson;
use crate::finding::Category;
use crate::formats::Format;
use crate::knowledge::{Answer, Knowledge, Said};
use crate::limits::Limits;
use crate::lure;
use crate::message::Message;
use crate::metrics::WorkerEnd;
use crate::part::PartPath;
use crate::pictures::print::Print;
use crate::pipeline::allowed;
use crate::pipeline::{Pipeline, Scanned, Trouble};
use crate::queue::{Client, Slot};
use crate::scan::{Ask, Input, Report, fault, scan_plain};
use crate::transaction::Mail;
use crate::verdict::{self, Level};
use crate::worker::{Death, Ended, Pace, Task};

/// Octets of a message that is scanned on the threads that serve sockets, if there is nothing to open:
/// 32 KiB are looked at in less time than a hop to another thread takes.
const AT_ONCE: u64 = 32 * 1024;
/// Octets of a message that is scanned in the daemon at all, if there is nothing to open.
const PLAIN: u64 = 1 << 20;
/// What a scan needs at least for a second try.
const SECOND_TRY: Duration = Duration::from_secs(5);

impl Pipeline {
    /// Looks at a message within the reply deadline. `head` is its header, for the report of a failure; `heard` are
    /// passwords of other mails.
    pub(super) async fn look(
        &self,
        mail: &Mail,
        message: &Arc<Message>,
        head: &Bytes,
        heard: &[String],
    ) -> Result<Scanned, Trouble> {
        let begun = Instant::now();
        if let Some(report) = plain(self.formats, message, &mail.config.limits).await {
            return Ok(Scanned { report, pictures: Vec::new(), waited: Duration::ZERO, took: begun.elapsed() });
        }
        let slot = self.slot(mail).await?;
        let (waited, begun) = (begun.elapsed(), Instant::now());
        let passwords = mail.config.mail.passwords.iter().chain(heard).cloned().collect();
        let knowledge = Knowledge { passwords, asking: !self.oracles.is_empty(), ..Knowledge::default() };
        let mut report = self.inspect(mail, message, head, &knowledge, &slot).await?;
        drop(slot);
        let mut pictures = Vec::new();
        if !report.asks.is_empty() {
            let asks = report.asks.clone();
            let answers = self.oracles.answer(&mut report, wait_until(mail)).await;
            pictures = asks.into_iter().filter_map(|ask| Shown::of(ask, &answers)).collect();
            if !answers.is_empty() {
                // Once more with what was said; where it asks for more, it stays unanswered. If there is no slot, what
                // was seen without the answers stands.
                let knowledge = Knowledge { answers, ..knowledge };
                if let Ok(slot) = self.slot(mail).await {
                    report = self.inspect(mail, message, head, &knowledge, &slot).await?;
                }
            }
        }
        report.leave_unanswered();
        Ok(Scanned { report, pictures, waited, took: begun.elapsed() })
    }

    /// Learns what malicious documents showed: those that are so without their pictures, and that no exception
    /// forgives.
    pub(super) fn learn(&self, mail: &Mail, report: &Report, pictures: &[Shown]) {
        if pictures.is_empty() {
            return;
        }
        let mut without = allowed(mail, report).report.into_owned();
        without.findings.retain(|found| found.id.category != Category::Lure || found.location != lure::PICTURE);
        let levels = verdict::levels(&without);
        for Shown { part, print, is_lure } in pictures {
            let Some(document) = without.parts.iter().find(|known| known.path == *part).map(|known| &known.document)
            else {
                continue;
            };
            if levels.contains(&(document.clone(), Level::Malicious))
                && let Some(document) = without.parts.iter().find(|known| known.path == *document)
            {
                self.oracles.learn(&Lesson {
                    print: print.clone(),
                    is_lure: *is_lure,
                    document: document.sha256.clone(),
                });
            }
        }
    }

    /// A slot to scan in; other clients' messages may go first.
    async fn slot(&self, mail: &Mail) -> Result<Slot, Trouble> {
        tokio::select! {
            slot = self.slots.admit(Client::of_mail(mail), wait_until(mail)) => slot.map_err(Trouble::Busy),
            () = mail.client_gone.cancelled() => Err(Trouble::ClientGone),
        }
    }

    /// What a worker sees in it; if the worker dies over it, what another one sees, and else that it failed.
    async fn inspect(
        &self,
        mail: &Mail,
        message: &Arc<Message>,
        head: &Bytes,
        knowledge: &Knowledge,
        slot: &Slot,
    ) -> Result<Report, Trouble> {
        let (limits, deadline) = (&mail.config.limits, mail.deadline());
        let pace = if slot.is_costly() { Pace::Patient } else { Pace::Prompt };
        let task = Task { message, limits, knowledge, deadline, pace, gone: &mail.client_gone };
        let mut ended = self.workers.scan(task).await;
        if let Ok(Ended::Died(death)) = &ended
            && is_worth_another_try(death, limits, deadline)
        {
            // Whom others left no time gets it now; whatever else killed a worker may do so again, and take its time.
            let pace = if death.was_starved { Pace::Prompt } else { Pace::Patient };
            ended = self.workers.scan_afresh(Task { pace, ..task }).await;
        }
        match ended {
            Ok(Ended::Report(report)) => Ok(report),
            Ok(Ended::Gone) => Err(Trouble::ClientGone),
            Ok(Ended::Died(death)) => Ok(fault(Input::message(head.clone()), evidence(death.cause), death.at)),
            Err(error) => Err(Trouble::NoWorker(error)),
        }
    }
}

impl Scanned {
    /// That it was not looked at, and why.
    pub(super) fn failed(head: &Bytes, why: &str) -> Self {
        let report = fault(Input::message(head.clone()), why, None);
        Self { report, pictures: Vec::new(), waited: Duration::ZERO, took: Duration::ZERO }
    }
}

/// A picture that may be worth remembering.
pub(super) struct Shown {
    part: PartPath,
    print: Print,
    /// A request was read in it.
    is_lure: bool,
}

impl Shown {
    /// Not one in which something else than a lure was read, nor one that is known already or cannot be told from
    /// others.
    fn of(ask: Ask, answers: &[Answer]) -> Option<Self> {
        let said = answers.iter().find(|answer| answer.ask == ask).map(|answer| &answer.said);
        let is_lure = match said {
            None => false,
            Some(Said::Text(text)) if lure::asked_in_picture(text).is_some() => true,
            Some(Said::Text(_) | Said::Learned(_)) => return None,
        };
        let Ask::ReadPicture { part, print, .. } = ask;
        Some(Self { part, print: print?, is_lure })
    }
}

/// How long a message may wait for a scanner: what is left is for the scan and for the next hop.
fn wait_until(mail: &Mail) -> Instant {
    let whole = mail.config.timeouts.reply_deadline;
    let scan = Duration::from_secs(mail.config.limits.max_scan_time).min(whole.mul_f32(0.5));
    mail.deadline().checked_sub(scan).unwrap_or(mail.received)
}

/// What a fault finding gives as evidence.
fn evidence(cause: WorkerEnd) -> &'static str {
    match cause {
        WorkerEnd::Timeout => "max_scan_time",
        WorkerEnd::Crash | WorkerEnd::Memory | WorkerEnd::Stack | WorkerEnd::Sandbox | WorkerEnd::Recycled => {
            cause.name()
        }
    }
}

/// Whether the next worker may fare better: not if the time was used up, and only if there is time.
fn is_worth_another_try(death: &Death, limits: &Limits, deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(Instant::now());
    match death.cause {
        WorkerEnd::Timeout => death.was_starved && left > Duration::from_secs(limits.max_scan_time),
        // The kernel does not kill for a system call by accident.
        WorkerEnd::Sandbox => false,
        WorkerEnd::Crash | WorkerEnd::Memory | WorkerEnd::Stack | WorkerEnd::Recycled => left > SECOND_TRY,
    }
}

/// The report on a message in which there is nothing to open. Such mail waits for nobody: whatever holds the
/// workers up, letters pass.
async fn plain(formats: &'static [Format], message: &Arc<Message>, limits: &Limits) -> Option<Report> {
    if !message.is_in_memory() || message.size() > PLAIN {
        return None;
    }
    let raw = message.bytes().ok()?;
    let limits = limits.clone();
    // What panics here is looked at again, in a worker.
    let look = move || {
        catch_unwind(|| scan_plain(formats, Input::message(raw), &limits, &Knowledge::default())).ok().flatten()
    };
    if message.size() <= AT_ONCE {
        return look();
    }
    // Only a guess, so that most attachments are not decoded twice: what is wrong about it costs time.
    if memmem::find(&message.bytes().ok()?, b"base64").is_some() {
        return None;
    }
    tokio::task::spawn_blocking(look).await.ok().flatten()
}
