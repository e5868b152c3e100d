//! A small part of what `cargo bench --bench throughput -- soak` does.

use std::process::Command;

use crate::common::soak;
use crate::wall::ordeal;

#[test]
fn of_much_mixed_mail_nothing_that_was_acknowledged_is_lost() {
    let outcome = soak::run(Command::new(ordeal()), 1500, |_| {});
    assert!(outcome.lost.is_empty() && outcome.errors.is_empty(), "{outcome:?}");
    assert!(outcome.held_up.is_empty() && outcome.twice == 0, "{outcome:?}");
    assert!(outcome.held > 100 && outcome.delivered > 1000 && outcome.deferred >= 20, "{outcome:?}");
    assert_eq!(outcome.growth(), None, "{outcome:?}");
}
