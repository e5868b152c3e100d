//! Targets: the milter's frames, and its session in any segmentation.

use bytes::{Bytes, BytesMut};
use sekisho::envelope::{Octets, Path};
use sekisho::milter::codec::{self, Agreed, Command, Frame, Modification, Offer, Response};
use sekisho::milter::session::{Answer, Session, SessionLimits, Step};
use sekisho::smtp::reply::Reply;
use sekisho::smtp::session::{RefusalCause, SessionEnd};

use super::{segments, with_tail};

/// Frames in, and frames of ours made of the same octets.
pub fn milter_codec(data: &[u8]) {
    let mut rest = data;
    while let Ok(Some(Frame { command, data, length })) = codec::frame(rest) {
        let (whole, behind) = rest.split_at(length);
        let mut again = BytesMut::new();
        codec::write_frame(&mut again, command, &[data]);
        assert_eq!(again, whole, "another frame");
        // Half of it is no frame yet, and no mistake.
        assert_eq!(codec::frame(&whole[..length / 2]), Ok(None));
        match codec::parse(command, data) {
            Ok(Command::Negotiate(offer)) => {
                negotiated(offer);
            }
            Ok(Command::Macros(_, strings) | Command::Mail(_, strings) | Command::Recipient(_, strings)) => {
                assert!(strings.map(|string| string.len() + 1).sum::<usize>() <= data.len());
            }
            Ok(Command::Header(name, value)) => {
                assert!(!name.contains(&0) && !value.contains(&0) && !name.contains(&b'\n'));
            }
            Ok(_) | Err(_) => {}
        }
        rest = behind;
    }
    let (head, value) = data.split_at(data.len().min(12));
    let number = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|n| head.get(at + n).copied().unwrap_or(0xff)));
    let offer = Offer { version: number(0), actions: number(4), protocol: number(8) };
    let Some(agreed) = negotiated(offer) else { return };
    let text = String::from_utf8_lossy(value).into_owned();
    let path = Path { path: Octets::from(value), parameters: Octets::from(value.get(4..).unwrap_or_default()) };
    let (name, value) = ("X-Name".to_owned(), value.to_vec());
    // How many NULs each has in front of its end, and octets that are no text.
    let modifications = [
        (Modification::AddHeader { name: name.clone(), value: value.clone() }, 2, 0),
        (Modification::InsertHeader { index: 1, name: name.clone(), value: value.clone() }, 2, 4),
        (Modification::ChangeHeader { index: 1, name, value: value.clone() }, 2, 4),
        (Modification::AddHeader { name: text.clone(), value }, 2, 0),
        (Modification::AddRecipient(Path { parameters: Octets::default(), ..path.clone() }), 1, 0),
        (Modification::AddRecipient(path.clone()), 1 + usize::from(!path.parameters.0.is_empty()), 0),
        (Modification::DeleteRecipient(path), 1, 0),
        (Modification::Quarantine(text.clone()), 1, 0),
    ];
    for (modification, nuls, skipped) in modifications {
        let mut out = BytesMut::new();
        if modification.write(agreed, &mut out).is_err() {
            assert!(out.is_empty(), "half a frame of what cannot be sent");
            continue;
        }
        let frame = codec::frame(&out).expect("a frame of ours").expect("is whole");
        assert_eq!(frame.length, out.len());
        let text = &frame.data[skipped..];
        assert_eq!(text.iter().filter(|octet| **octet == 0).count(), nuls, "{modification:?}");
        assert_eq!(text.last(), Some(&0));
        // No line of ours can begin a field.
        let lines = text.split(|octet| *octet == b'\n').skip(1);
        assert!(lines.into_iter().all(|line| matches!(line.first(), Some(b' ' | b'\t'))), "{modification:?}");
    }
    let mut out = BytesMut::new();
    let reply = Reply::new(450, &text);
    Response::Reply(reply).write(&mut out).expect("a refusal can be sent");
    let frame = codec::frame(&out).expect("a frame of ours").expect("is whole");
    assert!(frame.command == b'y' && frame.data.starts_with(b"450") && frame.data.ends_with(b"\0"));
}

fn negotiated(offer: Offer) -> Option<Agreed> {
    let agreed = Agreed::from_offer(offer)?;
    assert!(agreed.version <= offer.version);
    assert!(offer.actions == 0 || agreed.actions & !offer.actions == 0, "an action that was not offered");
    assert!(offer.protocol == 0 || agreed.protocol & !offer.protocol == 0, "a step that was not offered");
    Some(agreed)
}

/// What came of a session: everything but how it was cut.
#[derive(Debug, PartialEq)]
struct Course {
    events: Vec<Step>,
    output: Vec<u8>,
    idle: bool,
}

/// A session's octets at once and in segments give the same events, the same replies.
pub fn milter_session(data: &[u8]) {
    let (input, tail) = with_tail(data);
    let whole = drive(&[input], tail);
    let cut = drive(&segments(input, tail), tail);
    assert_eq!(whole, cut, "the segmentation matters");
    let octets: Vec<&[u8]> = input.chunks(1).collect();
    if (1..2000).contains(&input.len()) {
        assert_eq!(whole, drive(&octets, tail), "the segmentation matters");
    }
    // All of ours are frames.
    let mut rest = whole.output.as_slice();
    while !rest.is_empty() {
        let frame = codec::frame(rest).expect("a frame of ours").expect("is whole");
        rest = &rest[frame.length..];
    }
}

fn drive(segments: &[&[u8]], answers: &[u8]) -> Course {
    let limits = SessionLimits { max_message_size: 3000, max_recipients: 4 };
    let mut session = Session::new("filter.example".to_owned(), limits);
    let mut answers = answers.iter().copied().cycle();
    let mut course = Course { events: Vec::new(), output: Vec::new(), idle: true };
    let mut content: Vec<u8> = Vec::new();
    for segment in segments {
        session.input().extend_from_slice(segment);
        let mut steps = 0;
        loop {
            steps += 1;
            assert!(steps < 100_000, "a session that never reads");
            match session.step() {
                Step::Read => break,
                // Depends on what had come when the answer was given, by its meaning.
                Step::Flush | Step::Confirmed => {}
                Step::Content(piece) => {
                    content.extend(piece);
                    if answers.next() == Some(13) {
                        session.spool_failed();
                        content.clear();
                    }
                }
                Step::Forget => content.clear(),
                Step::Close(end) => {
                    course.events.push(Step::Close(end));
                    course.output.extend_from_slice(session.output());
                    return course;
                }
                Step::Refused(envelope, refusal) => {
                    content.clear();
                    course.events.push(Step::Refused(envelope, refusal));
                }
                Step::Complete(complete) => {
                    assert_eq!(content.len() as u64, complete.prefix + complete.size, "content that is not told");
                    let mut end = complete.prefix;
                    for field in &complete.fields {
                        let value = field.value.clone();
                        assert!(end < value.start && value.start <= value.end, "{field:?}");
                        let stands = &content[end as usize..value.start as usize];
                        assert!(stands.starts_with(&field.name.0), "{field:?}");
                        end = value.end + 2;
                        assert_eq!(&content[value.end as usize..end as usize], b"\r\n", "{field:?}");
                    }
                    course.events.push(Step::Content(std::mem::take(&mut content)));
                    session.progress();
                    answer(&mut session, answers.next().unwrap_or_default(), &complete.fields);
                    course.events.push(Step::Complete(complete));
                }
            }
        }
    }
    course.idle = session.is_idle();
    session.cut(SessionEnd::Timeout);
    assert_eq!(session.step(), Step::Close(SessionEnd::Timeout));
    course.output.extend_from_slice(session.output());
    course
}

fn answer(session: &mut Session, choice: u8, fields: &[sekisho::milter::session::Field]) {
    let path = || Path::new("<a@example.org>");
    let mut answer = Answer::only(match choice % 8 {
        0 => Response::Accept,
        1 => Response::Reject,
        2 => Response::Tempfail,
        3 => Response::Discard,
        4 => Response::Reply(Reply::new(550, "5.7.1 no\n5.7.1 not 100 %")),
        5 => return session.refused(RefusalCause::NoRoom),
        6 => Response::Reply(Reply::new(250, "2.0.0 cannot be sent")),
        _ => Response::Continue,
    });
    if choice & 8 != 0 {
        answer.prepend([("X-Sekisho-Verdict".to_owned(), b" clean".to_vec())].into_iter());
        answer.delete(fields, |name| name.len() % 2 == 0);
    }
    if choice & 16 != 0 {
        answer.changes.push(Modification::ReplaceBody(Bytes::from(vec![b'x'; usize::from(choice) * 3000])));
    }
    if choice & 32 != 0 {
        answer.changes.extend([Modification::AddRecipient(path()), Modification::DeleteRecipient(path())]);
    }
    if choice & 64 != 0 {
        answer.changes.push(Modification::Quarantine("held".to_owned()));
    }
    let _ = session.answered(answer);
}
