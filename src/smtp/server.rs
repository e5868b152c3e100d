//! SMTP and LMTP sessions on sockets: reads, drives [`Session`] and [`Relay`], spools content, calls the
//! [`Handler`], and ends sessions at a shutdown.

use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::{self, Config};
use crate::envelope::Envelope;
use crate::intake::{Intake, NoRoom, unwinding};
use crate::message::Message;
use crate::net::{self, Permits, Shutdown, Stream};
use crate::smtp::Protocol;
use crate::smtp::relay::Relay;
use crate::smtp::reply::Reply;
use crate::smtp::session::{
    ContentRefusal, RefusalCause, Session, SessionEnd, SessionLimits, Settings, Step, TlsOffer,
};
use crate::transaction::{Answer, Handler, Mail, session_number};

/// Octets that may wait in a session's input buffer. Reading stops there until they are consumed.
const MAX_INPUT: usize = 65_536;
/// Octets read at once.
const READ_AHEAD: usize = 32_768;
/// How long a client may take to read the last reply and to hang up.
const LAST_WRITE: Duration = Duration::from_secs(1);

/// Serves one listener until the daemon shuts down.
pub async fn serve<H: Handler>(
    socket: net::Listener,
    listener: Arc<config::Listener>,
    handler: Arc<H>,
    permits: Arc<Permits>,
    shutdown: Shutdown,
) {
    let sessions = shutdown.clone();
    net::accept_loop(socket, &shutdown, move |stream, peer| {
        let trusted = is_trusted(&listener, peer);
        let limits = &handler.config().service;
        let client = peer.filter(|_| !trusted);
        let permit = permits.acquire(client, limits.max_connections, limits.max_connections_per_client);
        let Some(permit) = permit else {
            handler.session_refused(&listener);
            let _ = stream.try_write(b"421 4.7.0 too many connections\r\n");
            return None;
        };
        let connection = Connection::new(stream, peer, trusted, &listener, &handler, &sessions);
        Some(async move {
            let _permit = permit;
            connection.run().await;
        })
    })
    .await;
}

/// Whether a peer is one of our own servers: it may send XFORWARD.
fn is_trusted(listener: &config::Listener, peer: Option<IpAddr>) -> bool {
    peer.is_none_or(|peer| listener.xforward_networks.iter().any(|network| network.contains(&peer)))
}

/// Whether a peer may take another client's place: XCLIENT. Nobody on a Unix socket may.
fn may_xclient(listener: &config::Listener, peer: Option<IpAddr>) -> bool {
    peer.is_some_and(|peer| listener.xclient_networks.iter().any(|network| network.contains(&peer)))
}

/// One session and its sockets.
struct Connection<H> {
    id: u64,
    stream: Stream,
    peer: Option<IpAddr>,
    session: Session,
    relay: Relay,
    intake: Intake,
    out: BytesMut,
    listener: Arc<config::Listener>,
    config: Arc<Config>,
    handler: Arc<H>,
    shutdown: Shutdown,
}

impl<H: Handler> Connection<H> {
    fn new(
        stream: Stream,
        peer: Option<IpAddr>,
        trusted: bool,
        listener: &Arc<config::Listener>,
        handler: &Arc<H>,
        shutdown: &Shutdown,
    ) -> Self {
        let config = handler.config();
        let answers_each = listener.transport.answers_each();
        let settings = Settings {
            protocol: if answers_each { Protocol::Lmtp } else { Protocol::Smtp },
            name: own_name(stream.local_ip()),
            peer,
            trusted,
            xclient: may_xclient(listener, peer),
            tls: match &listener.tls {
                None => TlsOffer::Off,
                Some(tls) if tls.required => TlsOffer::Required,
                Some(_) => TlsOffer::May,
            },
            refusals: listener.refusals,
            bare_newlines: listener.bare_newlines,
        };
        Self {
            id: session_number(),
            stream,
            peer,
            session: Session::new(settings, session_limits(&config)),
            relay: Relay::new(
                listener,
                renewed(&config, listener, |listener| listener.next_hop_tls.clone()),
                config.timeouts.clone(),
            ),
            intake: Intake::default(),
            out: BytesMut::new(),
            listener: Arc::clone(listener),
            config,
            handler: Arc::clone(handler),
            shutdown: shutdown.clone(),
        }
    }

    async fn run(mut self) {
        self.handler.session_opened(&self.listener);
        let cut = self.shutdown.clone();
        let end = tokio::select! {
            biased;
            driven = unwinding(self.drive()) => match driven {
                Some(end) => end,
                None => self.leave("4.3.0 internal error", SessionEnd::Fault),
            },
            () = cut.cut() => self.leave("4.3.2 shutting down", SessionEnd::Shutdown),
        };
        // Dropped before the goodbyes: a next hop inside content loses the connection at once.
        self.intake.forget();
        let _ = timeout(LAST_WRITE, self.finish(end)).await;
        self.relay.quit().await;
        self.handler.session_ended(&self.listener, end);
        tracing::debug!(session = self.id, peer = ?self.peer, end = end.name(), "session ended");
    }

    /// Ends the session wherever it is.
    fn leave(&mut self, why: &str, end: SessionEnd) -> SessionEnd {
        for _ in 0..self.session.replies_owed() {
            Reply::new(421, why).write(&mut self.out);
        }
        end
    }

    /// Does step after step until the session ends.
    async fn drive(&mut self) -> SessionEnd {
        loop {
            if self.session.is_between_messages() {
                self.take_config();
            }
            match self.session.step() {
                Step::Reply(reply) => reply.write(&mut self.out),
                Step::Close(end) => return end,
                step => {
                    if let Err(end) = self.act(step).await {
                        return end;
                    }
                }
            }
        }
    }

    /// The steps that wait for somebody. Replies are flushed first.
    async fn act(&mut self, step: Step) -> Result<(), SessionEnd> {
        match step {
            Step::Reply(_) | Step::Close(_) => {}
            Step::Content(octets) => self.keep(octets).await,
            Step::Read => {
                self.flush().await?;
                self.read().await?;
            }
            Step::Hello(name) => {
                self.flush().await?;
                let greeted = self.relay.hello(name).await;
                self.session.greeted(greeted);
            }
            Step::Mail { sender, xforward } => {
                self.flush().await?;
                let reply = self.relay.mail(sender, xforward).await;
                self.session.mail_answered(reply);
            }
            Step::Recipient(recipient) => {
                self.flush().await?;
                let reply = self.relay.recipient(recipient.clone()).await;
                self.session.recipient_answered(recipient, reply);
            }
            Step::Reset => {
                self.flush().await?;
                self.intake.forget();
                self.relay.reset().await;
            }
            Step::StartTls => {
                self.flush().await?;
                self.start_tls().await?;
            }
            Step::Refused(envelope, refusal) => self.refused(*envelope, refusal),
            Step::Complete(envelope) => {
                self.flush().await?;
                let answer = self.complete(*envelope).await;
                self.session.handled(answer);
            }
        }
        Ok(())
    }

    fn take_config(&mut self) {
        let config = self.handler.config();
        if !Arc::ptr_eq(&config, &self.config) {
            self.session.set_limits(session_limits(&config));
            self.relay.set_timeouts(&config.timeouts);
            self.config = config;
        }
    }

    /// The server's side of a handshake. Without it there is nobody to say anything to.
    async fn start_tls(&mut self) -> Result<(), SessionEnd> {
        let Some(tls) = renewed(&self.config, &self.listener, |listener| listener.tls.clone()) else {
            return Err(self.lost(SessionEnd::Fault));
        };
        let handshake = timeout(self.config.timeouts.client, self.stream.accept_tls(tls.identity.config()));
        let done = tokio::select! {
            done = handshake => done,
            () = self.shutdown.draining() => return Err(self.lost(SessionEnd::Shutdown)),
        };
        match done {
            Ok(Ok(())) => {
                self.session.secured();
                Ok(())
            }
            Ok(Err(error)) => {
                tracing::info!(session = self.id, peer = ?self.peer, %error, "a client's TLS handshake failed");
                Err(self.lost(SessionEnd::ProtocolError))
            }
            Err(_) => Err(self.lost(SessionEnd::Timeout)),
        }
    }

    async fn flush(&mut self) -> Result<(), SessionEnd> {
        let writing = async {
            self.stream.write_all_buf(&mut self.out).await?;
            self.stream.flush().await
        };
        match timeout(self.config.timeouts.client, writing).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(self.lost(SessionEnd::Aborted)),
            Err(_) => Err(self.lost(SessionEnd::Timeout)),
        }
    }

    /// The client cannot be told anything any more.
    fn lost(&mut self, end: SessionEnd) -> SessionEnd {
        self.out.clear();
        end
    }

    /// Reads what the client sends next. A command must be whole within the timeout, content must
    /// make progress within it.
    async fn read(&mut self) -> Result<(), SessionEnd> {
        let limit = self.config.timeouts.client;
        let deadline = Instant::now().checked_add(limit).unwrap_or_else(Instant::now);
        loop {
            let idle = self.session.is_at_command_boundary();
            let input = self.session.input();
            let before = input.len();
            input.reserve(READ_AHEAD);
            let read = tokio::select! {
                biased;
                () = self.shutdown.draining(), if idle => {
                    self.session.close(Reply::new(421, "4.3.2 shutting down"), SessionEnd::Shutdown);
                    return Ok(());
                }
                read = self.stream.read_buf(input) => read,
                () = sleep_until(deadline) => {
                    self.session.close(Reply::new(421, "4.4.2 timeout"), SessionEnd::Timeout);
                    return Ok(());
                }
            };
            match read {
                Ok(0) | Err(_) => return Err(self.lost(SessionEnd::Aborted)),
                Ok(_) => {}
            }
            let input = self.session.input();
            let whole = input.iter().skip(before).any(|octet| *octet == b'\n');
            if !idle || whole || input.len() >= MAX_INPUT {
                return Ok(());
            }
        }
    }

    /// Keeps a piece of content.
    async fn keep(&mut self, octets: Vec<u8>) {
        if self.intake.keep(octets, || self.handler.spool()).await.is_err() {
            self.session.spool_failed();
        }
    }

    /// Gives a whole message to the handler.
    async fn complete(&mut self, envelope: Envelope) -> Answer {
        let received = Instant::now();
        let message = match self.intake.finish(|| self.handler.spool()).await {
            Ok(message) => message,
            Err(NoRoom { size }) => {
                self.refused(envelope, ContentRefusal { size, cause: RefusalCause::NoRoom });
                return Answer::All(RefusalCause::NoRoom.reply());
            }
        };
        let mail = self.mail(envelope, message, received);
        let client_gone = mail.client_gone.clone();
        let mut hop = self.relay.transaction();
        let handling = unwinding(self.handler.handle(mail, &mut hop));
        let mut handling = pin!(handling);
        let handled = tokio::select! {
            biased;
            handled = &mut handling => handled,
            () = gone(&mut self.stream, self.session.input()) => {
                client_gone.cancel();
                handling.await
            }
        };
        handled.unwrap_or_else(|| {
            tracing::error!(session = self.id, "handling a message panicked");
            self.handler.message_panicked(&self.listener);
            Answer::All(Reply::new(451, "4.3.0 internal error"))
        })
    }

    fn mail(&self, envelope: Envelope, message: Message, received: Instant) -> Mail {
        Mail {
            envelope,
            message: Arc::new(message),
            transport: self.listener.transport,
            listener: Arc::clone(&self.listener),
            config: Arc::clone(&self.config),
            received,
            session: self.id,
            peer: self.peer,
            client_gone: CancellationToken::new(),
        }
    }

    /// Has it written down that a message's content is not taken.
    fn refused(&self, envelope: Envelope, refusal: ContentRefusal) {
        let mail = self.mail(envelope, Message::from_bytes(Vec::new()), Instant::now());
        self.handler.message_refused(&mail, refusal);
    }

    /// The last replies, and the end of the connection. Closing one with unread octets resets it, and
    /// the client may never see why: so those of a client that did not say QUIT are read.
    async fn finish(&mut self, end: SessionEnd) -> io::Result<()> {
        self.stream.write_all_buf(&mut self.out).await?;
        self.stream.flush().await?;
        self.stream.shutdown().await?;
        let mut unread = [0; 4096];
        while end != SessionEnd::Completed && self.stream.read(&mut unread).await? > 0 {}
        Ok(())
    }
}

/// TLS of a listener: on or off as it was at the start, with the certificates of the configuration in force.
fn renewed<T>(config: &Config, listener: &config::Listener, tls: impl Fn(&config::Listener) -> Option<T>) -> Option<T> {
    let now = config.listeners.iter().find(|now| now.listen == listener.listen);
    let then = tls(listener)?;
    Some(now.and_then(tls).unwrap_or(then))
}

fn session_limits(config: &Config) -> SessionLimits {
    SessionLimits {
        max_message_size: config.limits.max_message_size,
        max_recipients: config.service.max_recipients,
        max_errors: config.service.max_errors,
    }
}

/// What we call ourselves: an address literal (RFC 5321 4.1.3). Not the host name, by which a
/// Postfix on the same host would take us for itself ("mail loops back to myself").
fn own_name(address: Option<IpAddr>) -> String {
    match address.map(|address| address.to_canonical()) {
        Some(IpAddr::V4(address)) => format!("[{address}]"),
        Some(IpAddr::V6(address)) => format!("[IPv6:{address}]"),
        None => "localhost".to_owned(),
    }
}

/// Reads on while a message is being handled, and returns if the client has gone. Not if it has sent
/// more, such as a QUIT, and closed its half of the connection: it still listens.
async fn gone(stream: &mut Stream, input: &mut BytesMut) {
    while input.len() < MAX_INPUT {
        input.reserve(READ_AHEAD);
        match stream.read_buf(input).await {
            Ok(0) if !input.is_empty() => break,
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    std::future::pending().await
}
