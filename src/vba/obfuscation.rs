//! Whether code is written so that it cannot be read: measures that no single family owns.
//!
//! Each measure alone occurs in honest code; two of them together, or one beyond what anybody
//! writes by hand, do not.

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};
use std::borrow::Cow;

use super::token::{Kind, Token, lower_case};

/// Less code than this is not measured: a share of ten tokens says nothing.
const LEAST_TOKENS: usize = 40;
/// Names that are looked at; a sample is enough for shares.
const MOST_NAMES: usize = 20_000;

/// What was measured of one project.
#[derive(Debug, Default)]
pub struct Measures {
    tokens: usize,
    decoders: usize,
    joins: usize,
    names: usize,
    meaningless: usize,
    assignments: usize,
    dead: usize,
    payload: usize,
}

/// What makes the code unreadable, in words; `None` if it is readable.
pub fn judge(modules: &[Vec<Token<'_>>]) -> Option<String> {
    let measures = measure(modules);
    if measures.tokens < LEAST_TOKENS {
        return None;
    }
    let reasons = measures.reasons();
    let points: u32 = reasons.iter().map(|(points, _)| points).sum();
    let words: Vec<&str> = reasons.iter().map(|(_, words)| words.as_str()).collect();
    (points >= 2).then(|| words.join(", "))
}

impl Measures {
    fn reasons(&self) -> Vec<(u32, String)> {
        let mut reasons = Vec::new();
        let mut rate = |points: u32, words: String| {
            if points > 0 {
                reasons.push((points, words));
            }
        };
        let decoders = per_mille(self.decoders, self.tokens);
        rate(steps(decoders, 15, 50, self.decoders >= 5), format!("{} decoding calls", self.decoders));
        let joins = per_mille(self.joins, self.tokens);
        rate(steps(joins, 60, 140, self.joins >= 12), format!("{} joined pieces of text", self.joins));
        let meaningless = per_mille(self.meaningless, self.names);
        rate(
            steps(meaningless, 300, 500, self.names >= 8),
            format!("{} of {} names without meaning", self.meaningless, self.names),
        );
        let dead = per_mille(self.dead, self.assignments);
        rate(
            steps(dead, 500, 800, self.assignments >= 10),
            format!("{} of {} results never used", self.dead, self.assignments),
        );
        rate(u32::from(self.payload >= 200), format!("an encoded text of {} characters", self.payload));
        reasons
    }
}

/// 1 above `odd`, 2 above `beyond`, if there is enough to measure.
fn steps(share: usize, odd: usize, beyond: usize, is_enough: bool) -> u32 {
    match is_enough {
        true if share >= beyond => 2,
        true if share >= odd => 1,
        _ => 0,
    }
}

fn per_mille(part: usize, whole: usize) -> usize {
    part.saturating_mul(1000).checked_div(whole).unwrap_or(0)
}

/// How a name is used.
#[derive(Default)]
struct Uses<'a> {
    /// How it is written where it was first seen.
    spelling: &'a str,
    mentions: usize,
    assignments: usize,
}

fn measure(modules: &[Vec<Token<'_>>]) -> Measures {
    const DECODERS: &[&str] = &["chr", "chrw", "chrb", "strreverse", "xor", "asc", "ascw", "ascb"];
    let mut measures = Measures::default();
    let mut names: HashMap<&str, Uses<'_>> = HashMap::new();
    // The editor gives a name one spelling; what was not written with it may have more.
    let mut respelt: HashSet<&str> = HashSet::new();
    for tokens in modules {
        let mut previous = Kind::End;
        for (at, token) in tokens.iter().enumerate() {
            let next = tokens.get(at.saturating_add(1)).map_or(Kind::End, |token| token.kind);
            measures.tokens = measures.tokens.saturating_add(1);
            match token.kind {
                Kind::Name(name) => {
                    if DECODERS.contains(&name.lower) {
                        measures.decoders = measures.decoders.saturating_add(1);
                    }
                    let is_member = previous == Kind::Sign('.');
                    let is_assigned = previous == Kind::End && next == Kind::Sign('=');
                    let is_sampled = names.len() < MOST_NAMES;
                    if !is_member && (is_sampled || is_assigned) {
                        let uses = names.entry(name.lower).or_default();
                        uses.assignments = uses.assignments.saturating_add(is_assigned.into());
                        if is_sampled {
                            uses.mentions = uses.mentions.saturating_add(1);
                            if uses.spelling.is_empty() {
                                uses.spelling = name.text;
                            } else if uses.spelling != name.text {
                                respelt.insert(name.text);
                            }
                        }
                    }
                }
                Kind::Sign('&' | '+') if is_piece(previous) || is_piece(next) => {
                    measures.joins = measures.joins.saturating_add(1);
                }
                Kind::Text(text) if is_encoded(text.text) => {
                    measures.payload = measures.payload.max(text.text.len());
                }
                _ => {}
            }
            previous = token.kind;
        }
    }
    let spellings = names.iter().map(|(lower, uses)| (uses.spelling, Cow::Borrowed(*lower)));
    let respelt = respelt.into_iter().map(|name| (name, Cow::Owned(lower_case(name))));
    for (name, _) in spellings.chain(respelt).filter(|(name, lower)| is_own(name, lower)) {
        measures.names = measures.names.saturating_add(1);
        measures.meaningless = measures.meaningless.saturating_add(is_meaningless(name).into());
    }
    let assigned = names.values().filter(|uses| uses.assignments > 0);
    measures.assignments = assigned.clone().count();
    measures.dead = assigned.filter(|uses| uses.mentions == uses.assignments).count();
    measures
}

/// A text, the end of a call, or a name: what is joined. Numbers are added.
fn is_piece(kind: Kind<'_>) -> bool {
    matches!(kind, Kind::Text(text) if text.text.len() <= 40)
}

/// Names that the author chose: neither keywords nor short counters nor names of Office.
fn is_own(name: &str, lower: &str) -> bool {
    let is_known =
        KNOWN.contains(&lower) || ["vb", "wd", "xl", "mso", "pp"].iter().any(|prefix| lower.starts_with(prefix));
    name.chars().count() >= 5 && !is_known
}

/// Words that occur in all code and would dilute the share.
const KNOWN: &[&str] = &[
    "activedocument",
    "activesheet",
    "application",
    "array",
    "boolean",
    "byref",
    "byval",
    "createobject",
    "document",
    "double",
    "elseif",
    "error",
    "false",
    "function",
    "getobject",
    "integer",
    "object",
    "optional",
    "private",
    "public",
    "range",
    "resume",
    "select",
    "sheets",
    "single",
    "string",
    "thisdocument",
    "thisworkbook",
    "until",
    "variant",
    "while",
    "workbooks",
    "worksheets",
    "const",
    "next",
    "shell",
    "static",
    "declare",
    "exit",
    "then",
    "nothing",
    "empty",
];

/// Whether a name looks drawn by lot. Only names of Latin letters are judged: digits within, no
/// vowels, long runs of consonants, case that changes without making words.
fn is_meaningless(name: &str) -> bool {
    if !name.is_ascii() {
        return false;
    }
    let letters = name.as_bytes();
    let is_vowel = |c: &u8| b"aeiouy".contains(&c.to_ascii_lowercase());
    let digits = letters.iter().filter(|c| c.is_ascii_digit()).count();
    let alphabetic: Vec<u8> = letters.iter().copied().filter(u8::is_ascii_alphabetic).collect();
    // Capitals in a row are abbreviations.
    let is_consonant = |c: &u8| c.is_ascii_lowercase() && !is_vowel(c);
    let longest_run = letters.split(|c| !is_consonant(c)).map(<[u8]>::len).max().unwrap_or(0);
    // Digits at the end number things; in the middle, or more than letters, they do not.
    let trailing = letters.iter().rev().take_while(|c| c.is_ascii_digit()).count();
    let digits_within = digits.saturating_sub(trailing);
    let changes = alphabetic
        .windows(2)
        .filter(|pair| matches!(pair, [a, b] if a.is_ascii_lowercase() && b.is_ascii_uppercase()))
        .count();
    let is_constant = alphabetic.iter().all(u8::is_ascii_uppercase);
    let lower = letters.iter().filter(|c| c.is_ascii_lowercase()).count();
    let vowels = letters.iter().filter(|c| is_vowel(c)).count();
    let few_vowels = lower >= 5 && vowels.saturating_mul(6) < lower;
    digits_within >= 2
        || (digits >= 4 && digits >= alphabetic.len())
        || (few_vowels && !is_constant)
        || (longest_run >= 6 && !is_constant)
        || (changes.saturating_mul(3) > alphabetic.len() && alphabetic.len() >= 6)
        || has_odd_case(&alphabetic)
}

/// Capitals in the middle of words: `qUeRzxv`, `pKFxxz`. Camel case has words of three letters
/// or more, and capitals together only as abbreviations.
fn has_odd_case(letters: &[u8]) -> bool {
    let mut words: Vec<usize> = Vec::new();
    for (at, letter) in letters.iter().enumerate() {
        let after_lower = at.checked_sub(1).and_then(|at| letters.get(at)).is_none_or(u8::is_ascii_lowercase);
        let before_lower = letters.get(at.saturating_add(1)).is_some_and(u8::is_ascii_lowercase);
        match words.last_mut() {
            Some(length) if !(letter.is_ascii_uppercase() && (after_lower || before_lower)) => {
                *length = length.saturating_add(1);
            }
            _ => words.push(1),
        }
    }
    let short = words.iter().filter(|length| **length <= 2).count();
    let starts_lower_and_short =
        letters.first().is_some_and(u8::is_ascii_lowercase) && words.first().is_some_and(|length| *length <= 3);
    letters.iter().any(u8::is_ascii_lowercase)
        && words.len() >= 3
        && short >= 2
        && short.saturating_mul(2) >= words.len()
        && (starts_lower_and_short || words.len() >= 4)
}

/// A long text without spaces that uses its letters evenly: Base64, hexadecimal, or junk between
/// the letters of something else. Paths and addresses have separators.
fn is_encoded(text: &str) -> bool {
    if text.len() < 80 || text.contains([' ', '\\', '/', '<', '%']) && !is_base64(text) {
        return false;
    }
    let mut seen = HashSet::new();
    seen.extend(text.bytes().take(400));
    seen.len() >= 14
}

fn is_base64(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='))
        && text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().any(|byte| byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_drawn_by_lot_have_no_meaning() {
        for name in ["qUeRzxv", "T29x8k", "gtHmeWBr", "pKFxxz", "vbCqMdKs", "G7730184", "K5_17_r9", "xkcdqrtz"] {
            assert!(is_meaningless(name), "{name}");
        }
    }

    #[test]
    fn names_of_people_have_meaning() {
        let names = [
            "lastRow",
            "rngTarget",
            "strFileName",
            "CommandButton1",
            "wsSummary2020",
            "MAX_ROWS",
            "getHTTPStatus",
            "Umsatzsteuer",
            "xlAppExcel",
            "bereich",
            "集計",
            "cnstHKCU",
            "BtnOK_Click",
            "IsNumericString",
            "m_cdsRPT",
            "oXMLHttp",
        ];
        for name in names {
            assert!(!is_meaningless(name), "{name}");
        }
    }
}
