//! The admin endpoint: HTTP for operators and scrapers, served by the event loop itself.

pub mod resources;
