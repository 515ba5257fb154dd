//! A bulk stream: as many bytes as possible, each verified or, if requested, only counted.
//!
//! With a sink as far end, the stream starts with a header that describes it and ends with a tail
//! that holds the totals, so bytes that a relay loses are detected even at the end of the stream.
//! The bytes of the stream are never zero, and a tail starts with a zero.

use std::io;

use crate::config::Direction;
use crate::core::Key;

use super::load::{Load, ScriptEvent};
use super::pattern::{END, Pattern, RING_BYTES};

/// One side of a bulk stream.
#[derive(Debug, Default)]
pub struct BulkStream {
    /// The header to send before the stream.
    header: Vec<u8>,
    /// Where in the ring the near side's stream begins.
    start: u32,
    sends: bool,
    receives: bool,
    /// The bytes are only counted, not verified, and the near side sends no tail.
    pub count_only: bool,
    /// The far end is a sink: the stream has a header and a tail.
    framed: bool,
    /// This side sends its tail only after the other side has ended.
    far: bool,
    /// The far end echoes.
    echo: bool,
    sent: u64,
    received: u64,
    /// The rest of the tail to send, once started.
    tail: Option<Vec<u8>>,
    /// The part of the other side's tail received so far.
    peer_tail: Vec<u8>,
    /// The other side has ended.
    pub ended: bool,
}

/// The header: a magic string, the directions, the seed, and the start position in the ring.
const MAGIC: &[u8; 7] = b"oneloop";
pub const HEADER_BYTES: usize = MAGIC.len() + 1 + 8 + 4;

/// The tail: a zero, then the number of bytes this side has sent and received.
const TAIL_BYTES: usize = 17;

/// Distance in the ring between the streams of both directions, so that an echo is not mistaken for
/// the stream from the sink.
const DOWN_OFFSET: u32 = RING_BYTES as u32 / 2;

/// Bits of the directions in the header.
const UP: u8 = 1;
const DOWN: u8 = 2;
const COUNT_ONLY: u8 = 4;

impl BulkStream {
    /// Creates the near side of a stream in the direction of the load.
    pub fn near(load: &Load, start: u32) -> BulkStream {
        let direction = load.direction;
        let directions = match direction {
            Direction::Up if load.count_only => UP | COUNT_ONLY,
            Direction::Up => UP,
            Direction::Down => DOWN,
            Direction::Both => UP | DOWN,
            Direction::Echo | Direction::Discard => 0,
        };
        let framed = directions != 0;
        let header = match framed {
            true => {
                let seed = load.pattern.seed().to_le_bytes();
                [MAGIC, &[directions][..], &seed, &start.to_le_bytes()].concat()
            }
            false => Vec::new(),
        };
        BulkStream {
            header,
            start,
            sends: direction != Direction::Down,
            receives: directions & DOWN != 0 || direction == Direction::Echo,
            count_only: load.count_only,
            framed,
            echo: direction == Direction::Echo,
            ..BulkStream::default()
        }
    }

    /// Creates the sink's side from a received header. Also returns the seed.
    pub fn far(header: &[u8; HEADER_BYTES]) -> Option<(BulkStream, u64)> {
        let rest = header.strip_prefix(MAGIC)?;
        let (directions, rest) = rest.split_first()?;
        let (seed, start) = rest.split_first_chunk::<8>()?;
        let seed = u64::from_le_bytes(*seed);
        let start = u32::from_le_bytes(start.try_into().ok()?);
        let count_only = *directions == UP | COUNT_ONLY;
        let known = (count_only || matches!(*directions, 1..=3)) && (start as usize) < RING_BYTES;
        let (sends, receives) = (directions & DOWN != 0, directions & UP != 0);
        let bulk = BulkStream {
            start,
            sends,
            receives,
            count_only,
            framed: true,
            far: true,
            ..BulkStream::default()
        };
        known.then_some((bulk, seed))
    }

    /// Generates the bytes to send: header, stream, tail.
    pub fn read(&mut self, load: &Load, pattern: &Pattern, into: &mut [u8]) -> io::Result<usize> {
        if !self.header.is_empty() {
            return Ok(move_bytes(&mut self.header, into));
        }
        let last = match self.far {
            true => self.ended,
            false => load.ending.get() || self.ended,
        };
        if last {
            return self.read_last(into);
        }
        if !self.sends || !(self.far || load.started.get()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // Bytes that are not verified need not be generated again.
        if !self.count_only || self.sent == 0 {
            pattern.fill(self.sending(), self.sent, into);
        }
        self.sent += into.len() as u64;
        Ok(into.len())
    }

    /// Returns the tail, then the end of file. Waits for the echo first.
    fn read_last(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.echo && self.received < self.sent && !self.ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if !self.framed {
            return Ok(0);
        }
        let (sent, received) = (self.sent.to_le_bytes(), self.received.to_le_bytes());
        let tail = self.tail.get_or_insert_with(|| match self.count_only && !self.far {
            // It would be indistinguishable from the stream.
            true => Vec::new(),
            false => [&[END], &sent[..], &received[..]].concat(),
        });
        Ok(move_bytes(tail, into))
    }

    /// Verifies received bytes, and the totals in the tail.
    pub fn write(
        &mut self,
        load: &Load,
        pattern: &Pattern,
        key: Key,
        from: &[u8],
    ) -> io::Result<usize> {
        let tail = match self.peer_tail.is_empty() {
            true => &from[self.verify(load, pattern, key, from)?..],
            false => from,
        };
        self.peer_tail.extend_from_slice(tail);
        match self.peer_tail.len() {
            0..TAIL_BYTES => {}
            TAIL_BYTES => self.compare_totals(load, key)?,
            _ => return Err(load.reject(key, ScriptEvent::Excess { at: self.received })),
        }
        Ok(from.len())
    }

    /// Verifies bytes of the stream and returns their number. The rest is the tail.
    fn verify(
        &mut self,
        load: &Load,
        pattern: &Pattern,
        key: Key,
        from: &[u8],
    ) -> io::Result<usize> {
        if self.count_only && self.far {
            self.received += from.len() as u64;
            return Ok(from.len());
        }
        let start = self.receiving();
        let bytes = match pattern.check(start, self.received, from) {
            None => from.len(),
            Some(offset) if self.framed && from[offset] == END => offset,
            Some(offset) => {
                let at = self.received + offset as u64;
                let (actual, expected) = (from[offset], pattern.byte(start, at));
                return Err(load.reject(key, ScriptEvent::Wrong { at, actual, expected }));
            }
        };
        let too_many = self.echo && self.received + bytes as u64 > self.sent;
        if bytes > 0 && (too_many || !self.receives) {
            return Err(load.reject(key, ScriptEvent::Excess { at: self.received }));
        }
        self.received += bytes as u64;
        if self.echo && self.received == self.sent && load.ending.get() {
            load.report(key, ScriptEvent::Resume);
        }
        Ok(bytes)
    }

    /// Compares the totals in the other side's tail with this side's.
    fn compare_totals(&mut self, load: &Load, key: Key) -> io::Result<()> {
        let number = |at: usize| {
            let bytes: Option<[u8; 8]> = self.peer_tail[at..at + 8].try_into().ok();
            bytes.map_or(0, u64::from_le_bytes)
        };
        let (sent, arrived) = (number(1), number(9));
        if self.received != sent {
            return Err(load.reject(key, ScriptEvent::Missing { sent, arrived: self.received }));
        }
        // With both directions the near side's tail is sent before the stream back has ended: only
        // the far side's count is complete.
        if !self.far && self.sends && arrived != self.sent {
            return Err(load.reject(key, ScriptEvent::Missing { sent: self.sent, arrived }));
        }
        Ok(())
    }

    /// Whether everything has arrived, as far as this side can know.
    pub fn is_complete(&self) -> bool {
        match (self.framed, self.echo) {
            (true, _) if self.count_only && self.far => self.ended,
            (true, _) => self.peer_tail.len() == TAIL_BYTES,
            (false, true) => self.received == self.sent,
            (false, false) => true,
        }
    }

    /// Whether the other side still has to send.
    pub fn waits(&self) -> bool {
        !self.far && (self.receives || self.framed && self.tail.is_some()) && !self.is_complete()
    }

    /// Start position in the ring of the bytes that this side sends.
    fn sending(&self) -> u32 {
        if self.far { self.back() } else { self.start }
    }

    /// Start position in the ring of the bytes that this side receives.
    fn receiving(&self) -> u32 {
        if self.far || self.echo { self.start } else { self.back() }
    }

    fn back(&self) -> u32 {
        (self.start + DOWN_OFFSET) % RING_BYTES as u32
    }
}

/// Moves as many bytes as fit, and returns their number.
fn move_bytes(bytes: &mut Vec<u8>, into: &mut [u8]) -> usize {
    let count = bytes.len().min(into.len());
    into[..count].copy_from_slice(&bytes[..count]);
    bytes.drain(..count);
    count
}

#[cfg(test)]
mod tests;
