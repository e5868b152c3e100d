//! The running daemon: listeners, the line behind them, metrics and health, upkeep, reload, shutdown.

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::asks::{Oracle, Oracles};
use crate::config::load::meet;
use crate::config::{self, Config, Endpoint, OcrProgram, SocketFile};
use crate::formats::Format;
use crate::http::{self, Pages};
use crate::message::SpoolPolicy;
use crate::metrics::{Metrics, QuarantineOperation, QuarantineUse};
use crate::milter::{self, gate::Gate};
use crate::net::{self, Permits, Shutdown};
use crate::ocr::{self, Tesseract};
use crate::pictures::Pictures;
use crate::pictures::learned::Learned;
use crate::pipeline::{Late, Pipeline};
use crate::smtp::server;
use crate::store::{Quarantine, StoreError};
use crate::systemd::{Missing, Sockets, Vital};
use crate::transaction::Handler;
use crate::transport::Transport;
use crate::worker::Workers;
use crate::worker::nursery::Program;
use crate::worker::pool::CANNOT_START;

/// How often the quarantine's gauges are brought up to date.
const GAUGES_EVERY: Duration = Duration::from_secs(15);
/// Every how many of those the quarantine is tidied: 10 minutes.
const UPKEEP_EVERY: u32 = 40;
/// A clock that is further ahead than this was set: no leap of ordinary correction is longer.
const JUMP: Duration = Duration::from_secs(3600);
/// How long a clock that was set ahead is not believed: time for somebody to notice.
const DOUBT: Duration = Duration::from_secs(24 * 3600);
/// How often the pool of workers is brought to its size.
const TEND_EVERY: Duration = Duration::from_secs(10);
/// How long accept loops may take to remove their sockets. They do nothing else by then.
const LAST_CALL: Duration = Duration::from_secs(1);

/// Why the daemon did not start. Tells the admin what to do.
#[derive(Debug)]
pub enum StartError {
    /// The state folder cannot be used.
    State(PathBuf, io::Error),
    /// Another daemon works in the state folder.
    Running(PathBuf),
    /// The quarantine cannot be opened.
    Quarantine(StoreError),
    /// The folder of copies of delivered mail cannot be opened.
    Copies(StoreError),
    /// An address cannot be listened on.
    Listen(String, io::Error),
    /// A socket that systemd should have passed is not there.
    Systemd(Missing),
    /// No worker can be started.
    Workers(io::Error),
    /// A listener's mail would come back to a listener: the next hop, the listener's address.
    Circle(Endpoint, Endpoint),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::State(path, error) => write!(
                f,
                "the state folder {} cannot be used: {error}; create it for the user sekisho runs as, or name another with --state-dir",
                path.display()
            ),
            StartError::Running(path) => write!(
                f,
                "another sekisho works in {}; stop it first, or give this one a state folder of its own with --state-dir",
                path.display()
            ),
            StartError::Quarantine(error) => write!(f, "{error}"),
            StartError::Copies(error) => write!(f, "the copies of delivered mail ([second_mail]): {error}"),
            StartError::Listen(address, error) => write!(f, "cannot listen on {address}: {error}{}", advice(error)),
            StartError::Workers(error) => write!(f, "{CANNOT_START}: {error}"),
            StartError::Systemd(missing) => write!(f, "{missing}"),
            StartError::Circle(next_hop, listen) => write!(
                f,
                "mail would go round in circles: the next hop {next_hop} is the socket {listen} that systemd passed to us; \
                 correct next_hop, or ListenStream= in the .socket unit"
            ),
        }
    }
}

/// What to do about an address that cannot be listened on.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; something else listens there: stop it, or take another address",
        io::ErrorKind::AddrNotAvailable => "; this host does not have the address: correct `listen`",
        // Such an error says itself what to do.
        _ if error.get_ref().is_some() => "",
        io::ErrorKind::NotFound => "; create the folder for the user sekisho runs as",
        io::ErrorKind::PermissionDenied => {
            "; a port below 1024 needs root or a socket of systemd (listen = \"systemd:NAME\"), a Unix socket a folder \
             that sekisho may write to"
        }
        _ => "",
    }
}

impl std::error::Error for StartError {}

/// A daemon that runs until [`Daemon::stop`].
pub struct Daemon {
    config: Arc<ArcSwap<Config>>,
    metrics: Arc<Metrics>,
    shutdown: Shutdown,
    /// Ends upkeep and HTTP, after the sessions.
    end: CancellationToken,
    listening: Vec<Endpoint>,
    vital: Vital,
    http: Option<SocketAddr>,
    /// Accept loops, which remove their sockets when they end.
    loops: JoinSet<()>,
    quarantine_folder: PathBuf,
    /// Held as long as the daemon runs.
    _lock: fs::File,
}

impl Daemon {
    /// Starts everything; mail is taken once this returns. Sockets that systemd passed are used where the
    /// configuration names them or their addresses. The workers are this program called as one, with the same
    /// `formats`.
    ///
    /// # Errors
    /// Nothing runs then, and the error says what to do.
    pub async fn start(
        config: Config,
        state_dir: &Path,
        mut passed: Sockets,
        formats: &'static [Format],
    ) -> Result<Self, StartError> {
        let lock = lock(state_dir)?;
        let spool = state_dir.join("spool");
        fs::create_dir_all(&spool).map_err(|error| StartError::State(spool.clone(), error))?;
        let quarantine_folder = config.quarantine.folder(state_dir);
        let metrics = Arc::new(Metrics::new());
        let quarantine = open_quarantine(&quarantine_folder, &config, &metrics)?;
        metrics.set_rules(config.policy.rule_names());
        metrics.config_loaded(true);

        let sockets = bind(&config, state_dir, &mut passed)?;
        let http_sockets = bind_http(&config, &mut passed)?;
        for socket in passed.unused() {
            tracing::warn!(
                "the socket {socket} of systemd is used by no listener: remove it from the .socket unit, or name it in `listen`"
            );
        }
        drop(passed);
        let config = Arc::new(ArcSwap::from_pointee(config));
        let workers = start_workers(&config.load(), &metrics).await?;
        let copies = state_dir.join("copies");
        keep_apart(&quarantine_folder, &copies)?;
        let late = Late::open(&copies, &config.load()).map_err(StartError::Copies)?;
        let pipeline = Arc::new(Pipeline::new(
            Arc::clone(&config),
            Arc::clone(&quarantine),
            Arc::clone(&metrics),
            formats,
            Arc::clone(&workers),
            oracles(&config.load(), state_dir, &metrics),
            spool,
            late,
        ));
        let (shutdown, end) = (Shutdown::new(), CancellationToken::new());
        let pages = pages(&pipeline, &shutdown);
        let permits = Permits::new();
        let mut loops = JoinSet::new();
        let http = start_http(http_sockets, pages, &end, &mut loops)?;
        let mut vital = Vital { loops: Vec::new(), shutdown: shutdown.clone() };
        for (socket, listener) in sockets {
            let endpoint = socket.endpoint().map_err(|error| StartError::Listen(listener.listen.to_string(), error))?;
            tracing::info!(listen = %endpoint, mode = listener.transport.name(), next_hop = %listener.next_hop, "listening");
            vital.loops.push((endpoint, socket.pulse()));
            serve(socket, listener, &pipeline, &permits, &shutdown, &mut loops);
        }
        tokio::spawn(upkeep(Arc::clone(&quarantine), Arc::clone(&metrics), end.clone()));
        tokio::spawn(tend(workers, end.clone()));
        loops.spawn(Arc::clone(&pipeline).look_back(end.clone()));
        metrics.ready(true);
        let shown = http.map(|address| address.to_string());
        let shown = shown.or_else(|| config.load().http.as_ref().map(ToString::to_string));
        tracing::info!(version = env!("CARGO_PKG_VERSION"), http = shown.as_deref().unwrap_or("off"), "ready");
        let listening = vital.loops.iter().map(|(endpoint, _)| endpoint.clone()).collect();
        Ok(Self { config, metrics, shutdown, end, listening, vital, http, loops, quarantine_folder, _lock: lock })
    }

    /// Where mail is taken, in the order of the configuration; port 0 has become the real one.
    pub fn listening(&self) -> &[Endpoint] {
        &self.listening
    }

    /// What must be alive for mail to be taken.
    pub fn vital(&self) -> &Vital {
        &self.vital
    }

    /// Where mail is taken and by how many rules, in one line.
    pub fn summary(&self) -> String {
        let places: Vec<String> = self.listening.iter().map(ToString::to_string).collect();
        let rules = self.config.load().policy.rules().count();
        let noun = if rules == 1 { "rule" } else { "rules" };
        format!("taking mail on {}; {rules} {noun} of your own", places.join(", "))
    }

    /// Sessions that run.
    pub fn sessions(&self) -> usize {
        self.shutdown.sessions()
    }

    /// Where metrics and health are.
    pub fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Where held messages are.
    pub fn quarantine_folder(&self) -> &Path {
        &self.quarantine_folder
    }

    /// Puts a checked configuration in force, for messages that begin from now on.
    pub fn reload(&self, new: Config) {
        for key in needs_restart(&self.config.load(), &new) {
            tracing::warn!(key, "this change takes effect only after a restart");
        }
        self.metrics.set_rules(new.policy.rule_names());
        self.metrics.config_loaded(true);
        self.config.store(Arc::new(new));
        tracing::info!("the new configuration is in force");
    }

    /// A reload found mistakes: the old configuration runs on.
    pub fn reload_failed(&self) {
        self.metrics.config_loaded(false);
    }

    /// Stops: no new sessions, messages behind their final dot are finished, then everything ends.
    pub async fn stop(mut self) {
        self.metrics.ready(false);
        let limit = self.config.load().timeouts.shutdown;
        tracing::info!(sessions = self.shutdown.sessions(), "stopping");
        if !self.shutdown.finish(limit).await {
            tracing::warn!(limit_s = limit.as_secs(), "sessions that did not end in time were cut with 421");
        }
        self.end.cancel();
        let ended = async { while self.loops.join_next().await.is_some() {} };
        let _ = timeout(LAST_CALL, ended).await;
        tracing::info!("stopped");
    }
}

/// One daemon per state folder.
fn lock(state_dir: &Path) -> Result<fs::File, StartError> {
    let failed = |error| StartError::State(state_dir.to_owned(), error);
    fs::create_dir_all(state_dir).map_err(failed)?;
    let path = state_dir.join("lock");
    let file = fs::File::options().create(true).truncate(false).write(true).open(path).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StartError::Running(state_dir.to_owned())),
        Err(error) => Err(failed(error.into())),
    }
}

/// Copies are deleted after a while: what is held must not lie among them.
fn keep_apart(quarantine: &Path, copies: &Path) -> Result<(), StartError> {
    match (fs::canonicalize(quarantine), fs::canonicalize(copies)) {
        (Ok(quarantine), Ok(copies)) if quarantine == copies => {
            let why = "copies of delivered mail lie there and are deleted; name another [quarantine] path";
            Err(StartError::State(copies, io::Error::other(why)))
        }
        _ => Ok(()),
    }
}

/// As many workers as there are cores stand ready.
async fn start_workers(config: &Config, metrics: &Arc<Metrics>) -> Result<Arc<Workers>, StartError> {
    // One client alone keeps so many busy.
    let warm = config.service.slots().div_ceil(2);
    let memory = config.service.max_worker_memory;
    Workers::start(Program::own(), memory, warm, Arc::clone(metrics)).await.map_err(StartError::Workers)
}

/// Who answers what scans ask: of pictures, the store of those that were learnt and a reader, as far as they are there.
fn oracles(config: &Config, state_dir: &Path, metrics: &Arc<Metrics>) -> Oracles {
    let program = match &config.ocr.program {
        OcrProgram::Auto => ocr::installed(),
        OcrProgram::Off => None,
        OcrProgram::At(path) => Some(path.clone()),
    };
    let reader = program.map(|program| {
        tracing::info!(program = %program.display(), "pictures are read");
        Tesseract::new(&program, &config.ocr.languages)
    });
    let learned = config.pictures.learn.then(|| Learned::open(state_dir, config.pictures.keep));
    let learned = learned.and_then(|opened| {
        opened.inspect_err(|error| tracing::warn!(%error, "no pictures are learnt until the next start")).ok()
    });
    let anybody = reader.is_some() || learned.is_some();
    let pictures =
        anybody.then(|| -> Arc<dyn Oracle> { Arc::new(Pictures::new(reader, learned, Arc::clone(metrics))) });
    Oracles::new(pictures, Arc::clone(metrics))
}

/// Keeps the pool of workers at its size.
async fn tend(workers: Arc<Workers>, end: CancellationToken) {
    let mut ticks = tokio::time::interval(TEND_EVERY);
    loop {
        tokio::select! {
            _ = ticks.tick() => workers.tend().await,
            () = end.cancelled() => return,
        }
    }
}

fn open_quarantine(folder: &Path, config: &Config, metrics: &Metrics) -> Result<Arc<Quarantine>, StartError> {
    let quarantine =
        Quarantine::open(folder, config.quarantine.keep, config.quarantine.max_size).map_err(StartError::Quarantine)?;
    let recovery = quarantine.recover().map_err(StartError::Quarantine)?;
    count(metrics, QuarantineOperation::Recover, recovery.pending.len());
    if !recovery.pending.is_empty() {
        tracing::warn!(messages = recovery.pending.len(), "messages that were pending at a crash are held now");
    }
    count(metrics, QuarantineOperation::Recover, recovery.unsent.len());
    for id in &recovery.unknown {
        tracing::warn!(%id, "a release was cut off after its final dot may have been sent: see `sekisho quarantine show`");
    }
    Ok(Arc::new(quarantine))
}

/// Serves a listener until the daemon shuts down.
fn serve(
    socket: net::Listener,
    listener: config::Listener,
    pipeline: &Arc<Pipeline>,
    permits: &Arc<Permits>,
    shutdown: &Shutdown,
    loops: &mut JoinSet<()>,
) {
    let (listener, pipeline) = (Arc::new(listener), Arc::clone(pipeline));
    let (permits, shutdown) = (Arc::clone(permits), shutdown.clone());
    match listener.transport {
        Transport::Milter => {
            let gate = Arc::new(Gate::new(pipeline, listener));
            loops.spawn(milter::server::serve(socket, gate, permits, shutdown));
        }
        Transport::BeforeQueue | Transport::AfterQueue | Transport::LmtpBeforeQueue | Transport::LmtpAfterQueue => {
            loops.spawn(server::serve(socket, listener, pipeline, permits, shutdown));
        }
    }
}

/// All addresses or none. A relative Unix path lies in the state folder. A listener whose name stands for several sockets of systemd has them all.
fn bind(
    config: &Config,
    state_dir: &Path,
    passed: &mut Sockets,
) -> Result<Vec<(net::Listener, config::Listener)>, StartError> {
    let mut bound = Vec::new();
    for listener in &config.listeners {
        let mut listener = listener.clone();
        if let Endpoint::Unix(path) = &mut listener.listen {
            *path = state_dir.join(&path);
        }
        let sockets = bind_one(&listener.listen, &listener.socket, passed)?;
        bound.extend(sockets.into_iter().map(|socket| (socket, listener.clone())));
    }
    // The configuration was checked for circles, but does not know the addresses behind names.
    for (_, listener) in &bound {
        for (socket, _) in &bound {
            let at = socket.endpoint().map_err(|error| StartError::Listen(listener.listen.to_string(), error))?;
            if meet(&listener.next_hop, &at) {
                return Err(StartError::Circle(listener.next_hop.clone(), at));
            }
        }
    }
    Ok(bound)
}

/// What systemd passed for this place, else a socket of our own.
fn bind_one(listen: &Endpoint, file: &SocketFile, passed: &mut Sockets) -> Result<Vec<net::Listener>, StartError> {
    let claimed = passed.claim(listen).map_err(StartError::Systemd)?;
    if !claimed.is_empty() {
        return Ok(claimed);
    }
    let bound = net::Listener::bind_with(listen, file);
    bound.map(|socket| vec![socket]).map_err(|error| StartError::Listen(listen.to_string(), error))
}

fn bind_http(config: &Config, passed: &mut Sockets) -> Result<Vec<net::Listener>, StartError> {
    let Some(listen) = &config.http else { return Ok(Vec::new()) };
    bind_one(listen, &SocketFile::default(), passed)
}

/// What metrics and health are made from.
fn pages(pipeline: &Arc<Pipeline>, shutdown: &Shutdown) -> Pages {
    let (metrics, pipeline, draining) = (Arc::clone(&pipeline.metrics), Arc::clone(pipeline), shutdown.clone());
    let readiness = move || {
        let running = if draining.is_draining() { Err("stopping".to_owned()) } else { Ok(()) };
        let quarantine = pipeline.quarantine.check().map_err(|error| error.to_string());
        let (spool, workers) = (check_spool(&pipeline.spool()), pipeline.workers.check());
        vec![("running", running), ("quarantine", quarantine), ("spool", spool), ("workers", workers)]
    };
    Pages { metrics, readiness: Arc::new(readiness) }
}

/// Serves metrics and health; the first TCP address they are on.
fn start_http(
    sockets: Vec<net::Listener>,
    pages: Pages,
    end: &CancellationToken,
    loops: &mut JoinSet<()>,
) -> Result<Option<SocketAddr>, StartError> {
    let mut address = None;
    for socket in sockets {
        let endpoint = socket.endpoint().map_err(|error| StartError::Listen("[http] listen".to_owned(), error))?;
        if let Endpoint::Tcp(tcp) = endpoint {
            address = address.or(Some(tcp));
        }
        loops.spawn(serve_http(socket, pages.clone(), end.clone()));
    }
    Ok(address)
}

async fn serve_http(socket: net::Listener, pages: Pages, end: CancellationToken) {
    let (socket, ours) = socket.into_parts();
    let end = end.cancelled_owned();
    let served = match socket {
        net::Socket::Tcp(listener) => http::run(listener, pages, end).await,
        net::Socket::Unix(listener) => http::run(listener, pages, end).await,
    };
    if let Err(error) = served {
        tracing::error!(%error, "metrics and health are no longer served");
    }
    net::remove(ours.as_deref());
}

/// Whether large messages can be kept while they arrive.
fn check_spool(policy: &SpoolPolicy) -> Result<(), String> {
    policy.check().map_err(|error| match error.kind() {
        io::ErrorKind::StorageFull => {
            format!("messages cannot be spooled in {}: {error}; free some space there", policy.folder.display())
        }
        _ => StartError::State(policy.folder.clone(), error).to_string(),
    })
}

/// Retention, and the gauges of the quarantine.
async fn upkeep(quarantine: Arc<Quarantine>, metrics: Arc<Metrics>, end: CancellationToken) {
    let mut ticks = tokio::time::interval(GAUGES_EVERY);
    let mut calendar = Calendar::new(Timestamp::now(), Instant::now());
    for tick in (0..UPKEEP_EVERY).cycle() {
        tokio::select! {
            _ = ticks.tick() => {}
            () = end.cancelled() => return,
        }
        let (quarantine, metrics) = (Arc::clone(&quarantine), Arc::clone(&metrics));
        let today = calendar.today(Timestamp::now(), Instant::now());
        let done = tokio::task::spawn_blocking(move || {
            if tick == 0 {
                tidy(&quarantine, &metrics, today);
            }
            measure(&quarantine, &metrics);
        });
        if done.await.is_err() {
            tracing::error!("the upkeep of the quarantine failed; it is tried again");
        }
    }
}

/// The time by which held messages expire: the clock's, unless that has jumped ahead. A wrong clock must not
/// delete what is held.
struct Calendar {
    /// What the clock said when it was last believed.
    believed: Timestamp,
    at: Instant,
    jumped: Option<Instant>,
}

impl Calendar {
    fn new(now: Timestamp, at: Instant) -> Self {
        Self { believed: now, at, jumped: None }
    }

    /// The clock says `now`; `at` is the same moment by a clock that nobody sets.
    fn today(&mut self, now: Timestamp, at: Instant) -> Timestamp {
        let expected = self.believed.checked_add(at.saturating_duration_since(self.at)).unwrap_or(now);
        let is_ahead = expected.checked_add(JUMP).is_ok_and(|latest| now > latest);
        let since = *self.jumped.get_or_insert(at);
        if is_ahead && since == at {
            tracing::warn!(
                clock = %now, expected = %expected,
                "the clock was set ahead: held messages expire by it only in a day; correct it if it is wrong"
            );
        }
        if is_ahead && at.saturating_duration_since(since) < DOUBT {
            return expected;
        }
        *self = Self::new(now, at);
        now
    }
}

fn tidy(quarantine: &Quarantine, metrics: &Metrics, today: Timestamp) {
    match quarantine.maintain(today) {
        Ok(done) => {
            count(metrics, QuarantineOperation::Expire, done.expired);
            count(metrics, QuarantineOperation::Recover, done.recovered);
            if done.expired > 0 || done.recovered > 0 {
                tracing::info!(expired = done.expired, recovered = done.recovered, "quarantine tidied");
            }
        }
        Err(error) => tracing::error!(%error, "the quarantine cannot be tidied"),
    }
}

fn count(metrics: &Metrics, operation: QuarantineOperation, times: usize) {
    for _ in 0..times {
        metrics.quarantine_operation(operation, true);
    }
}

fn measure(quarantine: &Quarantine, metrics: &Metrics) {
    match quarantine.usage() {
        Ok(usage) => metrics.quarantine(&QuarantineUse {
            messages: usage.messages,
            bytes: usage.bytes,
            limit: usage.limit,
            oldest: usage.oldest.map(SystemTime::from),
        }),
        Err(error) => tracing::warn!(%error, "the quarantine cannot be measured"),
    }
}

/// The keys whose change a running daemon cannot follow.
fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let mut keys = Vec::new();
    if old.listeners != new.listeners {
        keys.push("listener");
    }
    if old.http != new.http {
        keys.push("http.listen");
    }
    if old.quarantine != new.quarantine {
        keys.push("quarantine");
    }
    if old.ocr != new.ocr {
        keys.push("ocr");
    }
    if old.pictures != new.pictures {
        keys.push("pictures");
    }
    if old.second_mail.quota != new.second_mail.quota {
        keys.push("second_mail.quota");
    }
    if old.service.max_scans != new.service.max_scans {
        keys.push("limits.max_scans");
    }
    if old.service.max_worker_memory != new.service.max_worker_memory {
        keys.push("limits.max_worker_memory");
    }
    if old.service.max_waiting != new.service.max_waiting {
        keys.push("limits.max_waiting");
    }
    if old.service.max_memory != new.service.max_memory {
        keys.push("limits.max_memory");
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_ahead_is_believed_after_a_day() {
        let (noon, begun) = (Timestamp::UNIX_EPOCH + Duration::from_secs(1_000_000_000), Instant::now());
        let hour = Duration::from_secs(3600);
        let mut calendar = Calendar::new(noon, begun);
        let mut at = |clock: Duration, passed: Duration| {
            (calendar.today(noon + clock, begun + passed) - noon).total(jiff::Unit::Hour).unwrap()
        };
        assert_eq!(at(hour, hour), 1.0, "time passes");
        assert_eq!(at(hour * 3, hour * 2), 3.0, "an hour is corrected");
        assert_eq!(at(hour * 2, hour * 2), 2.0, "back at once");
        assert_eq!(at(hour * 9000, hour * 3), 3.0, "a year ahead is not believed");
        assert_eq!(at(hour * 9010, hour * 13), 13.0);
        assert_eq!(at(hour * 14, hour * 14), 14.0, "it was mended");
        assert_eq!(at(hour * 9000, hour * 15), 15.0);
        assert_eq!(at(hour * 9023, hour * 38), 38.0);
        assert_eq!(at(hour * 9024, hour * 39), 9024.0, "it is meant");
    }
}
