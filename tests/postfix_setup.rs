//! `sekisho postfix`, on a real Postfix: what it prints, sets up, leaves alone and takes out again.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::common::client::{Client, letter, send};
use crate::common::daemon::{Daemon, program};
use crate::common::postfix::Postfix;
use crate::common::sink::Sink;
use crate::common::{PATIENCE, wait_for};

const FROM: &str = "sender@outside.test";
const TO: &str = "u@inside.test";
const MODES: [&str; 4] = ["before-queue", "after-queue", "milter", "milter+after-queue"];
const OURS: &str = "unix:sekisho/milter.sock";

/// A Postfix to work on, with its folder.
struct Stage {
    postfix: Postfix,
    sink: Sink,
}

fn stage() -> Option<Stage> {
    let sink = Sink::start();
    Some(Stage { postfix: Postfix::start(&sink)?, sink })
}

impl Stage {
    /// `sekisho postfix COMMAND`.
    fn sekisho(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(program());
        command.arg("postfix").args(arguments).env("MAIL_CONFIG", self.postfix.config_dir());
        command.output().expect("to run it")
    }

    /// The arguments that fit this Postfix's ports.
    fn wanted(&self, command: &str, mode: &str) -> Vec<String> {
        let (filter, back) = (self.postfix.filter_port(), self.postfix.next_hop_port());
        let filter = format!("--filter=127.0.0.1:{filter}");
        let back = format!("--return=127.0.0.1:{back}");
        let service = format!("--service={}", self.service());
        [command, "--mode", mode, &filter, &back, &service].map(str::to_owned).into()
    }

    fn run(&self, command: &str, mode: &str) -> Output {
        let arguments = self.wanted(command, mode);
        self.sekisho(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Runs a command that must succeed; what it says.
    fn done(&self, command: &str, mode: &str) -> String {
        let output = self.run(command, mode);
        assert!(output.status.success(), "{command} {mode}: {}", errors(&output));
        String::from_utf8(output.stdout).expect("text")
    }

    fn undo(&self) -> String {
        let output = self.sekisho(&["undo"]);
        assert!(output.status.success(), "{}", errors(&output));
        String::from_utf8(output.stdout).expect("text")
    }

    /// The public service.
    fn service(&self) -> String {
        format!("127.0.0.1:{}/inet", self.postfix.port())
    }

    fn postconf(&self, arguments: &str) -> String {
        let output = self.postfix.sh(&format!("postconf {arguments}"));
        assert!(output.status.success(), "{}", errors(&output));
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    /// What `apply` leaves beside the files.
    fn traces(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.postfix.config_dir()).expect("the folder").flatten().map(|file| file.path());
        files.filter(|path| path.to_string_lossy().contains("sekisho")).collect()
    }

    /// The public service answers again, after a reload.
    fn wait(&self) {
        wait_for("Postfix", PATIENCE, || Client::connect(self.postfix.port()).is_ok());
    }
}

fn errors(output: &Output) -> String {
    format!("{:?} {}", output.status.code(), String::from_utf8_lossy(&output.stderr))
}

fn refused(output: &Output, status: i32, why: &str) {
    assert_eq!(output.status.code(), Some(status), "{}", errors(output));
    assert!(errors(output).contains(why), "{}", errors(output));
}

#[test]
fn every_mode_is_set_up_twice_and_undone_octet_for_octet() {
    let Some(stage) = stage() else { return };
    let before = stage.postfix.configuration();
    for mode in MODES {
        let shown = stage.done("print", mode);
        assert!(shown.contains("\npostconf ") && shown.contains("# +++ master.cf"), "{mode}: {shown}");
        assert_eq!(stage.postfix.configuration(), before, "{mode}: print changes nothing");
        assert!(stage.traces().is_empty());

        let said = stage.done("apply", mode);
        assert!(
            said.contains("checked and reloaded") && said.contains("Warning: nobody takes mail on"),
            "{mode}: {said}"
        );
        let applied = stage.postfix.configuration();
        let check = stage.postfix.sh("postfix check");
        assert!(check.status.success() && check.stderr.is_empty(), "{mode}: {}", errors(&check));

        assert!(stage.done("apply", mode).contains("nothing changed"), "{mode}");
        assert!(stage.done("print", mode).contains("nothing to change"), "{mode}");
        assert_eq!(stage.postfix.configuration(), applied, "{mode}");

        assert!(stage.undo().contains("is as it was before"), "{mode}");
        assert_eq!(stage.postfix.configuration(), before, "{mode}");
        assert_eq!(stage.traces(), Vec::<PathBuf>::new(), "{mode}");
        assert!(stage.undo().contains("nothing to undo"), "{mode}");
    }
    stage.wait();
    assert_eq!(send(stage.postfix.port(), FROM, &[TO], &letter("undone-1")).expect("a session").code, 250);
    stage.sink.wait_for("undone-1");
    let warnings = stage.postfix.warnings();
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn what_is_printed_does_the_same_when_pasted() {
    let Some(stage) = stage() else { return };
    // Between them they have every setting.
    for mode in ["before-queue", "milter+after-queue"] {
        let script = stage.done("print", mode);
        let pasted = stage.postfix.sh(&format!("set -e\n{script}"));
        assert!(pasted.status.success(), "{mode}: {}", errors(&pasted));
        let by_hand = stage.postfix.configuration();
        assert!(stage.done("apply", mode).contains("nothing changed"), "{mode}: it is all there");
        stage.postfix.restore(stage.postfix.written());
        stage.done("apply", mode);
        assert_eq!(stage.postfix.configuration(), by_hand, "{mode}");
        stage.undo();
    }
}

#[test]
fn the_filters_carry_mail() {
    for mode in ["before-queue", "after-queue"] {
        let Some(stage) = stage() else { return };
        let mut daemon = Daemon::new(mode, stage.postfix.filter_port(), stage.postfix.next_hop_port());
        daemon.start();
        // The addresses are in Sekisho's own configuration.
        let config = daemon.folder().join("sekisho.toml").display().to_string();
        let service = stage.service();
        let output = stage.sekisho(&["apply", "--mode", mode, "--config", &config, "--service", &service]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}", errors(&output));
        assert!(!said.contains("Warning") && !said.contains("needs"), "{mode}: {said}");
        stage.wait();
        let reply = send(stage.postfix.port(), FROM, &[TO], &letter("carried-1")).expect("a session");
        assert_eq!(reply.code, 250, "{mode}: {}", reply.text);
        let text = stage.sink.wait_for("carried-1").text();
        assert!(text.contains("X-Sekisho-Verdict: clean"), "{mode}: {text}");
        // NUL is where readers of mail part.
        let nul = [letter("nul-1"), b"a\0b\r\n".to_vec()].concat();
        assert_eq!(send(stage.postfix.port(), FROM, &[TO], &nul).expect("a session").code, 550, "{mode}");
        stage.undo();
    }
}

#[test]
fn while_the_milter_is_away_mail_waits() {
    let Some(stage) = stage() else { return };
    stage.done("apply", "milter");
    stage.wait();
    let reply = send(stage.postfix.port(), FROM, &[TO], &letter("milter-1")).expect("a session");
    assert_eq!(reply.code / 100, 4, "default_action=tempfail: {}", reply.text);
    // Released mail comes back where no milter is asked.
    assert_eq!(send(stage.postfix.next_hop_port(), FROM, &[TO], &letter("released-1")).expect("a session").code, 250);
    stage.sink.wait_for("released-1");
    stage.postfix.drain(PATIENCE);
    assert_eq!(stage.sink.mails().len(), 1, "no notices to the postmaster");
}

#[test]
fn other_milters_stay_in_front() {
    let Some(stage) = stage() else { return };
    stage.postconf("-e 'smtpd_milters=unix:opendkim/s, { inet:127.0.0.1:11332, default_action=accept }' 'non_smtpd_milters=$smtpd_milters'");
    let before = stage.postfix.configuration();
    let said = stage.done("apply", "milter");
    let list = stage.postconf("-h smtpd_milters");
    let others = "unix:opendkim/s, { inet:127.0.0.1:11332, default_action=accept }, ";
    assert!(list.starts_with(&format!("{others}{{ {OURS}, default_action=tempfail, protocol=6, ")), "{list}");
    assert_eq!(stage.postconf("-h non_smtpd_milters"), "$smtpd_milters");
    assert!(said.contains("kind = \"milter\"") && said.contains("/spool/sekisho/milter.sock"), "{said}");
    stage.undo();
    assert_eq!(stage.postfix.configuration(), before);

    // Locally submitted mail has milters of its own.
    stage.postconf("-e non_smtpd_milters=inet:127.0.0.1:11332");
    stage.done("apply", "milter");
    let list = stage.postconf("-h non_smtpd_milters");
    assert!(list.starts_with("inet:127.0.0.1:11332, { unix:sekisho/"), "{list}");
    // Written by hand before: it is taken over, not added.
    stage.undo();
    stage.postconf(&format!("-e 'smtpd_milters={OURS}, unix:last/s'"));
    stage.done("apply", "milter");
    let list = stage.postconf("-h smtpd_milters");
    assert!(list.matches(OURS).count() == 1 && list.ends_with("}, unix:last/s"), "{list}");
}

#[test]
fn a_file_that_was_edited_since_keeps_its_edits() {
    let Some(stage) = stage() else { return };
    let [_, master] = stage.postfix.configuration();
    stage.done("apply", "milter");
    let list = stage.postconf("-h smtpd_milters");
    stage.postconf(&format!(
        "-e 'smtpd_milters={list}, unix:later/s' 'smtpd_banner=by hand' 'message_reject_characters=\\0\\177'"
    ));
    assert!(stage.done("apply", "milter").contains("set up"), "applied again in between");
    stage.postconf("-e 'smtpd_banner=by hand' 'message_reject_characters=\\0\\177'");
    let said = stage.undo();
    assert!(said.contains("main.cf was edited since: only Sekisho's settings are removed"), "{said}");
    assert_eq!(stage.postconf("-h smtpd_milters"), "unix:later/s");
    assert_eq!(stage.postconf("-n smtpd_banner"), "smtpd_banner = by hand");
    let main = stage.postfix.configuration()[0].clone();
    assert!(!main.contains("sekisho") && !main.contains("non_smtpd_milters"), "{main}");
    assert_eq!(stage.postfix.configuration()[1], master, "nobody touched the other file");
    assert!(stage.traces().is_empty());
}

#[test]
fn services_of_ours_go_even_if_somebody_edited_them() {
    let Some(stage) = stage() else { return };
    stage.done("apply", "after-queue");
    let back = format!("127.0.0.1:{}", stage.postfix.next_hop_port());
    stage.postconf(&format!("-F {back}/inet/process_limit=50"));
    stage.postconf("-P 'sekisho/unix/smtp_bind_address=127.0.0.1'");
    stage.postconf("-M 'mine/unix=mine unix - - n - - smtp'");
    let said = stage.undo();
    assert!(said.contains("master.cf was edited since"), "{said}");
    let master = stage.postfix.configuration()[1].clone();
    assert!(!master.contains("sekisho") && !master.contains(&back) && master.contains("mine"), "{master}");
    let check = stage.postfix.sh("postfix check");
    assert!(check.status.success() && check.stderr.is_empty(), "{}", errors(&check));
}

#[test]
fn another_mode_replaces_the_former_one() {
    let Some(stage) = stage() else { return };
    let before = stage.postfix.configuration();
    stage.done("apply", "before-queue");
    let alone = stage.postfix.configuration();
    stage.done("apply", "milter+after-queue");
    assert_eq!(stage.postconf(&format!("-P {}/smtpd_proxy_filter 2>&1", stage.service())).matches('=').count(), 0);
    let script = stage.done("print", "before-queue");
    assert!(script.contains("\nsekisho postfix undo\n"), "{script}");
    stage.done("apply", "before-queue");
    assert_eq!(stage.postfix.configuration(), alone, "nothing of the other mode is left");
    stage.undo();
    assert_eq!(stage.postfix.configuration(), before);
}

#[test]
fn a_check_that_fails_brings_everything_back() {
    let Some(stage) = stage() else { return };
    // Its own log daemon does not live with the mistake below, and everything that logs would wait for it.
    let [main, master] = stage.postfix.configuration();
    let sound = [format!("{main}maillog_file =\n"), master];
    stage.postfix.restore(&sound);
    let broken = [format!("{}mail_owner = nobody-has-this-name\n", sound[0]), sound[1].clone()];
    stage.postfix.restore(&broken);
    for mode in ["before-queue", "milter+after-queue"] {
        refused(&stage.run("apply", mode), 78, "everything is as it was before");
        assert_eq!(stage.postfix.configuration(), broken, "{mode}");
        assert!(stage.traces().is_empty(), "{mode}: {:?}", stage.traces());
    }
    stage.postfix.restore(&sound);
    stage.done("apply", "milter");
    let applied = stage.postfix.configuration();
    let traces = stage.traces();
    stage.postfix.restore(&[format!("{}mail_owner = nobody-has-this-name\n", applied[0]), applied[1].clone()]);
    let edited = stage.postfix.configuration();
    refused(&stage.run("apply", "before-queue"), 78, "everything is as it was before");
    refused(&stage.sekisho(&["undo"]), 78, "everything is as it was before");
    assert_eq!((stage.postfix.configuration(), stage.traces()), (edited, traces));
    stage.postfix.restore(&applied);
    stage.undo();
    assert_eq!(stage.postfix.configuration(), sound, "its record was not lost");
}

#[test]
fn what_belongs_to_somebody_else_is_not_taken() {
    let Some(stage) = stage() else { return };
    let sound = stage.postfix.configuration();
    stage.postconf("-e 'content_filter=amavis:[127.0.0.1]:10024'");
    refused(&stage.run("apply", "after-queue"), 78, "content_filter = amavis:[127.0.0.1]:10024 already");
    stage.postconf(&format!("-P {}/smtpd_proxy_filter=127.0.0.1:10024", stage.service()));
    refused(&stage.run("apply", "before-queue"), 78, "smtpd_proxy_filter = 127.0.0.1:10024 already");
    let (filter, back) = (stage.postfix.filter_port(), stage.postfix.next_hop_port());
    stage.postconf(&format!("-M '127.0.0.1:{filter}/inet=127.0.0.1:{filter} inet n - n - - smtpd'"));
    refused(&stage.run("apply", "before-queue"), 78, "where Sekisho is to listen");
    stage.postfix.restore(&sound);
    stage.postconf(&format!("-M '127.0.0.1:{back}/inet=127.0.0.1:{back} inet n - y - 5 smtpd'"));
    refused(&stage.run("apply", "milter"), 78, "it is not Sekisho's");
    stage.postfix.restore(&sound);
    let config_dir = stage.postfix.config_dir().display().to_string();
    let none = stage.sekisho(&["print", "--mode", "before-queue", "--config-dir", &config_dir]);
    refused(&none, 64, "no smtpd on port 25: name the service with --service");
    let unknown = stage.sekisho(&["print", "--mode", "before-queue", "--service", "smtps/inet"]);
    refused(&unknown, 64, "no smtpd service smtps/inet; it has 127.0.0.1:");
    refused(&stage.sekisho(&["undo", "--config-dir", "/nonexistent"]), 66, "is --config-dir the folder of a Postfix?");
    assert_eq!(stage.postfix.configuration(), sound);
}

#[test]
fn a_chrooted_smtpd_needs_a_socket_that_it_can_see() {
    let Some(stage) = stage() else { return };
    stage.postconf(&format!("-F {}/chroot=y", stage.service()));
    let mut arguments = stage.wanted("print", "milter");
    arguments.push("--milter=unix:/run/sekisho/milter.sock".to_owned());
    let output = stage.sekisho(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    refused(&output, 64, "cannot see /run/sekisho/milter.sock");
    stage.postconf(&format!("-F {}/chroot=n", stage.service()));
    let output = stage.sekisho(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("{ unix:/run/sekisho/milter.sock, "), "{said}");
}

#[test]
fn debians_files_are_understood() {
    let Some(stage) = stage() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    // As installed, and with submission and postscreen as they stand there in comments.
    let master = "smtp inet n - y - 1 postscreen\nsmtpd pass - - y - - smtpd\n\
                  submission inet n - y - - smtpd\n  -o syslog_name=postfix/submission\n  -o smtpd_milters=\n";
    fs::write(folder.path().join("main.cf"), "compatibility_level = 3.6\n").expect("main.cf");
    fs::write(folder.path().join("master.cf"), master).expect("master.cf");
    let config_dir = folder.path().display().to_string();
    let print = |mode| {
        let output = stage.sekisho(&["print", "--mode", mode, "--config-dir", &config_dir]);
        assert!(output.status.success(), "{}", errors(&output));
        String::from_utf8(output.stdout).expect("text")
    };
    let before = print("before-queue");
    assert!(before.contains("'smtpd/pass/smtpd_proxy_filter=127.0.0.1:10025'"), "{before}");
    assert!(before.contains("mail through submission/inet is not scanned"), "{before}");
    let milter = print("milter");
    assert!(milter.contains("submission/inet/smtpd_milters has milters of its own"), "{milter}");
    assert!(milter.contains("makes /var/spool/postfix/sekisho/milter.sock"), "{milter}");
}
