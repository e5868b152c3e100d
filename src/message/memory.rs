//! The memory that mail content may take, of all messages in flight together.
//!
//! What a session reads and parses is bounded by itself; what messages keep while they arrive and wait is not, with many
//! of them. So each buffer is charged here, by its capacity, and the charge goes when the last reader of the
//! octets has gone. Nobody is refused for it: who gets no memory goes to a file.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// A budget of octets, shared by all messages.
#[derive(Debug)]
pub struct Memory {
    limit: usize,
    used: AtomicUsize,
}

impl Memory {
    /// Nothing is used yet; `limit` in octets.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0) })
    }

    /// Octets that are charged now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Octets that may be.
    pub fn limit(&self) -> usize {
        self.limit
    }
}

/// A buffer that is charged by its capacity.
#[derive(Debug)]
pub(super) struct Buffer {
    octets: Vec<u8>,
    memory: Arc<Memory>,
    charged: usize,
}

impl Buffer {
    pub fn new(memory: Arc<Memory>) -> Self {
        Self { octets: Vec::new(), memory, charged: 0 }
    }

    pub fn len(&self) -> usize {
        self.octets.len()
    }

    /// Appends, if the buffer may then be so large at `most` and the budget has that. Else nothing changes.
    pub fn try_extend(&mut self, more: &[u8], most: usize) -> bool {
        let needed = self.octets.len().saturating_add(more.len());
        let capacity = self.octets.capacity();
        if needed > most {
            return false;
        }
        if needed > capacity {
            // As Vec grows, so that many small pieces do not cost a copy each; but never more than may be used.
            let doubled = capacity.saturating_mul(2).max(needed).min(most);
            let Some(wanted) = [doubled, needed].into_iter().find(|wanted| self.charge(*wanted)) else { return false };
            self.octets.reserve_exact(wanted.saturating_sub(self.octets.len()));
            // The allocator may have given a little more.
            let given = self.octets.capacity().saturating_sub(self.charged);
            self.memory.used.fetch_add(given, Ordering::Relaxed);
            self.charged = self.charged.saturating_add(given);
        }
        self.octets.extend_from_slice(more);
        true
    }

    /// Its octets to share: charged until the last reader has gone.
    pub fn share(self) -> Bytes {
        Bytes::from_owner(self)
    }

    /// Charges for a capacity of so much in all.
    fn charge(&mut self, capacity: usize) -> bool {
        let more = capacity.saturating_sub(self.charged);
        let sum = |used: usize| used.checked_add(more).filter(|sum| *sum <= self.memory.limit);
        let taken = self.memory.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum).is_ok();
        if taken {
            self.charged = self.charged.saturating_add(more);
        }
        taken
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.octets
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // Never less than was charged, so it cannot wrap.
        self.memory.used.fetch_sub(self.charged, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_charged_by_its_capacity_until_its_last_reader_has_gone() {
        let memory = Memory::new(1000);
        let mut buffer = Buffer::new(Arc::clone(&memory));
        for _ in 0..50 {
            assert!(buffer.try_extend(b"0123456789", 600));
            assert_eq!(memory.used(), buffer.octets.capacity());
        }
        assert!(memory.used() <= 600 && buffer.len() == 500);
        assert!(!buffer.try_extend(&[0; 101], 600), "more than it may have");
        let mut other = Buffer::new(Arc::clone(&memory));
        assert!(!other.try_extend(&[0; 600], 600), "more than there is");
        assert!(other.try_extend(&[0; 300], 600));
        assert!(!other.try_extend(&[0; 200], 600));
        assert_eq!(other.len(), 300);
        drop(other);
        let octets = buffer.share();
        let part = octets.slice(490..);
        drop(octets);
        assert!(memory.used() >= 500);
        assert_eq!(&part[..], b"0123456789");
        drop(part);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn what_cannot_be_doubled_grows_by_what_is_needed() {
        let memory = Memory::new(150);
        let mut buffer = Buffer::new(Arc::clone(&memory));
        assert!(buffer.try_extend(&[1; 100], 1000));
        assert!(buffer.try_extend(&[2; 30], 1000));
        assert_eq!((buffer.len(), memory.used()), (130, buffer.octets.capacity()));
        assert!(!buffer.try_extend(&[3; 30], 1000));
    }

    #[test]
    fn many_threads_never_exceed_the_budget_and_give_all_back() {
        let memory = Memory::new(100_000);
        std::thread::scope(|scope| {
            for seed in 0..8 {
                let memory = &memory;
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(seed);
                    let mut kept = Vec::new();
                    for _ in 0..2000 {
                        let mut buffer = Buffer::new(Arc::clone(memory));
                        while buffer.try_extend(&vec![0; random.usize(..3000)], 20_000) && random.bool() {}
                        kept.push(buffer.share());
                        kept.truncate(random.usize(..10));
                        assert!(memory.used() <= memory.limit());
                    }
                });
            }
        });
        assert_eq!(memory.used(), 0);
    }
}
