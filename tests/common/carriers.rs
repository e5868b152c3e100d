//! What macros come in beside .doc and .docm: XML, web archives, presentations, files behind other
//! octets. Made from nothing.

use std::io::Write;

use data_encoding::BASE64;
use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::office::Compound;
use super::ooxml::{Member, zip};
use super::ovba::utf16;
use super::samples::base64_lines;

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An `editdata.mso` around a compound file, with a header of the length that Word writes.
pub fn active_mime(content: &[u8]) -> Vec<u8> {
    let mut file = b"ActiveMime\0\0\x01\xf0\x04\0\0\0".to_vec();
    file.resize(0x1E, 0xff);
    file.extend([4, 0]);
    file.resize(0x32, 0);
    file.extend(zlib(content));
    file
}

/// A Word 2003 XML document, with an `editdata.mso` if there is one.
pub fn word_2003(text: &str, editdata: Option<&[u8]>) -> Vec<u8> {
    let data = editdata.map(|bytes| {
        let coded = BASE64.encode(bytes);
        format!(r#"<w:docSuppData><w:binData w:name="editdata.mso">{coded}</w:binData></w:docSuppData>"#)
    });
    format!(
        concat!(
            r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?><?mso-application progid="Word.Document"?>"#,
            r#"<w:wordDocument xmlns:w="http://schemas.microsoft.com/office/word/2003/wordml" w:macrosPresent="yes">{}"#,
            r#"<w:body><w:p><w:r><w:t>{}</w:t></w:r></w:p></w:body></w:wordDocument>"#
        ),
        data.unwrap_or_default(),
        text
    )
    .into_bytes()
}

/// A flat package of Word, with a macro project under `part_name` if there is one.
pub fn flat_package(text: &str, project: Option<(&str, &[u8])>) -> Vec<u8> {
    let part = project.map(|(name, bytes)| {
        let coded = BASE64.encode(bytes);
        format!(
            r#"<pkg:part pkg:name="{name}" pkg:contentType="application/vnd.ms-office.vbaProject"><pkg:binaryData>{coded}</pkg:binaryData></pkg:part>"#
        )
    });
    format!(
        concat!(
            r#"<?xml version="1.0" standalone="yes"?><?mso-application progid="Word.Document"?>"#,
            r#"<pkg:package xmlns:pkg="http://schemas.microsoft.com/office/2006/xmlPackage">"#,
            r#"<pkg:part pkg:name="/word/document.xml"><pkg:xmlData><w:document><w:body><w:p><w:r><w:t>{}</w:t></w:r></w:p>"#,
            r#"</w:body></w:document></pkg:xmlData></pkg:part>{}</pkg:package>"#
        ),
        text,
        part.unwrap_or_default()
    )
    .into_bytes()
}

/// A document saved as a web archive, with an `editdata.mso` if there is one.
pub fn web_archive(text: &str, editdata: Option<&[u8]>) -> Vec<u8> {
    let mut archive = format!(
        concat!(
            "MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=\"----=_NextPart_01\"\r\n\r\n",
            "------=_NextPart_01\r\nContent-Location: file:///C:/1/file.htm\r\n",
            "Content-Type: text/html; charset=\"us-ascii\"\r\n\r\n<html><body><p>{}</p></body></html>\r\n\r\n"
        ),
        text
    );
    if let Some(bytes) = editdata {
        archive += "------=_NextPart_01\r\nContent-Location: file:///C:/1/file_files/editdata.mso\r\n";
        archive += "Content-Transfer-Encoding: base64\r\nContent-Type: application/x-mso\r\n\r\n";
        archive += &base64_lines(bytes);
    }
    (archive + "\r\n------=_NextPart_01--\r\n").into_bytes()
}

fn atom(version: u16, kind: u16, content: &[u8]) -> Vec<u8> {
    [&version.to_le_bytes()[..], &kind.to_le_bytes(), &(content.len() as u32).to_le_bytes(), content].concat()
}

/// A PowerPoint 97-2003 presentation that shows `text`, with a compressed macro project if there is one.
pub fn presentation(text: &str, project: Option<&[u8]>) -> Vec<u8> {
    let mut stream = atom(0x000F, 0x03E8, &atom(0, 0x0FA0, &utf16(text)));
    if let Some(bytes) = project {
        let packed = [&(bytes.len() as u32).to_le_bytes()[..], &zlib(bytes)].concat();
        stream.extend(atom(0x0010, 0x1011, &packed));
    }
    Compound::new().stream("/PowerPoint Document", &stream).finish()
}

/// A package whose members have these names and contents, and content types by extension only.
pub fn package(main_type: &str, members: &[(&str, &[u8])]) -> Vec<u8> {
    let types = format!(
        concat!(
            r#"<Types><Default Extension="xml" ContentType="application/xml"/>"#,
            r#"<Override PartName="/main.xml" ContentType="{}"/></Types>"#
        ),
        main_type
    );
    let mut all = vec![Member { name: "[Content_Types].xml", bytes: types.into_bytes() }];
    all.extend(members.iter().map(|(name, bytes)| Member { name, bytes: bytes.to_vec() }));
    zip(&all)
}

/// A part of shared strings of a binary workbook ([MS-XLSB] 2.1.7.45).
pub fn binary_strings(strings: &[&str]) -> Vec<u8> {
    let mut part = b"\x9f\x01\x08".to_vec();
    part.extend([(strings.len() as u32).to_le_bytes(); 2].concat());
    for string in strings {
        let characters = utf16(string);
        let size = characters.len() + 5;
        part.push(19);
        part.extend([(size & 0x7F) as u8 | 0x80, (size >> 7) as u8, 0]);
        part.extend((characters.len() as u32 / 2).to_le_bytes());
        part.extend(characters);
    }
    part.extend(b"\xa0\x01\0");
    part
}

/// A metafile ([MS-EMF]) that draws each text with a record of its own.
pub fn metafile(texts: &[&str]) -> Vec<u8> {
    let mut file = vec![0; 88];
    file[..8].copy_from_slice(&[1, 0, 0, 0, 88, 0, 0, 0]);
    file[40..44].copy_from_slice(b" EMF");
    for text in texts {
        let characters = utf16(text);
        let mut record = vec![0; 36];
        record.extend([0; 8]);
        record.extend((characters.len() as u32 / 2).to_le_bytes());
        record.extend(76_u32.to_le_bytes());
        record.resize(76, 0);
        record.extend(&characters);
        record.resize(record.len().next_multiple_of(4), 0);
        let size = record.len() as u32;
        record[..4].copy_from_slice(&84_u32.to_le_bytes());
        record[4..8].copy_from_slice(&size.to_le_bytes());
        file.extend(record);
    }
    file.extend([14, 0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0]);
    file
}
