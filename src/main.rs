//! The exit status; composes observers and runs what was asked for.
#![forbid(unsafe_code)]

fn main() {}
