//! Lures that are drawn: text that a program read out of a picture (OCR), which mistakes letters for others.
//!
//! Phrases and text are compared without what is mistaken most: accents and sound marks, small kana, letters that
//! look alike. Of what is left, one character in eight may differ, be missing or be too many. Nothing here is made
//! for a single picture.

use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization;

use super::{Phrases, Sense, is_visible, phrases};
use crate::finding;
use crate::part::Part;
use crate::scan::Scan;

/// Characters of a picture's text that are compared. 8,000: two dense pages, and a bound for what comparing costs.
const MAX_TEXT: usize = 8000;
/// So many characters of a phrase for one mistake.
const PER_MISTAKE: usize = 8;

/// The location of what a picture shows.
pub const PICTURE: &str = "picture";

/// Looks for lures in what was read out of a picture.
pub fn picture_text(scan: &mut Scan, part: &Part, text: &str) {
    let shown: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if shown.is_empty() {
        return;
    }
    scan.finding(finding::PICTURE_READ, part, PICTURE, &shown);
    let found = phrases_in(text);
    if let Some(phrase) = found.asks_to_enable() {
        scan.finding(finding::LURE_ENABLE_CONTENT, part, PICTURE, phrase);
    }
    if let Some(phrase) = found.asks_to_copy() {
        scan.finding(finding::LURE_TRUSTED_FOLDER, part, PICTURE, phrase);
    }
}

/// The phrase of text in a picture that asks to enable content, if there is one.
pub fn asked_in_picture(text: &str) -> Option<&'static str> {
    phrases_in(text).asks_to_enable()
}

fn phrases_in(text: &str) -> Phrases {
    let text = folded(text);
    let mut found = Phrases { length: text.len(), ..Phrases::default() };
    for (sense, phrase, pattern) in TABLE.iter() {
        if occurs(pattern, &text) {
            found.add(*sense, phrase);
        }
    }
    found
}

static TABLE: LazyLock<Vec<(Sense, &'static str, Vec<char>)>> = LazyLock::new(|| {
    let split = |(_, sense, list): &(&str, Sense, &'static str)| {
        let sense = *sense;
        list.split('|').map(move |phrase| (sense, phrase, folded(phrase)))
    };
    phrases::PHRASES.iter().flat_map(split).collect()
});

/// Text for comparison: compatible characters as one, lower case, letters and digits only, and one of all that look
/// alike.
fn folded(text: &str) -> Vec<char> {
    let kept = |c: &char| is_visible(*c) && c.is_alphanumeric();
    text.nfkd().flat_map(char::to_lowercase).filter(kept).map(alike).take(MAX_TEXT).collect()
}

/// Stands for all that readers take for it.
fn alike(c: char) -> char {
    match c {
        'i' | '1' | 'ı' | 'ł' => 'l',
        '0' => 'o',
        '5' => 's',
        '8' => 'b',
        'ァ' => 'ア',
        'ィ' => 'イ',
        'ゥ' => 'ウ',
        'ェ' | '工' => 'エ',
        'ォ' => 'オ',
        'ッ' => 'ツ',
        'ャ' => 'ヤ',
        'ュ' => 'ユ',
        'ョ' => 'ヨ',
        'っ' => 'つ',
        'ゃ' => 'や',
        'ゅ' => 'ゆ',
        'ょ' => 'よ',
        'へ' => 'ヘ',
        'り' => 'リ',
        '力' => 'カ',
        '口' => 'ロ',
        '二' => 'ニ',
        '八' => 'ハ',
        '夕' => 'タ',
        '卜' => 'ト',
        'ン' => 'ソ',
        'シ' => 'ツ',
        '一' => 'ー',
        other => other,
    }
}

/// Whether the pattern stands somewhere in the text, with a mistake in every [`PER_MISTAKE`] characters (Sellers 1980).
fn occurs(pattern: &[char], text: &[char]) -> bool {
    let allowed = pattern.len().checked_div(PER_MISTAKE).unwrap_or_default();
    // Of each prefix of the pattern, the fewest mistakes with which it ends here.
    let mut column: Vec<usize> = (0..=pattern.len()).collect();
    for c in text {
        let (mut diagonal, mut above) = (0_usize, 0_usize);
        for (expected, cell) in pattern.iter().zip(column.iter_mut().skip(1)) {
            let replaced = diagonal.saturating_add(usize::from(expected != c));
            diagonal = *cell;
            above = replaced.min(diagonal.min(above).saturating_add(1));
            *cell = above;
        }
        if above <= allowed {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(text: &str) -> Option<&'static str> {
        phrases_in(text).asks_to_enable()
    }

    #[test]
    fn lures_are_known_with_the_mistakes_of_readers() {
        for text in [
            "Click Enable Content",
            "C1ick \"Enab1e\nC0ntent\"",
            "press Enabie Editlng please",
            "コ ン テ ン ツ の 有 効 化",
            "コソテンツの有効化をクリック",
            "コンテソツを有効",
            "Inhalt aktlvieren",
        ] {
            assert!(asks(text).is_some(), "{text}");
        }
    }

    #[test]
    fn other_text_is_none() {
        for text in ["", "Contents", "Invoice 2024 total", "editing tables", "請求書 合計", "enable", "有効期限"]
        {
            assert_eq!(asks(text), None, "{text}");
        }
    }

    #[test]
    fn mistakes_are_counted() {
        let occurs =
            |pattern: &str, text: &str| occurs(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>());
        assert!(occurs("abcdefgh", "xxabcdefghxx"));
        for one in ["abcxefgh", "abcefgh", "abcxdefgh"] {
            assert!(occurs("abcdefgh", &format!("zz{one}zz")), "{one}");
            assert!(!occurs("abcdefg", &format!("zz{}zz", one.trim_end_matches('h'))), "{one}");
        }
        assert!(!occurs("abcdefgh", "abxdefxh"));
        assert!(!occurs("a", ""));
    }
}
