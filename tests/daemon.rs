//! The real binary on real sockets: each promise has a test, named in docs/reliability.md.
//!
//! Every daemon listens at ports that the system chose and ends with its test. Waits poll, with a
//! limit that is longer than anything takes on the busiest machine.
#![allow(clippy::unwrap_used, clippy::print_stdout)]
#![cfg(target_os = "linux")]

#[path = "daemon/access.rs"]
mod access;
#[path = "daemon/batches.rs"]
mod batches;
#[path = "daemon/bulk.rs"]
mod bulk;
#[path = "daemon/clients.rs"]
mod clients;
#[path = "daemon/datagrams.rs"]
mod datagrams;
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
#[path = "daemon/logs.rs"]
mod logs;
#[path = "daemon/many.rs"]
mod many;
#[path = "daemon/odd.rs"]
mod odd;
#[path = "daemon/proc.rs"]
mod proc;
#[path = "daemon/relay.rs"]
mod relay;
#[path = "daemon/resets.rs"]
mod resets;
#[path = "daemon/services.rs"]
mod services;
#[path = "daemon/stand.rs"]
mod stand;
#[path = "daemon/start.rs"]
mod start;
#[path = "daemon/stop.rs"]
mod stop;
#[path = "daemon/timeouts.rs"]
mod timeouts;
#[path = "daemon/usage.rs"]
mod usage;
#[path = "daemon/wire.rs"]
mod wire;
