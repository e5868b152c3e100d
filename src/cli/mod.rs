//! The command line: one file per subcommand.

pub mod check;
pub mod demo;
pub mod exit;
pub mod explain;
pub mod findings;
pub mod pictures;
pub mod postfix;
pub mod program;
pub mod quarantine;
pub mod scan;
pub mod serve;

/// Where the configuration is unless `--config` says otherwise.
pub const DEFAULT_CONFIG: &str = "/etc/sekisho/sekisho.toml";
/// Where state is unless `--state-dir` says otherwise.
pub const DEFAULT_STATE: &str = "/var/lib/sekisho";
