//! The id of a message: 20 characters, sortable by time, safe in a path, a reply and a command line.
//!
//! Nine characters of milliseconds since 1970, eleven of chance (55 bits: nobody guesses one), in
//! Crockford's alphabet without `i l o u`, lower case. Upper case and the letters that are easily
//! mistaken are understood when a person types one.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::str::FromStr;

use jiff::Timestamp;
use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Serialize};

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Characters of an id.
const LENGTH: usize = 20;
/// Bits of chance; the 45 above them are the time, enough until the year 3084.
const RANDOM_BITS: u32 = 55;

/// The id of a message, in the quarantine, in replies and in logs. Only valid ones exist.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuarantineId([u8; LENGTH]);

impl QuarantineId {
    /// A new id for a message that arrived at `now`.
    pub fn new(now: Timestamp) -> Self {
        let milliseconds = u128::try_from(now.as_millisecond()).unwrap_or(0) & ((1 << 45) - 1);
        let chance = u128::from(random()) & ((1 << RANDOM_BITS) - 1);
        let mut rest = (milliseconds << RANDOM_BITS) | chance;
        let mut text = [b'0'; LENGTH];
        for character in text.iter_mut().rev() {
            *character = symbol(rest & 31);
            rest >>= 5;
        }
        Self(text)
    }

    /// Reads an id that somebody typed or a file is named after.
    ///
    /// # Errors
    /// [`MalformedId`] if it is none.
    pub fn parse(text: &str) -> Result<Self, MalformedId> {
        let bytes: [u8; LENGTH] = text.as_bytes().try_into().map_err(|_| MalformedId)?;
        let mut id = [0; LENGTH];
        for (to, from) in id.iter_mut().zip(bytes) {
            let plain = match from.to_ascii_lowercase() {
                b'o' => b'0',
                b'i' | b'l' => b'1',
                other => other,
            };
            *to = ALPHABET.contains(&plain).then_some(plain).ok_or(MalformedId)?;
        }
        Ok(Self(id))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        // Only characters of the alphabet get in.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// When it was made, to the millisecond.
    pub fn time(&self) -> Timestamp {
        let value = self.0.iter().fold(0u128, |value, character| {
            let digit = ALPHABET.iter().position(|symbol| symbol == character).unwrap_or(0);
            (value << 5) | digit as u128
        });
        let milliseconds = i64::try_from(value >> RANDOM_BITS).unwrap_or(0);
        Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// The character of five bits.
fn symbol(bits: u128) -> u8 {
    usize::try_from(bits).ok().and_then(|at| ALPHABET.get(at)).copied().unwrap_or(b'0')
}

/// 64 bits from the kernel; where it has none to give (no such system is known), from the seed of
/// the standard library's hash maps.
fn random() -> u64 {
    let mut bytes = [0; 8];
    match getrandom(&mut bytes, GetRandomFlags::empty()) {
        Ok(8) => u64::from_ne_bytes(bytes),
        Ok(_) | Err(_) => RandomState::new().hash_one(Timestamp::now().as_nanosecond()),
    }
}

impl fmt::Display for QuarantineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for QuarantineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for QuarantineId {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, MalformedId> {
        Self::parse(text)
    }
}

impl Serialize for QuarantineId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for QuarantineId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A text that is no id. It is not repeated here: it may come from anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedId;

impl fmt::Display for MalformedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an id: one has 20 digits and letters, as `sekisho quarantine list` shows them")
    }
}

impl std::error::Error for MalformedId {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_tell_it() {
        let at = |milliseconds| QuarantineId::new(Timestamp::from_millisecond(milliseconds).unwrap());
        let (early, late) = (at(1_790_000_000_000), at(1_790_000_000_001));
        assert!(early < late);
        assert_eq!(late.time().as_millisecond(), 1_790_000_000_001);
        assert_eq!(at(0).time(), Timestamp::UNIX_EPOCH);
        assert_eq!(at(-5).time(), Timestamp::UNIX_EPOCH);
    }

    #[test]
    fn no_two_ids_are_equal() {
        let now = Timestamp::now();
        let ids: std::collections::HashSet<_> = (0..10_000).map(|_| QuarantineId::new(now)).collect();
        assert_eq!(ids.len(), 10_000);
    }

    #[test]
    fn an_id_is_understood_as_people_type_it() {
        let id = QuarantineId::parse("1m0jyt5k7w0000000000").unwrap();
        assert_eq!(QuarantineId::parse("IMOJYT5K7WOOOOOOOOOO"), Ok(id));
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"1m0jyt5k7w0000000000\"");
    }

    #[test]
    fn what_is_no_id_does_not_get_in() {
        let cases =
            ["", "1", "1m0jyt5k7w000000000", "1m0jyt5k7w00000000000", "1m0jyt5k7w00000000/.", "1m0jyt5k7wu000000000"];
        for text in cases.into_iter().chain(["../../../../etc/pass", "１m0jyt5k7w0000000", "-rf00000000000000000"]) {
            assert_eq!(QuarantineId::parse(text), Err(MalformedId), "{text}");
        }
    }
}
