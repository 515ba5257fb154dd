//! What all connections of one load share: the bytes, the clock, the word to begin and to end, and
//! a letterbox in which their scripts put what happened.
//!
//! A script knows nothing of the loop, and the loop nothing of the script's state. The letters are
//! read after each round of the engine, and nothing is lost when a connection dies within one.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::core::Key;

use super::pattern::Pattern;

/// Shared by the scripts of one load, and by the loop.
pub struct Load {
    pub pattern: Rc<Pattern>,
    pub clock: Clock,
    /// Bytes in a message.
    pub size: usize,
    pub pace: Pace,
    /// After so many answers a connection ends.
    pub ends_after: Option<u64>,
    /// From one message of a connection to its next one, where the pace is the clock's.
    pub step: Cell<Duration>,
    /// Messages may begin.
    pub going: Cell<bool>,
    /// No message begins any more; a connection ends when all of its own were answered.
    pub ending: Cell<bool>,
    letters: Cell<Vec<Letter>>,
}

/// What lets a message begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// The answer to an earlier one: so many are on the way at once.
    Answers(u64),
    /// The loop, which counts them out.
    Loop,
}

/// Nanoseconds since the run began: finer than the core's moments, and read at each message.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

/// What a script has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Letter {
    pub key: Key,
    pub news: News,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// A message came back whole and right. `waited`: how long before it was sent it should have
    /// been, where the pace is the clock's.
    Answered { took: Duration, waited: Duration },
    /// A byte is not the one that belongs there.
    Wrong { at: u64, is: u8, should: u8 },
    /// More came back than was sent.
    Invented { at: u64 },
    /// A datagram did not come back in time.
    Lost,
    /// A datagram came back that was not waited for any more.
    Late,
}

impl Load {
    pub fn new(pattern: Rc<Pattern>, clock: Clock, size: usize, pace: Pace) -> Load {
        Load {
            pattern,
            clock,
            size,
            pace,
            ends_after: None,
            step: Cell::new(Duration::ZERO),
            going: Cell::new(false),
            ending: Cell::new(false),
            letters: Cell::new(Vec::new()),
        }
    }

    pub fn tell(&self, key: Key, news: News) {
        let mut letters = self.letters.take();
        letters.push(Letter { key, news });
        self.letters.set(letters);
    }

    /// Empties the letterbox into `into`, which must be empty and is swapped with it.
    pub fn collect(&self, into: &mut Vec<Letter>) {
        debug_assert!(into.is_empty());
        let empty = std::mem::take(into);
        *into = self.letters.replace(empty);
    }
}

impl Clock {
    pub fn start() -> Clock {
        Clock(Instant::now())
    }

    pub fn now(&self) -> Duration {
        self.0.elapsed()
    }
}
