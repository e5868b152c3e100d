//! TNEF, Outlook's `winmail.dat` ([MS-OXTNEF]): attachments, nested items, and the text in all its forms.
//!
//! A list of attributes, some of which hold lists of MAPI properties (`properties`). Lengths are
//! claims; what is wrong is passed over, and reading goes on at the next thing that can be an attribute.

mod properties;

use bytes::Bytes;
use encoding_rs::Encoding;
use memchr::memchr2_iter;

use crate::filetype::FileType;
use crate::finding;
use crate::formats::Format;
use crate::formats::coded;
use crate::formats::mapi::{self, Names};
use crate::part::{Name, Origin, Part};
use crate::reader::Reader;
use crate::scan::{Child, Scan};
use crate::vba::project::encoding_of;
use properties::{Kind, Properties, Property};

/// Outlook's container.
pub const FORMAT: Format = Format { name: "tnef", walled: true, accepts, examine };

/// [MS-OXTNEF] 2.1.3.1: the signature, as it stands there.
const SIGNATURE: &[u8] = b"\x78\x9f\x3e\x22";
/// Octets before the first attribute: the signature and a key.
const HEADER: usize = 6;

// [MS-OXTNEF] 2.1.3.2: attributes.
const ATT_ATTACH_REND_DATA: u32 = 0x0006_9002;
const ATT_ATTACH_TITLE: u32 = 0x0001_8010;
const ATT_ATTACH_DATA: u32 = 0x0006_800F;
const ATT_ATTACH_FILE_NAME: u32 = 0x0006_9001;
const ATT_ATTACHMENT: u32 = 0x0006_9005;
const ATT_MESSAGE_PROPERTIES: u32 = 0x0006_9003;
const ATT_CODE_PAGE: u32 = 0x0006_9007;
const ATT_BODY: u32 = 0x0002_800C;

// [MS-OXPROPS]: properties.
const DISPLAY_NAME: u16 = 0x3001;
const BODY: u16 = 0x1000;
const RTF_COMPRESSED: u16 = 0x1009;
const BODY_HTML: u16 = 0x1013;
const ATTACH_DATA: u16 = 0x3701;
const ATTACH_FILE_NAME: u16 = 0x3704;
const ATTACH_LONG_FILE_NAME: u16 = 0x3707;
const ATTACH_LONG_PATH_NAME: u16 = 0x370D;

/// The first octets of the identifiers of what an object is: a message, a storage, a stream. They all end alike.
const OBJECT_ID_END: &[u8] = b"\0\0\0\0\0\xc0\0\0\0\0\0\0\x46";

fn accepts(part: &Part) -> bool {
    part.types.has(FileType::Tnef)
}

fn examine(part: &Part, scan: &mut Scan) {
    if !part.bytes.starts_with(SIGNATURE) {
        return;
    }
    let mut item = Item { part, scan, encoding: None, attachment: Attachment::default() };
    let mut at = HEADER.min(part.bytes.len());
    while let Some(attribute) = next(&part.bytes, at) {
        if item.scan.stopped() || item.scan.is_full() {
            return;
        }
        if let Some(what) = attribute.damage {
            item.scan.finding(finding::DAMAGED, part, "", what);
        }
        at = attribute.end;
        item.take(&attribute);
    }
    if part.bytes.len() > HEADER && at == HEADER {
        item.scan.finding(finding::DAMAGED, part, "", "no attribute");
    }
    item.flush();
}

/// An attribute ([MS-OXTNEF] 2.1.3.3).
struct Attribute {
    id: u32,
    data: Bytes,
    /// Where the next one begins.
    end: usize,
    damage: Option<&'static str>,
}

/// The attribute at `at`, or the first one behind it if nothing there can be one.
fn next(bytes: &Bytes, at: usize) -> Option<Attribute> {
    if bytes.len().saturating_sub(at) < 9 {
        return None;
    }
    if let Some(attribute) = attribute(bytes, at, false) {
        return Some(attribute);
    }
    // The low word of every attribute is 0x80.. or 0x90.., its type's high octet is 0.
    let rest = bytes.get(at..).unwrap_or_default();
    let starts = memchr2_iter(0x80, 0x90, rest).filter_map(|hit| at.checked_add(hit)?.checked_sub(2));
    let found = starts.filter(|start| *start > at).find_map(|start| attribute(bytes, start, true))?;
    Some(Attribute { damage: Some("octets between attributes"), ..found })
}

/// Whether an attribute of this id is known ([MS-OXTNEF] 2.1.3.2): its type is 0 to 9, its name has one of these octets.
fn is_id(id: u32) -> bool {
    let [name, family, kind, zero] = id.to_le_bytes();
    zero == 0 && kind <= 9 && matches!(family, 0x80 | 0x90) && name <= 0x2F
}

fn attribute(bytes: &Bytes, at: usize, strict: bool) -> Option<Attribute> {
    let mut reader = Reader::at(bytes, at)?;
    let (level, id, length) = (reader.u8()?, reader.u32()?, reader.u32()?);
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if !matches!(level, 1 | 2) || (strict || length > reader.left()) && !is_id(id) {
        return None;
    }
    let start = reader.position();
    let cut = length > reader.left();
    let data = reader.take(length.min(reader.left()))?;
    let sum = data.iter().fold(0_u16, |sum, octet| sum.wrapping_add((*octet).into()));
    let damage = match reader.u16() {
        _ if cut => Some("an attribute that is longer than the file"),
        Some(told) if told != sum => Some("a checksum that does not match"),
        // The last one's checksum is left out by some writers.
        _ => None,
    };
    let end = reader.position();
    Some(Attribute { id, data: bytes.slice(start..start.saturating_add(data.len())), end, damage })
}

/// An attachment that is being put together.
#[derive(Default)]
struct Attachment {
    names: Names,
    /// The same or not: both are given.
    data: Option<Bytes>,
    property: Option<Bytes>,
}

/// An Outlook item that is being read.
struct Item<'a> {
    part: &'a Part,
    scan: &'a mut Scan,
    encoding: Option<&'static Encoding>,
    attachment: Attachment,
}

impl Item<'_> {
    fn take(&mut self, attribute: &Attribute) {
        let data = &attribute.data;
        match attribute.id {
            ATT_CODE_PAGE => {
                let number = Reader::new(data).u32().and_then(|number| u16::try_from(number).ok());
                self.encoding = number.and_then(encoding_of);
            }
            ATT_BODY => self.body("text/plain", mapi::trimmed(data)),
            ATT_MESSAGE_PROPERTIES => self.properties(data, Self::message_property),
            ATT_ATTACH_REND_DATA => self.flush(),
            ATT_ATTACH_TITLE | ATT_ATTACH_FILE_NAME => {
                let name = self.narrow(data);
                self.attachment.names.add(name);
            }
            ATT_ATTACH_DATA => {
                if self.attachment.data.is_some() {
                    self.flush();
                }
                self.attachment.data = Some(data.clone());
            }
            ATT_ATTACHMENT => {
                if self.attachment.property.is_some() {
                    self.flush();
                }
                self.properties(data, Self::attachment_property);
            }
            _ => {}
        }
    }

    fn properties(&mut self, data: &Bytes, mut each: impl FnMut(&mut Self, &Property)) {
        let mut properties = Properties::new(data);
        // The long name first, wherever it stands.
        let mut kept = Vec::new();
        for property in properties.by_ref() {
            match property.id {
                ATTACH_LONG_FILE_NAME => each(self, &property),
                ATTACH_FILE_NAME | DISPLAY_NAME if kept.len() < 8 => kept.push(property),
                _ => each(self, &property),
            }
        }
        kept.iter().for_each(|property| each(self, property));
        if properties.is_broken() {
            self.scan.finding(finding::DAMAGED, self.part, "", "a list of properties that breaks off");
        }
    }

    fn attachment_property(&mut self, property: &Property) {
        match (property.id, property.kind) {
            (ATTACH_DATA, Kind::Object) => self.attachment.property = Some(object(&property.value)),
            (ATTACH_DATA, _) => self.attachment.property = Some(property.value.clone()),
            (ATTACH_LONG_FILE_NAME | ATTACH_FILE_NAME | DISPLAY_NAME, kind) => {
                if let Some(name) = self.name(kind, &property.value) {
                    self.attachment.names.add(name);
                }
            }
            (ATTACH_LONG_PATH_NAME, kind) => {
                if let Some(name) = self.text(kind, &property.value).filter(|path| !path.is_empty()) {
                    self.scan.finding(finding::EXTERNAL_BODY, self.part, "", &name);
                }
            }
            _ => {}
        }
    }

    fn message_property(&mut self, property: &Property) {
        match (property.id, property.kind) {
            (BODY, Kind::Wide) => self.body("text/plain", mapi::wide(&property.value).into()),
            (BODY, Kind::Narrow) => self.body("text/plain", mapi::trimmed(&property.value)),
            (BODY_HTML, Kind::Wide) => self.body("text/html", mapi::wide(&property.value).into()),
            (BODY_HTML, _) => self.body("text/html", mapi::trimmed(&property.value)),
            (RTF_COMPRESSED, Kind::Binary) => mapi::rich_text(&property.value, self.part, self.scan),
            _ => {}
        }
    }

    fn body(&mut self, declared: &str, bytes: Bytes) {
        if !bytes.is_empty() {
            let child = Child { declared: Some(declared.to_owned()), bytes: bytes.clone(), ..Child::default() };
            self.scan.child(self.part, Origin::Body, child);
            coded::blocks(&bytes, self.part, self.scan);
        }
    }

    fn narrow(&self, bytes: &[u8]) -> Name {
        mapi::narrow(bytes, |octets| self.decode(octets))
    }

    fn decode(&self, octets: &[u8]) -> String {
        self.encoding.map_or_else(
            || String::from_utf8_lossy(octets).into_owned(),
            |encoding| encoding.decode_without_bom_handling(octets).0.into_owned(),
        )
    }

    fn name(&self, kind: Kind, value: &[u8]) -> Option<Name> {
        match kind {
            Kind::Wide => Some(Name::plain(mapi::base(&mapi::wide(value)))),
            Kind::Narrow => Some(self.narrow(value)),
            Kind::Binary | Kind::Object | Kind::Other => None,
        }
    }

    fn text(&self, kind: Kind, value: &[u8]) -> Option<String> {
        match kind {
            Kind::Wide => Some(mapi::wide(value)),
            Kind::Narrow => Some(self.decode(value.split(|octet| *octet == 0).next().unwrap_or_default())),
            Kind::Binary | Kind::Object | Kind::Other => None,
        }
    }

    /// The attachment is at its end: what it holds becomes a part.
    fn flush(&mut self) {
        let Attachment { names, data, property } = std::mem::take(&mut self.attachment);
        let names = names.into_vec();
        // Two contents are two parts, since readers take one or the other.
        let second = property.filter(|bytes| data.as_ref() != Some(bytes));
        for bytes in data.into_iter().chain(second) {
            let child = Child { names: names.clone(), bytes, ..Child::default() };
            self.scan.child(self.part, Origin::Attachment, child);
        }
    }
}

/// The content of an object ([MS-OXTNEF] 2.1.3.5.1.2): behind the identifier of what it is, if there is one.
fn object(value: &Bytes) -> Bytes {
    let is_identified = value.get(3..16) == Some(OBJECT_ID_END);
    value.slice(if is_identified { 16 } else { 0 }..)
}
