//! The admin endpoint of the real binary: what it answers, to whom, and that looking disturbs
//! nobody.
#![allow(clippy::unwrap_used, clippy::print_stdout)]
#![cfg(target_os = "linux")]

#[path = "admin/access.rs"]
mod access;
#[path = "admin/commands.rs"]
mod commands;
#[path = "admin/events.rs"]
mod events;
#[path = "admin/hostile.rs"]
mod hostile;
#[path = "admin/http.rs"]
mod http;
#[path = "admin/lists.rs"]
mod lists;
#[path = "admin/looking.rs"]
mod looking;
#[path = "admin/page.rs"]
mod page;
#[path = "admin/quiet.rs"]
mod quiet;

#[path = "support/command.rs"]
mod command;
#[path = "support/kept.rs"]
mod kept;
#[path = "daemon/proc.rs"]
mod proc;
#[path = "support/scratch.rs"]
mod scratch;
#[path = "daemon/stream_ops.rs"]
mod stream_ops;
#[path = "support/target.rs"]
mod target;
#[path = "daemon/test_daemon.rs"]
mod test_daemon;
#[path = "support/test_stream.rs"]
mod test_stream;
#[path = "support/wait.rs"]
mod wait;
