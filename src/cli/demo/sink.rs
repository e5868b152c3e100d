//! The demonstration's next hop: takes every message and keeps it in memory.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Octets that one connection may send: the samples are far smaller, and `--keep` invites others.
const MAX_INPUT: u64 = 256 << 20;
/// Messages kept, the latest ones.
const MAX_MESSAGES: usize = 100;

/// A server that says yes.
pub struct Sink {
    address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    count: usize,
    messages: Vec<Vec<u8>>,
}

impl Sink {
    /// Listens on a free loopback port.
    ///
    /// # Errors
    /// As the system says.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let kept = Arc::new(Mutex::new(Kept::default()));
        let keeper = Arc::clone(&kept);
        tokio::spawn(async move {
            loop {
                if let Ok((stream, _)) = listener.accept().await {
                    let keeper = Arc::clone(&keeper);
                    tokio::spawn(async move { serve(stream, &keeper).await });
                }
            }
        });
        Ok(Self { address, kept })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Messages received so far.
    pub fn received(&self) -> usize {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).count
    }

    /// The messages that came after the first `count` ones.
    pub fn since(&self, count: usize) -> Vec<Vec<u8>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let new = kept.count.saturating_sub(count);
        kept.messages.iter().rev().take(new).rev().cloned().collect()
    }
}

async fn serve(stream: TcpStream, kept: &Mutex<Kept>) -> Option<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader.take(MAX_INPUT));
    writer.write_all(b"220 sink.example ESMTP\r\n").await.ok()?;
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line).await.ok()? == 0 {
            return None;
        }
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        let reply: &[u8] = match verb.as_slice() {
            b"EHLO" => b"250-sink.example\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 104857600\r\n",
            b"DATA" => {
                writer.write_all(b"354 go on\r\n").await.ok()?;
                let message = content(&mut reader).await?;
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.count = kept.count.saturating_add(1);
                kept.messages.push(message);
                let surplus = kept.messages.len().saturating_sub(MAX_MESSAGES);
                kept.messages.drain(..surplus);
                b"250 2.0.0 Ok\r\n"
            }
            b"QUIT" => {
                writer.write_all(b"221 2.0.0 bye\r\n").await.ok()?;
                return None;
            }
            _ => b"250 2.0.0 Ok\r\n",
        };
        writer.write_all(reply).await.ok()?;
    }
}

/// Content up to the final dot, dot-stuffing undone. Our own client writes CRLF only.
async fn content(reader: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Vec<u8>> {
    let (mut message, mut line) = (Vec::new(), Vec::new());
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line).await.ok()? == 0 {
            return None;
        }
        if line == b".\r\n" {
            return Some(message);
        }
        message.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}
