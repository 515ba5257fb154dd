//! oneloop: a single-threaded event loop that echoes and relays bytes. The modules:
//!
//! - `cli`: parses the command line into a plan
//! - `plan`: the configuration: routes, services, policies
//! - `core`: the deterministic core: ends, flows, connections, the engine; no mio, clock or log
//! - `service`: builds the connection of each service
//! - `shell`: all interaction with the system: the reactor, sockets, signals, limits
//! - `doctor`: computes which system limit is reached first; changes nothing
//! - `talk`: connect and chat: join the terminal to one socket or to many
//! - `observe`: turns events into the log; used by `main` only
//! - `stress`: generates connections and load, verifies every byte, measures the server's cost
//! - `text`: text formatting shared by doctor and stress
#![forbid(unsafe_code)]

pub mod cli;
pub mod core;
pub mod doctor;
pub mod observe;
pub mod plan;
pub mod service;
pub mod shell;
pub mod stress;
pub mod talk;
pub mod text;
