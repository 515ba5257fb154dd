//! What a run came to, told: as JSON for programs, in a few lines for people, and as a page.

mod chart;
mod charts;
#[cfg(test)]
mod example;
mod figures;
pub mod json;
mod marks;
pub mod page;
mod scale;
mod spreads;
pub mod summary;
mod tables;
mod time;
pub mod words;
