//! What a picture looks like, in a few octets: its size, and of 16 by 16 fields whether each is darker than the one to
//! its left (a difference hash). Copies that were scaled or packed anew differ in few of these; what is the same in
//! every second picture (blank pages, gradients, plain signs) has no print at all.
//!
//! Prints are kept for months: whatever changes here makes the stored ones worthless ([`super::learned`] has a version).

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Fields in a row and in a column.
const SIDE: usize = 16;
/// Octets of the bits.
const OCTETS: usize = SIDE * SIDE / 8;
/// A field is darker if its mean is lower by so many of 255: what packing changes is less.
const MARGIN: u64 = 3;
/// Pixels of the shorter and the longer side: no request can be read in less.
const LEAST: (u32, u32) = (100, 250);
/// Fields that are darker, at least and at most: less is a blank page or a single sign, more is a gradient.
const DARKER: RangeInclusive<u32> = 12..=160;
/// Steps of grey in which a picture is counted for its entropy.
const STEPS: usize = 32;
/// Least entropy of those steps, in bits.
const LEAST_ENTROPY: f64 = 0.2;
/// Bits of two prints that may differ, and for how many darker fields in both one of these. Of copies hardly any differ;
/// of pictures that have nothing to do with each other, half as many again.
const MAX_DIFFERENT: u32 = 14;
const DARKER_PER_DIFFERENT: u32 = 4;
/// Hundredths by which the proportions of two pictures may differ.
const MAX_STRETCH: u64 = 4;

/// The print of a picture.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Print {
    width: u32,
    height: u32,
    bits: [u8; OCTETS],
}

impl Print {
    /// The print of a picture of `width` by `height` pixels that is shown by this grey raster, row by row, the raster's
    /// own width given. `None` if it is too small or says too little to be told from others.
    pub fn of(width: u32, height: u32, raster: &[u8], row: usize) -> Option<Self> {
        if width.min(height) < LEAST.0 || width.max(height) < LEAST.1 || entropy(raster) < LEAST_ENTROPY {
            return None;
        }
        let means = means(raster, row);
        let mut bits = [0_u8; OCTETS];
        // A column more than fields, for the one to the left of the first.
        let rows = means.chunks_exact(SIDE.saturating_add(1));
        let pairs = rows.flat_map(|row| row.iter().zip(row.iter().skip(1)));
        for (n, (left, mean)) in pairs.enumerate() {
            if mean.saturating_add(MARGIN) <= *left
                && let Some(octet) = bits.get_mut(n >> 3)
            {
                *octet |= 0x80_u8 >> (n & 7);
            }
        }
        let print = Self { width, height, bits };
        DARKER.contains(&print.darker()).then_some(print)
    }

    /// The picture's width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// How many bits differ, if so few do that both show the same picture.
    pub fn distance(&self, other: &Self) -> Option<u32> {
        let [one, two] = [(self.width, other.height), (other.width, self.height)]
            .map(|(width, height)| u64::from(width).saturating_mul(height.into()));
        let stretch = one.abs_diff(two).saturating_mul(100);
        if stretch > one.max(two).saturating_mul(MAX_STRETCH) {
            return None;
        }
        let different: u32 = self.bits.iter().zip(&other.bits).map(|(a, b)| (a ^ b).count_ones()).sum();
        let darker = self.darker().saturating_add(other.darker());
        let is_near = different <= MAX_DIFFERENT && different.saturating_mul(DARKER_PER_DIFFERENT) <= darker;
        is_near.then_some(different)
    }

    fn darker(&self) -> u32 {
        self.bits.iter().fold(0, |sum, octet| sum.saturating_add(octet.count_ones()))
    }

    /// A short name, the same wherever the print is the same.
    pub fn id(&self) -> String {
        let mut id = HEXLOWER.encode(&Sha256::digest(self.to_string()));
        id.truncate(ID_LENGTH);
        id
    }
}

/// Characters of a short name: 48 bits, for some thousand pictures.
pub const ID_LENGTH: usize = 12;

impl fmt::Display for Print {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}:{}", self.width, self.height, HEXLOWER.encode(&self.bits))
    }
}

impl FromStr for Print {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (size, bits) = text.split_once(':')?;
            let (width, height) = size.split_once('x')?;
            let bits = HEXLOWER.decode(bits.as_bytes()).ok()?.try_into().ok()?;
            Some(Self { width: width.parse().ok()?, height: height.parse().ok()?, bits })
        };
        parse().filter(|print| print.to_string() == text).ok_or("not a print of a picture")
    }
}

impl TryFrom<String> for Print {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Print> for String {
    fn from(print: Print) -> Self {
        print.to_string()
    }
}

/// The mean of each of [`SIDE`] rows of fields, a field more in each row than there are bits.
fn means(raster: &[u8], row: usize) -> Vec<u64> {
    let columns = SIDE.saturating_add(1);
    let rows = raster.len().checked_div(row).unwrap_or_default();
    let mut sums = vec![(0_u64, 0_u64); SIDE.saturating_mul(columns)];
    for (y, line) in raster.chunks_exact(row.max(1)).enumerate() {
        let fields = sums.chunks_exact_mut(columns).nth(y.saturating_mul(SIDE).checked_div(rows).unwrap_or_default());
        for (column, (sum, count)) in fields.into_iter().flatten().enumerate() {
            let edge = |column: usize| column.saturating_mul(row).checked_div(columns).unwrap_or_default();
            let pixels = line.get(edge(column)..edge(column.saturating_add(1))).unwrap_or_default();
            *sum = pixels.iter().fold(*sum, |sum, octet| sum.saturating_add(u64::from(*octet)));
            *count = count.saturating_add(pixels.len() as u64);
        }
    }
    sums.into_iter().map(|(sum, count)| sum.checked_div(count).unwrap_or_default()).collect()
}

/// Shannon's entropy of the steps of grey in bits: 0 is one colour, 5 all alike.
fn entropy(raster: &[u8]) -> f64 {
    let mut counts = [0_u32; STEPS];
    for octet in raster {
        if let Some(count) = counts.get_mut(usize::from(octet >> 3)) {
            *count = count.saturating_add(1);
        }
    }
    let whole = f64::from(counts.iter().fold(0_u32, |sum, count| sum.saturating_add(*count)));
    let shares = counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / whole);
    shares.map(|share| -share * share.log2()).sum()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A print of its own for each number.
    pub(crate) fn print(n: u64) -> Print {
        let mut random = fastrand::Rng::with_seed(n);
        let mut bits = [0; OCTETS];
        bits.iter_mut().for_each(|octet| *octet = random.u8(..));
        Print { width: 640, height: 480, bits }
    }

    /// Lines of words, as letters of a few pixels.
    fn page(seed: u64, width: usize, height: usize) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut raster = vec![255; width * height];
        for top in (0..height.saturating_sub(20)).step_by(24) {
            let length = random.usize(1..width);
            for x in (0..length).filter(|x| x % 50 < 40) {
                for y in top..top + 12 {
                    raster[y * width + x] = if random.bool() { 0 } else { 255 };
                }
            }
        }
        raster
    }

    #[test]
    fn a_print_is_written_as_it_was_read_and_nothing_else_is_one() {
        let text = print(1).to_string();
        assert_eq!(text.parse(), Ok(print(1)));
        assert_eq!(serde_json::from_str::<Print>(&serde_json::to_string(&print(1)).unwrap()).unwrap(), print(1));
        let bits = text.split_once(':').unwrap().1;
        for wrong in
            ["", "640x480", &format!("+640x480:{bits}"), &format!("640x480:{}", &bits[2..]), &bits.to_uppercase()]
        {
            assert!(wrong.parse::<Print>().is_err(), "{wrong}");
        }
        assert_eq!(print(1).id().len(), ID_LENGTH);
    }

    #[test]
    fn what_says_too_little_has_no_print() {
        let (width, height) = (640_usize, 480_usize);
        let of = |shade: &dyn Fn(usize, usize) -> usize| {
            let raster: Vec<u8> = (0..width * height).map(|n| shade(n % width, n / width).min(255) as u8).collect();
            Print::of(640, 480, &raster, width)
        };
        assert_eq!(of(&|_, _| 255), None, "blank");
        assert_eq!(of(&|x, _| 255 - x * 255 / width), None, "a gradient");
        assert_eq!(of(&|x, y| (x + y) * 255 / (width + height)), None, "another");
        assert_eq!(
            of(&|x, y| if (200..400).contains(&x) && (200..300).contains(&y) { 0 } else { 255 }),
            None,
            "a sign"
        );
        let page = page(1, width, height);
        assert!(Print::of(640, 480, &page, width).is_some());
        for (width, height) in [(99, 480), (249, 200), (640, 99)] {
            assert_eq!(Print::of(width, height, &page, 640), None, "too small for words");
        }
        assert_eq!(Print::of(640, 480, &[], 0), None);
        assert_eq!(Print::of(640, 480, &[0; 10], 0), None);
    }

    #[test]
    fn prints_differ_where_pictures_do() {
        let print = |seed| Print::of(640, 480, &page(seed, 640, 480), 640).unwrap();
        assert_eq!(print(1).distance(&print(1)), Some(0));
        assert_eq!(print(1).distance(&print(2)), None);
        let resized = |width, height| Print { width, height, ..print(1) };
        assert_eq!(print(1).distance(&resized(1280, 960)), Some(0));
        assert_eq!(print(1).distance(&resized(480, 640)), None);
        assert_eq!(print(1).distance(&resized(640, 440)), None);
        for (flipped, expected) in [(MAX_DIFFERENT, Some(MAX_DIFFERENT)), (MAX_DIFFERENT + 1, None)] {
            let mut other = print(1);
            (0..flipped as usize).for_each(|n| other.bits[n / 8] ^= 1 << (n % 8));
            assert_eq!(print(1).distance(&other), expected);
        }
    }
}
