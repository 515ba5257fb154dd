//! The policy of a route: its limits and timeouts.

use std::time::Duration;

use super::service::{Greeting, HubOptions};

/// Limits and timeouts of a route. None: off.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    pub idle_timeout: Option<Duration>,
    pub half_close_timeout: Option<Duration>,
    pub max_lifetime: Option<Duration>,
    pub connect_timeout: Duration,
    /// Idle timeout of a datagram flow.
    pub udp_timeout: Duration,
    /// Maximum number of datagram flows. A new flow beyond it evicts the oldest.
    pub udp_flows: usize,
    /// Also answer UDP sources with ports below 1024.
    pub udp_allow_low_ports: bool,
}

/// What the options of a route set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouteSettings {
    pub policy: Policy,
    pub greeting: Greeting,
    pub hub: HubOptions,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            idle_timeout: None,
            half_close_timeout: None,
            max_lifetime: None,
            connect_timeout: Duration::from_secs(5),
            udp_timeout: Duration::from_secs(60),
            udp_flows: 4096,
            udp_allow_low_ports: false,
        }
    }
}
