//! trace: converts a recording for people and for other programs. Each converter is an observer
//! that a replay feeds, and knows nothing of the format of recordings.

mod diagram;
mod ending;
pub mod explain;
mod findings;
pub mod flags;
pub mod jsonl;
pub mod pcapng;
mod pcapng_blocks;
mod pcapng_names;
mod run;

pub use explain::ExplainConverter;
pub use flags::{FlagsConverter, RecordingGaps};
pub use jsonl::JsonlConverter;
pub use pcapng::PcapngConverter;
pub use run::{TraceOutcome, run};

/// A converter, as the command line names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConverterSpec {
    /// The name, and its argument.
    pub usage: &'static str,
    pub about: &'static str,
    /// Its output is not for a terminal.
    pub is_binary: bool,
}

/// Every converter, in the order of help.
pub const CONVERTERS: [ConverterSpec; 5] = [
    text("log", "the lines that the log would have had at a level"),
    text("explain N", "the life of connection N, as a sequence diagram with sentences"),
    text("flags", "what went wrong or took long, worst first"),
    text("jsonl", "each event as one line of JSON"),
    ConverterSpec {
        usage: "pcapng",
        about: "packets for Wireshark, made up from events",
        is_binary: true,
    },
];

const fn text(usage: &'static str, about: &'static str) -> ConverterSpec {
    ConverterSpec { usage, about, is_binary: false }
}
