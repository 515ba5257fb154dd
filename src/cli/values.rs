//! The values of all options.

use std::time::Duration;

use crate::config::{ChatPlan, ConnectPlan, LogPlan, Plan, Policy, StressPlan, Template};

/// The value of every option. Each command uses those that apply to it.
#[derive(Debug)]
pub struct OptionValues {
    pub policy: Policy,
    pub log: LogPlan,

    // ---- servers -------------------------------------------------------------------------------
    pub max_connections: Option<usize>,
    pub drain_timeout: Duration,
    pub drain_idle: Option<Duration>,
    pub busy_poll: Option<Duration>,
    pub text: Option<Template>,
    pub read_one: bool,

    // ---- connect and chat ----------------------------------------------------------------------
    pub max_clients: usize,
    pub wait: Option<Duration>,
    pub idle: Option<Duration>,
    pub crlf: bool,
    pub probe: bool,
    pub timing: bool,
    pub half_close: bool,
    /// None: depends on the type of socket. Some(None): off.
    pub linger: Option<Option<Duration>>,
    pub udp: bool,
    pub unix: bool,

    // ---- doctor --------------------------------------------------------------------------------
    pub conns: Option<usize>,
    pub json: bool,

    // ---- stress --------------------------------------------------------------------------------
    pub stress: StressPlan,
}

impl OptionValues {
    /// Returns the defaults.
    pub fn new() -> OptionValues {
        OptionValues {
            policy: Policy::default(),
            log: LogPlan::default(),
            max_connections: None,
            drain_timeout: Plan::DRAIN_TIMEOUT,
            drain_idle: None,
            busy_poll: None,
            text: None,
            read_one: false,
            max_clients: ChatPlan::MAX_CLIENTS,
            wait: Some(ConnectPlan::WAIT),
            idle: None,
            crlf: false,
            probe: false,
            timing: false,
            half_close: true,
            linger: None,
            udp: false,
            unix: false,
            conns: None,
            json: false,
            stress: StressPlan::default(),
        }
    }
}
