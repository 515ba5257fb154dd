//! What is meant: routes, services, policies. Made by `cli` from what was typed; read by the shell.

use std::time::Duration;

pub mod address;
pub mod guess;
pub mod host;
pub mod listen;
pub mod misread;
pub mod template;
pub mod unit;

#[cfg(test)]
mod tests;

pub use address::{Address, UnixName};
pub use host::Host;
pub use listen::{Listen, ListenOptions};
pub use misread::Misread;
pub use template::{Placeholder, Template};

/// All that one daemon does: its routes, and what they share.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub routes: Vec<Route>,
    /// None: as many as the limit of open files allows.
    pub max_connections: Option<usize>,
    pub drain_timeout: Duration,
}

/// Where, what, and under which limits.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    pub listen: Listen,
    pub service: Service,
    pub policy: Policy,
}

/// What happens to a connection (or to a datagram).
#[derive(Clone, Debug, PartialEq)]
pub enum Service {
    Echo,
    Discard,
    Chargen,
    Daytime,
    Time,
    Whoami,
    /// Sends `text` (placeholders in braces filled in); with `read_one` reads one message and logs
    /// it.
    Greet {
        text: Template,
        read_one: bool,
    },
    Relay(Vec<Address>),
}

impl Service {
    /// The word a user types for it.
    pub fn word(&self) -> &'static str {
        match self {
            Service::Echo => "echo",
            Service::Discard => "discard",
            Service::Chargen => "chargen",
            Service::Daytime => "daytime",
            Service::Time => "time",
            Service::Whoami => "whoami",
            Service::Greet { .. } => "greet",
            Service::Relay(_) => "relay",
        }
    }
}

/// Limits and timeouts of a route. None means: off.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    pub idle_timeout: Option<Duration>,
    pub half_close_timeout: Option<Duration>,
    pub lifetime: Option<Duration>,
    pub connect_timeout: Duration,
    /// How long a datagram flow lives without a datagram in either direction.
    pub udp_timeout: Duration,
    /// The largest number of datagram flows; at the limit the oldest makes room.
    pub udp_flows: usize,
    /// Answer UDP sources with ports below 1024 too.
    pub udp_any_port: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            idle_timeout: None,
            half_close_timeout: None,
            lifetime: None,
            connect_timeout: Duration::from_secs(5),
            udp_timeout: Duration::from_secs(60),
            udp_flows: 4096,
            udp_any_port: false,
        }
    }
}
