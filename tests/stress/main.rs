//! Stress runs against small servers on loopback.
#![allow(clippy::unwrap_used, clippy::print_stdout)]
// Some tests need Unix, and so do their imports.
#![cfg_attr(not(unix), allow(unused_imports))]

#[path = "../support/black_hole.rs"]
mod black_hole;
#[cfg(unix)]
#[path = "../support/browser.rs"]
mod browser;
#[cfg(unix)]
mod charts;
mod command;
mod datagrams;
mod failures;
mod idle_probe;
#[path = "../support/kept.rs"]
mod kept;
mod limits;
mod loads;
mod program;
mod reports;
#[path = "../support/scratch.rs"]
mod scratch;
mod servers;
mod streams;
mod tool;
