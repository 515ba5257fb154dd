//! Owns the poll, the clock and the signals of `connect` and `chat`. Does not handle the events it
//! returns.

use std::io::{self, IsTerminal};
use std::time::Duration;

use mio::event::{Event as IoEvent, Source};
use mio::{Events, Interest, Poll, Registry, Token};

use crate::core::{Event, Key, Moment, Observer, Ready, Turn};
use crate::net::{Signal, Signals};
use crate::runtime::clock::Clock;
use crate::runtime::reactor;

/// Slots of the event sources that are not connections: signals, answers of the resolver, standard
/// input and output. The listeners of a chat follow.
pub const SIGNALS: usize = 0;
pub const RESOLVER: usize = 1;
pub const STDIO: usize = 2;

/// Maximum number of events per `poll` call. Others are returned by the next call.
const EVENTS: usize = 256;

/// The poll, the clock and the signals of one loop.
pub struct Turns {
    poll: Poll,
    events: Events,
    clock: Clock,
    number: u64,
    signals: Signals,
}

impl Turns {
    /// Creates the poll and installs the signal handlers, which replace the default actions.
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

    pub fn register(
        &self,
        source: &mut dyn Source,
        key: Key,
        interest: Interest,
    ) -> io::Result<()> {
        self.poll.registry().register(source, token(key), interest)
    }

    /// Sleeps until an event or for `limit`, and returns the time of the new turn.
    pub fn sleep(
        &mut self,
        limit: Option<Duration>,
        queued: usize,
        observer: &mut dyn Observer,
    ) -> io::Result<Moment> {
        let before = self.now();
        match self.poll.poll(&mut self.events, limit) {
            // A signal interrupted the call: a turn without events.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            polled => polled?,
        }
        let now = self.now();
        self.number += 1;
        Turn::new(now, observer).step(Key::LOOP, || {
            let (number, events) = (self.number, self.events.iter().count());
            Event::Turn { number, slept: now.since(before), limit, events, queued, now }
        });
        Ok(now)
    }

    /// Returns the sources of the events of this turn, with their readiness bits.
    pub fn wakeups(&self) -> Vec<(Key, Ready)> {
        self.events.iter().map(|event| (Key::from_token(event.token().0), ready(event))).collect()
    }

    /// Returns and reports the signals received since the last call.
    pub fn signals(&mut self, observer: &mut dyn Observer) -> Vec<Signal> {
        let received: Vec<Signal> = self.signals.drain().collect();
        for signal in &received {
            observer.on(Key::LOOP, &Event::Signal { signal: *signal });
        }
        received
    }
}

pub fn token(key: Key) -> Token {
    Token(key.to_token())
}

/// Whether a signal ends the session. SIGHUP does if a standard descriptor is a terminal, because
/// then the terminal may have hung up.
pub fn is_terminating(signal: Signal) -> bool {
    let terminals =
        [io::stdin().is_terminal(), io::stdout().is_terminal(), io::stderr().is_terminal()];
    signal != Signal::HangUp || terminals.contains(&true)
}

/// Converts an event to readiness bits. The end of a pipe is reported as a hang-up without
/// readability, and only a read distinguishes it, so it counts as readable. A closed reader of our
/// output is reported as an error by a pipe, and as a hang-up by a socket.
fn ready(event: &IoEvent) -> Ready {
    let bit = |on: bool, bit: Ready| if on { bit } else { Ready::NONE };
    reactor::ready(event)
        .with(bit(event.is_read_closed(), Ready::READ))
        .with(bit(event.is_write_closed(), Ready::ERROR))
}
