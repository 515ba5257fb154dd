//! Why datagrams are dropped: the reasons, and their names in counters and in the log.

use std::fmt;

use super::reason::SysError;

/// Why a datagram was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The socket's send buffer is full. Datagrams have no backpressure.
    Blocked,
    /// Its source is our own address, so the answer would arrive here again without end.
    Own,
    /// Its source is a port below 1024: the answer would be a request to another service.
    Privileged,
    /// One in a thousand datagrams with the same bytes and source is dropped: this ends a loop
    /// between two echo services.
    Loop,
    /// The target refused it (an ICMP error arrived).
    Refused(SysError),
    /// The system call that sends it failed.
    Failed(SysError),
    /// It has no destination: an unnamed Unix sender, or an unresolved name.
    NoWay,
    /// It is shorter than its answer, which would amplify traffic to a spoofed source.
    Short,
    /// It is longer than the receive buffer, and would be truncated.
    Long,
}

impl DropReason {
    /// Returns its name in counters.
    pub fn name(&self) -> &'static str {
        match self {
            DropReason::Blocked => "blocked",
            DropReason::Own => "own",
            DropReason::Privileged => "privileged",
            DropReason::Loop => "loop",
            DropReason::Refused(_) => "refused",
            DropReason::Failed(_) => "failed",
            DropReason::NoWay => "no-address",
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
            DropReason::Loop => f.write_str("loop protection"),
            DropReason::Refused(fault) => write!(f, "refused ({fault})"),
            DropReason::Failed(fault) => write!(f, "send failed ({fault})"),
            DropReason::NoWay => f.write_str("no destination address"),
            DropReason::Short => f.write_str("shorter than the reply"),
            DropReason::Long => f.write_str("longer than the maximum"),
        }
    }
}
