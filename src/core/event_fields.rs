//! The data that events carry besides numbers: peers, services, signals, and why a datagram was
//! dropped. All of it can be named without the part of the program that it comes from.

use std::fmt;
use std::net::SocketAddr;

use super::reason::SysError;

/// The remote address of an accepted connection, or of a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    Inet(SocketAddr),
    /// A Unix socket, and its name if it is bound (most clients are not).
    Unix(Option<String>),
    /// The process's standard input and output.
    Stdio,
}

/// The client that a target is dialed for, and the listener that accepted it.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    pub peer: &'a Peer,
    pub listen: &'a str,
}

/// What serves a connection or a listener. Its settings are part of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServiceKind {
    Echo,
    Discard,
    Chargen,
    Daytime,
    Time,
    Whoami,
    Greet,
    Relay,
    Hub,
    Chat,
    /// The session of `oneloop connect`, between standard input and output and a target.
    Connect,
    /// The admin endpoint.
    Admin,
    /// Its listener for health and metrics only.
    Metrics,
}

/// Why a listener stopped accepting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseCause {
    /// The connection limit is reached.
    Limit,
    /// The system is out of a resource.
    System(SysError),
    /// An operator asked for it.
    Operator,
}

/// A signal that the process handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Terminate,
    Interrupt,
    HangUp,
    Quit,
}

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

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Inet(address) => write!(f, "{address}"),
            Peer::Unix(Some(name)) => write!(f, "unix:{}", name.escape_default()),
            Peer::Unix(None) => f.write_str("unix:"),
            Peer::Stdio => f.write_str("stdio"),
        }
    }
}

impl ServiceKind {
    /// Returns its name in routes, commands and logs.
    pub fn name(self) -> &'static str {
        match self {
            ServiceKind::Echo => "echo",
            ServiceKind::Discard => "discard",
            ServiceKind::Chargen => "chargen",
            ServiceKind::Daytime => "daytime",
            ServiceKind::Time => "time",
            ServiceKind::Whoami => "whoami",
            ServiceKind::Greet => "greet",
            ServiceKind::Relay => "relay",
            ServiceKind::Hub => "hub",
            ServiceKind::Chat => "chat",
            ServiceKind::Connect => "connect",
            ServiceKind::Admin => "admin",
            ServiceKind::Metrics => "metrics",
        }
    }
}

impl fmt::Display for ServiceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Signal {
    /// Returns its name in the system and in the log.
    pub fn name(self) -> &'static str {
        match self {
            Signal::Terminate => "SIGTERM",
            Signal::Interrupt => "SIGINT",
            Signal::HangUp => "SIGHUP",
            Signal::Quit => "SIGQUIT",
        }
    }

    /// Returns the exit status that a shell reports for a program ended by this signal.
    pub fn status(self) -> u8 {
        const SIGNALLED: u8 = 128;
        SIGNALLED
            + match self {
                Signal::HangUp => 1,
                Signal::Interrupt => 2,
                Signal::Quit => 3,
                Signal::Terminate => 15,
            }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl PauseCause {
    /// Returns its name where causes are listed.
    pub fn name(self) -> &'static str {
        match self {
            PauseCause::Limit => "connection-limit",
            PauseCause::System(_) => "system",
            PauseCause::Operator => "operator",
        }
    }
}

impl fmt::Display for PauseCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PauseCause::Limit => f.write_str("connection limit reached"),
            PauseCause::System(fault) => write!(f, "{fault}"),
            PauseCause::Operator => f.write_str("by an operator"),
        }
    }
}

impl DropReason {
    /// The names of all reasons, in the order of their index.
    pub const NAMES: [&'static str; 9] = [
        "blocked",
        "own",
        "privileged",
        "loop",
        "refused",
        "failed",
        "no-address",
        "short",
        "long",
    ];

    /// Returns its name in counters.
    pub fn name(&self) -> &'static str {
        DropReason::NAMES[self.index()]
    }

    /// Returns its index in `NAMES`.
    fn index(&self) -> usize {
        match self {
            DropReason::Blocked => 0,
            DropReason::Own => 1,
            DropReason::Privileged => 2,
            DropReason::Loop => 3,
            DropReason::Refused(_) => 4,
            DropReason::Failed(_) => 5,
            DropReason::NoWay => 6,
            DropReason::Short => 7,
            DropReason::Long => 8,
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
