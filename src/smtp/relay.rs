//! The next-hop side of one session: one connection, one transaction on it, and what is needed to
//! do the transaction again if the connection dies while a message is being scanned.
//!
//! A connection is taken out of the [`Relay`] for every step and put back only when the step ended
//! as it should. So whatever goes wrong, even a panic or a dropped future, closes the connection, and
//! a next hop inside content never sees the end of it.

use tokio::time::{Instant, timeout_at};

use crate::config::{ClientTls, Endpoint, Listener, NextHopProtocol, Timeouts};
use crate::envelope::{Octets, Path};
use crate::marks::Changes;
use crate::message::{Edits, Message};
use crate::plan::Addressees;
use crate::smtp::Protocol;
use crate::smtp::client::{Capabilities, Cause, Client, Lost, Stage};
use crate::smtp::reply::Reply;
use crate::transaction::{Forwarded, Onward};

/// The next hop of one session.
#[derive(Debug)]
pub struct Relay {
    next_hop: Endpoint,
    protocol: NextHopProtocol,
    tls: Option<ClientTls>,
    timeouts: Timeouts,
    /// What the client said in EHLO: the next hop is told the same.
    name: Octets,
    capabilities: Capabilities,
    connection: Option<Client>,
    /// Whether the next hop has taken a MAIL that was neither completed nor reset.
    open: bool,
    xforward: Vec<(String, Octets)>,
    sender: Path,
    /// The recipients the next hop accepted.
    recipients: Vec<Path>,
}

impl Relay {
    /// Not connected yet.
    pub fn new(listener: &Listener, tls: Option<ClientTls>, timeouts: Timeouts) -> Self {
        Self {
            next_hop: listener.next_hop.clone(),
            protocol: listener.next_hop_protocol,
            tls,
            timeouts,
            name: Octets::default(),
            capabilities: Capabilities::default(),
            connection: None,
            open: false,
            xforward: Vec::new(),
            sender: Path::default(),
            recipients: Vec::new(),
        }
    }

    /// Takes the timeouts of a new configuration, for connections made from now on.
    pub fn set_timeouts(&mut self, timeouts: &Timeouts) {
        self.timeouts = timeouts.clone();
    }

    /// Connects (anew) and says EHLO in the client's name.
    ///
    /// # Errors
    /// The reply for the client. Unreachable is 421 and the end of the session: a Postfix in front
    /// defers the message then and tries again, from either side of its queue.
    pub async fn hello(&mut self, name: Octets) -> Result<Capabilities, Reply> {
        self.quit().await;
        self.forget();
        self.name = name;
        let (client, capabilities) = match self.connect().await {
            Ok(greeted) => greeted?,
            Err(lost) => {
                tracing::warn!(next_hop = ?self.next_hop, %lost, "cannot serve a client");
                return Err(Reply::new(421, "4.4.1 the next server is not available, try again later"));
            }
        };
        self.connection = Some(client);
        self.capabilities = capabilities;
        Ok(self.capabilities.clone())
    }

    /// XFORWARD and MAIL. A connection that died since EHLO is replaced once.
    pub async fn mail(&mut self, sender: Path, xforward: Vec<(String, Octets)>) -> Reply {
        self.forget();
        self.sender = sender;
        self.xforward = xforward;
        let first = match self.connection.take() {
            Some(client) => Some(self.begin(client).await),
            None => None,
        };
        let begun = match first {
            Some(Ok((_, reply))) if reply.code() == 421 => self.begin_again().await,
            Some(Err(lost)) if lost.is_gone() => self.begin_again().await,
            None => self.begin_again().await,
            Some(begun) => begun,
        };
        match begun {
            Ok((client, reply)) => {
                self.open = reply.is_positive();
                self.connection = (reply.code() != 421).then_some(client);
                reply
            }
            Err(lost) => self.deferred(&lost),
        }
    }

    /// RCPT. A next hop that is lost here costs this recipient; it is not asked again, so that a
    /// thousand recipients do not wait for a dead server one by one.
    pub async fn recipient(&mut self, recipient: Path) -> Reply {
        let Some(mut client) = self.connection.take() else {
            return Reply::new(451, "4.4.2 lost connection with the next server");
        };
        match client.recipient(&recipient).await {
            Ok(reply) => {
                if reply.is_positive() {
                    self.recipients.push(recipient);
                }
                self.connection = (reply.code() != 421).then_some(client);
                reply
            }
            Err(lost) => self.deferred(&lost),
        }
    }

    /// Ends the transaction, so that nothing of it can complete.
    pub async fn reset(&mut self) {
        self.forget_envelope();
        if !std::mem::take(&mut self.open) {
            return;
        }
        if let Some(mut client) = self.connection.take() {
            match client.reset().await {
                Ok(()) => self.connection = Some(client),
                Err(lost) => tracing::debug!(%lost, "closing"),
            }
        }
    }

    /// Closes the connection, politely where that is possible.
    pub async fn quit(&mut self) {
        if let Some(client) = self.connection.take() {
            client.quit().await;
        }
    }

    /// The transaction that MAIL and RCPT have begun, for whoever decides what becomes of it.
    pub fn transaction(&mut self) -> Transaction<'_> {
        Transaction { relay: self }
    }

    fn deferred(&self, lost: &Lost) -> Reply {
        tracing::warn!(next_hop = ?self.next_hop, %lost, "deferring");
        Reply::new(451, "4.4.2 lost connection with the next server, try again later")
    }

    fn forget(&mut self) {
        self.open = false;
        self.forget_envelope();
    }

    fn forget_envelope(&mut self) {
        self.xforward.clear();
        self.sender = Path::default();
        self.recipients.clear();
    }

    async fn connect(&self) -> Result<Result<(Client, Capabilities), Reply>, Lost> {
        let mut client = Client::connect(&self.next_hop, &self.timeouts).await?;
        let greeted = client.hello(&self.name, self.protocol.to_try(), self.tls.as_ref()).await?;
        Ok(greeted.map(|capabilities| (client, capabilities)))
    }

    /// A fresh connection to a next hop that offers what it offered before: parameters were checked
    /// against that.
    async fn reconnect(&self) -> Result<Client, Lost> {
        let cause = match self.connect().await? {
            Ok((client, capabilities)) if capabilities == self.capabilities => return Ok(client),
            Ok(_) => Cause::Malformed("it offers something else than before"),
            Err(refusal) => Cause::Unexpected(refusal),
        };
        Err(Lost { stage: Stage::Hello, cause })
    }

    async fn begin(&self, mut client: Client) -> Result<(Client, Reply), Lost> {
        client.xforward(&self.capabilities.xforward, &self.xforward).await?;
        let reply = client.mail(&self.sender).await?;
        Ok((client, reply))
    }

    async fn begin_again(&self) -> Result<(Client, Reply), Lost> {
        let client = self.reconnect().await?;
        self.begin(client).await
    }
}

/// The transaction with the next hop that belongs to one message.
#[derive(Debug)]
pub struct Transaction<'a> {
    relay: &'a mut Relay,
}

impl Onward for Transaction<'_> {
    /// Hands the message to the next hop.
    ///
    /// The conversation is done again, once, if the connection died while it was idle, or if not
    /// all recipients are to get the message: XFORWARD, MAIL, and RCPT must then be accepted as they
    /// were before. After the final dot nothing is repeated.
    async fn forward(&mut self, message: &Message, changes: &Changes, to: &Addressees, deadline: Instant) -> Forwarded {
        let mut progress = Progress::default();
        let edits = changes.edits();
        let forwarding = self.try_forward(message, &edits, to, &mut progress);
        let lost = match timeout_at(deadline, forwarding).await {
            Ok(Ok(())) => None,
            Ok(Err(what)) => Some(what),
            Err(_) => Some("no time left before the reply deadline".to_owned()),
        };
        progress.forwarded(to, lost)
    }
}

impl Transaction<'_> {
    async fn try_forward(
        &mut self,
        message: &Message,
        edits: &Edits,
        to: &Addressees,
        progress: &mut Progress,
    ) -> Result<(), String> {
        let Prepared { mut client, refusals } = match self.data(to).await? {
            Data::Go(prepared) => prepared,
            Data::Refused(client, reply) => {
                self.relay.connection = Some(client);
                progress.all = Some(reply);
                return Ok(());
            }
        };
        let accepted = refusals.iter().filter(|refusal| refusal.is_none()).count().saturating_add(to.given.len());
        progress.refusals = refusals;
        let writer = client.content(message, edits).await.map_err(|lost| lost.to_string())?;
        client.awaits_dot().map_err(|lost| lost.to_string())?;
        progress.dot_sent = true;
        let protocol = self.relay.capabilities.protocol;
        let answered = client.end_of_data_each(writer, protocol, accepted, &mut progress.replies).await;
        answered.map_err(|lost| lost.to_string())?;
        self.relay.open = false;
        let leaves = progress.replies.iter().any(|reply| reply.code() == 421);
        self.relay.connection = (!leaves).then_some(client);
        if protocol == Protocol::Smtp {
            progress.all = progress.replies.pop();
        }
        Ok(())
    }

    /// Up to the reply to DATA, on the connection as it is if possible, else by doing it again.
    async fn data(&mut self, to: &Addressees) -> Result<Data, String> {
        let wanted = self.choose(&to.given)?;
        // In this order the next hop knows them, and answers for them.
        let everybody = to.given.iter().copied().eq(0..self.relay.recipients.len());
        if let Some(mut client) = self.relay.connection.take() {
            let prepared = if everybody && self.relay.open {
                Ok(Ok(client))
            } else {
                match client.reset().await {
                    Ok(()) => self.replay(client, &wanted).await,
                    Err(lost) => Err(lost),
                }
            };
            match prepared {
                Ok(client) => match ask_data(client?, to).await {
                    Ok(data) => return data,
                    Err(lost) if !lost.is_gone() => return Err(lost.to_string()),
                    Err(lost) => tracing::debug!(%lost, "trying again"),
                },
                Err(lost) if lost.is_gone() || lost.stage == Stage::Reset => tracing::debug!(%lost, "trying again"),
                Err(lost) => return Err(lost.to_string()),
            }
        }
        let client = self.relay.reconnect().await.map_err(|lost| lost.to_string())?;
        let client = self.replay(client, &wanted).await.map_err(|lost| lost.to_string())??;
        ask_data(client, to).await.map_err(|lost| lost.to_string())?
    }

    /// The envelope's recipients with these indices.
    fn choose(&self, recipients: &[usize]) -> Result<Vec<Path>, String> {
        let chosen: Option<Vec<Path>> =
            recipients.iter().map(|index| self.relay.recipients.get(*index).cloned()).collect();
        chosen.ok_or_else(|| "no such recipients".to_owned())
    }

    /// XFORWARD, MAIL and RCPT again. `Ok(Err(what))` if an answer has become another than it was
    /// (then it was 2yz).
    async fn replay(&self, client: Client, recipients: &[Path]) -> Result<Result<Client, String>, Lost> {
        let (mut client, mut reply) = self.relay.begin(client).await?;
        let (mut stage, mut rest) = (Stage::Mail, recipients.iter());
        while reply.is_positive() {
            let Some(recipient) = rest.next() else { return Ok(Ok(client)) };
            stage = Stage::Recipient;
            reply = client.recipient(recipient).await?;
        }
        if reply.code() == 421 {
            return Err(Lost { stage, cause: Cause::Unexpected(reply) });
        }
        Ok(Err(format!("the next hop accepted the envelope before, now it says {:?}", reply.text())))
    }
}

/// How far a message came.
#[derive(Default)]
struct Progress {
    /// For each added addressee, what the next hop said against it at RCPT.
    refusals: Vec<Option<Reply>>,
    dot_sent: bool,
    /// What it said to all that it had accepted.
    all: Option<Reply>,
    /// What it said to one after the other.
    replies: Vec<Reply>,
}

impl Progress {
    /// The next hop's word about each addressee. Once it has answered for the first, it is too late to
    /// take that back: those whose reply is missing are asked to try again.
    fn forwarded(self, to: &Addressees, lost: Option<String>) -> Forwarded {
        let Self { refusals, dot_sent, all, replies } = self;
        if let Some(what) = lost {
            if replies.is_empty() {
                return Forwarded::Lost { after_dot: dot_sent, what };
            }
            tracing::warn!(answered = replies.len(), %what, "deferring the recipients that the next hop did not answer for");
        }
        let mut replies = replies.into_iter();
        let mut next = || {
            let reply = all.clone().or_else(|| replies.next());
            reply.unwrap_or_else(|| Reply::new(451, "4.4.2 lost connection with the next server, try again later"))
        };
        let mut words: Vec<Reply> = to.given.iter().map(|_| next()).collect();
        for (index, _) in to.added.iter().enumerate() {
            words.push(refusals.get(index).cloned().flatten().unwrap_or_else(&mut next));
        }
        Forwarded::Answered(words)
    }
}

/// What the next hop said to DATA.
enum Data {
    Go(Prepared),
    Refused(Client, Reply),
}

/// A next hop that waits for content.
struct Prepared {
    client: Client,
    /// For each added addressee, what the next hop said against it.
    refusals: Vec<Option<Reply>>,
}

/// RCPT for the added addressees, and DATA. `Ok(Err(what))` if there is nobody to send to.
async fn ask_data(mut client: Client, to: &Addressees) -> Result<Result<Data, String>, Lost> {
    let mut refusals = Vec::new();
    for added in &to.added {
        let reply = client.recipient(&added.path).await?;
        if reply.code() == 421 {
            return Err(Lost { stage: Stage::Recipient, cause: Cause::Unexpected(reply) });
        }
        if added.required && !reply.is_positive() {
            let who = added.path.address();
            return Ok(Err(format!("the next hop refuses {who}, to whom a rule redirects: {:?}", reply.text())));
        }
        refusals.push((!reply.is_positive()).then_some(reply));
    }
    if to.given.is_empty() && refusals.iter().all(Option::is_some) {
        let reply = refusals.into_iter().flatten().next();
        return Ok(match reply {
            Some(reply) => Ok(Data::Refused(client, reply)),
            None => Err("nobody to send to".to_owned()),
        });
    }
    Ok(Ok(match client.data().await? {
        Ok(()) => Data::Go(Prepared { client, refusals }),
        Err(reply) => Data::Refused(client, reply),
    }))
}
