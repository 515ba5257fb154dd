//! Moves a run through its phases: open persistent connections, measure loads, hold idle
//! connections, close all.

use std::time::Duration;

use crate::config::LoadKind;
use crate::core::{Key, Reason};

use super::group::LoadGroup;
use super::phase::Phase;
use super::runner::Runner;
use super::server_usage::LoopUsage;

/// Maximum time for the server to accept all connections before it is measured.
const SETTLE_MAX: Duration = Duration::from_secs(2);

/// Additional time after a timeout, so that the timeout itself reports first.
pub(super) const GRACE: Duration = Duration::from_secs(1);

impl Runner {
    /// Advances to the current phase. Returns false at the end of the run.
    pub(super) fn advance(&mut self) -> bool {
        loop {
            let before = self.phase;
            self.step();
            if self.phase == before {
                return self.phase != Phase::Done;
            }
        }
    }

    /// Advances to the next phase if this one is over.
    fn step(&mut self) {
        let now = self.clock.now();
        let phase = self.phase;
        match phase {
            Phase::Ramp if self.ramp_is_over() => self.start_settling(now),
            Phase::Settle { .. } if self.awaiting_start => {}
            Phase::Settle { .. } if self.is_settled(now) => self.begin(now),
            Phase::Warm { .. } if self.phase.is_due(now) => self.measure(now),
            Phase::Load { until, .. } if self.window_is_over(until, now) => self.finish(now),
            Phase::Finish { .. } if self.active_conns() == 0 => self.hold(now),
            Phase::Finish { .. } if self.phase.is_due(now) => {
                self.cut(|kind| kind != LoadKind::Idle);
                self.hold(now);
            }
            Phase::Hold { .. } if self.engine.is_empty() => self.close(now),
            Phase::Hold { .. } if self.phase.is_due(now) && self.probes() => self.probe(now),
            Phase::Hold { .. } if self.phase.is_due(now) => self.close(now),
            Phase::Probe { .. } if self.engine.is_empty() => self.close(now),
            Phase::Probe { .. } if self.phase.is_due(now) => {
                self.give_up_probes();
                self.close(now);
            }
            Phase::IdleProbe if !self.run_idle_probe() => self.close(now),
            Phase::Close { .. } if self.engine.is_empty() => self.phase = Phase::Done,
            Phase::Close { .. } if self.phase.is_due(now) => {
                self.cut(|_| true);
                self.phase = Phase::Done;
            }
            _ => {}
        }
    }

    /// Ends the run early but in order. A second call ends it at once.
    pub(super) fn interrupt(&mut self) {
        let now = self.clock.now();
        if self.stopping {
            // Connections closed from now on are not results.
            self.aborting = true;
            self.cut(|_| true);
            self.phase = Phase::Done;
            return;
        }
        self.interrupted = !matches!(self.phase, Phase::Serve { .. });
        self.stopping = true;
        self.abort_dials();
        if self.phase == Phase::Ramp {
            self.ramp = now;
            self.ramp_curve.end(now, self.open_now());
        }
        match self.phase {
            Phase::Load { .. } | Phase::Serve { .. } => self.finish(now),
            Phase::Finish { .. } | Phase::Close { .. } | Phase::Done => {}
            _ => self.close(now),
        }
    }

    fn ramp_is_over(&self) -> bool {
        let mut persistent = self.groups.iter().filter(|group| group.is_persistent());
        persistent.all(|group| group.unopened() == 0 && group.opening == 0)
    }

    /// Ends the ramp: all persistent connections are open.
    fn start_settling(&mut self, now: Duration) {
        self.ramp = now;
        self.ramp_curve.end(now, self.open_now());
        self.phase = Phase::Settle { until: now + SETTLE_MAX };
    }

    fn is_settled(&mut self, now: Duration) -> bool {
        self.phase.is_due(now) || self.engine.is_empty() || self.server_usage.is_at_rest(now)
    }

    fn begin(&mut self, now: Duration) {
        let persistent =
            self.groups.iter().filter(|group| group.is_persistent() && !group.load.far);
        let conns = persistent.map(|group| group.open as u64).sum();
        self.server_usage.open(now, conns);
        (self.held_since, self.held_until) = (now, now + self.plan.hold);
        if self.plan.find_idle_timeout.is_some() {
            self.groups[0].load.started.set(true);
            self.phase = Phase::IdleProbe;
            return;
        }
        if self.plan.targets.is_empty() {
            self.busy = LoopUsage::begin(now);
            self.phase = Phase::Serve { since: now };
            return;
        }
        let can_send = |group: &LoadGroup| match group.is_persistent() {
            true => group.open > 0 && group.kind != LoadKind::Idle,
            false => true,
        };
        if !self.groups.iter().any(can_send) {
            return self.hold(now);
        }
        self.connect_pace.end_ramp(now);
        self.start_pacers(now);
        for group in &self.groups {
            group.load.started.set(true);
        }
        self.mark_active();
        match self.plan.warmup {
            Duration::ZERO => self.measure(now),
            warmup => self.phase = Phase::Warm { since: now, until: now + warmup },
        }
    }

    fn measure(&mut self, now: Duration) {
        self.groups.iter_mut().for_each(|group| group.stats.restart());
        self.busy = LoopUsage::begin(now);
        self.server_usage.begin(now);
        self.phase = Phase::Load { since: now, until: now + self.plan.duration };
    }

    /// Whether the window is over: its time, plus what the first storm needs.
    fn window_is_over(&self, until: Duration, now: Duration) -> bool {
        let measured = self.storms_measured() || now >= until + self.plan.timeout();
        let is_inactive =
            self.active_conns() == 0 && self.groups.iter().all(LoadGroup::is_persistent);
        now >= until && measured || is_inactive
    }

    /// Ends the window: records the measurements and stops the active loads.
    fn finish(&mut self, now: Duration) {
        if let Phase::Load { since, .. } | Phase::Serve { since } = self.phase {
            self.server_usage.end(now);
            self.busy.end(now);
            self.measured = Some((since, now));
            for group in &mut self.groups {
                group.stats.window = now - since;
                group.stats.open = group.open as u64;
            }
        }
        self.phase = Phase::Finish { until: now + self.plan.closing_timeout() + GRACE };
        for group in self.groups.iter().filter(|group| group.kind != LoadKind::Idle) {
            group.load.ending.set(true);
        }
        self.mark_active();
    }

    fn hold(&mut self, now: Duration) {
        match self.engine.is_empty() || self.stopping {
            true => self.close(now),
            false => self.phase = Phase::Hold { since: now, until: self.held_until },
        }
    }

    /// Closes all remaining connections.
    fn close(&mut self, now: Duration) {
        if !matches!(self.phase, Phase::Probe { .. }) {
            self.record_held(now);
        }
        self.listeners.close_now();
        for group in &self.groups {
            group.load.started.set(false);
            group.load.ending.set(true);
        }
        self.phase = Phase::Close { until: now + self.plan.closing_timeout() + GRACE };
        let keys: Vec<Key> = self.engine.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.wake(key.at(0));
        }
    }

    /// Records idle connections before they are probed or closed.
    pub(super) fn record_held(&mut self, now: Duration) {
        self.server_usage.record_queue();
        self.server_usage.close(now);
        for group in self.groups.iter_mut().filter(|group| group.kind == LoadKind::Idle) {
            group.stats.open = group.open as u64;
            group.stats.window = now.saturating_sub(self.held_since);
        }
    }

    /// Number of connections of all loads but idle.
    fn active_conns(&self) -> usize {
        let active = self.groups.iter().filter(|group| group.kind != LoadKind::Idle);
        active.map(|group| group.open + group.opening).sum()
    }

    fn mark_active(&mut self) {
        for group in 0..self.groups.len() {
            let keys = std::mem::take(&mut self.groups[group].keys);
            for key in &keys {
                self.wake(*key);
            }
            self.groups[group].keys = keys;
        }
    }

    /// Drops connections that are still connecting, without recording a result.
    fn abort_dials(&mut self) {
        let dialing = self.engine.iter().filter(|(_, conn)| conn.dialing());
        let keys: Vec<Key> = dialing.map(|(key, _)| key).collect();
        self.aborting = true;
        for key in keys {
            self.end(key, Reason::ConnectTimeout);
        }
        self.record_closed();
        self.aborting = false;
    }

    /// Closes connections of the chosen loads at once.
    fn cut(&mut self, which: impl Fn(LoadKind) -> bool) {
        let groups = &self.groups;
        let chosen =
            self.engine.iter().filter(|(key, _)| which(groups[self.watch.group(*key)].kind));
        let keys: Vec<(Key, bool)> = chosen.map(|(key, conn)| (key, conn.dialing())).collect();
        for (key, dialing) in keys {
            let reason = if dialing { Reason::ConnectTimeout } else { Reason::Cut };
            self.end(key, reason);
        }
        // Their scripts may have reported at the end.
        self.collect_results();
    }
}
