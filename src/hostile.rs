//! Text from mail where people read it: characters that could steer a terminal, forge a line, turn the
//! writing direction or hide are shown by number, everywhere in the same way.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether `c` could forge a line, move a cursor, turn the writing direction or hide: C0, DEL and C1
/// controls (ESC, CR, LF, CSI …), bidirectional controls (UAX #9), line and paragraph separators, zero
/// width and other invisible characters, tags.
pub fn is_hostile(c: char) -> bool {
    matches!(c,
        '\0'..='\x1f' | '\x7f'..='\u{9f}'
        // Soft hyphen, combining grapheme joiner, Arabic letter mark, Hangul fillers, Khmer inherent vowels.
        | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}' | '\u{ffa0}'
        // Mongolian separators, zero width, marks and overrides of direction, separators, isolates. (Variation
        // selectors are left: Japanese names and emoji need them.)
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        // Shorthand and musical controls, private use (whatever the font says), tags.
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{e00ff}')
}

/// `text` for terminals and text logs: each hostile character by its number, `⟦U+202E⟧`.
pub fn escape(text: &str) -> Cow<'_, str> {
    replace(text, is_hostile, |out, c| write!(out, "⟦U+{:04X}⟧", u32::from(c)))
}

/// A JSON text whose hostile characters are `\u` escapes. They can only stand inside strings, so the
/// value does not change; line feeds between tokens stay.
pub fn escape_json(json: &str) -> Cow<'_, str> {
    let hostile = |c| c != '\n' && is_hostile(c);
    replace(json, hostile, |out, c| {
        let mut units = [0; 2];
        c.encode_utf16(&mut units).iter().try_for_each(|unit| write!(out, "\\u{unit:04x}"))
    })
}

/// `text` with each character that is `odd` written by `shown`; borrowed if there is none.
pub fn replace(
    text: &str,
    odd: impl Fn(char) -> bool,
    shown: impl Fn(&mut String, char) -> std::fmt::Result,
) -> Cow<'_, str> {
    if !text.contains(&odd) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len().saturating_mul(2));
    for c in text.chars() {
        if odd(c) {
            // Writing to a String does not fail.
            let _ = shown(&mut out, c);
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_characters_are_shown_by_number() {
        assert_eq!(escape("請求書 2026.xls"), "請求書 2026.xls");
        assert_eq!(escape("report\u{202e}fdp.exe"), "report⟦U+202E⟧fdp.exe");
        assert_eq!(escape("\x1b]0;owned\x07\r\n"), "⟦U+001B⟧]0;owned⟦U+0007⟧⟦U+000D⟧⟦U+000A⟧");
        assert_eq!(escape("\u{9b}2J\u{200b}\u{feff}\u{e0041}"), "⟦U+009B⟧2J⟦U+200B⟧⟦U+FEFF⟧⟦U+E0041⟧");
    }

    #[test]
    fn json_keeps_its_value() {
        let text = "a\u{202e}\u{9b}\u{7f}\u{e0041}\u{1b}\r\n\"\\請";
        let json = serde_json::to_string(text).unwrap();
        let escaped = escape_json(&json);
        assert!(!escaped.contains(is_hostile), "{escaped}");
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
    }
}
