//! Delimiter lines (RFC 2046 5.1.1).

use std::ops::Range;

use memchr::memmem;

use crate::mime::header::{Ends, line};

/// Delimiters of one boundary in one body that are told apart: each makes a part, and five times
/// `max_files` is more than any limit allows.
pub(crate) const MAX_DELIMITERS: usize = 10_000;

/// Where the first line begins that starts with two hyphens: no base64 does.
pub(crate) fn hyphens(raw: &[u8], range: &Range<usize>, ends: Ends) -> usize {
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
pub(crate) struct Delimiter {
    /// Where the part before it ends: before the line break, which belongs to the delimiter.
    pub before: usize,
    /// Where the part behind it begins.
    pub after: usize,
    /// `--boundary--`
    pub closes: bool,
    /// The line goes on behind the boundary: what it says in full, without the hyphens.
    pub goes_on: Option<Vec<u8>>,
}

impl Delimiter {
    /// Whether nothing stands between this delimiter and the `next`.
    fn is_empty_before(&self, next: &Delimiter) -> bool {
        self.after >= next.before && !self.closes && self.goes_on.is_none() && next.goes_on.is_none()
    }
}

/// Every line in `raw[range]` that begins with two hyphens and the boundary; those with nothing
/// between them count as one. If there are more than [`MAX_DELIMITERS`], the rest stays unread.
pub(crate) fn delimiters(raw: &[u8], range: &Range<usize>, boundary: &[u8], ends: Ends) -> Vec<Delimiter> {
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
        if !starts || found.len() > MAX_DELIMITERS {
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
        let next = Delimiter {
            before: start.saturating_sub(line_break(before)),
            after: line.span.end,
            closes,
            goes_on: (!clean).then(|| full.strip_suffix(b"--").unwrap_or(full).iter().copied().take(200).collect()),
        };
        match found.last_mut() {
            Some(last) if last.is_empty_before(&next) => (last.after, last.closes) = (next.after, next.closes),
            _ => found.push(next),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(usize, usize, bool)> {
        let found = delimiters(text.as_bytes(), &(0..text.len()), b"b", Ends::Lf);
        found.into_iter().map(|delimiter| (delimiter.before, delimiter.after, delimiter.closes)).collect()
    }

    #[test]
    fn the_line_break_before_a_delimiter_is_its_own() {
        assert_eq!(found("--b\r\nx\r\n--b--\r\n"), [(0, 5, false), (6, 15, true)]);
        assert_eq!(found("p\n--b \t\nx\n--b--"), [(1, 8, false), (9, 15, true)]);
        assert_eq!(found("x--b\n --b\n"), []);
    }

    #[test]
    fn delimiters_with_nothing_between_them_are_one() {
        assert_eq!(found("--b\n--b\n--b\nx\n--b--\n"), [(0, 12, false), (13, 20, true)]);
    }

    #[test]
    fn a_line_that_goes_on_says_how() {
        let found = delimiters(b"--bc--\n", &(0..7), b"b", Ends::Lf);
        assert_eq!(found[0].goes_on.as_deref(), Some(&b"bc"[..]));
    }
}
