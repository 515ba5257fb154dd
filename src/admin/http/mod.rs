//! HTTP/1.1 for the admin endpoint: bytes in, bytes out. Has no socket and reads no clock.
//!
//! A request of an operator, a probe or a scraper is small, so this accepts less than the standard
//! allows: everything that two programs could read differently is refused.

pub(crate) mod access;
pub(crate) mod authority;
pub(crate) mod method;
pub(crate) mod problem;
pub(crate) mod query;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod token;
