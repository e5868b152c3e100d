//! Predictors (ISO 32000-2 7.4.4.4): differences to the octets before or above, as TIFF and PNG have them.

use bytes::Bytes;

use crate::formats::container::Content;

/// What was done to octets before they were packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Predictor {
    /// 1 for nothing, 2 for TIFF, 10 and more for PNG.
    pub kind: usize,
    /// Components of a sample.
    pub colors: usize,
    /// Bits of a component.
    pub bits: usize,
    /// Samples of a row.
    pub columns: usize,
}

impl Predictor {
    /// Undoes it.
    pub fn undo(self, content: Content) -> Content {
        if self.kind < 2 {
            return content;
        }
        let bits = self.colors.saturating_mul(self.bits);
        let sample = bits.div_ceil(8).max(1);
        let row = bits.saturating_mul(self.columns).div_ceil(8).max(1);
        let undo = |bytes: Bytes| if self.kind == 2 { tiff(&bytes, row, sample) } else { png(&bytes, row, sample) };
        match content {
            Content::Unsupported(_) => content,
            _ if self.kind == 2 && self.bits != 8 => {
                Content::Unsupported(format!("predictor of TIFF with {} bits", self.bits))
            }
            Content::Whole(bytes) => Content::Whole(undo(bytes).into()),
            Content::Head(bytes) => Content::Head(undo(bytes).into()),
            Content::Damaged(bytes) => Content::Damaged(undo(bytes).into()),
        }
    }
}

/// TIFF 6.0, section 14: each component is the difference to that of the sample before.
fn tiff(bytes: &[u8], row: usize, sample: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for row in bytes.chunks(row) {
        let start = out.len();
        for (at, octet) in row.iter().enumerate() {
            let before = at.checked_sub(sample).and_then(|at| out.get(start.saturating_add(at)));
            let before = before.copied().unwrap_or_default();
            out.push(octet.wrapping_add(before));
        }
    }
    out
}

/// PNG, section 9: each row begins with the octet that says how.
fn png(bytes: &[u8], row: usize, sample: usize) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(bytes.len());
    let mut above: Option<usize> = None;
    for coded in bytes.chunks(row.saturating_add(1)) {
        let Some((how, coded)) = coded.split_first() else { break };
        let start = out.len();
        for (at, octet) in coded.iter().enumerate() {
            let get = |from: Option<usize>, at: Option<usize>| {
                let place = from.zip(at).map(|(from, at)| from.saturating_add(at));
                place.and_then(|place| out.get(place)).copied().unwrap_or_default()
            };
            let before = at.checked_sub(sample);
            let (left, up, corner) = (get(Some(start), before), get(above, Some(at)), get(above, before));
            let guess = match how {
                1 => left,
                2 => up,
                3 => u8::try_from(u16::from(left).saturating_add(u16::from(up)) / 2).unwrap_or_default(),
                4 => paeth(left, up, corner),
                _ => 0,
            };
            out.push(octet.wrapping_add(guess));
        }
        above = Some(start);
    }
    out
}

fn paeth(left: u8, up: u8, corner: u8) -> u8 {
    let [a, b, c] = [left, up, corner].map(i16::from);
    let guess = a.saturating_add(b).saturating_sub(c);
    let [to_left, to_up, to_corner] = [a, b, c].map(|value| guess.saturating_sub(value).saturating_abs());
    if to_left <= to_up && to_left <= to_corner {
        left
    } else if to_up <= to_corner {
        up
    } else {
        corner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_as_they_were() {
        let coded = [0, 1, 2, 3, 1, 1, 1, 1, 2, 1, 1, 1, 3, 1, 1, 1, 4, 1, 1, 1];
        let plain = [1, 2, 3, 1, 2, 3, 2, 3, 4, 2, 3, 4, 3, 4, 5];
        assert_eq!(png(&coded, 3, 1), plain);
        assert_eq!(tiff(&[1, 10, 1, 10, 1, 10, 5, 5], 6, 2), [1, 10, 2, 20, 3, 30, 5, 5]);
        let predictor = Predictor { kind: 12, colors: 1, bits: 8, columns: 3 };
        assert_eq!(predictor.undo(Content::Whole(coded.to_vec().into())), Content::Whole(plain.to_vec().into()));
        let huge = Predictor { kind: 15, colors: usize::MAX, bits: usize::MAX, columns: usize::MAX };
        assert_eq!(huge.undo(Content::Whole(vec![0, 1].into())), Content::Whole(vec![1].into()));
    }
}
