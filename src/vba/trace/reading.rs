//! Expressions in the middle of being read: operands and operators by precedence ([MS-VBAL] 5.6.9), argument
//! lists and parentheses within each other. All of them share a few stacks, so that reading takes no memory of
//! its own.

use std::ops::Range;

use crate::vba::fold::{self, Value};

/// `-` in front of an operand, and `Not`.
const NEGATE: char = '~';
pub const NOT: char = 'N';

/// What is being read, the outermost first.
#[derive(Default)]
pub struct Reading {
    frames: Vec<Frame>,
    values: Vec<Value>,
    operators: Vec<char>,
}

/// An argument list, or a pair of parentheses. What it has on the stacks lies above those around it.
struct Frame {
    callee: Option<Callee>,
    /// Where its arguments begin, and where the operands of the one that is being read.
    arguments: usize,
    operands: usize,
    /// Where its operators begin.
    operators: usize,
    /// The last thing read was an operand, so an operator or a separator comes next.
    has_operand: bool,
}

/// What is called: `receiver.name.name…`
pub struct Callee {
    /// The object, if it is no name.
    pub receiver: Option<Value>,
    /// Where the names stand in the list.
    pub path: Range<usize>,
}

impl Reading {
    /// Argument lists and parentheses that are open.
    pub fn depth(&self) -> usize {
        self.frames.len()
    }

    /// Opens a pair of parentheses, or the argument list of a `callee`.
    pub fn open(&mut self, callee: Option<Callee>) {
        let (arguments, operators) = (self.values.len(), self.operators.len());
        self.frames.push(Frame { callee, arguments, operands: arguments, operators, has_operand: false });
    }

    /// Ends the innermost: what is called, if it was an argument list.
    pub fn end(&mut self) -> Option<Callee> {
        let first = self.frames.last().map_or(0, |frame| frame.arguments);
        let callee = self.frames.last_mut().and_then(|frame| frame.callee.take());
        if callee.is_none() || self.values.len() > first {
            self.next_argument();
        }
        callee
    }

    /// The arguments of the innermost.
    pub fn arguments(&self) -> &[Value] {
        let first = self.frames.last().map_or(0, |frame| frame.arguments);
        self.values.get(first..).unwrap_or_default()
    }

    /// Puts the innermost away. Gives its last argument.
    pub fn close(&mut self) -> Value {
        let Some(frame) = self.frames.pop() else { return Value::Unknown };
        self.operators.truncate(frame.operators);
        let last = if self.values.len() > frame.arguments { self.values.pop() } else { None };
        self.values.truncate(frame.arguments);
        last.unwrap_or_default()
    }

    /// Puts everything away. Gives the arguments of the outermost.
    pub fn finish(&mut self) -> impl Iterator<Item = Value> {
        self.next_argument();
        self.frames.clear();
        self.operators.clear();
        self.values.drain(..)
    }

    /// Whether the last thing read was an operand.
    pub fn has_operand(&self) -> bool {
        self.frames.last().is_some_and(|frame| frame.has_operand)
    }

    fn set_operand(&mut self, has_operand: bool) {
        if let Some(frame) = self.frames.last_mut() {
            frame.has_operand = has_operand;
        }
    }

    /// An operand. Behind another one it is the next argument.
    pub fn operand(&mut self, value: Value) {
        if self.has_operand() {
            self.next_argument();
        }
        self.values.push(value);
        self.set_operand(true);
    }

    /// Takes the last operand of the argument that is being read.
    pub fn pop(&mut self) -> Value {
        let first = self.frames.last().map_or(0, |frame| frame.operands);
        if self.values.len() > first { self.values.pop().unwrap_or_default() } else { Value::Unknown }
    }

    /// A name of an argument was no operand.
    pub fn forget_name(&mut self) {
        self.pop();
        self.set_operand(false);
    }

    /// An operator between operands, or in front of one.
    pub fn operator(&mut self, operator: char) {
        if !self.has_operand() {
            match operator {
                '-' => self.operators.push(NEGATE),
                NOT => self.operators.push(NOT),
                _ => {}
            }
            return;
        }
        while self.own_operator().is_some_and(|top| precedence(top) >= precedence(operator)) {
            self.apply();
        }
        self.operators.push(operator);
        self.set_operand(false);
    }

    /// The last operator of the innermost.
    fn own_operator(&self) -> Option<char> {
        let first = self.frames.last().map_or(0, |frame| frame.operators);
        self.operators.get(first..)?.last().copied()
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

    /// Ends the argument that is being read; an empty one is not known.
    pub fn next_argument(&mut self) {
        while self.own_operator().is_some() {
            self.apply();
        }
        let argument = self.pop();
        if let Some(frame) = self.frames.last_mut() {
            self.values.truncate(frame.operands);
            self.values.push(argument);
            frame.operands = self.values.len();
            frame.has_operand = false;
        }
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
