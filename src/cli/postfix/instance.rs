//! One Postfix: its two files, what postconf(1) says of them, and the commands that check and reload it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal, kill_process_group};
use similar::TextDiff;

use super::modes::{self, Place, Setting};
use super::{Trouble, exit};

/// What the folder of a staged copy needs besides the two files, lest postconf complain.
const BESIDE: &str = "dynamicmaps.cf";

/// How old a file is that Postfix does not wait for.
const AGE: Duration = Duration::from_secs(60);

/// How long a command of Postfix may take. `postfix check` of a large queue takes seconds.
const PATIENCE: Duration = Duration::from_secs(90);

/// The contents of `main.cf` and `master.cf`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    pub main: Vec<u8>,
    pub master: Vec<u8>,
}

impl Files {
    /// The changes as diff(1) shows them; empty if there are none.
    pub fn diff(&self, after: &Files) -> String {
        let one = |name: &str, before: &[u8], after: &[u8]| {
            let (before, after) = (String::from_utf8_lossy(before), String::from_utf8_lossy(after));
            let diff = TextDiff::from_lines(&*before, &*after);
            diff.unified_diff().context_radius(1).header(name, name).to_string()
        };
        one("main.cf", &self.main, &after.main) + &one("master.cf", &self.master, &after.master)
    }
}

/// A Postfix, by the folder of its `main.cf`.
#[derive(Debug)]
pub struct Instance {
    folder: PathBuf,
}

impl Instance {
    /// The one whose files are in `folder`, else the one that Postfix's commands speak of.
    pub fn find(folder: Option<&Path>) -> Result<Self, Trouble> {
        let folder = match folder {
            Some(folder) => fs::canonicalize(folder).map_err(|error| Trouble::file(folder, &error))?,
            None => {
                let said = text(&run(tool("postconf")?.args(["-h", "config_directory"]))?);
                PathBuf::from(said.trim())
            }
        };
        tool("postfix")?;
        Ok(Self { folder })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// `main.cf`, `master.cf` or a file of ours beside them.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The files as they are.
    pub fn files(&self) -> Result<Files, Trouble> {
        let read = |name| fs::read(self.path(name)).map_err(|error| Trouble::file(&self.path(name), &error));
        Ok(Files { main: read("main.cf")?, master: read("master.cf")? })
    }

    /// What the files say, or would say.
    pub fn present(&self, files: &Files) -> Result<Present, Trouble> {
        let stage = self.stage(files)?;
        let ask = |arguments: &[&str]| Ok(text(&run(tool("postconf")?.arg("-c").arg(stage.path()).args(arguments))?));
        let pair = |line: &str| {
            let (name, value) = line.split_once('=')?;
            Some((name.trim().to_owned(), value.trim().to_owned()))
        };
        let effective = ask(&["-x", "queue_directory", "notify_classes"])?;
        let version = ask(&["-d", "mail_version"])?;
        Ok(Present {
            main: ask(&["-n"])?.lines().filter_map(pair).collect(),
            effective: effective.lines().chain(version.lines()).filter_map(pair).collect(),
            services: ask(&["-M"])?.lines().filter_map(Service::parse).collect(),
            parameters: ask(&["-P"])?.lines().filter_map(pair).collect(),
        })
    }

    /// The files after some postconf(1) calls.
    pub fn edit(&self, files: &Files, commands: &[Vec<String>]) -> Result<Files, Trouble> {
        let stage = self.stage(files)?;
        for arguments in commands {
            run(tool("postconf")?.arg("-c").arg(stage.path()).args(arguments))?;
            cool(stage.path());
        }
        let staged = Self { folder: stage.path().to_owned() };
        staged.files()
    }

    /// A folder with copies.
    fn stage(&self, files: &Files) -> Result<tempfile::TempDir, Trouble> {
        let failed = |error| Trouble::file(&std::env::temp_dir(), &error);
        let stage = tempfile::Builder::new().prefix("sekisho-postfix-").tempdir().map_err(failed)?;
        fs::write(stage.path().join("main.cf"), &files.main).map_err(failed)?;
        fs::write(stage.path().join("master.cf"), &files.master).map_err(failed)?;
        if self.path(BESIDE).exists() {
            fs::copy(self.path(BESIDE), stage.path().join(BESIDE)).map_err(failed)?;
        }
        cool(stage.path());
        Ok(stage)
    }

    /// Replaces the files that change.
    pub fn write(&self, before: &Files, after: &Files) -> Result<(), Trouble> {
        if before.main != after.main {
            self.replace("main.cf", &after.main)?;
        }
        if before.master != after.master {
            self.replace("master.cf", &after.master)?;
        }
        Ok(())
    }

    /// Replaces a file whole, with the owner and mode it has. A new one gets those of `main.cf`.
    pub fn replace(&self, name: &str, content: &[u8]) -> Result<(), Trouble> {
        // Behind a link, if it is one.
        let path = fs::canonicalize(self.path(name)).unwrap_or_else(|_| self.path(name));
        let replace = || {
            let metadata = fs::metadata(&path).or_else(|_| fs::metadata(self.path("main.cf")))?;
            let folder = path.parent().unwrap_or(&self.folder);
            let mut file = tempfile::Builder::new().prefix(".sekisho-").tempfile_in(folder)?;
            file.write_all(content)?;
            let own = file.as_file().metadata()?;
            if (own.uid(), own.gid()) != (metadata.uid(), metadata.gid()) {
                chown(file.path(), Some(metadata.uid()), Some(metadata.gid()))?;
            }
            fs::set_permissions(file.path(), fs::Permissions::from_mode(metadata.mode() & 0o7777))?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error).map(drop)
        };
        replace().map_err(|error| Trouble::file(&path, &error))
    }

    /// `postfix check`.
    pub fn check(&self) -> Result<(), Trouble> {
        run(tool("postfix")?.arg("-c").arg(&self.folder).arg("check")).map(drop)
    }

    /// `postfix reload`, if it runs.
    pub fn reload(&self) -> Result<(), Trouble> {
        if self.is_running() {
            run(tool("postfix")?.arg("-c").arg(&self.folder).arg("reload"))?;
        }
        Ok(())
    }

    /// Whether its master(8) runs.
    pub fn is_running(&self) -> bool {
        let output = tool("postfix").and_then(|mut postfix| output(postfix.arg("-c").arg(&self.folder).arg("status")));
        output.is_ok_and(|output| output.status.success())
    }
}

/// Makes a copy of `main.cf` look old: Postfix waits some seconds for a young one, which might be half written.
fn cool(stage: &Path) {
    if let (Ok(file), Some(then)) =
        (fs::File::options().append(true).open(stage.join("main.cf")), SystemTime::now().checked_sub(AGE))
    {
        // Without it, everything takes longer.
        let _ = file.set_modified(then);
    }
}

/// A program of Postfix, also where the administration folders are not in `PATH`.
fn tool(name: &str) -> Result<Command, Trouble> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from));
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    found.map(Command::new).ok_or_else(|| {
        Trouble::new(
            exit::UNAVAILABLE,
            format!("`{name}` is missing: install Postfix, or run this on the host that has it"),
        )
    })
}

/// Runs a command to its end, or ends it: `postfix` waits for its log daemon, which may be as broken as the rest.
fn output(command: &mut Command) -> Result<Output, Trouble> {
    let name = command.get_program().to_string_lossy().into_owned();
    let failed = |error| Trouble::new(exit::UNAVAILABLE, format!("{name} cannot be run: {error}"));
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let child = command.spawn().map_err(failed)?;
    let pid = Pid::from_child(&child);
    let (ended, end) = mpsc::channel();
    let waiting = std::thread::spawn(move || {
        // Nobody listens if it took too long.
        let _ = ended.send(child.wait_with_output());
    });
    match end.recv_timeout(PATIENCE) {
        Ok(output) => output.map_err(failed),
        Err(_) => {
            // With its children, which hold its output open.
            let _ = kill_process_group(pid, Signal::KILL);
            let _ = waiting.join();
            Err(Trouble::new(
                exit::UNAVAILABLE,
                format!(
                    "`{name}` did not end within {} s: look at Postfix's log daemon (postlogd)",
                    PATIENCE.as_secs()
                ),
            ))
        }
    }
}

/// Runs a command that must succeed.
fn run(command: &mut Command) -> Result<Output, Trouble> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = output(command)?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let arguments: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
    Err(Trouble::new(
        exit::CONFIG,
        format!("`{name} {}` failed ({}): {}", arguments.join(" "), output.status, said.trim()),
    ))
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A line of `master.cf`, without its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// `smtp/inet`
    pub key: String,
    /// The program, `smtpd`.
    pub program: String,
    /// Whether it runs in Postfix's queue directory as its root.
    pub chroot: bool,
    /// The whole line, words separated by one space.
    pub line: String,
}

impl Service {
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().take_while(|word| *word != "-o").collect();
        let [name, kind, _, _, chroot, _, _, program, ..] = words.as_slice() else { return None };
        let (key, program) = (format!("{name}/{kind}"), (*program).to_owned());
        Some(Self { key, program, chroot: *chroot == "y", line: words.join(" ") })
    }
}

/// What a configuration says.
#[derive(Debug)]
pub struct Present {
    main: BTreeMap<String, String>,
    effective: BTreeMap<String, String>,
    pub services: Vec<Service>,
    parameters: BTreeMap<String, String>,
}

impl Present {
    /// What stands in a place; `None` if it is not set there.
    pub fn value(&self, place: &Place) -> Option<&str> {
        match place {
            Place::Main(name) => self.main.get(name).map(String::as_str),
            Place::Service(key) => self.service(key).map(|service| service.line.as_str()),
            Place::Parameter(service, name) => self.parameters.get(&format!("{service}/{name}")).map(String::as_str),
        }
    }

    /// Whether a setting is as wanted.
    pub fn has(&self, setting: &Setting) -> bool {
        let now = self.value(&setting.place);
        match &setting.member {
            Some(member) => now.is_some_and(|list| modes::members(list).contains(member)),
            None => now == Some(setting.value.as_str()),
        }
    }

    pub fn service(&self, key: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.key == key)
    }

    /// A value with defaults and `$names` filled in: `queue_directory`, `notify_classes`, `mail_version`.
    pub fn effective(&self, name: &str) -> &str {
        self.effective.get(name).map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_postfix_there_is_nothing_to_set_up() {
        let trouble = tool("postconf-of-no-postfix").unwrap_err();
        assert_eq!(trouble.status, exit::UNAVAILABLE);
        assert!(trouble.to_string().contains("install Postfix"), "{trouble}");
    }
}
