//! Connect and chat: the real binary between a terminal, pipes or files and real sockets.
#![allow(clippy::unwrap_used, clippy::print_stdout)]
#![cfg(target_os = "linux")]

#[path = "support/black_hole.rs"]
mod black_hole;
#[path = "talk/chat.rs"]
mod chat;
#[path = "support/command.rs"]
mod command;
#[path = "talk/connect.rs"]
mod connect;
#[path = "talk/crowd.rs"]
mod crowd;
#[path = "talk/datagrams.rs"]
mod datagrams;
#[path = "talk/ends.rs"]
mod ends;
#[path = "support/pattern.rs"]
mod pattern;
#[path = "support/scratch.rs"]
mod scratch;
#[path = "talk/session.rs"]
mod session;
#[path = "talk/stream_ops.rs"]
mod stream_ops;
#[path = "support/target.rs"]
mod target;
#[path = "talk/terminal.rs"]
mod terminal;
#[path = "support/terminal.rs"]
mod terminal_pair;
#[path = "support/test_stream.rs"]
mod test_stream;
#[path = "support/wait.rs"]
mod wait;
