//! The functions of Excel by the numbers under which files name them ([MS-XLS] 2.5.198.17 Ftab, 2.5.198.4
//! Cetab; [MS-XLSB] has the same numbers).

use std::sync::LazyLock;

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its number; those of commands have the highest of 16 bits set.
    pub id: u16,
    /// Its English name, which is what files hold.
    pub name: &'static str,
    /// How many arguments it has where a token does not say so.
    pub arity: usize,
}

/// The number of a function that is none of Excel's: its name is the first argument.
pub const USER_DEFINED: u16 = 0xFF;
/// Set in the number of a command (fCeFunc of [MS-XLS] 2.5.198.63).
pub const COMMAND: u16 = 0x8000;

/// Number, name, and arguments if their count is fixed and not zero; sorted by number.
static TABLE: LazyLock<Vec<Function>> = LazyLock::new(|| {
    let row = |line: &'static str| {
        let mut fields = line.split(' ');
        let (id, name) = (fields.next()?.parse().ok()?, fields.next()?);
        Some(Function { id, name, arity: fields.next().and_then(|count| count.parse().ok()).unwrap_or(0) })
    };
    include_str!("functions.txt").lines().filter_map(row).collect()
});

/// The function of this number.
pub fn by_id(id: u16) -> Option<Function> {
    let at = TABLE.binary_search_by_key(&id, |function| function.id).ok()?;
    TABLE.get(at).copied()
}

/// The function of this name, whatever the case.
pub fn by_name(name: &str) -> Option<&'static str> {
    static NAMES: LazyLock<std::collections::HashSet<&'static str>> =
        LazyLock::new(|| TABLE.iter().map(|function| function.name).chain(["IFS", "SWITCH", "CONCAT"]).collect());
    // Functions younger than the file format have a mark in front.
    let upper = name.to_ascii_uppercase();
    NAMES.get(upper.strip_prefix("_XLFN.").unwrap_or(&upper)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole_and_sorted() {
        assert_eq!(TABLE.len(), include_str!("functions.txt").lines().count());
        assert!(TABLE.is_sorted_by_key(|function| function.id));
        for (id, name) in [(110, "EXEC"), (150, "CALL"), (149, "REGISTER"), (0x8011, "RUN"), (0x8060, "FORMULA")] {
            assert_eq!(by_id(id).map(|function| function.name), Some(name));
        }
        assert_eq!((by_id(111).unwrap().arity, by_id(34).unwrap().arity, by_id(9999)), (1, 0, None));
        assert_eq!((by_name("exec"), by_name("_xlfn.CONCAT"), by_name("evil")), (Some("EXEC"), Some("CONCAT"), None));
    }
}
