//! `sekisho demo`: the real daemon, a sink as its next hop, every sample through it over SMTP.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;

use serde::Serialize;

use crate::cli::exit;
use crate::config::{Config, Endpoint, Timeouts};
use crate::daemon::Daemon;
use crate::envelope::{self, Octets};
use crate::formats;
use crate::message::{Edits, Message};
use crate::mime;
use crate::smtp::Protocol;
use crate::smtp::client::Client;
use crate::smtp::reply::Reply;
use crate::store::{Quarantine, QuarantineId};
use crate::systemd::Sockets;
use crate::terminal::escaped;

mod samples;
mod sink;

use samples::Sample;
use sink::Sink;

/// `sekisho demo`
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Leave the daemon running afterwards, until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// One JSON object per sample
    #[arg(long)]
    json: bool,
}

const SENDER: &str = "<accounts@sender.example>";
const RECIPIENT: &str = "<reader@example.jp>";

/// One line of the table.
#[derive(Debug, Serialize)]
struct Row {
    schema: &'static str,
    sample: String,
    about: String,
    verdict: String,
    complete: bool,
    action: &'static str,
    explanation: String,
    reply: String,
    /// What was not as expected; empty if all was.
    wrong: Vec<String>,
}

/// Runs the demonstration; the exit status is 0 only if every sample met its expectation.
pub fn run(arguments: &Arguments) -> u8 {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let status = runtime.block_on(async {
        match demonstrate(arguments).await {
            Ok(true) => exit::OK,
            Ok(false) => exit::FOUND,
            // `sekisho demo | head`: nobody reads the reason, and not all was shown.
            Err(error) if is_broken_pipe(error.as_ref()) => exit::IO_ERROR,
            Err(error) => failed(&error),
        }
    });
    runtime.shutdown_background();
    status
}

fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn failed(error: &dyn std::fmt::Display) -> u8 {
    let _ = writeln!(io::stderr(), "sekisho: the demonstration failed: {error}");
    exit::SOFTWARE
}

async fn demonstrate(arguments: &Arguments) -> Result<bool, Box<dyn std::error::Error>> {
    let state = tempfile::Builder::new().prefix("sekisho-demo-").tempdir()?;
    let sink = Sink::start().await?;
    let text = format!(
        "[[listener]]\nlisten = \"127.0.0.1:0\"\nnext_hop = \"{}\"\n[http]\nlisten = \"127.0.0.1:0\"\n",
        sink.address()
    );
    let config = Config::parse(&text, "demo").map_err(|mistakes| mistakes.to_string())?;
    let daemon = Daemon::start(config, state.path(), Sockets::none(), formats::TABLE).await?;
    let mut out = io::stdout();
    let mut rows = Vec::new();
    for (sample, message) in samples::all()? {
        let row = pass_through(&sample, message, &daemon, &sink).await?;
        if arguments.json {
            writeln!(out, "{}", serde_json::to_string(&row)?)?;
        }
        rows.push(row);
    }
    if !arguments.json {
        table(&rows, &mut out)?;
        places(&daemon, state.path(), arguments.keep, &mut out)?;
    }
    if arguments.keep {
        // JSON has standard output for itself.
        let (mut plain, mut aside) = (io::stdout(), io::stderr());
        let people: &mut dyn Write = if arguments.json { &mut aside } else { &mut plain };
        try_it(&daemon, people)?;
        tokio::signal::ctrl_c().await?;
    }
    daemon.stop().await;
    Ok(rows.iter().all(|row| row.wrong.is_empty()))
}

/// Sends one sample and finds out what became of it.
async fn pass_through(
    sample: &Sample,
    message: &'static [u8],
    daemon: &Daemon,
    sink: &Sink,
) -> Result<Row, Box<dyn std::error::Error>> {
    let before = sink.received();
    let reply = send(daemon.listening().first().ok_or("no listener")?, message).await?;
    let delivered = sink.since(before);
    let held = reply.text().rsplit(' ').next().and_then(|word| QuarantineId::parse(word).ok());
    let mut row = Row {
        schema: "sekisho.demo/1",
        sample: sample.name.clone(),
        about: sample.about.clone(),
        verdict: String::new(),
        complete: false,
        action: "",
        explanation: String::new(),
        reply: reply.text(),
        wrong: Vec::new(),
    };
    let mut findings = Vec::new();
    match (delivered.first(), held) {
        (Some(copy), _) => describe_delivered(copy, message, &mut row),
        (None, Some(id)) if reply.is_positive() => {
            let entry = quarantine(daemon)?.entry(id)?;
            row.action = "quarantine";
            row.verdict = entry.verdict.name().to_owned();
            row.complete = entry.complete;
            row.explanation = entry.explanation.en.clone();
            findings = entry.facts().map(|facts| facts.findings).unwrap_or_default();
        }
        (None, _) => row.action = if reply.class() == 5 { "reject" } else { "defer" },
    }
    let mut expect = |what: &str, got: &str, wanted: &str| {
        if got != wanted {
            row.wrong.push(format!("{what} is {got:?}, expected {wanted:?}"));
        }
    };
    expect("verdict", &row.verdict, &sample.verdict);
    expect("complete", &row.complete.to_string(), &sample.complete.to_string());
    expect("action", row.action, &sample.action);
    if row.action == "quarantine" {
        for id in sample.findings.iter().filter(|id| !findings.iter().any(|finding| finding.id.as_str() == **id)) {
            row.wrong.push(format!("the finding {id} is missing"));
        }
    }
    Ok(row)
}

/// What our fields say of a delivered copy, and whether all the rest is as it was.
fn describe_delivered(copy: &[u8], original: &[u8], row: &mut Row) {
    row.action = "pass";
    let mut rest = Vec::new();
    let mut end = 0;
    for field in mime::fields(copy) {
        let octets = |range: std::ops::Range<usize>| copy.get(range).unwrap_or_default();
        let name = String::from_utf8_lossy(octets(field.name)).to_ascii_lowercase();
        let value = String::from_utf8_lossy(octets(field.value)).replace("\r\n", "");
        end = field.span.end;
        match name.as_str() {
            "x-sekisho-verdict" => {
                row.complete = !value.contains("incomplete");
                row.verdict = value.split(';').next().unwrap_or_default().trim().to_owned();
            }
            "x-sekisho-explanation" => row.explanation = value.trim().to_owned(),
            "x-sekisho-id" => {}
            _ => rest.extend_from_slice(octets(field.span)),
        }
    }
    rest.extend_from_slice(copy.get(end..).unwrap_or_default());
    if rest != original {
        row.wrong.push("the delivered copy differs from the original".to_owned());
    }
}

/// One message over SMTP, with the same client that talks to next hops.
async fn send(to: &Endpoint, message: &'static [u8]) -> Result<Reply, Box<dyn std::error::Error>> {
    let mut client = Client::connect(to, &Timeouts::default()).await?;
    client.hello(&Octets::from("demo.example"), &[Protocol::Smtp], None).await?.map_err(|reply| reply.text())?;
    for reply in
        [client.mail(&envelope::Path::new(SENDER)).await?, client.recipient(&envelope::Path::new(RECIPIENT)).await?]
    {
        if !reply.is_positive() {
            return Ok(reply);
        }
    }
    if let Err(reply) = client.data().await? {
        return Ok(reply);
    }
    let writer = client.content(&Message::from_bytes(message), &Edits::default()).await?;
    let reply = client.end_of_data(writer).await?;
    client.quit().await;
    Ok(reply)
}

fn quarantine(daemon: &Daemon) -> Result<Quarantine, Box<dyn std::error::Error>> {
    let defaults = Config::default().quarantine;
    Ok(Quarantine::open_existing(daemon.quarantine_folder(), defaults.keep, defaults.max_size)?)
}

fn table(rows: &[Row], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{:<20} {:<11} {:<11} why", "message", "verdict", "done")?;
    for row in rows {
        let explanation = if row.explanation.is_empty() { "Nothing to report." } else { &row.explanation };
        writeln!(out, "{:<20} {:<11} {:<11} {}", row.sample, row.verdict, row.action, escaped(explanation, 400))?;
        for wrong in &row.wrong {
            writeln!(out, "{:<20} ✘ {}", "", escaped(wrong, 200))?;
        }
    }
    let met = rows.iter().filter(|row| row.wrong.is_empty()).count();
    writeln!(out, "\n{met} of {} samples met their expectation.", rows.len())
}

fn places(daemon: &Daemon, state: &Path, keep: bool, out: &mut dyn Write) -> io::Result<()> {
    if let Some(http) = daemon.http() {
        writeln!(out, "metrics     http://{http}/metrics")?;
        writeln!(out, "health      http://{http}/readyz?verbose")?;
    }
    writeln!(out, "quarantine  {}", daemon.quarantine_folder().display())?;
    writeln!(out, "            {} quarantine --state-dir {} list", this_program(), state.display())?;
    match keep {
        true => writeln!(out, "(temporary: gone when you end it)"),
        false => writeln!(out, "(all of them gone by now; --keep leaves them until you end it)"),
    }
}

/// How to call this very program, installed or not.
fn this_program() -> String {
    std::env::current_exe().map_or_else(|_| "sekisho".to_owned(), |path| path.display().to_string())
}

fn try_it(daemon: &Daemon, out: &mut dyn Write) -> io::Result<()> {
    let smtp: Option<SocketAddr> = daemon.listening().iter().find_map(|endpoint| match endpoint {
        Endpoint::Tcp(address) => Some(*address),
        Endpoint::Unix(_) | Endpoint::Systemd(_) => None,
    });
    if let Some(smtp) = smtp {
        writeln!(out, "\nTry it (Ctrl-C ends the daemon):")?;
        writeln!(
            out,
            "  swaks --server {} --port {} --from a@sender.example --to b@example.jp --attach @FILE",
            smtp.ip(),
            smtp.port()
        )?;
    }
    out.flush()
}
