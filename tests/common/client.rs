//! An SMTP client that says exactly what the test wants, and messages to send.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

/// What a server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The three digits.
    pub code: u16,
    /// All lines.
    pub text: String,
}

/// A session, after the banner.
pub struct Client {
    input: BufReader<TcpStream>,
    output: TcpStream,
}

impl Client {
    /// Connects to a port on 127.0.0.1 and reads the banner.
    pub fn connect(port: u16) -> io::Result<Self> {
        let output = TcpStream::connect(("127.0.0.1", port))?;
        output.set_nodelay(true)?;
        output.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut client = Self { input: BufReader::new(output.try_clone()?), output };
        match client.reply()? {
            Reply { code: 220, .. } => Ok(client),
            other => Err(io::Error::other(other.text)),
        }
    }

    /// Sends one line and reads the reply to it.
    pub fn command(&mut self, line: &str) -> io::Result<Reply> {
        self.output.write_all(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    /// EHLO, MAIL, RCPT, DATA, content. Returns the first reply that is not what the protocol hopes for,
    /// else the reply to the final dot.
    pub fn send(&mut self, from: &str, to: &[&str], content: &[u8]) -> io::Result<Reply> {
        self.send_for(None, from, to, content)
    }

    /// The same on behalf of a client at `address` (XFORWARD), as Postfix does it.
    pub fn send_for(&mut self, address: Option<&str>, from: &str, to: &[&str], content: &[u8]) -> io::Result<Reply> {
        let mut lines = vec!["EHLO client.test".to_owned()];
        lines.extend(address.map(|address| format!("XFORWARD ADDR={address}")));
        lines.push(format!("MAIL FROM:<{from}>"));
        lines.extend(to.iter().map(|to| format!("RCPT TO:<{to}>")));
        lines.push("DATA".to_owned());
        for line in lines {
            let reply = self.command(&line)?;
            if reply.code >= 400 {
                return Ok(reply);
            }
        }
        self.content(content)
    }

    /// Content and the final dot; the first reply to it.
    pub fn content(&mut self, content: &[u8]) -> io::Result<Reply> {
        let mut stuffed = Vec::with_capacity(content.len() + 5);
        for line in content.split_inclusive(|octet| *octet == b'\n') {
            if line.first() == Some(&b'.') {
                stuffed.push(b'.');
            }
            stuffed.extend_from_slice(line);
        }
        stuffed.extend_from_slice(b".\r\n");
        self.output.write_all(&stuffed)?;
        self.reply()
    }

    /// Sends octets as they are, and does not wait for a reply.
    pub fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.output.write_all(octets)
    }

    /// The next reply.
    pub fn reply(&mut self) -> io::Result<Reply> {
        let mut text = String::new();
        loop {
            let start = text.len();
            if self.input.read_line(&mut text)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = &text[start..];
            if line.as_bytes().get(3) != Some(&b'-') {
                let code = line.get(..3).and_then(|digits| digits.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
                return Ok(Reply { code, text });
            }
        }
    }
}

/// Sends one message in a session of its own.
pub fn send(port: u16, from: &str, to: &[&str], content: &[u8]) -> io::Result<Reply> {
    let mut client = Client::connect(port)?;
    let reply = client.send(from, to, content)?;
    // The reply above is what counts.
    let _ = client.command("QUIT");
    Ok(reply)
}

/// A harmless letter that carries `id`, with lines that a careless filter would change.
pub fn letter(id: &str) -> Vec<u8> {
    format!(
        "From: Sender <sender@outside.test>\r\nTo: u@inside.test\r\nSubject: =?utf-8?B?6KuL5rGC5pu4?= {id}\r\n\
         X-Folded: one\r\n\t two   \r\nx-lower:no space\r\nMessage-ID: <{id}@outside.test>\r\n\
         Date: Sun, 22 Nov 2026 10:00:00 +0900\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: 8bit\r\n\r\n.a dot\r\n..two dots\r\nspaces at the end   \r\n\
         拝啓 8-bit\r\n{}\r\n\r\n\r\nlast line\r\n",
        "long ".repeat(180)
    )
    .into_bytes()
}

/// A letter with the EICAR test file as an attachment. The file is made here, so that this source sets off no scanner.
pub fn eicar(id: &str) -> Vec<u8> {
    let file = ["X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR", "STANDARD", "ANTIVIRUS", "TEST", "FILE!$H+H*"].join("-");
    let encoded = data_encoding::BASE64.encode(file.as_bytes());
    format!(
        "From: sender@outside.test\r\nTo: u@inside.test\r\nSubject: {id}\r\nMessage-ID: <{id}@outside.test>\r\n\
         Date: Sun, 22 Nov 2026 10:00:00 +0900\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=\"b1\"\r\n\r\n--b1\r\nContent-Type: text/plain\r\n\r\nsee attachment\r\n\
         --b1\r\nContent-Type: application/octet-stream; name=\"test.com\"\r\nContent-Transfer-Encoding: base64\r\n\
         Content-Disposition: attachment; filename=\"test.com\"\r\n\r\n{encoded}\r\n--b1--\r\n"
    )
    .into_bytes()
}
