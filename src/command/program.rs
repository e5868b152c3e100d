//! What a command line, a path or an address tells.

/// Programs that run what they are told to run, in lower case without `.exe`.
const INTERPRETERS: &[&str] = &[
    "powershell",
    "powershell_ise",
    "pwsh",
    "cmd",
    "command.com",
    "mshta",
    "wscript",
    "cscript",
    "regsvr32",
    "rundll32",
    "certutil",
    "bitsadmin",
    "wmic",
    "msiexec",
    "schtasks",
    "installutil",
    "msbuild",
    "regasm",
    "regsvcs",
    "forfiles",
    "odbcconf",
    "cmstp",
    "scriptrunner",
    "wsl",
    "%comspec%",
];

/// Extensions of files that Windows runs, or that a program above runs.
const RUNNABLE: &[&str] = &[
    "exe", "dll", "scr", "com", "pif", "cpl", "msi", "bat", "cmd", "ps1", "psm1", "vbs", "vbe", "js", "jse", "wsf",
    "wsh", "hta", "lnk", "ocx", "sct", "jar", "chm", "xll", "wll", "url",
];

/// The interpreter that `command` hands something to, if it names one as a word.
pub fn interpreter(command: &str) -> Option<&'static str> {
    // Carets mean nothing to cmd, nor do quotes in the middle of a name.
    let command = command.to_lowercase().replace(['^', '"', '\''], "");
    let is_separator = |c: char| {
        c.is_whitespace() || matches!(c, '\\' | '/' | '&' | '|' | ';' | '(' | ')' | ',' | '=' | '@' | '…' | '`')
    };
    command.split(is_separator).find_map(|word| {
        let word = word.strip_suffix(".exe").unwrap_or(word);
        INTERPRETERS.iter().copied().find(|name| *name == word)
    })
}

/// Whether `text` is a command for an interpreter: one stands at its start, with something to do.
pub fn is_command(text: &str) -> bool {
    let text = text.trim_start();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (program, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    let rest = rest.trim();
    interpreter(program).is_some()
        && rest.len() >= 8
        && (rest.starts_with(['-', '/', '"', '\'', '(', '^', '$', '&']) || is_url(rest))
}

/// Whether a file of this name can be run.
pub fn is_runnable(path: &str) -> bool {
    let path = path.trim_end_matches(|c: char| c == '.' || c == '"' || c.is_whitespace());
    let name = path.rsplit(['\\', '/']).next().unwrap_or(path);
    name.rsplit_once('.').is_some_and(|(_, extension)| RUNNABLE.contains(&extension.to_lowercase().as_str()))
}

/// Whether what is written there starts by itself: Windows' start folder, Office's start folders.
pub fn is_startup(path: &str) -> bool {
    let path = path.to_lowercase().replace('/', "\\");
    ["\\startup\\", "\\start menu\\programs\\startup", "\\xlstart\\", "\\word\\startup"]
        .iter()
        .any(|folder| path.contains(folder))
        || path.ends_with("\\templates\\normal.dotm")
}

/// Whether it is an address on the web, not a file.
pub fn is_url(text: &str) -> bool {
    let text = text.trim_start().to_ascii_lowercase();
    ["http://", "https://", "ftp://"].iter().any(|scheme| text.starts_with(scheme))
}

/// Whether `target` of a ShellExecute or FollowHyperlink only shows something: an address, a
/// folder, a document.
pub fn is_shown(target: &str) -> bool {
    let lower = target.to_lowercase();
    let name = lower.rsplit(['\\', '/']).next().unwrap_or(&lower);
    is_url(target)
        || lower.starts_with("mailto:")
        || (name.is_empty() && !target.is_empty())
        || (name.contains('.') && !is_runnable(target) && !target.contains('…'))
        || matches!(name, "explorer" | "explorer.exe" | "notepad" | "notepad.exe")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters_are_words_of_the_command() {
        let cases = [
            ("powershell -w hidden", Some("powershell")),
            ("C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\PowerShell.exe -enc x", Some("powershell")),
            ("c^m^d /c echo", Some("cmd")),
            ("%ComSpec% /c dir", Some("%comspec%")),
            ("…cmd.exe /c …", Some("cmd")),
            ("C:\\Program Files\\cmdtool\\run.bat", None),
            ("notepad.exe C:\\powershell-notes.txt", None),
            ("", None),
        ];
        for (command, expected) in cases {
            assert_eq!(interpreter(command), expected, "{command}");
        }
    }

    #[test]
    fn files_that_run_and_files_that_do_not() {
        for path in ["a.exe", "%TEMP%\\x.JS ", "C:\\x\\y.dll", "…\\a.vbs", "a.txt.exe."] {
            assert!(is_runnable(path), "{path}");
        }
        for path in ["a.txt", "exe", "C:\\a.exe\\b.csv", "", "…"] {
            assert!(!is_runnable(path), "{path}");
        }
    }
}
