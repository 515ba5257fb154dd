//! The turns of a talk's loop: it sleeps, and then names who has something to say. What is done
//! about it is the talk's own affair.

use std::io::{self, IsTerminal};
use std::time::Duration;

use mio::event::{Event as Word, Source};
use mio::{Events, Interest, Poll, Registry, Token};

use crate::core::{Event, Key, Moment, Observer, Ready};
use crate::net::{Signal, Signals};
use crate::runtime::clock::Clock;
use crate::runtime::reactor;

/// The doors that every talk has: its signals, the answers of the resolver, standard input and
/// output. Those of a chat's listeners follow.
pub const SIGNALS: usize = 0;
pub const NAME_DOOR: usize = 1;
pub const STDIO: usize = 2;

/// So many events are taken from the system at once; more wait for the next turn.
const EVENTS: usize = 256;

/// The poll, the clock and the signals of a talk.
pub struct Turns {
    poll: Poll,
    events: Events,
    clock: Clock,
    number: u64,
    signals: Signals,
}

impl Turns {
    /// From now on signals end nothing by themselves.
    pub fn new() -> io::Result<Turns> {
        let poll = Poll::new()?;
        let signals = Signals::new(poll.registry(), token(Key::source(SIGNALS)))?;
        let events = Events::with_capacity(EVENTS);
        Ok(Turns { poll, events, clock: Clock::start(), number: 0, signals })
    }

    pub fn now(&self) -> Moment {
        self.clock.now()
    }

    pub fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    pub fn register(&self, source: &mut dyn Source, key: Key, way: Interest) -> io::Result<()> {
        self.poll.registry().register(source, token(key), way)
    }

    /// Sleeps until the system has something to say, or for as long as `limit` allows.
    pub fn sleep(
        &mut self,
        limit: Option<Duration>,
        queued: usize,
        seen: &mut dyn Observer,
    ) -> io::Result<Moment> {
        let before = self.now();
        match self.poll.poll(&mut self.events, limit) {
            // A signal woke us: a turn without events.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            polled => polled?,
        }
        let now = self.now();
        self.number += 1;
        let (number, events) = (self.number, self.events.iter().count());
        let slept = now.since(before);
        seen.on(Key::LOOP, &Event::Turn { number, slept, limit, events, queued, now });
        Ok(now)
    }

    /// Who was named, and what may be tried there now.
    pub fn named(&self) -> Vec<(Key, Ready)> {
        self.events.iter().map(|word| (Key::from_token(word.token().0), ready(word))).collect()
    }

    /// The signals that came since the last call.
    pub fn signals(&mut self, seen: &mut dyn Observer) -> Vec<Signal> {
        let came: Vec<Signal> = self.signals.drain().collect();
        for signal in &came {
            seen.on(Key::LOOP, &Event::Signal { name: signal.name() });
        }
        came
    }
}

pub fn token(key: Key) -> Token {
    Token(key.to_token())
}

/// Whether a signal ends a talk. A terminal that goes away takes its talk along; one that was
/// started away from any terminal stays.
pub fn ends_by(signal: Signal) -> bool {
    let terminals =
        [io::stdin().is_terminal(), io::stdout().is_terminal(), io::stderr().is_terminal()];
    signal != Signal::HangUp || terminals.contains(&true)
}

/// What the system says of an end, in our bits. The end of a pipe is announced as a hang-up alone,
/// and can only be seen by reading: so it counts as readable. That nobody reads any more what we
/// write is announced as an error of a pipe, and as a hang-up of a socket.
fn ready(word: &Word) -> Ready {
    let bit = |on: bool, bit: Ready| if on { bit } else { Ready::NONE };
    reactor::ready(word)
        .with(bit(word.is_read_closed(), Ready::READ))
        .with(bit(word.is_write_closed(), Ready::ERROR))
}
