//! What a scan asks of the outside ([`Ask`]) is answered here, by oracles: helper programs and servers that
//! run in the daemon's name. Nobody waits for one longer than told, and every ask may stay unanswered.
//!
//! An answer goes back into a second scan as knowledge, so that the scan itself stays a function.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::knowledge::{Answer, Said};
use crate::metrics::{AskResult, Metrics};
use crate::pictures::print::Print;
use crate::scan::{Ask, Report};

/// How long all asks of a message together may take. 10 s: longer than any helper needs for one picture
/// on an idle machine, and short beside the reply deadline.
const TIME: Duration = Duration::from_secs(10);
/// Octets of an answer that are kept. 64 KiB: a page of text has 4.
const MAX_ANSWER: usize = 64 * 1024;
/// Asks that are answered at the same time, over all messages: whoever comes then stays unanswered.
const AT_ONCE: usize = 64;

/// What an oracle says, or why it says nothing.
pub type Saying = Pin<Box<dyn Future<Output = Result<Said, Silence>> + Send>>;

/// Why an oracle says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Others have asked so much that it takes no more.
    Busy,
    /// It could not; this goes to the log.
    Failed(String),
    /// Nobody is there who could.
    Nobody,
}

/// What a malicious document showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lesson {
    /// What its picture looks like.
    pub print: Print,
    /// A request was read in it.
    pub is_lure: bool,
    /// The hash of the document, lower-case hex.
    pub document: String,
}

/// Something outside that answers asks: a helper program, a server.
pub trait Oracle: Send + Sync {
    /// For the log and metrics.
    fn name(&self) -> &'static str;

    /// Begins to answer an ask about these octets; `None` if it is none of its business. What it begins must end
    /// when it is dropped (a helper is killed), and has a bound of its own on memory.
    fn answer(&self, ask: &Ask, octets: Bytes) -> Option<Saying>;

    /// Learns, if it does so at all; nobody waits for it.
    fn learn(&self, _lesson: Lesson) {}
}

/// Those that there are.
#[derive(Clone)]
pub struct Oracles {
    oracles: Arc<[Arc<dyn Oracle>]>,
    places: Arc<Semaphore>,
    metrics: Arc<Metrics>,
    time: Duration,
}

impl fmt::Debug for Oracles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.oracles.iter().map(|oracle| oracle.name())).finish()
    }
}

impl Oracles {
    /// These, asked in this order: the first that takes an ask answers it.
    pub fn new(oracles: impl IntoIterator<Item = Arc<dyn Oracle>>, metrics: Arc<Metrics>) -> Self {
        let oracles = oracles.into_iter().collect();
        Self { oracles, places: Arc::new(Semaphore::new(AT_ONCE)), metrics, time: TIME }
    }

    /// Whether there is anybody to ask.
    pub fn is_empty(&self) -> bool {
        self.oracles.is_empty()
    }

    /// Tells all what a malicious document showed.
    pub fn learn(&self, lesson: &Lesson) {
        self.oracles.iter().for_each(|oracle| oracle.learn(lesson.clone()));
    }

    /// The answers to a report's asks that came in time, in the order of the asks. `until` is the latest.
    pub async fn answer(&self, report: &mut Report, until: Instant) -> Vec<Answer> {
        let enclosures = std::mem::take(&mut report.enclosures);
        let until = Instant::now().checked_add(self.time).map_or(until, |own| own.min(until));
        let mut asked = JoinSet::new();
        for (index, (ask, octets)) in report.asks.iter().zip(enclosures).enumerate() {
            let Some((name, saying)) = self.oracles.iter().find_map(|oracle| {
                let saying = oracle.answer(ask, octets.clone())?;
                Some((oracle.name(), saying))
            }) else {
                self.metrics.ask(AskResult::Nobody);
                continue;
            };
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
                self.metrics.ask(AskResult::Busy);
                continue;
            };
            let ask = ask.clone();
            let metrics = Arc::clone(&self.metrics);
            asked.spawn(async move {
                let begun = Instant::now();
                let said = timeout_at(until, saying).await;
                drop(place);
                metrics.ask_took(begun.elapsed());
                (index, name, ask, said)
            });
        }
        let mut answers = Vec::new();
        while let Some(joined) = asked.join_next().await {
            let (result, answer) = match joined {
                Ok((index, _, ask, Ok(Ok(said)))) => {
                    (AskResult::Answered, Some((index, Answer { ask, said: cut(said) })))
                }
                Ok((_, _, _, Ok(Err(Silence::Nobody)))) => (AskResult::Nobody, None),
                Ok((_, _, _, Ok(Err(Silence::Busy)))) => (AskResult::Busy, None),
                Ok((_, name, _, Ok(Err(Silence::Failed(why))))) => {
                    tracing::warn!(oracle = name, why, "an ask stays unanswered");
                    (AskResult::Failed, None)
                }
                Ok((_, _, _, Err(_))) => (AskResult::Late, None),
                // It panicked: that costs one answer.
                Err(_) => (AskResult::Failed, None),
            };
            self.metrics.ask(result);
            answers.extend(answer);
        }
        answers.sort_by_key(|(index, _)| *index);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }
}

/// Cuts an answer to what is kept.
fn cut(mut said: Said) -> Said {
    let (Said::Text(text) | Said::Learned(text)) = &mut said;
    if text.len() > MAX_ANSWER {
        let end = (0..=MAX_ANSWER).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        text.truncate(end);
    }
    said
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::part::PartPath;

    /// Does what the octets of an ask say.
    struct Puppet(Arc<AtomicUsize>);

    struct Counted(Arc<AtomicUsize>);

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    impl Oracle for Puppet {
        fn name(&self) -> &'static str {
            "puppet"
        }

        fn answer(&self, _ask: &Ask, octets: Bytes) -> Option<Saying> {
            let order = String::from_utf8_lossy(&octets).into_owned();
            if order == "nobody" {
                return None;
            }
            self.0.fetch_add(1, Ordering::SeqCst);
            let counted = Counted(Arc::clone(&self.0));
            Some(Box::pin(async move {
                let _counted = counted;
                match order.as_str() {
                    "hang" => std::future::pending().await,
                    "panic" => panic!("as told"),
                    "fail" => Err(Silence::Failed("as told".to_owned())),
                    "busy" => Err(Silence::Busy),
                    "silent" => Err(Silence::Nobody),
                    "much" => Ok(Said::Text("あ".repeat(MAX_ANSWER))),
                    said => Ok(Said::Text(said.to_owned())),
                }
            }))
        }
    }

    fn text(said: &Said) -> &str {
        let (Said::Text(text) | Said::Learned(text)) = said;
        text
    }

    fn report(orders: &[&str]) -> Report {
        let ask = |n: usize| Ask::ReadPicture { part: PartPath::root(), sha256: n.to_string(), print: None };
        Report {
            asks: (0..orders.len()).map(ask).collect(),
            enclosures: orders.iter().map(|order| Bytes::from((*order).to_owned())).collect(),
            ..Report::default()
        }
    }

    fn oracles() -> (Oracles, Arc<AtomicUsize>, Arc<Metrics>) {
        let (open, metrics) = (Arc::new(AtomicUsize::new(0)), Arc::new(Metrics::new()));
        let puppet: Arc<dyn Oracle> = Arc::new(Puppet(Arc::clone(&open)));
        let mut oracles = Oracles::new([puppet], Arc::clone(&metrics));
        oracles.time = Duration::from_millis(200);
        (oracles, open, metrics)
    }

    #[tokio::test]
    async fn what_comes_in_time_is_an_answer_and_all_else_is_none() {
        let (oracles, open, metrics) = oracles();
        let orders = ["one", "hang", "panic", "nobody", "fail", "busy", "two", "silent"];
        let mut report = report(&orders);
        let until = Instant::now() + Duration::from_secs(60);
        let answers = oracles.answer(&mut report, until).await;
        let texts: Vec<_> = answers.iter().map(|answer| text(&answer.said)).collect();
        assert_eq!(texts, ["one", "two"], "in the order of the asks");
        assert_eq!(answers[1].ask, report.asks[6]);
        assert_eq!(open.load(Ordering::SeqCst), 0, "whatever hung was ended");
        let page = metrics.render().unwrap();
        for (result, count) in [("answered", 2), ("late", 1), ("failed", 2), ("nobody", 2), ("busy", 1)] {
            assert!(page.contains(&format!("sekisho_asks_total{{result=\"{result}\"}} {count}\n")), "{result}");
        }
    }

    #[tokio::test]
    async fn the_reply_deadline_is_earlier_than_the_oracles_own() {
        let (mut oracles, _, _) = oracles();
        oracles.time = Duration::from_secs(3600);
        let answers = oracles.answer(&mut report(&["hang"]), Instant::now() + Duration::from_millis(50)).await;
        assert!(answers.is_empty());
    }

    #[tokio::test]
    async fn an_answer_is_cut_at_its_limit_between_characters() {
        let (oracles, _, _) = oracles();
        let answers = oracles.answer(&mut report(&["much"]), Instant::now() + Duration::from_secs(60)).await;
        assert_eq!(text(&answers[0].said).len(), MAX_ANSWER - MAX_ANSWER % 3);
        assert_eq!(text(&cut(Said::Text("x".repeat(MAX_ANSWER)))).len(), MAX_ANSWER);
        assert_eq!(text(&cut(Said::Text("x".repeat(MAX_ANSWER + 1)))).len(), MAX_ANSWER);
        assert_eq!(text(&cut(Said::Text("x".repeat(MAX_ANSWER - 1)))).len(), MAX_ANSWER - 1);
    }

    #[tokio::test]
    async fn more_asks_than_there_are_places_stay_unanswered() {
        let (mut oracles, _, metrics) = oracles();
        oracles.places = Arc::new(Semaphore::new(1));
        let answers = oracles.answer(&mut report(&["hang", "one"]), Instant::now() + Duration::from_millis(50)).await;
        assert!(answers.is_empty());
        assert!(metrics.render().unwrap().contains("sekisho_asks_total{result=\"busy\"} 1\n"));
    }
}
