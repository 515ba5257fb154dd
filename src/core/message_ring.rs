//! The last messages of a hub: their bytes, one behind the other, and who sent each. It is bounded,
//! and knows nothing of receivers.
//!
//! ```text
//!    overwritten      oldest              newest
//!   --------------|----------|---|------|--------|----->   positions in the stream
//!                  number n   n+1  n+2   n+3
//! ```

use std::collections::VecDeque;
use std::ops::Range;

use super::key::Key;

/// The newest messages that fit.
pub struct MessageRing {
    /// Byte `p` of the stream of all messages is at `p` modulo the length.
    bytes: Box<[u8]>,
    entries: VecDeque<MessageEntry>,
    /// The number of the oldest message. The first one ever is 0.
    oldest: u64,
    /// The position of its first byte.
    start: u64,
}

/// A message.
struct MessageEntry {
    /// The position behind its last byte.
    end: u64,
    sender: Key,
}

/// The bytes of the ring that a message uses beside its own: a flood of empty lines is bounded too.
pub const ENTRY_BYTES: usize = size_of::<MessageEntry>();

/// Entries allocated at once while there are few.
const ENTRIES_MIN: usize = 64;

impl MessageRing {
    /// Creates a ring of `capacity` bytes. Pages not yet written cost no memory.
    pub fn new(capacity: usize) -> MessageRing {
        let bytes = vec![0; capacity].into_boxed_slice();
        MessageRing { bytes, entries: VecDeque::new(), oldest: 0, start: 0 }
    }

    pub fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the number of the oldest message.
    pub fn oldest(&self) -> u64 {
        self.oldest
    }

    /// Returns the number that the next message will have.
    pub fn next_number(&self) -> u64 {
        self.oldest + self.entries.len() as u64
    }

    /// Whether a message of this many bytes fits beside the present ones.
    pub fn fits(&self, bytes: usize) -> bool {
        let held = (self.end() - self.start) as usize + self.entries.len() * ENTRY_BYTES;
        held + bytes + ENTRY_BYTES <= self.capacity()
    }

    /// Appends a message, which fits and is not empty.
    pub fn push(&mut self, sender: Key, message: &[u8]) {
        assert!(!message.is_empty() && self.fits(message.len()), "a message that does not fit");
        self.reserve_entry();
        let end = self.end();
        let at = self.index(end);
        let (first, second) = message.split_at(message.len().min(self.capacity() - at));
        self.bytes[at..at + first.len()].copy_from_slice(first);
        self.bytes[..second.len()].copy_from_slice(second);
        self.entries.push_back(MessageEntry { end: end + message.len() as u64, sender });
    }

    /// Removes the oldest message.
    pub fn remove_oldest(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.oldest += 1;
            self.start = entry.end;
        }
    }

    /// Returns the sender of a message that is in the ring.
    pub fn sender(&self, number: u64) -> Key {
        self.entries[self.entry(number)].sender
    }

    /// Returns the position of the first byte of a message that is in the ring, or of the next one.
    fn start_of(&self, number: u64) -> u64 {
        match self.entry(number) {
            0 => self.start,
            entry => self.entries[entry - 1].end,
        }
    }

    /// Returns the bytes of a message from `offset` on, in two pieces.
    pub fn tail(&self, number: u64, offset: u32) -> [&[u8]; 2] {
        let (from, to) = (self.start_of(number) + u64::from(offset), self.start_of(number + 1));
        let first = self.slice(from..to);
        [first, self.slice(from + first.len() as u64..to)]
    }

    /// Returns bytes of successive messages from a position on, as many as are contiguous. They end
    /// before the first message from `receiver`, and within `max_bytes` and `max_messages`.
    pub fn run(
        &self,
        number: u64,
        offset: u32,
        receiver: Key,
        max_bytes: usize,
        max_messages: usize,
    ) -> &[u8] {
        let from = self.start_of(number) + u64::from(offset);
        let mut to = from;
        for entry in self.entries.range(self.entry(number)..).take(max_messages) {
            if entry.sender == receiver || to - from >= max_bytes as u64 {
                break;
            }
            to = entry.end;
        }
        self.slice(from..to.min(from + max_bytes as u64))
    }

    /// Returns the number of bytes from a position on. One that was overwritten counts as the
    /// oldest.
    pub fn bytes_from(&self, number: u64, offset: u32) -> u64 {
        match number < self.oldest {
            true => self.end() - self.start,
            false => self.end() - self.start_of(number) - u64::from(offset),
        }
    }

    /// Returns the position `bytes` behind another one, as a message and an offset in it. A
    /// position between two messages is the beginning of the later one.
    pub fn advance(&self, number: u64, offset: u32, bytes: usize) -> (u64, u32) {
        let position = self.start_of(number) + u64::from(offset) + bytes as u64;
        debug_assert!(position <= self.end(), "a receiver is ahead of the stream");
        // A delivery is short, so this is faster than a search among all messages.
        let entries = self.entries.range(self.entry(number)..);
        let number = number + entries.take_while(|entry| entry.end <= position).count() as u64;
        (number, (position - self.start_of(number)) as u32)
    }

    /// Returns the contiguous bytes at the front of a range of positions.
    fn slice(&self, range: Range<u64>) -> &[u8] {
        let (at, length) = (self.index(range.start), (range.end - range.start) as usize);
        &self.bytes[at..(at + length).min(self.capacity())]
    }

    fn entry(&self, number: u64) -> usize {
        (number - self.oldest) as usize
    }

    fn end(&self) -> u64 {
        self.entries.back().map_or(self.start, |entry| entry.end)
    }

    fn index(&self, position: u64) -> usize {
        (position % self.bytes.len() as u64) as usize
    }

    /// Doubles the space for entries when it is used up, but never beyond what the ring can hold.
    fn reserve_entry(&mut self) {
        let (used, most) = (self.entries.len(), self.capacity() / (ENTRY_BYTES + 1));
        if used == self.entries.capacity() {
            self.entries.reserve_exact(used.max(ENTRIES_MIN).min(most - used));
        }
    }

    /// Returns how much memory the ring may use.
    #[cfg(test)]
    pub fn allocated(&self) -> usize {
        self.capacity() + self.entries.capacity() * ENTRY_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(id: u32) -> Key {
        Key::new(id, id as usize)
    }

    fn ring(capacity: usize, messages: &[&str]) -> MessageRing {
        let mut ring = MessageRing::new(capacity);
        for (n, message) in messages.iter().enumerate() {
            while !ring.fits(message.len()) {
                ring.remove_oldest();
            }
            ring.push(sender(1 + n as u32 % 3), message.as_bytes());
        }
        ring
    }

    #[test]
    fn a_message_costs_its_bytes_and_its_entry() {
        assert_eq!(ENTRY_BYTES, 16);
        assert!(ring(17, &[]).fits(1) && !ring(17, &[]).fits(2));
        let full = ring(64, &["0123456789abcdef", "0123456789abcdef"]);
        assert!(!full.fits(1));
        assert_eq!((full.oldest(), full.next_number()), (0, 2));
        let over = ring(64, &["0123456789abcdef", "0123456789abcdef", "x"]);
        assert_eq!((over.oldest(), over.next_number()), (1, 3));
    }

    #[test]
    fn the_entries_never_take_more_than_the_ring_itself() {
        for capacity in [17, 100, 1000, 10_000] {
            let ring = ring(capacity, &["x"; 20_000]);
            assert!(ring.allocated() <= 2 * capacity, "{capacity}: {}", ring.allocated());
            assert_eq!(ring.next_number() - ring.oldest(), capacity as u64 / 17);
        }
    }

    #[test]
    fn a_run_ends_at_the_receiver_s_own_message_and_at_its_limits() {
        let ring = ring(1000, &["one", "two", "three", "four", "five"]);
        let run = |(number, offset), receiver, max_bytes, max_messages| {
            let run = ring.run(number, offset, sender(receiver), max_bytes, max_messages);
            String::from_utf8(run.to_vec()).unwrap()
        };
        assert_eq!(run((0, 0), 9, 99, 99), "onetwothreefourfive");
        assert_eq!(run((0, 0), 3, 99, 99), "onetwo");
        assert_eq!(run((1, 2), 3, 99, 99), "o");
        assert_eq!(run((2, 0), 3, 99, 99), "");
        assert_eq!(run((5, 0), 3, 99, 99), "");
        assert_eq!(run((1, 1), 9, 4, 99), "woth");
        assert_eq!(run((1, 1), 9, 99, 2), "wothree");
    }

    #[test]
    fn a_position_between_two_messages_belongs_to_the_later_one() {
        let ring = ring(1000, &["one", "two", "three"]);
        let table = [(0, (0, 0)), (2, (0, 2)), (3, (1, 0)), (5, (1, 2)), (6, (2, 0)), (11, (3, 0))];
        for (bytes, position) in table {
            assert_eq!(ring.advance(0, 0, bytes), position);
        }
        assert_eq!(ring.advance(1, 1, 3), (2, 1));
    }

    #[test]
    fn a_message_that_wraps_around_is_read_in_two_pieces() {
        let ring = ring(40, &["0123456789abcdefghij", "ABCDEFGHIJKLMNOPQRSTUVWX"]);
        assert_eq!(ring.oldest(), 1);
        let [first, second] = ring.tail(1, 2);
        assert_eq!([first, second].concat(), b"CDEFGHIJKLMNOPQRSTUVWX");
        assert_eq!(first.len(), 18);
        assert_eq!(ring.run(1, 2, sender(9), 99, 99), first);
        assert_eq!(ring.advance(1, 2, 18), (1, 20));
        assert_eq!(ring.run(1, 20, sender(9), 99, 99), second);
    }
}
