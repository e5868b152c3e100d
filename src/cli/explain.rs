//! `sekisho explain FILE`: what is in it, what was seen where, what that means, which rule decides, and what
//! would change it. For the admin with a blocked invoice.

use std::io::{self, Write};
use std::net::IpAddr;
use std::path::PathBuf;

use jiff::Timestamp;

use crate::cli::scan::{Timer, inputs};
use crate::cli::{DEFAULT_CONFIG, exit};
use crate::config::Config;
use crate::config::load::LoadError;
use crate::envelope::Path;
use crate::knowledge::Knowledge;
use crate::policy::allow::forgive;
use crate::policy::facts::{FACTS_VERSION, Facts};
use crate::policy::{decide, direction};
use crate::scan::Report;
use crate::terminal::{defanged, escaped};
use crate::verdict::{Verdict, judge};

mod change;
mod tree;

/// Longest line of text from a message, in columns.
const WIDE: usize = 2000;

/// `sekisho explain`
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sekisho explain invoice.docm
  sekisho explain --sender report@partner.example --client 192.0.2.7 message.eml
  sekisho quarantine show --raw ID | sekisho explain -

Exit status: 0 explained, 66 an input or the configuration is missing, 74 it could not be read,
78 the configuration has errors.")]
pub struct Arguments {
    /// Messages or files; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    paths: Vec<PathBuf>,
    /// The configuration whose rules decide [default: /etc/sekisho/sekisho.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// MAIL FROM, for rules that ask for it
    #[arg(long, value_name = "ADDRESS", default_value = "")]
    sender: String,
    /// The recipient, for rules that ask for it
    #[arg(long, value_name = "ADDRESS", default_value = "")]
    recipient: String,
    /// The client's address, for rules that ask for it
    #[arg(long, value_name = "IP")]
    client: Option<IpAddr>,
    /// A password to try on encrypted content (may be given several times)
    #[arg(long = "password", value_name = "PASSWORD")]
    passwords: Vec<String>,
    /// The language of the sentences [default: by LANG]
    #[arg(long, value_name = "LANGUAGE")]
    lang: Option<Language>,
}

/// What sentences are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Language {
    /// English
    En,
    /// Japanese
    Ja,
}

impl Language {
    /// By the environment, as locale(7) says which variable counts.
    fn of_the_environment() -> Self {
        let names = ["LC_ALL", "LC_MESSAGES", "LANG"];
        let set = names.iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
        if set.is_some_and(|locale| locale.starts_with("ja")) { Language::Ja } else { Language::En }
    }
}

/// Explains every input; returns the exit status.
///
/// # Errors
/// `out` or `err` cannot be written.
pub fn run(arguments: &Arguments, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let config = match super::program::load(arguments.config.as_deref()) {
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
    let language = arguments.lang.unwrap_or_else(Language::of_the_environment);
    let knowledge = Knowledge { passwords: arguments.passwords.clone(), ..Knowledge::default() };
    let (mut status, timer) = (exit::OK, Timer::default());
    for (nth, item) in inputs::walk(&arguments.paths, config.limits.max_message_size).enumerate() {
        let input = match item.input {
            Ok(input) => input,
            Err(unreadable) => {
                writeln!(err, "sekisho: {}: {}", escaped(&item.path, 200), unreadable.message)?;
                status = status.max(unreadable.exit);
                continue;
            }
        };
        if nth > 0 {
            writeln!(out)?;
        }
        let size = input.bytes.len() as u64;
        let report = timer.scan(input, &config.limits, &knowledge);
        let case = Case { arguments, config: &config, language, report: &report, size };
        writeln!(out, "{:<12}{}", "File", escaped(&item.path, WIDE))?;
        case.write(out)?;
    }
    Ok(status)
}

/// One input, looked at.
struct Case<'a> {
    arguments: &'a Arguments,
    config: &'a Config,
    language: Language,
    report: &'a Report,
    size: u64,
}

impl Case<'_> {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let sender = path(&self.arguments.sender);
        let forgiven = forgive(self.config.policy.allows(), self.report, &sender.address(), Timestamp::now());
        let verdict = judge(&forgiven.report);
        self.verdict(&verdict, &forgiven.by, out)?;
        writeln!(out)?;
        tree::write(self.report, self.language, out)?;
        indicators(self.report, out)?;
        self.rules(&forgiven.report, &verdict, &sender, out)?;
        change::write(&forgiven.report, &verdict, &sender.address(), out)
    }

    fn verdict(&self, verdict: &Verdict, allowed_by: &[String], out: &mut dyn Write) -> io::Result<()> {
        let reasons: Vec<&str> = verdict.reasons.iter().map(|reason| reason.name()).collect();
        let looked = match reasons.as_slice() {
            [] => "everything was inspected".to_owned(),
            reasons => format!("not everything was inspected: {}", reasons.join(", ")),
        };
        writeln!(out, "{:<12}{}, {looked}", "Verdict", verdict.level.name())?;
        let text = match self.language {
            Language::En => &verdict.explanation.en,
            Language::Ja => &verdict.explanation.ja,
        };
        writeln!(out, "{:<12}{}", "", escaped(&defanged(text), WIDE))?;
        if !allowed_by.is_empty() {
            writeln!(out, "{:<12}{}", "Allowed by", allowed_by.join(", "))?;
        }
        Ok(())
    }

    /// Every rule that is looked at, and why it does not apply, up to the one that decides.
    fn rules(&self, report: &Report, verdict: &Verdict, sender: &Path, out: &mut dyn Write) -> io::Result<()> {
        let (client, recipient) = (self.arguments.client, path(&self.arguments.recipient));
        let facts = Facts {
            version: FACTS_VERSION,
            client,
            sender: sender.clone(),
            direction: direction(client, sender, std::slice::from_ref(&recipient), &self.config.mail),
            size: self.size,
            verdict: verdict.level,
            complete: verdict.complete,
            reasons: verdict.reasons.clone(),
            findings: report.findings.clone(),
            parts: report.parts.clone(),
        };
        let decision = decide(&facts, &recipient, &self.config.policy, Timestamp::now());
        let from = match self.arguments.config.as_deref() {
            Some(file) => format!("the rules of {}", file.display()),
            None if std::path::Path::new(DEFAULT_CONFIG).exists() => format!("the rules of {DEFAULT_CONFIG}"),
            None => "the built-in rules".to_owned(),
        };
        let line = decision.line.map(|line| format!(", line {line}")).unwrap_or_default();
        writeln!(out, "\nBy {from}: {} (rule {}{line})", decision.action.name(), decision.rule)?;
        for step in &decision.trace {
            let mark = if step.matched { '▸' } else { ' ' };
            let why = if step.matched { "applies" } else { step.why.as_str() };
            writeln!(out, "  {mark} {:<24} {}", step.rule, escaped(why, WIDE))?;
        }
        Ok(())
    }
}

fn path(address: &str) -> Path {
    Path::new(format!("<{}>", address.trim_start_matches('<').trim_end_matches('>')).as_str())
}

/// What active content would use; nobody can click on it.
fn indicators(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    if report.indicators.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nIt would use")?;
    for indicator in &report.indicators {
        writeln!(out, "  {:<9}{}", indicator.kind.name(), escaped(&defanged(&indicator.value), WIDE))?;
    }
    Ok(())
}
