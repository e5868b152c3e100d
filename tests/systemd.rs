//! Started by systemd, or by something that does as it does: sockets, notifications, the watchdog. All of it
//! with the real program.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::client::{letter, send};
use crate::common::daemon::{Daemon, program};
use crate::common::sink::Sink;
use crate::common::{PATIENCE, free_port, require_tool, skip, wait_for};

const FROM: &str = "sender@outside.test";
const TO: &str = "u@inside.test";

/// A command that becomes `sekisho` with these descriptors as 3, 4 … and the variables that go with them.
/// The shell is there because a descriptor keeps its number only if whoever runs before `exec` moves it.
fn passing(sockets: &[(&str, OwnedFd)]) -> Command {
    let moves: String = (3..).zip(sockets).map(|(number, (_, fd))| format!(" {number}<&{}", fd.as_raw_fd())).collect();
    let names: Vec<&str> = sockets.iter().map(|(name, _)| *name).collect();
    let mut command = Command::new("bash");
    command.args(["-c", &format!("export LISTEN_PID=${{FOR:-$$}}; exec \"$@\"{moves}"), "bash"]).arg(program());
    command.env("LISTEN_FDS", sockets.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
    for (_, fd) in sockets {
        // Inherited by the shell; no other test runs in this process at the same time.
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty()).expect("a descriptor");
    }
    command
}

/// A descriptor well above those that the program is to see.
fn high(fd: impl Into<OwnedFd>) -> OwnedFd {
    rustix::io::fcntl_dupfd_cloexec(fd.into(), 50).expect("a descriptor")
}

fn tcp() -> (u16, OwnedFd) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    (listener.local_addr().expect("its address").port(), high(listener))
}

fn unix(path: &Path) -> OwnedFd {
    high(UnixListener::bind(path).expect("a listener"))
}

fn banner(mut stream: impl Read) -> String {
    let mut octets = [0; 4];
    stream.read_exact(&mut octets).expect("a banner");
    String::from_utf8_lossy(&octets).into_owned()
}

fn listener(listen: &str) -> String {
    format!("[[listener]]\nlisten = \"{listen}\"\nnext_hop = \"127.0.0.1:9\"\n")
}

/// The program with a configuration that it does not start with.
fn refused(mut command: Command, config: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("sekisho.toml");
    std::fs::write(&file, format!("[http]\nlisten = \"off\"\n{config}")).expect("the configuration");
    let output: Output = command
        .args(["serve", "--config"])
        .arg(&file)
        .arg("--state-dir")
        .arg(folder.path().join("state"))
        .stdin(Stdio::null())
        .output()
        .expect("to run it");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn passed_sockets_serve_by_name_and_by_address() {
    let sink = Sink::start();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mail.sock");
    let ((by_address, address_fd), (a, a_fd), (b, b_fd), (_, spare)) = (tcp(), tcp(), tcp(), tcp());
    let sockets = [("x", address_fd), ("smtp", a_fd), ("smtp", b_fd), ("local", unix(&path)), ("forgotten", spare)];
    let tables = format!("{}{}", listener("systemd:smtp"), listener("systemd:local"));
    let mut daemon = Daemon::with("before-queue", by_address, sink.port(), &tables);
    daemon.start_under(passing(&sockets));
    drop(sockets);
    assert_eq!(send(by_address, FROM, &[TO], &letter("passed-1")).expect("a session").code, 250);
    sink.wait_for("passed-1");
    for port in [a, b] {
        assert_eq!(banner(TcpStream::connect(("127.0.0.1", port)).expect("a connection")), "220 ");
    }
    assert_eq!(banner(UnixStream::connect(&path).expect("a connection")), "220 ");
    let log = daemon.log();
    assert!(log.contains("`forgotten` (127.0.0.1:"), "{log}");
    assert_eq!(log.matches("is used by no listener").count(), 1, "{log}");
    let fds = |pid: u32| std::fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("its descriptors");
    let flags = |fd: std::fs::DirEntry| std::fs::read_to_string(fd.path()).unwrap_or_default();
    for fd in
        fds(daemon.pid()).flatten().filter(|fd| ["3", "4", "5", "6"].iter().any(|number| fd.file_name() == *number))
    {
        let info = flags(fd);
        let octal = info.lines().find_map(|line| line.strip_prefix("flags:")).expect("flags").trim().to_owned();
        let bits = u32::from_str_radix(&octal, 8).expect("octal");
        assert!(bits & 0o2_000_000 != 0 && bits & 0o4000 != 0, "close-on-exec and non-blocking: {info}");
    }
    assert!(daemon.terminate().success());
    assert!(path.exists(), "systemd's socket is not ours to remove");
}

#[test]
fn who_connects_during_a_restart_is_served_after_it() {
    let (port, socket) = tcp();
    let sockets = [("smtp", socket)];
    let mut daemon = Daemon::new("before-queue", port, free_port());
    daemon.start_under(passing(&sockets));
    assert!(daemon.terminate().success());
    let early = TcpStream::connect(("127.0.0.1", port)).expect("the socket still listens");
    daemon.start_under(passing(&sockets));
    assert_eq!(banner(early), "220 ");
}

#[test]
fn metrics_and_health_may_have_a_passed_socket() {
    let ((mail, mail_fd), (http, http_fd)) = (tcp(), tcp());
    let config = format!("[http]\nlisten = \"systemd:http\"\n{}", listener("systemd:mail"));
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("c.toml"), config).expect("the configuration");
    let sockets = [("mail", mail_fd), ("http", http_fd)];
    let mut command = passing(&sockets);
    command.arg("serve").arg("--config").arg(folder.path().join("c.toml")).arg("--state-dir").arg(folder.path());
    let mut child = command.stdout(Stdio::null()).spawn().expect("to start it");
    let mut stream = TcpStream::connect(("127.0.0.1", http)).expect("a connection");
    stream.write_all(b"GET /livez HTTP/1.0\r\n\r\n").expect("to ask");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    assert_eq!(banner(TcpStream::connect(("127.0.0.1", mail)).expect("a connection")), "220 ");
    child.kill().expect("to end it");
    child.wait().expect("its end");
}

#[test]
fn a_name_that_systemd_does_not_know_is_explained() {
    let (status, log) = refused(passing(&[("mail", tcp().1)]), &listener("systemd:smtp"));
    assert_eq!(status, Some(69), "{log}");
    assert!(log.contains("which passed `mail`: write FileDescriptorName=smtp into a .socket unit"), "{log}");
    let (status, log) = refused(Command::new(program()), &listener("systemd:smtp"));
    assert!(status == Some(69) && log.contains("which passed none"), "{log}");
}

#[test]
fn sockets_for_another_process_are_left_alone() {
    let sockets = [("smtp", tcp().1)];
    let mut command = passing(&sockets);
    command.env("FOR", "1");
    let (status, log) = refused(command, &listener("systemd:smtp"));
    assert!(status == Some(69) && log.contains("which passed none"), "{log}");
}

#[test]
fn what_does_not_listen_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (accepted, _client) = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let client = TcpStream::connect(listener.local_addr().expect("its address")).expect("a connection");
        (listener.accept().expect("a connection").0, client)
    };
    let datagrams = UnixDatagram::bind(folder.path().join("d")).expect("a socket");
    let file = std::fs::File::create(folder.path().join("f")).expect("a file");
    for fd in [high(accepted), high(datagrams), high(file)] {
        let (status, log) = refused(passing(&[("smtp", fd)]), &listener("systemd:smtp"));
        assert!(status == Some(69) && log.contains("no listening stream socket"), "{log}");
    }
}

#[test]
fn a_next_hop_that_is_a_passed_socket_is_a_circle() {
    let (port, socket) = tcp();
    let config = format!("[[listener]]\nlisten = \"systemd:smtp\"\nnext_hop = \"127.0.0.1:{port}\"\n");
    let (status, log) = refused(passing(&[("smtp", socket)]), &config);
    assert!(status == Some(78) && log.contains("round in circles"), "{log}");
}

#[test]
fn systemd_socket_activate_starts_it_at_the_first_connection() {
    let Some(tool) = require_tool("systemd-socket-activate") else { return };
    let sink = Sink::start();
    let port = free_port();
    let mut daemon = Daemon::with(
        "before-queue",
        free_port(),
        sink.port(),
        &format!("[[listener]]\nlisten = \"systemd:smtp\"\nnext_hop = \"127.0.0.1:{}\"\n", sink.port()),
    );
    let mut command = Command::new(tool);
    command.args(["--fdname=smtp", "-l", &format!("127.0.0.1:{port}"), "--"]).arg(program());
    // The first connection is the one that it waits for.
    let first = std::thread::spawn(move || {
        wait_for("the socket", PATIENCE, || TcpStream::connect(("127.0.0.1", port)).is_ok());
    });
    daemon.start_under(command);
    first.join().expect("a connection");
    assert_eq!(send(port, FROM, &[TO], &letter("activated-1")).expect("a session").code, 250);
    sink.wait_for("activated-1");
}

/// systemd's end of `NOTIFY_SOCKET`.
struct Manager {
    folder: tempfile::TempDir,
    socket: UnixDatagram,
}

impl Manager {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        Self { folder, socket }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(program());
        command.env("NOTIFY_SOCKET", self.folder.path().join("notify"));
        command
    }

    /// The next message that is not about the watchdog.
    fn next(&self) -> String {
        loop {
            let message = self.any().expect("a message in time");
            if message != "WATCHDOG=1\n" {
                return message;
            }
        }
    }

    fn any(&self) -> Option<String> {
        let mut octets = [0; 4096];
        let length = self.socket.recv(&mut octets).ok()?;
        Some(String::from_utf8(octets[..length].to_vec()).expect("text"))
    }

    /// Waits until the watchdog was fed this often.
    fn is_fed(&self, times: usize) {
        let mut count = 0;
        wait_for("the watchdog's meals", PATIENCE, || {
            count += self.meals(Duration::from_millis(100));
            count >= times
        });
    }

    /// How many times the watchdog is fed within this time.
    fn meals(&self, time: Duration) -> usize {
        let end = Instant::now() + time;
        let mut count = 0;
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.socket.set_read_timeout(Some(left)).expect("a timeout");
            count += usize::from(self.any().is_some_and(|message| message.contains("WATCHDOG=1")));
        }
        self.socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        count
    }
}

#[test]
fn systemd_hears_of_start_reload_and_stop() {
    let manager = Manager::start();
    let port = free_port();
    let mut daemon = Daemon::with("before-queue", port, free_port(), "");
    daemon.start_under(manager.command());
    let ready = manager.next();
    assert_eq!(ready, format!("READY=1\nSTATUS=taking mail on 127.0.0.1:{port}; 0 rules of your own\n"));

    let clock = || match sd_notify::NotifyState::monotonic_usec_now().expect("a clock") {
        sd_notify::NotifyState::MonotonicUsec(now) => now,
        other => panic!("{other}"),
    };
    let before = clock();
    daemon.configure("[[rule]]\nname = \"mine\"\naction = \"pass\"\n");
    daemon.reload();
    let reloading = manager.next();
    let stamp = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect(&reloading).trim();
    let stamp: i128 = stamp.parse().expect("microseconds");
    assert!((before..=clock()).contains(&stamp), "{stamp}");
    assert!(manager.next().ends_with("; 1 rule of your own\n"));

    daemon.configure("nonsense = 1\n");
    daemon.reload();
    assert!(manager.next().starts_with("RELOADING=1\n"));
    let status = manager.next();
    assert!(status.starts_with("READY=1\n") && status.contains("from before the reload runs on"), "{status}");

    assert!(daemon.terminate().success());
    assert_eq!(manager.next(), "STOPPING=1\nSTATUS=finishing 0 sessions\n");
}

#[test]
fn ready_comes_when_mail_is_taken_and_not_before() {
    let manager = Manager::start();
    let port = free_port();
    let mut command = manager.command();
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("c.toml");
    std::fs::write(&config, format!("[http]\nlisten = \"off\"\n{}", listener(&format!("127.0.0.1:{port}"))))
        .expect("it");
    command.arg("serve").arg("--config").arg(&config).arg("--state-dir").arg(folder.path()).stdout(Stdio::null());
    let mut child = command.spawn().expect("to start it");
    assert!(manager.next().starts_with("READY=1\n"));
    assert_eq!(banner(TcpStream::connect(("127.0.0.1", port)).expect("it listens")), "220 ");
    // A second daemon on the same state folder says why there is none.
    let mut second = manager.command();
    second.arg("serve").arg("--config").arg(&config).arg("--state-dir").arg(folder.path()).stdout(Stdio::null());
    assert!(!second.status().expect("its end").success());
    let status = manager.next();
    assert!(status.starts_with("STATUS=another sekisho works in "), "{status}");
    child.kill().expect("to end it");
    child.wait().expect("its end");
}

#[test]
fn the_watchdog_is_fed_while_the_daemon_lives() {
    let manager = Manager::start();
    let mut daemon = Daemon::new("before-queue", free_port(), free_port());
    let mut command = manager.command();
    command.env("WATCHDOG_USEC", "300000");
    daemon.start_under(command);
    manager.is_fed(5);
    let pid = Pid::from_raw(i32::try_from(daemon.pid()).expect("a pid")).expect("a pid");
    kill_process(pid, Signal::STOP).expect("to stop it");
    manager.meals(Duration::from_millis(200));
    assert_eq!(manager.meals(Duration::from_secs(1)), 0, "a process that does not run feeds nothing");
    kill_process(pid, Signal::CONT).expect("to let it go on");
    manager.is_fed(5);
    assert!(daemon.terminate().success());
}

#[test]
fn a_watchdog_for_another_process_is_not_fed() {
    let manager = Manager::start();
    let mut daemon = Daemon::new("before-queue", free_port(), free_port());
    let mut command = manager.command();
    command.env("WATCHDOG_USEC", "100000").env("WATCHDOG_PID", "1");
    daemon.start_under(command);
    assert_eq!(manager.meals(Duration::from_millis(500)), 0);
}

#[test]
fn a_unix_socket_of_its_own_has_the_owner_group_and_mode_of_the_configuration() {
    if !rustix::process::geteuid().is_root() {
        return skip("only root may give files away");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mail.sock");
    // Left behind by a daemon that was killed.
    drop(UnixListener::bind(&path).expect("a socket"));
    let keys = "socket_owner = \"1234\"\nsocket_group = \"daemon\"\nsocket_mode = \"0620\"\n";
    let tables = format!("{}{keys}", listener(&format!("unix:{}", path.display())));
    let mut daemon = Daemon::with("before-queue", free_port(), free_port(), &tables);
    daemon.start();
    let metadata = std::fs::metadata(&path).expect("the socket");
    let group = std::fs::read_to_string("/etc/group").expect("groups");
    let daemons = group.lines().find_map(|line| line.strip_prefix("daemon:x:")?.split(':').next()).expect("daemon");
    assert_eq!((metadata.uid(), metadata.gid().to_string().as_str()), (1234, daemons));
    assert_eq!(metadata.permissions().mode() & 0o777, 0o620);
    assert!(daemon.terminate().success());
    assert!(!path.exists());

    let config = format!("{}socket_group = \"no-such-group\"\n", listener(&format!("unix:{}", path.display())));
    let (status, log) = refused(Command::new(program()), &config);
    assert!(status == Some(69) && log.contains("no group `no-such-group` on this host"), "{log}");
}
