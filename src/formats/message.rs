//! Mail messages (RFC 5322, MIME): every entity becomes a part, in every reading.
//!
//! A nested message is a part whose content this format takes apart in its turn. Multiparts are no
//! parts. What two mail readers would read differently is scanned both ways and reported as
//! ambiguous, because such a message cannot be stripped with certainty.

use std::collections::HashSet;
use std::ops::Range;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::filetype::{self, Class, FileType};
use crate::finding;
use crate::formats::Format;
use crate::limits::Limit;
use crate::lure;
use crate::mime;
use crate::mime::decode::{self, Transfer};
use crate::mime::params;
use crate::mime::walk::{Entity, Kind};
use crate::part::{Name, Origin, Part};
use crate::scan::{Child, Hash, Scan};

/// Messages: the root, attached ones, members of archives.
pub const FORMAT: Format = Format { name: "message", walled: false, accepts, examine };

/// How often the octets of one message are decoded by all readings together.
const MAX_READINGS: usize = 8;

fn accepts(part: &Part) -> bool {
    let declared = matches!(part.declared.as_deref(), Some("message/rfc822" | "message/global" | "message/news"));
    match part.origin {
        Origin::Root => part.types.has(FileType::Message),
        Origin::Attachment | Origin::Member => {
            // A multipart is no part: one that is a part stands for a message (see `Kind::Encoded`).
            let container = part.declared.as_deref().is_some_and(|declared| declared.starts_with("multipart/"));
            let named = part.extensions().any(|extension| extension == "eml");
            // What is signed is taken out of its wrapping first.
            let wrapped = part.types.has(FileType::Pkcs7) || part.types.has(FileType::Pgp);
            let looks = || part.types.has(FileType::Message) || !wrapped && mime::looks_like_message(&part.bytes);
            declared || container || named || looks()
        }
        Origin::Body | Origin::Embedded => mime::looks_like_message(&part.bytes),
    }
}

fn examine(part: &Part, scan: &mut Scan) {
    let mail = mime::read(&part.bytes);
    for limit in mail.limits {
        scan.limit(part, limit);
    }
    for doubt in mail.doubts {
        scan.finding(finding::MIME_AMBIGUOUS, part, "", doubt);
    }
    let date = mime::text(&part.bytes, "date");
    lure::header(scan, part, mime::subject(&part.bytes).as_deref(), date.as_deref());
    let mut reader = Reader { part, scan, seen: HashSet::new() };
    // What every reader sees comes first, so that another reading that ends in the same content
    // adds nothing.
    let (certain, doubtful): (Vec<Entity>, Vec<Entity>) =
        mail.entities.into_iter().partition(|entity| entity.doubt.is_none());
    let mut octets: usize = 0;
    for entity in certain.into_iter().chain(doubtful) {
        if reader.scan.stopped() {
            return;
        }
        // Entities may share octets, so that together they may be more than the message.
        octets = octets.saturating_add(entity.body.len());
        if octets > part.bytes.len().saturating_mul(MAX_READINGS) {
            return reader.scan.limit(part, Limit::ScanSize);
        }
        reader.entity(&entity);
    }
}

/// Turns the entities of one message into parts.
struct Reader<'a> {
    part: &'a Part,
    scan: &'a mut Scan,
    /// Hashes of the contents so far, with their names.
    seen: HashSet<(Hash, Vec<String>)>,
}

impl Reader<'_> {
    fn entity(&mut self, entity: &Entity) {
        match entity.declared.as_deref() {
            Some(declared @ "message/partial") => {
                self.scan.finding(finding::CONTAINER_UNSUPPORTED, self.part, "", declared);
            }
            Some(declared @ "message/external-body") => {
                self.scan.finding(finding::EXTERNAL_BODY, self.part, "", declared);
            }
            _ => {}
        }
        let body = self.part.bytes.slice(range_in(&self.part.bytes, &entity.body));
        if let Kind::Encoded(section) = &entity.kind {
            return self.encoded(entity, section, &body);
        }
        let attached = entity.kind != Kind::Inline;
        // A message is mostly base64 because of what it carries.
        let mut contents =
            decode::contents(&body, &entity.transfers, entity.kind == Kind::File && !is_container(entity));
        if entity.kind == Kind::Message && mime::looks_like_message(&body) {
            contents.also(body, "a message labelled as encoded that is not");
        }
        let mut new = false;
        for (i, bytes) in contents.readings.iter().enumerate() {
            new |= self.reading(entity, bytes, i);
        }
        // Text in line with rubbish behind it is what mailing lists make of every mail.
        let doubt = entity
            .doubt
            .filter(|_| new && attached)
            .or(contents.doubt.filter(|_| attached || new && files(&contents.readings)));
        if let Some(doubt) = doubt {
            self.scan.finding(finding::MIME_AMBIGUOUS, self.part, "", doubt);
        }
    }

    /// One reading of an entity becomes a part. `false` if it is nothing new.
    fn reading(&mut self, entity: &Entity, bytes: &Bytes, number: usize) -> bool {
        let hash = Sha256::digest(bytes).into();
        let new = self.is_new(hash, &entity.names);
        // The first reading of what every reader sees always is a part: two equal attachments are two.
        if !new && (number > 0 || entity.doubt.is_some()) {
            return false;
        }
        let origin = origin(entity, bytes);
        if origin == Origin::Attachment {
            lure::file(self.scan, self.part, &entity.names, bytes);
        }
        let child = Child {
            names: entity.names.clone(),
            declared: declared(entity),
            bytes: bytes.clone(),
            span: Some(entity.span.clone()),
            sha256: Some(hash),
            ..Child::default()
        };
        let verbatim = self.part.bytes.get(entity.body.clone()) == Some(bytes.as_ref());
        if let Some(path) = self.scan.child(self.part, origin, child)
            && verbatim
        {
            self.scan.stands_at(self.part, &path, entity.body.start);
        }
        if origin == Origin::Body || entity.transfers.contains(&Transfer::Uuencode) {
            self.blocks(entity, bytes, verbatim);
        }
        new
    }

    fn is_new(&mut self, hash: Hash, names: &[Name]) -> bool {
        self.seen.insert((hash, names.iter().map(|name| name.text.clone()).collect()))
    }

    /// Files that stand uuencoded in a text: as old as mail, and readers still show them.
    fn blocks(&mut self, entity: &Entity, text: &Bytes, verbatim: bool) {
        let blocks = decode::uuencoded(text);
        if blocks.len() > decode::MAX_BLOCKS {
            self.scan.limit(self.part, Limit::Files);
        }
        for block in blocks.into_iter().take(decode::MAX_BLOCKS) {
            let decoded = params::words(&block.name);
            let name = Name { text: decoded.text, raw: decoded.lossy.then_some(block.name) };
            let hash = Sha256::digest(&block.bytes).into();
            if !self.is_new(hash, std::slice::from_ref(&name)) {
                continue;
            }
            let span = if verbatim { shift(&block.range, entity.body.start) } else { entity.span.clone() };
            let child = Child {
                names: vec![name],
                bytes: block.bytes.into(),
                span: Some(span),
                sha256: Some(hash),
                ..Child::default()
            };
            self.scan.child(self.part, Origin::Attachment, child);
        }
    }

    /// A multipart that was transfer-encoded as a whole makes a message of its own.
    fn encoded(&mut self, entity: &Entity, section: &[u8], body: &Bytes) {
        for bytes in decode::contents(body, &entity.transfers, false).readings {
            let child = Child {
                declared: entity.declared.clone(),
                bytes: [section, &bytes].concat().into(),
                span: Some(entity.span.clone()),
                ..Child::default()
            };
            self.scan.child(self.part, Origin::Attachment, child);
        }
    }
}

fn is_container(entity: &Entity) -> bool {
    entity.declared.as_deref().is_some_and(|declared| declared.starts_with("message/"))
}

fn files(readings: &[Bytes]) -> bool {
    readings.iter().any(|bytes| is_file(bytes))
}

/// Whether the content is something else than text, whatever it is called.
fn is_file(bytes: &[u8]) -> bool {
    filetype::detect(bytes).iter().any(|t| !matches!(t.class(), Class::Other | Class::Message | Class::Script))
}

fn origin(entity: &Entity, bytes: &[u8]) -> Origin {
    if entity.kind == Kind::Inline && !is_file(bytes) { Origin::Body } else { Origin::Attachment }
}

fn declared(entity: &Entity) -> Option<String> {
    match entity.kind {
        // A part of a digest is a message although nothing says so.
        Kind::Message => Some(entity.declared.clone().unwrap_or_else(|| "message/rfc822".to_owned())),
        Kind::Inline | Kind::File | Kind::Encoded(_) => entity.declared.clone(),
    }
}

fn range_in(bytes: &Bytes, range: &Range<usize>) -> Range<usize> {
    let end = range.end.min(bytes.len());
    range.start.min(end)..end
}

fn shift(range: &Range<usize>, by: usize) -> Range<usize> {
    range.start.saturating_add(by)..range.end.saturating_add(by)
}
