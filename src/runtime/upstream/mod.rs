//! Targets of a relay: pools, connection attempts with failover and retry, loops back to us.

pub(crate) mod dialer;
pub(crate) mod loops;
pub(crate) mod pool;
mod retries;
