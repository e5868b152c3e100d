//! A folder of a cabinet: blocks of at most 32 KiB, packed as one stream ([MS-CAB] 2.2, 2.4).

use flate2::{Decompress, FlushDecompress, Status};
use lzxd::{Lzxd, WindowSize};

use super::Header;
use crate::reader::Reader;

/// Octets of a block, unpacked. Some packers wrote a little more.
const BLOCK: usize = 32 << 10;
/// Blocks of all folders of a part: those of 2 GiB. Each costs as if it were full.
const MAX_BLOCKS: usize = 1 << 16;

/// What all folders of a part have cost so far.
#[derive(Default)]
pub struct Work {
    blocks: usize,
}

/// Where a folder's blocks begin, and how they are packed.
pub struct Folder {
    start: usize,
    blocks: u16,
    method: u16,
    reserve: usize,
}

impl Folder {
    /// Reads the entry of the folder with this number.
    pub fn read(bytes: &[u8], header: &Header, number: u16) -> Option<Self> {
        let size = usize::from(header.folder_reserve).saturating_add(8);
        let at = size.checked_mul(number.into())?.checked_add(header.folders_at)?;
        let mut reader = Reader::at(bytes, at)?;
        let start = usize::try_from(reader.u32()?).ok()?;
        let (blocks, method) = (reader.u16()?, reader.u16()?);
        Some(Self { start, blocks, method, reserve: header.block_reserve.into() })
    }

    /// Unpacks at least `most` octets, if there are as many and nothing is broken before.
    ///
    /// # Errors
    /// The method, if it is not known.
    pub fn unpack(&self, bytes: &[u8], most: usize, work: &mut Work) -> Result<Vec<u8>, &'static str> {
        let mut method = Method::of(self.method)?;
        let mut out = Vec::new();
        let Some(mut reader) = Reader::at(bytes, self.start) else { return Ok(out) };
        for _ in 0..self.blocks {
            if out.len() >= most || work.blocks >= MAX_BLOCKS {
                break;
            }
            work.blocks = work.blocks.saturating_add(1);
            let Some((packed, size)) = block(&mut reader, self.reserve) else { break };
            if method.unpack(packed, size, &mut out).is_none() {
                break;
            }
        }
        out.truncate(most);
        Ok(out)
    }
}

/// The next block and its size unpacked; what is cut counts as far as it goes. Its checksum is not asked.
fn block<'a>(reader: &mut Reader<'a>, reserve: usize) -> Option<(&'a [u8], usize)> {
    reader.skip(4)?;
    let (packed, size) = (reader.u16()?, reader.u16()?);
    reader.skip(reserve)?;
    let packed = reader.take(usize::from(packed).min(reader.left()))?;
    Some((packed, size.into()))
}

/// How blocks are packed.
enum Method {
    Stored,
    MsZip(Box<Decompress>),
    Lzx(Box<Lzxd>),
}

impl Method {
    fn of(method: u16) -> Result<Self, &'static str> {
        match method & 0xf {
            0 => Ok(Method::Stored),
            1 => Ok(Method::MsZip(Box::new(Decompress::new(false)))),
            2 => Err("Quantum"),
            3 => match window(method >> 8 & 0x1f) {
                Some(size) => Ok(Method::Lzx(Box::new(Lzxd::new(size)))),
                None => Err("LZX with an unknown window"),
            },
            _ => Err("an unknown method"),
        }
    }

    /// Appends a block; `None` if it is broken.
    fn unpack(&mut self, packed: &[u8], size: usize, out: &mut Vec<u8>) -> Option<()> {
        match self {
            Method::Stored => out.extend_from_slice(packed),
            Method::MsZip(stream) => return inflate(stream, packed.strip_prefix(b"CK")?, out),
            Method::Lzx(stream) => out.extend_from_slice(stream.decompress_next(packed, size.min(BLOCK)).ok()?),
        }
        Some(())
    }
}

/// [MS-MCI]: each block is a deflate stream of its own that refers to the block before. Deflate can carry that as
/// a stored block at its start.
fn inflate(stream: &mut Decompress, packed: &[u8], out: &mut Vec<u8>) -> Option<()> {
    stream.reset(false);
    let before = out.get(out.len().saturating_sub(BLOCK)..).unwrap_or_default();
    let size = u16::try_from(before.len()).ok()?;
    let history = [&[0][..], &size.to_le_bytes(), &(!size).to_le_bytes(), before].concat();
    // Room for the history, and for twice what a block should have.
    let mut content = Vec::with_capacity(BLOCK.saturating_mul(3));
    stream.decompress_vec(&history, &mut content, FlushDecompress::None).ok()?;
    if stream.total_in() != history.len() as u64 {
        return None;
    }
    let outcome = stream.decompress_vec(packed, &mut content, FlushDecompress::Finish);
    out.extend_from_slice(content.get(size.into()..).unwrap_or_default());
    matches!(outcome, Ok(Status::StreamEnd)).then_some(())
}

fn window(bits: u16) -> Option<WindowSize> {
    Some(match bits {
        15 => WindowSize::KB32,
        16 => WindowSize::KB64,
        17 => WindowSize::KB128,
        18 => WindowSize::KB256,
        19 => WindowSize::KB512,
        20 => WindowSize::MB1,
        21 => WindowSize::MB2,
        _ => return None,
    })
}
