//! Recordings: the events of a run as compact records, in segments that can each be read alone.
//! docs/recording.md describes the format. Where a recording is kept is the matter of its owner.

mod decode;
mod encoder;
mod fields;
mod files;
mod names;
mod reader;
mod ring;
mod schema;
mod writer;

#[cfg(test)]
mod tests;

pub use encoder::{Encoder, Segment};
pub use files::SegmentFiles;
pub use reader::{
    KnownConnection, ProcessStart, Record, ReplayObserver, ReplayReport, read, read_files, replay,
    replay_files, split_processes,
};
pub use ring::SegmentRing;
pub use writer::{KeyHasher, SEGMENT_BYTES, SegmentHead};
