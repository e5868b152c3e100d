//! What functions of macros do ([MS-XLS] 2.5.198.17, the macro functions; the reference is Microsoft's "Excel
//! 4.0 Macro Functions").

use super::{Flow, MAX_AREA, Machine};
use crate::excel4::expression::Op;
use crate::excel4::formula::{self, Notation};
use crate::excel4::value::{Data, Value};
use crate::excel4::workbook::{Address, Area, Place};

/// What Excel does outside of the workbook, or to it: kept as calls.
const EFFECTS: &[&str] = &[
    "EXEC",
    "CALL",
    "REGISTER",
    "REGISTER.ID",
    "FOPEN",
    "FWRITE",
    "FWRITELN",
    "OPEN",
    "SAVE.AS",
    "INITIATE",
    "EXECUTE",
    "POKE",
    "SEND.KEYS",
    "VBA.INSERT.FILE",
    "FILE.DELETE",
    "WORKBOOK.HIDE",
];

/// Functions whose second argument is a macro that is called later.
const LATER: &[&str] =
    &["ON.TIME", "ON.KEY", "ON.SHEET", "ON.WINDOW", "ON.DATA", "ON.ENTRY", "ON.RECALC", "ON.DOUBLECLICK", "ERROR"];

impl Machine<'_> {
    /// Does what a function does. `None` if it does nothing but compute.
    pub(super) fn act(&mut self, name: &'static str, arguments: &[Value]) -> Option<Value> {
        let first = arguments.first().cloned().unwrap_or(Value::EMPTY);
        if EFFECTS.contains(&name) {
            if name == "REGISTER" {
                self.register(arguments);
            }
            self.call(name, arguments);
            return Some(Value::UNKNOWN);
        }
        if LATER.contains(&name) {
            if let Some(at) = arguments.get(1).and_then(|target| self.place_of(target)) {
                self.wait(at, self.way.is_reached);
            }
            return Some(true.into());
        }
        self.flow_of(name, arguments, &first)
            .or_else(|| self.writing(name, arguments, &first))
            .or_else(|| self.reference(name, arguments, &first))
            .or_else(|| self.ask(name, arguments))
    }

    fn flow_of(&mut self, name: &'static str, arguments: &[Value], first: &Value) -> Option<Value> {
        match name {
            "GOTO" | "FORMULA.GOTO" => {
                if let Some(at) = self.place_of(first) {
                    self.go(Flow::Goto(at));
                }
            }
            "RUN" => {
                if let Some(at) = self.place_of(first) {
                    self.go(Flow::Call(at));
                }
            }
            "RETURN" => {
                self.go(Flow::Return);
                return Some(first.clone());
            }
            "HALT" | "CLOSE" | "FILE.CLOSE" | "CLOSE.ALL" | "QUIT" => self.go(Flow::Halt),
            "WHILE" | "FOR" | "FOR.CELL" | "NEXT" | "BREAK" | "ELSE" | "ELSE.IF" | "END.IF" => {
                // The area of FOR.CELL stays one.
                let arguments =
                    if name == "FOR.CELL" { arguments.to_vec() } else { self.all_dereferenced(arguments.to_vec()) };
                self.flow = Flow::Block(name, arguments);
            }
            "ARGUMENT" => {
                let value = self.way.arguments.pop_front().unwrap_or_default();
                if let Some(name) = self.dereferenced(first.clone()).text() {
                    self.set(&name, value);
                }
            }
            _ => return None,
        }
        Some(true.into())
    }

    /// Changes where the way goes on; where it is not sure that it does, the other place waits.
    fn go(&mut self, flow: Flow) {
        match (&flow, self.unsure) {
            (_, 0) if self.flow == Flow::Next => self.flow = flow,
            (Flow::Goto(at) | Flow::Call(at), _) => self.wait(*at, self.way.is_reached),
            _ => {}
        }
    }

    fn set(&mut self, name: &str, value: Value) {
        if self.variables.len() < MAX_AREA {
            self.variables.insert(name.to_lowercase(), value);
        } else {
            self.run.is_cut = true;
        }
    }

    fn writing(&mut self, name: &'static str, arguments: &[Value], first: &Value) -> Option<Value> {
        match name {
            "FORMULA" | "FORMULA.FILL" | "FORMULA.ARRAY" => {
                let value = self.dereferenced(first.clone());
                let area = match arguments.get(1) {
                    None => Some(Area::cell(self.active)),
                    Some(target) => target.area().or_else(|| self.place_of(target).map(Area::cell)),
                };
                // Where it goes is not known: most likely to where it can run.
                let here = Area::cell(Address { sheet: self.way.at.sheet, place: self.active.place });
                self.write(area.unwrap_or(here), value);
            }
            "SET.VALUE" => {
                let value = arguments.get(1).cloned().map(|value| self.dereferenced(value)).unwrap_or_default();
                if let Some(area) = first.area() {
                    self.write_values(area, &value);
                }
            }
            "SET.NAME" | "DEFINE.NAME" => {
                let name = self.dereferenced(first.clone()).text()?;
                let mut value = arguments.get(1).cloned().unwrap_or(Value::EMPTY);
                // DEFINE.NAME takes the text of a formula.
                if let Some(text) = value.text().filter(|text| text.starts_with('=')) {
                    value = self.area_of(&text).map_or(value, |area| Data::Area(area).into());
                }
                self.set(&name, value);
            }
            _ => return None,
        }
        Some(true.into())
    }

    fn write_values(&mut self, area: Area, value: &Value) {
        let items = match &value.data {
            Data::List(items) => items.clone(),
            _ => vec![value.clone()],
        };
        let last = items.last().cloned().unwrap_or_default();
        if let Data::Text(text) = &last.data {
            self.keep_written(area, text);
        }
        for (number, place) in super::places(area).take(MAX_AREA).enumerate() {
            let value = items.get(number).unwrap_or(&last).clone();
            let Some(sheet) = self.sheets.get_mut(area.sheet) else { return };
            if self.written >= super::MAX_WRITTEN {
                self.run.is_cut = true;
                return;
            }
            self.written = self.written.saturating_add(1);
            // Formulas stay: loops keep their counters this way.
            sheet.entry(place).or_default().value = value;
        }
    }

    /// Functions that come to cells.
    fn reference(&mut self, name: &'static str, arguments: &[Value], first: &Value) -> Option<Value> {
        let number = |this: &Self, at: usize| -> Option<f64> {
            arguments.get(at).cloned().and_then(|value| this.dereferenced(value).number())
        };
        let value: Option<Data> = match name {
            "OFFSET" => first.area().and_then(|area| {
                let down = number(self, 1).unwrap_or(0.0);
                let right = number(self, 2).unwrap_or(0.0);
                moved(area, down, right)
            }),
            "INDEX" => first.area().and_then(|area| {
                let (row, column) = (number(self, 1)?, number(self, 2));
                let is_row = area.first.row == area.last.row;
                let (row, column) = match column {
                    Some(column) => (row, column),
                    // Of one row, the only number counts columns.
                    None if is_row => (1.0, row),
                    None => (row, 1.0),
                };
                moved(Area::cell(area.start()), row.max(1.0) - 1.0, column.max(1.0) - 1.0)
            }),
            "INDIRECT" | "TEXTREF" => {
                let text = self.dereferenced(first.clone()).text();
                text.and_then(|text| self.area_of(&text)).map(Data::Area)
            }
            "ABSREF" => {
                let text = self.dereferenced(first.clone()).text();
                let base = arguments.get(1).and_then(Value::area).map(Area::start);
                match (text, base) {
                    (Some(text), Some(base)) => {
                        self.look(text.len() / 8);
                        let parsed = formula::parse(&text, Notation::R1C1, &self.numbers);
                        let op = parsed.as_ref().and_then(|formula| formula.node(formula.root())).map(|node| &node.op);
                        match op {
                            Some(Op::Reference(reference)) => Some(Data::Area(reference.area(base))),
                            _ => None,
                        }
                    }
                    _ => None,
                }
            }
            "DEREF" => return Some(self.dereferenced(first.clone())),
            "ACTIVE.CELL" | "SELECTION" => Some(Data::Area(Area::cell(self.active))),
            "CALLER" => Some(Data::Area(Area::cell(self.way.at))),
            "SELECT" | "FORMULA.FIND" => {
                if let Some(at) = self.place_of(first) {
                    self.active = at;
                }
                Some(Data::Bool(true))
            }
            "ROW" => Some(line(first.area().map_or(self.way.at.place.row, |area| area.first.row))),
            "COLUMN" => Some(line(first.area().map_or(self.way.at.place.column, |area| area.first.column))),
            "ROWS" => first.area().map(|area| line(area.last.row.saturating_sub(area.first.row))),
            "COLUMNS" => first.area().map(|area| line(area.last.column.saturating_sub(area.first.column))),
            "REFTEXT" => first.area().map(|area| Data::Text(area.first.to_string())),
            "ADDRESS" => {
                let place = |number: f64| (1.0..1e6).contains(&number).then_some(number);
                let (row, column) = (number(self, 0).and_then(place), number(self, 1).and_then(place));
                row.zip(column).map(|(row, column)| {
                    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within bounds")]
                    let place = Place { column: (column - 1.0) as u32, row: (row - 1.0) as u32 };
                    Data::Text(place.to_string())
                })
            }
            "HLOOKUP" | "VLOOKUP" | "LOOKUP" | "MATCH" | "CELL" => None,
            _ => return None,
        };
        Some(value.unwrap_or_default().into())
    }

    /// What the computer is asked for.
    fn ask(&mut self, name: &'static str, arguments: &[Value]) -> Option<Value> {
        let arguments = self.all_dereferenced(arguments.to_vec());
        let number = arguments.first().and_then(Value::count);
        let value: Value = match name {
            "GET.WORKSPACE" => {
                // Size of the screen, mouse, single steps, sound: what a sandbox lacks.
                if matches!(number, Some(13 | 14 | 19 | 31 | 42)) && !self.run.asks.contains(&name) {
                    self.run.asks.push(name);
                }
                match number {
                    Some(1) => "Windows (64-bit) NT 10.00".into(),
                    Some(2) => "16.0".into(),
                    Some(13) => 1440.0.into(),
                    Some(14) => 810.0.into(),
                    Some(19 | 42) => true.into(),
                    Some(31) => false.into(),
                    _ => Value::UNKNOWN,
                }
            }
            "GET.WINDOW" => match number {
                Some(7) => false.into(),
                Some(20) => true.into(),
                Some(23) => 3.0.into(),
                _ => Value::UNKNOWN,
            },
            // The content of a cell; all else is how it looks.
            "GET.CELL" if matches!(number, Some(5 | 53)) => {
                return Some(arguments.get(1).cloned().unwrap_or_default());
            }
            "GET.DOCUMENT" | "GET.CELL" | "GET.NOTE" | "GET.WORKBOOK" | "GET.NAME" | "GET.FORMULA" | "INFO"
            | "DIRECTORY" | "FILES" | "DOCUMENTS" | "WINDOWS" | "INPUT" | "DAY" | "HOUR" | "MINUTE" | "SECOND"
            | "WEEKDAY" | "MONTH" | "YEAR" => Value::UNKNOWN,
            "NOW" | "TODAY" => 46_000.0.into(),
            "RAND" => 0.5.into(),
            "RANDBETWEEN" => arguments.first().cloned().unwrap_or_default(),
            "APP.MAXIMIZE" | "ALERT" | "MESSAGE" | "BEEP" | "WAIT" | "ECHO" | "CALCULATION" | "ACTIVATE"
            | "WORKBOOK.ACTIVATE" | "WORKBOOK.SELECT" | "HIDE" | "UNHIDE" | "WORKBOOK.UNHIDE" | "CANCEL.KEY"
            | "COLUMN.WIDTH" | "ROW.HEIGHT" => true.into(),
            _ => return None,
        };
        Some(value.guessed())
    }

    /// Keeps the name that a function of a library is given ([`Machine::registered`]).
    fn register(&mut self, arguments: &[Value]) {
        let arguments = self.all_dereferenced(arguments.to_vec());
        // Library, function, types, then the name.
        let Some(name) = arguments.get(3).and_then(Value::text).filter(|name| !name.is_empty()) else { return };
        if self.registered.len() < MAX_AREA {
            self.registered.insert(name.to_lowercase(), arguments.into_iter().take(3).collect());
        }
    }

    /// Calls a macro by its cell or name, or a function of a library.
    pub(super) fn user_defined(&mut self, callee: Option<&Op>, arguments: Vec<Value>) -> Value {
        if let Some(Op::Name(name)) = callee
            && let Some(library) = self.registered.get(&name.to_lowercase())
        {
            let passed = arguments.get(1..).unwrap_or_default();
            let all: Vec<Value> = library.iter().chain(passed).cloned().collect();
            self.call("CALL", &all);
            return Value::UNKNOWN;
        }
        let mut arguments = arguments.into_iter();
        let target = arguments.next().unwrap_or_default();
        if let Some(at) = self.place_of(&target) {
            self.way.arguments = arguments.take(64).collect();
            self.go(Flow::Call(at));
        }
        Value::UNKNOWN
    }

    /// The cell that is meant: a reference, the text of one, or a name.
    fn place_of(&self, value: &Value) -> Option<Address> {
        match value.area() {
            Some(area) => Some(area.start()),
            None => self.area_of(&value.text()?).map(Area::start),
        }
    }

    fn area_of(&self, text: &str) -> Option<Area> {
        self.look(text.len() / 8);
        let formula = formula::parse(text, Notation::A1, &self.numbers)?;
        match &formula.node(formula.root())?.op {
            Op::Reference(reference) => Some(reference.area(self.way.at)),
            Op::Name(name) => {
                let name = name.to_lowercase();
                if let Some(value) = self.variables.get(&name) {
                    return value.area();
                }
                let formula = self.names.get(&name)?;
                match &formula.node(formula.root())?.op {
                    Op::Reference(reference) => Some(reference.area(self.way.at)),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

/// An area so far down and to the right.
fn moved(area: Area, down: f64, right: f64) -> Option<Data> {
    let shift = |place: Place| {
        let (row, column) = (f64::from(place.row) + down.trunc(), f64::from(place.column) + right.trunc());
        let is_cell = (0.0..f64::from(1 << 20)).contains(&row) && (0.0..f64::from(1 << 14)).contains(&column);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the sheet")]
        is_cell.then_some(Place { column: column as u32, row: row as u32 })
    };
    Some(Data::Area(Area { sheet: area.sheet, first: shift(area.first)?, last: shift(area.last)? }))
}

/// Rows and columns are counted from one.
fn line(number: u32) -> Data {
    Data::Number(f64::from(number) + 1.0)
}
