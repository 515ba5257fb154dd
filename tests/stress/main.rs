//! Stress runs against small servers on loopback.
#![allow(clippy::unwrap_used)]

mod command;
mod datagrams;
mod failures;
mod loads;
mod silence;
mod streams;
mod tool;
