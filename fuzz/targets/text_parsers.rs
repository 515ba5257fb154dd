//! Gives a text to every parser of text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oneloop::fuzzing::PARSERS;

fuzz_target!(|text: &str| PARSERS.iter().for_each(|(_, parse)| parse(text)));
