//! Expressions ([MS-VBAL] 5.6): operators by precedence, calls and members, without recursion.

use std::ops::Range;

use super::{HIDDEN_OBJECT, MAX_NESTING, OPENED_OBJECT, TEXT_PER_STEP, UNKNOWN_OBJECT, Walk, cut, path_text};
use crate::vba::code::{self, after};
use crate::vba::fold::{self, Value};
use crate::vba::token::{Kind, Token};

impl<'a> Walk<'_, '_, 'a> {
    /// The values of a list of expressions.
    pub(super) fn list(&mut self, tokens: &[Token<'a>]) -> Vec<Value> {
        self.steps = self.steps.saturating_add(tokens.len());
        let mut stack = std::mem::take(&mut self.frames);
        stack.push(Frame::default());
        let mut at = 0_usize;
        while let Some(token) = tokens.get(at) {
            let depth = stack.len();
            let Some(frame) = stack.last_mut() else { break };
            at = at.saturating_add(1);
            let next = tokens.get(at).map(|token| token.kind);
            match token.kind {
                Kind::Text(text) => {
                    frame.operand(Value::Text(unquoted(text.text)));
                    self.steps = self.steps.saturating_add(text.text.len() / TEXT_PER_STEP);
                }
                Kind::Number(number) => frame.operand(Value::Number(number)),
                Kind::Date => frame.operand(Value::Unknown),
                Kind::NamedArgument => {
                    frame.pop();
                    frame.has_operand = false;
                }
                Kind::End => {}
                Kind::Sign('(') if depth >= MAX_NESTING => {}
                Kind::Sign('(') if !frame.has_operand => stack.push(Frame::default()),
                Kind::Sign('(') => {
                    let callee = Callee { receiver: Some(frame.pop()), path: 0..0 };
                    stack.push(Frame { callee: Some(callee), ..Frame::default() });
                }
                Kind::Sign(')') => {
                    if stack.len() > 1 {
                        let closed = stack.pop().unwrap_or_default();
                        let value = self.close(closed, tokens, at.saturating_sub(1));
                        if let Some(outer) = stack.last_mut() {
                            outer.operand(value);
                        }
                    }
                }
                Kind::Sign(',' | ';') => frame.next_argument(),
                Kind::Sign('.' | '!') => {
                    if matches!(next, Some(Kind::Name(_))) {
                        let receiver =
                            if frame.has_operand { frame.pop() } else { self.with.last().cloned().unwrap_or_default() };
                        at = self.path(tokens, at, Some(receiver), &mut stack);
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
                    frame.operator(operator);
                }
                Kind::Name(name) => match word(name.lower, !frame.has_operand) {
                    Word::Operator(operator) => frame.operator(operator),
                    Word::Separator => frame.next_argument(),
                    Word::Skipped => {}
                    Word::New => {
                        let length = path_length(after(tokens, at));
                        let class = path_text(tokens.get(at..at.saturating_add(length)).unwrap_or_default());
                        at = at.saturating_add(length);
                        frame.operand(Value::Object(class));
                    }
                    Word::Operand => at = self.path(tokens, at.saturating_sub(1), None, &mut stack),
                },
            }
        }
        // What is left open is closed at the end.
        while stack.len() > 1 {
            let closed = stack.pop().unwrap_or_default();
            let value = self.close(closed, tokens, 0);
            if let Some(outer) = stack.last_mut() {
                outer.operand(value);
            }
        }
        let values = stack.pop().unwrap_or_default().finish();
        self.frames = stack;
        values
    }

    /// Reads `name.name…` at `start`; opens a frame if arguments follow. Returns what comes next.
    fn path(&mut self, tokens: &[Token<'a>], start: usize, receiver: Option<Value>, stack: &mut Vec<Frame>) -> usize {
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
        if matches!(tokens.get(at).map(|token| token.kind), Some(Kind::Sign('('))) && stack.len() < MAX_NESTING {
            stack.push(Frame { callee: Some(callee), ..Frame::default() });
            return at.saturating_add(1);
        }
        let value = self.resolve(callee, None, tokens, start);
        if let Some(frame) = stack.last_mut() {
            frame.operand(value);
        }
        at
    }

    fn close(&mut self, mut frame: Frame, tokens: &[Token<'a>], at: usize) -> Value {
        match frame.callee.take() {
            Some(callee) => {
                let arguments = if frame.values.is_empty() { Vec::new() } else { frame.finish() };
                self.resolve(callee, Some(arguments), tokens, at)
            }
            None => frame.finish().pop().unwrap_or_default(),
        }
    }

    /// What a name, a member or a call with arguments is worth that stands at `at`.
    fn resolve(&mut self, callee: Callee, arguments: Option<Vec<Value>>, tokens: &[Token<'a>], at: usize) -> Value {
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
        let text_size: usize = arguments.iter().flatten().map(Value::size).sum();
        self.steps = self.steps.saturating_add(text_size / TEXT_PER_STEP);
        match (receiver, path) {
            (None, [Token { kind: Kind::Name(name), .. }]) => self.resolve_name(name.lower, arguments, at),
            (None, [Token { kind: Kind::Name(first), .. }, middle @ .., Token { kind: Kind::Name(member), .. }]) => {
                let (first, member) = (first.lower, member.lower);
                let base = self.variable(first);
                if base.is_none() && self.program.is_module(first) && self.program.by_name.contains_key(member) {
                    return self.call_procedure(member, arguments.unwrap_or_default());
                }
                let class = match base {
                    Some(Value::Object(class)) => join_class(class, middle),
                    _ => join_class(first.to_owned(), middle),
                };
                self.resolve_member(&class, member, arguments, at)
            }
            (Some(Value::List(list)), []) => {
                let index = arguments
                    .as_ref()
                    .and_then(|arguments| arguments.first())
                    .and_then(Value::number)
                    .and_then(fold::integer);
                index
                    .and_then(|index| usize::try_from(index).ok())
                    .and_then(|index| list.get(index))
                    .cloned()
                    .unwrap_or_default()
            }
            (Some(receiver), [middle @ .., Token { kind: Kind::Name(member), .. }]) => {
                let class = match receiver {
                    Value::Object(class) => join_class(class, middle),
                    _ => join_class(UNKNOWN_OBJECT.to_owned(), middle),
                };
                self.resolve_member(&class, member.lower, arguments, at)
            }
            _ => Value::Unknown,
        }
    }

    fn resolve_name(&mut self, name: &'a str, arguments: Option<Vec<Value>>, at: &[Token<'a>]) -> Value {
        let variable = self.variable(name);
        let Some(arguments) = arguments else {
            if let Some(value) = variable.or_else(|| fold::constant(name)) {
                return value;
            }
            if self.program.by_name.contains_key(name) {
                return self.call_procedure(name, Vec::new());
            }
            if let Some(value) = self.placed(name) {
                return value;
            }
            self.note(at, "", name, Vec::new());
            let is_nothing =
                !self.program.assigned.contains(name) && !self.program.is_module(name) && !is_known_global(name);
            return if is_nothing { Value::Empty } else { Value::Unknown };
        };
        if let Some(Value::List(list)) = variable {
            let index = arguments
                .first()
                .and_then(Value::number)
                .and_then(fold::integer)
                .and_then(|index| usize::try_from(index).ok());
            return index.and_then(|index| list.get(index)).cloned().unwrap_or_default();
        }
        if self.program.by_name.contains_key(name) {
            return self.call_procedure(name, arguments);
        }
        let value = match name {
            "createobject" => arguments.first().map_or(Value::Unknown, |class| created(class, HIDDEN_OBJECT)),
            // `GetObject(, class)` asks for a running one.
            "getobject" => match arguments.as_slice() {
                [Value::Unknown, class, ..] | [class] => created(class, OPENED_OBJECT),
                [class, ..] => created(class, OPENED_OBJECT),
                [] => Value::Unknown,
            },
            _ if self.is_exhausted() => Value::Unknown,
            _ => fold::call(name, &arguments).unwrap_or_default(),
        };
        self.charge(&value);
        self.note(at, "", name, arguments);
        value
    }

    fn resolve_member(&mut self, class: &str, member: &str, arguments: Option<Vec<Value>>, at: &[Token<'a>]) -> Value {
        let arguments = arguments.unwrap_or_default();
        // A class module of the project may have such a member.
        if self.program.by_name.contains_key(member) {
            let result = self.call_procedure(member, arguments.clone());
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
            let result = self.call_procedure(&target, arguments.get(1..).unwrap_or_default().to_vec());
            self.note(at, class, member, arguments);
            return result;
        }
        if member == "startuppath" || member == "altstartuppath" {
            return Value::Text("%APPDATA%\\Microsoft\\Excel\\XLSTART".to_owned());
        }
        let value = match (class, member) {
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
                .and_then(Value::text)
                .map_or(Value::Unknown, |text| Value::Object(cut(text.to_lowercase()))),
            _ => {
                let mut path = [class, ".", member].concat();
                let argument = arguments.first().and_then(Value::as_text);
                if let Some(argument) = argument.filter(|text| !text.is_empty() && text.len() < 60) {
                    path.extend(["(", &argument.to_lowercase(), ")"]);
                }
                self.placed(&path).unwrap_or_else(|| Value::Object(cut(path)))
            }
        };
        self.note(at, class, member, arguments);
        value
    }
}

impl Walk<'_, '_, '_> {
    /// What stands in a form or a property, if that is what the path reads.
    fn placed(&mut self, path: &str) -> Option<Value> {
        let module = self.program.modules.get(self.place.0).map_or("", |(name, _)| name.as_str());
        let value = Value::Text(self.program.places.value(path, module)?.to_owned());
        self.charge(&value);
        (!self.is_exhausted()).then_some(value)
    }
}

/// The object that a class or a moniker names, as far as it is known.
fn created(class: &Value, unknown: &str) -> Value {
    let class = match class {
        Value::Partial(class) if class.contains(char::is_alphanumeric) => class.to_lowercase(),
        other => other.text().filter(|text| !text.is_empty()).map_or(unknown.to_owned(), |text| text.to_lowercase()),
    };
    Value::Object(cut(class))
}

/// An expression in the middle of being read: an argument list, or a pair of parentheses.
#[derive(Default)]
pub struct Frame {
    callee: Option<Callee>,
    /// The arguments that were read, and behind them the operands of the next one.
    values: Vec<Value>,
    /// How many were read.
    arguments: usize,
    operators: Vec<char>,
    /// The last thing read was an operand, so an operator or a separator comes next.
    has_operand: bool,
}

struct Callee {
    receiver: Option<Value>,
    /// Where `name.name…` stands in the list.
    path: Range<usize>,
}

/// `-` in front of an operand, and `Not`.
const NEGATE: char = '~';
const NOT: char = 'N';

impl Frame {
    fn operand(&mut self, value: Value) {
        if self.has_operand {
            self.next_argument();
        }
        self.values.push(value);
        self.has_operand = true;
    }

    fn operator(&mut self, operator: char) {
        if !self.has_operand {
            match operator {
                '-' => self.operators.push(NEGATE),
                NOT => self.operators.push(NOT),
                _ => {}
            }
            return;
        }
        while self.operators.last().is_some_and(|top| precedence(*top) >= precedence(operator)) {
            self.apply();
        }
        self.operators.push(operator);
        self.has_operand = false;
    }

    /// The last operand of the argument that is being read.
    fn pop(&mut self) -> Value {
        if self.values.len() > self.arguments { self.values.pop().unwrap_or_default() } else { Value::Unknown }
    }

    fn apply(&mut self) {
        let Some(operator) = self.operators.pop() else { return };
        let right = self.pop();
        let value = match operator {
            NEGATE => right.number().map_or(Value::Unknown, |number| Value::Number(-number)),
            NOT => right.number().and_then(fold::integer).map_or(Value::Unknown, |number| fold::truth(number == 0)),
            _ => fold::operate(operator, self.pop(), &right),
        };
        self.values.push(value);
    }

    fn next_argument(&mut self) {
        while !self.operators.is_empty() {
            self.apply();
        }
        let argument = self.pop();
        self.values.truncate(self.arguments);
        self.values.push(argument);
        self.arguments = self.values.len();
        self.has_operand = false;
    }

    fn finish(mut self) -> Vec<Value> {
        self.next_argument();
        self.values
    }
}

/// [MS-VBAL] 5.6.9.1
fn precedence(operator: char) -> u8 {
    match operator {
        '^' => 13,
        NEGATE => 12,
        '*' | '/' => 11,
        '\\' => 10,
        '%' => 9,
        '+' | '-' => 8,
        '&' => 7,
        '=' | '<' | '>' | '≤' | '≥' | '≠' | '?' => 6,
        NOT => 5,
        'n' => 4,
        'o' => 3,
        _ => 2,
    }
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
