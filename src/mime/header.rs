//! Header sections by raw spans (RFC 5322 2.2, 4.5), as tolerant as mail readers are: bare LF or
//! CR as line ends, white space before the colon, an mbox "From " line at the top, a body that
//! follows without an empty line.

use std::ops::Range;

use memchr::{memchr, memchr2};

/// What ends a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// LF, with or without carriage returns before it: what mail servers see.
    Lf,
    /// Also a CR alone: what some mail readers see.
    Any,
}

/// A line: its content, and the content with its line end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Without the line end.
    pub text: Range<usize>,
    /// With the line end.
    pub span: Range<usize>,
}

/// The most CRs before an LF that are one line end with it, where a CR alone ends a line too. Looking further would
/// look at a long row of CRs again for each of them.
const MAX_RETURNS: usize = 8;

/// The line that begins at `at`, inside `raw[..end]`; `None` at the end.
pub(crate) fn line(raw: &[u8], at: usize, end: usize, ends: Ends) -> Option<Line> {
    let rest = raw.get(at..end).filter(|rest| !rest.is_empty())?;
    let stop = match ends {
        Ends::Lf => memchr(b'\n', rest),
        Ends::Any => memchr2(b'\n', b'\r', rest),
    };
    let Some(stop) = stop else {
        return Some(Line { text: at..end, span: at..end });
    };
    let mut length = stop.saturating_add(1);
    if rest.get(stop) == Some(&b'\r') {
        // CR CR LF is one line end of a server that translated twice.
        let returns = rest.iter().skip(stop).take(MAX_RETURNS).take_while(|byte| **byte == b'\r').count();
        if rest.get(stop.saturating_add(returns)) == Some(&b'\n') {
            length = stop.saturating_add(returns).saturating_add(1);
        }
    }
    let text = rest.get(..stop).unwrap_or_default();
    let returns = text.iter().rev().take_while(|byte| **byte == b'\r').count();
    let text_end = at.saturating_add(stop.saturating_sub(returns));
    Some(Line { text: at..text_end, span: at..at.saturating_add(length) })
}

/// A header field in the raw bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name, without white space before the colon.
    pub name: Range<usize>,
    /// Everything after the colon up to the last line end, folds included.
    pub value: Range<usize>,
    /// The whole field: name, value, continuation lines and the last line end.
    pub span: Range<usize>,
}

impl Field {
    /// Whether the field is called `name`, in any case.
    pub fn is(&self, raw: &[u8], name: &str) -> bool {
        raw.get(self.name.clone()).is_some_and(|own| own.eq_ignore_ascii_case(name.as_bytes()))
    }
}

/// The fields of a header section, and afterwards where the body begins.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    raw: &'a [u8],
    at: usize,
    end: usize,
    ends: Ends,
    reading: Reading,
    first: bool,
    done: bool,
    skipped: bool,
}

/// Whose idea of a header section counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// Mail readers': a line of white space ends it, but no field that describes a part is missed.
    Readers,
    /// Mail servers': a line of white space continues a field, and a line that is no field ends the section.
    Servers,
}

/// The fields at the top of a message.
///
/// Lines end at LF; only where the message has no LF at all they end at CR. The section ends at
/// an empty line, at the end, or at a line that is neither a field nor a continuation (no field
/// may be missed, so such a line is passed over while a `Content-` field follows before the next
/// empty line; so is a line of white space). A continuation at the very top belongs to no field and so ends the section.
pub fn fields(raw: &[u8]) -> Fields<'_> {
    let ends = if memchr(b'\n', raw).is_some() { Ends::Lf } else { Ends::Any };
    Fields::new(raw, 0..raw.len(), ends)
}

/// The fields at the top of a message as mail servers see them (Postfix, and by RFC 5322 4.5 all that take
/// obsolete folding): a line of white space continues a field and hides none of those behind it.
pub fn server_fields(raw: &[u8]) -> Fields<'_> {
    Fields { reading: Reading::Servers, ..fields(raw) }
}

impl<'a> Fields<'a> {
    /// The fields at the top of `raw[range]`; all offsets are those of `raw`.
    pub(crate) fn new(raw: &'a [u8], range: Range<usize>, ends: Ends) -> Self {
        let (at, end, reading) = (range.start, range.end.min(raw.len()), Reading::Readers);
        Self { raw, at, end, ends, reading, first: true, done: false, skipped: false }
    }

    /// Once the iterator has ended: the offset of the body.
    pub fn body(&self) -> usize {
        self.at.min(self.end)
    }

    /// Whether a line that is no field was passed over.
    pub(crate) fn skipped(&self) -> bool {
        self.skipped
    }

    fn line(&self, at: usize) -> Option<Line> {
        line(self.raw, at, self.end, self.ends)
    }

    fn text(&self, line: &Line) -> &'a [u8] {
        self.raw.get(line.text.clone()).unwrap_or_default()
    }

    /// Takes the continuation lines of the field that ends with `last`.
    fn field(&self, name: Range<usize>, colon: usize, first: &Line) -> Field {
        let mut last = first.clone();
        while let Some(next) = self.line(last.span.end) {
            let text = self.text(&next);
            // A line of nothing but white space ends the section for most readers.
            let blank = self.reading == Reading::Readers && text.trim_ascii().is_empty();
            if !matches!(text.first(), Some(b' ' | b'\t')) || blank {
                break;
            }
            last = next;
        }
        Field {
            name,
            value: colon.saturating_add(1)..last.text.end.max(colon.saturating_add(1)),
            span: first.span.start..last.span.end,
        }
    }

    /// Whether a `Content-` field follows before the next empty line. Looks at 64 lines at most:
    /// a header section with more rubbish than that is nobody's.
    fn content_field_follows(&self, mut at: usize) -> bool {
        if self.reading == Reading::Servers {
            return false;
        }
        for _ in 0..64 {
            let Some(next) = self.line(at) else { return false };
            let text = self.text(&next);
            if text.trim_ascii().is_empty() || text.starts_with(b"--") {
                return false;
            }
            if is_content_field(text) {
                return true;
            }
            at = next.span.end;
        }
        false
    }
}

impl Iterator for Fields<'_> {
    type Item = Field;

    fn next(&mut self) -> Option<Field> {
        while !self.done {
            let Some(line) = self.line(self.at) else { break };
            let text = self.text(&line);
            let first = std::mem::replace(&mut self.first, false);
            if text.trim_ascii().is_empty() {
                self.at = line.span.end;
                // White space alone ends the section for most readers, continues it for others.
                if text.is_empty() || !self.content_field_follows(line.span.end) {
                    break;
                }
                self.skipped = true;
                continue;
            }
            if let Some(length) = name_length(text) {
                let colon = memchr(b':', text).unwrap_or(length);
                let start = line.text.start;
                let field = self.field(start..start.saturating_add(length), start.saturating_add(colon), &line);
                self.at = field.span.end;
                return Some(field);
            }
            let from_line = first && (text.starts_with(b"From ") || text.starts_with(b">From "));
            if !from_line {
                if !self.content_field_follows(line.span.end) || text.starts_with(b"--") {
                    break;
                }
                self.skipped = true;
            }
            self.at = line.span.end;
        }
        self.done = true;
        None
    }
}

/// The length of the field name with which a line begins; `None` if the line is no field.
/// RFC 5322 2.2 allows every printable character but the colon; nobody's name has a thousand of them.
fn name_length(line: &[u8]) -> Option<usize> {
    let length = line.iter().take(1000).position(|byte| *byte == b':' || !byte.is_ascii_graphic())?;
    let rest = line.get(length..)?.trim_ascii_start();
    (length > 0 && rest.first() == Some(&b':')).then_some(length)
}

/// Whether a line is a field that describes a MIME part.
pub(crate) fn is_content_field(line: &[u8]) -> bool {
    const NAMES: [&[u8]; 3] = [b"content-type", b"content-disposition", b"content-transfer-encoding"];
    NAMES.iter().any(|name| {
        line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
            && line.get(name.len()..).is_some_and(|rest| rest.trim_ascii_start().starts_with(b":"))
    })
}

/// Whether `raw` begins with a header section (or with the empty line that ends one). If not,
/// fields inserted at the top need an empty line after them, so that the first line of the
/// message does not become a part of them.
pub fn has_header(raw: &[u8]) -> bool {
    let ends = if memchr(b'\n', raw).is_some() { Ends::Lf } else { Ends::Any };
    let Some(first) = line(raw, 0, raw.len(), ends) else { return false };
    let text = raw.get(first.text).unwrap_or_default();
    text.is_empty() || name_length(text).is_some() || text.starts_with(b"From ") || text.starts_with(b">From ")
}

/// The spans to delete so that no field whose name begins with `prefix` (any case) is left:
/// folded, repeated, with white space before the colon, after a line that is no field, or after a
/// CR alone. In order, without overlap; nothing else changes if all are cut out.
pub fn own_fields(raw: &[u8], prefix: &str) -> Vec<Range<usize>> {
    let mut spans: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    let mut own = false;
    while let Some(next) = line(raw, at, raw.len(), Ends::Lf) {
        let text = raw.get(next.text.clone()).unwrap_or_default();
        if text.is_empty() {
            break;
        }
        let continues = at > 0 && matches!(text.first(), Some(b' ' | b'\t'));
        own = if continues { own } else { is_own(text, prefix) };
        if own {
            match spans.last_mut() {
                Some(last) if last.end == next.span.start => last.end = next.span.end,
                _ => spans.push(next.span.clone()),
            }
        } else {
            spans.extend(behind_returns(raw, &next, prefix));
        }
        at = next.span.end;
    }
    spans
}

/// A reader that ends lines at a CR sees a field where others see a part of the line: cut from
/// the CR up to the next one, so that the line keeps its own end.
fn behind_returns(raw: &[u8], line: &Line, prefix: &str) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    let text = raw.get(line.text.clone()).unwrap_or_default();
    let mut returns = memchr::memchr_iter(b'\r', text).peekable();
    while let Some(start) = returns.next() {
        let stop = returns.peek().copied().unwrap_or(text.len());
        if is_own(text.get(start.saturating_add(1)..stop).unwrap_or_default(), prefix) {
            let at = line.text.start;
            spans.push(at.saturating_add(start)..at.saturating_add(stop));
        }
    }
    spans
}

fn is_own(line: &[u8], prefix: &str) -> bool {
    // White space and NULs before a name hide it from us, not from every reader.
    let line = line.trim_ascii_start();
    let line = line.get(line.iter().take_while(|byte| **byte == 0).count()..).unwrap_or_default();
    line.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(raw: &[u8]) -> Vec<String> {
        fields(raw).map(|f| String::from_utf8_lossy(&raw[f.name]).into_owned()).collect()
    }

    fn without(raw: &[u8], prefix: &str) -> Vec<u8> {
        let mut out = raw.to_vec();
        for span in own_fields(raw, prefix).into_iter().rev() {
            out.drain(span);
        }
        out
    }

    #[test]
    fn fields_are_folded_and_the_body_follows_the_empty_line() {
        let raw = b"Subject: a\r\n b\r\nX-Y :\tc\r\n\r\nBody: no\r\n";
        let mut iter = fields(raw);
        let subject = iter.next().unwrap();
        assert_eq!(&raw[subject.value.clone()], b" a\r\n b");
        assert_eq!(&raw[subject.span.clone()], b"Subject: a\r\n b\r\n");
        let other = iter.next().unwrap();
        assert_eq!((&raw[other.name.clone()], &raw[other.value.clone()]), (&b"X-Y"[..], &b"\tc"[..]));
        assert!(iter.next().is_none());
        assert_eq!(&raw[iter.body()..], b"Body: no\r\n");
    }

    #[test]
    fn every_line_end_is_understood() {
        for raw in
            [&b"A: 1\nB: 2\n\nx"[..], b"A: 1\r\nB: 2\r\n\r\nx", b"A: 1\rB: 2\r\rx", b"A: 1\r\r\nB: 2\r\r\n\r\r\nx"]
        {
            assert_eq!(names(raw), ["A", "B"], "{raw:?}");
            let mut iter = fields(raw);
            iter.by_ref().count();
            assert_eq!(&raw[iter.body()..], b"x", "{raw:?}");
        }
    }

    #[test]
    fn odd_sections_end_where_they_must() {
        assert!(names(b"").is_empty());
        assert!(names(b" continuation: x\r\nA: 1\r\n\r\n").is_empty());
        assert!(names(b"no header here\r\n\r\nx").is_empty());
        assert!(names(b"\r\nA: 1\r\n").is_empty());
        assert_eq!(names(b"A: 1"), ["A"]);
        assert_eq!(names(b"From x Mon\nA: 1\n\n"), ["A"]);
        assert_eq!(names(b"A: 1\nrubbish\nContent-Type: b\n\nx"), ["A", "Content-Type"]);
        assert_eq!(names(b"A: 1\n \nContent-Type: b\n\nx"), ["A", "Content-Type"]);
        assert_eq!(names(b"A: 1\n \nB: 2\n\nx"), ["A"]);
        assert_eq!(names(b"A: 1\n0M8R4KGx\nAAAA\n"), ["A"]);
        assert_eq!(names(b"A\0B: 1\nC: \0\n\n"), Vec::<String>::new());
    }

    #[test]
    fn servers_see_fields_behind_a_line_of_white_space() {
        let names = |raw: &[u8]| -> Vec<String> {
            server_fields(raw).map(|f| String::from_utf8_lossy(&raw[f.name]).into_owned()).collect()
        };
        assert_eq!(names(b"A: 1\r\n \r\n\t \r\nB: 2\r\n\r\nC: 3\r\n"), ["A", "B"]);
        assert_eq!(names(b"A: 1\nrubbish\nContent-Type: b\n\nx"), ["A"]);
        assert_eq!(names(b" \r\nA: 1\r\n\r\n"), Vec::<String>::new());
        let spaced = [b"A".as_slice(), &[b' '; 5000], b": 1\r\nB: 2\r\n\r\n"].concat();
        assert_eq!(names(&spaced), ["A", "B"]);
    }

    #[test]
    fn a_message_without_header_says_so() {
        assert!(has_header(b"A: 1\r\n\r\n"));
        assert!(has_header(b"\r\nbody"));
        assert!(!has_header(b" folded: 1\r\nA: 2\r\n"));
        assert!(!has_header(b"Hello\r\n"));
        assert!(!has_header(b""));
    }

    #[test]
    fn own_fields_leave_nothing_and_take_nothing_else() {
        let raw = b"X-Sekisho-Verdict: clean\r\nA: 1\r\nx-sekisho-ID  : 2\r\n\tmore\r\n even more\r\nB: 3\r\n\r\nX-Sekisho-Body: stays\r\n";
        assert_eq!(without(raw, "X-Sekisho-"), b"A: 1\r\nB: 3\r\n\r\nX-Sekisho-Body: stays\r\n");
        assert_eq!(without(b"A: 1\r\nX-Sekisho-A: 1", "X-Sekisho-"), b"A: 1\r\n");
        assert_eq!(without(b"rubbish\nX-Sekisho-A: 1\nB: 1\n\n", "X-Sekisho-"), b"rubbish\nB: 1\n\n");
        assert_eq!(without(b" X-Sekisho-A: 1\nB: 1\n\n", "X-Sekisho-"), b"B: 1\n\n");
        assert_eq!(without(b"\0X-Sekisho-A: 1\nB: \0\n\n", "X-Sekisho-"), b"B: \0\n\n");
        assert_eq!(without(b"", "X-Sekisho-"), b"");
        assert_eq!(without(b"\r\nX-Sekisho-A: 1\r\n", "X-Sekisho-"), b"\r\nX-Sekisho-A: 1\r\n");
    }

    #[test]
    fn a_field_behind_a_lone_return_goes_and_its_line_keeps_its_end() {
        let raw = b"Subject: a\rX-Sekisho-Verdict: clean\rX-B: c\r\nFrom: d\r\n\r\n";
        assert_eq!(without(raw, "X-Sekisho-"), b"Subject: a\rX-B: c\r\nFrom: d\r\n\r\n");
        assert_eq!(without(b"A: 1\rX-Sekisho-V: 2\r\rbody", "X-Sekisho-"), b"A: 1\r\rbody");
    }
}
