//! Walks through a project's procedures without running them, computes what can be computed
//! ([`super::fold`]) and notes the calls that matter, with what is known of their arguments.
//!
//! Every statement of every procedure is walked, in order, whatever conditions say; loops whose
//! bounds are known are followed. A procedure is walked once for each set of arguments its callers
//! are known to pass, in a few rounds, so that what a function returns is known to its callers;
//! after the first round only those are walked that can learn something ([`memory`]).
//! One budget covers loops and texts; when it is spent, the walk goes on without them, so that
//! every call is seen.

mod expression;
mod memory;
#[cfg(test)]
mod tests;

use std::rc::Rc;

use foldhash::{HashMap, HashMapExt};

use super::code::{
    self, Statement, after, assignment_sign, head_length, is_keyword, matching_parenthesis, split_list, starts_with,
};
use super::fold::{self, Value};
use super::program::Program;
use super::token::{Kind, Token, Word};
use crate::command::program as command;
use crate::scan::Stop;
use expression::Frame;
use memory::{Arguments, Found, Memory, Passage, Place};

/// Tokens that are walked before computing ends, and octets of text that count as one. A large
/// honest project has 300,000 tokens; a decoder runs through some 10,000 characters.
const MAX_STEPS: usize = 3_000_000;
const TEXT_PER_STEP: usize = 64;
/// Tokens that one walk through a procedure may spend before its loops are no longer followed.
const MAX_LOOP_STEPS: usize = 500_000;
/// Rounds over all procedures: each lets a result travel one call further.
const MAX_ROUNDS: usize = 4;
/// Tokens that all walks through one procedure may spend in a round, before the sets that are left
/// count as unknown.
const MAX_CONTEXT_STEPS: usize = 200_000;
/// Calls that are noted.
const MAX_CALLS: usize = 100_000;
/// Times that a loop is followed: the characters of a long encoded command.
const MAX_TURNS: f64 = 20_000.0;
const MAX_CONDITION_TURNS: usize = 20_000;
/// Longest argument that is noted, in octets: Windows takes command lines of 32 KiB.
const MAX_ARGUMENT: usize = 32 << 10;
/// What is left of longer ones, and of all once [`MAX_NOTED`] octets of them are noted.
const SHORTENED: usize = 1000;
/// Arguments of a call; VBA takes 60.
const MAX_ARGUMENTS: usize = 60;
/// Octets of all arguments that are noted.
const MAX_NOTED: usize = 16 << 20;
/// Open loops, `With` blocks, and parentheses within each other, whose meaning is kept; no compiler takes more.
const MAX_NESTING: usize = 500;
/// Texts that are kept beside the calls.
const MAX_TEXTS: usize = 16;
/// Longest class of an object that is kept.
const MAX_CLASS: usize = 200;

/// The class of what an unknown expression gives.
pub const UNKNOWN_OBJECT: &str = "?";
/// The class of an object that was created by a name that is not known.
pub const HIDDEN_OBJECT: &str = "?created";
/// The class of an object that was opened from a path or moniker that is not known.
pub const OPENED_OBJECT: &str = "?opened";

/// A call, or the setting of a property.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The module, by position.
    pub module: usize,
    /// The procedure, by position in [`Program::procedures`]; `None` at module level.
    pub procedure: Option<usize>,
    /// The line in the module.
    pub line: u32,
    /// What it is called on, in lower case: a class such as `wscript.shell` where it is known,
    /// else the path in the source such as `application`; empty for a bare name.
    pub class: String,
    /// The function or member, in lower case; `name=` where a property is set.
    pub name: String,
    /// The arguments, as far as they are known.
    pub arguments: Vec<Value>,
}

/// What a walk through a program finds.
#[derive(Debug, Default, PartialEq)]
pub struct Trace {
    /// Every call whose name matters. One that is computed differently in two rounds stands twice.
    pub calls: Vec<Call>,
    /// Texts that the code computes and that hold a command or an address.
    pub texts: Vec<String>,
    /// There are more calls than are noted.
    pub is_cut: bool,
    /// How often a procedure, or the declarations of a module, was walked through.
    pub walks: usize,
}

/// Walks the program and notes the calls whose name `matters` (given in lower case).
/// Ends early if asked to `stop`.
pub fn trace(program: &Program<'_, '_>, matters: &dyn Fn(&str) -> bool, stop: &Stop) -> Trace {
    let trace = Walk::new(program, matters, stop).trace();
    #[cfg(test)]
    tests::compare_with_thorough(&trace, program, matters, stop);
    trace
}

struct Walk<'p, 't, 'a> {
    program: &'p Program<'t, 'a>,
    matters: &'p dyn Fn(&str) -> bool,
    stop: &'p Stop,
    /// Whether nothing is repeated without being walked: the slow way, to compare with.
    is_thorough: bool,
    walks: usize,
    steps: usize,
    /// Up to here loops of the current procedure are followed.
    loop_limit: usize,
    /// Calls of this round, and octets of their arguments.
    count: usize,
    noted: usize,
    /// Calls of the current passage.
    calls: Vec<Call>,
    memory: Memory<'p, 't, 'a>,
    /// Room for expressions that are being read.
    frames: Vec<Frame>,
    locals: HashMap<&'a str, Value>,
    with: Vec<Value>,
    place: Place,
    result: Value,
    texts: Vec<String>,
}

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

impl<'p, 't, 'a> Walk<'p, 't, 'a> {
    fn new(program: &'p Program<'t, 'a>, matters: &'p dyn Fn(&str) -> bool, stop: &'p Stop) -> Self {
        Self {
            program,
            matters,
            stop,
            is_thorough: false,
            walks: 0,
            steps: 0,
            loop_limit: 0,
            count: 0,
            noted: 0,
            calls: Vec::new(),
            memory: Memory::new(program),
            frames: Vec::new(),
            locals: HashMap::new(),
            with: Vec::new(),
            place: (0, None),
            result: Value::Unknown,
            texts: Vec::new(),
        }
    }

    fn trace(mut self) -> Trace {
        let (mut passages, mut earlier) = (Vec::new(), Vec::new());
        for _ in 0..MAX_ROUNDS {
            earlier = passages;
            passages = self.round();
            // What goes the same ways comes to the same end.
            if is_same(&passages, &earlier) || self.is_exhausted() || self.stop.stopped() {
                break;
            }
        }
        let shared = kept_texts(self.memory.globals());
        self.add_texts(shared);
        let (is_exhausted, is_cut) = (self.is_exhausted(), self.count >= MAX_CALLS);
        let Self { memory, texts, walks, .. } = self;
        drop(memory);
        if !is_exhausted {
            // The round before may have computed what the last one no longer could.
            earlier.clear();
        }
        let mut calls = Vec::new();
        for passage in passages.into_iter().chain(earlier) {
            match Rc::try_unwrap(passage) {
                Ok(passage) => calls.extend(passage.found.calls),
                Err(shared) => calls.extend(shared.found.calls.iter().cloned()),
            }
        }
        Trace { calls, texts, is_cut, walks }
    }

    /// Goes through everything once.
    fn round(&mut self) -> Vec<Rc<Passage<'a>>> {
        (self.count, self.noted) = (0, 0);
        let contexts = self.memory.contexts();
        let mut passages = Vec::with_capacity(self.program.modules.len().saturating_add(contexts.len()));
        for module in 0..self.program.modules.len() {
            let nothing = self.memory.nothing();
            passages.push(self.passage((module, None), &nothing));
        }
        for ((module, _), (index, sets)) in self.program.procedures.iter().zip(contexts.into_iter().enumerate()) {
            let start = self.steps;
            for arguments in sets {
                passages.push(self.passage((*module, Some(index)), &arguments));
                if self.is_exhausted() || self.steps.saturating_sub(start) > MAX_CONTEXT_STEPS {
                    // Once is enough to see each call.
                    break;
                }
            }
        }
        passages
    }

    /// Walks through a place, or repeats an earlier passage where walking would come to the same.
    fn passage(&mut self, place: Place, arguments: &Rc<Arguments>) -> Rc<Passage<'a>> {
        let earlier = self.memory.repeatable(place, arguments);
        let Some(earlier) = earlier.filter(|earlier| !self.is_thorough && self.has_room_for(&earlier.found)) else {
            return self.walk(place, arguments);
        };
        self.memory.repeat(&earlier);
        // It counts as walked, so that the limits mean the same.
        let Found { calls, noted, steps } = &earlier.found;
        self.steps = self.steps.saturating_add(*steps);
        self.noted = self.noted.saturating_add(*noted);
        self.count = self.count.saturating_add(calls.len());
        earlier
    }

    /// Whether no limit is reached by finding the same again.
    fn has_room_for(&self, found: &Found) -> bool {
        self.steps.saturating_add(found.steps) < MAX_STEPS
            && self.noted.saturating_add(found.noted) < MAX_NOTED
            && self.count.saturating_add(found.calls.len()) < MAX_CALLS
    }

    fn walk(&mut self, place: Place, arguments: &Rc<Arguments>) -> Rc<Passage<'a>> {
        let program = self.program;
        let (steps, noted) = (self.steps, self.noted);
        self.walks = self.walks.saturating_add(1);
        self.place = place;
        self.with.clear();
        self.locals.clear();
        self.memory.begin();
        match place.1.and_then(|index| program.procedure(index)) {
            Some(procedure) => {
                for (number, name) in procedure.parameters.iter().enumerate() {
                    self.locals.insert(name, arguments.value(number));
                }
                self.loop_limit = self.steps.saturating_add(MAX_LOOP_STEPS).min(MAX_STEPS);
                self.walk_body(&procedure.body);
            }
            None => {
                let declarations = program.modules.get(place.0).map(|(_, code)| code.declarations.as_slice());
                declarations.into_iter().flatten().for_each(|statement| self.declaration(statement));
            }
        }
        let result = std::mem::take(&mut self.result);
        if place.1.is_some() {
            self.keep_texts(&result);
        }
        let calls = std::mem::take(&mut self.calls);
        let (steps, noted) = (self.steps.saturating_sub(steps), self.noted.saturating_sub(noted));
        let is_whole = self.has_room_for(&Found::default()) && !self.stop.stopped();
        self.memory.end(place, arguments, Found { calls, noted, steps }, result, is_whole)
    }

    /// Keeps what is computed once a procedure ends and says something beside any call.
    fn keep_texts(&mut self, result: &Value) {
        let values = self.locals.values().chain([result]);
        let texts = kept_texts(values);
        self.add_texts(texts);
    }

    fn add_texts(&mut self, texts: Vec<String>) {
        for text in texts {
            if self.texts.len() < MAX_TEXTS && !self.texts.contains(&text) {
                self.texts.push(text);
            }
        }
    }

    fn walk_body(&mut self, body: &[Statement<'t, 'a>]) {
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
        match self.list(after(statement, 4)).into_iter().next() {
            Some(Value::List(elements)) if !elements.is_empty() => elements,
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
        let value = self.list(after(statement, words)).first().and_then(Value::number);
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
                self.list(after(statement, count));
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
                let object = self.list(after(statement, 1)).into_iter().next();
                let path = after(statement, 1);
                let is_path = path.iter().all(|token| matches!(token.kind, Kind::Name(_) | Kind::Sign('.')));
                let object = match object {
                    Some(Value::Object(class)) => Value::Object(class),
                    // A control is worth its text, and has members all the same.
                    Some(Value::Text(_)) if is_path => Value::Object(path_text(path)),
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
                self.note(statement, "", "name", arguments);
            }
            "print" | "put" | "write" | "get" | "input" | "line" | "close" if matches!(next, Some(Kind::Sign('#'))) => {
                let arguments = self.list(after(statement, 2));
                self.note(statement, "", &format!("{first}#"), arguments);
            }
            _ => self.assignment_or_call(statement),
        }
    }

    /// `Open path For Binary Access Write As #1`
    fn open(&mut self, statement: Statement<'t, 'a>) {
        let at = statement.iter().position(|token| is_keyword(token, "For")).unwrap_or(statement.len());
        let path = self.list(statement.get(1..at).unwrap_or_default()).into_iter().next().unwrap_or_default();
        let mode = code::name(after(statement, at.saturating_add(1))).unwrap_or_default();
        self.note(statement, "", "open#", vec![path, Value::Text(mode.lower.to_owned())]);
    }

    /// `Dim x As New WshShell, y`, `Const a = "x"`: a typed variable is an object of its type.
    fn declaration(&mut self, statement: Statement<'t, 'a>) {
        let words = ["dim", "redim", "static", "const", "private", "public", "global", "preserve", "withevents"];
        let is_word = |token: &&Token<'_>| is_any_of(token, &words);
        for item in split_list(statement) {
            let item = after(item, item.iter().take_while(is_word).count());
            let Some(Word { lower: name, .. }) = code::name(item) else { continue };
            if let Some(at) = item.iter().position(|token| token.kind == Kind::Sign('=')) {
                let value = self.list(after(item, at.saturating_add(1))).into_iter().next().unwrap_or_default();
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
        let value = self.list(after(statement, at.saturating_add(1))).into_iter().next().unwrap_or_default();
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
                let index = self.list(index).first().and_then(Value::number).and_then(fold::integer);
                self.assign_element(name.lower, index, value);
            }
            _ => self.assign_member(statement, target, value),
        }
    }

    /// `x.y = value`: the property of what stands before the last dot.
    fn assign_member(&mut self, statement: Statement<'t, 'a>, target: Statement<'t, 'a>, value: Value) {
        let Some((Token { kind: Kind::Name(member), .. }, before)) = target.split_last() else {
            self.list(target);
            return;
        };
        let object = before.split_last().map_or(&[][..], |(_, object)| object);
        let class = if object.is_empty() { self.with.last().cloned() } else { self.list(object).into_iter().next() };
        let class = match class {
            Some(Value::Object(class)) => class,
            _ => path_text(object),
        };
        self.note(statement, &class, &format!("{}=", member.lower), vec![value]);
    }

    /// `path.name arguments`, or with parentheses around the arguments.
    fn call_statement(&mut self, statement: Statement<'t, 'a>) {
        let at = head_length(statement);
        let (head, arguments) = (statement.get(..at).unwrap_or_default(), after(statement, at));
        if arguments.is_empty() {
            let is_bare = head.len() == 1;
            self.list(head);
            if let (true, Some(name)) = (is_bare, code::name(head)) {
                self.bare_call(statement, name.lower);
            }
            return;
        }
        let line = statement.first().map_or(0, |token| token.line);
        let sign = |sign| Token { kind: Kind::Sign(sign), line };
        let call: Vec<Token<'a>> =
            head.iter().copied().chain([sign('(')]).chain(arguments.iter().copied()).chain([sign(')')]).collect();
        self.list(&call);
    }

    fn bare_call(&mut self, statement: Statement<'t, 'a>, name: &str) {
        if self.program.by_name.contains_key(name) {
            self.call_procedure(name, Vec::new());
        } else {
            self.note(statement, "", name, Vec::new());
        }
    }

    fn assign(&mut self, name: &'a str, value: Value) {
        self.charge(&value);
        let (_, procedure) = self.place;
        let own = procedure.and_then(|index| self.program.procedure(index));
        if own.is_some_and(|own| own.name.lower == name) {
            self.result = value;
        } else if procedure.is_none() || (self.program.shared.contains(name) && !self.locals.contains_key(name)) {
            self.memory.assign(name, value, self.place);
        } else {
            self.locals.insert(name, value);
        }
    }

    fn assign_element(&mut self, name: &'a str, index: Option<i64>, value: Value) {
        let index = index.and_then(|index| usize::try_from(index).ok()).filter(|index| *index < 4096);
        let mut list = match self.variable(name) {
            Some(Value::List(list)) => list,
            _ => Vec::new(),
        };
        let Some(index) = index else { return self.assign(name, Value::Unknown) };
        if list.len() <= index {
            list.resize(index.saturating_add(1), Value::Empty);
        }
        if let Some(slot) = list.get_mut(index) {
            *slot = value;
        }
        self.assign(name, Value::list(list));
    }

    /// Whether no more texts are computed. Statements are still walked, so that no call is missed.
    fn is_exhausted(&self) -> bool {
        self.steps >= MAX_STEPS
    }

    /// Text that is copied costs steps as well.
    fn charge(&mut self, value: &Value) {
        self.steps = self.steps.saturating_add(value.size() / TEXT_PER_STEP);
    }

    fn variable(&mut self, name: &'a str) -> Option<Value> {
        let is_exhausted = self.is_exhausted();
        let value = self.value_of(name)?;
        if is_exhausted && value.size() > TEXT_PER_STEP {
            return Some(Value::Unknown);
        }
        let value = value.clone();
        self.charge(&value);
        Some(value)
    }

    fn value_of(&mut self, name: &'a str) -> Option<&Value> {
        let (_, procedure) = self.place;
        let own = procedure.and_then(|index| self.program.procedure(index));
        if own.is_some_and(|own| own.name.lower == name) {
            return Some(&self.result);
        }
        self.locals.get(name).or_else(|| self.memory.global(name, self.place))
    }

    /// Notes a call, if its name matters.
    fn note(&mut self, statement: &[Token<'a>], class: &str, name: &str, arguments: Vec<Value>) {
        if !(self.matters)(name) || self.count >= MAX_CALLS {
            return;
        }
        let is_full = self.noted >= MAX_NOTED;
        let bounded = |value: Value| if is_full || value.size() > MAX_ARGUMENT { shortened(value) } else { value };
        let arguments: Vec<Value> = arguments.into_iter().take(MAX_ARGUMENTS).map(bounded).collect();
        self.noted = self.noted.saturating_add(arguments.iter().map(Value::size).sum());
        let (module, procedure) = self.place;
        let line = statement.first().map_or(0, |token| token.line);
        let (class, name) = (class.to_owned(), name.to_owned());
        self.calls.push(Call { module, procedure, line, class, name, arguments });
        self.count = self.count.saturating_add(1);
    }

    /// The result of a procedure of the project, if an earlier walk found it.
    fn call_procedure(&mut self, name: &str, arguments: Vec<Value>) -> Value {
        let result = self.memory.call(name, arguments);
        if self.is_exhausted() && result.size() > TEXT_PER_STEP {
            return Value::Unknown;
        }
        self.charge(&result);
        Value::clone(&result)
    }
}

/// Whether two rounds took the same passages.
fn is_same(one: &[Rc<Passage<'_>>], other: &[Rc<Passage<'_>>]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| Rc::ptr_eq(one, other) || one == other)
}

/// The texts that say something, in an order of their own.
fn kept_texts<'v>(values: impl Iterator<Item = &'v Value>) -> Vec<String> {
    let texts = values.filter_map(|value| match value {
        Value::Text(text) | Value::Partial(text) if says_something(text) => Some(text.clone()),
        _ => None,
    });
    let mut texts: Vec<String> = texts.collect();
    texts.sort_unstable();
    texts
}

/// Whether a text is a command, or holds an address.
fn says_something(text: &str) -> bool {
    (12..=MAX_ARGUMENT).contains(&text.len()) && (text.contains("://") || command::is_command(text))
}

/// The start of a long text; nothing of a long list.
fn shortened(value: Value) -> Value {
    match value {
        Value::Text(mut text) | Value::Partial(mut text) if text.len() > SHORTENED => {
            text.truncate(text.floor_char_boundary(SHORTENED));
            text.push(fold::GAP);
            Value::Partial(text)
        }
        Value::List(_) => Value::Unknown,
        short => short,
    }
}

/// `name.name…` in lower case; arguments are left out.
fn path_text(tokens: &[Token<'_>]) -> String {
    let mut text = String::new();
    for token in tokens {
        match token.kind {
            Kind::Name(name) => text.push_str(name.lower),
            Kind::Sign('.' | '!') => text.push('.'),
            _ => break,
        }
    }
    cut(text)
}

fn cut(text: String) -> String {
    if text.len() <= MAX_CLASS {
        return text;
    }
    match text.char_indices().nth(MAX_CLASS) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned(),
        None => text,
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
