//! What is wrong with a configuration file, where, and what was probably meant.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

use crate::hostile;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, and probably does not do what was meant.
    Warning,
}

/// One error or warning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The file, as it was named.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// How many characters of the line are meant; at least 1.
    pub length: usize,
    /// What is wrong.
    pub message: String,
    /// What would be right, in words.
    pub expected: Option<String>,
    /// What was probably meant.
    pub suggestion: Option<String>,
    /// The line, without control characters.
    pub source: String,
}

/// Everything that is wrong with a file, from top to bottom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Whether the file cannot be used.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// How many there are of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.0.iter().filter(|diagnostic| diagnostic.severity == severity).count()
    }

    /// From top to bottom.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.0.iter()
    }
}

impl std::error::Error for Diagnostics {}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|diagnostic| diagnostic.fmt(f))
    }
}

/// ```text
/// /etc/sekisho/sekisho.toml:5:6: error: unknown condition `attachment-typ`
///    |
///  5 | when.attachment-typ = ["zip"]
///    |      ^^^^^^^^^^^^^^ help: did you mean `attachment_type`?
/// ```
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(f, "{}:{}:{}: {severity}: {}", self.file, self.line, self.column, self.message)?;
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        writeln!(f, " {margin} |")?;
        writeln!(f, " {number} | {}", shortened(&self.source))?;
        let before: String = self.source.chars().take(self.column.saturating_sub(1)).flat_map(blank).collect();
        let meant = self.source.chars().skip(self.column.saturating_sub(1)).take(self.length);
        let carets = "^".repeat(meant.flat_map(blank).count().max(1));
        let help = self.help().map(|help| format!(" help: {help}")).unwrap_or_default();
        if self.column > MAX_SOURCE {
            return writeln!(f, " {margin} |{help}");
        }
        writeln!(f, " {margin} | {before}{carets}{help}")
    }
}

impl Diagnostic {
    /// All of it on one line, for the log.
    pub fn line_for_log(&self) -> String {
        let help = self.help().map(|help| format!("; {help}")).unwrap_or_default();
        format!("{}:{}:{}: {}{help}", self.file, self.line, self.column, self.message)
    }

    /// What to do about it, if that is known.
    pub fn help(&self) -> Option<String> {
        let suggestion = self.suggestion.as_ref().map(|text| format!("did you mean `{text}`?"));
        let expected = self.expected.as_ref().map(|text| format!("expected {text}"));
        match (suggestion, expected) {
            (Some(suggestion), Some(expected)) => Some(format!("{suggestion} ({expected})")),
            (suggestion, expected) => suggestion.or(expected),
        }
    }
}

/// Longest part of a line that is shown, in characters.
const MAX_SOURCE: usize = 160;

/// Characters of a message that are shown at its beginning and at its end. A string whose closing quotes are missing
/// may be the rest of the file.
const MAX_MESSAGE: usize = 200;

/// A message as a line of a log: the middle of a long one is left out, since what is wrong stands at its end.
fn on_one_line(message: &str) -> String {
    let line = message.replace("\r\n", " ").replace('\n', " ");
    let middle = |at: usize| line.char_indices().nth(at).map(|(offset, _)| offset);
    let behind = line.chars().count().saturating_sub(MAX_MESSAGE);
    let line = match (middle(MAX_MESSAGE), middle(behind)) {
        (Some(head), Some(tail)) if behind > MAX_MESSAGE => {
            let (start, end) = (line.get(..head).unwrap_or_default(), line.get(tail..).unwrap_or_default());
            format!("{start} … {end}")
        }
        _ => line,
    };
    hostile::escape(&line).into_owned()
}

fn shortened(line: &str) -> String {
    match line.char_indices().nth(MAX_SOURCE) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line.to_owned(),
    }
}

/// White space as wide as the character: terminals draw East Asian ones two columns wide.
fn blank(c: char) -> impl Iterator<Item = char> {
    let wide = matches!(u32::from(c), 0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff
        | 0xfe30..=0xfe4f | 0xff01..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1f9ff | 0x20000..=0x3fffd);
    std::iter::repeat_n(if c == '\t' { '\t' } else { ' ' }, if wide { 2 } else { 1 })
}

/// A diagnostic that does not know its line yet.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub severity: Severity,
    pub span: Range<usize>,
    pub message: String,
    pub expected: Option<String>,
    pub suggestion: Option<String>,
    /// Something is not there, perhaps only because a syntax error hides it.
    pub missing: bool,
}

impl Problem {
    pub fn error(span: Range<usize>, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { severity: Severity::Error, span, message, expected: None, suggestion: None, missing: false }
    }

    pub fn warning(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, message) }
    }

    pub fn missing(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { missing: true, ..Self::error(span, message) }
    }

    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    pub fn suggest(mut self, suggestion: Option<impl Into<String>>) -> Self {
        self.suggestion = suggestion.map(Into::into);
        self
    }
}

/// A file's text, and where its lines begin.
pub(super) struct Source<'t> {
    pub file: &'t str,
    pub text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Source<'t> {
    pub fn new(text: &'t str, file: &'t str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at.saturating_add(1))).collect();
        Self { file, text, starts }
    }

    /// The number of the line at `offset`, from 1.
    pub fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset).max(1)
    }

    /// What the user reads of a problem.
    pub fn diagnostic(&self, problem: Problem) -> Diagnostic {
        let Problem { severity, span, message, expected, suggestion, missing: _ } = problem;
        // An error at the end of the file is shown at the end of its last line.
        let offset = span.start.min(self.text.trim_end_matches('\n').len());
        let line = self.line(offset);
        let start = line.checked_sub(1).and_then(|index| self.starts.get(index)).copied().unwrap_or(0);
        let source = self.text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let characters = |range: Range<usize>| self.text.get(range).map_or(0, |text| text.chars().count());
        let end = span.end.min(start.saturating_add(source.len()));
        Diagnostic {
            severity,
            file: self.file.to_owned(),
            line,
            column: characters(start..offset).saturating_add(1),
            length: characters(offset..end.max(offset)).max(1),
            message: on_one_line(&message),
            expected,
            suggestion,
            source: source.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect(),
        }
    }
}

/// The candidate that `word` was probably meant to be: at most two edits away, one if it is short.
pub(crate) fn did_you_mean<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let word = plain(word);
    let most = if word.chars().count() <= 4 { 1 } else { 2 };
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&word, &plain(candidate)), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_about_a_value_of_many_lines_is_one_line() {
        let value = "x\r\ny\u{1b}[31m\n".repeat(1000);
        let problem = Problem::error(0..1, format!("`{value}` is not an address"));
        let line = Source::new("a = 1\n", "f.toml").diagnostic(problem).line_for_log();
        assert!(!line.contains(hostile::is_hostile) && line.chars().count() < 1500, "{line:?}");
        assert!(
            line.starts_with("f.toml:1:1: `x y⟦U+001B⟧[31m x ") && line.ends_with(" is not an address"),
            "{line:?}"
        );
    }

    #[test]
    fn a_diagnostic_points_at_its_word() {
        let text = "a = 1\nwhen.attachment-typ = [\"zip\"]\n";
        let problem = Problem::error(11..25, "unknown condition `attachment-typ`").suggest(Some("attachment_type"));
        assert_eq!(
            Source::new(text, "f.toml").diagnostic(problem).to_string(),
            "f.toml:2:6: error: unknown condition `attachment-typ`\n   |\n 2 | when.attachment-typ = [\"zip\"]\n   \
             |      ^^^^^^^^^^^^^^ help: did you mean `attachment_type`?\n"
        );
    }

    #[test]
    fn a_log_line_holds_a_whole_diagnostic() {
        let problem = Problem::error(4..6, "a unit is missing").suggest(Some("25s")).expected("a duration");
        assert_eq!(
            Source::new("a = 25\n", "f.toml").diagnostic(problem).line_for_log(),
            "f.toml:1:5: a unit is missing; did you mean `25s`? (expected a duration)"
        );
    }

    #[test]
    fn carets_stand_below_wide_characters() {
        let text = "\"件名\" = \"件\"";
        let shown = Source::new(text, "f").diagnostic(Problem::error(11..16, "x")).to_string();
        assert!(shown.ends_with("\n   |          ^^^^\n"), "{shown}");
    }

    #[test]
    fn typos_are_guessed_and_other_words_are_not() {
        let names = ["reject", "relay", "tag", "max_message_size"];
        assert_eq!(did_you_mean("rejct", names), Some("reject"));
        assert_eq!(did_you_mean("rejetc", names), Some("reject"));
        assert_eq!(did_you_mean("tga", names), Some("tag"));
        assert_eq!(did_you_mean("max-mesage-size", names), Some("max_message_size"));
        assert_eq!(did_you_mean("bounce", names), None);
        assert_eq!(did_you_mean("to", names), None);
    }
}
