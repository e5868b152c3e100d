//! Formulas as text (ECMA-376 part 1, 18.17.2): those of XML workbooks and SYLK, and those that macros write.
//!
//! References are understood in both notations, `B3` and `R3C2`. Leaves out references to other workbooks,
//! tables and whole rows, which are [`Op::Unknown`].

use super::expression::{Builder, Coordinate, Corner, Expression, Op, Operator, Reference};
use super::function;
use super::workbook::SheetNumbers;

/// Octets of a formula; Excel takes 8192 characters.
const MAX_TEXT: usize = 64 << 10;

/// Which of the two notations wins where both fit (`RC1`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notation {
    /// Letters and a number.
    A1,
    /// Row and column.
    R1C1,
}

/// Reads a formula, with or without the equals sign. `None` if it is none.
pub fn parse(text: &str, notation: Notation, sheets: &SheetNumbers) -> Option<Expression> {
    let text = text.trim_start();
    let text = text.strip_prefix('=').unwrap_or(text);
    if text.len() > MAX_TEXT {
        return None;
    }
    let mut parser =
        Parser { text, at: 0, notation, sheets, builder: Builder::default(), pending: Vec::new(), has_operand: false };
    while parser.step()? {}
    parser.builder.finish()
}

/// What waits for its arguments or its end.
enum Pending {
    Binary(Operator, u8),
    Minus,
    Parenthesis,
    /// A call, and how many things were open before it.
    Call(Op, usize),
    /// A constant array, likewise.
    Array(usize),
}

/// How strongly negation and operators bind.
const BINDS_MINUS: u8 = 6;

struct Parser<'a> {
    text: &'a str,
    at: usize,
    notation: Notation,
    sheets: &'a SheetNumbers,
    builder: Builder,
    pending: Vec<Pending>,
    /// Whether an operator may come now.
    has_operand: bool,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn pass(&mut self, octets: usize) {
        self.at = self.at.saturating_add(octets);
    }

    /// Reads the next token. `Some(false)` at the end, `None` if it is no formula.
    fn step(&mut self) -> Option<bool> {
        let rest = self.rest();
        self.at = self.text.len().saturating_sub(rest.trim_start().len());
        let rest = self.rest();
        let Some(c) = rest.chars().next() else {
            self.close_operators(0)?;
            return self.pending.is_empty().then_some(false);
        };
        if self.has_operand {
            self.operator(c)?
        } else {
            self.operand(c)?
        }
        Some(true)
    }

    fn operator(&mut self, c: char) -> Option<()> {
        match c {
            '%' => {
                self.builder.apply(Op::Percent, 1)?;
                self.pass(1);
            }
            ',' | ';' => {
                self.close_operators(0)?;
                if matches!(self.pending.last(), Some(Pending::Parenthesis)) {
                    // A union: nobody needs to know what it comes to.
                    self.pending.push(Pending::Binary(Operator::Union, 0));
                }
                self.pending.last()?;
                self.has_operand = false;
                self.pass(1);
            }
            ')' | '}' => {
                self.close_operators(0)?;
                self.close(c)?;
                self.pass(1);
            }
            _ => {
                let (operator, octets, binds) = binary(self.rest())?;
                self.close_operators(binds)?;
                self.pending.push(Pending::Binary(operator, binds));
                self.has_operand = false;
                self.pass(octets);
            }
        }
        Some(())
    }

    /// Closes a bracket; what waited for it has everything that was opened since.
    fn close(&mut self, c: char) -> Option<()> {
        match (self.pending.pop()?, c) {
            (Pending::Parenthesis, ')') => {}
            (Pending::Call(op, before), ')') => self.apply_since(op, before)?,
            (Pending::Array(before), '}') => self.apply_since(Op::Array, before)?,
            _ => return None,
        }
        self.has_operand = true;
        Some(())
    }

    fn apply_since(&mut self, op: Op, before: usize) -> Option<()> {
        let count = self.builder.open().checked_sub(before)?;
        self.builder.apply(op, count)
    }

    /// Applies operators that bind at least as strongly.
    fn close_operators(&mut self, binds: u8) -> Option<()> {
        loop {
            match self.pending.last() {
                Some(Pending::Binary(operator, strength)) if *strength >= binds => {
                    let operator = *operator;
                    self.pending.pop();
                    self.builder.apply(Op::Binary(operator), 2)?;
                }
                Some(Pending::Minus) if BINDS_MINUS >= binds => {
                    self.pending.pop();
                    self.builder.apply(Op::Minus, 1)?;
                }
                _ => return Some(()),
            }
        }
    }

    fn operand(&mut self, c: char) -> Option<()> {
        match c {
            '+' | '@' => self.pass(1),
            '-' => {
                self.pending.push(Pending::Minus);
                self.pass(1);
            }
            '(' => {
                self.pending.push(Pending::Parenthesis);
                self.pass(1);
            }
            '{' => {
                self.pending.push(Pending::Array(self.builder.open()));
                self.pass(1);
            }
            // An argument that is left out.
            ',' | ';' | ')' | '}' => self.missing(c)?,
            '"' => {
                let (text, octets) = quoted(self.rest(), '"')?;
                self.push(Op::Text(text), octets)?;
            }
            '#' => {
                let is_end = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '#' | '/' | '!' | '?'));
                let octets = self.rest().find(is_end).unwrap_or(self.rest().len());
                self.push(Op::Error, octets)?;
            }
            '0'..='9' | '.' => self.number()?,
            _ => self.name()?,
        }
        Some(())
    }

    fn missing(&mut self, c: char) -> Option<()> {
        let before = match self.pending.last()? {
            Pending::Call(Op::UserDefined, before) => before.saturating_add(1),
            Pending::Call(_, before) | Pending::Array(before) => *before,
            _ => return None,
        };
        let ends = matches!(c, ')' | '}');
        if !ends || self.builder.open() > before {
            self.builder.push(Op::Missing)?;
        }
        if ends {
            self.close(c)?;
        }
        self.pass(1);
        Some(())
    }

    fn push(&mut self, op: Op, octets: usize) -> Option<()> {
        self.builder.push(op)?;
        self.has_operand = true;
        self.pass(octets);
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        let rest = self.rest();
        let mut end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        // An exponent needs digits: `1E5`, `1E+5`.
        let tail = rest.get(end..)?;
        if let Some(exponent) = tail.strip_prefix(['e', 'E']) {
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            let count = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
            if count > 0 {
                end = rest.len().saturating_sub(digits.len()).saturating_add(count);
            }
        }
        let number: f64 = rest.get(..end)?.parse().ok()?;
        self.push(Op::Number(number), end)
    }

    /// A reference, a name or a call, perhaps behind a sheet.
    fn name(&mut self) -> Option<()> {
        let start = self.at;
        let mut sheet = None;
        if self.rest().starts_with(['\'', '[']) || word(self.rest()).is_some_and(|(_, tail)| tail.starts_with('!')) {
            let (name, octets) = if self.rest().starts_with('\'') {
                quoted(self.rest(), '\'')?
            } else {
                let end = self.rest().find('!')?;
                (self.rest().get(..end)?.to_owned(), end)
            };
            self.pass(octets);
            if !self.rest().starts_with('!') {
                return None;
            }
            self.pass(1);
            sheet = Some(self.sheets.get(&name));
        }
        let first = reference(self.rest(), self.notation);
        let Some((corner, octets)) = first else { return self.word(sheet, start) };
        self.pass(octets);
        let mut last = corner;
        if let Some((other, octets)) = self.rest().strip_prefix(':').and_then(|tail| reference(tail, self.notation)) {
            last = other;
            self.pass(octets.saturating_add(1));
        }
        let op = match sheet {
            // Of another workbook, or of none.
            Some(None) => Op::Unknown,
            Some(sheet @ Some(_)) => Op::Reference(Reference { sheet, first: corner, last }),
            None => Op::Reference(Reference { sheet: None, first: corner, last }),
        };
        self.builder.push(op)?;
        self.has_operand = true;
        self.call_of_operand()
    }

    /// A macro may be called by its cell or name: `A5()`.
    fn call_of_operand(&mut self) -> Option<()> {
        if self.rest().starts_with('(') {
            self.pass(1);
            self.pending.push(Pending::Call(Op::UserDefined, self.builder.open().checked_sub(1)?));
            self.has_operand = false;
        }
        Some(())
    }

    fn word(&mut self, sheet: Option<Option<usize>>, start: usize) -> Option<()> {
        let (word, tail) = word(self.rest())?;
        self.pass(word.len());
        if sheet.is_none()
            && tail.starts_with('(')
            && let Some(name) = function::by_name(word)
        {
            self.pass(1);
            self.pending.push(Pending::Call(Op::Function(name), self.builder.open()));
            return Some(());
        }
        if sheet.is_none() && !tail.starts_with('(') {
            let constant = match word.to_ascii_uppercase().as_str() {
                "TRUE" => Some(true),
                "FALSE" => Some(false),
                _ => None,
            };
            if let Some(value) = constant {
                return self.push(Op::Bool(value), 0);
            }
        }
        // Names of other workbooks keep what stands before them.
        let name = if sheet == Some(None) { self.text.get(start..self.at)? } else { word };
        self.push(Op::Name(name.to_owned()), 0)?;
        self.call_of_operand()
    }
}

/// A word of letters, digits and what names may hold, and what follows it.
fn word(text: &str) -> Option<(&str, &str)> {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '\\' | '?' | '$');
    let end = text.find(|c: char| !is_part(c)).unwrap_or(text.len());
    text.split_at_checked(end).filter(|(word, _)| !word.is_empty())
}

/// A text between marks, which are doubled within it, and how long it is with them.
fn quoted(text: &str, mark: char) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut rest = text.strip_prefix(mark)?;
    loop {
        let (piece, tail) = rest.split_once(mark)?;
        value.push_str(piece);
        match tail.strip_prefix(mark) {
            Some(tail) => {
                value.push(mark);
                rest = tail;
            }
            None => return Some((value, text.len().saturating_sub(tail.len()))),
        }
    }
}

fn binary(text: &str) -> Option<(Operator, usize, u8)> {
    const SIGNS: [(&str, Operator, u8); 13] = [
        ("<=", Operator::LessEqual, 1),
        (">=", Operator::GreaterEqual, 1),
        ("<>", Operator::NotEqual, 1),
        ("<", Operator::Less, 1),
        (">", Operator::Greater, 1),
        ("=", Operator::Equal, 1),
        ("&", Operator::Concat, 2),
        ("+", Operator::Add, 3),
        ("-", Operator::Subtract, 3),
        ("*", Operator::Multiply, 4),
        ("/", Operator::Divide, 4),
        ("^", Operator::Power, 5),
        (":", Operator::Range, 7),
    ];
    SIGNS
        .iter()
        .find(|(sign, ..)| text.starts_with(sign))
        .map(|(sign, operator, binds)| (*operator, sign.len(), *binds))
}

/// A cell at the start of `text`, in either notation, and how long it is.
fn reference(text: &str, notation: Notation) -> Option<(Corner, usize)> {
    let both = match notation {
        Notation::A1 => [a1, r1c1],
        Notation::R1C1 => [r1c1, a1],
    };
    both.into_iter().find_map(|read| {
        let (corner, octets) = read(text)?;
        // A longer word is a name.
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '\\' | '?' | '!' | '[');
        (!text.get(octets..)?.starts_with(is_name)).then_some((corner, octets))
    })
}

/// The cell that `text` names in the first notation, and nothing else: `AB12`.
pub fn place(text: &str) -> Option<super::workbook::Place> {
    let (corner, octets) = a1(text)?;
    match (corner.row, corner.column) {
        (Coordinate::At(row), Coordinate::At(column)) if octets == text.len() => {
            Some(super::workbook::Place { column, row })
        }
        _ => None,
    }
}

fn a1(text: &str) -> Option<(Corner, usize)> {
    let rest = text.strip_prefix('$').unwrap_or(text);
    let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).filter(|count| (1..=3).contains(count))?;
    let (letters, rest) = rest.split_at_checked(letters)?;
    let column = letters.bytes().try_fold(0_u32, |column, letter| {
        let digit = u32::from(letter.to_ascii_uppercase().checked_sub(b'@')?);
        column.checked_mul(26)?.checked_add(digit)
    })?;
    let rest = rest.strip_prefix('$').unwrap_or(rest);
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let row: u32 = rest.get(..digits)?.parse().ok()?;
    let octets = text.len().saturating_sub(rest.len()).saturating_add(digits);
    let is_cell = (1..=1 << 20).contains(&row) && (1..=1 << 14).contains(&column);
    is_cell.then(|| (Corner::at(row.saturating_sub(1), column.saturating_sub(1)), octets))
}

fn r1c1(text: &str) -> Option<(Corner, usize)> {
    let rest = text.strip_prefix(['R', 'r'])?;
    let (row, rest) = coordinate(rest)?;
    let rest = rest.strip_prefix(['C', 'c'])?;
    let (column, rest) = coordinate(rest)?;
    Some((Corner { row, column }, text.len().saturating_sub(rest.len())))
}

/// `5`, `[-2]` or nothing.
fn coordinate(text: &str) -> Option<(Coordinate, &str)> {
    if let Some(inner) = text.strip_prefix('[') {
        let (number, rest) = inner.split_once(']')?;
        return Some((Coordinate::By(number.trim().parse().ok()?), rest));
    }
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at_checked(digits)?;
    if number.is_empty() {
        return Some((Coordinate::By(0), rest));
    }
    let number: u32 = number.parse().ok()?;
    Some((Coordinate::At(number.checked_sub(1)?), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(text: &str) -> Option<String> {
        let names = ["Macro1".to_owned(), "Sheet 2".to_owned()];
        let sheets = SheetNumbers::new(names.iter().map(String::as_str));
        parse(text, Notation::A1, &sheets).map(|expression| expression.text(&names))
    }

    #[test]
    fn formulas_are_read_and_shown_again() {
        for text in [
            "=EXEC(\"cmd /c \"\"x\"\"\")",
            "=CHAR(A1-3)&CHAR($B$2*2)&\"x\"",
            "=IF(GET.WORKSPACE(19),,CLOSE(TRUE))",
            "=FORMULA(Macro1!A1&\"b\",Macro1!B5:C7)",
            "=SUM({1,2,3})+5%-2^3",
            "=HALT()",
            "=evil(1,,2)",
            "=A5()",
            "=MAX(1,)",
        ] {
            let shown = again(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(shown, text.replace('$', ""));
        }
        assert_eq!(again("='Sheet 2'!R[1]C3"), Some("=Sheet 2!R[1]C3".to_owned()));
        assert_eq!(again("='C:\\[x.xls]a'!B1 + 1"), Some("=…+1".to_owned()));
        assert_eq!(again("=-2^2*3"), Some("=-2^2*3".to_owned()));
        assert_eq!(again("=1E3+1.5e-2"), Some("=1000+0.015".to_owned()));
        assert_eq!(again("=Macro1!evil()"), Some("=evil()".to_owned()));
    }

    #[test]
    fn what_is_no_formula_is_none() {
        for text in ["", "=", "=1+", "=)", "=(", "=\"x", "=f(", "=1 2", "={1", "=#", "='a", "=A1:", "=,", "=f(1}", "=%"]
        {
            let found = again(text);
            assert!(found.is_none() || text == "=#", "{text}: {found:?}");
        }
        assert_eq!(again(&"(".repeat(60_000)), None);
        assert!(again(&format!("{}1{}", "(".repeat(9000), ")".repeat(9000))).is_some());
        assert_eq!(again(&"-".repeat(70_000)), None);
    }
}
