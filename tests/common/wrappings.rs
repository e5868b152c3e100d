//! What mail carries files in beside MIME: TNEF, Outlook items, uuencode, yEnc, BinHex, CMS, OpenPGP, folders.
//! Made from nothing.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, ZlibEncoder};

use super::office::Compound;
use super::ovba::utf16;

fn attribute(level: u8, id: u32, data: &[u8]) -> Vec<u8> {
    let sum = data.iter().fold(0_u16, |sum, octet| sum.wrapping_add((*octet).into()));
    [&[level][..], &id.to_le_bytes(), &(data.len() as u32).to_le_bytes(), data, &sum.to_le_bytes()].concat()
}

/// A property of one value, and of any length ([MS-OXTNEF] 2.1.3.5).
pub fn property(kind: u16, id: u16, value: &[u8]) -> Vec<u8> {
    let mut out = [&kind.to_le_bytes()[..], &id.to_le_bytes(), &1_u32.to_le_bytes()].concat();
    out.extend((value.len() as u32).to_le_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

fn properties(all: &[Vec<u8>]) -> Vec<u8> {
    // A number, and one with a name of its own, stand among them.
    let number = [&3_u16.to_le_bytes()[..], &0x0E20_u16.to_le_bytes(), &7_u32.to_le_bytes()].concat();
    let named = [
        &2_u16.to_le_bytes()[..],
        &0x8001_u16.to_le_bytes(),
        &[7; 16],
        &1_u32.to_le_bytes(),
        &6_u32.to_le_bytes(),
        b"a\0b\0\0\0\0\0",
        &[1, 0, 0, 0],
    ]
    .concat();
    let count = all.len() as u32 + 2;
    [&count.to_le_bytes()[..], &number, &named, &all.concat()].concat()
}

/// Where the content of an attachment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// attAttachData.
    Attribute,
    /// PidTagAttachDataBinary in attAttachment.
    Property,
    /// PidTagAttachDataObject: a nested item.
    Object,
}

/// An item with an attachment and these properties ([MS-OXPROPS]) of the message.
pub fn tnef(name: &str, content: &[u8], place: Place, message: &[Vec<u8>]) -> Vec<u8> {
    let mut item = b"\x78\x9f\x3e\x22\x01\0".to_vec();
    item.extend(attribute(1, 0x0008_9006, &[0, 0, 1, 0]));
    item.extend(attribute(1, 0x0006_9007, &[0xa4, 3, 0, 0, 0, 0, 0, 0])); // 932
    if !message.is_empty() {
        item.extend(attribute(1, 0x0006_9003, &properties(message)));
    }
    item.extend(attribute(2, 0x0006_9002, &[1, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]));
    let short = encoding_rs::SHIFT_JIS.encode(name).0.into_owned();
    item.extend(attribute(2, 0x0001_8010, &[&short[..], b"\0"].concat()));
    let mut about = vec![property(0x1F, 0x3707, &[utf16(name), vec![0, 0]].concat())];
    const MESSAGE: &[u8] = b"\x07\x03\x02\0\0\0\0\0\xc0\0\0\0\0\0\0\x46";
    match place {
        Place::Attribute => item.extend(attribute(2, 0x0006_800F, content)),
        Place::Property => about.push(property(0x102, 0x3701, content)),
        Place::Object => about.push(property(0x0D, 0x3701, &[MESSAGE, content].concat())),
    }
    item.extend(attribute(2, 0x0006_9005, &properties(&about)));
    item
}

/// Rich text that is stored without compression, one literal after the other ([MS-OXRTFCP]).
pub fn rtf_compressed(text: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    for eight in text.chunks(8) {
        packed.push(0);
        packed.extend(eight);
    }
    // The end: a reference to where the next octet goes. Literals that are not there come first.
    let rest = text.len() % 8;
    let at = ((207 + text.len()) % 4096) as u16;
    let end = (at << 4).to_be_bytes();
    if rest == 0 {
        packed.push(1);
    } else {
        let control = packed.len() - rest - 1;
        packed[control] = 1 << rest;
    }
    packed.extend(end);
    let size = packed.len() as u32 + 12;
    [&size.to_le_bytes()[..], &(text.len() as u32).to_le_bytes(), b"LZFu", &[0; 4], &packed].concat()
}

/// An Outlook item with an attachment; below the storage `root` of `file`.
fn item(file: Compound, root: &str, name: &str, content: Option<&[u8]>) -> Compound {
    let at = |path: &str| format!("{root}/{path}");
    let attachment = |path: &str| at(&format!("__attach_version1.0_#00000000/{path}"));
    let file = file
        .stream(&at("__properties_version1.0"), &[0; 32])
        .stream(&at("__substg1.0_1000001F"), &utf16("See the attachment."))
        .stream(&at("__substg1.0_10090102"), &rtf_compressed(b"{\\rtf1 See the attachment.}"))
        .stream(&attachment("__substg1.0_3707001F"), &utf16(name))
        .stream(
            &attachment("__substg1.0_3704001F"),
            &utf16(&format!("{}~1.{}", &name[..1], &name[name.len() - 4..name.len() - 1])),
        );
    match content {
        Some(content) => file.stream(&attachment("__substg1.0_37010102"), content),
        None => file,
    }
}

/// An Outlook item in so many others, the innermost with an attachment.
pub fn msg(name: &str, content: &[u8], around: usize) -> Vec<u8> {
    let (mut file, mut root) = (Compound::new(), String::new());
    for _ in 0..around {
        file = item(file, &root, "forwarded message", None);
        root.push_str("/__attach_version1.0_#00000000/__substg1.0_3701000D");
    }
    item(file, &root, name, Some(content)).finish()
}

/// `begin 644 NAME`, lines, `end`.
pub fn uuencoded(name: &str, content: &[u8]) -> Vec<u8> {
    let mut text = format!("begin 644 {name}\n").into_bytes();
    for line in content.chunks(45) {
        text.push(b' ' + line.len() as u8);
        for three in line.chunks(3) {
            let octets = [three[0], *three.get(1).unwrap_or(&0), *three.get(2).unwrap_or(&0)];
            let bits = u32::from_be_bytes([0, octets[0], octets[1], octets[2]]);
            text.extend([18, 12, 6, 0].map(|shift| match (bits >> shift) as u8 & 0x3f {
                0 => b'`',
                six => b' ' + six,
            }));
        }
        text.push(b'\n');
    }
    text.extend(b"`\nend\n");
    text
}

/// yEnc 1.3, lines of 128.
pub fn yenc(name: &str, content: &[u8]) -> Vec<u8> {
    let mut text = format!("=ybegin line=128 size={} name={name}\r\n", content.len()).into_bytes();
    for line in content.chunks(128) {
        for octet in line {
            match octet.wrapping_add(42) {
                special @ (0 | b'\n' | b'\r' | b'=') => text.extend([b'=', special.wrapping_add(64)]),
                plain => text.push(plain),
            }
        }
        text.extend(b"\r\n");
    }
    text.extend(format!("=yend size={}\r\n", content.len()).as_bytes());
    text
}

/// BinHex 4.0, runs folded.
pub fn binhex(name: &str, content: &[u8]) -> Vec<u8> {
    const ALPHABET: &[u8] = b"!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr";
    let mut file = [&[name.len() as u8][..], name.as_bytes(), b"\0TEXTttxt\0\0"].concat();
    file.extend([(content.len() as u32).to_be_bytes(), [0; 4]].concat());
    file.extend([b"\0\0", content, b"\0\0\0\0"].concat());
    let mut folded = Vec::new();
    let mut rest = &file[..];
    while let Some(first) = rest.first() {
        let run = rest.iter().take(255).take_while(|octet| *octet == first).count();
        folded.push(*first);
        if *first == 0x90 {
            folded.push(0);
        }
        let taken = if run > 3 && *first != 0x90 {
            folded.extend([0x90, run as u8]);
            run
        } else {
            1
        };
        rest = &rest[taken..];
    }
    let mut text = b"(This file must be converted with BinHex 4.0)\r\n\r\n:".to_vec();
    let mut line = 1;
    for three in folded.chunks(3) {
        let bits = u32::from_be_bytes([0, three[0], *three.get(1).unwrap_or(&0), *three.get(2).unwrap_or(&0)]);
        for shift in [18, 12, 6, 0].iter().take(three.len() + 1) {
            text.push(ALPHABET[(bits >> shift) as usize & 0x3f]);
            line += 1;
            if line % 64 == 0 {
                text.extend(b"\r\n");
            }
        }
    }
    text.extend(b":\r\n");
    text
}

/// An element of BER with a length in its shortest form.
pub fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = match content.len() {
        length @ 0..=0x7f => vec![length as u8],
        length => [&[0x84][..], &(length as u32).to_be_bytes()].concat(),
    };
    [&[tag][..], &length, content].concat()
}

fn indefinite(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag, 0x80][..], content, &[0, 0]].concat()
}

const PKCS7: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07";

/// Signed content (RFC 5652 5.1) without signers; `streamed` as programs write that do not know the length before.
pub fn signed(content: &[u8], streamed: bool) -> Vec<u8> {
    let make = if streamed { indefinite } else { der };
    let string = if streamed {
        indefinite(0x24, &content.chunks(1000).flat_map(|piece| der(4, piece)).collect::<Vec<_>>())
    } else {
        der(4, content)
    };
    let identifier = |last: u8| der(6, &[PKCS7, &[last]].concat());
    let inner = make(0x30, &[identifier(1), make(0xA0, &string)].concat());
    let sha256 = der(0x30, &der(6, b"\x60\x86\x48\x01\x65\x03\x04\x02\x01"));
    let data = make(0x30, &[der(2, &[1]), der(0x31, &sha256), inner, der(0x31, &[])].concat());
    make(0x30, &[identifier(2), make(0xA0, &data)].concat())
}

/// A signature of something else, and content that only its readers can open.
pub fn detached() -> Vec<u8> {
    let identifier = |last: u8| der(6, &[PKCS7, &[last]].concat());
    let data = der(0x30, &[der(2, &[1]), der(0x31, &[]), der(0x30, &identifier(1)), der(0x31, &[])].concat());
    der(0x30, &[identifier(2), der(0xA0, &data)].concat())
}

/// Content that only its readers can open (RFC 5652 6.1).
pub fn enveloped() -> Vec<u8> {
    let identifier = |last: u8| der(6, &[PKCS7, &[last]].concat());
    let content = der(0x30, &[identifier(1), der(0x80, &[0x55; 64])].concat());
    let data = der(0x30, &[der(2, &[0]), der(0x31, &der(0x30, &[])), content].concat());
    der(0x30, &[identifier(3), der(0xA0, &data)].concat())
}

/// A packet of OpenPGP (RFC 9580 4.2).
pub fn packet(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[0xC0 | tag, 0xff][..], &(body.len() as u32).to_be_bytes(), body].concat()
}

/// Content with its name.
pub fn literal(name: &str, content: &[u8]) -> Vec<u8> {
    packet(11, &[&[b'b', name.len() as u8][..], name.as_bytes(), &[0; 4], content].concat())
}

/// Packets in a compressed one: 1 is raw deflate, 2 zlib.
pub fn compressed(algorithm: u8, packets: &[u8]) -> Vec<u8> {
    let packed = if algorithm == 1 {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(packets).unwrap();
        encoder.finish().unwrap()
    } else {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(packets).unwrap();
        encoder.finish().unwrap()
    };
    packet(8, &[&[algorithm][..], &packed].concat())
}

/// A message encrypted for a key.
pub fn pgp_encrypted() -> Vec<u8> {
    let key = [&[3][..], &[7; 8], &[1], &[0x55; 100]].concat();
    [packet(1, &key), packet(18, &[&[1][..], &[0x55; 200]].concat())].concat()
}

/// A message as text (RFC 9580 6).
pub fn armoured(packets: &[u8]) -> Vec<u8> {
    let lines = super::samples::base64_lines(packets);
    format!("-----BEGIN PGP MESSAGE-----\r\nVersion: x\r\n\r\n{lines}=AAAA\r\n-----END PGP MESSAGE-----\r\n")
        .into_bytes()
}

/// Messages in one file (RFC 4155).
pub fn mbox(messages: &[Vec<u8>]) -> Vec<u8> {
    let line = b"From a@sender.example Fri Nov 20 10:00:00 2026\n";
    messages.iter().flat_map(|message| [&line[..], message, b"\n"].concat()).collect()
}
