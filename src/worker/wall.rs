//! The wall around a worker: what a process that looks at hostile bytes gives up before it reads the
//! first one. `no_new_privs` and capabilities, resource limits, Landlock (files, network, signals: see
//! landlock(7)) and seccomp (system calls: see seccomp(2)).
//!
//! Each layer holds without the others, so that a hole in one is not a way out. What stays allowed is
//! what one thread needs that computes, talks on descriptors it has, and asks for memory. It cannot
//! open anything by name, start anything, make memory executable, or touch another process. Left out:
//! namespaces, which need rights that the service does not have, and speculation (the kernel's default).

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::RawFd;

use landlock::{
    ABI, Access, AccessFs, AccessNet, LandlockStatus, Ruleset, RulesetAttr, RulesetError, RulesetStatus, Scope,
};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use serde::{Deserialize, Serialize};

/// Descriptors that a worker may have at a time: three, its memory for progress, and the message in hand.
const MAX_DESCRIPTORS: u64 = 16;

/// Octets that any file of a worker may have. It writes one only, 4 KiB of memory that say what it does.
const MAX_FILE_SIZE: u64 = 64 * 1024;

/// The Landlock version that has all that the wall counts on: files (1, 2), truncation (3), TCP (4),
/// devices (5), signals and abstract sockets (6, Linux 6.12).
const FULL_ABI: ABI = ABI::V6;

/// The newest Landlock version that the wall uses where the kernel has it.
const NEWEST_ABI: ABI = ABI::V10;

/// What a worker may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WallLimits {
    /// Address space in octets, program and stack included. An allocation beyond fails, which ends the
    /// process with SIGABRT.
    pub memory: u64,
    /// Processor time in seconds for the whole life of the process, after which it gets SIGXCPU, and
    /// SIGKILL a second later.
    pub cpu_seconds: u64,
    /// Descriptors above 2 that stay open; every other one is closed.
    pub keep: Vec<RawFd>,
}

/// What stands around this process. Seccomp, resource limits and `no_new_privs` always do, or there
/// would have been an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wall {
    /// The layer that depends on the kernel.
    pub landlock: Landlock,
    /// Whether the process has no capability any more (see capabilities(7)).
    pub without_capabilities: bool,
}

/// How much of Landlock the kernel gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Landlock {
    /// All that the wall counts on.
    Full {
        /// The version of Landlock that is used.
        abi: u32,
    },
    /// Files at least. What is missing is refused by seccomp alone.
    Partial {
        /// The version of Landlock that is used.
        abi: u32,
    },
    /// Nothing: seccomp stands alone.
    Absent {
        /// Why, and what to do about it.
        reason: String,
    },
}

impl Wall {
    /// What the admin should know, once: which layer is missing, why, and what to do. `None` if nothing is.
    pub fn warning(&self) -> Option<String> {
        let mut missing = Vec::new();
        if let Landlock::Absent { reason } = &self.landlock {
            missing.push(format!("the workers are confined by seccomp, but not by Landlock: {reason}"));
        }
        if !self.without_capabilities {
            missing.push(
                "the workers keep the capabilities of the service, since the call capset is refused: \
                 name it in SystemCallFilter= of the unit"
                    .to_owned(),
            );
        }
        (!missing.is_empty()).then(|| missing.join("; "))
    }
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seccomp, resource limits, no new privileges, ")?;
        match &self.landlock {
            Landlock::Full { abi } => write!(f, "Landlock version {abi}"),
            Landlock::Partial { abi } => write!(f, "Landlock version {abi} (in part)"),
            Landlock::Absent { .. } => write!(f, "no Landlock"),
        }
    }
}

/// Why the wall does not stand. A worker that gets this must not read anything. Tells the admin what to do.
#[derive(Debug)]
pub enum WallError {
    /// /proc/self could not be read.
    Proc(io::Error),
    /// More than one thread: the wall would stand around this one only.
    Threads(usize),
    /// A resource limit could not be set.
    Limit(&'static str, rustix::io::Errno),
    /// The process could not give up privileges.
    Privileges(rustix::io::Errno),
    /// The filter does not fit this machine: only x86_64 and aarch64 are known.
    Machine(seccompiler::BackendError),
    /// The kernel, or what confines the service, refuses the filter.
    Seccomp(seccompiler::Error),
}

impl fmt::Display for WallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proc(error) => {
                write!(
                    f,
                    "/proc/self cannot be read ({error}): workers need /proc; mount it (mount -t proc proc /proc)"
                )
            }
            Self::Threads(number) => {
                write!(f, "a worker has {number} threads where it must have one; please report this")
            }
            Self::Limit(name, error) => {
                write!(
                    f,
                    "the limit {name} of a worker cannot be set ({error}): allow the call prlimit64 in SystemCallFilter= of the unit"
                )
            }
            Self::Privileges(error) => {
                write!(
                    f,
                    "a worker cannot give up its privileges ({error}): allow the call prctl in SystemCallFilter= of the unit"
                )
            }
            Self::Machine(error) => write!(
                f,
                "workers cannot be confined on this kind of machine ({error}): Sekisho runs on x86_64 and aarch64"
            ),
            Self::Seccomp(error) => write!(
                f,
                "workers cannot be confined by seccomp ({error}): the kernel needs CONFIG_SECCOMP_FILTER, \
                 and the unit or container around Sekisho must allow the calls seccomp and prctl"
            ),
        }
    }
}

impl std::error::Error for WallError {}

/// Gives up, for this process and for good, all that scanning does not need.
///
/// To be called first, while there is one thread and nothing else holds a descriptor above 2: except
/// those in `limits.keep`, they are closed.
///
/// # Errors
///
/// If a layer that every supported kernel has cannot stand. Without Landlock there is no error but
/// [`Wall::warning`], since Linux before 5.13 has none and seccomp refuses the same things.
pub fn raise(limits: &WallLimits) -> Result<Wall, WallError> {
    // Landlock and seccomp bind the thread that calls them, and those that it starts later.
    match std::fs::read_dir("/proc/self/task").map_err(WallError::Proc)?.count() {
        1 => {}
        more => return Err(WallError::Threads(more)),
    }
    close_others(&limits.keep)?;
    resources(limits)?;
    let without_capabilities = privileges()?;
    let landlock = landlock();
    seccomp()?;
    Ok(Wall { landlock, without_capabilities })
}

/// Closes every descriptor above 2 but `keep`: what the daemon has open is closed on exec, and this is
/// for what it was itself handed by whoever started it.
fn close_others(keep: &[RawFd]) -> Result<(), WallError> {
    let folder = std::fs::read_dir("/proc/self/fd").map_err(WallError::Proc)?;
    // Collected first: the listing has a descriptor of its own, which is closed before those in it.
    let open: Vec<RawFd> = folder.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2 && !keep.contains(descriptor)) {
        #[expect(
            unsafe_code,
            reason = "by contract of `raise` nothing owns these; one thread, so none is opened meanwhile"
        )]
        // The listing's own number is closed already, which is an error of no interest.
        // SAFETY: `raise` runs first in its process: no value owns a descriptor above 2 but those kept.
        let _closed = unsafe { libc::close(descriptor) };
    }
    Ok(())
}

/// Bounds memory, time, descriptors and files, as far as they are not bounded closer already.
///
/// # Errors
///
/// If a limit cannot be set.
pub fn resources(limits: &WallLimits) -> Result<(), WallError> {
    let cpu_kill = limits.cpu_seconds.saturating_add(1);
    for (name, resource, soft, hard) in [
        ("RLIMIT_AS", Resource::As, limits.memory, limits.memory),
        // The soft limit sends SIGXCPU, which tells the daemon why; the hard one sends SIGKILL.
        ("RLIMIT_CPU", Resource::Cpu, limits.cpu_seconds, cpu_kill),
        ("RLIMIT_NOFILE", Resource::Nofile, MAX_DESCRIPTORS, MAX_DESCRIPTORS),
        ("RLIMIT_FSIZE", Resource::Fsize, MAX_FILE_SIZE, MAX_FILE_SIZE),
        ("RLIMIT_CORE", Resource::Core, 0, 0),
        ("RLIMIT_MEMLOCK", Resource::Memlock, 0, 0),
        // Does not bind root.
        ("RLIMIT_NPROC", Resource::Nproc, 0, 0),
    ] {
        let already = getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let new = Rlimit { current: Some(soft.min(already)), maximum: Some(hard.min(already)) };
        setrlimit(resource, new).map_err(|error| WallError::Limit(name, error))?;
    }
    Ok(())
}

/// No privileges through exec any more, no capabilities, and no core dump or debugger, which could
/// see mail. Whether the capabilities are gone: an outer filter may refuse the call, and the rest of the
/// wall holds with them too.
fn privileges() -> Result<bool, WallError> {
    rustix::thread::set_no_new_privs(true).map_err(WallError::Privileges)?;
    // RLIMIT_CORE = 0 alone still calls a program that core_pattern names.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(WallError::Privileges)?;
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    if rustix::thread::capabilities(None).is_ok_and(|sets| sets == none) {
        return Ok(true);
    }
    Ok(rustix::thread::set_capabilities(None, none).is_ok())
}

/// Forbids everything that Landlock knows and allows nothing: no file, folder, port, abstract socket or
/// signal outside this process. Descriptors that are open already stay usable.
pub fn landlock() -> Landlock {
    let standing = match restrict() {
        Ok(standing) => standing,
        Err(error) => {
            return Landlock::Absent {
                reason: format!(
                    "the kernel has Landlock but refused it ({error}): allow the calls landlock_create_ruleset, \
                     landlock_add_rule and landlock_restrict_self in SystemCallFilter= of the unit"
                ),
            };
        }
    };
    match (standing.ruleset, standing.landlock) {
        (
            RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced,
            LandlockStatus::Available { effective_abi, kernel_abi: _ },
        ) => {
            let abi = effective_abi as u32;
            if effective_abi >= FULL_ABI { Landlock::Full { abi } } else { Landlock::Partial { abi } }
        }
        (_, LandlockStatus::NotEnabled) => Landlock::Absent {
            reason: "the kernel has Landlock switched off: add it to the boot parameter lsm= (lsm=landlock,…, \
                     with the names that /sys/kernel/security/lsm shows)"
                .to_owned(),
        },
        (_, LandlockStatus::NotImplemented | LandlockStatus::Available { .. }) => Landlock::Absent {
            reason: "it needs Linux 5.13 or later built with CONFIG_SECURITY_LANDLOCK, and the calls \
                     landlock_create_ruleset, landlock_add_rule and landlock_restrict_self in \
                     SystemCallFilter= of the unit or in the filter of the container"
                .to_owned(),
        },
    }
}

/// The rules of Landlock: as many as the kernel knows, which is what the crate does unless told otherwise.
fn restrict() -> Result<landlock::RestrictionStatus, RulesetError> {
    Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST_ABI))?
        .handle_access(AccessNet::from_all(NEWEST_ABI))?
        .scope(Scope::from_all(NEWEST_ABI))?
        .create()?
        .restrict_self()
}

/// Leaves only the system calls that one thread needs to compute: another one fails with EPERM, and one that
/// only an intruder makes kills the process with SIGSYS. Also sets `no_new_privs`.
///
/// # Errors
///
/// If the kernel, or what confines the service, refuses.
pub fn seccomp() -> Result<(), WallError> {
    // The first question for the time finds out where the kernel answers it, perhaps from a file.
    let _now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    // Two filters, of whose answers the kernel takes the stricter one (seccomp(2)): a filter of the crate
    // has two answers, and three are needed. This order, since the second refuses to install a third.
    for (rules, otherwise, answer) in [
        (deadly(), SeccompAction::Allow, SeccompAction::KillProcess),
        (allowed(), SeccompAction::Errno(EPERM), SeccompAction::Allow),
    ] {
        let machine = TargetArch::try_from(std::env::consts::ARCH).map_err(WallError::Machine)?;
        let filter = rules
            .and_then(|rules| SeccompFilter::new(rules, otherwise, answer, machine))
            .and_then(BpfProgram::try_from)
            .map_err(WallError::Machine)?;
        seccompiler::apply_filter(&filter).map_err(WallError::Seccomp)?;
    }
    Ok(())
}

const EPERM: u32 = libc::EPERM.unsigned_abs();
const PROT_EXEC: u64 = libc::PROT_EXEC.unsigned_abs() as u64;

/// System calls, each with rules for its arguments of which one must match; no rules: always.
type Calls = BTreeMap<libc::c_long, Vec<SeccompRule>>;

/// One condition for an argument (counted from 0) of a call.
fn when(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(argument, SeccompCmpArgLen::Qword, operator, value)?])
}

/// As [`when`], for an argument that is an `int`, whose upper half the kernel does not look at.
fn when_int(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)?])
}

/// What one thread that scans needs. statx and newfstatat are not here: they take a path, which no filter
/// can look at; fstat does for a descriptor.
fn allowed() -> Result<Calls, seccompiler::BackendError> {
    let mut calls: Calls = [
        // Descriptors that it has.
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_pread64,
        libc::SYS_preadv,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_pwrite64,
        libc::SYS_pwritev,
        libc::SYS_recvfrom,
        libc::SYS_recvmsg,
        libc::SYS_sendmsg,
        libc::SYS_shutdown,
        libc::SYS_lseek,
        libc::SYS_fstat,
        libc::SYS_close,
        libc::SYS_ppoll,
        // Memory.
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_brk,
        libc::SYS_madvise,
        libc::SYS_futex,
        // Signals to itself: abort(3), the handler that reports a stack overflow.
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_restart_syscall,
        // Who, when, how much.
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_clock_gettime,
        libc::SYS_clock_getres,
        libc::SYS_gettimeofday,
        libc::SYS_getrusage,
        libc::SYS_getrandom,
        libc::SYS_sched_yield,
        libc::SYS_rseq,
        libc::SYS_membarrier,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ]
    .into_iter()
    .map(|call| (call, Vec::new()))
    .collect();
    #[cfg(target_arch = "x86_64")]
    calls.insert(libc::SYS_poll, Vec::new());
    let not_executable = || when(2, SeccompCmpOp::MaskedEq(PROT_EXEC), 0);
    calls.insert(libc::SYS_mmap, vec![not_executable()?]);
    calls.insert(libc::SYS_mprotect, vec![not_executable()?]);
    calls.insert(libc::SYS_tgkill, vec![when_int(0, SeccompCmpOp::Eq, own_pid())?]);
    // To the other end of a connected socket, not to an address.
    calls.insert(libc::SYS_sendto, vec![when(4, SeccompCmpOp::Eq, 0)?]);
    calls.insert(
        libc::SYS_fcntl,
        [libc::F_GETFD, libc::F_GETFL, libc::F_GET_SEALS]
            .into_iter()
            .map(|command| when_int(1, SeccompCmpOp::Eq, u64::from(command.unsigned_abs())))
            .collect::<Result<_, _>>()?,
    );
    Ok(calls)
}

fn own_pid() -> u64 {
    u64::from(std::process::id())
}

/// What only somebody does who has taken over the process: to fail would invite to try the next thing.
fn deadly() -> Result<Calls, seccompiler::BackendError> {
    let mut calls: Calls = [
        // Files by name.
        libc::SYS_openat,
        libc::SYS_openat2,
        libc::SYS_open_by_handle_at,
        libc::SYS_name_to_handle_at,
        libc::SYS_unlinkat,
        libc::SYS_renameat2,
        libc::SYS_linkat,
        libc::SYS_symlinkat,
        libc::SYS_mkdirat,
        libc::SYS_mknodat,
        libc::SYS_truncate,
        libc::SYS_fchmod,
        libc::SYS_fchmodat,
        libc::SYS_fchown,
        libc::SYS_fchownat,
        libc::SYS_setxattr,
        libc::SYS_lsetxattr,
        libc::SYS_fsetxattr,
        // Other programs and processes.
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_clone,
        libc::SYS_clone3,
        libc::SYS_kill,
        libc::SYS_tkill,
        libc::SYS_rt_sigqueueinfo,
        libc::SYS_rt_tgsigqueueinfo,
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_getfd,
        libc::SYS_pidfd_send_signal,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_process_madvise,
        libc::SYS_kcmp,
        // The network.
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_listen,
        libc::SYS_accept,
        libc::SYS_accept4,
        // Another view of the system.
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_fsopen,
        libc::SYS_fsconfig,
        libc::SYS_fsmount,
        libc::SYS_fspick,
        libc::SYS_open_tree,
        libc::SYS_move_mount,
        libc::SYS_mount_setattr,
        // Another identity.
        libc::SYS_setuid,
        libc::SYS_setgid,
        libc::SYS_setreuid,
        libc::SYS_setregid,
        libc::SYS_setresuid,
        libc::SYS_setresgid,
        libc::SYS_setfsuid,
        libc::SYS_setfsgid,
        libc::SYS_setgroups,
        libc::SYS_capset,
        // Doors into the kernel.
        libc::SYS_bpf,
        libc::SYS_userfaultfd,
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        libc::SYS_io_setup,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_perf_event_open,
        libc::SYS_fanotify_init,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_kexec_load,
        libc::SYS_kexec_file_load,
        libc::SYS_reboot,
        libc::SYS_swapon,
        libc::SYS_swapoff,
        libc::SYS_acct,
        libc::SYS_syslog,
        libc::SYS_quotactl,
        libc::SYS_personality,
        libc::SYS_pkey_mprotect,
    ]
    .into_iter()
    .map(|call| (call, Vec::new()))
    .collect();
    // The older half of x86_64; aarch64 never had these.
    #[cfg(target_arch = "x86_64")]
    calls.extend(
        [
            libc::SYS_open,
            libc::SYS_creat,
            libc::SYS_unlink,
            libc::SYS_rename,
            libc::SYS_renameat,
            libc::SYS_link,
            libc::SYS_symlink,
            libc::SYS_mkdir,
            libc::SYS_rmdir,
            libc::SYS_mknod,
            libc::SYS_chmod,
            libc::SYS_chown,
            libc::SYS_lchown,
            libc::SYS_fork,
            libc::SYS_vfork,
            libc::SYS_uselib,
            libc::SYS_iopl,
            libc::SYS_ioperm,
            libc::SYS_modify_ldt,
        ]
        .map(|call| (call, Vec::new())),
    );
    let executable = || when(2, SeccompCmpOp::MaskedEq(PROT_EXEC), PROT_EXEC);
    calls.insert(libc::SYS_mmap, vec![executable()?]);
    calls.insert(libc::SYS_mprotect, vec![executable()?]);
    calls.insert(libc::SYS_tgkill, vec![when_int(0, SeccompCmpOp::Ne, own_pid())?]);
    // The crate sets no_new_privs once more with each filter, and an allocator may name its memory.
    let harmless = [libc::PR_SET_NO_NEW_PRIVS, libc::PR_SET_VMA].map(|option| {
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, u64::from(option.unsigned_abs()))
    });
    calls.insert(libc::SYS_prctl, vec![SeccompRule::new(harmless.into_iter().collect::<Result<_, _>>()?)?]);
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_is_both_allowed_and_deadly() {
        let (allowed, deadly) = (allowed().unwrap(), deadly().unwrap());
        for (call, rules) in &deadly {
            // A call in both has rules that exclude each other.
            if let Some(when) = allowed.get(call) {
                assert!(!when.is_empty() && !rules.is_empty(), "system call {call} is allowed and deadly");
            }
        }
        assert!(allowed.len() > 40 && deadly.len() > 80);
    }

    #[test]
    fn what_is_missing_is_told_with_what_to_do() {
        let whole = Wall { landlock: Landlock::Full { abi: 7 }, without_capabilities: true };
        assert_eq!(whole.warning(), None);
        assert!(whole.to_string().contains("Landlock version 7"));
        let reason = "the kernel is too old".to_owned();
        let less = Wall { landlock: Landlock::Absent { reason }, without_capabilities: false };
        let warning = less.warning().unwrap();
        assert!(warning.contains("the kernel is too old") && warning.contains("capset"), "{warning}");
        let refused = WallError::Seccomp(seccompiler::Error::EmptyFilter).to_string();
        assert!(refused.contains("CONFIG_SECCOMP_FILTER"), "{refused}");
    }
}
