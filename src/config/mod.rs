//! Plans: routes, services and policies. `cli` builds them, the shell reads them.

use std::time::Duration;

pub mod address;
pub mod check;
pub mod diff;
pub mod doctor;
pub mod host;
pub mod listen;
pub mod logging;
pub mod parse;
pub mod policy;
pub mod route;
pub mod service;
pub mod source;
pub mod stress;
pub mod talk;
pub mod template;
pub mod unit;

#[cfg(test)]
pub(crate) mod tests;

pub use address::{Address, UnixName};
pub use diff::{Change, Diff, diff};
pub use doctor::DoctorPlan;
pub use host::Host;
pub use listen::{Listen, ListenOptions};
pub use logging::{AccessFormat, Color, Explain, LogPlan};
pub use parse::ParseError;
pub use policy::Policy;
pub use route::Route;
pub use service::Service;
pub use source::Source;
pub use stress::{Direction, LoadKind, LoadPlan, Probe, StressPlan, Worker};
pub use talk::{ChatPlan, ConnectPlan};
pub use template::{Placeholder, Template};

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
