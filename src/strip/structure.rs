//! The structure of a message as RFC 2046 5.1 has it, without any leniency: what every mail reader
//! sees in the same way. Whatever a reader might take otherwise is a flaw, and a message with a flaw is
//! not cut.

use std::ops::Range;

use memchr::memchr;

use crate::mime::decode::{self, Transfer};
use crate::mime::delimiter::{Delimiter, delimiters};
use crate::mime::header::{Ends, Field, Fields, line};
use crate::mime::params;

/// Multiparts and messages in each other; honest mail has five, and each level is read once more.
const MAX_DEPTH: usize = 30;
/// Parts of one message; honest mail with more than a hundred attachments is a digest.
const MAX_NODES: usize = 400;

/// A leaf, or a message inside the message: what can be cut out.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Header section and body; the body alone if the header is that of the message around it.
    pub span: Range<usize>,
    /// The body.
    pub body: Range<usize>,
    /// A message that is not encoded, so that its own parts are nodes too.
    pub message: bool,
    /// The only content of its message, which is no multipart: its header is the message's.
    pub sole: bool,
    /// Somewhere inside a multipart/signed.
    pub signed: bool,
    /// Index of the message it stands in.
    pub level: usize,
}

/// The message, or a message inside it.
#[derive(Clone, Debug)]
pub(super) struct Level {
    /// Its octets.
    pub range: Range<usize>,
    /// The node that holds it; `None` for the outermost.
    pub around: Option<usize>,
    /// Preambles and epilogues.
    pub outside: Vec<Range<usize>>,
}

/// A message taken apart.
#[derive(Clone, Debug)]
pub(super) struct Structure {
    /// In the order of their octets, a message before what is inside it.
    pub nodes: Vec<Node>,
    /// The message first.
    pub levels: Vec<Level>,
    /// What is not certain, and where.
    pub flaws: Vec<(Range<usize>, &'static str)>,
    /// How lines end.
    pub newline: &'static str,
    /// The header section of the message.
    pub header: Range<usize>,
}

struct Task {
    range: Range<usize>,
    level: usize,
    depth: usize,
    /// The range is a whole message.
    whole: bool,
    digest: bool,
    signed: bool,
    /// The boundaries around it.
    boundaries: Vec<Vec<u8>>,
}

impl Structure {
    /// Takes `raw` apart.
    ///
    /// # Errors
    /// The lines of the message do not all end in the same way: what in words.
    pub fn read(raw: &[u8]) -> Result<Self, &'static str> {
        let newline = line_ends(raw)?;
        let outermost = Level { range: 0..raw.len(), around: None, outside: Vec::new() };
        let levels = vec![outermost];
        let mut structure = Self { nodes: Vec::new(), levels, flaws: Vec::new(), newline, header: 0..0 };
        let mut tasks = vec![Task {
            range: 0..raw.len(),
            level: 0,
            depth: 0,
            whole: true,
            digest: false,
            signed: false,
            boundaries: Vec::new(),
        }];
        while let Some(task) = tasks.pop() {
            let span = task.range.clone();
            if let Err(flaw) = structure.step(raw, task, &mut tasks) {
                structure.flaws.push((span, flaw));
            }
        }
        structure.in_order();
        Ok(structure)
    }

    fn step(&mut self, raw: &[u8], task: Task, tasks: &mut Vec<Task>) -> Result<(), &'static str> {
        if task.depth > MAX_DEPTH || self.nodes.len().saturating_add(tasks.len()) > MAX_NODES {
            return Err("more parts than are compared");
        }
        let head = Head::read(raw, &task.range)?;
        if task.depth == 0 {
            self.header = 0..head.end;
        }
        let body = head.body..task.range.end;
        match head.boundary {
            Some(boundary) => self.multipart(raw, task, &head.main, boundary, &body, tasks),
            None => {
                self.node(task, &head, body, tasks);
                Ok(())
            }
        }
    }

    fn multipart(
        &mut self,
        raw: &[u8],
        mut task: Task,
        main: &str,
        boundary: Vec<u8>,
        body: &Range<usize>,
        tasks: &mut Vec<Task>,
    ) -> Result<(), &'static str> {
        // RFC 2046 5.1.1: a delimiter is whatever begins with the boundary.
        if task.boundaries.iter().any(|outer| outer.starts_with(&boundary) || boundary.starts_with(outer)) {
            return Err("boundaries that begin alike");
        }
        let lines = delimiters(raw, body, &boundary, Ends::Lf);
        certain(&lines)?;
        task.boundaries.push(boundary);
        for (delimiter, next) in lines.iter().zip(lines.iter().skip(1)) {
            tasks.push(Task {
                range: delimiter.after..next.before.max(delimiter.after),
                level: task.level,
                depth: task.depth.saturating_add(1),
                whole: false,
                digest: main == "multipart/digest",
                signed: task.signed || main == "multipart/signed",
                boundaries: task.boundaries.clone(),
            });
        }
        let ends =
            lines.first().zip(lines.last()).map(|(first, last)| [body.start..first.before, last.after..body.end]);
        if let Some(level) = self.levels.get_mut(task.level) {
            level.outside.extend(ends.into_iter().flatten().filter(|range| range.start < range.end));
        }
        Ok(())
    }

    fn node(&mut self, task: Task, head: &Head, body: Range<usize>, tasks: &mut Vec<Task>) {
        let is_message = matches!(head.main.as_str(), "message/rfc822" | "message/global")
            || (head.main.is_empty() && task.digest && !task.whole);
        let message = is_message && head.transfer == Transfer::Identity;
        let span = if task.whole { body.clone() } else { task.range };
        let Task { level, signed, whole: sole, .. } = task;
        if message {
            let around = Some(self.nodes.len());
            let inner = self.levels.len();
            self.levels.push(Level { range: body.clone(), around, outside: Vec::new() });
            tasks.push(Task {
                range: body.clone(),
                level: inner,
                depth: task.depth.saturating_add(1),
                whole: true,
                digest: false,
                signed,
                boundaries: task.boundaries,
            });
        }
        self.nodes.push(Node { span, body, message, sole, signed, level });
    }

    fn in_order(&mut self) {
        let mut order: Vec<usize> = (0..self.nodes.len()).collect();
        order.sort_by_key(|index| {
            self.nodes.get(*index).map(|node| (node.span.start, std::cmp::Reverse(node.span.end), node.level))
        });
        let place = |old: usize| order.iter().position(|index| *index == old);
        for level in &mut self.levels {
            level.around = level.around.and_then(place);
        }
        self.nodes = order.iter().filter_map(|index| self.nodes.get(*index).cloned()).collect();
    }
}

/// Whether the delimiters leave no doubt: an opening one first, the closing one last, nothing else.
fn certain(lines: &[Delimiter]) -> Result<(), &'static str> {
    if lines.iter().any(|line| line.goes_on.is_some()) {
        return Err("a delimiter that goes on behind the boundary");
    }
    match lines {
        [] => Err("a multipart without delimiters"),
        [.., last] if !last.closes => Err("a multipart without its closing delimiter"),
        [_] => Err("a multipart without parts"),
        [before @ .., _] if before.iter().any(|line| line.closes) => Err("a part behind the closing delimiter"),
        _ => Ok(()),
    }
}

/// How the lines end; readers differ where that is not the same all over.
fn line_ends(raw: &[u8]) -> Result<&'static str, &'static str> {
    if memchr(0, raw).is_some() {
        return Err("an octet of zero");
    }
    let feeds = memchr::memchr_iter(b'\n', raw).count();
    let returns = memchr::memchr_iter(b'\r', raw).count();
    let pairs = memchr::memmem::find_iter(raw, b"\r\n").count();
    match () {
        () if returns == 0 && feeds > 0 => Ok("\n"),
        () if returns == feeds && pairs == feeds => Ok("\r\n"),
        () => Err("lines that end in different ways"),
    }
}

/// What a header section says.
struct Head {
    /// The media type, lower case, or the empty string.
    main: String,
    boundary: Option<Vec<u8>>,
    transfer: Transfer,
    /// Where the fields end, and where the body begins.
    end: usize,
    body: usize,
}

impl Head {
    fn read(raw: &[u8], range: &Range<usize>) -> Result<Self, &'static str> {
        let mut end = range.start;
        let (mut types, mut transfers, mut dispositions) = (Vec::new(), Vec::new(), 0_usize);
        for field in Fields::new(raw, range.clone(), Ends::Lf) {
            if field.span.start != end || raw.get(field.name.end) != Some(&b':') {
                return Err("a line in a header that is no field");
            }
            end = field.span.end;
            if field.is(raw, "content-type") {
                types.push(field);
            } else if field.is(raw, "content-transfer-encoding") {
                transfers.push(field);
            } else if field.is(raw, "content-disposition") {
                dispositions = dispositions.saturating_add(1);
            }
        }
        let body = match line(raw, end, range.end, Ends::Lf) {
            None => range.end,
            Some(empty) if empty.text.is_empty() => empty.span.end,
            Some(_) => return Err("a header that does not end with an empty line"),
        };
        if types.len() > 1 || transfers.len() > 1 || dispositions > 1 {
            return Err("a field that describes the content twice");
        }
        let transfer = transfer(raw, transfers.first())?;
        let (main, boundary) = media_type(raw, types.first())?;
        if boundary.is_some() && transfer != Transfer::Identity {
            return Err("a multipart that is transfer-encoded");
        }
        Ok(Self { main, boundary, transfer, end, body })
    }
}

fn transfer(raw: &[u8], field: Option<&Field>) -> Result<Transfer, &'static str> {
    let value = field.and_then(|field| raw.get(field.value.clone())).unwrap_or_default();
    match decode::transfer(&String::from_utf8_lossy(value)) {
        (transfer, true) => Ok(transfer),
        (_, false) => Err("a transfer encoding that is misspelt"),
    }
}

/// The media type, and the boundary if it is a multipart.
fn media_type(raw: &[u8], field: Option<&Field>) -> Result<(String, Option<Vec<u8>>), &'static str> {
    let Some(field) = field else { return Ok((String::new(), None)) };
    let value = params::parse(raw.get(field.value.clone()).unwrap_or_default());
    let main = value.main.clone();
    let known = main.split_once('/').is_some_and(|(family, kind)| is_token(family) && is_token(kind));
    let named = value.parameters.iter().filter(|parameter| parameter.name.starts_with("boundary")).count();
    if main == "message/partial" {
        return Err("a piece of a message");
    }
    if !main.starts_with("multipart/") {
        let suspect = !known && (main.contains("multipart") || main.contains("message"));
        return if suspect || named > 0 { Err("a content type that is not clear") } else { Ok((main, None)) };
    }
    let boundaries = value.octets("boundary");
    match boundaries.as_slice() {
        [boundary] if known && named == 1 && is_boundary(boundary) => Ok((main, Some(boundary.clone()))),
        [] => Err("a multipart without a boundary"),
        _ => Err("a boundary that not every reader understands"),
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&octet))
}

/// RFC 2046 5.1.1: up to 70 characters of a small set, no space at the end.
fn is_boundary(boundary: &[u8]) -> bool {
    let allowed = |octet: &u8| octet.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(octet);
    (1..=70).contains(&boundary.len()) && boundary.iter().all(allowed) && !boundary.ends_with(b" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flaw(raw: &str) -> Option<&'static str> {
        let raw = raw.replace('\n', "\r\n");
        let structure = Structure::read(raw.as_bytes()).unwrap();
        structure.flaws.first().map(|(_, flaw)| *flaw)
    }

    #[test]
    fn a_sound_structure_has_no_flaw() {
        let raw = "Content-Type: multipart/mixed; boundary=a\n\npre\n--a\nContent-Type: message/rfc822\n\nSubject: s\n\nx\n--a \n\ny\n--a--\nend\n";
        assert_eq!(flaw(raw), None);
        let raw = raw.replace('\n', "\r\n");
        let structure = Structure::read(raw.as_bytes()).unwrap();
        let bodies: Vec<_> = structure.nodes.iter().map(|node| (&raw[node.body.clone()], node.sole)).collect();
        assert_eq!(bodies, [("Subject: s\r\n\r\nx", false), ("x", true), ("y", false)]);
        let outside: Vec<_> = structure.levels[0].outside.iter().map(|range| &raw[range.clone()]).collect();
        assert_eq!(outside, ["pre", "end\r\n"]);
        assert_eq!(structure.levels[1].around, Some(0));
    }

    #[test]
    fn every_oddity_is_a_flaw() {
        let multipart = "Content-Type: multipart/mixed; boundary=a\n";
        let cases = [
            format!("{multipart}\n--a\n\nx\n"),
            format!("{multipart}\n--a--\n"),
            format!("{multipart}\n--a\n\nx\n--a--\n--a\n\ny\n--a--\n"),
            format!("{multipart}\n--a\n\nx\n--ab\n--a--\n"),
            format!("{multipart}\n--a\nrubbish\n--a--\n"),
            format!("{multipart}Content-Type: text/plain\n\n--a\n\nx\n--a--\n"),
            format!("{multipart}Content-Transfer-Encoding: base64\n\n--a\n\nx\n--a--\n"),
            "Content-Type: multipart/mixed\n\nx\n".to_owned(),
            "Content-Type: multipart\n\nx\n".to_owned(),
            "Content-Type: multipart/mixed; boundary=a; boundary=b\n\n--a\n\nx\n--a--\n".to_owned(),
            "Content-Type: multipart/mixed; (boundary=b) boundary=a\n\n--a\n\nx\n--a--\n".to_owned(),
            "Content-Type: text/plain; boundary=a\n\n--a\n\nx\n--a--\n".to_owned(),
            "Content-Type: message/partial\n\nx\n".to_owned(),
            "Content-Type : text/plain\n\nx\n".to_owned(),
            "From a@b Mon\nSubject: s\n\nx\n".to_owned(),
            "no header\n".to_owned(),
        ];
        for raw in cases {
            assert!(flaw(&raw).is_some(), "{raw}");
        }
        for raw in ["a: b\r\n\nx", "a: b\n\rx", "a: \0\n\n"] {
            assert!(Structure::read(raw.as_bytes()).is_err(), "{raw:?}");
        }
    }
}
