//! A message without the middle of its long base64 runs: the same structure at a fraction of the size.
//!
//! mail-parser decodes every body while it looks for the structure. A line of nothing but base64 is
//! neither a delimiter (no hyphens) nor a field (no colon), so taking such lines out changes no
//! structure. Offsets are translated back.

use crate::mime::decode::is_base64;

/// Octets of a run that stay at each of its ends: enough for whoever guesses by the first lines.
const KEPT: usize = 1024;
/// Runs that are not longer than this stay whole.
const SHORT: usize = 8 * 1024;

/// A shortened message.
pub struct Skeleton {
    /// What is left.
    pub octets: Vec<u8>,
    /// For each cut: where it is in `octets`, and how many octets are missing up to there.
    cuts: Vec<(usize, usize)>,
}

impl Skeleton {
    /// Shortens `raw`.
    pub fn of(raw: &[u8]) -> Self {
        let mut skeleton = Self { octets: Vec::new(), cuts: Vec::new() };
        let (mut copied, mut run, mut at) = (0, 0, 0);
        for end in memchr::memchr_iter(b'\n', raw).map(|feed| feed.saturating_add(1)).chain([raw.len()]) {
            let line = raw.get(at..end).unwrap_or_default();
            if !is_base64_line(line) {
                skeleton.cut(raw, &mut copied, run, at);
                run = end;
            }
            at = end;
        }
        skeleton.cut(raw, &mut copied, run, at);
        skeleton.octets.extend_from_slice(raw.get(copied..).unwrap_or_default());
        skeleton
    }

    /// Where an offset of the skeleton stands in the original.
    pub fn original(&self, offset: usize) -> usize {
        let before = self.cuts.partition_point(|(at, _)| *at < offset);
        let missing = before.checked_sub(1).and_then(|last| self.cuts.get(last)).map_or(0, |(_, missing)| *missing);
        offset.saturating_add(missing)
    }

    /// Leaves out the middle of the run `start..end` of `raw` if it is long.
    fn cut(&mut self, raw: &[u8], copied: &mut usize, start: usize, end: usize) {
        if end.saturating_sub(start) <= SHORT {
            return;
        }
        let (from, to) = (start.saturating_add(KEPT), end.saturating_sub(KEPT));
        self.octets.extend_from_slice(raw.get(*copied..from).unwrap_or_default());
        self.cuts.push((self.octets.len(), to.saturating_sub(self.octets.len())));
        *copied = to;
    }
}

/// Nothing but base64 before the line end, and not empty.
fn is_base64_line(line: &[u8]) -> bool {
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    !text.is_empty() && is_base64(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_outside_a_cut_are_translated() {
        let run = "QUJD".repeat(19) + "\r\n";
        let raw = format!("a: b\r\n\r\n{}--x\r\n{}tail", run.repeat(300), run.repeat(200));
        let skeleton = Skeleton::of(raw.as_bytes());
        assert!(skeleton.octets.len() < 5 * KEPT, "{}", skeleton.octets.len());
        for needle in ["a: b", "--x", "tail"] {
            let find = |text: &[u8]| memchr::memmem::find(text, needle.as_bytes()).unwrap();
            assert_eq!(skeleton.original(find(&skeleton.octets)), find(raw.as_bytes()), "{needle}");
        }
        assert_eq!(skeleton.original(skeleton.octets.len()), raw.len());
    }

    #[test]
    fn short_runs_and_other_text_stay() {
        for raw in ["", "\n", "QUJD", "From: x\r\n\r\nhello world\r\n", &"a b\n".repeat(9000), &"QUJD\r\n".repeat(100)]
        {
            let skeleton = Skeleton::of(raw.as_bytes());
            assert_eq!(skeleton.octets, raw.as_bytes());
            assert_eq!(skeleton.original(raw.len()), raw.len());
        }
    }
}
