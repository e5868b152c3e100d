//! `sekisho findings [ID]`: the table of findings, or one of them in detail.

use std::io::{self, Write};

use serde::Serialize;

use crate::cli::exit;
use crate::config::diagnostics::did_you_mean;
use crate::finding::{ALL, Category, FindingId};
use crate::policy::allow::is_forgivable;
use crate::policy::rule::FindingGlob;
use crate::terminal::padded;

/// `sekisho findings`
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sekisho findings                  all of them
  sekisho findings 'vba-*'          those that begin so
  sekisho findings vba-autoexec     what it means, and how rules name it

Exit status: 0 done, 64 there is no such finding.")]
pub struct Arguments {
    /// An id or a pattern
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// One JSON object per finding
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Json {
    schema: &'static str,
    id: &'static str,
    category: &'static str,
    severity: &'static str,
    reason: Option<&'static str>,
    attack: Option<&'static str>,
    en: &'static str,
    ja: &'static str,
    forgivable: bool,
}

/// Prints what was asked for; returns the exit status.
///
/// # Errors
/// `out` or `err` cannot be written.
pub fn run(arguments: &Arguments, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let pattern = arguments.id.as_deref().unwrap_or("*");
    let Some(glob) = FindingGlob::parse(pattern) else {
        let near = did_you_mean(pattern, ALL.iter().map(|id| id.as_str()));
        let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        let pattern = crate::terminal::escaped(pattern, 100);
        writeln!(err, "sekisho: there is no finding {pattern}{hint} `sekisho findings` lists all")?;
        return Ok(exit::USAGE);
    };
    let found: Vec<FindingId> = glob.ids().collect();
    match found.as_slice() {
        _ if arguments.json => {
            for id in found {
                writeln!(out, "{}", serde_json::to_string(&json(id))?)?;
            }
        }
        [one] => detail(*one, out)?,
        several => {
            for id in several {
                let reason = id.reason.map(|reason| format!(" ({})", reason.name())).unwrap_or_default();
                let head = format!("{}{}", id.category.name(), reason);
                let row = [padded(id.as_str(), 26), padded(id.severity.name(), 9), padded(&head, 26)].concat();
                writeln!(out, "{row}{}", bare(id.en))?;
            }
        }
    }
    Ok(exit::OK)
}

fn json(id: FindingId) -> Json {
    Json {
        schema: "sekisho.finding/1",
        id: id.as_str(),
        category: id.category.name(),
        severity: id.severity.name(),
        reason: id.reason.map(|reason| reason.name()),
        attack: id.attack,
        en: id.en,
        ja: id.ja.end,
        forgivable: is_forgivable(id),
    }
}

fn detail(id: FindingId, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{id}\n")?;
    writeln!(out, "It says       that the part {}", id.en)?;
    writeln!(out, "              {}", id.ja.end)?;
    writeln!(out, "Category      {}: {}", id.category.name(), question(id.category))?;
    writeln!(out, "Severity      {}", id.severity.name())?;
    if let Some(reason) = id.reason {
        writeln!(out, "Reason        {} (when.reason)", reason.name())?;
    }
    if let Some(attack) = id.attack {
        writeln!(out, "ATT&CK        {attack}  https://attack.mitre.org/techniques/{}/", attack.replace('.', "/"))?;
    }
    writeln!(out, "In a rule     when.finding = \"{id}\"")?;
    let forgiven = match is_forgivable(id) {
        true => "yes, of a part that is named by its code or hash",
        false => "never",
    };
    writeln!(out, "[[allow]]     {forgiven}")
}

/// What findings of a category answer.
fn question(category: Category) -> &'static str {
    match category {
        Category::Trigger => "does it start by itself, or at the first click?",
        Category::Capability => "what can it do?",
        Category::Concealment => "does it hide?",
        Category::Lure => "does it persuade?",
        Category::Carrier => "what kind of file is it, and how did it come?",
        Category::Uninspected => "what could not be looked into?",
        Category::Reputation => "is it known?",
    }
}

/// A clause without the place for what was seen.
fn bare(clause: &str) -> String {
    clause.replace(" (“{evidence}”)", "").replace(" ({evidence})", "")
}
