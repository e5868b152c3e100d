//! BinHex 4.0 (RFC 1741 appendix A): what Macintoshes sent as text. Six bits a character between colons,
//! runs of octets, then a header and two forks.

use std::io::{self, Read};

use memchr::{memchr, memmem};

use crate::reader::Reader;

/// What stands before the file, in a line of its own.
const MARK: &[u8] = b"(This file must be converted with BinHex";

/// The value of each character, or 0xff.
const SEXTETS: [u8; 256] = {
    let mut table = [0xff; 256];
    let alphabet = b"!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr";
    let mut value = 0;
    #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
    while value < alphabet.len() {
        table[alphabet[value] as usize] = value as u8;
        value += 1;
    }
    table
};

/// Where the files in `text` begin: behind the colon that follows the mark in a new line.
pub fn starts(text: &[u8]) -> impl Iterator<Item = usize> {
    // Up to 4,096 octets of other lines: some writers say there what it is.
    memmem::find_iter(text, MARK).filter_map(|mark| {
        let behind = text.get(mark..mark.saturating_add(4096)).or_else(|| text.get(mark..))?;
        let line = memchr(b'\n', behind).or_else(|| memchr(b'\r', behind))?;
        let colon = memchr(b':', behind.get(line..)?)?;
        mark.checked_add(line)?.checked_add(colon)?.checked_add(1)
    })
}

/// The octets that a text stands for, runs unfolded. Characters that do not belong are passed over; a
/// colon ends it.
pub struct Decoder<'a> {
    text: std::slice::Iter<'a, u8>,
    bits: u32,
    count: u8,
    last: u8,
    repeat: u8,
}

impl<'a> Decoder<'a> {
    /// Reads `text` from behind the first colon on.
    pub fn new(text: &'a [u8]) -> Self {
        Self { text: text.iter(), bits: 0, count: 0, last: 0, repeat: 0 }
    }

    /// The next octet, runs still folded.
    fn octet(&mut self) -> Option<u8> {
        while self.count < 8 {
            let character = self.text.next()?;
            if *character == b':' {
                self.text = [].iter();
                return None;
            }
            let value = SEXTETS.get(usize::from(*character)).copied().unwrap_or(0xff);
            if value != 0xff {
                self.bits = (self.bits << 6) | u32::from(value);
                self.count = self.count.saturating_add(6);
            }
        }
        self.count = self.count.saturating_sub(8);
        let octet = self.bits.checked_shr(self.count.into())? & 0xff;
        u8::try_from(octet).ok()
    }

    fn next(&mut self) -> Option<u8> {
        const RUN: u8 = 0x90;
        loop {
            if self.repeat > 0 {
                self.repeat = self.repeat.saturating_sub(1);
                return Some(self.last);
            }
            let octet = self.octet()?;
            if octet != RUN {
                self.last = octet;
                return Some(octet);
            }
            match self.octet()? {
                0 => {
                    self.last = RUN;
                    return Some(RUN);
                }
                // The octet itself stands there already.
                times => self.repeat = times.saturating_sub(1),
            }
        }
    }
}

impl Read for Decoder<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut count = 0_usize;
        for place in out.iter_mut() {
            let Some(octet) = self.next() else { break };
            *place = octet;
            count = count.saturating_add(1);
        }
        Ok(count)
    }
}

/// A file with its forks.
#[derive(Debug, PartialEq, Eq)]
pub struct File<'a> {
    /// As it stands there.
    pub name: &'a [u8],
    /// The data fork.
    pub data: &'a [u8],
    /// The resource fork.
    pub resources: &'a [u8],
    /// It has fewer octets than its header says.
    pub damaged: bool,
}

impl<'a> File<'a> {
    /// Reads the decoded octets. Checksums are not looked at: what does not match is looked at all the same.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let length = reader.u8()?;
        let name = reader.take(length.into())?;
        // Version, type, creator, flags.
        reader.skip(11)?;
        let [data_size, resource_size] = [reader.u32()?, reader.u32()?].map(|size| size.swap_bytes() as usize);
        reader.skip(2)?;
        let data = reader.take(data_size.min(reader.left()))?;
        reader.skip(2.min(reader.left()))?;
        let resources = reader.take(resource_size.min(reader.left()))?;
        let damaged = data.len() < data_size || resources.len() < resource_size;
        Some(Self { name, data, resources, damaged })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Decoder::new(text).read_to_end(&mut out).unwrap();
        out
    }

    #[test]
    fn runs_are_unfolded() {
        // 0x61 0x90 0x04 0x90 0x00 0x62
        assert_eq!(decoded(b"BC!%C\"")[..4], *b"aaaa".first_chunk::<4>().unwrap());
        assert_eq!(decoded(b":rubbish"), b"");
    }

    #[test]
    fn a_file_starts_behind_the_mark() {
        let text = b"Hi\r\n(This file must be converted with BinHex 4.0)\r\n\r\n:abc:\r\n";
        assert_eq!(starts(text).map(|at| &text[at..at + 3]).collect::<Vec<_>>(), [b"abc"]);
        assert_eq!(starts(b"(This file must be converted with BinHex 4.0): no").count(), 0);
    }

    #[test]
    fn lying_sizes_give_what_is_there() {
        let file = [&b"\x01a\0TEXTttxt\0\0"[..], &[0xff; 8], b"\0\0data"].concat();
        let read = File::read(&file).unwrap();
        assert_eq!((read.name, read.data, read.damaged), (&b"a"[..], &b"data"[..], true));
        assert_eq!(File::read(b"\xff"), None);
    }
}
