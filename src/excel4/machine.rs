//! Runs macros as far as texts and flow go, without doing anything they ask for.
//!
//! Every test that depends on the computer goes both ways: the way of an ordinary computer is followed, the
//! other waits its turn. All ways share one memory, so what is found is what some run could do. Cells that
//! are never reached are looked at last. Steps and octets are bounded; what a bound cut is told.

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use super::expression::{Expression, Op, Operator};
use super::formula::{self, Notation};
use super::pure;
use super::value::{Data, GAP, Value, operate};
use super::workbook::{Address, Area, Cell, Place, SheetNumbers, Workbook};
use crate::scan::Stop;

mod actions;
mod blocks;

/// Nodes that are computed in all: those of droppers need some hundred thousand.
const MAX_NODES: usize = 1_500_000;
/// Of them, how many one way may take.
const MAX_NODES_OF_A_WAY: usize = 1_000_000;
/// Ways that wait.
const MAX_WAYS: usize = 2000;
/// Formulas within each other: names that stand for names.
const MAX_DEPTH: usize = 2000;
/// Cells of an area that are looked at.
const MAX_AREA: usize = 4096;
/// Calls that are kept.
const MAX_CALLS: usize = 500;
/// Cells that macros may write.
const MAX_WRITTEN: usize = 50_000;

/// Something that a macro would have Excel do.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The function.
    pub function: &'static str,
    /// What it is given.
    pub arguments: Vec<Value>,
    /// Where.
    pub at: Address,
    /// Whether something that runs by itself gets there.
    pub is_reached: bool,
    /// Whether another macro wrote it.
    pub is_written: bool,
}

/// What a run came to.
#[derive(Debug, Default)]
pub struct Run {
    /// What would be done, each once.
    pub calls: Vec<Call>,
    /// Formulas that macros write where macros run: where, and the text.
    pub written: Vec<(Address, String)>,
    /// How often FORMULA writes to where macros run what nobody can know.
    pub written_unknown: usize,
    /// Of all these, how many are reached from something that runs by itself.
    pub written_reached: usize,
    /// Macros ask what computer they are on: the functions.
    pub asks: Vec<&'static str>,
    /// A bound ended it.
    pub is_cut: bool,
}

/// A cell as macros leave it.
#[derive(Clone, Debug, Default)]
struct Content {
    formula: Option<Rc<Expression>>,
    value: Value,
    is_written: bool,
}

/// Where a way stands.
#[derive(Clone, Debug)]
struct Way {
    at: Address,
    /// Where it goes on after a macro that it called.
    returns: Vec<Address>,
    blocks: Vec<blocks::Block>,
    /// What the macro was called with.
    arguments: VecDeque<Value>,
    is_reached: bool,
}

/// What a formula does to the way.
#[derive(Clone, Debug, PartialEq)]
enum Flow {
    Next,
    Goto(Address),
    Call(Address),
    Return,
    Halt,
    /// A block function, and what it is given.
    Block(&'static str, Vec<Value>),
}

/// A formula that is being computed.
struct Frame {
    expression: Rc<Expression>,
    node: usize,
    /// The next argument.
    next: usize,
    /// The values of its arguments begin here.
    base: usize,
    /// Only perhaps computed: the way of a test that an ordinary computer does not take.
    is_unsure: bool,
    /// The name whose formula this is.
    name: Option<String>,
}

/// A workbook that runs.
pub struct Machine<'a> {
    sheets: Vec<BTreeMap<Place, Content>>,
    macro_sheets: Vec<bool>,
    numbers: SheetNumbers,
    names: HashMap<String, Rc<Expression>>,
    variables: HashMap<String, Value>,
    /// Functions of libraries under names of their own: library and function.
    registered: HashMap<String, Vec<Value>>,
    /// The cell that is selected.
    active: Address,
    /// The way that is followed.
    way: Way,
    /// Room for what is being computed.
    stacks: (Vec<Value>, Vec<Frame>),
    waiting: VecDeque<(Address, bool)>,
    /// What `waiting` holds.
    queued: HashSet<(Address, bool)>,
    done: HashSet<Address>,
    run: Run,
    seen: HashSet<String>,
    flow: Flow,
    unsure: usize,
    nodes: usize,
    /// Above which nothing is computed any more.
    max_nodes: usize,
    way_nodes: usize,
    /// What was read of cells since nodes were counted last, in nodes.
    looked: std::cell::Cell<usize>,
    written: usize,
    stop: &'a Stop,
}

impl<'a> Machine<'a> {
    /// A machine with the workbook in it.
    pub fn new(book: &Workbook, stop: &'a Stop) -> Self {
        let content =
            |cell: &Cell| Content { formula: cell.formula.clone(), value: cell.value.clone(), is_written: false };
        let names = book.names.iter().filter_map(|name| Some((name.name.to_lowercase(), name.formula.clone()?)));
        Self {
            sheets: book
                .sheets
                .iter()
                .map(|sheet| sheet.cells.iter().map(|(place, cell)| (*place, content(cell))).collect())
                .collect(),
            macro_sheets: book.sheets.iter().map(|sheet| sheet.is_macro).collect(),
            numbers: SheetNumbers::new(book.sheets.iter().map(|sheet| sheet.name.as_str())),
            names: names.collect(),
            variables: HashMap::new(),
            registered: HashMap::new(),
            active: Address::default(),
            way: Way {
                at: Address::default(),
                returns: Vec::new(),
                blocks: Vec::new(),
                arguments: VecDeque::new(),
                is_reached: false,
            },
            stacks: (Vec::new(), Vec::new()),
            waiting: VecDeque::new(),
            queued: HashSet::new(),
            done: HashSet::new(),
            run: Run::default(),
            seen: HashSet::new(),
            flow: Flow::Next,
            unsure: 0,
            nodes: 0,
            max_nodes: MAX_NODES,
            way_nodes: 0,
            looked: std::cell::Cell::new(0),
            written: 0,
            stop,
        }
    }

    /// Bounds the work further.
    pub fn may_compute(&mut self, nodes: usize) {
        self.max_nodes = nodes.min(MAX_NODES);
    }

    /// Where a name leads, if it leads to a cell.
    pub fn target(&mut self, name: &str) -> Option<Address> {
        let value = self.name_value(name, Address::default());
        value.area().map(Area::start)
    }

    /// Computes a formula that stands by itself: a name, or what another language hands over.
    pub fn evaluate(&mut self, formula: &Rc<Expression>, is_reached: bool) {
        self.way.is_reached = is_reached;
        self.way.at = Address::default();
        self.way_nodes = 0;
        self.flow = Flow::Next;
        self.compute(formula);
        if let Flow::Goto(at) | Flow::Call(at) = self.flow {
            self.wait(at, is_reached);
        }
    }

    /// Follows every way from these cells, then looks at all cells that no way came to.
    pub fn run(mut self, starts: &[Address]) -> Run {
        for start in starts {
            self.wait(*start, true);
        }
        self.follow_all();
        self.recompute();
        let rest: Vec<Address> = self.unreached().collect();
        for at in rest {
            if !self.done.contains(&at) {
                self.wait(at, false);
                self.follow_all();
            }
        }
        self.run
    }

    /// Formulas of macro sheets.
    fn unreached(&self) -> impl Iterator<Item = Address> + '_ {
        self.sheets.iter().enumerate().filter(|(sheet, _)| self.is_macro(*sheet)).flat_map(|(sheet, cells)| {
            let formulas = cells.iter().filter(|(_, content)| content.formula.is_some());
            formulas.map(move |(place, _)| Address { sheet, place: *place })
        })
    }

    fn is_macro(&self, sheet: usize) -> bool {
        self.macro_sheets.get(sheet).copied().unwrap_or(false)
    }

    fn wait(&mut self, at: Address, is_reached: bool) {
        if self.waiting.len() >= MAX_WAYS {
            self.run.is_cut = true;
        } else if self.queued.insert((at, is_reached)) {
            self.waiting.push_back((at, is_reached));
        }
    }

    fn follow_all(&mut self) {
        while let Some((at, is_reached)) = self.waiting.pop_front() {
            self.queued.remove(&(at, is_reached));
            if self.is_over() {
                return;
            }
            // Another way went here before.
            if self.next_formula(at).is_some_and(|at| self.done.contains(&at)) {
                continue;
            }
            self.way = Way { at, returns: Vec::new(), blocks: Vec::new(), arguments: VecDeque::new(), is_reached };
            self.way_nodes = 0;
            while self.step() {}
        }
    }

    fn is_over(&mut self) -> bool {
        let is_over = self.nodes >= self.max_nodes || self.stop.stopped();
        self.run.is_cut |= is_over;
        is_over
    }

    /// The next cell with a formula, downwards.
    fn next_formula(&self, from: Address) -> Option<Address> {
        let end = Place { column: from.place.column, row: u32::MAX };
        let mut cells = self.sheets.get(from.sheet)?.range(from.place..=end);
        let (place, _) = cells.find(|(_, content)| content.formula.is_some())?;
        Some(Address { sheet: from.sheet, place: *place })
    }

    /// Computes one cell and goes on; `false` at the end of the way.
    fn step(&mut self) -> bool {
        if self.is_over() {
            return false;
        }
        if self.way_nodes >= MAX_NODES_OF_A_WAY {
            self.run.is_cut = true;
            return false;
        }
        let Some(at) = self.next_formula(self.way.at) else { return self.end_macro() };
        self.way.at = at;
        self.done.insert(at);
        let Some(formula) = self.content(at).and_then(|content| content.formula.clone()) else { return false };
        self.flow = Flow::Next;
        self.unsure = 0;
        let value = self.compute(&formula);
        let value = self.dereferenced(value);
        if let Some(content) = self.content_mut(at) {
            content.value = value;
        }
        match std::mem::replace(&mut self.flow, Flow::Next) {
            Flow::Next => self.way.at = below(at),
            Flow::Goto(target) => self.way.at = target,
            Flow::Call(target) if self.way.returns.len() < MAX_DEPTH => {
                self.way.returns.push(below(at));
                self.way.at = target;
            }
            Flow::Return => return self.end_macro(),
            Flow::Call(_) => {
                self.run.is_cut = true;
                return false;
            }
            Flow::Halt => return false,
            Flow::Block(name, arguments) => {
                self.way.at = below(at);
                self.block(name, &arguments, at);
            }
        }
        true
    }

    fn end_macro(&mut self) -> bool {
        match self.way.returns.pop() {
            Some(at) => {
                self.way.at = at;
                true
            }
            None => false,
        }
    }

    fn content(&self, at: Address) -> Option<&Content> {
        self.sheets.get(at.sheet)?.get(&at.place)
    }

    fn content_mut(&mut self, at: Address) -> Option<&mut Content> {
        self.sheets.get_mut(at.sheet)?.get_mut(&at.place)
    }

    /// Formulas of ordinary sheets have the values of the file; where it left them out, or macros changed what
    /// they stand on, they are computed.
    fn recompute(&mut self) {
        let missing = |content: &Content| content.formula.is_some() && content.value.data == Data::Unknown;
        let sheets = self.sheets.iter().enumerate().filter(|(sheet, _)| !self.is_macro(*sheet));
        let cells: Vec<Address> = sheets
            .flat_map(|(sheet, cells)| {
                let places = cells.iter().filter(|(_, content)| missing(content)).map(|(place, _)| *place);
                places.map(move |place| Address { sheet, place })
            })
            .collect();
        for at in cells {
            let formula = self.content(at).and_then(|content| content.formula.clone());
            let Some(formula) = formula.filter(|_| self.nodes < self.max_nodes / 2) else { continue };
            self.way.at = at;
            let value = self.compute(&formula);
            let value = self.dereferenced(value);
            if let Some(content) = self.content_mut(at) {
                content.value = value;
            }
        }
    }

    /// The value of a formula. Without recursion: what is being computed stands on a stack.
    fn compute(&mut self, formula: &Rc<Expression>) -> Value {
        let (mut values, mut frames) = std::mem::take(&mut self.stacks);
        frames.push(Frame::new(formula.clone(), formula.root(), 0, false));
        while let Some(frame) = frames.last_mut() {
            let expression = frame.expression.clone();
            let Some(node) = expression.node(frame.node) else { break };
            if let Some(argument) = expression.arguments(node).get(frame.next).copied() {
                if frame.next == 1
                    && matches!(node.op, Op::Function("IF" | "CHOOSE"))
                    && let Some(condition) = values.get_mut(frame.base)
                {
                    *condition = self.dereferenced(std::mem::take(condition));
                }
                let taken = match node.op {
                    Op::Function("IF") if frame.next > 0 => branch(values.get(frame.base), frame.next),
                    Op::Function("CHOOSE") if frame.next > 0 => choice(values.get(frame.base), frame.next),
                    _ => Branch::Taken,
                };
                frame.next = frame.next.saturating_add(1);
                if taken == Branch::Left {
                    values.push(Value::EMPTY);
                    continue;
                }
                // What stands for itself needs no frame.
                if let Some(leaf) = expression.node(argument).filter(|node| node.is_leaf()) {
                    self.charge(1);
                    values.push(self.checked_apply(&leaf.op, Vec::new()));
                    continue;
                }
                let is_unsure = taken == Branch::Perhaps;
                self.unsure = self.unsure.saturating_add(usize::from(is_unsure));
                frames.push(Frame::new(expression, argument, values.len(), is_unsure));
                continue;
            }
            let arguments = values.split_off(frame.base.min(values.len()));
            let weight: usize = arguments.iter().map(Value::weight).sum();
            self.charge(weight.saturating_add(1));
            let is_unsure = frame.is_unsure;
            // A name is computed in its place.
            if let Op::Name(name) = &node.op
                && let Some(formula) = self.name_formula(name)
                && frames.len() < MAX_DEPTH
                && !frames.iter().any(|frame| frame.name.as_ref() == Some(name))
            {
                frames.pop();
                let mut inner = Frame::new(formula.clone(), formula.root(), values.len(), is_unsure);
                inner.name = Some(name.clone());
                frames.push(inner);
                continue;
            }
            // So is the text of a formula.
            if matches!(node.op, Op::Function("EVALUATE"))
                && frames.len() < MAX_DEPTH
                && let Some(text) = arguments.first().cloned().and_then(|text| self.dereferenced(text).text())
                && let Some(formula) = formula::parse(&text, Notation::A1, &self.numbers)
            {
                self.charge(text.len() / 8);
                frames.pop();
                let root = formula.root();
                frames.push(Frame::new(Rc::new(formula), root, values.len(), is_unsure));
                continue;
            }
            let value = match &node.op {
                Op::UserDefined if self.nodes < self.max_nodes => {
                    let callee = expression.arguments(node).first().and_then(|callee| expression.node(*callee));
                    self.user_defined(callee.map(|callee| &callee.op), arguments)
                }
                op => self.checked_apply(op, arguments),
            };
            frames.pop();
            self.unsure = self.unsure.saturating_sub(usize::from(is_unsure));
            values.push(value);
        }
        let value = values.pop().unwrap_or_default();
        values.clear();
        frames.clear();
        self.stacks = (values, frames);
        value
    }

    /// What an operation comes to, unless too much was computed before.
    fn checked_apply(&mut self, op: &Op, arguments: Vec<Value>) -> Value {
        if self.nodes < self.max_nodes {
            return self.apply(op, arguments);
        }
        self.run.is_cut = true;
        Value::UNKNOWN
    }

    fn apply(&mut self, op: &Op, arguments: Vec<Value>) -> Value {
        match op {
            Op::Number(number) => (*number).into(),
            Op::Text(text) => text.clone().into(),
            Op::Bool(value) => (*value).into(),
            Op::Error => Data::Error.into(),
            Op::Missing => Value::EMPTY,
            Op::Unknown => Value::UNKNOWN,
            Op::Reference(reference) => Data::Area(reference.area(self.way.at)).into(),
            Op::Name(name) => self.variables.get(&name.to_lowercase()).cloned().unwrap_or(Value::UNKNOWN),
            Op::Array => Data::List(self.all_dereferenced(arguments)).into(),
            Op::Minus => {
                let value = self.all_dereferenced(arguments).pop().unwrap_or_default();
                operate(Operator::Subtract, &0.0.into(), &value)
            }
            Op::Percent => {
                let value = self.all_dereferenced(arguments).pop().unwrap_or_default();
                operate(Operator::Divide, &value, &100.0.into())
            }
            Op::Binary(Operator::Range) => range(&arguments),
            Op::Binary(operator) => {
                let sides = self.all_dereferenced(arguments);
                let side = |number: usize| sides.get(number).unwrap_or(&Value::EMPTY);
                operate(*operator, side(0), side(1))
            }
            Op::Function("IF") => self.test(arguments),
            Op::Function("CHOOSE") => chosen(&arguments),
            Op::Function(name) => self.function(name, arguments),
            Op::UserDefined => Value::UNKNOWN,
        }
    }

    /// A block begins with a test alone; otherwise the test chose already what was computed.
    fn test(&mut self, arguments: Vec<Value>) -> Value {
        if arguments.len() < 2 {
            let arguments = self.all_dereferenced(arguments);
            self.flow = Flow::Block("IF", arguments);
            return Value::UNKNOWN;
        }
        let condition = arguments.first().cloned().map(|value| self.dereferenced(value));
        let taken = condition.as_ref().and_then(Value::truth);
        let is_guess = condition.is_some_and(|condition| condition.is_guess);
        let number = match taken {
            Some(true) => 1,
            Some(false) => 2,
            // Whatever is known.
            None if arguments.get(1).is_some_and(|value| value.data != Data::Unknown) => 1,
            None => 2,
        };
        let value = arguments.into_iter().nth(number).unwrap_or_else(|| false.into());
        value.from_guess(is_guess || taken.is_none())
    }

    fn name_formula(&self, name: &str) -> Option<Rc<Expression>> {
        let name = name.to_lowercase();
        if self.variables.contains_key(&name) {
            return None;
        }
        self.names.get(&name).cloned()
    }

    fn name_value(&mut self, name: &str, at: Address) -> Value {
        self.way.at = at;
        self.compute(&Rc::new(Expression::constant(Op::Name(name.to_owned()))))
    }

    /// Counts work, and what was read of cells meanwhile.
    fn charge(&mut self, nodes: usize) {
        let nodes = nodes.saturating_add(self.looked.take());
        self.nodes = self.nodes.saturating_add(nodes);
        self.way_nodes = self.way_nodes.saturating_add(nodes);
    }

    fn look(&self, nodes: usize) {
        self.looked.set(self.looked.get().saturating_add(nodes));
    }

    fn dereferenced(&self, value: Value) -> Value {
        let Data::Area(area) = value.data else { return value };
        if area.is_cell() {
            let value = self.content(area.start()).map_or(Value::EMPTY, |content| content.value.clone());
            self.look(value.weight());
            return value;
        }
        let Some(cells) = self.sheets.get(area.sheet) else { return Value::UNKNOWN };
        let mut items = Vec::new();
        for (seen, (place, content)) in cells.range(area.first..=area.last.max(area.first)).enumerate() {
            if seen >= MAX_AREA {
                return Value::UNKNOWN;
            }
            self.look(content.value.weight().saturating_add(1));
            if (area.first.row..=area.last.row).contains(&place.row) {
                items.push(content.value.clone());
            }
        }
        Data::List(items).into()
    }

    fn all_dereferenced(&self, arguments: Vec<Value>) -> Vec<Value> {
        arguments.into_iter().map(|argument| self.dereferenced(argument)).collect()
    }

    /// A pure function, or one that does something.
    fn function(&mut self, name: &'static str, arguments: Vec<Value>) -> Value {
        if let Some(value) = self.act(name, &arguments) {
            return value;
        }
        let arguments = self.all_dereferenced(arguments);
        pure::call(name, &arguments).unwrap_or(Value::UNKNOWN)
    }

    /// Writes a formula or a value, as FORMULA does: in either notation.
    fn write(&mut self, area: Area, value: Value) {
        let text = match &value.data {
            Data::Text(text) => text.clone(),
            _ => String::new(),
        };
        let is_formula = text.starts_with('=');
        self.charge(text.len() / 8);
        let formula = if is_formula { formula::parse(&text, Notation::R1C1, &self.numbers).map(Rc::new) } else { None };
        // A text that is a number becomes one.
        let value = match value.number() {
            Some(number) if matches!(value.data, Data::Text(_)) && !text.trim().is_empty() => {
                Value::from(number).from_guess(value.is_guess)
            }
            _ => value,
        };
        self.keep_written(area, &text);
        let is_unknown = matches!(value.data, Data::Unknown) || text.contains(GAP);
        if is_unknown && self.is_macro(area.sheet) {
            self.run.written_unknown = self.run.written_unknown.saturating_add(1);
            self.run.written_reached = self.run.written_reached.saturating_add(usize::from(self.way.is_reached));
        }
        let value = if is_formula { Value::UNKNOWN } else { value };
        let cells = places(area).take(MAX_AREA);
        for place in cells {
            if self.written >= MAX_WRITTEN {
                self.run.is_cut = true;
                return;
            }
            self.written = self.written.saturating_add(1);
            let content = Content { formula: formula.clone(), value: value.clone(), is_written: true };
            if let Some(sheet) = self.sheets.get_mut(area.sheet) {
                sheet.insert(place, content);
            }
            // What was run before is something else now.
            self.done.remove(&Address { sheet: area.sheet, place });
        }
    }

    /// Keeps the text of a formula that is written to where macros run.
    fn keep_written(&mut self, area: Area, text: &str) {
        let runs = self.is_macro(area.sheet) && text.starts_with('=') && self.run.written.len() < MAX_CALLS;
        if runs && self.seen.insert(format!("{area:?}{text}")) {
            self.run.written.push((area.start(), text.to_owned()));
            self.run.written_reached = self.run.written_reached.saturating_add(usize::from(self.way.is_reached));
        }
    }

    /// Keeps a call, each once.
    fn call(&mut self, function: &'static str, arguments: &[Value]) {
        let arguments = self.all_dereferenced(arguments.to_vec());
        let at = self.way.at;
        let is_written = self.content(at).is_some_and(|content| content.is_written);
        let call = Call { function, arguments, at, is_reached: self.way.is_reached, is_written };
        if self.run.calls.len() >= MAX_CALLS {
            self.run.is_cut = true;
            return;
        }
        self.charge(call.arguments.iter().map(Value::weight).sum());
        let shown: Vec<String> = call.arguments.iter().map(Value::shown).collect();
        if self.seen.insert(format!("{function}({}){}", shown.join(","), call.is_reached)) {
            self.run.calls.push(call);
        }
    }
}

impl Frame {
    fn new(expression: Rc<Expression>, node: usize, base: usize, is_unsure: bool) -> Self {
        Self { expression, node, next: 0, base, is_unsure, name: None }
    }
}

/// Whether an argument of a test is computed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Branch {
    Taken,
    Perhaps,
    Left,
}

/// Of IF: by its first argument, the second or the third.
fn branch(condition: Option<&Value>, number: usize) -> Branch {
    let Some(condition) = condition else { return Branch::Perhaps };
    match condition.truth() {
        Some(truth) if truth == (number == 1) => Branch::Taken,
        Some(_) if !condition.is_guess => Branch::Left,
        _ => Branch::Perhaps,
    }
}

/// Of CHOOSE: the one that its first argument counts.
fn choice(index: Option<&Value>, number: usize) -> Branch {
    match index.map(|index| (index.count(), index.is_guess)) {
        Some((Some(count), _)) if count == number => Branch::Taken,
        Some((Some(_), false)) => Branch::Left,
        _ => Branch::Perhaps,
    }
}

fn chosen(arguments: &[Value]) -> Value {
    let index = arguments.first().and_then(Value::count);
    let is_guess = arguments.first().is_some_and(|index| index.is_guess);
    index.and_then(|index| arguments.get(index)).cloned().unwrap_or_default().from_guess(is_guess)
}

/// The area from one to the other.
fn range(arguments: &[Value]) -> Value {
    let (Some(one), Some(two)) = (arguments.first().and_then(Value::area), arguments.get(1).and_then(Value::area))
    else {
        return Value::UNKNOWN;
    };
    let first = Place { column: one.first.column.min(two.first.column), row: one.first.row.min(two.first.row) };
    let last = Place { column: one.last.column.max(two.last.column), row: one.last.row.max(two.last.row) };
    Data::Area(Area { sheet: one.sheet, first, last }).into()
}

fn below(at: Address) -> Address {
    Address { sheet: at.sheet, place: Place { column: at.place.column, row: at.place.row.saturating_add(1) } }
}

/// The cells of an area, row by row.
fn places(area: Area) -> impl Iterator<Item = Place> {
    let columns = area.first.column..=area.last.column;
    (area.first.row..=area.last.row).flat_map(move |row| columns.clone().map(move |column| Place { column, row }))
}
