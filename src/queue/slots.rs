//! Waiting for a slot: [`Queue`] with the clock, for tasks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::cost::Costs;
use super::{Admission, Client, Full, Queue, Ticket};
use crate::config;
use crate::envelope::Envelope;
use crate::policy::direction::is_in;
use crate::transaction::Mail;

/// The slots that all messages share, and the places where they wait for them.
#[derive(Debug)]
pub struct Slots {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    costs: Costs,
    /// How each that waits learns of its slot.
    told: HashMap<Ticket, oneshot::Sender<()>>,
    refused: HashMap<Full, u64>,
}

/// The right to scan, given back when dropped.
#[derive(Debug)]
pub struct Slot {
    slots: Arc<Slots>,
    ticket: Ticket,
    who: Client,
    /// Since when it runs; `None` while it waits.
    since: Option<Instant>,
}

impl Client {
    /// Whose message this is. Our own are those of `[mail] local_networks`, of this host, and what came on a Unix socket
    /// from nobody in particular.
    pub fn of_mail(mail: &Mail) -> Self {
        let address = mail.envelope.client.addr;
        let own = match address {
            Some(address) => address.to_canonical().is_loopback() || is_in(address, &mail.config.mail.local_networks),
            None => mail.peer.is_none(),
        };
        Self::of(address, own)
    }
}

impl Client {
    /// Whose message one is that lies on the disk.
    pub fn of_envelope(envelope: &Envelope, mail: &config::Mail) -> Self {
        let address = envelope.client.addr;
        let own = address.is_some_and(|a| a.to_canonical().is_loopback() || is_in(a, &mail.local_networks));
        Self::of(address, own)
    }
}

impl Slots {
    /// At most `slots` run at once (at least 1), at most `places` wait.
    pub fn new(slots: usize, places: usize) -> Arc<Self> {
        let (costs, told, refused) = Default::default();
        let state = State { queue: Queue::new(slots, places), costs, told, refused };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// Waits for a slot, at most until then. Dropping the future withdraws.
    ///
    /// # Errors
    /// At once if there is no waiting place; [`Full::Late`] if no slot became free in time.
    pub async fn admit(self: &Arc<Self>, who: Client, until: Instant) -> Result<Slot, Full> {
        let (mut slot, told) = self.enter(who)?;
        let Some(told) = told else { return Ok(slot) };
        // It cannot be untold while it waits.
        let in_time = matches!(timeout_at(until, told).await, Ok(Ok(())));
        // At the last moment it may have got the slot all the same.
        if !in_time && slot.withdraw() {
            return Err(Full::Late);
        }
        slot.since = Some(Instant::now());
        Ok(slot)
    }

    /// How many run.
    pub fn running(&self) -> usize {
        self.lock().queue.running()
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.lock().queue.waiting()
    }

    /// How many were refused for this reason, since the start.
    pub fn refused(&self, why: Full) -> u64 {
        self.lock().refused.get(&why).copied().unwrap_or(0)
    }

    /// A slot, or a place (which becomes one), and what tells of it.
    fn enter(self: &Arc<Self>, who: Client) -> Result<(Slot, Option<oneshot::Receiver<()>>), Full> {
        let now = Instant::now();
        let mut state = self.lock();
        state.costs.comes(who, now);
        let slot = |ticket, since| Slot { slots: Arc::clone(self), ticket, who, since };
        match state.queue.admit(who) {
            Ok(Admission::Runs(ticket)) => Ok((slot(ticket, Some(now)), None)),
            Ok(Admission::Waits(ticket)) => {
                let (tell, told) = oneshot::channel();
                state.told.insert(ticket, tell);
                Ok((slot(ticket, None), Some(told)))
            }
            Err(why) => {
                state.refuse(why);
                Err(why)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn refuse(&mut self, why: Full) {
        let count = self.refused.entry(why).or_default();
        *count = count.saturating_add(1);
    }
}

impl Slot {
    /// Whether its client's messages have cost so much lately that others go first.
    pub fn is_costly(&self) -> bool {
        self.slots.lock().costs.is_costly(self.who, Instant::now())
    }

    /// Gives up waiting: false if it does not wait any more, since it has its slot.
    fn withdraw(&self) -> bool {
        let mut state = self.slots.lock();
        let waited = state.queue.cancel(self.ticket);
        if waited {
            state.told.remove(&self.ticket);
            state.refuse(Full::Late);
        }
        waited
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut state = self.slots.lock();
        if let Some(since) = self.since {
            state.costs.charge(self.who, now.saturating_duration_since(since), now);
        }
        if state.queue.cancel(self.ticket) {
            state.told.remove(&self.ticket);
        } else if let Some(next) = state.queue.leave(self.ticket)
            && let Some(tell) = state.told.remove(&next)
        {
            // Whoever stopped listening just now leaves as soon as we let go of the lock.
            let _ = tell.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    fn network(number: u8) -> Client {
        Client::of(Some(IpAddr::from([192, 0, number, 7])), false)
    }

    fn far() -> Instant {
        Instant::now() + Duration::from_secs(300)
    }

    #[tokio::test]
    async fn a_slot_that_is_given_back_wakes_the_next() {
        let slots = Slots::new(1, 4);
        let first = slots.admit(network(1), far()).await.unwrap();
        let waiting = tokio::spawn({
            let slots = Arc::clone(&slots);
            async move { slots.admit(network(2), far()).await }
        });
        while slots.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        drop(first);
        let second = waiting.await.unwrap().unwrap();
        assert_eq!((slots.running(), slots.waiting()), (1, 0));
        drop(second);
        assert_eq!((slots.running(), slots.waiting()), (0, 0));
    }

    #[tokio::test]
    async fn whoever_waits_too_long_is_late_and_leaves_no_trace() {
        let slots = Slots::new(1, 1);
        let first = slots.admit(network(1), far()).await.unwrap();
        assert_eq!(slots.admit(network(2), Instant::now()).await.unwrap_err(), Full::Late);
        let _waiting = tokio::spawn({
            let slots = Arc::clone(&slots);
            async move { slots.admit(network(2), far()).await }
        });
        while slots.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(slots.admit(network(3), far()).await.unwrap_err(), Full::Queue);
        let refused = Full::ALL.map(|why| slots.refused(why));
        assert_eq!(refused, [1, 0, 1]);
        drop(first);
        let state = slots.lock();
        assert_eq!(state.told.len(), 0);
        assert_eq!((state.queue.running(), state.queue.waiting()), (1, 0));
    }

    #[tokio::test]
    async fn a_future_that_is_dropped_gives_back_its_place_and_even_its_slot() {
        let slots = Slots::new(1, 4);
        let first = slots.admit(network(1), far()).await.unwrap();
        let (mut leaves, mut stays) =
            (Box::pin(slots.admit(network(2), far())), Box::pin(slots.admit(network(3), far())));
        assert!(tokio::time::timeout(Duration::ZERO, &mut leaves).await.is_err());
        assert!(tokio::time::timeout(Duration::ZERO, &mut stays).await.is_err());
        assert_eq!(slots.waiting(), 2);
        drop(first);
        assert_eq!((slots.running(), slots.waiting()), (1, 1), "the slot is given, though nobody looked yet");
        drop(leaves);
        assert_eq!((slots.running(), slots.waiting()), (1, 0));
        drop(pin!(stays).await.unwrap());
        assert_eq!((slots.running(), slots.waiting()), (0, 0));
        assert!(slots.lock().told.is_empty());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_crowd_never_exceeds_the_slots_and_all_come_through() {
        let slots = Slots::new(3, 1000);
        let (now, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..400u16 {
            let (slots, now, done) = (Arc::clone(&slots), Arc::clone(&now), Arc::clone(&done));
            tasks.spawn(async move {
                let who = if number % 5 == 0 { Client::Own(None) } else { network((number % 7) as u8) };
                if number % 3 == 0 {
                    let patience = Duration::from_micros(u64::from(number));
                    let _ = tokio::time::timeout(patience, slots.admit(who, far())).await;
                    return;
                }
                let slot = slots.admit(who, far()).await.unwrap();
                assert!(now.fetch_add(1, Ordering::SeqCst) < 3);
                tokio::task::yield_now().await;
                now.fetch_sub(1, Ordering::SeqCst);
                done.fetch_add(1, Ordering::SeqCst);
                drop(slot);
            });
        }
        while let Some(task) = tasks.join_next().await {
            task.unwrap();
        }
        assert_eq!(done.load(Ordering::SeqCst), 266);
        assert_eq!((slots.running(), slots.waiting()), (0, 0));
        assert!(slots.lock().told.is_empty());
    }
}
