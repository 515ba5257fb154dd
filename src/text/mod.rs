//! Formats output: escaping of foreign text, grouped digits, colors, wrapping. Writes it without
//! blocking.

pub mod count;
pub mod digits;
pub mod escape;
pub mod html;
pub mod json;
pub mod lossy_writer;
pub mod nonblocking_out;
pub mod paint;
pub mod shell;
pub mod terminal;
pub mod wrap;
