//! Addresses that a document loads from by itself, judged by who answers there: nobody outside (a folder,
//! a file server), a named host on the web, or one that is told in a way that honest documents do not use.
//!
//! Works on the text alone: nothing is resolved or fetched.

use std::net::Ipv4Addr;

use crate::command::program;
use crate::mime::decode;

/// Where an address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This computer, or the same folder.
    Here,
    /// A file server or web server that only the company reaches, as far as its name tells.
    Intranet,
    /// A named host on the internet, at the usual port.
    Named,
    /// The internet, in a way that hides who answers: how.
    Odd(&'static str),
}

/// An address, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// As it is to be shown: decoded, without blanks around it.
    pub target: String,
    /// Where it leads.
    pub reach: Reach,
}

/// Octets of an address that are looked at; Windows takes 2083 of a URL.
const MAX_TARGET: usize = 4096;

/// Schemes that hand what follows to a handler which runs or unpacks it.
const RUNNING: &[&str] = &[
    "mhtml",
    "x-usc",
    "ms-its",
    "its",
    "mk",
    "script",
    "javascript",
    "vbscript",
    "data",
    "search-ms",
    "search",
    "res",
    "ms-msdt",
    "ms-search",
    "ms-officecmd",
    "ms-appinstaller",
    "ms-cxh",
    "ms-excel",
    "ms-word",
    "ms-powerpoint",
    "shell",
    "about",
];

/// Second levels under which anybody gets a host within a minute: shortened addresses, dynamic names,
/// tunnels, places to drop files and pastes.
const ANYBODYS: &[&str] = &[
    "bit.ly",
    "tinyurl.com",
    "t.co",
    "goo.gl",
    "is.gd",
    "v.gd",
    "cutt.ly",
    "rb.gy",
    "t.ly",
    "ow.ly",
    "rebrand.ly",
    "shorturl.at",
    "tiny.cc",
    "s.id",
    "bit.do",
    "duckdns.org",
    "ddns.net",
    "no-ip.org",
    "no-ip.biz",
    "hopto.org",
    "zapto.org",
    "sytes.net",
    "myftp.org",
    "serveo.net",
    "ngrok.io",
    "ngrok-free.app",
    "trycloudflare.com",
    "loca.lt",
    "pastebin.com",
    "paste.ee",
    "transfer.sh",
    "discordapp.com",
    "githubusercontent.com",
    "000webhostapp.com",
    "workers.dev",
    "pages.dev",
    "ipfs.io",
    "requestbin.net",
    "webhook.site",
];

/// Ends of names that no public resolver knows, and of the document stores that firms rent.
const INTERNAL: &[&str] =
    &["local", "lan", "corp", "internal", "intranet", "intra", "home", "localdomain", "sharepoint.com"];

/// Judges an address as a relationship or a field spells it.
pub fn judge(target: &str) -> Link {
    let target = target.get(..target.floor_char_boundary(MAX_TARGET)).unwrap_or_default().trim_matches(is_blank);
    let mut target = target.to_owned();
    // A whole address in percent signs hides its scheme, and Office decodes it.
    if scheme(&target).is_none() && target.contains('%') {
        let decoded = percent_decoded(&target).trim_matches(is_blank).to_owned();
        if scheme(&decoded).is_some() || decoded.starts_with("\\\\") {
            target = decoded;
        }
    }
    let reach = reach(&target);
    Link { target, reach }
}

/// RFC 3986 2.1; what is no escape stays.
pub fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, left @ ..] = rest {
        let escaped = match left {
            [high, low, ..] if *first == b'%' => decode::hex(*high, *low),
            _ => None,
        };
        out.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { left.get(2..).unwrap_or_default() } else { left };
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() || c.is_control()
}

/// The scheme and what follows it. One letter is a drive.
fn scheme(target: &str) -> Option<(String, &str)> {
    let (scheme, rest) = target.split_once(':')?;
    let known = scheme.len() > 1
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    known.then(|| (scheme.to_ascii_lowercase(), rest))
}

fn reach(target: &str) -> Reach {
    if let Some(path) = target.strip_prefix("\\\\").or_else(|| target.strip_prefix("//")) {
        return share(path);
    }
    let Some((scheme, rest)) = scheme(target) else { return Reach::Here };
    match scheme.as_str() {
        "http" | "https" | "ftp" | "webdav" | "dav" | "davs" => web(&scheme, rest),
        "file" => file(rest),
        name if RUNNING.contains(&name) => Reach::Odd("a scheme that runs what it loads"),
        _ => Reach::Here,
    }
}

/// `file:` with a drive, an empty host, or a host ([RFC 8089], appendix E of which has Windows' spellings).
fn file(rest: &str) -> Reach {
    let path = rest.trim_start_matches(['/', '\\']);
    let slashes = rest.get(..rest.len().saturating_sub(path.len())).unwrap_or_default();
    let drive = path.as_bytes().get(1).is_some_and(|byte| matches!(byte, b':' | b'|'));
    if drive || slashes == "/" || slashes == "///" || slashes.is_empty() { Reach::Here } else { share(path) }
}

/// A share: `host\path`, where `host@SSL@port` is WebDAV ([MS-DTYP] 2.2.57 and Windows' redirector).
fn share(path: &str) -> Reach {
    let host = path.split(['\\', '/']).next().unwrap_or_default();
    if host == "?" || host == "." {
        let rest = path.get(2..).unwrap_or_default();
        return match rest.get(..4) {
            Some(unc) if unc.eq_ignore_ascii_case("UNC\\") => share_host(rest.get(4..).unwrap_or_default()),
            _ => Reach::Here,
        };
    }
    share_host(path)
}

fn share_host(path: &str) -> Reach {
    let host = path.split(['\\', '/']).next().unwrap_or_default();
    let (name, port) = host.split_once('@').map_or((host, None), |(name, port)| (name, Some(port)));
    match reach_of_host(name) {
        Reach::Named if port.is_some() => Reach::Odd("WebDAV on the internet"),
        // Firms name their file servers in full: server.region.firm.example.
        Reach::Named if name.split('.').count() > 2 && !path.to_ascii_lowercase().contains("davwwwroot") => {
            Reach::Intranet
        }
        Reach::Named => Reach::Odd("a file share on the internet"),
        reach => reach,
    }
}

fn web(scheme: &str, rest: &str) -> Reach {
    let rest = rest.trim_start_matches(['/', '\\']);
    let authority = rest.split(['/', '\\', '?', '#']).next().unwrap_or_default();
    let (user, place) = authority.rsplit_once('@').map_or((None, authority), |(user, place)| (Some(user), place));
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => (host, Some(port)),
        _ => (place, None),
    };
    let usual = match scheme {
        "https" | "davs" => "443",
        "ftp" => "21",
        _ => "80",
    };
    match reach_of_host(host) {
        Reach::Named if user.is_some() => Reach::Odd("a user name before the host"),
        Reach::Named if port.is_some_and(|port| port != usual) => Reach::Odd("an unusual port"),
        Reach::Named if rest.trim_end().ends_with('!') => Reach::Odd("a mark that makes it a moniker"),
        Reach::Named if scheme == "ftp" => Reach::Odd("FTP"),
        reach => reach,
    }
}

/// Where a host stands, by its name or number.
fn reach_of_host(host: &str) -> Reach {
    let host = percent_decoded(host).trim_end_matches('.').to_ascii_lowercase();
    if host.is_empty() || host == "localhost" {
        return Reach::Here;
    }
    if let Some(address) = number(&host) {
        let private = address.is_private() || address.is_loopback() || address.is_link_local();
        return if private { Reach::Intranet } else { Reach::Odd("a bare IP address") };
    }
    if host.starts_with('[') {
        return Reach::Odd("a bare IP address");
    }
    let ends = |list: &[&str]| {
        list.iter().any(|end| host.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
    };
    if !host.contains('.') || ends(INTERNAL) {
        Reach::Intranet
    } else if ends(ANYBODYS) {
        Reach::Odd("a host that anybody can get")
    } else {
        Reach::Named
    }
}

/// An IPv4 address in any spelling that Windows reads: one to four numbers, decimal, octal or hexadecimal.
fn number(host: &str) -> Option<Ipv4Addr> {
    let mut fields = [0_u32; 4];
    let mut count = 0_usize;
    for field in host.split('.') {
        let value = match field.strip_prefix("0x") {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None if field.len() > 1 && field.starts_with('0') => u32::from_str_radix(field, 8).ok()?,
            None if field.bytes().all(|b| b.is_ascii_digit()) => field.parse().ok()?,
            None => return None,
        };
        *fields.get_mut(count)? = value;
        count = count.saturating_add(1);
    }
    let [a, b, c, d] = fields;
    let address = match count {
        1 => a,
        2 => a.checked_shl(24)? | b & 0x00FF_FFFF,
        3 => a.checked_shl(24)? | (b & 0xFF).checked_shl(16)? | c & 0xFFFF,
        _ => u32::from_be_bytes([a, b, c, d].map(|field| u8::try_from(field & 0xFF).unwrap_or_default())),
    };
    Some(Ipv4Addr::from(address))
}

/// Schemes whose handlers run what the address tells them to.
const COMMANDS: &[&str] =
    &["ms-msdt", "ms-officecmd", "ms-cxh", "ms-cxh-full", "ms-appinstaller", "script", "x-usc", "vbscript"];
/// Schemes that hand an address within theirs to a search, a viewer of help, or a program of Office.
const CARRIERS: &[&str] = &[
    "search-ms",
    "search",
    "ms-search",
    "mhtml",
    "its",
    "ms-its",
    "mk",
    "ms-word",
    "ms-excel",
    "ms-powerpoint",
    "ms-access",
    "ms-publisher",
    "ms-visio",
    "ms-project",
];
/// Of these, the ones that show a folder of the internet as if it were of this computer.
const SEARCHES: &[&str] = &["search-ms", "search", "ms-search"];

/// Why a click on a link to this address does more than show a page or open a file of the company, if it does.
/// Scripts of pages (`javascript:`) are no business of Office, and are copied along with them.
pub fn when_clicked(target: &str) -> Option<&'static str> {
    let target = judge(target).target;
    if let Some((scheme, rest)) = scheme(&target).filter(|(scheme, _)| scheme != "file") {
        if COMMANDS.contains(&scheme.as_str()) {
            return Some("a scheme that runs what it is told");
        }
        if !CARRIERS.contains(&scheme.as_str()) {
            return None;
        }
        let searches = SEARCHES.contains(&scheme.as_str());
        return match reach(&inner(rest)) {
            Reach::Named if searches => Some("a search on the internet"),
            Reach::Odd(why) => Some(why),
            Reach::Named | Reach::Here | Reach::Intranet => None,
        };
    }
    let is_odd = matches!(reach(&target), Reach::Odd(_));
    (is_odd && extension(&target).is_some_and(|known| program::is_runnable(&format!("x.{known}"))))
        .then_some("a program on a file share of the internet")
}

/// The address that stands within another one: `crumb=location:\\\\host\\share`, `ofe|u|https://host/a.docx`.
fn inner(rest: &str) -> String {
    const STARTS: [&str; 6] = ["http://", "https://", "ftp://", "file:", "\\\\", "//"];
    let decoded = percent_decoded(rest);
    let lower = decoded.to_ascii_lowercase();
    // The earliest of them, and of two that begin there the longer.
    let at = STARTS.iter().filter_map(|start| lower.find(start)).min().unwrap_or(decoded.len());
    let found = decoded.get(at..).unwrap_or_default();
    found.split(['|', '&', '"', '!']).next().unwrap_or_default().to_owned()
}

/// The lower-case extension of the file that an address names, without query and fragment.
pub fn extension(target: &str) -> Option<String> {
    let path = target.split(['?', '#']).next()?.trim_end_matches('!');
    let (_, rest) = path.split_once("://").unwrap_or(("", path));
    let (_, name) = rest.rsplit_once(['/', '\\'])?;
    crate::part::extension(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_tells_an_intranet_from_a_raw_number() {
        for target in [
            "Normal.dotm",
            "C:\\Templates\\a.dot",
            "file:///C:\\a%20b.dotx",
            "file:///Users/x/a.dotx",
            "../a.docx",
            "mailto:a@b.example",
            "",
            "http://",
            "//?/C:/a.dot",
        ] {
            assert_eq!(judge(target).reach, Reach::Here, "{target}");
        }
        for target in [
            "\\\\server\\share\\a.dot",
            "file:///\\\\server\\share\\a.dot",
            "file://server/a.dot",
            "http://intranet/a.dotx",
            "https://10.1.2.3/a.dotx",
            "\\\\192.168.0.9\\t\\a.dot",
            "http://portal.firm.local:8080/a.dotx",
            "https://firm.sharepoint.com/t/a.dotx",
            "\\\\fs1.emea.firm.example\\t\\a.dotm",
            "\\\\?\\UNC\\server\\a",
        ] {
            assert_eq!(judge(target).reach, Reach::Intranet, "{target}");
        }
        for target in ["https://firm.example/a.dotx", "http://www.firm.example:80/a", "HTTPS://Firm.Example"] {
            assert_eq!(judge(target).reach, Reach::Named, "{target}");
        }
        for target in [
            "http://203.0.113.7/a.dotm",
            "http://3405803783/a",
            "http://0xcb007107/a",
            "\\\\203.0.113.7\\a",
            "http://u:p@firm.example/a",
            "http://firm.example:8080/a",
            "mhtml:http://firm.example/a.html!x-usc:http://firm.example/a.html",
            "ms-msdt:/id",
            "https://firm.example/a.html!",
            "\\\\firm.example@SSL\\DavWWWRoot\\a",
            "\\\\files.firm.example@80\\a",
            "https://x.duckdns.org/a",
            "%20http%3A%2F%2F203%2E0%2E113%2E7%2Fa",
            "file://203.0.113.7/a.dot",
            "http://[2001:db8::1]/a",
            "http:\\\\203.0.113.7\\a",
        ] {
            assert!(matches!(judge(target).reach, Reach::Odd(_)), "{target}");
        }
    }

    #[test]
    fn a_click_on_a_page_is_no_click_on_a_program() {
        for target in [
            "ms-msdt:/id PCWDiagnostic /skip force /param x",
            "MS-MSDT:-id x",
            "%6ds-msdt:/id",
            "ms-officecmd:{}",
            "search-ms:query=x&crumb=location:\\\\203.0.113.7@80\\share&displayname=Downloads",
            "search-ms:query=x&crumb=location:%5C%5Cfiles.example%40SSL%5Cshare",
            "search:query=a&crumb=location:https://firm.example/a",
            "ms-word:ofe|u|http://203.0.113.7/a.docx",
            "mhtml:http://203.0.113.7/a.mht",
            "script:http://a.example/x.sct",
            "\\\\203.0.113.7\\a\\x.exe",
            "file://firm.example@80/DavWWWRoot/a.lnk",
            "file:\\\\203.0.113.7\\x\\a.vbs",
        ] {
            assert!(when_clicked(target).is_some(), "{target}");
        }
        for target in [
            "https://firm.example/a.exe",
            "http://203.0.113.7/",
            "mailto:a@firm.example",
            "javascript:void(0)",
            "about:blank",
            "search-ms:query=report&crumb=location:C%3A%5CUsers",
            "search-ms:query=x&crumb=location:\\\\server\\share",
            "ms-word:ofe|u|https://firm.sharepoint.com/a.docx",
            "ms-excel:ofv|u|https://partner.example/a.xlsx",
            "mhtml:file://C:\\a.mht!a.htm",
            "mk:@MSITStore:C:\\help\\a.chm::/a.htm",
            "\\\\server\\tools\\setup.exe",
            "file:///C:/tools/setup.exe",
            "\\\\firm.example\\dfs\\report.xlsx",
            "\\\\203.0.113.7\\a\\report.pdf",
            "tel:+81",
            "#Sheet1!A1",
            "",
        ] {
            assert_eq!(when_clicked(target), None, "{target}");
        }
    }

    #[test]
    fn extensions_are_of_the_file_alone() {
        assert_eq!(extension("https://a.example/b/c.DOTM?x=y.txt").as_deref(), Some("dotm"));
        assert_eq!(extension("https://a.example"), None);
        assert_eq!(extension("https://a.example/x"), None);
    }

    #[test]
    fn nothing_in_an_address_makes_it_fail() {
        for target in [
            "é".repeat(9000),
            "http://".repeat(2000),
            "\\\\".to_owned(),
            "file:".to_owned(),
            "%".repeat(99),
            "0x.0x".to_owned(),
        ] {
            judge(&target);
        }
        assert!(judge(&format!("http://{}", "9.".repeat(400))).target.len() <= MAX_TARGET);
    }
}
