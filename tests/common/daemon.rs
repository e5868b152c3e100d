//! `sekisho serve` with a configuration of the test's own.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use super::{PATIENCE, free_port, wait_for};

/// The program under test. `SEKISHO_TEST_BIN` puts another in its place (an installed package).
pub fn program() -> PathBuf {
    std::env::var_os("SEKISHO_TEST_BIN").map_or_else(|| env!("CARGO_BIN_EXE_sekisho").into(), PathBuf::from)
}

/// A daemon with its state folder; killed when this value goes.
pub struct Daemon {
    folder: TempDir,
    port: u16,
    http: u16,
    child: Option<Child>,
}

impl Daemon {
    /// A daemon that is not running yet, listening on `port` and sending on to `next_hop` on 127.0.0.1.
    pub fn new(mode: &str, port: u16, next_hop: u16) -> Self {
        Self::with(mode, port, next_hop, "")
    }

    /// The same with more of the configuration: whole tables, rules for instance.
    pub fn with(mode: &str, port: u16, next_hop: u16, tables: &str) -> Self {
        let listeners = format!(
            "[[listener]]\nkind = \"smtp\"\nmode = \"{mode}\"\nlisten = \"127.0.0.1:{port}\"\n\
             next_hop = \"127.0.0.1:{next_hop}\"\n\n"
        );
        Self::of(port, &listeners, tables)
    }

    /// A daemon that is not running yet, with these `[[listener]]`s, of which one takes mail at `port`; 0 if all are
    /// Unix sockets.
    pub fn of(port: u16, listeners: &str, tables: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("sekisho-").tempdir().expect("a folder");
        let http = free_port();
        let config =
            format!("{listeners}[http]\nlisten = \"127.0.0.1:{http}\"\n\n[log]\nformat = \"json\"\n\n{tables}");
        fs::write(folder.path().join("sekisho.toml"), config).expect("the configuration");
        Self { folder, port, http, child: None }
    }

    /// Starts it and waits until it is ready.
    pub fn start(&mut self) {
        self.start_under(Command::new(program()));
    }

    /// Starts it as the arguments of another command (strace) and waits until it is ready.
    pub fn start_under(&mut self, mut command: Command) {
        let log = File::options().append(true).create(true).open(self.folder.path().join("log")).expect("the log");
        let errors = log.try_clone().expect("the log");
        command.arg("serve").arg("--config").arg(self.config()).arg("--state-dir").arg(self.state());
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        self.child = Some(command.spawn().expect("to start the daemon"));
        wait_for("the daemon", PATIENCE, || {
            let child = self.child.as_mut().expect("it was started");
            if let Some(status) = child.try_wait().expect("its status") {
                panic!("the daemon ended ({status}):\n{}", self.log());
            }
            let listens = self.port == 0 || TcpStream::connect(("127.0.0.1", self.port)).is_ok();
            listens && self.get("/readyz").starts_with("HTTP/1.1 200")
        });
    }

    /// SIGKILL: no chance to tidy up.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("to kill it");
            child.wait().expect("its end");
        }
    }

    /// SIGTERM; how it ended.
    pub fn terminate(&mut self) -> std::process::ExitStatus {
        let mut child = self.child.take().expect("a running daemon");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("to stop it");
        child.wait().expect("its end")
    }

    /// Adds keys to its listener, before the start.
    pub fn set_listener(&self, keys: &str) {
        let text = fs::read_to_string(self.config()).expect("the configuration");
        let text = text.replacen("[[listener]]\n", &format!("[[listener]]\n{keys}"), 1);
        fs::write(self.config(), text).expect("the configuration");
    }

    /// Adds lines to its configuration; acts at the next start or [`Daemon::reload`].
    pub fn configure(&self, lines: &str) {
        let mut file = File::options().append(true).open(self.config()).expect("the configuration");
        file.write_all(lines.as_bytes()).expect("the configuration");
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("a running daemon").id()
    }

    /// SIGHUP.
    pub fn reload(&self) {
        let pid = rustix::process::Pid::from_child(self.child.as_ref().expect("a running daemon"));
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("to signal it");
    }

    /// The value of a metric, by its name with labels.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let page = self.get("/metrics");
        page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// Where it listens for mail.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Everything that it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The lines of messages so far.
    pub fn messages(&self) -> Vec<serde_json::Value> {
        let parsed = self.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect::<Vec<_>>();
        parsed.into_iter().filter(|line: &serde_json::Value| line["event"] == "message").collect()
    }

    /// The message's line in which `needle` stands, once it is there.
    pub fn message_with(&self, needle: &str) -> serde_json::Value {
        let find = || self.messages().into_iter().find(|line| line.to_string().contains(needle));
        wait_for(&format!("a log line with {needle}"), PATIENCE, || find().is_some());
        find().expect("it was there")
    }

    /// An HTTP answer, head and body; empty if there is none.
    pub fn get(&self, target: &str) -> String {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(("127.0.0.1", self.http))?;
            stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().unwrap_or_default()
    }

    /// Runs another command of the program on the same configuration and state.
    pub fn command(&self, arguments: &[&str]) -> Output {
        Command::new(program())
            .args(arguments)
            .arg("--config")
            .arg(self.config())
            .arg("--state-dir")
            .arg(self.state())
            .stdin(Stdio::null())
            .output()
            .expect("to run it")
    }

    /// What `quarantine list` says, an object for each entry.
    pub fn entries(&self) -> Vec<serde_json::Value> {
        let list = self.command(&["quarantine", "list", "--json"]);
        assert!(list.status.success(), "{}", String::from_utf8_lossy(&list.stderr));
        let lines = String::from_utf8(list.stdout).expect("JSON");
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// The contents of all held messages: those whose entry (`.json`) exists.
    pub fn held(&self) -> Vec<String> {
        let Ok(files) = fs::read_dir(self.state().join("quarantine")) else { return Vec::new() };
        let contents = files.flatten().map(|file| file.path()).filter(|path| {
            path.extension().is_some_and(|extension| extension == "eml") && path.with_extension("json").exists()
        });
        contents.map(|path| String::from_utf8_lossy(&fs::read(path).expect("a held message")).into_owned()).collect()
    }

    /// Its state folder.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("sekisho.toml")
    }

    /// A place for files of the test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- the daemon's log ---\n{}", self.log());
        }
    }
}
