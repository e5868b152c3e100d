//! VBA: the project in its storage ([MS-OVBA]) and what its code can do.

pub mod code;
pub mod compress;
pub mod fold;
pub mod project;
pub mod token;
pub mod trace;

use crate::finding;
use crate::formats::cfb::CompoundFile;
use crate::part::Part;
use crate::scan::Scan;

/// Reads every VBA project in `file` and reports what its code can do.
pub fn examine(file: &CompoundFile<'_>, part: &Part, scan: &mut Scan) {
    for project in project::projects(file, scan.room()) {
        if project.modules.iter().any(|module| !module.source.is_empty()) {
            scan.finding(finding::VBA_MACROS, part, &project.path, "");
        }
    }
}
