//! The samples: harmless messages that imitate what Sekisho is there for, with what must come of each.
//!
//! Everything in `samples/` is made here. The macros are inert: they have the shape that matters and
//! would show a text or start the calculator.

use super::encrypt::{self, Binary, EXCEL};
use super::excel4::{self, Version};
use super::objects;
use super::office;
use super::ooxml::{self, Member};
use super::ovba::ModuleKind;
use super::rar;
use super::wrappings::{self, Place};

/// A message and its expectations.
pub struct Sample {
    /// `samples/NAME.eml`
    pub name: &'static str,
    /// What it shows, in a few words.
    pub about: &'static str,
    /// The message, CRLF line ends.
    pub message: Vec<u8>,
    /// The verdict's level.
    pub verdict: &'static str,
    /// Whether all of it can be looked into.
    pub complete: bool,
    /// Findings that must be there (others may be).
    pub findings: &'static [&'static str],
    /// What the policy of an empty configuration does.
    pub action: &'static str,
}

/// All of them, in the order of the demonstration.
pub fn all() -> Vec<Sample> {
    vec![
        Sample {
            name: "plain",
            about: "an ordinary letter",
            message: mail("Meeting on Thursday", &text("us-ascii", "7bit", "See you at ten.\r\n"), &[]),
            verdict: "clean",
            complete: true,
            findings: &[],
            action: "pass",
        },
        Sample {
            name: "japanese-attachment",
            about: "a Japanese letter (ISO-2022-JP) with a named workbook",
            message: japanese_with_workbook(),
            verdict: "clean",
            complete: true,
            findings: &[],
            action: "pass",
        },
        Sample {
            name: "docm-autoopen",
            about: "a macro document that would start a program when opened",
            message: with_file("Invoice 4711", "invoice.docm", DOCM_TYPE, &macro_document()),
            verdict: "malicious",
            complete: true,
            findings: &["vba-autoexec", "vba-run-program", "lure-enable-content"],
            action: "quarantine",
        },
        Sample {
            name: "xls-excel4",
            about: "a workbook whose Excel 4.0 macro writes the command that it then runs",
            message: with_file("Price list", "prices.xls", "application/vnd.ms-excel", &macro_workbook()),
            verdict: "malicious",
            complete: true,
            findings: &["xlm-auto-open", "xlm-run-interpreter", "xlm-obfuscated"],
            action: "quarantine",
        },
        Sample {
            name: "doc-autoopen",
            about: "the same as a Word 97 document, its command in pieces",
            message: with_file("Re: Your order", "order.doc", "application/msword", &word97_document()),
            verdict: "malicious",
            complete: true,
            findings: &["vba-autoexec", "vba-run-interpreter"],
            action: "quarantine",
        },
        Sample {
            name: "honest-workbook",
            about: "a workbook with macros that only compute and format",
            message: with_file("Monthly figures", "figures.xlsm", XLSM_TYPE, &honest_workbook()),
            verdict: "active",
            complete: true,
            findings: &["vba-macros"],
            action: "pass",
        },
        Sample {
            name: "docx-lure",
            about: "a document without macros that asks to enable content",
            message: with_file("Document", "document.docx", DOCX_TYPE, &ooxml::word(&LURE, None)),
            verdict: "clean",
            complete: true,
            findings: &["lure-enable-content"],
            action: "pass",
        },
        Sample {
            name: "forwarded-docm",
            about: "the macro document in a forwarded mail",
            message: forwarded(&with_file("Invoice 4711", "invoice.docm", DOCM_TYPE, &macro_document())),
            verdict: "malicious",
            complete: true,
            findings: &["vba-autoexec", "vba-run-program"],
            action: "quarantine",
        },
        Sample {
            name: "zip-docm",
            about: "the macro document in a ZIP archive",
            message: with_file(
                "Invoice 4712",
                "invoice.zip",
                "application/zip",
                &ooxml::zip(&[Member { name: "invoice.docm", bytes: macro_document() }]),
            ),
            verdict: "malicious",
            complete: true,
            findings: &["vba-autoexec", "vba-run-program"],
            action: "quarantine",
        },
        Sample {
            name: "rar-docm",
            about: "the macro document in a RAR 5 archive",
            message: with_file(
                "Invoice in an archive",
                "invoice.rar",
                "application/vnd.rar",
                &rar::of_one("invoice.docm", &macro_document(), &rar::FIVE),
            ),
            verdict: "malicious",
            complete: true,
            findings: &["vba-autoexec", "vba-run-program", "lure-enable-content"],
            action: "quarantine",
        },
        Sample {
            name: "rar-told",
            about: "the macro document in an encrypted RAR 4 archive, its password told in the subject",
            message: with_file(
                "Invoice, password: Kq7-x9Aa",
                "invoice.rar",
                "application/vnd.rar",
                &rar::of_one(
                    "invoice.docm",
                    &macro_document(),
                    &rar::Written { password: Some("Kq7-x9Aa"), ..rar::FOUR },
                ),
            ),
            verdict: "malicious",
            complete: true,
            findings: &["password-told", "vba-autoexec", "vba-run-program"],
            action: "quarantine",
        },
        Sample {
            name: "encrypted-docm",
            about: "the macro document, encrypted with a password that Office tries by itself",
            message: with_file("Invoice 4713", "invoice.docm", DOCM_TYPE, &encrypt::agile(&macro_document(), EXCEL)),
            verdict: "malicious",
            complete: true,
            findings: &["document-default-password", "vba-autoexec", "vba-run-program"],
            action: "quarantine",
        },
        Sample {
            name: "encrypted-told",
            about: "the macro document as Word 97 encrypts it, its password told in a Japanese letter",
            message: japanese_with_password(),
            verdict: "malicious",
            complete: true,
            findings: &["password-told", "document-password-opened", "vba-autoexec"],
            action: "quarantine",
        },
        Sample {
            name: "protected-workbook",
            about: "a workbook whose structure is protected, which Excel encrypts with a password it tries by itself",
            message: with_file(
                "Quarterly figures",
                "figures.xls",
                "application/vnd.ms-excel",
                &encrypt::xls(
                    &office::protected_xls(&["Account", "Amount", "Rent"], &[]),
                    Binary::CryptoApi(128),
                    EXCEL,
                ),
            ),
            verdict: "clean",
            complete: true,
            findings: &["document-default-password"],
            action: "pass",
        },
        Sample {
            name: "winmail",
            about: "a document in the winmail.dat of Outlook",
            message: with_file(
                "Invoice",
                "winmail.dat",
                "application/ms-tnef",
                &wrappings::tnef("invoice.docm", &macro_document(), Place::Property, &[]),
            ),
            verdict: "malicious",
            complete: true,
            findings: &["vba-autoexec", "vba-run-program", "lure-enable-content"],
            action: "quarantine",
        },
        Sample {
            name: "ppsx-hover",
            about: "a slide show that starts a command as soon as the mouse passes over a picture",
            message: with_file(
                "Quotation",
                "quotation.ppsx",
                "application/vnd.openxmlformats-officedocument.presentationml.slideshow",
                &objects::slide("hlinkMouseOver", "ppaction://program", "powershell%20-nop%20-c%20echo%20hello"),
            ),
            verdict: "malicious",
            complete: true,
            findings: &["action-command"],
            action: "quarantine",
        },
        Sample {
            name: "docx-search",
            about: "a document with a link that shows a share of the internet as if it were a folder of this computer",
            message: with_file(
                "Documents",
                "documents.docx",
                DOCX_TYPE,
                &objects::linked("hyperlink", "search-ms:query=invoice&amp;crumb=location:\\\\203.0.113.7@80\\files"),
            ),
            verdict: "suspicious",
            complete: true,
            findings: &["link-program"],
            action: "quarantine",
        },
        Sample {
            name: "eicar",
            about: "the EICAR test file",
            message: with_file("Test", "eicar.com", "application/octet-stream", &eicar()),
            verdict: "malicious",
            complete: true,
            findings: &["eicar-test-file"],
            action: "quarantine",
        },
    ]
}

const DOCX_TYPE: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
const DOCM_TYPE: &str = "application/vnd.ms-word.document.macroEnabled.12";
const XLSM_TYPE: &str = "application/vnd.ms-excel.sheet.macroEnabled.12";
const XLSX_TYPE: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

const LURE: [&str; 2] = [
    "This document is protected.",
    "Previewing is not available. Please press Enable Editing and then Enable Content to view this document.",
];

/// The test file of eicar.org, put together here so that this source is not taken for it.
pub fn eicar() -> Vec<u8> {
    let mut bytes = br"X5O!P%@AP[4\PZX54(P^)7CC)7}$".to_vec();
    bytes.extend_from_slice(b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE");
    bytes.extend_from_slice(b"!$H+H*");
    bytes
}

/// Starts the calculator when opened, and asks for it.
pub fn macro_document() -> Vec<u8> {
    let code = "Sub AutoOpen()\r\n    Dim program As String\r\n    program = Environ(\"SystemRoot\") & \"\\System32\\calc.exe\"\r\n    Shell program, vbNormalFocus\r\nEnd Sub\r\n";
    let project =
        office::vba_project(&[("ThisDocument", "", ModuleKind::Document), ("Start", code, ModuleKind::Standard)]);
    ooxml::word(&LURE, Some(project))
}

/// Would hand PowerShell an echo, the words in pieces.
fn word97_document() -> Vec<u8> {
    let code = "Private Sub Document_Open()\r\n    Dim parts(2)\r\n    first = \"pow\" & \"ersh\" & Chr(101) & \"ll -nop -c \"\r\n    second = StrReverse(\"olleh ohce\")\r\n    GetObject(\"winmg\" & \"mts:Win32_Process\").Create first & second, Null, Null, pid\r\nEnd Sub\r\n";
    office::doc_with_macros(&LURE.join("\r"), &[("ThisDocument", code, ModuleKind::Document)])
}

/// Writes the command that it then runs, from a sheet that no menu lists.
fn macro_workbook() -> Vec<u8> {
    let mut book = excel4::book(&[
        "=SET.VALUE(C1,CHAR(112)&\"ower\"&\"shell -nop -c \")",
        "=FORMULA(\"=EXEC(R1C3&\"\"echo hello\"\")\",A5)",
        "=IF(GET.WORKSPACE(19),GOTO(A5),CLOSE(FALSE))",
        "",
        "",
        "=HALT()",
    ]);
    book.sheets[1].state = 2;
    book.xls(Version::Biff8)
}

/// What finance departments send: formats on opening, a button, a dictionary.
pub fn honest_workbook() -> Vec<u8> {
    let book = "Private Sub Workbook_Open()\r\n    Worksheets(1).Range(\"A1\").Value = Date\r\n    Worksheets(1).Columns.AutoFit\r\nEnd Sub\r\n";
    let module = "Sub Button1_Click()\r\n    ' Sums by account\r\n    Dim sums As Object, row As Long, account As String\r\n    Set sums = CreateObject(\"Scripting.Dictionary\")\r\n    For row = 2 To Cells(Rows.Count, 1).End(xlUp).Row\r\n        account = Cells(row, 1).Value\r\n        sums(account) = sums(account) + Cells(row, 2).Value\r\n    Next row\r\n    MsgBox sums.Count & \" accounts\"\r\nEnd Sub\r\n";
    let project = office::vba_project(&[
        ("ThisWorkbook", book, ModuleKind::Document),
        ("Sheet1", "", ModuleKind::Document),
        ("Accounts", module, ModuleKind::Standard),
    ]);
    ooxml::workbook(&["Account", "Amount", "Rent", "Travel"], Some(project))
}

/// One body part: its header fields and content.
struct Body(String);

fn text(charset: &str, encoding: &str, content: &str) -> Body {
    Body(format!(
        "Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{content}"
    ))
}

fn file(name_parameters: &str, media_type: &str, bytes: &[u8]) -> Body {
    Body(format!(
        "Content-Type: {media_type}\r\nContent-Disposition: attachment; {name_parameters}\r\nContent-Transfer-Encoding: base64\r\n\r\n{}",
        base64_lines(bytes)
    ))
}

/// Base64 in lines of 76 characters (RFC 2045 6.8).
pub fn base64_lines(bytes: &[u8]) -> String {
    let encoded = data_encoding::BASE64.encode(bytes);
    encoded.as_bytes().chunks(76).map(|line| format!("{}\r\n", std::str::from_utf8(line).unwrap())).collect()
}

/// A short letter with several attachments: their names and contents.
pub fn with_files(subject: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
    let letter = text("us-ascii", "7bit", "Please find the documents attached.\r\n");
    let attach =
        |(name, bytes): &(&str, &[u8])| file(&format!("filename=\"{name}\""), "application/octet-stream", bytes);
    mail(subject, &letter, &files.iter().map(attach).collect::<Vec<_>>())
}

/// A whole message; multipart if there is more than the text.
fn mail(subject: &str, first: &Body, more: &[Body]) -> Vec<u8> {
    let header = format!(
        "From: Accounts <accounts@sender.example>\r\nTo: Reader <reader@example.jp>\r\nSubject: {subject}\r\n\
         Date: Fri, 20 Nov 2026 10:00:00 +0900\r\nMessage-ID: <{:x}@sender.example>\r\nMIME-Version: 1.0\r\n",
        subject.len() * 7919 + first.0.len()
    );
    if more.is_empty() {
        return format!("{header}{}", first.0).into_bytes();
    }
    let boundary = "=_sekisho_sample";
    let mut message = format!("{header}Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n");
    for part in std::iter::once(first).chain(more) {
        message.push_str(&format!("--{boundary}\r\n{}\r\n", part.0.trim_end_matches("\r\n")));
    }
    message.push_str(&format!("--{boundary}--\r\n"));
    message.into_bytes()
}

/// A short letter with one attachment.
pub fn with_file(subject: &str, name: &str, media_type: &str, bytes: &[u8]) -> Vec<u8> {
    let letter = text("us-ascii", "7bit", "Please find the document attached.\r\n");
    mail(subject, &letter, &[file(&format!("filename=\"{name}\""), media_type, bytes)])
}

fn forwarded(inner: &[u8]) -> Vec<u8> {
    let letter = text("us-ascii", "7bit", "What do you make of this?\r\n");
    let inner = String::from_utf8(inner.to_vec()).unwrap().replace("=_sekisho_sample", "=_sekisho_inner");
    let nested = Body(format!("Content-Type: message/rfc822\r\nContent-Disposition: attachment\r\n\r\n{inner}"));
    mail("Fwd: Invoice 4711", &letter, &[nested])
}

/// ISO-2022-JP in the text, the subject and (RFC 2047 inside a parameter, as is usual in Japan) the name.
fn japanese_with_workbook() -> Vec<u8> {
    let body = iso_2022_jp("いつもお世話になっております。\r\n見積書をお送りします。ご確認ください。\r\n");
    let word = |text: &str| format!("=?ISO-2022-JP?B?{}?=", data_encoding::BASE64.encode(iso_2022_jp(text).as_bytes()));
    let letter = text("ISO-2022-JP", "7bit", &body);
    let workbook = ooxml::workbook(&["品名", "数量", "単価", "見積書"], None);
    let attachment = file(&format!("filename=\"{}\"", word("見積書.xlsx")), XLSX_TYPE, &workbook);
    mail(&word("見積書の件"), &letter, &[attachment])
}

/// What came instead of a ZIP with a password: the document itself is encrypted.
fn japanese_with_password() -> Vec<u8> {
    let body = iso_2022_jp("いつもお世話になっております。\r\n注文書をお送りします。\r\n\r\nパスワード：Aki-2026\r\n");
    let letter = text("ISO-2022-JP", "7bit", &body);
    let document = encrypt::doc(&word97_document(), Binary::CryptoApi(128), "Aki-2026");
    mail("Order 4714", &letter, &[file("filename=\"order.doc\"", "application/msword", &document)])
}

/// ISO-2022-JP is 7-bit, so it is a `String` as well.
fn iso_2022_jp(text: &str) -> String {
    String::from_utf8(encoding_rs::ISO_2022_JP.encode(text).0.into_owned()).unwrap()
}
