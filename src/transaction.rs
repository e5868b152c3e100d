//! One mail transaction, whatever protocol it came by: a message that has arrived, what takes it, and
//! the way it goes on.
//!
//! The servers ([`crate::smtp::server`], [`crate::milter`]) make a [`Mail`] of what they were sent and give it
//! to a [`Handler`], together with the [`Onward`] of their own: the transaction with the next hop, or the
//! changes that an MTA is asked to make. So what decides does not know who asked.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::{self, Config};
use crate::envelope::Envelope;
use crate::marks::Changes;
use crate::message::{Message, SpoolPolicy};
use crate::plan::Addressees;
use crate::smtp::reply::Reply;
use crate::smtp::session::{ContentRefusal, SessionEnd};
use crate::store::QuarantineId;
use crate::transport::Transport;

/// A message whose end has arrived, with everything around it.
#[derive(Debug)]
pub struct Mail {
    /// From whom and to whom.
    pub envelope: Envelope,
    /// The octets.
    pub message: Arc<Message>,
    /// How it came.
    pub transport: Transport,
    /// Where it came in.
    pub listener: Arc<config::Listener>,
    /// The configuration that was in force at its MAIL.
    pub config: Arc<Config>,
    /// When the final dot arrived.
    pub received: Instant,
    /// The session, for the log: a number that is never used twice by one process.
    pub session: u64,
    /// The peer of the connection; `None` on a Unix socket.
    pub peer: Option<IpAddr>,
    /// Cancelled when the client has gone: nobody waits for the reply, so that a message that is not
    /// forwarded yet need not be. The client keeps it.
    pub client_gone: CancellationToken,
}

impl Mail {
    /// When the reply must be on its way (invariant 15).
    pub fn deadline(&self) -> Instant {
        let limit = self.config.timeouts.reply_deadline;
        self.received.checked_add(limit).unwrap_or(self.received)
    }
}

/// What takes messages: the pipeline, or a fake in tests.
pub trait Handler: Send + Sync + 'static {
    /// Decides and acts. A 2yz takes responsibility for the message (RFC 5321 6.1). Is never
    /// cancelled, except at the very end of a shutdown. What it leaves of the transaction is reset.
    fn handle(&self, mail: Mail, onward: &mut impl Onward) -> impl Future<Output = Answer> + Send;

    /// How a transaction ended whose held copies were announced by [`Onward::held`].
    fn settled(&self, _held: QuarantineId, _ending: Ending) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// The configuration in force. Asked for each message.
    fn config(&self) -> Arc<Config>;

    /// Where content is kept while it arrives.
    fn spool(&self) -> SpoolPolicy;

    /// A session begins.
    fn session_opened(&self, _listener: &config::Listener) {}

    /// A session has ended.
    fn session_ended(&self, _listener: &config::Listener, _end: SessionEnd) {}

    /// A message's content could not be taken; its client has been told so.
    fn message_refused(&self, _mail: &Mail, _refusal: ContentRefusal) {}

    /// Handling a message panicked; its client was told to try again.
    fn message_panicked(&self, _listener: &config::Listener) {}

    /// A connection was turned away because too many are open.
    fn session_refused(&self, _listener: &config::Listener) {}
}

/// What the client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The same about all recipients.
    All(Reply),
    /// To each recipient its own, in the envelope's order. Only where the protocol can say it
    /// ([`Transport::answers_each`]).
    Each(Vec<Reply>),
}

/// What became of an answer that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The client has seen it: it went on with the connection.
    Confirmed,
    /// It was sent, or could not be any more; the client may have seen it or not.
    Unknown,
    /// It could not be given to this client: the message was deferred instead.
    Deferred,
}

/// A number for a session, never given twice by one process.
pub fn session_number() -> u64 {
    static SESSIONS: AtomicU64 = AtomicU64::new(1);
    SESSIONS.fetch_add(1, Ordering::Relaxed)
}

/// The way on for one message.
pub trait Onward: Send {
    /// Copies are held under this id. Whoever learns only later how the transaction ended tells it
    /// then ([`Handler::settled`]).
    fn held(&mut self, _id: QuarantineId) {}

    /// Asks for the whole message to be held on the way, for this reason and changed as told (it may be let
    /// go there), instead of by us. False if that cannot be.
    fn hold(&mut self, _reason: &str, _changes: &Changes) -> bool {
        false
    }

    /// Sends a copy on, changed as told, by `deadline`. Called at most once.
    fn forward(
        &mut self,
        message: &Message,
        changes: &Changes,
        to: &Addressees,
        deadline: Instant,
    ) -> impl Future<Output = Forwarded> + Send;
}

/// What became of a copy that was sent on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// The next hop's word about each addressee, the given ones first: 2yz, it has the message for
    /// them; 4yz or 5yz, it does not want it. All the same unless both sides speak LMTP; only a further copy may
    /// differ from the others.
    Answered(Vec<Reply>),
    /// The next hop is lost.
    Lost {
        /// True if the final dot was sent: the next hop may have the message.
        after_dot: bool,
        /// For the log.
        what: String,
    },
}

impl Forwarded {
    /// The same word about everybody.
    pub fn all(reply: &Reply, to: &Addressees) -> Self {
        Self::Answered(vec![reply.clone(); to.len()])
    }
}
