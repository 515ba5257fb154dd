//! Commands that work with a running daemon from outside.

pub mod ctl;
