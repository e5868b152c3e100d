//! Links, actions and controls: told by what they start or load, and left in peace where honest documents have them.

use crate::common::archives;
use crate::common::carriers::{package, presentation};
use crate::common::objects::{
    BUTTON, FLASH, LIST, controls, film, linked, list_state, old_slide, slide, sprayed, stored,
};
use crate::common::office::{Compound, ModuleKind, doc, doc_with_macros, vba_project, with_class};
use crate::common::ooxml::{Member, zip};
use crate::common::ovba::utf16;
use sekisho::knowledge::Knowledge;
use sekisho::limits::Limits;
use sekisho::scan::{Input, Report, Stop, scan};
use sekisho::verdict::{Level, judge};

fn report(name: &str, bytes: Vec<u8>) -> Report {
    scan(Input::file(bytes, name), &Limits::default(), &Knowledge::default(), &Stop::default())
}

fn ids(report: &Report) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.id.as_str()).collect()
}

#[track_caller]
fn check(name: &str, bytes: Vec<u8>, expected: &[&str], level: Level) {
    let report = report(name, bytes);
    let verdict = judge(&report);
    assert_eq!((ids(&report).as_slice(), verdict.level), (expected, level), "{report:#?}");
    assert!(verdict.complete);
}

// Links -----------------------------------------------------------------------------------------

#[test]
fn every_kind_of_link_in_a_package_is_judged_by_its_address() {
    const ODD: &str = "http://203.0.113.7/a";
    const UNC: &str = "file://203.0.113.7/share/a";
    const NAMED: &str = "https://firm.example/a.dotx";
    for (kind, target, expected, level) in [
        ("attachedTemplate", ODD, &["remote-template", "odd-address"][..], Level::Malicious),
        ("attachedTemplate", UNC, &["remote-template", "odd-address"], Level::Malicious),
        ("attachedTemplate", NAMED, &["remote-template"], Level::Suspicious),
        ("attachedTemplate", "http://firm.example@80/a.dot", &["remote-template", "odd-address"], Level::Malicious),
        ("oleObject", ODD, &["remote-object", "odd-address"], Level::Malicious),
        (
            "oleObject",
            "mhtml:http://firm.example/a!x-usc:http://firm.example/a",
            &["remote-object", "odd-address"],
            Level::Malicious,
        ),
        ("oleObject", "https://firm.example/a.html!", &["remote-object", "odd-address"], Level::Malicious),
        ("oleObject", "ms-msdt:/id x", &["remote-object", "odd-address"], Level::Malicious),
        ("frame", NAMED, &["remote-object"], Level::Malicious),
        ("frame", UNC, &["remote-object", "odd-address"], Level::Malicious),
        ("subDocument", ODD, &["remote-object", "odd-address"], Level::Malicious),
        ("aFChunk", NAMED, &["remote-object"], Level::Malicious),
        ("hyperlink", "ms-msdt:/id PCWDiagnostic", &["link-program"], Level::Suspicious),
        (
            "hyperlink",
            "search-ms:query=a&amp;crumb=location:\\\\203.0.113.7@80\\a",
            &["link-program"],
            Level::Suspicious,
        ),
        ("hyperlink", "file:///\\\\203.0.113.7\\a\\b.lnk", &["link-program"], Level::Suspicious),
        ("image", UNC, &["linked-content", "odd-address"], Level::Clean),
        ("externalLinkPath", ODD, &["linked-content", "odd-address"], Level::Clean),
    ] {
        check("a.docx", linked(kind, target), expected, level);
    }
}

#[test]
fn links_that_firms_have_are_left_in_peace() {
    for (kind, target) in [
        ("attachedTemplate", "file:///C:\\Users\\a\\Letter.dotm"),
        ("attachedTemplate", "Letter.dotx"),
        ("oleObject", "file:///C:\\figures.xlsx"),
        ("frame", "menu.htm"),
        ("subDocument", "chapter2.docx"),
        ("hyperlink", "https://firm.example/"),
        ("hyperlink", "http://203.0.113.7/"),
        ("hyperlink", "mailto:a@firm.example"),
        ("hyperlink", "javascript:void(0)"),
        ("hyperlink", "file:///\\\\server\\share\\setup.exe"),
        ("hyperlink", "ms-word:ofe|u|https://firm.sharepoint.com/a.docx"),
        ("image", "https://firm.example/logo.png"),
        ("image", "http://203.0.113.7/logo.png"),
        ("image", "file:///\\\\server\\share\\logo.png"),
        ("externalLinkPath", "file:///\\\\server\\share\\prices.xlsx"),
        ("externalLinkPath", "https://firm.sharepoint.com/prices.xlsx"),
    ] {
        check("a.docx", linked(kind, target), &[], Level::Clean);
    }
    for target in
        ["file:///\\\\server\\share\\Letter.dotx", "http://intranet/Letter.dotx", "https://10.0.0.8/Letter.dotx"]
    {
        check("a.docx", linked("attachedTemplate", target), &["linked-content"], Level::Clean);
    }
}

#[test]
fn links_in_rich_text_and_fields_are_judged_alike() {
    let rich = |target: &str| {
        format!("{{\\rtf1{{\\field{{\\*\\fldinst HYPERLINK \"{target}\"}}{{\\fldrslt here}}}}}}").into_bytes()
    };
    check("a.rtf", rich("ms-msdt:/id x"), &["link-program"], Level::Suspicious);
    check("a.rtf", rich("https://firm.example/"), &[], Level::Clean);
    let field =
        "<w:document><w:fldSimple w:instr=\"HYPERLINK &quot;ms-officecmd:{}&quot; \\o &quot;tip&quot;\"/></w:document>";
    let bytes = package("x", &[("word/document.xml", field.as_bytes())]);
    check("a.docx", bytes, &["link-program"], Level::Suspicious);
}

#[test]
fn links_of_old_workbooks_are_judged_alike() {
    let book = |target: &str| {
        let moniker = stored("{79EAC9E0-BAF9-11CE-8C82-00AA004BA90B}");
        let address = utf16(&format!("{target}\0"));
        let data = [&[0; 32][..], &moniker, &(address.len() as u32).to_le_bytes(), &address].concat();
        let record = [&0x01B8_u16.to_le_bytes()[..], &(data.len() as u16).to_le_bytes(), &data].concat();
        Compound::new().stream("/Workbook", &record).finish()
    };
    check("a.xls", book("ms-msdt:/id x"), &["link-program"], Level::Suspicious);
    check("a.xls", book("https://firm.example/a.xls"), &[], Level::Clean);
}

// Actions ---------------------------------------------------------------------------------------

#[test]
fn what_a_slide_starts_is_told_in_both_formats() {
    let command = "powershell%20-NoP%20-c%20calc";
    check("a.ppsx", slide("hlinkMouseOver", "ppaction://program", command), &["action-command"], Level::Malicious);
    check("a.pptx", slide("hlinkClick", "ppaction://program", "notepad.exe"), &["link-program"], Level::Suspicious);
    check("a.pptm", slide("hlinkHover", "ppaction://macro?name=Go", ""), &["action-hover"], Level::Active);
    check("a.pptx", slide("hlinkClick", "ppaction://hlinksldjump", "slide2.xml"), &[], Level::Clean);

    check("a.pps", old_slide(2, "powershell -c calc", "", false), &["action-command"], Level::Malicious);
    check("a.pps", old_slide(2, "notepad.exe", "", true), &["action-command"], Level::Malicious);
    check("a.pps", old_slide(2, "", "notepad.exe", false), &["link-program"], Level::Suspicious);
    check("a.ppt", old_slide(4, "", "C:\\x\\setup.exe", false), &["link-program"], Level::Suspicious);
    check("a.ppt", old_slide(4, "", "ms-msdt:/id x", false), &["link-program"], Level::Suspicious);
    check("a.ppt", old_slide(1, "Go", "", true), &["action-hover"], Level::Active);
    check("a.ppt", old_slide(5, "", "", true), &["action-hover"], Level::Active);
    for (verb, name, target, is_hover) in [
        (0, "", "", true),
        (1, "Next", "", false),
        (3, "", "", true),
        (4, "", "https://firm.example/tool.exe", true),
        (4, "", "report.xlsx", false),
        (5, "", "", false),
        (6, "", "", true),
        (2, "", "", false),
    ] {
        check("a.ppt", old_slide(verb, name, target, is_hover), &[], Level::Clean);
    }
}

#[test]
fn a_command_of_a_slide_is_an_indicator() {
    let report = report("a.ppsx", slide("hlinkClick", "ppaction://program", "file:///C:%5Ca%5Cb.exe"));
    assert_eq!(report.indicators.iter().map(|i| i.value.as_str()).collect::<Vec<_>>(), ["C:\\a\\b.exe"]);
}

// Controls --------------------------------------------------------------------------------------

#[test]
fn controls_are_told_by_their_class_and_state() {
    let button = [&stored(BUTTON)[..], b"\0\x02\x20\0Caption OK"].concat();
    check("a.docx", controls(&[(BUTTON, &button)]), &[], Level::Clean);
    check("a.docx", controls(&[(LIST, &list_state(8))]), &[], Level::Clean);
    check("a.docx", controls(&[(LIST, &list_state(0x8282))]), &["object-exploit"], Level::Malicious);
    // WScript.Shell is no control.
    let shell = "{72C24DD5-D70A-438B-8A42-98424B88AFB8}";
    check("a.docx", controls(&[(shell, b"")]), &["object-exploit"], Level::Malicious);
    check("a.docx", controls(&[(BUTTON, &stored(shell))]), &["object-exploit"], Level::Malicious);

    let state = [&stored(FLASH)[..], b"fUfU\x18\0\0\0", &film()].concat();
    let report = report("a.docx", controls(&[(FLASH, &state)]));
    assert_eq!(ids(&report), ["active-control"], "{report:#?}");
    assert_eq!(judge(&report).level, Level::Active);
    let film = report.parts.iter().find(|part| part.types.iter().any(|t| t.name() == "swf"));
    assert_eq!(film.map(|part| part.size), Some(24), "{report:#?}");
}

#[test]
fn many_controls_that_fill_the_memory_are_told() {
    check("a.docx", sprayed(40, &vec![9; 100_000]), &["object-exploit"], Level::Malicious);
    check("a.docx", sprayed(40, &vec![9; 1000]), &[], Level::Clean);
    check("a.docx", sprayed(5, &vec![9; 100_000]), &[], Level::Clean);
}

#[test]
fn controls_are_told_in_compound_files() {
    let film = [b"fUfU\x18\0\0\0", film().as_slice()].concat();
    let file = Compound::new().stream("/WordDocument", &[0; 64]).stream("/ObjectPool/_1/contents", &film);
    let report_of = report("a.doc", with_class(file.finish(), "_1", &stored(FLASH)));
    assert!(ids(&report_of).contains(&"active-control"), "{report_of:#?}");
    assert!(report_of.parts.iter().any(|part| part.types.iter().any(|t| t.name() == "swf")), "{report_of:#?}");

    let button = Compound::new().stream("/WordDocument", &[0; 64]).stream("/ObjectPool/_1/\u{3}OCXNAME", b"B\0");
    let report_of = report("a.doc", with_class(button.finish(), "_1", &stored(BUTTON)));
    assert!(!ids(&report_of).iter().any(|id| ["active-control", "object-exploit"].contains(id)), "{report_of:#?}");

    // An object of a sheet names its class.
    let object = |name: &[u8]| {
        let data = [&[0x15, 0, 0x12, 0][..], &[0; 18], b"\x09\0\x1c\0", name].concat();
        let record = [&0x5D_u16.to_le_bytes()[..], &(data.len() as u16).to_le_bytes(), &data].concat();
        Compound::new().stream("/Workbook", &record).finish()
    };
    assert!(ids(&report("a.xls", object(b"ShockwaveFlash.ShockwaveFlash.1"))).contains(&"active-control"));
    assert!(ids(&report("a.xls", object(b"htafile"))).contains(&"object-exploit"));
    assert_eq!(ids(&report("a.xls", object(b"Forms.CommandButton.1"))), Vec::<&str>::new());
}

#[test]
fn controls_are_told_in_rich_text() {
    let object = |class: &str, data: &[u8]| {
        let mut stored = [1_u32.to_le_bytes(), 2_u32.to_le_bytes()].concat();
        stored.extend((class.len() as u32 + 1).to_le_bytes());
        stored.extend([class.as_bytes(), &[0], &[0; 8], &(data.len() as u32).to_le_bytes(), data].concat());
        let digits = data_encoding::HEXLOWER.encode(&stored);
        format!("{{\\rtf1{{\\object\\objocx{{\\*\\objclass {class}}}{{\\*\\objdata {digits}}}}}}}").into_bytes()
    };
    let flash = report("a.rtf", object("ShockwaveFlash.ShockwaveFlash.10", &[7; 40]));
    assert!(ids(&flash).contains(&"active-control"), "{flash:#?}");
    let button = report("a.rtf", object("Forms.CommandButton.1", &[7; 40]));
    assert_eq!(ids(&button), Vec::<&str>::new());
}

#[test]
fn films_are_programs_when_attached() {
    check("a.swf", film(), &["carrier-program"], Level::Suspicious);
    check("a.bin", [b"CWS\x0a\0\x10\0\0\x78\x9c", &[7; 40][..]].concat(), &["carrier-program"], Level::Suspicious);
    check("a.txt", b"FWS is short for something.".to_vec(), &[], Level::Clean);
}

// Files of Excel and OneNote ------------------------------------------------------------------------

#[test]
fn web_queries_are_judged_by_their_address() {
    let query = |target: &str| format!("WEB\r\n1\r\n{target}\r\n\r\n").into_bytes();
    check(
        "a.iqy",
        query("http://203.0.113.7/a"),
        &["remote-object", "odd-address", "carrier-script"],
        Level::Malicious,
    );
    check("a.iqy", query("https://firm.example/a"), &["linked-content", "carrier-script"], Level::Suspicious);
    check("a.iqy", query("https://firm.sharepoint.com/a"), &["carrier-script"], Level::Suspicious);
    check("a.txt", query("http://203.0.113.7/a"), &[], Level::Clean);
    check("a.dqy", b"XLODBC\r\n1\r\nDSN=a\r\n".to_vec(), &["carrier-script"], Level::Suspicious);
}

#[test]
fn add_ins_of_office_are_programs_or_documents_by_their_content() {
    for name in ["a.xll", "a.wll"] {
        check(name, b"not a library".to_vec(), &["carrier-program"], Level::Suspicious);
    }
    let code = "Sub Auto_Open()\r\nShell \"cmd /c calc\"\r\nEnd Sub\r\n";
    let project = vba_project(&[("Module1", code, ModuleKind::Standard)]);
    let main = "application/vnd.ms-powerpoint.addin.macroEnabled.main+xml";
    let report = report("a.ppam", package(main, &[("ppt/vbaProject.bin", &project)]));
    assert!(ids(&report).contains(&"vba-autoexec"), "{report:#?}");
    assert!(report.parts[0].types.iter().any(|t| t.name() == "ooxml-ppam"));
    assert_eq!(judge(&report).level, Level::Malicious);
    let old = presentation("Hello", Some(&project));
    assert!(ids(&self::report("a.ppa", old)).contains(&"vba-autoexec"));
}

#[test]
fn packages_of_onenote_are_cabinets_with_sections() {
    const MAGIC: &[u8] = b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3";
    const HEADER: &[u8] = b"\xe7\x16\xe3\xbd\x65\x26\x11\x45\xa4\xc4\x8d\x4d\x0b\x7a\x9e\xac";
    let section = |file: &[u8]| {
        let size = (file.len() as u64).to_le_bytes();
        [MAGIC, &[0; 1008], HEADER, &size, &[0; 12], file, &[0; 7]].concat()
    };
    for is_packed in [false, true] {
        let package = |file: &[u8]| archives::cab("Notes.one", &section(file), is_packed);
        let report = report("Notes.onepkg", package(b"@echo off\r\ncalc"));
        assert_eq!(report.parts[0].types[0].name(), "cab");
        assert!(report.parts.iter().any(|part| part.types[0].name() == "onenote" && part.names == ["Notes.one"]));
        assert!(ids(&report).contains(&"onenote-program"), "{report:#?}");
        check("Notes.onepkg", package(b"%PDF-1.7\n"), &[], Level::Clean);
    }
}

// Files that are several things -----------------------------------------------------------------

#[test]
fn a_file_that_is_several_things_is_each_of_them() {
    const CODE: &str = "Sub Document_Open()\r\nShell \"cmd /c calc\"\r\nEnd Sub\r\n";
    let bad = doc_with_macros("Hello", &[("ThisDocument", CODE, ModuleKind::Document)]);
    let bad_zip = zip(&[Member { name: "a.doc", bytes: bad.clone() }]);
    let good_zip = zip(&[Member { name: "a.txt", bytes: b"Hello".to_vec() }]);
    let (good, pdf, picture) = (doc("Hello"), b"%PDF-1.7\n%%EOF\n".to_vec(), b"GIF89a\x01\0\x01\0\0\0\0;".to_vec());
    for (what, pieces) in [
        ("a document behind an archive", [&good_zip, &bad]),
        ("an archive behind a document", [&good, &bad_zip]),
        ("a document behind a PDF", [&pdf, &bad]),
        ("an archive behind a PDF", [&pdf, &bad_zip]),
        ("an archive behind a picture", [&picture, &bad_zip]),
        ("a document behind a picture", [&picture, &bad]),
        ("a document before an archive", [&bad, &good_zip]),
        ("an archive before a document", [&bad_zip, &good]),
    ] {
        for name in ["a.doc", "a.zip", "a.gif", "a.pdf"] {
            let report = report(name, pieces.map(Vec::as_slice).concat());
            assert!(ids(&report).contains(&"vba-autoexec"), "{what} {name} {report:#?}");
            assert_eq!(judge(&report).level, Level::Malicious, "{what} {name}");
        }
    }
}

// Bounds ----------------------------------------------------------------------------------------

/// Eight million octets of whatever the readers look for take no more time than others, and stay within a limit.
#[test]
fn rows_of_links_actions_and_controls_cost_linear_time() {
    const SIZE: usize = 8 << 20;
    let row = |piece: &str| piece.repeat(SIZE / piece.len()).into_bytes();
    let start = std::time::Instant::now();
    for (name, piece) in [
        ("ppt/slides/slide1.xml", "<a:hlinkHover r:id='r' action='ppaction://macro?name=a'/>"),
        (
            "ppt/slides/_rels/slide1.xml.rels",
            "<Relationship Id='r' Type='x/hyperlink' Target='a' TargetMode='External'/>",
        ),
        (
            "word/_rels/a.xml.rels",
            "<Relationship Type='x/hyperlink' Target='search-ms:a\\\\\\\\' TargetMode='External'/>",
        ),
        ("word/activeX/activeX1.xml", "<ax:ocx ax:classid='{D27CDB6E-AE6D-11CF-96B8-444553540000}'/>"),
        ("word/activeX/_rels/a.xml.rels", "<Relationship Type='x/activeXControlBinary' Target='a'/>"),
    ] {
        report("a.pptx", package("x", &[(name, &row(piece))]));
    }
    let films = [&stored(FLASH)[..], &b"CWS\x0a\0\0\0\x0f\x78".repeat(SIZE / 9)].concat();
    let report_of = report("a.docx", package("x", &[("word/activeX/activeX1.bin", &films)]));
    assert!(report_of.parts.len() <= 6 && ids(&report_of).contains(&"limit-exceeded"), "{}", report_of.parts.len());
    for piece in [&b"\x0f\0\xf2\x0f\0\0\0\0"[..], b"\0\0\xf3\x0f\0\0\0\0", b"\0\0\xd3\x0f\x04\0\0\0abcd"] {
        report("a.ppt", Compound::new().stream("/PowerPoint Document", &piece.repeat(SIZE / piece.len())).finish());
    }
    for piece in [&b"\x5d\0\x04\0abcd"[..], b"\x09\0\x04\0\x02\0\x40\0", b"\x18\0\x05\0\0\0\0\x01\0"] {
        report("a.xls", [b"\x09\0\x04\0\x02\0\x40\0", piece].concat().repeat(SIZE / 16));
    }
    report("a.iqy", row("http://203.0.113.7/\n"));
    report("a.xls", [b"<html>".to_vec(), row("<td>=a|'b'!c</td>")].concat());
    let time = start.elapsed();
    assert!(time < std::time::Duration::from_secs(60), "{time:?}");
}
