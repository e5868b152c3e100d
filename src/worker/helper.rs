//! A strange program behind a wall of its own: this same program, called with [`ARGUMENT`], bounds itself and becomes
//! the other one (execve(2)), which inherits what stands.
//!
//! Such a helper reads one stream and writes one. It may read programs, libraries and their data (`/usr` and the like)
//! and nothing else, write no file, reach no network, signal nobody; its memory and processor time are bounded, and it
//! takes the processor time that others leave. Left out: the filter of a worker ([`super::wall`]), which allows nobody
//! to start anything.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, Scope};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

use crate::worker::pace;

/// What this program is called with to become a helper; then follow the helper's program and its arguments.
pub const ARGUMENT: &str = "helper";

/// Octets of address space. 1 GiB: tesseract with two languages and a picture of 1600 by 1600 pixels has 400 MiB.
const MEMORY: u64 = 1 << 30;
/// Seconds of processor time: twice what anybody waits.
const SECONDS: u64 = 20;
/// Descriptors at a time: the three streams, libraries and data.
const DESCRIPTORS: u64 = 64;
/// Below these stand programs, libraries and their data.
const READABLE: [&str; 6] = ["/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache", "/dev/null"];
/// Where tesseract looks for its data if it is told (tesseract(1)).
pub const DATA_FOLDER: &str = "TESSDATA_PREFIX";

/// Becomes the program that the arguments name; comes back only if that fails.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments.into_iter();
    let error = match arguments.next() {
        Some(program) => become_program(&PathBuf::from(program), arguments),
        None => io::Error::new(io::ErrorKind::InvalidInput, "a helper has no program"),
    };
    // Whoever started this reads it, and logs it.
    let _ = writeln!(io::stderr(), "{error}");
    ExitCode::FAILURE
}

fn become_program(program: &Path, arguments: impl Iterator<Item = OsString>) -> io::Error {
    match raise(program) {
        Ok(()) => Command::new(program).args(arguments).current_dir("/").exec(),
        Err(error) => error,
    }
}

fn raise(program: &Path) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    pace::slow_down(rustix::process::getpid())?;
    for (resource, bound) in [
        (Resource::As, MEMORY),
        (Resource::Cpu, SECONDS),
        (Resource::Nofile, DESCRIPTORS),
        // Pipes are no files.
        (Resource::Fsize, 0),
        (Resource::Core, 0),
        (Resource::Memlock, 0),
        // Does not bind root.
        (Resource::Nproc, 0),
    ] {
        let bound = Some(getrlimit(resource).maximum.unwrap_or(u64::MAX).min(bound));
        setrlimit(resource, Rlimit { current: bound, maximum: bound })?;
    }
    rustix::thread::set_no_new_privs(true)?;
    // As for workers, a kernel without Landlock is no reason to stop: the user of the service owns little.
    let _ = restrict(program);
    forbid().map_err(io::Error::other)
}

/// Only what stands below [`READABLE`], beside the program and in its data may be read.
fn restrict(program: &Path) -> Result<(), RulesetError> {
    let folder = program.canonicalize().ok().and_then(|path| Some(path.parent()?.to_owned()));
    let data = std::env::var_os(DATA_FOLDER).map(PathBuf::from);
    let paths: Vec<PathBuf> = READABLE.iter().map(PathBuf::from).chain(folder).chain(data).collect();
    let newest = ABI::V10;
    let rules = landlock::path_beneath_rules(paths, AccessFs::from_read(newest));
    Ruleset::default()
        .handle_access(AccessFs::from_all(newest))?
        .handle_access(AccessNet::from_all(newest))?
        .scope(Scope::from_all(newest))?
        .create()?
        .add_rules(rules)?
        .restrict_self()?;
    Ok(())
}

/// Refuses what would reach other processes and the network.
fn forbid() -> Result<(), seccompiler::Error> {
    let calls = [
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_kill,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_pidfd_open,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_mount,
        libc::SYS_bpf,
        libc::SYS_keyctl,
        libc::SYS_io_uring_setup,
        libc::SYS_userfaultfd,
        libc::SYS_perf_event_open,
    ];
    let rules: BTreeMap<_, _> = calls.into_iter().map(|call| (call, Vec::new())).collect();
    let machine = TargetArch::try_from(std::env::consts::ARCH)?;
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter: BpfProgram = SeccompFilter::new(rules, SeccompAction::Allow, refused, machine)?.try_into()?;
    seccompiler::apply_filter(&filter)
}
