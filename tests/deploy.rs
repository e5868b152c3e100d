//! The files for systemd: what they may do, and that systemd understands them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::require_tool;

mod booted;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

fn run(program: &Path, arguments: &[&str], unit: &Path) -> Output {
    Command::new(program).args(arguments).arg(unit).env("SYSTEMD_COLORS", "0").output().expect("to start it")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn the_unit_is_exposed_to_less_than_1_5() {
    let Some(analyze) = require_tool("systemd-analyze") else { return };
    let unit = file("systemd/sekisho.service");
    // The threshold counts in tenths.
    let output = run(&analyze, &["security", "--offline=true", "--no-pager", "--threshold=15"], &unit);
    assert!(output.status.success(), "{}", text(&output));
    let output = run(&analyze, &["security", "--offline=true", "--no-pager", "--threshold=1"], &unit);
    assert!(!output.status.success(), "the threshold is not looked at: {}", text(&output));
}

#[test]
fn systemd_understands_every_line_of_the_units() {
    let Some(analyze) = require_tool("systemd-analyze") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    // `verify` looks for the programs and documents, which are not installed here.
    let installed = std::fs::read_to_string(file("systemd/sekisho.service")).expect("the unit");
    let unit = folder.path().join("sekisho.service");
    std::fs::write(&unit, installed.replace("=/usr/bin/sekisho", "=/bin/true")).expect("to write it");
    let mut units = vec![unit];
    for name in ["sekisho.socket", "sekisho-milter.socket"] {
        let copy = folder.path().join(name);
        std::fs::copy(file("systemd").join(name), &copy).expect("to copy it");
        units.push(copy);
    }
    for unit in units {
        let output = run(&analyze, &["verify", "--man=no"], &unit);
        let complaints: Vec<String> =
            text(&output).lines().filter(|line| line.contains("sekisho")).map(str::to_owned).collect();
        assert_eq!(complaints, Vec::<String>::new());
    }
}

#[test]
fn the_socket_units_fit_the_configuration() {
    let unit = |name: &str| std::fs::read_to_string(file("systemd").join(name)).expect(name);
    let default = sekisho::config::Config::default().listeners[0].listen.to_string();
    assert!(unit("sekisho.socket").contains(&format!("\nListenStream={default}\n")), "the default listener's address");
    for (name, socket) in [("smtp", "sekisho.socket"), ("milter", "sekisho-milter.socket")] {
        let text = unit(socket);
        assert!(
            text.contains(&format!("\nFileDescriptorName={name}\n")) && text.contains("\nService=sekisho.service\n")
        );
        let listen = format!("[[listener]]\nlisten = \"systemd:{name}\"\n");
        sekisho::config::Config::parse(&listen, "test").expect("a name");
    }
    let service = unit("sekisho.service");
    assert!(service.contains("\nType=notify\n") && service.contains("\nWatchdogSec="));
}

#[test]
fn a_typo_in_the_unit_would_be_seen() {
    let Some(analyze) = require_tool("systemd-analyze") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let unit = folder.path().join("sekisho.service");
    std::fs::write(&unit, "[Service]\nExecStart=/bin/true\nNoNewPrivilege=yes\n").expect("to write it");
    assert!(text(&run(&analyze, &["verify", "--man=no"], &unit)).contains("NoNewPrivilege"));
}

#[test]
fn the_user_and_the_folders_are_made_as_the_unit_needs_them() {
    let unit = std::fs::read_to_string(file("systemd/sekisho.service")).expect("the unit");
    assert!(unit.contains("\nUser=sekisho\n") && unit.contains("\nStateDirectory=sekisho\n"));
    let root = tempfile::tempdir().expect("a folder");
    std::fs::create_dir_all(root.path().join("etc")).expect("etc");
    for (tool, name) in
        [("systemd-sysusers", "sysusers.d/sekisho.conf"), ("systemd-tmpfiles", "tmpfiles.d/sekisho.conf")]
    {
        let Some(program) = require_tool(tool) else { return };
        let rooted = format!("--root={}", root.path().display());
        let create: &[&str] = if tool == "systemd-tmpfiles" { &[&rooted, "--create"] } else { &[&rooted] };
        let output = run(&program, create, &file(name));
        assert!(output.status.success() && text(&output).trim().len() < 400, "{tool}: {}", text(&output));
    }
    let users = std::fs::read_to_string(root.path().join("etc/passwd")).expect("passwd");
    assert!(users.lines().any(|line| line.starts_with("sekisho:") && line.contains("/var/lib/sekisho")), "{users}");
    let metadata = std::fs::metadata(root.path().join("var/lib/sekisho/quarantine")).expect("the quarantine");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777, 0o700);
}

#[test]
fn the_readme_prints_the_recipe_that_the_tests_run() {
    let text = |name: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect(name);
    let documents = text("docs/postfix.md");
    let recipe = documents.split("<!-- recipe: before-queue -->\n").nth(1).and_then(|rest| rest.split("```\n").next());
    let recipe = recipe.expect("the recipe").trim_start_matches("```sh\n");
    assert!(recipe.lines().count() > 15 && text("README.md").contains(recipe));
}
