//! Exit statuses: 0, 1 and those of sysexits.h, which Postfix's pipe(8) and systemd understand.

/// Nothing found, or done.
pub const OK: u8 = 0;
/// Something at or above `--fail-on`, or an expectation that did not hold.
pub const FOUND: u8 = 1;
/// The command line is wrong.
pub const USAGE: u8 = 64;
/// The input is no message and no file that can be read as one.
pub const DATA: u8 = 65;
/// An input does not exist or may not be read.
pub const NO_INPUT: u8 = 66;
/// The daemon or the next hop does not answer.
pub const UNAVAILABLE: u8 = 69;
/// A fault of ours.
pub const SOFTWARE: u8 = 70;
/// Something cannot be written.
pub const CANNOT_CREATE: u8 = 73;
/// I/O failed.
pub const IO_ERROR: u8 = 74;
/// Try again later.
pub const TEMPORARY: u8 = 75;
/// Not permitted.
pub const NO_PERMISSION: u8 = 77;
/// The configuration is wrong.
pub const CONFIG: u8 = 78;
