//! Patterns in rules: `*` is any run of characters, `?` is one, everything else is itself.
//!
//! Deliberately no more than that: `[`, `{` and `\` occur in file names and addresses, and a rule
//! about `[invoice] *.docm` should mean what it says. Lists serve for alternatives.

use unicode_normalization::UnicodeNormalization;

/// A pattern over folded text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    text: String,
    tokens: Vec<Token>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Run,
    One,
    Char(char),
}

impl Glob {
    /// A pattern whose characters are compared as `fold` makes them.
    pub fn new(text: &str, fold: fn(&str) -> String) -> Self {
        let mut tokens = Vec::new();
        for piece in text.split_inclusive(['*', '?']) {
            let literal = piece.trim_end_matches(['*', '?']);
            tokens.extend(fold(literal).chars().map(Token::Char));
            match piece.chars().next_back() {
                Some('*') if tokens.last() != Some(&Token::Run) => tokens.push(Token::Run),
                Some('?') => tokens.push(Token::One),
                _ => {}
            }
        }
        Self { text: text.to_owned(), tokens }
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether all of `text`, already folded, fits. Linear in its length for each `*` at worst.
    pub fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let (mut token, mut at) = (0_usize, 0_usize);
        // Where to go on if the text does not fit: behind the last `*`, which takes one more.
        let mut again: Option<(usize, usize)> = None;
        loop {
            let next = text.get(at).copied();
            let fits = match self.tokens.get(token) {
                Some(Token::Run) => {
                    token = token.saturating_add(1);
                    again = Some((token, at));
                    continue;
                }
                Some(Token::One) => next.is_some(),
                Some(Token::Char(c)) => next == Some(*c),
                None if next.is_none() => return true,
                None => false,
            };
            if fits {
                (token, at) = (token.saturating_add(1), at.saturating_add(1));
                continue;
            }
            match again {
                Some((behind, from)) if from < text.len() => {
                    let from = from.saturating_add(1);
                    again = Some((behind, from));
                    (token, at) = (behind, from);
                }
                _ => return false,
            }
        }
    }
}

/// Lower case: for addresses, ids and types.
pub fn lower(text: &str) -> String {
    text.to_lowercase()
}

/// For file names: compatibility characters as their plain forms (`．ｅｘｅ` is `.exe`, `が` is the
/// same from a Mac as from Windows), lower case.
pub fn name(text: &str) -> String {
    text.nfkc().collect::<String>().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, text: &str) -> bool {
        Glob::new(pattern, name).matches(&name(text))
    }

    #[test]
    fn stars_and_question_marks() {
        for (pattern, text) in [
            ("", ""),
            ("*", ""),
            ("*", "anything"),
            ("*.docm", "Invoice.DOCM"),
            ("*.docm", ".docm"),
            ("a*b*c", "aXbYbZc"),
            ("**a**", "bab"),
            ("?", "請"),
            ("請求書*.xls?", "請求書 11月.xlsm"),
            ("[1] {x}\\", "[1] {X}\\"),
            ("*.exe", "ｓｅｔｕｐ．ｅｘｅ"),
            ("が.doc", "か\u{3099}.doc"),
            ("か\u{3099}*", "が.doc"),
        ] {
            assert!(check(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("", "a"),
            ("?", ""),
            ("?", "ab"),
            ("*.docm", "invoice.docm.exe"),
            ("a*b*c", "abcd"),
            ("*?", ""),
            ("[a]", "a"),
        ] {
            assert!(!check(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_star_typed_in_full_width_is_only_a_character() {
        assert!(!check("＊", "abc"));
        assert!(check("＊", "*"));
    }

    #[test]
    fn many_stars_on_a_long_name_end_soon() {
        let pattern = "*a".repeat(50) + "b";
        assert!(!check(&pattern, &"a".repeat(10_000)));
    }
}
