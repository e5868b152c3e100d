//! Notices to the admin: what was delivered closed turned out malicious; what an MTA holds closed was opened.
//!
//! One mail at a time and then none for a while, however many such verdicts there are: the others are counted in the
//! next one. The log and the metrics tell of each.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use jiff::Timestamp;

use super::again::{next_hop_of, queue_id};
use crate::config::Config;
use crate::envelope::{Envelope, Path};
use crate::message::Message;
use crate::store::{Delivery, Entry};
use crate::terminal::{defanged, escaped};
use crate::verdict::Verdict;

/// After a notice, so long none.
const INTERVAL: Duration = Duration::from_secs(600);
/// After one that could not be sent.
const AGAIN: Duration = Duration::from_secs(60);
/// Verdicts that a notice describes; of more it tells the number.
const MAX_DESCRIBED: usize = 20;
/// Characters of a text from mail.
const MAX_TEXT: usize = 500;

/// What a notice tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Delivered mail that turned out malicious.
    Delivered,
    /// Mail in an MTA's hold queue that was opened.
    Mta,
}

/// What is to be told, and when.
#[derive(Debug)]
pub(super) struct Notices {
    pub(super) kind: Kind,
    described: Vec<Described>,
    /// All of them, described or not.
    count: u64,
    not_before: Option<Instant>,
}

/// A late verdict, in words that cannot steer anything.
#[derive(Clone, Debug)]
struct Described {
    en: String,
    ja: String,
    next_hop: String,
}

/// One notice.
#[derive(Clone, Debug)]
pub(super) struct Notice {
    kind: Kind,
    to: Vec<Path>,
    described: Vec<Described>,
    count: u64,
}

impl Notices {
    /// Nothing to tell yet.
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, described: Vec::new(), count: 0, not_before: None }
    }

    /// Notes a late verdict; of what an MTA holds, also whether the rules would deliver it now.
    pub(super) fn add(&mut self, entry: &Entry, verdict: &Verdict, may_go: Option<bool>) {
        let explanation = &verdict.explanation;
        self.count = self.count.saturating_add(1);
        if self.described.len() >= MAX_DESCRIBED {
            return;
        }
        let shown = |text: &str| escaped(&defanged(text), MAX_TEXT);
        let to: Vec<String> = entry.held.iter().take(10).map(|path| shown(&path.address())).collect();
        let more = entry.held.len().saturating_sub(to.len());
        let (mut en, mut ja) = (String::new(), String::new());
        let (sender, subject) =
            (shown(&entry.envelope.sender.address()), shown(entry.subject.as_deref().unwrap_or("-")));
        let (to, id, at) = (to.join(", "), entry.id, entry.received_at.strftime("%Y-%m-%d %H:%M:%SZ"));
        let (more_en, more_ja) = match more {
            0 => (String::new(), String::new()),
            more => (format!(" and {more} more"), format!(" ほか{more}名")),
        };
        let (when_en, when_ja) = match self.kind {
            Kind::Delivered => ("Delivered", "配送日時"),
            Kind::Mta => ("Held", "保留日時"),
        };
        let (queue_en, queue_ja) = match may_go {
            None => (String::new(), String::new()),
            Some(may_go) => {
                let (level, queue_id) = (verdict.level.name(), queue_id(entry).unwrap_or("-"));
                let (en, ja) = match may_go {
                    true => ("the rules would deliver it now", "現在のルールでは配送されます"),
                    false => ("the rules would not deliver it", "現在のルールでは配送されません"),
                };
                (
                    format!("Queue ID: {queue_id}\r\nVerdict: {level}; {en}\r\n"),
                    format!("キューID: {queue_id}\r\n判定: {level}（{ja}）\r\n"),
                )
            }
        };
        // Writing to a string does not fail.
        let _ = write!(
            en,
            "Id: {id}\r\n{queue_en}{when_en}: {at}\r\nFrom: {sender}\r\nTo: {to}{more_en}\r\nSubject: {subject}\r\n{}\r\n",
            shown(&explanation.en)
        );
        let _ = write!(
            ja,
            "ID: {id}\r\n{queue_ja}{when_ja}: {at}\r\n差出人: {sender}\r\n宛先: {to}{more_ja}\r\n件名: {subject}\r\n{}\r\n",
            shown(&explanation.ja)
        );
        self.described.push(Described { en, ja, next_hop: entry.next_hop.clone() });
    }

    /// The notice that is to be sent now, and where; what there is to tell is forgotten if nobody wants to know.
    pub(super) fn due(&mut self, to: &[Path], now: Instant) -> Option<(Notice, String)> {
        if to.is_empty() {
            (self.described, self.count) = (Vec::new(), 0);
            return None;
        }
        let next_hop = self.described.first()?.next_hop.clone();
        if self.not_before.is_some_and(|not_before| now < not_before) {
            return None;
        }
        self.not_before = now.checked_add(INTERVAL);
        let (described, count) = (std::mem::take(&mut self.described), std::mem::take(&mut self.count));
        Some((Notice { kind: self.kind, to: to.to_vec(), described, count }, next_hop))
    }

    /// One that could not be sent goes with the next.
    pub(super) fn put_back(&mut self, notice: Notice) {
        self.count = self.count.saturating_add(notice.count);
        let later = std::mem::replace(&mut self.described, notice.described);
        let room = MAX_DESCRIBED.saturating_sub(self.described.len());
        self.described.extend(later.into_iter().take(room));
        self.not_before = Instant::now().checked_add(AGAIN);
    }
}

impl Notice {
    /// Sends it, from the null sender, so that nothing answers it.
    pub(super) fn send(self, next_hop: &str, config: &Config) -> Result<(), (String, Notice)> {
        let mut delivery = match next_hop_of(next_hop, config) {
            Ok(delivery) => delivery,
            Err(error) => return Err((error, self)),
        };
        let envelope = Envelope { sender: Path::new("<>"), recipients: self.to.clone(), ..Envelope::default() };
        let message = Message::from_bytes(self.octets(Timestamp::now()));
        match delivery.deliver(&envelope, &message, &mut |_| Ok(())) {
            Ok(_) => Ok(()),
            Err(failure) => Err((failure.to_string(), self)),
        }
    }

    fn octets(&self, now: Timestamp) -> Vec<u8> {
        let addresses: Vec<String> = self.to.iter().map(Path::address).collect();
        let from = addresses.first().map(String::as_str).unwrap_or_default();
        let domain = from.rsplit_once('@').map_or("localhost", |(_, domain)| domain);
        let mut octets = format!(
            "From: Sekisho <{from}>\r\nTo: {}\r\nSubject: {} ({})\r\n\
             Date: {}\r\nMessage-ID: <{}.sekisho@{domain}>\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n",
            addresses.join(",\r\n "),
            match self.kind {
                Kind::Delivered => "Sekisho: a delivered attachment is malicious",
                Kind::Mta => "Sekisho: mail in the hold queue was opened",
            },
            self.count,
            now.strftime("%a, %d %b %Y %H:%M:%S +0000"),
            now.as_millisecond(),
        )
        .into_bytes();
        for line in BASE64.encode(self.text().as_bytes()).as_bytes().chunks(76) {
            octets.extend_from_slice(line);
            octets.extend_from_slice(b"\r\n");
        }
        octets
    }

    fn text(&self) -> String {
        let described = self.described.len() as u64;
        let more = self.count.saturating_sub(described);
        let (en, ja) = self.introduction();
        let mut text = format!("{en}\r\n\r\n");
        self.described.iter().for_each(|one| text.extend([one.en.as_str(), "\r\n"]));
        if more > 0 {
            let _ = write!(text, "And {more} more: see the log.\r\n\r\n");
        }
        let _ = write!(text, "--\r\n\r\n{ja}\r\n\r\n");
        self.described.iter().for_each(|one| text.extend([one.ja.as_str(), "\r\n"]));
        if more > 0 {
            let _ = write!(text, "ほか{more}通: ログを参照してください。\r\n");
        }
        text
    }

    /// What has happened, and what is to be done, in English and Japanese.
    fn introduction(&self) -> (String, String) {
        let count = self.count;
        match self.kind {
            Kind::Delivered => (
                format!(
                    "Encrypted attachments of {count} message(s) were delivered before their password was known. The \
                     password has come in another mail, and they are malicious. Their recipients have them: warn them, and \
                     look at their machines."
                ),
                format!(
                    "パスワードが判明する前に配送された{count}通の暗号化添付ファイルは、後続のメールのパスワードで検査した結果、\
                     悪意のあるものと判定されました。受信者の手元にあります。受信者に連絡し、端末を確認してください。"
                ),
            ),
            Kind::Mta => (
                format!(
                    "The MTA holds {count} message(s) whose encrypted attachments were opened with the password of another \
                     mail. Sekisho cannot release them from the MTA's queue: `postsuper -H` with the queue ID releases one, \
                     `postsuper -d` deletes it."
                ),
                format!(
                    "MTAのholdキューにある{count}通の暗号化添付ファイルを、後続のメールのパスワードで検査しました。\
                     SekishoはMTAのキューから解放できません。キューIDを指定して、解放は `postsuper -H`、\
                     削除は `postsuper -d` で行ってください。"
                ),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{Explanation, Level};

    fn verdict() -> Verdict {
        let (en, ja) = ("It runs \u{202e}http://x.example/".to_owned(), "危険です。".to_owned());
        Verdict {
            explanation: Explanation { en, ja },
            level: Level::Malicious,
            complete: true,
            reasons: Vec::new(),
            parts: Vec::new(),
        }
    }

    #[test]
    fn a_storm_makes_one_notice_and_then_one_with_the_number() {
        let (mut notices, entry, now) = (Notices::new(Kind::Delivered), crate::store::tests::entry(), Instant::now());
        let to = [Path::new("<soc@example.jp>")];
        assert!(notices.due(&to, now).is_none(), "nothing to tell");
        notices.add(&entry, &verdict(), None);
        let (first, _) = notices.due(&to, now).unwrap();
        assert_eq!((first.count, first.described.len()), (1, 1));
        (0..1000).for_each(|_| notices.add(&entry, &verdict(), None));
        assert!(notices.due(&to, now + INTERVAL - Duration::from_secs(1)).is_none());
        let (second, _) = notices.due(&to, now + INTERVAL).unwrap();
        assert_eq!((second.count, second.described.len()), (1000, MAX_DESCRIBED));
        let text = second.text();
        assert!(text.contains("And 980 more") && text.contains("ほか980通"), "{text}");
        assert!(!text.contains('\u{202e}') && !text.contains("http://"), "{text}");
        notices.put_back(second);
        assert_eq!((notices.count, notices.described.len()), (1000, MAX_DESCRIBED));
    }

    #[test]
    fn nobody_to_tell_leaves_nothing_to_tell() {
        let (mut notices, entry) = (Notices::new(Kind::Delivered), crate::store::tests::entry());
        notices.add(&entry, &verdict(), None);
        assert!(notices.due(&[], Instant::now()).is_none());
        assert!(notices.described.is_empty() && notices.count == 0);
    }

    #[test]
    fn a_notice_is_mail_that_every_server_takes() {
        let (mut notices, entry) = (Notices::new(Kind::Delivered), crate::store::tests::entry());
        notices.add(&entry, &verdict(), None);
        let (notice, _) = notices.due(&[Path::new("<soc@example.jp>")], Instant::now()).unwrap();
        let octets = String::from_utf8(notice.octets(Timestamp::UNIX_EPOCH)).unwrap();
        assert!(octets.is_ascii() && octets.lines().all(|line| line.len() < 100), "{octets}");
        assert!(octets.contains("\r\nDate: Thu, 01 Jan 1970 00:00:00 +0000\r\n"), "{octets}");
    }

    #[test]
    fn a_notice_of_what_an_mta_holds_names_its_queue_id_and_nothing_that_could_be_a_command() {
        let (mut notices, mut entry) = (Notices::new(Kind::Mta), crate::store::tests::entry());
        entry.envelope.queue_id = Some("4gXk2p0Z".to_owned());
        notices.add(&entry, &verdict(), Some(true));
        entry.envelope.queue_id = Some("x; rm -rf /".to_owned());
        notices.add(&entry, &verdict(), Some(false));
        let (notice, _) = notices.due(&[Path::new("<soc@example.jp>")], Instant::now()).unwrap();
        let text = notice.text();
        assert!(text.contains("Queue ID: 4gXk2p0Z\r\nVerdict: malicious; the rules would deliver it now"), "{text}");
        assert!(
            text.contains("Queue ID: -\r\n") && text.contains("postsuper -H") && !text.contains("rm -rf"),
            "{text}"
        );
        assert!(
            String::from_utf8(notice.octets(Timestamp::UNIX_EPOCH))
                .unwrap()
                .contains("mail in the hold queue was opened (2)")
        );
    }
}
