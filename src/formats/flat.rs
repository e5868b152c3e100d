//! Office documents in one XML file: Word 2003 XML (`w:wordDocument`) and the flat form of a
//! package (`pkg:package`, ECMA-376 part 1, annex L.2). What is binary stands in Base64: pictures,
//! embedded objects, and the VBA project, in ActiveMime or as it is.

use std::borrow::Cow;

use memchr::memmem;

use crate::filetype::{self, Class, FileType};
use crate::finding;
use crate::formats::actions::Actions;
use crate::formats::markup::{self, Token};
use crate::formats::{Format, links, ooxml, shape};
use crate::lure;
use crate::mime::decode;
use crate::part::{Name, Origin, Part};
use crate::scan::{Child, Scan};

/// Word 2003 XML and flat packages.
pub const FORMAT: Format = Format { name: "flat-xml", walled: true, accepts, examine };

/// Elements whose text is Base64.
const BINARY: [&str; 2] = ["binData", "binaryData"];
/// Text that is kept for comparison with lures: the text of a book.
const MAX_TEXT: usize = 4 << 20;

fn accepts(part: &Part) -> bool {
    // Comments may keep the root out of what detection looks at.
    let plain = [FileType::Xml, FileType::Text].iter().any(|plain| part.types.has(*plain));
    part.types.has(FileType::XmlOffice)
        || plain && BINARY.iter().any(|name| memmem::find(&part.bytes, name.as_bytes()).is_some())
}

fn examine(part: &Part, scan: &mut Scan) {
    let xml = lure::decode_xml(&part.bytes);
    let mut document =
        Document { part, part_name: String::new(), open: None, text: String::new(), look: shape::Look::default() };
    let mut actions = Actions::default();
    for token in markup::tokens(&xml) {
        if scan.stopped() || scan.is_full() {
            break;
        }
        actions.read(&document.part_name, token);
        document.read(token, scan);
    }
    document.close(scan);
    links::relationships(&xml, part, "", scan);
    links::fields(&xml, part, "", scan);
    actions.report(part, scan);
    scan.learn_type(part, FileType::XmlOffice);
    document.look.text(&document.text);
    document.look.report(part, scan);
    lure::document_text(scan, part, &document.text);
}

/// A document that is being read.
struct Document<'a> {
    part: &'a Part,
    /// Of the part of a flat package that is being read.
    part_name: String,
    /// An element with Base64 that is being read: its name, and its text so far.
    open: Option<(String, String)>,
    text: String,
    look: shape::Look,
}

impl Document<'_> {
    fn read(&mut self, token: Token<'_>, scan: &mut Scan) {
        match token {
            Token::Open(name, attributes) if BINARY.contains(&name) => {
                self.close(scan);
                let name =
                    markup::attribute(attributes, "name").map_or_else(|| self.part_name.clone(), Cow::into_owned);
                self.open = Some((name, String::new()));
            }
            Token::Close(name) if BINARY.contains(&name) => self.close(scan),
            Token::Open("part", attributes) => {
                self.part_name = markup::attribute(attributes, "name").unwrap_or_default().into_owned();
            }
            Token::Open(name, attributes) => {
                ooxml::text_in_attributes(name, attributes, &mut self.text);
                ooxml::report_event(name, attributes, self.part, &self.part_name, scan);
            }
            Token::Close("p") => self.text.push('\n'),
            Token::Close(_) => {}
            Token::Text(text) => match &mut self.open {
                Some((_, coded)) => coded.push_str(&markup::decoded(text)),
                None if self.text.len() < MAX_TEXT => self.text.push_str(&markup::decoded(text)),
                None => {}
            },
        }
    }

    /// Decodes what stood in the open element, if one is open.
    fn close(&mut self, scan: &mut Scan) {
        let Some((name, coded)) = self.open.take() else { return };
        let bytes = decode::base64_runs(coded.as_bytes());
        if bytes.is_empty() {
            if !coded.trim().is_empty() {
                scan.finding(finding::DAMAGED, self.part, &name, &name);
            }
            return;
        }
        let types = filetype::detect(&bytes);
        self.look.member(types, &bytes);
        if ooxml::is_worth_a_part(&name, types) {
            let child = Child { names: vec![Name::plain(name)], bytes: bytes.into(), ..Child::default() };
            scan.child(self.part, Origin::Embedded, child);
        } else {
            scan.spend(bytes.len() as u64);
            if types.has_class(Class::Media) {
                let size = bytes.len();
                scan.picture(self.part, &name, size as u64, size, Box::new(move |_| Some(bytes.into())));
            }
        }
    }
}
