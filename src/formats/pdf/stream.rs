//! The content of streams: decrypted, if a password is known, and unpacked.
//!
//! Which of several trailers a reader takes is its own choice, and so is whether it decrypts. What makes no sense
//! decrypted is read as it stands, and what makes sense as it stands is read although no password is known.

use bytes::Bytes;

use super::crypt::{Key, What};
use super::document::{Document, Indirect};
use super::filter::{self, Filter};
use crate::filetype::{self, FileType, TypeSet};
use crate::formats::container::Content;
use crate::scan::Scan;

/// How often the octets of a document may be unpacked: streams stand within each other in hostile ones only.
const MAX_READINGS: usize = 16;
/// Octets that are unpacked whatever the document weighs.
const SMALL: usize = 1 << 20;

/// What reads the streams of a document.
pub struct Reader {
    /// Keys, and whether a password that is known led to them.
    pub keys: Vec<(Key, bool)>,
    /// Whether some of it stays closed.
    pub is_closed: bool,
    work: usize,
}

/// What was read.
pub struct Reading {
    /// The content.
    pub content: Content,
    /// A password that is known opened it.
    pub opened_by_password: bool,
    /// As it stands in the file.
    pub packed: Bytes,
}

/// Why there is nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nothing {
    /// It is encrypted.
    Closed,
    /// Too much was unpacked already.
    Spent,
}

impl Reader {
    /// Of a document of `size` octets.
    pub fn new(size: usize) -> Self {
        let work = size.saturating_mul(MAX_READINGS).saturating_add(SMALL);
        Self { keys: Vec::new(), is_closed: false, work }
    }

    /// Reads a stream; `what` it is unless it has a crypt filter of its own.
    pub fn read(
        &mut self,
        stream: &Indirect,
        what: What<'_>,
        document: &Document,
        scan: &mut Scan,
    ) -> Result<Reading, Nothing> {
        let (packed, is_ended) = document.content(stream);
        let filters = stream.stream().map(|dictionary| filter::of(dictionary, document)).unwrap_or_default();
        let own = filters.iter().find_map(|filter| match filter {
            Filter::Crypt(name) => Some(name.as_slice()),
            _ => None,
        });
        let what = own.map_or(what, What::Named);
        let is_packed = filters.iter().any(|filter| !matches!(filter, Filter::Crypt(_)));
        let keys = self.keys.iter().map(Some).chain([None]);
        let count = self.keys.len().saturating_add(1);
        let mut first = None;
        for (number, key) in keys.enumerate() {
            let clear = match key {
                None => Some(packed.clone()),
                Some((key, _)) => key.decrypt(what, &stream.place, &packed).map(Bytes::from),
            };
            // What a key leaves as it is comes last.
            let Some(clear) = clear else { continue };
            self.work = self.work.checked_sub(clear.len()).ok_or(Nothing::Spent)?;
            let unpacked = filter::unpack(&clear, &filters, scan.room());
            scan.spend(unpacked.between);
            let content = match unpacked.content {
                Content::Whole(bytes) if !is_ended => Content::Damaged(bytes),
                content => content,
            };
            let makes_sense = match &content {
                Content::Whole(bytes) | Content::Head(bytes) => is_packed || is_known(bytes),
                Content::Damaged(_) | Content::Unsupported(_) => false,
            };
            let opened_by_password = key.is_some_and(|(_, is_told)| *is_told);
            let reading = Reading { content, opened_by_password, packed: packed.clone() };
            let is_only = count == 1 && !self.is_closed;
            if makes_sense || is_only {
                return Ok(reading);
            }
            let is_plain = number.saturating_add(1) == count;
            if is_plain && self.is_closed {
                break;
            }
            scan.spend(if first.is_some() { reading.content.size() } else { 0 });
            first.get_or_insert(reading);
        }
        if self.is_closed { Err(Nothing::Closed) } else { first.ok_or(Nothing::Closed) }
    }
}

/// Whether it is something by itself.
fn is_known(bytes: &[u8]) -> bool {
    let types = filetype::detect(bytes.get(..4096).unwrap_or(bytes));
    ![FileType::Data, FileType::Text].map(|plain| TypeSet::EMPTY.with(plain)).contains(&types)
}
