//! A rule: conditions on the facts and what to do where they hold.
//!
//! All conditions of `when` must hold; within one condition any member of its list is enough; any
//! condition of `not` that holds is an exception. The conditions about parts (`finding`,
//! `attachment_type`, `attachment_name`, `code_fingerprint`) are in [`crate::policy::parts`].

use std::fmt;

use ipnet::IpNet;

use crate::envelope::Path;
use crate::filetype::FileType;
use crate::finding::{self, FindingId, Reason};
use crate::policy::Case;
use crate::policy::decision::{Action, Marks};
use crate::policy::direction::is_in;
use crate::policy::facts::{Direction, Facts};
use crate::policy::glob::{self, Glob};
use crate::verdict::Level;

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Unique; in parentheses if it is built in.
    pub name: String,
    /// Where it stands in the configuration file.
    pub line: Option<usize>,
    /// What must hold, all of it.
    pub when: When,
    /// What must not hold, none of it.
    pub not: When,
    /// What happens then.
    pub action: Action,
    /// The marks of a delivered copy.
    pub marks: Marks,
    /// Who gets a further copy.
    pub copy_to: Vec<Path>,
}

/// The conditions there are. One that is not set (`None`, an empty list) is not looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct When {
    /// The verdict is at least this.
    pub verdict: Option<Level>,
    /// Whether everything was looked into.
    pub complete: Option<bool>,
    /// Something was not inspected for one of these reasons.
    pub reason: Vec<Reason>,
    /// A finding is one of these.
    pub finding: Vec<FindingGlob>,
    /// An attachment is of one of these types.
    pub attachment_type: Vec<TypeGlob>,
    /// An attachment has one of these names.
    pub attachment_name: Vec<Glob>,
    /// The macro code in an attachment is one of these.
    pub code_fingerprint: Vec<Fingerprint>,
    /// MAIL FROM.
    pub sender: Vec<AddressGlob>,
    /// The recipient this decision is for.
    pub recipient: Vec<AddressGlob>,
    /// The client's network.
    pub client: Vec<IpNet>,
    /// The way the message goes.
    pub direction: Vec<Direction>,
    /// Octets of the message.
    pub size: Option<SizeRange>,
}

/// `size = { at_least = …, at_most = … }`, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeRange {
    /// Octets.
    pub at_least: u64,
    /// Octets.
    pub at_most: u64,
}

impl Rule {
    /// Whether the rule is for this message and recipient.
    ///
    /// # Errors
    /// The first condition that failed and what it met, in words.
    pub fn applies(&self, case: &Case<'_>) -> Result<(), String> {
        if let Some(failed) = self.when.checks(case).into_iter().find(|check| !check.holds) {
            return Err(format!("{}, wants {}", failed.met, failed.wanted));
        }
        if let Some(excepted) = self.not.checks(case).into_iter().find(|check| check.holds) {
            return Err(format!("excepted, since {}", excepted.met));
        }
        Ok(())
    }
}

impl When {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a part is asked for.
    pub fn asks_for_parts(&self) -> bool {
        let Self { finding, attachment_type, attachment_name, code_fingerprint, .. } = self;
        !(finding.is_empty() && attachment_type.is_empty() && attachment_name.is_empty() && code_fingerprint.is_empty())
    }

    /// Every condition that is set and concerns the message as a whole, held against it.
    fn checks(&self, case: &Case<'_>) -> Vec<Check> {
        let Case { facts, sender, recipient, .. } = case;
        let When {
            verdict,
            complete,
            reason,
            finding: _,
            attachment_type: _,
            attachment_name: _,
            code_fingerprint: _,
            sender: senders,
            recipient: recipients,
            client,
            direction,
            size,
        } = self;
        [
            verdict.map(|level| verdict_check(facts, level)),
            complete.map(|complete| complete_check(facts, complete)),
            asked(reason).map(|reasons| reason_check(facts, reasons)),
            asked(senders).map(|globs| address_check("sender", sender, globs)),
            asked(recipients).map(|globs| address_check("recipient", recipient, globs)),
            asked(client).map(|networks| client_check(facts, networks)),
            asked(direction).map(|directions| direction_check(facts, directions)),
            size.map(|range| size_check(facts, range)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// One condition held against a message.
struct Check {
    holds: bool,
    met: String,
    wanted: String,
}

/// A list, unless it is empty and so not asked for.
fn asked<T>(list: &[T]) -> Option<&[T]> {
    (!list.is_empty()).then_some(list)
}

fn verdict_check(facts: &Facts, level: Level) -> Check {
    let met = format!("verdict is {}", facts.verdict.name());
    Check { holds: facts.verdict >= level, met, wanted: format!("at least {}", level.name()) }
}

fn complete_check(facts: &Facts, complete: bool) -> Check {
    let word = |complete| if complete { "everything" } else { "not everything" };
    let met = format!("{} was inspected", word(facts.complete));
    Check { holds: facts.complete == complete, met, wanted: format!("{} inspected", word(complete)) }
}

fn reason_check(facts: &Facts, reasons: &[Reason]) -> Check {
    let names = |reasons: &[Reason]| list(reasons.iter().map(|reason| reason.name()));
    let met = match facts.reasons.as_slice() {
        [] => "nothing was left uninspected".to_owned(),
        met => format!("not inspected is something because of {}", names(met)),
    };
    let holds = reasons.iter().any(|reason| facts.reasons.contains(reason));
    Check { holds, met, wanted: format!("reason {}", names(reasons)) }
}

fn address_check(what: &str, address: &str, globs: &[AddressGlob]) -> Check {
    let holds = globs.iter().any(|glob| glob.matches(address));
    Check { holds, met: format!("{what} is {}", shown(address)), wanted: list(globs) }
}

fn client_check(facts: &Facts, networks: &[IpNet]) -> Check {
    let met = match facts.client {
        Some(client) => format!("client is {}", client.to_canonical()),
        None => "client is not known".to_owned(),
    };
    Check { holds: facts.client.is_some_and(|client| is_in(client, networks)), met, wanted: list(networks) }
}

fn direction_check(facts: &Facts, directions: &[Direction]) -> Check {
    let met = format!("direction is {}", facts.direction.name());
    let wanted = list(directions.iter().map(|direction| direction.name()));
    Check { holds: directions.contains(&facts.direction), met, wanted }
}

fn size_check(facts: &Facts, SizeRange { at_least, at_most }: SizeRange) -> Check {
    let wanted = match (at_least, at_most) {
        (at_least, u64::MAX) => format!("at least {at_least}"),
        (0, at_most) => format!("at most {at_most}"),
        (at_least, at_most) => format!("{at_least} to {at_most}"),
    };
    Check { holds: (at_least..=at_most).contains(&facts.size), met: format!("size is {}", facts.size), wanted }
}

/// `a`, `a or b`, `a, b or c`; long lists are cut.
pub(crate) fn list<T: fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    const MOST: usize = 5;
    let mut words: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    let more = words.len().saturating_sub(MOST);
    words.truncate(MOST);
    if more > 0 {
        return format!("{} or {more} more", words.join(", "));
    }
    match words.pop() {
        Some(last) if !words.is_empty() => format!("{} or {last}", words.join(", ")),
        last => last.unwrap_or_default(),
    }
}

/// An address in a trace; never more of it than RFC 5321 4.5.3.1 allows one to be.
fn shown(address: &str) -> String {
    match address {
        "" => "<>".to_owned(),
        address => address.chars().take(320).collect(),
    }
}

/// A pattern on finding ids that fits at least one of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindingGlob {
    text: String,
    ids: Vec<FindingId>,
}

impl FindingGlob {
    /// `None` if no finding has such an id.
    pub fn parse(text: &str) -> Option<Self> {
        let glob = Glob::new(text, glob::lower);
        let ids: Vec<_> = finding::ALL.iter().copied().filter(|id| glob.matches(id.as_str())).collect();
        (!ids.is_empty()).then(|| Self { text: text.to_owned(), ids })
    }

    /// Whether it is one of them.
    pub fn matches(&self, id: FindingId) -> bool {
        self.ids.contains(&id)
    }

    /// All of them.
    pub fn ids(&self) -> impl Iterator<Item = FindingId> {
        self.ids.iter().copied()
    }
}

/// A pattern on the names of types that fits at least one of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeGlob {
    text: String,
    types: Vec<FileType>,
}

impl TypeGlob {
    /// `None` if there is no such type.
    pub fn parse(text: &str) -> Option<Self> {
        let glob = Glob::new(text, glob::lower);
        let types: Vec<_> = FileType::ALL.iter().copied().filter(|t| glob.matches(t.name())).collect();
        (!types.is_empty()).then(|| Self { text: text.to_owned(), types })
    }

    /// Whether one of `types` is one of them.
    pub fn matches(&self, types: &[FileType]) -> bool {
        types.iter().any(|t| self.types.contains(t))
    }
}

/// A pattern on addresses: `user@example.jp`, `@example.jp`, `*@*.example.jp`, `<>` (or the empty
/// string) for the null sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressGlob {
    text: String,
    glob: Glob,
}

impl AddressGlob {
    /// `None` if it has no `@` and so could not mean an address.
    pub fn parse(text: &str) -> Option<Self> {
        let glob = match text {
            "" | "<>" => Glob::new("", glob::lower),
            _ if text.starts_with('@') => Glob::new(&format!("*{text}"), glob::lower),
            _ if text.contains('@') => Glob::new(text, glob::lower),
            _ => return None,
        };
        Some(Self { text: text.to_owned(), glob })
    }

    /// Whether it means the null sender.
    pub fn is_null(&self) -> bool {
        self.glob.as_str().is_empty()
    }

    /// Whether `address` ([`crate::envelope::Path::address`]) fits.
    pub fn matches(&self, address: &str) -> bool {
        self.glob.matches(address)
    }
}

/// A SHA-256 in lower-case hex: of macro code ([`crate::vba::fingerprint`]), or of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// `None` if it is not 64 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let is_one = text.len() == 64 && text.bytes().all(|octet| octet.is_ascii_hexdigit());
        is_one.then(|| Self(text.to_ascii_lowercase()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for FindingGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for TypeGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for AddressGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_null() { "<>" } else { &self.text })
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
