//! Excel 4.0 macros: formulas that run.
//!
//! Readers for each file format ([`biff`]; [`package`] with [`binary`] or [`sheet_xml`]; [`sylk`]) fill one [`workbook`], formulas become
//! one kind of [`expression`] from tokens ([`ptg`]) or text ([`formula`]), [`machine`] follows them, and
//! [`judge`] says what the calls that it met can do. Nothing is judged by a word alone, and a macro sheet by
//! itself is nothing.

pub mod biff;
pub mod binary;
pub mod expression;
pub mod formula;
pub mod function;
pub mod judge;
pub mod machine;
pub mod package;
pub mod ptg;
pub mod pure;
pub mod sheet_xml;
pub mod style;
pub mod sylk;
pub mod value;
pub mod workbook;

use std::rc::Rc;

use unicode_normalization::UnicodeNormalization;

use crate::finding::{self, FindingId};
use crate::limits::Limit;
use crate::part::Part;
use crate::scan::{Scan, Stop};
use expression::Op;
use formula::Notation;
use machine::Machine;
use workbook::{Address, SheetNumbers, Visibility, Workbook};

/// A macro that starts further from the corner is hidden: rows and columns.
const FAR: (u32, u32) = (500, 60);

/// Names that Excel runs by itself ([MS-XLS] 2.5.114, the built-in ones), in lower case.
const STARTS: &[&str] = &["auto_open", "auto_close", "auto_activate", "auto_deactivate"];

/// Follows the macros of a workbook and reports what they can do.
pub fn examine(book: &Workbook, part: &Part, scan: &mut Scan) {
    if book.is_cut && book.has_code() {
        scan.limit(part, Limit::Files);
    }
    if !book.has_macros() && book.named_macros().next().is_none() {
        return;
    }
    for sheet in book.sheets.iter().filter(|sheet| sheet.is_macro) {
        let state = match sheet.visibility {
            Visibility::Visible => "",
            Visibility::Hidden => ", hidden",
            Visibility::VeryHidden => ", very hidden",
        };
        scan.finding(finding::XLM_MACROS, part, &sheet.name, &format!("{}{state}", sheet.name));
        if sheet.visibility == Visibility::VeryHidden {
            scan.finding(finding::XLM_HIDDEN_SHEET, part, &sheet.name, &sheet.name);
        }
    }
    if book.unread > 0 {
        scan.finding(finding::DAMAGED, part, "", &format!("{} formulas that cannot be read", book.unread));
    }
    let stop = scan.stop().clone();
    let mut machine = Machine::new(book, &stop);
    let mut starts: Vec<(String, Address)> = Vec::new();
    for name in book.names.iter().filter(|name| starts_by_itself(&name.name)) {
        if let Some(at) = machine.target(&name.name) {
            let is_far = at.place.row >= FAR.0 || at.place.column >= FAR.1;
            if is_far || name.is_hidden {
                let state = if name.is_hidden { ", hidden" } else { "" };
                let evidence = format!("{} = {}{state}", name.name, at.place);
                scan.finding(finding::XLM_OBFUSCATED, part, &shown(at, book), &evidence);
            }
            starts.push((name.name.clone(), at));
        }
    }
    for formula in book.named_macros() {
        machine.evaluate(formula, false);
    }
    let entries: Vec<Address> = starts.iter().map(|(_, at)| *at).collect();
    let run = machine.run(&entries);
    if run.is_cut {
        let evidence = "macros run longer than they are followed";
        scan.finding(finding::LIMIT_EXCEEDED, part, "", evidence);
        if let Some((name, at)) = starts.first() {
            scan.finding(finding::XLM_OBFUSCATED, part, &shown(*at, book), name);
        }
    }
    let matters = judge::report(&run, book, part, scan);
    if matters {
        hidden_cells(book, part, scan);
    }
    for (name, at) in starts {
        let id = if matters { finding::XLM_AUTO_OPEN } else { finding::XLM_STARTUP };
        scan.finding(id, part, &shown(at, book), &name);
    }
}

/// Macros that stand where nobody sees them, by the format of their cells or far from the corner. Told only of macros
/// that do something of note: sheets of firms have such cells for other reasons.
fn hidden_cells(book: &Workbook, part: &Part, scan: &mut Scan) {
    for sheet in book.sheets.iter().filter(|sheet| sheet.is_macro) {
        let formulas = || sheet.cells.iter().filter(|(_, cell)| cell.formula.is_some()).map(|(place, _)| *place);
        if let Some((place, why)) = sheet.unseen {
            let location = format!("{}!{place}", sheet.name);
            scan.finding(finding::XLM_OBFUSCATED, part, &location, &format!("{place}, {why}"));
        }
        let far = formulas().find(|place| place.row >= FAR.0 || place.column >= FAR.1);
        // Long macros grow downwards from the corner; these begin out of sight.
        if let Some(place) = far.filter(|_| formulas().all(|place| place.row >= FAR.0 || place.column >= FAR.1)) {
            let location = format!("{}!{place}", sheet.name);
            scan.finding(finding::XLM_OBFUSCATED, part, &location, &format!("{place}, far from the corner"));
        }
    }
}

/// What a formula would do that VBA hands over (`ExecuteExcel4Macro`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Handed {
    /// What it can do, with what was seen.
    pub capabilities: Vec<(FindingId, String)>,
    /// It calls macros of the workbook, which are judged where they stand.
    pub calls_macros: bool,
}

/// Work on a formula by itself.
const MAX_HANDED_NODES: usize = 50_000;

/// Judges a formula that VBA hands over. `None` if part of it is not known, or it is none.
pub fn handed(text: &str) -> Option<Handed> {
    let formula = formula::parse(text, Notation::R1C1, &SheetNumbers::default())?;
    if text.contains(value::GAP) && !formula.calls(&["EXEC", "CALL", "REGISTER", "FOPEN"]) {
        return None;
    }
    let calls_macros = formula.calls(&["RUN"]) || formula.nodes().iter().any(|node| matches!(node.op, Op::UserDefined));
    let stop = Stop::default();
    let mut machine = Machine::new(&Workbook::default(), &stop);
    // A formula alone has neither loops nor cells.
    machine.may_compute(MAX_HANDED_NODES);
    machine.evaluate(&Rc::new(formula), true);
    let run = machine.run(&[]);
    let capabilities = run.calls.iter().filter_map(|call| Some((judge::capability(call)?, judge::evidence(call))));
    Some(Handed { capabilities: capabilities.collect(), calls_macros })
}

/// Whether Excel runs the name: case means nothing, nor what stands behind it, and look-alikes of letters are
/// taken for them.
fn starts_by_itself(name: &str) -> bool {
    let folded: String =
        name.nfkc().flat_map(char::to_lowercase).filter(|c| c.is_alphanumeric() || *c == '_').collect();
    STARTS.iter().any(|start| folded.starts_with(start))
}

/// `Macro1!A5`
fn shown(at: Address, book: &Workbook) -> String {
    let sheet = book.sheets.get(at.sheet).map_or("", |sheet| sheet.name.as_str());
    format!("{sheet}!{}", at.place)
}
