//! Formats output: escaping of foreign text, grouped digits, colors, wrapping. Writes it without
//! blocking.

pub mod count;
pub mod escape;
pub(crate) mod json;
pub(crate) mod lossy_writer;
pub(crate) mod nonblocking_out;
pub mod terminal;
pub mod wrap;
