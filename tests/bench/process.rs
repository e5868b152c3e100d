//! The daemon under measurement, as a process of its own: `sekisho serve`, or this program with a
//! handler that forwards without looking.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use sekisho::config::{Config, Endpoint};
use sekisho::marks::Changes;
use sekisho::message::SpoolPolicy;
use sekisho::milter::{self, Judge, Received, Response};
use sekisho::net::{Listener, Permits, Shutdown};
use sekisho::plan::Addressees;
use sekisho::smtp::reply::Reply;
use sekisho::smtp::server;
use sekisho::transaction::{Answer, Ending, Forwarded, Handler, Mail, Onward};
use sekisho::transport::Transport;

use crate::common::process::children;

/// A running daemon; ended when dropped.
pub struct Daemon {
    child: Child,
    listening: Vec<Endpoint>,
    _state: tempfile::TempDir,
}

impl Daemon {
    /// Starts one in front of `sink`, with scanning on or off.
    pub fn start(scanning: bool, sink: SocketAddr) -> Self {
        Self::of(scanning, 1, &format!("[[listener]]\nlisten = \"127.0.0.1:0\"\nnext_hop = \"{sink}\"\n"))
    }

    /// Starts one as a milter, on a Unix socket and on TCP.
    pub fn milter(scanning: bool) -> Self {
        let listener = |listen| format!("[[listener]]\nkind = \"milter\"\nlisten = \"{listen}\"\n");
        let socket = std::env::temp_dir().join(format!("sekisho-bench-{}-{scanning}.sock", std::process::id()));
        let unix = listener(format!("unix:{}", socket.display()));
        Self::of(scanning, 2, &format!("{unix}{}", listener("127.0.0.1:0".to_owned())))
    }

    fn of(scanning: bool, listeners: usize, text: &str) -> Self {
        let state = tempfile::tempdir().unwrap();
        let file = state.path().join("sekisho.toml");
        std::fs::write(&file, format!("{text}[http]\nlisten = \"off\"\n")).unwrap();
        let mut command = if scanning {
            let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
            command.arg("serve").arg("--config").arg(&file).arg("--state-dir").arg(state.path());
            command
        } else {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.arg("relay").arg(&file);
            command
        };
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let listening: Vec<Endpoint> = lines
            .by_ref()
            .map_while(Result::ok)
            .filter_map(|line| line.split("listen=").nth(1)?.split([' ', ',']).next()?.parse().ok())
            .take(listeners)
            .collect();
        assert_eq!(listening.len(), listeners, "the daemon says where it listens");
        // The log must be read on, or the daemon would wait for it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, listening, _state: state }
    }

    /// Where it listens.
    pub fn listening(&self) -> &[Endpoint] {
        &self.listening
    }

    /// Where its first listener is.
    pub fn address(&self) -> SocketAddr {
        match self.listening.first() {
            Some(Endpoint::Tcp(address)) => *address,
            other => panic!("TCP, not {other:?}"),
        }
    }

    /// CPU seconds used so far, user and system, by the daemon, its workers and those before them.
    pub fn cpu(&self) -> f64 {
        let used = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(0.0, |stat| stat_cpu(&stat));
        used(self.child.id()) + children(self.child.id()).into_iter().map(used).sum::<f64>()
    }

    /// Resident memory now, of the daemon and its workers (what they share counts for each).
    pub fn rss_mb(&self) -> f64 {
        self.status("VmRSS:")
    }

    /// The most resident memory so far, added up over daemon and workers.
    pub fn peak_rss_mb(&self) -> f64 {
        self.status("VmHWM:")
    }

    fn status(&self, key: &str) -> f64 {
        let of = |pid: u32| -> f64 {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let kilobytes = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<f64>().ok());
            kilobytes.unwrap_or_default() / 1024.0
        };
        of(self.child.id()) + children(self.child.id()).into_iter().map(of).sum::<f64>()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU seconds that running programs of these names have used so far.
pub fn cpu_of_programs(names: &[&str]) -> f64 {
    let Ok(processes) = std::fs::read_dir("/proc") else { return 0.0 };
    let stats = processes.flatten().filter_map(|process| std::fs::read_to_string(process.path().join("stat")).ok());
    let named = stats.filter(|stat| {
        let name = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')).map_or("", |(name, _)| name);
        names.iter().any(|wanted| name.starts_with(wanted))
    });
    named.map(|stat| stat_cpu(&stat)).sum()
}

/// User and system seconds in a line of `/proc/PID/stat`.
fn stat_cpu(stat: &str) -> f64 {
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    // Of the process, and of its children that have ended.
    let ticks: u64 = fields[11..15].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// Forwards whatever comes.
struct PassThrough(Arc<Config>);

impl Handler for PassThrough {
    async fn handle(&self, mail: Mail, onward: &mut impl Onward) -> Answer {
        let everybody = Addressees { given: (0..mail.envelope.recipients.len()).collect(), added: Vec::new() };
        Answer::All(match onward.forward(&mail.message, &Changes::default(), &everybody, mail.deadline()).await {
            Forwarded::Answered(replies) => replies[0].clone(),
            Forwarded::Lost { .. } => Reply::new(451, "4.4.2 lost"),
        })
    }

    fn config(&self) -> Arc<Config> {
        Arc::clone(&self.0)
    }

    fn spool(&self) -> SpoolPolicy {
        SpoolPolicy::new(usize::try_from(self.0.service.spool_threshold).unwrap(), std::env::temp_dir())
    }
}

impl Judge for PassThrough {
    type Receipt = ();

    async fn judge(&self, _message: Received) -> (milter::Answer, ()) {
        (milter::Answer::only(Response::Accept), ())
    }

    async fn settle(&self, (): (), _ending: Ending) {}

    fn config(&self) -> Arc<Config> {
        Arc::clone(&self.0)
    }

    fn spool(&self) -> SpoolPolicy {
        Handler::spool(self)
    }
}

/// The proxy or milter without scanning: runs until it is killed.
pub fn relay(file: &str) {
    let config =
        Config::parse(&std::fs::read_to_string(file).unwrap(), file).unwrap_or_else(|errors| panic!("{errors}"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let handler = Arc::new(PassThrough(Arc::new(config)));
        for listener in handler.0.listeners.clone() {
            let socket = Listener::bind(&listener.listen).unwrap();
            println!("listen={}", socket.endpoint().unwrap());
            let (handler, permits, shutdown) = (Arc::clone(&handler), Permits::new(), Shutdown::new());
            match listener.transport {
                Transport::Milter => tokio::spawn(milter::server::serve(socket, handler, permits, shutdown)),
                _ => tokio::spawn(server::serve(socket, Arc::new(listener), handler, permits, shutdown)),
            };
        }
        std::future::pending::<()>().await;
    });
}
