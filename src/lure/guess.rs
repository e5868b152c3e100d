//! What else may be a password, if nothing in the mail says that it is one: words that stand out in the text, names of
//! files, the date. They are tried after those that are told, on what costs little to try; that there are any says
//! nothing.

use std::collections::HashSet;

use mail_parser::DateTime;

use super::nfkc;
use super::password::{MAX_LENGTH, MIN_LENGTH, looks_random};

/// Words of one text: one more than are tried, so that it is noticed. A letter has some hundred different ones; those
/// that look like passwords come first.
const MAX_WORDS: usize = 201;
/// Octets of a text that are looked at from its start, and again from its end: the last line is a favourite place.
const WINDOW: usize = 64 << 10;

/// Words that can be a password: the likeliest first.
pub fn of_text(text: &str) -> Vec<String> {
    let (head, tail) = (upto(text, WINDOW), text.get(WINDOW..).map_or("", |rest| from_end(rest, WINDOW)));
    let text = [nfkc(tail), nfkc(head)].join("\n");
    let mut seen = HashSet::new();
    let (mut strange, mut alone, mut plain) = (Vec::new(), Vec::new(), Vec::new());
    for line in text.lines() {
        let words = line.split(|c: char| !c.is_ascii_graphic()).flat_map(readings);
        for word in words.filter(|word| can_be(word) && seen.insert(*word)) {
            let list = match looks_random(word) {
                true => &mut strange,
                false if word == line.trim() => &mut alone,
                false => &mut plain,
            };
            if list.len() < MAX_WORDS {
                list.push(word.to_owned());
            }
        }
    }
    strange.append(&mut alone);
    strange.append(&mut plain);
    strange.truncate(MAX_WORDS);
    strange
}

/// What the name of a file offers: without its extension, what stands between blanks, underscores and brackets, and each
/// piece of it.
pub fn of_name(name: &str) -> Vec<String> {
    let name = nfkc(name);
    let base = name.rsplit(['/', '\\']).next().unwrap_or(&name);
    let stem = base.rsplit_once('.').map_or(base, |(stem, _)| stem);
    let words = stem.split(|c: char| !c.is_ascii_graphic() || matches!(c, '_' | '(' | ')' | '[' | ']'));
    let pieces = words.clone().chain(stem.split(|c: char| !c.is_ascii_alphanumeric()));
    let mut found: Vec<String> = Vec::new();
    for word in std::iter::once(stem).chain(pieces).filter(|word| can_be(word)).take(MAX_PIECES) {
        if !found.iter().any(|known| known == word) {
            found.push(word.to_owned());
        }
    }
    found
}

/// Pieces of one name.
const MAX_PIECES: usize = 12;

/// The day of a letter as people write it without blanks.
pub fn of_date(date: &str) -> Vec<String> {
    let Some(DateTime { year, month, day, .. }) = DateTime::parse_rfc822(date) else { return Vec::new() };
    let short = year.checked_rem(100).unwrap_or_default();
    vec![
        format!("{year:04}{month:02}{day:02}"),
        format!("{short:02}{month:02}{day:02}"),
        format!("{month:02}{day:02}"),
        format!("{day:02}{month:02}{year:04}"),
        format!("{day:02}{month:02}{short:02}"),
        format!("{day:02}{month:02}"),
        format!("{month:02}{day:02}{year:04}"),
        format!("{year:04}-{month:02}-{day:02}"),
        format!("{year:04}/{month:02}/{day:02}"),
    ]
}

/// A word as it stands, and without what a sentence puts around it.
fn readings(word: &str) -> impl Iterator<Item = &str> {
    const AROUND: &[char] =
        &['"', '\'', '(', ')', '[', ']', '{', '}', '<', '>', ',', '.', ';', ':', '!', '?', '*', '`'];
    let bare = if is_address(word) { "" } else { word.trim_matches(AROUND) };
    // "PW:abc", "pass=abc".
    let value = bare.rsplit([':', '=']).next().unwrap_or(bare);
    // What ends in an exclamation mark may well end in it.
    let whole = if bare.is_empty() { "" } else { word.trim_start_matches(AROUND) };
    [Some(bare), (value != bare).then_some(value), (whole != bare && whole.ends_with(['!', '?'])).then_some(whole)]
        .into_iter()
        .flatten()
}

fn is_address(word: &str) -> bool {
    word.contains("://") || word.contains("www.") || word.contains('@') && word.contains('.')
}

fn can_be(word: &str) -> bool {
    let mut octets = word.bytes();
    let first = octets.next();
    let line = octets.all(|octet| Some(octet) == first) && !first.is_some_and(|octet| octet.is_ascii_digit());
    (MIN_LENGTH..=MAX_LENGTH).contains(&word.len()) && word.bytes().all(|octet| octet.is_ascii_graphic()) && !line
}

fn upto(text: &str, octets: usize) -> &str {
    text.get(..text.floor_char_boundary(octets)).unwrap_or(text)
}

fn from_end(text: &str, octets: usize) -> &str {
    text.get(text.ceil_char_boundary(text.len().saturating_sub(octets))..).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_password_comes_first() {
        let text = "Dear colleague,\r\nplease find the report attached.\r\nYours\r\n\r\nkX9-77\r\n";
        let words = of_text(text);
        assert_eq!(words[0], "kX9-77");
        assert!(words.contains(&"report".to_owned()) && words.contains(&"attached".to_owned()));
        assert!(!words.contains(&"attached.".to_owned()));
    }

    #[test]
    fn words_stand_among_others_however_they_are_written() {
        for (text, word) in [
            ("お世話になっております。ａｂｃ１２３で開けます。", "abc123"),
            ("(4711)", "4711"),
            ("use Sommer!", "Sommer!"),
            ("code=77ab", "77ab"),
            ("lone", "lone"),
            ("合言葉は「sakura」です", "sakura"),
        ] {
            assert!(of_text(text).contains(&word.to_owned()), "{text}: {:?}", of_text(text));
        }
    }

    #[test]
    fn addresses_and_lines_are_no_words() {
        assert_eq!(of_text("https://example.com/x www.example.com a@b.example ---------- ab"), [""; 0]);
        assert_eq!(of_text(&"x".repeat(33)), [""; 0]);
        assert_eq!(of_text(""), [""; 0]);
    }

    #[test]
    fn a_book_gives_so_many_words_and_its_last_line_is_among_them() {
        let mut text: String = (0..100_000).map(|n| format!("word{n} ")).collect();
        text.push_str("\nlast99");
        let words = of_text(&text);
        assert_eq!(words.len(), MAX_WORDS);
        let text = format!("{}\nlast99", "plain text without end ".repeat(100_000));
        assert!(of_text(&text).contains(&"last99".to_owned()));
    }

    #[test]
    fn names_and_dates_offer_what_people_take_of_them() {
        assert_eq!(of_name("請求書_20221122-ab12.zip"), ["20221122-ab12", "20221122", "ab12"]);
        assert_eq!(of_name("report_Kq7-x9.zip"), ["report_Kq7-x9", "report", "Kq7-x9", "Kq7"]);
        assert_eq!(of_name("a/b/report.final.zip"), ["report.final", "report", "final"]);
        assert_eq!(of_date("Tue, 22 Nov 2022 10:00:00 +0900")[..3], ["20221122", "221122", "1122"]);
        assert_eq!(of_date("yesterday"), [""; 0]);
    }
}
