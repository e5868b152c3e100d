//! Macros are found in every carrier, in the part where they are, and honest files of the kind are
//! left in peace; and the text that documents show is read wherever it stands.

use crate::common::carriers::{
    active_mime, binary_strings, flat_package, metafile, package, presentation, web_archive, word_2003,
};
use crate::common::office::{Compound, Module, ModuleKind, doc, doc_with_macros, vba_project};
use crate::common::ovba::utf16;
use sekisho::knowledge::Knowledge;
use sekisho::limits::Limits;
use sekisho::scan::{Input, Report, Stop, scan};
use sekisho::verdict::{Level, judge};

const START: Module<'_> =
    ("ThisDocument", "Sub Document_Open()\nShell \"cmd /c dir\"\nEnd Sub\n", ModuleKind::Document);
const HONEST: Module<'_> = ("Module1", "Sub Hello()\nMsgBox \"Hello\"\nEnd Sub\n", ModuleKind::Standard);
const REQUEST: &str = "This document is protected. Enable Content";

fn report_under(limits: &Limits, name: &str, bytes: Vec<u8>) -> Report {
    scan(Input::file(bytes, name), limits, &Knowledge::default(), &Stop::default())
}

fn report(name: &str, bytes: Vec<u8>) -> Report {
    report_under(&Limits::default(), name, bytes)
}

fn ids(report: &Report) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.id.as_str()).collect()
}

/// The macro is found in the part at `path`, and starts by itself.
#[track_caller]
fn found(path: &str, name: &str, bytes: Vec<u8>) {
    let report = report(name, bytes);
    let event = report.findings.iter().find(|finding| finding.id.as_str() == "vba-autoexec");
    assert_eq!(event.map(|event| event.part.to_string()).as_deref(), Some(path), "{report:#?}");
    assert!(ids(&report).contains(&"vba-run-interpreter"), "{report:#?}");
    assert_eq!(judge(&report).level, Level::Malicious);
}

/// Nothing is held against it, and all of it was read.
#[track_caller]
fn honest(name: &str, bytes: Vec<u8>) {
    let report = report(name, bytes);
    let verdict = judge(&report);
    assert!(verdict.level <= Level::Active && verdict.complete, "{report:#?}");
}

fn project() -> Vec<u8> {
    vba_project(&[START])
}

// Carriers ------------------------------------------------------------------------------------

#[test]
fn presentations_keep_their_project_compressed() {
    found("1/1", "a.ppt", presentation("Hello", Some(&project())));
    honest("a.ppt", presentation("Hello", None));
    honest("a.ppt", presentation("Hello", Some(&vba_project(&[HONEST]))));
}

#[test]
fn word_2003_xml_keeps_its_project_in_active_mime() {
    found("1/1/1", "a.xml", word_2003("Hello", Some(&active_mime(&project()))));
    honest("a.xml", word_2003("Hello", None));
    honest("a.xml", word_2003("Hello", Some(&active_mime(&vba_project(&[HONEST])))));
}

#[test]
fn word_2003_xml_is_read_in_any_encoding_and_under_any_name() {
    let document = word_2003("Hello", Some(&active_mime(&project())));
    let text = String::from_utf8(document).unwrap();
    found("1/1/1", "a.doc", [&[0xff, 0xfe][..], &utf16(&text)].concat());
    let comment = format!("<!--{}-->", "x".repeat(10_000));
    let late = text.replacen("<?mso-application", &format!("{comment}<?mso-application"), 1);
    found("1/1/1", "a.doc", late.into_bytes());
    // An element that is never closed, and references in the Base64.
    let broken = text.replace("</w:binData>", "").replace("QWN0", "&#81;WN0");
    found("1/1/1", "a.doc", broken.into_bytes());
}

#[test]
fn flat_packages_keep_their_project_under_any_part_name() {
    found("1/1", "a.xml", flat_package("Hello", Some(("/word/vbaProject.bin", &project()))));
    found("1/1", "a.doc", flat_package("Hello", Some(("/x/y.jpg", &project()))));
    honest("a.xml", flat_package("Hello", None));
}

#[test]
fn web_archives_keep_their_project_in_active_mime() {
    // What begins as a message is read as one, whatever its name.
    found("2/1", "a.mht", web_archive("Hello", Some(&active_mime(&project()))));
    found("2/1", "a.doc", web_archive("Hello", Some(&active_mime(&project()))));
    honest("a.mht", web_archive("Hello", None));
}

#[test]
fn web_archives_are_found_behind_a_pdf() {
    let pdf = b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF\n";
    let archive = web_archive("Hello", Some(&active_mime(&project())));
    found("1/2/1", "a.pdf", [&pdf[..], &archive].concat());
    found("1/1/2/1", "a.doc", [&vec![0; 70_000][..], b"\r\n", &archive].concat());
    honest("a.pdf", pdf.to_vec());
}

#[test]
fn active_mime_is_opened_wherever_its_stream_starts() {
    let usual = active_mime(&project());
    found("1/1", "editdata.mso", usual.clone());
    for gap in [1, 100, 0x1F8, 3000] {
        found("1/1", "a.mso", [&usual[..0x32], &vec![0; gap], &usual[0x32..]].concat());
    }
    for broken in [&usual[..0x32], b"ActiveMime"] {
        assert!(ids(&report("a.mso", broken.to_vec())).contains(&"damaged"));
    }
}

#[test]
fn a_bomb_in_active_mime_stops_at_the_limit() {
    let limits = Limits { max_file_size: 1 << 20, ..Limits::default() };
    let report = report_under(&limits, "a.mso", active_mime(&vec![0; 20 << 20]));
    assert!(ids(&report).contains(&"limit-exceeded"), "{report:#?}");
    assert!(report.parts.iter().all(|part| part.size <= 1 << 20));
}

#[test]
fn compound_files_of_any_program_may_have_a_project() {
    for (root, stream) in [("/VBA", "/Quill/QuillSub/CONTENTS"), ("/Macros", "/VisioDocument"), ("/x/y/z", "/Props14")]
    {
        let file = |module| Compound::new().stream(stream, b"x").project(root, &[module]).finish();
        found("1", "a.bin", file(START));
        honest("a.bin", file(HONEST));
    }
}

#[test]
fn packages_of_all_kinds_keep_their_project_under_any_name() {
    let types = [
        "application/vnd.ms-word.template.macroEnabledTemplate.main+xml",
        "application/vnd.ms-excel.addin.macroEnabled.main+xml",
        "application/vnd.ms-powerpoint.slideshow.macroEnabled.main+xml",
        "application/vnd.ms-visio.drawing.macroEnabled.main+xml",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml",
    ];
    for main in types {
        for name in ["word/vbaProject.bin", "a/b.xml", "theme.jpg", "x"] {
            found("1/1", "a.docx", package(main, &[("main.xml", b"<a/>"), (name, &project())]));
        }
        honest("a.docx", package(main, &[("main.xml", b"<a/>")]));
    }
}

#[test]
fn projects_in_embedded_documents_are_found() {
    let inner = doc_with_macros("Hello", &[START]);
    let package = package("x", &[("main.xml", b"<a/>"), ("word/embeddings/a.bin", &inner)]);
    found("1/1", "a.docx", package.clone());
    found("1/1/1", "a.xml", flat_package("Hello", Some(("/word/embeddings/a.docx", &package))));
}

// Damage and disguise ---------------------------------------------------------------------------

#[test]
fn compound_files_are_found_behind_other_octets() {
    let file = doc_with_macros("Hello", &[START]);
    let picture = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0";
    for prefix in [&b"x"[..], b"MZ", picture, b"GIF89a", b"%PDF-1.7\n", &[0; 100_000]] {
        found("1/1", "a.doc", [prefix, &file].concat());
    }
    honest("a.bin", [b"x", &doc("Hello")[..]].concat());
    // Signatures alone, and in numbers, are no files.
    honest("a.bin", b"x\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".repeat(5000));
}

#[test]
fn the_signature_may_be_wrong() {
    let mut file = doc_with_macros("Hello", &[START]);
    file[..8].fill(0);
    found("1", "a.doc", file);
}

#[test]
fn source_is_found_where_no_directory_leads() {
    let sound = doc_with_macros("Hello", &[START]);
    // Every directory entry that names a stream is no longer in use.
    let mut without_streams = sound.clone();
    for slot in without_streams.chunks_exact_mut(128) {
        if slot[66] == 2 && slot[67] <= 1 && slot[1] == 0 && (4..=64).contains(&slot[64]) && slot[65] == 0 {
            slot[66] = 0;
        }
    }
    assert!(without_streams != sound);
    let ids_of = |bytes| ids(&report("a.doc", bytes)).iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    for id in ["vba-macros", "vba-autoexec", "vba-run-interpreter", "damaged"] {
        assert!(ids_of(without_streams.clone()).iter().any(|found| found == id), "{id}");
    }
    // A directory that somebody put in the place of the real one.
    let mut other = doc("Hello");
    other.extend(vba_project(&[START]).split_off(512));
    found("1", "a.doc", other);
}

#[test]
fn padding_does_not_hide_what_stands_before_it() {
    let limits = Limits { max_file_size: 1 << 20, ..Limits::default() };
    let mut file = doc_with_macros("Hello", &[START]);
    file.resize(8 << 20, 0);
    let archive = crate::common::ooxml::zip(&[crate::common::ooxml::Member { name: "a.doc", bytes: file.clone() }]);
    for bytes in [file, archive] {
        let report = report_under(&limits, "a.doc", bytes);
        assert!(ids(&report).contains(&"limit-exceeded"), "{report:#?}");
        assert_eq!(judge(&report).level, Level::Malicious, "{report:#?}");
    }
}

// Text ------------------------------------------------------------------------------------------

#[track_caller]
fn asks(name: &str, bytes: Vec<u8>) {
    let report = report(name, bytes);
    assert!(ids(&report).contains(&"lure-enable-content"), "{report:#?}");
}

#[test]
fn text_is_read_wherever_it_stands_in_a_package() {
    let members = [
        ("word/header1.xml", format!("<w:hdr><w:p><w:r><w:t>{REQUEST}</w:t></w:r></w:p></w:hdr>")),
        ("word/footnotes.xml", "<w:footnotes><w:t>This document is pro</w:t></w:r><w:r><w:t>tected. Enable Con</w:t><w:t>tent</w:t></w:footnotes>".to_owned()),
        ("word/comments.xml", format!("<w:comments><w:t>{REQUEST}</w:t></w:comments>")),
        ("word/document.xml", format!("<w:document><v:textbox><w:txbxContent><w:t>{REQUEST}</w:t></w:txbxContent></v:textbox></w:document>")),
        ("word/document.xml", format!("<w:document><wp:docPr id='1' descr='{REQUEST}'/></w:document>")),
        ("word/document.xml", format!("<w:document><v:shape alt='{REQUEST}'/></w:document>")),
        ("word/document.xml", format!("<w:document><v:textpath string='{REQUEST}'/></w:document>")),
        ("xl/drawings/drawing1.xml", format!("<xdr:wsDr><a:t>{REQUEST}</a:t></xdr:wsDr>")),
        ("xl/charts/chart1.xml", format!("<c:chartSpace><a:t>{REQUEST}</a:t></c:chartSpace>")),
        ("word/diagrams/data1.xml", format!("<dgm:dataModel><a:t>{REQUEST}</a:t></dgm:dataModel>")),
        ("ppt/slides/slide1.xml", format!("<p:sld><a:t>{REQUEST}</a:t></p:sld>")),
        ("xl/sharedStrings.xml", format!("<sst><si><t>{REQUEST}</t></si></sst>")),
        ("xl/worksheets/sheet1.xml", format!("<worksheet><c t=\"inlineStr\"><is><t>{REQUEST}</t></is></c></worksheet>")),
    ];
    for (name, xml) in &members {
        asks("a.docm", package("x", &[(name, xml.as_bytes())]));
    }
}

#[test]
fn text_is_read_in_binary_strings_and_metafiles() {
    asks("a.xlsb", package("x", &[("xl/sharedStrings.bin", &binary_strings(&["Total", REQUEST]))]));
    let pieces = metafile(&["This document is pro", "tected. Enable ", "Content"]);
    asks("a.docm", package("x", &[("word/media/image1.emf", &pieces)]));
}

#[test]
fn text_is_read_in_the_forms_of_one_file() {
    asks("a.xml", word_2003(REQUEST, None));
    asks("a.xml", flat_package(REQUEST, None));
    asks("a.ppt", presentation(REQUEST, None));
}

#[test]
fn a_picture_without_text_is_told_and_decides_nothing() {
    let picture = [b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec(), vec![7; 40_000]].concat();
    let told = |bytes: Vec<u8>| {
        let report = report("a.docm", bytes);
        assert!(judge(&report).level <= Level::Active);
        ids(&report).contains(&"lure-picture-only")
    };
    let macros = vba_project(&[HONEST]);
    let text = format!("<w:t>{}</w:t>", "Some words. ".repeat(100));
    let with = |project: &[u8], picture: &[u8], text: &str| {
        let members = [
            ("word/vbaProject.bin", project),
            ("word/media/image1.png", picture),
            ("word/document.xml", text.as_bytes()),
        ];
        package("x", &members)
    };
    assert!(told(with(&macros, &picture, "<w:t>Hi</w:t>")));
    assert!(!told(with(&macros, &picture, &text)));
    assert!(!told(with(&macros, &picture[..5000], "<w:t>Hi</w:t>")));
    assert!(!told(with(b"", &picture, "<w:t>Hi</w:t>")));
    let file = |text: &str| {
        Compound::new().stream("/Data", &picture).stream("/Workbook", text.as_bytes()).project("/Macros", &[HONEST])
    };
    assert!(told(file("").finish()));
}

// Triggers outside of the code --------------------------------------------------------------------

#[test]
fn calls_that_stand_outside_of_the_code_are_told() {
    let ribbon = "<customUI xmlns='http://schemas.microsoft.com/office/2006/01/customui' onLoad='Start'/>";
    let events = "<wne:vbaSuppData><wne:docEvents><wne:eventDocOpen/></wne:docEvents></wne:vbaSuppData>";
    for (name, xml, evidence) in
        [("customUI/customUI.xml", ribbon, "onLoad=Start"), ("word/vbaData.xml", events, "eventDocOpen")]
    {
        let report = report("a.docm", package("x", &[(name, xml.as_bytes())]));
        let event = report.findings.iter().find(|finding| finding.id.as_str() == "document-event").unwrap();
        assert_eq!((event.location.as_str(), event.evidence.as_str()), (name, evidence));
        assert!(judge(&report).level <= Level::Active);
    }
    honest("a.docm", package("x", &[("customUI/customUI.xml", b"<customUI><ribbon/></customUI>")]));
}
