//! Release: a held message goes to its recipients, as it came, exactly once.
//!
//! 1. Under the entry's lock, `releasing` is written, durably. Up to the final dot everything can be
//!    cut off and done again: no server takes a message without its final dot (RFC 5321 4.1.1.4).
//! 2. Directly before the final dot, `dot_sent_at` is written, durably.
//! 3. The next hop's reply decides: 2xx is `released`, anything else is held again, with a note. In LMTP
//!    each recipient has a reply of its own: those refused stay held, the others are not sent to again.
//!
//! Cut off between 2 and 3, nobody here can know whether the message was taken (RFC 1047): it is not
//! sent again unless a person has looked and says so.

use std::fmt;
use std::io;

use jiff::Timestamp;

use crate::envelope::{Envelope, Path};
use crate::message::Message;
use crate::store::folder::{Locked, sha256};
use crate::store::{Entry, Quarantine, QuarantineId, Refusal, Release, State, StoreError};

/// Sends one message to a next hop.
pub trait Delivery {
    /// Sends the octets as they are, with this envelope and as many of its ESMTP parameters as the
    /// next hop offers. Recipients that the next hop refuses are left out, if one at least is taken.
    /// Calls `before_dot` with the refusals after all content is written (and flushed) and directly
    /// before the final dot; after an error of it the dot must not be sent and the connection is closed.
    ///
    /// # Errors
    /// [`Failure`] tells whether the message can have been taken.
    fn deliver(
        &mut self,
        envelope: &Envelope,
        message: &Message,
        before_dot: &mut dyn FnMut(&[Refusal]) -> io::Result<()>,
    ) -> Result<Outcome, Failure>;
}

/// The next hop took the message, for some at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its reply to the final dot. Text from outside: hostile.
    pub reply: String,
    /// The recipients that it refused, before the dot or (LMTP) after it.
    pub refused: Vec<Refusal>,
    /// Recipients for whom it was lost after the dot, when it had answered for others (LMTP): it may
    /// have taken the message for them.
    pub unanswered: Vec<Path>,
}

/// The next hop did not take the message, or nobody knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It was not taken: no connection, or a connection lost before the final dot.
    Unreachable(String),
    /// It was not taken: a 4xx reply.
    Deferred(String),
    /// It was not taken: a 5xx reply.
    Refused(String),
    /// The connection broke, or no reply came, after the final dot.
    Unknown(String),
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseRequest {
    /// Where `delivery` sends it: for the entry and the log.
    pub next_hop: String,
    /// Who asks: `uid 0 (root)`.
    pub by: String,
    /// What to do with one that may have been sent already.
    pub repeat: Repeat,
}

/// What to do with a message that may have been sent already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repeat {
    /// Nothing: refuse (outcome unknown) or say so (released).
    #[default]
    Never,
    /// Send it once more.
    Again,
    /// Send it once more if a release of the same `by` was cut off, since nobody looks after those: better twice than
    /// never (RFC 1047). Else as `Never`.
    CutOff,
    /// It was taken: mark it released and send nothing.
    Done,
}

/// How a release ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Released {
    /// The next hop took it.
    Sent {
        /// Recipients who got it.
        recipients: usize,
        /// The next hop's reply. Hostile.
        reply: String,
        /// Recipients whom the next hop refused: their copies stay held.
        refused: Vec<Refusal>,
    },
    /// It was released before; nothing was sent.
    Already {
        /// When.
        at: Option<Timestamp>,
    },
    /// It was marked as released; nothing was sent.
    Marked,
}

/// Why a message was not released.
#[derive(Debug)]
pub enum ReleaseError {
    /// It could not even be begun.
    Store(StoreError),
    /// The next hop did not take it. It is held as before; releasing it again is safe.
    NotSent {
        /// Which message.
        id: QuarantineId,
        /// What happened; never [`Failure::Unknown`].
        failure: Failure,
    },
    /// A release was cut off when the final dot may have been sent. Nothing was sent now.
    OutcomeUnknown {
        /// Which message.
        id: QuarantineId,
        /// When the dot was to be sent.
        dot_sent_at: Timestamp,
        /// To where.
        next_hop: String,
        /// Whether the message has a Message-ID to look for.
        has_message_id: bool,
    },
    /// The next hop took it, but that could not be written down.
    NotNoted {
        /// Which message.
        id: QuarantineId,
        /// Why.
        source: StoreError,
    },
    /// [`Repeat::Done`] for a message of which nothing was sent.
    NothingSent(QuarantineId),
}

impl ReleaseError {
    /// The exit code of a command that failed with this (sysexits).
    pub fn exit_code(&self) -> u8 {
        match self {
            ReleaseError::Store(error) => error.exit_code(),
            ReleaseError::NotSent { failure: Failure::Unreachable(_) | Failure::Deferred(_), .. } => 75,
            ReleaseError::NotSent { .. } | ReleaseError::OutcomeUnknown { .. } => 69,
            ReleaseError::NotNoted { .. } => 74,
            ReleaseError::NothingSent(_) => 64,
        }
    }
}

impl Quarantine {
    /// Sends a held message on to the recipients who have not got it, exactly once, also if this
    /// process is killed in between. A message that was released before is not sent again.
    ///
    /// # Errors
    /// [`ReleaseError`] says what became of the message and how to go on.
    pub fn release(
        &self,
        id: QuarantineId,
        request: &ReleaseRequest,
        delivery: &mut dyn Delivery,
    ) -> Result<Released, ReleaseError> {
        let mut locked = self.folder.lock(id)?;
        let mut entry = self.folder.read_entry(id)?;
        match may_send(&entry, request)? {
            Step::Send => self.send(&mut locked, &mut entry, request, delivery),
            Step::Stop => Ok(Released::Already { at: entry.ended_at }),
            Step::Mark => {
                entry.note(Timestamp::now(), &format!("marked as released by {}", request.by));
                let refused = entry.release.as_ref().map(|release| release.refused.clone()).unwrap_or_default();
                self.finish(&mut locked, &mut entry, &refused)?;
                tracing::info!(%id, by = request.by, "marked as released");
                Ok(Released::Marked)
            }
        }
    }

    /// The three steps.
    fn send(
        &self,
        locked: &mut Locked,
        entry: &mut Entry,
        request: &ReleaseRequest,
        delivery: &mut dyn Delivery,
    ) -> Result<Released, ReleaseError> {
        let message = self.sound_content(entry)?;
        let envelope = entry.release_envelope();
        if let Some(at) = entry.outcome_unknown().filter(|_| request.repeat == Repeat::CutOff) {
            tracing::warn!(id = %entry.id, %at, "sent once more, since nobody knows whether it was taken: it may arrive twice");
            let note = format!("sent once more, since nobody knows whether it was taken at {at}: it may arrive twice");
            entry.note(Timestamp::now(), &note);
        }
        entry.state = State::Releasing;
        entry.ended_at = None;
        entry.release = Some(Release {
            started_at: Timestamp::now(),
            by: request.by.clone(),
            next_hop: request.next_hop.clone(),
            dot_sent_at: None,
            refused: Vec::new(),
            reply: None,
        });
        self.write(locked, entry)?;
        let mut before_dot = |refused: &[Refusal]| {
            if let Some(release) = &mut entry.release {
                release.dot_sent_at = Some(Timestamp::now());
                release.refused = refused.to_vec();
            }
            self.write(locked, entry).map_err(io::Error::other)
        };
        match delivery.deliver(&envelope, &message, &mut before_dot) {
            Ok(outcome) => self.sent(locked, entry, request, outcome),
            Err(Failure::Unknown(why)) => Err(self.unknown(locked, entry, &why)),
            Err(failure) => Err(self.not_sent(locked, entry, failure)),
        }
    }

    /// The next hop took it.
    fn sent(
        &self,
        locked: &mut Locked,
        entry: &mut Entry,
        request: &ReleaseRequest,
        outcome: Outcome,
    ) -> Result<Released, ReleaseError> {
        let (id, Outcome { reply, refused, unanswered }) = (entry.id, outcome);
        let recipients = entry.held.len().saturating_sub(refused.len()).saturating_sub(unanswered.len());
        let by = &request.by;
        tracing::info!(%id, recipients, refused = refused.len(), next_hop = request.next_hop, ?reply, by, "released");
        entry.note(
            Timestamp::now(),
            &format!("released to {} for {recipients} recipients by {by}: {reply}", request.next_hop),
        );
        if let Some(release) = &mut entry.release {
            release.reply = Some(reply.clone());
        }
        if !unanswered.is_empty() {
            return Err(self.partly_unknown(locked, entry, refused, unanswered));
        }
        self.finish(locked, entry, &refused).map_err(|source| ReleaseError::NotNoted { id, source })?;
        Ok(Released::Sent { recipients, reply, refused })
    }

    /// Writes that the message was taken, for all but the refused recipients.
    fn finish(&self, locked: &mut Locked, entry: &mut Entry, refused: &[Refusal]) -> Result<(), StoreError> {
        let now = Timestamp::now();
        for Refusal { recipient, reply } in refused {
            entry.note(now, &format!("the next hop refused {}, whose copy stays held: {reply}", recipient.path.text()));
        }
        entry.to_release = false;
        if refused.is_empty() {
            entry.state = State::Released;
            entry.ended_at = Some(now);
        } else {
            entry.state = State::Held;
            entry.held = refused.iter().map(|refusal| refusal.recipient.clone()).collect();
        }
        self.write(locked, entry)
    }

    /// The next hop did not take it: held as before. If that cannot be written, it stays `releasing`
    /// and, as far as the mark was written, needs a person; nothing is lost or sent twice by that.
    fn not_sent(&self, locked: &mut Locked, entry: &mut Entry, failure: Failure) -> ReleaseError {
        let id = entry.id;
        tracing::warn!(%id, ?failure, "not released");
        entry.state = State::Held;
        entry.note(Timestamp::now(), &format!("not released: {failure}"));
        if let Some(release) = &mut entry.release {
            release.dot_sent_at = None;
        }
        match self.write(locked, entry) {
            Ok(()) => ReleaseError::NotSent { id, failure },
            Err(error) => ReleaseError::Store(error),
        }
    }

    /// The connection broke after replies about some recipients: those who have it are not sent to
    /// again; the others' outcome is unknown, and the refused wait with them.
    fn partly_unknown(
        &self,
        locked: &mut Locked,
        entry: &mut Entry,
        refused: Vec<Refusal>,
        unanswered: Vec<Path>,
    ) -> ReleaseError {
        let refused_paths = refused.iter().map(|refusal| refusal.recipient.clone());
        entry.held = refused_paths.chain(unanswered).collect();
        if let Some(release) = &mut entry.release {
            release.refused = refused;
        }
        self.unknown(locked, entry, "it answered for some recipients only")
    }

    /// The connection broke after the final dot.
    fn unknown(&self, locked: &mut Locked, entry: &mut Entry, why: &str) -> ReleaseError {
        tracing::warn!(id = %entry.id, ?why, "nobody knows whether this message was released");
        entry.note(Timestamp::now(), &format!("no reply to the final dot: {why}"));
        match (self.write(locked, entry), entry.outcome_unknown()) {
            (Err(error), _) => ReleaseError::Store(error),
            (Ok(()), Some(at)) => outcome_unknown(entry, at),
            // A delivery that reports this without having set the mark has sent no dot.
            (Ok(()), None) => self.not_sent(locked, entry, Failure::Unreachable(why.to_owned())),
        }
    }

    fn write(&self, locked: &mut Locked, entry: &Entry) -> Result<(), StoreError> {
        self.folder.replace(locked, entry)?;
        self.index.record(&self.folder, entry);
        Ok(())
    }

    /// The content, if it is still what was stored.
    fn sound_content(&self, entry: &Entry) -> Result<Message, StoreError> {
        let damaged = |problem: &str| StoreError::Damaged { id: entry.id, problem: problem.to_owned() };
        let message = self.folder.read_content(entry.id)?;
        let hash = sha256(&message).map_err(StoreError::io("read", self.folder.path(entry.id, "eml")))?;
        if hash != entry.sha256 {
            return Err(damaged("its content is not what was stored (other SHA-256); it is not sent"));
        }
        if entry.held.is_empty() {
            return Err(damaged("it has no recipients"));
        }
        Ok(message)
    }
}

/// What a release has to do.
enum Step {
    Send,
    Stop,
    Mark,
}

/// What a release has to do, by the entry's state and what was asked for.
fn may_send(entry: &Entry, request: &ReleaseRequest) -> Result<Step, ReleaseError> {
    let id = entry.id;
    let is_own = entry.release.as_ref().is_some_and(|release| release.by == request.by);
    match (entry.state, entry.outcome_unknown(), request.repeat) {
        (State::Deleted, _, _) => Err(StoreError::State { id, state: State::Deleted }.into()),
        (State::Released, _, Repeat::Never | Repeat::Done | Repeat::CutOff) => Ok(Step::Stop),
        (State::Releasing, Some(at), Repeat::Never) => Err(outcome_unknown(entry, at)),
        (State::Releasing, Some(at), Repeat::CutOff) if !is_own => Err(outcome_unknown(entry, at)),
        (State::Releasing, Some(_), Repeat::Done) => Ok(Step::Mark),
        (_, None, Repeat::Done) => Err(ReleaseError::NothingSent(id)),
        // Pending: we have the lock, so the process that stored it is gone, and it counts as held.
        (State::Pending | State::Unconfirmed | State::Held | State::Releasing | State::Released, _, _) => {
            Ok(Step::Send)
        }
    }
}

fn outcome_unknown(entry: &Entry, dot_sent_at: Timestamp) -> ReleaseError {
    let next_hop = entry.release.as_ref().map_or(&entry.next_hop, |release| &release.next_hop).clone();
    ReleaseError::OutcomeUnknown { id: entry.id, dot_sent_at, next_hop, has_message_id: entry.message_id.is_some() }
}

impl From<StoreError> for ReleaseError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Unreachable(why) => write!(f, "the next hop cannot be reached: {why}"),
            Failure::Deferred(reply) => write!(f, "the next hop does not take it now: {reply}"),
            Failure::Refused(reply) => write!(f, "the next hop refuses it: {reply}"),
            Failure::Unknown(why) => write!(f, "the next hop did not answer the final dot: {why}"),
        }
    }
}

impl fmt::Display for ReleaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReleaseError::Store(error) => error.fmt(f),
            ReleaseError::NotSent { id, failure } => {
                write!(f, "{id}: not released, still held: {failure}; ")?;
                f.write_str(match failure {
                    Failure::Unreachable(_) => {
                        "start the next hop, or name another one with --to, and release it again"
                    }
                    Failure::Deferred(_) | Failure::Unknown(_) => "release it again later",
                    Failure::Refused(_) => "see why in the next hop's log, or name another one with --to",
                })
            }
            ReleaseError::OutcomeUnknown { id, dot_sent_at, next_hop, has_message_id } => {
                let sign = if *has_message_id { "its Message-ID (`show` tells it) or " } else { "" };
                write!(
                    f,
                    "{id}: a release was cut off just when the message was handed over, so it may have been taken. \
                     Look in the log of {next_hop} for {sign}a message that came at {dot_sent_at}. If it is there: \
                     sekisho quarantine release --done {id}; if not: sekisho quarantine release --again {id}"
                )
            }
            ReleaseError::NotNoted { id, source } => write!(
                f,
                "{id}: the next hop has taken the message, but that could not be noted: {source}. When this is \
                 repaired: sekisho quarantine release --done {id}"
            ),
            ReleaseError::NothingSent(id) => {
                write!(f, "{id}: nothing was sent of this message, so there is nothing to mark with --done")
            }
        }
    }
}

impl std::error::Error for ReleaseError {}
