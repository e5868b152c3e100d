//! What code keeps outside of itself: in the controls of forms ([MS-OFORMS]), in properties
//! ([MS-OLEPS]), in the text. Only looked for where there is code that could fetch it.

use crate::command::program as command;
use crate::finding;
use crate::formats::cfb::CompoundFile;
use crate::limits::Limit;
use crate::part::Part;
use crate::scan::{IndicatorKind, Scan};

/// Octets of all streams that are searched; the controls of a large form take some 50 KB, and honest
/// documents have few forms.
const MAX_SEARCHED: u64 = 16 << 20;
/// Shortest run of characters that is looked at: no command that does something is shorter.
const SHORTEST_RUN: usize = 20;
/// Shortest run without a space that counts as encoded.
const SHORTEST_ENCODED: usize = 200;

/// Reports commands, and long encoded texts, in forms, properties and `text`.
pub fn examine(file: &CompoundFile<'_>, text: &str, part: &Part, scan: &mut Scan) {
    let mut left = MAX_SEARCHED;
    let mut seen = Vec::new();
    for (_, stream) in file.streams() {
        if scan.stopped() {
            return;
        }
        // The streams of a form are called `f` and `o`, that of a control in a document `contents`,
        // those of properties start with 5.
        let is_form = ["o", "f", "contents"].iter().any(|name| stream.is_named(name));
        if is_form || stream.name.starts_with('\u{5}') {
            if stream.size > left {
                scan.limit(part, Limit::ScanSize);
            }
            let content = file.read(stream, left);
            left = left.saturating_sub(content.len() as u64);
            for run in runs(&content) {
                report(&run, is_form, &file.path(stream), &mut seen, part, scan);
            }
        }
    }
    for line in text.lines().filter(|line| line.len() >= SHORTEST_RUN) {
        report(line.trim(), false, "text", &mut seen, part, scan);
    }
}

fn report(run: &str, may_be_encoded: bool, location: &str, seen: &mut Vec<String>, part: &Part, scan: &mut Scan) {
    if command::is_command(run) {
        scan.finding(finding::VBA_PAYLOAD_OUTSIDE, part, location, run);
        scan.indicator(IndicatorKind::Command, run);
        if crate::indicator::reveal(run, seen, part, scan) {
            scan.finding(finding::VBA_DOWNLOAD, part, location, run);
        }
        seen.push(run.to_owned());
    } else if may_be_encoded && run.len() >= SHORTEST_ENCODED && !run.contains(' ') {
        scan.finding(finding::VBA_PAYLOAD_OUTSIDE, part, location, run);
    }
}

/// Runs of printable characters, of one octet and of two.
fn runs(content: &[u8]) -> Vec<String> {
    let narrow = content.split(|byte| !is_printable(*byte)).filter(|run| run.len() >= SHORTEST_RUN);
    let mut found: Vec<String> = narrow.map(|run| run.iter().copied().map(char::from).collect()).collect();
    for start in [0, 1] {
        let mut run = String::new();
        let pairs = content.get(start..).unwrap_or_default().chunks_exact(2).chain([&[0_u8, 0][..]]);
        for pair in pairs {
            match pair {
                [byte, 0] if is_printable(*byte) => run.push(char::from(*byte)),
                _ if run.len() >= SHORTEST_RUN => found.push(std::mem::take(&mut run)),
                _ => run.clear(),
            }
        }
    }
    found
}

fn is_printable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\t')
}
