//! What code would use: commands, addresses, files. A command is taken apart ([`crate::command`]),
//! so that what stands encoded in it is told too.

use super::capability::Capability;
use super::fold::Value;
use super::trace::Call;
use crate::finding::{self, FindingId};
use crate::indicator::reveal;
use crate::part::Part;
use crate::scan::{IndicatorKind, Scan};

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

fn is_run(id: FindingId) -> bool {
    [finding::VBA_RUN_PROGRAM, finding::VBA_RUN_INTERPRETER, finding::XLM_RUN_PROGRAM, finding::XLM_RUN_INTERPRETER]
        .contains(&id)
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
