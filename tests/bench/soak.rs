//! Much mixed mail with an account of every message: nothing is lost, and nothing grows.

use std::process::{Command, ExitCode};

use crate::common::soak::{self, Step};

/// Messages unless told otherwise. The full run has 200,000.
const COUNT: usize = 20_000;

pub fn run(count: &str) -> ExitCode {
    let count = if count.is_empty() { COUNT } else { count.parse().expect("a number of messages") };
    println!("\nsoak: {count} messages, 7 sessions of the proxy and 3 of the milter (means over each tenth)");
    println!("{:>9} {:>10} {:>12} {:>8} {:>11}", "messages", "daemon MB", "descriptors", "workers", "workers MB");
    let told = |step: &Step| {
        println!(
            "{:>9} {:>10.1} {:>12.0} {:>8.1} {:>11.1}",
            step.done, step.daemon_mb, step.descriptors, step.workers, step.workers_mb
        );
    };
    let outcome = soak::run(Command::new(std::env::current_exe().expect("this program")), count, told);
    println!(
        "{} messages in {:.0} s ({:.0} per second): {} acknowledged, {} delivered, {} held, {} deferred, {} refused, \
         {} given up by the client; {} lost, {} twice",
        outcome.messages,
        outcome.seconds,
        outcome.messages as f64 / outcome.seconds,
        outcome.acknowledged,
        outcome.delivered,
        outcome.held,
        outcome.deferred,
        outcome.refused,
        outcome.given_up,
        outcome.lost.len(),
        outcome.twice
    );
    for (what, list) in [("held up", &outcome.held_up), ("errors", &outcome.errors)] {
        println!(
            "{what}: {}{}",
            list.len(),
            list.iter().take(10).map(|line| format!("\n  {line}")).collect::<String>()
        );
    }
    let growth = outcome.growth();
    if let Some(growth) = &growth {
        println!("GROWTH: {growth}");
    }
    if !outcome.lost.is_empty() {
        println!("LOST: {:?}", outcome.lost.iter().take(100).collect::<Vec<_>>());
    }
    if growth.is_none() && outcome.lost.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
