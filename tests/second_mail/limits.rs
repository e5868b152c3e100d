//! Whoever floods what is remembered costs little, and the metrics tell.

use std::time::Duration;

use super::{FROM, HOLD, SOON, TO, archive, harmless, office, password};
use crate::common::client::Client;
use crate::common::samples::with_file;
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

#[test]
fn copies_of_many_networks_stay_within_the_quota_of_all() {
    let office = office("[second_mail]\nquota = \"1 MiB\"\n\n");
    let noise: Vec<u8> =
        (0..200_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).take(200_000).collect();
    let content = with_file("closed", "a.zip", "application/zip", &archive("noise.bin", &noise, "Kx-77aQ"));
    // Some 270 kB as Base64: one of each network fits into its half, and three into all.
    for network in 1..=5 {
        let mut client = Client::connect(office.daemon.port()).unwrap();
        let address = format!("198.51.{network}.1");
        assert_eq!(client.send_for(Some(&address), FROM, &[TO], &content).unwrap().code, 250);
    }
    wait_for("no room for two", SOON, || office.counted("full") == 2.0);
    assert_eq!((office.copies(), office.delivered("Subject: closed")), (3, 5), "mail does not wait for that");
    let octets = || office.daemon.metric("sekisho_second_mail_copies_size_bytes").unwrap_or_default();
    assert!(octets() <= f64::from(1 << 20));
}
