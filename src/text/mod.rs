//! What commands that print have in common: numbers in groups, colours, wrapping, and strings of
//! JSON.

pub mod digits;
pub mod json;
pub mod paint;
pub mod terminal;
pub mod wrap;
