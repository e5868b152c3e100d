//! OpenPGP messages (RFC 9580), armoured and binary: what is only signed or compressed is taken out and
//! looked at; what is encrypted is told. Nothing is verified. Keys and detached signatures are no messages.

use std::borrow::Cow;

use bytes::Bytes;
use flate2::read::{DeflateDecoder, ZlibDecoder};
use memchr::memmem;

use crate::filetype::{Class, FileType};
use crate::finding;
use crate::formats::Format;
use crate::formats::container::{self, Content};
use crate::mime::decode;
use crate::part::{Name, Origin, Part};
use crate::reader::Reader;
use crate::scan::{Child, Scan};

/// OpenPGP messages.
pub const FORMAT: Format = Format { name: "pgp", walled: true, accepts, examine };

/// The first line of an armoured message (RFC 9580 6.2), and of text that is signed in the clear (7).
const ARMOUR: &[u8] = b"-----BEGIN PGP MESSAGE-----";
const ARMOUR_END: &[u8] = b"-----END PGP MESSAGE-----";
/// Messages in one text that are read: more are told as one.
const MAX_MESSAGES: usize = 100;
/// Packets of one message that are looked at, and levels of compression: an honest one has two or three of each.
const MAX_PACKETS: usize = 1000;
const MAX_LEVELS: usize = 4;

// RFC 9580 5: packets.
const KEY_FOR_READER: u8 = 1;
const SIGNATURE: u8 = 2;
const KEY_OF_PASSPHRASE: u8 = 3;
const ONE_PASS_SIGNATURE: u8 = 4;
const COMPRESSED: u8 = 8;
const ENCRYPTED: u8 = 9;
const MARKER: u8 = 10;
const LITERAL: u8 = 11;
const ENCRYPTED_WITH_CHECK: u8 = 18;
const ENCRYPTED_AEAD: u8 = 20;

fn accepts(part: &Part) -> bool {
    let plain = part.types.iter().all(|known| matches!(known.class(), Class::Other | Class::Script));
    part.types.has(FileType::Pgp) || declared(part) || plain && armoured(&part.bytes).next().is_some()
}

fn declared(part: &Part) -> bool {
    part.extensions().any(|extension| matches!(extension.as_str(), "gpg" | "pgp"))
        && part.bytes.first().is_some_and(|first| first & 0x80 != 0)
}

/// Whether `bytes` begin with a packet that begins a message, and that hardly anything else begins like.
pub(crate) fn is_message(bytes: &[u8]) -> bool {
    let Some(first) = Header::read(&mut Reader::new(bytes)) else { return false };
    let body = |at: usize| bytes.get(first.start.saturating_add(at)).copied();
    match first.tag {
        // Versions 3 and 6; the algorithm of the first stands behind a key id of eight octets.
        KEY_FOR_READER => {
            body(0) == Some(3) && matches!(body(9), Some(1..=3 | 16 | 18 | 25 | 26)) || {
                body(0) == Some(6) && matches!(body(1), Some(0 | 21 | 33)) && matches!(body(2), Some(4 | 6))
            }
        }
        KEY_OF_PASSPHRASE => {
            body(0) == Some(4) && matches!(body(1), Some(1..=13)) && matches!(body(2), Some(0 | 1 | 3 | 4))
        }
        // 13 octets: version 3, type, hash, algorithm, key id, one of 0 and 1.
        ONE_PASS_SIGNATURE => first.length == Some(13) && body(0) == Some(3) && matches!(body(12), Some(0 | 1)),
        _ => false,
    }
}

/// What stands between the lines of armour, for each message in a text.
fn armoured(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    memmem::find_iter(text, ARMOUR).filter_map(|at| {
        let begins_line = at.checked_sub(1).is_none_or(|before| matches!(text.get(before), Some(b'\n' | b'\r')));
        begins_line.then(|| text.get(at.saturating_add(ARMOUR.len())..)).flatten()
    })
}

fn examine(part: &Part, scan: &mut Scan) {
    let mut messages = armoured(&part.bytes).peekable();
    if messages.peek().is_none() {
        return message(part.bytes.clone(), part, scan);
    }
    let mut end_of_last = usize::MAX;
    for (nth, text) in messages.enumerate() {
        if nth >= MAX_MESSAGES || scan.stopped() || scan.is_full() {
            return scan.finding(finding::CONTAINER_UNSUPPORTED, part, "", "OpenPGP, more messages than are read");
        }
        // One that is never closed goes to the end of the text, and so do those within it.
        if text.len() > end_of_last {
            continue;
        }
        let end = memmem::find(text, ARMOUR_END).unwrap_or(text.len());
        end_of_last = text.len().saturating_sub(end);
        message(Bytes::from(decode::base64_runs(data_lines(text.get(..end).unwrap_or(text)))), part, scan);
    }
}

/// The text behind the armour's headers (`Version: …`), which an empty line ends, and without its checksum.
fn data_lines(text: &[u8]) -> &[u8] {
    let start = [&b"\n\n"[..], b"\n\r\n", b"\r\r"]
        .iter()
        .filter_map(|empty| Some(memmem::find(text, empty)?.saturating_add(empty.len())))
        .min()
        .unwrap_or_default();
    let data = text.get(start..).unwrap_or_default();
    let end = memmem::find(data, b"\n=").unwrap_or(data.len());
    data.get(..end).unwrap_or(data)
}

/// A packet's header (RFC 9580 4.2).
struct Header {
    tag: u8,
    /// Where the body begins.
    start: usize,
    /// `None`: to the end of the input.
    length: Option<usize>,
    /// The body is the first of several pieces.
    partial: bool,
}

impl Header {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let first = reader.u8().filter(|first| first & 0x80 != 0)?;
        let (tag, (length, partial)) = if first & 0x40 != 0 {
            (first & 0x3f, new_length(reader)?)
        } else {
            let octets = match first & 3 {
                0 => Some(reader.take(1)?),
                1 => Some(reader.take(2)?),
                2 => Some(reader.take(4)?),
                _ => None,
            };
            ((first >> 2) & 0x0f, (octets.map(big_endian), false))
        };
        Some(Self { tag, start: reader.position(), length, partial })
    }
}

fn big_endian(octets: &[u8]) -> usize {
    octets.iter().fold(0, |number: usize, octet| number.saturating_mul(256).saturating_add((*octet).into()))
}

/// RFC 9580 4.2.1: the length, and whether more pieces follow.
fn new_length(reader: &mut Reader<'_>) -> Option<(Option<usize>, bool)> {
    let first = reader.u8()?;
    Some(match first {
        0..=191 => (Some(first.into()), false),
        192..=223 => {
            let high = usize::from(first).saturating_sub(192).saturating_mul(256);
            (Some(high.saturating_add(reader.u8()?.into()).saturating_add(192)), false)
        }
        224..=254 => (1_usize.checked_shl(u32::from(first & 0x1f)), true),
        255 => (Some(big_endian(reader.take(4)?)), false),
    })
}

/// The body of the packet whose header was read, its pieces joined; and whether there was less than its length.
fn body<'a>(header: &Header, reader: &mut Reader<'a>) -> (Cow<'a, [u8]>, bool) {
    let Some(mut length) = header.length else { return (Cow::Borrowed(reader.rest()), false) };
    let mut cut = length > reader.left();
    let mut whole = Cow::Borrowed(reader.take(length.min(reader.left())).unwrap_or_default());
    let mut partial = header.partial;
    while partial && !cut {
        let Some((Some(next), more)) = new_length(reader) else { return (whole, true) };
        (length, partial) = (next, more);
        cut = length > reader.left();
        whole.to_mut().extend_from_slice(reader.take(length.min(reader.left())).unwrap_or_default());
    }
    (whole, cut)
}

/// Looks at the packets of a message; what is compressed comes next.
fn message(bytes: Bytes, part: &Part, scan: &mut Scan) {
    let mut next = vec![bytes];
    for _ in 0..MAX_LEVELS {
        let Some(bytes) = next.pop() else { return };
        packets(&bytes, part, &mut next, scan);
    }
    if !next.is_empty() {
        scan.finding(finding::CONTAINER_UNSUPPORTED, part, "", "OpenPGP, compressed again and again");
    }
}

fn packets(bytes: &[u8], part: &Part, next: &mut Vec<Bytes>, scan: &mut Scan) {
    let mut reader = Reader::new(bytes);
    for _ in 0..MAX_PACKETS {
        if reader.left() == 0 || scan.stopped() || scan.is_full() {
            return;
        }
        let Some(header) = Header::read(&mut reader) else {
            return scan.finding(finding::DAMAGED, part, "", "OpenPGP");
        };
        match header.tag {
            KEY_FOR_READER | KEY_OF_PASSPHRASE | ENCRYPTED | ENCRYPTED_WITH_CHECK | ENCRYPTED_AEAD => {
                return scan.finding(finding::MAIL_ENCRYPTED, part, "", "OpenPGP");
            }
            SIGNATURE | ONE_PASS_SIGNATURE | MARKER | COMPRESSED | LITERAL => {
                let (content, cut) = body(&header, &mut reader);
                if cut {
                    scan.finding(finding::DAMAGED, part, "", "OpenPGP");
                }
                if header.tag == LITERAL {
                    literal(&content, part, scan);
                } else if header.tag == COMPRESSED {
                    next.extend(inflated(&content, part, scan));
                }
            }
            // Keys, user ids, padding: no message.
            _ => drop(body(&header, &mut reader)),
        }
    }
    scan.finding(finding::CONTAINER_UNSUPPORTED, part, "", "OpenPGP, more packets than are read");
}

/// RFC 9580 5.9: format, name, date, content.
fn literal(body: &[u8], part: &Part, scan: &mut Scan) {
    let mut reader = Reader::new(body);
    let read = |reader: &mut Reader<'_>| {
        reader.skip(1)?;
        let length = reader.u8()?;
        let name = String::from_utf8_lossy(reader.take(length.into())?).into_owned();
        reader.skip(4)?;
        Some(name)
    };
    let Some(name) = read(&mut reader) else { return scan.finding(finding::DAMAGED, part, "", "OpenPGP") };
    let content = container::bounded(reader.rest(), body.len() as u64, scan.room());
    container::missing(part, &name, &content, scan);
    let (Content::Whole(bytes) | Content::Head(bytes) | Content::Damaged(bytes)) = content else { return };
    if bytes.is_empty() {
        return;
    }
    // `_CONSOLE` is the name of what must not be saved (RFC 4880 5.9).
    let names = if name.is_empty() || name == "_CONSOLE" { Vec::new() } else { vec![Name::plain(name)] };
    // PGP/MIME encrypts and signs MIME entities (RFC 3156 4).
    let is_entity = bytes.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"content-"));
    let declared = is_entity.then(|| "message/rfc822".to_owned());
    scan.child(part, Origin::Attachment, Child { names, declared, bytes, ..Child::default() });
}

/// RFC 9580 5.6: an algorithm, and packets.
fn inflated(body: &[u8], part: &Part, scan: &mut Scan) -> Option<Bytes> {
    let (algorithm, packed) = body.split_first()?;
    let room = scan.room();
    let content = match algorithm {
        0 => container::bounded(packed, packed.len() as u64, room),
        1 => container::bounded(DeflateDecoder::new(packed), 0, room),
        2 => container::bounded(ZlibDecoder::new(packed), 0, room),
        3 => Content::Unsupported("bzip2".to_owned()),
        other => Content::Unsupported(other.to_string()),
    };
    container::missing(part, "OpenPGP", &content, scan);
    scan.spend(content.size());
    match content {
        Content::Whole(bytes) | Content::Head(bytes) | Content::Damaged(bytes) => Some(bytes),
        Content::Unsupported(_) => None,
    }
}
