//! The event loop and its state: the reactor, listeners, connection attempts, datagram flows.

pub mod admin_port;
pub mod apply;
mod cannot_apply;
mod capacity;
pub(crate) mod clock;
mod cut_plan;
mod cut_sweep;
mod cuts;
pub mod datagrams;
mod drain;
mod dump;
pub(crate) mod event_loop;
pub(crate) mod hubs;
pub mod inspect;
pub(crate) mod listeners;
pub mod loop_stats;
mod measures;
pub mod phases;
pub mod reactor;
pub mod reload;
mod reload_steps;
pub mod route_totals;
pub mod routes;
pub(crate) mod sources;
pub mod start;
pub mod sweep;
pub(crate) mod upstream;
