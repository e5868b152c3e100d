//! Values of cells and formulas, and operators between them.
//!
//! What is not known stays not known; a text of which a part is known keeps that part, with [`GAP`] for the
//! rest. A guess is what an ordinary computer would say: it is computed with, yet decides nothing.

use super::expression::Operator;
use super::workbook::Area;

/// Stands in a text for what is not known.
pub const GAP: char = '…';
/// Longest text, in octets: Excel takes 32767 characters.
pub const MAX_TEXT: usize = 64 << 10;

/// A value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Value {
    /// What it is.
    pub data: Data,
    /// Taken as on an ordinary computer.
    pub is_guess: bool,
}

/// What a value is.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Data {
    /// Not known.
    #[default]
    Unknown,
    /// An empty cell, or an argument that is left out.
    Empty,
    /// A number.
    Number(f64),
    /// A text, perhaps with gaps.
    Text(String),
    /// A truth value.
    Bool(bool),
    /// An error.
    Error,
    /// Cells.
    Area(Area),
    /// An array.
    List(Vec<Value>),
}

impl From<Data> for Value {
    fn from(data: Data) -> Self {
        Self { data, is_guess: false }
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Data::Number(number).into()
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Data::Bool(value).into()
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Data::Text(text.to_owned()).into()
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Data::Text(text).into()
    }
}

impl Value {
    /// Nothing is known.
    pub const UNKNOWN: Value = Value { data: Data::Unknown, is_guess: false };
    /// Nothing is there.
    pub const EMPTY: Value = Value { data: Data::Empty, is_guess: false };

    /// The same as a guess.
    pub fn guessed(mut self) -> Self {
        self.is_guess = true;
        self
    }

    /// The same, a guess if something it comes from is one.
    pub fn from_guess(mut self, is_guess: bool) -> Self {
        self.is_guess |= is_guess;
        self
    }

    /// As text, gaps marked.
    pub fn shown(&self) -> String {
        match &self.data {
            Data::Text(text) => text.clone(),
            Data::Number(number) => number_text(*number),
            Data::Bool(value) => if *value { "TRUE" } else { "FALSE" }.to_owned(),
            Data::Empty => String::new(),
            Data::List(items) => items.first().map_or_else(String::new, Value::shown),
            Data::Unknown | Data::Error | Data::Area(_) => GAP.to_string(),
        }
    }

    /// The text, if all of it is known.
    pub fn text(&self) -> Option<String> {
        match &self.data {
            Data::Unknown | Data::Error | Data::Area(_) => None,
            Data::Text(text) if text.contains(GAP) => None,
            Data::List(items) => items.first().and_then(Value::text),
            _ => Some(self.shown()),
        }
    }

    /// The number, also of a text that is one.
    pub fn number(&self) -> Option<f64> {
        match &self.data {
            Data::Number(number) => Some(*number),
            Data::Bool(value) => Some(f64::from(u8::from(*value))),
            Data::Empty => Some(0.0),
            Data::Text(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
            Data::List(items) => items.first().and_then(Value::number),
            Data::Unknown | Data::Error | Data::Area(_) => None,
        }
    }

    /// The number without its fraction, if it is one that counts something.
    pub fn count(&self) -> Option<usize> {
        let number = self.number()?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within bounds")]
        (0.0..1e9).contains(&number).then_some(number as usize)
    }

    /// Whether it is true; not known for a text.
    pub fn truth(&self) -> Option<bool> {
        match &self.data {
            Data::Bool(value) => Some(*value),
            Data::Number(number) => Some(*number != 0.0),
            Data::Empty => Some(false),
            Data::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Data::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }

    /// The cells.
    pub fn area(&self) -> Option<Area> {
        match &self.data {
            Data::Area(area) => Some(*area),
            _ => None,
        }
    }

    /// What it costs to copy, in units of about a node.
    pub fn weight(&self) -> usize {
        match &self.data {
            Data::Text(text) => text.len() / 32,
            Data::List(items) => items.iter().map(|item| item.weight().saturating_add(1)).sum(),
            _ => 0,
        }
    }
}

/// A number as Excel writes it into a text.
fn number_text(number: f64) -> String {
    if number.fract() == 0.0 || number.abs() < 1e-4 {
        return number.to_string();
    }
    // Fifteen digits, so that 0.1 + 0.2 is 0.3.
    let rounded: f64 = format!("{number:.14e}").parse().unwrap_or(number);
    rounded.to_string()
}

/// An operator between two values, none of them cells.
pub fn operate(operator: Operator, left: &Value, right: &Value) -> Value {
    let data = match operator {
        Operator::Concat => concat([left, right].into_iter()),
        Operator::Add => arithmetic(left, right, |a, b| a + b),
        Operator::Subtract => arithmetic(left, right, |a, b| a - b),
        Operator::Multiply => arithmetic(left, right, |a, b| a * b),
        Operator::Divide => arithmetic(left, right, |a, b| a / b),
        Operator::Power => arithmetic(left, right, f64::powf),
        Operator::Equal => compare(left, right, std::cmp::Ordering::is_eq),
        Operator::NotEqual => compare(left, right, std::cmp::Ordering::is_ne),
        Operator::Less => compare(left, right, std::cmp::Ordering::is_lt),
        Operator::LessEqual => compare(left, right, std::cmp::Ordering::is_le),
        Operator::Greater => compare(left, right, std::cmp::Ordering::is_gt),
        Operator::GreaterEqual => compare(left, right, std::cmp::Ordering::is_ge),
        Operator::Intersection | Operator::Union | Operator::Range => Data::Unknown,
    };
    Value { data, is_guess: left.is_guess || right.is_guess }
}

/// Texts one behind the other. Of nothing but unknown pieces nothing is known.
pub fn concat<'a>(pieces: impl Iterator<Item = &'a Value>) -> Data {
    let mut text = String::new();
    let mut is_known = false;
    for piece in pieces {
        is_known |= !matches!(piece.data, Data::Unknown | Data::Error | Data::Area(_));
        text.push_str(&piece.shown());
        if text.len() > MAX_TEXT {
            return Data::Unknown;
        }
    }
    if is_known || text.is_empty() { Data::Text(text) } else { Data::Unknown }
}

fn arithmetic(left: &Value, right: &Value, operation: impl Fn(f64, f64) -> f64) -> Data {
    if left.data == Data::Error || right.data == Data::Error {
        return Data::Error;
    }
    let (Some(left), Some(right)) = (left.number(), right.number()) else { return Data::Unknown };
    let result = operation(left, right);
    if result.is_finite() { Data::Number(result) } else { Data::Error }
}

/// Numbers come before texts, and texts before truth values; texts are compared without case.
fn compare(left: &Value, right: &Value, wanted: impl Fn(std::cmp::Ordering) -> bool) -> Data {
    let rank = |value: &Value| match &value.data {
        Data::Number(_) => Some(0),
        Data::Text(text) if !text.contains(GAP) => Some(1),
        Data::Bool(_) => Some(2),
        _ => None,
    };
    // An empty cell is the empty value of the other side's kind.
    let like = |value: &Value, other: &Value| match (&value.data, &other.data) {
        (Data::Empty, Data::Text(_)) => Value::from(""),
        (Data::Empty, Data::Bool(_)) => Value::from(false),
        (Data::Empty, _) => Value::from(0.0),
        _ => value.clone(),
    };
    let (left, right) = (like(left, right), like(right, left));
    let (Some(one), Some(two)) = (rank(&left), rank(&right)) else { return Data::Unknown };
    let order = match (&left.data, &right.data) {
        (Data::Number(left), Data::Number(right)) => left.partial_cmp(right).unwrap_or(std::cmp::Ordering::Equal),
        (Data::Text(left), Data::Text(right)) => left.to_lowercase().cmp(&right.to_lowercase()),
        (Data::Bool(left), Data::Bool(right)) => left.cmp(right),
        _ => one.cmp(&two),
    };
    Data::Bool(wanted(order))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_do_what_those_of_excel_do() {
        let text = |left: Value, right: Value| operate(Operator::Concat, &left, &right).shown();
        assert_eq!(text("a".into(), 1.0.into()), "a1");
        assert_eq!(text("a".into(), Value::UNKNOWN), "a…");
        assert_eq!(text(0.5.into(), true.into()), "0.5TRUE");
        assert_eq!(operate(Operator::Concat, &Value::UNKNOWN, &Value::UNKNOWN), Value::UNKNOWN);
        assert_eq!(operate(Operator::Add, &"2".into(), &3.0.into()), 5.0.into());
        assert_eq!(operate(Operator::Divide, &1.0.into(), &Value::EMPTY).data, Data::Error);
        assert_eq!(operate(Operator::Equal, &"ABC".into(), &"abc".into()), true.into());
        assert_eq!(operate(Operator::Less, &9.0.into(), &"1".into()), true.into());
        assert_eq!(operate(Operator::Equal, &Value::EMPTY, &"".into()), true.into());
        assert!(operate(Operator::Add, &Value::from(1.0).guessed(), &1.0.into()).is_guess);
    }

    #[test]
    fn texts_do_not_grow_without_end() {
        let half = Value::from("x".repeat(MAX_TEXT / 2 + 1));
        assert_eq!(operate(Operator::Concat, &half, &half), Value::UNKNOWN);
    }
}
