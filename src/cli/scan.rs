//! `sekisho scan`: files, folders, mbox, Maildir and standard input, judged as the daemon would.
//!
//! One result per input, in input order: a table for people, JSON Lines (`sekisho.scan/1`) for
//! programs. A file that is not a message is scanned as a single attachment of that name.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::asks::{Oracle, Oracles};
use crate::cli::exit;
use crate::config;
use crate::filetype::FileType;
use crate::finding::{Category, Finding, Severity};
use crate::knowledge::Knowledge;
use crate::limits::Limits;
use crate::message::read_bounded;
use crate::metrics::Metrics;
use crate::ocr::Tesseract;
use crate::part::PartPath;
use crate::pictures::Pictures;
use crate::scan::{Indicator, Input, PartReport, Report, sha256};
use crate::terminal::escaped;
use crate::verdict::{Level, Verdict, judge};

pub(super) mod inputs;
mod order;
mod timer;

use self::order::in_order;
pub(super) use self::timer::Timer;

/// `sekisho scan`
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sekisho scan invoice.docm
  sekisho scan --json Maildir/ | jq -c 'select(.verdict == \"malicious\")'
  sekisho scan - < message.eml

Exit status: 0 nothing at or above --fail-on, 1 something, 64 usage, 66 an input is missing,
74 an input could not be read.")]
pub struct Arguments {
    /// Files, folders, mbox files, Maildirs; `-` is standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// One JSON object per input
    #[arg(long)]
    json: bool,
    /// Exit 1 if any verdict is at least this
    #[arg(long, value_name = "LEVEL", default_value = "suspicious", value_parser = level)]
    fail_on: Level,
    /// Exit 1 also if anything could not be looked into
    #[arg(long)]
    fail_on_incomplete: bool,
    /// A password to try on encrypted content (may be given several times)
    #[arg(long = "password", value_name = "PASSWORD")]
    passwords: Vec<String>,
    /// Read the text in pictures of documents with active content, with tesseract
    #[arg(long)]
    ocr: bool,
    /// Scans at the same time [default: one per core]
    #[arg(short = 'j', long, value_name = "N")]
    jobs: Option<usize>,
}

fn level(text: &str) -> Result<Level, String> {
    Level::parse(text).ok_or_else(|| "one of clean, active, suspicious, malicious".to_owned())
}

/// Scans everything; returns the exit status.
pub fn run(arguments: &Arguments, out: &mut dyn Write, diagnostics: &mut dyn Write) -> io::Result<u8> {
    let oracles = if arguments.ocr {
        let Some(program) = crate::ocr::installed() else {
            writeln!(diagnostics, "sekisho: --ocr needs tesseract: apt install tesseract-ocr tesseract-ocr-jpn")?;
            return Ok(exit::USAGE);
        };
        let (reader, metrics) = (Tesseract::new(&program, &config::Ocr::default().languages), Arc::new(Metrics::new()));
        let pictures: Arc<dyn Oracle> = Arc::new(Pictures::new(Some(reader), None, Arc::clone(&metrics)));
        Some(Oracles::new([pictures], metrics))
    } else {
        None
    };
    let passwords = arguments.passwords.clone();
    let judging = Judging {
        knowledge: Knowledge { passwords, asking: oracles.is_some(), ..Knowledge::default() },
        limits: Limits::default(),
        oracles,
    };
    let jobs =
        arguments.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).clamp(1, 64);
    let mut worst = exit::OK;
    let inputs = inputs::walk(&arguments.paths, judging.limits.max_message_size);
    in_order(inputs, jobs, &|item, timer: &Timer| Outcome::of(item, &judging, timer), |result: Outcome| {
        worst = worse(worst, result.exit(arguments));
        if arguments.json { result.write_json(out) } else { result.write_text(out, diagnostics) }
    })?;
    Ok(worst)
}

/// An unreadable input wins over a verdict; the first unreadable one decides.
fn worse(so_far: u8, next: u8) -> u8 {
    if so_far > exit::FOUND || (so_far == exit::FOUND && next == exit::OK) { so_far } else { next }
}

/// What all inputs are judged with.
struct Judging {
    knowledge: Knowledge,
    limits: Limits,
    /// Who answers asks, with `--ocr`.
    oracles: Option<Oracles>,
}

impl Judging {
    fn look(&self, input: Input, timer: &Timer) -> Report {
        let Some(oracles) = &self.oracles else { return timer.scan(input, &self.limits, &self.knowledge) };
        let mut report = timer.scan(input.clone(), &self.limits, &self.knowledge);
        if !report.asks.is_empty()
            && let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build()
        {
            // The oracles' own limit is shorter.
            let answers = runtime.block_on(async {
                let now = tokio::time::Instant::now();
                let until = now.checked_add(Duration::from_secs(60)).unwrap_or(now);
                oracles.answer(&mut report, until).await
            });
            if !answers.is_empty() {
                report = timer.scan(input, &self.limits, &Knowledge { answers, ..self.knowledge.clone() });
            }
        }
        report.leave_unanswered();
        report
    }
}

/// One input's result.
struct Outcome {
    path: String,
    result: Result<Scanned, inputs::Unreadable>,
}

struct Scanned {
    sha256: String,
    size: u64,
    report: Report,
    verdict: Verdict,
    took: Duration,
}

impl Outcome {
    fn of(item: inputs::Item, judging: &Judging, timer: &Timer) -> Self {
        let result = item.input.map(|input| {
            let (bytes, size) = (input.bytes.clone(), input.bytes.len() as u64);
            let start = Instant::now();
            let report = judging.look(input, timer);
            let verdict = judge(&report);
            let took = start.elapsed();
            // A file was hashed as a part; a message is not.
            let known = report.parts.first().filter(|whole| whole.path == PartPath::root() && !whole.sha256.is_empty());
            let sha256 = known.map_or_else(|| sha256(&bytes), |whole| whole.sha256.clone());
            Scanned { sha256, size, report, verdict, took }
        });
        Self { path: item.path, result }
    }

    fn exit(&self, arguments: &Arguments) -> u8 {
        match &self.result {
            Err(unreadable) => unreadable.exit,
            Ok(scanned) => {
                let found = scanned.verdict.level >= arguments.fail_on
                    || arguments.fail_on_incomplete && !scanned.verdict.complete;
                if found { exit::FOUND } else { exit::OK }
            }
        }
    }

    fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        let line = match &self.result {
            Ok(scanned) => serde_json::to_string(&scanned.json(&self.path)),
            Err(unreadable) => serde_json::to_string(&serde_json::json!({
                "schema": SCHEMA, "path": self.path, "error": unreadable.message,
            })),
        };
        writeln!(out, "{}", line.map_err(io::Error::other)?)
    }

    fn write_text(&self, out: &mut dyn Write, diagnostics: &mut dyn Write) -> io::Result<()> {
        match &self.result {
            Ok(scanned) => scanned.write_text(&self.path, out),
            Err(unreadable) => writeln!(diagnostics, "sekisho: {}: {}", escaped(&self.path, 200), unreadable.message),
        }
    }
}

const SCHEMA: &str = "sekisho.scan/1";

#[derive(Serialize)]
struct Json<'a> {
    schema: &'static str,
    path: &'a str,
    sha256: &'a str,
    size: u64,
    #[serde(rename = "type")]
    file_type: FileType,
    verdict: Level,
    complete: bool,
    explanation: JsonExplanation<'a>,
    findings: Vec<JsonFinding<'a>>,
    parts: Vec<JsonPart<'a>>,
    indicators: &'a [Indicator],
    seconds: f64,
}

#[derive(Serialize)]
struct JsonExplanation<'a> {
    en: &'a str,
    ja: &'a str,
}

#[derive(Serialize)]
struct JsonFinding<'a> {
    id: &'static str,
    category: Category,
    severity: Severity,
    part: String,
    location: &'a str,
    evidence: &'a str,
    attack: Option<&'static str>,
}

#[derive(Serialize)]
struct JsonPart<'a> {
    path: String,
    name: &'a str,
    names: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    name_raw: Option<&'a str>,
    #[serde(rename = "type")]
    file_type: FileType,
    types: &'a [FileType],
    size: u64,
    sha256: &'a str,
    depth: u32,
    code_fingerprint: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    closed: &'a [String],
}

impl Scanned {
    fn json<'a>(&'a self, path: &'a str) -> Json<'a> {
        Json {
            schema: SCHEMA,
            path,
            sha256: &self.sha256,
            size: self.size,
            file_type: self.report.parts.first().map_or(FileType::Data, main_type),
            verdict: self.verdict.level,
            complete: self.verdict.complete,
            explanation: JsonExplanation { en: &self.verdict.explanation.en, ja: &self.verdict.explanation.ja },
            findings: self.report.findings.iter().map(json_finding).collect(),
            parts: self.report.parts.iter().map(|part| json_part(part, &self.sha256)).collect(),
            indicators: &self.report.indicators,
            seconds: self.took.as_secs_f64(),
        }
    }

    fn write_text(&self, path: &str, out: &mut dyn Write) -> io::Result<()> {
        let incomplete = if self.verdict.complete { "" } else { ", not everything could be inspected" };
        writeln!(out, "{}: {}{incomplete}", escaped(path, 200), self.verdict.level.name())?;
        writeln!(out, "  {}", self.verdict.explanation.en)?;
        for finding in self.report.findings.iter().filter(|finding| finding.id.severity > Severity::Info) {
            let part = self.report.parts.iter().find(|part| part.path == finding.part);
            let name = part.and_then(|part| part.names.first()).map_or("", String::as_str);
            writeln!(
                out,
                "  {:<9} {:<24} {} {}  {}  {}",
                finding.id.severity.name(),
                finding.id.as_str(),
                finding.part,
                escaped(name, 60),
                escaped(&finding.location, 60),
                escaped(&finding.evidence, 120),
            )?;
        }
        Ok(())
    }
}

fn json_finding(finding: &Finding) -> JsonFinding<'_> {
    JsonFinding {
        id: finding.id.as_str(),
        category: finding.id.category,
        severity: finding.id.severity,
        part: finding.part.to_string(),
        location: &finding.location,
        evidence: &finding.evidence,
        attack: finding.id.attack,
    }
}

/// `whole` is the hash of what was handed in: that of the message itself.
fn json_part<'a>(part: &'a PartReport, whole: &'a str) -> JsonPart<'a> {
    JsonPart {
        path: part.path.to_string(),
        name: part.names.first().map_or("", String::as_str),
        names: &part.names,
        name_raw: part.name_raw.as_deref(),
        file_type: main_type(part),
        types: &part.types,
        size: part.size,
        sha256: if part.sha256.is_empty() { whole } else { &part.sha256 },
        depth: part.depth,
        code_fingerprint: part.code_fingerprint.as_deref(),
        closed: &part.closed,
    }
}

fn main_type(part: &PartReport) -> FileType {
    part.types.first().copied().unwrap_or(FileType::Data)
}

/// Reads one file under the size limit.
fn read_file(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read_bounded(std::fs::File::open(path)?, limit)
}
