//! What a scan knows besides the bytes.

use serde::{Deserialize, Serialize};

use crate::scan::Ask;

/// Facts from outside that analysis may use. They are values: the scan itself asks nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Knowledge {
    /// Passwords to try on everything encrypted, beside those found in the mail's own text.
    pub passwords: Vec<String>,
    /// Whether anybody answers asks: what nobody reads is not unpacked.
    pub asking: bool,
    /// What was said to the asks of a scan before.
    pub answers: Vec<Answer>,
}

/// What the outside said to an ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// To what.
    pub ask: Ask,
    /// What.
    pub said: Said,
}

/// What can be said of a picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// The text that was read in it: hostile, it is what a sender drew.
    Text(String),
    /// Malicious documents showed it: its name in the store of pictures.
    Learned(String),
}
