//! Stripping on the line: the copy without its bad parts is made, scanned and judged anew before anything is
//! decided for good. What cannot be stripped, or would be held all the same, is held as it came.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use crate::config::NoticeLanguage;
use crate::envelope::Path;
use crate::message::Message;
use crate::part::PartPath;
use crate::pipeline::{Judged, Pipeline, allowed, facts};
use crate::policy;
use crate::policy::decision::{Action, Step};
use crate::store::QuarantineId;
use crate::strip::{self, Languages, Notice, Refused, Stripped};
use crate::transaction::Mail;
use crate::verdict::{Level, Verdict, judge};

/// Of one message, so many different sets of parts are stripped; each is a scan more.
const MOST: usize = 4;

/// What becomes of a decision to strip.
enum Fate {
    /// The copy may go out.
    Stripped(Stripped),
    /// There is nothing to take out, and nothing against the message.
    AsItCame,
    /// It is held: why.
    Held(String),
}

impl Pipeline {
    /// Settles every decision to strip: made, or changed into one that can be carried out.
    pub(super) async fn strip(&self, mail: &Mail, id: QuarantineId, judged: &mut Judged) {
        let mut looked: Vec<Vec<PartPath>> = Vec::new();
        for index in 0..judged.decisions.len() {
            let Some(Action::Strip { parts }) = judged.decisions.get(index).map(|decision| decision.action.clone())
            else {
                continue;
            };
            if looked.contains(&parts) {
                continue;
            }
            looked.push(parts.clone());
            let fate = if looked.len() > MOST {
                Fate::Held("too many different parts are to be stripped from one message".to_owned())
            } else {
                self.fate(mail, id, judged, &parts).await
            };
            match fate {
                Fate::Stripped(stripped) => judged.stripped.push((parts, stripped)),
                Fate::AsItCame => change(judged, &parts, &Action::Pass, "there is nothing to strip"),
                Fate::Held(why) => {
                    tracing::info!(%id, why, "holding instead of stripping");
                    change(judged, &parts, &Action::Quarantine, &format!("held instead of stripped: {why}"));
                }
            }
        }
    }

    async fn fate(&self, mail: &Mail, id: QuarantineId, judged: &Judged, parts: &[PartPath]) -> Fate {
        let recipients = recipients(mail, judged, parts);
        let offending =
            if parts.is_empty() { strip::offending(&allowed(mail, &judged.report).report) } else { parts.to_vec() };
        let (id, languages) = (id.to_string(), languages(&recipients, mail.config.mail.language));
        let (message, report) = (Arc::clone(&mail.message), judged.report.clone());
        let cut = tokio::task::spawn_blocking(move || {
            let raw = message.bytes().map_err(|error| Refused::Unreadable(error.to_string()))?;
            let stripped = strip::strip(&raw, &report, &offending, &Notice { id: &id, languages })?;
            let copy = Message::from_bytes(stripped.apply(&raw));
            Ok((stripped, Arc::new(copy)))
        });
        let (stripped, copy) = match cut.await {
            Ok(Ok(cut)) => cut,
            Ok(Err(Refused::NothingToStrip)) if is_harmless(&judged.verdict) => return Fate::AsItCame,
            Ok(Err(refused)) => return Fate::Held(refused.to_string()),
            Err(panic) => return Fate::Held(panic.to_string()),
        };
        match self.may_go_out(mail, copy, &recipients, &judged.heard).await {
            Ok(()) => Fate::Stripped(stripped),
            Err(why) => Fate::Held(why),
        }
    }

    /// Scans and judges a stripped copy: whether the rules would deliver it to these recipients.
    async fn may_go_out(
        &self,
        mail: &Mail,
        copy: Arc<Message>,
        recipients: &[Path],
        heard: &[String],
    ) -> Result<(), String> {
        let size = copy.size();
        let scanned = self.look(mail, &copy, &Bytes::new(), heard).await;
        let report = scanned.map_err(|_| "no time left to scan what would remain".to_owned())?.report;
        let report = allowed(mail, &report).report;
        let verdict = judge(&report);
        let facts = facts(mail, size, &report, &verdict);
        let rest_is_harmless = is_harmless(&verdict) && strip::offending(&report).is_empty();
        for decision in policy::decide_each(&facts, recipients, &mail.config.policy, Timestamp::now()) {
            let strips_again = matches!(decision.action, Action::Strip { .. });
            let goes = decision.action.delivers() || strips_again && rest_is_harmless;
            if !goes {
                let (action, rule) = (decision.action.name(), decision.rule);
                return Err(format!("what remains is {}, and rule {rule} says {action}", verdict.level));
            }
        }
        Ok(())
    }
}

/// Whether there is nothing to hold against a message.
fn is_harmless(verdict: &Verdict) -> bool {
    verdict.level < Level::Suspicious && verdict.complete
}

/// The recipients for whom these parts are to be stripped.
fn recipients(mail: &Mail, judged: &Judged, parts: &[PartPath]) -> Vec<Path> {
    let strips = |action: &Action| matches!(action, Action::Strip { parts: others } if others == parts);
    let decided = mail.envelope.recipients.iter().zip(&judged.decisions);
    decided.filter(|(_, decision)| strips(&decision.action)).map(|(recipient, _)| recipient.clone()).collect()
}

/// Changes every decision to strip these parts.
fn change(judged: &mut Judged, parts: &[PartPath], action: &Action, why: &str) {
    for decision in &mut judged.decisions {
        if matches!(&decision.action, Action::Strip { parts: others } if others == parts) {
            decision.action = action.clone();
            decision.trace.push(Step { rule: decision.rule.clone(), matched: true, why: why.to_owned() });
        }
    }
}

/// The languages of the notices: one version of the message goes out, so of all who get it.
fn languages(recipients: &[Path], wanted: NoticeLanguage) -> Languages {
    let is_japanese = |recipient: &Path| recipient.domain().is_some_and(|domain| domain.ends_with(".jp"));
    match wanted {
        NoticeLanguage::English => Languages::English,
        NoticeLanguage::Japanese => Languages::Japanese,
        NoticeLanguage::Auto if recipients.iter().all(is_japanese) => Languages::Japanese,
        NoticeLanguage::Auto if !recipients.iter().any(is_japanese) => Languages::English,
        NoticeLanguage::Auto => Languages::Both,
    }
}
