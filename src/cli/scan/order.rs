//! Work on several threads whose results come in the order of what was given.

use std::collections::BTreeMap;
use std::sync::mpsc::sync_channel;
use std::sync::{Condvar, Mutex, PoisonError};

/// How far a thread may be ahead of the result that comes next, for each thread: what is done waits in memory.
const AHEAD: usize = 4;

/// What the threads share.
struct State<I> {
    /// What is still to be done.
    items: I,
    /// The number of the next item.
    next: usize,
    /// Results that were handed over.
    told: usize,
    /// Nothing is to be begun any more.
    over: bool,
}

/// Ends the work when a thread dies: what it owes would be waited for.
struct Last<'a, I>(&'a Mutex<State<I>>, &'a Condvar);

impl<I> Drop for Last<'_, I> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).over = true;
            self.1.notify_all();
        }
    }
}

/// Does `work` on every item, on `jobs` threads with a `Tool` each, and hands the results to `tell` in order.
///
/// # Errors
/// The first of `tell`, after which nothing is begun any more.
///
/// # Panics
/// If `work` does.
pub(super) fn in_order<T: Send, R: Send, Tool: Default, E>(
    items: impl Iterator<Item = T> + Send,
    jobs: usize,
    work: &(impl Fn(T, &Tool) -> R + Sync),
    mut tell: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    let window = jobs.saturating_mul(AHEAD);
    let state = Mutex::new(State { items, next: 0, told: 0, over: false });
    let progress = Condvar::new();
    // Nothing of what is locked is left half done by a panic.
    let lock = || state.lock().unwrap_or_else(PoisonError::into_inner);
    let take = || {
        let ahead = |state: &mut State<_>| !state.over && state.next.saturating_sub(state.told) >= window;
        let mut state = progress.wait_while(lock(), ahead).unwrap_or_else(PoisonError::into_inner);
        if state.over {
            return None;
        }
        let number = state.next;
        let item = state.items.next()?;
        state.next = number.saturating_add(1);
        Some((number, item))
    };
    std::thread::scope(|scope| {
        let (done, results) = sync_channel(window);
        for _ in 0..jobs {
            let (done, take, last) = (done.clone(), &take, Last(&state, &progress));
            scope.spawn(move || {
                let _last = last;
                let tool = Tool::default();
                while let Some((number, item)) = take() {
                    if done.send((number, work(item, &tool))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(done);
        let outcome = (|| {
            let (mut waiting, mut told) = (BTreeMap::new(), 0_usize);
            for (number, result) in &results {
                waiting.insert(number, result);
                while let Some(result) = waiting.remove(&told) {
                    tell(result)?;
                    told = told.saturating_add(1);
                }
                lock().told = told;
                progress.notify_all();
            }
            Ok(())
        })();
        // Whoever waits for his turn, or to be heard, need not any more.
        drop(results);
        lock().over = true;
        progress.notify_all();
        outcome
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    fn doubled(item: u64, _tool: &()) -> u64 {
        // The first of each dozen takes longest.
        if item.is_multiple_of(12) {
            std::thread::sleep(Duration::from_millis(5));
        }
        item * 2
    }

    #[test]
    fn results_come_in_the_order_of_the_items() {
        for jobs in [1, 3, 64] {
            let mut told = Vec::new();
            let outcome = in_order(0..100, jobs, &doubled, |result| {
                told.push(result);
                Ok::<(), ()>(())
            });
            assert_eq!(outcome, Ok(()));
            assert_eq!(told, (0..100).map(|item| item * 2).collect::<Vec<u64>>(), "{jobs}");
        }
    }

    #[test]
    fn a_thread_that_dies_ends_it_all() {
        let work = |item: u64, (): &()| if item == 30 { panic!("as told") } else { item };
        let run = || in_order(0..u64::MAX, 2, &work, |_| Ok::<(), ()>(()));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err());
    }

    #[test]
    fn nobody_runs_far_ahead_and_an_error_ends_it() {
        let begun = AtomicUsize::new(0);
        let work = |item: u64, (): &()| {
            begun.fetch_add(1, Ordering::SeqCst);
            item
        };
        let outcome = in_order(0..1_000_000, 2, &work, |result| {
            assert!(begun.load(Ordering::SeqCst) <= usize::try_from(result).unwrap() + 2 * AHEAD + 2);
            if result == 50 { Err("enough") } else { Ok(()) }
        });
        assert_eq!(outcome, Err("enough"));
        assert!(begun.load(Ordering::SeqCst) < 100);
    }
}
