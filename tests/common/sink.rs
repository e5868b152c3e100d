//! The last station: an SMTP server that takes everything and remembers it.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::{PATIENCE, wait_for};

/// A message that was taken.
#[derive(Clone, Debug)]
pub struct Mail {
    /// The argument of MAIL FROM.
    pub from: String,
    /// The arguments of RCPT TO.
    pub to: Vec<String>,
    /// The content, unstuffed, with its CRLFs.
    pub data: Vec<u8>,
}

impl Mail {
    /// The content for comparisons and messages.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.data).into_owned()
    }
}

/// A server on 127.0.0.1. Its threads end with the test program.
pub struct Sink {
    port: u16,
    mails: Arc<Mutex<Vec<Mail>>>,
    refusal: Arc<Mutex<Option<String>>>,
}

impl Sink {
    /// Starts it on a free port.
    pub fn start() -> Self {
        Self::on(0)
    }

    /// Starts it on this port.
    pub fn on(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let (mails, refusal) = (Arc::<Mutex<Vec<Mail>>>::default(), Arc::<Mutex<Option<String>>>::default());
        let (taken, refusing) = (Arc::clone(&mails), Arc::clone(&refusal));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (taken, refusing) = (Arc::clone(&taken), Arc::clone(&refusing));
                // A client that goes away ends its session and nothing else.
                std::thread::spawn(move || drop(serve(&stream, &taken, &refusing)));
            }
        });
        Self { port, mails, refusal }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Answers every final dot with this, and takes nothing; or takes all again.
    pub fn refuse(&self, reply: Option<&str>) {
        *self.refusal.lock().expect("the refusal") = reply.map(str::to_owned);
    }

    /// What has come so far.
    pub fn mails(&self) -> Vec<Mail> {
        self.mails.lock().expect("the mails").clone()
    }

    /// The first message whose content holds `needle`, once it is there.
    pub fn wait_for(&self, needle: &str) -> Mail {
        let find = || self.mails().into_iter().find(|mail| mail.text().contains(needle));
        wait_for(&format!("a mail with {needle}"), PATIENCE, || find().is_some());
        find().expect("it was there")
    }
}

fn serve(stream: &TcpStream, taken: &Mutex<Vec<Mail>>, refusing: &Mutex<Option<String>>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut input, mut output) = (BufReader::new(stream), stream);
    let (mut from, mut to) = (String::new(), Vec::new());
    output.write_all(b"220 sink.test ESMTP\r\n")?;
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        let (verb, argument) = line.split_at(line.find([' ', ':']).unwrap_or(line.len()));
        let reply = match verb.to_ascii_uppercase().as_str() {
            "EHLO" => "250-sink.test\r\n250-PIPELINING\r\n250-SIZE 0\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 DSN\r\n",
            "MAIL" => {
                (from, to) = (argument.to_owned(), Vec::new());
                "250 2.1.0 Ok\r\n"
            }
            "RCPT" => {
                to.push(argument.to_owned());
                "250 2.1.5 Ok\r\n"
            }
            "DATA" => {
                output.write_all(b"354 go on\r\n")?;
                let data = read_data(&mut input)?;
                let mail = Mail { from: std::mem::take(&mut from), to: std::mem::take(&mut to), data };
                let refusal = refusing.lock().expect("the refusal").clone();
                if let Some(refusal) = refusal {
                    output.write_all(format!("{refusal}\r\n").as_bytes())?;
                    continue;
                }
                taken.lock().expect("the mails").push(mail);
                "250 2.0.0 Ok: taken\r\n"
            }
            "QUIT" => return output.write_all(b"221 2.0.0 Bye\r\n"),
            _ => "250 2.0.0 Ok\r\n",
        };
        output.write_all(reply.as_bytes())?;
    }
}

/// One line without its end; `None` if the peer has closed.
pub fn read_line(input: &mut impl BufRead) -> std::io::Result<Option<String>> {
    let mut line = String::new();
    let read = input.read_line(&mut line)?;
    Ok((read > 0).then(|| line.trim_end().to_owned()))
}

/// Content up to the final dot, unstuffed.
pub fn read_data(input: &mut impl BufRead) -> std::io::Result<Vec<u8>> {
    let mut data = Vec::new();
    loop {
        let start = data.len();
        if input.read_until(b'\n', &mut data)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        match &data[start..] {
            b".\r\n" => {
                data.truncate(start);
                return Ok(data);
            }
            [b'.', ..] => drop(data.remove(start)),
            _ => {}
        }
    }
}
