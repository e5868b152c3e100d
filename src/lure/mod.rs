//! Text that persuades: phrases that ask the reader to enable content.
