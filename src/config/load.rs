//! From a file to a checked [`Config`], or to everything that is wrong with it.

use std::fmt;
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};

use rustls::pki_types::ServerName;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::allows;
use crate::config::diagnostics::{Diagnostics, Problem, Source};
use crate::config::keys::{Kind, LISTENER, ListenerDraft, SECTIONS, Side, TlsUse};
use crate::config::rules::{self, Placed};
use crate::config::walk::Walk;
use crate::config::{ClientTls, Config, Endpoint, Listener, NextHopProtocol, ServerTls, SocketFile, values};
use crate::policy::Policy;
use crate::policy::decision::Action;
use crate::tls::{BadIdentity, Connector, Identity};
use crate::transport::Transport;

/// Largest configuration file. 1 MiB: some ten thousand rules.
pub const MAX_FILE: u64 = 1 << 20;

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// The file cannot be read, or has errors. Warnings come with the configuration.
    pub fn load(path: &Path) -> Result<(Self, Diagnostics), LoadError> {
        let unreadable = |error| LoadError::Unreadable { path: path.to_owned(), error };
        let mut octets = Vec::new();
        let file = std::fs::File::open(path).map_err(unreadable)?;
        file.take(MAX_FILE.saturating_add(1)).read_to_end(&mut octets).map_err(unreadable)?;
        if octets.len() as u64 > MAX_FILE {
            return Err(unreadable(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 MiB")));
        }
        let name = path.display().to_string();
        let (config, diagnostics) = match std::str::from_utf8(&octets) {
            Ok(text) => Self::check(text, &name),
            Err(error) => (Self::default(), not_utf8(&octets, error.valid_up_to(), &name)),
        };
        if diagnostics.has_errors() { Err(LoadError::Invalid(diagnostics)) } else { Ok((config, diagnostics)) }
    }

    /// The configuration in `text`; `file` is how the file is called in diagnostics.
    ///
    /// # Errors
    /// Everything that is wrong, warnings included, if there is an error.
    pub fn parse(text: &str, file: &str) -> Result<Self, Diagnostics> {
        let (config, diagnostics) = Self::check(text, file);
        if diagnostics.has_errors() { Err(diagnostics) } else { Ok(config) }
    }

    /// The configuration in `text`, with the default wherever there is an error, and everything
    /// that is wrong.
    pub fn check(text: &str, file: &str) -> (Self, Diagnostics) {
        let source = Source::new(text, file);
        let (document, errors) = DeTable::parse_recoverable(text);
        let (syntax, readable) = syntax_problems(&source, document.get_ref(), &errors);
        let mut walk = Walk::default();
        let config = read(&mut walk, &source, document.get_ref());
        let mut problems = walk.problems;
        if !syntax.is_empty() {
            problems.retain(|problem| problem.span.start < readable && !is_doubtful(&source, problem, &syntax));
            problems.extend(syntax);
        }
        problems.sort_by_key(|problem| problem.span.start);
        (config, Diagnostics(problems.into_iter().map(|problem| source.diagnostic(problem)).collect()))
    }
}

/// Why a configuration cannot be used.
#[derive(Debug)]
pub enum LoadError {
    /// There is no such file, or it may not be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It has errors.
    Invalid(Diagnostics),
}

impl std::error::Error for LoadError {}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Invalid(diagnostics) => diagnostics.fmt(f),
            LoadError::Unreadable { path, error } => {
                write!(f, "{}: cannot be read: {error}", path.display())?;
                match error.kind() {
                    io::ErrorKind::NotFound => {
                        f.write_str("; name another file, or make this one: an empty file is valid")
                    }
                    io::ErrorKind::PermissionDenied => {
                        f.write_str("; let the user that Sekisho runs as read it (chmod, chgrp)")
                    }
                    io::ErrorKind::IsADirectory => f.write_str("; name the file in this folder"),
                    _ => Ok(()),
                }
            }
        }
    }
}

fn not_utf8(octets: &[u8], valid: usize, file: &str) -> Diagnostics {
    let text = String::from_utf8_lossy(octets);
    let problem = Problem::error(valid..valid, "the file is not UTF-8 here").expected("UTF-8, without other encodings");
    Diagnostics(vec![Source::new(&text, file).diagnostic(problem)])
}

/// Whether a problem may only seem to be one, since there is text that could not be read: on the same
/// line, or, if something is missing, before the next header.
fn is_doubtful(source: &Source<'_>, problem: &Problem, syntax: &[Problem]) -> bool {
    let at = problem.span.start;
    let rest = source.text.get(at..).unwrap_or_default();
    let end = rest.find("\n[").map_or(source.text.len(), |length| at.saturating_add(length));
    syntax
        .iter()
        .map(|error| error.span.start)
        .any(|error| source.line(error) == source.line(at) || problem.missing && (at..=end).contains(&error))
}

/// The syntax errors, one a line, and how far the text could be read.
fn syntax_problems(source: &Source<'_>, document: &DeTable<'_>, errors: &[toml::de::Error]) -> (Vec<Problem>, usize) {
    let mut found: Vec<(Range<usize>, &str)> =
        errors.iter().map(|error| (error.span().unwrap_or_default(), error.message())).collect();
    found.sort_by_key(|(span, _)| span.start);
    let mut readable = usize::MAX;
    // An array that is never closed swallows the rest of the file; only its first line tells more.
    if found.iter().any(|(_, message)| message.starts_with("unclosed array")) {
        let swallows = |message: &str| message.starts_with("missing comma") || message.starts_with("unclosed array");
        if let Some(first) = found.iter().position(|(_, message)| swallows(message)) {
            found.truncate(first.saturating_add(1));
            if let Some((span, message)) = found.last_mut() {
                readable = span.start;
                *message = "the list before this is not closed, expected `,` or `]`";
            }
        }
    }
    found.dedup_by_key(|(span, _)| source.line(span.start));
    found.truncate(MAX_SYNTAX_ERRORS);
    let problems = found.into_iter().map(|(span, message)| syntax_problem(source, document, span, message)).collect();
    (problems, readable)
}

/// Whoever has more has given us another kind of file.
const MAX_SYNTAX_ERRORS: usize = 100;

fn syntax_problem(source: &Source<'_>, document: &DeTable<'_>, span: Range<usize>, message: &str) -> Problem {
    if message == "duplicate key" {
        let key = source.text.get(span.clone()).unwrap_or_default();
        let message = match first_place(source, document, &span, key) {
            Some(at) => format!("`{key}` is set twice; first in line {}", source.line(at)),
            None => format!("`{key}` is set twice"),
        };
        return Problem::error(span, message);
    }
    if message.starts_with("string values must be quoted") {
        let word = source.text.get(span.clone()).filter(|word| !word.contains(['"', '\n']));
        return Problem::error(span, "strings must be quoted").suggest(word.map(|word| format!("\"{word}\"")));
    }
    let (message, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    let problem = Problem::error(span, message);
    if expected.is_empty() { problem } else { problem.expected(expected) }
}

/// Where a key that stands twice in a table (or a table that stands twice) stood first.
fn first_place(source: &Source<'_>, document: &DeTable<'_>, again: &Range<usize>, key: &str) -> Option<usize> {
    let mut tables = vec![document];
    let mut best: Option<usize> = None;
    while let Some(table) = tables.pop() {
        for (name, value) in table {
            let start = name.span().start;
            if name.get_ref() == key && start < again.start {
                best = best.max(Some(start));
            }
            match value.get_ref() {
                DeValue::Table(inner) => tables.push(inner),
                DeValue::Array(items) => tables.extend(items.iter().filter_map(|item| item.get_ref().as_table())),
                _ => {}
            }
        }
    }
    // The parser keeps the second header of a table; the first is found by its text.
    best.or_else(|| source.text.find(&format!("[{key}]")).filter(|at| *at < again.start.saturating_sub(1)))
}

/// Reads the whole document.
fn read(walk: &mut Walk, source: &Source<'_>, document: &DeTable<'_>) -> Config {
    let mut config = Config::default();
    let names = SECTIONS.iter().map(|section| section.name).filter(|name| !name.is_empty());
    let others: Vec<&str> = names.chain(["listener", "rule", "allow"]).collect();
    for section in SECTIONS {
        if section.name.is_empty() {
            walk.table(document, section.keys, &others, ("key", ""), &mut config);
        } else if let Some((key, value)) = document.get_key_value(section.name) {
            match value.get_ref() {
                DeValue::Table(table) => {
                    let place = format!(" in [{}]", section.name);
                    walk.table(table, section.keys, &[], ("key", &place), &mut config);
                }
                _ => walk.push(section_expected(key.span(), section.name)),
            }
        }
    }
    let drafts = document.get("listener").map(|value| read_listeners(walk, value)).unwrap_or_default();
    let allows = document.get("allow").map(|value| allows::read(walk, source, value)).unwrap_or_default();
    let rules = document.get("rule").map(|value| rules::read(walk, source, value)).unwrap_or_default();
    if !drafts.is_empty() {
        config.listeners = drafts.iter().map(|draft| draft.listener.clone()).collect();
    }
    check_listeners(walk, source, &config, &drafts, document);
    check_refusals(walk, &config, &rules);
    check_times(walk, &config, document);
    rules::warn(walk, &rules, config.on_error);
    config.policy = Policy::new(
        rules.into_iter().filter(|placed| placed.sound).map(|placed| placed.rule).collect(),
        config.on_error,
    )
    .with_allows(allows);
    config
}

fn section_expected(key: Range<usize>, name: &str) -> Problem {
    Problem::error(key, format!("`{name}` is a section")).expected(format!("[{name}]"))
}

/// A listener, and where its addresses stand.
struct PlacedListener {
    listener: Listener,
    listen: Range<usize>,
    /// A key about a Unix socket's file that says something of its own.
    socket: Option<Range<usize>>,
    next_hop: Range<usize>,
}

fn read_listeners(walk: &mut Walk, value: &Spanned<DeValue<'_>>) -> Vec<PlacedListener> {
    let mut listeners = Vec::new();
    for table in walk.tables(value, "listener") {
        let mut draft = ListenerDraft::default();
        if let DeValue::Table(keys) = table.get_ref() {
            walk.table(keys, LISTENER, &[], ("key", " in a [[listener]]"), &mut draft);
        }
        listeners.push(finish_listener(walk, draft, table.span()));
    }
    listeners
}

/// The keys of a proxy: a milter's MTA does all that.
const NOT_OF_A_MILTER: &[&str] = &[
    "mode",
    "next_hop",
    "next_hop_protocol",
    "refusals",
    "bare_newlines",
    "xforward_networks",
    "xclient_networks",
    "tls",
    "tls_cert",
    "tls_key",
];

/// The listener that a draft makes: the defaults of its kind, and what the file says.
fn finish_listener(walk: &mut Walk, draft: ListenerDraft, header: Range<usize>) -> PlacedListener {
    let transport = match (draft.kind, draft.mode) {
        (Kind::Smtp, None | Some(Side::Before)) => Transport::BeforeQueue,
        (Kind::Smtp, Some(Side::After)) => Transport::AfterQueue,
        (Kind::Lmtp, Some(Side::Before)) => Transport::LmtpBeforeQueue,
        (Kind::Lmtp, None | Some(Side::After)) => Transport::LmtpAfterQueue,
        (Kind::Milter, _) => Transport::Milter,
    };
    let (foreign, kind, expected): (&[&str], _, _) = match draft.kind {
        Kind::Smtp => (&["release_to", "hold_in"], "smtp", "next_hop"),
        Kind::Lmtp => (&["release_to", "hold_in"], "lmtp", "next_hop"),
        Kind::Milter => (NOT_OF_A_MILTER, "milter", "listen and release_to"),
    };
    for (key, place) in foreign.iter().filter_map(|key| draft.places.get_key_value(key)) {
        let message = format!("`{key}` has no meaning for a listener of kind `{kind}`");
        walk.push(Problem::error(place.clone(), message).expected(expected));
    }
    let place = |key: &str| draft.places.get(key).cloned();
    if let (Kind::Smtp, Some(NextHopProtocol::Lmtp)) = (draft.kind, draft.next_hop_protocol) {
        let message = "an smtp listener cannot have an lmtp next hop: that says of each recipient whether it has the \
            message, which one reply cannot pass on";
        let problem = Problem::error(place("next_hop_protocol").unwrap_or(header.clone()), message);
        walk.push(problem.expected("kind = \"lmtp\", or a next hop that speaks SMTP"));
    }
    let defaults = Listener::of(transport);
    let tls = server_tls(walk, &draft, &header);
    let next_hop_tls = client_tls(walk, &draft, draft.next_hop.as_ref().unwrap_or(&defaults.next_hop));
    PlacedListener {
        listen: place("listen").unwrap_or(header.clone()),
        socket: (draft.socket != SocketFile::default())
            .then(|| place("socket_owner").or(place("socket_group")).or(place("socket_mode")))
            .flatten(),
        next_hop: place("next_hop").or_else(|| place("release_to")).unwrap_or(header),
        listener: Listener {
            transport,
            listen: draft.listen.unwrap_or(defaults.listen),
            socket: draft.socket,
            next_hop: draft.next_hop.unwrap_or(defaults.next_hop),
            next_hop_protocol: draft.next_hop_protocol.unwrap_or(defaults.next_hop_protocol),
            refusals: draft.refusals,
            bare_newlines: draft.bare_newlines,
            xforward_networks: draft.xforward_networks.unwrap_or(defaults.xforward_networks),
            hold_in: draft.hold_in,
            xclient_networks: draft.xclient_networks,
            tls,
            next_hop_tls,
        },
    }
}

/// Says that keys are of no use, since the one that they belong to is not set so.
fn useless(walk: &mut Walk, draft: &ListenerDraft, keys: &[&str], without: &str) {
    for (key, place) in keys.iter().filter_map(|key| draft.places.get_key_value(key)) {
        walk.push(Problem::warning(place.clone(), format!("`{key}` does nothing")).expected(without));
    }
}

/// TLS with clients, with the certificate as it is now.
fn server_tls(walk: &mut Walk, draft: &ListenerDraft, header: &Range<usize>) -> Option<ServerTls> {
    let place = |key: &str| draft.places.get(key).cloned();
    if draft.tls == TlsUse::Off {
        useless(walk, draft, &["tls_cert", "tls_key"], "tls = \"may\" or \"encrypt\" beside it");
        return None;
    }
    let (Some(certificate), Some(key)) = (&draft.tls_cert, &draft.tls_key) else {
        for (missing, what) in [("tls_cert", "certificate"), ("tls_key", "key")] {
            if place(missing).is_none() {
                let at = place("tls").unwrap_or(header.clone());
                walk.push(
                    Problem::error(at, format!("`tls` needs a {what}")).expected(format!("`{missing}` beside it")),
                );
            }
        }
        return None;
    };
    let (key_of_file, message) = match Identity::load(certificate, key) {
        Ok(identity) => return Some(ServerTls { required: draft.tls == TlsUse::Encrypt, identity }),
        Err(BadIdentity::Certificate(message)) => ("tls_cert", message),
        Err(BadIdentity::Key(message)) => ("tls_key", message),
    };
    let problem = Problem::error(place(key_of_file).unwrap_or(header.clone()), message);
    walk.push(problem.expected("a PEM file with the certificate, and one with its key"));
    None
}

/// TLS with the next hop, with the roots as they are now.
fn client_tls(walk: &mut Walk, draft: &ListenerDraft, next_hop: &Endpoint) -> Option<ClientTls> {
    let at = draft.places.get("next_hop_tls").cloned()?;
    let verify = draft.next_hop_tls == TlsUse::Verify;
    if !verify {
        let keys = ["next_hop_tls_ca", "next_hop_tls_name"];
        useless(walk, draft, &keys, "next_hop_tls = \"verify\" beside it");
    }
    if draft.next_hop_tls == TlsUse::Off {
        return None;
    }
    let name = match (&draft.next_hop_tls_name, next_hop) {
        (Some(name), _) => name.clone(),
        (None, Endpoint::Tcp(address)) => ServerName::IpAddress(address.ip().into()),
        (None, Endpoint::Unix(_)) if verify => {
            let message = "a Unix socket has no name that could stand in a certificate";
            walk.push(Problem::error(at, message).expected("`next_hop_tls_name` beside it"));
            return None;
        }
        (None, Endpoint::Unix(_) | Endpoint::Systemd(_)) => ServerName::IpAddress(Ipv4Addr::LOCALHOST.into()),
    };
    let connector = match verify {
        true => Connector::verifying(draft.next_hop_tls_ca.as_deref(), name),
        false => Connector::trusting(name),
    };
    match connector {
        Ok(connector) => Some(ClientTls { required: draft.next_hop_tls != TlsUse::May, connector }),
        Err(message) => {
            let place = draft.places.get("next_hop_tls_ca").cloned().unwrap_or(at);
            walk.push(Problem::error(place, message).expected("next_hop_tls_ca with a PEM file of roots"));
            None
        }
    }
}

/// Two listeners cannot share an address, and none may send mail to a listener: it would go
/// round in circles.
fn check_listeners(
    walk: &mut Walk,
    source: &Source<'_>,
    config: &Config,
    drafts: &[PlacedListener],
    document: &DeTable<'_>,
) {
    for (index, draft) in drafts.iter().enumerate() {
        let listen = &draft.listener.listen;
        let earlier = drafts.iter().take(index).find(|other| meet(listen, &other.listener.listen));
        if let Some(other) = earlier {
            let line = source.line(other.listen.start);
            let message = format!("the listener in line {line} listens on {} already", other.listener.listen);
            walk.push(Problem::error(draft.listen.clone(), message).expected("another address or port"));
        }
        if let Some(span) = draft.socket.clone().filter(|_| !matches!(listen, Endpoint::Unix(_))) {
            let (message, expected) = match listen {
                Endpoint::Systemd(_) => (
                    "systemd makes this listener's socket, and gives it owner, group and mode",
                    "SocketUser=, SocketGroup= and SocketMode= in the .socket unit",
                ),
                _ => ("this listener has no Unix socket, hence no file to own", "listen = \"unix:/path\""),
            };
            walk.push(Problem::warning(span, message).expected(expected));
        }
        let next_hop = &draft.listener.next_hop;
        if drafts.iter().any(|other| meet(next_hop, &other.listener.listen)) {
            let message = format!("mail would go round in circles: {next_hop} is one of our own listeners");
            walk.push(Problem::error(draft.next_hop.clone(), message).expected("the server that takes filtered mail"));
        }
        if matches!(next_hop, Endpoint::Tcp(address) if address.port() == 0) {
            walk.push(Problem::error(draft.next_hop.clone(), "nothing can be sent to port 0").expected("a port"));
        }
    }
    let span = document.get("http").and_then(|http| http.get_ref().get("listen")).map(Spanned::span);
    if let (Some(span), Some(http)) = (span, &config.http)
        && let Some(listener) = config.listeners.iter().find(|listener| meet(&listener.listen, http))
    {
        let message = format!("a listener for mail is on {} already", listener.listen);
        walk.push(Problem::error(span, message).expected("another address or port"));
    }
}

/// Whether both are the same place; a wildcard address is every address of the host.
pub(crate) fn meet(a: &Endpoint, b: &Endpoint) -> bool {
    match (a, b) {
        (Endpoint::Tcp(a), Endpoint::Tcp(b)) => {
            let wild = |address: &SocketAddr| address.ip().is_unspecified();
            let near = |address: &SocketAddr| wild(address) || address.ip().is_loopback();
            a.port() != 0 && a.port() == b.port() && (a.ip() == b.ip() || wild(a) && near(b) || wild(b) && near(a))
        }
        (Endpoint::Unix(a), Endpoint::Unix(b)) => a == b,
        (Endpoint::Systemd(a), Endpoint::Systemd(b)) => a == b,
        // What systemd passes is known only at the start.
        (Endpoint::Tcp(_) | Endpoint::Unix(_) | Endpoint::Systemd(_), _) => false,
    }
}

fn check_refusals(walk: &mut Walk, config: &Config, rules: &[Placed]) {
    let Some(after) = config.listeners.iter().find(|listener| !listener.transport.may_refuse()) else { return };
    for placed in rules.iter().filter(|placed| matches!(placed.rule.action, Action::Reject { .. })) {
        let message = format!(
            "`reject` does not go with the after-queue listener {}: the mail is accepted already, and a refusal \
             would become a bounce to a sender who is usually forged (backscatter)",
            after.listen
        );
        walk.push(Problem::error(placed.action.clone(), message).suggest(Some("quarantine")));
    }
}

fn check_times(walk: &mut Walk, config: &Config, document: &DeTable<'_>) {
    let place =
        |section: &str, key: &str| document.get(section).and_then(|table| table.get_ref().get(key)).map(Spanned::span);
    let (limits, deadline) = (&config.limits, config.timeouts.reply_deadline.as_secs());
    let deadline_at = place("timeouts", "reply_deadline");
    // The defaults fit together, so one of the two keys is set where they do not.
    if limits.max_scan_time >= deadline
        && let Some(span) = place("limits", "max_scan_time").or(deadline_at.clone())
    {
        let message =
            format!("max_scan_time ({} s) leaves nothing of reply_deadline ({deadline} s)", limits.max_scan_time);
        walk.push(Problem::error(span, message).expected("max_scan_time below reply_deadline"));
    }
    if let Some(span) = deadline_at.filter(|_| deadline >= 100) {
        let message = "Postfix's smtpd_proxy_timeout is 100 s unless changed: it would give up before our reply";
        walk.push(Problem::warning(span, message).expected("less than \"100s\""));
    }
    let file_at = place("limits", "max_file_size");
    if limits.max_file_size > limits.max_scan_size
        && let Some(span) = file_at.clone().or(place("limits", "max_scan_size"))
    {
        let message = "max_file_size is more than max_scan_size, the limit of all parts together";
        walk.push(
            Problem::error(span, message).expected(format!("at most {}", values::show_size(limits.max_scan_size))),
        );
    }
    if limits.max_message_size > limits.max_file_size
        && let Some(span) = place("limits", "max_message_size").or(file_at)
    {
        let message = "a message above max_file_size is accepted, but never inspected as a whole";
        walk.push(Problem::warning(span, message).expected("max_message_size of at most max_file_size"));
    }
}
