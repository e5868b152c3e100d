//! Message content on the wire (RFC 5321 4.5.2): where it ends, and the dots in front of lines.
//!
//! Content ends at CRLF `.` CRLF and nowhere else. Whoever takes another sequence for the end lets
//! a sender smuggle a second message past the first server (CVE-2023-51764 and its kin). A NUL is an
//! octet like any other.

use memchr::{memchr2, memmem};

use crate::config::BareNewlines;

/// Where the receiver is in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Behind CRLF, or at the very start.
    LineStart,
    /// Behind a dot at the start of a line; the dot is not passed on yet.
    Dot,
    /// Behind such a dot and CR; neither is passed on yet.
    DotCr,
    /// Behind a CR that is not passed on yet.
    Cr,
    /// Anywhere else.
    Line,
}

/// Reads content: undoes dot-stuffing, finds the end, notices what must not be there.
#[derive(Debug)]
pub struct DataReceiver {
    at: At,
    newlines: BareNewlines,
    size: u64,
    bare_newlines: bool,
}

impl DataReceiver {
    /// At the start of content, that is behind the CRLF of the DATA command.
    pub fn new(newlines: BareNewlines) -> Self {
        Self { at: At::LineStart, newlines, size: 0, bare_newlines: false }
    }

    /// Octets of content so far, without stuffing and the final dot.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether a CR or LF came alone (RFC 5321 2.3.8 forbids it).
    pub fn saw_bare_newlines(&self) -> bool {
        self.bare_newlines
    }

    /// Takes octets from the wire and appends content to `out`. Returns how many octets were taken
    /// and whether the content ended there; all are taken unless it did.
    pub fn receive(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, bool) {
        let before = out.len();
        let mut taken = 0;
        let mut ended = false;
        while let Some(rest) = input.get(taken..).filter(|rest| !rest.is_empty() && !ended) {
            let plain = if self.at == At::Line { plain_prefix(rest) } else { 0 };
            out.extend_from_slice(rest.get(..plain).unwrap_or_default());
            taken = taken.saturating_add(plain);
            if let Some(&octet) = rest.get(plain) {
                taken = taken.saturating_add(1);
                ended = self.octet(octet, out);
            }
        }
        self.size = self.size.saturating_add(out.len().saturating_sub(before) as u64);
        (taken, ended)
    }

    /// One octet that may mean something; true if it ended the content.
    fn octet(&mut self, octet: u8, out: &mut Vec<u8>) -> bool {
        match (self.at, octet) {
            (At::DotCr, b'\n') => return true,
            (At::LineStart, b'.') => self.at = At::Dot,
            (At::Dot, b'\r') => self.at = At::DotCr,
            (At::Cr, b'\n') => {
                out.extend_from_slice(b"\r\n");
                self.at = At::LineStart;
            }
            (At::Cr | At::DotCr, _) => {
                self.bare(b'\r', out);
                self.inside_line(octet, out);
            }
            (At::LineStart | At::Dot | At::Line, _) => self.inside_line(octet, out),
        }
        false
    }

    fn inside_line(&mut self, octet: u8, out: &mut Vec<u8>) {
        self.at = At::Line;
        match octet {
            b'\r' => self.at = At::Cr,
            // The next line starts behind CRLF only: a dot behind a bare LF is no end and not stuffed.
            b'\n' => self.bare(b'\n', out),
            octet => out.push(octet),
        }
    }

    fn bare(&mut self, octet: u8, out: &mut Vec<u8>) {
        self.bare_newlines = true;
        match self.newlines {
            BareNewlines::Reject => out.push(octet),
            BareNewlines::Normalize => out.extend_from_slice(b"\r\n"),
        }
    }
}

/// How many octets of a line mean nothing.
fn plain_prefix(input: &[u8]) -> usize {
    memchr2(b'\r', b'\n', input).unwrap_or(input.len())
}

/// Writes content: puts a dot before every line that begins with one.
#[derive(Debug, Default)]
pub struct DataWriter {
    /// The last two octets written, oldest first; `None` before the first.
    last: [Option<u8>; 2],
}

impl DataWriter {
    /// Appends a piece of content as it goes over the wire.
    pub fn write(&mut self, content: &[u8], out: &mut Vec<u8>) {
        let mut from = 0;
        if content.first() == Some(&b'.') && self.at_line_start() {
            out.push(b'.');
        } else if self.last[1] == Some(b'\r') && content.starts_with(b"\n.") {
            out.extend_from_slice(b"\n.");
            from = 1;
        }
        for at in memmem::find_iter(content, b"\r\n.") {
            let dot = at.saturating_add(2);
            out.extend_from_slice(content.get(from..dot).unwrap_or_default());
            out.push(b'.');
            from = dot;
        }
        out.extend_from_slice(content.get(from..).unwrap_or_default());
        for &octet in content.get(content.len().saturating_sub(2)..).unwrap_or_default() {
            self.last = [self.last[1], Some(octet)];
        }
    }

    /// Appends the end: a CRLF if the last line has none, and the final dot.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        if !self.at_line_start() {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
    }

    fn at_line_start(&self) -> bool {
        self.last == [None, None] || self.last == [Some(b'\r'), Some(b'\n')]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has_bare_newlines(content: &[u8]) -> bool {
        let text = String::from_utf8_lossy(content).replace("\r\n", "");
        text.contains(['\r', '\n'])
    }

    /// What a receiver makes of `wire` cut into `segments`: content, octets left over, ended.
    fn receive(newlines: BareNewlines, segments: &[&[u8]]) -> (Vec<u8>, usize, bool, bool) {
        let mut receiver = DataReceiver::new(newlines);
        let (mut out, mut left, mut ended) = (Vec::new(), 0, false);
        for segment in segments {
            if ended {
                left += segment.len();
                continue;
            }
            let (taken, end) = receiver.receive(segment, &mut out);
            ended = end;
            left += segment.len() - taken;
        }
        assert_eq!(receiver.size(), out.len() as u64);
        (out, left, ended, receiver.saw_bare_newlines())
    }

    /// Every way to cut into two or three, and octet by octet, gives the same.
    fn in_any_segmentation(newlines: BareNewlines, wire: &[u8]) -> (Vec<u8>, usize, bool, bool) {
        let whole = receive(newlines, &[wire]);
        let octets: Vec<&[u8]> = wire.chunks(1).collect();
        assert_eq!(receive(newlines, &octets), whole);
        for a in 0..=wire.len() {
            for b in a..=wire.len() {
                assert_eq!(receive(newlines, &[&wire[..a], &wire[a..b], &wire[b..]]), whole, "cut at {a}, {b}");
            }
        }
        whole
    }

    #[test]
    fn content_ends_at_crlf_dot_crlf_only() {
        let newlines = ["\n", "\r", "\r\n", "\0\r\n", "\r\0\n", "\r\n\0", "\n\r", "\r\r", "\n\n"];
        for before in newlines {
            for after in newlines {
                if before == "\r\n" && after == "\r\n" {
                    continue;
                }
                // "\r\n" is at the end of "\0\r\n"; that is a true CRLF.
                if before.ends_with("\r\n") && after.starts_with("\r\n") {
                    continue;
                }
                let wire = format!("a{before}.{after}RSET\r\nb\r\n");
                let (_, left, ended, _) = in_any_segmentation(BareNewlines::Reject, wire.as_bytes());
                assert!(!ended && left == 0, "{wire:?} must not end content");
                let (_, _, ended, _) = in_any_segmentation(BareNewlines::Normalize, wire.as_bytes());
                assert!(!ended, "{wire:?} must not end normalised content");
            }
        }
        let (content, left, ended, bare) = in_any_segmentation(BareNewlines::Reject, b"a\r\n.\r\nQUIT\r\n");
        assert_eq!((&content[..], left, ended, bare), (&b"a\r\n"[..], 6, true, false));
    }

    #[test]
    fn every_bare_newline_is_noticed() {
        for (wire, bare) in [
            ("a\r\nb\r\n.\r\n", false),
            ("a\nb\r\n.\r\n", true),
            ("a\rb\r\n.\r\n", true),
            ("a\r\r\n.\r\n", true),
            (".\ra\r\n.\r\n", true),
            (".\n\r\n.\r\n", true),
            ("..\r\n.\r\n", false),
            (".\r\n", false),
            ("a\0b\r\n.\r\n", false),
        ] {
            let (content, _, ended, seen) = in_any_segmentation(BareNewlines::Reject, wire.as_bytes());
            assert!(ended, "{wire:?}");
            assert_eq!(seen, bare, "{wire:?}");
            assert_eq!(has_bare_newlines(&content), bare, "{wire:?}");
            let (content, ..) = in_any_segmentation(BareNewlines::Normalize, wire.as_bytes());
            assert!(!has_bare_newlines(&content), "{wire:?}");
        }
    }

    #[test]
    fn what_is_normalised_cannot_end_the_message_behind_us() {
        let (content, ..) = in_any_segmentation(BareNewlines::Normalize, b"a\n.\r\nb\n.\nc\r.\rd\r\n.\r\n");
        assert_eq!(content, b"a\r\n.\r\nb\r\n.\r\nc\r\n.\r\nd\r\n");
        let mut wire = Vec::new();
        let mut writer = DataWriter::default();
        writer.write(&content, &mut wire);
        assert_eq!(wire, b"a\r\n..\r\nb\r\n..\r\nc\r\n..\r\nd\r\n");
    }

    #[test]
    fn dots_survive_the_round_trip_in_any_segmentation() {
        for content in
            ["", ".\r\n", "..\r\n.a\r\n", "a\r\n.\r\n.\r\n", "\r\n.\r\n\r\n", "a.b\r\n", ".", "a\r\n.", "\0\r\n"]
        {
            let content = content.as_bytes();
            let mut whole = Vec::new();
            let mut writer = DataWriter::default();
            writer.write(content, &mut whole);
            writer.end(&mut whole);
            for cut in 0..=content.len() {
                let (mut wire, mut writer) = (Vec::new(), DataWriter::default());
                writer.write(&content[..cut], &mut wire);
                writer.write(b"", &mut wire);
                writer.write(&content[cut..], &mut wire);
                writer.end(&mut wire);
                assert_eq!(wire, whole);
            }
            let (mut wire, mut writer) = (Vec::new(), DataWriter::default());
            content.chunks(1).for_each(|octet| writer.write(octet, &mut wire));
            writer.end(&mut wire);
            assert_eq!(wire, whole);
            let (back, left, ended, _) = receive(BareNewlines::Reject, &[&whole]);
            assert!(ended && left == 0);
            let expected = if content.is_empty() || content.ends_with(b"\r\n") {
                content.to_vec()
            } else {
                [content, b"\r\n"].concat()
            };
            assert_eq!(back, expected);
        }
    }
}
