//! Markup as readers of hostile mail must take it: XML and HTML as a row of tags and text, in one
//! linear pass that cannot fail. Nesting is not checked, since Office and browsers repair it, too.

use std::borrow::Cow;

/// A tag or the text between tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// `<name attributes>` or `<name attributes/>`; the name without a prefix.
    Open(&'a str, &'a str),
    /// `</name>`.
    Close(&'a str),
    /// What stands between; references are not decoded yet.
    Text(&'a str),
}

/// Reads `text` from its start.
pub fn tokens(text: &str) -> Tokens<'_> {
    Tokens { rest: text, unclosed: [false; 3] }
}

/// See [`tokens`].
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    rest: &'a str,
    /// For each of [`SECTIONS`]: its end stands nowhere in the rest. Looking for it again and
    /// again would take quadratic time.
    unclosed: [bool; 3],
}

/// What is no tag: how it begins and ends.
const SECTIONS: [(&str, &str); 3] = [("<!--", "-->"), ("<?", ">"), ("<![CDATA[", "]]>")];

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        while !self.rest.is_empty() {
            if !self.rest.starts_with('<') {
                let end = memchr::memchr(b'<', self.rest.as_bytes()).unwrap_or(self.rest.len());
                return Some(Token::Text(self.cut(end, 0)));
            }
            if let Some(token) = self.tag() {
                return Some(token);
            }
        }
        None
    }
}

impl<'a> Tokens<'a> {
    /// Takes `size` octets and passes over `gap` more.
    fn cut(&mut self, size: usize, gap: usize) -> &'a str {
        let taken = self.rest.get(..size).unwrap_or(self.rest);
        self.rest = self.rest.get(size.saturating_add(gap)..).unwrap_or_default();
        taken
    }

    /// The content of a section up to `end`. What is never closed ends at the next bracket, so
    /// that it hides no more than browsers would.
    fn section(&mut self, end: &str, kind: usize) -> &'a str {
        let known = self.unclosed.get(kind).copied().unwrap_or(true);
        let found = if known { None } else { memchr::memmem::find(self.rest.as_bytes(), end.as_bytes()) };
        if let Some(size) = found {
            return self.cut(size, end.len());
        }
        self.unclosed.get_mut(kind).into_iter().for_each(|unclosed| *unclosed = true);
        self.cut(self.rest.find('>').unwrap_or(self.rest.len()), 1)
    }

    /// Passes over raw text up to `</name`: there are no tags in scripts and styles.
    fn pass_over(&mut self, name: &str) {
        let closes = |at: &usize| {
            let start = at.saturating_add(2);
            let found = self.rest.as_bytes().get(start..start.saturating_add(name.len()));
            found.is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes()))
        };
        let end = memchr::memmem::find_iter(self.rest.as_bytes(), b"</").find(closes);
        self.cut(end.unwrap_or(self.rest.len()), 0);
    }

    /// One tag; `None` for comments and declarations, which are passed over.
    fn tag(&mut self) -> Option<Token<'a>> {
        if self.rest.as_bytes().get(1).is_some_and(|b| matches!(b, b'!' | b'?')) {
            for ((start, end), unclosed) in SECTIONS.into_iter().zip(0..) {
                if let Some(inner) = self.rest.strip_prefix(start) {
                    self.rest = inner;
                    let content = self.section(end, unclosed);
                    return (start == "<![CDATA[").then_some(Token::Text(content));
                }
            }
        }
        let inner = self.rest.get(1..).unwrap_or_default();
        // A lone bracket is text.
        if !inner.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '_')) {
            self.rest = inner;
            return Some(Token::Text("<"));
        }
        self.rest = inner;
        let tag = self.cut(end_of_tag(inner), 1);
        if tag.starts_with('!') {
            return None;
        }
        let (name, attributes) = tag.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((tag, ""));
        Some(match name.strip_prefix('/') {
            Some(name) => Token::Close(local(name)),
            None => Token::Open(local(name.trim_end_matches('/')), attributes),
        })
    }
}

/// The `>` that ends a tag: not one within quotes, unless the quotes are never closed.
fn end_of_tag(inner: &str) -> usize {
    let bytes = inner.as_bytes();
    let mut at = 0;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(found) = memchr::memchr3(b'>', b'"', b'\'', rest) else { break };
        let position = at.saturating_add(found);
        let next = position.saturating_add(1);
        match bytes.get(position) {
            Some(b'>') => return position,
            Some(quote) => match memchr::memchr(*quote, bytes.get(next..).unwrap_or_default()) {
                Some(size) => at = next.saturating_add(size).saturating_add(1),
                None => break,
            },
            None => break,
        }
    }
    memchr::memchr(b'>', bytes).unwrap_or(bytes.len())
}

/// A name without its namespace prefix.
fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

/// The decoded value of the attribute `name` (its prefix is not looked at).
pub fn attribute<'a>(attributes: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let mut rest = attributes;
    while let Some((key, after)) = split_at(rest, b'=') {
        let key = key.trim().rsplit(|c: char| c.is_ascii_whitespace()).next().unwrap_or_default();
        let after = after.trim_start();
        let quote = after.bytes().next().filter(|octet| matches!(octet, b'"' | b'\''));
        let (value, left) = match quote {
            Some(quote) => {
                let quoted = after.get(1..).unwrap_or_default();
                split_at(quoted, quote).unwrap_or((quoted, ""))
            }
            None => after.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((after, "")),
        };
        if local(key).eq_ignore_ascii_case(name) {
            return Some(decoded(value));
        }
        rest = left;
    }
    None
}

/// What stands in front of an ASCII character, and behind it. Values are short: looking at each octet is quickest.
fn split_at(text: &str, octet: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|one| one == octet)?;
    Some((text.get(..at)?, text.get(at.saturating_add(1)..)?))
}

/// Decodes character references and the few named ones that matter.
pub fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        // The longest that is known here: "&#x10ffff;".
        let end = after.bytes().take(10).position(|b| b == b';');
        let reference = end.and_then(|end| Some((referred(after.get(..end)?)?, after.get(end.saturating_add(1)..)?)));
        match reference {
            Some((c, left)) => {
                out.push(c);
                rest = left;
            }
            None => {
                out.push('&');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn referred(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => number.parse(),
        };
        return code.ok().and_then(char::from_u32);
    }
    Some(match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        "auml" => 'ä',
        "ouml" => 'ö',
        "uuml" => 'ü',
        "szlig" => 'ß',
        "eacute" => 'é',
        "oacute" => 'ó',
        "ntilde" => 'ñ',
        "ccedil" => 'ç',
        "uacute" => 'ú',
        "iacute" => 'í',
        "aacute" => 'á',
        "atilde" => 'ã',
        "laquo" => '«',
        "raquo" => '»',
        _ => return None,
    })
}

/// The text that a browser would show of a page, a line for each block; scripts and styles left out.
pub fn page_text(html: &str) -> String {
    const BLOCKS: &[&str] =
        &["br", "p", "div", "tr", "li", "td", "th", "table", "h1", "h2", "h3", "h4", "pre", "blockquote", "center"];
    let mut out = String::with_capacity(html.len().min(1 << 16));
    let mut tokens = tokens(html);
    while let Some(token) = tokens.next() {
        match token {
            Token::Open(name, _) if ["script", "style"].iter().any(|s| s.eq_ignore_ascii_case(name)) => {
                tokens.pass_over(name);
            }
            Token::Open(name, _) | Token::Close(name) if BLOCKS.iter().any(|b| b.eq_ignore_ascii_case(name)) => {
                out.push('\n');
            }
            Token::Open(..) | Token::Close(_) => {}
            // Line breaks of the source are blanks.
            Token::Text(text) => {
                out.extend(decoded(text).chars().map(|c| if c == '\n' || c == '\r' { ' ' } else { c }));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_text_comments_and_sections() {
        let text = "<?xml version='1.0'?><!-- <w:t>no</w:t> --><w:p a=\"x>y\"><w:t xml:space='preserve'>A</w:t><![CDATA[<B>]]><br/></w:p>1 < 2";
        let tokens: Vec<_> = tokens(text).collect();
        assert_eq!(
            tokens,
            [
                Token::Open("p", "a=\"x>y\""),
                Token::Open("t", "xml:space='preserve'"),
                Token::Text("A"),
                Token::Close("t"),
                Token::Text("<B>"),
                Token::Open("br", ""),
                Token::Close("p"),
                Token::Text("1 "),
                Token::Text("<"),
                Token::Text(" 2"),
            ]
        );
    }

    #[test]
    fn broken_markup_still_yields_its_text() {
        for text in ["<p>Hi", "<p a=\"b>Hi", "<p <b>Hi</i>", "<!-- x>Hi", "<![CDATA[x>Hi", "<>Hi", "</>Hi", "<?x>Hi"] {
            let text_at_end = tokens(text).filter_map(|token| match token {
                Token::Text(text) => Some(text),
                _ => None,
            });
            assert!(text_at_end.last().is_some_and(|last| last.ends_with("Hi")), "{text}");
        }
    }

    #[test]
    fn attributes_and_references() {
        assert_eq!(attribute("wp:id='3' descr=\"Enable &quot;x&#x41;\"", "descr").as_deref(), Some("Enable \"xA"));
        assert_eq!(attribute("a=b string = 'x'", "string").as_deref(), Some("x"));
        assert_eq!(attribute("a", "a"), None);
        assert_eq!(decoded("&amp;lt; & &nosuch; &#xD800; &#12486;"), "&lt; & &nosuch; &#xD800; テ");
    }

    #[test]
    fn pages_read_like_in_a_browser() {
        let html = "<html><style>p{}</style><script>if (a<b) x('</p>')</script><p>pass<b>word</b>:<br>a&nbsp;b\nc</p>";
        assert_eq!(page_text(html).trim(), "password:\na\u{a0}b c");
    }

    #[test]
    fn hostile_markup_costs_linear_time() {
        for piece in [
            "<",
            "<a \"",
            "<!--",
            "<!-->",
            "<!-- >",
            "<a '\"",
            "&",
            "<![CDATA[",
            "<![CDATA[>",
            "<script>",
            "</",
            "<a \">",
        ] {
            let text = piece.repeat(4_000_000 / piece.len());
            assert!(page_text(&text).len() <= text.len());
        }
    }
}
