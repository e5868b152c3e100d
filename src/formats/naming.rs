//! naming: to be written.

use crate::formats::Format;

/// To be written.
pub const FORMAT: Format = Format { name: "naming", accepts: |_| false, examine: |_, _| {} };
