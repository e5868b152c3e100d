//! Pictures of documents, kept until everything was looked at: only then is it known whether a document is active, and
//! nobody reads in others.

use bytes::Bytes;

use super::Scan;
use crate::finding;
use crate::formats::picture::{self, PER_DOCUMENT};
use crate::part::{Part, PartPath};
use crate::verdict::{self, Level};

/// Octets that are kept, as they stand in their documents: two large lures have one.
const MAX_KEPT: usize = 32 << 20;
/// Pictures that are kept: for as many documents as anybody sends. Of more, it is known that they are there.
const MAX_PICTURES: usize = 256;

/// Unpacks a picture, within so many octets; `None` if that cannot be done.
pub type Unpack = Box<dyn FnOnce(u64) -> Option<Bytes>>;

/// What is kept.
#[derive(Default)]
pub(super) struct Gallery {
    pictures: Vec<Picture>,
    kept: usize,
}

struct Picture {
    /// The part it was found in, without its octets.
    part: Part,
    location: String,
    /// How large it is, to choose by.
    size: u64,
    /// How much of memory it has here.
    kept: usize,
    content: Option<Unpack>,
}

impl Scan {
    /// Notes a picture of the document that `part` belongs to, of so many octets; `kept` of them are in memory as long
    /// as `content` is. Of each document the largest are read once it is known to be active.
    pub fn picture(&mut self, part: &Part, location: &str, size: u64, kept: usize, content: Unpack) {
        if !self.asking {
            return;
        }
        let document = |picture: &Picture| picture.part.document == part.document;
        let others: Vec<usize> = (0_usize..)
            .zip(&self.gallery.pictures)
            .filter_map(|(place, picture)| document(picture).then_some(place))
            .collect();
        if others.len() >= PER_DOCUMENT {
            let smallest = others
                .into_iter()
                .filter_map(|place| Some((self.gallery.pictures.get(place)?.size, place)))
                .min_by_key(|(size, place)| (*size, std::cmp::Reverse(*place)));
            let Some((_, place)) = smallest.filter(|(smallest, _)| *smallest < size) else { return };
            let gone = self.gallery.pictures.remove(place);
            self.gallery.kept = self.gallery.kept.saturating_sub(gone.kept);
        }
        // What there is no room for is told, if its document is active.
        let room = MAX_KEPT.checked_sub(self.gallery.kept.saturating_add(kept));
        let room = room.filter(|_| self.gallery.pictures.len() < MAX_PICTURES);
        let (kept, content) = if room.is_some() { (kept, Some(content)) } else { (0, None) };
        self.gallery.kept = self.gallery.kept.saturating_add(kept);
        let part = Part { bytes: Bytes::new(), ..part.clone() };
        self.gallery.pictures.push(Picture { part, location: location.to_owned(), size, kept, content });
    }

    /// Reads the pictures of documents that are active without them.
    pub(super) fn look_at_pictures(&mut self, watch: &dyn Fn(&Part, &'static str)) {
        let mut pictures = std::mem::take(&mut self.gallery).pictures;
        if pictures.is_empty() {
            return;
        }
        let levels = verdict::levels(&self.report);
        let is_active = |path: &PartPath| levels.iter().any(|(known, level)| known == path && *level >= Level::Active);
        pictures.retain(|picture| is_active(&picture.part.document));
        // The largest first, whatever order they stand in: there may be room for some only.
        pictures.sort_by_key(|picture| std::cmp::Reverse(picture.size));
        for Picture { part, location, content, .. } in pictures {
            if self.stopped() {
                return self.finding(finding::SCAN_FAULT, &part, "", "max_scan_time");
            }
            watch(&part, "picture");
            let Some(content) = content else {
                self.finding(finding::PICTURE_UNREAD, &part, &location, "too many pictures");
                continue;
            };
            let room = self.room();
            self.guarded(&part, "picture", |scan| match content(room) {
                Some(bytes) => picture::read(&part, &bytes, scan),
                None => scan.finding(finding::PICTURE_UNREAD, &part, &location, "cannot be unpacked"),
            });
        }
    }
}
