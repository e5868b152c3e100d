//! Loops and blocks of macros: WHILE, FOR and FOR.CELL up to NEXT, IF with a test alone up to END.IF.

use super::{MAX_DEPTH, Machine, below};
use crate::excel4::expression::Op;
use crate::excel4::value::{Data, Value};
use crate::excel4::workbook::{Address, Area, Place};

/// Rounds of a loop.
const MAX_ROUNDS: usize = 20_000;
/// Cells that are passed over in search of the end of a block.
const MAX_PASSED: usize = 20_000;

/// A block that the way is in.
#[derive(Clone, Debug)]
pub(super) enum Block {
    /// Its WHILE, and how often it went round.
    While(Address, usize),
    /// The name that counts, its value, the last, the step, and where the body begins.
    For { name: String, value: f64, last: f64, step: f64, body: Address },
    /// The name, the cells, how many of them were taken, and where the body begins.
    Cells { name: String, area: Area, taken: usize, body: Address },
    /// Whether one of its branches was surely taken.
    If(bool),
}

impl Machine<'_> {
    /// What a block function at `at` does; the way stands below it already.
    pub(super) fn block(&mut self, name: &str, arguments: &[Value], at: Address) {
        let first = arguments.first();
        let truth = first.and_then(Value::truth);
        let is_sure = truth.is_some() && first.is_some_and(|value| !value.is_guess);
        match name {
            "WHILE" if truth == Some(false) && is_sure => {
                if matches!(self.way.blocks.last(), Some(Block::While(start, _)) if *start == at) {
                    self.way.blocks.pop();
                }
                self.skip(&["NEXT"]);
            }
            "WHILE" => {
                let rounds = match self.way.blocks.last() {
                    Some(Block::While(start, rounds)) if *start == at => rounds.saturating_add(1),
                    _ => {
                        self.enter(Block::While(at, 0));
                        0
                    }
                };
                // Nobody knows when it ends: two rounds tell what it does.
                let most = if is_sure { MAX_ROUNDS } else { 2 };
                if let Some(Block::While(_, counted)) = self.way.blocks.last_mut() {
                    *counted = rounds;
                }
                if rounds >= most {
                    self.run.is_cut |= is_sure;
                    self.way.blocks.pop();
                    self.skip(&["NEXT"]);
                }
            }
            "FOR" => self.count(arguments, at),
            "FOR.CELL" => {
                let name = first.and_then(Value::text);
                if let (Some(name), Some(area)) = (name, arguments.get(1).and_then(Value::area)) {
                    self.enter(Block::Cells { name, area, taken: 0, body: below(at) });
                    self.next_round();
                }
            }
            "NEXT" => self.next_round(),
            "BREAK" => {
                while let Some(block) = self.way.blocks.pop() {
                    if !matches!(block, Block::If(_)) {
                        break;
                    }
                }
                self.skip(&["NEXT"]);
            }
            "IF" => {
                self.enter(Block::If(truth == Some(true) && is_sure));
                if truth == Some(false) && is_sure {
                    self.skip(&["ELSE", "ELSE.IF", "END.IF"]);
                }
            }
            "ELSE" | "ELSE.IF" => match self.way.blocks.last_mut() {
                Some(Block::If(true)) => {
                    self.skip(&["END.IF"]);
                }
                Some(Block::If(taken)) => {
                    *taken = is_sure && truth == Some(true);
                    if name == "ELSE.IF" && is_sure && truth == Some(false) {
                        self.skip(&["ELSE", "ELSE.IF", "END.IF"]);
                    }
                }
                _ => {}
            },
            "END.IF" if matches!(self.way.blocks.last(), Some(Block::If(_))) => {
                self.way.blocks.pop();
            }
            _ => {}
        }
    }

    fn enter(&mut self, block: Block) {
        if self.way.blocks.len() < MAX_DEPTH {
            self.way.blocks.push(block);
        } else {
            self.run.is_cut = true;
        }
    }

    fn count(&mut self, arguments: &[Value], at: Address) {
        let number = |at: usize| arguments.get(at).and_then(Value::number);
        let Some(name) = arguments.first().and_then(Value::text) else { return };
        let (Some(start), Some(last)) = (number(1), number(2)) else { return };
        let step = number(3).filter(|step| *step != 0.0).unwrap_or(1.0);
        self.variables.insert(name.to_lowercase(), start.into());
        if (step > 0.0 && start > last) || (step < 0.0 && start < last) {
            self.skip(&["NEXT"]);
        } else {
            self.enter(Block::For { name, value: start, last, step, body: below(at) });
        }
    }

    /// The end of a loop, or the beginning of FOR.CELL.
    fn next_round(&mut self) {
        // A block that did not end ends with its loop.
        while matches!(self.way.blocks.last(), Some(Block::If(_))) {
            self.way.blocks.pop();
        }
        let Some(block) = self.way.blocks.last_mut() else { return };
        match block {
            Block::While(start, _) => self.way.at = *start,
            Block::For { name, value, last, step, body } => {
                *value += *step;
                if (*step > 0.0 && *value <= *last) || (*step < 0.0 && *value >= *last) {
                    self.variables.insert(name.to_lowercase(), (*value).into());
                    self.way.at = *body;
                } else {
                    self.way.blocks.pop();
                }
            }
            Block::Cells { name, area, taken, body } => {
                let columns = area.last.column.saturating_sub(area.first.column).saturating_add(1);
                let number = u32::try_from(*taken).unwrap_or(u32::MAX);
                let (row, column) = (number.checked_div(columns), number.checked_rem(columns));
                let place = Place {
                    column: area.first.column.saturating_add(column.unwrap_or(0)),
                    row: area.first.row.saturating_add(row.unwrap_or(0)),
                };
                *taken = taken.saturating_add(1);
                let is_first = *taken == 1;
                if place.row <= area.last.row && *taken <= MAX_ROUNDS {
                    let cell = Data::Area(Area { sheet: area.sheet, first: place, last: place });
                    self.variables.insert(name.to_lowercase(), cell.into());
                    self.way.at = *body;
                } else {
                    self.way.blocks.pop();
                    if is_first {
                        self.skip(&["NEXT"]);
                    }
                }
            }
            Block::If(_) => {}
        }
    }

    /// Goes down to the end of the block, passing over the blocks within: below NEXT or END.IF, below ELSE, to ELSE.IF.
    fn skip(&mut self, ends: &[&str]) {
        let mut depth = 0_usize;
        let mut at = self.way.at;
        for _ in 0..MAX_PASSED {
            self.charge(1);
            let Some(next) = self.next_formula(at) else { break };
            at = next;
            let root = self.content(at).and_then(|content| content.formula.as_ref());
            let node = root.and_then(|formula| formula.node(formula.root()));
            let name = match node.map(|node| (&node.op, node.arguments.len())) {
                Some((Op::Function("IF"), count)) if count > 1 => "",
                Some((Op::Function(name), _)) => name,
                _ => "",
            };
            if depth == 0 && ends.contains(&name) {
                if name == "END.IF" && matches!(self.way.blocks.last(), Some(Block::If(_))) {
                    self.way.blocks.pop();
                }
                self.way.at = if name == "ELSE.IF" { at } else { below(at) };
                return;
            }
            match name {
                "IF" | "WHILE" | "FOR" | "FOR.CELL" => depth = depth.saturating_add(1),
                "NEXT" | "END.IF" => depth = depth.saturating_sub(1),
                _ => {}
            }
            at = below(at);
        }
        // There is no end: the macro ends.
        self.way.at = below(at);
    }
}
