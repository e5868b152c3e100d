//! What the text of active content holds, for who wants to look for it elsewhere: commands, addresses, files. A
//! command is taken apart ([`crate::command`]), so that what stands encoded in it is told too.

use crate::command;
use crate::limits::Limit;
use crate::part::Part;
use crate::scan::{IndicatorKind, Scan};

/// Texts of a project that are taken apart: honest code starts few programs.
const MAX_REVEALED: usize = 16;

/// Tells what is within a text. Whether it is a command that fetches something.
pub fn reveal(text: &str, seen: &[String], part: &Part, scan: &mut Scan) -> bool {
    if seen.len() >= MAX_REVEALED {
        scan.limit(part, Limit::FileSize);
        return false;
    }
    let revealed = command::reveal(text);
    if revealed.is_cut {
        scan.limit(part, Limit::FileSize);
    }
    for url in &revealed.urls {
        scan.indicator(IndicatorKind::Url, url);
    }
    for line in &revealed.commands {
        scan.indicator(IndicatorKind::Command, line);
    }
    for file in &revealed.files {
        scan.indicator(IndicatorKind::File, file);
    }
    let layers = revealed.commands.iter().map(String::as_str).chain([text]);
    !revealed.urls.is_empty() && layers.into_iter().any(command::fetches)
}
