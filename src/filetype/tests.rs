//! Content in, types out.

use super::*;

/// A ZIP of stored, empty members.
fn zip(names: &[&str]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for name in names {
        let offset = out.len() as u32;
        let length = (name.len() as u16).to_le_bytes();
        out.extend(b"PK\x03\x04\x14\0\0\0\0\0");
        out.extend([0; 16]);
        out.extend(length);
        out.extend([0; 2]);
        out.extend(name.as_bytes());
        directory.extend(b"PK\x01\x02\x14\0\x14\0\0\0\0\0");
        directory.extend([0; 16]);
        directory.extend(length);
        directory.extend([0; 12]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let start = out.len() as u32;
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend([(names.len() as u16).to_le_bytes(); 2].concat());
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0; 2]);
    out
}

fn pe() -> Vec<u8> {
    let mut bytes = vec![0; 0x80];
    bytes[..2].copy_from_slice(b"MZ");
    bytes[0x3c] = 0x80;
    bytes.extend(b"PE\0\0");
    bytes.extend([0; 100]);
    bytes
}

fn padded(offset: usize, magic: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; offset];
    bytes.extend(magic);
    bytes
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[track_caller]
fn check(what: &str, bytes: &[u8], expected: &str) {
    let types: Vec<_> = detect(bytes).iter().map(FileType::name).collect();
    assert_eq!(types.join(" "), expected, "{what}");
}

#[test]
fn one_type_by_its_content() {
    let cases: &[(&str, &[u8], &str)] = &[
        ("nothing", b"", "text"),
        ("noise", b"\x01\x02\x03\x04\xff\xfe\0\x90", "data"),
        ("words", b"Dear all,\r\nsee you on Friday.\r\n", "text"),
        ("UTF-8", "お世話になっております。".as_bytes(), "text"),
        ("Shift_JIS", b"\x82\xa8\x90\xa2\x98b\x82\xc9", "text"),
        ("windows-1252", b"M\xfcller & S\xf6hne, Stra\xdfe 5, 10115 Berlin", "text"),
        ("UTF-16", &utf16("sub a()\r\nend sub\r\n"), "text"),
        ("CFB", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0", "ole"),
        ("RTF whose version is junk", b"{\\rtzz hello", "rtf"),
        ("OneNote", b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3\0", "onenote"),
        ("shortcut", b"\x4c\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0\x46\0", "lnk"),
        (
            "internet shortcut",
            b"[{000214A0-0000-0000-C000-000000000046}]\r\nProp3=19,2\r\n[InternetShortcut]\r\nURL=file://x",
            "url",
        ),
        ("PDF", b"%PDF-1.7\n", "pdf"),
        ("PDF behind junk", &padded(1000, b"%PDF-1.7\n"), "pdf"),
        ("PDF too far behind", &padded(1024, b"%PDF-1.7\n"), "data"),
        ("gzip", b"\x1f\x8b\x08\0", "gzip"),
        ("bzip2", b"BZh9\x31\x41\x59\x26\x53\x59", "bzip2"),
        ("words that begin like bzip2", b"BZh9 is a word", "text"),
        ("xz", b"\xfd7zXZ\0\0", "xz"),
        ("zstd", b"\x28\xb5\x2f\xfd\0", "zstd"),
        ("RAR 4", b"Rar!\x1a\x07\0", "rar"),
        ("RAR 5", b"Rar!\x1a\x07\x01\0", "rar"),
        ("7z", b"7z\xbc\xaf\x27\x1c\0\x04", "7z"),
        ("tar", &padded(257, b"ustar\x0000"), "tar"),
        ("cabinet", b"MSCF\0\0\0\0\x2c", "cab"),
        ("LZH", b"\x24\x8d-lh5-\x40\0\0\0\x40\0\0\0\0\0\0\0\x20\x01\0", "lzh"),
        ("ARJ", b"\x60\xea\x29\0\x1e\x0b", "arj"),
        ("ACE", b"\0\0\x31\0\0\0\x90**ACE**", "ace"),
        ("winmail.dat", b"\x78\x9f\x3e\x22\x01\0", "tnef"),
        ("ISO 9660", &padded(32769, b"CD001\x01"), "iso"),
        ("UDF", &padded(32769, b"BEA01\x01"), "iso"),
        ("VHDX", b"vhdxfile\0", "vhd"),
        ("fixed VHD", &[vec![0; 4096], b"conectix".to_vec(), vec![0; 504]].concat(), "vhd"),
        ("NTFS", b"\xeb\x52\x90NTFS    ", "img"),
        ("Apple's disk image", &[vec![1; 4096], b"koly".to_vec(), vec![0; 508]].concat(), "dmg"),
        ("PE", &pe(), "pe"),
        ("words that begin like a program", b"MZ was his monogram", "text"),
        ("ELF", b"\x7fELF\x02", "elf"),
        ("Mach-O", b"\xcf\xfa\xed\xfe\x07", "mach-o"),
        ("universal Mach-O", b"\xca\xfe\xba\xbe\0\0\0\x02", "mach-o"),
        ("a Java class is not Mach-O", b"\xca\xfe\xba\xbe\0\0\0\x34", "data"),
        ("compiled help", b"ITSF\x03\0\0\0", "chm"),
        ("PNG", b"\x89PNG\r\n\x1a\n", "png"),
        ("JPEG", b"\xff\xd8\xff\xe0", "jpeg"),
        ("GIF", b"GIF89a", "gif"),
        ("BMP", b"BM\x36\0\x0c\0\0\0\0\0\x36\0\0\0\x28\0", "bmp"),
        ("EMF", &padded(40, b" EMF"), "emf"),
        ("HTML", b"\r\n <!-- x --><!DOCTYPE html>\n<HTML>", "html"),
        ("HTML in UTF-16", &[b"\xff\xfe".to_vec(), utf16("<html><body>")].concat(), "html"),
        ("XML", b"<?xml version=\"1.0\"?><catalog/>", "xml"),
        ("XHTML", b"<?xml version=\"1.0\"?><!DOCTYPE html><html xmlns=\"\">", "html"),
        ("SVG with a declaration", b"<?xml version='1.0'?><svg>", "html"),
        ("SVG", b"<svg xmlns=\"\">", "html"),
        ("Word 2003 XML", b"<?xml version=\"1.0\"?><?mso-application progid=\"Word.Document\"?>", "xml-office"),
        ("Word XML", b"<x:wordDocument xmlns:x='http://schemas.microsoft.com/office/word/2003/wordml'>", "xml-office"),
        ("flat OPC", b"<?xml version=\"1.0\"?>\r\n<pkg:package xmlns:pkg=\"\">", "xml-office"),
        ("empty ZIP", &zip(&[]), "zip"),
        ("ZIP", &zip(&["a.txt"]), "zip"),
        ("OOXML", &zip(&["[Content_Types].xml"]), "ooxml zip"),
        ("OOXML, its parts late", &zip(&["a", "b", "_rels/.rels"]), "ooxml zip"),
        ("JAR", &zip(&["META-INF/", "META-INF/MANIFEST.MF"]), "zip jar"),
        ("OpenDocument is no JAR", &zip(&["mimetype", "META-INF/manifest.xml"]), "zip"),
        ("spanned ZIP", &[b"PK00".to_vec(), zip(&["a"])].concat(), "zip"),
        ("ZIP behind junk", &[vec![1; 1000], zip(&["a"])].concat(), "zip"),
        ("ZIP with zeros behind", &[zip(&["a"]), vec![0; 1 << 20]].concat(), "zip"),
        ("ZIP without first signature", &[b"XX".to_vec(), zip(&["a"])[2..].to_vec()].concat(), "zip"),
        ("letters PK", b"PK\x03\x04 are the letters", "zip"),
        ("letters PK later", b"They wrote PK\x03\x04 and nothing else: it is not an archive", "data"),
    ];
    for (what, bytes, expected) in cases {
        check(what, bytes, expected);
    }
}

#[test]
fn polyglots_are_all_they_are() {
    let with_zip = |head: &[u8]| [head, &zip(&["a.exe"])].concat();
    check("picture", &with_zip(b"GIF89a\x01\0\x01\0"), "zip gif");
    check("photograph", &with_zip(b"\xff\xd8\xff\xe0\0\x10JFIF\0"), "zip jpeg");
    check("program", &with_zip(&pe()), "zip pe");
    check("PDF", &with_zip(b"%PDF-1.4\n"), "pdf zip");
    check("page", &with_zip(b"<html><body>hello</body></html>"), "zip html");
    check("PDF in front of HTML", b"<html> %PDF-1.4\n", "pdf html");
    let mht = b"%PDF-1.4\nMIME-Version: 1.0\nContent-Type: multipart/related\n\nQWN0aXZlTWltZQ";
    check("web archive in a PDF", mht, "mht pdf");
}

#[test]
fn what_a_container_carries_does_not_make_it_a_zip() {
    let local = &zip(&["word/document.xml"])[..60];
    let cfb = [b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec(), vec![7; 512], local.to_vec(), vec![7; 512]].concat();
    check("compound file", &cfb, "ole");
    let theme = zip(&["theme/theme1.xml", "_rels/.rels"]);
    let word = [b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec(), vec![7; 512], theme.clone(), vec![0; 77]].concat();
    check("theme in the last stream of a compound file", &word, "ole");
    check("appended to a compound file", &[word, zip(&["a"])].concat(), "ole ooxml zip");
    check("tar", &[padded(257, b"ustar\x0000"), vec![0; 250], local.to_vec(), vec![1; 99]].concat(), "tar");
}

#[test]
fn messages_are_told_by_their_fields() {
    let yes: &[&[u8]] = &[
        b"Received: from a\r\n by b\r\nFrom: x@example.com\r\n\r\nhello",
        b"From MAILER-DAEMON Fri Jul  8 12:08:34 2011\nFrom: a@b\nSubject: x\n\n",
        b"\xef\xbb\xbfMIME-Version: 1.0\nContent-Type: text/plain\n\n",
        b"Content-Type: multipart/mixed; boundary=a\n\n--a\n",
        b"From: Rspamd <foo@example.org>\r\n\r\nhello",
        b"X-Whatever: 1\nDate: now\nSubject : x\n\n",
    ];
    for bytes in yes {
        assert!(detect(bytes).has(FileType::Message), "{}", String::from_utf8_lossy(bytes));
    }
    let no: &[&[u8]] = &[
        b"From: the manager\n\nTo: everybody\n",
        b"Date: Monday\nContent-Type: text/html\n\n",
        b"HTTP/1.1 200 OK\nDate: Monday\nServer: x\nFrom: y\n",
        b"Note: from here\nto: there it is a long walk\n",
        b"Subject:\n",
        b"Content-Type: text/plain\nNo header here\n\n",
        b"\nFrom: a@b\n\n",
    ];
    for bytes in no {
        assert!(!detect(bytes).has(FileType::Message), "{}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn a_saved_web_page_is_no_web_archive_of_office() {
    let page = b"From: <Saved by x>\nMIME-Version: 1.0\nContent-Type: multipart/related; type=\"text/html\"\n\n<html>";
    check("page", page, "message");
    check("document", &[&page[..], b"\neditdata.mso"].concat(), "message mht");
}

#[test]
fn any_head_of_any_type_is_accepted_without_panic() {
    let samples =
        [zip(&["[Content_Types].xml", "b"]), pe(), padded(32769, b"CD001"), b"<!DOCTYPE html><html>".to_vec()];
    for sample in samples {
        for end in (0..sample.len()).filter(|end| *end < 300 || end % 4096 == 1) {
            assert_ne!(detect(&sample[..end]), TypeSet::EMPTY);
            assert_ne!(detect(&sample[end..]), TypeSet::EMPTY);
        }
    }
}

#[test]
fn every_type_fits_into_the_set() {
    assert!(FileType::ALL.len() <= 128);
    let all: TypeSet = FileType::ALL.iter().copied().collect();
    assert_eq!(all.iter().count(), FileType::ALL.len());
    for file_type in FileType::ALL {
        assert_eq!(FileType::parse(file_type.name()), Some(*file_type));
    }
}
