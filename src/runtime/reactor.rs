//! The turn of the daemon: it sleeps, marks, accepts, dials, runs and expires, in one thread.
//! docs/turn.md describes the phases in the order of the code.

use std::io;
use std::time::{Duration, SystemTime};

use crate::config::Service;
use crate::core::time::ticks;
use crate::core::{
    Buffers, ConnIds, Engine, Event, Key, Mail, Moment, Observer, Peer, Phase, Reason, Signal, Turn,
};
use crate::service::{self, PeerFacts};

use super::admin_port::AdminPort;
use super::capacity::Capacity;
use super::clock::{thread_time, unix_seconds};
use super::cuts::Cuts;
use super::datagrams::{DatagramCx, Datagrams};
use super::drain::Drain;
use super::dump::Dump;
use super::event_loop::{EventLoop, Source, ready, token};
use super::hubs::Hubs;
use super::listeners::{Accepted, Listeners};
use super::phases::PhaseWatch;
use super::reload::Reload;
use super::route_totals::RouteTotals;
use super::routes::Routes;
use crate::net::limits::Limits;
use crate::net::resolver::{Lookup, Resolver};
use crate::net::socket::Socket;
use crate::net::socket::{interests, update_interest};
use crate::net::tcp_info::tcp_info;
use crate::runtime::upstream::dialer::{ClientInfo, DialCx, Dialer, Upstream};

/// Maximum events per poll. The others are reported in the next turn.
const EVENTS: usize = 1024;

/// The daemon: the event loop and everything that it drives. `start::bind` creates it. `apply`
/// changes what it serves, and so sees most of it.
pub struct Reactor {
    pub(super) event_loop: EventLoop,
    pub(super) routes: Routes,
    pub(super) capacity: Capacity,
    pub(super) drain: Drain,
    pub(super) engine: Engine<Socket>,
    pub(super) listeners: Listeners,
    pub(super) dialer: Dialer,
    pub(super) datagrams: Datagrams,
    pub(super) hubs: Hubs,
    /// None without listeners of the admin endpoint.
    pub(super) admin: Option<Box<AdminPort>>,
    phases: PhaseWatch,
    pub(super) route_totals: RouteTotals,
    pub(super) reload: Reload,
    pub(super) cuts: Cuts,
    /// When the loop was created.
    pub(super) started: SystemTime,
    resolver: Resolver,
    pub(super) conn_ids: ConnIds,
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
    /// Builds a loop without routes, and installs its signal handlers. The seed must be random:
    /// outsiders must not be able to predict which reply of a datagram loop is dropped.
    pub(super) fn new(limits: Limits, seed: u64) -> io::Result<Reactor> {
        let mut event_loop = EventLoop::new(EVENTS)?;
        event_loop.handle_signals()?;
        Ok(Reactor {
            routes: Routes::default(),
            capacity: Capacity::none(limits),
            drain: Drain::new(),
            engine: Engine::new(Vec::new(), 0, Buffers::default()),
            listeners: Listeners::default(),
            dialer: Dialer::default(),
            datagrams: Datagrams::new(seed),
            hubs: Hubs::default(),
            admin: None,
            phases: PhaseWatch::default(),
            route_totals: RouteTotals::default(),
            reload: Reload::default(),
            cuts: Cuts::default(),
            started: SystemTime::now(),
            resolver: Resolver::new(event_loop.waker()),
            conn_ids: ConnIds::default(),
            event_loop,
        })
    }

    /// Runs the loop until a signal stops it, or a reload has ended: then it returns None, and may
    /// be called again.
    pub fn run(&mut self, observer: &mut dyn Observer) -> io::Result<Option<Outcome>> {
        let reloads = self.reloads_ended();
        loop {
            let outcome = self.turn(observer)?;
            if outcome.is_some() || self.reloads_ended() != reloads {
                return Ok(outcome);
            }
        }
    }

    /// Describes the limits of connections and of unsent bytes.
    pub fn limits(&self) -> String {
        self.capacity.describe()
    }

    /// The routes of the loop.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// Number of turns so far.
    pub fn turns(&self) -> u64 {
        self.event_loop.turns()
    }

    /// The transport of the admin endpoint.
    #[inline]
    pub fn admin(&mut self) -> Option<&mut AdminPort> {
        self.admin.as_deref_mut()
    }

    /// Runs one turn. Returns how the loop ended, once it has.
    #[inline(always)]
    pub fn turn(&mut self, observer: &mut dyn Observer) -> io::Result<Option<Outcome>> {
        if self.phases.is_on() | self.event_loop.has_steps() {
            self.watched_turn(observer)
        } else {
            self.turn_as::<false>(observer)
        }
    }

    /// Runs one turn and measures its phases.
    #[inline(never)]
    fn watched_turn(&mut self, observer: &mut dyn Observer) -> io::Result<Option<Outcome>> {
        self.turn_as::<true>(observer)
    }

    #[inline(always)]
    fn turn_as<const WATCHED: bool>(
        &mut self,
        observer: &mut dyn Observer,
    ) -> io::Result<Option<Outcome>> {
        let before = self.event_loop.before_sleep();
        if WATCHED {
            // What followed the last turn was done for admin clients.
            self.phases.ended(Phase::Admin, before);
            let number = self.event_loop.turns();
            self.event_loop.set_detail(self.phases.finish(number, before, thread_time));
        }
        let limit = self.sleep_limit(before);
        let turn = &mut self.event_loop.sleep(before, limit, self.engine.queued(), observer)?;
        if WATCHED {
            let slept = turn.now.since(before);
            self.phases.begin(self.event_loop.turns(), turn.now, slept, thread_time);
        }
        let mut reported = self.mark(turn);
        // Without a limit no deadline is armed.
        if limit.is_some() && (self.engine.is_due(turn.now) || self.datagrams.is_due(turn.now)) {
            reported = reported.and(self.mark_again(turn)?);
        }
        if reported.signals
            && let Some(signal) = self.handle_signals(turn)
        {
            self.cut(turn);
            return Ok(Some(Outcome::CutShort(signal)));
        }
        if reported.names && self.reload.is_loading() {
            self.finish_reload(turn);
        }
        self.ended::<WATCHED>(Phase::Mark);
        if self.listeners.has_pending() {
            self.accept(turn);
        }
        self.ended::<WATCHED>(Phase::Accept);
        let connections = self.engine.len();
        if reported.names || self.engine.has_dials() || !self.dialer.is_empty() {
            self.dial(reported.names, turn);
            self.free_routes();
        }
        self.ended::<WATCHED>(Phase::Dial);
        self.run_queued::<WATCHED>(turn);
        if self.engine.has_mail() || self.hubs.has_work() {
            self.serve_locals(turn);
        }
        self.ended::<WATCHED>(Phase::Run);
        self.expire(connections, turn);
        self.ended::<WATCHED>(Phase::Expire);
        if self.datagrams.sleep(turn.now) == Some(Duration::ZERO) {
            self.run_datagrams(turn);
        }
        self.ended::<WATCHED>(Phase::Datagrams);
        if let Some(port) = &mut self.admin {
            port.run(&self.event_loop, turn);
        }
        Ok(self.check_stopped(turn))
    }

    /// Drives the queued connections.
    #[inline(always)]
    fn run_queued<const WATCHED: bool>(&mut self, turn: &mut Turn<'_>) {
        match WATCHED {
            true => {
                let event_loop = &self.event_loop;
                let slowest = self.engine.run_watched(turn, || event_loop.now());
                self.phases.set_connection(slowest);
            }
            false => self.engine.run(turn),
        }
    }

    /// Handles the deadlines that are due, and what follows from closed connections. `connections`
    /// were open before.
    #[inline(always)]
    fn expire(&mut self, connections: usize, turn: &mut Turn<'_>) {
        self.engine.expire(turn);
        let registry = self.event_loop.registry();
        self.engine.update_interest(turn, |socket, key, read_off| {
            update_interest(socket, registry, token(key), read_off)
        });
        if !self.cuts.is_empty() {
            self.cut_some(turn);
        }
        if self.engine.len() < connections {
            self.listeners.retry_paused(turn.now);
            self.free_routes();
        }
    }

    /// Ends a phase of a turn that is watched.
    #[inline(always)]
    fn ended<const WATCHED: bool>(&mut self, phase: Phase) {
        if WATCHED {
            self.phases.ended(phase, self.event_loop.now());
        }
    }

    /// Measures the phases of turns for a while.
    pub fn watch_phases(&mut self) {
        self.phases.start(self.event_loop.now());
    }

    /// Returns the shortest of the sleep limits of all parts of the loop.
    #[inline(always)]
    fn sleep_limit(&self, now: Moment) -> Option<Duration> {
        let limit = self.admin.as_ref().and_then(|port| port.sleep(now));
        shorter(limit, self.service_sleep(now))
    }

    /// Returns how long the loop may sleep if it had no admin clients.
    #[inline(always)]
    pub(super) fn service_sleep(&self, now: Moment) -> Option<Duration> {
        if self.hubs.has_work() {
            return Some(Duration::ZERO);
        }
        let limit = shorter(self.engine.sleep(now), self.datagrams.sleep(now));
        let limit = shorter(limit, self.listeners.sleep(now, self.capacity_left()));
        let limit = shorter(limit, self.dialer.sleep(now));
        let limit = shorter(limit, self.cuts.sleep(now));
        shorter(limit, self.drain.sleep(now))
    }

    /// Records the reported events. No socket is touched here.
    #[inline(always)]
    fn mark(&mut self, turn: &mut Turn<'_>) -> Reported {
        let mut reported = Reported::default();
        let mut events = 0;
        for (source, event) in self.event_loop.wakeups() {
            events += 1;
            match source {
                Source::Conn(key) => self.engine.mark(key, ready(event), turn),
                Source::DatagramFlow(key) | Source::Datagram(key) => {
                    self.datagrams.mark(key, ready(event), turn);
                }
                Source::Listener(key) => self.listeners.set_pending(key),
                Source::Signals => reported.signals = true,
                Source::Waker => reported.names = true,
                Source::Admin(key) => {
                    if let Some(port) = &mut self.admin {
                        port.mark(key, ready(event), turn.now);
                    }
                }
                Source::AdminListener(key) => {
                    if let Some(port) = &mut self.admin {
                        port.mark_listener(key);
                    }
                }
                // The daemon has none.
                Source::Timer | Source::Stdio | Source::Child(_) => {}
            }
        }
        self.event_loop.count_events(events);
        reported
    }

    /// Marks everything that is ready before a deadline fires. An event that would have moved the
    /// deadline may be pending, because the process was stopped or the last poll was full. The
    /// number of polls is limited to what all connections can fill, so that constant load cannot
    /// postpone deadlines.
    #[cold]
    fn mark_again(&mut self, turn: &mut Turn<'_>) -> io::Result<Reported> {
        let mut reported = Reported::default();
        let sources = self.engine.len() + self.datagrams.len();
        for _ in 0..sources / self.event_loop.capacity() + 1 {
            let is_full = self.event_loop.poll_again(turn)?;
            reported = reported.and(self.mark(turn));
            if !is_full {
                break;
            }
        }
        Ok(reported)
    }

    /// Handles received signals. The first TERM or INT starts the drain. Returns the second one,
    /// which ends it at once.
    fn handle_signals(&mut self, turn: &mut Turn<'_>) -> Option<Signal> {
        for signal in self.event_loop.signals(turn) {
            match signal {
                Signal::Terminate | Signal::Interrupt if self.drain.is_started() => {
                    return Some(signal);
                }
                Signal::Terminate | Signal::Interrupt => self.start_drain(turn),
                Signal::Quit => self.dump(turn),
                Signal::HangUp => {
                    self.request_reload(turn);
                }
            }
        }
        None
    }

    /// Accepts pending connections, within the budget and the connection limit.
    fn accept(&mut self, turn: &mut Turn<'_>) {
        let mut cursor = 0;
        while let Some(listener) = self.listeners.next_pending(&mut cursor) {
            let Some(route) = self.listeners.route(listener) else { continue };
            let budget = Listeners::budget(&self.routes[route].config.service);
            for _ in 0..budget {
                let (connections, capacity_left) = (self.engine.len(), self.capacity_left());
                let (conn_ids, engine, event_loop) =
                    (&mut self.conn_ids, &self.engine, &self.event_loop);
                let register = |socket: &mut Socket| {
                    let key = engine.vacant(conn_ids.next());
                    let interests = interests(socket);
                    event_loop.register(socket.source(), Source::Conn(key), interests)?;
                    Ok(key)
                };
                match self.listeners.accept(listener, capacity_left, connections, turn, register) {
                    Some(accepted) => self.open_connection(accepted, turn),
                    None => break,
                }
            }
        }
        if self.listeners.has_closing() {
            self.close_empty_listeners();
        }
    }

    /// Number of connections that may still be opened.
    fn capacity_left(&self) -> usize {
        self.capacity.max_connections.saturating_sub(self.engine.len())
    }

    /// Opens a connection for an accepted socket, and dials if its service is a relay.
    fn open_connection(&mut self, accepted: Accepted, turn: &mut Turn<'_>) {
        let id = self.routes.id(accepted.route);
        let route = &self.routes[accepted.route];
        let (service, relays) = (&route.config.service, route.is_relay());
        let origin = self.dialer.origin(&accepted.socket, &accepted.peer, relays);
        let (key, peer, listen) = (accepted.key, &accepted.peer, &*accepted.address);
        let opened = Event::Opened { route: id.index, service: service.kind(), listen, peer };
        turn.on(key, &opened);
        let unsent = &mut self.engine.buffers.unsent;
        let conn = service::build_conn(service, accepted.socket, unsent, |socket| {
            facts(socket, service, accepted.peer.clone())
        });
        self.engine.insert(conn, key.id, accepted.route, turn);
        self.hubs.join(accepted.route, key);
        if relays {
            let client = Some(ClientInfo { peer: accepted.peer, listen: accepted.address });
            let targets = self.routes[id.index].pool.select();
            let upstream = Upstream { route: id, targets };
            let (dialer, mut cx) = self.dial_cx(turn);
            dialer.start(key, upstream, origin, client, &mut cx);
        }
    }

    /// Continues connection attempts whose result, name or retry is due.
    fn dial(&mut self, names: bool, turn: &mut Turn<'_>) {
        let answered = names && self.resolver.collect(turn);
        let (dialer, mut cx) = self.dial_cx(turn);
        dialer.advance_all(answered, &mut cx);
    }

    fn dial_cx<'a, 't>(&'a mut self, turn: &'a mut Turn<'t>) -> (&'a mut Dialer, DialCx<'a, 't>) {
        let (engine, resolver) = (&mut self.engine, &mut self.resolver);
        let registry = self.event_loop.registry();
        (&mut self.dialer, DialCx { engine, registry, resolver, turn })
    }

    /// Runs the owners of local ends that have work.
    #[inline(never)]
    fn serve_locals(&mut self, turn: &mut Turn<'_>) {
        for mail in self.engine.mail() {
            let route = match &mail {
                Mail::Closed(closed) => Some(closed.route),
                Mail::Received(key) | Mail::Drained(key) => {
                    self.engine.get(*key).map(|conn| conn.route)
                }
            };
            match route.and_then(|route| self.hubs.handle(route, mail, &mut self.engine)) {
                Some(Mail::Received(key)) => service::receive_one(&mut self.engine, key, turn),
                // The reply of a greeting has no bytes, and it keeps nothing.
                Some(Mail::Drained(_) | Mail::Closed(_)) | None => {}
            }
        }
        self.hubs.serve(&mut self.engine, turn);
    }

    #[inline(never)]
    fn run_datagrams(&mut self, turn: &mut Turn<'_>) {
        self.with_datagrams(turn, |datagrams, cx| {
            datagrams.run(cx);
            datagrams.expire(cx);
        });
        self.free_routes();
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
            registry: self.event_loop.registry(),
            routes: &mut self.routes,
            conn_ids: &mut self.conn_ids,
            names: &mut names,
            turn,
        };
        act(&mut self.datagrams, &mut cx)
    }

    /// Starts the drain: empties and closes the listeners, closes connections at rest, and lets
    /// those in progress finish.
    pub(super) fn start_drain(&mut self, turn: &mut Turn<'_>) {
        self.drain.start(turn.now);
        let (connections, deadline) = (self.engine.len(), self.drain.timeout());
        turn.on(Key::LOOP, &Event::Draining { connections, deadline });
        let idle = self.drain.idle();
        self.listeners.close_all_when_empty();
        self.engine.drain(ticks(idle), turn);
        self.with_datagrams(turn, |datagrams, cx| datagrams.drain(idle, cx));
    }

    /// Returns the outcome once the drain is complete. Closes what is left at the drain timeout.
    fn check_stopped(&mut self, turn: &mut Turn<'_>) -> Option<Outcome> {
        let is_over = self.drain.is_over(turn.now)?;
        let left = self.engine.len() + self.datagrams.len();
        if is_over {
            self.listeners.close_now();
            self.cut(turn);
            return Some(Outcome::Drained { cut: left });
        }
        (left == 0 && self.listeners.is_empty()).then_some(Outcome::Drained { cut: 0 })
    }

    /// Closes all connections and flows now.
    fn cut(&mut self, turn: &mut Turn<'_>) {
        self.engine.cut(turn);
        self.with_datagrams(turn, |datagrams, cx| datagrams.close_all(Reason::Cut, cx));
    }

    /// Reports the state of the loop.
    fn dump(&self, turn: &mut Turn<'_>) {
        let dump = Dump {
            turns: self.turns(),
            opened: self.conn_ids.last(),
            max_connections: self.capacity.max_connections,
            engine: &self.engine,
            dialer: &self.dialer,
            listeners: &self.listeners,
            routes: &self.routes,
            datagrams: &self.datagrams,
            hubs: &self.hubs,
        };
        dump.report(turn);
    }

    /// The time at which the present turn began.
    #[inline]
    pub fn woke(&self) -> Moment {
        self.event_loop.woke()
    }

    /// The time of the loop's clock.
    pub fn now(&self) -> Moment {
        self.event_loop.now()
    }
}

/// Which of the loop's own sources were reported.
#[derive(Default)]
struct Reported {
    signals: bool,
    names: bool,
}

impl Reported {
    fn and(self, other: Reported) -> Reported {
        Reported { signals: self.signals || other.signals, names: self.names || other.names }
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

// An idle connection holds nothing else. (mio stores more in debug builds and with poll(2).)
#[cfg(all(target_os = "linux", not(debug_assertions), not(mio_unsupported_force_poll_poll)))]
const _: () = assert!(size_of::<crate::core::Conn<Socket>>() <= 80);
