//! Strings of PowerShell (`about_Operators`) put together without running anything: joined, formatted,
//! replaced, split, reversed, cast from numbers, kept in variables.
//!
//! Other scripts write strings alike, so they gain from it too. Frames of brackets stand on a stack; a
//! frame is reduced by precedence when it closes, and what is not understood stays as it is written.

use std::collections::HashMap;

use super::encoded;

mod lexer;
mod value;

use lexer::{Piece, pieces};
use value::{Value, method};

/// Brackets within each other that are kept apart.
const MAX_NESTING: usize = 60;
/// Octets of all strings that are put together.
const MAX_WORK: usize = 1 << 20;
/// Longest script that is looked at.
const MAX_SCRIPT: usize = 256 << 10;
/// Strings that are kept.
const MAX_STRINGS: usize = 512;

/// What a script's strings come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// The script with its strings put together, if anything was.
    pub text: Option<String>,
    /// Its strings.
    pub strings: Vec<String>,
    /// Strings that are scripts themselves.
    pub scripts: Vec<String>,
    /// Whether a limit left something out.
    pub is_cut: bool,
}

/// Puts the strings of a script, or of the command that calls it, together.
pub fn folded(text: &str) -> Folded {
    if !text.contains(['\'', '"', '`', '[']) {
        return Folded::default();
    }
    let script = argument(text);
    let mut fold = Fold {
        frames: vec![Frame::default()],
        has_changed: script.contains('`'),
        is_cut: script.len() > MAX_SCRIPT,
        ..Fold::default()
    };
    let script = script.get(..script.floor_char_boundary(MAX_SCRIPT)).unwrap_or(&script);
    for (piece, spaced) in pieces(script) {
        fold.piece(piece, spaced);
    }
    while fold.frames.len() > 1 {
        fold.close();
    }
    let items = fold.frames.pop().map(|frame| fold.reduce(frame.items)).unwrap_or_default();
    fold.keep(&items);
    fold.out.push_str(&shown(&items));
    let scripts = fold.strings.iter().filter(|string| is_script(string)).cloned().collect();
    let text = (fold.has_changed && fold.out != text).then_some(fold.out);
    Folded { text, strings: fold.strings, scripts, is_cut: fold.is_cut }
}

/// Whether a string says something as a script.
fn is_script(string: &str) -> bool {
    let lower = string.to_ascii_lowercase();
    let says = ["http", "download", "new-object", "invoke", "iex", "frombase64string", "replace", "start-process"]
        .iter()
        .any(|word| lower.contains(word));
    let is_address = ["http://", "https://"].iter().any(|scheme| lower.trim_start().starts_with(scheme));
    string.len() >= 24 && says && !is_address && string.contains(['(', '$', ';', ' '])
}

/// The script that a call of PowerShell takes: without the quotes around it, which the shell takes off.
fn argument(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let Some(at) = lower.find("powershell").or_else(|| lower.find("pwsh")) else { return text.to_owned() };
    let (head, rest) = text.split_at_checked(at).unwrap_or(("", text));
    // Only at the start is it what is called.
    if head.contains(['(', '\'', '$', ';']) {
        return text.to_owned();
    }
    let Some((open, _)) = rest.match_indices('"').find(|(at, _)| *at > "powershell.exe\"".len()) else {
        return text.to_owned();
    };
    let inner = rest.get(open.saturating_add(1)..).unwrap_or_default();
    let before = rest.get(..open).unwrap_or_default();
    if before.contains(['\'', '(', '$', '\\']) {
        return text.replace("\\\"", "\"");
    }
    let inner = inner.strip_suffix('"').unwrap_or(inner).replace("\\\"", "\"");
    format!("{head}{before} {inner}")
}

/// A piece of a frame, as far as it is understood.
#[derive(Clone, Debug, PartialEq)]
enum Item {
    Value(Value),
    /// Parentheses directly behind a name: what is passed.
    Arguments(Vec<Value>),
    /// Square brackets behind a value.
    Index(Vec<Value>),
    /// `[char]`, in lower case.
    Type(String),
    Variable(String),
    /// `-join`, in lower case, without the dash.
    Operator(String),
    Sign(char),
    /// Anything else, as it was written.
    Raw(String),
}

#[derive(Default)]
struct Frame {
    open: char,
    /// Whether a blank stands in front of it.
    spaced: bool,
    items: Vec<Item>,
}

#[derive(Default)]
struct Fold {
    frames: Vec<Frame>,
    variables: HashMap<String, Value>,
    strings: Vec<String>,
    out: String,
    work: usize,
    has_changed: bool,
    is_cut: bool,
}

impl Fold {
    fn piece(&mut self, piece: Piece, spaced: bool) {
        match piece {
            Piece::Open(sign) if self.frames.len() < MAX_NESTING => {
                return self.frames.push(Frame { open: sign, spaced, items: Vec::new() });
            }
            Piece::Close(sign) if self.frames.len() > 1 => {
                // One that lacks its end is closed by the next.
                let is_open = self.frames.iter().skip(1).any(|frame| closes(frame.open, sign));
                while is_open && let Some(open) = self.frames.last().map(|frame| frame.open) {
                    self.close();
                    if closes(open, sign) {
                        return;
                    }
                }
            }
            _ => {}
        }
        let item = match piece {
            Piece::Text(text) => Item::Value(Value::Text(text)),
            Piece::Expanded(text) => Item::Value(Value::Text(self.expanded(&text))),
            Piece::Number(number) => Item::Value(Value::Number(number)),
            Piece::Variable(name) => Item::Variable(name),
            Piece::Operator(name) => Item::Operator(name),
            Piece::End => return self.end_of_statement(),
            Piece::Word(word) => Item::Raw(word),
            Piece::Open(sign) | Piece::Close(sign) | Piece::Sign(sign) => Item::Sign(sign),
        };
        if let Some(frame) = self.frames.last_mut() {
            let follows_word = matches!(frame.items.last(), Some(Item::Raw(_)));
            if spaced && (matches!(item, Item::Raw(_)) || (follows_word && matches!(item, Item::Variable(_)))) {
                frame.items.push(Item::Sign(' '));
            }
            frame.items.push(item);
        }
    }

    /// `$name` within double quotes.
    fn expanded(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            let end = after.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(after.len());
            let (name, next) = after.split_at_checked(end).unwrap_or((after, ""));
            match self.variable(&name.to_ascii_lowercase()).as_ref().and_then(Value::text) {
                Some(value) if out.len() < MAX_SCRIPT => {
                    out.push_str(&value);
                    rest = next;
                }
                _ => {
                    out.push('$');
                    rest = after;
                }
            }
        }
        out.push_str(rest);
        out
    }

    /// What a variable holds, while there is room for copies.
    fn variable(&mut self, name: &str) -> Option<Value> {
        let size = self.variables.get(name)?.size();
        if self.charge(size) { self.variables.get(name).cloned() } else { None }
    }

    /// A semicolon or a line's end: in the outermost frame and in a block what came before is done.
    fn end_of_statement(&mut self) {
        let Some(frame) = self.frames.last_mut() else { return };
        let items = std::mem::take(&mut frame.items);
        let items = self.reduce(items);
        self.keep(&items);
        let text = format!("{};", shown(&items));
        if self.frames.len() == 1 {
            self.out.push_str(&text);
        } else if let Some(frame) = self.frames.last_mut() {
            frame.items.push(Item::Raw(text));
        }
    }

    /// Closes the innermost frame: a value if it is one.
    fn close(&mut self) {
        let Some(mut frame) = self.frames.pop() else { return };
        // `.Replace('x', $unset)`: a variable that nothing was assigned to is nothing.
        let called = self.frames.last().and_then(|outer| outer.items.last());
        if matches!(called, Some(Item::Raw(name)) if name.eq_ignore_ascii_case("replace")) {
            for item in &mut frame.items {
                if matches!(item, Item::Variable(name) if !self.variables.contains_key(name)) {
                    *item = Item::Value(Value::Text(String::new()));
                }
            }
        }
        let items = self.reduce(frame.items);
        let outer = self.frames.last_mut().map(|frame| &mut frame.items);
        let Some(outer) = outer else { return };
        let is_behind = !frame.spaced
            && matches!(
                outer.last(),
                Some(Item::Value(_) | Item::Raw(_) | Item::Variable(_) | Item::Arguments(_) | Item::Type(_))
            );
        let end = match frame.open {
            '[' => ']',
            '{' => '}',
            _ => ')',
        };
        let item = match (frame.open, items.as_slice()) {
            ('(', []) if is_behind => Item::Arguments(Vec::new()),
            ('(', [Item::Value(value)]) if is_behind && matches!(outer.last(), Some(Item::Raw(_))) => {
                Item::Arguments(value.clone().into_list())
            }
            ('(', [Item::Value(value)]) => {
                // `$(…)`, `@(…)`
                while matches!(outer.last(), Some(Item::Sign('$' | '@'))) {
                    outer.pop();
                }
                self.has_changed = true;
                Item::Value(value.clone())
            }
            ('[', [Item::Value(value)]) if is_behind => Item::Index(value.clone().into_list()),
            ('[', _) => Item::Type(shown(&items).replace([' ', '\''], "").to_ascii_lowercase()),
            _ => Item::Raw(format!("{}{}{end}", frame.open, shown(&items))),
        };
        let is_raw = matches!(item, Item::Raw(_));
        outer.push(item);
        if is_raw {
            self.keep(&items);
        }
    }

    fn keep(&mut self, items: &[Item]) {
        for item in items {
            let values = match item {
                Item::Value(value) => std::slice::from_ref(value),
                Item::Arguments(values) | Item::Index(values) => values.as_slice(),
                _ => continue,
            };
            for text in values.iter().flat_map(Value::texts).filter(|text| text.len() >= 4) {
                if self.strings.len() < MAX_STRINGS && !self.strings.contains(&text) {
                    self.strings.push(text);
                }
            }
        }
    }

    /// Whether there is room for this much more work.
    fn charge(&mut self, octets: usize) -> bool {
        self.work = self.work.saturating_add(octets);
        self.is_cut |= self.work > MAX_WORK;
        self.work <= MAX_WORK
    }

    /// Applies operators by precedence ([about_Operator_Precedence]).
    fn reduce(&mut self, items: Vec<Item>) -> Vec<Item> {
        let size: usize = items.iter().map(|item| if let Item::Value(value) = item { value.size() } else { 8 }).sum();
        if !self.charge(size) {
            return items;
        }
        let items = self.primary(items);
        let items = self.listed(items);
        let items = self.binary(items, &|item| *item == Item::Sign('…'), &|left, _, right| value::range(left, right));
        let is = |names: &'static [&'static str]| move |item: &Item| matches!(item, Item::Operator(name) if names.contains(&name.as_str()));
        let items = self.binary(items, &is(&["f"]), &|left, _, right| value::format(left, right));
        let items =
            self.binary(items, &|item| *item == Item::Sign('*'), &|left, _, right| value::repeated(left, right));
        let items = self.binary(items, &|item| *item == Item::Sign('+'), &|left, _, right| value::sum(left, right));
        let names = &["join", "split", "csplit", "isplit", "replace", "creplace", "ireplace"];
        let items = self.binary(items, &is(names), &|left, operator, right| match operator {
            Item::Operator(name) => value::operate(name, left, right),
            _ => None,
        });
        let items = self.mapped(items);
        self.assigned(items)
    }

    /// Values with commas between them become one list.
    fn listed(&mut self, items: Vec<Item>) -> Vec<Item> {
        let mut out: Vec<Item> = Vec::with_capacity(items.len());
        let mut is_list = false;
        for item in items {
            let is_next = is_list && matches!(out.as_slice(), [.., Item::Value(_), Item::Sign(',')]);
            match item {
                Item::Value(value) if is_next => {
                    out.pop();
                    if let Some(Item::Value(Value::List(list))) = out.last_mut() {
                        list.extend(value.into_list());
                    }
                }
                Item::Sign(',') if matches!(out.last(), Some(Item::Value(_))) => {
                    // What stands in front of the first comma is a list from here on.
                    if let Some(Item::Value(value)) = out.pop() {
                        out.push(Item::Value(Value::List(value.into_list())));
                    }
                    is_list = true;
                    out.push(Item::Sign(','));
                }
                other => out.push(other),
            }
        }
        out
    }

    /// Casts, members, indices, variables, and the operators in front of a value.
    fn primary(&mut self, items: Vec<Item>) -> Vec<Item> {
        let mut out: Vec<Item> = Vec::with_capacity(items.len());
        let mut rest = items.into_iter().peekable();
        while let Some(item) = rest.next() {
            let item = match item {
                Item::Variable(name) if rest.peek() != Some(&Item::Sign('=')) => {
                    self.variable(&name).map_or(Item::Variable(name), Item::Value)
                }
                other => other,
            };
            // What is applied to the value in front.
            let applied = match (&item, out.as_slice()) {
                (Item::Index(index), [.., Item::Value(value)]) => value::indexed(value, index).map(|value| (1, value)),
                (Item::Arguments(arguments), [.., Item::Value(value), Item::Sign('.'), Item::Raw(name)]) => {
                    method(value, name, arguments).map(|value| (3, value))
                }
                (
                    Item::Arguments(arguments),
                    [.., Item::Type(class), Item::Sign(':'), Item::Sign(':'), Item::Raw(name)],
                ) => value::static_method(class, name, arguments).map(|value| (4, value)),
                (
                    Item::Arguments(arguments),
                    [
                        ..,
                        Item::Type(_),
                        Item::Sign(':'),
                        Item::Sign(':'),
                        Item::Raw(_),
                        Item::Sign('.'),
                        Item::Raw(name),
                    ],
                ) if name.eq_ignore_ascii_case("getstring") => arguments
                    .first()
                    .and_then(Value::octets)
                    .and_then(|octets| encoded::text_of(&octets))
                    .map(|text| (6, Value::Text(text))),
                (Item::Value(value), [.., Item::Type(class)]) => value::cast(class, value).map(|value| (1, value)),
                _ => None,
            };
            match applied {
                Some((length, value)) => {
                    out.truncate(out.len().saturating_sub(length));
                    self.has_changed = true;
                    self.prefixed(&mut out, value);
                }
                None => match item {
                    Item::Value(value) => self.prefixed(&mut out, value),
                    other => out.push(other),
                },
            }
        }
        out
    }

    /// Pushes a value, with casts applied that stand in front of it.
    fn prefixed(&mut self, out: &mut Vec<Item>, value: Value) {
        let mut value = value;
        while let Some(Item::Type(class)) = out.last() {
            let Some(cast) = value::cast(class, &value) else { break };
            value = cast;
            out.pop();
            self.has_changed = true;
        }
        out.push(Item::Value(value));
    }

    fn binary(
        &mut self,
        items: Vec<Item>,
        is_operator: &dyn Fn(&Item) -> bool,
        apply: &dyn Fn(&Value, &Item, &Value) -> Option<Value>,
    ) -> Vec<Item> {
        if !items.iter().any(is_operator) {
            return items;
        }
        let mut out: Vec<Item> = Vec::with_capacity(items.len());
        for item in items {
            let applied = match (&item, out.as_slice()) {
                (Item::Value(right), [.., Item::Value(left), operator]) if is_operator(operator) => {
                    let size = left.size().saturating_add(right.size());
                    let value = if self.charge(size) { apply(left, operator, right) } else { None };
                    value.filter(|value| self.charge(value.size())).map(|value| (2, value))
                }
                // `-join $list`, `,'x'`
                (Item::Value(right), [.., operator @ Item::Operator(name)])
                    if is_operator(operator) && name == "join" =>
                {
                    value::operate(name, right, &Value::Text(String::new())).map(|value| (1, value))
                }
                _ => None,
            };
            match applied {
                Some((length, value)) => {
                    out.truncate(out.len().saturating_sub(length));
                    out.push(Item::Value(value));
                    self.has_changed = true;
                }
                None => out.push(item),
            }
        }
        out
    }

    /// `list | % { [char]($_ -bxor 35) }`: every number as its character.
    fn mapped(&mut self, items: Vec<Item>) -> Vec<Item> {
        let at =
            items.iter().position(|item| matches!(item, Item::Raw(raw) if raw.starts_with('{') && raw.contains("$_")));
        let Some(at) = at else { return items };
        let (before, after) = items.split_at_checked(at).unwrap_or((&items, &[]));
        let pipe = before.iter().rposition(|item| *item == Item::Sign('|'));
        let (Some(pipe), Some(Item::Raw(block))) = (pipe, after.first()) else { return items };
        let Some((Item::Value(list), head)) = before.get(..pipe).and_then(<[Item]>::split_last) else { return items };
        let block = block.to_ascii_lowercase();
        let key = block.split_once("bxor").and_then(|(_, key)| {
            let key: String = key
                .chars()
                .filter(|c| !matches!(c, ' ' | '\'' | '"' | '('))
                .take_while(|c| c.is_ascii_alphanumeric())
                .collect();
            lexer::number(&key)
        });
        if !block.contains("char") || (block.contains("bxor") && key.is_none()) {
            return items;
        }
        let Some(mapped) = value::characters(list, key.unwrap_or(0)) else { return items };
        self.has_changed = true;
        let tail = after.get(1..).unwrap_or_default();
        let mut out = head.to_vec();
        out.push(Item::Value(mapped));
        out.extend_from_slice(tail);
        let names = &["join"];
        self.binary(
            out,
            &|item| matches!(item, Item::Operator(name) if names.contains(&name.as_str())),
            &|left, operator, right| match operator {
                Item::Operator(name) => value::operate(name, left, right),
                _ => None,
            },
        )
    }

    /// `$name = value`
    fn assigned(&mut self, items: Vec<Item>) -> Vec<Item> {
        let items_of = items.iter().filter(|item| **item != Item::Sign(' ')).collect::<Vec<_>>();
        match items_of.as_slice() {
            [.., Item::Variable(name), Item::Sign('='), Item::Value(value)] => {
                self.variables.insert(name.clone(), value.clone());
            }
            [.., Item::Value(_), Item::Sign('+'), Item::Sign('='), Item::Value(_)] => {}
            _ => {}
        }
        items
    }
}

fn closes(open: char, close: char) -> bool {
    matches!((open, close), ('(', ')') | ('[', ']') | ('{', '}'))
}

/// The items as a script has them.
fn shown(items: &[Item]) -> String {
    let mut out = String::new();
    for item in items {
        match item {
            Item::Value(value) => out.push_str(&value.shown()),
            Item::Arguments(values) => {
                out.push('(');
                out.push_str(&Value::List(values.clone()).shown());
                out.push(')');
            }
            Item::Index(values) => {
                out.push('[');
                out.push_str(&Value::List(values.clone()).shown());
                out.push(']');
            }
            Item::Type(name) => {
                out.push('[');
                out.push_str(name);
                out.push(']');
            }
            Item::Variable(name) => {
                out.push('$');
                out.push_str(name);
            }
            Item::Operator(name) => {
                out.push_str(" -");
                out.push_str(name);
                out.push(' ');
            }
            Item::Sign('…') => out.push_str(".."),
            Item::Sign(sign) => out.push(*sign),
            Item::Raw(raw) => out.push_str(raw),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The strings that stand in a script, once put together.
    fn check(script: &str, expected: &str) {
        let found = folded(script);
        let text = found.text.clone().unwrap_or_else(|| script.to_owned());
        assert!(
            found.strings.iter().any(|string| string == expected) || text.contains(expected),
            "{script}: {found:?}"
        );
    }

    #[test]
    fn strings_are_put_together() {
        check("$u = 'http:'+'//a.ex'+\"ample\"", "http://a.example");
        check("IEX ('{1}{0}{2}' -f '//a.','http:','example')", "http://a.example");
        check("('hXXp://a.exYmple').Replace('XX','tt').replace('Y','a')", "http://a.example");
        check("('hqqqttp'+'://a.example') -creplace 'qqq',''", "http://a.example");
        check("'htQp://a.example' -rePlaCe ([char]81),'t'", "http://a.example");
        check("-join ('h','ttp','://a.example')", "http://a.example");
        check("('elpmaxe.a//:ptth'[-1..-16] -join '')", "http://a.example");
        check("[char]104+[chaR]0x74+'tp://a.example'", "http://a.example");
        check("[string]::join('',('http:','//a.example'))", "http://a.example");
        check("-join [char[]](104,116,116,112,58,47,47,97,46,98)", "http://a.b");
        check("(104,116,116,112,58,47,47,97,46,98 | % {[char]$_}) -join ''", "http://a.b");
        check("-join ((105,117,117,113,59,46,46,96,47,99)|ForEach-Object {[char]($_ -bxor 1)})", "http://a.b");
        check("$a='http';$b=\"://a.example\";$c=$a+$b", "http://a.example");
        check("$a='http';x \"$a`://a.example\"", "http://a.example");
        check(
            "[System.Text.Encoding]::UTF8.GetString([Convert]::FromBase64String('aHR0cDovL2EuZXhhbXBsZS8='))",
            "http://a.example/",
        );
        check("$a='http://a.example@http://b.example'.Split('@')", "http://b.example");
        check("powershell -nop -c \"$a='http:'+'//a.example'\"", "http://a.example");
        check("$u='httpqq://a.example'.replace('qq',$unset);x", "http://a.example");
        check("('x1y'.substring(1,1)+'abcde')", "1abcde");
        check("N`ew-Ob`ject 'x'", "New-Object");
    }

    #[test]
    fn scripts_within_strings_are_told() {
        let found = folded("iex ('(new-object net.webclient).downl'+'oadstring(''http://a.example'')')");
        assert_eq!(found.scripts, ["(new-object net.webclient).downloadstring('http://a.example')"]);
    }

    #[test]
    fn what_is_not_a_script_stays_as_it_is() {
        for text in [
            "",
            "it's \"so\"",
            "a [b] (c) {d}",
            "')]}",
            "[[[((({{{",
            "$",
            "'a'+",
            "-join",
            "'a'.b(",
            "$x=$x+$x",
            "'a'[9]",
            "'a'[1..99999999999]",
        ] {
            let found = folded(text);
            assert!(found.scripts.is_empty() && !found.is_cut, "{text}: {found:?}");
        }
    }

    #[test]
    fn hostile_scripts_cost_little() {
        for piece in [
            "(",
            "[",
            "{",
            "'a'+",
            "('a')+",
            "$a=$a+'b';",
            "$a=\"$a$a\";",
            "'a',",
            "[char]",
            "-join ",
            ";",
            "'a' -f ",
            "|%{$_}",
            "'a'*9999,",
        ] {
            folded(&format!("$a='{}';{}", "x".repeat(1000), piece.repeat(200_000 / piece.len())));
        }
    }
}
