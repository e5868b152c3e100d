//! The shape of a document: one big picture, hardly any text, and macros. Most documents that ask
//! to enable content look like that, since a picture is not read by machines.

use crate::filetype::{Class, FileType, TypeSet};
use crate::finding;
use crate::part::Part;
use crate::scan::Scan;

/// Octets of a picture that shows a page of text; logos and icons are smaller, as a rule.
const BIG_PICTURE: u64 = 12 << 10;
/// Characters without white space that count as hardly any text: a few lines.
const HARDLY_ANY: usize = 400;

/// What was seen of a document.
#[derive(Debug, Default)]
pub struct Look {
    has_macros: bool,
    largest_picture: u64,
    pictures: usize,
    characters: usize,
}

impl Look {
    /// The document has a macro project.
    pub fn macros(&mut self) {
        self.has_macros = true;
    }

    /// A picture of `size` octets.
    pub fn picture(&mut self, size: u64) {
        self.largest_picture = self.largest_picture.max(size);
        self.pictures = self.pictures.saturating_add(1);
    }

    /// Something that the document holds, by its content.
    pub fn member(&mut self, types: TypeSet, bytes: &[u8]) {
        if types.has(FileType::ActiveMime) || types.has(FileType::Ole) && has_project(bytes) {
            self.macros();
        }
        if types.has_class(Class::Media) {
            self.picture(bytes.len() as u64);
        }
    }

    /// Text that a reader sees.
    pub fn text(&mut self, text: &str) {
        self.characters = self
            .characters
            .saturating_add(text.chars().filter(|c| !c.is_whitespace()).take(HARDLY_ANY.saturating_add(1)).count());
    }

    /// Reports the shape, if the document has it.
    pub fn report(&self, part: &Part, scan: &mut Scan) {
        if self.has_macros && self.largest_picture >= BIG_PICTURE && self.pictures <= 3 && self.characters <= HARDLY_ANY
        {
            let evidence = format!("{} octets, {} characters", self.largest_picture, self.characters);
            scan.finding(finding::LURE_PICTURE_ONLY, part, "", &evidence);
        }
    }
}

/// Whether a compound file names a VBA project in its directory ([MS-OVBA] 2.2.1), in UTF-16.
fn has_project(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, b"_\0V\0B\0A\0_\0P\0R\0O\0J\0E\0C\0T\0").is_some()
}
