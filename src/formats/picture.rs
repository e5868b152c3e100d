//! Pictures, made ready for a reader of text: decoded here, behind the wall, and handed out as a bare grey raster of
//! bounded size (PGM, `P5`), so that whoever reads it never meets what a sender drew with. PNG, JPEG, GIF (its first
//! frame) and BMP; metafiles hold their text as text ([`super::emf`]), and TIFF and WMF are left out.

use std::io::Cursor;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use image::imageops::{self, FilterType};
use image::{GrayImage, ImageReader, Limits};
use sha2::{Digest, Sha256};

use crate::finding;
use crate::knowledge::Said;
use crate::lure;
use crate::part::Part;
use crate::pictures::print::Print;
use crate::scan::{Ask, Scan};

/// Pixels of the longer side of what is handed out. 1600: at the width of a page its letters have 25 pixels, and
/// readers want 20.
pub const MAX_SIDE: u32 = 1600;
/// Below this the picture is doubled: text on a screen has letters of 10 pixels, too few for readers.
const SMALL: u32 = 800;
/// Pixels of the shorter side that a request needs at least; what is smaller is an icon or a line.
const MIN_SIDE: u32 = 32;
/// Pixels of either side that are decoded. 16,384: a page at 1200 dpi.
const MAX_DECODED_SIDE: u32 = 16_384;
/// Octets that the decoder may use: 16 million pixels of four octets.
const MAX_MEMORY: u64 = 64 << 20;
/// Pictures of one document that are read: the largest, and two more, so that a decoy beside the lure hides nothing.
pub const PER_DOCUMENT: usize = 3;

/// Asks what a picture of a document with active content shows, or reads what was answered.
pub fn read(part: &Part, bytes: &Bytes, scan: &mut Scan) {
    scan.spend(bytes.len() as u64);
    let sha256 = HEXLOWER.encode(&Sha256::digest(bytes));
    match scan.said_of_picture(&part.path, &sha256).cloned() {
        Some(Said::Text(text)) => return lure::picture_text(scan, part, &text),
        Some(Said::Learned(name)) => return scan.finding(finding::PICTURE_LEARNED, part, lure::PICTURE, &name),
        None => {}
    }
    match seen(bytes) {
        Ok(Some((raster, print))) => {
            if !scan.ask(Ask::ReadPicture { part: part.path.clone(), sha256, print }, raster) {
                scan.finding(finding::PICTURE_UNREAD, part, "", "too many pictures");
            }
        }
        Ok(None) => {}
        Err(why) => scan.finding(finding::PICTURE_UNREAD, part, "", &why),
    }
}

/// The picture as a grey raster over white, at most [`MAX_SIDE`] wide and high; `None` if it is too small for text.
///
/// # Errors
/// Why it cannot be decoded: damaged, of another kind, or larger than the decoder may use.
pub fn grey(bytes: &[u8]) -> Result<Option<Bytes>, String> {
    Ok(seen(bytes)?.map(|(raster, _)| raster))
}

/// As [`grey`], and what tells the picture from others.
///
/// # Errors
/// The same.
pub fn seen(bytes: &[u8]) -> Result<Option<(Bytes, Option<Print>)>, String> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|error| error.to_string())?;
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(MAX_DECODED_SIDE);
    limits.max_image_height = Some(MAX_DECODED_SIDE);
    limits.max_alloc = Some(MAX_MEMORY);
    reader.limits(limits);
    let mut picture = reader.decode().map_err(|error| error.to_string())?;
    let (width, height) = (picture.width(), picture.height());
    if width.min(height) < MIN_SIDE {
        return Ok(None);
    }
    if width.max(height) > MAX_SIDE {
        picture = picture.thumbnail(MAX_SIDE, MAX_SIDE);
    }
    let blended = picture.to_luma_alpha8();
    let octets = blended.pixels().map(|pixel| over_white(pixel.0)).collect();
    let grey = GrayImage::from_raw(blended.width(), blended.height(), octets).ok_or("a raster of another size")?;
    let print = Print::of(width, height, grey.as_raw(), grey.width() as usize);
    let grey = if width.max(height) < SMALL {
        imageops::resize(&grey, width.saturating_mul(2), height.saturating_mul(2), FilterType::CatmullRom)
    } else {
        grey
    };
    Ok(Some((pgm(&grey), print)))
}

/// What shows on a white page of a grey value and how opaque it is: black text on nothing is black on black otherwise.
fn over_white([value, alpha]: [u8; 2]) -> u8 {
    let (value, alpha) = (u32::from(value), u32::from(alpha));
    let sum = value.saturating_mul(alpha).saturating_add(255_u32.saturating_sub(alpha).saturating_mul(255));
    u8::try_from(sum.div_ceil(255)).unwrap_or(u8::MAX)
}

/// Netpbm's grey raster (pgm(5)).
fn pgm(grey: &GrayImage) -> Bytes {
    let mut out = format!("P5\n{} {}\n255\n", grey.width(), grey.height()).into_bytes();
    out.extend_from_slice(grey.as_raw());
    out.into()
}

/// Whether octets are a raster as [`grey`] makes them: whoever hands them to a program looks first, since they come
/// from behind the wall.
pub fn is_raster(octets: &[u8]) -> bool {
    let head = octets.get(..octets.len().min(32)).unwrap_or_default();
    let Some(end) = memchr::memmem::find(head, b"\n255\n") else { return false };
    let sizes = head.get(3..end).and_then(|sizes| std::str::from_utf8(sizes).ok()).unwrap_or_default();
    let side = |text: &str| text.parse::<usize>().ok().filter(|side| (1..=MAX_SIDE as usize).contains(side));
    let Some((width, height)) = sizes.split_once(' ').and_then(|(w, h)| Some((side(w)?, side(h)?))) else {
        return false;
    };
    head.starts_with(b"P5\n") && octets.len() == end.saturating_add(5).saturating_add(width.saturating_mul(height))
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, ImageFormat, LumaA, RgbImage};

    use super::*;

    fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut out = Cursor::new(Vec::new());
        picture.write_to(&mut out, format).unwrap();
        out.into_inner()
    }

    fn side(raster: &[u8]) -> String {
        String::from_utf8_lossy(raster).lines().nth(1).unwrap().to_owned()
    }

    #[test]
    fn every_kind_becomes_a_bounded_raster() {
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::Bmp] {
            for (size, expected) in
                [((3200, 400), "1600 200"), ((1600, 800), "1600 800"), ((800, 40), "800 40"), ((799, 40), "1598 80")]
            {
                let picture = DynamicImage::from(RgbImage::new(size.0, size.1));
                let raster = grey(&encoded(&picture, format)).unwrap().unwrap();
                assert_eq!(side(&raster), expected, "{format:?}");
                assert!(is_raster(&raster));
            }
        }
    }

    #[test]
    fn what_is_transparent_is_white() {
        let picture = image::ImageBuffer::from_pixel(40, 40, LumaA([0_u8, 0]));
        let raster = grey(&encoded(&DynamicImage::from(picture), ImageFormat::Png)).unwrap().unwrap();
        assert!(raster.ends_with(&[255; 6400]));
        assert_eq!([[0, 255], [255, 255], [7, 0]].map(over_white), [0, 255, 255]);
    }

    #[test]
    fn icons_are_not_read() {
        let picture = DynamicImage::from(RgbImage::new(2000, MIN_SIDE - 1));
        assert_eq!(grey(&encoded(&picture, ImageFormat::Png)), Ok(None));
    }

    #[test]
    fn a_damaged_or_huge_picture_is_told_with_the_reason() {
        let whole = encoded(&DynamicImage::from(RgbImage::new(300, 300)), ImageFormat::Png);
        for cut in [0, 8, 20, 40] {
            assert!(grey(&whole[..cut]).is_err(), "{cut}");
        }
        // 16,384 by 16,384 pixels are promised, and a side more.
        for side in [MAX_DECODED_SIDE, MAX_DECODED_SIDE + 1] {
            let mut bmp = encoded(&DynamicImage::from(RgbImage::new(40, 40)), ImageFormat::Bmp);
            bmp[18..22].copy_from_slice(&side.to_le_bytes());
            bmp[22..26].copy_from_slice(&side.to_le_bytes());
            assert!(grey(&bmp).is_err());
        }
    }

    #[test]
    fn only_rasters_pass_for_rasters() {
        let raster = |head: &str, octets| [head.as_bytes(), &vec![0; octets]].concat();
        assert!(is_raster(&raster("P5\n4 3\n255\n", 12)));
        for (head, octets) in [
            ("P5\n4 3\n255\n", 11),
            ("P5\n4 3\n255\n", 13),
            ("P5\n0 3\n255\n", 0),
            ("P5\n1601 1\n255\n", 1601),
            ("P4\n4 3\n255\n", 12),
            ("\x09PNG\r\n4 3\n255\n", 12),
            ("P5\n4 3 1\n255\n", 12),
            ("", 5),
        ] {
            assert!(!is_raster(&raster(head, octets)), "{head}");
        }
    }
}
