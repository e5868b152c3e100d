//! What each client's messages have cost lately: whoever costs much goes on with what others leave.
//!
//! An account holds seconds of scanning. It empties with time, so that only who costs more than a tenth of a
//! processor for long comes over `MUCH`.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::Client;

/// Seconds on an account from which on its client is costly. One second is some 250 large documents with macros, or a
/// twentieth of what one bomb takes.
const MUCH: Duration = Duration::from_secs(1);
/// The most on an account: five minutes of nothing empty it.
const MOST: Duration = Duration::from_secs(30);
/// What is taken off an account: the tenth part of the time that goes by.
const SHARE: u32 = 10;
/// Accounts that are kept. A flood from more networks than these is one that nobody tells apart by networks.
const MAX_ACCOUNTS: usize = 10_000;

/// The accounts of all clients that have cost anything lately.
#[derive(Debug, Default)]
pub struct Costs {
    accounts: HashMap<Client, Account>,
    /// Who was here last, and last before that one: with nobody else about, there is nobody to make way for.
    last: Option<(Client, Instant)>,
    other: Option<(Client, Instant)>,
}

#[derive(Clone, Copy, Debug)]
struct Account {
    owed: Duration,
    at: Instant,
}

impl Account {
    fn owed(&self, now: Instant) -> Duration {
        let off = now.saturating_duration_since(self.at).checked_div(SHARE).unwrap_or_default();
        self.owed.saturating_sub(off)
    }
}

/// How long somebody counts as being about.
const ABOUT: Duration = Duration::from_secs(60);

impl Costs {
    /// A message of `who` has come.
    pub fn comes(&mut self, who: Client, now: Instant) {
        if self.last.is_some_and(|(last, _)| last != who) {
            self.other = self.last;
        }
        self.last = Some((who, now));
    }

    /// A scan for `who` took so long.
    pub fn charge(&mut self, who: Client, took: Duration, now: Instant) {
        if self.accounts.len() >= MAX_ACCOUNTS && !self.accounts.contains_key(&who) {
            self.accounts.retain(|_, account| !account.owed(now).is_zero());
            if self.accounts.len() >= MAX_ACCOUNTS {
                return;
            }
        }
        let account = self.accounts.entry(who).or_insert(Account { owed: Duration::ZERO, at: now });
        *account = Account { owed: account.owed(now).saturating_add(took).min(MOST), at: now };
    }

    /// Whether `who` has cost so much lately that others go first. Not with nobody else about: one relay may bring
    /// all mail.
    pub fn is_costly(&self, who: Client, now: Instant) -> bool {
        let near = |seen: Option<(Client, Instant)>| {
            seen.is_some_and(|(other, at)| other != who && now.saturating_duration_since(at) < ABOUT)
        };
        let owes = self.accounts.get(&who).is_some_and(|account| account.owed(now) > MUCH);
        owes && (near(self.last) || near(self.other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(number: u8) -> Client {
        Client::of(Some([192, 0, number, 1].into()), false)
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn who_costs_more_than_a_second_is_costly_until_it_is_paid() {
        let (mut costs, now) = (Costs::default(), Instant::now());
        costs.comes(network(2), now);
        costs.comes(network(1), now);
        costs.charge(network(1), seconds(1), now);
        assert!(!costs.is_costly(network(1), now), "at the limit");
        costs.charge(network(1), seconds(1), now);
        assert!(costs.is_costly(network(1), now) && !costs.is_costly(network(2), now));
        assert!(costs.is_costly(network(1), now + seconds(9)));
        assert!(!costs.is_costly(network(1), now + seconds(10)));
    }

    #[test]
    fn an_account_is_empty_after_five_minutes_whatever_was_done() {
        let (mut costs, now) = (Costs::default(), Instant::now());
        for _ in 0..1000 {
            costs.charge(network(1), seconds(25), now);
        }
        let later = now + seconds(300);
        costs.comes(network(2), later);
        costs.comes(network(1), later);
        assert!(!costs.is_costly(network(1), later));
    }

    #[test]
    fn with_nobody_else_about_nobody_is_costly() {
        let (mut costs, now) = (Costs::default(), Instant::now());
        costs.comes(network(1), now);
        costs.charge(network(1), seconds(30), now);
        assert!(!costs.is_costly(network(1), now), "one relay brings all mail");
        costs.comes(network(2), now);
        assert!(costs.is_costly(network(1), now));
        costs.comes(network(1), now);
        assert!(costs.is_costly(network(1), now));
        costs.comes(network(1), now + seconds(61));
        assert!(!costs.is_costly(network(1), now + seconds(61)), "the other has gone");
    }

    #[test]
    fn a_flood_of_networks_takes_bounded_memory() {
        let (mut costs, now) = (Costs::default(), Instant::now());
        for number in 0..MAX_ACCOUNTS as u32 + 10 {
            let [a, b, c, _] = (number << 8).to_be_bytes();
            costs.charge(Client::of(Some([a, b, c, 1].into()), false), seconds(1), now);
        }
        assert_eq!(costs.accounts.len(), MAX_ACCOUNTS);
        costs.charge(network(1), seconds(2), now + seconds(10));
        assert_eq!(costs.accounts.len(), 1, "who has paid is forgotten");
    }
}
