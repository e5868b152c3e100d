//! At which pace a worker works: as everybody, or with the processor time that others leave.
//!
//! A patient worker has the policy `SCHED_IDLE` (sched(7)): whoever else wants its processor takes it from it at once,
//! while the lowest priority (nice 19) would let it end its slice of some milliseconds first. That cannot be taken back
//! without privileges, so that a worker that was made patient stays so.

use std::io;

use rustix::process::{Pid, setpriority_process};

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

/// Makes a process patient, by the lowest priority if the system has or allows nothing better.
///
/// # Errors
/// Neither is allowed.
pub fn slow_down(pid: Pid) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    #[expect(unsafe_code, reason = "no safe crate wraps this system call for another process")]
    // SAFETY: the call reads `parameters`, which lives until it returns, and writes nothing of ours.
    let status = unsafe { libc::sched_setscheduler(pid.as_raw_pid(), libc::SCHED_IDLE, &raw const parameters) };
    if status == 0 { Ok(()) } else { Ok(setpriority_process(Some(pid), LOWEST)?) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patient_process_has_the_idle_policy() {
        let mut child = std::process::Command::new("/bin/sleep").arg("60").spawn().unwrap();
        let policy = |pid: u32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
            // proc_pid_stat(5): the policy is the 41st field, the 39th behind the name.
            stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(38).map(str::to_owned)
        };
        assert_eq!(policy(child.id()).as_deref(), Some("0"));
        slow_down(Pid::from_child(&child)).unwrap();
        assert_eq!(policy(child.id()).as_deref(), Some("5"), "SCHED_IDLE");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
