//! The load generator: it makes connections, speaks, listens, verifies, and tells what it cost.

pub mod alarm;
pub mod backlog;
pub mod books;
pub mod bulk;
pub mod climb;
pub mod cost;
mod course;
pub mod dial;
pub mod echo;
pub mod ending;
pub mod failure;
mod files;
pub mod find;
pub mod group;
pub mod host;
pub mod json;
pub mod leave;
pub mod line;
pub mod load;
pub mod loader;
mod metronome;
pub mod outcome;
pub mod pattern;
pub mod phase;
mod probe;
#[cfg(target_os = "linux")]
mod proc;
pub mod progress;
pub mod prompt;
pub mod report;
pub mod run;
pub mod script;
mod seek;
mod settle;
pub mod share;
pub mod sink;
mod sources;
pub mod spread;
mod standing;
mod superior;
pub mod tally;
pub mod timeline;
pub mod unit;
pub mod volley;
pub mod watch;
pub mod whose;
pub mod wire;
mod worker;
#[cfg(unix)]
pub mod workers;

pub use run::{StressError, Verdict, run};
