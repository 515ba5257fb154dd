//! The event loop of the load generator: open, sleep, mark, run, collect. Joins the parts of a run:
//! the phases decide what is done when, the loads which connections are opened and when they send,
//! and the results what is recorded.

use std::io;
use std::mem::take;
use std::rc::Rc;
use std::time::Duration;

use crate::config::{Listen, StressPlan};
use crate::core::{Key, Reason, Signal, SysError};
use crate::net::CannotListen;
use crate::runtime::event_loop::{EventLoop, Source, ready};
use crate::runtime::listeners::ACCEPT_BUDGET;

use super::answer_scan::AnswerScan;
use super::conns::Conns;
use super::dial::LoadDialer;
use super::failure::{LoadFailure, NO_ANSWER, Stage};
use super::group::{LoadGroup, LoadGroups};
use super::idle_probe::IdleProbe;
use super::load::{RunClock, ScriptReport};
use super::load_watch::ClosedConn;
use super::pacer::ConnectPace;
use super::parent::Parent;
use super::pattern::Pattern;
use super::phases::{Phase, Phases, Situation};
use super::precise_timer::PreciseTimer;
use super::protocol::{Snapshot, WorkerResult};
use super::results::{FinishedRun, Reaction, RecordCx, Results};
use super::sending::send_due;
use super::server_usage::{LoopUsage, ServerUsage};

/// The loop and the parts of a run.
pub struct Runner {
    clock: RunClock,
    event_loop: EventLoop,
    precise_timer: PreciseTimer,
    conns: Conns,
    groups: LoadGroups,
    phases: Phases,
    connect_pace: ConnectPace,
    answer_scan: AnswerScan,
    /// The search for an idle timeout, if the plan has one.
    search: Option<IdleProbe>,
    results: Results,
    server_usage: ServerUsage,
    /// The process that started this one, if it is one of several.
    parent: Option<Parent>,
    /// Buffer for the reports of the scripts of one load.
    reports: Vec<ScriptReport>,
}

/// Maximum number of events per `poll` call.
const EVENTS: usize = 1024;

/// Maximum connections of a burst attempted per turn. They should start at once, so this only
/// bounds the event queue.
const BURST_PER_TURN: usize = 1024;

impl Runner {
    pub fn new(
        plan: &StressPlan,
        dialer: LoadDialer,
        pattern: Rc<Pattern>,
        server_usage: ServerUsage,
    ) -> io::Result<Runner> {
        let clock = RunClock::start();
        let groups = LoadGroups::new(plan, pattern, clock);
        let capacity = plan.groups().iter().map(|(_, conns)| conns).sum();
        let probe = |max| IdleProbe::new(max, plan.timeout(), plan.probe);
        let mut precise_timer = PreciseTimer::default();
        let event_loop = EventLoop::new(EVENTS)?;
        precise_timer.register(event_loop.registry(), Source::Timer.token())?;
        Ok(Runner {
            clock,
            event_loop,
            precise_timer,
            conns: Conns::new(groups.timeouts(plan), capacity, dialer, clock),
            groups,
            phases: Phases::new(plan),
            connect_pace: ConnectPace::new(plan.connect_rate),
            answer_scan: AnswerScan::new(plan),
            search: plan.find_idle_timeout.map(probe),
            results: Results::default(),
            server_usage,
            parent: None,
            reports: Vec::new(),
        })
    }

    /// Registers signal handling: signals end the run in order.
    pub fn handle_signals(&mut self) -> io::Result<()> {
        self.event_loop.handle_signals()
    }

    /// Registers the parent process, which sends the start message.
    pub fn connect_parent(&mut self) -> io::Result<()> {
        let registry = self.event_loop.registry();
        self.parent = Some(Parent::register(registry, Source::Stdio.token())?);
        self.phases.awaiting_start = true;
        Ok(())
    }

    /// Listens for streams. The load of the sink is the last one.
    pub fn open_sink(&mut self, listen: &Listen) -> Result<(), CannotListen> {
        self.conns.sink.open(listen, self.groups.len() - 1, self.event_loop.registry())
    }

    pub fn sink_addresses(&self) -> &[String] {
        &self.conns.sink.addresses
    }

    /// Runs one turn. Returns false at the end of the run.
    pub fn turn(&mut self) -> io::Result<bool> {
        self.advance();
        if self.phases.current == Phase::Done {
            self.results.run.timeline.finish(self.groups.open());
            return Ok(false);
        }
        self.open();
        let (phase, now) = (self.phases.current, self.clock.now());
        send_due(&mut self.groups, &mut self.conns, phase, now);
        self.answer_scan.run(&mut self.groups, &mut self.conns, phase, now);
        self.sleep()?;
        self.mark();
        self.accept();
        self.conns.run();
        self.collect_results();
        // Connections just answered send again in the same turn.
        self.conns.run_and_expire();
        self.conns.update_interest(self.event_loop.registry());
        self.collect_results();
        self.record_step();
        Ok(true)
    }

    pub fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Whether persistent connections are still being opened.
    pub fn is_ramping(&self) -> bool {
        self.phases.current == Phase::Ramp
    }

    /// Returns the current progress.
    pub fn snapshot(&self) -> Snapshot {
        self.results.snapshot(self.phases.current, &self.groups, self.clock.now())
    }

    /// Takes the ended run apart.
    pub fn finish(self) -> FinishedRun {
        FinishedRun {
            whole: self.clock.now(),
            plan: self.phases.plan,
            groups: self.groups,
            result: WorkerResult { interrupted: self.phases.is_interrupted, ..self.results.run },
            server_usage: self.server_usage,
            probe: self.search.map(|search| search.result),
        }
    }
}

/// Phases.
impl Runner {
    /// Advances to the current phase.
    fn advance(&mut self) {
        loop {
            let mut now = self.clock.now();
            let situation = self.situation(now);
            let Some(mut next) = self.phases.next(now, &situation) else { return };
            if matches!(self.phases.current, Phase::Settle { .. }) && !self.phases.is_stopping {
                // On a busy machine this takes longer than a short window, which begins afterwards.
                self.server_usage.open(now, self.groups.persistent_open());
                now = self.clock.now();
                next = self.phases.next(now, &situation).unwrap_or(next);
            }
            self.enter(next, now);
        }
    }

    /// Returns what the next phase depends on. The server is read, and the search continued, only
    /// in the phases that need it.
    fn situation(&mut self, now: Duration) -> Situation {
        let phase = self.phases.current;
        let is_settling = matches!(phase, Phase::Settle { .. });
        let search_is_over = phase == Phase::IdleProbe && !self.run_search(now);
        Situation {
            ramp_is_over: self.groups.ramp_is_over(),
            server_is_at_rest: is_settling && self.server_usage.is_at_rest(now),
            idle_conns: self.groups.idle_conns(),
            active_conns: self.groups.active_conns(),
            can_send: self.groups.can_send(),
            all_persistent: self.groups.iter().all(|group| group.is_persistent()),
            bursts_measured: self.groups.bursts_measured(),
            search_is_over,
        }
    }

    /// Starts a phase: ends what belongs to the last one, and starts what belongs to this one.
    fn enter(&mut self, next: Phase, now: Duration) {
        match (self.phases.current, next) {
            (Phase::Ramp, _) => {
                self.results.run.ramp = now;
                self.results.run.ramp_curve.end(now, self.groups.open());
            }
            (Phase::Load { since, .. } | Phase::Serve { since }, _) => {
                self.server_usage.end(now);
                self.results.run.busy.end(now);
                self.results.run.measured = Some((since, now));
                self.groups.end_window(since, now);
            }
            (Phase::Finish { .. }, _) => self.cut(|group| !group.is_idle()),
            (Phase::Probe { .. }, _) => self.give_up_probes(),
            _ => {}
        }
        if next == Phase::Done {
            self.cut(|_| true);
        }
        let last = self.phases.enter(next, now);
        match next {
            Phase::IdleProbe => self.groups[0].load.started.set(true),
            Phase::Warm { .. } => self.start_loads(now),
            Phase::Load { .. } => {
                if !matches!(last, Phase::Warm { .. }) {
                    self.start_loads(now);
                }
                self.groups.start_window();
                self.results.run.busy = LoopUsage::begin(now);
                self.server_usage.begin(now);
            }
            Phase::Serve { .. } => self.results.run.busy = LoopUsage::begin(now),
            Phase::Finish { .. } => {
                self.groups.stop_active();
                self.wake_senders();
            }
            Phase::Probe { .. } => {
                self.end_hold(now);
                self.probe();
            }
            Phase::Close { .. } => {
                if !matches!(last, Phase::Probe { .. }) {
                    self.end_hold(now);
                }
                self.close();
            }
            Phase::Ramp | Phase::Settle { .. } | Phase::Hold { .. } | Phase::Done => {}
        }
    }

    /// Ends the run early but in order. A second call ends it at once.
    fn interrupt(&mut self) {
        let now = self.clock.now();
        if self.phases.is_stopping {
            self.results.is_discarding = true;
        } else {
            self.abort_dials();
        }
        if let Some(next) = self.phases.interrupt(now) {
            self.enter(next, now);
        }
    }

    fn start_loads(&mut self, now: Duration) {
        self.connect_pace.end_ramp(now);
        self.groups.start(&self.phases.plan, now);
        self.wake_senders();
    }

    /// Records idle connections before they are probed or closed.
    fn end_hold(&mut self, now: Duration) {
        self.server_usage.record_queue();
        self.server_usage.close(now);
        self.groups.end_hold(self.phases.held_since, now);
    }

    /// Closes all remaining connections.
    fn close(&mut self) {
        self.conns.sink.listeners.close_now();
        self.groups.stop();
        self.conns.of_loads(|_| true).into_iter().for_each(|(key, _)| self.conns.wake(key));
    }

    fn wake_senders(&mut self) {
        let keys = self.groups.iter().flat_map(|group| &group.keys);
        keys.for_each(|key| self.conns.wake(*key));
    }

    /// Drops connections that are still connecting, without recording a result.
    fn abort_dials(&mut self) {
        self.results.is_discarding = true;
        for (key, _) in self.conns.of_loads(|_| true).into_iter().filter(|(_, dialing)| *dialing) {
            self.conns.end(key, Reason::ConnectTimeout);
        }
        self.record_closed();
        self.results.is_discarding = false;
    }

    /// Closes connections of the chosen loads at once.
    fn cut(&mut self, which: impl Fn(&LoadGroup) -> bool) {
        for (key, dialing) in self.conns.of_loads(|load| which(&self.groups[load])) {
            let reason = if dialing { Reason::ConnectTimeout } else { Reason::Cut };
            self.conns.end(key, reason);
        }
        // Their scripts may have reported at the end.
        self.collect_results();
    }
}

/// Opening connections.
impl Runner {
    /// Opens missing connections, as far as the connect rate allows.
    fn open(&mut self) {
        let mut budget = self.connect_pace.allowance(self.clock.now());
        for index in 0..self.groups.len() {
            let (now, group) = (self.clock.now(), &self.groups[index]);
            if !self.phases.current.opens(group.mode.kind) || now < group.retry_at {
                continue;
            }
            let is_burst = group.mode.burst && !group.is_persistent();
            let count = group.unopened().min(if is_burst { BURST_PER_TURN } else { budget });
            for _ in 0..count {
                budget = budget.saturating_sub(1);
                self.connect_pace.count();
                if self.open_one(index).is_none() {
                    break;
                }
            }
        }
    }

    fn open_one(&mut self, group: usize) -> Option<Key> {
        let probes = self.search.as_ref().is_some_and(IdleProbe::sends);
        let script = |key| self.groups[group].script(key, probes);
        match self.conns.dial(group, self.event_loop.registry(), script) {
            Ok(key) => {
                self.groups[group].dialed();
                Some(key)
            }
            Err(error) => {
                self.dial_failed(group, SysError::from(&error));
                None
            }
        }
    }

    /// Records a connection that could not even be attempted.
    fn dial_failed(&mut self, group: usize, fault: SysError) {
        let failure = LoadFailure::of(Stage::Connect, fault);
        self.groups[group].dial_failed(failure, self.clock.now());
        self.results.run.timeline.current().failed += 1;
    }

    /// Accepts pending connections of the sink, as far as the budget of one turn allows.
    fn accept(&mut self) {
        let (mut cursor, group) = (0, self.groups.len().saturating_sub(1));
        while let Some(listener) = self.conns.sink.listeners.next_pending(&mut cursor) {
            for _ in 0..ACCEPT_BUDGET {
                match self.conns.accept(listener, &self.event_loop) {
                    Ok(Some(accepted)) => {
                        let script = self.groups[group].accepted(accepted.key);
                        self.conns.insert(group, accepted, script);
                    }
                    Ok(None) => break,
                    Err(fault) => {
                        self.dial_failed(group, fault);
                        break;
                    }
                }
            }
        }
    }
}

/// Probes of idle connections, and the search for an idle timeout.
impl Runner {
    /// Gives every idle connection a script, and lets it send one message.
    fn probe(&mut self) {
        for group in self.groups.iter().filter(|group| group.is_idle()) {
            group.load.started.set(true);
        }
        for key in self.idle_conns() {
            let script = self.groups[self.conns.load(key)].probe_script(key);
            self.conns.set_script(key, script);
        }
    }

    /// Closes connections that have not echoed their message: they are black holes.
    fn give_up_probes(&mut self) {
        self.idle_conns().into_iter().for_each(|key| self.conns.end(key, Reason::IdleTimeout));
        self.record_closed();
    }

    /// Returns the keys of all idle connections.
    fn idle_conns(&self) -> Vec<Key> {
        let idle = self.conns.of_loads(|load| self.groups[load].is_idle());
        idle.into_iter().map(|(key, _)| key).collect()
    }

    /// Starts a round of the search if none is running, and executes what is due. Returns false at
    /// the end of the search.
    fn run_search(&mut self, now: Duration) -> bool {
        let over = self.search.as_mut().filter(|search| search.is_round_over());
        for idle_time in over.map(IdleProbe::next_round).unwrap_or_default() {
            if let (Some(key), Some(search)) = (self.open_one(0), &mut self.search) {
                search.begin(key, idle_time);
            }
        }
        self.search.as_mut().is_some_and(|search| search.run(&mut self.conns, now))
    }
}

/// Sleeping, and handling events.
impl Runner {
    fn sleep(&mut self) -> io::Result<()> {
        let before = self.clock.now();
        let limit = match self.conns.sleep() {
            Some(Duration::ZERO) => Duration::ZERO,
            limit => limit.into_iter().chain(self.due(before)).min().unwrap_or(Duration::MAX),
        };
        let next_send = self.groups.next_send().filter(|_| self.phases.current.sends());
        let limit = match next_send {
            Some(due) => limit.min(self.precise_timer.set(due.saturating_sub(before).min(limit))),
            None => limit,
        };
        let limit = (limit != Duration::MAX).then_some(limit);
        // Turns take their time from the clock of the run, which counts nanoseconds.
        let asleep = self.event_loop.before_sleep();
        self.event_loop.sleep(asleep, limit, self.conns.queued(), &mut ())?;
        if self.phases.current.measures() {
            let slept = match limit {
                Some(Duration::ZERO) => Duration::ZERO,
                _ => self.clock.now() - before,
            };
            self.results.run.busy.turns += 1;
            self.results.run.busy.slept += slept;
        }
        Ok(())
    }

    /// Time until the next action without an event.
    fn due(&self, now: Duration) -> Option<Duration> {
        let (phase, pace) = (self.phases.current, self.connect_pace.next_due());
        let wait = |until: Duration| until.saturating_sub(now);
        let opening = self.groups.iter().filter(|group| phase.opens(group.mode.kind));
        let opening = opening.filter(|group| group.unopened() > 0);
        let open = opening.map(|group| pace.unwrap_or(now).max(group.retry_at)).min();
        let search = self.search.as_ref().and_then(IdleProbe::due);
        let fixed = [open, phase.due(), search, Some(self.results.run.timeline.due())];
        let listeners = self.conns.sink.listeners.sleep(self.conns.moment(), usize::MAX);
        fixed.into_iter().flatten().map(wait).chain(listeners).min()
    }

    /// Marks what epoll reported.
    fn mark(&mut self) {
        let (mut signalled, mut from_parent) = (false, false);
        let now = self.conns.moment();
        for (source, event) in self.event_loop.wakeups() {
            match source {
                Source::Conn(key) => self.conns.mark(key, ready(event), now),
                Source::Listener(key) => self.conns.sink.listeners.set_pending(key),
                Source::Signals => signalled = true,
                // The parent process writes to standard input.
                Source::Stdio => from_parent = true,
                // The timer only ends the sleep.
                Source::Timer | Source::Waker => {}
                Source::Child(_) | Source::Datagram(_) | Source::DatagramFlow(_) => {}
                Source::Admin(_) | Source::AdminListener(_) => {}
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
            Some(Some(true)) => self.phases.awaiting_start = false,
            Some(None) => {
                self.parent = None;
                self.phases.awaiting_start = false;
                if !self.phases.is_stopping {
                    self.interrupt();
                }
            }
            Some(Some(false)) | None => {}
        }
    }

    fn handle_received_signals(&mut self) {
        for signal in self.event_loop.signals(&mut self.conns.turn()) {
            if matches!(signal, Signal::Interrupt | Signal::Terminate) {
                self.interrupt();
            }
        }
    }
}

/// Collecting results.
impl Runner {
    /// Collects results from scripts, engine and observer.
    fn collect_results(&mut self) {
        self.conns.end_failed_dials();
        self.record_connected();
        for group in 0..self.groups.len() {
            let mut reports = take(&mut self.reports);
            self.groups[group].load.collect(&mut reports);
            reports.drain(..).for_each(|report| self.record_report(group, report));
            self.reports = reports;
        }
        for key in take(&mut self.conns.watch.peer_ended) {
            self.conns.wake(key);
        }
        self.record_closed();
    }

    fn record_cx(&self) -> RecordCx {
        RecordCx {
            now: self.clock.now(),
            phase: self.phases.current,
            searches: self.search.is_some(),
            is_deciding: self.search.as_ref().is_some_and(IdleProbe::is_deciding),
        }
    }

    fn record_connected(&mut self) {
        for (key, after) in take(&mut self.conns.watch.connected) {
            if let Some(search) = &mut self.search {
                search.connected(key, self.clock.now());
            }
            let group = &mut self.groups[self.conns.load(key)];
            group.connected(key, after);
            self.results.run.timeline.current().opened += 1;
            // Without a message there is no answer to wait for.
            if group.load.aborts && group.load.size == 0 {
                self.conns.end(key, Reason::Cut);
            }
        }
    }

    fn record_report(&mut self, group: usize, report: ScriptReport) {
        let (key, cx) = (report.key, self.record_cx());
        match self.results.record_report(&mut self.groups[group], report, cx) {
            Reaction::None => {}
            Reaction::Answered => self.answered(group, key),
            Reaction::Resume => self.conns.wake(key),
            Reaction::CountOnly => self.conns.count_only(key),
        }
    }

    /// Marks the connection for its next message.
    fn answered(&mut self, group: usize, key: Key) {
        let now = self.clock.now();
        match self.search.as_mut().map(|search| search.answered(key, now)) {
            Some(true) => self.conns.end(key, Reason::Drained),
            Some(false) => {}
            None if self.groups[group].load.aborts => self.conns.end(key, Reason::Cut),
            None => self.conns.wake(key),
        }
    }

    fn record_closed(&mut self) {
        for closed in take(&mut self.conns.watch.closed) {
            self.record_close(closed);
        }
        let phase = self.phases.current;
        for load in 0..self.groups.len() {
            let moved = take(&mut self.conns.watch.moved[load]);
            self.results.record_moved(&mut self.groups[load], moved, phase);
        }
    }

    fn record_close(&mut self, closed: ClosedConn) {
        let (cx, group) = (self.record_cx(), self.conns.load(closed.key));
        let result = self.results.record_closed(&mut self.groups[group], closed, cx);
        let (Some(result), Some(search)) = (result, &mut self.search) else { return };
        if !search.ended(closed.key, result, cx.phase, cx.now) {
            self.groups[0].stats.fail(LoadFailure::new(Stage::Exchange, NO_ANSWER));
        }
    }

    /// Updates ramp curve and timeline when due.
    fn record_step(&mut self) {
        let (now, open) = (self.clock.now(), self.groups.open());
        if self.phases.current == Phase::Ramp {
            self.results.run.ramp_curve.record(now, open);
        }
        if now >= self.results.run.timeline.due() {
            let cost = self.server_usage.lately(now);
            self.results.run.timeline.advance(now, open, cost);
        }
    }
}
