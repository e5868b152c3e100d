//! Lures in, phrases out.

use super::*;

fn read(text: &str) -> Phrases {
    read_all(&[text])
}

fn read_all(pieces: &[&str]) -> Phrases {
    let mut reading = Reading::default();
    pieces.iter().for_each(|piece| reading.read(piece));
    reading.end()
}

#[test]
fn lures_in_many_languages() {
    let cases = [
        ("This document is protected. Click “Enable Editing”, then “Enable Content”.", "enable content"),
        ("To view this content, please click ENABLE\u{200b} EDITING", "enable editing"),
        ("E n a b l e   C o n t e n t", "enable content"),
        ("Ｅｎａｂｌｅ\u{3000}Ｃｏｎｔｅｎｔ", "enable content"),
        ("This document is protected. Enable macros.", "enable macros"),
        ("文書を表示するには「コンテンツの有効化」をクリックしてください", "コンテンツの有効化"),
        ("このドキュメントは保護されています。編 集 を 有 効 に す る", "編集を有効"),
        ("Dieses Dokument ist geschützt. Klicken Sie auf „Inhalt aktivieren“.", "inhalt aktivieren"),
        ("DOKUMENT IST GESCHÜTZT – BEARBEITUNG AKTIVIEREN", "bearbeitung aktivieren"),
        ("Il documento è protetto: Abilita contenuto", "abilita contenuto"),
        ("Documento protegido. Habilitar edición", "habilitar edición"),
        ("Activer le contenu", "activer le contenu"),
        ("Ativar Conteúdo", "ativar conteúdo"),
        ("Włącz zawartość", "włącz zawartość"),
        ("İçeriği Etkinleştir", "i̇çeriği etkinleştir"),
        ("Включить содержимое", "включить содержимое"),
        ("啟用內容", "啟用內容"),
        ("콘텐츠 사용", "콘텐츠 사용"),
    ];
    for (text, phrase) in cases {
        assert_eq!(read(text).asks_to_enable(), Some(phrase), "{text}");
    }
}

#[test]
fn honest_text_is_no_lure() {
    let filler = "Quarterly figures by region and product line follow in the table below. ".repeat(40);
    let cases = [
        "Please enable macros to use this workbook.".to_owned(),
        "マクロを有効にしてからお使いください。".to_owned(),
        "Kind regards from the team".to_owned(),
        format!("{filler} In the message bar, choose Enable Content. {filler}"),
        format!("{filler} To view the report, enable macros. {filler}"),
        String::new(),
    ];
    for text in cases {
        assert_eq!(read(&text).asks_to_enable(), None, "{text}");
    }
}

#[test]
fn both_buttons_are_a_lure_in_any_length() {
    let filler = "Call me Ishmael. ".repeat(10_000);
    assert!(read(&format!("{filler}Enable Editing{filler}Enable Content")).asks_to_enable().is_some());
}

#[test]
fn pieces_of_one_document_are_read_together() {
    let (reason, request) = ("This document is protected", "Enable Content");
    assert_eq!(read(reason).asks_to_enable(), None);
    assert_eq!(read_all(&["Enable", "Content", reason]).asks_to_enable(), None);
    let book = "Call me Ishmael. ".repeat(MAX_WAITING / 10);
    for pieces in [[reason, &book, request], [request, &book, reason], [reason, request, &book]] {
        assert_eq!(read_all(&pieces).asks_to_enable(), Some("enable content"));
    }
}

#[test]
fn copying_to_a_trusted_folder() {
    let lure = "RELAUNCH REQUIRED. Copy the file to the following folder and run it again: C:\\Program Files\\Microsoft Office\\Templates";
    assert_eq!(read(lure).asks_to_copy(), Some("relaunch required"));
    assert_eq!(read(&lure.replace('\\', "¥")).asks_to_copy(), Some("relaunch required"));
    assert_eq!(read("Templates are in C:\\Program Files\\Microsoft Office\\Templates").asks_to_copy(), None);
    assert_eq!(read("Copy the file to your desktop").asks_to_copy(), None);
}

#[test]
fn every_phrase_is_found_as_it_stands() {
    let compared = |text: &str| {
        let mut reading = Reading::default();
        reading.read(text);
        reading.compare();
        reading.found
    };
    for (_, sense, list) in phrases::PHRASES {
        for phrase in list.split('|') {
            assert!(
                compared(&phrase.to_uppercase()).first(*sense).is_some() || compared(phrase).first(*sense).is_some(),
                "{phrase}"
            );
        }
    }
}

#[test]
fn every_request_holds_a_piece_that_is_looked_for() {
    let requests = [Sense::Content, Sense::Editing, Sense::Macros, Sense::Folder];
    for (_, _, list) in phrases::PHRASES.iter().filter(|(_, sense, _)| requests.contains(sense)) {
        for phrase in list.split('|') {
            assert!(REQUESTS.is_match(&squeezed(phrase)), "{phrase}");
        }
    }
}
