//! The loop of `connect` for streams: an engine with one connection, whose client end is standard
//! input and output. The core moves the bytes, and the dialer of the relay connects to the target.
//!
//! Standard input is not read before the connection is established, so no byte of it is lost while
//! addresses fail.

use std::io::{self, IsTerminal};
use std::time::Duration;

use super::failure::SessionError;
use super::terminal::{EVENTS, is_terminating, ready};
use super::watch::{SessionFacts, SessionWatch};
use crate::config::ConnectPlan;
use crate::core::event::ServiceKind;
use crate::core::time::ticks;
use crate::core::{
    Buffers, Conn, ConnIds, Engine, Event, Key, Moment, Observer, Peer, Ready, Reason, Timeouts,
    Turn,
};
use crate::net::stdio::Stdio;
use crate::net::{Resolver, Signal, Socket, interests};
use crate::runtime::event_loop::{EventLoop, Source};
use crate::runtime::routes::RouteId;
use crate::runtime::upstream::dialer::{DialCx, Dialer, Upstream};
use crate::runtime::upstream::loops::Origin;
use crate::runtime::upstream::pool::Pool;

/// The one route of this engine.
const ROUTE: u16 = 0;

/// The loop of one connection.
struct StreamSession<'a> {
    plan: &'a ConnectPlan,
    event_loop: EventLoop,
    engine: Engine<Socket>,
    dialer: Dialer,
    resolver: Resolver,
    watch: SessionWatch<'a>,
    key: Key,
    /// Standard input is a terminal. Then the session ends with the peer's FIN: input typed later
    /// would not be answered.
    is_terminal: bool,
    /// When the input ended.
    input_ended: Option<Moment>,
}

/// Runs a session until its connection closes or a signal ends it. Returns that signal and the
/// recorded facts.
pub fn run(
    plan: &ConnectPlan,
    observer: &mut dyn Observer,
) -> Result<(Option<Signal>, SessionFacts), SessionError> {
    let mut session = StreamSession::start(plan, observer)?;
    let mut signal = None;
    while signal.is_none() && !session.engine.is_empty() {
        signal = session.turn()?;
    }
    Ok((signal, session.watch.facts))
}

impl<'a> StreamSession<'a> {
    /// Sets up the loop and starts the first connection attempt.
    fn start(
        plan: &'a ConnectPlan,
        observer: &'a mut dyn Observer,
    ) -> Result<StreamSession<'a>, SessionError> {
        let mut event_loop = EventLoop::new(EVENTS)?;
        event_loop.handle_signals()?;
        let connect = plan.wait.map(ticks);
        let timeouts = Timeouts { connect, idle: plan.idle.map(ticks), ..Timeouts::default() };
        let mut engine = Engine::new(vec![timeouts], 1, Buffers::default());
        let id = ConnIds::default().next();
        let key = engine.vacant(id);
        let stdio = Stdio::open()?.with_cr_lf(plan.crlf).held_open(!plan.half_close);
        let mut socket = Socket::Stdio(stdio);
        if !plan.probe {
            let interests = interests(&socket);
            event_loop.register(socket.source(), Source::Conn(key.at(0)), interests)?;
        }
        let mut watch = SessionWatch::new(observer, plan.log.quiet);
        let now = event_loop.now();
        let (service, peer) = (ServiceKind::Connect, &Peer::Stdio);
        let opened = Event::Opened { route: ROUTE, service, listen: "stdio", peer };
        watch.on(key, &opened);
        let turn = &mut Turn::new(now, &mut watch);
        engine.insert(Conn::relay(socket), id, ROUTE, turn);
        if !plan.probe {
            // Assumed ready: a descriptor that is always ready gets no events.
            engine.mark(key.at(0), Ready::READ.with(Ready::WRITE), turn);
        }
        let mut pool = Pool::new(std::slice::from_ref(&plan.target), Vec::new());
        let mut session = StreamSession {
            plan,
            engine,
            dialer: Dialer::default(),
            resolver: Resolver::new(event_loop.waker()),
            event_loop,
            watch,
            key,
            is_terminal: io::stdin().is_terminal(),
            input_ended: None,
        };
        let from = Origin::Client;
        let route = RouteId { index: ROUTE, generation: 0 };
        let upstream = Upstream { route, targets: pool.select() };
        session.dial_cx(now, |dialer, cx| dialer.start(key, upstream, from, None, cx));
        Ok(session)
    }

    /// Runs one turn. Returns a signal that ended the session.
    fn turn(&mut self) -> Result<Option<Signal>, SessionError> {
        let before = self.event_loop.before_sleep();
        let (limit, queued) = (self.sleep_limit(before), self.engine.queued());
        let turn = &mut self.event_loop.sleep(before, limit, queued, &mut self.watch)?;
        let (now, mut signals, mut resolved) = (turn.now, false, false);
        for (source, event) in self.event_loop.wakeups() {
            match source {
                Source::Conn(key) => self.engine.mark(key, ready(event), turn),
                Source::Signals => signals = true,
                Source::Waker => resolved = true,
                Source::Timer | Source::Stdio | Source::Child(_) => {}
                Source::Listener(_) | Source::Datagram(_) | Source::DatagramFlow(_) => {}
                Source::Admin(_) | Source::AdminListener(_) => {}
            }
        }
        if signals {
            let received = self.event_loop.signals(turn);
            if let Some(signal) = received.into_iter().find(|signal| is_terminating(*signal)) {
                self.close_by_signal(now);
                return Ok(Some(signal));
            }
        }
        self.dial(resolved, now);
        let turn = &mut Turn::new(now, &mut self.watch);
        self.engine.run(turn);
        self.engine.expire(turn);
        self.close_if_finished(now);
        Ok(None)
    }

    fn sleep_limit(&mut self, now: Moment) -> Option<Duration> {
        let linger = self.linger_until().map(|due| due.since(now));
        let limits = [self.engine.sleep(now), self.dialer.sleep(now), linger];
        limits.into_iter().flatten().min()
    }

    /// Advances the connection attempts. `resolved`: the resolver has answers.
    fn dial(&mut self, resolved: bool, now: Moment) {
        let answered = resolved && self.resolver.collect(&mut Turn::new(now, &mut self.watch));
        self.dial_cx(now, |dialer, cx| dialer.advance_all(answered, cx));
    }

    fn dial_cx(&mut self, now: Moment, act: impl FnOnce(&mut Dialer, &mut DialCx<'_, '_>)) {
        let (engine, resolver) = (&mut self.engine, &mut self.resolver);
        let (registry, turn) = (self.event_loop.registry(), &mut Turn::new(now, &mut self.watch));
        act(&mut self.dialer, &mut DialCx { engine, registry, resolver, turn });
    }

    /// Closes the connection where the engine alone would not: a probe is connected, or one side
    /// has ended and there is no reason to wait for the other.
    fn close_if_finished(&mut self, now: Moment) {
        let Some(conn) = self.engine.get(self.key) else { return };
        if !conn.is_opening() && self.plan.probe {
            return self.end(Reason::Finished, now);
        }
        let input_ended = match conn.ends.socket(0) {
            Some(Socket::Stdio(stdio)) => stdio.has_ended(),
            _ => false,
        };
        let answers_ended = conn.flows[1].done && !conn.has_unsent();
        if input_ended {
            self.input_ended.get_or_insert(now);
        }
        if answers_ended && (self.is_terminal || input_ended) {
            return self.end(Reason::Finished, now);
        }
        if self.linger_until().is_some_and(|due| due <= now) {
            self.end(Reason::HalfCloseTimeout, now);
        }
    }

    /// Returns when waiting for the peer ends, once the input has ended. Each byte moved restarts
    /// the wait.
    fn linger_until(&mut self) -> Option<Moment> {
        let (ended, linger) = (self.input_ended?, self.plan.linger?);
        // Counted from the end of the tick, the wait may be longer but never shorter.
        let active = Moment::at_tick(self.engine.get(self.key)?.active + 1);
        Some(ended.max(active).after(linger))
    }

    fn end(&mut self, reason: Reason, now: Moment) {
        self.engine.end(self.key, reason, &mut Turn::new(now, &mut self.watch));
    }

    /// Closes the connection at once: with a FIN if no unsent bytes are lost, otherwise with a
    /// reset.
    fn close_by_signal(&mut self, now: Moment) {
        let has_unsent = self.engine.get(self.key).is_some_and(|conn| conn.has_unsent());
        let reason = if has_unsent { Reason::Cut } else { Reason::Drained };
        self.end(reason, now);
    }
}
