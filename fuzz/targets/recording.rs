//! Reads bytes as a recording, and converts what was read.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| oneloop::fuzzing::recording(bytes));
