//! The whole program: arguments, one command, an exit status.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::cli::{
    DEFAULT_CONFIG, DEFAULT_STATE, check, demo, exit, explain, findings, pictures, postfix, quarantine, scan, serve,
};
use crate::config::load::LoadError;
use crate::config::{Config, Endpoint};
use crate::formats::Format;
use crate::smtp::delivery::NextHop;
use crate::store::{Delivery, Quarantine};
use crate::worker::{child, helper, nursery};

/// The checkpoint for mail attachments
#[derive(Parser)]
#[command(version, about, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
First steps:
  sekisho demo                      see what it does, on loopback and in a temporary folder
  sekisho check                     read /etc/sekisho/sekisho.toml as the daemon would
  sekisho postfix print --mode …    the commands that put it into Postfix; `apply` runs them
  sekisho quarantine list           what is held; `show ID` says why, `release ID` lets it go on";

#[derive(Subcommand)]
enum Command {
    /// Run the daemon in the foreground
    Serve(serve::Arguments),
    /// Start the daemon with a sink behind it, send every built-in sample through, show what happens
    #[command(after_help = "Exit status: 0 every sample met its expectation, 1 one did not.")]
    Demo(demo::Arguments),
    /// Judge files, folders, mbox, Maildir or standard input
    Scan(scan::Arguments),
    /// Explain a message or file: its parts, what was seen where, the rules, and what would change it
    Explain(explain::Arguments),
    /// What can be found, and what each finding means
    Findings(findings::Arguments),
    /// Check a configuration and show every mistake in it
    #[command(after_help = "Exit status: 0 the file can be used, 66 it cannot be read, 78 it has errors.")]
    Check {
        /// The configuration
        #[arg(default_value = DEFAULT_CONFIG)]
        file: PathBuf,
        /// Diagnostics as JSON, one object a line
        #[arg(long)]
        json: bool,
    },
    /// List, show, release and delete held messages
    #[command(after_help = "Exit status: 0 done, 66 no such message, 69 or 75 the next hop did not take it; \
                            docs/quarantine.md has all.")]
    Quarantine(QuarantineArguments),
    /// List and forget pictures that were learnt from malicious documents
    #[command(after_help = "Exit status: 0 done, 66 no such picture or no state folder, 74 the store cannot be used; \
                            docs/pictures.md has all.")]
    Pictures(pictures::Arguments),
    /// Put Sekisho into Postfix's configuration, and take it out again
    #[command(
        subcommand,
        after_help = "Exit status: 0 done, 64 the flags do not fit, 69 there is no Postfix, 77 not permitted, \
                      78 Postfix's configuration does not allow it; then nothing has changed."
    )]
    Postfix(postfix::Command),
}

#[derive(clap::Args)]
struct QuarantineArguments {
    /// The configuration, for where the quarantine is [default: /etc/sekisho/sekisho.toml, if it exists]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The daemon's state folder
    #[arg(long, value_name = "FOLDER", global = true, default_value = DEFAULT_STATE)]
    state_dir: PathBuf,
    #[command(subcommand)]
    command: quarantine::Command,
}

/// Runs the program. `formats` are what its workers look into parts with: [`crate::formats::TABLE`].
pub fn main(formats: &'static [Format]) -> ExitCode {
    // Before anything else is set up: a worker needs none of it.
    if std::env::args_os().nth(1).is_some_and(|command| command == nursery::ARGUMENT) {
        return child::run(formats);
    }
    if std::env::args_os().nth(1).is_some_and(|command| command == helper::ARGUMENT) {
        return helper::run(std::env::args_os().skip(2));
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // --help and --version end here as well, and are no misuse.
            let status = if error.use_stderr() { exit::USAGE } else { exit::OK };
            let _ = error.print();
            return ExitCode::from(status);
        }
    };
    ExitCode::from(run(&arguments.command, formats))
}

fn run(command: &Command, formats: &'static [Format]) -> u8 {
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    let result = match command {
        // These two live long and write from several threads: no locks on the streams.
        Command::Serve(arguments) => {
            drop((out, err));
            return serve::run(arguments, formats);
        }
        Command::Demo(arguments) => {
            drop((out, err));
            return demo::run(arguments);
        }
        Command::Scan(arguments) => scan::run(arguments, &mut out, &mut err),
        Command::Explain(arguments) => explain::run(arguments, &mut out, &mut err),
        Command::Findings(arguments) => findings::run(arguments, &mut out, &mut err),
        Command::Check { file, json } => check::run(file, *json, &mut out, &mut err),
        Command::Quarantine(arguments) => Ok(held(arguments, &mut out, &mut err)),
        Command::Pictures(arguments) => pictures::run(arguments, &mut out, &mut err),
        Command::Postfix(command) => postfix::run(command, &mut out, &mut err),
    };
    match result {
        Ok(status) => status,
        // `sekisho scan … | head`
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => exit::OK,
        Err(error) => {
            let _ = writeln!(err, "sekisho: cannot write the output: {error}");
            exit::IO_ERROR
        }
    }
}

/// `sekisho quarantine …`: opens the store and gives releases a way to the next hop.
fn held(arguments: &QuarantineArguments, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let config = match load(arguments.config.as_deref()) {
        Ok(config) => config,
        Err(LoadError::Invalid(diagnostics)) => {
            let _ = write!(err, "{diagnostics}");
            return exit::CONFIG;
        }
        Err(error @ LoadError::Unreadable { .. }) => {
            let _ = writeln!(err, "sekisho: {error}");
            return exit::NO_INPUT;
        }
    };
    let folder = config.quarantine.folder(&arguments.state_dir);
    let quarantine = match Quarantine::open_existing(&folder, config.quarantine.keep, config.quarantine.max_size) {
        Ok(quarantine) => quarantine,
        Err(error) => {
            let _ = writeln!(err, "sekisho: {error}");
            return error.exit_code();
        }
    };
    let mut connect = |next_hop: &str| {
        let endpoint: Endpoint = next_hop.parse().map_err(|error| format!("{error}"))?;
        let delivery = NextHop::of_config(endpoint, &config).map_err(|error| error.to_string())?;
        Ok(Box::new(delivery) as Box<dyn Delivery>)
    };
    let width = io::stdout().is_terminal().then(terminal_width);
    let mut console = quarantine::Console { out, err, width };
    quarantine::run(&arguments.command, &quarantine, &mut console, &mut connect)
}

/// The configuration at `path`; without one, the installed one, or the empty one if there is none.
pub(super) fn load(path: Option<&Path>) -> Result<Config, LoadError> {
    let path = match path {
        Some(path) => path,
        None if !Path::new(DEFAULT_CONFIG).exists() => return Ok(Config::default()),
        None => Path::new(DEFAULT_CONFIG),
    };
    Config::load(path).map(|(config, _)| config)
}

/// Columns of the terminal, as the shell exports them.
fn terminal_width() -> usize {
    std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(160)
}
