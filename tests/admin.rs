//! The admin endpoint of the real binary: what it answers, to whom, and that looking disturbs
//! nobody.
#![allow(clippy::unwrap_used, clippy::print_stdout)]
#![cfg(target_os = "linux")]

#[path = "admin/access.rs"]
mod access;
#[path = "admin/clients.rs"]
mod clients;
#[path = "admin/commands.rs"]
mod commands;
#[path = "admin/events.rs"]
mod events;
#[path = "admin/foreign_page.rs"]
mod foreign_page;
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
#[path = "admin/payload.rs"]
mod payload;
#[path = "admin/quiet.rs"]
mod quiet;
#[path = "admin/recordings.rs"]
mod recordings;
#[path = "admin/started_late.rs"]
mod started_late;
#[path = "admin/taps.rs"]
mod taps;
#[path = "admin/traces.rs"]
mod traces;
#[path = "admin/watches.rs"]
mod watches;

// Not everything that the tests of the daemon need is needed here.
#[path = "support/browser.rs"]
mod browser;
#[allow(dead_code)]
#[path = "support/command.rs"]
mod command;
#[path = "support/kept.rs"]
mod kept;
#[allow(dead_code)]
#[path = "support/pattern.rs"]
mod pattern;
#[allow(dead_code)]
#[path = "daemon/proc.rs"]
mod proc;
#[path = "support/programs.rs"]
mod programs;
#[path = "support/scratch.rs"]
mod scratch;
#[allow(dead_code)]
#[path = "daemon/stream_ops.rs"]
mod stream_ops;
#[allow(dead_code)]
#[path = "support/target.rs"]
mod target;
#[allow(dead_code)]
#[path = "daemon/test_daemon.rs"]
mod test_daemon;
#[path = "support/test_stream.rs"]
mod test_stream;
#[path = "support/wait.rs"]
mod wait;
