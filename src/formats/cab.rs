//! Cabinets ([MS-CAB]), also those behind other octets of a program. Folders stored, by MSZIP or by LZX are
//! unpacked; Quantum is not, and cabinets of a set are not joined.

mod folder;

use bytes::Bytes;

use self::folder::{Folder, Work};
use crate::filetype::FileType;
use crate::finding;
use crate::formats::Format;
use crate::formats::container::{self, Content, Member, Outcome};
use crate::formats::zip::names;
use crate::limits::Limit;
use crate::part::{Name, Part};
use crate::reader::Reader;
use crate::scan::Scan;

/// Cabinets.
pub const FORMAT: Format = Format { name: "cab", walled: true, accepts: |part| part.types.has(FileType::Cab), examine };

const MAGIC: &[u8] = b"MSCF\0\0\0\0";
/// Cabinets within one file: installers carry one or two.
const MAX_CABINETS: usize = 16;
/// Places at which a cabinet is looked for.
const MAX_PLACES: usize = 1000;
/// Octets of a name ([MS-CAB] 2.3: 256 with the NUL).
const MAX_NAME: usize = 256;

fn examine(part: &Part, scan: &mut Scan) {
    let mut work = Work::default();
    let mut found = false;
    for at in places(&part.bytes).take(MAX_CABINETS) {
        found = true;
        if let Outcome::Full = cabinet(part, &part.bytes.slice(at..), &mut work, scan) {
            return;
        }
    }
    if !found {
        scan.finding(finding::DAMAGED, part, "", "the header of the cabinet is broken");
    }
}

/// Where cabinets begin: one within another is found when that is opened.
pub(crate) fn places(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let mut behind = 0_usize;
    memchr::memmem::find_iter(bytes, MAGIC).take(MAX_PLACES).filter(move |at| {
        let header = Header::read(bytes.get(*at..).unwrap_or_default()).filter(|_| *at >= behind);
        let Some(header) = header else { return false };
        behind = at.saturating_add(header.size);
        true
    })
}

/// What a cabinet says of itself ([MS-CAB] 2.1).
struct Header {
    size: usize,
    files_at: usize,
    folders_at: usize,
    folders: u16,
    files: u16,
    /// Octets that stand behind each folder and each block for whoever wrote them.
    folder_reserve: u8,
    block_reserve: u8,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        reader.skip(MAGIC.len())?;
        let size = usize::try_from(reader.u32()?).ok()?;
        reader.skip(4)?;
        let files_at = usize::try_from(reader.u32()?).ok()?;
        reader.skip(4)?;
        let (_minor, major) = (reader.u8()?, reader.u8()?);
        let (folders, files, flags) = (reader.u16()?, reader.u16()?, reader.u16()?);
        reader.skip(4)?;
        let (mut folder_reserve, mut block_reserve) = (0, 0);
        if flags & 4 != 0 {
            let own = reader.u16()?;
            (folder_reserve, block_reserve) = (reader.u8()?, reader.u8()?);
            reader.skip(own.into())?;
        }
        // Names of the cabinets before and behind, and of their disks.
        for flag in [1, 2] {
            if flags & flag != 0 {
                text(&mut reader)?;
                text(&mut reader)?;
            }
        }
        let folders_at = reader.position();
        let plausible = major == 1 && files_at >= folders_at && files_at < bytes.len() && files > 0;
        plausible.then_some(Self { size, files_at, folders_at, folders, files, folder_reserve, block_reserve })
    }
}

fn text<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let mut ahead = *reader;
    let rest = ahead.rest();
    let size = memchr::memchr(0, rest.get(..MAX_NAME).unwrap_or(rest))?;
    let text = reader.take(size)?;
    reader.skip(1)?;
    Some(text)
}

/// A file, as the directory tells it ([MS-CAB] 2.3).
struct File {
    name: Name,
    size: usize,
    start: usize,
    folder: u16,
}

impl File {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (size, start, folder) = (reader.u32()?, reader.u32()?, reader.u16()?);
        reader.skip(4)?;
        // A name is in UTF-8 if it says so, else in whatever the packer's Windows spoke.
        let is_utf8 = reader.u16()? & 0x80 != 0;
        let name = names::decode(text(reader)?, is_utf8);
        let (size, start) = (usize::try_from(size).ok()?, usize::try_from(start).ok()?);
        Some(Self { name, size, start, folder })
    }

    fn end(&self) -> usize {
        self.start.saturating_add(self.size)
    }
}

fn cabinet(part: &Part, bytes: &Bytes, work: &mut Work, scan: &mut Scan) -> Outcome {
    let Some(header) = Header::read(bytes) else { return Outcome::Given };
    let (files, whole) = files(bytes, &header, scan);
    if !whole {
        scan.finding(finding::DAMAGED, part, "", "the directory of the cabinet is cut");
    }
    // Most files of a folder follow each other, so that it is unpacked once.
    let mut files = files.into_iter().peekable();
    while let Some(first) = files.next() {
        let number = first.folder;
        let mut these = vec![first];
        while let Some(next) = files.next_if(|next| next.folder == number) {
            these.push(next);
        }
        if let Outcome::Full = folder(part, bytes, &header, number, &these, work, scan) {
            return Outcome::Full;
        }
    }
    Outcome::Given
}

/// The files, sorted by folder, one more than may become parts; `false` if the list is cut.
fn files(bytes: &[u8], header: &Header, scan: &Scan) -> (Vec<File>, bool) {
    let most = usize::try_from(scan.limits().max_files.saturating_add(1)).unwrap_or(usize::MAX);
    let Some(mut reader) = Reader::at(bytes, header.files_at) else { return (Vec::new(), false) };
    let wanted = usize::from(header.files).min(most);
    let mut files: Vec<File> = std::iter::from_fn(|| File::read(&mut reader)).take(wanted).collect();
    let whole = files.len() == wanted;
    files.sort_by_key(|file| file.folder);
    (files, whole)
}

/// Unpacks a folder and gives its files.
fn folder(
    part: &Part,
    bytes: &Bytes,
    header: &Header,
    number: u16,
    files: &[File],
    work: &mut Work,
    scan: &mut Scan,
) -> Outcome {
    // From the cabinet before (the first folder here), to the next one (the last one), or both.
    let continued = number >= 0xfffd;
    let index = match number {
        0xfffe => header.folders.saturating_sub(1),
        0xfffd | 0xffff => 0,
        other => other,
    };
    let needed = files.iter().map(File::end).max().unwrap_or_default();
    let most = needed.min(usize::try_from(scan.room()).unwrap_or(usize::MAX));
    let folder = if index < header.folders { Folder::read(bytes, header, index) } else { None };
    let outcome = folder.map(|folder| folder.unpack(bytes, most, work));
    let (content, why) = match outcome {
        Some(Ok(content)) => (Bytes::from(content), None),
        Some(Err(method)) => (Bytes::new(), Some(method)),
        None => (Bytes::new(), None),
    };
    let mut given = 0_u64;
    for file in files {
        if scan.stopped() {
            return Outcome::Full;
        }
        let end = file.end().min(content.len());
        let octets = content.slice(file.start.min(end)..end);
        given = given.saturating_add(octets.len() as u64);
        let content = match &why {
            Some(method) => Content::Unsupported((*method).to_owned()),
            None if continued => {
                let name = &file.name.text;
                let evidence = format!("{name}: continues in another cabinet");
                scan.finding(finding::CONTAINER_UNSUPPORTED, part, name, &evidence);
                Content::Damaged(octets)
            }
            None if octets.len() == file.size => Content::stored(octets, scan.room()),
            None if most < needed && content.len() == most => {
                scan.limit(part, Limit::FileSize);
                Content::Damaged(octets)
            }
            None => Content::Damaged(octets),
        };
        let names = std::slice::from_ref(&file.name);
        let member = Member { names, packed: None, is_empty: file.size == 0 };
        if let Outcome::Full = container::give(part, member, content, false, scan) {
            return Outcome::Full;
        }
    }
    // What was unpacked and belongs to no file costs, too.
    scan.spend((content.len() as u64).saturating_sub(given));
    Outcome::Given
}
