//! Pictures drawn here, and documents that show them.

use std::io::Cursor;

use image::{GrayImage, ImageFormat, Luma};

use super::carriers::package;
use super::office::{Module, ModuleKind, vba_project};

const WORD_MACROS: &str = "application/vnd.ms-word.document.macroEnabled.main+xml";
/// A macro that does nothing.
pub const HONEST: Module<'_> = ("Module1", "Sub Hello()\nMsgBox \"Hello\"\nEnd Sub\n", ModuleKind::Standard);
/// A macro that is malicious whatever its document shows.
pub const MALICIOUS: Module<'_> =
    ("ThisDocument", "Sub AutoOpen()\nShell \"powershell -w hidden -e aQBlAHgA\", 0\nEnd Sub\n", ModuleKind::Document);

/// Letters of five by seven pixels, as rows of bits.
const LETTERS: [(char, [u8; 7]); 9] = [
    ('A', [14, 17, 17, 31, 17, 17, 17]),
    ('B', [30, 17, 17, 30, 17, 17, 30]),
    ('C', [14, 17, 16, 16, 16, 17, 14]),
    ('E', [31, 16, 16, 30, 16, 16, 31]),
    ('L', [16, 16, 16, 16, 16, 16, 31]),
    ('N', [17, 25, 21, 21, 19, 17, 17]),
    ('O', [14, 17, 17, 17, 17, 17, 14]),
    ('T', [31, 4, 4, 4, 4, 4, 4]),
    (' ', [0; 7]),
];

/// A picture with this text.
pub fn drawn(text: &str) -> Vec<u8> {
    const SCALE: u32 = 6;
    let width = (u32::try_from(text.len()).unwrap() * 6 + 10) * SCALE;
    let mut picture = GrayImage::from_pixel(width, 17 * SCALE, Luma([255]));
    for (at, letter) in text.chars().enumerate() {
        let (_, rows) = LETTERS.iter().find(|(known, _)| *known == letter).unwrap();
        for (y, x) in (0..7 * SCALE).flat_map(|y| (0..5 * SCALE).map(move |x| (y, x))) {
            if rows[(y / SCALE) as usize] >> (4 - x / SCALE) & 1 == 1 {
                let left = (u32::try_from(at).unwrap() * 6 + 5) * SCALE;
                picture.put_pixel(left + x, 5 * SCALE + y, Luma([0]));
            }
        }
    }
    encoded(&picture, ImageFormat::Png)
}

/// A page of lines that look like words, different for each seed.
pub fn page(seed: u64) -> GrayImage {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut picture = GrayImage::from_pixel(640, 480, Luma([255]));
    for top in (10..450).step_by(24) {
        let end = random.u32(60..630);
        for x in (10..end).filter(|x| x % 50 < 40) {
            (top..top + 12).for_each(|y| picture.put_pixel(x, y, Luma([if random.bool() { 0 } else { 255 }])));
        }
    }
    picture
}

/// The picture as a file.
pub fn encoded(picture: &GrayImage, format: ImageFormat) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    picture.write_to(&mut out, format).unwrap();
    out.into_inner()
}

/// A document of Word with these macros, which shows these pictures.
pub fn document_with(module: &Module<'_>, pictures: &[Vec<u8>]) -> Vec<u8> {
    let project = vba_project(&[*module]);
    let names: Vec<String> = (0..pictures.len()).map(|n| format!("word/media/image{n}.png")).collect();
    let mut members: Vec<(&str, &[u8])> = vec![("word/vbaProject.bin", &project)];
    members.extend(names.iter().map(String::as_str).zip(pictures.iter().map(Vec::as_slice)));
    package(WORD_MACROS, &members)
}
