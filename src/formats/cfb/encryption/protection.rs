//! Why a document is encrypted with a password that Office knows by itself: Excel and PowerPoint do so when
//! a structure is protected, or changes ask for a password. Where nothing is, somebody else encrypted it.

use bytes::Bytes;
use memchr::memmem;

use crate::formats::biff12;
use crate::formats::cfb::biff;
use crate::formats::container::Content;
use crate::formats::zip::{members, unpack};

/// Parts that say what is protected, by the end of their names.
const PARTS: [&str; 5] = ["workbook.xml", "workbook.bin", "presentation.xml", "document.xml", "settings.xml"];
/// Elements that protect (ECMA-376 part 1: 18.2.29, 18.2.12, 19.2.1.19, 17.15.1.29, 17.15.1.93).
const ELEMENTS: [&str; 5] =
    ["workbookProtection", "fileSharing", "modifyVerifier", "documentProtection", "writeProtection"];
/// [MS-XLSB] 2.4: BrtBookProtection, BrtFileSharing, and both as of Excel 2013.
const RECORDS_12: [u32; 4] = [534, 548, 2092, 2090];
/// [MS-XLS] 2.4: Protect, Password, WinProtect, FileSharing, and the end of the globals.
const RECORDS: [u16; 4] = [0x0012, 0x0013, 0x0019, 0x005B];
const WRITE_PROTECT: u16 = 0x0086;
const END_OF_SUBSTREAM: u16 = 0x000A;
/// Members of a package that are looked at, and octets of one.
const MAX_MEMBERS: usize = 1000;
const MAX_PART: u64 = 16 << 20;

/// Whether something in the package is protected.
pub fn of_package(bytes: &Bytes) -> bool {
    let archive = members::read(bytes, MAX_MEMBERS);
    archive.members.iter().any(|member| {
        let name = members::normal(member.name());
        let Some(method) = member.methods.first().filter(|_| PARTS.iter().any(|part| name.ends_with(part))) else {
            return false;
        };
        match unpack::unpack(bytes, member, *method, MAX_PART) {
            Content::Whole(part) | Content::Head(part) | Content::Damaged(part) if name.ends_with(".bin") => {
                biff12::records(&part).any(|(kind, _)| RECORDS_12.contains(&kind))
            }
            Content::Whole(part) | Content::Head(part) | Content::Damaged(part) => {
                ELEMENTS.iter().any(|element| memmem::find(&part, element.as_bytes()).is_some())
            }
            Content::Unsupported(_) => false,
        }
    })
}

/// Whether the globals of a binary workbook, decrypted, protect something.
pub fn of_workbook(stream: &[u8]) -> bool {
    biff::records(stream)
        .take_while(|(id, _)| *id != END_OF_SUBSTREAM)
        .any(|(id, data)| id == WRITE_PROTECT || (RECORDS.contains(&id) && data.iter().any(|octet| *octet != 0)))
}
