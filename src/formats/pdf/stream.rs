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
    is_decrypted: bool,
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

    /// Reads a stream in every way that makes sense, one as a rule; `what` it is unless it has a crypt filter of its own.
    pub fn read(
        &mut self,
        stream: &Indirect,
        what: What<'_>,
        document: &Document,
        scan: &mut Scan,
    ) -> Result<Vec<Reading>, Nothing> {
        let (packed, is_ended) = document.content(stream);
        let filters = stream.stream().map(|dictionary| filter::of(dictionary, document)).unwrap_or_default();
        let own = filters.iter().find_map(|filter| match filter {
            Filter::Crypt(name) => Some(name.as_slice()),
            _ => None,
        });
        let what = own.map_or(what, What::Named);
        let is_packed = filters.iter().any(|filter| !matches!(filter, Filter::Crypt(_)));
        let (mut readings, mut first) = (Vec::new(), None);
        for key in self.keys.iter().map(Some).chain([None]) {
            // As it stands it is read only where no key makes sense of it.
            if key.is_none() && !readings.is_empty() {
                break;
            }
            let clear = match key {
                None => Some(packed.clone()),
                Some((key, _)) => key.decrypt(what, &stream.place, &packed).map(Bytes::from),
            };
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
            let is_decrypted = key.is_some();
            let reading = Reading { content, opened_by_password, is_decrypted, packed: packed.clone() };
            if makes_sense {
                readings.push(reading);
            } else if first.is_none() && (key.is_some() || !self.is_closed) {
                first = Some(reading);
            } else {
                scan.spend(reading.content.size());
            }
        }
        // A key that makes no sense of it may be the right one all the same.
        let has_key_made_sense = readings.iter().any(|reading| reading.is_decrypted);
        if let Some(reading) = first.filter(|_| !has_key_made_sense) {
            readings.insert(0, reading);
        }
        if readings.is_empty() { Err(Nothing::Closed) } else { Ok(readings) }
    }
}

/// Whether it is something by itself.
fn is_known(bytes: &[u8]) -> bool {
    let types = filetype::detect(bytes.get(..4096).unwrap_or(bytes));
    ![FileType::Data, FileType::Text].map(|plain| TypeSet::EMPTY.with(plain)).contains(&types)
}
