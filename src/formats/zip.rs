//! zip: to be written.

use crate::formats::Format;

/// To be written.
pub const FORMAT: Format = Format { name: "zip", accepts: |_| false, examine: |_, _| {} };
