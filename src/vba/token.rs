//! VBA source as tokens ([MS-VBAL] 3.3). Comments and `Attribute` lines are gone, continued
//! lines are joined, and what stands in a string is no name. Names compare without case, so the
//! source is put in lower case once, and each name and string comes in both spellings.

/// The source of a module, as it was written and in lower case.
#[derive(Debug)]
pub struct Source<'s> {
    text: &'s str,
    /// Each character at the place that it has in `text`.
    lower: String,
}

impl<'s> Source<'s> {
    /// Puts the source in lower case.
    pub fn new(text: &'s str) -> Self {
        Self { text, lower: lower_case(text) }
    }

    /// All of it in lower case.
    pub fn lower(&self) -> &str {
        &self.lower
    }

    fn word(&self, start: usize, end: usize) -> Word<'_> {
        let text = self.text.get(start..end).unwrap_or_default();
        Word { text, lower: self.lower.get(start..end).unwrap_or_default() }
    }
}

/// `text` in lower case, each character at its place: the few whose lower case takes more or less
/// room stay as they are. What is compared with a name of the source is put in lower case by this.
pub fn lower_case(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let lower = |c: char| {
        let mut lower = c.to_lowercase();
        match (lower.next(), lower.next()) {
            (Some(one), None) if one.len_utf8() == c.len_utf8() => one,
            _ => c,
        }
    };
    text.chars().map(lower).collect()
}

/// A name, or the content of a string.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Word<'a> {
    /// As it was written.
    pub text: &'a str,
    /// In lower case.
    pub lower: &'a str,
}

/// A token of the source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Token<'a> {
    /// What it is.
    pub kind: Kind<'a>,
    /// Its line as the editor counts, which does not show `Attribute` lines; from 1.
    pub line: u32,
}

/// Kinds of tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind<'a> {
    /// A name or keyword, without type suffix and brackets.
    Name(Word<'a>),
    /// A string as it stands between its quotes; doubled quotes are still doubled.
    Text(Word<'a>),
    /// A number.
    Number(f64),
    /// `#1/1/2020#`
    Date,
    /// An operator or punctuation: one of `+ - * / \ ^ & = < > ( ) , . ; ! ? { }` and `#`, `@` alone.
    Sign(char),
    /// `:=` after the name of an argument.
    NamedArgument,
    /// The end of a statement: a line's end or a colon.
    End,
}

/// Tokens of one module at most. The editor takes 65,534 lines of up to 1,023 characters; the
/// largest honest projects known have 300,000 tokens in all.
pub const MAX_TOKENS: usize = 2_000_000;
/// Octets of a name that are kept: the language allows 255 characters ([MS-VBAL] 3.3.5.1), and
/// what is done with a name must not take time by its length.
const MAX_NAME: usize = 255;

/// Splits source into at most [`MAX_TOKENS`] tokens. The time is linear in the source's length.
pub fn tokens<'a>(source: &'a Source<'_>) -> Vec<Token<'a>> {
    let mut lexer = Lexer { source, text: source.text, at: 0, line: 1, tokens: Vec::new() };
    while lexer.at < source.text.len() && lexer.tokens.len() < MAX_TOKENS {
        lexer.step();
    }
    lexer.push(Kind::End);
    lexer.tokens
}

fn kept(name: &str) -> &str {
    name.get(..name.floor_char_boundary(MAX_NAME)).unwrap_or(name)
}

struct Lexer<'a> {
    source: &'a Source<'a>,
    text: &'a str,
    at: usize,
    line: u32,
    tokens: Vec<Token<'a>>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn advance(&mut self, octets: usize) {
        self.at = self.at.saturating_add(octets.max(1));
    }

    fn push(&mut self, kind: Kind<'a>) {
        self.tokens.push(Token { kind, line: self.line });
    }

    fn is_at_statement_start(&self) -> bool {
        self.tokens.last().is_none_or(|token| token.kind == Kind::End)
    }

    fn step(&mut self) {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return self.advance(1) };
        match first {
            '\n' => self.end_of_line(),
            '\'' => self.skip_line(),
            '"' => self.text(),
            '[' => self.bracketed(),
            '_' if self.continues() => self.continuation(),
            '#' if self.is_at_statement_start() => self.skip_line(), // #If, #Const: all branches are read
            '#' => self.date_or_sign(),
            '&' => self.number_or_sign(),
            '.' if digits(rest.get(1..).unwrap_or_default()) > 0 && !self.follows_operand() => self.number(),
            ':' if rest.starts_with(":=") => {
                self.push(Kind::NamedArgument);
                self.advance(2);
            }
            ':' => {
                self.push(Kind::End);
                self.advance(1);
            }
            '0'..='9' => self.number(),
            ' ' | '\t' | '\r' => self.advance(blanks(rest)),
            _ if is_name_start(first) => self.name(),
            _ if first.is_whitespace() => self.advance(first.len_utf8()),
            _ => {
                if first.is_ascii_punctuation() {
                    self.push(Kind::Sign(first));
                }
                self.advance(first.len_utf8());
            }
        }
    }

    fn end_of_line(&mut self) {
        self.push(Kind::End);
        self.advance(1);
        self.line = self.line.saturating_add(1);
    }

    /// Passes over the rest of the logical line: a comment, too, may be continued ([MS-VBAL] 3.3.1).
    fn skip_line(&mut self) {
        let bytes = self.text.as_bytes();
        loop {
            let end = memchr::memchr(b'\n', self.rest().as_bytes()).map(|length| self.at.saturating_add(length));
            let Some(end) = end else { return self.at = self.text.len() };
            let line = bytes.get(self.at..end).unwrap_or_default().trim_ascii_end();
            self.at = end;
            if !line.ends_with(b" _") {
                return;
            }
            self.advance(1);
            self.line = self.line.saturating_add(1);
        }
    }

    /// Whether the underscore here is the last visible character of its line, behind a blank.
    fn continues(&self) -> bool {
        let before = self.text.as_bytes().get(self.at.wrapping_sub(1));
        let after = self.rest().as_bytes().get(1..).unwrap_or_default();
        let next = after.iter().find(|byte| **byte == b'\n' || !byte.is_ascii_whitespace());
        before.is_none_or(u8::is_ascii_whitespace) && next.is_none_or(|byte| *byte == b'\n')
    }

    fn continuation(&mut self) {
        let length = self.rest().find('\n').map_or(self.rest().len(), |length| length.saturating_add(1));
        self.advance(length);
        self.line = self.line.saturating_add(1);
    }

    fn text(&mut self) {
        let start = self.at.saturating_add(1);
        let bytes = self.text.as_bytes();
        let mut end = start;
        while let Some(byte) = bytes.get(end) {
            let next = bytes.get(end.saturating_add(1));
            match byte {
                b'"' if next == Some(&b'"') => end = end.saturating_add(2),
                b'"' | b'\r' | b'\n' => break,
                _ => end = end.saturating_add(1),
            }
        }
        self.push(Kind::Text(self.source.word(start, end)));
        self.at = if bytes.get(end) == Some(&b'"') { end.saturating_add(1) } else { end };
    }

    /// `[a name]`; in Excel also an expression for `Evaluate`, which nobody needs here.
    fn bracketed(&mut self) {
        let line = kept(self.rest());
        let line = line.split(['\r', '\n']).next().unwrap_or_default();
        match line.find(']') {
            Some(length) => {
                self.push_name(1, length);
                self.advance(length.saturating_add(1));
            }
            None => self.advance(1),
        }
    }

    /// The name between these places, counted from here.
    fn push_name(&mut self, from: usize, to: usize) {
        let (start, end) = (self.at.saturating_add(from), self.at.saturating_add(to));
        let end = end.min(self.text.floor_char_boundary(start.saturating_add(MAX_NAME)));
        self.push(Kind::Name(self.source.word(start, end)));
    }

    fn name(&mut self) {
        let rest = self.rest();
        let length = name_length(rest);
        let name = rest.get(..length).unwrap_or_default();
        let is_start = self.is_at_statement_start();
        if is_start && name.eq_ignore_ascii_case("Rem") {
            return self.skip_line();
        }
        if is_start && name.eq_ignore_ascii_case("Attribute") && is_attribute(rest) {
            self.skip_line();
            return self.advance(1); // the line's end, which the editor does not count
        }
        self.push_name(0, length);
        self.advance(length);
        self.skip_type_suffix();
    }

    /// `$ % & ! # @ ^` directly behind a name ([MS-VBAL] 3.3.5.3), unless the sign is an operator
    /// or leads to a member (`Forms!Main`).
    fn skip_type_suffix(&mut self) {
        let mut characters = self.rest().chars();
        let (suffix, next) = (characters.next(), characters.next());
        let next_ends = next.is_none_or(|c| !is_name_part(c) && c != '"' && c != '[');
        match suffix {
            Some('$' | '%' | '@') => self.advance(1),
            Some('&' | '!' | '#' | '^') if next_ends => self.advance(1),
            _ => {}
        }
    }

    fn follows_operand(&self) -> bool {
        matches!(self.tokens.last(), Some(Token { kind: Kind::Name(_) | Kind::Sign(')'), .. }))
    }

    fn number(&mut self) {
        let rest = self.rest();
        let mut length = digits(rest);
        if rest.get(length..).unwrap_or_default().starts_with('.') {
            length = length.saturating_add(1);
            length = length.saturating_add(digits(rest.get(length..).unwrap_or_default()));
        }
        let exponent = rest.get(length..).unwrap_or_default();
        if exponent.starts_with(['e', 'E', 'd', 'D']) {
            let sign = usize::from(exponent.get(1..).unwrap_or_default().starts_with(['+', '-'])).saturating_add(1);
            let count = digits(exponent.get(sign..).unwrap_or_default());
            if count > 0 {
                length = length.saturating_add(sign).saturating_add(count);
            }
        }
        let text = rest.get(..length).unwrap_or_default();
        let number = text.parse().or_else(|_| text.replace(['d', 'D'], "e").parse());
        self.push(Kind::Number(number.unwrap_or(0.0)));
        self.advance(length);
        self.skip_type_suffix();
    }

    /// `&HFF`, `&O17`, or the operator.
    fn number_or_sign(&mut self) {
        let rest = self.rest();
        let (radix, prefix) = match rest.as_bytes().get(1) {
            Some(b'h' | b'H') => (16, 2),
            Some(b'o' | b'O') => (8, 2),
            _ => (0, 0),
        };
        let body = rest.get(prefix..).unwrap_or_default();
        let length = body.find(|c: char| radix == 0 || !c.is_digit(radix)).unwrap_or(body.len());
        match body.get(..length).and_then(|digits| i64::from_str_radix(digits, radix.max(2)).ok()) {
            Some(value) if radix != 0 => {
                #[expect(clippy::cast_precision_loss, reason = "VBA's own integers have 32 or 64 bits")]
                self.push(Kind::Number(value as f64));
                self.advance(prefix.saturating_add(length));
                self.skip_type_suffix();
            }
            _ => {
                self.push(Kind::Sign('&'));
                self.advance(1);
            }
        }
    }

    fn date_or_sign(&mut self) {
        let rest = self.rest().get(1..).unwrap_or_default();
        let within = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | ':' | ' ' | '.');
        let length: usize = rest.chars().take(40).take_while(within).map(char::len_utf8).sum();
        let body = rest.get(..length).unwrap_or_default();
        let is_date = rest.get(length..).unwrap_or_default().starts_with('#') && is_date(body);
        self.push(if is_date { Kind::Date } else { Kind::Sign('#') });
        self.advance(if is_date { length.saturating_add(2) } else { 1 });
    }
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// Digits with separators; the only words are months and AM/PM.
fn is_date(body: &str) -> bool {
    const WORDS: &[&str] =
        &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec", "am", "pm", "a", "p"];
    let mut words = body.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    body.contains(['/', '-', ':'])
        && words.all(|word| WORDS.contains(&word.get(..3).unwrap_or(word).to_ascii_lowercase().as_str()))
}

fn blanks(text: &str) -> usize {
    text.bytes().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r')).count()
}

/// Octets of the name at the start of `text`.
fn name_length(text: &str) -> usize {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let ascii = text.bytes().take_while(is_part).count();
    match text.as_bytes().get(ascii) {
        Some(byte) if !byte.is_ascii() => text.find(|c: char| !is_name_part(c)).unwrap_or(text.len()),
        _ => ascii,
    }
}

fn is_name_start(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn is_name_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// `Attribute VB_Name = …`, `Attribute Procedure.VB_Description = …`: a name, then an equals sign.
fn is_attribute(rest: &str) -> bool {
    let line = kept(rest).split('\n').next().unwrap_or_default();
    let Some((left, _)) = line.split_once('=') else { return false };
    let mut words = left.split_whitespace();
    let name = (words.next(), words.next(), words.next());
    matches!(name, (Some(_), Some(name), None) if name.to_ascii_uppercase().contains("VB_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens as words, `|` between statements.
    fn check(source: &str, expected: &str) {
        let words: Vec<String> = tokens(&Source::new(source))
            .iter()
            .map(|token| match token.kind {
                Kind::Name(name) => name.text.to_owned(),
                Kind::Text(text) => format!("\"{}\"", text.text),
                Kind::Number(number) => number.to_string(),
                Kind::Date => "#date#".to_owned(),
                Kind::Sign(sign) => sign.to_string(),
                Kind::NamedArgument => ":=".to_owned(),
                Kind::End => "|".to_owned(),
            })
            .collect();
        assert_eq!(words.join(" "), expected, "{source}");
    }

    #[test]
    fn hostile_source_costs_linear_time() {
        for piece in ["[a", " _", " _\r\n", "'", "\"", "#", "Rem ", "&H", "1", "a!", "Attribute ", "Attribute:"] {
            let source = piece.repeat(2_000_000 / piece.len());
            assert!(tokens(&Source::new(&source)).len() <= MAX_TOKENS + 2, "{piece:?}");
        }
        let long = "x".repeat(100_000);
        assert!(matches!(tokens(&Source::new(&long))[0].kind, Kind::Name(name) if name.text.len() == MAX_NAME));
    }

    #[test]
    fn source_becomes_tokens() {
        let cases = [
            ("x = 1 ' Shell", "x = 1 |"),
            ("Rem Shell x\ny", "| y |"),
            ("Remark 1", "Remark 1 |"),
            ("s = \"a\"\"b\" & \"'c\"", "s = \"a\"\"b\" & \"'c\" |"),
            ("s = \"open", "s = \"open\" |"),
            ("Sub _\r\nautoopen( _ \r\n)\r\n", "Sub autoopen ( ) | |"),
            ("' comment _\nstill comment\ny", "| y |"),
            ("a_b = c_ _\n+ 1", "a_b = c_ + 1 |"),
            ("x = &HFF& + &o17 & 3", "x = 255 + 15 & 3 |"),
            ("y = Chr$(65) & Mid$(s, 1)", "y = Chr ( 65 ) & Mid ( s , 1 ) |"),
            ("d = #1/2/2020# + #10:30 PM#", "d = #date# + #date# |"),
            ("Open f For Output As #1: Print #1, s", "Open f For Output As # 1 | Print # 1 , s |"),
            ("[Shell] x", "Shell x |"),
            ("Run Command:=\"x\", y := 2", "Run Command := \"x\" , y := 2 |"),
            ("f = 1.5e3 + .5# + 2!", "f = 1500 + 0.5 + 2 |"),
            ("Forms!Main.x", "Forms ! Main . x |"),
            ("K.Create# a, b", "K . Create a , b |"),
            ("Run!((x))", "Run ( ( x ) ) |"),
            ("変数 = \"値\"", "変数 = \"値\" |"),
            ("#If VBA7 Then\nx\n#End If", "| x | |"),
            ("a = b&\"c\"&d", "a = b & \"c\" & d |"),
            ("Attribute VB_Name = \"Module1\"\nAttribute = 1", "Attribute = 1 |"),
            ("", "|"),
        ];
        for (source, expected) in cases {
            check(source, expected);
        }
    }

    #[test]
    fn names_come_in_lower_case_too() {
        let source = Source::new("Wert = \u{c4}RGER & \"Stra\u{df}E\" & \u{130}x & \u{39f}\u{3a3} & \u{212a}");
        let words = tokens(&source).into_iter().filter_map(|token| match token.kind {
            Kind::Name(word) | Kind::Text(word) => Some(word.lower),
            _ => None,
        });
        assert_eq!(
            words.collect::<Vec<_>>(),
            ["wert", "\u{e4}rger", "stra\u{df}e", "\u{130}x", "\u{3bf}\u{3c3}", "\u{212a}"]
        );
    }

    #[test]
    fn lines_are_counted_as_the_editor_shows_them() {
        let source = "Attribute VB_Name = \"M\"\r\nSub a()\r\nAttribute a.VB_Description = \"d\"\r\n  x = 1 + _\r\n 2\r\nEnd Sub\r\n";
        let source = Source::new(source);
        let found = tokens(&source);
        let is = |token: &Token<'_>, wanted: &str| matches!(token.kind, Kind::Name(name) if name.text == wanted);
        let line = |name: &str| found.iter().find(|token| is(token, name)).map(|token| token.line);
        assert_eq!((line("Sub"), line("x"), line("End")), (Some(1), Some(2), Some(4)));
    }
}
