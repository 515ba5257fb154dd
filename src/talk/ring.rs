//! One ring of bytes for many readers: each byte is stored once, and each reader has its own
//! cursor. A slow reader falls behind alone; more than a whole ring behind, it has lost data.
//!
//! ```text
//!        tail                               head
//!   ------|==================================|----->   positions in the stream
//!               ^ slow reader         ^ fast reader
//! ```

/// Size of the ring in bytes: how far a reader may fall behind.
pub const RING_BYTES: usize = 1 << 20;

/// The last bytes of a stream.
pub struct Ring {
    bytes: Box<[u8]>,
    head: u64,
}

/// Position of a reader in the stream. Only a ring creates and moves one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(u64);

impl Ring {
    /// Creates a ring. Pages not yet written cost no memory.
    pub fn new(capacity: usize) -> Ring {
        assert!(capacity > 0, "a ring of no bytes");
        Ring { bytes: vec![0; capacity].into_boxed_slice(), head: 0 }
    }

    /// Returns the cursor of a new reader.
    pub fn head(&self) -> Cursor {
        Cursor(self.head)
    }

    /// Appends to the stream. Readers too far behind have lost data.
    pub fn push(&mut self, bytes: &[u8]) {
        let capacity = self.bytes.len();
        // Of more than a whole ring, only the end can be read.
        let skipped = bytes.len().saturating_sub(capacity);
        self.head += skipped as u64;
        let (at, rest) = (self.index(self.head), &bytes[skipped..]);
        let (first, second) = rest.split_at(rest.len().min(capacity - at));
        self.bytes[at..at + first.len()].copy_from_slice(first);
        self.bytes[..second.len()].copy_from_slice(second);
        self.head += rest.len() as u64;
    }

    /// Returns how many bytes a reader is behind.
    pub fn behind(&self, cursor: Cursor) -> u64 {
        self.head - cursor.0
    }

    /// Returns the next contiguous bytes for a reader; empty if it has read everything. `None`: it
    /// is more than a ring behind and has lost data.
    pub fn next(&self, cursor: Cursor) -> Option<&[u8]> {
        let behind = usize::try_from(self.behind(cursor)).ok()?;
        if behind > self.bytes.len() {
            return None;
        }
        let at = self.index(cursor.0);
        Some(&self.bytes[at..(at + behind).min(self.bytes.len())])
    }

    /// Moves a reader by `bytes` of what `next` returned.
    pub fn advance(&self, cursor: &mut Cursor, bytes: usize) {
        cursor.0 += bytes as u64;
        debug_assert!(cursor.0 <= self.head, "a reader is ahead of the stream");
    }

    fn index(&self, position: u64) -> usize {
        (position % self.bytes.len() as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Random;

    /// Reads all that a reader can read now.
    fn rest(ring: &Ring, cursor: &mut Cursor) -> Option<Vec<u8>> {
        let mut read = Vec::new();
        loop {
            let next = ring.next(*cursor)?;
            if next.is_empty() {
                return Some(read);
            }
            read.extend_from_slice(next);
            ring.advance(cursor, next.len());
        }
    }

    #[test]
    fn a_new_reader_starts_at_the_current_position() {
        let mut ring = Ring::new(8);
        ring.push(b"before");
        let mut cursor = ring.head();
        assert_eq!(ring.next(cursor), Some(&b""[..]));
        ring.push(b"after");
        assert_eq!(rest(&ring, &mut cursor).unwrap(), b"after");
        assert_eq!(ring.behind(cursor), 0);
    }

    #[test]
    fn a_reader_exactly_one_ring_behind_has_lost_nothing() {
        let mut ring = Ring::new(8);
        let mut cursor = ring.head();
        ring.push(b"12345678");
        assert_eq!(rest(&ring, &mut cursor.clone()).unwrap(), b"12345678");
        ring.push(b"9");
        assert_eq!(ring.next(cursor), None);
        ring.advance(&mut cursor, 1);
        assert_eq!(rest(&ring, &mut cursor).unwrap(), b"23456789");
    }

    #[test]
    fn of_more_than_a_ring_at_once_the_end_is_kept() {
        let mut ring = Ring::new(4);
        ring.push(b"x");
        let mut cursor = ring.head();
        ring.push(b"123456");
        assert_eq!(ring.next(cursor), None);
        ring.advance(&mut cursor, 2);
        assert_eq!(rest(&ring, &mut cursor).unwrap(), b"3456");
    }

    /// The model: the whole stream, and how much of it each reader has read.
    #[test]
    fn every_reader_reads_the_stream_without_a_gap_or_learns_that_it_lost_data() {
        for seed in 0..200 {
            let mut random = Random::new(seed);
            let capacity = 1 + random.below(64);
            let mut ring = Ring::new(capacity as usize);
            let mut stream = Vec::new();
            let mut readers: Vec<(Cursor, usize)> = Vec::new();
            for _ in 0..500 {
                match random.below(8) {
                    0 => readers.push((ring.head(), stream.len())),
                    1..=3 => {
                        let pushed: Vec<u8> =
                            (0..random.below(2 * capacity)).map(|_| random.draw() as u8).collect();
                        ring.push(&pushed);
                        stream.extend(pushed);
                    }
                    _ if readers.is_empty() => {}
                    _ => {
                        let chosen = random.below(readers.len() as u64) as usize;
                        let (cursor, read) = &mut readers[chosen];
                        let behind = stream.len() - *read;
                        assert_eq!(ring.behind(*cursor), behind as u64, "seed {seed}");
                        let next = ring.next(*cursor);
                        if behind as u64 > capacity {
                            assert_eq!(next, None, "seed {seed}");
                            readers.swap_remove(chosen);
                            continue;
                        }
                        let next = next.expect("it is not too far behind");
                        assert_eq!(next.is_empty(), behind == 0, "seed {seed}");
                        assert_eq!(next, &stream[*read..*read + next.len()], "seed {seed}");
                        let taken = random.below(next.len() as u64 + 1) as usize;
                        ring.advance(cursor, taken);
                        *read += taken;
                    }
                }
            }
        }
    }
}
