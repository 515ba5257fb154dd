//! The room: the one place into which all datagrams are received.
//!
//! On Linux one call brings several arrivals, and an arrival may be a train: datagrams of one
//! sender and one length, which a network card or a sender has joined and the system has left
//! joined.

use std::ops::Range;

#[cfg(target_os = "linux")]
use nix::sys::socket::{MultiHeaders, SockaddrStorage};

use super::remote::Remote;

/// Room for what one call brings. One serves all sockets in turn.
#[derive(Debug)]
pub struct Room {
    pub(super) bytes: Vec<u8>,
    pub(super) all_received: Vec<Received>,
    /// The number of the first arrival of the last call.
    pub(super) fresh: usize,
    /// One that was received without regard to places is there.
    is_full: bool,
    #[cfg(target_os = "linux")]
    pub(super) headers: Headers,
}

/// What the system is asked to tell of what arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing: the socket is connected, and hears its remote alone.
    Nothing,
    /// Who sent it, at a socket of this family.
    Sender(Family),
    /// Also, whether it is a train, and to which of our addresses it came. This costs more.
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
    Unix,
}

/// What the system handed over as one: a datagram, or a train of them.
#[derive(Debug)]
pub struct Received {
    /// None, if it was not asked for.
    pub from: Option<Remote>,
    /// Where it begins in the room.
    pub(super) start: usize,
    pub bytes: usize,
    /// The length of each of its datagrams, but for the last.
    pub(super) each: usize,
    /// Nothing of it, and of what the system tells about it, was cut.
    pub(super) is_whole: bool,
}

/// Headers that serve call after call. The system shortens what it fills in to what came: here that
/// is an address, which has one length in each family. Made when they are first needed.
#[cfg(target_os = "linux")]
#[derive(Debug, Default)]
pub(super) struct Headers {
    pub unasked: Option<MultiHeaders<SockaddrStorage>>,
    pub v4: Option<MultiHeaders<SockaddrStorage>>,
    pub v6: Option<MultiHeaders<SockaddrStorage>>,
}

/// Datagrams that lie side by side and have the same length; only the last one may be shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments<'a> {
    bytes: &'a [u8],
    each: usize,
    /// How many they are: a datagram may be empty, and so cannot be found by counting bytes.
    len: usize,
}

/// The longest datagram of a Unix socket has 212,960 bytes on a Linux whose limits nobody raised.
const LONGEST_BYTES: usize = 256 * 1024;

/// So many arrivals are taken in one call. More save hardly a call, and make others wait.
pub const PLACES: usize = 8;

/// What is sent while a cache near the core still has it costs less. Of trains, which save calls by
/// themselves, this is less than one.
const HEAVY_BYTES: usize = 16 * 1024;

/// No arrival over UDP is longer than 65,535 bytes, train or not. The odd lines beyond keep the
/// beginnings of the places, which is all that most datagrams have, from sharing one cache set.
pub(super) const PLACE_BYTES: usize = 64 * 1024 + 192;

impl Room {
    /// Pages that are never touched cost nothing.
    pub fn new() -> Room {
        let bytes = LONGEST_BYTES.max(PLACES * PLACE_BYTES);
        Room {
            bytes: vec![0; bytes],
            all_received: Vec::with_capacity(PLACES),
            fresh: 0,
            is_full: false,
            #[cfg(target_os = "linux")]
            headers: Headers::default(),
        }
    }

    /// The datagram of this length; nothing, if it may have been cut because it was longer.
    pub fn datagram(&self, bytes: usize) -> Option<&[u8]> {
        self.bytes.get(..bytes).filter(|_| bytes < LONGEST_BYTES)
    }

    /// Where one datagram is received.
    pub(super) fn longest(&mut self) -> &mut [u8] {
        &mut self.bytes[..LONGEST_BYTES]
    }

    /// All that has arrived since the room was cleared.
    pub fn all_received(&self) -> &[Received] {
        &self.all_received
    }

    /// What the last call brought, by number.
    pub fn fresh(&self) -> Range<usize> {
        self.fresh..self.all_received.len()
    }

    /// How many more arrivals it can take. One call needs two at least, as one that fills the room
    /// does not tell whether more is left.
    pub fn places(&self) -> usize {
        if self.is_full { 0 } else { PLACES - self.all_received.len() }
    }

    /// Whether so much has arrived that it should go out before more comes in.
    pub fn is_heavy(&self) -> bool {
        self.all_received.iter().map(|received| received.bytes).sum::<usize>() > HEAVY_BYTES
    }

    /// Forgets what has arrived.
    pub fn clear(&mut self) {
        self.all_received.clear();
        self.is_full = false;
    }

    /// Whether the last call filled the whole room with datagrams of one sender and one length:
    /// then they may have been a train, which was taken apart for us.
    pub fn looks_like_a_train(&self) -> bool {
        let alike = |pair: &[Received]| {
            pair[0].bytes == pair[1].bytes && pair[0].each > 0 && pair[0].from == pair[1].from
        };
        self.fresh().len() == PLACES && self.all_received.windows(2).all(alike)
    }

    /// The datagrams of an arrival; nothing, if it may have been cut.
    pub fn train(&self, received: &Received) -> Option<Segments<'_>> {
        let bytes = self.bytes.get(received.start..)?.get(..received.bytes)?;
        received.is_whole.then_some(Segments::new(bytes, received.each))
    }

    /// Notes that one datagram has been received, which had the whole room for itself.
    pub(super) fn arrived(&mut self, bytes: usize, from: Option<Remote>) {
        self.clear();
        (self.fresh, self.is_full) = (0, true);
        let (start, each, is_whole) = (0, bytes, bytes < LONGEST_BYTES);
        self.all_received.push(Received { from, start, bytes, each, is_whole });
    }
}

impl Default for Room {
    fn default() -> Room {
        Room::new()
    }
}

impl<'a> Segments<'a> {
    /// Datagrams of `each` bytes. No bytes are one empty datagram.
    pub fn new(bytes: &'a [u8], each: usize) -> Segments<'a> {
        Segments { bytes, each, len: bytes.len().div_ceil(each.max(1)).max(1) }
    }

    pub fn one(datagram: &'a [u8]) -> Segments<'a> {
        Segments::new(datagram, datagram.len())
    }

    /// How many datagrams it has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it is a part without a datagram.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The length of each datagram, but for the last.
    pub fn each(&self) -> usize {
        self.each
    }

    /// The bytes of all its datagrams.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub fn datagrams(self) -> impl Iterator<Item = &'a [u8]> {
        (0..self.len).map(move |number| self.part(number..number + 1).bytes)
    }

    /// Some of its datagrams, by their numbers from 0 on.
    pub fn part(self, numbers: Range<usize>) -> Segments<'a> {
        let at = |number: usize| (number * self.each).min(self.bytes.len());
        let bytes = &self.bytes[at(numbers.start)..at(numbers.end)];
        Segments { bytes, each: self.each, len: numbers.len() }
    }

    /// What is left without the first so many.
    pub fn after(self, number: usize) -> Segments<'a> {
        self.part(number..self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(train: Segments<'_>) -> Vec<usize> {
        train.datagrams().map(<[u8]>::len).collect()
    }

    #[test]
    fn a_train_is_taken_apart_into_its_datagrams() {
        let bytes: Vec<u8> = (0..10).collect();
        let train = Segments::new(&bytes, 4);
        assert_eq!((train.len(), lengths(train)), (3, vec![4, 4, 2]));
        assert_eq!(train.datagrams().collect::<Vec<_>>().concat(), bytes);
        assert_eq!(lengths(Segments::new(&bytes, 5)), [5, 5]);
        assert_eq!(lengths(Segments::new(&bytes, 9)), [9, 1]);
        assert_eq!(lengths(Segments::one(&bytes)), [10]);
    }

    #[test]
    fn parts_of_a_train_are_trains() {
        let bytes: Vec<u8> = (0..10).collect();
        let train = Segments::new(&bytes, 4);
        assert_eq!((train.part(0..2).bytes(), train.part(0..2).len()), (&bytes[..8], 2));
        assert_eq!((train.after(2).bytes(), train.after(2).len()), (&bytes[8..], 1));
        assert_eq!(lengths(train.after(1)), [4, 2]);
        assert!(train.after(3).is_empty() && train.part(1..1).is_empty());
    }

    #[test]
    fn an_empty_datagram_is_a_datagram() {
        let train = Segments::one(b"");
        assert_eq!((train.len(), train.is_empty(), lengths(train)), (1, false, vec![0]));
        assert!(train.after(1).is_empty() && lengths(train.after(1)).is_empty());
    }

    #[test]
    fn a_few_short_datagrams_are_light_and_a_long_one_is_heavy() {
        let mut room = Room::new();
        assert!(!room.is_heavy());
        for (bytes, is_heavy) in [(0, false), (HEAVY_BYTES, false), (HEAVY_BYTES + 1, true)] {
            room.arrived(bytes, None);
            assert_eq!(room.is_heavy(), is_heavy, "{bytes} bytes");
        }
        room.clear();
        assert!(!room.is_heavy());
    }

    #[test]
    fn what_may_have_been_cut_is_no_datagram() {
        let mut room = Room::new();
        assert_eq!(room.datagram(0), Some(&b""[..]));
        assert!(room.datagram(LONGEST_BYTES - 1).is_some());
        assert!(room.datagram(LONGEST_BYTES).is_none());
        room.arrived(LONGEST_BYTES - 1, None);
        assert!(room.train(&room.all_received()[0]).is_some());
        room.arrived(LONGEST_BYTES, None);
        assert!(room.train(&room.all_received()[0]).is_none());
    }
}
