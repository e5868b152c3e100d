//! Functions of sheets that depend on nothing but their arguments ([MS-XLS] 2.5.198.17), as far as texts are
//! put together with them.

use super::value::{Data, MAX_TEXT, Value, concat};

/// What the function of this name comes to. `None` if it is not one of these. Arguments are no cells any
/// more: areas came to lists.
pub fn call(name: &str, arguments: &[Value]) -> Option<Value> {
    let is_guess = arguments.iter().any(|argument| argument.is_guess);
    let first = arguments.first().unwrap_or(&Value::EMPTY);
    let data = texts(name, arguments, first)
        .or_else(|| numbers(name, arguments, first))
        .or_else(|| tests(name, arguments, first))?;
    Some(Value { data, is_guess })
}

fn texts(name: &str, arguments: &[Value], first: &Value) -> Option<Data> {
    let second = arguments.get(1);
    let count = |number: usize, default: usize| match arguments.get(number).map(|value| (&value.data, value.count())) {
        None | Some((Data::Empty, _)) => Some(default),
        Some((_, count)) => count,
    };
    let data = match name {
        "CHAR" | "_XLFN.UNICHAR" | "UNICHAR" => first.count().and_then(character).map(Data::Text),
        "CODE" | "UNICODE" => first.text().and_then(|text| text.chars().next()).map(code),
        "CONCATENATE" | "CONCAT" => Some(concat(flat(arguments).into_iter())),
        "MID" | "MIDB" => match (first.text(), count(1, 1), count(2, 0)) {
            (Some(text), Some(start), Some(length)) => {
                Some(Data::Text(text.chars().skip(start.saturating_sub(1)).take(length).collect()))
            }
            _ => None,
        },
        "LEFT" | "LEFTB" => match (first.text(), count(1, 1)) {
            (Some(text), Some(length)) => Some(Data::Text(text.chars().take(length).collect())),
            _ => None,
        },
        "RIGHT" | "RIGHTB" => match (first.text(), count(1, 1)) {
            (Some(text), Some(length)) => {
                let skipped = text.chars().count().saturating_sub(length);
                Some(Data::Text(text.chars().skip(skipped).collect()))
            }
            _ => None,
        },
        "LEN" | "LENB" => first.text().map(|text| number(text.chars().count())),
        "LOWER" => map_text(first, str::to_lowercase),
        "UPPER" => map_text(first, str::to_uppercase),
        "TRIM" => map_text(first, |text| text.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")),
        "CLEAN" => map_text(first, |text| text.chars().filter(|c| !c.is_control()).collect()),
        "T" => Some(match &first.data {
            Data::Text(_) | Data::Unknown => first.data.clone(),
            Data::List(items) => items.first().map_or(Data::Empty, |item| item.data.clone()),
            _ => Data::Text(String::new()),
        }),
        "TEXT" | "FIXED" | "DOLLAR" => first.text().map(Data::Text),
        "VALUE" | "N" | "NUMBERVALUE" => first.number().map(Data::Number),
        "REPT" => match (first.text(), second.and_then(Value::count)) {
            (Some(text), Some(times)) if text.len().saturating_mul(times) <= MAX_TEXT => {
                Some(Data::Text(text.repeat(times)))
            }
            _ => None,
        },
        "SUBSTITUTE" => match (first.text(), second.and_then(Value::text), arguments.get(2).and_then(Value::text)) {
            (Some(text), Some(old), Some(new)) => substitute(&text, &old, &new, arguments.get(3)),
            _ => None,
        },
        "REPLACE" | "REPLACEB" => {
            match (first.text(), count(1, 1), count(2, 0), arguments.get(3).and_then(Value::text)) {
                (Some(text), Some(start), Some(length), Some(new)) => {
                    let start = start.saturating_sub(1);
                    let head: String = text.chars().take(start).collect();
                    let tail: String = text.chars().skip(start.saturating_add(length)).collect();
                    Some(Data::Text(format!("{head}{new}{tail}")))
                }
                _ => None,
            }
        }
        "FIND" | "SEARCH" => match (first.text(), second.and_then(Value::text), count(2, 1)) {
            (Some(wanted), Some(text), Some(start)) => Some(find(&wanted, &text, start, name == "SEARCH")),
            _ => None,
        },
        "EXACT" => match (first.text(), second.and_then(Value::text)) {
            (Some(one), Some(two)) => Some(Data::Bool(one == two)),
            _ => None,
        },
        "HEX2DEC" | "BIN2DEC" | "OCT2DEC" => {
            let radix = if name.starts_with('H') {
                16
            } else if name.starts_with('B') {
                2
            } else {
                8
            };
            let parsed = first.text().and_then(|text| u32::from_str_radix(text.trim(), radix).ok());
            parsed.map(|value| Data::Number(value.into()))
        }
        "DEC2HEX" => first.count().map(|value| Data::Text(format!("{value:X}"))),
        _ => return None,
    };
    Some(data.unwrap_or_default())
}

fn numbers(name: &str, arguments: &[Value], first: &Value) -> Option<Data> {
    let second = arguments.get(1).and_then(Value::number);
    let one = |operation: fn(f64) -> f64| first.number().map(operation);
    let two = |operation: fn(f64, f64) -> f64| first.number().zip(second).map(|(a, b)| operation(a, b));
    let integers = |operation: fn(u64, u64) -> u64| {
        #[allow(clippy::cast_precision_loss, reason = "Excel's numbers are such")]
        first.count().zip(arguments.get(1)?.count()).map(|(a, b)| operation(a as u64, b as u64) as f64)
    };
    let result = match name {
        "INT" => one(f64::floor),
        "ABS" => one(f64::abs),
        "SQRT" => one(f64::sqrt),
        "EXP" => one(f64::exp),
        "LN" => one(f64::ln),
        "LOG10" => one(f64::log10),
        "SIN" => one(f64::sin),
        "COS" => one(f64::cos),
        "TAN" => one(f64::tan),
        "ATAN" => one(f64::atan),
        "SIGN" => one(|value| if value == 0.0 { 0.0 } else { value.signum() }),
        "PI" => Some(std::f64::consts::PI),
        "RAND" => Some(0.5),
        "MOD" => two(|a, b| a - b * (a / b).floor()),
        "POWER" => two(f64::powf),
        "QUOTIENT" => two(|a, b| (a / b).trunc()),
        "ROUND" => first.number().map(|value| round(value, second.unwrap_or(0.0), f64::round)),
        "ROUNDUP" => first.number().map(|value| round(value, second.unwrap_or(0.0), away)),
        "ROUNDDOWN" | "TRUNC" => first.number().map(|value| round(value, second.unwrap_or(0.0), f64::trunc)),
        "SUM" => fold(arguments, 0.0, |sum, value| sum + value),
        "PRODUCT" => fold(arguments, 1.0, |product, value| product * value),
        "MAX" => fold(arguments, f64::MIN, f64::max),
        "MIN" => fold(arguments, f64::MAX, f64::min),
        "COUNTA" => Some(precise(flat(arguments).iter().filter(|value| value.data != Data::Empty).count())),
        "COUNT" => Some(precise(flat(arguments).iter().filter(|value| matches!(value.data, Data::Number(_))).count())),
        "AVERAGE" => {
            let items = flat(arguments);
            fold(arguments, 0.0, |sum, value| sum + value).map(|sum| sum / precise(items.len()))
        }
        "BITXOR" => integers(|a, b| a ^ b),
        "BITAND" => integers(|a, b| a & b),
        "BITOR" => integers(|a, b| a | b),
        _ => return None,
    };
    Some(match result {
        Some(value) if value.is_finite() => Data::Number(value),
        Some(_) => Data::Error,
        None => Data::Unknown,
    })
}

fn tests(name: &str, arguments: &[Value], first: &Value) -> Option<Data> {
    let truths = || flat(arguments).into_iter().map(Value::truth);
    let is_known = !matches!(first.data, Data::Unknown | Data::Area(_));
    let known = |value: bool| if is_known { Data::Bool(value) } else { Data::Unknown };
    Some(match name {
        "TRUE" => Data::Bool(true),
        "FALSE" => Data::Bool(false),
        "NA" => Data::Error,
        "NOT" => first.truth().map_or(Data::Unknown, |value| Data::Bool(!value)),
        "AND" if truths().any(|value| value == Some(false)) => Data::Bool(false),
        "AND" if truths().all(|value| value == Some(true)) => Data::Bool(true),
        "OR" if truths().any(|value| value == Some(true)) => Data::Bool(true),
        "OR" if truths().all(|value| value == Some(false)) => Data::Bool(false),
        "AND" | "OR" => Data::Unknown,
        "ISNUMBER" => known(matches!(first.data, Data::Number(_))),
        "ISTEXT" => known(matches!(first.data, Data::Text(_))),
        "ISBLANK" => known(first.data == Data::Empty),
        "ISLOGICAL" => known(matches!(first.data, Data::Bool(_))),
        "ISERROR" | "ISERR" | "ISNA" => known(first.data == Data::Error),
        "IFERROR" => match first.data {
            Data::Error => arguments.get(1).map_or(Data::Empty, |value| value.data.clone()),
            _ => first.data.clone(),
        },
        _ => return None,
    })
}

fn flat(arguments: &[Value]) -> Vec<&Value> {
    let items = arguments.iter().map(|argument| match &argument.data {
        Data::List(items) => items.as_slice(),
        _ => std::slice::from_ref(argument),
    });
    items.flatten().collect()
}

/// Texts among numbers count nothing; what is not known makes the whole not known.
fn fold(arguments: &[Value], start: f64, operation: impl Fn(f64, f64) -> f64) -> Option<f64> {
    let mut total = start;
    for value in flat(arguments) {
        match value.data {
            Data::Unknown => return None,
            Data::Number(number) => total = operation(total, number),
            Data::Bool(truth) => total = operation(total, f64::from(u8::from(truth))),
            _ => {}
        }
    }
    Some(total)
}

fn map_text(value: &Value, operation: impl Fn(&str) -> String) -> Option<Data> {
    match &value.data {
        // Parts of a text stay in their places.
        Data::Text(text) => Some(Data::Text(operation(text))),
        _ => value.text().map(|text| Data::Text(operation(&text))),
    }
}

/// A character of the code page of western Windows; Excel takes no others.
fn character(code: usize) -> Option<String> {
    let code = u8::try_from(code).ok().filter(|code| *code > 0)?;
    Some(encoding_rs::WINDOWS_1252.decode_without_bom_handling(&[code]).0.into_owned())
}

fn code(c: char) -> Data {
    let mut buffer = [0; 4];
    let (octets, _, _) = encoding_rs::WINDOWS_1252.encode(c.encode_utf8(&mut buffer));
    octets.first().map_or(Data::Unknown, |octet| Data::Number((*octet).into()))
}

fn substitute(text: &str, old: &str, new: &str, instance: Option<&Value>) -> Option<Data> {
    if old.is_empty() {
        return Some(Data::Text(text.to_owned()));
    }
    let times = text.matches(old).count();
    if text.len().saturating_add(times.saturating_mul(new.len())) > MAX_TEXT {
        return None;
    }
    let Some(instance) = instance.filter(|value| value.data != Data::Empty) else {
        return Some(Data::Text(text.replace(old, new)));
    };
    let wanted = instance.count()?.checked_sub(1)?;
    let Some((at, _)) = text.match_indices(old).nth(wanted) else { return Some(Data::Text(text.to_owned())) };
    let (head, tail) = text.split_at_checked(at)?;
    Some(Data::Text(format!("{head}{new}{}", tail.get(old.len()..)?)))
}

fn find(wanted: &str, text: &str, start: usize, ignores_case: bool) -> Data {
    let fold = |text: &str| if ignores_case { text.to_lowercase() } else { text.to_owned() };
    let (wanted, text) = (fold(wanted), fold(text));
    let skipped = start.saturating_sub(1);
    let from = text.char_indices().nth(skipped).map_or(text.len(), |(at, _)| at);
    let tail = text.get(from..).unwrap_or_default();
    match tail.find(&wanted) {
        Some(at) => {
            let before = tail.get(..at).map_or(0, |head| head.chars().count());
            number(before.saturating_add(skipped).saturating_add(1))
        }
        None => Data::Error,
    }
}

fn away(value: f64) -> f64 {
    if value < 0.0 { value.floor() } else { value.ceil() }
}

fn round(value: f64, digits: f64, operation: fn(f64) -> f64) -> f64 {
    let scale = 10_f64.powf(digits.clamp(-15.0, 15.0).trunc());
    operation(value * scale) / scale
}

fn number(count: usize) -> Data {
    Data::Number(precise(count))
}

#[allow(clippy::cast_precision_loss, reason = "counts are small")]
fn precise(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &str, arguments: &[Value]) -> String {
        call(name, arguments).unwrap().shown()
    }

    #[test]
    fn functions_do_what_those_of_excel_do() {
        let text = || Value::from("Abc Def");
        let cases = [
            (shown("CHAR", &[128.0.into()]), "€"),
            (shown("CODE", &["€".into()]), "128"),
            (shown("MID", &[text(), 2.0.into(), 3.0.into()]), "bc "),
            (shown("LEFT", &[text()]), "A"),
            (shown("RIGHT", &[text(), 3.0.into()]), "Def"),
            (shown("LEN", &[text()]), "7"),
            (shown("REPT", &["ab".into(), 3.0.into()]), "ababab"),
            (shown("SUBSTITUTE", &[text(), "e".into(), "".into()]), "Abc Df"),
            (shown("SUBSTITUTE", &["aXbX".into(), "X".into(), "-".into(), 2.0.into()]), "aXb-"),
            (shown("REPLACE", &[text(), 1.0.into(), 3.0.into(), "x".into()]), "x Def"),
            (shown("SEARCH", &["d".into(), text()]), "5"),
            (shown("FIND", &["d".into(), text()]), "…"),
            (shown("HEX2DEC", &["fF".into()]), "255"),
            (shown("MOD", &[(-3.0).into(), 5.0.into()]), "2"),
            (shown("ROUNDUP", &[1.21.into(), 1.0.into()]), "1.3"),
            (shown("SUM", &[Data::List(vec![1.0.into(), "x".into(), 2.0.into()]).into(), 4.0.into()]), "7"),
            (shown("T", &[5.0.into()]), ""),
            (shown("ISERROR", &[Data::Error.into()]), "TRUE"),
            (shown("AND", &[true.into(), Value::UNKNOWN]), "…"),
            (shown("OR", &[true.into(), Value::UNKNOWN]), "TRUE"),
            (shown("UPPER", &["a…".into()]), "A…"),
        ];
        for (found, expected) in cases {
            assert_eq!(found, expected);
        }
        assert!(call("EXEC", &[]).is_none());
    }

    #[test]
    fn absurd_arguments_come_to_nothing() {
        for (name, arguments) in [
            ("REPT", vec!["x".into(), 1e8.into()]),
            ("CHAR", vec![1e300.into()]),
            ("MID", vec!["x".into(), f64::NAN.into(), 1.0.into()]),
            ("SUBSTITUTE", vec!["a".repeat(60_000).into(), "a".into(), "b".repeat(60_000).into()]),
            ("CODE", vec!["".into()]),
        ] {
            assert_eq!(call(name, &arguments), Some(Value::UNKNOWN), "{name}");
        }
    }
}
