//! Datagrams over real sockets: the small services and the relay, driven by a loop of the test's
//! own.
#![allow(clippy::unwrap_used)]
#![cfg(unix)]

#[path = "datagrams/relay.rs"]
mod relay;
#[path = "datagrams/routes.rs"]
mod routes;
#[cfg(target_os = "linux")]
#[path = "support/scratch.rs"]
mod scratch;
#[path = "datagrams/services.rs"]
mod services;
#[path = "datagrams/test_loop.rs"]
mod test_loop;
#[cfg(target_os = "linux")]
#[path = "datagrams/trains.rs"]
mod trains;
#[cfg(target_os = "linux")]
#[path = "datagrams/unix.rs"]
mod unix;
