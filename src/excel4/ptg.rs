//! Formulas as tokens: [MS-XLS] 2.5.198 (BIFF5 and BIFF8) and [MS-XLSB] 2.5.97 (BIFF12).

use encoding_rs::{Encoding, UTF_16LE};

use super::expression::{Builder, Coordinate, Corner, Expression, Op, Operator, Reference};
use super::function;
use crate::reader::Reader;

/// The generation of the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Excel 5 and 95.
    Biff5,
    /// Excel 97 to 2003.
    Biff8,
    /// `.xlsb`.
    Biff12,
}

/// What tokens refer to by number.
#[derive(Clone, Debug)]
pub struct Context {
    /// The generation.
    pub version: Version,
    /// Excel 2, 3 or 4, whose tokens are those of [`Version::Biff5`] but for some sizes.
    pub old: Option<u8>,
    /// The sheet that each reference to another one means ([MS-XLS] 2.4.105); none is of another workbook.
    pub externs: Vec<Option<usize>>,
    /// The defined names, in their order.
    pub names: Vec<String>,
    /// Names of other workbooks and add-ins, by supporting book, in their order.
    pub external_names: Vec<Vec<String>>,
    /// The supporting book of each reference.
    pub books: Vec<usize>,
    /// How texts of one octet a character are encoded.
    pub encoding: &'static Encoding,
}

impl Default for Context {
    fn default() -> Self {
        Self {
            version: Version::Biff8,
            old: None,
            externs: Vec::new(),
            names: Vec::new(),
            external_names: Vec::new(),
            books: Vec::new(),
            encoding: encoding_rs::WINDOWS_1252,
        }
    }
}

/// Reads the tokens of a formula. `None` if there is one that nobody knows, or they do not fit together.
pub fn parse(tokens: &[u8], context: &Context) -> Option<Expression> {
    let mut tokens = Tokens { reader: Reader::new(tokens), context, builder: Builder::default() };
    while tokens.reader.left() > 0 {
        tokens.next()?;
    }
    tokens.builder.finish()
}

/// The cell whose formula this one shares ([MS-XLS] 2.5.198.58 PtgExp): its row and column, if the tokens are that.
pub fn shared(tokens: &[u8], version: Version) -> Option<(u32, Option<u32>)> {
    let mut reader = Reader::new(tokens);
    if reader.u8()? != 0x01 {
        return None;
    }
    match version {
        Version::Biff12 => Some((reader.u32()?, None)),
        _ => Some((reader.u16()?.into(), Some(reader.u16()?.into()))),
    }
}

struct Tokens<'a> {
    reader: Reader<'a>,
    context: &'a Context,
    builder: Builder,
}

impl Tokens<'_> {
    fn next(&mut self) -> Option<()> {
        let token = self.reader.u8()?;
        // The two bits of the class are set from 0x20 on.
        let base = if token >= 0x20 { (token & 0x1F) | 0x20 } else { token };
        match base {
            0x03..=0x11 => self.builder.apply(Op::Binary(operator(base)?), 2),
            0x12 | 0x15 => Some(()),
            0x13 => self.builder.apply(Op::Minus, 1),
            0x14 => self.builder.apply(Op::Percent, 1),
            0x16 => self.builder.push(Op::Missing),
            0x17 => {
                let text = self.text()?;
                self.builder.push(Op::Text(text))
            }
            0x18 => self.extended(),
            0x19 => self.attribute(),
            0x1C => {
                self.reader.u8()?;
                self.builder.push(Op::Error)
            }
            0x1D => {
                let value = self.reader.u8()? != 0;
                self.builder.push(Op::Bool(value))
            }
            0x1E => {
                let number = self.reader.u16()?;
                self.builder.push(Op::Number(number.into()))
            }
            0x1F => {
                let number = f64::from_bits(self.reader.u64()?);
                self.builder.push(Op::Number(number))
            }
            // Other sheets in Excel 2 to 4: what follows is of them.
            0x1A if self.is_2() => self.reader.skip(7),
            0x1A if self.context.old.is_some() => self.reader.skip(10),
            0x1B if self.is_2() => self.reader.skip(3),
            0x1B if self.context.old.is_some() => self.reader.skip(4),
            0x20 if self.is_2() => self.unknown(6),
            0x20 => self.unknown(self.by_version(7, 7, 14)),
            0x38 if self.has_short_numbers() => self.call(function::COMMAND),
            0x21 => {
                let id = self.function()?;
                let function = function::by_id(id)?;
                self.builder.apply(Op::Function(function.name), function.arity)
            }
            0x22 => self.call(0),
            0x23 => self.name(),
            0x24 => self.cell(None, false),
            0x25 => self.area(None, false),
            0x2C => self.cell(None, true),
            0x2D => self.area(None, true),
            // Ranges kept beside their tokens, which follow.
            0x26..=0x28 => self.reader.skip(if self.is_2() { 4 } else { 6 }),
            0x29 | 0x2E | 0x2F => self.reader.skip(if self.is_2() { 1 } else { 2 }),
            0x2A => self.unknown(self.by_version(3, 4, 6)),
            0x2B => self.unknown(self.by_version(6, 8, 12)),
            0x39 => self.external_name(),
            0x3A => self.far_cell(),
            0x3B => self.far_area(),
            0x3C => self.unknown(self.by_version(17, 6, 8)),
            0x3D => self.unknown(self.by_version(20, 10, 14)),
            _ => None,
        }
    }

    fn is_2(&self) -> bool {
        self.context.old == Some(2)
    }

    /// Excel 2 and 3 count functions in one octet, and have commands apart.
    fn has_short_numbers(&self) -> bool {
        matches!(self.context.old, Some(2 | 3))
    }

    fn function(&mut self) -> Option<u16> {
        if self.has_short_numbers() { self.reader.u8().map(u16::from) } else { self.reader.u16() }
    }

    fn by_version(&self, biff5: usize, biff8: usize, biff12: usize) -> usize {
        match self.context.version {
            Version::Biff5 => biff5,
            Version::Biff8 => biff8,
            Version::Biff12 => biff12,
        }
    }

    fn unknown(&mut self, octets: usize) -> Option<()> {
        self.reader.skip(octets)?;
        self.builder.push(Op::Unknown)
    }

    /// [MS-XLS] 2.5.198.89: BIFF8 has a flag for the width, BIFF12 a longer count.
    fn text(&mut self) -> Option<String> {
        let (count, is_wide) = match self.context.version {
            Version::Biff5 => (usize::from(self.reader.u8()?), false),
            Version::Biff8 => (usize::from(self.reader.u8()?), self.reader.u8()? & 1 != 0),
            Version::Biff12 => (usize::from(self.reader.u16()?), true),
        };
        Some(match (is_wide, self.context.version) {
            (true, _) => UTF_16LE.decode_without_bom_handling(self.reader.take(count.checked_mul(2)?)?).0.into_owned(),
            // Compressed characters are the low octets of UTF-16.
            (false, Version::Biff8) => self.reader.take(count)?.iter().copied().map(char::from).collect(),
            (false, _) => self.context.encoding.decode_without_bom_handling(self.reader.take(count)?).0.into_owned(),
        })
    }

    /// [MS-XLS] 2.5.198.34 and around: what only helps to compute or to show.
    fn attribute(&mut self) -> Option<()> {
        let kind = self.reader.u8()?;
        let value = if self.is_2() { u16::from(self.reader.u8()?) } else { self.reader.u16()? };
        if self.context.version == Version::Biff12 && kind == 0x19 {
            // A column of a table ([MS-XLSB] 2.5.97.53).
            self.reader.skip(9)?;
            return self.builder.push(Op::Unknown);
        }
        if kind & 0x04 != 0 {
            let width = if self.is_2() { 1 } else { 2 };
            self.reader.skip(usize::from(value).checked_add(1)?.checked_mul(width)?)?;
        }
        if kind & 0x10 != 0 {
            return self.builder.apply(Op::Function("SUM"), 1);
        }
        Some(())
    }

    /// Labels of natural language, tables: [MS-XLS] 2.5.198.44 and around, [MS-XLSB] 2.5.97.53.
    fn extended(&mut self) -> Option<()> {
        let kind = self.reader.u8()?;
        let octets = match (self.context.version, kind) {
            (Version::Biff12, 0x19) => 12,
            _ => 4,
        };
        self.unknown(octets)
    }

    /// [MS-XLS] 2.5.198.63: how many arguments, and of what.
    fn call(&mut self, kind: u16) -> Option<()> {
        let count = usize::from(self.reader.u8()? & 0x7F);
        let id = self.function()? | kind;
        if id == function::USER_DEFINED {
            return self.builder.apply(Op::UserDefined, count);
        }
        let known = function::by_id(id).map(|function| function.name);
        // Commands that few know start no program: files give the count anyhow.
        let op = known.map_or(Op::Unknown, Op::Function);
        (known.is_some() || id & function::COMMAND != 0).then_some(())?;
        self.builder.apply(op, count)
    }

    fn name(&mut self) -> Option<()> {
        let number = match self.context.version {
            Version::Biff5 => {
                let number = self.reader.u16()?;
                self.reader.skip(match self.context.old {
                    Some(2) => 5,
                    Some(_) => 8,
                    None => 12,
                })?;
                u32::from(number)
            }
            _ => self.reader.u32()?,
        };
        let name = usize::try_from(number).ok()?.checked_sub(1).and_then(|at| self.context.names.get(at));
        self.builder.push(name.map_or(Op::Unknown, |name| Op::Name(name.clone())))
    }

    /// [MS-XLS] 2.5.198.77: a name of another book, also of this one or of an add-in.
    fn external_name(&mut self) -> Option<()> {
        let (sheet, number) = match self.context.version {
            Version::Biff5 => {
                let sheet = self.reader.u16()?;
                self.reader.skip(8)?;
                let number = self.reader.u16()?;
                self.reader.skip(12)?;
                (usize::from(sheet), usize::from(number))
            }
            _ => (usize::from(self.reader.u16()?), usize::try_from(self.reader.u32()?).ok()?),
        };
        let at = number.checked_sub(1);
        let is_own = self.context.externs.get(sheet).is_some_and(Option::is_some);
        let name = if is_own {
            at.and_then(|at| self.context.names.get(at))
        } else {
            let book = self.context.books.get(sheet).and_then(|book| self.context.external_names.get(*book));
            at.and_then(|at| book?.get(at))
        };
        self.builder.push(name.map_or(Op::Unknown, |name| Op::Name(name.clone())))
    }

    /// One cell; `moves` in the tokens that count from the cell of the formula ([MS-XLS] 2.5.198.86).
    fn cell(&mut self, sheet: Option<usize>, moves: bool) -> Option<()> {
        let row = self.row()?;
        let column = self.column()?;
        self.builder.push(Op::Reference(Reference::cell(sheet, self.corner(row, column, moves))))
    }

    fn area(&mut self, sheet: Option<usize>, moves: bool) -> Option<()> {
        let (top, bottom) = (self.row()?, self.row()?);
        let (left, right) = (self.column()?, self.column()?);
        let (first, last) = (self.corner(top, left, moves), self.corner(bottom, right, moves));
        self.builder.push(Op::Reference(Reference { sheet, first, last }))
    }

    fn row(&mut self) -> Option<u32> {
        match self.context.version {
            Version::Biff12 => self.reader.u32(),
            _ => self.reader.u16().map(u32::from),
        }
    }

    fn column(&mut self) -> Option<u16> {
        match self.context.version {
            Version::Biff5 => self.reader.u8().map(u16::from),
            _ => self.reader.u16(),
        }
    }

    /// Rows and columns share their octets with the flags that make them relative: those of the column hold them, in
    /// BIFF5 those of the row. Where nothing `moves`, the place is absolute, whatever the flags.
    fn corner(&self, row: u32, column: u16, moves: bool) -> Corner {
        let version = self.context.version;
        let flags = if version == Version::Biff5 { row } else { column.into() };
        let (rows, columns) = match version {
            Version::Biff5 => (14, 8),
            Version::Biff8 => (16, if moves { 8 } else { 14 }),
            Version::Biff12 => (20, 14),
        };
        let coordinate = |value: u32, bits: u32, flag: u32| {
            let value = value & low_bits(bits);
            if moves && flags & flag != 0 { Coordinate::By(signed(value, bits)) } else { Coordinate::At(value) }
        };
        Corner { row: coordinate(row, rows, 0x8000), column: coordinate(column.into(), columns, 0x4000) }
    }

    /// Another sheet: by number of the list of references, or in BIFF5 by the numbers of the sheets.
    fn sheet(&mut self) -> Option<Option<usize>> {
        let number = self.reader.u16()?;
        if self.context.version == Version::Biff5 {
            self.reader.skip(8)?;
            let (first, _) = (self.reader.u16()?, self.reader.u16()?);
            // A negative number is of this workbook.
            return Some((number >= 0x8000 && first != 0xFFFF).then_some(first.into()));
        }
        Some(self.context.externs.get(usize::from(number)).copied().flatten())
    }

    fn far_cell(&mut self) -> Option<()> {
        match self.sheet()? {
            Some(sheet) => self.cell(Some(sheet), false),
            None => self.unknown(self.by_version(3, 4, 6)),
        }
    }

    fn far_area(&mut self) -> Option<()> {
        match self.sheet()? {
            Some(sheet) => self.area(Some(sheet), false),
            None => self.unknown(self.by_version(6, 8, 12)),
        }
    }
}

fn low_bits(bits: u32) -> u32 {
    1_u32.checked_shl(bits).map_or(u32::MAX, |bit| bit.saturating_sub(1))
}

/// A number of so many bits, the highest of which is the sign.
fn signed(value: u32, bits: u32) -> i32 {
    let unused = 32_u32.saturating_sub(bits);
    let top = value.checked_shl(unused).unwrap_or(0);
    top.cast_signed().checked_shr(unused).unwrap_or(0)
}

fn operator(token: u8) -> Option<Operator> {
    Some(match token {
        0x03 => Operator::Add,
        0x04 => Operator::Subtract,
        0x05 => Operator::Multiply,
        0x06 => Operator::Divide,
        0x07 => Operator::Power,
        0x08 => Operator::Concat,
        0x09 => Operator::Less,
        0x0A => Operator::LessEqual,
        0x0B => Operator::Equal,
        0x0C => Operator::GreaterEqual,
        0x0D => Operator::Greater,
        0x0E => Operator::NotEqual,
        0x0F => Operator::Intersection,
        0x10 => Operator::Union,
        0x11 => Operator::Range,
        _ => return None,
    })
}
