//! Values of a script: texts, numbers, lists of them, octets.

use crate::command::encoded;

/// Longest text, in octets, and most elements of a list.
const MAX_TEXT: usize = 256 << 10;
const MAX_LIST: usize = 20_000;

/// What is known of an expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A string or a character.
    Text(String),
    /// A number.
    Number(i64),
    /// A list, which holds no lists.
    List(Vec<Value>),
    /// Octets, as Base64 gives them.
    Octets(Vec<u8>),
}

impl Value {
    /// As a string would have it.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Number(number) => Some(number.to_string()),
            Self::List(list) => list.iter().map(Self::text).collect::<Option<Vec<_>>>().map(|texts| texts.join(" ")),
            Self::Octets(_) => None,
        }
    }

    fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => super::lexer::number(text.trim()),
            _ => None,
        }
    }

    /// The octets that it is.
    pub fn octets(&self) -> Option<Vec<u8>> {
        match self {
            Self::Octets(octets) => Some(octets.clone()),
            Self::List(list) => list.iter().map(|value| u8::try_from(value.number()?).ok()).collect(),
            _ => None,
        }
    }

    /// Every text in it.
    pub fn texts(&self) -> Vec<String> {
        match self {
            Self::Text(text) => vec![text.clone()],
            Self::List(list) => list
                .iter()
                .filter_map(|value| if let Self::Text(text) = value { Some(text.clone()) } else { None })
                .collect(),
            Self::Octets(octets) => encoded::text_of(octets).into_iter().collect(),
            Self::Number(_) => Vec::new(),
        }
    }

    /// Its elements; one that is no list is its own.
    pub fn into_list(self) -> Vec<Value> {
        match self {
            Self::List(list) => list,
            other => vec![other],
        }
    }

    /// About how many octets it takes.
    pub fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Number(_) => 8,
            Self::List(list) => {
                list.iter().map(|value| if let Self::Text(text) = value { text.len() } else { 8 }).sum()
            }
            Self::Octets(octets) => octets.len(),
        }
    }

    /// As a script writes it.
    pub fn shown(&self) -> String {
        match self {
            Self::Text(text) => format!("'{}'", text.replace('\'', "''")),
            Self::Number(number) => number.to_string(),
            Self::List(list) => {
                let texts = list.iter().map(|value| match value {
                    Self::Text(text) => format!("'{}'", text.replace('\'', "''")),
                    Self::Number(number) => number.to_string(),
                    Self::List(_) | Self::Octets(_) => "…".to_owned(),
                });
                texts.collect::<Vec<_>>().join(",")
            }
            Self::Octets(_) => "…".to_owned(),
        }
    }
}

fn bounded(text: String) -> Option<Value> {
    (text.len() <= MAX_TEXT).then_some(Value::Text(text))
}

fn list(values: Vec<Value>) -> Option<Value> {
    (values.len() <= MAX_LIST).then_some(Value::List(values))
}

fn character(code: i64) -> Option<String> {
    u32::try_from(code).ok().and_then(char::from_u32).map(|c| c.to_string())
}

/// `a..b`
pub fn range(left: &Value, right: &Value) -> Option<Value> {
    let (left, right) = (left.number()?, right.number()?);
    if left.abs_diff(right) > MAX_LIST as u64 {
        return None;
    }
    let values = if left <= right { (left..=right).collect::<Vec<_>>() } else { (right..=left).rev().collect() };
    list(values.into_iter().map(Value::Number).collect())
}

/// `'{1}{0}' -f 'b','a'`
pub fn format(left: &Value, right: &Value) -> Option<Value> {
    let (pattern, values) = (left.text()?, right.clone().into_list());
    let mut out = String::new();
    let mut rest = pattern.as_str();
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let (inner, next) = after.split_once('}')?;
        let index = inner.split([':', ',']).next()?.trim().parse::<usize>().ok()?;
        out.push_str(&values.get(index)?.text()?);
        if out.len() > MAX_TEXT {
            return None;
        }
        rest = next;
    }
    out.push_str(rest);
    bounded(out)
}

/// `'ab' * 3`
pub fn repeated(left: &Value, right: &Value) -> Option<Value> {
    let Value::Text(text) = left else { return None };
    let count = usize::try_from(right.number()?).ok()?;
    if text.len().saturating_mul(count) > MAX_TEXT { None } else { bounded(text.repeat(count)) }
}

/// `a + b`
pub fn sum(left: &Value, right: &Value) -> Option<Value> {
    match (left, right) {
        (Value::Text(left), right) => {
            let right = right.text()?;
            let size = left.len().saturating_add(right.len());
            (size <= MAX_TEXT).then(|| Value::Text(format!("{left}{right}")))
        }
        (Value::Number(left), right) => left.checked_add(right.number()?).map(Value::Number),
        (Value::List(left), right) => list(left.iter().cloned().chain(right.clone().into_list()).collect()),
        (Value::Octets(_), _) => None,
    }
}

/// `-join`, `-split`, `-replace` and their kin.
pub fn operate(name: &str, left: &Value, right: &Value) -> Option<Value> {
    let arguments = right.clone().into_list();
    let text = |n: usize| arguments.get(n).and_then(Value::text);
    match name {
        "join" => {
            let (parts, by) = (left.clone().into_list(), text(0).unwrap_or_default());
            let parts: Option<Vec<String>> = parts.iter().map(Value::text).collect();
            bounded(parts?.join(&by))
        }
        "split" | "csplit" | "isplit" => {
            let (text, by) = (left.text()?, literals(&text(0)?)?);
            let mut parts = vec![text];
            for by in by.iter().filter(|by| !by.is_empty()) {
                parts = parts.iter().flat_map(|part| part.split(by.as_str())).map(str::to_owned).collect();
            }
            list(parts.into_iter().map(Value::Text).collect())
        }
        "replace" | "creplace" | "ireplace" => {
            let (mut value, to) = (left.text()?, text(1).unwrap_or_default());
            for from in literals(&text(0)?)?.iter().filter(|from| !from.is_empty()) {
                value = if name == "creplace" { exact(&value, from, &to)? } else { any_case(&value, from, &to)? };
            }
            bounded(value)
        }
        _ => None,
    }
}

fn exact(text: &str, from: &str, to: &str) -> Option<String> {
    let grows = text.matches(from).count().saturating_mul(to.len());
    (grows <= MAX_TEXT).then(|| text.replace(from, to))
}

fn any_case(text: &str, from: &str, to: &str) -> Option<String> {
    let (lower, from) = (text.to_ascii_lowercase(), from.to_ascii_lowercase());
    let mut out = String::with_capacity(text.len());
    let mut at = 0_usize;
    for (hit, _) in lower.match_indices(&from) {
        out.push_str(text.get(at..hit)?);
        out.push_str(to);
        if out.len() > MAX_TEXT {
            return None;
        }
        at = hit.saturating_add(from.len());
    }
    out.push_str(text.get(at..)?);
    Some(out)
}

/// A regular expression that is a choice of literals; anything else is not computed.
fn literals(pattern: &str) -> Option<Vec<String>> {
    let mut found = vec![String::new()];
    let mut characters = pattern.chars();
    while let Some(c) = characters.next() {
        let c = match c {
            '|' => {
                found.push(String::new());
                continue;
            }
            '\\' => characters.next().filter(|c| !c.is_ascii_alphanumeric())?,
            '[' | '(' | ')' | '.' | '*' | '+' | '?' | '^' | '$' | '{' if pattern.chars().count() > 1 => return None,
            other => other,
        };
        found.last_mut()?.push(c);
    }
    Some(found)
}

/// `value[1,3]`, `value[-1..-9]`
pub fn indexed(value: &Value, index: &[Value]) -> Option<Value> {
    let elements: Vec<Value> = match value {
        Value::Text(text) => text.chars().map(|c| Value::Text(c.to_string())).collect(),
        other => other.clone().into_list(),
    };
    let count = i64::try_from(elements.len()).ok()?;
    let at = |index: &Value| {
        let index = index.number()?;
        let index = if index < 0 { count.saturating_add(index) } else { index };
        elements.get(usize::try_from(index).ok()?).cloned()
    };
    match index {
        [one] => at(one),
        // What lies beyond the end is nothing.
        more => list(more.iter().filter_map(at).collect()),
    }
}

/// `[char]65`; types that change nothing are taken off.
pub fn cast(class: &str, value: &Value) -> Option<Value> {
    match class.trim_start_matches("system.") {
        "char" => value.number().and_then(character).map(Value::Text).or_else(|| match value {
            Value::Text(text) if text.chars().count() == 1 => Some(value.clone()),
            Value::List(_) => characters(value, 0),
            _ => None,
        }),
        "char[]" => match value {
            Value::Text(text) => list(text.chars().map(|c| Value::Text(c.to_string())).collect()),
            Value::List(_) | Value::Number(_) => characters(value, 0),
            Value::Octets(_) => None,
        },
        "string" => value.text().map(Value::Text),
        "int" | "int32" | "byte" | "convert" => value.number().map(Value::Number),
        "byte[]" | "array" | "object[]" | "string[]" | "int[]" | "regex" | "scriptblock" | "void" => {
            Some(value.clone())
        }
        _ => None,
    }
}

/// Every number of a list as its character, after XOR with `key`.
pub fn characters(value: &Value, key: i64) -> Option<Value> {
    let code = |value: &Value| match value {
        Value::Text(text) if text.chars().count() == 1 && !text.starts_with(|c: char| c.is_ascii_digit()) => {
            text.chars().next().map(|c| i64::from(u32::from(c)))
        }
        other => other.number(),
    };
    let all: Option<Vec<Value>> = value
        .clone()
        .into_list()
        .iter()
        .map(|value| code(value).and_then(|code| character(code ^ key)).map(Value::Text))
        .collect();
    list(all?)
}

/// `value.name(arguments)`
pub fn method(value: &Value, name: &str, arguments: &[Value]) -> Option<Value> {
    let text = |n: usize| arguments.get(n).and_then(Value::text);
    let count = |n: usize| arguments.get(n).and_then(Value::number).and_then(|n| usize::try_from(n).ok());
    let own = || if let Value::Text(text) = value { Some(text.clone()) } else { None };
    match name.to_ascii_lowercase().as_str() {
        "replace" => {
            let from = text(0).filter(|from| !from.is_empty())?;
            bounded(exact(&own()?, &from, &text(1)?)?)
        }
        "split" => {
            // Every character of every argument separates.
            let by: Vec<char> =
                arguments.iter().filter_map(Value::text).flat_map(|text| text.chars().collect::<Vec<_>>()).collect();
            list(own()?.split(by.as_slice()).map(|part| Value::Text(part.to_owned())).collect())
        }
        "substring" => {
            let taken = own()?.chars().skip(count(0)?).take(count(1).unwrap_or(usize::MAX)).collect();
            Some(Value::Text(taken))
        }
        "tochararray" => list(own()?.chars().map(|c| Value::Text(c.to_string())).collect()),
        "tostring" | "invoke" | "clone" => own().map(Value::Text),
        "toupper" | "toupperinvariant" => own().map(|text| Value::Text(text.to_uppercase())),
        "tolower" | "tolowerinvariant" => own().map(|text| Value::Text(text.to_lowercase())),
        "trim" if arguments.is_empty() => own().map(|text| Value::Text(text.trim().to_owned())),
        "insert" => {
            let (own, at) = (own()?, count(0)?);
            let (head, tail): (String, String) = (own.chars().take(at).collect(), own.chars().skip(at).collect());
            bounded(format!("{head}{}{tail}", text(1)?))
        }
        _ => None,
    }
}

/// `[class]::name(arguments)`
pub fn static_method(class: &str, name: &str, arguments: &[Value]) -> Option<Value> {
    let text = |n: usize| arguments.get(n).and_then(Value::text);
    match (class.trim_start_matches("system."), name.to_ascii_lowercase().as_str()) {
        ("string", "join") => {
            let parts: Option<Vec<String>> = arguments.iter().skip(1).map(Value::text).collect();
            bounded(parts?.join(&text(0)?))
        }
        ("string", "concat") => bounded(arguments.iter().map(Value::text).collect::<Option<Vec<_>>>()?.concat()),
        ("string", "format") => format(arguments.first()?, &Value::List(arguments.get(1..)?.to_vec())),
        ("convert", "frombase64string") => encoded::octets(text(0)?.trim()).map(Value::Octets),
        ("convert", "tochar") | ("char", "convertfromutf32") => {
            arguments.first()?.number().and_then(character).map(Value::Text)
        }
        ("convert", "toint32" | "toint16" | "tobyte") => {
            let radix = match arguments.get(1).and_then(Value::number) {
                Some(2) => 2,
                Some(8) => 8,
                Some(16) => 16,
                _ => 10,
            };
            i64::from_str_radix(text(0)?.trim_start_matches("0x"), radix).ok().map(Value::Number)
        }
        ("regex", "replace") => operate("creplace", arguments.first()?, &Value::List(arguments.get(1..)?.to_vec())),
        ("regex", "matches") if text(2).is_some_and(|mode| mode.to_ascii_lowercase().contains("righttoleft")) => {
            list(text(0)?.chars().rev().map(|c| Value::Text(c.to_string())).collect())
        }
        ("regex", "unescape") => text(0).map(Value::Text),
        _ => None,
    }
}
