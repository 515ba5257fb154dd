//! The event loop and its state: the reactor, listeners, connection attempts, datagram flows.

pub mod apply;
mod capacity;
pub mod clock;
pub mod datagrams;
mod drain;
mod dump;
pub mod event_loop;
pub mod listeners;
pub mod reactor;
pub mod routes;
pub mod sources;
pub mod start;
pub mod upstream;
