//! Unpacking the data of one member: stored and deflate (APPNOTE 4.4.5).

use bytes::Bytes;
use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::members::Member;
use super::records::AES;
use crate::formats::container::Content;
use crate::scan::Scan;

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
        8 => deflated(archive, member, room, skip),
        other => Some(unsupported(other)),
    }
}

fn stored(archive: &Bytes, member: &Member, room: u64, skip: impl Fn(&[u8]) -> bool) -> Option<Content> {
    let end = member.data.end.min(archive.len());
    let content = archive.slice(member.data.start.min(end)..end);
    if skip(&content) { None } else { Some(Content::stored(content, room)) }
}

/// A deflate stream says itself where it ends, so neither size nor the end of the data is asked.
fn deflated(archive: &Bytes, member: &Member, room: u64, skip: impl Fn(&[u8]) -> bool) -> Option<Content> {
    let packed = archive.get(member.data.start..).unwrap_or_default();
    let most = usize::try_from(room).unwrap_or(usize::MAX);
    // 1 MiB at once on a claim's word; the rest as it comes.
    let claim = usize::try_from(member.size.min(room).min(1 << 20)).unwrap_or_default().max(4096);
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

fn crc32(bytes: &[u8]) -> u32 {
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
        9 => "deflate64",
        10 | 18 => "IBM TERSE",
        12 => "bzip2",
        14 => "lzma",
        16 => "CMPSC",
        19 => "IBM LZ77",
        20 | 93 => "zstd",
        94 => "mp3",
        95 => "xz",
        96 => "jpeg",
        97 => "wavpack",
        98 => "ppmd",
        _ => return Content::Unsupported(format!("method {method}")),
    };
    Content::Unsupported(name.to_owned())
}
