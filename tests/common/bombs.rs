//! Files that cost far more than they weigh: sizes, counts, depths and claims. Made from nothing.

use std::io::Write;

use flate2::Compression;
use flate2::write::DeflateEncoder;

use super::layouts;
use super::{archives, images, pdf};

/// A bomb.
pub struct Bomb {
    /// What it is.
    pub what: &'static str,
    /// A name for it as an attachment.
    pub name: &'static str,
    /// Makes it.
    pub make: fn() -> Vec<u8>,
}

const fn bomb(what: &'static str, name: &'static str, make: fn() -> Vec<u8>) -> Bomb {
    Bomb { what, name, make }
}

/// All of them.
#[rustfmt::skip]
pub const BOMBS: &[Bomb] = &[
    bomb("16^5 archives of 100 MB each", "42.zip", nest),
    bomb("3,000 entries of one 100 MB member", "overlap.zip", overlapping),
    bomb("500 MB of zeros, deflate", "zeros.zip", || of_one("zeros.bin", 8, &deflated_zeros(500), 500 << 20)),
    bomb("zeros, bzip2", "zeros.bz2", || layouts::packed(12, &vec![0; 150 << 20])),
    bomb("zeros, xz", "zeros.xz", || layouts::packed(95, &vec![0; 150 << 20])),
    bomb("1,000 archives in each other", "deep.zip", deep),
    bomb("100,000 members", "many.zip", || many(100_000)),
    bomb("a comment of 65,535 octets of end records", "comment.zip", comment),
    bomb("tar of 100,000 members", "many.tar", || archives::tar_member(b"a", b'0', b"", true).repeat(100_000)),
    bomb("tar of one member of 8 GiB", "claim.tar", || archives::tar_header(b"a", b'0', b"77777777777\0", true)),
    bomb("gzip of gzip of zeros", "z.gz", || archives::gzip(None, &archives::gzip(None, &vec![0; 200 << 20]))),
    bomb("LZMA that claims 4 GiB of dictionary", "d.lzma", || claim(&[0x5d, 0xff, 0xff, 0xff, 0xff], &[0xff; 8])),
    bomb("Zstandard that claims a window of 2 GiB", "d.zst", || claim(b"\x28\xb5\x2f\xfd\0", &[0xa8, 1, 0, 0])),
    bomb("LZMA in ZIP, dictionary of 4 GiB", "d.zip", || of_one("a", 14, &claim(&[9, 20, 5, 0, 0x5d, 0xff, 0xff, 0xff, 0xff], &[]), 1 << 31)),
    bomb("PPMd in ZIP, model of 256 MiB", "p.zip", || of_one("a", 98, &claim(&[0xf5, 0x0f], &[]), 1 << 31)),
    bomb("PPMd in ZIP, noise that never ends", "n.zip", || of_one("a", 98, &[&[0xf5, 0x03][..], &noise(200_000)].concat(), 1 << 31)),
    bomb("LZMA in ZIP, noise that never ends", "l.zip", || of_one("a", 14, &[&[9, 20, 5, 0, 0x5d, 0, 0, 0, 4, 0][..], &noise(200_000)].concat(), 1 << 31)),
    bomb("LZH of 50,000 members", "many.lzh", || [archives::lzh(2, b"a.txt", b"").repeat(1).strip_suffix(&[0]).unwrap().repeat(50_000), vec![0]].concat()),
    bomb("an ISO whose 300 files are all of it", "all.iso", overlapping_disc),
    bomb("1,000 multiparts in each other", "deep.eml", mime),
    bomb("500 MB of zeros in a PDF", "zeros.pdf", || zeros_in_pdf("/Type/EmbeddedFile/Filter/FlateDecode", &wrapped(deflated_zeros(500)))),
    bomb("500 MB of zeros as objects of a PDF", "objects.pdf", || zeros_in_pdf("/Type/ObjStm/N 9/First 99/Filter/FlateDecode", &wrapped(deflated_zeros(500)))),
    bomb("ten filters in a PDF", "filters.pdf", || zeros_in_pdf(&format!("/Type/EmbeddedFile/Filter[{}]", "/FlateDecode".repeat(10)), &(0..9).fold(pdf::zlib(&vec![0; 100 << 20]), |inner, _| pdf::zlib(&inner)))),
    bomb("a PDF of objects that are open", "open.pdf", || [&b"%PDF-1.7 /EF "[..], &b"1 0 obj(".repeat(1 << 20)].concat()),
    bomb("a PDF of streams in each other", "nested.pdf", || [&b"%PDF-1.7\n"[..], &b"1 0 obj<</Type/EmbeddedFile/Filter/AHx>>stream\n".repeat(200_000)].concat()),
    bomb("a document padded with 200 MB of zeros", "padded.zip", padded),
];

fn deflated_zeros(megabytes: usize) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    let piece = vec![0; 1 << 20];
    (0..megabytes).for_each(|_| encoder.write_all(&piece).unwrap());
    encoder.finish().unwrap()
}

/// Behind the header of zlib, without its checksum.
fn wrapped(deflated: Vec<u8>) -> Vec<u8> {
    [&b"\x78\xda"[..], &deflated].concat()
}

fn zeros_in_pdf(entries: &str, packed: &[u8]) -> Vec<u8> {
    let mut document = pdf::Pdf::new(None);
    document.page();
    document.stream(10, entries, packed);
    document.finish()
}

fn fields(name: &str, method: u16, packed: u32, size: u32) -> Vec<u8> {
    let mut fields = [20_u16, 0, method, 0, 0x21].map(u16::to_le_bytes).concat();
    fields.extend([0, packed, size].map(u32::to_le_bytes).concat());
    fields.extend([name.len() as u16, 0].map(u16::to_le_bytes).concat());
    fields
}

fn directory(entries: &[(String, u16, u32, u32, u32)], at: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, method, packed, size, place) in entries {
        out.extend(b"PK\x01\x02\x14\0");
        out.extend(fields(name, *method, *packed, *size));
        out.extend([0; 10]);
        out.extend(place.to_le_bytes());
        out.extend(name.as_bytes());
    }
    let size = out.len() as u32;
    let count = entries.len().min(0xffff) as u16;
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend([count.to_le_bytes(); 2].concat());
    out.extend(size.to_le_bytes());
    out.extend((at as u32).to_le_bytes());
    out.extend([0; 2]);
    out
}

/// An archive of members that are packed already: name, method, octets, claimed size. Without checksums.
pub fn archive(members: &[(String, u16, &[u8], usize)]) -> Vec<u8> {
    let (mut out, mut entries) = (Vec::new(), Vec::new());
    for (name, method, packed, size) in members {
        entries.push((name.clone(), *method, packed.len() as u32, *size as u32, out.len() as u32));
        out.extend(b"PK\x03\x04");
        out.extend(fields(name, *method, packed.len() as u32, *size as u32));
        out.extend(name.as_bytes());
        out.extend_from_slice(packed);
    }
    let at = out.len();
    out.extend(directory(&entries, at));
    out
}

fn of_one(name: &str, method: u16, packed: &[u8], size: usize) -> Vec<u8> {
    archive(&[(name.to_owned(), method, packed, size)])
}

fn nest() -> Vec<u8> {
    let mut inner = of_one("0.dll", 8, &deflated_zeros(100), 100 << 20);
    for level in 0..5 {
        let packed = layouts::packed(8, &inner);
        let members: Vec<_> =
            (0..16).map(|n| (format!("{level}{n:x}.zip"), 8, packed.as_slice(), inner.len())).collect();
        inner = archive(&members);
    }
    inner
}

fn overlapping() -> Vec<u8> {
    let packed = deflated_zeros(100);
    let local = [b"PK\x03\x04", &fields("a", 8, packed.len() as u32, 100 << 20)[..], b"a", &packed].concat();
    let entries: Vec<_> = (0..3000).map(|n| (format!("{n}"), 8, packed.len() as u32, 100 << 20, 0)).collect();
    [&local[..], &directory(&entries, local.len())].concat()
}

fn deep() -> Vec<u8> {
    (0..1000).fold(b"end".to_vec(), |inner, _| of_one("a.zip", 0, &inner, inner.len()))
}

fn many(count: usize) -> Vec<u8> {
    let members: Vec<_> = (0..count).map(|n| (format!("{n}.txt"), 0, &b"x"[..], 1)).collect();
    archive(&members)
}

fn comment() -> Vec<u8> {
    let mut out = of_one("a.txt", 0, b"hello", 5);
    let end = out.len() - 2;
    out[end..].fill(0xff);
    out.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0\x2f\0\0\0\0\0\0\0".repeat(65_535 / 20));
    out.resize(end + 2 + 65_535, b'P');
    out
}

/// A header, what follows it, and octets that say nothing.
fn claim(header: &[u8], more: &[u8]) -> Vec<u8> {
    [header, more, &[0; 64]].concat()
}

fn noise(size: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    std::iter::repeat_with(|| random.u8(..)).take(size).collect()
}

fn overlapping_disc() -> Vec<u8> {
    let mut many = images::iso(&[("a.txt", &vec![b'x'; 8 << 20])], false);
    let size = many.len();
    let mut folder = Vec::new();
    for number in 0..300 {
        let entry = images::record(0, size, 0, format!("F{number}.TXT;1").as_bytes());
        if folder.len() % 2048 + entry.len() > 2048 {
            folder.resize(folder.len().next_multiple_of(2048), 0);
        }
        folder.extend(entry);
    }
    many[16 * 2048 + 156..][..34].copy_from_slice(&images::record(size / 2048, folder.len(), 2, &[0]));
    many.extend(&folder);
    many
}

fn mime() -> Vec<u8> {
    let mut out = b"Subject: x\r\nMIME-Version: 1.0\r\n".to_vec();
    for number in 0..1000 {
        out.extend(format!("Content-Type: multipart/mixed; boundary=b{number}\r\n\r\n--b{number}\r\n").bytes());
    }
    out.extend(b"\r\nend\r\n");
    out
}

fn padded() -> Vec<u8> {
    let mut document = super::office::doc("Hello");
    document.resize(200 << 20, 0);
    layouts::zip(8, "padded.doc", &document)
}
