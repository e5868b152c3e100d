//! Where the objects of a PDF stand (ISO 32000-2 7.3.10, 7.5.7), whatever its cross-reference table says.
//!
//! Each `N G obj` in the file is an object, also within what calls itself the content of a stream, since a length
//! is a claim. Only the content of an embedded PDF that is stored as it is has its own. Of objects with the same
//! number the last counts, and all are there to be looked at.

use std::ops::Range;

use bytes::Bytes;
use memchr::memmem;

use super::lexer::{self, Lexer, Token};
use super::object::{Dictionary, Object, parse};

/// Objects of a document. The largest honest ones have some hundred thousand.
const MAX_OBJECTS: usize = 1_000_000;
/// How often the octets may be read as objects: those of an honest file once, of a hostile one again and again, since
/// objects stand within each other.
const MAX_READINGS: usize = 16;
/// Definitions of one number that are asked for a value.
const MAX_DEFINITIONS: usize = 16;
/// Trailers with an encryption dictionary.
const MAX_TRAILERS: usize = 64;
/// White space between the words of a header: one is written.
const SPACES: usize = 64;
/// Octets that are read of objects whatever their file weighs.
const SMALL: usize = 1 << 16;

/// Where an object stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Its number.
    pub number: u32,
    /// Where it stands in the file, or the object stream around it: what comes later counts.
    order: usize,
    /// In which octets: 0 is the file, the others are object streams.
    source: usize,
    /// Where it begins, behind `obj`.
    at: usize,
    /// Its generation.
    pub generation: u16,
    /// Its value, if that may be a length.
    length: Option<u32>,
}

impl Place {
    /// Where it stands in the file, or in the object stream.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Whether it stands in an object stream, where nothing is encrypted by itself (7.6.2).
    pub fn is_in_stream(&self) -> bool {
        self.source > 0
    }
}

/// An object with its place.
#[derive(Clone, Debug)]
pub struct Indirect {
    /// Where it stands.
    pub place: Place,
    /// What it is.
    pub object: Object,
    /// Where its content begins, if it is a stream.
    start: Option<usize>,
    /// Octets that were read for it.
    size: usize,
    /// Whether it has more than was read.
    is_cut: bool,
}

impl Indirect {
    /// The dictionary, if it is a stream.
    pub fn stream(&self) -> Option<&Dictionary> {
        self.start.and_then(|_| self.object.dictionary())
    }
}

/// The objects of a document.
#[derive(Debug)]
pub struct Document {
    sources: Vec<Bytes>,
    /// By number, then by order.
    places: Vec<Place>,
    /// Where `endstream` stands.
    ends: Vec<usize>,
    trailers: Vec<Dictionary>,
    is_cut: bool,
}

impl Document {
    /// Finds the objects of a file, and shows each to `see`.
    pub fn read(bytes: &Bytes, see: &mut dyn FnMut(&Indirect)) -> Self {
        let ends = memmem::find_iter(bytes, b"endstream").collect();
        let sources = vec![bytes.clone()];
        let mut document = Self { sources, places: Vec::new(), ends, trailers: Vec::new(), is_cut: false };
        let mut work = allowance(bytes.len());
        let mut behind = 0_usize;
        for hit in memmem::find_iter(bytes, b"obj") {
            let Some((start, number, generation)) = header(bytes, hit) else { continue };
            if start < behind {
                continue;
            }
            if document.places.len() >= MAX_OBJECTS || work == 0 {
                document.is_cut = true;
                break;
            }
            let at = hit.saturating_add(3);
            let indirect = document.indirect(Place { number, order: at, source: 0, at, generation, length: None });
            work = work.saturating_sub(indirect.size);
            document.note(&indirect);
            if let Some(dictionary) = indirect.stream() {
                if dictionary.is_a("XRef") {
                    document.trailer(dictionary);
                }
                behind = document.inner(&indirect).map_or(behind, |inner| inner.end);
            }
            see(&indirect);
        }
        for hit in memmem::find_iter(bytes, b"trailer") {
            if work == 0 {
                break;
            }
            let parsed = parse(bytes, hit.saturating_add(7));
            work = work.saturating_sub(parsed.end.saturating_sub(hit));
            if let Some(dictionary) = parsed.object.dictionary() {
                document.trailer(dictionary);
            }
        }
        document.is_cut |= work == 0;
        document.places.sort_unstable();
        document
    }

    /// Finds the objects of an object stream (7.5.7) of which this is the content, and shows each to `see`.
    pub fn unfold(&mut self, stream: &Indirect, content: Bytes, see: &mut dyn FnMut(&Indirect)) {
        let Some(dictionary) = stream.stream() else { return };
        let first = dictionary.get("First").and_then(|value| self.lengths(value).next()).unwrap_or_default();
        let source = self.sources.len();
        let mut header = Lexer::new(content.get(..first).unwrap_or(&content), 0);
        let mut work = allowance(content.len());
        self.sources.push(content.clone());
        while let (Some(Token::Integer(number)), Some(Token::Integer(offset))) = (header.next(), header.next()) {
            let (Ok(number), Ok(offset)) = (u32::try_from(number), usize::try_from(offset)) else { continue };
            if self.places.len() >= MAX_OBJECTS || work == 0 {
                self.is_cut = true;
                break;
            }
            let at = first.saturating_add(offset);
            let order = stream.place.order;
            let indirect = self.indirect(Place { number, order, source, at, generation: 0, length: None });
            work = work.saturating_sub(indirect.size);
            self.note(&indirect);
            see(&indirect);
        }
    }

    fn note(&mut self, indirect: &Indirect) {
        let length = match indirect.object {
            Object::Integer(number) => u32::try_from(number).ok(),
            _ => None,
        };
        self.is_cut |= indirect.is_cut;
        self.places.push(Place { length, ..indirect.place });
    }

    /// To be called once object streams were unfolded.
    pub fn settle(&mut self) {
        self.places.sort_unstable();
    }

    /// Whether it has more objects, or larger ones, than are read.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Dictionaries of trailers (7.5.5) and of cross-reference streams (7.5.8) that tell of encryption.
    pub fn trailers(&self) -> &[Dictionary] {
        &self.trailers
    }

    /// Every definition of a number, the last first.
    pub fn definitions(&self, number: u32) -> impl Iterator<Item = Indirect> {
        self.places(number).map(|place| self.indirect(*place))
    }

    fn places(&self, number: u32) -> impl Iterator<Item = &Place> {
        let from = self.places.partition_point(|place| place.number < number);
        let places = self.places.get(from..).unwrap_or_default();
        let count = places.partition_point(|place| place.number == number);
        places.get(..count).unwrap_or_default().iter().rev()
    }

    /// What a value is: of a reference the last definition.
    pub fn value(&self, value: &Object) -> Object {
        match value {
            Object::Reference(number) => {
                self.definitions(*number).next().map_or(Object::Null, |indirect| indirect.object)
            }
            other => other.clone(),
        }
    }

    /// The lengths that a value may stand for.
    fn lengths(&self, value: &Object) -> impl Iterator<Item = usize> {
        let (direct, number) = match value {
            Object::Integer(length) => (usize::try_from(*length).ok(), None),
            Object::Reference(number) => (None, Some(*number)),
            _ => (None, None),
        };
        let places = number.into_iter().flat_map(|number| self.places(number)).take(MAX_DEFINITIONS);
        direct.into_iter().chain(places.filter_map(|place| usize::try_from(place.length?).ok()))
    }

    /// The octets of a stream as they stand in the file, and whether they end where they should.
    pub fn content(&self, stream: &Indirect) -> (Bytes, bool) {
        let Some(file) = self.sources.first() else { return (Bytes::new(), false) };
        let Some(start) = stream.start else { return (Bytes::new(), false) };
        let lengths = stream.object.dictionary().into_iter().flat_map(|dictionary| dictionary.all("Length"));
        let mut lengths = lengths.flat_map(|length| self.lengths(length));
        if let Some(end) = lengths.find_map(|length| self.holds(start, length)) {
            return (file.slice(start..end), true);
        }
        let end = self.ends.partition_point(|end| *end < start);
        let Some(end) = self.ends.get(end) else { return (file.slice(start.min(file.len())..), false) };
        // The end of the line before `endstream` is no content.
        let content = file.get(start..*end).unwrap_or_default();
        let line = match content {
            [.., b'\r', b'\n'] => 2,
            [.., b'\r' | b'\n'] => 1,
            _ => 0,
        };
        (file.slice(start..end.saturating_sub(line)), true)
    }

    /// Where a stream of this length ends, if `endstream` stands there.
    fn holds(&self, start: usize, length: usize) -> Option<usize> {
        let file = self.sources.first()?;
        let end = start.checked_add(length)?;
        let behind = file.get(end..)?;
        let space = behind.iter().take(4).take_while(|byte| lexer::is_space(**byte)).count();
        behind.get(space..)?.starts_with(b"endstream").then_some(end)
    }

    fn indirect(&self, place: Place) -> Indirect {
        let bytes = self.sources.get(place.source).map(|bytes| &bytes[..]).unwrap_or_default();
        let parsed = parse(bytes, place.at);
        let mut behind = Lexer::new(bytes, parsed.end);
        let is_stream = place.source == 0
            && matches!(parsed.object, Object::Dictionary(_))
            && behind.next() == Some(Token::Keyword(b"stream"));
        let start = is_stream.then(|| content_at(bytes, behind.position()));
        let size = parsed.reach.max(behind.position()).saturating_sub(place.at).max(1);
        Indirect { place, object: parsed.object, start, size, is_cut: parsed.is_cut }
    }

    /// The content of a PDF that is embedded as it is: the objects in it are its own.
    fn inner(&self, stream: &Indirect) -> Option<Range<usize>> {
        let dictionary = stream.stream().filter(|dictionary| dictionary.is_a("EmbeddedFile"))?;
        let length = usize::try_from(dictionary.integer("Length")?).ok()?;
        let (start, end) = (stream.start?, self.holds(stream.start?, length)?);
        let content = self.sources.first()?.get(start..end)?;
        let is_plain = dictionary.get("Filter").is_none();
        let head = content.get(..1024).unwrap_or(content);
        (is_plain && memmem::find(head, b"%PDF-").is_some()).then_some(start..end)
    }

    fn trailer(&mut self, dictionary: &Dictionary) {
        if dictionary.get("Encrypt").is_none() || self.trailers.contains(dictionary) {
            return;
        }
        if self.trailers.len() >= MAX_TRAILERS {
            self.is_cut = true;
            return;
        }
        self.trailers.push(dictionary.clone());
    }
}

/// Octets that may be read as objects.
fn allowance(size: usize) -> usize {
    size.saturating_mul(MAX_READINGS).saturating_add(SMALL)
}

/// Number and generation before the `obj` at `hit`, and where they begin.
fn header(bytes: &[u8], hit: usize) -> Option<(usize, u32, u16)> {
    let mut rest = bytes.get(..hit)?;
    let mut back = |is: fn(&u8) -> bool, most: usize| {
        let count = rest.iter().rev().take(most).take_while(|byte| is(byte)).count();
        let (before, taken) = rest.split_at_checked(rest.len().saturating_sub(count))?;
        rest = before;
        Some(taken)
    };
    let space = |byte: &u8| lexer::is_space(*byte);
    back(space, SPACES)?;
    let generation = back(u8::is_ascii_digit, 10)?;
    let between = back(space, SPACES)?;
    let number = back(u8::is_ascii_digit, 10)?;
    if between.is_empty() {
        return None;
    }
    let text = |digits| std::str::from_utf8(digits).ok();
    let number = text(number)?.parse().ok()?;
    // A generation that is too large is none; readers do not look at it.
    let generation = if generation.is_empty() { return None } else { text(generation)?.parse().unwrap_or_default() };
    Some((rest.len(), number, generation))
}

/// Where the content of a stream begins, behind the word at whose end this is (7.3.8.1).
fn content_at(bytes: &[u8], at: usize) -> usize {
    let behind = bytes.get(at..).unwrap_or_default();
    // Blanks before the end of the line are a mistake that programs make.
    let blanks = behind.iter().take(SPACES).take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let size = match behind.get(blanks..) {
        Some([b'\r', b'\n', ..]) => blanks.saturating_add(2),
        Some([b'\r' | b'\n', ..]) => blanks.saturating_add(1),
        _ => 0,
    };
    at.saturating_add(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> (Document, Vec<Indirect>) {
        let mut seen = Vec::new();
        let mut document =
            Document::read(&Bytes::copy_from_slice(text.as_bytes()), &mut |indirect| seen.push(indirect.clone()));
        document.settle();
        (document, seen)
    }

    fn contents(text: &str) -> Vec<(String, bool)> {
        let (document, seen) = document(text);
        let contents = seen.iter().filter(|indirect| indirect.stream().is_some()).map(|it| document.content(it));
        contents.map(|(content, is_whole)| (String::from_utf8_lossy(&content).into_owned(), is_whole)).collect()
    }

    #[test]
    fn the_last_definition_counts_and_all_are_there() {
        let (document, seen) =
            document("1 0 obj 5 endobj 2 0 obj(x)endobj\n1 1 obj<</A 1>>endobj 3 0\nobj 1 0 R endobj");
        assert_eq!(seen.len(), 4);
        assert!(document.value(&Object::Reference(1)).dictionary().is_some());
        assert_eq!(document.definitions(1).count(), 2);
        assert_eq!(document.value(&Object::Reference(9)), Object::Null);
    }

    #[test]
    fn streams_end_where_their_length_says_if_it_holds() {
        let text = |length: &str| {
            format!("1 0 obj<</Length {length}>>stream\r\nab endstream c\nendstream endobj 2 0 obj 14 endobj")
        };
        let all = vec![("ab endstream c".to_owned(), true)];
        assert_eq!(contents(&text("14")), all);
        assert_eq!(contents(&text("2 0 R")), all);
        for wrong in ["13", "900", "-1", "(x)", "3 0 R", "99999999999999999999"] {
            assert_eq!(contents(&text(wrong)), [("ab ".to_owned(), true)], "{wrong}");
        }
        assert_eq!(contents("1 0 obj<</A 1>>stream \nabc\r\nendstream"), [("abc".to_owned(), true)]);
        assert_eq!(contents("1 0 obj<</A 1>>stream\nabc"), [("abc".to_owned(), false)]);
    }

    #[test]
    fn an_embedded_file_that_is_a_document_keeps_its_objects() {
        let inner = "%PDF-1.7\n5 0 obj<<>>stream\nx\nendstream endobj\n";
        let file = |kind: &str| {
            format!("1 0 obj<</Type/{kind}/Length {}>>stream\n{inner}endstream endobj 2 0 obj 1 endobj", inner.len())
        };
        assert_eq!(document(&file("EmbeddedFile")).1.len(), 2);
        assert_eq!(document(&file("Other")).1.len(), 3);
    }

    #[test]
    fn a_flood_of_objects_is_read_in_no_time() {
        let begun = std::time::Instant::now();
        let size = 10 << 20;
        for word in [
            "1 0 obj",
            "1 0 obj<<",
            "1 0 obj(",
            "1 0 obj[",
            "1 0 obj<",
            "1 0 obj<<>>stream ",
            "1 0 obj<</Length 1 0 R>>stream\n",
            "trailer<<",
            "endstream ",
            "obj",
            "    obj",
            "1 0 obj/",
            "1 1 1 1 obj%",
            "1 0 obj 1 0 R ",
            "trailer<</Encrypt(",
        ] {
            let text = word.repeat(size / word.len());
            let bytes = Bytes::from(text);
            let mut streams = Vec::new();
            let document = Document::read(&bytes, &mut |indirect| {
                if streams.len() < 2000 && indirect.stream().is_some() {
                    streams.push(indirect.clone());
                }
            });
            streams.iter().for_each(|stream| drop(document.content(stream)));
        }
        assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
    }
}
