//! The pool of workers: takes a free one, or starts one; hands it a message; kills it if it does not come
//! back in time; says what it died of.
//!
//! How many run at once is not decided here: whoever calls [`Workers::scan`] has a slot.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::{Child, ChildStderr, ExitStatus};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::hostile;
use crate::knowledge::Knowledge;
use crate::limits::Limits;
use crate::message::Message;
use crate::metrics::{Metrics, WorkerEnd};
use crate::scan::{MAX_ENCLOSED, MAX_TOLD, Place, Report, is_tellable};
use crate::worker::nursery::{Newborn, Nursery, Program};
use crate::worker::pace::{Pace, slow_down};
use crate::worker::protocol::{
    Done, Hello, Job, MAX_FRAME, MAX_REPORT, PROGRESS, Ready, decode, frame, length, noted, send_with,
};

/// How long a new worker may take until it stands behind its wall. It takes some milliseconds.
const BIRTH: Duration = Duration::from_secs(10);
/// How long a scan that was asked to stop may take to say so, before its worker is killed.
pub const STOP_GRACE: Duration = Duration::from_secs(2);
/// A scan that has taken so long goes on only with what processor time others leave. A quarter of a second is what some
/// fifty large documents with macros take.
const LONG: Duration = Duration::from_millis(250);
/// Scans after which a worker is replaced: what one message may have left in it does not stay for ever.
const MAX_SCANS: u32 = 1000;
/// Octets of memory that a worker may keep between scans. 64 MiB: an idle one has 8.
const MAX_RESIDENT: u64 = 64 << 20;
/// Seconds of processor time that a worker may use in its life: a last line, if nobody kills it.
const MAX_CPU: u64 = 3600;
/// Seconds that a worker beyond the warm ones stays without work.
const IDLE: Duration = Duration::from_secs(60);
/// Octets that a message in memory has at most to be copied on the threads that serve sockets.
const COPIED_AT_ONCE: u64 = 1 << 20;
/// Octets read of what a dying worker says.
const LAST_WORDS: usize = 4096;

/// Workers, and how new ones are made.
pub struct Workers {
    nursery: Nursery,
    hello: Hello,
    /// Workers kept ready.
    warm: usize,
    idle: Mutex<Idle>,
    busy: AtomicUsize,
    /// Why the last attempt to start a worker failed, if it did.
    trouble: Mutex<Option<String>>,
    metrics: Arc<Metrics>,
}

/// A message to look at.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// The octets.
    pub message: &'a Arc<Message>,
    /// Its limits.
    pub limits: &'a Limits,
    /// What is known besides.
    pub knowledge: &'a Knowledge,
    /// When there must be a report: the scan is told to stop at `max_scan_time` or then, what is earlier.
    pub deadline: Instant,
    /// Whether others go first.
    pub pace: Pace,
    /// Cancelled when nobody waits for the report any more.
    pub gone: &'a CancellationToken,
}

/// What came of a task.
#[derive(Debug)]
pub enum Ended {
    /// What was seen.
    Report(Report),
    /// The worker is dead, and its report never came.
    Died(Death),
    /// Nobody waits any more.
    Gone,
}

/// How a worker died.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// Of what.
    pub cause: WorkerEnd,
    /// Where it was in the message, if it said so.
    pub at: Option<Place>,
    /// For the log: what is known of it.
    pub detail: String,
    /// It used little of its time: it was stopped, or the machine was busy. Another try may go well.
    pub was_starved: bool,
}

/// A living worker.
#[derive(Debug)]
struct Worker {
    child: Child,
    socket: UnixStream,
    progress: File,
    /// `/proc/PID/stat`, opened before the worker made itself invisible to others.
    stat: Option<File>,
    stderr: Option<ChildStderr>,
    scans: u32,
    /// From prompt to patient and never back.
    pace: Pace,
    since: Instant,
}

/// Workers without work, each list with the longest idle in front.
#[derive(Debug, Default)]
struct Idle {
    prompt: Vec<Worker>,
    patient: Vec<Worker>,
}

impl Idle {
    fn of(&mut self, pace: Pace) -> &mut Vec<Worker> {
        match pace {
            Pace::Prompt => &mut self.prompt,
            Pace::Patient => &mut self.patient,
        }
    }

    fn len(&self) -> usize {
        self.prompt.len().saturating_add(self.patient.len())
    }

    /// Takes out who has been idle for long, but the last `stay`.
    fn retire(workers: &mut Vec<Worker>, stay: usize) -> Vec<Worker> {
        let surplus = workers.len().saturating_sub(stay);
        let count = workers.iter().take(surplus).take_while(|worker| worker.since.elapsed() >= IDLE).count();
        workers.drain(..count).collect()
    }
}

impl Workers {
    /// A pool that keeps `warm` workers ready. The first is started at once, to see that it works.
    ///
    /// # Errors
    /// No worker can be started, and why; what to do is in the message.
    pub async fn start(program: Program, memory: u64, warm: usize, metrics: Arc<Metrics>) -> io::Result<Arc<Self>> {
        let (nursery, hello) = (Nursery::open(program)?, Hello { memory, cpu: MAX_CPU });
        let workers = Arc::new(Self {
            nursery,
            hello,
            warm: warm.max(1),
            idle: Mutex::default(),
            busy: AtomicUsize::new(0),
            trouble: Mutex::default(),
            metrics,
        });
        let (first, ready) = workers.birth(Pace::Prompt).await?;
        match ready.warning {
            Some(warning) => tracing::warn!(wall = ready.wall, "{warning}"),
            None => tracing::debug!(wall = ready.wall, "a worker stands behind its wall"),
        }
        workers.keep(first);
        workers.replenish().await;
        Ok(workers)
    }

    /// Has a message looked at.
    ///
    /// # Errors
    /// No worker can be started, or the message cannot be handed over.
    pub async fn scan(self: &Arc<Self>, task: Task<'_>) -> io::Result<Ended> {
        let idle = self.idle().of(task.pace).pop();
        match idle {
            Some(worker) => self.scan_in(worker, task).await,
            None => self.scan_afresh(task).await,
        }
    }

    /// As [`Workers::scan`], in a worker that has seen nothing before.
    ///
    /// # Errors
    /// As [`Workers::scan`].
    pub async fn scan_afresh(self: &Arc<Self>, task: Task<'_>) -> io::Result<Ended> {
        let (worker, _) = self.birth(task.pace).await?;
        self.scan_in(worker, task).await
    }

    async fn scan_in(self: &Arc<Self>, worker: Worker, task: Task<'_>) -> io::Result<Ended> {
        let mut worker = Lent::new(worker, self);
        let message = memfd(task.message).await?;
        let job = Job { size: task.message.size(), limits: task.limits.clone(), knowledge: task.knowledge.clone() };
        let job = frame(&job, MAX_FRAME)?;
        let begun = Instant::now();
        let limit = Duration::from_secs(task.limits.max_scan_time);
        let stop_at = begun.checked_add(limit).map_or(task.deadline, |limit| limit.min(task.deadline));
        let Some(lent) = worker.worker.as_mut() else { return Ok(Ended::Gone) };
        let asked = lent.ask(&job, &message).await;
        let outcome = match asked {
            Ok(()) => lent.answer(begun, stop_at, task.gone).await,
            Err(error) => Outcome::Broken(error),
        };
        let Some(worker) = worker.worker.take() else { return Ok(Ended::Gone) };
        match outcome {
            Outcome::Done(done) => {
                self.give_back(worker, done.resident);
                Ok(if task.gone.is_cancelled() { Ended::Gone } else { Ended::Report(done.report) })
            }
            Outcome::Late => Ok(Ended::Died(self.post_mortem(worker, begun, Some(WorkerEnd::Timeout)).await)),
            Outcome::Broken(error) => {
                let mut death = self.post_mortem(worker, begun, None).await;
                if death.detail.is_empty() {
                    death.detail = error.to_string();
                }
                Ok(Ended::Died(death))
            }
        }
    }

    /// Whether workers can be started.
    ///
    /// # Errors
    /// Why the last one could not, in words.
    pub fn check(&self) -> Result<(), String> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.as_ref().map_or(Ok(()), |why| Err(format!("{CANNOT_START}: {why}")))
    }

    /// Lets workers go that nobody needed for a while, and sees that the warm ones are there. To be called now
    /// and then.
    pub async fn tend(self: &Arc<Self>) {
        let retired: Vec<Worker> = {
            let mut idle = self.idle();
            let mut retired = Idle::retire(&mut idle.prompt, self.warm);
            retired.extend(Idle::retire(&mut idle.patient, 0));
            retired
        };
        for worker in retired {
            self.nursery.forget(worker.child);
        }
        self.replenish().await;
    }

    /// Starts workers until the warm ones are there.
    async fn replenish(self: &Arc<Self>) {
        while self.idle().prompt.len() < self.warm {
            match self.birth(Pace::Prompt).await {
                Ok((worker, _)) => self.keep(worker),
                Err(error) => {
                    tracing::error!(%error, "{CANNOT_START}");
                    return;
                }
            }
        }
    }

    async fn birth(&self, pace: Pace) -> io::Result<(Worker, Ready)> {
        let born = self.born(pace).await;
        let trouble = born.as_ref().err().map(ToString::to_string);
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
        born
    }

    async fn born(&self, pace: Pace) -> io::Result<(Worker, Ready)> {
        let born = timeout(BIRTH, self.nursery.start()).await.map_err(|_| slow_birth())??;
        let Newborn { child, socket, stderr } = born;
        socket.set_nonblocking(true)?;
        let stat = File::open(format!("/proc/{}/stat", child.id())).ok();
        let mut worker = Worker {
            child,
            socket: UnixStream::from_std(socket)?,
            progress: progress()?,
            stat,
            stderr,
            scans: 0,
            pace: Pace::Prompt,
            since: Instant::now(),
        };
        if pace == Pace::Patient {
            // Before it has done anything: to start takes longer than most scans.
            worker.slow_down();
        }
        // With what others leave it takes longer.
        let patience = if pace == Pace::Patient { BIRTH.saturating_mul(3) } else { BIRTH };
        match timeout(patience, worker.greet(&self.hello)).await {
            Ok(Ok(ready)) => {
                self.metrics.worker_started();
                Ok((worker, ready))
            }
            met => {
                let error = met.map_or_else(|_| slow_birth(), |met| met.err().unwrap_or_else(slow_birth));
                let status = self.nursery.bury(worker.child).await;
                let words = last_words(worker.stderr);
                let why = if words.is_empty() { format!("{error}, {}", told(status)) } else { words };
                Err(io::Error::other(why))
            }
        }
    }

    /// A worker has done its work: it rests, or is replaced.
    fn give_back(self: &Arc<Self>, mut worker: Worker, resident: u64) {
        worker.scans = worker.scans.saturating_add(1);
        if worker.scans < MAX_SCANS && resident <= MAX_RESIDENT {
            self.keep(worker);
        } else {
            self.metrics.worker_ended(WorkerEnd::Recycled);
            self.nursery.forget(worker.child);
        }
        if self.idle().prompt.len() < self.warm {
            self.replace();
        }
    }

    fn keep(&self, mut worker: Worker) {
        worker.since = Instant::now();
        self.idle().of(worker.pace).push(worker);
        self.tell();
    }

    /// How many there are, for whoever watches.
    fn tell(&self) {
        self.metrics.workers(self.busy.load(Ordering::Relaxed), self.idle().len());
    }

    /// One is gone: so that the next message need not wait for its successor.
    fn replace(self: &Arc<Self>) {
        let workers = Arc::clone(self);
        tokio::spawn(async move { workers.replenish().await });
    }

    /// Kills a worker that does not answer as it should, and says of what it died.
    async fn post_mortem(self: &Arc<Self>, worker: Worker, begun: Instant, cause: Option<WorkerEnd>) -> Death {
        let (used, lasted) = (worker.cpu_time(), begun.elapsed());
        let was_starved = cause == Some(WorkerEnd::Timeout) && used.is_some_and(|used| used < lasted.mul_f32(0.25));
        let mut note = [0; PROGRESS];
        let at = worker.progress.read_exact_at(&mut note, 0).ok().and_then(|()| noted(&note));
        let Worker { child, stderr, .. } = worker;
        let pid = child.id();
        let status = self.nursery.bury(child).await;
        let words = last_words(stderr);
        let cause = cause.unwrap_or_else(|| cause_of(status.as_ref().ok(), &words));
        self.metrics.worker_ended(cause);
        self.replace();
        let detail = if words.is_empty() { told(status) } else { words };
        tracing::warn!(
            worker = pid,
            cause = cause.name(),
            part = at.as_ref().map(|at| at.part.to_string()),
            format = at.as_ref().map(|at| hostile::escape(&at.format).into_owned()),
            lasted_ms = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX),
            detail,
            "a worker died over a message"
        );
        Death { cause, at, detail, was_starved }
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the log says when no worker can be started.
pub const CANNOT_START: &str = "no worker can be started, so that mail with anything to open is deferred; look at \
                                the limits of processes and memory (TasksMax=, MemoryMax=), and at SystemCallFilter=";

/// A worker in use. Whoever stops waiting for it in the middle (a shutdown) leaves it dead.
struct Lent<'a> {
    worker: Option<Worker>,
    workers: &'a Workers,
}

impl<'a> Lent<'a> {
    fn new(worker: Worker, workers: &'a Workers) -> Self {
        workers.busy.fetch_add(1, Ordering::Relaxed);
        workers.tell();
        Self { worker: Some(worker), workers }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.workers.busy.fetch_sub(1, Ordering::Relaxed);
        self.workers.tell();
        if let Some(worker) = self.worker.take() {
            self.workers.nursery.forget(worker.child);
        }
    }
}

enum Outcome {
    Done(Done),
    Late,
    Broken(io::Error),
}

impl Worker {
    async fn greet(&mut self, hello: &Hello) -> io::Result<Ready> {
        let (hello, progress) = (frame(hello, MAX_FRAME)?, self.progress.try_clone()?);
        self.send(&hello, &progress).await?;
        self.read(MAX_FRAME).await
    }

    async fn ask(&mut self, job: &[u8], message: &OwnedFd) -> io::Result<()> {
        // Nothing of the last message may be taken for something of this one.
        self.progress.write_all_at(&[b' '; PROGRESS], 0)?;
        self.send(job, message).await
    }

    async fn send(&mut self, octets: &[u8], fd: &impl AsFd) -> io::Result<()> {
        let send = || send_with(self.socket.as_fd(), octets, fd.as_fd());
        let sent = self.socket.async_io(Interest::WRITABLE, send).await?;
        self.socket.write_all(octets.get(sent..).unwrap_or_default()).await
    }

    /// Waits for the report. The scan is told to stop at `stop_at`, or when the client has gone; then it
    /// has [`STOP_GRACE`] to say what it has seen.
    async fn answer(&mut self, begun: Instant, stop_at: Instant, gone: &CancellationToken) -> Outcome {
        let pid = Pid::from_child(&self.child);
        let is_prompt = self.pace == Pace::Prompt;
        let mut long_at = begun.checked_add(LONG).filter(|long| is_prompt && *long < stop_at);
        let mut kill_at = None;
        let mut is_slow = false;
        let outcome = {
            // Never dropped and begun anew: half a frame would be lost.
            let mut reply = pin!(self.reply());
            loop {
                let next = kill_at.or(long_at).unwrap_or(stop_at);
                let is_to_stop = tokio::select! {
                    biased;
                    done = &mut reply => break done.map_or_else(Outcome::Broken, Outcome::Done),
                    () = gone.cancelled(), if kill_at.is_none() => true,
                    () = sleep_until(next) => kill_at.is_some() || long_at.is_none(),
                };
                if !is_to_stop {
                    long_at = None;
                    // Others' messages go first. Should it fail, nothing is lost but time.
                    is_slow = slow_down(pid).is_ok();
                } else if kill_at.is_none() {
                    kill_at = Instant::now().checked_add(STOP_GRACE);
                    // It cannot be gone: it was not waited for. If it is dead, the signal is nobody's.
                    let _ = kill_process(pid, Signal::USR1);
                } else {
                    break Outcome::Late;
                }
            }
        };
        if is_slow {
            self.pace = Pace::Patient;
        }
        outcome
    }

    /// Makes it patient. Should that fail, nothing is lost but time.
    fn slow_down(&mut self) {
        if slow_down(Pid::from_child(&self.child)).is_ok() {
            self.pace = Pace::Patient;
        }
    }

    async fn reply(&mut self) -> io::Result<Done> {
        let mut done: Done = self.read(MAX_REPORT).await?;
        let sizes = done.enclosures.iter().map(|size| usize::try_from(*size).unwrap_or(usize::MAX));
        let total = sizes.clone().fold(0, usize::saturating_add);
        if total > MAX_ENCLOSED || done.enclosures.len() != done.report.asks.len() {
            return Err(io::Error::other("a report whose enclosures are not as it says"));
        }
        let mut enclosures = Vec::with_capacity(done.enclosures.len());
        for size in sizes {
            let mut octets = vec![0; size];
            self.socket.read_exact(&mut octets).await?;
            enclosures.push(Bytes::from(octets));
        }
        done.report.enclosures = enclosures;
        done.report.told = std::mem::take(&mut done.told);
        done.report.told.retain(|password| is_tellable(password));
        done.report.told.truncate(MAX_TOLD);
        Ok(done)
    }

    async fn read<T: DeserializeOwned>(&mut self, most: usize) -> io::Result<T> {
        let mut head = [0; 4];
        self.socket.read_exact(&mut head).await?;
        let mut body = vec![0; length(head, most)?];
        self.socket.read_exact(&mut body).await?;
        decode(&body)
    }

    /// Processor time of its whole life; `None` if the system does not tell.
    fn cpu_time(&self) -> Option<Duration> {
        let mut stat = [0; 1024];
        let length = self.stat.as_ref()?.read_at(&mut stat, 0).ok()?;
        let stat = String::from_utf8_lossy(stat.get(..length)?);
        // proc_pid_stat(5): the name may hold anything; behind it, utime and stime are the 12th and 13th.
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
        let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let ticks = rustix::param::clock_ticks_per_second().max(1);
        Some(Duration::from_millis(user.saturating_add(system).saturating_mul(1000).checked_div(ticks)?))
    }
}

/// What a worker's end says about its cause.
fn cause_of(status: Option<&ExitStatus>, words: &str) -> WorkerEnd {
    const SIGSYS: i32 = 31;
    const SIGXCPU: i32 = 24;
    if words.contains("memory allocation of") {
        return WorkerEnd::Memory;
    }
    if words.contains("overflowed its stack") {
        return WorkerEnd::Stack;
    }
    match status.and_then(ExitStatus::signal) {
        Some(SIGSYS) => WorkerEnd::Sandbox,
        Some(SIGXCPU) => WorkerEnd::Timeout,
        _ => WorkerEnd::Crash,
    }
}

fn told(status: io::Result<ExitStatus>) -> String {
    status.map_or_else(|error| error.to_string(), |status| status.to_string())
}

/// What a dead worker said last, in one line.
fn last_words(stderr: Option<ChildStderr>) -> String {
    let mut words = Vec::new();
    if let Some(stderr) = stderr {
        // It is dead, so that there is an end to read to.
        let _ = stderr.take(LAST_WORDS as u64).read_to_end(&mut words);
    }
    hostile::escape(String::from_utf8_lossy(&words).trim()).into_owned()
}

fn slow_birth() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "a new worker did not answer in time")
}

/// Where a worker notes what it looks at.
fn progress() -> io::Result<File> {
    let fd = memfd_create("sekisho-progress", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    ftruncate(&fd, PROGRESS as u64)?;
    fcntl_add_seals(&fd, SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(File::from(fd))
}

/// A message as a sealed memfd: nobody can change it any more.
async fn memfd(message: &Arc<Message>) -> io::Result<OwnedFd> {
    if message.is_in_memory() && message.size() <= COPIED_AT_ONCE {
        return sealed(message);
    }
    let message = Arc::clone(message);
    tokio::task::spawn_blocking(move || sealed(&message)).await.map_err(io::Error::other)?
}

fn sealed(message: &Message) -> io::Result<OwnedFd> {
    const PIECE: u64 = 1 << 20;
    let fd = memfd_create("sekisho-message", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = File::from(fd);
    let mut at = 0;
    while at < message.size() {
        let piece = message.read(at..at.saturating_add(PIECE))?;
        file.write_all(&piece)?;
        at = at.saturating_add(piece.len() as u64);
    }
    // The worker reads from the start: the descriptors share their position.
    io::Seek::rewind(&mut file)?;
    seal(&file)?;
    Ok(file.into())
}

/// Nobody can write any more, nor change the size or the seals (memfd_create(2)).
fn seal(file: &File) -> io::Result<()> {
    let rest = SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    // Nobody has mapped it for writing, so this seal is as good as F_SEAL_WRITE. That one waits for whoever in the kernel
    // looks at the pages just now, and gives up with EBUSY; kernels before 5.1 have no other.
    match fcntl_add_seals(file, SealFlags::FUTURE_WRITE | rest) {
        Err(rustix::io::Errno::INVAL) => Ok(fcntl_add_seals(file, SealFlags::WRITE | rest)?),
        sealed => Ok(sealed?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_message_that_was_handed_over_cannot_be_changed_any_more() {
        for octets in [1, 70_000, 3 << 20] {
            let message = Arc::new(Message::from_bytes(vec![b'x'; octets]));
            let file = File::from(memfd(&message).await.unwrap());
            let mut read = Vec::new();
            (&file).read_to_end(&mut read).unwrap();
            assert_eq!(read.len(), octets);
            assert!(file.write_at(b"y", 0).is_err() && file.set_len(0).is_err() && file.set_len(1 << 23).is_err());
            assert!(fcntl_add_seals(&file, SealFlags::WRITE).is_err(), "not even the seals");
        }
    }

    #[tokio::test]
    async fn a_message_on_the_disk_is_handed_over_too() {
        let mut spooled = tempfile::tempfile().unwrap();
        spooled.write_all(&vec![b'x'; 2 << 20]).unwrap();
        let message = Arc::new(Message::from_file(spooled).unwrap());
        let mut read = Vec::new();
        File::from(memfd(&message).await.unwrap()).read_to_end(&mut read).unwrap();
        assert_eq!(read.len(), 2 << 20);
    }

    #[test]
    fn the_end_of_a_worker_tells_its_cause() {
        let ended = |signal| ExitStatus::from_raw(signal);
        for (status, words, cause) in [
            (ended(31), "", WorkerEnd::Sandbox),
            (ended(24), "", WorkerEnd::Timeout),
            (ended(11), "", WorkerEnd::Crash),
            (ended(9), "", WorkerEnd::Crash),
            (ended(6), "memory allocation of 16777216 bytes failed", WorkerEnd::Memory),
            (ended(6), "thread 'main' has overflowed its stack", WorkerEnd::Stack),
            (ended(0), "", WorkerEnd::Crash),
        ] {
            assert_eq!(cause_of(Some(&status), words), cause, "{status} {words}");
        }
    }

    /// A pool whose workers are another program: one that does not speak as a worker.
    async fn started(program: &str, arguments: &[&str]) -> io::Result<Arc<Workers>> {
        let program = Program::other(program, arguments.iter().map(|argument| (*argument).into()));
        Workers::start(program, 1 << 30, 1, Arc::new(Metrics::new())).await
    }

    #[tokio::test]
    async fn a_program_that_is_no_worker_is_an_error_that_says_how_it_ended() {
        let error = started("/bin/false", &[]).await.err().unwrap().to_string();
        assert!(error.contains("exit status: 1"), "{error}");
        let error = started("/bin/sh", &["-c", "echo no thanks >&2; exit 5"]).await.err().unwrap().to_string();
        assert_eq!(error, "no thanks");
        let error = started("/nonexistent/program", &[]).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        // It says something, and that is too long to be read.
        let error =
            started("/bin/sh", &["-c", "exec 3<&0; head -c 100 /dev/zero | tr '\\0' '\\377' >&3"]).await.err().unwrap();
        // Or it ended before anybody said something to it.
        let expected = ["are the most", "signal", "exit status: 0"];
        assert!(expected.iter().any(|said| error.to_string().contains(said)), "{error}");
    }
}
