//! Sekisho (関所, the checkpoint every traveller had to pass): a milter and SMTP or LMTP
//! proxy that opens every attachment and explains what it would do.
//!
//! # The straight line
//!
//! ```text
//! bytes ─smtp or milter─▶ Message ─mime─▶ Parts ─scan + formats─▶ Report(findings, asks)
//!       ─verdict─▶ Verdict, Facts ─policy::decide_each─▶ Decisions ─plan─▶ {reply, hold, forward}
//!       ─pipeline: store durably, forward, count, one log line─▶ reply
//! ```
//!
//! Read [`pipeline`] first: it is the whole program in one file. [`smtp::server`] and
//! [`milter::gate`] call it when the end of a message has arrived ([`transaction`] is the seam); [`cli::scan`] runs the middle of the line on files.
//!
//! # The map
//!
//! | The line | [`pipeline`], [`queue`], [`plan`], [`ledger`], [`marks`], [`strip`], [`faults`] |
//! |---|---|
//! | What goes along it | [`transaction`], [`transport`], [`message`], [`envelope`], [`part`], [`finding`], [`policy::facts`], [`policy::decision`] |
//! | Looking | [`mime`], [`scan`], [`formats`], [`filetype`], [`vba`], [`excel4`], [`command`], [`indicator`], [`field`], [`link`], [`lure`], [`limits`], [`reader`], [`knowledge`] |
//! | Judging | [`verdict`], [`policy`] |
//! | The edges | [`worker`], [`asks`], [`ocr`], [`pictures`], [`milter`], [`smtp`], [`intake`], [`net`], [`tls`], [`store`], [`http`], [`metrics`], [`telemetry`], [`terminal`], [`hostile`] |
//! | The program | [`daemon`], [`systemd`], [`config`], [`cli`] |
//!
//! # What always holds
//!
//! - A positive reply is given only after the next hop said 250 or the message is durably held.
//! - Untouched means byte-identical; our fields stand at the top, forged ones are deleted.
//! - What looks at bytes does no I/O, reads no clock, and does not fail: a surprise is a finding.
//! - "Could not be inspected" is a result with a reason, never "clean".
//! - Every decompressor, list and reply is bounded; there is no recursion over input.
//!
//! The reasons stand in `docs/architecture.md`; `tests/architecture.rs` checks what a program can check.

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

pub mod asks;
pub mod cli;
pub mod command;
pub mod config;
pub mod daemon;
pub mod envelope;
pub mod excel4;
pub mod faults;
pub mod field;
pub mod filetype;
pub mod finding;
pub mod formats;
pub mod hostile;
pub mod http;
pub mod indicator;
pub mod intake;
pub mod knowledge;
pub mod ledger;
pub mod limits;
pub mod link;
pub mod lure;
pub mod marks;
pub mod message;
pub mod metrics;
pub mod milter;
pub mod mime;
pub mod net;
pub mod ocr;
pub mod part;
pub mod pictures;
pub mod pipeline;
pub mod plan;
pub mod policy;
pub mod queue;
pub mod reader;
pub mod scan;
pub mod smtp;
pub mod store;
pub mod strip;
pub mod systemd;
pub mod telemetry;
pub mod terminal;
pub mod tls;
pub mod transaction;
pub mod transport;
pub mod vba;
pub mod verdict;
pub mod worker;
