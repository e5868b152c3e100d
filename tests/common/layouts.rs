//! One file in each wrapping that mail brings it in: what a sender can choose without writing a program. A row is one
//! line: what it is, where the file must be found, and how it is wrapped.

use std::io::{Cursor, Write};

use bzip2::write::BzEncoder;
use data_encoding::BASE64;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use lzma_rust2::{LzmaOptions, LzmaWriter, XzOptions, XzWriter};
use ppmd_rust::{Ppmd8Encoder, RestoreMethod};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use sevenz_rust2::EncoderMethod;
use zip::unstable::write::FileOptionsExt;
use zip::write::SimpleFileOptions;

use super::office::{Compound, with_class};
use super::rar::{FIVE, FOUR, Written as Rar};
use super::samples::{base64_lines, with_file, with_files};
use super::sevenz::{PLAIN, Written, write};
use super::wrappings::{self as wrap, Place};
use super::{archives, carriers, encrypt, images, ooxml, pdf, rar};

/// The password of everything that is locked here.
pub const PASSWORD: &str = "Kq7-x9Aa";

/// A wrapping.
pub struct Layout {
    /// What it is.
    pub what: &'static str,
    /// Where the file is in the message: of two, the second where what is stored openly was found in it before.
    pub path: &'static str,
    /// Makes the message from the name and the content of the file.
    pub wrap: fn(&str, &[u8]) -> Vec<u8>,
    /// The wrapping does not keep the name.
    pub nameless: bool,
    /// The wrapping itself is damaged, or of a kind that an honest sender does not choose.
    pub odd: bool,
}

const fn row(what: &'static str, path: &'static str, wrap: fn(&str, &[u8]) -> Vec<u8>) -> Layout {
    Layout { what, path, wrap, nameless: false, odd: false }
}

impl Layout {
    const fn nameless(self) -> Self {
        Self { nameless: true, ..self }
    }

    const fn odd(self) -> Self {
        Self { odd: true, ..self }
    }
}

/// All of them.
#[rustfmt::skip]
pub const LAYOUTS: &[Layout] = &[
    row("attached", "2", attached),
    row("zip", "2/1", |n, c| attached("a.zip", &zip(8, n, c))),
    row("zip, stored", "2/1", |n, c| attached("a.zip", &zip(0, n, c))),
    row("zip, Deflate64", "2/1", |n, c| attached("a.zip", &zip(9, n, c))),
    row("zip, bzip2", "2/1", |n, c| attached("a.zip", &zip(12, n, c))),
    row("zip, LZMA", "2/1", |n, c| attached("a.zip", &zip(14, n, c))),
    row("zip, Zstandard", "2/1", |n, c| attached("a.zip", &zip(93, n, c))),
    row("zip, xz", "2/1", |n, c| attached("a.zip", &zip(95, n, c))),
    row("zip, PPMd", "2/1", |n, c| attached("a.zip", &zip(98, n, c))),
    row("zip, named .7z", "2/1", |n, c| attached("a.7z", &zip(8, n, c))),
    row("zip, named .dat", "2/1", |n, c| attached("a.dat", &zip(8, n, c))),
    row("zip in zip", "2/1/1", |n, c| attached("a.zip", &zip(8, "b.zip", &zip(8, n, c)))),
    row("zip behind other octets", "2/1", |n, c| attached("a.zip", &[&[b'x'; 3000][..], &zip(8, n, c)].concat())).odd(),
    row("zip without its directory", "2/1", |n, c| attached("a.zip", &headless(&zip(8, n, c)))).odd(),
    row("zip, AES, password in Japanese", "2/1", |n, c| told("", "解凍パスワード：Kq7-x9Aa\r\n", "a.zip", &locked(n, c, true))),
    row("zip, ZipCrypto, password in Japanese", "2/1", |n, c| told("", "パスワードは「Kq7-x9Aa」です。\r\n", "a.zip", &locked(n, c, false))),
    row("zip, AES, full-width password", "2/1", |n, c| told("", "ＰＷ：Ｋｑ７－ｘ９Ａａ\r\n", "a.zip", &locked(n, c, true))),
    row("zip, AES, password on the next line", "2/1", |n, c| told("", "ＺＩＰのパスワードは下記です：\r\n\r\nKq7-x9Aa\r\n", "a.zip", &locked(n, c, true))),
    row("zip, AES, password in English", "2/1", |n, c| told("", "The password is Kq7-x9Aa.\r\n", "a.zip", &locked(n, c, true))),
    row("zip, AES, password in the subject", "2/1", |n, c| told("Subject: password: Kq7-x9Aa\r\n", "-\r\n", "a.zip", &locked(n, c, true))),
    row("zip, AES, password in the name", "2/1", |n, c| told("", "-\r\n", "a_Kq7-x9Aa.zip", &locked(n, c, true))),
    row("zip, AES, password on the last line", "2/1", |n, c| told("", "お世話になります。\r\n\r\nKq7-x9Aa", "a.zip", &locked(n, c, true))),
    row("zip, AES, password in Shift_JIS", "2/1", |n, c| told_in(encoding_rs::SHIFT_JIS, "展開用パスワード：\r\n\r\nKq7-x9Aa\r\n", &locked(n, c, true))),
    row("zip, AES, password in EUC-JP", "2/1", |n, c| told_in(encoding_rs::EUC_JP, "パスワード→Kq7-x9Aa\r\n", &locked(n, c, true))),
    row("zip, AES, password in UTF-8", "2/1", |n, c| told_in(encoding_rs::UTF_8, "Mật khẩu giải nén: Kq7-x9Aa\r\n", &locked(n, c, true))),
    row("zip, AES, password in Windows-1251", "2/1", |n, c| told_in(encoding_rs::WINDOWS_1251, "Пароль к архиву: Kq7-x9Aa\r\n", &locked(n, c, true))),
    row("zip, AES, password in a quoted mail", "2/1", |n, c| told("", "ありがとうございます。\r\n\r\n> > パスワードは Kq7-x9Aa です\r\n> 田中\r\n", "a.zip", &locked(n, c, true))),
    row("zip, AES, password in HTML", "2/1", |n, c| html("<p>解凍パスワード&#65306;<b>Kq7</b>-x9Aa</p>", &locked(n, c, true))),
    row("zip in pieces", "5/1", |n, c| pieces("a.zip", &zip(8, n, c))),
    row("7z in pieces", "5/1", |n, c| pieces("a.7z", &write(&[(n, c)], &PLAIN))),
    row("zip, name in Japanese (CP932)", "2/1", |_, c| attached("a.zip", &zip_raw(8, b"\x90\xbf\x8b\x81\x8f\x91.docm", c))).nameless(),
    row("zips in a row", "2/1", |n, c| attached("a.zip", &[zip(8, "a.txt", b"a"), zip(8, n, c)].concat())).odd(),
    row("zip, cut off", "2/1", |n, c| attached("a.zip", &cut_off(&zip(8, n, c)))).odd(),
    row("zip behind a picture", "2/1", |n, c| attached("a.gif", &[&b"GIF89a\x01\0\x01\0\0\0\0;"[..], &zip(8, n, c)].concat())).odd(),
    row("7z", "2/1", |n, c| attached("a.7z", &write(&[(n, c)], &PLAIN))),
    row("7z, solid", "2/2", |n, c| attached("a.7z", &write(&[("a.txt", b"a"), (n, c)], &Written { solid: true, ..PLAIN }))),
    row("7z, PPMd", "2/1", |n, c| attached("a.7z", &write(&[(n, c)], &Written { method: EncoderMethod::PPMD, ..PLAIN }))),
    row("7z, encrypted", "2/1", |n, c| told("", "PW: Kq7-x9Aa\r\n", "a.7z", &write(&[(n, c)], &Written { password: Some(PASSWORD), ..PLAIN }))),
    row("7z, names encrypted", "2/1", |n, c| told("", "PW: Kq7-x9Aa\r\n", "a.7z", &write(&[(n, c)], &Written { password: Some(PASSWORD), encrypt_names: true, ..PLAIN }))),
    row("RAR 5, stored", "2/1", |n, c| attached("a.rar", &rar::stored5(n, c))),
    row("RAR 4, stored", "2/1", |n, c| attached("a.rar", &rar::stored4(n, c))),
    row("RAR 5", "2/1", |n, c| attached("a.rar", &rar::of_one(n, c, &FIVE))),
    row("RAR 4", "2/1", |n, c| attached("a.rar", &rar::of_one(n, c, &FOUR))),
    row("RAR 5, solid", "2/1|2/2", |n, c| attached("a.rar", &rar::whole(&[rar::file("a.txt", b"a"), rar::file(n, c)], &Rar { solid: true, ..FIVE }))),
    row("RAR 5, encrypted", "2/1", |n, c| told("", "PW: Kq7-x9Aa\r\n", "a.rar", &rar::of_one(n, c, &Rar { password: Some(PASSWORD), ..FIVE }))),
    row("RAR 4, encrypted", "2/1", |n, c| told("", "PW: Kq7-x9Aa\r\n", "a.rar", &rar::of_one(n, c, &Rar { password: Some(PASSWORD), ..FOUR }))),
    row("RAR 5, names encrypted", "2/1", |n, c| told("", "PW: Kq7-x9Aa\r\n", "a.rar", &rar::of_one(n, c, &Rar { password: Some(PASSWORD), hidden: true, ..FIVE }))),
    row("RAR 4, names encrypted", "2/1", |n, c| told("", "PW: Kq7-x9Aa\r\n", "a.rar", &rar::of_one(n, c, &Rar { password: Some(PASSWORD), hidden: true, ..FOUR }))),
    row("RAR 5, password in the comment", "2/1", |n, c| attached("a.rar", &rar::whole_with_comment(&[rar::file(n, c)], b"Password: Kq7-x9Aa", false, &Rar { password: Some(PASSWORD), ..FIVE }))),
    row("RAR 5, a stream of NTFS", "2/1|2/2", |n, c| attached("a.rar", &rar::whole(&[rar::file("a.txt", b"a"), rar::stream(&format!(":{n}"), c)], &FIVE))).nameless(),
    row("RAR 5 in volumes", "5/1", |n, c| in_volumes(n, c, &FIVE)),
    row("RAR 4 in volumes (.rar, .r00)", "5/1", |n, c| in_volumes(n, c, &FOUR)),
    row("RAR 5 in volumes, names encrypted", "5/1", |n, c| in_volumes(n, c, &Rar { password: Some(PASSWORD), hidden: true, ..FIVE })),
    row("tar", "2/1", |n, c| attached("a.tar", &archives::tar(n, c))),
    row("tar.gz", "2/1/1", |n, c| attached("a.tar.gz", &archives::gzip(None, &archives::tar(n, c)))),
    row("tar.bz2", "2/1/1", |n, c| attached("a.tar.bz2", &packed(12, &archives::tar(n, c)))),
    row("tar.xz", "2/1/1", |n, c| attached("a.tar.xz", &packed(95, &archives::tar(n, c)))),
    row("gz", "2/1", |n, c| attached("a.gz", &archives::gzip(Some(n), c))),
    row("zst", "2/1", |n, c| attached(&format!("{n}.zst"), &packed(93, c))),
    row("xz", "2/1", |n, c| attached(&format!("{n}.xz"), &packed(95, c))),
    row("bz2", "2/1", |n, c| attached(&format!("{n}.bz2"), &packed(12, c))),
    row("lzma", "2/1", |n, c| attached(&format!("{n}.lzma"), &lzma_alone(c))),
    row("cabinet, stored", "2/1|2/2", |n, c| attached("a.cab", &archives::cab(n, c, false))),
    row("cabinet, MSZIP", "2/1", |n, c| attached("a.cab", &archives::cab(n, c, true))),
    row("LZH, level 0", "2/1", |n, c| attached("a.lzh", &archives::lzh(0, n.as_bytes(), c))),
    row("LZH, level 2", "2/1", |n, c| attached("a.lzh", &archives::lzh(2, n.as_bytes(), c))),
    row("ARJ", "2/1", |n, c| attached("a.arj", &archives::arj(n, c))),
    row("ISO 9660", "2/1", |n, c| attached("a.iso", &images::iso(&[(n, c)], false))).nameless(),
    row("ISO 9660, Joliet", "2/1", |n, c| attached("a.iso", &images::iso(&[(n, c)], true))),
    row("UDF", "2/1", |n, c| attached("a.iso", &images::udf(n, c))),
    row("floppy, FAT12", "2/1", |n, c| attached("a.img", &images::floppy(n, c))),
    row("disk with a partition", "2/1", |n, c| attached("a.img", &images::partitioned(&images::floppy(n, c)))),
    row("VHD, fixed", "2/1", |n, c| attached("a.vhd", &images::fixed_vhd(&images::partitioned(&images::floppy(n, c))))),
    row("VHD, dynamic", "2/1", |n, c| attached("a.vhd", &dynamic_vhd(n, c))),
    row("VHDX", "2/1", |n, c| attached("a.vhdx", &images::vhdx(&images::partitioned(&images::floppy(n, c))))),
    row("winmail.dat", "2/1", |n, c| attached("winmail.dat", &wrap::tnef(n, c, Place::Attribute, &[]))),
    row("winmail.dat, as a property", "2/1", |n, c| attached("winmail.dat", &wrap::tnef(n, c, Place::Property, &[]))),
    row("Outlook item", "2/3", |n, c| attached("a.msg", &wrap::msg(n, c, 0))),
    row("Outlook item in another", "2/1/3", |n, c| attached("a.msg", &wrap::msg(n, c, 1))),
    row("forwarded message", "2/2", |n, c| part("message/rfc822", &attached_in(n, c))),
    row("message as a file", "2/2", |n, c| with_file("x", "a.eml", "application/octet-stream", &attached_in(n, c))),
    row("web archive", "2/2", |n, c| with_file("x", "a.mht", "application/octet-stream", &attached_in(n, c))),
    row("folder of messages", "2/4", |n, c| attached("a.mbox", &wrap::mbox(&[attached_in("a.txt", b"a"), attached_in(n, c)]))),
    row("uuencoded in the text", "2", |n, c| [b"Subject: x\r\n\r\nHello\r\n\r\n".to_vec(), wrap::uuencoded(n, c)].concat()),
    row("yEnc in the text", "2", |n, c| [b"Subject: x\r\n\r\nHello\r\n\r\n".to_vec(), wrap::yenc(n, c)].concat()),
    row("BinHex in the text", "1/1", |n, c| [b"Subject: x\r\n\r\nHello\r\n\r\n".to_vec(), wrap::binhex(n, c)].concat()),
    row("S/MIME, a signed file", "2/1", |n, c| attached(&format!("{n}.p7m"), &wrap::signed(c, false))),
    row("S/MIME, a signed message", "2/1/2", |n, c| attached("smime.p7m", &wrap::signed(&attached_in(n, c), true))),
    row("OpenPGP, compressed", "2/1", |n, c| attached("a.gpg", &wrap::compressed(1, &wrap::literal(n, c)))),
    row("page that hands it out", "2/1", |n, c| attached("a.html", &page(n, &format!("\"{}\"", BASE64.encode(c))))).odd(),
    row("page that hands out a zip in pieces", "2/1/1", |n, c| attached("a.svg", &page("a.zip", &in_pieces(&zip(8, n, c))))).odd(),
    row("page that hands out a disk image as numbers", "2/1/1", |n, c| attached("a.xhtml", &page("a.iso", &numbers(&images::iso(&[(n, c)], true))))).odd(),
    row("zip in zip in a message in winmail.dat", "2/4/2/1/1", |n, c| attached("winmail.dat", &wrap::tnef("a.eml", &attached_in("a.zip", &zip(8, "b.zip", &zip(8, n, c))), Place::Attribute, &[]))),
    row("Base64 with junk between", "2", junk),
    row("quoted-printable", "2", quoted),
    row("name in pieces (RFC 2231)", "2", continued),
    row("compound file with a package", "2/1", |n, c| attached("a.doc", &Compound::new().stream("/WordDocument", b"x").stream("/ObjectPool/_1/\u{1}Ole10Native", &native(n, c)).finish())),
    row("encrypted package of Office", "2/1", |_, c| told("", "パスワードは「Kq7-x9Aa」です。\r\n", "a.docm", &encrypt::agile(c, PASSWORD))).nameless(),
    row("PDF attachment", "2/1", |n, c| attached("a.pdf", &pdf::with_file(n, c, None))),
    row("PDF attachment, told in an object stream", "2/1", |n, c| attached("a.pdf", &pdf::in_object_stream(n, c, None))),
    row("PDF, encrypted (AES-256)", "2/1", |n, c| told("", "パスワードは「Kq7-x9Aa」です。\r\n", "a.pdf", &pdf::in_object_stream(n, c, locked_pdf(pdf::Cipher::R6, PASSWORD)))),
    row("PDF, encrypted (RC4)", "2/1", |n, c| told("", "The password is Kq7-x9Aa.\r\n", "a.pdf", &pdf::with_file(n, c, locked_pdf(pdf::Cipher::R3, PASSWORD)))),
    row("PDF, protected against changes", "2/1", |n, c| attached("a.pdf", &pdf::with_file(n, c, locked_pdf(pdf::Cipher::R4Aes, "")))),
    row("installer, with a cabinet", "2/1/1", |n, c| attached("a.msi", &installer(&archives::cab(n, c, true)))).odd(),
    row("object in .docx", "2/1/1", |n, c| attached("a.docx", &around("word", n, c))),
    row("object in .xlsx in .pptx", "2/1/1/1", |n, c| attached("a.pptx", &carriers::package(PPTX, &[("ppt/embeddings/a.xlsx", &around("xl", n, c))]))),
    row("document in .docx", "2/1", |n, c| attached("a.docx", &carriers::package(DOCX, &[(&format!("word/embeddings/{n}"), c)]))).nameless(),
    row("object in RTF", "2/1", |n, c| attached("a.rtf", &rtf(n, c))),
    row("OneNote", "2/1", |_, c| attached("a.one", &onenote(c))).nameless(),
];

const DOCX: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml";
const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml";
const PPTX: &str = "application/vnd.openxmlformats-officedocument.presentationml.presentation.main+xml";

fn attached(name: &str, content: &[u8]) -> Vec<u8> {
    with_file("x", name, "application/octet-stream", content)
}

/// A message to stand in another: with a boundary of its own.
fn attached_in(name: &str, content: &[u8]) -> Vec<u8> {
    String::from_utf8(attached(name, content)).unwrap().replace("=_sekisho_sample", "=_sekisho_inner").into_bytes()
}

/// A page with a script that makes a file of this.
fn page(name: &str, string: &str) -> Vec<u8> {
    format!(
        "<html><body><script>var data = {string};\r\nvar link = document.createElement('a');\r\n\
         link.href = URL.createObjectURL(new Blob([bytes(data)]));\r\nlink.download = '{name}';\r\nlink.click();</script>"
    )
    .into_bytes()
}

fn in_pieces(content: &[u8]) -> String {
    let coded = BASE64.encode(content);
    let pieces = coded.as_bytes().chunks(50).map(|piece| format!("'{}'", String::from_utf8_lossy(piece)));
    pieces.collect::<Vec<_>>().join(" +\r\n")
}

fn numbers(content: &[u8]) -> String {
    format!("[{}]", content.iter().map(u8::to_string).collect::<Vec<_>>().join(","))
}

/// A message whose second part is this, as it stands.
fn part(kind: &str, content: &[u8]) -> Vec<u8> {
    let head = format!(
        "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nHello\r\n\
         --b\r\nContent-Type: {kind}\r\n\r\n"
    );
    [head.as_bytes(), content, b"\r\n--b--\r\n"].concat()
}

/// A letter in ISO-2022-JP with an attachment.
fn told(fields: &str, text: &str, name: &str, content: &[u8]) -> Vec<u8> {
    letter(fields, "text/plain; charset=ISO-2022-JP", &encoding_rs::ISO_2022_JP.encode(text).0, name, content)
}

/// The same in another charset.
fn told_in(charset: &'static encoding_rs::Encoding, text: &str, content: &[u8]) -> Vec<u8> {
    let kind = format!("text/plain; charset={}", charset.name());
    letter("", &kind, &charset.encode(text).0, "a.zip", content)
}

/// The same in HTML alone.
fn html(text: &str, content: &[u8]) -> Vec<u8> {
    letter("", "text/html; charset=UTF-8", text.as_bytes(), "a.zip", content)
}

fn letter(fields: &str, kind: &str, text: &[u8], name: &str, content: &[u8]) -> Vec<u8> {
    let head = format!(
        "{fields}MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
         Content-Type: {kind}\r\n\r\n"
    );
    let file = format!(
        "\r\n--b\r\nContent-Type: application/octet-stream; name=\"{name}\"\r\nContent-Transfer-Encoding: base64\r\n\r\n{}--b--\r\n",
        base64_lines(content)
    );
    [head.as_bytes(), text, file.as_bytes()].concat()
}

/// An archive of one member by this method (APPNOTE 4.4.5).
pub fn zip(method: u16, name: &str, content: &[u8]) -> Vec<u8> {
    zip_raw(method, name.as_bytes(), content)
}

/// The same with a name in any code page.
fn zip_raw(method: u16, name: &[u8], content: &[u8]) -> Vec<u8> {
    let data = packed(method, content);
    let mut crc = flate2::Crc::new();
    crc.update(content);
    let mut fields = [20_u16, 0, method, 0, 0x21].map(u16::to_le_bytes).concat();
    fields.extend([crc.sum(), data.len() as u32, content.len() as u32].map(u32::to_le_bytes).concat());
    fields.extend([name.len() as u16, 0].map(u16::to_le_bytes).concat());
    let local = [b"PK\x03\x04", &fields[..], name, &data].concat();
    let directory = [b"PK\x01\x02\x14\0", &fields[..], &[0; 14], name].concat();
    let end = [
        b"PK\x05\x06\0\0\0\0\x01\0\x01\0",
        &(directory.len() as u32).to_le_bytes()[..],
        &(local.len() as u32).to_le_bytes(),
        &[0; 2],
    ]
    .concat();
    [local, directory, end].concat()
}

/// Content packed by a method of ZIP.
pub fn packed(method: u16, content: &[u8]) -> Vec<u8> {
    match method {
        0 => content.to_vec(),
        8 | 9 => {
            // What deflate stores is Deflate64, too.
            let level = if method == 9 { Compression::none() } else { Compression::default() };
            let mut encoder = DeflateEncoder::new(Vec::new(), level);
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
        12 => {
            let mut encoder = BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
        14 => {
            let alone = lzma_alone(content);
            [&[9, 20, 5, 0], &alone[..5], &alone[13..]].concat()
        }
        93 => compress_to_vec(content, CompressionLevel::Fastest),
        95 => {
            let mut encoder = XzWriter::new(Vec::new(), XzOptions::with_preset(1)).unwrap();
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
        98 => {
            // Order 6, 1 MiB.
            let mut encoder = Ppmd8Encoder::new(vec![5, 0], 6, 1 << 20, RestoreMethod::Restart).unwrap();
            encoder.write_all(content).unwrap();
            encoder.finish(true).unwrap()
        }
        other => panic!("method {other}"),
    }
}

fn lzma_alone(content: &[u8]) -> Vec<u8> {
    let mut options = LzmaOptions::with_preset(1);
    options.dict_size = 1 << 16;
    let mut encoder = LzmaWriter::new_use_header(Vec::new(), &options, Some(content.len() as u64)).unwrap();
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn headless(archive: &[u8]) -> Vec<u8> {
    let directory = archive.windows(4).rposition(|four| four == b"PK\x01\x02").unwrap();
    archive[..directory].to_vec()
}

/// Without its directory and the last octet of its member.
fn cut_off(archive: &[u8]) -> Vec<u8> {
    let mut archive = headless(archive);
    archive.pop();
    archive
}

/// An archive in three files that belong together.
fn pieces(name: &str, archive: &[u8]) -> Vec<u8> {
    let names = [1, 2, 3].map(|number| format!("{name}.{number:03}"));
    let pieces = names.iter().map(String::as_str).zip(archive.chunks(archive.len().div_ceil(3)));
    with_files("x", &pieces.collect::<Vec<_>>())
}

/// An archive of RAR in three volumes; its password, if it has one, is told in the subject.
fn in_volumes(name: &str, content: &[u8], how: &Rar<'_>) -> Vec<u8> {
    let volumes = rar::volumes(name, content, &Rar { volumes: 3, ..*how });
    let volumes: Vec<(&str, &[u8])> = volumes.iter().map(|(name, octets)| (name.as_str(), octets.as_slice())).collect();
    let subject = how.password.map_or_else(|| "x".to_owned(), |password| format!("Password: {password}"));
    with_files(&subject, &volumes)
}

/// A package of Windows Installer with a stream of files ([MS-CFB], CLSID of MSI).
fn installer(cabinet: &[u8]) -> Vec<u8> {
    const CLASS: [u8; 16] = [0x84, 0x10, 0x0c, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46];
    with_class(Compound::new().stream("/disk1", cabinet).finish(), "Root Entry", &CLASS)
}

fn locked(name: &str, content: &[u8], aes: bool) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default();
    let options = if aes {
        options.with_aes_encryption(zip::AesMode::Aes256, PASSWORD)
    } else {
        options.with_deprecated_encryption(PASSWORD.as_bytes()).unwrap()
    };
    writer.start_file(name, options).unwrap();
    writer.write_all(content).unwrap();
    writer.finish().unwrap().into_inner()
}

fn locked_pdf(cipher: pdf::Cipher, user: &'static str) -> Option<pdf::Lock<'static>> {
    Some(pdf::Lock { cipher, user, owner: "of the owner" })
}

fn dynamic_vhd(name: &str, content: &[u8]) -> Vec<u8> {
    let disk = images::partitioned(&images::floppy(name, content));
    images::dynamic_vhd(&disk, disk.len() as u64)
}

fn junk(name: &str, content: &[u8]) -> Vec<u8> {
    let message = String::from_utf8(attached(name, content)).unwrap();
    let (head, body) = message.rsplit_once("base64\r\n\r\n").unwrap();
    let (coded, end) = body.split_once("\r\n--").unwrap();
    let coded: String = coded
        .lines()
        .map(|line| format!("{}!?{} \r\n", &line[..9.min(line.len())], &line[9.min(line.len())..]))
        .collect();
    format!("{head}base64\r\n\r\n{coded}\r\n--{end}").into_bytes()
}

fn quoted(name: &str, content: &[u8]) -> Vec<u8> {
    let kind = format!(
        "application/octet-stream; name=\"{name}\"\r\nContent-Disposition: attachment\r\nContent-Transfer-Encoding: quoted-printable"
    );
    part(&kind, super::awkward::quoted_printable(content).as_bytes())
}

fn continued(name: &str, content: &[u8]) -> Vec<u8> {
    let (first, second) = name.split_at(4);
    let kind = format!(
        "application/octet-stream\r\nContent-Disposition: attachment;\r\n filename*0*=UTF-8''{first};\r\n filename*1={second}\r\nContent-Transfer-Encoding: base64"
    );
    part(&kind, base64_lines(content).as_bytes())
}

/// What the Packager writes ([MS-OLEDS] 2.3.6).
fn native(name: &str, content: &[u8]) -> Vec<u8> {
    let path = format!("C:\\tmp\\{name}\0");
    let inner = [
        &[2, 0][..],
        name.as_bytes(),
        b"\0",
        path.as_bytes(),
        &[0, 0, 3, 0],
        &(path.len() as u32).to_le_bytes(),
        path.as_bytes(),
        &(content.len() as u32).to_le_bytes(),
        content,
    ]
    .concat();
    [&(inner.len() as u32).to_le_bytes()[..], &inner].concat()
}

/// A package of Office with an object of the Packager.
fn around(folder: &str, name: &str, content: &[u8]) -> Vec<u8> {
    let object = Compound::new().stream("/\u{1}Ole10Native", &native(name, content)).finish();
    let kind = if folder == "xl" { XLSX } else { DOCX };
    carriers::package(kind, &[(&format!("{folder}/embeddings/oleObject1.bin"), &object)])
}

/// Rich text with an object of the Packager ([MS-OLEDS] 2.2.5).
fn rtf(name: &str, content: &[u8]) -> Vec<u8> {
    let native = native(name, content);
    let (size, data) = native.split_at(4);
    let object = [&[1, 5, 0, 0, 2, 0, 0, 0, 8, 0, 0, 0][..], b"Package\0", &[0; 8], size, data].concat();
    format!("{{\\rtf1 Hello{{\\object\\objemb{{\\*\\objdata {}}}}}}}", data_encoding::HEXLOWER.encode(&object))
        .into_bytes()
}

/// A section of OneNote with a file ([MS-ONESTORE] 2.6.13).
fn onenote(content: &[u8]) -> Vec<u8> {
    const MAGIC: &[u8] = b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3";
    const HEADER: &[u8] = b"\xe7\x16\xe3\xbd\x65\x26\x11\x45\xa4\xc4\x8d\x4d\x0b\x7a\x9e\xac";
    let size = (content.len() as u64).to_le_bytes();
    [MAGIC, &[0; 1008], HEADER, &size, &[0; 12], content, &[0; 7]].concat()
}

/// What is wrapped: a file that starts a program, a plain document, and a workbook with macros that an office wrote.
pub fn files() -> [(&'static str, Vec<u8>); 3] {
    let plain = ooxml::word(&["Minutes of Thursday"], None);
    [
        ("invoice.docm", super::samples::macro_document()),
        ("minutes.docx", plain),
        ("accounts.xlsm", super::samples::honest_workbook()),
    ]
}
