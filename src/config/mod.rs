//! The model: addresses, routes, services, policies and plans, one grammar of values, and one table
//! of options. `cli` and `file` fill the plans, and `runtime` applies them.

use std::time::Duration;

pub(crate) mod address;
pub(crate) mod admin;
pub(crate) mod check;
mod compare;
pub(crate) mod ctl;
pub(crate) mod diff;
pub mod file;
pub(crate) mod host;
pub(crate) mod listen;
pub(crate) mod logging;
pub(crate) mod options;
pub(crate) mod overlap;
pub(crate) mod parse;
pub(crate) mod policy;
pub(crate) mod reach;
pub(crate) mod record;
pub(crate) mod restart;
pub(crate) mod ring;
pub(crate) mod route;
pub(crate) mod serve;
pub(crate) mod service;
pub(crate) mod source;
pub(crate) mod stress;
pub(crate) mod template;
pub(crate) mod tools;
pub(crate) mod top;
pub(crate) mod trace;
pub mod unit;

#[cfg(test)]
pub(crate) mod tests;

pub use address::{Address, UnixName};
pub use admin::{AdminPlan, is_loopback};
pub use compare::{PlanChange, compare, needs_restart};
pub use ctl::{ConnectionFilter, CtlCommand, CtlPlan, EventFilter, RecordCommand};
pub use ctl::{WatchCommand, WatchSettings, WatchSubject};
pub use diff::{Change, Diff, diff};
pub use file::{ConfigErrors, DaemonConfig, parse_config, print_config};
pub use host::Host;
pub use listen::{Listen, ListenOptions};
pub use logging::{AccessFormat, Color, Explain, LogPlan};
pub use parse::ParseError;
pub use policy::{Existing, Policy};
pub use record::RecordPlan;
pub use restart::in_force;
pub use route::{Route, number_names};
pub use serve::{ComparePlan, ServePlan};
pub use service::Service;
pub use source::SourceBlock;
pub use stress::{Direction, LoadKind, LoadMode, LoadPlan, Probe, StressPlan, Worker};
pub use template::{Placeholder, Template};
pub use tools::{ChatPlan, ConnectPlan, DoctorPlan};
pub use top::{TopPlan, TopSort, TopView};
pub use trace::{TraceKind, TracePlan};

/// The plan of a daemon: its routes and what they share.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub routes: Vec<Route>,
    /// None: from the open-file limit.
    pub max_connections: Option<usize>,
    pub drain_timeout: Duration,
    /// Idle time after which a drain closes a connection at rest. None: the default.
    pub drain_idle: Option<Duration>,
    /// Time to poll without sleeping before each sleep. None: off.
    pub busy_poll: Option<Duration>,
    pub admin: AdminPlan,
    /// None: nothing is recorded.
    pub record: Option<RecordPlan>,
    /// The recording has the payload of connections, too.
    pub record_bytes: bool,
}

impl Plan {
    /// Default time limit of a drain.
    pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

    /// Default idle time after which a drain closes a connection at rest.
    pub const DRAIN_IDLE: Duration = Duration::from_secs(1);

    /// Returns the idle time after which a drain closes a connection at rest. The default is at
    /// most half of the drain timeout, after which open connections are reset.
    pub fn drain_idle(&self) -> Duration {
        self.drain_idle.unwrap_or(Plan::DRAIN_IDLE.min(self.drain_timeout / 2))
    }
}

impl Default for Plan {
    /// Returns a plan without routes.
    fn default() -> Plan {
        Plan {
            routes: Vec::new(),
            max_connections: None,
            drain_timeout: Plan::DRAIN_TIMEOUT,
            drain_idle: None,
            busy_poll: None,
            admin: AdminPlan::default(),
            record: None,
            record_bytes: false,
        }
    }
}
