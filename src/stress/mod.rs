//! The load generator: it makes connections, speaks, listens, verifies, and tells what it cost.

pub mod backlog;
pub mod bulk;
pub mod cost;
mod course;
pub mod datagram_echo;
pub mod dial;
pub mod echo;
pub mod ending;
pub mod failure;
mod files;
pub mod find;
pub mod group;
pub mod histogram;
pub mod host;
pub mod json;
pub mod line;
pub mod load;
pub mod load_stats;
pub mod outcome;
mod pacer;
mod parent;
pub mod pattern;
pub mod phase;
pub mod precise_timer;
mod probe;
#[cfg(target_os = "linux")]
mod proc;
pub mod progress;
pub mod prompt;
pub mod ramp_curve;
pub mod report;
pub mod run;
pub mod runner;
pub mod script;
mod seek;
pub mod send_permits;
pub mod server_usage;
mod settle;
pub mod share;
pub mod sink;
mod sources;
mod standing;
pub mod timeline;
pub mod unit;
pub mod watch;
pub mod whose;
pub mod wire;
mod worker;
#[cfg(unix)]
pub mod workers;

pub use run::{StressError, Verdict, run};
