//! The unit as systemd runs it: a systemd of the test's own, in namespaces, starts the daemon and what scans with
//! all that `sekisho.service` forbids. As root only.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::common::client::{Client, letter};
use crate::common::daemon::program;
use crate::common::sink::Sink;
use crate::common::{free_port, require_tool, skip, wait_for};

use super::file;

/// What `ordeal` tries in the unit, in which layers, and how systemd tells the outcome: 1 and a status, or 2 (3 with
/// a core dump) and a signal.
const ATTEMPTS: &[(&str, &str, &[&str])] = &[
    ("wall", "nothing", &["1 0"]),
    ("wall", "allocate", &["1 0"]),
    ("wall", "hash-map", &["1 0"]),
    ("wall", "panic", &["1 0"]),
    ("wall", "progress", &["1 0"]),
    ("wall", "message", &["1 0"]),
    ("wall", "deep-stack", &["2 6", "3 6"]),
    ("wall", "open", &["2 31", "3 31"]),
    ("wall", "fork", &["2 31", "3 31"]),
    ("wall", "stat", &["1 1"]),
    ("started-again", "message", &["1 0"]),
    ("started-again", "open", &["1 159"]),
    ("landlock", "open", &["1 1"]),
    ("seccomp", "open", &["2 31", "3 31"]),
];

/// A systemd in namespaces of its own, which ends with this value.
struct Booted {
    folder: tempfile::TempDir,
    process: Child,
}

impl Drop for Booted {
    fn drop(&mut self) {
        // The first process of the namespaces ends with `unshare --kill-child`, and everything in them with it.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Booted {
    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// All that was written, for the message of a failure.
    fn everything(&self) -> String {
        ["boot.log", "console", "driver.log", "daemon.log"]
            .map(|name| format!("--- {name}\n{}", self.text(name)))
            .concat()
    }

    fn boot(units: &[(&str, String)], driver: &str, config: &str) -> Option<Self> {
        let unshare = require_tool("unshare")?;
        let systemd =
            ["/lib/systemd/systemd", "/usr/lib/systemd/systemd"].into_iter().find(|path| Path::new(path).is_file());
        let Some(systemd) = systemd.filter(|_| require_tool("systemctl").is_some()) else {
            skip("systemd is missing");
            return None;
        };
        if !rustix::process::geteuid().is_root() {
            skip("not root: a systemd of the test's own needs namespaces");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("sekisho-").tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        for name in ["units", "etc", "etc/sekisho"] {
            fs::create_dir(path(name)).expect("a folder");
        }
        fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
        fs::write(path("etc/passwd"), "root:x:0:0::/root:/bin/sh\nsekisho:x:987:987::/:/bin/false\n")
            .expect("to write");
        fs::write(path("etc/group"), "root:x:0:\nsekisho:x:987:\n").expect("to write");
        fs::write(path("etc/nsswitch.conf"), "passwd: files\ngroup: files\n").expect("to write");
        fs::copy("/etc/ld.so.cache", path("etc/ld.so.cache")).expect("the paths of libraries");
        fs::write(path("etc/sekisho/sekisho.toml"), config).expect("the configuration");
        for target in ["sysinit", "basic", "shutdown", "network", "umount"] {
            let text = "[Unit]\nDescription=Nothing\nDefaultDependencies=no\n";
            fs::write(path(&format!("units/{target}.target")), text).expect("a target");
        }
        for (name, text) in units {
            fs::write(path("units").join(name), text).expect("a unit");
        }
        let text = "[Unit]\nDescription=The test\nDefaultDependencies=no\n\n[Service]\nType=oneshot\nTimeoutStartSec=infinity\n\
                    ExecStart=/bin/sh /run/out/driver.sh\nStandardOutput=append:/run/out/driver.log\n\
                    StandardError=append:/run/out/driver.log\n";
        fs::write(path("units/driver.service"), text).expect("a unit");
        fs::write(path("driver.sh"), driver).expect("a script");
        fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/docm-autoopen.eml"), path("file"))
            .expect("a mail");
        let log = fs::File::create(path("boot.log")).expect("a log");
        let process = Command::new(unshare)
            .args(["--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "--cgroup", "--ipc", "--uts", "sh"])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deploy/boot.sh"))
            .args([folder.path(), &program(), &crate::wall::ordeal(), Path::new(systemd)])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("to start it");
        Some(Self { folder, process })
    }

    /// Waits until the driver has written a line that begins so, and gives the rest of it.
    fn line(&mut self, begin: &str) -> String {
        let find = |log: &str| log.lines().find_map(|line| line.strip_prefix(begin).map(|rest| rest.trim().to_owned()));
        let mut found = None;
        wait_for(
            &format!("{begin:?} from systemd:\n{}", self.folder.path().display()),
            Duration::from_secs(120),
            || {
                found = find(&self.text("driver.log"));
                let ended = self.process.try_wait().expect("its status");
                assert!(found.is_some() || ended.is_none(), "systemd ended:\n{}", self.everything());
                found.is_some()
            },
        );
        found.expect("it was there")
    }
}

/// The unit of the distribution with its programs where the test has them, and its output in a file.
fn unit() -> String {
    let text = fs::read_to_string(file("systemd/sekisho.service")).expect("the unit");
    let text = text.replace("/usr/bin/sekisho", "/run/bin/sekisho");
    let log = "[Service]\nStandardOutput=append:/run/out/daemon.log\nStandardError=append:/run/out/daemon.log\n";
    text.replace("[Service]\n", log)
}

/// The same sandbox around `ordeal LAYERS ATTEMPT`, where the instance is called LAYERS_ATTEMPT.
fn ordeal_unit(layers: &str) -> String {
    let text = fs::read_to_string(file("systemd/sekisho.service")).expect("the unit");
    let about_the_daemon = ["Type=", "NotifyAccess=", "WatchdogSec=", "Restart", "ExecReload=", "ExecStart="];
    let lines = text.lines().filter(|line| !about_the_daemon.iter().any(|key| line.starts_with(key)));
    let text: String = lines.flat_map(|line| [line, "\n"]).collect();
    let text = text.replace("ExecPaths=/usr/bin/sekisho", "ExecPaths=/run/bin/ordeal");
    let own = format!(
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/run/bin/ordeal {layers} %i /run/out\n\
         StandardOutput=append:/run/out/{layers}-%i\nStandardError=append:/run/out/{layers}-%i\n"
    );
    text.replace("[Service]\n", &own)
}

const WALL_LINE: &str = "SystemCallFilter=landlock_create_ruleset landlock_add_rule landlock_restrict_self seccomp\n";

#[test]
fn the_wall_stands_within_the_unit() {
    let mut units: Vec<(String, String)> = ["wall", "started-again", "landlock", "seccomp"]
        .map(|layers| (format!("{layers}@.service"), ordeal_unit(layers)))
        .into();
    // The unit without what the wall needs, to see that the unit is what was tried.
    let less = ordeal_unit("wall").replace(WALL_LINE, "");
    assert!(less.len() + WALL_LINE.len() == ordeal_unit("wall").len());
    units.push(("less@.service".to_owned(), less.replace("/run/out/wall-", "/run/out/less-")));
    let units: Vec<(&str, String)> = units.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
    let instances: Vec<String> = ATTEMPTS.iter().map(|(layers, attempt, _)| format!("{layers}@{attempt}")).collect();
    let driver = format!(
        "for unit in {} less@nothing; do\n\
         systemctl start $unit\n\
         echo \"$unit: $(systemctl show -p ExecMainCode --value $unit) $(systemctl show -p ExecMainStatus --value $unit)\"\n\
         done\necho finished:\nexec sleep infinity\n",
        instances.join(" ")
    );
    let Some(mut booted) = Booted::boot(&units, &driver, "") else { return };
    booted.line("finished:");
    for (layers, attempt, outcomes) in ATTEMPTS {
        let outcome = booted.line(&format!("{layers}@{attempt}:"));
        let told = booted.text(&format!("{layers}-{attempt}"));
        assert!(outcomes.contains(&outcome.as_str()), "{layers} {attempt}: {outcome}: {told}\n{}", booted.everything());
        assert!(!told.contains("not by Landlock") && !told.contains("capabilities"), "{layers} {attempt}: {told}");
    }
    assert_eq!(booted.line("less@nothing:"), "1 69", "{}", booted.everything());
    assert!(booted.text("less-nothing").contains("must allow the calls seccomp"));
}

#[test]
fn the_daemon_takes_mail_within_the_unit() {
    let (port, http, sink) = (free_port(), free_port(), Sink::start());
    let config = format!(
        "[[listener]]\nlisten = \"127.0.0.1:{port}\"\nnext_hop = \"127.0.0.1:{}\"\n\n[http]\nlisten = \"127.0.0.1:{http}\"\n",
        sink.port()
    );
    let driver = "systemctl start sekisho\necho \"started: $(systemctl show -p ActiveState --value sekisho)\"\n\
                  while [ ! -e /run/out/stop ]; do sleep 0.1; done\nsystemctl reload sekisho\nsystemctl stop sekisho\n\
                  echo \"stopped: $(systemctl show -p Result --value sekisho)\"\nexec sleep infinity\n";
    let Some(mut booted) = Booted::boot(&[("sekisho.service", unit())], driver, &config) else { return };
    assert_eq!(booted.line("started:"), "active", "{}", booted.everything());
    let mut client = Client::connect(port).expect("a session");
    let reply = client.send("sender@outside.test", &["u@inside.test"], &letter("within-the-unit"));
    assert_eq!(reply.expect("a reply").code, 250, "{}", booted.everything());
    let mail = sink.wait_for("within-the-unit");
    assert!(mail.text().contains("X-Sekisho-Verdict: "), "{}", mail.text());
    fs::write(booted.folder.path().join("stop"), "").expect("to write");
    assert_eq!(booted.line("stopped:"), "success", "{}", booted.everything());
    let log = booted.text("daemon.log");
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
}
