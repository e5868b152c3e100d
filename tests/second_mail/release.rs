//! What a later password opened goes to its recipients, whatever the next hop does and whenever the daemon is killed.

use super::{FROM, HOLD, Office, SOON, TO, harmless, password};
use crate::common::bridge::{Break, Bridge, STEPS};
use crate::common::client;
use crate::common::daemon::Daemon;
use crate::common::sink::Sink;
use crate::common::{free_port, wait_for};

/// An office whose archives go to a next hop that fails, and whose passwords go to one that does not.
struct Two {
    office: Office,
    /// Where archives come in.
    archives: u16,
}

fn two(next_hop: u16, sink: Sink) -> Two {
    let (archives, passwords) = (free_port(), free_port());
    let listener = |port: u16, next_hop: u16| {
        format!(
            "[[listener]]\nkind = \"smtp\"\nmode = \"before-queue\"\nlisten = \"127.0.0.1:{port}\"\n\
             next_hop = \"127.0.0.1:{next_hop}\"\n\n"
        )
    };
    let listeners = listener(passwords, Sink::start().port()) + &listener(archives, next_hop);
    let mut daemon = Daemon::of(passwords, &listeners, HOLD);
    daemon.start();
    Two { office: Office { daemon, sink }, archives }
}

impl Two {
    /// A held archive, whose password has just come.
    fn opens(&self) {
        self.holds();
        self.office.send(&password("right", "Kx-77aQ"));
    }

    fn holds(&self) {
        let reply = client::send(self.archives, FROM, &[TO], &harmless("archive")).unwrap();
        assert_eq!(reply.code, 250, "{reply:?}");
        assert_eq!(self.office.entry().0, "held");
    }

    fn show(&self) -> String {
        let id = self.office.daemon.entries()[0]["id"].as_str().unwrap().to_owned();
        let shown = self.office.daemon.command(&["quarantine", "show", &id]);
        String::from_utf8(shown.stdout).unwrap()
    }

    fn arrived(&self) -> usize {
        self.office.delivered("Subject: archive")
    }
}

#[test]
fn killed_at_each_step_of_a_release_the_daemon_ends_it_after_its_start() {
    for step in STEPS {
        let sink = Sink::start();
        let bridge = Bridge::start(sink.port());
        let mut two = two(bridge.port(), sink);
        two.holds();
        let before = bridge.broken();
        bridge.set_at(step, Break::Stall);
        two.office.send(&password("right", "Kx-77aQ"));
        wait_for("the release to hang", SOON, || bridge.broken() > before);
        assert_eq!(two.office.entry().0, "releasing", "{step}");
        two.office.daemon.kill();
        bridge.set(None);
        two.office.daemon.start();
        // Nobody tells the password again.
        wait_for("the release", SOON, || two.office.entry().0 == "released");
        let was_taken = step == "REPLY";
        assert_eq!(two.arrived(), 1 + usize::from(was_taken), "{step}");
        let (log, shown) = (two.office.daemon.log(), two.show());
        // Content that lies in the buffers of a connection is sent, as far as the daemon can know.
        let repeated = was_taken || step == "DOT" || step == "CONTENT" && log.contains("it may arrive twice");
        wait_for("its count", SOON, || two.office.counted(if repeated { "repeated" } else { "released" }) == 1.0);
        assert_eq!(log.contains("it may arrive twice"), repeated, "{step}: {log}");
        assert_eq!(shown.contains("it may arrive twice"), repeated, "{step}: {shown}");
        assert_eq!(shown.contains("nothing was sent, it is held"), !repeated, "{step}: {shown}");
        assert!(two.office.daemon.entries()[0].get("to_release").is_none(), "{step}");
        // And that is the end of it.
        two.office.daemon.kill();
        two.office.daemon.start();
        two.office.send(&password("marker", "Kx-77aQ"));
        assert_eq!(two.arrived(), 1 + usize::from(was_taken), "{step}");
    }
}

#[test]
fn a_next_hop_that_puts_it_off_gets_it_later_and_once() {
    let sink = Sink::start();
    sink.refuse(Some("451 4.3.0 not now"));
    let two = two(sink.port(), sink);
    two.opens();
    wait_for("a try in vain", SOON, || two.show().contains("not released: the next hop does not take it now"));
    assert_eq!(two.office.daemon.entries()[0]["to_release"], true, "the list says that it is to go");
    two.office.sink.refuse(None);
    wait_for("the release", SOON, || two.office.entry().0 == "released");
    wait_for("its count", SOON, || two.office.counted("released") == 1.0);
    assert_eq!((two.arrived(), two.office.counted("failed")), (1, 0.0));
}

#[test]
fn a_next_hop_that_refuses_it_leaves_it_held_and_a_person_may_release_it() {
    let sink = Sink::start();
    sink.refuse(Some("554 5.7.1 never"));
    let two = two(sink.port(), sink);
    two.opens();
    wait_for("the end of the tries", SOON, || two.office.counted("failed") == 1.0);
    assert_eq!(two.office.entry(), ("held".to_owned(), "clean".to_owned()));
    let shown = two.show();
    assert!(shown.contains("554 5.7.1 never") && shown.contains("the next hop refuses it: it stays held"), "{shown}");
    two.office.sink.refuse(None);
    let id = two.office.daemon.entries()[0]["id"].as_str().unwrap().to_owned();
    assert!(two.office.daemon.command(&["quarantine", "release", &id]).status.success());
    assert_eq!((two.arrived(), two.office.entry().0.as_str()), (1, "released"));
}

#[test]
fn a_next_hop_that_is_away_gets_it_when_it_is_there_also_after_a_restart() {
    let (sink, away) = (Sink::start(), free_port());
    let mut two = two(sink.port(), sink);
    two.holds();
    // The port of an entry's next hop that nobody listens on.
    let name = format!("{}.json", two.office.daemon.entries()[0]["id"].as_str().unwrap());
    let path = two.office.daemon.state().join("quarantine").join(name);
    let entry = std::fs::read_to_string(&path).unwrap();
    let was = format!("\"next_hop\": \"127.0.0.1:{}\"", two.office.sink.port());
    assert!(entry.contains(&was), "{entry}");
    std::fs::write(&path, entry.replace(&was, &format!("\"next_hop\": \"127.0.0.1:{away}\""))).unwrap();
    two.office.send(&password("right", "Kx-77aQ"));
    wait_for("a try in vain", SOON, || two.show().contains("not released: the next hop cannot be reached"));
    two.office.daemon.kill();
    two.office.daemon.start();
    two.office.sink = Sink::on(away);
    wait_for("the release", SOON, || two.office.entry().0 == "released");
    assert_eq!(two.arrived(), 1);
}

#[test]
fn a_connection_lost_after_the_final_dot_is_tried_again_and_told() {
    let sink = Sink::start();
    let bridge = Bridge::start(sink.port());
    let two = two(bridge.port(), sink);
    two.holds();
    bridge.set_at("REPLY", Break::Drop);
    two.office.send(&password("right", "Kx-77aQ"));
    wait_for("the loss", SOON, || two.show().contains("no reply to the final dot"));
    bridge.set(None);
    wait_for("the release", SOON, || two.office.entry().0 == "released");
    assert!(two.arrived() >= 2, "the next hop had it, and nobody could know");
    assert!(two.office.daemon.log().contains("it may arrive twice"));
}

#[test]
fn rules_that_changed_while_the_next_hop_was_away_count() {
    let sink = Sink::start();
    sink.refuse(Some("451 4.3.0 not now"));
    let mut two = two(sink.port(), sink);
    two.opens();
    wait_for("a try in vain", SOON, || two.show().contains("not released"));
    two.office.daemon.kill();
    two.office.daemon.configure("\n[[rule]]\nname = \"hold-all\"\naction = \"quarantine\"\n");
    two.office.sink.refuse(None);
    two.office.daemon.start();
    wait_for("the end", SOON, || two.office.counted("kept") == 1.0);
    assert!(two.show().contains("the rules do not let it go any more"), "{}", two.show());
    assert_eq!((two.office.entry().0.as_str(), two.arrived()), ("held", 0));
}
