//! The bytes that are sent: a ring of chance from a seed. Every connection begins at a place of its
//! own, so each byte of each stream is known from its position alone, and can be verified.
//!
//! A loss, a repetition or a swap of any length shifts what follows against the ring, but for
//! exact multiples of its length; and a byte of another connection is wrong here.

use crate::core::Random;
use crate::core::random::mix;

/// The length of the ring: a prime, so that no piece of a round size fits it.
pub const RING_BYTES: usize = 65_521;

/// No byte of the ring is zero, so a zero can end a stream of unknown length.
pub const END: u8 = 0;

/// So much is copied or compared at once.
const PIECE_BYTES: usize = 64 * 1024;

/// The ring, with its beginning once more behind its end: any piece lies in one place.
pub struct Pattern {
    bytes: Box<[u8]>,
    seed: u64,
}

impl Pattern {
    pub fn new(seed: u64) -> Pattern {
        let mut random = Random::new(seed);
        let mut bytes = Vec::with_capacity(RING_BYTES + PIECE_BYTES);
        bytes.extend((0..RING_BYTES).map(|_| 1 + random.below(255) as u8));
        (0..PIECE_BYTES).for_each(|at| bytes.push(bytes[at]));
        Pattern { bytes: bytes.into_boxed_slice(), seed }
    }

    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Where the stream of a connection begins.
    pub fn start(&self, connection: u64) -> u32 {
        (mix(self.seed ^ mix(connection)) % RING_BYTES as u64) as u32
    }

    /// Fills `into` with the bytes from position `at` of a stream on.
    pub fn fill(&self, start: u32, at: u64, into: &mut [u8]) {
        let mut place = place(start, at);
        for piece in into.chunks_mut(PIECE_BYTES) {
            piece.copy_from_slice(&self.bytes[place..place + piece.len()]);
            place = (place + piece.len()) % RING_BYTES;
        }
    }

    /// The byte at position `at` of a stream.
    pub fn byte(&self, start: u32, at: u64) -> u8 {
        self.bytes[place(start, at)]
    }

    /// The first byte of `from` that is not the one that belongs there.
    pub fn check(&self, start: u32, at: u64, from: &[u8]) -> Option<usize> {
        let mut place = place(start, at);
        for (index, piece) in from.chunks(PIECE_BYTES).enumerate() {
            let right = &self.bytes[place..place + piece.len()];
            if piece != right {
                let wrong = piece.iter().zip(right).position(|(is, should)| is != should);
                return wrong.map(|offset| index * PIECE_BYTES + offset);
            }
            place = (place + piece.len()) % RING_BYTES;
        }
        None
    }
}

fn place(start: u32, at: u64) -> usize {
    ((u64::from(start) + at % RING_BYTES as u64) % RING_BYTES as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_the_same_however_it_is_cut() {
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
    fn a_lost_piece_of_a_round_size_is_found() {
        let pattern = Pattern::new(1);
        let mut bytes = vec![0; 4096];
        for lost in [1, 64, 4096, 16 << 10, 64 << 10, 256 << 10, 1 << 20] {
            pattern.fill(0, lost, &mut bytes);
            let found = pattern.check(0, 0, &bytes);
            assert!(found.is_some_and(|at| at < 16), "{lost}: {found:?}");
        }
    }

    #[test]
    fn connections_begin_at_places_of_their_own() {
        let pattern = Pattern::new(1);
        let mut starts: Vec<u32> = (0..1000).map(|id| pattern.start(id)).collect();
        starts.sort_unstable();
        starts.dedup();
        assert!(starts.len() > 980, "{}", starts.len());
        assert_ne!(Pattern::new(2).start(1), pattern.start(1));
    }
}
