//! `scan`: bytes in, a [`Report`] out. The work list over parts, most dangerous first.
//!
//! The core does no I/O, reads no clock and does not fail: whatever happens becomes a finding.
//! Every format that accepts a part runs ([`crate::formats::TABLE`]), each behind `catch_unwind`;
//! what it extracts goes back on the list, once the [`Budget`] was charged.

mod gallery;
mod keyring;
mod pieces;

use std::collections::{BinaryHeap, HashMap, HashSet};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use self::gallery::Gallery;
pub use self::gallery::Unpack;
use self::keyring::Keyring;
use self::pieces::{Pieces, Set};
use crate::filetype::{self, Class, FileType, TypeSet};
use crate::finding::{self, Finding, FindingId, Reason};
use crate::formats::{self, Format};
use crate::knowledge::{Answer, Knowledge, Said};
use crate::limits::{Budget, Limit, Limits};
use crate::part::{Name, Origin, Part, PartPath};
use crate::pictures::print::Print;

/// Everything a scan learnt. Serialisable: it is what crosses a process boundary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What was seen, in the order it was seen.
    pub findings: Vec<Finding>,
    /// Every part that exists, in the order of their paths.
    pub parts: Vec<PartReport>,
    /// What the outside could add; the pipeline answers before the verdict.
    pub asks: Vec<Ask>,
    /// The octets that each ask is about, in the order of the asks. They go beside the report, not in it.
    #[serde(skip)]
    pub enclosures: Vec<Bytes>,
    /// Addresses, commands and file names that active content would use.
    pub indicators: Vec<Indicator>,
    /// Passwords that the mail tells in so many words ("password: x"), the first first: they may be those of another mail
    /// ([`crate::ledger`]). Never shown and never written anywhere, so they go beside the report, not in it.
    #[serde(skip)]
    pub told: Vec<String>,
}

/// What is known of one part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartReport {
    /// Its place.
    pub path: PartPath,
    /// The document whose findings are judged together.
    pub document: PartPath,
    /// How it came to be.
    pub origin: Origin,
    /// Every name, decoded; the one most readers show first.
    pub names: Vec<String>,
    /// Base64 of the first name's octets, where decoding lost something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_raw: Option<String>,
    /// The declared media type.
    pub declared: Option<String>,
    /// All types that match, the one that says most first.
    pub types: Vec<FileType>,
    /// Octets, decoded.
    pub size: u64,
    /// Lower-case hex; empty for the message itself, which nobody compares and whose hash would cost as
    /// much as its parts' (see [`sha256`]).
    pub sha256: String,
    /// Containers around it.
    pub depth: u32,
    /// Where its octets stand in the outermost raw message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<Range<usize>>,
    /// Identifies the macro code in it across copies of a document ([`crate::vba::fingerprint`]).
    pub code_fingerprint: Option<String>,
    /// `true` if it was encrypted and one of the passwords tried opened it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_by_password: Option<bool>,
    /// Every name of its members that stay closed, and so are no parts: encrypted, or packed by a method that is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closed: Vec<String>,
}

/// Something that only the outside can do. Every ask may stay unanswered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "ask")]
pub enum Ask {
    /// Read the text in this picture, which stands in a document with active content.
    ReadPicture {
        /// The document.
        part: PartPath,
        /// Of the picture, lower-case hex.
        sha256: String,
        /// What it looks like, if it can be told from others by that.
        print: Option<Print>,
    },
}

impl Report {
    /// Tells of every ask that stays unanswered. Nothing waits for an answer any more.
    pub fn leave_unanswered(&mut self) {
        for ask in &self.asks {
            let Ask::ReadPicture { part, .. } = ask;
            let (location, evidence) = ("picture".to_owned(), "nobody answered in time".to_owned());
            let unread = Finding { id: finding::PICTURE_UNREAD, part: part.clone(), location, evidence };
            if self.findings.len() < MAX_FINDINGS && !self.findings.contains(&unread) {
                self.findings.push(unread);
            }
        }
    }
}

/// A string that active content would use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Indicator {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: IndicatorKind,
    /// The string as found: hostile.
    pub value: String,
}

/// Kinds of indicators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IndicatorKind {
    /// A URL.
    Url,
    /// A host name.
    Domain,
    /// An address.
    Ip,
    /// A command line.
    Command,
    /// A file name or path.
    File,
}

impl IndicatorKind {
    /// The name in JSON and in the docs.
    pub fn name(self) -> &'static str {
        match self {
            IndicatorKind::Url => "url",
            IndicatorKind::Domain => "domain",
            IndicatorKind::Ip => "ip",
            IndicatorKind::Command => "command",
            IndicatorKind::File => "file",
        }
    }
}

/// Asks a running scan to stop: the time limit lives outside, where the clock is.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// The scan ends at the next part, with a fault finding.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// A scan begins that nobody asked to stop yet.
    pub fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    pub fn stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl From<Arc<AtomicBool>> for Stop {
    /// A flag that something else sets: the handler of a signal.
    fn from(flag: Arc<AtomicBool>) -> Self {
        Self(flag)
    }
}

/// What to scan.
#[derive(Clone, Debug)]
pub struct Input {
    /// The raw bytes of a message or a file.
    pub bytes: Bytes,
    /// `Some`: a file of this name, scanned as a single attachment, unless its content is a
    /// message. `None`: a message, whatever it looks like.
    pub name: Option<String>,
}

impl Input {
    /// A message as it came over the wire.
    pub fn message(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), name: None }
    }

    /// A file.
    pub fn file(bytes: impl Into<Bytes>, name: impl Into<String>) -> Self {
        Self { bytes: bytes.into(), name: Some(name.into()) }
    }
}

/// Findings of one kind that are kept for one part: what is seen more often is said by these.
const MAX_REPEATS: usize = 25;
/// Findings of a report. Beyond them, only that there are more is kept, so that nobody can bury
/// one thing under many others.
const MAX_FINDINGS: usize = 5000;
/// Characters of an indicator that are kept.
const MAX_INDICATOR: usize = 2000;
/// Longest list of indicators that a report keeps.
const MAX_INDICATORS: usize = 500;
/// Asks of one scan: each is work for a helper outside, and a message has few pictures that matter.
pub const MAX_ASKS: usize = 16;
/// Octets that all asks of one scan are about. 8 MiB: three pages as rasters have five.
pub const MAX_ENCLOSED: usize = 8 << 20;

/// Octets of the names of members that stay closed: those of some thousand. Beyond them, that there are more is told.
const MAX_CLOSED: usize = 256 << 10;
/// Passwords that a mail tells for others: a mail about an archive tells one or two.
pub const MAX_TOLD: usize = 16;
/// Octets of such a password.
const MAX_PASSWORD: usize = 64;

/// How a scan is run.
pub struct Run<'a> {
    /// What may look at parts.
    pub formats: &'a [Format],
    /// Who may end it early.
    pub stop: &'a Stop,
    /// Is told before a format looks at a part, so that somebody knows it if the scan never ends.
    pub watch: &'a dyn Fn(&Part, &'static str),
}

/// Scans a message or a file.
pub fn scan(input: Input, limits: &Limits, knowledge: &Knowledge, stop: &Stop) -> Report {
    scan_as(&Run { formats: formats::TABLE, stop, watch: &|_, _| {} }, input, limits, knowledge)
}

/// Scans a message or a file as `run` says.
pub fn scan_as(run: &Run<'_>, input: Input, limits: &Limits, knowledge: &Knowledge) -> Report {
    let mut scan = Scan::new(limits, knowledge, run.stop);
    scan.root(input);
    while let Some(part) = scan.next() {
        if !run.stop.stopped() {
            scan.examine(&part, run);
        }
        scan.let_go(&part);
        // Formats that were asked to stop left something out.
        if run.stop.stopped() {
            scan.finding(finding::SCAN_FAULT, &part, "", "max_scan_time");
            break;
        }
    }
    if !run.stop.stopped() {
        scan.look_at_pictures(run.watch);
    }
    scan.finish()
}

/// Scans a message in which there is nothing to open. `None` as soon as there is a part that only a
/// worker may look into ([`Format::walled`]).
pub fn scan_plain(formats: &[Format], input: Input, limits: &Limits, knowledge: &Knowledge) -> Option<Report> {
    let stop = Stop::default();
    let run = Run { formats, stop: &stop, watch: &|_, _| {} };
    let mut scan = Scan::new(limits, knowledge, &stop);
    scan.root(input);
    let mut looked = 0;
    while !scan.list.is_empty() {
        // Every part is looked at once, and before anything is done about any of its siblings.
        let news = scan.list.iter().filter(|waiting| waiting.order > looked);
        if news.map(|waiting| &waiting.part).any(|part| run.formats.iter().any(|f| f.walled && (f.accepts)(part))) {
            return None;
        }
        looked = scan.order;
        if let Some(Waiting { part, .. }) = scan.list.pop() {
            scan.examine(&part, &run);
            scan.let_go(&part);
        }
    }
    Some(scan.finish())
}

/// The report of a scan that gave nothing back (it never ended, or brought its process down): what
/// was handed in, and that it was not inspected. If it is known over which part it happened, that part and
/// who looked at it are named.
pub fn fault(input: Input, why: &str, at: Option<Place>) -> Report {
    let mut scan = Scan::new(&Limits::default(), &Knowledge::default(), &Stop::default());
    scan.root(input);
    let Some(Waiting { part: mut whole, .. }) = scan.list.pop() else { return scan.finish() };
    let Some(place) = at else {
        scan.finding(finding::SCAN_FAULT, &whole, "", why);
        return scan.finish();
    };
    if place.part != whole.path {
        whole.path = place.part.clone();
        whole.document = place.part;
        whole.origin = Origin::Attachment;
        whole.names = vec![Name::plain(place.name)];
        (whole.declared, whole.types, whole.bytes, whole.span) = (None, TypeSet::EMPTY, Bytes::new(), None);
        scan.enlist(whole.clone(), false, None);
    }
    scan.finding(finding::SCAN_FAULT, &whole, &place.format, why);
    scan.finish()
}

/// Where a scan is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The part that is looked at.
    pub part: PartPath,
    /// Its first name, shortened.
    pub name: String,
    /// The format that looks.
    pub format: String,
}

/// A scan in progress: what formats report to.
pub struct Scan {
    budget: Budget,
    report: Report,
    list: BinaryHeap<Waiting>,
    order: u64,
    full: bool,
    /// Octets of names of closed members that are kept yet.
    closed_left: usize,
    children: HashMap<PartPath, u32>,
    stands: HashMap<PartPath, usize>,
    keyring: Keyring,
    asking: bool,
    answers: Vec<Answer>,
    enclosed: usize,
    pieces: Pieces,
    /// Pieces of what was joined.
    joined: HashSet<PartPath>,
    gallery: Gallery,
    seen: HashSet<(FindingId, PartPath, String)>,
    /// How many findings of a kind a part has.
    repeats: HashMap<(FindingId, PartPath), usize>,
    stop: Stop,
}

/// What a container found inside itself.
#[derive(Debug, Default)]
pub struct Child {
    /// Every name it was given.
    pub names: Vec<Name>,
    /// The declared media type, lower case.
    pub declared: Option<String>,
    /// Decoded content.
    pub bytes: Bytes,
    /// Where it stands in its parent, if the parent is a message (see [`Part::span`]).
    pub span: Option<Range<usize>>,
    /// It was encrypted, and a password opened it.
    pub opened_by_password: bool,
    /// The hash of the content, if the container had to compute it.
    pub sha256: Option<Hash>,
}

/// A SHA-256.
pub type Hash = [u8; 32];

impl Scan {
    fn new(limits: &Limits, knowledge: &Knowledge, stop: &Stop) -> Self {
        Self {
            budget: Budget::new(limits),
            report: Report::default(),
            list: BinaryHeap::new(),
            order: 0,
            full: false,
            closed_left: MAX_CLOSED,
            children: HashMap::new(),
            stands: HashMap::new(),
            keyring: Keyring::new(&knowledge.passwords),
            asking: knowledge.asking,
            answers: knowledge.answers.clone(),
            enclosed: 0,
            pieces: Pieces::default(),
            joined: HashSet::new(),
            gallery: Gallery::default(),
            seen: HashSet::new(),
            repeats: HashMap::new(),
            stop: stop.clone(),
        }
    }

    /// Reports a finding. Text is cut to [`finding::MAX_EVIDENCE`] characters; the same finding
    /// with the same evidence in the same part counts once, and a part has at most
    /// `MAX_REPEATS` of a kind.
    pub fn finding(&mut self, id: FindingId, part: &Part, location: &str, evidence: &str) {
        self.finding_at(id, &part.path, location, evidence);
    }

    fn finding_at(&mut self, id: FindingId, path: &PartPath, location: &str, evidence: &str) {
        let lacks = matches!(
            id.reason,
            Some(Reason::Damaged | Reason::Unsupported | Reason::Encrypted | Reason::EncryptedDespitePassword)
        );
        if lacks && self.joined.iter().any(|piece| path.is_within(piece)) {
            return;
        }
        let repeats = self.repeats.entry((id, path.clone())).or_default();
        if *repeats >= MAX_REPEATS {
            return;
        }
        let evidence = shorten(evidence);
        if !self.seen.insert((id, path.clone(), evidence.clone())) {
            return;
        }
        *repeats = repeats.saturating_add(1);
        let kept = self.report.findings.len();
        // A fault is said in any case.
        if kept > MAX_FINDINGS && id != finding::SCAN_FAULT {
            return;
        }
        if kept == MAX_FINDINGS {
            let (id, evidence) = (finding::LIMIT_EXCEEDED, "more findings than are kept".to_owned());
            self.report.findings.push(Finding { id, part: path.clone(), location: String::new(), evidence });
            return;
        }
        self.report.findings.push(Finding { id, part: path.clone(), location: shorten(location), evidence });
    }

    /// Puts something found inside `parent` on the work list. `None` if a limit forbids it
    /// (which is a finding then).
    pub fn child(&mut self, parent: &Part, origin: Origin, child: Child) -> Option<PartPath> {
        let depth = parent.depth.saturating_add(1);
        if let Err(limit) = self.budget.charge(depth, child.bytes.len() as u64) {
            self.full |= limit == Limit::Files;
            self.limit(parent, limit);
            return None;
        }
        let number = self.children.entry(parent.path.clone()).or_insert(0);
        *number = number.saturating_add(1);
        let path = parent.path.child(*number);
        let document = if origin == Origin::Embedded { parent.document.clone() } else { path.clone() };
        // A span is within the outermost message only if the parent's octets stand there verbatim.
        let span = match (self.stands.get(&parent.path), child.span) {
            (Some(start), Some(inner)) => Some(start.saturating_add(inner.start)..start.saturating_add(inner.end)),
            // Inside of something encoded, cutting out means cutting out that.
            _ => None,
        };
        let types = filetype::detect(&child.bytes);
        let part = Part {
            path: path.clone(),
            document,
            origin,
            names: child.names,
            declared: child.declared,
            bytes: child.bytes,
            types,
            depth,
            span,
        };
        self.enlist(part, child.opened_by_password, child.sha256);
        Some(path)
    }

    /// Says that the octets of the child at `path` stand verbatim in `parent`, from `offset` on:
    /// only then do spans inside it have a place in the outermost message.
    pub fn stands_at(&mut self, parent: &Part, path: &PartPath, offset: usize) {
        if let Some(start) = self.stands.get(&parent.path) {
            self.stands.insert(path.clone(), start.saturating_add(offset));
        }
    }

    /// How many octets the next part may have at most: read `take(room + 1)`.
    pub fn room(&self) -> u64 {
        self.budget.room()
    }

    /// How many parts there may be yet, and how many octets they may have together before one is looked at.
    pub fn left(&self) -> (u64, u64) {
        self.budget.left()
    }

    /// Whether no further part fits: that was reported when the first did not.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Charges octets that were unpacked and become no part of their own.
    pub fn spend(&mut self, size: u64) {
        self.budget.spend(size);
    }

    /// Charges the rounds of hashing that trying a password costs; `false` if there are not as many left.
    pub fn derive(&mut self, rounds: u64) -> bool {
        self.budget.derive(rounds)
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        self.budget.limits()
    }

    /// Reports that a limit stopped something inside `part`.
    pub fn limit(&mut self, part: &Part, limit: Limit) {
        self.finding(finding::LIMIT_EXCEEDED, part, "", limit.name());
    }

    /// Records what active content would use.
    pub fn indicator(&mut self, kind: IndicatorKind, value: &str) {
        let mut value = value.char_indices().nth(MAX_INDICATOR).map_or(value.to_owned(), |(end, _)| {
            // What is cut shows it.
            format!("{}…", value.get(..end).unwrap_or_default())
        });
        value.shrink_to_fit();
        let indicator = Indicator { kind, value };
        if self.report.indicators.contains(&indicator) {
            return;
        }
        if self.report.indicators.len() < MAX_INDICATORS {
            self.report.indicators.push(indicator);
        } else {
            // Of whichever part: that of the whole says it once.
            let whole = self.report.parts.first().map(|part| part.path.clone()).unwrap_or_default();
            self.finding_at(finding::LIMIT_EXCEEDED, &whole, "", "more indicators than are kept");
        }
    }

    /// Whether anybody would answer.
    pub fn is_asking(&self) -> bool {
        self.asking
    }

    /// Asks the outside for something, about these octets. What is known already is not asked. `false` if there is
    /// no room for it any more.
    pub fn ask(&mut self, ask: Ask, octets: Bytes) -> bool {
        let enclosed = self.enclosed.saturating_add(octets.len());
        let room = self.report.asks.len() < MAX_ASKS && enclosed <= MAX_ENCLOSED;
        if self.report.asks.contains(&ask) || self.answers.iter().any(|answer| answer.ask == ask) {
            return true;
        }
        if room {
            self.enclosed = enclosed;
            self.report.asks.push(ask);
            self.report.enclosures.push(octets);
        }
        room
    }

    /// What the outside said of a picture, if it did.
    pub fn said_of_picture(&self, part: &PartPath, sha256: &str) -> Option<&Said> {
        let is_it = |ask: &Ask| {
            let Ask::ReadPicture { part: of, sha256: hash, .. } = ask;
            of == part && hash == sha256
        };
        self.answers.iter().find(|answer| is_it(&answer.ask)).map(|answer| &answer.said)
    }

    /// A type that only the examination could tell (which OOXML, which compound file).
    pub fn learn_type(&mut self, part: &Part, file_type: FileType) {
        if let Some(report) = self.report.parts.iter_mut().find(|p| p.path == part.path) {
            let types: TypeSet = report.types.iter().copied().chain([file_type]).collect();
            report.types = types.iter().collect();
        }
    }

    /// A password opened what this part is.
    pub fn learn_opened(&mut self, part: &Part) {
        if let Some(report) = self.report.parts.iter_mut().find(|p| p.path == part.path) {
            report.opened_by_password = Some(true);
        }
    }

    /// Records the names of a member that stays closed.
    pub fn learn_closed(&mut self, part: &Part, names: &[Name]) {
        let octets = names.iter().map(|name| name.text.len()).fold(0, usize::saturating_add);
        let Some(left) = self.closed_left.checked_sub(octets) else { return self.limit(part, Limit::Files) };
        self.closed_left = left;
        if let Some(report) = self.report.parts.iter_mut().find(|p| p.path == part.path) {
            report.closed.extend(names.iter().map(|name| name.text.clone()));
        }
    }

    /// Records what identifies the macro code in a part.
    pub fn learn_code(&mut self, part: &Part, fingerprint: String) {
        if let Some(report) = self.report.parts.iter_mut().find(|p| p.path == part.path) {
            report.code_fingerprint = Some(fingerprint);
        }
    }

    /// Whether such a finding was reported of this part.
    pub fn has_found(&self, id: FindingId, part: &Part) -> bool {
        self.repeats.contains_key(&(id, part.path.clone()))
    }

    /// Passwords to try, those from outside first.
    pub fn passwords(&self) -> &[String] {
        self.keyring.told()
    }

    /// What may be a password although nothing says so, for what costs little to try.
    pub fn guesses(&self) -> &[String] {
        self.keyring.guesses()
    }

    /// Whether the mail's text tells a password (even one that was not recognised).
    pub fn password_told(&self) -> bool {
        self.keyring.is_told()
    }

    /// Adds what the mail's text offers as passwords.
    pub fn tell_passwords(&mut self, candidates: impl IntoIterator<Item = String>) {
        let candidates: Vec<String> = candidates.into_iter().collect();
        for candidate in &candidates {
            let told = &mut self.report.told;
            if told.len() < MAX_TOLD && is_tellable(candidate) && !told.contains(candidate) {
                told.push(candidate.clone());
            }
        }
        self.keyring.tell(candidates);
    }

    /// Adds what may be a password.
    pub fn guess_passwords(&mut self, candidates: impl IntoIterator<Item = String>) {
        self.keyring.guess(candidates);
    }

    /// Notes that a text offers more passwords than are kept of it.
    pub fn more_passwords(&mut self) {
        self.keyring.overflow();
    }

    /// Notes that not all passwords were tried on something that may stay closed.
    pub fn cut_passwords(&mut self) {
        self.keyring.cut();
    }

    /// Whether some passwords were not tried on what was tried last.
    pub fn take_untried_passwords(&mut self) -> bool {
        self.keyring.take_untried()
    }

    /// Whether the scan was asked to end: long loops look now and then.
    pub fn stopped(&self) -> bool {
        self.stop.stopped()
    }

    /// What asks the scan to end, for loops that have no scan at hand.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    fn root(&mut self, input: Input) {
        let types = filetype::detect(&input.bytes);
        let is_message = input.name.is_none() || types.has(FileType::Message);
        let size = input.bytes.len();
        let mut part = Part {
            path: PartPath::root(),
            document: PartPath::root(),
            origin: Origin::Root,
            names: Vec::new(),
            declared: is_message.then(|| "message/rfc822".to_owned()),
            bytes: input.bytes,
            types: if is_message { TypeSet::EMPTY.with(FileType::Message) } else { types },
            depth: 0,
            span: is_message.then_some(0..size),
        };
        if is_message {
            self.stands.insert(PartPath::root(), 0);
        } else {
            part.path = part.path.child(1);
            part.document = part.path.clone();
            part.origin = Origin::Attachment;
            part.names = input.name.into_iter().map(Name::plain).collect();
        }
        match self.budget.charge(0, size as u64) {
            Ok(()) => {
                // It was in memory before, and stays: what is unpacked has all the room.
                self.budget.release(size as u64);
                self.enlist(part, false, None);
            }
            Err(limit) => {
                self.enlist(part.clone(), false, None);
                self.limit(&part, limit);
            }
        }
    }

    fn enlist(&mut self, part: Part, opened_by_password: bool, hash: Option<Hash>) {
        let sha256 = match hash {
            Some(hash) => HEXLOWER.encode(&hash),
            None if part.path == PartPath::root() => String::new(),
            None => sha256(&part.bytes),
        };
        self.report.parts.push(PartReport {
            path: part.path.clone(),
            document: part.document.clone(),
            origin: part.origin,
            names: part.names.iter().map(|name| name.text.clone()).collect(),
            name_raw: part
                .names
                .first()
                .and_then(|name| name.raw.as_deref())
                .map(|raw| data_encoding::BASE64.encode(raw)),
            declared: part.declared.clone(),
            types: part.types.iter().collect(),
            size: part.bytes.len() as u64,
            sha256,
            depth: part.depth,
            span: part.span.clone(),
            code_fingerprint: None,
            opened_by_password: opened_by_password.then_some(true),
            closed: Vec::new(),
        });
        self.pieces.note(&part);
        self.order = self.order.saturating_add(1);
        self.list.push(Waiting { danger: danger(&part), order: self.order, part });
    }

    fn finish(mut self) -> Report {
        self.report.parts.sort_by(|a, b| a.path.cmp(&b.path));
        self.report
    }

    fn examine(&mut self, part: &Part, run: &Run<'_>) {
        for format in run.formats.iter().filter(|format| (format.accepts)(part)) {
            (run.watch)(part, format.name);
            self.guarded(part, format.name, |scan| (format.examine)(part, scan));
        }
        self.join_pieces(part);
    }

    /// The most dangerous part that waits; but before a container is opened for which there is little room, whatever waits
    /// and is no container makes room for it.
    fn next(&mut self) -> Option<Part> {
        let is_short = self.room() < self.limits().max_file_size;
        let is_container = self.list.peek().is_some_and(|next| next.danger == DANGER_CONTAINER);
        if is_short && is_container {
            let mut list = std::mem::take(&mut self.list).into_vec();
            let leaves = list.iter().enumerate().filter(|(_, waiting)| waiting.danger < DANGER_CONTAINER);
            let largest = leaves.max_by_key(|(_, leaf)| leaf.part.bytes.len()).map(|(at, _)| at);
            let leaf = largest.map(|at| list.swap_remove(at));
            self.list = list.into();
            if let Some(Waiting { part, .. }) = leaf {
                return Some(part);
            }
        }
        self.list.pop().map(|waiting| waiting.part)
    }

    /// What an unpacked part took of the room of others is theirs again.
    fn let_go(&mut self, part: &Part) {
        if part.depth > 0 {
            self.budget.release(part.bytes.len() as u64);
        }
    }

    /// A panic costs one format of one part, and is a finding.
    fn guarded(&mut self, part: &Part, name: &str, examine: impl FnOnce(&mut Self)) {
        let outcome = catch_unwind(AssertUnwindSafe(|| examine(self)));
        if outcome.is_err() {
            self.finding(finding::SCAN_FAULT, part, "", name);
        }
    }

    /// Joins files that were cut into pieces, once all children of `part` are known.
    fn join_pieces(&mut self, part: &Part) {
        for set in self.pieces.take(&part.path) {
            match set {
                Set::Joined { name, pieces, paths } => {
                    let size: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
                    if size > self.room() {
                        self.finding(
                            finding::LIMIT_EXCEEDED,
                            part,
                            &name,
                            &format!("{name}: {}", Limit::FileSize.name()),
                        );
                        continue;
                    }
                    let (names, bytes) = (vec![Name::plain(name)], Bytes::from(pieces.concat()));
                    let whole = filetype::detect(&bytes);
                    if self.child(part, Origin::Member, Child { names, bytes, ..Child::default() }).is_some() {
                        // What a piece alone lacks, the whole has, or tells: if it is read as what the piece is.
                        let is_part = |piece: &Bytes| {
                            let plain = |t: &FileType| [FileType::Data, FileType::Text].contains(t);
                            filetype::detect(piece).iter().all(|t| plain(&t) || whole.has(t))
                        };
                        let parts = paths.into_iter().zip(&pieces).filter(|(_, piece)| is_part(piece));
                        self.joined.extend(parts.map(|(path, _)| path));
                    }
                }
                Set::Missing { path, name } => {
                    self.finding_at(finding::DAMAGED, &path, "", &format!("{name} is missing"));
                }
            }
        }
    }
}

#[cfg(test)]
impl Scan {
    /// A scan of nothing yet, for tests of single formats.
    pub(crate) fn for_test() -> Self {
        Self::new(&Limits::default(), &Knowledge::default(), &Stop::default())
    }

    /// What was reported so far.
    pub(crate) fn report(&self) -> &Report {
        &self.report
    }
}

/// The SHA-256 of some bytes, lower-case hex.
pub fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

/// Whether a password may be told to other mails' scans.
pub fn is_tellable(password: &str) -> bool {
    (1..=MAX_PASSWORD).contains(&password.len())
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(finding::MAX_EVIDENCE) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// A part on the work list.
struct Waiting {
    danger: u8,
    order: u64,
    part: Part,
}

/// Of archives and disk images. What is below is content.
const DANGER_CONTAINER: u8 = 5;

/// The mail's text first (it may tell a password), then what can run, what can hold something
/// that runs, and the rest.
fn danger(part: &Part) -> u8 {
    let types = part.types;
    if part.origin == Origin::Body {
        return 9;
    }
    if types.has(FileType::OleVba) {
        return 8;
    }
    if types.has_class(Class::Document) {
        return 7;
    }
    if types.has_class(Class::Message) {
        return 6;
    }
    if types.has_class(Class::Archive) || types.has_class(Class::DiskImage) {
        return DANGER_CONTAINER;
    }
    if types.has_class(Class::Media) {
        return 1;
    }
    3
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == std::cmp::Ordering::Equal
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.danger.cmp(&other.danger).then(other.order.cmp(&self.order))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> Part {
        Part {
            path: PartPath::root(),
            document: PartPath::root(),
            origin: Origin::Root,
            names: Vec::new(),
            declared: None,
            bytes: Bytes::new(),
            types: TypeSet::EMPTY,
            depth: 0,
            span: None,
        }
    }

    /// What is kept of so many findings, of which so many are of one kind and part.
    fn kept(count: usize, of_a_kind: usize) -> (usize, bool) {
        let (mut part, mut scan) = (root(), Scan::for_test());
        for n in 0..count {
            if n % of_a_kind == 0 {
                part.path = PartPath::root().child(n as u32);
            }
            scan.finding(finding::VBA_MACROS, &part, "", &n.to_string());
        }
        let told = scan.report.findings.iter().any(|found| found.id == finding::LIMIT_EXCEEDED);
        (scan.report.findings.len(), told)
    }

    #[test]
    fn the_lists_of_a_report_hold_at_below_and_above_their_limits() {
        for (count, expected) in [(24, 24), (25, 25), (26, 25)] {
            assert_eq!(kept(count, count), (expected, false), "the same thing said more often says no more");
        }
        assert_eq!(kept(MAX_FINDINGS - 1, 10), (MAX_FINDINGS - 1, false));
        assert_eq!(kept(MAX_FINDINGS, 10), (MAX_FINDINGS, false));
        assert_eq!(kept(MAX_FINDINGS + 1, 10), (MAX_FINDINGS + 1, true));
        assert_eq!(kept(MAX_FINDINGS + 99, 10), (MAX_FINDINGS + 1, true));

        for (octets, count, told) in [(MAX_CLOSED - 1, 1, false), (MAX_CLOSED, 1, false), (MAX_CLOSED + 1, 0, true)] {
            let (part, mut scan) = (root(), Scan::for_test());
            scan.enlist(part.clone(), false, None);
            scan.learn_closed(&part, &[Name::plain("n".repeat(octets - 1)), Name::plain("n")]);
            assert_eq!((scan.report.parts[0].closed.len(), !scan.report.findings.is_empty()), (2 * count, told));
        }

        for extra in [0, 1, 2] {
            let mut scan = Scan::for_test();
            let names = |max: usize| (0..max - 1 + extra).map(|n| n.to_string());
            names(MAX_INDICATORS).for_each(|name| scan.indicator(IndicatorKind::File, &name));
            let ask = |sha256| Ask::ReadPicture { part: PartPath::root(), sha256, print: None };
            names(MAX_ASKS).for_each(|sha256| _ = scan.ask(ask(sha256), Bytes::new()));
            scan.tell_passwords(names(keyring::MAX_TOLD));
            scan.guess_passwords(names(keyring::MAX_GUESSES));
            let keys = [scan.passwords().len(), scan.guesses().len()];
            assert_eq!(keys, [keyring::MAX_TOLD, keyring::MAX_GUESSES].map(|max| max - 1 + extra.min(1)));
            let lists = [scan.report.indicators.len(), scan.report.asks.len()];
            assert_eq!(lists, [MAX_INDICATORS, MAX_ASKS].map(|max| max - 1 + extra.min(1)));
            let told: Vec<_> = scan.report.findings.iter().map(|found| found.evidence.as_str()).collect();
            assert_eq!(told, if extra > 1 { vec!["more indicators than are kept"] } else { vec![] });
        }
    }

    #[test]
    fn asks_are_about_so_many_octets_and_no_more() {
        let ask = |n: usize| Ask::ReadPicture { part: PartPath::root(), sha256: n.to_string(), print: None };
        for (octets, asked) in [(MAX_ENCLOSED - 2, 2), (MAX_ENCLOSED - 1, 2), (MAX_ENCLOSED, 1)] {
            let mut scan = Scan::for_test();
            scan.ask(ask(1), Bytes::from(vec![0; octets]));
            scan.ask(ask(2), Bytes::from_static(b"x"));
            assert_eq!((scan.report.asks.len(), scan.report.enclosures.len()), (asked, asked), "{octets}");
        }
    }

    #[test]
    fn what_was_answered_is_known_and_not_asked_again() {
        let ask = Ask::ReadPicture { part: PartPath::root(), sha256: String::new(), print: None };
        let said = Said::Text("Enable Content".to_owned());
        let answers = vec![Answer { ask: ask.clone(), said: said.clone() }];
        let knowledge = Knowledge { answers, ..Knowledge::default() };
        let mut scan = Scan::new(&Limits::default(), &knowledge, &Stop::default());
        scan.ask(ask.clone(), Bytes::new());
        assert_eq!(scan.said_of_picture(&PartPath::root(), ""), Some(&said));
        assert_eq!(scan.said_of_picture(&PartPath::root(), "other"), None);
        assert!(scan.report.asks.is_empty());
    }

    #[test]
    fn evidence_is_cut_where_it_is_too_long_and_shows_it() {
        let shown = |length: usize| shorten(&"あ".repeat(length)).chars().count();
        let max = finding::MAX_EVIDENCE;
        assert_eq!([shown(max - 1), shown(max), shown(max + 1)], [max - 1, max, max + 1]);
        assert!(!shorten(&"あ".repeat(max)).ends_with('…') && shorten(&"あ".repeat(max + 1)).ends_with('…'));
    }
}
