//! `sekisho postfix print|apply|undo`: puts Sekisho into a Postfix's configuration and takes it out again.
//!
//! All editing is done by postconf(1), on copies of `main.cf` and `master.cf`; the results replace the files only when
//! everything is known to fit, and whatever fails afterwards (`postfix check`, `postfix reload`) brings the former
//! files back. What was changed stands beside them (`postfix/record.rs`), so that `undo` restores them octet for octet,
//! or, if somebody else has edited them since, removes our settings and nothing else.

use std::fmt;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::{DEFAULT_CONFIG, exit};
use crate::config::{Config, Endpoint};

mod instance;
mod modes;
mod record;

use instance::{Files, Instance, Present};
use modes::{Addresses, Mode, Setting};
use record::Record;

/// How long the daemon may take to accept a connection before `apply` says that it is not there.
const KNOCK: Duration = Duration::from_secs(2);

/// `sekisho postfix`
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show the commands that set a mode up, and what they would change
    Print(Wanted),
    /// Set a mode up: edit, `postfix check`, reload; on any error everything is as before
    Apply(Wanted),
    /// Take Sekisho out of Postfix's configuration
    Undo(Place),
}

/// What to set up.
#[derive(Debug, clap::Args)]
pub struct Wanted {
    /// How Postfix hands mail to Sekisho; docs/postfix.md compares the modes
    #[arg(long, value_enum)]
    mode: Mode,
    /// Sekisho's configuration, for its addresses [default: /etc/sekisho/sekisho.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where Sekisho takes SMTP [default: of the listener with this mode, or 127.0.0.1:10025]
    #[arg(long, value_name = "ADDRESS:PORT")]
    filter: Option<SocketAddr>,
    /// Where Postfix takes filtered and released mail back [default: the listener's next_hop, or 127.0.0.1:10026]
    #[arg(long = "return", value_name = "ADDRESS:PORT")]
    back: Option<SocketAddr>,
    /// Sekisho's milter socket [default: of the milter listener, or sekisho/milter.sock in Postfix's queue directory]
    #[arg(long, value_name = "ADDRESS:PORT or unix:/PATH")]
    milter: Option<Endpoint>,
    /// Also (or instead of the public one) this service of master.cf, like submission/inet; may be repeated
    #[arg(long = "service", value_name = "NAME/TYPE")]
    services: Vec<String>,
    #[command(flatten)]
    place: Place,
}

/// Which Postfix.
#[derive(Debug, clap::Args)]
pub struct Place {
    /// The folder of main.cf [default: Postfix's own]
    #[arg(long, value_name = "FOLDER")]
    config_dir: Option<PathBuf>,
}

/// Why it was not done, what to do about it, and the exit status.
#[derive(Debug)]
pub(super) struct Trouble {
    status: u8,
    why: String,
}

impl Trouble {
    fn new(status: u8, why: impl Into<String>) -> Self {
        Self { status, why: why.into() }
    }

    /// A file that cannot be read or written.
    fn file(path: &Path, error: &io::Error) -> Self {
        let (status, advice) = match error.kind() {
            io::ErrorKind::PermissionDenied => (exit::NO_PERMISSION, "; run it as root"),
            io::ErrorKind::NotFound => (exit::NO_INPUT, "; is --config-dir the folder of a Postfix?"),
            _ => (exit::IO_ERROR, ""),
        };
        Self::new(status, format!("{}: {error}{advice}", path.display()))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

/// Runs a command; the exit status.
///
/// # Errors
/// The output cannot be written.
pub fn run(command: &Command, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let done = match command {
        Command::Print(wanted) => print(wanted, out),
        Command::Apply(wanted) => apply(wanted, out),
        Command::Undo(place) => undo(place, out),
    };
    match done {
        Ok(result) => result.map(|()| exit::OK),
        Err(trouble) => {
            writeln!(err, "sekisho: {trouble}")?;
            Ok(trouble.status)
        }
    }
}

/// The outcome of a command: a failed write to the terminal is not our trouble.
type Done = Result<io::Result<()>, Trouble>;

/// Everything about a mode on a Postfix.
struct Plan {
    instance: Instance,
    mode: Mode,
    /// The files as they are.
    before: Files,
    /// The files as they would be without us.
    base: Files,
    /// The files as they will be.
    after: Files,
    commands: Vec<Vec<String>>,
    record: Record,
    addresses: Addresses,
    config: Option<Config>,
    notes: Vec<String>,
}

impl Plan {
    fn make(wanted: &Wanted) -> Result<Self, Trouble> {
        let instance = Instance::find(wanted.place.config_dir.as_deref())?;
        let config = load(wanted.config.as_deref())?;
        let before = instance.files()?;
        let (base, mut notes) = match Record::read(&instance)? {
            Some(record) => record.without_us(&instance, &before)?,
            None => (before.clone(), Vec::new()),
        };
        let present = instance.present(&base)?;
        let addresses = Addresses::of(wanted.mode, config.as_ref(), &present, wanted, &mut notes)?;
        let settings =
            modes::settings(wanted.mode, &addresses, &present, config.as_ref(), &wanted.services, &mut notes)?;
        let commands = commands(&settings, &present);
        // What holds already stays as it is, wherever its line stands.
        let now = instance.present(&before)?;
        let after = match settings.iter().all(|setting| now.has(setting)) {
            true => before.clone(),
            false => instance.edit(&base, &commands)?,
        };
        let record = Record::new(wanted.mode.name(), &settings, &present, &base, &after);
        Ok(Self { instance, mode: wanted.mode, before, base, after, commands, record, addresses, config, notes })
    }

    fn changes_nothing(&self) -> bool {
        self.before == self.after
    }
}

/// The postconf(1) calls that make `settings` true, as arguments.
fn commands(settings: &[Setting], present: &Present) -> Vec<Vec<String>> {
    let mut made: Vec<&str> = Vec::new();
    let mut commands = Vec::new();
    for setting in settings {
        let service = setting.place.service();
        // A service line replaces the former one with all its parameters.
        let anew = service.is_some_and(|service| made.contains(&service));
        if !anew && present.has(setting) {
            continue;
        }
        commands.push(setting.command());
        if setting.place.is_service() {
            made.extend(service);
        }
    }
    commands
}

fn print(wanted: &Wanted, out: &mut dyn Write) -> Done {
    let plan = Plan::make(wanted)?;
    Ok(show(&plan, wanted, out))
}

fn show(plan: &Plan, wanted: &Wanted, out: &mut dyn Write) -> io::Result<()> {
    let folder = plan.instance.folder().display();
    if plan.changes_nothing() {
        writeln!(out, "# Postfix in {folder} is set up for mode {}: nothing to change.", plan.mode.name())?;
        return notes(plan, out);
    }
    writeln!(out, "# Mode {} for the Postfix in {folder}; as root:", plan.mode.name())?;
    if plan.before != plan.base {
        writeln!(out, "sekisho postfix undo{}", config_dir("--config-dir", &wanted.place))?;
    }
    for command in &plan.commands {
        let words: Vec<String> = command.iter().map(|word| quoted(word)).collect();
        writeln!(out, "postconf{} {}", config_dir("-c", &wanted.place), words.join(" "))?;
    }
    let place = config_dir("-c", &wanted.place);
    writeln!(out, "postfix{place} check && postfix{place} reload")?;
    writeln!(out, "#\n# What they change:")?;
    for line in plan.before.diff(&plan.after).lines() {
        writeln!(out, "{}", format!("# {line}").trim_end())?;
    }
    notes(plan, out)
}

fn config_dir(option: &str, place: &Place) -> String {
    let folder = place.config_dir.as_deref();
    folder.map_or_else(String::new, |folder| format!(" {option} {}", quoted(&folder.display().to_string())))
}

/// What the admin has to know or to do elsewhere.
fn notes(plan: &Plan, out: &mut dyn Write) -> io::Result<()> {
    for note in &plan.notes {
        writeln!(out, "#\n# Note: {note}")?;
    }
    for listener in plan.addresses.listeners(plan.mode, plan.config.as_ref()) {
        writeln!(out, "#\n# Sekisho's configuration needs:")?;
        for line in listener.lines() {
            writeln!(out, "#   {line}")?;
        }
    }
    Ok(())
}

fn apply(wanted: &Wanted, out: &mut dyn Write) -> Done {
    let plan = Plan::make(wanted)?;
    if !plan.changes_nothing() {
        let former = Record::save(&plan.instance, Some((&plan.record, &plan.base)))?;
        if let Err(trouble) = install(&plan.instance, &plan.before, &plan.after) {
            former.bring_back(&plan.instance)?;
            return Err(trouble);
        }
    }
    Ok(tell_applied(&plan, out))
}

fn tell_applied(plan: &Plan, out: &mut dyn Write) -> io::Result<()> {
    let (mode, folder) = (plan.mode.name(), plan.instance.folder().display());
    if plan.changes_nothing() {
        writeln!(out, "Postfix in {folder} is set up for mode {mode}: nothing changed.")?;
    } else {
        out.write_all(plan.before.diff(&plan.after).as_bytes())?;
        let running = if plan.instance.is_running() { "checked and reloaded" } else { "checked; it does not run" };
        writeln!(out, "Postfix in {folder} is set up for mode {mode} ({running}). `sekisho postfix undo` reverts it.")?;
    }
    for note in &plan.notes {
        writeln!(out, "Note: {note}")?;
    }
    for listener in plan.addresses.listeners(plan.mode, plan.config.as_ref()) {
        writeln!(out, "Sekisho's configuration needs:\n{listener}")?;
    }
    for endpoint in plan.addresses.of_mode(plan.mode) {
        if let Err(error) = knock(&endpoint) {
            writeln!(
                out,
                "Warning: nobody takes mail on {endpoint} ({error}): start sekisho with a listener there; until then \
                 Postfix defers mail."
            )?;
        }
    }
    Ok(())
}

fn undo(place: &Place, out: &mut dyn Write) -> Done {
    let instance = Instance::find(place.config_dir.as_deref())?;
    let Some(record) = Record::read(&instance)? else {
        let text = format!(
            "Postfix in {} has no settings of `sekisho postfix apply`: nothing to undo.",
            instance.folder().display()
        );
        return Ok(writeln!(out, "{text}"));
    };
    let before = instance.files()?;
    let (base, notes) = record.without_us(&instance, &before)?;
    let former = Record::save(&instance, None)?;
    if let Err(trouble) = install(&instance, &before, &base) {
        former.bring_back(&instance)?;
        return Err(trouble);
    }
    Ok(tell_undone(&instance, &record, &before.diff(&base), &notes, out))
}

fn tell_undone(
    instance: &Instance,
    record: &Record,
    diff: &str,
    notes: &[String],
    out: &mut dyn Write,
) -> io::Result<()> {
    out.write_all(diff.as_bytes())?;
    for note in notes {
        writeln!(out, "Note: {note}")?;
    }
    let how = if notes.is_empty() { "is as it was before" } else { "has no more settings of" };
    writeln!(out, "Postfix in {} {how} mode {}.", instance.folder().display(), record.mode())?;
    if record.mode().ends_with(Mode::AfterQueue.name()) {
        writeln!(
            out,
            "Note: mail that is in the queue already still wants to go through Sekisho; `postsuper -r ALL` lets it go \
             on without."
        )?;
    }
    Ok(())
}

/// Puts files in place, has them checked and loaded; on any error the former ones come back.
fn install(instance: &Instance, before: &Files, after: &Files) -> Result<(), Trouble> {
    let installed = instance.write(before, after).and_then(|()| instance.check()).and_then(|()| instance.reload());
    installed.map_err(|trouble| {
        let back = instance.write(after, before).and_then(|()| instance.reload());
        let state = match back {
            Ok(()) => "; everything is as it was before".to_owned(),
            Err(error) => format!("; AND the former files could not be brought back ({error}): see *.sekisho-before"),
        };
        Trouble::new(trouble.status, format!("{trouble}{state}"))
    })
}

/// Whether somebody accepts connections there.
fn knock(endpoint: &Endpoint) -> io::Result<()> {
    match endpoint {
        Endpoint::Tcp(address) => TcpStream::connect_timeout(address, KNOCK).map(drop),
        Endpoint::Unix(path) => UnixStream::connect(path).map(drop),
        Endpoint::Systemd(_) => Ok(()),
    }
}

/// Sekisho's own configuration, if there is one.
fn load(path: Option<&Path>) -> Result<Option<Config>, Trouble> {
    let path = match path {
        Some(path) => path,
        None if !Path::new(DEFAULT_CONFIG).exists() => return Ok(None),
        None => Path::new(DEFAULT_CONFIG),
    };
    match Config::load(path) {
        Ok((config, _)) => Ok(Some(config)),
        Err(crate::config::load::LoadError::Invalid(diagnostics)) => {
            Err(Trouble::new(exit::CONFIG, format!("{} has errors:\n{diagnostics}", path.display())))
        }
        Err(error) => Err(Trouble::new(exit::NO_INPUT, error.to_string())),
    }
}

/// A word for sh(1).
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}
