//! Shows what the wall around a worker holds: `ordeal LAYERS ATTEMPT FOLDER` raises the wall, or one layer
//! of it (`none`, `wall`, `landlock`, `seccomp`, `limits`), and then makes one attempt. Other LAYERS refuse
//! the wall a call first, as an older kernel or a service manager would ([`outer`]); `started-again` starts
//! the program once more, with `wall`.
//!
//! With any other arguments it is the program itself, with more formats ([`formats`]).
//!
//! Ends with 0 if the attempt succeeded, with 1 and the name of the error on standard output if it was
//! refused, with 69 if the wall did not stand, and with a signal if it was fatal. A program of the tests, not of the distribution.

#![allow(clippy::print_stderr, reason = "a program of the tests")]

mod attempts;
mod formats;

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, Stdio};

use rustix::io::Errno;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use sekisho::worker::wall;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [layers, name, folder] = arguments.as_slice() else { return sekisho::cli::program::main(formats::all()) };
    if layers == "check" || layers == "serve" {
        return sekisho::cli::program::main(formats::all());
    }
    if layers == "started-again" {
        return started_again(name, folder);
    }
    let Some(attempt) = attempts::prepare(name, folder.as_ref()) else {
        eprintln!("ordeal: there is no attempt {name:?}");
        return ExitCode::from(64);
    };
    // Little time only for the attempt that is to run out of it: the others may be slow on a busy machine.
    let cpu_seconds = if name == "spin" { 1 } else { 60 };
    let limits = wall::WallLimits { memory: 512 << 20, cpu_seconds, keep: attempt.keep };
    if let Some((call, errno)) = outer(layers) {
        refuse(call, errno);
    }
    match layers.as_str() {
        "none" => {}
        "landlock" => eprintln!("{:?}", wall::landlock()),
        "seccomp" => wall::seccomp().expect("seccomp"),
        "limits" => wall::resources(&limits).expect("limits"),
        _ => match wall::raise(&limits) {
            Ok(wall) => eprintln!("{wall}\n{}", wall.warning().unwrap_or_default()),
            Err(error) => {
                eprintln!("ordeal: {error}");
                return ExitCode::from(69);
            }
        },
    }
    match (attempt.act)() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{}", error_name(&error));
            ExitCode::from(1)
        }
    }
}

/// As the daemon starts what scans: its own program by way of /proc, without an environment.
fn started_again(name: &str, folder: &str) -> ExitCode {
    let mut command = Command::new("/proc/self/exe");
    command.args(["wall", name, folder]).env_clear().stdin(Stdio::piped());
    let ended = command.spawn().and_then(|mut child| {
        // What the daemon does to a worker that takes long.
        sekisho::worker::pace::slow_down(rustix::process::Pid::from_child(&child))?;
        drop(child.stdin.take());
        child.wait()
    });
    match ended.map(|status| (status.code(), status.signal())) {
        Ok((Some(code), None)) => ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)),
        // As a shell tells it.
        Ok((_, Some(signal))) => ExitCode::from(u8::try_from(128 + signal).unwrap_or(u8::MAX)),
        other => {
            eprintln!("ordeal: not started again: {other:?}");
            ExitCode::from(70)
        }
    }
}

/// The call that something around the process refuses, and how.
fn outer(layers: &str) -> Option<(libc::c_long, libc::c_int)> {
    match layers {
        "old-kernel" => Some((libc::SYS_landlock_create_ruleset, libc::ENOSYS)),
        "landlock-off" => Some((libc::SYS_landlock_create_ruleset, libc::EOPNOTSUPP)),
        "landlock-refused" => Some((libc::SYS_landlock_restrict_self, libc::EPERM)),
        "seccomp-refused" => Some((libc::SYS_seccomp, libc::EPERM)),
        "capset-refused" => Some((libc::SYS_capset, libc::EPERM)),
        _ => None,
    }
}

fn refuse(call: libc::c_long, errno: libc::c_int) {
    let rules = [(call, Vec::new())].into_iter().collect();
    let answer = SeccompAction::Errno(errno.unsigned_abs());
    let machine = std::env::consts::ARCH.try_into().expect("a machine");
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, answer, machine).expect("a filter");
    let program: BpfProgram = filter.try_into().expect("a program");
    seccompiler::apply_filter(&program).expect("to apply it");
}

fn error_name(error: &io::Error) -> String {
    match Errno::from_io_error(error) {
        Some(Errno::PERM) => "EPERM".to_owned(),
        Some(Errno::ACCESS) => "EACCES".to_owned(),
        Some(Errno::NOMEM) => "ENOMEM".to_owned(),
        Some(Errno::MFILE) => "EMFILE".to_owned(),
        Some(Errno::BADF) => "EBADF".to_owned(),
        _ => format!("{error}"),
    }
}
