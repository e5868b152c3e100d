//! Files that were cut into pieces which lie side by side: `a.7z.001` and so on (7-Zip, HJSplit), and ZIP archives in
//! `a.z01`, …, `a.zip` (APPNOTE 8), and the volumes of RAR, `a.part1.rar` and so on, or `a.rar`, `a.r00` and so on.
//! Joined, they are a part of their own beside the pieces. (Volumes of RAR have headers of their own, which its reader
//! finds one behind the other.)

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::part::{Part, PartPath, extension};

/// Extensions of what is cut on purpose: a piece of it without the others is told.
const ARCHIVES: [&str; 9] = ["7z", "zip", "rar", "tar", "gz", "tgz", "bz2", "xz", "iso"];

/// What may be a piece, as it comes.
#[derive(Debug, Default)]
pub(super) struct Pieces(Vec<Piece>);

#[derive(Clone, Debug)]
struct Piece {
    around: PartPath,
    path: PartPath,
    whole: Whole,
    at: Place,
    bytes: Bytes,
}

/// What was cut, and how.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Whole {
    /// In lower case: Windows does not tell cases apart.
    key: String,
    cut: Cut,
    name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cut {
    /// `NAME.001`, …
    Numbered,
    /// `NAME.z01`, …, `NAME.zip`.
    Zip,
    /// `NAME.part1.rar` or `NAME.part1.exe`, …
    RarParts,
    /// `NAME.rar` or `NAME.exe`, which is number 0, `NAME.r00`, …
    Rar,
}

/// Which piece it is, in the order in which they are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Number(u32),
    /// The end of a split ZIP, which alone is named like the whole.
    Last,
}

/// What a name says, if it is that of a piece.
fn piece(name: &str) -> Option<(Whole, Place)> {
    let name = name.trim_end_matches(|c: char| c == '.' || c.is_whitespace());
    let (stem, ending) = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty())?;
    let number = |digits: &str| {
        let plain = (2..=5).contains(&digits.len()) && digits.bytes().all(|octet| octet.is_ascii_digit());
        plain.then(|| digits.parse().ok()).flatten().map(Place::Number)
    };
    let whole = |name: String, cut| Whole { key: name.to_lowercase(), cut, name };
    if ending.eq_ignore_ascii_case("zip") {
        return Some((whole(format!("{stem}.zip"), Cut::Zip), Place::Last));
    }
    // The first volume may unpack itself.
    if ["rar", "exe"].iter().any(|volume| ending.eq_ignore_ascii_case(volume)) {
        let part = stem.rsplit_once('.').and_then(|(name, part)| {
            let digits = part.get(..4).filter(|word| word.eq_ignore_ascii_case("part")).and(part.get(4..))?;
            let plain = (1..=5).contains(&digits.len()) && digits.bytes().all(|octet| octet.is_ascii_digit());
            Some((name, plain.then(|| digits.parse().ok()).flatten()?))
        });
        return Some(match part {
            Some((name, number)) => (whole(format!("{name}.rar"), Cut::RarParts), Place::Number(number)),
            None => (whole(format!("{stem}.rar"), Cut::Rar), Place::Number(0)),
        });
    }
    if let Some(digits) = ending.strip_prefix(['r', 'R']) {
        let Place::Number(behind) = number(digits)? else { return None };
        return Some((whole(format!("{stem}.rar"), Cut::Rar), Place::Number(behind.saturating_add(1))));
    }
    if let Some(digits) = ending.strip_prefix(['z', 'Z']) {
        return Some((whole(format!("{stem}.zip"), Cut::Zip), number(digits)?));
    }
    Some((whole(stem.to_owned(), Cut::Numbered), number(ending).filter(|_| ending.len() >= 3)?))
}

/// Pieces with one name for the whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Set {
    /// All are there, as far as one can tell.
    Joined {
        /// The name of the whole.
        name: String,
        /// The pieces, in order.
        pieces: Vec<Bytes>,
        /// Where they are.
        paths: Vec<PartPath>,
    },
    /// Some are missing.
    Missing {
        /// One of those that are there.
        path: PartPath,
        /// The name of the first one that is not.
        name: String,
    },
}

impl Pieces {
    /// Keeps a part in mind, if it may be a piece. There are no more than there may be parts.
    pub fn note(&mut self, part: &Part) {
        let named = part.names.iter().find_map(|name| piece(&name.text));
        if let (Some((whole, at)), Some(around)) = (named, part.path.with_ancestors().nth(1)) {
            self.0.push(Piece { around, path: part.path.clone(), whole, at, bytes: part.bytes.clone() });
        }
    }

    /// The sets among the children of a part, all of which are known now.
    pub fn take(&mut self, around: &PartPath) -> Vec<Set> {
        let mut sets: BTreeMap<(String, Cut), Vec<Piece>> = BTreeMap::new();
        for piece in self.0.extract_if(.., |piece| piece.around == *around) {
            sets.entry((piece.whole.key.clone(), piece.whole.cut)).or_default().push(piece);
        }
        sets.into_values().flat_map(set).collect()
    }
}

/// What becomes of pieces of one name. Of two at the same place, the first counts once and the last once.
fn set(mut pieces: Vec<Piece>) -> Vec<Set> {
    // Stable: in the order of their paths.
    pieces.sort_by_key(|piece| piece.at);
    let mut last: BTreeMap<Place, &Piece> = BTreeMap::new();
    let mut first: BTreeMap<Place, &Piece> = BTreeMap::new();
    for piece in &pieces {
        first.entry(piece.at).or_insert(piece);
        last.insert(piece.at, piece);
    }
    let mut sets: Vec<Set> = [first, last].iter().filter_map(joined).collect();
    sets.dedup();
    sets
}

fn joined(pieces: &BTreeMap<Place, &Piece>) -> Option<Set> {
    let (_, any) = pieces.first_key_value()?;
    let Whole { name, cut, .. } = &any.whole;
    let mut wanted = if *cut == Cut::Rar || pieces.contains_key(&Place::Number(0)) { 0 } else { 1 };
    for at in pieces.keys() {
        if let Place::Number(number) = at
            && *number == wanted
        {
            wanted = number.saturating_add(1);
        }
    }
    // Those that are there have the numbers up to this one, or there is a gap.
    let beyond =
        pieces.keys().rev().find_map(|at| if let Place::Number(number) = at { Some(*number) } else { None })?;
    let missing = |name: String| Some(Set::Missing { path: any.path.clone(), name });
    match cut {
        Cut::Zip if beyond >= wanted => missing(format!("{}z{wanted:02}", name.trim_end_matches("zip"))),
        Cut::Zip if !pieces.contains_key(&Place::Last) => missing(name.clone()),
        Cut::Numbered if beyond >= wanted => {
            is_cut_on_purpose(name).then(|| missing(format!("{name}.{wanted:03}"))).flatten()
        }
        Cut::RarParts if beyond >= wanted => missing(format!("{}part{wanted}.rar", name.trim_end_matches("rar"))),
        Cut::Rar if wanted == 0 => missing(name.clone()),
        Cut::Rar if beyond >= wanted => {
            missing(format!("{}r{:02}", name.trim_end_matches("rar"), wanted.saturating_sub(1)))
        }
        Cut::Numbered | Cut::RarParts | Cut::Rar if pieces.len() < 2 => None,
        Cut::Zip | Cut::Numbered | Cut::RarParts | Cut::Rar => Some(Set::Joined {
            name: name.clone(),
            pieces: pieces.values().map(|piece| piece.bytes.clone()).collect(),
            paths: pieces.values().map(|piece| piece.path.clone()).collect(),
        }),
    }
}

fn is_cut_on_purpose(name: &str) -> bool {
    extension(name).is_some_and(|extension| ARCHIVES.contains(&extension.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filetype::TypeSet;
    use crate::part::{Name, Origin};

    /// The sets of files of these names; each has its number as content.
    fn sets(names: &[&str]) -> Vec<Set> {
        let mut pieces = Pieces::default();
        for (number, name) in (1_u32..).zip(names) {
            let path = PartPath::root().child(number);
            let part = Part {
                path: path.clone(),
                document: path,
                origin: Origin::Attachment,
                names: vec![Name::plain(*name)],
                declared: None,
                bytes: Bytes::from(number.to_string()),
                types: TypeSet::EMPTY,
                depth: 1,
                span: None,
            };
            pieces.note(&part);
        }
        pieces.take(&PartPath::root())
    }

    #[track_caller]
    fn check(names: &[&str], expected: &[(&str, &str)]) {
        let found: Vec<(String, String)> = sets(names)
            .into_iter()
            .map(|set| match set {
                Set::Joined { name, pieces, .. } => {
                    (name, pieces.iter().map(|piece| String::from_utf8_lossy(piece).into_owned()).collect())
                }
                Set::Missing { name, .. } => (name, "missing".to_owned()),
            })
            .collect();
        let found: Vec<(&str, &str)> = found.iter().map(|(name, what)| (name.as_str(), what.as_str())).collect();
        assert_eq!(found, expected, "{names:?}");
    }

    #[test]
    fn pieces_are_joined_in_their_order() {
        check(&["a.7z.002", "A.7Z.001", "b.txt", "a.7z.003"], &[("A.7Z", "214")]);
        check(&["a.docm.000", "a.docm.001"], &[("a.docm", "12")]);
        check(&["a.zip", "a.z02", "a.Z01"], &[("a.zip", "321")]);
        check(&["a.zip.001", "a.zip.002", "a.zip"], &[("a.zip", "12")]);
        check(&["a.part2.rar", "a.PART1.rar"], &[("a.rar", "21")]);
        check(&["a.r01", "a.r00", "A.rar"], &[("A.rar", "321")]);
        check(&["a.part2.rar", "a.part1.exe"], &[("a.rar", "21")]);
        check(&["a.r00", "a.exe"], &[("a.rar", "21")]);
    }

    #[test]
    fn what_is_no_set_is_left_alone() {
        for names in [
            &["a.zip"][..],
            &["a.rar", "b.rar"],
            &["a.rar", "a.exe"],
            &["a.part1.rar"],
            &["a.7z.001"],
            &["b.001", "c.002"],
            &["log.004", "log.007"],
            &["a.01", "a.02"],
            &[".001", ".002"],
            &["a.12345678", "a.1x1"],
        ] {
            check(names, &[]);
        }
    }

    #[test]
    fn a_piece_that_is_missing_is_named() {
        check(&["a.7z.001", "a.7z.003"], &[("a.7z.002", "missing")]);
        check(&["a.tar.gz.002"], &[("a.tar.gz.001", "missing")]);
        check(&["a.z01", "a.z02"], &[("a.zip", "missing")]);
        check(&["a.zip", "a.z02"], &[("a.z01", "missing")]);
        check(&["a.part3.rar", "a.part1.rar"], &[("a.part2.rar", "missing")]);
        check(&["a.r00"], &[("a.rar", "missing")]);
        check(&["a.rar", "a.r01"], &[("a.r00", "missing")]);
    }

    #[test]
    fn two_pieces_with_one_number_make_two_wholes() {
        check(&["a.7z.001", "a.7z.002", "a.7z.002"], &[("a.7z", "12"), ("a.7z", "13")]);
    }
}
