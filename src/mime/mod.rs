//! Reading MIME (RFC 2045-2049, 2231, 5322) leniently, by raw spans.
//!
//! [`read`] gives the entities of a message: our own walk over its delimiter lines ([`walk`]), a
//! second walk for readers that see other lines, united with the tree that mail-parser sees.
//! [`decode::contents`] gives every reading of an entity's body. What only some readers would see
//! carries a doubt; [`crate::formats::message`] makes a finding of it.

pub mod charset;
pub mod decode;
pub(crate) mod delimiter;
mod head;
pub mod header;
pub mod params;
pub(crate) mod skeleton;
pub mod walk;

use std::collections::HashSet;
use std::ops::Range;
use std::panic::catch_unwind;

use mail_parser::{HeaderName, Message, MessageParser, PartType};

use crate::limits::Limit;
use head::Head;
use header::Ends;
pub use header::{Field, Fields, fields, has_header, own_fields, server_fields};
use skeleton::Skeleton;
use walk::{Entity, Kind, Manner};

const OTHER_PARSER: &str = "another parser sees other parts";

/// The structure of a message.
#[derive(Debug, Default)]
pub struct Mail {
    /// The leaves, in the order of their octets. Several may share octets.
    pub entities: Vec<Entity>,
    /// Why two readers would see different structures.
    pub doubts: Vec<&'static str>,
    /// Limits that stopped the reading.
    pub limits: Vec<Limit>,
}

/// Reads the structure of the message `raw`. Never fails: what has no structure is one entity.
pub fn read(raw: &[u8]) -> Mail {
    let first = walk::walk(raw, Manner { ends: Ends::Lf, lax: false });
    let suspects = first.has_suspects();
    let mut mail = Mail { entities: first.entities, doubts: first.doubts, limits: first.limits };
    let mut seen: HashSet<(usize, usize)> = mail.entities.iter().map(|entity| trimmed(raw, &entity.body)).collect();
    if has_lone_return(raw) {
        let other = walk::walk(raw, Manner { ends: Ends::Any, lax: false });
        mail.unite(raw, other.entities, &mut seen, "lines that end with a CR alone");
    }
    if suspects {
        let other = walk::walk(raw, Manner { ends: Ends::Lf, lax: true });
        mail.unite(raw, other.entities, &mut seen, "a delimiter that goes on behind the boundary");
    }
    match second_opinion(raw, &mail.entities) {
        Second::Sees(other) => mail.unite(raw, other, &mut seen, OTHER_PARSER),
        Second::Fails => mail.doubts.push("another parser fails on it"),
        Second::NotAsked(limit) if !mail.limits.contains(&limit) => mail.limits.push(limit),
        Second::NotAsked(_) => {}
    }
    mail
}

impl Mail {
    /// Adds the files that another reading shows and that were not seen yet.
    fn unite(&mut self, raw: &[u8], entities: Vec<Entity>, seen: &mut HashSet<(usize, usize)>, doubt: &'static str) {
        let nothing_yet = self.entities.is_empty();
        for mut entity in entities {
            let coded = entity.transfers.iter().any(|t| *t != decode::Transfer::Identity);
            if entity.kind == Kind::Inline && !coded && !nothing_yet {
                continue;
            }
            if seen.insert(trimmed(raw, &entity.body)) {
                entity.doubt = entity.doubt.or(Some(doubt));
                self.entities.push(entity);
            }
        }
    }
}

/// A body's range without white space at its ends: where readers disagree without consequence.
pub(crate) fn trimmed(raw: &[u8], range: &Range<usize>) -> (usize, usize) {
    let octets = raw.get(range.clone()).unwrap_or_default();
    let start = range.start.saturating_add(octets.len().saturating_sub(octets.trim_ascii_start().len()));
    (start, start.saturating_add(octets.trim_ascii().len()))
}

fn has_lone_return(raw: &[u8]) -> bool {
    memchr::memchr_iter(b'\r', raw).any(|at| !matches!(raw.get(at.saturating_add(1)), Some(b'\n' | b'\r')))
}

/// Content-Type fields in a message that mail-parser is given at most: it nests messages in each other, and
/// seeks the end of the message for each boundary that does not occur. More are told: what only it
/// would see is not seen then.
pub(crate) const MAX_SECOND_FIELDS: usize = 500;
/// Content fields times octets, for the same reason: some seconds of a slow machine.
pub(crate) const MAX_SECOND_WORK: usize = 1 << 31;

/// What became of asking mail-parser.
enum Second {
    /// It sees these files, outside of nested messages (these have their own turn).
    Sees(Vec<Entity>),
    /// It asserted what is not so.
    Fails,
    /// That would cost more than this limit allows.
    NotAsked(Limit),
}

/// The files that mail-parser sees in `raw`.
fn second_opinion(raw: &[u8], own: &[Entity]) -> Second {
    let skeleton = Skeleton::of(raw);
    let octets = skeleton.octets.as_slice();
    let fields = content_types(octets);
    if fields > MAX_SECOND_FIELDS {
        return Second::NotAsked(Limit::Files);
    }
    if fields.saturating_mul(octets.len()) > MAX_SECOND_WORK {
        return Second::NotAsked(Limit::ScanSize);
    }
    // It asserts what senders can break; that must not cost us our own reading.
    let Ok(parsed) = catch_unwind(|| MessageParser::default().parse(octets)) else { return Second::Fails };
    let Some(message) = parsed else { return Second::Sees(Vec::new()) };
    let nested: Vec<&Range<usize>> = own.iter().filter(|e| e.kind == Kind::Message).map(|e| &e.body).collect();
    let mut found = Vec::new();
    let mut messages: Vec<&Message<'_>> = vec![&message];
    while let Some(message) = messages.pop() {
        for part in message.parts.iter().skip(1) {
            match &part.body {
                // One that was not encoded shares our octets.
                PartType::Message(inner) if inner.raw_message.len() == octets.len() => messages.push(inner),
                PartType::Message(_) | PartType::Multipart(_) => {}
                PartType::Text(_) | PartType::Html(_) | PartType::Binary(_) | PartType::InlineBinary(_) => {
                    let [header, body, end] = [part.offset_header, part.offset_body, part.offset_end]
                        .map(|offset| skeleton.original(offset as usize).min(raw.len()));
                    let inside = nested.iter().any(|outer| outer.contains(&body));
                    if header <= body && body < end && !inside {
                        found.extend(Head::entity(raw, header..end, body..end, OTHER_PARSER));
                    }
                }
            }
        }
    }
    Second::Sees(found)
}

/// How many fields called Content-Type may stand in `raw`, at the most.
pub(crate) fn content_types(raw: &[u8]) -> usize {
    let named = |at: &usize| {
        let name = raw.get(at.saturating_sub(16)..*at).unwrap_or_default().trim_ascii_end();
        name.to_ascii_lowercase().ends_with(b"content-type")
    };
    memchr::memchr_iter(b':', raw).filter(named).take(MAX_SECOND_FIELDS.saturating_add(1)).count()
}

/// Fields of a header section that only mail has, and those that much else has as well.
const STRONG: [&str; 7] =
    ["received", "message-id", "mime-version", "return-path", "dkim-signature", "delivered-to", "x-mailer"];
const WEAK: [&str; 6] = ["from", "to", "subject", "date", "content-type", "reply-to"];

/// Whether `bytes` begin like a message: a header section with at least two fields that mail has,
/// one of them nothing else's. Conservative: text that quotes a sender's lines is no message.
pub fn looks_like_message(bytes: &[u8]) -> bool {
    let start = bytes.get(..bytes.len().min(1 << 16)).unwrap_or_default().trim_ascii_start();
    let (mut strong, mut weak) = (0_u32, 0_u32);
    for field in fields(start).take(200) {
        if STRONG.iter().any(|name| field.is(start, name)) {
            strong = strong.saturating_add(1);
        } else if WEAK.iter().any(|name| field.is(start, name)) {
            weak = weak.saturating_add(1);
        }
        if strong >= 1 && strong.saturating_add(weak) >= 2 {
            return true;
        }
    }
    false
}

/// How many `Received` fields the message has: hops so far (RFC 5321 6.3).
pub fn received_count(raw: &[u8]) -> usize {
    server_fields(raw).filter(|field| field.is(raw, "received")).count()
}

/// The decoded text of the first field called `name`; hostile.
pub fn text(raw: &[u8], name: &str) -> Option<String> {
    let field = fields(raw).find(|field| field.is(raw, name))?;
    let value: Vec<u8> = raw.get(field.value)?.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    Some(params::words(value.trim_ascii()).text)
}

/// The decoded subject; hostile.
pub fn subject(raw: &[u8]) -> Option<String> {
    text(raw, "subject")
}

/// The message id as it stands there, with its angle brackets; hostile.
pub fn message_id(raw: &[u8]) -> Option<String> {
    text(raw, "message-id").filter(|id| !id.is_empty())
}

/// A header section longer than this is cut before its addresses are read: a mail server takes
/// 100 kB by default.
const MAX_HEADER: usize = 1 << 20;

/// The addresses of all `From` fields; hostile.
pub fn header_from(raw: &[u8]) -> Vec<String> {
    let mut fields = fields(raw);
    fields.by_ref().for_each(drop);
    let header = raw.get(..fields.body().min(MAX_HEADER)).unwrap_or_default();
    let parsed = catch_unwind(|| MessageParser::new().with_address_headers().parse_headers(header));
    let Ok(Some(message)) = parsed else { return Vec::new() };
    let lists = message.header_values(HeaderName::From).filter_map(|value| value.as_address());
    lists.flat_map(|list| list.iter().filter_map(|one| one.address()).map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_facts_are_decoded() {
        let raw = b"Received: a\r\nReceived: b\r\nFrom: \"A, B\" <a@example.com>, c@example.org\r\nSubject: =?utf-8?B?6KuL?=\r\n =?utf-8?Q?_x?=\r\nMessage-ID: <1@x>\r\n\r\nReceived: no";
        assert_eq!(received_count(raw), 2);
        assert_eq!(subject(raw).as_deref(), Some("請 x"));
        assert_eq!(message_id(raw).as_deref(), Some("<1@x>"));
        assert_eq!(header_from(raw), ["a@example.com", "c@example.org"]);
        assert_eq!((received_count(b""), subject(b""), message_id(b""), header_from(b"").len()), (0, None, None, 0));
    }

    #[test]
    fn messages_are_told_from_other_text() {
        assert!(looks_like_message(b"Received: x\r\nFrom: a@b\r\n\r\n"));
        assert!(looks_like_message(b"\r\nMIME-Version: 1.0\nContent-Type: text/plain\n\nx"));
        assert!(!looks_like_message(b"From: Bob\nTo: Alice\nSubject: as I wrote\nDate: today\n\nHi"));
        assert!(!looks_like_message(b"<html>Received: x From: y</html>"));
        assert!(!looks_like_message(b"Note: a\nMessage-ID: b\n\n"));
        assert!(!looks_like_message(b""));
    }

    #[test]
    fn a_thousand_nested_messages_do_not_exhaust_the_stack() {
        for count in [MAX_SECOND_FIELDS, 100_000] {
            let raw = "Content-Type: message/rfc822\r\n\r\n".repeat(count);
            let thread = std::thread::Builder::new().stack_size(512 * 1024);
            thread.spawn(move || read(raw.as_bytes())).unwrap().join().unwrap();
        }
    }

    #[test]
    fn what_another_parser_is_not_asked_about_is_told() {
        let fields = |count: usize| "Content-Type: text/plain\r\n\r\n".repeat(count);
        for (count, told) in [(MAX_SECOND_FIELDS - 1, vec![]), (MAX_SECOND_FIELDS, vec![]), (501, vec![Limit::Files])] {
            assert_eq!(read(fields(count).as_bytes()).limits, told, "{count}");
        }
        let octets = MAX_SECOND_WORK / MAX_SECOND_FIELDS;
        for (size, told) in [(octets - 1, vec![]), (octets, vec![]), (octets + 1, vec![Limit::ScanSize])] {
            // Blanks are no base64, so that the skeleton keeps them.
            let raw = fields(MAX_SECOND_FIELDS);
            let raw = format!("{raw}{}", " \n".repeat(size)[..size - raw.len()].to_owned());
            assert_eq!(read(raw.as_bytes()).limits, told, "{size}");
        }
    }

    #[test]
    fn many_boundaries_that_do_not_occur_cost_no_hours() {
        let part = "--a\r\nContent-Type: multipart/mixed; boundary=zz\r\n\r\nx\r\n";
        let raw = format!("Content-Type: multipart/mixed; boundary=a\r\n\r\n{}", part.repeat(20_000));
        let mail = read(raw.as_bytes());
        assert!(mail.limits.contains(&Limit::Files));
    }
}
