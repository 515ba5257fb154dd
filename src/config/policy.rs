//! The policy of a route: its limits and timeouts.

use std::fmt;
use std::time::Duration;

use super::parse::{SpanError, Spanned};
use super::service::{Greeting, HubOptions};
use super::unit::{read_wait, show_duration};

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
    pub existing: Existing,
}

/// What a reload does with the connections of a route that it removes, or gives another service or
/// other targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// They go on as they were opened.
    #[default]
    Keep,
    /// They are reset at once.
    Cut,
    /// Those that are still open after this time are reset.
    After(Duration),
}

impl Existing {
    /// Reads `keep`, `cut` or `after 5m`.
    pub(super) fn read(value: Spanned<'_>) -> Result<Existing, SpanError> {
        if let Some(delay) = value.after("after ") {
            return read_wait(delay).map(Existing::After);
        }
        match value.text {
            "keep" => Ok(Existing::Keep),
            "cut" => Ok(Existing::Cut),
            _ => Err(value.wrong("unknown value").or_accepts("keep, cut, after 5m")),
        }
    }
}

impl fmt::Display for Existing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Existing::Keep => f.write_str("keep"),
            Existing::Cut => f.write_str("cut"),
            Existing::After(delay) => write!(f, "after {}", show_duration(*delay)),
        }
    }
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
            existing: Existing::Keep,
        }
    }
}
