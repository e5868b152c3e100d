//! Walks through a project's procedures without running them, computes what can be computed
//! ([`super::fold`]) and notes the calls that matter, with what is known of their arguments.
//!
//! Every statement of every procedure is walked, in order, whatever conditions say; loops whose
//! bounds are known are followed. A procedure is walked once for each set of arguments its callers
//! are known to pass, in a few rounds, so that what a function returns is known to its callers;
//! after the first round only those are walked that can learn something (`memory.rs`).
//! One budget covers loops and texts; when it is spent, the walk goes on without them, so that
//! every call is seen.

mod expression;
mod memory;
mod reading;
mod statement;
#[cfg(test)]
mod tests;

use std::rc::Rc;

use foldhash::{HashMap, HashMapExt};

use super::fold::{self, Value};
use super::program::Program;
use super::token::{Kind, Token};
use crate::command::program as command;
use crate::scan::Stop;
use expression::Meaning;
use memory::{Arguments, Found, Memory, Passage, Place};
use reading::Reading;

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
    /// Room for expressions that are being read, and for calls that are put into another shape.
    reading: Reading,
    call: Vec<Token<'a>>,
    /// What names mean that occurred.
    meanings: HashMap<&'a str, Meaning>,
    locals: HashMap<&'a str, Value>,
    with: Vec<Value>,
    place: Place,
    /// The procedure's own name, which stands for its result.
    own: Option<&'a str>,
    result: Value,
    texts: Vec<String>,
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
            reading: Reading::default(),
            call: Vec::new(),
            meanings: HashMap::new(),
            locals: HashMap::new(),
            with: Vec::new(),
            place: (0, None),
            own: None,
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
    fn round(&mut self) -> Vec<Rc<Passage<'p>>> {
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
    fn passage(&mut self, place: Place, arguments: &Rc<Arguments>) -> Rc<Passage<'p>> {
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

    fn walk(&mut self, place: Place, arguments: &Rc<Arguments>) -> Rc<Passage<'p>> {
        let program = self.program;
        let (steps, noted) = (self.steps, self.noted);
        self.walks = self.walks.saturating_add(1);
        let procedure = place.1.and_then(|index| program.procedure(index));
        self.place = place;
        self.own = procedure.map(|procedure| procedure.name.lower);
        self.with.clear();
        self.locals.clear();
        self.memory.begin();
        match procedure {
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

    fn assign(&mut self, name: &'a str, value: Value) {
        self.charge(&value);
        if self.own == Some(name) {
            self.result = value;
        } else if self.place.1.is_none() || (self.program.shared.contains(name) && !self.locals.contains_key(name)) {
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
        if self.own == Some(name) {
            return Some(&self.result);
        }
        self.locals.get(name).or_else(|| self.memory.global(name, self.place))
    }

    /// Notes a call, if its name matters.
    fn note(&mut self, statement: &[Token<'a>], class: &str, name: &str, arguments: &[Value]) {
        if !(self.matters)(name) || self.count >= MAX_CALLS {
            return;
        }
        let is_full = self.noted >= MAX_NOTED;
        let bounded =
            |value: &Value| if is_full || value.size() > MAX_ARGUMENT { shortened(value) } else { value.clone() };
        let arguments: Vec<Value> = arguments.iter().take(MAX_ARGUMENTS).map(bounded).collect();
        self.noted = self.noted.saturating_add(arguments.iter().map(Value::size).sum());
        let (module, procedure) = self.place;
        let line = statement.first().map_or(0, |token| token.line);
        let (class, name) = (class.to_owned(), name.to_owned());
        self.calls.push(Call { module, procedure, line, class, name, arguments });
        self.count = self.count.saturating_add(1);
    }

    /// The result of a procedure of the project, if an earlier walk found it.
    fn call_procedure(&mut self, name: &str, arguments: &[Value]) -> Value {
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
fn shortened(value: &Value) -> Value {
    match value {
        Value::Text(text) | Value::Partial(text) if text.len() > SHORTENED => {
            let start = text.get(..text.floor_char_boundary(SHORTENED)).unwrap_or_default();
            Value::Partial(format!("{start}{}", fold::GAP))
        }
        Value::List(_) => Value::Unknown,
        short => short.clone(),
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
