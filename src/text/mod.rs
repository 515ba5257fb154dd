//! Formats output: escaping of foreign text, grouped digits, colors, wrapping.

pub mod count;
pub mod digits;
pub mod escape;
pub mod html;
pub mod json;
pub mod paint;
pub mod shell;
pub mod terminal;
pub mod wrap;
