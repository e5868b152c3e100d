//! The linear walk: raw bytes to entities (RFC 2046 5.1), by delimiter lines and a work list.
//!
//! Nothing is decoded here, and nothing is copied. The walk takes every way in which mail readers
//! are known to read a structure: each boundary that is declared, more than one Content-Type,
//! parts before the first delimiter and behind the last, structures that nobody declared. What only
//! some readers see carries a doubt.

use std::collections::HashSet;
use std::ops::Range;

use crate::limits::Limit;
use crate::mime::decode::{self, Transfer};
use crate::mime::delimiter::{Delimiter, MAX_DELIMITERS, delimiters, hyphens};
use crate::mime::head::{Head, MAX_BOUNDARIES};
use crate::mime::header::{Ends, is_content_field, line};
use crate::part::Name;

/// Nesting of multiparts inside one message: honest mail has four, and every level costs a
/// pass over its octets.
const MAX_LEVELS: u32 = 40;
/// Entities of one message: five times `max_files`, since several readings of one part count.
const MAX_ENTITIES: usize = 10_000;
/// How often every octet of a message may be looked at by all levels and readings together.
const MAX_PASSES: usize = 60;

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
        } else if !walk.affords(raw) {
            Some(Limit::ScanSize)
        } else {
            None
        };
        if let Some(limit) = stop {
            // What is not taken apart any more is still a part.
            if walk.limit(limit) {
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
            return self.embedded(raw, manner, task, &task.range, found);
        }
        let head = Head::read(raw, &task.range, manner.ends);
        let body = head.body..task.range.end.max(head.body);
        let before = found.len();
        let used = self.split(raw, manner, task, &head, &body, found);
        // Prose that quotes a header is not to be blamed for it.
        if task.role != Role::Embedded {
            self.head_doubts(&head, used);
        }
        if head.is_multipart() {
            self.encoded(raw, task, &head, &body, used);
        }
        if head.is_leaf() {
            if used > 0 {
                for task in found.iter_mut().skip(before) {
                    task.doubt = task.doubt.or(Some("a structure in a part that is not multipart"));
                }
            }
            self.leaf(raw, manner, task, &head, &body, used, found);
        } else if used == 0 {
            self.undivided(raw, manner, task, &body, found);
            // A name or an encoding makes it a file, whatever else it is called.
            if head.kind(false) == Kind::File || head.is_coded() {
                self.leaf(raw, manner, task, &head, &body, used, found);
            }
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
        let mut candidates = head.boundaries();
        if candidates.len() > MAX_BOUNDARIES {
            self.limit(Limit::Files);
            candidates.truncate(MAX_BOUNDARIES);
        }
        self.boundaries.extend(candidates.iter().cloned());
        for boundary in &candidates {
            self.looked_at = self.looked_at.saturating_add(body.len());
            let lines = delimiters(raw, body, boundary, manner.ends);
            if lines.len() > MAX_DELIMITERS {
                self.limit(Limit::Files);
            }
            self.suspects.extend(lines.iter().filter_map(|line| line.goes_on.clone()));
            let exact = lines.iter().any(|line| line.goes_on.is_none());
            if lines.is_empty() || !(exact || manner.lax || head.is_multipart()) {
                continue;
            }
            let all = manner.lax || !exact;
            let lines: Vec<Delimiter> = lines.into_iter().filter(|line| all || line.goes_on.is_none()).collect();
            used = used.saturating_add(1);
            if task.role != Role::Embedded && !head.is_plain_boundary(boundary) {
                self.doubt("a boundary that not every reader understands");
            }
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
        if head.too_many {
            self.doubt("more content fields than are read");
            self.limit(Limit::Files);
        }
        if head.skipped && !head.types.is_empty() {
            self.doubt("a line in the header that is no field");
        }
    }

    /// Notes a limit; `false` if it was noted before.
    fn limit(&mut self, limit: Limit) -> bool {
        let new = !self.limits.contains(&limit);
        if new {
            self.limits.push(limit);
        }
        new
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
            self.embedded(raw, manner, task, body, found);
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
        let coded = head.is_coded();
        let empty = raw.get(body.clone()).is_none_or(|octets| octets.trim_ascii().is_empty());
        if task.role == Role::Embedded && (empty || (kind == Kind::Inline && !coded)) {
            return;
        }
        if kind == Kind::Inline && !coded && used == 0 {
            self.embedded(raw, manner, task, body, found);
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

    /// Looks for header sections in text: parts of a structure that was never declared.
    fn embedded(&mut self, raw: &[u8], manner: Manner, task: &Task, range: &Range<usize>, found: &mut Vec<Task>) {
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
            // Each boundary costs a pass over the rest, so only some are looked for.
            let boundaries = if self.affords(raw) { head.boundaries() } else { Vec::new() };
            self.looked_at = self.looked_at.saturating_add(body.len().saturating_mul(boundaries.len()));
            let divided = boundaries.iter().any(|b| !delimiters(raw, &body, b, manner.ends).is_empty());
            let end = if divided { range.end } else { hyphens(raw, &body, manner.ends) };
            found.push(Task { range: next.span.start..end, level, role: Role::Embedded, digest: false, doubt });
            at = end.max(next.span.end);
        }
    }

    /// Whether another pass over octets may be paid for.
    fn affords(&self, raw: &[u8]) -> bool {
        self.looked_at <= raw.len().saturating_mul(MAX_PASSES).saturating_add(1 << 20)
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
