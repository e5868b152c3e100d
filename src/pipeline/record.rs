//! What is written down of a message: its counters, and exactly one log line.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::finding::{self, Finding, FindingId, Reason};
use crate::limits::Limit;
use crate::metrics::{Disposition, ScanError, Stage};
use crate::mime;
use crate::part::Origin;
use crate::pipeline::{Judged, Outcome, Pipeline, Trouble, header_from};
use crate::policy;
use crate::policy::decision::Step;
use crate::queue::Full;
use crate::scan::{PartReport, Report};
use crate::smtp::reply::Reply;
use crate::smtp::session::{ContentRefusal, RefusalCause};
use crate::store::QuarantineId;
use crate::telemetry::{self, Attachment, MessageLine, PerRecipient};
use crate::transaction::Mail;
use crate::verdict::Level;
use crate::worker::pool::CANNOT_START;

/// What `[log] level` calls the trace of decisions: `"info,sekisho::policy=debug"`.
const POLICY_TARGET: &str = "sekisho::policy";

impl Pipeline {
    /// A message that was judged.
    pub(super) fn record(&self, mail: &Mail, id: QuarantineId, judged: &Judged, outcome: &Outcome) {
        self.count_report(&judged.report);
        self.metrics.verdict(judged.verdict.level, judged.verdict.complete);
        self.metrics.queue_wait(judged.waited);
        for decision in judged.decisions.iter().map(|decision| decision.rule.as_str()).collect::<BTreeSet<_>>() {
            self.metrics.rule(decision);
        }
        let stages: Vec<_> = judged.stages.iter().chain(&outcome.stages).copied().collect();
        let decided: Duration =
            judged.stages.iter().map(|(_, took)| *took).sum::<Duration>().saturating_add(judged.waited);
        self.metrics.scan_duration(mail.transport, decided);
        self.count_outcome(mail, mail.message.size(), &stages, outcome);

        trace(mail, id, judged);
        let first = judged.decisions.first();
        telemetry::message(&MessageLine {
            message_id: mime::message_id(&judged.head),
            header_from: header_from(judged),
            direction: judged.facts.direction,
            attachments: judged.report.parts.iter().filter(|part| is_attachment(part)).map(attachment).collect(),
            findings: distinct(&judged.report.findings),
            allowed_by: judged.allowed_by.clone(),
            verdict: judged.verdict.level,
            complete: judged.verdict.complete,
            reasons: judged.verdict.reasons.clone(),
            explanation: judged.verdict.explanation.en.clone(),
            rule: first.map(|decision| decision.rule.clone()).unwrap_or_default(),
            rule_line: first.and_then(|decision| decision.line),
            per_rcpt: per_recipient(mail, judged, outcome),
            wait: judged.waited,
            stages,
            ..self.line(mail, id, outcome)
        });
    }

    /// A message that could not be judged: it was refused, and this line says why.
    pub(super) fn record_trouble(&self, mail: &Mail, id: QuarantineId, trouble: &Trouble, outcome: &Outcome) {
        let (explanation, error) = match trouble {
            Trouble::Busy(full) => (
                match full {
                    Full::Late => "No scanner was free within the reply deadline; raise max_scans or add a machine.",
                    Full::Queue => {
                        "Too many messages wait for a scanner; raise max_waiting or max_scans, or add a machine."
                    }
                    Full::Share => "Its client has half of all waiting places already; see max_waiting.",
                }
                .to_owned(),
                Some(ScanError::Overload),
            ),
            Trouble::NoWorker(error) => {
                tracing::error!(%error, "{CANNOT_START}");
                (format!("No worker could be started: {error}."), Some(ScanError::Overload))
            }
            Trouble::Unjudged => (
                "Its findings could not be judged, by a fault of this program; please report it.".to_owned(),
                Some(ScanError::Panic),
            ),
            Trouble::Unreadable(error) => (
                format!("The spooled message could not be read back: {error}; look at the state folder's disk."),
                Some(ScanError::Io),
            ),
            Trouble::HeaderTooLarge => ("Its header is larger than 1 MiB, which no honest one is.".to_owned(), None),
            Trouble::Loop(hops) => {
                (format!("It has {hops} Received fields, so it runs in a loop; look at the next hop's routing."), None)
            }
            Trouble::ClientGone => ("The client went away before it was scanned.".to_owned(), None),
        };
        if let Some(error) = error {
            self.metrics.scan_error(error);
        }
        self.count_outcome(mail, mail.message.size(), &outcome.stages, outcome);
        telemetry::message(&MessageLine { explanation, ..self.line(mail, id, outcome) });
    }

    /// A message whose content was not taken.
    pub(super) fn record_refusal(&self, mail: &Mail, ContentRefusal { size, cause }: ContentRefusal) {
        let explanation = match cause {
            RefusalCause::TooLarge => "It is larger than max_message_size, or than the next hop takes.",
            RefusalCause::NoRoom => "The spool could not keep it; look at the state folder's disk and spool_min_free.",
            RefusalCause::BareNewlines => "It has a CR or LF that does not end a line; see bare_newlines.",
            RefusalCause::TooManyFields => "It has more header fields than any honest message.",
            RefusalCause::TooManyRecipients => "It has more recipients than max_recipients.",
            RefusalCause::PathTooLong => "An address is longer than any mail server takes.",
        };
        if cause == RefusalCause::NoRoom {
            self.metrics.scan_error(ScanError::Io);
            self.metrics.no_spool_room();
        }
        let outcome = Outcome::refused(mail, cause.reply());
        self.count_outcome(mail, size, &[], &outcome);
        let id = QuarantineId::new(Timestamp::now());
        let explanation = explanation.to_owned();
        telemetry::message(&MessageLine { size, explanation, reasons: Vec::new(), ..self.line(mail, id, &outcome) });
    }

    /// What every line has; whatever needs a look into the message is as if there had been none.
    fn line(&self, mail: &Mail, id: QuarantineId, outcome: &Outcome) -> MessageLine {
        let envelope = &mail.envelope;
        MessageLine {
            id: id.to_string(),
            queue_id: envelope.queue_id.clone(),
            message_id: None,
            transport: mail.transport,
            listener: mail.listener.listen.to_string(),
            client_ip: envelope.client.addr,
            client_name: envelope.client.name.clone(),
            helo: envelope.client.helo.clone(),
            direction: policy::direction(
                envelope.client.addr,
                &envelope.sender,
                &envelope.recipients,
                &mail.config.mail,
            ),
            from: envelope.sender.address(),
            header_from: None,
            to: envelope.recipients.iter().take(64).map(|recipient| recipient.address()).collect(),
            rcpt_count: envelope.recipients.len(),
            size: mail.message.size(),
            attachments: Vec::new(),
            findings: Vec::new(),
            allowed_by: Vec::new(),
            verdict: Level::Clean,
            complete: false,
            reasons: vec![Reason::Fault],
            explanation: String::new(),
            disposition: Disposition::of_all(outcome.dispositions.iter().copied()),
            rule: String::new(),
            rule_line: None,
            per_rcpt: Vec::new(),
            reply: outcome.reply().map(Reply::text).unwrap_or_default(),
            duration: mail.received.elapsed(),
            wait: Duration::ZERO,
            stages: Vec::new(),
        }
    }

    fn count_report(&self, report: &Report) {
        for finding in &report.findings {
            self.metrics.finding(finding.id);
            if finding.id == finding::LIMIT_EXCEEDED
                && let Some(limit) = Limit::ALL.into_iter().find(|limit| limit.name() == finding.evidence)
            {
                self.metrics.limit_exceeded(limit);
            }
            if finding.id == finding::SCAN_FAULT {
                self.metrics.scan_error(ScanError::of(&finding.evidence));
            }
        }
        for part in report.parts.iter().filter(|part| is_attachment(part)) {
            let file_type = part.types.first().copied().unwrap_or(crate::filetype::FileType::Data);
            self.metrics.attachment(file_type, part.origin != Origin::Attachment);
        }
    }

    fn count_outcome(&self, mail: &Mail, size: u64, stages: &[(Stage, Duration)], outcome: &Outcome) {
        self.metrics.message_size(size);
        self.metrics.message(mail.transport, Disposition::of_all(outcome.dispositions.iter().copied()));
        for disposition in &outcome.dispositions {
            self.metrics.recipients(*disposition, 1);
        }
        for (stage, took) in stages {
            self.metrics.stage(*stage, *took);
        }
    }
}

/// Why each recipient's decision was made, rule by rule: for whoever writes rules.
fn trace(mail: &Mail, id: QuarantineId, judged: &Judged) {
    if !tracing::enabled!(target: POLICY_TARGET, tracing::Level::DEBUG) {
        return;
    }
    for (recipient, decision) in mail.envelope.recipients.iter().zip(&judged.decisions) {
        for Step { rule, matched, why } in &decision.trace {
            let to = recipient.address();
            tracing::debug!(target: POLICY_TARGET, %id, to, rule, applies = matched, why, "looked at a rule");
        }
    }
}

fn is_attachment(part: &PartReport) -> bool {
    match part.origin {
        Origin::Attachment | Origin::Member | Origin::Embedded => true,
        Origin::Root | Origin::Body => false,
    }
}

fn attachment(part: &PartReport) -> Attachment {
    Attachment {
        name: part.names.first().cloned(),
        file_type: part.types.first().copied().unwrap_or(crate::filetype::FileType::Data),
        size: part.size,
        sha256: part.sha256.clone(),
        depth: part.depth,
    }
}

/// Each finding's id once, in the order of the table.
fn distinct(findings: &[Finding]) -> Vec<FindingId> {
    finding::ALL.iter().copied().filter(|id| findings.iter().any(|finding| finding.id == *id)).collect()
}

/// Recipient by recipient, if their fates or rules differ.
fn per_recipient(mail: &Mail, judged: &Judged, outcome: &Outcome) -> Vec<PerRecipient> {
    let rows: Vec<PerRecipient> = mail
        .envelope
        .recipients
        .iter()
        .zip(&judged.decisions)
        .zip(&outcome.dispositions)
        .map(|((recipient, decision), disposition)| PerRecipient {
            to: recipient.address(),
            disposition: *disposition,
            rule: decision.rule.clone(),
        })
        .collect();
    let same = rows.windows(2).all(|pair| match pair {
        [a, b] => a.disposition == b.disposition && a.rule == b.rule,
        _ => true,
    });
    if same { Vec::new() } else { rows }
}
