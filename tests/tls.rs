//! STARTTLS (RFC 3207) with clients and next hops, certificates of all sorts, and XCLIENT.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use crate::common::client::{eicar, letter, send};
use crate::common::daemon::Daemon;
use crate::common::sink::Sink;
use crate::common::smtp::{Act, Client, Hop, Proxy, config, listener, lmtp_listener};
use crate::common::{PATIENCE, free_port, require_tool, skip, wait_for};
use sekisho::config::{ClientTls, Config, Listener, ServerTls};
use sekisho::smtp::session::SessionEnd;
use sekisho::tls::{Connector, Identity};
use tempfile::TempDir;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

const MAIL: &[u8] = b"Subject: x\r\n\r\nbody\r\n";

/// A folder with certificates for `mx.test` and 127.0.0.1.
struct Certificates(TempDir);

impl Certificates {
    fn new() -> Option<Self> {
        require_tool("openssl")?;
        let certificates = Self(tempfile::tempdir().unwrap());
        certificates.make("a");
        Some(certificates)
    }

    fn make(&self, name: &str) {
        let settings = self.path("openssl.cnf");
        let text = "[req]\ndistinguished_name = dn\nx509_extensions = ext\nprompt = no\n[dn]\nCN = mx.test\n\
            [ext]\nbasicConstraints = CA:FALSE\nsubjectAltName = DNS:mx.test,IP:127.0.0.1\n";
        fs::write(&settings, text).unwrap();
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
            .arg("-config")
            .arg(settings)
            .arg("-keyout")
            .arg(self.path(&format!("{name}.key")))
            .arg("-out")
            .arg(self.path(&format!("{name}.pem")))
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn identity(&self) -> Identity {
        Identity::load(&self.path("a.pem"), &self.path("a.key")).unwrap()
    }

    /// A listener with TLS.
    fn listener(&self, hop: &Hop, required: bool) -> Listener {
        Listener { tls: Some(ServerTls { required, identity: self.identity() }), ..listener(hop.address) }
    }
}

fn name(name: &str) -> ServerName<'static> {
    ServerName::try_from(name.to_owned()).unwrap()
}

/// What a client takes: any certificate.
fn trusting() -> Arc<ClientConfig> {
    Connector::trusting(name("mx.test")).unwrap().config().0
}

fn say(text: &str) -> Act {
    Act::Say(text.to_owned())
}

// ---- clients

#[tokio::test]
async fn a_client_gets_tls_and_begins_anew() {
    let Some(certificates) = Certificates::new() else { return };
    let hop = Hop::start().await;
    let proxy = Proxy::start(certificates.listener(&hop, false), config()).await;
    let mut client = Client::connect(proxy.address).await;
    client.reply().await;
    assert!(client.ask("EHLO a").await.contains("STARTTLS"));
    client.expect("STARTTLS now", "501").await;
    client.expect("XFORWARD NAME=forgotten", "250").await;
    client.start_tls(trusting()).await;
    client.expect("MAIL FROM:<>", "503").await;
    client.expect("STARTTLS", "503").await;
    assert!(!client.ask("EHLO b").await.contains("STARTTLS"));
    client.expect("XFORWARD IDENT=1", "250").await;
    client.envelope(&["<a@b>"]).await;
    assert!(client.message(&b"0123456789abcde\r\n".repeat(100_000)).await.starts_with("250"));
    client.expect("QUIT", "221").await;
    assert_eq!(hop.messages()[0].content, b"0123456789abcde\r\n".repeat(100_000));
    assert!(hop.lines().contains(&"1 XFORWARD IDENT=1".to_owned()), "{:?}", hop.lines());
    assert!(!hop.lines().iter().any(|line| line.contains("forgotten")));
}

#[tokio::test]
async fn what_stands_behind_starttls_in_clear_is_thrown_away() {
    let Some(certificates) = Certificates::new() else { return };
    let hop = Hop::start().await;
    let proxy = Proxy::start(certificates.listener(&hop, false), config()).await;
    let mut client = Client::connect(proxy.address).await;
    client.reply().await;
    client.send(b"EHLO a\r\nSTARTTLS\r\nEHLO evil\r\nMAIL FROM:<evil@x>\r\n").await;
    assert!(client.reply().await.starts_with("250-"));
    assert!(client.reply().await.starts_with("220 "));
    client.handshake(trusting()).await.unwrap();
    client.expect("NOOP", "250 2.0.0 Ok").await;
    client.expect("MAIL FROM:<>", "503").await;
    assert_eq!(hop.lines(), ["0 EHLO a"]);
}

#[tokio::test]
async fn starttls_has_its_place() {
    let Some(certificates) = Certificates::new() else { return };
    let hop = Hop::start().await;
    let proxy = Proxy::start(certificates.listener(&hop, false), config()).await;
    let mut client = Client::hello(proxy.address).await;
    client.expect("MAIL FROM:<>", "250").await;
    client.expect("STARTTLS", "503").await;
    client.expect("RSET", "250").await;
    client.start_tls(trusting()).await;

    let plain = Proxy::before(&hop).await;
    let mut client = Client::hello(plain.address).await;
    client.expect("STARTTLS", "502").await;
}

#[tokio::test]
async fn where_tls_is_required_no_mail_comes_in_clear() {
    let Some(certificates) = Certificates::new() else { return };
    let hop = Hop::start().await;
    let proxy = Proxy::start(certificates.listener(&hop, true), config()).await;
    let mut client = Client::hello(proxy.address).await;
    client.expect("MAIL FROM:<>", "530 5.7.0").await;
    client.expect("XFORWARD NAME=a", "530 5.7.0").await;
    client.expect("NOOP", "250").await;
    client.start_tls(trusting()).await;
    client.expect("EHLO a", "250-").await;
    client.envelope(&["<a@b>"]).await;
    assert!(client.message(MAIL).await.starts_with("250"));
}

#[tokio::test]
async fn a_handshake_that_fails_or_never_comes_ends_the_session() {
    let Some(certificates) = Certificates::new() else { return };
    let hop = Hop::start().await;
    let mut config = config();
    config.timeouts.client = Duration::from_millis(300);
    let proxy = Proxy::start(certificates.listener(&hop, false), config).await;
    for garbage in [true, false] {
        let mut client = Client::hello(proxy.address).await;
        client.expect("STARTTLS", "220").await;
        if garbage {
            client.send(b"EHLO in the clear\r\n").await;
        }
        let reply = client.reply().await;
        assert!(!reply.contains("250"), "{reply:?}");
        proxy.drained().await;
    }
    assert_eq!(*proxy.handler.ends.lock().unwrap(), [SessionEnd::ProtocolError, SessionEnd::Timeout]);
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_a_handshake() {
    let Some(certificates) = Certificates::new() else { return };
    let hop = Hop::start().await;
    let proxy = Proxy::start(certificates.listener(&hop, false), config()).await;
    let mut client = Client::hello(proxy.address).await;
    client.expect("STARTTLS", "220").await;
    assert!(proxy.shutdown.finish(Duration::from_secs(10)).await);
    assert_eq!(*proxy.handler.ends.lock().unwrap(), [SessionEnd::Shutdown]);
}

#[tokio::test]
async fn lmtp_has_tls_too() {
    let Some(certificates) = Certificates::new() else { return };
    let hop = Hop::start_lmtp().await;
    hop.offer_tls(certificates.identity());
    let connector = Connector::trusting(name("127.0.0.1")).unwrap();
    let listener = Listener {
        tls: certificates.listener(&hop, true).tls,
        next_hop_tls: Some(ClientTls { required: true, connector }),
        ..lmtp_listener(hop.address)
    };
    let proxy = Proxy::start(listener, config()).await;
    let mut client = Client::lhlo(proxy.address).await;
    client.start_tls(trusting()).await;
    client.expect("LHLO a", "250-").await;
    client.envelope(&["<a@b>", "<c@d>"]).await;
    assert_eq!(client.lmtp_message(MAIL, 2).await.len(), 2);
    assert_eq!(hop.lines()[5..8], ["1 LHLO a", "1 STARTTLS", "1 <TLS>"].map(str::to_owned), "{:?}", hop.lines());
}

// ---- the next hop

/// A proxy that wants TLS with this next hop.
async fn towards(hop: &Hop, required: bool, connector: Connector) -> Proxy {
    towards_within(hop, required, connector, config()).await
}

async fn towards_within(hop: &Hop, required: bool, connector: Connector, config: Config) -> Proxy {
    let next_hop_tls = Some(ClientTls { required, connector });
    Proxy::start(Listener { next_hop_tls, ..listener(hop.address) }, config).await
}

/// The reply to EHLO.
async fn greeted(proxy: &Proxy) -> String {
    let mut client = Client::connect(proxy.address).await;
    client.reply().await;
    client.ask("EHLO a").await
}

#[tokio::test]
async fn a_next_hop_gets_its_mail_inside_tls() {
    let Some(certificates) = Certificates::new() else { return };
    let hop = Hop::start().await;
    hop.offer_tls(certificates.identity());
    let ca = certificates.path("a.pem");
    for connector in [
        Connector::trusting(name("127.0.0.1")),
        Connector::verifying(Some(&ca), name("127.0.0.1")),
        Connector::verifying(Some(&ca), name("mx.test")),
    ] {
        let proxy = towards(&hop, true, connector.unwrap()).await;
        let mut client = Client::hello(proxy.address).await;
        for _ in 0..2 {
            client.envelope(&["<a@b>"]).await;
            assert!(client.message(&b".123456789abcde\r\n".repeat(100_000)).await.starts_with("250"));
        }
    }
    let expected = ["0 EHLO client.example", "0 STARTTLS", "0 <TLS>", "0 EHLO client.example"];
    assert_eq!(hop.lines()[..4], expected);
    assert_eq!((hop.messages().len(), hop.connections()), (6, 3), "a connection inside TLS is kept");
    assert_eq!(hop.messages()[5].content, b".123456789abcde\r\n".repeat(100_000));
}

#[tokio::test]
async fn a_next_hop_that_cannot_be_believed_gets_nothing() {
    let Some(certificates) = Certificates::new() else { return };
    certificates.make("other");
    let hop = Hop::start().await;
    hop.offer_tls(certificates.identity());
    for connector in [
        Connector::verifying(Some(&certificates.path("other.pem")), name("mx.test")),
        Connector::verifying(Some(&certificates.path("a.pem")), name("mx.other")),
        Connector::verifying(Some(&certificates.path("a.pem")), name("127.0.0.2")),
    ] {
        let proxy = towards(&hop, true, connector.unwrap()).await;
        let reply = greeted(&proxy).await;
        assert!(reply.starts_with("421 4.4.1"), "{reply}");
    }
    assert!(hop.lines().iter().all(|line| !line.contains("MAIL")));
}

#[tokio::test]
async fn without_tls_to_be_had_what_is_required_is_deferred_and_what_may_be_goes_in_clear() {
    let Some(certificates) = Certificates::new() else { return };
    for (offers, answer) in [(false, None), (true, Some("454 4.7.0 not now")), (true, Some("502 5.5.1 what"))] {
        for required in [true, false] {
            let hop = Hop::start().await;
            if offers {
                hop.always("EHLO", say("250-hop\r\n250 STARTTLS"));
                hop.always("STARTTLS", say(answer.unwrap()));
            }
            let proxy = towards(&hop, required, Connector::trusting(name("127.0.0.1")).unwrap()).await;
            let reply = greeted(&proxy).await;
            assert!(reply.starts_with(if required { "421 " } else { "250-" }), "{offers} {required}: {reply}");
        }
    }
    // A handshake that fails is deferred in either case.
    let hop = Hop::start().await;
    hop.offer_tls(certificates.identity());
    hop.always("STARTTLS", Act::Close);
    let proxy = towards(&hop, false, Connector::trusting(name("127.0.0.1")).unwrap()).await;
    assert!(greeted(&proxy).await.starts_with("421 "));
}

#[tokio::test]
async fn what_the_next_hop_says_in_clear_behind_its_220_is_a_loss() {
    let Some(certificates) = Certificates::new() else { return };
    for act in [say("220 go\r\n250-evil\r\n250 AUTH"), say("220 go\r\n2"), Act::Raw(b"220 go\r\n\x16\x03".to_vec())] {
        let hop = Hop::start().await;
        hop.offer_tls(certificates.identity());
        hop.always("STARTTLS", act.clone());
        let proxy = towards(&hop, false, Connector::trusting(name("127.0.0.1")).unwrap()).await;
        let reply = greeted(&proxy).await;
        assert!(reply.starts_with("421 "), "{act:?}: {reply}");
        assert!(!hop.lines().contains(&"0 <TLS>".to_owned()), "no handshake was begun");
    }
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_bounded() {
    let hop = Hop::start().await;
    hop.always("EHLO", say("250-hop\r\n250 STARTTLS"));
    let mut config = config();
    config.timeouts.next_hop_command = Duration::from_millis(300);
    let proxy = towards_within(&hop, true, Connector::trusting(name("127.0.0.1")).unwrap(), config).await;
    assert!(greeted(&proxy).await.starts_with("421 "));
}

#[tokio::test]
async fn a_reply_nobody_asked_for_is_noticed_inside_tls() {
    let Some(certificates) = Certificates::new() else { return };
    for (at, act, replaced) in [
        ("END", say("250 2.0.0 Ok\r\n421 4.4.2 idle too long"), true),
        ("END", Act::SayAndClose("250 2.0.0 Ok".to_owned()), true),
        ("END", say("250 2.0.0 Ok\r\n250 2.0.0 once more"), false),
    ] {
        let hop = Hop::start().await;
        hop.offer_tls(certificates.identity());
        hop.on(0, at, act.clone());
        let proxy = towards(&hop, true, Connector::trusting(name("127.0.0.1")).unwrap()).await;
        let mut client = Client::hello(proxy.address).await;
        client.envelope(&["<a@b>"]).await;
        assert!(client.message(MAIL).await.starts_with("250"));
        tokio::time::sleep(Duration::from_millis(50)).await;
        let reply = client.ask("MAIL FROM:<>").await;
        assert!(reply.starts_with(if replaced { "250" } else { "451" }), "{act:?}: {reply}");
    }
    // A 250 before the final dot is not the answer to it.
    let hop = Hop::start().await;
    hop.offer_tls(certificates.identity());
    hop.on(0, "DATA", say("354 go\r\n250 2.0.0 early")).on(0, "END", Act::Close);
    let proxy = towards(&hop, true, Connector::trusting(name("127.0.0.1")).unwrap()).await;
    let mut client = Client::hello(proxy.address).await;
    client.envelope(&["<a@b>"]).await;
    assert!(client.message(MAIL).await.starts_with("451"));
    assert!(!proxy.handler.lost.lock().unwrap()[0].0, "the dot was not sent");
}

// ---- the configuration

#[test]
fn what_is_wrong_with_certificates_is_said_at_its_place() {
    let Some(certificates) = Certificates::new() else { return };
    certificates.make("other");
    fs::write(certificates.path("text"), "no certificate").unwrap();
    let at = |name: &str| certificates.path(name).display().to_string();
    let (pem, key, text) = (at("a.pem"), at("a.key"), at("text"));
    let rows = [
        ("tls = \"may\"".to_owned(), "2:7", "`tls` needs a certificate"),
        (format!("tls = \"may\"\ntls_cert = \"{pem}\""), "2:7", "`tls` needs a key"),
        (format!("tls_cert = \"{}\"\ntls_key = \"{key}\"\ntls = \"may\"", at("gone")), "2:12", "is the path right?"),
        (
            format!("tls_cert = \"{text}\"\ntls_key = \"{key}\"\ntls = \"may\""),
            "2:12",
            "holds no certificate in PEM form",
        ),
        (
            format!("tls_cert = \"{pem}\"\ntls_key = \"{text}\"\ntls = \"may\""),
            "3:11",
            "holds no private key in PEM form",
        ),
        (
            format!("tls_cert = \"{pem}\"\ntls_key = \"{}\"\ntls = \"may\"", at("other.key")),
            "3:11",
            "is not that of the",
        ),
        (format!("tls_cert = \"a.pem\"\ntls_key = \"{key}\""), "2:12", "is not the path of a file"),
        (format!("tls_cert = \"{pem}\""), "2:12", "`tls_cert` does nothing"),
        (
            format!("next_hop_tls = \"verify\"\nnext_hop_tls_ca = \"{text}\""),
            "3:19",
            "holds no certificate in PEM form",
        ),
        ("next_hop = \"unix:/s\"\nnext_hop_tls = \"verify\"".to_owned(), "3:16", "a Unix socket has no name"),
        ("next_hop_tls = \"verify\"\nnext_hop_tls_name = \"a b\"".to_owned(), "3:21", "is no name of a server"),
        ("kind = \"milter\"\ntls = \"may\"".to_owned(), "3:7", "has no meaning for a listener of kind `milter`"),
    ];
    for (lines, place, message) in rows {
        let (_, diagnostics) = Config::check(&format!("[[listener]]\n{lines}\n"), "f");
        let said = diagnostics.to_string();
        let found = said.lines().any(|line| line.starts_with(&format!("f:{place}: ")) && line.contains(message));
        assert!(found, "{lines}: {place} {message}\n{said}");
    }
    let sound =
        format!("[[listener]]\ntls = \"encrypt\"\ntls_cert = \"{pem}\"\ntls_key = \"{key}\"\nnext_hop_tls = \"may\"\n");
    let listener = Config::parse(&sound, "f").unwrap().listeners.remove(0);
    assert!(listener.tls.unwrap().required && !listener.next_hop_tls.unwrap().required);
}

/// The certificate that the daemon shows, by openssl.
fn shown(port: u16) -> String {
    let output = Command::new("openssl")
        .args(["s_client", "-starttls", "smtp", "-showcerts", "-connect", &format!("127.0.0.1:{port}")])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let begin = text.find("-----BEGIN").unwrap_or_default();
    let end = text.find("-----END").unwrap_or_default();
    text[begin..end].trim().to_owned()
}

fn file(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text[..text.find("-----END").unwrap()].trim().to_owned()
}

#[test]
fn a_reload_brings_a_new_certificate_and_a_bad_one_changes_nothing() {
    let Some(certificates) = Certificates::new() else { return };
    let sink = Sink::start();
    let (pem, key) = (certificates.path("a.pem"), certificates.path("a.key"));
    let mut daemon = Daemon::new("before-queue", free_port(), sink.port());
    daemon.set_listener(&format!("tls = \"may\"\ntls_cert = \"{}\"\ntls_key = \"{}\"\n", pem.display(), key.display()));
    daemon.start();
    let first = file(&pem);
    assert_eq!(shown(daemon.port()), first);
    certificates.make("a");
    daemon.reload();
    wait_for("the reload", PATIENCE, || daemon.log().contains("in force"));
    assert!(!daemon.log().contains("only after a restart"), "a renewed certificate is no other listener");
    let second = file(&pem);
    assert_ne!(first, second);
    assert_eq!(shown(daemon.port()), second);

    fs::write(&key, "nonsense").unwrap();
    daemon.reload();
    wait_for("the refusal", PATIENCE, || daemon.log().contains("the old one runs on"));
    assert!(daemon.log().contains("holds no private key"));
    assert_eq!(shown(daemon.port()), second);
    assert_eq!(send(daemon.port(), "a@b", &["c@d"], &letter("in-clear")).unwrap().code, 250);
}

#[test]
fn swaks_delivers_over_tls() {
    let Some(certificates) = Certificates::new() else { return };
    if require_tool("swaks").is_none() {
        return;
    }
    let sink = Sink::start();
    let mut daemon = Daemon::new("before-queue", free_port(), sink.port());
    let (pem, key) = (certificates.path("a.pem"), certificates.path("a.key"));
    let tls = format!("tls = \"encrypt\"\ntls_cert = \"{}\"\ntls_key = \"{}\"\n", pem.display(), key.display());
    daemon.set_listener(&tls);
    daemon.start();
    let swaks = |more: &[&str]| {
        let port = daemon.port().to_string();
        let fixed = ["--server", "127.0.0.1", "--port", &port, "--from", "a@b.test", "--to", "c@d.test"];
        Command::new("swaks").args(fixed).args(more).output().unwrap()
    };
    let output = swaks(&["--tls"]);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    if said.contains("TLS not available") {
        return skip("swaks has no TLS: the Perl module Net::SSLeay is missing; tests/run.sh installs it");
    }
    assert!(output.status.success(), "{said}");
    assert!(said.contains("TLS started"), "{said}");
    let clear = swaks(&[]);
    assert!(String::from_utf8_lossy(&clear.stdout).contains("530 5.7.0"));
    assert_eq!(sink.mails().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_goes_inside_tls_where_its_listener_does() {
    let Some(certificates) = Certificates::new() else { return };
    let hop = Hop::start().await;
    hop.offer_tls(certificates.identity());
    let port = hop.address.port();
    tokio::task::spawn_blocking(move || {
        let mut daemon = Daemon::new("before-queue", free_port(), port);
        daemon.set_listener("next_hop_tls = \"encrypt\"\n");
        daemon.start();
        assert_eq!(send(daemon.port(), "a@b.test", &["c@d.test"], &eicar("held")).unwrap().code, 250);
        let id = daemon.message_with("quarantine")["id"].as_str().unwrap().to_owned();
        let output = daemon.command(&["quarantine", "release", &id]);
        assert!(output.status.success(), "{output:?}");
    })
    .await
    .unwrap();
    assert_eq!(hop.messages().len(), 1);
    assert!(hop.lines().contains(&"1 <TLS>".to_owned()), "{:?}", hop.lines());
}

// ---- XCLIENT

/// A proxy whose peers may send XCLIENT.
async fn replacing(hop: &Hop) -> Proxy {
    Proxy::start(Listener { xclient_networks: vec!["127.0.0.0/8".parse().unwrap()], ..listener(hop.address) }, config())
        .await
}

#[tokio::test]
async fn xclient_is_for_those_who_may() {
    let hop = Hop::start().await;
    let proxy = Proxy::before(&hop).await;
    let mut client = Client::connect(proxy.address).await;
    client.reply().await;
    assert!(!client.ask("EHLO a").await.contains("XCLIENT"));
    client.expect("XCLIENT ADDR=192.0.2.9", "550 5.7.0").await;
    client.expect("MAIL FROM:<>", "250").await;

    let proxy = replacing(&hop).await;
    let mut client = Client::connect(proxy.address).await;
    client.reply().await;
    let offered = client.ask("EHLO a").await;
    assert!(offered.contains("XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT"), "{offered}");
    for bad in ["XCLIENT", "XCLIENT FOO=bar", "XCLIENT ADDR=nowhere", "XCLIENT PORT=many", "XCLIENT NAME=a+2"] {
        client.expect(bad, "501").await;
    }
    client.expect("MAIL FROM:<>", "250").await;
    client.expect("XCLIENT ADDR=192.0.2.9", "503").await;
    client.expect("RSET", "250").await;
    client.expect("XCLIENT ADDR=192.0.2.9", "220 [127.0.0.1] ESMTP").await;
    client.expect("MAIL FROM:<>", "503").await;
    client.expect("EHLO b", "250-").await;
    client.expect("MAIL FROM:<>", "250").await;
}

#[tokio::test]
async fn the_client_is_who_xclient_says_and_the_next_hop_learns_it_by_xforward() {
    for (takes, told) in [
        (
            "250-hop\r\n250 XFORWARD NAME ADDR PROTO HELO",
            Some("XFORWARD NAME=[UNAVAILABLE] ADDR=IPV6:2001:db8::9 HELO=h"),
        ),
        ("250-hop\r\n250 XCLIENT NAME ADDR", None),
    ] {
        let hop = Hop::start().await;
        hop.always("EHLO", say(takes));
        let proxy = replacing(&hop).await;
        let mut client = Client::hello(proxy.address).await;
        client.expect("XCLIENT NAME=[TEMPUNAVAIL] ADDR=IPV6:2001:db8::9 HELO=h LOGIN=me DESTPORT=25", "220").await;
        client.expect("EHLO c", "250").await;
        client.envelope(&["<a@b>"]).await;
        client.message(MAIL).await;
        let envelope = proxy.handler.envelope.lock().unwrap().clone().unwrap();
        let address = Some("2001:db8::9".parse().unwrap());
        assert_eq!(
            (envelope.client.addr, envelope.client.name, envelope.client.helo),
            (address, None, Some("h".into()))
        );
        let lines = hop.lines();
        assert!(!lines.iter().any(|line| line.contains("XCLIENT") || line.contains("LOGIN")), "{lines:?}");
        let forwarded = lines.iter().find_map(|line| line.split_once(' ').filter(|(_, line)| line.starts_with("XF")));
        assert_eq!(forwarded.map(|(_, line)| line), told);

        // What the peer forwards itself counts more, for its transaction.
        client.expect("XFORWARD ADDR=192.0.2.7", "250").await;
        client.envelope(&["<a@b>"]).await;
        client.message(MAIL).await;
        let addr = proxy.handler.envelope.lock().unwrap().clone().unwrap().client.addr;
        assert_eq!(addr, Some("192.0.2.7".parse().unwrap()));
        client.envelope(&["<a@b>"]).await;
        client.message(MAIL).await;
        let addr = proxy.handler.envelope.lock().unwrap().clone().unwrap().client.addr;
        assert_eq!(addr, address, "and then it is the other again");
    }
}
