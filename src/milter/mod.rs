//! The milter protocol (libmilter's, versions 2 to 6): the MTA tells what an SMTP client says, and asks at
//! the end of a message what to do with it.
//!
//! ```text
//! MTA ─ server ─▶ session (no I/O) ◀─ codec (octets, commands, answers)
//!          └─ a whole message ─▶ Judge (the pipeline) ─▶ Answer ─▶ session ─▶ MTA
//! ```
//! Nothing is decided before the end of a message: all other events are taken without an answer where the
//! MTA agrees, else with CONTINUE. The message is put together as octets, with a Received field of our own on
//! top that tells what the MTA's own will (the MTA adds it later and does not show it to milters).
//! Any doubt is TEMPFAIL: an action that the MTA does not offer, a spool that is full, a panic.
//! Not here: what an answer is made of; TLS (a milter is a neighbour).

pub mod codec;
pub mod gate;
pub mod server;
pub mod session;

pub use codec::{Modification, Response};
pub use server::{Judge, Received};
pub use session::{Answer, Field};
