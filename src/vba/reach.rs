//! Which procedures run by themselves, and what can be reached from them.
//!
//! Reaching is by name and generous: whoever mentions a procedure's name, in code or in a
//! string, may call it; whoever mentions a class or a form may set off its events. What is not
//! reached even so is an honest workbook's `Workbook_Open` beside a button's macro.

use foldhash::{HashMap, HashSet};

use super::fold::Value;
use super::program::Program;
use super::token::Kind;
use super::trace::Call;

/// Procedures that Office calls on opening, closing or activating a document, in lower case.
const TRIGGERS: &[&str] = &[
    "autoopen",
    "autoexec",
    "autoclose",
    "autoexit",
    "autonew",
    "auto_open",
    "auto_close",
    "auto_exec",
    "auto_exit",
    "auto_activate",
    "auto_deactivate",
    "document_open",
    "document_close",
    "document_new",
    "document_beforeclose",
    "document_sync",
    "workbook_open",
    "workbook_activate",
    "workbook_deactivate",
    "workbook_close",
    "workbook_beforeclose",
    "workbook_windowactivate",
    "workbook_windowdeactivate",
    "workbook_windowresize",
    "workbook_sheetactivate",
    "workbook_sheetcalculate",
    "workbook_addininstall",
    "worksheet_activate",
    "worksheet_calculate",
    "chart_activate",
    "chart_calculate",
    "onslideshowpagechange",
    "onslideshowterminate",
];

/// Events of an application object, caught by a variable of any name.
const APPLICATION_EVENTS: &[&str] = &[
    "_documentopen",
    "_documentchange",
    "_newdocument",
    "_documentbeforeclose",
    "_workbookopen",
    "_workbookactivate",
    "_workbookbeforeclose",
    "_presentationopen",
    "_afterpresentationopen",
    "_presentationclose",
    "_slideshowbegin",
    "_slideshownextslide",
];

/// Events of controls and frames that happen while a document is shown, without a click.
const SHOWN_EVENTS: &[&str] = &[
    "_change",
    "_selectionchange",
    "_sheetchange",
    "_sheetselectionchange",
    "_contentcontrolonenter",
    "_painted",
    "_painting",
    "_layout",
    "_mousemove",
    "_mousehover",
    "_mouseenter",
    "_mouseleave",
    "_gotfocus",
    "_lostfocus",
    "_resize",
    "_beforenavigate2",
    "_navigatecomplete2",
    "_documentcomplete",
    "_downloadbegin",
    "_downloadcomplete",
    "_titlechange",
    "_statustextchange",
    "_progresschange",
    "_propertychange",
    "_onconnecting",
    "_onconnected",
];

/// How a procedure comes to run by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Office calls it when the document opens or closes.
    Opening,
    /// It happens while the document is shown.
    Showing,
}

/// Whether the procedure `name` (in lower case) starts by itself. `is_document`: it stands in the module of a
/// document or sheet, where controls have their events; forms are shown only by code.
pub fn start(name: &str, is_document: bool) -> Option<Start> {
    if TRIGGERS.contains(&name) || APPLICATION_EVENTS.iter().any(|event| name.ends_with(event)) {
        return Some(Start::Opening);
    }
    (is_document && SHOWN_EVENTS.iter().any(|event| name.ends_with(event))).then_some(Start::Showing)
}

/// Every procedure from which one of `targets` is reached, those included; positions in
/// [`Program::procedures`]. The time is linear in the tokens of the program.
pub fn reaching(program: &Program<'_, '_>, calls: &[Call], targets: HashSet<usize>) -> HashSet<usize> {
    if targets.is_empty() {
        return targets;
    }
    let mut mentions = mentions(program);
    let mut reaching = targets.clone();
    let mut waiting: Vec<usize> = targets.into_iter().collect();
    for (index, target) in computed_targets(calls) {
        match target {
            Target::Name(name) => {
                if let Some(callers) = mentions.get_mut(name.as_str()) {
                    callers.push(index);
                }
            }
            // Who calls what is not known may call anything.
            Target::Any => waiting.push(index),
        }
    }
    reaching.extend(waiting.iter().copied());
    while let Some(index) = waiting.pop() {
        let (Some((module, _)), Some(procedure)) = (program.procedures.get(index), program.procedure(index)) else {
            continue;
        };
        // Taken out, since everything that mentions a name is in after the first time.
        let mut callers = mentions.remove(procedure.name.lower).unwrap_or_default();
        if is_set_off(procedure.name.lower) {
            // An event: set off by whoever mentions its class or form.
            let module = program.modules.get(*module).map(|(name, _)| name.as_str()).unwrap_or_default();
            callers.extend(mentions.remove(module).unwrap_or_default());
        }
        waiting.extend(callers.into_iter().filter(|caller| reaching.insert(*caller)));
    }
    reaching
}

/// Whether `name` (in lower case) is an event of a document or sheet, which the first opening may set off.
pub fn is_document_event(name: &str) -> bool {
    ["workbook_", "worksheet_", "document_", "chart_"].iter().any(|prefix| name.starts_with(prefix))
}

/// Whether mentioning a class or form may set off its procedure `name`: an event that needs no click.
fn is_set_off(name: &str) -> bool {
    name.contains('_') && !name.ends_with("click") && !is_document_event(name)
}

/// Which procedures mention the name of a procedure or module, in code or in a string.
fn mentions<'p>(program: &'p Program<'_, '_>) -> HashMap<&'p str, Vec<usize>> {
    let names = program.by_name.keys().copied().chain(program.modules.iter().map(|(name, _)| name.as_str()));
    let mut mentions: HashMap<&str, Vec<usize>> = names.map(|name| (name, Vec::new())).collect();
    for index in 0..program.procedures.len() {
        let Some(procedure) = program.procedure(index) else { continue };
        for token in procedure.body.iter().copied().flatten() {
            let name = match token.kind {
                Kind::Name(name) => name.lower,
                // `Application.Run "Book.xls!Module1.Main"`
                Kind::Text(text) => text.lower.rsplit(['.', '!']).next().unwrap_or(text.lower),
                _ => continue,
            };
            if let Some(callers) = mentions.get_mut(name)
                && callers.last() != Some(&index)
            {
                callers.push(index);
            }
        }
    }
    mentions
}

/// What a procedure calls by a computed name.
enum Target {
    Name(String),
    Any,
}

fn computed_targets(calls: &[Call]) -> Vec<(usize, Target)> {
    let mut targets = Vec::new();
    for call in calls {
        let Some(procedure) = call.procedure else { continue };
        let name = match call.name.as_str() {
            "run" if call.class.is_empty() || call.class == "application" => call.arguments.first(),
            "ontime" | "callbyname" | "onkey" => call.arguments.get(1),
            _ => continue,
        };
        let Some(name) = name else { continue };
        match name.target() {
            Some(name) => targets.push((procedure, Target::Name(name))),
            // A procedure that takes the name from its caller: the caller mentions it.
            None if *name == Value::Parameter => {}
            // `OnKey "{F1}", ""` switches a key off.
            None if name.text().is_some() => {}
            None => targets.push((procedure, Target::Any)),
        }
    }
    targets
}
