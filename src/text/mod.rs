//! How text leaves the program: one escaper for everything foreign, numbers in groups, colours,
//! wrapping.

pub mod count;
pub mod digits;
pub mod escape;
pub mod html;
pub mod json;
pub mod paint;
pub mod shell;
pub mod terminal;
pub mod wrap;
