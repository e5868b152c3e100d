//! cfb: to be written.

use crate::formats::Format;

/// To be written.
pub const FORMAT: Format = Format { name: "cfb", accepts: |_| false, examine: |_, _| {} };
