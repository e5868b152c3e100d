//! What a part is, by its content: all types that match, since polyglots are several at once.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::formats::image::fat;
use crate::formats::{cab, compress, lzh, pgp, tar};
use crate::reader::Reader;

macro_rules! types {
    ($($(#[$meta:meta])* $variant:ident = $name:literal, $class:ident;)*) => {
        /// A type that a part may be.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum FileType { $($(#[$meta])* $variant,)* }

        impl FileType {
            /// Every type, in the order of the table: the one that says most comes first.
            pub const ALL: &[FileType] = &[$(FileType::$variant),*];

            /// The name in rules, metrics and JSON.
            pub fn name(self) -> &'static str {
                match self { $(FileType::$variant => $name,)* }
            }

            /// What kind of thing it is.
            pub fn class(self) -> Class {
                match self { $(FileType::$variant => Class::$class,)* }
            }
        }
    };
}

/// Groups of types, as far as the line treats them alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A mail message.
    Message,
    /// An Office document in which code can live.
    Document,
    /// An archive that is opened.
    Archive,
    /// A container that is not opened.
    Unopened,
    /// A program.
    Program,
    /// A script that Windows runs on double click.
    Script,
    /// A shortcut.
    Shortcut,
    /// A disk image.
    DiskImage,
    /// Picture, sound, film.
    Media,
    /// Text and everything else.
    Other,
}

types! {
    /// An RFC 5322 message.
    Message = "message", Message;
    /// Word 97-2003.
    OleDoc = "ole-doc", Document;
    /// Excel 5-2003.
    OleXls = "ole-xls", Document;
    /// A workbook of Excel 2 to 2003 without a compound file around it.
    Biff = "biff", Document;
    /// PowerPoint 97-2003.
    OlePpt = "ole-ppt", Document;
    /// Outlook item.
    Msg = "msg", Document;
    /// An Office document whose content is encrypted ([MS-OFFCRYPTO] EncryptedPackage).
    EncryptedOle = "encrypted-ole", Document;
    /// A VBA project alone (`vbaProject.bin`).
    OleVba = "ole-vba", Document;
    /// Any other compound file ([MS-CFB]).
    Ole = "ole", Document;
    /// Word, no macros by its content type.
    OoxmlDocx = "ooxml-docx", Document;
    /// Word, macro-enabled.
    OoxmlDocm = "ooxml-docm", Document;
    /// Word template.
    OoxmlDotx = "ooxml-dotx", Document;
    /// Word template, macro-enabled.
    OoxmlDotm = "ooxml-dotm", Document;
    /// Excel, no macros by its content type.
    OoxmlXlsx = "ooxml-xlsx", Document;
    /// Excel, macro-enabled.
    OoxmlXlsm = "ooxml-xlsm", Document;
    /// Excel, binary.
    Xlsb = "xlsb", Document;
    /// Excel template.
    OoxmlXltx = "ooxml-xltx", Document;
    /// Excel template, macro-enabled.
    OoxmlXltm = "ooxml-xltm", Document;
    /// Excel add-in.
    OoxmlXlam = "ooxml-xlam", Document;
    /// PowerPoint, no macros by its content type.
    OoxmlPptx = "ooxml-pptx", Document;
    /// PowerPoint, macro-enabled.
    OoxmlPptm = "ooxml-pptm", Document;
    /// PowerPoint slide show.
    OoxmlPpsx = "ooxml-ppsx", Document;
    /// PowerPoint slide show, macro-enabled.
    OoxmlPpsm = "ooxml-ppsm", Document;
    /// PowerPoint template.
    OoxmlPotx = "ooxml-potx", Document;
    /// PowerPoint template, macro-enabled.
    OoxmlPotm = "ooxml-potm", Document;
    /// PowerPoint add-in.
    OoxmlPpam = "ooxml-ppam", Document;
    /// Visio and everything else in an OPC package.
    Ooxml = "ooxml", Document;
    /// Word 2003 XML or flat OPC.
    XmlOffice = "xml-office", Document;
    /// A document saved as a web archive.
    Mht = "mht", Document;
    /// What Word keeps of a document beside a web archive or XML: `editdata.mso`.
    ActiveMime = "activemime", Document;
    /// Rich text.
    Rtf = "rtf", Document;
    /// OneNote section.
    OneNote = "onenote", Document;
    /// PDF.
    Pdf = "pdf", Document;
    /// ZIP.
    Zip = "zip", Archive;
    /// gzip.
    Gzip = "gzip", Archive;
    /// bzip2.
    Bzip2 = "bzip2", Archive;
    /// xz.
    Xz = "xz", Archive;
    /// LZMA alone.
    Lzma = "lzma", Archive;
    /// Zstandard.
    Zstd = "zstd", Archive;
    /// RAR 4 or 5.
    Rar = "rar", Archive;
    /// 7z.
    SevenZip = "7z", Archive;
    /// tar.
    Tar = "tar", Archive;
    /// Microsoft cabinet.
    Cab = "cab", Archive;
    /// LHA / LZH.
    Lzh = "lzh", Archive;
    /// ARJ.
    Arj = "arj", Archive;
    /// ACE.
    Ace = "ace", Unopened;
    /// Outlook's winmail.dat.
    Tnef = "tnef", Archive;
    /// ISO 9660 or UDF.
    Iso = "iso", DiskImage;
    /// VHD or VHDX.
    Vhd = "vhd", DiskImage;
    /// A raw disk image: a volume of FAT, exFAT or NTFS, or a table of partitions.
    Img = "img", DiskImage;
    /// Apple's disk image.
    Dmg = "dmg", DiskImage;
    /// Windows program or library.
    Pe = "pe", Program;
    /// Linux program.
    Elf = "elf", Program;
    /// macOS program.
    MachO = "mach-o", Program;
    /// Java archive by its manifest.
    Jar = "jar", Program;
    /// Compiled help.
    Chm = "chm", Program;
    /// Flash.
    Swf = "swf", Program;
    /// Script, by name (js, vbs, wsf, hta, bat, cmd, ps1 …).
    Script = "script", Script;
    /// Windows shortcut ([MS-SHLLINK]).
    Lnk = "lnk", Shortcut;
    /// Internet shortcut.
    Url = "url", Shortcut;
    /// Signed or encrypted content: S/MIME, `.p7m` (RFC 5652).
    Pkcs7 = "pkcs7", Other;
    /// An OpenPGP message (RFC 9580).
    Pgp = "pgp", Other;
    /// HTML.
    Html = "html", Other;
    /// Any other XML.
    Xml = "xml", Other;
    /// PNG.
    Png = "png", Media;
    /// JPEG.
    Jpeg = "jpeg", Media;
    /// GIF.
    Gif = "gif", Media;
    /// BMP.
    Bmp = "bmp", Media;
    /// TIFF.
    Tiff = "tiff", Media;
    /// Windows metafiles.
    Emf = "emf", Media;
    /// Sound or film (RIFF, MP3, MP4, Ogg).
    Av = "audio-video", Media;
    /// Text of no other type.
    Text = "text", Other;
    /// Nothing that is known.
    Data = "data", Other;
}

impl FileType {
    /// Finds a type by its name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|t| t.name() == name)
    }
}

impl fmt::Display for FileType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for FileType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for FileType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("unknown type `{text}`")))
    }
}

/// All types that a content matches; never empty once detected ([`FileType::Data`] at least).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TypeSet(u128);

impl TypeSet {
    /// No type yet.
    pub const EMPTY: TypeSet = TypeSet(0);

    /// This set and `file_type`.
    #[must_use]
    pub fn with(self, file_type: FileType) -> Self {
        Self(self.0 | (1 << file_type as u8))
    }

    /// This set without `file_type`.
    #[must_use]
    pub fn without(self, file_type: FileType) -> Self {
        Self(self.0 & !(1 << file_type as u8))
    }

    /// The types of this set and of `other`.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Adds a type that was learnt later (what an OOXML package is stands inside it).
    pub fn insert(&mut self, file_type: FileType) {
        *self = self.with(file_type);
    }

    /// Whether the content is a `file_type` (among others).
    pub fn has(self, file_type: FileType) -> bool {
        self.0 & (1 << file_type as u8) != 0
    }

    /// Whether any type is of `class`.
    pub fn has_class(self, class: Class) -> bool {
        self.iter().any(|t| t.class() == class)
    }

    /// The types, the one that says most first.
    pub fn iter(self) -> impl Iterator<Item = FileType> {
        FileType::ALL.iter().copied().filter(move |t| self.has(*t))
    }

    /// The type to show.
    pub fn main(self) -> FileType {
        self.iter().next().unwrap_or(FileType::Data)
    }
}

impl FromIterator<FileType> for TypeSet {
    fn from_iter<I: IntoIterator<Item = FileType>>(types: I) -> Self {
        types.into_iter().fold(Self::EMPTY, Self::with)
    }
}

/// All types that `bytes` match by content. What a name or a declaration adds (a script is a
/// script by its name) is [`crate::scan`]'s business.
pub fn detect(bytes: &[u8]) -> TypeSet {
    let mut types: TypeSet = at_the_start(bytes).chain(elsewhere(bytes)).collect();
    // A message is text; what it carries shows once it is taken apart.
    if types == TypeSet::EMPTY && looks_like_message(bytes) {
        types.insert(FileType::Message);
    }
    types = types.union(markup(bytes, types));
    if looks_like_zip(bytes, types) {
        types = types.union(zip_kinds(bytes));
    }
    if types == TypeSet::EMPTY {
        types.insert(if looks_like_text(bytes) { FileType::Text } else { FileType::Data });
    }
    types
}

/// How far from its start a text is read to see what it is.
const HEAD: usize = 4096;

/// Types that are told by octets at the start.
const MAGIC: &[(&[u8], FileType)] = &[
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", FileType::Ole), // [MS-CFB] 2.2
    (b"\x0e\x11\xfc\x0d\xd0\xcf\x11\xe0", FileType::Ole), // its beta version, which Office still opens
    (b"{\\rt", FileType::Rtf),                            // Word asks for no more than these four
    // [MS-ONESTORE] 2.3.1: {7B5C52E4-D88C-4DA7-AEB1-5378D02996D3} and, for a table of contents, {43FF2FA1-…}
    (b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3", FileType::OneNote),
    (b"\xa1\x2f\xff\x43\xd9\xef\x76\x4c\x9e\xe2\x10\xea\x57\x22\x76\x5f", FileType::OneNote),
    // [MS-SHLLINK] 2.1: HeaderSize and LinkCLSID
    (b"\x4c\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0\x46", FileType::Lnk),
    (b"%PDF-", FileType::Pdf),
    (b"ActiveMime", FileType::ActiveMime),
    (b"\x1f\x8b\x08", FileType::Gzip), // RFC 1952 2.3.1, method deflate
    (b"\xfd7zXZ\0", FileType::Xz),
    (b"\x28\xb5\x2f\xfd", FileType::Zstd), // RFC 8878 3.1.1
    (b"Rar!\x1a\x07\0", FileType::Rar),
    (b"Rar!\x1a\x07\x01\0", FileType::Rar),
    (b"7z\xbc\xaf\x27\x1c", FileType::SevenZip),
    (b"MSCF\0\0\0\0", FileType::Cab),      // [MS-CAB] 2.1
    (b"\x78\x9f\x3e\x22", FileType::Tnef), // [MS-OXTNEF] 2.1.3.1, little-endian 0x223E9F78
    (b"ITSF\x03\0\0\0", FileType::Chm),
    (b"vhdxfile", FileType::Vhd), // [MS-VHDX] 2.2.1
    (b"conectix", FileType::Vhd), // a dynamic VHD has a copy of the footer first
    (b"\x7fELF", FileType::Elf),
    (b"\xfe\xed\xfa\xce", FileType::MachO),
    (b"\xfe\xed\xfa\xcf", FileType::MachO),
    (b"\xce\xfa\xed\xfe", FileType::MachO),
    (b"\xcf\xfa\xed\xfe", FileType::MachO),
    (b"\x89PNG\r\n\x1a\n", FileType::Png),
    (b"\xff\xd8\xff", FileType::Jpeg),
    (b"GIF87a", FileType::Gif),
    (b"GIF89a", FileType::Gif),
    (b"II*\0", FileType::Tiff),
    (b"MM\0*", FileType::Tiff),
    (b"\xd7\xcd\xc6\x9a\0\0", FileType::Emf), // placeable WMF, [MS-WMF] 2.3.2.3
    (b"ID3", FileType::Av),
    (b"OggS", FileType::Av),
    (b"fLaC", FileType::Av),
];

/// Types that are told by octets at some other offset: offset, octets, type.
const MAGIC_AT: &[(usize, &[u8], FileType)] = &[
    (7, b"**ACE**", FileType::Ace),
    (257, b"ustar", FileType::Tar),
    (40, b" EMF", FileType::Emf), // [MS-EMF] 2.2.9 RecordSignature
    (4, b"ftyp", FileType::Av),
    (8, b"AVI ", FileType::Av),
    (8, b"WAVE", FileType::Av),
];

fn at_the_start(bytes: &[u8]) -> impl Iterator<Item = FileType> {
    let start = MAGIC.iter().filter(|(magic, _)| bytes.starts_with(magic)).map(|(_, t)| *t);
    let offset = MAGIC_AT.iter().filter(|(at, magic, _)| has_at(bytes, *at, magic)).map(|(_, _, t)| *t);
    let shaped = [
        (disc_frames(bytes).is_some(), FileType::Iso),
        (is_raw_disk(bytes), FileType::Img),
        (is_pe(bytes), FileType::Pe),
        (is_fat_mach_o(bytes), FileType::MachO),
        (is_bzip2(bytes), FileType::Bzip2),
        (compress::is_lzma(bytes), FileType::Lzma),
        (is_skippable_zstd(bytes), FileType::Zstd),
        (is_tar(bytes), FileType::Tar),
        (is_lzh(bytes), FileType::Lzh),
        (is_arj(bytes), FileType::Arj),
        (is_flash(bytes), FileType::Swf),
        (is_biff(bytes), FileType::Biff),
        (is_bmp(bytes), FileType::Bmp),
        (is_mpeg_audio(bytes), FileType::Av),
        (is_pkcs7(bytes), FileType::Pkcs7),
        (pgp::is_message(bytes), FileType::Pgp),
    ];
    start.chain(offset).chain(shaped.into_iter().filter(|(is, _)| *is).map(|(_, t)| t))
}

/// What readers accept although it does not stand at the start.
fn elsewhere(bytes: &[u8]) -> impl Iterator<Item = FileType> {
    // Readers of PDF look for the header within the first 1024 octets (ISO 32000-1, annex H, 3.4.1).
    let pdf = memchr::memmem::find(head(bytes, 1024), b"%PDF-").is_some();
    // A fixed VHD has only a footer: its last sector.
    let vhd = bytes.len().checked_sub(512).is_some_and(|at| has_at(bytes, at, b"conectix"));
    // Some programs wrote a footer of 511 octets.
    let vhd = vhd || bytes.len().checked_sub(511).is_some_and(|at| has_at(bytes, at, b"conectix"));
    let dmg = bytes.len().checked_sub(512).is_some_and(|at| has_at(bytes, at, b"koly"));
    // Programs that unpack themselves carry the archive behind their code, or as a resource.
    let program = bytes.starts_with(b"MZ");
    let cab = program && cab::places(bytes).next().is_some();
    let lzh = program && lzh::find(bytes).is_some();
    let types =
        [(pdf, FileType::Pdf), (vhd, FileType::Vhd), (cab, FileType::Cab), (lzh, FileType::Lzh), (dmg, FileType::Dmg)];
    types.into_iter().filter(|(is, _)| *is).map(|(_, t)| t)
}

/// How the sectors of a disc stand in an image: octets from one to the next, and before the data of each. Told by
/// volume descriptors (ECMA-119 8.1, ECMA-167 2/9.1), which begin at sector 16.
pub(crate) fn disc_frames(bytes: &[u8]) -> Option<(usize, usize)> {
    // Data only, and raw (ECMA-130 14: sync and header of 16 octets, or 24 in mode 2, or cut off).
    const FRAMES: [(usize, usize); 6] = [(2048, 0), (2352, 16), (2352, 24), (2352, 0), (2336, 8), (2448, 16)];
    const MAGIC: [&[u8]; 4] = [b"CD001", b"BEA01", b"NSR02", b"NSR03"];
    FRAMES.into_iter().find(|(frame, header)| {
        (16..32_usize).any(|sector| {
            let at = sector.saturating_mul(*frame).saturating_add(*header).saturating_add(1);
            MAGIC.iter().any(|magic| has_at(bytes, at, magic))
        })
    })
}

/// A boot sector of FAT, NTFS or exFAT at the start, or where a partition table says.
fn is_raw_disk(bytes: &[u8]) -> bool {
    let is_volume = |at: usize| {
        let sector = bytes.get(at..).map(|rest| head(rest, 512)).unwrap_or_default();
        let named = [&b"NTFS    "[..], b"EXFAT   "].iter().any(|name| has_at(sector, 3, name));
        named && sector.first() == Some(&0xeb) || fat::is_boot_sector(sector)
    };
    if is_volume(0) {
        return true;
    }
    let Some(table) = bytes.get(446..512).filter(|table| table.ends_with(b"\x55\xaa")) else { return false };
    has_at(bytes, 512, b"EFI PART")
        || table.chunks_exact(16).any(|entry| {
            let start = Reader::at(entry, 8).and_then(|mut reader| reader.u32()).and_then(|s| usize::try_from(s).ok());
            let at = start.filter(|start| *start > 0).map(|start| start.saturating_mul(512));
            entry.get(4).is_some_and(|kind| *kind != 0)
                && at.is_some_and(|at| at < bytes.len())
                && matches!(entry.first(), Some(0 | 0x80))
                && at.is_some_and(|at| is_volume(at) || matches!(entry.get(4), Some(5 | 0x0f)))
        })
}

fn head(bytes: &[u8], size: usize) -> &[u8] {
    bytes.get(..size).unwrap_or(bytes)
}

fn has_at(bytes: &[u8], offset: usize, magic: &[u8]) -> bool {
    bytes.get(offset..).is_some_and(|rest| rest.starts_with(magic))
}

/// `MZ`, and at `e_lfanew` the signature `PE\0\0`; a cut or padded file counts if the DOS header
/// at least is whole, since "cut" is only what this reader sees.
fn is_pe(bytes: &[u8]) -> bool {
    if !bytes.starts_with(b"MZ") {
        return false;
    }
    let header = Reader::at(bytes, 0x3c).and_then(|mut reader| reader.u32());
    match header.and_then(|offset| usize::try_from(offset).ok()) {
        Some(offset) if has_at(bytes, offset, b"PE\0\0") => true,
        // NE, LE, LX: 16-bit programs; or a plain DOS program, which has no pointer but the stub's size.
        Some(offset) if [&b"NE"[..], b"LE", b"LX"].iter().any(|magic| has_at(bytes, offset, magic)) => true,
        _ => memchr::memmem::find(head(bytes, 512), b"This program").is_some(),
    }
}

/// Universal binaries share `CAFEBABE` with Java classes; those have a version (45 or more) where
/// the number of architectures stands.
fn is_fat_mach_o(bytes: &[u8]) -> bool {
    matches!(bytes.get(..8), Some([0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 1..=30]))
}

fn is_bzip2(bytes: &[u8]) -> bool {
    // "BZh", level, then pi as the block's magic, or the root of pi in an empty file.
    matches!(bytes.get(..4), Some([b'B', b'Z', b'h', b'1'..=b'9']))
        && (has_at(bytes, 4, b"\x31\x41\x59\x26\x53\x59") || has_at(bytes, 4, b"\x17\x72\x45\x38\x50\x90"))
}

fn is_skippable_zstd(bytes: &[u8]) -> bool {
    // RFC 8878 3.1.2: a frame to be skipped may come first, a true one behind it.
    let mut reader = Reader::new(bytes);
    let mut behind = || {
        let (magic, size) = (reader.u32()?, reader.u32()?);
        let is = (0x184d_2a50..=0x184d_2a5f).contains(&magic);
        is.then_some(usize::try_from(size).ok()?.saturating_add(8))
    };
    behind().is_some_and(|at| {
        matches!(bytes.get(at..at.saturating_add(4)), Some([0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18]))
    })
}

fn is_tar(bytes: &[u8]) -> bool {
    // The old format has no magic, but a checksum. GNU tar skips blocks until one fits: 64 KiB of them.
    tar::is_header(bytes)
        || head(bytes, 64 << 10).chunks_exact(512).any(|block| has_at(block, 257, b"ustar") && tar::is_header(block))
}

fn is_lzh(bytes: &[u8]) -> bool {
    // Method "-lh5-", "-lzs-" at 2, header level 0 to 3 at 20.
    matches!(bytes.get(2..7), Some([b'-', b'l', b'h' | b'z', _, b'-']))
        && bytes.get(20).is_some_and(|level| *level <= 3)
}

fn is_arj(bytes: &[u8]) -> bool {
    // Signature, then the size of the main header (at most 2600) and of its first part.
    let header = || {
        let mut reader = Reader::at(bytes, 2)?;
        Some((reader.u16()?, reader.u8()?))
    };
    bytes.starts_with(b"\x60\xea") && header().is_some_and(|(size, first)| (30..=2600).contains(&size) && first >= 30)
}

/// The record that begins a workbook stream ([MS-XLS] 2.4.21) or a sheet of Excel 2 to 4, and what it begins.
fn is_biff(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(bytes);
    let fields = [(); 4].map(|()| reader.u16());
    let [Some(id), Some(size), Some(version), Some(kind)] = fields else { return false };
    let of_sheet = matches!(kind, 0x10 | 0x20 | 0x40);
    match (id, size) {
        (0x0809, 4..=64) => matches!(version, 0x0500 | 0x0600) && (of_sheet || matches!(kind, 5 | 6)),
        (0x0409 | 0x0209, 4..=16) => of_sheet || kind == 0x0100,
        (0x0009, 4..=8) => of_sheet,
        _ => false,
    }
}

/// SWF 19, "The SWF header": plain, or packed with zlib or LZMA; a version; the size unpacked.
pub(crate) fn is_flash(bytes: &[u8]) -> bool {
    const MAX_SIZE: u32 = 256 << 20;
    let mut reader = Reader::new(bytes);
    let Some([how, b'W', b'S']) = reader.take(3) else { return false };
    let (Some(version), Some(size), Some(next)) = (reader.u8(), reader.u32(), reader.u8()) else { return false };
    (1..=60).contains(&version)
        && (21..=MAX_SIZE).contains(&size)
        && match how {
            // The bits of each number of the frame's size: a frame has some.
            b'F' => next >> 3 > 0,
            b'C' => next & 0x0f == 8,
            b'Z' => version >= 13,
            _ => false,
        }
}

fn is_bmp(bytes: &[u8]) -> bool {
    // Two reserved words of zero, and a known size of the information header.
    bytes.starts_with(b"BM")
        && has_at(bytes, 6, &[0; 4])
        && matches!(bytes.get(14), Some(12 | 16 | 40 | 52 | 56 | 64 | 108 | 124))
}

fn is_mpeg_audio(bytes: &[u8]) -> bool {
    matches!(bytes.get(..3), Some([0xff, 0xfb | 0xf3 | 0xf2, rate]) if rate & 0xf0 != 0xf0 && rate & 0xf0 != 0)
}

/// A sequence that begins with the identifier of a type of content (RFC 5652 3): 1.2.840.113549.1.7 or
/// 1.2.840.113549.1.9.16.1.
fn is_pkcs7(bytes: &[u8]) -> bool {
    const IDENTIFIERS: [&[u8]; 2] =
        [b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07", b"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01"];
    let Some([0x30, length]) = bytes.first_chunk::<2>() else { return false };
    // A long length says in its first octet of how many more it is.
    let start = if *length > 0x80 { usize::from(*length & 0x7f).saturating_add(2) } else { 2 };
    IDENTIFIERS.iter().any(|identifier| has_at(bytes, start, identifier))
}

/// Header fields that begin messages; two different ones at the start make a message.
const FIELDS: &[&str] = &[
    "authentication-results",
    "bcc",
    "cc",
    "content-disposition",
    "content-transfer-encoding",
    "content-type",
    "date",
    "delivered-to",
    "dkim-signature",
    "envelope-to",
    "errors-to",
    "from",
    "in-reply-to",
    "list-id",
    "message-id",
    "mime-version",
    "received",
    "received-spf",
    "references",
    "reply-to",
    "resent-from",
    "return-path",
    "sender",
    "subject",
    "to",
    "user-agent",
    "x-mailer",
    "x-original-to",
    "x-priority",
];

/// Whether `bytes` begin like a message: a run of header fields with at least two known names,
/// one of which only mail has (an HTTP answer has `Date` and `Content-Type`, too).
fn looks_like_message(bytes: &[u8]) -> bool {
    const ONLY_IN_MAIL: &[&str] =
        &["delivered-to", "from", "message-id", "mime-version", "received", "return-path", "subject", "to"];
    let mut known = Vec::new();
    // A single field and an empty line: only if what it says is about mail.
    let mut alone = false;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    // 200 lines: trace fields of a well-travelled message fill a hundred.
    for (n, line) in head(bytes, 16 * 1024).split(|b| *b == b'\n').take(200).enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mbox = n == 0 && line.starts_with(b"From ");
        if mbox || (n > 0 && line.first().is_some_and(|b| matches!(b, b' ' | b'\t'))) {
            continue;
        }
        if line.is_empty() {
            return alone;
        }
        let Some(name) = field_name(line) else { break };
        alone = n == 0 && says_mail(&name, line);
        if FIELDS.contains(&name.as_str()) && !known.contains(&name) {
            known.push(name);
        }
        if known.len() >= 2 && known.iter().any(|name| ONLY_IN_MAIL.contains(&name.as_str())) {
            return true;
        }
    }
    false
}

/// Whether one field is enough: a sender with an address, or a media type.
fn says_mail(name: &str, line: &[u8]) -> bool {
    match name {
        "from" => line.contains(&b'@'),
        "content-type" => line.contains(&b'/'),
        _ => false,
    }
}

/// The lower-case name of a header field (RFC 5322 2.2), if the line is one.
fn field_name(line: &[u8]) -> Option<String> {
    let colon = memchr::memchr(b':', head(line, 80))?;
    let name = line.get(..colon)?.trim_ascii_end();
    let valid = !name.is_empty() && name.iter().all(|b| b.is_ascii_graphic());
    valid.then(|| String::from_utf8_lossy(name).to_ascii_lowercase())
}

/// Types that are text with some structure: HTML, XML, Office's XML forms, web archives,
/// internet shortcuts.
fn markup(bytes: &[u8], known: TypeSet) -> TypeSet {
    let mut types = TypeSet::EMPTY;
    // A page inside a picture or program is its data; only PDFs and unknown things are looked at.
    if known.without(FileType::Pdf).without(FileType::Message) != TypeSet::EMPTY {
        return types;
    }
    let text = plain_head(bytes);
    let has = |needle: &str| memchr::memmem::find(&text, needle.as_bytes()).is_some();
    let start = text.trim_ascii_start();
    if has("mime-version:") && (has("multipart/related") || has("application/x-mso")) && is_office_mht(bytes) {
        types.insert(FileType::Mht);
    }
    if known.has(FileType::Message) {
        return types;
    }
    if start.starts_with(b"<?xml") || start.starts_with(b"<?mso-application") || has("schemas.microsoft.com/office") {
        if has("mso-application")
            || has("<pkg:package")
            || has("<w:worddocument")
            // Prefixes are free, namespaces are not.
            || has("schemas.microsoft.com/office/2006/xmlpackage")
            || has("schemas.microsoft.com/office/word/2003/wordml")
            || has("urn:schemas-microsoft-com:office:spreadsheet")
        {
            types.insert(FileType::XmlOffice);
        } else if start.starts_with(b"<?xml") && !has("<html") && !is_html(start) {
            types.insert(FileType::Xml);
        }
    }
    if is_html(start) {
        types.insert(FileType::Html);
    }
    // Windows looks for the section anywhere in the file; before it may stand others.
    if has("[internetshortcut]") {
        types.insert(FileType::Url);
    }
    types
}

fn is_html(start: &[u8]) -> bool {
    const TAGS: &[&[u8]] = &[
        b"<!doctype html",
        b"<html",
        b"<head",
        b"<body",
        b"<script",
        b"<title",
        b"<meta",
        b"<table",
        b"<iframe",
        b"<div",
        b"<svg",
        b"<style",
        b"<center",
        b"<p>",
        b"<br",
        b"<a ",
        b"<img",
        b"<form",
    ];
    let mut rest = start;
    // Comments and declarations may stand before the first tag.
    for _ in 0..16 {
        rest = rest.trim_ascii_start();
        if TAGS.iter().any(|tag| rest.starts_with(tag)) {
            return true;
        }
        let end: &[u8] = if rest.starts_with(b"<!--") { b"-->" } else { b">" };
        if !(rest.starts_with(b"<!") || rest.starts_with(b"<?")) {
            return false;
        }
        let Some(at) = memchr::memmem::find(rest, end) else { return false };
        rest = rest.get(at.saturating_add(end.len())..).unwrap_or_default();
    }
    false
}

/// Word saves "single file web pages" with its macros in a member `editdata.mso`, an ActiveMime
/// container, whose first octets in Base64 are `QWN0aXZlTWltZQ`.
fn is_office_mht(bytes: &[u8]) -> bool {
    let near = head(bytes, 1 << 20);
    [&b"editdata.mso"[..], b"QWN0aXZlTWltZQ", b"application/x-mso", b"oledata.mso"]
        .iter()
        .any(|mark| memchr::memmem::find(near, mark).is_some())
}

/// The first [`HEAD`] octets as lower-case ASCII; UTF-16 is brought to octets, a byte order mark dropped.
fn plain_head(bytes: &[u8]) -> Vec<u8> {
    let head = head(bytes, HEAD);
    let plain: Vec<u8> = match head {
        [0xff, 0xfe, rest @ ..] => rest.iter().step_by(2).copied().collect(),
        [0xfe, 0xff, rest @ ..] => rest.iter().skip(1).step_by(2).copied().collect(),
        [0xef, 0xbb, 0xbf, rest @ ..] => rest.to_vec(),
        [b'<', 0, ..] => head.iter().step_by(2).copied().collect(),
        _ => head.to_vec(),
    };
    plain.to_ascii_lowercase()
}

const LOCAL: &[u8] = b"PK\x03\x04";
const END: &[u8] = b"PK\x05\x06";

/// Whether a reader of ZIP would find members here.
fn looks_like_zip(bytes: &[u8], known: TypeSet) -> bool {
    if bytes.starts_with(LOCAL) || bytes.starts_with(END) || bytes.starts_with(b"PK00PK\x03\x04") {
        return true;
    }
    // In formats that carry other files whole, a ZIP is mostly their content (every .doc of Word
    // 2007 has its theme as one), which comes out when they are taken apart. One that was appended
    // ends where the file ends; a stream is padded.
    let carries = known.has(FileType::Ole)
        || known.has(FileType::Rtf)
        || known.has(FileType::OneNote)
        || known.has(FileType::Message)
        || known.has(FileType::Mht)
        || known.has(FileType::Tnef)
        || known.has(FileType::Pkcs7)
        || known.has(FileType::Pgp)
        || known.has_class(Class::Unopened)
        || known.has_class(Class::Archive)
        || known.has_class(Class::DiskImage);
    // Without a directory at the end, readers go by the first local header.
    if carries {
        has_central_directory(bytes, true)
    } else {
        has_central_directory(bytes, false) || has_local_header(bytes)
    }
}

/// Whether an end-of-central-directory record stands where readers look for it (before a comment
/// of at most 65,535 octets; zero padding is not counted), with a directory before it. With
/// `at_end`, only if the file ends with it.
fn has_central_directory(bytes: &[u8], at_end: bool) -> bool {
    let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at.saturating_add(1));
    // The record's own last fields may be zeros.
    let end = end.saturating_add(22).min(bytes.len());
    let tail = bytes.get(end.saturating_sub(66_000)..end).unwrap_or_default();
    // APPNOTE 4.3.16: the size of the directory stands at 12.
    end_records(tail).take(16).any(|at| {
        let position = end.saturating_sub(tail.len()).saturating_add(at);
        let size = Reader::at(bytes, position.saturating_add(12)).and_then(|mut reader| reader.u32());
        let start = size.and_then(|size| position.checked_sub(usize::try_from(size).ok()?));
        let comment = Reader::at(bytes, position.saturating_add(20)).and_then(|mut reader| reader.u16());
        let ends = comment.map(|size| position.saturating_add(22).saturating_add(size.into()));
        start.is_some_and(|start| has_at(bytes, start, b"PK\x01\x02")) && (!at_end || ends == Some(bytes.len()))
    })
}

/// Where the signature of an end record stands, the last one first. Searched by an octet that text
/// does not have: a library's search from the end takes many times as long.
pub(crate) fn end_records(bytes: &[u8]) -> impl Iterator<Item = usize> {
    memchr::memrchr_iter(5, bytes).filter_map(|at| at.checked_sub(2)).filter(|at| has_at(bytes, *at, END))
}

fn has_local_header(bytes: &[u8]) -> bool {
    // 64 MiB: a file that begins with more than that of something else is no archive to anyone.
    memchr::memmem::find_iter(head(bytes, 64 << 20), LOCAL).take(1000).any(|at| local_name(bytes, at).is_some())
}

/// The raw name in the local header at `at`, if it can be one (APPNOTE 4.3.7).
pub(crate) fn local_name(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let mut reader = Reader::at(bytes, at)?;
    reader.skip(4)?;
    let (version, _flags, method) = (reader.u16()?, reader.u16()?, reader.u16()?);
    reader.skip(16)?;
    let (name_size, extra_size) = (reader.u16()?, reader.u16()?);
    let name = reader.take(usize::from(name_size))?;
    reader.skip(usize::from(extra_size))?;
    // The low octet of "version needed" is at most 63 in APPNOTE 6.3.10; methods end at 99 (AES).
    let plausible = version & 0xff <= 100 && method <= 99 && name.iter().all(|b| *b >= 0x20);
    plausible.then_some(name)
}

/// ZIP, and what kind of package it is as far as the first members tell.
fn zip_kinds(bytes: &[u8]) -> TypeSet {
    let mut types = TypeSet::EMPTY.with(FileType::Zip);
    // Office and Java write their own members first, but anybody may add some before them.
    for at in memchr::memmem::find_iter(head(bytes, 1 << 20), LOCAL).take(64) {
        let Some(name) = local_name(bytes, at) else { continue };
        let is = |wanted: &[u8]| name.eq_ignore_ascii_case(wanted);
        if is(b"[Content_Types].xml") || is(b"_rels/.rels") || is(b"_rels\\.rels") {
            types.insert(FileType::Ooxml);
        }
        if is(b"META-INF/MANIFEST.MF") {
            types.insert(FileType::Jar);
        }
    }
    types
}

/// Whether the first octets are text: no controls but white space and escapes; or UTF-16.
pub(crate) fn looks_like_text(bytes: &[u8]) -> bool {
    let head = head(bytes, HEAD);
    match head {
        [] => return true,
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return true,
        _ => {}
    }
    let control = |b: &&u8| **b < 0x20 && !matches!(**b, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b);
    // One stray control in a thousand is still text: form feeds and the like.
    if head.iter().filter(control).count().saturating_mul(1000) > head.len() {
        return is_utf16_without_mark(head);
    }
    match std::str::from_utf8(head) {
        Ok(_) => true,
        // Cut within a character.
        Err(error) if error.valid_up_to().saturating_add(4) > head.len() => true,
        // Octets of an 8-bit or Japanese charset: mostly letters, or pairs that decode.
        Err(_) => is_japanese(head) || mostly_ascii(head),
    }
}

fn is_utf16_without_mark(head: &[u8]) -> bool {
    let zeros = |odd: usize| head.iter().skip(odd).step_by(2).filter(|b| **b == 0).count();
    let pairs = head.len().checked_div(2).unwrap_or_default().max(1);
    let most = pairs.saturating_sub(pairs.checked_div(8).unwrap_or_default());
    head.len() >= 8 && (zeros(1) >= most) != (zeros(0) >= most)
}

fn is_japanese(head: &[u8]) -> bool {
    [encoding_rs::SHIFT_JIS, encoding_rs::EUC_JP].iter().any(|encoding| {
        // A character may be cut at the end of the head.
        (0..2).any(|cut| {
            let whole = head.get(..head.len().saturating_sub(cut)).unwrap_or_default();
            encoding.decode_without_bom_handling_and_without_replacement(whole).is_some()
        })
    })
}

fn mostly_ascii(head: &[u8]) -> bool {
    let high = head.iter().filter(|b| **b >= 0x80).count();
    high.saturating_mul(3) <= head.len()
}

#[cfg(test)]
mod tests;
