//! Target: what the daemon reads from a worker, which may be an enemy, and what it then makes of it.

use bytes::Bytes;
use sekisho::message::Message;
use sekisho::scan::Report;
use sekisho::strip::{self, Languages, Notice};
use sekisho::verdict;
use sekisho::worker::protocol::{
    Done, Hello, Job, MAX_REPORT, PROGRESS, Ready, decode, length, note, noted, report_frame,
};

/// The message that the report claims to be about.
const MESSAGE: &[u8] = b"From: a@example.org\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
    --b\r\n\r\nhello\r\n--b\r\nContent-Type: application/msword; name=\"a.doc\"\r\n\r\nxxxx\r\n--b--\r\n";

/// Frames as a worker sends them: a head, a report, a note of where it is.
pub fn worker(data: &[u8]) {
    if let Some(head) = data.first_chunk::<4>()
        && let Ok(told) = length(*head, MAX_REPORT)
    {
        assert!(told <= MAX_REPORT);
    }
    if let Some(place) = data.first_chunk::<PROGRESS>().and_then(noted) {
        // With more escapes than it came with, it may be too long.
        if let Some(again) = note(&place) {
            assert_eq!(noted(&again), Some(place), "another place");
        }
    }
    let _ = (decode::<Hello>(data), decode::<Ready>(data), decode::<Job>(data));
    let Ok(mut done) = decode::<Done>(data) else { return };
    judge(&done.report);
    let frame = report_frame(&mut done).expect("every report can be made to fit");
    assert!(frame.len() <= MAX_REPORT + 4);
    assert_eq!(decode::<Done>(&frame[4..]).expect("our own frame").report, done.report);
}

/// Whatever a report says, judging it and stripping by it stay within the message.
fn judge(report: &Report) {
    let verdict = verdict::judge(report);
    assert!(!verdict.explanation.en.is_empty() && !verdict.explanation.ja.is_empty());
    let message = Message::from_bytes(Bytes::from_static(MESSAGE));
    let raw = message.bytes().expect("it is in memory");
    let offending = strip::offending(report);
    let notice = Notice { id: "x", languages: Languages::Both };
    if let Ok(stripped) = strip::strip(&raw, report, &offending, &notice) {
        assert!(stripped.apply(&raw).starts_with(b"From: a@example.org\r\n"));
    }
}
