//! Findings in, level and sentences out.

use sekisho::filetype::FileType;
use sekisho::finding::{self, Finding, FindingId, Reason};
use sekisho::part::{Origin, PartPath};
use sekisho::scan::{PartReport, Report};
use sekisho::verdict::{Level, Verdict, escaped, judge};

fn path(text: &str) -> PartPath {
    text.parse().unwrap()
}

fn part(at: &str, document: &str, origin: Origin, name: &str) -> PartReport {
    PartReport {
        path: path(at),
        document: path(document),
        origin,
        names: if name.is_empty() { vec![] } else { vec![name.to_owned()] },
        name_raw: None,
        declared: None,
        types: vec![FileType::OleDoc],
        size: 1,
        sha256: String::new(),
        depth: at.split('/').filter(|step| !step.is_empty()).count() as u32,
        span: None,
        code_fingerprint: None,
        opened_by_password: None,
        closed: Vec::new(),
    }
}

fn finding(id: FindingId, at: &str, evidence: &str) -> Finding {
    Finding { id, part: path(at), location: String::new(), evidence: evidence.to_owned() }
}

/// A message of a text (1), a document (2) with its macros (2/1), and an archive (3) with a member (3/1).
fn report(findings: Vec<Finding>) -> Report {
    let parts = vec![
        part("", "", Origin::Root, ""),
        part("1", "1", Origin::Body, ""),
        part("2", "2", Origin::Attachment, "invoice.docm"),
        part("2/1", "2", Origin::Embedded, "word/vbaProject.bin"),
        part("3", "3", Origin::Attachment, "papers.zip"),
        part("3/1", "3/1", Origin::Member, "tool.js"),
        part("4", "4", Origin::Attachment, ""),
    ];
    Report { findings, parts, ..Report::default() }
}

/// Judges a document with these findings, in a mail whose text has those.
fn judged(document: &[FindingId], mail: &[FindingId]) -> Verdict {
    let document = document.iter().map(|id| finding(*id, "2/1", "x"));
    let mail = mail.iter().map(|id| finding(*id, "1", "y"));
    judge(&report(document.chain(mail).collect()))
}

#[test]
fn every_row_of_the_model() {
    use finding::*;
    let cases: &[(&[FindingId], &[FindingId], Level)] = &[
        (&[], &[], Level::Clean),
        (&[], &[LURE_MAIL_TEXT, PASSWORD_TOLD], Level::Clean),
        (&[LURE_ENABLE_CONTENT], &[], Level::Clean),
        (&[TYPE_MISMATCH, ZIP_VIEWS_DIFFER, MIME_AMBIGUOUS], &[], Level::Clean),
        (&[ARCHIVE_ENCRYPTED], &[PASSWORD_TOLD], Level::Clean),
        (&[VBA_WRITE_FILE], &[], Level::Clean),
        // Active content without anything to hold against it.
        (&[VBA_MACROS], &[], Level::Active),
        (&[VBA_MACROS, VBA_AUTOEXEC], &[], Level::Active),
        (&[VBA_MACROS, VBA_AUTOEXEC, VBA_WRITE_FILE], &[], Level::Active),
        (&[VBA_MACROS, VBA_AUTOEXEC, VBA_WRITE_FILE, VBA_OBFUSCATED], &[], Level::Active),
        (&[VBA_MACROS, VBA_RUN_PROGRAM], &[], Level::Active),
        (&[VBA_MACROS, VBA_RUN_PROGRAM, VBA_HIDDEN_OBJECT], &[], Level::Active),
        (&[VBA_MACROS, VBA_DOWNLOAD], &[], Level::Active),
        (&[VBA_MACROS, VBA_AUTOEXEC], &[PASSWORD_TOLD], Level::Active),
        // Trigger and capability.
        (&[VBA_MACROS, VBA_AUTOEXEC, VBA_RUN_PROGRAM], &[], Level::Suspicious),
        (&[VBA_EVENT, VBA_NATIVE_CALL], &[], Level::Suspicious),
        (&[VBA_AUTOEXEC, VBA_RUN_PROGRAM, TYPE_MISMATCH, NAME_CONFLICT], &[], Level::Suspicious),
        // Execution and download, whatever starts them.
        (&[VBA_RUN_PROGRAM, VBA_DOWNLOAD], &[], Level::Suspicious),
        (&[VBA_RUN_INTERPRETER, VBA_DOWNLOAD], &[], Level::Suspicious),
        // Active content with a lure.
        (&[VBA_MACROS, LURE_ENABLE_CONTENT], &[], Level::Suspicious),
        (&[VBA_MACROS, LURE_TRUSTED_FOLDER], &[], Level::Suspicious),
        (&[VBA_MACROS], &[LURE_MAIL_TEXT], Level::Suspicious),
        // Code that cannot be read.
        (&[VBA_MACROS, VBA_NO_SOURCE], &[], Level::Suspicious),
        // Carriers.
        (&[CARRIER_SCRIPT], &[], Level::Suspicious),
        (&[CARRIER_SHORTCUT], &[], Level::Suspicious),
        (&[CARRIER_PROGRAM], &[], Level::Suspicious),
        (&[CARRIER_DISK_IMAGE], &[], Level::Active),
        // Trigger, capability, and concealment or lure.
        (&[VBA_AUTOEXEC, VBA_RUN_PROGRAM, VBA_OBFUSCATED], &[], Level::Malicious),
        (&[VBA_AUTOEXEC, VBA_TAMPER, NAME_DECEPTIVE], &[], Level::Malicious),
        (&[VBA_AUTOEXEC, VBA_DOWNLOAD, LURE_ENABLE_CONTENT], &[], Level::Malicious),
        (&[VBA_AUTOEXEC, VBA_RUN_PROGRAM], &[LURE_MAIL_TEXT], Level::Malicious),
        (&[VBA_AUTOEXEC, VBA_RUN_PROGRAM], &[PASSWORD_TOLD], Level::Malicious),
        // Trigger with download and execution, or with a command for an interpreter, in plain sight.
        (&[VBA_AUTOEXEC, VBA_RUN_PROGRAM, VBA_DOWNLOAD], &[], Level::Malicious),
        (&[VBA_EVENT, VBA_RUN_INTERPRETER], &[], Level::Malicious),
        // Known.
        (&[EICAR], &[], Level::Malicious),
    ];
    for (document, mail, level) in cases {
        let verdict = judged(document, mail);
        assert_eq!(verdict.level, *level, "{document:?} {mail:?}");
        let parts = if *level == Level::Clean { vec![] } else { vec![path("2")] };
        assert_eq!(verdict.parts, parts, "{document:?} {mail:?}");
    }
}

#[test]
fn documents_are_judged_apart_and_the_worst_counts() {
    let apart =
        judge(&report(vec![finding(finding::VBA_AUTOEXEC, "2/1", ""), finding(finding::VBA_RUN_PROGRAM, "4", "")]));
    assert_eq!((apart.level, apart.parts), (Level::Active, vec![path("2"), path("4")]));
    let worst =
        judge(&report(vec![finding(finding::VBA_MACROS, "2/1", ""), finding(finding::CARRIER_SCRIPT, "3/1", "js")]));
    assert_eq!((worst.level, worst.parts), (Level::Suspicious, vec![path("3/1")]));
}

#[test]
fn what_was_not_inspected_is_said_beside_the_level() {
    let verdict = judge(&report(vec![
        finding(finding::LIMIT_EXCEEDED, "2", "max_files"),
        finding(finding::ARCHIVE_ENCRYPTED, "3", "a.doc"),
        finding(finding::ARCHIVE_ENCRYPTED, "4", "b.doc"),
    ]));
    assert_eq!((verdict.level, verdict.complete), (Level::Clean, false));
    assert_eq!(verdict.reasons, [Reason::Encrypted, Reason::Limit]);
    assert_eq!(verdict.parts, []);
    assert!(judge(&report(vec![])).complete);
}

#[track_caller]
fn check(findings: &[(FindingId, &str, &str)], en: &str, ja: &str) {
    let findings = findings.iter().map(|(id, at, evidence)| finding(*id, at, evidence)).collect();
    let explanation = judge(&report(findings)).explanation;
    assert_eq!(explanation.en, en);
    assert_eq!(explanation.ja, ja);
}

#[test]
fn nothing_in_sentences() {
    check(&[], "Nothing active was found.", "動作する内容は見つかりませんでした。");
}

#[test]
fn a_document_in_sentences() {
    use finding::*;
    check(
        &[
            (VBA_MACROS, "2/1", ""),
            (VBA_WRITE_FILE, "2/1", "x.txt"),
            (VBA_RUN_PROGRAM, "2/1", "Shell tool.exe"),
            (VBA_AUTOEXEC, "2/1", "Document_Open"),
            (LURE_ENABLE_CONTENT, "2", "enable content"),
            (VBA_OBFUSCATED, "2/1", "Module1"),
        ],
        "invoice.docm runs by itself when opened (Document_Open), starts a program (Shell tool.exe), \
         is written so that it cannot be read (Module1), and asks the reader to enable content (“enable content”).",
        "invoice.docmは、開くと自動的に実行され（Document_Open）、プログラムを起動し（Shell tool.exe）、\
         読めないように細工され（Module1）、コンテンツの有効化を求めています（「enable content」）。",
    );
    check(
        &[
            (VBA_AUTOEXEC, "2/1", "AutoOpen"),
            (VBA_RUN_PROGRAM, "2/1", "a"),
            (VBA_RUN_INTERPRETER, "2/1", "powershell"),
            (VBA_DOWNLOAD, "2/1", "XMLHTTP"),
        ],
        "invoice.docm runs by itself when opened (AutoOpen), hands a command to an interpreter (powershell), \
         and fetches something from the network (XMLHTTP).",
        "invoice.docmは、開くと自動的に実行され（AutoOpen）、コマンドをスクリプト実行環境に渡し（powershell）、\
         ネットワークからファイルを取得します（XMLHTTP）。",
    );
    check(&[(VBA_MACROS, "2/1", "")], "invoice.docm contains macros.", "invoice.docmは、マクロを含みます。");
    check(
        &[(VBA_MACROS, "2/1", ""), (VBA_AUTOEXEC, "2/1", "")],
        "invoice.docm runs by itself when opened.",
        "invoice.docmは、開くと自動的に実行されます。",
    );
}

#[test]
fn what_the_mail_says_is_a_sentence_of_its_own() {
    use finding::*;
    check(
        &[
            (VBA_AUTOEXEC, "2/1", "AutoOpen"),
            (VBA_RUN_PROGRAM, "2/1", "Shell"),
            (PASSWORD_TOLD, "1", ""),
            (LURE_MAIL_TEXT, "1", "コンテンツの有効化"),
            (LURE_MAIL_TEXT, "1", "編集を有効"),
        ],
        "invoice.docm runs by itself when opened (AutoOpen) and starts a program (Shell). \
         The message tells a password in its text and asks in its text to enable content (“コンテンツの有効化”).",
        "invoice.docmは、開くと自動的に実行され（AutoOpen）、プログラムを起動します（Shell）。\
         このメールは、本文でパスワードを知らせ、本文でコンテンツの有効化を求めています（「コンテンツの有効化」）。",
    );
    check(&[(PASSWORD_TOLD, "1", "")], "Nothing active was found.", "動作する内容は見つかりませんでした。");
}

#[test]
fn members_and_unnamed_parts_in_sentences() {
    use finding::*;
    check(
        &[(CARRIER_SCRIPT, "3/1", "js")],
        "tool.js in papers.zip is a script that runs at a double click (js).",
        "papers.zip内のtool.jsは、ダブルクリックで実行されるスクリプトです（js）。",
    );
    check(
        &[(VBA_MACROS, "4", "")],
        "An unnamed ole-doc attachment contains macros.",
        "名前のない添付ファイル（ole-doc）は、マクロを含みます。",
    );
    check(
        &[(EICAR, "3/1", "")],
        "tool.js in papers.zip is the EICAR test file.",
        "papers.zip内のtool.jsは、EICARテストファイルです。",
    );
}

#[test]
fn what_could_not_be_looked_into_in_sentences() {
    use finding::*;
    check(
        &[(ARCHIVE_ENCRYPTED, "3", "a.doc, b.doc")],
        "Nothing active was found. papers.zip could not be looked into: it is encrypted (a.doc, b.doc).",
        "動作する内容は見つかりませんでした。papers.zipは、暗号化されているため検査できませんでした（a.doc, b.doc）。",
    );
    check(
        &[(VBA_MACROS, "2/1", ""), (SCAN_FAULT, "", "max_scan_time")],
        "invoice.docm contains macros. The message could not be scanned: the scanner failed (max_scan_time).",
        "invoice.docmは、マクロを含みます。このメールは、検査プログラムの障害により検査できませんでした（max_scan_time）。",
    );
    let many: Vec<_> = ["a", "b", "c", "d", "e"].map(|e| (DAMAGED, "3", e)).to_vec();
    let sentence = |e| {
        (
            format!("papers.zip could not be read: it is damaged ({e})."),
            format!("papers.zipは、破損しているため検査できませんでした（{e}）。"),
        )
    };
    let [a, b, c] = ["a", "b", "c"].map(sentence);
    check(
        &many,
        &format!("Nothing active was found. {} {} {} There are 2 more such findings.", a.0, b.0, c.0),
        &format!("動作する内容は見つかりませんでした。{}{}{}同様の項目がほかに2件あります。", a.1, b.1, c.1),
    );
}

#[test]
fn text_from_mail_is_shown_harmless() {
    let mut report = report(vec![finding(finding::VBA_AUTOEXEC, "2", "a\r\nSubject: b\u{1b}[2J{evidence}")]);
    report.parts[2].names[0] = "cod\u{202e}slx.\u{200b}exe".to_owned();
    let explanation = judge(&report).explanation;
    let evidence = "a⟦U+000D⟧⟦U+000A⟧Subject: b⟦U+001B⟧[2J{evidence}";
    assert_eq!(explanation.en, format!("cod⟦U+202E⟧slx.⟦U+200B⟧exe runs by itself when opened ({evidence})."));
    assert_eq!(escaped("⟦U+0041⟧", 100), "⟦U+27E6⟧U+0041⟦U+27E7⟧");
    assert_eq!((escaped("abc", 3), escaped("abcd", 3)), ("abc".into(), "abc…".into()));
}

#[test]
fn levels_are_ordered_and_named() {
    assert!(Level::Clean < Level::Active && Level::Active < Level::Suspicious && Level::Suspicious < Level::Malicious);
    for level in Level::ALL {
        assert_eq!(Level::parse(level.name()), Some(level));
        assert_eq!(serde_json::to_string(&level).unwrap(), format!("\"{level}\""));
    }
    assert_eq!(Level::parse("bad"), None);
}

#[test]
fn a_verdict_survives_json() {
    let verdict = judged(&[finding::VBA_AUTOEXEC, finding::DAMAGED], &[finding::LURE_MAIL_TEXT]);
    let json = serde_json::to_string(&verdict).unwrap();
    assert_eq!(serde_json::from_str::<Verdict>(&json).unwrap(), verdict);
}
