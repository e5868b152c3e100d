//! Shows what the wall around a worker holds: `ordeal LAYERS ATTEMPT FOLDER` raises the wall, or one layer
//! of it (`none`, `wall`, `landlock`, `seccomp`, `limits`), and then makes one attempt.
//!
//! Ends with 0 if the attempt succeeded, with 1 and the name of the error on standard output if it was
//! refused, and with a signal if it was fatal. A program of the tests, not of the distribution.

#![allow(clippy::print_stderr, reason = "a program of the tests")]

mod attempts;

use std::io;
use std::process::ExitCode;

use rustix::io::Errno;
use sekisho::worker::wall;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [layers, name, folder] = arguments.as_slice() else {
        eprintln!("usage: ordeal none|wall|landlock|seccomp|limits ATTEMPT FOLDER");
        return ExitCode::from(64);
    };
    let Some(attempt) = attempts::prepare(name, folder.as_ref()) else {
        eprintln!("ordeal: there is no attempt {name:?}");
        return ExitCode::from(64);
    };
    let limits = wall::WallLimits { memory: 512 << 20, cpu_seconds: 1, keep: attempt.keep };
    match layers.as_str() {
        "none" => {}
        "wall" => match wall::raise(&limits) {
            Ok(wall) => eprintln!("{wall}"),
            Err(error) => {
                eprintln!("ordeal: {error}");
                return ExitCode::from(69);
            }
        },
        "landlock" => eprintln!("{:?}", wall::landlock()),
        "seccomp" => wall::seccomp().expect("seccomp"),
        "limits" => wall::resources(&limits).expect("limits"),
        _ => return ExitCode::from(64),
    }
    match (attempt.act)() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{}", error_name(&error));
            ExitCode::from(1)
        }
    }
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
