//! The converters of traces, fed with the events of a real loop and with events of the test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]
#![cfg(target_os = "linux")]

#[path = "trace/explain.rs"]
mod explain;
#[path = "trace/flags.rs"]
mod flags;
#[path = "trace/jsonl.rs"]
mod jsonl;
#[path = "trace/known.rs"]
mod known;
#[path = "trace/live.rs"]
mod live;
#[path = "trace/pcapng.rs"]
mod pcapng;
#[path = "trace/perfetto.rs"]
mod perfetto;
#[path = "trace/slow.rs"]
mod slow;
