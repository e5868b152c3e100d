//! The modes: which settings of Postfix each consists of. docs/postfix.md explains them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::instance::Present;
use super::{Trouble, Wanted, exit};
use crate::config::{Config, Endpoint, Listener, Timeouts};
use crate::transport::Transport;

/// Postfix's `smtpd_proxy_timeout` unless Sekisho's deadline asks for more.
const PROXY_TIMEOUT: Duration = Duration::from_secs(100);
/// Postfix's `milter_content_timeout` unless Sekisho's deadline asks for more.
const MILTER_TIMEOUT: Duration = Duration::from_secs(300);
/// How much longer Postfix waits than Sekisho may take.
const SLACK: Duration = Duration::from_secs(10);
/// The way from the queue to Sekisho.
const TRANSPORT: &str = "sekisho";
/// Where the milter's socket is, below Postfix's queue directory.
const MILTER_SOCKET: &str = "sekisho/milter.sock";

/// How Postfix hands mail over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// smtpd_proxy_filter: Sekisho can still refuse
    #[value(name = "before-queue")]
    BeforeQueue,
    /// content_filter: mail waits in the queue, nothing is refused
    #[value(name = "after-queue")]
    AfterQueue,
    /// smtpd_milters: Sekisho can still refuse, and no mail passes through it
    #[value(name = "milter")]
    Milter,
    /// Both: refuse in front of the queue, look again behind it
    #[value(name = "milter+after-queue")]
    MilterAfterQueue,
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Mode::BeforeQueue => "before-queue",
            Mode::AfterQueue => "after-queue",
            Mode::Milter => "milter",
            Mode::MilterAfterQueue => "milter+after-queue",
        }
    }

    fn has_milter(self) -> bool {
        matches!(self, Mode::Milter | Mode::MilterAfterQueue)
    }

    fn has_filter(self) -> bool {
        matches!(self, Mode::AfterQueue | Mode::MilterAfterQueue)
    }
}

/// A place of a setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// A parameter of `main.cf`.
    Main(String),
    /// A service of `master.cf`: `smtp/inet`.
    Service(String),
    /// A parameter of a service.
    Parameter(String, String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Main(name) => f.write_str(name),
            Place::Service(key) => f.write_str(key),
            Place::Parameter(service, name) => write!(f, "{service}/{name}"),
        }
    }
}

impl Place {
    /// The service it belongs to.
    pub fn service(&self) -> Option<&str> {
        match self {
            Place::Main(_) => None,
            Place::Service(key) | Place::Parameter(key, _) => Some(key),
        }
    }

    pub fn is_service(&self) -> bool {
        matches!(self, Place::Service(_))
    }

    /// postconf's arguments that put a value there.
    pub fn command(&self, value: &str) -> Vec<String> {
        vec![self.option("-e", "-M", "-P"), format!("{self}={value}")]
    }

    /// postconf's arguments that leave nothing there.
    pub fn removal(&self) -> Vec<String> {
        vec![self.option("-X", "-MX", "-PX"), self.to_string()]
    }

    fn option(&self, main: &str, service: &str, parameter: &str) -> String {
        let option = match self {
            Place::Main(_) => main,
            Place::Service(_) => service,
            Place::Parameter(..) => parameter,
        };
        option.to_owned()
    }
}

/// One thing that a mode needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    pub place: Place,
    pub value: String,
    /// Where the value is a list of milters: ours among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
}

impl Setting {
    fn main(name: &str, value: impl Into<String>) -> Self {
        Self { place: Place::Main(name.to_owned()), value: value.into(), member: None }
    }

    fn parameter(service: &str, name: &str, value: impl Into<String>) -> Self {
        Self { place: Place::Parameter(service.to_owned(), name.to_owned()), value: value.into(), member: None }
    }

    pub fn command(&self) -> Vec<String> {
        self.place.command(&self.value)
    }
}

/// Where Postfix and Sekisho meet.
#[derive(Debug)]
pub struct Addresses {
    filter: SocketAddr,
    back: SocketAddr,
    milter: Endpoint,
    /// The milter's socket as Postfix writes it.
    milter_name: String,
}

impl Addresses {
    /// From the command line, else from Sekisho's configuration, else the defaults.
    pub fn of(
        mode: Mode,
        config: Option<&Config>,
        present: &Present,
        wanted: &Wanted,
        notes: &mut Vec<String>,
    ) -> Result<Self, Trouble> {
        let name = if mode.has_filter() { Mode::AfterQueue.name() } else { mode.name() };
        let listener = config.and_then(|config| listener(config, name));
        let defaults = Listener::of(Transport::BeforeQueue);
        let tcp = |given: Option<SocketAddr>, endpoint: Option<&Endpoint>, default: &Endpoint, option: &str| match given
        {
            Some(address) => Ok(address),
            None => match (endpoint.unwrap_or(default), default) {
                (Endpoint::Tcp(address), _) => Ok(*address),
                // The socket unit that we ship has the default address.
                (Endpoint::Systemd(_), Endpoint::Tcp(address)) => Ok(*address),
                (other, _) => Err(Trouble::new(
                    exit::USAGE,
                    format!("Postfix cannot use {other} here: name a TCP address with {option}, and listen there"),
                )),
            },
        };
        let proxy = listener.filter(|it| it.transport != Transport::Milter);
        let filter = tcp(wanted.filter, proxy.map(|it| &it.listen), &defaults.listen, "--filter")?;
        let back = tcp(wanted.back, listener.map(|it| &it.next_hop), &defaults.next_hop, "--return")?;
        if filter == back {
            let why =
                format!("Sekisho and Postfix cannot both listen on {filter}: take two addresses (--filter, --return)");
            return Err(Trouble::new(exit::USAGE, why));
        }
        let queue = Path::new(present.effective("queue_directory"));
        let configured =
            config.and_then(|config| self::listener(config, Mode::Milter.name())).map(|it| it.listen.clone());
        // The default one lies in Sekisho's state folder, where a Postfix in its chroot does not see it.
        let is_usable = |listen: &Endpoint| match listen {
            Endpoint::Tcp(_) => true,
            Endpoint::Unix(path) => path.is_absolute(),
            Endpoint::Systemd(_) => false,
        };
        let configured = configured.filter(is_usable);
        let milter = wanted.milter.clone().or(configured).unwrap_or_else(|| Endpoint::Unix(queue.join(MILTER_SOCKET)));
        let milter_name = if mode.has_milter() { milter_name(&milter, queue, present, notes)? } else { String::new() };
        Ok(Self { filter, back, milter, milter_name })
    }

    /// Where Sekisho listens in a mode.
    pub fn of_mode(&self, mode: Mode) -> Vec<Endpoint> {
        match mode {
            Mode::BeforeQueue | Mode::AfterQueue => vec![Endpoint::Tcp(self.filter)],
            Mode::Milter => vec![self.milter.clone()],
            Mode::MilterAfterQueue => vec![self.milter.clone(), Endpoint::Tcp(self.filter)],
        }
    }

    /// The `[[listener]]`s that a mode needs and the configuration lacks.
    pub fn listeners(&self, mode: Mode, config: Option<&Config>) -> Vec<String> {
        let fits = |kind: &str, address: &Endpoint| {
            // Without a file there is the default listener.
            let default = Config::default();
            let config = config.unwrap_or(&default);
            let mut own = config.listeners.iter().filter(|own| own.transport.name() == kind);
            own.any(|own| own.listen == *address || matches!(own.listen, Endpoint::Systemd(_)))
        };
        let mut blocks = Vec::new();
        if mode.has_milter() && !fits(Mode::Milter.name(), &self.milter) {
            blocks.push(self.milter_block());
        }
        if mode != Mode::Milter {
            let name = if mode.has_filter() { Transport::AfterQueue.name() } else { Transport::BeforeQueue.name() };
            if !fits(name, &Endpoint::Tcp(self.filter)) {
                blocks.push(format!(
                    "[[listener]]\nkind = \"smtp\"\nmode = \"{name}\"\nlisten = \"{}\"\nnext_hop = \"{}\"\n",
                    self.filter, self.back
                ));
            }
        }
        blocks
    }

    fn milter_block(&self) -> String {
        let (listen, back) = (&self.milter, self.back);
        match listen {
            Endpoint::Unix(path) => format!(
                "# systemctl enable --now sekisho-milter.socket makes {}\n[[listener]]\nkind = \"milter\"\n\
                 listen = \"systemd:milter\"\nrelease_to = \"{back}\"\n\
                 # without systemd: listen = \"{listen}\", socket_group = \"postfix\"\n",
                path.display()
            ),
            _ => format!("[[listener]]\nkind = \"milter\"\nlisten = \"{listen}\"\nrelease_to = \"{back}\"\n"),
        }
    }
}

/// Sekisho's listener of a kind, by the name of its transport.
fn listener<'a>(config: &'a Config, name: &str) -> Option<&'a Listener> {
    config.listeners.iter().find(|listener| listener.transport.name() == name)
}

/// The milter's address in `main.cf`. A path below the queue directory is written relative to it, which is right
/// with and without chroot(2).
fn milter_name(milter: &Endpoint, queue: &Path, present: &Present, notes: &mut Vec<String>) -> Result<String, Trouble> {
    let path = match milter {
        Endpoint::Tcp(address) => {
            notes.push(format!(
                "a Unix socket is faster and has an owner: consider unix:{}",
                queue.join(MILTER_SOCKET).display()
            ));
            return Ok(format!("inet:{}", host_and_port(*address)));
        }
        Endpoint::Unix(path) => path,
        Endpoint::Systemd(_) => {
            let why = "--milter wants the socket's address, not its name: unix:/PATH or ADDRESS:PORT";
            return Err(Trouble::new(exit::USAGE, why));
        }
    };
    if path.as_os_str().to_string_lossy().contains([' ', ',', '{', '}']) {
        return Err(Trouble::new(
            exit::USAGE,
            format!("Postfix cannot name a socket in {}: no spaces, commas, braces", path.display()),
        ));
    }
    if let Ok(inside) = path.strip_prefix(queue) {
        return Ok(format!("unix:{}", inside.display()));
    }
    let caged =
        present.services.iter().find(|service| service.chroot && ["smtpd", "cleanup"].contains(&&*service.program));
    if let Some(service) = caged {
        return Err(Trouble::new(
            exit::USAGE,
            format!(
                "{} runs chrooted in {} and cannot see {}: let Sekisho listen on a socket below that folder, such as \
                 --milter unix:{}",
                service.key,
                queue.display(),
                path.display(),
                queue.join(MILTER_SOCKET).display()
            ),
        ));
    }
    Ok(format!("unix:{}", path.display()))
}

fn host_and_port(address: SocketAddr) -> String {
    format!("[{}]:{}", address.ip(), address.port())
}

/// Everything a mode consists of, in the order in which it is set.
pub fn settings(
    mode: Mode,
    addresses: &Addresses,
    present: &Present,
    config: Option<&Config>,
    chosen: &[String],
    notes: &mut Vec<String>,
) -> Result<Vec<Setting>, Trouble> {
    if present.effective("mail_version").starts_with("2.") && mode.has_milter() {
        return Err(Trouble::new(
            exit::UNAVAILABLE,
            "this mode needs Postfix 3.0 or newer; before-queue and after-queue do not",
        ));
    }
    free_ports(mode, addresses, present)?;
    let front = front(mode, addresses, present, chosen, notes)?;
    let defaults = Timeouts::default();
    let deadline = config.map_or(&defaults, |config| &config.timeouts).reply_deadline.saturating_add(SLACK);
    let mut settings = back(mode, addresses);
    if mode.has_filter() {
        settings.extend(transport());
    }
    // smtpd says nothing more of NUL; see docs/postfix.md.
    settings.push(Setting::main("message_reject_characters", rejecting_nul(present)));
    if mode.has_filter() {
        settings.push(content_filter(addresses, present)?);
    }
    if mode.has_milter() {
        let member = milter(addresses, deadline);
        for list in ["smtpd_milters", "non_smtpd_milters"] {
            settings.extend(list_with(list, &member, present));
        }
        for override_ in overrides(present, "smtpd_milters", addresses) {
            notes.push(format!(
                "{override_} has milters of its own: Sekisho is not among them; add `{member}` there if it shall be"
            ));
        }
    }
    for service in front {
        if mode == Mode::BeforeQueue {
            settings.push(proxy_filter(&service, addresses, present)?);
            let timeout = deadline.max(PROXY_TIMEOUT).as_secs();
            settings.push(Setting::parameter(&service, "smtpd_proxy_timeout", format!("{timeout}s")));
        }
        settings.push(Setting::parameter(&service, "notify_classes", notices(present)));
    }
    Ok(settings)
}

/// Nobody else may have our ports.
fn free_ports(mode: Mode, addresses: &Addresses, present: &Present) -> Result<(), Trouble> {
    let taken = |address: SocketAddr| {
        let names = [
            format!("{address}/inet"),
            format!("{}/inet", address.port()),
            format!("[{}]:{}/inet", address.ip(), address.port()),
        ];
        present.services.iter().find(|service| names.contains(&service.key))
    };
    if mode != Mode::Milter
        && let Some(service) = taken(addresses.filter)
    {
        let why = format!(
            "master.cf has {} already, where Sekisho is to listen: give Sekisho another address (its `listen`, or --filter)",
            service.key
        );
        return Err(Trouble::new(exit::CONFIG, why));
    }
    let ours = back_line(addresses.back);
    match taken(addresses.back) {
        Some(service) if service.line != ours => {
            let why = format!(
                "master.cf has {} already, and it is not Sekisho's: take another address for mail that comes back (the \
                 listener's `next_hop`, or --return)",
                service.key
            );
            Err(Trouble::new(exit::CONFIG, why))
        }
        _ => Ok(()),
    }
}

/// The services of `master.cf` through which mail from outside comes.
fn front(
    mode: Mode,
    addresses: &Addresses,
    present: &Present,
    chosen: &[String],
    notes: &mut Vec<String>,
) -> Result<Vec<String>, Trouble> {
    if mode == Mode::AfterQueue {
        return Ok(Vec::new());
    }
    let back = format!("{}/inet", addresses.back);
    let servers: Vec<&str> = present
        .services
        .iter()
        .filter(|it| it.program == "smtpd" && it.key != back)
        .map(|it| it.key.as_str())
        .collect();
    if let Some(unknown) = chosen.iter().find(|service| !servers.contains(&service.as_str())) {
        let why = format!("master.cf has no smtpd service {unknown}; it has {}", servers.join(", "));
        return Err(Trouble::new(exit::USAGE, why));
    }
    if !chosen.is_empty() {
        return Ok(chosen.to_vec());
    }
    let public = |key: &str| {
        let (name, kind) = key.rsplit_once('/').unwrap_or((key, ""));
        let port = name.rsplit_once(':').map_or(name, |(_, port)| port);
        kind == "pass" || ["smtp", "25"].contains(&port)
    };
    let (front, others): (Vec<&str>, Vec<&str>) = servers.iter().partition(|key| public(key));
    if front.is_empty() {
        let why =
            format!("master.cf has no smtpd on port 25: name the service with --service ({})", servers.join(", "));
        return Err(Trouble::new(exit::USAGE, why));
    }
    if mode == Mode::BeforeQueue && !others.is_empty() {
        notes.push(format!("mail through {} is not scanned; --service names what is, each once", others.join(", ")));
    }
    Ok(front.into_iter().map(str::to_owned).collect())
}

fn back_line(address: SocketAddr) -> String {
    format!("{address} inet n - n - - smtpd")
}

/// The port behind Sekisho: takes mail from Sekisho only, trusts the client address that it passes on (XFORWARD), and
/// repeats none of the checks that the port in front has made. Released mail goes there in every mode.
fn back(mode: Mode, addresses: &Addresses) -> Vec<Setting> {
    let service = format!("{}/inet", addresses.back);
    let network = network(addresses.filter.ip());
    let overrides = match mode {
        Mode::BeforeQueue => "no_unknown_recipient_checks",
        Mode::Milter => "no_unknown_recipient_checks,no_milters",
        Mode::AfterQueue | Mode::MilterAfterQueue => {
            "no_unknown_recipient_checks,no_header_body_checks,no_milters,no_address_mappings"
        }
    };
    let parameters: [(&str, &str); 14] = [
        ("mynetworks", &network),
        ("smtpd_authorized_xforward_hosts", &network),
        ("smtpd_client_restrictions", ""),
        ("smtpd_helo_restrictions", ""),
        ("smtpd_sender_restrictions", ""),
        ("smtpd_relay_restrictions", "permit_mynetworks,reject"),
        ("smtpd_recipient_restrictions", "permit_mynetworks,reject"),
        ("smtpd_data_restrictions", ""),
        ("smtpd_end_of_data_restrictions", ""),
        ("smtpd_tls_security_level", "none"),
        ("smtpd_milters", ""),
        ("content_filter", ""),
        ("smtpd_proxy_filter", ""),
        ("receive_override_options", overrides),
    ];
    let line = Setting { place: Place::Service(service.clone()), value: back_line(addresses.back), member: None };
    std::iter::once(line).chain(parameters.map(|(name, value)| Setting::parameter(&service, name, value))).collect()
}

/// From where Sekisho connects.
fn network(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) if v4.is_loopback() => "127.0.0.0/8".to_owned(),
        IpAddr::V4(v4) => format!("{v4}/32"),
        IpAddr::V6(v6) => format!("[{v6}]/128"),
    }
}

/// The way to Sekisho: passes on the client's address and the queue id (XFORWARD) and leaves content as it is.
fn transport() -> Vec<Setting> {
    let service = format!("{TRANSPORT}/unix");
    let parameters = [
        ("smtp_send_xforward_command", "yes"),
        ("disable_mime_output_conversion", "yes"),
        ("smtp_tls_security_level", "none"),
        ("smtp_generic_maps", ""),
        ("smtp_header_checks", ""),
    ];
    let line = format!("{TRANSPORT} unix - - n - 10 smtp");
    let line = Setting { place: Place::Service(service.clone()), value: line, member: None };
    std::iter::once(line).chain(parameters.map(|(name, value)| Setting::parameter(&service, name, value))).collect()
}

fn content_filter(addresses: &Addresses, present: &Present) -> Result<Setting, Trouble> {
    let setting = Setting::main("content_filter", format!("{TRANSPORT}:{}", host_and_port(addresses.filter)));
    match present.value(&setting.place) {
        Some(other) if !other.is_empty() && other != setting.value => Err(Trouble::new(
            exit::CONFIG,
            format!(
                "main.cf has content_filter = {other} already, and Postfix takes one only: chain them (let Sekisho's \
                 --return be the other filter's port), or take --mode milter"
            ),
        )),
        _ => Ok(setting),
    }
}

fn proxy_filter(service: &str, addresses: &Addresses, present: &Present) -> Result<Setting, Trouble> {
    let setting = Setting::parameter(service, "smtpd_proxy_filter", addresses.filter.to_string());
    let other = present.value(&setting.place).or_else(|| present.value(&Place::Main("smtpd_proxy_filter".to_owned())));
    match other {
        Some(other) if !other.is_empty() && other != setting.value => Err(Trouble::new(
            exit::CONFIG,
            format!("{service} has smtpd_proxy_filter = {other} already, and takes one only: take --mode milter"),
        )),
        _ => Ok(setting),
    }
}

/// `message_reject_characters` with NUL among them.
fn rejecting_nul(present: &Present) -> String {
    let former = present.value(&Place::Main("message_reject_characters".to_owned())).unwrap_or_default();
    if former.contains("\\0") { former.to_owned() } else { format!("{former}\\0") }
}

/// The classes of notices without `software`: while a filter is away, Postfix would mail the postmaster for every message.
fn notices(present: &Present) -> String {
    let classes = present.effective("notify_classes").split([',', ' ', '\t']).filter(|class| !class.is_empty());
    classes.filter(|class| *class != "software").collect::<Vec<_>>().join(",")
}

/// Ours among the milters; times and the default action hold for it alone.
fn milter(addresses: &Addresses, deadline: Duration) -> String {
    format!(
        "{{ {}, default_action=tempfail, protocol=6, connect_timeout=30s, command_timeout=30s, content_timeout={}s }}",
        addresses.milter_name,
        deadline.max(MILTER_TIMEOUT).as_secs()
    )
}

/// A list of milters with ours: in its place if it is there, else last, behind those that sign or add
/// Authentication-Results. `None` if another list brings it along.
fn list_with(list: &str, member: &str, present: &Present) -> Option<Setting> {
    let place = Place::Main(list.to_owned());
    let former = present.value(&place).unwrap_or_default();
    if list == "non_smtpd_milters" && former.contains("smtpd_milters") {
        return None;
    }
    let mut members = members(former);
    match members.iter_mut().find(|other| address(other) == address(member)) {
        Some(ours) => member.clone_into(ours),
        None => members.push(member.to_owned()),
    }
    Some(Setting { place, value: members.join(", "), member: Some(member.to_owned()) })
}

/// A list of milters without ours.
pub fn without(list: &str, member: &str) -> String {
    let rest = members(list).into_iter().filter(|other| address(other) != address(member));
    rest.collect::<Vec<_>>().join(", ")
}

/// The members of a list: separated by commas and white space, except in braces.
pub fn members(list: &str) -> Vec<String> {
    let mut members = vec![String::new()];
    let mut depth = 0_u32;
    for c in list.chars() {
        match c {
            '{' => depth = depth.saturating_add(1),
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && (c == ',' || c.is_whitespace()) {
            members.push(String::new());
        } else if let Some(member) = members.last_mut() {
            member.push(c);
        }
    }
    members.retain(|member| !member.is_empty());
    members
}

/// The address of a member, `unix:path` both in `unix:path` and in `{ unix:path, default_action=accept }`.
fn address(member: &str) -> &str {
    member.trim_start_matches('{').trim_start().split([',', ' ', '}']).next().unwrap_or_default()
}

/// The services that override a parameter with a value of their own.
fn overrides(present: &Present, name: &str, addresses: &Addresses) -> Vec<String> {
    let back = format!("{}/inet", addresses.back);
    let services = present.services.iter().filter(|service| service.key != back);
    services
        .map(|service| Place::Parameter(service.key.clone(), name.to_owned()))
        .filter(|place| present.value(place).is_some())
        .map(|place| place.to_string())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_milters_keep_their_braces() {
        let list = "unix:opendkim/s, { inet:localhost:1, default_action=accept }\tinet:localhost:2,";
        let all = members(list);
        assert_eq!(all, ["unix:opendkim/s", "{ inet:localhost:1, default_action=accept }", "inet:localhost:2"]);
        assert_eq!(
            all.iter().map(|member| address(member)).collect::<Vec<_>>(),
            ["unix:opendkim/s", "inet:localhost:1", "inet:localhost:2"]
        );
        assert_eq!(without(list, "{ inet:localhost:1, x=y }"), "unix:opendkim/s, inet:localhost:2");
        assert_eq!(without("{unix:a}", "unix:a"), "");
        assert_eq!(members("{{ } , a").len(), 1, "a brace that never ends");
    }
}
