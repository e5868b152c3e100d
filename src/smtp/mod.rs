//! The SMTP and LMTP proxy (RFC 5321, RFC 2033): takes a message from the server in front, asks what to do with it,
//! hands it to the next hop and relays the next hop's answer.
//!
//! ```text
//! client ─ server ─▶ session (no I/O) ─▶ relay ─▶ client.rs ─▶ next hop
//!                        └─ a whole message ─▶ transaction::Handler (the pipeline) ─▶ relay::Transaction
//! ```
//! Nothing is queued here: a message is answered positively only after the handler said so, and the
//! handler only after the next hop did, or after it holds the message durably.
//! Not here: AUTH, CHUNKING.

pub mod client;
pub mod command;
pub mod data;
pub mod delivery;
pub mod relay;
pub mod reply;
pub mod server;
pub mod session;

pub use relay::Transaction;
pub use reply::Reply;

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// SMTP: one reply to a message.
    #[default]
    Smtp,
    /// LMTP: after a message one reply for each recipient (RFC 2033 4.2).
    Lmtp,
}

impl Protocol {
    /// The command that begins a session.
    pub fn hello(self) -> &'static str {
        match self {
            Protocol::Smtp => "EHLO",
            Protocol::Lmtp => "LHLO",
        }
    }
}
