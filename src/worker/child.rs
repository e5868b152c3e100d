//! The worker's side: raise the wall, then scan what is handed in until the daemon hangs up.
//!
//! One thread, no runtime. SIGUSR1 asks a scan to stop; the daemon sends it when time is up.

use std::fs::File;
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;

use crate::formats::Format;
use crate::knowledge::Knowledge;
use crate::limits::Limits;
use crate::part::Part;
use crate::scan::{Input, Place, Run, Stop, scan_as};
use crate::worker::protocol::{Done, Hello, Job, MAX_FRAME, Ready, decode, frame, note, receive_with, report_frame};
use crate::worker::wall::{self, WallLimits};

/// Characters of a part's name that are noted: with the longest path, a note has room for them
/// however they are escaped.
const NOTED_NAME: usize = 40;
/// Octets of the largest block whose memory is kept for the next scan; of all that is free, twice as much is kept. 4 MiB:
/// ordinary messages need one or two.
const KEPT_BLOCK: usize = 4 << 20;

/// Works until the daemon hangs up. Standard input is the socket.
pub fn run(formats: &[Format]) -> ExitCode {
    match work(formats) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The daemon reads it, and logs it.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn work(formats: &[Format]) -> io::Result<()> {
    // Should the daemon be killed in the middle of a scan that never ends.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let Some((hello, progress)) = receive_with(&socket)? else { return Ok(()) };
    let hello: Hello = decode(&hello)?;
    let progress = File::from(progress);
    // A panic is caught and reported by the scan; its message would be a sender's words.
    std::panic::set_hook(Box::new(|_| {}));
    let stopped = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGUSR1, Arc::clone(&stopped))?;
    let stop = Stop::from(stopped);
    let memory = Memory::open();
    let keep =
        [Some(socket.as_raw_fd()), Some(progress.as_raw_fd()), memory.descriptor()].into_iter().flatten().collect();
    let limits = WallLimits { memory: hello.memory, cpu_seconds: hello.cpu, keep };
    warm_up(formats);
    let wall = wall::raise(&limits).map_err(io::Error::other)?;
    let ready = Ready { wall: wall.to_string(), warning: wall.warning() };
    socket.write_all(&frame(&ready, MAX_FRAME)?)?;
    while let Some((job, message)) = receive_with(&socket)? {
        stop.clear();
        let job: Job = decode(&job)?;
        let message = read(message, job.size)?;
        let tell = |part: &Part, format: &'static str| tell(&progress, part, format);
        let run = Run { formats, stop: &stop, watch: &tell };
        let mut report = scan_as(&run, Input::message(message), &job.limits, &job.knowledge);
        let enclosures = std::mem::take(&mut report.enclosures);
        let told = std::mem::take(&mut report.told);
        let mut done = Done { report, resident: memory.resident(), enclosures: sizes(&enclosures), told };
        let frame = report_frame(&mut done)?;
        // Whoever reduces the report drops its asks.
        let enclosures = if done.report.asks.is_empty() { Vec::new() } else { enclosures };
        socket.write_all(&frame)?;
        for enclosure in enclosures {
            socket.write_all(&enclosure)?;
        }
    }
    Ok(())
}

/// Makes what every scan needs and is made once, before the first message waits for it.
fn warm_up(formats: &[Format]) {
    // A block that was never touched, given back: from then on the allocator of glibc serves blocks up to this size from
    // memory that it keeps, instead of asking the system for each and giving each back (M_MMAP_THRESHOLD and
    // M_TRIM_THRESHOLD of mallopt(3) are dynamic). Each new page is a fault, and a scan touches hundreds.
    drop(black_box(Vec::<u8>::with_capacity(KEPT_BLOCK)));
    const LETTER: &str = "Subject: x\r\nContent-Type: text/html\r\n\r\n<p>Please enable content.</p>\r\n";
    let run = Run { formats, stop: &Stop::default(), watch: &|_, _| {} };
    scan_as(&run, Input::message(LETTER), &Limits::default(), &Knowledge::default());
}

fn sizes(enclosures: &[Bytes]) -> Vec<u32> {
    enclosures.iter().map(|octets| u32::try_from(octets.len()).unwrap_or(u32::MAX)).collect()
}

/// The octets of a message. The memfd is sealed: they do not change while they are read.
fn read(message: OwnedFd, size: u64) -> io::Result<Bytes> {
    let mut octets = Vec::with_capacity(usize::try_from(size).map_err(io::Error::other)?);
    File::from(message).take(size).read_to_end(&mut octets)?;
    if octets.len() as u64 != size {
        return Err(io::Error::other("the message is shorter than was told"));
    }
    Ok(octets.into())
}

/// Notes where the scan is, for whoever has to say why this process died.
fn tell(progress: &File, part: &Part, format: &str) {
    let name = part.names.first().map(|name| name.text.chars().take(NOTED_NAME).collect()).unwrap_or_default();
    if let Some(note) = note(&Place { part: part.path.clone(), name, format: format.to_owned() }) {
        // What cannot be noted is missing from a log line.
        let _ = progress.write_all_at(&note, 0);
    }
}

/// How much memory this process occupies, asked behind the wall of a file that was opened before.
struct Memory(Option<File>);

impl Memory {
    fn open() -> Self {
        Self(File::open("/proc/self/statm").ok())
    }

    fn descriptor(&self) -> Option<RawFd> {
        self.0.as_ref().map(|file| file.as_raw_fd())
    }

    /// Octets; 0 if it cannot be known.
    fn resident(&self) -> u64 {
        let mut text = [0; 128];
        let read = self.0.as_ref().and_then(|file| file.read_at(&mut text, 0).ok()).unwrap_or_default();
        let text = text.get(..read).map(String::from_utf8_lossy).unwrap_or_default();
        let pages: u64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or_default();
        pages.saturating_mul(rustix::param::page_size() as u64)
    }
}
