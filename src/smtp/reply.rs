//! SMTP replies (RFC 5321 4.2): the next hop's, kept octet for octet, and our own.

use std::fmt;

use bytes::{BufMut, BytesMut};
use memchr::memchr;

use crate::envelope::Octets;

/// Octets of one line of a reply. RFC 5321 4.5.3.1.5 says 512; long texts are seen, this is ample.
pub const MAX_REPLY_LINE: usize = 4096;
/// Octets of a whole reply. An EHLO reply has about 500.
pub const MAX_REPLY: usize = 65_536;
/// Octets of a line of our own: below the 512 of RFC 5321 4.5.3.1.5.
const MAX_OWN_TEXT: usize = 480;

/// A well-formed reply.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    /// Whole lines without CRLF, as received.
    lines: Vec<Octets>,
}

impl Reply {
    /// A reply of our own; `text` begins with the enhanced code (`"2.0.0 Ok"`, RFC 3463), one line
    /// of reply per line of text. What is not printable ASCII becomes `?`.
    pub fn new(code: u16, text: &str) -> Self {
        let texts: Vec<&str> = text.lines().collect();
        let last = texts.len().saturating_sub(1);
        let mut lines: Vec<Octets> = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let mark = if index == last { ' ' } else { '-' };
            let printable = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
            let text: String = text.chars().map(printable).take(MAX_OWN_TEXT).collect();
            lines.push(Octets::from(format!("{code:03}{mark}{text}").as_str()));
        }
        if lines.is_empty() {
            lines.push(Octets::from(format!("{code:03} ").as_str()));
        }
        Self { code, lines }
    }

    /// A refusal as written in the configuration: `"554 5.7.1 not here"`. `None` unless it begins
    /// with a 4yz or 5yz code.
    pub fn from_template(template: &str) -> Option<Self> {
        let (code, text) = template.trim().split_at_checked(3)?;
        let code: u16 = code.parse().ok().filter(|code| (400..600).contains(code))?;
        let text = text.strip_prefix(' ')?;
        Some(Self::new(code, text))
    }

    /// The three digits.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The first digit.
    pub fn class(&self) -> u16 {
        self.code.checked_div(100).unwrap_or_default()
    }

    /// 2yz
    pub fn is_positive(&self) -> bool {
        self.class() == 2
    }

    /// 4yz or 5yz
    pub fn is_refusal(&self) -> bool {
        matches!(self.class(), 4 | 5)
    }

    /// The texts of all lines behind code and mark.
    pub fn texts(&self) -> impl Iterator<Item = &[u8]> {
        self.lines.iter().map(|line| line.0.get(4..).unwrap_or_default())
    }

    /// The last line. It may quote a sender, so logs show it as `{:?}`.
    pub fn text(&self) -> String {
        self.lines.last().map(Octets::text).unwrap_or_default()
    }

    /// Appends the reply as it goes over the wire.
    pub fn write(&self, out: &mut impl BufMut) {
        for line in &self.lines {
            out.put_slice(&line.0);
            out.put_slice(b"\r\n");
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.lines)
    }
}

/// Why octets are not a reply. The connection they came from cannot be trusted any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// Puts a reply together from whatever segments arrive.
#[derive(Debug, Default)]
pub struct ReplyParser {
    lines: Vec<Octets>,
    code: u16,
    size: usize,
}

impl ReplyParser {
    /// Takes octets off the front of `input` until a reply is complete; what follows it stays.
    ///
    /// # Errors
    /// The octets are not a reply by RFC 5321 4.2, or it is longer than any honest one.
    pub fn parse(&mut self, input: &mut BytesMut) -> Result<Option<Reply>, Malformed> {
        while let Some(at) = memchr(b'\n', input) {
            let line = input.split_to(at.saturating_add(1));
            if self.line(&line)? {
                let lines = std::mem::take(&mut self.lines);
                self.size = 0;
                return Ok(Some(Reply { code: self.code, lines }));
            }
        }
        match input.len() {
            0..=MAX_REPLY_LINE => Ok(None),
            _ => Err(Malformed("line too long")),
        }
    }

    /// Takes one line with its LF; true if it was the last of a reply.
    fn line(&mut self, line: &[u8]) -> Result<bool, Malformed> {
        self.size = self.size.saturating_add(line.len());
        if line.len() > MAX_REPLY_LINE {
            return Err(Malformed("line too long"));
        }
        if self.size > MAX_REPLY {
            return Err(Malformed("reply too long"));
        }
        let line = line.strip_suffix(b"\r\n").ok_or(Malformed("line does not end with CRLF"))?;
        if line.iter().any(|&octet| octet.is_ascii_control() && octet != b'\t') {
            return Err(Malformed("control character"));
        }
        let code = code_of(line).ok_or(Malformed("no reply code"))?;
        if !self.lines.is_empty() && code != self.code {
            return Err(Malformed("lines with different codes"));
        }
        let last = match line.get(3) {
            None | Some(b' ') => true,
            Some(b'-') => false,
            Some(_) => return Err(Malformed("no space or hyphen behind the code")),
        };
        self.code = code;
        self.lines.push(Octets::from(line));
        Ok(last)
    }
}

/// The code at the start of a line: 2..5, then two digits (1yz does not exist in SMTP).
fn code_of(line: &[u8]) -> Option<u16> {
    let digits = line.get(..3)?;
    if !matches!(digits.first(), Some(b'2'..=b'5')) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(octets: &[u8]) -> Result<Option<Reply>, Malformed> {
        ReplyParser::default().parse(&mut BytesMut::from(octets))
    }

    fn wire(reply: &Reply) -> Vec<u8> {
        let mut out = Vec::new();
        reply.write(&mut out);
        out
    }

    #[test]
    fn replies_come_through_octet_for_octet_in_any_segmentation() {
        for octets in [
            &b"250 2.1.5 Ok\r\n"[..],
            b"250\r\n",
            b"250 \r\n",
            b"550-5.1.1 <x>: no\r\n550-5.1.1  such\tuser\r\n550 5.1.1 \xe9\xff here\r\n",
        ] {
            let reply = parse(octets).unwrap().unwrap();
            assert_eq!(wire(&reply), octets);
            let (mut parser, mut input) = (ReplyParser::default(), BytesMut::new());
            for (index, octet) in octets.iter().enumerate() {
                input.extend_from_slice(&[*octet]);
                let done = parser.parse(&mut input).unwrap();
                assert_eq!(done.is_some(), index + 1 == octets.len());
            }
        }
    }

    #[test]
    fn what_follows_a_reply_is_left() {
        let mut input = BytesMut::from(&b"250 a\r\n421 b\r\n"[..]);
        let mut parser = ReplyParser::default();
        assert_eq!(parser.parse(&mut input).unwrap().unwrap().code(), 250);
        assert_eq!(&input[..], b"421 b\r\n");
        assert_eq!(parser.parse(&mut input).unwrap().unwrap().code(), 421);
    }

    #[test]
    fn malformed_replies_are_never_relayed() {
        for octets in [
            &b"\r\n"[..],
            b"25\r\n",
            b"hello\r\n",
            b"250x\r\n",
            b"250\tx\r\n",
            b"150 x\r\n",
            b"650 x\r\n",
            b"2a0 x\r\n",
            b" 250 x\r\n",
            b"250 x\n",
            b"250 x\ry\r\n",
            b"250 x\0\r\n",
            b"250 \x1b[31m\r\n",
            b"250-x\r\n251 y\r\n",
            b"250-x\r\n\r\n",
        ] {
            assert!(parse(octets).is_err(), "{:?}", Octets::from(octets));
        }
    }

    #[test]
    fn endless_replies_are_cut() {
        let line = |text: usize| [b"250-".as_slice(), &vec![b'x'; text], b"\r\n"].concat();
        assert_eq!(parse(&line(MAX_REPLY_LINE - 6)), Ok(None));
        assert_eq!(parse(&line(MAX_REPLY_LINE - 5)), Err(Malformed("line too long")));
        assert_eq!(parse(&vec![b'2'; MAX_REPLY_LINE + 1]), Err(Malformed("line too long")));
        assert_eq!(parse(&line(4000).repeat(16)), Ok(None));
        assert_eq!(parse(&line(4000).repeat(17)), Err(Malformed("reply too long")));
    }

    #[test]
    fn our_own_replies_are_well_formed_whatever_the_text() {
        for text in ["2.0.0 Ok", "", "a\nb", "a\r\n250 b", "関所\0\x1b", &"x".repeat(9999)] {
            let reply = Reply::new(451, text);
            assert_eq!(parse(&wire(&reply)).unwrap().unwrap().code(), 451, "{text:?}");
        }
        assert_eq!(wire(&Reply::new(250, "a\nb")), b"250-a\r\n250 b\r\n");
    }

    #[test]
    fn templates_are_refusals() {
        assert_eq!(Reply::from_template("554 5.7.1 no").unwrap().text(), "554 5.7.1 no");
        for bad in ["250 ok", "554", "", "5é", "354 go", "999 x", "abc x"] {
            assert_eq!(Reply::from_template(bad), None, "{bad}");
        }
    }
}
