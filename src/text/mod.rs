//! Formats output: escaping of foreign text, quantities with their units, colors, wrapping, and the
//! assets of HTML pages. Writes it without blocking.

pub mod count;
pub mod escape;
pub(crate) mod json;
pub(crate) mod lossy_writer;
pub(crate) mod nonblocking_out;
pub(crate) mod quantity;
pub mod terminal;
pub mod wrap;

/// Draws the charts of a page from plain data, and makes no request: defines `Charts`.
pub(crate) const CHARTS_JS: &str = include_str!("assets/charts.js");
/// The colors of a page, light and dark, and the look of its charts.
pub(crate) const CHARTS_CSS: &str = include_str!("assets/charts.css");
