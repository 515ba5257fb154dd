//! A bulk stream: as many bytes as go through, each of them known and verified.
//! (Or only counted, if that was asked for.)
//!
//! Where the far end is a sink of ours, the stream begins with a header that says what will flow,
//! and ends with a tail that says how much has: so what a relay between the two has lost is seen
//! even if it lost the end. The bytes of the stream are never zero, and a tail begins with a zero.

use std::io;

use crate::core::Key;
use crate::plan::Way;

use super::load::{Load, News};
use super::pattern::{END, Pattern, RING_BYTES};

/// One side of a bulk stream.
#[derive(Debug)]
pub struct Bulk {
    /// What goes before the stream.
    header: Vec<u8>,
    /// Where in the ring the near side's stream begins.
    start: u32,
    sends: bool,
    receives: bool,
    /// The bytes are not looked at: only their number is compared, and there is no tail upwards.
    counted: bool,
    /// The far end is a sink of ours: the stream has a header and a tail.
    framed: bool,
    /// This side has to say its tail only after the other has ended.
    far: bool,
    /// What comes back is what was sent.
    echo: bool,
    sent: u64,
    got: u64,
    /// What is left of the tail to be sent, once it is begun.
    tail: Option<Vec<u8>>,
    /// The other side's tail, as far as it has come.
    heard: Vec<u8>,
    /// The other side has ended.
    ended: bool,
}

/// What a stream begins with: a mark, the ways, the seed, and where in the ring it begins.
const MARK: &[u8; 7] = b"oneloop";
pub const HEADER_BYTES: usize = MARK.len() + 1 + 8 + 4;

/// A zero, then how many bytes this side has sent and how many it has received.
const TAIL_BYTES: usize = 17;

/// The stream back begins elsewhere in the ring: one that is merely sent back is not taken for it.
const BACK: u32 = RING_BYTES as u32 / 2;

const UP: u8 = 1;
const DOWN: u8 = 2;
const COUNTED: u8 = 4;

impl Bulk {
    /// Our side, of a stream this way.
    pub fn near(load: &Load, start: u32) -> Bulk {
        let way = load.way;
        let ways = match way {
            Way::Up if load.counted => UP | COUNTED,
            Way::Up => UP,
            Way::Down => DOWN,
            Way::Both => UP | DOWN,
            Way::Echo | Way::Discard => 0,
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
            sends: way != Way::Down,
            receives: ways & DOWN != 0 || way == Way::Echo,
            counted: load.counted,
            framed,
            echo: way == Way::Echo,
            ..Bulk::blank()
        }
    }

    /// The sink's side, of a stream with this header: and the seed it names.
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

    pub fn hear_end(&mut self) {
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
        if !self.sends || !(self.far || load.going.get()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // What nobody looks at is not made anew: what lies there since goes again.
        if !self.counted || self.sent == 0 {
            pattern.fill(self.sending(), self.sent, into);
        }
        self.sent += into.len() as u64;
        Ok(into.len())
    }

    /// The tail, then the end. An echo is waited for before.
    fn read_last(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.echo && self.got < self.sent && !self.ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if !self.framed {
            return Ok(0);
        }
        let (sent, got) = (self.sent.to_le_bytes(), self.got.to_le_bytes());
        let tail = self.tail.get_or_insert_with(|| match self.counted && !self.far {
            // Nobody would tell it from the stream.
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
            TAIL_BYTES => self.settle(load, key)?,
            _ => return Err(load.refuse(key, News::Invented { at: self.got })),
        }
        Ok(from.len())
    }

    /// Verifies the stream; how many bytes belong to it. What is left is the tail.
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
                return Err(load.refuse(key, News::Wrong { at, is, should }));
            }
        };
        let too_many = self.echo && self.got + bytes as u64 > self.sent;
        if bytes > 0 && (too_many || !self.receives) {
            return Err(load.refuse(key, News::Invented { at: self.got }));
        }
        self.got += bytes as u64;
        if self.echo && self.got == self.sent && load.ending.get() {
            load.tell(key, News::GoOn);
        }
        Ok(bytes)
    }

    /// The other side has said how much it sent, and how much of ours has arrived.
    fn settle(&mut self, load: &Load, key: Key) -> io::Result<()> {
        let number = |at: usize| {
            let bytes: Option<[u8; 8]> = self.heard[at..at + 8].try_into().ok();
            bytes.map_or(0, u64::from_le_bytes)
        };
        let (sent, arrived) = (number(1), number(9));
        if self.got != sent {
            return Err(load.refuse(key, News::Missing { sent, arrived: self.got }));
        }
        // The near side's tail is said in the middle of a stream both ways: only the far side's
        // count is one of the whole.
        if !self.far && self.sends && arrived != self.sent {
            return Err(load.refuse(key, News::Missing { sent: self.sent, arrived }));
        }
        Ok(())
    }

    /// Whether all has arrived that was to arrive, as far as this side can know.
    pub fn is_whole(&self) -> bool {
        match (self.framed, self.echo) {
            (true, _) if self.counted && self.far => self.ended,
            (true, _) => self.heard.len() == TAIL_BYTES,
            (false, true) => self.got == self.sent,
            (false, false) => true,
        }
    }

    /// Whether something is still to come from the other side.
    pub fn waits(&self) -> bool {
        !self.far && (self.receives || self.framed && self.tail.is_some()) && !self.is_whole()
    }

    /// Whether what comes need only be counted.
    pub fn is_counted(&self) -> bool {
        self.counted
    }

    /// Where what this side sends begins in the ring.
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

/// Moves as many bytes as fit; how many.
fn drain(bytes: &mut Vec<u8>, into: &mut [u8]) -> usize {
    let count = bytes.len().min(into.len());
    into[..count].copy_from_slice(&bytes[..count]);
    bytes.drain(..count);
    count
}

#[cfg(test)]
mod tests;
