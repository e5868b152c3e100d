//! A real Postfix of its own: folders, ports, log; nothing shared with the system's one but its programs.
//!
//! It takes mail for anybody on one port of 127.0.0.1, sends everything on to a sink, and is changed by
//! the very commands of `docs/postfix.md`. It needs root (master(8) does).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::daemon::Daemon;
use super::sink::Sink;
use super::{PATIENCE, free_port, require_tool, skip, wait_for};

/// The address that clients claim by XCLIENT where a test wants one.
pub const CLIENT: &str = "192.0.2.7";

/// A running Postfix, which stops and disappears with this value.
pub struct Postfix {
    folder: TempDir,
    port: u16,
    filter_port: u16,
    next_hop_port: u16,
    written: [String; 2],
}

impl Postfix {
    /// Starts one that delivers to `sink`. `None` (and it says why) where there is no Postfix or no root.
    pub fn start(sink: &Sink) -> Option<Self> {
        require_tool("postfix")?;
        if !rustix::process::geteuid().is_root() {
            skip("Postfix needs root");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("postfix-").tempdir().expect("a folder");
        let (port, filter_port, next_hop_port) = (free_port(), free_port(), free_port());
        let mut postfix = Self { folder, port, filter_port, next_hop_port, written: Default::default() };
        postfix.write_configuration(sink.port());
        postfix.written = postfix.configuration();
        let start = postfix.sh("postfix start");
        assert!(start.status.success(), "{}\n{}", text(&start), postfix.log());
        wait_for("Postfix", PATIENCE, || super::client::Client::connect(port).is_ok());
        // Not before the start: without its log daemon every line of the check waits in vain.
        assert_silent("postfix check", &postfix.sh("postfix check"));
        Some(postfix)
    }

    /// Where mail comes in.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What is 10025 in the recipes.
    pub fn filter_port(&self) -> u16 {
        self.filter_port
    }

    /// What is 10026 in the recipes.
    pub fn next_hop_port(&self) -> u16 {
        self.next_hop_port
    }

    /// The warnings in its log. Not its remark about clocks: the kernel stamps files by a coarser clock
    /// than Postfix reads.
    pub fn warnings(&self) -> Vec<String> {
        let about_clocks = |line: &str| line.contains("file system clock") || line.contains("file time stamps");
        let log = self.log();
        log.lines().filter(|line| line.contains("warning") && !about_clocks(line)).map(str::to_owned).collect()
    }

    /// Everything that it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// How often each message was put off, by what stands in its Message-ID field.
    pub fn deferred(&self) -> BTreeMap<String, usize> {
        let (mut names, mut deferred) = (BTreeMap::new(), BTreeMap::new());
        for line in self.log().lines() {
            let Some((queue_id, event)) = line.split_once("]: ").and_then(|(_, rest)| rest.split_once(": ")) else {
                continue;
            };
            if let Some(name) = event.strip_prefix("message-id=") {
                names.insert(queue_id.to_owned(), name.to_owned());
            } else if event.contains("status=deferred")
                && let Some(name) = names.get(queue_id)
            {
                *deferred.entry(name.clone()).or_default() += 1;
            }
        }
        deferred
    }

    /// `main.cf` and `master.cf`.
    pub fn configuration(&self) -> [String; 2] {
        ["main.cf", "master.cf"].map(|name| fs::read_to_string(self.folder.path().join("etc").join(name)).expect(name))
    }

    /// The folder of `main.cf`.
    pub fn config_dir(&self) -> std::path::PathBuf {
        self.folder.path().join("etc")
    }

    /// `main.cf` and `master.cf` as they were at the start.
    pub fn written(&self) -> &[String; 2] {
        &self.written
    }

    /// Puts other contents into `main.cf` and `master.cf`.
    pub fn restore(&self, [main, master]: &[String; 2]) {
        fs::write(self.config_dir().join("main.cf"), main).expect("main.cf");
        fs::write(self.config_dir().join("master.cf"), master).expect("master.cf");
    }

    /// Makes what the daemon of a mode needs before it starts: the folder of the milter's socket.
    pub fn prepare(&self, docs: &str, mode: &str) {
        if mode.starts_with("milter") {
            assert_silent(mode, &self.sh(&recipe(docs, "milter-folder").replace("-o sekisho", "-o root")));
        }
    }

    /// Runs the recipes of a mode: one, or for the milter with the filter behind the queue, both.
    pub fn apply(&self, docs: &str, mode: &str) {
        if mode == "milter+after-queue" {
            self.run_recipe(docs, "after-queue");
        }
        self.run_recipe(docs, mode);
    }

    /// Undoes what [`Postfix::apply`] did.
    pub fn undo(&self, docs: &str, mode: &str) {
        self.run_recipe(docs, &format!("{mode}-undo"));
        if mode == "milter+after-queue" {
            self.run_recipe(docs, "after-queue-undo");
        }
    }

    /// A daemon that fits a mode's recipes, not running yet. `tables`: more of its configuration.
    pub fn daemon(&self, mode: &str, tables: &str) -> Daemon {
        let (filter, back) = (self.filter_port, self.next_hop_port);
        let milter = format!(
            "[[listener]]\nkind = \"milter\"\nlisten = \"unix:{}\"\nsocket_group = \"postfix\"\n\
             release_to = \"127.0.0.1:{back}\"\n\n",
            self.folder.path().join("spool/sekisho/milter.sock").display()
        );
        let behind = format!(
            "[[listener]]\nkind = \"smtp\"\nmode = \"after-queue\"\nlisten = \"127.0.0.1:{filter}\"\n\
             next_hop = \"127.0.0.1:{back}\"\n\n"
        );
        match mode {
            "milter" => Daemon::of(0, &milter, tables),
            "milter+after-queue" => Daemon::of(filter, &format!("{milter}{behind}"), tables),
            _ => Daemon::with(mode, filter, back, tables),
        }
    }

    /// Sets parameters of `main.cf` and makes them act.
    pub fn set(&self, parameters: &[&str]) {
        let words: Vec<String> = parameters.iter().map(|parameter| format!("'{parameter}'")).collect();
        self.change("parameters", &format!("postconf -e {} && postfix reload", words.join(" ")));
    }

    /// Runs the recipe that stands behind `<!-- recipe: NAME -->` in `docs`, with our ports in place of
    /// the usual ones. Every command must succeed and say nothing.
    pub fn run_recipe(&self, docs: &str, name: &str) {
        let script = recipe(docs, name)
            .replace("10025", &self.filter_port.to_string())
            .replace("10026", &self.next_hop_port.to_string())
            .replace("smtp/inet", &format!("127.0.0.1:{}/inet", self.port));
        self.change(name, &script);
    }

    /// Runs commands of which the last is a reload, and waits for it.
    fn change(&self, what: &str, script: &str) {
        let reloads = || self.log().matches("reload -- version").count();
        let (before, old) = (reloads(), self.servers());
        assert_silent(what, &self.sh(&format!("set -e\n{NO_WAITING}{script}")));
        wait_for("Postfix after its reload", PATIENCE, || {
            reloads() > before && self.servers().iter().all(|server| !old.contains(server))
        });
        wait_for("Postfix", PATIENCE, || super::client::Client::connect(self.port).is_ok());
    }

    /// Its smtpd processes. One of before a reload takes a session yet, as it was configured then.
    fn servers(&self) -> Vec<String> {
        let master = fs::read_to_string(self.folder.path().join("spool/pid/master.pid")).unwrap_or_default();
        let master = master.trim();
        let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap_or_default();
        let is_server =
            |pid: &&str| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "smtpd\n");
        children.split_whitespace().filter(is_server).map(str::to_owned).collect()
    }

    /// How many messages are in the queue.
    pub fn queued(&self) -> usize {
        let queues = ["incoming", "active", "deferred", "maildrop", "hold"];
        queues.iter().map(|queue| count_files(&self.folder.path().join("spool").join(queue))).sum()
    }

    /// Tries all queued mail now.
    pub fn flush(&self) {
        let flush = self.sh("postqueue -f");
        assert!(flush.status.success(), "{}", text(&flush));
    }

    /// Waits until the queue is empty, flushing now and then.
    pub fn drain(&self, time: Duration) {
        let mut rounds = 0_u32;
        wait_for("an empty queue", time, || {
            if rounds.is_multiple_of(100) {
                self.flush();
            }
            rounds += 1;
            self.queued() == 0
        });
    }

    /// Runs shell commands with this Postfix as *the* Postfix.
    pub fn sh(&self, script: &str) -> Output {
        Command::new("sh")
            .args(["-c", script])
            .env("MAIL_CONFIG", self.folder.path().join("etc"))
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .output()
            .expect("a shell")
    }

    fn write_configuration(&self, sink: u16) {
        let root = self.folder.path();
        // master(8) and its children run as `postfix`, which must get through.
        fs::set_permissions(root, fs::Permissions::from_mode(0o755)).expect("permissions");
        for name in ["etc", "spool", "data"] {
            fs::create_dir(root.join(name)).expect(name);
        }
        let owned = Command::new("chown").arg("postfix").arg(root.join("data")).status().expect("chown");
        assert!(owned.success(), "there is no user `postfix`");
        let main = MAIN_CF.replace("ROOT", &root.display().to_string()).replace("SINK", &sink.to_string());
        fs::write(root.join("etc/main.cf"), main).expect("main.cf");
        // A file of the last two seconds may still change, thinks Postfix, and waits.
        let old = SystemTime::now() - Duration::from_secs(60);
        File::options()
            .append(true)
            .open(root.join("etc/main.cf"))
            .and_then(|file| file.set_modified(old))
            .expect("its time");
        fs::write(root.join("etc/master.cf"), MASTER_CF.replace("PORT", &self.port.to_string())).expect("master.cf");
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        // `postfix stop` asks the master of our own folder, by its pid file; `abort` does not wait for its children.
        self.sh("postfix abort");
        let pid = fs::read_to_string(self.folder.path().join("spool/pid/master.pid")).unwrap_or_default();
        let alive = || fs::read(format!("/proc/{}/cmdline", pid.trim())).is_ok_and(|words| !words.is_empty());
        for _ in 0..200 {
            if pid.trim().is_empty() || !alive() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        if std::thread::panicking() {
            eprintln!("--- Postfix's log ---\n{}", self.log());
        }
    }
}

/// The commands of a recipe: the first `sh` block behind its mark.
pub fn recipe<'a>(docs: &'a str, name: &str) -> &'a str {
    let mark = format!("<!-- recipe: {name} -->");
    let behind = docs.split_once(&mark).unwrap_or_else(|| panic!("no {mark}")).1;
    let block = behind.split_once("```sh\n").expect("a block").1;
    block.split_once("```").expect("its end").0
}

fn assert_silent(what: &str, output: &Output) {
    let said = text(output);
    // `postfix reload` and `postsuper` say what they have done.
    let complaints =
        said.lines().filter(|line| line.contains("warning") || line.contains("fatal") || line.contains("error"));
    assert!(output.status.success() && complaints.count() == 0, "{what} ({}):\n{said}", output.status);
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn count_files(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let count = |entry: fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => count_files(&entry.path()),
        Ok(_) => 1,
        Err(_) => 0,
    };
    entries.flatten().map(count).sum()
}

/// Makes `postconf` in a script leave `main.cf` with an old date, so that nobody waits for its next change (see above).
const NO_WAITING: &str = r#"
postconf() {
    command postconf "$@" || return
    touch -d '1 minute ago' "$MAIL_CONFIG/main.cf"
}
"#;

/// Everything on loopback, no DNS, no local delivery, quick retries.
const MAIN_CF: &str = "
compatibility_level = 3.6
queue_directory = ROOT/spool
data_directory = ROOT/data
maillog_file = ROOT/log
maillog_file_prefixes = ROOT
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.inside.test
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
mynetworks = 127.0.0.0/8, 192.0.2.0/24
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_authorized_xclient_hosts = 127.0.0.0/8
smtpd_peername_lookup = no
local_header_rewrite_clients =
default_transport = smtp:[127.0.0.1]:SINK
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtp_connect_timeout = 5s
queue_run_delay = 2s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
transport_retry_time = 1s
in_flow_delay = 0
";

/// Postfix's usual services, smtpd chrooted as in Debian, without those that deliver here.
const MASTER_CF: &str = "
127.0.0.1:PORT inet n - y - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
";
