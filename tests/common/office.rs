//! Office 97-2003 documents made from nothing, with macros, on top of the crate `cfb`.

use std::io::{Cursor, Write};
use std::time::SystemTime;

pub use super::ovba::ModuleKind;
use super::ovba::{compress, dir, project_stream, stored_source, utf16};

/// A module: name, source without attributes, kind.
pub type Module<'a> = (&'a str, &'a str, ModuleKind);

/// What stands in front of the source in each module's stream: compiled code, which we leave empty.
const NO_COMPILED_CODE: u32 = 0;

/// The code page of projects, unless a test is about code pages.
const CODE_PAGE: u16 = 1252;

/// A compound file that is being written.
pub struct Compound(cfb::CompoundFile<Cursor<Vec<u8>>>);

impl Default for Compound {
    fn default() -> Self {
        Self::new()
    }
}

impl Compound {
    /// An empty one with sectors of 512 octets, as Office writes them.
    pub fn new() -> Self {
        Self(cfb::CompoundFile::create_with_version(cfb::Version::V3, Cursor::new(Vec::new())).unwrap())
    }

    /// An empty one with sectors of 4,096 octets.
    pub fn version_4() -> Self {
        Self(cfb::CompoundFile::create_with_version(cfb::Version::V4, Cursor::new(Vec::new())).unwrap())
    }

    /// Adds a stream at `path`, and the storages on the way.
    pub fn stream(mut self, path: &str, content: &[u8]) -> Self {
        if let Some((storages, _)) = path.rsplit_once('/') {
            self.0.create_storage_all(storages).unwrap();
        }
        self.0.create_stream(path).unwrap().write_all(content).unwrap();
        self
    }

    /// Adds a VBA project below the storage `root` (empty for a `vbaProject.bin`).
    pub fn project(self, root: &str, modules: &[Module<'_>]) -> Self {
        self.project_in_code_page(root, modules, CODE_PAGE)
    }

    /// The same with names and source in `code_page` (1252 or 932).
    pub fn project_in_code_page(mut self, root: &str, modules: &[Module<'_>], code_page: u16) -> Self {
        let encoding = if code_page == 932 { encoding_rs::SHIFT_JIS } else { encoding_rs::WINDOWS_1252 };
        let narrow = |text: &str| encoding.encode(text).0.into_owned();
        let at = |name: &str| format!("{root}/{name}");
        let listed: Vec<_> = modules.iter().map(|(name, _, kind)| (narrow(name), *name, *kind)).collect();
        let kinds: Vec<_> = modules.iter().map(|(name, _, kind)| (*name, *kind)).collect();
        self = self.stream(&at("PROJECT"), &narrow(&project_stream(&kinds)));
        self = self.stream(&at("VBA/dir"), &compress(&dir(code_page, &listed, NO_COMPILED_CODE)));
        // [MS-OVBA] 2.3.4.1: a version that no Office has, so that each compiles from source.
        self = self.stream(&at("VBA/_VBA_PROJECT"), b"\xCC\x61\xFF\xFF\x00\x00\x00");
        for (name, source, kind) in modules {
            let source = narrow(&stored_source(name, source, *kind));
            self = self.stream(&at(&format!("VBA/{name}")), &compress(&source));
        }
        self
    }

    /// The finished file, without the times at which its storages were made: the same bytes each time.
    pub fn finish(mut self) -> Vec<u8> {
        let storages: Vec<_> = self.0.walk().filter(|entry| !entry.is_stream()).map(|e| e.path().to_owned()).collect();
        for storage in storages {
            self.0.set_created_time(&storage, SystemTime::UNIX_EPOCH).unwrap();
            self.0.set_modified_time(&storage, SystemTime::UNIX_EPOCH).unwrap();
        }
        self.0.into_inner().into_inner()
    }
}

/// A compound file whose storage of this name has a class, as it is stored ([MS-CFB] 2.6.1).
pub fn with_class(mut file: Vec<u8>, storage: &str, class: &[u8; 16]) -> Vec<u8> {
    let name = utf16(&format!("{storage}\0"));
    let entry = file.chunks_exact_mut(128).find(|entry| entry.starts_with(&name)).expect("the storage is there");
    entry[80..96].copy_from_slice(class);
    file
}

/// A `vbaProject.bin`, as it stands in a macro-enabled OOXML package.
pub fn vba_project(modules: &[Module<'_>]) -> Vec<u8> {
    Compound::new().project("", modules).finish()
}

/// A Word 97-2003 document that shows `text`.
pub fn doc_with_macros(text: &str, modules: &[Module<'_>]) -> Vec<u8> {
    word(text).project("/Macros", modules).finish()
}

/// A Word 97-2003 document that shows `text`, without macros.
pub fn doc(text: &str) -> Vec<u8> {
    word(text).finish()
}

/// An Excel 97-2003 workbook whose strings are `cells`.
pub fn xls_with_macros(cells: &[&str], modules: &[Module<'_>]) -> Vec<u8> {
    excel(cells).project("/_VBA_PROJECT_CUR", modules).finish()
}

/// An Excel 97-2003 workbook whose strings are `cells`, without macros.
pub fn xls(cells: &[&str]) -> Vec<u8> {
    excel(cells).finish()
}

/// As [`xls_with_macros`], with a protected structure.
pub fn protected_xls(cells: &[&str], modules: &[Module<'_>]) -> Vec<u8> {
    let workbook = excel_with(cells, &[(0x0012, &[1, 0]), (0x0013, &[0x5A, 0xCE])]);
    if modules.is_empty() { workbook.finish() } else { workbook.project("/_VBA_PROJECT_CUR", modules).finish() }
}

/// The WordDocument and 1Table streams ([MS-DOC] 2.4.1): one piece of UTF-16 text.
fn word(text: &str) -> Compound {
    const TEXT_AT: u32 = 1024;
    let text = utf16(&(text.replace('\n', "\r") + "\r"));
    let characters = (text.len() / 2) as u32;
    let mut piece_table = vec![0x02];
    piece_table.extend(16_u32.to_le_bytes()); // two positions and one piece
    piece_table.extend([0_u32.to_le_bytes(), characters.to_le_bytes()].concat());
    piece_table.extend([&[0, 0][..], &TEXT_AT.to_le_bytes(), &[0, 0]].concat());

    let mut document = vec![0; TEXT_AT as usize];
    let mut put = |offset: usize, bytes: &[u8]| document[offset..offset + bytes.len()].copy_from_slice(bytes);
    put(0, &0xA5EC_u16.to_le_bytes()); // wIdent
    put(2, &0x00C1_u16.to_le_bytes()); // nFib: Word 97
    put(6, &0x0409_u16.to_le_bytes()); // lid
    put(10, &0x1200_u16.to_le_bytes()); // fExtChar, fWhichTblStm: 1Table
    put(12, &0x00BF_u16.to_le_bytes()); // nFibBack
    put(32, &14_u16.to_le_bytes()); // csw
    put(62, &22_u16.to_le_bytes()); // cslw
    put(64, &(TEXT_AT + text.len() as u32).to_le_bytes()); // cbMac
    put(76, &characters.to_le_bytes()); // ccpText
    put(152, &0x005D_u16.to_le_bytes()); // cbRgFcLcb
    put(0x1A6, &(piece_table.len() as u32).to_le_bytes()); // lcbClx; fcClx is 0
    document.extend(text);
    // Streams below 4,096 octets go to the mini stream; real documents are larger.
    document.resize(document.len().max(4096), 0);
    Compound::new().stream("/WordDocument", &document).stream("/1Table", &piece_table)
}

fn excel(cells: &[&str]) -> Compound {
    excel_with(cells, &[])
}

/// The Workbook stream ([MS-XLS] 2.1.7.20): globals with these records and a shared string table, and one sheet.
fn excel_with(cells: &[&str], globals: &[(u16, &[u8])]) -> Compound {
    fn record(out: &mut Vec<u8>, id: u16, data: &[u8]) {
        out.extend([id.to_le_bytes(), (data.len() as u16).to_le_bytes()].concat());
        out.extend(data);
    }
    let begin = |kind: u16| {
        [0x0600_u16, kind, 0x0DBB, 0x07CC, 0, 0, 6, 0].iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>()
    };
    let mut strings = [(cells.len() as u32).to_le_bytes(); 2].concat();
    for cell in cells {
        strings.extend((cell.encode_utf16().count() as u16).to_le_bytes());
        strings.push(1); // fHighByte
        strings.extend(utf16(cell));
    }
    let more = globals;
    let mut globals = Vec::new();
    record(&mut globals, 0x0809, &begin(0x0005));
    record(&mut globals, 0x0042, &1200_u16.to_le_bytes());
    more.iter().for_each(|(id, data)| record(&mut globals, *id, data));
    let sheet_at = globals.len() + 4 + 8 + 5 + 4 + strings.len() + 4;
    let mut sheet_entry = (sheet_at as u32).to_le_bytes().to_vec();
    sheet_entry.extend([0, 0, 5, 0]);
    sheet_entry.extend(b"Sheet");
    record(&mut globals, 0x0085, &sheet_entry);
    record(&mut globals, 0x00FC, &strings);
    record(&mut globals, 0x000A, &[]);
    record(&mut globals, 0x0809, &begin(0x0010));
    for (row, _) in cells.iter().enumerate() {
        let mut cell = [row as u16, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
        cell.extend((row as u32).to_le_bytes());
        record(&mut globals, 0x00FD, &cell);
    }
    record(&mut globals, 0x000A, &[]);
    globals.resize(globals.len().max(4096), 0);
    Compound::new().stream("/Workbook", &globals)
}
