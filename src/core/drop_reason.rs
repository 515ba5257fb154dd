//! Why datagrams are dropped: the reasons, and their words in counters and in the log.

use std::fmt;

use super::reason::Fault;

/// Why a datagram was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drop {
    /// The socket's send buffer is full: datagrams have no backpressure.
    Blocked,
    /// Its source is our own address: it would come back for ever.
    Own,
    /// Its source is a port below 1024: answering would feed another service.
    Privileged,
    /// One in a thousand of the same bytes from the same source: this ends a loop of two echoes.
    Loop,
    /// The target refused it (an ICMP message came back).
    Refused(Fault),
    /// The system would not send it.
    Failed(Fault),
    /// It has nobody to go to: an unnamed Unix sender, an unresolved name.
    NoWay,
    /// It is shorter than the answer it asks for: to answer would be to amplify.
    Short,
    /// It is longer than we take: a part of it would not be what was sent.
    Long,
}

impl Drop {
    /// The word for it in counters.
    pub fn word(&self) -> &'static str {
        match self {
            Drop::Blocked => "blocked",
            Drop::Own => "own",
            Drop::Privileged => "privileged",
            Drop::Loop => "loop",
            Drop::Refused(_) => "refused",
            Drop::Failed(_) => "failed",
            Drop::NoWay => "no-way",
            Drop::Short => "short",
            Drop::Long => "long",
        }
    }
}

impl fmt::Display for Drop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Drop::Blocked => f.write_str("send buffer full"),
            Drop::Own => f.write_str("source is our own address"),
            Drop::Privileged => f.write_str("source port below 1024"),
            Drop::Loop => f.write_str("loop breaker"),
            Drop::Refused(fault) => write!(f, "refused ({fault})"),
            Drop::Failed(fault) => write!(f, "not sent ({fault})"),
            Drop::NoWay => f.write_str("nobody to send it to"),
            Drop::Short => f.write_str("shorter than its answer"),
            Drop::Long => f.write_str("longer than we take"),
        }
    }
}
