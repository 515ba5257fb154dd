//! top: the real binary and a real daemon, without a terminal and in one.
#![allow(clippy::unwrap_used, clippy::print_stdout)]
#![cfg(target_os = "linux")]

#[allow(dead_code)]
#[path = "support/command.rs"]
mod command;
#[path = "support/kept.rs"]
mod kept;
#[path = "top/plain.rs"]
mod plain;
#[allow(dead_code)]
#[path = "daemon/proc.rs"]
mod proc;
#[path = "support/scratch.rs"]
mod scratch;
#[path = "top/session.rs"]
mod session;
#[allow(dead_code)]
#[path = "daemon/stream_ops.rs"]
mod stream_ops;
#[path = "support/terminal.rs"]
mod terminal_pair;
#[allow(dead_code)]
#[path = "daemon/test_daemon.rs"]
mod test_daemon;
#[allow(dead_code)]
#[path = "support/test_stream.rs"]
mod test_stream;
#[path = "support/wait.rs"]
mod wait;
