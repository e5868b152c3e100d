//! The methods of RAR 2 to 7, by the codecs of the `rars` crate. A solid archive's members are decoded one after the
//! other by the same decoder.

use std::io::{self, Write};

use rars::codec::rar20::Unpack20;
use rars::codec::rar29::Unpack29;
use rars::codec::rar50::{DecodedChunk, Unpack50Decoder};

use super::{Entry, Method};
use crate::formats::container::Content;
use crate::scan::Stop;

/// Octets of a window that may be asked for: more than WinRAR asks for unless it is told to.
const MAX_WINDOW: u64 = 256 << 20;

/// Decoders that remember what was decoded before.
#[derive(Clone, Default)]
pub struct Unpacker {
    two: Option<Box<Unpack20>>,
    three: Option<Box<Unpack29>>,
    five: Option<Box<Unpack50Decoder>>,
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
        let is_right = match &entry.method {
            Method::Two => {
                let decoder = self.two.get_or_insert_with(|| Box::new(Unpack20::new()));
                decoder.decode_member_to(packed, size, &mut sink).is_ok()
            }
            Method::Three => {
                let decoder = self.three.get_or_insert_with(|| Box::new(Unpack29::new()));
                decoder.decode_member_to(packed, size, &mut sink).is_ok()
            }
            Method::Five { dictionary, .. } if *dictionary > MAX_WINDOW && size as u64 > MAX_WINDOW => {
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
        match (is_right, sink.is_full) {
            (_, true) => Content::Head(sink.out.into()),
            (true, false) => Content::Whole(sink.out.into()),
            (false, false) => Content::Damaged(sink.out.into()),
        }
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
