//! Formulas as trees, whatever the notation of the file was, and as text for people.

use std::ops::Range;

use super::workbook::{Address, Area, Place};

/// Nodes of a formula that are kept; Excel takes 8192 characters.
const MAX_NODES: usize = 16 << 10;
/// Characters of a formula that are shown.
const MAX_SHOWN: usize = 400;

/// A formula: nodes, each behind its arguments.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expression {
    nodes: Vec<Node>,
    /// The arguments of all nodes, by their numbers.
    arguments: Vec<usize>,
}

/// A node of a formula.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it is.
    pub op: Op,
    /// Where its arguments stand among all ([`Expression::arguments`]).
    pub arguments: Range<usize>,
}

impl Node {
    /// Whether it stands for itself: neither arguments nor a name make something else of it.
    pub fn is_leaf(&self) -> bool {
        let is_value = matches!(self.op, Op::Number(_) | Op::Text(_) | Op::Bool(_) | Op::Missing | Op::Reference(_));
        is_value && self.arguments.is_empty()
    }
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// A truth value.
    Bool(bool),
    /// An error value.
    Error,
    /// An argument that is left out.
    Missing,
    /// A cell or more.
    Reference(Reference),
    /// A defined name, in the case in which it is written.
    Name(String),
    /// A function of Excel.
    Function(&'static str),
    /// A macro, or a function of a library: its first argument says which.
    UserDefined,
    /// An operator with two sides.
    Binary(Operator),
    /// Negation.
    Minus,
    /// A hundredth.
    Percent,
    /// A constant array, its elements the arguments.
    Array,
    /// What nobody can tell: another workbook, a table.
    Unknown,
}

/// Operators with two sides ([MS-XLS] 2.5.198.25).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "arithmetic")]
pub enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Power,
    Concat,
    Less,
    LessEqual,
    Equal,
    GreaterEqual,
    Greater,
    NotEqual,
    /// Cells that both sides have.
    Intersection,
    /// Both sides.
    Union,
    /// From here to there.
    Range,
}

impl Operator {
    /// The sign in a formula.
    pub fn sign(self) -> &'static str {
        match self {
            Operator::Add => "+",
            Operator::Subtract => "-",
            Operator::Multiply => "*",
            Operator::Divide => "/",
            Operator::Power => "^",
            Operator::Concat => "&",
            Operator::Less => "<",
            Operator::LessEqual => "<=",
            Operator::Equal => "=",
            Operator::GreaterEqual => ">=",
            Operator::Greater => ">",
            Operator::NotEqual => "<>",
            Operator::Intersection => " ",
            Operator::Union => ",",
            Operator::Range => ":",
        }
    }
}

/// Cells that a formula refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The sheet; none is that of the formula.
    pub sheet: Option<usize>,
    /// One corner.
    pub first: Corner,
    /// The other.
    pub last: Corner,
}

/// A corner of an area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corner {
    /// Downwards.
    pub row: Coordinate,
    /// To the right.
    pub column: Coordinate,
}

/// A row or a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coordinate {
    /// Counted from zero.
    At(u32),
    /// Counted from the cell of the formula.
    By(i32),
}

impl Coordinate {
    fn from(self, here: u32) -> u32 {
        match self {
            Coordinate::At(at) => at,
            Coordinate::By(by) => here.saturating_add_signed(by),
        }
    }
}

impl Corner {
    /// A corner that does not move with the formula.
    pub fn at(row: u32, column: u32) -> Self {
        Self { row: Coordinate::At(row), column: Coordinate::At(column) }
    }

    fn from(self, here: Place) -> Place {
        Place { column: self.column.from(here.column), row: self.row.from(here.row) }
    }
}

impl Reference {
    /// One cell.
    pub fn cell(sheet: Option<usize>, corner: Corner) -> Self {
        Self { sheet, first: corner, last: corner }
    }

    /// The cells, for a formula that stands `here`.
    pub fn area(self, here: Address) -> Area {
        let (one, two) = (self.first.from(here.place), self.last.from(here.place));
        Area {
            sheet: self.sheet.unwrap_or(here.sheet),
            first: Place { column: one.column.min(two.column), row: one.row.min(two.row) },
            last: Place { column: one.column.max(two.column), row: one.row.max(two.row) },
        }
    }
}

impl Expression {
    /// A formula of one node.
    pub fn constant(op: Op) -> Self {
        Self { nodes: vec![Node { op, arguments: 0..0 }], arguments: Vec::new() }
    }

    /// The node of this number.
    pub fn node(&self, number: usize) -> Option<&Node> {
        self.nodes.get(number)
    }

    /// The arguments of a node, by their numbers.
    pub fn arguments(&self, node: &Node) -> &[usize] {
        self.arguments.get(node.arguments.clone()).unwrap_or_default()
    }

    /// The number of the node that is the whole formula.
    pub fn root(&self) -> usize {
        self.nodes.len().saturating_sub(1)
    }

    /// Every node.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Whether one of these functions is called.
    pub fn calls(&self, names: &[&str]) -> bool {
        self.nodes.iter().any(|node| matches!(node.op, Op::Function(name) if names.contains(&name)))
    }

    /// The formula as Excel would show it, cut where it is long.
    pub fn text(&self, sheets: &[String]) -> String {
        let mut texts: Vec<String> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let mut arguments: Vec<String> = Vec::with_capacity(node.arguments.len());
            for number in self.arguments(node) {
                arguments.extend(texts.get_mut(*number).map(std::mem::take));
            }
            texts.push(clip(shown(&node.op, &arguments, sheets)));
        }
        format!("={}", texts.pop().unwrap_or_default())
    }
}

fn clip(text: String) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

fn shown(op: &Op, arguments: &[String], sheets: &[String]) -> String {
    let argument = |number: usize| arguments.get(number).map_or("", String::as_str);
    match op {
        Op::Number(number) => number.to_string(),
        Op::Text(text) => format!("\"{}\"", text.replace('"', "\"\"")),
        Op::Bool(value) => if *value { "TRUE" } else { "FALSE" }.to_owned(),
        Op::Error => "#N/A".to_owned(),
        Op::Missing => String::new(),
        Op::Reference(reference) => reference_text(*reference, sheets),
        Op::Name(name) => name.clone(),
        Op::Function(name) => format!("{name}({})", arguments.join(",")),
        Op::UserDefined => format!("{}({})", argument(0), arguments.get(1..).unwrap_or_default().join(",")),
        Op::Binary(operator) => format!("{}{}{}", argument(0), operator.sign(), argument(1)),
        Op::Minus => format!("-{}", argument(0)),
        Op::Percent => format!("{}%", argument(0)),
        Op::Array => format!("{{{}}}", arguments.join(",")),
        Op::Unknown => "…".to_owned(),
    }
}

fn reference_text(reference: Reference, sheets: &[String]) -> String {
    let corner = |corner: Corner| match (corner.row, corner.column) {
        (Coordinate::At(row), Coordinate::At(column)) => Place { column, row }.to_string(),
        (row, column) => format!("R{}C{}", offset(row), offset(column)),
    };
    let mut text = String::new();
    if let Some(name) = reference.sheet.and_then(|sheet| sheets.get(sheet)) {
        text = format!("{name}!");
    }
    text.push_str(&corner(reference.first));
    if reference.last != reference.first {
        text.push(':');
        text.push_str(&corner(reference.last));
    }
    text
}

fn offset(coordinate: Coordinate) -> String {
    match coordinate {
        Coordinate::At(at) => at.saturating_add(1).to_string(),
        Coordinate::By(by) => format!("[{by}]"),
    }
}

/// Puts a formula together from tokens that stand behind their arguments.
#[derive(Debug, Default)]
pub struct Builder {
    nodes: Vec<Node>,
    arguments: Vec<usize>,
    open: Vec<usize>,
}

impl Builder {
    /// Adds something without arguments.
    pub fn push(&mut self, op: Op) -> Option<()> {
        self.apply(op, 0)
    }

    /// Adds something whose arguments are the last `count`. `None` if there are fewer, or no room.
    pub fn apply(&mut self, op: Op, count: usize) -> Option<()> {
        let from = self.open.len().checked_sub(count)?;
        let first = self.arguments.len();
        self.arguments.extend(self.open.drain(from..));
        if self.nodes.len() >= MAX_NODES {
            return None;
        }
        self.open.push(self.nodes.len());
        self.nodes.push(Node { op, arguments: first..self.arguments.len() });
        Some(())
    }

    /// How many things wait for what they are arguments of.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// The formula, if it is one.
    pub fn finish(self) -> Option<Expression> {
        let is_whole = self.open.len() == 1 && self.open.first().copied() == self.nodes.len().checked_sub(1);
        is_whole.then_some(Expression { nodes: self.nodes, arguments: self.arguments })
    }
}
