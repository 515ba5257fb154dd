//! What a run came to, told: as JSON for programs, in a few lines for people, and as a page.

pub mod json;
pub mod paint;
pub mod summary;
mod time;
pub mod words;
