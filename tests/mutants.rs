//! Mutants of the samples: every file in `samples/`, damaged in the ways of the wire and of people with bad
//! intentions, and scanned. Whatever comes in, a report comes out.
//!
//! `SEKISHO_MUTANTS=COUNT` makes so many of any seed (without it the same 20,000 each time, some ten seconds);
//! `SEKISHO_SEED=NUMBER` makes those of that seed, which a failure names.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use data_encoding::BASE64_MIME_PERMISSIVE;
use fastrand::Rng;
use sekisho::knowledge::Knowledge;
use sekisho::limits::Limits;
use sekisho::scan::{Input, Report, Stop, scan};

use crate::common::samples::base64_lines;
use crate::fuzz::targets::check;

/// Mutants without a word about their number.
const COUNT: u64 = 20_000;
/// Mutants that are made of one seed: few, so that one that fails can be made again quickly.
const PER_SEED: u64 = 20;
/// The longest that a scan may take here. Some milliseconds are usual; a machine under load has its bad moments,
/// and what never ends takes longer than any.
const LONGEST: Duration = Duration::from_secs(20);

/// Small, so that many fit into a second, and so that they are reached.
fn limits() -> Limits {
    Limits { max_files: 300, max_recursion: 8, max_file_size: 4 << 20, max_scan_size: 16 << 20, ..Limits::default() }
}

/// What mutants are made of.
struct Material {
    samples: Vec<Vec<u8>>,
    /// The words of the fuzz targets' dictionaries.
    words: Vec<Vec<u8>>,
}

impl Material {
    fn read() -> Self {
        let samples = files("samples");
        let text: String = files("tests/fuzz/dict").into_iter().map(|file| String::from_utf8(file).unwrap()).collect();
        let quoted = text.lines().filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
        let words: Vec<Vec<u8>> = quoted.map(unquoted).collect();
        assert!(samples.len() > 10 && words.len() > 300, "samples/ or tests/fuzz/dict/ is empty");
        Self { samples, words }
    }

    fn sample(&self, random: &mut Rng) -> &[u8] {
        &self.samples[random.usize(0..self.samples.len())]
    }
}

fn files(folder: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

/// A word as dictionaries of libFuzzer write it: `\\`, `\"`, `\xAB`.
fn unquoted(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        (rest, octets) = match rest {
            [b'\\', b'x', high, low, behind @ ..] => {
                let digits = [*high, *low];
                let octet = u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap();
                (behind, [octets, vec![octet]].concat())
            }
            [b'\\', escaped, behind @ ..] => (behind, [octets, vec![*escaped]].concat()),
            _ => (behind, [octets, vec![*first]].concat()),
        };
    }
    octets
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text:?} is no number")))
}

#[test]
fn every_mutant_of_a_sample_gets_a_report() {
    let material = Material::read();
    let asked = number("SEKISHO_MUTANTS");
    let count = asked.unwrap_or(COUNT);
    let first = number("SEKISHO_SEED").or_else(|| asked.map(|_| fastrand::u64(..1 << 40))).unwrap_or(0);
    for seed in (first..).take(usize::try_from(count.div_ceil(PER_SEED)).unwrap()) {
        let outcome = std::panic::catch_unwind(|| {
            let mut random = Rng::with_seed(seed);
            for _ in 0..PER_SEED.min(count) {
                let mutant = mutant(&material, &mut random);
                judge(mutant, &mut random);
            }
        });
        assert!(
            outcome.is_ok(),
            "a mutant of seed {seed} fails, the panic stands above; again: SEKISHO_SEED={seed} SEKISHO_MUTANTS={PER_SEED}"
        );
    }
}

/// Whatever takes the square of its time, or the cube, shows here: every word of the dictionaries, and each with an
/// octet that begins or ends things, for half a megabyte in a head, in a body, in a part, and as a file.
#[test]
fn a_word_again_and_again_takes_no_time() {
    const SIZE: usize = 1 << 19;
    const FRAMES: [&[u8]; 4] = [
        b"",
        b"\r\r",
        b"Content-Type: text/html\r\n\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n",
    ];
    let material = Material::read();
    for (nth, word) in material.words.iter().enumerate() {
        let end: &[u8] = [&b""[..], b"\n", b"\r", b" ", b"<", b"\"", b"("][nth % 7];
        let row = [word, end].concat().repeat(SIZE / (word.len() + end.len()));
        // One frame for each word, so that the row of all stays short; the next word of the kind gets another one.
        let raw = [FRAMES[nth % FRAMES.len()], &row].concat();
        let start = Instant::now();
        scan(Input::message(raw), &limits(), &Knowledge::default(), &Stop::default());
        scan(Input::file(row, "a"), &limits(), &Knowledge::default(), &Stop::default());
        let time = start.elapsed();
        assert!(time < LONGEST, "{:?} and {end:?} took {time:?}", String::from_utf8_lossy(word));
    }
}

fn judge(mutant: Vec<u8>, random: &mut Rng) {
    let size = mutant.len();
    let input = match random.u8(0..4) {
        0 => Input::file(mutant, ["a.doc", "a.zip", "a.eml", "a"][random.usize(0..4)]),
        _ => Input::message(mutant),
    };
    let (limits, start) = (limits(), Instant::now());
    let report: Report = scan(input, &limits, &Knowledge::default(), &Stop::default());
    let time = start.elapsed();
    assert!(time < LONGEST, "{size} octets took {time:?}");
    check(&report, &limits, size);
    // What a report weighs is bounded by its parts and findings, and both are.
    let weight = serde_json::to_vec(&report).unwrap().len();
    assert!(weight < 8 << 20, "a report of {weight} octets");
}

/// A sample that was changed a few times, in the open or inside one of its attachments.
fn mutant(material: &Material, random: &mut Rng) -> Vec<u8> {
    let sample = material.sample(random);
    let mut mutant = match (random.bool(), attachment(sample, random)) {
        (true, Some((range, content))) => {
            let mut content = content;
            change(&mut content, material, random);
            let coded = base64_lines(&content);
            [&sample[..range.start], coded.trim_end().as_bytes(), &sample[range.end..]].concat()
        }
        _ => sample.to_vec(),
    };
    if mutant == sample || random.u8(0..4) == 0 {
        change(&mut mutant, material, random);
    }
    mutant
}

/// One of the base64 bodies of a message: where it stands, and its content.
fn attachment(raw: &[u8], random: &mut Rng) -> Option<(std::ops::Range<usize>, Vec<u8>)> {
    const LABEL: &[u8] = b"Content-Transfer-Encoding: base64\r\n\r\n";
    let labels: Vec<usize> = memchr::memmem::find_iter(raw, LABEL).collect();
    let start = *labels.get(random.usize(0..labels.len().max(1)))? + LABEL.len();
    let end = start + memchr::memmem::find(&raw[start..], b"\r\n--")?;
    let content = BASE64_MIME_PERMISSIVE.decode(&raw[start..end]).ok()?;
    Some((start..end, content))
}

/// Changes some octets: one to four times, in one of the ways below.
fn change(octets: &mut Vec<u8>, material: &Material, random: &mut Rng) {
    for _ in 0..random.usize(1..=4) {
        if octets.is_empty() {
            octets.push(random.u8(..));
        }
        let at = random.usize(0..octets.len());
        match random.u8(0..9) {
            // A few bits.
            0 | 1 => {
                for _ in 0..random.usize(1..=8) {
                    let at = random.usize(0..octets.len());
                    octets[at] ^= 1 << random.u8(0..8);
                }
            }
            // The end is missing, or the beginning.
            2 => octets.truncate(at),
            3 => drop(octets.drain(..at.min(2000))),
            // A piece of another sample, or of an attachment in it, in the place of some octets.
            4 => {
                let other = material.sample(random);
                let content = attachment(other, random).map(|(_, content)| content).filter(|_| random.bool());
                let other = content.as_deref().unwrap_or(other);
                let from = random.usize(0..=other.len());
                let piece = &other[from..(from + random.usize(0..4000)).min(other.len())];
                let end = (at + random.usize(0..2000)).min(octets.len());
                octets.splice(at..end, piece.iter().copied());
            }
            // A number that means too much: lengths, offsets and counts of 2, 4 or 8 octets in either order.
            5 | 6 => {
                let extremes = [
                    0,
                    1,
                    0x7f,
                    0x80,
                    0xff,
                    0x7fff,
                    0x8000,
                    0xffff,
                    0x7fff_ffff,
                    0x8000_0000,
                    0xffff_fffe,
                    0xffff_ffff,
                    u64::MAX,
                ];
                let value = extremes[random.usize(0..extremes.len())];
                let width = [1, 2, 4, 8][random.usize(0..4)];
                let number = if random.bool() {
                    value.to_le_bytes()[..width].to_vec()
                } else {
                    value.to_be_bytes()[8 - width..].to_vec()
                };
                let end = (at + width).min(octets.len());
                octets.splice(at..end, number);
            }
            // A block or a word again and again; now and then so often that whatever takes the square of its time shows.
            kind => {
                let block = match kind {
                    7 => octets[at..(at + random.usize(1..600)).min(octets.len())].to_vec(),
                    _ => material.words[random.usize(0..material.words.len())].clone(),
                };
                let times = match random.u16(0..300) {
                    0 => 1_000_000 / block.len(),
                    _ if kind == 8 && random.bool() => 1,
                    _ if block.len() < 50 => random.usize(1..300),
                    _ => random.usize(1..20),
                };
                octets.splice(at..at, block.repeat(times));
            }
        }
    }
}
