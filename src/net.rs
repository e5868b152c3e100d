//! Sockets: listening and connecting over TCP and Unix sockets, an accept loop that never ends on an
//! error, connection limits, and the two steps of a shutdown. Knows nothing about SMTP or milters.
//!
//! Sockets that systemd passes come from [`crate::systemd`].

use std::collections::HashMap;
use std::fs;
use std::future::Future;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BufMut;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ConnectionCommon, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Endpoint, SocketFile};

/// Connections the system keeps for us while all permits are taken. As Postfix's and Linux's usual.
const BACKLOG: u32 = 1024;
/// The pauses of an accept loop that meets errors, such as running out of descriptors (EMFILE).
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long sessions that were cut may take to say so.
const CUT_GRACE: Duration = Duration::from_secs(2);

/// A connection of either kind.
#[derive(Debug)]
pub enum Stream {
    /// TCP, with TCP_NODELAY: Nagle's algorithm against delayed acknowledgements costs 40 ms a message.
    Tcp(TcpStream),
    /// A Unix stream socket.
    Unix(UnixStream),
    /// Inside TLS, as the server.
    TlsServer(Box<server::TlsStream<Stream>>),
    /// Inside TLS, as the client.
    TlsClient(Box<client::TlsStream<Stream>>),
    /// A handshake took it and did not give it back: nothing can be said any more.
    Gone,
}

impl Stream {
    /// Connects.
    ///
    /// # Errors
    /// As the system says.
    pub async fn connect(endpoint: &Endpoint) -> io::Result<Self> {
        match endpoint {
            Endpoint::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            Endpoint::Unix(path) => UnixStream::connect(path).await.map(Stream::Unix),
            // No configuration lets such an endpoint be a next hop.
            Endpoint::Systemd(_) => Err(io::ErrorKind::AddrNotAvailable.into()),
        }
    }

    /// Reads (some of) what is there without waiting; 0 means closed. Asks the system itself: tokio
    /// knows only what its reactor has seen so far, which under load is not what has arrived.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is there, or as the system says.
    pub fn try_read_buf(&mut self, buffer: &mut impl BufMut) -> io::Result<usize> {
        let mut octets = [0; 4096];
        let read = match self {
            Stream::Tcp(stream) => recv(stream, &mut octets, RecvFlags::DONTWAIT)?.0,
            Stream::Unix(stream) => recv(stream, &mut octets, RecvFlags::DONTWAIT)?.0,
            Stream::TlsServer(stream) => {
                let (inner, tls) = stream.get_mut();
                try_read_tls(inner, tls, &mut octets)?
            }
            Stream::TlsClient(stream) => {
                let (inner, tls) = stream.get_mut();
                try_read_tls(inner, tls, &mut octets)?
            }
            Stream::Gone => return Err(gone()),
        };
        buffer.put_slice(octets.get(..read).unwrap_or_default());
        Ok(read)
    }

    /// Begins TLS as the server. The connection is lost ([`Stream::Gone`]) if this fails or is dropped.
    ///
    /// # Errors
    /// The handshake fails.
    pub async fn accept_tls(&mut self, config: Arc<ServerConfig>) -> io::Result<()> {
        let plain = std::mem::replace(self, Stream::Gone);
        let stream = TlsAcceptor::from(config).accept(plain).await?;
        *self = Stream::TlsServer(Box::new(stream));
        Ok(())
    }

    /// Begins TLS as the client, with a server of this name; as [`Stream::accept_tls`].
    ///
    /// # Errors
    /// The handshake fails, or the server's certificate is not what is asked for.
    pub async fn connect_tls(&mut self, config: Arc<ClientConfig>, name: ServerName<'static>) -> io::Result<()> {
        let plain = std::mem::replace(self, Stream::Gone);
        let stream = TlsConnector::from(config).connect(name, plain).await?;
        *self = Stream::TlsClient(Box::new(stream));
        Ok(())
    }

    /// Writes as much as fits without waiting, also on a connection that the reactor has not seen yet.
    ///
    /// # Errors
    /// `WouldBlock` if nothing fits, or as the system says. Not for TLS.
    pub fn try_write(&self, octets: &[u8]) -> io::Result<usize> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match self {
            Stream::Tcp(stream) => Ok(send(stream, octets, flags)?),
            Stream::Unix(stream) => Ok(send(stream, octets, flags)?),
            Stream::TlsServer(_) | Stream::TlsClient(_) | Stream::Gone => Err(gone()),
        }
    }

    /// The own address of a TCP connection.
    pub fn local_ip(&self) -> Option<IpAddr> {
        match self {
            Stream::Tcp(stream) => stream.local_addr().ok().map(|address| address.ip()),
            Stream::Unix(_) | Stream::Gone => None,
            Stream::TlsServer(stream) => stream.get_ref().0.local_ip(),
            Stream::TlsClient(stream) => stream.get_ref().0.local_ip(),
        }
    }
}

fn gone() -> io::Error {
    io::Error::from(io::ErrorKind::NotConnected)
}

/// What has arrived inside TLS, without waiting. Records that carry no data, such as session tickets,
/// are taken on the way and are no sign of life.
fn try_read_tls<Side>(stream: &mut Stream, tls: &mut ConnectionCommon<Side>, octets: &mut [u8]) -> io::Result<usize> {
    loop {
        match tls.reader().read(octets) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
        let mut raw = [0; 4096];
        let read = match stream {
            Stream::Tcp(stream) => recv(stream, &mut raw, RecvFlags::DONTWAIT)?.0,
            Stream::Unix(stream) => recv(stream, &mut raw, RecvFlags::DONTWAIT)?.0,
            Stream::TlsServer(_) | Stream::TlsClient(_) | Stream::Gone => return Err(gone()),
        };
        if read == 0 {
            return Ok(0);
        }
        let mut rest = raw.get(..read).unwrap_or_default();
        while !rest.is_empty() {
            tls.read_tls(&mut rest)?;
            tls.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::TlsServer(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::TlsClient(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Gone => Poll::Ready(Err(gone())),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, octets),
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, octets),
            Stream::TlsServer(stream) => Pin::new(stream).poll_write(cx, octets),
            Stream::TlsClient(stream) => Pin::new(stream).poll_write(cx, octets),
            Stream::Gone => Poll::Ready(Err(gone())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Stream::TlsServer(stream) => Pin::new(stream).poll_flush(cx),
            Stream::TlsClient(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Gone => Poll::Ready(Err(gone())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::TlsServer(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::TlsClient(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Gone => Poll::Ready(Err(gone())),
        }
    }
}

/// A socket that listens.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    endpoint: Endpoint,
    /// The file of a Unix socket that we made ourselves and remove at the end.
    ours: Option<PathBuf>,
    pulse: Pulse,
    questions: mpsc::Receiver<Question>,
}

/// What a [`Listener`] accepts on.
#[derive(Debug)]
pub enum Socket {
    /// TCP, IPv4 or IPv6 (then without IPv4, unless systemd made it: what was configured is what listens).
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

/// Asks an accept loop whether it still goes round; only the loop itself can answer.
#[derive(Clone, Debug)]
pub struct Pulse(mpsc::Sender<Question>);

type Question = oneshot::Sender<()>;

impl Pulse {
    /// True once the loop has answered, false if it is gone. Does not return while the loop is stuck.
    pub async fn felt(&self) -> bool {
        let (question, answer) = oneshot::channel();
        self.0.send(question).await.is_ok() && answer.await.is_ok()
    }
}

impl Listener {
    /// Begins to listen. A Unix socket that a killed daemon left behind is replaced; a new one is the
    /// daemon's own, and its group may use it.
    ///
    /// # Errors
    /// The address is in use, or as the system says.
    pub fn bind(endpoint: &Endpoint) -> io::Result<Self> {
        Self::bind_with(endpoint, &SocketFile::default())
    }

    /// As [`Listener::bind`], with the owner, group and mode of a Unix socket's file.
    ///
    /// # Errors
    /// The address is in use, or as the system says; a file's owner and group are explained.
    pub fn bind_with(endpoint: &Endpoint, file: &SocketFile) -> io::Result<Self> {
        match endpoint {
            Endpoint::Tcp(address) => {
                let listener = bind_tcp(*address)?;
                let bound = Endpoint::Tcp(listener.local_addr()?);
                Ok(Self::new(Socket::Tcp(listener), bound, None))
            }
            Endpoint::Unix(path) => {
                let listener = bind_unix(path, file)?;
                Ok(Self::new(Socket::Unix(listener), endpoint.clone(), Some(path.clone())))
            }
            Endpoint::Systemd(_) => Err(io::ErrorKind::AddrNotAvailable.into()),
        }
    }

    /// A socket that was made elsewhere and listens; its file, if it has one, stays when we end.
    pub(crate) fn passed(socket: Socket, endpoint: Endpoint) -> Self {
        Self::new(socket, endpoint, None)
    }

    fn new(socket: Socket, endpoint: Endpoint, ours: Option<PathBuf>) -> Self {
        let (pulse, questions) = mpsc::channel(1);
        Self { socket, endpoint, ours, pulse: Pulse(pulse), questions }
    }

    /// Where it listens; port 0 has become the real one.
    ///
    /// # Errors
    /// None that are known.
    pub fn endpoint(&self) -> io::Result<Endpoint> {
        Ok(self.endpoint.clone())
    }

    /// How to ask the accept loop that will take this listener whether it is alive.
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// The socket alone, for a server with an accept loop of its own, and the file to remove at its end.
    pub(crate) fn into_parts(self) -> (Socket, Option<PathBuf>) {
        (self.socket, self.ours)
    }
}

impl Socket {
    /// The next connection, and the peer's address if it has one.
    ///
    /// # Errors
    /// As the system says; the next call may succeed.
    async fn accept(&self) -> io::Result<(Stream, Option<IpAddr>)> {
        match self {
            Socket::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // Fails only if the peer has gone already; the session will notice.
                let _ = stream.set_nodelay(true);
                Ok((Stream::Tcp(stream), Some(address.ip().to_canonical())))
            }
            Socket::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(stream), None))
            }
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if address.is_ipv6() {
        rustix::net::sockopt::set_ipv6_v6only(&socket, true)?;
    }
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Listens on a Unix socket; one that a killed daemon left behind is replaced.
fn bind_unix(path: &Path, file: &SocketFile) -> io::Result<UnixListener> {
    let owner = file.owner.as_deref().map(user_id).transpose()?;
    let group = file.group.as_deref().map(group_id).transpose()?;
    if let Ok(metadata) = fs::symlink_metadata(path)
        && metadata.file_type().is_socket()
    {
        match std::os::unix::net::UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)?,
            _ => return Err(io::Error::from(io::ErrorKind::AddrInUse)),
        }
    }
    let listener = UnixListener::bind(path)?;
    let permitted =
        give(path, owner, group, file).and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(file.mode)));
    if let Err(error) = permitted {
        let _ = fs::remove_file(path);
        return Err(error);
    }
    Ok(listener)
}

/// Gives the file of a socket to its owner and group.
fn give(path: &Path, owner: Option<u32>, group: Option<u32>, file: &SocketFile) -> io::Result<()> {
    if owner.is_none() && group.is_none() {
        return Ok(());
    }
    std::os::unix::fs::chown(path, owner, group).map_err(|error| {
        let (owner, group) = (file.owner.as_deref().unwrap_or("-"), file.group.as_deref().unwrap_or("-"));
        let why = format!(
            "it cannot be given to owner {owner}, group {group} ({error}): only root may give it to another owner, and \
             only a member to a group; let systemd make the socket (SocketUser=, SocketGroup=, SocketMode= in a .socket \
             unit, listen = \"systemd:NAME\" here)"
        );
        io::Error::new(error.kind(), why)
    })
}

/// A user's number.
fn user_id(name: &str) -> io::Result<u32> {
    let unknown = || unknown("user", name, "socket_owner");
    name.parse().ok().or_else(|| uzers::get_user_by_name(name).map(|user| user.uid())).ok_or_else(unknown)
}

/// A group's number.
fn group_id(name: &str) -> io::Result<u32> {
    let unknown = || unknown("group", name, "socket_group");
    name.parse().ok().or_else(|| uzers::get_group_by_name(name).map(|group| group.gid())).ok_or_else(unknown)
}

fn unknown(what: &str, name: &str, key: &str) -> io::Error {
    let why = format!("there is no {what} `{name}` on this host; correct {key}, or create the {what}");
    io::Error::new(io::ErrorKind::NotFound, why)
}

/// The two steps of a shutdown: first no new work, then an end to what remains.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    drain: CancellationToken,
    cut: CancellationToken,
    sessions: TaskTracker,
}

impl Shutdown {
    /// Nothing is shutting down yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs a session that [`Shutdown::finish`] waits for.
    pub fn spawn(&self, session: impl Future<Output = ()> + Send + 'static) {
        self.sessions.spawn(session);
    }

    /// Sessions that run.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Whether the daemon is shutting down.
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Returns once the daemon is shutting down: accept nothing, end idle sessions.
    pub async fn draining(&self) {
        self.drain.cancelled().await;
    }

    /// Returns once the time for a graceful end is over: end now, whatever you are doing.
    pub async fn cut(&self) {
        self.cut.cancelled().await;
    }

    /// Shuts down: returns once all sessions have ended, or shortly after `limit`. True if all did
    /// by themselves.
    pub async fn finish(&self, limit: Duration) -> bool {
        self.drain.cancel();
        self.sessions.close();
        let graceful = timeout(limit, self.sessions.wait()).await.is_ok();
        self.cut.cancel();
        if !graceful {
            let _ = timeout(CUT_GRACE, self.sessions.wait()).await;
        }
        graceful
    }
}

/// Accepts connections until the daemon shuts down, and gives each to `serve` in a task of its own.
/// The file of a Unix socket of our own is removed at the end.
pub async fn accept_loop<F, S>(listener: Listener, shutdown: &Shutdown, mut serve: F)
where
    F: FnMut(Stream, Option<IpAddr>) -> Option<S>,
    S: Future<Output = ()> + Send + 'static,
{
    let Listener { socket, endpoint: _, ours, pulse: _pulse, mut questions } = listener;
    let mut pause = SHORTEST_PAUSE;
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.draining() => break,
            Some(question) = questions.recv() => {
                // Whoever asked may have stopped waiting.
                let _ = question.send(());
                continue;
            }
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                pause = SHORTEST_PAUSE;
                if let Some(session) = serve(stream, peer) {
                    shutdown.spawn(session);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(pause).await;
                pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
            }
        }
    }
    drop(socket);
    remove(ours.as_deref());
}

/// Removes the file of a socket that we made.
pub(crate) fn remove(ours: Option<&Path>) {
    if let Some(path) = ours {
        let _ = fs::remove_file(path);
    }
}

/// Counts open connections, in all and per client address.
#[derive(Debug, Default)]
pub struct Permits {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    per_client: HashMap<IpAddr, usize>,
}

/// The right to have one connection open, given back when dropped.
#[derive(Debug)]
pub struct Permit {
    permits: Arc<Permits>,
    client: Option<IpAddr>,
}

impl Permits {
    /// Nobody is connected.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Asks for one more connection. `client` is `None` for peers that only the limit for all
    /// applies to. `None` if a limit is reached.
    pub fn acquire(self: &Arc<Self>, client: Option<IpAddr>, all: usize, per_client: usize) -> Option<Permit> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.all >= all {
            return None;
        }
        if let Some(client) = client {
            let count = open.per_client.entry(client).or_insert(0);
            if *count >= per_client {
                return None;
            }
            *count = count.saturating_add(1);
        }
        open.all = open.all.saturating_add(1);
        Some(Permit { permits: Arc::clone(self), client })
    }

    /// Open connections.
    pub fn open(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).all
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.permits.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.all = open.all.saturating_sub(1);
        let Some(client) = self.client else { return };
        if let Some(count) = open.per_client.get_mut(&client) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.per_client.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn permits_hold_in_all_and_per_client_and_come_back() {
        let permits = Permits::new();
        let (a, b) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let first = permits.acquire(Some(a), 3, 1).unwrap();
        assert!(permits.acquire(Some(a), 3, 1).is_none());
        let _second = permits.acquire(Some(b), 3, 1).unwrap();
        let _third = permits.acquire(None, 3, 1).unwrap();
        assert!(permits.acquire(None, 3, 1).is_none());
        drop(first);
        assert_eq!(permits.open(), 2);
        assert!(permits.acquire(Some(a), 3, 1).is_some());
        assert_eq!(permits.open(), 2);
        assert_eq!(permits.open.lock().unwrap().per_client.len(), 1);
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let endpoint = Endpoint::Unix(folder.path().join("s"));
        let living = Listener::bind(&endpoint).unwrap();
        assert_eq!(Listener::bind(&endpoint).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(living);
        let again = Listener::bind(&endpoint).unwrap();
        let path = again.ours.clone().unwrap();
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o660);
        let file = folder.path().join("file");
        fs::write(&file, "kept").unwrap();
        Listener::bind(&Endpoint::Unix(file.clone())).unwrap_err();
        assert_eq!(fs::read(&file).unwrap(), b"kept");
    }

    #[tokio::test]
    async fn a_unix_socket_belongs_to_whom_the_configuration_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let bind = |file: SocketFile| Listener::bind_with(&Endpoint::Unix(path.clone()), &file);
        let own = fs::metadata(folder.path()).unwrap();
        let (uid, gid) = (std::os::unix::fs::MetadataExt::uid(&own), std::os::unix::fs::MetadataExt::gid(&own));
        let file = SocketFile { owner: Some(uid.to_string()), group: Some(gid.to_string()), mode: 0o606 };
        let listener = bind(file).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o606);
        drop(listener);
        for (owner, group, needle) in [
            (Some("no-such-user"), None, "there is no user `no-such-user` on this host; correct socket_owner"),
            (None, Some("no-such-group"), "there is no group `no-such-group` on this host; correct socket_group"),
        ] {
            let file = SocketFile { owner: owner.map(str::to_owned), group: group.map(str::to_owned), mode: 0o660 };
            let error = bind(file).unwrap_err().to_string();
            assert!(error.starts_with(needle), "{error}");
        }
    }

    #[tokio::test]
    async fn only_a_loop_that_goes_round_has_a_pulse() {
        let shutdown = Shutdown::new();
        let bind = || Listener::bind(&Endpoint::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
        let listener = bind();
        let pulse = listener.pulse();
        let waiting = timeout(Duration::from_millis(20), pulse.felt()).await;
        assert!(waiting.is_err(), "nobody accepts yet");
        let stopper = shutdown.clone();
        let serve = |_, _| -> Option<std::future::Ready<()>> { None };
        let running = tokio::spawn(async move { accept_loop(listener, &stopper, serve).await });
        for _ in 0..3 {
            assert!(pulse.felt().await);
        }
        running.abort();
        let _ = running.await;
        assert!(!pulse.felt().await, "the loop is gone");
    }

    #[tokio::test]
    async fn ipv6_listens_beside_ipv4_on_the_same_port() {
        let any = |ip: IpAddr, port| Endpoint::Tcp(SocketAddr::new(ip, port));
        let Ok(v6) = Listener::bind(&any(IpAddr::from([0u16; 8]), 0)) else { return };
        let Endpoint::Tcp(address) = v6.endpoint().unwrap() else { panic!("tcp") };
        Listener::bind(&any(Ipv4Addr::UNSPECIFIED.into(), address.port())).unwrap();
    }

    #[tokio::test]
    async fn a_shutdown_waits_and_then_cuts() {
        let shutdown = Shutdown::new();
        let session = shutdown.clone();
        shutdown.spawn(async move { session.draining().await });
        assert!(shutdown.finish(Duration::from_secs(30)).await);

        let shutdown = Shutdown::new();
        let session = shutdown.clone();
        shutdown.spawn(async move { session.cut().await });
        assert!(!shutdown.finish(Duration::from_millis(20)).await);
        assert_eq!(shutdown.sessions(), 0);
    }
}
