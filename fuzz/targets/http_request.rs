//! Parses bytes as an HTTP request, as they would arrive.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| oneloop::fuzzing::http_request(bytes));
