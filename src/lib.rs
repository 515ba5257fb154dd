//! oneloop: a single-threaded event loop that echoes and relays bytes. The modules:
//!
//! - `admin`: answers HTTP requests about the running daemon
//! - `cli`: parses the command line into a plan
//! - `config`: the configuration: routes, services, policies, and the table of options
//! - `core`: the deterministic core: ends, flows, connections, the engine; no mio, clock or log
//! - `service`: builds the connection of each service
//! - `net`: the operating system: sockets, addresses, name resolution, signals, limits
//! - `runtime`: the event loop: reactor, listeners, connection attempts, datagrams, drain
//! - `doctor`: computes which system limit is reached first; changes nothing
//! - `talk`: connect and chat: join the terminal to one socket or to many
//! - `tools`: ctl and top: print what a running daemon says of itself, watch and control it; trace:
//!   converts what it has recorded
//! - `admin`: HTTP for operators and scrapers, on local ends of a second engine
//! - `observe`: turns events into the log; used by `main`, `admin` and `tools` only
//! - `recording`: encodes events into segments, and replays them into an observer
//! - `stress`: generates connections and load, verifies every byte, measures the server's cost
//! - `text`: text formatting, and output that never blocks
#![forbid(unsafe_code)]

pub mod admin;
pub mod cli;
pub mod config;
pub mod core;
pub mod doctor;
#[doc(hidden)]
pub mod fuzzing;
pub mod net;
pub mod observe;
pub mod recording;
pub mod runtime;
pub mod service;
pub mod stress;
pub mod talk;
pub mod text;
pub mod tools;
