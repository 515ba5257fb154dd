//! The admin endpoint: HTTP for operators and scrapers, served by the event loop itself.
//!
//! `http` parses and writes, `server` serves the clients between two turns, `answer` finds what is
//! asked for. What is large is produced in parts: `list`, `find`, `metrics`, and `viewer` for the
//! stream of events. The transport is `runtime::admin_port`.

mod answer;
mod body;
mod client;
mod commands;
mod detail;
mod diagnosis;
mod endpoint;
mod find;
pub(crate) mod http;
mod known;
mod list;
pub mod metrics;
mod recording;
pub mod resources;
mod rows;
mod scrape;
pub mod server;
pub mod settings;
mod viewer;
mod views;
mod watching;
