//! How messages come, and what follows from that for replies.

/// How the message came, and so what a reply can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// SMTP in front of the queue: the sender's server still waits, one reply for all recipients.
    BeforeQueue,
    /// SMTP behind the queue: a refusal would make a bounce to a forged sender, so nothing is refused.
    AfterQueue,
    /// LMTP from a server whose client still waits: a reply for each recipient.
    LmtpBeforeQueue,
    /// LMTP behind the queue: a reply for each recipient, and nothing is refused.
    LmtpAfterQueue,
    /// A milter: the sender's server still waits, one reply, and the MTA makes the changes.
    Milter,
}

impl Transport {
    /// Every transport, for metrics.
    pub const ALL: [Transport; 5] = [
        Transport::BeforeQueue,
        Transport::AfterQueue,
        Transport::LmtpBeforeQueue,
        Transport::LmtpAfterQueue,
        Transport::Milter,
    ];

    /// The name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Transport::BeforeQueue => "before-queue",
            Transport::AfterQueue => "after-queue",
            Transport::LmtpBeforeQueue => "lmtp-before-queue",
            Transport::LmtpAfterQueue => "lmtp-after-queue",
            Transport::Milter => "milter",
        }
    }

    /// Whether a permanent refusal reaches the sender's server, instead of making a bounce.
    pub fn may_refuse(self) -> bool {
        match self {
            Transport::BeforeQueue | Transport::LmtpBeforeQueue | Transport::Milter => true,
            Transport::AfterQueue | Transport::LmtpAfterQueue => false,
        }
    }

    /// Whether each recipient gets a reply of its own (RFC 2033 4.2).
    pub fn answers_each(self) -> bool {
        match self {
            Transport::LmtpBeforeQueue | Transport::LmtpAfterQueue => true,
            Transport::BeforeQueue | Transport::AfterQueue | Transport::Milter => false,
        }
    }
}
