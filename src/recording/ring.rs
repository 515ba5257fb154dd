//! The recording in memory: the newest segments that fit.

use std::collections::VecDeque;
use std::sync::Arc;

use super::encoder::Segment;
use super::writer::SEGMENT_MAX;

/// The complete segments of a recording in memory.
pub struct SegmentRing {
    /// Without the segment that is being written, and the buffer for the next one.
    limit: usize,
    segments: VecDeque<Arc<Segment>>,
    /// Length of all segments.
    length: usize,
    /// Events in segments that were dropped.
    dropped: u64,
}

impl SegmentRing {
    /// Creates a ring. With the segment that is being written and a buffer for the next one it has
    /// at most `limit` bytes.
    pub fn new(limit: usize) -> SegmentRing {
        SegmentRing {
            limit: limit.saturating_sub(2 * SEGMENT_MAX),
            segments: VecDeque::new(),
            length: 0,
            dropped: 0,
        }
    }

    /// Adds a segment. Drops the oldest ones that do not fit, and returns the buffer of one of
    /// them, if any.
    pub fn push(&mut self, mut segment: Segment) -> Vec<u8> {
        // One that was ended early, for a download, must not keep the memory of a complete one.
        segment.bytes.shrink_to_fit();
        self.length += segment.bytes.len();
        self.segments.push_back(Arc::new(segment));
        self.drop_oldest()
    }

    /// Changes the limit.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = SegmentRing::new(limit).limit;
        self.drop_oldest();
    }

    fn drop_oldest(&mut self) -> Vec<u8> {
        let mut buffer = Vec::new();
        while self.length > self.limit
            && let Some(oldest) = self.segments.pop_front()
        {
            self.length -= oldest.bytes.len();
            self.dropped += oldest.events;
            // One that is being downloaded keeps its bytes.
            buffer = Arc::try_unwrap(oldest).map(|oldest| oldest.bytes).unwrap_or_default();
        }
        buffer
    }

    /// Returns the complete segments, oldest first.
    pub fn segments(&self) -> impl Iterator<Item = &Arc<Segment>> {
        self.segments.iter()
    }

    /// Returns the number of bytes of the complete segments.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Returns how many events were dropped with the oldest segments.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Event, Key, Moment};
    use crate::recording::{Encoder, replay};

    #[test]
    fn the_ring_keeps_the_newest_segments_within_its_limit() {
        let limit = 8 << 20;
        let (mut ring, mut encoder) = (SegmentRing::new(limit), Encoder::new(Moment(0)));
        let mut events: u64 = 0;
        while ring.dropped() == 0 || !events.is_multiple_of(70_000) {
            encoder.on(Key::new(7, 3), &Event::Wrote { bytes: 5, left: 0 });
            events += 1;
            if encoder.is_full() {
                let buffer = ring.push(encoder.next_segment(Vec::new()));
                assert_eq!(buffer.is_empty(), ring.dropped() == 0);
                assert!(ring.length() + 2 * SEGMENT_MAX <= limit);
            }
        }
        let mut bytes = Vec::new();
        ring.segments().for_each(|segment| bytes.extend_from_slice(&segment.bytes));
        bytes.extend_from_slice(encoder.bytes());
        let report = replay(&bytes, &mut ());
        assert_eq!((report.first, report.lost), (ring.dropped(), 0));
        assert_eq!(report.records + ring.dropped(), events);
        assert!(ring.length() >= limit / 2, "{}", ring.length());
    }
    #[test]
    fn a_segment_that_was_ended_early_takes_no_more_memory_than_its_bytes() {
        let (mut ring, mut encoder) = (SegmentRing::new(8 << 20), Encoder::new(Moment(0)));
        for _ in 0..9 {
            encoder.on(Key::LOOP, &Event::ReadOn);
            ring.push(encoder.next_segment(Vec::new()));
        }
        assert!(ring.segments().all(|segment| segment.bytes.capacity() < 64 << 10));
        assert_eq!(ring.segments().count(), 9);
        ring.set_limit(0);
        assert_eq!((ring.segments().count(), ring.length(), ring.dropped()), (0, 0, 9));
    }
}
