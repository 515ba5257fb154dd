//! oneloop: one thread, one loop. The map of the crate:
//!
//! - `cli`: what was typed becomes a plan
//! - `plan`: what is meant: routes, services, policies
//! - `core`: the deterministic heart: ends, flows, connections, the engine; no mio, clock or log
//! - `service`: what a new connection becomes
//! - `shell`: the only code that touches the world: the reactor, sockets, signals, limits
//! - `doctor`: which limit of this machine bites first; reads only
//! - `talk`: connect and chat: what is typed, joined to one socket or to many
//! - `observe`: watches events and writes the log; known to `main` alone
//! - `stress`: makes connections and load, verifies every byte, and tells what it cost the server
//! - `text`: what doctor and stress write alike
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
