//! ZIP archives (APPNOTE 6.3.10).
//!
//! Readers disagree about what a ZIP holds: some go by the directory at its end, some by the local
//! headers from its start. Here both views are read ([`members`]) and their union is scanned; that
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
pub const FORMAT: Format = Format { name: "zip", accepts: |part| part.types.has(FileType::Zip), examine };

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
    if ooxml::is_package(&archive) {
        ooxml::examine(part, &archive, scan);
    } else {
        extract(part, &archive, scan);
    }
}

/// A broken archive differs in each of a thousand members; nobody reads more than a few.
const MAX_DIFFERENCES: usize = 8;

/// Every member becomes a part.
fn extract(part: &Part, archive: &Archive, scan: &mut Scan) {
    let mut locked = Vec::new();
    let mut passwords = Passwords::default();
    for member in archive.members.iter().filter(|member| !member.is_folder()) {
        if scan.stopped() {
            return;
        }
        if member.encrypted && !opened(part, member, &mut passwords, scan) {
            locked.push(member.name());
        } else if !member.encrypted {
            for method in member.methods.iter().copied() {
                let content = unpack::unpack(&part.bytes, member, method, scan.room());
                give(part, member, content, false, scan);
            }
        }
    }
    report_locked(part, &locked, scan);
}

/// Says which members are encrypted; their names are readable all the same.
pub(crate) fn report_locked(part: &Part, locked: &[&str], scan: &mut Scan) {
    if !locked.is_empty() {
        let id = if scan.password_told() { finding::ARCHIVE_ENCRYPTED_TOLD } else { finding::ARCHIVE_ENCRYPTED };
        scan.finding(id, part, "", &locked.join(", "));
    }
}

/// Whether an encrypted member could be read: because it is not encrypted after all, or because
/// one of the passwords fits.
fn opened(part: &Part, member: &Member, passwords: &mut Passwords, scan: &mut Scan) -> bool {
    if let Some(content) = unpack::plain_despite_flag(&part.bytes, member, scan.room()) {
        scan.finding(
            finding::ZIP_VIEWS_DIFFER,
            part,
            "",
            &format!("{}: marked as encrypted, but is not", member.name()),
        );
        give(part, member, content, false, scan);
        return true;
    }
    let room = scan.room();
    match passwords.open(&part.bytes, member, scan.passwords(), room) {
        Some(content) => {
            give(part, member, content, true, scan);
            true
        }
        None => false,
    }
}

/// Puts what was unpacked on the work list, and says what is missing of it.
fn give(part: &Part, member: &Member, content: Content, opened_by_password: bool, scan: &mut Scan) {
    let name = member.name();
    let bytes = match content {
        Content::Whole(bytes) => bytes,
        Content::Head(bytes) => {
            scan.finding(finding::LIMIT_EXCEEDED, part, name, &format!("{name}: {}", Limit::FileSize.name()));
            bytes
        }
        Content::Damaged(bytes) => {
            scan.finding(finding::DAMAGED, part, name, name);
            // Nothing came out, but what went in may be plain: some readers ignore the method.
            if bytes.is_empty() { plain_if_known(part, member) } else { bytes }
        }
        Content::Unsupported(method) => {
            scan.finding(
                finding::CONTAINER_UNSUPPORTED,
                part,
                name,
                &format!("{name}: {}", unpack::method_name(method)),
            );
            plain_if_known(part, member)
        }
    };
    let bytes_were_found = !bytes.is_empty() || member.is_empty();
    if bytes_were_found {
        scan.child(
            part,
            Origin::Member,
            Child { names: member.names.clone(), bytes, opened_by_password, ..Child::default() },
        );
    }
}

/// The packed octets, if they are something known as they stand.
fn plain_if_known(part: &Part, member: &Member) -> Bytes {
    let raw = part.bytes.get(member.data.clone()).map(|_| part.bytes.slice(member.data.clone())).unwrap_or_default();
    let unknown = [FileType::Data, FileType::Text].map(|t| TypeSet::EMPTY.with(t));
    if unknown.contains(&filetype::detect(&raw)) { Bytes::new() } else { raw }
}
