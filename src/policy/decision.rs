//! What a policy decides for one recipient, and how it came to that.

use serde::{Deserialize, Serialize};

use crate::envelope::Path;
use crate::part::PartPath;

/// What happens to one recipient's copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "action")]
pub enum Action {
    /// Delivered as it is.
    Pass,
    /// Delivered with marks.
    Tag,
    /// Delivered without some of its parts; the original is kept in quarantine.
    Strip {
        /// The parts that the rule means; none: whatever has something against it.
        parts: Vec<PartPath>,
    },
    /// Held in quarantine.
    Quarantine,
    /// Delivered to somebody else instead.
    Redirect {
        /// To whom.
        to: Path,
    },
    /// Refused with this reply (`554 5.7.1 … {id}`); the default names nothing but the id.
    Reject {
        /// The whole reply line; `{id}` becomes the message's id.
        reply: String,
    },
    /// Refused for now with 4xx.
    Defer,
    /// Accepted and dropped: the one action that loses mail, because the administrator said so.
    Discard,
}

/// The marks of a delivered copy.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Marks {
    /// Header fields to add, name and value; `{verdict}`, `{rule}`, `{id}` are replaced.
    pub headers: Vec<(String, String)>,
    /// Put before the first Subject, once.
    pub subject_prefix: Option<String>,
}

impl Marks {
    /// Whether nothing is marked.
    pub fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.subject_prefix.is_none()
    }
}

impl Action {
    /// Every action's name, for metrics and diagnostics.
    pub const NAMES: [&'static str; 8] =
        ["pass", "tag", "strip", "quarantine", "redirect", "reject", "defer", "discard"];

    /// The name in rules, logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Action::Pass => "pass",
            Action::Tag => "tag",
            Action::Strip { .. } => "strip",
            Action::Quarantine => "quarantine",
            Action::Redirect { .. } => "redirect",
            Action::Reject { .. } => "reject",
            Action::Defer => "defer",
            Action::Discard => "discard",
        }
    }

    /// Whether a copy of what came is delivered to the recipient.
    pub fn delivers(&self) -> bool {
        match self {
            Action::Pass | Action::Tag => true,
            Action::Strip { .. }
            | Action::Quarantine
            | Action::Redirect { .. }
            | Action::Reject { .. }
            | Action::Defer
            | Action::Discard => false,
        }
    }
}

/// One recipient's decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What happens.
    pub action: Action,
    /// The marks of the copy that is delivered, if one is.
    pub marks: Marks,
    /// Who gets a further copy.
    pub copy_to: Vec<Path>,
    /// The rule that decided; a built-in default has a name in parentheses, like `(malicious)`.
    pub rule: String,
    /// The line of the rule in the configuration file, if it stands there.
    pub line: Option<usize>,
    /// Every rule that was looked at, in order.
    pub trace: Vec<Step>,
}

/// One rule, as it was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The rule's name.
    pub rule: String,
    /// Whether it decided.
    pub matched: bool,
    /// For a rule that did not: the first condition that failed and what it met, in words.
    pub why: String,
}
