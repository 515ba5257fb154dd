//! What all connections of one load share: the bytes, the clock, the word to begin and to end, and
//! a letterbox in which their scripts put what happened.
//!
//! A script knows nothing of the loop, and the loop nothing of the script's state. The letters are
//! read after each round of the engine, and nothing is lost when a connection dies within one.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::core::Key;
use crate::plan::Way;

use super::pattern::Pattern;

/// Shared by the scripts of one load, and by the loop.
pub struct Load {
    pub pattern: Rc<Pattern>,
    pub clock: Clock,
    /// Bytes in a message.
    pub size: usize,
    pub pace: Pace,
    pub way: Way,
    /// The bytes of its streams are counted, and nobody looks at them.
    pub counted: bool,
    /// It speaks in datagrams; the system cuts them out of larger pieces.
    pub datagrams: bool,
    pub cuts: bool,
    /// Its connections are the far ends of others' streams.
    pub far: bool,
    /// After so many answers a connection ends.
    pub ends_after: Option<u64>,
    /// From one message of a connection to its next one, where the pace is the clock's.
    pub step: Cell<Duration>,
    /// Messages may begin.
    pub going: Cell<bool>,
    /// No message begins any more; a connection ends when all of its own were answered.
    pub ending: Cell<bool>,
    letters: Cell<Vec<Letter>>,
    /// The ring of the seed that was last asked for.
    other: Cell<Option<Rc<Pattern>>>,
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
    /// The connection ended with an answer of which only so much had come, so long before.
    Partial { bytes: u64, quiet: Duration },
    /// Of a stream, not all that was sent has arrived.
    Missing { sent: u64, arrived: u64 },
    /// The other side ended a stream before all had arrived.
    CutOff,
    /// One who came to a sink does not speak as our streams do.
    Stranger,
    /// There is something to send again.
    GoOn,
    /// What comes from now on need not be read, only counted.
    OnlyCount,
    /// A datagram came that is none of ours, or was changed.
    Garbled { bytes: usize },
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
            way: Way::Echo,
            counted: false,
            datagrams: false,
            cuts: false,
            far: false,
            ends_after: None,
            step: Cell::new(Duration::ZERO),
            going: Cell::new(false),
            ending: Cell::new(false),
            letters: Cell::new(Vec::new()),
            other: Cell::new(None),
        }
    }

    /// The ring of this seed: streams of one load have the same.
    pub fn pattern_of(&self, seed: u64) -> Rc<Pattern> {
        let known = self.other.take().filter(|known| known.seed() == seed);
        let pattern = known.unwrap_or_else(|| Rc::new(Pattern::new(seed)));
        self.other.set(Some(pattern.clone()));
        pattern
    }

    pub fn tell(&self, key: Key, news: News) {
        let mut letters = self.letters.take();
        letters.push(Letter { key, news });
        self.letters.set(letters);
    }

    /// Tells what is wrong with what came; the error ends the connection.
    pub fn refuse(&self, key: Key, news: News) -> io::Error {
        self.tell(key, news);
        io::ErrorKind::InvalidData.into()
    }

    /// Empties the letterbox into `into`, which must be empty and is swapped with it.
    pub fn collect(&self, into: &mut Vec<Letter>) {
        debug_assert!(into.is_empty());
        let empty = std::mem::take(into);
        *into = self.letters.replace(empty);
    }
}

#[cfg(test)]
impl Load {
    /// What was told since one last looked.
    pub fn news(&self) -> Vec<News> {
        let mut letters = Vec::new();
        self.collect(&mut letters);
        letters.iter().map(|letter| letter.news).collect()
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
