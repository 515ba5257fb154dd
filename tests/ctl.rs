//! ctl: the real binary and a server that answers as the test says.
#![allow(clippy::unwrap_used)]
#![cfg(unix)]

#[path = "ctl/commands.rs"]
mod commands;
#[path = "ctl/failures.rs"]
mod failures;
#[path = "support/scratch.rs"]
mod scratch;
#[path = "ctl/server.rs"]
mod server;
#[path = "support/wait.rs"]
mod wait;
