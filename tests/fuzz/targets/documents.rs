//! Targets: what documents hold beside their containers: command lines, signatures, strings, metafiles, cells, links.

use data_encoding::BASE64;
use sekisho::command::program as command;
use sekisho::command::{address, fetches, reveal};
use sekisho::formats::{biff12, emf};
use sekisho::link;
use sekisho::scan::Input;
use sekisho::vba::signature;

use super::{examine, records};

/// A command line: by the first octet as it is, for `cmd`, for PowerShell, or in Base64 for PowerShell.
pub fn commands(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(data);
    let line = match kind % 4 {
        0 => text.into_owned(),
        1 => format!("cmd /v:on /c {text}"),
        2 => format!("powershell -c {text}"),
        _ => {
            let octets: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            format!("powershell -enc {}", BASE64.encode(&octets))
        }
    };
    assert_eq!(reveal(&line), reveal(&line), "a command comes apart in one way");
    fetches(&line);
    command::interpreter(&line);
    command::is_command(&line);
    assert!(address::urls(&line).all(|url| line.contains(url)));
    assert!(address::files(&line).all(|file| line.contains(file)));
}

/// The signature of a VBA project: signed data somewhere in it, and right at its start.
pub fn signed_code(data: &[u8]) {
    assert_eq!(signature::signer(data), signature::signer(data));
    // A sequence of indefinite length, and what says that signed data follows.
    const START: &[u8] = b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\x80";
    signature::signer(&[START, data].concat());
}

/// Records of binary workbooks, and a workbook of such parts.
pub fn strings(data: &[u8]) {
    for (_, record) in biff12::records(data) {
        assert!(record.len() <= data.len());
    }
    biff12::dde_link(data);
    for start in [&b"\x9f\x01\0"[..], b"\xf4\x04\0"] {
        let part = [start, data].concat();
        // Characters of a length that is wrong become three octets each.
        assert!(biff12::text(&part).len() <= 3 * part.len() + 8);
    }
}

/// The text of a metafile, behind its header, and as records: the number of a kind and its content.
pub fn metafile(data: &[u8]) {
    let header = [&[1, 0, 0, 0, 88, 0, 0, 0][..], &[0; 80]].concat();
    emf::text(&[&header, data].concat());
    let mut drawing = header;
    for (kind, content) in records(data) {
        let kind = [83_u32, 84, 108, 14][usize::from(kind & 3)];
        let size = u32::try_from(content.len() + 8).expect("a small record");
        drawing.extend([&kind.to_le_bytes()[..], &size.to_le_bytes(), content].concat());
    }
    emf::text(&drawing);
}

/// A document in one XML file: by the first octet of Word 2003 or a flat package; or a web archive.
pub fn flat(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    let (start, name): (&[u8], _) = match kind % 3 {
        0 => (b"<?xml version=\"1.0\"?><?mso-application progid=\"Word.Document\"?><w:wordDocument>", "a.xml"),
        1 => (b"<?xml version=\"1.0\"?><?mso-application progid=\"Word.Document\"?><pkg:package>", "a.xml"),
        _ => (b"%PDF-1.7\nMIME-Version: 1.0\nContent-Type: multipart/related; boundary=b\n\n--b\n", "a.pdf"),
    };
    examine(Input::file([start, data].concat(), name));
}

/// Cells of a table in text: separated, in SYLK, in markup.
pub fn cells(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    let (start, name): (&[u8], _) = match kind % 4 {
        0 => (b"", "a.csv"),
        1 => (b"ID;P\nC;E", "a.slk"),
        2 => (b"WEB\n1\n", "a.iqy"),
        _ => (b"<html xmlns:x=\"urn:schemas-microsoft-com:office:excel\"><table><tr><td>", "a.xls"),
    };
    examine(Input::file([start, data].concat(), name));
}

/// A page with strings in it that may be files: as they are, in Base64, or as a list of numbers.
pub fn smuggling(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    let text = match kind % 3 {
        0 => data.to_vec(),
        1 => {
            let coded = BASE64.encode(data);
            let pieces: Vec<_> = coded.as_bytes().chunks(usize::from(*kind).max(3)).collect();
            [b"\"", &pieces.join(&b"\"+\""[..])[..], b"\""].concat()
        }
        _ => data.iter().map(|octet| format!("{octet},")).collect::<String>().into_bytes(),
    };
    examine(Input::file([b"<html><script>a.download='a.zip';atob(", &text[..], b")"].concat(), "a.html"));
}

/// The target of a link, and a field that names it.
pub fn links(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    assert_eq!(format!("{:?}", link::judge(&text)), format!("{:?}", link::judge(&text)));
    link::when_clicked(&text);
    link::extension(&text);
    assert!(link::percent_decoded(&text).len() <= 3 * text.len());
    let document: &[u8] =
        b"<?xml version=\"1.0\"?><?mso-application progid=\"Word.Document\"?><w:wordDocument><w:instrText>";
    examine(Input::file([document, data, b"</w:instrText>"].concat(), "a.xml"));
}
