//! Deadlines: at most one valid entry a connection, never moved on activity.
//!
//! A connection's next deadline follows from what is known of it (`Timeouts` and when it was last
//! active). An entry that comes due is checked against that, and set anew if it was not meant yet.
//! So a busy connection costs one pop and one push per timeout period, and nothing is ever
//! cancelled: an entry whose connection is gone, or which was superseded by an earlier one, is
//! ignored when it comes up.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::key::Key;
use super::time::{Moment, Tick};

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    Connect,
    Idle,
    HalfClose,
    Lifetime,
    /// A service that said its last word waits this long for the peer's end of file.
    Linger,
    /// While we drain: nothing in progress for this long means idle.
    Quiet,
}

/// The timeouts of a route, in ticks. None means: off.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timeouts {
    pub connect: Option<Tick>,
    pub idle: Option<Tick>,
    pub half_close: Option<Tick>,
    pub lifetime: Option<Tick>,
}

impl Timeouts {
    /// Whether an established connection is never looked at for its age or its silence.
    pub fn all_off(&self) -> bool {
        self.idle.is_none() && self.half_close.is_none() && self.lifetime.is_none()
    }
}

/// The heap of deadlines: twelve bytes an entry.
#[derive(Debug, Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<(Tick, Key)>>,
}

/// Entries of closed connections linger until they come due; beyond this many they are swept out.
const SWEEP_FROM: usize = 4096;

impl Timers {
    /// Room for so many deadlines is reserved. To grow step by step would leave holes in the
    /// memory; untouched pages cost nothing.
    pub fn with_capacity(capacity: usize) -> Timers {
        Timers { heap: BinaryHeap::with_capacity(capacity) }
    }

    pub fn arm(&mut self, due: Tick, key: Key) {
        self.heap.push(Reverse((due, key)));
    }

    /// Whether there is anything to do: an entry is due, or the dead ones are too many.
    pub fn ask(&self, now: Moment, live: usize) -> bool {
        self.next().is_some_and(|due| due <= now.tick() || self.is_littered(live))
    }

    /// The next entry that is due, taken out.
    pub fn pop(&mut self, now: Tick) -> Option<(Tick, Key)> {
        let Reverse((due, _)) = self.heap.peek()?;
        if *due > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    /// When the next entry is due.
    pub fn next(&self) -> Option<Tick> {
        self.heap.peek().map(|Reverse((due, _))| *due)
    }

    pub fn len(&self) -> usize {
        self.heap.len()
    }

    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    fn is_littered(&self, live: usize) -> bool {
        self.heap.len() > 2 * live + SWEEP_FROM
    }

    /// Sweeps out what no longer holds, once dead entries outnumber the `live` connections.
    pub fn sweep(&mut self, live: usize, holds: impl Fn(Tick, Key) -> bool) {
        if self.is_littered(live) {
            self.heap.retain(|Reverse((due, key))| holds(*due, *key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_come_up_in_order_and_not_before_their_time() {
        let mut timers = Timers::default();
        for (due, id) in [(30, 3), (10, 1), (20, 2)] {
            timers.arm(due, Key::new(id, 0));
        }
        assert_eq!(timers.next(), Some(10));
        assert!(timers.pop(9).is_none());
        let order: Vec<u32> =
            std::iter::from_fn(|| timers.pop(25)).map(|(_, key)| key.id).collect();
        assert_eq!(order, [1, 2]);
        assert_eq!(timers.len(), 1);
    }

    #[test]
    fn dead_entries_are_swept_out() {
        let mut timers = Timers::default();
        for id in 1..=10_000 {
            timers.arm(100, Key::new(id, 0));
        }
        timers.sweep(10, |_, key| key.id <= 10);
        assert_eq!(timers.len(), 10);
    }
}
