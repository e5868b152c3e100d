//! What code would use: commands, addresses, files. A command is taken apart ([`crate::command`]),
//! so that what stands encoded in it is told too.

use super::capability::Capability;
use super::fold::Value;
use super::trace::Call;
use crate::command;
use crate::finding::{self, FindingId};
use crate::limits::Limit;
use crate::part::Part;
use crate::scan::{IndicatorKind, Scan};

/// Texts of a project that are taken apart: honest code starts few programs.
const MAX_REVEALED: usize = 16;

/// Reports what the calls would use. `texts` are what the code computes beside them, which count
/// where it starts programs. `place` tells where a call stands.
pub fn report(
    calls: &[Call],
    found: &[Capability],
    texts: &[String],
    place: &dyn Fn(Option<&Call>) -> String,
    part: &Part,
    scan: &mut Scan,
) {
    let mut seen: Vec<String> = Vec::new();
    let mut runs = false;
    for capability in found {
        let Some(call) = capability.call.and_then(|call| calls.get(call)) else { continue };
        let is_run = is_run(capability.id);
        runs |= is_run;
        if is_run && let Some(line) = line(call) {
            scan.indicator(IndicatorKind::Command, &line);
        } else if capability.id == finding::VBA_DROP_FILE
            && let Some(path) = target(call)
        {
            scan.indicator(IndicatorKind::File, &path);
        }
        for text in call.arguments.iter().map(Value::shown).filter(|text| text.len() >= 8) {
            if seen.contains(&text) {
                continue;
            }
            let fetches = reveal(&text, &seen, part, scan) && is_run;
            if fetches {
                let evidence = capability.evidence.as_str();
                scan.finding(finding::VBA_DOWNLOAD, part, &place(Some(call)), evidence);
            }
            seen.push(text);
        }
    }
    if runs {
        for text in texts.iter().filter(|text| !seen.contains(text)).cloned().collect::<Vec<_>>() {
            reveal(&text, &seen, part, scan);
            seen.push(text);
        }
    }
}

/// Tells what is within a text. Whether it is a command that fetches something.
pub fn reveal(text: &str, seen: &[String], part: &Part, scan: &mut Scan) -> bool {
    if seen.len() >= MAX_REVEALED {
        scan.limit(part, Limit::FileSize);
        return false;
    }
    let revealed = command::reveal(text);
    if revealed.is_cut {
        scan.limit(part, Limit::FileSize);
    }
    for url in &revealed.urls {
        scan.indicator(IndicatorKind::Url, url);
    }
    for line in &revealed.commands {
        scan.indicator(IndicatorKind::Command, line);
    }
    for file in &revealed.files {
        scan.indicator(IndicatorKind::File, file);
    }
    let layers = revealed.commands.iter().map(String::as_str).chain([text]);
    !revealed.urls.is_empty() && layers.into_iter().any(command::fetches)
}

fn is_run(id: FindingId) -> bool {
    [finding::VBA_RUN_PROGRAM, finding::VBA_RUN_INTERPRETER].contains(&id)
}

/// The command line that a call would start. ShellExecute has the parameters apart, and as a
/// declared function a window and a verb in front.
fn line(call: &Call) -> Option<String> {
    if call.name.contains("shellexecute") {
        let skipped = if call.arguments.len() >= 4 && call.class.is_empty() { 2 } else { 0 };
        let parts: Vec<String> = call.arguments.iter().skip(skipped).take(2).filter_map(known).collect();
        return (!parts.is_empty()).then(|| parts.join(" "));
    }
    call.arguments.iter().find_map(known)
}

/// The file that a call would write.
fn target(call: &Call) -> Option<String> {
    let skipped = usize::from(["copyfile", "filecopy", "movefile", "name"].contains(&call.name.as_str()));
    call.arguments.iter().skip(skipped).find_map(known)
}

/// A text, of which more than a gap is known.
fn known(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) | Value::Partial(text) if text.trim_matches(['…', ' ']).len() >= 3 => Some(text.clone()),
        _ => None,
    }
}
