//! The tests that need more than one module: one program, so that a cold build links once.

mod common;

/// Every action in every mode.
mod actions;
/// Exceptions for what is known, and what explains a verdict.
mod allow;
/// The invariants that a program can check.
mod architecture;
/// Archives without passwords.
mod archives;
/// What costs more than it weighs.
mod bombs;
/// Every carrier of macros, and the text that documents show.
mod carriers;
/// Compound files, sound and damaged.
mod cfb;
/// Configurations and their diagnostics.
mod config;
/// The systemd unit.
mod deploy;
/// Nothing is lost: kills and the order of writes.
mod durability;
/// Encrypted documents, opened and not.
mod encryption;
/// Macros of Excel 4.0 in every format.
mod excel4;
/// Faults under load, with an account of each message.
mod faults;
/// Fuzz targets, replayed.
mod fuzz;
/// Disk images.
mod images;
/// One file in each wrapping.
mod layouts;
/// What happens at, below and above each limit.
mod limits;
/// Recipients with different fates.
mod line;
/// LMTP on both sides.
mod lmtp;
/// The milter over real sockets.
mod milter;
/// Awkward messages.
mod mime;
/// Damaged samples.
mod mutants;
/// Links, actions and controls.
mod objects;
/// Archives that other programs open, too.
mod oracles;
/// Where a mail may tell a password.
mod passwords;
/// Files in PDF documents, closed or not.
mod pdf;
/// Text in pictures, read by a program.
mod pictures;
/// Rules and decisions.
mod policy;
/// Rules, log and metrics on the running daemon.
mod policy_end_to_end;
/// A real Postfix in front and behind.
mod postfix;
/// Postfix set up and restored by a command.
mod postfix_setup;
/// The clauses of the protocol that only the whole daemon can show.
mod protocol;
/// Held messages, releases, crashes.
mod quarantine;
/// RAR archives.
mod rar;
/// The samples and their reports.
mod samples;
/// The command `scan`.
mod scan;
/// A password that comes in another mail.
mod second_mail;
/// 7z archives.
mod sevenz;
/// The proxy over real sockets.
mod smtp;
/// Much mixed mail, and an account of it.
mod soak;
/// Parts cut out of messages.
mod strip;
/// Sockets from systemd, and what it is told.
mod systemd;
/// STARTTLS on both sides, and XCLIENT.
mod tls;
/// Macros loud and quiet.
mod vba;
/// Levels and sentences.
mod verdict;
/// What a process that scans cannot do.
mod wall;
/// Messages over which a worker dies, and the others meanwhile.
mod workers;
/// Files in TNEF, Outlook items, encoded text, signed mail and folders.
mod wrappings;
/// Archives and packages.
mod zip;
