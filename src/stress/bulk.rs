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
#[derive(Debug)]
pub struct Bulk {
    /// The header to send before the stream.
    header: Vec<u8>,
    /// Where in the ring the near side's stream begins.
    start: u32,
    sends: bool,
    receives: bool,
    /// The bytes are only counted, not verified, and there is no tail upwards.
    counted: bool,
    /// The far end is a sink: the stream has a header and a tail.
    framed: bool,
    /// This side sends its tail only after the other side has ended.
    far: bool,
    /// The far end echoes.
    echo: bool,
    sent: u64,
    got: u64,
    /// The rest of the tail to send, once started.
    tail: Option<Vec<u8>>,
    /// The part of the other side's tail received so far.
    heard: Vec<u8>,
    /// The other side has ended.
    ended: bool,
}

/// The header: a mark, the directions, the seed, and the start position in the ring.
const MARK: &[u8; 7] = b"oneloop";
pub const HEADER_BYTES: usize = MARK.len() + 1 + 8 + 4;

/// The tail: a zero, then the number of bytes this side has sent and received.
const TAIL_BYTES: usize = 17;

/// Offset of the stream back in the ring, so that an echo is not mistaken for it.
const BACK: u32 = RING_BYTES as u32 / 2;

const UP: u8 = 1;
const DOWN: u8 = 2;
const COUNTED: u8 = 4;

impl Bulk {
    /// Creates the near side of a stream in the direction of the load.
    pub fn near(load: &Load, start: u32) -> Bulk {
        let direction = load.direction;
        let ways = match direction {
            Direction::Up if load.counted => UP | COUNTED,
            Direction::Up => UP,
            Direction::Down => DOWN,
            Direction::Both => UP | DOWN,
            Direction::Echo | Direction::Discard => 0,
        };
        let framed = ways != 0;
        let header = match framed {
            true => {
                let seed = load.pattern.seed().to_le_bytes();
                [MARK, &[ways][..], &seed, &start.to_le_bytes()].concat()
            }
            false => Vec::new(),
        };
        Bulk {
            header,
            start,
            sends: direction != Direction::Down,
            receives: ways & DOWN != 0 || direction == Direction::Echo,
            counted: load.counted,
            framed,
            echo: direction == Direction::Echo,
            ..Bulk::blank()
        }
    }

    /// Creates the sink's side from a received header. Also returns the seed.
    pub fn far(header: &[u8; HEADER_BYTES]) -> Option<(Bulk, u64)> {
        let rest = header.strip_prefix(MARK)?;
        let (ways, rest) = rest.split_first()?;
        let (seed, start) = rest.split_first_chunk::<8>()?;
        let seed = u64::from_le_bytes(*seed);
        let start = u32::from_le_bytes(start.try_into().ok()?);
        let counted = *ways == UP | COUNTED;
        let known = (counted || matches!(*ways, 1..=3)) && (start as usize) < RING_BYTES;
        let (sends, receives) = (ways & DOWN != 0, ways & UP != 0);
        let bulk =
            Bulk { start, sends, receives, counted, framed: true, far: true, ..Bulk::blank() };
        known.then_some((bulk, seed))
    }

    fn blank() -> Bulk {
        Bulk {
            header: Vec::new(),
            start: 0,
            sends: false,
            receives: false,
            counted: false,
            framed: false,
            far: false,
            echo: false,
            sent: 0,
            got: 0,
            tail: None,
            heard: Vec::new(),
            ended: false,
        }
    }

    pub fn read_end(&mut self) {
        self.ended = true;
    }

    pub fn read(&mut self, load: &Load, pattern: &Pattern, into: &mut [u8]) -> io::Result<usize> {
        if !self.header.is_empty() {
            return Ok(drain(&mut self.header, into));
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
        if !self.counted || self.sent == 0 {
            pattern.fill(self.sending(), self.sent, into);
        }
        self.sent += into.len() as u64;
        Ok(into.len())
    }

    /// Returns the tail, then the end of file. Waits for the echo first.
    fn read_last(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.echo && self.got < self.sent && !self.ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if !self.framed {
            return Ok(0);
        }
        let (sent, got) = (self.sent.to_le_bytes(), self.got.to_le_bytes());
        let tail = self.tail.get_or_insert_with(|| match self.counted && !self.far {
            // It would be indistinguishable from the stream.
            true => Vec::new(),
            false => [&[END], &sent[..], &got[..]].concat(),
        });
        Ok(drain(tail, into))
    }

    pub fn write(
        &mut self,
        load: &Load,
        pattern: &Pattern,
        key: Key,
        from: &[u8],
    ) -> io::Result<usize> {
        let tail = match self.heard.is_empty() {
            true => &from[self.take(load, pattern, key, from)?..],
            false => from,
        };
        self.heard.extend_from_slice(tail);
        match self.heard.len() {
            0..TAIL_BYTES => {}
            TAIL_BYTES => self.compare_totals(load, key)?,
            _ => return Err(load.reject(key, ScriptEvent::Excess { at: self.got })),
        }
        Ok(from.len())
    }

    /// Verifies bytes of the stream and returns their number. The rest is the tail.
    fn take(&mut self, load: &Load, pattern: &Pattern, key: Key, from: &[u8]) -> io::Result<usize> {
        if self.counted && self.far {
            self.got += from.len() as u64;
            return Ok(from.len());
        }
        let start = self.receiving();
        let bytes = match pattern.check(start, self.got, from) {
            None => from.len(),
            Some(offset) if self.framed && from[offset] == END => offset,
            Some(offset) => {
                let at = self.got + offset as u64;
                let (is, should) = (from[offset], pattern.byte(start, at));
                return Err(load.reject(key, ScriptEvent::Wrong { at, is, should }));
            }
        };
        let too_many = self.echo && self.got + bytes as u64 > self.sent;
        if bytes > 0 && (too_many || !self.receives) {
            return Err(load.reject(key, ScriptEvent::Excess { at: self.got }));
        }
        self.got += bytes as u64;
        if self.echo && self.got == self.sent && load.ending.get() {
            load.report(key, ScriptEvent::Resume);
        }
        Ok(bytes)
    }

    /// Compares the totals in the other side's tail with this side's.
    fn compare_totals(&mut self, load: &Load, key: Key) -> io::Result<()> {
        let number = |at: usize| {
            let bytes: Option<[u8; 8]> = self.heard[at..at + 8].try_into().ok();
            bytes.map_or(0, u64::from_le_bytes)
        };
        let (sent, arrived) = (number(1), number(9));
        if self.got != sent {
            return Err(load.reject(key, ScriptEvent::Missing { sent, arrived: self.got }));
        }
        // With both directions the near side's tail is sent before the stream back has ended: only
        // the far side's count is complete.
        if !self.far && self.sends && arrived != self.sent {
            return Err(load.reject(key, ScriptEvent::Missing { sent: self.sent, arrived }));
        }
        Ok(())
    }

    /// Whether everything has arrived, as far as this side can know.
    pub fn is_whole(&self) -> bool {
        match (self.framed, self.echo) {
            (true, _) if self.counted && self.far => self.ended,
            (true, _) => self.heard.len() == TAIL_BYTES,
            (false, true) => self.got == self.sent,
            (false, false) => true,
        }
    }

    /// Whether the other side still has to send.
    pub fn waits(&self) -> bool {
        !self.far && (self.receives || self.framed && self.tail.is_some()) && !self.is_whole()
    }

    /// Whether received bytes are only counted.
    pub fn is_counted(&self) -> bool {
        self.counted
    }

    /// Start position in the ring of the bytes that this side sends.
    fn sending(&self) -> u32 {
        if self.far { self.back() } else { self.start }
    }

    fn receiving(&self) -> u32 {
        if self.far || self.echo { self.start } else { self.back() }
    }

    fn back(&self) -> u32 {
        (self.start + BACK) % RING_BYTES as u32
    }
}

/// Moves as many bytes as fit, and returns their number.
fn drain(bytes: &mut Vec<u8>, into: &mut [u8]) -> usize {
    let count = bytes.len().min(into.len());
    into[..count].copy_from_slice(&bytes[..count]);
    bytes.drain(..count);
    count
}

#[cfg(test)]
mod tests;
