//! Sekisho (関所, the checkpoint every traveller had to pass): an SMTP filter that opens every
//! attachment and explains what it would do.

// Input must never bring the program down: what can panic does not compile.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used,
        reason = "a test may fail"
    )
)]

pub mod cli;
pub mod config;
pub mod daemon;
pub mod envelope;
pub mod faults;
pub mod filetype;
pub mod finding;
pub mod formats;
pub mod hostile;
pub mod http;
pub mod knowledge;
pub mod limits;
pub mod lure;
pub mod marks;
pub mod message;
pub mod metrics;
pub mod mime;
pub mod net;
pub mod part;
pub mod pipeline;
pub mod plan;
pub mod policy;
pub mod reader;
pub mod scan;
pub mod smtp;
pub mod store;
pub mod telemetry;
pub mod terminal;
pub mod vba;
pub mod verdict;
