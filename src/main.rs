//! The `sekisho` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    sekisho::cli::program::main(sekisho::formats::TABLE)
}
