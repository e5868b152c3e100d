//! Workbooks in SYLK: lines of fields between semicolons. There is no standard; the format is as Excel writes and
//! reads it.

use std::rc::Rc;

use super::formula::{self, Notation};
use super::value::Value;
use super::workbook::{Address, Cell, Name, Place, Sheet, SheetNumbers, Workbook};

/// Octets of a line.
const MAX_LINE: usize = 64 << 10;

/// Reads a workbook of one sheet.
pub fn read(text: &str) -> Workbook {
    let mut book = Workbook::default();
    let numbers = SheetNumbers::default();
    let mut place = Place::default();
    let mut is_macro = false;
    let mut cells: Vec<(Place, Cell)> = Vec::new();
    for line in text.split(['\n', '\r']).filter(|line| line.len() <= MAX_LINE) {
        let fields = fields(line);
        let mut fields = fields.iter().map(String::as_str);
        match fields.next() {
            // Options: E is a sheet of macros.
            Some("O") => is_macro |= fields.any(|field| field == "E"),
            Some("NN") => {
                let (mut name, mut formula, mut is_hidden) = (String::new(), None, false);
                for field in fields {
                    match field.split_at_checked(1) {
                        Some(("N", text)) => text.clone_into(&mut name),
                        Some(("E", text)) => formula = formula::parse(text, Notation::R1C1, &numbers).map(Rc::new),
                        Some(("F" | "H", "")) => is_hidden |= field == "H",
                        _ => {}
                    }
                }
                book.add_name(Name { name, is_hidden, formula });
            }
            Some("C") => {
                let (mut cell, mut is_formula) = (Cell::default(), false);
                for field in fields {
                    let Some((key, text)) = field.split_at_checked(1) else { continue };
                    let number = || text.trim().parse::<u32>().ok().and_then(|number| number.checked_sub(1));
                    match key {
                        "X" => place.column = number().unwrap_or(place.column),
                        "Y" => place.row = number().unwrap_or(place.row),
                        "K" => cell.value = constant(text),
                        "E" => {
                            is_formula = true;
                            cell.formula = formula::parse(text, Notation::R1C1, &numbers).map(Rc::new);
                        }
                        _ => {}
                    }
                }
                book.unread = book.unread.saturating_add(usize::from(is_formula && cell.formula.is_none()));
                if cells.len() >= super::workbook::MAX_CELLS {
                    book.is_cut = true;
                    break;
                }
                cells.push((place, cell));
            }
            _ => {}
        }
    }
    // A formula that runs makes a sheet of macros of any sheet.
    let runs =
        |cell: &Cell| cell.formula.as_ref().is_some_and(|formula| formula.calls(&["EXEC", "CALL", "REGISTER", "HALT"]));
    is_macro |= cells.iter().any(|(_, cell)| runs(cell));
    book.add_sheet(Sheet { name: "SYLK".to_owned(), is_macro, ..Sheet::default() });
    for (place, cell) in cells {
        book.put(Address { sheet: 0, place }, cell);
    }
    if !is_macro {
        book.unread = 0;
    }
    book
}

/// The fields of a line; a semicolon within one is doubled.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut rest = line;
    while let Some((field, tail)) = rest.split_once(';') {
        if let Some(last) = fields.last_mut() {
            last.push_str(field);
        }
        rest = match tail.strip_prefix(';') {
            Some(tail) => {
                if let Some(last) = fields.last_mut() {
                    last.push(';');
                }
                tail
            }
            None => {
                fields.push(String::new());
                tail
            }
        };
    }
    if let Some(last) = fields.last_mut() {
        last.push_str(rest);
    }
    fields
}

fn constant(text: &str) -> Value {
    match text.strip_prefix('"') {
        Some(inner) => inner.strip_suffix('"').unwrap_or(inner).replace("\"\"", "\"").into(),
        None if text.eq_ignore_ascii_case("true") => true.into(),
        None if text.eq_ignore_ascii_case("false") => false.into(),
        None => text.trim().parse::<f64>().map_or(Value::UNKNOWN, Value::from),
    }
}
