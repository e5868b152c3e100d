//! `sekisho scan` as a user runs it: the real program, its output and its exit status.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::common::client::{eicar, letter};
use crate::common::daemon::program;

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("sekisho-scan-").tempdir().expect("a folder")
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(program()).arg("scan").args(arguments).current_dir(folder).output().expect("the program runs")
}

fn objects(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).expect("JSON is UTF-8");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn paths(output: &Output) -> Vec<String> {
    objects(output).iter().map(|object| object["path"].as_str().unwrap_or_default().to_owned()).collect()
}

fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = object.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn an_object_has_the_promised_fields() {
    let folder = folder();
    fs::write(folder.path().join("m.eml"), eicar("1")).unwrap();
    let output = run(folder.path(), &["--json", "m.eml"]);
    let [object] = &objects(&output)[..] else { panic!("{output:?}") };
    let expected = [
        "complete",
        "explanation",
        "findings",
        "indicators",
        "parts",
        "path",
        "schema",
        "seconds",
        "sha256",
        "size",
        "type",
        "verdict",
    ];
    assert_eq!(keys(object), expected);
    assert_eq!((&object["schema"], &object["type"]), (&"sekisho.scan/1".into(), &"message".into()));
    assert_eq!((&object["verdict"], &object["complete"]), (&"malicious".into(), &true.into()));
    assert_eq!(object["size"], eicar("1").len());
    assert_eq!(keys(&object["explanation"]), ["en", "ja"]);
    let finding = &object["findings"][0];
    assert_eq!(keys(finding), ["attack", "category", "evidence", "id", "location", "part", "severity"]);
    assert_eq!(finding["id"], "eicar-test-file");
    for field in ["path", "name", "type", "size", "sha256", "depth", "code_fingerprint"] {
        assert!(object["parts"][0].get(field).is_some(), "{field}");
    }
    assert!(object["parts"].as_array().unwrap().iter().all(|part| part.get("name_raw").is_none()));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn results_come_in_the_order_of_the_inputs_and_folders_sorted() {
    let folder = folder();
    let inner = folder.path().join("in");
    fs::create_dir_all(inner.join("b")).unwrap();
    for name in ["c", "a", "b/z", "b/y"] {
        fs::write(inner.join(name), b"text").unwrap();
    }
    // The first takes longest.
    fs::write(folder.path().join("large"), vec![b'x'; 8 << 20]).unwrap();
    let output = run(folder.path(), &["--json", "-j4", "large", "in", "in/c"]);
    assert_eq!(paths(&output), ["large", "in/a", "in/b/y", "in/b/z", "in/c", "in/c"]);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn symbolic_links_are_followed_only_if_named() {
    let folder = folder();
    fs::create_dir(folder.path().join("in")).unwrap();
    fs::write(folder.path().join("outside"), b"text").unwrap();
    std::os::unix::fs::symlink("../outside", folder.path().join("in/link")).unwrap();
    std::os::unix::fs::symlink(".", folder.path().join("in/round")).unwrap();
    assert_eq!(paths(&run(folder.path(), &["--json", "in"])), [""; 0]);
    assert_eq!(paths(&run(folder.path(), &["--json", "in/link"])), ["in/link"]);
}

#[test]
fn standard_input_and_pipes_are_read_whole() {
    let folder = folder();
    for path in ["-", "/dev/stdin"] {
        let mut child = Command::new(program())
            .args(["scan", "--json", path])
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&eicar("1")).unwrap();
        let output = child.wait_with_output().unwrap();
        let [object] = &objects(&output)[..] else { panic!("{output:?}") };
        assert_eq!((&object["path"], &object["verdict"]), (&path.into(), &"malicious".into()));
    }
}

#[test]
fn a_mailbox_gives_an_object_for_each_message() {
    let folder = folder();
    let separator = b"From a@example.com Sun Nov 22 10:00:00 2026\n".to_vec();
    let one = [separator.clone(), letter("1"), b"\n".to_vec()].concat();
    let two = [one.clone(), separator, eicar("2"), b"\n".to_vec()].concat();
    fs::write(folder.path().join("one"), one).unwrap();
    fs::write(folder.path().join("two"), two).unwrap();
    let output = run(folder.path(), &["--json", "one", "two"]);
    assert_eq!(paths(&output), ["one", "two#1", "two#2"]);
    let verdicts: Vec<Value> = objects(&output).iter().map(|object| object["verdict"].clone()).collect();
    assert_eq!(verdicts, ["clean", "clean", "malicious"]);
}

#[test]
fn a_maildir_gives_an_object_for_each_message() {
    let folder = folder();
    for name in ["cur/1.a:2,S", "new/2.b", "tmp/3.c"] {
        let path = folder.path().join("Maildir").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, letter(name)).unwrap();
    }
    let output = run(folder.path(), &["--json", "Maildir"]);
    assert_eq!(paths(&output), ["Maildir/cur/1.a:2,S", "Maildir/new/2.b", "Maildir/tmp/3.c"]);
    assert!(objects(&output).iter().all(|object| object["type"] == "message"));
}

#[test]
fn a_missing_input_is_said_and_wins_over_a_verdict() {
    let folder = folder();
    fs::write(folder.path().join("bad.eml"), eicar("1")).unwrap();
    for order in [["bad.eml", "missing"], ["missing", "bad.eml"]] {
        let output = run(folder.path(), &["--json", order[0], order[1]]);
        assert_eq!((paths(&output), output.status.code()), (order.map(str::to_owned).to_vec(), Some(66)));
        let missing = objects(&output).into_iter().find(|object| object["path"] == "missing").unwrap();
        assert_eq!(keys(&missing), ["error", "path", "schema"]);
    }
    let output = run(folder.path(), &["missing"]);
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("sekisho: missing: "), "{output:?}");
    assert_eq!(output.stdout, b"");
}

#[test]
fn an_input_over_the_limit_is_an_error() {
    let folder = folder();
    let file = fs::File::create(folder.path().join("huge")).unwrap();
    file.set_len((50 << 20) + 1).unwrap();
    fs::write(folder.path().join("small"), b"text").unwrap();
    let output = run(folder.path(), &["--json", "huge", "small"]);
    assert_eq!((paths(&output), output.status.code()), (vec!["huge".to_owned(), "small".to_owned()], Some(74)));
    assert!(objects(&output)[0]["error"].is_string());
}

#[test]
fn the_exit_status_follows_the_options() {
    let folder = folder();
    fs::write(folder.path().join("bad.eml"), eicar("1")).unwrap();
    fs::write(folder.path().join("rar"), b"Rar!\x1a\x07\x01\0").unwrap();
    fs::write(folder.path().join("text"), b"text").unwrap();
    let cases: &[(&[&str], i32)] = &[
        (&["text"], 0),
        (&["bad.eml"], 1),
        (&["--fail-on", "malicious", "bad.eml"], 1),
        (&["--fail-on", "clean", "text"], 1),
        (&["rar"], 0),
        (&["--fail-on-incomplete", "rar"], 1),
        (&["--fail-on-incomplete", "text"], 0),
        (&["--fail-on", "nonsense", "text"], 64),
        (&[], 64),
    ];
    for (arguments, expected) in cases {
        assert_eq!(run(folder.path(), arguments).status.code(), Some(*expected), "{arguments:?}");
    }
}

#[test]
fn hostile_names_are_harmless_on_a_terminal_and_kept_in_json() {
    use std::os::unix::ffi::OsStrExt;
    let folder = folder();
    let name = "\u{1b}[31ma\u{202e}b\n.txt";
    fs::write(folder.path().join(name), b"text").unwrap();
    let output = run(folder.path(), &[name]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains(['\u{1b}', '\u{202e}']) && text.lines().count() == 3, "{text:?}");
    assert_eq!(paths(&run(folder.path(), &["--json", name])), [name]);
    let undecodable = folder.path().join(std::ffi::OsStr::from_bytes(b"\xff.txt"));
    fs::write(undecodable, b"text").unwrap();
    assert!(paths(&run(folder.path(), &["--json", "."])).contains(&"./\u{fffd}.txt".to_owned()));
}
