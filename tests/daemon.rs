//! The real binary on real sockets: each promise has a test, named in docs/reliability.md.
//!
//! Every daemon listens at ports that the system chose and ends with its test. Waits poll, with a
//! limit that is longer than anything takes on the busiest machine. Code that other tests need too
//! is in support/.
#![allow(clippy::unwrap_used, clippy::print_stdout)]
#![cfg(target_os = "linux")]

#[path = "daemon/access.rs"]
mod access;
#[path = "daemon/batches.rs"]
mod batches;
#[path = "support/black_hole.rs"]
mod black_hole;
#[path = "daemon/bulk.rs"]
mod bulk;
#[path = "daemon/clients.rs"]
mod clients;
#[path = "support/command.rs"]
mod command;
#[path = "daemon/datagrams.rs"]
mod datagrams;
#[path = "daemon/drain.rs"]
mod drain;
#[path = "daemon/ends.rs"]
mod ends;
#[path = "daemon/failover.rs"]
mod failover;
#[path = "daemon/families.rs"]
mod families;
#[path = "daemon/files.rs"]
mod files;
#[path = "daemon/flow.rs"]
mod flow;
#[path = "daemon/full.rs"]
mod full;
#[path = "daemon/hub.rs"]
mod hub;
#[path = "support/kept.rs"]
mod kept;
#[path = "daemon/logs.rs"]
mod logs;
#[path = "daemon/loops.rs"]
mod loops;
#[path = "daemon/many.rs"]
mod many;
#[path = "daemon/odd.rs"]
mod odd;
#[path = "daemon/page.rs"]
mod page;
#[path = "support/pattern.rs"]
mod pattern;
#[path = "daemon/proc.rs"]
mod proc;
#[path = "support/programs.rs"]
mod programs;
#[path = "daemon/relay.rs"]
mod relay;
#[path = "daemon/resets.rs"]
mod resets;
#[path = "support/scratch.rs"]
mod scratch;
#[path = "daemon/services.rs"]
mod services;
#[path = "daemon/start.rs"]
mod start;
#[path = "daemon/stop.rs"]
mod stop;
#[path = "daemon/stream_ops.rs"]
mod stream_ops;
#[path = "support/target.rs"]
mod target;
#[path = "daemon/test_daemon.rs"]
mod test_daemon;
#[path = "support/test_stream.rs"]
mod test_stream;
#[path = "daemon/timeouts.rs"]
mod timeouts;
#[path = "daemon/usage.rs"]
mod usage;
#[path = "support/wait.rs"]
mod wait;
#[path = "daemon/write_signals.rs"]
mod write_signals;
