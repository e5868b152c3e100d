//! The standard `process_*` metrics, from `/proc/self` (proc(5)). Works under systemd's `ProcSubset=pid`,
//! where the rest of `/proc` is out of sight.

use std::fs;
use std::time::SystemTime;

use prometheus::{Counter, IntGauge};

use super::Maker;

/// Clock ticks of a second in `/proc/self/stat`: USER_HZ, which is 100 on every architecture we build for.
const TICKS: f64 = 100.0;

pub(super) struct Process {
    cpu_seconds: Counter,
    resident_bytes: IntGauge,
    open_fds: IntGauge,
    max_fds: IntGauge,
    threads: IntGauge,
}

impl Process {
    pub(super) fn new(new: &Maker<'_>) -> Self {
        let started = new.gauge("process_start_time_seconds", "Unix time at which the process started.");
        started.set(super::unix(SystemTime::now()));
        Self {
            cpu_seconds: new.register(Counter::new("process_cpu_seconds_total", "User and system CPU time spent.")),
            resident_bytes: new.gauge("process_resident_memory_bytes", "Resident memory size."),
            open_fds: new.gauge("process_open_fds", "Open file descriptors."),
            max_fds: new.gauge("process_max_fds", "File descriptors that may be open."),
            threads: new.gauge("process_threads", "Threads of the process."),
        }
    }

    /// Reads the values anew; one that cannot be read keeps its last value.
    pub(super) fn refresh(&self) {
        if let Some(seconds) = read("stat").as_deref().and_then(cpu_seconds) {
            self.cpu_seconds.inc_by((seconds - self.cpu_seconds.get()).max(0.0));
        }
        if let Some(status) = read("status") {
            set(&self.resident_bytes, number_after(&status, "VmRSS:").map(|kib| kib.saturating_mul(1024)));
            set(&self.threads, number_after(&status, "Threads:"));
        }
        set(&self.max_fds, read("limits").as_deref().and_then(|limits| number_after(limits, "Max open files")));
        // The open folder itself is one of the entries.
        set(&self.open_fds, fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count().saturating_sub(1) as i64));
    }
}

fn read(name: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/self/{name}")).ok()
}

fn set(gauge: &IntGauge, value: Option<i64>) {
    if let Some(value) = value {
        gauge.set(value);
    }
}

/// utime and stime, the 14th and 15th field. The second, the program's name, may hold spaces and
/// parentheses: counting begins behind its last one.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11).map(str::parse::<f64>);
    Some((times.next()?.ok()? + times.next()?.ok()?) / TICKS)
}

fn number_after(text: &str, name: &str) -> Option<i64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strange_program_name_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 100 0 0";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(cpu_seconds("7 (a) S 1"), None);
        assert_eq!(cpu_seconds(""), None);
    }

    #[test]
    fn the_values_are_those_of_this_process() {
        let registry = prometheus::Registry::new();
        let process = Process::new(&Maker(&registry));
        // One tick of CPU time, however little of it a busy machine gives us.
        let spin = std::time::Instant::now();
        while process.cpu_seconds.get() == 0.0 && spin.elapsed().as_secs() < 60 {
            process.refresh();
        }
        process.refresh();
        assert!(process.cpu_seconds.get() > 0.0);
        assert!(process.resident_bytes.get() > 1 << 20);
        assert!(process.open_fds.get() >= 3 && process.open_fds.get() < process.max_fds.get());
        assert!(process.threads.get() >= 1);
    }
}
