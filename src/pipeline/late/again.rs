//! A second look at what stayed closed, with the passwords of another mail, and what follows from it.

use std::sync::Arc;
use std::time::{Duration, Instant as Moment};

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::notice::{Kind, Notices};
use super::{Job, Look, Place, is_closed, lock};
use crate::config::{Config, Endpoint, Listener, Opened};
use crate::faults::Faults;
use crate::message::Message;
use crate::metrics::SecondMail;
use crate::pipeline::{Concluded, Pipeline, Trouble, conclude};
use crate::policy::decision::{Action, Decision};
use crate::smtp::delivery::NextHop;
use crate::store::{Entry, JudgedAgain, State, StoreError};
use crate::transaction::Mail;
use crate::transport::Transport;
use crate::verdict::Level;

/// How often what could not be done now is tried again.
const MAX_REPEATS: u32 = 4;
/// After which time first; then four times as long.
const REPEAT_AFTER: Duration = Duration::from_secs(2);

impl Pipeline {
    /// Looks once more; what came of it, if it is over.
    pub(super) async fn second_look(self: Arc<Self>, look: Look) -> Option<SecondMail> {
        let (id, place) = {
            let mut waiting = lock(&self.late.waiting);
            let one = waiting.get_mut(look.number)?;
            (one.id, one.place)
        };
        let store = match place {
            Place::Held => Arc::clone(&self.quarantine),
            Place::Delivered | Place::Mta => Arc::clone(&self.late.copies),
        };
        let read = spawn_blocking(move || Ok((store.entry(id)?, store.content(id)?))).await;
        let (entry, content) = match read {
            Ok(Ok(read)) => read,
            // Expired, or removed by hand.
            Ok(Err(StoreError::NotFound(_))) => {
                self.late.forget(look.number);
                return None;
            }
            Ok(Err(error)) => {
                tracing::warn!(%id, %error, "a message whose password has come cannot be read");
                return Some(SecondMail::Failed);
            }
            Err(_) => return Some(SecondMail::Failed),
        };
        match (place, entry.state) {
            (_, State::Held) => {}
            // The reply of somebody else is awaited.
            (_, State::Pending | State::Unconfirmed) => return self.later(look),
            // Somebody has decided.
            (_, State::Releasing | State::Released | State::Deleted) => {
                self.late.forget(look.number);
                return None;
            }
        }
        let mail = mail_of(&entry, content, self.config.load_full());
        let Ok(head) = self.head(&mail).await else { return Some(SecondMail::Failed) };
        let report = match self.look(&mail, &mail.message, &head, &look.passwords).await {
            Ok(scanned) => scanned.report,
            Err(Trouble::Busy(_) | Trouble::NoWorker(_)) => return self.later(look),
            Err(_) => return Some(SecondMail::Failed),
        };
        if Faults::is_one(&report) {
            tracing::warn!(%id, "a message whose password has come could not be inspected");
            return Some(SecondMail::Failed);
        }
        let before = entry.facts().map(|facts| facts.findings).unwrap_or_default();
        if is_closed(&report.findings) && report.findings.iter().all(|finding| before.contains(finding)) {
            return Some(SecondMail::Closed);
        }
        let Some(concluded) = conclude(&mail, &report, false) else { return Some(SecondMail::Failed) };
        match place {
            Place::Held => self.judge_held(look, &entry, &mail.config, &concluded).await,
            Place::Delivered => self.judge_delivered(&look, &entry, &concluded).await,
            Place::Mta => self.judge_in_mta(&look, &entry, &concluded).await,
        }
    }

    /// Tries again in a while, what is not there now.
    fn later(self: Arc<Self>, look: Look) -> Option<SecondMail> {
        let repeats = look.repeats.saturating_add(1);
        if repeats > MAX_REPEATS {
            return Some(SecondMail::Failed);
        }
        let wait = REPEAT_AFTER.saturating_mul(4_u32.saturating_pow(look.repeats));
        tokio::spawn(async move {
            sleep(wait).await;
            let network = look.network;
            if !self.late.queue(network, Job::Look(Look { repeats, ..look })) {
                self.metrics.second_mail(SecondMail::Full);
            }
        });
        None
    }

    /// What is held is judged again by the rules in force. Its entry is told first; then it goes, if it may.
    async fn judge_held(
        self: Arc<Self>,
        look: Look,
        entry: &Entry,
        config: &Arc<Config>,
        concluded: &Concluded,
    ) -> Option<SecondMail> {
        let id = entry.id;
        let first = decisive(entry, concluded)?;
        let may_go = passes(first);
        let goes = may_go && config.second_mail.held == Opened::Judge;
        let verdict = &concluded.verdict;
        let follows = match (may_go, goes) {
            (true, true) => "it is released",
            (true, false) => "it stays held, as [second_mail] held = \"keep\" says",
            (false, _) => "it stays held",
        };
        let again = JudgedAgain {
            facts: concluded.facts.clone(),
            rule: first.rule.clone(),
            line: first.line,
            explanation: verdict.explanation.clone(),
            note: format!(
                "looked at again with a password of a later mail: {}, rule {}; {follows}",
                verdict.level.name(),
                first.rule
            ),
            goes,
        };
        let quarantine = Arc::clone(&self.quarantine);
        match spawn_blocking(move || quarantine.judged_again(id, &again)).await {
            Ok(Ok(State::Held)) => {}
            Ok(Ok(_)) => {
                self.late.forget(look.number);
                return None;
            }
            Ok(Err(StoreError::Busy(_))) => return self.later(look),
            Ok(Err(error)) => {
                tracing::warn!(%id, %error, "what was seen in a held message could not be noted; it stays held");
                return Some(SecondMail::Failed);
            }
            Err(_) => return Some(SecondMail::Failed),
        }
        let (from, to) = (entry.envelope.sender.address(), addresses(entry));
        let why = verdict.explanation.en.as_str();
        tracing::info!(
            %id, from, to, verdict = verdict.level.name(), rule = first.rule, why,
            "a held message was opened with the password of a later mail: {follows}"
        );
        if !goes {
            if verdict.complete {
                self.late.forget(look.number);
            }
            return Some(SecondMail::Kept);
        }
        lock(&self.late.waiting).take(look.number);
        self.to_release(id);
        None
    }

    /// What was delivered cannot be called back: it is told of.
    async fn judge_delivered(&self, look: &Look, entry: &Entry, concluded: &Concluded) -> Option<SecondMail> {
        let (id, verdict) = (entry.id, &concluded.verdict);
        let (from, to) = (entry.envelope.sender.address(), addresses(entry));
        let (level, why) = (verdict.level.name(), verdict.explanation.en.as_str());
        match verdict.level {
            Level::Clean | Level::Active => {
                tracing::info!(%id, from, to, verdict = level, why, "late: a delivered message was opened");
            }
            Level::Suspicious | Level::Malicious => {
                tracing::warn!(%id, from, to, verdict = level, why, "late: a delivered message was opened; its recipients have it");
            }
        }
        self.metrics.late_verdict(verdict.level);
        if verdict.level == Level::Malicious {
            self.notice(Kind::Delivered, |notices| notices.add(entry, verdict, None));
        }
        self.end_copy(look, entry, concluded).await;
        Some(SecondMail::Late)
    }

    /// What the MTA holds, only an admin can release there: they are told.
    async fn judge_in_mta(&self, look: &Look, entry: &Entry, concluded: &Concluded) -> Option<SecondMail> {
        let (id, verdict) = (entry.id, &concluded.verdict);
        let first = decisive(entry, concluded)?;
        let may_go = passes(first);
        let follows = if may_go { "the rules would deliver it now" } else { "the rules would not deliver it" };
        let (from, to) = (entry.envelope.sender.address(), addresses(entry));
        let (queue_id, why) = (queue_id(entry).unwrap_or("-"), verdict.explanation.en.as_str());
        tracing::warn!(
            %id, queue_id, from, to, verdict = verdict.level.name(), rule = first.rule, why,
            "a message in the MTA's hold queue was opened with the password of a later mail: {follows}; \
             `postsuper -H` and its queue id release it there, `postsuper -d` deletes it"
        );
        self.notice(Kind::Mta, |notices| notices.add(entry, verdict, Some(may_go)));
        self.end_copy(look, entry, concluded).await;
        Some(SecondMail::Mta)
    }

    fn notice(&self, kind: Kind, add: impl FnOnce(&mut Notices)) {
        for notices in &self.late.notices {
            let mut notices = lock(notices);
            if notices.kind == kind {
                return add(&mut notices);
            }
        }
    }

    /// A copy that tells nothing more goes.
    async fn end_copy(&self, look: &Look, entry: &Entry, concluded: &Concluded) {
        if concluded.verdict.level == Level::Malicious || !is_closed(&concluded.facts.findings) {
            self.late.forget(look.number);
            self.drop_copy(entry.id).await;
        }
    }

    /// What is to be done every second: what waited too long goes, and notices that are due are sent.
    pub(super) async fn tick(self: &Arc<Self>, count: u64) {
        self.expire().await;
        if count.is_multiple_of(60) {
            self.sweep().await;
        }
        self.go_on_releasing();
        let config = self.config.load_full();
        for (index, notices) in self.late.notices.iter().enumerate() {
            let Some((notice, next_hop)) = lock(notices).due(&config.second_mail.notify, Moment::now()) else {
                continue;
            };
            let (pipeline, config) = (Arc::clone(self), Arc::clone(&config));
            // A next hop that hangs holds up nothing else.
            tokio::spawn(async move {
                let sent = spawn_blocking(move || notice.send(&next_hop, &config)).await;
                let error = match sent {
                    Ok(Ok(())) => return,
                    Ok(Err((error, notice))) => {
                        pipeline.late.notices.get(index).into_iter().for_each(|all| lock(all).put_back(notice.clone()));
                        error
                    }
                    Err(panic) => panic.to_string(),
                };
                tracing::warn!(
                    error,
                    "the notice of a message that was opened late could not be sent; it is tried again"
                );
            });
        }
    }
}

/// Of the decisions about those who have not got it, the one that keeps it; else the first.
fn decisive<'a>(entry: &Entry, concluded: &'a Concluded) -> Option<&'a Decision> {
    let mut first = None;
    for (recipient, decision) in entry.envelope.recipients.iter().zip(&concluded.decisions) {
        if !entry.held.contains(recipient) {
            continue;
        }
        if !passes(decision) {
            return Some(decision);
        }
        first = first.or(Some(decision));
    }
    first
}

/// The MTA's name of a message, if it is one that can be shown: letters and digits.
pub(super) fn queue_id(entry: &Entry) -> Option<&str> {
    let queue_id = entry.envelope.queue_id.as_deref()?;
    let is_one =
        !queue_id.is_empty() && queue_id.len() <= 64 && queue_id.bytes().all(|octet| octet.is_ascii_alphanumeric());
    is_one.then_some(queue_id)
}

/// Whether a copy would be delivered as it is: a release adds nothing and sends to nobody else.
pub(super) fn passes(decision: &Decision) -> bool {
    matches!(decision.action, Action::Pass | Action::Tag) && decision.marks.is_empty() && decision.copy_to.is_empty()
}

/// Where released mail goes.
pub(super) fn next_hop_of(next_hop: &str, config: &Config) -> Result<NextHop, String> {
    let endpoint: Endpoint = next_hop.parse().map_err(|error| format!("{error}"))?;
    NextHop::of_config(endpoint, config).map_err(|error| error.to_string())
}

fn addresses(entry: &Entry) -> String {
    let addresses: Vec<String> = entry.held.iter().take(20).map(|path| path.address()).collect();
    addresses.join(", ")
}

/// A message as if it came now, for whoever looks and decides.
fn mail_of(entry: &Entry, content: Message, config: Arc<Config>) -> Mail {
    let listener = config.listeners.iter().find(|listener| listener.listen.to_string() == entry.listener);
    let transport = Transport::ALL.into_iter().find(|transport| transport.name() == entry.mode);
    let transport = transport.unwrap_or(Transport::AfterQueue);
    Mail {
        envelope: entry.envelope.clone(),
        message: Arc::new(content),
        transport,
        listener: Arc::new(listener.cloned().unwrap_or_else(|| Listener::of(transport))),
        config,
        received: Instant::now(),
        session: 0,
        peer: entry.envelope.client.addr,
        client_gone: CancellationToken::new(),
    }
}
