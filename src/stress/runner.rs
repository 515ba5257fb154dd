//! The loop that makes load: open, sleep, mark, run, settle. Which of it is done when is decided by
//! the phase.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use mio::{Events, Poll, Token};

use crate::core::{Buffers, Conn, ConnIds, Dial, Engine, Key, Moment, Ready, Reason, SysError};
use crate::plan::{LoadKind, StressPlan};
use crate::shell::listeners::Listeners;
use crate::shell::reactor::ready;
use crate::shell::{Signal, Signals};

use super::dial::Dialer;
use super::failure::{self, Failure};
use super::find::Finder;
use super::group::{Group, pace, timeouts};
use super::line::Line;
use super::load::{Clock, Letter, Load};
use super::parent::Parent;
use super::pattern::Pattern;
use super::phase::Phase;
use super::precise_timer::PreciseTimer;
use super::ramp_curve::RampCurve;
use super::server_usage::{LoopUsage, ServerUsage};
use super::timeline::Timeline;
use super::watch::Watch;

/// The loop and all it owns.
pub struct Runner {
    pub(super) plan: StressPlan,
    pub(super) clock: Clock,
    pub(super) phase: Phase,
    pub(super) engine: Engine<Line>,
    pub(super) watch: Watch,
    pub(super) groups: Vec<Group>,
    pub(super) busy: LoopUsage,
    pub(super) timeline: Timeline,
    pub(super) ramp_curve: RampCurve,
    pub(super) server_usage: ServerUsage,
    pub finder: Option<Finder>,
    /// When all connections that stay were there, and since and until when idle ones are held.
    pub(super) ramp: Duration,
    pub(super) held_since: Duration,
    pub(super) held_until: Duration,
    /// From when to when the loads were measured.
    pub(super) measured: Option<(Duration, Duration)>,
    /// Somebody ended the run, and perhaps before its time.
    pub(super) interrupted: bool,
    pub(super) early: bool,
    /// Somebody wants it to end at once: how connections end now says nothing of the server.
    pub(super) hurried: bool,
    /// It must not begin to speak before it is told.
    pub(super) waits_for_word: bool,
    /// When it is to be looked for answers that do not come.
    pub(super) looks_at: Duration,
    pub(super) poll: Poll,
    pub(super) conn_ids: ConnIds,
    /// Where streams end here, and its addresses.
    pub(super) listeners: Listeners,
    pub sink_addresses: Vec<String>,
    events: Events,
    precise_timer: PreciseTimer,
    dialer: Dialer,
    signals: Option<Signals>,
    /// To the process that started this one, if it is one of several.
    line: Option<Parent>,
    /// Connections that were tried under the present pace, and since when it holds.
    paced: u64,
    paced_since: Duration,
    letters: Vec<Letter>,
}

/// So many events are taken from the system at once.
const EVENTS: usize = 1024;

/// So many connections are tried in one turn, so that those that are there are served meanwhile.
const OPENED_PER_TURN: usize = 64;

/// A storm is to come at once; only so that the system's events do not pile up, it comes in parts.
const STORM_PER_TURN: usize = 1024;

const SIGNALS: usize = 0;
const ALARM_DOOR: usize = 1;
const LINE_DOOR: usize = 2;

impl Runner {
    pub fn new(
        plan: &StressPlan,
        dialer: Dialer,
        pattern: Rc<Pattern>,
        server_usage: ServerUsage,
    ) -> io::Result<Runner> {
        let clock = Clock::start();
        let asked = plan.groups();
        let load = |kind, far| {
            let mut load = Load::new(pattern.clone(), clock, plan.size, pace(kind, plan));
            (load.way, load.counted, load.far) = (plan.way, plan.unverified, far);
            (load.datagrams, load.cuts) = (plan.is_datagram(), plan.gso);
            load
        };
        let near = asked.iter().map(|(kind, conns)| Group::new(*kind, *conns, load(*kind, false)));
        let stream = LoadKind::Stream;
        let far = plan.sink.iter().map(|_| Group::new(stream, 0, load(stream, true)));
        let groups: Vec<Group> = near.chain(far).collect();
        let times = groups.iter().map(|group| timeouts(group.kind, plan)).collect();
        let conns = asked.iter().map(|(_, conns)| conns).sum();
        let mut precise_timer = PreciseTimer::default();
        let poll = Poll::new()?;
        precise_timer.register(poll.registry(), Token(Key::source(ALARM_DOOR).to_token()))?;
        Ok(Runner {
            plan: plan.clone(),
            clock,
            phase: Phase::Ramp,
            engine: Engine::new(times, conns, Buffers::default()),
            watch: Watch::of(groups.len()),
            groups,
            busy: LoopUsage::default(),
            timeline: Timeline::new(),
            ramp_curve: RampCurve::new(),
            server_usage,
            finder: plan.find_timeout.map(|max| Finder::new(max, plan.timeout(), plan.probe)),
            ramp: Duration::ZERO,
            held_since: Duration::ZERO,
            held_until: Duration::ZERO,
            measured: None,
            interrupted: false,
            early: false,
            hurried: false,
            waits_for_word: false,
            looks_at: Duration::ZERO,
            poll,
            conn_ids: ConnIds::default(),
            listeners: Listeners::default(),
            sink_addresses: Vec::new(),
            events: Events::with_capacity(EVENTS),
            precise_timer,
            dialer,
            signals: None,
            line: None,
            paced: 0,
            paced_since: Duration::ZERO,
            letters: Vec::new(),
        })
    }

    /// From now on signals end the run in order.
    pub fn handle_signals(&mut self) -> io::Result<()> {
        let token = Token(Key::source(SIGNALS).to_token());
        self.signals = Some(Signals::new(self.poll.registry(), token)?);
        Ok(())
    }

    /// From now on the process that started this one says when to begin.
    pub(super) fn handle_line(&mut self) -> io::Result<()> {
        let token = Token(Key::source(LINE_DOOR).to_token());
        self.line = Some(Parent::register(self.poll.registry(), token)?);
        self.waits_for_word = true;
        Ok(())
    }

    /// One turn. False, when all is over.
    pub fn turn(&mut self) -> io::Result<bool> {
        if !self.advance() {
            self.timeline.finish(self.open_now());
            return Ok(false);
        }
        self.open();
        self.prompt();
        self.sleep()?;
        self.mark();
        self.accept();
        let now = self.moment();
        self.engine.run(now, &mut self.watch);
        self.settle();
        // What was answered just now is spoken to again in the same turn.
        self.engine.run(self.moment(), &mut self.watch);
        self.engine.expire(self.moment(), &mut self.watch);
        self.update_interest();
        self.settle();
        self.note();
        Ok(true)
    }

    pub fn now(&self) -> Duration {
        self.clock.now()
    }

    fn update_interest(&mut self) {
        let (now, registry) = (self.moment(), self.poll.registry());
        self.engine.update_interest(now, &mut self.watch, |line, key, muted| {
            line.update_interest(registry, Token(key.to_token()), muted)
        });
    }

    pub(super) fn moment(&self) -> Moment {
        Moment(self.clock.now().as_micros() as u64)
    }

    /// The pace of connecting begins anew.
    pub(super) fn pace_anew(&mut self) {
        self.paced = 0;
        self.paced_since = self.clock.now();
    }

    /// Opens connections where some are lacking, as far as the pace allows.
    fn open(&mut self) {
        let mut budget = self.allowance();
        for group in 0..self.groups.len() {
            let now = self.clock.now();
            let of = &self.groups[group];
            if !self.phase.opens(of.kind) || now < of.rests_until {
                continue;
            }
            let count = match of.kind {
                LoadKind::Storm => of.lacks().min(STORM_PER_TURN),
                _ => of.lacks().min(budget),
            };
            for _ in 0..count {
                budget = budget.saturating_sub(1);
                self.paced += 1;
                if let Err(error) = self.open_one(group) {
                    self.refused(group, SysError::from(&error));
                    break;
                }
            }
        }
    }

    /// How many connections may be tried now.
    fn allowance(&self) -> usize {
        let Some(rate) = self.connect_rate() else { return OPENED_PER_TURN };
        let elapsed = self.clock.now().saturating_sub(self.paced_since);
        let due = 1 + (rate * elapsed.as_secs_f64()) as u64;
        (due.saturating_sub(self.paced) as usize).min(OPENED_PER_TURN)
    }

    /// Connections in a second. None: as many as there is time for.
    fn connect_rate(&self) -> Option<f64> {
        let usual = matches!(self.phase, Phase::Ramp).then_some(StressPlan::CONNECT_RATE);
        self.plan.connect_rate.or(usual).map(|rate| rate.per_second())
    }

    pub(super) fn open_one(&mut self, group: usize) -> io::Result<Key> {
        let id = self.conn_ids.next();
        let key = self.engine.vacant(id);
        // On loopback all is decided within the call, so the time begins before it.
        let now = self.moment();
        let mut line = self.dialer.dial()?;
        line.register(self.poll.registry(), Token(key.at(1).to_token()))?;
        let of = &mut self.groups[group];
        let (own, ready) = match of.script(key) {
            Some(script) => (Line::Script(script), Ready::READ.with(Ready::WRITE)),
            None => (Line::Nobody, Ready::WRITE),
        };
        of.tried += 1;
        of.opening += 1;
        self.watch.assign(key, group);
        let watch = &mut self.watch;
        self.engine.insert(Conn::relay(own), id, group as u16, now, watch);
        self.engine.attach(key, line, now, watch);
        self.engine.mark(key.at(0), ready, watch);
        Ok(key)
    }

    /// A connection could not even be tried.
    pub(super) fn refused(&mut self, group: usize, fault: SysError) {
        let of = &mut self.groups[group];
        of.tried += 1;
        of.rest(self.clock.now());
        of.tally.fail(Failure::of(failure::Stage::Connect, fault));
        self.timeline.now().failed += 1;
    }

    fn sleep(&mut self) -> io::Result<()> {
        let before = self.clock.now();
        let limit = match self.engine.sleep(self.moment()) {
            Some(Duration::ZERO) => Duration::ZERO,
            limit => limit.into_iter().chain(self.due(before)).min().unwrap_or(Duration::MAX),
        };
        let limit = match self.next_beat() {
            Some(beat) => limit.min(self.precise_timer.set(beat.saturating_sub(before).min(limit))),
            None => limit,
        };
        let limit = (limit != Duration::MAX).then_some(limit);
        match self.poll.poll(&mut self.events, limit) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            polled => polled?,
        }
        let measures = self.phase.measures();
        self.busy.turns += u64::from(measures);
        if measures && limit != Some(Duration::ZERO) {
            self.busy.slept += self.clock.now() - before;
        }
        Ok(())
    }

    /// How long until the next thing that is to be done without an event.
    fn due(&self, now: Duration) -> Option<Duration> {
        let wait = |until: Duration| until.saturating_sub(now);
        let opening =
            self.groups.iter().filter(|group| self.phase.opens(group.kind) && group.lacks() > 0);
        let pace = self
            .connect_rate()
            .map(|rate| self.paced_since + Duration::from_secs_f64(self.paced as f64 / rate));
        let open = opening.map(|group| pace.unwrap_or(now).max(group.rests_until)).min();
        let fixed = [open, self.phase.due(), self.find_due(), Some(self.timeline.due())];
        let listeners = self.listeners.sleep(self.moment(), usize::MAX);
        fixed.into_iter().flatten().map(wait).chain(listeners).min()
    }

    /// Notes what the system named.
    fn mark(&mut self) {
        let (mut signalled, mut spoken_to) = (false, false);
        for event in &self.events {
            let key = Key::from_token(event.token().0);
            match key.is_source() {
                true if key.slot() == SIGNALS => signalled = true,
                true if key.slot() == LINE_DOOR => spoken_to = true,
                true => drop(self.listeners.set_pending(key)),
                false => self.engine.mark(key, ready(event), &mut self.watch),
            }
        }
        if signalled {
            self.handle();
        }
        if spoken_to {
            self.handle_message();
        }
    }

    /// The process that started this one has said something, or is gone.
    fn handle_message(&mut self) {
        match self.line.as_mut().map(Parent::hear) {
            Some(Some(begin)) => self.waits_for_word &= !begin,
            Some(None) => {
                self.line = None;
                self.waits_for_word = false;
                if !self.interrupted {
                    self.interrupt();
                }
            }
            None => {}
        }
    }

    fn handle(&mut self) {
        let signals: Vec<Signal> =
            self.signals.as_mut().map(|signals| signals.drain().collect()).unwrap_or_default();
        for signal in signals {
            if matches!(signal, Signal::Interrupt | Signal::Terminate) {
                self.interrupt();
            }
        }
    }

    /// Takes up what scripts, engine and observer have told, until they are silent.
    pub(super) fn settle(&mut self) {
        for (key, dial) in self.engine.dials() {
            if let Dial::Failed(error) = dial {
                let fault = SysError::from(&error);
                self.engine.end(key, Reason::Refused { fault }, self.moment(), &mut self.watch);
            }
        }
        self.settle_connected();
        for group in 0..self.groups.len() {
            let mut letters = std::mem::take(&mut self.letters);
            self.groups[group].load.collect(&mut letters);
            letters.drain(..).for_each(|letter| self.settle_letter(group, letter));
            self.letters = letters;
        }
        for key in std::mem::take(&mut self.watch.ended) {
            self.engine.mark(key.at(0), Ready::READ, &mut self.watch);
        }
        self.settle_closed();
    }

    /// Writes down how it stands, once in a while.
    fn note(&mut self) {
        let now = self.clock.now();
        if self.phase == Phase::Ramp {
            self.ramp_curve.note(now, self.open_now());
        }
        if now < self.timeline.due() {
            return;
        }
        let open = self.open_now();
        let cost = self.server_usage.lately(now);
        self.timeline.turn(now, open, cost);
    }

    pub(super) fn open_now(&self) -> u64 {
        self.groups.iter().map(|group| group.open as u64).sum()
    }
}
