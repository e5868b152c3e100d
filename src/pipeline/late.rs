//! The second mail: a password comes in one mail, what it opens in another one of the same sender to the same recipient.
//!
//! Told first, it is known to the scan of the mail that needs it ([`Pipeline::heard`]). Told later, what stayed closed is
//! looked at once more, behind the reply to the mail that told it: what is held is judged again, and what was
//! delivered is judged from a copy. Nothing of this answers a mail or delays one, and whatever fails here leaves
//! held what is held.

mod again;
mod copies;
mod notice;
mod release;

use std::collections::HashMap;
use std::path::Path as FolderPath;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant as Moment};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use self::again::{next_hop_of, passes};
use self::notice::{Kind, Notices};
use self::release::Releases;
use crate::config::Config;
use crate::envelope::Path;
use crate::finding::{self, Finding};
use crate::ledger::{Ledger, Number, Pair, pairs};
use crate::message::Message;
use crate::metrics::{Disposition, SecondMail};
use crate::mime;
use crate::pipeline::deliver::{Outcome, entry};
use crate::pipeline::{Judged, Pipeline};
use crate::queue::Client;
use crate::store::{NewEntry, Quarantine, QuarantineId, StoreError};
use crate::transaction::Mail;

/// Passwords of other mails that a scan tries, beside those of its own.
const MAX_HEARD: usize = 16;
/// Looks that wait. What is more is not looked at; the mail is where it is.
const MAX_JOBS: usize = 256;
/// Of these, those for one network's mail.
const MAX_JOBS_OF_ONE: usize = 64;
/// Looks at the same time; the scanners are shared fairly with new mail all the same.
const AT_ONCE: usize = 8;
/// Looks at one message that the mail of one network may cause.
const MAX_LOOKS_OF_ONE: usize = 4;
/// The same for all networks.
const MAX_LOOKS: usize = 32;
/// How often what has waited too long is looked for.
const TICK: Duration = Duration::from_secs(1);

/// What the line remembers for other mails.
pub struct Late {
    told: Mutex<Ledger<Vec<String>>>,
    waiting: Mutex<Ledger<Waiting>>,
    /// Of mail that was delivered closed.
    copies: Arc<Quarantine>,
    /// Of what was delivered, and of what an MTA holds.
    notices: [Mutex<Notices>; 2],
    releases: Mutex<Releases>,
    queue: mpsc::Sender<Job>,
    /// Until somebody works on it.
    jobs: Mutex<Option<mpsc::Receiver<Job>>>,
    /// Jobs by whose mail they are for.
    queued: Mutex<HashMap<Client, usize>>,
}

/// A message whose attachments stayed closed.
#[derive(Debug)]
struct Waiting {
    id: QuarantineId,
    place: Place,
    size: u64,
    network: Client,
    /// What was tried.
    tried: Vec<String>,
    /// Whose mail caused each look.
    looks: Vec<Client>,
}

/// Where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Held,
    Delivered,
    /// In the MTA's own queue; a copy is here.
    Mta,
}

/// What is done behind the reply.
enum Job {
    /// Keep a copy of what was delivered.
    Keep { new: Box<NewEntry>, message: Arc<Message>, pairs: Vec<Pair>, network: Client, tried: Vec<String> },
    /// Look at it once more.
    Look(Look),
}

/// A look at something that waits.
struct Look {
    number: Number,
    network: Client,
    passwords: Vec<String>,
    /// Tries that came to nothing, since something was not there.
    repeats: u32,
}

impl Late {
    /// Nothing is remembered yet. The copies lie in `folder`.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn open(folder: &FolderPath, config: &Config) -> Result<Self, StoreError> {
        let second = &config.second_mail;
        let copies = Arc::new(Quarantine::open(folder, second.window, second.quota)?);
        let (queue, jobs) = mpsc::channel(MAX_JOBS);
        let jobs = Mutex::new(Some(jobs));
        let (told, waiting, releases, queued) = Default::default();
        let notices = [Kind::Delivered, Kind::Mta].map(|kind| Mutex::new(Notices::new(kind)));
        Ok(Self { told, waiting, copies, notices, releases, queue, jobs, queued })
    }

    /// Queues a job, unless there are too many for mail of this network.
    fn queue(&self, network: Client, job: Job) -> bool {
        let mut queued = lock(&self.queued);
        let count = queued.entry(network).or_default();
        let fits = *count < MAX_JOBS_OF_ONE && self.queue.try_send(job).is_ok();
        if fits {
            *count = count.saturating_add(1);
        } else if *count == 0 {
            queued.remove(&network);
        }
        fits
    }

    fn taken(&self, network: Client) {
        let mut queued = lock(&self.queued);
        let Some(count) = queued.get_mut(&network) else { return };
        *count = count.saturating_sub(1);
        if *count == 0 {
            queued.remove(&network);
        }
    }

    /// Octets of the copies of one network's mail.
    fn copied(&self, network: Client) -> u64 {
        let waiting = lock(&self.waiting);
        let of_it = waiting.iter().filter(|one| one.place != Place::Held && one.network == network);
        of_it.map(|one| one.size).fold(0, u64::saturating_add)
    }

    /// The passwords told under these pairs: the first of each mail, then the second of each.
    fn passwords(&self, pairs: &[Pair]) -> Vec<String> {
        let told = lock(&self.told);
        let lists: Vec<&Vec<String>> = told.find(pairs).into_iter().map(|(_, list)| list).collect();
        let longest = lists.iter().map(|list| list.len()).max().unwrap_or(0);
        let mut passwords: Vec<String> = Vec::new();
        for password in (0..longest).flat_map(|n| lists.iter().filter_map(move |list| list.get(n))) {
            if passwords.len() < MAX_HEARD && !passwords.contains(password) {
                passwords.push(password.clone());
            }
        }
        passwords
    }

    /// The look that these passwords are worth, if they are new to what waits; `Err` if it was looked at too often.
    fn look(&self, number: Number, network: Client, told: &[String]) -> Result<Option<Look>, SecondMail> {
        let mut waiting = lock(&self.waiting);
        let Some(one) = waiting.get_mut(number) else { return Ok(None) };
        let new: Vec<String> = told.iter().filter(|password| !one.tried.contains(password)).cloned().collect();
        let of_one = one.looks.iter().filter(|cause| **cause == network).count();
        if new.is_empty() {
            return Ok(None);
        }
        if of_one >= MAX_LOOKS_OF_ONE || one.looks.len() >= MAX_LOOKS {
            return Err(SecondMail::Untried);
        }
        one.looks.push(network);
        one.tried.extend(new.iter().cloned());
        Ok(Some(Look { number, network, passwords: new, repeats: 0 }))
    }

    fn forget(&self, number: Number) {
        lock(&self.waiting).take(number);
    }
}

impl Pipeline {
    /// The passwords that other mails told of this one's senders and recipients.
    pub(super) fn heard(&self, mail: &Mail, head: &Bytes) -> Vec<String> {
        let nothing = mail.config.second_mail.window.is_zero() || lock(&self.late.told).is_empty();
        if nothing {
            return Vec::new();
        }
        self.late.passwords(&pairs_of(mail, head, mail.envelope.recipients.iter().map(Path::address)))
    }

    /// Remembers what a mail tells for others, and that it stayed closed itself. Its reply does not wait for anything.
    pub(super) fn remember(&self, mail: &Mail, id: QuarantineId, judged: &Judged, outcome: &Outcome) {
        let (told, is_closed) = (&judged.report.told, is_closed(&judged.report.findings));
        if mail.config.second_mail.window.is_zero() || (told.is_empty() && !is_closed) {
            return;
        }
        let network = Client::of_mail(mail);
        let with = |wanted: &[Disposition]| -> Vec<usize> {
            let dispositions = outcome.dispositions.iter().enumerate();
            dispositions.filter(|(_, disposition)| wanted.contains(disposition)).map(|(index, _)| index).collect()
        };
        let pairs = |indices: &[usize]| {
            let recipients = indices.iter().filter_map(|index| mail.envelope.recipients.get(*index));
            pairs_of(mail, &judged.head, recipients.map(Path::address))
        };
        let delivered = with(&[Disposition::Pass, Disposition::Tag]);
        let held = with(&[Disposition::Quarantine]);
        if !told.is_empty() {
            // Of what was refused, the recipients know nothing; what was deferred comes again.
            let known = with(&[Disposition::Pass, Disposition::Tag, Disposition::Strip, Disposition::Quarantine]);
            self.tell(pairs(&known), network, told);
        }
        if !is_closed {
            return;
        }
        let tried: Vec<String> = judged.heard.iter().chain(told).cloned().collect();
        // What the MTA holds is judged from a copy, as what was delivered.
        let copied = if outcome.in_mta { held.clone() } else { delivered };
        if !held.is_empty() && !outcome.in_mta {
            let (place, size, looks) = (Place::Held, mail.message.size(), Vec::new());
            let waiting = Waiting { id, place, size, network, tried: tried.clone(), looks };
            self.wait(pairs(&held), network, Moment::now(), waiting);
        }
        if !copied.is_empty() {
            let mut new = Box::new(entry(mail, id, judged, &copied));
            new.in_mta = outcome.in_mta;
            let (message, pairs) = (Arc::clone(&mail.message), pairs(&copied));
            if !self.late.queue(network, Job::Keep { new, message, pairs, network, tried }) {
                self.metrics.second_mail(SecondMail::Full);
            }
        }
    }

    /// Notes passwords, and has looked at what waits for them.
    fn tell(&self, pairs: Vec<Pair>, network: Client, told: &[String]) {
        // First noted, then looked for: whatever is noted as waiting in between looks here itself.
        let pushed_out = {
            let mut all = lock(&self.late.told);
            all.note(pairs.clone(), network, Moment::now(), told.to_vec());
            all.pushed_out()
        };
        self.forgotten(pushed_out);
        let waiting: Vec<Number> = lock(&self.late.waiting).find(&pairs).into_iter().map(|(n, _)| n).collect();
        for number in waiting {
            self.look_again(number, network, told);
        }
    }

    /// Notes a message that waits. What was told while it was on its way is tried at once.
    fn wait(&self, pairs: Vec<Pair>, network: Client, since: Moment, waiting: Waiting) {
        let (number, pushed_out) = {
            let mut all = lock(&self.late.waiting);
            (all.note(pairs.clone(), network, since, waiting), all.pushed_out())
        };
        self.forgotten(pushed_out);
        let told = self.late.passwords(&pairs);
        if let Some(number) = number.filter(|_| !told.is_empty()) {
            self.look_again(number, network, &told);
        }
    }

    fn forgotten(&self, pushed_out: u64) {
        (0..pushed_out).for_each(|_| self.metrics.second_mail(SecondMail::Forgotten));
    }

    fn look_again(&self, number: Number, network: Client, told: &[String]) {
        let look = match self.late.look(number, network, told) {
            Ok(Some(look)) => look,
            Ok(None) => return,
            Err(refused) => return self.metrics.second_mail(refused),
        };
        if !self.late.queue(look.network, Job::Look(look)) {
            self.metrics.second_mail(SecondMail::Full);
        }
    }

    /// Does what is to be done behind replies, until the end. What is not done then stays as it is: what is held is held.
    pub async fn look_back(self: Arc<Self>, end: CancellationToken) {
        let Some(mut jobs) = lock(&self.late.jobs).take() else { return };
        let pipeline = Arc::clone(&self);
        let noted = spawn_blocking(move || pipeline.note_from_disk()).await;
        if !matches!(noted, Ok(Ok(()))) {
            tracing::error!("what waits for a password could not be read from the disk; held messages stay held");
        }
        self.go_on_releasing();
        let (mut ticks, mut count, mut running) = (interval(TICK), 0_u64, JoinSet::new());
        loop {
            tokio::select! {
                () = end.cancelled() => return,
                Some(job) = jobs.recv(), if running.len() < AT_ONCE => {
                    let pipeline = Arc::clone(&self);
                    running.spawn(async move { pipeline.work(job).await });
                }
                Some(ended) = running.join_next() => {
                    if let Err(panic) = ended {
                        self.metrics.second_mail(SecondMail::Failed);
                        tracing::error!(%panic, "a second look failed by a fault of this program; please report it");
                    }
                }
                _ = ticks.tick() => {
                    self.tick(count).await;
                    count = count.wrapping_add(1);
                }
            }
        }
    }

    async fn work(self: Arc<Self>, job: Job) {
        match job {
            Job::Keep { new, message, pairs, network, tried } => {
                self.late.taken(network);
                self.keep(*new, message, pairs, network, tried).await;
            }
            Job::Look(look) => {
                self.late.taken(look.network);
                if let Some(result) = Arc::clone(&self).second_look(look).await {
                    self.metrics.second_mail(result);
                }
            }
        }
    }
}

/// By whom a mail belongs to others.
fn pairs_of(mail: &Mail, head: &Bytes, recipients: impl IntoIterator<Item = String>) -> Vec<Pair> {
    pairs(&mail.envelope.sender.address(), &mime::header_from(head), recipients)
}

/// Whether something stayed closed that a password would open.
fn is_closed(findings: &[Finding]) -> bool {
    let closed = [
        finding::ARCHIVE_ENCRYPTED,
        finding::ARCHIVE_ENCRYPTED_TOLD,
        finding::DOCUMENT_ENCRYPTED,
        finding::DOCUMENT_ENCRYPTED_TOLD,
    ];
    findings.iter().any(|finding| closed.contains(&finding.id))
}

/// Locks a mutex. What these guard is whole at any time, so a panic elsewhere does not matter.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mail_of_one_network_has_a_quarter_of_the_waiting_looks() {
        let folder = tempfile::tempdir().unwrap();
        let late = Late::open(folder.path(), &Config::default()).unwrap();
        let network = |last: u8| Client::of(Some([192, 0, last, 1].into()), false);
        let mut ledger = Ledger::default();
        let pair = pairs("a@x.example", &[], ["b@x.example".to_owned()]);
        let number = ledger.note(pair, network(1), Moment::now(), ()).unwrap();
        let look = |network| Job::Look(Look { number, network, passwords: Vec::new(), repeats: 0 });
        let queued = |last| (0..100).filter(|_| late.queue(network(last), look(network(last)))).count();
        assert_eq!([1, 2, 3, 4, 5].map(queued), [MAX_JOBS_OF_ONE, 64, 64, 64, 0]);
        assert_eq!(lock(&late.queued).len(), 4, "who has none is not remembered");
    }
}
