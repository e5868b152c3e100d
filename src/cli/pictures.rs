//! `sekisho pictures`: what was learnt from malicious documents. Works with or without the daemon.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Subcommand;
use jiff::Timestamp;

use crate::cli::{DEFAULT_STATE, exit, program};
use crate::config::load::LoadError;
use crate::pictures::learned::{Learned, Picture, PictureId, Unusable};
use crate::terminal::{escaped, padded, width};

/// `sekisho pictures …`
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The configuration, for how long pictures are kept [default: /etc/sekisho/sekisho.toml, if it exists]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The daemon's state folder
    #[arg(long, value_name = "FOLDER", global = true, default_value = DEFAULT_STATE)]
    state_dir: PathBuf,
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// List the pictures, those seen last first
    List {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Forget pictures; they can be learnt again
    Forget {
        /// Their ids
        #[arg(required_unless_present = "all")]
        ids: Vec<String>,
        /// All of them, also those that are never to be learnt
        #[arg(long, conflicts_with_all = ["ids", "never"])]
        all: bool,
        /// Never learn them again, nor what looks like them: a logo of ours
        #[arg(long)]
        never: bool,
    },
}

/// Runs the command; returns its exit status.
///
/// # Errors
/// The output cannot be written.
pub fn run(arguments: &Arguments, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let config = match program::load(arguments.config.as_deref()) {
        Ok(config) => config,
        Err(LoadError::Invalid(diagnostics)) => {
            write!(err, "{diagnostics}")?;
            return Ok(exit::CONFIG);
        }
        Err(error @ LoadError::Unreadable { .. }) => {
            writeln!(err, "sekisho: {error}")?;
            return Ok(exit::NO_INPUT);
        }
    };
    if !arguments.state_dir.is_dir() {
        let folder = escaped(&arguments.state_dir.display().to_string(), 1000);
        writeln!(err, "sekisho: there is no state folder {folder}: name the daemon's with --state-dir")?;
        return Ok(exit::NO_INPUT);
    }
    let done = Learned::open_existing(&arguments.state_dir, config.pictures.keep)
        .and_then(|store| act(&arguments.command, store.as_ref()));
    match done {
        Ok(Done { lines, complaints }) => {
            lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
            complaints.iter().try_for_each(|line| writeln!(err, "sekisho: {}", escaped(line, 1000)))?;
            Ok(if complaints.is_empty() { exit::OK } else { exit::NO_INPUT })
        }
        Err(error) => {
            writeln!(err, "sekisho: {}", escaped(&error.to_string(), 1000))?;
            Ok(exit::IO_ERROR)
        }
    }
}

/// What is to be printed.
#[derive(Default)]
struct Done {
    lines: Vec<String>,
    complaints: Vec<String>,
}

fn act(command: &Command, store: Option<&Learned>) -> Result<Done, Unusable> {
    let mut done = Done::default();
    match command {
        Command::List { json } => {
            let pictures = store.map_or(Ok(Vec::new()), |store| store.list(Timestamp::now()))?;
            done.lines = if *json { objects(&pictures)? } else { table(&pictures) };
        }
        Command::Forget { all: true, .. } => {
            let count = store.map_or(Ok(0), Learned::forget_all)?;
            done.lines.push(format!("{count} {} forgotten", if count == 1 { "picture" } else { "pictures" }));
        }
        Command::Forget { ids, never, .. } => {
            let word = if *never { "forgotten, and never learnt again" } else { "forgotten" };
            for text in ids {
                let id = PictureId::parse(text);
                let is_there = match (&id, store) {
                    (Some(id), Some(store)) => store.forget(id, *never)?,
                    _ => false,
                };
                match id.filter(|_| is_there) {
                    Some(id) => done.lines.push(format!("{id}: {word}")),
                    None => done.complaints.push(format!("there is no picture {text}: see `sekisho pictures list`")),
                }
            }
        }
    }
    Ok(done)
}

fn objects(pictures: &[Picture]) -> Result<Vec<String>, Unusable> {
    let failed = |error: serde_json::Error| Unusable::Failed(error.to_string());
    pictures.iter().map(|picture| serde_json::to_string(picture).map_err(failed)).collect()
}

fn table(pictures: &[Picture]) -> Vec<String> {
    let head = ["ID", "SIZE", "LEARNT (UTC)", "SEEN (UTC)", "LEARN", "FROM (SHA-256)"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head).chain(pictures.iter().map(cells)).collect();
    let widest = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell)).max();
    let widths: Vec<usize> = (0..6).map(|column| widest(column).unwrap_or(0)).collect();
    let line = |row: &[String; 6]| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| padded(cell, *width)).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn cells(picture: &Picture) -> [String; 6] {
    let minutes = |time: Timestamp| time.strftime("%Y-%m-%d %H:%M").to_string();
    let (width, height) = picture.print.size();
    [
        picture.id.to_string(),
        format!("{width}x{height}"),
        minutes(picture.learnt_at),
        minutes(picture.seen_at),
        if picture.never { "never" } else { "yes" }.to_owned(),
        escaped(&picture.document, 64),
    ]
}
