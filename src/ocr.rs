//! Reads the text in pictures with `tesseract`, if it is installed: an oracle ([`crate::asks`]), or a part of one
//! ([`crate::pictures`]).
//!
//! It is given a grey raster that a worker made of the picture and that is looked at once more here, never what a sender
//! sent; it runs behind a wall ([`crate::worker::helper`]), reads one stream, writes one, and is killed when nobody
//! waits any more. The same raster is read once, however many messages bring it.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::sync::{OnceCell, Semaphore};

use crate::asks::{Oracle, Saying, Silence};
use crate::formats::picture::is_raster;
use crate::knowledge::Said;
use crate::scan::Ask;
use crate::worker::helper;

/// Helpers at the same time: each takes 1 s of a processor, more or less, and 200 MB.
const AT_ONCE: usize = 2;
/// Pictures that wait for one at most: what comes then is told as unread at once.
const WAITING: usize = 6;
/// Octets of text that are taken: a page has 4 KiB. More is not text.
const MAX_TEXT: u64 = 64 << 10;
/// Pictures whose text is remembered.
const REMEMBERED: usize = 2000;
/// Octets of a text that are remembered: with all of them, 16 MB at most.
const KEPT_TEXT: usize = 8 << 10;
/// Where the program is looked for.
const PLACES: [&str; 2] = ["/usr/bin/tesseract", "/usr/local/bin/tesseract"];

/// The program, and what it has read. A copy shares both.
#[derive(Clone, Debug)]
pub struct Tesseract {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    program: PathBuf,
    languages: String,
    launcher: Vec<OsString>,
    places: Semaphore,
    line: Arc<Semaphore>,
    known: Mutex<Known>,
}

/// Texts by the hash of the raster, the oldest first in line to go.
#[derive(Debug, Default)]
struct Known {
    texts: HashMap<[u8; 32], Arc<OnceCell<String>>>,
    order: VecDeque<[u8; 32]>,
}

impl Known {
    fn of(&mut self, raster: [u8; 32]) -> Arc<OnceCell<String>> {
        if let Some(known) = self.texts.get(&raster) {
            return Arc::clone(known);
        }
        if self.order.len() >= REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.texts.remove(&oldest);
        }
        self.order.push_back(raster);
        Arc::clone(self.texts.entry(raster).or_default())
    }
}

/// Where `tesseract` is installed, if it is.
pub fn installed() -> Option<PathBuf> {
    PLACES.iter().map(PathBuf::from).find(|path| path.is_file())
}

impl Tesseract {
    /// This program, with these languages (`eng`, `jpn`; those that are not installed are left out by the program
    /// itself), behind a wall that this same program raises.
    pub fn new(program: &Path, languages: &[String]) -> Self {
        Self::launched_by(program, languages, vec!["/proc/self/exe".into(), helper::ARGUMENT.into()])
    }

    /// As [`Tesseract::new`], started by other words in front of the program: of tests.
    pub fn launched_by(program: &Path, languages: &[String], launcher: Vec<OsString>) -> Self {
        let shared = Shared {
            program: program.to_owned(),
            languages: languages.join("+"),
            launcher,
            places: Semaphore::new(AT_ONCE),
            line: Arc::new(Semaphore::new(AT_ONCE.saturating_add(WAITING))),
            known: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }
}

/// A raster as a worker makes one, and its hash.
#[derive(Clone, Debug)]
pub struct Raster {
    octets: Bytes,
    hash: [u8; 32],
}

impl Raster {
    /// Looks at what came out of a worker.
    ///
    /// # Errors
    /// It is something else.
    pub fn check(octets: Bytes) -> Result<Self, Silence> {
        if !is_raster(&octets) {
            return Err(Silence::Failed("a worker gave out something else than a picture".to_owned()));
        }
        let hash = Sha256::digest(&octets).into();
        Ok(Self { octets, hash })
    }
}

impl Tesseract {
    /// What was read in the very same picture before.
    pub fn known(&self, raster: &Raster) -> Option<String> {
        let known = self.shared.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.texts.get(&raster.hash)?.get().cloned()
    }

    /// The text in a picture, and whether it was read for this call. Whoever comes while it is read waits for the same
    /// text.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn text(&self, raster: Raster) -> Result<(String, bool), Silence> {
        let text = self.shared.known.lock().unwrap_or_else(PoisonError::into_inner).of(raster.hash);
        let mut was_read = false;
        let read = async {
            let said = self.shared.read(raster.octets).await?;
            was_read = true;
            Ok(said)
        };
        let text = text.get_or_try_init(|| read).await?.clone();
        Ok((text, was_read))
    }
}

impl Oracle for Tesseract {
    fn name(&self) -> &'static str {
        "tesseract"
    }

    fn answer(&self, ask: &Ask, octets: Bytes) -> Option<Saying> {
        let Ask::ReadPicture { .. } = ask;
        let reader = self.clone();
        Some(Box::pin(async move { Ok(Said::Text(reader.text(Raster::check(octets)?).await?.0)) }))
    }
}

impl Shared {
    async fn read(&self, octets: Bytes) -> Result<String, Silence> {
        let _standing = self.line.try_acquire().map_err(|_| Silence::Busy)?;
        let _place = self.places.acquire().await.map_err(|_| Silence::Busy)?;
        let failed = |error: std::io::Error| Silence::Failed(error.to_string());
        let mut words = self.launcher.iter().cloned().chain([self.program.clone().into_os_string()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).args(["-", "-", "--psm", "3", "-l", &self.languages]);
        command.env_clear().env("OMP_THREAD_LIMIT", "1").current_dir("/").kill_on_drop(true);
        command.envs(std::env::var_os(helper::DATA_FOLDER).map(|folder| (helper::DATA_FOLDER, folder)));
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().map_err(failed)?;
        let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Silence::Failed("it has no streams".to_owned()));
        };
        let write = async move {
            // Whoever does not read to the end says so by its status.
            let _ = stdin.write_all(&octets).await;
        };
        let mut said = Vec::new();
        let mut bounded = stdout.take(MAX_TEXT.saturating_add(1));
        let read = bounded.read_to_end(&mut said);
        let reading = async {
            tokio::pin!(write, read);
            let mut written = false;
            loop {
                tokio::select! {
                    result = &mut read => return result,
                    () = &mut write, if !written => written = true,
                }
            }
        };
        reading.await.map_err(failed)?;
        if said.len() as u64 > MAX_TEXT {
            return Err(Silence::Failed(format!("it said more than {MAX_TEXT} octets")));
        }
        let status = child.wait().await.map_err(failed)?;
        if !status.success() {
            return Err(Silence::Failed(format!("it ended with {status}")));
        }
        let mut text = String::from_utf8_lossy(&said).into_owned();
        let end = (0..=KEPT_TEXT.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        text.truncate(end);
        Ok(text)
    }
}
