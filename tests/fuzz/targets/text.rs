//! Targets: text that people read, names, and what a file is.

use sekisho::filetype::{self, FileType};
use sekisho::formats::markup::{self, Token};
use sekisho::hostile;
use sekisho::lure::Reading;
use sekisho::part::extension;
use sekisho::scan::Input;
use sekisho::terminal;

use super::{examine, first_line};

/// Markup, the text of a page, phrases, passwords told.
pub fn markup(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for token in markup::tokens(&text) {
        match token {
            Token::Text(text) => assert!(markup::decoded(text).len() <= text.len() * 2 + 8, "text that grew"),
            Token::Open(name, attributes) => {
                assert!(name.len() <= text.len());
                for name in ["href", "Target", "r:id", "name", "content"] {
                    markup::attribute(attributes, name);
                }
            }
            Token::Close(name) => assert!(name.len() <= text.len()),
        }
    }
    let page = markup::page_text(&text);
    let mut reading = Reading::default();
    reading.read(&page);
    reading.read(&text);
    reading.end();
    let message = [b"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n", data].concat();
    examine(Input::message(message));
    // What is shown to people has nothing in it that acts.
    assert!(!hostile::escape(&text).chars().any(hostile::is_hostile));
    let shown = terminal::escaped(&text, 200);
    assert!(!shown.chars().any(hostile::is_hostile) && !shown.contains('\n'), "{shown:?}");
}

/// A file whose name is the first line: what its octets are, and what is in it.
pub fn file(data: &[u8]) {
    let (name, content) = first_line(data);
    for bytes in [data, content] {
        let types = filetype::detect(bytes);
        assert!(types.iter().count() == 0 || types.has(types.main()), "a main type that is none of them");
        let named: Option<Vec<FileType>> = types.iter().map(|found| FileType::parse(found.name())).collect();
        assert_eq!(named, Some(types.iter().collect()), "a name that does not mean its type");
    }
    let name = String::from_utf8_lossy(name);
    if let Some(extension) = extension(&name) {
        assert!(!extension.contains('.'), "{extension:?}");
    }
    examine(Input::file(content.to_vec(), name));
}
