//! Text from mail on a terminal: shown so that it can neither steer the terminal nor look like
//! something it is not, and cut to a width.

use std::fmt::Write;

use crate::hostile::is_hostile;

/// A text as it may be shown: control characters, bidi and other invisible characters by name
/// (`report⟦U+202E⟧fdp.exe`), at most `max` columns wide; what is cut is shown by `…`.
pub fn escaped(text: &str, max: usize) -> String {
    let mut shown = String::new();
    let mut room = max;
    let mut characters = text.chars();
    // Enough to go back to, should the rest not fit: where the last column but one ended.
    let mut fits = 0;
    for character in characters.by_ref() {
        let before = room;
        let width = if is_hostile(character) {
            let _ = write!(shown, "⟦U+{:04X}⟧", u32::from(character));
            shown_width(character)
        } else {
            shown.push(character);
            columns(character)
        };
        if width > before {
            shown.truncate(fits);
            shown.push('…');
            break;
        }
        room = before.saturating_sub(width);
        if room >= 1 {
            fits = shown.len();
        }
    }
    shown
}

/// A text whose URLs can no longer be clicked: `hxxp://evil[.]example/path`.
pub fn defanged(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        let start = before.rfind(|c: char| !c.is_ascii_alphanumeric()).map_or(0, |at| {
            at.saturating_add(before.get(at..).and_then(|tail| tail.chars().next()).map_or(1, char::len_utf8))
        });
        let (head, scheme) = before.split_at_checked(start).unwrap_or((before, ""));
        let end = after.find(|c: char| c == '/' || c.is_whitespace() || c == '"').unwrap_or(after.len());
        let (host, tail) = after.split_at_checked(end).unwrap_or((after, ""));
        shown.push_str(head);
        shown.push_str(&scheme.replace('t', "x").replace('T', "X"));
        shown.push_str("://");
        shown.push_str(&host.replace("[.]", ".").replace('.', "[.]"));
        rest = tail;
    }
    shown.push_str(rest);
    shown
}

/// Columns that a text takes, without escaping it.
pub fn width(text: &str) -> usize {
    text.chars().fold(0, |sum, character| sum.saturating_add(columns(character)))
}

/// A text in a column of a table.
pub fn padded(text: &str, columns: usize) -> String {
    let spaces = columns.saturating_sub(width(text));
    format!("{text}{}", " ".repeat(spaces))
}

/// Columns of `⟦U+202E⟧`.
fn shown_width(character: char) -> usize {
    if u32::from(character) > 0xffff { 9 } else { 8 }
}

/// Columns of a character: 2 for East Asian wide ones and emoji (UAX #11), else 1. A combining mark
/// counts too, so that a pile of them ends.
fn columns(character: char) -> usize {
    match character {
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{303e}'
        | '\u{3041}'..='\u{a4cf}'
        | '\u{a960}'..='\u{a97f}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_or_hides_is_shown_by_name() {
        let rows = [
            ("report\u{202e}fdp.exe", "report⟦U+202E⟧fdp.exe"),
            ("\u{1b}]0;owned\u{7}", "⟦U+001B⟧]0;owned⟦U+0007⟧"),
            ("a\r\nb\tc\u{0}", "a⟦U+000D⟧⟦U+000A⟧b⟦U+0009⟧c⟦U+0000⟧"),
            ("\u{9b}31m", "⟦U+009B⟧31m"),
            ("pay\u{200b}pal\u{feff}", "pay⟦U+200B⟧pal⟦U+FEFF⟧"),
            ("\u{e0041}", "⟦U+E0041⟧"),
            ("請求書 №1 ❤\u{fe0f}", "請求書 №1 ❤\u{fe0f}"),
            ("", ""),
        ];
        for (text, shown) in rows {
            assert_eq!(escaped(text, 80), shown);
        }
    }

    #[test]
    fn the_width_is_kept_at_and_above_the_limit() {
        let rows = [
            ("abcde", 5, "abcde"),
            ("abcdef", 5, "abcd…"),
            ("請求書", 6, "請求書"),
            ("請求書", 5, "請求…"),
            ("請求書", 4, "請…"),
            ("a\u{202e}b", 9, "a…"),
            ("a\u{202e}b", 10, "a⟦U+202E⟧b"),
            ("abc", 1, "…"),
        ];
        for (text, max, shown) in rows {
            assert_eq!(escaped(text, max), shown, "{text:?} in {max}");
        }
        assert!(width(&escaped(&"e\u{301}".repeat(10_000), 40)) <= 40);
    }

    #[test]
    fn json_keeps_its_data() {
        let data = "a\u{202e}\u{e0041}\u{9b}\u{7f}\n\u{1b}請求";
        let json = serde_json::to_string_pretty(&[data]).unwrap();
        let shown = crate::hostile::escape_json(&json);
        assert!(shown.chars().all(|c| c == '\n' || !is_hostile(c)), "{shown}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&shown).unwrap(), [data]);
    }

    #[test]
    fn urls_cannot_be_clicked() {
        let rows = [
            ("http://evil.example/a.bin", "hxxp://evil[.]example/a.bin"),
            ("get HTTPS://a.b.c now", "get HXXPS://a[.]b[.]c now"),
            ("「http://a.b/」 and https://c.d", "「hxxp://a[.]b/」 and hxxps://c[.]d"),
            ("no url: //", "no url: //"),
            ("://", "://"),
            ("http://://x.y", "hxxp://://x.y"),
        ];
        for (text, shown) in rows {
            assert_eq!(defanged(text), shown);
        }
    }
}
