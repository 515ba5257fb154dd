//! State shared by all connections of one load: the bytes, the clock, the start and stop flags, and
//! the list of reports from the scripts.
//!
//! Scripts do not know the loop, and the loop does not know their state. It reads the reports after
//! each run of the engine, so none is lost when a connection closes meanwhile.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::config::Direction;
use crate::core::Key;

use super::pattern::Pattern;

/// Shared by the scripts of one load, and by the loop.
pub struct Load {
    pub pattern: Rc<Pattern>,
    pub clock: RunClock,
    /// Bytes in a message.
    pub size: usize,
    pub pace: Pace,
    pub direction: Direction,
    /// The bytes of its streams are only counted, not verified.
    pub count_only: bool,
    /// It sends datagrams; `gso`: with segmentation offload.
    pub is_datagram: bool,
    pub gso: bool,
    /// Its connections are far ends of streams (a sink).
    pub far: bool,
    /// Number of answers after which a connection closes.
    pub ends_after: Option<u64>,
    /// The loop closes it then, with RST.
    pub aborts: bool,
    /// Interval between two messages of a connection, with a rate or in bursts.
    pub interval: Cell<Duration>,
    /// Messages may be sent.
    pub started: Cell<bool>,
    /// No new messages are sent; a connection closes when its messages are answered.
    pub ending: Cell<bool>,
    reports: Cell<Vec<ScriptReport>>,
    /// The pattern of the last requested seed.
    other_pattern: Cell<Option<Rc<Pattern>>>,
}

/// What triggers a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// An answer, with this many messages in flight.
    Answers(u64),
    /// The loop, which grants permits.
    Loop,
}

/// Time since the start of the run in nanoseconds: finer than the core's moments, read per message.
#[derive(Clone, Copy, Debug)]
pub struct RunClock(Instant);

/// A report of a script to the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScriptReport {
    pub key: Key,
    pub event: ScriptEvent,
}

/// An event in a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptEvent {
    /// A message was echoed correctly. `overdue`: how late it was sent, with permits.
    Answered { took: Duration, overdue: Duration },
    /// A received byte is not the expected one.
    Wrong { at: u64, actual: u8, expected: u8 },
    /// More bytes were received than sent.
    Excess { at: u64 },
    /// The connection ended before this number of permitted messages was answered.
    Owed { answers: u64 },
    /// The connection ended with an incomplete answer, `quiet` after its last byte.
    Partial { bytes: u64, quiet: Duration },
    /// Not all bytes of a stream arrived.
    Missing { sent: u64, arrived: u64 },
    /// The other side ended a stream before everything had arrived.
    Truncated,
    /// A client of the sink did not send a valid header.
    ForeignPeer,
    /// The script has something to send again.
    Resume,
    /// From now on received bytes are only counted.
    CountOnly,
    /// A foreign or modified datagram was received.
    Corrupt { bytes: usize },
    /// A datagram was not echoed in time.
    Lost,
    /// A datagram was echoed after its timeout.
    Late,
}

impl Load {
    pub fn new(pattern: Rc<Pattern>, clock: RunClock, size: usize, pace: Pace) -> Load {
        Load {
            pattern,
            clock,
            size,
            pace,
            direction: Direction::Echo,
            count_only: false,
            is_datagram: false,
            gso: false,
            far: false,
            ends_after: None,
            aborts: false,
            interval: Cell::new(Duration::ZERO),
            started: Cell::new(false),
            ending: Cell::new(false),
            reports: Cell::new(Vec::new()),
            other_pattern: Cell::new(None),
        }
    }

    /// Returns the pattern of this seed. Streams of one load share it.
    pub fn pattern_of(&self, seed: u64) -> Rc<Pattern> {
        let known = self.other_pattern.take().filter(|known| known.seed() == seed);
        let pattern = known.unwrap_or_else(|| Rc::new(Pattern::new(seed)));
        self.other_pattern.set(Some(pattern.clone()));
        pattern
    }

    /// Adds a report for the loop.
    pub fn report(&self, key: Key, event: ScriptEvent) {
        let mut reports = self.reports.take();
        reports.push(ScriptReport { key, event });
        self.reports.set(reports);
    }

    /// Reports wrong bytes, and returns the error that ends the connection.
    pub fn reject(&self, key: Key, event: ScriptEvent) -> io::Error {
        self.report(key, event);
        io::ErrorKind::InvalidData.into()
    }

    /// Swaps the collected reports with `into`, which must be empty.
    pub fn collect(&self, into: &mut Vec<ScriptReport>) {
        debug_assert!(into.is_empty());
        let empty = std::mem::take(into);
        *into = self.reports.replace(empty);
    }
}

#[cfg(test)]
impl Load {
    /// Returns the events since the last call.
    pub fn events(&self) -> Vec<ScriptEvent> {
        let mut reports = Vec::new();
        self.collect(&mut reports);
        reports.iter().map(|report| report.event).collect()
    }
}

impl RunClock {
    pub fn start() -> RunClock {
        RunClock(Instant::now())
    }

    pub fn now(&self) -> Duration {
        self.0.elapsed()
    }
}
