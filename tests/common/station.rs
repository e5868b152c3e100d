//! A next hop that speaks SMTP or LMTP and refuses by address: `gone@` at RCPT (550), `later@` (451) and
//! `never@` (550) at the final dot, the whole message or, in LMTP, that recipient's copy.

use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::sink::{read_data, read_line};

/// A copy that was taken for somebody.
#[derive(Clone, Debug)]
pub struct Copy {
    /// Who: `user@example.test`.
    pub to: String,
    /// The content, unstuffed.
    pub text: String,
}

/// A server on 127.0.0.1. Its threads end with the test program.
pub struct Station {
    port: u16,
    copies: Arc<Mutex<Vec<Copy>>>,
}

impl Station {
    /// Starts it on a free port.
    pub fn start(lmtp: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let copies = Arc::<Mutex<Vec<Copy>>>::default();
        let taken = Arc::clone(&copies);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let taken = Arc::clone(&taken);
                // A client that goes away ends its session and nothing else.
                std::thread::spawn(move || drop(serve(&stream, lmtp, &taken)));
            }
        });
        Self { port, copies }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What has been taken since the last time.
    pub fn take(&self) -> Vec<Copy> {
        std::mem::take(&mut self.copies.lock().expect("the copies"))
    }
}

fn serve(stream: &TcpStream, lmtp: bool, taken: &Mutex<Vec<Copy>>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut input, mut output) = (BufReader::new(stream), stream);
    let mut to: Vec<String> = Vec::new();
    output.write_all(b"220 station.test ready\r\n")?;
    while let Some(line) = read_line(&mut input)? {
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        let reply = match verb.as_str() {
            "EHLO" if lmtp => "500 5.5.1 LHLO here\r\n",
            "LHLO" if !lmtp => "502 5.5.1 EHLO here\r\n",
            "EHLO" | "LHLO" => "250-station.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 0\r\n",
            "RCPT" if line.contains("<gone@") => "550 5.1.1 gone\r\n",
            "RCPT" => {
                let address = line.split(['<', '>']).nth(1).unwrap_or_default();
                to.push(address.to_owned());
                "250 2.1.5 Ok\r\n"
            }
            "DATA" => {
                output.write_all(b"354 go on\r\n")?;
                let text = String::from_utf8_lossy(&read_data(&mut input)?).into_owned();
                let to = std::mem::take(&mut to);
                let words: Vec<&str> = to.iter().map(|to| word(to)).collect();
                let worst = words.iter().copied().max_by_key(|word| !word.starts_with('2'));
                for (to, own) in to.iter().zip(&words) {
                    let word = if lmtp { own } else { worst.unwrap_or(own) };
                    if word.starts_with('2') {
                        taken.lock().expect("the copies").push(Copy { to: to.clone(), text: text.clone() });
                    }
                    if lmtp {
                        output.write_all(word.as_bytes())?;
                    }
                }
                if lmtp { "" } else { worst.unwrap_or("554 5.5.1 nobody\r\n") }
            }
            "QUIT" => return output.write_all(b"221 2.0.0 Bye\r\n"),
            "MAIL" | "RSET" => {
                to.clear();
                "250 2.0.0 Ok\r\n"
            }
            _ => "250 2.0.0 Ok\r\n",
        };
        output.write_all(reply.as_bytes())?;
    }
    Ok(())
}

/// The reply to the final dot.
fn word(to: &str) -> &'static str {
    match to.split('@').next() {
        Some("later") => "451 4.2.0 later\r\n",
        Some("never") => "550 5.2.0 never\r\n",
        _ => "250 2.0.0 taken\r\n",
    }
}
