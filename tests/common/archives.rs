//! Archives without passwords, made from nothing: tar, cabinet, LZH, ARJ, gzip.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};

/// gzip, with a name in the header or none.
pub fn gzip(name: Option<&str>, bytes: &[u8]) -> Vec<u8> {
    let mut builder = flate2::GzBuilder::new();
    if let Some(name) = name {
        builder = builder.filename(name);
    }
    let mut encoder: GzEncoder<Vec<u8>> = builder.write(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A block of tar: its header, with `magic` or, as before POSIX, without.
pub fn tar_header(name: &[u8], kind: u8, size: &[u8], magic: bool) -> Vec<u8> {
    let mut block = vec![0_u8; 512];
    let name = &name[..name.len().min(100)];
    block[..name.len()].copy_from_slice(name);
    block[100..108].copy_from_slice(b"0000644\0");
    block[124..124 + size.len()].copy_from_slice(size);
    block[136..148].copy_from_slice(b"00000000000\0");
    block[148..156].fill(b' ');
    block[156] = kind;
    if magic {
        block[257..265].copy_from_slice(b"ustar\x0000");
    }
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// A member of a tar: header, content, padding.
pub fn tar_member(name: &[u8], kind: u8, content: &[u8], magic: bool) -> Vec<u8> {
    let size = format!("{:011o}\0", content.len());
    let mut out = tar_header(name, kind, size.as_bytes(), magic);
    out.extend_from_slice(content);
    out.resize(out.len().next_multiple_of(512), 0);
    out
}

/// A tar of one file, ended.
pub fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    [tar_member(name.as_bytes(), b'0', content, true), vec![0; 1024]].concat()
}

/// A record of pax.
pub fn pax(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let size = (1..).find(|size: &usize| size.to_string().len() + rest.len() == *size).unwrap();
    format!("{size}{rest}")
}

/// A cabinet of one file in one folder: stored, or by MSZIP.
pub fn cab(name: &str, content: &[u8], mszip: bool) -> Vec<u8> {
    let mut blocks = Vec::new();
    let mut count = 0_u16;
    for block in content.chunks(32768) {
        let packed = if mszip {
            let mut encoder = DeflateEncoder::new(b"CK".to_vec(), Compression::default());
            encoder.write_all(block).unwrap();
            encoder.finish().unwrap()
        } else {
            block.to_vec()
        };
        blocks.extend_from_slice(&[0; 4]);
        blocks.extend_from_slice(&u16::try_from(packed.len()).unwrap().to_le_bytes());
        blocks.extend_from_slice(&u16::try_from(block.len()).unwrap().to_le_bytes());
        blocks.extend_from_slice(&packed);
        count += 1;
    }
    let file = [
        &u32::try_from(content.len()).unwrap().to_le_bytes()[..],
        &[0; 4],
        &[0; 2],
        &[0; 4],
        &0xa0_u16.to_le_bytes(),
        name.as_bytes(),
        &[0],
    ]
    .concat();
    let start = u32::try_from(36 + 8 + file.len()).unwrap();
    let size = start + u32::try_from(blocks.len()).unwrap();
    [
        &b"MSCF\0\0\0\0"[..],
        &size.to_le_bytes(),
        &[0; 4],
        &44_u32.to_le_bytes(),
        &[0; 4],
        &[3, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0],
        &start.to_le_bytes(),
        &count.to_le_bytes(),
        &u16::from(mszip).to_le_bytes(),
        &file,
        &blocks,
    ]
    .concat()
}

/// An LZH archive of one stored file, with a header of this level; the name in any charset.
pub fn lzh(level: u8, name: &[u8], content: &[u8]) -> Vec<u8> {
    let size = u32::try_from(content.len()).unwrap();
    let extended = |width: usize| {
        let length = name.len() + 1 + width;
        let mut out = length.to_le_bytes()[..width].to_vec();
        out.push(1);
        out.extend_from_slice(name);
        out.extend_from_slice(&[0; 4][..width]);
        out
    };
    let more = if level == 1 { name.len() + 3 } else { 0 };
    let packed = size + u32::try_from(more).unwrap();
    let fixed = [&b"-lh0-"[..], &packed.to_le_bytes(), &size.to_le_bytes(), &[0; 4], &[0x20, level]].concat();
    let mut out = match level {
        0 => [&fixed[..], &[u8::try_from(name.len()).unwrap()], name, &[0; 2]].concat(),
        1 => [&fixed[..], &[0], &[0; 2], b"U", &extended(2)].concat(),
        2 => [&fixed[..], &[0; 2], b"U", &extended(2)].concat(),
        _ => {
            let ext = extended(4);
            let whole = u32::try_from(28 + ext.len()).unwrap();
            [&fixed[..], &[0; 2], b"U", &whole.to_le_bytes(), &ext].concat()
        }
    };
    let head = match level {
        0 | 1 => {
            let base = if level == 0 { out.len() } else { out.len() - more };
            let sum = out[..base].iter().fold(0_u8, |sum, octet| sum.wrapping_add(*octet));
            [u8::try_from(base).unwrap(), sum]
        }
        2 => u16::try_from(out.len() + 2).unwrap().to_le_bytes(),
        _ => [4, 0],
    };
    out.splice(..0, head);
    [&out[..], content, &[0]].concat()
}

/// An ARJ archive of one stored file.
pub fn arj(name: &str, content: &[u8]) -> Vec<u8> {
    let header = |kind: u8, size: u32, name: &str| {
        let mut inner = vec![30, 11, 1, 0, 0, 0, kind, 0, 0, 0, 0, 0];
        inner.extend_from_slice(&size.to_le_bytes());
        inner.extend_from_slice(&size.to_le_bytes());
        inner.resize(30, 0);
        inner.extend_from_slice(name.as_bytes());
        inner.extend_from_slice(&[0, 0]);
        let size = u16::try_from(inner.len()).unwrap();
        [&b"\x60\xea"[..], &size.to_le_bytes(), &inner, &[0; 4], &[0; 2]].concat()
    };
    let size = u32::try_from(content.len()).unwrap();
    [header(2, 0, "a.arj"), header(0, size, name), content.to_vec(), b"\x60\xea\0\0".to_vec()].concat()
}

/// One archive in each layout, with its file name.
pub fn all(name: &str, content: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let long = format!("{}/{name}", "d".repeat(120));
    let gnu = [tar_member(b"././@LongLink", b'L', long.as_bytes(), true), tar(&long, content)].concat();
    let record = pax("path", name);
    let pax = [tar_member(b"x", b'x', record.as_bytes(), true), tar("other", content)].concat();
    let old = [tar_member(name.as_bytes(), 0, content, false), vec![0; 1024]].concat();
    let mut binary = [[0x80].as_slice(), &[0; 7], &u32::try_from(content.len()).unwrap().to_be_bytes()].concat();
    binary = [tar_header(name.as_bytes(), b'0', &binary, true), content.to_vec()].concat();
    binary.resize(binary.len().next_multiple_of(512), 0);
    vec![
        ("a.gz", gzip(Some(name), content)),
        ("a.tgz", gzip(None, &tar(name, content))),
        ("a.tar", tar(name, content)),
        ("gnu.tar", gnu),
        ("pax.tar", pax),
        ("old.tar", old),
        ("binary.tar", binary),
        ("a.cab", cab(name, content, false)),
        ("zip.cab", cab(name, content, true)),
        ("0.lzh", lzh(0, name.as_bytes(), content)),
        ("1.lzh", lzh(1, name.as_bytes(), content)),
        ("2.lzh", lzh(2, name.as_bytes(), content)),
        ("3.lzh", lzh(3, name.as_bytes(), content)),
        ("a.arj", arj(name, content)),
    ]
}
