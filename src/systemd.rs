//! systemd, where it is there: sockets that it passes (sd_listen_fds(3)), what it is told
//! (sd_notify(3)), its watchdog (sd_watchdog_enabled(3)). Elsewhere all of this does nothing.

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;
use sd_notify::NotifyState;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use crate::config::Endpoint;
use crate::net::{Listener, Pulse, Shutdown, Socket};

/// What systemd calls a socket without a name.
const NAMELESS: &str = "unknown";

/// The sockets that systemd passed, until a listener takes them.
#[derive(Debug, Default)]
pub struct Sockets(Vec<Passed>);

#[derive(Debug)]
struct Passed {
    name: String,
    socket: Result<Ready, String>,
}

/// A socket that was found to listen.
#[derive(Debug)]
enum Ready {
    Tcp(std::net::TcpListener, Endpoint),
    Unix(std::os::unix::net::UnixListener, Endpoint),
}

/// Why a listener has no socket from systemd. Tells the admin what to do.
#[derive(Debug, PartialEq, Eq)]
pub struct Missing(String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Sockets {
    /// No sockets.
    pub fn none() -> Self {
        Self::default()
    }

    /// Takes over what `LISTEN_FDS`, `LISTEN_PID` and `LISTEN_FDNAMES` speak of, closed on exec, and
    /// removes the first two, so that no child believes itself meant. To be called before anything
    /// is opened or a thread is started.
    pub fn passed() -> Self {
        let for_us = std::env::var("LISTEN_PID").is_ok_and(|pid| pid == std::process::id().to_string());
        if !for_us {
            return Self::none();
        }
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut descriptors = ListenFd::from_env();
        let mut names = names.split(':');
        let name = |name: Option<&str>| name.filter(|name| !name.is_empty()).unwrap_or(NAMELESS).to_owned();
        let passed = (0..descriptors.len())
            .map(|index| Passed { name: name(names.next()), socket: take(&mut descriptors, index) });
        Self(passed.collect())
    }

    /// The sockets for a configured place: all of that name, or those with that very address. Empty
    /// if it is an address that nothing was passed for.
    ///
    /// # Errors
    /// No socket has the name, or one that has it is no listening stream socket.
    pub fn claim(&mut self, wanted: &Endpoint) -> Result<Vec<Listener>, Missing> {
        let (claimed, rest) = std::mem::take(&mut self.0).into_iter().partition(|passed| passed.is(wanted));
        self.0 = rest;
        match wanted {
            Endpoint::Systemd(name) if claimed.is_empty() => Err(self.missing(name)),
            _ => claimed.into_iter().map(Passed::into_listener).collect(),
        }
    }

    fn missing(&self, name: &str) -> Missing {
        let names: Vec<String> = self.0.iter().map(|passed| format!("`{}`", passed.name)).collect();
        let passed = if names.is_empty() { "passed none".to_owned() } else { format!("passed {}", names.join(", ")) };
        Missing(format!(
            "`listen = \"systemd:{name}\"` asks for a socket of systemd, which {passed}: write FileDescriptorName={name} \
             into a .socket unit with Service=sekisho.service, `systemctl enable --now` that unit, then restart \
             sekisho; or write an address in `listen`"
        ))
    }

    /// What no listener has claimed, in words.
    pub fn unused(&self) -> Vec<String> {
        let show = |passed: &Passed| match &passed.socket {
            Ok(ready) => format!("`{}` ({})", passed.name, ready.endpoint()),
            Err(why) => format!("`{}` ({why})", passed.name),
        };
        self.0.iter().map(show).collect()
    }
}

/// Takes one descriptor, which must be a stream socket that listens.
fn take(descriptors: &mut ListenFd, index: usize) -> Result<Ready, String> {
    const WRONG: &str = "no listening stream socket: ListenStream= makes one";
    if let Ok(Some(listener)) = descriptors.take_unix_listener(index) {
        check(&listener, listener.set_nonblocking(true)).ok_or(WRONG)?;
        let address = listener.local_addr().ok();
        let path = address.and_then(|address| address.as_pathname().map(ToOwned::to_owned));
        // An abstract address, which no configuration can name, is shown as a path would be.
        let endpoint = Endpoint::Unix(path.unwrap_or_else(|| "@".into()));
        return Ok(Ready::Unix(listener, endpoint));
    }
    match descriptors.take_tcp_listener(index) {
        Ok(Some(listener)) => {
            check(&listener, listener.set_nonblocking(true)).ok_or(WRONG)?;
            let address = listener.local_addr().map_err(|error| error.to_string())?;
            Ok(Ready::Tcp(listener, Endpoint::Tcp(address)))
        }
        _ => Err(WRONG.to_owned()),
    }
}

/// `Some` if it listens and will not block.
fn check(socket: &impl AsFd, nonblocking: io::Result<()>) -> Option<()> {
    (nonblocking.is_ok() && socket_acceptconn(socket).unwrap_or(false)).then_some(())
}

impl Passed {
    fn is(&self, wanted: &Endpoint) -> bool {
        match wanted {
            Endpoint::Systemd(name) => self.name == *name,
            address => self.socket.as_ref().is_ok_and(|ready| ready.endpoint() == address),
        }
    }

    fn into_listener(self) -> Result<Listener, Missing> {
        let unusable = |why: &dyn fmt::Display| Missing(format!("the socket `{}` of systemd: {why}", self.name));
        let (socket, endpoint) = match self.socket.map_err(|why| unusable(&why))? {
            Ready::Tcp(listener, endpoint) => (tokio::net::TcpListener::from_std(listener).map(Socket::Tcp), endpoint),
            Ready::Unix(listener, endpoint) => {
                (tokio::net::UnixListener::from_std(listener).map(Socket::Unix), endpoint)
            }
        };
        socket
            .map(|socket| Listener::passed(socket, endpoint))
            .map_err(|error| Missing(format!("a socket of systemd: {error}")))
    }
}

impl Ready {
    fn endpoint(&self) -> &Endpoint {
        match self {
            Ready::Tcp(_, endpoint) | Ready::Unix(_, endpoint) => endpoint,
        }
    }
}

/// READY=1: mail is taken, the configuration is in force (also at the end of a reload).
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(&line(status))]);
}

/// RELOADING=1, with the time that systemd compares with its own request.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// STOPPING=1.
pub fn stopping(status: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(&line(status))]);
}

/// Why there will be no READY=1.
pub fn failed(why: &str) {
    tell(&[NotifyState::Status(&line(why))]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd cannot be told of the daemon's state; NOTIFY_SOCKET leads nowhere");
    }
}

/// One line: the next one would be another message.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// What must be alive for mail to be taken: the accept loops, and the threads that scan.
#[derive(Clone, Debug)]
pub struct Vital {
    /// Each accept loop for mail, by where it listens.
    pub loops: Vec<(Endpoint, Pulse)>,
    /// While it is shutting down, the accept loops may be gone.
    pub shutdown: Shutdown,
}

impl Vital {
    /// Asks everything that serves sessions for a sign of life.
    ///
    /// # Errors
    /// What did not give one until `deadline`.
    pub async fn check(&self, deadline: Instant) -> Result<(), String> {
        for (endpoint, pulse) in &self.loops {
            let felt = timeout_at(deadline, pulse.felt()).await.unwrap_or(false);
            if !felt && !self.shutdown.is_draining() {
                return Err(format!("the accept loop of {endpoint}"));
            }
        }
        let thread = tokio::task::spawn_blocking(|| ());
        match timeout_at(deadline, thread).await {
            Ok(Ok(())) => Ok(()),
            _ => Err("the threads that scan and store".to_owned()),
        }
    }
}

/// Feeds the watchdog (`WatchdogSec=`) for as long as everything vital gives signs of life. Returns at once
/// if there is no watchdog, or if it watches another process (`WATCHDOG_PID`).
pub async fn feed_watchdog(vital: Vital) {
    match sd_notify::watchdog_enabled() {
        Some(limit) if !limit.is_zero() => watch(vital, limit, || tell(&[NotifyState::Watchdog])).await,
        _ => {}
    }
}

/// Three times in `limit`, so that one late answer does no harm.
async fn watch(vital: Vital, limit: Duration, feed: impl Fn()) {
    let every = limit.checked_div(3).unwrap_or(limit).max(Duration::from_millis(1));
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let tick = ticks.tick().await;
        match vital.check(tick.checked_add(every).unwrap_or(tick)).await {
            Ok(()) => feed(),
            Err(stuck) => tracing::error!(
                limit_s = limit.as_secs_f32(),
                "no sign of life from {stuck}: the watchdog is not fed, and systemd will restart the daemon"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use crate::net::accept_loop;

    use super::*;

    const LIMIT: Duration = Duration::from_millis(90);

    fn listener() -> Listener {
        Listener::bind(&Endpoint::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap()
    }

    /// A feeder that counts.
    fn watched(vital: Vital) -> Arc<AtomicUsize> {
        let meals = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&meals);
        tokio::spawn(watch(vital, LIMIT, move || {
            count.fetch_add(1, Ordering::SeqCst);
        }));
        meals
    }

    /// Waits outside of the runtime, whose clock may stand still while a thread of it is stuck.
    fn grows(meals: &AtomicUsize) -> bool {
        let before = meals.load(Ordering::SeqCst);
        std::thread::sleep(LIMIT * 4);
        meals.load(Ordering::SeqCst) > before + 1
    }

    fn serve(listener: Listener, shutdown: &Shutdown, refuse: impl Fn() + Send + 'static) {
        let shutdown = shutdown.clone();
        let serve = move |_, _| -> Option<std::future::Ready<()>> {
            refuse();
            None
        };
        tokio::spawn(async move { accept_loop(listener, &shutdown, serve).await });
    }

    #[test]
    fn an_accept_loop_that_is_stuck_stops_the_feeding() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
        let (release, stuck) = mpsc::channel::<()>();
        let stuck = std::sync::Mutex::new(stuck);
        let shutdown = Shutdown::new();
        let (address, meals) = runtime.block_on(async {
            let listener = listener();
            let endpoint = listener.endpoint().unwrap();
            let Endpoint::Tcp(address) = endpoint else { panic!("tcp") };
            let vital = Vital { loops: vec![(endpoint, listener.pulse())], shutdown: shutdown.clone() };
            serve(listener, &shutdown, move || {
                let _ = stuck.lock().unwrap().recv();
            });
            (address, watched(vital))
        });
        assert!(grows(&meals), "all is well");
        let _client = std::net::TcpStream::connect(address).unwrap();
        std::thread::sleep(LIMIT);
        assert!(!grows(&meals), "the loop hangs in its first connection");
        release.send(()).unwrap();
        std::thread::sleep(LIMIT);
        assert!(grows(&meals), "it goes round again");
        runtime.block_on(shutdown.finish(Duration::from_secs(1)));
        assert!(grows(&meals), "a daemon that drains is alive");
    }

    #[test]
    fn threads_that_never_come_back_stop_the_feeding() {
        let builder = || tokio::runtime::Builder::new_multi_thread();
        let runtime = builder().worker_threads(2).max_blocking_threads(1).enable_all().build().unwrap();
        let meals = runtime.block_on(async { watched(Vital { loops: Vec::new(), shutdown: Shutdown::new() }) });
        assert!(grows(&meals));
        let (release, stuck) = mpsc::channel::<()>();
        runtime.spawn_blocking(move || stuck.recv());
        std::thread::sleep(LIMIT);
        assert!(!grows(&meals));
        drop(release);
        std::thread::sleep(LIMIT);
        assert!(grows(&meals));
    }

    #[tokio::test]
    async fn sockets_go_to_who_names_them_or_their_address() {
        let tcp = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let passed = |name: &str, listener: std::net::TcpListener| {
            listener.set_nonblocking(true).unwrap();
            let endpoint = Endpoint::Tcp(listener.local_addr().unwrap());
            (endpoint.clone(), Passed { name: name.to_owned(), socket: Ok(Ready::Tcp(listener, endpoint)) })
        };
        let ((_, a), (b_at, b), (by_address, c)) = (passed("smtp", tcp()), passed("smtp", tcp()), passed("x", tcp()));
        let broken = Passed { name: "datagram".to_owned(), socket: Err("no listening stream socket".to_owned()) };
        let mut sockets = Sockets(vec![a, b, c, broken]);
        let named = sockets.claim(&Endpoint::Systemd("smtp".to_owned())).unwrap();
        assert_eq!(named.len(), 2);
        assert!(sockets.claim(&b_at).unwrap().is_empty(), "taken already");
        assert!(sockets.unused()[0].contains("`x` (127.0.0.1:"), "{:?}", sockets.unused());
        assert_eq!(sockets.claim(&by_address).unwrap().len(), 1);
        let error = sockets.claim(&Endpoint::Systemd("smpt".to_owned())).unwrap_err().to_string();
        assert!(error.contains("passed `datagram`: write FileDescriptorName=smpt into"), "{error}");
        let error = sockets.claim(&Endpoint::Systemd("datagram".to_owned())).unwrap_err().to_string();
        assert!(error.contains("no listening stream socket"), "{error}");
        let error = sockets.claim(&Endpoint::Systemd("smtp".to_owned())).unwrap_err().to_string();
        assert!(error.contains("passed none"), "{error}");
    }

    #[test]
    fn a_status_is_one_line() {
        assert_eq!(line("unix:/run/a\nMAINPID=1"), "unix:/run/a MAINPID=1");
    }
}
