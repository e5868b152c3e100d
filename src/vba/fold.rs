//! Values that can be computed without running anything: constants, operators, and the pure
//! functions of VBA ([MS-VBAL] 6.1.2).
//!
//! What is not known stays not known; a text of which a part is known keeps that part, with
//! [`GAP`] for the rest, since `"cmd /c " & path` tells enough.

use std::borrow::Cow;

use super::token::lower_case;

/// Stands in a text for what is not known.
pub const GAP: char = '…';
/// Longest text that is computed, in octets: command lines end at 32 KiB, a text that hides one
/// is a few times longer.
pub const MAX_TEXT: usize = 256 << 10;
/// Most elements of an array that is computed.
const MAX_LIST: usize = 4096;

/// What an expression is known to be.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// Nothing is known: a cell, a form, a file, time.
    #[default]
    Unknown,
    /// What a caller passes, when the caller is not known.
    Parameter,
    /// A variable that nothing was ever assigned to: an empty text, or zero.
    Empty,
    /// A number or a truth value (true is -1).
    Number(f64),
    /// A text.
    Text(String),
    /// A text with gaps.
    Partial(String),
    /// An array.
    List(Vec<Value>),
    /// An object of this class, as it was created, in lower case: `wscript.shell`.
    Object(String),
}

impl Value {
    /// The text, if all of it is known.
    pub fn text(&self) -> Option<String> {
        self.as_text().map(Cow::into_owned)
    }

    /// The text, if all of it is known.
    pub fn as_text(&self) -> Option<Cow<'_, str>> {
        match self {
            Value::Text(text) => Some(Cow::Borrowed(text)),
            Value::Empty => Some(Cow::Borrowed("")),
            Value::Number(number) => Some(Cow::Owned(number_text(*number))),
            _ => None,
        }
    }

    /// The length of the text, if all of it is known.
    fn text_length(&self) -> Option<usize> {
        match self {
            Value::Text(text) => Some(text.len()),
            Value::Empty | Value::Number(_) => Some(0),
            _ => None,
        }
    }

    /// What is known of the text, gaps marked.
    pub fn shown(&self) -> String {
        self.as_shown().into_owned()
    }

    fn as_shown(&self) -> Cow<'_, str> {
        match self {
            Value::Partial(text) => Cow::Borrowed(text),
            other => other.as_text().unwrap_or_else(|| Cow::Owned(GAP.to_string())),
        }
    }

    /// The procedure that the text names, also behind a file whose name is not known:
    /// `'…'!Module1.Main` is `main`.
    pub fn target(&self) -> Option<String> {
        let text = match self {
            Value::Partial(text) => text.clone(),
            other => other.text()?,
        };
        let name = lower_case(text.rsplit(['.', '!']).next().unwrap_or_default());
        (!name.is_empty() && !name.contains(GAP)).then_some(name)
    }

    /// The number, also of a text that is one.
    pub fn number(&self) -> Option<f64> {
        match self {
            Value::Number(number) => Some(*number),
            Value::Empty => Some(0.0),
            Value::Text(text) if text.starts_with(['&']) => Some(val(text)),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// Whether everything is known.
    pub fn is_known(&self) -> bool {
        !matches!(self, Value::Unknown | Value::Parameter | Value::Partial(_))
    }

    /// Octets of text that it holds.
    pub fn size(&self) -> usize {
        match self {
            Value::Text(text) | Value::Partial(text) => text.len(),
            Value::List(items) => items.iter().map(|item| item.size().saturating_add(8)).sum(),
            _ => 0,
        }
    }

    /// An array of these elements. Arrays stay flat and within bounds, or are not known: what
    /// doubles itself in a loop must not.
    pub fn list(items: Vec<Value>) -> Value {
        let is_flat = !items.iter().any(|item| matches!(item, Value::List(_)));
        let list = Value::List(items);
        let is_small = matches!(&list, Value::List(items) if items.len() <= MAX_LIST) && list.size() <= MAX_TEXT;
        if is_flat && is_small { list } else { Value::Unknown }
    }

    fn is_textual(&self) -> bool {
        matches!(self, Value::Text(_) | Value::Partial(_))
    }
}

/// A binary operator between two values.
pub fn operate(sign: char, left: Value, right: &Value) -> Value {
    match sign {
        '&' => concat(left, right),
        '+' if left.is_textual() || right.is_textual() => {
            // A number beside a text is added if the text is a number; that is rare, so only numbers are.
            concat(left, right)
        }
        '+' | '-' | '*' | '/' | '\\' | '^' | '%' => arithmetic(sign, &left, right),
        '=' => match (left.as_text(), right.as_text()) {
            (Some(left), Some(right)) => truth(left == right),
            _ => Value::Unknown,
        },
        '<' | '>' | '≤' | '≥' | '≠' => compare(sign, &left, right),
        'x' => integers(&left, right, |a, b| a ^ b),
        'n' => integers(&left, right, |a, b| a & b),
        'o' => integers(&left, right, |a, b| a | b),
        _ => Value::Unknown,
    }
}

/// The left text is taken over, so that a long chain of pieces costs no more than its text.
fn concat(left: Value, right: &Value) -> Value {
    let is_known = left.text_length().is_some() && right.text_length().is_some();
    if !left.is_textual() && !right.is_textual() && !is_known {
        return if left == Value::Parameter && *right == Value::Empty { Value::Parameter } else { Value::Unknown };
    }
    let mut text = match left {
        Value::Text(text) | Value::Partial(text) => text,
        other => other.shown(),
    };
    let right = right.as_shown();
    if text.len().saturating_add(right.len()) > MAX_TEXT {
        return Value::Unknown;
    }
    // Neighbouring gaps are one gap.
    text.push_str(if text.ends_with(GAP) { right.trim_start_matches(GAP) } else { &right });
    if is_known { Value::Text(text) } else { Value::Partial(text) }
}

fn arithmetic(sign: char, left: &Value, right: &Value) -> Value {
    let (Some(left), Some(right)) = (left.number(), right.number()) else { return Value::Unknown };
    let result = match sign {
        '+' => left + right,
        '-' => left - right,
        '*' => left * right,
        '/' => left / right,
        '\\' => (left.round() / right.round()).trunc(),
        '%' => left.round() % right.round(),
        _ => left.powf(right),
    };
    if result.is_finite() { Value::Number(result) } else { Value::Unknown }
}

fn compare(sign: char, left: &Value, right: &Value) -> Value {
    if sign == '≠' {
        return match (left.as_text(), right.as_text()) {
            (Some(left), Some(right)) => truth(left != right),
            _ => Value::Unknown,
        };
    }
    let (Some(left), Some(right)) = (left.number(), right.number()) else { return Value::Unknown };
    truth(match sign {
        '<' => left < right,
        '>' => left > right,
        '≤' => left <= right,
        _ => left >= right,
    })
}

fn integers(left: &Value, right: &Value, operation: fn(i64, i64) -> i64) -> Value {
    match (left.number().and_then(integer), right.number().and_then(integer)) {
        (Some(left), Some(right)) => from_integer(operation(left, right)),
        _ => Value::Unknown,
    }
}

/// The value of a truth.
pub fn truth(is_true: bool) -> Value {
    Value::Number(if is_true { -1.0 } else { 0.0 })
}

/// Functions that only depend on their arguments. `None` if `name` (lower case) is none of them.
pub fn call(name: &str, arguments: &[Value]) -> Option<Value> {
    let argument = |n: usize| arguments.get(n).unwrap_or(&Value::Unknown);
    let text = |n: usize| argument(n).as_text();
    let number = |n: usize| argument(n).number();
    let count = |n: usize| number(n).and_then(index);
    let value = match name {
        "chr" | "chrw" | "chrb" => number(0).and_then(character).map(Value::Text),
        "asc" | "ascw" | "ascb" => text(0).and_then(|text| text.chars().next()).map(code),
        "strreverse" => text(0).map(|text| Value::Text(text.chars().rev().collect())),
        "lcase" => map_text(argument(0), str::to_lowercase),
        "ucase" => map_text(argument(0), str::to_uppercase),
        "trim" => map_text(argument(0), |text| text.trim_matches(' ').to_owned()),
        "ltrim" => map_text(argument(0), |text| text.trim_start_matches(' ').to_owned()),
        "rtrim" => map_text(argument(0), |text| text.trim_end_matches(' ').to_owned()),
        "cstr" | "cvar" | "str" => Some(argument(0).clone()),
        "strconv" => Some(characters(argument(0))),
        "lbound" => Some(Value::Number(0.0)),
        "ubound" => last_index(argument(0)),
        "clng" | "cint" | "cbyte" | "clnglng" | "clngptr" => number(0).map(|n| Value::Number(n.round_ties_even())),
        "cdbl" | "csng" | "ccur" | "cdec" => number(0).map(Value::Number),
        "int" => number(0).map(|n| Value::Number(n.floor())),
        "fix" => number(0).map(|n| Value::Number(n.trunc())),
        "abs" => number(0).map(|n| Value::Number(n.abs())),
        "sgn" => number(0).map(|n| Value::Number(if n == 0.0 { 0.0 } else { n.signum() })),
        "sqr" => number(0).filter(|n| *n >= 0.0).map(|n| Value::Number(n.sqrt())),
        "val" => text(0).map(|text| Value::Number(val(&text))),
        "hex" => number(0).and_then(integer).map(|n| Value::Text(format!("{n:X}"))),
        "len" => text(0).map(|text| length(&text)),
        "left" => text(0).zip(count(1)).map(|(text, n)| Value::Text(text.chars().take(n).collect())),
        "right" => text(0).zip(count(1)).map(|(text, n)| Value::Text(last_characters(&text, n))),
        "mid" => text(0).zip(count(1)).map(|(text, from)| mid(&text, from, count(2))),
        "instr" => Some(in_str(arguments)),
        "replace" => replace(argument(0), text(1), text(2)),
        "string" => count(0).zip(text(1)).map(|(n, text)| repeat(n, text.chars().next())),
        "space" => count(0).map(|n| repeat(n, Some(' '))),
        "array" => Some(Value::list(arguments.to_vec())),
        "split" => text(0).map(|joined| split(&joined, text(1).as_deref().unwrap_or(" "))),
        "join" => Some(join(argument(0), arguments.get(1).map_or(Some(" ".to_owned()), Value::text))),
        "environ" => text(0).map(|name| Value::Text(format!("%{}%", name.to_uppercase()))),
        "iif" => number(0).map(|n| argument(if n == 0.0 { 2 } else { 1 }).clone()),
        _ => return None,
    };
    Some(value.unwrap_or_default())
}

fn map_text(value: &Value, change: impl Fn(&str) -> String) -> Option<Value> {
    match value {
        Value::Partial(text) => Some(Value::Partial(change(text))),
        other => other.text().map(|text| Value::Text(change(&text))),
    }
}

fn character(number: f64) -> Option<String> {
    let code = u32::try_from(integer(number)? & 0xFFFF).ok()?;
    char::from_u32(code).map(|c| c.to_string())
}

/// Octets as the characters they stand for; anything else as it is.
fn characters(value: &Value) -> Value {
    let Value::List(octets) = value else { return value.clone() };
    let text: Option<String> = octets.iter().map(|octet| octet.number().and_then(character)).collect();
    text.map_or(Value::Unknown, Value::Text)
}

fn last_index(value: &Value) -> Option<Value> {
    let Value::List(items) = value else { return None };
    i64::try_from(items.len()).ok().map(|count| from_integer(count.saturating_sub(1)))
}

fn code(c: char) -> Value {
    Value::Number(f64::from(u32::from(c)))
}

fn length(text: &str) -> Value {
    from_integer(i64::try_from(text.chars().count()).unwrap_or(i64::MAX))
}

fn last_characters(text: &str, count: usize) -> String {
    text.chars().skip(text.chars().count().saturating_sub(count)).collect()
}

fn mid(text: &str, from: usize, count: Option<usize>) -> Value {
    Value::Text(text.chars().skip(from.saturating_sub(1)).take(count.unwrap_or(usize::MAX)).collect())
}

/// `InStr([start,] text, part)`, the start only as a number.
fn in_str(arguments: &[Value]) -> Value {
    let (start, rest) = match arguments {
        [Value::Number(start), rest @ ..] if rest.len() >= 2 => (index(*start).unwrap_or(1), rest),
        rest => (1, rest),
    };
    let (Some(text), Some(part)) = (rest.first().and_then(Value::text), rest.get(1).and_then(Value::text)) else {
        return Value::Unknown;
    };
    let skipped = start.saturating_sub(1);
    let tail: String = text.chars().skip(skipped).collect();
    let found = tail.find(&part).map(|at| tail.get(..at).unwrap_or_default().chars().count());
    found.map_or(Value::Number(0.0), |at| {
        from_integer(i64::try_from(at.saturating_add(skipped)).unwrap_or(0).saturating_add(1))
    })
}

fn replace(value: &Value, from: Option<Cow<'_, str>>, to: Option<Cow<'_, str>>) -> Option<Value> {
    let (from, to) = (from.filter(|from| !from.is_empty())?, to?);
    // What would grow beyond the limit is not computed.
    let grows = value.shown().matches(&*from).count().saturating_mul(to.len());
    if grows > MAX_TEXT { None } else { map_text(value, |text| text.replace(&*from, &to)) }
}

fn repeat(count: usize, c: Option<char>) -> Value {
    match c {
        Some(c) if count <= MAX_TEXT / 4 => Value::Text(std::iter::repeat_n(c, count).collect()),
        _ => Value::Unknown,
    }
}

fn split(text: &str, by: &str) -> Value {
    let parts = text.split(by).take(MAX_LIST).map(|part| Value::Text(part.to_owned()));
    if by.is_empty() { Value::list(vec![Value::Text(text.to_owned())]) } else { Value::list(parts.collect()) }
}

fn join(list: &Value, by: Option<String>) -> Value {
    let (Value::List(items), Some(by)) = (list, by) else { return Value::Unknown };
    let texts: Vec<String> = items.iter().map(Value::shown).collect();
    let size: usize = texts.iter().map(String::len).sum();
    if size.saturating_add(by.len().saturating_mul(texts.len())) > MAX_TEXT {
        return Value::Unknown;
    }
    let text = texts.join(&by);
    if items.iter().all(|item| item.text().is_some()) { Value::Text(text) } else { Value::Partial(text) }
}

/// The number at the start of a text; `&H` for hexadecimal.
fn val(text: &str) -> f64 {
    let text = text.trim();
    if let Some(hex) = text.strip_prefix("&H").or_else(|| text.strip_prefix("&h")) {
        let digits: String = hex.chars().take_while(char::is_ascii_hexdigit).take(8).collect();
        return i64::from_str_radix(&digits, 16).ok().map_or(0.0, |n| from_integer(n).number().unwrap_or(0.0));
    }
    let digits: String = text.chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | '-')).collect();
    digits.parse().unwrap_or(0.0)
}

/// A number as VBA prints it.
fn number_text(number: f64) -> String {
    integer(number).filter(|_| number.fract() == 0.0).map_or_else(|| number.to_string(), |whole| whole.to_string())
}

/// The whole number nearest to a VBA number; `None` beyond what VBA's LongLong holds exactly here.
pub fn integer(number: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    (number.abs() < 9e15).then(|| number.round_ties_even() as i64)
}

fn index(number: f64) -> Option<usize> {
    integer(number).and_then(|n| usize::try_from(n).ok())
}

fn from_integer(number: i64) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "VBA numbers that large do not occur as characters or lengths")]
    Value::Number(number as f64)
}

/// Constants of VBA's library that stand in strings and calls ([MS-VBAL] 6.1.1).
pub fn constant(name: &str) -> Option<Value> {
    let text = |text: &str| Some(Value::Text(text.to_owned()));
    match name {
        "vbcrlf" | "vbnewline" => text("\r\n"),
        "vbcr" => text("\r"),
        "vblf" => text("\n"),
        "vbtab" => text("\t"),
        "vbnullstring" => text(""),
        "vbnullchar" => text("\0"),
        "true" | "vbtrue" => Some(Value::Number(-1.0)),
        "false" | "vbfalse" | "vbhide" | "vbbinarycompare" => Some(Value::Number(0.0)),
        "vbnormalfocus" | "vbmethod" | "vbtextcompare" | "msoautomationsecuritylow" => Some(Value::Number(1.0)),
        "vbminimizedfocus" | "vbget" | "msoautomationsecuritybyui" => Some(Value::Number(2.0)),
        "vbmaximizedfocus" | "msoautomationsecurityforcedisable" => Some(Value::Number(3.0)),
        "vblet" => Some(Value::Number(4.0)),
        "vbset" => Some(Value::Number(8.0)),
        "empty" | "null" | "nothing" => Some(Value::Empty),
        _ => {
            // vbKeyA … vbKeyZ, vbKey0 … vbKey9 are the characters' codes.
            let key = name.strip_prefix("vbkey")?;
            let mut characters = key.chars();
            match (characters.next(), characters.next()) {
                (Some(c), None) if c.is_ascii_alphanumeric() => Some(code(c.to_ascii_uppercase())),
                _ => None,
            }
        }
    }
}
