//! What walks learn from each other, and which of them need no repeating.
//!
//! A walk through a procedure asks the memory for globals and for what other procedures return, and tells it
//! what it assigns to globals, what it calls others with and what it returns itself. All of it is noted in a
//! [`Passage`]. As long as every question has the answer that it had, walking again would do the same again: so
//! in a later round such a passage is repeated from its note, and only procedures that can learn something are
//! walked. Where hardly any can, a project is walked little more than once, however large it is.

use std::collections::hash_map::Entry;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use foldhash::{HashMap, HashSet, HashSetExt};

use super::Call;
use crate::vba::fold::Value;
use crate::vba::program::Program;

/// Sets of arguments a procedure is walked with: a decoder is called for each of a hundred pieces.
const MAX_CONTEXTS: usize = 400;
/// Procedures of one name that a call may mean; modules that share a name for a thing are few.
const MAX_SAME_NAME: usize = 8;
/// Octets of text that passages may keep for being repeated. What comes later is walked in each round.
const MAX_KEPT: usize = 32 << 20;

/// What is walked as one: the procedure at a position in [`Program::procedures`], or else the declarations of
/// the module at a position in [`Program::modules`].
pub type Place = (usize, Option<usize>);

/// What a procedure is called with; empty if nothing of it is known.
#[derive(Debug, Default)]
pub struct Arguments(Vec<Value>);

impl Arguments {
    /// `None` if nothing of them is known.
    fn new(values: &[Value]) -> Option<Self> {
        let says_something = values.iter().any(|value| value.is_known() && *value != Value::Empty);
        says_something.then(|| Self(values.to_vec()))
    }

    /// The value of the parameter at a position.
    pub fn value(&self, number: usize) -> Value {
        if self.0.is_empty() { Value::Parameter } else { self.0.get(number).cloned().unwrap_or_default() }
    }

    fn size(&self) -> usize {
        self.0.iter().map(Value::size).sum()
    }
}

impl PartialEq for Arguments {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(one, other)| is_same(one, other))
    }
}

impl Eq for Arguments {}

impl Hash for Arguments {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for value in &self.0 {
            hash(value, state);
            if let Value::List(items) = value {
                items.iter().for_each(|item| hash(item, state));
            }
        }
    }
}

/// A value without what is within a list. Lists are flat ([`Value::list`]).
fn hash(value: &Value, state: &mut impl Hasher) {
    std::mem::discriminant(value).hash(state);
    match value {
        Value::Unknown | Value::Parameter | Value::Empty => {}
        Value::Number(number) => number.to_bits().hash(state),
        Value::Text(text) | Value::Partial(text) | Value::Object(text) => text.hash(state),
        Value::List(items) => items.len().hash(state),
    }
}

/// Whether two values are the same. Numbers by their bits: what is no number is the same as itself.
fn is_same(one: &Value, other: &Value) -> bool {
    let is_same_item = |(one, other): (&Value, &Value)| match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.to_bits() == other.to_bits(),
        (one, other) => one == other,
    };
    match (one, other) {
        (Value::List(one), Value::List(other)) => one.len() == other.len() && one.iter().zip(other).all(is_same_item),
        both => is_same_item(both),
    }
}

/// Shared values are often the very same one.
fn is_same_shared(one: &Rc<Value>, other: &Rc<Value>) -> bool {
    Rc::ptr_eq(one, other) || is_same(one, other)
}

/// What a walk found, and what it took from the limits.
#[derive(Debug, Default, PartialEq)]
pub struct Found {
    /// The calls that matter.
    pub calls: Vec<Call>,
    /// Octets of their arguments.
    pub noted: usize,
    /// What it cost.
    pub steps: usize,
}

/// One walk through a place with one set of arguments: what it found, what it asked and what it told.
#[derive(Debug)]
pub struct Passage<'p> {
    /// What it found.
    pub found: Found,
    /// Globals, each with its value before the first assignment.
    read: Vec<(&'p str, Option<Rc<Value>>)>,
    /// Globals, each with its value after the last assignment.
    written: Vec<(&'p str, Rc<Value>)>,
    questions: Vec<Question<'p>>,
    result: Rc<Value>,
    /// Octets that it keeps.
    size: usize,
    /// Whether it says all that it depends on.
    is_whole: bool,
}

impl PartialEq for Passage<'_> {
    fn eq(&self, other: &Self) -> bool {
        let Self { found, read, written, questions, result, size, is_whole } = self;
        *is_whole
            && other.is_whole
            && *size == other.size
            && (found, result) == (&other.found, &other.result)
            && (read, written, questions) == (&other.read, &other.written, &other.questions)
    }
}

/// A call of procedures of the project.
#[derive(Debug, PartialEq)]
struct Question<'p> {
    /// Those that the name may mean.
    procedures: &'p [usize],
    arguments: Rc<Arguments>,
    answer: Rc<Value>,
}

/// What callers pass to a procedure.
#[derive(Debug, Default)]
struct Contexts {
    known: Vec<Rc<Arguments>>,
    seen: HashSet<Rc<Arguments>>,
    has_unknown: bool,
}

/// What is known of a place.
#[derive(Debug, Default)]
struct Known<'p> {
    /// The last passage with each set of arguments.
    passages: HashMap<Rc<Arguments>, Rc<Passage<'p>>>,
    /// What this round's callers pass.
    contexts: Contexts,
}

/// A variable or constant of a module.
#[derive(Debug, Default)]
struct Global {
    value: Option<Rc<Value>>,
    /// The last passages, by number, in which it was read before it was written, and in which it was written.
    read_in: usize,
    written_in: usize,
}

/// What walks through a program learn from each other.
pub struct Memory<'p, 't, 'a> {
    program: &'p Program<'t, 'a>,
    globals: HashMap<&'a str, Global>,
    declarations: Vec<Known<'p>>,
    procedures: Vec<Known<'p>>,
    /// The passage that is being made: its number from 1, and its notes.
    number: usize,
    read: Vec<(&'p str, Option<Rc<Value>>)>,
    written: Vec<&'p str>,
    questions: Vec<Question<'p>>,
    asked: HashSet<(usize, Rc<Arguments>)>,
    /// Octets that passages keep.
    kept: usize,
    nothing: Rc<Arguments>,
    unknown: Rc<Value>,
}

impl<'p, 't, 'a> Memory<'p, 't, 'a> {
    /// Nothing was learnt yet.
    pub fn new(program: &'p Program<'t, 'a>) -> Self {
        Self {
            program,
            globals: program.shared.iter().map(|name| (*name, Global::default())).collect(),
            declarations: program.modules.iter().map(|_| Known::default()).collect(),
            procedures: program.procedures.iter().map(|_| Known::default()).collect(),
            number: 0,
            read: Vec::new(),
            written: Vec::new(),
            questions: Vec::new(),
            asked: HashSet::new(),
            kept: 0,
            nothing: Rc::default(),
            unknown: Rc::default(),
        }
    }

    /// The sets of arguments with which each procedure is to be walked in a new round: what callers passed in
    /// the last one; this round's callers may know more.
    pub fn contexts(&mut self) -> Vec<Vec<Rc<Arguments>>> {
        let nothing = &self.nothing;
        let sets = self.procedures.iter_mut().map(|known| {
            let Contexts { known: mut sets, has_unknown, .. } = std::mem::take(&mut known.contexts);
            if sets.is_empty() || has_unknown {
                sets.push(Rc::clone(nothing));
            }
            sets
        });
        sets.collect()
    }

    /// What declarations are walked with.
    pub fn nothing(&self) -> Rc<Arguments> {
        Rc::clone(&self.nothing)
    }

    /// Begins a passage.
    pub fn begin(&mut self) {
        self.number = self.number.saturating_add(1);
        self.read.clear();
        self.written.clear();
        self.questions.clear();
        self.asked.clear();
    }

    /// Ends the passage that was begun, and keeps it. `is_whole`: no limit and no clock had a part in it.
    pub fn end(
        &mut self,
        place: Place,
        arguments: &Rc<Arguments>,
        found: Found,
        result: Value,
        is_whole: bool,
    ) -> Rc<Passage<'p>> {
        let value = |name: &&'p str| Some((*name, self.globals.get(*name)?.value.clone()?));
        let written: Vec<(&str, Rc<Value>)> = self.written.iter().filter_map(value).collect();
        let texts = written.iter().map(|(_, value)| value.size());
        let size: usize = texts.chain(self.questions.iter().map(|question| question.arguments.size())).sum();
        let result = if result == Value::Unknown { Rc::clone(&self.unknown) } else { Rc::new(result) };
        let (read, questions) = (std::mem::take(&mut self.read), std::mem::take(&mut self.questions));
        let passage = if is_whole && self.kept.saturating_add(size) <= MAX_KEPT {
            Passage { found, read, written, questions, result, size, is_whole }
        } else {
            let (read, written, questions) = Default::default();
            Passage { found, read, written, questions, result, size: 0, is_whole: false }
        };
        self.kept = self.kept.saturating_add(passage.size);
        let passage = Rc::new(passage);
        let earlier =
            self.known(place).and_then(|known| known.passages.insert(Rc::clone(arguments), Rc::clone(&passage)));
        self.kept = self.kept.saturating_sub(earlier.map_or(0, |earlier| earlier.size));
        passage
    }

    /// The last passage through a place with these arguments, if walking again would do the same again.
    pub fn repeatable(&mut self, place: Place, arguments: &Arguments) -> Option<Rc<Passage<'p>>> {
        let passage = Rc::clone(self.known(place)?.passages.get(arguments)?);
        let is_unchanged = |(name, then): &(&str, Option<Rc<Value>>)| {
            let now = self.globals.get(*name).and_then(|global| global.value.as_ref());
            match (then, now) {
                (Some(then), Some(now)) => is_same_shared(then, now),
                (then, now) => then.is_none() && now.is_none(),
            }
        };
        let is_answered_alike = |question: &Question<'p>| {
            is_same_shared(&self.answer(question.procedures, &question.arguments), &question.answer)
        };
        let stands = passage.is_whole
            && passage.read.iter().all(is_unchanged)
            && passage.questions.iter().all(is_answered_alike);
        stands.then_some(passage)
    }

    /// Does what walking would do once more.
    pub fn repeat(&mut self, passage: &Passage<'p>) {
        for question in &passage.questions {
            self.pass(question.procedures, &question.arguments);
        }
        for (name, value) in &passage.written {
            if let Some(global) = self.globals.get_mut(*name) {
                global.value = Some(Rc::clone(value));
            }
        }
    }

    /// The value of a global. `None` if `name` is none, or nothing was assigned to it.
    pub fn global(&mut self, name: &'a str, place: Place) -> Option<&Value> {
        let global = match self.globals.entry(name) {
            Entry::Occupied(entry) => entry.into_mut(),
            // Declarations may make it one later.
            Entry::Vacant(entry) if place.1.is_none() => entry.insert(Global::default()),
            Entry::Vacant(_) => return None,
        };
        if global.read_in != self.number && global.written_in != self.number {
            global.read_in = self.number;
            self.read.push((name, global.value.clone()));
        }
        global.value.as_deref()
    }

    /// Assigns to a global. What is known is kept when another procedure assigns what is not.
    pub fn assign(&mut self, name: &'a str, value: Value, place: Place) {
        if !value.is_known() && self.global(name, place).is_some_and(Value::is_known) {
            return;
        }
        let global = self.globals.entry(name).or_default();
        global.value = Some(Rc::new(value));
        if global.written_in != self.number {
            global.written_in = self.number;
            self.written.push(name);
        }
    }

    /// The values of all globals.
    pub fn globals(&self) -> impl Iterator<Item = &Value> {
        self.globals.values().filter_map(|global| global.value.as_deref())
    }

    /// Calls the procedures of this name: what they return, as far as an earlier walk found it.
    pub fn call(&mut self, name: &str, arguments: &[Value]) -> Rc<Value> {
        let procedures = self.program.by_name.get(name).map(Vec::as_slice).unwrap_or_default();
        let procedures = procedures.get(..MAX_SAME_NAME).unwrap_or(procedures);
        let Some(first) = procedures.first() else { return Rc::clone(&self.unknown) };
        let arguments = Arguments::new(arguments).map_or_else(|| Rc::clone(&self.nothing), Rc::new);
        let answer = self.answer(procedures, &arguments);
        if self.asked.insert((*first, Rc::clone(&arguments))) {
            self.pass(procedures, &arguments);
            self.questions.push(Question { procedures, arguments, answer: Rc::clone(&answer) });
        }
        answer
    }

    fn answer(&self, procedures: &[usize], arguments: &Arguments) -> Rc<Value> {
        let found = procedures.iter().rev().find_map(|index| {
            let passages = &self.procedures.get(*index)?.passages;
            passages.get(arguments).or_else(|| passages.get(&self.nothing))
        });
        Rc::clone(found.map_or(&self.unknown, |passage| &passage.result))
    }

    /// Lets these procedures be walked with these arguments in the next round.
    fn pass(&mut self, procedures: &[usize], arguments: &Rc<Arguments>) {
        for index in procedures {
            let Some(Known { contexts, .. }) = self.procedures.get_mut(*index) else { continue };
            if arguments.0.is_empty() {
                contexts.has_unknown = true;
            } else if contexts.known.len() < MAX_CONTEXTS {
                if contexts.seen.insert(Rc::clone(arguments)) {
                    contexts.known.push(Rc::clone(arguments));
                }
            } else {
                contexts.has_unknown |= !contexts.seen.contains(arguments);
            }
        }
    }

    fn known(&mut self, (module, procedure): Place) -> Option<&mut Known<'p>> {
        match procedure {
            Some(index) => self.procedures.get_mut(index),
            None => self.declarations.get_mut(module),
        }
    }
}
