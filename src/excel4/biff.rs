//! Workbooks of Excel 5 to 2003 ([MS-XLS]), and sheets of Excel 2 to 4: names, formulas and values.
//!
//! Sheets without macros are read for their cells only if there are macros that may use them.

use std::collections::HashMap;
use std::rc::Rc;

use encoding_rs::{Encoding, UTF_16LE, WINDOWS_1252};

use super::expression::Expression;
use super::ptg::{self, Context, Version};
use super::style::Styles;
use super::value::{Data, Value};
use super::workbook::{Address, Cell, MAX_CELLS, Name, Place, Sheet, Visibility, Workbook};
use crate::formats::cfb::biff::{Piece, records, shared_strings};
use crate::reader::Reader;

// [MS-XLS] 2.3.2: numbers of records.
const FORMULA: u16 = 0x0006;
const END: u16 = 0x000A;
const EXTERN_SHEET: u16 = 0x0017;
const NAME: u16 = 0x0018;
const NAME_3: u16 = 0x0218;
const EXTERN_NAME: u16 = 0x0023;
const EXTERN_NAME_3: u16 = 0x0223;
const FILE_PASS: u16 = 0x002F;
const CONTINUE: u16 = 0x003C;
const CODE_PAGE: u16 = 0x0042;
const SHEET: u16 = 0x0085;
const MANY_NUMBERS: u16 = 0x00BD;
const RICH_STRING: u16 = 0x00D6;
const SHARED_STRINGS: u16 = 0x00FC;
const SHARED_STRING: u16 = 0x00FD;
const SUPPORTING_BOOK: u16 = 0x01AE;
const NUMBER: u16 = 0x0203;
const LABEL: u16 = 0x0204;
const TRUTH: u16 = 0x0205;
const STRING: u16 = 0x0207;
const ARRAY: u16 = 0x0221;
const COMPACT_NUMBER: u16 = 0x027E;
const FORMULA_3: u16 = 0x0206;
const FORMULA_4: u16 = 0x0406;
const SHARED_FORMULA: u16 = 0x04BC;
const BEGIN: u16 = 0x0809;
const FONT: u16 = 0x0031;
const NUMBER_FORMAT: u16 = 0x041E;
const FORMAT: u16 = 0x00E0;
// Excel 2 to 4.
const BEGIN_2: u16 = 0x0009;
const BEGIN_3: u16 = 0x0209;
const BEGIN_4: u16 = 0x0409;
const NUMBER_2: u16 = 0x0003;
const LABEL_2: u16 = 0x0004;
const TRUTH_2: u16 = 0x0005;
const STRING_2: u16 = 0x0007;

/// [MS-XLS] 2.4.21 dt: a sheet of macros.
const MACRO_SHEET: u16 = 0x0040;

/// [MS-XLS] 2.5.114: built-in names.
const BUILT_IN: [&str; 14] = [
    "Consolidate_Area",
    "Auto_Open",
    "Auto_Close",
    "Extract",
    "Database",
    "Criteria",
    "Print_Area",
    "Print_Titles",
    "Recorder",
    "Data_Form",
    "Auto_Activate",
    "Auto_Deactivate",
    "Sheet_Title",
    "_FilterDatabase",
];

/// Reads a workbook stream. Without macros in it, only the sheets and names are read.
pub fn read(stream: &[u8]) -> Workbook {
    let mut book = Workbook::default();
    let globals = Globals::read(stream, &mut book);
    if globals.is_encrypted || !book.has_code() {
        return book;
    }
    let strings = globals.strings(stream);
    for number in 0..book.sheets.len() {
        let Some(start) = globals.starts.get(number).copied() else { continue };
        let Some(substream) = stream.get(start..) else { continue };
        // Sheets may begin at one place, and end nowhere.
        if !book.may_read(size_of(substream)) {
            break;
        }
        let mut cells = Cells {
            sheet: number,
            context: &globals.context,
            strings: &strings,
            styles: &globals.styles,
            book: &mut book,
            open: None,
            shared: HashMap::new(),
        };
        cells.read(substream);
    }
    book
}

/// How long a substream is, with those within it.
fn size_of(substream: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut size = 0_usize;
    for (id, data) in records(substream) {
        size = size.saturating_add(data.len()).saturating_add(4);
        match id {
            BEGIN | BEGIN_2 | BEGIN_3 | BEGIN_4 => depth = depth.saturating_add(1),
            END if depth <= 1 => break,
            END => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    size
}

/// What the first substream tells.
#[derive(Default)]
struct Globals {
    context: Context,
    /// Where each sheet begins.
    starts: Vec<usize>,
    styles: Styles,
    is_encrypted: bool,
}

impl Globals {
    fn read(stream: &[u8], book: &mut Workbook) -> Self {
        let mut globals = Self::default();
        let mut names: Vec<(Name, &[u8])> = Vec::new();
        let mut externs: Vec<(usize, u16)> = Vec::new();
        let mut own: Vec<bool> = Vec::new();
        for (id, data) in records(stream) {
            match id {
                BEGIN | BEGIN_2 | BEGIN_3 | BEGIN_4 => {
                    let mut reader = Reader::new(data);
                    let (version, kind) = (reader.u16(), reader.u16());
                    let is_5 = id == BEGIN && version == Some(0x0500);
                    globals.context.old = [(BEGIN_2, 2), (BEGIN_3, 3), (BEGIN_4, 4)]
                        .into_iter()
                        .find_map(|(begin, old)| (begin == id).then_some(old));
                    let is_old = globals.context.old.is_some();
                    globals.context.version = if is_5 || is_old { Version::Biff5 } else { Version::Biff8 };
                    // A sheet that stands by itself: what it is called, its file says.
                    if is_old || kind == Some(MACRO_SHEET) {
                        let is_macro = kind == Some(MACRO_SHEET);
                        let sheet = Sheet { name: "Macro1".to_owned(), is_macro, ..Sheet::default() };
                        if book.sheets.is_empty() && book.add_sheet(sheet).is_some() {
                            globals.starts.push(0);
                        }
                    }
                }
                FONT => globals.styles.biff_font(data),
                NUMBER_FORMAT => globals.styles.biff_format(data),
                FORMAT => globals.styles.biff_cell(data, globals.context.version == Version::Biff5),
                CODE_PAGE => {
                    let page = Reader::new(data).u16().unwrap_or(1252);
                    globals.context.encoding = crate::vba::project::encoding_of(page).unwrap_or(WINDOWS_1252);
                }
                FILE_PASS => globals.is_encrypted = true,
                SHEET => {
                    if let Some((sheet, start)) = globals.sheet(data, stream)
                        && book.add_sheet(sheet).is_some()
                    {
                        globals.starts.push(start);
                    }
                }
                SUPPORTING_BOOK => {
                    // This workbook itself ([MS-XLS] 2.4.271).
                    own.push(data.get(2..4) == Some(&[0x01, 0x04]));
                    globals.context.external_names.push(Vec::new());
                }
                EXTERN_NAME | EXTERN_NAME_3 => {
                    if let Some(last) = globals.context.external_names.last_mut() {
                        // Flags and more, then the name.
                        let name = Reader::at(data, 6).and_then(|mut reader| {
                            let count = usize::from(reader.u8()?);
                            characters(&mut reader, count, Version::Biff8, WINDOWS_1252)
                        });
                        last.push(name.unwrap_or_default());
                    }
                }
                EXTERN_SHEET if globals.context.version == Version::Biff8 => {
                    let mut reader = Reader::new(data);
                    let count = reader.u16().unwrap_or(0);
                    for _ in 0..count {
                        let (Some(book), Some(first), Some(_)) = (reader.u16(), reader.u16(), reader.u16()) else {
                            break;
                        };
                        externs.push((book.into(), first));
                    }
                }
                NAME | NAME_3 => names.extend(globals.name(data)),
                END => break,
                _ => {}
            }
        }
        for (supporting, first) in externs {
            let is_own = own.get(supporting).copied().unwrap_or(false);
            globals.context.books.push(supporting);
            globals.context.externs.push((is_own && first < 0xFFFE).then_some(first.into()));
        }
        // Names may stand for names that come later.
        globals.context.names = names.iter().map(|(name, _)| name.name.clone()).collect();
        for (mut name, tokens) in names {
            name.formula = ptg::parse(tokens, &globals.context).map(Rc::new);
            book.add_name(name);
        }
        globals
    }

    /// [MS-XLS] 2.4.28: where it begins, who sees it, what it is, its name.
    fn sheet(&self, data: &[u8], stream: &[u8]) -> Option<(Sheet, usize)> {
        let mut reader = Reader::new(data);
        let start = reader.u32()? as usize;
        let (state, kind) = (reader.u8()?, reader.u8()?);
        let count = usize::from(reader.u8()?);
        let name = characters(&mut reader, count, self.context.version, self.context.encoding).unwrap_or_default();
        // The sheet itself says what it is, too ([MS-XLS] 2.4.21 dt).
        let begins_macros = stream.get(start..).and_then(|sheet| records(sheet).next()).is_some_and(|(id, data)| {
            id == BEGIN && Reader::at(data, 2).and_then(|mut reader| reader.u16()) == Some(MACRO_SHEET)
        });
        let visibility = match state & 3 {
            0 => Visibility::Visible,
            1 => Visibility::Hidden,
            _ => Visibility::VeryHidden,
        };
        let is_macro = kind == 1 || begins_macros;
        Some((Sheet { name, is_macro, visibility, ..Sheet::default() }, start))
    }

    /// [MS-XLS] 2.4.150: flags, lengths, the name, its formula.
    fn name<'a>(&self, data: &'a [u8]) -> Option<(Name, &'a [u8])> {
        let mut reader = Reader::new(data);
        let flags = reader.u16()?;
        reader.u8()?;
        let count = usize::from(reader.u8()?);
        // Excel 2 counts the tokens in one octet, and has other flags.
        let is_2 = self.context.old == Some(2);
        let size = if is_2 { usize::from(reader.u8()?) } else { usize::from(reader.u16()?) };
        let flags = if is_2 { 0 } else { flags };
        if self.context.old.is_none() {
            reader.skip(8)?;
        }
        let name = if flags & 0x0020 != 0 {
            let code = match self.context.version {
                Version::Biff5 => reader.u8()?,
                _ => {
                    let is_wide = reader.u8()? & 1 != 0;
                    let code = reader.u8()?;
                    reader.skip(usize::from(is_wide))?;
                    code
                }
            };
            // What follows the code of a built-in name belongs to it.
            let _ = reader.skip(count.saturating_sub(1));
            BUILT_IN.get(usize::from(code)).map_or_else(|| format!("built-in {code}"), |name| (*name).to_owned())
        } else {
            characters(&mut reader, count, self.context.version, self.context.encoding)?
        };
        let tokens = reader.take(size.min(reader.left()))?;
        Some((Name { name, is_hidden: flags & 1 != 0, formula: None }, tokens))
    }

    /// The strings that all sheets share.
    fn strings(&self, stream: &[u8]) -> Vec<String> {
        let mut records = records(stream).skip_while(|(id, _)| *id != SHARED_STRINGS);
        let Some((_, first)) = records.next() else { return Vec::new() };
        let mut parts = vec![first.get(8..).unwrap_or_default()];
        parts.extend(records.take_while(|(id, _)| *id == CONTINUE).map(|(_, data)| data));
        let mut strings = Vec::new();
        let mut text = String::new();
        shared_strings(&parts, |piece| {
            match piece {
                Piece::Characters(octets, true) => text.push_str(&UTF_16LE.decode_without_bom_handling(octets).0),
                Piece::Characters(octets, false) => text.extend(octets.iter().copied().map(char::from)),
                Piece::End => strings.push(std::mem::take(&mut text)),
            }
            strings.len() < MAX_CELLS
        });
        strings
    }
}

/// So many characters: with a flag for their width in BIFF8, in the code page before it.
fn characters(reader: &mut Reader<'_>, count: usize, version: Version, encoding: &'static Encoding) -> Option<String> {
    if version == Version::Biff5 {
        return Some(encoding.decode_without_bom_handling(reader.take(count)?).0.into_owned());
    }
    let flags = reader.u8()?;
    if flags & 1 != 0 {
        let octets = reader.take(count.checked_mul(2)?)?;
        return Some(UTF_16LE.decode_without_bom_handling(octets).0.into_owned());
    }
    Some(reader.take(count)?.iter().copied().map(char::from).collect())
}

/// The cells of a sheet.
struct Cells<'a, 'b> {
    sheet: usize,
    context: &'a Context,
    strings: &'a [String],
    styles: &'a Styles,
    book: &'b mut Workbook,
    /// A formula whose text comes in the next record.
    open: Option<Address>,
    /// Tokens of formulas that several cells have, by the first of them.
    shared: HashMap<(u32, u32), &'a [u8]>,
}

/// Shared formulas of a sheet that are kept.
const MAX_SHARED: usize = 20_000;

impl<'a> Cells<'a, '_> {
    fn read(&mut self, substream: &'a [u8]) {
        let is_macro = self.book.sheets.get(self.sheet).is_some_and(|sheet| sheet.is_macro);
        let mut depth = 0_usize;
        let mut waiting: Vec<(Address, (u32, u32))> = Vec::new();
        for (id, data) in records(substream) {
            match id {
                BEGIN | BEGIN_2 | BEGIN_3 | BEGIN_4 => depth = depth.saturating_add(1),
                END => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        break;
                    }
                }
                // Charts stand within sheets.
                _ if depth != 1 => {}
                SHARED_FORMULA | ARRAY => self.share(id, data),
                STRING | STRING_2 => self.text_of_formula(data),
                FORMULA | FORMULA_3 | FORMULA_4 => {
                    if let Some((at, tokens)) = self.formula(data, is_macro)
                        && let Some((row, Some(column))) = ptg::shared(tokens, self.context.version)
                    {
                        waiting.push((at, (row, column)));
                    }
                }
                _ => {
                    self.value(id, data);
                }
            }
            if self.book.is_cut {
                break;
            }
        }
        // What a cell shares may stand behind it.
        for (at, first) in waiting {
            let formula = self.shared.get(&first).and_then(|tokens| ptg::parse(tokens, self.context)).map(Rc::new);
            self.book.unread = self.book.unread.saturating_add(usize::from(formula.is_none() && is_macro));
            if let Some(cell) = self.book.sheets.get_mut(at.sheet).and_then(|sheet| sheet.cells.get_mut(&at.place)) {
                cell.formula = formula;
            }
        }
    }

    fn at(&self, row: u16, column: u16) -> Address {
        Address { sheet: self.sheet, place: Place { column: column.into(), row: row.into() } }
    }

    /// [MS-XLS] 2.4.127: the cell, its format, its value, flags, its tokens.
    fn formula(&mut self, data: &'a [u8], is_macro: bool) -> Option<(Address, &'a [u8])> {
        let mut reader = Reader::new(data);
        let at = self.at(reader.u16()?, reader.u16()?);
        // Excel 2 has three octets of formats and one of flags, Excel 5 a place to compute in behind the flags.
        let old = self.context.old;
        let format = if old == Some(2) { reader.skip(3).map(|()| 0)? } else { reader.u16()? };
        let value = reader.take(8)?;
        reader.skip(match old {
            Some(2) => 1,
            Some(_) => 2,
            None => 6,
        })?;
        let size = if old == Some(2) { usize::from(reader.u8()?) } else { usize::from(reader.u16()?) };
        let tokens = reader.take(size.min(reader.left()))?;
        let value = match value {
            [0, .., 0xFF, 0xFF] => {
                self.open = Some(at);
                Value::UNKNOWN
            }
            [1, _, truth, .., 0xFF, 0xFF] => (*truth != 0).into(),
            [2, .., 0xFF, 0xFF] => Data::Error.into(),
            [3, .., 0xFF, 0xFF] => "".into(),
            _ => Reader::new(value).u64().map_or(Value::UNKNOWN, |bits| f64::from_bits(bits).into()),
        };
        let formula: Option<Expression> = ptg::parse(tokens, self.context);
        let is_shared = ptg::shared(tokens, self.context.version).is_some();
        if formula.is_none() && !is_shared && is_macro {
            self.book.unread = self.book.unread.saturating_add(1);
        }
        self.book.put(at, Cell { formula: formula.map(Rc::new), value });
        self.book.hide(at, self.styles.unseen(format.into()));
        Some((at, tokens))
    }

    /// [MS-XLS] 2.4.268: the text that a formula came to.
    fn text_of_formula(&mut self, data: &[u8]) {
        let Some(at) = self.open.take() else { return };
        let mut reader = Reader::new(data);
        let count = if self.context.old == Some(2) { reader.u8().map(u16::from) } else { reader.u16() };
        let text = count.and_then(|count| {
            let room = reader.left();
            characters(&mut reader, usize::from(count).min(room), self.context.version, self.context.encoding)
        });
        let cell = self.book.sheets.get_mut(at.sheet).and_then(|sheet| sheet.cells.get_mut(&at.place));
        if let (Some(cell), Some(text)) = (cell, text) {
            cell.value = text.into();
        }
    }

    /// [MS-XLS] 2.4.260 and 2.4.4: the cells, then the tokens.
    fn share(&mut self, id: u16, data: &'a [u8]) {
        let mut reader = Reader::new(data);
        let (Some(row), Some(_), Some(column), Some(_)) = (reader.u16(), reader.u16(), reader.u8(), reader.u8()) else {
            return;
        };
        let skipped = if id == ARRAY { 6 } else { 2 };
        let tokens = reader.skip(skipped).and_then(|()| {
            let size = usize::from(reader.u16()?);
            reader.take(size.min(reader.left()))
        });
        if let Some(tokens) = tokens.filter(|_| self.shared.len() < MAX_SHARED) {
            self.shared.entry((row.into(), column.into())).or_insert(tokens);
        }
    }

    fn value(&mut self, id: u16, data: &[u8]) -> Option<()> {
        let mut reader = Reader::new(data);
        let (row, column) = match id {
            SHARED_STRING | NUMBER | LABEL | RICH_STRING | TRUTH | COMPACT_NUMBER | MANY_NUMBERS => {
                (reader.u16()?, reader.u16()?)
            }
            NUMBER_2 | LABEL_2 | TRUTH_2 if self.context.old == Some(2) => return self.value_2(id, &mut reader),
            _ => return None,
        };
        let at = self.at(row, column);
        if id == MANY_NUMBERS {
            let mut column = column;
            while let (Some(_), Some(number)) = (reader.u16(), reader.u32()) {
                // The last column stands behind the last number.
                self.book.put(self.at(row, column), Cell { formula: None, value: compact(number).into() });
                column = column.saturating_add(1);
            }
            return Some(());
        }
        reader.skip(2)?;
        let value: Value = match id {
            SHARED_STRING => self.strings.get(reader.u32()? as usize)?.clone().into(),
            NUMBER => f64::from_bits(reader.u64()?).into(),
            COMPACT_NUMBER => compact(reader.u32()?).into(),
            TRUTH => match (reader.u8()?, reader.u8()?) {
                (truth, 0) => (truth != 0).into(),
                _ => Data::Error.into(),
            },
            _ => {
                let count = usize::from(reader.u16()?);
                let room = reader.left();
                characters(&mut reader, count.min(room), self.context.version, self.context.encoding)?.into()
            }
        };
        self.book.put(at, Cell { formula: None, value });
        Some(())
    }
}

impl Cells<'_, '_> {
    /// A value of Excel 2: the cell, three octets of formats, the value.
    fn value_2(&mut self, id: u16, reader: &mut Reader<'_>) -> Option<()> {
        let at = self.at(reader.u16()?, reader.u16()?);
        reader.skip(3)?;
        let value: Value = match id {
            NUMBER_2 => f64::from_bits(reader.u64()?).into(),
            TRUTH_2 => match (reader.u8()?, reader.u8()?) {
                (truth, 0) => (truth != 0).into(),
                _ => Data::Error.into(),
            },
            _ => {
                let count = usize::from(reader.u8()?).min(reader.left());
                characters(reader, count, Version::Biff5, self.context.encoding)?.into()
            }
        };
        self.book.put(at, Cell { formula: None, value });
        Some(())
    }
}

/// [MS-XLS] 2.5.217: thirty bits of an integer or of a floating number, perhaps hundredfold.
pub fn compact(number: u32) -> f64 {
    let value = if number & 2 != 0 {
        f64::from(number.cast_signed() >> 2)
    } else {
        f64::from_bits(u64::from(number & !3) << 32)
    };
    if number & 1 != 0 { value / 100.0 } else { value }
}
