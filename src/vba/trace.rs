//! Walks through a project's procedures without running them, computes what can be computed
//! ([`super::fold`]) and notes the calls that matter, with what is known of their arguments.
//!
//! Every statement of every procedure is walked, in order, whatever conditions say; `For` loops
//! whose bounds are known are followed. A procedure is walked once for each set of arguments its
//! callers are known to pass, in a few rounds, so that what a function returns is known to its
//! callers. One budget of steps covers all of it.

use std::collections::{HashMap, HashSet};

use super::code::{self, Code, Statement, after, is_keyword, starts_with};
use super::fold::{self, MAX_TEXT, Value};
use super::token::{Kind, Token};

/// Tokens that are walked in all, and octets of text per token's worth of work. A large honest
/// project has 300,000 tokens; a decoder runs through some 10,000 characters.
const MAX_STEPS: usize = 3_000_000;
const TEXT_PER_STEP: usize = 64;
/// Rounds over all procedures: each lets a result travel one call further.
const MAX_ROUNDS: usize = 4;
/// Sets of arguments a procedure is walked with.
const MAX_CONTEXTS: usize = 24;
/// Procedures of one name that a call may mean; modules that share a name for a thing are few.
const MAX_SAME_NAME: usize = 8;
/// Calls that are noted.
const MAX_CALLS: usize = 20_000;
/// Times that a loop is followed: the characters of a long encoded command.
const MAX_TURNS: f64 = 20_000.0;
const MAX_CONDITION_TURNS: usize = 20_000;
/// Longest argument that is noted, in octets: Windows takes command lines of 32 KiB.
const MAX_ARGUMENT: usize = 32 << 10;
/// Octets of all arguments that are noted.
const MAX_NOTED: usize = 16 << 20;
/// Longest class of an object that is kept.
const MAX_CLASS: usize = 200;

/// The class of what an unknown expression gives.
pub const UNKNOWN_OBJECT: &str = "?";
/// The class of an object that was created by a name that is not known.
pub const HIDDEN_OBJECT: &str = "?created";

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

/// A project whose modules were parsed.
pub struct Program<'t, 'a> {
    /// The modules' names and code.
    pub modules: Vec<(&'a str, Code<'t, 'a>)>,
    /// Every procedure: its module, and its position there.
    pub procedures: Vec<(usize, usize)>,
    /// Where a name's procedures are, by lower-case name.
    pub by_name: HashMap<String, Vec<usize>>,
    /// Names that something is assigned to anywhere.
    assigned: HashSet<String>,
    /// Names declared at module level.
    shared: HashSet<String>,
}

impl<'t, 'a> Program<'t, 'a> {
    /// Indexes the modules.
    pub fn new(modules: Vec<(&'a str, Code<'t, 'a>)>) -> Self {
        let mut program = Self {
            modules,
            procedures: Vec::new(),
            by_name: HashMap::new(),
            assigned: HashSet::new(),
            shared: HashSet::new(),
        };
        for (number, (_, code)) in program.modules.iter().enumerate() {
            for (position, procedure) in code.procedures.iter().enumerate() {
                let index = program.procedures.len();
                program.procedures.push((number, position));
                program.by_name.entry(procedure.name.to_lowercase()).or_default().push(index);
                program.assigned.extend(procedure.parameters.iter().map(|name| name.to_lowercase()));
                program.assigned.extend(procedure.body.iter().filter_map(|statement| assigned_name(statement)));
            }
            for statement in &code.declarations {
                program.shared.extend(declared_names(statement));
            }
            program.assigned.extend(code.declarations.iter().filter_map(|statement| assigned_name(statement)));
        }
        program
    }

    /// The procedure at a position in [`procedures`](Self::procedures).
    pub fn procedure(&self, index: usize) -> Option<&code::Procedure<'t, 'a>> {
        let (module, position) = *self.procedures.get(index)?;
        self.modules.get(module)?.1.procedures.get(position)
    }

    fn is_module(&self, name: &str) -> bool {
        self.modules.iter().any(|(module, _)| module.eq_ignore_ascii_case(name))
    }
}

/// Walks the program and returns the calls whose name `matters` (given in lower case).
pub fn trace(program: &Program<'_, '_>, matters: &dyn Fn(&str) -> bool) -> Vec<Call> {
    let mut walk = Walk {
        program,
        matters,
        steps: 0,
        calls: Vec::new(),
        noted: 0,
        globals: HashMap::new(),
        locals: HashMap::new(),
        results: HashMap::new(),
        contexts: HashMap::new(),
        with: Vec::new(),
        place: (0, None),
        result: Value::Unknown,
    };
    for _ in 0..MAX_ROUNDS {
        walk.calls.clear();
        walk.noted = 0;
        if !walk.round() || walk.steps >= MAX_STEPS {
            break;
        }
    }
    walk.calls
}

/// What a caller passes; `None` once a caller passes what is not known.
#[derive(Default)]
struct Contexts {
    known: Vec<Vec<Value>>,
    has_unknown: bool,
}

struct Walk<'p, 't, 'a> {
    program: &'p Program<'t, 'a>,
    matters: &'p dyn Fn(&str) -> bool,
    steps: usize,
    calls: Vec<Call>,
    noted: usize,
    globals: HashMap<String, Value>,
    locals: HashMap<String, Value>,
    /// What a procedure returned, by procedure and arguments.
    results: HashMap<(usize, String), Value>,
    contexts: HashMap<usize, Contexts>,
    with: Vec<Value>,
    place: (usize, Option<usize>),
    result: Value,
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
    Values(String, Vec<Value>),
    /// `Do` or `While`, with the condition in front, if it stands there.
    Condition(Option<Statement<'t, 'a>>),
}

impl<'t, 'a> Walk<'_, 't, 'a> {
    /// Walks everything once; `false` if nothing new was learnt.
    fn round(&mut self) -> bool {
        let known = self.knowledge();
        for (module, (_, code)) in self.program.modules.iter().enumerate() {
            self.place = (module, None);
            for statement in &code.declarations {
                self.declaration(statement);
            }
        }
        // What callers passed in the last round; this round's callers may know more.
        let contexts = std::mem::take(&mut self.contexts);
        for index in 0..self.program.procedures.len() {
            let parameters = self.program.procedure(index).map_or(0, |procedure| procedure.parameters.len());
            let contexts = contexts.get(&index);
            let mut sets = contexts.map(|contexts| contexts.known.clone()).unwrap_or_default();
            if sets.is_empty() || contexts.is_some_and(|contexts| contexts.has_unknown) {
                sets.push(vec![Value::Parameter; parameters]);
            }
            for arguments in sets {
                self.procedure(index, &arguments);
            }
        }
        self.knowledge() != known
    }

    fn knowledge(&self) -> [usize; 4] {
        let results = self.results.values().filter(|value| value.is_known()).count();
        let contexts = self.contexts.values().map(|contexts| contexts.known.len()).sum();
        let unknown = self.contexts.values().filter(|contexts| contexts.has_unknown).count();
        let globals = self.globals.values().filter(|value| value.is_known()).count();
        [results, contexts, unknown, globals]
    }

    fn procedure(&mut self, index: usize, arguments: &[Value]) {
        let program = self.program;
        let (Some((module, _)), Some(procedure)) = (program.procedures.get(index), program.procedure(index)) else {
            return;
        };
        self.place = (*module, Some(index));
        self.with.clear();
        self.locals.clear();
        self.result = Value::Unknown;
        for (number, name) in procedure.parameters.iter().enumerate() {
            self.locals.insert(name.to_lowercase(), arguments.get(number).cloned().unwrap_or_default());
        }
        self.walk_body(&procedure.body);
        let result = std::mem::take(&mut self.result);
        self.results.insert((index, key(arguments)), result);
    }

    fn walk_body(&mut self, body: &[Statement<'t, 'a>]) {
        let mut loops: Vec<Loop<'t, 'a>> = Vec::new();
        let mut at = 0_usize;
        while let Some(statement) = body.get(at) {
            self.steps = self.steps.saturating_add(statement.len());
            if self.steps >= MAX_STEPS || self.calls.len() >= MAX_CALLS {
                return;
            }
            at = at.saturating_add(1);
            if let Some(turn) = self.begin_loop(statement, at) {
                loops.push(turn);
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
            let name = code::name(after(statement, if is_each { 2 } else { 1 })).unwrap_or_default().to_lowercase();
            let mut values = if is_each { self.elements(statement) } else { self.range(statement) };
            values.reverse();
            let first = values.pop().unwrap_or_default();
            self.assign(&name, first);
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
        if step == 0.0 || (end - start) / step > MAX_TURNS {
            return vec![Value::Number(start)];
        }
        let mut values = Vec::new();
        let mut value = start;
        while (step > 0.0 && value <= end) || (step < 0.0 && value >= end) {
            values.push(Value::Number(value));
            value += step;
        }
        self.steps = self.steps.saturating_add(values.len() / 8);
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
                let next = values.pop();
                let name = name.clone();
                next.map(|value| self.assign(&name, value)).is_some()
            }
            LoopKind::Condition(front) => {
                let condition =
                    if starts_with(statement, "Loop") && statement.len() > 1 { Some(statement) } else { *front };
                condition.is_some_and(|condition| self.is_true(condition))
            }
        };
        if !goes_on || innermost.turns >= MAX_CONDITION_TURNS {
            return None;
        }
        loops.push(innermost);
        Some(start)
    }

    /// Whether the condition of `Do While …`, `Loop Until …` is known, and lets the loop go on.
    fn is_true(&mut self, statement: Statement<'t, 'a>) -> bool {
        const WORDS: &[&str] = &["Do", "Loop", "While", "Until"];
        let words = statement.iter().take_while(|token| WORDS.iter().any(|word| is_keyword(token, word))).count();
        let until = statement.iter().take(words).any(|token| is_keyword(token, "Until"));
        let value = self.list(after(statement, words)).first().and_then(Value::number);
        value.is_some_and(|value| (value != 0.0) != until)
    }

    fn statement(&mut self, statement: Statement<'t, 'a>) {
        let Some(first) = code::name(statement) else {
            return self.assignment_or_call(statement);
        };
        let next = statement.get(1).map(|token| token.kind);
        if matches!(next, Some(Kind::Sign('.' | '='))) {
            return self.assignment_or_call(statement);
        }
        match first.to_ascii_lowercase().as_str() {
            "if" | "elseif" | "while" | "until" | "case" | "select" | "do" | "loop" => {
                let words = ["if", "elseif", "while", "until", "case", "select", "do", "loop"];
                let is_word = |token: &Token<'_>| words.iter().any(|word| is_keyword(token, word));
                let count = statement.iter().take_while(|token| is_word(token)).count();
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
                let object = self.list(after(statement, 1)).into_iter().next().unwrap_or_default();
                self.with.push(object);
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
                self.note(statement, "", &format!("{}#", first.to_ascii_lowercase()), arguments);
            }
            _ => self.assignment_or_call(statement),
        }
    }

    /// `Open path For Binary Access Write As #1`
    fn open(&mut self, statement: Statement<'t, 'a>) {
        let at = statement.iter().position(|token| is_keyword(token, "For")).unwrap_or(statement.len());
        let path = self.list(statement.get(1..at).unwrap_or_default()).into_iter().next().unwrap_or_default();
        let mode = code::name(after(statement, at.saturating_add(1))).unwrap_or_default();
        self.note(statement, "", "open#", vec![path, Value::Text(mode.to_lowercase())]);
    }

    /// `Dim x As New WshShell, y`, `Const a = "x"`: a typed variable is an object of its type.
    fn declaration(&mut self, statement: Statement<'t, 'a>) {
        for item in split_list(statement) {
            let is_word = |token: &&Token<'_>| {
                ["dim", "redim", "static", "const", "private", "public", "global", "preserve", "withevents"]
                    .iter()
                    .any(|word| is_keyword(token, word))
            };
            let item = after(item, item.iter().take_while(is_word).count());
            let Some(name) = code::name(item) else { continue };
            if let Some(at) = item.iter().position(|token| token.kind == Kind::Sign('=')) {
                let value = self.list(after(item, at.saturating_add(1))).into_iter().next().unwrap_or_default();
                self.assign(&name.to_lowercase(), value);
            } else if let Some(at) = item.iter().position(|token| is_keyword(token, "As")) {
                let class: Vec<String> = after(item, at.saturating_add(1))
                    .iter()
                    .filter_map(|token| match token.kind {
                        Kind::Name(part) if !part.eq_ignore_ascii_case("New") => Some(part.to_lowercase()),
                        _ => None,
                    })
                    .collect();
                if !is_plain_type(&class.join(".")) {
                    self.assign(&name.to_lowercase(), Value::Object(class.join(".")));
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
            [Token { kind: Kind::Name(name), .. }] => self.assign(&name.to_lowercase(), value),
            [
                Token { kind: Kind::Name(name), .. },
                Token { kind: Kind::Sign('('), .. },
                index @ ..,
                Token { kind: Kind::Sign(')'), .. },
            ] if !index.iter().any(|token| token.kind == Kind::Sign(')'))
                || matching_parenthesis(target, 1) == target.len().checked_sub(1) =>
            {
                let index = self.list(index).first().and_then(Value::number).and_then(fold::integer);
                self.assign_element(&name.to_lowercase(), index, value);
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
        self.note(statement, &class, &format!("{}=", member.to_lowercase()), vec![value]);
    }

    /// `path.name arguments`, or with parentheses around the arguments.
    fn call_statement(&mut self, statement: Statement<'t, 'a>) {
        let at = head_length(statement);
        let (head, arguments) = (statement.get(..at).unwrap_or_default(), after(statement, at));
        if arguments.is_empty() {
            let is_bare = head.len() == 1;
            self.list(head);
            if let (true, Some(name)) = (is_bare, code::name(head)) {
                self.bare_call(statement, &name.to_lowercase());
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
            self.call_procedure(name, &[]);
        } else {
            self.note(statement, "", name, Vec::new());
        }
    }

    fn assign(&mut self, name: &str, value: Value) {
        self.charge(&value);
        let (_, procedure) = self.place;
        let own = procedure.and_then(|index| self.program.procedure(index));
        if own.is_some_and(|own| own.name.to_lowercase() == name) {
            self.result = value;
        } else if procedure.is_none() || (self.program.shared.contains(name) && !self.locals.contains_key(name)) {
            // What is known is kept when another procedure assigns what is not.
            if value.is_known() || !self.globals.get(name).is_some_and(Value::is_known) {
                self.globals.insert(name.to_owned(), value);
            }
        } else {
            self.locals.insert(name.to_owned(), value);
        }
    }

    fn assign_element(&mut self, name: &str, index: Option<i64>, value: Value) {
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

    /// Text that is copied costs steps as well.
    fn charge(&mut self, value: &Value) {
        self.steps = self.steps.saturating_add(value.size() / TEXT_PER_STEP);
    }

    fn variable(&mut self, name: &str) -> Option<Value> {
        let value = self.value_of(name)?.clone();
        self.charge(&value);
        Some(value)
    }

    fn value_of(&self, name: &str) -> Option<&Value> {
        let (_, procedure) = self.place;
        let own = procedure.and_then(|index| self.program.procedure(index));
        if own.is_some_and(|own| own.name.to_lowercase() == name) {
            return Some(&self.result);
        }
        self.locals.get(name).or_else(|| self.globals.get(name))
    }

    /// Notes a call, if its name matters.
    fn note(&mut self, statement: &[Token<'a>], class: &str, name: &str, arguments: Vec<Value>) {
        if !(self.matters)(name) || self.calls.len() >= MAX_CALLS || self.noted >= MAX_NOTED {
            return;
        }
        let arguments: Vec<Value> = arguments
            .into_iter()
            .map(|value| if value.size() > MAX_ARGUMENT { shortened(value) } else { value })
            .collect();
        self.noted = self.noted.saturating_add(arguments.iter().map(Value::size).sum());
        let (module, procedure) = self.place;
        let line = statement.first().map_or(0, |token| token.line);
        let (class, name) = (class.to_owned(), name.to_owned());
        self.calls.push(Call { module, procedure, line, class, name, arguments });
    }

    /// The result of a procedure of the project, if an earlier walk found it.
    fn call_procedure(&mut self, name: &str, arguments: &[Value]) -> Value {
        let indices = self.program.by_name.get(name).into_iter().flatten().copied().take(MAX_SAME_NAME);
        let indices: Vec<usize> = indices.collect();
        let mut result = Value::Unknown;
        for index in indices {
            let contexts = self.contexts.entry(index).or_default();
            let says_something = arguments.iter().any(|value| value.is_known() && *value != Value::Empty);
            if !says_something {
                contexts.has_unknown = true;
            } else if contexts.known.len() < MAX_CONTEXTS {
                if !contexts.known.iter().any(|known| known == arguments) {
                    contexts.known.push(arguments.to_vec());
                }
            } else {
                contexts.has_unknown = true;
            }
            let parameters = self.program.procedure(index).map_or(0, |procedure| procedure.parameters.len());
            let unknown = key(&vec![Value::Parameter; parameters]);
            let found = self.results.get(&(index, key(arguments))).or_else(|| self.results.get(&(index, unknown)));
            if let Some(found) = found {
                result = found.clone();
            }
        }
        result
    }

    // Expressions ------------------------------------------------------------------------------

    /// The values of a list of expressions.
    fn list(&mut self, tokens: &[Token<'a>]) -> Vec<Value> {
        self.steps = self.steps.saturating_add(tokens.len());
        let mut stack = vec![Frame::default()];
        let mut at = 0_usize;
        while let Some(token) = tokens.get(at) {
            let Some(frame) = stack.last_mut() else { break };
            at = at.saturating_add(1);
            let next = tokens.get(at).map(|token| token.kind);
            match token.kind {
                Kind::Text(text) => frame.operand(Value::Text(text.replace("\"\"", "\""))),
                Kind::Number(number) => frame.operand(Value::Number(number)),
                Kind::Date => frame.operand(Value::Unknown),
                Kind::NamedArgument => {
                    frame.values.pop();
                    frame.has_operand = false;
                }
                Kind::End => {}
                Kind::Sign('(') if !frame.has_operand => stack.push(Frame::default()),
                Kind::Sign('(') => {
                    let receiver = frame.values.pop().unwrap_or_default();
                    stack.push(Frame {
                        callee: Some(Callee { receiver: Some(receiver), path: Vec::new() }),
                        ..Frame::default()
                    });
                }
                Kind::Sign(')') => {
                    if stack.len() > 1 {
                        let closed = stack.pop().unwrap_or_default();
                        let value = self.close(closed, tokens.get(at.saturating_sub(1)..).unwrap_or_default());
                        if let Some(outer) = stack.last_mut() {
                            outer.operand(value);
                        }
                    }
                }
                Kind::Sign(',' | ';') => frame.next_argument(),
                Kind::Sign('.' | '!') => {
                    if matches!(next, Some(Kind::Name(_))) {
                        let receiver = if !frame.has_operand { self.with.last().cloned() } else { frame.values.pop() }
                            .unwrap_or_default();
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
                Kind::Name(name) => match word(name, !frame.has_operand) {
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
            let value = self.close(closed, tokens);
            if let Some(outer) = stack.last_mut() {
                outer.operand(value);
            }
        }
        stack.pop().unwrap_or_default().finish()
    }

    /// Reads `name.name…` at `at`; opens a frame if arguments follow. Returns what comes next.
    fn path(
        &mut self,
        tokens: &[Token<'a>],
        mut at: usize,
        receiver: Option<Value>,
        stack: &mut Vec<Frame<'a>>,
    ) -> usize {
        let start = at;
        let mut path = Vec::new();
        while let Some(name) = code::name(after(tokens, at)) {
            path.push(name);
            at = at.saturating_add(1);
            let is_member = matches!(tokens.get(at).map(|token| token.kind), Some(Kind::Sign('.' | '!')))
                && code::name(after(tokens, at.saturating_add(1))).is_some();
            if !is_member {
                break;
            }
            at = at.saturating_add(1);
        }
        let callee = Callee { receiver, path };
        // A bang in front of arguments is a type suffix: `Run!(…)`.
        if matches!(tokens.get(at).map(|token| token.kind), Some(Kind::Sign('!')))
            && matches!(tokens.get(at.saturating_add(1)).map(|token| token.kind), Some(Kind::Sign('(')))
        {
            at = at.saturating_add(1);
        }
        if matches!(tokens.get(at).map(|token| token.kind), Some(Kind::Sign('('))) {
            stack.push(Frame { callee: Some(callee), ..Frame::default() });
            return at.saturating_add(1);
        }
        let value = self.resolve(&callee, None, after(tokens, start));
        if let Some(frame) = stack.last_mut() {
            frame.operand(value);
        }
        at
    }

    fn close(&mut self, frame: Frame<'a>, at: &[Token<'a>]) -> Value {
        let mut frame = frame;
        match frame.callee.take() {
            Some(callee) => {
                let arguments = if frame.is_untouched() { Vec::new() } else { frame.finish() };
                self.resolve(&callee, Some(arguments), at)
            }
            None => frame.finish().pop().unwrap_or_default(),
        }
    }

    /// What a name, a member or a call with arguments is worth.
    fn resolve(&mut self, callee: &Callee<'a>, arguments: Option<Vec<Value>>, at: &[Token<'a>]) -> Value {
        let mut path = callee.path.as_slice();
        if callee.receiver.is_none() {
            while let [first, _, ..] = path
                && is_library(first)
                && self.value_of(&first.to_lowercase()).is_none()
            {
                path = path.get(1..).unwrap_or_default();
            }
        }
        let text_size: usize = arguments.iter().flatten().map(|value| value.text().map_or(0, |text| text.len())).sum();
        self.steps = self.steps.saturating_add(text_size / TEXT_PER_STEP);
        match (&callee.receiver, path) {
            (None, [name]) => self.resolve_name(&name.to_lowercase(), arguments, at),
            (None, [first, ..]) => {
                let base = self.variable(&first.to_lowercase());
                let member = path.last().map(|name| name.to_lowercase()).unwrap_or_default();
                if base.is_none() && self.program.is_module(first) && self.program.by_name.contains_key(&member) {
                    return self.call_procedure(&member, &arguments.unwrap_or_default());
                }
                let middle = path.get(1..path.len().saturating_sub(1)).unwrap_or_default();
                let class = match base {
                    Some(Value::Object(class)) => join_class(&class, middle),
                    _ => join_class(&first.to_lowercase(), middle),
                };
                self.resolve_member(&class, &member, arguments, at)
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
            (Some(_), []) | (None, []) => Value::Unknown,
            (Some(receiver), [middle @ .., member]) => {
                let class = match receiver {
                    Value::Object(class) => join_class(class, middle),
                    _ => join_class(UNKNOWN_OBJECT, middle),
                };
                self.resolve_member(&class, &member.to_lowercase(), arguments, at)
            }
        }
    }

    fn resolve_name(&mut self, name: &str, arguments: Option<Vec<Value>>, at: &[Token<'a>]) -> Value {
        let variable = self.variable(name);
        let Some(arguments) = arguments else {
            if let Some(value) = variable.or_else(|| fold::constant(name)) {
                return value;
            }
            if self.program.by_name.contains_key(name) {
                return self.call_procedure(name, &[]);
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
            return self.call_procedure(name, &arguments);
        }
        let value = match name {
            "createobject" | "getobject" => match arguments.first() {
                Some(Value::Partial(class)) => Value::Object(cut(class.to_lowercase())),
                Some(argument) => Value::Object(
                    argument
                        .text()
                        .filter(|text| !text.is_empty())
                        .map_or(HIDDEN_OBJECT.to_owned(), |text| cut(text.to_lowercase())),
                ),
                None => Value::Unknown,
            },
            _ => fold::call(name, &arguments).unwrap_or_default(),
        };
        if value.text().is_none_or(|text| text.len() <= MAX_TEXT) {
            self.note(at, "", name, arguments);
        }
        value
    }

    fn resolve_member(&mut self, class: &str, member: &str, arguments: Option<Vec<Value>>, at: &[Token<'a>]) -> Value {
        let arguments = arguments.unwrap_or_default();
        // A class module of the project may have such a member.
        if self.program.by_name.contains_key(member) {
            let result = self.call_procedure(member, &arguments);
            if result.is_known() {
                return result;
            }
        }
        if member == "startuppath" || member == "altstartuppath" {
            return Value::Text("%APPDATA%\\Microsoft\\Excel\\XLSTART".to_owned());
        }
        let value = match (class, member) {
            (UNKNOWN_OBJECT, _) => Value::Unknown,
            (_, "createobject") => arguments
                .first()
                .and_then(Value::text)
                .map_or(Value::Unknown, |text| Value::Object(cut(text.to_lowercase()))),
            _ => {
                let argument =
                    arguments.first().and_then(Value::text).filter(|text| !text.is_empty() && text.len() < 60);
                let argument = argument.map(|text| format!("({})", text.to_lowercase())).unwrap_or_default();
                Value::Object(cut(format!("{class}.{member}{argument}")))
            }
        };
        self.note(at, class, member, arguments);
        value
    }
}

/// An expression in the middle of being read: an argument list, or a pair of parentheses.
#[derive(Default)]
struct Frame<'a> {
    callee: Option<Callee<'a>>,
    arguments: Vec<Value>,
    values: Vec<Value>,
    operators: Vec<char>,
    /// The last thing read was an operand, so an operator or a separator comes next.
    has_operand: bool,
}

struct Callee<'a> {
    receiver: Option<Value>,
    path: Vec<&'a str>,
}

/// `-` in front of an operand, and `Not`.
const NEGATE: char = '~';
const NOT: char = 'N';

impl Frame<'_> {
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

    fn apply(&mut self) {
        let Some(operator) = self.operators.pop() else { return };
        let right = self.values.pop().unwrap_or_default();
        let value = match operator {
            NEGATE => right.number().map_or(Value::Unknown, |number| Value::Number(-number)),
            NOT => right.number().and_then(fold::integer).map_or(Value::Unknown, |number| fold::truth(number == 0)),
            _ => fold::operate(operator, &self.values.pop().unwrap_or_default(), &right),
        };
        self.values.push(value);
    }

    fn next_argument(&mut self) {
        while !self.operators.is_empty() {
            self.apply();
        }
        self.arguments.push(self.values.pop().unwrap_or_default());
        self.values.clear();
        self.has_operand = false;
    }

    fn is_untouched(&self) -> bool {
        self.arguments.is_empty() && self.values.is_empty()
    }

    fn finish(mut self) -> Vec<Value> {
        self.next_argument();
        self.arguments
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
    match name.to_ascii_lowercase().as_str() {
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

/// The start of a long text; nothing of a long list.
fn shortened(value: Value) -> Value {
    match value {
        Value::Text(mut text) | Value::Partial(mut text) => {
            text.truncate(text.floor_char_boundary(MAX_ARGUMENT));
            text.push(fold::GAP);
            Value::Partial(text)
        }
        _ => Value::Unknown,
    }
}

/// `name.name…` in lower case; arguments are left out.
fn path_text(tokens: &[Token<'_>]) -> String {
    let mut text = String::new();
    for token in tokens {
        match token.kind {
            Kind::Name(name) => text.push_str(&name.to_lowercase()),
            Kind::Sign('.' | '!') => text.push('.'),
            _ => break,
        }
    }
    cut(text)
}

fn join_class(class: &str, path: &[&str]) -> String {
    let mut text = class.to_owned();
    for name in path {
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(&name.to_lowercase());
    }
    cut(text)
}

fn cut(text: String) -> String {
    match text.char_indices().nth(MAX_CLASS) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned(),
        None => text,
    }
}

/// Identifies a set of arguments.
fn key(arguments: &[Value]) -> String {
    let is_nothing = |value: &Value| !value.is_known() || *value == Value::Empty;
    if arguments.iter().all(is_nothing) { String::new() } else { format!("{arguments:?}") }
}

/// The parts of a list that stand between commas outside of parentheses.
fn split_list<'t, 'a>(tokens: Statement<'t, 'a>) -> impl Iterator<Item = Statement<'t, 'a>> {
    let mut depth = 0_usize;
    tokens.split(move |token| {
        match token.kind {
            Kind::Sign('(') => depth = depth.saturating_add(1),
            Kind::Sign(')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && token.kind == Kind::Sign(',')
    })
}

/// Where the equals sign of an assignment stands: behind a path whose parentheses are closed.
fn assignment_sign(statement: Statement<'_, '_>) -> Option<usize> {
    let mut depth = 0_usize;
    let mut previous: Option<Kind<'_>> = None;
    for (at, token) in statement.iter().enumerate() {
        match token.kind {
            Kind::Sign('(') => depth = depth.saturating_add(1),
            Kind::Sign(')') => depth = depth.checked_sub(1)?,
            Kind::Sign('=') if depth == 0 => return (at > 0).then_some(at),
            Kind::Sign('.' | '!') => {}
            Kind::Name(_) if depth == 0 => {
                // Two names in a row: a call and its argument.
                if matches!(previous, Some(Kind::Name(_) | Kind::Sign(')'))) {
                    return None;
                }
            }
            _ if depth > 0 => {}
            _ => return None,
        }
        previous = Some(token.kind);
    }
    None
}

/// How many tokens of a call statement stand in front of arguments without parentheses. All of
/// them, if the arguments are in parentheses.
fn head_length(statement: Statement<'_, '_>) -> usize {
    let mut at = usize::from(matches!(statement.first().map(|token| token.kind), Some(Kind::Sign('.' | '!'))));
    if code::name(after(statement, at)).is_none() {
        return statement.len();
    }
    at = at.saturating_add(1);
    loop {
        match statement.get(at).map(|token| token.kind) {
            Some(Kind::Sign('.' | '!')) => {
                at = at.saturating_add(1);
                if code::name(after(statement, at)).is_some() {
                    at = at.saturating_add(1);
                }
            }
            Some(Kind::Sign('(')) => {
                let Some(end) = matching_parenthesis(statement, at) else { return statement.len() };
                match statement.get(end.saturating_add(1)).map(|token| token.kind) {
                    None => return statement.len(),
                    Some(Kind::Sign('.' | '!' | '(')) => at = end.saturating_add(1),
                    Some(_) => return at,
                }
            }
            _ => return at,
        }
    }
}

/// The position of the parenthesis that closes the one at `open`.
fn matching_parenthesis(tokens: &[Token<'_>], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.kind {
            Kind::Sign('(') => depth = depth.saturating_add(1),
            Kind::Sign(')') if depth <= 1 => return Some(at),
            Kind::Sign(')') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// The variable that a statement assigns to.
fn assigned_name(statement: Statement<'_, '_>) -> Option<String> {
    let first = code::name(statement)?;
    if ["Set", "Let", "Const", "For", "Private", "Public", "Global", "Static", "Dim"]
        .iter()
        .any(|word| first.eq_ignore_ascii_case(word))
    {
        let rest = after(statement, 1);
        let rest = if starts_with(rest, "Each") || starts_with(rest, "Const") { after(rest, 1) } else { rest };
        return code::name(rest).map(str::to_lowercase);
    }
    assignment_sign(statement)?;
    Some(first.to_lowercase())
}

/// The variables and constants that a statement at module level declares.
fn declared_names(statement: Statement<'_, '_>) -> Vec<String> {
    const WORDS: &[&str] = &["Dim", "Private", "Public", "Global", "Const", "Static", "WithEvents"];
    if !WORDS.iter().any(|word| starts_with(statement, word)) {
        return Vec::new();
    }
    let name_of = |item: Statement<'_, '_>| {
        let words = item.iter().take_while(|token| WORDS.iter().any(|word| is_keyword(token, word))).count();
        code::name(after(item, words)).map(str::to_lowercase)
    };
    split_list(statement).filter_map(name_of).collect()
}

fn is_plain_type(class: &str) -> bool {
    const PLAIN: &[&str] = &[
        "string", "variant", "integer", "long", "double", "single", "boolean", "byte", "date", "currency", "object",
        "longptr", "longlong", "decimal", "any", "",
    ];
    PLAIN.contains(&class)
}

/// Libraries whose functions are the same without their name ([MS-VBAL] 6.1.2).
fn is_library(name: &str) -> bool {
    const LIBRARIES: &[&str] =
        &["VBA", "Interaction", "Strings", "Conversion", "Information", "Math", "FileSystem", "DateTime", "Global"];
    LIBRARIES.iter().any(|library| library.eq_ignore_ascii_case(name))
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
