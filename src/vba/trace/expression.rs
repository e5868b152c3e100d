//! Expressions ([MS-VBAL] 5.6): operators by precedence, calls and members, without recursion.

use super::reading::{Callee, NOT, Reading};
use super::{HIDDEN_OBJECT, MAX_NESTING, OPENED_OBJECT, TEXT_PER_STEP, UNKNOWN_OBJECT, Walk, cut, path_text};
use crate::vba::code::{self, after};
use crate::vba::fold::{self, Value};
use crate::vba::token::{Kind, Token};

impl<'a> Walk<'_, '_, 'a> {
    /// The values of a list of expressions; one at least.
    pub(super) fn list(&mut self, tokens: &[Token<'a>]) -> Vec<Value> {
        let mut reading = self.read(tokens);
        let values = reading.finish().collect();
        self.reading = reading;
        values
    }

    /// The value of an expression: of a list, the first.
    pub(super) fn value(&mut self, tokens: &[Token<'a>]) -> Value {
        let mut reading = self.read(tokens);
        let value = reading.finish().next().unwrap_or_default();
        self.reading = reading;
        value
    }

    fn read(&mut self, tokens: &[Token<'a>]) -> Reading {
        self.steps = self.steps.saturating_add(tokens.len());
        let mut reading = std::mem::take(&mut self.reading);
        reading.open(None);
        let mut at = 0_usize;
        while let Some(token) = tokens.get(at) {
            at = at.saturating_add(1);
            let next = tokens.get(at).map(|token| token.kind);
            match token.kind {
                Kind::Text(text) => {
                    reading.operand(Value::Text(unquoted(text.text)));
                    self.steps = self.steps.saturating_add(text.text.len() / TEXT_PER_STEP);
                }
                Kind::Number(number) => reading.operand(Value::Number(number)),
                Kind::Date => reading.operand(Value::Unknown),
                Kind::NamedArgument => reading.forget_name(),
                Kind::End => {}
                Kind::Sign('(') if reading.depth() >= MAX_NESTING => {}
                Kind::Sign('(') if !reading.has_operand() => reading.open(None),
                Kind::Sign('(') => {
                    let callee = Callee { receiver: Some(reading.pop()), path: 0..0 };
                    reading.open(Some(callee));
                }
                Kind::Sign(')') => {
                    if reading.depth() > 1 {
                        self.close(&mut reading, tokens, at.saturating_sub(1));
                    }
                }
                Kind::Sign(',' | ';') => reading.next_argument(),
                Kind::Sign('.' | '!') => {
                    if matches!(next, Some(Kind::Name(_))) {
                        let receiver = match reading.has_operand() {
                            true => reading.pop(),
                            false => self.with.last().cloned().unwrap_or_default(),
                        };
                        at = self.path(tokens, at, Some(receiver), &mut reading);
                    }
                }
                Kind::Sign(sign) => {
                    let (operator, length) = match (sign, next) {
                        ('<', Some(Kind::Sign('>'))) => ('≠', 1),
                        ('<', Some(Kind::Sign('='))) => ('≤', 1),
                        ('>', Some(Kind::Sign('='))) => ('≥', 1),
                        ('=', Some(Kind::Sign('<'))) => ('≤', 1),
                        ('=', Some(Kind::Sign('>'))) => ('≥', 1),
                        (sign, _) => (sign, 0),
                    };
                    at = at.saturating_add(length);
                    reading.operator(operator);
                }
                Kind::Name(name) => match word(name.lower, !reading.has_operand()) {
                    Word::Operator(operator) => reading.operator(operator),
                    Word::Separator => reading.next_argument(),
                    Word::Skipped => {}
                    Word::New => {
                        let length = path_length(after(tokens, at));
                        let class = path_text(tokens.get(at..at.saturating_add(length)).unwrap_or_default());
                        at = at.saturating_add(length);
                        reading.operand(Value::Object(class));
                    }
                    Word::Operand => at = self.path(tokens, at.saturating_sub(1), None, &mut reading),
                },
            }
        }
        // What is left open is closed at the end.
        while reading.depth() > 1 {
            self.close(&mut reading, tokens, 0);
        }
        reading
    }

    /// Reads `name.name…` at `start`, and opens the list of arguments if one follows. Returns what comes next.
    fn path(&mut self, tokens: &[Token<'a>], start: usize, receiver: Option<Value>, reading: &mut Reading) -> usize {
        let mut at = start;
        while code::name(after(tokens, at)).is_some() {
            at = at.saturating_add(1);
            let is_member = matches!(tokens.get(at).map(|token| token.kind), Some(Kind::Sign('.' | '!')))
                && code::name(after(tokens, at.saturating_add(1))).is_some();
            if !is_member {
                break;
            }
            at = at.saturating_add(1);
        }
        let callee = Callee { receiver, path: start..at };
        // A bang in front of arguments is a type suffix: `Run!(…)`.
        if matches!(tokens.get(at).map(|token| token.kind), Some(Kind::Sign('!')))
            && matches!(tokens.get(at.saturating_add(1)).map(|token| token.kind), Some(Kind::Sign('(')))
        {
            at = at.saturating_add(1);
        }
        if matches!(tokens.get(at).map(|token| token.kind), Some(Kind::Sign('('))) && reading.depth() < MAX_NESTING {
            reading.open(Some(callee));
            return at.saturating_add(1);
        }
        let value = self.resolve(callee, None, tokens, start);
        reading.operand(value);
        at
    }

    /// Closes the innermost list of arguments or pair of parentheses: what it is worth is an operand.
    fn close(&mut self, reading: &mut Reading, tokens: &[Token<'a>], at: usize) {
        let value = match reading.end() {
            Some(callee) => {
                let value = self.resolve(callee, Some(reading.arguments()), tokens, at);
                reading.close();
                value
            }
            None => reading.close(),
        };
        reading.operand(value);
    }

    /// What a name, a member or a call with arguments is worth that stands at `at`.
    fn resolve(&mut self, callee: Callee, arguments: Option<&[Value]>, tokens: &[Token<'a>], at: usize) -> Value {
        let Callee { receiver, path } = callee;
        let mut path = tokens.get(path).unwrap_or_default();
        let at = after(tokens, at);
        if receiver.is_none() {
            while let [Token { kind: Kind::Name(first), .. }, _, rest @ ..] = path
                && is_library(first.lower)
                && self.value_of(first.lower).is_none()
            {
                path = rest;
            }
        }
        let text_size: usize = arguments.unwrap_or_default().iter().map(Value::size).sum();
        self.steps = self.steps.saturating_add(text_size / TEXT_PER_STEP);
        match (receiver, path) {
            (None, [Token { kind: Kind::Name(name), .. }]) => self.resolve_name(name.lower, arguments, at),
            (None, [Token { kind: Kind::Name(first), .. }, middle @ .., Token { kind: Kind::Name(member), .. }]) => {
                let (first, member) = (first.lower, member.lower);
                let base = self.variable(first);
                if base.is_none() && self.program.is_module(first) && self.meaning(member).is_procedure {
                    return self.call_procedure(member, arguments.unwrap_or_default());
                }
                let class = match base {
                    Some(Value::Object(class)) => join_class(class, middle),
                    _ => join_class(first.to_owned(), middle),
                };
                self.resolve_member(class, member, arguments.unwrap_or_default(), at)
            }
            (Some(Value::List(list)), []) => element(&list, arguments.unwrap_or_default()),
            (Some(receiver), [middle @ .., Token { kind: Kind::Name(member), .. }]) => {
                let class = match receiver {
                    Value::Object(class) => join_class(class, middle),
                    _ => join_class(UNKNOWN_OBJECT.to_owned(), middle),
                };
                self.resolve_member(class, member.lower, arguments.unwrap_or_default(), at)
            }
            _ => Value::Unknown,
        }
    }

    fn resolve_name(&mut self, name: &'a str, arguments: Option<&[Value]>, at: &[Token<'a>]) -> Value {
        let variable = self.variable(name);
        let Some(arguments) = arguments else {
            if let Some(value) = variable {
                return value;
            }
            let meaning = self.meaning(name);
            if meaning.is_constant
                && let Some(value) = fold::constant(name)
            {
                return value;
            }
            if meaning.is_procedure {
                return self.call_procedure(name, &[]);
            }
            if let Some(value) = self.placed(name) {
                return value;
            }
            if meaning.matters {
                self.note(at, "", name, &[]);
            }
            return if meaning.is_nothing { Value::Empty } else { Value::Unknown };
        };
        if let Some(Value::List(list)) = variable {
            return element(&list, arguments);
        }
        let meaning = self.meaning(name);
        if meaning.is_procedure {
            return self.call_procedure(name, arguments);
        }
        let value = match name {
            "createobject" => arguments.first().map_or(Value::Unknown, |class| created(class, HIDDEN_OBJECT)),
            // `GetObject(, class)` asks for a running one.
            "getobject" => match arguments {
                [Value::Unknown, class, ..] | [class] => created(class, OPENED_OBJECT),
                [class, ..] => created(class, OPENED_OBJECT),
                [] => Value::Unknown,
            },
            _ if self.is_exhausted() => Value::Unknown,
            _ => fold::call(name, arguments).unwrap_or_default(),
        };
        self.charge(&value);
        if meaning.matters {
            self.note(at, "", name, arguments);
        }
        value
    }

    fn resolve_member(&mut self, class: String, member: &'a str, arguments: &[Value], at: &[Token<'a>]) -> Value {
        let meaning = self.meaning(member);
        // A class module of the project may have such a member.
        if meaning.is_procedure {
            let result = self.call_procedure(member, arguments);
            if result.is_known() {
                return result;
            }
        }
        // `Application.Run "Module1.Main", 1, 2`
        if member == "run"
            && class == "application"
            && let Some(target) = arguments.first().and_then(Value::target)
            && self.program.by_name.contains_key(target.as_str())
        {
            let result = self.call_procedure(&target, arguments.get(1..).unwrap_or_default());
            self.note(at, &class, member, arguments);
            return result;
        }
        if member == "startuppath" || member == "altstartuppath" {
            return Value::Text("%APPDATA%\\Microsoft\\Excel\\XLSTART".to_owned());
        }
        if meaning.matters {
            self.note(at, &class, member, arguments);
        }
        match (class.as_str(), member) {
            (UNKNOWN_OBJECT, _) => Value::Unknown,
            ("application.worksheetfunction" | "worksheetfunction", "bitxor" | "bitand" | "bitor") => {
                let sign = match member {
                    "bitxor" => 'x',
                    "bitand" => 'n',
                    _ => 'o',
                };
                let mut numbers = arguments.iter().cloned();
                let left = numbers.next().unwrap_or_default();
                fold::operate(sign, left, &numbers.next().unwrap_or_default())
            }
            (_, "createobject") => arguments
                .first()
                .and_then(Value::as_text)
                .map_or(Value::Unknown, |text| Value::Object(cut(text.to_lowercase()))),
            _ => {
                let mut path = class;
                path.extend([".", member]);
                let argument = arguments.first().and_then(Value::as_text);
                if let Some(argument) = argument.filter(|text| !text.is_empty() && text.len() < 60) {
                    path.extend(["(", &argument.to_lowercase(), ")"]);
                }
                self.placed(&path).unwrap_or_else(|| Value::Object(cut(path)))
            }
        }
    }
}

impl<'a> Walk<'_, '_, 'a> {
    /// What stands in a form or a property, if that is what the path reads.
    fn placed(&mut self, path: &str) -> Option<Value> {
        let module = self.program.modules.get(self.place.0).map_or("", |(name, _)| name.as_str());
        let value = Value::Text(self.program.places.value(path, module)?.to_owned());
        self.charge(&value);
        (!self.is_exhausted()).then_some(value)
    }

    /// What a name means wherever it stands. Told once, since it takes a few looks.
    fn meaning(&mut self, name: &'a str) -> Meaning {
        if let Some(meaning) = self.meanings.get(name) {
            return *meaning;
        }
        let program = self.program;
        let is_assigned = program.assigned.contains(name);
        let meaning = Meaning {
            is_procedure: program.by_name.contains_key(name),
            is_constant: fold::constant(name).is_some(),
            is_nothing: !is_assigned && !program.is_module(name) && !is_known_global(name),
            matters: (self.matters)(name),
        };
        self.meanings.insert(name, meaning);
        meaning
    }
}

/// What a name means wherever it stands.
#[derive(Clone, Copy)]
pub struct Meaning {
    /// The project has such a procedure.
    is_procedure: bool,
    /// VBA's library has such a constant.
    is_constant: bool,
    /// Nobody gives it a value.
    is_nothing: bool,
    /// A rule is about its calls.
    matters: bool,
}

/// The element of an array.
fn element(list: &[Value], index: &[Value]) -> Value {
    let index = index.first().and_then(Value::number).and_then(fold::integer);
    index.and_then(|index| list.get(usize::try_from(index).ok()?)).cloned().unwrap_or_default()
}

/// The object that a class or a moniker names, as far as it is known. What cannot be the name of a class was not
/// computed as the application does: it is kept behind `unknown`.
fn created(class: &Value, unknown: &str) -> Value {
    let is_odd = |text: &str| text.contains(char::is_control);
    let (text, is_known) = match class {
        Value::Partial(text) => (text.to_lowercase(), text.contains(['.', ':']) && !is_odd(text)),
        other => {
            let text = other.text().unwrap_or_default().to_lowercase();
            let is_known = !text.is_empty() && !is_odd(&text);
            (text, is_known)
        }
    };
    Value::Object(cut(if is_known { text } else { format!("{unknown}{text}") }))
}

/// What a name in an expression is.
enum Word {
    Operand,
    Operator(char),
    Separator,
    Skipped,
    New,
}

fn word(name: &str, wants_operand: bool) -> Word {
    match name {
        _ if name.len() > "addressof".len() => Word::Operand,
        "not" => Word::Operator(NOT),
        "new" if wants_operand => Word::New,
        "byval" | "byref" | "addressof" | "typeof" if wants_operand => Word::Skipped,
        "mod" if !wants_operand => Word::Operator('%'),
        "and" if !wants_operand => Word::Operator('n'),
        "or" if !wants_operand => Word::Operator('o'),
        "xor" if !wants_operand => Word::Operator('x'),
        "eqv" | "imp" | "like" | "is" if !wants_operand => Word::Operator('?'),
        "to" | "step" | "as" | "in" if !wants_operand => Word::Separator,
        _ => Word::Operand,
    }
}

/// How many tokens `name.name…` takes.
fn path_length(tokens: &[Token<'_>]) -> usize {
    let is_part = |token: &&Token<'_>| matches!(token.kind, Kind::Name(_) | Kind::Sign('.' | '!'));
    tokens.iter().take_while(is_part).count()
}

/// A class and what stands behind it: `.name.name`.
fn join_class(class: String, path: &[Token<'_>]) -> String {
    let mut text = class;
    for token in path {
        let Kind::Name(name) = token.kind else { continue };
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(name.lower);
    }
    cut(text)
}

/// The content of a string: quotes within are doubled.
fn unquoted(text: &str) -> String {
    if text.contains('"') { text.replace("\"\"", "\"") } else { text.to_owned() }
}

/// Libraries whose functions are the same without their name ([MS-VBAL] 6.1.2).
fn is_library(name: &str) -> bool {
    const LIBRARIES: &[&str] =
        &["vba", "interaction", "strings", "conversion", "information", "math", "filesystem", "datetime", "global"];
    LIBRARIES.contains(&name)
}

/// Names that mean something without an assignment: objects and functions of the application,
/// constants of its libraries, controls of the module's form.
fn is_known_global(name: &str) -> bool {
    const GLOBALS: &[&str] = &[
        "activecell",
        "activedocument",
        "activesheet",
        "activewindow",
        "activeworkbook",
        "application",
        "cells",
        "date",
        "err",
        "me",
        "name",
        "now",
        "path",
        "range",
        "rnd",
        "selection",
        "sheets",
        "thisdocument",
        "thisworkbook",
        "time",
        "timer",
        "username",
        "workbooks",
        "worksheets",
    ];
    let is_constant = ["vb", "wd", "xl", "mso", "pp", "ol", "ad"].iter().any(|prefix| name.starts_with(prefix));
    GLOBALS.contains(&name) || is_constant
}
