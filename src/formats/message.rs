//! message: to be written.

use crate::formats::Format;

/// To be written.
pub const FORMAT: Format = Format { name: "message", accepts: |_| false, examine: |_, _| {} };
