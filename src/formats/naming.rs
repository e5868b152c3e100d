//! What the name, the declaration and the content of a file say of each other, and which files
//! carry something that runs without Office (programs, scripts, shortcuts,
//! disk images).
//!
//! Looks at attachments, archive members and what documents embed. What honest mail does every day
//! (a .doc that is RTF, an .xls that is HTML) is no finding.

use crate::filetype::{Class, FileType, TypeSet};
use crate::finding::{self, FindingId};
use crate::formats::{Format, pe};
use crate::part::{Origin, Part, extension};
use crate::scan::Scan;

/// Everything but the mail's own text.
pub const FORMAT: Format = Format { name: "naming", walled: false, accepts, examine };

fn accepts(part: &Part) -> bool {
    matches!(part.origin, Origin::Attachment | Origin::Member | Origin::Embedded)
}

fn examine(part: &Part, scan: &mut Scan) {
    conflict(part, scan);
    for name in &part.names {
        if let Some(trick) = trick(&name.text) {
            scan.finding(finding::NAME_DECEPTIVE, part, "", trick);
        }
    }
    if let Some(extension) = part.extensions().find(|extension| hides(extension, part.types)) {
        let evidence = format!(".{extension}, {}", part.types.main());
        scan.finding(finding::TYPE_MISMATCH, part, "", &evidence);
    }
    if let Some((id, evidence)) = carrier(part) {
        scan.finding(id, part, "", &evidence);
    }
}

/// Several names whose extensions differ: which one counts depends on the reader.
fn conflict(part: &Part, scan: &mut Scan) {
    let extensions = kinds(part);
    if extensions.len() > 1 {
        scan.finding(finding::NAME_CONFLICT, part, "", &extensions.join(", "));
    }
}

/// The extensions of all names. A name without one (a title, a content id) contradicts nobody.
fn kinds(part: &Part) -> Vec<String> {
    let mut kinds: Vec<String> = Vec::new();
    for extension in part.extensions() {
        if !kinds.iter().any(|known| same_kind(known, &extension)) {
            kinds.push(extension);
        }
    }
    kinds
}

/// Spellings of one extension.
fn same_kind(a: &str, b: &str) -> bool {
    const SAME: [[&str; 2]; 5] = [["jpg", "jpeg"], ["htm", "html"], ["tif", "tiff"], ["eml", "msg"], ["txt", "text"]];
    a == b || SAME.iter().any(|pair| pair.contains(&a) && pair.contains(&b))
}

/// How a name deceives, if it does.
fn trick(name: &str) -> Option<&'static str> {
    // Unicode UAX #9 2.1-2.3: embeddings, overrides and isolates turn the end of a name around.
    if name.chars().any(|c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')) {
        return Some("characters that reverse the text");
    }
    let shown = name.trim_matches(['\u{feff}', '\u{200e}', '\u{200f}']);
    if hides_characters(shown) {
        return Some("characters that are not shown");
    }
    let ending = extension(name)?;
    let stem = name.trim_end_matches(|c: char| c == '.' || c.is_whitespace());
    let stem = stem.get(..stem.len().saturating_sub(ending.len().saturating_add(1))).unwrap_or_default();
    if spaces_at_end(stem) >= SPACES {
        return Some("spaces that push the extension out of sight");
    }
    if runs(&ending) && extension(stem).is_some_and(|inner| HARMLESS.contains(&inner.as_str())) {
        return Some("an extension that hides another");
    }
    None
}

/// Blanks before the extension that no typing error makes.
const SPACES: usize = 5;

fn spaces_at_end(stem: &str) -> usize {
    stem.chars().rev().take_while(|c| c.is_whitespace() || matches!(c, '\u{3164}' | '\u{2800}')).count()
}

/// Zero-width characters. The joiners belong to some scripts and to emoji, so they count only
/// between plain letters.
fn hides_characters(name: &str) -> bool {
    let hidden = |c: char| matches!(c, '\u{200b}' | '\u{2060}' | '\u{00ad}' | '\u{feff}' | '\u{180e}');
    let joiner = |c: char| matches!(c, '\u{200c}' | '\u{200d}');
    name.contains(hidden) || (name.contains(joiner) && name.chars().all(|c| c.is_ascii() || joiner(c)))
}

/// Extensions that a person takes for a document or a picture.
const HARMLESS: [&str; 27] = [
    "pdf", "doc", "docx", "docm", "xls", "xlsx", "xlsm", "ppt", "pptx", "rtf", "txt", "csv", "jpg", "jpeg", "png",
    "gif", "bmp", "tif", "tiff", "html", "htm", "mp3", "mp4", "zip", "odt", "ods", "eml",
];

/// Programs by their extension: Windows starts them at a double click.
const PROGRAMS: &[&str] = &[
    "exe",
    "scr",
    "pif",
    "com",
    "cpl",
    "jar",
    "msi",
    "msix",
    "appx",
    "appinstaller",
    "application",
    "gadget",
    "chm",
    "xll",
    "wll",
    "swf",
];
/// Scripts by their extension, also those that carry commands (settings, searches, consoles).
const SCRIPTS: &[&str] = &[
    "js",
    "jse",
    "vbs",
    "vbe",
    "wsf",
    "wsh",
    "wsc",
    "hta",
    "bat",
    "cmd",
    "ps1",
    "psm1",
    "ps1xml",
    "msh",
    "sct",
    "reg",
    "scf",
    "library-ms",
    "search-ms",
    "searchconnector-ms",
    "settingcontent-ms",
    "msc",
    "iqy",
    "dqy",
    "oqy",
    "rqy",
];
/// Shortcuts by their extension.
const SHORTCUTS: &[&str] = &["lnk", "url", "website", "rdp"];
/// Disk images by their extension: Windows mounts them at a double click, and what is in them
/// carries no mark of the web.
const DISK_IMAGES: &[&str] = &["iso", "img", "vhd", "vhdx", "udf"];

/// Whether Windows runs a file with this extension at a double click.
pub(crate) fn runs(extension: &str) -> bool {
    PROGRAMS.contains(&extension) || SCRIPTS.contains(&extension) || SHORTCUTS.contains(&extension)
}

/// Whether a file with this extension is a script or starts one.
pub(crate) fn is_script(extension: &str) -> bool {
    SCRIPTS.contains(&extension) || extension == "lnk"
}

/// What the part carries, by content first, then by any of its names.
fn carrier(part: &Part) -> Option<(FindingId, String)> {
    // What a control plays within a document is no file that anybody would start.
    let played = |t: &FileType| *t == FileType::Swf && part.origin == Origin::Embedded;
    let by_content = part.types.iter().filter(|t| !played(t)).find_map(|t| match t.class() {
        Class::Program => Some((finding::CARRIER_PROGRAM, t)),
        Class::Shortcut => Some((finding::CARRIER_SHORTCUT, t)),
        Class::DiskImage => Some((finding::CARRIER_DISK_IMAGE, t)),
        Class::Script => Some((finding::CARRIER_SCRIPT, t)),
        Class::Message | Class::Document | Class::Archive | Class::Unopened | Class::Media | Class::Other => None,
    });
    if let Some((id, file_type)) = by_content {
        let add_in = Some(file_type).filter(|known| *known == FileType::Pe).and_then(|_| pe::add_in(&part.bytes));
        let evidence = add_in.map_or(file_type.name().to_owned(), |what| format!("{file_type}, {what}"));
        return Some((id, evidence));
    }
    let (id, extension) = part.extensions().find_map(|extension| Some((by_extension(&extension)?, extension)))?;
    // `mail from user@example.com` is no program; one that is has been told by its content.
    let is_address = extension == "com" && part.types.main() != FileType::Data;
    (!is_address).then(|| (id, format!(".{extension}")))
}

/// What a file with this extension carries.
fn by_extension(extension: &str) -> Option<FindingId> {
    [
        (PROGRAMS, finding::CARRIER_PROGRAM),
        (SHORTCUTS, finding::CARRIER_SHORTCUT),
        (SCRIPTS, finding::CARRIER_SCRIPT),
        (DISK_IMAGES, finding::CARRIER_DISK_IMAGE),
    ]
    .into_iter()
    .find_map(|(extensions, id)| extensions.contains(&extension).then_some(id))
}

/// What a member of which only the name can be read carries: an address of a web site is no program.
pub(crate) fn carrier_by_name(name: &str) -> Option<FindingId> {
    extension(name).filter(|extension| extension != "com").and_then(|extension| by_extension(&extension))
}

/// Whether the extension promises something that the content is not, in a way that hides what it is.
fn hides(extension: &str, types: TypeSet) -> bool {
    match extension {
        "jpg" | "jpeg" | "png" | "gif" | "bmp" | "tif" | "tiff" | "ico" | "webp" | "mp3" | "mp4" | "wav" | "avi" => {
            opens(types) && !types.has_class(Class::Media)
        }
        "pdf" => opens(types) && !types.has(FileType::Pdf),
        // Excel workbooks are sent as .csv by programs that only change the name.
        "csv" => opens(types) && !types.has(FileType::Rtf) && !is_workbook(types),
        "txt" | "log" | "ics" | "vcf" | "htm" | "html" | "css" => opens(types) && !types.has(FileType::Rtf),
        // Word, Excel and PowerPoint open each other's formats, RTF, HTML and text under any of
        // their names. A program, a shortcut or an archive there is no habit.
        "doc" | "xls" | "ppt" | "rtf" => starts(types),
        // Office refuses macros under these names, so whoever sends them wants them renamed.
        "docx" | "xlsx" | "pptx" => starts(types) || is_macro_enabled(types),
        _ => false,
    }
}

fn is_workbook(types: TypeSet) -> bool {
    [FileType::OleXls, FileType::Biff, FileType::OoxmlXlsx].iter().any(|t| types.has(*t))
}

fn is_macro_enabled(types: TypeSet) -> bool {
    [FileType::OoxmlDocm, FileType::OoxmlXlsm, FileType::OoxmlPptm, FileType::OoxmlDotm].iter().any(|t| types.has(*t))
}

/// Whether the content is no document, and starts or unpacks.
fn starts(types: TypeSet) -> bool {
    let classes = [Class::Program, Class::Shortcut, Class::DiskImage, Class::Unopened];
    // A document may be a ZIP, but nothing else that is packed.
    let packed = types.iter().any(|t| t.class() == Class::Archive && t != FileType::Zip);
    !types.has_class(Class::Document) && (packed || classes.iter().any(|class| types.has_class(*class)))
}

/// Whether the content is something that opens, starts or unpacks.
fn opens(types: TypeSet) -> bool {
    [Class::Document, Class::Archive, Class::Unopened, Class::Program, Class::Shortcut, Class::DiskImage]
        .iter()
        .any(|class| types.has_class(*class))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::{Name, PartPath};

    fn part(names: &[&str], types: &[FileType]) -> Part {
        Part {
            path: PartPath::root().child(1),
            document: PartPath::root().child(1),
            origin: Origin::Attachment,
            names: names.iter().map(|name| Name::plain(*name)).collect(),
            declared: None,
            bytes: bytes::Bytes::new(),
            types: types.iter().copied().collect(),
            depth: 1,
            span: None,
        }
    }

    #[test]
    fn deceptive_names_are_told() {
        for name in [
            "invoice\u{202e}fdp.exe",
            "a\u{2066}b.doc",
            "invoice.pdf.exe",
            "invoice.pdf .js",
            "photo.jpg.scr.",
            "report.docx          .exe",
            "in\u{200b}voice.doc",
        ] {
            assert!(trick(name).is_some(), "{name:?}");
        }
    }

    #[test]
    fn honest_names_are_no_trick() {
        for name in [
            "invoice.pdf",
            "report.final.docx",
            "v1.2.pdf",
            "jquery.min.js",
            "archive.tar.gz",
            "Re: your mail.eml",
            "請求書 2024.xlsx",
            "👨\u{200d}👩\u{200d}👧.png",
            "a  b.doc",
            "",
            ".",
            "smime.p7s",
        ] {
            assert_eq!(trick(name), None, "{name:?}");
        }
    }

    #[test]
    fn carriers_by_name_or_content() {
        let id = |names: &[&str], types: &[FileType]| carrier(&part(names, types)).map(|(id, _)| id.as_str());
        assert_eq!(id(&["a.exe"], &[FileType::Data]), Some("carrier-program"));
        assert_eq!(id(&["a.pdf"], &[FileType::Pe]), Some("carrier-program"));
        assert_eq!(id(&[], &[FileType::Pe]), Some("carrier-program"));
        assert_eq!(id(&["a.txt", "a.JSE"], &[FileType::Text]), Some("carrier-script"));
        assert_eq!(id(&["a.searchConnector-ms"], &[FileType::Xml]), Some("carrier-script"));
        assert_eq!(id(&["a.url"], &[FileType::Text]), Some("carrier-shortcut"));
        assert_eq!(id(&["a.dat"], &[FileType::Iso]), Some("carrier-disk-image"));
        assert_eq!(id(&["a.img"], &[FileType::Data]), Some("carrier-disk-image"));
        assert_eq!(id(&["example.com"], &[FileType::Text]), None);
        assert_eq!(id(&["a.com"], &[FileType::Data]), Some("carrier-program"));
        assert_eq!(carrier_by_name("a/b.LNK").map(|id| id.as_str()), Some("carrier-shortcut"));
        assert_eq!(carrier_by_name("example.com"), None);
        for name in ["a.ics", "smime.p7s", "signature.asc", "a.xml", "a.html", "a.pdf", "a.docm", "a.zip", "noext"] {
            assert_eq!(id(&[name], &[FileType::Text]), None, "{name}");
        }
    }

    #[test]
    fn a_mismatch_hides_something() {
        let told = |name: &str, types: &[FileType]| hides(&extension(name).unwrap(), types.iter().copied().collect());
        assert!(told("a.jpg", &[FileType::Pe]));
        assert!(told("a.pdf", &[FileType::OleDoc]));
        assert!(told("a.txt", &[FileType::Zip]));
        assert!(told("a.doc", &[FileType::Pe]));
        assert!(told("a.docx", &[FileType::OoxmlDocm, FileType::Ooxml]));
    }

    #[test]
    fn what_honest_mail_does_is_no_mismatch() {
        let quiet = |name: &str, types: &[FileType]| {
            !hides(&extension(name).unwrap_or_default(), types.iter().copied().collect())
        };
        assert!(quiet("a.doc", &[FileType::Rtf]));
        assert!(quiet("a.doc", &[FileType::Html]));
        assert!(quiet("a.doc", &[FileType::OoxmlDocx, FileType::Zip]));
        assert!(quiet("a.xls", &[FileType::Html]));
        assert!(quiet("a.xls", &[FileType::Text]));
        assert!(quiet("a.csv", &[FileType::OoxmlXlsx]));
        assert!(quiet("a.jpg", &[FileType::Png]));
        assert!(quiet("a.jpg", &[FileType::Data]));
        assert!(quiet("a.pdf", &[FileType::Pdf, FileType::Zip]));
        assert!(quiet("a.dat", &[FileType::Zip]));
        assert!(quiet("noext", &[FileType::Pe]));
    }

    #[test]
    fn only_extensions_make_names_conflict() {
        let of = |names: &[&str]| kinds(&part(names, &[FileType::Data])).len();
        assert_eq!(of(&["a.jpg", "b.jpeg", "title"]), 1);
        assert_eq!(of(&["a.txt", "a.docm"]), 2);
    }
}
