//! Functions of Windows' libraries, by what calling them from a document tells.

/// Functions that load, inject, or call back into memory, in lower case without the letter of the character set.
const LOADS: &[&str] = &[
    "virtualalloc",
    "virtualallocex",
    "virtualprotect",
    "virtualprotectex",
    "writeprocessmemory",
    "createthread",
    "createremotethread",
    "createremotethreadex",
    "queueuserapc",
    "ntallocatevirtualmemory",
    "ntwritevirtualmemory",
    "zwallocatevirtualmemory",
    "zwwritevirtualmemory",
    "ntcreatethreadex",
    "rtlcreateuserthread",
    "setthreadcontext",
    "heapcreate",
    "createtimerqueuetimer",
    "enumsystemlocales",
    "enumsystemlocalesex",
    "enumsystemlanguagegroups",
    "enumdateformats",
    "enumdateformatsex",
    "enumtimeformats",
    "enumcalendarinfo",
    "enumuilanguages",
    "enumsystemcodepages",
    "enumresourcetypes",
    "createfiber",
    "etwpcreateetwthread",
];

/// Functions that start a program or load a library.
const STARTS: &[&str] = &[
    "winexec",
    "createprocess",
    "createprocessinternal",
    "system",
    "wsystem",
    "_wsystem",
    "shellexec_rundll",
    "openas_rundll",
    "routethecall",
    "loadlibrary",
    "loadlibraryex",
    "dllregisterserver",
    "dllinstall",
];

/// Functions that fetch from the network.
const FETCHES: &[&str] = &[
    "urldownloadtofile",
    "urldownloadtocachefile",
    "urlopenstream",
    "urlopenblockingstream",
    "urlopenpullstream",
    "internetopenurl",
    "internetreadfile",
    "winhttpsendrequest",
    "winhttpreaddata",
    "httpsendrequest",
    "ftpgetfile",
];

/// The name in lower case, without the letter that tells the character set (`ShellExecuteA`).
pub fn plain(function: &str) -> String {
    let lower = function.trim().to_lowercase();
    let all = || LOADS.iter().chain(STARTS).chain(FETCHES);
    let is_known = |name: &str| all().any(|known| *known == name) || name.starts_with("shellexecute");
    match lower.strip_suffix(['a', 'w']) {
        Some(short) if !is_known(&lower) && is_known(short) => short.to_owned(),
        _ => lower,
    }
}

/// Whether the function, as [`plain`] gives it, loads or injects code.
pub fn loads(function: &str) -> bool {
    LOADS.contains(&function)
}

/// Whether it starts a program.
pub fn starts(function: &str) -> bool {
    STARTS.contains(&function) || function.starts_with("shellexecute")
}

/// Whether it fetches something from the network.
pub fn fetches(function: &str) -> bool {
    FETCHES.contains(&function)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_known_in_every_character_set() {
        assert!(fetches(&plain("URLDownloadToFileA")) && fetches(&plain(" urldownloadtofileW")));
        assert!(starts(&plain("ShellExecuteExW")) && starts(&plain("WinExec")) && starts(&plain("CreateProcessA")));
        assert!(loads(&plain("VirtualAlloc")) && loads(&plain("EnumDateFormatsA")));
        assert!(!starts(&plain("FindWindowA")) && plain("GetData") == "getdata");
    }
}
