//! Every key of the configuration file, with its default and reason.
//!
//! A new key is a field in [`crate::config`], its default there, a line here, and its commented
//! line in `config/sekisho.toml` and in `docs/configuration.md`; tests compare all of them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use rustls::pki_types::ServerName;

use crate::config::allows::ALLOW;
use crate::config::diagnostics::Problem;
use crate::config::rules::{self, RULE, WHEN};
use crate::config::walk::{Field, Key, Walk, one_of};
use crate::config::{
    BareNewlines, Config, Endpoint, HoldIn, LogFormat, NextHopProtocol, NoticeLanguage, OcrProgram, OnError, Opened,
    Refusals, SocketFile, values,
};

/// A `[section]` with fixed keys.
pub struct Section {
    /// Its name; empty for the top of the file.
    pub name: &'static str,
    /// Its keys.
    pub keys: &'static [Key<Config>],
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

const DURATION: &str = "a duration like \"90s\"";
const SIZE: &str = "a size like \"50 MiB\"";
const INTEGER: &str = "an integer";
const NETWORKS: &str = "networks like \"192.0.2.0/24\"";
const FILE: &str = "the absolute path of a file";
const ENDPOINT: &str = "\"ADDRESS:PORT\" or \"unix:/path\"";
const LISTEN: &str = "\"ADDRESS:PORT\", \"unix:/path\" or \"systemd:NAME\"";
const ACCOUNT: &str = "a name like \"postfix\", or a number in quotes";

/// The top of the file and its plain sections.
pub const SECTIONS: &[Section] = &[
    Section {
        name: "",
        keys: &[
            Key {
                name: "version",
                wants: "the integer 1",
                default: "1",
                doc: "Of this format; a newer Sekisho keeps reading version 1.",
                read: read_version,
            },
            Key {
                name: "on_error",
                wants: "\"defer\", \"quarantine\" or \"pass\"",
                default: "\"defer\"",
                doc: "What to do with a message at which the scanner itself failed; deferred mail comes again, and what fails three times is held.",
                read: |walk, field, config| {
                    let choices =
                        [("defer", OnError::Defer), ("quarantine", OnError::Quarantine), ("pass", OnError::Pass)];
                    walk.choice(field, &choices, &mut config.on_error);
                },
            },
        ],
    },
    Section {
        name: "http",
        keys: &[Key {
            name: "listen",
            wants: "\"ADDRESS:PORT\", \"unix:/path\", \"systemd:NAME\" or \"off\"",
            default: "\"127.0.0.1:9125\"",
            doc: "Metrics and health. Without authentication, so keep it on this host.",
            read: |walk, field, config| {
                let parse = |text: &str| if text == "off" { Ok(None) } else { values::listen(text).map(Some) };
                if let Some(endpoint) = walk.parsed(field, parse) {
                    config.http = endpoint;
                }
            },
        }],
    },
    Section {
        name: "limits",
        keys: &[
            Key {
                name: "max_message_size",
                wants: SIZE,
                default: "\"50 MiB\"",
                doc: "A larger message is refused (552). Postfix's own default is 10 MB, large providers take 25 to 50 MB.",
                read: |walk, field, config| walk.size(field, 64 * KIB..=2 * GIB, &mut config.limits.max_message_size),
            },
            Key {
                name: "max_files",
                wants: INTEGER,
                default: "2000",
                doc: "Parts of a message at all depths. A mail with a thousand attachments is no letter; a large workbook has some hundred members.",
                read: |walk, field, config| walk.count(field, 10..=1_000_000, &mut config.limits.max_files),
            },
            Key {
                name: "max_recursion",
                wants: INTEGER,
                default: "16",
                doc: "Nesting of parts. Outlook never nests deeper than 3; droppers were seen with 7.",
                read: |walk, field, config| walk.count(field, 2..=100, &mut config.limits.max_recursion),
            },
            Key {
                name: "max_file_size",
                wants: SIZE,
                default: "\"100 MiB\"",
                doc: "One unpacked part; the head of a larger one is still examined. As ClamAV's.",
                read: |walk, field, config| walk.size(field, 64 * KIB..=4 * GIB, &mut config.limits.max_file_size),
            },
            Key {
                name: "max_scan_size",
                wants: SIZE,
                default: "\"400 MiB\"",
                doc: "All unpacked parts of a message together. As ClamAV's.",
                read: |walk, field, config| walk.size(field, 64 * KIB..=16 * GIB, &mut config.limits.max_scan_size),
            },
            Key {
                name: "max_scan_time",
                wants: DURATION,
                default: "\"25s\"",
                doc: "One scan; longer is a fault (see on_error). Leaves most of reply_deadline to the next hop.",
                read: |walk, field, config| {
                    let mut time = Duration::from_secs(config.limits.max_scan_time);
                    walk.duration(field, 1..=HOUR, &mut time);
                    config.limits.max_scan_time = time.as_secs();
                },
            },
            Key {
                name: "max_connections",
                wants: INTEGER,
                default: "200",
                doc: "Open sessions in all; more are answered 421. Twice Postfix's default_process_limit.",
                read: |walk, field, config| walk.count(field, 1..=100_000, &mut config.service.max_connections),
            },
            Key {
                name: "max_connections_per_client",
                wants: INTEGER,
                default: "50",
                doc: "Open sessions of one address; peers in xforward_networks are exempt. As Postfix's smtpd_client_connection_count_limit.",
                read: |walk, field, config| {
                    walk.count(field, 1..=100_000, &mut config.service.max_connections_per_client);
                },
            },
            Key {
                name: "max_recipients",
                wants: INTEGER,
                default: "1000",
                doc: "Recipients of a message; more are answered 452. As Postfix's smtpd_recipient_limit; RFC 5321 4.5.3.1.8 asks for 100.",
                read: |walk, field, config| walk.count(field, 100..=100_000, &mut config.service.max_recipients),
            },
            Key {
                name: "max_errors",
                wants: INTEGER,
                default: "20",
                doc: "Commands that led nowhere before a session is closed (421). As Postfix's smtpd_hard_error_limit.",
                read: |walk, field, config| walk.count(field, 1..=10_000, &mut config.service.max_errors),
            },
            Key {
                name: "max_scans",
                wants: INTEGER,
                default: "0",
                doc: "Scans at the same time; 0 means twice as many as cores. One client (an IPv4 /24 or an IPv6 /64) has at most half of them, so that one alone still uses all cores.",
                read: |walk, field, config| walk.count(field, 0..=1024, &mut config.service.max_scans),
            },
            Key {
                name: "max_waiting",
                wants: INTEGER,
                default: "256",
                doc: "Messages that wait for a scan; one more is deferred (451). One client has at most half of the places, which is more than Postfix's default_process_limit (100).",
                read: |walk, field, config| walk.count(field, 0..=10_000, &mut config.service.max_waiting),
            },
            Key {
                name: "max_worker_memory",
                wants: SIZE,
                default: "\"1 GiB\"",
                doc: "Address space of one worker process; a message that needs more is not inspected (on_error). max_scan_size twice over, and the message.",
                read: |walk, field, config| {
                    walk.size(field, 128 * MIB..=64 * GIB, &mut config.service.max_worker_memory)
                },
            },
            Key {
                name: "spool_threshold",
                wants: SIZE,
                default: "\"512 KiB\"",
                doc: "Larger messages wait in a file instead of in memory. Most mail never touches the disk.",
                read: |walk, field, config| walk.size(field, 0..=GIB, &mut config.service.spool_threshold),
            },
            Key {
                name: "spool_min_free",
                wants: SIZE,
                default: "\"64 MiB\"",
                doc: "What stays free on the disk where messages wait; a message that would need it is deferred (452). The quarantine and its index are mostly on the same disk, and fail worse.",
                read: |walk, field, config| walk.size(field, 0..=1024 * TIB, &mut config.service.spool_min_free),
            },
            Key {
                name: "max_memory",
                wants: SIZE,
                default: "\"64 MiB\"",
                doc: "Content of all messages in flight that is kept in memory; beyond it they wait in files whatever their size. Enough for 128 of spool_threshold, more than Postfix's default_process_limit (100).",
                read: |walk, field, config| walk.size(field, 0..=TIB, &mut config.service.max_memory),
            },
        ],
    },
    Section {
        name: "timeouts",
        keys: &[
            Key {
                name: "reply_deadline",
                wants: DURATION,
                default: "\"90s\"",
                doc: "From the final dot to our reply: waiting, scan, next hop. Must end before Postfix's smtpd_proxy_timeout (100 s).",
                read: |walk, field, config| walk.duration(field, 5..=HOUR, &mut config.timeouts.reply_deadline),
            },
            Key {
                name: "connect",
                wants: DURATION,
                default: "\"30s\"",
                doc: "Connecting to the next hop, which is near.",
                read: |walk, field, config| walk.duration(field, 1..=HOUR, &mut config.timeouts.connect),
            },
            Key {
                name: "next_hop_command",
                wants: DURATION,
                default: "\"30s\"",
                doc: "The next hop's banner and its replies to EHLO, MAIL, RCPT, RSET.",
                read: |walk, field, config| walk.duration(field, 1..=HOUR, &mut config.timeouts.next_hop_command),
            },
            Key {
                name: "next_hop_data",
                wants: DURATION,
                default: "\"120s\"",
                doc: "The next hop's 354 (RFC 5321 4.5.3.2.4).",
                read: |walk, field, config| walk.duration(field, 1..=HOUR, &mut config.timeouts.next_hop_data),
            },
            Key {
                name: "next_hop_content",
                wants: DURATION,
                default: "\"180s\"",
                doc: "No progress while content is written (RFC 5321 4.5.3.2.5).",
                read: |walk, field, config| walk.duration(field, 1..=HOUR, &mut config.timeouts.next_hop_content),
            },
            Key {
                name: "next_hop_end",
                wants: DURATION,
                default: "\"600s\"",
                doc: "The next hop's reply to the final dot (RFC 5321 4.5.3.2.6); reply_deadline cuts it.",
                read: |walk, field, config| walk.duration(field, 1..=HOUR, &mut config.timeouts.next_hop_end),
            },
            Key {
                name: "client",
                wants: DURATION,
                default: "\"300s\"",
                doc: "The client's next command or content (RFC 5321 4.5.3.2.7).",
                read: |walk, field, config| walk.duration(field, 1..=HOUR, &mut config.timeouts.client),
            },
            Key {
                name: "shutdown",
                wants: DURATION,
                default: "\"30s\"",
                doc: "From SIGTERM until whatever remains is cut; below systemd's TimeoutStopSec.",
                read: |walk, field, config| walk.duration(field, 1..=HOUR, &mut config.timeouts.shutdown),
            },
        ],
    },
    Section {
        name: "mail",
        keys: &[
            Key {
                name: "local_domains",
                wants: "domains like \"example.jp\" or \"*.example.jp\"",
                default: "[]",
                doc: "Domains whose mail ends here: they tell inbound, outbound and internal mail apart.",
                read: |walk, field, config| config.mail.local_domains = walk.list(field, values::domain),
            },
            Key {
                name: "local_networks",
                wants: NETWORKS,
                default: "[\"127.0.0.0/8\", \"::1/128\"]",
                doc: "Networks of our own users and servers, as Postfix's mynetworks.",
                read: read_local_networks,
            },
            Key {
                name: "authserv_ids",
                wants: "names like \"mx.example.jp\"",
                default: "[]",
                doc: "Whose Authentication-Results fields to trust; everybody can write one.",
                read: |walk, field, config| config.mail.authserv_ids = walk.list(field, values::word),
            },
            Key {
                name: "passwords",
                wants: "passwords of 1 to 255 characters",
                default: "[]",
                doc: "Tried on everything encrypted, before what the mail itself tells.",
                read: |walk, field, config| config.mail.passwords = walk.list(field, values::password),
            },
            Key {
                name: "language",
                wants: "\"auto\", \"en\" or \"ja\"",
                default: "\"auto\"",
                doc: "Of the notice in the place of a stripped attachment; auto: Japanese for recipients in .jp, English for others.",
                read: |walk, field, config| {
                    let choices = [
                        ("auto", NoticeLanguage::Auto),
                        ("en", NoticeLanguage::English),
                        ("ja", NoticeLanguage::Japanese),
                    ];
                    walk.choice(field, &choices, &mut config.mail.language);
                },
            },
        ],
    },
    Section {
        name: "ocr",
        keys: &[
            Key {
                name: "program",
                wants: "\"auto\", \"off\" or the absolute path of a file",
                default: "\"auto\"",
                doc: "Reads the text in pictures of documents with active content; auto: /usr/bin/tesseract, if it is installed. Read at start.",
                read: |walk, field, config| {
                    let parse = |text: &str| match text {
                        "auto" => Ok(OcrProgram::Auto),
                        "off" => Ok(OcrProgram::Off),
                        path => values::file(path).map(OcrProgram::At),
                    };
                    if let Some(program) = walk.parsed(field, parse) {
                        config.ocr.program = program;
                    }
                },
            },
            Key {
                name: "languages",
                wants: "names like \"jpn\"",
                default: "[\"eng\", \"jpn\"]",
                doc: "What tesseract reads (`tesseract --list-langs`); what is not installed is left out. More languages take more time. Read at start.",
                read: |walk, field, config| config.ocr.languages = walk.list(field, values::language),
            },
        ],
    },
    Section {
        name: "pictures",
        keys: &[
            Key {
                name: "learn",
                wants: "\"on\" or \"off\"",
                default: "\"on\"",
                doc: "Remembers what pictures in malicious documents look like, and tells where other documents with active content show them. Read at start.",
                read: |walk, field, config| {
                    walk.choice(field, &[("on", true), ("off", false)], &mut config.pictures.learn);
                },
            },
            Key {
                name: "keep",
                wants: "a duration like \"90d\"",
                default: "\"90d\"",
                doc: "A picture that was not seen for so long is forgotten. Read at start.",
                read: |walk, field, config| walk.duration(field, HOUR..=3650 * DAY, &mut config.pictures.keep),
            },
        ],
    },
    Section {
        name: "quarantine",
        keys: &[
            Key {
                name: "path",
                wants: "a folder, absolute or below the state folder",
                default: "\"quarantine\"",
                doc: "Where held messages lie.",
                read: |walk, field, config| {
                    if let Some(path) = walk.parsed(field, values::folder) {
                        config.quarantine.path = Some(path).filter(|path| path.as_os_str() != "quarantine");
                    }
                },
            },
            Key {
                name: "keep",
                wants: "a duration like \"30d\"",
                default: "\"30d\"",
                doc: "Then a held message is deleted. Long enough for a holiday.",
                read: |walk, field, config| walk.duration(field, HOUR..=3650 * DAY, &mut config.quarantine.keep),
            },
            Key {
                name: "max_size",
                wants: "a size like \"10 GiB\"",
                default: "\"10 GiB\"",
                doc: "All held messages together. When it is full, mail that would be held is deferred, and all other mail goes on.",
                read: |walk, field, config| walk.size(field, MIB..=1024 * TIB, &mut config.quarantine.max_size),
            },
        ],
    },
    Section {
        name: "second_mail",
        keys: &[
            Key {
                name: "window",
                wants: "a duration like \"30m\"",
                default: "\"30m\"",
                doc: "How long an encrypted attachment and its password, in another mail of the same sender to the same recipient, wait for each other; \"0s\": not at all.",
                read: |walk, field, config| walk.duration(field, 0..=DAY, &mut config.second_mail.window),
            },
            Key {
                name: "quota",
                wants: "a size like \"1 GiB\"",
                default: "\"1 GiB\"",
                doc: "All copies of mail that was delivered, or is held by the MTA, and waits for its password. When it is full, no more are kept; mail does not wait for that.",
                read: |walk, field, config| walk.size(field, MIB..=TIB, &mut config.second_mail.quota),
            },
            Key {
                name: "held",
                wants: "\"judge\" or \"keep\"",
                default: "\"judge\"",
                doc: "A held message that a later password opens: released if the rules would now deliver it as it is (judge), or held all the same, with what was seen noted in its entry (keep).",
                read: |walk, field, config| {
                    let choices = [("judge", Opened::Judge), ("keep", Opened::Keep)];
                    walk.choice(field, &choices, &mut config.second_mail.held);
                },
            },
            Key {
                name: "notify",
                wants: "addresses like \"soc@example.jp\"",
                default: "[]",
                doc: "Who gets a notice when an attachment that was delivered turns out malicious, or when a message that the MTA holds (`hold_in`) was opened.",
                read: |walk, field, config| config.second_mail.notify = walk.list(field, rules::mailbox),
            },
        ],
    },
    Section {
        name: "log",
        keys: &[
            Key {
                name: "format",
                wants: "\"text\" or \"json\"",
                default: "\"text\"",
                doc: "Lines for people, or one JSON object a line.",
                read: |walk, field, config| {
                    walk.choice(field, &[("text", LogFormat::Text), ("json", LogFormat::Json)], &mut config.log.format);
                },
            },
            Key {
                name: "level",
                wants: "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"",
                default: "\"info\"",
                doc: "info is one line a message.",
                read: |walk, field, config| {
                    if let Some(level) = walk.parsed(field, values::log_level) {
                        config.log.level = level;
                    }
                },
            },
        ],
    },
];

/// What a listener speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Smtp,
    Lmtp,
    Milter,
}

/// On which side of the queue a proxy stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Before,
    After,
}

/// How much TLS is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum TlsUse {
    #[default]
    Off,
    May,
    Encrypt,
    Verify,
}

/// A `[[listener]]` while it is read: each key that is there, and the places that other checks point at.
#[derive(Default)]
pub(super) struct ListenerDraft {
    pub kind: Kind,
    pub mode: Option<Side>,
    pub listen: Option<Endpoint>,
    pub socket: SocketFile,
    pub next_hop: Option<Endpoint>,
    /// `None` for `auto`.
    pub next_hop_protocol: Option<NextHopProtocol>,
    pub refusals: Refusals,
    pub bare_newlines: BareNewlines,
    pub xforward_networks: Option<Vec<IpNet>>,
    pub hold_in: HoldIn,
    pub xclient_networks: Vec<IpNet>,
    pub tls: TlsUse,
    pub tls_cert: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    pub next_hop_tls: TlsUse,
    pub next_hop_tls_ca: Option<PathBuf>,
    pub next_hop_tls_name: Option<ServerName<'static>>,
    /// Where each key stands that is there.
    pub places: BTreeMap<&'static str, Range<usize>>,
}

pub(super) const LISTENER: &[Key<ListenerDraft>] = &[
    Key {
        name: "kind",
        wants: "\"smtp\", \"lmtp\" or \"milter\"",
        default: "\"smtp\"",
        doc: "The protocol.",
        read: |walk, field, draft| {
            let choices = [("smtp", Kind::Smtp), ("lmtp", Kind::Lmtp), ("milter", Kind::Milter)];
            draft.places.insert("kind", field.span());
            walk.choice(field, &choices, &mut draft.kind);
        },
    },
    Key {
        name: "mode",
        wants: "\"before-queue\" or \"after-queue\"",
        default: "\"before-queue\"",
        doc: "before-queue (smtpd_proxy_filter) can still refuse; after-queue (content_filter) cannot. For smtp and lmtp; the default of lmtp is after-queue.",
        read: |walk, field, draft| {
            let choices = [("before-queue", Side::Before), ("after-queue", Side::After)];
            draft.places.insert("mode", field.span());
            draft.mode = walk.parsed(field, |text| one_of("mode", text, &choices));
        },
    },
    Key {
        name: "listen",
        wants: LISTEN,
        default: "\"127.0.0.1:10025\"",
        doc: "Where Postfix hands mail over. The default of lmtp is 127.0.0.1:10024, of milter the socket milter.sock in the state folder. systemd:NAME is a socket of a .socket unit, by its FileDescriptorName.",
        read: |walk, field, draft| {
            draft.places.insert("listen", field.span());
            draft.listen = walk.parsed(field, values::listen);
        },
    },
    Key {
        name: "socket_owner",
        wants: ACCOUNT,
        default: "",
        doc: "Who owns the file of a Unix socket; without it, the daemon's user. Needs root.",
        read: |walk, field, draft| {
            draft.places.insert("socket_owner", field.span());
            draft.socket.owner = walk.parsed(field, values::account);
        },
    },
    Key {
        name: "socket_group",
        wants: ACCOUNT,
        default: "",
        doc: "The group of that file, Postfix's for instance; without it, the daemon's group. Needs a member of the group, or root.",
        read: |walk, field, draft| {
            draft.places.insert("socket_group", field.span());
            draft.socket.group = walk.parsed(field, values::account);
        },
    },
    Key {
        name: "socket_mode",
        wants: "octal digits like \"0660\"",
        default: "\"0660\"",
        doc: "The permissions of that file: whoever may write to it may connect.",
        read: |walk, field, draft| {
            draft.places.insert("socket_mode", field.span());
            if let Some(mode) = walk.parsed(field, values::socket_mode) {
                draft.socket.mode = mode;
            }
        },
    },
    Key {
        name: "next_hop",
        wants: ENDPOINT,
        default: "\"127.0.0.1:10026\"",
        doc: "Where it goes on: the smtpd that takes filtered mail back. For smtp and lmtp.",
        read: |walk, field, draft| {
            draft.places.insert("next_hop", field.span());
            draft.next_hop = walk.parsed(field, str::parse);
        },
    },
    Key {
        name: "next_hop_protocol",
        wants: "\"auto\", \"smtp\" or \"lmtp\"",
        default: "\"auto\"",
        doc: "What the next hop speaks. auto: behind an lmtp listener LMTP, or SMTP where LHLO is not known; else SMTP. For smtp and lmtp.",
        read: |walk, field, draft| {
            let choices =
                [("auto", None), ("smtp", Some(NextHopProtocol::Smtp)), ("lmtp", Some(NextHopProtocol::Lmtp))];
            draft.places.insert("next_hop_protocol", field.span());
            walk.choice(field, &choices, &mut draft.next_hop_protocol);
        },
    },
    Key {
        name: "release_to",
        wants: ENDPOINT,
        default: "\"127.0.0.1:10026\"",
        doc: "For milter: the smtpd that takes released mail, without milters.",
        read: |walk, field, draft| {
            draft.places.insert("release_to", field.span());
            draft.next_hop = walk.parsed(field, str::parse);
        },
    },
    Key {
        name: "hold_in",
        wants: "\"store\" or \"mta\"",
        default: "\"store\"",
        doc: "For milter: where messages are held, in our quarantine (store), or in the MTA's queue (mta); with mta a message of which only some copies are to be held is in our quarantine all the same.",
        read: |walk, field, draft| {
            draft.places.insert("hold_in", field.span());
            walk.choice(field, &[("store", HoldIn::Store), ("mta", HoldIn::Mta)], &mut draft.hold_in);
        },
    },
    Key {
        name: "refusals",
        wants: "\"relay\" or \"all-or-none\"",
        default: "\"relay\"",
        doc: "A recipient refused by the next hop is refused alone, or the whole message with it (for speed_adjust, which ignores single replies).",
        read: |walk, field, draft| {
            let choices = [("relay", Refusals::Relay), ("all-or-none", Refusals::AllOrNone)];
            draft.places.insert("refusals", field.span());
            walk.choice(field, &choices, &mut draft.refusals);
        },
    },
    Key {
        name: "bare_newlines",
        wants: "\"reject\" or \"normalize\"",
        default: "\"reject\"",
        doc: "Bare CR and LF in content: refused (550 5.5.2), or each made CRLF. Both end SMTP smuggling.",
        read: |walk, field, draft| {
            let choices = [("reject", BareNewlines::Reject), ("normalize", BareNewlines::Normalize)];
            draft.places.insert("bare_newlines", field.span());
            walk.choice(field, &choices, &mut draft.bare_newlines);
        },
    },
    Key {
        name: "xforward_networks",
        wants: NETWORKS,
        default: "[\"127.0.0.0/8\", \"::1/128\"]",
        doc: "Peers that may say whose mail it is (XFORWARD): your own Postfix, nobody else. A Unix socket's peers always may.",
        read: |walk, field, draft| {
            draft.places.insert("xforward_networks", field.span());
            draft.xforward_networks = Some(walk.list(field, values::network));
        },
    },
    Key {
        name: "xclient_networks",
        wants: NETWORKS,
        default: "[]",
        doc: "Peers that may take another client's place (XCLIENT): a proxy or a test client that you trust as yourself.",
        read: |walk, field, draft| {
            draft.places.insert("xclient_networks", field.span());
            draft.xclient_networks = walk.list(field, values::network);
        },
    },
    Key {
        name: "tls",
        wants: "\"off\", \"may\" or \"encrypt\"",
        default: "\"off\"",
        doc: "STARTTLS for clients: not offered, offered, or required (530 to MAIL without it).",
        read: |walk, field, draft| {
            let choices = [("off", TlsUse::Off), ("may", TlsUse::May), ("encrypt", TlsUse::Encrypt)];
            draft.places.insert("tls", field.span());
            walk.choice(field, &choices, &mut draft.tls);
        },
    },
    Key {
        name: "tls_cert",
        wants: FILE,
        default: "",
        doc: "For tls: our certificate, and those between it and a root behind it, PEM. A reload (SIGHUP) reads it again.",
        read: |walk, field, draft| {
            draft.places.insert("tls_cert", field.span());
            draft.tls_cert = walk.parsed(field, values::file);
        },
    },
    Key {
        name: "tls_key",
        wants: FILE,
        default: "",
        doc: "For tls: its private key, PEM. May be the same file.",
        read: |walk, field, draft| {
            draft.places.insert("tls_key", field.span());
            draft.tls_key = walk.parsed(field, values::file);
        },
    },
    Key {
        name: "next_hop_tls",
        wants: "\"off\", \"may\", \"encrypt\" or \"verify\"",
        default: "\"off\"",
        doc: "STARTTLS with the next hop: never, if it offers it, always, or always and only with a certificate that is right. What cannot be had so is deferred.",
        read: |walk, field, draft| {
            let choices =
                [("off", TlsUse::Off), ("may", TlsUse::May), ("encrypt", TlsUse::Encrypt), ("verify", TlsUse::Verify)];
            draft.places.insert("next_hop_tls", field.span());
            walk.choice(field, &choices, &mut draft.next_hop_tls);
        },
    },
    Key {
        name: "next_hop_tls_ca",
        wants: FILE,
        default: "",
        doc: "For verify: the roots to believe, PEM; without it the system's.",
        read: |walk, field, draft| {
            draft.places.insert("next_hop_tls_ca", field.span());
            draft.next_hop_tls_ca = walk.parsed(field, values::file);
        },
    },
    Key {
        name: "next_hop_tls_name",
        wants: "a name like \"mx.example.jp\"",
        default: "",
        doc: "For verify: the name that must stand in the next hop's certificate; without it the address of next_hop must.",
        read: |walk, field, draft| {
            draft.places.insert("next_hop_tls_name", field.span());
            draft.next_hop_tls_name = walk.parsed(field, values::server_name);
        },
    },
];

/// A key as the docs describe it.
#[derive(Clone, Copy, Debug)]
pub struct Described {
    /// `[limits]`, `[[listener]]`, `when`; empty for the top of the file.
    pub home: &'static str,
    /// The key.
    pub name: &'static str,
    /// What it takes.
    pub wants: &'static str,
    /// The default; empty if there is none.
    pub default: &'static str,
    /// What it does.
    pub doc: &'static str,
}

/// Every key there is.
pub fn all() -> Vec<Described> {
    fn describe<T>(home: &'static str, keys: &'static [Key<T>]) -> impl Iterator<Item = Described> {
        keys.iter().map(move |Key { name, wants, default, doc, read: _ }| Described { home, name, wants, default, doc })
    }
    let plain = SECTIONS.iter().flat_map(|section| describe(section.name, section.keys));
    plain
        .chain(describe("listener", LISTENER))
        .chain(describe("rule", RULE))
        .chain(describe("when", WHEN))
        .chain(describe("allow", ALLOW))
        .collect()
}

/// Where a key belongs that was written in the wrong place.
pub(super) fn home_of(name: &str) -> Option<String> {
    let key = all().into_iter().find(|key| key.name == name)?;
    Some(match key.home {
        "" => "the top of the file, before the first section".to_owned(),
        "listener" | "rule" | "allow" => format!("a [[{}]]", key.home),
        "when" => format!("a [[rule]], as `when.{name}`"),
        section => format!("[{section}]"),
    })
}

fn read_version(walk: &mut Walk, field: &Field<'_, '_>, _: &mut Config) {
    walk.count(field, 1..=1, &mut 1_u32);
}

fn read_local_networks(walk: &mut Walk, field: &Field<'_, '_>, config: &mut Config) {
    config.mail.local_networks = walk.list(field, values::network);
    if config.mail.local_networks.iter().any(|network| network.prefix_len() == 0) {
        let message = "a network with prefix /0 makes every client local: no mail would be inbound";
        walk.push(Problem::warning(field.span(), message));
    }
}
