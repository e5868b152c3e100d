//! S/MIME (RFC 8551) and signed files (`.p7m`): the Cryptographic Message Syntax (RFC 5652).
//!
//! What is signed, compressed or digested is taken out and looked at; what is encrypted is told. Signatures
//! are not verified. Written in BER as well as DER: indefinite lengths and octet strings in pieces are
//! usual, so [`ber`] reads both, leniently.

pub mod ber;

use std::ops::Range;

use bytes::Bytes;
use flate2::read::ZlibDecoder;
use memchr::memmem;

use crate::filetype::FileType;
use crate::finding;
use crate::formats::Format;
use crate::formats::container::{self, Content};
use crate::mime::{self, decode};
use crate::part::{Name, Origin, Part, extension};
use crate::scan::{Child, Scan};
use ber::{CONTEXT_0, Element, OBJECT_IDENTIFIER, Octets, SEQUENCE};

/// Signed, compressed and encrypted content.
pub const FORMAT: Format = Format { name: "cms", walled: true, accepts, examine };

/// What stands before PKCS #7 and CMS in text (RFC 7468 8 and 9).
const ARMOUR: [&[u8]; 2] = [b"-----BEGIN PKCS7-----", b"-----BEGIN CMS-----"];

/// 1.2.840.113549.1.7, and 1.2.840.113549.1.9.16.1: what all content types begin with (RFC 5652 4, RFC 3274, RFC 5083).
const PKCS7: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07";
const SMIME: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01";

fn accepts(part: &Part) -> bool {
    part.types.has(FileType::Pkcs7) || armoured(&part.bytes).is_some()
}

/// What stands behind the armour's first line.
fn armoured(bytes: &[u8]) -> Option<&[u8]> {
    let head = bytes.get(..4096).unwrap_or(bytes);
    let (start, armour) = ARMOUR.iter().find_map(|armour| Some((memmem::find(head, armour)?, armour)))?;
    bytes.get(start.checked_add(armour.len())?..)
}

/// Where the content stands that becomes a part, if it is neither compressed nor armoured.
pub(crate) fn content_range(bytes: &[u8]) -> Option<Range<usize>> {
    let (kind, rest) = kind(bytes)?;
    match encapsulated(kind, rest) {
        Encapsulated::Octets(element) if kind != Kind::Compressed => {
            let start = (element.content.as_ptr() as usize).checked_sub(bytes.as_ptr() as usize)?;
            Some(start..start.checked_add(element.content.len())?)
        }
        _ => None,
    }
}

/// What a content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Data,
    Signed,
    Enveloped,
    Digested,
    Encrypted,
    Authenticated,
    AuthEnveloped,
    Compressed,
}

impl Kind {
    fn of(identifier: &[u8]) -> Option<Self> {
        if let Some(rest) = identifier.strip_prefix(PKCS7) {
            return match rest {
                [1] => Some(Kind::Data),
                [2] => Some(Kind::Signed),
                // 4: signedAndEnvelopedData of PKCS #7 1.5.
                [3 | 4] => Some(Kind::Enveloped),
                [5] => Some(Kind::Digested),
                [6] => Some(Kind::Encrypted),
                _ => None,
            };
        }
        match identifier.strip_prefix(SMIME)? {
            [2] => Some(Kind::Authenticated),
            [9] => Some(Kind::Compressed),
            [23] => Some(Kind::AuthEnveloped),
            _ => None,
        }
    }

    /// The name in a finding.
    fn name(self) -> &'static str {
        match self {
            Kind::Data => "data",
            Kind::Signed => "signed-data",
            Kind::Enveloped => "enveloped-data",
            Kind::Digested => "digested-data",
            Kind::Encrypted => "encrypted-data",
            Kind::Authenticated => "authenticated-data",
            Kind::AuthEnveloped => "authEnveloped-data",
            Kind::Compressed => "compressed-data",
        }
    }
}

/// What a ContentInfo (RFC 5652 3) says of its content, and what stands behind it: `[0]` and the content.
fn kind(bytes: &[u8]) -> Option<(Kind, &[u8])> {
    let info = Element::read(bytes).filter(|info| info.tag == SEQUENCE)?;
    let identifier = Element::read(info.content).filter(|first| first.tag == OBJECT_IDENTIFIER)?;
    Some((Kind::of(identifier.content)?, info.content.get(identifier.size..)?))
}

fn examine(part: &Part, scan: &mut Scan) {
    let decoded = armoured(&part.bytes).map(|text| {
        let end = memmem::find(text, b"-----END").unwrap_or(text.len());
        Bytes::from(decode::base64_runs(text.get(..end).unwrap_or(text)))
    });
    let bytes = decoded.unwrap_or_else(|| part.bytes.clone());
    let Some((kind, rest)) = kind(&bytes) else {
        return scan.finding(finding::DAMAGED, part, "", "CMS");
    };
    match kind {
        Kind::Enveloped | Kind::Encrypted | Kind::AuthEnveloped => {
            scan.finding(finding::MAIL_ENCRYPTED, part, "", &format!("S/MIME, {}", kind.name()));
        }
        Kind::Data | Kind::Signed | Kind::Digested | Kind::Authenticated | Kind::Compressed => {
            match encapsulated(kind, rest) {
                Encapsulated::Absent => {}
                Encapsulated::Lost => scan.finding(finding::DAMAGED, part, "", kind.name()),
                Encapsulated::Octets(octets) => give(kind, &octets, part, scan),
            }
        }
    }
}

/// The content that a structure carries.
enum Encapsulated<'a> {
    /// None: the signature is of something else (RFC 5652 5.2, detached), or carries certificates only.
    Absent,
    /// It cannot be found.
    Lost,
    /// In pieces.
    Octets(Element<'a>),
}

/// Looks for the EncapsulatedContentInfo (RFC 5652 5.2): a sequence of a content type and, mostly, `[0]`.
fn encapsulated(kind: Kind, rest: &[u8]) -> Encapsulated<'_> {
    let Some(wrapped) = Element::read(rest).filter(|wrapped| wrapped.tag == CONTEXT_0) else {
        return Encapsulated::Absent;
    };
    let Some(inner) = Element::read(wrapped.content) else { return Encapsulated::Lost };
    if kind == Kind::Data {
        return Encapsulated::Octets(inner);
    }
    // The version, the sets of algorithms and the like stand before it: six elements at the most (RFC 5652 9.1).
    let mut at = inner.content;
    for _ in 0..8 {
        let Some(element) = Element::read(at) else { return Encapsulated::Lost };
        let first = Element::read(element.content).filter(|_| element.tag == SEQUENCE);
        // An algorithm is an identifier too: what follows tells them apart.
        if let Some(first) = first.filter(|first| first.tag == OBJECT_IDENTIFIER)
            && (Kind::of(first.content).is_some() || follows_context(&element, first.size))
        {
            let behind = element.content.get(first.size..).unwrap_or_default();
            let Some(explicit) = Element::read(behind).filter(|next| next.tag == CONTEXT_0) else {
                return Encapsulated::Absent;
            };
            return Element::read(explicit.content).map_or(Encapsulated::Lost, Encapsulated::Octets);
        }
        at = at.get(element.size..).unwrap_or_default();
    }
    Encapsulated::Lost
}

fn follows_context(element: &Element<'_>, at: usize) -> bool {
    element.content.get(at) == Some(&CONTEXT_0)
}

/// The content becomes a part: a message if it begins as one (RFC 8551 3.1), else a file with the name it had
/// before it was signed.
fn give(kind: Kind, content: &Element<'_>, part: &Part, scan: &mut Scan) {
    let octets = Octets::of(content);
    let unpacked = if kind == Kind::Compressed {
        // RFC 3274: ZLIB is the only algorithm.
        container::bounded(ZlibDecoder::new(octets), 0, scan.room())
    } else {
        container::bounded(octets, content.content.len() as u64, scan.room())
    };
    container::missing(part, kind.name(), &unpacked, scan);
    let (Content::Whole(bytes) | Content::Head(bytes) | Content::Damaged(bytes)) = unpacked else { return };
    if bytes.is_empty() {
        return;
    }
    // A name without an extension is that of the signature: smime.p7m.
    let stems = part.names.iter().map(|name| stem(&name.text)).filter(|stem| extension(stem).is_some());
    let names = stems.map(Name::plain).collect();
    let declared = begins_with_a_field(&bytes).then(|| "message/rfc822".to_owned());
    scan.child(part, Origin::Attachment, Child { names, declared, bytes, ..Child::default() });
}

/// Whether the first line is a header field of any name.
fn begins_with_a_field(bytes: &[u8]) -> bool {
    let start = bytes.get(..1000).unwrap_or(bytes).trim_ascii_start();
    mime::fields(start).next().is_some_and(|field| field.span.start == 0)
}

/// `report.pdf` of `report.pdf.p7m`.
fn stem(name: &str) -> String {
    const ENDINGS: [&str; 4] = [".p7m", ".p7s", ".p7z", ".p7c"];
    let cut = ENDINGS.iter().find_map(|ending| {
        let at = name.len().checked_sub(ending.len())?;
        name.get(at..).filter(|end| end.eq_ignore_ascii_case(ending))?;
        name.get(..at)
    });
    cut.filter(|stem| !stem.is_empty()).unwrap_or(name).to_owned()
}
