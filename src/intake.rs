//! What the servers have in common while a message arrives and is handled: content is kept in memory or on
//! the disk, off the threads that serve sockets, and a panic costs one message and not the others theirs.

use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use crate::message::{Message, Spool, SpoolPolicy};

/// The content of the message that is arriving.
#[derive(Debug, Default)]
pub struct Intake {
    spool: Option<Spool>,
}

/// Content could not be kept; the log says why and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom {
    /// Octets that had arrived.
    pub size: u64,
}

impl Intake {
    /// Keeps a piece. Writing to the disk happens off the threads that serve sockets.
    ///
    /// # Errors
    /// There is no room; what was kept of this message is gone.
    pub async fn keep(&mut self, octets: Vec<u8>, policy: impl Fn() -> SpoolPolicy) -> Result<(), NoRoom> {
        let mut spool = self.spool.take().unwrap_or_else(|| Spool::new(policy()));
        if spool.try_write(&octets) {
            self.spool = Some(spool);
            return Ok(());
        }
        let size = spool.size().saturating_add(octets.len() as u64);
        let kept = blocking(move || write(spool, &octets)).await;
        self.spool = Some(kept.map_err(|error| no_room(size, &error, &policy()))?);
        Ok(())
    }

    /// The whole message.
    ///
    /// # Errors
    /// As [`Intake::keep`].
    pub async fn finish(&mut self, policy: impl Fn() -> SpoolPolicy) -> Result<Message, NoRoom> {
        let spool = self.spool.take().unwrap_or_else(|| Spool::new(policy()));
        let size = spool.size();
        let finished = if spool.is_on_disk() { blocking(move || spool.finish()).await } else { spool.finish() };
        finished.map_err(|error| no_room(size, &error, &policy()))
    }

    /// Forgets the message.
    pub fn forget(&mut self) {
        self.spool = None;
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|panic| Err(io::Error::other(panic)))
}

fn write(mut spool: Spool, octets: &[u8]) -> io::Result<Spool> {
    spool.write(octets)?;
    Ok(spool)
}

fn no_room(size: u64, error: &io::Error, policy: &SpoolPolicy) -> NoRoom {
    tracing::error!(
        folder = %policy.folder.display(), %error,
        "deferring: a message cannot be spooled; make room on the disk, and see that the folder is there and sekisho may write to it"
    );
    NoRoom { size }
}

/// The output of a future, or `None` if it panicked.
pub async fn unwinding<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Ready(output)) => Poll::Ready(Some(output)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(_) => Poll::Ready(None),
    })
    .await
}
