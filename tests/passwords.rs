//! Where a mail may tell the password of what it carries, and where nothing says that it is one.

use std::io::Write;

use sekisho::knowledge::Knowledge;
use sekisho::limits::Limits;
use sekisho::scan::{Input, Report, Stop, scan};

use crate::zip::{encrypted, mail};

fn look(message: Vec<u8>) -> Report {
    scan(Input::message(message), &Limits::default(), &Knowledge::default(), &Stop::default())
}

/// Whether a password opened something, and nothing stayed closed.
fn is_open(report: &Report) -> bool {
    report.parts.iter().any(|part| part.opened_by_password == Some(true))
        && !report.findings.iter().any(|finding| finding.id.reason.is_some())
}

/// A mail with header fields, a text and an attachment.
fn letter(fields: &str, text: &str, name: &str, archive: &[u8]) -> Vec<u8> {
    let mail = mail(text, encoding_rs::UTF_8, archive, true);
    let mail = String::from_utf8(mail).unwrap().replace("=?ISO-2022-JP?B?GyRCOiM3bhsoQi56aXA=?=", name);
    format!("{fields}{mail}").into_bytes()
}

#[test]
fn a_password_is_found_wherever_a_mail_tells_it() {
    for aes in [false, true] {
        let archive = |password| encrypted(&["a.txt"], aes, password);
        for (what, message) in [
            ("subject", letter("Subject: report, password: Kx-77a\r\n", "see above", "a.zip", &archive("Kx-77a"))),
            (
                "encoded subject",
                letter(
                    "Subject: =?UTF-8?B?44OR44K544Ov44O844OJ77ya77yR77yS77yT77yU?=\r\n",
                    "-",
                    "a.zip",
                    &archive("1234"),
                ),
            ),
            ("name", letter("", "see the name", "report_pw_8841.zip", &archive("8841"))),
            ("stem", letter("", "as always", "Project-Blue.zip", &archive("Project-Blue"))),
            ("last line", letter("", "Dear all,\r\n\r\nthe file.\r\n\r\nkQ9-aa1", "a.zip", &archive("kQ9-aa1"))),
            ("a word", letter("", "Use the river we spoke of: Danube it was.", "a.zip", &archive("Danube"))),
            ("quoted", letter("", "see below\r\n> > the key is zz8Q4\r\n> thanks", "a.zip", &archive("zz8Q4"))),
            (
                "the day",
                letter(
                    "Date: Tue, 22 Nov 2022 10:00:00 +0900\r\n",
                    "パスワードは本日の日付です。",
                    "a.zip",
                    &archive("20221122"),
                ),
            ),
            ("wide", letter("", "合言葉：ｓａｋｕｒａ２２", "a.zip", &archive("sakura22"))),
        ] {
            let report = look(message);
            assert!(is_open(&report), "{what}, aes {aes}: {:?}", report.findings);
        }
    }
}

#[test]
fn a_password_at_the_end_of_a_text_of_megabytes_is_found() {
    let text = format!("{}\r\npassword: kQ9-aa1\r\n", "so much to tell\r\n".repeat(100_000));
    assert!(is_open(&look(letter("", &text, "a.zip", &encrypted(&["a.txt"], true, "kQ9-aa1")))));
}

/// An archive with a note that anybody can read, a comment, and an encrypted member.
fn with_note(note: &str, comment: &str, password: &str) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let plain = zip::write::SimpleFileOptions::default();
    writer.start_file("secret.txt", plain.with_aes_encryption(zip::AesMode::Aes256, password)).unwrap();
    writer.write_all(b"a secret").unwrap();
    if !note.is_empty() {
        writer.start_file("readme.txt", plain).unwrap();
        writer.write_all(note.as_bytes()).unwrap();
    }
    writer.set_comment(comment).unwrap();
    writer.finish().unwrap().into_inner()
}

#[test]
fn a_note_or_a_comment_in_the_archive_opens_the_rest() {
    for (note, comment) in [("Password: kQ9-aa1", ""), ("", "pw kQ9-aa1"), ("kQ9-aa1", "")] {
        let report = look(letter("", "see inside", "a.zip", &with_note(note, comment, "kQ9-aa1")));
        assert!(is_open(&report), "{note} {comment}: {:?}", report.findings);
    }
}

#[test]
fn a_note_beside_the_archive_opens_it() {
    let archive = encrypted(&["a.txt"], true, "kQ9-aa1");
    for (kind, note) in [("text/plain", "Password: kQ9-aa1"), ("text/html", "<p>Pass<b>word</b>: <i>kQ9-aa1</i></p>")] {
        let message = String::from_utf8(letter("", "two files", "a.zip", &archive)).unwrap();
        let note =
            format!("--b\r\nContent-Type: {kind}; name=note\r\nContent-Disposition: attachment\r\n\r\n{note}\r\n--b--");
        let report = look(message.replace("--b--", &note).into_bytes());
        assert!(is_open(&report), "{kind}: {:?}", report.findings);
    }
}

#[test]
fn words_that_open_nothing_do_not_make_it_told() {
    let text = "Dear colleague, please find attached what we spoke of on Monday. Kind regards, K9";
    let report = look(letter("Subject: as promised\r\n", text, "a.zip", &encrypted(&["a.txt"], true, "none of these")));
    let ids: Vec<&str> = report.findings.iter().map(|finding| finding.id.id).collect();
    assert_eq!(ids, ["archive-encrypted"], "the daily habit: tagged, not held");
}

#[test]
fn more_passwords_than_are_tried_are_told_of_what_stays_closed() {
    let ids = |report: &Report| report.findings.iter().map(|finding| finding.id.id).collect::<Vec<_>>();
    let many: String = (0..40).map(|n| format!("password: x{n}y\r\n")).collect();
    let words: String = (0..400).map(|n| format!("word{n} ")).collect();
    for aes in [false, true] {
        for text in [&many, &words] {
            let closed = look(letter("", text, "a.zip", &encrypted(&["a.txt"], aes, "none of these")));
            assert!(ids(&closed).contains(&"passwords-untried"), "{closed:?}");
            let open = look(letter(
                "",
                &format!("password: kQ9-aa1\r\n{text}"),
                "a.zip",
                &encrypted(&["a.txt"], aes, "kQ9-aa1"),
            ));
            assert!(is_open(&open) && !ids(&open).contains(&"passwords-untried"), "{open:?}");
        }
        let few = look(letter("", "password: x1y2", "a.zip", &encrypted(&["a.txt"], aes, "none of these")));
        assert!(!ids(&few).contains(&"passwords-untried"), "{few:?}");
    }
}
