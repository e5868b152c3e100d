//! Files embedded in a PDF (ISO 32000-2 7.11.3, 7.11.4): attached to the document, to a page or to a portfolio.
//!
//! What a file specification refers to, in whichever revision of the document, and what calls itself an embedded
//! file. Pages, fonts and pictures are no files.

use std::collections::{BTreeMap, HashMap};

use super::crypt::{Key, What};
use super::document::{Document, Indirect, Place};
use super::object::{Dictionary, Object};
use super::stream::{Nothing, Reader, Reading};
use super::text;
use crate::finding;
use crate::formats::container::{self, Content, Member, Outcome};
use crate::formats::payload;
use crate::part::{Name, Part};
use crate::scan::Scan;

/// Names of one file: a specification has five.
const MAX_NAMES: usize = 8;

/// What stands in a document and is read.
pub struct Found {
    /// File specifications.
    specifications: Vec<(Place, Dictionary)>,
    /// Streams that call themselves embedded files.
    files: Vec<Indirect>,
    /// Object streams.
    pub containers: Vec<Indirect>,
    most: usize,
    /// Whether there are more.
    pub is_cut: bool,
}

impl Found {
    /// At most so many of each.
    pub fn new(most: usize) -> Self {
        Self { specifications: Vec::new(), files: Vec::new(), containers: Vec::new(), most, is_cut: false }
    }

    /// Looks at an object.
    pub fn see(&mut self, indirect: &Indirect) {
        if let Some(dictionary) = indirect.stream() {
            if dictionary.is_a("ObjStm") {
                self.is_cut |= !push(&mut self.containers, indirect, self.most);
            }
            if dictionary.is_a("EmbeddedFile") {
                self.is_cut |= !push(&mut self.files, indirect, self.most);
            }
        }
        for dictionary in indirect.object.dictionaries().filter(|dictionary| dictionary.get("EF").is_some()) {
            self.is_cut |= !push(&mut self.specifications, &(indirect.place, dictionary.clone()), self.most);
        }
    }

    /// Puts the files on the work list.
    pub fn give(self, part: &Part, document: &Document, reader: &mut Reader, scan: &mut Scan) -> Vec<String> {
        let mut locked = Vec::new();
        for (stream, names) in self.streams(document, reader).into_values() {
            let place = stream.place;
            if scan.stopped() {
                break;
            }
            let readings = match reader.read(&stream, What::File, document, scan) {
                Ok(readings) => readings,
                Err(Nothing::Closed) => {
                    locked.extend(names.first().map(|name| name.text.clone()));
                    continue;
                }
                Err(Nothing::Spent) => {
                    let evidence = "streams of a PDF that stand within each other";
                    scan.finding(finding::LIMIT_EXCEEDED, part, &place.number.to_string(), evidence);
                    break;
                }
            };
            if !readings.into_iter().all(|reading| give(part, &place, &names, reading, scan)) {
                break;
            }
        }
        locked
    }

    /// The streams of the files and their names, in the order of the document.
    fn streams(self, document: &Document, reader: &Reader) -> BTreeMap<usize, (Indirect, Vec<Name>)> {
        let mut names: HashMap<u32, Vec<Name>> = HashMap::new();
        let key = reader.keys.first().map(|(key, _)| key);
        for (place, specification) in &self.specifications {
            let spec_names = names_of(specification, place, key, document);
            for number in numbers(specification, document) {
                let known = names.entry(number).or_default();
                for name in &spec_names {
                    if known.len() < MAX_NAMES && !known.contains(name) {
                        known.push(name.clone());
                    }
                }
            }
        }
        let mut streams = BTreeMap::new();
        for (number, names) in &names {
            for stream in document.definitions(*number).filter(|it| it.stream().is_some()).take(self.most) {
                streams.insert(stream.place.position(), (stream, names.clone()));
            }
        }
        for stream in self.files {
            let names = names.get(&stream.place.number).cloned().unwrap_or_default();
            streams.entry(stream.place.position()).or_insert((stream, names));
        }
        streams
    }
}

/// Puts a file on the work list; `false` if a limit forbids more.
fn give(part: &Part, place: &Place, names: &[Name], reading: Reading, scan: &mut Scan) -> bool {
    let bytes = reading.content.bytes().cloned().unwrap_or_default();
    if !bytes.is_empty() {
        payload::embedded(names, &bytes, part, &format!("object {}", place.number), scan);
    }
    let is_empty = bytes.is_empty() && matches!(reading.content, Content::Whole(_));
    let member = Member { names, packed: Some(&reading.packed), is_empty };
    container::give(part, member, reading.content, reading.opened_by_password, scan) == Outcome::Given
}

fn push<T: Clone>(list: &mut Vec<T>, item: &T, most: usize) -> bool {
    let has_room = list.len() < most;
    if has_room {
        list.push(item.clone());
    }
    has_room
}

/// What a specification refers to, on whatever system (table 44), and files that belong to it (table 43, RF).
fn numbers(specification: &Dictionary, document: &Document) -> Vec<u32> {
    let lists = ["EF", "RF"].into_iter().flat_map(|key| specification.all(key));
    let lists = lists.map(|list| document.value(list));
    let mut numbers = Vec::new();
    for list in lists {
        let Object::Dictionary(list) = list else { continue };
        for value in list.values() {
            match value {
                Object::Reference(number) => numbers.push(*number),
                Object::Array(items) => numbers.extend(items.iter().filter_map(|item| match item {
                    Object::Reference(number) => Some(*number),
                    _ => None,
                })),
                _ => {}
            }
        }
    }
    numbers
}

/// The names of a specification, the one that readers show first.
fn names_of(specification: &Dictionary, place: &Place, key: Option<&Key>, document: &Document) -> Vec<Name> {
    let mut names: Vec<Name> = Vec::new();
    let fields = ["UF", "F", "Unix", "Mac", "DOS"].into_iter();
    for (field, value) in fields.flat_map(|field| specification.all(field).map(move |value| (field, value))) {
        let (value, place) = match value {
            Object::Reference(number) => match document.definitions(*number).next() {
                Some(indirect) => (indirect.object, indirect.place),
                None => continue,
            },
            direct => (direct.clone(), *place),
        };
        let Object::String(octets) = value else { continue };
        let clear = key.filter(|_| !place.is_in_stream()).and_then(|key| key.decrypt(What::String, &place, &octets));
        let octets = clear.unwrap_or(octets);
        let name = if field == "UF" { text::name(&octets) } else { text::file_name(&octets) };
        if !name.text.is_empty() && !names.iter().any(|known| known.text == name.text) {
            names.push(name);
        }
    }
    names
}
