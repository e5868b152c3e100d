//! What `cmd` makes of a line: variables and their slices, `set`, `for`, `if`, `call`, carets, pipes
//! into another shell. Nothing runs: lines that would start a program are what comes out.
//!
//! Leaves out files, labels, arithmetic, and what commands print (`for /f`), which stays a gap.

use std::collections::HashMap;

/// Octets that are gone through, copies made by loops included: a dropper's loop of 600 turns over
/// a line of 1,500 takes about 1 MiB.
const MAX_STEPS: usize = 8 << 20;
/// Longest value of a variable: Windows takes 32 KiB.
const MAX_VALUE: usize = 64 << 10;
/// Lines that come out.
const MAX_LINES: usize = 24;
/// Work that waits at most: blocks within each other.
const MAX_WAITING: usize = 200;
/// Stands for what is not known.
const GAP: char = '…';

/// The lines that a command line comes to; none if it is not for `cmd`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// In the order in which they would run.
    pub found: Vec<String>,
    /// Whether a limit ended it.
    pub is_cut: bool,
}

/// Goes through a command line, if `cmd` is what it calls.
pub fn lines(line: &str) -> Lines {
    let start = line.trim_start();
    let (program, arguments) = first_word(start);
    if !is_shell(program) {
        return Lines::default();
    }
    let mut shell = Shell::default();
    // No shell is around this one that would separate at signs: all of it is its arguments.
    shell.nested(arguments, false, None);
    shell.run();
    Lines { found: shell.found, is_cut: shell.is_cut }
}

#[derive(Default)]
struct Shell {
    variables: HashMap<String, String>,
    waiting: Vec<Task>,
    found: Vec<String>,
    steps: usize,
    is_cut: bool,
}

enum Task {
    /// A whole line, whose percent signs are not replaced yet.
    Line { text: String, delayed: bool },
    /// Commands with signs between them; `input` is what is piped into the first.
    Commands { text: String, delayed: bool, input: Option<String> },
    /// The turns of a `for` that are still to come, the last first.
    Turns { sign: char, items: Vec<String>, body: String, delayed: bool, input: Option<String> },
}

impl Shell {
    fn run(&mut self) {
        while let Some(task) = self.waiting.pop() {
            let size = match &task {
                Task::Line { text, .. } | Task::Commands { text, .. } => text.len(),
                Task::Turns { body, .. } => body.len(),
            };
            self.steps = self.steps.saturating_add(size).saturating_add(1);
            if self.steps > MAX_STEPS || self.waiting.len() > MAX_WAITING {
                self.is_cut = true;
                return;
            }
            match task {
                Task::Line { text, delayed } => {
                    let text = self.replaced(&text, '%');
                    self.waiting.push(Task::Commands { text, delayed, input: None });
                }
                Task::Turns { sign, mut items, body, delayed, input } => {
                    let Some(item) = items.pop() else { continue };
                    let text = with_item(&body, sign, &item);
                    self.waiting.push(Task::Turns { sign, items, body, delayed, input: input.clone() });
                    self.waiting.push(Task::Commands { text, delayed, input });
                }
                Task::Commands { text, delayed, input } => self.commands(&text, delayed, input),
            }
        }
    }

    /// Runs the first command of `text`; the others wait.
    fn commands(&mut self, text: &str, delayed: bool, input: Option<String>) {
        let text =
            text.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '@' | '(' | ',' | ';' | '=' | '&'));
        if text.is_empty() {
            return;
        }
        let (word, rest) = first_word(text);
        match without_carets(word).to_ascii_lowercase().as_str() {
            "for" => return self.turns(rest, delayed, input),
            "if" => return self.condition(rest, delayed),
            _ => {}
        }
        let (command, sign, rest) = first_command(text);
        let mut command = without_carets(command);
        if delayed {
            command = self.replaced(&command, '!');
        }
        let output = (sign == "|").then(|| echoed(&command)).flatten();
        if !rest.trim().is_empty() {
            self.waiting.push(Task::Commands { text: rest.to_owned(), delayed, input: output.clone() });
        }
        if output.is_none() {
            self.command(&command, delayed, input);
        }
    }

    fn command(&mut self, command: &str, delayed: bool, input: Option<String>) {
        let (word, rest) = first_word(command);
        if is_shell(word) || (word.starts_with(GAP) && (rest.trim_start().starts_with('/') || input.is_some())) {
            return self.nested(rest, delayed, input);
        }
        match word.to_ascii_lowercase().as_str() {
            "set" => self.set(rest),
            "call" => {
                let text = self.replaced(rest, '%');
                self.waiting.push(Task::Commands { text, delayed, input });
            }
            "start" => {
                let mut rest = rest.trim_start();
                while rest.starts_with(['/', '"']) && !rest.starts_with("\"\\") {
                    rest = first_word(rest).1.trim_start();
                }
                self.waiting.push(Task::Commands { text: rest.to_owned(), delayed, input });
            }
            // What these do is nothing to run.
            "echo" | "rem" | "cls" | "exit" | "cd" | "chdir" | "ping" | "timeout" | "pause" | "goto" | "title"
            | "color" | "md" | "mkdir" | "del" | "setlocal" | "endlocal" | "ver" | "else" => {}
            _ => self.program(command, input),
        }
    }

    /// A line that starts a program.
    fn program(&mut self, command: &str, input: Option<String>) {
        let mut line = command.trim().to_owned();
        // A pipe is a shell of its own, which replaces what is left.
        for _ in 0..3 {
            let again = self.replaced(&line, '%');
            if again == line {
                break;
            }
            line = again;
        }
        if let Some(input) = input {
            line.push(' ');
            line.push_str(&input);
        }
        if line.ends_with(')') && line.matches(')').count() > line.matches('(').count() {
            line.pop();
        }
        if line.is_empty() || line == ")" || self.found.contains(&line) {
            return;
        }
        if self.found.len() >= MAX_LINES {
            // The last turn of a loop has the whole of it.
            self.found.pop();
            self.is_cut = true;
        }
        self.found.push(line);
    }

    /// `cmd /v:on /c "…"`: a shell of its own, which knows the variables.
    fn nested(&mut self, switches: &str, delayed: bool, input: Option<String>) {
        let mut delayed = delayed;
        let mut rest = switches;
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '^');
            // What stands in front of the switches counts for nothing.
            while !rest.is_empty() && !rest.starts_with('/') {
                rest = first_word(rest).1.trim_start_matches(|c: char| !matches!(c, '/') && !c.is_alphanumeric());
            }
            let Some(after) = rest.strip_prefix('/') else { break };
            let mut characters = after.chars();
            let switch = characters.next().unwrap_or(' ').to_ascii_lowercase();
            let after = characters.as_str();
            match switch {
                'c' | 'k' | 'r' => {
                    let text = unquoted(after.trim_start()).to_owned();
                    return self.waiting.push(Task::Line { text, delayed });
                }
                _ => {
                    let end = after.find(|c: char| c.is_whitespace() || matches!(c, '/' | '"')).unwrap_or(after.len());
                    let (value, next) = after.split_at_checked(end).unwrap_or((after, ""));
                    if switch == 'v' {
                        delayed = !value.to_ascii_lowercase().contains("of");
                    }
                    rest = next;
                }
            }
        }
        if let Some(text) = input {
            self.waiting.push(Task::Line { text, delayed });
        }
    }

    /// `set "name=value"`
    fn set(&mut self, rest: &str) {
        let rest = rest.trim_start();
        let rest =
            if rest.starts_with("/a ") || rest.starts_with("/A ") { rest.get(3..).unwrap_or_default() } else { rest };
        let rest = match rest.strip_prefix('"') {
            Some(inner) => inner.rsplit_once('"').map_or(inner, |(inner, _)| inner),
            None => rest,
        };
        let Some((name, value)) = rest.split_once('=') else { return };
        if value.len() > MAX_VALUE {
            self.is_cut = true;
            return;
        }
        self.steps = self.steps.saturating_add(value.len());
        self.variables.insert(name.trim_start().to_ascii_lowercase(), value.to_owned());
    }

    /// `for %x in (…) do …`, `for /l %x in (start,step,end) do …`. The rest of the line is the body.
    fn turns(&mut self, rest: &str, delayed: bool, input: Option<String>) {
        let lower = rest.to_ascii_lowercase();
        let parsed = (|| {
            let open = rest.find('(')?;
            let close = open.checked_add(rest.get(open..)?.find(')')?)?;
            let sign = rest.get(..open)?.rsplit('%').next()?.chars().next()?;
            let list = rest.get(open.checked_add(1)?..close)?;
            let body = close.checked_add(lower.get(close..)?.find("do")?)?.checked_add(2)?;
            let head = lower.get(..open)?.trim_start().to_owned();
            Some((head, sign, list, rest.get(body..)?))
        })();
        let Some((head, sign, list, body)) = parsed else { return };
        let separated = without_carets(list);
        let split = separated.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '='));
        let parts: Vec<&str> = split.filter(|part| !part.is_empty()).collect();
        let mut items: Vec<String> = match head.get(..2) {
            Some("/l") => counted(&parts),
            Some("/f") => match separated.trim().strip_prefix('"') {
                Some(text) => vec![text.trim_end_matches('"').to_owned()],
                None => vec![GAP.to_string()],
            },
            Some(other) if other.starts_with('/') => vec![GAP.to_string()],
            _ => parts.into_iter().map(str::to_owned).collect(),
        };
        items.reverse();
        self.waiting.push(Task::Turns { sign, items, body: body.to_owned(), delayed, input });
    }

    /// `if [not] a==b …`: what is not known counts as true. The rest of the line belongs to it.
    fn condition(&mut self, rest: &str, delayed: bool) {
        let mut rest = rest.trim_start().to_owned();
        if delayed {
            let (condition, _, _) = first_command(&rest);
            let end = condition.len();
            let tail = rest.get(end..).unwrap_or_default().to_owned();
            // Only the condition is read now; a command after it is read when it runs.
            let (head, command) = split_condition(condition);
            rest = format!("{}{command}{tail}", self.replaced(head, '!'));
        }
        let mut is_negated = false;
        let mut text = rest.as_str();
        loop {
            let (word, next) = first_word(text);
            match word.to_ascii_lowercase().as_str() {
                "/i" => {}
                "not" => is_negated = !is_negated,
                _ => break,
            }
            text = next.trim_start();
        }
        let (head, command) = split_condition(text);
        let head = without_carets(head);
        let is_true = match holds(&head) {
            Some(holds) => holds != is_negated,
            None => true,
        };
        if is_true {
            self.waiting.push(Task::Commands { text: command.to_owned(), delayed, input: None });
        }
    }

    /// `text` with variables between two `sign`s replaced; what is not a variable stays.
    fn replaced(&self, text: &str, sign: char) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(sign) {
            out.push_str(before);
            let value = variable(after, sign).and_then(|(inner, next)| Some((self.value(inner)?, next)));
            match value {
                Some((value, next)) if out.len() < MAX_VALUE => {
                    out.push_str(&value);
                    rest = next;
                }
                _ => {
                    out.push(sign);
                    rest = after;
                }
            }
        }
        out.push_str(rest);
        out
    }

    /// The value of `name`, `name:~start,length` or `name:from=to`.
    fn value(&self, inner: &str) -> Option<String> {
        let (name, change) = match inner.split_once(':') {
            Some((name, change)) => (name, Some(change)),
            None => (inner, None),
        };
        let name = name.to_ascii_lowercase();
        let own = self.variables.get(&name).map(String::as_str);
        let Some(change) = change else { return own.map(str::to_owned) };
        // What Windows sets is only needed where a letter is taken out of it.
        let value = own.or_else(|| environment(&name))?;
        if let Some(range) = change.strip_prefix('~') {
            return slice(value, range);
        }
        let (from, to) = change.split_once('=')?;
        // With a star everything up to there.
        if let Some(from) = from.strip_prefix('*') {
            let at = value.to_ascii_lowercase().find(&from.to_ascii_lowercase())?.checked_add(from.len())?;
            return Some(format!("{to}{}", value.get(at..)?));
        }
        (!from.is_empty()).then(|| replace_any_case(value, from, to))
    }
}

/// The reference to a variable at the start of `text`, and what follows its sign. What is replaced
/// may contain the sign: `!a:*!=!`.
fn variable(text: &str, sign: char) -> Option<(&str, &str)> {
    let (inner, next) = text.split_once(sign)?;
    let is_replacement =
        inner.split_once(':').is_some_and(|(_, change)| !change.starts_with('~') && !change.contains('='));
    if !is_replacement {
        return Some((inner, next));
    }
    let equals = text.find('=')?;
    let end = equals.checked_add(text.get(equals..)?.find(sign)?)?;
    Some((text.get(..end)?, text.get(end.checked_add(sign.len_utf8())?..)?))
}

/// `~start,length`, either counted from the end if negative.
fn slice(value: &str, range: &str) -> Option<String> {
    let (start, length) = match range.split_once(',') {
        Some((start, length)) => (start, Some(length.trim().parse::<i64>().ok()?)),
        None => (range, None),
    };
    let start = start.trim().parse::<i64>().ok()?;
    let count = i64::try_from(value.chars().count()).ok()?;
    let from = if start < 0 { count.saturating_add(start).max(0) } else { start.min(count) };
    let to = match length {
        None => count,
        Some(length) if length < 0 => count.saturating_add(length),
        Some(length) => from.saturating_add(length).min(count),
    };
    let (from, length) = (usize::try_from(from).ok()?, usize::try_from(to.saturating_sub(from)).unwrap_or(0));
    Some(value.chars().skip(from).take(length).collect())
}

/// As `cmd` does it: without regard to case.
fn replace_any_case(value: &str, from: &str, to: &str) -> String {
    let (lower, from) = (value.to_ascii_lowercase(), from.to_ascii_lowercase());
    let mut out = String::with_capacity(value.len());
    let mut at = 0_usize;
    for (hit, _) in lower.match_indices(&from) {
        out.push_str(value.get(at..hit).unwrap_or_default());
        if out.len() < MAX_VALUE {
            out.push_str(to);
        }
        at = hit.saturating_add(from.len());
    }
    out.push_str(value.get(at..).unwrap_or_default());
    out
}

/// What Windows sets, as far as it is the same everywhere.
fn environment(name: &str) -> Option<&'static str> {
    Some(match name {
        "programdata" | "allusersprofile" => "C:\\ProgramData",
        "public" => "C:\\Users\\Public",
        "comspec" => "C:\\Windows\\system32\\cmd.exe",
        "systemroot" | "windir" => "C:\\Windows",
        "systemdrive" | "homedrive" => "C:",
        "programfiles" | "programw6432" => "C:\\Program Files",
        "programfiles(x86)" => "C:\\Program Files (x86)",
        "commonprogramfiles" | "commonprogramw6432" => "C:\\Program Files\\Common Files",
        "commonprogramfiles(x86)" => "C:\\Program Files (x86)\\Common Files",
        "temp" | "tmp" => "C:\\Users\\user\\AppData\\Local\\Temp",
        "appdata" => "C:\\Users\\user\\AppData\\Roaming",
        "localappdata" => "C:\\Users\\user\\AppData\\Local",
        "userprofile" => "C:\\Users\\user",
        "homepath" => "\\Users\\user",
        "sessionname" => "Console",
        "os" => "Windows_NT",
        "processor_architecture" => "AMD64",
        "pathext" => ".COM;.EXE;.BAT;.CMD;.VBS;.VBE;.JS;.JSE;.WSF;.WSH;.MSC",
        "path" => {
            "C:\\Windows\\system32;C:\\Windows;C:\\Windows\\System32\\Wbem;C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\"
        }
        "psmodulepath" => "C:\\Windows\\system32\\WindowsPowerShell\\v1.0\\Modules\\",
        _ => return None,
    })
}

/// Whether the word calls `cmd`.
fn is_shell(word: &str) -> bool {
    let word = without_carets(word).to_ascii_lowercase().replace('"', "");
    let name = word.rsplit('\\').next().unwrap_or(&word);
    matches!(name, "cmd" | "cmd.exe" | "%comspec%")
}

/// The first word, with the quotes that it is in, and what follows. A switch may follow `cmd`
/// without a space.
fn first_word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let mut is_quoted = false;
    let end = text.char_indices().find(|(at, c)| {
        if *c == '"' {
            is_quoted = !is_quoted;
        }
        let ends = c.is_whitespace() || matches!(c, '/' | ',' | ';' | '=' | '(' | '|' | '&' | '>' | '<');
        !is_quoted && *at > 0 && ends
    });
    text.split_at_checked(end.map_or(text.len(), |(at, _)| at)).unwrap_or((text, ""))
}

/// The first command, the sign behind it (`&`, `&&`, `|`, `||`), and what follows. Signs in
/// quotes, and behind a caret, separate nothing.
fn first_command(text: &str) -> (&str, &str, &str) {
    let bytes = text.as_bytes();
    let (mut at, mut is_quoted) = (0_usize, false);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'^' if !is_quoted => at = at.saturating_add(1),
            b'&' | b'|' if !is_quoted => {
                let length = if bytes.get(at.saturating_add(1)) == Some(byte) { 2 } else { 1 };
                let end = at.saturating_add(length);
                return (
                    text.get(..at).unwrap_or_default(),
                    text.get(at..end).unwrap_or_default(),
                    text.get(end..).unwrap_or_default(),
                );
            }
            _ => {}
        }
        at = at.saturating_add(1);
    }
    (text, "", "")
}

/// Carets outside of quotes only mark the next character.
fn without_carets(text: &str) -> String {
    if !text.contains('^') {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut is_quoted = false;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => {
                is_quoted = !is_quoted;
                out.push(c);
            }
            '^' if !is_quoted => out.extend(characters.next()),
            _ => out.push(c),
        }
    }
    out
}

/// `cmd` takes off the first quote and the last.
fn unquoted(text: &str) -> &str {
    let Some(inner) = text.strip_prefix('"') else { return text };
    match inner.rsplit_once('"') {
        Some((inner, after)) if after.trim().is_empty() => inner,
        Some(_) if inner.matches('"').count() > 1 => text,
        Some((inner, _)) => inner,
        None => inner,
    }
}

/// What `echo` would print.
fn echoed(command: &str) -> Option<String> {
    let (word, rest) = first_word(command);
    word.eq_ignore_ascii_case("echo").then(|| rest.trim().to_owned())
}

/// `body` with the variable of a loop replaced.
fn with_item(body: &str, sign: char, item: &str) -> String {
    let plain = item.trim_matches('"');
    body.replace(&format!("%%{sign}"), item).replace(&format!("%~{sign}"), plain).replace(&format!("%{sign}"), item)
}

/// `start,step,end`
fn counted(parts: &[&str]) -> Vec<String> {
    const MAX_TURNS: usize = 20_000;
    let numbers: Vec<i64> = parts.iter().filter_map(|part| part.parse().ok()).collect();
    let [start, step, end] = numbers[..] else { return Vec::new() };
    let mut items = Vec::new();
    let mut at = start;
    while items.len() < MAX_TURNS && ((step > 0 && at <= end) || (step < 0 && at >= end)) {
        items.push(at.to_string());
        at = at.saturating_add(step);
    }
    items
}

/// A condition, and the command that it is for.
fn split_condition(text: &str) -> (&str, &str) {
    let at = |end: usize| text.split_at_checked(end).unwrap_or((text, ""));
    let end_of = |tail: &str| text.len().saturating_sub(tail.len());
    let (word, rest) = condition_word(text);
    let lower = word.to_ascii_lowercase();
    if matches!(lower.as_str(), "exist" | "defined" | "errorlevel" | "cmdextversion") {
        return at(end_of(condition_word(rest).1));
    }
    let rest = rest.trim_start();
    if let Some(right) = rest.strip_prefix("==") {
        return at(end_of(condition_word(right).1));
    }
    let (operator, right) = condition_word(rest);
    let is_operator = ["equ", "neq", "lss", "leq", "gtr", "geq"].iter().any(|name| name.eq_ignore_ascii_case(operator));
    if is_operator { at(end_of(condition_word(right).1)) } else { at(end_of(rest)) }
}

/// A word of a condition, which ends at blanks, at `==` and at a bracket.
fn condition_word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let mut is_quoted = false;
    let end = text.char_indices().find(|(_, c)| {
        if *c == '"' {
            is_quoted = !is_quoted;
        }
        !is_quoted && (c.is_whitespace() || matches!(c, '=' | '('))
    });
    text.split_at_checked(end.map_or(text.len(), |(at, _)| at)).unwrap_or((text, ""))
}

/// Whether a condition holds, if that is known.
fn holds(condition: &str) -> Option<bool> {
    if let Some((left, right)) = condition.split_once("==") {
        let (left, right) = (left.trim(), right.trim());
        return (!left.contains(['%', '!', GAP])).then(|| left.eq_ignore_ascii_case(right));
    }
    let mut words = condition.split_whitespace();
    let (left, operator, right) = (words.next()?, words.next()?.to_ascii_lowercase(), words.next()?);
    let order = match (left.parse::<i64>(), right.parse::<i64>()) {
        (Ok(left), Ok(right)) => left.cmp(&right),
        _ => left.cmp(right),
    };
    match operator.as_str() {
        "equ" => Some(order.is_eq()),
        "neq" => Some(order.is_ne()),
        "lss" => Some(order.is_lt()),
        "leq" => Some(order.is_le()),
        "gtr" => Some(order.is_gt()),
        "geq" => Some(order.is_ge()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &[&str]) {
        assert_eq!(lines(line).found, expected, "{line}");
    }

    #[test]
    fn shells_within_shells_and_carets() {
        check("cmd /c calc.exe", &["calc.exe"]);
        check("C:\\Windows\\System32\\cmd.exe /c c^al^c & msg x", &["calc", "msg x"]);
        check("%COMSPEC% /c cmd /k \"notepad \"a b.txt\"\"", &["notepad \"a b.txt\""]);
        check("cmd /c start /b calc.exe && echo done", &["calc.exe"]);
        check("cmd/c\"calc ^& x\"", &["calc & x"]);
        check("cmd x y & %c^o^m^S^p^E^c% z /V /c set a=lc&& ca!a!", &["calc"]);
        check("calc.exe /c cmd", &[]);
    }

    #[test]
    fn variables_are_sliced_and_replaced() {
        check("cmd /c %ProgramData:~0,1%%ProgramData:~9,2% /c cal%PUBLIC:~-1%.exe", &["calc.exe"]);
        check("cmd /v:on /c \"set a=xcaxlc&&set b=!a:x=!&&!b! 1\"", &["calc 1"]);
        check("cmd /V:ON/C\"set x=0123456789calc&&!x:~-4!\"", &["calc"]);
        check("cmd /c set x=ca&& set y=lc&& call %x%%y% %TEMP%\\a", &["calc %TEMP%\\a"]);
        check("cmd /v /c \"set x=c%PUBLIC:~-2,1%l&& echo %x%c | cmd\"", &["cilc"]);
        check("cmd /v /c \"set a=b!c&&set a=!a!calc&& !a:*!c=!\"", &["calc"]);
        check("cmd /v /c \"set a=calc&&echo !a!|for /f %C in ('x ^| y') do %C \"", &["calc"]);
        // Without delayed variables exclamation marks are marks.
        check("cmd /c \"set x=1&&calc !x!\"", &["calc !x!"]);
    }

    #[test]
    fn loops_pick_letters() {
        check(
            "cmd /v:on /c \"set a=lcexa.&&for %i in (1,4,0,1,5,2,3,2,9) do set o=!o!!a:~%i,1!&&if %i==9 !o:~3!\"",
            &["calc.exe"],
        );
        check(
            "cmd /v:on /c \"set a=lcexa.&&set o=_&&for %i in (1 4 0 1 5 2 3 2 9)do set o=!o!!a:~%i,1!&&if %i equ 9 call %o:~1%\"",
            &["calc.exe"],
        );
        check(
            "cmd /v /c \"set a=clac&&set o=&for /L %n in (3,-1,0) do set o=!o!!a:~%n,1!& if %n lss 1 !o:~0!\"",
            &["calc"],
        );
        check("cmd /c \"for /f %a in ('ftype') do %a /c calc\"", &["calc"]);
    }

    #[test]
    fn what_would_never_end_ends() {
        let doubling = format!("cmd /v /c \"set a=x{}\"", "&&set a=!a!!a!!a!!a!".repeat(50));
        assert_eq!(lines(&doubling).found, [] as [&str; 0]);
        let nested = format!("cmd /c \"{}calc\"", "for /l %i in (1,1,20000) do ".repeat(20));
        assert!(lines(&nested).is_cut);
        for text in [
            "cmd /c",
            "cmd /v:",
            "cmd /c for",
            "cmd /c for (",
            "cmd /c if",
            "cmd /c if not",
            "cmd /c set",
            "cmd /c \"",
            "cmd /c ^",
            "cmd /c %:~%",
            "cmd /c %a:=%",
            "cmd /c |",
            "cmd /c for %é in (é) doé",
            "cmd /v /c !a:~9,9!!",
        ] {
            lines(text);
        }
    }
}
