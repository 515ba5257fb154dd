//! What is meant: routes, services, policies. Made by `cli` from what was typed; read by the shell.

use std::time::Duration;

pub mod address;
pub mod check;
pub mod doctor;
pub mod guess;
pub mod host;
pub mod listen;
pub mod logging;
pub mod parse_error;
pub mod policy;
pub mod route;
pub mod service;
pub mod source;
pub mod stress;
pub mod talk;
pub mod template;
pub mod unit;
pub mod word;

#[cfg(test)]
pub(crate) mod tests;

pub use address::{Address, UnixName};
pub use doctor::DoctorPlan;
pub use host::Host;
pub use listen::{Listen, ListenOptions};
pub use logging::{AccessFormat, Color, Explain, LogPlan};
pub use parse_error::ParseError;
pub use policy::Policy;
pub use route::Route;
pub use service::Service;
pub use source::Source;
pub use stress::{LoadKind, LoadPlan, Probe, StressPlan, Way, Worker};
pub use talk::{ChatPlan, ConnectPlan};
pub use template::{Placeholder, Template};

/// All that one daemon does: its routes, and what they share.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub routes: Vec<Route>,
    /// None: as many as the limit of open files allows.
    pub max_connections: Option<usize>,
    pub drain_timeout: Duration,
    /// During a drain, close a connection at rest that was quiet for so long. None: the default.
    pub drain_idle: Option<Duration>,
    /// Before each sleep the loop looks again for so long. None: it does not.
    pub spin: Option<Duration>,
}

impl Plan {
    /// How long a drain may take, if nothing else is said.
    pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

    /// How long a connection has to be quiet before a drain closes it, if nothing else is said.
    pub const DRAIN_IDLE: Duration = Duration::from_secs(1);

    /// During a drain, a connection at rest is closed after it was quiet for so long. By default
    /// that leaves at least half of the drain timeout: what is still open then is reset.
    pub fn drain_idle(&self) -> Duration {
        self.drain_idle.unwrap_or(Plan::DRAIN_IDLE.min(self.drain_timeout / 2))
    }
}
