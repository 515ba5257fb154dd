//! Reports of an outcome: a text summary, JSON, and an HTML page with charts.

mod chart;
mod charts;
#[cfg(test)]
mod example;
mod figures;
pub(crate) mod format;
pub(crate) mod json;
mod latency_charts;
mod marks;
pub(crate) mod page;
mod scale;
pub(crate) mod summary;
