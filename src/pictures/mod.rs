//! What is known of pictures in documents with active content: an oracle ([`crate::asks`]) that asks, in this order,
//! what was read in the very same picture before, the store of pictures that malicious documents showed, and the
//! program that reads.

pub mod learned;
pub mod print;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use self::learned::Learned;
use crate::asks::{Lesson, Oracle, Saying, Silence};
use crate::knowledge::Said;
use crate::metrics::{Metrics, PictureSource};
use crate::ocr::{Raster, Tesseract};
use crate::scan::Ask;

/// The oracle; each of its parts may be missing.
pub struct Pictures {
    reader: Option<Tesseract>,
    learned: Option<Arc<Learned>>,
    metrics: Arc<Metrics>,
}

impl fmt::Debug for Pictures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pictures").field("reader", &self.reader).field("learned", &self.learned).finish_non_exhaustive()
    }
}

impl Pictures {
    /// Of these.
    pub fn new(reader: Option<Tesseract>, learned: Option<Learned>, metrics: Arc<Metrics>) -> Self {
        Self { reader, learned: learned.map(Arc::new), metrics }
    }
}

impl Oracle for Pictures {
    fn name(&self) -> &'static str {
        "pictures"
    }

    fn answer(&self, ask: &Ask, octets: Bytes) -> Option<Saying> {
        let Ask::ReadPicture { print, .. } = ask;
        let (print, learned) = (print.clone(), self.learned.clone());
        let (reader, metrics) = (self.reader.clone(), Arc::clone(&self.metrics));
        Some(Box::pin(async move {
            let raster = Raster::check(octets)?;
            if let Some(text) = reader.as_ref().and_then(|reader| reader.known(&raster)) {
                metrics.picture(PictureSource::Cached);
                return Ok(Said::Text(text));
            }
            if let Some((print, learned)) = print.zip(learned) {
                // It may wait for a command that changes the store.
                let find = move || learned.find(&print, Timestamp::now());
                if let Ok(Some(id)) = tokio::task::spawn_blocking(find).await {
                    metrics.picture(PictureSource::Learned);
                    return Ok(Said::Learned(id.to_string()));
                }
            }
            let (text, was_read) = reader.ok_or(Silence::Nobody)?.text(raster).await?;
            metrics.picture(if was_read { PictureSource::Read } else { PictureSource::Cached });
            Ok(Said::Text(text))
        }))
    }

    /// Nobody waits for it: a lesson that is lost is learnt from the next message.
    fn learn(&self, lesson: Lesson) {
        let Some(learned) = self.learned.clone() else { return };
        // Where somebody reads, only requests are learnt: nobody is to teach a letterhead while the reader is busy.
        if self.reader.is_some() && !lesson.is_lure {
            return;
        }
        // It is a worker's word, and is shown.
        if !lesson.document.bytes().all(|octet| octet.is_ascii_hexdigit()) || lesson.document.len() > 64 {
            return;
        }
        let metrics = Arc::clone(&self.metrics);
        tokio::task::spawn_blocking(move || {
            if learned.learn(&lesson.print, &lesson.document, Timestamp::now()) {
                metrics.picture_learnt();
                tracing::info!(picture = lesson.print.id(), document = lesson.document, "a picture was learnt");
            }
        });
    }
}
