//! A daemon with a configuration file: how it starts, what a reload changes, and that no reload
//! costs a byte or a connection that it does not concern.
#![allow(clippy::unwrap_used, clippy::print_stdout)]
#![cfg(target_os = "linux")]

#[path = "reload/checks.rs"]
mod checks;
#[path = "reload/decisions.rs"]
mod decisions;
#[path = "reload/files.rs"]
mod files;
#[path = "reload/flood.rs"]
mod flood;
#[path = "reload/limits.rs"]
mod limits;
#[path = "reload/plans.rs"]
mod plans;

#[path = "support/command.rs"]
#[allow(dead_code)]
mod command;
#[path = "reload/file_daemon.rs"]
mod file_daemon;
#[path = "support/kept.rs"]
mod kept;
#[path = "daemon/proc.rs"]
#[allow(dead_code)]
mod proc;
#[path = "support/scratch.rs"]
mod scratch;
#[path = "daemon/stream_ops.rs"]
#[allow(dead_code)]
mod stream_ops;
#[path = "support/target.rs"]
#[allow(dead_code)]
mod target;
#[path = "daemon/test_daemon.rs"]
#[allow(dead_code)]
mod test_daemon;
#[path = "support/test_stream.rs"]
#[allow(dead_code)]
mod test_stream;
#[path = "support/wait.rs"]
mod wait;
