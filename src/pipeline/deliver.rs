//! The plan becomes deed: hold what is to be held, send on what is to go on, answer by what came of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::HoldIn;
use crate::marks;
use crate::metrics::{DeliveryKind, DeliveryResult, Disposition, QuarantineOperation, Stage};
use crate::mime;
use crate::pipeline::{Judged, Pipeline, header_from, left};
use crate::plan::{Fate, Forward, Plan};
use crate::policy::decision::{Action, Decision, Marks};
use crate::smtp::reply::Reply;
use crate::store::{self, NewEntry, QuarantineId, State, StoreError};
use crate::transaction::{Answer, Ending, Forwarded, Mail, Onward};
use crate::transport::Transport;

/// How a message ended.
pub(super) struct Outcome {
    pub answer: Answer,
    /// One per recipient, in the envelope's order.
    pub dispositions: Vec<Disposition>,
    /// The MTA of a milter holds it, in its own queue.
    pub in_mta: bool,
    pub stages: Vec<(Stage, Duration)>,
}

impl Pipeline {
    /// Does what was planned. Nobody waits longer than the reply deadline.
    pub(super) async fn carry_out(
        &self,
        plan: &Plan,
        mail: &Mail,
        id: QuarantineId,
        judged: &Judged,
        onward: &mut impl Onward,
    ) -> Outcome {
        let mut outcome = Outcome::planned(plan, mail, id, &judged.decisions);
        let held = plan.held();
        let nothing_else = plan.forward.is_none() && plan.fates.iter().all(|fate| *fate == Fate::Hold);
        if nothing_else && mail.listener.hold_in == HoldIn::Mta {
            // Whoever lets it go there delivers it: without forged fields, and with ours.
            let changes = marks::changes(&judged.head, &judged.verdict, &id.to_string(), "", &Marks::default());
            if onward.hold(&judged.verdict.explanation.en, &changes) {
                outcome.in_mta = true;
                return outcome;
            }
        }
        if !held.is_empty() {
            let begun = Instant::now();
            if let Err(error) = self.hold(mail, id, judged, &held, state(plan, mail.transport)).await {
                tracing::error!(%id, %error, "deferring: the message cannot be quarantined");
                return Outcome::deferred(mail, id, "4.3.1");
            }
            onward.held(id);
            outcome.stages.push((Stage::Store, begun.elapsed()));
        }
        if let Some(forward) = &plan.forward {
            let begun = Instant::now();
            let forwarded = self.forward(forward, mail, id, judged, onward).await;
            outcome.stages.push((Stage::Forward, begun.elapsed()));
            let replies = self.answers(forwarded, forward, mail, id);
            outcome.settle(plan, &replies, mail.transport);
            if !held.is_empty() {
                self.settle_held(plan, &replies, mail, id).await;
            }
        }
        outcome
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
        let rule = forward.to.given.first().and_then(|index| judged.decisions.get(*index));
        let rule = rule.or(judged.decisions.first()).map_or("", |decision| decision.rule.as_str());
        let mut changes = marks::changes(&judged.head, &judged.verdict, &id.to_string(), rule, &forward.version.marks);
        if let Some(parts) = &forward.version.strip {
            match judged.stripped.iter().find(|(stripped, _)| stripped == parts) {
                Some((_, stripped)) => {
                    stripped.join(&mut changes);
                    marks::note_stripped(&mut changes);
                }
                // Never as it came.
                None => return Forwarded::Lost { after_dot: false, what: "the message was not stripped".to_owned() },
            }
        }
        onward.forward(&mail.message, &changes, &forward.to, mail.deadline()).await
    }

    /// What the next hop said about each addressee; a lost one says "later".
    fn answers(&self, forwarded: Forwarded, forward: &Forward, mail: &Mail, id: QuarantineId) -> Vec<Reply> {
        let mut replies = match forwarded {
            Forwarded::Answered(replies) => replies,
            Forwarded::Lost { after_dot, what } => {
                let (code, why) = match mail.transport {
                    _ if forward.to.is_only_copies() => ("4.4.2", "a further copy was not sent"),
                    Transport::Milter => ("4.3.5", "deferring: what is needed cannot be asked of the MTA"),
                    _ => ("4.4.2", "deferring: the next hop was lost"),
                };
                tracing::warn!(%id, after_dot, %what, "{why}");
                self.metrics.delivery(DeliveryKind::Forward, DeliveryResult::Lost);
                return vec![later(id, code); forward.to.len()];
            }
        };
        // About whom nothing was said, nothing is known.
        replies.resize(forward.to.len(), later(id, "4.3.0"));
        let mut results: Vec<DeliveryResult> =
            replies.iter().map(|reply| DeliveryResult::of_code(reply.code())).collect();
        results.dedup();
        if !mail.transport.answers_each() {
            results.truncate(1);
        }
        for result in results {
            self.metrics.delivery(DeliveryKind::Forward, result);
        }
        let copies = forward.to.added.iter().zip(replies.iter().skip(forward.to.given.len()));
        for (added, reply) in copies.filter(|(added, reply)| !added.required && !reply.is_positive()) {
            let (to, reply) = (added.path.address(), reply.text());
            tracing::warn!(%id, to, reply, "the next hop does not take a copy; see copy_to of the rule");
        }
        replies
    }

    /// A pending copy becomes held, or goes, by the next hop's answer for the others. The client does
    /// not wait longer for it than the deadline: what the next hop said stands.
    async fn settle_held(&self, plan: &Plan, replies: &[Reply], mail: &Mail, id: QuarantineId) {
        let mut refused = plan.fates.iter().filter_map(|fate| forwarded_reply(fate, replies));
        let refused = refused.find(|reply| !reply.is_positive()).cloned();
        let state = state(plan, mail.transport);
        let is_pending = state == State::Pending;
        let withdrawn = state != State::Held && refused.as_ref().is_some_and(|reply| reply.class() != 5);
        if !is_pending && refused.is_none() {
            return;
        }
        let quarantine = Arc::clone(&self.quarantine);
        let settled = tokio::task::spawn_blocking(move || {
            if withdrawn {
                return quarantine.remove_pending(id);
            }
            let committed = if is_pending { quarantine.commit(id) } else { Ok(()) };
            let Some(reply) = refused else { return committed };
            let note = format!("the next hop refused the message for other recipients: {}", reply.text());
            committed.and(quarantine.note(id, &note))
        });
        let settled = match timeout(left(mail.deadline()), settled).await {
            Ok(settled) => settled.unwrap_or_else(|panic| Err(died(panic))),
            Err(_) => Err(hangs()),
        };
        if withdrawn {
            self.metrics.quarantine_operation(QuarantineOperation::Withdraw, settled.is_ok());
        }
        if let Err(error) = settled {
            // Safe: a pending copy counts as held.
            tracing::warn!(%id, %error, "a held message could not be marked so; it is listed as pending and counts as held");
        }
    }
}

impl Pipeline {
    /// An MTA has seen the answer to a message that was held for its milter, or not.
    pub(super) async fn settle_unconfirmed(&self, id: QuarantineId, ending: Ending) {
        let quarantine = Arc::clone(&self.quarantine);
        let settled = tokio::task::spawn_blocking(move || match ending {
            Ending::Confirmed => quarantine.commit(id),
            Ending::Unknown => Ok(()),
            Ending::Deferred => quarantine.remove_pending(id),
        });
        match settled.await.unwrap_or_else(|panic| Err(died(panic))) {
            // Somebody was quicker to release or delete it.
            Ok(()) | Err(StoreError::State { .. }) => {}
            Err(error) => {
                tracing::warn!(%id, %error, "a held message could not be marked so; it is listed as unconfirmed and counts as held")
            }
        }
    }
}

/// The state in which a message is held. Where one reply stands for all recipients, what the next hop
/// says to the others decides about the held copies too; and what an MTA is asked to do by a
/// milter has not happened yet.
fn state(plan: &Plan, transport: Transport) -> State {
    let others = plan.fates.iter().any(|fate| matches!(fate, Fate::Forward { .. }));
    match transport {
        Transport::Milter => State::Unconfirmed,
        Transport::BeforeQueue | Transport::AfterQueue if others => State::Pending,
        _ => State::Held,
    }
}

/// The next hop's word about a recipient, if its copy was forwarded.
fn forwarded_reply<'a>(fate: &Fate, replies: &'a [Reply]) -> Option<&'a Reply> {
    match fate {
        Fate::Forward { addressee } => replies.get(*addressee),
        Fate::Defer | Fate::Reject { .. } | Fate::Hold | Fate::Discard => None,
    }
}

impl Outcome {
    /// What happens if everything goes as planned; what the next hop says comes later.
    fn planned(plan: &Plan, mail: &Mail, id: QuarantineId, decisions: &[Decision]) -> Self {
        let replies: Vec<Reply> = plan.fates.iter().map(|fate| reply(fate, id)).collect();
        let answer = match replies.first() {
            Some(first) if !mail.transport.answers_each() => Answer::All(first.clone()),
            Some(_) => Answer::Each(replies),
            None => Answer::All(later(id, "4.3.0")),
        };
        let dispositions =
            plan.fates.iter().zip(decisions).map(|(fate, decision)| disposition(fate, decision)).collect();
        Self { answer, dispositions, in_mta: false, stages: Vec::new() }
    }

    /// The next hop has spoken: its word goes to the client.
    fn settle(&mut self, plan: &Plan, replies: &[Reply], transport: Transport) {
        let mut word: Option<&Reply> = None;
        for (index, fate) in plan.fates.iter().enumerate() {
            let Some(reply) = forwarded_reply(fate, replies) else { continue };
            word = word.filter(|word| !word.is_positive() || reply.is_positive()).or(Some(reply));
            if let Answer::Each(answers) = &mut self.answer
                && let Some(answer) = answers.get_mut(index)
            {
                *answer = reply.clone();
            }
            if let Some(disposition) = self.dispositions.get_mut(index).filter(|_| !reply.is_positive()) {
                *disposition = if reply.class() == 5 { Disposition::Reject } else { Disposition::Defer };
            }
        }
        let Some(reply) = word.filter(|_| !transport.answers_each()) else { return };
        if !reply.is_positive() && reply.class() != 5 {
            // The client keeps the whole message, so nobody's copy is held any more.
            self.dispositions.fill(Disposition::Defer);
        }
        self.answer = Answer::All(reply.clone());
    }

    /// A 4yz reply defers, a 5yz rejects.
    pub(super) fn refused(mail: &Mail, reply: Reply) -> Self {
        let disposition = if reply.class() == 5 { Disposition::Reject } else { Disposition::Defer };
        let dispositions = vec![disposition; mail.envelope.recipients.len()];
        Self { answer: Answer::All(reply), dispositions, in_mta: false, stages: Vec::new() }
    }

    pub(super) fn deferred(mail: &Mail, id: QuarantineId, enhanced: &str) -> Self {
        Self::refused(mail, later(id, enhanced))
    }

    /// The reply for the log: the first that is not positive, else the first.
    pub(super) fn reply(&self) -> Option<&Reply> {
        let replies = match &self.answer {
            Answer::All(reply) => std::slice::from_ref(reply),
            Answer::Each(replies) => replies,
        };
        replies.iter().find(|reply| !reply.is_positive()).or(replies.first())
    }
}

/// What a recipient's fate is told as; a forwarded copy's by what the next hop will say.
fn reply(fate: &Fate, id: QuarantineId) -> Reply {
    match fate {
        Fate::Defer => later(id, "4.7.1"),
        Fate::Reject { reply } => refusal(reply, id),
        Fate::Hold | Fate::Discard | Fate::Forward { .. } => Reply::new(250, &format!("2.0.0 Ok: {id}")),
    }
}

/// Try again later.
fn later(id: QuarantineId, enhanced: &str) -> Reply {
    Reply::new(451, &format!("{enhanced} the message cannot be accepted now, try again later ({id})"))
}

/// A permanent refusal from its template.
pub(super) fn refusal(template: &str, id: QuarantineId) -> Reply {
    let filled = template.replace("{id}", &id.to_string());
    // Checked when the configuration was read; should it fail all the same, refuse plainly.
    let reply = Reply::from_template(&filled);
    reply.unwrap_or_else(|| Reply::new(554, &format!("5.7.1 message refused ({id})")))
}

/// What becomes of a recipient's copy if the next hop takes what is sent on.
fn disposition(fate: &Fate, decision: &Decision) -> Disposition {
    match fate {
        Fate::Defer => Disposition::Defer,
        Fate::Reject { .. } => Disposition::Reject,
        Fate::Hold => Disposition::Quarantine,
        Fate::Discard => Disposition::Discard,
        Fate::Forward { .. } => match &decision.action {
            Action::Pass | Action::Tag if !decision.marks.is_empty() => Disposition::Tag,
            action => Disposition::from(action),
        },
    }
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

/// What is kept beside a held message, or beside a copy.
pub(super) fn entry(mail: &Mail, id: QuarantineId, judged: &Judged, hold: &[usize]) -> NewEntry {
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
        message_id: mime::message_id(&judged.head),
        subject: mime::subject(&judged.head),
        from: header_from(judged),
        listener: mail.listener.listen.to_string(),
        mode: mail.transport.name().to_owned(),
        next_hop: mail.listener.next_hop.to_string(),
        in_mta: false,
    }
}
