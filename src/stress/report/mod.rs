//! Reports of an outcome: a text summary, JSON, and an HTML page with charts.

mod charts;
#[cfg(test)]
mod example;
mod figures;
pub(crate) mod format;
pub(crate) mod json;
pub(crate) mod page;
pub(crate) mod summary;
mod tables;
