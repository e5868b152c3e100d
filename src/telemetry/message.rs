//! The one line that every message gets: who, what was found, what was done, how long it took.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};

use super::line::quoted;
use crate::filetype::FileType;
use crate::finding::{FindingId, Reason};
use crate::hostile::{escape_json, is_hostile, replace};
use crate::metrics::{Disposition, Stage};
use crate::policy::facts::Direction;
use crate::transport::Transport;
use crate::verdict::Level;

/// The target of message lines, for `[log] level = "warn,sekisho::message=info"`.
pub(super) const TARGET: &str = "sekisho::message";
/// The event's field that holds the line for a text log.
pub(super) const FIELD_TEXT: &str = "text";
/// The event's field that holds the line for a JSON log.
pub(super) const FIELD_JSON: &str = "json";

/// Longest text of one field, in characters. 256: an address has at most 254 octets, a name 255.
const MAX_TEXT: usize = 256;
/// Longest explanation, in characters: some sentences.
const MAX_EXPLANATION: usize = 1000;
/// Octets of recipients behind which no further one is written in a text log. A line that people read has
/// room for some twenty.
const MAX_RECIPIENTS: usize = 600;
/// Longest JSON in octets; below the journal's 48 KiB a line stays one record. Lists are cut until it fits.
const MAX_JSON: usize = 40 * 1024;
/// How many elements of each list are tried, the first that fits wins. 20 says what a message was; the
/// rest is in quarantine and history.
const LIST_LENGTHS: [usize; 4] = [20, 8, 3, 0];

/// Everything that is said about one message, field by field as in `docs/logging.md`.
#[derive(Clone, Debug, Serialize)]
pub struct MessageLine {
    /// Ours: the id in `X-Sekisho-Id`, in the reply, and in quarantine if it is held.
    pub id: String,
    /// Postfix's, if it told it (XFORWARD IDENT): joins this line with Postfix's own.
    pub queue_id: Option<String>,
    /// The Message-ID field.
    pub message_id: Option<String>,
    /// How it came.
    #[serde(serialize_with = "transport")]
    pub transport: Transport,
    /// Where it came in: the listener's address.
    pub listener: String,
    /// The client that Postfix saw, or the peer.
    pub client_ip: Option<IpAddr>,
    /// Its host name.
    pub client_name: Option<String>,
    /// What it said in HELO.
    pub helo: Option<String>,
    /// Which way it goes.
    pub direction: Direction,
    /// MAIL FROM, without brackets; empty for bounces.
    pub from: String,
    /// The From field.
    pub header_from: Option<String>,
    /// Recipients, the first ones.
    pub to: Vec<String>,
    /// How many there are.
    pub rcpt_count: usize,
    /// Octets.
    pub size: u64,
    /// Attachments, the first ones.
    pub attachments: Vec<Attachment>,
    /// Ids of what was found, each once.
    pub findings: Vec<FindingId>,
    /// The exceptions (`[[allow]]`) that forgave some of them; else empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_by: Vec<String>,
    /// How bad it is, without what was forgiven.
    pub verdict: Level,
    /// Whether everything was looked into.
    pub complete: bool,
    /// Why not.
    pub reasons: Vec<Reason>,
    /// What it would do, in one or a few sentences.
    pub explanation: String,
    /// What became of it.
    #[serde(serialize_with = "disposition")]
    pub disposition: Disposition,
    /// The rule that decided (for the first recipient, if they differ).
    pub rule: String,
    /// Its line in the configuration file.
    pub rule_line: Option<usize>,
    /// Recipient by recipient, where they differ; else empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub per_rcpt: Vec<PerRecipient>,
    /// What the client was told: the next hop's reply or ours.
    pub reply: String,
    /// From the end of the message to the reply.
    #[serde(rename = "duration_s", serialize_with = "seconds")]
    pub duration: Duration,
    /// Of that, waiting for a free scanner.
    #[serde(rename = "wait_s", serialize_with = "seconds")]
    pub wait: Duration,
    /// Of that, each stage.
    #[serde(serialize_with = "stages")]
    pub stages: Vec<(Stage, Duration)>,
}

/// An attachment or something that came out of one.
#[derive(Clone, Debug, Serialize)]
pub struct Attachment {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// The type that says most about its content.
    #[serde(rename = "type")]
    pub file_type: FileType,
    /// Octets.
    pub size: u64,
    /// SHA-256, hexadecimal.
    pub sha256: String,
    /// 0 for a part of the message itself.
    pub depth: u32,
}

/// What became of one recipient's copy.
#[derive(Clone, Debug, Serialize)]
pub struct PerRecipient {
    /// The recipient.
    pub to: String,
    /// What became of the copy.
    #[serde(serialize_with = "disposition")]
    pub disposition: Disposition,
    /// The rule that decided.
    pub rule: String,
}

/// Logs the line of one message, at level `info`. Call it exactly once for each message that was answered.
pub fn message(line: &MessageLine) {
    tracing::info!(target: TARGET, text = %Text(line), json = %Json(line));
}

/// `4gXk2p0Z: from=<…>, to=3, verdict=malicious, action=quarantine, …, rcpt=<…>,<…>, …, why="…"`, for people, logcheck and fail2ban.
struct Text<'a>(&'a MessageLine);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.0;
        let name = line.queue_id.as_deref().unwrap_or(&line.id);
        write!(f, "{}: from=<{}>, to={}", quoted(&clip(name)), address(&line.from), line.rcpt_count)?;
        if let Some(ip) = line.client_ip {
            write!(f, ", client={ip}")?;
        }
        write!(f, ", size={}, verdict={}", line.size, line.verdict.name())?;
        if !line.complete {
            let reasons: Vec<&str> = line.reasons.iter().map(|reason| reason.name()).collect();
            write!(f, ", incomplete={}", reasons.join("+"))?;
        }
        if !line.allowed_by.is_empty() {
            write!(f, ", allowed-by={}", quoted(&clip(&line.allowed_by.join("+"))))?;
        }
        write!(
            f,
            ", action={}, rule={}, id={}",
            line.disposition.name(),
            quoted(&clip(&line.rule)),
            quoted(&clip(&line.id))
        )?;
        if let Some(message_id) = &line.message_id {
            let bare = message_id.strip_prefix('<').and_then(|id| id.strip_suffix('>')).unwrap_or(message_id);
            write!(f, ", message-id=<{}>", address(bare))?;
        }
        write!(f, ", rcpt={}", recipients(&line.to))?;
        write!(f, ", t={:.3}, reply={}", line.duration.as_secs_f64(), quoted(&clip(&line.reply)))?;
        if !line.explanation.is_empty() {
            write!(f, ", why={}", always_quoted(&clip_to(&line.explanation, MAX_EXPLANATION)))?;
        }
        Ok(())
    }
}

/// An address between `<` and `>`: nothing in it can end the brackets or look like the next field.
fn address(text: &str) -> String {
    let odd = |c: char| is_hostile(c) || c.is_whitespace() || matches!(c, '<' | '>');
    replace(&clip(text), odd, |out, c| fmt::Write::write_fmt(out, format_args!("⟦U+{:04X}⟧", u32::from(c))))
        .into_owned()
}

/// `<u@example.jp>,<v@example.jp>`, the first ones; `…` stands for the others.
fn recipients(to: &[String]) -> String {
    let mut list = String::new();
    for recipient in to {
        if !list.is_empty() {
            list.push(',');
        }
        if list.len() > MAX_RECIPIENTS {
            list.push('…');
            break;
        }
        list.push_str(&format!("<{}>", address(recipient)));
    }
    list
}

fn always_quoted(text: &str) -> String {
    let value = quoted(text);
    if value.starts_with('"') { value } else { format!("\"{value}\"") }
}

/// The flat object, without `ts`, `level` and `event`, which every line has.
struct Json<'a>(&'a MessageLine);

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut json = String::new();
        for length in LIST_LENGTHS {
            json = escape_json(&serde_json::to_string(&bounded(self.0, length)).map_err(|_| fmt::Error)?).into_owned();
            if json.len() <= MAX_JSON {
                break;
            }
        }
        f.write_str(&json)
    }
}

/// A line as it is written: texts clipped, lists cut, and said so.
#[derive(Serialize)]
struct Bounded {
    #[serde(flatten)]
    line: MessageLine,
    truncated: bool,
    version: &'static str,
}

fn bounded(line: &MessageLine, length: usize) -> Bounded {
    let mut line = line.clone();
    let lengths =
        [line.to.len(), line.attachments.len(), line.findings.len(), line.per_rcpt.len(), line.allowed_by.len()];
    line.to.truncate(length);
    line.attachments.truncate(length);
    line.findings.truncate(length.saturating_mul(2));
    line.per_rcpt.truncate(length);
    line.allowed_by.truncate(length);
    let truncated = lengths
        != [line.to.len(), line.attachments.len(), line.findings.len(), line.per_rcpt.len(), line.allowed_by.len()];
    let texts = [&mut line.id, &mut line.listener, &mut line.from, &mut line.rule, &mut line.reply].into_iter();
    let options =
        [&mut line.queue_id, &mut line.message_id, &mut line.client_name, &mut line.helo, &mut line.header_from];
    let names = line.attachments.iter_mut().flat_map(|attachment| &mut attachment.name);
    let recipients = line.per_rcpt.iter_mut().flat_map(|each| [&mut each.to, &mut each.rule]);
    for text in texts.chain(options.into_iter().flatten()).chain(&mut line.to).chain(names).chain(recipients) {
        *text = clip(text);
    }
    line.explanation = clip_to(&line.explanation, MAX_EXPLANATION);
    Bounded { line, truncated, version: env!("CARGO_PKG_VERSION") }
}

fn clip(text: &str) -> String {
    clip_to(text, MAX_TEXT)
}

/// At most `max` characters, the last of which tells of a cut.
fn clip_to(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some(_) => text.chars().take(max.saturating_sub(1)).chain(['…']).collect(),
    }
}

fn transport<S: Serializer>(value: &Transport, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(value.name())
}

fn disposition<S: Serializer>(value: &Disposition, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(value.name())
}

fn seconds<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(rounded(*value))
}

fn stages<S: Serializer>(value: &[(Stage, Duration)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(value.len()))?;
    for (stage, time) in value {
        map.serialize_entry(stage.name(), &rounded(*time))?;
    }
    map.end()
}

/// Seconds with six digits behind the point.
fn rounded(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::line::tests::lines;
    use super::*;
    use crate::config::LogFormat;
    use crate::finding;

    const EVIL: &str = "a\u{1b}]0;x\x07\r\n\u{202e}\u{200b}\u{9b}>, verdict=clean, why=\"";

    fn sample() -> MessageLine {
        MessageLine {
            id: "Q7f3a".to_owned(),
            queue_id: Some("4gXk2p0Z".to_owned()),
            message_id: Some("<1@evil.example>".to_owned()),
            transport: Transport::BeforeQueue,
            listener: "127.0.0.1:10025".to_owned(),
            client_ip: Some("192.0.2.7".parse().unwrap()),
            client_name: Some("mail.evil.example".to_owned()),
            helo: Some("mail.evil.example".to_owned()),
            direction: Direction::Inbound,
            from: "report@evil.example".to_owned(),
            header_from: Some("CEO <ceo@example.jp>".to_owned()),
            to: vec!["u@example.jp".to_owned()],
            rcpt_count: 3,
            size: 48213,
            attachments: vec![Attachment {
                name: Some("請求書.docm".to_owned()),
                file_type: FileType::OoxmlDocm,
                size: 40000,
                sha256: "9f".repeat(32),
                depth: 0,
            }],
            findings: vec![finding::VBA_AUTOEXEC],
            allowed_by: Vec::new(),
            verdict: Level::Malicious,
            complete: false,
            reasons: vec![Reason::Encrypted, Reason::Limit],
            explanation: "It \"starts\" a program.".to_owned(),
            disposition: Disposition::Quarantine,
            rule: "(malicious)".to_owned(),
            rule_line: None,
            per_rcpt: Vec::new(),
            reply: "250 2.0.0 Ok: held as Q7f3a".to_owned(),
            duration: Duration::from_millis(41),
            wait: Duration::from_micros(7),
            stages: vec![(Stage::Scan, Duration::from_millis(30))],
        }
    }

    fn json(line: &MessageLine) -> (usize, Value) {
        let lines = lines(LogFormat::Json, false, || message(line));
        assert_eq!(lines.len(), 1, "exactly one line");
        assert!(!lines[0].trim_end().contains(is_hostile), "{}", lines[0]);
        (lines[0].len(), serde_json::from_str(&lines[0]).expect(&lines[0]))
    }

    fn text(line: &MessageLine) -> String {
        let mut lines = lines(LogFormat::Text, true, || message(line));
        assert_eq!(lines.len(), 1, "exactly one line");
        lines.remove(0)
    }

    #[test]
    fn the_text_is_what_a_person_reads() {
        assert_eq!(
            text(&sample()),
            "<6>4gXk2p0Z: from=<report@evil.example>, to=3, client=192.0.2.7, size=48213, verdict=malicious, \
             incomplete=encrypted+limit, action=quarantine, rule=(malicious), id=Q7f3a, \
             message-id=<1@evil.example>, rcpt=<u@example.jp>, t=0.041, \
             reply=\"250 2.0.0 Ok: held as Q7f3a\", why=\"It \\\"starts\\\" a program.\"\n"
        );
    }

    #[test]
    fn the_text_names_the_first_recipients() {
        let recipient = |number: usize| format!("r{number}@example.jp");
        let with = |count: usize| text(&MessageLine { to: (0..count).map(recipient).collect(), ..sample() });
        assert!(with(2).contains(", rcpt=<r0@example.jp>,<r1@example.jp>, t="));
        let many = with(1000);
        assert!(many.contains("<r20@example.jp>,") && many.contains(">,…, t="), "{many}");
        assert!(many.len() < 1200, "{many}");
        assert!(with(0).contains(", rcpt=, t="));
    }

    #[test]
    fn the_json_has_every_field_of_the_manual_and_no_other() {
        let mut line = sample();
        line.allowed_by.push("accounting".to_owned());
        line.per_rcpt.push(PerRecipient { to: "u@x".to_owned(), disposition: Disposition::Pass, rule: "r".to_owned() });
        let (_, value) = json(&line);
        let manual = include_str!("../../docs/logging.md");
        let described: Vec<&str> = manual
            .lines()
            .skip_while(|text| !text.starts_with("## The line of a message"))
            .skip(1)
            .take_while(|text| !text.starts_with("## "))
            .filter_map(|text| text.strip_prefix("| `")?.split('`').next())
            .collect();
        let mut described_sorted = described.clone();
        described_sorted.sort_unstable();
        let real: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(described_sorted, real);
        assert_eq!(value["event"], "message");
        assert_eq!(value["transport"], "before-queue");
        assert_eq!(value["attachments"][0]["type"], "ooxml-docm");
        assert_eq!(value["attachments"][0]["name"], "請求書.docm");
        assert_eq!(value["stages"]["scan"], 0.03);
        assert_eq!(value["duration_s"], 0.041);
        assert_eq!(value["reasons"][0], "encrypted");
        assert_eq!(value["truncated"], false);
    }

    #[test]
    fn hostile_text_makes_neither_lines_nor_fields() {
        let evil = || Some(EVIL.to_owned());
        let line = MessageLine {
            queue_id: evil(),
            message_id: evil(),
            client_name: evil(),
            helo: evil(),
            from: EVIL.to_owned(),
            header_from: evil(),
            to: vec![EVIL.to_owned()],
            explanation: EVIL.to_owned(),
            reply: EVIL.to_owned(),
            ..sample()
        };
        let text = text(&line);
        assert_eq!(text.matches('\n').count(), 1);
        assert!(!text.trim_end().contains(is_hostile), "{text}");
        assert!(text.contains("⟦U+003E⟧,⟦U+0020⟧verdict=clean"), "{text}");
        let (_, value) = json(&line);
        assert_eq!(value["from"], EVIL);
        assert_eq!(value["verdict"], "malicious");
    }

    #[test]
    fn the_largest_line_stays_one_record_of_the_journal() {
        let huge = "\u{e0041}\"".repeat(5000);
        let attachment = Attachment { name: Some(huge.clone()), ..sample().attachments.remove(0) };
        let recipient = PerRecipient { to: huge.clone(), disposition: Disposition::Pass, rule: huge.clone() };
        let line = MessageLine {
            to: vec![huge.clone(); 1000],
            attachments: vec![attachment; 2000],
            findings: vec![finding::VBA_AUTOEXEC; 2000],
            per_rcpt: vec![recipient; 1000],
            explanation: huge.clone(),
            header_from: Some(huge.clone()),
            message_id: Some(huge.clone()),
            queue_id: Some(huge.clone()),
            client_name: Some(huge.clone()),
            helo: Some(huge.clone()),
            from: huge.clone(),
            reply: huge.clone(),
            rule: huge,
            ..sample()
        };
        let (octets, value) = json(&line);
        assert!(octets < 48 * 1024, "{octets}");
        assert_eq!(value["truncated"], true);
        assert_eq!(value["rcpt_count"], 3);
        assert!(text(&line).len() < 48 * 1024);
    }

    #[test]
    fn a_list_at_its_limit_is_whole_and_one_above_is_cut() {
        let mut line = MessageLine { to: vec!["u@example.jp".to_owned(); 20], ..sample() };
        assert_eq!(json(&line).1["truncated"], false);
        line.to.push("v@example.jp".to_owned());
        let (_, value) = json(&line);
        assert_eq!(value["to"].as_array().unwrap().len(), 20);
        assert_eq!(value["truncated"], true);
    }
}
