//! The admin endpoint: HTTP for operators and scrapers, served by the event loop itself.

#[expect(dead_code, reason = "the server of the endpoint calls the rest")]
pub(crate) mod http;
pub mod resources;
