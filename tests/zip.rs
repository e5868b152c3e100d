//! ZIP archives and Office packages through the whole scan: whatever an archive claims, its
//! members come out, and what could not be read is said.

use std::io::Write;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use sekisho::finding::FindingId;
use sekisho::knowledge::Knowledge;
use sekisho::limits::Limits;
use sekisho::part::{Origin, PartPath};
use sekisho::scan::{Ask, Input, PartReport, Report, Stop, scan};
use sekisho::verdict::{Level, judge};

use crate::common::{office, require_tool};

/// One member as the test wants it written; what is `None` is written honestly.
#[derive(Clone, Default)]
struct Entry {
    name: Vec<u8>,
    local_name: Option<Vec<u8>>,
    data: Vec<u8>,
    stored: bool,
    method: Option<u16>,
    flags: u16,
    local_flags: Option<u16>,
    crc: Option<u32>,
    listed_size: Option<u32>,
    descriptor: bool,
    unlisted: bool,
}

fn entry(name: &str, data: &[u8]) -> Entry {
    Entry { name: name.as_bytes().to_vec(), data: data.to_vec(), ..Entry::default() }
}

/// What stands at the end of an archive, and what the test changes about it.
#[derive(Clone, Copy, Default)]
struct Tail {
    count: Option<u16>,
    offset: Option<u32>,
    size: Option<u32>,
    base: u32,
    no_directory: bool,
}

fn deflate(data: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn crc32(data: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(data);
    crc.sum()
}

fn archive(entries: &[Entry], tail: Tail) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for e in entries {
        let packed = if e.stored { e.data.clone() } else { deflate(&e.data) };
        let method = e.method.unwrap_or(if e.stored { 0 } else { 8 });
        let crc = e.crc.unwrap_or(crc32(&e.data));
        let at = out.len() as u32 + tail.base;
        let fields = |flags: u16, crc: u32, packed: u32, size: u32, name: usize| {
            let mut out = Vec::new();
            out.extend(20u16.to_le_bytes());
            out.extend(flags.to_le_bytes());
            out.extend(method.to_le_bytes());
            out.extend([0, 0, 0x21, 0]);
            out.extend(crc.to_le_bytes());
            out.extend(packed.to_le_bytes());
            out.extend(size.to_le_bytes());
            out.extend((name as u16).to_le_bytes());
            out.extend([0, 0]);
            out
        };
        let (packed_size, size) = (packed.len() as u32, e.data.len() as u32);
        let flags = e.flags | if e.descriptor { 8 } else { 0 };
        let local_name = e.local_name.as_ref().unwrap_or(&e.name);
        out.extend(b"PK\x03\x04");
        let told = if e.descriptor { (0, 0, 0) } else { (crc, packed_size, size) };
        out.extend(fields(e.local_flags.unwrap_or(flags), told.0, told.1, told.2, local_name.len()));
        out.extend(local_name);
        out.extend(&packed);
        if e.descriptor {
            out.extend(b"PK\x07\x08");
            out.extend([crc, packed_size, size].map(u32::to_le_bytes).concat());
        }
        if !e.unlisted {
            let (packed, size) = (e.listed_size.unwrap_or(packed_size), e.listed_size.unwrap_or(size));
            directory.extend(b"PK\x01\x02\x14\0");
            directory.extend(fields(flags, crc, packed, size, e.name.len()));
            directory.extend([0; 10]);
            directory.extend(at.to_le_bytes());
            directory.extend(&e.name);
        }
    }
    if tail.no_directory {
        return out;
    }
    let start = out.len() as u32 + tail.base;
    let listed = entries.iter().filter(|e| !e.unlisted).count() as u16;
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend([tail.count.unwrap_or(listed).to_le_bytes(); 2].concat());
    out.extend(tail.size.unwrap_or(directory.len() as u32).to_le_bytes());
    out.extend(tail.offset.unwrap_or(start).to_le_bytes());
    out.extend([0, 0]);
    out
}

fn honest_archive() -> Vec<u8> {
    archive(&three(), Tail::default())
}

fn three() -> Vec<Entry> {
    vec![
        entry("one.txt", b"the first"),
        entry("two/two.txt", &b"the second ".repeat(50)),
        entry("three.txt", b"the third"),
    ]
}

fn look(bytes: Vec<u8>) -> Report {
    look_with(bytes, &Limits::default(), &[])
}

fn look_with(bytes: Vec<u8>, limits: &Limits, passwords: &[&str]) -> Report {
    let passwords = passwords.iter().map(|password| (*password).to_owned()).collect();
    let knowledge = Knowledge { passwords, asking: true, ..Knowledge::default() };
    scan(Input::file(bytes, "x.zip"), limits, &knowledge, &Stop::default())
}

fn members(report: &Report) -> Vec<&PartReport> {
    report.parts.iter().filter(|part| part.origin == Origin::Member).collect()
}

fn sizes(report: &Report) -> Vec<(String, u64)> {
    members(report).iter().map(|part| (part.names.join("|"), part.size)).collect()
}

fn evidence<'a>(report: &'a Report, id: &str) -> Vec<&'a str> {
    let id = FindingId::parse(id).unwrap();
    report.findings.iter().filter(|f| f.id == id).map(|f| f.evidence.as_str()).collect()
}

const HONEST: [(&str, u64); 3] = [("one.txt", 9), ("two/two.txt", 550), ("three.txt", 9)];

/// All three members come out, and nothing is said but these differences of the views.
#[track_caller]
fn check_three(what: &str, bytes: Vec<u8>, differences: &[&str]) {
    let report = look(bytes);
    let mut found = sizes(&report);
    let mut honest: Vec<_> = HONEST.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect();
    found.sort();
    honest.sort();
    assert_eq!(found, honest, "{what}");
    assert_eq!(evidence(&report, "zip-views-differ"), differences, "{what}");
    assert_eq!(report.findings.len(), differences.len(), "{what}: {:?}", report.findings);
}

#[test]
fn honest_archives_are_read_in_silence() {
    let with =
        |change: fn(Entry) -> Entry| archive(&three().into_iter().map(change).collect::<Vec<_>>(), Tail::default());
    let plain = honest_archive();
    check_three("plain", plain.clone(), &[]);
    check_three("streamed", with(|e| Entry { descriptor: true, ..e }), &[]);
    check_three("stored", with(|e| Entry { stored: true, ..e }), &[]);
    check_three("stored and streamed", with(|e| Entry { stored: true, descriptor: true, ..e }), &[]);
    let mut folders = three();
    folders.insert(1, Entry { stored: true, ..entry("two/", b"") });
    check_three("with a folder", archive(&folders, Tail::default()), &[]);
    check_three("behind a prefix", [vec![1; 1000], plain.clone()].concat(), &[]);
    let based = archive(&three(), Tail { base: 1000, ..Tail::default() });
    check_three("behind a counted prefix", [vec![1; 1000], based].concat(), &[]);
    let mut comment = plain.clone();
    let end = comment.len();
    comment[end - 2] = 5;
    check_three("with a comment", [comment, b"hello".to_vec()].concat(), &[]);
    check_three("with zeros behind", [plain, vec![0; 1 << 20]].concat(), &[]);
}

#[test]
fn a_stored_archive_within_an_archive_is_no_difference() {
    for descriptor in [false, true] {
        let outer = Entry { stored: true, descriptor, ..entry("in.zip", &honest_archive()) };
        let report = look(archive(&[outer, entry("b", b"b")], Tail::default()));
        assert_eq!(report.findings, []);
        assert_eq!(members(&report).len(), 5);
    }
}

#[test]
fn a_zip64_writer_is_read_in_silence() {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().large_file(true);
    for (name, size) in HONEST {
        writer.start_file(name, options).unwrap();
        writer.write_all(&vec![b'x'; size as usize]).unwrap();
    }
    check_three("zip64", writer.finish().unwrap().into_inner(), &[]);
}

#[test]
fn every_evasion_yields_the_members() {
    let plain = honest_archive();
    let tail = |tail: Tail| archive(&three(), tail);
    check_three("no directory", tail(Tail { no_directory: true, ..Tail::default() }), &["there is no directory"]);
    check_three("directory cut", plain[..plain.len() - 35].to_vec(), &["three.txt: not in the directory"]);
    check_three("wrong directory offset", tail(Tail { offset: Some(7), ..Tail::default() }), &[]);
    check_three("directory size 0", tail(Tail { size: Some(0), ..Tail::default() }), &[]);
    let counts = |count| tail(Tail { count: Some(count), ..Tail::default() });
    check_three("counts one", counts(1), &["the end record counts 1 entries, the directory has 3"]);
    check_three("counts nine", counts(9), &["the end record counts 9 entries, the directory has 3"]);
    let with = |change: fn(&mut Entry)| {
        let mut entries = three();
        change(&mut entries[1]);
        archive(&entries, Tail::default())
    };
    check_three("size lies", with(|e| e.listed_size = Some(10)), &[]);
    check_three("unlisted", with(|e| e.unlisted = true), &["two/two.txt: not in the directory"]);
    check_three("encryption bit", with(|e| e.flags = 1), &["two/two.txt: marked as encrypted, but is not"]);
    let only_listed = with(|e| (e.flags, e.local_flags) = (1, Some(0)));
    check_three("encryption bit in one view", only_listed, &["two/two.txt: marked as encrypted, but is not"]);
    let fake = [plain.clone(), b"PK\x05\x06".to_vec(), vec![0; 18]].concat();
    check_three("comment like an end record", fake, &["there are 2 end records"]);
    let mut patched = plain;
    patched[2] = 9;
    check_three("first signature patched", patched, &["one.txt: found through the directory only"]);
}

#[test]
fn both_names_of_a_member_are_kept() {
    let mut entries = three();
    entries[0].local_name = Some(b"one.exe".to_vec());
    let report = look(archive(&entries, Tail::default()));
    assert_eq!(members(&report)[0].names, ["one.txt", "one.exe"]);
    assert_eq!(evidence(&report, "zip-views-differ"), ["one.txt: also called one.exe"]);
}

#[test]
fn members_of_one_name_are_all_there() {
    let twins = [entry("a.txt", b"1"), entry("A.TXT", b"22"), entry(".\\a.txt", b"333")];
    let report = look(archive(&twins, Tail::default()));
    assert_eq!(members(&report).iter().map(|part| part.size).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(evidence(&report, "zip-views-differ"), ["A.TXT: more than once"]);
}

#[test]
fn two_archives_in_a_row_are_both_read() {
    let second = archive(&[entry("four.txt", b"the fourth")], Tail::default());
    let report = look([honest_archive(), second].concat());
    assert_eq!(members(&report).len(), 4);
    assert_eq!(evidence(&report, "zip-views-differ"), ["there are 2 end records"]);
}

#[test]
fn a_member_hidden_in_the_data_of_another_is_read() {
    // The walk passes over the inner archive as data of the outer member; the directory names the
    // inner local header only.
    let inner = archive(&[entry("hidden.txt", b"peekaboo")], Tail::default());
    let cover = Entry { stored: true, ..entry("cover.bin", &inner) };
    let mut outer = archive(&[cover], Tail { no_directory: true, ..Tail::default() });
    let directory = inner.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    let mut listed = inner[directory..inner.len() - 22].to_vec();
    let header_of_inner = (30 + "cover.bin".len()) as u32;
    listed[42..46].copy_from_slice(&header_of_inner.to_le_bytes());
    let start = outer.len() as u32;
    outer.extend(&listed);
    outer.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    outer.extend((listed.len() as u32).to_le_bytes());
    outer.extend(start.to_le_bytes());
    outer.extend([0, 0]);
    let report = look(outer);
    let hidden = members(&report).iter().filter(|part| part.names == ["hidden.txt"]).count();
    assert_eq!(hidden, 2, "by the directory, and as a member of the cover");
    let expected = ["cover.bin: not in the directory", "hidden.txt: found through the directory only"];
    assert_eq!(evidence(&report, "zip-views-differ"), expected);
}

#[test]
fn a_file_of_nothing_but_records_costs_little() {
    for record in [&b"PK\x05\x06"[..], b"PK\x01\x02", b"PK\x03\x04", b"PK\x07\x08", b"PK"] {
        let report = look([b"PK\x03\x04", &record.repeat((4 << 20) / record.len())[..]].concat());
        assert_eq!(members(&report).len(), 0, "{record:x?}");
        assert!(report.findings.len() < 20);
    }
}

#[test]
fn names_in_cp932_are_readable_and_kept_raw() {
    let raw = b"\x90\xbf\x8b\x81\x8f\x91.txt".to_vec();
    let report = look(archive(&[Entry { name: raw.clone(), ..entry("", b"x") }], Tail::default()));
    assert_eq!(members(&report)[0].names, ["請求書.txt"]);
    assert_eq!(members(&report)[0].name_raw.as_deref(), Some(data_encoding::BASE64.encode(&raw).as_str()));
}

#[test]
fn methods_that_are_not_unpacked_are_named() {
    for (method, name) in [(1, "shrink"), (6, "implode"), (97, "wavpack"), (77, "method 77")] {
        let mut entries = three();
        entries[1].method = Some(method);
        let report = look(archive(&entries, Tail::default()));
        assert_eq!(members(&report).len(), 2);
        assert_eq!(evidence(&report, "container-unsupported"), [format!("two/two.txt: {name}")]);
    }
}

/// An archive that 7-Zip packs, with these options.
fn packed_by_7zip(content: &[u8], options: &[&str]) -> Option<Vec<u8>> {
    let program = require_tool("7z")?;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("order.txt"), content).unwrap();
    let mut command = std::process::Command::new(program);
    command.current_dir(folder.path()).args(["a", "-tzip", "-bso0", "-bsp0"]).args(options);
    assert!(command.args(["a.zip", "order.txt"]).status().unwrap().success(), "{options:?}");
    Some(std::fs::read(folder.path().join("a.zip")).unwrap())
}

const METHODS: [(&str, u16); 6] =
    [("Copy", 0), ("Deflate", 8), ("Deflate64", 9), ("BZip2", 12), ("LZMA", 14), ("PPMd", 98)];

#[test]
fn every_method_that_packers_offer_is_unpacked() {
    // Longer than the window of deflate, with distances that only Deflate64 has.
    let text = (0..9000).map(|n| format!("line {}\n", n * n % 7919)).collect::<String>();
    let content = [text.as_bytes(), &text.as_bytes()[..50_000]].concat();
    for (method, number) in METHODS {
        for cipher in [None, Some("-mem=ZipCrypto"), Some("-mem=AES256")] {
            let method = format!("-mm={method}");
            let locked = cipher.map(|cipher| [cipher, "-pinfected"]).into_iter().flatten();
            let options: Vec<&str> = [method.as_str()].into_iter().chain(locked).collect();
            let Some(bytes) = packed_by_7zip(&content, &options) else { return };
            let said = if cipher == Some("-mem=AES256") { 99 } else { number };
            assert_eq!(u16::from_le_bytes([bytes[8], bytes[9]]), said, "{options:?}");
            let report = look_with(bytes.clone(), &Limits::default(), &["wrong", "infected"]);
            assert_eq!(sizes(&report), [("order.txt".to_owned(), content.len() as u64)], "{options:?}");
            assert_eq!(members(&report)[0].sha256, sekisho::scan::sha256(&content), "{options:?}");
            assert!(judge(&report).complete, "{options:?}");
            if cipher.is_some() {
                let report = look_with(bytes, &Limits::default(), &["wrong"]);
                assert_eq!(evidence(&report, "archive-encrypted"), ["order.txt"], "{options:?}");
            }
        }
    }
}

#[test]
fn zstandard_and_xz_are_unpacked_within_an_archive() {
    let content = b"A text of some, some, some length, which is packed. ".repeat(50);
    for (program, methods) in [("zstd", [93, 20]), ("xz", [95, 95])] {
        let Some(program) = require_tool(program) else { return };
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), &content).unwrap();
        let packed = std::process::Command::new(program).args(["-c", "a"]).current_dir(folder.path()).output().unwrap();
        for method in methods {
            let entry = Entry {
                stored: true,
                method: Some(method),
                crc: Some(crc32(&content)),
                listed_size: Some(content.len() as u32),
                ..entry("a.txt", &packed.stdout)
            };
            let report = look(archive(&[entry], Tail::default()));
            assert_eq!(sizes(&report), [("a.txt".to_owned(), content.len() as u64)], "{method}");
            assert_eq!(members(&report)[0].sha256, sekisho::scan::sha256(&content));
        }
    }
}

#[test]
fn what_a_method_claims_of_memory_is_bounded() {
    let check = |method: u16, packed: &[u8], told: &str| {
        let entry = Entry { stored: true, method: Some(method), ..entry("a", packed) };
        let report = look(archive(&[entry], Tail::default()));
        let mut said: Vec<&str> =
            ["damaged", "container-unsupported"].iter().flat_map(|id| evidence(&report, id)).collect();
        // What is packed is looked at as it stands, too: a file of its own of some methods.
        said.dedup();
        assert_eq!(said, [told], "{method}");
    };
    // Order 6, 256 MiB.
    check(98, &[&[0xF5, 0x0F][..], &[0; 40]].concat(), "a: a PPMd model larger than 64 MiB");
    // A dictionary of 4 GiB, of which nothing is needed.
    check(14, &[&[9, 20, 5, 0, 0x5D, 0xFF, 0xFF, 0xFF, 0xFF][..], &[0xFF; 40]].concat(), "a");
    check(93, b"\x28\xb5\x2f\xfd\x00\xb0\x01\0\0", "a: a window larger than 128 MiB");
    for method in [9, 12, 14, 20, 93, 95, 98] {
        // Where nothing is packed, PPMd takes what follows for a model of 182 MiB.
        let told = if method == 98 { "a: a PPMd model larger than 64 MiB" } else { "a" };
        check(method, b"", told);
        // To PPMd this is a model of 22 MiB, and noise.
        check(method, &[&[0x55, 0x01][..], &[0x55; 28]].concat(), "a");
    }
}

#[test]
fn a_member_whose_checksum_does_not_fit_is_damaged_and_read_all_the_same() {
    for stored in [false, true] {
        let mut entries = three();
        entries[1] = Entry { stored, crc: Some(7), ..entries[1].clone() };
        let report = look(archive(&entries, Tail::default()));
        assert_eq!(sizes(&report).len(), 3);
        assert_eq!(evidence(&report, "damaged"), ["two/two.txt"]);
    }
}

#[test]
fn mutants_of_members_by_any_method_cost_no_fault() {
    use crate::common::layouts::packed;
    let text: Vec<u8> = (0..2000_u32).flat_map(|n| format!("{} ", n * n % 7919).into_bytes()).collect();
    let limits = Limits { max_file_size: 1 << 20, max_scan_size: 4 << 20, ..Limits::default() };
    let mut random = fastrand::Rng::with_seed(5);
    for method in [9, 12, 14, 93, 95, 98] {
        let whole = packed(method, &text);
        for number in 0..150 {
            let mut mutant = whole.clone();
            for _ in 0..1 + number % 8 {
                // The headers of the methods, and the data.
                let end = if random.bool() { mutant.len() } else { 24 };
                mutant[random.usize(..end)] = random.u8(..);
            }
            let size = Some([text.len() as u32, u32::MAX - 1, 0][number % 3]);
            let entry = Entry { stored: true, method: Some(method), listed_size: size, ..entry("a", &mutant) };
            let report = look_with(archive(&[entry], Tail::default()), &limits, &[]);
            assert_eq!(evidence(&report, "scan-fault"), [""; 0], "{method} {number}");
        }
    }
}

#[test]
fn what_is_cut_short_by_any_method_is_damaged_and_its_head_is_read() {
    use crate::common::layouts::packed;
    let text: Vec<u8> = (0..30_000_u32).flat_map(|n| format!("{} ", n * n % 7919).into_bytes()).collect();
    for method in [9, 12, 14, 93, 95, 98] {
        let whole = packed(method, &text);
        let entry = Entry {
            stored: true,
            method: Some(method),
            crc: Some(crc32(&text)),
            ..entry("a.txt", &whole[..whole.len() / 2])
        };
        let report = look(archive(&[entry], Tail { no_directory: true, ..Tail::default() }));
        assert_eq!(evidence(&report, "damaged").first(), Some(&"a.txt"), "{method}: {:?}", report.findings);
    }
}

#[test]
fn the_head_of_a_bomb_by_any_method_is_scanned() {
    let limits = Limits { max_file_size: 1 << 20, ..Limits::default() };
    let bomb = [b"%PDF-1.4\n".to_vec(), vec![0; 20 << 20]].concat();
    for (method, _) in METHODS {
        let Some(bytes) = packed_by_7zip(&bomb, &[&format!("-mm={method}")]) else { return };
        let report = look_with(bytes, &limits, &[]);
        assert_eq!(sizes(&report), [("order.txt".to_owned(), 1 << 20)], "{method}");
        // Stored, the archive is as large.
        let said = evidence(&report, "limit-exceeded");
        assert!(said.contains(&"order.txt: max_file_size"), "{method}: {said:?}");
    }
}

#[test]
fn plain_data_under_a_false_method_is_found() {
    let mut plain = Entry { stored: true, method: Some(77), ..entry("a.pdf", b"%PDF-1.4 and so on") };
    assert_eq!(sizes(&look(archive(&[plain.clone()], Tail::default()))), [("a.pdf".to_owned(), 18)]);
    plain.method = Some(8);
    let report = look(archive(&[plain], Tail::default()));
    assert_eq!(sizes(&report), [("a.pdf".to_owned(), 18)]);
    assert_eq!(evidence(&report, "damaged"), ["a.pdf"]);
}

#[test]
fn a_cut_member_is_damaged_and_its_head_is_scanned() {
    let noise: Vec<u8> = (0..50_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let whole = archive(&[entry("a.bin", &noise)], Tail::default());
    let report = look(whole[..whole.len() / 2].to_vec());
    assert_eq!(evidence(&report, "damaged"), ["a.bin"]);
    assert!((1000..50_000).contains(&members(&report)[0].size));
}

#[test]
fn the_head_of_a_bomb_is_scanned() {
    let limits = Limits { max_file_size: 1 << 20, ..Limits::default() };
    let bomb = [b"%PDF-1.4\n".to_vec(), vec![0; 20 << 20]].concat();
    let report = look_with(archive(&[entry("big.pdf", &bomb)], Tail::default()), &limits, &[]);
    assert_eq!(sizes(&report), [("big.pdf".to_owned(), 1 << 20)]);
    assert_eq!(members(&report)[0].types[0].name(), "pdf");
    assert_eq!(evidence(&report, "limit-exceeded"), ["big.pdf: max_file_size"]);
    // At the limit it is whole, one above it is not.
    for (size, found) in [((1 << 20), 0), ((1 << 20) + 1, 1)] {
        let report = look_with(archive(&[entry("a", &vec![0; size])], Tail::default()), &limits, &[]);
        assert_eq!(evidence(&report, "limit-exceeded").len(), found);
    }
}

#[test]
fn one_local_header_named_a_thousand_times_is_one_member() {
    let one = archive(&[entry("a", &vec![0; 1 << 20])], Tail::default());
    let directory = one.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    let listed = one[directory..one.len() - 22].to_vec();
    assert_eq!(members(&look([&one[..directory], &listed.repeat(1000)].concat())).len(), 1);
}

#[test]
fn many_members_cost_no_more_than_the_budget() {
    let limits = Limits { max_scan_size: 10 << 20, ..Limits::default() };
    let many: Vec<Entry> = (0..100).map(|n| entry(&format!("{n}"), &vec![0; 1 << 20])).collect();
    let report = look_with(archive(&many, Tail::default()), &limits, &[]);
    assert!(report.parts.iter().map(|part| part.size).sum::<u64>() <= 10 << 20);
    assert!(!evidence(&report, "limit-exceeded").is_empty());
}

#[test]
fn more_members_than_max_files_is_said() {
    let limits = Limits { max_files: 10, ..Limits::default() };
    let many: Vec<Entry> = (0..12).map(|n| entry(&format!("{n}"), b"x")).collect();
    let report = look_with(archive(&many, Tail::default()), &limits, &[]);
    assert_eq!(report.parts.len(), 10);
    assert_eq!(evidence(&report, "limit-exceeded"), ["max_files"]);
    let few = look_with(archive(&many[..9], Tail::default()), &limits, &[]);
    assert_eq!((few.parts.len(), few.findings.len()), (10, 0));
}

#[test]
fn what_may_not_become_a_part_is_not_unpacked() {
    // Were each of the 400 members unpacked, that would be 4 GB, twice.
    let bomb = Entry { data: vec![0; 10 << 20], ..entry("bomb", b"") };
    let member = archive(&[bomb], Tail::default());
    let local = member.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    let bytes = member[..local].repeat(400);
    let limits = Limits { max_files: 3, max_scan_size: 30 << 20, ..Limits::default() };
    let started = std::time::Instant::now();
    for flags in [0_u8, 1] {
        let mut bytes = bytes.clone();
        for n in 0..400 {
            bytes[n * local + 6] = flags;
            // The checksum is wrong, so that the flag cannot be seen to lie.
            bytes[n * local + 14] ^= 1;
        }
        let report = look_with(bytes, &limits, &["x"]);
        assert!(!evidence(&report, "limit-exceeded").is_empty());
    }
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}

#[test]
fn archives_within_archives_end_at_max_recursion() {
    let mut bytes = honest_archive();
    for _ in 0..20 {
        bytes = archive(&[Entry { stored: true, ..entry("in.zip", &bytes) }], Tail::default());
    }
    let report = look(bytes);
    assert_eq!(report.parts.len(), 17);
    assert_eq!(evidence(&report, "limit-exceeded"), ["max_recursion"]);
}

#[test]
fn an_archive_of_nothing_is_honest_and_one_of_rubble_is_damaged() {
    assert_eq!(look(archive(&[], Tail::default())).findings, []);
    let rubble = [b"PK\x03\x04".to_vec(), vec![0xff; 500]].concat();
    assert_eq!(evidence(&look(rubble), "damaged"), ["no member can be found"]);
}

pub fn encrypted(names: &[&str], aes: bool, password: &str) -> Vec<u8> {
    use zip::unstable::write::FileOptionsExt;
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for name in names {
        let options = zip::write::SimpleFileOptions::default();
        let options = if aes {
            options.with_aes_encryption(zip::AesMode::Aes256, password)
        } else {
            options.with_deprecated_encryption(password.as_bytes()).unwrap()
        };
        writer.start_file(*name, options).unwrap();
        writer.write_all(&b"a secret ".repeat(20)).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn a_known_password_opens_both_ciphers() {
    for (aes, password) in [(false, "infected"), (false, "秘密の箱"), (true, "infected"), (true, "秘密の箱")] {
        let bytes = encrypted(&["a.txt", "b.txt"], aes, password);
        let report = look_with(bytes.clone(), &Limits::default(), &["wrong", password, "other"]);
        let both = [("a.txt".to_owned(), 180), ("b.txt".to_owned(), 180)];
        assert_eq!(sizes(&report), both, "aes {aes} {password}");
        assert!(members(&report).iter().all(|part| part.opened_by_password == Some(true)));
        assert_eq!(report.findings, []);
        let report = look_with(bytes, &Limits::default(), &["wrong"]);
        assert_eq!(evidence(&report, "archive-encrypted"), ["a.txt, b.txt"], "aes {aes}");
        assert_eq!(members(&report).len(), 0);
        assert_eq!(report.parts[0].closed, ["a.txt", "b.txt"], "rules about names see them all the same");
    }
}

#[test]
fn names_of_what_stays_closed_tell_of_programs() {
    let level = |name: &str| judge(&look(encrypted(&[name], true, "nobody tells it"))).level;
    for name in ["請求書.lnk", "a/invoice.pdf.js", "setup.EXE"] {
        assert_eq!(level(name), Level::Suspicious, "{name}");
    }
    for name in ["請求書.docx", "example.com", "a.xlsm"] {
        assert_eq!(level(name), Level::Clean, "{name}");
    }
}

#[test]
fn an_encrypted_archive_without_directory_opens_as_well() {
    for aes in [false, true] {
        let bytes = encrypted(&["a.txt"], aes, "infected");
        let directory = bytes.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
        let report = look_with(bytes[..directory].to_vec(), &Limits::default(), &["infected"]);
        assert_eq!(sizes(&report), [("a.txt".to_owned(), 180)], "aes {aes}");
    }
}

#[test]
fn a_wrong_password_that_passes_the_check_octet_opens_nothing() {
    let wrong: Vec<String> = (0..64).map(|n| format!("wrong{n}")).collect();
    let wrong: Vec<&str> = wrong.iter().map(String::as_str).collect();
    for n in 0..20 {
        let report = look_with(encrypted(&["a"], false, &format!("right{n}")), &Limits::default(), &wrong);
        assert_eq!(evidence(&report, "archive-encrypted"), ["a"]);
    }
}

/// A mail of a text in `charset` with an attached archive; the text stands before or behind it.
pub fn mail(text: &str, charset: &'static encoding_rs::Encoding, archive: &[u8], text_first: bool) -> Vec<u8> {
    let label = charset.name();
    let text = charset.encode(text).0;
    let text = [format!("Content-Type: text/plain; charset={label}\r\n\r\n").as_bytes(), &text, b"\r\n"].concat();
    let archive = format!(
        "Content-Type: application/zip; name=\"=?ISO-2022-JP?B?GyRCOiM3bhsoQi56aXA=?=\"\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{}\r\n",
        data_encoding::BASE64.encode(archive)
    );
    let (first, second) = if text_first { (text, archive.into_bytes()) } else { (archive.into_bytes(), text) };
    let head = b"From: a@example.com\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n";
    [head, first.as_slice(), b"--b\r\n", &second, b"--b--\r\n"].concat()
}

fn look_at_mail(bytes: Vec<u8>) -> Report {
    scan(Input::message(bytes), &Limits::default(), &Knowledge::default(), &Stop::default())
}

#[test]
fn a_password_told_in_a_japanese_mail_opens_its_archive() {
    let texts = [
        ("添付ファイルのパスワードは「sakura22」です。", "sakura22"),
        (
            "お世話になっております。\r\n\r\n解凍パスワード：Xy7-9kq!\r\n\r\n以上、よろしくお願いいたします。",
            "Xy7-9kq!",
        ),
        ("ＺＩＰのＰＷは下記のとおりです。\r\n\r\n  20221122\r\n", "20221122"),
    ];
    let charsets = [encoding_rs::ISO_2022_JP, encoding_rs::SHIFT_JIS, encoding_rs::EUC_JP, encoding_rs::UTF_8];
    for (text, password) in texts {
        for charset in charsets {
            for (aes, text_first) in [(false, true), (true, true), (true, false)] {
                let report = look_at_mail(mail(text, charset, &encrypted(&["請求書.txt"], aes, password), text_first));
                let what = format!("{text} {} aes {aes} first {text_first}", charset.name());
                let [member] = members(&report)[..] else { panic!("{what}: {report:?}") };
                assert_eq!((member.names[0].as_str(), member.opened_by_password), ("請求書.txt", Some(true)), "{what}");
                assert_eq!(report.findings.iter().filter(|f| f.id.reason.is_some()).count(), 0, "{what}");
                let archive = report.parts.iter().find(|part| part.names == ["今月.zip"]);
                assert!(archive.is_some_and(|part| part.name_raw.is_none()), "{what}");
            }
        }
    }
}

#[test]
fn a_password_that_was_told_and_opens_nothing_is_another_finding_than_none() {
    let archive = encrypted(&["a.txt"], true, "right");
    let told = look_at_mail(mail("解凍パスワード：wrong123", encoding_rs::ISO_2022_JP, &archive, false));
    assert_eq!(evidence(&told, "archive-encrypted-told"), ["a.txt"]);
    assert_eq!(evidence(&told, "archive-encrypted"), [""; 0]);
    let silent = look_at_mail(mail("資料をお送りします。", encoding_rs::ISO_2022_JP, &archive, true));
    assert_eq!(evidence(&silent, "archive-encrypted"), ["a.txt"]);
}

/// `inner` as an attached message, base64 where mail forbids it (RFC 2046 5.2.1) and readers do not mind.
fn forwarded(inner: &[u8], encoded: bool) -> Vec<u8> {
    let (encoding, body) =
        if encoded { ("base64", data_encoding::BASE64.encode(inner).into_bytes()) } else { ("8bit", inner.to_vec()) };
    let head = format!(
        "Received: x\r\nFrom: a@example.com\r\nMIME-Version: 1.0\r\nContent-Type: message/rfc822\r\n\
         Content-Transfer-Encoding: {encoding}\r\n\r\n"
    );
    [head.as_bytes(), &body].concat()
}

#[test]
fn macros_are_found_however_deep_and_whatever_they_are_called() {
    use crate::common::office::{ModuleKind, vba_project};
    let code = "Sub AutoOpen()\nShell \"calc.exe\"\nEnd Sub\n";
    let project = vba_project(&[("ThisDocument", code, ModuleKind::Document)]);
    // No content type says that there are macros, and the project has another name.
    let document = package(WORD, &[("word/theme/theme9.xml", &project)]);
    let wrapped = archive(&[entry("holiday.jpg", &document)], Tail::default());
    let polyglot = [b"GIF89a\x01\0\x01\0\0\0\0;".to_vec(), document.clone()].concat();
    let honest = "資料をお送りします。";
    let labelled = |label: &str, bytes: &[u8]| {
        let mail = mail(honest, encoding_rs::UTF_8, bytes, true);
        let text = String::from_utf8(mail).unwrap();
        text.replace("application/zip; name=\"=?ISO-2022-JP?B?GyRCOiM3bhsoQi56aXA=?=\"", label).into_bytes()
    };
    let cases = [
        ("as text", labelled("text/plain", &document)),
        ("as data with a wrong name", labelled("application/octet-stream; name=a.jpg", &document)),
        ("behind a picture", labelled("image/gif; name=a.gif", &polyglot)),
        ("in an archive", labelled("application/zip; name=a.zip", &wrapped)),
        ("in mails", forwarded(&forwarded(&labelled("text/plain; name=a", &wrapped), false), false)),
        ("in encoded mails", forwarded(&forwarded(&labelled("text/plain; name=a", &wrapped), true), true)),
    ];
    for (what, bytes) in cases {
        let report = look_at_mail(bytes);
        assert!(!evidence(&report, "vba-autoexec").is_empty(), "{what}: {:?}", report.findings);
        assert!(!evidence(&report, "vba-run-program").is_empty(), "{what}");
    }
}

#[test]
fn one_thing_is_not_buried_under_many_of_another() {
    let odd = (0..500).map(|n| Entry { method: Some(6), stored: true, ..entry(&format!("{n}.txt"), b"x") });
    let report =
        look(archive(&odd.chain([entry("a.ace", b"1234567**ACE**\x14\x14\x02")]).collect::<Vec<_>>(), Tail::default()));
    let said = evidence(&report, "container-unsupported");
    assert_eq!(said.len(), 26);
    assert!(said.contains(&"ace"), "{said:?}");
}

#[test]
fn a_scan_that_is_told_to_stop_says_that_it_did_not_end() {
    let stop = Stop::default();
    stop.stop();
    let report = scan(Input::file(honest_archive(), "x"), &Limits::default(), &Knowledge::default(), &stop);
    assert_eq!(evidence(&report, "scan-fault"), ["max_scan_time"]);
}

const WORD: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml";
const WORD_MACROS: &str = "application/vnd.ms-word.document.macroEnabled.main+xml";

fn package(main: &str, members: &[(&str, &[u8])]) -> Vec<u8> {
    let types = format!("<?xml version=\"1.0\"?><Types><Override PartName=\"/x.xml\" ContentType=\"{main}\"/></Types>");
    let mut entries = vec![entry("[Content_Types].xml", types.as_bytes()), entry("_rels/.rels", b"<Relationships/>")];
    entries.extend(members.iter().map(|(name, data)| entry(name, data)));
    archive(&entries, Tail::default())
}

const CFB: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 and nothing more";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

#[test]
fn a_plain_document_has_no_children() {
    let report = look(package(WORD, &[("word/document.xml", b"<w:t>Dear all</w:t>"), ("word/media/image1.png", PNG)]));
    assert_eq!(report.parts.len(), 1);
    assert_eq!(report.parts[0].types[0].name(), "ooxml-docx");
    assert_eq!((report.findings, report.asks), (vec![], vec![]));
}

#[test]
fn what_can_hurt_is_taken_out_under_any_name() {
    let inner = package(WORD, &[("word/document.xml", b"<w:t>inner</w:t>")]);
    let hurtful: [(&str, &[u8]); 6] = [
        ("word/theme/colours.dat", CFB),
        ("word/embeddings/sheet.xlsx", &inner),
        ("word/embeddings/data.bin", b"\x01\x02\x03"),
        ("word/media/note.rtf", b"{\\rtf1 hello}"),
        ("word/run.js", b"var x = 1"),
        ("word/tool.dat", b"\x7fELF\x02"),
    ];
    let harmless: [(&str, &[u8]); 3] = [
        ("word/document.xml", b"<w:t>Dear all</w:t>"),
        ("word/fonts/font1.odttf", b"\x01\x02\x03\xff"),
        ("docProps/thumbnail.jpeg", b"\xff\xd8\xff\xe0"),
    ];
    let report = look(package(WORD_MACROS, &[&harmless[..], &hurtful[..]].concat()));
    let document: PartPath = "1".parse().unwrap();
    let (package, children) = report.parts.split_first().unwrap();
    let names: Vec<&str> = children.iter().map(|part| part.names[0].as_str()).collect();
    assert_eq!(names, hurtful.map(|(name, _)| name));
    assert!(children.iter().all(|part| part.origin == Origin::Embedded && part.document == document));
    assert_eq!((package.types[0].name(), children[1].types[0].name()), ("ooxml-docm", "ooxml-docx"));
}

#[test]
fn the_largest_pictures_beside_macros_are_to_be_read() {
    use sha2::Digest;
    let bitmap = |side: u8| {
        let mut bmp = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
        bmp.extend([side, 0, 0, 0, side, 0, 0, 0, 1, 0, 24, 0]);
        bmp.resize(54 + usize::from(side) * usize::from(side) * 3, 7);
        bmp[30..54].fill(0);
        bmp
    };
    let (small, large) = (bitmap(40), bitmap(80));
    let pictures: [(&str, &[u8]); 2] = [("word/media/image1.bmp", &small), ("word/media/image2.bmp", &large)];
    let project = office::vba_project(&[("Start", "Sub Button()\nEnd Sub\n", office::ModuleKind::Standard)]);
    let active = [pictures[0], pictures[1], ("word/vbaProject.bin", &project)];
    let report = look(package(WORD_MACROS, &active));
    let hashes: Vec<&str> = report.asks.iter().map(|Ask::ReadPicture { sha256, .. }| sha256.as_str()).collect();
    assert_eq!(hashes, [&large, &small].map(|octets| data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(octets))));
    assert!(
        report
            .enclosures
            .iter()
            .all(|octets| octets.starts_with(b"P5\n160 160\n") || octets.starts_with(b"P5\n80 80\n"))
    );
    assert_eq!(look(package(WORD, &pictures)).asks, []);
    let unread = scan(
        Input::file(package(WORD_MACROS, &active), "x.zip"),
        &Limits::default(),
        &Knowledge::default(),
        &Stop::default(),
    );
    assert_eq!(unread.asks, [], "nobody would read it");
}

#[test]
fn lures_are_found_in_every_place_for_text() {
    let places: &[(&str, &str)] = &[
        (
            "word/document.xml",
            "<w:r><w:t>Ena</w:t></w:r><w:r><w:t xml:space=\"preserve\">ble </w:t></w:r><w:t>Content</w:t>",
        ),
        ("word/header1.xml", "<w:t>ENABLE&#32;CONTENT</w:t>"),
        ("word/footnotes.xml", "<w:t>コンテンツの</w:t><w:t>有効化</w:t>"),
        ("word/drawing.xml", "<a:t>Enable Editing</a:t>"),
        ("word/vmlDrawing1.vml", "<v:shape><v:textpath style=\"x\" string=\"Enable Content\"/></v:shape>"),
        ("word/document.xml", "<wp:docPr id=\"1\" descr=\"Click Enable Content\"/>"),
        ("xl/sharedStrings.xml", "<sst><si><t>Inhalt aktivieren</t></si></sst>"),
        ("xl/worksheets/sheet1.xml", "<c t=\"inlineStr\"><is><t>Enable Content</t></is></c>"),
        ("word/comments.xml", "<w:t>Enable Content<w:t></broken"),
    ];
    for (name, xml) in places {
        let report = look(package(WORD, &[(name, xml.as_bytes())]));
        assert_eq!(evidence(&report, "lure-enable-content").len(), 1, "{name} {xml}");
        assert_eq!(report.findings[0].part.to_string(), "1");
    }
}

#[test]
fn a_false_encryption_flag_does_not_take_a_package_apart() {
    let types = format!("<Types><Override ContentType='{WORD_MACROS}'/></Types>");
    let vba = Entry { flags: 1, ..entry("word/vbaProject.bin", CFB) };
    let bytes = archive(&[entry("[Content_Types].xml", types.as_bytes()), vba], Tail::default());
    let report = look(bytes);
    assert_eq!(evidence(&report, "zip-views-differ"), ["word/vbaProject.bin: marked as encrypted, but is not"]);
    assert_eq!((report.parts.len(), report.parts[1].origin), (2, Origin::Embedded));
}

#[test]
fn a_locked_package_is_an_archive_to_be_unlocked() {
    let bytes = encrypted(&["[Content_Types].xml", "word/document.xml"], false, "infected");
    assert_eq!(members(&look_with(bytes.clone(), &Limits::default(), &["infected"])).len(), 2);
    let expected = ["[Content_Types].xml, word/document.xml"];
    assert_eq!(evidence(&look(bytes), "archive-encrypted"), expected);
}

#[test]
fn content_types_are_read_from_broken_xml() {
    let broken = format!("<Types><Override></Types><Override ContentType='{WORD_MACROS}'");
    let bytes = archive(&[entry("[content_types].XML", broken.as_bytes())], Tail::default());
    assert_eq!(look(bytes).parts[0].types[0].name(), "ooxml-docm");
}

#[test]
fn any_cut_or_changed_octet_is_survived() {
    let samples = [
        honest_archive(),
        package(WORD_MACROS, &[("word/vbaProject.bin", CFB), ("word/document.xml", b"<w:t>Enable Content</w:t>")]),
        encrypted(&["a"], true, "x"),
    ];
    let limits = Limits { max_file_size: 1 << 20, max_scan_size: 4 << 20, ..Limits::default() };
    let mut random = fastrand::Rng::with_seed(7);
    for sample in samples {
        for end in 0..sample.len() {
            let report = look_with(sample[..end].to_vec(), &limits, &["x"]);
            assert_eq!(evidence(&report, "scan-fault"), [""; 0], "cut at {end}");
        }
        for _ in 0..3000 {
            let mut changed = sample.clone();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..changed.len());
                changed[at] = random.u8(..);
            }
            let report = look_with(changed, &limits, &["x"]);
            assert_eq!(evidence(&report, "scan-fault"), [""; 0]);
        }
    }
}
