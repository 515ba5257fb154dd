//! Targets of a relay: pools, connection attempts with failover and retry, loops back to us.

pub mod dialer;
pub mod loops;
pub mod pool;
mod retries;
