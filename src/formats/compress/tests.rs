//! Streams whole, cut, repeated, followed by other things, and too large.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

const TEXT: &[u8] = b"The quick brown fox jumps over the lazy dog. The quick brown fox.";

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ::bzip2::write::BzEncoder::new(Vec::new(), ::bzip2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zs(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

fn whole(bytes: &[u8]) -> Content {
    Content::Whole(Bytes::copy_from_slice(bytes))
}

type Method = (fn(&[u8]) -> Vec<u8>, fn(&[u8], u64) -> Unpacked);

const METHODS: [Method; 3] = [(gz, gzip), (bz, bzip2), (zs, zstd)];

#[test]
fn streams_are_joined_and_what_follows_is_left() {
    for (pack, unpack) in METHODS {
        let two = [pack(TEXT), pack(TEXT), b"PK\x03\x04junk".to_vec()].concat();
        let unpacked = unpack(&two, 1000);
        assert_eq!(unpacked.content, whole(&TEXT.repeat(2)));
        assert_eq!(two.get(unpacked.used..), Some(&b"PK\x03\x04junk"[..]));
    }
}

#[test]
fn the_room_is_kept_at_below_and_above() {
    for (pack, unpack) in METHODS {
        let packed = pack(TEXT);
        let size = TEXT.len() as u64;
        assert_eq!(unpack(&packed, size).content, whole(TEXT));
        assert_eq!(unpack(&packed, size + 1).content, whole(TEXT));
        assert_eq!(unpack(&packed, size - 1).content, Content::Head(Bytes::from(TEXT[..TEXT.len() - 1].to_vec())));
    }
}

#[test]
fn what_is_cut_gives_what_is_there() {
    let mut random = fastrand::Rng::with_seed(7);
    let noise: Vec<u8> = (0..400_000).map(|_| random.u8(b'a'..=b'p')).collect();
    for (pack, unpack) in METHODS {
        let packed = pack(&noise);
        match unpack(&packed[..packed.len() * 3 / 4], 1 << 20).content {
            // bzip2 has blocks of 900 KB: nothing of an unfinished one can be had.
            Content::Damaged(bytes) => {
                assert!(noise.starts_with(&bytes) && (packed[0] == b'B' || bytes.len() > 100_000))
            }
            other => panic!("{} octets, not damaged", other.size()),
        }
    }
}

#[test]
fn a_window_of_2_gib_is_refused() {
    // Window descriptor 0xa8: exponent 21, 2^31.
    let frame = [&b"\x28\xb5\x2f\xfd\x00\xa8"[..], &[1, 0, 0]].concat();
    assert!(matches!(zstd(&frame, 1000).content, Content::Unsupported(_)));
}

#[test]
fn lzma_without_a_magic() {
    let packed = b"\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff\0\x24\x19\x49\x98\x6f\x16\x02\x8c\xe8\xe6\x5b\xb1\x47\xc6\xce\xb7\x63\xff\xff\x3c\xac\0\0";
    assert!(is_lzma(packed));
    assert_eq!(lzma_alone(packed, 1000), whole(b"Hello, world!"));
    // A dictionary of 4 GiB that is never needed costs nothing.
    let mut huge = packed.to_vec();
    huge[1..5].copy_from_slice(&[0xff; 4]);
    assert_eq!(lzma_alone(&huge, 1000), whole(b"Hello, world!"));
    assert!(!is_lzma(b"]\0\0\x80\0hello, this is a text of some length"));
    assert!(!is_lzma(&[0; 64]));
}
