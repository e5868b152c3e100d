//! A ZIP archive whose only member is itself, as Russ Cox made one ("Zip Files All The Way Down", 2010): a deflate stream
//! that puts out what is before it, itself, and what is behind it.

use std::io::Write;

use flate2::write::DeflateDecoder;

/// The archive, with the right checksum.
pub fn zip() -> Vec<u8> {
    let made = |crc: u32| file(crc);
    let sum = |octets: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(octets);
        crc.sum()
    };
    // Of files of one size, the checksum is a sum of what each bit adds to it: 32 equations for 32 bits.
    let base = sum(&made(0));
    let mut rows: Vec<(u32, u32)> = (0..32)
        .map(|bit| {
            let adds = (0..32).fold(0, |row, of| row | ((sum(&made(1 << of)) ^ base) >> bit & 1) << of);
            // What is wanted is the checksum itself.
            (adds ^ 1 << bit, base >> bit & 1)
        })
        .collect();
    for bit in 0..32 {
        let Some(pivot) = (bit..32).find(|row| rows[*row].0 >> bit & 1 == 1) else { continue };
        rows.swap(bit, pivot);
        let (row, right) = rows[bit];
        for (number, other) in rows.iter_mut().enumerate() {
            if number != bit && other.0 >> bit & 1 == 1 {
                *other = (other.0 ^ row, other.1 ^ right);
            }
        }
    }
    let crc = rows.iter().enumerate().fold(0, |crc, (bit, (_, right))| crc | right << bit);
    let quine = made(crc);
    assert_eq!(sum(&quine), crc);
    quine
}

/// The name fills the header up to sixty octets, the comment the end to 130: see `same` and `last`.
const NAME: &[u8; 30] = b"this archive is in itself..zip";
const COMMENT: &[u8; 32] = b"turtles, all the way down to it.";

fn file(crc: u32) -> Vec<u8> {
    let literal = |size: u16| [&[0][..], &size.to_le_bytes(), &(!size).to_le_bytes()].concat();
    // Each of the instructions has five octets.
    let stream = |head: &[u8], tail: &[u8]| {
        let (l65, r65) = (literal(65), same(&[(276 - 256, 3, 6, 12, 5, 0)], true));
        let (l5, l20, l0, l135) = (literal(5), literal(20), literal(0), literal(135));
        let r20 = same(&[(264 - 256, 0, 0, 8, 3, 3), (264 - 256, 0, 0, 8, 3, 3)], false);
        let r135 = last();
        [
            &[&l65[..], head, &l65, &r65].concat()[..],
            &[&l5[..], &r65, &l5, &l5].concat(),
            &[&l20[..], &r65, &l5, &l5, &l20, &r20].concat(),
            &[&l20[..], &r20, &l20, &r20, &l20, &r20].concat(),
            &[&l20[..], &r20, &l0, &l0, &l135, &r20].concat(),
            &[&l0[..], &l0, &l135, &r135, tail, &r135].concat(),
        ]
        .concat()
    };
    let packed = stream(&[0; 60], &[0; 130]).len();
    let size = 60 + packed + 130;
    let mut fields = [20_u16, 0, 8, 0, 0x21].map(u16::to_le_bytes).concat();
    fields.extend([crc, packed as u32, size as u32].map(u32::to_le_bytes).concat());
    fields.extend([NAME.len() as u16, 0].map(u16::to_le_bytes).concat());
    let head = [b"PK\x03\x04", &fields[..], NAME].concat();
    let directory = [b"PK\x01\x02\x14\0", &fields[..], &[0; 14], NAME].concat();
    let end = [
        b"PK\x05\x06\0\0\0\0\x01\0\x01\0",
        &(directory.len() as u32).to_le_bytes()[..],
        &((60 + packed) as u32).to_le_bytes(),
        &(COMMENT.len() as u16).to_le_bytes(),
        COMMENT,
    ]
    .concat();
    let tail = [directory, end].concat();
    let stream = stream(&head, &tail);
    let quine = [&head[..], &stream, &tail].concat();
    let mut decoder = DeflateDecoder::new(Vec::new());
    decoder.write_all(&stream).unwrap();
    assert!(decoder.finish().unwrap() == quine);
    quine
}

/// Bits, the lowest first, but codes the highest first (RFC 1951 3.1.1).
#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn number(&mut self, value: usize, width: usize) {
        self.0.extend((0..width).map(|bit| value >> bit & 1 == 1));
    }

    fn code(&mut self, value: usize, width: usize) {
        self.0.extend((0..width).rev().map(|bit| value >> bit & 1 == 1));
    }

    fn octets(&self) -> Vec<u8> {
        let octet = |bits: &[bool]| bits.iter().enumerate().fold(0, |octet, (at, bit)| octet | u8::from(*bit) << at);
        self.0.chunks(8).map(octet).collect()
    }
}

/// A block of fixed codes that repeats what came last: of each match the code of the length less 256, bits and value
/// that add to it, and those of the distance. With an empty block behind it, if that fills forty bits.
fn same(matches: &[(usize, usize, usize, usize, usize, usize)], with_empty: bool) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.number(0b010, 3);
    for (length, more, value, distance, further, extra) in matches {
        bits.code(*length, 7);
        bits.number(*value, *more);
        bits.code(*distance, 5);
        bits.number(*extra, *further);
    }
    bits.code(0, 7);
    if with_empty {
        bits.number(0b010, 3);
        bits.code(0, 7);
    }
    assert_eq!(bits.0.len(), 40);
    bits.octets()
}

/// The last block: 135 octets from 135 back (code 281, 131 and 4; code 14, 129 and 6).
fn last() -> Vec<u8> {
    let mut bits = Bits::default();
    bits.number(0b011, 3);
    bits.code(0b1100_0000 + 281 - 280, 8);
    bits.number(4, 5);
    bits.code(14, 5);
    bits.number(6, 6);
    bits.code(0, 7);
    assert_eq!(bits.octets().len(), 5);
    bits.octets()
}
