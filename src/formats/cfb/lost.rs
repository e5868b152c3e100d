//! VBA source that the directory of a compound file does not lead to: found by its content, as a
//! compressed container ([MS-OVBA] 2.4.1) that begins with an `Attribute` line.

use std::ops::Range;

use memchr::memmem;

use super::CompoundFile;
use super::compound::MAGIC;
use crate::part::Part;
use crate::scan::Scan;
use crate::vba;

/// Modules that are looked for; Office itself gets slow with a thousand.
const MAX_MODULES: usize = 4000;
/// Octets of one module at most; compressed source of 65,534 lines has less.
const MAX_MODULE: usize = 4 << 20;

/// Judges source that stands in the file and in no project of its directory.
pub fn examine(file: &CompoundFile<'_>, part: &Part, scan: &mut Scan) {
    let pieces = pieces(&part.bytes);
    // What stands in a file that this one carries is found there.
    if pieces.is_empty() || memmem::find(part.bytes.get(1..).unwrap_or_default(), MAGIC).is_some() {
        return;
    }
    let projects = vba::project::projects(file, scan.room());
    if projects.iter().flat_map(|project| &project.modules).all(|module| module.source.is_empty()) {
        vba::examine(&CompoundFile::of_pieces(&part.bytes, pieces.into_iter()), "", part, scan);
    }
}

/// Where containers start that begin with `Attribut`: behind signature, header and flags in a
/// compressed chunk, behind signature and header in a raw one.
fn pieces(bytes: &[u8]) -> Vec<Range<usize>> {
    let starts = memmem::find_iter(bytes, b"Attribut").filter_map(|hit| {
        let starts = [hit.checked_sub(4), hit.checked_sub(3)];
        starts.into_iter().flatten().find(|start| bytes.get(*start) == Some(&1))
    });
    let starts: Vec<usize> = starts.take(MAX_MODULES).collect();
    let ends = starts.iter().copied().skip(1).chain([bytes.len()]);
    starts.iter().copied().zip(ends).map(|(start, end)| start..end.min(start.saturating_add(MAX_MODULE))).collect()
}
