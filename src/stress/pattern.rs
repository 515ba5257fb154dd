//! The bytes that are sent: a ring of random bytes from a seed. Each connection starts at a
//! different offset, so every byte of a stream is determined by its position and can be verified.
//!
//! Lost, repeated or swapped bytes shift the rest of the stream against the ring, unless their
//! number is a multiple of its length. Bytes of another connection do not match either.

use crate::core::Random;
use crate::core::random::mix;

/// Length of the ring in bytes: a prime, so that it is no multiple of a usual buffer size.
pub const RING_BYTES: usize = 65_521;

/// No byte of the ring is zero, so a zero can end a stream of unknown length.
pub const END: u8 = 0;

/// Maximum bytes copied or compared at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// The ring, followed by a copy of its start, so that every chunk is contiguous.
pub struct Pattern {
    bytes: Box<[u8]>,
    seed: u64,
}

impl Pattern {
    pub fn new(seed: u64) -> Pattern {
        let mut random = Random::new(seed);
        let mut bytes = Vec::with_capacity(RING_BYTES + CHUNK_BYTES);
        bytes.extend((0..RING_BYTES).map(|_| 1 + random.below(255) as u8));
        (0..CHUNK_BYTES).for_each(|at| bytes.push(bytes[at]));
        Pattern { bytes: bytes.into_boxed_slice(), seed }
    }

    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns the offset in the ring at which the stream of a connection starts.
    pub fn start(&self, connection: u64) -> u32 {
        (mix(self.seed ^ mix(connection)) % RING_BYTES as u64) as u32
    }

    /// Fills `into` with the bytes of a stream from position `at`.
    pub fn fill(&self, start: u32, at: u64, into: &mut [u8]) {
        let mut offset = ring_offset(start, at);
        for chunk in into.chunks_mut(CHUNK_BYTES) {
            chunk.copy_from_slice(&self.bytes[offset..offset + chunk.len()]);
            offset = (offset + chunk.len()) % RING_BYTES;
        }
    }

    /// Returns the byte at position `at` of a stream.
    pub fn byte(&self, start: u32, at: u64) -> u8 {
        self.bytes[ring_offset(start, at)]
    }

    /// Returns the index of the first byte of `from` that differs from the stream.
    pub fn check(&self, start: u32, at: u64, from: &[u8]) -> Option<usize> {
        let mut offset = ring_offset(start, at);
        for (index, chunk) in from.chunks(CHUNK_BYTES).enumerate() {
            let expected = &self.bytes[offset..offset + chunk.len()];
            if chunk != expected {
                let wrong =
                    chunk.iter().zip(expected).position(|(actual, expected)| actual != expected);
                return wrong.map(|at| index * CHUNK_BYTES + at);
            }
            offset = (offset + chunk.len()) % RING_BYTES;
        }
        None
    }
}

/// Returns the offset in the ring of position `at` of a stream.
fn ring_offset(start: u32, at: u64) -> usize {
    ((u64::from(start) + at % RING_BYTES as u64) % RING_BYTES as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_the_same_however_it_is_split() {
        let pattern = Pattern::new(7);
        let start = pattern.start(3);
        let mut whole = vec![0; 300_000];
        pattern.fill(start, 0, &mut whole);
        assert!(!whole.contains(&END));
        for at in [1, 5_000, 65_520, 65_521, 131_042, 299_999] {
            let mut part = vec![0; whole.len() - at];
            pattern.fill(start, at as u64, &mut part);
            assert_eq!(part, whole[at..], "from {at}");
            assert_eq!(pattern.check(start, at as u64, &part), None);
        }
    }

    #[test]
    fn one_wrong_byte_is_found_where_it_is() {
        let pattern = Pattern::new(7);
        let mut bytes = vec![0; 200_000];
        pattern.fill(9, 12_345, &mut bytes);
        for wrong in [0, 1, 65_535, 65_536, 131_072, 199_999] {
            bytes[wrong] ^= 1;
            assert_eq!(pattern.check(9, 12_345, &bytes), Some(wrong));
            bytes[wrong] ^= 1;
        }
    }

    #[test]
    fn a_lost_chunk_of_a_round_size_is_found() {
        let pattern = Pattern::new(1);
        let mut bytes = vec![0; 4096];
        for lost in [1, 64, 4096, 16 << 10, 64 << 10, 256 << 10, 1 << 20] {
            pattern.fill(0, lost, &mut bytes);
            let found = pattern.check(0, 0, &bytes);
            assert!(found.is_some_and(|at| at < 16), "{lost}: {found:?}");
        }
    }

    #[test]
    fn connections_start_at_different_offsets() {
        let pattern = Pattern::new(1);
        let mut starts: Vec<u32> = (0..1000).map(|id| pattern.start(id)).collect();
        starts.sort_unstable();
        starts.dedup();
        assert!(starts.len() > 980, "{}", starts.len());
        assert_ne!(Pattern::new(2).start(1), pattern.start(1));
    }
}
