//! What doctor and stress write alike: numbers in groups, colours, and strings of JSON.

pub mod digits;
pub mod json;
pub mod paint;
