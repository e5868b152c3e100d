//! ZIP archives (APPNOTE 6.3.10).
//!
//! Readers disagree about what a ZIP holds: some go by the directory at its end, some by the local
//! headers from its start. Here both views are read (`members`) and their union is scanned; that
//! they differ is a finding. Sizes and checksums are claims, and so is the encryption flag.
//! Packages of Office are ZIPs, too: [`super::ooxml`] looks into those.
//! Split archives are not joined.

mod decrypt;
pub(crate) mod members;
pub(crate) mod names;
mod records;
pub(crate) mod unpack;

use bytes::Bytes;

use self::decrypt::Passwords;
use self::members::{Archive, Member};
use crate::filetype::FileType;
use crate::finding;
use crate::formats::container::{self, Content, Outcome};
use crate::formats::{Format, ooxml};
use crate::limits::Limit;
use crate::lure;
use crate::part::Part;
use crate::scan::Scan;

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

/// Every member becomes a part, those first that their names tell to be the most dangerous.
fn extract(part: &Part, archive: &Archive, scan: &mut Scan) {
    if archive.members.iter().any(|member| member.encrypted) {
        listen(part, archive, scan);
    }
    let mut locked = Vec::new();
    let mut passwords = Passwords::default();
    let mut members: Vec<&Member> = archive.members.iter().filter(|member| !member.is_folder()).collect();
    // Stable: those of one rank in their order.
    members.sort_by_key(|member| container::rank(&member.names));
    for member in members {
        if scan.stopped() {
            return;
        }
        let outcome =
            if member.encrypted { unlock(part, member, &mut passwords, scan) } else { Some(open(part, member, scan)) };
        match outcome {
            Some(Outcome::Given) => {}
            Some(Outcome::Full) => break,
            None => locked.push(member.names.clone()),
        }
    }
    container::locked(part, &locked, scan);
}

/// What is open in an archive may tell the password of the rest: its comment, names, and notes.
fn listen(part: &Part, archive: &Archive, scan: &mut Scan) {
    let comment = part.bytes.slice(archive.comment.clone());
    lure::file(scan, part, &[], &comment);
    for member in archive.members.iter().filter(|member| !member.is_folder()) {
        let is_note = !member.encrypted && member.size <= lure::MAX_NOTE && !scan.stopped();
        let method = member.methods.first().copied().filter(|_| is_note);
        let content = method.map(|method| unpack::unpack(&part.bytes, member, method, lure::MAX_NOTE.min(scan.room())));
        let note = match content {
            Some(Content::Whole(bytes)) => bytes,
            _ => Bytes::new(),
        };
        scan.spend(note.len() as u64);
        lure::file(scan, part, &member.names, &note);
    }
}

fn open(part: &Part, member: &Member, scan: &mut Scan) -> Outcome {
    for method in member.methods.iter().copied() {
        let content = unpack::unpack(&part.bytes, member, method, scan.room());
        // Readers show what came out, whatever the checksum says.
        let content = unpack::proven(content, member.crc);
        if let Outcome::Full = give(part, member, content, false, scan) {
            return Outcome::Full;
        }
    }
    Outcome::Given
}

/// An encrypted member: perhaps it is not encrypted after all, perhaps a password fits. `None` if none does.
fn unlock(part: &Part, member: &Member, passwords: &mut Passwords, scan: &mut Scan) -> Option<Outcome> {
    if let Some(content) = unpack::plain_despite_flag(&part.bytes, member, scan) {
        flag_lies(part, member, scan);
        return Some(give(part, member, content, false, scan));
    }
    let content = passwords.open(&part.bytes, member, scan)?;
    Some(give(part, member, content, true, scan))
}

fn give(part: &Part, member: &Member, content: Content, opened_by_password: bool, scan: &mut Scan) -> Outcome {
    let end = member.data.end.min(part.bytes.len());
    let packed = part.bytes.slice(member.data.start.min(end)..end);
    let member = container::Member { names: &member.names, packed: Some(&packed), is_empty: member.is_empty() };
    container::give(part, member, content, opened_by_password, scan)
}
