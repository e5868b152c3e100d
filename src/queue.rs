//! Who may scan when: a queue that is fair to networks, as a state machine without clock or I/O.
//! [`Slots`] waits with it.
//!
//! A scan costs a message's sender nothing and us seconds, so that the scanners are what a flood takes from
//! others. Three rules are against that:
//!
//! - One client holds at most half of the slots and half of the waiting places (rounded up). Whose share of slots
//!   is used up waits, and others pass by. A client is a network, not an address: the /24 of an IPv4 address, the /64 of
//!   an IPv6 address, since that is what one party is given at least. In our own networks, each address is a client.
//! - Waiting clients take turns, one message each; messages of one client stay in their order. Between two messages
//!   of a client that may go, no other client has two: a hundred waiting messages of one network delay
//!   the one of another by one scan.
//! - No slot stays free while somebody waits who may have it.
//!
//! Half of the slots are as many as there are cores ([`crate::config::ServiceLimits::slots`]), so that one client
//! alone still uses them all, and what others send meanwhile finds a slot at once.
//!
//! What it leaves out: sizes of messages (a scan is bounded by `max_scan_time`), and connections, which have limits of
//! their own. What a client's messages have cost decides about their pace, not about their turn ([`cost`]).

pub mod cost;
mod slots;

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use slots::{Slot, Slots};

/// Who wants to scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Client {
    /// A host of the admin's own networks; without an address, the programs of this host.
    Own(Option<IpAddr>),
    /// A network, by its first address: an IPv4 /24 or an IPv6 /64.
    Network(IpAddr),
    /// All whose address is not known, as one.
    Unknown,
}

impl Client {
    /// The client that an address belongs to; an IPv4 address is one however it is written. `own`: it is in our own
    /// networks, or it is a program of this host.
    pub fn of(address: Option<IpAddr>, own: bool) -> Self {
        let address = address.map(|address| address.to_canonical());
        match address {
            address if own => Client::Own(address),
            Some(IpAddr::V4(address)) => {
                let [a, b, c, _] = address.octets();
                Client::Network(Ipv4Addr::new(a, b, c, 0).into())
            }
            Some(IpAddr::V6(address)) => {
                let [a, b, c, d, ..] = address.segments();
                Client::Network(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
            }
            None => Client::Unknown,
        }
    }
}

/// Why a message may not even wait, or has waited in vain. The client keeps it and comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Full {
    /// All waiting places are taken.
    Queue,
    /// The client's share of them is.
    Share,
    /// No slot became free in time.
    Late,
}

impl Full {
    /// Every reason.
    pub const ALL: [Full; 3] = [Full::Queue, Full::Share, Full::Late];

    /// The name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Full::Queue => "queue",
            Full::Share => "share",
            Full::Late => "late",
        }
    }
}

/// A message in the queue, running or waiting. Never given twice by one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// What a newcomer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It has a slot.
    Runs(Ticket),
    /// It waits until [`Queue::leave`] names it.
    Waits(Ticket),
}

/// The state: who runs and who waits.
#[derive(Debug)]
pub struct Queue {
    slots: usize,
    places: usize,
    issued: u64,
    running: HashMap<Ticket, Client>,
    waiting: HashMap<Ticket, Client>,
    /// Clients that run or wait, and no others.
    clients: HashMap<Client, Share>,
    /// Clients that have messages waiting, in the order of their turns. One whose share of slots is used up keeps its
    /// position.
    turns: VecDeque<Client>,
}

/// What one client has.
#[derive(Debug, Default)]
struct Share {
    running: usize,
    waiting: VecDeque<Ticket>,
}

impl Queue {
    /// Nobody runs or waits; at most `slots` may run (at least 1) and `places` wait.
    pub fn new(slots: usize, places: usize) -> Self {
        Self {
            slots: slots.max(1),
            places,
            issued: 0,
            running: HashMap::new(),
            waiting: HashMap::new(),
            clients: HashMap::new(),
            turns: VecDeque::new(),
        }
    }

    /// How many run.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// A newcomer.
    ///
    /// # Errors
    /// [`Full::Queue`] or [`Full::Share`]: it may not wait.
    pub fn admit(&mut self, who: Client) -> Result<Admission, Full> {
        let (running, waiting) = self.clients.get(&who).map_or((0, 0), |share| (share.running, share.waiting.len()));
        if self.running.len() < self.slots && running < half(self.slots) {
            // Whoever waits may not have the free slot, or would have it already: nobody is passed over.
            let ticket = self.issue();
            self.run(ticket, who);
            return Ok(Admission::Runs(ticket));
        }
        if self.waiting.len() >= self.places {
            return Err(Full::Queue);
        }
        if waiting >= half(self.places) {
            return Err(Full::Share);
        }
        let ticket = self.issue();
        self.waiting.insert(ticket, who);
        let share = self.clients.entry(who).or_default();
        if share.waiting.is_empty() {
            self.turns.push_back(who);
        }
        share.waiting.push_back(ticket);
        Ok(Admission::Waits(ticket))
    }

    /// One that ran gives its slot back. Returns who has it now: at most one, since before this no slot was free that
    /// anybody who waits might have had. Does nothing for a ticket that does not run.
    pub fn leave(&mut self, ticket: Ticket) -> Option<Ticket> {
        let who = self.running.remove(&ticket)?;
        if let Some(share) = self.clients.get_mut(&who) {
            share.running = share.running.saturating_sub(1);
        }
        self.forget_idle(who);
        self.next()
    }

    /// One that waited withdraws. False if it does not wait: it may run meanwhile, and must then leave.
    pub fn cancel(&mut self, ticket: Ticket) -> bool {
        let Some(who) = self.waiting.remove(&ticket) else { return false };
        if let Some(share) = self.clients.get_mut(&who) {
            share.waiting.retain(|other| *other != ticket);
            if share.waiting.is_empty() {
                self.turns.retain(|other| *other != who);
            }
        }
        self.forget_idle(who);
        true
    }

    /// Gives a free slot to the first in turn whose share is not used up.
    fn next(&mut self) -> Option<Ticket> {
        if self.running.len() >= self.slots {
            return None;
        }
        let room = |who: &Client| self.clients.get(who).is_some_and(|share| share.running < half(self.slots));
        let turn = self.turns.iter().position(room)?;
        let who = self.turns.remove(turn)?;
        let share = self.clients.get_mut(&who)?;
        let ticket = share.waiting.pop_front()?;
        if !share.waiting.is_empty() {
            self.turns.push_back(who);
        }
        self.waiting.remove(&ticket);
        self.run(ticket, who);
        Some(ticket)
    }

    fn run(&mut self, ticket: Ticket, who: Client) {
        self.running.insert(ticket, who);
        let share = self.clients.entry(who).or_default();
        share.running = share.running.saturating_add(1);
    }

    fn forget_idle(&mut self, who: Client) {
        if self.clients.get(&who).is_some_and(|share| share.running == 0 && share.waiting.is_empty()) {
            self.clients.remove(&who);
        }
    }

    fn issue(&mut self) -> Ticket {
        self.issued = self.issued.saturating_add(1);
        Ticket(self.issued)
    }
}

/// What one client may have of `all`: half, rounded up.
fn half(all: usize) -> usize {
    all.div_ceil(2)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn network(number: u8) -> Client {
        Client::of(Some(IpAddr::from([192, 0, number, 7])), false)
    }

    fn runs(queue: &mut Queue, who: Client) -> Ticket {
        match queue.admit(who) {
            Ok(Admission::Runs(ticket)) => ticket,
            other => panic!("{who:?} does not run: {other:?}"),
        }
    }

    fn waits(queue: &mut Queue, who: Client) -> Ticket {
        match queue.admit(who) {
            Ok(Admission::Waits(ticket)) => ticket,
            other => panic!("{who:?} does not wait: {other:?}"),
        }
    }

    #[test]
    fn a_client_is_a_network() {
        let of = |text: &str| Client::of(Some(text.parse().unwrap()), false);
        assert_eq!(of("192.0.2.1"), of("192.0.2.255"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.9"));
        assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(Client::of(None, false), Client::Unknown);
        let own = |text: &str| Client::of(Some(text.parse().unwrap()), true);
        assert_ne!(own("127.0.0.1"), own("127.0.0.2"), "our own are told apart");
        assert_ne!(own("192.0.2.1"), of("192.0.2.1"));
    }

    #[test]
    fn one_client_alone_has_half_of_the_slots_whoever_it_is() {
        for who in [Client::Own(None), Client::Unknown, network(1)] {
            let mut queue = Queue::new(4, 10);
            let (first, _) = (runs(&mut queue, who), runs(&mut queue, who));
            let third = waits(&mut queue, who);
            runs(&mut queue, network(9));
            assert_eq!(queue.leave(first), Some(third));
        }
    }

    #[test]
    fn one_client_has_half_of_the_slots_and_others_pass_by() {
        let mut queue = Queue::new(4, 10);
        let (first, _) = (runs(&mut queue, network(1)), runs(&mut queue, network(1)));
        let third = waits(&mut queue, network(1));
        runs(&mut queue, network(2));
        assert_eq!((queue.running(), queue.waiting()), (3, 1));
        assert_eq!(queue.leave(first), Some(third));
        assert_eq!(queue.leave(first), None, "it has left already");
        assert_eq!((queue.running(), queue.waiting()), (3, 0));
    }

    #[test]
    fn one_client_has_half_of_the_places_and_then_all_are_full() {
        let mut queue = Queue::new(1, 3);
        runs(&mut queue, network(1));
        waits(&mut queue, network(1));
        waits(&mut queue, network(1));
        assert_eq!(queue.admit(network(1)), Err(Full::Share));
        waits(&mut queue, Client::Unknown);
        assert_eq!(queue.admit(network(2)), Err(Full::Queue));
        assert_eq!(queue.admit(network(1)), Err(Full::Queue));
    }

    #[test]
    fn a_hundred_messages_delay_one_of_another_network_by_one() {
        let mut queue = Queue::new(1, 256);
        let mut now = runs(&mut queue, network(1));
        let crowd: Vec<Ticket> = (0..100).map(|_| waits(&mut queue, network(1))).collect();
        let lone = waits(&mut queue, network(2));
        let mut order = Vec::new();
        while let Some(next) = queue.leave(now) {
            order.push(next);
            now = next;
        }
        assert_eq!(order[..3], [crowd[0], lone, crowd[1]]);
        assert_eq!(order.len(), 101);
        order.remove(1);
        assert_eq!(order, crowd, "the messages of one network keep their order");
    }

    #[test]
    fn who_withdraws_is_passed_over() {
        let mut queue = Queue::new(1, 10);
        let first = runs(&mut queue, network(1));
        let gone = waits(&mut queue, network(2));
        let stays = waits(&mut queue, network(3));
        assert!(queue.cancel(gone));
        assert!(!queue.cancel(gone));
        assert!(!queue.cancel(first), "it runs");
        assert_eq!(queue.leave(first), Some(stays));
        assert_eq!(queue.leave(stays), None);
        assert!(queue.clients.is_empty() && queue.turns.is_empty());
    }

    /// A queue beside a plain list of what it must be, with which every step is compared.
    struct Model {
        queue: Queue,
        running: BTreeMap<Ticket, Client>,
        waiting: BTreeMap<Ticket, Client>,
        /// Who had a turn while this client waited and might have gone, since its own last turn.
        passed: BTreeMap<Client, BTreeSet<Client>>,
    }

    impl Model {
        fn new(slots: usize, places: usize) -> Self {
            let (running, waiting, passed) = Default::default();
            Self { queue: Queue::new(slots, places), running, waiting, passed }
        }

        fn of(list: &BTreeMap<Ticket, Client>, who: Client) -> usize {
            list.values().filter(|other| **other == who).count()
        }

        fn within_share(&self, who: Client) -> bool {
            Self::of(&self.running, who) < self.queue.slots.div_ceil(2)
        }

        fn admit(&mut self, who: Client) {
            let (slots, places) = (self.queue.slots, self.queue.places);
            let might = self.running.len() < slots && self.within_share(who);
            let waiting = Self::of(&self.waiting, who);
            match self.queue.admit(who) {
                Ok(Admission::Runs(ticket)) => {
                    assert!(might);
                    assert!(!self.waiting.contains_key(&ticket) && self.running.insert(ticket, who).is_none());
                }
                Ok(Admission::Waits(ticket)) => {
                    assert!(!might && self.waiting.len() < places && waiting < places.div_ceil(2));
                    assert!(!self.running.contains_key(&ticket) && self.waiting.insert(ticket, who).is_none());
                }
                Err(Full::Queue) => assert!(!might && self.waiting.len() == places),
                Err(Full::Share) => assert!(!might && waiting == places.div_ceil(2)),
                Err(Full::Late) => panic!("there is no clock here"),
            }
        }

        fn leave(&mut self, ticket: Ticket) {
            let ran = self.running.remove(&ticket).is_some();
            let next = self.queue.leave(ticket);
            let Some(next) = next else { return };
            assert!(ran, "only a free slot is given");
            let who = self.waiting.remove(&next).expect("whoever is next waited");
            let behind = self.waiting.iter().find(|(_, other)| **other == who);
            assert!(behind.is_none_or(|(behind, _)| next < *behind), "a client's messages keep their order");
            let rivals: BTreeSet<Client> =
                self.waiting.values().copied().filter(|other| *other != who && self.within_share(*other)).collect();
            assert!(self.within_share(who), "{who:?} is above its share");
            for rival in &rivals {
                let first = self.passed.entry(*rival).or_default().insert(who);
                assert!(first, "{who:?} had two turns while {rival:?} waited for one");
            }
            self.passed.retain(|client, _| rivals.contains(client));
            self.running.insert(next, who);
        }

        fn cancel(&mut self, ticket: Ticket) {
            let waited = self.waiting.remove(&ticket);
            assert_eq!(self.queue.cancel(ticket), waited.is_some());
            if let Some(who) = waited.filter(|who| Self::of(&self.waiting, *who) == 0) {
                self.passed.remove(&who);
            }
        }

        fn check(&self) {
            let Queue { slots, places, .. } = self.queue;
            assert_eq!((self.queue.running(), self.queue.waiting()), (self.running.len(), self.waiting.len()));
            assert!(self.running.len() <= slots && self.waiting.len() <= places);
            let clients: BTreeSet<Client> = self.running.values().chain(self.waiting.values()).copied().collect();
            assert_eq!(self.queue.clients.keys().copied().collect::<BTreeSet<_>>(), clients);
            assert_eq!(self.queue.turns.iter().copied().collect::<BTreeSet<_>>().len(), self.queue.turns.len());
            for who in clients {
                assert!(Self::of(&self.running, who) <= slots.div_ceil(2));
                assert!(Self::of(&self.waiting, who) <= places.div_ceil(2));
                let waits = Self::of(&self.waiting, who) > 0;
                let might = self.running.len() < slots && self.within_share(who);
                assert!(!(waits && might), "a slot is free, and {who:?} waits");
            }
        }

        /// A ticket that runs or waits, or now and then one that never was or has left.
        fn any(&self, random: &mut fastrand::Rng, list: &BTreeMap<Ticket, Client>) -> Ticket {
            if random.u8(..) == 0 || list.is_empty() {
                return Ticket(random.u64(..self.queue.issued + 2));
            }
            *list.keys().nth(random.usize(..list.len())).unwrap()
        }
    }

    #[test]
    fn every_rule_holds_at_every_step() {
        let names: Vec<Client> = [Client::Own(None), Client::Unknown].into_iter().chain((0..7).map(network)).collect();
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut model = Model::new(random.usize(1..9), random.usize(..20));
            // Some arrive more often than others, and there are times of flood and of ebb.
            let mut flood = 128;
            for step in 0..1000 {
                if step % 100 == 0 {
                    flood = random.u8(40..220);
                }
                if random.u8(..) < flood {
                    let who = names[random.usize(..names.len()).min(random.usize(..names.len()))];
                    model.admit(who);
                } else if random.u8(..) < 200 {
                    let ticket = model.any(&mut random, &model.running);
                    model.leave(ticket);
                } else {
                    let ticket = model.any(&mut random, &model.waiting);
                    model.cancel(ticket);
                }
                model.check();
            }
            // Once nobody comes any more, everybody has had a slot.
            while let Some(ticket) = model.running.keys().next().copied() {
                model.leave(ticket);
                model.check();
            }
            assert!(model.waiting.is_empty() && model.queue.clients.is_empty());
        }
    }
}
