//! At which pace a worker works: as everybody, or with the processor time that others leave.
//!
//! A patient worker has the lowest priority, and stays away from one processor. The priority alone would not do: a
//! kernel takes a processor from whoever has it at its next tick, milliseconds later, and each step of a message's way
//! may meet one who has it. Where one processor is free of those who never rest, whoever wakes up goes there. (The policy
//! `SCHED_IDLE` would be worse: processors where only such work runs count as free.) A priority cannot be taken
//! back without privileges, so that a worker that was made patient stays so.

use std::io;

use rustix::process::{Pid, setpriority_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// How urgent a scan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As everybody.
    Prompt,
    /// With what others leave.
    Patient,
}

/// The lowest priority (nice).
const LOWEST: i32 = 19;

/// Makes a process of one thread patient.
///
/// # Errors
/// The system does not allow it.
pub fn slow_down(pid: Pid) -> io::Result<()> {
    setpriority_process(Some(pid), LOWEST)?;
    // Those that we may use: whoever is slowed down twice loses no second one.
    let mut processors = sched_getaffinity(None)?;
    let first = (0..CpuSet::MAX_CPU).find(|&processor| processors.is_set(processor));
    if let Some(first) = first.filter(|_| processors.count() > 1) {
        processors.unset(first);
        sched_setaffinity(Some(pid), &processors)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patient_process_leaves_a_processor_to_others() {
        let mut child = std::process::Command::new("/bin/sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_child(&child);
        let before = sched_getaffinity(Some(pid)).unwrap().count();
        slow_down(pid).unwrap();
        assert_eq!(rustix::process::getpriority_process(Some(pid)).unwrap(), LOWEST);
        assert_eq!(sched_getaffinity(Some(pid)).unwrap().count(), (before - 1).max(1));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
