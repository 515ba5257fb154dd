//! Parses the query of an admin request.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| oneloop::fuzzing::admin_query(text));
