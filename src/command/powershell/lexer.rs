//! A script as pieces: strings without their quotes, names without backticks.

/// A piece of a script.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// A string whose characters stand for themselves.
    Text(String),
    /// A string in which variables are replaced.
    Expanded(String),
    /// A number.
    Number(i64),
    /// `$name` in lower case.
    Variable(String),
    /// `-name` in lower case, without its dash.
    Operator(String),
    /// Letters, as they are written.
    Word(String),
    /// An opening bracket.
    Open(char),
    /// A closing bracket.
    Close(char),
    /// A semicolon or a line's end.
    End,
    /// Any other sign; `…` stands for two dots.
    Sign(char),
}

/// The pieces of a script, each with whether a blank stands in front of it.
pub fn pieces(script: &str) -> Vec<(Piece, bool)> {
    let mut found: Vec<(Piece, bool)> = Vec::new();
    let mut rest = script;
    let mut spaced = false;
    while let Some(first) = rest.chars().next() {
        let (piece, length) = match first {
            ' ' | '\t' | '\r' | '`' => {
                spaced |= first != '`';
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            '\n' | ';' => (Piece::End, 1),
            '\'' | '‘' | '’' => single(rest, first),
            '"' | '“' | '”' => double(rest, first),
            '(' | '[' | '{' => (Piece::Open(first), 1),
            ')' | ']' | '}' => (Piece::Close(first), 1),
            '$' => variable(rest),
            '.' if rest.starts_with("..") => (Piece::Sign('…'), 2),
            '-' => operator(rest, found.last().map(|(piece, _)| piece), spaced),
            '0'..='9' => digits(rest),
            _ if is_letter(first) => word(rest),
            _ => (Piece::Sign(first), first.len_utf8()),
        };
        found.push((piece, spaced));
        spaced = false;
        rest = rest.get(length.max(1)..).unwrap_or_default();
    }
    found
}

fn is_letter(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// `'it''s'`
fn single(rest: &str, quote: char) -> (Piece, usize) {
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1).peekable();
    let is_quote = |c: char| c == quote || matches!((quote, c), ('‘' | '’', '‘' | '’'));
    while let Some((at, c)) = characters.next() {
        if is_quote(c) {
            if characters.peek().is_some_and(|(_, next)| is_quote(*next)) {
                characters.next();
            } else {
                return (Piece::Text(text), at.saturating_add(c.len_utf8()));
            }
        }
        text.push(c);
    }
    // One that lacks its end is a sign of its own, so that what follows is still read.
    (Piece::Sign(quote), quote.len_utf8())
}

/// `"a `"quoted`" $name"`
fn double(rest: &str, quote: char) -> (Piece, usize) {
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1).peekable();
    let is_quote = |c: char| c == quote || matches!((quote, c), ('“' | '”', '“' | '”'));
    while let Some((at, c)) = characters.next() {
        match c {
            '`' => text.extend(characters.next().map(|(_, c)| match c {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                '0' => '\0',
                other => other,
            })),
            _ if is_quote(c) => {
                if characters.peek().is_some_and(|(_, next)| is_quote(*next)) {
                    characters.next();
                    text.push(c);
                } else {
                    return (Piece::Expanded(text), at.saturating_add(c.len_utf8()));
                }
            }
            _ => text.push(c),
        }
    }
    (Piece::Sign(quote), quote.len_utf8())
}

/// `$name`, `${name}`, `$env:name`
fn variable(rest: &str) -> (Piece, usize) {
    let after = rest.get(1..).unwrap_or_default();
    if let Some(inner) = after.strip_prefix('{')
        && let Some(end) = inner.find('}')
    {
        let name = inner.get(..end).unwrap_or_default().replace('`', "").to_lowercase();
        return (Piece::Variable(name), end.saturating_add(3));
    }
    let length = after.find(|c: char| !(is_letter(c) || c == ':')).unwrap_or(after.len());
    let name = after.get(..length).unwrap_or_default().trim_end_matches(':');
    if name.is_empty() {
        return (Piece::Sign('$'), 1);
    }
    (Piece::Variable(name.to_lowercase()), name.len().saturating_add(1))
}

/// `-join`; a dash in front of digits is a sign of the number, within a word it belongs to it.
fn operator(rest: &str, previous: Option<&Piece>, spaced: bool) -> (Piece, usize) {
    let after = rest.get(1..).unwrap_or_default();
    let follows_value = matches!(previous, Some(Piece::Number(_) | Piece::Close(_) | Piece::Variable(_)));
    if after.starts_with(|c: char| c.is_ascii_digit()) && (!follows_value || spaced) {
        let (piece, length) = digits(after);
        let piece = if let Piece::Number(number) = piece { Piece::Number(number.saturating_neg()) } else { piece };
        return (piece, length.saturating_add(1));
    }
    let (Piece::Word(name), length) = word(after) else { return (Piece::Sign('-'), 1) };
    if name.is_empty() {
        return (Piece::Sign('-'), 1);
    }
    if matches!(previous, Some(Piece::Word(_))) && !spaced {
        return (Piece::Word(format!("-{name}")), length.saturating_add(1));
    }
    (Piece::Operator(name.to_ascii_lowercase()), length.saturating_add(1))
}

fn digits(rest: &str) -> (Piece, usize) {
    let length = rest.find(|c: char| !is_letter(c)).unwrap_or(rest.len());
    let text = rest.get(..length).unwrap_or_default();
    match number(text) {
        Some(number) => (Piece::Number(number), length),
        None => (Piece::Word(text.to_owned()), length),
    }
}

/// A number, also `0x1F`.
pub fn number(text: &str) -> Option<i64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => i64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Letters, between which backticks mean nothing.
fn word(rest: &str) -> (Piece, usize) {
    let length = rest.find(|c: char| !(is_letter(c) || c == '`')).unwrap_or(rest.len());
    let text = rest.get(..length).unwrap_or_default();
    (Piece::Word(text.replace('`', "")), length)
}
