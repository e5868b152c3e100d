//! The records of a ZIP as they stand in the file (APPNOTE 6.3.10, 4.3 and 4.4).

use std::ops::Range;

use crate::filetype;
use crate::reader::Reader;

/// General purpose bit 0 (4.4.4): the data is encrypted.
pub const ENCRYPTED: u16 = 1;
/// General purpose bit 11: name and comment are UTF-8.
pub const UTF8: u16 = 1 << 11;
/// The method that stands for WinZip's AES (4.4.5); the real one is in extra field 0x9901.
pub const AES: u16 = 99;

/// What a local header (4.3.7) and a directory entry (4.3.12) both say.
#[derive(Clone, Debug)]
pub struct Header<'a> {
    /// Where the record begins.
    pub at: usize,
    /// General purpose bits.
    pub flags: u16,
    /// Compression method.
    pub method: u16,
    /// Time of the file in DOS format, which ZipCrypto uses as a check.
    pub time: u32,
    /// CRC-32 of the unpacked data, as claimed.
    pub crc: u32,
    /// Packed size, as claimed.
    pub packed: u64,
    /// Unpacked size, as claimed.
    pub size: u64,
    /// The name's octets.
    pub name: &'a [u8],
    /// Extra fields.
    pub extra: &'a [u8],
}

/// A local header and where its data begins.
#[derive(Clone, Debug)]
pub struct Local<'a> {
    /// The header.
    pub header: Header<'a>,
    /// The first octet of the data.
    pub data: usize,
}

/// A directory entry.
#[derive(Clone, Debug)]
pub struct Listed<'a> {
    /// The entry.
    pub header: Header<'a>,
    /// Where it says the local header is, from the start of the archive.
    pub local: u64,
    /// The octets of the entry itself.
    pub span: Range<usize>,
}

/// An end-of-central-directory record (4.3.16).
#[derive(Clone, Debug)]
pub struct End {
    /// Where it begins.
    pub at: usize,
    /// Entries in the directory, as claimed.
    pub count: u16,
    /// Octets of the directory, as claimed.
    pub size: u32,
    /// Where the directory begins, as claimed.
    pub offset: u32,
    /// Where the comment of the archive stands, as far as it is there.
    pub comment: Range<usize>,
}

/// The local header at `at`; with `signed`, only if the signature is there.
pub fn local(bytes: &[u8], at: usize, signed: bool) -> Option<Local<'_>> {
    let mut reader = Reader::at(bytes, at)?;
    if reader.take(4)? != b"PK\x03\x04" && signed {
        return None;
    }
    filetype::local_name(bytes, at)?;
    reader.skip(2)?;
    let (flags, method, time, crc) = (reader.u16()?, reader.u16()?, reader.u32()?, reader.u32()?);
    let (packed, size) = (reader.u32()?, reader.u32()?);
    let (name_size, extra_size) = (reader.u16()?, reader.u16()?);
    let (name, extra) = (reader.take(name_size.into())?, reader.take(extra_size.into())?);
    let [size, packed, _] = large(extra, [size, packed, 0]);
    Some(Local { header: Header { at, flags, method, time, crc, packed, size, name, extra }, data: reader.position() })
}

/// The directory entry at `at`.
pub fn listed(bytes: &[u8], at: usize) -> Option<Listed<'_>> {
    let mut reader = Reader::at(bytes, at)?;
    if reader.take(4)? != b"PK\x01\x02" {
        return None;
    }
    reader.skip(4)?;
    let (flags, method, time, crc) = (reader.u16()?, reader.u16()?, reader.u32()?, reader.u32()?);
    let (packed, size) = (reader.u32()?, reader.u32()?);
    let (name_size, extra_size, comment_size) = (reader.u16()?, reader.u16()?, reader.u16()?);
    reader.skip(8)?;
    let offset = reader.u32()?;
    let (name, extra) = (reader.take(name_size.into())?, reader.take(extra_size.into())?);
    // A comment that is cut does not matter.
    let _ = reader.skip(comment_size.into());
    let [size, packed, local] = large(extra, [size, packed, offset]);
    let header = Header { at, flags, method, time, crc, packed, size, name, extra };
    Some(Listed { header, local, span: at..reader.position() })
}

/// Checksum and unpacked size in the data descriptor at `at` (4.3.9), if it describes `packed` octets.
pub fn descriptor(bytes: &[u8], at: usize, packed: usize) -> Option<(u32, u64)> {
    let mut reader = Reader::at(bytes, at)?;
    if reader.take(4)? != b"PK\x07\x08" {
        return None;
    }
    let crc = reader.u32()?;
    let (mut short, mut long) = (reader, reader);
    let fits = |size: u64| usize::try_from(size) == Ok(packed);
    let short = short.u32().zip(short.u32()).filter(|(size, _)| fits((*size).into())).map(|(_, size)| u64::from(size));
    let long = || long.u64().zip(long.u64()).filter(|(size, _)| fits(*size)).map(|(_, size)| size);
    Some((crc, short.or_else(long)?))
}

/// The end record at `at`.
pub fn end(bytes: &[u8], at: usize) -> Option<End> {
    let mut reader = Reader::at(bytes, at)?;
    if reader.take(4)? != b"PK\x05\x06" {
        return None;
    }
    reader.skip(6)?;
    let (count, size, offset) = (reader.u16()?, reader.u32()?, reader.u32()?);
    let from = at.saturating_add(22).min(bytes.len());
    let length = reader.u16().unwrap_or_default();
    let comment = from..from.saturating_add(length.into()).min(bytes.len());
    Some(End { at, count, size, offset, comment })
}

/// ZIP64 (4.5.3): fields of all ones stand in extra field 1, in this order.
fn large(extra: &[u8], fields: [u32; 3]) -> [u64; 3] {
    let wide = self::extra(extra, 0x0001).unwrap_or_default();
    let mut reader = Reader::new(wide);
    fields.map(|field| match field {
        u32::MAX => reader.u64().unwrap_or(field.into()),
        _ => field.into(),
    })
}

/// The content of the extra field `id` (4.5.1).
pub fn extra(extra: &[u8], id: u16) -> Option<&[u8]> {
    let mut reader = Reader::new(extra);
    loop {
        let (this, size) = (reader.u16()?, reader.u16()?);
        let content = reader.take(size.into())?;
        if this == id {
            return Some(content);
        }
    }
}
