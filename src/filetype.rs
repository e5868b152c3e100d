//! What a part is, by its content: all types that match, since polyglots are several at once.

use std::fmt;

use serde::{Deserialize, Serialize};

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
    /// Rich text.
    Rtf = "rtf", Document;
    /// OneNote section.
    OneNote = "onenote", Document;
    /// PDF.
    Pdf = "pdf", Document;
    /// ZIP.
    Zip = "zip", Archive;
    /// gzip.
    Gzip = "gzip", Unopened;
    /// bzip2.
    Bzip2 = "bzip2", Unopened;
    /// xz.
    Xz = "xz", Unopened;
    /// Zstandard.
    Zstd = "zstd", Unopened;
    /// RAR 4 or 5.
    Rar = "rar", Unopened;
    /// 7z.
    SevenZip = "7z", Unopened;
    /// tar.
    Tar = "tar", Unopened;
    /// Microsoft cabinet.
    Cab = "cab", Unopened;
    /// LHA / LZH.
    Lzh = "lzh", Unopened;
    /// ARJ.
    Arj = "arj", Unopened;
    /// ACE.
    Ace = "ace", Unopened;
    /// Outlook's winmail.dat.
    Tnef = "tnef", Unopened;
    /// ISO 9660 or UDF.
    Iso = "iso", DiskImage;
    /// VHD or VHDX.
    Vhd = "vhd", DiskImage;
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
    /// Script, by name (js, vbs, wsf, hta, bat, cmd, ps1 …).
    Script = "script", Script;
    /// Windows shortcut ([MS-SHLLINK]).
    Lnk = "lnk", Shortcut;
    /// Internet shortcut.
    Url = "url", Shortcut;
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
    let mut types = TypeSet::EMPTY;
    if bytes.starts_with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") {
        types.insert(FileType::Ole);
    }
    if types == TypeSet::EMPTY {
        types.insert(FileType::Data);
    }
    types
}
