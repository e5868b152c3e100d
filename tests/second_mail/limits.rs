//! Whoever floods what is remembered costs little, and the metrics tell.

use std::time::Duration;

use super::{FROM, HOLD, SOON, TO, harmless, office, password};
use crate::common::client::Client;
use crate::common::wait_for;

#[test]
fn ten_thousand_passwords_of_one_sender_cost_little_and_are_told_of() {
    let office = office(HOLD);
    office.send(&harmless("archive"));
    let memory = || office.daemon.metric("process_resident_memory_bytes").unwrap_or_default();
    let before = memory();
    let mut client = Client::connect(office.daemon.port()).unwrap();
    for mail in 0..640 {
        let mut text = format!("From: {FROM}\r\nSubject: flood\r\n\r\n");
        (0..16).for_each(|n| text.push_str(&format!("Password: Wr0ng-{mail}-{n}\r\n")));
        assert_eq!(client.send(FROM, &[TO], text.as_bytes()).unwrap().code, 250);
    }
    // Four looks, by the mail of one network at one message; what else is told is counted.
    wait_for("the looks", SOON, || office.counted("closed") >= 4.0);
    assert_eq!(office.counted("untried"), 636.0);
    assert_eq!((office.entry().0.as_str(), office.copies()), ("held", 0));
    let grown = memory() - before;
    assert!(grown < f64::from(64 << 20), "{grown} octets more");
    // The newest ones are known to what comes now, and mail goes on.
    office.send(&password("right", "Kx-77aQ"));
    office.send(&harmless("later"));
    office.sink.wait_for("Subject: later");
    office.never_says("Wr0ng-");
}

#[test]
fn what_waited_longer_than_the_window_is_forgotten() {
    let office = office(&format!("[second_mail]\nwindow = \"2s\"\n\n{HOLD}"));
    office.send(&harmless("archive"));
    // Longer than the window on any machine: nothing is waited for, something must not happen.
    std::thread::sleep(Duration::from_secs(4));
    office.send(&password("right", "Kx-77aQ"));
    // What is looked at is looked at in order: this one is, and the other one is not.
    office.send(&harmless("fresh"));
    office.send(&password("again", "Kx-77aQ"));
    wait_for("the fresh one", SOON, || office.delivered("Subject: fresh") == 1);
    assert_eq!(office.delivered("Subject: archive"), 0);
    let states: Vec<_> = office.daemon.entries().iter().map(|entry| entry["state"].clone()).collect();
    assert_eq!(states[0], "held");
}
