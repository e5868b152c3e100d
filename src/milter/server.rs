//! Milter sessions on sockets: reads, drives [`Session`], spools content, calls the [`Judge`], keeps the
//! MTA waiting meanwhile, and ends sessions at a shutdown.

use std::future::{Future, pending};
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::envelope::Envelope;
use crate::intake::{Intake, NoRoom, unwinding};
use crate::message::{Message, SpoolPolicy};
use crate::milter::codec::Agreed;
use crate::milter::session::{Answer, Complete, Field, Session, SessionLimits, Step};
use crate::net::{self, Permits, Shutdown, Stream};
use crate::smtp::session::{ContentRefusal, RefusalCause, SessionEnd};
use crate::transaction::{Ending, session_number};

/// Octets read at once.
const READ_AHEAD: usize = 32_768;
/// Octets that may wait behind a message that is being judged. An MTA sends none, or an ABORT.
const MAX_WAITING: usize = 65_536;
/// An input buffer that a large frame has made larger than this is given back when it is empty.
const MAX_IDLE_BUFFER: usize = 131_072;
/// How long an MTA may say nothing between two commands. As libmilter's default: Postfix and Sendmail keep
/// connections as long as their own clients.
const IDLE: Duration = Duration::from_secs(7210);
/// How often an MTA that waits is told to wait on. Postfix's `milter_content_timeout` is 300 s.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// How long a session that is to end waits for the command that confirms its last answer. Postfix's ABORT
/// comes at once.
const CONFIRMATION: Duration = Duration::from_millis(250);
/// How long the last octets may take to go.
const LAST_WORD: Duration = Duration::from_secs(1);

/// A message that has arrived, with everything around it.
#[derive(Debug)]
pub struct Received {
    /// From whom and to whom; `queue_id` is the macro `i`.
    pub envelope: Envelope,
    /// The octets: our own Received field, then what the MTA told.
    pub message: Arc<Message>,
    /// The header fields as the MTA knows them, in order.
    pub fields: Vec<Field>,
    /// Octets of our own Received field, in front of the first of `fields`.
    pub prefix: u64,
    /// The name that the client logged in with, if it did and the MTA told.
    pub login: Option<String>,
    /// What the MTA lets us do: an answer with another change is not sent, the message is deferred instead.
    pub agreed: Agreed,
    /// The configuration that was in force at its MAIL.
    pub config: Arc<Config>,
    /// When its end arrived.
    pub received: Instant,
    /// The session, for the log: a number that is never used twice by one process.
    pub session: u64,
    /// The MTA; `None` on a Unix socket.
    pub peer: Option<IpAddr>,
    /// Cancelled when the MTA has gone or has withdrawn the message: nobody waits for the answer.
    pub client_gone: CancellationToken,
}

impl Received {
    /// When the answer must be on its way (invariant 15).
    pub fn deadline(&self) -> Instant {
        after(self.received, self.config.timeouts.reply_deadline)
    }
}

/// What judges messages: the pipeline, or a fake in tests.
pub trait Judge: Send + Sync + 'static {
    /// What must be done once the outcome is known.
    type Receipt: Send + 'static;

    /// Decides. An answer other than Tempfail passes on or takes responsibility for the message, so what it
    /// holds is durable by then. Is never cancelled, except at the very end of a shutdown.
    fn judge(&self, message: Received) -> impl Future<Output = (Answer, Self::Receipt)> + Send;

    /// What became of an answer. Called once for each, except when the daemon is killed; nothing else happens
    /// on that connection meanwhile.
    fn settle(&self, receipt: Self::Receipt, outcome: Ending) -> impl Future<Output = ()> + Send;

    /// The configuration in force. Asked for each message.
    fn config(&self) -> Arc<Config>;

    /// Where content is kept while it arrives.
    fn spool(&self) -> SpoolPolicy;

    /// A session begins.
    fn session_opened(&self) {}

    /// A session has ended.
    fn session_ended(&self, _end: SessionEnd) {}

    /// A message was not taken; the MTA has been told so.
    fn message_refused(&self, _session: u64, _envelope: &Envelope, _refusal: ContentRefusal) {}

    /// Judging a message panicked; it was deferred.
    fn message_panicked(&self) {}

    /// A connection was turned away because too many are open.
    fn session_refused(&self) {}
}

/// Serves one listener until the daemon shuts down.
pub async fn serve<J: Judge>(socket: net::Listener, judge: Arc<J>, permits: Arc<Permits>, shutdown: Shutdown) {
    let sessions = shutdown.clone();
    net::accept_loop(socket, &shutdown, move |stream, peer| {
        // The peers are MTAs, which have limits for their own clients.
        let Some(permit) = permits.acquire(None, judge.config().service.max_connections, 0) else {
            judge.session_refused();
            return None;
        };
        let connection = Driver::new(stream, peer, &judge, &sessions);
        Some(async move {
            let _permit = permit;
            connection.run().await;
        })
    })
    .await;
}

/// One session and its socket.
struct Driver<J: Judge> {
    id: u64,
    stream: Stream,
    peer: Option<IpAddr>,
    session: Session,
    intake: Intake,
    /// Of the last answer, until its outcome is known.
    receipt: Option<J::Receipt>,
    config: Arc<Config>,
    judge: Arc<J>,
    shutdown: Shutdown,
}

impl<J: Judge> Driver<J> {
    fn new(stream: Stream, peer: Option<IpAddr>, judge: &Arc<J>, shutdown: &Shutdown) -> Self {
        let config = judge.config();
        Self {
            id: session_number(),
            session: Session::new("localhost".to_owned(), limits(&config)),
            stream,
            peer,
            intake: Intake::default(),
            receipt: None,
            config,
            judge: Arc::clone(judge),
            shutdown: shutdown.clone(),
        }
    }

    async fn run(mut self) {
        self.judge.session_opened();
        let cut = self.shutdown.clone();
        let end = tokio::select! {
            biased;
            driven = unwinding(self.drive()) => driven.unwrap_or(SessionEnd::Fault),
            () = cut.cut() => SessionEnd::Shutdown,
        };
        self.session.cut(end);
        self.intake.forget();
        let _ = timeout(LAST_WORD, self.finish()).await;
        self.settle(Ending::Unknown).await;
        self.judge.session_ended(end);
        tracing::debug!(session = self.id, peer = ?self.peer, end = end.name(), "milter session ended");
    }

    /// Does step after step until the session ends.
    async fn drive(&mut self) -> SessionEnd {
        loop {
            if self.session.is_between_messages() {
                self.take_config();
            }
            match self.session.step() {
                Step::Close(end) => return end,
                step => {
                    if let Err(end) = self.act(step).await {
                        return end;
                    }
                }
            }
        }
    }

    async fn act(&mut self, step: Step) -> Result<(), SessionEnd> {
        match step {
            Step::Close(_) => {}
            Step::Flush => self.flush().await?,
            Step::Read => {
                self.flush().await?;
                self.read().await?;
                self.session.set_now(Timestamp::now());
            }
            Step::Content(octets) => self.keep(octets).await,
            Step::Forget => self.intake.forget(),
            Step::Confirmed => self.settle(Ending::Confirmed).await,
            Step::Refused(envelope, refusal) => {
                self.intake.forget();
                self.judge.message_refused(self.id, &envelope, refusal);
            }
            Step::Complete(complete) => {
                self.flush().await?;
                self.complete(*complete).await?;
            }
        }
        Ok(())
    }

    fn take_config(&mut self) {
        let config = self.judge.config();
        if !Arc::ptr_eq(&config, &self.config) {
            self.session.set_limits(limits(&config));
            self.config = config;
        }
    }

    async fn flush(&mut self) -> Result<(), SessionEnd> {
        let output = self.session.output();
        if output.is_empty() {
            return Ok(());
        }
        match timeout(self.config.timeouts.client, self.stream.write_all_buf(output)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(self.lost(SessionEnd::Aborted)),
            Err(_) => Err(self.lost(SessionEnd::Timeout)),
        }
    }

    /// The MTA cannot be told anything any more.
    fn lost(&mut self, end: SessionEnd) -> SessionEnd {
        self.session.output().clear();
        end
    }

    /// Reads until there is a whole frame. An MTA may be silent for long between two, not inside of one.
    async fn read(&mut self) -> Result<(), SessionEnd> {
        if self.session.input().is_empty() && self.session.input().capacity() > MAX_IDLE_BUFFER {
            *self.session.input() = BytesMut::new();
        }
        let mut inside = !self.session.input().is_empty();
        let mut deadline = after(Instant::now(), if inside { self.config.timeouts.client } else { IDLE });
        loop {
            rearm_quickack(&self.stream);
            let (idle, unconfirmed) = (self.session.is_idle(), self.session.is_unconfirmed());
            let input = self.session.input();
            input.reserve(READ_AHEAD);
            let read = tokio::select! {
                biased;
                () = time_to_end(&self.shutdown, unconfirmed), if idle => return Err(SessionEnd::Shutdown),
                read = self.stream.read_buf(input) => read,
                () = sleep_until(deadline) => return Err(self.lost(SessionEnd::Timeout)),
            };
            match read {
                Ok(0) | Err(_) => return Err(self.lost(SessionEnd::Aborted)),
                Ok(_) => {}
            }
            if self.session.has_frame() {
                return Ok(());
            }
            if !inside {
                inside = true;
                deadline = after(Instant::now(), self.config.timeouts.client);
            }
        }
    }

    /// Keeps a piece of content.
    async fn keep(&mut self, octets: Vec<u8>) {
        if self.intake.keep(octets, || self.judge.spool()).await.is_err() {
            self.session.spool_failed();
        }
    }

    /// Has a whole message judged, and answers.
    async fn complete(&mut self, complete: Complete) -> Result<(), SessionEnd> {
        let received = Instant::now();
        let message = match self.intake.finish(|| self.judge.spool()).await {
            Ok(message) => message,
            Err(NoRoom { size }) => {
                let refusal = ContentRefusal { size, cause: RefusalCause::NoRoom };
                self.judge.message_refused(self.id, &complete.envelope, refusal);
                self.session.refused(refusal.cause);
                return Ok(());
            }
        };
        let Some((answer, receipt)) = self.judged(complete, message, received).await else {
            tracing::error!(session = self.id, "judging a message panicked");
            self.judge.message_panicked();
            return Err(SessionEnd::Fault);
        };
        self.receipt = Some(receipt);
        if let Err(why) = self.session.answered(answer) {
            tracing::error!(session = self.id, why = why.0, "deferring: the answer cannot be sent to this MTA");
            self.settle(Ending::Deferred).await;
        } else if !self.session.is_unconfirmed() {
            // The MTA went on before it could have seen the answer: nothing will confirm it.
            self.settle(Ending::Unknown).await;
        }
        Ok(())
    }

    /// Waits for the judge; the MTA is told to wait on, and if it has gone, so is the judge. `None` if it panicked.
    async fn judged(
        &mut self,
        complete: Complete,
        message: Message,
        received: Instant,
    ) -> Option<(Answer, J::Receipt)> {
        let Complete { envelope, fields, prefix, size: _, login } = complete;
        let client_gone = CancellationToken::new();
        let message = Received {
            envelope,
            message: Arc::new(message),
            fields,
            prefix,
            login,
            agreed: self.session.agreed(),
            config: Arc::clone(&self.config),
            received,
            session: self.id,
            peer: self.peer,
            client_gone: client_gone.clone(),
        };
        let judge = Arc::clone(&self.judge);
        let mut judging = pin!(unwinding(judge.judge(message)));
        let mut next_progress = after(received, PROGRESS_EVERY);
        loop {
            let waited_for = !client_gone.is_cancelled();
            tokio::select! {
                biased;
                judged = &mut judging => return judged,
                () = gone(&mut self.stream, &mut self.session), if waited_for => client_gone.cancel(),
                () = sleep_until(next_progress), if waited_for => {
                    next_progress = after(Instant::now(), PROGRESS_EVERY);
                    if self.say_progress().is_err() {
                        client_gone.cancel();
                    }
                }
            }
        }
    }

    /// Sends PROGRESS without waiting. An MTA that does not read now is told later.
    fn say_progress(&mut self) -> io::Result<()> {
        if self.session.output().is_empty() {
            self.session.progress();
        }
        match self.stream.try_write(self.session.output()) {
            Ok(written) => {
                let _ = self.session.output().split_to(written);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Tells the judge what became of its last answer.
    async fn settle(&mut self, outcome: Ending) {
        if let Some(receipt) = self.receipt.take()
            && unwinding(self.judge.settle(receipt, outcome)).await.is_none()
        {
            tracing::error!(session = self.id, "settling a message panicked");
        }
    }

    /// The last octets, and the end of the connection. Closing one with unread octets resets it, and the MTA
    /// may never see them: so its own are read.
    async fn finish(&mut self) -> io::Result<()> {
        if self.session.output().is_empty() {
            // Nothing that could be lost: the end of the connection says it all.
            return Ok(());
        }
        self.stream.write_all_buf(self.session.output()).await?;
        self.stream.shutdown().await?;
        let mut unread = [0; 4096];
        while self.stream.read(&mut unread).await? > 0 {}
        Ok(())
    }
}

fn limits(config: &Config) -> SessionLimits {
    SessionLimits { max_message_size: config.limits.max_message_size, max_recipients: config.service.max_recipients }
}

fn after(start: Instant, time: Duration) -> Instant {
    start.checked_add(time).unwrap_or(start)
}

/// The system forgets it after some packets. An MTA sends several small ones in a row and waits; a delayed
/// acknowledgement costs 40 ms a message.
fn rearm_quickack(stream: &Stream) {
    if let Stream::Tcp(stream) = stream {
        // Only slower without it.
        let _ = rustix::net::sockopt::set_tcp_quickack(stream, true);
    }
}

/// Returns when an idle session is to end; one whose answer is not confirmed a moment later.
async fn time_to_end(shutdown: &Shutdown, unconfirmed: bool) {
    shutdown.draining().await;
    if unconfirmed {
        tokio::time::sleep(CONFIRMATION).await;
    }
}

/// Reads on while a message is being judged, and returns if the MTA has gone or has withdrawn it. Not if it
/// has sent more, such as a QUIT, and closed its half of the connection: it still listens.
async fn gone(stream: &mut Stream, session: &mut Session) {
    while !session.is_abandoned() {
        let input = session.input();
        if input.len() >= MAX_WAITING {
            return pending().await;
        }
        input.reserve(READ_AHEAD);
        match stream.read_buf(input).await {
            Ok(0) if !input.is_empty() => return pending().await,
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}
