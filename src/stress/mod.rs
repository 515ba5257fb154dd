//! The load generator: opens connections, runs loads over them, verifies every byte, and reports
//! latencies, failures and what it cost the server.

mod answer_scan;
pub mod bulk;
pub mod conn_result;
mod conns;
#[cfg(unix)]
pub mod coordinator;
pub mod cost;
pub mod datagram_echo;
pub mod dial;
pub mod endpoint;
pub mod environment;
pub mod failure;
pub mod find_process;
pub mod group;
pub mod histogram;
pub mod idle_probe;
pub mod json;
pub mod load;
pub mod load_stats;
pub mod load_watch;
pub mod outcome;
mod pacer;
pub mod partition;
pub mod pattern;
mod phases;
pub mod precise_timer;
pub mod progress;
pub mod protocol;
pub mod ramp_curve;
pub mod report;
mod results;
pub mod run;
pub mod runner;
pub mod script;
mod sending;
pub mod server_usage;
pub mod sink;
mod sources;
pub mod stream_echo;
pub mod timeline;
mod worker;

pub use run::{RunVerdict, StressError, run};
