//! The event loop of the load generator: open, sleep, mark, run, collect. The phase decides what is
//! done when.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::config::{LoadKind, StressPlan};
use crate::core::{
    Buffers, Conn, ConnIds, Dial, Engine, Key, Moment, Ready, Reason, Signal, SysError, Turn,
};
use crate::runtime::event_loop::{EventLoop, Source, ready, token};
use crate::runtime::listeners::Listeners;

use super::dial::LoadDialer;
use super::endpoint::Endpoint;
use super::failure::{self, LoadFailure};
use super::group::{LoadGroup, pace, timeouts};
use super::idle_probe::IdleProbe;
use super::load::{Load, RunClock, ScriptReport};
use super::load_watch::LoadWatch;
use super::pacer::ConnectPace;
use super::pattern::Pattern;
use super::phase::Phase;
use super::precise_timer::PreciseTimer;
use super::ramp_curve::RampCurve;
use super::server_usage::{LoopUsage, ServerUsage};
use super::timeline::Timeline;
use super::worker::Parent;

/// The loop and its state.
pub struct Runner {
    pub(super) plan: StressPlan,
    pub(super) clock: RunClock,
    pub(super) phase: Phase,
    pub(super) engine: Engine<Endpoint>,
    pub(super) watch: LoadWatch,
    pub(super) groups: Vec<LoadGroup>,
    pub(super) busy: LoopUsage,
    pub(super) timeline: Timeline,
    pub(super) ramp_curve: RampCurve,
    pub(super) server_usage: ServerUsage,
    pub idle_probe: Option<IdleProbe>,
    /// When all persistent connections were open, and since and until when idle ones are held.
    pub(super) ramp: Duration,
    pub(super) held_since: Duration,
    pub(super) held_until: Duration,
    /// Start and end of the measured window.
    pub(super) measured: Option<(Duration, Duration)>,
    /// A signal ended the run; `interrupted`: before its time.
    pub(super) stopping: bool,
    pub(super) interrupted: bool,
    /// The run is being aborted: connections closed now are not results.
    pub(super) aborting: bool,
    /// The loads must not start before the start message of the parent.
    pub(super) awaiting_start: bool,
    pub(super) connect_pace: ConnectPace,
    /// When to scan for missing answers next.
    pub(super) next_scan: Duration,
    pub(super) event_loop: EventLoop,
    pub(super) conn_ids: ConnIds,
    /// Listeners of the sink, and their addresses.
    pub(super) listeners: Listeners,
    pub sink_addresses: Vec<String>,
    precise_timer: PreciseTimer,
    dialer: LoadDialer,
    /// The process that started this one, if it is one of several.
    parent: Option<Parent>,
    reports: Vec<ScriptReport>,
}

/// Maximum number of events per `poll` call.
const EVENTS: usize = 1024;

/// Maximum connections of a storm attempted per turn. They should start at once, so this only
/// bounds the event queue.
const STORM_PER_TURN: usize = 1024;

impl Runner {
    pub fn new(
        plan: &StressPlan,
        dialer: LoadDialer,
        pattern: Rc<Pattern>,
        server_usage: ServerUsage,
    ) -> io::Result<Runner> {
        let clock = RunClock::start();
        let wanted = plan.groups();
        let load = |kind, far| {
            let mut load = Load::new(pattern.clone(), clock, plan.size, pace(kind, plan));
            (load.direction, load.count_only, load.far) = (plan.direction, plan.no_verify, far);
            (load.is_datagram, load.gso) = (plan.is_datagram(), plan.gso);
            load
        };
        let group = |&(kind, conns): &(_, usize)| LoadGroup::new(kind, conns, load(kind, false));
        let stream = LoadKind::Stream;
        let far = plan.sink.iter().map(|_| LoadGroup::new(stream, 0, load(stream, true)));
        let groups: Vec<LoadGroup> = wanted.iter().map(group).chain(far).collect();
        let times = groups.iter().map(|group| timeouts(group.kind, plan)).collect();
        let conns = wanted.iter().map(|(_, conns)| conns).sum();
        let new_probe = |max| IdleProbe::new(max, plan.timeout(), plan.probe);
        let mut precise_timer = PreciseTimer::default();
        let event_loop = EventLoop::new(EVENTS)?;
        precise_timer.register(event_loop.registry(), Source::Timer.token())?;
        Ok(Runner {
            plan: plan.clone(),
            clock,
            phase: Phase::Ramp,
            engine: Engine::new(times, conns, Buffers::default()),
            watch: LoadWatch::new(groups.len()),
            groups,
            busy: LoopUsage::default(),
            timeline: Timeline::new(),
            ramp_curve: RampCurve::new(),
            server_usage,
            idle_probe: plan.find_idle_timeout.map(new_probe),
            ramp: Duration::ZERO,
            held_since: Duration::ZERO,
            held_until: Duration::ZERO,
            measured: None,
            stopping: false,
            interrupted: false,
            aborting: false,
            awaiting_start: false,
            connect_pace: ConnectPace::new(plan.connect_rate),
            next_scan: Duration::ZERO,
            event_loop,
            conn_ids: ConnIds::default(),
            listeners: Listeners::default(),
            sink_addresses: Vec::new(),
            precise_timer,
            dialer,
            parent: None,
            reports: Vec::new(),
        })
    }

    /// Registers signal handling: signals end the run in order.
    pub fn handle_signals(&mut self) -> io::Result<()> {
        self.event_loop.handle_signals()
    }

    /// Registers the parent process, which sends the start message.
    pub(super) fn connect_parent(&mut self) -> io::Result<()> {
        let registry = self.event_loop.registry();
        self.parent = Some(Parent::register(registry, Source::Stdio.token())?);
        self.awaiting_start = true;
        Ok(())
    }

    /// Runs one turn. Returns false at the end of the run.
    pub fn turn(&mut self) -> io::Result<bool> {
        if !self.advance() {
            self.timeline.finish(self.open_now());
            return Ok(false);
        }
        self.open();
        self.send_due();
        self.sleep()?;
        self.mark();
        self.accept();
        self.engine.run(&mut Turn::new(self.moment(), &mut self.watch));
        self.collect_results();
        // Connections just answered send again in the same turn.
        let turn = &mut Turn::new(self.moment(), &mut self.watch);
        self.engine.run(turn);
        self.engine.expire(turn);
        self.update_interest();
        self.collect_results();
        self.note();
        Ok(true)
    }

    pub fn now(&self) -> Duration {
        self.clock.now()
    }

    fn update_interest(&mut self) {
        let turn = &mut Turn::new(self.moment(), &mut self.watch);
        let registry = self.event_loop.registry();
        self.engine.update_interest(turn, |line, key, muted| {
            line.update_interest(registry, token(key), muted)
        });
    }

    /// Queues the script of a connection: it has something to send or to read.
    pub(super) fn wake(&mut self, key: Key) {
        let turn = &mut Turn::new(self.moment(), &mut self.watch);
        self.engine.mark(key, Ready::READ, turn);
    }

    pub(super) fn end(&mut self, key: Key, reason: Reason) {
        let turn = &mut Turn::new(self.moment(), &mut self.watch);
        self.engine.end(key, reason, turn);
    }

    pub(super) fn moment(&self) -> Moment {
        Moment(self.clock.now().as_micros() as u64)
    }

    /// Opens missing connections, as far as the connect rate allows.
    fn open(&mut self) {
        let mut budget = self.connect_pace.allowance(self.clock.now());
        for group in 0..self.groups.len() {
            let now = self.clock.now();
            let of = &self.groups[group];
            if !self.phase.opens(of.kind) || now < of.retry_at {
                continue;
            }
            let count = match of.kind {
                LoadKind::Storm => of.unopened().min(STORM_PER_TURN),
                _ => of.unopened().min(budget),
            };
            for _ in 0..count {
                budget = budget.saturating_sub(1);
                self.connect_pace.count();
                if let Err(error) = self.open_one(group) {
                    self.connect_failed(group, SysError::from(&error));
                    break;
                }
            }
        }
    }

    pub(super) fn open_one(&mut self, group: usize) -> io::Result<Key> {
        let id = self.conn_ids.next();
        let key = self.engine.vacant(id);
        // On loopback the connect completes within the call, so take the time before.
        let now = self.moment();
        let mut line = self.dialer.dial()?;
        line.register(self.event_loop.registry(), token(key.at(1)))?;
        let of = &mut self.groups[group];
        let (own, ready) = match of.script(key) {
            Some(script) => (Endpoint::Script(script), Ready::READ.with(Ready::WRITE)),
            None => (Endpoint::Null, Ready::WRITE),
        };
        of.attempted += 1;
        of.opening += 1;
        self.watch.assign(key, group);
        let turn = &mut Turn::new(now, &mut self.watch);
        self.engine.insert(Conn::relay(own), id, group as u16, turn);
        self.engine.attach(key, line, turn);
        self.engine.mark(key.at(0), ready, turn);
        Ok(key)
    }

    /// Records a connection that could not even be attempted.
    pub(super) fn connect_failed(&mut self, group: usize, fault: SysError) {
        let of = &mut self.groups[group];
        of.attempted += 1;
        of.back_off(self.clock.now());
        of.stats.fail(LoadFailure::of(failure::Stage::Connect, fault));
        self.timeline.current().failed += 1;
    }

    fn sleep(&mut self) -> io::Result<()> {
        let before = self.clock.now();
        let limit = match self.engine.sleep(self.moment()) {
            Some(Duration::ZERO) => Duration::ZERO,
            limit => limit.into_iter().chain(self.due(before)).min().unwrap_or(Duration::MAX),
        };
        let limit = match self.next_send() {
            Some(due) => limit.min(self.precise_timer.set(due.saturating_sub(before).min(limit))),
            None => limit,
        };
        let limit = (limit != Duration::MAX).then_some(limit);
        // Turns take their time from the clock of the run, which counts nanoseconds.
        let asleep = self.event_loop.before_sleep();
        self.event_loop.sleep(asleep, limit, self.engine.queued(), &mut self.watch)?;
        let measures = self.phase.measures();
        self.busy.turns += u64::from(measures);
        if measures && limit != Some(Duration::ZERO) {
            self.busy.slept += self.clock.now() - before;
        }
        Ok(())
    }

    /// Time until the next action without an event.
    fn due(&self, now: Duration) -> Option<Duration> {
        let wait = |until: Duration| until.saturating_sub(now);
        let opening =
            self.groups.iter().filter(|group| self.phase.opens(group.kind) && group.unopened() > 0);
        let pace = self.connect_pace.next_due();
        let open = opening.map(|group| pace.unwrap_or(now).max(group.retry_at)).min();
        let fixed = [open, self.phase.due(), self.idle_probe_due(), Some(self.timeline.due())];
        let listeners = self.listeners.sleep(self.moment(), usize::MAX);
        fixed.into_iter().flatten().map(wait).chain(listeners).min()
    }

    /// Marks what epoll reported.
    fn mark(&mut self) {
        let (mut signalled, mut from_parent) = (false, false);
        let turn = &mut Turn::new(self.moment(), &mut self.watch);
        for (source, event) in self.event_loop.wakeups() {
            match source {
                Source::Conn(key) => self.engine.mark(key, ready(event), turn),
                Source::Listener(key) => self.listeners.set_pending(key),
                Source::Signals => signalled = true,
                // The parent process writes to standard input.
                Source::Stdio => from_parent = true,
                // The timer only ends the sleep.
                Source::Timer | Source::Waker => {}
                Source::Child(_) | Source::Datagram(_) | Source::DatagramFlow(_) => {}
            }
        }
        if signalled {
            self.handle_received_signals();
        }
        if from_parent {
            self.handle_message();
        }
    }

    /// Handles a message or the exit of the parent process.
    fn handle_message(&mut self) {
        match self.parent.as_mut().map(Parent::read) {
            Some(Some(begin)) => self.awaiting_start &= !begin,
            Some(None) => {
                self.parent = None;
                self.awaiting_start = false;
                if !self.stopping {
                    self.interrupt();
                }
            }
            None => {}
        }
    }

    fn handle_received_signals(&mut self) {
        let turn = &mut Turn::new(self.moment(), &mut self.watch);
        for signal in self.event_loop.signals(turn) {
            if matches!(signal, Signal::Interrupt | Signal::Terminate) {
                self.interrupt();
            }
        }
    }

    /// Collects results from scripts, engine and observer.
    pub(super) fn collect_results(&mut self) {
        for (key, dial) in self.engine.dials() {
            if let Dial::Failed(error) = dial {
                let fault = SysError::from(&error);
                self.end(key, Reason::Refused { fault });
            }
        }
        self.record_connected();
        for group in 0..self.groups.len() {
            let mut reports = std::mem::take(&mut self.reports);
            self.groups[group].load.collect(&mut reports);
            reports.drain(..).for_each(|report| self.record_report(group, report));
            self.reports = reports;
        }
        for key in std::mem::take(&mut self.watch.peer_ended) {
            self.wake(key.at(0));
        }
        self.record_closed();
    }

    /// Updates ramp curve and timeline when due.
    fn note(&mut self) {
        let now = self.clock.now();
        if self.phase == Phase::Ramp {
            self.ramp_curve.record(now, self.open_now());
        }
        if now < self.timeline.due() {
            return;
        }
        let open = self.open_now();
        let cost = self.server_usage.lately(now);
        self.timeline.advance(now, open, cost);
    }

    pub(super) fn open_now(&self) -> u64 {
        self.groups.iter().map(|group| group.open as u64).sum()
    }
}
