//! Addresses on the web and names of files within a command or a script.

/// Extensions of files that a command writes or runs.
const RUNNABLE: &[&str] = &[
    "exe", "dll", "scr", "pif", "cpl", "msi", "bat", "cmd", "ps1", "vbs", "vbe", "js", "jse", "wsf", "hta", "lnk",
    "ocx", "sct", "jar", "xll",
];
/// Longest address or path that is kept, in octets.
const MAX_LENGTH: usize = 2000;

/// Addresses on the web within `text`. Lists that are one string come apart: what stands between
/// two addresses (`@`, `*`, `,`, `|`) belongs to neither.
pub fn urls(text: &str) -> impl Iterator<Item = &str> {
    let starts = text.match_indices("://").filter_map(|(at, _)| scheme_start(text, at));
    starts.filter_map(|start| {
        let rest = text.get(start..)?;
        let authority = rest.find("://")?.saturating_add(3);
        let end = rest
            .find(|c: char| {
                c.is_whitespace() || c.is_control() || matches!(c, '"' | '\'' | '<' | '>' | '|' | '…' | ')' | '`')
            })
            .unwrap_or(rest.len());
        let mut url = rest.get(..end)?;
        // The next address of the list ends this one, with the sign between them.
        let next = url.get(authority..).and_then(|tail| {
            let at = tail.find("://")?;
            scheme_start(url, authority.saturating_add(at))
        });
        if let Some(next) = next {
            url = url.get(..next)?;
            let separator = |c: char| matches!(c, '@' | '*' | ',' | ';' | '|' | '!' | '#' | '$' | '^' | '~');
            url = url.strip_suffix(separator).unwrap_or(url);
        }
        let url = url.trim_end_matches([',', ';', '*', '@', '}', ']', '\\']);
        let host = url.get(authority..)?.split(['/', '?', '#']).next()?;
        let is_host = host.len() >= 3
            && host.contains(['.', ':', '['])
            && host.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']' | '@' | '%'));
        (is_host && url.len() <= MAX_LENGTH).then_some(url)
    })
}

/// Where the scheme in front of the `://` at `at` starts.
fn scheme_start(text: &str, at: usize) -> Option<usize> {
    let before = text.get(..at)?;
    let tail = before.get(before.floor_char_boundary(before.len().saturating_sub(5))..)?;
    ["https", "http", "ftp"].iter().find_map(|scheme| {
        let start = tail.len().checked_sub(scheme.len())?;
        tail.get(start..)?.eq_ignore_ascii_case(scheme).then(|| at.saturating_sub(scheme.len()))
    })
}

/// The path, if `text` is one of a file that can be run.
pub fn file(text: &str) -> Option<&str> {
    let text = text.trim_matches(['"', '\'', ' ', ',', ';']);
    let name = text.rsplit(['\\', '/']).next()?;
    let (stem, extension) = name.rsplit_once('.')?;
    let is_name = !stem.is_empty()
        && text.len() <= 260
        && !text.contains("://")
        && !text.contains(['<', '>', '|', '*', '?', '(', ')', '=', '\n', '\r', '\t', '$', '!', '{', '}', ';']);
    (is_name && RUNNABLE.contains(&extension.to_ascii_lowercase().as_str())).then_some(text)
}

/// Names of files that can be run among the words of a command; the program that it calls and
/// those of the system are none of interest.
pub fn files(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | ';' | '=' | '(' | ')'));
    words.filter_map(file).filter(|name| !is_system(name))
}

fn is_system(name: &str) -> bool {
    const SYSTEM: &[&str] = &[
        "cmd.exe",
        "powershell.exe",
        "pwsh.exe",
        "mshta.exe",
        "wscript.exe",
        "cscript.exe",
        "rundll32.exe",
        "regsvr32.exe",
        "certutil.exe",
        "bitsadmin.exe",
        "wmic.exe",
        "msiexec.exe",
        "schtasks.exe",
        "explorer.exe",
    ];
    let name = name.rsplit(['\\', '/']).next().unwrap_or(name);
    SYSTEM.iter().any(|system| system.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_that_are_one_string_come_apart() {
        for sign in ["@", "*", ",", "|", "!", ""] {
            let list = ["http://a.example/1/", "https://b.example/2", "HTTP://c.example"].join(sign);
            assert_eq!(
                urls(&list).collect::<Vec<_>>(),
                ["http://a.example/1/", "https://b.example/2", "HTTP://c.example"],
                "{sign}"
            );
        }
        let nothing = ["http://", "://a.example", "http://x/", "http://a+b.example/", "xttp://a.example/", "é://é"];
        for text in nothing {
            assert_eq!(urls(text).count(), 0, "{text}");
        }
        assert_eq!(urls("jhttp://a.example/x').Split").collect::<Vec<_>>(), ["http://a.example/x"]);
    }

    #[test]
    fn files_are_those_that_run() {
        assert_eq!(file("'C:\\Users\\Public\\a b.exe'"), Some("C:\\Users\\Public\\a b.exe"));
        for text in ["a.txt", ".exe", "http://a.example/x.exe", "x.exe | y.exe", "exe", ""] {
            assert_eq!(file(text), None, "{text}");
        }
        let found: Vec<&str> = files("certutil.exe -decode a.txt b.dll & rundll32 b.dll,Start").collect();
        assert_eq!(found, ["b.dll", "b.dll"]);
    }
}
