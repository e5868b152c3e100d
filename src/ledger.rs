//! What waits for another mail: passwords that were told, and messages whose attachments stayed closed, each under the
//! pairs of sender and recipient by which one finds the other.
//!
//! In memory only: passwords are never written anywhere, and messages that wait are noted again from the disk at a start.
//! Everything is bounded, and what is too much goes at the cost of the network that has most: whoever floods it
//! pushes out their own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::time::{Duration, Instant};

use crate::queue::Client;

/// Recipients of one mail that count. A password for more people is none.
const MAX_RECIPIENTS: usize = 100;
/// Senders of one mail: the envelope's, and those of the From field.
const MAX_SENDERS: usize = 3;
/// Pairs that all items of a list have together. 20,000: an office of a thousand people sends fewer such mails a day;
/// some 10 MiB.
const MAX_PAIRS: usize = 20_000;
/// Items that are found for one mail.
const MAX_FOUND: usize = 20;

/// A sender and a recipient, both lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pair {
    sender: String,
    recipient: String,
}

/// By whom mails belong together: everybody that a mail says it is from, with everybody it is for. That anyone can
/// write these addresses is thought of: see `docs/threat-model.md`.
pub fn pairs(envelope_sender: &str, header_from: &[String], recipients: impl IntoIterator<Item = String>) -> Vec<Pair> {
    let senders = std::iter::once(envelope_sender).chain(header_from.iter().map(String::as_str));
    let senders: BTreeSet<String> =
        senders.map(|sender| sender.trim().to_lowercase()).filter(|s| s.contains('@')).take(MAX_SENDERS).collect();
    let recipients = recipients.into_iter().take(MAX_RECIPIENTS).map(|recipient| recipient.to_lowercase());
    let pair = |recipient: String| {
        senders.iter().map(move |sender| Pair { sender: sender.clone(), recipient: recipient.clone() })
    };
    let pairs: BTreeSet<Pair> = recipients.filter(|recipient| !recipient.is_empty()).flat_map(pair).collect();
    pairs.into_iter().collect()
}

/// Things of which each is found by pairs, for a while.
#[derive(Debug)]
pub struct Ledger<T> {
    /// In the order in which they came.
    items: BTreeMap<u64, Item<T>>,
    by_pair: HashMap<Pair, BTreeSet<u64>>,
    by_network: HashMap<Client, Share>,
    next: u64,
    pairs: usize,
    most: usize,
    /// How many went for others since [`Ledger::pushed_out`].
    pushed_out: u64,
}

#[derive(Debug)]
struct Item<T> {
    since: Instant,
    network: Client,
    pairs: Vec<Pair>,
    thing: T,
}

/// What one network has.
#[derive(Debug, Default)]
struct Share {
    pairs: usize,
    items: BTreeSet<u64>,
}

/// What stands in a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Number(u64);

impl<T> Default for Ledger<T> {
    fn default() -> Self {
        Self {
            items: BTreeMap::new(),
            by_pair: HashMap::new(),
            by_network: HashMap::new(),
            next: 0,
            pairs: 0,
            most: MAX_PAIRS,
            pushed_out: 0,
        }
    }
}

impl<T> Ledger<T> {
    /// Notes a thing that came at `since` from this network; what there is no room for any more goes. `None` without
    /// pairs.
    pub fn note(&mut self, pairs: Vec<Pair>, network: Client, since: Instant, thing: T) -> Option<Number> {
        if pairs.is_empty() || pairs.len() > self.most {
            return None;
        }
        let number = self.next;
        self.next = self.next.saturating_add(1);
        self.pairs = self.pairs.saturating_add(pairs.len());
        let share = self.by_network.entry(network).or_default();
        share.pairs = share.pairs.saturating_add(pairs.len());
        share.items.insert(number);
        for pair in &pairs {
            self.by_pair.entry(pair.clone()).or_default().insert(number);
        }
        self.items.insert(number, Item { since, network, pairs, thing });
        while self.pairs > self.most {
            let largest = self.by_network.values().max_by_key(|share| share.pairs);
            let Some(oldest) = largest.and_then(|share| share.items.first().copied()) else { break };
            self.take(Number(oldest));
            self.pushed_out = self.pushed_out.saturating_add(1);
        }
        Some(Number(number))
    }

    /// How many had to go for others since this was asked last.
    pub fn pushed_out(&mut self) -> u64 {
        std::mem::take(&mut self.pushed_out)
    }

    /// What there is under any of the pairs: the newest of each network, then the second newest, and so on. Whoever takes
    /// a sender's name so hides little of what others noted.
    pub fn find(&self, pairs: &[Pair]) -> Vec<(Number, &T)> {
        let numbers: BTreeSet<u64> =
            pairs.iter().filter_map(|pair| self.by_pair.get(pair)).flatten().copied().collect();
        let mut of_network: HashMap<Client, usize> = HashMap::new();
        let mut found: Vec<(usize, Number, &T)> = Vec::new();
        for number in numbers.into_iter().rev() {
            let Some(item) = self.items.get(&number) else { continue };
            let rank = of_network.entry(item.network).or_default();
            *rank = rank.saturating_add(1);
            found.push((*rank, Number(number), &item.thing));
        }
        // Stable: of the same rank, the newest first.
        found.sort_by_key(|(rank, _, _)| *rank);
        found.into_iter().take(MAX_FOUND).map(|(_, number, thing)| (number, thing)).collect()
    }

    /// All of them, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.values().map(|item| &item.thing)
    }

    /// One of them.
    pub fn get_mut(&mut self, number: Number) -> Option<&mut T> {
        self.items.get_mut(&number.0).map(|item| &mut item.thing)
    }

    /// Takes one out.
    pub fn take(&mut self, number: Number) -> Option<T> {
        let item = self.items.remove(&number.0)?;
        self.pairs = self.pairs.saturating_sub(item.pairs.len());
        for pair in &item.pairs {
            drop_from(&mut self.by_pair, pair, |numbers| {
                numbers.remove(&number.0);
                numbers.is_empty()
            });
        }
        drop_from(&mut self.by_network, &item.network, |share| {
            share.items.remove(&number.0);
            share.pairs = share.pairs.saturating_sub(item.pairs.len());
            share.items.is_empty()
        });
        Some(item.thing)
    }

    /// Takes out what has waited for longer than `window`.
    pub fn expire(&mut self, window: Duration, now: Instant) -> Vec<T> {
        // Not the first ones only: what is noted from the disk at a start is as old as it is there.
        let old = |item: &Item<T>| now.saturating_duration_since(item.since) >= window;
        let old: Vec<u64> = self.items.iter().filter(|(_, item)| old(item)).map(|(number, _)| *number).collect();
        old.into_iter().filter_map(|number| self.take(Number(number))).collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

/// Changes what is under a key, and forgets the key if nothing is left.
fn drop_from<K: Hash + Eq, V>(map: &mut HashMap<K, V>, key: &K, change: impl FnOnce(&mut V) -> bool) {
    if map.get_mut(key).is_some_and(change) {
        map.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(last: u8) -> Client {
        Client::of(Some([192, 0, last, 1].into()), false)
    }

    fn some(sender: &str, recipient: &str) -> Vec<Pair> {
        pairs(sender, &[], [recipient.to_owned()])
    }

    fn things(ledger: &Ledger<&'static str>, pairs: &[Pair]) -> Vec<&'static str> {
        ledger.find(pairs).into_iter().map(|(_, thing)| *thing).collect()
    }

    #[test]
    fn mails_belong_together_by_either_sender_and_any_recipient() {
        let mut ledger = Ledger::default();
        let told = pairs("bounce-1@send.example", &["Taro@Example.JP".to_owned()], ["B@x.example".to_owned()]);
        ledger.note(told, network(0), Instant::now(), "x");
        for (sender, from, to, found) in [
            ("bounce-2@send.example", "taro@example.jp", vec!["b@x.example"], true),
            ("bounce-1@send.example", "other@example.jp", vec!["b@x.example"], true),
            ("bounce-2@send.example", "taro@example.jp", vec!["a@x.example", "b@X.example"], true),
            ("bounce-2@send.example", "other@example.jp", vec!["b@x.example"], false),
            ("bounce-1@send.example", "taro@example.jp", vec!["a@x.example"], false),
        ] {
            let asked = pairs(sender, &[from.to_owned()], to.into_iter().map(str::to_owned));
            assert_eq!(!ledger.find(&asked).is_empty(), found, "{sender} {from}");
        }
    }

    #[test]
    fn nobody_and_no_address_are_no_pair() {
        assert!(pairs("", &["undisclosed".to_owned()], ["b@x.example".to_owned()]).is_empty());
        assert!(pairs("a@x.example", &[], Vec::new()).is_empty());
        let many = (0..5000).map(|n| format!("{n}@x.example"));
        assert_eq!(pairs("a@x.example", &["b@x.example".to_owned()], many).len(), 2 * MAX_RECIPIENTS);
    }

    #[test]
    fn what_is_older_than_the_window_goes_and_nothing_is_left_of_it() {
        let (mut ledger, begun) = (Ledger::default(), Instant::now());
        let window = Duration::from_secs(60);
        ledger.note(some("a@x", "b@x"), network(0), begun, "old");
        ledger.note(some("a@x", "b@x"), network(0), begun + Duration::from_secs(30), "new");
        assert!(ledger.expire(window, begun + Duration::from_secs(59)).is_empty());
        assert_eq!(things(&ledger, &some("a@x", "b@x")), ["new", "old"], "the newest first");
        assert_eq!(ledger.expire(window, begun + Duration::from_secs(60)), ["old"]);
        assert_eq!(things(&ledger, &some("a@x", "b@x")), ["new"]);
        assert_eq!(ledger.expire(window, begun + Duration::from_secs(90)), ["new"]);
        assert!(ledger.by_pair.is_empty() && ledger.by_network.is_empty() && ledger.pairs == 0);
    }

    #[test]
    fn who_floods_it_pushes_out_their_own() {
        let mut ledger = Ledger { most: 100, ..Ledger::default() };
        let now = Instant::now();
        ledger.note(some("a@x", "b@x"), network(0), now, "honest");
        for n in 0..1000 {
            ledger.note(some(&format!("{n}@y"), "b@x"), network(1), now, "flood");
        }
        assert_eq!((ledger.len(), ledger.pushed_out(), ledger.pushed_out()), (100, 901, 0));
        assert_eq!(things(&ledger, &some("a@x", "b@x")), ["honest"]);
        assert_eq!(things(&ledger, &some("999@y", "b@x")), ["flood"], "the newest of the flood");
        assert!(things(&ledger, &some("1@y", "b@x")).is_empty());
        assert!(ledger.note(vec![some("a@x", "b@x")[0].clone(); 101], network(2), now, "too much").is_none());
    }

    #[test]
    fn who_takes_a_senders_name_does_not_hide_what_others_noted() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        ledger.note(some("a@x", "b@x"), network(0), now, "honest");
        for _ in 0..1000 {
            ledger.note(some("a@x", "b@x"), network(1), now, "forged");
        }
        let found = things(&ledger, &some("a@x", "b@x"));
        assert_eq!((found.len(), found[1]), (MAX_FOUND, "honest"), "the newest of each network first");
    }
}
