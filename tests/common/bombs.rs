//! Files that cost far more than they weigh: sizes, counts, depths and claims. Made from nothing.

use std::io::Write;

use flate2::Compression;
use flate2::write::DeflateEncoder;

use super::rar::{FIVE, FOUR, Member, Written};
use super::{archives, images, layouts, pdf, quine, rar};

/// A bomb.
pub struct Bomb {
    /// What it is.
    pub what: &'static str,
    /// A name for it as an attachment.
    pub name: &'static str,
    /// Makes it.
    pub make: fn() -> Vec<u8>,
    /// All of it is inspected, since there is less than it seems.
    pub is_whole: bool,
}

impl Bomb {
    const fn whole(self) -> Self {
        Self { is_whole: true, ..self }
    }
}

const fn bomb(what: &'static str, name: &'static str, make: fn() -> Vec<u8>) -> Bomb {
    Bomb { what, name, make, is_whole: false }
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
    bomb("a comment of 65,535 octets of end records", "comment.zip", comment).whole(),
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
    bomb("a ZIP whose member is itself", "quine.zip", quine::zip),
    bomb("7z that claims 1 GiB of dictionary", "d.7z", sevenz_of_a_gigabyte),
    bomb("a cabinet of 500 files that share 1.9 GB of zeros", "zeros.cab", cabinet),
    bomb("LZH, 16 MB of spaces for each seven octets", "zeros.lzh", lzh),
    bomb("an ISO whose 40 folders are its root", "cycle.iso", cyclic_disc).whole(),
    bomb("RAR 5 of 1,000 members of 100 MB", "zeros5.rar", || many_zeros(1000, &FIVE)),
    bomb("RAR 5, solid, of 1,000 members of 100 MB", "solid5.rar", || many_zeros(1000, &Written { solid: true, ..FIVE })),
    bomb("RAR 5, 8 GB of zeros, dictionary of 4 GiB", "claim5.rar", || rar::zeros("a", 8 << 30, &Written { dictionary: 15, ..FIVE })),
    bomb("RAR 4 of 100 members of 100 MB", "zeros4.rar", || many_zeros(100, &FOUR)),
    bomb("RAR 4, PPMd, noise that never ends", "n4.rar", || rar_noise(0x3f)),
    bomb("RAR 4, PPMd, model of 256 MiB", "p4.rar", || rar_noise(0xff)),
    bomb("RAR 5 of 20,000 empty volumes", "volumes.rar", || rar::whole(&[], &FIVE).repeat(20_000)),
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

/// A header of 7z (7zFormat.txt) with LZMA whose dictionary is 1 GiB.
fn sevenz_of_a_gigabyte() -> Vec<u8> {
    let crc = |octets: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(octets);
        crc.sum().to_le_bytes()
    };
    let data = noise(5000);
    let packed = [&[1, 4, 6, 0, 1, 9, 0x80 | (data.len() >> 8) as u8, data.len() as u8, 0][..]].concat();
    let coder = [7, 0x0b, 1, 0, 1, 0x23, 3, 1, 1, 5, 0x5d, 0, 0, 0, 0x40];
    // 2 GiB unpacked.
    let size = [0x0c, 0xf0, 0, 0, 0, 0x80, 0, 8, 0, 0];
    let name: Vec<u8> = "a.bin\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let files = [&[5, 1, 0x11, name.len() as u8 + 1, 0][..], &name, &[0, 0]].concat();
    let header = [&packed[..], &coder, &size, &files].concat();
    let start = [&(data.len() as u64).to_le_bytes()[..], &(header.len() as u64).to_le_bytes(), &crc(&header)].concat();
    [&b"7z\xbc\xaf\x27\x1c\0\x04"[..], &crc(&start), &start, &data, &header].concat()
}

/// Files that are all of one folder of MSZIP ([MS-CAB] 2).
fn cabinet() -> Vec<u8> {
    const BLOCKS: u16 = 60_000;
    let mut encoder = DeflateEncoder::new(b"CK".to_vec(), Compression::best());
    encoder.write_all(&[0; 32_768]).unwrap();
    let packed = encoder.finish().unwrap();
    let block = [&[0; 4][..], &(packed.len() as u16).to_le_bytes(), &32_768_u16.to_le_bytes(), &packed].concat();
    let size = (u32::from(BLOCKS) * 32_768).to_le_bytes();
    let file = |number: u32| [&size[..], &[0; 10], &[0xa0, 0], format!("{number}.bin\0").as_bytes()].concat();
    let files: Vec<u8> = (0..500).flat_map(file).collect();
    let start = 36 + 8 + files.len() as u32;
    let blocks = block.repeat(BLOCKS.into());
    [
        &b"MSCF\0\0\0\0"[..],
        &(start + blocks.len() as u32).to_le_bytes(),
        &[0; 4],
        &44_u32.to_le_bytes(),
        &[0; 4],
        &[3, 1, 1, 0, 0xf4, 1, 0, 0, 0, 0, 0, 0],
        &start.to_le_bytes(),
        &BLOCKS.to_le_bytes(),
        &[1, 0],
        &files,
        &blocks,
    ]
    .concat()
}

/// Two hundred members of `-lh5-`: blocks of 65,535 codes that take no bits, since there is one code only, for 256 octets
/// from one back.
fn lzh() -> Vec<u8> {
    // The number of codes; lengths, codes and distances, each of a single one: 15 (any), 509, 0.
    let bits = format!("{:016b}{:05b}{:05b}{:09b}{:09b}{:04b}{:04b}", 0xffff, 0, 15, 0, 509, 0, 0);
    let bits = bits.repeat(8 * 16);
    let octet = |eight: &[u8]| eight.iter().fold(0_u8, |octet, bit| octet << 1 | (bit - b'0'));
    let packed: Vec<u8> = bits.as_bytes().chunks(8).map(octet).collect();
    let size = 8 * 16 * 65_535 * 256_u32;
    let name = b"a.bin";
    let rest = [
        &b"-lh5-"[..],
        &(packed.len() as u32).to_le_bytes(),
        &size.to_le_bytes(),
        &[0; 4],
        &[0x20, 0, 5],
        name,
        &[0; 2],
    ]
    .concat();
    let sum = rest.iter().fold(0_u8, |sum, octet| sum.wrapping_add(*octet));
    let member = [&[rest.len() as u8, sum][..], &rest, &packed].concat();
    [member.repeat(200), vec![0]].concat()
}

/// Folders that are the folder around them.
fn cyclic_disc() -> Vec<u8> {
    let mut disc = images::iso(&[("a.txt", b"hello")], false);
    let root = 19 * 2048;
    let mut at = root + 2 * 34 + images::record(0, 0, 0, b"FILE0.TXT;1").len();
    for number in 0..40 {
        let entry = images::record(19, 2048, 2, format!("D{number}").as_bytes());
        disc[at..][..entry.len()].copy_from_slice(&entry);
        at += entry.len();
    }
    disc
}

fn many_zeros(count: usize, how: &Written<'_>) -> Vec<u8> {
    let (packed, size) =
        if how.version == FIVE.version { rar::pack::zeros5(99 << 20) } else { rar::pack::zeros4(99 << 20) };
    let names: Vec<String> = (0..count).map(|number| format!("{number}.bin")).collect();
    let crc = rar::crc_of_zeros(size);
    let member = |name| Member { name, packed: Some((&packed, crc, size)), ..Member::default() };
    rar::whole(&names.iter().map(|name| member(name)).collect::<Vec<_>>(), how)
}

/// PPMd of order 64 whose model has one more MiB than this.
fn rar_noise(model: u8) -> Vec<u8> {
    let packed = [&[0x9f | 0x20, model][..], &noise(200_000)].concat();
    rar::whole(&[Member { name: "a.bin", packed: Some((&packed, 0, 1 << 31)), ..Member::default() }], &FOUR)
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
