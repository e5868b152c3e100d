//! Connections with an end: so many at once, so many octets in, so much time.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

/// Connections at the same time. 32: a few Prometheus servers and probes; the rest waits in the backlog.
pub(super) const MAX_CONNECTIONS: usize = 32;
/// Octets that one connection may send us. 16 KiB: a GET with generous header fields.
pub(super) const MAX_REQUEST: usize = 16 * 1024;
/// Life of one connection. 10 s: Prometheus' default `scrape_timeout`.
pub(super) const MAX_LIFE: Duration = Duration::from_secs(10);

/// A listener whose connections are [`Bounded`].
pub(super) struct Guarded<L> {
    inner: L,
    life: Duration,
    permits: Arc<Semaphore>,
}

impl<L: Listener> Guarded<L> {
    pub(super) fn new(inner: L, life: Duration) -> Self {
        Self { inner, life, permits: Arc::new(Semaphore::new(MAX_CONNECTIONS)) }
    }
}

impl<L: Listener> Listener for Guarded<L> {
    type Io = Bounded<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        // Never closed, so it does not fail.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        let (inner, addr) = self.inner.accept().await;
        let end = Box::pin(tokio::time::sleep(self.life));
        (Bounded { inner, end, room: MAX_REQUEST, _permit: permit }, addr)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.inner.local_addr()
    }
}

/// A connection that fails once its time or its room for input is used up.
pub(super) struct Bounded<S> {
    inner: S,
    end: Pin<Box<Sleep>>,
    room: usize,
    _permit: Option<OwnedSemaphorePermit>,
}

impl<S: Unpin> Bounded<S> {
    /// `Err` when the time is up; else the task will be woken then.
    fn in_time(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.end.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.in_time(context)?;
        if self.room == 0 {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "the request is too long")));
        }
        let mut octets = [0; 1024];
        let mut whole = ReadBuf::new(&mut octets);
        let mut part = whole.take(self.room.min(buffer.remaining()));
        std::task::ready!(Pin::new(&mut self.inner).poll_read(context, &mut part))?;
        let read = part.filled().len();
        buffer.put_slice(part.filled());
        self.room = self.room.saturating_sub(read);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        self.in_time(context)?;
        Pin::new(&mut self.inner).poll_write(context, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.in_time(context)?;
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.in_time(context)?;
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
