//! The buffer that all datagrams are received into.
//!
//! On Linux one call receives several messages, and with GRO a message may be a *train*: several
//! datagrams of one sender and one length, joined by the network card or by the sender.

use std::ops::Range;

#[cfg(target_os = "linux")]
use nix::sys::socket::{MultiHeaders, SockaddrStorage};

use super::remote::Remote;

/// The messages that are received and not yet handled. One batch serves all sockets in turn.
#[derive(Debug)]
pub struct RecvBatch {
    pub(super) bytes: Vec<u8>,
    pub(super) all_received: Vec<Received>,
    /// Index of the first message of the last call.
    pub(super) fresh: usize,
    /// One message was received into the whole buffer, across all slots.
    is_full: bool,
    #[cfg(target_os = "linux")]
    pub(super) headers: Headers,
}

/// What the system is asked to report about each message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing: the socket is connected, so the sender is known.
    Nothing,
    /// The sender, on a socket of this family.
    Sender(Family),
    /// The sender, the segment size and the local address. The control messages cost more.
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
    Unix,
}

/// One received message: a datagram, or a train of them.
#[derive(Debug)]
pub struct Received {
    /// The sender. None if it was not requested.
    pub from: Option<Remote>,
    /// Offset in the buffer.
    pub(super) start: usize,
    pub bytes: usize,
    /// Bytes per datagram. The last one may be shorter.
    pub(super) segment_size: usize,
    /// Neither the message nor its control messages were truncated.
    pub(super) is_whole: bool,
}

/// Headers that are reused by every call, created on first use. The system shortens the length
/// fields to what it filled in. Here that is the address, whose length is constant per family.
#[cfg(target_os = "linux")]
#[derive(Debug, Default)]
pub(super) struct Headers {
    pub unasked: Option<MultiHeaders<SockaddrStorage>>,
    pub v4: Option<MultiHeaders<SockaddrStorage>>,
    pub v6: Option<MultiHeaders<SockaddrStorage>>,
}

/// Adjacent datagrams of one length. The last one may be shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments<'a> {
    bytes: &'a [u8],
    segment_size: usize,
    /// Number of datagrams. It does not follow from the bytes, because a datagram may be empty.
    len: usize,
}

/// Size of the buffer for one datagram, in bytes. A datagram that fills it may have been truncated.
/// With Linux's default limits, a Unix datagram has at most 212,960 bytes.
const MAX_DATAGRAM_BYTES: usize = 256 * 1024;

/// Maximum messages per receive call. A larger batch saves few calls and delays other sockets.
pub const MAX_RECEIVED: usize = 8;

/// Bytes after which the batch is sent before more is received: sending is cheaper while the bytes
/// are in a near cache. A full train is longer than this; trains save calls by themselves.
const FLUSH_BYTES: usize = 16 * 1024;

/// Bytes per slot. A UDP message, train or not, has at most 65,535 bytes. The extra cache lines
/// keep the starts of the slots, all that most datagrams use, from sharing one cache set.
pub(super) const SLOT_BYTES: usize = 64 * 1024 + 192;

impl RecvBatch {
    /// Allocates the buffer. Pages that are never touched cost no memory.
    pub fn new() -> RecvBatch {
        let bytes = MAX_DATAGRAM_BYTES.max(MAX_RECEIVED * SLOT_BYTES);
        RecvBatch {
            bytes: vec![0; bytes],
            all_received: Vec::with_capacity(MAX_RECEIVED),
            fresh: 0,
            is_full: false,
            #[cfg(target_os = "linux")]
            headers: Headers::default(),
        }
    }

    /// Returns the datagram of this length, or None if it may have been truncated.
    pub fn datagram(&self, bytes: usize) -> Option<&[u8]> {
        self.bytes.get(..bytes).filter(|_| bytes < MAX_DATAGRAM_BYTES)
    }

    /// The whole buffer, for a call that receives one datagram.
    pub(super) fn whole_buffer(&mut self) -> &mut [u8] {
        &mut self.bytes[..MAX_DATAGRAM_BYTES]
    }

    /// All messages since the batch was cleared.
    pub fn all_received(&self) -> &[Received] {
        &self.all_received
    }

    /// The indices of the messages of the last call.
    pub fn fresh(&self) -> Range<usize> {
        self.fresh..self.all_received.len()
    }

    /// Number of free slots. A call needs at least two: one that fills the batch does not show
    /// whether the socket holds more.
    pub fn free_slots(&self) -> usize {
        if self.is_full { 0 } else { MAX_RECEIVED - self.all_received.len() }
    }

    /// Whether the batch holds enough bytes to be sent before more is received.
    pub fn should_flush(&self) -> bool {
        self.all_received.iter().map(|received| received.bytes).sum::<usize>() > FLUSH_BYTES
    }

    /// Discards all messages.
    pub fn clear(&mut self) {
        self.all_received.clear();
        self.is_full = false;
    }

    /// Whether the last call filled the batch with datagrams of one sender and one length. They may
    /// have been a train, which the system split because GRO is off.
    pub fn looks_segmented(&self) -> bool {
        let alike = |pair: &[Received]| {
            pair[0].bytes == pair[1].bytes
                && pair[0].segment_size > 0
                && pair[0].from == pair[1].from
        };
        self.fresh().len() == MAX_RECEIVED && self.all_received.windows(2).all(alike)
    }

    /// Returns the datagrams of a message, or None if it may have been truncated.
    pub fn segments(&self, received: &Received) -> Option<Segments<'_>> {
        let bytes = self.bytes.get(received.start..)?.get(..received.bytes)?;
        received.is_whole.then_some(Segments::new(bytes, received.segment_size))
    }

    /// Records one datagram that was received into the whole buffer.
    pub(super) fn set_single(&mut self, bytes: usize, from: Option<Remote>) {
        self.clear();
        (self.fresh, self.is_full) = (0, true);
        let (start, segment_size, is_whole) = (0, bytes, bytes < MAX_DATAGRAM_BYTES);
        self.all_received.push(Received { from, start, bytes, segment_size, is_whole });
    }
}

impl Default for RecvBatch {
    fn default() -> RecvBatch {
        RecvBatch::new()
    }
}

impl<'a> Segments<'a> {
    /// Splits `bytes` into datagrams of `segment_size` bytes. No bytes are one empty datagram.
    pub fn new(bytes: &'a [u8], segment_size: usize) -> Segments<'a> {
        let len = bytes.len().div_ceil(segment_size.max(1)).max(1);
        Segments { bytes, segment_size, len }
    }

    /// A single datagram.
    pub fn one(datagram: &'a [u8]) -> Segments<'a> {
        Segments::new(datagram, datagram.len())
    }

    /// Number of datagrams.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether this is a part with no datagrams.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes per datagram. The last one may be shorter.
    pub fn segment_size(&self) -> usize {
        self.segment_size
    }

    /// The bytes of all datagrams.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub fn datagrams(self) -> impl Iterator<Item = &'a [u8]> {
        (0..self.len).map(move |number| self.part(number..number + 1).bytes)
    }

    /// The datagrams with these indices.
    pub fn part(self, numbers: Range<usize>) -> Segments<'a> {
        let at = |number: usize| (number * self.segment_size).min(self.bytes.len());
        let bytes = &self.bytes[at(numbers.start)..at(numbers.end)];
        Segments { bytes, segment_size: self.segment_size, len: numbers.len() }
    }

    /// All datagrams from this index on.
    pub fn after(self, number: usize) -> Segments<'a> {
        self.part(number..self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(segments: Segments<'_>) -> Vec<usize> {
        segments.datagrams().map(<[u8]>::len).collect()
    }

    #[test]
    fn a_train_is_split_into_its_datagrams() {
        let bytes: Vec<u8> = (0..10).collect();
        let segments = Segments::new(&bytes, 4);
        assert_eq!((segments.len(), lengths(segments)), (3, vec![4, 4, 2]));
        assert_eq!(segments.datagrams().collect::<Vec<_>>().concat(), bytes);
        assert_eq!(lengths(Segments::new(&bytes, 5)), [5, 5]);
        assert_eq!(lengths(Segments::new(&bytes, 9)), [9, 1]);
        assert_eq!(lengths(Segments::one(&bytes)), [10]);
    }

    #[test]
    fn parts_of_a_train_are_trains() {
        let bytes: Vec<u8> = (0..10).collect();
        let segments = Segments::new(&bytes, 4);
        assert_eq!((segments.part(0..2).bytes(), segments.part(0..2).len()), (&bytes[..8], 2));
        assert_eq!((segments.after(2).bytes(), segments.after(2).len()), (&bytes[8..], 1));
        assert_eq!(lengths(segments.after(1)), [4, 2]);
        assert!(segments.after(3).is_empty() && segments.part(1..1).is_empty());
    }

    #[test]
    fn an_empty_datagram_is_a_datagram() {
        let segments = Segments::one(b"");
        assert_eq!((segments.len(), segments.is_empty(), lengths(segments)), (1, false, vec![0]));
        assert!(segments.after(1).is_empty() && lengths(segments.after(1)).is_empty());
    }

    #[test]
    fn a_batch_is_to_be_sent_once_it_holds_more_bytes_than_the_threshold() {
        let mut batch = RecvBatch::new();
        assert!(!batch.should_flush());
        for (bytes, expected) in [(0, false), (FLUSH_BYTES, false), (FLUSH_BYTES + 1, true)] {
            batch.set_single(bytes, None);
            assert_eq!(batch.should_flush(), expected, "{bytes} bytes");
        }
        batch.clear();
        assert!(!batch.should_flush());
    }

    #[test]
    fn a_datagram_that_may_have_been_truncated_is_not_returned() {
        let mut batch = RecvBatch::new();
        assert_eq!(batch.datagram(0), Some(&b""[..]));
        assert!(batch.datagram(MAX_DATAGRAM_BYTES - 1).is_some());
        assert!(batch.datagram(MAX_DATAGRAM_BYTES).is_none());
        batch.set_single(MAX_DATAGRAM_BYTES - 1, None);
        assert!(batch.segments(&batch.all_received()[0]).is_some());
        batch.set_single(MAX_DATAGRAM_BYTES, None);
        assert!(batch.segments(&batch.all_received()[0]).is_none());
    }
}
