//! The load generator: opens connections, runs loads over them, verifies every byte, and reports
//! latencies, failures and what it cost the server.

mod answer_scan;
pub(crate) mod bulk;
pub(crate) mod conn_result;
mod conns;
#[cfg(unix)]
pub(crate) mod coordinator;
pub(crate) mod cost;
pub(crate) mod datagram_echo;
pub mod dial;
pub(crate) mod endpoint;
pub(crate) mod environment;
pub mod failure;
pub(crate) mod find_process;
pub(crate) mod group;
pub(crate) mod histogram;
pub mod idle_probe;
pub(crate) mod load;
pub mod load_stats;
pub(crate) mod load_watch;
pub mod outcome;
mod pacer;
mod parent;
// Without Unix pipes a run is one process.
#[cfg_attr(not(unix), allow(dead_code))]
pub(crate) mod partition;
pub mod pattern;
mod phases;
pub(crate) mod precise_timer;
pub(crate) mod progress;
pub(crate) mod protocol;
pub(crate) mod ramp_curve;
pub(crate) mod report;
mod results;
pub(crate) mod run;
pub mod runner;
pub(crate) mod script;
mod sending;
pub mod server_usage;
mod sources;
pub(crate) mod stream_echo;
pub(crate) mod timeline;

/// Writes and reads durations as seconds, exact to a nanosecond up to ten days.
mod seconds {
    use std::time::Duration;

    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::Serializer;

    pub fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(time.as_secs_f64())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

pub use run::{RunVerdict, StressError, run};
