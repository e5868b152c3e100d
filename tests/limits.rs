//! What happens at, below and above each limit of docs/limits.md that can be reached from outside: by a
//! message, or over a socket. Limits inside of one module are tried beside the code.

use data_encoding::BASE64;
use sekisho::finding;
use sekisho::knowledge::Knowledge;
use sekisho::limits::Limits;
use sekisho::scan::{Input, Report, Stop, scan};

use crate::common::office::Compound;
use crate::common::ovba::{ModuleKind, dir};
use crate::common::smtp::{Client, Hop, Proxy, config, listener};
use crate::common::{archives, bombs, layouts};

/// A limit of scanning.
struct Row {
    what: &'static str,
    /// The largest number that is not too many.
    most: usize,
    limits: Limits,
    /// Something with so many.
    input: fn(usize) -> Input,
    /// The evidence above it.
    told: &'static str,
}

fn message(raw: String) -> Input {
    Input::message(raw)
}

/// A message with so many attachments.
fn attachments(count: usize) -> Input {
    let part = |n| format!("--b\r\nContent-Type: application/x; name={n}\r\n\r\n{n}\r\n");
    let parts: String = (0..count).map(part).collect();
    message(format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{parts}--b--\r\n"))
}

/// A header section with so many of something that `field` writes.
fn header(count: usize, field: fn(usize) -> String) -> Input {
    let fields: String = (0..count).map(field).collect();
    message(format!("Subject: s\r\n{fields}\r\nbody\r\n"))
}

/// A project whose directory lists so many modules.
fn modules(count: usize) -> Input {
    let names: Vec<String> = (0..count).map(|n| format!("M{n}")).collect();
    let listed: Vec<_> =
        names.iter().map(|name| (name.clone().into_bytes(), name.as_str(), ModuleKind::Standard)).collect();
    let mut stored = vec![0x01];
    for chunk in dir(1252, &listed, 0).chunks(4096) {
        // [MS-OVBA] 2.4.1.3.10: a raw chunk is filled up with zeros.
        stored.extend(0x3FFF_u16.to_le_bytes());
        stored.extend(chunk);
        stored.resize(stored.len() + 4096 - chunk.len(), 0);
    }
    Input::file(Compound::new().stream("VBA/dir", &stored).finish(), "vbaProject.bin")
}

/// Limits under which 2000 octets may wait.
fn half() -> Limits {
    Limits { max_file_size: 1000, max_scan_size: 4000, ..Limits::default() }
}

/// Zeros in a ZIP archive, so many in all.
fn waiting(count: usize) -> Input {
    let packed = [900, 900, count - 1800].map(|size| (layouts::packed(8, &vec![0; size]), size));
    let members: Vec<_> = ["a.bin", "b.bin", "c.bin"]
        .iter()
        .zip(&packed)
        .map(|(name, (packed, size))| (name.to_string(), 8, packed.as_slice(), *size))
        .collect();
    Input::file(bombs::archive(&members), "a.zip")
}

fn table() -> Vec<Row> {
    let few = Limits { max_files: 20, max_recursion: 4, max_file_size: 1000, max_scan_size: 1500, ..Limits::default() };
    let wide = Limits { max_files: 100_000, ..Limits::default() };
    let files = Limits { max_files: 20, ..Limits::default() };
    let nested = Limits { max_recursion: 4, ..Limits::default() };
    let all = Limits { max_file_size: 2000, ..few.clone() };
    vec![
        // The message itself is the first part.
        Row { what: "max_files", most: 19, limits: files, input: attachments, told: "max_files" },
        Row {
            what: "max_recursion",
            // The text of the innermost message is one deeper.
            most: 3,
            limits: nested,
            input: |n| message(format!("{}Subject: s\r\n\r\nx\r\n", "Content-Type: message/rfc822\r\n\r\n".repeat(n))),
            told: "max_recursion",
        },
        Row {
            what: "max_file_size",
            most: 1000,
            limits: few,
            input: |n| Input::file(vec![b'x'; n], "x.bin"),
            told: "max_file_size",
        },
        Row {
            what: "max_scan_size",
            most: 1500,
            limits: all,
            input: |n| Input::file(vec![b'x'; n], "x.bin"),
            told: "max_scan_size",
        },
        Row { what: "octets that wait", most: 2000, limits: half(), input: waiting, told: "c.bin: max_scan_size" },
        Row {
            what: "levels of multiparts",
            most: 40,
            limits: wide.clone(),
            input: |n| {
                let level = |n| format!("Content-Type: multipart/mixed; boundary=n{n}x\r\n\r\n--n{n}x\r\n");
                message(format!("{}\r\nx\r\n", (0..n).map(level).collect::<String>()))
            },
            told: "max_recursion",
        },
        Row {
            what: "content fields of a part",
            most: 40,
            limits: wide.clone(),
            input: |n| header(n, |n| format!("Content-Disposition: inline; x={n}\r\n")),
            told: "max_files",
        },
        Row {
            what: "parameters of a field",
            most: 200,
            limits: wide.clone(),
            input: |n| {
                let parameters: String = (0..n).map(|n| format!(";\r\n p{n}=x")).collect();
                message(format!("Content-Type: application/x{parameters}\r\n\r\nbody\r\n"))
            },
            told: "max_files",
        },
        Row {
            what: "boundaries of a part",
            most: 8,
            limits: wide.clone(),
            input: |n| header(n, |n| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n")),
            told: "max_files",
        },
        Row {
            what: "files within a text",
            most: 1000,
            limits: wide.clone(),
            input: |n| {
                let file = |n| format!("begin 644 {n}.txt\r\n#0V%T\r\n`\r\nend\r\n");
                message(format!("Subject: s\r\n\r\n{}", (0..n).map(file).collect::<String>()))
            },
            told: "max_files",
        },
        Row {
            what: "entities",
            // 10,000 with the message itself.
            most: 9_999,
            limits: wide.clone(),
            input: |n| {
                let part = "--b\r\nContent-Disposition: attachment\r\n\r\nx\r\n".repeat(n);
                message(format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{part}--b--\r\n"))
            },
            told: "max_files",
        },
        Row {
            what: "octets of a file name",
            most: 4096,
            limits: wide.clone(),
            input: |n| {
                let name = format!("=?utf-8?Q?{}.exe?=", "x".repeat(n - 16));
                message(format!("Content-Type: application/x; name=\"{name}\"\r\n\r\nbody\r\n"))
            },
            told: "max_files",
        },
        Row {
            what: "Content-Type fields for the second reader",
            most: 500,
            limits: wide.clone(),
            input: |n| {
                let part = "--b\r\nContent-Type: application/x\r\n\r\nx\r\n".repeat(n - 1);
                message(format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{part}--b--\r\n"))
            },
            told: "max_files",
        },
        Row {
            what: "text of the mail",
            most: 8 << 20,
            limits: wide.clone(),
            input: |n| message(format!("Subject: s\r\n\r\n{}", "text \r\n".repeat(n / 7 + 1)[..n].to_owned())),
            told: "max_file_size",
        },
        Row { what: "modules of a project", most: 4000, limits: wide, input: modules, told: "max_file_size" },
    ]
}

fn told(report: &Report) -> Vec<&str> {
    report.findings.iter().filter(|found| found.id == finding::LIMIT_EXCEEDED).map(|f| f.evidence.as_str()).collect()
}

#[test]
fn what_is_over_a_limit_of_scanning_is_told_and_nothing_else_is() {
    for Row { what, most, limits, input, told: expected } in table() {
        for count in [most - 1, most, most + 1] {
            let report = scan(input(count), &limits, &Knowledge::default(), &Stop::default());
            let expected: &[&str] = if count > most { &[expected] } else { &[] };
            assert_eq!(told(&report), expected, "{what}: {count}");
        }
    }
}

#[test]
fn what_was_looked_at_makes_room_for_other_archives() {
    let part = |n: usize| {
        let packed = BASE64.encode(&archives::gzip(None, &vec![b'a'; 900 + n]));
        format!(
            "--b\r\nContent-Type: application/x; name={n}.gz\r\nContent-Transfer-Encoding: base64\r\n\r\n{packed}\r\n"
        )
    };
    let mail = |count: usize| {
        let parts: String = (0..count).map(part).collect();
        message(format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{parts}--b--\r\n"))
    };
    // Of 4000 octets, the message and what is packed take a part.
    for (count, expected) in [(3, &[][..]), (5, &["max_scan_size"; 2])] {
        let report = scan(mail(count), &half(), &Knowledge::default(), &Stop::default());
        let last: Vec<_> = told(&report).iter().filter_map(|evidence| evidence.rsplit(' ').next()).collect();
        assert_eq!(last, expected, "{count}: {:?}", report.findings);
    }
}

#[tokio::test]
async fn what_is_over_a_limit_of_the_protocol_gets_its_reply() {
    let hop = Hop::start().await;
    let mut config = config();
    config.limits.max_message_size = 100_000;
    (config.service.max_recipients, config.service.max_errors) = (5, 4);
    let proxy = Proxy::start(listener(hop.address), config).await;
    let mut client = Client::hello(proxy.address).await;

    for (length, reply) in [(4095, "250"), (4096, "250"), (4097, "500 5.5.2 line too long"), (1 << 20, "500 5.5.2")] {
        client.expect(&format!("NOOP {}", "x".repeat(length - 7)), reply).await;
    }
    client.envelope(&["<a@b>"]).await;
    assert!(client.message(b"Subject: x\r\n\r\nan accepted message forgives errors\r\n").await.starts_with("250"));

    for (length, reply) in [(254, "250"), (255, "250"), (256, "501")] {
        client.expect(&format!("XFORWARD NAME={}", "x".repeat(length)), reply).await;
    }
    for (size, reply) in [(99_999, "250"), (100_000, "250"), (100_001, "552 5.3.4"), (100_000, "250")] {
        client.envelope(&["<a@b>"]).await;
        let mut content = b"Subject: x\r\n\r\n".to_vec();
        content.resize(size - 2, b'x');
        content.extend(b"\r\n");
        assert!(client.message(&content).await.starts_with(reply), "{size}");
    }
    for (size, reply) in [(99_999, "250"), (100_000, "250"), (100_001, "552 5.3.4")] {
        client.expect(&format!("MAIL FROM:<a@b> SIZE={size}"), reply).await;
        if size <= 100_000 {
            client.expect("RSET", "250").await;
        }
    }
    client.expect("MAIL FROM:<a@b>", "250").await;
    for (number, reply) in
        [(1, "250"), (2, "250"), (3, "250"), (4, "250"), (5, "250"), (6, "452 4.5.3"), (7, "452 4.5.3")]
    {
        client.expect(&format!("RCPT TO:<{number}@b>"), reply).await;
    }
}

#[tokio::test]
async fn a_client_whose_commands_lead_nowhere_is_sent_away() {
    let hop = Hop::start().await;
    let mut config = config();
    config.service.max_errors = 3;
    let proxy = Proxy::start(listener(hop.address), config).await;
    for (command, reply) in
        [("NOOP", "250"), ("FOO", "500"), ("RSET", "250"), ("VRFY a", "252"), ("EHLO again", "250-")]
    {
        let mut client = Client::hello(proxy.address).await;
        for _ in 0..3 {
            client.expect(command, reply).await;
        }
        client.expect(command, "421 4.7.0").await;
        assert_eq!(client.reply().await, "<closed>", "{command}");
    }
    proxy.drained().await;
}
