//! Connect and chat: the real binary between a terminal, pipes or files and real sockets.
#![allow(clippy::unwrap_used, clippy::print_stdout)]
#![cfg(target_os = "linux")]

#[path = "talk/chat.rs"]
mod chat;
#[path = "talk/connect.rs"]
mod connect;
#[path = "talk/crowd.rs"]
mod crowd;
#[path = "talk/datagrams.rs"]
mod datagrams;
#[path = "talk/ends.rs"]
mod ends;
#[path = "talk/speaker.rs"]
mod speaker;
#[path = "talk/stand.rs"]
mod stand;
#[path = "talk/terminal.rs"]
mod terminal;
#[path = "talk/wire.rs"]
mod wire;
