//! Objects of PDF (ISO 32000-2 7.3), read from tokens without recursion and within bounds.

use super::lexer::{Lexer, Token};

/// Arrays and dictionaries within each other. Programs write some ten.
const MAX_DEPTH: usize = 100;
/// Elements of one object, at all depths. Large documents have lists of a hundred thousand.
const MAX_ELEMENTS: usize = 1_000_000;

/// An object.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    /// `null`, and whatever is none.
    Null,
    /// `true` or `false`
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Real(f64),
    /// A name, without its slash.
    Name(Vec<u8>),
    /// A string, as it stands in the file: still encrypted if the file is.
    String(Vec<u8>),
    /// An array.
    Array(Vec<Object>),
    /// A dictionary; that of a stream, too.
    Dictionary(Dictionary),
    /// Another object, by its number. The generation is a claim that nobody keeps to.
    Reference(u32),
}

/// A dictionary (7.3.7). A key may stand in it again: readers differ in which counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dictionary(Vec<(Vec<u8>, Object)>);

impl Dictionary {
    /// Every value of a key.
    pub fn all(&self, key: &str) -> impl Iterator<Item = &Object> {
        self.0.iter().filter(move |(known, _)| known == key.as_bytes()).map(|(_, value)| value)
    }

    /// The value of a key: the last.
    pub fn get(&self, key: &str) -> Option<&Object> {
        self.0.iter().rfind(|(known, _)| known == key.as_bytes()).map(|(_, value)| value)
    }

    /// The value of a key, if it is a name.
    pub fn name(&self, key: &str) -> Option<&[u8]> {
        match self.get(key)? {
            Object::Name(name) => Some(name),
            _ => None,
        }
    }

    /// The value of a key, if it is a whole number.
    pub fn integer(&self, key: &str) -> Option<i64> {
        match self.get(key)? {
            Object::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// Whether its `/Type` is this.
    pub fn is_a(&self, kind: &str) -> bool {
        self.all("Type").any(|value| matches!(value, Object::Name(name) if name == kind.as_bytes()))
    }

    /// Every key with its value.
    pub fn entries(&self) -> impl Iterator<Item = (&[u8], &Object)> {
        self.0.iter().map(|(key, value)| (key.as_slice(), value))
    }

    /// Every value.
    pub fn values(&self) -> impl Iterator<Item = &Object> {
        self.0.iter().map(|(_, value)| value)
    }
}

impl Object {
    /// The dictionary that it is.
    pub fn dictionary(&self) -> Option<&Dictionary> {
        match self {
            Object::Dictionary(dictionary) => Some(dictionary),
            _ => None,
        }
    }

    /// Every dictionary in it, itself included, at any depth.
    pub fn dictionaries(&self) -> impl Iterator<Item = &Dictionary> {
        let mut waiting = vec![self];
        std::iter::from_fn(move || {
            loop {
                match waiting.pop()? {
                    Object::Array(items) => waiting.extend(items),
                    Object::Dictionary(dictionary) => {
                        waiting.extend(dictionary.values());
                        return Some(dictionary);
                    }
                    Object::Null
                    | Object::Boolean(_)
                    | Object::Integer(_)
                    | Object::Real(_)
                    | Object::Name(_)
                    | Object::String(_)
                    | Object::Reference(_) => {}
                }
            }
        })
    }
}

/// An object that was read.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// What it is.
    pub object: Object,
    /// Where it ends.
    pub end: usize,
    /// How far the octets were looked at.
    pub reach: usize,
    /// Whether it has more than is read of it.
    pub is_cut: bool,
}

/// What is open.
struct Frame {
    is_dictionary: bool,
    items: Vec<Object>,
}

impl Frame {
    fn close(self) -> Object {
        if !self.is_dictionary {
            return Object::Array(self.items);
        }
        let mut entries = Vec::with_capacity(self.items.len() / 2);
        let mut items = self.items.into_iter();
        while let Some(item) = items.next() {
            // What is no key has no value.
            if let Object::Name(key) = item
                && let Some(value) = items.next()
            {
                entries.push((key, value));
            }
        }
        Object::Dictionary(Dictionary(entries))
    }

    /// `1 0 R` (7.3.10).
    fn refer(&mut self) {
        if let [.., Object::Integer(number), Object::Integer(_)] = self.items.as_slice()
            && let Ok(number) = u32::try_from(*number)
        {
            self.items.truncate(self.items.len().saturating_sub(2));
            self.items.push(Object::Reference(number));
        }
    }
}

/// Reads the object at `at`. What is open where the next object begins, or where the octets end, is closed there.
pub fn parse(bytes: &[u8], at: usize) -> Parsed {
    let mut lexer = Lexer::new(bytes, at);
    let mut open = vec![Frame { is_dictionary: false, items: Vec::new() }];
    let mut elements = 0_usize;
    let mut is_cut;
    let mut reach = at;
    loop {
        let before = lexer.position();
        reach = reach.max(before);
        elements = elements.saturating_add(1);
        is_cut = elements > MAX_ELEMENTS || open.len() > MAX_DEPTH;
        let Some(frame) = open.last_mut().filter(|_| !is_cut) else { break };
        match lexer.next() {
            None => break,
            Some(Token::Integer(number)) => frame.items.push(Object::Integer(number)),
            Some(Token::Real(number)) => frame.items.push(Object::Real(number)),
            Some(Token::Name(name)) => frame.items.push(Object::Name(name)),
            Some(Token::String(string)) => frame.items.push(Object::String(string)),
            Some(Token::ArrayOpen) => open.push(Frame { is_dictionary: false, items: Vec::new() }),
            Some(Token::DictionaryOpen) => open.push(Frame { is_dictionary: true, items: Vec::new() }),
            Some(Token::ArrayClose | Token::DictionaryClose) => close(&mut open),
            Some(Token::Keyword(b"R")) => frame.refer(),
            Some(Token::Keyword(b"true")) => frame.items.push(Object::Boolean(true)),
            Some(Token::Keyword(b"false")) => frame.items.push(Object::Boolean(false)),
            Some(Token::Keyword(b"null")) => frame.items.push(Object::Null),
            Some(Token::Keyword(word)) if ends(word) => {
                reach = lexer.position();
                lexer = Lexer::new(bytes, before);
                break;
            }
            Some(Token::Keyword(_)) => {}
        }
        if let [only] = open.as_slice()
            && is_whole(&only.items, lexer, &mut reach)
        {
            break;
        }
    }
    while open.len() > 1 {
        close(&mut open);
    }
    let object = open.pop().and_then(|frame| frame.items.into_iter().next()).unwrap_or(Object::Null);
    Parsed { object, end: lexer.position(), reach: reach.max(lexer.position()), is_cut }
}

/// Closes what was opened last, unless it is the object as a whole.
fn close(open: &mut Vec<Frame>) {
    if open.len() > 1
        && let Some(inner) = open.pop()
        && let Some(outer) = open.last_mut()
    {
        outer.items.push(inner.close());
    }
}

/// Whether nothing belongs to the object any more: a number may be the first of a reference.
fn is_whole(items: &[Object], mut ahead: Lexer<'_>, reach: &mut usize) -> bool {
    let is_whole = match items {
        [] => false,
        [Object::Integer(_)] => !matches!(ahead.next(), Some(Token::Integer(_))),
        [Object::Integer(_), Object::Integer(_)] => ahead.next() != Some(Token::Keyword(b"R")),
        _ => true,
    };
    *reach = ahead.position();
    is_whole
}

/// Words that stand behind an object and in none.
fn ends(word: &[u8]) -> bool {
    let ends: [&[u8]; 8] = [b"obj", b"endobj", b"stream", b"endstream", b"xref", b"trailer", b"startxref", b"%%EOF"];
    ends.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Object {
        parse(text.as_bytes(), 0).object
    }

    #[test]
    fn objects_are_read() {
        let object = read("<< /Type /Filespec /EF <</F 12 0 R>> /A [1 2 0 R (x) null true] /B -1.5 >> endobj");
        let dictionary = object.dictionary().unwrap();
        assert!(dictionary.is_a("Filespec"));
        let files = dictionary.get("EF").unwrap().dictionary().unwrap();
        assert_eq!(files.get("F"), Some(&Object::Reference(12)));
        let Some(Object::Array(items)) = dictionary.get("A") else { panic!("no array") };
        let string = Object::String(b"x".to_vec());
        assert_eq!(*items, [Object::Integer(1), Object::Reference(2), string, Object::Null, Object::Boolean(true)]);
        assert_eq!(object.dictionaries().count(), 2);
        assert_eq!(read("5 0 R endobj"), Object::Reference(5));
        assert_eq!(read("5 endobj"), Object::Integer(5));
        assert_eq!(read("5 6 0 obj"), Object::Integer(5));
        assert_eq!(parse(b"5 <<>>", 0).end, 1);
    }

    #[test]
    fn what_is_open_is_closed() {
        let object = read("<< /A [1 2 << /B 1 endobj");
        assert_eq!(object.dictionaries().count(), 2);
        let object = read("<< /Length 5 stream");
        assert_eq!(object.dictionary().unwrap().integer("Length"), Some(5));
        assert_eq!(read(">> ] /A"), Object::Name(b"A".to_vec()));
    }

    #[test]
    fn depth_and_number_are_bounded() {
        let deep = parse("[".repeat(200_000).as_bytes(), 0);
        assert!(deep.is_cut && deep.end < 1000);
        let long = parse(format!("[{}]", "0 ".repeat(MAX_ELEMENTS + 9)).as_bytes(), 0);
        assert!(long.is_cut);
    }
}
