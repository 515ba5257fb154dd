//! The admin endpoint: HTTP for operators and scrapers, served by the event loop itself.

#[allow(dead_code, reason = "the server of the endpoint calls the rest")]
pub(crate) mod http;
pub mod metrics;
pub mod resources;
