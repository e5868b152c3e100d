//! What the editor shows of a project: its protection and the modules it lists ([MS-OVBA] 2.3.1), and names
//! that are told twice and do not agree. Passwords are neither checked nor tried.

use std::collections::BTreeSet;
use std::ops::Bound;

use encoding_rs::Encoding;

/// Octets of a PROJECT stream that are read: a line for each module, and a few more.
pub const MAX_PROJECT: u64 = 1 << 20;
/// Octets of an encrypted value: a password hash has 29 (2.4.4.1), a password in plain text at most 255.
const MAX_VALUE: usize = 1 << 10;

/// Whether the editor shows the project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Protection {
    /// To everybody; or nothing is known.
    #[default]
    Open,
    /// To who knows the password, or who calls it by the program that made it.
    Locked,
    /// To nobody, by values that no Office writes.
    Hidden(&'static str),
}

/// The PROJECT stream, as far as it matters here.
#[derive(Debug, Default)]
pub struct Shown {
    /// Whether the editor shows the project.
    pub protection: Protection,
    /// Names of its modules, decoded, in lower case ([`folded`]).
    modules: BTreeSet<String>,
    /// Whether one of them could not be decoded as a whole.
    is_vague: bool,
}

impl Shown {
    /// Whether the module is listed that has these names, in the code page and in Unicode, as far as `encoding`
    /// allows to tell. A list that names nothing is damaged, and hides nothing.
    pub fn lists(&self, narrow: &str, wide: &str, encoding: Option<&'static Encoding>) -> bool {
        if self.modules.is_empty() || [narrow, wide].iter().any(|name| self.modules.contains(&folded(name))) {
            return true;
        }
        if wide.is_ascii() {
            return false;
        }
        let Some(lost) = wide.find(|letter| !can_hold(encoding, letter)) else { return self.is_vague };
        let start = folded(wide.get(..lost).unwrap_or_default());
        let mut from = self.modules.range::<str, _>((Bound::Included(start.as_str()), Bound::Unbounded));
        self.is_vague || from.next().is_some_and(|name| name.starts_with(&start))
    }
}

/// `name` in lower case, letter by letter, so that the start of a name gives the start of its lower case.
fn folded(name: &str) -> String {
    name.chars().flat_map(char::to_lowercase).collect()
}

/// Reads a PROJECT stream, whose names `decode` decodes.
pub fn read(stream: &[u8], decode: impl Fn(&[u8]) -> String) -> Shown {
    const MODULES: [&[u8]; 4] = [b"Document", b"Module", b"Class", b"BaseClass"];
    let mut shown = Shown::default();
    let (mut state, mut password, mut visibility) = (None, None, None);
    for line in stream.split(|octet| matches!(octet, b'\r' | b'\n')) {
        if line.starts_with(b"[") {
            break;
        }
        let mut halves = line.splitn(2, |octet| *octet == b'=');
        let (Some(key), Some(value)) = (halves.next(), halves.next()) else { continue };
        if MODULES.iter().any(|module| key.eq_ignore_ascii_case(module)) {
            let name = decode(value);
            // `Document=Sheet1/&H00000000` (2.3.1.5); a name holds no slash.
            let name = folded(name.split('/').next().unwrap_or_default().trim());
            shown.is_vague |= name.contains(char::REPLACEMENT_CHARACTER);
            shown.modules.insert(name);
        }
        match key {
            b"CMG" => state = Some(decrypt(value)),
            b"DPB" => password = Some(decrypt(value)),
            b"GC" => visibility = Some(decrypt(value)),
            _ => {}
        }
    }
    shown.protection = match (state, password, visibility) {
        // Other programs than Office leave all three out.
        (None, None, None) => Protection::Open,
        (Some(Some(state)), Some(Some(password)), Some(Some(visibility))) => protection(&state, &password, &visibility),
        (None, _, _) | (_, None, _) | (_, _, None) => Protection::Hidden("a value of its protection is missing"),
        _ => Protection::Hidden("a value of its protection cannot be decoded"),
    };
    shown
}

/// ProjectProtectionState, ProjectPassword and ProjectVisibilityState (2.3.1.15 to 17).
fn protection(state: &[u8], password: &[u8], visibility: &[u8]) -> Protection {
    let Ok(state) = state.try_into().map(u32::from_le_bytes) else {
        return Protection::Hidden("its protection has a wrong length");
    };
    // fUserProtected, fHostProtected, fVbeProtected; a password of one octet is none.
    let is_locked = state & 7 != 0 || password.len() > 1;
    match visibility {
        // Office hides a locked project too.
        [0x00] | [0xFF] if is_locked => Protection::Locked,
        [0xFF] => Protection::Open,
        [0x00] => Protection::Hidden("it is invisible without being locked"),
        _ => Protection::Hidden("its visibility is neither of the two"),
    }
}

/// Decrypts a quoted value (2.4.3.3).
fn decrypt(value: &[u8]) -> Option<Vec<u8>> {
    let digits = value.trim_ascii().strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let octets = data_encoding::HEXUPPER_PERMISSIVE.decode(digits.get(..MAX_VALUE).unwrap_or(digits)).ok()?;
    let [seed, version, key, rest @ ..] = octets.as_slice() else { return None };
    if seed ^ version != 2 {
        return None;
    }
    let (mut last, mut last_but_one, mut plain) = (*key, *version, seed ^ key);
    let mut out = Vec::with_capacity(rest.len());
    for octet in rest {
        plain = octet ^ last_but_one.wrapping_add(plain);
        (last_but_one, last) = (last, *octet);
        out.push(plain);
    }
    let ignored = usize::from((seed & 6) >> 1);
    let (length, data) = out.get(ignored..)?.split_first_chunk::<4>()?;
    (u32::from_le_bytes(*length) as usize == data.len()).then(|| data.to_vec())
}

/// Whether a name in the code page and one in Unicode are the same, whatever the code page cannot hold.
pub fn agree(narrow: &str, wide: &str, encoding: Option<&'static Encoding>) -> bool {
    let mut rest = narrow.chars();
    for letter in wide.chars() {
        if !can_hold(encoding, letter) {
            // Best fit, a question mark, two of them for a surrogate pair: what follows cannot be told.
            return true;
        }
        match rest.next() {
            Some(char::REPLACEMENT_CHARACTER) if !letter.is_ascii() => return true,
            Some(other) if other.to_lowercase().eq(letter.to_lowercase()) => {}
            _ => return false,
        }
    }
    rest.next().is_none()
}

/// Whether a code page has the letter; one that nobody knows has those of ASCII.
fn can_hold(encoding: Option<&'static Encoding>, letter: char) -> bool {
    let mut text = [0; 4];
    letter.is_ascii() || encoding.is_some_and(|encoding| !encoding.encode(letter.encode_utf8(&mut text)).2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The other direction of [`decrypt`] (2.4.3.2).
    fn encrypted(seed: u8, data: &[u8]) -> String {
        let key = 0x5A;
        let mut octets = vec![seed, seed ^ 2, seed ^ key];
        let (mut last, mut last_but_one, mut plain) = (seed ^ key, seed ^ 2, key);
        let ignored = vec![0x07; usize::from((seed & 6) >> 1)];
        for octet in [&ignored[..], &(data.len() as u32).to_le_bytes(), data].concat() {
            let next = octet ^ last_but_one.wrapping_add(plain);
            (last_but_one, last, plain) = (last, next, octet);
            octets.push(next);
        }
        format!("\"{}\"", data_encoding::HEXUPPER.encode(&octets))
    }

    fn shown(lines: &[(&str, String)]) -> Shown {
        let text: String = lines.iter().map(|(key, value)| format!("{key}={value}\r\n")).collect();
        read(text.as_bytes(), |octets| String::from_utf8_lossy(octets).into_owned())
    }

    fn protected(seed: u8, state: u32, password: &[u8], visibility: &[u8]) -> Protection {
        let (state, password) = (encrypted(seed, &state.to_le_bytes()), encrypted(seed, password));
        shown(&[("CMG", state), ("DPB", password), ("GC", encrypted(seed, visibility))]).protection
    }

    #[test]
    fn a_locked_project_is_told_from_an_open_and_a_hidden_one() {
        for seed in 0..=255 {
            assert_eq!(protected(seed, 0, &[0], &[0xFF]), Protection::Open);
            assert_eq!(protected(seed, 1, &[9; 29], &[0]), Protection::Locked);
            assert_eq!(protected(seed, 4, &[0], &[0xFF]), Protection::Locked);
            assert!(matches!(protected(seed, 0, &[0], &[0]), Protection::Hidden(_)));
            assert!(matches!(protected(seed, 0, &[0], &[1]), Protection::Hidden(_)));
            assert!(matches!(protected(seed, 0, &[0], &[]), Protection::Hidden(_)));
        }
    }

    #[test]
    fn values_that_no_office_writes_hide_a_project() {
        let [state, none, visible] = [&[0; 4][..], &[0], &[0xFF]].map(|data| encrypted(3, data));
        for bad in ["\"\"", "\"XYZ\"", "\"0705\"", "", "\"00000000000000000000\""] {
            let lines = [("CMG", bad.to_owned()), ("DPB", none.clone()), ("GC", visible.clone())];
            assert!(matches!(shown(&lines).protection, Protection::Hidden(_)), "{bad}");
        }
        let lines = [("CMG", state), ("DPx", none), ("GC", visible)];
        assert!(matches!(shown(&lines).protection, Protection::Hidden(_)));
        assert_eq!(shown(&[]).protection, Protection::Open);
    }

    #[test]
    fn what_a_code_page_cannot_hold_is_no_difference() {
        let western = Some(encoding_rs::WINDOWS_1252);
        let japanese = Some(encoding_rs::SHIFT_JIS);
        assert!(agree("module1", "Module1", western));
        assert!(agree("Größe", "Größe", western) && agree("計算", "計算", japanese));
        assert!(agree("??", "計算", western) && agree("A?", "A計", None));
        assert!(!agree("Module1", "Module2", western) && !agree("計算", "計測", japanese));
        assert!(!agree("Module1", "Module", western) && !agree("Modul", "Module", western));
    }

    #[test]
    fn a_module_is_listed_by_either_name_and_by_what_the_code_page_holds_of_it() {
        let western = Some(encoding_rs::WINDOWS_1252);
        let list = |names: &[&str]| shown(&names.iter().map(|name| ("Module", (*name).to_owned())).collect::<Vec<_>>());
        let found = list(&["Module1", "Größe", "Blatt??", "ΛΌΓΟΣ"]);
        for (narrow, wide) in [("MODULE1", "x"), ("x", "module1"), ("x", "GRÖßE")] {
            assert!(found.lists(narrow, wide, western), "{narrow} {wide}");
        }
        assert!(found.lists("x", "blatt計算", western) && found.lists("x", "λόγοσ", Some(encoding_rs::UTF_8)));
        assert!(found.lists("x", "größe計算", None), "what follows cannot be told");
        assert!(!found.lists("x", "module2", western) && !found.lists("x", "Größer", western));
        assert!(!found.lists("x", "tabelle計算", western));
        assert!(list(&[]).lists("x", "y", western), "a list that names nothing is damaged");
        let vague = list(&["a\u{FFFD}"]);
        assert!(vague.lists("x", "計算", western) && vague.lists("x", "größe", western));
        assert!(!vague.lists("x", "module1", western));
    }

    #[test]
    fn a_long_list_is_no_longer_for_many_modules() {
        // 130,000 names that begin alike: comparing each with each of 4000 would take minutes.
        let alike = "計".repeat(40);
        let names: Vec<(&str, String)> = (0..130_000).map(|number| ("Module", format!("{alike}{number}"))).collect();
        let found = shown(&names);
        for number in 0..4000 {
            let own = format!("{alike}x{number}");
            for encoding in [Some(encoding_rs::SHIFT_JIS), None] {
                found.lists(&own, &own, encoding);
            }
            assert!(!found.lists(&own, &own, Some(encoding_rs::SHIFT_JIS)));
        }
    }
}
