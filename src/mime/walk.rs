//! The linear walk: raw bytes to entities (RFC 2046 5.1), by delimiter lines and a work list.
//!
//! Nothing is decoded here, and nothing is copied. The walk takes every way in which mail readers
//! are known to read a structure: each boundary that is declared, more than one Content-Type,
//! parts before the first delimiter and behind the last, structures that nobody declared. What only
//! some readers see carries a doubt.

use std::collections::HashSet;
use std::ops::Range;

use memchr::memmem;

use crate::limits::Limit;
use crate::mime::decode::{self, Transfer};
use crate::mime::header::{Ends, Fields, is_content_field, line};
use crate::mime::params::{self, Value};
use crate::part::Name;

/// Nesting of multiparts inside one message: honest mail has four, and every level costs a
/// pass over its octets.
const MAX_LEVELS: u32 = 40;
/// Entities of one message: five times `max_files`, since several readings of one part count.
const MAX_ENTITIES: usize = 10_000;
/// How often every octet of a message may be looked at by all levels and readings together.
const MAX_PASSES: usize = 100;
/// Content fields of one header section that are read; honest parts have six.
const MAX_CONTENT_FIELDS: usize = 40;
/// Boundaries of one header section that are tried.
const MAX_BOUNDARIES: usize = 8;

/// A leaf of the structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    /// Header section and body, without delimiters: what is cut out to strip the part. Of a
    /// message that is not multipart, the body alone: the header is the message's.
    pub span: Range<usize>,
    /// The body, still encoded.
    pub body: Range<usize>,
    /// Every name it was given, the one that most readers show first.
    pub names: Vec<Name>,
    /// The declared media type, lower case.
    pub declared: Option<String>,
    /// The transfer encodings it was labelled with.
    pub transfers: Vec<Transfer>,
    /// What it is by its header.
    pub kind: Kind,
    /// Why some readers do not see it.
    pub doubt: Option<&'static str>,
}

/// What an entity is by its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text that a reader shows in line.
    Inline,
    /// A file.
    File,
    /// A message.
    Message,
    /// A multipart that was transfer-encoded as a whole. Holds the header section with which the
    /// decoded content makes a message.
    Encoded(Vec<u8>),
}

/// How to read lines and delimiters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub ends: Ends,
    /// A line that only begins with a delimiter is one.
    pub lax: bool,
}

/// What one walk saw.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    pub entities: Vec<Entity>,
    pub doubts: Vec<&'static str>,
    pub limits: Vec<Limit>,
    /// Lines that begin with a boundary and go on, and all boundaries that were declared.
    suspects: HashSet<Vec<u8>>,
    boundaries: HashSet<Vec<u8>>,
    looked_at: usize,
}

impl Walk {
    /// Whether a line begins with a boundary in use, goes on, and is no other boundary.
    pub fn has_suspects(&self) -> bool {
        self.suspects.iter().any(|suspect| !self.boundaries.contains(suspect))
    }
}

/// Walks over `raw`.
pub(crate) fn walk(raw: &[u8], manner: Manner) -> Walk {
    let mut walk = Walk::default();
    let root = Task { range: 0..raw.len(), level: 0, role: Role::Root, digest: false, doubt: None };
    let mut tasks = vec![root];
    while let Some(task) = tasks.pop() {
        walk.looked_at = walk.looked_at.saturating_add(task.range.len());
        let stop = if task.level > MAX_LEVELS {
            Some(Limit::Recursion)
        } else if walk.entities.len().saturating_add(tasks.len()) > MAX_ENTITIES {
            Some(Limit::Files)
        } else if walk.looked_at > raw.len().saturating_mul(MAX_PASSES).saturating_add(1 << 20) {
            Some(Limit::ScanSize)
        } else {
            None
        };
        if let Some(limit) = stop {
            // What is not taken apart any more is still a part.
            if !walk.limits.contains(&limit) {
                walk.limits.push(limit);
                walk.region(raw, &task.range, task.doubt);
            }
            continue;
        }
        let mut found = Vec::new();
        walk.step(raw, manner, &task, &mut found);
        found.sort_by_key(|task| std::cmp::Reverse(task.range.start));
        tasks.append(&mut found);
    }
    walk.entities.sort_by_key(|entity| (entity.body.start, entity.body.end));
    walk
}

/// A stretch of the message on the work list.
#[derive(Debug)]
struct Task {
    range: Range<usize>,
    level: u32,
    role: Role,
    /// Inside multipart/digest, where a part is a message unless it says otherwise.
    digest: bool,
    doubt: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// The message.
    Root,
    /// A part between two delimiters.
    Part,
    /// A header section in the middle of text: counts only if it makes a file.
    Embedded,
    /// What stands before the first delimiter, or behind the last.
    Outside,
}

impl Walk {
    fn step(&mut self, raw: &[u8], manner: Manner, task: &Task, found: &mut Vec<Task>) {
        if task.role == Role::Outside {
            self.region(raw, &task.range, task.doubt);
            return embedded(raw, manner, task, &task.range, found);
        }
        let head = Head::read(raw, &task.range, manner.ends);
        let body = head.body..task.range.end.max(head.body);
        let before = found.len();
        let used = self.split(raw, manner, task, &head, &body, found);
        self.head_doubts(&head, used);
        if head.is_multipart() {
            self.encoded(raw, task, &head, &body, used);
        }
        let leaf = head.types.is_empty() || head.types.iter().any(|value| !is_multipart(value));
        if leaf {
            if used > 0 {
                for task in found.iter_mut().skip(before) {
                    task.doubt = task.doubt.or(Some("a structure in a part that is not multipart"));
                }
            }
            self.leaf(raw, manner, task, &head, &body, used, found);
        } else if used == 0 {
            self.undivided(raw, manner, task, &body, found);
        }
    }

    /// Takes the body apart at every boundary that is declared. How many were found in it.
    fn split(
        &mut self,
        raw: &[u8],
        manner: Manner,
        task: &Task,
        head: &Head,
        body: &Range<usize>,
        found: &mut Vec<Task>,
    ) -> usize {
        let mut used: usize = 0;
        let candidates = head.boundaries();
        self.boundaries.extend(candidates.iter().cloned());
        for boundary in &candidates {
            let lines = delimiters(raw, body, boundary, manner.ends);
            self.suspects.extend(lines.iter().filter_map(|line| line.goes_on.clone()));
            let exact = lines.iter().any(|line| line.goes_on.is_none());
            if lines.is_empty() || !(exact || manner.lax || head.is_multipart()) {
                continue;
            }
            let all = manner.lax || !exact;
            let lines: Vec<Delimiter> = lines.into_iter().filter(|line| all || line.goes_on.is_none()).collect();
            used = used.saturating_add(1);
            let doubt = if exact { task.doubt } else { Some("a delimiter that goes on behind the boundary") };
            children(task, body, &lines, head.is_digest(), doubt, found);
        }
        used
    }

    fn head_doubts(&mut self, head: &Head, used: usize) {
        if used > 1 || head.contradicting_boundaries() {
            self.doubt("two boundaries");
        }
        if head.types.len() > 1 && (head.is_multipart() || head.types.iter().any(|value| value.main != head.main())) {
            self.doubt("two content types");
        }
        if head.skipped && !head.types.is_empty() {
            self.doubt("a line in the header that is no field");
        }
    }

    fn doubt(&mut self, doubt: &'static str) {
        if !self.doubts.contains(&doubt) {
            self.doubts.push(doubt);
        }
    }

    /// RFC 2045 6.4 forbids to encode a multipart; some readers decode it all the same.
    fn encoded(&mut self, raw: &[u8], task: &Task, head: &Head, body: &Range<usize>, used: usize) {
        let octets = raw.get(body.clone()).unwrap_or_default();
        let hidden = match head.transfers.iter().find(|t| matches!(t, Transfer::Base64 | Transfer::QuotedPrintable)) {
            Some(Transfer::Base64) => used == 0 && decode::looks_like_base64(octets),
            Some(Transfer::QuotedPrintable) => {
                let decoded = decode::quoted_printable(octets, true);
                head.boundaries().iter().any(|boundary| {
                    let count = |bytes: &[u8]| delimiters(bytes, &(0..bytes.len()), boundary, Ends::Lf).len();
                    count(&decoded) > count(octets)
                })
            }
            _ => false,
        };
        if !hidden {
            return;
        }
        let mut section = b"MIME-Version: 1.0\r\n".to_vec();
        for value in &head.raw_types {
            section.extend_from_slice(b"Content-Type:");
            section.extend_from_slice(raw.get(value.clone()).unwrap_or_default());
            section.extend_from_slice(b"\r\n");
        }
        section.extend_from_slice(b"\r\n");
        self.doubt("a multipart that is transfer-encoded");
        self.entities.push(Entity {
            span: if task.role == Role::Root { body.clone() } else { task.range.clone() },
            body: body.clone(),
            names: Vec::new(),
            declared: Some(head.main().to_owned()),
            transfers: head.transfers.clone(),
            kind: Kind::Encoded(section),
            doubt: task.doubt,
        });
    }

    /// A multipart whose boundary does not occur: what it holds is text, and a structure if it
    /// has the marks of one.
    fn undivided(&mut self, raw: &[u8], manner: Manner, task: &Task, body: &Range<usize>, found: &mut Vec<Task>) {
        if task.role != Role::Embedded {
            self.region(raw, body, task.doubt);
            embedded(raw, manner, task, body, found);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "all of them are what one step of the walk knows")]
    fn leaf(
        &mut self,
        raw: &[u8],
        manner: Manner,
        task: &Task,
        head: &Head,
        body: &Range<usize>,
        used: usize,
        found: &mut Vec<Task>,
    ) {
        let kind = head.kind(task.digest);
        let coded = head.transfers.iter().any(|t| !matches!(t, Transfer::Identity | Transfer::Unknown));
        let empty = raw.get(body.clone()).is_none_or(|octets| octets.trim_ascii().is_empty());
        if task.role == Role::Embedded && (empty || (kind == Kind::Inline && !coded)) {
            return;
        }
        if kind == Kind::Inline && !coded && used == 0 {
            embedded(raw, manner, task, body, found);
        }
        if empty && kind == Kind::Inline {
            return;
        }
        if head.odd_transfer && kind != Kind::Inline {
            self.doubt("a transfer encoding that is misspelt or given twice");
        }
        let main = head.types.iter().map(|value| value.main.as_str()).find(|main| !main.starts_with("multipart"));
        self.entities.push(Entity {
            span: if task.role == Role::Root { body.clone() } else { task.range.clone() },
            body: body.clone(),
            names: head.names(),
            declared: main.filter(|main| !main.is_empty()).map(str::to_owned),
            transfers: head.transfers.clone(),
            kind,
            doubt: task.doubt,
        });
    }

    /// Text outside of any part: what a preamble or an epilogue says.
    fn region(&mut self, raw: &[u8], range: &Range<usize>, doubt: Option<&'static str>) {
        if raw.get(range.clone()).is_none_or(|octets| octets.trim_ascii().is_empty()) {
            return;
        }
        self.entities.push(Entity {
            span: range.clone(),
            body: range.clone(),
            names: Vec::new(),
            declared: None,
            transfers: Vec::new(),
            kind: Kind::Inline,
            doubt,
        });
    }
}

/// Puts the parts between the delimiters on the work list, and what stands outside of them.
fn children(
    task: &Task,
    body: &Range<usize>,
    lines: &[Delimiter],
    digest: bool,
    doubt: Option<&'static str>,
    found: &mut Vec<Task>,
) {
    let level = task.level.saturating_add(1);
    let mut add = |range: Range<usize>, role: Role, doubt: Option<&'static str>| {
        if range.start < range.end {
            found.push(Task { range, level, role, digest, doubt });
        }
    };
    if let Some(first) = lines.first() {
        add(body.start..first.before, Role::Outside, doubt);
    }
    let mut closed = false;
    for (i, delimiter) in lines.iter().enumerate() {
        let end = lines.get(i.saturating_add(1)).map_or(body.end, |next| next.before.max(delimiter.after));
        closed |= delimiter.closes;
        if delimiter.closes {
            add(delimiter.after..end, Role::Outside, doubt);
        } else {
            let late = closed.then_some("a part behind the closing delimiter");
            add(delimiter.after..end, Role::Part, doubt.or(late));
        }
    }
}

/// Looks for header sections in text: parts of a structure that was never declared.
fn embedded(raw: &[u8], manner: Manner, task: &Task, range: &Range<usize>, found: &mut Vec<Task>) {
    let level = task.level.saturating_add(1);
    let doubt = task.doubt.or(Some("a part outside of the structure"));
    let mut at = range.start;
    while let Some(next) = line(raw, at, range.end, manner.ends) {
        let text = raw.get(next.text.clone()).unwrap_or_default();
        if !is_content_field(text) {
            at = next.span.end;
            continue;
        }
        let head = Head::read(raw, &(next.span.start..range.end), manner.ends);
        let body = head.body..range.end.max(head.body);
        let divided = head.boundaries().iter().any(|b| !delimiters(raw, &body, b, manner.ends).is_empty());
        let end = if divided { range.end } else { hyphens(raw, &body, manner.ends) };
        found.push(Task { range: next.span.start..end, level, role: Role::Embedded, digest: false, doubt });
        at = end.max(next.span.end);
    }
}

/// Where the first line begins that starts with two hyphens: no base64 does.
fn hyphens(raw: &[u8], range: &Range<usize>, ends: Ends) -> usize {
    let mut at = range.start;
    while let Some(next) = line(raw, at, range.end, ends) {
        if raw.get(next.text.clone()).is_some_and(|text| text.starts_with(b"--")) {
            return next.span.start;
        }
        at = next.span.end;
    }
    range.end
}

/// A delimiter line.
#[derive(Debug)]
struct Delimiter {
    /// Where the part before it ends: before the line break, which belongs to the delimiter.
    before: usize,
    /// Where the part behind it begins.
    after: usize,
    /// `--boundary--`
    closes: bool,
    /// The line goes on behind the boundary: what it says in full, without the hyphens.
    goes_on: Option<Vec<u8>>,
}

/// Every line in `raw[range]` that begins with two hyphens and the boundary.
fn delimiters(raw: &[u8], range: &Range<usize>, boundary: &[u8], ends: Ends) -> Vec<Delimiter> {
    let needle = [b"--", boundary].concat();
    let Some(body) = raw.get(range.clone()) else { return Vec::new() };
    let mut found: Vec<Delimiter> = Vec::new();
    for at in memmem::find_iter(body, &needle) {
        let before = body.get(..at).unwrap_or_default();
        let starts = match before.last() {
            None | Some(b'\n') => true,
            Some(b'\r') => ends == Ends::Any,
            Some(_) => false,
        };
        if !starts || found.len() > MAX_ENTITIES {
            continue;
        }
        let start = range.start.saturating_add(at);
        let Some(line) = line(raw, start, range.end, ends) else { continue };
        let text = raw.get(line.text.clone()).unwrap_or_default();
        let rest = text.get(needle.len()..).unwrap_or_default();
        let full = text.get(2..).unwrap_or_default().trim_ascii_end();
        let (closes, clean) = match rest.strip_prefix(b"--") {
            Some(tail) => (true, tail.trim_ascii().is_empty()),
            None => (false, rest.trim_ascii().is_empty()),
        };
        found.push(Delimiter {
            before: start.saturating_sub(line_break(before)),
            after: line.span.end,
            closes,
            goes_on: (!clean).then(|| full.strip_suffix(b"--").unwrap_or(full).to_vec()),
        });
    }
    found
}

/// The length of the line break with which `text` ends.
fn line_break(text: &[u8]) -> usize {
    match text {
        [.., b'\r', b'\n'] => 2,
        [.., b'\n' | b'\r'] => 1,
        _ => 0,
    }
}

/// What a header section says of its part.
pub(crate) struct Head {
    types: Vec<Value>,
    raw_types: Vec<Range<usize>>,
    dispositions: Vec<Value>,
    transfers: Vec<Transfer>,
    odd_transfer: bool,
    skipped: bool,
    body: usize,
}

impl Head {
    pub(crate) fn read(raw: &[u8], range: &Range<usize>, ends: Ends) -> Self {
        let mut fields = Fields::new(raw, range.clone(), ends);
        let mut head = Self {
            types: Vec::new(),
            raw_types: Vec::new(),
            dispositions: Vec::new(),
            transfers: Vec::new(),
            odd_transfer: false,
            skipped: false,
            body: 0,
        };
        let mut count: usize = 0;
        for field in fields.by_ref() {
            let name = raw.get(field.name.clone()).unwrap_or_default();
            if count >= MAX_CONTENT_FIELDS
                || !name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"content-"))
            {
                continue;
            }
            count = count.saturating_add(1);
            let value = raw.get(field.value.clone()).unwrap_or_default();
            if field.is(raw, "content-type") {
                let parsed = params::parse(value);
                if !head.types.contains(&parsed) {
                    head.types.push(parsed);
                    head.raw_types.push(field.value);
                }
            } else if field.is(raw, "content-disposition") {
                head.dispositions.push(params::parse(value));
            } else if field.is(raw, "content-transfer-encoding") {
                head.add_transfer(value);
            }
        }
        head.body = fields.body();
        head.skipped = fields.skipped();
        head
    }

    fn add_transfer(&mut self, value: &[u8]) {
        let (transfer, exact) = decode::transfer(&params::parse(value).main);
        let again = !self.transfers.is_empty() && !self.transfers.contains(&transfer);
        self.odd_transfer |= again || !exact;
        if !self.transfers.contains(&transfer) {
            self.transfers.push(transfer);
        }
    }

    fn main(&self) -> &str {
        self.types.first().map_or("", |value| value.main.as_str())
    }

    fn is_multipart(&self) -> bool {
        self.types.iter().any(is_multipart)
    }

    fn is_digest(&self) -> bool {
        self.types.iter().any(|value| value.main == "multipart/digest")
    }

    /// Every boundary that is declared, in all readings.
    fn boundaries(&self) -> Vec<Vec<u8>> {
        let mut found: Vec<Vec<u8>> = Vec::new();
        for boundary in self.types.iter().flat_map(|value| value.octets("boundary")) {
            let boundary = boundary.trim_ascii_end().to_vec();
            if !found.contains(&boundary) && found.len() < MAX_BOUNDARIES {
                found.push(boundary);
            }
        }
        found
    }

    fn contradicting_boundaries(&self) -> bool {
        self.types.iter().any(|value| value.contradictions("boundary") > 0)
    }

    fn kind(&self, digest: bool) -> Kind {
        let message = |value: &Value| {
            matches!(value.main.as_str(), "message/rfc822" | "message/global" | "message/news" | "message/rfc-822")
        };
        if self.types.iter().any(message) || (digest && self.types.is_empty()) {
            return Kind::Message;
        }
        let text = self
            .types
            .iter()
            .all(|value| value.main.starts_with("text") || value.main.is_empty() || is_multipart(value));
        let attachment = self.dispositions.iter().any(|value| value.main.starts_with("attachment"));
        if text && !attachment && self.names().is_empty() { Kind::Inline } else { Kind::File }
    }

    fn names(&self) -> Vec<Name> {
        let mut names: Vec<Name> = Vec::new();
        let given = self.dispositions.iter().flat_map(|value| value.names("filename"));
        let given = given.chain(self.types.iter().flat_map(|value| value.names("name")));
        let given = given.chain(self.dispositions.iter().flat_map(|value| value.names("name")));
        let given = given.chain(self.types.iter().flat_map(|value| value.names("filename")));
        for name in given {
            if !names.iter().any(|known| known.text == name.text) {
                names.push(name);
            }
        }
        names
    }

    /// The part that another parser found at `header..body..end`, if it is a file.
    pub(crate) fn entity(raw: &[u8], span: Range<usize>, body: Range<usize>, doubt: &'static str) -> Option<Entity> {
        let head = Self::read(raw, &(span.start..body.start), Ends::Lf);
        let kind = head.kind(false);
        if kind != Kind::File || head.is_multipart() {
            return None;
        }
        Some(Entity {
            names: head.names(),
            declared: head.types.first().map(|value| value.main.clone()).filter(|main| !main.is_empty()),
            transfers: head.transfers,
            kind,
            span,
            body,
            doubt: Some(doubt),
        })
    }
}

fn is_multipart(value: &Value) -> bool {
    value.main.starts_with("multipart")
}
