//! `sekisho check [F]`: reads a configuration as the daemon would, and says everything that is
//! wrong with it.

use std::io::{self, Write};
use std::path::Path;

use crate::config::Config;
use crate::config::diagnostics::{Diagnostics, Severity};
use crate::config::load::LoadError;

/// sysexits(3): the file can be used.
pub const OK: u8 = 0;
/// sysexits(3): the file cannot be read.
pub const NO_INPUT: u8 = 66;
/// sysexits(3): the configuration has errors.
pub const BAD_CONFIG: u8 = 78;

/// Checks a file and returns the exit code. Diagnostics go to `err` as text, or with `json` to
/// `out`, one object a line; the summary goes to `out`.
///
/// # Errors
/// `out` or `err` cannot be written.
pub fn run(file: &Path, json: bool, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let (code, diagnostics, summary) = match Config::load(file) {
        Ok((config, warnings)) => {
            let summary = format!("ok, {}, {}", count(config.policy.rules().count(), "rule"), listeners(&config));
            (OK, warnings, summary)
        }
        Err(LoadError::Invalid(diagnostics)) => {
            let errors = count(diagnostics.count(Severity::Error), "error");
            (BAD_CONFIG, diagnostics, errors)
        }
        Err(error @ LoadError::Unreadable { .. }) => {
            writeln!(err, "{error}")?;
            return Ok(NO_INPUT);
        }
    };
    if json {
        for diagnostic in diagnostics.iter() {
            writeln!(out, "{}", serde_json::to_string(diagnostic)?)?;
        }
        return Ok(code);
    }
    write!(err, "{diagnostics}")?;
    writeln!(out, "{}: {summary}{}", file.display(), warnings(&diagnostics))?;
    Ok(code)
}

fn listeners(config: &Config) -> String {
    count(config.listeners.len(), "listener")
}

fn warnings(diagnostics: &Diagnostics) -> String {
    match diagnostics.count(Severity::Warning) {
        0 => String::new(),
        number => format!(", {}", count(number, "warning")),
    }
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: Option<&str>, json: bool) -> (u8, String, String) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sekisho.toml");
        if let Some(text) = text {
            std::fs::write(&file, text).unwrap();
        }
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = run(&file, json, &mut out, &mut err).unwrap();
        let shown =
            |octets: Vec<u8>| String::from_utf8(octets).unwrap().replace(&folder.path().display().to_string(), "");
        (code, shown(out), shown(err))
    }

    #[test]
    fn the_empty_file_is_valid() {
        assert_eq!(check(Some(""), false), (0, "/sekisho.toml: ok, 0 rules, 2 listeners\n".to_owned(), String::new()));
    }

    #[test]
    fn errors_go_to_standard_error() {
        let (code, out, err) = check(Some("on_eror = \"defer\"\n[limits]\nmax_files = \"x\"\n"), false);
        assert_eq!(code, 78);
        assert_eq!(out, "/sekisho.toml: 2 errors\n");
        assert!(err.starts_with("/sekisho.toml:1:1: error: unknown key `on_eror`\n"), "{err}");
        assert!(err.contains("/sekisho.toml:3:13: error: "), "{err}");
    }

    #[test]
    fn json_is_one_object_a_line() {
        let (code, out, err) = check(Some("on_eror = 1\n"), true);
        assert_eq!((code, err.as_str()), (78, ""));
        let value: serde_json::Value = serde_json::from_str(out.trim_end()).unwrap();
        assert_eq!(value["severity"], "error");
        assert_eq!((&value["line"], &value["column"]), (&1.into(), &1.into()));
        assert_eq!(value["suggestion"], "on_error");
    }

    #[test]
    fn a_missing_file_is_no_input() {
        let (code, out, err) = check(None, false);
        assert_eq!((code, out.as_str()), (66, ""));
        assert!(err.contains("an empty file is valid"), "{err}");
    }

    #[test]
    fn warnings_do_not_fail() {
        let (code, out, err) = check(Some("[timeouts]\nreply_deadline = \"100s\"\n"), false);
        assert_eq!((code, out.as_str()), (0, "/sekisho.toml: ok, 0 rules, 2 listeners, 1 warning\n"));
        assert!(err.contains(":2:18: warning: "), "{err}");
    }
}
