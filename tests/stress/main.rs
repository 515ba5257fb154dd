//! Stress runs against small servers on loopback.
#![allow(clippy::unwrap_used)]

mod command;
mod datagrams;
mod failures;
#[path = "../support/kept.rs"]
mod kept;
mod limits;
mod loads;
mod program;
mod reports;
mod silence;
mod streams;
mod tool;
