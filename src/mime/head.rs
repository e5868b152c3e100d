//! What the header section of a MIME part says of it (RFC 2045 5-6, 2183), contradictions included.

use std::ops::Range;

use memchr::memmem;

use crate::mime::decode::{self, Transfer};
use crate::mime::header::{Ends, Field, Fields};
use crate::mime::params::{self, Value};
use crate::mime::walk::{Entity, Kind};
use crate::part::Name;

/// Content fields of one header section that are read; honest parts have six.
const MAX_CONTENT_FIELDS: usize = 40;
/// Boundaries of one header section that are tried. More are told.
pub(crate) const MAX_BOUNDARIES: usize = 8;

/// What a header section says of its part.
pub(crate) struct Head {
    /// Every distinct Content-Type.
    pub types: Vec<Value>,
    /// Where their values stand.
    pub raw_types: Vec<Range<usize>>,
    /// Every Content-Disposition.
    dispositions: Vec<Value>,
    /// Every distinct transfer encoding.
    pub transfers: Vec<Transfer>,
    /// A transfer encoding is misspelt, or there are two.
    pub odd_transfer: bool,
    /// A line that is no field was passed over.
    pub skipped: bool,
    /// There are more fields, or parameters of one, than were read, or a longer name.
    pub too_many: bool,
    /// Where the body begins.
    pub body: usize,
}

impl Head {
    /// Reads the section at the beginning of `raw[range]`.
    pub fn read(raw: &[u8], range: &Range<usize>, ends: Ends) -> Self {
        let mut fields = Fields::new(raw, range.clone(), ends);
        let mut head = Self {
            types: Vec::new(),
            raw_types: Vec::new(),
            dispositions: Vec::new(),
            transfers: Vec::new(),
            odd_transfer: false,
            skipped: false,
            too_many: false,
            body: 0,
        };
        let mut count: usize = 0;
        for field in fields.by_ref() {
            let name = raw.get(field.name.clone()).unwrap_or_default();
            if !name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"content-")) {
                continue;
            }
            let known = head.add(raw, &field, count < MAX_CONTENT_FIELDS);
            count = count.saturating_add(usize::from(known));
        }
        head.too_many = count > MAX_CONTENT_FIELDS
            || head.types.iter().chain(&head.dispositions).any(|value| value.cut || value.has_cut_name());
        head.body = fields.body();
        head.skipped = fields.skipped();
        head
    }

    /// Reads a field that describes the part; `false` if it is another one.
    fn add(&mut self, raw: &[u8], field: &Field, read: bool) -> bool {
        let value = raw.get(field.value.clone()).filter(|_| read);
        if field.is(raw, "content-type") {
            let parsed = value.map(params::parse);
            if let Some(parsed) = parsed.filter(|parsed| !self.types.contains(parsed)) {
                self.types.push(parsed);
                self.raw_types.push(field.value.clone());
            }
        } else if field.is(raw, "content-disposition") {
            self.dispositions.extend(value.map(params::parse));
        } else if field.is(raw, "content-transfer-encoding") {
            value.into_iter().for_each(|value| self.add_transfer(value));
        } else {
            return false;
        }
        true
    }

    fn add_transfer(&mut self, value: &[u8]) {
        let (transfer, exact) = decode::transfer(&params::parse(value).main);
        let again = !self.transfers.is_empty() && !self.transfers.contains(&transfer);
        self.odd_transfer |= again || !exact;
        if !self.transfers.contains(&transfer) {
            self.transfers.push(transfer);
        }
    }

    /// The media type: the first one.
    pub fn main(&self) -> &str {
        self.types.first().map_or("", |value| value.main.as_str())
    }

    /// Whether it may be something else than a multipart.
    pub fn is_leaf(&self) -> bool {
        self.types.is_empty() || self.types.iter().any(|value| !is_multipart(value))
    }

    /// Whether the body has to be decoded.
    pub fn is_coded(&self) -> bool {
        self.transfers.iter().any(|t| !matches!(t, Transfer::Identity | Transfer::Unknown))
    }

    /// Whether it may be a multipart.
    pub fn is_multipart(&self) -> bool {
        self.types.iter().any(is_multipart)
    }

    pub fn is_digest(&self) -> bool {
        self.types.iter().any(|value| value.main == "multipart/digest")
    }

    /// Every boundary that is declared, in all readings; one more than [`MAX_BOUNDARIES`] if there are more.
    pub fn boundaries(&self) -> Vec<Vec<u8>> {
        let mut found: Vec<Vec<u8>> = Vec::new();
        for boundary in self.types.iter().flat_map(|value| value.octets("boundary")) {
            let boundary = boundary.trim_ascii_end();
            // Encoded words have no place here, and mail-parser decodes them all the same. A
            // backslash escapes any character (RFC 5322 3.2.4), and few readers know that.
            let decoded = memmem::find(boundary, b"=?").map(|_| params::words(boundary).text.into_bytes());
            let escaped = boundary.contains(&b'\\');
            let unescaped = escaped.then(|| boundary.iter().copied().filter(|byte| *byte != b'\\').collect());
            for boundary in [Some(boundary.to_vec()), decoded, unescaped].into_iter().flatten() {
                if !found.contains(&boundary) && found.len() <= MAX_BOUNDARIES {
                    found.push(boundary);
                }
            }
        }
        found
    }

    /// Whether every reader sees this boundary: declared once, as it stands there, not empty.
    pub fn is_plain_boundary(&self, boundary: &[u8]) -> bool {
        let mut parameters = self.types.iter().flat_map(|value| &value.parameters).filter(|p| p.name == "boundary");
        !boundary.is_empty()
            && parameters.any(|p| p.values.first().is_some_and(|value| value.trim_ascii_end() == boundary))
    }

    /// Whether there are several boundaries.
    pub fn contradicting_boundaries(&self) -> bool {
        self.types.iter().any(|value| value.contradictions("boundary") > 0)
    }

    pub fn kind(&self, digest: bool) -> Kind {
        let message = |value: &Value| {
            matches!(value.main.as_str(), "message/rfc822" | "message/global" | "message/news" | "message/rfc-822")
        };
        if self.types.iter().any(message) || (digest && self.types.is_empty()) {
            return Kind::Message;
        }
        let text = self
            .types
            .iter()
            .all(|value| value.main.starts_with("text") || value.main.is_empty() || is_multipart(value));
        let attachment = self.dispositions.iter().any(|value| value.main.starts_with("attachment"));
        if text && !attachment && self.names().is_empty() { Kind::Inline } else { Kind::File }
    }

    pub fn names(&self) -> Vec<Name> {
        let mut names: Vec<Name> = Vec::new();
        let given = self.dispositions.iter().flat_map(|value| value.names("filename"));
        let given = given.chain(self.types.iter().flat_map(|value| value.names("name")));
        let given = given.chain(self.dispositions.iter().flat_map(|value| value.names("name")));
        let given = given.chain(self.types.iter().flat_map(|value| value.names("filename")));
        for name in given {
            if !names.iter().any(|known| known.text == name.text) {
                names.push(name);
            }
        }
        names
    }

    /// The part that another parser found at `header..body..end`, if it is a file.
    pub fn entity(raw: &[u8], span: Range<usize>, body: Range<usize>, doubt: &'static str) -> Option<Entity> {
        let head = Self::read(raw, &(span.start..body.start), Ends::Lf);
        let kind = head.kind(false);
        if kind != Kind::File || head.is_multipart() {
            return None;
        }
        Some(Entity {
            names: head.names(),
            declared: head.types.first().map(|value| value.main.clone()).filter(|main| !main.is_empty()),
            transfers: head.transfers,
            kind,
            span,
            body,
            doubt: Some(doubt),
        })
    }
}

/// Whether a Content-Type is that of a multipart.
fn is_multipart(value: &Value) -> bool {
    value.main.starts_with("multipart")
}
