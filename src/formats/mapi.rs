//! What TNEF and Outlook items have in common: the names of attachments ([MS-OXCMSG] 2.2.2) and
//! compressed rich text ([MS-OXRTFCP]).

use std::io::{self, Read};

use bytes::Bytes;

use crate::formats::container::{self, Content};
use crate::part::{Name, Origin, Part, extension};
use crate::reader::Reader;
use crate::scan::{Child, Scan};

/// Names that one attachment is given at most: long, short, title, two of TNEF itself.
const MAX_NAMES: usize = 8;

/// The names of an attachment, the long one first.
#[derive(Debug, Default)]
pub struct Names(Vec<Name>);

impl Names {
    /// Adds a name that is not there yet. What a short name ([MS-FSCC] 2.1.5.2.1) leaves out of the long
    /// one's extension is no contradiction.
    pub fn add(&mut self, name: Name) {
        let known = self.0.iter().any(|long| long.text == name.text || is_short_for(&name.text, &long.text));
        if !name.text.trim().is_empty() && !known && self.0.len() < MAX_NAMES {
            self.0.push(name);
        }
    }

    /// All of them.
    pub fn into_vec(self) -> Vec<Name> {
        self.0
    }
}

/// Whether `short` is what DOS makes of `long`: `INVOIC~1.DOC` of `invoice of May.docx`.
fn is_short_for(short: &str, long: &str) -> bool {
    let (Some(cut), Some(whole)) = (extension(short), extension(long)) else { return false };
    let stem = short.split('.').next().unwrap_or_default();
    let is_short = stem.chars().count() <= 8 && cut.chars().count() == 3;
    is_short && whole.len() > cut.len() && whole.starts_with(&cut)
}

/// Text of a property in UTF-16, up to its first NUL.
pub fn wide(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2).filter_map(|two| two.try_into().ok().map(u16::from_le_bytes));
    char::decode_utf16(units.take_while(|unit| *unit != 0)).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// What the dictionary begins with ([MS-OXRTFCP] 2.1.3.1.1).
const PRESET: &[u8] = b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx";
/// Octets of the dictionary, which is a ring.
const RING: usize = 4096;
/// COMPTYPE of compressed text, and of text that stands there as it is.
const COMPRESSED: u32 = 0x7546_5A4C;
const UNCOMPRESSED: u32 = 0x414C_454D;

/// Rich text that is read out of its compressed form, as far as it goes. An error where it breaks off.
pub struct RichText<'a> {
    input: Reader<'a>,
    ring: Vec<u8>,
    /// Where the next octet goes.
    at: usize,
    /// What a reference still has to copy: from where, how much.
    copy: (usize, usize),
    /// The bits of the current control octet that are left, and how many.
    control: (u8, u8),
    /// Octets that are still to come by the header's word.
    claimed: u64,
    plain: bool,
    ended: bool,
}

impl<'a> RichText<'a> {
    /// Reads the header ([MS-OXRTFCP] 2.1.3.1.2). `None` if this is no compressed rich text.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let mut input = Reader::new(bytes);
        let (_size, claimed, kind, _crc) = (input.u32()?, input.u32()?, input.u32()?, input.u32()?);
        let mut ring = PRESET.to_vec();
        ring.resize(RING, 0);
        let known = matches!(kind, COMPRESSED | UNCOMPRESSED);
        known.then_some(Self {
            input,
            ring,
            at: PRESET.len(),
            copy: (0, 0),
            control: (0, 0),
            claimed: claimed.into(),
            plain: kind == UNCOMPRESSED,
            ended: false,
        })
    }

    /// How many octets the header promises: a claim.
    pub fn claim(&self) -> u64 {
        self.claimed
    }

    /// The next octet; `None` at the end, or where the input breaks off.
    fn next(&mut self) -> Option<u8> {
        if self.plain {
            return self.input.u8();
        }
        while !self.ended && self.copy.1 == 0 {
            if self.control.1 == 0 {
                self.control = (self.input.u8()?, 8);
            }
            let is_reference = self.control.0 & 1 != 0;
            self.control = (self.control.0 >> 1, self.control.1.saturating_sub(1));
            if !is_reference {
                let octet = self.input.u8()?;
                return Some(self.put(octet));
            }
            // 12 bits of offset and 4 of length, big-endian.
            let [high, low] = [self.input.u8()?, self.input.u8()?];
            let offset = usize::from(u16::from_be_bytes([high, low]) >> 4);
            // 2.1.3.1.4: a reference to where the next octet goes is the end.
            self.ended = offset == self.at;
            self.copy = (offset, usize::from(low & 0x0f).saturating_add(2));
        }
        if self.ended {
            return None;
        }
        let octet = self.ring.get(self.copy.0).copied().unwrap_or_default();
        self.copy = (self.copy.0.saturating_add(1) % RING, self.copy.1.saturating_sub(1));
        Some(self.put(octet))
    }

    fn put(&mut self, octet: u8) -> u8 {
        if let Some(place) = self.ring.get_mut(self.at) {
            *place = octet;
        }
        self.at = self.at.saturating_add(1) % RING;
        octet
    }
}

impl Read for RichText<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut count = 0_usize;
        for place in out.iter_mut() {
            let Some(octet) = self.next() else { break };
            *place = octet;
            count = count.saturating_add(1);
        }
        self.claimed = self.claimed.saturating_sub(count as u64);
        // Less than promised, and no mark of an end: it was cut.
        if count == 0 && !out.is_empty() && self.claimed > 0 && !self.ended {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(count)
    }
}

/// Compressed rich text becomes a part of the item it belongs to.
pub fn rich_text(compressed: &[u8], part: &Part, scan: &mut Scan) {
    const NAME: &str = "PidTagRtfCompressed";
    let Some(text) = RichText::new(compressed) else {
        // Nobody can show it. Deleted streams that are still listed are like that.
        let bytes = Bytes::copy_from_slice(compressed);
        if !bytes.is_empty() {
            scan.child(part, Origin::Embedded, Child { bytes, ..Child::default() });
        }
        return;
    };
    let claim = text.claim();
    let content = container::bounded(text, claim, scan.room());
    container::missing(part, NAME, &content, scan);
    let (Content::Whole(bytes) | Content::Head(bytes) | Content::Damaged(bytes)) = content else { return };
    if !bytes.is_empty() {
        scan.child(part, Origin::Embedded, Child { bytes, ..Child::default() });
    }
}

/// The name in `bytes`, up to a NUL and behind the last separator of folders; `decode` knows the code page.
pub fn narrow(bytes: &[u8], decode: impl Fn(&[u8]) -> String) -> Name {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    let decoded = decode(text);
    let raw = decoded.contains(char::REPLACEMENT_CHARACTER).then(|| text.to_vec());
    Name { text: base(&decoded).to_owned(), raw }
}

/// What stands behind the last separator of folders.
pub fn base(path: &str) -> &str {
    path.rsplit(['\\', '/']).next().unwrap_or(path)
}

/// An octet string without its last NULs.
pub fn trimmed(bytes: &Bytes) -> Bytes {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at.saturating_add(1));
    bytes.slice(..end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::container::bounded;

    /// [MS-OXRTFCP] 3.1.1: the specification's own examples.
    const SIMPLE: &[u8] = b"\x2d\0\0\0\x2b\0\0\0\x4c\x5a\x46\x75\xf1\xc5\xc7\xa7\x03\0\x0a\0\x72\x63\x70\x67\x31\x32\x35\x42\x32\x0a\xf3\x20\x68\x65\x6c\x09\0\x20\x62\x77\x05\xb0\x6c\x64\x7d\x0a\x80\x0f\xa0";
    const CROSSING: &[u8] =
        b"\x1a\0\0\0\x1c\0\0\0\x4c\x5a\x46\x75\xe2\xd4\x4b\x51\x41\0\x04\x20\x57\x58\x59\x5a\x0d\x6e\x7d\x01\x0e\xb0";

    fn read(bytes: &[u8], room: u64) -> Content {
        let text = RichText::new(bytes).unwrap();
        let claim = text.claim();
        bounded(text, claim, room)
    }

    #[test]
    fn the_examples_of_the_specification_are_read() {
        let whole = |text: &'static [u8]| Content::Whole(Bytes::from_static(text));
        assert_eq!(read(SIMPLE, 1000), whole(b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"));
        assert_eq!(read(CROSSING, 1000), whole(b"{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}"));
        let plain = [&b"\x10\0\0\0\x04\0\0\0MELA\0\0\0\0"[..], b"{\\rt"].concat();
        assert_eq!(read(&plain, 1000), whole(b"{\\rt"));
    }

    #[test]
    fn what_is_cut_gives_what_it_has() {
        assert_eq!(PRESET.len(), 207);
        assert!(
            matches!(read(&SIMPLE[..30], 1000), Content::Damaged(bytes) if bytes.starts_with(b"{\\rtf1\\ansi\\ans"))
        );
        for (room, whole) in [(42, false), (43, true), (44, true)] {
            assert_eq!(matches!(read(SIMPLE, room), Content::Whole(_)), whole, "{room}");
        }
        assert!(RichText::new(b"").is_none() && RichText::new(&[0; 16]).is_none());
        assert_eq!(read(&[&SIMPLE[..16], &[0xff; 1000]].concat(), 100_000).size() % 17, 0);
    }

    #[test]
    fn a_short_name_does_not_contradict_the_long_one() {
        let of = |all: &[&str]| {
            let mut names = Names::default();
            all.iter().for_each(|name| names.add(Name::plain(*name)));
            names.into_vec().len()
        };
        assert_eq!(of(&["invoice of May.docm", "INVOIC~1.DOC", "invoice of May.docm"]), 1);
        assert_eq!(of(&["a.txt", "a.exe"]), 2);
        assert_eq!(of(&["", " "]), 0);
    }
}
