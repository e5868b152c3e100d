//! A fingerprint of a project's code: the same for every copy of a workbook whatever its cells say, another
//! one as soon as a statement changes.
//!
//! It covers what the code does and nothing else: every token of every module, by the names of the modules.
//! Comments, white space, `Attribute` lines, the case of names and the values of date literals are left out.
//! There is none where the source is not the whole truth: if it is missing, cut or unlike the compiled code,
//! or if data of the document decides what it does ([`is_steered`]), which a copy may have changed.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::fold::Value;
use super::token::{Kind, Token};
use super::trace::Call;
use crate::finding::{self, FindingId};

/// Names by which code reads what somebody else may have put into the document: cells, forms, properties,
/// variables, text. In lower case.
const DATA: &[&str] = &[
    "activecell",
    "alternativetext",
    "builtindocumentproperties",
    "bookmarks",
    "caption",
    "cells",
    "comments",
    "content",
    "contentcontrols",
    "controls",
    "controltiptext",
    "customdocumentproperties",
    "customxmlparts",
    "formfields",
    "groupname",
    "names",
    "oleformat",
    "paragraphs",
    "range",
    "selection",
    "shapes",
    "tables",
    "tag",
    "textframe",
    "usedrange",
    "variables",
];

/// What makes a capability that must not be approved blindly: another argument makes another program of it.
const STEERED: &[FindingId] = &[
    finding::VBA_RUN_PROGRAM,
    finding::VBA_RUN_INTERPRETER,
    finding::VBA_DOWNLOAD,
    finding::VBA_DROP_FILE,
    finding::VBA_DYNAMIC_CALL,
    finding::VBA_HIDDEN_OBJECT,
    finding::VBA_TAMPER,
];

/// The code of a part, project by project.
#[derive(Debug, Default)]
pub struct Code {
    projects: Vec<String>,
    is_void: bool,
}

impl Code {
    /// One more project: its fingerprint ([`of`]), or `None` if it cannot have one.
    pub fn add(&mut self, project: Option<String>) {
        self.is_void |= project.is_none();
        self.projects.extend(project);
    }

    /// The fingerprint of all of it; `None` if there is no code, or one of the projects has none.
    pub fn fingerprint(mut self) -> Option<String> {
        self.projects.sort_unstable();
        match self.projects.as_slice() {
            _ if self.is_void => None,
            [] => None,
            [one] => Some(one.clone()),
            several => Some(HEXLOWER.encode(&Sha256::digest(several.concat()))),
        }
    }
}

/// The fingerprint of a project: SHA-256 in lower-case hex. `modules` are the names and tokens of its modules.
pub fn of<'a>(modules: impl Iterator<Item = (&'a str, &'a [Token<'a>])>) -> String {
    let mut modules: Vec<(String, &[Token<'_>])> =
        modules.map(|(name, tokens)| (super::token::lower_case(name), tokens)).collect();
    modules.sort_by(|a, b| a.0.cmp(&b.0));
    let mut hash = Sha256::new();
    for (name, tokens) in modules {
        word(&mut hash, b'M', &name);
        for (nth, token) in tokens.iter().enumerate() {
            let before = nth.checked_sub(1).and_then(|before| tokens.get(before));
            // Empty lines are several ends in a row.
            if token.kind == Kind::End && before.is_none_or(|before| before.kind == Kind::End) {
                continue;
            }
            feed(&mut hash, &token.kind);
        }
    }
    HEXLOWER.encode(&hash.finalize())
}

/// Each kind with a letter and its length, so that no two rows of tokens look the same.
fn feed(hash: &mut Sha256, kind: &Kind<'_>) {
    match kind {
        Kind::Name(name) => word(hash, b'n', name.lower),
        // The case of a string matters: it is data.
        Kind::Text(text) => word(hash, b't', text.text),
        Kind::Number(number) => {
            hash.update([b'0']);
            hash.update(number.to_be_bytes());
        }
        Kind::Date => hash.update([b'd']),
        Kind::Sign(sign) => {
            hash.update([b's']);
            hash.update(u32::from(*sign).to_be_bytes());
        }
        Kind::NamedArgument => hash.update([b'a']),
        Kind::End => hash.update([b'e']),
    }
}

fn word(hash: &mut Sha256, kind: u8, text: &str) {
    hash.update([kind]);
    hash.update((text.len() as u64).to_be_bytes());
    hash.update(text);
}

/// Whether data of the document steers what the code does: it reads such data, and an argument of a call that
/// matters is not known from the code alone. `found` are the findings with the calls that they are about.
pub fn is_steered<'a>(tokens: impl Iterator<Item = &'a Token<'a>>, found: &[(FindingId, Option<&Call>)]) -> bool {
    let open = found
        .iter()
        .any(|(id, call)| STEERED.contains(id) && call.is_some_and(|call| !call.arguments.iter().all(is_fixed)));
    let mut tokens = tokens;
    open && tokens.any(|token| matches!(token.kind, Kind::Name(name) if DATA.contains(&name.lower)))
}

/// Whether the code alone says what it is: an object may stand for anything that the document holds.
fn is_fixed(value: &Value) -> bool {
    matches!(value, Value::Text(_) | Value::Number(_))
}

#[cfg(test)]
mod tests {
    use super::super::token::{Source, tokens};
    use super::*;

    fn print(modules: &[(&str, &str)]) -> String {
        let sources: Vec<(&str, Source<'_>)> = modules.iter().map(|(name, text)| (*name, Source::new(text))).collect();
        let tokens: Vec<(&str, Vec<Token<'_>>)> =
            sources.iter().map(|(name, source)| (*name, tokens(source))).collect();
        of(tokens.iter().map(|(name, tokens)| (*name, tokens.as_slice())))
    }

    const CODE: &str = "Sub Report()\r\n  Range(\"A1\") = 1 ' this month\r\nEnd Sub\r\n";

    #[test]
    fn what_changes_nothing_changes_no_fingerprint() {
        let code = print(&[("Module1", CODE), ("Sheet1", "")]);
        for same in [
            "sub REPORT()\nrange(\"A1\")=1\nend sub",
            "Attribute VB_Name = \"Module1\"\r\n\r\n\r\nSub Report()\r\nRange(\"A1\") _\r\n = 1\r\nRem old\r\nEnd Sub",
        ] {
            assert_eq!(print(&[("sheet1", "' nothing"), ("MODULE1", same)]), code, "{same}");
        }
    }

    #[test]
    fn what_changes_anything_changes_the_fingerprint() {
        let code = print(&[("Module1", CODE)]);
        for other in [
            CODE.replace("A1", "a1"),
            CODE.replace("= 1", "= 2"),
            CODE.replace("Sub Report", "Sub Workbook_Open"),
            CODE.replace("= 1 '", "= 1: Shell x '"),
            CODE.replace("(\"A1\")", ".A1"),
        ] {
            assert_ne!(print(&[("Module1", &other)]), code, "{other}");
        }
        assert_ne!(print(&[("ThisWorkbook", CODE)]), code, "a module's name decides what is an event");
        assert_ne!(print(&[("Module1", CODE), ("Module2", CODE)]), code);
    }

    #[test]
    fn no_two_rows_of_tokens_look_the_same() {
        assert_ne!(print(&[("m", "a \"bc\"")]), print(&[("m", "a \"b\" c")]));
        assert_ne!(print(&[("m", "ab")]), print(&[("m", "a b")]));
        assert_ne!(print(&[("m", "x = 1"), ("n", "")]), print(&[("m", ""), ("n", "x = 1")]));
    }

    #[test]
    fn a_part_with_a_project_without_fingerprint_has_none() {
        let all = |projects: &[Option<&str>]| {
            let mut code = Code::default();
            projects.iter().for_each(|project| code.add(project.map(str::to_owned)));
            code.fingerprint()
        };
        assert_eq!(all(&[]), None);
        assert_eq!(all(&[Some("a")]), Some("a".to_owned()));
        assert_eq!(all(&[Some("a"), None]), None);
        assert_eq!(all(&[Some("a"), Some("b")]), all(&[Some("b"), Some("a")]));
        assert_ne!(all(&[Some("a"), Some("b")]), all(&[Some("a")]));
    }
}
