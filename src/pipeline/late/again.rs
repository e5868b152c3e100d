//! A second look at what stayed closed, with the passwords of another mail, and what follows from it.

use std::sync::Arc;
use std::time::{Duration, Instant as Moment};

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{Job, Look, Place, is_closed, lock};
use crate::config::{Config, Endpoint, Listener, Opened};
use crate::faults::Faults;
use crate::message::Message;
use crate::metrics::SecondMail;
use crate::pipeline::{Concluded, Pipeline, Trouble, conclude};
use crate::policy::decision::{Action, Decision};
use crate::smtp::delivery::NextHop;
use crate::store::{Entry, JudgedAgain, ReleaseError, ReleaseRequest, Released, Repeat, State, StoreError};
use crate::transaction::Mail;
use crate::transport::Transport;
use crate::verdict::Level;

/// How often what could not be done now is tried again.
const MAX_REPEATS: u32 = 4;
/// After which time first; then four times as long.
const REPEAT_AFTER: Duration = Duration::from_secs(2);
/// Who releases, in the entry and in the log.
const BY: &str = "sekisho (opened with the password of a later mail)";

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
            Place::Delivered => Arc::clone(&self.late.copies),
        };
        let read = spawn_blocking(move || Ok((store.entry(id)?, store.content(id)?))).await;
        let (entry, content) = match read {
            Ok(Ok(read)) => read,
            // In the MTA's queue, expired, or removed by hand.
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
        let decisions: Vec<&Decision> = (entry.envelope.recipients.iter().zip(&concluded.decisions))
            .filter(|(recipient, _)| entry.held.contains(recipient))
            .map(|(_, decision)| decision)
            .collect();
        let first = *decisions.iter().find(|decision| !passes(decision)).or(decisions.first())?;
        let may_go = decisions.iter().all(|decision| passes(decision));
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
        let (quarantine, config, next_hop) = (Arc::clone(&self.quarantine), Arc::clone(config), entry.next_hop.clone());
        let released = spawn_blocking(move || {
            let mut delivery = next_hop_of(&next_hop, &config).map_err(Unreleased::For)?;
            let request = ReleaseRequest { next_hop, by: BY.to_owned(), repeat: Repeat::Never };
            quarantine.release(id, &request, &mut delivery).map_err(|error| match error {
                ReleaseError::NotSent { .. } | ReleaseError::Store(StoreError::Busy(_)) => Unreleased::Later,
                other => Unreleased::For(other.to_string()),
            })
        });
        match released.await {
            Ok(Ok(Released::Sent { .. } | Released::Already { .. } | Released::Marked)) => {
                self.late.forget(look.number);
                Some(SecondMail::Released)
            }
            // The store has logged why.
            Ok(Err(Unreleased::Later)) => self.later(look),
            Ok(Err(Unreleased::For(error))) => {
                tracing::warn!(%id, error, "a held message that was opened was not released");
                Some(SecondMail::Failed)
            }
            Err(_) => Some(SecondMail::Failed),
        }
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
            lock(&self.late.notices).add(entry, &verdict.explanation);
        }
        if verdict.level == Level::Malicious || !is_closed(&concluded.facts.findings) {
            self.late.forget(look.number);
            self.drop_copy(id).await;
        }
        Some(SecondMail::Late)
    }

    /// What is to be done every second: what waited too long goes, and notices that are due are sent.
    pub(super) async fn tick(self: &Arc<Self>, count: u64) {
        self.expire().await;
        if count.is_multiple_of(60) {
            self.sweep().await;
        }
        let config = self.config.load_full();
        let to = config.second_mail.notify.clone();
        let Some((notice, next_hop)) = lock(&self.late.notices).due(&to, Moment::now()) else { return };
        let pipeline = Arc::clone(self);
        // A next hop that hangs holds up nothing else.
        tokio::spawn(async move {
            let sent = spawn_blocking(move || notice.send(&next_hop, &config)).await;
            let error = match sent {
                Ok(Ok(())) => return,
                Ok(Err((error, notice))) => {
                    lock(&pipeline.late.notices).put_back(notice);
                    error
                }
                Err(panic) => panic.to_string(),
            };
            tracing::warn!(error, "the notice of a malicious delivered message could not be sent; it is tried again");
        });
    }
}

/// Why a message was not released.
enum Unreleased {
    /// It is held as before, and it may be tried again.
    Later,
    For(String),
}

/// Whether a copy would be delivered as it is: a release adds nothing and sends to nobody else.
fn passes(decision: &Decision) -> bool {
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
