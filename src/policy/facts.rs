//! What a policy may know of a message: its only input, and what history stores.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::envelope::Path;
use crate::finding::{Finding, Reason};
use crate::scan::PartReport;
use crate::verdict::Level;

/// Version of [`Facts`]; grows when a field changes its meaning.
pub const FACTS_VERSION: u32 = 1;

/// Everything that rules decide by. Serialisable and versioned, so that a decision can be replayed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// [`FACTS_VERSION`].
    pub version: u32,
    /// The client's address, as far as known.
    pub client: Option<IpAddr>,
    /// MAIL FROM.
    pub sender: Path,
    /// Which way the message goes.
    pub direction: Direction,
    /// Octets of the message.
    pub size: u64,
    /// The verdict's level.
    pub verdict: Level,
    /// Whether everything was looked into.
    pub complete: bool,
    /// Why not.
    pub reasons: Vec<Reason>,
    /// What was seen.
    pub findings: Vec<Finding>,
    /// What the message consists of.
    pub parts: Vec<PartReport>,
}

/// Which way a message goes, by `[mail] local_networks` and `local_domains`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From outside.
    Inbound,
    /// From a local network or domain to the outside.
    Outbound,
    /// From a local network or domain to local domains.
    Internal,
}

impl Direction {
    /// Every direction.
    pub const ALL: [Direction; 3] = [Direction::Inbound, Direction::Outbound, Direction::Internal];

    /// The name in rules and logs.
    pub fn name(self) -> &'static str {
        match self {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
            Direction::Internal => "internal",
        }
    }
}
