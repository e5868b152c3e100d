//! From one decision per recipient to what one transaction can do. Only this file knows transports.
//!
//! The rules, in order:
//! 1. Any recipient deferred: the whole message is, and nothing is delivered or held. (LMTP answers for each
//!    recipient, so there only that one is.)
//! 2. Rejected only where every recipient is (LMTP: where this one is), and the transport can refuse; else
//!    those copies are held.
//! 3. Of several forwarded versions (other marks or stripped parts for other recipients) the one wanted by
//!    most goes out; the other recipients' copies are held. A redirected copy has an addressee of its own and
//!    is no other version.
//! 4. Further copies (`copy_to`) go along with the version that goes out; if none does, the message goes to them alone.
//! 5. Nothing left to forward: the message is answered by us, once it is held.

use crate::envelope::Path;
use crate::part::PartPath;
use crate::policy::decision::{Action, Decision, Marks};
use crate::transport::Transport;

/// What will be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What becomes of each recipient's copy, in the envelope's order.
    pub fates: Vec<Fate>,
    /// The one version of the message that goes out; `None` if none does.
    pub forward: Option<Forward>,
}

/// What becomes of one recipient's copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Refused for now.
    Defer,
    /// Refused for good.
    Reject {
        /// The reply's template.
        reply: String,
    },
    /// Held, durably, before anything is forwarded or answered.
    Hold,
    /// Dropped.
    Discard,
    /// Forwarded.
    Forward {
        /// Which of [`Forward::to`] it goes to: the given ones count first.
        addressee: usize,
    },
}

/// The one version of a message that goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Who gets it.
    pub to: Addressees,
    /// What they get.
    pub version: Version,
}

/// How a copy differs from what came, beside our own header fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// Its marks.
    pub marks: Marks,
    /// The parts to strip, as in [`Action::Strip`]; then the original is kept.
    pub strip: Option<Vec<PartPath>>,
}

/// Who gets the copy that is sent on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addressees {
    /// Recipients of the envelope, as indices into its list.
    pub given: Vec<usize>,
    /// Others.
    pub added: Vec<Added>,
}

/// An addressee that the envelope does not name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// Who.
    pub path: Path,
    /// Somebody's only copy goes there (a redirection): without it nothing is sent to anybody. Else
    /// (a further copy) the others get theirs all the same.
    pub required: bool,
}

impl Addressees {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.given.len().saturating_add(self.added.len())
    }

    /// Whether nobody waits for this: only further copies are sent.
    pub fn is_only_copies(&self) -> bool {
        self.given.is_empty() && self.added.iter().all(|added| !added.required)
    }

    /// Whether nobody is addressed.
    pub fn is_empty(&self) -> bool {
        self.given.is_empty() && self.added.is_empty()
    }
}

impl Plan {
    /// The recipients whose copies are held, or whose originals are kept beside a stripped copy.
    pub fn held(&self) -> Vec<usize> {
        let strips = self.forward.as_ref().is_some_and(|forward| forward.version.strip.is_some());
        let is_held = |fate: &Fate| *fate == Fate::Hold || strips && matches!(fate, Fate::Forward { .. });
        self.fates.iter().enumerate().filter(|(_, fate)| is_held(fate)).map(|(index, _)| index).collect()
    }
}

/// Plans one message. `decisions` holds one decision per recipient, in the envelope's order.
pub fn plan(decisions: &[Decision], transport: Transport) -> Plan {
    let is_deferred = |decision: &Decision| decision.action == Action::Defer;
    if !transport.answers_each() && decisions.iter().any(is_deferred) {
        return Plan { fates: vec![Fate::Defer; decisions.len()], forward: None };
    }
    let refuses = transport.may_refuse()
        && (transport.answers_each() || decisions.iter().all(|d| matches!(d.action, Action::Reject { .. })));
    let version = favourite_version(decisions);
    let mut to = Addressees::default();
    let wanted = |decision: &Decision| version.is_some() && version_of(decision) == version;
    // The given ones come first, so that what a recipient goes to can be counted.
    for (index, decision) in decisions.iter().enumerate() {
        if wanted(decision) && !matches!(decision.action, Action::Redirect { .. }) {
            to.given.push(index);
        }
    }
    let mut fates = Vec::new();
    for (index, decision) in decisions.iter().enumerate() {
        fates.push(match &decision.action {
            Action::Defer => Fate::Defer,
            Action::Discard => Fate::Discard,
            Action::Reject { reply } if refuses => Fate::Reject { reply: reply.clone() },
            Action::Redirect { to: path } if wanted(decision) => Fate::Forward { addressee: add(&mut to, path, true) },
            _ if wanted(decision) => {
                let addressee = to.given.iter().position(|given| *given == index).unwrap_or_default();
                Fate::Forward { addressee }
            }
            _ => Fate::Hold,
        });
    }
    let accepted = |fate: &Fate| matches!(fate, Fate::Hold | Fate::Discard | Fate::Forward { .. });
    for (decision, _) in decisions.iter().zip(&fates).filter(|(_, fate)| accepted(fate)) {
        for path in &decision.copy_to {
            add(&mut to, path, false);
        }
    }
    let version = version.unwrap_or_default();
    Plan { fates, forward: (!to.is_empty()).then_some(Forward { to, version }) }
}

/// Adds an addressee, once, and returns its place among all.
fn add(to: &mut Addressees, path: &Path, required: bool) -> usize {
    let known = to.added.iter().position(|added| added.path == *path);
    let place = known.unwrap_or(to.added.len());
    match to.added.get_mut(place) {
        Some(added) => added.required |= required,
        None => to.added.push(Added { path: path.clone(), required }),
    }
    to.given.len().saturating_add(place)
}

/// The version that most recipients get; among equals, the one that comes first.
fn favourite_version(decisions: &[Decision]) -> Option<Version> {
    let mut counted: Vec<(Version, usize)> = Vec::new();
    for version in decisions.iter().filter_map(version_of) {
        match counted.iter_mut().find(|(other, _)| *other == version) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => counted.push((version, 1)),
        }
    }
    let most = counted.iter().map(|(_, count)| *count).max()?;
    counted.into_iter().find(|(_, count)| *count == most).map(|(version, _)| version)
}

/// The version of a delivered copy, or `None` if this decision does not deliver.
fn version_of(decision: &Decision) -> Option<Version> {
    let strip = match &decision.action {
        Action::Pass | Action::Tag | Action::Redirect { .. } => None,
        Action::Strip { parts } => Some(parts.clone()),
        Action::Quarantine | Action::Reject { .. } | Action::Defer | Action::Discard => return None,
    };
    Some(Version { marks: decision.marks.clone(), strip })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `p`ass, `t`ag, `u` (another tag), `s`trip, `q`uarantine, `>` redirect, `r`eject, `d`efer, `x` discard;
    /// a `+` behind adds a further copy.
    fn decisions(letters: &str) -> Vec<Decision> {
        let mut decisions: Vec<Decision> = Vec::new();
        for letter in letters.chars() {
            let (mut marks, mut copy_to) = (Marks::default(), Vec::new());
            let action = match letter {
                'p' => Action::Pass,
                't' | 'u' => {
                    marks.subject_prefix = Some(letter.to_string());
                    Action::Tag
                }
                's' => Action::Strip { parts: Vec::new() },
                'q' => Action::Quarantine,
                '>' => Action::Redirect { to: Path::new("<soc@x>") },
                'r' => Action::Reject { reply: "554 5.7.1 no".to_owned() },
                'd' => Action::Defer,
                'x' => Action::Discard,
                _ => {
                    copy_to.push(Path::new("<copy@x>"));
                    decisions.last_mut().unwrap().copy_to = copy_to;
                    continue;
                }
            };
            let (rule, line, trace) = ("test".to_owned(), None, Vec::new());
            decisions.push(Decision { action, marks, copy_to, rule, line, trace });
        }
        decisions
    }

    /// The plan in letters: one a recipient (`d`efer, `r`eject, `h`old, `x` discard, or the number of
    /// its addressee), then what goes out to whom.
    fn planned(transport: Transport, letters: &str) -> String {
        let plan = plan(&decisions(letters), transport);
        let mut text: String = plan
            .fates
            .iter()
            .map(|fate| match fate {
                Fate::Defer => "d".to_owned(),
                Fate::Reject { .. } => "r".to_owned(),
                Fate::Hold => "h".to_owned(),
                Fate::Discard => "x".to_owned(),
                Fate::Forward { addressee } => addressee.to_string(),
            })
            .collect();
        if let Some(Forward { to, version }) = &plan.forward {
            text.push(' ');
            text.push_str(match (&version.strip, version.marks.subject_prefix.as_deref()) {
                (Some(_), _) => "stripped",
                (None, Some(prefix)) => prefix,
                (None, None) => "plain",
            });
            text.push_str(&format!(" {:?}", to.given));
            for added in &to.added {
                text.push_str(if added.required { " >" } else { " +" });
                text.push_str(&added.path.address());
            }
        }
        text
    }

    #[test]
    fn every_pair_of_actions_with_one_reply() {
        for (pair, expected) in [
            ("pp", "01 plain [0, 1]"),
            ("pt", "0h plain [0]"),
            ("ps", "0h plain [0]"),
            ("pq", "0h plain [0]"),
            ("p>", "01 plain [0] >soc@x"),
            ("pr", "0h plain [0]"),
            ("pd", "dd"),
            ("px", "0x plain [0]"),
            ("tt", "01 t [0, 1]"),
            ("tu", "0h t [0]"),
            ("ts", "0h t [0]"),
            ("tq", "0h t [0]"),
            ("t>", "0h t [0]"),
            ("tr", "0h t [0]"),
            ("td", "dd"),
            ("tx", "0x t [0]"),
            ("ss", "01 stripped [0, 1]"),
            ("sq", "0h stripped [0]"),
            ("s>", "0h stripped [0]"),
            ("sr", "0h stripped [0]"),
            ("sd", "dd"),
            ("sx", "0x stripped [0]"),
            ("qq", "hh"),
            ("q>", "h0 plain [] >soc@x"),
            ("qr", "hh"),
            ("qd", "dd"),
            ("qx", "hx"),
            (">>", "00 plain [] >soc@x"),
            (">r", "0h plain [] >soc@x"),
            (">d", "dd"),
            (">x", "0x plain [] >soc@x"),
            ("rr", "rr"),
            ("rd", "dd"),
            ("rx", "hx"),
            ("dd", "dd"),
            ("dx", "dd"),
            ("xx", "xx"),
        ] {
            for transport in [Transport::BeforeQueue, Transport::Milter] {
                assert_eq!(planned(transport, pair), expected, "{pair}");
            }
            let behind = if pair == "rr" { "hh" } else { expected };
            assert_eq!(planned(Transport::AfterQueue, pair), behind, "{pair}");
        }
    }

    #[test]
    fn every_pair_of_actions_with_a_reply_each() {
        for (pair, before, behind) in [
            ("pd", "0d plain [0]", "0d plain [0]"),
            ("pr", "0r plain [0]", "0h plain [0]"),
            ("qd", "hd", "hd"),
            ("qr", "hr", "hh"),
            ("sd", "0d stripped [0]", "0d stripped [0]"),
            (">r", "0r plain [] >soc@x", "0h plain [] >soc@x"),
            ("rd", "rd", "hd"),
            ("dx", "dx", "dx"),
            ("dd", "dd", "dd"),
            ("rr", "rr", "hh"),
            ("pt", "0h plain [0]", "0h plain [0]"),
        ] {
            assert_eq!(planned(Transport::LmtpBeforeQueue, pair), before, "{pair}");
            assert_eq!(planned(Transport::LmtpAfterQueue, pair), behind, "{pair}");
        }
    }

    #[test]
    fn the_version_that_most_want_goes_out() {
        assert_eq!(planned(Transport::BeforeQueue, "ptt"), "h01 t [1, 2]");
    }

    #[test]
    fn further_copies_go_along_or_alone() {
        for (letters, expected) in [
            ("p+", "0 plain [0] +copy@x"),
            ("q+", "h plain [] +copy@x"),
            ("q+p", "h0 plain [1] +copy@x"),
            ("s+", "0 stripped [0] +copy@x"),
            ("x+", "x plain [] +copy@x"),
            ("p+p+", "01 plain [0, 1] +copy@x"),
        ] {
            assert_eq!(planned(Transport::Milter, letters), expected, "{letters}");
        }
    }

    #[test]
    fn a_stripped_message_is_kept_for_its_recipients() {
        assert_eq!(plan(&decisions("sq"), Transport::Milter).held(), [0, 1]);
        assert_eq!(plan(&decisions("pq"), Transport::Milter).held(), [1]);
    }

    #[test]
    fn no_recipients_is_no_delivery() {
        assert_eq!(planned(Transport::BeforeQueue, ""), "");
    }
}
