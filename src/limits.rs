//! The limits of scanning, under ClamAV's names, and the budget of one scan.

use serde::{Deserialize, Serialize};

const MIB: u64 = 1024 * 1024;

/// Upper bounds for what one message may cost. Reaching one is a finding, never silence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Octets of a whole message. 50 MiB: Postfix's own default is 10 MB, large providers take 25-50 MB.
    pub max_message_size: u64,
    /// Parts of a message at all depths. 2,000: a mail with a thousand attachments is no letter,
    /// a large workbook package has some hundred members.
    pub max_files: u64,
    /// Nesting of parts. 16: Outlook never nests deeper than 3; droppers were seen with 7.
    pub max_recursion: u32,
    /// Octets of one unpacked part; the head of a larger one is still examined. 100 MiB as ClamAV's.
    pub max_file_size: u64,
    /// Octets of all unpacked parts together. 400 MiB as ClamAV's. Half of them may wait in memory at a time.
    pub max_scan_size: u64,
    /// Seconds of one scan. 25 s leaves most of the reply deadline to the next hop.
    pub max_scan_time: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message_size: 50 * MIB,
            max_files: 2000,
            max_recursion: 16,
            max_file_size: 100 * MIB,
            max_scan_size: 400 * MIB,
            max_scan_time: 25,
        }
    }
}

/// Rounds of hashing that the tries of all passwords in a scan may take together. Office has a password cost
/// 100,000 (some 40 ms), so these are 100 tries, and some four seconds of `max_scan_time`. No document that Office
/// opens has more of them for one password ([MS-OFFCRYPTO] 2.3.4.10, spinCount).
pub const MAX_KEY_ROUNDS: u64 = 10_000_000;

/// Which limit stopped something: the `evidence` of the finding and a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// `max_files`
    Files,
    /// `max_recursion`
    Recursion,
    /// `max_file_size`
    FileSize,
    /// `max_scan_size`
    ScanSize,
}

impl Limit {
    /// Every limit, for metrics.
    pub const ALL: [Limit; 4] = [Limit::Files, Limit::Recursion, Limit::FileSize, Limit::ScanSize];

    /// The name of the configuration key.
    pub fn name(self) -> &'static str {
        match self {
            Limit::Files => "max_files",
            Limit::Recursion => "max_recursion",
            Limit::FileSize => "max_file_size",
            Limit::ScanSize => "max_scan_size",
        }
    }
}

/// What one scan has used so far. A part exists only if it was charged here.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    files: u64,
    bytes: u64,
    held: u64,
    rounds: u64,
}

impl Budget {
    /// A fresh budget under `limits`.
    pub fn new(limits: &Limits) -> Self {
        Self { limits: limits.clone(), files: 0, bytes: 0, held: 0, rounds: 0 }
    }

    /// The limits this budget enforces.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Charges one part of `size` octets at `depth`.
    ///
    /// # Errors
    /// The limit that would be exceeded; nothing is charged then.
    pub fn charge(&mut self, depth: u32, size: u64) -> Result<(), Limit> {
        if self.files >= self.limits.max_files {
            return Err(Limit::Files);
        }
        if depth > self.limits.max_recursion {
            return Err(Limit::Recursion);
        }
        if size > self.limits.max_file_size {
            return Err(Limit::FileSize);
        }
        if size > self.octets_left() {
            return Err(Limit::ScanSize);
        }
        self.files = self.files.saturating_add(1);
        self.bytes = self.bytes.saturating_add(size);
        self.held = self.held.saturating_add(size);
        Ok(())
    }

    /// A part of `size` octets was looked at and is let go: others may be unpacked in its place.
    pub fn release(&mut self, size: u64) {
        self.held = self.held.saturating_sub(size);
    }

    /// Charges octets that were unpacked and become no part (the XML of a package). What is over
    /// the limit leaves no room.
    pub fn spend(&mut self, size: u64) {
        self.bytes = self.bytes.saturating_add(size).min(self.limits.max_scan_size);
    }

    /// Charges the rounds of hashing that a password costs; `false` if they are more than are left, which charges
    /// nothing.
    pub fn derive(&mut self, rounds: u64) -> bool {
        let rounds = self.rounds.saturating_add(rounds);
        if rounds > MAX_KEY_ROUNDS {
            return false;
        }
        self.rounds = rounds;
        true
    }

    /// How many parts there may be yet, and how many octets they may have together before one is looked at.
    pub fn left(&self) -> (u64, u64) {
        (self.limits.max_files.saturating_sub(self.files), self.octets_left())
    }

    /// Of `max_scan_size`, half may be in memory at a time, and one largest part in any case.
    fn octets_left(&self) -> u64 {
        let at_a_time = (self.limits.max_scan_size / 2).max(self.limits.max_file_size);
        let unused = self.limits.max_scan_size.saturating_sub(self.bytes);
        unused.min(at_a_time.saturating_sub(self.held))
    }

    /// How many octets the next part may have at most. Decompressors read `take(room + 1)`.
    pub fn room(&self) -> u64 {
        self.limits.max_file_size.min(self.octets_left())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget() -> Budget {
        Budget::new(&Limits {
            max_files: 2,
            max_recursion: 3,
            max_file_size: 10,
            max_scan_size: 15,
            ..Limits::default()
        })
    }

    #[test]
    fn each_limit_holds_at_below_and_above() {
        assert_eq!(budget().charge(3, 10), Ok(()));
        assert_eq!(budget().charge(4, 10), Err(Limit::Recursion));
        assert_eq!(budget().charge(3, 11), Err(Limit::FileSize));
        let mut used = budget();
        assert_eq!(used.charge(0, 10), Ok(()));
        used.release(10);
        assert_eq!(used.room(), 5);
        assert_eq!(used.charge(0, 6), Err(Limit::ScanSize));
        assert_eq!(used.charge(0, 5), Ok(()));
        assert_eq!(used.charge(0, 0), Err(Limit::Files));
    }

    #[test]
    fn what_waits_takes_the_room_of_others_until_it_is_let_go() {
        let limits = Limits { max_files: 9, max_file_size: 10, max_scan_size: 40, ..Limits::default() };
        let mut budget = Budget::new(&limits);
        assert_eq!([budget.charge(0, 10), budget.charge(0, 9)], [Ok(()); 2]);
        assert_eq!((budget.room(), budget.left()), (1, (7, 1)));
        assert_eq!([budget.charge(0, 2), budget.charge(0, 1)], [Err(Limit::ScanSize), Ok(())]);
        budget.release(9);
        assert_eq!((budget.room(), budget.charge(0, 9), budget.room()), (9, Ok(()), 0));
        // What is let go is charged all the same.
        budget.release(29);
        assert_eq!(
            [budget.charge(0, 10), budget.charge(0, 2), budget.charge(0, 1)],
            [Ok(()), Err(Limit::ScanSize), Ok(())]
        );
    }

    #[test]
    fn what_is_left_for_smaller_keys_stays_theirs() {
        let mut budget = budget();
        assert!(budget.derive(MAX_KEY_ROUNDS - 1) && !budget.derive(2) && budget.derive(1) && !budget.derive(1));
        assert!(budget.derive(0) && !budget.derive(u64::MAX));
    }
}
