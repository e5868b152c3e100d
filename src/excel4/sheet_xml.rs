//! Sheets, names and strings of workbooks in XML (ECMA-376 part 1, 18.2, 18.3, 18.4; [MS-OFFMACRO2] 2.2.1.3).

use std::collections::HashMap;
use std::rc::Rc;

use super::formula::{self, Notation};
use super::package::Target;
use super::style::Styles;
use super::value::{Data, Value};
use super::workbook::{Address, Cell, MAX_CELLS, Name, Place, Sheet, SheetNumbers, Visibility, Workbook};
use crate::formats::markup::{self, Token};
use crate::lure::decode_xml;

/// The first element of a part.
pub fn root(content: &[u8]) -> Option<String> {
    // All of it: comments in front may be as long as a sender likes.
    let text = decode_xml(content);
    markup::tokens(&text).find_map(|token| match token {
        Token::Open(name, _) => Some(name.to_owned()),
        _ => None,
    })
}

/// Whether the part is the workbook.
pub fn is_workbook(content: &[u8]) -> bool {
    root(content).is_some_and(|root| root == "workbook")
}

/// The strings that all sheets share; none if the part is another one.
pub fn strings(content: &[u8]) -> Vec<String> {
    if root(content).is_none_or(|root| root != "sst") {
        return Vec::new();
    }
    let mut strings: Vec<String> = Vec::new();
    let mut is_text = false;
    for token in markup::tokens(&decode_xml(content)) {
        match token {
            Token::Open("si", _) if strings.len() >= MAX_CELLS => break,
            Token::Open("si", _) => strings.push(String::new()),
            Token::Text(text) if is_text => {
                if let Some(last) = strings.last_mut() {
                    last.push_str(&markup::decoded(text));
                }
            }
            Token::Open(name, _) => is_text = name == "t",
            Token::Close(_) => is_text = false,
            Token::Text(_) => {}
        }
    }
    strings
}

/// Reads the workbook part and the sheets that it refers to.
pub fn read(content: &[u8], targets: &HashMap<String, Target>, strings: &[String], styles: &Styles) -> Workbook {
    let mut book = Workbook::default();
    let mut contents = Vec::new();
    let mut names: Vec<(String, bool, String)> = Vec::new();
    let mut in_name = false;
    for token in markup::tokens(&decode_xml(content)) {
        match token {
            Token::Open("sheet", attributes) => {
                let value = |name| markup::attribute(attributes, name).unwrap_or_default();
                let id = value("id");
                let Some(target) = targets.get(id.as_ref()) else { continue };
                let visibility = match value("state").as_ref() {
                    "veryHidden" => Visibility::VeryHidden,
                    "hidden" => Visibility::Hidden,
                    _ => Visibility::Visible,
                };
                let is_macro = target.is_macro || root(&target.content).is_some_and(|root| root == "macrosheet");
                let sheet = Sheet { name: value("name").into_owned(), is_macro, visibility, ..Sheet::default() };
                if book.add_sheet(sheet).is_some() {
                    contents.push(&target.content);
                }
            }
            Token::Open("definedName", attributes) => {
                let value = |name| markup::attribute(attributes, name).unwrap_or_default();
                let name = value("name");
                // Built-in names have a mark (ECMA-376 part 1, 18.2.5).
                let name = name.strip_prefix("_xlnm.").unwrap_or(&name).to_owned();
                let is_hidden = matches!(value("hidden").as_ref(), "1" | "true");
                names.push((name, is_hidden, String::new()));
                in_name = true;
            }
            Token::Text(text) if in_name => {
                if let Some((_, _, formula)) = names.last_mut() {
                    formula.push_str(&markup::decoded(text));
                }
            }
            Token::Open(..) | Token::Close(_) => in_name = false,
            Token::Text(_) => {}
        }
    }
    let numbers = SheetNumbers::new(book.sheets.iter().map(|sheet| sheet.name.as_str()));
    for (name, is_hidden, text) in names {
        let formula = formula::parse(&text, Notation::A1, &numbers).map(Rc::new);
        book.add_name(Name { name, is_hidden, formula });
    }
    if book.has_code() {
        for (sheet, content) in contents.into_iter().enumerate() {
            if !book.may_read(content.len()) {
                break;
            }
            cells(content, sheet, (strings, styles), &numbers, &mut book);
        }
    }
    book
}

/// What text is being read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Formula,
    Value,
    Other,
}

/// A cell that is being read.
#[derive(Default)]
struct Open {
    place: Place,
    kind: String,
    format: Option<usize>,
    formula: String,
    value: String,
}

fn cells(content: &[u8], sheet: usize, shared: (&[String], &Styles), numbers: &SheetNumbers, book: &mut Workbook) {
    let mut open: Option<Open> = None;
    let mut field = Field::Other;
    let mut next = Place::default();
    for token in markup::tokens(&decode_xml(content)) {
        match token {
            Token::Open("row", attributes) => {
                let number = markup::attribute(attributes, "r").and_then(|row| row.trim().parse::<u32>().ok());
                next = Place { column: 0, row: number.map_or(next.row, |row| row.saturating_sub(1)) };
            }
            Token::Open("c", attributes) => {
                finish(open.take(), sheet, shared, numbers, book);
                let value = |name| markup::attribute(attributes, name).unwrap_or_default();
                let place = formula::place(&value("r")).unwrap_or(next);
                next = Place { column: place.column.saturating_add(1), row: place.row };
                let format = value("s").trim().parse().ok();
                open = Some(Open { place, kind: value("t").into_owned(), format, ..Open::default() });
                field = Field::Other;
            }
            Token::Open(name, _) => {
                field = match name {
                    "f" => Field::Formula,
                    "v" | "t" => Field::Value,
                    _ => Field::Other,
                }
            }
            Token::Close("row") => {
                finish(open.take(), sheet, shared, numbers, book);
                next = Place { column: 0, row: next.row.saturating_add(1) };
            }
            Token::Close(_) => field = Field::Other,
            Token::Text(text) => match (&mut open, field) {
                (Some(open), Field::Formula) => open.formula.push_str(&markup::decoded(text)),
                (Some(open), Field::Value) => open.value.push_str(&markup::decoded(text)),
                _ => {}
            },
        }
        if book.is_cut {
            return;
        }
    }
    finish(open, sheet, shared, numbers, book);
}

fn finish(open: Option<Open>, sheet: usize, shared: (&[String], &Styles), numbers: &SheetNumbers, book: &mut Workbook) {
    let (strings, styles) = shared;
    let Some(open) = open else { return };
    let text = open.value;
    let value: Value = match open.kind.as_str() {
        "s" => text
            .trim()
            .parse()
            .ok()
            .and_then(|at: usize| strings.get(at))
            .map_or(Value::UNKNOWN, |text| text.clone().into()),
        "str" | "inlineStr" => text.into(),
        "b" => (text.trim() == "1").into(),
        "e" => Data::Error.into(),
        _ if text.is_empty() => Value::UNKNOWN,
        _ => text.trim().parse::<f64>().map_or(Value::UNKNOWN, Value::from),
    };
    let mut formula = None;
    if !open.formula.trim().is_empty() {
        formula = formula::parse(&open.formula, Notation::A1, numbers).map(Rc::new);
        let is_macro = book.sheets.get(sheet).is_some_and(|sheet| sheet.is_macro);
        book.unread = book.unread.saturating_add(usize::from(formula.is_none() && is_macro));
    }
    if formula.is_some() {
        // Without a format it is the first.
        book.hide(Address { sheet, place: open.place }, styles.unseen(open.format.unwrap_or(0)));
    }
    if formula.is_some() || value.data != Data::Unknown {
        book.put(Address { sheet, place: open.place }, Cell { formula, value });
    }
}
