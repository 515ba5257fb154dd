//! Formats output: escaping of foreign text, grouped digits, colors, wrapping. Writes it without
//! blocking.

pub mod count;
pub(crate) mod digits;
pub mod escape;
pub(crate) mod html;
pub(crate) mod json;
pub(crate) mod lossy_writer;
pub(crate) mod nonblocking_out;
pub(crate) mod paint;
pub(crate) mod shell;
pub mod terminal;
pub mod wrap;
