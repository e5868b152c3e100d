//! Statements ([MS-VBAL] 5.4): what each does to variables, and which calls it makes; loops that are followed.

use super::{MAX_CONDITION_TURNS, MAX_NESTING, MAX_TURNS, Walk, path_text};
use crate::vba::code::{
    self, Statement, after, assignment_sign, head_length, is_keyword, matching_parenthesis, split_list, starts_with,
};
use crate::vba::fold::{self, Value};
use crate::vba::token::{Kind, Token, Word};

/// A loop that is being followed.
struct Loop<'t, 'a> {
    /// Where a turn starts.
    start: usize,
    turns: usize,
    kind: LoopKind<'t, 'a>,
}

enum LoopKind<'t, 'a> {
    /// `For`: the variable, the values it still takes, the last first.
    Values(&'a str, Vec<Value>),
    /// `Do` or `While`, with the condition in front, if it stands there.
    Condition(Option<Statement<'t, 'a>>),
}

impl<'t, 'a> Walk<'_, 't, 'a> {
    /// Walks through the body of a procedure, following loops.
    pub(super) fn walk_body(&mut self, body: &[Statement<'t, 'a>]) {
        let mut loops: Vec<Loop<'t, 'a>> = Vec::new();
        let mut at = 0_usize;
        while let Some(statement) = body.get(at).filter(|_| !self.stop.stopped()) {
            self.steps = self.steps.saturating_add(statement.len());
            at = at.saturating_add(1);
            if let Some(turn) = self.begin_loop(statement, at) {
                if loops.len() < MAX_NESTING {
                    loops.push(turn);
                }
            } else if ["Next", "Loop", "Wend"].iter().any(|word| starts_with(statement, word)) {
                if let Some(start) = self.end_of_turn(statement, &mut loops) {
                    at = start;
                }
            } else {
                self.statement(statement);
            }
        }
    }

    /// The loop that `statement` begins. Its body is walked once at least, whatever its bounds.
    fn begin_loop(&mut self, statement: Statement<'t, 'a>, start: usize) -> Option<Loop<'t, 'a>> {
        let kind = if starts_with(statement, "For") {
            let is_each = starts_with(after(statement, 1), "Each");
            let name = code::name(after(statement, if is_each { 2 } else { 1 })).unwrap_or_default().lower;
            let mut values = if is_each { self.elements(statement) } else { self.range(statement) };
            values.reverse();
            let first = values.pop().unwrap_or_default();
            self.assign(name, first);
            LoopKind::Values(name, values)
        } else if starts_with(statement, "While") || starts_with(statement, "Do") {
            let has_condition = statement.len() > 1;
            self.statement(statement);
            LoopKind::Condition(has_condition.then_some(statement))
        } else {
            return None;
        };
        Some(Loop { start, turns: 0, kind })
    }

    /// `For i = a To b Step c`: the values of `i`, if the bounds are known.
    fn range(&mut self, statement: Statement<'t, 'a>) -> Vec<Value> {
        let bounds = self.list(after(statement, 3));
        let number = |n: usize| bounds.get(n).and_then(Value::number);
        let (Some(start), Some(end)) = (number(0), number(1)) else { return vec![Value::Unknown] };
        let step = number(2).unwrap_or(1.0);
        if step == 0.0 || (end - start) / step > MAX_TURNS || self.steps >= self.loop_limit {
            return vec![Value::Number(start)];
        }
        let mut values = Vec::new();
        let mut value = start;
        while (step > 0.0 && value <= end) || (step < 0.0 && value >= end) {
            values.push(Value::Number(value));
            value += step;
        }
        self.steps = self.steps.saturating_add(values.len() / 2);
        if values.is_empty() { vec![Value::Number(start)] } else { values }
    }

    /// `For Each x In list`: the elements, if the list is known.
    fn elements(&mut self, statement: Statement<'t, 'a>) -> Vec<Value> {
        match self.value(after(statement, 4)) {
            Value::List(elements) if !elements.is_empty() => elements,
            _ => vec![Value::Unknown],
        }
    }

    /// Where the next turn of the innermost loop starts, if there is one.
    fn end_of_turn(&mut self, statement: Statement<'t, 'a>, loops: &mut Vec<Loop<'t, 'a>>) -> Option<usize> {
        let mut innermost = loops.pop()?;
        innermost.turns = innermost.turns.saturating_add(1);
        let start = innermost.start;
        let goes_on = match &mut innermost.kind {
            LoopKind::Values(name, values) => {
                let name = *name;
                values.pop().map(|value| self.assign(name, value)).is_some()
            }
            LoopKind::Condition(front) => {
                let condition =
                    if starts_with(statement, "Loop") && statement.len() > 1 { Some(statement) } else { *front };
                condition.is_some_and(|condition| self.is_true(condition))
            }
        };
        if !goes_on || innermost.turns >= MAX_CONDITION_TURNS || self.steps >= self.loop_limit {
            return None;
        }
        loops.push(innermost);
        Some(start)
    }

    /// Whether the condition of `Do While …`, `Loop Until …` is known, and lets the loop go on.
    fn is_true(&mut self, statement: Statement<'t, 'a>) -> bool {
        const WORDS: &[&str] = &["do", "loop", "while", "until"];
        let words = statement.iter().take_while(|token| is_any_of(token, WORDS)).count();
        let until = statement.iter().take(words).any(|token| is_keyword(token, "Until"));
        let value = self.value(after(statement, words)).number();
        value.is_some_and(|value| (value != 0.0) != until)
    }

    fn statement(&mut self, statement: Statement<'t, 'a>) {
        let Some(Word { lower: first, .. }) = code::name(statement) else {
            return self.assignment_or_call(statement);
        };
        let next = statement.get(1).map(|token| token.kind);
        if matches!(next, Some(Kind::Sign('.' | '='))) {
            return self.assignment_or_call(statement);
        }
        match first {
            "if" | "elseif" | "while" | "until" | "case" | "select" | "do" | "loop" => {
                let words = ["if", "elseif", "while", "until", "case", "select", "do", "loop"];
                let is_word = |token: &&Token<'_>| is_any_of(token, &words);
                let count = statement.iter().take_while(is_word).count();
                self.value(after(statement, count));
            }
            "on" | "exit" | "goto" | "gosub" | "resume" | "return" | "stop" | "option" | "wend" | "event"
            | "implements" => {}
            "end" => {
                if statement.get(1).is_some_and(|token| is_keyword(token, "With")) {
                    self.with.pop();
                }
            }
            "with" => {
                // Only objects have members.
                let object = self.value(after(statement, 1));
                let path = after(statement, 1);
                let is_path = path.iter().all(|token| matches!(token.kind, Kind::Name(_) | Kind::Sign('.')));
                let object = match object {
                    Value::Object(class) => Value::Object(class),
                    // A control is worth its text, and has members all the same.
                    Value::Text(_) if is_path => Value::Object(path_text(path)),
                    _ => Value::Unknown,
                };
                self.with.push(if self.with.len() < MAX_NESTING { object } else { Value::Unknown });
            }
            "set" | "let" => self.assignment_or_call(after(statement, 1)),
            "call" => self.call_statement(after(statement, 1)),
            "dim" | "redim" | "static" | "const" | "private" | "public" | "global" => self.declaration(statement),
            "open" => self.open(statement),
            "name" => {
                let arguments = self.list(after(statement, 1));
                self.note(statement, "", "name", &arguments);
            }
            "print" | "put" | "write" | "get" | "input" | "line" | "close" if matches!(next, Some(Kind::Sign('#'))) => {
                let arguments = self.list(after(statement, 2));
                self.note(statement, "", &format!("{first}#"), &arguments);
            }
            _ => self.assignment_or_call(statement),
        }
    }

    /// `Open path For Binary Access Write As #1`
    fn open(&mut self, statement: Statement<'t, 'a>) {
        let at = statement.iter().position(|token| is_keyword(token, "For")).unwrap_or(statement.len());
        let path = self.value(statement.get(1..at).unwrap_or_default());
        let mode = code::name(after(statement, at.saturating_add(1))).unwrap_or_default();
        self.note(statement, "", "open#", &[path, Value::Text(mode.lower.to_owned())]);
    }

    /// `Dim x As New WshShell, y`, `Const a = "x"`: a typed variable is an object of its type.
    pub(super) fn declaration(&mut self, statement: Statement<'t, 'a>) {
        let words = ["dim", "redim", "static", "const", "private", "public", "global", "preserve", "withevents"];
        let is_word = |token: &&Token<'_>| is_any_of(token, &words);
        for item in split_list(statement) {
            let item = after(item, item.iter().take_while(is_word).count());
            let Some(Word { lower: name, .. }) = code::name(item) else { continue };
            if let Some(at) = item.iter().position(|token| token.kind == Kind::Sign('=')) {
                let value = self.value(after(item, at.saturating_add(1)));
                self.assign(name, value);
            } else if let Some(at) = item.iter().position(|token| is_keyword(token, "As")) {
                let class: Vec<&str> = after(item, at.saturating_add(1))
                    .iter()
                    .filter_map(|token| match token.kind {
                        Kind::Name(part) if part.lower != "new" => Some(part.lower),
                        _ => None,
                    })
                    .collect();
                if !is_plain_type(&class.join(".")) {
                    self.assign(name, Value::Object(class.join(".")));
                }
            }
        }
    }

    fn assignment_or_call(&mut self, statement: Statement<'t, 'a>) {
        match assignment_sign(statement) {
            Some(at) => self.assignment(statement, at),
            None => self.call_statement(statement),
        }
    }

    fn assignment(&mut self, statement: Statement<'t, 'a>, at: usize) {
        let target = statement.get(..at).unwrap_or_default();
        let value = self.value(after(statement, at.saturating_add(1)));
        match target {
            [Token { kind: Kind::Name(name), .. }] => self.assign(name.lower, value),
            [
                Token { kind: Kind::Name(name), .. },
                Token { kind: Kind::Sign('('), .. },
                index @ ..,
                Token { kind: Kind::Sign(')'), .. },
            ] if !index.iter().any(|token| token.kind == Kind::Sign(')'))
                || matching_parenthesis(target, 1) == target.len().checked_sub(1) =>
            {
                let index = self.value(index).number().and_then(fold::integer);
                self.assign_element(name.lower, index, value);
            }
            _ => self.assign_member(statement, target, value),
        }
    }

    /// `x.y = value`: the property of what stands before the last dot.
    fn assign_member(&mut self, statement: Statement<'t, 'a>, target: Statement<'t, 'a>, value: Value) {
        let Some((Token { kind: Kind::Name(member), .. }, before)) = target.split_last() else {
            self.value(target);
            return;
        };
        let object = before.split_last().map_or(&[][..], |(_, object)| object);
        let class = if object.is_empty() { self.with.last().cloned() } else { Some(self.value(object)) };
        let class = match class {
            Some(Value::Object(class)) => class,
            _ => path_text(object),
        };
        self.note(statement, &class, &format!("{}=", member.lower), &[value]);
    }

    /// `path.name arguments`, or with parentheses around the arguments.
    fn call_statement(&mut self, statement: Statement<'t, 'a>) {
        let at = head_length(statement);
        let (head, arguments) = (statement.get(..at).unwrap_or_default(), after(statement, at));
        if arguments.is_empty() {
            let is_bare = head.len() == 1;
            self.value(head);
            if let (true, Some(name)) = (is_bare, code::name(head)) {
                self.bare_call(statement, name.lower);
            }
            return;
        }
        let line = statement.first().map_or(0, |token| token.line);
        let sign = |sign| Token { kind: Kind::Sign(sign), line };
        let mut call = std::mem::take(&mut self.call);
        call.clear();
        call.extend(head.iter().copied().chain([sign('(')]).chain(arguments.iter().copied()).chain([sign(')')]));
        self.value(&call);
        self.call = call;
    }

    fn bare_call(&mut self, statement: Statement<'t, 'a>, name: &str) {
        if self.program.by_name.contains_key(name) {
            self.call_procedure(name, &[]);
        } else {
            self.note(statement, "", name, &[]);
        }
    }
}

/// Whether the token is one of these names.
fn is_any_of(token: &Token<'_>, names: &[&str]) -> bool {
    matches!(token.kind, Kind::Name(name) if names.contains(&name.lower))
}

fn is_plain_type(class: &str) -> bool {
    const PLAIN: &[&str] = &[
        "string", "variant", "integer", "long", "double", "single", "boolean", "byte", "date", "currency", "object",
        "longptr", "longlong", "decimal", "any", "",
    ];
    PLAIN.contains(&class)
}
