//! Why datagrams are dropped: the reasons, and their words in counters and in the log.

use std::fmt;

use super::reason::SysError;

/// Why a datagram was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The socket's send buffer is full: datagrams have no backpressure.
    Blocked,
    /// Its source is our own address: it would come back for ever.
    Own,
    /// Its source is a port below 1024: answering would feed another service.
    Privileged,
    /// One in a thousand of the same bytes from the same source: this ends a loop of two echoes.
    Loop,
    /// The target refused it (an ICMP message came back).
    Refused(SysError),
    /// The system would not send it.
    Failed(SysError),
    /// It has nobody to go to: an unnamed Unix sender, an unresolved name.
    NoWay,
    /// It is shorter than the answer it asks for: to answer would be to amplify.
    Short,
    /// It is longer than we take: a part of it would not be what was sent.
    Long,
}

impl DropReason {
    /// The word for it in counters.
    pub fn name(&self) -> &'static str {
        match self {
            DropReason::Blocked => "blocked",
            DropReason::Own => "own",
            DropReason::Privileged => "privileged",
            DropReason::Loop => "loop",
            DropReason::Refused(_) => "refused",
            DropReason::Failed(_) => "failed",
            DropReason::NoWay => "no-way",
            DropReason::Short => "short",
            DropReason::Long => "long",
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DropReason::Blocked => f.write_str("send buffer full"),
            DropReason::Own => f.write_str("source is our own address"),
            DropReason::Privileged => f.write_str("source port below 1024"),
            DropReason::Loop => f.write_str("loop breaker"),
            DropReason::Refused(fault) => write!(f, "refused ({fault})"),
            DropReason::Failed(fault) => write!(f, "not sent ({fault})"),
            DropReason::NoWay => f.write_str("nobody to send it to"),
            DropReason::Short => f.write_str("shorter than its answer"),
            DropReason::Long => f.write_str("longer than we take"),
        }
    }
}
