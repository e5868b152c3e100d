//! Passwords that the text of a mail tells.
//!
//! A word for "password", something that separates (a colon, は, "is", brackets, a new line), and
//! a token. "Forgot your password?" tells none. What is found is tried on archives, never shown.

use aho_corasick::AhoCorasick;
use std::sync::LazyLock;

use super::nfkc;
use super::phrases::PASSWORD;

/// Each candidate costs a key derivation per archive; twenty are more than any honest mail tells.
const MAX_CANDIDATES: usize = 20;
/// Characters of a password.
pub(super) const MIN_LENGTH: usize = 3;
/// Characters of a password.
pub(super) const MAX_LENGTH: usize = 32;
/// Mentions of a password that are looked at.
const MAX_MENTIONS: usize = 50;

/// The passwords that `text` may tell, the likeliest first, and whether it tells more than these; empty if it tells none.
pub fn candidates(text: &str) -> (Vec<String>, bool) {
    let text = nfkc(text);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut found: Vec<(u8, String)> = Vec::new();
    let mut mentions = lines.iter().enumerate().flat_map(|(n, line)| mentions(line).map(move |after| (n, after)));
    for (n, after) in mentions.by_ref().take(MAX_MENTIONS) {
        let below = lines.get(n.saturating_add(1)..).unwrap_or_default();
        found.extend(told(after, below));
    }
    // Stable: of two equally likely, the one that stands first in the text.
    found.sort_by_key(|(doubt, _)| *doubt);
    let mut passwords: Vec<String> = Vec::new();
    let mut more = mentions.next().is_some() && !found.is_empty();
    for (_, token) in found {
        if passwords.contains(&token) {
            continue;
        }
        if passwords.len() < MAX_CANDIDATES {
            passwords.push(token);
        } else {
            more = true;
        }
    }
    (passwords, more)
}

static WORDS: LazyLock<AhoCorasick> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "a table of constants: the tests build it")]
    AhoCorasick::builder()
        .match_kind(aho_corasick::MatchKind::LeftmostLongest)
        .build(PASSWORD)
        .expect("few short words")
});

/// What stands behind each word for "password" in a line.
fn mentions(line: &str) -> impl Iterator<Item = &str> {
    let lower = lower_in_place(line);
    let ends: Vec<usize> = WORDS
        .find_iter(&lower)
        .filter(|found| stands_alone(&lower, found.start(), found.end()))
        .map(|found| found.end())
        .collect();
    ends.into_iter().filter_map(move |end| line.get(end..))
}

/// Lower case by character: offsets stay those of the line, since letters that would change their
/// size stay as they are.
fn lower_in_place(line: &str) -> String {
    if line.is_ascii() {
        return line.to_ascii_lowercase();
    }
    line.chars().map(|c| c.to_lowercase().next().filter(|l| l.len_utf8() == c.len_utf8()).unwrap_or(c)).collect()
}

/// Words in letters that join must not be part of a longer one ("compass", "パスポート").
fn stands_alone(line: &str, start: usize, end: usize) -> bool {
    let before = line.get(..start).and_then(|text| text.chars().next_back());
    let after = line.get(end..).and_then(|text| text.chars().next());
    let word = line.get(start..end).unwrap_or_default();
    if word == "パス" {
        return !before.is_some_and(is_katakana) && !after.is_some_and(is_katakana);
    }
    if word.chars().all(|c| matches!(c, '\u{3040}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}')) {
        return true;
    }
    let joins = |c: char| c.is_alphanumeric() && !matches!(c, '\u{3040}'..='\u{9fff}');
    !before.is_some_and(joins) && !after.is_some_and(joins)
}

fn is_katakana(c: char) -> bool {
    matches!(c, '\u{30a1}'..='\u{30fe}')
}

/// What follows a mention: candidates with a measure of doubt.
fn told(after: &str, below: &[&str]) -> Vec<(u8, String)> {
    let after: String = after.chars().take(80).collect();
    let Some((separator, rest)) = separated(&after) else { return Vec::new() };
    let rest = rest.trim();
    let here = variants(token(rest, separator));
    if here.is_empty() && (rest.is_empty() || BELOW.iter().any(|word| rest.to_lowercase().contains(word))) {
        // The token stands alone on one of the next lines, perhaps in brackets.
        let lines = below.iter().take(2).filter(|line| alone(line));
        return lines.map(|line| variants(token(line, separator))).find(|found| !found.is_empty()).unwrap_or_default();
    }
    here
}

/// Words that point to the next line.
const BELOW: &[&str] = &["下記", "以下", "次の", "below", "follow", "folgt"];

/// How a word for "password" and the rest of the line are separated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Separator {
    /// A colon, an equals sign, an arrow, a bracket.
    Clear,
    /// は, "is", a dash.
    Weak,
    /// White space: only a token that looks like a password counts.
    Blank,
}

/// Finds the separator within twenty characters ("Password for the archive: x").
fn separated(after: &str) -> Option<(Separator, &str)> {
    let clear = [':', '=', '→', '⇒', '「', '『', '【', '[', '"', '“', '«', '»', '】'];
    let near = after.char_indices().take(20).find(|(_, c)| clear.contains(c) || matches!(c, '?' | '。' | '.' | ';'));
    if let Some((at, c)) = near.filter(|(_, c)| clear.contains(c)) {
        // An opening bracket belongs to the token.
        let skip = if matches!(c, ':' | '=' | '→' | '⇒' | '】') { c.len_utf8() } else { 0 };
        return after.get(at.saturating_add(skip)..).map(|rest| (Separator::Clear, rest));
    }
    for word in ["は", " is ", " ist ", " lautet ", " es ", " est ", " è ", " é ", " - ", "-"] {
        if let Some((before, rest)) = after.split_once(word).filter(|(before, _)| before.chars().count() <= 20) {
            let question = before.contains('?');
            return (!question).then_some((Separator::Weak, rest));
        }
    }
    // Nothing on this line: the next one may tell it.
    (after.is_empty() || after.starts_with(char::is_whitespace)).then_some((Separator::Blank, after))
}

/// A remark in brackets may follow without a blank ("abc12(half-width)"): with it and without it.
fn variants(token: Option<(u8, String)>) -> Vec<(u8, String)> {
    let Some((doubt, token)) = token else { return Vec::new() };
    let short = token.split_once('(').map(|(before, _)| before.to_owned()).filter(|before| before.len() >= 3);
    short.into_iter().chain([token]).map(|token| (doubt, token)).collect()
}

/// The token at the start of `rest`, if it can be a password.
fn token(rest: &str, separator: Separator) -> Option<(u8, String)> {
    let rest = rest.trim_start();
    let (token, quoted, tail) = match rest.chars().next().and_then(closing) {
        Some(close) => {
            let inner = rest.char_indices().nth(1).and_then(|(at, _)| rest.get(at..))?;
            let (token, tail) = inner.split_once(close)?;
            (token.trim(), true, tail)
        }
        None => {
            let end = rest.find(|c: char| !c.is_ascii_graphic()).unwrap_or(rest.len());
            let (token, tail) = rest.split_at_checked(end)?;
            (token.trim_end_matches([',', ';', ')', ']', '"', '\'', '>']), false, tail)
        }
    };
    // A full stop ends the sentence more often than the password.
    let token = if quoted { token } else { token.strip_suffix('.').unwrap_or(token) };
    if !(MIN_LENGTH..=MAX_LENGTH).contains(&token.len())
        || !token.bytes().all(|b| b.is_ascii_graphic())
        || is_no_password(token)
    {
        return None;
    }
    let strange = looks_random(token.trim_end_matches(['!', '?']));
    let last = !tail.trim_start().starts_with(|c: char| c.is_ascii_alphabetic());
    let doubt = match (separator, quoted, strange, last) {
        (_, true, _, _) => 0,
        (_, _, true, _) => 1,
        (Separator::Clear, _, _, true) => 2,
        (Separator::Weak, _, _, true) => 3,
        // "Password: click here", "password protected".
        (Separator::Clear | Separator::Weak, _, _, false) | (Separator::Blank, _, _, _) => return None,
    };
    Some((doubt, token.to_owned()))
}

fn closing(open: char) -> Option<char> {
    Some(match open {
        '「' => '」',
        '『' => '』',
        '【' => '】',
        '[' => ']',
        '(' => ')',
        '<' => '>',
        '"' => '"',
        '\'' => '\'',
        '“' => '”',
        '‘' => '’',
        '«' => '»',
        _ => return None,
    })
}

/// Digits, symbols or capitals within: words have none of these.
pub(super) fn looks_random(token: &str) -> bool {
    let inner = token.get(1..).unwrap_or_default();
    token.bytes().any(|b| b.is_ascii_digit())
        || token.bytes().any(|b| b.is_ascii_punctuation() && b != b'-' && b != b'\'')
        || (inner.bytes().any(|b| b.is_ascii_uppercase()) && inner.bytes().any(|b| b.is_ascii_lowercase()))
}

/// Words that follow "password is" in letters about passwords, addresses, and rows of stars.
fn is_no_password(token: &str) -> bool {
    const WORDS: &[&str] = &[
        "required",
        "incorrect",
        "wrong",
        "expired",
        "expiring",
        "changed",
        "protected",
        "reset",
        "needed",
        "valid",
        "invalid",
        "sent",
        "attached",
        "below",
        "following",
        "not",
        "the",
        "your",
        "that",
        "here",
        "being",
        "set",
        "stored",
        "case",
        "safe",
        "secure",
        "about",
        "correct",
        "forgot",
        "forgotten",
        "click",
        "please",
        "provided",
        "separately",
        "also",
        "different",
        "same",
        "only",
        "still",
        "now",
        "going",
        "unknown",
        "optional",
        "none",
        "n/a",
        "protection",
        "and",
        "for",
    ];
    let lower = token.to_ascii_lowercase();
    let first = lower.chars().next();
    let one_character = lower.chars().all(|c| Some(c) == first);
    let address = lower.contains("://")
        || lower.starts_with("www.")
        || lower.contains('@') && lower.rsplit('@').next().is_some_and(|d| d.contains('.'));
    WORDS.contains(&lower.trim_end_matches(['!', '?']))
        || one_character && !lower.bytes().all(|b| b.is_ascii_digit())
        || address
        || token.ends_with(':')
}

/// Whether a line is one token, so that it can be what the line before announced.
fn alone(line: &str) -> bool {
    !line.trim().contains(char::is_whitespace) && line.chars().count() <= 40
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(text: &str) -> Vec<String> {
        super::candidates(text).0
    }

    #[test]
    fn passwords_as_people_tell_them() {
        let cases: &[(&str, &[&str])] = &[
            ("Password: infected", &["infected"]),
            ("Password for the archive: Xy7!kq", &["Xy7!kq"]),
            ("The password is abc123.", &["abc123"]),
            ("the password is swordfish", &["swordfish"]),
            ("PW：１２３４５", &["12345"]),
            ("ＰＷは下記のとおりです。\r\n\r\n  20221122", &["20221122"]),
            ("パスワードは以下になります\nab12cd", &["ab12cd"]),
            ("the password is as follows\nab12cd", &["ab12cd"]),
            ("解凍パスワード：a8Kd-33", &["a8Kd-33"]),
            ("解凍パスワードは「sakura2022」です。", &["sakura2022"]),
            ("パスワードは kQ99x です", &["kQ99x"]),
            ("【パスワード】hJ77aa", &["hJ77aa"]),
            ("パスワード\r\n\r\n  zz99", &["zz99"]),
            ("Password:\ngeheim\nRegards", &["geheim"]),
            ("パスワード\n「abc」", &["abc"]),
            ("※パスワード　abc12（半角）", &["abc12", "abc12("]),
            ("Password (case sensitive): Abc", &["Abc"]),
            ("protected with password 1234.", &["1234"]),
            ("Passwort: geheim", &["geheim"]),
            ("Das Kennwort lautet Sommer2021!", &["Sommer2021!"]),
            ("contraseña: 8841", &["8841"]),
            ("mot de passe : aB12", &["aB12"]),
            ("Пароль: 777", &["777"]),
            ("Jelszó: 4412", &["4412"]),
            ("Mật khẩu: ab12", &["ab12"]),
            ("解凍コード：ab12", &["ab12"]),
            ("password - 4417", &["4417"]),
            ("password 4417", &["4417"]),
            ("Archive pass: \"two-words\" thanks", &["two-words"]),
            ("Pass: one1\nPass: two2\nPass: one1", &["one1", "two2"]),
        ];
        for (text, expected) in cases {
            assert_eq!(candidates(text), *expected, "{text}");
        }
    }

    #[test]
    fn talk_about_passwords_tells_none() {
        let cases = [
            "Forgot your password? Click here.",
            "Your password: click here to reset it",
            "The password is required to open this file.",
            "Your password has expired.",
            "パスワードは別途お送りいたします。",
            "パスワードは以下の手順で変更してください。\n設定画面",
            "パスワードを忘れた方はこちら",
            "Password: ********",
            "Reset your password: https://example.com/reset?x=1",
            "Password\nSecurity\nHelp",
            "compass: north",
            "ZIP code: 90210",
            "パスポート: TK1234567",
            "Passwort vergessen? Hier klicken",
            "For password protected files call support.",
            "password: someone@example.com",
            "",
        ];
        for text in cases {
            assert_eq!(candidates(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn a_mail_full_of_passwords_gives_twenty() {
        let text: String = (0..1000).map(|n| format!("password: x{n}\n")).collect();
        let (passwords, more) = super::candidates(&text);
        assert_eq!((passwords.len(), more), (MAX_CANDIDATES, true));
        assert!(!super::candidates("password: x1y2\nPassword: x1y2").1);
    }

    #[test]
    fn clearer_ones_come_first() {
        assert_eq!(candidates("password is swordfish\npassword: \"xK9\""), ["xK9", "swordfish"]);
    }
}
