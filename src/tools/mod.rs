//! Commands that work with a running daemon from outside, or with what it has recorded.

pub mod config_files;
pub mod ctl;
pub mod plan;
pub mod top;
pub mod trace;
