//! The invariants of docs/architecture.md that a program can check.

use std::fs;
use std::path::{Path, PathBuf};

/// Every Rust file below `src/NAME` (a file or a folder), without those that are tests only.
fn sources(name: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut waiting = vec![root.join(name)];
    let mut found = Vec::new();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
    assert!(!found.is_empty(), "src/{name} is missing: correct this test and docs/architecture.md");
    found
}

/// The code of a file without its comments and its tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_core_does_no_io_and_reads_no_clock() {
    let core = [
        "scan.rs",
        "limits.rs",
        "reader.rs",
        "part.rs",
        "filetype.rs",
        "finding.rs",
        "verdict.rs",
        "plan.rs",
        "queue.rs",
        "transport.rs",
        "marks.rs",
        "strip",
        "knowledge.rs",
        "ledger.rs",
        "envelope.rs",
        "mime",
        "formats",
        "vba",
        "excel4",
        "command",
        "lure",
        "policy",
        "smtp/command.rs",
        "smtp/data.rs",
        "smtp/reply.rs",
        "smtp/session.rs",
        "milter/codec.rs",
        "milter/session.rs",
    ];
    let forbidden = [
        "tokio",
        "std::fs",
        "fs::",
        "std::net::Tcp",
        "std::net::Udp",
        "std::os::unix::net",
        "std::process",
        "std::env",
        "Instant::now",
        "SystemTime",
        "Timestamp::now",
        "async fn",
        "thread::sleep",
    ];
    for path in core.iter().flat_map(|name| sources(name)) {
        let code = code(&path);
        for word in forbidden {
            assert!(
                !code.contains(word),
                "{} uses {word}: the core does no I/O (architecture, invariant 3)",
                path.display()
            );
        }
    }
}

#[test]
fn every_source_file_says_what_it_is() {
    for path in sources("") {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//!"), "{} has no //! header", path.display());
    }
}

#[test]
fn every_module_is_on_the_map() {
    let map = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md")).unwrap();
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    for module in lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')) {
        assert!(map.contains(module), "module {module} is missing in docs/architecture.md");
    }
}

/// `docs/findings.md`, from the table. `UPDATE_DOCS=1 cargo test --test architecture` writes it anew.
fn findings_page() -> String {
    let mut page = "# Findings\n\n\
        Everything Sekisho can say about a message; `sekisho findings` prints the same. Rules name findings by id or by\n\
        glob (`vba-*`); the sentence's subject is the part. `uninspected` findings make a message incomplete, for the reason given.\n\n\
        | Id | Category | Severity | Reason | ATT&CK | It says that the part … | 日本語 |\n|---|---|---|---|---|---|---|\n"
        .to_owned();
    for finding in sekisho::finding::ALL {
        page.push_str(&format!(
            "| `{}` | {} | {} | {} | {} | {} | {} |\n",
            finding.as_str(),
            finding.category.name(),
            finding.severity.name(),
            finding.reason.map_or("", |reason| reason.name()),
            finding.attack.unwrap_or(""),
            finding.en.replace("{evidence}", "…"),
            finding.ja.end.replace("{evidence}", "…"),
        ));
    }
    page
}

#[test]
fn the_table_of_findings_is_documented() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/findings.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, findings_page()).unwrap();
    }
    let page = fs::read_to_string(&path).unwrap_or_default();
    assert!(page == findings_page(), "docs/findings.md is not what the table says; run with UPDATE_DOCS=1");
}

fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

#[test]
fn every_direct_dependency_has_its_line() {
    let manifest: toml::Table = page("Cargo.toml").parse().unwrap();
    let tables = ["dependencies", "dev-dependencies"].map(|table| manifest[table].as_table().unwrap());
    let mut used: Vec<&str> = tables.iter().flat_map(|table| table.keys().map(String::as_str)).collect();
    let page = page("docs/dependencies.md");
    let mut told: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    used.sort_unstable();
    // Tests may use more of one than the program.
    used.dedup();
    told.sort_unstable();
    assert_eq!(told, used, "docs/dependencies.md against Cargo.toml");
}

#[test]
fn every_test_of_the_threat_model_exists() {
    let mut waiting = vec!["src", "tests"].into_iter().map(PathBuf::from).collect::<Vec<_>>();
    let mut code = String::new();
    while let Some(path) = waiting.pop() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        if path.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|e| e == "rs") {
            code.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
    let page = page("docs/threat-model.md");
    let named = page.lines().filter_map(|line| line.strip_suffix("` |")?.rsplit('`').next());
    let mut count = 0;
    for name in named {
        assert!(code.contains(&format!("fn {name}(")), "there is no test {name}");
        count += 1;
    }
    assert!(count > 10, "the table was not read");
}
