//! What stands inside a compound file and is a file of its own: embedded objects
//! ([MS-OLEDS] 2.3.6), attachments of Outlook items ([MS-OXMSG] 2.2.2), objects of
//! presentations ([MS-PPT] 2.10.34).
//!
//! Messages and objects that Outlook keeps as storages become files of their own (`storage`). Other
//! storages are not taken out: what an embedded workbook keeps in its own storages belongs to the
//! same directory and is found there.

use std::collections::HashSet;
use std::io::Read;

use bytes::Bytes;
use flate2::read::ZlibDecoder;
use memchr::memmem;

use super::{CompoundFile, Entry, compound, storage};
use crate::formats::coded;
use crate::formats::mapi::{self, Names};
use crate::formats::payload;
use crate::limits::Limit;
use crate::part::{Name, Origin, Part};
use crate::reader::Reader;
use crate::scan::{Child, Scan};

/// How a stream starts that is a file of its own.
const FILE_STARTS: [&[u8]; 10] = [
    compound::MAGIC,
    b"PK\x03\x04",
    b"{\\rt",
    b"%PDF-",
    b"Rar!\x1a\x07",
    b"7z\xbc\xaf\x27\x1c",
    b"MSCF\0\0\0\0",
    b"\x4c\0\0\0\x01\x14\x02\0",
    b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d",
    b"ITSF\x03\0\0\0",
];

/// Puts everything that is a file of its own on the work list.
pub fn extract(file: &CompoundFile<'_>, part: &Part, scan: &mut Scan) {
    let mut embedded_sources = Vec::new();
    let nested = nested_items(file, part, scan);
    for (index, stream) in file.streams() {
        if scan.stopped() || scan.is_full() {
            break;
        }
        if nested.contains(&index) {
            continue;
        }
        if stream.is_named("__substg1.0_10090102") && !is_name_list(file, stream) {
            mapi::rich_text(&file.read(stream, scan.room()), part, scan);
            continue;
        }
        let child = if stream.name == "\u{1}Ole10Native" {
            ole_native(file.read(stream, scan.room()).into_owned()).map(|child| (Origin::Embedded, child))
        } else if stream.is_named("__substg1.0_37010102") {
            let names = attachment_names(file, stream);
            Some((
                Origin::Attachment,
                Child { names, bytes: Bytes::from(file.read(stream, scan.room()).into_owned()), ..Child::default() },
            ))
        } else if let Some(declared) = message_body(stream) {
            Some((Origin::Body, body(file, stream, declared, scan)))
        } else if stream.is_named("PowerPoint Document") {
            embedded_sources.push(stream);
            None
        } else if is_file(&file.read(stream, 16)) {
            let bytes = Bytes::from(file.read(stream, scan.room()).into_owned());
            Some((Origin::Embedded, Child { names: vec![Name::plain(file.path(stream))], bytes, ..Child::default() }))
        } else {
            None
        };
        if let Some((origin, child)) = child
            && !child.bytes.is_empty()
        {
            if origin == Origin::Embedded {
                payload::embedded(&child.names, &child.bytes, part, &file.path(stream), scan);
            }
            if stream.size > scan.room() {
                scan.limit(part, Limit::FileSize);
            }
            let text = if origin == Origin::Body { child.bytes.clone() } else { Bytes::new() };
            scan.child(part, origin, child);
            coded::blocks(&text, part, scan);
        }
    }
    for stream in embedded_sources {
        presentation_objects(&file.read(stream, scan.room()), part, scan);
    }
}

/// Whether a stream belongs to the list of named properties ([MS-OXMSG] 2.2.3), whose streams have names of the same form.
fn is_name_list(file: &CompoundFile<'_>, stream: &Entry) -> bool {
    stream.parent.and_then(|storage| file.entries().get(storage)).is_some_and(|s| s.is_named("__nameid_version1.0"))
}

fn is_file(head: &[u8]) -> bool {
    // A program is told by more than two letters: the offset of its PE header is small and even.
    let program = head.starts_with(b"MZ") && head.get(2..6).is_some_and(|four| four.iter().any(|byte| *byte != 0));
    program || FILE_STARTS.iter().any(|start| head.starts_with(start))
}

/// [MS-OLEDS] 2.3.6 and the packager's undocumented layout inside: label, path, temporary path, data.
fn ole_native(stream: Vec<u8>) -> Option<Child> {
    let stream = Bytes::from(stream);
    let packaged = package(&stream, 4).filter(|(_, _, size)| *size > 0);
    let (names, bytes) = match packaged {
        Some((names, start, size)) => (names, stream.slice(start..start.saturating_add(size))),
        // Native data of another server: everything behind the length.
        None => (Vec::new(), stream.slice(stream.len().min(4)..)),
    };
    Some(Child { names, bytes, ..Child::default() })
}

/// The names and the data of a package that begins at its start.
pub(crate) fn package_of(native: &[u8]) -> Option<(Vec<Name>, &[u8])> {
    let (names, start, size) = package(native, 0)?;
    Some((names, native.get(start..start.saturating_add(size))?))
}

/// The names of the package at `offset`, and where its data stands.
fn package(stream: &[u8], offset: usize) -> Option<(Vec<Name>, usize, usize)> {
    let mut reader = Reader::at(stream, offset)?;
    if reader.u16()? != 2 {
        return None;
    }
    let label = c_string(&mut reader)?;
    let path = c_string(&mut reader)?;
    reader.skip(4)?; // type: 3, an embedded file
    let temporary_length = reader.u32()? as usize;
    reader.skip(temporary_length)?;
    let size = (reader.u32()? as usize).min(reader.left());
    let mut names: Vec<Name> = Vec::new();
    for name in [label, path].iter().map(|bytes| file_name(bytes)).filter(|name| !name.text.is_empty()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Some((names, reader.position(), size))
}

/// A string that ends with NUL, within what Windows allows a path.
fn c_string<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let mut ahead = *reader;
    let length = memchr::memchr(0, ahead.rest())?;
    let string = reader.take(length)?;
    reader.skip(1)?;
    Some(string)
}

fn file_name(path: &[u8]) -> Name {
    let base = path.rsplit(|byte| *byte == b'\\' || *byte == b'/').next().unwrap_or(path);
    match std::str::from_utf8(base) {
        Ok(text) => Name::plain(text),
        // The sender's ANSI code page is not known.
        Err(_) => Name { text: String::from_utf8_lossy(base).into_owned(), raw: Some(base.to_vec()) },
    }
}

/// [MS-OXMSG] 2.2.2.1: attached messages and objects, each a storage. What stands in one that became a part is
/// not looked for here any more.
fn nested_items(file: &CompoundFile<'_>, part: &Part, scan: &mut Scan) -> HashSet<usize> {
    let mut given = HashSet::new();
    let mut items: Vec<_> = storage::outermost(file, "__substg1.0_3701000D").into_iter().collect();
    items.sort_unstable();
    for (index, inside) in items {
        if scan.stopped() || scan.is_full() {
            break;
        }
        let Some(item) = file.entries().get(index) else { continue };
        let Some(bytes) = storage::as_file(file, index, &inside, scan.room()) else {
            scan.limit(part, Limit::FileSize);
            continue;
        };
        let names = attachment_names(file, item);
        if scan.child(part, Origin::Attachment, Child { names, bytes: bytes.into(), ..Child::default() }).is_some() {
            given.extend(inside);
        }
    }
    given
}

/// [MS-OXMSG] 2.2.2: the attachment's long name, its short one, its title.
fn attachment_names(file: &CompoundFile<'_>, data: &Entry) -> Vec<Name> {
    let mut names = Names::default();
    for property in ["3707", "3704", "3001"] {
        for (kind, is_wide) in [("001F", true), ("001E", false)] {
            let stream = file.stream(data.parent, &format!("__substg1.0_{property}{kind}"));
            let Some(content) = stream.map(|stream| file.read(stream, 4096)) else { continue };
            if is_wide {
                names.add(Name::plain(mapi::wide(&content)));
            } else {
                names.add(file_name(content.split(|b| *b == 0).next().unwrap_or_default()));
            }
        }
    }
    names.into_vec()
}

/// The media type of a stream that holds the text of an Outlook item ([MS-OXCMSG] 2.2.1.58).
fn message_body(stream: &Entry) -> Option<&'static str> {
    match stream.name.to_ascii_uppercase().as_str() {
        "__SUBSTG1.0_1000001F" | "__SUBSTG1.0_1000001E" => Some("text/plain"),
        "__SUBSTG1.0_10130102" => Some("text/html"),
        _ => None,
    }
}

fn body(file: &CompoundFile<'_>, stream: &Entry, declared: &str, scan: &Scan) -> Child {
    let content = file.read(stream, scan.room());
    let is_wide = stream.name.ends_with("001F") || stream.name.ends_with("001f");
    let bytes = if is_wide { mapi::wide(&content).into_bytes() } else { content.into_owned() };
    Child { declared: Some(declared.to_owned()), bytes: Bytes::from(bytes), ..Child::default() }
}

/// ExOleObjStg records ([MS-PPT] 2.10.34), compressed or not, hold whole compound files: the
/// embedded objects and the VBA project. They are searched by their header rather than by
/// walking the records, which ends at the first wrong length.
fn presentation_objects(stream: &[u8], part: &Part, scan: &mut Scan) {
    let mut from = 0_usize;
    for hit in memmem::find_iter(stream, b"\x11\x10") {
        // recVer 0, recInstance 0 or 1, recType 0x1011, recLen.
        let Some(start) = hit.checked_sub(2).filter(|start| *start >= from) else { continue };
        let Some((content, length)) = presentation_object(stream, start, scan.room()) else { continue };
        from = start.saturating_add(length);
        if content.len() as u64 > scan.room() {
            scan.limit(part, Limit::FileSize);
        }
        let room = usize::try_from(scan.room()).unwrap_or(usize::MAX);
        let mut bytes = Bytes::from(content);
        bytes.truncate(room);
        scan.child(part, Origin::Embedded, Child { bytes, ..Child::default() });
    }
}

/// The compound file in the record at `start`, and the length of the record.
fn presentation_object(stream: &[u8], start: usize, room: u64) -> Option<(Vec<u8>, usize)> {
    let mut reader = Reader::at(stream, start)?;
    let instance = reader.u16()?;
    reader.skip(2)?;
    let length = reader.u32()? as usize;
    let content = reader.take(length.min(reader.left()))?;
    let whole = length.saturating_add(8);
    match instance {
        0x0000 if content.starts_with(compound::MAGIC) => Some((content.to_vec(), whole)),
        0x0010 => {
            let mut inflated = Vec::new();
            let compressed = content.get(4..)?;
            // An error at the end of damaged data leaves what was inflated before it.
            let _ = ZlibDecoder::new(compressed).take(room.saturating_add(1)).read_to_end(&mut inflated);
            inflated.starts_with(compound::MAGIC).then_some((inflated, whole))
        }
        _ => None,
    }
}
