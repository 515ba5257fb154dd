//! Watches events and makes lines of them. Beside `main`, the only place that logs.

pub mod clock;
pub mod escape;
pub mod sink;
pub mod way;
