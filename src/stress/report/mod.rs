//! What a run came to, told: as JSON for programs, in a few lines for people, and as a page.

mod chart;
mod charts;
#[cfg(test)]
mod example;
mod figures;
pub mod json;
mod latency_charts;
mod marks;
pub mod page;
mod scale;
pub mod summary;
mod tables;
mod time;
pub mod words;
