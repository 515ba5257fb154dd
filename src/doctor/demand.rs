//! What is asked of the machine: how many connections, and of which kind.

use super::target::Target;

/// So many connections to be held at once. None: as many as fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    pub conns: Option<u64>,
    /// Ends of a connection that are ours: one, or two for a relay.
    pub ends: u64,
    pub target: Target,
}
