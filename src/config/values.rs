//! The forms of single values: sizes, durations, endpoints, networks, names; parsed once, at the door.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

use rustls::pki_types::ServerName;

use crate::config::Endpoint;

/// Why a text is not a value, and what would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub expected: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl Wrong {
    pub(super) fn new(message: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { message: message.into(), expected: expected.into(), suggestion: None }
    }

    pub(super) fn suggest(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }
}

impl std::error::Error for Wrong {}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, expected {}", self.message, self.expected)
    }
}

/// Units of sizes; the first of each factor that fits is how a size is shown.
const SIZE_UNITS: [(&str, u64); 11] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("KB", 1000),
    ("octets", 1),
    ("B", 1),
];

/// Octets: `"50 MiB"`, `"10 MB"`, `"512kB"`, `"1000 B"`.
///
/// # Errors
/// Another form.
pub fn size(text: &str) -> Result<u64, Wrong> {
    let (number, unit) = number_and_unit(text);
    let wrong = || Wrong::new(format!("`{text}` is not a size"), "a size like \"50 MiB\" or \"10 MB\"");
    let number: u64 = number.parse().map_err(|_| wrong())?;
    if unit.is_empty() {
        let message = format!("`{text}` has no unit");
        return Err(
            Wrong::new(message, "a size like \"50 MiB\", or an integer for octets").suggest(format!("{text} MiB"))
        );
    }
    match SIZE_UNITS.iter().find(|(name, _)| *name == unit) {
        Some((_, factor)) => number.checked_mul(*factor).ok_or_else(wrong),
        None => {
            let meant = SIZE_UNITS.iter().find(|(name, _)| {
                let short = name.trim_end_matches('B').trim_end_matches('i');
                name.eq_ignore_ascii_case(unit) || (unit.eq_ignore_ascii_case(short) && !short.is_empty())
            });
            let expected = "one of the units kB, MB, GB, TB, KiB, MiB, GiB, TiB";
            let wrong = Wrong::new(format!("unknown unit `{unit}`"), expected);
            Err(match meant {
                Some((name, _)) => wrong.suggest(format!("{number} {name}")),
                None => wrong,
            })
        }
    }
}

/// A size as [`size`] reads it.
pub fn show_size(octets: u64) -> String {
    let fitting = SIZE_UNITS.iter().find(|(_, factor)| octets >= *factor && octets.is_multiple_of(*factor));
    fitting.map_or_else(
        || octets.to_string(),
        |(name, factor)| format!("{} {name}", octets.checked_div(*factor).unwrap_or_default()),
    )
}

const TIME_UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];

/// A duration: `"25s"`, `"5m"`, `"1h"`, `"30d"`.
///
/// # Errors
/// Another form.
pub fn duration(text: &str) -> Result<Duration, Wrong> {
    const EXPECTED: &str = "a duration like \"25s\", \"5m\", \"1h\" or \"30d\"";
    let (number, unit) = number_and_unit(text);
    let wrong = || Wrong::new(format!("`{text}` is not a duration"), EXPECTED);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    if unit.is_empty() {
        return Err(Wrong::new("a unit is missing", EXPECTED).suggest(format!("{text}s")));
    }
    match TIME_UNITS.iter().find(|(name, _)| *name == unit) {
        Some((_, factor)) => number.checked_mul(*factor).map(Duration::from_secs).ok_or_else(wrong),
        None => {
            let wrong = Wrong::new(format!("unknown unit `{unit}`"), "one of the units s, m, h, d");
            let words = ["d day days", "h hour hours", "m min mins minute minutes", "s sec secs second seconds"];
            let unit = unit.to_lowercase();
            let meant = words.iter().find(|words| words.split(' ').any(|word| word == unit));
            Err(match meant.and_then(|words| words.split(' ').next()) {
                Some(name) => wrong.suggest(format!("{number}{name}")),
                None => wrong,
            })
        }
    }
}

/// A duration as [`duration`] reads it.
pub fn show_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    // Admins think of Postfix's times in seconds: 90s, 120s, 300s, 600s.
    let fitting = TIME_UNITS.iter().find(|(_, factor)| seconds > 600 && seconds.is_multiple_of(*factor));
    fitting.map_or_else(
        || format!("{seconds}s"),
        |(name, factor)| format!("{}{name}", seconds.checked_div(*factor).unwrap_or_default()),
    )
}

fn number_and_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end).unwrap_or((text, ""));
    (number, unit.trim())
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp(address) => address.fmt(f),
            Endpoint::Unix(path) => write!(f, "unix:{}", path.display()),
            Endpoint::Systemd(name) => write!(f, "systemd:{name}"),
        }
    }
}

/// Longest path of a Unix socket: `sun_path` of unix(7) without its NUL.
const MAX_UNIX_PATH: usize = 107;

impl FromStr for Endpoint {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        const EXPECTED: &str = "\"127.0.0.1:10025\", \"[::1]:10025\" or \"unix:/path\"";
        if let Some(path) = text.strip_prefix("unix:") {
            return match Path::new(path) {
                _ if !path.starts_with('/') => {
                    Err(Wrong::new(format!("`{path}` is not an absolute path"), "\"unix:/path\""))
                }
                _ if path.len() > MAX_UNIX_PATH || path.contains('\0') => {
                    Err(Wrong::new("the path is too long for a Unix socket", "at most 107 octets (unix(7))"))
                }
                path => Ok(Endpoint::Unix(path.to_path_buf())),
            };
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Endpoint::Tcp(address));
        }
        let wrong = Wrong::new(format!("`{text}` is not an address to listen on or connect to"), EXPECTED);
        let guess = match text.rsplit_once(':') {
            _ if text.starts_with('/') => Some(format!("unix:{text}")),
            Some(("localhost" | "" | "*", port)) => Some(format!("127.0.0.1:{port}")),
            Some((host, port)) if host.starts_with("inet:") => {
                Some(format!("{}:{port}", host.trim_start_matches("inet:")))
            }
            Some((host, port)) if host.parse::<std::net::Ipv6Addr>().is_ok() => Some(format!("[{host}]:{port}")),
            None => Some(format!("127.0.0.1:{text}")),
            Some(_) => None,
        };
        Err(match guess.filter(|guess| guess.starts_with("unix:") || guess.parse::<SocketAddr>().is_ok()) {
            Some(guess) => wrong.suggest(guess),
            None => wrong,
        })
    }
}

/// Longest `FileDescriptorName=` (sd_listen_fds(3)).
const MAX_SOCKET_NAME: usize = 255;

/// Where to listen: an [`Endpoint`], or `systemd:NAME` for sockets that systemd passes.
///
/// # Errors
/// Another form.
pub fn listen(text: &str) -> Result<Endpoint, Wrong> {
    let Some(name) = text.strip_prefix("systemd:") else {
        return text
            .parse()
            .map_err(|wrong: Wrong| Wrong { expected: format!("{} or \"systemd:NAME\"", wrong.expected), ..wrong });
    };
    let fits = (1..=MAX_SOCKET_NAME).contains(&name.len()) && name.chars().all(|c| c.is_ascii_graphic() && c != ':');
    let expected = "the FileDescriptorName= of a .socket unit";
    fits.then(|| Endpoint::Systemd(name.to_owned()))
        .ok_or_else(|| Wrong::new(format!("`{name}` cannot be the name of a socket"), expected))
}

/// The permissions of a socket's file: `"0660"`.
///
/// # Errors
/// Another form.
pub fn socket_mode(text: &str) -> Result<u32, Wrong> {
    let is_octal = (3..=4).contains(&text.len()) && text.chars().all(|c| ('0'..='7').contains(&c));
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| is_octal && *mode <= 0o777);
    mode.ok_or_else(|| Wrong::new(format!("`{text}` is no file mode"), "octal digits like \"0660\""))
}

/// A user or a group: its name or its number.
///
/// # Errors
/// Another form.
pub fn account(text: &str) -> Result<String, Wrong> {
    let fits = (1..=64).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-$@".contains(c))
        && !text.starts_with('-');
    fits.then(|| text.to_owned()).ok_or_else(|| {
        Wrong::new(format!("`{text}` is no name of a user or group"), "a name like \"postfix\", or a number")
    })
}

/// A network: `192.0.2.0/24`, `2001:db8::/32`, or a single address.
///
/// # Errors
/// Another form, or bits behind the prefix (Postfix warns "non-null host address bits").
pub fn network(text: &str) -> Result<IpNet, Wrong> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address));
    }
    const EXPECTED: &str = "a network like \"192.0.2.0/24\" or \"2001:db8::/32\"";
    match text.parse::<IpNet>() {
        Ok(network) if network.trunc() == network => Ok(network),
        Ok(network) => {
            Err(Wrong::new(format!("`{text}` is an address in a network"), EXPECTED)
                .suggest(network.trunc().to_string()))
        }
        Err(_) => Err(Wrong::new(format!("`{text}` is not a network"), EXPECTED)),
    }
}

/// A domain of `local_domains`, lower case: `example.jp` or `*.example.jp`.
///
/// # Errors
/// Another form.
pub fn domain(text: &str) -> Result<String, Wrong> {
    let wrong =
        || Wrong::new(format!("`{text}` is not a domain"), "\"example.jp\", or \"*.example.jp\" for its subdomains");
    if let Some(parent) = text.strip_prefix('.') {
        return Err(wrong().suggest(format!("*.{parent}")));
    }
    if let Some((_, domain)) = text.rsplit_once('@') {
        return Err(wrong().suggest(domain));
    }
    let lower = text.to_lowercase();
    let labels = lower.strip_prefix("*.").unwrap_or(&lower);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len()) && label.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_')
    };
    if labels.len() > 253 || !labels.split('.').all(is_label) { Err(wrong()) } else { Ok(lower) }
}

/// A word without white space or control characters.
///
/// # Errors
/// Another form.
pub fn word(text: &str) -> Result<String, Wrong> {
    let is_word = !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic());
    is_word
        .then(|| text.to_owned())
        .ok_or_else(|| Wrong::new(format!("`{text}` is not a name"), "a name without spaces"))
}

/// A password as people type it.
///
/// # Errors
/// Nothing, or more than any packer takes.
pub fn password(text: &str) -> Result<String, Wrong> {
    match text.chars().count() {
        1..=255 => Ok(text.to_owned()),
        // What it is stands in the file; a log is another matter.
        length => Err(Wrong::new(format!("{length} characters are no password"), "1 to 255 characters")),
    }
}

/// A folder, absolute or below the state folder.
///
/// # Errors
/// Another form.
pub fn folder(text: &str) -> Result<PathBuf, Wrong> {
    let leaves = text.split('/').any(|step| step == "..");
    if text.is_empty() || leaves || text.contains('\0') {
        return Err(Wrong::new(format!("`{text}` is not a folder"), "an absolute path, or one below the state folder"));
    }
    Ok(PathBuf::from(text))
}

/// The name of a language of tesseract.
///
/// # Errors
/// Another form.
pub fn language(text: &str) -> Result<String, Wrong> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if text.is_empty()
        || text.len() > 40
        || !text.starts_with(|c: char| c.is_ascii_alphabetic())
        || !text.chars().all(plain)
    {
        return Err(Wrong::new(
            format!("`{text}` is not the name of a language"),
            "a name like \"jpn\" or \"chi_sim\"",
        ));
    }
    Ok(text.to_owned())
}

/// A file, by an absolute path.
///
/// # Errors
/// Another form.
pub fn file(text: &str) -> Result<PathBuf, Wrong> {
    if !text.starts_with('/') || text.contains('\0') {
        return Err(Wrong::new(
            format!("`{text}` is not the path of a file"),
            "an absolute path like \"/etc/…/x.pem\"",
        ));
    }
    Ok(PathBuf::from(text))
}

/// The name in a server's certificate: a host name or an address.
///
/// # Errors
/// Another form.
pub fn server_name(text: &str) -> Result<ServerName<'static>, Wrong> {
    let name = ServerName::try_from(text.to_owned());
    name.map_err(|_| Wrong::new(format!("`{text}` is no name of a server"), "a name like \"mx.example.jp\""))
}

/// `[log] level`: a level, or tracing's directives (`info,sekisho::smtp=debug`).
///
/// # Errors
/// Another form.
pub fn log_level(text: &str) -> Result<String, Wrong> {
    const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];
    if LEVELS.contains(&text) {
        return Ok(text.to_owned());
    }
    let wrong = Wrong::new(
        format!("unknown level `{text}`"),
        "error, warn, info, debug, trace, or directives like \"info,sekisho::smtp=debug\"",
    );
    if text.chars().all(char::is_alphanumeric) {
        return Err(match super::diagnostics::did_you_mean(text, LEVELS) {
            Some(level) => wrong.suggest(level),
            None => wrong,
        });
    }
    match tracing_subscriber::EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(wrong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_print_as_they_are_read() {
        for text in ["50 MiB", "1 TiB", "10 MB", "999 octets", "512 KiB", "3 kB"] {
            assert_eq!(show_size(size(text).unwrap()), text);
        }
        for text in ["25s", "90s", "120s", "600s", "1h", "30d", "15m"] {
            assert_eq!(show_duration(duration(text).unwrap()), text);
        }
        assert_eq!(show_size(0), "0");
        assert_eq!(size("99999999999 TiB").unwrap_err().suggestion, None);
        assert_eq!(size("5M").unwrap_err().suggestion.as_deref(), Some("5 MiB"));
        assert_eq!(duration("5 min").unwrap_err().suggestion.as_deref(), Some("5m"));
    }

    #[test]
    fn endpoints_print_as_they_are_read() {
        for text in ["127.0.0.1:10025", "[::1]:10025", "unix:/run/sekisho/in.sock"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        let guess = |text: &str| text.parse::<Endpoint>().unwrap_err().suggestion.unwrap_or_default();
        assert_eq!(guess("localhost:10025"), "127.0.0.1:10025");
        assert_eq!(guess("10025"), "127.0.0.1:10025");
        assert_eq!(guess("inet:127.0.0.1:10025"), "127.0.0.1:10025");
        assert_eq!(guess("::1:10025"), "[::1]:10025");
        assert_eq!(guess("/run/x.sock"), "unix:/run/x.sock");
        assert_eq!(guess("mail.example.jp:25"), "");
        assert!(format!("unix:/{}", "x".repeat(107)).parse::<Endpoint>().is_err());
        assert!(format!("unix:/{}", "x".repeat(106)).parse::<Endpoint>().is_ok());
    }
}
