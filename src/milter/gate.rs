//! Between the milter and the line: a message becomes a [`Mail`], and what the line wants done becomes the
//! changes that the MTA is asked to make.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use crate::config::{self, Config, HoldIn};
use crate::envelope::{Envelope, Path};
use crate::marks::Changes;
use crate::message::{Edits, Message, SpoolPolicy};
use crate::milter::codec::{Agreed, Modification, Response};
use crate::milter::server::{Judge, Received};
use crate::milter::session::Answer;
use crate::plan::Addressees;
use crate::smtp::reply::Reply;
use crate::smtp::session::{ContentRefusal, SessionEnd};
use crate::store::QuarantineId;
use crate::transaction::{self, Ending, Forwarded, Handler, Mail, Onward};
use crate::transport::Transport;

/// A handler as the judge of one listener's messages.
pub struct Gate<H> {
    handler: Arc<H>,
    listener: Arc<config::Listener>,
}

impl<H: Handler> Gate<H> {
    /// The gate of one listener.
    pub fn new(handler: Arc<H>, listener: Arc<config::Listener>) -> Self {
        Self { handler, listener }
    }
}

impl<H: Handler> Judge for Gate<H> {
    /// What was held.
    type Receipt = Option<QuarantineId>;

    async fn judge(&self, received: Received) -> (Answer, Self::Receipt) {
        let mut amendment = Amendment::new(&received, self.listener.hold_in);
        let Received { envelope, message, config, received, session, peer, client_gone, .. } = received;
        let (listener, transport) = (Arc::clone(&self.listener), Transport::Milter);
        let mail = Mail { envelope, message, transport, listener, config, received, session, peer, client_gone };
        let answer = self.handler.handle(mail, &mut amendment).await;
        amendment.answer(&answer)
    }

    async fn settle(&self, held: Self::Receipt, ending: Ending) {
        if let Some(held) = held {
            self.handler.settled(held, ending).await;
        }
    }

    fn config(&self) -> Arc<Config> {
        self.handler.config()
    }

    fn spool(&self) -> SpoolPolicy {
        self.handler.spool()
    }

    fn session_opened(&self) {
        self.handler.session_opened(&self.listener);
    }

    fn session_ended(&self, end: SessionEnd) {
        self.handler.session_ended(&self.listener, end);
    }

    fn message_refused(&self, session: u64, envelope: &Envelope, refusal: ContentRefusal) {
        let mail = Mail {
            envelope: envelope.clone(),
            message: Arc::new(Message::from_bytes(Vec::new())),
            transport: Transport::Milter,
            listener: Arc::clone(&self.listener),
            config: self.handler.config(),
            received: Instant::now(),
            session,
            peer: None,
            client_gone: Default::default(),
        };
        self.handler.message_refused(&mail, refusal);
    }

    fn message_panicked(&self) {
        self.handler.message_panicked(&self.listener);
    }

    fn session_refused(&self) {
        self.handler.session_refused(&self.listener);
    }
}

/// What the MTA is to make of a message: the way on of a milter.
struct Amendment {
    agreed: Agreed,
    hold_in: HoldIn,
    recipients: Vec<Path>,
    /// Where the body begins in the octets that were put together.
    body_start: u64,
    /// What is to be changed, once the message is to go on.
    changes: Option<Vec<Modification>>,
    held: Option<QuarantineId>,
}

impl Amendment {
    fn new(received: &Received, hold_in: HoldIn) -> Self {
        // Behind the last field its CRLF, and the empty line.
        let fields_end = received.fields.last().map_or(received.prefix, |field| field.value.end.saturating_add(2));
        Self {
            agreed: received.agreed,
            hold_in,
            recipients: received.envelope.recipients.clone(),
            body_start: fields_end.saturating_add(2),
            changes: None,
            held: None,
        }
    }

    /// What the MTA is told, and what is held.
    fn answer(self, answer: &transaction::Answer) -> (Answer, Option<QuarantineId>) {
        let reply = match answer {
            transaction::Answer::All(reply) => Some(reply),
            // A milter has one answer; what is not positive about one recipient is so about the message.
            transaction::Answer::Each(replies) => replies.iter().find(|reply| !reply.is_positive()).or(replies.first()),
        };
        let answer = match (reply, self.changes) {
            (Some(reply), Some(changes)) if reply.is_positive() => Answer { changes, verdict: Response::Accept },
            (Some(reply), None) if reply.is_positive() => Answer::only(Response::Discard),
            (Some(reply), _) => Answer::only(Response::Reply(reply.clone())),
            (None, _) => Answer::only(Response::Tempfail),
        };
        (answer, self.held)
    }

    /// The changes to the header: forged fields go, the others' values change, ours come on top.
    fn header(changes: &Changes) -> Vec<Modification> {
        let mut wanted = Answer::only(Response::Accept);
        for field in &changes.fields {
            let name = String::from_utf8_lossy(&field.name).into_owned();
            let index = u32::try_from(field.index).unwrap_or(u32::MAX);
            let value = field.new.as_ref().map(|value| without_space(value).to_vec()).unwrap_or_default();
            wanted.changes.push(Modification::ChangeHeader { index, name, value });
        }
        let ours = changes.prepend.iter();
        wanted.prepend(ours.map(|field| (field.name.clone(), without_space(field.value.as_bytes()).to_vec())));
        wanted.changes
    }

    /// The whole new body, if it is another one.
    fn body(&self, message: &Message, changes: &Changes) -> Result<Option<Modification>, String> {
        if changes.body.is_empty() {
            return Ok(None);
        }
        if changes.body.iter().any(|splice| splice.range.start < self.body_start) {
            return Err("a change of the body would begin in the header".to_owned());
        }
        let raw = message.bytes().map_err(|error| format!("the spooled message cannot be read: {error}"))?;
        let mut copy = Edits::new(changes.body.clone()).apply(&raw);
        let body = copy.split_off(usize::try_from(self.body_start).unwrap_or(usize::MAX).min(copy.len()));
        Ok(Some(Modification::ReplaceBody(Bytes::from(body))))
    }

    fn recipients(&self, to: &Addressees) -> Vec<Modification> {
        let gone = self.recipients.iter().enumerate().filter(|(index, _)| !to.given.contains(index));
        let gone = gone.map(|(_, path)| Modification::DeleteRecipient(path.clone()));
        let added = to.added.iter().map(|added| Modification::AddRecipient(added.path.clone()));
        gone.chain(added).collect()
    }

    fn amend(&mut self, message: &Message, changes: &Changes, to: &Addressees) -> Result<(), String> {
        let mut wanted = Self::header(changes);
        wanted.extend(self.body(message, changes)?);
        wanted.extend(self.recipients(to));
        if let Some(lacking) = wanted.iter().find(|change| !self.agreed.can(change.needs())) {
            let what = match lacking {
                Modification::AddHeader { .. } | Modification::InsertHeader { .. } => "add header fields",
                Modification::ChangeHeader { .. } => "change header fields",
                Modification::ReplaceBody(_) => "change the body",
                Modification::AddRecipient(_) => "add recipients",
                Modification::DeleteRecipient(_) => "delete recipients",
                Modification::Quarantine(_) => "quarantine",
            };
            return Err(format!("the MTA does not let a milter {what}"));
        }
        self.changes = Some(wanted);
        Ok(())
    }
}

impl Onward for Amendment {
    fn held(&mut self, id: QuarantineId) {
        self.held = Some(id);
    }

    fn hold(&mut self, reason: &str, changes: &Changes) -> bool {
        let mut wanted = Self::header(changes);
        wanted.push(Modification::Quarantine(reason.to_owned()));
        if self.hold_in == HoldIn::Store || !wanted.iter().all(|change| self.agreed.can(change.needs())) {
            return false;
        }
        self.changes = Some(wanted);
        true
    }

    /// Notes what the MTA is to do: it has the message, and takes it on with our answer.
    async fn forward(
        &mut self,
        message: &Message,
        changes: &Changes,
        to: &Addressees,
        _deadline: Instant,
    ) -> Forwarded {
        match self.amend(message, changes, to) {
            Ok(()) => Forwarded::all(&Reply::new(250, "2.0.0 Ok"), to),
            Err(what) => Forwarded::Lost { after_dot: false, what },
        }
    }
}

/// A value as a milter gives it: without the space behind the colon.
fn without_space(value: &[u8]) -> &[u8] {
    value.strip_prefix(b" ").unwrap_or(value)
}
