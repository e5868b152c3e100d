//! What daemon and worker say to each other, over a Unix stream socket: frames of a length (four octets,
//! big-endian) and JSON. Descriptors go along with the first octets of a frame.
//!
//! ```text
//! daemon                         worker
//! Hello + memfd for progress ─▶
//!                             ◀─ Ready
//! Job + memfd of the message ─▶
//!                             ◀─ Done, then the octets of each enclosure
//! ```
//!
//! The worker's side is read as what it may have become: an enemy. Every length is bounded before
//! anything is read, and a report that is not one is the worker's death.

use std::io::{self, IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::finding::{self, Finding};
use crate::knowledge::Knowledge;
use crate::limits::Limits;
use crate::part::PartPath;
use crate::scan::{Place, Report};

/// Octets of a report at most. 256 KiB: what is said about an ordinary message has 5; beyond it, the strongest
/// findings are kept.
pub const MAX_REPORT: usize = 256 * 1024;
/// Octets of any other frame. 2 MiB: sixteen answers of 64 KiB, in JSON.
pub const MAX_FRAME: usize = 2 << 20;
/// Octets of what a worker notes of where it is.
pub const PROGRESS: usize = 512;

/// The first thing that a worker hears.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Octets of address space it may have.
    pub memory: u64,
    /// Seconds of processor time it may use in its life.
    pub cpu: u64,
}

/// The worker stands behind its wall.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// What the wall consists of.
    pub wall: String,
    /// What is missing from it, and what to do.
    pub warning: Option<String>,
}

/// Something to scan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Octets in the memfd.
    pub size: u64,
    /// The limits of this scan.
    pub limits: Limits,
    /// What is known besides.
    pub knowledge: Knowledge,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// What was seen.
    pub report: Report,
    /// Octets of memory that the worker occupies now, if it knows.
    pub resident: u64,
    /// The sizes of the enclosures, which follow.
    pub enclosures: Vec<u32>,
    /// The passwords that the mail tells.
    #[serde(default)]
    pub told: Vec<String>,
}

/// A place as a worker notes it: always [`PROGRESS`] octets, filled up with spaces. `None` if it is too long.
pub fn note(place: &Place) -> Option<[u8; PROGRESS]> {
    let mut note = [b' '; PROGRESS];
    let json = serde_json::to_vec(place).ok()?;
    note.get_mut(..json.len())?.copy_from_slice(&json);
    Some(note)
}

/// The place that was noted; `None` if none was, or nothing that makes sense.
pub fn noted(note: &[u8; PROGRESS]) -> Option<Place> {
    serde_json::from_slice(note).ok()
}

/// A frame of `value`.
///
/// # Errors
/// It is larger than `most`.
pub fn frame(value: &impl Serialize, most: usize) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, value)?;
    let length = frame.len().saturating_sub(4);
    let told = u32::try_from(length).ok().filter(|_| length <= most).ok_or_else(|| too_large(length, most))?;
    if let Some(head) = frame.get_mut(..4) {
        head.copy_from_slice(&told.to_be_bytes());
    }
    Ok(frame)
}

/// The length that the head of a frame tells.
///
/// # Errors
/// It is more than `most`.
pub fn length(head: [u8; 4], most: usize) -> io::Result<usize> {
    let length = usize::try_from(u32::from_be_bytes(head)).unwrap_or(usize::MAX);
    if length > most { Err(too_large(length, most)) } else { Ok(length) }
}

/// What a frame says.
///
/// # Errors
/// It is not what was expected.
pub fn decode<T: DeserializeOwned>(frame: &[u8]) -> io::Result<T> {
    serde_json::from_slice(frame).map_err(io::Error::other)
}

fn too_large(length: usize, most: usize) -> io::Error {
    io::Error::other(format!("a frame of {length} octets, and {most} are the most"))
}

/// Sends octets with a descriptor, as many octets as the socket takes at once.
///
/// # Errors
/// Those of sendmsg(2). The peer's end is an error, and not a signal.
pub fn send_with(socket: BorrowedFd<'_>, octets: &[u8], fd: BorrowedFd<'_>) -> io::Result<usize> {
    let fds = [fd];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    Ok(sendmsg(socket, &[IoSlice::new(octets)], &mut control, flags)?)
}

/// Receives a frame and the descriptor that came with it, on a blocking socket. `None` at the end.
///
/// # Errors
/// Those of the socket, a frame above [`MAX_FRAME`], no descriptor.
pub fn receive_with(mut socket: impl AsFd + Read) -> io::Result<Option<(Vec<u8>, OwnedFd)>> {
    let mut head = [0; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = loop {
        match recvmsg(&socket, &mut [IoSliceMut::new(&mut head)], &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            got => break got?.bytes,
        }
    };
    if got == 0 {
        return Ok(None);
    }
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    socket.read_exact(head.get_mut(got..).unwrap_or_default())?;
    let mut body = vec![0; length(head, MAX_FRAME)?];
    socket.read_exact(&mut body)?;
    fd.map(|fd| Some((body, fd))).ok_or_else(|| io::Error::other("a frame without its descriptor"))
}

/// The frame of a report: as it is, or reduced to what fits, the strongest findings first. What is left
/// out is said.
pub fn report_frame(done: &mut Done) -> io::Result<Vec<u8>> {
    if let Ok(frame) = frame(done, MAX_REPORT) {
        return Ok(frame);
    }
    reduce(&mut done.report);
    done.enclosures.clear();
    frame(done, MAX_REPORT)
}

/// Cuts a report down to what fits into a frame with certainty.
fn reduce(report: &mut Report) {
    let told = Finding {
        id: finding::LIMIT_EXCEEDED,
        part: PartPath::root(),
        location: String::new(),
        evidence: "more findings and parts than a report has room for".to_owned(),
    };
    // Half of the room for findings, a quarter for parts; what is left is for the rest.
    report.findings.sort_by_key(|finding| std::cmp::Reverse(finding.id.severity));
    keep(&mut report.findings, MAX_REPORT / 2);
    report.findings.insert(0, told);
    let spoken_of: std::collections::HashSet<PartPath> =
        report.findings.iter().map(|finding| finding.part.clone()).collect();
    report.parts.sort_by_key(|part| !spoken_of.contains(&part.path));
    keep(&mut report.parts, MAX_REPORT / 4);
    report.parts.sort_by(|a, b| a.path.cmp(&b.path));
    keep(&mut report.indicators, MAX_REPORT / 8);
    report.enclosures.clear();
    report.asks.clear();
}

/// As many of the first as have so many octets together.
fn keep<T: Serialize>(list: &mut Vec<T>, octets: usize) {
    let mut used = 0_usize;
    let fitting = list.iter().take_while(|item| {
        let size = serde_json::to_vec(item).map_or(usize::MAX, |json| json.len());
        used = used.saturating_add(size).saturating_add(1);
        used <= octets
    });
    let fitting = fitting.count();
    list.truncate(fitting);
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::scan::{Ask, Input, fault};

    #[test]
    fn a_frame_and_its_descriptor_arrive_together() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"x").unwrap();
        let hello = Hello { memory: 1, cpu: 2 };
        let octets = frame(&hello, MAX_FRAME).unwrap();
        let sent = send_with(ours.as_fd(), &octets[..3], file.as_fd()).unwrap();
        assert_eq!(sent, 3);
        (&ours).write_all(&octets[3..]).unwrap();
        drop(ours);
        let (body, _fd) = receive_with(&theirs).unwrap().unwrap();
        assert_eq!(decode::<Hello>(&body).unwrap(), hello);
        assert!(receive_with(&theirs).unwrap().is_none());
    }

    #[test]
    fn a_frame_without_a_descriptor_or_above_the_limit_is_refused() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (&ours).write_all(&[0, 0, 0, 0]).unwrap();
        assert!(receive_with(&theirs).is_err());
        assert!(length([0, 0, 1, 0], 256).is_ok());
        assert!(length([0, 0, 1, 1], 256).is_err());
        assert!(length([255; 4], MAX_FRAME).is_err());
        assert!(frame(&"x".repeat(98), 100).is_ok());
        assert!(frame(&"x".repeat(99), 100).is_err());
    }

    #[test]
    fn a_place_is_read_back_and_nonsense_is_not() {
        let place =
            Place { part: PartPath::root().child(2), name: "請求書.doc".to_owned(), format: "cfb".to_owned() };
        assert_eq!(noted(&note(&place).unwrap()), Some(place));
        assert_eq!(noted(&[b' '; PROGRESS]), None);
        assert_eq!(noted(&[0; PROGRESS]), None);
        let long = Place { name: "x".repeat(PROGRESS), ..Place::default() };
        assert_eq!(note(&long), None);
    }

    #[test]
    fn a_report_that_is_too_large_keeps_its_strongest_findings() {
        let mut report = fault(Input::message("x"), "why", None);
        report.findings.clear();
        for n in 0..5000 {
            let id = if n == 4999 { finding::VBA_AUTOEXEC } else { finding::LIMIT_EXCEEDED };
            let finding =
                Finding { id, part: PartPath::root().child(n), location: String::new(), evidence: "e".repeat(100) };
            report.findings.push(finding);
        }
        report.asks.push(Ask::ReadPicture { part: PartPath::root(), sha256: String::new(), print: None });
        let mut done = Done { report, resident: 0, enclosures: Vec::new(), told: Vec::new() };
        let frame = report_frame(&mut done).unwrap();
        assert!(frame.len() <= MAX_REPORT + 4);
        let read: Done = decode(&frame[4..]).unwrap();
        assert_eq!(read.report.findings[0].id, finding::LIMIT_EXCEEDED);
        assert_eq!(read.report.findings[1].id, finding::VBA_AUTOEXEC);
        assert!(read.report.findings.len() > 500, "{}", read.report.findings.len());
        assert!(read.report.asks.is_empty());
    }
}
