//! Fields of Word (ECMA-376 part 1, 17.16; [MS-DOC] 2.8.25) and links by Dynamic Data Exchange: what they
//! start or load when they are updated.
//!
//! Fields stand in each other, so [`Fields`] keeps those that are open on a bounded stack. QUOTE and SET are
//! evaluated, since commands are spelt in character codes; other fields count by their result.

use crate::command::program;
use crate::finding;
use crate::link::{self, Reach};
use crate::part::Part;
use crate::scan::{IndicatorKind, Scan};

/// Open fields that are followed; Word nests to 20.
const MAX_OPEN: usize = 64;
/// Octets of a field code that are kept.
const MAX_CODE: usize = 16 << 10;
/// Fields of one document that are judged; a long index has some thousand.
const MAX_FIELDS: usize = 20_000;
/// Variables (SET) that are kept.
const MAX_VARIABLES: usize = 256;

/// The fields of a document, as they are read.
#[derive(Debug, Default)]
pub struct Fields {
    open: Vec<Open>,
    /// Fields beyond [`MAX_OPEN`] that are open.
    beyond: usize,
    variables: Vec<(String, String)>,
    codes: Vec<String>,
    is_cut: bool,
}

#[derive(Debug, Default)]
struct Open {
    code: String,
    result: String,
    has_result: bool,
}

impl Fields {
    /// A field begins (0x13, `fldChar` begin).
    pub fn begin(&mut self) {
        if self.open.len() < MAX_OPEN {
            self.open.push(Open::default());
        } else {
            self.is_cut = true;
            self.beyond = self.beyond.saturating_add(1);
        }
    }

    /// Its result begins (0x14, `separate`).
    pub fn separate(&mut self) {
        if self.beyond == 0
            && let Some(open) = self.open.last_mut()
        {
            open.has_result = true;
        }
    }

    /// Text of the code or the result of the field that is open.
    pub fn text(&mut self, text: &str) {
        if let Some(open) = self.open.last_mut() {
            let into = if open.has_result { &mut open.result } else { &mut open.code };
            append(into, text, &mut self.is_cut);
        }
    }

    /// Text of the code, wherever it stands.
    pub fn code(&mut self, text: &str) {
        if let Some(open) = self.open.last_mut() {
            append(&mut open.code, text, &mut self.is_cut);
        } else {
            self.whole(text);
        }
    }

    /// The field ends (0x15, `end`).
    pub fn end(&mut self) {
        if self.beyond > 0 {
            self.beyond = self.beyond.saturating_sub(1);
            return;
        }
        let Some(open) = self.open.pop() else { return };
        let value = self.value(&open);
        if let Some(outer) = self.open.last_mut() {
            let into = if outer.has_result { &mut outer.result } else { &mut outer.code };
            append(into, &value, &mut self.is_cut);
        }
        self.whole(&open.code);
    }

    /// A field that stands by itself (`fldSimple`).
    pub fn whole(&mut self, code: &str) {
        if code.trim().is_empty() {
            return;
        }
        if self.codes.len() < MAX_FIELDS { self.codes.push(code.to_owned()) } else { self.is_cut = true }
    }

    /// What a field within another amounts to.
    fn value(&mut self, field: &Open) -> String {
        let words = words(&field.code);
        let mut words = words.iter().map(String::as_str);
        let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
        match keyword.as_str() {
            "QUOTE" => words.map(quoted).collect(),
            "SET" => {
                let name = words.next().unwrap_or_default().to_ascii_lowercase();
                let value = words.collect::<Vec<_>>().join(" ");
                if self.variables.len() < MAX_VARIABLES {
                    self.variables.push((name, value));
                }
                String::new()
            }
            "REF" => self.variable(words.next().unwrap_or_default()).unwrap_or(field.result.clone()),
            name => self.variable(name).unwrap_or(field.result.clone()),
        }
    }

    fn variable(&self, name: &str) -> Option<String> {
        let known = self.variables.iter().rev().find(|(known, _)| known.eq_ignore_ascii_case(name));
        known.map(|(_, value)| value.clone())
    }

    /// Judges every field that was read.
    pub fn report(mut self, part: &Part, location: &str, scan: &mut Scan) {
        // What never ends is a field all the same.
        while !self.open.is_empty() {
            self.beyond = 0;
            self.end();
        }
        for code in &self.codes {
            report(code, part, location, scan);
        }
        if self.is_cut {
            scan.finding(finding::LIMIT_EXCEEDED, part, location, "more fields than are read");
        }
    }
}

fn append(into: &mut String, text: &str, is_cut: &mut bool) {
    let room = MAX_CODE.saturating_sub(into.len());
    *is_cut |= text.len() > room;
    into.push_str(text.get(..text.floor_char_boundary(room)).unwrap_or_default());
}

/// One argument of QUOTE: a character code, or text.
fn quoted(word: &str) -> String {
    let code = match word.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => word.parse().ok(),
    };
    code.and_then(char::from_u32).map_or_else(|| word.to_owned(), String::from)
}

/// The words of a field code: quoted ones whole, doubled backslashes as one (17.16.1).
fn words(code: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let (mut is_quoted, mut has_word) = (false, false);
    let mut characters = code.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '"' | '\u{201c}' | '\u{201d}' => {
                is_quoted = !is_quoted;
                has_word = true;
            }
            '\\' if characters.peek().is_some_and(|next| matches!(next, '\\' | '"')) => {
                word.extend(characters.next());
                has_word = true;
            }
            c if (c.is_whitespace() || c.is_control()) && !is_quoted => {
                if has_word {
                    words.push(std::mem::take(&mut word));
                }
                has_word = false;
            }
            c => {
                word.push(c);
                has_word = true;
            }
        }
    }
    if has_word {
        words.push(word);
    }
    words
}

/// Judges one field code.
fn report(code: &str, part: &Part, location: &str, scan: &mut Scan) {
    let words = words(code);
    let keyword = words.first().map(|word| word.to_ascii_uppercase()).unwrap_or_default();
    match keyword.as_str() {
        "DDE" | "DDEAUTO" => {
            let server = words.get(1).map_or("", String::as_str);
            dde(server, &words.get(2..).unwrap_or_default().join(" "), part, location, scan);
        }
        "INCLUDETEXT" | "INCLUDEPICTURE" | "INCLUDE" | "IMPORT" => {
            let Some(target) = words.get(1) else { return };
            included(target, &keyword, part, location, scan);
        }
        "LINK" => {
            if let Some(target) = words.get(2) {
                object(target, "LINK", part, location, scan);
            }
        }
        "HYPERLINK" => {
            // Switches have values of their own (17.16.5.25), but only the address has a scheme.
            for target in words.iter().skip(1) {
                hyperlink(target, part, location, scan);
            }
        }
        _ => {}
    }
}

/// A text or picture from elsewhere: trackers and mail merges do it, so it is weak.
fn included(target: &str, keyword: &str, part: &Part, location: &str, scan: &mut Scan) {
    let link = link::judge(target);
    if link.reach == Reach::Here {
        return;
    }
    indicate(&link.target, scan);
    scan.finding(finding::LINKED_CONTENT, part, location, &format!("{keyword} {}", link.target));
    // A picture cannot run; a text can bring fields along.
    if let Reach::Odd(why) = link.reach
        && keyword != "INCLUDEPICTURE"
    {
        scan.finding(finding::ODD_ADDRESS, part, location, &format!("{}: {why}", link.target));
    }
}

/// A template that a document loads when it is opened.
pub fn template(target: &str, part: &Part, location: &str, scan: &mut Scan) {
    let link = link::judge(target);
    let named = link::extension(&link.target);
    let why = match link.reach {
        Reach::Here => return,
        Reach::Intranet => {
            return scan.finding(finding::LINKED_CONTENT, part, location, &format!("template {}", link.target));
        }
        Reach::Odd(why) => Some(why),
        Reach::Named => match named.as_deref() {
            Some("dot" | "dotx" | "xltx" | "potx") => None,
            Some("dotm" | "xltm" | "potm") => Some("a template with macros"),
            _ => Some("a template that is not named like one"),
        },
    };
    indicate(&link.target, scan);
    scan.finding(finding::REMOTE_TEMPLATE, part, location, &link.target);
    if let Some(why) = why {
        scan.finding(finding::ODD_ADDRESS, part, location, &format!("{}: {why}", link.target));
    }
}

/// A linked object, frame or sub-document.
pub fn object(target: &str, kind: &str, part: &Part, location: &str, scan: &mut Scan) {
    let link = link::judge(target);
    match link.reach {
        Reach::Here => return,
        Reach::Intranet => scan.finding(finding::LINKED_CONTENT, part, location, &format!("{kind} {}", link.target)),
        Reach::Named => scan.finding(finding::REMOTE_OBJECT, part, location, &link.target),
        Reach::Odd(why) => {
            scan.finding(finding::REMOTE_OBJECT, part, location, &link.target);
            scan.finding(finding::ODD_ADDRESS, part, location, &format!("{}: {why}", link.target));
        }
    }
    indicate(&link.target, scan);
}

/// A link that waits for a click.
pub fn hyperlink(target: &str, part: &Part, location: &str, scan: &mut Scan) {
    let Some(why) = link::when_clicked(target) else { return };
    let target = link::judge(target).target;
    indicate(&target, scan);
    scan.finding(finding::LINK_PROGRAM, part, location, &format!("{target}: {why}"));
}

/// A program that a presentation starts, when something is clicked or (`is_hover`) the mouse passes over it.
pub fn action(target: &str, is_hover: bool, part: &Part, location: &str, scan: &mut Scan) {
    let line = link::percent_decoded(target);
    let line = line.strip_prefix("file:///").unwrap_or(&line).trim();
    if line.is_empty() {
        return;
    }
    scan.indicator(IndicatorKind::Command, line);
    let is_odd = matches!(link::judge(target).reach, Reach::Odd(_));
    let decides = is_hover || is_odd || program::interpreter(line).is_some();
    let id = if decides { finding::ACTION_COMMAND } else { finding::LINK_PROGRAM };
    scan.finding(id, part, location, line);
}

/// A picture, film or workbook that is shown where it stands: nothing on the web, where it costs a look at most.
/// From a share on the internet it takes the name and password that Windows offers there.
pub fn shown(target: &str, kind: &str, part: &Part, location: &str, scan: &mut Scan) {
    let link = link::judge(target);
    let is_web = ["http:", "https:", "ftp:"]
        .iter()
        .any(|scheme| link.target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    let Reach::Odd(why) = link.reach else { return };
    if !is_web {
        indicate(&link.target, scan);
        scan.finding(finding::LINKED_CONTENT, part, location, &format!("{kind} {}", link.target));
        scan.finding(finding::ODD_ADDRESS, part, location, &format!("{}: {why}", link.target));
    }
}

/// A workbook that cells refer to, a film that a control plays: nothing, unless it stands where nobody honest keeps it.
pub fn elsewhere(target: &str, kind: &str, part: &Part, location: &str, scan: &mut Scan) {
    let link = link::judge(target);
    if let Reach::Odd(why) = link.reach {
        indicate(&link.target, scan);
        scan.finding(finding::LINKED_CONTENT, part, location, &format!("{kind} {}", link.target));
        scan.finding(finding::ODD_ADDRESS, part, location, &format!("{}: {why}", link.target));
    }
}

/// An address from which a workbook is filled once it is opened. A named host may sell what it tells.
pub fn query(target: &str, part: &Part, location: &str, scan: &mut Scan) {
    let link = link::judge(target);
    match link.reach {
        Reach::Here | Reach::Intranet => {}
        Reach::Named => {
            indicate(&link.target, scan);
            scan.finding(finding::LINKED_CONTENT, part, location, &format!("query {}", link.target));
        }
        Reach::Odd(_) => object(target, "query", part, location, scan),
    }
}

fn indicate(target: &str, scan: &mut Scan) {
    let kind = if target.starts_with("\\\\") { IndicatorKind::File } else { IndicatorKind::Url };
    scan.indicator(kind, target);
}

/// Programs that take a command, by their file name.
const INTERPRETERS: &[&str] = &[
    "cmd",
    "command",
    "powershell",
    "powershell_ise",
    "pwsh",
    "mshta",
    "wscript",
    "cscript",
    "rundll32",
    "regsvr32",
    "msbuild",
    "certutil",
    "bitsadmin",
    "wmic",
    "msiexec",
    "forfiles",
    "installutil",
    "regasm",
    "regsvcs",
    "schtasks",
    "msdt",
    "hh",
    "pcalua",
    "odbcconf",
    "curl",
    "ftp",
    "bash",
    "wsl",
    "explorer",
    "control",
    "cmstp",
    "mavinject",
    "verclsid",
];

/// Servers of DDE that are programs of Office, by the start of their names.
const OFFICE: &[&str] = &[
    "excel",
    "winword",
    "word",
    "powerpnt",
    "powerpoint",
    "msaccess",
    "access",
    "soffice",
    "scalc",
    "package",
    "paint",
    "visio",
    "outlook",
    "msproject",
    "winproj",
    "mspub",
    "equation",
];

/// Judges a DDE link: its server, and its topic and item.
pub fn dde(server: &str, rest: &str, part: &Part, location: &str, scan: &mut Scan) {
    let evidence = format!("{server} {rest}");
    let evidence = evidence.trim();
    if server.is_empty() {
        return;
    }
    let name = program_name(server);
    let is_path = server.contains(['\\', '/']) || server.to_ascii_lowercase().ends_with(".exe");
    // A class of objects (`AcroExch.Document`) is linked, not started as a command.
    let is_class = server.contains('.') && !is_path;
    let is_office = is_class || OFFICE.iter().any(|office| name.starts_with(office)) && !is_path;
    if INTERPRETERS.contains(&name.as_str()) || is_path || starts_interpreter(rest) {
        scan.indicator(IndicatorKind::Command, evidence);
        scan.finding(finding::DDE_COMMAND, part, location, evidence);
    } else if is_office {
        scan.finding(finding::DDE_LINK, part, location, evidence);
    } else {
        scan.finding(finding::DDE_SERVER, part, location, evidence);
    }
}

/// The name of a program, lower case, without folder and extension.
fn program_name(path: &str) -> String {
    let path = path.trim().trim_matches(['"', '\'']);
    let name = path.rsplit(['\\', '/']).next().unwrap_or_default().split_whitespace().next().unwrap_or_default();
    let name: String = name.to_ascii_lowercase().chars().filter(|c| *c != '^').collect();
    for extension in [".exe", ".com"] {
        if let Some(stem) = name.strip_suffix(extension) {
            return stem.to_owned();
        }
    }
    name
}

/// Whether a topic leads to an interpreter: `..\..\system32\cmd.exe`, or one by its name.
fn starts_interpreter(topic: &str) -> bool {
    topic.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '(' | ')' | ';' | '&' | '|' | ',')).any(
        |word| {
            let is_program = word.to_ascii_lowercase().ends_with(".exe") || !word.contains('.');
            let name = program_name(word);
            is_program
                && INTERPRETERS.contains(&name.as_str())
                && (word.to_ascii_lowercase().ends_with(".exe") || name == "powershell" || name == "mshta")
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filetype::TypeSet;
    use crate::part::{Origin, PartPath};

    fn part() -> Part {
        Part {
            path: PartPath::root(),
            document: PartPath::root(),
            origin: Origin::Attachment,
            names: Vec::new(),
            declared: None,
            bytes: bytes::Bytes::new(),
            types: TypeSet::EMPTY,
            depth: 0,
            span: None,
        }
    }

    /// The ids that a text with 0x13, 0x14 and 0x15 around its fields comes to.
    fn found(text: &str) -> Vec<&'static str> {
        let mut fields = Fields::default();
        for c in text.chars() {
            match c {
                '{' => fields.begin(),
                '|' => fields.separate(),
                '}' => fields.end(),
                c => fields.text(c.encode_utf8(&mut [0; 4])),
            }
        }
        let mut scan = Scan::for_test();
        fields.report(&part(), "", &mut scan);
        scan.report().findings.iter().map(|found| found.id.as_str()).collect()
    }

    #[test]
    fn dde_with_a_shell_is_told_from_a_link_between_documents() {
        for text in [
            "{ DDEAUTO c:\\\\windows\\\\system32\\\\cmd.exe \"/k x\" |y}",
            "{dde \"cmd\" \"/c x\"}",
            "{ DDE {QUOTE 99 109 100} \"/c x\" }",
            "{SET a \"cmd.exe\"}{ DDEAUTO {REF a} \"/c\"}",
            "{ {QUOTE 68 68 69} cmd x }",
            "{DDEAUTO \"C:\\\\Office\\\\WINWORD.EXE\\\\..\\\\..\\\\System32\\\\mshta\" \"http://a.example\"}",
            "{DDEAUTO excel \"..\\\\..\\\\system32\\\\cmd.exe /c x\"}",
            "{ DDEAUTO cmd x",
        ] {
            assert!(found(text).contains(&"dde-command"), "{text}: {:?}", found(text));
        }
        assert_eq!(found("{ DDEAUTO Excel.Sheet.12 \"C:\\\\a\\\\b.xlsx\" \"Sheet1!R1C1\" \\a \\p |1}"), ["dde-link"]);
        assert_eq!(found("{DDE progman a b}"), ["dde-server"]);
        for text in [
            "{PAGE|1}",
            "{ HYPERLINK \"http://a.example\" |x}",
            "{MERGEFIELD cmd}",
            "DDEAUTO cmd",
            "{TOC \\o \"1-3\"|{PAGEREF _a|2}}",
            "{}",
            "}{|",
        ] {
            assert_eq!(found(text), Vec::<&str>::new(), "{text}");
        }
    }

    #[test]
    fn what_is_included_from_elsewhere_is_weak() {
        assert_eq!(found("{INCLUDEPICTURE \"https://a.example/b.png\" \\d}"), ["linked-content"]);
        assert_eq!(found("{INCLUDEPICTURE \"C:\\\\a.png\"}"), Vec::<&str>::new());
        assert_eq!(found("{INCLUDETEXT \"http://203.0.113.7/x\"}"), ["linked-content", "odd-address"]);
        assert_eq!(found("{LINK htmlfile \"https://a.example/x\"}"), ["remote-object"]);
    }

    #[test]
    fn depth_and_number_are_bounded_and_told() {
        assert!(found(&"{".repeat(5000)).contains(&"limit-exceeded"));
        assert!(found(&format!("{}DDE cmd x{}", "{".repeat(60), "}".repeat(60))).contains(&"dde-command"));
        assert!(found(&format!("{{DDE cmd {}}}", "x".repeat(MAX_CODE))).contains(&"limit-exceeded"));
    }
}
