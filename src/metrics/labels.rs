//! The values that labels may have, as types.

use crate::policy::decision::Action;

/// What became of a message or of one recipient's copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Disposition {
    /// Delivered as it is.
    Pass,
    /// Delivered with marks.
    Tag,
    /// Delivered without some of its parts.
    Strip,
    /// Held in quarantine.
    Quarantine,
    /// Delivered to somebody else.
    Redirect,
    /// Refused for good.
    Reject,
    /// Refused for now.
    Defer,
    /// Accepted and dropped.
    Discard,
    /// Not the same for all recipients of the message (never used for one recipient).
    Mixed,
}

impl Disposition {
    /// Every disposition.
    pub const ALL: [Disposition; 9] = [
        Disposition::Pass,
        Disposition::Tag,
        Disposition::Strip,
        Disposition::Quarantine,
        Disposition::Redirect,
        Disposition::Reject,
        Disposition::Defer,
        Disposition::Discard,
        Disposition::Mixed,
    ];

    /// The name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Disposition::Pass => "pass",
            Disposition::Tag => "tag",
            Disposition::Strip => "strip",
            Disposition::Quarantine => "quarantine",
            Disposition::Redirect => "redirect",
            Disposition::Reject => "reject",
            Disposition::Defer => "defer",
            Disposition::Discard => "discard",
            Disposition::Mixed => "mixed",
        }
    }

    /// The disposition of a whole message: its recipients' one, or [`Disposition::Mixed`].
    /// Without recipients nothing was done: [`Disposition::Defer`].
    pub fn of_all(each: impl IntoIterator<Item = Disposition>) -> Disposition {
        let mut each = each.into_iter();
        match each.next() {
            None => Disposition::Defer,
            Some(first) if each.all(|other| other == first) => first,
            Some(_) => Disposition::Mixed,
        }
    }
}

impl From<&Action> for Disposition {
    fn from(action: &Action) -> Self {
        match action {
            Action::Pass => Disposition::Pass,
            Action::Tag => Disposition::Tag,
            Action::Strip { .. } => Disposition::Strip,
            Action::Quarantine => Disposition::Quarantine,
            Action::Redirect { .. } => Disposition::Redirect,
            Action::Reject { .. } => Disposition::Reject,
            Action::Defer => Disposition::Defer,
            Action::Discard => Disposition::Discard,
        }
    }
}

/// A stage of a message's way that is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Taking the message apart and examining the parts.
    Scan,
    /// Deciding for all recipients.
    Policy,
    /// Writing to quarantine, durably.
    Store,
    /// The next hop: from DATA to its reply to the final dot.
    Forward,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Stage; 4] = [Stage::Scan, Stage::Policy, Stage::Store, Stage::Forward];

    /// The name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Scan => "scan",
            Stage::Policy => "policy",
            Stage::Store => "store",
            Stage::Forward => "forward",
        }
    }
}

/// Why a scan did not finish: a fault of ours, not the content's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScanError {
    /// The scanner panicked.
    Panic,
    /// A worker died over a message.
    Crash,
    /// A worker wanted more memory than it may have.
    Memory,
    /// `max_scan_time` ran out.
    Timeout,
    /// No free scanner before the reply deadline.
    Overload,
    /// The spooled message could not be read or written.
    Io,
}

impl ScanError {
    /// Every reason.
    pub const ALL: [ScanError; 6] =
        [ScanError::Panic, ScanError::Crash, ScanError::Memory, ScanError::Timeout, ScanError::Overload, ScanError::Io];

    /// The reason that the evidence of a fault tells.
    pub fn of(evidence: &str) -> Self {
        match evidence {
            "max_scan_time" => ScanError::Timeout,
            "memory" => ScanError::Memory,
            "crash" | "stack" | "sandbox" => ScanError::Crash,
            // The name of the format that panicked.
            _ => ScanError::Panic,
        }
    }

    /// The name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            ScanError::Panic => "panic",
            ScanError::Crash => "crash",
            ScanError::Memory => "memory",
            ScanError::Timeout => "timeout",
            ScanError::Overload => "overload",
            ScanError::Io => "io",
        }
    }
}

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WorkerEnd {
    /// It was killed by a signal, or ended by itself, in the middle of a message.
    Crash,
    /// It wanted more memory than it may have.
    Memory,
    /// It overflowed its stack.
    Stack,
    /// It was killed since it did not end in time.
    Timeout,
    /// It tried what no parser needs: the kernel killed it.
    Sandbox,
    /// It had done its share of scans, or kept too much memory, and was replaced.
    Recycled,
}

impl WorkerEnd {
    /// Every end.
    pub const ALL: [WorkerEnd; 6] = [
        WorkerEnd::Crash,
        WorkerEnd::Memory,
        WorkerEnd::Stack,
        WorkerEnd::Timeout,
        WorkerEnd::Sandbox,
        WorkerEnd::Recycled,
    ];

    /// The name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            WorkerEnd::Crash => "crash",
            WorkerEnd::Memory => "memory",
            WorkerEnd::Stack => "stack",
            WorkerEnd::Timeout => "timeout",
            WorkerEnd::Sandbox => "sandbox",
            WorkerEnd::Recycled => "recycled",
        }
    }
}

/// What became of something that a scan asked of the outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AskResult {
    /// There was an answer.
    Answered,
    /// There was none in time.
    Late,
    /// Whoever answers could not.
    Failed,
    /// Too much was asked at the same time.
    Busy,
    /// There is nobody to answer such an ask.
    Nobody,
}

impl AskResult {
    /// Every result.
    pub const ALL: [AskResult; 5] =
        [AskResult::Answered, AskResult::Late, AskResult::Failed, AskResult::Busy, AskResult::Nobody];

    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            AskResult::Answered => "answered",
            AskResult::Late => "late",
            AskResult::Failed => "failed",
            AskResult::Busy => "busy",
            AskResult::Nobody => "nobody",
        }
    }
}

/// How it is known what a picture shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PictureSource {
    /// The very same one was read before.
    Cached,
    /// Malicious documents showed one that looks the same.
    Learned,
    /// It was read.
    Read,
}

impl PictureSource {
    /// Every source.
    pub const ALL: [PictureSource; 3] = [PictureSource::Cached, PictureSource::Learned, PictureSource::Read];

    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            PictureSource::Cached => "cached",
            PictureSource::Learned => "learned",
            PictureSource::Read => "read",
        }
    }
}

/// What came of looking at a message once more, with the password of another mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SecondMail {
    /// It was held, was opened, and went to its recipients.
    Released,
    /// It was held, was opened, and stays held.
    Kept,
    /// It was delivered, and was opened afterwards.
    Late,
    /// Its MTA holds it, and it was opened.
    Mta,
    /// It was sent once more, since nobody knows whether it was taken before: it may arrive twice.
    Repeated,
    /// No password opened it.
    Closed,
    /// Passwords were not tried: it was looked at as often as the mail of one network, or of all, may cause.
    Untried,
    /// Passwords, or something that waited for one, were pushed out by others of the network that had most.
    Forgotten,
    /// There was no room for it: for its copy, or in the queue.
    Full,
    /// It could not be looked at, or not be released.
    Failed,
}

impl SecondMail {
    /// Every result.
    pub const ALL: [SecondMail; 10] = [
        SecondMail::Released,
        SecondMail::Kept,
        SecondMail::Late,
        SecondMail::Mta,
        SecondMail::Repeated,
        SecondMail::Closed,
        SecondMail::Untried,
        SecondMail::Forgotten,
        SecondMail::Full,
        SecondMail::Failed,
    ];

    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            SecondMail::Released => "released",
            SecondMail::Kept => "kept",
            SecondMail::Late => "late",
            SecondMail::Mta => "mta",
            SecondMail::Repeated => "repeated",
            SecondMail::Closed => "closed",
            SecondMail::Untried => "untried",
            SecondMail::Forgotten => "forgotten",
            SecondMail::Full => "full",
            SecondMail::Failed => "failed",
        }
    }
}

/// Something done to the quarantine by the daemon. (Deleting is a command, and releasing too, but for [`SecondMail`].)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QuarantineOperation {
    /// A message was held.
    Hold,
    /// A pending message was removed, since the next hop deferred the transaction.
    Withdraw,
    /// A pending message found after a crash was kept as held.
    Recover,
    /// A held message was deleted at the end of `keep`.
    Expire,
}

impl QuarantineOperation {
    /// Every operation.
    pub const ALL: [QuarantineOperation; 4] = [
        QuarantineOperation::Hold,
        QuarantineOperation::Withdraw,
        QuarantineOperation::Recover,
        QuarantineOperation::Expire,
    ];

    /// The name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            QuarantineOperation::Hold => "hold",
            QuarantineOperation::Withdraw => "withdraw",
            QuarantineOperation::Recover => "recover",
            QuarantineOperation::Expire => "expire",
        }
    }
}

/// Why the daemon hands a message to the next hop. (Releasing is a command: another process.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeliveryKind {
    /// It passed.
    Forward,
}

impl DeliveryKind {
    /// Every kind.
    pub const ALL: [DeliveryKind; 1] = [DeliveryKind::Forward];

    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            DeliveryKind::Forward => "forward",
        }
    }
}

/// What the next hop said to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeliveryResult {
    /// 2yz.
    Accepted,
    /// 4yz.
    Deferred,
    /// 5yz.
    Refused,
    /// Nothing: not reachable, lost, too late, or no well-formed reply.
    Lost,
}

impl DeliveryResult {
    /// Every result.
    pub const ALL: [DeliveryResult; 4] =
        [DeliveryResult::Accepted, DeliveryResult::Deferred, DeliveryResult::Refused, DeliveryResult::Lost];

    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            DeliveryResult::Accepted => "2xx",
            DeliveryResult::Deferred => "4xx",
            DeliveryResult::Refused => "5xx",
            DeliveryResult::Lost => "lost",
        }
    }

    /// The result that a reply code means; [`DeliveryResult::Lost`] for what is no final reply.
    pub fn of_code(code: u16) -> Self {
        match code {
            200..=299 => DeliveryResult::Accepted,
            400..=499 => DeliveryResult::Deferred,
            500..=599 => DeliveryResult::Refused,
            _ => DeliveryResult::Lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dispositions_of_a_message() {
        use Disposition::{Defer, Mixed, Pass, Quarantine};
        assert_eq!(Disposition::of_all([Pass, Pass]), Pass);
        assert_eq!(Disposition::of_all([Pass, Quarantine]), Mixed);
        assert_eq!(Disposition::of_all([]), Defer);
        let actions: Vec<&str> = Disposition::ALL.iter().map(|d| d.name()).filter(|name| *name != "mixed").collect();
        assert_eq!(actions, Action::NAMES);
    }
}
