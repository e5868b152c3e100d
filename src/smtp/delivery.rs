//! Delivery of one held message, for a command that waits: the [`Client`] behind the store's
//! blocking [`Delivery`].

use std::io;

use tokio::runtime::Runtime;

use crate::config::{ClientTls, Config, Endpoint, Timeouts};
use crate::envelope::{Envelope, Octets, Path};
use crate::message::{Edits, Message};
use crate::smtp::client::{Capabilities, Client, Lost};
use crate::smtp::{Protocol, Reply};
use crate::store::{Delivery, Failure, Outcome, Refusal};

/// A next hop for released messages.
pub struct NextHop {
    endpoint: Endpoint,
    tls: Option<ClientTls>,
    timeouts: Timeouts,
    runtime: Runtime,
}

impl NextHop {
    /// Connects at each delivery.
    ///
    /// # Errors
    /// The system gives no event loop.
    pub fn new(endpoint: Endpoint, tls: Option<ClientTls>, timeouts: Timeouts) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { endpoint, tls, timeouts, runtime })
    }

    /// One that a configuration knows: with the TLS of the listener that has it.
    ///
    /// # Errors
    /// The system gives no event loop.
    pub fn of_config(endpoint: Endpoint, config: &Config) -> io::Result<Self> {
        let listener = config.listeners.iter().find(|listener| listener.next_hop == endpoint);
        let tls = listener.and_then(|listener| listener.next_hop_tls.clone());
        Self::new(endpoint, tls, config.timeouts.clone())
    }
}

impl Delivery for NextHop {
    fn deliver(
        &mut self,
        envelope: &Envelope,
        message: &Message,
        before_dot: &mut dyn FnMut(&[Refusal]) -> io::Result<()>,
    ) -> Result<Outcome, Failure> {
        let Self { endpoint, tls, timeouts, runtime } = self;
        runtime.block_on(async {
            let unreachable = |lost: Lost| Failure::Unreachable(lost.to_string());
            let mut client = Client::connect(endpoint, timeouts).await.map_err(unreachable)?;
            // LMTP servers do not know EHLO, so this finds out what it speaks, also where `--to` names it.
            let protocols = [Protocol::Smtp, Protocol::Lmtp];
            let greeted = client.hello(&own_name(), &protocols, tls.as_ref()).await.map_err(unreachable)?;
            let offered = greeted.map_err(|reply| refused(reply.code(), reply.text()))?;
            deliver(client, &offered, envelope, message, before_dot).await
        })
    }
}

async fn deliver(
    mut client: Client,
    offered: &Capabilities,
    envelope: &Envelope,
    message: &Message,
    before_dot: &mut dyn FnMut(&[Refusal]) -> io::Result<()>,
) -> Result<Outcome, Failure> {
    let unreachable = |lost: Lost| Failure::Unreachable(lost.to_string());
    let reply = client.mail(&offerable(&envelope.sender, offered)).await.map_err(unreachable)?;
    if !reply.is_positive() {
        return Err(refused(reply.code(), reply.text()));
    }
    let (accepted, refusals) = recipients(&mut client, envelope, offered).await?;
    if let Err(reply) = client.data().await.map_err(unreachable)? {
        return Err(refused(reply.code(), reply.text()));
    }
    let writer = client.content(message, &Edits::default()).await.map_err(unreachable)?;
    client.awaits_dot().map_err(unreachable)?;
    before_dot(&refusals).map_err(|error| Failure::Unreachable(error.to_string()))?;
    let mut replies = Vec::new();
    let answered = client.end_of_data_each(writer, offered.protocol, accepted.len(), &mut replies).await;
    let outcome = outcome(offered.protocol, accepted, refusals, replies, answered.err())?;
    if outcome.unanswered.is_empty() {
        client.quit().await;
    }
    Ok(outcome)
}

/// What the replies to the final dot say: in SMTP one about everybody, in LMTP one about each.
fn outcome(
    protocol: Protocol,
    accepted: Vec<Path>,
    mut refused: Vec<Refusal>,
    replies: Vec<Reply>,
    lost: Option<Lost>,
) -> Result<Outcome, Failure> {
    let Some(first) = replies.first() else {
        return Err(Failure::Unknown(lost.map_or_else(|| "no recipients".to_owned(), |lost| lost.to_string())));
    };
    let taken = replies.iter().find(|reply| reply.is_positive());
    if taken.is_none() && lost.is_none() {
        let deferred = replies.iter().find(|reply| reply.class() == 4).unwrap_or(first);
        return Err(self::refused(deferred.code(), deferred.text()));
    }
    let reply = taken.unwrap_or(first).text();
    let mut unanswered = Vec::new();
    if protocol == Protocol::Lmtp {
        let mut replies = replies.iter();
        for recipient in accepted {
            match replies.next() {
                Some(reply) if reply.is_positive() => {}
                Some(reply) => refused.push(Refusal { recipient, reply: reply.text() }),
                None => unanswered.push(recipient),
            }
        }
    }
    Ok(Outcome { reply, refused, unanswered })
}

/// RCPT for each: who is accepted, and who is not; an error if nobody is.
async fn recipients(
    client: &mut Client,
    envelope: &Envelope,
    offered: &Capabilities,
) -> Result<(Vec<Path>, Vec<Refusal>), Failure> {
    let (mut accepted, mut refusals) = (Vec::new(), Vec::new());
    let mut last = None;
    for recipient in &envelope.recipients {
        let reply = client.recipient(&offerable(recipient, offered)).await;
        let reply = reply.map_err(|lost| Failure::Unreachable(lost.to_string()))?;
        if reply.is_positive() {
            accepted.push(recipient.clone());
        } else {
            refusals.push(Refusal { recipient: recipient.clone(), reply: reply.text() });
            last = Some(reply);
        }
    }
    match last {
        Some(reply) if refusals.len() == envelope.recipients.len() => Err(refused(reply.code(), reply.text())),
        Some(_) | None => Ok((accepted, refusals)),
    }
}

fn refused(code: u16, reply: String) -> Failure {
    if (500..600).contains(&code) { Failure::Refused(reply) } else { Failure::Deferred(reply) }
}

/// The path with those parameters that the next hop knows. The next hop that took the other copies
/// knew them all; another one (`--to`) may not, and a message that was held is better delivered
/// without a delivery status notification than not at all.
fn offerable(path: &Path, offered: &Capabilities) -> Path {
    let known = |word: &&[u8]| {
        let keyword = word.split(|octet| *octet == b'=').next().unwrap_or_default().to_ascii_uppercase();
        match keyword.as_slice() {
            b"SIZE" => offered.size.is_some(),
            b"BODY" => offered.eight_bit,
            b"SMTPUTF8" => offered.utf8,
            b"RET" | b"ENVID" | b"NOTIFY" | b"ORCPT" => offered.dsn,
            b"AUTH" => offered.auth,
            _ => false,
        }
    };
    let words: Vec<&[u8]> =
        path.parameters.0.split(|octet| *octet == b' ').filter(|word| !word.is_empty()).filter(known).collect();
    Path { path: path.path.clone(), parameters: Octets(words.join(&b' ')) }
}

/// What we call ourselves: the host's name, if it can stand in EHLO.
fn own_name() -> Octets {
    let system = rustix::system::uname();
    let name = system.nodename().to_string_lossy();
    let fit =
        !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.'));
    Octets::from(if fit { name.as_ref() } else { "localhost" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_that_the_next_hop_does_not_know_stay_behind() {
        let path = Path { path: "<a@b>".into(), parameters: "NOTIFY=NEVER ORCPT=rfc822;a@b FUTURE=1".into() };
        let dsn = Capabilities { dsn: true, ..Capabilities::default() };
        assert_eq!(offerable(&path, &dsn).parameters.text(), "NOTIFY=NEVER ORCPT=rfc822;a@b");
        assert_eq!(offerable(&path, &Capabilities::default()).parameters.text(), "");
        let mail = Path { path: "<>".into(), parameters: "SIZE=10 BODY=8BITMIME".into() };
        let both = Capabilities { size: Some(1), eight_bit: true, ..Capabilities::default() };
        assert_eq!(offerable(&mail, &both), mail);
    }
}
