//! `sekisho quarantine`: what is held, why, and what becomes of it. Works with or without the daemon.
//!
//! Data goes to standard output, everything else to standard error. Text from mail is escaped, and the
//! only thing that is printed to be copied into a command line is an id.

use std::io::{self, Write};

use clap::Subcommand;
use serde_json::json;

use crate::finding::Finding;
use crate::hostile::escape_json;
use crate::scan::PartReport;
use crate::store::{
    Delivery, Entry, Listed, Quarantine, QuarantineId, ReleaseError, ReleaseRequest, Released, Repeat, SCHEMA, State,
    StoreError, Summary,
};
use crate::terminal::{defanged, escaped, padded};

/// `sekisho quarantine …`
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// List the messages, oldest first
    List {
        /// Only those in this state: pending, unconfirmed, held, releasing, released, deleted
        #[arg(long)]
        state: Option<String>,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Show everything about a message
    Show {
        /// Its id
        id: String,
        /// As a JSON object
        #[arg(long, conflicts_with = "raw")]
        json: bool,
        /// The message itself, octet for octet, to a file or a program
        #[arg(long)]
        raw: bool,
    },
    /// Send messages on to their recipients, as they came
    Release {
        /// Their ids
        #[arg(required = true)]
        ids: Vec<String>,
        /// Send to this next hop instead: 127.0.0.1:10026, unix:/path
        #[arg(long)]
        to: Option<String>,
        /// Send once more what was, or may have been, sent already
        #[arg(long, conflicts_with = "done")]
        again: bool,
        /// Send nothing: the next hop has taken it, as its log shows
        #[arg(long)]
        done: bool,
    },
    /// Delete messages
    Delete {
        /// Their ids
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Make the index anew (done by itself when it is missing or damaged)
    Rebuild,
}

/// Where a command writes.
#[expect(missing_debug_implementations, reason = "a writer has none")]
pub struct Console<'a> {
    /// Standard output.
    pub out: &'a mut dyn Write,
    /// Standard error.
    pub err: &'a mut dyn Write,
    /// Columns, if standard output is a terminal.
    pub width: Option<usize>,
}

/// Makes the way to a next hop (`127.0.0.1:10026`, `unix:/path`), or says what is wrong with its name.
/// Connects only in [`Delivery::deliver`]: it may turn out that nothing is to be sent.
pub type Connect<'a> = dyn FnMut(&str) -> Result<Box<dyn Delivery>, String> + 'a;

/// Widest cell of a table that is not cut to a terminal.
const CELL: usize = 200;
/// Longest line of `show`.
const LINE: usize = 2000;
/// Octets of a raw message written at once.
const CHUNK: u64 = 1 << 20;

/// Runs a command. Returns its exit code (sysexits).
pub fn run(command: &Command, quarantine: &Quarantine, console: &mut Console<'_>, connect: &mut Connect<'_>) -> u8 {
    let result = match command {
        Command::List { state, json } => list(quarantine, state.as_deref(), *json, console),
        Command::Show { id, json, raw } => show(quarantine, id, *json, *raw, console),
        Command::Release { ids, to, again, done } => {
            let repeat = match (again, done) {
                (_, true) => Repeat::Done,
                (true, false) => Repeat::Again,
                (false, false) => Repeat::Never,
            };
            release(quarantine, ids, to.as_deref(), repeat, console, connect)
        }
        Command::Delete { ids } => delete(quarantine, ids, console),
        Command::Rebuild => rebuild(quarantine, console),
    };
    match result {
        Ok(code) => code,
        Err(Failed::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => 0, // `… | head`
        Err(error) => {
            // Standard error is the last resort: what cannot be written there is lost.
            let _ = writeln!(console.err, "sekisho: {}", escaped(&error.to_string(), LINE));
            error.exit_code()
        }
    }
}

fn list(quarantine: &Quarantine, state: Option<&str>, json: bool, console: &mut Console<'_>) -> Result<u8, Failed> {
    let state = state.map(|name| State::parse(name).ok_or_else(|| unknown_state(name))).transpose()?;
    let listed = quarantine.list(state)?;
    if json {
        for line in &listed {
            let line = match line {
                Listed::Entry(summary) => serde_json::to_string(summary).map_err(io::Error::from)?,
                Listed::Damaged { id, problem } => json!({"schema": SCHEMA, "id": id, "error": problem}).to_string(),
            };
            writeln!(console.out, "{}", escape_json(&line))?;
        }
        return Ok(0);
    }
    table(&listed, console)?;
    Ok(0)
}

/// A table whose columns are as wide as they must be; on a terminal, the last one is cut.
fn table(listed: &[Listed], console: &mut Console<'_>) -> io::Result<()> {
    let head = ["ID", "RECEIVED (UTC)", "STATE", "VERDICT", "RULE", "FROM", "TO", "SUBJECT"].map(str::to_owned);
    let rows: Vec<_> =
        std::iter::once(head).chain(listed.iter().map(|listed| cells(listed, console.width.is_some()))).collect();
    let widths: Vec<usize> = (0..8)
        .map(|column| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| crate::terminal::width(cell)).max().unwrap_or(0)
        })
        .collect();
    for row in rows {
        let line: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| padded(cell, *width)).collect();
        let line = line.join("  ");
        // Every cell is escaped already; this only cuts.
        writeln!(console.out, "{}", escaped(line.trim_end(), console.width.unwrap_or(usize::MAX)))?;
    }
    Ok(())
}

/// The cells of a row, escaped. On a terminal, addresses are kept short.
fn cells(listed: &Listed, short: bool) -> [String; 8] {
    let summary = match listed {
        Listed::Entry(summary) => summary,
        Listed::Damaged { id, problem } => {
            let time = minutes(id.time());
            let problem = escaped(problem, CELL);
            return [
                id.to_string(),
                time,
                "damaged".to_owned(),
                "-".to_owned(),
                "-".to_owned(),
                "-".to_owned(),
                "-".to_owned(),
                problem,
            ];
        }
    };
    let address = if short { 28 } else { CELL };
    [
        summary.id.to_string(),
        minutes(summary.received_at),
        summary.state.to_string(),
        verdict(summary),
        escaped(&summary.rule, if short { 24 } else { CELL }),
        escaped(&or_null(&summary.sender.address()), address),
        recipients(summary, address),
        escaped(summary.subject.as_deref().unwrap_or("-"), CELL),
    ]
}

fn minutes(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M").to_string()
}

/// RFC 3339, UTC, to the second: as people compare it with Postfix's log.
fn seconds(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn verdict(summary: &Summary) -> String {
    format!("{}{}", summary.verdict.name(), if summary.complete { "" } else { ", incomplete" })
}

fn or_null(address: &str) -> String {
    if address.is_empty() { "<>".to_owned() } else { address.to_owned() }
}

/// The first recipient, and how many there are beside it.
fn recipients(summary: &Summary, max: usize) -> String {
    let first = summary.recipients.first().map(|path| path.address()).unwrap_or_default();
    match summary.recipients.len().saturating_sub(1) {
        0 => escaped(&first, max),
        others => format!("{} +{others}", escaped(&first, max)),
    }
}

fn show(quarantine: &Quarantine, id: &str, json: bool, raw: bool, console: &mut Console<'_>) -> Result<u8, Failed> {
    let id = parse(id)?;
    if raw && console.width.is_some() {
        return Err(Failed::Usage(
            "a message could steer your terminal: send the output to a file or a program".to_owned(),
        ));
    }
    if raw {
        let message = quarantine.content(id)?;
        let mut at = 0;
        while at < message.size() {
            let end = at.saturating_add(CHUNK);
            console.out.write_all(&message.read(at..end)?)?;
            at = end;
        }
        return Ok(0);
    }
    let entry = quarantine.entry(id)?;
    if json {
        let text = serde_json::to_string_pretty(&entry).map_err(io::Error::from)?;
        writeln!(console.out, "{}", escape_json(&text))?;
    } else {
        describe(&entry, console.out)?;
    }
    Ok(0)
}

/// Everything about a message, for a person.
fn describe(entry: &Entry, out: &mut dyn Write) -> io::Result<()> {
    let line = entry.line.map(|line| format!(" (line {line})")).unwrap_or_default();
    let complete = if entry.complete { "" } else { "; not everything could be inspected" };
    let client = &entry.envelope.client;
    let client: Vec<String> = [
        client.addr.map(|addr| addr.to_string()),
        client.name.clone(),
        client.helo.as_ref().map(|helo| format!("HELO {helo}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    field(out, "Id", entry.id.as_str())?;
    field(out, "State", entry.state.name())?;
    if entry.to_release {
        field(out, "", "opened with the password of a later mail; the daemon releases it when its next hop takes it")?;
    }
    field(out, "Received", &seconds(entry.received_at))?;
    field(out, "Verdict", &format!("{}{complete}", entry.verdict.name()))?;
    field(out, "Rule", &format!("{}{line}", entry.rule))?;
    field(out, "Why", &entry.explanation.en)?;
    field(out, "", &entry.explanation.ja)?;
    field(out, "From", entry.from.as_deref().unwrap_or("-"))?;
    field(out, "Subject", entry.subject.as_deref().unwrap_or("-"))?;
    field(out, "Message-ID", entry.message_id.as_deref().unwrap_or("-"))?;
    field(out, "Size", &format!("{} bytes", entry.size))?;
    field(out, "SHA-256", &entry.sha256)?;
    field(out, "Client", if client.is_empty() { "-".to_owned() } else { client.join(", ") }.as_str())?;
    field(out, "Queue id", entry.envelope.queue_id.as_deref().unwrap_or("-"))?;
    field(out, "Sender", &entry.envelope.sender.path.text())?;
    for (index, recipient) in entry.envelope.recipients.iter().enumerate() {
        let held = if entry.held.contains(recipient) { "held" } else { "not held" };
        field(out, if index == 0 { "Recipients" } else { "" }, &format!("{} ({held})", recipient.path.text()))?;
    }
    field(out, "Came in", &format!("{} ({})", entry.listener, entry.mode))?;
    field(out, "Next hop", &entry.next_hop)?;
    facts(entry, out)?;
    heading(out, "Notes", entry.notes.len())?;
    for note in &entry.notes {
        writeln!(out, "  {}  {}", seconds(note.at), escaped(&defanged(&note.text), LINE))?;
    }
    next_steps(entry, out)
}

fn facts(entry: &Entry, out: &mut dyn Write) -> io::Result<()> {
    let Some(facts) = entry.facts() else {
        return field(out, "Findings", "were written by another version of sekisho: see --json");
    };
    heading(out, "Findings", facts.findings.len())?;
    for Finding { id, part, location, evidence } in &facts.findings {
        let (id, severity) = (id.as_str(), id.kind().severity.name());
        let (location, evidence) = (escaped(location, CELL), escaped(&defanged(evidence), CELL));
        let line = format!("  {id}  {severity}  part {part}  {location}  {evidence}");
        writeln!(out, "{}", line.trim_end())?;
    }
    heading(out, "Parts", facts.parts.len())?;
    for PartReport { path, names, types, size, sha256, .. } in &facts.parts {
        let name = escaped(names.first().map_or("-", String::as_str), CELL);
        let kind = types.first().map_or("-", |kind| kind.name());
        writeln!(out, "  {path}  {name}  {kind}  {size} bytes  {sha256}")?;
    }
    Ok(())
}

/// What can be done now. Of the message, only its id is printed.
fn next_steps(entry: &Entry, out: &mut dyn Write) -> io::Result<()> {
    let id = entry.id;
    writeln!(out)?;
    match (entry.state, entry.outcome_unknown()) {
        (State::Releasing, Some(at)) => {
            writeln!(out, "A release was cut off when the message was handed over, at {}.", seconds(at))?;
            writeln!(out, "In the next hop's log it was taken:      sekisho quarantine release --done {id}")?;
            writeln!(out, "In the next hop's log it is not there:   sekisho quarantine release --again {id}")
        }
        (State::Pending | State::Unconfirmed | State::Held | State::Releasing, _) => {
            writeln!(out, "Let it pass:   sekisho quarantine release {id}")?;
            writeln!(out, "Delete it:     sekisho quarantine delete {id}")?;
            writeln!(out, "Look at it:    sekisho quarantine show --raw {id} > {id}.eml")
        }
        (State::Released, _) => writeln!(out, "It was released. Once more:   sekisho quarantine release --again {id}"),
        (State::Deleted, _) => writeln!(out, "It was deleted."),
    }
}

fn field(out: &mut dyn Write, name: &str, text: &str) -> io::Result<()> {
    writeln!(out, "{name:<12}{}", escaped(&defanged(text), LINE))
}

fn heading(out: &mut dyn Write, name: &str, count: usize) -> io::Result<()> {
    if count == 0 { Ok(()) } else { writeln!(out, "\n{name}") }
}

fn release(
    quarantine: &Quarantine,
    ids: &[String],
    to: Option<&str>,
    repeat: Repeat,
    console: &mut Console<'_>,
    connect: &mut Connect<'_>,
) -> Result<u8, Failed> {
    let by = who();
    each(ids, console, |id, console| {
        let next_hop = match to {
            Some(to) => to.to_owned(),
            None => quarantine.entry(id)?.next_hop,
        };
        let mut delivery = connect(&next_hop).map_err(Failed::NextHop)?;
        let request = ReleaseRequest { next_hop, by: by.clone(), repeat };
        let released = quarantine.release(id, &request, delivery.as_mut())?;
        report(id, &released, console)?;
        Ok(())
    })
}

/// Says how a release ended.
fn report(id: QuarantineId, released: &Released, console: &mut Console<'_>) -> io::Result<()> {
    match released {
        Released::Sent { recipients, reply, refused } => {
            let noun = if *recipients == 1 { "recipient" } else { "recipients" };
            writeln!(console.out, "{id}: released to {recipients} {noun}: {}", escaped(reply, CELL))?;
            for refusal in refused {
                let (recipient, reply) = (refusal.recipient.path.text(), &refusal.reply);
                let text = format!("the next hop refused {recipient}, whose copy stays held: {reply}");
                writeln!(console.err, "{id}: {}", escaped(&text, LINE))?;
            }
            Ok(())
        }
        Released::Already { at } => {
            let at = at.map(|at| format!(" at {}", seconds(at))).unwrap_or_default();
            writeln!(console.out, "{id}: was released{at}; nothing was sent")
        }
        Released::Marked => writeln!(console.out, "{id}: marked as released; nothing was sent"),
    }
}

fn delete(quarantine: &Quarantine, ids: &[String], console: &mut Console<'_>) -> Result<u8, Failed> {
    let by = who();
    each(ids, console, |id, console| {
        quarantine.delete(id, &by)?;
        writeln!(console.out, "{id}: deleted")?;
        Ok(())
    })
}

fn rebuild(quarantine: &Quarantine, console: &mut Console<'_>) -> Result<u8, Failed> {
    let count = quarantine.rebuild()?;
    writeln!(console.out, "the index was made anew: {count} messages")?;
    Ok(0)
}

/// Does something with each message; one that fails does not keep the others from it. Nothing is done
/// if one of the ids is none. The exit code is that of the first failure.
fn each(
    ids: &[String],
    console: &mut Console<'_>,
    mut act: impl FnMut(QuarantineId, &mut Console<'_>) -> Result<(), Failed>,
) -> Result<u8, Failed> {
    let ids = ids.iter().map(|id| parse(id)).collect::<Result<Vec<_>, _>>()?;
    let mut code = 0;
    for id in ids {
        match act(id, console) {
            Ok(()) => {}
            Err(Failed::Output(error)) => return Err(Failed::Output(error)),
            Err(error) => {
                writeln!(console.err, "sekisho: {}", escaped(&error.to_string(), LINE))?;
                code = if code == 0 { error.exit_code() } else { code };
            }
        }
    }
    Ok(code)
}

fn parse(id: &str) -> Result<QuarantineId, Failed> {
    QuarantineId::parse(id).map_err(|error| Failed::Usage(error.to_string()))
}

fn unknown_state(name: &str) -> Failed {
    let names = State::ALL.map(State::name).join(", ");
    Failed::Usage(format!("there is no state `{name}`; states are {names}"))
}

/// Who runs this, for the entry and the log: `uid 0 (root), by sudo from uid 1000`.
fn who() -> String {
    let uid = rustix::process::getuid().as_raw();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    });
    let name = name.map(|name| format!(" ({})", escaped(name, 40))).unwrap_or_default();
    let sudo = std::env::var("SUDO_UID").ok().and_then(|sudo| sudo.parse::<u32>().ok());
    let sudo = sudo.map(|sudo| format!(", by sudo from uid {sudo}")).unwrap_or_default();
    format!("uid {uid}{name}{sudo}")
}

/// Why a command failed.
enum Failed {
    Usage(String),
    NextHop(String),
    Store(StoreError),
    Release(ReleaseError),
    Output(io::Error),
}

impl Failed {
    fn exit_code(&self) -> u8 {
        match self {
            Failed::Usage(_) | Failed::NextHop(_) => 64,
            Failed::Store(error) => error.exit_code(),
            Failed::Release(error) => error.exit_code(),
            Failed::Output(_) => 74,
        }
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failed::Usage(text) => f.write_str(text),
            Failed::NextHop(text) => write!(f, "the next hop (--to): {text}"),
            Failed::Store(error) => error.fmt(f),
            Failed::Release(error) => error.fmt(f),
            Failed::Output(error) => write!(f, "cannot write the output: {error}"),
        }
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<ReleaseError> for Failed {
    fn from(error: ReleaseError) -> Self {
        Self::Release(error)
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}
