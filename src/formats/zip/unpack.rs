//! Unpacking the data of one member (APPNOTE 4.4.5): every method but those of packers of the last century (shrink, reduce,
//! implode) and of single kinds of media.

use bytes::Bytes;
use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::members::Member;
use super::records::AES;
use crate::formats::compress;
use crate::formats::container::Content;
use crate::reader::Reader;
use crate::scan::Scan;

/// Packed octets, and what the headers claim of them.
#[derive(Clone, Copy, Debug)]
pub struct Packed<'a> {
    /// The octets from the first on, and what follows them: all that is packed says itself where it ends, or does by its
    /// unpacked size.
    pub octets: &'a [u8],
    /// Unpacked size, as claimed; 0 if nobody claims one.
    pub size: u64,
    /// General purpose bits.
    pub flags: u16,
}

impl Member {
    /// Its data in the archive, in the open.
    fn packed<'a>(&self, archive: &'a [u8]) -> Packed<'a> {
        let octets = archive.get(self.data.start..).unwrap_or_default();
        Packed { octets, size: self.size, flags: self.flags }
    }
}

/// Unpacks a member by `method`, at most `room` octets of it.
pub fn unpack(archive: &Bytes, member: &Member, method: u16, room: u64) -> Content {
    unpack_unless(archive, member, method, room, |_| false).unwrap_or(unsupported(method))
}

/// Octets that tell what a member is.
const GLANCE: usize = 64;

/// As [`unpack`]; `None` if `skip` says of the first octets that the rest is not needed.
pub fn unpack_unless(
    archive: &Bytes,
    member: &Member,
    method: u16,
    room: u64,
    skip: impl Fn(&[u8]) -> bool,
) -> Option<Content> {
    let skip = |content: &[u8]| skip(content.get(..GLANCE).unwrap_or(content));
    match method {
        0 => stored(archive, member, room, skip),
        8 => inflate(member.packed(archive).octets, member.size, room, skip),
        other => {
            let content = unpack_other(member.packed(archive), other, room);
            (!content.bytes().is_some_and(|bytes| skip(bytes))).then_some(content)
        }
    }
}

/// Unpacks octets that stand by themselves: those of a member that was encrypted.
pub fn unpack_octets(packed: Packed<'_>, method: u16, room: u64) -> Content {
    match method {
        0 => Content::stored(Bytes::copy_from_slice(packed.octets), room),
        8 => inflate(packed.octets, packed.size, room, |_| false).unwrap_or(unsupported(method)),
        other => unpack_other(packed, other, room),
    }
}

/// The methods that few packers use unless they are told to (APPNOTE 4.4.5).
fn unpack_other(packed: Packed<'_>, method: u16, room: u64) -> Content {
    let Packed { octets, size, flags } = packed;
    let claimed = if size == 0 { u64::MAX } else { size };
    match method {
        9 => compress::deflate64(octets, room),
        12 => compress::bzip2(octets, room).content,
        14 => lzma(octets, if flags & END_MARK == 0 { claimed } else { u64::MAX }, room),
        20 | 93 => compress::zstd(octets, room).content,
        95 => compress::xz(octets, room).content,
        98 => compress::ppmd(octets, claimed, room),
        other => unsupported(other),
    }
}

/// General purpose bit 1: LZMA ends with a mark (APPNOTE 4.4.4).
const END_MARK: u16 = 1 << 1;

fn lzma(octets: &[u8], size: u64, room: u64) -> Content {
    match lzma_header(octets) {
        Some((props, dictionary, data)) => compress::lzma(data, props, dictionary, size, room),
        None => Content::Damaged(Bytes::new()),
    }
}

/// The version of a packer, the length of the properties, they, and the data (APPNOTE 5.8.8).
fn lzma_header(octets: &[u8]) -> Option<(u8, u32, &[u8])> {
    let mut reader = Reader::new(octets);
    reader.skip(2)?;
    let size = usize::from(reader.u16()?);
    let mut properties = Reader::new(reader.take(size)?);
    Some((properties.u8()?, properties.u32()?, reader.rest()))
}

fn stored(archive: &Bytes, member: &Member, room: u64, skip: impl Fn(&[u8]) -> bool) -> Option<Content> {
    let end = member.data.end.min(archive.len());
    let content = archive.slice(member.data.start.min(end)..end);
    if skip(&content) { None } else { Some(Content::stored(content, room)) }
}

/// A deflate stream says itself where it ends, so neither size nor the end of the data is asked.
fn inflate(packed: &[u8], size: u64, room: u64, skip: impl Fn(&[u8]) -> bool) -> Option<Content> {
    let most = usize::try_from(room).unwrap_or(usize::MAX);
    // 1 MiB at once on a claim's word; the rest as it comes.
    let claim = usize::try_from(size.min(room).min(1 << 20)).unwrap_or_default().max(4096);
    let mut stream = Decompress::new(false);
    let mut out = Vec::with_capacity(GLANCE);
    loop {
        let is_first = out.is_empty();
        let rest = usize::try_from(stream.total_in()).ok().and_then(|at| packed.get(at..)).unwrap_or_default();
        let status = stream.decompress_vec(rest, &mut out, FlushDecompress::Finish);
        if is_first && skip(&out) {
            return None;
        }
        if out.len() > most {
            out.truncate(most);
            return Some(Content::Head(out.into()));
        }
        match status {
            Ok(Status::StreamEnd) => return Some(Content::Whole(out.into())),
            Ok(_) if out.len() == out.capacity() => out.reserve(claim.max(out.len())),
            // The packed data is cut off or no deflate stream.
            Ok(_) | Err(_) => return Some(Content::Damaged(out.into())),
        }
    }
}

/// The content as it is, or as damaged if it is all there and the checksum does not fit.
pub fn proven(content: Content, crc: Option<u32>) -> Content {
    match content {
        Content::Whole(bytes) if crc.is_some_and(|crc| crc32(&bytes) != crc) => Content::Damaged(bytes),
        other => other,
    }
}

/// The content of a member that is marked as encrypted and is not: it unpacks, and the checksum fits.
pub fn plain_despite_flag(archive: &Bytes, member: &Member, scan: &mut Scan) -> Option<Content> {
    let crc = member.crc?;
    member.methods.iter().filter(|method| **method != AES).find_map(|method| {
        let content = unpack(archive, member, *method, scan.room());
        let fits = matches!(&content, Content::Whole(bytes) if crc32(bytes) == crc);
        if !fits {
            scan.spend(content.size());
        }
        fits.then_some(content)
    })
}

/// The checksum of ZIP (APPNOTE 4.4.7).
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// A method by its name in APPNOTE 4.4.5.
fn unsupported(method: u16) -> Content {
    let name = match method {
        1 => "shrink",
        2..=5 => "reduce",
        6 => "implode",
        10 | 18 => "IBM TERSE",
        16 => "CMPSC",
        19 => "IBM LZ77",
        94 => "mp3",
        96 => "jpeg",
        97 => "wavpack",
        _ => return Content::Unsupported(format!("method {method}")),
    };
    Content::Unsupported(name.to_owned())
}
