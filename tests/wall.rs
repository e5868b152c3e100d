//! The wall around what scans, with the program `ordeal` behind it: what it holds off as a whole and with
//! each layer alone, so that no layer hides the absence of another; what it lets through; and what is told
//! where a kernel or a service manager refuses a layer.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;

use crate::common::skip;

/// What became of an attempt.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Did,
    Refused(String),
    Killed(Signal),
}

struct Tried {
    fate: Fate,
    told: String,
}

/// The program that tries what the wall forbids.
pub fn ordeal() -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_sekisho")).with_file_name("examples").join("ordeal");
    assert!(built.is_file(), "{} is missing: cargo build --example ordeal", built.display());
    built
}

fn run(layers: &str, attempt: &str, folder: &Path) -> Output {
    let mut command = Command::new(ordeal());
    // As a worker is started: without an environment, which could ask for backtraces, which open files.
    command.args([layers, attempt]).arg(folder).env_clear().stdin(Stdio::null());
    command.output().expect("to start it")
}

fn attempt_in(layers: &str, attempt: &str, folder: &Path) -> Tried {
    let output = run(layers, attempt, folder);
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).trim().to_owned();
    let told = text(&output.stderr);
    let fate = match (output.status.code(), output.status.signal()) {
        (Some(0), None) => Fate::Did,
        (Some(1), None) => Fate::Refused(text(&output.stdout)),
        (None, Some(signal)) => Fate::Killed(Signal::from_named_raw(signal).expect("a signal")),
        other => panic!("{layers} {attempt}: {other:?}: {told}"),
    };
    Tried { fate, told }
}

/// A folder with a `file` in it.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("file"), "Subject: x\r\n\r\nx\r\n").expect("a file");
    folder
}

fn attempt(layers: &str, name: &str) -> Tried {
    attempt_in(layers, name, folder().path())
}

fn refused(error: &str) -> Fate {
    Fate::Refused(error.to_owned())
}

const SIGSYS: Fate = Fate::Killed(Signal::SYS);

/// The version of Landlock that this kernel has, 0 if none.
fn landlock() -> u32 {
    let told = attempt("landlock", "nothing").told;
    let version = told.split("abi: ").nth(1).map_or("0", |rest| rest.trim_end_matches(" }"));
    version.parse().unwrap_or_else(|_| panic!("{told}"))
}

/// An attempt; whether anybody may do it without a wall (else that depends on who runs the tests and where); and
/// from which version on Landlock alone refuses it, with which error.
type Deadly = (&'static str, bool, Option<(u32, &'static str)>);

/// Attempts that seccomp answers with SIGSYS.
const DEADLY: &[Deadly] = &[
    ("open", true, Some((1, "EACCES"))),
    ("create", true, Some((1, "EACCES"))),
    ("open-without-libc", true, Some((1, "EACCES"))),
    ("openat2", true, Some((1, "EACCES"))),
    ("list", true, Some((1, "EACCES"))),
    ("unlink", true, Some((1, "EACCES"))),
    ("rename", true, Some((1, "EACCES"))),
    ("symlink", true, Some((1, "EACCES"))),
    ("mkdir", true, Some((1, "EACCES"))),
    ("truncate", true, Some((3, "EACCES"))),
    ("chmod", true, None),
    ("tcp-connect", true, Some((4, "EACCES"))),
    ("tcp-bind", true, Some((4, "EACCES"))),
    ("udp", true, None),
    ("unix-connect", true, None),
    ("abstract-connect", true, Some((6, "EPERM"))),
    ("socketpair", true, None),
    ("exec", true, Some((1, "EACCES"))),
    ("spawn", true, Some((1, "EACCES"))),
    ("fork", true, None),
    ("fork-without-libc", true, None),
    ("thread", true, None),
    ("ptrace", false, None),
    ("read-memory-of-parent", false, None),
    ("kill-parent", true, Some((6, "EPERM"))),
    ("kill-init", false, Some((6, "EPERM"))),
    ("kill-all", true, None),
    ("tgkill-parent", true, Some((6, "EPERM"))),
    ("pidfd", true, None),
    ("map-executable", true, None),
    ("make-executable", true, None),
    ("make-executable-with-key", false, None),
    ("personality", false, None),
    ("io-uring", false, None),
    ("bpf", false, None),
    ("userfaultfd", false, None),
    ("perf", false, None),
    ("keyctl", false, None),
    ("load-module", false, None),
    ("mount", false, None),
    ("chroot", false, None),
    ("unshare", false, None),
    ("setns", false, None),
    ("setuid", false, None),
    ("debuggable-again", true, None),
    #[cfg(target_arch = "x86_64")]
    ("call-of-i386", false, None),
];

/// Attempts that seccomp refuses, since an honest library might make them.
const REFUSED: &[&str] = &["stat", "change-folder", "memory-file", "raise-a-limit"];

#[test]
fn whoever_takes_over_a_worker_is_killed_at_the_first_step() {
    for (name, _, _) in DEADLY {
        assert_eq!(attempt("wall", name).fate, SIGSYS, "{name}");
    }
    for name in REFUSED {
        assert_eq!(attempt("wall", name).fate, refused("EPERM"), "{name}");
    }
}

#[test]
fn seccomp_alone_holds() {
    for (name, possible, _) in DEADLY {
        let folder = folder();
        let abstract_name = SocketAddr::from_abstract_name(folder.path().to_str().expect("a name")).expect("a name");
        let _listener = UnixListener::bind_addr(&abstract_name).expect("a listener");
        if *possible {
            assert_eq!(attempt_in("none", name, folder.path()).fate, Fate::Did, "{name}, without any wall");
        }
        assert_eq!(attempt("seccomp", name).fate, SIGSYS, "{name}");
    }
    for name in REFUSED {
        assert_eq!(attempt("none", name).fate, Fate::Did, "{name}, without any wall");
        assert_eq!(attempt("seccomp", name).fate, refused("EPERM"), "{name}");
    }
    #[cfg(target_arch = "x86_64")]
    assert_eq!(attempt("seccomp", "open-x32").fate, refused("EPERM"));
}

#[test]
fn landlock_alone_holds() {
    let version = landlock();
    if version == 0 {
        return skip("this kernel has no Landlock");
    }
    for (name, _, landlock) in DEADLY {
        let folder = folder();
        let abstract_name = SocketAddr::from_abstract_name(folder.path().to_str().expect("a name")).expect("a name");
        let _listener = UnixListener::bind_addr(&abstract_name).expect("a listener");
        if let Some((since, error)) = landlock
            && version >= *since
        {
            assert_eq!(attempt_in("landlock", name, folder.path()).fate, refused(error), "{name}");
        }
    }
}

#[test]
fn memory_time_and_files_are_bounded_by_the_limits_alone_and_behind_the_wall() {
    for layers in ["limits", "wall"] {
        let check = |name: &str, fate: Fate, tells: &str| {
            let tried = attempt(layers, name);
            assert_eq!(tried.fate, fate, "{layers} {name}: {}", tried.told);
            assert!(tried.told.contains(tells), "{layers} {name}: {}", tried.told);
        };
        check("too-much-memory", Fate::Killed(Signal::ABORT), "memory allocation of 1073741824 bytes failed");
        check("too-much-memory-caught", refused("ENOMEM"), "");
        check("much-memory-in-small-pieces", Fate::Killed(Signal::ABORT), "memory allocation of");
        check("spin", Fate::Killed(Signal::XCPU), "");
        check("write-a-lot", Fate::Killed(Signal::XFSZ), "");
        check("deep-stack", Fate::Killed(Signal::ABORT), "has overflowed its stack");
        check("abort", Fate::Killed(Signal::ABORT), "");
    }
    assert_eq!(attempt("limits", "many-descriptors").fate, refused("EMFILE"));
    // Without limits these succeed, so it is the limits that refuse them.
    for name in ["spin", "write-a-lot", "many-descriptors", "too-much-memory-caught"] {
        assert_eq!(attempt("none", name).fate, Fate::Did, "{name}");
    }
}

#[test]
fn what_scanning_needs_works_behind_the_wall() {
    for name in ["nothing", "allocate", "hash-map", "panic", "panic-and-tell", "clock", "progress", "message"] {
        let tried = attempt("wall", name);
        assert_eq!(tried.fate, Fate::Did, "{name}: {}", tried.told);
        assert!(tried.told.contains("seccomp"), "{name}: {}", tried.told);
    }
}

#[test]
fn every_sample_is_scanned_behind_the_wall() {
    let samples = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("samples")).expect("samples");
    let mut number = 0;
    for sample in samples.map(|entry| entry.expect("a sample").path()) {
        if sample.extension().is_some_and(|extension| extension == "eml") {
            let folder = tempfile::tempdir().expect("a folder");
            fs::copy(&sample, folder.path().join("file")).expect("to copy it");
            let tried = attempt_in("wall", "message", folder.path());
            assert_eq!(tried.fate, Fate::Did, "{}: {}", sample.display(), tried.told);
            number += 1;
        }
    }
    assert!(number > 5, "{number} samples");
}

#[test]
fn descriptors_that_nobody_gave_are_closed() {
    assert_eq!(attempt("none", "inherited").fate, Fate::Did);
    assert_eq!(attempt("wall", "inherited").fate, refused("EBADF"));
}

#[test]
fn without_landlock_the_rest_stands_and_the_admin_is_told_what_to_do() {
    for (layers, advice) in [
        ("old-kernel", "it needs Linux 5.13"),
        ("landlock-off", "boot parameter lsm="),
        ("landlock-refused", "SystemCallFilter= of the unit"),
    ] {
        let tried = attempt(layers, "open");
        if layers == "landlock-refused" && landlock() == 0 {
            skip("this kernel has no Landlock that could be refused");
            continue;
        }
        assert_eq!(tried.fate, SIGSYS, "{layers}");
        assert!(tried.told.contains("no Landlock") && tried.told.contains(advice), "{layers}: {}", tried.told);
    }
}

#[test]
fn without_seccomp_nothing_is_scanned() {
    let folder = folder();
    let output = run("seccomp-refused", "nothing", folder.path());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(69), "{told}");
    assert!(told.contains("CONFIG_SECCOMP_FILTER") && told.contains("must allow the calls seccomp"), "{told}");
}

#[test]
fn a_wall_around_one_of_several_threads_is_refused() {
    let folder = folder();
    let output = run("wall", "nothing-with-a-thread", folder.path());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(69) && told.contains("2 threads"), "{told}");
}

#[test]
fn the_kernel_says_that_the_wall_stands() {
    let folder = folder();
    let mut command = Command::new(ordeal());
    command.args(["wall", "wait"]).arg(folder.path()).env_clear().stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("to start it");
    let mut told = String::new();
    BufReader::new(child.stderr.as_mut().expect("its errors")).read_line(&mut told).expect("a line");
    assert!(told.contains("seccomp"), "{told}");
    let say = |name: &str| {
        let text = fs::read_to_string(format!("/proc/{}/{name}", child.id())).unwrap_or_default();
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    let (status, limits) = (say("status"), say("limits"));
    for line in ["NoNewPrivs: 1", "Seccomp: 2", "Threads: 1", "CapPrm: 0000000000000000", "CapEff: 0000000000000000"] {
        assert!(status.iter().any(|said| said == line), "{line}: {status:?}");
    }
    for line in
        ["Max core file size 0 0 bytes", "Max address space 536870912 536870912 bytes", "Max open files 16 16 files"]
    {
        assert!(limits.iter().any(|said| said == line), "{line}: {limits:?}");
    }
    // The files in /proc of a process without core dumps belong to root, and nobody else may trace it.
    let owner = fs::metadata(format!("/proc/{}/limits", child.id())).expect("its owner");
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&owner), 0);
    drop(child.stdin.take());
    assert!(child.wait().expect("its end").success());
}

#[test]
fn capabilities_are_given_up() {
    let tried = attempt("wall", "nothing");
    assert!(!tried.told.contains("capabilities"), "{}", tried.told);
    if !rustix::process::geteuid().is_root() {
        return skip("not root: there are no capabilities to give up");
    }
    let tried = attempt("capset-refused", "nothing");
    assert!(tried.fate == Fate::Did && tried.told.contains("name it in SystemCallFilter="), "{}", tried.told);
}
