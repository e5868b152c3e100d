//! What the calls of macros can do, by function and argument.

use super::expression::{Expression, Op, Operator};
use super::machine::{Call, Run};
use super::shown;
use super::value::{GAP, Value};
use super::workbook::Workbook;
use crate::command::{self, library, program};
use crate::field;
use crate::finding::{self, FindingId, Severity};
use crate::indicator;
use crate::part::Part;
use crate::scan::{IndicatorKind, Scan};

/// Pieces of one text from which a formula is no more readable.
const MANY_PIECES: usize = 10;
/// Formulas of that kind that are no accident.
const MANY_FORMULAS: usize = 3;
/// Calls of CHAR that are no accident.
const MANY_CHARACTERS: usize = 20;
/// Formulas or texts that nobody knows, written to where macros run, that are no accident.
const MANY_WRITTEN: usize = 3;

/// Reports what a run would do. Whether something that starts by itself gets to anything that matters.
pub fn report(run: &Run, book: &Workbook, part: &Part, scan: &mut Scan) -> bool {
    let mut matters = false;
    let mut seen: Vec<String> = Vec::new();
    let mut hides = false;
    for call in &run.calls {
        let location = shown(call.at, book);
        if call.function == "INITIATE" {
            let server = call.arguments.first().map(Value::shown).unwrap_or_default();
            let topic = call.arguments.get(1).map(Value::shown).unwrap_or_default();
            field::dde(&server, &topic, part, &location, scan);
            continue;
        }
        let Some(id) = capability(call) else { continue };
        let evidence = evidence(call);
        scan.finding(id, part, &location, &evidence);
        matters |= call.is_reached && id.severity >= Severity::Medium;
        if call.is_written && id.severity >= Severity::Medium && !hides {
            hides = true;
            scan.finding(finding::XLM_OBFUSCATED, part, &location, &evidence);
        }
        tell(call, id, &location, &evidence, &mut seen, part, scan);
    }
    let written = run.written.iter().max_by_key(|(_, text)| text.len());
    if let Some((at, text)) = written.filter(|_| run.written.len() >= MANY_WRITTEN || !run.calls.is_empty()) {
        scan.finding(finding::XLM_SELF_WRITING, part, &shown(*at, book), text);
        matters |= run.written_reached > 0;
    } else if run.written_unknown >= MANY_WRITTEN {
        let evidence = format!("FORMULA × {}", run.written_unknown);
        scan.finding(finding::XLM_SELF_WRITING, part, "", &evidence);
        matters |= run.written_reached > 0;
    }
    if let Some(name) = run.asks.first() {
        scan.finding(finding::XLM_EVADES, part, "", name);
    }
    if let Some((location, evidence)) = unreadable(book) {
        scan.finding(finding::XLM_OBFUSCATED, part, &location, &evidence);
    }
    matters
}

/// What a call can do; none for what honest macros do all day.
pub fn capability(call: &Call) -> Option<FindingId> {
    let argument = |number: usize| call.arguments.get(number).map(Value::shown).unwrap_or_default();
    match call.function {
        "EXEC" => Some(starts(&argument(0))),
        "CALL" | "REGISTER" | "REGISTER.ID" => native(&argument(0), &argument(1), call),
        "FOPEN" => {
            // 2 is for reading only.
            let writes = call.arguments.get(1).and_then(Value::number) != Some(2.0);
            writes.then(|| writes_file(&argument(0)))
        }
        "SAVE.AS" => Some(writes_file(&argument(0))).filter(|id| *id == finding::XLM_DROP_FILE),
        "OPEN" => program::is_url(&argument(0)).then_some(finding::XLM_DOWNLOAD),
        "EXECUTE" => program::interpreter(&argument(1)).map(|_| finding::XLM_RUN_INTERPRETER),
        "VBA.INSERT.FILE" => Some(finding::XLM_NATIVE_CALL),
        "SEND.KEYS" => program::interpreter(&argument(0)).map(|_| finding::XLM_RUN_INTERPRETER),
        _ => None,
    }
}

fn starts(command: &str) -> FindingId {
    match program::interpreter(command) {
        Some(_) => finding::XLM_RUN_INTERPRETER,
        None => finding::XLM_RUN_PROGRAM,
    }
}

fn writes_file(path: &str) -> FindingId {
    if program::is_runnable(path) || program::is_startup(path) {
        finding::XLM_DROP_FILE
    } else {
        finding::XLM_WRITE_FILE
    }
}

/// A function of a library, by what it does; libraries that stand in some folder were put there.
fn native(file: &str, function: &str, call: &Call) -> Option<FindingId> {
    let name = library::plain(function);
    if library::fetches(&name) {
        return Some(finding::XLM_DOWNLOAD);
    }
    if library::starts(&name) {
        // Only a call starts something, and only its arguments say what.
        let line = line(call).unwrap_or_default();
        return Some(if call.function == "CALL" { starts(&line) } else { finding::XLM_NATIVE_CALL });
    }
    let is_unknown = file.contains(GAP) || function.contains(GAP);
    let is_put = file.contains(['\\', '/', ':']) && !file.to_lowercase().contains("\\system32\\");
    (library::loads(&name) || is_unknown || is_put).then_some(finding::XLM_NATIVE_CALL)
}

/// The command line that a call would start. ShellExecute has a window and a verb in front.
fn line(call: &Call) -> Option<String> {
    if call.function == "EXEC" {
        return call.arguments.first().map(Value::shown);
    }
    let texts = |skipped: usize| -> Vec<String> {
        let texts = call.arguments.iter().skip(skipped).map(Value::shown);
        texts.filter(|text| text.trim_matches([GAP, ' ']).len() >= 2).collect()
    };
    let function = call.arguments.get(1).map(|function| library::plain(&function.shown())).unwrap_or_default();
    // Library, function, types; then its own arguments.
    let own = if function.starts_with("shellexecute") { texts(5) } else { texts(3) };
    (!own.is_empty()).then(|| own.join(" "))
}

/// Addresses, commands and files of a call.
fn tell(
    call: &Call,
    id: FindingId,
    location: &str,
    evidence: &str,
    seen: &mut Vec<String>,
    part: &Part,
    scan: &mut Scan,
) {
    let runs = [finding::XLM_RUN_PROGRAM, finding::XLM_RUN_INTERPRETER].contains(&id);
    if runs && let Some(line) = line(call) {
        scan.indicator(IndicatorKind::Command, &line);
    }
    for text in call.arguments.iter().map(Value::shown).filter(|text| text.len() >= 8) {
        if seen.contains(&text) {
            continue;
        }
        if [finding::XLM_DROP_FILE, finding::XLM_DOWNLOAD].contains(&id) && program::is_runnable(&text) {
            scan.indicator(IndicatorKind::File, &text);
        }
        let fetches = indicator::reveal(&text, seen, part, scan);
        if fetches && runs && command::fetches(&text) {
            scan.finding(finding::XLM_DOWNLOAD, part, location, evidence);
        }
        seen.push(text);
    }
}

/// What was seen of a call: `EXEC(calc.exe)`.
pub fn evidence(call: &Call) -> String {
    let arguments: Vec<String> = call.arguments.iter().map(Value::shown).collect();
    format!("{}({})", call.function, arguments.join(", "))
}

/// Where macros are written so that nobody reads them.
fn unreadable(book: &Workbook) -> Option<(String, String)> {
    let (mut formulas, mut characters) = (0_usize, 0_usize);
    let mut example = None;
    for (number, sheet) in book.sheets.iter().enumerate().filter(|(_, sheet)| sheet.is_macro) {
        for (place, formula) in sheet.cells.iter().filter_map(|(place, cell)| Some((place, cell.formula.as_ref()?))) {
            let (pieces, chars) = pieces(formula);
            characters = characters.saturating_add(chars);
            if pieces >= MANY_PIECES {
                formulas = formulas.saturating_add(1);
            }
            if example.is_none() && (pieces >= MANY_PIECES || chars > 0) {
                example = Some((number, *place, formula));
            }
        }
    }
    let (sheet, place, formula) = example?;
    let location = format!("{}!{place}", book.sheets.get(sheet)?.name);
    (formulas >= MANY_FORMULAS || characters >= MANY_CHARACTERS).then(|| (location, formula.text(&book.sheet_names())))
}

/// How many short pieces a formula puts together, and how many of them CHAR makes.
fn pieces(formula: &Expression) -> (usize, usize) {
    let node = |number: &usize| formula.node(*number).map(|node| &node.op);
    let is_piece = |op: &Op| match op {
        Op::Text(text) => text.chars().count() <= 3,
        Op::Function("CHAR" | "MID" | "INDEX" | "T") => true,
        Op::Reference(reference) => reference.first == reference.last,
        _ => false,
    };
    let (mut pieces, mut characters) = (0_usize, 0_usize);
    for part in formula.nodes() {
        match part.op {
            Op::Binary(Operator::Concat) | Op::Function("CONCATENATE" | "CONCAT") => {
                let short = formula.arguments(part).iter().filter_map(node).filter(|op| is_piece(op)).count();
                pieces = pieces.saturating_add(short);
            }
            Op::Function("CHAR") => characters = characters.saturating_add(1),
            _ => {}
        }
    }
    (pieces, characters)
}
