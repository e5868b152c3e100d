//! Pictures of the binary formats of Office: the BLIPs of OfficeArt ([MS-ODRAW] 2.2.23 and following) that hold PNG, JPEG
//! or a bitmap, and the bitmaps without a file header that these and rich text have.
//!
//! They are looked for by their record headers, which say enough to tell them from chance: so what a document hides from
//! a reader that follows its structure is found all the same. Metafiles hold their text as text and are left out, TIFF
//! too.

use bytes::Bytes;
use memchr::memmem;

use crate::formats::cfb::biff;
use crate::formats::picture::PER_DOCUMENT;
use crate::part::Part;
use crate::reader::Reader;
use crate::scan::Scan;

/// recType, and the recInstances that a BLIP of this kind has: with one UID and with two.
const KINDS: [(u16, &[u16], &[u16]); 4] = [
    // 2.2.27 OfficeArtBlipJPEG; 0xF02A is the same in CMYK.
    (0xF01D, &[0x46A, 0x6E2], &[0x46B, 0x6E3]),
    (0xF02A, &[0x46A, 0x6E2], &[0x46B, 0x6E3]),
    // 2.2.28 OfficeArtBlipPNG
    (0xF01E, &[0x6E0], &[0x6E1]),
    // 2.2.29 OfficeArtBlipDIB
    (DIB, &[0x7A8], &[0x7A9]),
];
const DIB: u16 = 0xF01F;
/// Octets of a UID, an MD4.
const UID: usize = 16;
/// Pictures that are found in one stream.
const MAX_FOUND: usize = 256;
/// Octets of one picture that is taken out of a document.
const MAX_PICTURE: usize = 16 << 20;
/// Octets of drawings of a workbook that are put together.
const MAX_DRAWINGS: usize = 64 << 20;
/// [MS-XLS] 2.4.171 and 2.4.58
const DRAWING_GROUP: u16 = 0x00EB;
const CONTINUE: u16 = 0x003C;

/// A picture of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blip<'a> {
    /// As the picture's own format has it.
    pub octets: &'a [u8],
    /// A bitmap without a file header.
    pub is_dib: bool,
}

impl Blip<'_> {
    /// The picture as a file.
    pub fn file(&self) -> Option<Bytes> {
        if self.is_dib { bitmap(self.octets) } else { Some(Bytes::copy_from_slice(self.octets)) }
    }
}

/// The BLIPs in a stream, in its order.
pub fn find(stream: &[u8]) -> Vec<Blip<'_>> {
    let mut found: Vec<(usize, Blip<'_>)> = Vec::new();
    for (kind, one, two) in KINDS {
        let mark = kind.to_le_bytes();
        let hits = memmem::find_iter(stream, &mark).filter_map(|at| {
            let start = at.checked_sub(2)?;
            let mut reader = Reader::at(stream, start)?;
            let version = reader.u16()?;
            let instance = version >> 4;
            let uids = if one.contains(&instance) { 1_usize } else { 2 };
            if version & 0x0F != 0 || uids == 2 && !two.contains(&instance) {
                return None;
            }
            reader.skip(2)?;
            let length = usize::try_from(reader.u32()?).ok()?;
            // The UIDs and a tag. What is cut off is taken as far as it is there.
            let front = UID.checked_mul(uids)?.checked_add(1)?;
            let mut data = Reader::new(reader.take(length.min(reader.left()))?);
            data.skip(front)?;
            Some((start, Blip { octets: data.rest(), is_dib: kind == DIB }))
        });
        found.extend(hits.take(MAX_FOUND));
    }
    found.sort_unstable_by_key(|(start, _)| *start);
    found.into_iter().map(|(_, blip)| blip).collect()
}

/// The drawings of a workbook stream, put together: records of 8 KiB at most hold them in pieces ([MS-XLS] 2.4.171).
pub fn drawings(workbook: &[u8]) -> Vec<u8> {
    let (mut together, mut is_drawing) = (Vec::new(), false);
    for (id, data) in biff::records(workbook) {
        is_drawing = id == DRAWING_GROUP || is_drawing && id == CONTINUE;
        if is_drawing && together.len() < MAX_DRAWINGS {
            together.extend_from_slice(data);
        }
    }
    together
}

/// Notes the largest pictures of a stream, for when its document turns out to be active.
pub fn note(stream: &[u8], part: &Part, location: &str, scan: &mut Scan) {
    note_all(find(stream), part, location, scan);
}

/// The same of pictures that were found otherwise.
pub fn note_all(mut blips: Vec<Blip<'_>>, part: &Part, location: &str, scan: &mut Scan) {
    if !scan.is_asking() {
        return;
    }
    blips.sort_by_key(|blip| std::cmp::Reverse(blip.octets.len()));
    // The same picture may stand there several times.
    blips.dedup();
    for blip in blips.into_iter().take(PER_DOCUMENT) {
        let size = blip.octets.len();
        let file = if size <= MAX_PICTURE { blip.file() } else { None };
        let kept = file.as_ref().map_or(0, Bytes::len);
        scan.picture(part, location, size as u64, kept, Box::new(move |_| file));
    }
}

/// A bitmap without a file header, with one ([MS-WMF] 2.2.2.9).
pub fn bitmap(dib: &[u8]) -> Option<Bytes> {
    let mut reader = Reader::new(dib);
    let header = usize::try_from(reader.u32()?).ok()?;
    // What stands between header and pixels: colours, of three octets behind the oldest header, and masks.
    let between = if header == 12 {
        let depth = Reader::at(dib, 10)?.u16()?;
        colours(depth, 0).checked_mul(3)?
    } else if (40..=124).contains(&header) {
        let (depth, compression) = (Reader::at(dib, 14)?.u16()?, Reader::at(dib, 16)?.u32()?);
        let used = Reader::at(dib, 32)?.u32()?;
        let masks = match (header, compression) {
            (40, 3) => 12,
            (40, 6) => 16,
            _ => 0,
        };
        colours(depth, used).checked_mul(4)?.checked_add(masks)?
    } else {
        return None;
    };
    let pixels = u32::try_from(header.checked_add(between)?.checked_add(FILE_HEADER)?).ok()?;
    let size = u32::try_from(dib.len().checked_add(FILE_HEADER)?).ok()?;
    let mut file = Vec::with_capacity(dib.len().saturating_add(FILE_HEADER));
    file.extend_from_slice(b"BM");
    file.extend_from_slice(&size.to_le_bytes());
    file.extend_from_slice(&[0; 4]);
    file.extend_from_slice(&pixels.to_le_bytes());
    file.extend_from_slice(dib);
    Some(file.into())
}

const FILE_HEADER: usize = 14;

/// How many colours a table has.
fn colours(depth: u16, used: u32) -> usize {
    let all = if depth <= 8 { 1_usize << depth } else { 0 };
    usize::try_from(used).ok().filter(|used| (1..=256).contains(used)).unwrap_or(all)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};

    use super::*;
    use crate::formats::picture::grey;

    fn blip(version: u16, kind: u16, uids: usize, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(uids * UID + 1 + content.len()).unwrap();
        let head = [&version.to_le_bytes()[..], &kind.to_le_bytes(), &length.to_le_bytes()].concat();
        [&head, &vec![7; uids * UID + 1][..], content].concat()
    }

    #[test]
    fn every_kind_of_picture_is_found_and_nothing_else() {
        for (kind, one, two) in KINDS {
            for (instances, uids) in [(one, 1), (two, 2)] {
                for instance in instances {
                    let stream = [&b"before"[..], &blip(instance << 4, kind, uids, b"content"), b"behind"].concat();
                    let found = find(&stream);
                    assert_eq!(found, [Blip { octets: b"content", is_dib: kind == DIB }], "{kind:x} {instance:x}");
                    let cut = find(stream.get(..stream.len() - 10).unwrap()).len();
                    assert_eq!(cut, 1, "what is cut off is there as far as it goes");
                }
            }
            for version in [0x46A1, 0x0000, 0x7A90 | 1, 0xFFFF] {
                assert_eq!(find(&blip(version, kind, 1, b"content")), []);
            }
        }
        let many = blip(0x6E00, 0xF01E, 1, b"x").repeat(MAX_FOUND + 1);
        assert_eq!(find(&many).len(), MAX_FOUND);
    }

    #[test]
    fn drawings_of_workbooks_stand_in_pieces() {
        let record = |id: u16, data: &[u8]| {
            [&id.to_le_bytes()[..], &u16::try_from(data.len()).unwrap().to_le_bytes(), data].concat()
        };
        let stream = [
            record(0x0809, b"head"),
            record(CONTINUE, b"of something else"),
            record(DRAWING_GROUP, b"a"),
            record(CONTINUE, b"b"),
            record(DRAWING_GROUP, b"c"),
            record(0x000A, b""),
            record(CONTINUE, b"x"),
        ];
        assert_eq!(drawings(&stream.concat()), b"abc");
    }

    #[test]
    fn a_bitmap_without_its_file_header_is_the_same_picture() {
        let colours = RgbImage::from_fn(60, 40, |x, y| image::Rgb([x as u8 * 4, y as u8 * 6, 9]));
        let greys = GrayImage::from_fn(60, 40, |x, y| image::Luma([(x * y) as u8]));
        for picture in [DynamicImage::from(colours), DynamicImage::from(greys)] {
            let mut file = Cursor::new(Vec::new());
            picture.write_to(&mut file, ImageFormat::Bmp).unwrap();
            let file = file.into_inner();
            assert_eq!(bitmap(&file[14..]).unwrap(), file, "{:?}", picture.color());
        }
        for damaged in [&b""[..], b"\x28\0\0\0", &[0; 60], &[0xFF; 200]] {
            assert_eq!(bitmap(damaged), None);
        }
        let mut cut = vec![0; 44];
        (cut[0], cut[14]) = (40, 200);
        assert!(bitmap(&cut).is_none_or(|file| grey(&file).is_err()));
    }
}
