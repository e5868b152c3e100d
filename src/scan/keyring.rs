//! The passwords of one scan: those from outside, those that the mail tells, and those that are guessed.

/// Passwords tried at most, whatever the mail's text offers: each costs a key derivation.
pub(super) const MAX_TOLD: usize = 64;
/// Guesses at most. Only what costs little to try is opened with them.
pub(super) const MAX_GUESSES: usize = 200;

/// What is tried on everything encrypted.
#[derive(Debug, Default)]
pub(super) struct Keyring {
    told: Vec<String>,
    guesses: Vec<String>,
    is_told: bool,
    /// Some had no place on the ring.
    is_full: bool,
    /// Some were left out where they could have been tried.
    is_cut: bool,
}

impl Keyring {
    /// A ring with what is known from outside.
    pub fn new(known: &[String]) -> Self {
        Self { told: known.to_vec(), ..Self::default() }
    }

    /// From outside, then told, the likeliest first.
    pub fn told(&self) -> &[String] {
        &self.told
    }

    /// What may be one, and is not among the told.
    pub fn guesses(&self) -> &[String] {
        &self.guesses
    }

    /// Whether the mail tells one, even if it was not recognised.
    pub fn is_told(&self) -> bool {
        self.is_told
    }

    /// Adds what the mail tells.
    pub fn tell(&mut self, candidates: impl IntoIterator<Item = String>) {
        self.is_told = true;
        for candidate in candidates {
            self.is_full |= !add(&mut self.told, candidate, MAX_TOLD);
        }
    }

    /// Adds what may be one.
    pub fn guess(&mut self, candidates: impl IntoIterator<Item = String>) {
        for candidate in candidates {
            self.is_full |= !add(&mut self.guesses, candidate, MAX_GUESSES);
        }
    }

    /// Notes that the text offers more than are kept.
    pub fn overflow(&mut self) {
        self.is_full = true;
    }

    /// Notes that not all were tried on something.
    pub fn cut(&mut self) {
        self.is_cut = true;
    }

    /// Whether some were not tried on what was looked at last.
    pub fn take_untried(&mut self) -> bool {
        std::mem::take(&mut self.is_cut) || self.is_full
    }
}

/// `false` if there is no place for another one.
fn add(list: &mut Vec<String>, candidate: String, most: usize) -> bool {
    if list.contains(&candidate) {
        return true;
    }
    let has_place = list.len() < most;
    if has_place {
        list.push(candidate);
    }
    has_place
}
