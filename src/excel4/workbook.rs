//! A workbook, as far as its macros go: the same for every file format.

use foldhash::{HashMap, HashMapExt};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use super::expression::Expression;
use super::value::Value;

/// Cells that are read of one workbook: sheets of data have more, macros do not.
pub const MAX_CELLS: usize = 400_000;
/// Sheets that are read.
pub const MAX_SHEETS: usize = 1000;
/// Octets of all sheets that are read: sheets may share what they claim.
const MAX_OCTETS: usize = 128 << 20;
/// Defined names that are read.
pub const MAX_NAMES: usize = 20_000;

/// A workbook.
#[derive(Debug, Default)]
pub struct Workbook {
    /// In their order.
    pub sheets: Vec<Sheet>,
    /// In their order.
    pub names: Vec<Name>,
    /// A limit left something out.
    pub is_cut: bool,
    /// Formulas that could not be read.
    pub unread: usize,
    /// How many cells there are.
    pub cells: usize,
    /// Octets of sheets that were read.
    octets: usize,
}

/// A sheet.
#[derive(Debug, Default)]
pub struct Sheet {
    /// Its name.
    pub name: String,
    /// It holds macros.
    pub is_macro: bool,
    /// Who can see it.
    pub visibility: Visibility,
    /// What stands in it.
    pub cells: BTreeMap<Place, Cell>,
    /// The first formula in whose cell nothing is seen, and why.
    pub unseen: Option<(Place, &'static str)>,
}

/// Who can see a sheet ([MS-XLS] 2.4.28 hsState).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Visibility {
    /// Everybody.
    #[default]
    Visible,
    /// Who unhides it.
    Hidden,
    /// Nobody: the menu does not list it.
    VeryHidden,
}

/// What stands in a cell.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// Its formula, if it is one.
    pub formula: Option<Rc<Expression>>,
    /// Its value, or that of the formula when the file was saved.
    pub value: Value,
}

/// A defined name.
#[derive(Debug)]
pub struct Name {
    /// As it is written; built-in ones in words (`Auto_Open`).
    pub name: String,
    /// The list of names does not show it.
    pub is_hidden: bool,
    /// What it stands for.
    pub formula: Option<Rc<Expression>>,
}

/// A row and a column, from zero. In the order in which macros run: downwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// To the right.
    pub column: u32,
    /// Downwards.
    pub row: u32,
}

/// A cell of the workbook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The number of the sheet.
    pub sheet: usize,
    /// The cell in it.
    pub place: Place,
}

/// Cells of a sheet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// The number of the sheet.
    pub sheet: usize,
    /// Upper left.
    pub first: Place,
    /// Lower right.
    pub last: Place,
}

impl Area {
    /// One cell.
    pub fn cell(at: Address) -> Self {
        Self { sheet: at.sheet, first: at.place, last: at.place }
    }

    /// Its upper left cell.
    pub fn start(self) -> Address {
        Address { sheet: self.sheet, place: self.first }
    }

    /// Whether it is one cell.
    pub fn is_cell(self) -> bool {
        self.first == self.last
    }
}

impl fmt::Display for Place {
    /// As Excel shows it: `AB12`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&column_letters(self.column))?;
        write!(f, "{}", u64::from(self.row).saturating_add(1))
    }
}

/// `A` for the first column.
fn column_letters(column: u32) -> String {
    let mut letters = Vec::new();
    let mut rest = u64::from(column).saturating_add(1);
    while rest > 0 {
        rest = rest.saturating_sub(1);
        letters.push(char::from(b'A'.saturating_add(u8::try_from(rest % 26).unwrap_or(0))));
        rest /= 26;
    }
    letters.iter().rev().collect()
}

impl Workbook {
    /// Adds a sheet; `None` if there are too many.
    pub fn add_sheet(&mut self, sheet: Sheet) -> Option<usize> {
        if self.sheets.len() >= MAX_SHEETS {
            self.is_cut = true;
            return None;
        }
        self.sheets.push(sheet);
        self.sheets.len().checked_sub(1)
    }

    /// Whether so many octets of a sheet may still be read.
    pub fn may_read(&mut self, octets: usize) -> bool {
        self.octets = self.octets.saturating_add(octets);
        self.is_cut |= self.octets > MAX_OCTETS;
        !self.is_cut
    }

    /// Adds a name.
    pub fn add_name(&mut self, name: Name) {
        if self.names.len() >= MAX_NAMES {
            self.is_cut = true;
        } else {
            self.names.push(name);
        }
    }

    /// Puts something into a cell; `false` once there are too many.
    pub fn put(&mut self, at: Address, cell: Cell) -> bool {
        if self.cells >= MAX_CELLS {
            self.is_cut = true;
            return false;
        }
        if let Some(sheet) = self.sheets.get_mut(at.sheet) {
            self.cells = self.cells.saturating_add(1);
            sheet.cells.insert(at.place, cell);
        }
        true
    }

    /// Says that nothing is seen in a cell with a formula.
    pub fn hide(&mut self, at: Address, why: Option<&'static str>) {
        if let (Some(sheet), Some(why)) = (self.sheets.get_mut(at.sheet), why) {
            sheet.unseen.get_or_insert((at.place, why));
        }
    }

    /// The names of the sheets, in their order.
    pub fn sheet_names(&self) -> Vec<String> {
        self.sheets.iter().map(|sheet| sheet.name.clone()).collect()
    }

    /// Whether there are macros, on a sheet or in a name.
    pub fn has_code(&self) -> bool {
        self.sheets.iter().any(|sheet| sheet.is_macro) || self.named_macros().next().is_some()
    }

    /// Names that stand for something that runs.
    pub fn named_macros(&self) -> impl Iterator<Item = &Rc<Expression>> {
        const RUNNING: &[&str] = &["EXEC", "CALL", "REGISTER", "REGISTER.ID", "FOPEN", "INITIATE"];
        self.names.iter().filter_map(|name| name.formula.as_ref()).filter(|formula| formula.calls(RUNNING))
    }

    /// Whether there is a formula on a macro sheet.
    pub fn has_macros(&self) -> bool {
        self.sheets.iter().any(|sheet| sheet.is_macro && sheet.cells.values().any(|cell| cell.formula.is_some()))
    }
}

/// The numbers of sheets by their names, whatever the case.
#[derive(Clone, Debug, Default)]
pub struct SheetNumbers(HashMap<String, usize>);

impl SheetNumbers {
    /// Of these names.
    pub fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut numbers = HashMap::new();
        for (number, name) in names.enumerate() {
            numbers.entry(name.to_lowercase()).or_insert(number);
        }
        Self(numbers)
    }

    /// The sheet of this name.
    pub fn get(&self, name: &str) -> Option<usize> {
        self.0.get(&name.to_lowercase()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workbook_holds_so_many_cells_sheets_and_names_and_tells_of_more() {
        let fill = |cells: usize, sheets: usize, names: usize| {
            let mut book = Workbook::default();
            for _ in 0..sheets {
                let _ = book.add_sheet(Sheet::default());
            }
            let name = |n: usize| Name { name: n.to_string(), is_hidden: false, formula: None };
            (0..names).for_each(|n| book.add_name(name(n)));
            let place = |n: usize| Place { column: 0, row: n as u32 };
            for n in 0..cells {
                let _ = book.put(Address { sheet: 0, place: place(n) }, Cell::default());
            }
            (book.cells, book.sheets.len(), book.names.len(), book.is_cut)
        };
        assert_eq!(fill(MAX_CELLS, 1, 0), (MAX_CELLS, 1, 0, false));
        assert_eq!(fill(MAX_CELLS + 1, 1, 0), (MAX_CELLS, 1, 0, true));
        assert_eq!(fill(0, MAX_SHEETS, MAX_NAMES), (0, MAX_SHEETS, MAX_NAMES, false));
        assert_eq!(fill(0, MAX_SHEETS + 1, 0), (0, MAX_SHEETS, 0, true));
        assert_eq!(fill(0, 1, MAX_NAMES + 1), (0, 1, MAX_NAMES, true));
    }

    #[test]
    fn cells_have_the_names_that_excel_gives_them() {
        for (column, row, name) in [(0, 0, "A1"), (25, 9, "Z10"), (26, 0, "AA1"), (701, 1, "ZZ2"), (16383, 0, "XFD1")] {
            assert_eq!(Place { column, row }.to_string(), name);
        }
    }
}
