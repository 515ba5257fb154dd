//! The plans of connect, chat and doctor.

use std::time::Duration;

use super::{Address, Color, Host, Listen, LogPlan};

/// Standard input and output connected to one socket.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectPlan {
    pub target: Address,
    /// Maximum time to connect. None: limited by the system only.
    pub wait: Option<Duration>,
    /// Idle timeout. None: off.
    pub idle: Option<Duration>,
    /// Send line ends as CR LF.
    pub crlf: bool,
    /// Only test whether the target accepts a connection; send and read nothing.
    pub probe: bool,
    /// Report on standard error how long each step took, and how the connection ended.
    pub timing: bool,
    /// Shut down the local side at the end of the input.
    pub half_close: bool,
    /// Maximum time to wait for the peer after the end of the input. None: until it closes.
    pub linger: Option<Duration>,
    pub log: LogPlan,
}

/// The plan of connect before its target is known, and the options that depend on the target.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectSettings {
    /// Its target is a placeholder.
    pub plan: ConnectPlan,
    /// None: depends on the type of socket. Some(None): off.
    pub linger: Option<Option<Duration>>,
    /// Use UDP, or Unix datagrams.
    pub udp: bool,
    /// The target is the path of a Unix socket.
    pub unix: bool,
}

/// Sends the input to every client, and shows what each client sends with its address.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatPlan {
    pub listens: Vec<Listen>,
    pub max_clients: usize,
    /// Idle timeout of a client. None: off.
    pub idle: Option<Duration>,
    /// Send line ends as CR LF.
    pub crlf: bool,
    pub log: LogPlan,
}

impl ConnectPlan {
    /// Default time limit for connecting.
    pub const WAIT: Duration = Duration::from_secs(5);
    /// Default time to wait for answers after the end of the input: datagrams have no end of file.
    pub const DATAGRAM_LINGER: Duration = Duration::from_secs(1);

    /// Returns the plan for a target, with all defaults.
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

impl ConnectSettings {
    /// Returns the plan for a target.
    pub fn connect_to(self, target: Address) -> ConnectPlan {
        // An idle timeout also applies after the end of the input.
        let usual = ConnectPlan::DATAGRAM_LINGER;
        let usual = target.is_datagram().then(|| self.plan.idle.unwrap_or(usual));
        ConnectPlan { target, linger: self.linger.unwrap_or(usual), ..self.plan }
    }
}

impl Default for ConnectSettings {
    fn default() -> ConnectSettings {
        let plan = ConnectPlan::to(Address::Tcp(Host::Any, 0));
        ConnectSettings { plan, linger: None, udp: false, unix: false }
    }
}

impl ChatPlan {
    /// Default maximum of concurrent clients: each line is sent once per client.
    pub const MAX_CLIENTS: usize = 100;
}

impl Default for ChatPlan {
    fn default() -> ChatPlan {
        ChatPlan {
            listens: Vec::new(),
            max_clients: ChatPlan::MAX_CLIENTS,
            idle: None,
            crlf: false,
            log: LogPlan::default(),
        }
    }
}

/// Connections, target and output of one report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DoctorPlan {
    /// None: report the maximum.
    pub conns: Option<usize>,
    /// The address to connect to. None: server limits are reported too.
    pub target: Option<Address>,
    /// Print JSON.
    pub json: bool,
    pub color: Color,
}
