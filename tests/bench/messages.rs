//! The messages of the benchmark, made from nothing, each with unique attachment bytes.

use std::io::{Cursor, Write};

use crate::common::office;
use crate::common::ooxml::{self, Member};
use crate::common::ovba::ModuleKind;

/// Which message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 2 KB of text, no attachment.
    Text,
    /// A 100 KB document without macros.
    Docx,
    /// A 300 KB Word 97 document with an auto-open macro.
    Macro,
    /// The same size as a macro-enabled package.
    Docm,
    /// A 5 MB document without macros.
    Large,
}

impl Kind {
    /// Those of an ordinary size whose name has this in it.
    pub fn small(wanted: &str) -> impl Iterator<Item = Kind> {
        [Kind::Text, Kind::Docx, Kind::Macro, Kind::Docm].into_iter().filter(move |kind| kind.name().contains(wanted))
    }

    /// The large one, if its name has this in it.
    pub fn large(wanted: &str) -> Option<Kind> {
        Some(Kind::Large).filter(|kind| kind.name().contains(wanted))
    }

    pub fn name(self) -> &'static str {
        match self {
            Kind::Text => "2 KB text",
            Kind::Docx => "100 KB docx",
            Kind::Macro => "300 KB doc with macro",
            Kind::Docm => "300 KB docm with macro",
            Kind::Large => "5 MB docx",
        }
    }
}

/// A message whose attachment is made unique per number.
pub struct Template {
    kind: Kind,
    attachment: Vec<u8>,
}

/// Bytes at the end of every attachment that differ per message (a ZIP comment, or slack behind a compound file).
const UNIQUE: usize = 64;

impl Template {
    pub fn new(kind: Kind) -> Self {
        let attachment = match kind {
            Kind::Text => Vec::new(),
            Kind::Docx => package(100, None),
            Kind::Macro => compound(300),
            Kind::Large => package(5000, None),
            Kind::Docm => package(300, Some(office::vba_project(&modules_ref(&modules())))),
        };
        Self { kind, attachment }
    }

    /// The message with this number, CRLF line ends.
    pub fn message(&self, number: usize) -> Vec<u8> {
        let header = format!(
            "From: Sender <sender@example.test>\r\nTo: Recipient <rcpt@example.test>\r\nSubject: message {number}\r\n\
             Date: Fri, 01 Mar 2024 10:00:00 +0000\r\nMessage-ID: <{number}@example.test>\r\nMIME-Version: 1.0\r\n"
        );
        let line = "This is an ordinary line of an ordinary letter, and there are some of its kind.\r\n";
        if self.kind == Kind::Text {
            return format!("{header}Content-Type: text/plain; charset=us-ascii\r\n\r\n{}", line.repeat(22))
                .into_bytes();
        }
        let (name, media_type) = match self.kind {
            Kind::Docx | Kind::Large => {
                ("report.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document")
            }
            Kind::Docm => ("invoice.docm", "application/vnd.ms-word.document.macroEnabled.12"),
            Kind::Macro | Kind::Text => ("invoice.doc", "application/msword"),
        };
        let mut attachment = self.attachment.clone();
        let at = attachment.len() - UNIQUE;
        attachment[at..at + 16].copy_from_slice(format!("{number:016}").as_bytes());
        let encoded = data_encoding::BASE64.encode(&attachment);
        let mut message = format!(
            "{header}Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n{}\r\n--b\r\n\
             Content-Type: {media_type}; name=\"{name}\"\r\nContent-Disposition: attachment; filename=\"{name}\"\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n",
            line.repeat(6)
        )
        .into_bytes();
        for chunk in encoded.as_bytes().chunks(76) {
            message.extend_from_slice(chunk);
            message.extend_from_slice(b"\r\n");
        }
        message.extend_from_slice(b"--b--\r\n");
        message
    }
}

/// 16 KB of ordinary functions and one procedure that would echo when opened.
fn modules() -> Vec<(String, String, ModuleKind)> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut code = "Sub Document_Open()\r\n  Shell \"cmd /c echo benchmark only\", 0\r\nEnd Sub\r\n".to_owned();
    while code.len() < 16 * 1024 {
        let name: String = (0..10).map(|_| random.lowercase()).collect();
        let (a, b) = (random.u16(..), random.u8(..));
        code.push_str(&format!(
            "Function {name}(x)\r\n  If x = {a} Then\r\n    {name} = \"{name}\" + CStr(x * {b})\r\n  End If\r\nEnd Function\r\n"
        ));
    }
    vec![("ThisDocument".to_owned(), code, ModuleKind::Document)]
}

fn modules_ref(modules: &[(String, String, ModuleKind)]) -> Vec<(&str, &str, ModuleKind)> {
    modules.iter().map(|(name, code, kind)| (name.as_str(), code.as_str(), *kind)).collect()
}

fn random_bytes(count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    fastrand::Rng::with_seed(11).fill(&mut bytes);
    bytes
}

fn compound(kilobytes: usize) -> Vec<u8> {
    let document = office::doc_with_macros("Enable content to view this document.", &modules_ref(&modules()));
    let missing = (kilobytes * 1024).saturating_sub(document.len() + 4096);
    let mut file = cfb::CompoundFile::open(Cursor::new(document)).unwrap();
    file.create_stream("/Data").unwrap().write_all(&random_bytes(missing)).unwrap();
    file.flush().unwrap();
    let mut bytes = file.into_inner().into_inner();
    bytes.extend_from_slice(&[0; UNIQUE]);
    bytes
}

fn package(kilobytes: usize, project: Option<Vec<u8>>) -> Vec<u8> {
    let paragraph = "the invoice report payment due quarter plan team figures review order ship date ".repeat(4);
    let paragraphs = vec![paragraph.as_str(); 400];
    let inner = ooxml::word(&paragraphs, project);
    // Unpack and pack again with a stored picture, so that most of the file is incompressible, as in life.
    let mut archive = zip::ZipArchive::new(Cursor::new(inner)).unwrap();
    let names: Vec<String> =
        (0..archive.len()).map(|i| archive.by_index(i).unwrap().name().unwrap().into_owned()).collect();
    let mut members: Vec<Member<'_>> = Vec::new();
    for name in &names {
        let mut bytes = Vec::new();
        std::io::copy(&mut archive.by_name(name).unwrap(), &mut bytes).unwrap();
        members.push(Member { name, bytes });
    }
    let mut picture = b"\xff\xd8\xff\xe0".to_vec();
    picture.extend(random_bytes(kilobytes * 1024 - 12 * 1024));
    members.push(Member { name: "word/media/image1.jpeg", bytes: picture });
    let mut bytes = ooxml::zip(&members);
    // The comment of the archive is what differs.
    let length_at = bytes.len() - 2;
    bytes[length_at..].copy_from_slice(&(UNIQUE as u16).to_le_bytes());
    bytes.extend_from_slice(&[b'U'; UNIQUE]);
    bytes
}
