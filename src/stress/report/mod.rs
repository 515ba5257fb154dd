//! Reports of an outcome: a text summary, JSON, and an HTML page with charts.

mod chart;
mod charts;
#[cfg(test)]
mod example;
mod figures;
pub mod format;
pub mod json;
mod latency_charts;
mod marks;
pub mod page;
mod scale;
pub mod summary;
mod tables;
