//! The configuration from the outside: what a broken file says, and that the shipped file, the
//! docs and the defaults are one thing.

use sekisho::config::Config;
use sekisho::config::diagnostics::{Diagnostic, Severity};
use sekisho::config::keys;

const SHIPPED: &str = include_str!("../config/sekisho.toml");
const DOCS: &str = include_str!("../docs/configuration.md");

fn diagnostics(text: &str) -> Vec<Diagnostic> {
    Config::check(text, "f.toml").1.0
}

/// A rule with these lines behind `[[rule]]` and `name = "r"`, so that the first stands in line 3.
fn rule(lines: &str) -> String {
    format!("[[rule]]\nname = \"r\"\n{lines}\n")
}

/// `(text, "LINE:COLUMN", part of the message, part of the help)`: exactly one error.
fn check_error(text: &str, place: &str, message: &str, help: &str) {
    let found = diagnostics(text);
    let shown: String = found.iter().map(|d| d.to_string()).collect();
    assert_eq!(found.len(), 1, "one error expected:\n{text}\n{shown}");
    assert_eq!(found[0].severity, Severity::Error, "{shown}");
    assert_eq!(format!("{}:{}", found[0].line, found[0].column), place, "{text}\n{shown}");
    assert!(found[0].message.contains(message), "{shown}wanted: {message}");
    assert!(found[0].help().unwrap_or_default().contains(help), "{shown}wanted: {help}");
    assert!(Config::parse(text, "f.toml").is_err());
}

#[test]
fn broken_sections_and_values() {
    let cases: &[(&str, &str, &str, &str)] = &[
        // Names
        ("on_eror = \"defer\"", "1:1", "unknown key `on_eror`", "`on_error`?"),
        ("on-error = \"defer\"", "1:1", "unknown key `on-error`", "`on_error`?"),
        ("colour = 1", "1:1", "unknown key `colour`", ""),
        ("[limit]\n", "1:2", "unknown section `limit`", "`limits`?"),
        ("[[block]]\nsender = \"@a.example\"", "1:3", "unknown section `block`", ""),
        ("[[rules]]\nname = \"a\"", "1:3", "unknown section `rules`", "`rule`?"),
        ("max_scan_time = \"25s\"", "1:1", "unknown key `max_scan_time`", "in [limits]"),
        ("[limits]\non_error = \"defer\"", "2:1", "unknown key `on_error` in [limits]", "the top of the file"),
        ("[limits]\nmax-connections-per-client = 5", "2:1", "unknown key", "`max_connections_per_client`?"),
        ("[http]\nlisten = \"off\"\nport = 1", "3:1", "unknown key `port` in [http]", ""),
        ("[[listener]]\nnexthop = \"127.0.0.1:1\"", "2:1", "unknown key `nexthop` in a [[listener]]", "`next_hop`?"),
        // Types
        ("version = \"1\"", "1:11", "`version` cannot be a string", "expected the integer 1"),
        ("version = 2", "1:11", "`version` is out of range", "1 to 1"),
        ("on_error = true", "1:12", "`on_error` cannot be true or false", "\"defer\", \"quarantine\" or \"pass\""),
        ("limits = 5", "1:1", "`limits` is a section", "[limits]"),
        ("[listener]\nlisten = \"127.0.0.1:1\"", "1:1", "can stand several times", "[[listener]]"),
        ("[limits]\nmax_files = 3.5", "2:13", "cannot be a number with a fraction", "an integer"),
        ("[mail]\nlocal_domains = [\"a.example\", 5]", "2:31", "takes strings, not an integer", ""),
        ("[mail]\nlocal_networks = true", "2:18", "`local_networks` cannot be true or false", "192.0.2.0/24"),
        // Words
        ("on_error = \"pas\"", "1:12", "unknown on_error `pas`", "`pass`?"),
        ("[[listener]]\nkind = \"stmp\"", "2:8", "unknown kind `stmp`", "`smtp`?"),
        (
            "[[listener]]\nnext_hop_protocol = \"lmtp\"",
            "2:21",
            "an smtp listener cannot have an lmtp next hop",
            "kind = \"lmtp\", or a next hop that speaks SMTP",
        ),
        ("[[listener]]\nnext_hop_protocol = \"esmtp\"", "2:21", "unknown next_hop_protocol `esmtp`", "smtp"),
        ("[[listener]]\nmode = \"after_queue\"", "2:8", "unknown mode `after_queue`", "`after-queue`?"),
        ("[[listener]]\nrefusals = \"none\"", "2:12", "unknown refusals `none`", "\"relay\" or \"all-or-none\""),
        ("[[listener]]\nbare_newlines = \"normalise\"", "2:17", "unknown bare_newlines", "`normalize`?"),
        ("[log]\nformat = \"jsn\"", "2:10", "unknown format `jsn`", "`json`?"),
        ("[log]\nlevel = \"inf\"", "2:9", "unknown level `inf`", "`info`?"),
        ("[log]\nlevel = \"a=b=c,,=\"", "2:9", "unknown level", "directives"),
        // Values
        ("[http]\nlisten = \"localhost:9125\"", "2:10", "is not an address", "`127.0.0.1:9125`?"),
        ("[http]\nlisten = \"mx.example.jp:9125\"", "2:10", "is not an address", "unix:/path"),
        ("[[listener]]\nlisten = \"unix:run/x\"", "2:10", "not an absolute path", "unix:/path"),
        ("[[listener]]\nlisten = \"127.0.0.1:99999\"", "2:10", "is not an address", ""),
        ("[[listener]]\nnext_hop = \"127.0.0.1:0\"", "2:12", "port 0", ""),
        (
            "[mail]\nlocal_networks = [\"10.0.0.0/8\", \"10.0.0.1/8\"]",
            "2:33",
            "an address in a network",
            "`10.0.0.0/8`?",
        ),
        ("[mail]\nlocal_networks = \"10.0.0.0/33\"", "2:18", "`10.0.0.0/33` is not a network", ""),
        ("[mail]\nlocal_domains = \".example.jp\"", "2:17", "is not a domain", "`*.example.jp`?"),
        ("[mail]\nlocal_domains = [\"a@example.jp\"]", "2:18", "is not a domain", "`example.jp`?"),
        ("[mail]\nauthserv_ids = \"mx example\"", "2:16", "is not a name", ""),
        ("[limits]\nmax_scan_time = 25", "2:17", "`max_scan_time` has no unit", "`\"25s\"`?"),
        ("[quarantine]\nkeep = 30", "2:8", "`keep` has no unit", "`\"30d\"`?"),
        ("[limits]\nmax_scan_time = \"25\"", "2:17", "a unit is missing", "`25s`?"),
        ("[limits]\nmax_scan_time = \"25 sec\"", "2:17", "unknown unit `sec`", "`25s`?"),
        ("[limits]\nmax_scan_time = \"soon\"", "2:17", "`soon` is not a duration", "25s"),
        ("[limits]\nmax_message_size = \"50\"", "2:20", "`50` has no unit", "`50 MiB`?"),
        ("[limits]\nmax_message_size = \"50 Mb\"", "2:20", "unknown unit `Mb`", "`50 MB`?"),
        ("[limits]\nmax_message_size = \"big\"", "2:20", "`big` is not a size", "50 MiB"),
        ("[limits]\nmax_message_size = \"-1 MB\"", "2:20", "is not a size", ""),
        ("[limits]\nmax_files = 0", "2:13", "`max_files` is out of range", "10 to 1000000"),
        ("[limits]\nmax_files = -1", "2:13", "`max_files` is out of range", "an integer"),
        ("[limits]\nmax_recursion = 5000000000", "2:17", "out of range", "2 to 100"),
        ("[limits]\nmax_recipients = 99", "2:18", "out of range", "100 to 100000"),
        ("[limits]\nmax_scan_size = 0x10", "2:17", "out of range", "64 KiB to 16 GiB"),
        ("[timeouts]\nconnect = \"0s\"", "2:11", "out of range", "1s to 1h"),
        ("[quarantine]\nkeep = \"99999d\"", "2:8", "out of range", "1h to 3650d"),
        ("[quarantine]\npath = \"../mail\"", "2:8", "is not a folder", "below the state folder"),
        // What does not go together
        ("[limits]\nmax_scan_time = \"90s\"", "2:17", "leaves nothing of reply_deadline", "below"),
        ("[timeouts]\nreply_deadline = \"20s\"", "2:18", "leaves nothing of reply_deadline", ""),
        ("[limits]\nmax_file_size = \"1 GiB\"", "2:17", "more than max_scan_size", "400 MiB"),
        ("[[listener]]\nnext_hop = \"127.0.0.1:10025\"", "2:12", "round in circles", ""),
        ("[[listener]]\nlisten = \"0.0.0.0:10026\"", "1:1", "round in circles", ""),
        ("[[listener]]\n[[listener]]\nmode = \"after-queue\"", "2:1", "the listener in line 1 listens on", ""),
        ("[[listener]]\nlisten = \"[::1]:7\"\n[[listener]]\nlisten = \"[::1]:7\"", "4:10", "line 2 listens", ""),
        ("[http]\nlisten = \"127.0.0.1:10025\"", "2:10", "a listener for mail is on", ""),
    ];
    for (text, place, message, help) in cases {
        check_error(text, place, message, help);
    }
}

#[test]
fn broken_rules() {
    let cases: &[(&str, &str, &str, &str)] = &[
        ("action = \"rejct\"", "3:10", "unknown action `rejct`", "`reject`?"),
        ("action = \"drop\"", "3:10", "unknown action `drop`", "\"pass\", \"tag\", \"strip\""),
        ("when.attachment-typ = [\"zip\"]\naction = \"pass\"", "3:6", "unknown condition", "`attachment_type`?"),
        ("when.score = 5\naction = \"pass\"", "3:6", "unknown condition `score`", ""),
        ("sender = \"@a.example\"\naction = \"quarantine\"", "3:1", "unknown key `sender`", "as `when.sender`"),
        ("when = \"suspicious\"\naction = \"quarantine\"", "3:8", "`when` cannot be a string", "when.verdict"),
        ("when.verdict = \"suspicous\"\naction = \"defer\"", "3:16", "unknown verdict", "`suspicious`?"),
        ("when.complete = \"no\"\naction = \"defer\"", "3:17", "`complete` cannot be a string", "true or false"),
        (
            "when.reason = [\"limit\", \"crypted\"]\naction = \"defer\"",
            "3:25",
            "unknown reason `crypted`",
            "`encrypted`?",
        ),
        ("when.finding = \"vba-autoexc\"\naction = \"defer\"", "3:16", "unknown finding", "`vba-autoexec`?"),
        ("when.finding = \"office.macro.*\"\naction = \"defer\"", "3:16", "no finding fits", "at least one finding"),
        ("when.finding = []\naction = \"defer\"", "3:16", "empty list", "findings like"),
        (
            "not.attachment_type = \"docm\"\naction = \"defer\"",
            "3:23",
            "unknown attachment type `docm`",
            "`ooxml-docm`?",
        ),
        ("not.attachment_type = \"exe*\"\naction = \"defer\"", "3:23", "no attachment type fits `exe*`", ""),
        ("when.attachment_name = \".exe\"\naction = \"defer\"", "3:24", "the whole name", "`*.exe`?"),
        ("when.attachment_name = \"\"\naction = \"defer\"", "3:24", "is not a file name", ""),
        ("when.sender = \"partner.example\"\naction = \"defer\"", "3:15", "not an address", "`@partner.example`?"),
        ("when.recipient = \"<>\"\naction = \"defer\"", "3:18", "no recipient is empty", ""),
        ("when.client = \"192.0.2.1/24\"\naction = \"defer\"", "3:15", "address in a network", "`192.0.2.0/24`?"),
        ("when.client = \"mail.example.jp\"\naction = \"defer\"", "3:15", "is not a network", ""),
        ("when.direction = \"incoming\"\naction = \"defer\"", "3:18", "unknown direction", "\"inbound\""),
        ("when.size = \">= 10 MB\"\naction = \"defer\"", "3:13", "`size` cannot be a string", "at_least"),
        ("when.size = { atleast = 5 }\naction = \"defer\"", "3:15", "unknown key `atleast` in `size`", "`at_least`?"),
        ("when.size = { at_least = \"2 kB\", at_most = \"1 kB\" }\naction = \"defer\"", "3:13", "no size", ""),
        ("when.size = {}\naction = \"defer\"", "3:13", "`size` is empty", ""),
        ("when.verdict = \"active\"", "1:1", "the rule has no `action`", "action = "),
        ("action = \"tag\"", "3:10", "tags with nothing", "`headers` or `subject_prefix`"),
        (
            "action = \"pass\"\nreply = \"554 5.7.1 no\"",
            "4:1",
            "no meaning for the action `pass`",
            "action = \"reject\"",
        ),
        ("when.complete = true\naction = \"defer\"\nsubject_prefix = \"x\"", "5:1", "no meaning", "action = \"tag\""),
        ("action = \"quarantine\"\nheaders = { X-A = \"1\" }", "4:1", "no meaning", "action = \"strip\""),
        ("action = \"reject\"\ncopy_to = \"soc@example.jp\"", "4:1", "no meaning", "action = \"quarantine\""),
        ("action = \"redirect\"", "3:10", "redirects to nobody", "redirect_to = "),
        ("action = \"redirect\"\nredirect_to = \"soc\"", "4:15", "not an address to send to", "soc@example.jp"),
        ("action = \"redirect\"\nredirect_to = \"a@b@example.jp\"", "4:15", "not an address to send to", ""),
        ("action = \"pass\"\nredirect_to = \"soc@example.jp\"", "4:1", "no meaning", "action = \"redirect\""),
        ("action = \"discard\"\ncopy_to = []", "4:11", "empty list", "soc@example.jp"),
        ("action = \"reject\"\nreply = \"450 4.7.1 later\"", "4:9", "5xx code", "554 5.7.1"),
        ("action = \"reject\"\nreply = \"554 4.7.1 later\"", "4:9", "`4.7.1` does not fit", ""),
        ("action = \"reject\"\nreply = \"554-5.7.1 more\"", "4:9", "5xx code", ""),
        ("action = \"reject\"\nreply = \"554 5.7.1 a\\r\\n250 b\"", "4:9", "one line", ""),
        ("action = \"reject\"\nreply = \"554 5.7.1 拒否\"", "4:9", "printable ASCII", ""),
        ("action = \"reject\"\nreply = \"554 5.7.1 {ref}\"", "4:9", "unknown placeholder `{ref}`", "{id}"),
        ("action = \"tag\"\nheaders = { \"X A\" = \"1\" }", "4:13", "not the name of a header field", ""),
        ("action = \"tag\"\nheaders = { \"X-Sekisho-A\" = \"1\" }", "4:13", "is reserved", "another name"),
        ("action = \"tag\"\nheaders = { Subject = \"1\" }", "4:13", "contradict", ""),
        ("action = \"tag\"\nheaders = { X-A = 1 }", "4:19", "`X-A` cannot be an integer", "a text"),
        ("action = \"tag\"\nheaders = { X-A = \"1\\n2\" }", "4:19", "control characters", ""),
        ("action = \"tag\"\nheaders = { X-A = \"{verdct}\" }", "4:19", "unknown placeholder", "`{verdict}`?"),
        ("action = \"tag\"\nsubject_prefix = \"a\\u0000\"", "4:18", "control characters", ""),
        ("action = \"tag\"\nsubject_prefix = \" \"", "4:18", "empty", ""),
    ];
    for (text, place, message, help) in cases {
        check_error(&rule(text), place, message, help);
    }
}

#[test]
fn names_of_rules() {
    check_error("[[rule]]\naction = \"defer\"", "1:1", "the rule has no `name`", "name = ");
    check_error("[[rule]]\nname = \"(x)\"\naction = \"defer\"", "2:8", "not a name for a rule", "");
    check_error("[[rule]]\nname = \"my rule\"\naction = \"defer\"", "2:8", "not a name", "`my-rule`?");
    let twice =
        "[[rule]]\nname = \"a\"\nwhen.complete = true\naction = \"defer\"\n[[rule]]\nname = \"a\"\naction = \"defer\"";
    check_error(twice, "6:1", "named `a` stands in line 1 already", "another name");
}

#[test]
fn a_refusal_behind_the_queue_is_backscatter() {
    let text = "[[listener]]\nmode = \"after-queue\"\n[[rule]]\nname = \"r\"\naction = \"reject\"";
    check_error(text, "5:10", "backscatter", "`quarantine`?");
    assert!(Config::parse(&text.replace("after", "before"), "f.toml").is_ok());
}

#[test]
fn syntax_errors_have_a_place_and_do_not_hide_others() {
    check_error("on_error = defer", "1:12", "must be quoted", "`\"defer\"`?");
    check_error("[limits\n", "1:8", "", "");
    check_error("[log]\nlevel = \"info\nformat = \"text\"", "2:14", "", "");
    check_error("[limits]\nmax_files = 20\nmax_files = 30", "3:1", "`max_files` is set twice; first in line 2", "");
    check_error("[log]\n[limits]\n[log]\n", "3:2", "`log` is set twice; first in line 1", "");
    check_error(
        "[[rule]]\nname = \"a\"\nwhen.sender = [\"@a.example\"\naction = \"pass\"\n[log]",
        "4:1",
        "not closed",
        "`]`",
    );
    let places: Vec<_> = diagnostics("on_eror = 1\n[limits]\nmax_files = x\nmax_scans = \"y\"\n")
        .iter()
        .map(|d| format!("{}:{}", d.line, d.column))
        .collect();
    assert_eq!(places, ["1:1", "3:13", "4:13"]);
    // What is missing is missing, unless it may stand in what could not be read.
    let places = |text: &str| diagnostics(text).iter().map(|d| d.line).collect::<Vec<_>>();
    assert_eq!(places("[[rule]]\nname = \"a\"\n[log]\nlevel = info\n"), [1, 4]);
    assert_eq!(places("[[rule]]\nname = \"a\"\naction : \"pass\"\n[log]\n"), [3]);
}

#[test]
fn all_errors_come_at_once_from_top_to_bottom() {
    let text = "[[rule]]\nwhen.attachment-typ = \"zip\"\naction = \"rejct\"\n[log]\nlevel = 5\n[limit]\n";
    let places: Vec<_> = diagnostics(text).iter().map(|d| format!("{}:{}", d.line, d.column)).collect();
    assert_eq!(places, ["1:1", "2:6", "3:10", "5:9", "6:2"]);
}

#[test]
fn warnings_leave_the_file_usable() {
    let cases = [
        (rule("when.verdict = \"clean\"\naction = \"defer\""), "3:16", "always holds"),
        (rule("action = \"pass\""), "3:10", "delivers every message"),
        (rule("when.reason = \"fault\"\naction = \"quarantine\""), "4:10", "never holds"),
        (rule("when.sender = \"@a.example\"\naction = \"pass\""), "4:10", "anybody can forge"),
        (
            rule("action = \"defer\"") + "[[rule]]\nname = \"b\"\nwhen.complete = true\naction = \"defer\"",
            "7:10",
            "rule `b` is never reached: `r` in line 1",
        ),
        ("[timeouts]\nreply_deadline = \"100s\"".to_owned(), "2:18", "smtpd_proxy_timeout"),
        ("[mail]\nlocal_networks = \"0.0.0.0/0\"".to_owned(), "2:18", "every client local"),
        ("[limits]\nmax_message_size = \"101 MiB\"".to_owned(), "2:20", "above max_file_size"),
    ];
    for (text, place, message) in cases {
        let found = diagnostics(&text);
        assert_eq!(found.len(), 1, "{text}{found:?}");
        assert_eq!(found[0].severity, Severity::Warning);
        assert_eq!(format!("{}:{}", found[0].line, found[0].column), place, "{text}");
        assert!(found[0].message.contains(message), "{}", found[0]);
        assert!(Config::parse(&text, "f.toml").is_ok());
    }
}

#[test]
fn columns_count_characters_and_carets_fit() {
    let found = diagnostics(
        "[[rule]]\nname = \"r\"\naction = \"defer\"\nwhen = { sender = \"@例え.example\", finding = \"x\" }",
    );
    assert_eq!((found[0].line, found[0].column, found[0].length), (4, 44, 3));
}

#[test]
fn odd_files_never_panic() {
    for text in [
        "\u{feff}",
        "\u{feff}on_error = \"pass\"",
        "\0",
        "=",
        "[",
        "[[",
        "[[]]",
        "a.b.c = 1",
        "rule = [1, {}]",
        "rule = []",
        "listener = []",
        "[[rule]]",
        "[rule.x]",
        "\"\" = 1",
        "[\"\"]",
        "when = 1",
        "a = [[[[[[[[[[",
    ] {
        let _ = Config::check(text, "f.toml");
    }
    let deep = "a = ".to_owned() + &"[".repeat(100_000);
    assert!(Config::parse(&deep, "f.toml").is_err());
    let many = "x = 1\n".repeat(50_000);
    assert!(Config::parse(&many, "f.toml").is_err());
    for end in 0..SHIPPED.len() {
        if let Some(text) = SHIPPED.get(..end).filter(|_| end % 7 == 0) {
            let _ = Config::check(text, "f.toml");
        }
    }
}

#[test]
fn the_empty_file_is_the_default() {
    assert_eq!(Config::parse("", "f.toml").unwrap(), Config::default());
}

#[test]
fn the_shipped_file_is_the_default_as_it_is_and_uncommented() {
    assert_eq!(Config::parse(SHIPPED, "f.toml").unwrap(), Config::default());
    let is_key =
        |line: &str| line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
    let uncommented: String = SHIPPED
        .lines()
        .map(|line| if is_key(line) { &line[1..] } else { line })
        .fold(String::new(), |text, line| text + line + "\n");
    let (config, found) = Config::check(&uncommented, "sekisho.toml");
    assert_eq!(found.to_string(), "");
    assert_eq!(config, Config::default());
}

#[test]
fn the_examples_of_the_shipped_file_are_valid() {
    let text: String = SHIPPED
        .lines()
        .filter_map(|line| line.strip_prefix("#   "))
        .fold(String::new(), |text, line| text + line + "\n");
    let (config, found) = Config::check(&text, "examples");
    assert_eq!(found.to_string(), "");
    assert_eq!(config.policy.rules().count(), 4);
}

#[test]
fn every_key_is_in_the_shipped_file_and_in_the_docs() {
    for key in keys::all() {
        let row = format!("| `{}` | {} | {} | {} |", key.name, key.wants, shown(key.default), key.doc);
        assert!(DOCS.contains(&row), "docs/configuration.md lacks this row for [{}]:\n{row}", key.home);
        if !key.default.is_empty() && key.home != "rule" {
            let line = format!("\n#{} = {}\n", key.name, key.default);
            assert!(SHIPPED.contains(&line), "config/sekisho.toml lacks: {line}");
        }
    }
}

fn shown(default: &str) -> String {
    if default.is_empty() { "none".to_owned() } else { format!("`{default}`") }
}

#[test]
fn the_docs_of_the_policy_have_valid_examples_and_name_every_condition() {
    let docs = include_str!("../docs/policy.md");
    let mut examples = 0;
    for block in docs.split("```toml\n").skip(1) {
        let (text, _) = block.split_once("```").unwrap();
        assert_eq!(Config::check(text, "policy.md").1.to_string(), "");
        examples += 1;
    }
    assert!(examples > 0);
    for key in keys::all().iter().filter(|key| key.home == "when") {
        assert!(docs.contains(&format!("`{}", key.name)), "{}", key.name);
    }
    for action in sekisho::policy::decision::Action::NAMES {
        assert!(docs.contains(&format!("- `{action}`: ")), "{action}");
    }
}

#[test]
fn no_damage_to_a_file_makes_the_check_fail() {
    let uncommented: String = SHIPPED.replace("\n#   ", "\n").replace("\n#", "\n");
    let mut rng = fastrand::Rng::with_seed(3);
    for _ in 0..1500 {
        let mut octets = uncommented.clone().into_bytes();
        for _ in 0..rng.usize(1..6) {
            let at = rng.usize(..octets.len());
            match rng.u8(..3) {
                0 => octets[at] = b"\"'[]{}=.,#\n\\ 0"[rng.usize(..14)],
                1 => drop(octets.drain(at..(at + rng.usize(..40)).min(octets.len()))),
                _ => octets.truncate(at.max(1)),
            }
        }
        let text = String::from_utf8_lossy(&octets);
        for diagnostic in diagnostics(&text) {
            assert!(diagnostic.line <= text.lines().count().max(1), "{diagnostic}");
            assert!(diagnostic.column <= diagnostic.source.chars().count() + 1, "{diagnostic}");
        }
    }
}

#[test]
fn files_that_are_no_text_or_too_large_are_errors() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let load = |octets: &[u8]| {
        std::fs::write(file.path(), octets).unwrap();
        Config::load(file.path()).map(|(config, _)| config).map_err(|error| error.to_string())
    };
    assert!(load(b"[log]\nlevel = \"\xff\"").unwrap_err().contains(":2:10: error: the file is not UTF-8 here"));
    let full = |size: usize| vec![b'\n'; size];
    assert_eq!(load(&full(1 << 20)).unwrap(), Config::default());
    assert!(load(&full((1 << 20) + 1)).unwrap_err().contains("larger than 1 MiB"));
    let (_, warnings) = {
        std::fs::write(file.path(), "[timeouts]\nreply_deadline = \"100s\"\n").unwrap();
        Config::load(file.path()).unwrap()
    };
    assert_eq!(warnings.count(Severity::Warning), 1);
}
