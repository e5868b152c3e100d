//! The methods of RAR 1.5 to 7, by the codecs of the `rars` crate. A solid archive's members are decoded one after the
//! other by the same decoder.
//!
//! What a member claims of memory is looked at before it is decoded. What no claim tells at the start is bounded by the
//! worker alone, which is killed then: a model of PPMd that a later block or member of RAR 3 asks for, and the programs (filters) that
//! a member of RAR 3 brings, of which `rars` knows the six that RAR writes and interprets others, each for 25 million steps
//! at most, and 8,192 of them.

use std::io::{self, Write};

use rars::codec::rar13::Unpack15;
use rars::codec::rar20::Unpack20;
use rars::codec::rar29::Unpack29;
use rars::codec::rar50::{DecodedChunk, Unpack50Decoder};

use super::entry::{Entry, Method};
use crate::formats::compress::{MAX_DICTIONARY, MAX_MODEL};
use crate::formats::container::Content;
use crate::scan::Stop;

/// Octets of a window of RAR 5 and 7: those that come out fill it, whatever the header claims.
const MAX_WINDOW: u64 = MAX_DICTIONARY as u64;

/// Decoders that remember what was decoded before.
#[derive(Clone, Default)]
pub struct Unpacker {
    one: Option<Box<Unpack15>>,
    two: Option<Box<Unpack20>>,
    three: Option<Box<Unpack29>>,
    five: Option<Box<Unpack50Decoder>>,
    /// Octets that came out so far, to which what follows may refer.
    seen: u64,
}

impl Unpacker {
    /// What is packed, at most `room` octets of it.
    pub fn unpack(&mut self, entry: &Entry, packed: &[u8], room: u64, stop: &Stop) -> Content {
        // Where the size is not known, decoding goes on to the end of what is packed.
        let size = entry.size.unwrap_or(room.saturating_add(1));
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let mut sink = Sink { out: Vec::new(), room, is_full: false, stop };
        if !entry.is_solid {
            *self = Self::default();
        }
        // Nothing that is given here lies further back than what came out: memory grows with that.
        let reach = self.seen.saturating_add(room.min(size as u64));
        let is_right = match &entry.method {
            Method::One => {
                let decoder = self.one.get_or_insert_with(|| Box::new(Unpack15::new()));
                decoder.decode_member_to(packed, size, entry.is_solid, &mut sink).is_ok()
            }
            Method::Two => {
                let decoder = self.two.get_or_insert_with(|| Box::new(Unpack20::new()));
                decoder.decode_member_to(packed, size, &mut sink).is_ok()
            }
            Method::Three if !entry.is_solid && model(packed) > MAX_MODEL => {
                return Content::Unsupported(format!("a PPMd model larger than {} MiB", MAX_MODEL >> 20));
            }
            Method::Three => {
                let decoder = self.three.get_or_insert_with(|| Box::new(Unpack29::new()));
                decoder.decode_member_to(packed, size, &mut sink).is_ok()
            }
            Method::Five { dictionary, .. } if *dictionary > MAX_WINDOW && reach > MAX_WINDOW => {
                return Content::Unsupported(format!("needs {} MiB of memory to unpack", dictionary >> 20));
            }
            Method::Five { tables, dictionary } => {
                let window = usize::try_from((*dictionary).min(MAX_WINDOW)).unwrap_or(usize::MAX);
                let decoder = self.five.get_or_insert_with(|| Box::new(Unpack50Decoder::new()));
                let mut input = packed;
                let into = |chunk: DecodedChunk<'_>| match chunk {
                    DecodedChunk::Bytes(bytes) => sink.write_all(bytes),
                    DecodedChunk::Repeated { byte, len } => sink.repeat(byte, len),
                };
                decoder
                    .decode_member_from_reader_with_dictionary_to_sink(
                        &mut input,
                        *tables,
                        size,
                        window,
                        entry.is_solid,
                        into,
                    )
                    .is_ok()
            }
            Method::Stored => sink.write_all(packed).is_ok(),
            Method::Unknown(method) => return Content::Unsupported(method.clone()),
        };
        self.seen = self.seen.saturating_add(sink.out.len() as u64);
        match (is_right, sink.is_full) {
            (_, true) => Content::Head(sink.out.into()),
            (true, false) => Content::Whole(sink.out.into()),
            (false, false) => Content::Damaged(sink.out.into()),
        }
    }
}

/// Octets of the model that the first block of RAR 3 asks for, if it is one of PPMd: they are counted in MiB.
fn model(packed: &[u8]) -> u32 {
    match packed {
        [first, more, ..] if first & 0xa0 == 0xa0 => u32::from(*more).saturating_add(1) << 20,
        _ => 0,
    }
}

/// Takes what is decoded, as much as there is room for.
struct Sink<'a> {
    out: Vec<u8>,
    room: u64,
    is_full: bool,
    stop: &'a Stop,
}

impl Sink<'_> {
    /// How many of `size` octets fit.
    fn fit(&mut self, size: usize) -> io::Result<usize> {
        if self.stop.stopped() {
            return Err(io::Error::from(io::ErrorKind::Other));
        }
        let left = usize::try_from(self.room).unwrap_or(usize::MAX).saturating_sub(self.out.len());
        self.is_full |= size > left;
        Ok(size.min(left))
    }

    fn repeat(&mut self, octet: u8, size: usize) -> io::Result<()> {
        let fit = self.fit(size)?;
        self.out.resize(self.out.len().saturating_add(fit), octet);
        if self.is_full { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(()) }
    }
}

impl Write for Sink<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let fit = self.fit(octets.len())?;
        self.out.extend_from_slice(octets.get(..fit).unwrap_or_default());
        if self.is_full { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(octets.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
