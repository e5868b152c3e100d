//! Files that a page or a script carries in its own text and hands to whoever opens it: HTML smuggling (MITRE ATT&CK
//! T1027.006). On its way through the mail there is no such file; the browser of the reader makes it.
//!
//! Nothing is run: what can be a file among the strings of the text is decoded (`strings`) and becomes a part.

mod strings;

use std::borrow::Cow;
use std::cell::LazyCell;

use bytes::Bytes;
use memchr::memmem;

use self::strings::Found;
use crate::filetype::{Class, FileType, TypeSet};
use crate::finding;
use crate::formats::{Format, naming};
use crate::limits::Limit;
use crate::part::{Name, Origin, Part, extension};
use crate::scan::{Child, Scan};

/// Pages and scripts with files in their strings.
pub const FORMAT: Format = Format { name: "smuggling", walled: true, accepts, examine };

/// Files that are taken out of one text at most; more are told.
const MAX_FOUND: usize = 100;
/// Places that are looked at for a name.
const MAX_NAMED: usize = 20;
/// Octets in which the name of a file follows the word for it.
const NEAR: usize = 80;
/// Octets of a file's name.
const MAX_NAME: usize = 200;

/// What a page or a script says, lower case, that makes a file of a string.
const MAKES_FILES: &[&[u8]] = &[
    b"createobjecturl",
    b"mssaveoropenblob",
    b"mssaveblob",
    b"saveas(",
    b"download",
    b"data:application/",
    b"atob(",
    b"adodb.stream",
    b"frombase64string",
    b"-decode",
];

/// What stands before the name that the file is given, lower case.
const NAMES_FILES: &[&[u8]] = &[b"download", b"mssaveoropenblob", b"mssaveblob", b"saveas(", b"filename"];

fn accepts(part: &Part) -> bool {
    // The text of the mail itself runs nothing; what has a structure of its own is taken apart by it.
    let structured = [FileType::Pkcs7, FileType::Pgp, FileType::Data].iter().any(|known| part.types.has(*known));
    let plain = || part.types.iter().all(|known| matches!(known.class(), Class::Other | Class::Script));
    part.origin != Origin::Body && !structured && part.bytes.len() >= strings::MIN_OCTETS && plain()
}

fn examine(part: &Part, scan: &mut Scan) {
    let text = plain(&part.bytes);
    let lower = LazyCell::new(|| text.to_ascii_lowercase());
    let name = LazyCell::new(|| given_name(&text, &lower));
    let (mut count, mut handed_out) = (0_usize, None);
    for Found { bytes, types } in strings::files(&text) {
        if scan.stopped() || scan.is_full() {
            break;
        }
        // What is shown in the page itself is no file that anybody opens.
        let opened = opened(types);
        if opened.is_none() && !(types.has(FileType::Html) || types.has(FileType::Pdf) || runs(types, name.as_deref()))
        {
            continue;
        }
        if count == MAX_FOUND {
            scan.limit(part, Limit::Files);
            break;
        }
        count = count.saturating_add(1);
        handed_out = handed_out.or(opened).or(runs(types, name.as_deref()).then_some(FileType::Script));
        let room = usize::try_from(scan.room()).unwrap_or(usize::MAX);
        if bytes.len() > room {
            scan.limit(part, Limit::FileSize);
        }
        let bytes = Bytes::from(bytes);
        let names = name.iter().map(Name::plain).collect();
        let child = Child { names, bytes: bytes.slice(..bytes.len().min(room)), ..Child::default() };
        scan.child(part, Origin::Member, child);
    }
    if let Some(known) = handed_out.filter(|_| MAKES_FILES.iter().any(|word| memmem::find(&lower, word).is_some())) {
        let shown = name.as_ref().map_or(known.name().to_owned(), |name| format!("{name}, {}", known.name()));
        scan.finding(finding::HTML_SMUGGLING, part, "", &shown);
    }
}

/// UTF-16 is read by its low octets.
fn plain(bytes: &[u8]) -> Cow<'_, [u8]> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        Cow::Owned(bytes.iter().copied().filter(|byte| *byte != 0).collect())
    } else {
        Cow::Borrowed(bytes)
    }
}

/// What a reader would open, with what it starts: no page hands out documents and archives from its own text without
/// a reason.
fn opened(types: TypeSet) -> Option<FileType> {
    use Class::{Archive, DiskImage, Document, Program, Script, Shortcut, Unopened};
    let classes = [Archive, DiskImage, Document, Program, Script, Shortcut, Unopened];
    types.iter().find(|known| classes.contains(&known.class()) && *known != FileType::Pdf)
}

/// Whether a text is a script by the name that it is given.
fn runs(types: TypeSet, name: Option<&str>) -> bool {
    types.has(FileType::Text) && name.and_then(extension).is_some_and(|extension| naming::runs(&extension))
}

/// The name under which the text hands out its file: the first string with an extension behind a word for it.
fn given_name(text: &[u8], lower: &[u8]) -> Option<String> {
    NAMES_FILES.iter().find_map(|word| {
        memmem::find_iter(lower, word).take(MAX_NAMED).find_map(|at| {
            let behind = text.get(at.saturating_add(word.len())..)?;
            let near = behind.get(..NEAR).unwrap_or(behind);
            let quotes = memchr::memchr3_iter(b'"', b'\'', b'`', near);
            quotes.filter_map(|quote| file_name(behind.get(quote..)?)).next()
        })
    })
}

/// The string that begins with this quote, if it can be a file's name.
fn file_name(quoted: &[u8]) -> Option<String> {
    let (quote, rest) = quoted.split_first()?;
    let end = memchr::memchr(*quote, rest.get(..MAX_NAME).unwrap_or(rest))?;
    let name = String::from_utf8_lossy(rest.get(..end)?).trim().to_owned();
    let odd = |c: char| c.is_control() || matches!(c, '<' | '>' | ':' | '/' | '\\' | '"' | '(' | ';' | '|' | '*' | '?');
    (!name.contains(odd) && extension(&name).is_some_and(|extension| extension.len() <= 5)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Option<String> {
        given_name(text.as_bytes(), text.to_ascii_lowercase().as_bytes())
    }

    #[test]
    fn names_as_pages_give_them() {
        for (text, expected) in [
            ("<a download=\"report.zip\" href=x>", Some("report.zip")),
            ("a.download = '請求書.iso';", Some("請求書.iso")),
            ("a.setAttribute(\"download\", \"scan 1.img\")", Some("scan 1.img")),
            ("navigator.msSaveOrOpenBlob(blob, `a.js`)", Some("a.js")),
            ("var fileName = \"x.lnk\"; a.download = fileName", Some("x.lnk")),
            ("a.download = name", None),
            ("please download \"the manual\" at \"http://example.com/a.pdf\"", None),
        ] {
            assert_eq!(name(text).as_deref(), expected, "{text}");
        }
    }
}
