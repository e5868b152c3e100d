//! Compound files ([MS-CFB]): Office 97-2003 documents, Outlook items, `vbaProject.bin`.
//!
//! Tells what the file is by its directory, looks for VBA projects at any path
//! ([`crate::vba`]), takes out what is embedded or attached, and hands the text to
//! [`crate::lure`]. Encrypted documents are opened first, if a password is known (`encryption`).

pub(crate) mod biff;
mod compound;
mod embedded;
pub(in crate::formats) mod encryption;
mod lost;
mod presentation;
mod storage;
mod text;

pub use compound::{CompoundFile, Entry, EntryKind, MAGIC};
pub(crate) use embedded::package_of as package;
pub(crate) use text::{dde_links_of, has_file_pass, workbook_text};

pub use text::text as document_text;

use crate::excel4::{self, workbook::Workbook};
use crate::field;
use crate::filetype::FileType;
use crate::finding;
use crate::formats::Format;
use crate::formats::blip;
use crate::formats::classes;
use crate::formats::shape::Look;
use crate::limits::Limit;
use crate::lure;
use crate::part::Part;
use crate::reader::Reader;
use crate::scan::Scan;
use crate::vba;

/// Compound files.
pub const FORMAT: Format = Format { name: "cfb", walled: true, accepts, examine };

fn accepts(part: &Part) -> bool {
    part.types.has(FileType::Ole) || part.bytes.starts_with(compound::MAGIC) || is_header(&part.bytes)
}

/// Whether the fixed fields of a header stand where they must ([MS-CFB] 2.2), whatever the signature says:
/// it is changed by who wants a file to pass that somebody else restores.
fn is_header(bytes: &[u8]) -> bool {
    let Some(mut reader) = Reader::at(bytes, 26) else { return false };
    let fields = [(); 4].map(|()| reader.u16());
    [[3, 0xFFFE, 9, 6], [4, 0xFFFE, 12, 6]].iter().any(|known| fields == known.map(Some))
}

fn examine(part: &Part, scan: &mut Scan) {
    let mut file = CompoundFile::open(&part.bytes);
    if file.streams().next().is_none() {
        lost::examine(&file, part, scan);
        return scan.finding(finding::DAMAGED, part, "", "no directory that lists a stream");
    }
    let file_type = file_type(&file);
    scan.learn_type(part, file_type);
    encryption::examine(&mut file, part, scan);
    let (text, is_cut) = text::text(&file, scan.room());
    if is_cut {
        scan.limit(part, Limit::FileSize);
    }
    vba::examine(&file, &text, part, scan);
    if let Some(book) = workbook(&file, scan.room()) {
        excel4::examine(&book, part, scan);
    }
    lost::examine(&file, part, scan);
    embedded::extract(&file, part, scan);
    classes::examine(&file, part, scan);
    presentation::examine(&file, part, scan);
    text::fields(&file, scan.room()).report(part, "WordDocument", scan);
    for (server, topic) in text::dde_links(&file, scan.room()) {
        field::dde(&server, &topic, part, "SUPBOOK", scan);
    }
    look(&file, &text, scan.room()).report(part, scan);
    if !text.is_empty() {
        lure::document_text(scan, part, &text);
    }
    if file.is_exhausted() {
        scan.limit(part, Limit::ScanSize);
    }
    // Last: what is read for it takes nothing from the rest.
    pictures(&file, part, scan);
}

/// The workbook, if there are macros of Excel 4.0 in it.
fn workbook(file: &CompoundFile<'_>, room: u64) -> Option<Workbook> {
    // Excel 95 and 97 can stand in one file, for either program.
    let streams = ["Workbook", "Book"].into_iter().filter_map(|name| file.stream(None, name));
    streams.map(|stream| excel4::biff::read(&file.read(stream, room))).find(|book| book.has_code())
}

/// What the streams at the root make of the file.
fn file_type(file: &CompoundFile<'_>) -> FileType {
    let has = |name: &str| file.stream(None, name).is_some();
    let starts =
        |prefix: &str| file.entries().iter().any(|entry| entry.parent.is_none() && entry.name.starts_with(prefix));
    if has("EncryptedPackage") && has("EncryptionInfo") {
        FileType::EncryptedOle
    } else if has("WordDocument") {
        FileType::OleDoc
    } else if has("Workbook") || has("Book") {
        FileType::OleXls
    } else if has("PowerPoint Document") {
        FileType::OlePpt
    } else if starts("__substg1.0_") || has("__properties_version1.0") {
        FileType::Msg
    } else if has("PROJECT") && starts("VBA") {
        FileType::OleVba
    } else {
        FileType::Ole
    }
}

/// Notes the pictures: Word has them in `Data` and at the end of its text, Excel in pieces, PowerPoint in a stream.
fn pictures(file: &CompoundFile<'_>, part: &Part, scan: &mut Scan) {
    if !scan.is_asking() {
        return;
    }
    for name in ["Data", "Pictures", "WordDocument", "Workbook", "Book"] {
        let Some(stream) = file.stream(None, name) else { continue };
        let content = file.read(stream, scan.room());
        if name.ends_with("ook") {
            blip::note(&blip::drawings(&content), part, name, scan);
        } else {
            blip::note(&content, part, name, scan);
        }
    }
}

/// The shape of a document with macros: its pictures stand in a few streams, one behind the other.
fn look(file: &CompoundFile<'_>, text: &str, room: u64) -> Look {
    const PICTURES: [&[u8]; 3] = [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xe1"];
    let mut look = Look::default();
    if !file.streams().any(|(_, stream)| stream.is_named("_VBA_PROJECT")) {
        return look;
    }
    look.macros();
    look.text(text);
    for name in ["Data", "Pictures", "Workbook", "WordDocument"] {
        let Some(stream) = file.stream(None, name) else { continue };
        let content = file.read(stream, room);
        let hits = PICTURES.iter().flat_map(|start| memchr::memmem::find_iter(&content, start).take(100));
        let mut starts: Vec<usize> = hits.collect();
        starts.sort_unstable();
        let ends = starts.iter().copied().skip(1).chain([content.len()]);
        starts.iter().zip(ends).for_each(|(start, end)| look.picture(end.saturating_sub(*start) as u64));
    }
    look
}
