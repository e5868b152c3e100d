//! Whether other readers see the structure that we would cut: our lenient walk with all its ways to
//! read a message, and mail-parser.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::panic::catch_unwind;

use mail_parser::{Message, MessageParser, PartType};

use super::structure::{Level, Node, Structure};
use crate::mime::skeleton::Skeleton;
use crate::mime::walk::Kind;
use crate::mime::{self, MAX_SECOND_FIELDS, MAX_SECOND_WORK, content_types, trimmed};

const OTHER: &str = "another parser sees other parts";

/// Whether every reader sees `structure` in `raw`; what lies inside of `gone` does not matter.
///
/// # Errors
/// What is not certain, in words.
pub(super) fn agree(raw: &[u8], structure: &Structure, gone: &[Range<usize>]) -> Result<(), &'static str> {
    let inside = |range: &Range<usize>| is_inside(range, gone);
    if let Some((_, flaw)) = structure.flaws.iter().find(|(range, _)| !inside(range)) {
        return Err(flaw);
    }
    for (number, level) in structure.levels.iter().enumerate().filter(|(_, level)| !inside(&level.range)) {
        let nodes: Vec<&Node> = structure.nodes.iter().filter(|node| node.level == number).collect();
        lenient(raw, level, &nodes)?;
    }
    let ours = structure.nodes.iter().filter(|node| !node.message && !inside(&node.span));
    let ours: BTreeSet<_> = ours.map(|node| trimmed(raw, &node.body)).filter(|(start, end)| start < end).collect();
    let theirs = other_leaves(raw).ok_or("another parser fails on it")?;
    let theirs: BTreeSet<_> = theirs
        .iter()
        .map(|body| trimmed(raw, body))
        .filter(|(start, end)| start < end && !inside(&(*start..*end)))
        .collect();
    if ours == theirs { Ok(()) } else { Err(OTHER) }
}

/// Whether `range` lies in one of `gone`.
pub(super) fn is_inside(range: &Range<usize>, gone: &[Range<usize>]) -> bool {
    gone.iter().any(|outer| outer.start <= range.start && range.end <= outer.end)
}

/// Whether our lenient walk sees exactly these nodes in one message.
fn lenient(raw: &[u8], level: &Level, nodes: &[&Node]) -> Result<(), &'static str> {
    let octets = raw.get(level.range.clone()).unwrap_or_default();
    let mail = mime::read(octets);
    if let Some(doubt) = mail.doubts.first() {
        return Err(doubt);
    }
    if !mail.limits.is_empty() {
        return Err("more parts than are taken apart");
    }
    let mut expected: HashMap<(usize, usize), &Range<usize>> =
        nodes.iter().map(|node| (trimmed(raw, &node.body), &node.span)).collect();
    expected.retain(|(start, end), _| start < end);
    let outside: BTreeSet<_> = level.outside.iter().map(|range| trimmed(raw, range)).collect();
    let shift = |range: &Range<usize>| {
        range.start.saturating_add(level.range.start)..range.end.saturating_add(level.range.start)
    };
    for entity in &mail.entities {
        if let Some(doubt) = entity.doubt {
            return Err(doubt);
        }
        let place = trimmed(raw, &shift(&entity.body));
        let seen = expected.remove(&place).is_some_and(|span| *span == shift(&entity.span));
        let empty = place.0 >= place.1;
        if matches!(entity.kind, Kind::Encoded(_)) || !(seen || empty || outside.contains(&place)) {
            return Err("parts outside of the structure");
        }
    }
    if expected.is_empty() { Ok(()) } else { Err("a part that only some readers see") }
}

/// The bodies of the leaves that mail-parser sees, those of messages inside included. `None` if it fails.
fn other_leaves(raw: &[u8]) -> Option<Vec<Range<usize>>> {
    let skeleton = Skeleton::of(raw);
    let octets = skeleton.octets.as_slice();
    let fields = content_types(octets);
    if fields > MAX_SECOND_FIELDS || fields.saturating_mul(octets.len()) > MAX_SECOND_WORK {
        return None;
    }
    // It asserts what senders can break.
    let message = catch_unwind(|| MessageParser::default().parse(octets)).ok()??;
    let mut leaves = Vec::new();
    let mut messages: Vec<&Message<'_>> = vec![&message];
    while let Some(message) = messages.pop() {
        for part in &message.parts {
            match &part.body {
                // One that was not encoded shares our octets.
                PartType::Message(inner) if inner.raw_message.len() == octets.len() => messages.push(inner),
                PartType::Multipart(_) => {}
                PartType::Message(_)
                | PartType::Text(_)
                | PartType::Html(_)
                | PartType::Binary(_)
                | PartType::InlineBinary(_) => {
                    let [body, end] = [part.offset_body, part.offset_end]
                        .map(|offset| skeleton.original(offset as usize).min(raw.len()));
                    leaves.push(body..end.max(body));
                }
            }
        }
    }
    Some(leaves)
}
