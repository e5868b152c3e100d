//! What a policy decides for one recipient, and how it came to that.

use serde::{Deserialize, Serialize};

/// What happens to one recipient's copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "action")]
pub enum Action {
    /// Delivered as it is.
    Pass,
    /// Delivered with marks.
    Tag(Tag),
    /// Held in quarantine.
    Quarantine,
    /// Refused with this reply (`554 5.7.1 … {id}`); the default names nothing but the id.
    Reject {
        /// The whole reply line; `{id}` becomes the message's id.
        reply: String,
    },
    /// Refused for now with 4xx.
    Defer,
}

/// The marks of a delivered copy.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tag {
    /// Header fields to add, name and value; `{verdict}`, `{rule}`, `{id}` are replaced.
    pub headers: Vec<(String, String)>,
    /// Put before the first Subject, once.
    pub subject_prefix: Option<String>,
}

impl Action {
    /// Every action's name, for metrics and diagnostics.
    pub const NAMES: [&'static str; 5] = ["pass", "tag", "quarantine", "reject", "defer"];

    /// The name in rules, logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Action::Pass => "pass",
            Action::Tag(_) => "tag",
            Action::Quarantine => "quarantine",
            Action::Reject { .. } => "reject",
            Action::Defer => "defer",
        }
    }
}

/// One recipient's decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What happens.
    pub action: Action,
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
