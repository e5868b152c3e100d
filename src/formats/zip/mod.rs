//! ZIP archives (APPNOTE 6.3.10).
//!
//! Readers disagree about what a ZIP holds: some go by the directory at its end, some by the local
//! headers from its start. Here both views are read (`members`) and their union is scanned; that
//! they differ is a finding. Sizes and checksums are claims, and so is the encryption flag.
//! Packages of Office are ZIPs, too: [`super::ooxml`] looks into those.
//! Split archives are not joined; methods other than stored and deflate are not unpacked.

mod decrypt;
pub(crate) mod members;
mod names;
mod records;
pub(crate) mod unpack;

use bytes::Bytes;

use self::decrypt::Passwords;
use self::members::{Archive, Member};
use self::unpack::Content;
use crate::filetype::{self, FileType, TypeSet};
use crate::finding;
use crate::formats::{Format, ooxml};
use crate::limits::Limit;
use crate::part::{Origin, Part};
use crate::scan::{Child, Scan};

/// ZIP archives and Office packages.
pub const FORMAT: Format = Format { name: "zip", walled: true, accepts: |part| part.types.has(FileType::Zip), examine };

fn examine(part: &Part, scan: &mut Scan) {
    // One more than may become parts, so that the limit is noticed.
    let most = scan.limits().max_files.saturating_add(1);
    let archive = members::read(&part.bytes, usize::try_from(most).unwrap_or(usize::MAX));
    if archive.cut {
        scan.limit(part, Limit::Files);
    }
    for difference in archive.differences.iter().take(MAX_DIFFERENCES) {
        scan.finding(finding::ZIP_VIEWS_DIFFER, part, "", difference);
    }
    if archive.members.is_empty() && !archive.empty {
        return scan.finding(finding::DAMAGED, part, "", "no member can be found");
    }
    // Office opens no package with encrypted members; as an archive, their passwords are tried.
    if ooxml::is_package(&archive) && !is_locked(part, &archive, scan) {
        ooxml::examine(part, &archive, scan);
    } else {
        extract(part, &archive, scan);
    }
}

/// A broken archive differs in each of a thousand members; nobody reads more than a few.
const MAX_DIFFERENCES: usize = 8;

/// Whether any member is encrypted in truth, and not by a flag only.
fn is_locked(part: &Part, archive: &Archive, scan: &mut Scan) -> bool {
    archive.members.iter().filter(|member| member.encrypted).any(|member| {
        let plain = unpack::plain_despite_flag(&part.bytes, member, scan).is_some();
        if plain {
            flag_lies(part, member, scan);
        }
        !plain
    })
}

fn flag_lies(part: &Part, member: &Member, scan: &mut Scan) {
    let evidence = format!("{}: marked as encrypted, but is not", member.name());
    scan.finding(finding::ZIP_VIEWS_DIFFER, part, "", &evidence);
}

/// Every member becomes a part.
fn extract(part: &Part, archive: &Archive, scan: &mut Scan) {
    let mut locked = Vec::new();
    let mut passwords = Passwords::default();
    for member in archive.members.iter().filter(|member| !member.is_folder()) {
        if scan.stopped() {
            return;
        }
        let outcome =
            if member.encrypted { unlock(part, member, &mut passwords, scan) } else { open(part, member, scan) };
        match outcome {
            Outcome::Given => {}
            Outcome::Locked => locked.push(member.name()),
            // What becomes no part must not be unpacked either: that would be work without a bound.
            Outcome::Full => break,
        }
    }
    if !locked.is_empty() {
        let id = if scan.password_told() { finding::ARCHIVE_ENCRYPTED_TOLD } else { finding::ARCHIVE_ENCRYPTED };
        // Names are readable although the content is not.
        scan.finding(id, part, "", &locked.join(", "));
    }
}

/// What became of a member.
enum Outcome {
    /// It is on the work list, or a finding says why not.
    Given,
    /// No password opens it.
    Locked,
    /// A limit forbids this part and all that would follow.
    Full,
}

fn open(part: &Part, member: &Member, scan: &mut Scan) -> Outcome {
    for method in member.methods.iter().copied() {
        let content = unpack::unpack(&part.bytes, member, method, scan.room());
        if let Outcome::Full = give(part, member, content, false, scan) {
            return Outcome::Full;
        }
    }
    Outcome::Given
}

/// An encrypted member: perhaps it is not encrypted after all, perhaps a password fits.
fn unlock(part: &Part, member: &Member, passwords: &mut Passwords, scan: &mut Scan) -> Outcome {
    if let Some(content) = unpack::plain_despite_flag(&part.bytes, member, scan) {
        flag_lies(part, member, scan);
        return give(part, member, content, false, scan);
    }
    match passwords.open(&part.bytes, member, scan) {
        Some(content) => give(part, member, content, true, scan),
        None => Outcome::Locked,
    }
}

/// Puts what was unpacked on the work list, and says what is missing of it.
fn give(part: &Part, member: &Member, content: Content, opened_by_password: bool, scan: &mut Scan) -> Outcome {
    let bytes = match content {
        Content::Whole(bytes) => bytes,
        Content::Damaged(bytes) if !bytes.is_empty() => {
            missing(part, member, &Content::Damaged(Bytes::new()), scan);
            bytes
        }
        Content::Head(bytes) => {
            missing(part, member, &Content::Head(Bytes::new()), scan);
            if bytes.is_empty() {
                return Outcome::Full;
            }
            bytes
        }
        // Nothing came out, but what went in may be plain: some readers ignore the method.
        Content::Damaged(_) | Content::Unsupported(_) => {
            missing(part, member, &content, scan);
            plain_if_known(part, member)
        }
    };
    if bytes.is_empty() && !member.is_empty() {
        return Outcome::Given;
    }
    let child = Child { names: member.names.clone(), bytes, opened_by_password, ..Child::default() };
    scan.child(part, Origin::Member, child).map_or(Outcome::Full, |_| Outcome::Given)
}

/// Says what of a member could not be read.
pub(crate) fn missing(part: &Part, member: &Member, content: &Content, scan: &mut Scan) {
    let name = member.name();
    match content {
        Content::Whole(_) => {}
        Content::Head(_) => {
            let used_up = scan.room() < scan.limits().max_file_size;
            let limit = if used_up { Limit::ScanSize } else { Limit::FileSize };
            scan.finding(finding::LIMIT_EXCEEDED, part, name, &format!("{name}: {}", limit.name()));
        }
        Content::Damaged(_) => scan.finding(finding::DAMAGED, part, name, name),
        Content::Unsupported(method) => {
            let evidence = format!("{name}: {}", unpack::method_name(*method));
            scan.finding(finding::CONTAINER_UNSUPPORTED, part, name, &evidence);
        }
    }
}

/// The packed octets, if they begin like something known as they stand.
fn plain_if_known(part: &Part, member: &Member) -> Bytes {
    let end = member.data.end.min(part.bytes.len());
    let raw = part.bytes.slice(member.data.start.min(end)..end);
    let types = filetype::detect(raw.get(..4096).unwrap_or(&raw));
    let unknown = [FileType::Data, FileType::Text].map(|t| TypeSet::EMPTY.with(t)).contains(&types);
    if unknown { Bytes::new() } else { raw }
}
