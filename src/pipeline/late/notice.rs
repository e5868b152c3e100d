//! The notice to the admin: what was delivered closed turned out malicious.
//!
//! One mail at a time and then none for a while, however many such verdicts there are: the others are counted in the
//! next one. The log and the metrics tell of each.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use jiff::Timestamp;

use super::again::next_hop_of;
use crate::config::Config;
use crate::envelope::{Envelope, Path};
use crate::message::Message;
use crate::store::{Delivery, Entry};
use crate::terminal::{defanged, escaped};
use crate::verdict::Explanation;

/// After a notice, so long none.
const INTERVAL: Duration = Duration::from_secs(600);
/// After one that could not be sent.
const AGAIN: Duration = Duration::from_secs(60);
/// Verdicts that a notice describes; of more it tells the number.
const MAX_DESCRIBED: usize = 20;
/// Characters of a text from mail.
const MAX_TEXT: usize = 500;

/// What is to be told, and when.
#[derive(Debug, Default)]
pub(super) struct Notices {
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
#[derive(Debug)]
pub(super) struct Notice {
    to: Vec<Path>,
    described: Vec<Described>,
    count: u64,
}

impl Notices {
    /// Notes a late verdict.
    pub(super) fn add(&mut self, entry: &Entry, explanation: &Explanation) {
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
        // Writing to a string does not fail.
        let _ = write!(
            en,
            "Id: {id}\r\nDelivered: {at}\r\nFrom: {sender}\r\nTo: {to}{more_en}\r\nSubject: {subject}\r\n{}\r\n",
            shown(&explanation.en)
        );
        let _ = write!(
            ja,
            "ID: {id}\r\n配送日時: {at}\r\n差出人: {sender}\r\n宛先: {to}{more_ja}\r\n件名: {subject}\r\n{}\r\n",
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
        Some((Notice { to: to.to_vec(), described, count }, next_hop))
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
            "From: Sekisho <{from}>\r\nTo: {}\r\nSubject: Sekisho: a delivered attachment is malicious ({})\r\n\
             Date: {}\r\nMessage-ID: <{}.sekisho@{domain}>\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n",
            addresses.join(",\r\n "),
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
        let mut text = format!(
            "Encrypted attachments of {} message(s) were delivered before their password was known. The password has come \
             in another mail, and they are malicious. Their recipients have them: warn them, and look at their machines.\r\n\r\n",
            self.count
        );
        self.described.iter().for_each(|one| text.extend([one.en.as_str(), "\r\n"]));
        if more > 0 {
            let _ = write!(text, "And {more} more: see the log.\r\n\r\n");
        }
        let _ = write!(
            text,
            "--\r\n\r\nパスワードが判明する前に配送された{}通の暗号化添付ファイルは、後続のメールのパスワードで検査した結果、\
             悪意のあるものと判定されました。受信者の手元にあります。受信者に連絡し、端末を確認してください。\r\n\r\n",
            self.count
        );
        self.described.iter().for_each(|one| text.extend([one.ja.as_str(), "\r\n"]));
        if more > 0 {
            let _ = write!(text, "ほか{more}通: ログを参照してください。\r\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explanation() -> Explanation {
        Explanation { en: "It runs \u{202e}http://x.example/".to_owned(), ja: "危険です。".to_owned() }
    }

    #[test]
    fn a_storm_makes_one_notice_and_then_one_with_the_number() {
        let (mut notices, entry, now) = (Notices::default(), crate::store::tests::entry(), Instant::now());
        let to = [Path::new("<soc@example.jp>")];
        assert!(notices.due(&to, now).is_none(), "nothing to tell");
        notices.add(&entry, &explanation());
        let (first, _) = notices.due(&to, now).unwrap();
        assert_eq!((first.count, first.described.len()), (1, 1));
        (0..1000).for_each(|_| notices.add(&entry, &explanation()));
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
        let (mut notices, entry) = (Notices::default(), crate::store::tests::entry());
        notices.add(&entry, &explanation());
        assert!(notices.due(&[], Instant::now()).is_none());
        assert!(notices.described.is_empty() && notices.count == 0);
    }

    #[test]
    fn a_notice_is_mail_that_every_server_takes() {
        let (mut notices, entry) = (Notices::default(), crate::store::tests::entry());
        notices.add(&entry, &explanation());
        let (notice, _) = notices.due(&[Path::new("<soc@example.jp>")], Instant::now()).unwrap();
        let octets = String::from_utf8(notice.octets(Timestamp::UNIX_EPOCH)).unwrap();
        assert!(octets.is_ascii() && octets.lines().all(|line| line.len() < 100), "{octets}");
        assert!(octets.contains("\r\nDate: Thu, 01 Jan 1970 00:00:00 +0000\r\n"), "{octets}");
    }
}
