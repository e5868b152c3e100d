//! Sheets, names and strings of binary workbooks ([MS-XLSB]).

use std::collections::HashMap;
use std::rc::Rc;

use super::biff::compact;
use super::package::Target;
use super::ptg::{self, Context, Version};
use super::style::Styles;
use super::value::{Data, Value};
use super::workbook::{Address, Cell, MAX_CELLS, Name, Place, Sheet, Visibility, Workbook};
use crate::formats::biff12::{records, wide};
use crate::reader::Reader;

// [MS-XLSB] 2.3.1: numbers of records.
const ROW: u32 = 0;
const FIRST_CELL: u32 = 2;
const LAST_CELL: u32 = 11;
const STRING_ITEM: u32 = 19;
const NAME: u32 = 39;
const BEGIN_BOOK: u32 = 131;
const SHEET: u32 = 156;
const BEGIN_STRINGS: u32 = 159;
const SUPPORTING_BOOK: u32 = 355;
const SUPPORTING_SELF: u32 = 357;
const SUPPORTING_SAME: u32 = 358;
const SUPPORTING_ADD_IN: u32 = 667;
const EXTERN_SHEETS: u32 = 362;

/// Whether the part is the workbook.
pub fn is_workbook(content: &[u8]) -> bool {
    records(content).next().is_some_and(|(id, _)| id == BEGIN_BOOK)
}

/// The strings that all sheets share; none if the part is another one.
pub fn strings(content: &[u8]) -> Vec<String> {
    if records(content).next().is_none_or(|(id, _)| id != BEGIN_STRINGS) {
        return Vec::new();
    }
    let items = records(content).filter(|(id, _)| *id == STRING_ITEM);
    // [MS-XLSB] 2.5.124: flags, then the text.
    items
        .take(MAX_CELLS)
        .map(|(_, data)| Reader::at(data, 1).and_then(|mut reader| wide(&mut reader)).unwrap_or_default())
        .collect()
}

/// Reads the workbook part and the sheets that it refers to.
pub fn read(content: &[u8], targets: &HashMap<String, Target>, strings: &[String], styles: &Styles) -> Workbook {
    let mut book = Workbook::default();
    let mut context = Context { version: Version::Biff12, ..Context::default() };
    let mut contents = Vec::new();
    let mut names: Vec<(Name, &[u8])> = Vec::new();
    let mut own: Vec<bool> = Vec::new();
    for (id, data) in records(content) {
        match id {
            SHEET => {
                let Some((id, mut sheet)) = sheet(data) else { continue };
                let Some(target) = targets.get(&id) else { continue };
                sheet.is_macro = target.is_macro;
                if book.add_sheet(sheet).is_some() {
                    contents.push(&target.content);
                }
            }
            SUPPORTING_SELF | SUPPORTING_SAME => own.push(true),
            SUPPORTING_BOOK | SUPPORTING_ADD_IN => own.push(false),
            EXTERN_SHEETS => {
                let mut reader = Reader::new(data);
                let count = reader.u32().unwrap_or(0);
                for _ in 0..count {
                    let (Some(supporting), Some(first), Some(_)) = (reader.u32(), reader.u32(), reader.u32()) else {
                        break;
                    };
                    let is_own = own.get(supporting as usize).copied().unwrap_or(false);
                    context.books.push(supporting as usize);
                    context.externs.push((is_own && first < 0xFFFF).then_some(first as usize));
                }
            }
            NAME => names.extend(name(data)),
            _ => {}
        }
    }
    context.names = names.iter().map(|(name, _)| name.name.clone()).collect();
    for (mut name, tokens) in names {
        name.formula = ptg::parse(tokens, &context).map(Rc::new);
        book.add_name(name);
    }
    if book.has_code() {
        for (sheet, content) in contents.into_iter().enumerate() {
            if !book.may_read(content.len()) {
                break;
            }
            cells(content, sheet, (strings, styles), &context, &mut book);
        }
    }
    book
}

/// [MS-XLSB] 2.4.311: its state, numbers, the id of the relationship, the name.
fn sheet(data: &[u8]) -> Option<(String, Sheet)> {
    let mut reader = Reader::new(data);
    let visibility = match reader.u32()? & 3 {
        0 => Visibility::Visible,
        1 => Visibility::Hidden,
        _ => Visibility::VeryHidden,
    };
    reader.u32()?;
    let id = wide(&mut reader)?;
    let name = wide(&mut reader)?;
    Some((id, Sheet { name, visibility, ..Sheet::default() }))
}

/// [MS-XLSB] 2.4.712: flags, a key, the sheet, the name, its formula.
fn name(data: &[u8]) -> Option<(Name, &[u8])> {
    let mut reader = Reader::new(data);
    let flags = reader.u32()?;
    reader.skip(5)?;
    let name = wide(&mut reader)?;
    let name = name.strip_prefix("_xlnm.").unwrap_or(&name).to_owned();
    let tokens = tokens(&mut reader).unwrap_or_default();
    Some((Name { name, is_hidden: flags & 1 != 0, formula: None }, tokens))
}

/// [MS-XLSB] 2.2.2: how many octets, then the tokens.
fn tokens<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let size = (reader.u32()? as usize).min(reader.left());
    reader.take(size)
}

fn cells(content: &[u8], sheet: usize, shared: (&[String], &Styles), context: &Context, book: &mut Workbook) {
    let (strings, styles) = shared;
    let is_macro = book.sheets.get(sheet).is_some_and(|sheet| sheet.is_macro);
    let mut row = 0;
    for (id, data) in records(content) {
        let mut reader = Reader::new(data);
        match id {
            ROW => row = reader.u32().unwrap_or(row),
            FIRST_CELL..=LAST_CELL => {
                let Some((column, value)) = cell(id, &mut reader, strings) else { continue };
                let mut formula = None;
                // Formulas have flags in front. The format has three octets ([MS-XLSB] 2.5.10).
                let format = Reader::at(data, 4).and_then(|mut reader| reader.u32()).map(|format| format & 0x00FF_FFFF);
                if id >= 8 && reader.skip(2).is_some() {
                    let tokens = tokens(&mut reader).unwrap_or_default();
                    formula = ptg::parse(tokens, context).map(Rc::new);
                    let is_shared = ptg::shared(tokens, context.version).is_some();
                    book.unread = book.unread.saturating_add(usize::from(formula.is_none() && is_macro && !is_shared));
                }
                let at = Address { sheet, place: Place { column, row } };
                if formula.is_some() {
                    book.hide(at, format.and_then(|format| styles.unseen(usize::try_from(format).ok()?)));
                }
                if !book.put(at, Cell { formula, value }) {
                    return;
                }
            }
            _ => {}
        }
    }
}

/// [MS-XLSB] 2.4.312 and after: the column, the format, the value.
fn cell(id: u32, reader: &mut Reader<'_>, strings: &[String]) -> Option<(u32, Value)> {
    let column = reader.u32()?;
    reader.skip(4)?;
    let value: Value = match id {
        2 => compact(reader.u32()?).into(),
        3 | 11 => {
            reader.u8()?;
            Data::Error.into()
        }
        4 | 10 => (reader.u8()? != 0).into(),
        5 | 9 => f64::from_bits(reader.u64()?).into(),
        6 | 8 => wide(reader)?.into(),
        _ => strings.get(reader.u32()? as usize).map_or(Value::UNKNOWN, |text| text.clone().into()),
    };
    Some((column, value))
}
