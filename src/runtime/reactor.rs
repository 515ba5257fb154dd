//! The event loop. Each turn sleeps, marks, accepts, dials, runs and expires, in one thread.
//! docs/turn.md describes the phases in the order of the code.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mio::event::Event as IoEvent;
use mio::{Events, Poll, Token};

use crate::config::Service;
use crate::core::{ConnIds, Engine, Event, Key, Moment, Observer, Peer, Ready, Signal, Turn};
use crate::service::{self, PeerFacts};
use crate::text::count::Count;

use super::clock::Clock;
use super::datagrams::{DatagramCx, Datagrams};
use super::listeners::{Accepted, Listeners};
use crate::net::limits::{self, Limits};
use crate::net::resolver::{Lookup, Resolver};
use crate::net::signals::Signals;
use crate::net::socket::Socket;
use crate::net::socket::{interests, update_interest};
use crate::net::tcp_info::tcp_info;
use crate::runtime::upstream::dialer::{ClientInfo, DialCx, Dialer};

/// Maximum events per `poll` call. The others are reported in the next turn.
pub(super) const EVENTS: usize = 1024;

/// The key slots of the loop's own event sources. Those of the listeners follow.
pub(super) const SIGNALS: usize = 0;
pub(super) const WAKER: usize = 1;
pub(super) const FIRST_LISTENER: usize = 2;

/// The event loop and everything it owns. Created by `start::bind`.
pub struct Reactor {
    pub(super) poll: Poll,
    pub(super) events: Events,
    pub(super) clock: Clock,
    /// The time when the last sleep ended.
    pub(super) woke: Moment,
    /// The last sleep had a limit, so a deadline may be due.
    pub(super) is_timed: bool,
    pub(super) turns: u64,
    pub(super) conn_ids: ConnIds,
    /// The service of each route.
    pub(super) services: Vec<Service>,
    pub(super) limits: Limits,
    pub(super) max_connections: usize,
    /// `max_connections` was given, and does not follow from the open-file limit.
    pub(super) max_is_given: bool,
    /// Open files in reserve, and open files per connection.
    pub(super) reserve: usize,
    pub(super) per_connection: usize,
    /// Maximum unsent bytes that all connections together may hold.
    pub(super) max_unsent: usize,
    pub(super) drain_timeout: Duration,
    pub(super) drain_idle: Duration,
    pub(super) spin: Option<Duration>,
    pub(super) engine: Engine<Socket>,
    pub(super) listeners: Listeners,
    pub(super) dialer: Dialer,
    pub(super) resolver: Resolver,
    pub(super) datagrams: Datagrams,
    pub(super) signals: Signals,
    /// Warnings for the operator about how the addresses were bound.
    pub(super) warnings: Vec<String>,
    pub(super) stopping: Option<Moment>,
}

/// How the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All connections were closed, `cut` of them at the drain timeout.
    Drained { cut: usize },
    /// A second signal cut the drain short.
    CutShort(Signal),
}

impl Reactor {
    /// Runs the loop until a signal stops it.
    pub fn run(&mut self, observer: &mut dyn Observer) -> io::Result<Outcome> {
        loop {
            if let Some(outcome) = self.turn(observer)? {
                return Ok(outcome);
            }
        }
    }

    /// Describes the limits of connections and of unsent bytes.
    pub fn limits(&self) -> String {
        let (connections, files) = (self.max_connections, self.limits.files);
        let raised = match self.limits.soft_before {
            before if before < files => format!(" (raised from {before})"),
            _ => String::new(),
        };
        if connections == 0 {
            return format!("{files} open files{raised}; no streams are served");
        }
        let kept = format!("{} each, {} in reserve", self.per_connection, self.reserve);
        let why = match self.max_is_given {
            true => format!("as given; {files} open files{raised}, {kept}"),
            false => format!("{files} open files{raised}, {kept}"),
        };
        let unsent = limits::show_unsent(self.max_unsent);
        format!("at most {} ({why}); {unsent}", Count(connections, "connection"))
    }

    /// Number of turns so far.
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// Warnings for the operator about the bound addresses, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        [self.warnings.clone(), self.datagrams.warnings()].concat()
    }

    /// Runs one turn. Returns how the loop ended, once it has.
    #[inline(always)]
    fn turn(&mut self, observer: &mut dyn Observer) -> io::Result<Option<Outcome>> {
        let turn = &mut self.sleep(observer)?;
        let mut wakeups = self.mark(turn);
        if self.is_timed && (self.engine.is_due(turn.now) || self.datagrams.is_due(turn.now)) {
            wakeups = wakeups.and(self.poll_again(turn)?);
        }
        if wakeups.signals
            && let Some(signal) = self.handle_signals(turn)
        {
            self.cut(turn);
            return Ok(Some(Outcome::CutShort(signal)));
        }
        if self.listeners.has_pending() {
            self.accept(turn);
        }
        let connections = self.engine.len();
        if wakeups.names || self.engine.has_dials() || !self.dialer.is_empty() {
            self.dial(wakeups.names, turn);
        }
        self.engine.run(turn);
        self.engine.expire(turn);
        let registry = self.poll.registry();
        self.engine.update_interest(turn, |socket, key, read_off| {
            update_interest(socket, registry, Token(key.to_token()), read_off)
        });
        if self.engine.len() < connections {
            self.listeners.retry_paused(turn.now);
        }
        self.run_datagrams(turn);
        Ok(self.check_stopped(turn))
    }

    /// Sleeps until events are reported or a deadline is due.
    fn sleep<'t>(&mut self, observer: &'t mut dyn Observer) -> io::Result<Turn<'t>> {
        // Only the log needs the exact length of the sleep. For deadlines the time of the last turn
        // is good enough, and saves reading the clock.
        let wants = observer.wants();
        let before = if wants.steps { self.now() } else { self.woke };
        let limit = self.sleep_limit(before);
        let now = self.poll(limit)?;
        self.woke = now;
        self.is_timed = limit.is_some();
        self.turns += 1;
        let mut turn = Turn::with(now, wants, observer);
        turn.step(Key::LOOP, || {
            let (number, queued) = (self.turns, self.engine.queued());
            let (slept, events) = (now.since(before), self.events.iter().count());
            Event::Turn { number, slept, limit, events, queued, now }
        });
        Ok(turn)
    }

    /// Polls for events, sleeping for at most `limit`. With busy polling it polls without sleeping
    /// for a while first: events that arrive meanwhile are handled without a wake-up.
    fn poll(&mut self, limit: Option<Duration>) -> io::Result<Moment> {
        let Some(spin) = self.spin else {
            self.poll_once(limit)?;
            return Ok(self.now());
        };
        let spin = limit.unwrap_or(spin).min(spin);
        let before = self.now();
        let mut now = before;
        loop {
            let spins = now.since(before) < spin;
            let wait = if spins { Some(Duration::ZERO) } else { limit };
            self.poll_once(wait)?;
            now = self.now();
            if !spins || !self.events.is_empty() {
                return Ok(now);
            }
        }
    }

    /// Polls once. A signal interrupts the call, including SIGCONT after a stop. Events may have
    /// arrived meanwhile, so the poll is then repeated without sleeping.
    fn poll_once(&mut self, wait: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, wait) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            polled => return polled,
        }
        match self.poll.poll(&mut self.events, Some(Duration::ZERO)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.events.clear();
                Ok(())
            }
            polled => polled,
        }
    }

    /// Marks everything that is ready before a deadline fires. An event that would have moved the
    /// deadline may be pending, because the process was stopped or the last poll was full. The
    /// number of polls is limited to what all connections can fill, so that constant load cannot
    /// postpone deadlines.
    #[cold]
    fn poll_again(&mut self, turn: &mut Turn<'_>) -> io::Result<Wakeups> {
        let mut wakeups = Wakeups::default();
        for _ in 0..(self.engine.len() + self.datagrams.len()) / EVENTS + 1 {
            self.poll_once(Some(Duration::ZERO))?;
            let events = self.events.iter().count();
            turn.step(Key::LOOP, || Event::PolledAgain { events });
            wakeups = wakeups.and(self.mark(turn));
            if events < EVENTS {
                break;
            }
        }
        Ok(wakeups)
    }

    /// Returns the shortest of the sleep limits of all parts of the loop.
    fn sleep_limit(&self, now: Moment) -> Option<Duration> {
        let limit = shorter(self.engine.sleep(now), self.datagrams.sleep(now));
        let limit = shorter(limit, self.listeners.sleep(now, self.capacity_left()));
        let limit = shorter(limit, self.dialer.sleep(now));
        shorter(limit, self.stopping.map(|deadline| deadline.since(now)))
    }

    /// Records the reported events. No socket is touched here.
    #[inline(always)]
    fn mark(&mut self, turn: &mut Turn<'_>) -> Wakeups {
        let mut wakeups = Wakeups::default();
        for event in &self.events {
            let key = Key::from_token(event.token().0);
            if key.is_flow() {
                self.datagrams.mark(key, ready(event), turn);
            } else if !key.is_source() {
                self.engine.mark(key, ready(event), turn);
            } else {
                match key.slot() {
                    SIGNALS => wakeups.signals = true,
                    WAKER => wakeups.names = true,
                    _ if self.listeners.set_pending(key) => {}
                    _ => self.datagrams.mark(key, ready(event), turn),
                }
            }
        }
        wakeups
    }

    /// Accepts pending connections, within the budget and the connection limit.
    fn accept(&mut self, turn: &mut Turn<'_>) {
        for index in 0..self.listeners.len() {
            let budget = Listeners::budget(&self.services[self.listeners.route(index) as usize]);
            for _ in 0..budget {
                let (connections, capacity_left) = (self.engine.len(), self.capacity_left());
                let (conn_ids, engine, poll) = (&mut self.conn_ids, &self.engine, &self.poll);
                let register = |socket: &mut Socket| {
                    let key = engine.vacant(conn_ids.next());
                    let (token, interests) = (Token(key.to_token()), interests(socket));
                    poll.registry().register(socket.source(), token, interests)?;
                    Ok(key)
                };
                match self.listeners.accept(index, capacity_left, connections, turn, register) {
                    Some(accepted) => self.open_connection(accepted, turn),
                    None => break,
                }
            }
        }
        if self.stopping.is_some() {
            self.listeners.close_empty();
        }
    }

    /// Number of connections that may still be opened.
    fn capacity_left(&self) -> usize {
        self.max_connections.saturating_sub(self.engine.len())
    }

    /// Opens a connection for an accepted socket, and dials if its service is a relay.
    fn open_connection(&mut self, accepted: Accepted, turn: &mut Turn<'_>) {
        let service = &self.services[accepted.route as usize];
        let relays = matches!(service, Service::Relay(_));
        let origin = self.dialer.origin(&accepted.socket, &accepted.peer, relays);
        let (key, route, peer, listen) =
            (accepted.key, accepted.route, &accepted.peer, &*accepted.address);
        turn.on(
            key,
            &Event::Opened { route, service: service.kind(), listen, peer, now: turn.now },
        );
        let unsent = &mut self.engine.buffers.unsent;
        let conn = service::build_conn(service, accepted.socket, unsent, |socket| {
            facts(socket, service, accepted.peer.clone())
        });
        self.engine.insert(conn, key.id, accepted.route, turn);
        if relays {
            let client = Some(ClientInfo { peer: accepted.peer, listen: accepted.address });
            let (dialer, mut cx) = self.dial_cx(turn);
            dialer.start(key, accepted.route, origin, client, &mut cx);
        }
    }

    /// Continues connection attempts whose result, name or retry is due.
    fn dial(&mut self, names: bool, turn: &mut Turn<'_>) {
        let answered = names && self.resolver.collect(turn);
        let (dialer, mut cx) = self.dial_cx(turn);
        dialer.decide(&mut cx);
        if answered {
            dialer.resolved(&mut cx);
        }
        dialer.retry(&mut cx);
    }

    fn dial_cx<'a, 't>(&'a mut self, turn: &'a mut Turn<'t>) -> (&'a mut Dialer, DialCx<'a, 't>) {
        let (engine, resolver) = (&mut self.engine, &mut self.resolver);
        let registry = self.poll.registry();
        (&mut self.dialer, DialCx { engine, registry, resolver, turn })
    }

    fn run_datagrams(&mut self, turn: &mut Turn<'_>) {
        if self.datagrams.sleep(turn.now) != Some(Duration::ZERO) {
            return;
        }
        self.with_datagrams(turn, |datagrams, cx| {
            datagrams.run(cx);
            datagrams.expire(cx);
        });
    }

    /// Calls `act` with the datagrams and what they need from the rest of the loop.
    pub(super) fn with_datagrams<T>(
        &mut self,
        turn: &mut Turn<'_>,
        act: impl FnOnce(&mut Datagrams, &mut DatagramCx<'_, '_>) -> T,
    ) -> T {
        let resolver = &mut self.resolver;
        let now = turn.now;
        let mut names = |name: &str, port: u16| match resolver.lookup(name, port, now) {
            Lookup::Known(addresses) => addresses,
            Lookup::Pending | Lookup::Failed(_) => Vec::new(),
        };
        let mut cx = DatagramCx {
            unix_seconds: unix_seconds(),
            registry: self.poll.registry(),
            conn_ids: &mut self.conn_ids,
            names: &mut names,
            turn,
        };
        act(&mut self.datagrams, &mut cx)
    }

    pub(super) fn now(&self) -> Moment {
        self.clock.now()
    }
}

/// Which of the loop's own event sources were reported.
#[derive(Default)]
struct Wakeups {
    signals: bool,
    names: bool,
}

impl Wakeups {
    fn and(self, other: Wakeups) -> Wakeups {
        Wakeups { signals: self.signals || other.signals, names: self.names || other.names }
    }
}

/// The shorter of two sleep limits. None is no limit.
fn shorter(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (limit, None) | (None, limit) => limit,
    }
}

/// The facts about a connection that a greeting may show.
fn facts(socket: &Socket, service: &Service, peer: Peer) -> PeerFacts {
    PeerFacts {
        peer,
        local: socket.local().unwrap_or(Peer::Unix(None)),
        transport: socket.transport(),
        tcp_info: tcp_info(socket).map(|info| info.to_string()).unwrap_or_default(),
        service: service.name(),
        unix_seconds: unix_seconds(),
    }
}

fn unix_seconds() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since_1970.as_secs() as i64
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

// An idle connection holds nothing else. (mio stores more in debug builds and with poll(2).)
#[cfg(all(target_os = "linux", not(debug_assertions), not(mio_unsupported_force_poll_poll)))]
const _: () = assert!(size_of::<crate::core::Conn<Socket>>() <= 80);
