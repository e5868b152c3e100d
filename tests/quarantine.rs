//! The quarantine as its users meet it: through its folder, with real processes, killed at bad moments.

mod next_hop;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use sekisho::cli::quarantine::{self as cli, Console};
use sekisho::envelope::{Envelope, Path as MailPath};
use sekisho::finding::{Finding, VBA_AUTOEXEC};
use sekisho::hostile::is_hostile;
use sekisho::message::Message;
use sekisho::part::PartPath;
use sekisho::policy::facts::{Direction, FACTS_VERSION, Facts};
use sekisho::store::{
    Delivery, Explanation, Failure, Listed, NewEntry, Quarantine, QuarantineId, ReleaseError, ReleaseRequest, Released,
    Repeat, State, StoreError,
};
use sekisho::verdict::Level;

use next_hop::{Client, KillAt, NextHop};

const DAY: Duration = Duration::from_secs(86_400);
const KEEP: Duration = Duration::from_secs(30 * 86_400);
const ROOM: u64 = 1 << 30;

fn open(folder: &Path) -> Quarantine {
    Quarantine::open(folder, KEEP, ROOM).unwrap()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn new_entry() -> NewEntry {
    NewEntry {
        id: QuarantineId::new(Timestamp::now()),
        received_at: Timestamp::now(),
        envelope: Envelope {
            queue_id: Some("4gXk2p0Z".to_owned()),
            sender: MailPath { path: "<a@example.com>".into(), parameters: "BODY=8BITMIME".into() },
            recipients: ["<b@example.jp>", "<c@example.jp>", "<d@example.jp>"].map(MailPath::new).to_vec(),
            ..Envelope::default()
        },
        held: ["<b@example.jp>", "<c@example.jp>"].map(MailPath::new).to_vec(),
        facts: Facts {
            version: FACTS_VERSION,
            client: "192.0.2.1".parse().ok(),
            sender: MailPath::new("<a@example.com>"),
            direction: Direction::Inbound,
            size: 0,
            verdict: Level::Malicious,
            complete: false,
            reasons: Vec::new(),
            findings: vec![Finding {
                id: VBA_AUTOEXEC,
                part: PartPath::root().child(2),
                location: "ThisDocument:4".to_owned(),
                evidence: "AutoOpen".to_owned(),
            }],
            parts: Vec::new(),
        },
        rule: "macros-from-outside".to_owned(),
        line: Some(71),
        explanation: Explanation {
            en: "It runs by itself.".to_owned(), ja: "自動的に実行されます。".to_owned()
        },
        message_id: Some("<1@example.com>".to_owned()),
        subject: Some("An invoice".to_owned()),
        from: Some("A <a@example.com>".to_owned()),
        listener: "127.0.0.1:10025".to_owned(),
        mode: "before-queue".to_owned(),
        in_mta: false,
        next_hop: "127.0.0.1:10026".to_owned(),
    }
}

/// Every octet there is, dots at line starts, and lines as SMTP wants them.
fn octets() -> Vec<u8> {
    let mut octets = b"Subject: x\r\nDKIM-Signature: untouched\r\n\r\n.\r\n..\r\n.dot\r\n".to_vec();
    octets.extend((0..=255u8).filter(|octet| !b"\r\n".contains(octet)));
    octets.extend(b"\r\n");
    octets
}

fn message() -> Message {
    Message::from_bytes(octets())
}

fn put(quarantine: &Quarantine, state: State) -> QuarantineId {
    quarantine.put(new_entry(), &message(), state).unwrap()
}

fn put_size(quarantine: &Quarantine, size: usize) -> Result<QuarantineId, StoreError> {
    quarantine.put(new_entry(), &Message::from_bytes(vec![b'x'; size]), State::Held)
}

fn state(quarantine: &Quarantine, id: QuarantineId) -> State {
    quarantine.entry(id).unwrap().state
}

fn ids(quarantine: &Quarantine) -> Vec<QuarantineId> {
    quarantine.list(None).unwrap().iter().map(Listed::id).collect()
}

fn request(repeat: Repeat) -> ReleaseRequest {
    ReleaseRequest { next_hop: "127.0.0.1:10026".to_owned(), by: "uid 0 (root)".to_owned(), repeat }
}

fn file(folder: &Path, id: QuarantineId, suffix: &str) -> PathBuf {
    folder.join(format!("{id}.{suffix}"))
}

fn make_old(path: &Path) {
    File::options().append(true).open(path).unwrap().set_modified(SystemTime::now() - 2 * DAY).unwrap();
}

fn days_from_now(days: i64) -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second() + days * 86_400).unwrap()
}

// What is stored, and the life of a message.

#[test]
fn what_is_put_comes_back_as_it_was() {
    let folder = folder();
    let quarantine = open(folder.path());
    let new = new_entry();
    let id = quarantine.put(new.clone(), &message(), State::Held).unwrap();
    for quarantine in [&quarantine, &open(folder.path())] {
        let entry = quarantine.entry(id).unwrap();
        assert_eq!(entry.id, new.id);
        assert_eq!((entry.state, entry.verdict, entry.complete), (State::Held, Level::Malicious, false));
        assert_eq!((&entry.envelope, &entry.held), (&new.envelope, &new.held));
        assert_eq!(entry.facts().unwrap(), new.facts);
        assert_eq!(&quarantine.content(id).unwrap().bytes().unwrap()[..], octets());
        assert_eq!(entry.size, octets().len() as u64);
    }
    let mut files: Vec<String> =
        fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    files.retain(|name| !name.starts_with("index.sqlite"));
    files.sort();
    assert_eq!(files, [format!("{id}.eml"), format!("{id}.json")]);
}

#[test]
fn nobody_else_can_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let parent = folder();
    let folder = parent.path().join("a/quarantine");
    put(&open(&folder), State::Held);
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    for file in fs::read_dir(&folder).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
}

#[test]
fn empty_and_large_messages_are_held_too() {
    let folder = folder();
    let quarantine = open(folder.path());
    for size in [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5 << 20] {
        let id = put_size(&quarantine, size).unwrap();
        assert_eq!(quarantine.content(id).unwrap().bytes().unwrap().len(), size);
    }
}

#[test]
fn one_id_for_two_messages_does_not_lose_the_first() {
    let folder = folder();
    let quarantine = open(folder.path());
    let new = new_entry();
    let id = quarantine.put(new.clone(), &message(), State::Held).unwrap();
    assert!(quarantine.put(new, &Message::from_bytes("other"), State::Held).is_err());
    assert_eq!(&quarantine.content(id).unwrap().bytes().unwrap()[..], octets());
}

#[test]
fn a_pending_message_is_held_or_gone() {
    let folder = folder();
    let quarantine = open(folder.path());
    let (kept, gone) = (put(&quarantine, State::Pending), put(&quarantine, State::Pending));
    assert_eq!(state(&quarantine, kept), State::Pending);
    quarantine.note(kept, "the next hop refused the other recipients: 550 no").unwrap();
    assert_eq!(state(&quarantine, kept), State::Pending);
    quarantine.commit(kept).unwrap();
    quarantine.commit(kept).unwrap();
    quarantine.remove_pending(gone).unwrap();
    assert_eq!(state(&quarantine, kept), State::Held);
    assert_eq!(quarantine.entry(kept).unwrap().notes.len(), 1);
    assert!(matches!(quarantine.entry(gone), Err(StoreError::NotFound(_))));
    assert!(!file(folder.path(), gone, "eml").exists());
    assert!(matches!(quarantine.remove_pending(kept), Err(StoreError::State { state: State::Held, .. })));
    assert_eq!(ids(&quarantine), [kept]);
}

#[test]
fn a_message_that_cannot_be_marked_as_held_counts_as_held_at_once() {
    let folder = folder();
    let quarantine = open(folder.path());
    let id = put(&quarantine, State::Pending);
    let in_the_way = folder.path().join(format!("{id}.json.new"));
    fs::create_dir(&in_the_way).unwrap();
    quarantine.commit(id).unwrap_err();
    fs::remove_dir(&in_the_way).unwrap();
    assert_eq!(quarantine.maintain(Timestamp::now()).unwrap().recovered, 1, "nobody works on it any more");
    assert_eq!(quarantine.entry(id).unwrap().state, State::Held);
}

#[test]
fn a_message_that_came_too_late_is_taken_back() {
    let folder = folder();
    let quarantine = open(folder.path());
    for state in [State::Pending, State::Held] {
        let id = put(&quarantine, state);
        quarantine.withdraw(id).unwrap();
        assert!(matches!(quarantine.entry(id), Err(StoreError::NotFound(_))));
        assert!(!folder.path().join(format!("{id}.eml")).exists());
    }
}

#[test]
fn a_pending_message_of_a_living_process_is_left_alone() {
    let folder = folder();
    let daemon = open(folder.path());
    let id = put(&daemon, State::Pending);
    let other = open(folder.path());
    assert_eq!(other.recover().unwrap().pending, []);
    assert_eq!(other.maintain(days_from_now(100)).unwrap().expired, 0);
    let mut client = Never;
    let busy = other.release(id, &request(Repeat::Never), &mut client);
    assert!(matches!(busy, Err(ReleaseError::Store(StoreError::Busy(_)))), "{busy:?}");
    assert!(matches!(other.delete(id, "me"), Err(StoreError::Busy(_))));
    drop(daemon); // As in a crash: the lock goes, the entry stays.
    assert_eq!(state(&other, id), State::Pending);
    assert_eq!(other.recover().unwrap().pending, [id]);
    assert_eq!(state(&other, id), State::Held);
}

#[test]
fn a_pending_message_that_its_task_forgot_is_held_in_the_end() {
    let folder = folder();
    let quarantine = open(folder.path());
    let id = put(&quarantine, State::Pending);
    assert_eq!(quarantine.maintain(Timestamp::now()).unwrap().recovered, 0);
    assert_eq!(quarantine.maintain(days_from_now(1)).unwrap().recovered, 1);
    assert_eq!(state(&quarantine, id), State::Held);
}

#[test]
fn deleting_removes_the_content_and_leaves_a_trace() {
    let folder = folder();
    let quarantine = open(folder.path());
    let id = put(&quarantine, State::Held);
    quarantine.delete(id, "uid 0 (root)").unwrap();
    quarantine.delete(id, "uid 0 (root)").unwrap();
    assert_eq!(state(&quarantine, id), State::Deleted);
    assert!(matches!(quarantine.content(id), Err(StoreError::Damaged { .. })));
    assert_eq!(quarantine.usage().unwrap().messages, 0);
    let refused = quarantine.release(id, &request(Repeat::Again), &mut Never);
    assert!(matches!(refused, Err(ReleaseError::Store(StoreError::State { state: State::Deleted, .. }))));
}

// What a crash leaves.

#[test]
fn files_of_every_step_of_a_put_that_was_cut_off() {
    let source = folder();
    let id = put(&open(source.path()), State::Pending);
    let (eml, json) = (file(source.path(), id, "eml"), file(source.path(), id, "json"));
    let steps: [&[(&str, &Path)]; 4] = [
        &[("eml.new", Path::new("/dev/null"))],
        &[("eml.new", &eml)],
        &[("eml.new", &eml), ("json.new", &json)],
        &[("eml", &eml), ("json.new", &json)],
    ];
    for left in steps {
        let folder = folder();
        for (suffix, from) in left {
            fs::write(file(folder.path(), id, suffix), fs::read(from).unwrap()).unwrap();
        }
        let quarantine = open(folder.path());
        assert_eq!(ids(&quarantine), [], "{left:?}");
        assert_eq!(quarantine.recover().unwrap().pending, []);
        for (suffix, _) in left {
            let path = file(folder.path(), id, suffix);
            assert!(path.exists(), "another process may be writing {suffix}");
            make_old(&path);
        }
        assert_eq!(quarantine.maintain(Timestamp::now()).unwrap().swept, left.len());
        assert!(left.iter().all(|(suffix, _)| !file(folder.path(), id, suffix).exists()));
    }
    // The last step: both files have their names, and nobody said 250.
    let quarantine = open(source.path());
    assert_eq!(quarantine.recover().unwrap().pending, [id]);
    assert_eq!(&quarantine.content(id).unwrap().bytes().unwrap()[..], octets());
}

#[test]
fn sweeping_touches_nothing_that_is_not_ours_or_still_needed() {
    let folder = folder();
    let id = put(&open(folder.path()), State::Held);
    let (eml, json) = (file(folder.path(), id, "eml"), file(folder.path(), id, "json"));
    let foreign = ["notes.txt", "x.eml", "README.new", "1M0JYT5K7W0000000000.eml"].map(|name| folder.path().join(name));
    for path in &foreign {
        fs::write(path, "x").unwrap();
    }
    for path in foreign.iter().chain([&eml, &json]) {
        make_old(path);
    }
    assert_eq!(open(folder.path()).maintain(Timestamp::now()).unwrap().swept, 0);
    assert!(foreign.iter().chain([&eml, &json]).all(|path| path.exists()));
}

#[test]
fn a_deletion_that_was_cut_off_is_finished() {
    let folder = folder();
    let quarantine = open(folder.path());
    let id = put(&quarantine, State::Held);
    let content = fs::read(file(folder.path(), id, "eml")).unwrap();
    quarantine.delete(id, "me").unwrap();
    fs::write(file(folder.path(), id, "eml"), content).unwrap();
    quarantine.maintain(Timestamp::now()).unwrap();
    assert!(!file(folder.path(), id, "eml").exists());
}

#[test]
fn damaged_entries_are_listed_and_can_be_deleted() {
    let folder = folder();
    let quarantine = open(folder.path());
    let whole = put(&quarantine, State::Held);
    let json = fs::read_to_string(file(folder.path(), whole, "json")).unwrap();
    let cases = [
        String::new(),
        "{".to_owned(),
        json[..json.len() / 2].to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        "\u{0}\u{1}\u{2}".to_owned(),
        json.clone(), // another one's id
        json.replace("sekisho.quarantine/1", "sekisho.quarantine/2"),
        format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000)),
    ];
    let damaged: Vec<QuarantineId> = cases.iter().map(|_| put(&quarantine, State::Held)).collect();
    for (id, case) in damaged.iter().zip(&cases) {
        fs::write(file(folder.path(), *id, "json"), case).unwrap();
    }
    let gone = put(&quarantine, State::Held);
    fs::remove_file(file(folder.path(), gone, "eml")).unwrap();
    let is_damaged: HashSet<QuarantineId> = quarantine
        .list(None)
        .unwrap()
        .iter()
        .filter(|listed| matches!(listed, Listed::Damaged { .. }))
        .map(Listed::id)
        .collect();
    assert_eq!(is_damaged, damaged.iter().copied().chain([gone]).collect());
    quarantine.maintain(days_from_now(1)).unwrap();
    for id in &damaged {
        assert!(matches!(quarantine.entry(*id), Err(StoreError::Damaged { .. })));
        quarantine.delete(*id, "me").unwrap();
    }
    assert_eq!(ids(&quarantine), [whole, gone]);
}

#[test]
fn content_that_was_changed_is_not_sent() {
    let folder = folder();
    let quarantine = open(folder.path());
    let id = put(&quarantine, State::Held);
    let path = file(folder.path(), id, "eml");
    let content = fs::read(&path).unwrap();
    for changed in [&content[..content.len() - 1], b"", b"something else"] {
        fs::write(&path, changed).unwrap();
        let refused = quarantine.release(id, &request(Repeat::Never), &mut Never);
        assert!(matches!(refused, Err(ReleaseError::Store(StoreError::Damaged { .. }))), "{refused:?}");
    }
    assert_eq!(state(&quarantine, id), State::Held);
}

#[test]
fn links_out_of_the_folder_are_not_followed() {
    use std::os::unix::fs::symlink;
    let parent = folder();
    let (folder, victim) = (parent.path().join("q"), parent.path().join("victim"));
    fs::write(&victim, octets()).unwrap();
    fs::create_dir(&folder).unwrap();
    symlink(&victim, folder.join("index.sqlite")).unwrap();
    let quarantine = open(&folder);
    let (written, read) = (put(&quarantine, State::Held), put(&quarantine, State::Held));
    symlink(&victim, file(&folder, written, "json.new")).unwrap();
    fs::remove_file(file(&folder, read, "eml")).unwrap();
    symlink(&victim, file(&folder, read, "eml")).unwrap();
    quarantine.note(written, "seen").unwrap();
    assert_eq!(quarantine.entry(written).unwrap().notes.len(), 1);
    assert!(quarantine.content(read).is_err());
    assert!(quarantine.release(read, &request(Repeat::Never), &mut Never).is_err());
    assert_eq!(fs::read(&victim).unwrap(), octets());
}

// Room and time.

#[test]
fn the_quota_holds_at_below_and_above() {
    let folder = folder();
    let quarantine = Quarantine::open(folder.path(), KEEP, 100).unwrap();
    let first = put_size(&quarantine, 60).unwrap();
    assert!(matches!(put_size(&quarantine, 41), Err(StoreError::Full { used: 60, limit: 100, size: 41 })));
    put_size(&quarantine, 40).unwrap();
    assert!(matches!(put_size(&quarantine, 1), Err(StoreError::Full { .. })));
    put_size(&quarantine, 0).unwrap();
    let usage = quarantine.usage().unwrap();
    assert_eq!((usage.messages, usage.bytes, usage.limit), (3, 100, 100));
    assert_eq!(usage.oldest, Some(whole_milliseconds(quarantine.entry(first).unwrap().held_at)));
    // A command deletes, the daemon notices.
    Quarantine::open_existing(folder.path(), KEEP, 100).unwrap().delete(first, "me").unwrap();
    put_size(&quarantine, 60).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().filter(|file| is_unfinished(file.as_ref().unwrap())).count(), 0);
}

fn whole_milliseconds(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap()
}

fn is_unfinished(file: &fs::DirEntry) -> bool {
    file.file_name().to_string_lossy().ends_with(".new")
}

#[test]
fn many_at_once_do_not_exceed_the_quota() {
    let folder = folder();
    let quarantine = Arc::new(Quarantine::open(folder.path(), KEEP, 1000).unwrap());
    let threads: Vec<_> = (0..20)
        .map(|_| {
            let quarantine = Arc::clone(&quarantine);
            std::thread::spawn(move || put_size(&quarantine, 100).is_ok())
        })
        .collect();
    let stored = threads.into_iter().map(|thread| thread.join().unwrap()).filter(|stored| *stored).count();
    assert_eq!((stored, quarantine.usage().unwrap().bytes), (10, 1000));
}

#[test]
fn content_of_released_messages_makes_room() {
    let folder = folder();
    let quarantine = Quarantine::open(folder.path(), KEEP, 100).unwrap();
    let hop = NextHop::start();
    let released = put_size(&quarantine, 90).unwrap();
    quarantine.release(released, &request(Repeat::Never), &mut hop.client()).unwrap();
    assert_eq!(quarantine.usage().unwrap().messages, 0);
    put_size(&quarantine, 90).unwrap();
    assert!(matches!(put_size(&quarantine, 90), Err(StoreError::Full { .. })));
    let again = quarantine.release(released, &request(Repeat::Never), &mut Never);
    assert!(matches!(again, Ok(Released::Already { .. })), "the trace is kept");
}

#[test]
fn content_of_released_messages_is_not_given_up_in_vain() {
    let folder = folder();
    let quarantine = Quarantine::open(folder.path(), KEEP, 100).unwrap();
    let hop = NextHop::start();
    let released = put_size(&quarantine, 30).unwrap();
    quarantine.release(released, &request(Repeat::Never), &mut hop.client()).unwrap();
    put_size(&quarantine, 70).unwrap();
    assert!(matches!(put_size(&quarantine, 31), Err(StoreError::Full { used: 70, .. })));
    assert!(matches!(put_size(&quarantine, 101), Err(StoreError::Full { .. })));
    assert!(file(folder.path(), released, "eml").exists());
    put_size(&quarantine, 30).unwrap();
    assert!(!file(folder.path(), released, "eml").exists());
}

#[test]
fn content_that_somebody_removed_by_hand_makes_room() {
    let folder = folder();
    let quarantine = Quarantine::open(folder.path(), KEEP, 100).unwrap();
    let id = put_size(&quarantine, 100).unwrap();
    fs::remove_file(file(folder.path(), id, "eml")).unwrap();
    quarantine.maintain(Timestamp::now()).unwrap();
    put_size(&quarantine, 100).unwrap();
    assert!(matches!(quarantine.list(None).unwrap()[0], Listed::Damaged { .. }));
}

#[test]
fn a_release_cut_off_before_its_final_dot_is_held_again() {
    let folder = folder();
    let quarantine = open(folder.path());
    for (step, unknown) in [(KillAt::Recipient, false), (KillAt::DotRefused, true)] {
        let hop = NextHop::start();
        let id = put(&quarantine, State::Held);
        hop.kill_client_at(step);
        let mut child = releasing(folder.path(), id, &hop);
        hop.client_is(child.id());
        assert!(!child.wait().unwrap().success(), "{step:?}: it was not killed");
        assert_eq!(state(&quarantine, id), State::Releasing, "{step:?}");
        let recovery = quarantine.recover().unwrap();
        if unknown {
            assert_eq!((recovery.unsent, recovery.unknown), (vec![], vec![id]));
            // Who asks for it otherwise than the one that was cut off does not send it again.
            let other = ReleaseRequest { by: "somebody else".to_owned(), ..request(Repeat::CutOff) };
            let refused = quarantine.release(id, &other, &mut Never);
            assert!(matches!(refused, Err(ReleaseError::OutcomeUnknown { .. })), "{refused:?}");
        } else {
            assert_eq!((recovery.unsent, recovery.unknown), (vec![id], vec![]));
            assert_eq!(state(&quarantine, id), State::Held);
            let note = quarantine.entry(id).unwrap().notes.last().unwrap().text.clone();
            assert!(note.contains("nothing was sent"), "{note}");
        }
        quarantine.delete(id, "the test").unwrap();
    }
}

#[test]
fn what_is_older_than_keep_goes_and_nothing_else() {
    let folder = folder();
    let quarantine = open(folder.path());
    let hop = NextHop::start();
    let (held, released, deleted) =
        (put(&quarantine, State::Held), put(&quarantine, State::Held), put(&quarantine, State::Held));
    let pending = put(&quarantine, State::Pending);
    let unknown = put(&quarantine, State::Held);
    quarantine.release(released, &request(Repeat::Never), &mut hop.client()).unwrap();
    quarantine.delete(deleted, "me").unwrap();
    quarantine.release(unknown, &request(Repeat::Never), &mut Unanswered).unwrap_err();
    assert_eq!(quarantine.maintain(days_from_now(29)).unwrap().expired, 0);
    assert_eq!(ids(&quarantine).len(), 5);
    assert_eq!(quarantine.maintain(days_from_now(-100)).unwrap().expired, 0, "a clock that is wrong");
    // On day 29 the pending one had been given up for an hour: it is held, and as old as the others.
    assert_eq!(quarantine.maintain(days_from_now(31)).unwrap().expired, 4);
    assert_eq!(ids(&quarantine), [unknown]);
    for id in [held, released, deleted, pending] {
        assert!(!file(folder.path(), id, "eml").exists() && !file(folder.path(), id, "json").exists());
    }
    assert_eq!(quarantine.recover().unwrap().unknown, [unknown]);
}

// The index.

#[test]
fn the_index_is_made_anew_whatever_happened_to_it() {
    let folder = folder();
    let index = folder.path().join("index.sqlite");
    let stored = {
        let quarantine = open(folder.path());
        for _ in 0..5 {
            put(&quarantine, State::Held);
        }
        let first = ids(&quarantine)[0];
        quarantine.delete(first, "me").unwrap();
        quarantine.list(None).unwrap()
    };
    let rows = |sql: &str| rusqlite::Connection::open(&index).unwrap().execute_batch(sql).unwrap();
    let damages: [&dyn Fn(); 8] = [
        &|| fs::remove_file(&index).unwrap(),
        &|| fs::write(&index, b"").unwrap(),
        &|| fs::write(&index, b"this is no database at all, it is a text").unwrap(),
        &|| fs::write(&index, &fs::read(&index).unwrap()[..5000]).unwrap(),
        &|| rows("PRAGMA user_version = 99"),
        &|| rows("DELETE FROM entry"),
        &|| rows("UPDATE entry SET summary = '{}', content = 0, seconds = 1"),
        &|| rows("DROP TABLE entry"),
    ];
    for (case, damage) in damages.iter().enumerate() {
        damage();
        let quarantine = open(folder.path());
        assert_eq!(quarantine.list(None).unwrap(), stored, "case {case}");
        assert_eq!(quarantine.usage().unwrap().messages, 4, "case {case}");
    }
}

#[test]
fn losing_the_index_while_running_loses_no_message() {
    let folder = folder();
    let quarantine = open(folder.path());
    put(&quarantine, State::Held);
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(folder.path().join(format!("index.sqlite{suffix}")));
    }
    put(&quarantine, State::Held);
    fs::write(folder.path().join("index.sqlite"), "junk").unwrap();
    put(&quarantine, State::Held);
    assert_eq!(ids(&quarantine).len(), 3);
    assert_eq!(ids(&open(folder.path())).len(), 3);
    assert_eq!(quarantine.rebuild().unwrap(), 3);
    assert_eq!(quarantine.usage().unwrap().messages, 3);
}

#[test]
fn without_an_index_everything_works() {
    let folder = folder();
    fs::create_dir(folder.path().join("index.sqlite")).unwrap();
    let quarantine = Quarantine::open(folder.path(), KEEP, 2 * octets().len() as u64).unwrap();
    let id = put(&quarantine, State::Pending);
    quarantine.commit(id).unwrap();
    put(&quarantine, State::Held);
    assert!(matches!(put_size(&quarantine, 1), Err(StoreError::Full { .. })));
    assert_eq!(quarantine.usage().unwrap().messages, 2);
    assert_eq!(quarantine.list(Some(State::Held)).unwrap().len(), 2);
    quarantine.maintain(Timestamp::now()).unwrap();
    let error = quarantine.rebuild().unwrap_err();
    assert_eq!(error.exit_code(), 74, "{error}");
}

#[test]
fn the_folder_may_be_reached_over_a_link() {
    // As /var/lib/sekisho is with systemd's DynamicUser.
    let parent = folder();
    let (there, link) = (parent.path().join("q"), parent.path().join("link"));
    fs::create_dir(&there).unwrap();
    std::os::unix::fs::symlink(&there, &link).unwrap();
    let quarantine = open(&link);
    put(&quarantine, State::Held);
    assert_eq!(quarantine.rebuild().unwrap(), 1);
    assert_eq!(ids(&open(&there)).len(), 1);
}

#[test]
fn changes_of_another_process_are_seen_at_once() {
    let folder = folder();
    let (one, other) = (open(folder.path()), open(folder.path()));
    let id = put(&one, State::Held);
    assert_eq!(other.list(Some(State::Held)).unwrap().len(), 1);
    other.delete(id, "me").unwrap();
    assert_eq!(one.list(Some(State::Held)).unwrap().len(), 0);
    assert_eq!(one.list(Some(State::Deleted)).unwrap().len(), 1);
}

// A folder that cannot be used.

#[test]
fn a_folder_that_cannot_be_used_says_what_to_do() {
    let parent = folder();
    let file = parent.path().join("file");
    fs::write(&file, "x").unwrap();
    let rows = [
        (Quarantine::open(&file, KEEP, ROOM), "is a file, not a folder"),
        (Quarantine::open(&file.join("below"), KEEP, ROOM), "is a file, not a folder"),
        (Quarantine::open_existing(&parent.path().join("missing"), KEEP, ROOM), "start `sekisho serve`"),
    ];
    for (result, advice) in rows {
        let error = result.unwrap_err();
        assert!(error.to_string().contains(advice), "{error}");
    }
}

#[test]
fn a_folder_that_goes_away_defers_and_recovers() {
    let parent = folder();
    let (there, away) = (parent.path().join("q"), parent.path().join("away"));
    let quarantine = open(&there);
    let id = put(&quarantine, State::Held);
    fs::rename(&there, &away).unwrap();
    let error = put_size(&quarantine, 1).unwrap_err();
    assert!(error.to_string().contains("create the folder"), "{error}");
    assert!(quarantine.list(None).is_err());
    assert!(matches!(quarantine.entry(id), Err(StoreError::Io { .. })), "not `no such message`");
    fs::rename(&away, &there).unwrap();
    put_size(&quarantine, 1).unwrap();
    assert_eq!(ids(&quarantine).len(), 2);
}

// Release.

/// A next hop that must not be asked.
struct Never;

impl Delivery for Never {
    fn deliver(
        &mut self,
        _: &Envelope,
        _: &Message,
        _: &mut dyn FnMut(&[sekisho::store::Refusal]) -> std::io::Result<()>,
    ) -> Result<sekisho::store::Outcome, Failure> {
        panic!("nothing was to be sent")
    }
}

/// A next hop that is lost after the final dot.
struct Unanswered;

impl Delivery for Unanswered {
    fn deliver(
        &mut self,
        _: &Envelope,
        _: &Message,
        before_dot: &mut dyn FnMut(&[sekisho::store::Refusal]) -> std::io::Result<()>,
    ) -> Result<sekisho::store::Outcome, Failure> {
        before_dot(&[]).unwrap();
        Err(Failure::Unknown("connection lost".to_owned()))
    }
}

#[test]
fn a_released_message_arrives_as_it_came_and_once() {
    let folder = folder();
    let quarantine = open(folder.path());
    let hop = NextHop::start();
    let id = put(&quarantine, State::Held);
    let sent = quarantine.release(id, &request(Repeat::Never), &mut hop.client()).unwrap();
    assert!(matches!(sent, Released::Sent { recipients: 2, .. }), "{sent:?}");
    let again = quarantine.release(id, &request(Repeat::Never), &mut Never).unwrap();
    assert!(matches!(again, Released::Already { at: Some(_) }));
    let arrived = hop.arrived();
    assert_eq!(arrived.len(), 1);
    assert_eq!(arrived[0].content, octets());
    assert_eq!(arrived[0].sender, "MAIL FROM:<a@example.com> BODY=8BITMIME");
    assert_eq!(arrived[0].recipients, ["<b@example.jp>", "<c@example.jp>"]);
    let entry = quarantine.entry(id).unwrap();
    assert_eq!(entry.state, State::Released);
    assert!(entry.notes[0].text.contains("uid 0 (root)"), "{:?}", entry.notes);
    // Only on request.
    quarantine.release(id, &request(Repeat::Again), &mut hop.client()).unwrap();
    assert_eq!(hop.arrived().len(), 2);
}

#[test]
fn a_recipient_whom_the_next_hop_refuses_stays_held() {
    let folder = folder();
    let quarantine = open(folder.path());
    let hop = NextHop::start();
    hop.refuse("<c@example.jp>");
    let id = put(&quarantine, State::Held);
    let sent = quarantine.release(id, &request(Repeat::Never), &mut hop.client()).unwrap();
    assert!(matches!(&sent, Released::Sent { recipients: 1, refused, .. } if refused.len() == 1), "{sent:?}");
    let entry = quarantine.entry(id).unwrap();
    assert_eq!((entry.state, entry.held), (State::Held, vec![MailPath::new("<c@example.jp>")]));
    let refused = quarantine.release(id, &request(Repeat::Never), &mut hop.client());
    assert!(matches!(refused, Err(ReleaseError::NotSent { failure: Failure::Refused(_), .. })), "{refused:?}");
    hop.refuse("");
    quarantine.release(id, &request(Repeat::Never), &mut hop.client()).unwrap();
    let arrived: Vec<Vec<String>> = hop.arrived().into_iter().map(|mail| mail.recipients).collect();
    assert_eq!(arrived, [["<b@example.jp>"], ["<c@example.jp>"]]);
    assert_eq!(state(&quarantine, id), State::Released);
}

#[test]
fn a_next_hop_that_does_not_take_it_leaves_it_held() {
    let folder = folder();
    let quarantine = open(folder.path());
    let hop = NextHop::start();
    let id = put(&quarantine, State::Held);
    for (reply, code) in [("451 4.3.0 later", 75), ("554 5.7.1 never", 69)] {
        hop.answer_dot(reply);
        let error = quarantine.release(id, &request(Repeat::Never), &mut hop.client()).unwrap_err();
        assert_eq!(error.exit_code(), code, "{error}");
        assert!(error.to_string().contains(reply), "{error}");
        assert_eq!(state(&quarantine, id), State::Held);
    }
    let error = quarantine.release(id, &request(Repeat::Never), &mut Client::nowhere()).unwrap_err();
    assert_eq!(error.exit_code(), 75, "{error}");
    assert_eq!(quarantine.entry(id).unwrap().notes.len(), 3);
    assert_eq!(hop.arrived().len(), 0);
}

#[test]
fn an_unknown_outcome_needs_a_person() {
    let folder = folder();
    let quarantine = open(folder.path());
    let hop = NextHop::start();
    for repeat in [Repeat::Done, Repeat::Again] {
        let id = put(&quarantine, State::Held);
        let nothing = quarantine.release(id, &request(Repeat::Done), &mut Never).unwrap_err();
        assert!(matches!(nothing, ReleaseError::NothingSent(_)));
        quarantine.release(id, &request(Repeat::Never), &mut Unanswered).unwrap_err();
        let unknown = quarantine.release(id, &request(Repeat::Never), &mut Never).unwrap_err();
        let text = unknown.to_string();
        assert!(text.contains("Message-ID") && text.contains("--done") && text.contains("--again"), "{text}");
        assert_eq!(unknown.exit_code(), 69);
        quarantine.release(id, &request(repeat), &mut hop.client()).unwrap();
        assert_eq!(state(&quarantine, id), State::Released);
    }
    assert_eq!(hop.arrived().len(), 1);
}

// Real processes. Each test below runs this program again, as one of the two helpers.

const FOLDER: &str = "SEKISHO_TEST_FOLDER";
const ID: &str = "SEKISHO_TEST_ID";
const PORT: &str = "SEKISHO_TEST_PORT";

/// Releases a message; does nothing unless it is started by a test below.
#[test]
fn helper_that_releases() {
    let (Ok(folder), Ok(id), Ok(port)) = (std::env::var(FOLDER), std::env::var(ID), std::env::var(PORT)) else {
        return;
    };
    let quarantine = Quarantine::open_existing(Path::new(&folder), KEEP, ROOM).unwrap();
    let mut client = Client::to(port.parse().unwrap());
    let released = quarantine.release(QuarantineId::parse(&id).unwrap(), &request(Repeat::Never), &mut client);
    println!("{released:?}");
}

/// Stores messages for ever, and tells each id as a daemon would say 250.
#[test]
fn helper_that_puts() {
    let (Ok(folder), Err(_)) = (std::env::var(FOLDER), std::env::var(ID)) else { return };
    let quarantine = Quarantine::open_existing(Path::new(&folder), KEEP, ROOM).unwrap();
    loop {
        println!("250 {}", put(&quarantine, State::Held));
        let id = put(&quarantine, State::Pending);
        quarantine.commit(id).unwrap();
        println!("250 {id}");
    }
}

fn helper(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("quarantine::{name}"), "--nocapture"]).env(FOLDER, folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

fn releasing(folder: &Path, id: QuarantineId, hop: &NextHop) -> Child {
    helper("helper_that_releases", folder).env(ID, id.as_str()).env(PORT, hop.port().to_string()).spawn().unwrap()
}

/// Releases until it is done, looking at the next hop as a person would when the outcome is unknown.
/// Returns how often that was needed.
fn release_to_the_end(quarantine: &Quarantine, id: QuarantineId, hop: &NextHop) -> usize {
    let mut asked = 0;
    for repeat in [Repeat::Never, Repeat::Again, Repeat::Again] {
        let was_taken = !hop.arrived().is_empty();
        let repeat = if repeat == Repeat::Again && was_taken { Repeat::Done } else { repeat };
        match quarantine.release(id, &request(repeat), &mut hop.client()) {
            Ok(_) => return asked,
            Err(ReleaseError::OutcomeUnknown { .. }) => asked += 1,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("never released")
}

#[test]
fn killed_at_every_step_a_release_sends_one_copy() {
    let folder = folder();
    let quarantine = open(folder.path());
    for (step, unknown) in KillAt::STEPS {
        let hop = NextHop::start();
        let id = put(&quarantine, State::Held);
        hop.kill_client_at(step);
        let mut child = releasing(folder.path(), id, &hop);
        hop.client_is(child.id());
        assert!(!child.wait().unwrap().success(), "{step:?}: it was not killed");
        let asked = release_to_the_end(&quarantine, id, &hop);
        // A kill in the middle of the content may come just after the last of it was written: then a person is
        // asked once, as for the steps behind it.
        let expected = usize::from(unknown)..=usize::from(unknown || step == KillAt::Content);
        assert!(expected.contains(&asked), "{step:?}: asked {asked} times");
        assert_eq!(hop.arrived().len(), 1, "{step:?}");
        assert_eq!(hop.arrived()[0].content, octets());
        assert_eq!(state(&quarantine, id), State::Released);
    }
}

#[test]
fn killed_at_any_moment_a_release_sends_one_copy() {
    let folder = folder();
    let quarantine = open(folder.path());
    for _ in 0..40 {
        let hop = NextHop::start();
        hop.be_slow();
        let id = put(&quarantine, State::Held);
        let mut child = releasing(folder.path(), id, &hop);
        std::thread::sleep(Duration::from_micros(fastrand::u64(5_000..60_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        hop.wait_until_idle();
        release_to_the_end(&quarantine, id, &hop);
        assert_eq!(hop.arrived().len(), 1);
        assert_eq!(state(&quarantine, id), State::Released);
    }
}

#[test]
fn processes_that_race_to_release_send_one_copy() {
    let folder = folder();
    let quarantine = open(folder.path());
    for _ in 0..5 {
        let hop = NextHop::start();
        hop.be_slow();
        let id = put(&quarantine, State::Held);
        let children: Vec<Child> = (0..4).map(|_| releasing(folder.path(), id, &hop)).collect();
        let outputs: Vec<String> = children
            .into_iter()
            .map(|child| String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap())
            .collect();
        assert_eq!(outputs.iter().filter(|output| output.contains("Sent {")).count(), 1, "{outputs:?}");
        assert!(outputs.iter().all(|output| ["Sent {", "Already {", "Busy("].iter().any(|text| output.contains(text))));
        assert_eq!(hop.arrived().len(), 1);
    }
}

#[test]
fn what_was_answered_250_survives_a_kill() {
    let folder = folder();
    drop(open(folder.path()));
    let mut answered = Vec::new();
    for _ in 0..10 {
        let mut child = helper("helper_that_puts", folder.path()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let enough = fastrand::usize(1..20);
        let ids =
            lines.by_ref().map(Result::unwrap).filter_map(|line| line.split_once("250 ").map(|(_, id)| id.to_owned()));
        answered.extend(ids.take(enough));
        std::thread::sleep(Duration::from_micros(fastrand::u64(0..5_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        let rest: Vec<String> = lines.map(Result::unwrap).collect();
        answered.extend(
            rest.iter()
                .filter_map(|line| line.split_once("250 ").map(|(_, id)| id.to_owned()))
                .filter(|id| id.len() == 20),
        );
    }
    let quarantine = open(folder.path());
    quarantine.recover().unwrap();
    let listed: HashSet<QuarantineId> = ids(&quarantine).into_iter().collect();
    assert!(answered.len() >= 10);
    for id in answered {
        assert!(listed.contains(&QuarantineId::parse(&id).unwrap()), "{id} was lost");
    }
    for id in listed {
        assert_eq!(state(&quarantine, id), State::Held, "whatever is listed is whole");
        assert_eq!(&quarantine.content(id).unwrap().bytes().unwrap()[..], octets());
    }
}

// The command.

fn run(quarantine: &Quarantine, command: &cli::Command, width: Option<usize>) -> (u8, Vec<u8>, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console { out: &mut out, err: &mut err, width };
    let code = cli::run(command, quarantine, &mut console, &mut |to| match to.strip_prefix("127.0.0.1:") {
        Some(port) => Ok(Box::new(Client::to(port.parse().unwrap())) as Box<dyn Delivery>),
        None => Err("not an endpoint".to_owned()),
    });
    (code, out, String::from_utf8(err).unwrap())
}

fn show(id: &str, json: bool, raw: bool) -> cli::Command {
    cli::Command::Show { id: id.to_owned(), json, raw }
}

fn release(ids: &[&str], to: Option<String>) -> cli::Command {
    let ids = ids.iter().map(|id| (*id).to_owned()).collect();
    cli::Command::Release { ids, to, again: false, done: false }
}

fn list(state: Option<&str>, json: bool) -> cli::Command {
    cli::Command::List { state: state.map(str::to_owned), json }
}

#[test]
fn every_exit_code_of_the_command() {
    let folder = folder();
    let quarantine = open(folder.path());
    let id = put(&quarantine, State::Held);
    let (id, missing) = (id.as_str(), "1m0jyt5k7w0000000000");
    let delete = |ids: &[&str]| cli::Command::Delete { ids: ids.iter().map(|id| (*id).to_owned()).collect() };
    let rows = [
        (list(None, false), 0, ""),
        (list(Some("held"), true), 0, ""),
        (list(Some("heldd"), false), 64, "states are pending, unconfirmed, held"),
        (show(id, false, false), 0, ""),
        (show(id, true, false), 0, ""),
        (show(missing, false, false), 66, "no such message"),
        (show("../../etc/passwd", false, false), 64, "not an id"),
        (release(&[id, "x"], None), 64, "not an id"),
        (release(&[missing], None), 66, "no such message"),
        (release(&[id], Some("elsewhere".to_owned())), 64, "not an endpoint"),
        (release(&[id], Some("127.0.0.1:1".to_owned())), 75, "start the next hop"),
        (cli::Command::Rebuild, 0, ""),
        (delete(&[missing, id]), 66, "no such message"),
        (show(id, false, true), 65, "content is gone"),
        (release(&[id], None), 75, "deleted"),
    ];
    for (command, expected, says) in rows {
        let (code, _, err) = run(&quarantine, &command, None);
        assert_eq!(code, expected, "{command:?}: {err}");
        assert!(err.contains(says), "{command:?}: {err}");
    }
}

#[test]
fn a_release_by_command_reports_and_repeats_nothing() {
    let folder = folder();
    let quarantine = open(folder.path());
    let hop = NextHop::start();
    let ids = [put(&quarantine, State::Held), put(&quarantine, State::Held)];
    let command = release(&ids.each_ref().map(QuarantineId::as_str), Some(format!("127.0.0.1:{}", hop.port())));
    for expected in ["released to 2 recipients", "nothing was sent"] {
        let (code, out, err) = run(&quarantine, &command, None);
        let out = String::from_utf8(out).unwrap();
        assert_eq!((code, out.matches(expected).count()), (0, 2), "{out}{err}");
    }
    assert_eq!(hop.arrived().len(), 2);
}

#[test]
fn the_raw_message_is_the_message() {
    let folder = folder();
    let quarantine = open(folder.path());
    let id = put(&quarantine, State::Held);
    assert_eq!(run(&quarantine, &show(id.as_str(), false, true), None).1, octets());
    let (code, out, _) = run(&quarantine, &show(id.as_str(), false, true), Some(80));
    assert_eq!((code, out.len()), (64, 0), "not to a terminal");
}

#[test]
fn hostile_text_does_not_reach_the_terminal() {
    let folder = folder();
    let quarantine = open(folder.path());
    let hostile = "\u{1b}]0;owned\u{7}\u{202e}fdp.exe\u{200b}\r\nId  $(reboot)\u{9b}2J http://evil.example/x";
    let mut new = new_entry();
    new.subject = Some(hostile.to_owned());
    new.from = Some(hostile.to_owned());
    new.message_id = Some(hostile.to_owned());
    new.envelope.sender = MailPath::new(hostile);
    new.envelope.recipients = vec![MailPath::new(hostile), MailPath::new(&b"<\xff\x1b@x>"[..])];
    new.held = new.envelope.recipients.clone();
    new.envelope.client.name = Some(hostile.to_owned());
    new.envelope.queue_id = Some(hostile.to_owned());
    new.facts.findings[0].evidence = hostile.to_owned();
    new.facts.findings[0].location = hostile.to_owned();
    new.explanation = Explanation { en: hostile.to_owned(), ja: hostile.to_owned() };
    let id = quarantine.put(new, &message(), State::Held).unwrap();
    quarantine.note(id, hostile).unwrap();
    for width in [None, Some(100)] {
        for command in
            [list(None, false), list(None, true), show(id.as_str(), false, false), show(id.as_str(), true, false)]
        {
            let (code, out, _) = run(&quarantine, &command, width);
            let out = String::from_utf8(out).unwrap();
            assert_eq!(code, 0);
            let shown: Vec<char> = out.chars().filter(|c| *c != '\n' && is_hostile(*c)).collect();
            assert_eq!(shown, [], "{out}");
            let copied = out.lines().filter(|line| line.contains("sekisho quarantine"));
            assert!(copied.into_iter().all(|line| line.contains(id.as_str()) && !line.contains("reboot")), "{out}");
        }
    }
    let (_, out, _) = run(&quarantine, &list(None, false), Some(100));
    let out = String::from_utf8(out).unwrap();
    assert!(out.lines().all(|line| sekisho::terminal::width(line) <= 100), "{out}");
    assert_eq!(out.lines().count(), 2, "one line a message");
    let (_, out, _) = run(&quarantine, &show(id.as_str(), true, false), None);
    let entry: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!((&entry["subject"], &entry["schema"]), (&hostile.into(), &"sekisho.quarantine/1".into()));
}

#[test]
fn a_person_can_read_what_is_shown() {
    let folder = folder();
    let quarantine = open(folder.path());
    let id = put(&quarantine, State::Held);
    let (_, out, _) = run(&quarantine, &show(id.as_str(), false, false), None);
    let out = String::from_utf8(out).unwrap();
    for text in [
        "malicious; not everything could be inspected",
        "macros-from-outside (line 71)",
        "It runs by itself.",
        "自動的に実行されます。",
        "vba-autoexec  high  part 2  ThisDocument:4  AutoOpen",
        "<d@example.jp> (not held)",
        &format!("sekisho quarantine release {id}"),
    ] {
        assert!(out.contains(text), "{text}\n{out}");
    }
}
