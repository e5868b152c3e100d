//! Sockets: listening and connecting over TCP and Unix sockets, an accept loop that never ends on an
//! error, connection limits, and the two steps of a shutdown. Knows nothing about SMTP or milters.
//!
//! Not here: sockets handed over by systemd.

use std::collections::HashMap;
use std::fs;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BufMut;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Endpoint;

/// Connections the system keeps for us while all permits are taken. As Postfix's and Linux's usual.
const BACKLOG: u32 = 1024;
/// Who may connect to a Unix socket: owner and group (Postfix is put into the group).
const UNIX_MODE: u32 = 0o660;
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
        }
    }

    /// Reads (some of) what is there without waiting; 0 means closed. Asks the system itself: tokio
    /// knows only what its reactor has seen so far, which under load is not what has arrived.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is there, or as the system says.
    pub fn try_read_buf(&self, buffer: &mut impl BufMut) -> io::Result<usize> {
        let mut octets = [0; 4096];
        let (read, _) = recv(self, &mut octets, RecvFlags::DONTWAIT)?;
        buffer.put_slice(octets.get(..read).unwrap_or_default());
        Ok(read)
    }

    /// Writes as much as fits without waiting, also on a connection that the reactor has not seen yet.
    ///
    /// # Errors
    /// `WouldBlock` if nothing fits, or as the system says.
    pub fn try_write(&self, octets: &[u8]) -> io::Result<usize> {
        Ok(send(self, octets, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?)
    }

    /// The own address of a TCP connection.
    pub fn local_ip(&self) -> Option<IpAddr> {
        match self {
            Stream::Tcp(stream) => stream.local_addr().ok().map(|address| address.ip()),
            Stream::Unix(_) => None,
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, octets),
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, octets),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// A socket that listens.
#[derive(Debug)]
pub enum Listener {
    /// TCP, IPv4 or IPv6 (then without IPv4: what was configured is what listens).
    Tcp(TcpListener),
    /// A Unix socket and where it is.
    Unix(UnixListener, PathBuf),
}

impl Listener {
    /// Begins to listen. A Unix socket that a killed daemon left behind is replaced.
    ///
    /// # Errors
    /// The address is in use, or as the system says.
    pub fn bind(endpoint: &Endpoint) -> io::Result<Self> {
        match endpoint {
            Endpoint::Tcp(address) => bind_tcp(*address).map(Listener::Tcp),
            Endpoint::Unix(path) => bind_unix(path).map(|listener| Listener::Unix(listener, path.clone())),
        }
    }

    /// Where it listens; port 0 has become the real one.
    ///
    /// # Errors
    /// As the system says.
    pub fn endpoint(&self) -> io::Result<Endpoint> {
        match self {
            Listener::Tcp(listener) => listener.local_addr().map(Endpoint::Tcp),
            Listener::Unix(_, path) => Ok(Endpoint::Unix(path.clone())),
        }
    }

    /// The next connection, and the peer's address if it has one.
    ///
    /// # Errors
    /// As the system says; the next call may succeed.
    pub async fn accept(&self) -> io::Result<(Stream, Option<IpAddr>)> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // Fails only if the peer has gone already; the session will notice.
                let _ = stream.set_nodelay(true);
                Ok((Stream::Tcp(stream), Some(address.ip().to_canonical())))
            }
            Listener::Unix(listener, _) => {
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
///
/// # Errors
/// The socket is in use, the path is something else, or as the system says.
pub fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    if let Ok(metadata) = fs::symlink_metadata(path)
        && metadata.file_type().is_socket()
    {
        match std::os::unix::net::UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)?,
            _ => return Err(io::Error::from(io::ErrorKind::AddrInUse)),
        }
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(UNIX_MODE))?;
    Ok(listener)
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
/// A Unix socket's file is removed at the end.
pub async fn accept_loop<F, S>(listener: Listener, shutdown: &Shutdown, mut serve: F)
where
    F: FnMut(Stream, Option<IpAddr>) -> Option<S>,
    S: Future<Output = ()> + Send + 'static,
{
    let mut pause = SHORTEST_PAUSE;
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.draining() => break,
            accepted = listener.accept() => accepted,
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
    if let Listener::Unix(listener, path) = listener {
        drop(listener);
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
        let Listener::Unix(_, path) = Listener::bind(&endpoint).unwrap() else { panic!("unix") };
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, UNIX_MODE);
        let file = folder.path().join("file");
        fs::write(&file, "kept").unwrap();
        Listener::bind(&Endpoint::Unix(file.clone())).unwrap_err();
        assert_eq!(fs::read(&file).unwrap(), b"kept");
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
