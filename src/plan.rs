//! From one decision per recipient to what one transaction can do. Only this file knows transports.
//!
//! The rules, in order:
//! 1. Any recipient deferred: the whole message is, and nothing is delivered or held.
//! 2. Rejected only where every recipient is, and the transport can refuse; else those copies are held.
//! 3. Of several forwarded versions (other marks for other recipients) the one wanted by most goes out;
//!    the other recipients' copies are held.
//! 4. Nothing left to forward: the message is answered by us, once it is held.

use crate::policy::decision::{Action, Decision, Tag};

/// How the message came, and so what a reply can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// SMTP in front of the queue: the sender's server still waits, one reply for all recipients.
    BeforeQueue,
    /// SMTP behind the queue: a refusal would make a bounce to a forged sender, so nothing is refused.
    AfterQueue,
    /// LMTP from a server whose client still waits: a reply for each recipient.
    LmtpBeforeQueue,
    /// LMTP behind the queue: a reply for each recipient, and nothing is refused.
    LmtpAfterQueue,
    /// A milter: the sender's server still waits, one reply, and the MTA makes the changes.
    Milter,
}

impl Transport {
    /// Every transport, for metrics.
    pub const ALL: [Transport; 5] = [
        Transport::BeforeQueue,
        Transport::AfterQueue,
        Transport::LmtpBeforeQueue,
        Transport::LmtpAfterQueue,
        Transport::Milter,
    ];

    /// The name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Transport::BeforeQueue => "before-queue",
            Transport::AfterQueue => "after-queue",
            Transport::LmtpBeforeQueue => "lmtp-before-queue",
            Transport::LmtpAfterQueue => "lmtp-after-queue",
            Transport::Milter => "milter",
        }
    }

    /// Whether a permanent refusal reaches the sender's server, instead of making a bounce.
    pub fn may_refuse(self) -> bool {
        match self {
            Transport::BeforeQueue | Transport::LmtpBeforeQueue | Transport::Milter => true,
            Transport::AfterQueue | Transport::LmtpAfterQueue => false,
        }
    }

    /// Whether each recipient gets a reply of its own (RFC 2033 4.2).
    pub fn answers_each(self) -> bool {
        match self {
            Transport::LmtpBeforeQueue | Transport::LmtpAfterQueue => true,
            Transport::BeforeQueue | Transport::AfterQueue | Transport::Milter => false,
        }
    }
}

/// What will be done. Recipients are indices into the envelope's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// 451: nothing is delivered, nothing held.
    Defer,
    /// A permanent refusal: nothing is delivered, nothing held.
    Reject {
        /// The reply's template.
        reply: String,
    },
    /// Hold some copies (durably, first), forward one version to the others, answer by the outcome.
    Deliver {
        /// Whose copies are held.
        hold: Vec<usize>,
        /// Who gets the message, and with which marks; `None` if all copies are held.
        forward: Option<Forward>,
    },
}

/// The one version of a message that goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Who gets it.
    pub recipients: Vec<usize>,
    /// Its marks beside our own header fields.
    pub tag: Tag,
}

/// Plans one message. `decisions` holds one decision per recipient, in the envelope's order.
pub fn plan(decisions: &[Decision], transport: Transport) -> Plan {
    if decisions.is_empty() || decisions.iter().any(|decision| decision.action == Action::Defer) {
        return Plan::Defer;
    }
    if transport.may_refuse()
        && let Some(reply) = unanimous_refusal(decisions)
    {
        return Plan::Reject { reply };
    }
    let version = favourite_version(decisions);
    let (mut hold, mut recipients) = (Vec::new(), Vec::new());
    for (index, decision) in decisions.iter().enumerate() {
        if version.is_some() && marks(&decision.action) == version {
            recipients.push(index);
        } else {
            hold.push(index);
        }
    }
    Plan::Deliver { hold, forward: version.map(|tag| Forward { recipients, tag }) }
}

/// The reply if every recipient is rejected: the first one's text.
fn unanimous_refusal(decisions: &[Decision]) -> Option<String> {
    let mut replies = decisions.iter().map(|decision| match &decision.action {
        Action::Reject { reply } => Some(reply),
        Action::Pass | Action::Tag(_) | Action::Quarantine | Action::Defer => None,
    });
    let first = replies.next()??.clone();
    replies.all(|reply| reply.is_some()).then_some(first)
}

/// The marks of the version that most recipients get; among equals, the one that comes first.
fn favourite_version(decisions: &[Decision]) -> Option<Tag> {
    let mut counted: Vec<(Tag, usize)> = Vec::new();
    for tag in decisions.iter().filter_map(|decision| marks(&decision.action)) {
        match counted.iter_mut().find(|(other, _)| *other == tag) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => counted.push((tag, 1)),
        }
    }
    let most = counted.iter().map(|(_, count)| *count).max()?;
    counted.into_iter().find(|(_, count)| *count == most).map(|(tag, _)| tag)
}

/// The marks of a delivered copy, or `None` if this action does not deliver.
fn marks(action: &Action) -> Option<Tag> {
    match action {
        Action::Pass => Some(Tag::default()),
        Action::Tag(tag) => Some(tag.clone()),
        Action::Quarantine | Action::Reject { .. } | Action::Defer => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(prefix: &str) -> Action {
        Action::Tag(Tag { subject_prefix: Some(prefix.to_owned()), ..Tag::default() })
    }

    fn reject() -> Action {
        Action::Reject { reply: "554 5.7.1 no".to_owned() }
    }

    /// Checks one row: who is held, who gets the message; `r` and `d` for refusals and deferrals.
    fn check(transport: Transport, actions: &[Action], expected: &str) {
        let decisions: Vec<Decision> = actions
            .iter()
            .map(|action| Decision { action: action.clone(), rule: "test".to_owned(), line: None, trace: Vec::new() })
            .collect();
        let got = match plan(&decisions, transport) {
            Plan::Defer => "defer".to_owned(),
            Plan::Reject { reply } => reply,
            Plan::Deliver { hold, forward } => match forward {
                None => format!("hold {hold:?}"),
                Some(forward) => format!(
                    "hold {hold:?} forward {:?} {:?}",
                    forward.recipients,
                    forward.tag.subject_prefix.unwrap_or_default()
                ),
            },
        };
        assert_eq!(got, expected, "{actions:?}");
    }

    #[test]
    fn every_pair_of_actions_before_the_queue() {
        use Action::{Defer, Pass, Quarantine};
        let rows: &[([Action; 2], &str)] = &[
            ([Pass, Pass], r#"hold [] forward [0, 1] """#),
            ([Pass, tag("x")], r#"hold [1] forward [0] """#),
            ([Pass, Quarantine], r#"hold [1] forward [0] """#),
            ([Pass, reject()], r#"hold [1] forward [0] """#),
            ([Pass, Defer], "defer"),
            ([tag("x"), tag("x")], r#"hold [] forward [0, 1] "x""#),
            ([tag("x"), tag("y")], r#"hold [1] forward [0] "x""#),
            ([tag("x"), Quarantine], r#"hold [1] forward [0] "x""#),
            ([tag("x"), reject()], r#"hold [1] forward [0] "x""#),
            ([tag("x"), Defer], "defer"),
            ([Quarantine, Quarantine], "hold [0, 1]"),
            ([Quarantine, reject()], "hold [0, 1]"),
            ([Quarantine, Defer], "defer"),
            ([reject(), reject()], "554 5.7.1 no"),
            ([reject(), Defer], "defer"),
            ([Defer, Defer], "defer"),
        ];
        for (actions, expected) in rows {
            check(Transport::BeforeQueue, actions, expected);
        }
    }

    #[test]
    fn nothing_is_refused_behind_the_queue() {
        check(Transport::AfterQueue, &[reject(), reject()], "hold [0, 1]");
        check(Transport::AfterQueue, &[reject(), Action::Pass], r#"hold [0] forward [1] """#);
    }

    #[test]
    fn the_version_that_most_want_goes_out() {
        check(Transport::BeforeQueue, &[Action::Pass, tag("x"), tag("x")], r#"hold [0] forward [1, 2] "x""#);
    }

    #[test]
    fn no_recipients_is_no_delivery() {
        check(Transport::BeforeQueue, &[], "defer");
    }
}
