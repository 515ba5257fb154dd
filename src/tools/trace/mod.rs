//! trace: converts a recording for people and for other programs. Each converter is an observer
//! that a replay feeds. It knows nothing of the bytes of recordings.

mod diagram;
pub mod explain;
mod findings;
pub mod flags;
pub mod gaps;
pub mod jsonl;
pub mod perfetto;
mod perfetto_packets;
mod perfetto_tracks;
mod protobuf;
mod run;
mod slow_turns;
mod traffic;

pub use crate::observe::pcapng::PcapngConverter;
pub use explain::ExplainConverter;
pub use flags::FlagsConverter;
pub use gaps::RecordingGaps;
pub use jsonl::JsonlConverter;
pub use perfetto::PerfettoConverter;
pub use perfetto_tracks::ConnectionSteps;
pub use run::{TraceOutcome, run};
