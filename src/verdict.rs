//! From findings to a level and an explanation.

use serde::{Deserialize, Serialize};

/// How bad it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Nothing active.
    #[default]
    Clean,
    /// Active content without anything to hold against it.
    Active,
    /// Rarely honest.
    Suspicious,
    /// Made to do harm.
    Malicious,
}

impl Level {
    /// Every level, mildest first.
    pub const ALL: [Level; 4] = [Level::Clean, Level::Active, Level::Suspicious, Level::Malicious];

    /// The name in rules, header fields and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Level::Clean => "clean",
            Level::Active => "active",
            Level::Suspicious => "suspicious",
            Level::Malicious => "malicious",
        }
    }

    /// Finds a level by its name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }
}
