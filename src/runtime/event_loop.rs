//! The event loop: the poller, its clock, its signals and its waker. The daemon, the load
//! generator, its coordinator, `connect` and `chat` share it. Does not handle what it reports.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::event::{Event as IoEvent, Source as Pollable};
use mio::{Events, Interest, Poll, Registry, Token, Waker};

use crate::core::{Event, Key, Moment, Observer, Ready, Signal, SourceKind, Turn, TurnDetail};
use crate::net::Signals;

use super::clock::Clock;
use super::loop_stats::LoopStats;

/// What an event is about, decoded from its token. The keys have generations, so a stale event
/// never reaches a later source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Signals were received.
    Signals,
    /// The waker was called: the resolver has answers.
    Waker,
    Timer,
    /// Standard input or output.
    Stdio,
    /// The output of a child process, by its index.
    Child(usize),
    Listener(Key),
    /// A bound datagram socket.
    Datagram(Key),
    /// An end of a connection.
    Conn(Key),
    /// The own socket of a datagram flow.
    DatagramFlow(Key),
    /// A listener of the admin endpoint.
    AdminListener(Key),
    /// An admin connection, by its plain key.
    Admin(Key),
}

/// The poller, and what every loop needs beside it.
pub struct EventLoop {
    poll: Poll,
    events: Events,
    clock: Clock,
    waker: Arc<Waker>,
    /// None until `handle_signals`.
    signals: Option<Signals>,
    /// Time to poll without sleeping before each sleep.
    pub busy_poll: Option<Duration>,
    /// When the last sleep ended.
    woke: Moment,
    /// The observer wanted steps in the last turn.
    steps: bool,
    /// The clock is read before each sleep too, for the times in `stats`.
    timed: bool,
    turns: u64,
    stats: LoopStats,
    /// What the time of the present turn was spent on, if it was measured.
    detail: Option<TurnDetail>,
}

/// A turn of this length is reported to observers that want steps.
const SLOW_TURN: Duration = Duration::from_millis(1);

impl Source {
    #[inline(always)]
    pub fn of(key: Key) -> Source {
        if key.is_conn() { Source::Conn(key) } else { Source::of_other(key) }
    }

    fn of_other(key: Key) -> Source {
        if let Some(key) = key.as_admin() {
            return Source::Admin(key);
        }
        if key.is_flow() {
            return Source::DatagramFlow(key);
        }
        match key.source_kind() {
            SourceKind::Signals => Source::Signals,
            SourceKind::Waker => Source::Waker,
            SourceKind::Timer => Source::Timer,
            SourceKind::Stdio => Source::Stdio,
            SourceKind::Child => Source::Child(key.source_slot()),
            SourceKind::Listener => Source::Listener(key),
            SourceKind::Datagram => Source::Datagram(key),
            SourceKind::AdminListener => Source::AdminListener(key),
            SourceKind::Loop => unreachable!("the loop is not registered with its own poller"),
        }
    }

    pub fn key(self) -> Key {
        let only = |kind| Key::source(kind, 0, 0);
        match self {
            Source::Signals => only(SourceKind::Signals),
            Source::Waker => only(SourceKind::Waker),
            Source::Timer => only(SourceKind::Timer),
            Source::Stdio => only(SourceKind::Stdio),
            Source::Child(index) => Key::source(SourceKind::Child, index, 0),
            Source::Listener(key) | Source::Datagram(key) | Source::AdminListener(key) => key,
            Source::Conn(key) | Source::DatagramFlow(key) => key,
            Source::Admin(key) => key.admin(),
        }
    }

    /// Returns the token to register the source with.
    pub fn token(self) -> Token {
        token(self.key())
    }
}

impl EventLoop {
    /// Creates a loop that handles at most `capacity` events per poll. The others are reported by
    /// the next poll.
    pub fn new(capacity: usize) -> io::Result<EventLoop> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), Source::Waker.token())?);
        Ok(EventLoop {
            poll,
            events: Events::with_capacity(capacity),
            clock: Clock::start(),
            waker,
            signals: None,
            busy_poll: None,
            woke: Moment(0),
            steps: false,
            timed: false,
            turns: 0,
            stats: LoopStats::default(),
            detail: None,
        })
    }

    /// Installs the signal handlers, which replace the default actions.
    pub fn handle_signals(&mut self) -> io::Result<()> {
        self.signals = Some(Signals::new(self.poll.registry(), Source::Signals.token())?);
        Ok(())
    }

    /// Lets a continue after a stop end the sleep, which it does not on every system. Called after
    /// `handle_signals`.
    pub fn wake_on_continue(&mut self) -> io::Result<()> {
        let registry = self.poll.registry();
        match &mut self.signals {
            Some(signals) => signals.wake_on_continue(registry, Source::Signals.token()),
            None => Ok(()),
        }
    }

    pub fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// Registers a source that lives as long as the loop, or a connection.
    pub fn register(
        &self,
        pollable: &mut dyn Pollable,
        source: Source,
        interest: Interest,
    ) -> io::Result<()> {
        self.poll.registry().register(pollable, source.token(), interest)
    }

    /// Returns the waker. Another thread may call it to end a sleep.
    pub fn waker(&self) -> Arc<Waker> {
        self.waker.clone()
    }

    /// Returns the time of the clock.
    pub fn now(&self) -> Moment {
        self.clock.now()
    }

    /// The time at which the last sleep ended.
    #[inline]
    pub fn woke(&self) -> Moment {
        self.woke
    }

    /// Number of turns so far.
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// Measures the turns from now on, or no more.
    pub fn set_timed(&mut self, timed: bool) {
        self.timed = timed;
    }

    /// Whether the observer wanted steps in the present turn.
    #[inline(always)]
    pub fn has_steps(&self) -> bool {
        self.steps
    }

    /// Sets what the time of the present turn was spent on.
    pub fn set_detail(&mut self, detail: Option<TurnDetail>) {
        self.detail = detail;
    }

    /// What the loop has counted so far.
    pub fn stats(&self) -> &LoopStats {
        &self.stats
    }

    /// Returns the time before a sleep. Only steps and a timed loop need its exact length. For
    /// deadlines the time of the last turn is good enough, and saves reading the clock.
    #[inline(always)]
    pub fn before_sleep(&self) -> Moment {
        if self.steps || self.timed { self.now() } else { self.woke }
    }

    /// Sleeps until events are reported, or for at most `limit`, and begins a turn. `queued`
    /// connections have work left from the last one.
    #[inline(always)]
    pub fn sleep<'t>(
        &mut self,
        before: Moment,
        limit: Option<Duration>,
        queued: usize,
        observer: &'t mut dyn Observer,
    ) -> io::Result<Turn<'t>> {
        if self.steps {
            self.report_slow_turn(before, observer);
        }
        let now = self.poll(limit)?;
        if self.timed {
            self.stats.turn(self.turns, self.woke, before, now, &self.detail);
        }
        if self.timed | self.steps {
            self.detail = None;
        }
        self.woke = now;
        self.turns += 1;
        let mut turn = Turn::new(now, observer);
        self.steps = turn.steps;
        turn.step(Key::LOOP, || {
            let (number, slept) = (self.turns, now.since(before));
            let events = self.events.iter().count();
            Event::Turn { number, slept, limit, events, queued }
        });
        Ok(turn)
    }

    /// Reports the present turn, which ends `before` a sleep, if it was slow and measured.
    #[inline(never)]
    fn report_slow_turn(&self, before: Moment, observer: &mut dyn Observer) {
        let (number, took) = (self.turns, before.since(self.woke));
        if let Some(detail) = &self.detail
            && took >= SLOW_TURN
        {
            observer.on(Key::LOOP, &Event::SlowTurn { number, took, detail });
        }
    }

    /// Polls again within a turn, without sleeping. Returns whether more events may be pending.
    pub fn poll_again(&mut self, turn: &mut Turn<'_>) -> io::Result<bool> {
        self.poll_once(Some(Duration::ZERO))?;
        let events = self.events.iter().count();
        turn.step(Key::LOOP, || Event::PolledAgain { events });
        Ok(events == self.events.capacity())
    }

    /// Returns the sources of the events of the last poll, with the events.
    #[inline(always)]
    pub fn wakeups(&self) -> impl Iterator<Item = (Source, &IoEvent)> {
        self.events.iter().map(|event| (Source::of(Key::from_token(event.token().0)), event))
    }

    /// Adds handled events to the statistics.
    #[inline(always)]
    pub fn count_events(&mut self, events: u64) {
        self.stats.events += events;
    }

    /// Maximum number of events per poll.
    pub fn capacity(&self) -> usize {
        self.events.capacity()
    }

    /// Returns and reports the signals received since the last call.
    pub fn signals(&mut self, turn: &mut Turn<'_>) -> Vec<Signal> {
        let received = self.signals.iter_mut().flat_map(Signals::drain);
        received.inspect(|signal| turn.on(Key::LOOP, &Event::Signal { signal: *signal })).collect()
    }

    /// Polls for events, sleeping for at most `limit`. Returns the time after it.
    #[inline(always)]
    fn poll(&mut self, limit: Option<Duration>) -> io::Result<Moment> {
        match self.busy_poll {
            Some(busy) => self.poll_busily(busy, limit),
            None => self.poll_once(limit).map(|()| self.now()),
        }
    }

    /// Polls without sleeping for up to `busy`, and only then sleeps: events that arrive meanwhile
    /// are handled without a wake-up.
    #[inline(never)]
    fn poll_busily(&mut self, busy: Duration, limit: Option<Duration>) -> io::Result<Moment> {
        let busy = limit.unwrap_or(busy).min(busy);
        let before = self.now();
        let mut now = before;
        loop {
            let is_busy = now.since(before) < busy;
            let wait = if is_busy { Some(Duration::ZERO) } else { limit };
            self.poll_once(wait)?;
            now = self.now();
            if !is_busy || !self.events.is_empty() {
                return Ok(now);
            }
        }
    }

    #[inline(always)]
    fn poll_once(&mut self, wait: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, wait) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.poll_interrupted(),
            polled => polled,
        }
    }

    /// Repeats a poll that a signal interrupted, including SIGCONT after a stop. Events may have
    /// arrived meanwhile, so it does not sleep.
    #[cold]
    fn poll_interrupted(&mut self) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(Duration::ZERO)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.events.clear();
                Ok(())
            }
            polled => polled,
        }
    }
}

/// Returns the token to register a connection with.
pub fn token(key: Key) -> Token {
    Token(key.to_token())
}

/// Converts an event to readiness bits. All but "readable" and "writable" are hints.
pub fn ready(event: &IoEvent) -> Ready {
    let bit = |on: bool, bit: Ready| if on { bit } else { Ready::NONE };
    bit(event.is_readable(), Ready::READ)
        .with(bit(event.is_writable(), Ready::WRITE))
        .with(bit(event.is_read_closed(), Ready::READ_CLOSED))
        .with(bit(event.is_priority(), Ready::URGENT))
        .with(bit(event.is_error(), Ready::ERROR))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_survives_the_round_trip_through_its_token() {
        let (conn, flow) = (Key::new(7, 3).at(1), Key::flow(9, 4));
        let listener = Key::source(SourceKind::Listener, 5, 2);
        let datagram = Key::source(SourceKind::Datagram, 5, 2);
        for source in [
            Source::Signals,
            Source::Waker,
            Source::Timer,
            Source::Stdio,
            Source::Child(0),
            Source::Child(63),
            Source::Listener(listener),
            Source::Datagram(datagram),
            Source::Conn(conn),
            Source::DatagramFlow(flow),
            Source::AdminListener(Key::source(SourceKind::AdminListener, 1, 1023)),
            Source::Admin(Key::new(u32::MAX, 71)),
        ] {
            assert_eq!(Source::of(Key::from_token(source.token().0)), source);
        }
    }

    #[test]
    fn a_waker_ends_a_sleep_and_a_turn_is_counted() {
        let mut event_loop = EventLoop::new(8).unwrap();
        event_loop.waker().wake().unwrap();
        let before = event_loop.before_sleep();
        let limit = Some(Duration::from_secs(60));
        let observer = &mut ();
        event_loop.sleep(before, limit, 0, observer).unwrap();
        let sources: Vec<Source> = event_loop.wakeups().map(|(source, _)| source).collect();
        assert_eq!((sources, event_loop.turns()), (vec![Source::Waker], 1));
    }
}
