//! PDF (ISO 32000-2): the files that are embedded in it, also in one that is closed with a password.
//!
//! Objects are looked for in the whole file (`document`), whatever its cross-reference table says. Object streams
//! and embedded files are decrypted and unpacked; pages, fonts and pictures are not. What a document does when it is
//! opened is not judged here: `Document::read` shows every object to whoever looks for that.

mod crypt;
mod document;
mod files;
mod filter;
mod lexer;
mod object;
mod stream;
mod text;

use self::crypt::{Attempt, Lock, Scheme, What};
use self::document::Document;
use self::files::Found;
use self::stream::{Nothing, Reader, Reading};
use crate::filetype::FileType;
use crate::finding;
use crate::formats::container;
use crate::formats::{Format, naming};
use crate::limits::Limit;
use crate::part::{Name, Part};
use crate::scan::Scan;

/// PDF.
pub const FORMAT: Format = Format { name: "pdf", walled: true, accepts, examine };

/// Names without which nothing is embedded, closed or out of sight.
const KEYS: [&[u8]; 4] = [b"EF", b"EmbeddedFile", b"ObjStm", b"Encrypt"];
/// Octets of such a name, if each is written as three.
const LONGEST: usize = 40;
/// What tells of encryption, by its name in the standard.
const MARK: &str = "Encrypt";

fn accepts(part: &Part) -> bool {
    part.types.has(FileType::Pdf) && is_worth_it(&part.bytes)
}

/// Whether there is anything to open: one pass over the names of a document.
fn is_worth_it(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'/', bytes).any(|slash| {
        let behind = bytes.get(slash.saturating_add(1)..).unwrap_or_default();
        matches!(behind.first(), Some(b'E' | b'O' | b'#')) && {
            let (name, _) = lexer::name(behind.get(..LONGEST).unwrap_or(behind));
            KEYS.contains(&name.as_slice())
        }
    })
}

fn examine(part: &Part, scan: &mut Scan) {
    let most = usize::try_from(scan.limits().max_files.saturating_mul(10)).unwrap_or(usize::MAX);
    let mut found = Found::new(most);
    let mut document = Document::read(&part.bytes, &mut |indirect| found.see(indirect));
    let mut reader = Reader::new(part.bytes.len());
    let mut closed = Vec::new();
    for lock in crypt::locks(&document) {
        match open(&lock, &mut reader, part, scan) {
            Opening::Open => {}
            Opening::Closed => closed.push(lock),
            // The scan tells that itself.
            Opening::Stopped => return,
        }
    }
    // What was tried on one tells nothing of what is tried on another.
    let untried = scan.take_untried_passwords();
    reader.is_closed = !closed.is_empty();
    unfold(&mut document, &mut found, &mut reader, part, scan);
    if document.is_cut() || found.is_cut {
        scan.finding(finding::LIMIT_EXCEEDED, part, "", "more objects of a PDF than are read");
    }
    let locked = found.give(part, &document, &mut reader, scan);
    for lock in &closed {
        remains(lock, &locked, untried, part, scan);
    }
}

/// Looks into the object streams (7.5.7).
fn unfold(document: &mut Document, found: &mut Found, reader: &mut Reader, part: &Part, scan: &mut Scan) {
    for container in std::mem::take(&mut found.containers) {
        if scan.stopped() {
            break;
        }
        let name = format!("object stream {}", container.place.number);
        let readings = match reader.read(&container, What::Stream, document, scan) {
            Ok(readings) => readings,
            Err(Nothing::Closed) => continue,
            Err(Nothing::Spent) => {
                let evidence = "streams of a PDF that stand within each other";
                scan.finding(finding::LIMIT_EXCEEDED, part, &name, evidence);
                break;
            }
        };
        for Reading { content, .. } in readings {
            container::missing(part, &name, &content, scan);
            scan.spend(content.size());
            if let Some(bytes) = content.bytes().filter(|bytes| !bytes.is_empty()) {
                document.unfold(&container, bytes.clone(), &mut |indirect| found.see(indirect));
            }
        }
        if scan.room() == 0 {
            scan.limit(part, Limit::ScanSize);
            break;
        }
    }
    document.settle();
}

/// What came of a lock.
enum Opening {
    Open,
    Closed,
    Stopped,
}

fn open(lock: &Lock, reader: &mut Reader, part: &Part, scan: &mut Scan) -> Opening {
    match lock {
        Lock::Known(scheme) => match crypt::attempt(scheme, scan) {
            Attempt::Opened(key, is_told) => {
                if is_told {
                    scan.finding(finding::DOCUMENT_PASSWORD_OPENED, part, MARK, MARK);
                    scan.learn_opened(part);
                }
                reader.keys.push((key, is_told));
                return Opening::Open;
            }
            Attempt::Refused => {}
            Attempt::Limited => {
                let evidence = format!("{MARK}: rounds of hashing for passwords");
                scan.finding(finding::LIMIT_EXCEEDED, part, MARK, &evidence);
            }
            Attempt::Stopped => return Opening::Stopped,
        },
        Lock::Unknown(how) => {
            scan.finding(finding::CONTAINER_UNSUPPORTED, part, MARK, &format!("{MARK}: {how}"));
        }
        Lock::Handler(_) | Lock::Unreadable => {}
    }
    Opening::Closed
}

/// Says that a document stays closed, and what the names of files in it say, where they are open.
fn remains(lock: &Lock, names: &[String], untried: bool, part: &Part, scan: &mut Scan) {
    let (evidence, is_for_passwords) = match lock {
        Lock::Handler(name) => (format!("{MARK}: {name}"), false),
        // That was told.
        Lock::Unknown(_) => return,
        Lock::Known(scheme) => {
            carriers(scheme, names, part, scan);
            (MARK.to_owned(), true)
        }
        Lock::Unreadable => (MARK.to_owned(), true),
    };
    let is_told = scan.password_told() && is_for_passwords;
    let id = if is_told { finding::DOCUMENT_ENCRYPTED_TOLD } else { finding::DOCUMENT_ENCRYPTED };
    scan.finding(id, part, "", &evidence);
    if untried && is_for_passwords {
        scan.finding(finding::PASSWORDS_UNTRIED, part, "", "");
    }
}

fn carriers(scheme: &Scheme, names: &[String], part: &Part, scan: &mut Scan) {
    for name in names.iter().filter(|_| scheme.names_are_plain()) {
        scan.learn_closed(part, &[Name::plain(name.as_str())]);
        if let Some(id) = naming::carrier_by_name(name) {
            scan.finding(id, part, name, name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_nothing_is_passed_over() {
        for text in ["%PDF-1.7 /Type/Page", "/Endless /Object /EFx /E#46x /EmbeddedFiles ", "EF", "/", "/#", ""] {
            assert!(!is_worth_it(text.as_bytes()), "{text}");
        }
        let escaped = "/#45#6d#62#65#64#64#65#64#46#69#6c#65/";
        for text in ["a/EF<<", "/E#46 5", "/#45#46", "/Type/ObjStm>>", "/Encrypt 5 0 R", "/EmbeddedFile", escaped] {
            assert!(is_worth_it(text.as_bytes()), "{text}");
        }
    }
}
