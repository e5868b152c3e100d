//! Tokens of PDF (ISO 32000-2 7.2, 7.3), as leniently as readers take them: what is no token is passed over, what has
//! no end ends with the octets.

/// A token. Comments and white space are none.
#[derive(Clone, Debug, PartialEq)]
pub enum Token<'a> {
    /// A whole number (7.3.3); what is larger than 64 bits is 0.
    Integer(i64),
    /// Any other number.
    Real(f64),
    /// A name without its slash, `#xx` resolved (7.3.5).
    Name(Vec<u8>),
    /// A string, literal or hexadecimal (7.3.4), as octets.
    String(Vec<u8>),
    /// `[`
    ArrayOpen,
    /// `]`
    ArrayClose,
    /// `<<`
    DictionaryOpen,
    /// `>>`
    DictionaryClose,
    /// A word: `obj`, `stream`, `R`, `true` …
    Keyword(&'a [u8]),
}

/// Reads tokens.
#[derive(Clone, Copy, Debug)]
pub struct Lexer<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// White space (7.2.3, table 1).
pub fn is_space(byte: u8) -> bool {
    matches!(byte, 0 | b'\t' | b'\n' | 0x0c | b'\r' | b' ')
}

/// Neither white space nor a delimiter (7.2.3, table 2).
pub fn is_regular(byte: u8) -> bool {
    !is_space(byte) && !matches!(byte, b'(' | b')' | b'<' | b'>' | b'[' | b']' | b'{' | b'}' | b'/' | b'%')
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// The octets of a name that begins behind its slash, `#xx` resolved, and how many octets it takes.
pub fn name(bytes: &[u8]) -> (Vec<u8>, usize) {
    let size = bytes.iter().take_while(|byte| is_regular(**byte)).count();
    let mut rest = bytes.get(..size).unwrap_or_default();
    let mut name = Vec::with_capacity(size.min(64));
    while let [first, behind @ ..] = rest {
        let escaped = match (first, behind) {
            (b'#', [high, low, after @ ..]) => {
                digit(*high).zip(digit(*low)).map(|(high, low)| (high.wrapping_shl(4) | low, after))
            }
            _ => None,
        };
        let (octet, after) = escaped.unwrap_or((*first, behind));
        name.push(octet);
        rest = after;
    }
    (name, size)
}

impl<'a> Lexer<'a> {
    /// Begins at `at`.
    pub fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at: at.min(bytes.len()) }
    }

    /// Behind the last token.
    pub fn position(&self) -> usize {
        self.at
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn skip(&mut self, count: usize) {
        self.at = self.at.saturating_add(count).min(self.bytes.len());
    }

    fn space(&mut self) {
        loop {
            self.skip(self.rest().iter().take_while(|byte| is_space(**byte)).count());
            if self.rest().first() != Some(&b'%') {
                return;
            }
            let line = memchr::memchr2(b'\r', b'\n', self.rest());
            self.skip(line.unwrap_or(usize::MAX));
        }
    }

    /// The next token; `None` at the end.
    pub fn next(&mut self) -> Option<Token<'a>> {
        loop {
            self.space();
            let rest = self.rest();
            let (token, size) = match rest {
                [] => return None,
                [b'<', b'<', ..] => (Token::DictionaryOpen, 2),
                [b'>', b'>', ..] => (Token::DictionaryClose, 2),
                [b'[', ..] => (Token::ArrayOpen, 1),
                [b']', ..] => (Token::ArrayClose, 1),
                [b'(', ..] => return Some(Token::String(self.literal())),
                [b'<', ..] => return Some(Token::String(self.hexadecimal())),
                [b'/', behind @ ..] => {
                    let (name, size) = name(behind);
                    (Token::Name(name), size.saturating_add(1))
                }
                [first, ..] if is_regular(*first) => {
                    let size = rest.iter().take_while(|byte| is_regular(**byte)).count();
                    (word(rest.get(..size).unwrap_or_default()), size)
                }
                // A bracket without another one.
                [_, ..] => {
                    self.skip(1);
                    continue;
                }
            };
            self.skip(size);
            return Some(token);
        }
    }

    /// 7.3.4.2.
    fn literal(&mut self) -> Vec<u8> {
        let mut string = Vec::new();
        let mut open = 0_usize;
        loop {
            let rest = self.rest();
            // What is neither a parenthesis nor an escape nor the end of a line stays as it is.
            let plain = rest.iter().take_while(|byte| !matches!(byte, b'(' | b')' | b'\\' | b'\r')).count();
            string.extend_from_slice(rest.get(..plain).unwrap_or_default());
            self.skip(plain);
            match self.rest() {
                [] => return string,
                [b'(', ..] => {
                    if open > 0 {
                        string.push(b'(');
                    }
                    open = open.saturating_add(1);
                    self.skip(1);
                }
                [b')', ..] => {
                    self.skip(1);
                    open = open.saturating_sub(1);
                    if open == 0 {
                        return string;
                    }
                    string.push(b')');
                }
                [b'\r', behind @ ..] => {
                    string.push(b'\n');
                    self.skip(if behind.first() == Some(&b'\n') { 2 } else { 1 });
                }
                [_, behind @ ..] => {
                    let (octet, size) = escape(behind);
                    string.extend(octet);
                    self.skip(size.saturating_add(1));
                }
            }
        }
    }

    /// 7.3.4.3.
    fn hexadecimal(&mut self) -> Vec<u8> {
        let inside = self.rest().get(1..).unwrap_or_default();
        let size = memchr::memchr(b'>', inside);
        let digits: Vec<u8> = inside.get(..size.unwrap_or(inside.len())).unwrap_or_default().to_vec();
        self.skip(size.map_or(usize::MAX, |size| size.saturating_add(2)));
        let digits: Vec<u8> = digits.into_iter().filter_map(digit).collect();
        let pairs = digits.chunks(2).map(|pair| match pair {
            [high, low] => high.wrapping_shl(4) | low,
            [high] => high.wrapping_shl(4),
            _ => 0,
        });
        pairs.collect()
    }
}

/// What stands for an escape, and how many octets behind the backslash it takes (7.3.4.2, table 3).
fn escape(behind: &[u8]) -> (Option<u8>, usize) {
    match behind {
        [] => (None, 0),
        [b'n', ..] => (Some(b'\n'), 1),
        [b'r', ..] => (Some(b'\r'), 1),
        [b't', ..] => (Some(b'\t'), 1),
        [b'b', ..] => (Some(8), 1),
        [b'f', ..] => (Some(12), 1),
        [b'\r', b'\n', ..] => (None, 2),
        [b'\r' | b'\n', ..] => (None, 1),
        [b'0'..=b'7', ..] => {
            let digits = behind.iter().take(3).take_while(|byte| matches!(byte, b'0'..=b'7'));
            let (value, size) = digits.fold((0_u8, 0_usize), |(value, size), digit| {
                (value.wrapping_shl(3) | (digit & 7), size.saturating_add(1))
            });
            (Some(value), size)
        }
        [other, ..] => (Some(*other), 1),
    }
}

fn word(text: &[u8]) -> Token<'_> {
    let is_number = text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.'));
    if !is_number || !text.iter().any(u8::is_ascii_digit) {
        return Token::Keyword(text);
    }
    let text = std::str::from_utf8(text).unwrap_or_default();
    if text.contains('.') {
        return Token::Real(text.parse().unwrap_or_default());
    }
    Token::Integer(text.parse().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &[u8]) -> Vec<Token<'_>> {
        let mut lexer = Lexer::new(text, 0);
        std::iter::from_fn(|| lexer.next()).collect()
    }

    #[test]
    fn tokens_of_the_standard() {
        let name = |text: &str| Token::Name(text.as_bytes().to_vec());
        let string = |text: &str| Token::String(text.as_bytes().to_vec());
        // 7.3.3, 7.3.4.2, 7.3.4.3, 7.3.5: its examples.
        assert_eq!(tokens(b"123 +17 -98 0"), [123, 17, -98, 0].map(Token::Integer));
        assert_eq!(tokens(b"34.5 -.002 4."), [34.5, -0.002, 4.0].map(Token::Real));
        assert_eq!(tokens(b"(a (b) \\) c)()"), [string("a (b) ) c"), string("")]);
        assert_eq!(tokens(b"(a\\\r\nb\r\nc\\245\\53\\0053\\q)"), [Token::String(b"ab\nc\xa5+\x053q".to_vec())]);
        assert_eq!(tokens(b"<901FA 3>"), [Token::String(vec![0x90, 0x1f, 0xa3])]);
        assert_eq!(tokens(b"<901FA>"), [Token::String(vec![0x90, 0x1f, 0xa0])]);
        assert_eq!(tokens(b"/A;Name_With-Various***Characters?"), [name("A;Name_With-Various***Characters?")]);
        assert_eq!(tokens(b"/Lime#20Green/#45F/A#4"), [name("Lime Green"), name("EF"), name("A#4")]);
        assert_eq!(tokens(b"%PDF\rtrue%x\n<</A[1 0 R]>>").len(), 9);
    }

    #[test]
    fn what_has_no_end_ends() {
        assert_eq!(tokens(b"(a(b)"), [Token::String(b"a(b)".to_vec())]);
        assert_eq!(tokens(b"(a\\"), [Token::String(b"a".to_vec())]);
        assert_eq!(tokens(b"<41"), [Token::String(b"A".to_vec())]);
        assert_eq!(tokens(b"/"), [Token::Name(Vec::new())]);
        assert_eq!(tokens(b"}{)>"), []);
        assert_eq!(tokens(b"99999999999999999999 --1 +"), [Token::Integer(0), Token::Integer(0), Token::Keyword(b"+")]);
    }
}
