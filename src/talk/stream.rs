//! Standard input and output, joined to a stream: an engine with one connection, whose client is
//! ourselves. So the core moves the bytes, and the dialer of the relay finds the target.
//!
//! Nothing is read from standard input before there is a connection, so nothing of it is lost
//! while targets fail.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::Duration;

use mio::Waker;

use super::failure::Failure;
use super::turns::{NAME_DOOR, SIGNALS, Turns, ends_by, token};
use super::watch::{Facts, Watch};
use crate::config::ConnectPlan;
use crate::core::time::ticks;
use crate::core::{
    Buffers, Conn, ConnIds, Engine, Event, Key, Moment, Observer, Peer, Ready, Reason, Timeouts,
    Turn,
};
use crate::net::stdio::Stdio;
use crate::net::{Resolver, Signal, Socket, interests};
use crate::runtime::upstream::dialer::{DialCx, Dialer};
use crate::runtime::upstream::loops::{Origin, RecentDials};
use crate::runtime::upstream::pool::Pool;

/// The one route of this engine.
const ROUTE: u16 = 0;

/// The loop of one connection.
struct Session<'a> {
    plan: &'a ConnectPlan,
    turns: Turns,
    engine: Engine<Socket>,
    dialer: Dialer,
    resolver: Resolver,
    watch: Watch<'a>,
    key: Key,
    /// A human types, and would have to end what has nobody left to hear it.
    terminal: bool,
    /// When the end of the input was seen.
    ended: Option<Moment>,
}

/// Talks until the connection has ended, or a signal has ended it.
pub fn talk(
    plan: &ConnectPlan,
    seen: &mut dyn Observer,
) -> Result<(Option<Signal>, Facts), Failure> {
    let mut session = Session::begin(plan, seen)?;
    let mut signal = None;
    while signal.is_none() && !session.engine.is_empty() {
        signal = session.turn()?;
    }
    Ok((signal, session.watch.facts))
}

impl<'a> Session<'a> {
    /// Everything is ready, and the first attempt to connect is under way.
    fn begin(plan: &'a ConnectPlan, seen: &'a mut dyn Observer) -> Result<Session<'a>, Failure> {
        let turns = Turns::new()?;
        let waker = Waker::new(turns.registry(), token(Key::source(NAME_DOOR)))?;
        let connect = plan.wait.map(ticks);
        let timeouts = Timeouts { connect, idle: plan.idle.map(ticks), ..Timeouts::default() };
        let mut engine = Engine::new(vec![timeouts], 1, Buffers::default());
        let id = ConnIds::default().next();
        let key = engine.vacant(id);
        let stdio = Stdio::open()?.with_cr_lf(plan.crlf).held_open(!plan.half_close);
        let mut socket = Socket::Stdio(stdio);
        if !plan.probe {
            let interests = interests(&socket);
            turns.register(socket.source(), key.at(0), interests)?;
        }
        let mut watch = Watch::new(seen, plan.log.quiet);
        let now = turns.now();
        let (service, peer) = ("connect", &Peer::Stdio);
        let opened = Event::Opened { route: ROUTE, service, listen: "stdio", peer, now };
        watch.on(key, &opened);
        let turn = &mut Turn::new(now, &mut watch);
        engine.insert(Conn::relay(socket), id, ROUTE, turn);
        if !plan.probe {
            // Whether there is something to read is found out by reading: for what is always ready,
            // the system never says so.
            engine.mark(key.at(0), Ready::READ.with(Ready::WRITE), turn);
        }
        let pools = vec![Pool::new(vec![plan.target.clone()], Vec::new())];
        let mut session = Session {
            plan,
            turns,
            engine,
            dialer: Dialer::new(pools, RecentDials::default()),
            resolver: Resolver::new(Arc::new(waker)),
            watch,
            key,
            terminal: io::stdin().is_terminal(),
            ended: None,
        };
        let from = Origin::Client;
        session.dial_cx(now, |dialer, with| dialer.start(key, ROUTE, from, None, with));
        Ok(session)
    }

    /// One turn. Some: a signal has ended it.
    fn turn(&mut self) -> Result<Option<Signal>, Failure> {
        let (limit, queued) = (self.sleep_limit(), self.engine.queued());
        let now = self.turns.sleep(limit, queued, &mut self.watch)?;
        self.watch.now = now;
        let (mut signals, mut names) = (false, false);
        let turn = &mut Turn::new(now, &mut self.watch);
        for (key, ready) in self.turns.named() {
            match key.slot() {
                _ if !key.is_source() => self.engine.mark(key, ready, turn),
                SIGNALS => signals = true,
                NAME_DOOR => names = true,
                _ => {}
            }
        }
        if signals {
            let came = self.turns.signals(&mut self.watch);
            if let Some(signal) = came.into_iter().find(|signal| ends_by(*signal)) {
                self.leave(now);
                return Ok(Some(signal));
            }
        }
        self.dial(names, now);
        let turn = &mut Turn::new(now, &mut self.watch);
        self.engine.run(turn);
        self.engine.expire(turn);
        self.see_to_the_end(now);
        Ok(None)
    }

    fn sleep_limit(&mut self) -> Option<Duration> {
        let now = self.turns.now();
        let linger = self.linger_until().map(|due| due.since(now));
        let limits = [self.engine.sleep(now), self.dialer.sleep(now), linger];
        limits.into_iter().flatten().min()
    }

    fn dial(&mut self, names: bool, now: Moment) {
        let answered = names && self.resolver.collect(&mut Turn::new(now, &mut self.watch));
        self.dial_cx(now, |dialer, with| {
            dialer.decide(with);
            if answered {
                dialer.resolved(with);
            }
            dialer.retry(with);
        });
    }

    fn dial_cx(&mut self, now: Moment, act: impl FnOnce(&mut Dialer, &mut DialCx<'_, '_>)) {
        let (engine, resolver) = (&mut self.engine, &mut self.resolver);
        let (registry, turn) = (self.turns.registry(), &mut Turn::new(now, &mut self.watch));
        act(&mut self.dialer, &mut DialCx { engine, registry, resolver, turn });
    }

    /// Ends the connection where its ends alone would not: a probe has found out what it wanted to
    /// know, or one side has ended and the other need not be waited for.
    fn see_to_the_end(&mut self, now: Moment) {
        let Some(conn) = self.engine.get(self.key) else { return };
        if !conn.dialing() && self.plan.probe {
            return self.engine.end(
                self.key,
                Reason::Finished,
                &mut Turn::new(now, &mut self.watch),
            );
        }
        let input_ended = match conn.ends.socket(0) {
            Some(Socket::Stdio(stdio)) => stdio.has_ended(),
            _ => false,
        };
        let answers_ended = conn.flows[1].done && !conn.has_unsent();
        if input_ended {
            self.ended.get_or_insert(now);
        }
        if answers_ended && (self.terminal || input_ended) {
            return self.engine.end(
                self.key,
                Reason::Finished,
                &mut Turn::new(now, &mut self.watch),
            );
        }
        if self.linger_until().is_some_and(|due| due <= now) {
            self.engine.end(
                self.key,
                Reason::HalfCloseTimeout,
                &mut Turn::new(now, &mut self.watch),
            );
        }
    }

    /// How long the other side is still waited for. Each byte that moves is a reason to wait anew.
    fn linger_until(&mut self) -> Option<Moment> {
        let (ended, linger) = (self.ended?, self.plan.linger?);
        // A tick is a while: counted from its end, the wait may be longer, and never shorter.
        let active = Moment::at_tick(self.engine.get(self.key)?.active + 1);
        Some(ended.max(active).after(linger))
    }

    /// A signal: at once, and in order if nothing is lost by it.
    fn leave(&mut self, now: Moment) {
        let holds = self.engine.get(self.key).is_some_and(|conn| conn.has_unsent());
        let reason = if holds { Reason::Cut } else { Reason::Drained };
        self.engine.end(self.key, reason, &mut Turn::new(now, &mut self.watch));
    }
}
