//! Office Open XML: packages of parts in a ZIP (ECMA-376 part 2).
//!
//! What can hurt becomes a part of its own, recognised by content under whatever name: macro
//! projects, embedded objects and files. XML is read for its text only, and pictures for their
//! size: a package has hundreds of them. Relationships and fields are [`super::links`]' business.

use bytes::Bytes;

use crate::excel4;
use crate::field;
use crate::filetype::{self, Class, FileType, TypeSet};
use crate::finding;
use crate::formats::actions::{self, Actions};
use crate::formats::activex::{self, Controls};
use crate::formats::container::{self, Content};
use crate::formats::markup::{self, Token};
use crate::formats::picture::PER_DOCUMENT;
use crate::formats::shape::Look;
use crate::formats::zip::members::{Archive, Member, normal};
use crate::formats::zip::unpack;
use crate::formats::{biff12, emf};
use crate::limits::Limit;
use crate::lure;
use crate::part::{Origin, Part, extension};
use crate::scan::{Child, Scan};
use crate::vba::signature;

/// Whether the archive is a package: it names the types of its parts, or their relationships.
pub(crate) fn is_package(archive: &Archive) -> bool {
    let named = |wanted: &str| archive.members.iter().any(|member| is_named(member, wanted));
    named(CONTENT_TYPES) || named("_rels/.rels")
}

const CONTENT_TYPES: &str = "[content_types].xml";

fn is_named(member: &Member, name: &str) -> bool {
    member.names.iter().any(|known| normal(&known.text) == name)
}

/// Looks into every member.
pub(crate) fn examine(part: &Part, archive: &Archive, scan: &mut Scan) {
    let mut package = Package::default();
    for member in archive.members.iter().filter(|member| !member.is_folder()) {
        if scan.stopped() {
            return;
        }
        if scan.room() == 0 {
            scan.limit(part, Limit::ScanSize);
            break;
        }
        for method in member.methods.iter().copied() {
            package.look(part, member, method, scan);
        }
    }
    if let Some(file_type) = package.file_type {
        scan.learn_type(part, file_type);
    }
    if package.is_cut {
        scan.limit(part, Limit::FileSize);
    }
    if package.has_macros {
        package.look.macros();
    }
    package.look.report(part, scan);
    package.actions.report(part, scan);
    package.controls.report(part, scan);
    package.note_pictures(part, archive, scan);
    if package.has_excel4 {
        excel4_macros(part, archive, scan);
    }
    package.text.end().report(scan, part);
}

/// Octets of parts that are read for macros of Excel 4.0.
const MAX_WORKBOOK: u64 = 64 << 20;

/// Reads the workbook again, as a whole: sheets, names and strings stand in parts of their own.
fn excel4_macros(part: &Part, archive: &Archive, scan: &mut Scan) {
    let mut parts = excel4::package::Parts::default();
    let mut room = scan.room().min(MAX_WORKBOOK);
    for member in archive.members.iter().filter(|member| !member.is_folder()) {
        let name = normal(member.name());
        // Where the two headers name two methods, readers take either.
        for method in member.methods.iter().copied() {
            let content = unpack::unpack_unless(&part.bytes, member, method, room, is_picture);
            let Some(Content::Whole(bytes) | Content::Damaged(bytes) | Content::Head(bytes)) = content else {
                continue;
            };
            if excel4::package::may_belong(&name, &bytes) {
                room = room.saturating_sub(bytes.len() as u64);
                scan.spend(bytes.len() as u64);
                parts.add(name.clone(), bytes);
            }
        }
        if room == 0 {
            scan.limit(part, Limit::ScanSize);
            break;
        }
    }
    excel4::examine(&parts.read(), part, scan);
}

/// What was seen of a package so far.
#[derive(Default)]
struct Package {
    file_type: Option<FileType>,
    has_macros: bool,
    /// Something says that there are macros of Excel 4.0.
    has_excel4: bool,
    text: lure::Reading,
    /// A part had more text than was read.
    is_cut: bool,
    look: Look,
    actions: Actions,
    controls: Controls,
    /// The largest pictures, as far as claims tell, the largest first: their places in the archive, and sizes.
    pictures: Vec<(std::ops::Range<usize>, u64)>,
}

/// 64 MiB of one XML part are read for text: the markup of a book has a twentieth of that, the strings
/// of a large workbook a half. More is told.
const MAX_TEXT: usize = 64 << 20;

impl Package {
    fn look(&mut self, part: &Part, member: &Member, method: u16, scan: &mut Scan) {
        let Some(content) = unpack::unpack_unless(&part.bytes, member, method, scan.room(), is_picture) else {
            let size = member.size.max(member.data.len() as u64);
            self.look.picture(size);
            let place = self.pictures.partition_point(|(_, larger)| *larger >= size);
            if place < PER_DOCUMENT && self.pictures.iter().all(|(data, _)| *data != member.data) {
                self.pictures.insert(place, (member.data.clone(), size));
                self.pictures.truncate(PER_DOCUMENT);
            }
            return;
        };
        container::missing(part, member.name(), &content, scan);
        let (Content::Whole(bytes) | Content::Head(bytes) | Content::Damaged(bytes)) = content else { return };
        self.has_excel4 |= excel4::package::tells_of_macros(&bytes);
        // `vbaProjectSignature.bin`, `…Agile.bin`, `…V3.bin` ([MS-OFFMACRO2] 2.4).
        if normal(member.name()).contains("vbaprojectsignature") {
            signature::examine(&bytes, member.name(), part, scan);
        }
        let types = if is_xml(member, &bytes) {
            self.read(part, member, &bytes, scan)
        } else {
            self.controls.state(&bytes, part, member.name(), scan);
            filetype::detect(&bytes)
        };
        self.look.member(types, &bytes);
        if let Some((server, topic)) = biff12::dde_link(&bytes) {
            field::dde(&server, &topic, part, member.name(), scan);
        }
        self.read_binary(types, &bytes);
        let size = bytes.len() as u64;
        let child = Child { names: member.names.clone(), bytes, ..Child::default() };
        if !is_worth_a_part(member.name(), types) || scan.child(part, Origin::Embedded, child).is_none() {
            return scan.spend(size);
        }
        self.has_macros |= types.has(FileType::Ole) && normal(member.name()).contains("vba");
    }

    /// Reads an XML member for its text and for what it says of the package.
    fn read(&mut self, part: &Part, member: &Member, bytes: &Bytes, scan: &mut Scan) -> TypeSet {
        if normal(member.name()).ends_with(".rels") {
            super::links::relationships(&lure::decode_xml(bytes), part, member.name(), scan);
        }
        if actions::may_have(bytes) {
            let xml = lure::decode_xml(bytes.get(..MAX_TEXT).unwrap_or(bytes));
            markup::tokens(&xml).for_each(|token| self.actions.read(member.name(), token));
        }
        if activex::may_have(bytes) {
            let xml = lure::decode_xml(bytes.get(..MAX_TEXT).unwrap_or(bytes));
            for token in markup::tokens(&xml) {
                self.controls.read(token, part, member.name(), scan);
            }
        }
        if super::links::may_have_fields(bytes) {
            let xml = lure::decode_xml(bytes.get(..MAX_TEXT).unwrap_or(bytes));
            super::links::fields(&xml, part, member.name(), scan);
        }
        super::links::formulas(bytes, part, member.name(), scan);
        if is_named(member, CONTENT_TYPES) {
            self.content_types(&lure::decode_xml(bytes));
        } else if may_hold_text(member, bytes) {
            let xml = lure::decode_xml(bytes.get(..MAX_TEXT).unwrap_or(bytes));
            if !markup::tokens(&xml).find_map(root).is_some_and(|root| WITHOUT_TEXT.contains(&root)) {
                self.is_cut |= bytes.len() > MAX_TEXT;
                let text = text_of(&xml);
                self.look.text(&text);
                self.text.read(&text);
            }
            if has_events(&xml) {
                for token in markup::tokens(&xml) {
                    if let Token::Open(name, attributes) = token {
                        report_event(name, attributes, part, member.name(), scan);
                    }
                }
            }
        }
        // A document in the flat form, with its binary parts in Base64.
        let carries =
            ["binaryData", "binData"].iter().any(|name| memchr::memmem::find(bytes, name.as_bytes()).is_some());
        if carries { filetype::detect(bytes).with(FileType::XmlOffice) } else { TypeSet::EMPTY.with(FileType::Xml) }
    }

    /// Text that does not stand in XML: strings of binary workbooks, text that metafiles draw.
    fn read_binary(&mut self, types: TypeSet, bytes: &[u8]) {
        let text = if types.has(FileType::Emf) { emf::text(bytes) } else { biff12::text(bytes) };
        if !text.is_empty() {
            self.look.text(&text);
            self.text.read(&text);
        }
    }

    fn content_types(&mut self, xml: &str) {
        for token in markup::tokens(xml) {
            let Token::Open(_, attributes) = token else { continue };
            let Some(content_type) = markup::attribute(attributes, "ContentType") else { continue };
            let content_type = content_type.to_ascii_lowercase();
            self.has_macros |= content_type.contains("vbaproject");
            let main = MAIN_TYPES.iter().find(|(name, _)| content_type.contains(name)).map(|(_, t)| *t);
            // Of several, the one with macros counts.
            if main.is_some_and(|main| self.file_type.is_none() || is_macro_enabled(main)) {
                self.file_type = main;
            }
        }
    }

    /// Most lures are one large picture.
    fn note_pictures(&self, part: &Part, archive: &Archive, scan: &mut Scan) {
        if !scan.is_asking() {
            return;
        }
        for (data, size) in &self.pictures {
            let Some(member) = archive.members.iter().find(|member| member.data == *data) else { continue };
            let Some(method) = member.methods.first().copied() else { continue };
            // A deflate stream may be longer than it is said to be.
            let end = data.end.max(data.start.saturating_add(LEAST_PACKED)).min(part.bytes.len());
            let Some(packed) = part.bytes.get(data.start..end) else { continue };
            // A copy: the document itself need not stay in memory.
            let (kept, packed) = (packed.len(), Bytes::copy_from_slice(packed));
            let member = Member { data: 0..data.len(), ..member.clone() };
            let location = member.name().to_owned();
            let content = move |room| match unpack::unpack(&packed, &member, method, room) {
                Content::Whole(bytes) | Content::Damaged(bytes) => Some(bytes),
                _ => None,
            };
            scan.picture(part, &location, *size, kept, Box::new(content));
        }
    }
}

/// Octets of a packed picture that are kept at least.
const LEAST_PACKED: usize = 256 << 10;

/// Content types of main parts (ECMA-376 part 1, 11 to 13; [MS-OFFMACRO] 2.2), lower case, in part.
const MAIN_TYPES: &[(&str, FileType)] = &[
    ("wordprocessingml.document.main", FileType::OoxmlDocx),
    ("ms-word.document.macroenabled.main", FileType::OoxmlDocm),
    ("wordprocessingml.template.main", FileType::OoxmlDotx),
    ("ms-word.template.macroenabledtemplate.main", FileType::OoxmlDotm),
    ("spreadsheetml.sheet.main", FileType::OoxmlXlsx),
    ("ms-excel.sheet.macroenabled.main", FileType::OoxmlXlsm),
    ("ms-excel.sheet.binary.macroenabled.main", FileType::Xlsb),
    ("spreadsheetml.template.main", FileType::OoxmlXltx),
    ("ms-excel.template.macroenabled.main", FileType::OoxmlXltm),
    ("ms-excel.addin.macroenabled.main", FileType::OoxmlXlam),
    ("presentationml.presentation.main", FileType::OoxmlPptx),
    ("ms-powerpoint.presentation.macroenabled.main", FileType::OoxmlPptm),
    ("presentationml.slideshow.main", FileType::OoxmlPpsx),
    ("ms-powerpoint.slideshow.macroenabled.main", FileType::OoxmlPpsm),
    ("presentationml.template.main", FileType::OoxmlPotx),
    ("ms-powerpoint.template.macroenabled.main", FileType::OoxmlPotm),
    ("ms-powerpoint.addin.macroenabled.main", FileType::OoxmlPpam),
];

fn is_macro_enabled(file_type: FileType) -> bool {
    use FileType::{OoxmlDocm, OoxmlDotm, OoxmlPotm, OoxmlPpam, OoxmlPpsm, OoxmlPptm, OoxmlXlam, OoxmlXlsm, OoxmlXltm};
    // An .xlsb may hold macros and mostly does not.
    matches!(
        file_type,
        OoxmlDocm | OoxmlDotm | OoxmlPotm | OoxmlPpam | OoxmlPpsm | OoxmlPptm | OoxmlXlam | OoxmlXlsm | OoxmlXltm
    )
}

fn is_picture(start: &[u8]) -> bool {
    if start.first() == Some(&b'<') {
        return false;
    }
    let types = filetype::detect(start);
    // Metafiles carry text.
    !types.has(FileType::Emf) && types.has_class(Class::Media) && types.iter().all(|t| t.class() == Class::Media)
}

fn is_xml(member: &Member, bytes: &[u8]) -> bool {
    let mark = |b: &u8| matches!(b, 0 | 0xef | 0xbb | 0xbf | 0xff | 0xfe);
    let start = bytes.iter().find(|b| !b.is_ascii_whitespace() && !mark(b));
    let named = || extension(member.name()).is_some_and(|ext| matches!(ext.as_str(), "xml" | "rels" | "vml"));
    start == Some(&b'<') && (named() || filetype::detect(bytes) == TypeSet::EMPTY.with(FileType::Xml))
}

/// Sheets hold numbers by the megabyte and text only where strings stand in line.
fn may_hold_text(member: &Member, xml: &[u8]) -> bool {
    let name = normal(member.name());
    let sheet = name.contains("/worksheets/") || name.contains("/macrosheets/");
    !name.ends_with(".rels") && (!sheet || memchr::memmem::find(xml, b"inlineStr").is_some())
}

/// Roots of parts that are all markup, and often the largest ones. The root tells, since any part
/// may have any name.
const WITHOUT_TEXT: &[&str] =
    &["styles", "styleSheet", "theme", "fonts", "settings", "webSettings", "numbering", "calcChain"];

fn root<'a>(token: Token<'a>) -> Option<&'a str> {
    match token {
        Token::Open(name, _) => Some(name),
        Token::Close(_) | Token::Text(_) => None,
    }
}

/// All text of a part, with the texts that stand in attributes: WordArt and descriptions of pictures.
fn text_of(xml: &str) -> String {
    let mut out = String::with_capacity(xml.len() >> 2);
    let mut attributes_text = String::new();
    for token in markup::tokens(xml) {
        match token {
            Token::Text(text) => out.push_str(&markup::decoded(text)),
            Token::Open(name, attributes) => text_in_attributes(name, attributes, &mut attributes_text),
            Token::Close(_) => {}
        }
    }
    out.push('\n');
    out.push_str(&attributes_text);
    out
}

/// Adds the text that stands in attributes of an element: WordArt, and descriptions of pictures and shapes.
pub(crate) fn text_in_attributes(name: &str, attributes: &str, text: &mut String) {
    let names: &[&str] = match name {
        "textpath" => &["string"],
        "docPr" | "cNvPr" => &["descr", "title"],
        // VML ([MS-OI29500] 2.1.1808 and around).
        "shape" | "rect" | "roundrect" | "oval" | "imagedata" => &["alt", "title"],
        // Headers and footers of sheets have elements, charts and pivots names only.
        _ => return,
    };
    for value in names.iter().filter_map(|name| markup::attribute(attributes, name)) {
        text.push_str(&value);
        text.push('\n');
    }
}

/// Whether XML may name code to be called on opening: most does not.
fn has_events(xml: &str) -> bool {
    EVENTS.iter().any(|mark| memchr::memmem::find(xml.as_bytes(), mark.as_bytes()).is_some())
}

const EVENTS: [&str; 3] = ["onLoad", "docEvents", "eventDoc"];

/// Reports an element that names code to be called on opening: the ribbon's callback ([MS-CUSTOMUI]
/// 2.2.19), and the events for which a document of Word has procedures ([MS-OE376] vbaData).
pub(crate) fn report_event(name: &str, attributes: &str, part: &Part, location: &str, scan: &mut Scan) {
    let evidence = match name {
        "customUI" => match markup::attribute(attributes, "onLoad") {
            Some(callback) if !callback.is_empty() => format!("onLoad={callback}"),
            _ => return,
        },
        _ if name.starts_with("eventDoc") => name.to_owned(),
        _ => return,
    };
    scan.finding(finding::DOCUMENT_EVENT, part, location, &evidence);
}

/// Whether a member becomes a part: what is active, what holds other things, what was embedded.
pub(crate) fn is_worth_a_part(name: &str, types: TypeSet) -> bool {
    const CLASSES: [Class; 8] = [
        Class::Document,
        Class::Archive,
        Class::Unopened,
        Class::Program,
        Class::Script,
        Class::Shortcut,
        Class::DiskImage,
        Class::Message,
    ];
    let plain = types.has(FileType::Xml) || types.has(FileType::Data) || types.has(FileType::Text);
    CLASSES.into_iter().any(|class| types.has_class(class))
        || types.has(FileType::Html)
        || normal(name).contains("embeddings/")
        || plain && extension(name).is_some_and(|ext| SCRIPTS.contains(&ext.as_str()))
}

/// Text that Windows runs by its name.
const SCRIPTS: &[&str] = &[
    "js",
    "jse",
    "vbs",
    "vbe",
    "wsf",
    "wsh",
    "hta",
    "bat",
    "cmd",
    "ps1",
    "psm1",
    "sct",
    "scf",
    "url",
    "reg",
    "inf",
    "com",
    "py",
    "sh",
    "ws",
    "msh",
    "library-ms",
    "search-ms",
    "settingcontent-ms",
    "iqy",
    "slk",
];
