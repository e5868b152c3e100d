//! Where workers are started and buried: a thread of its own, since a child's parent-death signal follows
//! the thread that started it, and since both may take their time.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};

use tokio::sync::oneshot;

/// What a worker's program is called with.
pub const ARGUMENT: &str = "worker";

/// The program that workers run.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// This same program, even if its file was replaced or deleted meanwhile (an upgrade).
    pub fn own() -> Self {
        let exe = PathBuf::from("/proc/self/exe");
        // Without /proc, the file by its name.
        let path = if exe.exists() { exe } else { std::env::current_exe().unwrap_or(exe) };
        Self { path, arguments: vec![ARGUMENT.into()] }
    }

    /// Another one: of tests.
    pub fn other(path: impl Into<PathBuf>, arguments: impl IntoIterator<Item = OsString>) -> Self {
        Self { path: path.into(), arguments: arguments.into_iter().collect() }
    }
}

/// A worker that was just started.
pub struct Newborn {
    /// Its process.
    pub child: Child,
    /// Our end of its socket.
    pub socket: UnixStream,
    /// What it says when it dies.
    pub stderr: Option<ChildStderr>,
}

enum Wish {
    Start(oneshot::Sender<io::Result<Newborn>>),
    Bury(Child, oneshot::Sender<io::Result<ExitStatus>>),
}

/// The thread. Ends when this value goes.
#[derive(Debug)]
pub struct Nursery(Sender<Wish>);

impl Nursery {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn open(program: Program) -> io::Result<Self> {
        let (sender, wishes) = channel();
        std::thread::Builder::new().name("nursery".to_owned()).spawn(move || fulfil(&program, &wishes))?;
        Ok(Self(sender))
    }

    /// Starts a worker. It has not said anything yet.
    ///
    /// # Errors
    /// The system starts no process: too many of them, no memory.
    pub async fn start(&self) -> io::Result<Newborn> {
        let (reply, newborn) = oneshot::channel();
        self.0.send(Wish::Start(reply)).map_err(io::Error::other)?;
        newborn.await.map_err(io::Error::other)?
    }

    /// Kills a worker if it lives, and says how it ended.
    pub async fn bury(&self, child: Child) -> io::Result<ExitStatus> {
        let (reply, status) = oneshot::channel();
        self.0.send(Wish::Bury(child, reply)).map_err(io::Error::other)?;
        status.await.map_err(io::Error::other)?
    }

    /// Kills a worker without waiting for its end.
    pub fn forget(&self, child: Child) {
        // Without the thread the daemon is ending, and the worker sees the end of its socket.
        let _ = self.0.send(Wish::Bury(child, oneshot::channel().0));
    }
}

fn fulfil(program: &Program, wishes: &Receiver<Wish>) {
    while let Ok(wish) = wishes.recv() {
        // Nobody waiting any more is nobody's loss.
        match wish {
            Wish::Start(reply) => {
                if let Err(Ok(newborn)) = reply.send(start(program)) {
                    let _ = end(newborn.child);
                }
            }
            Wish::Bury(child, reply) => {
                let _ = reply.send(end(child));
            }
        }
    }
}

fn start(program: &Program) -> io::Result<Newborn> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new(&program.path);
    command.args(&program.arguments).env_clear().current_dir("/");
    command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let stderr = child.stderr.take();
    Ok(Newborn { child, socket: ours, stderr })
}

fn end(mut child: Child) -> io::Result<ExitStatus> {
    // It may be dead already; then its status tells of what.
    let _ = child.kill();
    child.wait()
}
