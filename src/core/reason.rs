//! Why a connection ended: exactly one `Reason`, and which side closed first.

use std::fmt;
use std::io;

/// The side that acted: the client that connected, the target that was dialed, or this proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Client,
    Target,
    Proxy,
}

/// How a side closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseKind {
    /// In order: everything it sent has been received.
    Fin,
    /// At once: bytes in flight may be lost.
    Rst,
}

/// An operating system error that is `Copy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SysError {
    pub kind: io::ErrorKind,
    pub code: Option<i32>,
}

/// The reason a connection or a datagram flow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Both directions ended with a FIN.
    Finished,
    /// The service sent everything and closed.
    Served,
    /// A side or its network reset the connection.
    Reset { by: Side, fault: SysError },
    /// The client left before a target was connected.
    Abandoned { fault: SysError },
    /// No target accepted the connection. The last one refused it.
    Refused { fault: SysError },
    /// No target could be reached. `fault` is the error of the last one.
    Unreachable { fault: SysError },
    /// No target accepted within the connect timeout.
    ConnectTimeout,
    /// No bytes moved for the idle timeout.
    IdleTimeout,
    /// It was half-closed, and idle for the half-close timeout.
    HalfCloseTimeout,
    /// It reached its route's maximum lifetime.
    Lifetime,
    /// Closed by the drain, with nothing in progress.
    Drained,
    /// Closed at the end of the drain timeout.
    Cut,
    /// The system ran out of descriptors, ports or memory.
    Exhausted { fault: SysError },
    /// It was the oldest datagram flow when the table was full.
    Evicted,
    /// It did not read what is broadcast, and fell too far behind the other members.
    Lagged,
    /// It sent a message that is longer than allowed.
    TooLong,
    /// An operator closed it.
    Admin,
    /// A reload removed or changed its route, and the file says to cut it.
    Reloaded,
}

/// How a connection ended: the reason, the side that closed first, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close {
    pub reason: Reason,
    pub first: Side,
    pub by: CloseKind,
}

impl Reason {
    /// Returns the reason for a connection whose targets have all failed, the last with `fault`.
    pub fn not_connected(fault: SysError) -> Reason {
        match fault.kind {
            _ if fault == SysError::SELF_CONNECT => Reason::Refused { fault },
            io::ErrorKind::TimedOut => Reason::ConnectTimeout,
            io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => {
                Reason::Refused { fault }
            }
            // All local ports to this target are in use.
            io::ErrorKind::AddrNotAvailable => Reason::Exhausted { fault },
            _ => Reason::Unreachable { fault },
        }
    }

    /// The names of all reasons, in the order of their index.
    pub const NAMES: [&'static str; 18] = [
        "finished",
        "served",
        "reset",
        "abandoned",
        "refused",
        "unreachable",
        "connect-timeout",
        "idle-timeout",
        "half-close-timeout",
        "lifetime",
        "drained",
        "cut",
        "exhausted",
        "evicted",
        "lagged",
        "message-too-long",
        "admin",
        "reload",
    ];

    /// Returns its name in logs and metrics.
    pub fn name(&self) -> &'static str {
        Reason::NAMES[self.index()]
    }

    /// Returns its index in `NAMES`.
    pub fn index(&self) -> usize {
        match self {
            Reason::Finished => 0,
            Reason::Served => 1,
            Reason::Reset { .. } => 2,
            Reason::Abandoned { .. } => 3,
            Reason::Refused { .. } => 4,
            Reason::Unreachable { .. } => 5,
            Reason::ConnectTimeout => 6,
            Reason::IdleTimeout => 7,
            Reason::HalfCloseTimeout => 8,
            Reason::Lifetime => 9,
            Reason::Drained => 10,
            Reason::Cut => 11,
            Reason::Exhausted { .. } => 12,
            Reason::Evicted => 13,
            Reason::Lagged => 14,
            Reason::TooLong => 15,
            Reason::Admin => 16,
            Reason::Reloaded => 17,
        }
    }

    /// Returns HAProxy's two-letter termination state: which side ended it, and in which phase.
    pub fn code(&self) -> &'static str {
        match self {
            Reason::Finished => "--",
            Reason::Served => "LR",
            Reason::Reset { by: Side::Client, .. } => "CD",
            Reason::Reset { by: Side::Target, .. } => "SD",
            Reason::Reset { by: Side::Proxy, .. } => "ID",
            Reason::Abandoned { .. } => "CC",
            Reason::Refused { .. } | Reason::Unreachable { .. } => "SC",
            Reason::ConnectTimeout => "sC",
            Reason::IdleTimeout => "cD",
            Reason::HalfCloseTimeout => "cL",
            Reason::Lifetime => "PD",
            Reason::Drained | Reason::Cut | Reason::Admin | Reason::Reloaded => "KD",
            Reason::Exhausted { .. } => "RC",
            Reason::Evicted => "RD",
            Reason::Lagged => "PD",
            Reason::TooLong => "PR",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Reset { by, fault } => write!(f, "reset by {by} ({fault})"),
            Reason::Abandoned { fault } => write!(f, "abandoned while connecting ({fault})"),
            Reason::Refused { fault } => write!(f, "refused ({fault})"),
            Reason::Unreachable { fault } => write!(f, "unreachable ({fault})"),
            Reason::Exhausted { fault } => write!(f, "exhausted ({fault})"),
            plain => f.write_str(plain.name()),
        }
    }
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Close { reason, first, by: how } = self;
        match reason {
            // It did not reset the connection: it closed, and later bytes were answered by a RST.
            Reason::Reset { by, fault } if by == first && *how == CloseKind::Fin => {
                write!(f, "{by} closed without waiting for our FIN ({fault})")
            }
            _ => write!(f, "{reason}, {how} from {first} first"),
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Client => "client",
            Side::Target => "target",
            Side::Proxy => "proxy",
        })
    }
}

impl fmt::Display for CloseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CloseKind::Fin => "FIN",
            CloseKind::Rst => "RST",
        })
    }
}

impl SysError {
    /// The target's name does not resolve. There is no errno for it.
    pub const UNRESOLVED: SysError = SysError { kind: io::ErrorKind::HostUnreachable, code: None };
    /// The target is an address of this relay, so each connection would open another one.
    pub const ITSELF: SysError = SysError { kind: io::ErrorKind::Deadlock, code: None };
    /// TCP connected the socket to itself: the system chose the target's port as the local port,
    /// which it does only where nothing listens on that port. Equivalent to a refusal.
    pub const SELF_CONNECT: SysError = SysError { kind: io::ErrorKind::AddrInUse, code: None };

    /// Returns how the side that caused this error closed first. EPIPE means that its FIN had
    /// arrived before; after a reset alone the error is ECONNRESET.
    pub fn closing(self) -> CloseKind {
        match self.kind {
            io::ErrorKind::BrokenPipe => CloseKind::Fin,
            _ => CloseKind::Rst,
        }
    }
}

impl From<&io::Error> for SysError {
    fn from(error: &io::Error) -> SysError {
        SysError { kind: error.kind(), code: error.raw_os_error() }
    }
}

impl fmt::Display for SysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            None if *self == SysError::UNRESOLVED => f.write_str("name does not resolve"),
            None if *self == SysError::ITSELF => f.write_str("leads back to this relay"),
            None if *self == SysError::SELF_CONNECT => {
                f.write_str("TCP self-connect, no listener on its port")
            }
            Some(code) => {
                let text = io::Error::from_raw_os_error(code).to_string();
                // The standard library appends "(os error 104)", which does not help the reader.
                f.write_str(text.split(" (os error").next().unwrap_or(&text))
            }
            None => write!(f, "{}", self.kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_distinguished_from_an_unreachable_target() {
        let reason = |kind: io::ErrorKind| Reason::not_connected(SysError { kind, code: None });
        let table = [
            (io::ErrorKind::ConnectionRefused, "refused", "SC"),
            (io::ErrorKind::ConnectionReset, "refused", "SC"),
            (io::ErrorKind::HostUnreachable, "unreachable", "SC"),
            (io::ErrorKind::NotFound, "unreachable", "SC"),
            (io::ErrorKind::PermissionDenied, "unreachable", "SC"),
            (io::ErrorKind::TimedOut, "connect-timeout", "sC"),
            (io::ErrorKind::AddrNotAvailable, "exhausted", "RC"),
        ];
        for (kind, name, code) in table {
            assert_eq!((reason(kind).name(), reason(kind).code()), (name, code), "{kind}");
        }
        let refused = Reason::not_connected(SysError::SELF_CONNECT);
        assert_eq!(refused, Reason::Refused { fault: SysError::SELF_CONNECT });
        let text = Reason::not_connected(SysError::UNRESOLVED).to_string();
        assert_eq!(text, "unreachable (name does not resolve)");
    }

    #[test]
    fn a_side_that_simply_closed_is_told_from_one_that_reset() {
        let ending = |kind: io::ErrorKind, first, how| {
            let fault = SysError { kind, code: None };
            let reason = Reason::Reset { by: Side::Client, fault };
            Close { reason, first, by: how }.to_string()
        };
        assert_eq!(
            ending(io::ErrorKind::BrokenPipe, Side::Client, CloseKind::Fin),
            "client closed without waiting for our FIN (broken pipe)"
        );
        assert_eq!(
            ending(io::ErrorKind::ConnectionReset, Side::Client, CloseKind::Rst),
            "reset by client (connection reset), RST from client first"
        );
        assert_eq!(
            ending(io::ErrorKind::ConnectionReset, Side::Target, CloseKind::Fin),
            "reset by client (connection reset), FIN from target first"
        );
    }

    #[test]
    fn an_error_is_shown_as_the_system_s_text_without_its_number() {
        let fault = SysError::from(&io::Error::from(io::ErrorKind::ConnectionReset));
        assert_eq!(fault.to_string(), "connection reset");
        #[cfg(target_os = "linux")]
        {
            let fault = SysError::from(&io::Error::from_raw_os_error(104));
            assert_eq!(fault.to_string(), "Connection reset by peer");
        }
    }
}
