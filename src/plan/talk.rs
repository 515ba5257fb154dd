//! Plans of talking from a terminal or a pipe: as the client of one, or as the host of many.

use std::time::Duration;

use super::{Address, Listen, LogPlan};

/// Standard input and output, joined to one socket.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectPlan {
    pub target: Address,
    /// How long the connection may take to be made. None: as long as the system tries.
    pub wait: Option<Duration>,
    /// Give up when nothing moved either way for so long. None: never.
    pub idle: Option<Duration>,
    /// Send each line end of the input as CR LF.
    pub crlf: bool,
    /// Only find out whether the target takes a connection; send and read nothing.
    pub probe: bool,
    /// Report on standard error how long each step took, and how it ended.
    pub timing: bool,
    /// Pass the end of the input on to the target as the end of our side.
    pub half_close: bool,
    /// After the end of the input, wait at most so long for the other side. None: until it ends.
    pub linger: Option<Duration>,
    pub log: LogPlan,
}

/// What is typed goes to every client; what a client says is shown with who said it.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatPlan {
    pub listens: Vec<Listen>,
    pub max_clients: usize,
    /// Let go of a client that was silent for so long. None: never.
    pub idle: Option<Duration>,
    /// Send each line end of the input as CR LF.
    pub crlf: bool,
    pub log: LogPlan,
}

impl ConnectPlan {
    /// How long to wait for a connection, if nothing else is said.
    pub const WAIT: Duration = Duration::from_secs(5);
    /// Datagrams have no end: so long an answer is waited for after the input has ended.
    pub const DATAGRAM_LINGER: Duration = Duration::from_secs(1);

    /// As it is if only a target is given.
    pub fn to(target: Address) -> ConnectPlan {
        let linger = target.is_datagram().then_some(ConnectPlan::DATAGRAM_LINGER);
        ConnectPlan {
            target,
            wait: Some(ConnectPlan::WAIT),
            idle: None,
            crlf: false,
            probe: false,
            timing: false,
            half_close: true,
            linger,
            log: LogPlan::default(),
        }
    }
}

impl ChatPlan {
    /// How many may talk, if nothing else is said: each of them costs every line once more.
    pub const MAX_CLIENTS: usize = 100;
}
