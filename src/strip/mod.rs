//! `strip`: cuts the offending parts out of a message and puts a notice in the place of each.
//!
//! Only where there is no doubt. The structure is read once without any leniency (`structure.rs`), our
//! lenient walk and mail-parser must see the same (`agree.rs`), and the result is read again by all
//! three: it must have the parts that it had, octet for octet, and a notice for each that is gone.
//! Everything else is [`Refused`], and the caller holds the message instead.
//!
//! What is cut is a leaf of the MIME structure by its raw span, header section included. Delimiters
//! and the line break before them stay. Parts of a forwarded message that is not encoded are cut
//! inside of it; one that is encoded, or that has no multipart, goes as a whole. If the message itself
//! has no multipart, its body becomes the notice, and the fields that described the old body change
//! ([`Stripped::fields`]).
//!
//! Signatures (S/MIME, PGP, DKIM) over what changes do not match any more; the notice says so where
//! the message was a multipart/signed.

mod agree;
mod notice;
mod structure;

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use crate::finding::{self, Category};
use crate::marks::{Changes, Field, FieldChange, HeaderText};
use crate::message::Splice;
use crate::mime;
use crate::part::{Origin, PartPath};
use crate::scan::{PartReport, Report};
use crate::verdict::{self, Level};
use agree::{agree, is_inside};
use notice::Removed;
use structure::{Node, Structure};

/// Why a message is not stripped. The caller holds it instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No part was named.
    NothingToStrip,
    /// Two mail readers may see different parts: why, in words.
    Ambiguous(&'static str),
    /// What was named is no MIME part of its own: the message as such, a file within its text.
    NotAPart(PartPath),
    /// The result was read again and is not what it should be.
    Unverified(&'static str),
    /// The spooled message could not be read back: why.
    Unreadable(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::NothingToStrip => f.write_str("no part is to be taken out"),
            Refused::Ambiguous(what) => write!(f, "the structure can be read in two ways: {what}"),
            Refused::NotAPart(path) if *path == PartPath::root() => f.write_str("the message itself is meant"),
            Refused::NotAPart(path) => write!(f, "{path} is no MIME part that can be cut out"),
            Refused::Unreadable(why) => write!(f, "the spooled message cannot be read back: {why}"),
            Refused::Unverified(what) => write!(f, "the stripped message is not what it should be: {what}"),
        }
    }
}

/// The languages of the notices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Languages {
    /// English.
    English,
    /// Japanese.
    Japanese,
    /// Japanese, then English.
    #[default]
    Both,
}

/// What the notices say.
#[derive(Clone, Copy, Debug)]
pub struct Notice<'a> {
    /// The id under which the original is held: what to quote when asking for it.
    pub id: &'a str,
    /// In which languages.
    pub languages: Languages,
}

/// How a stripped copy differs from the message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stripped {
    /// Changes behind the header section, sorted.
    pub body: Vec<Splice>,
    /// Fields of the message's own header section that go or change: none, unless the message is nothing
    /// but the part.
    pub fields: Vec<FieldChange>,
    /// Fields that its header section lacks then.
    pub add: Vec<Field>,
}

impl Stripped {
    /// The copy's other changes and these.
    pub fn join(&self, changes: &mut Changes) {
        changes.prepend.extend(self.add.iter().cloned());
        changes.fields.extend(self.fields.iter().cloned());
        changes.body.extend(self.body.iter().cloned());
    }

    /// The copy of a message that is in memory.
    pub fn apply(&self, raw: &[u8]) -> Vec<u8> {
        let mut changes = Changes::default();
        self.join(&mut changes);
        changes.edits().apply(raw)
    }
}

/// The MIME parts to take out: those of every document that is suspicious or worse, or that could not
/// be inspected, at whatever depth it was found. In the order of their paths, none inside another.
///
/// A lure in the mail's own text makes documents suspicious, and those go; the text stays, since
/// without them it asks for nothing. So does a text with nothing but lures of its own. A text with
/// anything worse in it goes like a file.
///
/// The path of the message itself is among them if it as such could not be inspected: no part to take
/// out makes up for that, and [`strip`] refuses.
pub fn offending(report: &Report) -> Vec<PartPath> {
    let parts: HashMap<&PartPath, &PartReport> = report.parts.iter().map(|part| (&part.path, part)).collect();
    let document = |path: &PartPath| parts.get(path).map_or_else(|| path.clone(), |part| part.document.clone());
    let mut worse: HashMap<PartPath, bool> = HashMap::new();
    for finding in &report.findings {
        *worse.entry(document(&finding.part)).or_default() |= finding.id.category != Category::Lure;
    }
    let is_text = |path: &PartPath| parts.get(path).is_some_and(|part| part.origin == Origin::Body);
    let bad = verdict::levels(report).into_iter().filter(|(_, level)| *level >= Level::Suspicious);
    let bad = bad.map(|(path, _)| path).filter(|path| !is_text(path) || worse.get(path) == Some(&true));
    let blind =
        report.findings.iter().filter(|finding| finding.id.reason.is_some()).map(|finding| finding.part.clone());
    let mut paths: Vec<PartPath> = bad.chain(blind).map(|path| entity(&parts, &path)).collect();
    // Sorted, a part comes before what is inside it.
    paths.sort();
    paths.dedup_by(|later, first| later.is_within(first));
    paths
}

/// The nearest part around `path`, or itself, whose octets stand in the message.
fn entity(parts: &HashMap<&PartPath, &PartReport>, path: &PartPath) -> PartPath {
    let stands = |path: &PartPath| parts.get(path).is_some_and(|part| part.span.is_some());
    path.with_ancestors().find(stands).unwrap_or_default()
}

/// Cuts the MIME parts that are, or hold, the `offending` ones out of `raw`. `report` is what the scan
/// of `raw` said.
///
/// # Errors
/// Why the message must not be cut; it was not changed.
pub fn strip(raw: &[u8], report: &Report, offending: &[PartPath], notice: &Notice<'_>) -> Result<Stripped, Refused> {
    if offending.is_empty() {
        return Err(Refused::NothingToStrip);
    }
    let structure = Structure::read(raw).map_err(Refused::Ambiguous)?;
    let found = cuts(&structure, report, offending);
    let cuts = found.as_deref().unwrap_or_default();
    let gone: Vec<Range<usize>> =
        cuts.iter().filter_map(|cut| structure.nodes.get(*cut)).map(|n| n.span.clone()).collect();
    agree(raw, &structure, &gone).map_err(Refused::Ambiguous)?;
    found.clone()?;
    told_ambiguous(report, &gone)?;
    let stripped = splice(raw, &structure, report, cuts, notice);
    verify(raw, &structure, cuts, &gone, &stripped)?;
    Ok(stripped)
}

/// The nodes to cut, in order, none inside another.
fn cuts(structure: &Structure, report: &Report, offending: &[PartPath]) -> Result<Vec<usize>, Refused> {
    let parts: HashMap<&PartPath, &PartReport> = report.parts.iter().map(|part| (&part.path, part)).collect();
    let mut cuts = Vec::new();
    for path in offending {
        let node = node_of(structure, &parts, path).ok_or_else(|| Refused::NotAPart(path.clone()))?;
        cuts.push(node);
    }
    cuts.sort_unstable();
    cuts.dedup();
    let spans: Vec<(usize, Range<usize>)> =
        cuts.iter().filter_map(|cut| structure.nodes.get(*cut).map(|node| (*cut, node.span.clone()))).collect();
    cuts.retain(|cut| {
        let others = |span: &Range<usize>| {
            spans.iter().any(|(other, outer)| other != cut && is_inside(span, std::slice::from_ref(outer)))
        };
        structure.nodes.get(*cut).is_some_and(|node| !others(&node.span))
    });
    Ok(cuts)
}

/// The node to cut for the part at `path`: the innermost that holds its octets, if it is this part or
/// one around it. A file that stands in a text is a part beside that text, and so has none.
fn node_of(structure: &Structure, parts: &HashMap<&PartPath, &PartReport>, path: &PartPath) -> Option<usize> {
    if !parts.contains_key(path) {
        return None;
    }
    let spans: Vec<&Range<usize>> = path.with_ancestors().filter_map(|path| parts.get(&path)?.span.as_ref()).collect();
    let place = spans.first()?;
    let holds = |node: &Node| node.span.start <= place.start && place.end <= node.span.end;
    let mut number = structure.nodes.iter().rposition(holds)?;
    let mut node = structure.nodes.get(number)?;
    if !spans.contains(&&node.span) {
        return None;
    }
    // The header of a forwarded message describes its only content: they go together.
    while let Some(around) = structure.levels.get(node.level).filter(|_| node.sole).and_then(|level| level.around) {
        number = around;
        node = structure.nodes.get(number)?;
    }
    Some(number)
}

/// What the scan found ambiguous, outside of what goes.
fn told_ambiguous(report: &Report, gone: &[Range<usize>]) -> Result<(), Refused> {
    let parts: HashMap<&PartPath, &PartReport> = report.parts.iter().map(|part| (&part.path, part)).collect();
    let goes = |path: &PartPath| {
        parts.get(&entity(&parts, path)).and_then(|part| part.span.as_ref()).is_some_and(|span| is_inside(span, gone))
    };
    let told = |finding: &&finding::Finding| finding.id == finding::MIME_AMBIGUOUS && !goes(&finding.part);
    match report.findings.iter().find(told) {
        Some(_) => Err(Refused::Ambiguous("a content that can be decoded in two ways")),
        None => Ok(()),
    }
}

/// The changes that put a notice in the place of each cut.
fn splice(raw: &[u8], structure: &Structure, report: &Report, cuts: &[usize], notice: &Notice<'_>) -> Stripped {
    let mut stripped = Stripped::default();
    for node in cuts.iter().filter_map(|cut| structure.nodes.get(*cut)) {
        let parts = report.parts.iter().filter(|part| part.span.as_ref() == Some(&node.span)).collect();
        let removed = Removed { parts, message: node.message, signed: node.signed };
        let with = if node.sole {
            (stripped.fields, stripped.add) = field_changes(raw, structure);
            notice::body(notice, report, &removed, structure.newline).into_bytes()
        } else {
            notice::part(notice, report, &removed, structure.newline)
        };
        stripped.body.push(Splice { range: octets(&node.span), with: with.into() });
    }
    stripped
}

/// The message becomes a notice: every field that described its content goes, or says what is there now.
/// Also the fields that are missing.
fn field_changes(raw: &[u8], structure: &Structure) -> (Vec<FieldChange>, Vec<Field>) {
    let mut counts: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut changes = Vec::new();
    for field in mime::fields(raw).take_while(|field| field.span.end <= structure.header.end) {
        let name = raw.get(field.name.clone()).unwrap_or_default();
        let index = counts.entry(name.to_ascii_lowercase()).or_default();
        *index = index.saturating_add(1);
        let new = notice::FIELDS.iter().find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name));
        let described = name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"content-"));
        if new.is_some() || described {
            let new = new.map(|(_, value)| Bytes::from(format!(" {value}")));
            let (name, index) = (Bytes::copy_from_slice(name), *index);
            changes.push(FieldChange { name, index, span: field.span, value: field.value, new });
        }
    }
    let missing = |name: &str| !counts.contains_key(name.to_ascii_lowercase().as_bytes());
    let known = [("MIME-Version", "1.0")].into_iter().chain(notice::FIELDS);
    let add = known.filter(|(name, _)| missing(name)).map(|(name, value)| Field::new(name, &HeaderText::new(value)));
    (changes, add.collect())
}

/// Reads the stripped message again: the same parts, octet for octet, a notice for each that went.
fn verify(
    raw: &[u8],
    before: &Structure,
    cuts: &[usize],
    gone: &[Range<usize>],
    stripped: &Stripped,
) -> Result<(), Refused> {
    let copy = stripped.apply(raw);
    let after = Structure::read(&copy).map_err(Refused::Unverified)?;
    agree(&copy, &after, &[]).map_err(Refused::Unverified)?;
    let kept = |(number, node): &(usize, &Node)| cuts.contains(number) || !is_inside(&node.span, gone);
    let kept: Vec<(usize, &Node)> = before.nodes.iter().enumerate().filter(kept).collect();
    if kept.len() != after.nodes.len() {
        return Err(Refused::Unverified("another number of parts"));
    }
    let mut notices = stripped.body.iter();
    for ((number, old), new) in kept.into_iter().zip(&after.nodes) {
        let same = if cuts.contains(&number) {
            notices.next().is_some_and(|notice| copy.get(new.span.clone()) == Some(&notice.with))
        } else {
            // What is inside of a message has its own turn.
            let end = |node: &Node| if node.message { node.body.start } else { node.span.end };
            raw.get(old.span.start..end(old)) == copy.get(new.span.start..end(new)) && old.message == new.message
        };
        if !same {
            return Err(Refused::Unverified("a part that is not what it was"));
        }
    }
    Ok(())
}

fn octets(range: &Range<usize>) -> Range<u64> {
    range.start as u64..range.end as u64
}
