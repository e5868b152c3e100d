//! Targets: archives, packages, compound files.

use sekisho::excel4::machine::Machine;
use sekisho::excel4::package::Parts;
use sekisho::excel4::workbook::Workbook;
use sekisho::excel4::{biff, sylk};
use std::io::{Cursor, Write};

use sekisho::formats::cfb::CompoundFile;
use sekisho::formats::compress;
use sekisho::scan::{Input, Stop};

use super::{examine, records};

/// A ZIP archive.
pub fn zip(data: &[u8]) {
    examine(Input::file(data.to_vec(), "a.zip"));
}

/// A tar archive.
pub fn tar(data: &[u8]) {
    examine(Input::file(data.to_vec(), "a.tar"));
}

/// A cabinet.
pub fn cab(data: &[u8]) {
    examine(Input::file(data.to_vec(), "a.cab"));
}

/// An LZH archive.
pub fn lzh(data: &[u8]) {
    examine(Input::file(data.to_vec(), "a.lzh"));
}

/// An ARJ archive.
pub fn arj(data: &[u8]) {
    examine(Input::file(data.to_vec(), "a.arj"));
}

/// Decompressors: no more comes out than there is room for, and no more is taken than there is.
pub fn compress(data: &[u8]) {
    const ROOM: u64 = 1 << 20;
    for unpack in [compress::gzip, compress::bzip2, compress::xz, compress::zstd] {
        let unpacked = unpack(data, ROOM);
        assert!(unpacked.content.size() <= ROOM && unpacked.used <= data.len());
    }
    assert!(compress::lzma_alone(data, ROOM).size() <= ROOM);
    examine(Input::file(data.to_vec(), "a.gz"));
}

/// A RAR archive: by the first octet of the fourth or fifth kind, behind its signature.
pub fn rar(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    let start: &[u8] = if kind % 2 == 0 { b"Rar!\x1a\x07\x01\0" } else { b"Rar!\x1a\x07\0" };
    examine(Input::file([start, data].concat(), "a.rar"));
}

/// A PDF, behind its header.
pub fn pdf(data: &[u8]) {
    examine(Input::file([b"%PDF-1.7\n", data].concat(), "a.pdf"));
}

/// A 7z archive.
pub fn sevenz(data: &[u8]) {
    examine(Input::file(data.to_vec(), "a.7z"));
}

/// A disk image: by the first octet, a disc behind its 32 KiB of nothing, or any.
pub fn image(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    let before = if kind % 2 == 0 { 32768 } else { 0 };
    examine(Input::file([&vec![0; before], data].concat(), "a.img"));
}

/// A OneNote section: the signature, and the octets behind it.
pub fn onenote(data: &[u8]) {
    const MAGIC: &[u8] = b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3";
    examine(Input::file([MAGIC, data].concat(), "a.one"));
}

/// Rich text, behind its first group.
pub fn rtf(data: &[u8]) {
    examine(Input::file([b"{\\rtf", data].concat(), "a.rtf"));
}

/// Macros of Excel 4.0: by the first octet, a workbook stream of any generation, SYLK, or lines of cells that run.
pub fn excel4(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    match kind % 4 {
        0 => {
            let book = biff::read(data);
            macros(&book);
        }
        1 => macros(&sylk::read(&String::from_utf8_lossy(data))),
        2 => {
            let mut text = "ID;P\nO;E\nNN;NAuto_Open;ER1C1\n".to_owned();
            for (row, line) in String::from_utf8_lossy(data).lines().enumerate().take(200) {
                text.push_str(&format!("C;X1;Y{};E{}\n", row + 1, line.replace(';', ";;")));
            }
            macros(&sylk::read(&text));
        }
        _ => {
            let records = records(data);
            let mut parts = Parts::default();
            const NAMES: [&str; 5] = [
                "xl/workbook.bin",
                "xl/_rels/workbook.bin.rels",
                "xl/sheets/s1.bin",
                "xl/sharedstrings.bin",
                "xl/sheets/s2.bin",
            ];
            for (kind, content) in records.into_iter().take(20) {
                parts.add(NAMES[usize::from(kind) % NAMES.len()].to_owned(), content.to_vec().into());
            }
            macros(&parts.read());
        }
    }
}

fn macros(book: &Workbook) {
    let names = book.sheet_names();
    for sheet in &book.sheets {
        for formula in sheet.cells.values().filter_map(|cell| cell.formula.as_ref()) {
            // What is shown can be read again, or is cut.
            assert!(formula.text(&names).chars().count() <= 402);
        }
    }
    let stop = Stop::default();
    let mut machine = Machine::new(book, &stop);
    let starts: Vec<_> = book.names.iter().filter_map(|name| machine.target(&name.name)).collect();
    let run = machine.run(&starts);
    assert!(run.calls.len() <= 500 && run.written.len() <= 500);
}

/// Names of the parts that matter in an Office package.
const PARTS: [&str; 21] = [
    "[Content_Types].xml",
    "_rels/.rels",
    "word/document.xml",
    "word/_rels/document.xml.rels",
    "word/vbaProject.bin",
    "word/settings.xml",
    "word/_rels/settings.xml.rels",
    "word/embeddings/oleObject1.bin",
    "xl/workbook.xml",
    "xl/_rels/workbook.xml.rels",
    "xl/sharedStrings.xml",
    "xl/worksheets/sheet1.xml",
    "xl/macrosheets/sheet1.xml",
    "xl/externalLinks/_rels/externalLink1.xml.rels",
    "ppt/presentation.xml",
    "docProps/app.xml",
    "ppt/slides/slide1.xml",
    "ppt/slides/_rels/slide1.xml.rels",
    "word/activeX/activeX1.xml",
    "word/activeX/activeX1.bin",
    "xl/styles.xml",
];

/// An Office package whose parts are the records: plain octets would hardly ever be deflated XML.
pub fn ooxml(data: &[u8]) {
    let mut members = Vec::new();
    for (kind, content) in records(data).into_iter().take(40) {
        members.push((PARTS[usize::from(kind) % PARTS.len()], content));
    }
    examine(Input::file(stored(&members), "a.docm"));
}

/// A ZIP of these members, stored.
fn stored(members: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in members {
        let at = out.len() as u32;
        let mut fields = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        fields.extend(crc32(content).to_le_bytes());
        fields.extend([(content.len() as u32).to_le_bytes(), (content.len() as u32).to_le_bytes()].concat());
        fields.extend([(name.len() as u16).to_le_bytes(), [0, 0]].concat());
        out.extend([b"PK\x03\x04", fields.as_slice(), name.as_bytes(), content].concat());
        directory.extend(
            [b"PK\x01\x02", [20, 0].as_slice(), &fields, &[0; 10], &at.to_le_bytes(), name.as_bytes()].concat(),
        );
    }
    let (count, at) = ((members.len() as u16).to_le_bytes(), (out.len() as u32).to_le_bytes());
    out.extend(&directory);
    out.extend(
        [b"PK\x05\x06\0\0\0\0", count.as_slice(), &count, &(directory.len() as u32).to_le_bytes(), &at, &[0, 0]]
            .concat(),
    );
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & 0_u32.wrapping_sub(crc & 1));
        }
    }
    !crc
}

/// A compound file.
pub fn cfb(data: &[u8]) {
    let file = CompoundFile::open(data);
    let entries = file.entries();
    for (index, entry) in entries.iter().enumerate().take(200) {
        assert!(entry.parent.is_none_or(|parent| parent < entries.len()), "entry {index} is nowhere");
        assert!(file.path(entry).len() <= 70 * 200, "a path that is too long");
        for most in [0, 100, 1 << 20] {
            assert!(file.read(entry, most).len() as u64 <= most, "more than was asked for");
        }
    }
    examine(Input::file(data.to_vec(), "a.doc"));
}

/// Streams in which documents are encrypted.
const ENCRYPTED: [&str; 8] = [
    "/EncryptionInfo",
    "/EncryptedPackage",
    "/WordDocument",
    "/1Table",
    "/Workbook",
    "/Book",
    "/PowerPoint Document",
    "/Current User",
];

/// The streams of encrypted documents: each as a byte that names it, a length of two and the content.
pub fn encryption(data: &[u8]) {
    // Keys that take long are bounded in rounds, which is tested elsewhere.
    if memchr::memmem::find(data, b"spin").is_some() && longest_number(data) > 4 {
        return;
    }
    let Ok(mut file) = cfb::CompoundFile::create(Cursor::new(Vec::new())) else { return };
    let mut rest = data;
    while let [kind, low, high, behind @ ..] = rest {
        let size = usize::from(u16::from_le_bytes([*low, *high])).min(behind.len());
        let (content, after) = behind.split_at(size);
        let mut stream = file.create_stream(ENCRYPTED[usize::from(kind & 7)]).expect("the root is there");
        stream.write_all(content).expect("memory takes all");
        rest = after;
    }
    let file = file.into_inner().into_inner();
    let report = examine(Input::file(file, "a.xls"));
    let opened = |id: &str| report.findings.iter().any(|finding| finding.id.as_str().starts_with(id));
    let by_password = report.parts.iter().any(|part| part.opened_by_password == Some(true));
    let said = opened("document-default-password") || opened("document-password-opened");
    assert!(said || !by_password, "opened by a password, and not said");
}

/// Digits that stand one behind the other.
fn longest_number(data: &[u8]) -> usize {
    data.split(|octet| !octet.is_ascii_digit()).map(<[u8]>::len).max().unwrap_or_default()
}
